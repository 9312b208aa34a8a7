/* A vigil: one tracking connection to one primary: its greeting, its beats, what it pushes. Nothing here waits. (A session
 * is its connection while it lives; the vigil makes one after the other.) */
#ifndef FB_STORE_VIGIL_H
#define FB_STORE_VIGIL_H

#include "base/rng.h"
#include "store/place_parts.h"
#include "store/watch.h"

enum {
    FB_VIGIL_SILENCE_MS = 2000, /* a beat unanswered for so long ends the session */
    FB_VIGIL_BACKOFF_FIRST_MS = 20,
    FB_VIGIL_BACKOFF_MOST_MS = 1000,
};

enum fb_vigil_state { FB_VIGIL_CLOSED, FB_VIGIL_GREETING, FB_VIGIL_BEGUN };

/* A primary's history, which outlives the session. */
struct fb_member {
    struct fb_store_identity identity;
    struct fb_store_address address;
    struct fb_heartbeats beats;
};

struct fb_vigil {
    struct fb_store_address address;
    struct fb_connection connection;
    enum fb_vigil_state state;
    fb_instant since;                  /* when the connection was begun */
    unsigned attempts, failures;
    fb_instant not_before;
    /* Greeting. */
    unsigned part, greeting_parts;
    struct fb_greeted greeted;
    fb_buf info;
    struct fb_store_identity identity;
    bool is_tracking;                  /* else why not is in `refusal` */
    char refusal[FB_PLACE_TEXT_MAX];
    /* Beats. */
    struct fb_member *member;          /* NULL: its history has not been judged yet */
    fb_instant beat_sent, beat_due;
    unsigned beat_awaited;             /* replies of the beat that is out */
    bool is_beat_good;
    fb_instant proved;                 /* when the last good beat was sent */
};

/* The prefixes of a session, reduced. */
struct fb_prefixes { const fb_bytes *items; size_t count; };

enum fb_vigil_news {
    FB_VIGIL_NOTHING,   /* no more for now */
    FB_VIGIL_PUSH,      /* in connection.reply */
    FB_VIGIL_HAS_BEGUN,
    FB_VIGIL_BEAT,      /* `proved` has moved, or has not */
    FB_VIGIL_ENDED,     /* why; it is closed, and has its back-off */
    FB_VIGIL_DEMOTED,   /* the same, and it is no primary any more */
};

struct fb_vigil *fb_vigil_new(const struct fb_place *place, const struct fb_store_address *address);
struct fb_vigil *fb_vigil_free(struct fb_vigil *vigil);
/* What is due: to connect, to beat, to give up. */
enum fb_vigil_news fb_vigil_tick(struct fb_vigil *vigil, const struct fb_place *place,
                                     const struct fb_prefixes *prefixes, fb_instant now, struct fb_rng *rng,
                                     fb_err *reterr);
/* What has come; call it until it says nothing. */
enum fb_vigil_news fb_vigil_step(struct fb_vigil *vigil, const struct fb_place *place, fb_instant now,
                                     struct fb_rng *rng, fb_err *reterr);
void fb_vigil_close(struct fb_vigil *vigil);
/* When fb_vigil_tick has something to do next. */
fb_instant fb_vigil_due(const struct fb_vigil *vigil, const struct fb_place *place);

#endif
