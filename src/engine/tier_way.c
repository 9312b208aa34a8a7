/* A load on its way through the store, whoever it is for: its steps, and waiting for another's load. */
#include <string.h>

#include "base/clock.h"
#include "engine/tier.h"

static struct fb_link *bucket_of(struct fb_tier *tier, uint64_t hash) { return &tier->waiting[hash % FB_TIER_BUCKETS]; }

static void count_answer(struct fb_tier *tier, const struct fb_store_call *call) {
    _Atomic uint64_t *counter = NULL;
    switch (call->answer) {
    case FB_STORE_HIT:
        counter = call->move == FB_STORE_GET ? &tier->hits : NULL;
        break;
    case FB_STORE_NOTHING:
        counter = &tier->misses;
        break;
    case FB_STORE_NEG:
        counter = &tier->negatives;
        break;
    case FB_STORE_BUSY:
        counter = &tier->busy;
        break;
    case FB_STORE_WAIT:
        counter = &tier->waits;
        break;
    case FB_STORE_LEASE:
        counter = &tier->leases;
        break;
    case FB_STORE_PUT:
        counter = &tier->fills;
        break;
    case FB_STORE_NOT_MINE:
        counter = &tier->fills_refused;
        break;
    default:
        break;
    }
    if (counter != NULL && call->outcome == FB_STORE_DONE)
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Do what the flow's step says. It was looked at under the lock; whoever moved the flow to this step carries it out. */
static void carry(struct fb_way *way, enum fb_flow_step step) {
    switch (step) {
    case FB_FLOW_ASK:
        fb_tier_push(way->tier, &way->item);
        break;
    case FB_FLOW_LOAD:
        way->load(way);
        break;
    case FB_FLOW_WAIT:
        break; /* fb_tier_told, or the tick */
    case FB_FLOW_OVER:
        way->over(way);
        break;
    }
}

/* With the lock held: what the step is now; one that is over is nobody else's any more. */
static enum fb_flow_step leave(struct fb_way *way) {
    enum fb_flow_step step = way->flow.step;
    if (step == FB_FLOW_OVER && !way->is_over) {
        fb_list_remove(&way->bucket);
        way->is_over = true;
    }
    return step;
}

static void answered(struct fb_tier_item *item) {
    struct fb_way *way = fb_member_of(item, struct fb_way, item);
    struct fb_tier *tier = way->tier;
    count_answer(tier, item->call);
    fb_lock_acquire(&tier->lock);
    fb_load_flow_answered(&way->flow, fb_tier_token(tier), fb_clock_now());
    enum fb_flow_step step = leave(way);
    fb_lock_release(&tier->lock);
    carry(way, step);
}

void fb_way_start(struct fb_tier *tier, struct fb_way *way, uint64_t hash, fb_bytes key,
                  const struct fb_flow_terms *terms) {
    way->tier = tier;
    way->item = (struct fb_tier_item){.call = &way->flow.call, .done = answered, .is_question = way->item.is_question};
    fb_tier_start(tier);
    fb_lock_acquire(&tier->lock);
    way->key = key;
    fb_load_flow_start(&way->flow, terms, key, &way->copy, fb_tier_token(tier));
    fb_list_push_back(bucket_of(tier, hash), &way->bucket);
    enum fb_flow_step step = leave(way);
    fb_lock_release(&tier->lock);
    carry(way, step);
}

void fb_way_loaded(struct fb_way *way, fb_status status, fb_bytes value) {
    struct fb_tier *tier = way->tier;
    fb_lock_acquire(&tier->lock);
    fb_load_flow_loaded(&way->flow, status, value, /* is_outage = */ status < 0);
    enum fb_flow_step step = leave(way);
    fb_lock_release(&tier->lock);
    carry(way, step);
}

void fb_way_quit(struct fb_way *way) {
    fb_lock_acquire(&way->tier->lock);
    fb_list_remove(&way->bucket);
    fb_lock_release(&way->tier->lock);
}

/* ---- waiting for another's load ---- */

void fb_tier_told(struct fb_tier *tier, uint64_t hash, fb_bytes key) {
    struct fb_link *bucket = bucket_of(tier, hash);
    struct fb_way *woken = NULL;
    fb_lock_acquire(&tier->lock);
    for (struct fb_link *l = bucket->next; l != bucket; l = l->next) {
        struct fb_way *way = fb_member_of(l, struct fb_way, bucket);
        if (way->key.len != key.len || memcmp(way->key.data, key.data, key.len) != 0)
            continue;
        bool was_waiting = way->flow.step == FB_FLOW_WAIT;
        fb_load_flow_told(&way->flow);
        if (!was_waiting)
            continue;
        fb_list_init(&way->item.link);
        way->item.next_woken = woken != NULL ? &woken->item : NULL;
        woken = way;
    }
    fb_lock_release(&tier->lock);
    while (woken != NULL) {
        struct fb_way *way = woken;
        woken = way->item.next_woken != NULL ? fb_member_of(way->item.next_woken, struct fb_way, item) : NULL;
        carry(way, way->flow.step); /* nobody else moves it between WAIT and what comes of this */
    }
}

/* Those whose time is over ask the source themselves; without a connection that tells, the others look again. */
static unsigned wake_some(struct fb_tier *tier, struct fb_way **ret_ways, unsigned max, bool is_end) {
    bool is_told = fb_proof_holds(fb_place_proof(tier->place), fb_clock_now()); /* with or without copies of our own */
    fb_instant now = fb_clock_now();
    unsigned n = 0;
    fb_lock_acquire(&tier->lock);
    for (unsigned i = 0; i < FB_TIER_BUCKETS; i++)
        for (struct fb_link *l = tier->waiting[i].next; l != &tier->waiting[i] && n < max; l = l->next) {
            struct fb_way *way = fb_member_of(l, struct fb_way, bucket);
            if (way->flow.step != FB_FLOW_WAIT)
                continue;
            if (is_end || fb_reached(now, way->flow.due))
                fb_load_flow_late(&way->flow);
            else if (!is_told)
                fb_load_flow_told(&way->flow);
            else
                continue;
            ret_ways[n++] = way;
        }
    fb_lock_release(&tier->lock);
    return n;
}

static void wake(struct fb_tier *tier, bool is_end) {
    enum { SOME = 64 };
    struct fb_way *ways[SOME];
    unsigned n;
    do {
        n = wake_some(tier, ways, SOME, is_end);
        for (unsigned i = 0; i < n; i++)
            carry(ways[i], ways[i]->flow.step);
    } while (n == SOME);
}

void fb_tier_tick(struct fb_tier *tier) {
    wake(tier, /* is_end = */ false);
    fb_tier_locks_tick(tier, /* is_closing = */ false);
}
void fb_tier_withdraw(struct fb_tier *tier) {
    wake(tier, /* is_end = */ true);
    fb_tier_locks_tick(tier, /* is_closing = */ true);
}
