/* The acceptor: one thread that takes connections and hands them to the loops in turn. */
#include "server/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "tbl/errors.h"

enum {
    ACCEPTS_MAX = 64,  /* in one go, so that stopping is noticed */
    REST_MS = 100,     /* after "no file descriptors left": the listener would stay readable and spin */
};

static void refuse(struct fb_server *server, const struct fb_arrival *arrival, const char *reason) {
    char text[sizeof FB_TEXT_CLIENTS_MAX + 8];
    int len = snprintf(text, sizeof text, "-ERR %s\r\n", FB_TEXT_CLIENTS_MAX);
    atomic_fetch_add(&server->rejected, 1);
    if (!arrival->is_tls) /* there, nobody could read it yet */
        (void)!send(arrival->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    fb_server_log(server, FB_LOG_CLIENT_REFUSED, "a connection was refused: too many are there",
                  FB_LOG_FIELDS({"reason", reason}));
    close(arrival->fd);
}

static void hand_over(struct fb_server *server, struct fb_arrival *arrival, const struct sockaddr *address) {
    const char *reason = fb_bounds_admit(server, arrival, address);
    if (reason != NULL) {
        refuse(server, arrival, reason);
        return;
    }
    struct fb_connection_message *connection = fb_mem_alloc(sizeof *connection);
    struct fb_loop *loop = &server->loops[server->next_loop++ % server->nloops];
    if (connection != NULL) {
        connection->message.kind = FB_MESSAGE_CONNECTION;
        connection->arrival = *arrival;
        if (fb_inbox_post(loop->inbox, &connection->message))
            return;
    }
    fb_mem_free(connection);
    fb_bounds_leave(server, arrival);
    close(arrival->fd);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_rested(uv_timer_t *timer) {
    struct fb_server *server = timer->data;
    for (unsigned i = 0; i < server->nlisteners; i++)
        uv_poll_start(&server->listeners[i].poll, UV_READABLE, on_connection);
}

static void rest(struct fb_server *server) {
    for (unsigned i = 0; i < server->nlisteners; i++)
        uv_poll_stop(&server->listeners[i].poll);
    uv_timer_start(&server->acceptor_rest, on_rested, REST_MS, 0);
}

static void on_connection(uv_poll_t *poll, int status, int events) {
    struct fb_listener *listener = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof address;
        struct fb_arrival arrival = {.is_unix = listener->port == 0, .is_tls = listener->is_tls};
        arrival.fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (arrival.fd >= 0) {
            hand_over(listener->server, &arrival, (const struct sockaddr *)&address);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest(listener->server);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void close_handle(uv_handle_t *handle, void *arg) {
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_stop(uv_async_t *async) { uv_walk(async->loop, close_handle, NULL); }

static void run(void *user) {
    struct fb_server *server = user;
    uv_run(&server->acceptor, UV_RUN_DEFAULT);
}

static fb_status fail(struct fb_server *server, int rc, fb_err *reterr) {
    uv_walk(&server->acceptor, close_handle, NULL);
    uv_run(&server->acceptor, UV_RUN_DEFAULT);
    uv_loop_close(&server->acceptor);
    return fb_fail(reterr, FB_SYSTEM, "cannot start accepting connections: %s", uv_strerror(rc));
}

fb_status fb_acceptor_start(struct fb_server *server, fb_err *reterr) {
    int rc = uv_loop_init(&server->acceptor);
    if (rc != 0)
        return fb_fail(reterr, FB_SYSTEM, "cannot make an event loop: %s", uv_strerror(rc));
    (void)uv_timer_init(&server->acceptor, &server->acceptor_rest);
    server->acceptor_rest.data = server;
    rc = uv_async_init(&server->acceptor, &server->acceptor_stop, on_stop);
    for (unsigned i = 0; rc == 0 && i < server->nlisteners; i++) {
        struct fb_listener *listener = &server->listeners[i];
        rc = uv_poll_init(&server->acceptor, &listener->poll, listener->fd);
        listener->poll.data = listener;
        if (rc == 0)
            rc = uv_poll_start(&listener->poll, UV_READABLE, on_connection);
    }
    if (rc == 0)
        rc = uv_thread_create(&server->acceptor_thread, run, server);
    if (rc != 0)
        return fail(server, rc, reterr);
    server->has_acceptor = true;
    return FB_OK;
}

void fb_acceptor_stop(struct fb_server *server) {
    if (!server->has_acceptor)
        return;
    uv_async_send(&server->acceptor_stop);
    uv_thread_join(&server->acceptor_thread);
    uv_loop_close(&server->acceptor);
    server->has_acceptor = false;
}
