/* A lane: a bounded queue in front of one outside thing, drained by its own worker threads.
 *
 * A worker takes all that is waiting, up to batch_max, and makes one round trip of it. Idle: a batch of one, no delay.
 * Busy: what arrives while a round trip is under way gathers and goes with the next one, as group commit does; a batch of
 * many costs the database a fraction of many batches of one. Another worker starts beside the one at work only for
 * FB_LANE_ENOUGH items, or when items have waited for FB_LANE_PATIENCE_MS because that round trip takes long. Workers
 * start with the first item, so a lane that is never used costs nothing. */
#ifndef FB_ENGINE_LANE_H
#define FB_ENGINE_LANE_H

#include <stdbool.h>

#include "base/list.h"
#include "base/lock.h"

struct fb_lane;

enum {
    /* Measured on PostgreSQL 15 with single-row keys: the time per row of one statement falls with their number until
     * about here. */
    FB_LANE_ENOUGH = 64,
    FB_LANE_PATIENCE_MS = 1,
    /* Where round trips mostly take less than FB_LANE_PATIENCE_MS: one that takes longer is short of a processor rather
     * than of the database, and another beside it would only take more of it. */
    FB_LANE_QUICK_PATIENCE_MS = 4,
};

/* Carry out a batch: take every link off it. `session` is the worker's own slot, NULL at first, for a connection. */
typedef void fb_lane_work(void *user, void **session, struct fb_link *batch, unsigned n);
/* The worker ends: close what is in its slot. */
typedef void fb_lane_leave(void *user, void *session);

struct fb_lane_options {
    unsigned workers, batch_max, queue_max;
    fb_lane_work *work;
    fb_lane_leave *leave;
    void *user;
};

struct fb_lane *fb_lane_create(const struct fb_lane_options *options);
/* Let the workers finish what is queued, then stop them. Who still pushes, as workers of other lanes may, keeps the items.
 * NULL accepted. */
void fb_lane_stop(struct fb_lane *lane);
/* Of a lane that was stopped, or never used: nobody may be in one of its functions. NULL accepted. */
void fb_lane_destroy(struct fb_lane *lane);

/* Queue as many of `items` as there is room for; the rest stays on the list. Thread-safe. */
void fb_lane_push(struct fb_lane *lane, struct fb_link *items);
/* Take everything out that no worker has taken yet. */
void fb_lane_withdraw(struct fb_lane *lane, struct fb_link *ret_items);
unsigned fb_lane_waiting(struct fb_lane *lane);

#endif
