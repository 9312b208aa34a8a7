/* Reads: the hit path, and joining or starting a load. */
#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"

enum {
    /* A waiter gives up after the source's own timeout, so that the source's more exact error comes first; twice,
     * because the query may first wait for one round trip that is under way. */
    WAIT_TRIPS = 2,
};

/* With the shard's lock held, which it lets go. Never on the caller's own thread, which has its answer and shall not wait. */
static void refresh_if_due(struct fb_cache *cache, struct fb_engine_shard *shard, uint64_t hash, fb_bytes key,
                           const struct fb_stamp *stamp, fb_instant now) {
    struct fb_source *source = cache->keyspaces[stamp->keyspace]->source;
    struct fb_effects fx;
    fb_effects_init(&fx);
    enum fb_due due = fb_shard_due(shard->core, hash, key, stamp, now, (uint32_t)fb_rng_next(&shard->rng));
    if (due != FB_DUE_NOT) {
        bool may_load = fb_source_refresh_begin(source, now);
        fb_status status = fb_shard_refresh_ahead(shard->core, hash, key, stamp, due, may_load, now, &fx);
        if (may_load && status != FB_OK)
            fb_source_refresh_end(source);
    }
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
}

void fb_refresh_ahead(struct fb_cache *cache, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp) {
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    fb_lock_acquire(&shard->lock);
    refresh_if_due(cache, shard, hash, key, stamp, fb_clock_now());
}

/* A hit has found its copy ripe: as above. */
static void hit_ripe(struct fb_cache *cache, struct fb_engine_shard *shard, uint64_t hash, fb_bytes key, fb_instant now) {
    struct fb_stamp stamp;
    if (fb_shard_look(shard->core, hash, key, now, &stamp) == FB_OK)
        refresh_if_due(cache, shard, hash, key, &stamp, now);
    else
        fb_shard_leave(shard);
}

fb_status fb_peek(fb_cache *cache, fb_bytes key, fb_buf *out, fb_kind *ret_kind) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    fb_instant now = fb_clock_now();
    struct fb_hit hit;
    fb_lock_acquire(&shard->lock);
    fb_status status = fb_shard_peek(shard->core, hash, key, now, out, &hit);
    *ret_kind = hit.kind;
    if (__builtin_expect((status != FB_MISS) & !hit.is_ripe, 1))
        fb_lock_release(&shard->lock); /* a hit changes nothing */
    else if (status == FB_MISS)
        fb_shard_leave(shard);
    else
        hit_ripe(cache, shard, hash, key, now);
    return status;
}

/* The locks are taken again for each step: they are cheap next to the memory that is fetched meanwhile. */
static void prefetch_step(fb_cache *cache, const uint64_t *hashes, size_t n, enum fb_prefetch_step step) {
    for (size_t i = 0; i < n; i++) {
        struct fb_engine_shard *shard = fb_cache_shard(cache, hashes[i]);
        fb_lock_acquire(&shard->lock);
        fb_table_prefetch(fb_shard_table(shard->core), hashes[i], step);
        fb_lock_release(&shard->lock);
    }
}

void fb_prefetch(fb_cache *cache, const fb_bytes *keys, size_t n) {
    uint64_t hashes[FB_PREFETCH_MAX];
    if (n > FB_PREFETCH_MAX)
        n = FB_PREFETCH_MAX;
    for (size_t i = 0; i < n; i++)
        hashes[i] = fb_cache_hash(cache, keys[i]);
    prefetch_step(cache, hashes, n, FB_PREFETCH_INDEX);
    prefetch_step(cache, hashes, n, FB_PREFETCH_ENTRY);
}

fb_status fb_cached(fb_cache *cache, fb_bytes key) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    struct fb_stamp stamp;
    fb_lock_acquire(&shard->lock);
    fb_status status = fb_shard_look(shard->core, hash, key, fb_clock_now(), &stamp);
    fb_shard_leave(shard);
    return status;
}

fb_status fb_read_begin(struct fb_read *read, struct fb_keyspace *keyspace, fb_bytes key, fb_buf *out, fb_kind *ret_kind,
                        struct fb_effects *fx) {
    struct fb_cache *cache = keyspace->source->cache;
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    fb_instant now = fb_clock_now();
    bool may_load = keyspace->options.read == FB_READ_THROUGH || read->waiter.wants_lease;

    read->cache = cache;
    read->keyspace = keyspace;
    if (!read->waiter.wants_lease)
        read->waiter.deadline = fb_after(now, fb_ms(WAIT_TRIPS * keyspace->source->options.read_timeout_ms));
    /* Counted before anything can complete it: its completion may run before this function returns. */
    fb_cache_op_begin(cache);
    fb_lock_acquire(&shard->lock);
    struct fb_hit hit;
    fb_status status = fb_shard_peek(shard->core, hash, key, now, out, &hit);
    if (status != FB_MISS)
        *ret_kind = hit.kind;
    if (status == FB_MISS && may_load) {
        read->waiter.patience = fb_ms(keyspace->source->options.soft_timeout_ms);
        read->waiter.source_down = fb_source_is_down(keyspace->source, now);
        status = fb_shard_stale(shard->core, hash, key, keyspace->id, &read->waiter, now, out, ret_kind);
        read->waiter.is_stale = status == FB_OK;
    }
    if (status == FB_MISS && may_load)
        status = fb_shard_miss(shard->core, hash, key, keyspace->id, &read->waiter, now, fx);
    else if (status == FB_MISS)
        fb_shard_counters(shard->core, keyspace->id)->misses++;
    if (hit.is_ripe)
        hit_ripe(cache, shard, hash, key, now);
    else
        fb_shard_leave(shard);
    if (status != FB_PENDING)
        fb_cache_op_end(cache);
    return status;
}

fb_status fb_refresh_begin(struct fb_read *read, struct fb_keyspace *keyspace, fb_bytes key, struct fb_effects *fx) {
    struct fb_cache *cache = keyspace->source->cache;
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    fb_instant now = fb_clock_now();
    read->cache = cache;
    read->keyspace = keyspace;
    read->waiter.deadline = fb_after(now, fb_ms(WAIT_TRIPS * keyspace->source->options.read_timeout_ms));
    fb_cache_op_begin(cache);
    fb_lock_acquire(&shard->lock);
    fb_status status = fb_shard_refresh(shard->core, hash, key, keyspace->id, &read->waiter, now, fx);
    fb_shard_leave(shard);
    if (status != FB_PENDING)
        fb_cache_op_end(cache);
    return status;
}
