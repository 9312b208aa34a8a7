/* Opening and closing a cache, its sources and its keyspaces; the ticker. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/behind.h"
#include "engine/engine.h"
#include "engine/tier.h"
#include "engine/keyspace.h"
#include "engine/named_lock.h"

enum {
    SHARDS_DEFAULT = 16,
    SHARDS_MAX = 256,
    BATCH_MAX = 1000,
    SWEEPS_WATCHED = 16, /* per tick: a million entries in 16 shards within some seconds */
};
#define MEMORY_DEFAULT (UINT64_C(256) << 20)

/* ---- waiting ---- */

void fb_park_init(struct fb_park *park, unsigned open) {
    fb_lock_init(&park->lock, FB_LOCK_PARK);
    fb_cond_init(&park->cond);
    park->open = open;
}

void fb_park_done(struct fb_park *park) {
    fb_lock_acquire(&park->lock);
    if (--park->open == 0)
        fb_cond_signal(&park->cond);
    fb_lock_release(&park->lock);
}

bool fb_park_wait_until(struct fb_park *park, fb_instant due) {
    fb_lock_acquire(&park->lock);
    while (park->open > 0 && !fb_reached(fb_clock_now(), due))
        fb_cond_wait_until(&park->cond, &park->lock, due);
    bool is_done = park->open == 0;
    fb_lock_release(&park->lock);
    return is_done;
}

void fb_park_wait(struct fb_park *park) {
    fb_lock_acquire(&park->lock);
    while (park->open > 0)
        fb_cond_wait(&park->cond, &park->lock);
    fb_lock_release(&park->lock);
    fb_cond_finish(&park->cond);
    fb_lock_finish(&park->lock);
}

void fb_cache_op_begin(struct fb_cache *cache) { atomic_fetch_add(&cache->pending, 1); }

void fb_cache_op_end(struct fb_cache *cache) {
    if (atomic_fetch_sub(&cache->pending, 1) != (FB_CLOSING | 1))
        return;
    /* The last one of a cache that is closing: fb_close waits for this flag and for nothing else, so the cache cannot
     * go away before it is set. */
    fb_lock_acquire(&cache->park_lock);
    cache->is_idle = true;
    fb_cond_broadcast(&cache->park_cond);
    fb_lock_release(&cache->park_lock);
}

/* ---- the ticker ---- */

static void tick(struct fb_cache *cache, struct fb_engine_shard *shard) {
    struct fb_effects fx;
    fb_effects_init(&fx);
    fb_lock_acquire(&shard->lock);
    (void)fb_shard_tick(shard->core, fb_clock_now(), &fx);
    fb_tickets_lapsed(shard, &fx);
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
}

/* Each tick sweeps a little. While somebody wants to know what has expired (clients with caches of their own keep it
 * until they are told), it sweeps more, still a little at a time so that nobody waits longer for a lock. */
static void tick_all(struct fb_cache *cache) {
    unsigned watched = atomic_load_explicit(&cache->watched, memory_order_relaxed);
    unsigned rounds = watched >> FB_EVENT_EXPIRED & 1 ? SWEEPS_WATCHED : 1;
    for (unsigned i = 0; i < cache->nshards; i++)
        for (unsigned round = 0; round < rounds; round++)
            tick(cache, &cache->shards[i]);
    if (cache->tier != NULL)
        fb_tier_tick(cache->tier);
    fb_named_locks_tick(cache);
    for (unsigned i = 0; i < atomic_load(&cache->nsources); i++) {
        fb_trips_watch(cache->sources[i]);
        if (cache->sources[i]->behind != NULL)
            fb_behind_tick(cache->sources[i]->behind, fb_clock_now());
    }
}

static void *run_ticker(void *arg) {
    struct fb_cache *cache = arg;
    fb_lock_acquire(&cache->park_lock);
    while (!cache->is_ticker_over) {
        fb_cond_wait_until(&cache->park_cond, &cache->park_lock, fb_after(fb_clock_now(), fb_ms(FB_TICK_MS)));
        fb_lock_release(&cache->park_lock);
        tick_all(cache);
        fb_lock_acquire(&cache->park_lock);
    }
    fb_lock_release(&cache->park_lock);
    return NULL;
}

/* ---- open and close ---- */

static fb_status check_options(fb_options *o, fb_err *reterr) {
    if (o->memory_max == 0)
        o->memory_max = MEMORY_DEFAULT;
    if (o->shards == 0)
        o->shards = SHARDS_DEFAULT;
    if (o->memory_max < FB_MEMORY_MIN)
        return fb_fail(reterr, FB_INVALID, "memory_max must be at least 1mb");
    if (o->shards > SHARDS_MAX || (o->shards & (o->shards - 1)) != 0)
        return fb_fail(reterr, FB_INVALID, "shards must be a power of two, 1 to %d", SHARDS_MAX);
    if (o->eviction != FB_EVICT_S3FIFO && o->eviction != FB_EVICT_LRU)
        return fb_fail(reterr, FB_INVALID, "unknown eviction %d", (int)o->eviction);
    return FB_OK;
}

static fb_status make_shards(struct fb_cache *cache, const fb_options *o, struct fb_rng *rng) {
    cache->shards = fb_mem_calloc(o->shards, sizeof *cache->shards);
    if (cache->shards == NULL)
        return FB_NOMEM;
    struct fb_shard_options options = {
        .bytes_max = o->memory_max / o->shards,
        .evict = o->eviction == FB_EVICT_LRU ? &fb_evict_lru : &fb_evict_s3fifo,
        .keyspaces_max = FB_ROUTER_KEYSPACES_MAX,
        .observer = fb_event_from_core,
        .proved = cache->tier != NULL ? cache->tier->proved : NULL,
    };
    for (; cache->nshards < o->shards; cache->nshards++) {
        struct fb_engine_shard *shard = &cache->shards[cache->nshards];
        shard->policies = fb_mem_calloc(FB_ROUTER_KEYSPACES_MAX, sizeof *shard->policies);
        if (shard->policies == NULL)
            return FB_NOMEM;
        options.policies = shard->policies;
        options.user = shard;
        shard->cache = cache;
        shard->core = fb_shard_create(&options);
        if (shard->core == NULL) {
            fb_mem_free(shard->policies);
            return FB_NOMEM;
        }
        fb_lock_init(&shard->lock, FB_LOCK_SHARD);
        fb_list_init(&shard->tickets);
        shard->rng.state = fb_rng_next(rng);
        shard->next_ticket = 1;
    }
    return FB_OK;
}

static void seed(struct fb_cache *cache, const fb_options *o, struct fb_rng *ret_rng) {
    ret_rng->state = o->seed;
    if (o->seed == 0)
        fb_rng_system(&ret_rng->state, sizeof ret_rng->state);
    cache->hash_key.k0 = fb_rng_next(ret_rng);
    cache->hash_key.k1 = fb_rng_next(ret_rng);
    if (o->seed == 0)
        fb_rng_system(&cache->hash_key, sizeof cache->hash_key);
}

static void free_behind(const fb_behind_options *options) {
    if (options == NULL)
        return;
    fb_mem_free((char *)options->journal_dir);
    fb_mem_free((char *)options->address);
    fb_mem_free((void *)options);
}

static fb_status copy_behind(struct fb_cache *cache, const fb_behind_options *options) {
    fb_behind_options *copy = options != NULL ? fb_mem_alloc(sizeof *copy) : NULL;
    cache->behind = copy;
    if (copy == NULL)
        return options == NULL ? FB_OK : FB_NOMEM;
    *copy = *options;
    copy->journal_dir = fb_mem_strdup(options->journal_dir);
    copy->address = fb_mem_strdup(options->address);
    bool is_complete = (options->journal_dir == NULL || copy->journal_dir != NULL) &&
                       (options->address == NULL || copy->address != NULL);
    return is_complete ? FB_OK : FB_NOMEM;
}

fb_status fb_open(const fb_options *options, fb_cache **ret_cache, fb_err *reterr) {
    fb_options o = options != NULL ? *options : (fb_options){0};
    fb_status status = check_options(&o, reterr);
    if (status != FB_OK)
        return status;
    struct fb_cache *cache = fb_mem_calloc(1, sizeof *cache);
    if (cache == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_rng rng;
    seed(cache, &o, &rng);
    fb_lock_init(&cache->park_lock, FB_LOCK_PARK);
    fb_cond_init(&cache->park_cond);
    fb_lock_init(&cache->change_lock, FB_LOCK_CHANGE);
    cache->memory_max = o.memory_max;
    cache->shard_shift = 64 - (unsigned)__builtin_ctz(o.shards);
    cache->keyspaces = fb_mem_calloc(FB_ROUTER_KEYSPACES_MAX, sizeof *cache->keyspaces);
    cache->router = fb_router_create();
    cache->named = fb_named_locks_create();
    if (o.store != NULL && (status = fb_tier_open(cache, o.store, reterr)) != FB_OK) {
        fb_close(cache);
        return status;
    }
    if (cache->keyspaces == NULL || cache->router == NULL || cache->named == NULL || copy_behind(cache, o.behind) != FB_OK ||
        make_shards(cache, &o, &rng) != FB_OK) {
        fb_close(cache);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    if (pthread_create(&cache->ticker, NULL, run_ticker, cache) != 0) {
        fb_close(cache);
        return fb_fail(reterr, FB_SYSTEM, "cannot start a thread");
    }
    cache->has_ticker = true;
    *ret_cache = cache;
    return FB_OK;
}

/* Cancels last: whoever is being cancelled waits for the end of that. */
static void stop_lanes(struct fb_source *source) {
    fb_lane_stop(source->reads);
    fb_lane_stop(source->writes);
    fb_lane_stop(source->lists);
    fb_lane_stop(source->cancels);
}

static void close_source(struct fb_source *source) {
    fb_behind_close(source->behind);
    fb_lane_destroy(source->reads);
    fb_lane_destroy(source->writes);
    fb_lane_destroy(source->lists);
    fb_lane_destroy(source->cancels);
    if (source->caller_session != NULL)
        source->ops->session_close(source->caller_session);
    if (source->driver != NULL)
        source->ops->close(source->driver);
    fb_lock_finish(&source->error_lock);
    fb_lock_finish(&source->health_lock);
    fb_lock_finish(&source->trips_lock);
    fb_mem_free(source->name);
    fb_mem_free(source);
}

void fb_close(fb_cache *cache) {
    if (cache == NULL)
        return;
    bool is_busy = atomic_fetch_or(&cache->pending, FB_CLOSING) != 0;
    fb_named_locks_withdraw(cache);
    for (unsigned i = 0; i < cache->nsources; i++)
        fb_source_withdraw(cache->sources[i]);
    for (unsigned i = 0; i < cache->nsources; i++)
        if (cache->sources[i]->behind != NULL)
            fb_behind_withdraw(cache->sources[i]->behind);
    if (cache->tier != NULL)
        fb_tier_withdraw(cache->tier);
    fb_lock_acquire(&cache->park_lock);
    while (is_busy && !cache->is_idle)
        fb_cond_wait(&cache->park_cond, &cache->park_lock);
    cache->is_ticker_over = true; /* only now: it ends the waits of what was under way */
    fb_cond_broadcast(&cache->park_cond);
    fb_lock_release(&cache->park_lock);
    if (cache->has_ticker)
        pthread_join(cache->ticker, NULL);
    for (unsigned i = 0; i < cache->nshards; i++)
        fb_tickets_drop_all(&cache->shards[i]);
    for (unsigned i = 0; i < cache->nsources; i++)
        if (cache->sources[i]->behind != NULL)
            fb_behind_stop(cache->sources[i]->behind);
    fb_tier_stop(cache->tier);
    /* Lanes first: a load that nobody waits for any more may still be on its way. All of them before any is freed: a
     * worker of one may be about to wake a worker of another, whose item has ended meanwhile. */
    for (unsigned i = 0; i < cache->nsources; i++)
        stop_lanes(cache->sources[i]);
    for (unsigned i = 0; i < cache->nkeyspaces; i++)
        fb_keyspace_free(cache->keyspaces[i]);
    for (unsigned i = 0; i < cache->nsources; i++)
        close_source(cache->sources[i]);
    for (unsigned i = 0; i < cache->nshards; i++) {
        fb_shard_destroy(cache->shards[i].core);
        fb_mem_free(cache->shards[i].log.data);
        fb_mem_free(cache->shards[i].policies);
        fb_lock_finish(&cache->shards[i].lock);
    }
    fb_tier_close(cache->tier);
    fb_router_destroy(cache->router);
    fb_named_locks_destroy(cache->named);
    free_behind(cache->behind);
    fb_mem_free(cache->shards);
    fb_mem_free(cache->keyspaces);
    fb_lock_finish(&cache->change_lock);
    fb_cond_finish(&cache->park_cond);
    fb_lock_finish(&cache->park_lock);
    fb_mem_free(cache);
}

/* ---- sources ---- */

struct bound { int64_t value, dflt, min, max; const char *name; };

static fb_status fit(struct bound *bounds, size_t n, fb_err *reterr) {
    for (size_t i = 0; i < n; i++) {
        if (bounds[i].value == 0)
            bounds[i].value = bounds[i].dflt;
        if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max)
            return fb_fail(reterr, FB_INVALID, "%s must be %lld to %lld", bounds[i].name, (long long)bounds[i].min,
                           (long long)bounds[i].max);
    }
    return FB_OK;
}

static fb_status check_source_options(fb_source_options *o, fb_err *reterr) {
    enum { DAY_MS = 86400000 };
    struct bound b[] = {
        {o->pool, 4, 1, 64, "pool"},
        {o->batch_max, 100, 1, BATCH_MAX, "batch_max"},
        {o->queue_max, 10000, 1, 1000000, "queue_max"},
        {o->read_timeout_ms, 2000, 1, DAY_MS, "read_timeout"},
        {o->write_timeout_ms, 3000, 1, FB_WRITE_WINDOW_MS - 1, "write_timeout"},
        {o->added_latency_ms, 0, 0, 60000, "added_latency"},
        {o->soft_timeout_ms, 200, 1, DAY_MS, "soft_timeout"},
        {o->breaker_failures, 5, 1, 1000000, "breaker_failures"},
        {o->breaker_window_ms, 10000, 10, DAY_MS, "breaker_window"},
    };
    fb_status status = fit(b, sizeof b / sizeof b[0], reterr);
    o->pool = (unsigned)b[0].value;
    o->batch_max = (unsigned)b[1].value;
    o->queue_max = (unsigned)b[2].value;
    o->read_timeout_ms = b[3].value;
    o->write_timeout_ms = b[4].value;
    o->soft_timeout_ms = b[6].value;
    o->breaker_failures = (unsigned)b[7].value;
    o->breaker_window_ms = b[8].value;
    return status;
}

static fb_status make_lanes(struct fb_source *source) {
    const fb_source_options *o = &source->options;
    struct fb_lane_options options = {o->pool, o->batch_max, o->queue_max, fb_load_lane_work, fb_lane_session_leave,
                                      source};
    source->reads = fb_lane_create(&options);
    /* Writes of one key are in order whatever their number: the core grants one at a time. */
    unsigned writers = source->ops->writers_max > 0 ? source->ops->writers_max : 1;
    options.workers = writers < o->pool ? writers : o->pool;
    options.work = fb_store_lane_work;
    source->writes = fb_lane_create(&options);
    source->lists = fb_list_lane_create(source);
    source->cancels = fb_cancel_lane_create(source);
    bool is_complete = source->reads != NULL && source->writes != NULL && source->lists != NULL &&
                       source->cancels != NULL;
    return is_complete ? FB_OK : FB_NOMEM;
}

/* Takes the driver over, also when it fails. */
static fb_status add_source(struct fb_cache *cache, const char *name, const struct fb_driver_ops *ops,
                            struct fb_driver *driver, const fb_source_options *options, fb_source **ret_source,
                            fb_err *reterr) {
    struct fb_source *source = fb_mem_calloc(1, sizeof *source);
    if (source == NULL) {
        ops->close(driver);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    source->cache = cache;
    source->ops = ops;
    source->driver = driver;
    source->options = *options;
    source->failed = FB_NEVER;
    fb_lock_init(&source->error_lock, FB_LOCK_SOURCE);
    fb_lock_init(&source->trips_lock, FB_LOCK_TRIPS);
    fb_list_init(&source->trips);
    fb_source_health_init(source);
    source->name = fb_mem_strdup(name);
    fb_status status = source->name != NULL ? make_lanes(source) : FB_NOMEM;
    if (status == FB_OK && ops->on_caller_thread)
        status = ops->session_open(driver, /* is_writer = */ true, &source->caller_session, reterr);
    if (status != FB_OK) {
        close_source(source);
        return fb_fail(reterr, status, "cannot set up source '%s': %s", name, fb_status_text(status));
    }
    cache->sources[cache->nsources] = source;
    atomic_fetch_add(&cache->nsources, 1);
    *ret_source = source;
    return FB_OK;
}

/* A write must be over before its mark at the shared second level dies (R3 of store/store.h). */
static fb_status check_shared(const struct fb_cache *cache, const fb_source_options *o, fb_err *reterr) {
    if (cache->tier == NULL || o->write_timeout_ms <= FB_WRITE_TIMEOUT_MS)
        return FB_OK;
    return fb_fail(reterr, FB_INVALID, "write_timeout must be at most %dms where rows are shared through a store",
                   FB_WRITE_TIMEOUT_MS);
}

static fb_status may_add_source(const struct fb_cache *cache, const char *name, fb_source_options *o, fb_err *reterr) {
    if (name == NULL || name[0] == '\0')
        return fb_fail(reterr, FB_INVALID, "a source needs a name");
    if (cache->nsources == FB_SOURCES_MAX)
        return fb_fail(reterr, FB_INVALID, "at most %d sources", FB_SOURCES_MAX);
    for (unsigned i = 0; i < cache->nsources; i++)
        if (strcmp(cache->sources[i]->name, name) == 0)
            return fb_fail(reterr, FB_INVALID, "there is a source '%s' already", name);
    fb_status status = check_source_options(o, reterr);
    return status == FB_OK ? check_shared(cache, o, reterr) : status;
}

fb_status fb_source_open(fb_cache *cache, const char *name, const char *url, const fb_source_options *options,
                         fb_source **ret_source, fb_err *reterr) {
    fb_source_options o = options != NULL ? *options : (fb_source_options){0};
    fb_status status = may_add_source(cache, name, &o, reterr);
    if (status != FB_OK)
        return status;
    const struct fb_driver_ops *ops = fb_driver_find(url, reterr);
    if (ops == NULL)
        return FB_INVALID;
    struct fb_driver *driver;
    status = ops->open(url, &o, &driver, reterr);
    return status == FB_OK ? add_source(cache, name, ops, driver, &o, ret_source, reterr) : status;
}

fb_status fb_source_callbacks(fb_cache *cache, const char *name, const fb_callbacks *callbacks,
                              const fb_source_options *options, fb_source **ret_source, fb_err *reterr) {
    fb_source_options o = options != NULL ? *options : (fb_source_options){0};
    fb_status status = may_add_source(cache, name, &o, reterr);
    if (status != FB_OK)
        return status;
    if (callbacks == NULL || callbacks->load == NULL)
        return fb_fail(reterr, FB_INVALID, "a source made of functions needs `load`");
    struct fb_driver *driver;
    status = fb_driver_callbacks_new(callbacks, &o, &driver);
    if (status != FB_OK)
        return fb_fail(reterr, status, "%s", fb_status_text(status));
    return add_source(cache, name, &fb_driver_callbacks, driver, &o, ret_source, reterr);
}

const char *fb_source_name(const fb_source *source) { return source->name; }
