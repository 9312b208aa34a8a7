/* Single calls to the store: forgetting a key, and the lives of its copy. */
#include <string.h>

#include "base/mem.h"
#include "engine/tier.h"

struct single {
    struct fb_tier_item item;
    struct fb_store_call call;
    struct fb_tier *tier;
    fb_tier_answer *done;
    void *user;
    char key[];                /* and what it brings */
};

static void answered(struct fb_tier_item *item) {
    struct single *single = fb_member_of(item, struct single, item);
    struct fb_tier *tier = single->tier;
    if (single->call.move == FB_STORE_INVAL)
        fb_tier_note(tier, single->call.key, single->call.outcome != FB_STORE_DONE);
    single->done(single->user, &single->call);
    fb_mem_free(single);
    fb_cache_op_end(tier->cache);
}

fb_status fb_tier_call(struct fb_tier *tier, const struct fb_store_call *call, fb_tier_answer *done, void *user) {
    struct single *single = fb_mem_calloc(1, sizeof *single + call->key.len + call->bring.len);
    if (single == NULL)
        return FB_NOMEM;
    single->item = (struct fb_tier_item){.call = &single->call, .done = answered};
    single->call = *call;
    single->tier = tier;
    single->done = done;
    single->user = user;
    if (call->key.len > 0)
        memcpy(single->key, call->key.data, call->key.len);
    single->call.key = fb_bytes_of(single->key, call->key.len);
    if (call->bring.len > 0)
        memcpy(single->key + call->key.len, call->bring.data, call->bring.len);
    single->call.bring = fb_bytes_of(single->key + call->key.len, call->bring.len);
    fb_cache_op_begin(tier->cache);
    fb_tier_start(tier);
    fb_tier_push(tier, &single->item);
    return FB_PENDING;
}
