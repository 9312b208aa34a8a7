/* Write-behind as it is shipped, in a small world: the engine with its journal, flusher, lanes and ticker (threads.h), over a
 * disk that crashes (tests/journal/disk.h) and a model database. One or two machines, each with a disk and at most one
 * Forebay; clients of each; and a world that kills, cuts the power, fails a sync, loses a commit's answer, takes a
 * partition over, and brings back an older database.
 *
 * What must be true, for every key (check.c):
 *
 *   W1  All answers fit one order of the operations in which each lies between its question and its answer: reads show
 *       acknowledged writes and nothing older, nobody's write is lost or done twice (linearizable). Writes without an answer
 *       may have happened; which have is settled by the next start.
 *   W2  At rest the database has what the order ends with, in every column.
 *   W3  Keys that are only written together are alike in the database after each of its commits.
 *   W4  What the database refuses is a letter, nothing else is, and readers then see what the database has.
 *   W5  Every operation is answered, everything comes to rest, nothing is kept in memory after the end.
 *
 * Said away: a database that goes back to where the partition was free; keys of a poisoned row (W4 instead); what a partition that was taken over by force had not flushed; with
 * `everysec`, a power cut. */
#ifndef TESTS_SIM_BEHIND_WORLD_H
#define TESTS_SIM_BEHIND_WORLD_H

#include <stdio.h>

#include <forebay/forebay.h>

#include "disk.h"
#include "source/flush.h"
#include "threads.h"

enum {
    ROWS = 6, HASHES = 4,        /* rows 0 … 3 are hashes, the others JSON */
    PAIR = 2,                    /* in some worlds rows 0 and 1 are written together only */
    POISONED = 3,                /* the row that gets values which the database refuses */
    POISON = 1000000,            /* values from here on */
    STEPS_MAX = 3, OPS_MAX = 2000, CLIENTS_MAX = 6, MACHINES = 2,
    SLOTS = 16, CONFIGS_MAX = 3000, REQUESTS_MAX = 64, LETTERS_MAX = 64, TAKEN_MAX = 8, PAST_MAX = 6,
};

/* A row, in the database and in the heads of the checks: columns n (a number), a and b (texts; 0: NULL). */
struct row {
    bool exists, has_n;
    int64_t n;
    uint32_t a, b;
};

/* Parts that a test of the test leaves out. X(name, what goes wrong) */
#define BEHIND_PARTS(X)                                                                                                \
    X(NO_OVERLAY, "loads do not show what waits")                                                                      \
    X(OVERLAY_LATE, "what waits is taken when the load comes home")                                                    \
    X(NO_MERGE, "a later change takes the place of an earlier one")                                                    \
    X(MERGE_TURNED, "changes are merged in the wrong order")                                                           \
    X(NO_SYNC, "a sync of the journal does nothing")                                                                   \
    X(SYNC_AGAIN, "a failed sync is asked again")                                                                      \
    X(ACK_EARLY, "writes are answered before they are synced")                                                         \
    X(NO_ROW, "conditions are judged by rows that nobody has read")                                                    \
    X(NO_RECOVERY, "what the journal holds is not read")                                                               \
    X(RECOVERS_ALL, "recovery brings what the database has")                                                           \
    X(OVERTAKEN, "a change is shown on top of a row with later ones")                                                  \
    X(JOINED_FORGET, "who shares a record does not write down those before")                                           \
    X(UNITS_PART, "a unit is several batches")                                                                         \
    X(UNITS_COME_APART, "a unit is several batches after a start")                                                                         \
    X(NO_CHECK, "the database compares neither epoch nor watermark")                                                   \
    X(NO_MARK, "the database does not move the watermark with the rows")                                               \
    X(DIRTY_CLAIM, "a partition that is not clean is given away")                                                      \
    X(UNSURE_IS_DONE, "a flush whose answer was lost counts as done")                                                  \
    X(LETTERS_STAY, "the copy of a refused row stays")                                                                 \
    X(NO_DOUBT, "a write whose sync has failed is said not to have happened")

enum behind_part {
#define BEHIND_PART_(name, words) PART_##name,
    BEHIND_PARTS(BEHIND_PART_)
#undef BEHIND_PART_
    PARTS
};

#define BEHIND_EVENTS(X)                                                                                               \
    X(WRITES, "writes")                                                                                                \
    X(READS, "reads")                                                                                                  \
    X(LOADS, "loads")                                                                                                  \
    X(UNMET, "conditions that did not hold")                                                                           \
    X(GROUPS, "transactions")                                                                                          \
    X(JOINED, "writes that shared a record")                                                                           \
    X(FLUSHES, "flushes")                                                                                              \
    X(ROWS_FLUSHED, "rows in them")                                                                                    \
    X(ALREADY, "flushes found done")                                                                                   \
    X(LOST_ANSWERS, "answers of the database lost")                                                                    \
    X(LATE_COMMITS, "commits after the death of who asked")                                                            \
    X(LETTERS, "dead letters")                                                                                         \
    X(REFUSED, "writes refused")                                                                                       \
    X(UNKNOWN, "writes of unknown outcome")                                                                            \
    X(KILLS, "deaths of the process")                                                                                  \
    X(CUTS, "power cuts")                                                                                              \
    X(FAILED_CALLS, "calls to the disk that failed")                                                                   \
    X(RECOVERIES, "starts")                                                                                            \
    X(FAILED_STARTS, "starts that failed")                                                                             \
    X(HANDOVERS, "partitions that changed hands")                                                                      \
    X(TAKEOVERS, "by force")                                                                                           \
    X(FENCED, "flushes fenced")                                                                                        \
    X(BACK, "older databases")                                                                                         \
    X(BACK_ALIVE, "of these, below a running process")                                                                 \
    X(BACK_FAR, "of these, from before the partition was claimed")                                                     \
    X(DRAINS, "drains")

enum behind_seen {
#define BEHIND_SEEN_(name, words) BS_##name,
    BEHIND_EVENTS(BEHIND_SEEN_)
#undef BEHIND_SEEN_
    BS_COUNT
};

struct options {
    unsigned machines, clients, rows, lives;   /* lives: starts of a process, of each machine */
    unsigned ops;                              /* of each client in each life */
    unsigned switches;                         /* one in so many locks loses its turn */
    bool adds, pair, poison, everysec, is_tight, is_replace, cuts_power;
    int64_t interval_ms, ttl_ms;
    /* One in so many; 0: never. */
    unsigned transient, lost, schema, fails_disk, invalidates, drains, back, takeover;
    uint32_t without;
    FILE *trace;
};

enum step_kind { STEP_READ, STEP_HSET, STEP_HDEL, STEP_ADD, STEP_DELETE, STEP_SET };

struct step {
    enum step_kind kind;
    unsigned row, flags;
    uint32_t a, b;           /* values given; HDEL: which columns */
};
struct answer {
    fb_status status;
    int64_t number;
    bool has_row;            /* `row` was shown: by a read, or FB_WANT_OLD */
    struct row row;
};

struct op {
    unsigned number, machine, nsteps;
    struct step steps[STEPS_MAX];
    struct answer answers[STEPS_MAX];
    fb_status status;
    bool is_nudge, is_begun, is_done, is_over, is_judged; /* done: answered; over: its client knows */
};

struct taken { char name[FB_FLUSH_PART_MAX + 1]; uint64_t applied_seq; };
struct letter { unsigned row; uint64_t seq; };

struct database {
    struct row rows[ROWS];
    bool has_partition, is_clean;
    uint64_t epoch, applied_seq;
    char journal[48], owner[48], addr[16];
};

struct machine {
    struct disk *disk;
    unsigned index, life;
    fb_cache *cache;         /* NULL: not up */
    fb_source *source;
    bool is_up, is_over, is_starting, has_failed, is_settled;
    fb_status settled;
    unsigned clients;        /* at work */
    int64_t down_until;
};

struct world {
    struct options options;
    uint64_t seed;
    struct database db, past[PAST_MAX];
    unsigned npast, db_life;
    struct taken taken[TAKEN_MAX];
    unsigned ntaken;
    int64_t db_down_until, schema_until;
    struct letter letters[LETTERS_MAX];
    unsigned nletters;
    struct machine machines[MACHINES];
    struct op ops[OPS_MAX];
    unsigned nops;
    bool is_paused;          /* clients wait for one of this machine's */
    unsigned paused_by;
    unsigned under_way;      /* operations */
    bool is_calm;            /* nothing goes wrong any more */
    uint64_t seen[BS_COUNT];
    char violation[256];
};

extern struct world w;

static inline bool world_lacks(enum behind_part part) { return w.options.without >> part & 1; }
void world_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* life.c */
void world_live(const struct options *options, uint64_t seed);
const char *row_key(unsigned row, char space[16]);
const char *row_text(const struct row *row, char space[80]);
bool row_of_value(unsigned row, fb_kind kind, fb_bytes value, struct row *ret);

/* database.c */
extern const struct fb_driver_ops model_driver;
void db_goes_back(void);
void db_take_over(void);

/* seams.c: what stands between the engine and its world */
struct fb_files *slow_files(unsigned machine);

/* check.c */
void check_init(void);
void check_asked(struct op *op);
void check_answered(struct op *op);
/* The process of the machine is gone, and the next has recovered: what had no answer has happened by now, or never will. */
void check_settled(unsigned machine);
/* Its unflushed writes are given up. */
void check_lost(void);
void check_rest(void);
bool row_is_equal(const struct row *a, const struct row *b);

#endif
