/* A server over the double of the engine, and blocking connections to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "served.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "double_engine.h"

struct fb_server_options defaults(void) {
    static const char *const listen[] = {"127.0.0.1:0", NULL};
    return (struct fb_server_options){.listen = listen, .threads = 1, .is_protected = true};
}

void start(struct world *w, const struct fb_server_options *options) {
    fb_open(NULL, &w->cache, &w->err);
    if (fb_server_start(w->cache, options, &w->server, &w->err) != FB_OK)
        fail_msg("%s", w->err.text);
}

void stop(struct world *w) {
    double_hold(w->cache, false);
    fb_server_stop(w->server, 10000);
    fb_close(w->cache);
}

static int connect_to(const struct world *w, int receive_buffer) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fb_server_port(w->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {READ_TIMEOUT_S, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) /* before the window is offered */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return fd;
}
int dial(const struct world *w) { return connect_to(w, 0); }
int dial_narrow(const struct world *w) { return connect_to(w, 4096); }

void say_bytes(int fd, const void *data, size_t len) {
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL);
        assert_true(n > 0);
        sent += (size_t)n;
    }
}
void say(int fd, const char *text) { say_bytes(fd, text, strlen(text)); }

void hear_bytes(int fd, const char *expected, size_t len) {
    char *got = malloc(len + 1);
    size_t have = 0;
    while (have < len) {
        ssize_t n = recv(fd, got + have, len - have, 0);
        if (n <= 0)
            fail_msg("the connection ended or was silent after %zu of %zu bytes: %.*s", have, len, (int)have, got);
        have += (size_t)n;
    }
    if (memcmp(got, expected, len) != 0)
        fail_msg("expected %.*s\n   heard %.*s", (int)len, expected, (int)len, got);
    free(got);
}
void hear(int fd, const char *expected) { hear_bytes(fd, expected, strlen(expected)); }

size_t hear_end(int fd, char *out, size_t room) {
    size_t have = 0;
    char sink[4096];
    for (;;) {
        ssize_t n = have < room ? recv(fd, out + have, room - have, 0) : recv(fd, sink, sizeof sink, 0);
        if (n < 0 && errno != ECONNRESET)
            fail_msg("no end of the connection: %s", strerror(errno));
        if (n <= 0)
            return have;
        have += have < room ? (size_t)n : 0;
    }
}
void assert_ends(int fd) {
    char rest[256];
    size_t n = hear_end(fd, rest, sizeof rest);
    if (n > 0)
        fail_msg("unexpected: %.*s", (int)n, rest);
    close(fd);
}

void exchange(int fd, const char *request, const char *reply) {
    say(fd, request);
    hear(fd, reply);
}

void come_round(const struct world *w) {
    int fd = dial(w);
    exchange(fd, "PING\r\n", "+PONG\r\n");
    exchange(fd, "PING\r\n", "+PONG\r\n");
    close(fd);
}
