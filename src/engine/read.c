/* Reads: the hit path, and joining or starting a load. */
#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"

enum {
    /* A waiter gives up after the source's own timeout, so that the source's more exact error comes first; twice,
     * because the query may first wait for one round trip that is under way. */
    WAIT_TRIPS = 2,
};

fb_status fb_peek(fb_cache *cache, fb_bytes key, fb_buf *out, fb_kind *ret_kind) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    fb_instant now = fb_clock_now();
    fb_lock_acquire(&shard->lock);
    fb_status status = fb_shard_peek(shard->core, hash, key, now, out, ret_kind);
    if (status == FB_MISS)
        fb_shard_leave(shard); /* a hit changes nothing */
    else
        fb_lock_release(&shard->lock);
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
    fb_status status = fb_shard_peek(shard->core, hash, key, now, out, ret_kind);
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
