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

enum {
    RETRY_SHARE = 8, /* after a failure: a part of what is left of its life, */
    RETRY_LEAST_MS = 1000, RETRY_MOST_MS = 60000, /* but not less and not more than these, */
    RETRY_HALF = 2,  /* and at most half of what is left, so that nobody has to wait if it can be had by then */
};

static bool is_renewable(const struct fb_stamp *stamp) {
    return stamp->kind != FB_KIND_NONE && !stamp->is_stale && fb_stamp_cap(stamp) == 0;
}

fb_instant fb_refresh_point(const struct fb_stamp *stamp, const fb_policy *policy) {
    if (!(policy->refresh_ahead > 0) || !is_renewable(stamp))
        return FB_NEVER;
    double life = (double)fb_policy_life(policy, stamp->draw).ns;
    /* The draw that makes its life shorter makes its refresh sooner: both spread what was loaded together. A copy of the
     * store has no draw of its own, and another birth in each process. */
    uint16_t draw = stamp->is_shared ? (uint16_t)((uint64_t)stamp->birth.ns * UINT64_C(0x9e3779b97f4a7c15) >> 48) : stamp->draw;
    return fb_after(stamp->birth,
                    (fb_span){(int64_t)(life * policy->refresh_ahead * (1 - FB_REFRESH_SPREAD * draw / 65536))});
}

/* The end that counts: of a copy of the store not the copy's, which is replaced from there without asking the source. */
static fb_instant end_of(const struct fb_stamp *stamp, const fb_policy *policy) {
    struct fb_stamp whole = *stamp;
    if (stamp->is_shared)
        whole.cap_ms = 0;
    return fb_policy_expiry(&whole, policy);
}

fb_span fb_refresh_left(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now) {
    return fb_since(end_of(stamp, policy), now);
}

/* delta · beta in nanoseconds. */
static double early_ns(const struct fb_stamp *stamp, const fb_policy *policy) {
    return policy->early_refresh * stamp->cost_us * (FB_NS_PER_MS / US_PER_MS);
}

enum fb_verdict fb_ripeness(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now) {
    if (!fb_before(now, fb_policy_expiry(stamp, policy)))
        return FB_VERDICT_EXPIRED;
    if (__builtin_expect(!fb_policy_refreshes(policy), 1))
        return FB_VERDICT_FRESH;
    bool is_ripe = !fb_before(now, fb_refresh_point(stamp, policy)) ||
                   (double)fb_refresh_left(stamp, policy, now).ns <= early_ns(stamp, policy) * LOG_MOST;
    return is_ripe && is_renewable(stamp) ? FB_VERDICT_RIPE : FB_VERDICT_FRESH;
}

static fb_instant retry_of(const struct fb_stamp *stamp, fb_instant expiry) {
    int64_t life = fb_since(expiry, stamp->birth).ns;
    return fb_after(stamp->birth, (fb_span){(int64_t)((__int128)life * stamp->retry >> 16)});
}

enum fb_due fb_refresh_due(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now, uint32_t draw) {
    fb_instant expiry = fb_policy_expiry(stamp, policy);
    if (!is_renewable(stamp) || !fb_before(now, expiry) || fb_before(now, retry_of(stamp, expiry)))
        return FB_DUE_NOT;
    if (!fb_before(now, fb_refresh_point(stamp, policy)))
        return FB_DUE_AHEAD;
    double u = ((double)draw + 1) / 4294967296.0, early = early_ns(stamp, policy);
    return early > 0 && early * -log(u) >= (double)fb_refresh_left(stamp, policy, now).ns ? FB_DUE_EARLY : FB_DUE_NOT;
}

void fb_stamp_put_off(struct fb_stamp *stamp, const fb_policy *policy, fb_instant now, uint16_t draw) {
    fb_instant expiry = fb_policy_expiry(stamp, policy);
    if (!fb_policy_refreshes(policy) || !is_renewable(stamp) || !fb_before(now, expiry))
        return;
    int64_t left = fb_since(expiry, now).ns, life = fb_since(expiry, stamp->birth).ns, pause = left / RETRY_SHARE;
    pause = pause < fb_ms(RETRY_LEAST_MS).ns ? fb_ms(RETRY_LEAST_MS).ns : pause;
    pause = fb_backoff(0, (fb_span){pause}, fb_ms(RETRY_MOST_MS), draw).ns;
    int64_t age = life - left + (pause < left / RETRY_HALF ? pause : left / RETRY_HALF);
    int64_t retry = age < 0 ? 0 : (int64_t)(((__int128)age << 16) / (life > 0 ? life : 1)) + 1;
    stamp->retry = retry > UINT16_MAX ? UINT16_MAX : (uint16_t)retry;
}
