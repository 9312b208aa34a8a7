/* One connection: reading, requests, the order of replies, sending. Its begin and its end are in session_life.c. */
#include "server/session.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "server/commands.h"
#include "server/measure.h"
#include "server/multi.h"
#include "server/pass.h"
#include "server/session_parts.h"
#include "server/tracking.h"
#include "tbl/errors.h"

enum {
    INPUT_KEPT = 16 * 1024,  /* an empty input buffer up to this size is kept for the next request */
    OUTPUT_MOVED = 64 * 1024, /* sent bytes are cut off the front of the buffer from this many on */
};

/* ---- sending ---------------------------------------------------------------------------------------------------- */

/* One output buffer travels from connection to connection and stays in the CPU's cache; a connection owns one only
 * while the other side is slow. */
static void borrow_output(struct fb_session *s) {
    if (s->out.buf.data != NULL)
        return;
    s->out.buf = s->loop->spare.buf;
    s->loop->spare.buf = (fb_buf)FB_BUF_INIT;
}

static void return_output(struct fb_session *s) {
    s->out.buf.len = s->out_start = 0;
    if (s->loop->spare.buf.data == NULL) {
        s->loop->spare.buf = s->out.buf;
        s->out.buf = (fb_buf)FB_BUF_INIT;
    } else {
        fb_buf_free(&s->out.buf);
    }
}

static void send_out(struct fb_session *s) {
    while (fb_session_unsent(s) > 0) {
        ssize_t n = fb_transport_send(&s->io, s->out.buf.data + s->out_start, fb_session_unsent(s));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            s->is_dead |= errno != EAGAIN && errno != EWOULDBLOCK;
            break;
        }
        fb_count(&s->loop->counters.bytes_out, (uint64_t)n);
        s->out_start += (size_t)n;
        if (fb_session_unsent(s) > 0)
            break; /* the socket is full; asking again would only be told so */
    }
    if (fb_session_unsent(s) == 0) {
        return_output(s);
    } else if (s->out_start >= OUTPUT_MOVED && s->out_start >= s->out.buf.len / 2) {
        memmove(s->out.buf.data, s->out.buf.data + s->out_start, fb_session_unsent(s));
        s->out.buf.len = fb_session_unsent(s);
        s->out_start = 0;
    }
}

/* No connection makes us keep more than its limit. */
static void check_output(struct fb_session *s) {
    if (fb_session_unsent(s) > FB_FLUSH_AT)
        send_out(s);
    size_t max = s->is_authenticated ? FB_LIVE(s->loop->server, output_buffer_max) : FB_STRANGER_OUTPUT;
    size_t held = fb_session_unsent(s) + s->waiting_bytes;
    if (held > max || (held > FB_SUBSCRIBER_OUTPUT && !fb_list_is_empty(&s->subscriptions)))
        fb_session_exceed(s, FB_EXCESS_OUTPUT);
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

struct fb_resp_out *fb_session_sink(struct fb_session *s) {
    if (!fb_list_is_empty(&s->waits))
        return &fb_member_of(s->waits.prev, struct fb_wait, link)->after;
    borrow_output(s);
    return &s->out;
}

/* A push inside EXEC's array would be taken for one of its elements. */
static void hold_push(struct fb_session *s, fb_bytes head, fb_bytes body) {
    s->is_dead |= fb_buf_append(&s->pushes, head.data, head.len) != FB_OK ||
                  fb_buf_append(&s->pushes, body.data, body.len) != FB_OK;
    s->waiting_bytes += head.len + body.len;
    check_output(s);
}

void fb_session_push(struct fb_session *s, fb_bytes head, fb_bytes body) {
    if (fb_exec_is_under_way(s)) {
        hold_push(s, head, body);
        return;
    }
    struct fb_resp_out *sink = fb_session_sink(s);
    sink->failed |= fb_buf_append(&sink->buf, head.data, head.len) != FB_OK ||
                    fb_buf_append(&sink->buf, body.data, body.len) != FB_OK;
    if (sink != &s->out)
        s->waiting_bytes += head.len + body.len;
    s->is_dead |= sink->failed;
    check_output(s);
}

/* Keeps the loop's number of those who wait right. */
static void note_waiting(struct fb_session *s) {
    bool is_waiting = s->nwaits > 0 || s->is_paused;
    if (is_waiting == s->is_counted_waiting)
        return;
    s->is_counted_waiting = is_waiting;
    if (is_waiting)
        atomic_fetch_add_explicit(&s->loop->waiting, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&s->loop->waiting, 1, memory_order_relaxed);
}

void fb_session_set_paused(struct fb_session *s, bool is_paused) {
    s->is_paused = is_paused;
    note_waiting(s);
}

void fb_session_enqueue(struct fb_session *s, struct fb_wait *wait) {
    fb_list_push_back(&s->waits, &wait->link);
    s->nwaits++;
    s->nbehind += wait->call.is_behind;
    note_waiting(s);
    if (wait->call.is_behind || (s->is_peer && s->multi == NULL))
        return;
    unsigned alone = wait->is_passed ? FB_CMD_BLOCKS : FB_CMD_WRITE | FB_CMD_ALONE;
    if ((wait->call.command->flags & alone) || wait->call.is_alone)
        s->is_held = true;
}

static void move_reply(struct fb_session *s, struct fb_resp_out *from) {
    s->out.failed |= from->failed;
    s->waiting_bytes -= from->buf.len;
    if (s->out.buf.len == 0) { /* nothing in front of it: the buffer changes hands */
        fb_buf empty = s->out.buf;
        s->out.buf = from->buf;
        from->buf = empty;
    } else if (fb_buf_append(&s->out.buf, from->buf.data, from->buf.len) != FB_OK) {
        s->out.failed = true;
    }
}

void fb_session_deliver(struct fb_session *s, struct fb_wait *wait) {
    s->waiting_bytes += wait->reply.buf.len;
    while (!fb_list_is_empty(&s->waits)) {
        struct fb_wait *first = fb_member_of(s->waits.next, struct fb_wait, link);
        if (!first->is_over)
            break;
        fb_list_remove(&first->link);
        s->nwaits--;
        s->nbehind -= first->call.is_behind;
        note_waiting(s);
        if (first->is_silent) {
            s->waiting_bytes -= first->reply.buf.len;
            first->reply.buf.len = 0;
        }
        move_reply(s, &first->reply);
        move_reply(s, &first->after);
        fb_wait_free(first);
    }
    s->is_dead |= s->out.failed;
    if (fb_list_is_empty(&s->waits))
        s->is_held = false;
    check_output(s);
    fb_session_resume(s);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static void refuse(struct fb_session *s, const char *text) {
    fb_count(&s->loop->counters.errors, 1);
    fb_resp_write_error(fb_session_sink(s), "ERR", text);
    fb_server_log(s->loop->server, FB_LOG_CLIENT_PROTOCOL, "a client sent what is no request and is closed",
                  FB_LOG_FIELDS({"address", s->address}, {"reason", text}));
    s->is_closing = true;
}

/* A request that has been understood and not yet begun. */
struct request {
    size_t size;         /* bytes */
    size_t first, count; /* its arguments in loop->args */
    struct fb_verb verb;
};

/* A request, or the next of those that EXEC answers (NULL); false when it has to wait for what came before. */
static bool carry_out_one(struct fb_session *s, const struct request *request) {
    struct fb_resp_out *sink = fb_session_sink(s);
    size_t before = sink->buf.len;
    switch (request != NULL
                ? fb_dispatch(s, &request->verb, s->loop->args.items + request->first, request->count)
                : fb_dispatch_queued(s)) {
    case FB_DISPATCH_HOLD: s->is_held = true; return false;
    case FB_DISPATCH_STARVE: fb_list_push_back(&s->loop->starved, &s->starved); return false;
    case FB_DISPATCH_HANG_UP:
        fb_session_blame(s, FB_EXCESS_HTTP);
        s->is_closing = true;
        break;
    case FB_DISPATCH_DONE: break;
    }
    if (sink != &s->out)
        s->waiting_bytes += sink->buf.len - before;
    s->is_dead |= sink->failed;
    check_output(s);
    return true;
}

/* What EXEC has to answer comes before what was received since. Ends early only where nothing may begin now. */
static void answer_exec(struct fb_session *s) {
    while (fb_exec_is_running(s) && fb_session_may_begin(s) && carry_out_one(s, NULL))
        ;
    if (s->pushes.len == 0 || fb_exec_is_under_way(s))
        return;
    fb_buf pushes = s->pushes;
    s->pushes = (fb_buf)FB_BUF_INIT;
    s->waiting_bytes -= pushes.len;
    fb_session_push(s, fb_bytes_of(pushes.data, pushes.len), fb_bytes_of(NULL, 0));
    fb_buf_free(&pushes);
}

static bool carry_out(struct fb_session *s, const struct request *request) {
    bool is_done = carry_out_one(s, request);
    if (is_done && s->multi != NULL)
        answer_exec(s);
    return is_done;
}

/* Understand some requests ahead, so that the cache can fetch the memory of their keys together. Ends behind a request
 * that will hold up the others, behind one typed as a line (its arguments do not outlive the next), and before AUTH
 * behind each, since it may change the limits. Returns how many; *ret_verdict, *ret_size and err are of the last. */
static unsigned parse_ahead(struct fb_session *s, const char *data, const char *end,
                            struct request requests[FB_PREFETCH_MAX], enum fb_resp_verdict *ret_verdict,
                            size_t *ret_size, fb_err *err) {
    struct fb_resp_args *args = &s->loop->args;
    struct fb_resp_limits limits = fb_server_limits(s->loop->server, s->is_authenticated);
    unsigned n = 0;
    args->count = 0;
    for (bool is_last = false; n < FB_PREFETCH_MAX && data < end && !is_last; n++) {
        size_t first = args->count;
        *ret_verdict = fb_resp_request(data, end, &limits, args, ret_size, err);
        if (*ret_verdict != FB_RESP_DONE)
            break;
        requests[n] = (struct request){.size = *ret_size, .first = first, .count = args->count - first};
        if (requests[n].count > 0)
            requests[n].verb = fb_verb_find(args->items + first, requests[n].count);
        is_last = fb_verb_is_alone(&requests[n].verb) || *data != '*' || !s->is_authenticated;
        data += *ret_size;
    }
    return n;
}

static void prefetch(struct fb_session *s, const struct request *requests, unsigned n) {
    fb_bytes keys[FB_PREFETCH_MAX];
    size_t nkeys = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct fb_command *command = requests[i].verb.command;
        if (command != NULL && (command->flags & FB_CMD_READ) && command->first == 1 && requests[i].count > 1)
            keys[nkeys++] = s->loop->args.items[requests[i].first + 1];
    }
    if (nkeys > 1)
        fb_prefetch(s->loop->server->cache, keys, nkeys);
}

/* Carry out what is complete; returns the bytes that are done with. */
static size_t consume(struct fb_session *s, const char *data, size_t len) {
    struct request requests[FB_PREFETCH_MAX];
    size_t pos = 0, size = 0;
    fb_err err;
    while (pos < len && len - pos >= s->need && fb_session_may_begin(s)) {
        enum fb_resp_verdict verdict = FB_RESP_DONE;
        unsigned i = 0, n = parse_ahead(s, data + pos, data + len, requests, &verdict, &size, &err);
        prefetch(s, requests, n);
        fb_measure_begin(s->loop);
        for (; i < n && fb_session_may_begin(s); i++) {
            if (requests[i].count > 0 && !carry_out(s, &requests[i]))
                return pos;
            s->need = 0;
            s->partial_since = 0;
            s->has_asked = true;
            pos += requests[i].size;
        }
        if (i < n || verdict == FB_RESP_DONE || !fb_session_may_begin(s))
            continue; /* what was wrong or missing behind them is found again when its turn comes */
        if (verdict == FB_RESP_BAD)
            refuse(s, err.text);
        s->is_dead |= verdict == FB_RESP_NOMEM;
        s->need = verdict == FB_RESP_MORE ? size : 0;
        if (s->partial_since == 0)
            s->partial_since = s->loop->tick + FB_FIRST_TICK;
    }
    return s->is_closing || s->is_dead ? len : pos;
}

static void tidy_input(struct fb_session *s) {
    if (fb_session_unread(s) == 0) {
        s->in.len = s->in_start = 0;
        if (s->in.cap > INPUT_KEPT)
            fb_buf_free(&s->in);
    } else if (s->in_start >= s->in.len / 2) {
        memmove(s->in.data, s->in.data + s->in_start, fb_session_unread(s));
        s->in.len = fb_session_unread(s);
        s->in_start = 0;
    }
}

void fb_session_resume(struct fb_session *s) {
    if (s->multi != NULL || s->pushes.len > 0) {
        fb_measure_begin(s->loop);
        answer_exec(s);
    }
    if (fb_session_unread(s) > 0)
        s->in_start += consume(s, s->in.data + s->in_start, fb_session_unread(s));
    tidy_input(s);
}

bool fb_session_is_slow(struct fb_session *s) {
    return s->is_slow = fb_session_unsent(s) + s->waiting_bytes > FB_SLOW_OUTPUT;
}

static void go_on_asking(struct fb_session *s) {
    while (s->is_slow && !s->is_dead && !fb_session_is_slow(s)) {
        if (fb_list_is_empty(&s->waits))
            s->is_held = false;
        fb_session_resume(s);
        send_out(s);
    }
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void check_input(struct fb_session *s) {
    size_t max = s->is_authenticated ? FB_LIVE(s->loop->server, query_buffer_max) : FB_STRANGER_QUERY;
    if (fb_session_unread(s) <= max || !fb_session_may_begin(s))
        return;
    refuse(s, FB_TEXT_REQUEST_TOO_BIG);
    fb_count(&s->loop->counters.over_query, 1);
    s->in.len = s->in_start = 0;
}

/* The usual case: nothing is left over from before, so the loop's buffer serves and nothing is copied. */
static ssize_t read_fresh(struct fb_session *s) {
    char *buffer = s->loop->read_buffer;
    ssize_t n = fb_transport_receive(&s->io, buffer, FB_READ_BUFFER);
    if (n <= 0)
        return n;
    size_t done = consume(s, buffer, (size_t)n);
    if (done < (size_t)n && fb_buf_append(&s->in, buffer + done, (size_t)n - done) != FB_OK)
        s->is_dead = true;
    return n;
}

static ssize_t read_more(struct fb_session *s) {
    if (fb_buf_reserve(&s->in, FB_READ_BUFFER) != FB_OK) {
        s->is_dead = true;
        return 1;
    }
    ssize_t n = fb_transport_receive(&s->io, s->in.data + s->in.len, FB_READ_BUFFER);
    if (n > 0) {
        s->in.len += (size_t)n;
        fb_session_resume(s);
    }
    return n;
}

/* Of a connection whose handshake is not over, or was not a moment ago. */
static void watch_handshake(struct fb_session *s) {
    if (fb_tls_is_open(s->io.tls))
        fb_bounds_handshaken(s->loop->server, &s->arrival);
    else if (s->is_dead || s->has_ended)
        fb_server_log(s->loop->server, FB_LOG_CLIENT_REFUSED, "a connection was refused: its TLS handshake failed",
                      FB_LOG_FIELDS({"address", s->address}, {"reason", fb_tls_reason(s->io.tls)}));
}

static void read_some(struct fb_session *s) {
    ssize_t n;
    if (s->is_lingering)
        n = recv(s->io.fd, s->loop->read_buffer, FB_READ_BUFFER, 0);
    else
        n = fb_session_unread(s) == 0 ? read_fresh(s) : read_more(s);
    if (n > 0) {
        fb_count(&s->loop->counters.bytes_in, (uint64_t)n);
        s->quiet_since = s->is_lingering ? s->quiet_since : s->loop->tick;
        check_input(s);
    } else if (n == 0) {
        s->has_ended = true;
        s->is_dead |= fb_pass_is_long_blocked(s); /* what it would be given now would be lost */
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        s->is_dead = true;
    }
    if (s->io.tls != NULL && s->arrival.counts_handshake)
        watch_handshake(s);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static bool wants_input(const struct fb_session *s) {
    return s->is_lingering || (!s->has_ended && !s->is_closing && !s->is_draining &&
                               (fb_session_may_begin(s) || fb_session_unread(s) < FB_READ_AHEAD));
}

/* With TLS either event may be what a receive has been waiting for. */
static void on_poll(uv_poll_t *poll, int status, int events) {
    struct fb_session *s = poll->data;
    if (status < 0)
        s->is_dead = true;
    else if (s->io.tls == NULL ? (events & UV_READABLE) != 0 : wants_input(s))
        read_some(s);
    fb_session_settle(s);
}

void fb_session_wait(struct fb_session *s) {
    int events = (wants_input(s) ? UV_READABLE : 0) | (fb_session_unsent(s) > 0 ? UV_WRITABLE : 0);
    if (s->io.tls != NULL && !s->is_lingering)
        events = fb_tls_events(s->io.tls, events);
    if (events == s->events)
        return;
    s->events = events;
    if (events != 0)
        uv_poll_start(&s->poll, events, on_poll);
    else
        uv_poll_stop(&s->poll);
}

/* Bytes that the kernel holds and that we shall not read. */
static bool has_unread(const struct fb_session *s) {
    int n = 0;
    return ioctl(s->io.fd, FIONREAD, &n) == 0 && n > 0;
}

/* For CLIENT LIST, which other threads print. */
static void show(struct fb_session *s) {
    const size_t figures[FB_SHOWN_COUNT_] = {
        [FB_SHOWN_QUERY] = fb_session_unread(s),
        [FB_SHOWN_QUERY_FREE] = s->in.cap - s->in.len,
        [FB_SHOWN_UNSENT] = fb_session_unsent(s),
        [FB_SHOWN_WAITS] = s->waiting_bytes > 0 ? s->nwaits : 0,
        [FB_SHOWN_OUTPUT] = s->out.buf.cap + s->waiting_bytes,
        [FB_SHOWN_WEIGHT] = s->weight,
    };
    for (int i = 0; i < FB_SHOWN_COUNT_; i++)
        atomic_store_explicit(&s->shown[i], figures[i], memory_order_relaxed);
}

/* Most connections have no buffer of their own, before and after, and cost one comparison. */
static void weigh(struct fb_session *s) {
    size_t bytes = s->in.cap + s->out.buf.cap + s->waiting_bytes + (s->io.tls != NULL ? FB_TLS_BYTES : 0);
    if ((bytes | s->weight) == 0)
        return;
    if (bytes != s->weight)
        fb_session_weigh(s, bytes);
    show(s);
}

void fb_session_settle(struct fb_session *s) {
    if (!s->is_dead)
        send_out(s);
    if (s->is_slow)
        go_on_asking(s);
    if (s->nwaits == 0 && !fb_link_is_in_list(&s->starved) && (s->has_ended || s->is_draining))
        s->is_closing = true; /* what came before the end has been answered */
    if (s->is_closing && !s->is_dead && s->nwaits == 0 && fb_session_unsent(s) == 0 && !s->is_lingering) {
        /* Closing with unread bytes makes the kernel throw away what the other side has not read yet, our last words
         * among it. So say that we are through and give it a moment. */
        bool may_linger = !s->has_ended && (!s->is_draining || has_unread(s));
        s->is_lingering = may_linger && fb_transport_shutdown(&s->io);
        s->is_dead = !s->is_lingering;
        s->quiet_since = s->loop->tick;
        fb_pubsub_leave_all(s); /* nothing is sent any more */
        fb_tracking_end(s);
    }
    s->is_dead |= s->is_lingering && s->has_ended;
    weigh(s);
    if (s->is_dead)
        fb_session_close(s);
    else
        fb_session_wait(s);
}

void fb_session_drain(struct fb_session *s) {
    if (s->events & UV_READABLE) /* what has arrived before counts as under way */
        read_some(s);
    s->is_draining = true;
    fb_session_settle(s);
}
