/* The Redis of the fleet's simulator: a few keys with their companions, times that pass, and a past to fall back to.
 *
 * It decides by store/decide.h, as the scripts do. Deadlines are of the simulator's clock; what has expired is gone at the
 * next look, as with Redis' own lazy way. `told` is called for each change of a value or a negative entry. */
#ifndef TESTS_SIM_FLEET_REDIS_H
#define TESTS_SIM_FLEET_REDIS_H

#include "store/store.h"

enum { FLEET_KEYS = 3, FLEET_MARKS_MAX = 24, FLEET_PAST_MAX = 128 };

struct fleet_key {
    bool has_value, has_negative, has_lease, is_contended;
    unsigned value; /* the version */
    int64_t value_until, negative_until, lease_until, hold_until;
    struct fb_store_token lease;
    struct fleet_mark { struct fb_store_token token; int64_t until; } marks[FLEET_MARKS_MAX];
    unsigned nmarks;
};

struct fleet_redis {
    struct fleet_state { struct fleet_key keys[FLEET_KEYS]; } now;
    struct fleet_past { int64_t at; struct fleet_state state; } past[FLEET_PAST_MAX];
    unsigned npast;                /* ever */
    uint64_t server;               /* another one after a failover or a restart */
    bool spares_the_fence;         /* for the test of the test: FILL without a lease is accepted */
    void (*told)(void *user, unsigned key);
    void *user;
};

void fleet_redis_begin(struct fleet_redis *r);
/* One call at one moment; `version` is what it brings. */
void fleet_redis_run(struct fleet_redis *r, struct fb_store_call *call, unsigned key, unsigned version, int64_t now);
/* Expire what has to by now. */
void fleet_redis_expire(struct fleet_redis *r, unsigned key, int64_t now);
void fleet_redis_evict(struct fleet_redis *r, unsigned key);
/* The coordination key is evicted. */
void fleet_redis_lose(struct fleet_redis *r, unsigned key);
/* As it was at that moment, or the oldest that is remembered; under another name. Nobody is told. */
void fleet_redis_go_back(struct fleet_redis *r, int64_t to);

#endif
