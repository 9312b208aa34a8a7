/* A store that says what the test wants: replies in pieces, replies that are none, ends in the middle, silence, redirections.
 *
 * The test itself is the store: it accepts the server's connections and writes their replies byte by byte, over real
 * sockets and a double of the engine, in which keys that begin with "s:" are mapped. What must hold: whoever asked gets one
 * answer, its own or an error (U1, U3), whatever comes. Nothing waits for time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "double_engine.h"
#include "proto/resp.h"
#include "served.h"
#include "server/forward.h"

#define NAMED "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$7\r\nforebay\r\n"
#define GET_A "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
#define GET_B "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"

enum { HOSTILE_ROUNDS = 400, HOSTILE_REQUESTS = 8 };

struct store {
    int listener;
    unsigned port;
    char url[64];
    struct world world;
};

static int listen_anywhere(unsigned *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void open_store(struct store *s, const char *scheme, size_t output_max) {
    struct fb_server_options options = defaults();
    s->listener = listen_anywhere(&s->port);
    snprintf(s->url, sizeof s->url, "%s://127.0.0.1:%u", scheme, s->port);
    options.store.url = s->url;
    options.live.output_buffer_max = output_max;
    start(&s->world, &options);
}

static void close_store(struct store *s) {
    stop(&s->world);
    close(s->listener);
}

/* The server's next connection, with a deadline for reading and replies that leave at once. */
static int take_line(const struct store *s) {
    struct timeval timeout = {READ_TIMEOUT_S, 0};
    int on = 1, fd = accept(s->listener, NULL, NULL);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* The same, logged in. Whoever asks for the map of a Cluster meanwhile is told that there is none. */
static int greet(const struct store *s) {
    char first[2];
    int line = take_line(s);
    while (assert_int_equal(recv(line, first, 2, MSG_PEEK | MSG_WAITALL), 2), first[1] == '2') {
        say(line, "-ERR not now\r\n");
        close(line);
        line = take_line(s);
    }
    hear(line, NAMED);
    say(line, "+OK\r\n");
    return line;
}

static void requests_of_all_leave_in_order_and_replies_find_their_askers(void **state) {
    (void)state;
    struct store s;
    open_store(&s, "redis", 0);
    int a = dial(&s.world), b = dial(&s.world);
    say(a, GET_A);
    int line = greet(&s);
    hear(line, GET_A);
    say(b, GET_B);
    hear(line, GET_B);
    say(line, "$1\r\nA\r\n$1\r\nB\r\n");
    hear(b, "$1\r\nB\r\n");
    hear(a, "$1\r\nA\r\n");
    close(a);
    close(b);
    close(line);
    close_store(&s);
}

static void nothing_is_sent_before_the_login_is_answered(void **state) {
    (void)state;
    struct store s;
    open_store(&s, "redis", 0);
    int a = dial(&s.world);
    say(a, GET_A);
    int line = take_line(&s);
    hear(line, NAMED);
    exchange(dial(&s.world), "PING\r\n", "+PONG\r\n"); /* the loop has come round, and has sent what it would */
    char byte;
    assert_int_equal(recv(line, &byte, 1, MSG_DONTWAIT), -1);
    say(line, "+OK\r\n");
    hear(line, GET_A);
    say(line, "$-1\r\n");
    hear(a, "$-1\r\n");
    close(a);
    close(line);
    close_store(&s);
}

static const char *const replies[] = {
    "+fine\r\n", "-ERR bad\r\n", ":12\r\n", "$0\r\n\r\n", "$5\r\na\r\nbc\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
    "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*0\r\n$-1\r\n", "*2\r\n*1\r\n*1\r\n*0\r\n-ERR in it\r\n",
};

static void replies_in_pieces_of_every_length_are_whole(void **state) {
    (void)state;
    struct store s;
    open_store(&s, "redis", 0);
    int a = dial(&s.world), line = -1;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
        for (size_t piece = 1; piece < strlen(replies[i]); piece++) {
            say(a, GET_A);
            line = line < 0 ? greet(&s) : line;
            hear(line, GET_A);
            for (size_t at = 0; at < strlen(replies[i]); at += piece) {
                size_t left = strlen(replies[i]) - at;
                say_bytes(line, replies[i] + at, left < piece ? left : piece);
            }
            hear(a, replies[i]);
        }
    close(a);
    close(line);
    close_store(&s);
}

static void what_is_lost_in_the_middle_is_one_error(void **state) {
    (void)state;
    struct store s;
    char expected[200];
    open_store(&s, "redis", 0);
    int a = dial(&s.world);
    for (size_t cut = 0; cut < 3; cut++) {
        const char *half[] = {"", "$5\r\nab", "*2\r\n$1\r\nx\r\n"};
        say(a, GET_A "*3\r\n$5\r\nLPUSH\r\n$1\r\nl\r\n$1\r\nx\r\n");
        int line = greet(&s);
        hear(line, GET_A);
        hear(line, "*3\r\n$5\r\nLPUSH\r\n$1\r\nl\r\n$1\r\nx\r\n");
        say(line, half[cut]);
        close(line);
        snprintf(expected, sizeof expected, "-STOREDOWN store '127.0.0.1:%u' cannot be reached: the store closed the connection"
                 "\r\n-UNKNOWN store '127.0.0.1:%u' was lost before it answered: the store closed the connection\r\n",
                 s.port, s.port);
        hear(a, expected);
        exchange(a, "PING\r\n", "+PONG\r\n");
    }
    close(a);
    close_store(&s);
}

static void what_is_no_reply_ends_the_connection_and_a_reply_that_nobody_asked_for(void **state) {
    (void)state;
    static const char *const nonsense[] = {"what\r\n", "$x\r\n", "*9999999999999\r\n", "$5\r\nabcdefg\r\n", "+OK\r\n+OK\r\n"};
    struct store s;
    open_store(&s, "redis", 0);
    int a = dial(&s.world);
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        say(a, GET_A);
        int line = greet(&s);
        hear(line, GET_A);
        say(line, nonsense[i]);
        char byte;
        if (nonsense[i][0] == '+') /* the first was the answer */
            hear(a, "+OK\r\n");
        else
            hear(a, "-STOREDOWN ");
        while (nonsense[i][0] != '+' && (assert_int_equal(recv(a, &byte, 1, 0), 1), byte != '\n'))
            ;
        assert_int_equal(recv(line, &byte, 1, 0) > 0, 0);
        close(line);
    }
    close(a);
    close_store(&s);
}

static void a_reply_longer_than_may_be_kept_is_an_error_and_the_next_is_whole(void **state) {
    (void)state;
    struct store s;
    open_store(&s, "redis", 1 << 20);
    char *big = calloc(1, 2 << 20);
    int a = dial(&s.world);
    say(a, GET_A GET_B);
    int line = greet(&s);
    hear(line, GET_A);
    hear(line, GET_B);
    say(line, "$2097152\r\n");
    say_bytes(line, big, 2 << 20);
    say(line, "\r\n$1\r\nB\r\n");
    hear(a, "-ERR the reply ");
    char byte;
    while (assert_int_equal(recv(a, &byte, 1, 0), 1), byte != '\n')
        ;
    hear(a, "$1\r\nB\r\n");
    free(big);
    close(a);
    close(line);
    close_store(&s);
}

static void a_login_that_is_refused_says_why(void **state) {
    (void)state;
    struct store s;
    char expected[200];
    struct fb_server_options options = defaults();
    s.listener = listen_anywhere(&s.port);
    snprintf(s.url, sizeof s.url, "redis://127.0.0.1:%u", s.port);
    options.store = (struct fb_server_store){.url = s.url, .password = "secret"};
    start(&s.world, &options);
    int a = dial(&s.world);
    say(a, GET_A);
    int line = take_line(&s);
    hear(line, "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n" NAMED);
    say(line, "-WRONGPASS no\r\n-NOAUTH\r\n");
    snprintf(expected, sizeof expected, "-STOREDOWN store '127.0.0.1:%u' cannot be reached: the login is refused: WRONGPASS no\r\n",
             s.port);
    hear(a, expected);
    close(a);
    close(line);
    close_store(&s);
}

/* Two nodes, both this listener: what MOVED names is another connection to it. */
static void redirections_are_followed_but_not_for_ever(void **state) {
    (void)state;
    struct store s;
    char moved[64], ask[64];
    unsigned other_port;
    int other_listener = listen_anywhere(&other_port);
    struct store other = {.listener = other_listener, .port = other_port};
    open_store(&s, "cluster", 0);
    int a = dial(&s.world);
    say(a, GET_A);
    int line = greet(&s);
    hear(line, GET_A);
    snprintf(moved, sizeof moved, "-MOVED 15495 127.0.0.1:%u\r\n", other_port);
    snprintf(ask, sizeof ask, "-ASK 15495 127.0.0.1:%u\r\n", s.port);
    say(line, moved);
    int second = greet(&other);
    hear(second, GET_A);
    say(second, ask);
    hear(line, "*1\r\n$6\r\nASKING\r\n" GET_A);
    say(line, "+OK\r\n$1\r\nA\r\n");
    hear(a, "$1\r\nA\r\n");
    say(a, GET_A); /* MOVED is remembered, ASK is not; and two that send us to each other are left at last */
    char back[64];
    snprintf(back, sizeof back, "-MOVED 15495 127.0.0.1:%u\r\n", s.port);
    for (int i = 0; i < 4; i++) {
        hear(second, GET_A);
        say(second, back);
        hear(line, GET_A);
        say(line, moved);
    }
    hear(second, GET_A);
    say(second, back);
    hear(a, back);
    close(a);
    close(line);
    close(second);
    close(other_listener);
    close_store(&s);
}

/* Rows first, then the others, none of which can be asked: one error, and the connection goes on. */
static void what_is_scattered_over_nodes_that_are_not_there_is_one_error(void **state) {
    (void)state;
    struct store s;
    char byte;
    open_store(&s, "cluster", 0);
    double_put(s.world.cache, "s:1", FB_KIND_STRING, fb_bytes_of("row", 3));
    close(s.listener);
    int a = dial(&s.world);
    for (int i = 0; i < 50; i++) {
        say(a, i % 3 == 0 ? "MGET a b c s:1\r\n" : i % 3 == 1 ? "MGET a b c\r\n" : "FLUSHALL\r\n");
        hear(a, "-STOREDOWN ");
        while (assert_int_equal(recv(a, &byte, 1, 0), 1), byte != '\n')
            ;
        exchange(a, "PING\r\n", "+PONG\r\n");
    }
    close(a);
    stop(&s.world);
}

/* Any bytes for replies: each request gets one answer, and a bystander's rows are served meanwhile. */
static void hostile_replies_harm_nobody(void **state) {
    (void)state;
    static const char *const bits[] = {"+OK\r\n", "-ERR\r\n", "$3\r\nabc\r\n", "*2\r\n", ":1\r\n", "$-1\r\n", "$100\r\n", "\r\n",
                                       ">2\r\n", "%1\r\n", "|1\r\n", "x", "*-1\r\n", "_\r\n", "$9223372036854775807\r\n"};
    struct fb_rng rng = {20261123};
    struct store s;
    open_store(&s, "redis", 1 << 20);
    double_put(s.world.cache, "s:1", FB_KIND_STRING, fb_bytes_of("row", 3));
    int bystander = dial(&s.world);
    for (int round = 0; round < HOSTILE_ROUNDS; round++) {
        int a = dial(&s.world);
        for (int i = 0; i < HOSTILE_REQUESTS; i++)
            say(a, i % 2 == 0 ? GET_A : "*2\r\n$4\r\nLLEN\r\n$1\r\nl\r\n");
        int line = greet(&s);
        for (unsigned n = (unsigned)(fb_rng_next(&rng) % 12); n > 0; n--) {
            const char *bit = bits[fb_rng_next(&rng) % (sizeof bits / sizeof bits[0])];
            (void)!send(line, bit, strlen(bit), MSG_NOSIGNAL);
        }
        close(line);
        /* Answers or errors, as many as requests, each well formed. */
        char buffer[16384];
        size_t len = 0, pos = 0, answers = 0, size;
        static const struct fb_resp_reply_limits limits = {.nodes_max = 1000, .bulk_max = 4096};
        while (answers < HOSTILE_REQUESTS) {
            enum fb_resp_verdict verdict = fb_resp_reply(buffer + pos, buffer + len, &limits, NULL, &size, NULL);
            if (verdict == FB_RESP_DONE) {
                pos += size;
                answers++;
                continue;
            }
            assert_int_equal(verdict, FB_RESP_MORE);
            ssize_t n = recv(a, buffer + len, sizeof buffer - len, 0);
            assert_true(n > 0);
            len += (size_t)n;
        }
        exchange(bystander, "GET s:1\r\n", "$3\r\nrow\r\n");
        close(a);
    }
    close(bystander);
    close_store(&s);
}

static void a_client_that_goes_leaves_its_replies_to_nobody(void **state) {
    (void)state;
    struct store s;
    open_store(&s, "redis", 0);
    int a = dial(&s.world), b = dial(&s.world);
    say(a, GET_A);
    int line = greet(&s);
    hear(line, GET_A);
    close(a);
    come_round(&s.world);
    say(b, GET_B);
    hear(line, GET_B);
    say(line, "$1\r\nA\r\n$1\r\nB\r\n");
    hear(b, "$1\r\nB\r\n");
    close(b);
    close(line);
    close_store(&s);
}

static void an_owner_is_where_its_row_says(void **state) {
    static const struct { const char *text, *host; unsigned port; bool is_tls; } rows[] = {
        {"127.0.0.1:6380", "127.0.0.1", 6380, false},    {"db-1.example:1", "db-1.example", 1, false},
        {"[::1]:65535", "::1", 65535, false},            {"redis://h:5", "h", 5, false},
        {"rediss://h:5", "h", 5, true},                  {"rediss://[fe80::1]:5", "fe80::1", 5, true},
        {"unix:/run/forebay.sock", "/run/forebay.sock", 0, false},
        {"", NULL, 0, false}, {":", NULL, 0, false},     {":6380", NULL, 0, false}, {"h", NULL, 0, false},
        {"h:", NULL, 0, false}, {"h:0", NULL, 0, false}, {"h:65536", NULL, 0, false}, {"h:1x", NULL, 0, false},
        {"unix:", NULL, 0, false}, {"unix:x", NULL, 0, false}, {"[]:1", NULL, 0, false}, {"rediss://", NULL, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fb_store_address at = {.port = 7};
        bool is_tls = false, is_good = fb_peer_address(rows[i].text, &at, &is_tls);
        assert_int_equal(is_good, rows[i].host != NULL);
        if (!is_good)
            continue;
        assert_string_equal(at.host, rows[i].host);
        assert_int_equal(at.port, rows[i].port);
        assert_int_equal(is_tls, rows[i].is_tls);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_all_leave_in_order_and_replies_find_their_askers),
        cmocka_unit_test(an_owner_is_where_its_row_says),
        cmocka_unit_test(nothing_is_sent_before_the_login_is_answered),
        cmocka_unit_test(replies_in_pieces_of_every_length_are_whole),
        cmocka_unit_test(what_is_lost_in_the_middle_is_one_error),
        cmocka_unit_test(what_is_no_reply_ends_the_connection_and_a_reply_that_nobody_asked_for),
        cmocka_unit_test(a_reply_longer_than_may_be_kept_is_an_error_and_the_next_is_whole),
        cmocka_unit_test(a_login_that_is_refused_says_why),
        cmocka_unit_test(redirections_are_followed_but_not_for_ever),
        cmocka_unit_test(what_is_scattered_over_nodes_that_are_not_there_is_one_error),
        cmocka_unit_test(hostile_replies_harm_nobody),
        cmocka_unit_test(a_client_that_goes_leaves_its_replies_to_nobody),
    };
    return cmocka_run_group_tests_name("pass", tests, NULL, NULL);
}
