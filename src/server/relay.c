/* Listening at the store for one session. */
#include "server/relay.h"

#include <string.h>

#include "server/pass.h"
#include "server/pass_cluster.h"
#include "server/upstream.h"

enum { HEAD_MAX = 24 }; /* bytes of ">4\r\n" and of "$12\r\n" */

static const enum fb_topic_kind heard[] = {FB_TOPIC_CHANNEL, FB_TOPIC_PATTERN, FB_TOPIC_SHARD};

void fb_relay_drop(struct fb_session *s) {
    fb_upstream_drop(s->listener);
    s->listener = NULL;
}

/* The session's connection, ready to be asked; NULL: the error has been written. */
static struct fb_upstream *listener_of(struct fb_call *call) {
    char why[FB_UPSTREAM_REASON_MAX + 64];
    struct fb_session *s = call->session;
    if (s->listener == NULL) /* channels are everywhere in a Cluster, a sharded one is at its node */
        s->listener = fb_upstream_listen(fb_call_loop(call), s->ref,
                                         call->argc > 1 ? fb_pass_node_of_key(fb_call_loop(call), call->argv[1]) : 0);
    if (s->listener == NULL) {
        fb_call_out_of_memory(call);
        return NULL;
    }
    if (fb_upstream_may_ask(s->listener, why, sizeof why))
        return s->listener;
    fb_count(&fb_call_loop(call)->upstreams->counters.unanswered, 1);
    fb_call_error(call, STORE_DOWN, fb_call_server(call)->store->shown, why);
    return NULL;
}

static void leave_named(struct fb_call *call, enum fb_topic_kind kind, size_t end) {
    for (size_t i = 1; i < end; i++)
        (void)fb_pubsub_leave(call->session, kind, call->argv[i]);
}

static void drop_if_silent(struct fb_session *s) {
    if (!fb_session_is_subscriber(s))
        fb_relay_drop(s);
}

/* The confirmations stand in the reply already, unless the store has refused. */
static void finish(struct fb_call *call, struct fb_part *parts, size_t n) {
    const fb_buf *refusal = &call->wait->passed;
    (void)parts;
    (void)n;
    if (refusal->len > 0) {
        call->has_failed = true;
        call->out->failed |= fb_buf_append(&call->out->buf, refusal->data, refusal->len) != FB_OK;
        leave_named(call, (enum fb_topic_kind)call->number[0], call->argc);
    }
    drop_if_silent(call->session);
}

/* The request as it came; `n` confirmations are its answer, whatever CLIENT REPLY says. */
static void ask(struct fb_call *call, struct fb_upstream *u, enum fb_topic_kind kind, size_t n) {
    call->number[0] = kind;
    call->keeps_args = call->is_alone = true;
    call->is_silent = false;
    struct fb_wait *wait = fb_call_away(call);
    if (wait == NULL)
        return;
    wait->finish = finish;
    wait->skips = n - 1;
    if (!fb_upstream_ask(u, wait, call->argv, call->argc))
        fb_pass_give_up(wait);
}

void fb_relay_join(struct fb_call *call, enum fb_topic_kind kind) {
    struct fb_session *s = call->session;
    fb_status status = FB_OK;
    if (s->nwaits > 0) { /* what came before goes another way */
        call->is_delayed = true;
        return;
    }
    struct fb_upstream *u = listener_of(call);
    if (u == NULL)
        return;
    for (size_t i = 1; i < call->argc && status == FB_OK; i++)
        if ((status = fb_pubsub_join(s, kind, call->argv[i])) != FB_OK)
            leave_named(call, kind, i);
    if (status == FB_OK) {
        ask(call, u, kind, call->argc - 1);
        return;
    }
    if (status == FB_BUSY)
        fb_call_error(call, SUBSCRIPTIONS, FB_SUBSCRIPTIONS_MAX, FB_TOPIC_NAME_MAX);
    else
        fb_call_out_of_memory(call);
    drop_if_silent(s);
}

bool fb_relay_leave(struct fb_call *call, enum fb_topic_kind kind) {
    struct fb_session *s = call->session;
    size_t n = call->argc > 1 ? call->argc - 1 : s->nsubscribed[kind] > 0 ? s->nsubscribed[kind] : 1;
    fb_bytes name;
    if (s->listener == NULL)
        return false;
    if (s->nwaits > 0) {
        call->is_delayed = true;
        return true;
    }
    struct fb_upstream *u = listener_of(call);
    if (u == NULL)
        return true;
    leave_named(call, kind, call->argc);
    while (call->argc == 1 && fb_pubsub_oldest(s, kind, &name))
        (void)fb_pubsub_leave(s, kind, name);
    ask(call, u, kind, n);
    return true;
}

/* ---- what comes ----------------------------------------------------------------------------------------------------- */

/* The first element, if it is a bulk string: its word, and where the next begins. */
static bool take_word(fb_bytes push, size_t from, fb_bytes *ret_word, size_t *ret_next) {
    const char *end = push.data + push.len, *line = push.data + from;
    const char *stop = line < end && line[0] == '$' ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    int64_t len;
    if (stop == NULL || !fb_parse_integer(fb_bytes_of(line + 1, (size_t)(stop - line) - 2), &len) ||
        len < 0 || len > end - stop - 3)
        return false;
    *ret_word = fb_bytes_of(stop + 1, (size_t)len);
    *ret_next = (size_t)(stop + 1 + len + 2 - push.data);
    return true;
}

static bool is_confirmation(fb_bytes word) {
    static const char tail[] = "subscribe";
    size_t n = sizeof tail - 1;
    return word.len >= n && memcmp(word.data + word.len - n, tail, n) == 0;
}

/* For RESP2: what differs in the form of these is the name that UNSUBSCRIBE of nothing does not have. */
static fb_status append_old(fb_buf *out, fb_bytes body, size_t next) {
    if (next >= body.len || body.data[next] != '_')
        return fb_buf_append(out, body.data, body.len);
    fb_status status = fb_buf_append(out, body.data, next);
    if (status == FB_OK)
        status = fb_buf_append(out, "$-1", 3);
    return status == FB_OK ? fb_buf_append(out, body.data + next + 1, body.len - next - 1) : status;
}

bool fb_relay_take(struct fb_loop *loop, struct fb_session_ref ref, struct fb_wait *wait, fb_bytes push) {
    struct fb_session *s = fb_loop_session(loop, ref);
    const char *line_end = memchr(push.data, '\n', push.len);
    size_t head = line_end != NULL ? (size_t)(line_end - push.data) + 1 : 0, next = 0;
    fb_bytes word = {0};
    char first[HEAD_MAX];
    if (head == 0 || head > sizeof first || !take_word(push, head, &word, &next))
        return false;
    bool is_of_wait = wait != NULL && is_confirmation(word);
    if (s == NULL || s->is_dead)
        return is_of_wait;
    unsigned version = atomic_load_explicit(&s->shown_version, memory_order_relaxed);
    fb_bytes body = fb_bytes_of(push.data + head, push.len - head);
    memcpy(first, push.data, head);
    first[0] = version == 2 ? '*' : '>';
    if (wait == NULL) {
        fb_session_push(s, fb_bytes_of(first, head), body);
        fb_loop_touch(loop, s);
        return false;
    }
    fb_buf *reply = &wait->reply.buf;
    wait->reply.failed |= reply->len > wait->inbox->held_max || fb_buf_append(reply, first, head) != FB_OK ||
        (version == 2 ? append_old(reply, body, next - head) : fb_buf_append(reply, body.data, body.len)) != FB_OK;
    return is_of_wait;
}

void fb_relay_lost(struct fb_loop *loop, struct fb_session_ref ref, bool was_ready) {
    struct fb_session *s = fb_loop_session(loop, ref);
    fb_bytes name;
    if (s == NULL)
        return;
    for (size_t i = 0; i < sizeof heard / sizeof heard[0] && !was_ready; i++)
        while (fb_pubsub_oldest(s, heard[i], &name))
            (void)fb_pubsub_leave(s, heard[i], name);
    if (was_ready && fb_session_is_subscriber(s)) {
        s->is_dead = true;
        fb_loop_touch(loop, s);
    }
}
