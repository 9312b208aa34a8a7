/* One shard: a deterministic state machine that decides what happens to the keys that hash to it.
 *
 * It reads no clock, draws no random number, blocks on nothing, logs nothing and calls no user code: time and draws are
 * arguments, and what should happen outside is handed back as effects. Three drivers run it: the threaded engine, the
 * simulator and the explorer. The caller holds the shard's lock around every call and carries the effects out after it
 * has let the lock go.
 *
 *     struct fb_effects fx;
 *     fb_effects_init(&fx);
 *     lock; status = fb_shard_get(shard, hash, key, keyspace, &waiter, now, &fx); unlock;
 *     FB_OK / FB_NOTFOUND: answered from the cache.   FB_PENDING: waiter will come back on some fx.done.
 *     fx.loads: flights to send to the source; call fb_shard_dispatched before the query, fb_shard_loaded after it.
 *
 * The protocol (docs/consistency.md; model in tests/): a key with a load or a write under way has a coordination record
 * with the five moves MISS, FILL, BEGIN, END, INVAL, the same that a shared second level runs as scripts.
 *
 *   MISS   no writer, no lease: the flight gets the lease (a fill token). A writer is there: the flight gets none; its
 *          answer is good for those who asked, and is not kept.
 *   FILL   kept only if the flight still holds the lease and no writer is there.
 *   (REFRESH is a MISS of a key that is cached: its flight takes over the lease of one that has been sent already, whose
 *   answer is kept only if it comes first.)
 *   BEGIN  the cached value and the lease go; the writer is marked; later writers of the key queue behind it.
 *   END    the mark goes; the new value is kept only if nothing was invalidated meanwhile; the next writer begins.
 *   INVAL  the value and the lease go; a writer under way will not keep its value.
 *
 *   HOLD   somebody is about to commit what changes this key without writing it (a row that a list shows): the value and
 *          the lease go, and until the RELEASE no lease is given. Holds wait for nothing and nobody waits for them,
 *          because a hold brings no value that could come in the wrong order; a key may have many. Taken inside a
 *          transaction of the source before its commit, released when the outcome is known.
 *
 * Grace: what has outlived its life stays in the table as long as its keyspace's grace allows, and stands in for an answer
 * that is late or has failed. It is no move of its own: BEGIN, INVAL and HOLD take it away as they take any value, and a
 * fill takes its place, so a stale value is never older than a write or an invalidation, only than the TTL.
 *
 * Refresh-ahead: a hit may find its copy due (policy/refresh.c). It is answered at once all the same, and a flight is begun
 * that nobody waits for. That is a MISS in all else: BEGIN, INVAL and HOLD take its lease, whoever misses meanwhile joins it.
 *
 * Invariants, cited by tests:
 *   S1  A refused load changes nothing in the table.
 *   S2  While a write is marked, or a hold is there, no value of the key is in the table.
 *   S3  A waiter is answered exactly once.
 *   S4  A waiter gets the value of a refused flight only if it joined before that flight was dispatched (or led it).
 *       Of what a shared second level said, or took, nobody gets a value who joined after that was asked, unless copies
 *       are kept here.
 *   S5  At most one writer of a key is granted; grants come in the order of begin. A queued writer may join the granted one
 *       instead, in the same order: its write is made under that mark.
 *   S6  Status and value of a flight travel together: every waiter of an error gets that error, or what stands in.
 *   S7  A waiter is bounced by a load at most once: the second time it joins only a flight not yet dispatched. (Waiters
 *       for a lease that the application holds are bounded by their deadline instead.)
 *   S8  After the answer to a REFRESH nothing is cached that is older than its question.
 *   S9  A stale value is within its grace, and is served only where the source is said to be down, the key's last load has
 *       failed a moment ago, or its load is later than the waiter's patience. REFRESH gets none.
 *   S10 Where a stale value may be served, nobody who asks by MISS gets an error of the source's, or waits longer than
 *       their patience and a tick.
 *   S11 A key with a stale value whose load has failed is not asked for again for some time (FB_STALE_RETRY_MS).
 *   S12 A refresh ahead of the end begins only where a copy is fresh and due, and no load or write of its key is under way;
 *       no sooner again after one that failed than a part of what is left of its life. A failed one leaves the copy. */
#ifndef FB_CORE_SHARD_H
#define FB_CORE_SHARD_H

#include <stdatomic.h>

#include <forebay/forebay.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/time.h"
#include "base/value.h"
#include "core/table.h"
#include "policy/policy.h"

enum {
    FB_KEY_MAX = 4096,              /* bytes of a key; longer keys match no keyspace */
    FB_WRITERS_PER_KEY_MAX = 1024,  /* queued writers of one key; more are FB_BUSY */
    FB_LEASE_MS = 3000,             /* life of a lease held by the application */
    FB_WRITE_WINDOW_MS = 5000,      /* life of a mark whose writer the core cannot see; also the doubt window */
    FB_STALE_RETRY_MS = 1000,       /* a failed load of a key with a stale value is tried again after this, or up to half
                                       of it less */
};

struct fb_shard;
struct fb_coord;

/* One caller waiting for a key. Owned by the caller, lives until it comes back on fx.done (or was never PENDING). */
struct fb_waiter {
    struct fb_link link;       /* in a flight, or in fx.done */
    struct fb_link timed;      /* in the shard's list of deadlines */
    struct fb_flight *flight;
    fb_instant deadline;       /* set by the caller before the call */
    fb_instant asked;          /* set by the shard */
    uint16_t keyspace;         /* set by the shard */
    bool wants_lease;          /* set by the caller: cache-aside, will load by itself */
    fb_span patience;          /* set by the caller: so late, a stale value will do; 0: it is as patient as its deadline */
    bool source_down;          /* set by the caller: the source is known to be down, a stale value will do at once */
    bool takes_stale;          /* set by the shard */
    fb_instant stale_at;       /* set by the shard: the end of its patience */
    bool leads, before_dispatch, bounced;
    unsigned joined;           /* questions of its flight that had left by then */
    /* The answer. */
    fb_status status;
    struct fb_value *value;    /* a reference the owner must give back; the value, or the error's text */
    uint64_t token;            /* with FB_LEASE */
    struct fb_took { fb_span lane, source; } took; /* until its question was sent, and from then on */
    unsigned shared;           /* waiters that the same load has answered */
    bool is_stale;             /* the value is past its life */
};

/* What becomes of what a flight brings, as its driver says. */
enum fb_keep {
    FB_KEEP_HERE,   /* here, if the flight still holds the lease */
    FB_KEEP_SHARED, /* in a shared second level, and not here: who waits may have it, if the flight still holds the lease */
    FB_KEEP_NOT,    /* nowhere */
};

/* One load under way. Made and freed by the shard; between fx.loads and fb_shard_loaded it is the driver's to carry. */
struct fb_flight {
    struct fb_link link;       /* in fx.loads, then the driver's (a lane) */
    struct fb_coord *coord;
    struct fb_link waiters;
    uint64_t token;            /* the lease it was given; 0: never to be kept */
    bool refreshes;            /* a copy was good when it was asked for */
    bool is_ahead;             /* of the end of its life: begun by a hit, which does not wait for it */
    fb_span left;              /* is_ahead: of the copy's life, when it was begun */
    uint64_t hash;
    uint16_t keyspace;
    bool is_dispatched, is_lease;
    fb_instant launched;
    fb_instant sent;           /* when it was dispatched; the birth of what it brings */
    unsigned questions;        /* of its questions to a shared second level, that have left */
    fb_instant lease_until;    /* is_lease only */
    /* Filled in by the driver before fb_shard_loaded. FB_OK with a value, FB_NOTFOUND without, or an error with its
     * text as the value (or NULL). The flight owns the reference. */
    fb_status status;
    struct fb_value *value;
    bool source_down;          /* with an error: the source is known to be down */
    enum fb_keep keep;         /* who may have it beyond those who led or joined in time */
    fb_instant born;           /* a copy's birth; the zero instant: when the flight was sent */
    uint32_t cost_us;          /* what loading it takes, of a copy; 0: as long as the flight took */
    uint32_t cap_ms;           /* and a life given to it, counted from birth; 0: none */
    bool is_put_off;           /* somebody else is loading it: no refresh of this copy for some time */
    struct fb_value *stand_in; /* a copy past its life that its driver found on the way (fb_shard_adopt); the flight's */
    bool is_stale;             /* it stands in for an answer that was late or has failed */
    void *way;                 /* the driver's own, NULL at first */
    bool is_promised;          /* is_ahead, or somebody was served a stale value: it is wanted, if only to be kept */
};
fb_bytes fb_flight_key(const struct fb_flight *flight);
/* Would its answer be kept now? */
bool fb_flight_may_fill(const struct fb_flight *flight);
/* Does anybody wait for it? */
bool fb_flight_is_wanted(const struct fb_flight *flight);

/* One write of one key. Owned by the driver, lives until its end or cancellation. */
struct fb_writer {
    struct fb_link link;       /* queued in the coordination record, or in fx.granted */
    struct fb_link lapse;      /* in fx.lapsed: one that was granted a moment ago may be in both */
    struct fb_coord *coord;
    uint16_t keyspace;
    bool is_granted;           /* marked: the value is hidden until the end */
    bool has_hidden;           /* there was something to hide when it was marked */
    bool is_contended;         /* invalidated meanwhile, or granted in the doubt of another: its value is not kept */
    fb_span window;            /* set by the caller: life of the mark from its grant, for writers whose end the core
                                  cannot be sure of; 0 where the driver promises an end */
    fb_instant expires;        /* set at the grant */
    uint64_t ticket;
    bool wants_value;          /* set by the caller: what the mark hides is wanted, to decide by it */
    /* At the grant, then: FB_OK with a reference that is the owner's, FB_NOTFOUND, FB_MISS; and when it was born. */
    fb_status shown;
    struct fb_value *value;
    fb_instant born;
    uint32_t born_cap_ms;
};

/* One hold of one key. Owned by the driver, lives until its release. */
struct fb_hold {
    struct fb_coord *coord;    /* NULL: not held */
    uint16_t keyspace;
};

struct fb_effects {
    struct fb_link done;       /* fb_waiter.link: answered; wake or reply */
    struct fb_link loads;      /* fb_flight.link: ask the source */
    struct fb_link granted;    /* fb_writer.link: may now store */
    struct fb_link lapsed;     /* fb_writer.lapse: the mark has died (`expires`); the writer is the driver's again */
};
void fb_effects_init(struct fb_effects *fx);

/* Told of what becomes of a key, under the lock of the call that does it: LOADED, REFRESHED, UNCACHED (of loads),
 * INVALIDATED, LIFE, EXPIRED (at the end of the life, grace or not), STALE, EVICTED, and DOUBTED when a window closes; what a write did, its driver knows better. It is
 * the driver's: it takes notes and calls nothing of the shard's. `value` is the kind of the value in question. */
typedef void fb_shard_observer(void *user, fb_event_kind what, uint16_t keyspace, fb_kind value, fb_bytes key);

struct fb_shard_options {
    uint64_t bytes_max;
    const struct fb_evict_ops *evict;
    const fb_policy *policies;       /* one per keyspace, read at each decision; owned by the caller, may change between
                                        calls and must have room for keyspaces_max */
    unsigned keyspaces_max;
    fb_shard_observer *observer;     /* or NULL */
    void *user;
    const _Atomic int64_t *proved;   /* nothing that is cached serves from this instant on (in ns): a shared second level
                                        may have changed without a word. NULL: nobody else writes */
};

struct fb_shard *fb_shard_create(const struct fb_shard_options *options);
/* No flight, waiter or writer may be left. NULL accepted; returns NULL. */
struct fb_shard *fb_shard_destroy(struct fb_shard *shard);

/* ---- reading ---- */

struct fb_hit {
    fb_kind kind;
    bool is_ripe;              /* set always: a refresh may be due, see fb_shard_due */
};
/* The hit path: FB_OK (value appended to out unless NULL, *ret_hit), FB_NOTFOUND, FB_MISS. Counts a hit, not a miss;
 * an expired entry is removed. */
fb_status fb_shard_peek(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, fb_buf *out,
                        struct fb_hit *ret_hit);
/* After a hit that was ripe, under the same lock: is a refresh of this copy, wherever it lies, due by this draw, with nothing
 * of the key under way? */
enum fb_due fb_shard_due(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_instant now,
                         uint32_t draw);
/* It is: begin it, or (may_load false: the source is down or busy) count that it is not. FB_OK with the flight on fx.loads,
 * FB_REFUSED, FB_NOMEM. */
fb_status fb_shard_refresh_ahead(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp,
                                 enum fb_due due, bool may_load, fb_instant now, struct fb_effects *fx);
/* As peek, without counting or touching; *ret_stamp is the entry's. */
fb_status fb_shard_look(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, struct fb_stamp *ret_stamp);

/* A miss (the caller has just peeked under the same lock) that is answered at once by a stale value: FB_OK, value appended
 * to out, *ret_kind; counts as a miss. FB_MISS: none may be served now, go on with fb_shard_miss. FB_NOMEM. */
fb_status fb_shard_stale(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                         const struct fb_waiter *waiter, fb_instant now, fb_buf *out, fb_kind *ret_kind);
/* A miss: join or start a flight. FB_PENDING; or FB_LEASE at once for
 * a waiter that wants a lease and got one (waiter->token); or FB_NOMEM. */
fb_status fb_shard_miss(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                        struct fb_waiter *waiter, fb_instant now, struct fb_effects *fx);
/* Load though it may be cached: joins a flight that has not been sent, or starts one. The cached copy serves until the
 * fill takes its place; an error leaves it. FB_PENDING or FB_NOMEM. Counts as no miss. */
fb_status fb_shard_refresh(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                           struct fb_waiter *waiter, fb_instant now, struct fb_effects *fx);
/* A question of the flight is about to leave for a shared second level, the first of which is as good as the source here:
 * whoever joins later may get its answer only if it is kept. Who joins after the last one may have it only where a copy may
 * be a moment behind anyway (FB_KEEP_HERE): what another process has written meanwhile is not in it, and was perhaps
 * acknowledged before they asked. fb_shard_dispatched may follow. */
void fb_shard_asked(struct fb_shard *shard, struct fb_flight *flight, fb_instant now);
/* The query is about to be sent: whoever joins later may get its value only if it is kept. */
void fb_shard_dispatched(struct fb_shard *shard, struct fb_flight *flight, fb_instant now);
/* A copy past its life, found in a shared second level by a flight that goes on to load: it stands in for the
 * answer to those who led the flight or joined in time, and is kept here for its grace, as if it had outlived its life
 * here, unless the flight's lease is gone. */
void fb_shard_adopt(struct fb_shard *shard, struct fb_flight *flight, fb_kind kind, fb_bytes value, fb_instant born,
                    fb_instant now);
/* The answer is in flight->status and flight->value. Consumes the flight. `draw` is the entry's jitter. */
void fb_shard_loaded(struct fb_shard *shard, struct fb_flight *flight, fb_instant now, uint16_t draw,
                     struct fb_effects *fx);

/* The application's own load (FB_LEASE): FB_OK when kept, FB_REFUSED when the token is no longer held.
 * status = FB_OK with value, FB_NOTFOUND for absent, or an error: the lease is given back. */
fb_status fb_shard_fill(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint64_t token, fb_status status,
                        fb_kind kind, fb_bytes value, fb_instant now, uint16_t draw, struct fb_effects *fx);

/* ---- writing ---- */

/* FB_OK: granted at once. FB_PENDING: will come on fx.granted. FB_BUSY, FB_NOMEM: not queued. */
fb_status fb_shard_begin(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                         struct fb_writer *writer, fb_instant now, struct fb_effects *fx);
/* How a write ended. */
enum fb_write_end {
    FB_END_KEEP,     /* committed: keep the value given */
    FB_END_ABSENT,   /* committed: there is no row now */
    FB_END_DROP,     /* committed, or certainly not applied: keep nothing */
    FB_END_DOUBT,    /* may still land: keep nothing, and nothing that is loaded within the doubt window */
};
/* `birth` is when the write was sent, `cap_ms` a life given with it (0: none); value and kind count for FB_END_KEEP. */
void fb_shard_end(struct fb_shard *shard, struct fb_writer *writer, enum fb_write_end how, fb_kind kind, fb_bytes value,
                  fb_instant birth, uint32_t cap_ms, fb_instant now, uint16_t draw, struct fb_effects *fx);
/* The first of those that wait for this granted writer to end, or NULL. */
struct fb_writer *fb_shard_next_writer(const struct fb_writer *active);
/* Take a writer that is still queued out again: true; false when it was granted meanwhile (then end it).
 * Its write may then be done under the mark of the active one, after that one's, and be acknowledged when that has ended
 * with what both have left: for readers the two are one write. */
bool fb_shard_cancel(struct fb_shard *shard, struct fb_writer *writer);

/* FB_OK or FB_NOMEM. */
fb_status fb_shard_hold(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace, struct fb_hold *hold,
                        fb_instant now, struct fb_effects *fx);
/* The transaction has ended. is_doubted: it may still land, so that nothing is kept within the doubt window either. The
 * observer is told INVALIDATED, whatever was cached: a copy that somebody keeps may be from before another hold. */
void fb_shard_release(struct fb_shard *shard, struct fb_hold *hold, bool is_doubted, fb_instant now);

/* ---- forgetting and lives ---- */

/* INVAL: FB_OK when a value was there, FB_NOTFOUND when a negative entry was, else FB_MISS. */
fb_status fb_shard_invalidate(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now,
                              struct fb_effects *fx);
void fb_shard_invalidate_all(struct fb_shard *shard, fb_instant now, struct fb_effects *fx);
/* The same for one keyspace, bucket by bucket as fb_shard_scan goes; the first step (position 0) refuses its loads under
 * way. Adds to *dropped. */
uint64_t fb_shard_invalidate_keyspace(struct fb_shard *shard, uint64_t position, uint16_t keyspace, fb_instant now,
                                      struct fb_effects *fx, uint64_t *dropped, unsigned *ret_looked);
/* FB_OK, FB_UNMET (a condition of `flags`), FB_MISS. A life in the past invalidates. */
fb_status fb_shard_expire(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_span life, unsigned flags,
                          fb_instant now, struct fb_effects *fx);
fb_status fb_shard_persist(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now);

/* ---- time ---- */

/* Give up for waiters whose deadline has passed (FB_TIMEOUT), pass dead leases and marks on, sweep some expired
 * entries. Returns the next instant at which there may be something to do for a deadline. */
fb_instant fb_shard_tick(struct fb_shard *shard, fb_instant now, struct fb_effects *fx);

/* ---- changing ---- */

/* Another bytes_max; a smaller one is reached over the next writes and ticks. */
void fb_shard_set_max(struct fb_shard *shard, uint64_t bytes_max);

/* ---- looking in ---- */

/* As fb_table_scan, but for fresh values only. */
uint64_t fb_shard_scan(struct fb_shard *shard, uint64_t position, fb_instant now, fb_visit visit, void *user,
                       unsigned *ret_looked);
/* All that is known of a key; `keyspace` is the caller's to fill in. Changes nothing. */
void fb_shard_facts(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, fb_facts *ret_facts);

/* ---- figures ---- */

/* The counters of one keyspace, for reading and for the driver's own additions; valid until destroy. */
fb_keyspace_stats *fb_shard_counters(struct fb_shard *shard, uint16_t keyspace);
const struct fb_table *fb_shard_table(const struct fb_shard *shard);
/* Coordination records, flights, waiters and queued writers alive: all 0 at rest. */
unsigned fb_shard_busy(const struct fb_shard *shard);

#endif
