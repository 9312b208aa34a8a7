/* The shared second level: the cache of this process in front of a Redis that others share.
 *
 * What the way of a load and of a write is, src/store/flow.h decides; here it is carried out. One lane stands in front of
 * the store; its items are calls of any kind, and a worker makes one round trip of all that wait. A load's calls belong
 * to its flight, a write's to its transaction.
 *
 *     fb_carry_out → fb_tier_take_loads → lane: GET, MISS → the source's lane → fb_tier_loaded → lane: FILL → answer
 *     fb_txn: all keys granted → fb_tier_begin → lane: BEGIN → the source's lane → fb_tier_end → lane: END → answer
 *
 * A copy is kept here only of what was read from the store, and serves only while the store's tracking connection proves
 * that it tells of every change (struct fb_shard_options.proved). What it tells of is invalidated here, which takes the
 * lease of a load under way as any invalidation does: nothing that was read before a change is kept after it. */
#ifndef FB_ENGINE_TIER_H
#define FB_ENGINE_TIER_H

#include "engine/engine.h"
#include "store/flow.h"
#include "store/watch.h"
#include "store/written.h"

enum {
    FB_TIER_BUCKETS = 256,
    FB_TIER_PAUSES = 1024, /* keys that are remembered not to be refreshed for a moment */
    FB_TIER_GRANTS = 4096, /* leases that the application may hold at once; of more, the oldest are refused */
};

/* One call and what comes after it. `done` runs on a worker of the lane, or on the pusher's thread when there is no room. */
struct fb_tier_item {
    struct fb_link link;
    struct fb_store_call *call;
    void (*done)(struct fb_tier_item *item);
    bool is_question;          /* of a flight: who joins it later may get its answer only if it is kept */
    struct fb_tier_item *next_woken;
};

/* FB_INVALID, FB_NOMEM, FB_SYSTEM. */
fb_status fb_tier_open(struct fb_cache *cache, const fb_store_options *options, fb_err *reterr);
/* Nothing may be waited for any more: answer who waits for another's load. */
void fb_tier_withdraw(struct fb_tier *tier);
/* Its threads end: the one that hears of changes, and the lane's workers. NULL accepted, as by the next. */
void fb_tier_stop(struct fb_tier *tier);
void fb_tier_close(struct fb_tier *tier);
/* Before the first thing that is asked of it: from then on it hears of changes. */
void fb_tier_start(struct fb_tier *tier);
/* The ticker's. */
void fb_tier_tick(struct fb_tier *tier);

void fb_tier_push(struct fb_tier *tier, struct fb_tier_item *item);
/* What this thread pushes between these two goes together. False: it gathers already, and the end is another's. */
bool fb_tier_gather_begin(void);
void fb_tier_gather_end(struct fb_tier *tier);

struct fb_store_token fb_tier_token(struct fb_tier *tier);
/* Is the store known to be out? */
bool fb_tier_is_out(struct fb_tier *tier);
/* A key that this process has changed, or meant to, before anybody hears of it; is_owed: the store does not know. */
void fb_tier_note(struct fb_tier *tier, fb_bytes key, bool is_owed);

/* ---- ways (tier_way.c) ---- */

/* A load on its way, whoever it is for. `load` and `over` are called without a lock, each time the flow is at that step. */
struct fb_way {
    struct fb_tier_item item;
    struct fb_load_flow flow;
    struct fb_tier *tier;
    struct fb_link bucket;     /* in tier->waiting */
    fb_bytes key;              /* the call's, for those who look while a worker has the call */
    fb_buf copy;               /* what the store said */
    bool is_over;              /* taken out of the bucket: nobody else looks at it any more */
    void (*load)(struct fb_way *way);
    void (*over)(struct fb_way *way);
};
/* The key is borrowed until the end. */
void fb_way_start(struct fb_tier *tier, struct fb_way *way, uint64_t hash, fb_bytes key,
                  const struct fb_flow_terms *terms);
/* What `load` was for has come; the value is borrowed until `over`. */
void fb_way_loaded(struct fb_way *way, fb_status status, fb_bytes value);
/* In `load`: it goes no further. */
void fb_way_quit(struct fb_way *way);
struct fb_flow_terms fb_tier_terms(struct fb_tier *tier, const struct fb_keyspace *keyspace, uint64_t hash);

/* ---- loads of flights (tier_read.c) ---- */

/* Take the flights off `fx` that ask the store first; those that cannot are left, and marked. */
void fb_tier_take_loads(struct fb_tier *tier, struct fb_effects *fx);
/* The question of an item leaves. */
void fb_tier_asked(struct fb_tier_item *item);
/* The source has answered a flight that went through the store: true, it is taken over; the value too. */
bool fb_tier_loaded(struct fb_flight *flight, fb_status status, struct fb_value *value);
/* The flight's end: the engine's. */
void fb_load_over(struct fb_cache *cache, struct fb_flight *flight, fb_status status, struct fb_value *value,
                  struct fb_effects *fx);

/* ---- refresh-ahead of what lies in the store (tier_ahead.c) ---- */

/* A flight comes home that may have been begun ahead. */
void fb_tier_ahead_over(struct fb_tier *tier, const struct fb_flight *flight, const struct fb_load_flow *flow);
/* It was answered with the store's copy, and born, cap_ms and cost_us are set: may its refresh be due? */
bool fb_tier_is_ripe(struct fb_tier *tier, const struct fb_flight *flight, const struct fb_policy *policy,
                     struct fb_stamp *ret_copy);

/* ---- writes (tier_write.c) ---- */

/* The marks of some keys: BEGIN for all, later END for all. */
struct fb_marks {
    struct fb_tier *tier;
    struct fb_mark {
        struct fb_tier_item item;
        struct fb_write_flow flow;
        struct fb_marks *marks;
    } *items;
    size_t n;
    _Atomic size_t open;       /* calls that have not come back */
    void (*done)(struct fb_marks *marks);
    fb_instant begun;          /* when the first BEGIN left */
    char why[FB_STORE_WHY_MAX]; /* of a BEGIN that failed */
};
/* Room for n keys: FB_OK or FB_NOMEM. The keys' bytes are borrowed until fb_marks_free. */
fb_status fb_marks_init(struct fb_marks *marks, struct fb_tier *tier, size_t n);
void fb_marks_free(struct fb_marks *marks);
void fb_marks_add(struct fb_marks *marks, const struct fb_keyspace *keyspace, fb_bytes key);
/* BEGIN for all; then `done`, once, perhaps before this returns. */
void fb_marks_begin(struct fb_marks *marks, void (*done)(struct fb_marks *marks));
/* Must the write be refused, because the store does not know of it and the configuration is strict? */
bool fb_marks_refuse(const struct fb_marks *marks);
/* May the source be asked now (R3)? */
bool fb_marks_may_store(const struct fb_marks *marks, fb_instant now);
/* How the i-th key ended; the value is borrowed until `done`. cap_ms: a life given with it, or 0. */
void fb_marks_set_end(struct fb_marks *marks, size_t i, uint64_t hash, const struct fb_keyspace *keyspace,
                      enum fb_flow_end how, fb_bytes value, uint32_t cap_ms);
/* END for all, as was set for each (unset: DROP); then `done`. */
void fb_marks_end(struct fb_marks *marks, void (*done)(struct fb_marks *marks));

/* Marks of keys that a write changes without naming them; they have names of their own. */
struct fb_hold_marks;
/* BEGIN for all, and wait: FB_OK, FB_NOMEM, FB_STOREDOWN (strict). */
fb_status fb_hold_marks_take(struct fb_tier *tier, const struct fb_keyspace *const *keyspaces, const fb_bytes *keys,
                             size_t n, struct fb_hold_marks **ret_marks);
/* END for all, without waiting; frees them. NULL accepted. */
void fb_hold_marks_release(struct fb_hold_marks *marks, bool is_doubted);
/* Frees them without a word: they die at the store by themselves. NULL accepted. */
void fb_hold_marks_forget(struct fb_hold_marks *marks);

/* ---- loads of the application (tier_aside.c) ---- */

/* FB_OK with the value, FB_NOTFOUND, FB_LEASE with a token; FB_TIMEOUT when another's load took longer than wait_ms. */
typedef void fb_tier_leased(void *user, fb_status status, fb_bytes value, uint64_t token);
/* FB_PENDING or FB_NOMEM. */
fb_status fb_tier_lease(struct fb_tier *tier, const struct fb_keyspace *keyspace, fb_bytes key, int64_t wait_ms,
                        fb_tier_leased *done, void *user);
/* FB_OK with the value, FB_NOTFOUND for absent, or an error: the lease is given back. `done` with FB_OK or FB_REFUSED.
 * life_ms: of the value, 0: its TTL's. FB_PENDING or FB_NOMEM. */
typedef void fb_tier_filled(void *user, fb_status status);
fb_status fb_tier_fill(struct fb_tier *tier, const struct fb_keyspace *keyspace, fb_bytes key, uint64_t token,
                       fb_status status, fb_bytes value, int64_t life_ms, fb_tier_filled *done, void *user);

/* ---- locks by name (tier_lock.c) ---- */

/* As fb_lock_submit and fb_unlock_submit: FB_PENDING or FB_NOMEM. */
fb_status fb_tier_lock(struct fb_tier *tier, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, fb_done done, void *user);
fb_status fb_tier_unlock(struct fb_tier *tier, fb_bytes name, uint64_t token, fb_done done, void *user);
/* Who waits looks again; is_closing: is told that there is no more to wait for. */
void fb_tier_locks_tick(struct fb_tier *tier, bool is_closing);

/* ---- a whole keyspace (tier_forget.c) ---- */

/* As fb_invalidate_shared. */
fb_status fb_tier_forget_keyspace(struct fb_tier *tier, const struct fb_keyspace *keyspace, uint64_t *ret_dropped,
                                  fb_err *reterr);

/* ---- single calls (tier_call.c) ---- */

/* INVAL, LOOK, LIFE or FILL of one key, all of it copied; `done` with the answered call. FB_PENDING or FB_NOMEM. */
typedef void fb_tier_answer(void *user, const struct fb_store_call *call);
fb_status fb_tier_call(struct fb_tier *tier, const struct fb_store_call *call, fb_tier_answer *done, void *user);

/* ---- what the files share ---- */

struct fb_tier {
    struct fb_cache *cache;
    fb_store_options options;  /* with the defaults filled in */
    struct fb_place *place;
    struct fb_store_watch *watch; /* once started */
    bool keeps_copies;
    const _Atomic int64_t *proved; /* what is cached here serves until then; INT64_MIN for ever where no copies are kept */
    struct fb_lane *lane;
    struct fb_lock start_lock; /* covers the start of the watch */
    struct fb_lock lock;       /* covers the flows of loads, the names, the breaker and the next few */
    struct fb_link lockers;    /* fb_shared_lock.link */
    struct fb_link *waiting;   /* buckets of loads under way, by hash */
    struct fb_written written;
    fb_instant owed;           /* names since then are to be invalidated when the store is back; FB_NEVER: none */
    bool is_reasserting;
    _Atomic bool is_started;
    struct fb_breaker breaker;
    struct fb_rng rng;
    char why[FB_STORE_WHY_MAX];
    _Atomic int64_t shut_until; /* of the breaker; 0: closed */
    _Atomic int64_t distrust;  /* ns; 0: nothing is distrusted */
    uint64_t process;
    _Atomic uint64_t tokens;
    struct fb_tier_grant { uint64_t token, server; } grants[FB_TIER_GRANTS]; /* leases the application holds, by token; the
                                  lock covers them */
    _Atomic uint64_t pauses[FB_TIER_PAUSES]; /* tier_ahead.c */
    /* Figures. */
#define FB_COUNTER_FIELD_(name, text) _Atomic uint64_t name;
    FB_SHARING_COUNTERS(FB_COUNTER_FIELD_)
#undef FB_COUNTER_FIELD_
};

/* The key was told of. */
void fb_tier_told(struct fb_tier *tier, uint64_t hash, fb_bytes key);
/* INVAL what was written since; the store has answered. */
void fb_tier_reassert(struct fb_tier *tier, fb_instant since);

#endif
