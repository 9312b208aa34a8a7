/* The protocol of several Forebays with one Redis as a finite system: one key, a few readers and writers, every
 * order.
 *
 * Each script and each SQL statement is one step. A row's versions are numbered in the order of their commits, which
 * is the order in which reads may see them; so a read that began when version f was acknowledged (or, for
 * linearizability, had been read) must not answer less than f. Readers read for ever unless a configuration says
 * otherwise; writers write once. Environment: a copy may be evicted and a lease expire at any moment; what else may
 * happen is the configuration's (crashes, lost coordination keys, late duplicates, a failover to an older state).
 *
 * model.c searches breadth first, so that the first violation found is a shortest one; steps.c says what may follow a
 * state; configs.c is the table of what is searched and what must come out. */
#ifndef FB_TESTS_MODEL_H
#define FB_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { READERS_MAX = 4, NOBODY = READERS_MAX, WRITERS_MAX = 3, DUPLICATES_MAX = 2 };

/* Versions in copies are stored plus one; 0 is "not there". */
#define NONE 0

enum reader_at {
    R_IDLE, R_ASKS,                 /* nothing under way; asks (again) with MISS */
    R_LOADS, R_LOADS_ON, R_FILLS,   /* holds a lease: before the query; write-behind's second look; before FILL */
    R_DIRECT, R_DIRECT_ON,          /* reads the database, keeps nothing */
    R_JOINED_EARLY, R_JOINED_LATE,  /* follows the load of `aux`; before its query was sent, after it */
    R_DONE,
};

enum writer_at {
    W_IDLE, W_BEGUN, W_ENDS, W_ENDS_DEL, W_DOUBT, W_DONE, W_DEAD, W_DEAD_DOUBT,
};

/* What lies in Redis for the key: replaced as a whole by a failover. */
struct redis {
    uint8_t value, negative;   /* version + 1 */
    uint8_t lease;             /* reader + 1 */
    uint8_t marks;             /* bit per writer */
    uint8_t hold;              /* no fills, says an INVAL */
    uint8_t contended;
    uint8_t trust;             /* after a failover: readers who had noticed it when the copy was made */
};

struct state {
    struct redis redis, replica; /* replica: what a failover would bring back */
    uint8_t db, last;            /* version in the database; youngest version (write-behind: ahead of db) */
    uint8_t dirty, flushing;     /* write-behind: version + 1 in the owner's map; what the flusher is committing */
    uint8_t acked, seen;         /* youngest version acknowledged; answered */
    uint8_t crashes, losses, duplicates, failovers; /* how many are left */
    uint8_t touched;             /* writers who changed Redis since the replica's state: they have to re-assert */
    uint8_t noticed;             /* readers who know of the failover */
    uint8_t pinned_out;          /* readers whose lease is from before the failover */
    uint8_t l1, pushes;          /* l1.c: version + 1 in the first level; invalidations on their way */
    uint8_t is_untracked, is_off;
    uint8_t pinned_writers;      /* writers who began before it */
    struct { uint8_t at, val, floor, aux; } readers[READERS_MAX];
    struct { uint8_t at, val, is_unsure; } writers[WRITERS_MAX]; /* unsure: a command was sent again */
    struct { uint8_t kind, who, val; } late[DUPLICATES_MAX];
};

enum reading { WITH_LEASE, PLAIN };
enum writing { BEGIN_END, BEGIN_END_DEL, COMMIT_DEL, COMMIT_SET, COMMIT_EVENT, EVENT_COMMIT, JOURNAL };
enum property { ATOMIC = 1, REGULAR = 2, REST = 4 };

/* Parts of the protocol that can be left out, to see that the checker would notice. */
enum part {
    BEGIN_HIDES = 1 << 0, BEGIN_REVOKES = 1 << 1, BEGIN_HIDES_NEGATIVE = 1 << 2, MISS_SEES_MARKS = 1 << 3,
    FILL_SEES_MARKS = 1 << 4, FILL_NEEDS_LEASE = 1 << 5, FILL_COMPARES = 1 << 6, END_NEEDS_MARK = 1 << 7,
    END_SEES_OTHERS = 1 << 8, CONTENDED = 1 << 9, END_REVOKES = 1 << 10, INVAL_REVOKES = 1 << 11,
    INVAL_CONTENDS = 1 << 12, END_DROPS_NEGATIVE = 1 << 13, FILL_DROPS_OTHER = 1 << 14, FOLLOWERS_CHECK = 1 << 15,
    REFRESH_HAS_LEASE = 1 << 16, DIRTY_FIRST = 1 << 17, DIRTY_UNTIL_COMMIT = 1 << 18, MARK_OUTLIVES_COMMIT = 1 << 19,
    DELETE_REVOKES = 1 << 20, REASSERT = 1 << 21, PINNED = 1 << 22, HOLD_BLOCKS = 1 << 23,
    RESENT_ONLY_DELETES = 1 << 24, FRESH_TOKENS = 1 << 25,
    L1_COMPARES = 1 << 26, L1_INSERT_BUMPS = 1 << 27, L1_REFUSAL_REMOVES = 1 << 28, L1_WRITE_REMOVES = 1 << 29,
    L1_STARTS_EMPTY = 1 << 30,
};

struct config {
    const char *name, *claim;
    enum property property;
    bool is_violated;         /* what must come out */
    uint8_t readers, writers;
    enum reading reading;
    enum writing writing[WRITERS_MAX];
    uint32_t without;         /* parts left out */
    uint8_t absent;           /* bit per version: this row is absent, its copy a negative entry */
    uint8_t refreshers;       /* so many of the readers only refresh */
    uint8_t crashes, losses, duplicates, failovers;
    bool once;                /* each reader reads once */
    bool followers, aborts, doubts, keeps_old, distrust, hold;
    bool has_l1;              /* the world of l1.c instead */
    bool is_large;            /* not in the short form */
};

extern const struct config configs[];
extern const size_t configs_count;

/* What a step is called, for traces. */
struct label { const char *what; int who; };

typedef void found_fn(void *arg, const struct state *next, struct label label, const char *violation);

void model_first(const struct config *c, struct state *ret);
void model_steps(const struct config *c, const struct state *s, found_fn *found, void *arg);
/* NULL, or what is wrong with a state in which nobody has anything left to do. */
const char *model_at_rest(const struct config *c, const struct state *s);
void model_print(const struct config *c, const struct state *s);

#endif
