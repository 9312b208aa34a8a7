/* What the files of the shard share. Nobody else includes this. */
#ifndef FB_CORE_SHARD_INTERNAL_H
#define FB_CORE_SHARD_INTERNAL_H

#include "core/shard.h"

/* The coordination record of one key: exists only while a load, a lease, a write or a doubt is there.
 *
 * `leased` is the flight that may fill; `fresh` is a flight without the lease that has not been dispatched, so that
 * whoever joins it is sure to get an answer from after their question. Either may be NULL; flights that are neither are
 * on their way home and only their own waiters know them. One of those may still fill as well, where a REFRESH passed
 * the lease on to a newer question: tokens grow, and a fill bars those before it as a fence does. */
struct fb_coord {
    struct fb_link bucket;
    struct fb_link dated;           /* in shard->dated while something here ends by time */
    uint64_t hash;
    uint64_t barred;                /* tokens up to here fill no more */
    struct fb_flight *leased, *fresh;
    struct fb_writer *active;       /* the marked writer */
    struct fb_link queued;          /* fb_writer.link, in order of begin */
    unsigned nqueued, nflights, nholds;
    bool in_doubt;
    uint16_t keyspace;
    fb_instant doubt_until;
    size_t key_len;
    char key[];
};

struct fb_shard {
    struct fb_table *table;
    const fb_policy *policies;
    unsigned keyspaces_max;
    fb_keyspace_stats *counters;
    struct fb_link *buckets;        /* of fb_coord.bucket */
    unsigned nbuckets, ncoords;     /* nbuckets is a power of two */
    struct fb_link timed;           /* fb_waiter.timed, no order */
    struct fb_link dated;           /* fb_coord.dated */
    unsigned nwaiters;
    fb_instant next_due;            /* nothing in timed or dated ends before it */
    uint64_t next_token;
    fb_shard_observer *observer;
    void *user;
    const _Atomic int64_t *proved;
};

static inline fb_bytes fb_coord_key(const struct fb_coord *coord) { return fb_bytes_of(coord->key, coord->key_len); }
static inline fb_keyspace_stats *fb_shard_count(struct fb_shard *shard, uint16_t keyspace) {
    return &shard->counters[keyspace];
}

static inline void fb_shard_tell(const struct fb_shard *shard, fb_event_kind what, uint16_t keyspace, fb_kind value,
                                 fb_bytes key) {
    if (shard->observer != NULL)
        shard->observer(shard->user, what, keyspace, value, key);
}

/* May what is in the table serve? Not when a shared second level may have changed without a word. */
static inline bool fb_shard_is_proved(const struct fb_shard *shard, fb_instant now) {
    return shard->proved == NULL || now.ns < atomic_load_explicit(shard->proved, memory_order_acquire);
}

static inline bool fb_coord_lets_fill(const struct fb_coord *coord, const struct fb_flight *flight) {
    return flight->token > coord->barred;
}

struct fb_coord *fb_coord_find(struct fb_shard *shard, uint64_t hash, fb_bytes key);
/* Finds or makes; NULL: no memory. */
struct fb_coord *fb_coord_make(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace);
void fb_coord_settle(struct fb_shard *shard, struct fb_coord *coord);                /* frees it when nothing is left */
void fb_coord_note_due(struct fb_shard *shard, struct fb_coord *coord, fb_instant due);

/* A new flight, with the lease where one can be had; NULL: no memory. The caller puts it on fx.loads. */
struct fb_flight *fb_coord_launch(struct fb_shard *shard, struct fb_coord *coord, uint16_t keyspace, fb_instant now);
/* MISS for one waiter, which may have been bounced: FB_PENDING, FB_LEASE, FB_NOMEM. */
fb_status fb_coord_join(struct fb_shard *shard, struct fb_coord *coord, uint16_t keyspace, struct fb_waiter *waiter,
                        fb_instant now, struct fb_effects *fx);
/* Take the lease away. The waiters of an application's lease are put on `homeless` (fb_waiter.link): rejoin them with
 * fb_coord_rehouse once the state of the record is final. */
void fb_coord_fence(struct fb_shard *shard, struct fb_coord *coord, struct fb_link *homeless);
void fb_coord_rehouse(struct fb_shard *shard, struct fb_coord *coord, struct fb_link *homeless, fb_instant now,
                      struct fb_effects *fx);
/* Grant the next queued writer, if nobody is marked. */
void fb_coord_grant_next(struct fb_shard *shard, struct fb_coord *coord, struct fb_link *homeless, fb_instant now,
                         struct fb_effects *fx);

/* Answer a waiter: it leaves its flight and comes out on fx.done. The value is referenced anew. */
void fb_waiter_answer(struct fb_shard *shard, struct fb_waiter *waiter, fb_status status, struct fb_value *value,
                      fb_instant now, struct fb_effects *fx);
/* The end of an entry's life has come: tell it, and keep the entry for its grace or drop it. */
void fb_shard_age(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_instant now);
/* What may stand in for an answer that is late or has failed: FB_OK with a reference in *ret_value, FB_NOTFOUND (a fresh
 * absence), FB_MISS. `n` are so answered: it counts and tells them, if it is stale. */
struct fb_stand_in {
    fb_status status;
    struct fb_value *value;
    bool is_stale;
};
struct fb_stand_in fb_shard_stand_in(struct fb_shard *shard, uint64_t hash, fb_bytes key, bool source_down,
                                     fb_instant now);
/* Somebody gets it. */
void fb_shard_serve_stale(struct fb_shard *shard, uint16_t keyspace, fb_kind kind, fb_bytes key, unsigned n);
/* Try to answer one waiter so; true when it was. */
bool fb_waiter_stand_in(struct fb_shard *shard, struct fb_waiter *waiter, fb_instant now, struct fb_effects *fx);
/* A load has failed: not again for some time, if there is a stale value. */
void fb_shard_put_off(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, uint16_t draw);

/* Drop a key's entry; false when there was none. */
bool fb_shard_forget(struct fb_shard *shard, uint64_t hash, fb_bytes key, struct fb_stamp *ret_stamp);
/* Keep a value or an absence in the table, as the policy allows; false where nothing is kept. */
bool fb_shard_keep(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_bytes value);

#endif
