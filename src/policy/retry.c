/* One thing that is tried again and again until it works, with growing pauses. */
#include "policy/policy.h"

bool fb_retry_may(const struct fb_retry *retry, fb_instant now) {
    return retry->failures == 0 || fb_reached(now, retry->not_before);
}

void fb_retry_failed(struct fb_retry *retry, fb_span first, fb_span most, fb_instant now, uint16_t draw) {
    retry->not_before = fb_after(now, fb_backoff(retry->failures, first, most, draw));
    if (retry->failures < UINT16_MAX)
        retry->failures++;
}

void fb_retry_worked(struct fb_retry *retry) { retry->failures = 0; }
