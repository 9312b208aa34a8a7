/* Connections of one loop to the store, or to other Forebays (forward.h): requests out, replies home to the waits that
 * asked, in their order.
 *
 * A loop shares one connection per protocol version and database (in a Cluster, node) among its sessions, opened when the
 * first request needs it; requests of all sessions of one turn of the loop leave in one write. A request that may block has a connection of
 * its session's own. Requests are sent as they came and replies are handed on as they come, each whole: until its last
 * byte is here a reply can still become an error, when the connection is lost.
 *
 *   U1 a reply goes to the oldest request that has none; a connection on which that is not certain is closed
 *   U2 no request is sent before the connection is logged in and in its database
 *   U3 whoever asked gets one reply: the store's, or an error
 *
 * Bounds. Unsent bytes: FB_UPSTREAM_UNSENT and one request; then sessions wait (fb_upstreams_are_full). Requests under way
 * are counted in loop->operations. A reply longer than output_buffer_max becomes an error. Silence while an answer is
 * owed: store.timeout; login: store.connect_timeout. After a failure nothing is tried at that node for a while, and what asks
 * meanwhile is refused at once. */
#ifndef FB_SERVER_UPSTREAM_H
#define FB_SERVER_UPSTREAM_H

#include "base/store_url.h"
#include "proto/follow.h"
#include "server/call.h"
#include "server/places.h"

enum {
    FB_UPSTREAM_UNSENT = 1 << 20,
    FB_UPSTREAM_BACKOFF_FIRST_MS = 50,
    FB_UPSTREAM_BACKOFF_MAX_MS = 2000,
    FB_UPSTREAM_IDLE_SECONDS = 300, /* a shared connection that nobody asks so long is closed */
    FB_UPSTREAM_VERSIONS = 2,       /* RESP2, RESP3 */
    FB_UPSTREAM_REASON_MAX = 160,
};

/* What the server knows of its store. */
struct fb_store {
    struct fb_store_url url;
    char shown[FB_STORE_TEXT_MAX + 16];
    char lacks[FB_UPSTREAM_REASON_MAX]; /* why there is none; empty: there is */
    struct fb_tls_context *tls;     /* NULL: plain */
    int64_t connect_timeout_ms, timeout_ms;
};

/* One writer, the loop; any reader. X(name, what) */
#define FB_UPSTREAM_COUNTERS(X)                                                                                        \
    X(passed, "requests sent to the store")                                                                            \
    X(split, "requests of which the store got a part")                                                                 \
    X(unanswered, "requests that got an error because the store could not be asked, or did not answer")                \
    X(refused, "requests refused because they would touch mapped keys")                                                \
    X(connects, "connections made to the store")                                                                       \
    X(connections, "connections to the store now")                                                                     \
    X(bytes_out, "bytes sent to the store")                                                                            \
    X(bytes_in, "bytes that came from the store")

/* The same as plain numbers: sums over the loops. */
struct fb_upstream_sums {
#define FB_UPSTREAM_SUM_(name, what) uint64_t name;
    FB_UPSTREAM_COUNTERS(FB_UPSTREAM_SUM_)
#undef FB_UPSTREAM_SUM_
};
/* Any thread, until the server is freed. */
void fb_upstreams_sum(const struct fb_server *server, bool is_peers, struct fb_upstream_sums *ret_sums);

struct fb_upstream;

/* Of one loop. */
struct fb_upstreams {
    struct fb_loop *loop;
    const struct fb_store *store;
    bool is_peers;            /* other Forebays, each a node; there is no database but the first */
    struct fb_upstream *shared[FB_UPSTREAM_VERSIONS][FB_DATABASES]; /* of a Cluster, and of peers, there is one and: */
    struct fb_upstream *(*of_nodes)[FB_TOPOLOGY_NODES_MAX];         /* by version and node; NULL: it is neither */
    struct fb_places places;
    struct fb_link all;       /* shared and own */
    struct fb_link dirty;     /* with something to be sent */
    struct fb_link over;      /* scattered requests that were over at once, by message.link */
    uv_prepare_t flush;       /* runs while there are any */
    size_t split_at;          /* of a request being split: its last key that was ours */
    unsigned full;            /* shared ones beyond FB_UPSTREAM_UNSENT */
    struct {
#define FB_UPSTREAM_COUNTER_(name, what) _Atomic uint64_t name;
        FB_UPSTREAM_COUNTERS(FB_UPSTREAM_COUNTER_)
#undef FB_UPSTREAM_COUNTER_
    } counters;
};

/* loop->upstreams and loop->peers, NULL where there is no store, or nothing is forwarded. FB_NOMEM. */
fb_status fb_upstreams_init(struct fb_loop *loop);
/* Connections and handle, in the loop's last turn; the memory with its counters, when nobody reads figures any more. */
void fb_upstreams_close(struct fb_loop *loop);
void fb_upstreams_free(struct fb_loop *loop);
/* Once a second: timeouts. */
void fb_upstreams_tick(struct fb_loop *loop);
/* End this scattered request before the loop waits again. */
void fb_upstreams_later(struct fb_upstreams *all, struct fb_wait *wait);
/* Sessions that ask have to wait until more has been sent. */
bool fb_upstreams_are_full(const struct fb_loop *loop);

/* The connection for this version (2, 3), the client's database and the node (places.h); NULL: no memory. */
struct fb_upstream *fb_upstream_shared(struct fb_upstreams *all, unsigned version, unsigned db, unsigned node);
/* One on which a session listens (relay.h), in RESP3, to this node; NULL: no memory. */
struct fb_upstream *fb_upstream_listen(struct fb_loop *loop, struct fb_session_ref session, unsigned node);
/* One for a session alone; NULL: no memory. */
struct fb_upstream *fb_upstream_own(struct fb_upstreams *all, unsigned version, unsigned db, unsigned node);
/* Of a session that ends or starts anew; what is under way there is nobody's any more. NULL accepted. */
void fb_upstream_drop(struct fb_upstream *upstream);
/* Is it one of these, for this version, the client's database and the node? */
bool fb_upstream_is(const struct fb_upstream *upstream, const struct fb_upstreams *all, unsigned version, unsigned db,
                    unsigned node);
/* May something be asked now? If not, `why` says why not. */
bool fb_upstream_may_ask(struct fb_upstream *upstream, char *why, size_t size);
/* Send a request whose reply is the wait's; only after fb_upstream_may_ask. False: no memory, nothing is sent. */
bool fb_upstream_ask(struct fb_upstream *upstream, struct fb_wait *wait, const fb_bytes *argv, size_t argc);
/* A request in front of one that is asked next; its reply is one of those the wait skips. */
bool fb_upstream_say(struct fb_upstream *upstream, const fb_bytes *argv, size_t argc);
/* Where it is connected to, and how; by what was answered it may be no primary any more: another is made. */
const char *fb_upstream_host(const struct fb_upstream *upstream);
unsigned fb_upstream_node(const struct fb_upstream *upstream);
unsigned fb_upstream_version(const struct fb_upstream *upstream);
void fb_upstream_doubt(struct fb_upstream *upstream);
/* What the store calls this connection, which is a session's own, and where that is; false: it has not said so, or there is
 * no connection now. Any thread, under the loop's lock. */
bool fb_upstream_is_known(const struct fb_upstream *upstream, uint64_t *ret_id, struct fb_store_address *ret_at);
/* When the last byte came on it, or its oldest request was sent. */
fb_instant fb_upstream_since(const struct fb_upstream *upstream);
/* Another number for every connection it has had. */
unsigned fb_upstream_epoch(const struct fb_upstream *upstream);

#endif
