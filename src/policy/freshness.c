/* May an entry still be served? */
#include "policy/policy.h"

/* The instant of expiry itself is already too late: an entry of ttl 1 ms lives for one millisecond, not for a tick
 * more. A birth later than `now` is fresh: another thread sent the query after this one read the clock. */
enum fb_verdict fb_freshness(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now) {
    return fb_before(now, fb_policy_expiry(stamp, policy)) ? FB_VERDICT_FRESH : FB_VERDICT_EXPIRED;
}
