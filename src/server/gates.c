/* The gates in their order. */
#include "server/gates.h"

#include "server/login.h"

typedef enum fb_passage gate(struct fb_call *call);

static const struct { unsigned bit; gate *ask; } gates[] = {
    {FB_GATE_USER, fb_gate_user},
};

enum fb_passage fb_gates_pass(struct fb_call *call, unsigned up) {
    for (size_t i = 0; i < sizeof gates / sizeof gates[0]; i++) {
        if (!(up & gates[i].bit))
            continue;
        enum fb_passage passage = gates[i].ask(call);
        if (passage != FB_PASS)
            return passage;
    }
    return FB_PASS;
}
