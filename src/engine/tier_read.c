/* The way of a flight through the store: asking it, asking the source, handing in what the source said. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/tier.h"

/* One flight on its way; fb_flight.way. */
struct tier_load {
    struct fb_tier_item item;
    struct fb_load_flow flow;
    struct fb_tier *tier;
    struct fb_flight *flight;
    struct fb_link bucket;     /* in tier->waiting */
    struct fb_value *loaded;   /* what the source said */
    fb_status status;
    fb_buf copy;               /* what the store said */
    bool is_over;              /* taken out of the bucket: nobody else looks at it any more */
};

static struct fb_link *bucket_of(struct fb_tier *tier, uint64_t hash) { return &tier->waiting[hash % FB_TIER_BUCKETS]; }

/* ---- the end ---- */

static struct fb_value *answer_of(struct tier_load *load, fb_status *status) {
    const struct fb_load_flow *flow = &load->flow;
    struct fb_value *value = load->loaded;
    *status = flow->status;
    if (!flow->is_copy && !flow->is_stale)
        return value; /* the row, or the text of an error */
    fb_value_unref(value);
    if (flow->status != FB_OK)
        return NULL;
    value = fb_value_new(flow->terms.kind, load->copy.data, load->copy.len);
    if (value == NULL)
        *status = FB_NOMEM;
    return value;
}

static void finish(struct tier_load *load) {
    struct fb_tier *tier = load->tier;
    struct fb_flight *flight = load->flight;
    const struct fb_load_flow *flow = &load->flow;
    struct fb_effects fx;
    fb_status status;
    fb_effects_init(&fx);
    struct fb_value *value = answer_of(load, &status);
    flight->way = NULL;
    flight->keep = flow->keep == FB_KEEP_HERE && !tier->keeps_copies ? FB_KEEP_SHARED : flow->keep;
    flight->is_stale = flow->is_stale;
    if (flow->is_copy) {
        /* Its end is the end of the copy in the store, or of what may be kept here, whichever comes first. */
        int64_t whole = flow->status == FB_OK ? flow->terms.ttl_ms : flow->terms.negative_ttl_ms;
        int64_t age = whole - flow->life_ms > 0 ? whole - flow->life_ms : 0;
        int64_t life = flow->life_ms < tier->options.copy_ttl_ms ? flow->life_ms : tier->options.copy_ttl_ms;
        flight->born = fb_after(flight->sent, fb_ms(-age));
        flight->cap_ms = age + life > UINT32_MAX ? UINT32_MAX : (uint32_t)(age + life);
    }
    fb_buf_free(&load->copy);
    fb_mem_free(load);
    fb_load_over(tier->cache, flight, status, value, &fx);
    fb_carry_out(tier->cache, &fx, FB_RUN_LANES);
}

/* ---- its steps ---- */

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
static void carry(struct tier_load *load, enum fb_flow_step step) {
    struct fb_tier *tier = load->tier;
    struct fb_effects fx;
    switch (step) {
    case FB_FLOW_ASK:
        fb_tier_push(tier, &load->item);
        break;
    case FB_FLOW_LOAD:
        fb_effects_init(&fx);
        fb_list_push_back(&fx.loads, &load->flight->link);
        fb_carry_out(tier->cache, &fx, FB_RUN_LANES);
        break;
    case FB_FLOW_WAIT:
        break; /* fb_tier_told, or the tick */
    case FB_FLOW_OVER:
        finish(load);
        break;
    }
}

/* With the lock held: what the step is now; one that is over is nobody else's any more. */
static enum fb_flow_step leave(struct tier_load *load) {
    enum fb_flow_step step = load->flow.step;
    if (step == FB_FLOW_OVER && !load->is_over) {
        fb_list_remove(&load->bucket);
        load->is_over = true;
    }
    return step;
}

static void answered(struct fb_tier_item *item) {
    struct tier_load *load = fb_member_of(item, struct tier_load, item);
    struct fb_tier *tier = load->tier;
    count_answer(tier, item->call);
    item->is_question = false;
    fb_lock_acquire(&tier->lock);
    fb_load_flow_answered(&load->flow, fb_tier_token(tier), fb_clock_now());
    enum fb_flow_step step = leave(load);
    fb_lock_release(&tier->lock);
    carry(load, step);
}

void fb_tier_asked(struct fb_tier_item *item) {
    struct fb_flight *flight = fb_member_of(item, struct tier_load, item)->flight;
    struct fb_cache *cache = fb_member_of(item, struct tier_load, item)->tier->cache;
    struct fb_engine_shard *shard = fb_cache_shard(cache, flight->hash);
    fb_lock_acquire(&shard->lock);
    fb_shard_asked(shard->core, flight, fb_clock_now());
    fb_lock_release(&shard->lock);
}

bool fb_tier_loaded(struct fb_tier *tier, struct fb_flight *flight, fb_status status, struct fb_value *value) {
    struct tier_load *load = flight->way;
    if (load == NULL)
        return false;
    load->loaded = value;
    fb_lock_acquire(&tier->lock);
    fb_load_flow_loaded(&load->flow, status, fb_value_bytes(value), /* is_outage = */ status < 0);
    enum fb_flow_step step = leave(load);
    fb_lock_release(&tier->lock);
    carry(load, step);
    return true;
}

/* ---- the begin ---- */

static int64_t load_ms(const struct fb_source *source) {
    const struct fb_timing *t = &source->timings[FB_TIME_LOAD];
    uint64_t n = atomic_load_explicit(&t->n, memory_order_relaxed);
    return n == 0 ? 0 : (int64_t)(atomic_load_explicit(&t->sum_us, memory_order_relaxed) / n / 1000);
}

static struct fb_flow_terms terms_of(struct fb_tier *tier, const struct fb_flight *flight) {
    const struct fb_keyspace *keyspace = tier->cache->keyspaces[flight->keyspace];
    struct fb_engine_shard *shard = fb_cache_shard(tier->cache, flight->hash);
    fb_lock_acquire(&shard->lock);
    fb_policy policy = shard->policies[flight->keyspace];
    uint16_t draw = (uint16_t)fb_rng_next(&shard->rng);
    fb_lock_release(&shard->lock);
    return (struct fb_flow_terms){
        .kind = fb_keyspace_kind(keyspace),
        .ttl_ms = policy.ttl_ms,
        .negative_ttl_ms = policy.negative_ttl_ms,
        .grace_ms = policy.grace_ms > policy.grace_down_ms ? policy.grace_ms : policy.grace_down_ms,
        .lasting_ms = fb_span_ms(fb_policy_life(&policy, draw)),
        .load_ms = load_ms(keyspace->source),
        .why = flight->refreshes ? FB_FLOW_ANEW : FB_FLOW_MISSED,
        .distrust = {atomic_load_explicit(&tier->distrust, memory_order_relaxed)},
        .has_store = !fb_tier_is_out(tier),
    };
}

static void start(struct fb_tier *tier, struct fb_flight *flight) {
    struct fb_flow_terms terms = terms_of(tier, flight);
    struct tier_load *load = fb_mem_calloc(1, sizeof *load);
    if (load == NULL) { /* alone, then */
        struct fb_effects fx;
        fb_effects_init(&fx);
        flight->keep = FB_KEEP_NOT;
        fb_list_push_back(&fx.loads, &flight->link);
        fb_carry_out(tier->cache, &fx, FB_RUN_LANES);
        return;
    }
    load->tier = tier;
    load->flight = flight;
    load->item = (struct fb_tier_item){.call = &load->flow.call, .done = answered, .is_question = true};
    flight->way = load;
    fb_lock_acquire(&tier->lock);
    fb_load_flow_start(&load->flow, &terms, fb_flight_key(flight), &load->copy, fb_tier_token(tier));
    fb_list_push_back(bucket_of(tier, flight->hash), &load->bucket);
    enum fb_flow_step step = leave(load);
    fb_lock_release(&tier->lock);
    carry(load, step);
}

void fb_tier_take_loads(struct fb_tier *tier, struct fb_effects *fx) {
    struct fb_link mine = FB_LIST_INIT(mine);
    for (struct fb_link *l = fx->loads.next, *next; l != &fx->loads; l = next) {
        const struct fb_flight *flight = fb_member_of(l, struct fb_flight, link);
        next = l->next;
        if (flight->way != NULL || flight->keep != FB_KEEP_HERE)
            continue; /* it has been to the store */
        fb_list_remove(l);
        fb_list_push_back(&mine, l);
    }
    if (fb_list_is_empty(&mine))
        return;
    fb_tier_start(tier);
    bool is_outer = fb_tier_gather_begin();
    for (struct fb_link *l; (l = fb_list_pop_front(&mine)) != NULL;)
        start(tier, fb_member_of(l, struct fb_flight, link));
    if (is_outer)
        fb_tier_gather_end(tier);
}

/* ---- waiting for another's load ---- */

void fb_tier_told(struct fb_tier *tier, uint64_t hash, fb_bytes key) {
    struct fb_link *bucket = bucket_of(tier, hash);
    struct tier_load *woken = NULL;
    fb_lock_acquire(&tier->lock);
    for (struct fb_link *l = bucket->next; l != bucket; l = l->next) {
        struct tier_load *load = fb_member_of(l, struct tier_load, bucket);
        fb_bytes own = load->flow.call.key;
        if (own.len != key.len || memcmp(own.data, key.data, key.len) != 0)
            continue;
        bool was_waiting = load->flow.step == FB_FLOW_WAIT;
        fb_load_flow_told(&load->flow);
        if (!was_waiting)
            continue;
        fb_list_init(&load->item.link);
        load->item.next_woken = woken != NULL ? &woken->item : NULL;
        woken = load;
    }
    fb_lock_release(&tier->lock);
    while (woken != NULL) {
        struct tier_load *load = woken;
        woken = load->item.next_woken != NULL ? fb_member_of(load->item.next_woken, struct tier_load, item) : NULL;
        carry(load, load->flow.step); /* nobody else moves it between WAIT and what comes of this */
    }
}

/* Those whose time is over ask the source themselves; without a connection that tells, the others look again. */
static unsigned wake_some(struct fb_tier *tier, struct tier_load **ret_loads, unsigned max, bool is_end) {
    bool is_told = fb_proof_holds(tier->proved, fb_clock_now());
    fb_instant now = fb_clock_now();
    unsigned n = 0;
    fb_lock_acquire(&tier->lock);
    for (unsigned i = 0; i < FB_TIER_BUCKETS; i++)
        for (struct fb_link *l = tier->waiting[i].next; l != &tier->waiting[i] && n < max; l = l->next) {
            struct tier_load *load = fb_member_of(l, struct tier_load, bucket);
            if (load->flow.step != FB_FLOW_WAIT)
                continue;
            if (is_end || fb_reached(now, load->flow.due))
                fb_load_flow_late(&load->flow);
            else if (!is_told)
                fb_load_flow_told(&load->flow);
            else
                continue;
            ret_loads[n++] = load;
        }
    fb_lock_release(&tier->lock);
    return n;
}

static void wake(struct fb_tier *tier, bool is_end) {
    enum { SOME = 64 };
    struct tier_load *loads[SOME];
    unsigned n;
    do {
        n = wake_some(tier, loads, SOME, is_end);
        for (unsigned i = 0; i < n; i++)
            carry(loads[i], loads[i]->flow.step);
    } while (n == SOME);
}

void fb_tier_tick(struct fb_tier *tier) { wake(tier, /* is_end = */ false); }
void fb_tier_withdraw(struct fb_tier *tier) { wake(tier, /* is_end = */ true); }
