/* How long to wait before trying again.
 *
 * Exponential, with jitter downwards to half: many that failed together must not return together, and none should
 * hammer at once, which jitter down to zero would allow (Brooker, "Exponential Backoff And Jitter", 2015, calls this
 * form "equal jitter"). */
#include "policy/policy.h"

fb_span fb_backoff(unsigned attempt, fb_span first, fb_span most, uint16_t draw) {
    int64_t wait = first.ns > 0 ? first.ns : 0;
    for (; attempt > 0 && wait > 0 && wait < most.ns; attempt--)
        if (__builtin_mul_overflow(wait, 2, &wait))
            wait = INT64_MAX;
    if (wait > most.ns)
        wait = most.ns > 0 ? most.ns : 0;
    return (fb_span){wait - (int64_t)(((unsigned __int128)(wait / 2) * draw) >> 16)};
}
