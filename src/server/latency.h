/* The latency monitor: for each kind of event the latest times that reached latency_monitor. */
#ifndef FB_SERVER_LATENCY_H
#define FB_SERVER_LATENCY_H

#include "server/commands.h"

enum { FB_LATENCY_SAMPLES = 160 }; /* per event, one per second at most, as in Redis */

/* X(name, word, what it is, what to do about it) */
#define FB_LATENCY_EVENTS(X)                                                                                           \
    X(COMMAND, "command", "a request that was answered without asking a source",                                       \
      "Look at SLOWLOG GET: large values and long lists of keys keep a loop busy. INFO commandstats tells which.")     \
    X(FAST, "fast-command", "the same, of a command whose work does not grow with the value",                          \
      "Such a command has no work of its own that takes long: the machine was busy, or the loop was with another "     \
      "request. More server.threads help only while there are free processors.")                                       \
    X(LANE, "lane-wait", "waiting for other writers of the key and for a connection to the source",                    \
      "All connections of the source are in use: raise sources.NAME.pool, or batch_max where queries are cheap.")      \
    X(READ, "source-read", "a query, until the source had answered",                                                   \
      "The database is slow to read: look at the query (FB.EXPLAIN key) and its index there.")                         \
    X(WRITE, "source-write", "a transaction, until the source had answered",                                           \
      "The database is slow to commit: locks held by others, or slow synchronous storage.")

enum fb_latency_event {
#define FB_LATENCY_(name, word, what, advice) FB_LATENCY_##name,
    FB_LATENCY_EVENTS(FB_LATENCY_)
#undef FB_LATENCY_
    FB_LATENCY_COUNT_
};

struct fb_latency_sample { int64_t wall_s; uint64_t ms; };

struct fb_latency_ring {
    struct fb_latency_sample samples[FB_LATENCY_SAMPLES]; /* from `first` on, oldest first */
    size_t first, n;
    uint64_t max_ms; /* since RESET */
};

/* Under the lock of whoever holds it. */
struct fb_latency { struct fb_latency_ring rings[FB_LATENCY_COUNT_]; };

/* The name of an event, and the event of a name (FB_LATENCY_COUNT_: none). */
const char *fb_latency_word(enum fb_latency_event event);
enum fb_latency_event fb_latency_named(fb_bytes word);
/* A sample; within one second the longest stays. */
void fb_latency_add(struct fb_latency_ring *ring, int64_t wall_s, uint64_t ms);
/* Sample i of a ring, oldest first. */
struct fb_latency_sample fb_latency_at(const struct fb_latency_ring *ring, size_t i);
/* The samples of a ring as a drawing of characters, oldest first, with how long ago each was; as Redis draws it. */
void fb_latency_draw(const struct fb_latency_ring *ring, enum fb_latency_event event, int64_t now_s, fb_buf *out);
/* What can be said of all rings, as text. */
void fb_latency_explain(const struct fb_latency *latency, int64_t threshold_ms, fb_buf *out);

#endif
