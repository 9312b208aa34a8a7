/* Commands that look into the cache, over a double of the engine: lists of cached keys, facts of a copy, what is not there
 * and says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "double_engine.h"
#include "proto/resp.h"
#include "served.h"
#include "server/loop.h"
#include "server/state.h"

static struct world w;
static int fd;
static int stops, stops_now;
static bool is_lru;

static void note_stop(void *user, bool is_now) {
    (void)user;
    stops++;
    stops_now += is_now;
}

static void give_policy(void *user, const char *glob, fb_config_emit *emit, void *emit_user) {
    (void)user;
    if (strcmp(glob, "maxmemory-policy") == 0)
        emit(emit_user, "maxmemory-policy", is_lru ? "allkeys-lru" : "allkeys-lfu");
}

static int connect_afresh(void **state) {
    struct fb_server_options options = defaults();
    (void)state;
    options.hooks.stop = note_stop;
    options.config_get = give_policy;
    options.live.output_buffer_max = 256 * 1024;
    start(&w, &options);
    fd = dial(&w);
    stops = stops_now = 0;
    is_lru = false;
    return 0;
}

static int part(void **state) {
    (void)state;
    close(fd);
    stop(&w);
    return 0;
}

#define NIL "$-1\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define ARITY(name) "-ERR wrong number of arguments for '" name "' command\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"

static void converse(const char *const (*rows)[2], size_t n) {
    char request[512];
    for (size_t i = 0; i < n; i++) {
        snprintf(request, sizeof request, "%s\r\n", rows[i][0]);
        say(fd, request);
        hear(fd, rows[i][1]);
    }
}
#define CONVERSE(...)                                                                                                  \
    do {                                                                                                               \
        static const char *const rows_[][2] = {__VA_ARGS__};                                                           \
        converse(rows_, sizeof rows_ / sizeof rows_[0]);                                                               \
    } while (0)

static void put(const char *key, const char *value) { double_put(w.cache, key, FB_KIND_STRING, FB_STR(value)); }

static void put_hash(const char *key, const char *field, const char *value) {
    fb_buf hash = FB_BUF_INIT;
    (void)fb_hash_append(&hash, FB_STR(field), FB_STR(value));
    double_put(w.cache, key, FB_KIND_HASH, fb_bytes_of(hash.data, hash.len));
    fb_buf_free(&hash);
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

static void only_cached_keys_are_listed(void **state) {
    (void)state;
    put("s:1", "x");
    put("s:2", "x");
    put_hash("h:1", "a", "1");
    CONVERSE({"KEYS *", "*0\r\n"}, {"RANDOMKEY", NIL}, {"DBSIZE", ":0\r\n"}, {"SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"},
             {"GET s:1", "$1\r\nx\r\n"}, {"GET s:none", NIL}, {"HGET h:1 a", "$1\r\n1\r\n"},
             {"KEYS *", "*2\r\n$3\r\ns:1\r\n$3\r\nh:1\r\n"}, {"KEYS s*", "*1\r\n$3\r\ns:1\r\n"},
             {"DBSIZE", ":2\r\n"},
             {"SCAN 0", "*2\r\n$1\r\n0\r\n*2\r\n$3\r\ns:1\r\n$3\r\nh:1\r\n"},
             {"SCAN 0 TYPE hash", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nh:1\r\n"},
             {"SCAN 0 TYPE zset", "*2\r\n$1\r\n0\r\n*0\r\n"},
             {"SCAN 0 MATCH *2 COUNT 100", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"SCAN x", "-ERR invalid cursor\r\n"},
             {"SCAN -1", "-ERR invalid cursor\r\n"}, {"SCAN 99999999999999999999", "-ERR invalid cursor\r\n"},
             {"SCAN 0 COUNT 0", SYNTAX}, {"SCAN 0 COUNT x", NOT_INTEGER}, {"SCAN 0 MATCH", SYNTAX},
             {"SCAN 0 FOO 1", SYNTAX});
    say(fd, "RANDOMKEY\r\n");
    char key[10];
    assert_int_equal(recv(fd, key, 9, MSG_WAITALL), 9);
    assert_true(memcmp(key, "$3\r\ns:1\r\n", 9) == 0 || memcmp(key, "$3\r\nh:1\r\n", 9) == 0);
}

static void other_databases_are_empty(void **state) {
    (void)state;
    put("s:1", "x");
    CONVERSE({"GET s:1", "$1\r\nx\r\n"}, {"SELECT 3", "+OK\r\n"}, {"KEYS *", "*0\r\n"}, {"RANDOMKEY", NIL},
             {"SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"});
}

static void put_many(int n) {
    char key[32], request[64];
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "s:%04d", i);
        put(key, "v");
        snprintf(request, sizeof request, "GET %s\r\n", key);
        exchange(fd, request, "$1\r\nv\r\n");
    }
}

/* A cursor leads through all of them, a count at a time. */
static void scan_comes_round(void **state) {
    (void)state;
    put_many(25);
    CONVERSE({"SCAN 0 MATCH *3", "*2\r\n$2\r\n10\r\n*1\r\n$6\r\ns:0003\r\n"},
             {"SCAN 10 MATCH *3", "*2\r\n$2\r\n20\r\n*1\r\n$6\r\ns:0013\r\n"},
             {"SCAN 20 MATCH *3", "*2\r\n$1\r\n0\r\n*1\r\n$6\r\ns:0023\r\n"});
}

/* More keys than one step takes, while other requests wait behind in the same connection. */
static void keys_works_in_steps_and_keeps_the_order(void **state) {
    (void)state;
    put_many(200);
    say(fd, "KEYS s:*\r\nPING\r\n");
    hear(fd, "*200\r\n");
    for (int i = 0; i < 200; i++) {
        char line[32];
        snprintf(line, sizeof line, "$6\r\ns:%04d\r\n", i);
        hear(fd, line);
    }
    hear(fd, "+PONG\r\n");
}

/* 3,000 keys of 100 bytes do not fit into 256 KiB of replies. */
static void keys_is_bounded_by_the_output(void **state) {
    (void)state;
    char key[120], request[160];
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "s:%0100d", i);
        put(key, "v");
        snprintf(request, sizeof request, "GET %s\r\n", key);
        exchange(fd, request, "$1\r\nv\r\n");
    }
    exchange(fd, "KEYS *\r\nKEYS *1\r\nPING\r\n",
             "-ERR the reply would be longer than output_buffer_max allows; ask for less at a time\r\n*300\r\n");
}

/* ---- one copy --------------------------------------------------------------------------------------------------- */

static void object_tells_of_a_copy(void **state) {
    (void)state;
    put("s:int", "12345678901234567890");
    put("s:num", "-42");
    put("s:44", "01234567890123456789012345678901234567890123");
    put("s:45", "012345678901234567890123456789012345678901234");
    put_hash("h:small", "a", "1");
    put_hash("h:big", "a", "01234567890123456789012345678901234567890123456789012345678901234");
    CONVERSE({"OBJECT ENCODING s:num", NIL}, {"EXISTS s:int s:num s:44 s:45 h:small h:big", ":6\r\n"},
             {"OBJECT ENCODING s:num", "$3\r\nint\r\n"}, {"OBJECT ENCODING s:int", "$6\r\nembstr\r\n"},
             {"OBJECT encoding s:44", "$6\r\nembstr\r\n"}, {"OBJECT ENCODING s:45", "$3\r\nraw\r\n"},
             {"OBJECT ENCODING h:small", "$8\r\nlistpack\r\n"}, {"OBJECT ENCODING h:big", "$9\r\nhashtable\r\n"},
             {"OBJECT FREQ s:num", ":1\r\n"}, {"OBJECT REFCOUNT s:num", ":1\r\n"}, {"OBJECT FREQ s:gone", NIL},
             {"OBJECT IDLETIME s:num",
              "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between "
              "policies at runtime LRU and LFU data will take some time to adjust.\r\n"},
             {"OBJECT FOO", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n"}, {"OBJECT", ARITY("object")},
             {"OBJECT FREQ", ARITY("object|freq")}, {"MEMORY USAGE s:num", ":104\r\n"},
             {"MEMORY USAGE s:num SAMPLES 0", ":104\r\n"}, {"MEMORY USAGE s:num SAMPLES -1", SYNTAX},
             {"MEMORY USAGE s:num SAMPLES x", NOT_INTEGER}, {"MEMORY USAGE s:num SAMPLES", SYNTAX},
             {"MEMORY USAGE s:gone", NIL}, {"MEMORY PURGE", "-ERR 'memory|purge' is not supported by Forebay\r\n"});
    CONVERSE({"COMMAND GETKEYS MEMORY USAGE s:num", "*1\r\n$5\r\ns:num\r\n"},
             {"COMMAND GETKEYS OBJECT FREQ s:num", "*1\r\n$5\r\ns:num\r\n"},
             {"COMMAND GETKEYS OBJECT HELP x", "-ERR The command has no key arguments\r\n"});
    is_lru = true;
    CONVERSE({"OBJECT IDLETIME s:num", ":1\r\n"},
             {"OBJECT FREQ s:num",
              "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
              "switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n"});
}

/* ---- what is not there ------------------------------------------------------------------------------------------- */

static void what_is_absent_says_so(void **state) {
    (void)state;
    CONVERSE({"ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"}, {"WAIT 0 0", ":0\r\n"}, {"WAIT 3 100", ":0\r\n"},
             {"WAIT x 0", NOT_INTEGER}, {"WAIT 0 x", "-ERR timeout is not an integer or out of range\r\n"},
             {"WAIT 0 -1", "-ERR timeout is negative\r\n"}, {"WAITAOF 0 0 0", "*2\r\n:0\r\n:0\r\n"},
             {"WAITAOF 1 0 0",
              "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n"},
             {"MODULE LIST", "*0\r\n"}, {"MODULE LOAD x", "-ERR 'module|load' is not supported by Forebay\r\n"},
             {"FUNCTION LIST", "*0\r\n"}, {"FUNCTION FLUSH", "+OK\r\n"}, {"FUNCTION FLUSH async", "+OK\r\n"},
             {"FUNCTION FLUSH x", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option\r\n"},
             {"SCRIPT FLUSH", "+OK\r\n"}, {"SCRIPT FLUSH x", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option\r\n"},
             {"SCRIPT EXISTS a b", "*2\r\n:0\r\n:0\r\n"},
             {"SCRIPT LOAD x", "-ERR Forebay does not run scripts: 'script|load' needs a Redis of its own\r\n"},
             {"DEBUG LOG hello", "+OK\r\n"}, {"DEBUG SLEEP 0", "-ERR 'debug|sleep' is not supported by Forebay\r\n"},
             {"DEBUG FOO", "-ERR unknown subcommand 'FOO'. Try DEBUG HELP.\r\n"}, {"DEBUG", ARITY("debug")});
}

static void shutdown_asks_the_process_to_stop(void **state) {
    (void)state;
    CONVERSE({"SHUTDOWN FOO", SYNTAX}, {"SHUTDOWN SAVE NOSAVE", SYNTAX}, {"SHUTDOWN ABORT NOW", SYNTAX},
             {"SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"});
    assert_int_equal(stops, 0);
    exchange(fd, "SHUTDOWN NOSAVE\r\nPING\r\n", "+PONG\r\n"); /* no reply of its own */
    assert_int_equal(stops, 1);
    exchange(fd, "SHUTDOWN NOW FORCE\r\nPING\r\n", "+PONG\r\n");
    assert_int_equal(stops, 2);
    assert_int_equal(stops_now, 1);
}

/* ---- FB. --------------------------------------------------------------------------------------------------------- */

/* The reply, RESP3, as text: one line per value, indented by its depth. */
static const char *shown(const char *request) {
    static char text[16384];
    static char reply[32768];
    size_t len = 0, used = 0;
    struct fb_resp_reply nodes = FB_RESP_REPLY_INIT;
    struct fb_resp_reply_limits limits = {1000, sizeof reply};
    fb_err err;
    enum fb_resp_verdict verdict = FB_RESP_MORE;
    say(fd, request);
    while (verdict == FB_RESP_MORE) {
        ssize_t n = recv(fd, reply + used, sizeof reply - used, 0);
        assert_true(n > 0);
        used += (size_t)n;
        nodes.count = 0;
        verdict = fb_resp_reply(reply, reply + used, &limits, &nodes, &len, &err);
    }
    assert_int_equal(verdict, FB_RESP_DONE);
    size_t at = 0;
    for (size_t i = 0; i < nodes.count; i++) {
        const struct fb_resp_node *node = &nodes.items[i];
        bool is_name = nodes.items[0].type == FB_RESP_MAP && i % 2 == 1;
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s%s", (int)node->text.len, node->text.data,
                               is_name ? ": " : "\n");
    }
    fb_resp_reply_finish(&nodes);
    return text;
}

static void assert_shows(const char *text, const char *line) {
    if (strstr(text, line) == NULL)
        fail_msg("'%s' is not in:\n%s", line, text);
}

static void speak_three(void) {
    say(fd, "HELLO 3\r\n");
    char rest[512];
    assert_true(recv(fd, rest, sizeof rest, 0) > 0);
}

static void explain_tells_what_would_answer(void **state) {
    (void)state;
    put("s:1", "hello");
    speak_three();
    const char *text = shown("FB.EXPLAIN s:1\r\n");
    assert_shows(text, "\nkey: s:1\nkeyspace: s:{id}\nsource: double\nas: json\nread: read-through\nwrite: off\n");
    assert_shows(text, "\nload sql: SELECT");
    assert_shows(text, "\nanswer: the source\nloading: no\nbeing written: no\nlast error: none\n");
    exchange(fd, "GET s:1\r\nGET s:none\r\n", "$5\r\nhello\r\n_\r\n");
    text = shown("FB.EXPLAIN s:1\r\n");
    assert_shows(text, "\nanswer: cached\nkind: string\nsize: 5 bytes\nmemory: 104 bytes\nfrequency: 1\nage: 1.5 s\n"
                       "loaded in: 2 ms\nsoft expiry: in 59m 58s: ttl 1h\nhard expiry: in 59m 58s: no grace\n");
    exchange(fd, "EXPIRE s:1 60\r\n", ":1\r\n");
    text = shown("FB.EXPLAIN s:1\r\n");
    assert_shows(text, "\nsoft expiry: in 1m: ttl 1h, shortened to 1m by EXPIRE or SET\n");
    assert_shows(shown("FB.EXPLAIN s:none\r\n"), "\nanswer: negative: known to be absent\n");
    assert_shows(shown("FB.EXPLAIN bad:1\r\n"), "\nlast error: 1.5 s ago: source 'x' is down\n");
    text = shown("FB.EXPLAIN S:1\r\n");
    assert_shows(text, "\nkeyspace: none\nanswer: the error NOMAP\nnearest keyspace: s:{id}\nwhy not: it says 'S:' and not "
                       "'s:'\n");
    assert_shows(shown("FB.EXPLAIN zzz\r\n"), "\nwhy not: no pattern comes near; FB.KEYSPACES lists them\n");
    exchange(fd, "SELECT 2\r\n", "+OK\r\n");
    assert_shows(shown("FB.EXPLAIN s:1\r\n"), "why not: keyspaces live in database 0, and 2 is selected\n");
}

static void copies_are_forgotten_and_refreshed(void **state) {
    (void)state;
    put("s:1", "a");
    put("s:2", "b");
    put_hash("h:1", "a", "1");
    CONVERSE({"EXISTS s:1 s:2 h:1", ":3\r\n"}, {"FB.INVALIDATE s:1 s:9", ":1\r\n"}, {"KEYS s:*", "*1\r\n$3\r\ns:2\r\n"},
             {"FB.INVALIDATE KEYSPACE s:{id}", ":1\r\n"}, {"KEYS *", "*1\r\n$3\r\nh:1\r\n"},
             {"FB.INVALIDATE KEYSPACE s:1", "-NOMAP there is no keyspace 's:1' (did you mean 's:{id}'?)\r\n"},
             {"FB.INVALIDATE KEYSPACE nosuch", "-NOMAP there is no keyspace 'nosuch'; FB.KEYSPACES lists them\r\n"},
             {"FB.INVALIDATE nosuch", "-NOMAP key 'nosuch' matches no keyspace and no store is configured\r\n"},
             {"FB.INVALIDATE", ARITY("fb.invalidate")}, {"FB.REFRESH s:1 s:2 s:none", ":2\r\n"}, {"DBSIZE", ":3\r\n"},
             {"FB.REFRESH bad:1", "-SRCDOWN source 'x' is down  +OK  $5  hello\r\n"});
}

static void a_keyspace_is_warmed_in_batches(void **state) {
    (void)state;
    char key[32];
    for (int i = 0; i < 600; i++) {
        snprintf(key, sizeof key, "s:%03d", i);
        put(key, "v");
    }
    speak_three();
    exchange(fd, "GET s:001\r\n", "$1\r\nv\r\n");
    assert_shows(shown("FB.WARM s:{id} 500\r\n"),
                 "\nkeyspace: s:{id}\nrows: 500\ncached before: 1\nloaded: 499\nabsent: 0\nfailed: 0\n");
    exchange(fd, "DBSIZE\r\n", ":500\r\n");
    assert_shows(shown("FB.WARM s:{id}\r\n"), "\nrows: 600\ncached before: 500\nloaded: 100\n");
    CONVERSE({"FB.WARM s:{id} 0", "-ERR limit must be between 1 and 100000\r\n"}, {"FB.WARM s:{id} x", NOT_INTEGER},
             {"FB.WARM s:{id} 1 2", SYNTAX}, {"FB.WARM h:{id}", "-ERR keyspace 'h:{id}' has no table\r\n"},
             {"FB.WARM bad:{id}", "-SRCDOWN source 'x' is down\r\n"});
}

/* Whoever hangs up while his request works in the background leaves nothing behind. */
static void a_client_may_leave_while_its_keyspace_is_warmed(void **state) {
    (void)state;
    put("s:1", "v");
    double_hold(w.cache, true);
    int other = dial(&w);
    say(other, "FB.WARM s:{id}\r\n");
    double_wait_submitted(w.cache, 1);
    close(other);
    come_round(&w);
    double_hold(w.cache, false);
    double_wait_idle(w.cache);
    exchange(fd, "PING\r\n", "+PONG\r\n");
}

static void figures_are_told_by_keyspace_and_source(void **state) {
    (void)state;
    put("s:1", "a");
    CONVERSE({"GET s:1", "$1\r\na\r\n"}, {"GET s:1", "$1\r\na\r\n"},
             {"FB.STATS nosuch", "-NOMAP there is no keyspace 'nosuch'; FB.KEYSPACES lists them\r\n"},
             {"FB.STATS a b", SYNTAX});
    speak_three();
    assert_shows(shown("FB.STATS\r\n"), "\nkeyspace: all\n");
    assert_shows(shown("FB.STATS s:{id}\r\n"), "\nhit_ratio: 50.0 %\nhits: 1\n");
    assert_shows(shown("FB.SOURCES\r\n"), "\nlast error\n1.5 s ago: source 'x' is down\n");
    assert_shows(shown("FB.KEYSPACES\r\n"), "\nttl\n1h\njitter\n10 %\nnegative ttl\n1m\n");
    assert_shows(shown("FB.HELP\r\n"), "FB.EXPLAIN key\n    Which keyspace");
}

static fb_status reload(void *user, fb_buf *text, fb_err *err) {
    const int *outcome = user;
    (void)fb_buf_append(text, "one line\nanother", 16);
    return *outcome == 0 ? FB_OK : fb_fail(err, FB_CONFIG, "forebay.yaml: 2 errors");
}

static void the_configuration_is_read_again_on_another_thread(void **state) {
    (void)state;
    struct world own;
    int outcome = 0;
    struct fb_server_options options = defaults();
    options.hooks = (struct fb_server_hooks){.reload = reload, .check = reload, .user = &outcome};
    start(&own, &options);
    int talk = dial(&own);
    exchange(talk, "FB.RELOAD\r\nFB.CHECK\r\n", "$16\r\none line\nanother\r\n$16\r\none line\nanother\r\n");
    outcome = 1;
    exchange(talk, "FB.RELOAD\r\nFB.CHECK\r\n", "-ERR forebay.yaml: 2 errors\r\n$16\r\none line\nanother\r\n");
    exchange(talk, "SHUTDOWN\r\n", "-ERR this server is stopped by the program that it is part of\r\n"); /* no hook */
    close(talk);
    stop(&own);
    CONVERSE({"FB.RELOAD", "-ERR this server was started without a configuration that could be read again\r\n"},
             {"FB.CHECK", "-ERR this server was started without a configuration that could be read again\r\n"});
}

/* ---- CLIENT PAUSE ------------------------------------------------------------------------------------------------ */

/* What is held back is answered in its order when the pause ends, and not before. */
static void paused_requests_wait_for_the_end_of_the_pause(void **state) {
    (void)state;
    put("s:1", "v");
    int other = dial(&w);
    CONVERSE({"CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n"},
             {"CLIENT PAUSE -1", "-ERR timeout is negative\r\n"},
             {"CLIENT PAUSE 1 FOO", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"},
             {"CLIENT UNBLOCK 1", ":0\r\n"}, {"CLIENT UNBLOCK x", NOT_INTEGER},
             {"CLIENT UNBLOCK 1 FOO", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"},
             {"CLIENT PAUSE 1000000 WRITE", "+OK\r\n"}, {"GET s:1", "$1\r\nv\r\n"});
    say(other, "SET s:1 w\r\nGET s:1\r\n");
    come_round(&w);
    assert_int_equal(atomic_load(&w.server->loops[0].waiting), 1);
    exchange(fd, "GET s:1\r\nCLIENT UNPAUSE\r\n", "$1\r\nv\r\n+OK\r\n");
    hear(other, "+OK\r\n$1\r\nw\r\n");
    come_round(&w);
    assert_int_equal(atomic_load(&w.server->loops[0].waiting), 0);
    exchange(fd, "CLIENT PAUSE 1000000\r\n", "+OK\r\n");
    say(other, "CLIENT REPLY SKIP\r\nPING\r\nPING\r\n");
    exchange(fd, "CLIENT UNPAUSE\r\n", "+OK\r\n");
    hear(other, "+PONG\r\n");
    exchange(fd, "CLIENT PAUSE 1\r\nPING\r\n", "+OK\r\n+PONG\r\n"); /* and it ends by itself */
    exchange(fd, "CLIENT PAUSE 1000000\r\n", "+OK\r\n");
    say(other, "PING\r\n"); /* whoever waits is no obstacle to a stop */
    close(other);
}

static void lives_beyond_all_time_are_refused(void **state) {
    (void)state;
    put("s:1", "v");
    CONVERSE({"GET s:1", "$1\r\nv\r\n"},
             {"PEXPIRE s:1 9223372036854770000", "-ERR invalid expire time in 'pexpire' command\r\n"},
             {"EXPIRE s:1 9223372036854775", "-ERR invalid expire time in 'expire' command\r\n"},
             {"SET s:1 x PX 9223372036854770000", "-ERR invalid expire time in 'set' command\r\n"},
             {"PEXPIREAT s:1 -9223372036854770000", ":1\r\n"}, {"TTL s:1", ":-2\r\n"});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connect_afresh, part)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(only_cached_keys_are_listed),
        TEST(other_databases_are_empty),
        TEST(scan_comes_round),
        TEST(keys_works_in_steps_and_keeps_the_order),
        TEST(keys_is_bounded_by_the_output),
        TEST(object_tells_of_a_copy),
        TEST(what_is_absent_says_so),
        TEST(shutdown_asks_the_process_to_stop),
        TEST(paused_requests_wait_for_the_end_of_the_pause),
        TEST(lives_beyond_all_time_are_refused),
        TEST(explain_tells_what_would_answer),
        TEST(copies_are_forgotten_and_refreshed),
        TEST(a_keyspace_is_warmed_in_batches),
        TEST(a_client_may_leave_while_its_keyspace_is_warmed),
        TEST(figures_are_told_by_keyspace_and_source),
        TEST(the_configuration_is_read_again_on_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
