/* Which primary serves which slot: what a Cluster says of itself, as one immutable map. */
#ifndef FB_PROTO_TOPOLOGY_H
#define FB_PROTO_TOPOLOGY_H

#include <stdatomic.h>

#include "base/store_url.h"
#include "proto/resp.h"
#include "proto/slot.h"

enum { FB_NODE_NONE = 0xffff, FB_TOPOLOGY_NODES_MAX = 256 };

struct fb_topology {
    _Atomic unsigned refs;
    uint64_t generation;         /* another for every change */
    uint64_t epoch;              /* raised when a server was found not to be what it was: connect anew */
    unsigned count;
    struct fb_store_address nodes[FB_TOPOLOGY_NODES_MAX];
    uint16_t slots[FB_SLOTS];    /* of each the node, or FB_NODE_NONE */
};

/* With one reference and no node; NULL: no memory. */
struct fb_topology *fb_topology_new(void);
struct fb_topology *fb_topology_ref(struct fb_topology *topology);
struct fb_topology *fb_topology_unref(struct fb_topology *topology); /* NULL accepted and returned */
/* The node of this address, added if it is new; FB_NODE_NONE: there are too many. */
unsigned fb_topology_node(struct fb_topology *topology, const char *host, unsigned port);
void fb_topology_clear(struct fb_topology *topology);
/* One node that serves everything. */
void fb_topology_only(struct fb_topology *topology, const char *host, unsigned port);
/* Slots, the nodes that serve them, and the epoch. */
void fb_topology_copy(struct fb_topology *to, const struct fb_topology *from);
/* Of two that were copied. */
bool fb_topology_is_same(const struct fb_topology *a, const struct fb_topology *b);

/* From the reply to CLUSTER SLOTS. A node that does not say where it is, is where we asked. FB_DOWN: why. */
fb_status fb_topology_read(const struct fb_resp_reply *reply, const char *asked, struct fb_topology *topology,
                           fb_err *reterr);

/* "MOVED 123 10.0.0.1:7000", "ASK …"; an empty host is the one asked. False: it is not of that form. */
struct fb_redirect { unsigned slot; struct fb_store_address to; };
bool fb_redirect_read(fb_bytes error, const char *asked, struct fb_redirect *ret_redirect);

#endif
