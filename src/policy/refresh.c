/* When is a copy that is still good loaded anew? Asked when it is hit, so what nobody reads is never refreshed.
 *
 * Refresh-ahead: past a share of its life. XFetch (Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede
 * Prevention", VLDB 2015): when delta · beta · (−ln u) ≥ what is left of its life, where delta is how long its own last load
 * took and u a draw from (0, 1]; so it is expected earlier the slower the load and the more often it is asked for, and each
 * hit decides for itself.
 *
 * Neither for absences, nor for a life that a client has shortened: that end is the client's word, and a refresh would undo
 * it. What was written has no delta, so XFetch leaves it alone. */
#include "policy/policy.h"

#include <math.h>

#define US_PER_MS 1000.0
#define LOG_MOST 22.19 /* −ln u of the smallest u that a draw of 32 bits can be */

enum { RETRY_FIRST_MS = 1000, RETRY_MOST_MS = 60000 };

static bool is_renewable(const struct fb_stamp *stamp) {
    return stamp->kind != FB_KIND_NONE && !stamp->is_stale && fb_stamp_cap(stamp) == 0;
}

fb_instant fb_refresh_point(const struct fb_stamp *stamp, const fb_policy *policy) {
    if (!(policy->refresh_ahead > 0) || !is_renewable(stamp))
        return FB_NEVER;
    double life = (double)fb_policy_life(policy, stamp->draw).ns;
    /* The draw that makes its life shorter makes its refresh sooner: both spread what was loaded together. */
    return fb_after(stamp->birth,
                    (fb_span){(int64_t)(life * policy->refresh_ahead * (1 - FB_REFRESH_SPREAD * stamp->draw / 65536))});
}

/* delta · beta in nanoseconds. */
static double early_ns(const struct fb_stamp *stamp, const fb_policy *policy) {
    return policy->early_refresh * stamp->cost_us * (FB_NS_PER_MS / US_PER_MS);
}

enum fb_verdict fb_ripeness(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now) {
    fb_instant expiry = fb_policy_expiry(stamp, policy);
    if (!fb_before(now, expiry))
        return FB_VERDICT_EXPIRED;
    if (__builtin_expect(!fb_policy_refreshes(policy), 1))
        return FB_VERDICT_FRESH;
    bool is_ripe = !fb_before(now, fb_refresh_point(stamp, policy)) ||
                   (double)fb_since(expiry, now).ns <= early_ns(stamp, policy) * LOG_MOST;
    return is_ripe && is_renewable(stamp) ? FB_VERDICT_RIPE : FB_VERDICT_FRESH;
}

enum fb_due fb_refresh_due(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now, uint32_t draw) {
    fb_instant expiry = fb_policy_expiry(stamp, policy);
    if (!is_renewable(stamp) || !fb_before(now, expiry) ||
        (stamp->failures > 0 && fb_before(now, fb_after(stamp->birth, fb_ms(stamp->cap_ms)))))
        return FB_DUE_NOT;
    if (!fb_before(now, fb_refresh_point(stamp, policy)))
        return FB_DUE_AHEAD;
    double u = ((double)draw + 1) / 4294967296.0, early = early_ns(stamp, policy);
    return early > 0 && early * -log(u) >= (double)fb_since(expiry, now).ns ? FB_DUE_EARLY : FB_DUE_NOT;
}

void fb_stamp_put_off(struct fb_stamp *stamp, const fb_policy *policy, fb_instant now, uint16_t draw) {
    fb_instant expiry = fb_policy_expiry(stamp, policy);
    if (!fb_policy_refreshes(policy) || !is_renewable(stamp) || !fb_before(now, expiry))
        return;
    fb_span pause = fb_backoff(stamp->failures, fb_ms(RETRY_FIRST_MS), fb_ms(RETRY_MOST_MS), draw);
    int64_t half = fb_since(expiry, now).ns / 2; /* but sooner than its end, so that nobody has to wait if it can be had */
    fb_instant until = fb_after(now, pause.ns < half ? pause : (fb_span){half});
    int64_t age = fb_span_ms(fb_since(until, stamp->birth)) + 1;
    stamp->cap_ms = age < 1 ? 1 : age > UINT32_MAX ? UINT32_MAX : (uint32_t)age;
    stamp->failures += stamp->failures < UINT8_MAX;
}
