/* How long an entry lives: its ttl shortened by its share of the jitter, or less where somebody said so.
 *
 * Jitter only shortens: "at most ttl old" is a promise, and entries filled together must not expire together. */
#include "policy/policy.h"

static int64_t within(int64_t ms, int64_t least) {
    return ms < least ? least : ms > FB_TTL_MS_MAX ? FB_TTL_MS_MAX : ms;
}

fb_span fb_policy_life(const fb_policy *policy, uint16_t draw) {
    int64_t ttl = fb_ms(within(policy->ttl_ms, 1)).ns;
    /* In doubles: exact to 64 ns at 10 years, and never below zero, so never longer than the ttl. */
    int64_t life = ttl - (int64_t)((double)ttl * policy->jitter * ((double)draw / 65536));
    return life < FB_NS_PER_MS ? fb_ms(1) : (fb_span){life};
}

fb_instant fb_policy_expiry(const struct fb_stamp *stamp, const fb_policy *policy) {
    fb_span life = stamp->kind == FB_KIND_NONE ? fb_ms(within(policy->negative_ttl_ms, 0))
                                               : fb_policy_life(policy, stamp->draw);
    if (stamp->cap_ms > 0 && (stamp->is_stale || fb_ms(stamp->cap_ms).ns < life.ns))
        life = stamp->is_stale ? (fb_span){0} : fb_ms(stamp->cap_ms);
    return fb_after(stamp->birth, life);
}
