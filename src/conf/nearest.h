/* "Did you mean …?": the known name nearest to a word by edit distance. */
#ifndef FB_CONF_NEAREST_H
#define FB_CONF_NEAREST_H

#include <stddef.h>

/* Offer the known names one after the other; `best` is the nearest so far, or NULL when none is near enough (a third
 * of the word's letters may differ, at least two). The strings are borrowed. */
struct fb_nearest {
    const char *word;
    const char *best;
    size_t distance;
};

struct fb_nearest fb_nearest_begin(const char *word);
void fb_nearest_offer(struct fb_nearest *nearest, const char *name);

#endif
