/* Loads that the application does by itself, under the store's lease: the same way, but for who loads. */
#include <string.h>

#include "base/mem.h"
#include "engine/tier.h"

enum { WAIT_DEFAULT_MS = 2000 };

struct asking {
    struct fb_way way;
    fb_tier_leased *done;
    void *user;
    size_t key_len;
    char key[];
};

static void finish(struct asking *asking, fb_status status, uint64_t token) {
    struct fb_cache *cache = asking->way.tier->cache;
    fb_bytes value = fb_bytes_of(asking->way.copy.data, asking->way.copy.len);
    asking->done(asking->user, status, status == FB_OK ? value : fb_bytes_of(NULL, 0), token);
    fb_buf_free(&asking->way.copy);
    fb_mem_free(asking);
    fb_cache_op_end(cache);
}

static void over(struct fb_way *way) {
    finish(fb_member_of(way, struct asking, way), way->flow.status, 0);
}

/* The application's turn. Without a lease its token is one that nothing will accept: its value is good for itself. */
static void lend(struct fb_way *way) {
    struct fb_tier *tier = way->tier;
    uint64_t token = way->flow.token.number;
    bool has_waited = way->flow.has_waited;
    fb_way_quit(way);
    if (way->flow.has_lease) {
        fb_lock_acquire(&tier->lock);
        tier->grants[token % FB_TIER_GRANTS] = (struct fb_tier_grant){token, way->flow.server};
        fb_lock_release(&tier->lock);
    } else if (has_waited) {
        finish(fb_member_of(way, struct asking, way), FB_TIMEOUT, 0);
        return;
    }
    finish(fb_member_of(way, struct asking, way), FB_LEASE, token);
}

fb_status fb_tier_lease(struct fb_tier *tier, const struct fb_keyspace *keyspace, fb_bytes key, int64_t wait_ms,
                        fb_tier_leased *done, void *user) {
    struct asking *asking = fb_mem_calloc(1, sizeof *asking + key.len);
    uint64_t hash = fb_cache_hash(tier->cache, key);
    if (asking == NULL)
        return FB_NOMEM;
    struct fb_flow_terms terms = fb_tier_terms(tier, keyspace, hash);
    terms.wait_ms = wait_ms > 0 ? wait_ms : WAIT_DEFAULT_MS;
    asking->done = done;
    asking->user = user;
    asking->key_len = key.len;
    asking->way.load = lend;
    asking->way.over = over;
    if (key.len > 0)
        memcpy(asking->key, key.data, key.len);
    fb_cache_op_begin(tier->cache);
    fb_way_start(tier, &asking->way, hash, fb_bytes_of(asking->key, key.len), &terms);
    return FB_PENDING;
}

struct filling {
    fb_tier_filled *done;
    void *user;
};

static void filled(void *user, const struct fb_store_call *call) {
    struct filling *filling = user;
    bool is_kept = call->outcome == FB_STORE_DONE && call->answer != FB_STORE_NOT_MINE;
    filling->done(filling->user, is_kept ? FB_OK : FB_REFUSED);
    fb_mem_free(filling);
}

/* Which server a lease is of; a lease serves once. */
static uint64_t take_grant(struct fb_tier *tier, uint64_t token) {
    struct fb_tier_grant *grant = &tier->grants[token % FB_TIER_GRANTS];
    uint64_t server = 0;
    fb_lock_acquire(&tier->lock);
    if (grant->token == token && token != 0) {
        server = grant->server;
        *grant = (struct fb_tier_grant){0, 0};
    }
    fb_lock_release(&tier->lock);
    return server;
}

fb_status fb_tier_fill(struct fb_tier *tier, const struct fb_keyspace *keyspace, fb_bytes key, uint64_t token,
                       fb_status status, fb_bytes value, int64_t life_ms, fb_tier_filled *done, void *user) {
    struct fb_flow_terms terms = fb_tier_terms(tier, keyspace, fb_cache_hash(tier->cache, key));
    struct filling *filling = fb_mem_alloc(sizeof *filling);
    if (filling == NULL)
        return FB_NOMEM;
    *filling = (struct filling){done, user};
    int64_t ttl = terms.lasting_ms + terms.grace_ms;
    struct fb_store_call call = {
        .move = FB_STORE_FILL, .kind = keyspace->kind, .key = key, .bring = value,
        .token = {tier->process, token}, .server = take_grant(tier, token),
        .put = status == FB_OK                                     ? FB_STORE_PUT_VALUE
               : status == FB_NOTFOUND && terms.negative_ttl_ms > 0 ? FB_STORE_PUT_NEGATIVE
                                                                    : FB_STORE_PUT_NOTHING,
        .ttl_ms = status == FB_NOTFOUND ? terms.negative_ttl_ms : life_ms > 0 && life_ms < ttl ? life_ms : ttl};
    fb_status begun = fb_tier_call(tier, &call, filled, filling);
    if (begun != FB_PENDING)
        fb_mem_free(filling);
    return begun;
}
