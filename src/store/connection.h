/* One connection to a Redis, plain or through TLS: bytes out, replies in. It never blocks in itself: fb_connection_step
 * does what can be done now, fb_connection_next waits with a deadline. */
#ifndef FB_STORE_CONNECTION_H
#define FB_STORE_CONNECTION_H

#include "base/time.h"
#include "base/transport.h"
#include "proto/resp.h"

/* Where to. Borrowed. */
struct fb_endpoint {
    const char *path;            /* a unix socket, or */
    const char *host;
    unsigned port;
    struct fb_tls_context *tls;  /* NULL: plain */
};

struct fb_connection {
    struct fb_transport io;      /* fd −1: none */
    fb_buf in;
    size_t in_used;              /* of `in`, by replies already taken */
    size_t in_need;              /* bytes from in_used that the next reply needs at least */
    struct fb_resp_out out;
    size_t out_sent;             /* handed to the kernel */
    bool is_cut_off;             /* nothing more can be sent */
    bool wants_pushes;           /* else they are passed over */
    struct fb_resp_reply reply;  /* the last one; its texts point into `in` until the next is asked for */
    struct fb_resp_reply_limits limits;
};

void fb_connection_init(struct fb_connection *c, size_t value_max);
void fb_connection_finish(struct fb_connection *c);
/* Connect to the first address that takes the connection. TLS begins with the first bytes sent. */
fb_status fb_connection_open(struct fb_connection *c, const struct fb_endpoint *to, fb_instant deadline, fb_err *reterr);
/* The same without waiting: steps find out whether it is there. `attempt`: which of the name's addresses, round and
 * round. */
fb_status fb_connection_begin(struct fb_connection *c, const struct fb_endpoint *to, unsigned attempt, fb_err *reterr);
void fb_connection_close(struct fb_connection *c);
static inline bool fb_connection_is_open(const struct fb_connection *c) { return c->io.fd >= 0; }
/* Open, and the other side has not hung up since the last reply: what is sent now is not lost for a known reason. */
bool fb_connection_is_quiet(struct fb_connection *c);

/* Forget what was sent; what is written to `out` from now on goes out with the next step. */
void fb_connection_start(struct fb_connection *c);
/* Send and read what can be now. FB_OK: a reply. FB_MISS: not yet; wait for fb_connection_events. FB_DOWN: the connection
 * is of no use any more; closing it is the caller's. */
fb_status fb_connection_step(struct fb_connection *c, fb_err *reterr);
/* What poll() should wait for. */
short fb_connection_events(const struct fb_connection *c);
/* Steps until one more reply is there. FB_DOWN also when the deadline has passed. */
fb_status fb_connection_next(struct fb_connection *c, fb_instant deadline, fb_err *reterr);

#endif
