/* The marks of a write at the store: BEGIN before the source is asked, END after it has answered. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/tier.h"

fb_status fb_marks_init(struct fb_marks *marks, struct fb_tier *tier, size_t n) {
    *marks = (struct fb_marks){.tier = tier};
    marks->items = fb_mem_calloc(n, sizeof *marks->items);
    return marks->items != NULL ? FB_OK : FB_NOMEM;
}

void fb_marks_free(struct fb_marks *marks) {
    fb_mem_free(marks->items);
    marks->items = NULL;
    marks->n = 0;
}

void fb_marks_add(struct fb_marks *marks, const struct fb_keyspace *keyspace, fb_bytes key) {
    struct fb_mark *mark = &marks->items[marks->n++];
    mark->marks = marks;
    mark->item.call = &mark->flow.call;
    mark->flow.call.key = key;
    mark->flow.call.kind = fb_keyspace_kind(keyspace);
}

static void one_done(struct fb_marks *marks) {
    if (atomic_fetch_sub(&marks->open, 1) == 1)
        marks->done(marks);
}

/* All go together, and the last to come back goes on; one more than there are, so that none is the last too early. */
static void push_all(struct fb_marks *marks, void (*done)(struct fb_marks *marks)) {
    struct fb_tier *tier = marks->tier;
    marks->done = done;
    atomic_store(&marks->open, marks->n + 1);
    bool is_outer = fb_tier_gather_begin();
    for (size_t i = 0; i < marks->n; i++)
        fb_tier_push(tier, &marks->items[i].item);
    if (is_outer)
        fb_tier_gather_end(tier);
    one_done(marks);
}

static void begun(struct fb_tier_item *item) {
    struct fb_mark *mark = fb_member_of(item, struct fb_mark, item);
    struct fb_marks *marks = mark->marks;
    if (mark->flow.call.outcome != FB_STORE_DONE)
        memcpy(marks->why, mark->flow.call.why, sizeof marks->why); /* any of them will do */
    if (!fb_write_flow_begun(&mark->flow)) {
        fb_tier_push(marks->tier, item);
        return;
    }
    one_done(marks);
}

void fb_marks_begin(struct fb_marks *marks, void (*done)(struct fb_marks *marks)) {
    fb_tier_start(marks->tier);
    marks->begun = fb_clock_now();
    for (size_t i = 0; i < marks->n; i++) {
        struct fb_mark *mark = &marks->items[i];
        fb_write_flow_begin(&mark->flow, mark->flow.call.kind, mark->flow.call.key, fb_tier_token(marks->tier),
                            marks->begun);
        mark->item.done = begun;
        fb_tier_note(marks->tier, mark->flow.call.key, /* is_owed = */ false);
    }
    push_all(marks, done);
}

bool fb_marks_refuse(const struct fb_marks *marks) {
    if (marks->tier->options.on_down == FB_STORE_AVAILABLE)
        return false;
    for (size_t i = 0; i < marks->n; i++)
        if (!marks->items[i].flow.is_begun)
            return true;
    return false;
}

bool fb_marks_may_store(const struct fb_marks *marks, fb_instant now) {
    for (size_t i = 0; i < marks->n; i++)
        if (!fb_write_flow_may_store(&marks->items[i].flow, now))
            return false;
    return true;
}

void fb_marks_set_end(struct fb_marks *marks, size_t i, uint64_t hash, const struct fb_keyspace *keyspace,
                      enum fb_flow_end how, fb_bytes value, uint32_t cap_ms) {
    struct fb_mark *mark = &marks->items[i];
    struct fb_engine_shard *shard = fb_cache_shard(marks->tier->cache, hash);
    fb_lock_acquire(&shard->lock);
    fb_policy policy = shard->policies[keyspace->id];
    uint16_t draw = (uint16_t)fb_rng_next(&shard->rng);
    fb_lock_release(&shard->lock);
    int64_t grace = policy.grace_ms > policy.grace_down_ms ? policy.grace_ms : policy.grace_down_ms;
    int64_t ttl = fb_span_ms(fb_policy_life(&policy, draw)) + grace;
    if (cap_ms > 0 && cap_ms < ttl)
        ttl = cap_ms;
    fb_write_flow_end(&mark->flow, how, value, how == FB_FLOW_END_ABSENT ? policy.negative_ttl_ms : ttl);
}

static void ended(struct fb_tier_item *item) {
    struct fb_mark *mark = fb_member_of(item, struct fb_mark, item);
    struct fb_marks *marks = mark->marks;
    if (!fb_write_flow_ended(&mark->flow)) {
        fb_tier_push(marks->tier, item);
        return;
    }
    /* Once more, now that it has happened: what a failover may undo is dated by this. */
    fb_tier_note(marks->tier, mark->flow.call.key, mark->flow.is_owed);
    one_done(marks);
}

void fb_marks_end(struct fb_marks *marks, void (*done)(struct fb_marks *marks)) {
    for (size_t i = 0; i < marks->n; i++) {
        struct fb_mark *mark = &marks->items[i];
        if (!mark->flow.has_end)
            fb_write_flow_end(&mark->flow, FB_FLOW_END_DROP, fb_bytes_of(NULL, 0), 0);
        mark->item.done = ended;
    }
    push_all(marks, done);
}

/* ---- holds ---- */

struct fb_hold_marks {
    struct fb_marks marks;
    struct fb_park park;
    fb_buf names;
};

static void held(struct fb_marks *marks) {
    fb_park_done(&fb_member_of(marks, struct fb_hold_marks, marks)->park);
}

void fb_hold_marks_forget(struct fb_hold_marks *holds) {
    if (holds == NULL)
        return;
    fb_marks_free(&holds->marks);
    fb_buf_free(&holds->names);
    fb_mem_free(holds);
}

static void released(struct fb_marks *marks) {
    struct fb_cache *cache = marks->tier->cache;
    fb_hold_marks_forget(fb_member_of(marks, struct fb_hold_marks, marks));
    fb_cache_op_end(cache);
}

fb_status fb_hold_marks_take(struct fb_tier *tier, const struct fb_keyspace *const *keyspaces, const fb_bytes *keys,
                             size_t n, struct fb_hold_marks **ret_marks) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += keys[i].len;
    struct fb_hold_marks *holds = fb_mem_calloc(1, sizeof *holds);
    if (holds == NULL || fb_marks_init(&holds->marks, tier, n) != FB_OK ||
        fb_buf_reserve(&holds->names, bytes) != FB_OK) {
        if (holds != NULL)
            fb_marks_free(&holds->marks);
        fb_mem_free(holds);
        return FB_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = holds->names.len;
        (void)fb_buf_append(&holds->names, keys[i].data, keys[i].len); /* there is room: it does not move */
        fb_marks_add(&holds->marks, keyspaces[i], fb_bytes_of(holds->names.data + at, keys[i].len));
    }
    fb_cache_op_begin(tier->cache);
    fb_park_init(&holds->park, 1);
    fb_marks_begin(&holds->marks, held);
    fb_park_wait(&holds->park);
    fb_cache_op_end(tier->cache);
    *ret_marks = holds;
    return fb_marks_refuse(&holds->marks) ? FB_STOREDOWN : FB_OK;
}

void fb_hold_marks_release(struct fb_hold_marks *holds, bool is_doubted) {
    if (holds == NULL)
        return;
    fb_cache_op_begin(holds->marks.tier->cache);
    for (size_t i = 0; is_doubted && i < holds->marks.n; i++)
        fb_write_flow_end(&holds->marks.items[i].flow, FB_FLOW_END_DOUBT, fb_bytes_of(NULL, 0), 0);
    fb_marks_end(&holds->marks, released);
}
