/* The server over real sockets, with a double of the engine whose completions come in any order and can be held back.
 *
 * What one connection sees must equal a model that carries out its requests one after another, whatever the order in
 * which their operations end. Limits and closing are shown by what the other side reads. Nothing here waits for
 * time: the tests wait for bytes, for the end of a connection, or for the double to have received an operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "double_engine.h"
#include "proto/resp.h"
#include "served.h"

enum {
    SEEDS = 40,
    REQUESTS_PER_SEED = 250,
    KEYS = 12,
};

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* The model: what each key holds, as the connection must see it. */
struct model {
    int value[KEYS]; /* −1: absent */
};

static void put_bulk(struct fb_resp_out *out, int value) {
    char text[16];
    if (value < 0) {
        fb_resp_write_null(out);
        return;
    }
    snprintf(text, sizeof text, "%d", value);
    fb_resp_write_bulk(out, FB_STR(text));
}

/* One random request and the reply that must come. */
static void add_request(struct fb_rng *rng, struct model *m, char prefix, struct fb_resp_out *in,
                        struct fb_resp_out *expected) {
    char key[16], other[16], number[16];
    int k = (int)fb_rng_below(rng, KEYS), j = (int)fb_rng_below(rng, KEYS), v = (int)fb_rng_below(rng, 1000);
    snprintf(key, sizeof key, "s:%c%d", prefix, k);
    snprintf(other, sizeof other, "s:%c%d", prefix, j);
    snprintf(number, sizeof number, "%d", v);
#define SEND(...)                                                                                                      \
    do {                                                                                                               \
        const char *const words_[] = {__VA_ARGS__};                                                                    \
        fb_bytes args_[8];                                                                                             \
        for (size_t i_ = 0; i_ < sizeof words_ / sizeof words_[0]; i_++)                                               \
            args_[i_] = FB_STR(words_[i_]);                                                                            \
        fb_resp_write_command(in, args_, sizeof words_ / sizeof words_[0]);                                            \
    } while (0)
    switch (fb_rng_below(rng, 12)) {
    case 0: case 1: case 2: case 3:
        SEND("GET", key);
        put_bulk(expected, m->value[k]);
        break;
    case 4:
        SEND("MGET", key, other, key);
        fb_resp_write_array(expected, 3);
        put_bulk(expected, m->value[k]);
        put_bulk(expected, m->value[j]);
        put_bulk(expected, m->value[k]);
        break;
    case 5:
        SEND("SET", key, number);
        m->value[k] = v;
        fb_resp_write_simple(expected, "OK");
        break;
    case 6:
        SEND("SET", key, number, "NX", "GET");
        put_bulk(expected, m->value[k]);
        m->value[k] = m->value[k] < 0 ? v : m->value[k];
        break;
    case 7:
        SEND("INCR", key);
        fb_resp_write_integer(expected, m->value[k] = m->value[k] < 0 ? 1 : m->value[k] + 1);
        break;
    case 8:
        SEND("FLUSHDB"); /* drops copies only: no value changes */
        fb_resp_write_simple(expected, "OK");
        break;
    case 9:
        SEND("PING", number);
        fb_resp_write_bulk(expected, FB_STR(number));
        break;
    case 10:
        SEND("EXISTS", key, other);
        fb_resp_write_integer(expected, (m->value[k] >= 0) + (m->value[j] >= 0));
        break;
    default:
        SEND("GET", "nowhere");
        fb_resp_write_error(expected, "NOMAP", "key 'nowhere' matches no keyspace and no store is configured");
        break;
    }
}

static void replies_keep_the_order_of_requests_whatever_ends_first(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fb_rng rng = {seed};
        struct fb_resp_out in[2] = {FB_RESP_OUT_INIT, FB_RESP_OUT_INIT};
        struct fb_resp_out expected[2] = {FB_RESP_OUT_INIT, FB_RESP_OUT_INIT};
        int fd[2] = {dial(&w), dial(&w)};
        double_seed(w.cache, seed);
        for (int c = 0; c < 2; c++) {
            struct model m;
            char key[16];
            for (int k = 0; k < KEYS; k++) { /* what an earlier seed left is made the start of this one */
                snprintf(key, sizeof key, "s:%c%d", 'a' + c, k);
                m.value[k] = (int)fb_rng_below(&rng, 100);
                snprintf(key + 8, sizeof key - 8, "%d", m.value[k]);
                double_put(w.cache, key, FB_KIND_STRING, FB_STR(key + 8));
            }
            for (int i = 0; i < REQUESTS_PER_SEED; i++)
                add_request(&rng, &m, (char)('a' + c), &in[c], &expected[c]);
        }
        /* In turns and in pieces of any size, so that requests are cut anywhere. */
        for (size_t sent[2] = {0, 0}; sent[0] < in[0].buf.len || sent[1] < in[1].buf.len;) {
            int c = (int)fb_rng_below(&rng, 2);
            size_t left = in[c].buf.len - sent[c], n = 1 + fb_rng_below(&rng, seed % 2 ? 64 : 4096);
            n = n < left ? n : left;
            say_bytes(fd[c], in[c].buf.data + sent[c], n);
            sent[c] += n;
        }
        for (int c = 0; c < 2; c++) {
            hear_bytes(fd[c], expected[c].buf.data, expected[c].buf.len);
            close(fd[c]);
            fb_buf_free(&in[c].buf);
            fb_buf_free(&expected[c].buf);
        }
    }
    stop(&w);
}

static void ten_thousand_requests_in_one_pipeline_are_answered(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    struct fb_rng rng = {7};
    struct fb_resp_out in = FB_RESP_OUT_INIT, expected = FB_RESP_OUT_INIT;
    struct model m;
    for (int k = 0; k < KEYS; k++)
        m.value[k] = -1;
    options.threads = 2;
    start(&w, &options);
    for (int i = 0; i < 10000; i++)
        add_request(&rng, &m, 'a', &in, &expected);
    int fd = dial(&w);
    say_bytes(fd, in.buf.data, in.buf.len);
    hear_bytes(fd, expected.buf.data, expected.buf.len);
    close(fd);
    fb_buf_free(&in.buf);
    fb_buf_free(&expected.buf);
    stop(&w);
}

static void reads_are_under_way_together_and_a_write_waits_for_them(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    double_hold(w.cache, true);
    int fd = dial(&w);
    char pipeline[8192];
    size_t len = 0;
    for (int i = 0; i < 100; i++)
        len += (size_t)snprintf(pipeline + len, sizeof pipeline - len, "GET s:%d\r\nPING\r\n", i);
    len += (size_t)snprintf(pipeline + len, sizeof pipeline - len, "SET s:0 x\r\nGET s:0\r\nGET s:1\r\n");
    say_bytes(fd, pipeline, len);
    double_wait_submitted(w.cache, 100);
    come_round(&w);
    assert_int_equal(double_submitted(w.cache), 100); /* neither the write nor what follows it has begun */
    double_hold(w.cache, false);
    for (int i = 0; i < 100; i++)
        hear(fd, "$-1\r\n+PONG\r\n");
    hear(fd, "+OK\r\n$1\r\nx\r\n$-1\r\n");
    close(fd);
    stop(&w);
}

static void one_connection_has_a_bounded_number_of_requests_under_way(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    double_hold(w.cache, true);
    int fd = dial(&w);
    char line[32];
    struct fb_resp_out in = FB_RESP_OUT_INIT;
    for (int i = 0; i < 3000; i++) {
        snprintf(line, sizeof line, "GET s:%d\r\n", i);
        (void)fb_buf_append(&in.buf, line, strlen(line));
    }
    say_bytes(fd, in.buf.data, in.buf.len);
    double_wait_submitted(w.cache, 1024);
    come_round(&w);
    assert_int_equal(double_submitted(w.cache), 1024);
    double_hold(w.cache, false);
    for (int i = 0; i < 3000; i++)
        hear(fd, "$-1\r\n");
    close(fd);
    fb_buf_free(&in.buf);
    stop(&w);
}

/* Misses of all connections together stay below the queue in front of a source; the rest waits its turn. */
static void rush_of_misses_waits_instead_of_being_refused(void **state) {
    (void)state;
    enum { CLIENTS = 20, EACH = 1000, TOGETHER = 8192, DISTINCT = 300 }; /* few: the double looks through all its rows */
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    double_hold(w.cache, true);
    double_put(w.cache, "s:hot", FB_KIND_STRING, FB_STR("x"));
    int fd[CLIENTS];
    char line[32];
    for (int c = 0; c < CLIENTS; c++) {
        struct fb_resp_out in = FB_RESP_OUT_INIT;
        fd[c] = dial(&w);
        for (int i = 0; i < EACH; i++) {
            snprintf(line, sizeof line, "GET s:%d\r\n", (c * EACH + i) % DISTINCT);
            (void)fb_buf_append(&in.buf, line, strlen(line));
        }
        say_bytes(fd[c], in.buf.data, in.buf.len);
        fb_buf_free(&in.buf);
    }
    double_wait_submitted(w.cache, TOGETHER);
    come_round(&w);
    assert_int_equal(double_submitted(w.cache), TOGETHER);
    /* One that waits for replies goes away, one that waits for its turn breaks off, another says that it has ended. */
    struct linger reset = {1, 0};
    close(fd[3]);
    setsockopt(fd[CLIENTS - 1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd[CLIENTS - 1]);
    shutdown(fd[CLIENTS - 2], SHUT_WR);
    come_round(&w);
    double_hold(w.cache, false);
    for (int c = 0; c < CLIENTS - 1; c++) {
        for (int i = 0; i < EACH && c != 3; i++)
            hear(fd[c], "$-1\r\n");
        if (c != 3)
            close(fd[c]);
    }
    stop(&w);
}

/* Operations that end at once count no longer: more of them than may be under way together are no rush. */
static void operations_that_end_at_once_are_not_under_way(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    int fd = dial(&w);
    for (int i = 0; i < 9000; i++)
        say(fd, "TTL s:1\r\n");
    for (int i = 0; i < 9000; i++)
        hear(fd, ":-2\r\n");
    close(fd);
    stop(&w);
}

/* 3,000 keys in one request: batches of 1,024, one reply. */
static void long_mget_travels_in_batches(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    struct fb_resp_out in = FB_RESP_OUT_INIT, expected = FB_RESP_OUT_INIT;
    char key[16];
    start(&w, &options);
    double_hold(w.cache, true);
    fb_resp_write_array(&in, 3001);
    fb_resp_write_bulk(&in, FB_STR("MGET"));
    fb_resp_write_array(&expected, 3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "s:%d", i);
        if (i % 3 == 0)
            double_put(w.cache, key, FB_KIND_STRING, FB_STR(key));
        fb_resp_write_bulk(&in, FB_STR(key));
        if (i % 3 == 0)
            fb_resp_write_bulk(&expected, FB_STR(key));
        else
            fb_resp_write_null(&expected);
    }
    int fd = dial(&w);
    say_bytes(fd, in.buf.data, in.buf.len);
    double_wait_submitted(w.cache, 1024);
    come_round(&w);
    assert_int_equal(double_submitted(w.cache), 1024);
    double_hold(w.cache, false);
    hear_bytes(fd, expected.buf.data, expected.buf.len);
    close(fd);
    fb_buf_free(&in.buf);
    fb_buf_free(&expected.buf);
    stop(&w);
}

/* ---- connections that come, go and stall ------------------------------------------------------------------------ */

static void client_that_has_gone_is_not_missed(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    for (int round = 0; round < 20; round++) {
        double_hold(w.cache, true);
        unsigned before = double_submitted(w.cache);
        int fd[5];
        for (int i = 0; i < 5; i++) {
            fd[i] = dial(&w);
            say(fd[i], "GET s:1\r\nMGET s:2 s:3\r\nGET s:4\r\nPING\r\n");
        }
        double_wait_submitted(w.cache, before + 20);
        for (int i = 0; i < 5; i++) {
            struct linger hard = {1, 0};
            if (i % 2)
                setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
            close(fd[i]);
        }
        if (round % 2)
            come_round(&w); /* new connections in the old ones' places, before the completions come */
        int heir = dial(&w);
        say(heir, "PING\r\n");
        hear(heir, "+PONG\r\n");
        double_hold(w.cache, false);
        double_wait_idle(w.cache);
        exchange(heir, "PING\r\nFLUSHDB\r\n", "+PONG\r\n+OK\r\n");
        close(heir);
    }
    stop(&w);
}

static void half_closed_client_gets_its_replies(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    enum { BIG = 8000000 }; /* more than the kernel takes at once */
    struct fb_resp_out big = FB_RESP_OUT_INIT;
    char *bytes = calloc(1, BIG);
    fb_resp_write_bulk(&big, fb_bytes_of(bytes, BIG));
    double_hold(w.cache, true);
    double_put(w.cache, "s:1", FB_KIND_STRING, FB_STR("one"));
    double_put(w.cache, "s:big", FB_KIND_STRING, fb_bytes_of(bytes, BIG));
    int fd = dial(&w);
    say(fd, "GET s:1\r\nSET s:2 two\r\nGET s:2\r\nGET s:big\r\nGET s:");
    shutdown(fd, SHUT_WR);
    double_wait_submitted(w.cache, 1);
    double_hold(w.cache, false);
    hear(fd, "$3\r\none\r\n+OK\r\n$3\r\ntwo\r\n");
    come_round(&w);
    hear_bytes(fd, big.buf.data, big.buf.len);
    assert_ends(fd);
    free(bytes);
    fb_buf_free(&big.buf);
    stop(&w);
}

static void killed_client_is_closed_whichever_loop_has_it(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    char text[4096], request[64];
    options.threads = 3;
    start(&w, &options);
    int fd[6];
    for (int i = 0; i < 6; i++) {
        fd[i] = dial(&w);
        snprintf(request, sizeof request, "CLIENT SETNAME c%d\r\n", i);
        exchange(fd[i], request, "+OK\r\n");
    }
    say(fd[0], "CLIENT LIST\r\n");
    size_t len = 0;
    for (int lines = 0; lines < 8;) { /* header, six lines, the end of the bulk */
        ssize_t n = recv(fd[0], text + len, 1, 0);
        assert_int_equal(n, 1);
        lines += text[len++] == '\n';
    }
    text[len] = '\0';
    for (int i = 1; i < 6; i++) {
        snprintf(request, sizeof request, " name=c%d ", i);
        char *line = strstr(text, request);
        assert_non_null(line);
        while (line > text && line[-1] != '\n')
            line--;
        snprintf(request, sizeof request, "CLIENT KILL ID %llu\r\n", strtoull(line + 3, NULL, 10));
        exchange(fd[0], request, ":1\r\n");
        assert_ends(fd[i]);
    }
    exchange(fd[0], "CLIENT KILL 1.2.3.4:5\r\n", "-ERR No such client\r\n");
    exchange(fd[0], "CLIENT KILL USER default\r\nPING\r\n", ":0\r\n+PONG\r\n"); /* SKIPME is yes by default */
    exchange(fd[0], "CLIENT KILL USER default SKIPME no\r\n", ":1\r\n");
    assert_ends(fd[0]);
    stop(&w);
}

/* ---- values of any size ----------------------------------------------------------------------------------------- */

static void value_of_any_size_comes_back_whole(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 65530, 100000, 1000000, 5000000};
    struct world w;
    struct fb_server_options options = defaults();
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    start(&w, &options);
    int fd = dial(&w);
    char *bytes = malloc(5000000);
    for (size_t i = 0; i < 5000000; i++)
        bytes[i] = (char)(i * 31 >> 3);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fb_bytes value = fb_bytes_of(bytes, sizes[i]);
        const fb_bytes set[] = {FB_STR("SET"), FB_STR("s:v"), value};
        out.buf.len = 0;
        fb_resp_write_command(&out, set, 3);
        say_bytes(fd, out.buf.data, out.buf.len);
        hear(fd, "+OK\r\n");
        out.buf.len = 0;
        for (int k = 0; k < 2; k++)
            fb_resp_write_bulk(&out, value);
        say(fd, "GET s:v\r\nFLUSHDB\r\nGET s:v\r\n");
        hear_bytes(fd, out.buf.data, out.buf.len / 2);
        hear(fd, "+OK\r\n");
        hear_bytes(fd, out.buf.data, out.buf.len / 2);
    }
    free(bytes);
    fb_buf_free(&out.buf);
    close(fd);
    stop(&w);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static fb_status try_start(struct world *w, struct fb_server_options options, const char *address) {
    const char *listen[] = {address, NULL};
    options.listen = listen;
    fb_status status = fb_server_start(w->cache, &options, &w->server, &w->err);
    if (status == FB_OK)
        fb_server_stop(w->server, 0);
    return status;
}

static void server_that_cannot_listen_says_what_to_do(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    char taken[32];
    start(&w, &options);
    struct fb_server *first = w.server;
    snprintf(taken, sizeof taken, "127.0.0.1:%u", fb_server_port(first));
    assert_int_equal(try_start(&w, options, taken), FB_SYSTEM);
    assert_non_null(strstr(w.err.text, taken));
    assert_non_null(strstr(w.err.text, "another process"));
    static const char *const bad[] = {"", "localhost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:6380",
                                      "unix:", ":6380"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(try_start(&w, options, bad[i]), FB_INVALID);
    assert_int_equal(try_start(&w, options, "0.0.0.0:0"), FB_CONFIG);
    assert_non_null(strstr(w.err.text, "server.password"));
    assert_int_equal(try_start(&w, options, "[::]:0"), FB_CONFIG);
    options.is_protected = false;
    assert_int_equal(try_start(&w, options, "0.0.0.0:0"), FB_OK);
    options.is_protected = true;
    options.password = "secret";
    assert_int_equal(try_start(&w, options, "0.0.0.0:0"), FB_OK);
    options.password = "";
    assert_int_equal(try_start(&w, options, "127.0.0.1:0"), FB_CONFIG);
    w.server = first;
    stop(&w);
}

/* Node 18 asks ::1 first when it is told localhost, and nothing else. */
static void localhost_is_there_in_both_families(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    const char *listen[] = {"localhost:0", NULL};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has_six = fd >= 0 && bind(fd, (const struct sockaddr *)&six, sizeof six) == 0;
    close(fd);
    options.listen = listen;
    start(&w, &options);
    fd = dial(&w);
    exchange(fd, "PING\r\n", "+PONG\r\n");
    close(fd);
    if (has_six) {
        six.sin6_port = htons((uint16_t)fb_server_port(w.server));
        fd = socket(AF_INET6, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&six, sizeof six), 0);
        exchange(fd, "PING\r\n", "+PONG\r\n");
        close(fd);
    }
    stop(&w);
}

static void unix_socket_is_for_its_owner_and_goes_away(void **state) {
    (void)state;
    struct world w;
    char folder[] = "/tmp/fb-test-XXXXXX", listen_at[64];
    assert_non_null(mkdtemp(folder));
    snprintf(listen_at, sizeof listen_at, "unix:%s/s", folder);
    const char *listen[] = {listen_at, NULL};
    struct fb_server_options options = defaults();
    options.listen = listen;
    for (int round = 0; round < 2; round++) { /* again over what a killed process left behind */
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct stat file;
        snprintf(address.sun_path, sizeof address.sun_path, "%s", listen_at + 5);
        start(&w, &options);
        assert_int_equal(fb_server_port(w.server), 0);
        assert_int_equal(stat(address.sun_path, &file), 0);
        assert_int_equal(file.st_mode & 077, 0);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        exchange(fd, "PING\r\n", "+PONG\r\n");
        close(fd);
        stop(&w);
        assert_int_equal(stat(address.sun_path, &file), -1);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        close(fd);
        if (round == 1)
            unlink(address.sun_path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void *stop_in_background(void *user) {
    struct world *w = user;
    fb_server_stop(w->server, 20000);
    return NULL;
}

static void stopping_answers_what_is_under_way(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    pthread_t thread;
    start(&w, &options);
    double_hold(w.cache, true);
    int busy = dial(&w), idle = dial(&w), late = dial(&w);
    exchange(idle, "PING\r\n", "+PONG\r\n");
    exchange(late, "PING\r\n", "+PONG\r\n");
    say(busy, "GET s:1\r\nSET s:1 x\r\nGET s:1\r\n");
    double_wait_submitted(w.cache, 1);
    say(late, "ECHO heard\r\n"); /* sent before the stop: answered, whether or not it has been read by then */
    pthread_create(&thread, NULL, stop_in_background, &w);
    hear(late, "$5\r\nheard\r\n");
    assert_ends(late);
    assert_ends(idle); /* so the server is stopping, and the busy one is still there */
    double_hold(w.cache, false);
    hear(busy, "$-1\r\n+OK\r\n$1\r\nx\r\n");
    assert_ends(busy);
    pthread_join(thread, NULL);
    fb_close(w.cache);
}

static void stopping_at_once_leaves_nothing_behind(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    double_hold(w.cache, true);
    int fd = dial(&w);
    say(fd, "GET s:1\r\nMGET s:2 s:3\r\n");
    double_wait_submitted(w.cache, 3);
    fb_server_stop(w.server, 0);
    assert_ends(fd);
    double_hold(w.cache, false); /* the completions find the loop gone */
    fb_close(w.cache);
}

/* Each of the first allocations of a conversation fails in turn; the server may close that connection and must serve
 * the next one. */
static void failing_allocation_costs_at_most_a_connection(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    char rest[4096];
    start(&w, &options);
    for (int64_t n = 0; n < 60; n++) {
        int fd = dial(&w);
        fb_mem_fail_after(n);
        say(fd, "PING\r\nGET s:1\r\nSET s:1 x\r\nMGET s:1 s:2\r\nHSET h:1 a b\r\nHGETALL h:1\r\nCLIENT LIST\r\nINFO\r\n"
                "MSET s:1 a s:2 b\r\nCONFIG GET *\r\nFLUSHDB\r\n");
        shutdown(fd, SHUT_WR);
        (void)hear_end(fd, rest, sizeof rest);
        fb_mem_fail_after(-1);
        close(fd);
        come_round(&w);
    }
    stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_keep_the_order_of_requests_whatever_ends_first),
        cmocka_unit_test(ten_thousand_requests_in_one_pipeline_are_answered),
        cmocka_unit_test(reads_are_under_way_together_and_a_write_waits_for_them),
        cmocka_unit_test(one_connection_has_a_bounded_number_of_requests_under_way),
        cmocka_unit_test(rush_of_misses_waits_instead_of_being_refused),
        cmocka_unit_test(operations_that_end_at_once_are_not_under_way),
        cmocka_unit_test(long_mget_travels_in_batches),
        cmocka_unit_test(client_that_has_gone_is_not_missed),
        cmocka_unit_test(half_closed_client_gets_its_replies),
        cmocka_unit_test(killed_client_is_closed_whichever_loop_has_it),
        cmocka_unit_test(value_of_any_size_comes_back_whole),
        cmocka_unit_test(server_that_cannot_listen_says_what_to_do),
        cmocka_unit_test(localhost_is_there_in_both_families),
        cmocka_unit_test(unix_socket_is_for_its_owner_and_goes_away),
        cmocka_unit_test(stopping_answers_what_is_under_way),
        cmocka_unit_test(stopping_at_once_leaves_nothing_behind),
        cmocka_unit_test(failing_allocation_costs_at_most_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
