/* A circuit breaker: whether a source may be asked, from how its last round trips went.
 *
 *     closed ──(bad trips: enough of them, and half of all in the window)──▶ open
 *     open ──(its pause is over: one trip is let through)──▶ half-open
 *     half-open ──(that trip is good)──▶ closed        ──(bad, or lost)──▶ open, for a longer pause
 *
 * While it is open nobody asks, so a database that is down or drowning is left in peace, and callers know at once.
 * A state machine of plain numbers: `now` and `draw` are arguments. */
#ifndef FB_POLICY_BREAKER_H
#define FB_POLICY_BREAKER_H

#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

enum { FB_BREAKER_SLICES = 10 }; /* the window slides by a tenth of itself */

struct fb_breaker_rules {
    unsigned failures;               /* bad trips in the window that open it; 0: it never opens */
    fb_span window;
    fb_span slow;                    /* a trip that takes this long is a bad one; 0: none is for that alone */
    fb_span pause_first, pause_most; /* doubling, with jitter */
    fb_span probe_max;               /* a probe that has not come back by then is lost */
};

enum fb_breaker_state { FB_BREAKER_CLOSED, FB_BREAKER_OPEN, FB_BREAKER_HALF_OPEN };
enum fb_breaker_word { FB_BREAKER_STOP, FB_BREAKER_GO, FB_BREAKER_PROBE };

struct fb_breaker {
    enum fb_breaker_state state;
    fb_instant until;                /* open: the end of the pause; half-open: when the probe is lost */
    unsigned pauses;                 /* in a row */
    uint64_t opens;                  /* since the beginning, failed probes not counted */
    struct fb_breaker_slice {
        int64_t number;
        unsigned trips, bad;
    } slices[FB_BREAKER_SLICES];
};

/* Closed; all zero would do as well. */
void fb_breaker_init(struct fb_breaker *breaker);
/* May a round trip begin? PROBE: it may, and how it goes decides; tell it with is_probe. */
enum fb_breaker_word fb_breaker_ask(struct fb_breaker *breaker, const struct fb_breaker_rules *rules, fb_instant now);
/* The same without taking the probe: would it be stopped? */
bool fb_breaker_stops(const struct fb_breaker *breaker, const struct fb_breaker_rules *rules, fb_instant now);
/* How a round trip went. What began before the breaker opened and ends after it changes nothing. */
void fb_breaker_tell(struct fb_breaker *breaker, const struct fb_breaker_rules *rules, bool is_probe, bool is_bad,
                     fb_span took, fb_instant now, uint16_t draw);
/* How long until a trip may go; 0: now. */
fb_span fb_breaker_wait(const struct fb_breaker *breaker, fb_instant now);

#endif
