/* Can a key match two patterns, and which one? */
#ifndef FB_ROWS_OVERLAP_H
#define FB_ROWS_OVERLAP_H

#include "rows/pattern.h"

enum fb_overlap {
    FB_OVERLAP_NONE,      /* no key matches both */
    FB_OVERLAP_A_INSIDE,  /* every key of a matches b, and a has more literal text: a wins */
    FB_OVERLAP_B_INSIDE,  /* the other way round */
    FB_OVERLAP_AMBIGUOUS, /* the example matches both and neither is the more literal one */
    FB_OVERLAP_UNKNOWN,   /* too large to tell within the bound */
};

/* Compare two patterns. With AMBIGUOUS an example key is appended to *example (without NUL). FB_OK or FB_NOMEM. */
fb_status fb_overlap_compare(const struct fb_pattern *a, const struct fb_pattern *b, enum fb_overlap *ret_overlap,
                             fb_buf *example);
/* Bytes of literal text in a pattern. */
size_t fb_pattern_literal_len(const struct fb_pattern *pattern);

#endif
