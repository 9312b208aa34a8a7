/* Latencies in log-linear buckets: exact below 256 ns, within 1 % above (two significant digits), in fixed memory.
 *
 *     static struct fb_hist h;                     // zeroed is empty
 *     fb_hist_add(&h, span, 1);
 *     fb_span p99 = fb_hist_quantile(&h, 0.99);
 */
#ifndef FB_BASE_HIST_H
#define FB_BASE_HIST_H

#include "base/time.h"

enum {
    FB_HIST_SUB_BITS = 7, /* 128 buckets per power of two: an error below 1/128 */
    FB_HIST_MAX_BITS = 40, /* spans of 2^40 ns (18 minutes) and more share the last bucket */
    FB_HIST_BUCKETS = (2 << FB_HIST_SUB_BITS) + (FB_HIST_MAX_BITS - FB_HIST_SUB_BITS - 1) * (1 << FB_HIST_SUB_BITS),
};

struct fb_hist {
    uint64_t n;
    int64_t sum_ns, max_ns;
    uint64_t buckets[FB_HIST_BUCKETS];
};

/* Count `n` events of this length; a negative length counts as zero. */
void fb_hist_add(struct fb_hist *h, fb_span span, uint64_t n);
void fb_hist_merge(struct fb_hist *into, const struct fb_hist *from);
/* The bucket of a length, and the greatest length that falls into a bucket: for those who keep buckets of their own. */
unsigned fb_hist_bucket(uint64_t ns);
int64_t fb_hist_upper(unsigned bucket);
/* The upper edge of the bucket that holds the q-quantile, never above the longest seen; zero when empty. */
fb_span fb_hist_quantile(const struct fb_hist *h, double q);
fb_span fb_hist_mean(const struct fb_hist *h);

#endif
