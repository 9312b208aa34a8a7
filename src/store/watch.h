/* Hearing of what changes in the store, and proving that nothing was missed.
 *
 * One thread holds one connection to each primary of the place: HELLO 3, CLIENT TRACKING ON BCAST with the keyspaces'
 * prefixes, and every 250 ms ROLE. Pushes and replies share one ordered stream, so the reply `master` of the run that
 * the session began with proves that every change before the question has been pushed: the place's proof moves to one
 * second after the question was sent (of several primaries: the least). Any error, other role, other run or silence
 * lets it run out; the end of a session takes it away at once.
 *
 *   W1 all_changed is called when a session has ended and again when all have begun anew, before the proof moves
 *   W2 changed is called for every push before the proof moves past the moment of its change
 *   W3 history is called before the all_changed that follows a reconnection: first re-assert or distrust, then serve
 *
 * A copy may enter the first level only under a local lease that began while the proof held and that changed and
 * all_changed take away. A server that cannot broadcast (Dragonfly, a tracking command that its user may not give) is
 * watched for its history alone: the proof never holds there, and state says why, once. */
#ifndef FB_STORE_WATCH_H
#define FB_STORE_WATCH_H

#include "store/failover.h"
#include "store/place.h"

enum {
    FB_WATCH_BEAT_MS = 250,
    FB_WATCH_PROOF_MS = 1000,       /* > 3 beats */
    FB_WATCH_PREFIXES_MAX = 4096,
};

/* Called on the watch's thread, one at a time; they may not wait long and may not stop the watch. */
struct fb_store_watch_calls {
    /* A value or a negative entry of this key may have changed, expired or been evicted. */
    void (*changed)(void *user, fb_bytes key);
    /* Everything that came from the store may have changed. */
    void (*all_changed)(void *user);
    /* After a reconnection: REASSERT with `since`, or DISTRUST. (Not called with NONE.) */
    void (*history)(void *user, enum fb_failover what, fb_instant since);
    /* All primaries are watched, or not: why. Called on changes only, and first when it is known. */
    void (*state)(void *user, bool is_up, const char *text);
};

struct fb_store_watch_options {
    const fb_bytes *prefixes;       /* the literal beginnings of the keyspaces' keys, any order, may overlap; copied */
    size_t prefixes_count;
    const struct fb_store_watch_calls *calls;
    void *user;
};

struct fb_store_watch;

/* Starts the thread. FB_NOMEM, FB_SYSTEM, FB_INVALID. */
fb_status fb_store_watch_start(struct fb_place *place, const struct fb_store_watch_options *options,
                               struct fb_store_watch **ret_watch, fb_err *reterr);
/* Waits for the thread, a second at most; NULL accepted. The proof is gone afterwards. */
void fb_store_watch_stop(struct fb_store_watch *watch);

/* Other prefixes, when keyspaces were added: sessions begin anew (all_changed). */
fb_status fb_store_watch_prefixes(struct fb_store_watch *watch, const fb_bytes *prefixes, size_t count);

/* Sort prefixes and drop those that another one covers (Redis refuses overlaps of one client); how many are left. */
size_t fb_prefixes_reduce(fb_bytes *prefixes, size_t count);
/* The key whose change a pushed name tells of: K for K and for `fb:n:{tag}:K`. False: it tells of none (`fb:c:…`). */
bool fb_pushed_key(fb_bytes name, fb_bytes *ret_key);

#endif
