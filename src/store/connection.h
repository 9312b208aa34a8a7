/* One blocking connection to a Redis: bytes out, replies in, every wait with a deadline. */
#ifndef FB_STORE_CONNECTION_H
#define FB_STORE_CONNECTION_H

#include "proto/resp.h"
#include "store/store.h"

struct fb_connection {
    int fd;                      /* −1: none */
    fb_buf in;
    size_t in_used;              /* of `in`, by replies already taken */
    size_t in_need;              /* bytes from in_used that the next reply needs at least */
    struct fb_resp_out out;
    size_t out_sent;             /* handed to the kernel */
    bool is_cut_off;             /* nothing more can be sent */
    struct fb_resp_reply reply;  /* the last one; its texts point into `in` until the next is asked for */
    struct fb_resp_reply_limits limits;
};

void fb_connection_init(struct fb_connection *c, size_t value_max);
void fb_connection_finish(struct fb_connection *c);
fb_status fb_connection_open(struct fb_connection *c, const struct fb_store_redis_options *options, fb_instant deadline,
                             fb_err *reterr);
void fb_connection_close(struct fb_connection *c);
/* Open, and the other side has not hung up since the last reply: what is sent now is not lost for a known reason. */
bool fb_connection_is_quiet(const struct fb_connection *c);

/* Forget what was sent; what is written to `out` from now on goes out with fb_connection_next. */
void fb_connection_start(struct fb_connection *c);
/* Send what is left and read until one more reply is there (pushes are passed over). FB_DOWN: the connection is of no
 * use any more; fb_connection_close is the caller's. */
fb_status fb_connection_next(struct fb_connection *c, fb_instant deadline, fb_err *reterr);

#endif
