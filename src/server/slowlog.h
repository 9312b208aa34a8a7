/* What took long: the slow log (SLOWLOG), and samples per kind of event for the latency monitor (LATENCY). */
#ifndef FB_SERVER_SLOWLOG_H
#define FB_SERVER_SLOWLOG_H

#include "base/list.h"
#include "server/latency.h"

enum {
    FB_SLOW_ARGS_MAX = 32,   /* arguments shown, as in Redis */
    FB_SLOW_ARG_MAX = 128,   /* bytes shown of one */
    FB_SLOW_NOTE_MAX = 256,  /* the trailing argument about where the time went */
};

/* A request as people may see it: cut short, and without the values it carries unless monitor_values is on. */
struct fb_preview {
    size_t n;
    fb_bytes args[FB_SLOW_ARGS_MAX];
    char text[]; /* what args point to */
};
/* May the argument be something a client wants to have stored or told, or a password? */
bool fb_argument_is_hidden(const struct fb_call *call, size_t i);
/* NULL without memory, and for commands that may carry a password. */
struct fb_preview *fb_preview_new(const struct fb_call *call);

struct fb_slow_entry {
    struct fb_link link;
    uint64_t id;
    int64_t wall_s;
    fb_span took;
    struct fb_preview *shown;
    char note[FB_SLOW_NOTE_MAX];
    char address[FB_ADDRESS_MAX], client_name[FB_NAME_MAX];
};

/* Newest first. */
struct fb_slowlog {
    struct fb_lock lock; /* rank LOOP; covers the rest */
    struct fb_link entries;
    size_t n;
    uint64_t next_id;
    struct fb_latency latency;
};

fb_status fb_slowlog_init(struct fb_server *server);
void fb_slowlog_clear(struct fb_server *server);
void fb_slowlog_free(struct fb_server *server);

/* On the loop's thread: a request took long enough for the slow log or the latency monitor to look at it. */
void fb_slow_note(struct fb_call *call, fb_span took);

#endif
