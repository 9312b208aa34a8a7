/* What connections get without having asked at this moment: messages of pub/sub, keyspace notifications, lines of
 * MONITOR; over real sockets and the double of the engine.
 *
 * Shown are the bytes as Redis sends them, the place of a push among replies (never before one that was read earlier),
 * the bounds, and that nothing stays behind. Nothing waits for time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "double_engine.h"
#include "served.h"
#include "server/push.h"
#include "server/session.h"
#include "tbl/notifications.h"

#define HELLO3                                                                                                         \
    "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n"

/* A connection in RESP3. */
static int dial3(const struct world *w) {
    char rest[128];
    int fd = dial(w);
    say(fd, "HELLO 3\r\nPING end\r\n");
    hear(fd, HELLO3);
    for (size_t n = 0; n < 9 || memcmp(rest + n - 9, "$3\r\nend\r\n", 9) != 0; n++) {
        assert_true(n < sizeof rest);
        assert_int_equal(read(fd, rest + n, 1), 1);
    }
    return fd;
}

static struct world *begin(struct world *w) {
    struct fb_server_options options = defaults();
    start(w, &options);
    return w;
}

/* ---- pub/sub ---------------------------------------------------------------------------------------------------- */

static void messages_reach_who_listens_in_the_form_of_their_protocol(void **state) {
    (void)state;
    struct world w;
    int a = dial(begin(&w)), b = dial3(&w), p = dial(&w);
    exchange(a, "SUBSCRIBE news sport\r\n",
             "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$5\r\nsport\r\n:2\r\n");
    exchange(a, "PSUBSCRIBE n*s\r\n", "*3\r\n$10\r\npsubscribe\r\n$3\r\nn*s\r\n:3\r\n");
    exchange(b, "SUBSCRIBE news\r\n", ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    exchange(b, "SSUBSCRIBE news\r\n", ">3\r\n$10\r\nssubscribe\r\n$4\r\nnews\r\n:1\r\n");
    exchange(p, "PUBLISH news hi\r\n", ":3\r\n");
    hear(a, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
            "*4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    hear(b, ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    exchange(p, "SPUBLISH news yo\r\n", ":1\r\n");
    hear(b, ">3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$2\r\nyo\r\n");
    exchange(p, "PUBLISH other x\r\nPUBLISH sport x\r\n", ":0\r\n:1\r\n");
    exchange(p, "PUBSUB NUMSUB news sport x\r\n",
             "*6\r\n$4\r\nnews\r\n:2\r\n$5\r\nsport\r\n:1\r\n$1\r\nx\r\n:0\r\n");
    exchange(p, "PUBSUB NUMPAT\r\nPUBSUB CHANNELS s*\r\nPUBSUB SHARDCHANNELS\r\nPUBSUB SHARDNUMSUB news\r\n",
             ":1\r\n*1\r\n$5\r\nsport\r\n*1\r\n$4\r\nnews\r\n*2\r\n$4\r\nnews\r\n:1\r\n");
    assert_int_equal(fb_pubsub_clients(w.server), 2);
    close(a);
    close(b);
    close(p);
    stop(&w);
}

static void unsubscribing_confirms_each_topic_and_none(void **state) {
    (void)state;
    struct world w;
    int a = dial(begin(&w));
    exchange(a, "UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nSUNSUBSCRIBE x\r\n",
             "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n"
             "*3\r\n$12\r\nsunsubscribe\r\n$1\r\nx\r\n:0\r\n");
    exchange(a, "SUBSCRIBE a a b\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                                       "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
    exchange(a, "UNSUBSCRIBE\r\n",
             "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n");
    exchange(a, "GET s:1\r\n", "$-1\r\n");
    assert_int_equal(fb_pubsub_topics(w.server, FB_TOPIC_CHANNEL), 0);
    close(a);
    stop(&w);
}

static void a_resp2_listener_may_send_little_else(void **state) {
    (void)state;
    struct world w;
    int a = dial(begin(&w));
    say(a, "SUBSCRIBE a\r\n");
    hear(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    exchange(a, "PING\r\nPING hi\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$2\r\nhi\r\n");
    exchange(a, "GET s:1\r\n", "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
                               "allowed in this context\r\n");
    exchange(a, "CLIENT ID\r\n", "-ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
                                 "RESET are allowed in this context\r\n");
    exchange(a, "RESET\r\nPING\r\n", "+RESET\r\n+PONG\r\n");
    assert_int_equal(fb_pubsub_clients(w.server), 0);
    int b = dial3(&w);
    exchange(b, "SUBSCRIBE a\r\nPING\r\nGET s:1\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+PONG\r\n_\r\n");
    close(a);
    close(b);
    stop(&w);
}

static void confirmations_come_even_without_replies(void **state) {
    (void)state;
    struct world w;
    int a = dial3(begin(&w));
    say(a, "CLIENT REPLY OFF\r\nSUBSCRIBE a\r\nPING\r\nPUBLISH a x\r\n");
    hear(a, ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
    close(a);
    stop(&w);
}

static void a_message_never_overtakes_a_reply_on_its_way(void **state) {
    (void)state;
    struct world w;
    int a = dial3(begin(&w)), p = dial(&w);
    double_put(w.cache, "s:1", FB_KIND_STRING, FB_STR("one"));
    exchange(a, "SUBSCRIBE c\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    double_hold(w.cache, true);
    say(a, "GET s:1\r\nPING\r\n");
    double_wait_submitted(w.cache, 1);
    exchange(p, "PUBLISH c x\r\n", ":1\r\n");
    come_round(&w); /* the message has arrived in the loop */
    double_hold(w.cache, false);
    hear(a, "$3\r\none\r\n+PONG\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n");
    close(a);
    close(p);
    stop(&w);
}

/* The message and the leaving are carried out in one turn of the loop, so it is on its way for certain. */
static void no_message_comes_after_the_confirmation_of_leaving(void **state) {
    (void)state;
    struct world w;
    int a = dial3(begin(&w));
    for (int i = 0; i < 50; i++) {
        say(a, "SUBSCRIBE c\r\nPUBLISH c lost\r\nUNSUBSCRIBE c\r\nSUBSCRIBE c\r\nPUBLISH c seen\r\n");
        hear(a, ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n:1\r\n>3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n"
                ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nseen\r\n");
        exchange(a, "UNSUBSCRIBE c\r\n", ">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n");
        say(a, "PSUBSCRIBE c*\r\nSUBSCRIBE d\r\nPUBLISH c lost\r\nPUNSUBSCRIBE\r\nPUBLISH d seen\r\n");
        hear(a, ">3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n:1\r\n"
                ">3\r\n$12\r\npunsubscribe\r\n$2\r\nc*\r\n:1\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$4\r\nseen\r\n");
        say(a, "PUBLISH d lost\r\nRESET\r\nHELLO 3\r\n");
        hear(a, ":1\r\n+RESET\r\n" HELLO3);
        close(a);
        a = dial3(&w);
    }
    close(a);
    stop(&w);
}

/* Messages of two publishers reach all listeners in one order, whatever loops they are in. */
static void all_listeners_see_one_order(void **state) {
    (void)state;
    enum { ROUNDS = 200, LISTENERS = 6 };
    struct world w;
    struct fb_server_options options = defaults();
    options.threads = 3;
    start(&w, &options);
    int listeners[LISTENERS], p = dial(&w), q = dial(&w);
    static char first[ROUNDS * 2 * 64], other[sizeof first];
    for (int i = 0; i < LISTENERS; i++)
        exchange(listeners[i] = dial(&w), "SUBSCRIBE c\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    for (int i = 0; i < ROUNDS; i++) {
        say(p, "PUBLISH c p\r\n");
        say(q, "PUBLISH c q\r\n");
    }
    size_t one = strlen("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\np\r\n"), size = one * 2 * ROUNDS;
    for (int i = 0; i < LISTENERS; i++) {
        for (size_t n = 0; n < size;) {
            ssize_t got = read(listeners[i], (i == 0 ? first : other) + n, size - n);
            assert_true(got > 0);
            n += (size_t)got;
        }
        assert_memory_equal(i == 0 ? first : other, first, size);
        close(listeners[i]);
    }
    close(p);
    close(q);
    stop(&w);
}

/* ---- bounds and cleanup ----------------------------------------------------------------------------------------- */

static void who_leaves_leaves_nothing_behind(void **state) {
    (void)state;
    struct world w;
    int a = dial(begin(&w)), b = dial(&w), p = dial(&w);
    exchange(a, "SUBSCRIBE a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    exchange(b, "PSUBSCRIBE *\r\n", "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
    close(a);
    exchange(b, "QUIT\r\n", "+OK\r\n");
    assert_ends(b);
    while (fb_pubsub_clients(w.server) > 0)
        come_round(&w);
    assert_int_equal(fb_pubsub_topics(w.server, FB_TOPIC_CHANNEL) + fb_pubsub_topics(w.server, FB_TOPIC_PATTERN), 0);
    exchange(p, "PUBLISH a x\r\n", ":0\r\n");
    close(p);
    stop(&w);
}

static void subscriptions_are_bounded(void **state) {
    (void)state;
    struct world w;
    int a = dial3(begin(&w));
    char text[64];
    for (int i = 0; i < FB_SUBSCRIPTIONS_MAX; i++) {
        snprintf(text, sizeof text, "SUBSCRIBE c%05d\r\n", i);
        say(a, text);
        snprintf(text, sizeof text, ">3\r\n$9\r\nsubscribe\r\n$6\r\nc%05d\r\n:%d\r\n", i, i + 1);
        hear(a, text);
    }
    exchange(a, "SUBSCRIBE more\r\n", "-ERR too many subscriptions: at most 10000 of one connection, with names of at most "
                                      "65536 bytes\r\n");
    exchange(a, "SUBSCRIBE c00000\r\n", ">3\r\n$9\r\nsubscribe\r\n$6\r\nc00000\r\n:10000\r\n");
    close(a);
    while (fb_pubsub_clients(w.server) > 0)
        come_round(&w);
    assert_int_equal(fb_pubsub_topics(w.server, FB_TOPIC_CHANNEL), 0);
    stop(&w);
}

static void a_listener_that_does_not_read_is_closed(void **state) {
    (void)state;
    enum { MESSAGE = 60000 };
    struct world w;
    struct fb_server_options options = defaults();
    options.live.output_buffer_max = 1 << 20;
    start(&w, &options);
    int a = dial_narrow(&w), p = dial(&w);
    static char request[MESSAGE + 64];
    exchange(a, "SUBSCRIBE c\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    int n = snprintf(request, sizeof request, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%d\r\n", MESSAGE);
    memset(request + n, 'x', MESSAGE);
    memcpy(request + n + MESSAGE, "\r\n", 3);
    for (char reply[] = ":1\r\n"; reply[1] == '1';) {
        say_bytes(p, request, (size_t)n + MESSAGE + 2);
        assert_int_equal(read(p, reply, 4), 4);
    }
    char rest[16];
    (void)hear_end(a, rest, sizeof rest);
    close(a);
    close(p);
    stop(&w);
}

/* Beyond what may be under way to a loop, its listeners are closed rather than left in ignorance. */
static void messages_without_room_close_their_listeners(void **state) {
    (void)state;
    struct world w;
    int a = dial(begin(&w)), p = dial(&w);
    exchange(a, "SUBSCRIBE c\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    exchange(p, "PUBLISH c fits\r\n", ":1\r\n");
    hear(a, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nfits\r\n");
    atomic_store(&w.server->pushed_max, 1);
    exchange(p, "PUBLISH c does-not\r\n", ":1\r\n");
    assert_ends(a);
    exchange(p, "PING\r\n", "+PONG\r\n");
    close(p);
    stop(&w);
}

/* ---- notifications ---------------------------------------------------------------------------------------------- */

static void hear_event(int fd, const char *event, const char *key) {
    char text[256];
    snprintf(text, sizeof text, "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$%zu\r\n__keyspace@0__:%s\r\n$%zu\r\n%s\r\n",
             15 + strlen(key), key, strlen(event), event);
    hear(fd, text);
    snprintf(text, sizeof text, "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$%zu\r\n__keyevent@0__:%s\r\n$%zu\r\n%s\r\n",
             15 + strlen(event), event, strlen(key), key);
    hear(fd, text);
}

static void changes_of_keys_are_published_as_redis_names_them(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.live.notify_events = FB_NOTIFY_KEYSPACE | FB_NOTIFY_KEYEVENT | FB_NOTIFY_ALL;
    start(&w, &options);
    int a = dial(&w), c = dial(&w);
    double_put(w.cache, "h:1", FB_KIND_HASH, FB_STR(""));
    exchange(a, "PSUBSCRIBE __key*\r\n", "*3\r\n$10\r\npsubscribe\r\n$6\r\n__key*\r\n:1\r\n");
    static const struct { const char *request, *event, *key; } rows[] = {
        {"SET s:1 5", "set", "s:1"},
        {"INCR s:1", "incrby", "s:1"},
        {"INCRBYFLOAT s:1 0.5", "incrbyfloat", "s:1"},
        {"EXPIRE s:1 100", "expire", "s:1"},
        {"PERSIST s:1", "persist", "s:1"},
        {"HSET h:1 f 1", "hset", "h:1"},
        {"HINCRBY h:1 f 1", "hincrby", "h:1"},
        {"HINCRBYFLOAT h:1 f 0.5", "hincrbyfloat", "h:1"},
        {"HDEL h:1 f", "hdel", "h:1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s\r\n", rows[i].request);
        say(c, line);
        hear_event(a, rows[i].event, rows[i].key);
    }
    double_drop(w.cache, "s:1", FB_EVENT_EXPIRED);
    hear_event(a, "expired", "s:1");
    say(c, "GET s:1\r\n"); /* loaded is of class f */
    double_wait_idle(w.cache);
    double_drop(w.cache, "s:1", FB_EVENT_EVICTED);
    hear_event(a, "evicted", "s:1");
    close(a);
    close(c);
    stop(&w);
}

static void what_only_a_cache_has_is_a_class_of_its_own(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    int a = dial(&w), c = dial(&w);
    exchange(a, "PSUBSCRIBE __key*\r\n", "*3\r\n$10\r\npsubscribe\r\n$6\r\n__key*\r\n:1\r\n");
    double_put(w.cache, "s:1", FB_KIND_STRING, FB_STR("x"));
    exchange(c, "GET s:1\r\n", "$1\r\nx\r\n"); /* nobody has asked for events */
    options.live.notify_events = FB_NOTIFY_KEYSPACE | FB_NOTIFY_KEYEVENT | FB_NOTIFY_FOREBAY | FB_NOTIFY_MISS;
    fb_server_change(w.server, &options.live);
    exchange(c, "DEL s:1\r\n", ":1\r\n");
    hear_event(a, "invalidated", "s:1"); /* no row went */
    exchange(c, "GET s:1\r\n", "$1\r\nx\r\n");
    hear_event(a, "keymiss", "s:1");
    hear_event(a, "loaded", "s:1");
    exchange(c, "SET s:1 y\r\n", "+OK\r\n"); /* of class $ */
    exchange(c, "FLUSHALL\r\n", "+OK\r\n");
    hear(a, "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$22\r\n__keyevent@0__:flushed\r\n$1\r\n*\r\n");
    options.live.notify_events = 0;
    fb_server_change(w.server, &options.live);
    exchange(c, "FLUSHALL\r\nPUBLISH __key:end x\r\n", "+OK\r\n:1\r\n");
    hear(a, "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$9\r\n__key:end\r\n$1\r\nx\r\n");
    close(a);
    close(c);
    stop(&w);
}

/* ---- MONITOR ---------------------------------------------------------------------------------------------------- */

/* A line without its time and address, which are checked for their form. */
static void hear_line(int fd, const char *expected) {
    char line[1024];
    size_t n = 0;
    do {
        assert_true(n < sizeof line - 1);
        assert_int_equal(read(fd, line + n, 1), 1);
    } while (line[n++] != '\n');
    line[n] = '\0';
    unsigned long seconds, micros, db;
    int at = 0;
    assert_int_equal(sscanf(line, "+%10lu.%6lu [%lu 127.0.0.1:%*u]%n", &seconds, &micros, &db, &at), 3);
    assert_true(at > 0);
    line[n - 2] = '\0';
    assert_string_equal(line + at, expected);
}

static void monitor_sees_requests_and_hides_values(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    start(&w, &options);
    int m = dial(&w), c = dial(&w);
    exchange(m, "MONITOR\r\n", "+OK\r\n");
    say(c, "SET s:1 secret EX 10\r\n*2\r\n$3\r\nGET\r\n$13\r\ns:\"q\\\n\r\t\a\b\x01\xff~\r\nMSET s:1 a s:2 b\r\n"
           "CONFIG GET requirepass\r\nAUTH hunter2\r\nHELLO 2\r\nPUBLISH c m\r\nHGET h:1 f\r\nNONSENSE x\r\n");
    hear_line(m, " \"SET\" \"s:1\" \"(…)\" \"(…)\" \"(…)\"");
    hear_line(m, " \"GET\" \"s:\\\"q\\\\\\n\\r\\t\\a\\b\\x01\\xff~\"");
    hear_line(m, " \"MSET\" \"s:1\" \"(…)\" \"s:2\" \"(…)\"");
    hear_line(m, " \"PUBLISH\" \"c\" \"(…)\"");
    hear_line(m, " \"HGET\" \"h:1\" \"f\"");
    options.live.monitor_values = true;
    fb_server_change(w.server, &options.live);
    say(c, "SELECT 3\r\nSET s:1 shown\r\n");
    hear_line(m, " \"SELECT\" \"3\"");
    hear_line(m, " \"SET\" \"s:1\" \"shown\"");
    exchange(m, "RESET\r\n", "+RESET\r\n");
    int d = dial(&w);
    exchange(d, "PING\r\n", "+PONG\r\n");
    exchange(m, "PING\r\n", "+PONG\r\n");
    assert_int_equal(atomic_load(&w.server->gates), 0); /* nobody pays any more */
    close(m);
    close(c);
    close(d);
    stop(&w);
}

static void monitor_shows_a_request_that_had_to_wait_once(void **state) {
    (void)state;
    struct world w;
    int m = dial(begin(&w)), a = dial(&w), b = dial(&w);
    w.server->operations_max = 1;
    exchange(m, "MONITOR\r\n", "+OK\r\n");
    double_hold(w.cache, true);
    say(a, "GET s:1\r\n");
    hear_line(m, " \"GET\" \"s:1\"");
    say(b, "GET s:2\r\n");
    hear_line(m, " \"GET\" \"s:2\"");
    come_round(&w);
    hear_line(m, " \"PING\"");
    hear_line(m, " \"PING\"");
    double_hold(w.cache, false);
    hear(a, "$-1\r\n");
    hear(b, "$-1\r\n");
    exchange(b, "ECHO end\r\n", "$3\r\nend\r\n");
    hear_line(m, " \"ECHO\" \"end\"");
    close(m);
    close(a);
    close(b);
    stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_reach_who_listens_in_the_form_of_their_protocol),
        cmocka_unit_test(unsubscribing_confirms_each_topic_and_none),
        cmocka_unit_test(a_resp2_listener_may_send_little_else),
        cmocka_unit_test(confirmations_come_even_without_replies),
        cmocka_unit_test(a_message_never_overtakes_a_reply_on_its_way),
        cmocka_unit_test(no_message_comes_after_the_confirmation_of_leaving),
        cmocka_unit_test(all_listeners_see_one_order),
        cmocka_unit_test(who_leaves_leaves_nothing_behind),
        cmocka_unit_test(subscriptions_are_bounded),
        cmocka_unit_test(a_listener_that_does_not_read_is_closed),
        cmocka_unit_test(messages_without_room_close_their_listeners),
        cmocka_unit_test(changes_of_keys_are_published_as_redis_names_them),
        cmocka_unit_test(what_only_a_cache_has_is_a_class_of_its_own),
        cmocka_unit_test(monitor_sees_requests_and_hides_values),
        cmocka_unit_test(monitor_shows_a_request_that_had_to_wait_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
