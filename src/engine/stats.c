/* Figures, summed over the shards when somebody asks. */
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"
#include "engine/tier.h"

void fb_stats_get(fb_cache *cache, fb_stats *ret_stats) {
    *ret_stats = (fb_stats){.memory_max = cache->memory_max};
    for (unsigned i = 0; i < cache->nshards; i++) {
        struct fb_engine_shard *shard = &cache->shards[i];
        struct fb_table_stats table;
        fb_lock_acquire(&shard->lock);
        fb_table_stats(fb_shard_table(shard->core), &table);
        fb_lock_release(&shard->lock);
        ret_stats->memory_used += table.bytes;
        ret_stats->keys += table.keys;
        ret_stats->negative_keys += table.negative_keys;
    }
}

fb_status fb_keyspace_stats_get(fb_cache *cache, unsigned index, fb_keyspace_stats *ret_stats) {
    *ret_stats = (fb_keyspace_stats){0};
    if (index >= cache->nkeyspaces)
        return FB_INVALID;
    for (unsigned i = 0; i < cache->nshards; i++) {
        struct fb_engine_shard *shard = &cache->shards[i];
        struct fb_table_stats table;
        fb_lock_acquire(&shard->lock);
        const fb_keyspace_stats *one = fb_shard_counters(shard->core, (uint16_t)index);
#define ADD(name, text) ret_stats->name += one->name;
        FB_KEYSPACE_COUNTERS(ADD)
#undef ADD
        fb_table_keyspace_stats(fb_shard_table(shard->core), (uint16_t)index, &table);
        fb_lock_release(&shard->lock);
        ret_stats->keys += table.keys;
        ret_stats->negative_keys += table.negative_keys;
        ret_stats->bytes += table.bytes;
    }
    return FB_OK;
}

const int64_t fb_time_steps_us[FB_TIME_STEPS] = {50,    100,   250,    500,    1000,   2500,    5000,    10000,
                                                 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000};

void fb_source_timed(struct fb_source *source, fb_time_kind kind, fb_span took) {
    struct fb_timing *timing = &source->timings[kind];
    int64_t us = took.ns > 0 ? took.ns / 1000 : 0;
    unsigned i = 0;
    while (i < FB_TIME_STEPS && us > fb_time_steps_us[i])
        i++;
    atomic_fetch_add_explicit(&timing->n, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&timing->sum_us, (uint64_t)us, memory_order_relaxed);
    atomic_fetch_add_explicit(&timing->counts[i], 1, memory_order_relaxed);
}

void fb_source_times_get(const fb_source *source, fb_time_kind kind, fb_times *ret_times) {
    const struct fb_timing *timing = &source->timings[kind];
    *ret_times = (fb_times){.n = atomic_load(&timing->n), .sum_us = atomic_load(&timing->sum_us)};
    for (unsigned i = 0; i <= FB_TIME_STEPS; i++)
        ret_times->counts[i] = atomic_load(&timing->counts[i]);
}

void fb_source_stats_get(const fb_source *source, fb_source_stats *ret_stats) {
    struct fb_lock *lock = (struct fb_lock *)(uintptr_t)&source->health_lock;
    *ret_stats = (fb_source_stats){
        .read_trips = atomic_load(&source->read_trips),
        .rows_wanted = atomic_load(&source->rows_wanted),
        .write_trips = atomic_load(&source->write_trips),
        .writes = atomic_load(&source->nwrites),
        .errors = atomic_load(&source->errors),
        .waiting = fb_lane_waiting(source->reads) + fb_lane_waiting(source->writes),
        .sessions = atomic_load(&source->sessions),
        .under_way = atomic_load(&source->under_way),
        .cancelled = atomic_load(&source->cancelled),
        .stopped = atomic_load(&source->stopped),
    };
    fb_lock_acquire(lock);
    ret_stats->breaker = source->breaker.state;
    ret_stats->opens = source->breaker.opens;
    ret_stats->retry_ms = (uint64_t)fb_span_ms(fb_breaker_wait(&source->breaker, fb_clock_now()));
    fb_lock_release(lock);
}

void fb_sharing_stats_get(fb_cache *cache, fb_sharing_stats *ret_stats) {
    struct fb_tier *tier = cache->tier;
    struct fb_place_facts facts;
    *ret_stats = (fb_sharing_stats){.is_shared = tier != NULL};
    if (tier == NULL)
        return;
#define TAKE(name, text) ret_stats->name = atomic_load_explicit(&tier->name, memory_order_relaxed);
    FB_SHARING_COUNTERS(TAKE)
#undef TAKE
    fb_place_facts(tier->place, &facts);
    ret_stats->is_up = atomic_load_explicit(&tier->shut_until, memory_order_relaxed) == 0;
    ret_stats->is_proved = fb_proof_holds(tier->proved, fb_clock_now());
    ret_stats->primaries = facts.primaries;
    ret_stats->waiting = fb_lane_waiting(tier->lane);
    snprintf(ret_stats->where, sizeof ret_stats->where, "%s", facts.primary);
    fb_lock_acquire(&tier->lock);
    snprintf(ret_stats->last_error, sizeof ret_stats->last_error, "%s", tier->why);
    fb_lock_release(&tier->lock);
}
