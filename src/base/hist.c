/* Latencies in log-linear buckets.
 *
 * Values below 2 × 128 have a bucket each. Above, a value of b bits keeps its top 8 bits: the leading one, and seven
 * that choose among the 128 buckets of its power of two. */
#include "base/hist.h"

enum { SUB = 1 << FB_HIST_SUB_BITS };

unsigned fb_hist_bucket(uint64_t v) {
    if (v < 2 * SUB)
        return (unsigned)v;
    unsigned bits = 64 - (unsigned)__builtin_clzll(v);
    if (bits > FB_HIST_MAX_BITS)
        return FB_HIST_BUCKETS - 1;
    unsigned shift = bits - FB_HIST_SUB_BITS - 1;
    return 2 * SUB + (shift - 1) * SUB + ((unsigned)(v >> shift) - SUB);
}

int64_t fb_hist_upper(unsigned bucket) {
    if (bucket < 2 * SUB)
        return bucket;
    unsigned shift = (bucket - 2 * SUB) / SUB + 1;
    uint64_t top = (bucket - 2 * SUB) % SUB + SUB;
    return (int64_t)(((top + 1) << shift) - 1);
}

void fb_hist_add(struct fb_hist *h, fb_span span, uint64_t n) {
    int64_t ns = span.ns > 0 ? span.ns : 0;
    h->n += n;
    h->sum_ns += ns * (int64_t)n;
    if (n > 0 && ns > h->max_ns)
        h->max_ns = ns;
    h->buckets[fb_hist_bucket((uint64_t)ns)] += n;
}

void fb_hist_merge(struct fb_hist *into, const struct fb_hist *from) {
    into->n += from->n;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
    for (unsigned i = 0; i < FB_HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

fb_span fb_hist_quantile(const struct fb_hist *h, double q) {
    double rank = q * (double)h->n;
    uint64_t wanted = (uint64_t)rank, seen = 0;
    wanted += (double)wanted < rank || wanted == 0;
    for (unsigned i = 0; i < FB_HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= wanted && h->buckets[i] > 0)
            return (fb_span){i == FB_HIST_BUCKETS - 1 || fb_hist_upper(i) > h->max_ns ? h->max_ns : fb_hist_upper(i)};
    }
    return (fb_span){h->max_ns};
}

fb_span fb_hist_mean(const struct fb_hist *h) {
    return (fb_span){h->n > 0 ? h->sum_ns / (int64_t)h->n : 0};
}
