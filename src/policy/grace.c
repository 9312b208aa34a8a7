/* What may still be served of an entry whose life is over.
 *
 * Grace begins where the TTL ends, and is measured from there: "at most ttl + grace old" is the promise. Absences have
 * none (a row that was inserted meanwhile must not stay invisible because the database is slow), and neither has an entry
 * whose life a client has shortened: that end is the client's word and not an estimate. */
#include "policy/policy.h"

static int64_t longer(int64_t a, int64_t b) { return a > b ? a : b; }

static fb_span bounded(int64_t ms) { return fb_ms(ms < 0 ? 0 : ms > FB_TTL_MS_MAX ? FB_TTL_MS_MAX : ms); }

static fb_instant after_life(const struct fb_stamp *stamp, const fb_policy *policy, int64_t grace_ms) {
    return fb_after(fb_after(stamp->birth, fb_policy_life(policy, stamp->draw)), bounded(grace_ms));
}

fb_instant fb_grace_end(const struct fb_stamp *stamp, const fb_policy *policy) {
    return after_life(stamp, policy, longer(policy->grace_ms, policy->grace_down_ms));
}

enum fb_verdict fb_grace(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now) {
    if (fb_freshness(stamp, policy, now) == FB_VERDICT_FRESH)
        return FB_VERDICT_FRESH;
    if (stamp->kind == FB_KIND_NONE || (stamp->cap_ms > 0 && !stamp->is_stale))
        return FB_VERDICT_EXPIRED;
    if (fb_before(now, after_life(stamp, policy, policy->grace_ms)))
        return FB_VERDICT_STALE;
    return fb_before(now, fb_grace_end(stamp, policy)) ? FB_VERDICT_STALE_DOWN : FB_VERDICT_EXPIRED;
}

void fb_stamp_let_go(struct fb_stamp *stamp, fb_instant until) {
    int64_t ms = fb_before(stamp->birth, until) ? fb_span_ms(fb_since(until, stamp->birth)) : 0;
    stamp->is_stale = true;
    stamp->retry = 0;
    stamp->cap_ms = ms < 1 ? 1 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

bool fb_stamp_may_retry(const struct fb_stamp *stamp, fb_instant now) {
    return !stamp->is_stale || fb_reached(now, fb_after(stamp->birth, fb_ms(stamp->cap_ms)));
}
