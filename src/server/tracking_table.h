/* Which clients have read which keys: the memory behind CLIENT TRACKING without BCAST.
 *
 * Keys are spread over parts with a lock each. A key holds the trackers that have asked for it, ordered by client; it
 * is taken out whole when it changes, since each registration tells once. Trackers that are off stay until the key
 * changes or its set would have to grow. */
#ifndef FB_SERVER_TRACKING_TABLE_H
#define FB_SERVER_TRACKING_TABLE_H

#include "server/push.h"

enum { FB_TRACK_PARTS = 64 }; /* a power of two; more than loops that register at a time */

enum fb_track_options {
    FB_TRACK_BCAST = 1 << 0,
    FB_TRACK_OPTIN = 1 << 1,
    FB_TRACK_OPTOUT = 1 << 2,
    FB_TRACK_NOLOOP = 1 << 3,
};

/* A client that tracks. */
struct fb_tracker {
    _Atomic uint32_t refs;
    uint64_t id;                 /* of the client */
    struct fb_receiver self;
    _Atomic unsigned options;    /* written by its loop */
    _Atomic bool is_off, is_broken; /* broken: the client it redirects to has gone */
    _Atomic uint64_t redirect;   /* the client that is told instead; 0: none. Written under tracking->lock, and */
    struct fb_receiver target;   /* where that is */
    struct fb_link link;         /* tracking->trackers */
    struct fb_track_prefix **prefixes; /* with BCAST; written by its loop under tracking->lock */
    unsigned nprefixes;
};

/* References, ordered by client. */
struct fb_tracker_set {
    struct fb_tracker **items;
    uint32_t n, room;
};
/* FB_OK: added, FB_UNMET: was there. Those that are off are thrown out rather than making room. */
fb_status fb_tracker_set_add(struct fb_tracker_set *set, struct fb_tracker *tracker);
void fb_tracker_set_remove(struct fb_tracker_set *set, struct fb_tracker *tracker);
void fb_tracker_set_free(struct fb_tracker_set *set);

/* A key taken out of the table. */
struct fb_tracked {
    struct fb_tracked *next;
    uint64_t hash;
    struct fb_tracker_set clients;
    size_t len;
    char key[];
};
struct fb_tracked *fb_tracked_free(struct fb_tracked *tracked);

struct fb_track_table;
struct fb_track_table *fb_track_table_new(void);
void fb_track_table_free(struct fb_track_table *table);

/* All from any thread. */

/* The client has asked for the key. FB_OK or FB_NOMEM. What had to go so that the table holds keys_max at most (and one
 * more per part: the new key itself stays) comes back in *ret_out (a chain; NULL: nothing). */
fb_status fb_track_table_add(struct fb_track_table *table, size_t keys_max, fb_bytes key, struct fb_tracker *tracker,
                             struct fb_tracked **ret_out);
/* What is more than keys_max, at most `most` of it: a chain of keys taken out; NULL: nothing. */
struct fb_tracked *fb_track_table_trim(struct fb_track_table *table, size_t keys_max, size_t most);
/* Take the key out; NULL when nobody has asked for it. Who caused the change (`origin`) and said NOLOOP stays: it is
 * not told of this change, and must be of the next. */
struct fb_tracked *fb_track_table_take(struct fb_track_table *table, fb_bytes key, uint64_t origin);
void fb_track_table_clear(struct fb_track_table *table);
/* Keys, and clients of all keys together. */
void fb_track_table_count(const struct fb_track_table *table, size_t *ret_keys, size_t *ret_items);

#endif
