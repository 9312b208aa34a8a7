/* Instants and spans of time, as types of their own so that they cannot be mixed up.
 *
 * An instant counts nanoseconds of a monotonic clock from an arbitrary start; only differences mean anything. Nothing
 * here reads a clock: that is base/clock.c alone. */
#ifndef FB_BASE_TIME_H
#define FB_BASE_TIME_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fb_instant { int64_t ns; } fb_instant;
typedef struct fb_span { int64_t ns; } fb_span;

#define FB_NS_PER_MS INT64_C(1000000)
#define FB_NEVER ((fb_instant){INT64_MAX})

/* Saturating, as milliseconds come from clients too. */
static inline fb_span fb_ms(int64_t ms) {
    int64_t ns;
    if (__builtin_mul_overflow(ms, FB_NS_PER_MS, &ns))
        ns = ms > 0 ? INT64_MAX : INT64_MIN;
    return (fb_span){ns};
}
static inline int64_t fb_span_ms(fb_span s) { return s.ns / FB_NS_PER_MS; }
static inline int64_t fb_span_us(fb_span s) { return s.ns / 1000; }
static inline bool fb_before(fb_instant a, fb_instant b) { return a.ns < b.ns; }
static inline bool fb_reached(fb_instant now, fb_instant due) { return now.ns >= due.ns; }
static inline fb_span fb_since(fb_instant now, fb_instant then) { return (fb_span){now.ns - then.ns}; }

/* Saturating: an instant far away stays far away. */
static inline fb_instant fb_after(fb_instant t, fb_span s) {
    int64_t sum;
    if (__builtin_add_overflow(t.ns, s.ns, &sum))
        return s.ns > 0 ? FB_NEVER : (fb_instant){INT64_MIN};
    return (fb_instant){sum};
}

#endif
