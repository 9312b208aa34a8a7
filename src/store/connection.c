/* A socket that never blocks in itself: poll() and a deadline do the waiting. It sends and reads at the same time, so
 * that a batch larger than the buffers between here and there cannot stop both sides. */
#include "store/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

enum {
    READ_AT_ONCE = 16 * 1024,
    NODES_MAX = 1 << 20,             /* values in one reply: half a million fields */
    VALUE_MAX = 64 << 20,
    KEPT_MAX = 1 << 20,              /* of a buffer between two batches */
};

void fb_connection_init(struct fb_connection *c, size_t value_max) {
    memset(c, 0, sizeof *c);
    c->fd = -1;
    c->out = (struct fb_resp_out)FB_RESP_OUT_INIT;
    c->limits.nodes_max = NODES_MAX;
    c->limits.bulk_max = value_max > 0 ? value_max : VALUE_MAX;
}

void fb_connection_finish(struct fb_connection *c) {
    fb_connection_close(c);
    fb_buf_free(&c->in);
    fb_buf_free(&c->out.buf);
    fb_resp_reply_finish(&c->reply);
}

void fb_connection_close(struct fb_connection *c) {
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    c->in.len = c->in_used = c->in_need = 0;
}

bool fb_connection_is_quiet(const struct fb_connection *c) {
    char byte;
    return c->fd >= 0 && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------
 * */

/* What the socket is ready for; 0 when the deadline has passed. */
static short wait_for(int fd, short events, fb_instant deadline) {
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = fb_span_ms(fb_since(deadline, fb_clock_now())) + 1;
        if (left <= 0)
            return 0;
        int n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0)
            return p.revents;
        if (n == 0 || errno != EINTR)
            return 0;
    }
}

/* ---- connecting -------------------------------------------------------------------------------------------------
 * */

static fb_status connect_to(struct fb_connection *c, const struct sockaddr *address, socklen_t len, fb_instant deadline,
                            fb_err *reterr) {
    c->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return fb_fail(reterr, FB_SYSTEM, "socket: %s", strerror(errno));
    int error = connect(c->fd, address, len) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        socklen_t size = sizeof error;
        if (wait_for(c->fd, POLLOUT, deadline) == 0)
            error = ETIMEDOUT;
        else if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
    }
    if (error != 0) {
        fb_connection_close(c);
        return fb_fail(reterr, FB_DOWN, "no connection: %s", strerror(error));
    }
    if (address->sa_family != AF_UNIX) {
        int on = 1;
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return FB_OK;
}

static fb_status connect_unix(struct fb_connection *c, const char *path, fb_instant deadline, fb_err *reterr) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return fb_fail(reterr, FB_CONFIG, "a socket's path has at most %zu bytes", sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, len + 1);
    return connect_to(c, (const struct sockaddr *)&address, sizeof address, deadline, reterr);
}

static fb_status connect_tcp(struct fb_connection *c, const char *host, unsigned port, fb_instant deadline,
                             fb_err *reterr) {
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    (void)snprintf(service, sizeof service, "%u", port);
    int error = getaddrinfo(host, service, &hints, &found);
    if (error != 0)
        return fb_fail(reterr, FB_DOWN, "%s: %s", host, gai_strerror(error));
    fb_status status = FB_DOWN;
    for (struct addrinfo *a = found; a != NULL && status != FB_OK; a = a->ai_next)
        status = connect_to(c, a->ai_addr, a->ai_addrlen, deadline, reterr);
    freeaddrinfo(found);
    return status;
}

fb_status fb_connection_open(struct fb_connection *c, const struct fb_store_redis_options *options, fb_instant deadline,
                             fb_err *reterr) {
    fb_connection_close(c);
    fb_connection_start(c);
    return options->path != NULL ? connect_unix(c, options->path, deadline, reterr)
                                 : connect_tcp(c, options->host, options->port, deadline, reterr);
}

/* ---- sending and reading ----------------------------------------------------------------------------------------
 * */

void fb_connection_start(struct fb_connection *c) {
    if (c->out.buf.cap > KEPT_MAX)
        fb_buf_free(&c->out.buf);
    if (c->in.cap > KEPT_MAX && c->in_used == c->in.len) {
        fb_buf_free(&c->in);
        c->in_used = 0;
    }
    c->out.buf.len = 0;
    c->out.version = 3;
    c->out.failed = false;
    c->out_sent = 0;
    c->is_cut_off = false;
}

/* MSG_NOSIGNAL: a library must not die of the other side's hanging up. */
static fb_status send_some(struct fb_connection *c, fb_err *reterr) {
    while (c->out_sent < c->out.buf.len) {
        ssize_t n = send(c->fd, c->out.buf.data + c->out_sent, c->out.buf.len - c->out_sent, MSG_NOSIGNAL);
        if (n > 0)
            c->out_sent += (size_t)n;
        else if (errno == EAGAIN)
            return FB_OK;
        else if (errno != EINTR)
            return fb_fail(reterr, FB_DOWN, "the connection is lost: %s", strerror(errno));
    }
    return FB_OK;
}

static fb_status read_some(struct fb_connection *c, fb_err *reterr) {
    if (c->in_used == c->in.len) {
        c->in_used = c->in.len = 0;
    } else if (c->in_used > READ_AT_ONCE && c->in_used > c->in.len / 2) {
        memmove(c->in.data, c->in.data + c->in_used, c->in.len - c->in_used);
        c->in.len -= c->in_used;
        c->in_used = 0;
    }
    if (fb_buf_reserve(&c->in, READ_AT_ONCE) != FB_OK)
        return fb_fail(reterr, FB_DOWN, "out of memory for a reply");
    ssize_t n = recv(c->fd, c->in.data + c->in.len, c->in.cap - c->in.len, 0);
    if (n > 0)
        c->in.len += (size_t)n;
    else if (n == 0)
        return fb_fail(reterr, FB_DOWN, "the server hung up");
    else if (errno != EAGAIN && errno != EINTR)
        return fb_fail(reterr, FB_DOWN, "the connection is lost: %s", strerror(errno));
    return FB_OK;
}

/* FB_OK: a reply is there. FB_MISS: not yet. */
static fb_status parse(struct fb_connection *c, fb_err *reterr) {
    while (c->in.len - c->in_used >= (c->in_need > 0 ? c->in_need : 1)) {
        const char *start = c->in.data + c->in_used;
        size_t size = 0;
        switch (fb_resp_reply(start, c->in.data + c->in.len, &c->limits, &c->reply, &size, reterr)) {
        case FB_RESP_DONE: break;
        case FB_RESP_MORE: c->in_need = size; return FB_MISS;
        case FB_RESP_BAD: return fb_err_prefix(reterr, "no Redis speaks so: "), FB_DOWN;
        default: return fb_fail(reterr, FB_DOWN, "out of memory for a reply");
        }
        c->in_used += size;
        c->in_need = 0;
        if (c->reply.items[0].type != FB_RESP_PUSH)
            return FB_OK;
    }
    return FB_MISS;
}

fb_status fb_connection_next(struct fb_connection *c, fb_instant deadline, fb_err *reterr) {
    if (c->fd < 0)
        return fb_fail(reterr, FB_DOWN, "not connected");
    if (c->out.failed)
        return fb_fail(reterr, FB_DOWN, "out of memory for a request");
    for (;;) {
        /* Who hangs up may have answered before: that is read first. */
        c->is_cut_off = c->is_cut_off || send_some(c, reterr) != FB_OK;
        fb_status status = parse(c, reterr);
        if (status != FB_MISS)
            return status;
        bool has_more = !c->is_cut_off && c->out_sent < c->out.buf.len;
        short ready = wait_for(c->fd, (short)(POLLIN | (has_more ? POLLOUT : 0)), deadline);
        if (ready == 0)
            return fb_fail(reterr, FB_DOWN, "no answer within the time allowed");
        if ((ready & ~POLLOUT) != 0 && (status = read_some(c, reterr)) != FB_OK)
            return status;
    }
}
