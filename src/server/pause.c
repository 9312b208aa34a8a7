/* CLIENT PAUSE. A connection whose request has to wait stands in loop->paused; while somebody does, the loop's timer looks
 * whether the pause is over. A server that stops keeps nobody waiting. */
#include "server/pause.h"

#include "base/clock.h"
#include "server/multi.h"

enum {
    LOOK_MS = 10,                    /* how late the end of a pause may be noticed */
    PAUSE_MAX_MS = 24 * 3600 * 1000, /* a longer one counts as this */
};

void fb_pause(struct fb_server *server, int64_t ms, bool only_writes) {
    fb_instant end = fb_after(fb_clock_now(), fb_ms(ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS));
    atomic_store(&server->paused_until_ns, end.ns);
    atomic_store(&server->pauses_writes_only, only_writes);
    atomic_fetch_or(&server->gates, FB_GATE_PAUSE);
}

void fb_unpause(struct fb_server *server) { atomic_fetch_and(&server->gates, ~(unsigned)FB_GATE_PAUSE); }

static bool is_paused(struct fb_server *server) {
    if (!(atomic_load(&server->gates) & FB_GATE_PAUSE))
        return false;
    if (fb_before(fb_clock_now(), (fb_instant){atomic_load(&server->paused_until_ns)}))
        return true;
    fb_unpause(server);
    return false;
}

static void on_look(uv_timer_t *timer) {
    struct fb_loop *loop = timer->data;
    struct fb_link waiting, *link;
    if (is_paused(loop->server) && !loop->is_draining)
        return;
    uv_timer_stop(timer);
    fb_list_init(&waiting);
    fb_list_append(&waiting, &loop->paused); /* a new pause may put them back */
    while ((link = fb_list_pop_front(&waiting)) != NULL) {
        struct fb_session *session = fb_member_of(link, struct fb_session, starved);
        fb_session_set_paused(session, false);
        if (fb_list_is_empty(&session->waits))
            session->is_held = false;
        fb_session_resume(session);
        fb_session_settle(session);
    }
}

enum fb_passage fb_gate_pause(struct fb_call *call) {
    struct fb_loop *loop = fb_call_loop(call);
    const struct fb_command *command = call->command;
    /* What MULTI keeps is not carried out yet; EXEC writes if one of its requests does. */
    bool is_write = fb_multi_is_open(call->session) ? command->handler == fb_cmd_exec && fb_multi_writes(call->session)
                                                    : (command->flags & FB_CMD_WRITE) != 0;
    if ((command->flags & FB_CMD_ADMIN) || loop->is_draining || !is_paused(loop->server) ||
        (atomic_load(&loop->server->pauses_writes_only) && !is_write))
        return FB_PASS;
    if (fb_list_is_empty(&loop->paused))
        uv_timer_start(&loop->pause, on_look, LOOK_MS, LOOK_MS);
    fb_list_push_back(&loop->paused, &call->session->starved);
    fb_session_set_paused(call->session, true);
    return FB_DELAY;
}

void fb_pause_init(struct fb_loop *loop) {
    fb_list_init(&loop->paused);
    (void)uv_timer_init(&loop->uv, &loop->pause);
    loop->pause.data = loop;
}

void fb_pause_close(struct fb_loop *loop) { uv_close((uv_handle_t *)&loop->pause, NULL); }
