/* Strategies are numbers; these pure functions judge them. No function here keeps state, reads a clock or draws a
 * random number: `now` and `draw` are arguments.
 *
 * Facts are stored, policy is applied at reading: an entry keeps a stamp, and its expiry is computed from the stamp and
 * the policy of the moment, so a changed setting counts at once. */
#ifndef FB_POLICY_POLICY_H
#define FB_POLICY_POLICY_H

#include <forebay/forebay.h>

#include "base/time.h"

/* The facts an entry keeps. */
struct fb_stamp {
    fb_instant birth;    /* when the query (or the write) that produced it was sent */
    uint32_t cap_ms;     /* life given by SET … EX or EXPIRE, counted from birth; 0 = none */
    uint32_t cost_us;    /* measured load time, saturating, at least 1; 0: it was written */
    uint16_t draw;       /* the entry's share of the jitter, 0 .. 65535 */
    uint16_t keyspace;
    uint8_t kind;        /* enum fb_kind; FB_KIND_NONE is a negative entry */
};

#define FB_TTL_MS_MAX INT64_C(315360000000) /* 10 years: far below where an instant in nanoseconds overflows */
#define FB_JITTER_MAX 0.9                   /* more would let entries die at birth */

/* ttl × (1 − jitter × draw/65536): never longer than ttl, at least 1 ms. Downwards only (rockscache's rule), because
 * "at most ttl old" is a promise. */
fb_span fb_policy_life(const fb_policy *policy, uint16_t draw);

/* When the entry stops being fresh: birth + life (or negative_ttl without jitter for a negative entry), or birth + cap
 * when that is earlier. */
fb_instant fb_policy_expiry(const struct fb_stamp *stamp, const fb_policy *policy);

enum fb_verdict { FB_VERDICT_EXPIRED = 0, FB_VERDICT_FRESH = 1 };
enum fb_verdict fb_freshness(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now);

/* Is the policy within its ranges? FB_OK or FB_INVALID with the reason. */
fb_status fb_policy_check(const fb_policy *policy, fb_err *reterr);

/* A TTL class by name (the caching guide's table), or NULL. */
struct fb_ttl_class { const char *name; int64_t ttl_ms; const char *meant_for; };
const struct fb_ttl_class *fb_ttl_class_find(const char *name);
/* All of them, ended by a NULL name. */
const struct fb_ttl_class *fb_ttl_classes(void);

/* Exponential back-off with full jitter downwards to half: attempt 0 waits about `first`, doubling up to `most`. */
fb_span fb_backoff(unsigned attempt, fb_span first, fb_span most, uint16_t draw);

#endif
