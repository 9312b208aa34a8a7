/* Write-behind at a database: what an engine asks so that rows arrive exactly once, in order, and from one owner
 * only.
 *
 * Two tables of Forebay's own, made on demand in the source:
 *
 *     fb_partition   one row per partition: who owns it (epoch, owner, addr, journal) and how far its journal has been
 *                    applied (applied_seq, the watermark)
 *     fb_dead        dead letters: changes that the database has refused, with its reason
 *
 * A flush is one transaction that moves the watermark from prev_seq to next_seq and writes what the journal says
 * between the two. Because the watermark is committed with the rows, it always says whether they were; because the
 * row of the partition is locked first, of two flushes of one partition the second waits and then finds the watermark
 * moved. So after FB_FLUSH_UNKNOWN or FB_FLUSH_TRANSIENT the same flush is simply given again: APPLIED or ALREADY,
 * never twice.
 *
 * The epoch fences: it grows with every claim, and a flush with another epoch writes nothing. There are no clocks and
 * no leases: a partition changes hands when it is clean, or when a person says so (take_over).
 *
 * Items are written as plans (rows/plan.h), that is with values that were checked and typed when they were accepted. */
#ifndef FB_SOURCE_FLUSH_H
#define FB_SOURCE_FLUSH_H

#include "base/value.h"
#include "rows/plan.h"
#include "source/source.h"

enum {
    FB_FLUSH_PART_MAX = 190,  /* bytes of a partition's name: what every database takes as a primary key */
    FB_FLUSH_ROWS_MAX = 10000, /* rows of one statement at most, whatever flush_batch says */
};

/* What became of a flush. Unless it says otherwise, nothing was written. */
enum fb_flush_outcome {
    FB_FLUSH_APPLIED,    /* committed, with the dead letters (items whose status is not FB_OK) */
    FB_FLUSH_ALREADY,    /* the watermark is at next_seq or beyond: an earlier attempt was committed */
    FB_FLUSH_ASTRAY,     /* the watermark is neither: go on from applied_seq (before prev_seq: the database has lost its
                            last commits, or a backup was restored) */
    FB_FLUSH_FENCED,     /* somebody else's epoch, or no row at all: never try again */
    FB_FLUSH_TRANSIENT,  /* unreachable, locked, deadlocked, out of time or room: the same again, later, for ever */
    FB_FLUSH_DATA,       /* more than dead_max items were refused: ndead says how many, each has its status and text */
    FB_FLUSH_SCHEMA,     /* a table or column is not what it was: stop, keep everything */
    FB_FLUSH_PERMISSION, /* may not (any more): stop, keep everything */
    FB_FLUSH_UNKNOWN,    /* lost in COMMIT: the same again says which */
};
const char *fb_flush_outcome_name(enum fb_flush_outcome outcome); /* "applied", … for logs and figures */

/* The newest state of one row. */
struct fb_flush_item {
    const struct fb_binding *binding;
    fb_bytes key;
    /* HSET: the columns assigned, the others stay; a row that is not there is made. SET with `replaces`: the others
     * go back to their defaults. HDEL: as HSET, but makes no row. ADD: as HSET with one addend. DELETE. Columns whose
     * assign `adds` are counted up (a new row counts from nothing). `recreates`: what is there is deleted first. */
    const struct fb_plan *plan;
    uint64_t seq;       /* of its newest record */
    fb_bytes record;    /* what a dead letter keeps: the engine's own encoding of the change */
    /* Answer: FB_OK; or FB_CONFLICT, FB_BADVALUE, FB_NOTANUMBER, FB_SOURCE: refused, and (with APPLIED) a dead
     * letter. */
    fb_status status;
    struct fb_value *error; /* its text, with the database's code; the caller's to unref. NULL before the first call: a
                               later one drops what is there */
};

struct fb_flush {
    const char *part;
    uint64_t epoch;
    uint64_t prev_seq, next_seq;  /* equal: writes without moving the watermark (rows that need no exactness) */
    struct fb_flush_item *items;  /* in journal order (by seq); no row twice */
    size_t n;
    unsigned rows_per_statement;  /* 0: 1000. Quartered when a statement has not ended in time: give it back as it is */
    unsigned dead_max;            /* more dead letters than this, and nothing is written (FB_FLUSH_DATA) */
    /* Answer. */
    uint64_t applied_seq;         /* with ALREADY and ASTRAY */
    size_t ndead, nstatements;    /* items refused; statements that wrote rows */
};

/* A row of fb_partition. Texts are cut to what fits. */
struct fb_partition {
    uint64_t epoch, applied_seq;
    bool is_clean;
    char owner[128], addr[128], journal[48];
};

/* The name under which `read` still finds what a partition taken from this journal was. False: too long for one. (A source's
 * name has no '/'.) */
bool fb_partition_past(const char *part, const char *journal, char ret_name[FB_FLUSH_PART_MAX + 1]);

enum fb_claim {
    FB_CLAIM_MINE,  /* ours with a new epoch, and it was this journal's before: apply what is beyond ret->applied_seq */
    FB_CLAIM_NEW,   /* ours with a new epoch; it was nobody's or another journal's, so what ours still has of earlier
                       may not be written over what came since (dead_add is for it) */
    FB_CLAIM_FREE,  /* it could be NEW, but the claimant looks first: nothing was changed */
    FB_CLAIM_HELD,  /* another journal has pending writes for it: ret says whose and where */
    FB_CLAIM_ERROR,
};

enum { FB_LEAP_MAX = 1 << 20 }; /* 2^43 claims until BIGINT is full */

/* One who wants a partition. */
struct fb_claimant {
    const char *part, *owner, *addr, *journal;
    uint64_t start_seq; /* the last sequence number that the journal is done with: where the watermark of a partition
                           begins that comes from another journal or is new */
    bool looks_first;   /* what is not its own yet is not claimed: FREE, so that it can prepare for having it */
    uint64_t leap;      /* by how much the epoch grows, 1 .. FB_LEAP_MAX, drawn at random: a database that went back (to a
                           backup, to a late replica) does not give an epoch twice, so what a dead process has sent
                           under the first stays fenced */
};

struct fb_dead_letter {
    uint64_t id;         /* never given twice */
    uint64_t seq, attempts;
    fb_bytes part, keyspace, key, record;
    fb_bytes code, message, at; /* `at`: the database's time, in UTC, as text */
};
typedef void fb_dead_visit(void *user, const struct fb_dead_letter *letter); /* borrowed for the call */

/* What of a driver serves write-behind. Calls run on a session for writing. Errors have the database's text. */
struct fb_flush_ops {
    /* The statements that make the tables, for people whose Forebay may not; ends with NULL. */
    const char *const *schema;
    enum fb_flush_outcome (*flush)(struct fb_session *session, struct fb_flush *flush, fb_err *err);

    /* Make the tables if they are not there, and the partition ours if it is new, clean, or of the same journal. When
     * the tables are missing and may not be made, the error says what to run. */
    enum fb_claim (*claim)(struct fb_session *session, const struct fb_claimant *claimant, struct fb_partition *ret,
                           fb_err *err);
    /* FB_NOTFOUND: nobody has ever claimed it. */
    fb_status (*read)(struct fb_session *session, const char *part, struct fb_partition *ret, fb_err *err);
    /* Everything up to applied_seq is there and nothing is pending: the next may have it. FB_UNMET: the epoch is
     * another's, or the watermark stands elsewhere. */
    fb_status (*clean)(struct fb_session *session, const char *part, uint64_t epoch, uint64_t applied_seq, fb_err *err);
    /* Take the partition from its owner, who may have pending writes: whoever claims it next gets it as NEW, the old
     * owner too, whose flushes are FENCED. *ret: as it was; it stays so under fb_partition_past's name. FB_NOTFOUND. */
    fb_status (*take_over)(struct fb_session *session, const char *part, struct fb_partition *ret, fb_err *err);

    /* Letters with an id beyond `after`, in their order, at most `limit`; part NULL: of all. */
    fb_status (*dead_list)(struct fb_session *session, const char *part, uint64_t after, size_t limit,
                           fb_dead_visit visit, void *user, fb_err *err);
    /* FB_NOTFOUND. */
    fb_status (*dead_get)(struct fb_session *session, uint64_t id, fb_dead_visit visit, void *user, fb_err *err);
    fb_status (*dead_drop)(struct fb_session *session, uint64_t id, fb_err *err);
    /* Write the letter's change and remove the letter, in one transaction; when the database refuses again, count the
     * attempt and keep its new reason. FB_NOTFOUND: no such letter. FB_UNMET: the epoch is another's. FB_UNKNOWN:
     * give it again, FB_NOTFOUND then means that it was done. */
    fb_status (*dead_retry)(struct fb_session *session, const char *part, uint64_t epoch, uint64_t id,
                            struct fb_flush_item *item, fb_err *err);
    /* Letters without a flush: what an owner still had when it was fenced. Each item's `error` is the message. */
    fb_status (*dead_add)(struct fb_session *session, const char *part, const struct fb_flush_item *items, size_t n,
                          fb_err *err);
};

extern const struct fb_flush_ops fb_flush_sqlite;
extern const struct fb_flush_ops fb_flush_postgresql; /* where it is built */
extern const struct fb_flush_ops fb_flush_mysql;      /* where it is built */

#endif
