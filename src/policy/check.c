/* Are the numbers of a strategy within their ranges? */
#include "policy/policy.h"

#include <inttypes.h>

#include "base/err.h"

fb_status fb_policy_check(const fb_policy *policy, fb_err *reterr) {
    if (policy->ttl_ms < 1 || policy->ttl_ms > FB_TTL_MS_MAX)
        return fb_fail(reterr, FB_INVALID, "ttl must be between 1 ms and 10 years, not %" PRId64 " ms", policy->ttl_ms);
    /* Written so that a NaN fails it too. */
    if (!(policy->jitter >= 0 && policy->jitter <= FB_JITTER_MAX))
        return fb_fail(reterr, FB_INVALID, "jitter must be between 0 and %g, not %g", FB_JITTER_MAX, policy->jitter);
    if (policy->negative_ttl_ms < 0 || policy->negative_ttl_ms > FB_TTL_MS_MAX)
        return fb_fail(reterr, FB_INVALID, "negative_ttl must be between 0 (off) and 10 years, not %" PRId64 " ms",
                       policy->negative_ttl_ms);
    if (policy->grace_ms < 0 || policy->grace_ms > FB_TTL_MS_MAX)
        return fb_fail(reterr, FB_INVALID, "grace must be between 0 (off) and 10 years, not %" PRId64 " ms",
                       policy->grace_ms);
    if (policy->grace_down_ms < 0 || policy->grace_down_ms > FB_TTL_MS_MAX)
        return fb_fail(reterr, FB_INVALID, "grace_down must be between 0 (as grace) and 10 years, not %" PRId64 " ms",
                       policy->grace_down_ms);
    if (!(policy->refresh_ahead >= 0 && policy->refresh_ahead < 1))
        return fb_fail(reterr, FB_INVALID, "refresh_ahead must be at least 0 (off) and less than 1, not %g",
                       policy->refresh_ahead);
    if (!(policy->early_refresh >= 0 && policy->early_refresh <= FB_EARLY_MAX))
        return fb_fail(reterr, FB_INVALID, "early_refresh must be between 0 (off) and %g, not %g", FB_EARLY_MAX,
                       policy->early_refresh);
    return FB_OK;
}
