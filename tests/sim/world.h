/* A small world around one real shard: a model database, actors, and everything that carries flights and writes
 * between them, moved one action at a time.
 *
 * Three programs move it: the simulator by a seed, the explorer by an odometer over every choice, the scenario runner
 * by lines of text. The world knows no chance of its own but the one it is given: the same actions give the same world.
 *
 * The database is a register per key. A version is a commit, numbered in the order of commits; the value of version 7
 * is the text "v7", so every value names the commit it comes from. What a read may answer follows from the moments:
 *
 *   C1  Not older than the key's floor when the read began. The floor is the newest version at the last moment at which
 *       Forebay knew of the key: a grant, a commit or landing of a write it carries, an end, an invalidation; and what
 *       the question of a REFRESH was sure to see, once that is answered.
 *   C2  Superseded at most a TTL (a negative TTL for "absent") before the read began.
 *   C3  An entry is born no later than its question was sent, and is served and shared for at most a TTL from there.
 *
 * Where there is grace, S9 to S11 are checked with arithmetic of the world's own: why a stale value was served and how old it
 * was, that nobody got an error instead of one, and that a key is left alone after a failed load. C1 holds for stale values
 * as for all others: grace costs time, never a write. C2 and C3 grow by the grace.
 *
 * Refreshes ahead of the end are begun by hits, which have their answers by then. S12 is checked with arithmetic of the world's
 * own, both ways: none begins too soon, and none is left out that nothing stands against (ahead.c).
 *
 * A client keeps the newest answer it got of each key, and drops it when the shard or a write's end tells of the key:
 *
 *   E1  What it keeps is never older than the last end of a write, invalidation or end of a doubt.
 *   E2  At rest it keeps nothing that is not in the table.
 *
 * OP_MOVE is a write of a row that two other keys show: the list it was in and the list it is in afterwards. They are
 * held before its commit, which is a commit of all three keys. C1 for the lists says as well that whoever has seen the
 * row as it is now sees the lists as they are now.
 *
 * Without commits behind Forebay's back C1 says that no read is ever older than the newest commit when it began, which
 * is linearizability of the register. After every action the invariants S1 to S7 of core/shard.h are checked too. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdio.h>

#include "base/rng.h"
#include "core/shard.h"
#include "rows/touch.h"

enum {
    HELD_MAX = 4,       /* lists of one change */
    MOVING = 2,         /* rows 0 and 1 may be in lists, in worlds that have them: */
    LISTS_AT = 2,       /* keys 2 and 4 */
    LISTS_STEP = 2,
    MOVE_KEYS = LISTS_AT + LISTS_STEP + 1,
    KEYS_MAX = 12,
    OPS_MAX = 400,
    FLIGHTS_MAX = 400,
    VERSIONS_MAX = 600,
    ACTIONS_MAX = 2048,
    LAG_MAX_NS = 50000, /* callers read the clock before they get the lock: `now` may be so much too early */
};

/* What an actor does. */
enum op_kind {
    OP_READ,       /* read-through */
    OP_REFRESH,    /* the same, whatever is cached */
    OP_ASIDE,      /* get or lease, load, fill */
    OP_SET,        /* write-through of a value (an insert, where there is no row) */
    OP_DELETE,     /* write-through of a delete */
    OP_AROUND,     /* write-around of a value */
    OP_MOVE,       /* write-through of row 0 or 1 that moves it from one list (a key of its own) to another */
    OP_TICKET,     /* the application's own write between fb_write_begin and fb_write_end */
    OP_BEHIND,     /* a commit behind Forebay's back, perhaps followed by an invalidation */
    OP_INVALIDATE,
    OP_EXPIRE,
    OP_PERSIST,
    OP_INVALIDATE_ALL,
    OP_KINDS
};

enum op_state {
    OP_DONE,
    OP_WAITING,    /* reads: for a flight or a lease */
    OP_LEASED,     /* holds a lease, has not asked the database yet */
    OP_ASKED,      /* has its row, not filled yet */
    OP_QUEUED,     /* writes: behind another writer */
    OP_GRANTED,
    OP_HELD,       /* OP_MOVE: the lists are held */
    OP_COMMITTED,
    OP_IN_DOUBT,   /* ended as unknown: may still land */
    OP_BEHIND_COMMITTED,
    OP_LAPSED,
    OP_STATES
};

enum act {
    ACT_START,        /* op kind in arg, key in index */
    /* Flights: index is the place in flights[]. */
    ACT_DISPATCH,
    ACT_QUERY,        /* the moment at which the database reads the row */
    ACT_HOME,
    ACT_HOME_ERROR,
    ACT_LANE_FULL,    /* comes back undispatched with FB_BUSY */
    /* Operations: index is the place in ops[]. */
    ACT_APP_QUERY,
    ACT_APP_FILL,
    ACT_APP_FAILS,    /* gives the lease back */
    ACT_APP_DIES,     /* never comes back with its lease, or never ends its write */
    ACT_HOLD,         /* the transaction has read the row as it is, and knows its lists */
    ACT_COMMIT,
    ACT_END,
    ACT_FAIL,         /* definite error */
    ACT_UNKNOWN,      /* no answer: in doubt */
    ACT_LAND,
    ACT_LOSE,         /* never lands */
    ACT_CANCEL,
    ACT_JOIN,         /* the next in the queue writes under this one's mark */
    ACT_INVALIDATE,   /* the second half of OP_BEHIND */
    ACT_FORGET,       /* no second half */
    /* Time: arg in microseconds. */
    ACT_TICK,
    ACT_ADVANCE,
    ACT_BREAKER,      /* the source is known to be down from here on (arg 1), or no longer (0) */
    ACTS
};

struct action {
    enum act act;
    unsigned index;
    uint64_t arg;
};

struct version {
    int64_t committed;
    bool is_absent;
};

/* What is known of the last load of a row that failed while there was a good copy of it. */
struct pause {
    int64_t birth, until; /* of that copy; NEVER_FAILED where there was none; no refresh of it is due before that */
};

struct row {
    char name[16];
    uint64_t hash;
    struct version versions[VERSIONS_MAX];
    unsigned nversions, floor;
    struct op *granted;          /* the writer marked now, as the driver sees it */
    unsigned nheld;              /* holds of it now */
    unsigned begun, granted_seq; /* S5: tickets handed out, and the last one granted */
    unsigned undispatched;
    const char *last_told;       /* the event's name; for scenarios */
    unsigned told;               /* how often something was told of the key */
    unsigned told_floor;         /* E1: what the client must have by now */
    bool has_copy;               /* the client's */
    unsigned copy;
    int64_t failed;              /* when a load of it failed last; and of which stale value that was the refresh */
    int64_t put_off;             /* (its birth); NEVER_FAILED where there was none */
    struct pause pause;
};
#define NEVER_FAILED INT64_MIN

struct op {
    enum op_kind kind;
    enum op_state state;
    unsigned key, number;
    int64_t begun;
    unsigned floor;
    unsigned told;        /* row's, when it began */
    unsigned version;     /* asked for, or committed */
    bool has_committed;
    bool is_stale;        /* the answer */
    bool was_down;        /* the source, when it began */
    int64_t leased, ended; /* when */
    unsigned ticket;
    /* The answer, for scenarios. */
    fb_status status;
    unsigned answer;
    bool is_absent;
    int64_t seat;         /* when the flight it waited for at the last tick was launched, */
    const void *flight;   /* and which one that was: two may begin at one instant */
    struct fb_waiter waiter;
    struct fb_writer writer;
    unsigned owner;       /* OP_MOVE: the list the row goes to */
    struct fb_hold holds[HELD_MAX];
    unsigned held[HELD_MAX], nheld;
};

enum flight_state { FLIGHT_NEW, FLIGHT_SENT, FLIGHT_READ };

struct world_flight {
    struct fb_flight *core;
    enum flight_state state;
    unsigned key, number, version;
    int64_t launched, sent;
};

/* What a run has met, so that a simulation can show that it meets everything. X(name, in words) */
#define WORLD_EVENT_MAP(X)                                                                                             \
    X(HITS, "hits")                                                                                                    \
    X(NEGATIVE_HITS, "negative hits")                                                                                  \
    X(COALESCED, "coalesced")                                                                                          \
    X(LOAD_ERRORS, "load errors")                                                                                      \
    X(FILLS_REFUSED, "refused loads")                                                                                  \
    X(INVALIDATIONS, "invalidations")                                                                                  \
    X(EXPIRED, "expired")                                                                                              \
    X(EVICTED, "evicted")                                                                                              \
    X(TIMEOUTS, "timeouts")                                                                                            \
    X(BOUNCED, "bounced")                                                                                              \
    X(LEASES_FILLED, "leases filled")                                                                                  \
    X(LEASES_REFUSED, "leases refused")                                                                                \
    X(QUEUED, "writers queued")                                                                                        \
    X(REFRESHED, "refreshed")                                                                                          \
    X(COPIES, "copies kept by a client")                                                                               \
    X(COPIES_DROPPED, "copies dropped when told")                                                                      \
    X(JOINED, "writers that shared a mark")                                                                            \
    X(CANCELLED, "cancelled")                                                                                          \
    X(STALE_DOWN, "stale while down")                                                                                  \
    X(STALE_LATE, "stale instead of a late answer")                                                                    \
    X(STALE_FAILED, "stale instead of an error")                                                                       \
    X(PUT_OFF, "stale with its load put off")                                                                          \
    X(AHEAD, "refreshes ahead of the end")                                                                             \
    X(EARLY, "early refreshes")                                                                                        \
    X(AHEAD_REFUSED, "refreshes not begun, the source being down")                                                     \
    X(AHEAD_JOINED, "readers that missed and joined one")                                                              \
    X(AHEAD_FAILED, "refreshes that failed and left the copy")                                                         \
    X(AHEAD_PAUSED, "due copies left alone after a failure")                                                                          \
    X(LAPSED, "marks lapsed")                                                                                          \
    X(MOVED, "rows moved from list to list")                                                                           \
    X(LANDED, "landed in doubt")                                                                                       \
    X(NOMEM, "out of memory")

enum world_event {
#define WORLD_EVENT_ENUM_(name, words) SEEN_##name,
    WORLD_EVENT_MAP(WORLD_EVENT_ENUM_)
#undef WORLD_EVENT_ENUM_
    WORLD_EVENTS
};

struct world_options {
    unsigned keys;
    uint64_t bytes_max;
    const struct fb_evict_ops *evict;
    fb_policy policy;
    uint32_t allowed;        /* a bit per act that world_enabled may offer */
    bool is_one_hash;        /* all keys collide */
    unsigned oom_one_in;     /* one core call in so many meets a failing allocation; 0: none */
    int64_t lag_ns;
    int64_t wait_ms;         /* deadline of reads; 0: none */
    int64_t patience_ms;     /* how long they wait where a stale value will do; 0: as long as for any */
    unsigned padding;        /* bytes added to every value */
    FILE *trace;             /* NULL: silent */
};

struct world {
    struct world_options options;
    struct fb_rng rng;       /* for lags, draws and failing allocations only */
    struct fb_shard *shard;
    fb_policy policies[1];
    fb_instant now;
    bool is_down;
    struct row rows[KEYS_MAX];
    struct fb_mapping table; /* of the rows that move: one column, the list it is in */
    struct fb_dependent lists;
    struct fb_pattern list_pattern;
    unsigned owners[MOVING]; /* that column's values in the database */
    struct op ops[OPS_MAX];
    unsigned nops;
    struct world_flight flights[FLIGHTS_MAX];
    unsigned nflights, flights_made;
    uint64_t reads, loads, peek_hits;
    uint64_t seen[WORLD_EVENTS];
    fb_status last_status;   /* of the last direct call of the core, for scenarios */
    char violation[256];     /* empty: none. The first one stays */
};

/* The world begins with version 0 of every row: absent for odd keys of a simulation, a value in scenarios. */
void world_begin(struct world *world, const struct world_options *options, uint64_t seed);
/* Carry everything to its end, let every window pass, and check the world at rest; then free it. */
void world_finish(struct world *world);

/* All actions possible now, but for ACT_START. In a fixed order. Returns how many. */
unsigned world_enabled(const struct world *world, struct action *actions);
/* Do one. It must be possible. */
void world_do(struct world *world, struct action action);
const char *world_act_name(enum act act);
const char *world_op_name(enum op_kind kind);

/* A commit behind Forebay's back. */
unsigned world_commit(struct world *world, unsigned key, bool is_absent);
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ahead.c: what a hit may begin, after it has its answer. */
void ahead_after_hit(struct world *world, const struct op *op, fb_instant now, struct fb_effects *fx);
void ahead_check_missed(struct world *world, const struct op *op); /* one that was not ripe */
void ahead_check_begun(struct world *world, const struct world_flight *flight);
/* A load of the row fails: `before` it does, and after. */
void ahead_note_failure(struct world *world, struct row *row, struct fb_stamp *ret_before);
void ahead_check_left(struct world *world, const struct world_flight *flight, const struct fb_stamp *before);
void ahead_check_rest(struct world *world);

/* check.c: what a read may answer. */
void world_check_answer(struct world *world, struct op *op, fb_status status, fb_bytes value);
void world_check_served(struct world *world, const struct op *op);      /* C3, after a hit */
void world_check_stale(struct world *world, const struct op *op);       /* S9, after a stale answer */
/* S10: is there, by the world's own reckoning and for certain, a value that may stand in? */
bool world_has_stand_in(const struct world *world, const struct row *row, bool is_down);
bool world_is_stale(const struct world *world, const struct row *row, struct fb_stamp *ret_stamp); /* for certain */
void world_check_birth(struct world *world, const struct row *row, int64_t sent); /* C3, after a fill or an end */
/* After a tick: nothing is overdue, and `due` is not too late for anybody. */
void world_check_due(struct world *world, fb_instant now, fb_instant due);
/* S4 and C3 for one who gets the very value of a flight. */
void world_check_shared(struct world *world, const struct world_flight *flight, bool was_kept, const struct op *op);
/* S8, after the answer to a REFRESH. */
void world_check_refreshed(struct world *world, const struct op *op);
void world_check_entries(struct world *world);  /* at rest: every entry equals the database or is within its TTL */
void world_check_step(struct world *world);     /* after every action: S2, S5, E1 and the counts */
void world_check_copies(struct world *world);   /* at rest: E2 */
/* Is there an entry, fresh or not? */
bool world_entry(const struct world *world, const struct row *row, struct fb_stamp *ret_stamp, fb_buf *out);
fb_bytes world_value(const struct world *world, unsigned version, char *room, size_t size);

#endif
