/* Reads one segment, group by group, and says at the first place without a good group what that place is.
 *
 * Memory: a window of FB_READER_WINDOW, or of the largest group. Recovery, inspect, verify and salvage read with
 * this. */
#ifndef FB_JOURNAL_READER_H
#define FB_JOURNAL_READER_H

#include "journal/files.h"
#include "journal/format.h"

enum { FB_READER_WINDOW = 1 << 20, FB_READER_WHY_MAX = 160 };

enum fb_read {
    FB_READ_GROUP,   /* reader->group, its records in reader->records */
    FB_READ_MARK,
    FB_READ_END,     /* nothing comes any more */
    FB_READ_TORN,    /* a write that was never acknowledged begins at reader->at */
    FB_READ_DAMAGED, /* at reader->at; reader->why */
    FB_READ_FAILED,  /* a call failed, or no memory; reader->why, and error is the negative errno */
};

struct fb_reader {
    struct fb_files *files;
    int handle;
    uint64_t size;
    bool has_successor;         /* another segment comes behind this one: rule J1. It says how far this one went: */
    uint64_t last_seq;
    struct fb_segment_head head;
    uint32_t seed;

    uint64_t at;                /* where the next group is expected */
    uint64_t next_seq;          /* the number its first record must have */
    struct fb_group_head group;
    fb_bytes records;
    uint64_t group_at;

    fb_buf window;
    uint64_t window_at;
    int error;
    char why[FB_READER_WHY_MAX];
};

/* Open the segment and check its head: FB_READ_END when it is good, else DAMAGED or FAILED. Close in any case. */
enum fb_read fb_reader_open(struct fb_reader *reader, struct fb_files *files, const char *name);
void fb_reader_close(struct fb_reader *reader);

/* For salvage, when the segment's head is damaged: take what it said from its first group, whose checksums must agree.
 * The head's uuid, epoch and follows stay unknown (zero, zero, first_seq − 1). */
bool fb_reader_guess(struct fb_reader *reader, const char *name);

/* The next group. After anything but GROUP and MARK: no more calls, but fb_reader_resume after DAMAGED. */
enum fb_read fb_reader_next(struct fb_reader *reader);

/* For salvage, behind damage: go to the next place with a good head. False: there is none. */
bool fb_reader_resume(struct fb_reader *reader);
/* For salvage: the group at `at` as it lies there, when its head is good; else false. Notes are not put back. */
bool fb_reader_raw(struct fb_reader *reader, struct fb_group_head *ret_head, fb_bytes *ret_records);

#endif
