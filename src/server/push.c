/* Making pushes, sending them to the loops, writing them where they arrive. */
#include "server/push.h"

#include <string.h>

#include "base/mem.h"
#include "server/session.h"
#include "server/tracking.h"

enum { RECEIVERS_FIRST = 4 }; /* most topics have few */

struct fb_push *fb_push_new(const char *head_resp2, const char *head_resp3) {
    struct fb_push *push = fb_mem_calloc(1, sizeof *push);
    if (push == NULL)
        return NULL;
    atomic_init(&push->refs, 1);
    push->head[0] = head_resp2;
    push->head[1] = head_resp3;
    push->body = (struct fb_resp_out)FB_RESP_OUT_INIT;
    return push;
}

void fb_push_unref(struct fb_push *push) {
    if (push == NULL || atomic_fetch_sub_explicit(&push->refs, 1, memory_order_acq_rel) != 1)
        return;
    fb_tracker_unref(push->redirected);
    fb_buf_free(&push->body.buf);
    fb_mem_free(push);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void lose(struct fb_mailing *m, unsigned loop) {
    struct fb_inbox *inbox = m->server->loops[loop].inbox;
    atomic_fetch_or(&inbox->lost, m->what);
    fb_inbox_wake(inbox);
}

void fb_mailing_begin(struct fb_mailing *m, struct fb_server *server, enum fb_lost what, struct fb_push *push) {
    m->server = server;
    m->what = what;
    m->push = push != NULL && !push->body.failed ? push : NULL;
    m->count = 0;
    memset(m->messages, 0, server->nloops * sizeof m->messages[0]);
}

void fb_mailing_add(struct fb_mailing *m, struct fb_receiver to) {
    struct fb_push_message *message = m->messages[to.loop];
    m->count++;
    if (message == NULL || message->n == message->room) {
        size_t room = message == NULL ? RECEIVERS_FIRST : 2 * message->room;
        struct fb_push_message *larger =
            m->push == NULL ? NULL : fb_mem_realloc(message, sizeof *message + room * sizeof message->sessions[0]);
        if (larger == NULL) {
            lose(m, to.loop);
            return;
        }
        if (message == NULL)
            larger->n = 0;
        larger->room = room;
        m->messages[to.loop] = message = larger;
    }
    message->sessions[message->n++] = to.session;
}

static void free_message(struct fb_push_message *message) {
    fb_push_unref(message->push);
    fb_mem_free(message);
}

static void post(struct fb_mailing *m, unsigned loop) {
    struct fb_inbox *inbox = m->server->loops[loop].inbox;
    struct fb_push_message *message = m->messages[loop];
    message->message.kind = FB_MESSAGE_PUSH;
    message->push = m->push;
    atomic_fetch_add_explicit(&m->push->refs, 1, memory_order_relaxed);
    message->cost = sizeof *message + message->room * sizeof message->sessions[0] + sizeof *m->push +
                    m->push->body.buf.len;
    if (atomic_fetch_add(&inbox->pushed, message->cost) + message->cost > atomic_load(&m->server->pushed_max)) {
        lose(m, loop);
        fb_push_discard(inbox, message);
    } else if (!fb_inbox_post(inbox, &message->message)) {
        fb_push_discard(inbox, message);
    }
}

void fb_mailing_send(struct fb_mailing *m) {
    for (unsigned i = 0; i < m->server->nloops; i++)
        if (m->messages[i] != NULL)
            post(m, i);
}

void fb_push_discard(struct fb_inbox *inbox, struct fb_push_message *message) {
    atomic_fetch_sub(&inbox->pushed, message->cost);
    free_message(message);
}

/* ---- arriving --------------------------------------------------------------------------------------------------- */

void fb_push_deliver(struct fb_loop *loop, struct fb_push *push, struct fb_session_ref ref) {
    struct fb_session *session = fb_loop_session(loop, ref);
    if (session == NULL || session->is_dead || session->is_closing) {
        if (push->redirected != NULL)
            fb_tracking_broke(loop->server, push->redirected);
        return;
    }
    if (push->is_topic && push->stamp <= session->left_at && !fb_pubsub_concerns(session, push))
        return;
    unsigned version = atomic_load_explicit(&session->shown_version, memory_order_relaxed);
    const char *head = push->head[version - 2];
    /* A RESP2 connection that does not listen expects replies only. */
    if (head == NULL || (push->redirected != NULL && version == 2 && !fb_session_is_subscriber(session)))
        return;
    fb_session_push(session, FB_STR(head), fb_bytes_of(push->body.buf.data, push->body.buf.len));
    fb_loop_touch(loop, session);
}

void fb_push_arrive(struct fb_loop *loop, struct fb_push_message *message) {
    for (size_t i = 0; i < message->n; i++)
        fb_push_deliver(loop, message->push, message->sessions[i]);
    fb_push_discard(loop->inbox, message);
}

void fb_push_make_good(struct fb_loop *loop) {
    unsigned lost = atomic_load_explicit(&loop->inbox->lost, memory_order_relaxed);
    if (lost == 0)
        return;
    lost = atomic_exchange(&loop->inbox->lost, 0);
    for (uint32_t i = 0; i < loop->nslots && (lost & FB_LOST_MESSAGES); i++) {
        struct fb_session *session = loop->slots[i].session;
        if (session != NULL && !fb_list_is_empty(&session->subscriptions)) {
            session->is_dead = true;
            fb_loop_touch(loop, session);
        }
    }
    if (lost & FB_LOST_KEYS)
        fb_tracking_forget_in(loop);
}
