/* When a source is left in peace: closed, open, half-open. */
#include "policy/breaker.h"

#include <string.h>

#include "policy/policy.h"

void fb_breaker_init(struct fb_breaker *breaker) { memset(breaker, 0, sizeof *breaker); }

static int64_t slice_number(const struct fb_breaker_rules *rules, fb_instant now) {
    int64_t width = rules->window.ns / FB_BREAKER_SLICES;
    return now.ns / (width > 0 ? width : 1);
}

static void count(struct fb_breaker *breaker, const struct fb_breaker_rules *rules, bool is_bad, fb_instant now) {
    int64_t number = slice_number(rules, now);
    struct fb_breaker_slice *slice = &breaker->slices[(uint64_t)number % FB_BREAKER_SLICES];
    if (slice->number < number) /* a later one belongs to a clock that was read a little after this one */
        *slice = (struct fb_breaker_slice){.number = number};
    slice->trips++;
    slice->bad += is_bad;
}

static bool is_too_much(const struct fb_breaker *breaker, const struct fb_breaker_rules *rules, fb_instant now) {
    int64_t oldest = slice_number(rules, now) - FB_BREAKER_SLICES + 1;
    uint64_t trips = 0, bad = 0;
    for (unsigned i = 0; i < FB_BREAKER_SLICES; i++)
        if (breaker->slices[i].number >= oldest) {
            trips += breaker->slices[i].trips;
            bad += breaker->slices[i].bad;
        }
    return bad >= rules->failures && 2 * bad >= trips;
}

static void open_it(struct fb_breaker *breaker, const struct fb_breaker_rules *rules, fb_instant now, uint16_t draw) {
    breaker->state = FB_BREAKER_OPEN;
    breaker->until = fb_after(now, fb_backoff(breaker->pauses, rules->pause_first, rules->pause_most, draw));
    if (breaker->pauses < UINT16_MAX)
        breaker->pauses++;
}

bool fb_breaker_stops(const struct fb_breaker *breaker, const struct fb_breaker_rules *rules, fb_instant now) {
    return rules->failures > 0 && breaker->state != FB_BREAKER_CLOSED && fb_before(now, breaker->until);
}

enum fb_breaker_word fb_breaker_ask(struct fb_breaker *breaker, const struct fb_breaker_rules *rules, fb_instant now) {
    if (fb_breaker_stops(breaker, rules, now))
        return FB_BREAKER_STOP;
    if (rules->failures == 0)
        fb_breaker_init(breaker); /* switched off meanwhile */
    if (breaker->state == FB_BREAKER_CLOSED)
        return FB_BREAKER_GO;
    breaker->state = FB_BREAKER_HALF_OPEN;
    breaker->until = fb_after(now, rules->probe_max);
    return FB_BREAKER_PROBE;
}

void fb_breaker_tell(struct fb_breaker *breaker, const struct fb_breaker_rules *rules, bool is_probe, bool is_bad,
                     fb_span took, fb_instant now, uint16_t draw) {
    if (rules->failures == 0)
        return;
    is_bad = is_bad || (rules->slow.ns > 0 && took.ns >= rules->slow.ns);
    is_probe = is_probe && breaker->state == FB_BREAKER_HALF_OPEN; /* else it was lost, and another has decided */
    if (is_probe && is_bad) {
        open_it(breaker, rules, now, draw);
    } else if (is_probe) {
        uint64_t opens = breaker->opens;
        fb_breaker_init(breaker);
        breaker->opens = opens;
    } else if (breaker->state == FB_BREAKER_CLOSED) {
        count(breaker, rules, is_bad, now);
        if (is_bad && is_too_much(breaker, rules, now)) {
            breaker->opens++;
            open_it(breaker, rules, now, draw);
        }
    }
}

fb_span fb_breaker_wait(const struct fb_breaker *breaker, fb_instant now) {
    bool waits = breaker->state != FB_BREAKER_CLOSED && fb_before(now, breaker->until);
    return waits ? fb_since(breaker->until, now) : (fb_span){0};
}
