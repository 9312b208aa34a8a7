/* Rings of samples, and what can be said about them. */
#include "server/latency.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct { const char *word, *what, *advice; } events[] = {
#define ROW(name, word, what, advice) {word, what, advice},
    FB_LATENCY_EVENTS(ROW)
#undef ROW
};

const char *fb_latency_word(enum fb_latency_event event) { return events[event].word; }

enum fb_latency_event fb_latency_named(fb_bytes word) {
    int event = 0;
    while (event < FB_LATENCY_COUNT_ && !fb_is_word(word, events[event].word))
        event++;
    return (enum fb_latency_event)event;
}

struct fb_latency_sample fb_latency_at(const struct fb_latency_ring *ring, size_t i) {
    return ring->samples[(ring->first + i) % FB_LATENCY_SAMPLES];
}

void fb_latency_add(struct fb_latency_ring *ring, int64_t wall_s, uint64_t ms) {
    struct fb_latency_sample *last =
        ring->n > 0 ? &ring->samples[(ring->first + ring->n - 1) % FB_LATENCY_SAMPLES] : NULL;
    if (ms > ring->max_ms)
        ring->max_ms = ms;
    if (last != NULL && last->wall_s == wall_s) {
        last->ms = ms > last->ms ? ms : last->ms;
        return;
    }
    if (ring->n < FB_LATENCY_SAMPLES)
        ring->n++;
    else
        ring->first = (ring->first + 1) % FB_LATENCY_SAMPLES;
    ring->samples[(ring->first + ring->n - 1) % FB_LATENCY_SAMPLES] = (struct fb_latency_sample){wall_s, ms};
}

static void explain_ring(const struct fb_latency_ring *ring, enum fb_latency_event event, fb_buf *out) {
    char text[1024];
    uint64_t sum = 0, worst = 0;
    for (size_t i = 0; i < ring->n; i++) {
        sum += fb_latency_at(ring, i).ms;
        worst = fb_latency_at(ring, i).ms > worst ? fb_latency_at(ring, i).ms : worst;
    }
    int64_t from = fb_latency_at(ring, 0).wall_s, to = fb_latency_at(ring, ring->n - 1).wall_s;
    int n = snprintf(text, sizeof text,
                     "\n%s: %s\n  %zu samples within %" PRId64 " s, mean %" PRIu64 " ms, longest %" PRIu64
                     " ms (ever: %" PRIu64 " ms)\n  %s\n",
                     events[event].word, events[event].what, ring->n, to - from + 1, sum / ring->n, worst,
                     ring->max_ms, events[event].advice);
    (void)fb_buf_append(out, text, n > 0 && (size_t)n < sizeof text ? (size_t)n : strlen(text));
}

void fb_latency_explain(const struct fb_latency *latency, int64_t threshold_ms, fb_buf *out) {
    static const char off[] = "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> makes it "
                              "keep what takes at least so long.\n",
                      none[] = "No event has reached latency_monitor.\n",
                      some[] = "What reached latency_monitor, and what may help:\n";
    bool is_empty = true;
    for (int event = 0; event < FB_LATENCY_COUNT_; event++)
        is_empty &= latency->rings[event].n == 0;
    const char *head = !is_empty ? some : threshold_ms > 0 ? none : off;
    (void)fb_buf_append(out, head, strlen(head));
    for (int event = 0; event < FB_LATENCY_COUNT_; event++)
        if (latency->rings[event].n > 0)
            explain_ring(&latency->rings[event], (enum fb_latency_event)event, out);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

enum {
    DRAWN_ROWS = 4,
    DRAWN_COLUMNS = 80, /* then it goes on below */
    AGE_MAX = 24,
};
static const char marks[] = "_o#"; /* the top of a column; below it stands | */
enum { MARKS = sizeof marks - 1 };

/* "5s", "12m": one letter and no more digits than the age needs. */
static size_t print_age(int64_t seconds, char out[AGE_MAX]) {
    static const struct { int64_t seconds; char letter; } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    while (i + 1 < sizeof units / sizeof units[0] && seconds < units[i].seconds)
        i++;
    return (size_t)snprintf(out, AGE_MAX, "%" PRId64 "%c", seconds / units[i].seconds, units[i].letter);
}

/* How many marks the top of a column stands above the ground. */
static unsigned height(uint64_t ms, uint64_t low, uint64_t high) {
    unsigned top = DRAWN_ROWS * MARKS;
    uint64_t steps = high > low ? (ms - low) * top / (high - low) : 0;
    return steps < top ? (unsigned)steps : top - 1;
}

static char mark_at(unsigned steps, unsigned row) {
    return row > steps / MARKS ? ' ' : row < steps / MARKS ? '|' : marks[steps % MARKS];
}

/* Some columns: rows from the top, an empty one, then the ages read downwards. */
static void draw_part(const struct fb_latency_ring *ring, size_t from, size_t n, uint64_t low, uint64_t high,
                      int64_t now_s, fb_buf *out) {
    char line[DRAWN_COLUMNS + 1], age[AGE_MAX];
    line[n] = '\n';
    for (unsigned row = DRAWN_ROWS; row-- > 0;) {
        for (size_t i = 0; i < n; i++)
            line[i] = mark_at(height(fb_latency_at(ring, from + i).ms, low, high), row);
        (void)fb_buf_append(out, line, n + 1);
    }
    memset(line, ' ', n);
    (void)fb_buf_append(out, line, n + 1);
    for (size_t k = 0, more = 1; more > 0; k++) {
        more = 0;
        for (size_t i = 0; i < n; i++) {
            size_t len = print_age(now_s - fb_latency_at(ring, from + i).wall_s, age);
            line[i] = k < len ? age[k] : ' ';
            more += k < len;
        }
        if (more > 0)
            (void)fb_buf_append(out, line, n + 1);
    }
}

void fb_latency_draw(const struct fb_latency_ring *ring, enum fb_latency_event event, int64_t now_s, fb_buf *out) {
    char text[256];
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < ring->n; i++) {
        uint64_t ms = fb_latency_at(ring, i).ms;
        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
    }
    int len = snprintf(text, sizeof text, "%s - high %" PRIu64 " ms, low %" PRIu64 " ms (all time high %" PRIu64 " ms)\n",
                       events[event].word, high, low, ring->max_ms);
    (void)fb_buf_append(out, text, (size_t)len);
    memset(text, '-', DRAWN_COLUMNS);
    text[DRAWN_COLUMNS] = '\n';
    (void)fb_buf_append(out, text, DRAWN_COLUMNS + 1);
    for (size_t from = 0; from < ring->n; from += DRAWN_COLUMNS) {
        if (from > 0)
            (void)fb_buf_append(out, "\n", 1);
        draw_part(ring, from, ring->n - from < DRAWN_COLUMNS ? ring->n - from : DRAWN_COLUMNS, low, high, now_s, out);
    }
}
