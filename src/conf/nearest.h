/* "Did you mean …?" for settings, flags and subcommands: rows/names.h, for those who may not look into rows/. */
#ifndef FB_CONF_NEAREST_H
#define FB_CONF_NEAREST_H

#include "rows/names.h"

/* Then offer the known names with fb_nearest_offer; `best` is the nearest, or NULL when none is near enough. The
 * strings are borrowed. */
static inline struct fb_nearest fb_nearest_begin(const char *word) {
    return (struct fb_nearest)FB_NEAREST_INIT(FB_STR(word));
}

#endif
