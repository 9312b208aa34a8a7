/* Write-behind: the partition of one source. Writes are acknowledged when they are in the journal, shown to readers from
 * the dirty map, and brought to the database in batches.
 *
 *     fb_txn: all keys granted, marked at the store → fb_behind_go → the rows that are needed are read → fb_decide
 *         → fb_journal_append … → its thread: the dirty map takes them → fb_txn: marks end, answer
 *     flusher thread: fb_dirty_next → driver->flush (rows and watermark, one transaction) → fb_dirty_commit → release
 *     loads: a change that waits is taken when the query leaves (fb_behind_before) and shown on top of what comes
 *
 * One owner: the partition's row in the database says whose it is, and how far its journal has been applied. Somebody
 * else's partition is read without keeping anything, and not written.
 *
 * The lock covers the dirty map and what belongs to it; it is taken under a shard's lock, and nothing is called with it
 * held but the map's own functions. */
#ifndef FB_ENGINE_BEHIND_H
#define FB_ENGINE_BEHIND_H

#include "core/dirty.h"
#include "engine/decide.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "source/flush.h"

enum {
    FB_FLUSH_INTERVAL_MS = 5000,     /* the default */
    FB_FLUSH_BATCH = 1000,           /* rows of a statement: the default */
    FB_BEHIND_ROWS_MAX = 10000,      /* of one transaction */
    FB_BEHIND_BYTES_MAX = 8 << 20,   /* of its changes */
    FB_BEHIND_DEAD_MAX = 100,        /* dead letters in a minute: the default; more, and something is wrong with the table */
    FB_BEHIND_JOINED_MAX = 1000,     /* writers that share a record with the first of their key */
    FB_BEHIND_JOINED_BYTES = 64 << 10, /* of their values: a record that one alone could not make too large */
    FB_BEHIND_DELAY_MAX_MS = 1000,   /* an acknowledgement is held back so long at most, just below the hard limits */
};

/* Records of the journal. */
enum { FB_BEHIND_CHANGE = 1, FB_BEHIND_CLEAN = 2 /* everything before it is in the database, or a dead letter */ };

enum fb_behind_state {
    FB_BEHIND_CLOSED,      /* not started, or over */
    FB_BEHIND_OWNER,
    FB_BEHIND_ELSEWHERE,   /* another owns the partition */
    FB_BEHIND_FENCED,      /* it was taken from us; what we had pending becomes dead letters, then it is elsewhere */
    FB_BEHIND_BROKEN,      /* the journal has failed */
};

struct fb_behind_wait {
    struct fb_link link;
    uint64_t seq;
    fb_instant due;
    fb_done done;
    void *user;
};

struct fb_behind {
    struct fb_source *source;
    struct fb_cache *cache;
    struct fb_journal *journal;
    struct fb_session *session;      /* the flusher's; opened when needed */
    char uuid[2 * FB_JOURNAL_UUID_BYTES + 1];
    char address[128];
    fb_behind_options options;       /* with the defaults filled in; strings are the cache's */
    pthread_t flusher;
    bool has_flusher;
    struct fb_lock lock;             /* covers the rest */
    struct fb_cond changed;
    struct fb_dirty *dirty;
    struct fb_dirty *past;           /* what the database had, and has lost: comes before `dirty`; NULL: nothing */
    uint64_t past_seq;               /* its last record */
    _Atomic(enum fb_behind_state) state; /* changed under the lock */
    bool is_draining, is_ending, is_ours; /* ours: claimed, its row says dirty */
    bool is_over;                    /* the partition is being let go: nothing more may enter the journal */
    unsigned writing;                /* units on their way through the journal: not in the map yet */
    bool is_recovered;               /* the journal is, and may grow */
    bool is_new;                     /* being recovered, and the partition was nobody's, or another's */
    bool owes_end;                   /* the journal has to say that what it had of such times is over */
    uint64_t epoch, applied_seq, put_seq; /* of the partition; in the database; in the map */
    uint64_t sent_seq;               /* given to the database, whatever became of it */
    uint64_t asked_seq;              /* flush at least so far at once */
    uint64_t corrections;            /* one more before and one after copies go that the database shows otherwise */
    fb_instant wakes;                /* when the flusher looks again by itself */
    struct fb_partition owner;       /* ELSEWHERE: whose it is */
    bool is_stopped;                 /* the database refuses batches as such: a table or right is missing */
    fb_err trouble;                  /* of the last flush; FB_OK: none */
    unsigned failures;               /* in a row */
    unsigned rows_most;              /* of one statement, since one has not ended in time; 0: as configured */
    fb_instant minute;               /* dead letters are counted from here */
    unsigned minute_dead;
    struct fb_link waits;            /* fb_behind_wait.link: for the database */
    struct fb_link delayed;          /* fb_behind_way.link, in the order of `due` */
    unsigned releasing;              /* those who are just letting some of them go */
    struct fb_link asks;             /* about dead letters */
    unsigned nasks;
    uint64_t went_back;              /* how often the database did */
    uint64_t flushed_rows, flushed_writes, flushes, dead, retries;
    uint64_t joined;                 /* writes that shared another's record */
    /* Copies for those who only look, without the lock. */
    _Atomic uint64_t pending_bytes;
    _Atomic int64_t pending_since;   /* INT64_MAX: nothing waits */
};

/* ---- a source's partition (behind.c) ---- */

/* Make it; the source gets its first keyspace that is written behind. FB_CONFIG, FB_NOMEM. */
fb_status fb_behind_open(struct fb_source *source, fb_err *reterr);
/* Recover and claim; before the first operation. */
fb_status fb_behind_start(struct fb_behind *behind, fb_err *reterr);
/* Nothing new comes; what is delayed is refused. */
void fb_behind_withdraw(struct fb_behind *behind);
/* The flusher ends, and the journal; what was not flushed stays in it. */
void fb_behind_stop(struct fb_behind *behind);
void fb_behind_close(struct fb_behind *behind);
void fb_behind_tick(struct fb_behind *behind, fb_instant now);
/* On the flusher, without the lock: the database has gone back to applied_seq. What it lost is read from the journal again
 * and flushed before anything else. FB_CONFLICT: the journal does not have it any more. */
fb_status fb_behind_go_back(struct fb_behind *behind, uint64_t applied_seq, fb_err *err);
/* On the flusher, without the lock, after a flush was fenced: is the partition's row of a time before it was claimed? Then
 * nobody has taken it; the database has gone back further than that. And: claim it again, and go back. */
fb_status fb_behind_look_before(struct fb_behind *behind, bool *ret_is_from_before, fb_err *err);
fb_status fb_behind_claim_back(struct fb_behind *behind, fb_err *err);
/* With the lock held: what is flushed first; and the end of its oldest batch, as fb_dirty_commit. */
struct fb_dirty *fb_behind_first(const struct fb_behind *behind);
struct fb_dirty_batch *fb_behind_commit(struct fb_behind *behind);
/* With the lock held, after the map has changed. */
void fb_behind_changed(struct fb_behind *behind);

/* ---- readers ---- */

/* What waits for a key, when a query for it is about to be sent. FB_OK, FB_NOTFOUND: this is what it shows, no query is
 * needed (a new reference in *ret_value). FB_MISS: ask; *ret_value is a change to be shown on top, or NULL, and *ret_seq
 * the last write there is. */
fb_status fb_behind_before(struct fb_behind *behind, uint64_t hash, fb_bytes key, struct fb_value **ret_value,
                           uint64_t *ret_seq);
/* May the database have had a write by now that came after this one? Then a change from before must not be shown on top of
 * a row that was written meanwhile. */
bool fb_behind_has_flushed(struct fb_behind *behind, uint64_t seq);
bool fb_behind_has(struct fb_behind *behind, uint64_t hash, fb_bytes key);
/* Show the change on top of a row that was loaded: status and *value (an error's text, too) become what they are with it. */
fb_status fb_behind_show(const struct fb_keyspace *keyspace, fb_bytes key, const struct fb_value *change,
                         fb_status status, struct fb_value **value);
/* May what is loaded be kept? Not where another owns what waits. */
static inline bool fb_behind_may_keep(const struct fb_behind *behind) {
    enum fb_behind_state state = behind->state;
    return state != FB_BEHIND_ELSEWHERE && state != FB_BEHIND_FENCED;
}
/* Then this: the copy will not be kept here. What the shared store does not have, its owner alone may say. */
void fb_behind_not_ours(struct fb_behind *behind, const struct fb_flight *flight, fb_status *status,
                        struct fb_value **value);

/* ---- writers (behind_write.c) ---- */

struct fb_behind_key {
    struct fb_keyspace *keyspace;
    uint64_t hash;
    fb_bytes key;
    const struct fb_writer *writer; /* granted; says what the mark hides */
    fb_instant born;                /* of what the row shows in the end; set here */
};

/* One transaction on its way into the journal. Part of fb_txn. */
struct fb_behind_way {
    struct fb_behind *behind;       /* NULL: not written behind */
    struct fb_store_group *group;
    struct fb_behind_key *keys;
    struct fb_known *rows;          /* one for each key */
    struct fb_known **of;           /* one for each item */
    struct fb_row_read *reads;
    size_t nkeys, nchanged, njoined;
    _Atomic size_t open;            /* reads */
    struct fb_link unit;            /* of the dirty map */
    struct fb_link joined;          /* .link: writers of the same key that share this one's record, in their order */
    struct fb_link link;            /* delayed, or joined to another */
    fb_instant due;
    struct fb_behind_way *(*next)(struct fb_behind_way *way);
    uint64_t corrections;           /* when it was admitted: more since, and what it was decided on may be wrong */
    bool is_full;                   /* refused because the limits are reached, and for nothing else */
    void (*done)(struct fb_behind_way *way);
};

/* May it begin? FB_OK; FB_PENDING: `go` is called later, writes are held back. Else the error is in err. */
fb_status fb_behind_admit(struct fb_behind_way *way, void (*go)(struct fb_behind_way *way), fb_err *err);
/* Room for the keys; FB_OK or FB_NOMEM. */
fb_status fb_behind_way_init(struct fb_behind_way *way, struct fb_store_group *group, size_t nkeys);
void fb_behind_way_free(struct fb_behind_way *way);
/* Everything is granted and marked: read, decide, write down. `done`, once, when the group is answered. `next` brings one
 * more writer that waits for the same key, and may be decided on what rows[0] shows now; NULL: none. Those that joined are
 * answered together with the first one, and rows[0] of the first is what all of them leave. */
void fb_behind_go(struct fb_behind_way *way, struct fb_behind_way *(*next)(struct fb_behind_way *way),
                  void (*done)(struct fb_behind_way *way));

/* ---- the flusher (behind_flush.c) ---- */

void *fb_behind_flusher(void *behind);
/* With the lock held: serve what is asked about dead letters; say that the partition is clean. Both let the lock go
 * meanwhile. */
void fb_behind_serve_asks(struct fb_behind *behind);
void fb_behind_refuse_asks(struct fb_behind *behind); /* without the lock */
void fb_behind_let_go(struct fb_behind *behind);
/* Without the lock, and nothing being appended: the journal notes that all of it is over (FB_BEHIND_CLEAN). */
fb_status fb_behind_note_end(struct fb_behind *behind, uint64_t *ret_seq, fb_err *err);

/* ---- those who wait (behind_wait.c) ---- */

/* With the lock held: those whose writes the database has, or whose time is over. They go to `over`. */
void fb_behind_settle(struct fb_behind *behind, fb_instant now, struct fb_link *over);
void fb_behind_tell(struct fb_behind *behind, struct fb_link *over);

/* Claim the partition and recover the journal; before the flusher runs, or from it. FB_OK: it is ours, or `state` says whose
 * it is. */
fb_status fb_behind_take(struct fb_behind *behind, fb_err *err);
/* Before the flusher runs, or from it: what is in the map becomes dead letters. */
fb_status fb_behind_bury(struct fb_behind *behind, fb_err *err);
#endif
