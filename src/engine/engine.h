/* The threaded driver of the core: what the engine's files share.
 *
 * It holds the shards and their locks, looks up keyspaces, carries effects out, and parks blocked callers. The way of
 * one read: fb_submit → begin_read (peek, miss under the shard's lock) → fb_carry_out → lane → load_batch
 * (fb_shard_dispatched, driver->load, fb_shard_loaded) → fb_carry_out → the request's completion.
 * The way of one write: fb_submit → fb_txn_new (plan) → fb_txn_advance (fb_shard_begin, key by key in order) → lane →
 * store_batch (driver->store, fb_shard_end) → completion.
 *
 * Rules: no lock is held over fb_carry_out, a driver's function or a completion. A request is touched by nobody after
 * its completion began. */
#ifndef FB_ENGINE_ENGINE_H
#define FB_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <forebay/forebay.h>

#include "base/lock.h"
#include "base/rng.h"
#include "core/shard.h"
#include "engine/lane.h"
#include "policy/breaker.h"
#include "rows/pattern.h"
#include "source/source.h"

#define FB_MEMORY_MIN (UINT64_C(1) << 20)
#define FB_CLOSING (UINT32_C(1) << 31)

enum {
    FB_TICK_MS = 50,               /* how late a deadline may be noticed */
    FB_SOURCES_MAX = 64,
    FB_WHY_DOWN_MAX = 160,
};

struct fb_timing {
    _Atomic uint64_t n, sum_us, counts[FB_TIME_STEPS + 1];
};

struct fb_behind;

struct fb_source {
    char *name;                    /* constant after open */
    struct fb_cache *cache;
    const struct fb_driver_ops *ops;
    struct fb_driver *driver;
    fb_source_options options;     /* with the defaults filled in */
    struct fb_lane *reads, *writes, *lists, *cancels;
    struct fb_behind *_Atomic behind; /* its partition, once a keyspace is written behind; the ticker looks, too */
    struct fb_session *caller_session; /* of sources that run on the caller's thread; stateless */
    struct fb_lock error_lock;     /* covers the next two */
    fb_err last_error;
    fb_instant failed;             /* when; FB_NEVER: not yet */
    struct fb_lock health_lock;    /* covers the next three */
    struct fb_breaker breaker;
    struct fb_rng rng;             /* jitter of its pauses */
    char why_down[FB_WHY_DOWN_MAX]; /* of the last round trip that failed */
    _Atomic int64_t shut_until;    /* of the breaker, for those who only look; 0: closed */
    struct fb_lock trips_lock;     /* covers the next, and what fb_trip says */
    struct fb_link trips;          /* fb_trip.link */
    _Atomic unsigned refreshes;    /* ahead of the end, under way */
    _Atomic uint64_t sessions, under_way, cancelled, stopped;
    struct fb_timing timings[FB_TIME_KINDS];
    _Atomic uint64_t read_trips, rows_wanted, write_trips, nwrites, errors;
};

/* What fb_keyspace_at shows: never changed, only followed by another; all stay until fb_close. */
struct fb_shown_options {
    fb_keyspace_options options;
    struct fb_shown_options *older;
};

struct fb_keyspace {
    fb_keyspace_options options;   /* strings are ours; `pattern` is as bound; `policy` as it was added */
    struct fb_shown_options *_Atomic shown; /* NULL: options */
    struct fb_pattern pattern;
    struct fb_source *source;
    struct fb_binding *binding;
    uint16_t id;
    fb_on_set on_set;              /* never DEFAULT */
    fb_kind kind;                  /* of its values */
};

/* What observers will be told when the shard's lock is let go. */
struct fb_event_log {
    char *data;
    size_t len, cap;
    bool is_pending, is_lost;      /* lost: it did not fit, or there was no memory */
};

struct fb_engine_shard {
    struct fb_lock lock;           /* covers the rest */
    struct fb_shard *core;
    fb_policy *policies;           /* by keyspace; FB_ROUTER_KEYSPACES_MAX of them */
    struct fb_rng rng;
    struct fb_link tickets;        /* fb_ticket.link: writes the application announced */
    uint64_t next_ticket;
    struct fb_event_log log;
    struct fb_event cause;         /* op, flags and origin of the call that holds the lock */
    struct fb_cache *cache;
} __attribute__((aligned(64)));

struct fb_tier;

struct fb_cache {
    const fb_behind_options *behind; /* a copy with strings of its own; NULL: nothing is written behind */
    struct fb_hash_key hash_key;
    unsigned nshards, shard_shift;
    _Atomic uint64_t memory_max;
    struct fb_engine_shard *shards;
    struct fb_lock change_lock;    /* held by who changes policies or memory_max */
    struct fb_keyspace **keyspaces;
    unsigned nkeyspaces;
    struct fb_source *sources[FB_SOURCES_MAX];
    _Atomic unsigned nsources;     /* the ticker goes through them from the first on */
    struct fb_router *router;
    struct fb_named_locks *named;
    struct fb_tier *tier;          /* the shared second level; NULL: none */
    _Atomic unsigned watched;      /* 1 << FB_EVENT_…; the next two are set before it, and constant while it is not 0 */
    _Atomic unsigned telling;      /* threads that may be calling the observer */
    fb_on_event on_event;
    void *observer;
    _Atomic uint32_t pending;      /* operations whose completion is still to come, and FB_CLOSING */
    struct fb_lock park_lock;      /* covers the next three */
    struct fb_cond park_cond;
    bool is_idle;                  /* closing, and the last operation has ended */
    bool is_ticker_over;
    pthread_t ticker;
    bool has_ticker;
};

/* ---- finding things ---- */

static inline uint64_t fb_cache_hash(const struct fb_cache *cache, fb_bytes key) {
    return fb_hash(&cache->hash_key, key.data, key.len);
}
static inline struct fb_engine_shard *fb_cache_shard(const struct fb_cache *cache, uint64_t hash) {
    return &cache->shards[cache->shard_shift == 64 ? 0 : hash >> cache->shard_shift];
}
/* FB_OK, FB_NOMAP, FB_CLOSED. */
fb_status fb_cache_find(struct fb_cache *cache, fb_bytes key, struct fb_keyspace **ret_keyspace, fb_err *reterr);

/* Is the column (as the table has it) one that is added to? */
bool fb_keyspace_adds(const struct fb_keyspace *keyspace, const char *column);
/* What all its keys begin with; perhaps nothing. */
static inline fb_bytes fb_keyspace_prefix(const struct fb_keyspace *keyspace) {
    const struct fb_pattern_part *first = &keyspace->pattern.parts[0];
    bool has_one = keyspace->pattern.nparts > 0 && !first->is_param;
    return has_one ? fb_bytes_of(first->text, first->len) : fb_bytes_of("", 0);
}
static inline fb_kind fb_keyspace_kind(const struct fb_keyspace *keyspace) { return keyspace->kind; }

/* ---- events ---- */

/* Take down an event, with the shard's lock held. */
void fb_event_note(struct fb_engine_shard *shard, fb_event_kind kind, uint16_t keyspace, fb_bytes key,
                   const struct fb_event *facts);
fb_shard_observer fb_event_from_core;
/* Any key may have changed. Without a lock. */
void fb_event_all(struct fb_cache *cache);
/* Let the lock go and tell the observer. */
void fb_events_tell(struct fb_engine_shard *shard);
/* Every way out of a shard's lock behind which something may have changed. */
static inline void fb_shard_leave(struct fb_engine_shard *shard) {
    if (__builtin_expect(shard->log.is_pending, 0))
        fb_events_tell(shard);
    else
        fb_lock_release(&shard->lock);
}

/* ---- effects ---- */

/* Who runs what a callback source has to do. */
enum fb_run { FB_RUN_LANES, FB_RUN_HERE };
/* Answer, load and store as the effects say; leaves them empty. */
void fb_carry_out(struct fb_cache *cache, struct fb_effects *fx, enum fb_run run);

/* ---- requests ---- */

/* One read. `finish` is called exactly once, on any thread, and owns the request from then on. */
struct fb_read {
    struct fb_waiter waiter;
    struct fb_cache *cache;
    struct fb_keyspace *keyspace;
    void (*finish)(struct fb_read *read);
};

/* One transaction: the writes of some keys that belong together, and what is read and checked with them. */
struct fb_txn;
/* Check, type and copy; nothing has happened yet. Other than FB_OK: *ret_outcome says why. `done` is called exactly once
 * after fb_txn_start. */
fb_status fb_txn_new(struct fb_cache *cache, const fb_op *ops, size_t n, fb_done_all done, void *user,
                     struct fb_txn **ret_txn, fb_outcome *ret_outcome);
void fb_txn_start(struct fb_txn *txn, enum fb_run run);
/* For the driver's lanes and effects. */
struct fb_engine_writer {
    struct fb_writer core;
    struct fb_txn *txn;            /* or: */
    struct fb_ticket *ticket;
};
void fb_txn_granted(struct fb_engine_writer *writer, enum fb_run run);
/* The driver has answered every item; the write was sent at `sent`. */
void fb_txn_stored(struct fb_store_group *group, fb_instant sent);
/* May it still be sent? Not when its marks at the store could end before it. */
bool fb_txn_may_store(struct fb_store_group *group, fb_instant now);
/* It was never sent. */
void fb_txn_refuse(struct fb_store_group *group, fb_status status);
void fb_ticket_granted(struct fb_engine_writer *writer);
/* With the shard's lock held: tickets whose marks have died. */
void fb_tickets_lapsed(struct fb_engine_shard *shard, struct fb_effects *fx);
void fb_tickets_drop_all(struct fb_engine_shard *shard);

/* ---- who depends on whom (depend.c) ---- */

/* Does a write of the one change values of the other, so that they may show one table? */
bool fb_keyspace_depends(const struct fb_keyspace *reader, const struct fb_keyspace *writer);
/* Make the keyspace, and those that are there, dependents of each other where they are. FB_CONFIG, FB_NOMEM: unlink. */
fb_status fb_keyspace_link(struct fb_cache *cache, struct fb_keyspace *keyspace, fb_err *reterr);
void fb_keyspace_unlink(struct fb_cache *cache, const struct fb_keyspace *keyspace);
/* What a transaction has hidden besides its own keys. */
struct fb_holds {
    struct fb_hold_marks *marks;   /* at the store; NULL: none */
    struct fb_held {
        struct fb_hold core;
        uint64_t hash;
    } *items;
    size_t n;
};
/* Hold what was touched, and nothing that was held before. FB_OK or FB_NOMEM. Effects are added to `fx`. */
fb_status fb_holds_take(struct fb_cache *cache, struct fb_holds *holds, const struct fb_touched *touched,
                        struct fb_effects *fx);
void fb_holds_release(struct fb_cache *cache, struct fb_holds *holds, bool is_doubted);

/* The lanes' work. */
fb_lane_work fb_load_lane_work, fb_store_lane_work;
fb_lane_leave fb_lane_session_leave;
void fb_source_withdraw(struct fb_source *source);

/* May a refresh ahead of the end go to it: is it neither down nor busy, with fewer of them under way than their share? True:
 * fb_source_refresh_end follows. */
bool fb_source_refresh_begin(struct fb_source *source, fb_instant now);
void fb_source_refresh_end(struct fb_source *source);
void fb_source_timed(struct fb_source *source, fb_time_kind kind, fb_span took);

/* ---- a source's health (health.c) ---- */

void fb_source_health_init(struct fb_source *source);
/* Is it known to be down: would its breaker stop a round trip? Takes no lock. */
static inline bool fb_source_is_down(const struct fb_source *source, fb_instant now) {
    return now.ns < atomic_load_explicit(&source->shut_until, memory_order_relaxed);
}
/* Before a round trip, and after it: `why` is the text of what went wrong. */
enum fb_breaker_word fb_source_ask(struct fb_source *source);
void fb_source_tell(struct fb_source *source, enum fb_breaker_word word, bool is_bad, fb_span took, fb_bytes why);
/* Why nobody asks it, and for how long: "connection refused (retry in 1.8s)". */
struct fb_value *fb_source_why_down(struct fb_source *source);

/* ---- round trips (trip.c) ---- */

/* A worker's place at a source: its connection, and the round trip it is making. It lives in the worker's slot. */
struct fb_trip;
/* With its connection, opened when it is first needed and tried again with each batch. NULL: FB_DOWN. */
struct fb_trip *fb_trip_get(struct fb_source *source, bool is_writer, void **slot, fb_err *reterr);
struct fb_session *fb_trip_session(const struct fb_trip *trip);
/* Between these two it may be cancelled: when nobody waits for its flights (NULL: they are wanted), or when it takes longer
 * than it may. After the end nothing of that is under way. A NULL trip is accepted. */
void fb_trip_begin(struct fb_trip *trip, struct fb_flight *const *flights, unsigned n);
void fb_trip_end(struct fb_trip *trip);
/* Cancel what is to be cancelled. The ticker's. */
void fb_trips_watch(struct fb_source *source);
struct fb_lane *fb_cancel_lane_create(struct fb_source *source);

struct fb_lane *fb_list_lane_create(struct fb_source *source);
void fb_lists_withdraw(struct fb_source *source);
void fb_load_here(struct fb_source *source, struct fb_link *flights, unsigned n);
void fb_store_here(struct fb_source *source, struct fb_link *groups, unsigned n);

/* Remember an error of the source's own; others (a conflict, a full queue) say nothing about it. */
void fb_source_note_error(struct fb_source *source, fb_status status, const struct fb_keyspace *keyspace,
                          fb_bytes text);
/* Turn a source's answer into the sentence a caller sees. */
void fb_explain(fb_err *err, fb_status status, const struct fb_keyspace *keyspace, fb_bytes text);

/* A caller's own place to wait. */
struct fb_park {
    struct fb_lock lock;
    struct fb_cond cond;
    unsigned open;                 /* completions still to come */
};
void fb_park_init(struct fb_park *park, unsigned open);
void fb_park_done(struct fb_park *park);
bool fb_park_wait_until(struct fb_park *park, fb_instant due); /* true when all is done */
void fb_park_wait(struct fb_park *park);                       /* until all is done, and finish it */

void fb_cache_op_begin(struct fb_cache *cache);
void fb_cache_op_end(struct fb_cache *cache);

/* The read both kinds of calls share: FB_OK and FB_NOTFOUND at once (value appended to out), FB_MISS (cache-aside),
 * FB_LEASE, FB_NOMEM; or FB_PENDING: read->finish will be called once `fx` has been carried out. */
fb_status fb_read_begin(struct fb_read *read, struct fb_keyspace *keyspace, fb_bytes key, fb_buf *out, fb_kind *ret_kind,
                        struct fb_effects *fx);
/* Somebody was answered with this ripe copy, which lies elsewhere: refresh it, if that is due. Without a lock. */
void fb_refresh_ahead(struct fb_cache *cache, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp);
/* The same for a REFRESH: FB_PENDING or FB_NOMEM. */
fb_status fb_refresh_begin(struct fb_read *read, struct fb_keyspace *keyspace, fb_bytes key, struct fb_effects *fx);

#endif
