/* The journal without its threads: what is written, in which order, and what is found again. The rules are in format.h.
 *
 * One thread at a time; fb_wal_prepare and fb_wal_remove know no log and may run beside. Tests drive this alone, on a
 * disk of their own (files.h), and crash it at every call.
 *
 *     fb_wal_open → fb_wal_recover → { fb_wal_write, _sync, _mark, _roll, _expire }* → fb_wal_close
 *
 * L1  Nothing is written with `always` before what was written before it is synced: the caller syncs.
 * L2  A segment gets its name when all before it is synced, and its head is.
 * L3  After a write or sync of the segment in use has failed, nothing is written or synced any more: wal->failure. */
#ifndef FB_JOURNAL_WAL_H
#define FB_JOURNAL_WAL_H

#include "base/time.h"
#include "journal/files.h"
#include "journal/format.h"
#include "journal/journal.h"

enum { FB_WAL_SEGMENTS_MAX = 1 << 20 }; /* 64 TiB; a directory with more is none of ours */

struct fb_wal_segment {
    struct fb_segment_head head;
    uint64_t last_seq;       /* of the one in use: not kept up */
    fb_instant applied_at;   /* when it was first seen to be wholly applied; FB_NEVER: not yet */
};

struct fb_wal {
    struct fb_files *files;
    uint64_t segment_bytes, epoch;
    int lock;
    uint8_t uuid[FB_UUID];
    struct fb_wal_segment *segments; /* in order; the last is in use, once recovered */
    size_t n, cap;

    int handle;              /* of the segment in use, −1: none */
    uint32_t seed;
    uint64_t at, synced;     /* in the file */
    uint64_t next_seq, synced_seq;
    bool ends_with_mark;     /* nothing to mark */
    fb_err failure;          /* FB_OK, or FB_DOWN for good */
};

/* Take the lock, find the segments, check their heads, clear away what was being prepared. */
fb_status fb_wal_open(struct fb_wal *wal, struct fb_files *files, uint64_t segment_bytes, uint64_t epoch,
                      fb_err *reterr);
/* fb_journal_again. Knows no log. */
fb_status fb_wal_again(struct fb_files *files, uint64_t after_seq, uint64_t last_seq, fb_journal_each *each, void *user,
                       fb_err *reterr);
/* fb_journal_recover. */
fb_status fb_wal_recover(struct fb_wal *wal, uint64_t applied_seq, bool accepts_gap, fb_journal_each *each, void *user,
                         fb_err *reterr);
/* Lets go of handles and lock, in any state; writes nothing. */
void fb_wal_close(struct fb_wal *wal);

/* The most bytes of records one group can have. */
uint64_t fb_wal_unit_max(uint64_t segment_bytes);
/* Is there room for a group with so many bytes of records? Else fb_wal_roll comes first. */
bool fb_wal_fits(const struct fb_wal *wal, uint64_t length);
/* `group` has room for a head, then `count` records of whole units. FB_NOMEM: nothing happened. FB_UNKNOWN: failed. */
fb_status fb_wal_write(struct fb_wal *wal, fb_buf *group, uint32_t count);
/* FB_UNKNOWN: failed; for good. */
fb_status fb_wal_sync(struct fb_wal *wal);
/* Somebody else has synced the segment in use, up to `at` and record `seq` at least, and got this result. */
void fb_wal_synced(struct fb_wal *wal, uint64_t at, uint64_t seq, int result);
/* Sync what there is, then write and sync a mark, if the last group is none. */
fb_status fb_wal_mark(struct fb_wal *wal);

/* A file of zeros, on the disk; for one segment ahead. Gives back a handle for fb_wal_roll. FB_SYSTEM: nothing is
 * left. */
fb_status fb_wal_prepare(struct fb_files *files, uint64_t bytes, int *ret_spare, fb_err *reterr);
/* Begin the next segment in the prepared file, whose handle is taken in any case. FB_SYSTEM: it could not be used,
 * another may; nothing happened. FB_UNKNOWN: failed. */
fb_status fb_wal_roll(struct fb_wal *wal, int spare, fb_err *reterr);
/* Is it time to prepare the next? */
static inline bool fb_wal_is_half_used(const struct fb_wal *wal) { return wal->at > wal->segment_bytes / 2; }

/* The first segment, when it may go: all of it has been applied for keep_ms, or keep_bytes of such are there. It leaves
 * the log, its file is for fb_wal_remove. In the order of their names: what a crash leaves is without holes, but for
 * such as are applied. */
bool fb_wal_expire(struct fb_wal *wal, uint64_t applied_seq, fb_instant now, int64_t keep_ms, uint64_t keep_bytes,
                   uint64_t *ret_first_seq);
fb_status fb_wal_remove(struct fb_files *files, uint64_t first_seq, fb_err *reterr);
uint64_t fb_wal_bytes(const struct fb_wal *wal);

/* Shared by wal.c and recover.c. */
fb_status fb_wal_begin_segment(struct fb_wal *wal, int spare, uint64_t first_seq, uint64_t follows, fb_err *reterr);
fb_status fb_wal_add_segment(struct fb_wal *wal, const struct fb_segment_head *head);
#define FB_WAL_SPARE "spare.tmp"
#define FB_WAL_LOCK "lock"

#endif
