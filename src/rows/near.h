/* For a key that no pattern matches: how near a pattern comes, and what keeps the key from it. */
#ifndef FB_ROWS_NEAR_H
#define FB_ROWS_NEAR_H

#include "rows/pattern.h"

enum { FB_NEAR_WHY_MAX = 160 };

/* A cost, the lower the nearer, with the first difference as text; 0 when nothing in the key suggests this pattern. Pure,
 * bounded by the pattern's length. */
unsigned fb_pattern_near(const struct fb_pattern *pattern, fb_bytes key, char ret_why[FB_NEAR_WHY_MAX]);

#endif
