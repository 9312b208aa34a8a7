/* What the files about a connection share, and nobody else: upstream.c sends and takes replies, upstream_connect.c makes
 * the connection, upstream_set.c keeps all of a loop. */
#ifndef FB_SERVER_UPSTREAM_PARTS_H
#define FB_SERVER_UPSTREAM_PARTS_H

#include <netdb.h>

#include "base/transport.h"
#include "server/upstream.h"

/* SEEKING: the Sentinels are being asked where it is. */
enum fb_upstream_state {
    FB_UPSTREAM_CLOSED, FB_UPSTREAM_SEEKING, FB_UPSTREAM_RESOLVING, FB_UPSTREAM_CONNECTING, FB_UPSTREAM_GREETING,
    FB_UPSTREAM_READY,
};

/* A socket with its handle, which outlives the connection by a turn of the loop. */
struct fb_upstream_line {
    uv_poll_t poll;
    struct fb_upstream *upstream;
    struct fb_transport io;
    int events;
};

struct fb_upstream_resolving {
    uv_getaddrinfo_t request;
    struct fb_upstream *upstream; /* NULL: nobody waits for it any more */
};

struct fb_upstream {
    struct fb_loop *loop;
    struct fb_upstreams *set;
    struct fb_link link;       /* in all */
    struct fb_link dirty;
    unsigned version, db, node;
    struct fb_store_address at; /* where it is connected to */
    uint64_t id;               /* what the store calls it, of one that may block; 0: not known. Written under loop->lock */
    bool is_own, is_full, is_scout;
    bool is_doubted;           /* is closed when nothing is owed on it */
    bool is_taking, is_dropped; /* replies are being handed on; and it is to be freed behind the last */
    enum fb_upstream_state state;
    struct fb_upstream_line *line;
    struct fb_upstream_resolving *resolving;
    struct addrinfo *addresses, *next;
    fb_instant since;          /* of the state, of the last byte that came, or of the oldest request */
    uint32_t used;             /* tick of the last request */
    fb_buf login;              /* what is said first */
    size_t greeted;            /* bytes of it that have been sent */
    fb_buf hello;              /* the replies to it */
    unsigned epoch;            /* connections it has had */
    unsigned greetings;        /* of them still to come */
    unsigned favours;          /* the last of them, which may be refused */
    fb_buf out;
    size_t sent;
    struct fb_link asked;      /* waits, by their message.link, oldest first */
    struct fb_resp_follow follow;
    bool is_listener;          /* pushes are handed on to: */
    struct fb_session_ref listener;
    fb_buf push;               /* the one that is coming */
};

static inline struct fb_upstreams *fb_upstream_set(const struct fb_upstream *u) { return u->set; }
static inline const struct fb_store *fb_upstream_store(const struct fb_upstream *u) { return u->set->store; }
static inline const struct fb_store_url *fb_upstream_url(const struct fb_upstream *u) { return &u->set->store->url; }
static inline struct fb_place_state *fb_upstream_place(const struct fb_upstream *u) {
    return &u->set->places.states[u->node];
}
static inline bool fb_upstream_is_peer(const struct fb_upstream *u) { return u->set->is_peers; }
static inline size_t fb_upstream_unsent(const struct fb_upstream *u) { return u->out.len - u->sent; }

/* ---- upstream.c ---- */

struct fb_upstream *fb_upstream_new(struct fb_upstreams *set, unsigned version, unsigned db, unsigned node, bool is_own);
void fb_upstream_discard(struct fb_upstream *upstream);
/* The connection is lost, for a reason that whoever waits on it is told. */
void fb_upstream_lose(struct fb_upstream *upstream, const char *reason);
void fb_upstream_shut(struct fb_upstream *upstream);
void fb_upstream_set_id(struct fb_upstream *upstream, uint64_t id);
void fb_upstream_close_line(struct fb_upstream *upstream);
void fb_upstream_forget_addresses(struct fb_upstream *upstream);
void fb_upstream_forget_login(struct fb_upstream *upstream);
/* Wait for what the socket has to be waited for now. */
void fb_upstream_watch(struct fb_upstream *upstream);
/* Something is to be sent in this turn. */
void fb_upstream_mark(struct fb_upstream *upstream);
bool fb_upstream_append(fb_buf *out, const fb_bytes *argv, size_t argc);
/* For the log: it is lost; without a reason, back. */
void fb_upstream_tell(const struct fb_upstream *upstream, const char *reason);
void fb_upstreams_end_over(struct fb_upstreams *set);

/* ---- upstream_connect.c ---- */

void fb_upstream_begin(struct fb_upstream *upstream);
/* The socket says that it is connected, or that it cannot be. */
void fb_upstream_connected(struct fb_upstream *upstream);
/* More of the login can be sent; a reply to it is complete. */
void fb_upstream_login(struct fb_upstream *upstream);
void fb_upstream_greeted(struct fb_upstream *upstream);

#endif
