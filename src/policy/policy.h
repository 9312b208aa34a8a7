/* Strategies are numbers; these pure functions judge them. No function here keeps state, reads a clock or draws a
 * random number: `now` and `draw` are arguments.
 *
 * Facts are stored, policy is applied at reading: an entry keeps a stamp, and its expiry is computed from the stamp and
 * the policy of the moment, so a changed setting counts at once. */
#ifndef FB_POLICY_POLICY_H
#define FB_POLICY_POLICY_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "base/time.h"

/* The facts an entry keeps. */
struct fb_stamp {
    fb_instant birth;    /* when the query (or the write) that produced it was sent */
    uint32_t cap_ms;     /* life given by SET … EX or EXPIRE, counted from birth; 0 = none. is_shared: what the store leaves
                            to it. is_stale: the age at which its source may be asked for it again */
    uint32_t cost_us;    /* measured load time, saturating, at least 1; 0: it was written */
    uint16_t draw;       /* the entry's share of the jitter, 0 .. 65535 */
    uint16_t keyspace;
    uint8_t kind;        /* enum fb_kind; FB_KIND_NONE is a negative entry */
    bool is_stale : 1;   /* its end was told; it is kept for grace and never fresh again, whatever the ttl becomes */
    bool is_shared : 1;  /* a copy of what lies in the shared second level */
    uint16_t retry;      /* no refresh ahead of its end before birth + life × retry/65536: one has failed */
};

/* The life a client has given, 0 when none has. */
static inline uint32_t fb_stamp_cap(const struct fb_stamp *stamp) {
    return stamp->is_stale || stamp->is_shared ? 0 : stamp->cap_ms;
}

#define FB_TTL_MS_MAX INT64_C(315360000000) /* 10 years: far below where an instant in nanoseconds overflows */
#define FB_JITTER_MAX 0.9                   /* more would let entries die at birth */
#define FB_EARLY_MAX 100.0                  /* beta of XFetch: 1 is its authors' choice, 100 refreshes all the time */

/* ttl × (1 − jitter × draw/65536): never longer than ttl, at least 1 ms. Downwards only (rockscache's rule), because
 * "at most ttl old" is a promise. */
fb_span fb_policy_life(const fb_policy *policy, uint16_t draw);

/* When the entry stops being fresh: birth + life (or negative_ttl without jitter for a negative entry), or birth + cap
 * when that is earlier. */
fb_instant fb_policy_expiry(const struct fb_stamp *stamp, const fb_policy *policy);

enum fb_verdict {
    FB_VERDICT_EXPIRED = 0,
    FB_VERDICT_FRESH = 1,
    FB_VERDICT_STALE = 2,      /* may stand in for an answer that is late or has failed */
    FB_VERDICT_STALE_DOWN = 3, /* only while the source is known to be down */
    FB_VERDICT_RIPE = 4,       /* fresh, and a refresh may be due: fb_refresh_due knows */
};
/* FRESH or EXPIRED. */
enum fb_verdict fb_freshness(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now);
/* All four. An entry ends when this says EXPIRED. */
enum fb_verdict fb_grace(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now);
/* When it is gone, of an entry that is stale. */
fb_instant fb_grace_end(const struct fb_stamp *stamp, const fb_policy *policy);
/* Its life is over and it is kept for grace; its source is not asked again before `until`. */
void fb_stamp_let_go(struct fb_stamp *stamp, fb_instant until);
bool fb_stamp_may_retry(const struct fb_stamp *stamp, fb_instant now);

/* ---- refreshing ahead of the end (refresh.c) ---- */

#define FB_REFRESH_SPREAD 0.1 /* an entry's refresh point comes up to this share sooner, never later */

static inline bool fb_policy_refreshes(const fb_policy *policy) {
    return policy->refresh_ahead + policy->early_refresh > 0; /* one branch for who has neither */
}

enum fb_due { FB_DUE_NOT = 0, FB_DUE_AHEAD, FB_DUE_EARLY };
/* For hits: FRESH, RIPE or EXPIRED. */
enum fb_verdict fb_ripeness(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now);
/* Of what is RIPE: AHEAD past its refresh point; EARLY when this draw of XFetch says so. */
enum fb_due fb_refresh_due(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now, uint32_t draw);
/* The refresh point: birth + refresh_ahead × life, or up to FB_REFRESH_SPREAD of that sooner; FB_NEVER where there is none. */
fb_instant fb_refresh_point(const struct fb_stamp *stamp, const fb_policy *policy);
/* What is left of its life; of a copy of the store, of what lies there. */
fb_span fb_refresh_left(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now);
/* A load of what is fresh has failed: its refresh is not due for some time. Changes nothing where none ever is. */
void fb_stamp_put_off(struct fb_stamp *stamp, const fb_policy *policy, fb_instant now, uint16_t draw);

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
