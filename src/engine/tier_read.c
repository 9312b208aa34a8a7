/* The way of a flight through the store: asking it, asking the source, handing in what the source said. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/tier.h"

enum {
    LEASE_SLACK_MS = 1000,     /* of a lease, beyond what the query may take: the lane before it, FILL after it */
    NEWER_MS = 10, NEWER_SHARE = 100, /* a copy that lives so much longer than another was loaded later */
};

/* One flight on its way; fb_flight.way. */
struct tier_load {
    struct fb_way way;
    struct fb_flight *flight;
    struct fb_value *loaded;   /* what the source said */
};

static struct tier_load *of(struct fb_way *way) { return fb_member_of(way, struct tier_load, way); }

/* ---- the end ---- */

static struct fb_value *answer_of(struct tier_load *load, fb_status *status) {
    const struct fb_load_flow *flow = &load->way.flow;
    struct fb_value *value = load->loaded;
    *status = flow->status;
    if (!flow->is_copy && !flow->is_stale)
        return value; /* the row, or the text of an error */
    fb_value_unref(value);
    if (flow->status != FB_OK)
        return NULL;
    value = fb_value_new(flow->terms.kind, load->way.copy.data, load->way.copy.len);
    if (value == NULL)
        *status = FB_NOMEM;
    return value;
}

/* On average; 0: this process has not loaded anything yet. */
static uint64_t load_us(const struct fb_source *source) {
    const struct fb_timing *t = &source->timings[FB_TIME_LOAD];
    uint64_t n = atomic_load_explicit(&t->n, memory_order_relaxed);
    return n == 0 ? 0 : atomic_load_explicit(&t->sum_us, memory_order_relaxed) / n;
}

/* A copy has the birth and the end that it has in the store; here it may have to go sooner. */
static void date_copy(const struct fb_tier *tier, const struct fb_load_flow *flow, struct fb_flight *flight) {
    int64_t whole = flow->status == FB_OK ? flow->terms.ttl_ms : flow->terms.negative_ttl_ms;
    int64_t age = whole - flow->life_ms > 0 ? whole - flow->life_ms : 0;
    int64_t life = flow->life_ms < tier->options.copy_ttl_ms ? flow->life_ms : tier->options.copy_ttl_ms;
    uint64_t cost = load_us(tier->cache->keyspaces[flight->keyspace]->source);
    flight->born = fb_after(flight->sent, fb_ms(-age));
    flight->cap_ms = age + life > UINT32_MAX ? UINT32_MAX : (uint32_t)(age + life);
    flight->cost_us = cost < 1 ? 1 : cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
}

/* It has answered; may its refresh be due? */
static bool count_copy(struct fb_tier *tier, const struct fb_flight *flight, struct fb_stamp *ret_copy) {
    struct fb_engine_shard *shard = fb_cache_shard(tier->cache, flight->hash);
    fb_lock_acquire(&shard->lock);
    fb_shard_counters(shard->core, flight->keyspace)->shared_hits++;
    fb_policy policy = shard->policies[flight->keyspace];
    fb_lock_release(&shard->lock);
    return fb_tier_is_ripe(tier, flight, &policy, ret_copy);
}

static void finish(struct fb_way *way) {
    struct tier_load *load = of(way);
    struct fb_tier *tier = load->way.tier;
    struct fb_cache *cache = tier->cache;
    struct fb_flight *flight = load->flight;
    const struct fb_load_flow *flow = &load->way.flow;
    struct fb_effects fx;
    fb_buf key = FB_BUF_INIT;
    uint64_t hash = flight->hash;
    fb_status status;
    fb_effects_init(&fx);
    struct fb_value *value = answer_of(load, &status);
    flight->way = NULL;
    bool is_proved = fb_proof_holds(tier->proved, fb_clock_now());
    flight->keep = flow->keep == FB_KEEP_HERE && !is_proved ? FB_KEEP_SHARED : flow->keep;
    flight->is_stale = flow->is_stale;
    struct fb_stamp copy;
    if (flow->is_copy) {
        date_copy(tier, flow, flight);
        if (count_copy(tier, flight, &copy) && status == FB_OK)
            (void)fb_buf_append(&key, fb_flight_key(flight).data, fb_flight_key(flight).len); /* else not now */
    }
    flight->is_put_off = flow->is_put_off;
    fb_tier_ahead_over(tier, flight, flow);
    fb_buf_free(&load->way.copy);
    fb_mem_free(load);
    fb_load_over(cache, flight, status, value, &fx);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    if (key.len > 0)
        fb_refresh_ahead(cache, hash, fb_bytes_of(key.data, key.len), &copy);
    fb_buf_free(&key);
}

/* ---- its steps ---- */

/* A copy in its grace stands in here too, for those whose patience will be over before the source answers. */
static void adopt(struct fb_way *way) {
    const struct fb_load_flow *flow = &way->flow;
    struct fb_flight *flight = of(way)->flight;
    struct fb_engine_shard *shard = fb_cache_shard(way->tier->cache, flight->hash);
    fb_bytes value = fb_bytes_of(way->copy.data, way->copy.len);
    fb_instant born = fb_after(flight->sent, fb_ms(flow->life_ms - flow->terms.ttl_ms));
    fb_lock_acquire(&shard->lock);
    fb_shard_adopt(shard->core, flight, flow->terms.kind, value, born, fb_clock_now());
    fb_shard_leave(shard);
}

static void ask_source(struct fb_way *way) {
    struct fb_effects fx;
    if (way->flow.has_stale)
        adopt(way);
    fb_effects_init(&fx);
    fb_list_push_back(&fx.loads, &of(way)->flight->link);
    fb_carry_out(way->tier->cache, &fx, FB_RUN_LANES);
}

void fb_tier_asked(struct fb_tier_item *item) {
    struct fb_way *way = fb_member_of(item, struct fb_way, item);
    struct fb_flight *flight = of(way)->flight;
    struct fb_engine_shard *shard = fb_cache_shard(way->tier->cache, flight->hash);
    fb_lock_acquire(&shard->lock);
    fb_shard_asked(shard->core, flight, fb_clock_now());
    fb_lock_release(&shard->lock);
}

bool fb_tier_loaded(struct fb_flight *flight, fb_status status, struct fb_value *value) {
    struct tier_load *load = flight->way;
    if (load == NULL)
        return false;
    load->loaded = value;
    fb_way_loaded(&load->way, status, fb_value_bytes(value));
    return true;
}

/* ---- the begin ---- */

struct fb_flow_terms fb_tier_terms(struct fb_tier *tier, const struct fb_keyspace *keyspace, uint64_t hash) {
    struct fb_engine_shard *shard = fb_cache_shard(tier->cache, hash);
    fb_lock_acquire(&shard->lock);
    fb_policy policy = shard->policies[keyspace->id];
    uint16_t draw = (uint16_t)fb_rng_next(&shard->rng);
    fb_lock_release(&shard->lock);
    return (struct fb_flow_terms){
        .kind = fb_keyspace_kind(keyspace),
        .ttl_ms = policy.ttl_ms,
        .negative_ttl_ms = policy.negative_ttl_ms,
        .grace_ms = policy.grace_ms > policy.grace_down_ms ? policy.grace_ms : policy.grace_down_ms,
        .lasting_ms = fb_span_ms(fb_policy_life(&policy, draw)),
        .lease_ms = keyspace->source->options.read_timeout_ms + LEASE_SLACK_MS,
        .load_ms = (int64_t)load_us(keyspace->source) / 1000,
        .distrust = {atomic_load_explicit(&tier->distrust, memory_order_relaxed)},
        .has_store = !fb_tier_is_out(tier),
    };
}

static void start(struct fb_tier *tier, struct fb_flight *flight) {
    struct fb_flow_terms terms = fb_tier_terms(tier, tier->cache->keyspaces[flight->keyspace], flight->hash);
    terms.why = flight->is_ahead ? FB_FLOW_AHEAD : flight->refreshes ? FB_FLOW_ANEW : FB_FLOW_MISSED;
    terms.enough_ms = fb_span_ms(flight->left) + NEWER_MS + terms.ttl_ms / NEWER_SHARE;
    struct tier_load *load = fb_mem_calloc(1, sizeof *load);
    if (load == NULL) { /* alone, then */
        struct fb_effects fx;
        fb_effects_init(&fx);
        flight->keep = FB_KEEP_NOT;
        fb_list_push_back(&fx.loads, &flight->link);
        fb_carry_out(tier->cache, &fx, FB_RUN_LANES);
        return;
    }
    load->flight = flight;
    load->way.load = ask_source;
    load->way.over = finish;
    load->way.item.is_question = true;
    flight->way = load;
    fb_way_start(tier, &load->way, flight->hash, fb_flight_key(flight), &terms);
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
    bool is_outer = fb_tier_gather_begin();
    for (struct fb_link *l; (l = fb_list_pop_front(&mine)) != NULL;)
        start(tier, fb_member_of(l, struct fb_flight, link));
    if (is_outer)
        fb_tier_gather_end(tier);
}
