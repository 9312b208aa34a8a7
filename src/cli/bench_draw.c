/* Which key comes next.
 *
 * The hat over the ranks is h(x) = x^−s. H is its integral, so a uniform draw between H(1.5) − h(1) and H(n + 0.5),
 * taken back through H, falls near rank k with nearly the right weight; a draw whose area lies outside of what h(k)
 * covers is drawn again. */
#include "cli/bench_draw.h"

#include <math.h>

/* H(x) = (x^(1−s) − 1) / (1−s), which is log x at s = 1; expm1 keeps the digits near there. */
static double area(double x, double s) {
    double t = (1 - s) * log(x);
    return fabs(t) < 1e-12 ? log(x) : expm1(t) / (1 - s);
}

static double area_inverse(double a, double s) {
    double t = a * (1 - s);
    if (t <= -1)
        return INFINITY; /* rounding at the far end; the caller cuts to n */
    return fabs(t) < 1e-12 ? exp(a) : exp(log1p(t) / (1 - s));
}

static double weight(double x, double s) { return exp(-s * log(x)); }

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void fb_draw_init(struct fb_draw *draw, uint64_t n, double exponent) {
    *draw = (struct fb_draw){.n = n, .exponent = exponent, .stride = 1};
    if (exponent <= 0)
        return;
    draw->area_first = area(1.5, exponent) - 1;
    draw->area_last = area((double)n + 0.5, exponent);
    draw->sure = 2 - area_inverse(area(2.5, exponent) - weight(2, exponent), exponent);
    /* Near the golden section neighbours land far apart; without a common divisor no key is hit twice. */
    draw->stride = (uint64_t)((double)n * 0.6180339887) | 1;
    while (common_divisor(draw->stride, n) != 1)
        draw->stride += 2;
}

static uint64_t rank_next(const struct fb_draw *d, struct fb_rng *rng) {
    for (;;) {
        double unit = (double)(fb_rng_next(rng) >> 11) * 0x1p-53;
        double a = d->area_last + unit * (d->area_first - d->area_last);
        double x = area_inverse(a, d->exponent), k = floor(x + 0.5);
        if (!(k >= 1))
            k = 1;
        if (k > (double)d->n)
            k = (double)d->n;
        if (k - x <= d->sure || a >= area(k + 0.5, d->exponent) - weight(k, d->exponent))
            return (uint64_t)k;
    }
}

uint64_t fb_draw_next(const struct fb_draw *draw, struct fb_rng *rng) {
    if (draw->exponent <= 0)
        return fb_rng_below(rng, draw->n);
    return (uint64_t)((unsigned __int128)rank_next(draw, rng) * draw->stride % draw->n);
}
