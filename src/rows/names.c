/* Nearest names by edit distance (Levenshtein, with letter case free of charge). */
#include "rows/names.h"

#include <stdio.h>
#include <string.h>

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

static unsigned distance(fb_bytes a, const char *b, size_t nb) {
    unsigned row[FB_NAME_LEN_MAX + 1];
    for (unsigned k = 0; k <= nb; k++)
        row[k] = k;
    for (size_t i = 0; i < a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t k = 0; k < nb; k++) {
            unsigned replaced = diagonal + (lower(a.data[i]) != lower(b[k]));
            unsigned shorter = (row[k] < row[k + 1] ? row[k] : row[k + 1]) + 1;
            diagonal = row[k + 1];
            row[k + 1] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[nb];
}

void fb_nearest_offer(struct fb_nearest *nearest, const char *name) {
    size_t len = strlen(name);
    if (len > FB_NAME_LEN_MAX || nearest->wanted.len > FB_NAME_LEN_MAX)
        return;
    unsigned d = distance(nearest->wanted, name, len);
    /* A third of the letters may differ, but two at least: "nmae" is two steps from "name". */
    unsigned limit = nearest->wanted.len > 6 ? (unsigned)nearest->wanted.len / 3 : nearest->wanted.len > 2 ? 2 : 1;
    if (d <= limit && (nearest->best == NULL || d < nearest->distance)) {
        nearest->best = name;
        nearest->distance = d;
    }
}

const char *fb_nearest_hint(const struct fb_nearest *nearest, char out[FB_NAME_LEN_MAX + 24]) {
    if (nearest->best == NULL)
        return "";
    snprintf(out, FB_NAME_LEN_MAX + 24, " (did you mean '%s'?)", nearest->best);
    return out;
}
