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
    c->io.fd = -1;
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
    c->io.tls = fb_tls_free(c->io.tls);
    if (c->io.fd >= 0)
        (void)close(c->io.fd);
    c->io.fd = -1;
    c->in.len = c->in_used = c->in_need = 0;
}

/* TLS has records of its own, so bytes there need not be a hang-up; what they are only OpenSSL can say. */
bool fb_connection_is_quiet(struct fb_connection *c) {
    char byte;
    if (c->io.fd < 0 || c->in_used < c->in.len)
        return false;
    if (c->io.tls == NULL)
        return recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    c->in.len = c->in_used = 0;
    return fb_buf_reserve(&c->in, FB_TLS_RECORD) == FB_OK && fb_tls_receive(c->io.tls, c->in.data, c->in.cap) < 0 &&
           errno == EAGAIN;
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

/* FB_OK, or FB_PENDING: it is under way. */
static fb_status connect_to(struct fb_connection *c, const struct sockaddr *address, socklen_t len, fb_err *reterr) {
    c->io.fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->io.fd < 0)
        return fb_fail(reterr, FB_SYSTEM, "socket: %s", strerror(errno));
    int error = connect(c->io.fd, address, len) == 0 ? 0 : errno;
    if (error != 0 && error != EINPROGRESS) {
        fb_connection_close(c);
        return fb_fail(reterr, FB_DOWN, "no connection: %s", strerror(error));
    }
    if (address->sa_family != AF_UNIX) {
        int on = 1;
        (void)setsockopt(c->io.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return error == 0 ? FB_OK : FB_PENDING;
}

static fb_status finish_connecting(struct fb_connection *c, fb_instant deadline, fb_err *reterr) {
    int error = 0;
    socklen_t size = sizeof error;
    if (wait_for(c->io.fd, POLLOUT, deadline) == 0)
        error = ETIMEDOUT;
    else if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error == 0)
        return FB_OK;
    fb_connection_close(c);
    return fb_fail(reterr, FB_DOWN, "no connection: %s", strerror(error));
}

static fb_status connect_unix(struct fb_connection *c, const char *path, fb_err *reterr) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return fb_fail(reterr, FB_CONFIG, "a socket's path has at most %zu bytes", sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, len + 1);
    return connect_to(c, (const struct sockaddr *)&address, sizeof address, reterr);
}

static fb_status resolve(const struct fb_endpoint *to, struct addrinfo **ret_found, fb_err *reterr) {
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    (void)snprintf(service, sizeof service, "%u", to->port);
    int error = getaddrinfo(to->host, service, &hints, ret_found);
    return error == 0 ? FB_OK : fb_fail(reterr, FB_DOWN, "%s: %s", to->host, gai_strerror(error));
}

static fb_status begin_tls(struct fb_connection *c, const struct fb_endpoint *to, fb_err *reterr) {
    if (to->tls == NULL || to->path != NULL)
        return FB_OK;
    c->io.tls = fb_tls_new_client(to->tls, c->io.fd, to->host);
    if (c->io.tls != NULL)
        return FB_OK;
    fb_connection_close(c);
    return fb_fail(reterr, FB_DOWN, "out of memory for TLS");
}

fb_status fb_connection_open(struct fb_connection *c, const struct fb_endpoint *to, fb_instant deadline, fb_err *reterr) {
    struct addrinfo *found = NULL;
    fb_connection_close(c);
    fb_connection_start(c);
    fb_status status = to->path != NULL ? connect_unix(c, to->path, reterr) : resolve(to, &found, reterr);
    if (to->path != NULL)
        return status < FB_OK ? status : FB_OK;
    if (status != FB_OK)
        return status;
    status = FB_DOWN;
    for (struct addrinfo *a = found; a != NULL && status != FB_OK; a = a->ai_next)
        if ((status = connect_to(c, a->ai_addr, a->ai_addrlen, reterr)) == FB_PENDING)
            status = finish_connecting(c, deadline, reterr);
    freeaddrinfo(found);
    return status == FB_OK ? begin_tls(c, to, reterr) : status;
}

fb_status fb_connection_begin(struct fb_connection *c, const struct fb_endpoint *to, unsigned attempt, fb_err *reterr) {
    struct addrinfo *found = NULL, *a;
    fb_connection_close(c);
    fb_connection_start(c);
    fb_status status = to->path != NULL ? connect_unix(c, to->path, reterr) : resolve(to, &found, reterr);
    if (to->path != NULL)
        return status < FB_OK ? status : FB_OK;
    if (status != FB_OK)
        return status;
    for (a = found; attempt > 0; attempt--)
        a = a->ai_next != NULL ? a->ai_next : found;
    status = connect_to(c, a->ai_addr, a->ai_addrlen, reterr);
    freeaddrinfo(found);
    return status >= FB_OK ? begin_tls(c, to, reterr) : status;
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

static fb_status fail_lost(const struct fb_connection *c, fb_err *reterr) {
    bool is_tls = c->io.tls != NULL && errno == EPROTO;
    return fb_fail(reterr, FB_DOWN, "the connection is lost: %s", is_tls ? fb_tls_reason(c->io.tls) : strerror(errno));
}

static fb_status send_some(struct fb_connection *c, fb_err *reterr) {
    while (c->out_sent < c->out.buf.len) {
        ssize_t n = fb_transport_send(&c->io, c->out.buf.data + c->out_sent, c->out.buf.len - c->out_sent);
        if (n > 0)
            c->out_sent += (size_t)n;
        else if (errno == EAGAIN)
            return FB_OK;
        else if (errno != EINTR)
            return fail_lost(c, reterr);
    }
    return FB_OK;
}

static fb_status read_some(struct fb_connection *c, bool *ret_has_more, fb_err *reterr) {
    *ret_has_more = false;
    if (c->in_used == c->in.len) {
        c->in_used = c->in.len = 0;
    } else if (c->in_used > READ_AT_ONCE && c->in_used > c->in.len / 2) {
        memmove(c->in.data, c->in.data + c->in_used, c->in.len - c->in_used);
        c->in.len -= c->in_used;
        c->in_used = 0;
    }
    if (fb_buf_reserve(&c->in, READ_AT_ONCE) != FB_OK)
        return fb_fail(reterr, FB_DOWN, "out of memory for a reply");
    ssize_t n = fb_transport_receive(&c->io, c->in.data + c->in.len, c->in.cap - c->in.len);
    if (n > 0)
        c->in.len += (size_t)n;
    else if (n == 0)
        return fb_fail(reterr, FB_DOWN, "the server hung up");
    else if (errno != EAGAIN && errno != EINTR)
        return fail_lost(c, reterr);
    *ret_has_more = n > 0;
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
        if (c->wants_pushes || c->reply.items[0].type != FB_RESP_PUSH)
            return FB_OK;
    }
    return FB_MISS;
}

fb_status fb_connection_step(struct fb_connection *c, fb_err *reterr) {
    if (c->io.fd < 0)
        return fb_fail(reterr, FB_DOWN, "not connected");
    if (c->out.failed)
        return fb_fail(reterr, FB_DOWN, "out of memory for a request");
    fb_err sending = {.status = FB_OK};
    for (;;) {
        /* Who hangs up may have answered before: that is read first. */
        if (!c->is_cut_off && send_some(c, &sending) != FB_OK)
            c->is_cut_off = true;
        fb_status status = parse(c, reterr);
        if (status != FB_MISS)
            return status;
        bool has_more;
        if ((status = read_some(c, &has_more, reterr)) != FB_OK) {
            if (sending.status != FB_OK && reterr != NULL) /* the first reason is the better one */
                *reterr = sending;
            return status;
        }
        if (!has_more)
            return FB_MISS;
    }
}

short fb_connection_events(const struct fb_connection *c) {
    bool has_more = !c->is_cut_off && c->out_sent < c->out.buf.len;
    int wanted = FB_TLS_READABLE | (has_more ? FB_TLS_WRITABLE : 0);
    if (c->io.tls != NULL)
        wanted = fb_tls_events(c->io.tls, wanted);
    return (short)(((wanted & FB_TLS_READABLE) != 0 ? POLLIN : 0) | ((wanted & FB_TLS_WRITABLE) != 0 ? POLLOUT : 0));
}

fb_status fb_connection_next(struct fb_connection *c, fb_instant deadline, fb_err *reterr) {
    for (;;) {
        fb_status status = fb_connection_step(c, reterr);
        if (status != FB_MISS)
            return status;
        if (wait_for(c->io.fd, fb_connection_events(c), deadline) == 0)
            return fb_fail(reterr, FB_DOWN, "no answer within the time allowed");
    }
}
