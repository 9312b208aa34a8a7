/* A load generator: connections, batches, the loop. */
#include "cli/bench_load.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/bench_draw.h"
#include "cli/bench_reply.h"

enum {
    READ_SIZE = 256 * 1024,  /* one read takes what a deep pipeline of small values has brought */
    EVENTS_MAX = 256,
    FILL_PIPELINE = 64,
    STALL_MS = 10000,        /* no reply from anybody for this long: the server hangs, and so would we */
};

enum phase { PHASE_HELLO, PHASE_FILL, PHASE_WARM_UP, PHASE_MEASURE };

struct connection {
    int fd;
    bool wants_write;        /* registered for EPOLLOUT */
    unsigned awaited;        /* replies of the batch still to come */
    fb_buf out;              /* the batch; reused */
    size_t out_sent;
    fb_instant sent_at;
    struct fb_rng rng;
    struct fb_reply_scan replies;
};

struct load {
    const struct fb_load_options *o;
    struct fb_load_result *result;
    struct connection *connections;
    char *in;                /* READ_SIZE bytes, shared: replies are scanned where they lie */
    int epoll;
    enum phase phase;
    unsigned busy;           /* connections with a batch under way */
    uint64_t issued;         /* requests begun in this phase */
    uint64_t to_issue;       /* of at most so many */
    uint64_t errors_before;  /* of all connections when the phase began */
    uint64_t nils_before;
    struct fb_draw draw;
    fb_err *reterr;
};

/* ---- requests --------------------------------------------------------------------------------------------------- */

static size_t put_number(char *out, uint64_t number, unsigned width) {
    char digits[20];
    size_t n = 0, len = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    for (size_t pad = n; pad < width; pad++)
        out[len++] = '0';
    while (n > 0)
        out[len++] = digits[--n];
    return len;
}

size_t fb_load_key_format(const struct fb_load_keys *keys, uint64_t number, char out[FB_LOAD_KEY_MAX]) {
    size_t prefix = strlen(keys->prefix), suffix = strlen(keys->suffix);
    memcpy(out, keys->prefix, prefix);
    size_t len = prefix + (keys->width > 0 ? put_number(out + prefix, number, keys->width) : 0);
    memcpy(out + len, keys->suffix, suffix);
    return len + suffix;
}

static fb_status put_bulk(fb_buf *out, const char *data, size_t len) {
    if (fb_buf_reserve(out, len + 32) != FB_OK)
        return FB_NOMEM;
    char *p = out->data + out->len;
    *p++ = '$';
    p += put_number(p, len, 0);
    memcpy(p, "\r\n", 2);
    memcpy(p + 2, data, len);
    memcpy(p + 2 + len, "\r\n", 2);
    out->len = (size_t)(p + len + 4 - out->data);
    return FB_OK;
}

static fb_status put_request(struct load *l, struct connection *c, bool is_write, uint64_t index) {
    char key[FB_LOAD_KEY_MAX];
    size_t key_len = fb_load_key_format(&l->o->keys, l->o->keys.first + index, key);
    const char *command = is_write ? "SET" : l->o->read;
    fb_status s = fb_buf_append(&c->out, is_write ? "*3\r\n" : "*2\r\n", 4);
    if (s == FB_OK)
        s = put_bulk(&c->out, command, strlen(command));
    if (s == FB_OK)
        s = put_bulk(&c->out, key, key_len);
    if (s == FB_OK && is_write)
        s = put_bulk(&c->out, l->o->value.data, l->o->value.len);
    return s;
}

static fb_status build_batch(struct load *l, struct connection *c, unsigned n) {
    c->out.len = c->out_sent = 0;
    for (unsigned i = 0; i < n; i++) {
        bool is_write = false;
        uint64_t index;
        if (l->phase == PHASE_FILL) {
            is_write = l->o->fill == FB_LOAD_FILL_WRITE;
            index = l->issued + i;
        } else {
            is_write = l->o->writes_percent > 0 && fb_rng_below(&c->rng, 100) < l->o->writes_percent;
            index = fb_draw_next(&l->draw, &c->rng);
            l->result->writes += is_write && l->phase == PHASE_MEASURE;
        }
        if (put_request(l, c, is_write, index) != FB_OK)
            return fb_fail(l->reterr, FB_NOMEM, "no memory for a batch of %u requests", n);
    }
    return FB_OK;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static int connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int connect_any(const struct addrinfo *list) {
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol), one = 1;
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            return fd;
        }
        if (fd >= 0)
            close(fd);
    }
    return -1;
}

static fb_status connect_all(struct load *l) {
    const struct fb_load_options *o = l->o;
    struct addrinfo *list = NULL, hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    fb_status s = FB_OK;
    int rc;
    if (o->unix_path == NULL && (rc = getaddrinfo(o->host, o->port, &hints, &list)) != 0)
        return fb_fail(l->reterr, FB_DOWN, "%s: %s", o->host, gai_strerror(rc));
    for (unsigned i = 0; i < o->connections && s == FB_OK; i++) {
        struct connection *c = &l->connections[i];
        c->fd = o->unix_path != NULL ? connect_unix(o->unix_path) : connect_any(list);
        if (c->fd < 0) {
            int e = errno;
            s = o->unix_path != NULL
                    ? fb_fail(l->reterr, FB_DOWN, "cannot connect to %s: %s", o->unix_path, strerror(e))
                    : fb_fail(l->reterr, FB_DOWN, "cannot connect to %s:%s: %s", o->host, o->port, strerror(e));
            break;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
            s = fb_fail(l->reterr, FB_SYSTEM, "cannot watch a connection: %s", strerror(errno));
    }
    if (list != NULL)
        freeaddrinfo(list);
    return s;
}

static fb_status want_write(struct load *l, struct connection *c, bool wants) {
    if (c->wants_write == wants)
        return FB_OK;
    struct epoll_event event = {.events = EPOLLIN | (wants ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    c->wants_write = wants;
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
        return fb_fail(l->reterr, FB_SYSTEM, "cannot watch a connection: %s", strerror(errno));
    return FB_OK;
}

static fb_status send_rest(struct load *l, struct connection *c) {
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return want_write(l, c, true);
        if (n < 0)
            return fb_fail(l->reterr, FB_DOWN, "connection lost: %s", strerror(errno));
        c->out_sent += (size_t)n;
    }
    return want_write(l, c, false);
}

/* The next batch of this connection; none when the phase has begun all of its requests. */
static fb_status begin_batch(struct load *l, struct connection *c, fb_instant now) {
    uint64_t left = l->to_issue - l->issued;
    unsigned n = l->phase == PHASE_FILL ? FILL_PIPELINE : l->o->pipeline;
    if (left < n)
        n = (unsigned)left;
    if (n == 0)
        return FB_OK;
    fb_status s = build_batch(l, c, n);
    if (s != FB_OK)
        return s;
    l->issued += n;
    l->busy++;
    c->awaited = n;
    c->sent_at = now;
    return send_rest(l, c);
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static fb_status take_replies(struct load *l, struct connection *c, fb_instant *now) {
    ssize_t n;
    do {
        n = recv(c->fd, l->in, READ_SIZE, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return FB_OK;
        if (n <= 0)
            return fb_fail(l->reterr, FB_DOWN, "the server closed a connection%s%s", n < 0 ? ": " : "",
                           n < 0 ? strerror(errno) : "");
        *now = fb_clock_now();
        uint64_t done = fb_reply_scan(&c->replies, l->in, (size_t)n);
        if (c->replies.is_broken || done > c->awaited)
            return fb_fail(l->reterr, FB_SOURCE, "the server does not speak the Redis protocol");
        if (l->phase == PHASE_MEASURE) {
            fb_hist_add(&l->result->latency, fb_since(*now, c->sent_at), done);
            l->result->requests += done;
        }
        c->awaited -= (unsigned)done;
    } while (n == READ_SIZE && c->awaited > 0);
    if (c->awaited > 0)
        return FB_OK;
    l->busy--;
    return begin_batch(l, c, *now);
}

/* Serve events until `until`, or until nothing is under way any more. */
static fb_status serve_until(struct load *l, fb_instant until) {
    struct epoll_event events[EVENTS_MAX];
    fb_instant now = fb_clock_now(), last_event = now;
    while (l->busy > 0 && fb_before(now, until)) {
        int64_t left = fb_span_ms(fb_since(until, now)) + 1;
        int n = epoll_wait(l->epoll, events, EVENTS_MAX, left < 100 ? (int)left : 100);
        if (n < 0 && errno != EINTR)
            return fb_fail(l->reterr, FB_SYSTEM, "epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            fb_status s = FB_OK;
            if (events[i].events & EPOLLOUT)
                s = send_rest(l, c);
            if (s == FB_OK && (events[i].events & ~(uint32_t)EPOLLOUT))
                s = take_replies(l, c, &now);
            if (s != FB_OK)
                return s;
        }
        if (n > 0)
            last_event = now;
        else
            now = fb_clock_now();
        if (fb_span_ms(fb_since(now, last_event)) > STALL_MS)
            return fb_fail(l->reterr, FB_TIMEOUT, "no reply from the server for %d s", STALL_MS / 1000);
    }
    return FB_OK;
}

static void count_outcomes(const struct load *l, uint64_t *ret_errors, uint64_t *ret_nils) {
    *ret_errors = *ret_nils = 0;
    for (unsigned i = 0; i < l->o->connections; i++) {
        *ret_errors += l->connections[i].replies.errors;
        *ret_nils += l->connections[i].replies.nils;
    }
}

/* Every idle connection begins; those with a batch under way go on by themselves. */
static fb_status begin_phase(struct load *l, enum phase phase, uint64_t to_issue) {
    l->phase = phase;
    l->issued = 0;
    l->to_issue = to_issue;
    count_outcomes(l, &l->errors_before, &l->nils_before);
    fb_instant now = fb_clock_now();
    for (unsigned i = 0; i < l->o->connections; i++) {
        if (l->connections[i].awaited > 0)
            continue;
        fb_status s = begin_batch(l, &l->connections[i], now);
        if (s != FB_OK)
            return s;
    }
    return FB_OK;
}

static fb_status authenticate(struct load *l) {
    for (unsigned i = 0; i < l->o->connections; i++) {
        struct connection *c = &l->connections[i];
        c->out.len = c->out_sent = 0;
        if (fb_buf_append(&c->out, "*2\r\n$4\r\nAUTH\r\n", 14) != FB_OK ||
            put_bulk(&c->out, l->o->password, strlen(l->o->password)) != FB_OK)
            return fb_fail(l->reterr, FB_NOMEM, "no memory for a request");
        c->awaited = 1;
        l->busy++;
        fb_status s = send_rest(l, c);
        if (s != FB_OK)
            return s;
    }
    fb_status s = serve_until(l, FB_NEVER);
    if (s == FB_OK && l->connections[0].replies.errors > 0)
        return fb_fail(l->reterr, FB_DOWN, "AUTH refused: %s", l->connections[0].replies.first_error);
    return s;
}

static fb_status measure(struct load *l) {
    const struct fb_load_options *o = l->o;
    struct fb_load_result *r = l->result;
    uint64_t errors, nils;
    fb_status s = FB_OK;
    /* By length, batches of the warm-up still under way count from now on: as many are cut off at the end. By count,
     * they must be over. */
    if (o->count > 0) {
        l->to_issue = l->issued;
        s = serve_until(l, FB_NEVER);
    }
    fb_instant begin = fb_clock_now();
    fb_span server = o->server > 0 ? fb_load_cpu_of(o->server) : (fb_span){-1}, own = fb_load_cpu_of(getpid());
    if (s == FB_OK)
        s = begin_phase(l, PHASE_MEASURE, o->count > 0 ? o->count : UINT64_MAX);
    if (s == FB_OK)
        s = serve_until(l, o->count > 0 ? FB_NEVER : fb_after(begin, o->length));
    if (s != FB_OK)
        return s;
    r->length = fb_since(fb_clock_now(), begin);
    fb_span server_end = o->server > 0 ? fb_load_cpu_of(o->server) : (fb_span){-1}, own_end = fb_load_cpu_of(getpid());
    r->server_cpu = server.ns >= 0 && server_end.ns >= 0 ? (fb_span){server_end.ns - server.ns} : (fb_span){-1};
    r->own_cpu = own.ns >= 0 && own_end.ns >= 0 ? (fb_span){own_end.ns - own.ns} : (fb_span){-1};
    count_outcomes(l, &errors, &nils);
    r->errors = errors - l->errors_before;
    r->nils = nils - l->nils_before;
    for (unsigned i = 0; i < o->connections && r->first_error[0] == '\0'; i++)
        snprintf(r->first_error, sizeof r->first_error, "%s", l->connections[i].replies.first_error);
    return FB_OK;
}

static fb_status run(struct load *l) {
    const struct fb_load_options *o = l->o;
    uint64_t nkeys = o->keys.last - o->keys.first + 1, nils;
    fb_status s = connect_all(l);
    if (s == FB_OK && o->password != NULL)
        s = authenticate(l);
    if (s == FB_OK && o->fill != FB_LOAD_FILL_NONE) {
        if ((s = begin_phase(l, PHASE_FILL, nkeys)) == FB_OK)
            s = serve_until(l, FB_NEVER);
        count_outcomes(l, &l->result->fill_errors, &nils);
    }
    if (s == FB_OK && o->warm_up.ns > 0 && (s = begin_phase(l, PHASE_WARM_UP, UINT64_MAX)) == FB_OK)
        s = serve_until(l, fb_after(fb_clock_now(), o->warm_up));
    return s == FB_OK ? measure(l) : s;
}

fb_status fb_load_run(const struct fb_load_options *o, struct fb_load_result *ret_result, fb_err *reterr) {
    struct load l = {.o = o, .result = ret_result, .epoll = -1, .reterr = reterr};
    struct fb_rng seeds = {o->seed};
    fb_status s;
    *ret_result = (struct fb_load_result){.server_cpu = {-1}, .own_cpu = {-1}};
    l.in = fb_mem_alloc(READ_SIZE);
    l.connections = fb_mem_calloc(o->connections, sizeof *l.connections);
    if (l.in == NULL || l.connections == NULL) {
        s = fb_fail(reterr, FB_NOMEM, "no memory for %u connections", o->connections);
        goto out;
    }
    for (unsigned i = 0; i < o->connections; i++) {
        l.connections[i].fd = -1;
        l.connections[i].rng.state = fb_rng_next(&seeds);
    }
    if ((l.epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) {
        s = fb_fail(reterr, FB_SYSTEM, "epoll: %s", strerror(errno));
        goto out;
    }
    fb_draw_init(&l.draw, o->keys.last - o->keys.first + 1, o->exponent);
    s = run(&l);
out:
    for (unsigned i = 0; l.connections != NULL && i < o->connections; i++) {
        if (l.connections[i].fd >= 0)
            close(l.connections[i].fd);
        fb_buf_free(&l.connections[i].out);
    }
    if (l.epoll >= 0)
        close(l.epoll);
    fb_mem_free(l.connections);
    fb_mem_free(l.in);
    return s;
}
