/* A Redis of Forebay's own (`store.url: auto`): started, supervised, stopped.
 *
 * It listens on a unix socket in a directory that only its owner may enter, asks for a password that nobody else knows
 * (drawn at the start, handed over through a pipe), and keeps its data in an append-only file there. When it ends by
 * itself it is started again; when Forebay ends, however it does, the kernel tells it to (PR_SET_PDEATHSIG).
 *
 * A lock on the directory is held by Forebay and inherited by the Redis: whoever starts next waits for the last of them,
 * so two never write the same file.
 *
 * Bounds. Restarts: after PAUSE_FIRST_MS, each time twice as long up to PAUSE_MAX_MS, anew after WELL_SECONDS of a good
 * life. Stopping: FB_PRIVATE_STOP_MS, then it is killed. Its log: FB_PRIVATE_LOG_MAX, looked at when it starts. */
#ifndef FB_CLI_PRIVATE_STORE_H
#define FB_CLI_PRIVATE_STORE_H

#include <forebay/forebay.h>

enum {
    FB_PRIVATE_READY_MS = 5000,   /* a start waits so long for its socket, then goes on without */
    FB_PRIVATE_LOCK_MS = 5000,    /* for the one before to end */
    FB_PRIVATE_STOP_MS = 10000,
    FB_PRIVATE_LOG_MAX = 1 << 20,
};

struct fb_private_store;

/* Start it under `state_dir`, which is made if it is not there. FB_NOTFOUND: no program for it, with the package's name.
 * FB_SYSTEM: the directory cannot be used, or is in use. After FB_OK it may still be on its way (the log says so). */
fb_status fb_private_store_start(const char *state_dir, uint64_t memory_max, struct fb_private_store **ret_store,
                                 fb_err *reterr);
/* Where it is, with its password: "unix://forebay:…@/…/redis.sock". */
const char *fb_private_store_url(const struct fb_private_store *store);
/* Everybody has let go of it. NULL accepted. */
void fb_private_store_stop(struct fb_private_store *store);

#endif
