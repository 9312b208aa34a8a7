/* Clients that misbehave: damaged streams, endless requests, no reading, no password, too many at once.
 *
 * Over real sockets and a double of the engine. What is shown is what such a client hears (Redis' words, then the end)
 * and that a bystander on the same loop is served as before. Nothing waits for time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "double_engine.h"
#include "served.h"

enum { MALFORMED = 10000 };

/* ---- limits ----------------------------------------------------------------------------------------------------- */

/* The server has closed the first connection of this world. Its reset does not reach a client whose window is full, so
 * another one asks until it is gone. */
static void assert_first_is_closed(int other) {
    enum { ROUND_TRIPS_MAX = 2000000 };
    char first = 0;
    for (int i = 0; i < ROUND_TRIPS_MAX; i++) {
        say(other, "CLIENT LIST ID 1\r\n");
        hear(other, "$");
        assert_int_equal(recv(other, &first, 1, 0), 1);
        if (first == '0')
            break;
        while (first != '\n') /* the length, then the line, then its end */
            assert_int_equal(recv(other, &first, 1, 0), 1);
        for (int lines = 0; lines < 2; lines += first == '\n')
            assert_int_equal(recv(other, &first, 1, 0), 1);
    }
    assert_int_equal(first, '0');
    hear(other, "\r\n\r\n");
}

/* All that is owed in these two tests is less than the soft limit, so that it is the hard one that ends them. */
static void reader_that_is_too_slow_is_closed_at_its_limit(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.live.output_buffer_max = 1 << 20;
    start(&w, &options);
    char *big = calloc(1, 300000);
    double_put(w.cache, "s:big", FB_KIND_STRING, fb_bytes_of(big, 300000));
    int fd = dial_narrow(&w), other;
    exchange(fd, "PING\r\n", "+PONG\r\n"); /* it is the first */
    other = dial(&w);
    for (int i = 0; i < 25; i++)
        say(fd, "GET s:big\r\n");
    assert_first_is_closed(other); /* 7.5 MB are owed; the kernel takes some, the server keeps one */
    close(fd);
    close(other);
    free(big);
    stop(&w);
}

/* One large value asked for many times in one request: refused when it holds as much as a connection may have unsent,
 * and what was held is given back, so that the next such request fares no worse. */
static void one_request_holds_no_more_than_a_connection_may(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.live.output_buffer_max = 1 << 20;
    start(&w, &options);
    static const char refusal[] =
        "-ERR the reply would be longer than output_buffer_max allows; ask for less at a time\r\n";
    char *big = calloc(1, 300000), request[4096] = "MGET";
    double_put(w.cache, "s:big", FB_KIND_STRING, fb_bytes_of(big, 300000));
    size_t len = strlen(request);
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(request + len, sizeof request - len, " s:big%s", i == 19 ? "\r\n" : "");
    int fd = dial(&w);
    for (int i = 0; i < 20; i++) {
        exchange(fd, request, refusal); /* misses */
        exchange(fd, request, refusal); /* hits */
        exchange(fd, "FLUSHDB\r\n", "+OK\r\n");
    }
    exchange(fd, "STRLEN s:big\r\n", ":300000\r\n");
    close(fd);
    free(big);
    stop(&w);
}

static void clients_above_the_limit_are_told_so(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.live.clients_max = 2;
    start(&w, &options);
    int a = dial(&w), b = dial(&w);
    exchange(a, "PING\r\n", "+PONG\r\n");
    exchange(b, "PING\r\n", "+PONG\r\n");
    int c = dial(&w);
    hear(c, "-ERR max number of clients reached\r\n");
    assert_ends(c);
    exchange(b, "QUIT\r\n", "+OK\r\n");
    assert_ends(b);
    for (;;) { /* b's place is free as soon as the server has seen its end */
        c = dial(&w);
        char first;
        say(c, "PING\r\n");
        if (recv(c, &first, 1, 0) == 1 && first == '+')
            break;
        close(c);
    }
    close(a);
    close(c);
    stop(&w);
}

/* ---- malformed input -------------------------------------------------------------------------------------------- */

static void protocol_error_is_told_and_ends_that_connection_only(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "-ERR Protocol error: expected '$', got 'f'\r\n"},
        {"*1\r\n$99999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*2000000\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"PING\r\nGET \"x\r\nPING\r\n", "+PONG\r\n-ERR Protocol error: unbalanced quotes in request\r\n"},
        {"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", ""},
        {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "-ERR wrong number of arguments for 'get' command\r\n"},
    };
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    int bystander = dial(&w);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = dial(&w);
        say(fd, rows[i][0]);
        hear(fd, rows[i][1]);
        assert_ends(fd);
        exchange(bystander, "PING\r\n", "+PONG\r\n");
    }
    close(bystander);
    stop(&w);
}

/* The kernel resets a connection that is closed with bytes unread, and our last words may be lost with it. So the end is
 * an orderly one, even for somebody who goes on sending. */
static void last_words_are_heard_by_one_who_goes_on_sending(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    char *filler = calloc(1, 1000000), rest[8];
    start(&w, &options);
    int fd = dial(&w);
    say(fd, "*1\r\nx\r\n");
    say_bytes(fd, filler, 1000000);
    hear(fd, "-ERR Protocol error: expected '$', got 'x'\r\n");
    assert_int_equal(recv(fd, rest, sizeof rest, 0), 0);
    close(fd);
    free(filler);
    stop(&w);
}

static void request_larger_than_the_query_buffer_is_refused(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.live.query_buffer_max = 100000;
    start(&w, &options);
    int fd = dial(&w);
    char *filler = calloc(1, 200000);
    char rest[256];
    say(fd, "*2\r\n$4\r\nECHO\r\n$5000000\r\n");
    say_bytes(fd, filler, 200000);
    size_t n = hear_end(fd, rest, sizeof rest - 1);
    rest[n] = '\0';
    assert_string_equal(rest, "-ERR Protocol error: too big request\r\n");
    close(fd);
    free(filler);
    stop(&w);
}

/* 10,000 damaged streams: each ends, none takes anything else with it. */
static void damaged_streams_harm_nobody_else(void **state) {
    (void)state;
    static const char good[] =
        "*2\r\n$3\r\nGET\r\n$3\r\ns:1\r\n*3\r\n$3\r\nSET\r\n$3\r\ns:1\r\n$1\r\nv\r\n"
        "*4\r\n$4\r\nHSET\r\n$3\r\nh:1\r\n$1\r\nf\r\n$1\r\nv\r\nPING\r\n*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
        "*2\r\n$7\r\nHGETALL\r\n$3\r\nh:1\r\n*3\r\n$4\r\nMGET\r\n$3\r\ns:1\r\n$3\r\ns:2\r\nCLIENT LIST\r\n"
        "SELECT 1\r\nGET s:1\r\n*2\r\n$4\r\nINCR\r\n$3\r\ns:9\r\nRESET\r\nCOMMAND INFO get\r\n";
    static const char likely[] = "*$+-:\r\n0123456789 \"'\\";
    struct world w;
    struct fb_server_options options = defaults();
    struct fb_rng rng = {20261123};
    char rest[4096];
    start(&w, &options);
    int bystander = dial(&w);
    for (int i = 0; i < MALFORMED; i++) {
        char bytes[sizeof good];
        size_t len = sizeof good - 1;
        memcpy(bytes, good, sizeof good);
        for (uint64_t n = 1 + fb_rng_below(&rng, 6); n > 0; n--) {
            size_t at = fb_rng_below(&rng, len);
            switch (fb_rng_below(&rng, 4)) {
            case 0: bytes[at] = (char)fb_rng_next(&rng); break;
            case 1: bytes[at] = likely[fb_rng_below(&rng, sizeof likely - 1)]; break;
            case 2: memmove(bytes + at, bytes + at + 1, len - at - 1); len--; break;
            default: memcpy(bytes, bytes + at, 1); break;
            }
        }
        int fd = dial(&w);
        (void)!send(fd, bytes, len, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        (void)hear_end(fd, rest, sizeof rest);
        close(fd);
        if (i % 500 == 0)
            exchange(bystander, "PING\r\n", "+PONG\r\n");
    }
    exchange(bystander, "PING\r\n", "+PONG\r\n");
    close(bystander);
    stop(&w);
}

/* ---- passwords -------------------------------------------------------------------------------------------------- */

static void nothing_is_answered_before_the_password(void **state) {
    (void)state;
    static const char wrong[] = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    static const char needed[] = "-NOAUTH Authentication required.\r\n";
    struct world w;
    struct fb_server_options options = defaults();
    options.password = "secret";
    start(&w, &options);
    int fd = dial(&w);
    exchange(fd, "GET s:1\r\n", needed);
    exchange(fd, "PING\r\n", needed);
    exchange(fd, "CLIENT LIST\r\n", needed);
    exchange(fd, "AUTH nope\r\n", wrong);
    exchange(fd, "AUTH secre\r\n", wrong);
    exchange(fd, "AUTH secretx\r\n", wrong);
    exchange(fd, "AUTH secretsecret\r\n", wrong);
    exchange(fd, "AUTH \"\"\r\n", wrong);
    assert_ends(fd); /* five are enough */
    fd = dial(&w);
    exchange(fd, "AUTH somebody secret\r\n", wrong);
    exchange(fd, "GET s:1\r\n", needed);
    exchange(fd, "HELLO 3 AUTH default nope\r\n", wrong);
    exchange(fd, "AUTH default secret\r\n", "+OK\r\n");
    exchange(fd, "GET s:1\r\n", "$-1\r\n");
    exchange(fd, "RESET\r\n", "+RESET\r\n");
    exchange(fd, "GET s:1\r\n", needed);
    exchange(fd, "HELLO 2 AUTH default secret SETNAME me\r\n", "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n");
    close(fd);
    fd = dial(&w);
    exchange(fd, "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_ends(fd);
    fd = dial(&w);
    exchange(fd, "*2\r\n$4\r\nAUTH\r\n$4097\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n");
    assert_ends(fd);
    stop(&w);
}

/* CVE-2025-21605: error replies to a stranger who never reads grew without limit. */
static void stranger_who_never_reads_is_closed(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.password = "secret";
    start(&w, &options);
    int fd = dial_narrow(&w), other;
    exchange(fd, "PING\r\n", "-NOAUTH Authentication required.\r\n");
    other = dial(&w);
    exchange(other, "AUTH secret\r\n", "+OK\r\n");
    for (int i = 0; i < 50000; i++) /* 6.8 MB of replies */
        if (send(fd, "PING\r\nPING\r\nPING\r\nPING\r\n", 24, MSG_NOSIGNAL) <= 0)
            break;
    assert_first_is_closed(other);
    close(fd);
    close(other);
    stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_that_is_too_slow_is_closed_at_its_limit),
        cmocka_unit_test(one_request_holds_no_more_than_a_connection_may),
        cmocka_unit_test(clients_above_the_limit_are_told_so),
        cmocka_unit_test(protocol_error_is_told_and_ends_that_connection_only),
        cmocka_unit_test(last_words_are_heard_by_one_who_goes_on_sending),
        cmocka_unit_test(request_larger_than_the_query_buffer_is_refused),
        cmocka_unit_test(damaged_streams_harm_nobody_else),
        cmocka_unit_test(nothing_is_answered_before_the_password),
        cmocka_unit_test(stranger_who_never_reads_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
