/* Which key comes next: uniform, or by Zipf's law, over 0 .. n−1.
 *
 * Zipf ranks are drawn by rejection-inversion (Hörmann, Derflinger, "Rejection-inversion to generate variates from
 * monotone discrete distributions", ACM TOMACS 1996): exact, no table, about one attempt per draw. Ranks are scattered
 * over the range, so that the hot keys are not neighbours in the database's pages. */
#ifndef FB_CLI_BENCH_DRAW_H
#define FB_CLI_BENCH_DRAW_H

#include <stdbool.h>

#include "base/rng.h"

/* Immutable after init; shared by all threads, each with a generator of its own. */
struct fb_draw {
    uint64_t n, stride;
    double exponent;              /* 0 = uniform */
    double area_first, area_last; /* of the hat function, left of rank 1 and right of rank n */
    double sure;                  /* a draw this close below its rank is accepted without a look */
};

/* n ≥ 1; exponent 0 (uniform) .. 4. */
void fb_draw_init(struct fb_draw *draw, uint64_t n, double exponent);
uint64_t fb_draw_next(const struct fb_draw *draw, struct fb_rng *rng);

#endif
