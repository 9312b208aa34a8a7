/* Asking every Sentinel, once a second, who the primary is: what most of them say, and whether most can be reached. */
#ifndef FB_STORE_SENTRY_H
#define FB_STORE_SENTRY_H

#include <poll.h>

#include "base/rng.h"
#include "store/place_parts.h"

enum {
    FB_SENTRY_EVERY_MS = 1000,
    FB_SENTRY_FRESH_MS = 3000,   /* an answer counts for so long */
};

struct fb_sentry {
    struct fb_connection connection;
    bool is_greeted, is_asked;
    unsigned part, parts, attempts;
    struct fb_greeted greeted;
    fb_instant since, due;
    struct fb_store_address says;
    fb_instant said;             /* INT64_MIN: never */
};

struct fb_sentries {
    struct fb_sentry items[FB_STORE_SEEDS_MAX];
    unsigned count;              /* 0: the store has no Sentinels */
    fb_instant start;
};

void fb_sentries_init(struct fb_sentries *sentries, const struct fb_place *place, fb_instant now);
void fb_sentries_finish(struct fb_sentries *sentries);
/* Do what is due and take what has come; when there is something to do next. */
fb_instant fb_sentries_tick(struct fb_sentries *sentries, const struct fb_place *place, fb_instant now);
/* Append what to poll for; how many. */
nfds_t fb_sentries_poll(const struct fb_sentries *sentries, struct pollfd *fds);
/* Most of all Sentinels agree on a primary at another address than this one. */
bool fb_sentries_object(const struct fb_sentries *sentries, const struct fb_store_address *primary, fb_instant now);
/* Most have answered of late. */
bool fb_sentries_are_most(const struct fb_sentries *sentries, fb_instant now);

#endif
