/* A connection's begin, what it may take of time, and its end. */
#include "server/session.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/login.h"
#include "server/multi.h"
#include "server/pass.h"
#include "server/relay.h"
#include "server/session_parts.h"
#include "server/tracking.h"
#include "server/upstream.h"

enum { KEEPALIVE_SECONDS = 60 };

/* ---- time ------------------------------------------------------------------------------------------------------- */

/* Which limit of time has been exceeded? */
static bool is_late(const struct fb_session *s, uint32_t now, enum fb_excess *ret_excess) {
    bool is_stranger = !s->is_authenticated;
    *ret_excess = FB_EXCESS_TIME;
    if (s->io.tls != NULL && s->arrival.counts_handshake) {
        *ret_excess = FB_EXCESS_HANDSHAKE;
        return now - s->opened > FB_HANDSHAKE_SECONDS;
    }
    if (s->partial_since != 0 && fb_session_may_begin(s)) {
        uint32_t allowed = is_stranger ? FB_STRANGER_SECONDS : FB_PARTIAL_SECONDS +
                                                                 (uint32_t)(fb_session_unread(s) / 1024);
        return now + FB_FIRST_TICK - s->partial_since > allowed;
    }
    if (is_stranger)
        return now - s->quiet_since > (s->has_asked ? FB_STRANGER_IDLE_SECONDS : FB_STRANGER_SECONDS);
    *ret_excess = FB_EXCESS_IDLE;
    int64_t idle_ms = FB_LIVE(s->loop->server, idle_timeout_ms);
    bool is_busy = s->nwaits > 0 || fb_session_unsent(s) > 0 || !fb_list_is_empty(&s->subscriptions) ||
                   s->tracker != NULL || (s->gates & FB_GATE_SUBSCRIBED);
    return idle_ms > 0 && !is_busy && (int64_t)(now - s->quiet_since) * 1000 > idle_ms;
}

static void check_soft_output(struct fb_session *s, uint32_t now) {
    uint32_t allowed = fb_list_is_empty(&s->subscriptions) ? FB_SOFT_SECONDS : FB_SUBSCRIBER_SOFT_SECONDS;
    if (fb_session_unsent(s) <= FB_OUTPUT_SOFT)
        s->soft_since = 0;
    else if (s->soft_since == 0)
        s->soft_since = now + FB_FIRST_TICK;
    else if (now + FB_FIRST_TICK - s->soft_since > allowed)
        fb_session_exceed(s, FB_EXCESS_OUTPUT);
}

void fb_session_tick(struct fb_session *s) {
    uint32_t now = s->loop->tick;
    enum fb_excess excess;
    if (s->is_lingering)
        s->is_dead |= now - s->quiet_since >= FB_LINGER_SECONDS;
    else if (is_late(s, now, &excess))
        fb_session_exceed(s, excess);
    check_soft_output(s, now);
    s->is_dead |= s->has_ended ? fb_pass_is_long_blocked(s) /* nobody is there to be answered */
                               : s->is_draining && fb_pass_is_blocked(s);
    if (s->is_dead)
        fb_session_close(s);
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle) {
    struct fb_session *s = handle->data;
    fb_buf_free(&s->in);
    fb_buf_free(&s->out.buf);
    fb_tls_free(s->io.tls);
    fb_session_end_user(s);
    fb_buf_free(&s->pushes);
    fb_mem_free(s);
}

void fb_session_close(struct fb_session *s) {
    if (uv_is_closing((uv_handle_t *)&s->poll))
        return;
    s->is_dead = true;
    struct fb_link *link;
    while ((link = fb_list_pop_front(&s->waits)) != NULL) {
        struct fb_wait *wait = fb_member_of(link, struct fb_wait, link);
        if (wait->is_over) /* the others come home, find no session and end there */
            fb_wait_free(wait);
    }
    s->nwaits = s->nbehind = 0;
    fb_session_set_paused(s, false);
    fb_multi_reset(s);
    fb_list_remove(&s->touched);
    fb_list_remove(&s->starved);
    fb_pubsub_leave_all(s);
    fb_tracking_end(s);
    fb_loop_remove(s->loop, s);
    fb_pass_drop_own(s); /* what is under way there finds no session */
    fb_relay_drop(s);
    fb_session_weigh(s, 0);
    fb_bounds_leave(s->loop->server, &s->arrival);
    if (fb_session_unsent(s) > 0) { /* the kernel would keep what it has for a reader that does not read */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    /* In this order: once closed, the number can be another thread's new connection. */
    uv_close((uv_handle_t *)&s->poll, on_closed);
    close(s->io.fd);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void print_address(char out[FB_ADDRESS_MAX], const struct sockaddr_storage *address) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(out, FB_ADDRESS_MAX, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(out, FB_ADDRESS_MAX, "[%s]:%u", host, ntohs(in->sin6_port));
    } else {
        const struct sockaddr_un *un = (const struct sockaddr_un *)address;
        snprintf(out, FB_ADDRESS_MAX, "%s:0", un->sun_path[0] != '\0' ? un->sun_path : "unix");
    }
}

static void note_addresses(struct fb_session *s, bool is_unix) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(s->io.fd, (struct sockaddr *)&address, &len) == 0)
        print_address(s->local_address, &address);
    address = (struct sockaddr_storage){0};
    len = sizeof address;
    if (is_unix) /* clients of a unix socket have no address of their own; Redis shows the socket's */
        memcpy(s->address, s->local_address, sizeof s->address);
    else if (getpeername(s->io.fd, (struct sockaddr *)&address, &len) == 0)
        print_address(s->address, &address);
}

static void tune_socket(int fd) {
    int on = 1, idle = KEEPALIVE_SECONDS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

/* The server's TLS as it is now; a reload may change it any time. */
static bool begin_tls(struct fb_session *s) {
    struct fb_server *server = s->loop->server;
    fb_lock_acquire(&server->lock);
    struct fb_tls_context *context = fb_tls_context_ref(server->tls);
    fb_lock_release(&server->lock);
    s->io.tls = fb_tls_new(context, s->io.fd);
    fb_tls_context_unref(context);
    return s->io.tls != NULL;
}

void fb_session_open(struct fb_loop *loop, const struct fb_arrival *arrival) {
    struct fb_arrival place = *arrival;
    struct fb_session *s = fb_mem_calloc(1, sizeof *s);
    if (s == NULL)
        goto refused;
    s->loop = loop;
    s->arrival = place;
    s->io.fd = place.fd;
    s->out = (struct fb_resp_out)FB_RESP_OUT_INIT;
    fb_list_init(&s->waits);
    fb_list_init(&s->touched);
    fb_list_init(&s->starved);
    fb_list_init(&s->subscriptions);
    s->id = atomic_fetch_add(&loop->server->next_client_id, 1) + 1;
    s->opened = s->quiet_since = loop->tick;
    s->since_wall_us = fb_clock_wall_us();
    atomic_store(&s->last_tick, loop->tick);
    atomic_store(&s->shown_version, 2);
    note_addresses(s, place.is_unix);
    if (!place.is_unix)
        tune_socket(place.fd);
    if ((place.is_tls && !begin_tls(s)) || !fb_session_begin_user(s) ||
        uv_poll_init(&loop->uv, &s->poll, place.fd) != 0)
        goto refused;
    s->poll.data = s;
    if (fb_loop_add(loop, s) != FB_OK) {
        fb_bounds_leave(loop->server, &place);
        uv_close((uv_handle_t *)&s->poll, on_closed);
        close(place.fd);
        return;
    }
    fb_count(&loop->counters.connections, 1);
    if (loop->is_draining)
        fb_session_close(s);
    else
        fb_session_wait(s);
    return;

refused:
    if (s != NULL) {
        fb_session_end_user(s);
        fb_tls_free(s->io.tls);
    }
    fb_mem_free(s);
    fb_bounds_leave(loop->server, &place);
    close(place.fd);
}
