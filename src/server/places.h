/* Where the store's primaries are: the one that Sentinels name, or those of a Cluster. Of one loop, asked on a connection
 * of its own (a *scout*) that lives for one question.
 *
 * A node is an index into places->map. Of a single server there is one, of Sentinels one that moves; those of a Cluster
 * keep their index as long as the loop lives, so a connection stays where it is when slots wander.
 *
 * Sentinels are asked when a connection is to be made; the primary says itself that it is one (ROLE) before it is used. A
 * Cluster is asked when somebody was redirected or could not reach a node, at most once in FB_PLACES_PAUSE_MS; until the
 * answer comes MOVED says where a slot is. Candidates (the URL's addresses, then known nodes) are asked in turn. */
#ifndef FB_SERVER_PLACES_H
#define FB_SERVER_PLACES_H

#include "proto/topology.h"
#include "server/loop.h"

enum {
    FB_PLACES_PAUSE_MS = 100,
    FB_REDIRECTIONS_MAX = 8,       /* of one request: MOVED and ASK */
    FB_SCOUT_REPLY_MAX = 1 << 20,  /* bytes of what a candidate says */
};

struct fb_upstream;
struct fb_upstreams;

/* What is known of the reachability of one node. */
struct fb_place_state {
    fb_instant retry_at;      /* not before: it could not be reached */
    int64_t backoff_ms;       /* 0: it could */
    char reason[160];
    bool is_well;             /* as far as is known */
    bool is_tls;              /* of a peer: it wants TLS */
};

struct fb_places {
    struct fb_topology *map;
    struct fb_place_state *states; /* by node */
    bool is_known;            /* of Sentinels: map->nodes[0] is where they said */
    struct fb_upstream *scout;
    bool is_scouting;
    unsigned tried, candidate; /* of this question; the one being asked */
    fb_instant scouted_at;
};

fb_status fb_places_init(struct fb_upstreams *all);
void fb_places_free(struct fb_upstreams *all);

/* The node that serves this slot. */
unsigned fb_places_node(const struct fb_loop *loop, unsigned slot);
/* The node at this address; only a Cluster has several. FB_NODE_NONE: there are too many. */
unsigned fb_places_of_address(const struct fb_loop *loop, const struct fb_store_address *at);
/* Nodes that serve slots now, in turn: the first at or behind `node`; FB_NODE_NONE: no more. */
unsigned fb_places_next(const struct fb_loop *loop, unsigned node);
/* What is known may be old: ask, if not just asked. */
void fb_places_refresh(struct fb_loop *loop);
/* MOVED: this slot is at that node; returns it, FB_NODE_NONE: there are too many. */
unsigned fb_places_moved(struct fb_loop *loop, const struct fb_redirect *redirect, bool is_moved);

/* ---- between places.c and upstream.c ---------------------------------------------------------------------------------- */

/* What the scout is to ask, and where. */
struct fb_store_address fb_places_candidate(const struct fb_loop *loop);
size_t fb_places_question(const struct fb_loop *loop, fb_bytes argv[3]);
/* The answer came, or none: with a reason. */
void fb_places_heard(struct fb_loop *loop, fb_bytes reply);
void fb_places_unheard(struct fb_loop *loop, const char *reason);
/* upstream.c: those that wait for an address may go on, or may not. */
void fb_upstreams_found(struct fb_loop *loop);
void fb_upstreams_not_found(struct fb_loop *loop, const char *reason);
bool fb_upstream_scout(struct fb_loop *loop);

#endif
