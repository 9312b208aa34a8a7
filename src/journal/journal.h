/* The journal of write-behind: what was acknowledged lies on the disk, in order, until the database has it.
 *
 *     struct fb_journal_options options = {.dir = "/var/lib/forebay/journal/shop"};
 *     fb_journal_open(&options, &journal, &err);                       lock, look what is there
 *     … ask the database for the watermark kept under fb_journal_uuid(journal) …
 *     fb_journal_recover(journal, applied_seq, each, user, &err);      hand over what is newer; now it may grow
 *     fb_journal_append(journal, records, n, done, user, &err);        FB_PENDING; `done` runs when it is safe
 *     fb_journal_release(journal, applied_seq);                        the database has everything up to here
 *     fb_journal_close(journal);
 *
 * A *record* is a type, a key and a payload; what they mean is the caller's. It gets a sequence number, counted from 1
 * without holes while the journal is open. The records of one append are a *unit*, a transaction: after a crash all of
 * them are there or none. Units become safe in the order in which they were appended.
 *
 * One thread writes: it takes what waits, up to FB_JOURNAL_GROUP_BYTES, writes it as one group and syncs it, so batches
 * grow with the time a sync takes and there is no other delay. The format and its rules are in format.h, the part
 * without threads in wal.h.
 *
 * Thread-safe, but open, recover and close. */
#ifndef FB_JOURNAL_JOURNAL_H
#define FB_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <forebay/forebay.h>

enum {
    FB_JOURNAL_GROUP_BYTES = 1 << 20,      /* of one group; a larger unit is a group of its own */
    FB_JOURNAL_GROUP_RECORDS = 4096,
    FB_JOURNAL_SEGMENT_BYTES = 64 << 20,   /* of one file; also what bounds a unit */
    FB_JOURNAL_QUEUE_BYTES = 64 << 20,     /* waiting for the disk; beyond: FB_BUSY */
    FB_JOURNAL_QUEUE_RECORDS = 1 << 18,
    FB_JOURNAL_KEEP_MS = 10 * 60 * 1000,   /* segments are kept so long after the database has all of them, … */
    FB_JOURNAL_KEEP_BYTES = 1 << 30,       /* … but not more of them than this */
    FB_JOURNAL_MARK_MS = 1000,             /* idle for so long: a mark, see format.h */
    FB_JOURNAL_EVERYSEC_MS = 1000,         /* between two syncs of EVERYSEC */
    FB_JOURNAL_UUID_BYTES = 16,
};

enum fb_journal_durability {
    FB_JOURNAL_ALWAYS,   /* acknowledged after fdatasync: survives the machine's death */
    FB_JOURNAL_EVERYSEC, /* acknowledged after the write: survives Forebay's death; the machine's costs a second */
};

struct fb_files; /* journal/files.h */

/* Zero means the default. */
struct fb_journal_options {
    const char *dir;                       /* made when it is not there, and up to two above it */
    struct fb_files *files;                /* NULL: those of the system in `dir`; else theirs, which are not closed */
    enum fb_journal_durability durability;
    uint64_t segment_bytes;                /* a multiple of 4096 */
    uint64_t queue_bytes, queue_records;
    int64_t keep_ms;                       /* −1: not at all */
    uint64_t keep_bytes;
    uint64_t epoch;                        /* of the owner; written into each segment, for people */
    bool accepts_gap;                      /* start although records behind applied_seq are gone */
};

struct fb_journal_record {
    uint8_t type;
    fb_bytes key, payload;
};

/* A record as recovery brings it. Borrowed for the call. */
struct fb_journal_entry {
    uint64_t seq;
    bool more;                             /* the next record belongs to the same unit */
    uint8_t type;
    fb_bytes key, payload;
};

struct fb_journal;

/* Take the directory's lock and read the heads of the segments. FB_BUSY: another process has it. FB_SYSTEM: a call
 * failed. FB_CONFLICT: damaged; the text names file and offset, docs/journal.md says what to do. FB_INVALID,
 * FB_NOMEM. */
fb_status fb_journal_open(const struct fb_journal_options *options, struct fb_journal **ret_journal, fb_err *reterr);

/* Random, born with the first segment. Two journals never have the same. */
const uint8_t *fb_journal_uuid(const struct fb_journal *journal);

/* Every record newer than applied_seq, in order, whole units only. Reads every byte of every segment, and checks it.
 * What `each` has taken counts only if this returns FB_OK; an error of `each` is returned. Once, before the first
 * append.
 * FB_CONFLICT: damaged, or records between applied_seq and the first one here are gone (see accepts_gap); nothing was
 * changed. After an error it may be asked again. The next record gets max(last_seq, applied_seq) + 1. */
typedef fb_status fb_journal_each(void *user, const struct fb_journal_entry *entry, fb_err *reterr);
fb_status fb_journal_recover(struct fb_journal *journal, uint64_t applied_seq, fb_journal_each *each, void *user,
                             fb_err *reterr);

/* Records that were safe before, once more: those from after_seq + 1 to last_seq, in order; for when the database has lost
 * what it had of them. Appends may go on meanwhile. FB_CONFLICT: some are not kept any more, or damaged. An error of `each`
 * is returned. */
fb_status fb_journal_again(struct fb_journal *journal, uint64_t after_seq, uint64_t last_seq, fb_journal_each *each,
                           void *user, fb_err *reterr);

/* What became of a unit; on the journal's thread, in order of the numbers, exactly once for each append that was
 * accepted. It must not block. It may append.
 *   FB_OK        safe as the durability says; its records have the numbers first_seq … last_seq
 *   FB_UNKNOWN   writing or syncing failed: a recovery may bring it, or not. The journal has failed
 *   FB_BUSY      no room on the disk for another segment: certainly not written; the journal goes on
 *   FB_DOWN      the journal failed before its turn: certainly not written */
typedef void fb_journal_done(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq);

/* Take a unit of n > 0 records (their bytes are copied). FB_PENDING: `done` will be called. Else it will not:
 * FB_BUSY: the queue is full. FB_BADVALUE: larger than a segment holds. FB_DOWN: the journal has failed, reterr says of
 * what; only a restart helps. FB_CLOSED, FB_NOMEM. */
fb_status fb_journal_append(struct fb_journal *journal, const struct fb_journal_record *records, size_t n,
                            fb_journal_done *done, void *user, fb_err *reterr);

/* `done` runs when all that was appended before is on the disk, also with EVERYSEC (WAITAOF). Statuses as above; both
 * numbers are that of the last record. */
fb_status fb_journal_sync(struct fb_journal *journal, fb_journal_done *done, void *user, fb_err *reterr);

/* The database has everything up to here, for good. Segments that hold nothing newer are kept for a while, in case the
 * database goes back to an older state, then deleted. */
void fb_journal_release(struct fb_journal *journal, uint64_t applied_seq);

/* Takes effect with the next group. */
void fb_journal_durability_set(struct fb_journal *journal, enum fb_journal_durability durability);

struct fb_journal_stats {
    enum fb_journal_durability durability;
    uint64_t written_seq, synced_seq;      /* the last record written, and the last one known to be on the disk */
    uint64_t applied_seq;                  /* as released */
    uint64_t first_seq;                    /* of the oldest segment kept, also before recovery; 0: none */
    uint64_t queued_bytes, queued_records; /* waiting to be written */
    uint64_t segments, segments_bytes;     /* files, with the one in use */
    uint64_t groups, records, bytes, syncs;/* since the start; bytes as written */
    int64_t sync_last_us, sync_max_us, sync_sum_us;
    uint64_t busy;                         /* units refused because the queue or the disk was full */
    fb_err failure;                        /* FB_OK; FB_DOWN: failed, and of what */
    fb_err spare;                          /* FB_OK; else why no next segment could be prepared (disk full) */
};
void fb_journal_stats(struct fb_journal *journal, struct fb_journal_stats *ret_stats);

/* Write what waits, sync it, set a mark, and free. No append may be under way. Accepts NULL. After a failure:
 * FB_DOWN. */
fb_status fb_journal_close(struct fb_journal *journal, fb_err *reterr);

#endif
