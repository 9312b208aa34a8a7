/* Changing a running cache: policies, memory, and forgetting a whole keyspace.
 *
 * Every shard has the policies for itself, covered by its lock: they change one shard after another, and no read pays
 * for it. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/keyspace.h"
#include "engine/tier.h"

enum {
    PURGE_SLOTS_HELD = 128, /* index slots looked at under one hold of a shard's lock, and one bucket */
    PURGE_SLOTS = 16384,    /* and in one call: a few hundred microseconds */
};

void fb_keyspace_put_policy(struct fb_cache *cache, unsigned keyspace, const fb_policy *policy) {
    for (unsigned i = 0; i < cache->nshards; i++) {
        struct fb_engine_shard *shard = &cache->shards[i];
        fb_lock_acquire(&shard->lock);
        shard->policies[keyspace] = *policy;
        fb_lock_release(&shard->lock);
    }
}

static bool is_same(const fb_policy *a, const fb_policy *b) {
    return a->ttl_ms == b->ttl_ms && a->jitter == b->jitter && a->negative_ttl_ms == b->negative_ttl_ms &&
           a->grace_ms == b->grace_ms && a->grace_down_ms == b->grace_down_ms &&
           a->refresh_ahead == b->refresh_ahead && a->early_refresh == b->early_refresh;
}

fb_status fb_policy_set(fb_cache *cache, unsigned keyspace, const fb_policy *policy, fb_err *reterr) {
    if (keyspace >= cache->nkeyspaces)
        return fb_fail(reterr, FB_INVALID, "there is no keyspace %u", keyspace);
    fb_err why = {0};
    if (fb_policy_check(policy, &why) != FB_OK)
        return fb_fail(reterr, FB_INVALID, "%s", why.text);
    struct fb_keyspace *ks = cache->keyspaces[keyspace];
    if (ks->options.read == FB_READ_ASIDE && fb_policy_refreshes(policy))
        return fb_fail(reterr, FB_INVALID, "refresh_ahead and early_refresh need read: read-through");
    struct fb_shown_options *shown = fb_mem_alloc(sizeof *shown);
    if (shown == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    fb_lock_acquire(&cache->change_lock);
    const fb_keyspace_options *now = fb_keyspace_at(cache, keyspace);
    if (is_same(&now->policy, policy)) {
        fb_lock_release(&cache->change_lock);
        fb_mem_free(shown);
        return FB_OK;
    }
    *shown = (struct fb_shown_options){.options = *now, .older = atomic_load(&ks->shown)};
    shown->options.policy = *policy;
    fb_keyspace_put_policy(cache, keyspace, policy);
    atomic_store(&ks->shown, shown);
    fb_lock_release(&cache->change_lock);
    return FB_OK;
}

fb_status fb_memory_max_set(fb_cache *cache, uint64_t bytes, fb_err *reterr) {
    if (bytes < FB_MEMORY_MIN)
        return fb_fail(reterr, FB_INVALID, "memory_max must be at least 1mb");
    fb_lock_acquire(&cache->change_lock);
    atomic_store(&cache->memory_max, bytes);
    for (unsigned i = 0; i < cache->nshards; i++) {
        struct fb_engine_shard *shard = &cache->shards[i];
        fb_lock_acquire(&shard->lock);
        fb_shard_set_max(shard->core, bytes / cache->nshards);
        fb_lock_release(&shard->lock);
    }
    fb_lock_release(&cache->change_lock);
    return FB_OK;
}

uint64_t fb_invalidate_keyspace(fb_cache *cache, unsigned keyspace, uint64_t cursor, size_t count,
                                uint64_t *ret_dropped) {
    uint64_t i = cursor / FB_TABLE_END, position = cursor % FB_TABLE_END;
    size_t looked = 0;
    *ret_dropped = 0;
    if (keyspace >= cache->nkeyspaces)
        return 0;
    while (i < cache->nshards && *ret_dropped < count && looked < PURGE_SLOTS) {
        struct fb_engine_shard *shard = &cache->shards[i];
        unsigned held = 0, step;
        struct fb_effects fx;
        fb_effects_init(&fx);
        fb_lock_acquire(&shard->lock);
        fb_instant now = fb_clock_now();
        shard->cause = (struct fb_event){.op = FB_OP_INVALIDATE};
        for (; position < FB_TABLE_END && *ret_dropped < count && held < PURGE_SLOTS_HELD; held += step)
            position = fb_shard_invalidate_keyspace(shard->core, position, (uint16_t)keyspace, now, &fx, ret_dropped,
                                                    &step);
        fb_shard_leave(shard);
        fb_carry_out(cache, &fx, FB_RUN_LANES);
        looked += held;
        if (position == FB_TABLE_END) {
            position = 0;
            i++;
        }
    }
    return i < cache->nshards ? i * FB_TABLE_END + position : 0;
}

fb_status fb_invalidate_shared(fb_cache *cache, unsigned keyspace, uint64_t *ret_dropped, fb_err *reterr) {
    *ret_dropped = 0;
    if (keyspace >= cache->nkeyspaces)
        return fb_fail(reterr, FB_INVALID, "there is no keyspace %u", keyspace);
    if (cache->tier == NULL)
        return FB_OK;
    fb_cache_op_begin(cache);
    fb_status status = fb_tier_forget_keyspace(cache->tier, cache->keyspaces[keyspace], ret_dropped, reterr);
    fb_cache_op_end(cache);
    return status;
}
