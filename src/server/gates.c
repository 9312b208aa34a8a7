/* The gates in their order. */
#include "server/gates.h"

#include "server/forward.h"
#include "server/login.h"
#include "server/multi.h"
#include "server/pass.h"
#include "server/pause.h"

typedef enum fb_passage gate(struct fb_call *call);

static const struct { unsigned bit; gate *ask; } gates[] = {
    {FB_GATE_USER, fb_gate_user},
    {FB_GATE_SUBSCRIBED, fb_gate_subscribed},
    {FB_GATE_PAUSE, fb_gate_pause},
    {FB_GATE_QUEUE, fb_gate_queue},
    {FB_GATE_MONITOR, fb_gate_monitor},
    {FB_GATE_TRACKING, fb_gate_tracking},
    {FB_GATE_FORWARD, fb_gate_forward},
    {FB_GATE_STORE, fb_gate_store},
};

enum fb_passage fb_gates_pass(struct fb_call *call, unsigned up) {
    call->is_again = (call->session->gates & FB_GATE_AGAIN) != 0;
    call->session->gates &= ~(unsigned)FB_GATE_AGAIN;
    for (size_t i = 0; i < sizeof gates / sizeof gates[0]; i++) {
        if (!(up & gates[i].bit))
            continue;
        enum fb_passage passage = gates[i].ask(call);
        if (passage != FB_PASS)
            return passage;
    }
    return FB_PASS;
}
