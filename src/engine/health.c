/* Whether a source may be asked: its breaker, and why it is open.
 *
 * A round trip that could not reach the source, or got no answer in time, is a bad one; a statement that the source
 * refuses is not, and neither is a write that waited too long for somebody's lock. */
#include <stdio.h>

#include "base/clock.h"
#include "engine/engine.h"

enum {
    PAUSE_FIRST_MS = 100, /* with PAUSE_MOST_MS: after an outage of any length service is back within two seconds */
    PAUSE_MOST_MS = 2000,
    PROBE_SLACK_MS = 1000, /* beyond its timeout; a probe that is later is lost */
};

static struct fb_breaker_rules rules_of(const struct fb_source *source) {
    const fb_source_options *o = &source->options;
    int64_t longest = o->read_timeout_ms > o->write_timeout_ms ? o->read_timeout_ms : o->write_timeout_ms;
    return (struct fb_breaker_rules){
        .failures = o->breaker_failures,
        .window = fb_ms(o->breaker_window_ms),
        .slow = fb_ms(longest),
        .pause_first = fb_ms(PAUSE_FIRST_MS),
        .pause_most = fb_ms(PAUSE_MOST_MS),
        .probe_max = fb_ms(longest + PROBE_SLACK_MS),
    };
}

/* ---- refreshes ---- */

enum { REFRESH_SHARE = 2 }; /* they take at most half of the keys that its connections can be asked for at once */

/* Those who wait for an answer go first: none begins while as many keys wait as a round trip takes. */
bool fb_source_refresh_begin(struct fb_source *source, fb_instant now) {
    unsigned most = source->options.pool * source->options.batch_max / REFRESH_SHARE;
    if (fb_source_is_down(source, now) || fb_lane_waiting(source->reads) >= source->options.batch_max)
        return false;
    if (atomic_fetch_add(&source->refreshes, 1) < (most > 0 ? most : 1))
        return true;
    fb_source_refresh_end(source);
    return false;
}

void fb_source_refresh_end(struct fb_source *source) { atomic_fetch_sub(&source->refreshes, 1); }

void fb_source_health_init(struct fb_source *source) {
    fb_lock_init(&source->health_lock, FB_LOCK_HEALTH);
    fb_breaker_init(&source->breaker);
    fb_rng_system(&source->rng.state, sizeof source->rng.state);
}

/* With the lock held, after every change of the breaker. */
static void show(struct fb_source *source) {
    bool is_closed = source->breaker.state == FB_BREAKER_CLOSED;
    atomic_store_explicit(&source->shut_until, is_closed ? 0 : source->breaker.until.ns, memory_order_relaxed);
}

enum fb_breaker_word fb_source_ask(struct fb_source *source) {
    if (atomic_load_explicit(&source->shut_until, memory_order_relaxed) == 0)
        return FB_BREAKER_GO;
    struct fb_breaker_rules rules = rules_of(source);
    fb_lock_acquire(&source->health_lock);
    enum fb_breaker_word word = fb_breaker_ask(&source->breaker, &rules, fb_clock_now());
    show(source);
    fb_lock_release(&source->health_lock);
    return word;
}

void fb_source_tell(struct fb_source *source, enum fb_breaker_word word, bool is_bad, fb_span took, fb_bytes why) {
    struct fb_breaker_rules rules = rules_of(source);
    fb_lock_acquire(&source->health_lock);
    fb_breaker_tell(&source->breaker, &rules, word == FB_BREAKER_PROBE, is_bad, took, fb_clock_now(),
                    (uint16_t)fb_rng_next(&source->rng));
    int len = (int)(why.len < FB_WHY_DOWN_MAX ? why.len : FB_WHY_DOWN_MAX);
    if (is_bad)
        snprintf(source->why_down, sizeof source->why_down, "%.*s", len, len > 0 ? why.data : "");
    show(source);
    fb_lock_release(&source->health_lock);
}

struct fb_value *fb_source_why_down(struct fb_source *source) {
    char text[FB_WHY_DOWN_MAX + 64];
    fb_lock_acquire(&source->health_lock);
    int64_t ms = fb_span_ms(fb_breaker_wait(&source->breaker, fb_clock_now()));
    const char *why = source->why_down[0] != '\0' ? source->why_down : "its round trips took too long";
    int len = snprintf(text, sizeof text, "%s (retry in %lld.%llds)", why, (long long)(ms / 1000),
                       (long long)(ms % 1000 / 100));
    fb_lock_release(&source->health_lock);
    return fb_value_new(FB_KIND_STRING, text, (size_t)len);
}
