/* A walk over all segments of a directory for tools, past all damage, changing nothing: what is there, what is missing.
 *
 * Not for starting: that is recovery, which stops at the first damage. */
#ifndef FB_JOURNAL_SURVEY_H
#define FB_JOURNAL_SURVEY_H

#include "journal/reader.h"

/* Records that are not there, or that cannot be read. */
struct fb_survey_gap {
    const char *name;             /* of the segment in which it was noticed */
    uint64_t at;
    uint64_t first_seq, last_seq; /* last_seq < first_seq: there is damage, but no record is missing; with is_end: … */
    bool is_end;                  /* … nothing was found behind it: from first_seq on, how many is not known */
    const char *why;
};

/* Any may be NULL. What they get is borrowed for the call. Not FB_OK ends the walk and is returned. */
struct fb_survey {
    void *user;
    fb_status (*segment)(void *user, const char *name, const struct fb_reader *reader); /* its head is good */
    fb_status (*group)(void *user, const struct fb_reader *reader);                     /* a good one, or a mark */
    /* Whole units of a group of which other records are damaged. */
    fb_status (*units)(void *user, uint64_t first_seq, uint32_t count, fb_bytes records);
    fb_status (*gap)(void *user, const struct fb_survey_gap *gap);
    /* The end of a segment: how far it is used; a write begins there that was never acknowledged. */
    fb_status (*end)(void *user, const struct fb_reader *reader, bool is_torn);
};

/* FB_OK: all was seen (damage and all). FB_SYSTEM, FB_NOMEM: not. */
fb_status fb_survey(struct fb_files *files, const struct fb_survey *walk, fb_err *reterr);

struct fb_salvage {
    uint64_t records, segments;   /* copied */
    uint64_t gaps;
};
/* Copy everything readable into the empty directory `to`: whole units, under their numbers. A journal that starts:
 * each gap is one that a person has accepted. `gap` is told what is left out. FB_INVALID: `to` has segments. */
fb_status fb_salvage(struct fb_files *from, struct fb_files *to,
                     fb_status (*gap)(void *user, const struct fb_survey_gap *gap), void *user,
                     struct fb_salvage *ret_salvage, fb_err *reterr);

/* The numbers in the names of the segments, in order; freed by the caller. FB_SYSTEM, FB_NOMEM. */
struct fb_listing {
    uint64_t *seqs;
    size_t n, cap;
    bool has_spare, has_copy, no_memory;
};
fb_status fb_list_segments(struct fb_files *files, struct fb_listing *ret_listing, fb_err *reterr);

#endif
