/* What happens, as it happens: taken down under the shard's lock, told when it has been let go.
 *
 * Every way out of a lock goes through fb_shard_leave, so what is pending is this thread's own doing, and it is told
 * before the thread goes on to complete anything. Only what is watched is taken down. */
#include <sched.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"

enum {
    LOG_FIRST = 512,
    LOG_MAX = 1 << 20, /* in one hold of a lock (an entry of many megabytes evicts that many); more are FB_EVENT_ALL */
    ALIGN = 8,
};

void fb_watch(fb_cache *cache, unsigned kinds, fb_on_event on_event, void *user) {
    if (kinds != 0 && atomic_load(&cache->watched) == 0) {
        cache->on_event = on_event;
        cache->observer = user;
    }
    atomic_store(&cache->watched, kinds);
    while (kinds == 0 && atomic_load(&cache->telling) > 0)
        sched_yield(); /* the observer does not block, so this does not take long */
}

/* Between these two the observer is there, if begin says so: whoever ends the watching either is seen here or waits. */
static bool begin_telling(struct fb_cache *cache) {
    atomic_fetch_add(&cache->telling, 1);
    return atomic_load(&cache->watched) != 0;
}
static void end_telling(struct fb_cache *cache) { atomic_fetch_sub(&cache->telling, 1); }

static bool is_watched(const struct fb_cache *cache, fb_event_kind kind) {
    return atomic_load_explicit(&cache->watched, memory_order_acquire) >> kind & 1;
}

static bool reserve(struct fb_event_log *log, size_t more) {
    size_t cap = log->cap > 0 ? log->cap : LOG_FIRST;
    while (cap - log->len < more)
        cap *= 2;
    if (cap > LOG_MAX)
        return false;
    char *data = cap > log->cap ? fb_mem_realloc(log->data, cap) : log->data;
    if (data == NULL)
        return false;
    log->data = data;
    log->cap = cap;
    return true;
}

/* An event, its key behind it, and what is missing to the next multiple of ALIGN. */
static size_t size_of(size_t key_len) { return (sizeof(struct fb_event) + key_len + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

void fb_event_note(struct fb_engine_shard *shard, fb_event_kind kind, uint16_t keyspace, fb_bytes key,
                   const struct fb_event *facts) {
    struct fb_event_log *log = &shard->log;
    if (!is_watched(shard->cache, kind))
        return;
    log->is_pending = true;
    if (log->is_lost || !reserve(log, size_of(key.len))) {
        log->is_lost = true;
        return;
    }
    struct fb_event event = *facts;
    event.kind = kind;
    event.keyspace = keyspace;
    event.key = fb_bytes_of(NULL, key.len); /* where it is is known when the log grows no more */
    memcpy(log->data + log->len, &event, sizeof event);
    memcpy(log->data + log->len + sizeof event, key.data, key.len);
    log->len += size_of(key.len);
}

void fb_event_from_core(void *user, fb_event_kind what, uint16_t keyspace, fb_kind value, fb_bytes key) {
    struct fb_engine_shard *shard = user;
    struct fb_event facts = {0};
    if (what == FB_EVENT_INVALIDATED || what == FB_EVENT_LIFE)
        facts = shard->cause;
    facts.value = value;
    fb_event_note(shard, what, keyspace, key, &facts);
}

void fb_event_all(struct fb_cache *cache) {
    if (begin_telling(cache) && is_watched(cache, FB_EVENT_ALL))
        cache->on_event(cache->observer, &(struct fb_event){.kind = FB_EVENT_ALL});
    end_telling(cache);
}

void fb_events_tell(struct fb_engine_shard *shard) {
    struct fb_cache *cache = shard->cache;
    struct fb_event_log log = shard->log;
    shard->log = (struct fb_event_log){0};
    fb_lock_release(&shard->lock);
    bool is_there = begin_telling(cache);
    for (size_t at = 0; is_there && at < log.len && !log.is_lost;) {
        struct fb_event event;
        memcpy(&event, log.data + at, sizeof event);
        event.key.data = log.data + at + sizeof event;
        at += size_of(event.key.len);
        cache->on_event(cache->observer, &event);
    }
    end_telling(cache);
    fb_mem_free(log.data);
    if (log.is_lost)
        fb_event_all(cache);
}
