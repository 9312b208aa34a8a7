/* All connections of a loop to the store, and all to other Forebays: made, looked at, closed. */
#include "server/upstream_parts.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/commands.h"

/* ---- places ------------------------------------------------------------------------------------------------------- */

bool fb_upstream_scout(struct fb_loop *loop) {
    struct fb_places *places = &loop->upstreams->places;
    if (places->scout == NULL && (places->scout = fb_upstream_new(loop->upstreams, 2, 0, 0, true)) == NULL)
        return false;
    places->scout->is_scout = true;
    places->scout->db = 0;
    fb_upstream_begin(places->scout);
    return true;
}

/* Those that wait for the address; each may lead to whatever it leads to, so one at a time. */
static struct fb_upstream *next_seeking(struct fb_loop *loop) {
    for (struct fb_link *l = loop->upstreams->all.next; l != &loop->upstreams->all; l = l->next) {
        struct fb_upstream *u = fb_member_of(l, struct fb_upstream, link);
        if (u->state == FB_UPSTREAM_SEEKING)
            return u;
    }
    return NULL;
}

void fb_upstreams_found(struct fb_loop *loop) {
    struct fb_upstream *u;
    while (loop->upstreams->places.is_known && (u = next_seeking(loop)) != NULL)
        fb_upstream_begin(u);
}

void fb_upstreams_not_found(struct fb_loop *loop, const char *reason) {
    struct fb_upstream *u;
    while ((u = next_seeking(loop)) != NULL)
        fb_upstream_lose(u, reason);
}

/* ---- of a loop ---------------------------------------------------------------------------------------------------- */

static struct fb_upstreams *set_free(struct fb_upstreams *all) {
    if (all == NULL)
        return NULL;
    fb_places_free(all);
    fb_mem_free(all->of_nodes);
    fb_mem_free(all);
    return NULL;
}

/* NULL: no memory. */
static struct fb_upstreams *set_new(struct fb_loop *loop, const struct fb_store *store, bool is_peers) {
    struct fb_upstreams *all = fb_mem_calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->loop = loop;
    all->store = store;
    all->is_peers = is_peers;
    fb_list_init(&all->all);
    fb_list_init(&all->dirty);
    fb_list_init(&all->over);
    if (is_peers || store->url.kind == FB_STORE_CLUSTER)
        all->of_nodes = fb_mem_calloc(FB_UPSTREAM_VERSIONS, sizeof *all->of_nodes);
    if (((is_peers || store->url.kind == FB_STORE_CLUSTER) && all->of_nodes == NULL) || fb_places_init(all) != FB_OK)
        return set_free(all);
    (void)uv_prepare_init(&loop->uv, &all->flush);
    all->flush.data = all;
    return all;
}

fb_status fb_upstreams_init(struct fb_loop *loop) {
    const struct fb_store *store = loop->server->store, *peers = loop->server->peers;
    if (store != NULL && (loop->upstreams = set_new(loop, store, /* is_peers */ false)) == NULL)
        return FB_NOMEM;
    if (peers != NULL && (loop->peers = set_new(loop, peers, /* is_peers */ true)) == NULL)
        return FB_NOMEM;
    if (store != NULL && store->url.kind == FB_STORE_CLUSTER)
        fb_places_refresh(loop); /* a transaction that goes to the wrong node can only be refused */
    return FB_OK;
}

static void set_close(struct fb_upstreams *all) {
    if (all == NULL)
        return;
    while (!fb_list_is_empty(&all->all))
        fb_upstream_drop(fb_member_of(all->all.next, struct fb_upstream, link));
    fb_upstreams_end_over(all);
    uv_close((uv_handle_t *)&all->flush, NULL);
}

void fb_upstreams_close(struct fb_loop *loop) {
    set_close(loop->upstreams);
    set_close(loop->peers);
}

void fb_upstreams_free(struct fb_loop *loop) {
    loop->upstreams = set_free(loop->upstreams);
    loop->peers = set_free(loop->peers);
}

void fb_upstreams_sum(const struct fb_server *server, bool is_peers, struct fb_upstream_sums *ret_sums) {
    *ret_sums = (struct fb_upstream_sums){0};
    for (unsigned i = 0; i < server->nloops; i++) {
        struct fb_upstreams *all = is_peers ? server->loops[i].peers : server->loops[i].upstreams;
        if (all == NULL)
            continue;
#define ADD(name, what) ret_sums->name += atomic_load_explicit(&all->counters.name, memory_order_relaxed);
        FB_UPSTREAM_COUNTERS(ADD)
#undef ADD
    }
}

bool fb_upstreams_are_full(const struct fb_loop *loop) {
    return (loop->upstreams != NULL && loop->upstreams->full > 0) || (loop->peers != NULL && loop->peers->full > 0);
}

/* A request that blocks says itself how long. */
static bool is_patient(const struct fb_upstream *u) {
    if (fb_list_is_empty(&u->asked))
        return true;
    const struct fb_wait *first = fb_member_of(u->asked.next, struct fb_wait, message.link);
    return u->is_own && ((first->call.command->flags & FB_CMD_BLOCKS) || first->is_patient);
}

static void look(struct fb_upstream *u) {
    char text[FB_UPSTREAM_REASON_MAX];
    int64_t ms = fb_span_ms(fb_since(fb_clock_now(), u->since)), connect_ms = fb_upstream_store(u)->connect_timeout_ms,
            silent_ms = fb_upstream_store(u)->timeout_ms;
    if (u->state != FB_UPSTREAM_CLOSED && u->state != FB_UPSTREAM_READY && ms > connect_ms) {
        snprintf(text, sizeof text, "no connection within %lld ms", (long long)connect_ms);
        fb_upstream_lose(u, text);
    } else if (u->state == FB_UPSTREAM_READY && !is_patient(u) && ms > silent_ms) {
        snprintf(text, sizeof text, "no answer within %lld ms", (long long)silent_ms);
        fb_upstream_lose(u, text);
    } else if (u->state == FB_UPSTREAM_READY && !u->is_own && fb_list_is_empty(&u->asked) &&
               u->loop->tick - u->used > FB_UPSTREAM_IDLE_SECONDS) {
        fb_upstream_shut(u);
    }
}

static void look_at_all(struct fb_upstreams *all) {
    for (struct fb_link *l = all != NULL ? all->all.next : NULL, *next; all != NULL && l != &all->all; l = next) {
        next = l->next;
        struct fb_upstream *u = fb_member_of(l, struct fb_upstream, link);
        u->is_taking = true;
        look(u);
        u->is_taking = false;
        next = l->next;
        if (u->is_dropped)
            fb_upstream_discard(u);
    }
}

void fb_upstreams_tick(struct fb_loop *loop) {
    if (loop->upstreams == NULL && loop->peers == NULL)
        return;
    look_at_all(loop->upstreams);
    look_at_all(loop->peers);
    fb_loop_settle(loop);
}
