/* "did you mean …?": the nearest of a set of names. */
#ifndef FB_ROWS_NAMES_H
#define FB_ROWS_NAMES_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum { FB_NAME_LEN_MAX = 63 }; /* longer names are compared for equality only */

/* A running search over names: start with FB_NEAREST_INIT, offer each name, read `best` (NULL: none is near). */
struct fb_nearest {
    fb_bytes wanted;
    const char *best;
    unsigned distance;
};
#define FB_NEAREST_INIT(name) {(name), NULL, 0}

void fb_nearest_offer(struct fb_nearest *nearest, const char *name);
/* " (did you mean 'name'?)" or "". */
const char *fb_nearest_hint(const struct fb_nearest *nearest, char out[FB_NAME_LEN_MAX + 24]);

#endif
