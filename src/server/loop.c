/* The thread of one event loop: its messages, its seconds, its beginning and its end. */
#include "server/loop.h"

#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/health.h"
#include "server/measure.h"
#include "server/call.h"
#include "server/push.h"
#include "server/login.h"
#include "server/pause.h"
#include "server/tracking.h"
#include "server/forward.h"
#include "server/upstream.h"

enum {
    TICK_MS = 1000,
    SLOTS_FIRST = 64,
    WARM_OUTPUT_MAX = 1 << 20, /* a spare output buffer larger than this is given back */
};

/* ---- sessions by number ----------------------------------------------------------------------------------------- */

static bool grow_slots(struct fb_loop *loop) {
    uint32_t n = loop->nslots > 0 ? 2 * loop->nslots : SLOTS_FIRST;
    struct fb_slot *slots = fb_mem_realloc(loop->slots, n * sizeof *slots);
    if (slots == NULL)
        return false;
    for (uint32_t i = n; i-- > loop->nslots;) {
        slots[i] = (struct fb_slot){NULL, 0, loop->first_free};
        loop->first_free = i + 1;
    }
    loop->slots = slots;
    loop->nslots = n;
    return true;
}

fb_status fb_loop_add(struct fb_loop *loop, struct fb_session *session) {
    if (loop->first_free == 0 && !grow_slots(loop))
        return FB_NOMEM;
    uint32_t i = loop->first_free - 1;
    struct fb_slot *slot = &loop->slots[i];
    loop->first_free = slot->next_free;
    slot->session = session;
    session->ref = (struct fb_session_ref){i, slot->generation};
    fb_lock_acquire(&loop->lock);
    fb_list_push_back(&loop->sessions, &session->link);
    fb_lock_release(&loop->lock);
    return FB_OK;
}

void fb_loop_remove(struct fb_loop *loop, struct fb_session *session) {
    struct fb_slot *slot = &loop->slots[session->ref.slot];
    slot->session = NULL;
    slot->generation++;
    slot->next_free = loop->first_free;
    loop->first_free = session->ref.slot + 1;
    fb_lock_acquire(&loop->lock);
    fb_list_remove(&session->link);
    fb_lock_release(&loop->lock);
}

struct fb_session *fb_loop_session(struct fb_loop *loop, struct fb_session_ref ref) {
    if (ref.slot >= loop->nslots || loop->slots[ref.slot].generation != ref.generation)
        return NULL;
    return loop->slots[ref.slot].session;
}

const struct fb_session *fb_loops_hold(struct fb_server *server, uint64_t client) {
    for (unsigned i = 0; i < server->nloops; i++) {
        struct fb_loop *loop = &server->loops[i];
        fb_lock_acquire(&loop->lock);
        for (struct fb_link *link = loop->sessions.next; link != &loop->sessions; link = link->next) {
            const struct fb_session *session = fb_member_of(link, struct fb_session, link);
            if (session->id == client)
                return session;
        }
        fb_lock_release(&loop->lock);
    }
    return NULL;
}

/* Call `visit` for every session; it may close the one it is given. */
static void for_each_session(struct fb_loop *loop, void (*visit)(struct fb_session *)) {
    for (uint32_t i = 0; i < loop->nslots; i++)
        if (loop->slots[i].session != NULL)
            visit(loop->slots[i].session);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

/* From now on nobody can post; what was posted is dropped. */
static void close_inbox(struct fb_loop *loop) {
    struct fb_link messages, *link;
    fb_list_init(&messages);
    fb_lock_acquire(&loop->inbox->lock);
    loop->inbox->is_closed = true;
    fb_list_append(&messages, &loop->inbox->messages);
    fb_lock_release(&loop->inbox->lock);
    while ((link = fb_list_pop_front(&messages)) != NULL) {
        struct fb_message *message = fb_member_of(link, struct fb_message, link);
        switch (message->kind) {
        case FB_MESSAGE_WAIT: fb_wait_free(fb_member_of(message, struct fb_wait, message)); break;
        case FB_MESSAGE_CONNECTION: {
            struct fb_connection_message *connection = fb_member_of(message, struct fb_connection_message, message);
            close(connection->arrival.fd);
            fb_bounds_leave(loop->server, &connection->arrival);
            fb_mem_free(connection);
            break;
        }
        case FB_MESSAGE_KILL: fb_mem_free(fb_member_of(message, struct fb_kill_message, message)); break;
        case FB_MESSAGE_USERS: fb_mem_free(message); break;
        case FB_MESSAGE_STOP: break;
        case FB_MESSAGE_PUSH:
            fb_push_discard(loop->inbox, fb_member_of(message, struct fb_push_message, message));
            break;
        }
    }
}

void fb_loop_touch(struct fb_loop *loop, struct fb_session *session) {
    if (!fb_link_is_in_list(&session->touched))
        fb_list_push_back(&loop->touched, &session->touched);
}

void fb_loop_settle(struct fb_loop *loop) {
    struct fb_link *link;
    while ((link = fb_list_pop_front(&loop->touched)) != NULL)
        fb_session_settle(fb_member_of(link, struct fb_session, touched));
}

void fb_loop_feed(struct fb_loop *loop) {
    struct fb_link *link;
    while (loop->operations < loop->server->operations_max && !fb_upstreams_are_full(loop) && (link = fb_list_pop_front(&loop->starved)) != NULL) {
        struct fb_session *session = fb_member_of(link, struct fb_session, starved);
        fb_session_resume(session);
        fb_loop_touch(loop, session);
    }
}

static void take_wait(struct fb_loop *loop, struct fb_wait *wait) {
    struct fb_session *session = fb_loop_session(loop, wait->session);
    loop->operations -= wait->batch;
    if (session == NULL) { /* gone meanwhile: nobody wants the rest */
        fb_wait_free(wait);
    } else if (fb_wait_advance(wait)) {
        fb_measure_done(&wait->call);
        fb_session_deliver(session, wait);
        fb_loop_touch(loop, session);
    }
    fb_loop_feed(loop);
}

static void kill_client(struct fb_loop *loop, uint64_t id) {
    for (uint32_t i = 0; i < loop->nslots; i++) {
        struct fb_session *session = loop->slots[i].session;
        if (session != NULL && session->id == id) {
            session->is_dead = true;
            fb_loop_touch(loop, session);
        }
    }
}

static void leave_if_empty(struct fb_loop *loop) {
    if (!loop->is_draining || !fb_list_is_empty(&loop->sessions) || uv_is_closing((uv_handle_t *)&loop->wake))
        return;
    close_inbox(loop);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->second, NULL);
    uv_close((uv_handle_t *)&loop->deadline, NULL);
    fb_pause_close(loop);
    fb_upstreams_close(loop);
}

static void kill_session(struct fb_session *session) {
    session->is_dead = true;
    fb_session_settle(session);
}

static void on_deadline(uv_timer_t *timer) {
    struct fb_loop *loop = timer->data;
    for_each_session(loop, kill_session);
    leave_if_empty(loop);
}

static void begin_drain(struct fb_loop *loop, int64_t drain_ms) {
    loop->is_draining = true;
    uv_timer_start(&loop->deadline, on_deadline, drain_ms > 0 ? (uint64_t)drain_ms : 0, 0);
    if (drain_ms > 0)
        for_each_session(loop, fb_session_drain);
}

static void take_message(struct fb_loop *loop, struct fb_message *message) {
    switch (message->kind) {
    case FB_MESSAGE_WAIT: take_wait(loop, fb_member_of(message, struct fb_wait, message)); return;
    case FB_MESSAGE_CONNECTION: {
        struct fb_connection_message *connection = fb_member_of(message, struct fb_connection_message, message);
        fb_session_open(loop, &connection->arrival);
        fb_mem_free(connection);
        return;
    }
    case FB_MESSAGE_KILL: {
        struct fb_kill_message *kill = fb_member_of(message, struct fb_kill_message, message);
        kill_client(loop, kill->client_id);
        fb_mem_free(kill);
        return;
    }
    case FB_MESSAGE_USERS:
        fb_mem_free(message);
        for_each_session(loop, fb_session_renew_user);
        return;
    case FB_MESSAGE_STOP: begin_drain(loop, loop->stop.drain_ms); return;
    case FB_MESSAGE_PUSH: fb_push_arrive(loop, fb_member_of(message, struct fb_push_message, message)); return;
    }
}

static void on_wake(uv_async_t *async) {
    struct fb_loop *loop = async->data;
    struct fb_link messages, *link;
    fb_list_init(&messages);
    fb_lock_acquire(&loop->inbox->lock);
    fb_list_append(&messages, &loop->inbox->messages);
    fb_lock_release(&loop->inbox->lock);
    while ((link = fb_list_pop_front(&messages)) != NULL)
        take_message(loop, fb_member_of(link, struct fb_message, link));
    fb_push_make_good(loop);
    /* After the whole round, so that many completions for one connection leave in one write. */
    fb_loop_settle(loop);
    leave_if_empty(loop);
}

static void sample_rates(struct fb_server *server) {
    struct fb_totals now;
    fb_stats stats;
    fb_server_totals(server, &now);
    fb_stats_get(server->cache, &stats);
    fb_lock_acquire(&server->lock);
    server->ops_per_second = now.commands - server->last.commands;
    server->in_per_second = now.bytes_in - server->last.bytes_in;
    server->out_per_second = now.bytes_out - server->last.bytes_out;
    server->last = now;
    server->reads[server->seconds % FB_RATIO_SECONDS].hits = now.hits;
    server->reads[server->seconds++ % FB_RATIO_SECONDS].misses = now.misses;
    server->memory_peak = stats.memory_used > server->memory_peak ? stats.memory_used : server->memory_peak;
    fb_lock_release(&server->lock);
}

static void on_second(uv_timer_t *timer) {
    struct fb_loop *loop = timer->data;
    loop->tick++;
    for_each_session(loop, fb_session_tick);
    fb_upstreams_tick(loop);
    fb_bounds_shed(loop);
    if (loop->spare.buf.cap > WARM_OUTPUT_MAX)
        fb_buf_free(&loop->spare.buf);
    fb_buf_free(&loop->trash.buf);
    if (loop->index == 0) {
        sample_rates(loop->server);
        fb_health_tick(loop->server);
        fb_tracking_tick(loop->server);
        fb_forward_look(loop->server);
    }
    leave_if_empty(loop);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static void run(void *user) {
    struct fb_loop *loop = user;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void finish(struct fb_loop *loop) {
    fb_mem_free(loop->slots);
    fb_mem_free(loop->read_buffer);
    fb_resp_args_finish(&loop->args);
    fb_buf_free(&loop->spare.buf);
    fb_buf_free(&loop->trash.buf);
    fb_buf_free(&loop->scratch);
    fb_buf_free(&loop->fields);
    fb_inbox_unref(loop->inbox);
    fb_lock_finish(&loop->lock);
}

fb_status fb_loop_start(struct fb_loop *loop, struct fb_server *server, unsigned index, fb_err *reterr) {
    loop->server = server;
    loop->index = index;
    loop->args = (struct fb_resp_args)FB_RESP_ARGS_INIT;
    loop->spare = loop->trash = (struct fb_resp_out)FB_RESP_OUT_INIT;
    fb_list_init(&loop->touched);
    fb_list_init(&loop->starved);
    fb_list_init(&loop->sessions);
    fb_lock_init(&loop->lock, FB_LOCK_LOOP);
    fb_rng_system(&loop->rng, sizeof loop->rng);
    loop->inbox = fb_inbox_new(FB_LIVE(server, output_buffer_max));
    loop->read_buffer = fb_mem_alloc(FB_READ_BUFFER);
    if (loop->inbox == NULL || loop->read_buffer == NULL || fb_measure_init(loop) != FB_OK) {
        finish(loop);
        return fb_fail(reterr, FB_NOMEM, "no memory for an event loop");
    }
    int rc = uv_loop_init(&loop->uv);
    if (rc != 0) {
        finish(loop);
        return fb_fail(reterr, FB_SYSTEM, "cannot make an event loop: %s", uv_strerror(rc));
    }
    (void)uv_async_init(&loop->uv, &loop->wake, on_wake);
    (void)uv_timer_init(&loop->uv, &loop->second);
    (void)uv_timer_init(&loop->uv, &loop->deadline);
    fb_pause_init(loop);
    loop->wake.data = loop->second.data = loop->deadline.data = loop;
    uv_timer_start(&loop->second, on_second, TICK_MS, TICK_MS);
    if (fb_upstreams_init(loop) != FB_OK) {
        loop->is_draining = true;
        leave_if_empty(loop);
        run(loop);
        uv_loop_close(&loop->uv);
        finish(loop);
        return fb_fail(reterr, FB_NOMEM, "no memory for an event loop");
    }
    loop->inbox->wake = &loop->wake;
    loop->inbox->is_closed = false;
    rc = uv_thread_create(&loop->thread, run, loop);
    if (rc != 0) {
        loop->is_draining = true;
        leave_if_empty(loop);
        run(loop);
        uv_loop_close(&loop->uv);
        finish(loop);
        return fb_fail(reterr, FB_SYSTEM, "cannot start a thread: %s", uv_strerror(rc));
    }
    loop->has_thread = true;
    return FB_OK;
}

void fb_loop_stop(struct fb_loop *loop, int64_t drain_ms) {
    loop->stop.message.kind = FB_MESSAGE_STOP;
    loop->stop.drain_ms = drain_ms;
    (void)fb_inbox_post(loop->inbox, &loop->stop.message);
}

void fb_loop_join(struct fb_loop *loop) { uv_thread_join(&loop->thread); }

void fb_loop_finish(struct fb_loop *loop) {
    uv_loop_close(&loop->uv);
    finish(loop);
}
