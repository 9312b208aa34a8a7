/* Asking where the primaries are, and remembering it. */
#include "server/places.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/upstream.h"

static const struct fb_store_url *url_of(const struct fb_loop *loop) { return &loop->server->store->url; }
static struct fb_places *places_of(const struct fb_loop *loop) { return &loop->upstreams->places; }

fb_status fb_places_init(struct fb_upstreams *all) {
    struct fb_places *p = &all->places;
    const struct fb_store_url *url = &all->store->url;
    size_t n = all->is_peers || url->kind == FB_STORE_CLUSTER ? FB_TOPOLOGY_NODES_MAX : 1;
    p->map = fb_topology_new();
    p->states = fb_mem_calloc(n, sizeof *p->states);
    if (p->map == NULL || p->states == NULL)
        return FB_NOMEM;
    for (size_t i = 0; i < n; i++)
        p->states[i].is_well = true;
    if (!all->is_peers)
        fb_topology_only(p->map, url->host, url->port); /* of a Cluster: until a node says more */
    p->is_known = url->kind != FB_STORE_SENTINEL;
    return FB_OK;
}

void fb_places_free(struct fb_upstreams *all) {
    struct fb_places *p = &all->places;
    p->map = fb_topology_unref(p->map);
    fb_mem_free(p->states);
    p->states = NULL;
}

unsigned fb_places_node(const struct fb_loop *loop, unsigned slot) {
    const struct fb_places *p = places_of(loop);
    return p->map->slots[slot] != FB_NODE_NONE ? p->map->slots[slot] : 0;
}

unsigned fb_places_of_address(const struct fb_loop *loop, const struct fb_store_address *at) {
    return url_of(loop)->kind == FB_STORE_CLUSTER ? fb_topology_node(places_of(loop)->map, at->host, at->port) : 0;
}

unsigned fb_places_next(const struct fb_loop *loop, unsigned node) {
    const struct fb_topology *map = places_of(loop)->map;
    for (; node < map->count; node++)
        for (unsigned slot = 0; slot < FB_SLOTS; slot++)
            if (map->slots[slot] == node)
                return node;
    return FB_NODE_NONE;
}

unsigned fb_places_moved(struct fb_loop *loop, const struct fb_redirect *redirect, bool is_moved) {
    struct fb_topology *map = places_of(loop)->map;
    unsigned node = fb_topology_node(map, redirect->to.host, redirect->to.port);
    if (node != FB_NODE_NONE && is_moved) {
        map->slots[redirect->slot] = (uint16_t)node;
        fb_places_refresh(loop);
    }
    return node;
}

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

static unsigned candidates_of(const struct fb_loop *loop) {
    const struct fb_store_url *url = url_of(loop);
    return url->seeds_count + (url->kind == FB_STORE_CLUSTER ? places_of(loop)->map->count : 0);
}

struct fb_store_address fb_places_candidate(const struct fb_loop *loop) {
    const struct fb_places *p = places_of(loop);
    const struct fb_store_url *url = url_of(loop);
    unsigned i = p->candidate % candidates_of(loop);
    return i < url->seeds_count ? url->seeds[i] : p->map->nodes[i - url->seeds_count];
}

size_t fb_places_question(const struct fb_loop *loop, fb_bytes argv[3]) {
    const struct fb_store_url *url = url_of(loop);
    bool is_cluster = url->kind == FB_STORE_CLUSTER;
    argv[0] = is_cluster ? FB_STR("CLUSTER") : FB_STR("SENTINEL");
    argv[1] = is_cluster ? FB_STR("SLOTS") : FB_STR("GET-MASTER-ADDR-BY-NAME");
    argv[2] = FB_STR(url->service);
    return is_cluster ? 2 : 3;
}

static void next_candidate(struct fb_loop *loop, const char *reason) {
    struct fb_places *p = places_of(loop);
    while (++p->tried < candidates_of(loop)) {
        p->candidate++;
        if (fb_upstream_scout(loop))
            return;
    }
    p->is_scouting = false;
    fb_upstreams_not_found(loop, reason);
}

void fb_places_refresh(struct fb_loop *loop) {
    struct fb_places *p = places_of(loop);
    fb_instant now = fb_clock_now();
    if (url_of(loop)->kind == FB_STORE_SINGLE || p->is_scouting ||
        (p->is_known && p->scouted_at.ns != 0 && fb_span_ms(fb_since(now, p->scouted_at)) < FB_PLACES_PAUSE_MS))
        return;
    p->scouted_at = now;
    p->is_scouting = true;
    p->tried = 0;
    if (!fb_upstream_scout(loop))
        next_candidate(loop, "out of memory");
}

void fb_places_unheard(struct fb_loop *loop, const char *reason) { next_candidate(loop, reason); }

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

/* ["10.0.0.1", "6379"]; a nil: it knows no such service. */
static bool hear_sentinel(struct fb_places *p, const struct fb_resp_reply *reply) {
    const struct fb_resp_node *items = reply->items;
    int64_t port;
    char host[FB_STORE_TEXT_MAX];
    if (reply->count != 3 || items[0].type != FB_RESP_ARRAY || items[1].text.len >= sizeof host ||
        !fb_parse_integer(items[2].text, &port) || port < 1 || port > 65535)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)items[1].text.len, items[1].text.data);
    fb_topology_only(p->map, host, (unsigned)port);
    p->is_known = true;
    return true;
}

/* Known nodes keep their places. */
static bool hear_cluster(struct fb_loop *loop, const struct fb_resp_reply *reply) {
    struct fb_places *p = places_of(loop);
    struct fb_store_address asked = fb_places_candidate(loop);
    uint16_t *before = fb_mem_alloc(sizeof p->map->slots);
    if (before == NULL)
        return false;
    memcpy(before, p->map->slots, sizeof p->map->slots);
    memset(p->map->slots, 0xff, sizeof p->map->slots);
    bool is_good = fb_topology_read(reply, asked.host, p->map, NULL) == FB_OK;
    if (!is_good)
        memcpy(p->map->slots, before, sizeof p->map->slots);
    fb_mem_free(before);
    return is_good;
}

void fb_places_heard(struct fb_loop *loop, fb_bytes bytes) {
    static const struct fb_resp_reply_limits limits = {.nodes_max = 1 << 20, .bulk_max = FB_SCOUT_REPLY_MAX};
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    struct fb_places *p = places_of(loop);
    bool is_cluster = url_of(loop)->kind == FB_STORE_CLUSTER;
    size_t size;
    bool is_good = fb_resp_reply(bytes.data, bytes.data + bytes.len, &limits, &reply, &size, NULL) == FB_RESP_DONE &&
                   reply.count > 0 && (is_cluster ? hear_cluster(loop, &reply) : hear_sentinel(p, &reply));
    fb_resp_reply_finish(&reply);
    if (!is_good) {
        next_candidate(loop, is_cluster ? "no node tells of a Cluster" : "the Sentinels know no primary of this service");
        return;
    }
    p->is_scouting = false;
    fb_upstreams_found(loop);
}
