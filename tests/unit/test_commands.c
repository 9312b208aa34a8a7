/* Every command of the table, through a real socket, over a double of the engine.
 *
 * The table itself: each row has a handler, refuses a wrong number of arguments in Redis' words, and is told truthfully
 * by COMMAND. What each command answers: transcripts, carried out twice so that each reading command is seen both as a
 * miss and as a hit. The state a connection carries: version, database, whether replies are sent. */
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

#include "double_engine.h"
#include "proto/resp.h"
#include "served.h"
#include "server/commands.h"

static struct world w;
static int fd;

static int connect_afresh(void **state) {
    struct fb_server_options options = defaults();
    (void)state;
    start(&w, &options);
    fd = dial(&w);
    return 0;
}

static int part(void **state) {
    (void)state;
    close(fd);
    stop(&w);
    return 0;
}

static void put(const char *key, const char *value) { double_put(w.cache, key, FB_KIND_STRING, FB_STR(value)); }

/* A hash from "name=value" words. */
static void put_hash(const char *key, const char *const *words) {
    fb_buf hash = FB_BUF_INIT;
    for (; *words != NULL; words++) {
        const char *equals = strchr(*words, '=');
        (void)fb_hash_append(&hash, fb_bytes_of(*words, (size_t)(equals - *words)), FB_STR(equals + 1));
    }
    double_put(w.cache, key, FB_KIND_HASH, fb_bytes_of(hash.data, hash.len));
    fb_buf_free(&hash);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static void rows_are_unique_sorted_and_complete(void **state) {
    (void)state;
    size_t n, m;
    const struct fb_command *rows = fb_commands(&n), *children = fb_subcommands(&m);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(rows[i].handler);
        assert_true(rows[i].arity != 0 && rows[i].summary[0] != '\0' && rows[i].since[0] != '\0');
        assert_ptr_equal(fb_command_named(FB_STR(rows[i].name)), &rows[i]);
        assert_true(!(rows[i].flags & FB_CMD_READ && rows[i].flags & FB_CMD_WRITE));
        if (i > 0 && strcmp(rows[i - 1].group, rows[i].group) == 0)
            assert_true(strcmp(rows[i - 1].name, rows[i].name) < 0);
        else if (i > 0)
            assert_true(strcmp(rows[i - 1].group, rows[i].group) < 0);
    }
    for (size_t i = 0; i < m; i++) {
        const fb_bytes words[] = {FB_STR(children[i].parent), FB_STR(children[i].name)};
        assert_non_null(children[i].handler);
        assert_ptr_equal(fb_verb_find(words, 2).command, &children[i]);
        assert_true(fb_command_named(words[0])->flags & FB_CMD_PARENT);
    }
}

static void names_are_found_in_any_case_and_nothing_else_is(void **state) {
    (void)state;
    assert_non_null(fb_command_named(FB_STR("GeT")));
    assert_ptr_equal(fb_command_named(FB_STR("HINCRBYFLOAT")), fb_command_named(FB_STR("hincrbyfloat")));
    static const char *const strangers[] = {"", "ge", "gett", "g\x05t", "\x07\x05\x14", "get ", " get", "hincrbyfloatt",
                                            "a name that is longer than any other", "client|id"};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        assert_null(fb_command_named(FB_STR(strangers[i])));
}

/* One argument too few, and for a fixed number one too many: before anything else is looked at. */
static void wrong_number_of_arguments_is_refused_for_every_row(void **state) {
    (void)state;
    size_t n[2];
    const struct fb_command *tables[] = {fb_commands(&n[0]), fb_subcommands(&n[1])};
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    char expected[128];
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < n[t]; i++) {
            const struct fb_command *row = &tables[t][i];
            size_t least = (size_t)abs(row->arity), own = row->parent != NULL ? 2 : 1;
            size_t counts[] = {least - 1, row->arity > 0 ? least + 1 : 0};
            const char *head = row->handler == fb_cmd_exec ? "EXECABORT Transaction discarded because of:" : "ERR";
            snprintf(expected, sizeof expected, "-%s wrong number of arguments for '%s%s%s' command\r\n", head,
                     row->parent != NULL ? row->parent : "", row->parent != NULL ? "|" : "", row->name);
            for (int k = 0; k < 2; k++) {
                fb_bytes words[8] = {FB_STR(own == 2 ? row->parent : row->name), FB_STR(row->name)};
                if (counts[k] < own || (row->flags & FB_CMD_PARENT && counts[k] > 1))
                    continue;
                for (size_t j = own; j < counts[k]; j++)
                    words[j] = FB_STR("1");
                out.buf.len = 0;
                fb_resp_write_command(&out, words, counts[k]);
                say_bytes(fd, out.buf.data, out.buf.len);
                hear(fd, expected);
            }
        }
    fb_buf_free(&out.buf);
}

/* One reply, parsed; what it points to stays until the next one. */
static struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
static const struct fb_resp_node *ask(const char *request) {
    static char bytes[1 << 18];
    static const struct fb_resp_reply_limits limits = {100000, sizeof bytes};
    size_t have = 0, size = 0;
    fb_err err;
    say(fd, request);
    for (;;) {
        ssize_t n = recv(fd, bytes + have, sizeof bytes - have, 0);
        assert_true(n > 0);
        have += (size_t)n;
        enum fb_resp_verdict verdict = fb_resp_reply(bytes, bytes + have, &limits, &reply, &size, &err);
        if (verdict == FB_RESP_DONE)
            break;
        assert_int_equal(verdict, FB_RESP_MORE);
    }
    assert_int_equal(size, have);
    return reply.items;
}
static bool is_text(const struct fb_resp_node *node, const char *text) {
    return node->text.len == strlen(text) && memcmp(node->text.data, text, node->text.len) == 0;
}

static void command_tells_what_the_table_says(void **state) {
    (void)state;
    size_t n, nchildren;
    const struct fb_command *rows = fb_commands(&n);
    (void)fb_subcommands(&nchildren);
    assert_int_equal(ask("COMMAND COUNT\r\n")->number, n);
    assert_int_equal(ask("COMMAND\r\n")->children, n);
    assert_int_equal(ask("COMMAND INFO\r\n")->children, n);
    assert_int_equal(ask("COMMAND LIST\r\n")->children, n + nchildren);
    assert_int_equal(ask("COMMAND DOCS\r\n")->children, 2 * n); /* a map, in RESP2 */
    for (size_t i = 0; i < n; i++) {
        char request[64];
        snprintf(request, sizeof request, "COMMAND INFO %s\r\n", rows[i].name);
        const struct fb_resp_node *node = ask(request);
        assert_int_equal(node[1].children, 10);
        assert_true(is_text(&node[2], rows[i].name));
        assert_int_equal(node[3].number, rows[i].arity);
        const struct fb_resp_node *first = &node[5 + node[4].children];
        assert_int_equal(first[0].number, rows[i].first);
        assert_int_equal(first[1].number, rows[i].last);
        assert_int_equal(first[2].number, rows[i].step);
    }
    exchange(fd, "COMMAND INFO nosuch\r\n", "*1\r\n$-1\r\n");
    assert_true(is_text(ask("COMMAND INFO client|id\r\n") + 2, "client|id"));
    exchange(fd, "COMMAND INFO get|x client|id|x client|nosuch\r\n", "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    exchange(fd, "COMMAND LIST FILTERBY PATTERN pubsub|num?at\r\n", "*1\r\n$13\r\npubsub|numpat\r\n");
    exchange(fd, "COMMAND LIST FILTERBY PATTERN ge?\r\n", "*1\r\n$3\r\nget\r\n");
    exchange(fd, "COMMAND LIST FILTERBY ACLCAT nosuch\r\n", "*0\r\n");
    assert_true(ask("COMMAND LIST FILTERBY ACLCAT hash\r\n")->children >= 15);
    exchange(fd, "COMMAND LIST FILTERBY x\r\n", "-ERR syntax error\r\n");
    exchange(fd, "COMMAND GETKEYS GET a\r\n", "*1\r\n$1\r\na\r\n");
    exchange(fd, "COMMAND GETKEYS MSET a 1 b 2\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    exchange(fd, "COMMAND GETKEYS DEL a b c\r\n", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    exchange(fd, "COMMAND GETKEYS PING a\r\n", "-ERR The command has no key arguments\r\n");
    exchange(fd, "COMMAND GETKEYS GET a b\r\n", "-ERR Invalid number of arguments specified for command\r\n");
    exchange(fd, "COMMAND GETKEYS nosuch a\r\n", "-ERR Invalid command specified\r\n");
}

static void help_names_every_subcommand(void **state) {
    (void)state;
    size_t n, m, all = 0;
    const struct fb_command *rows = fb_commands(&n), *children = fb_subcommands(&m);
    for (size_t i = 0; i < n; i++) {
        char request[32];
        size_t count = 0;
        for (size_t k = 0; k < m; k++)
            count += strcmp(children[k].parent, rows[i].name) == 0;
        if (count == 0)
            continue;
        snprintf(request, sizeof request, "%s HELP\r\n", rows[i].name);
        assert_int_equal(ask(request)->children, 1 + 2 * count);
        all += count;
    }
    assert_int_equal(all, m);
}

static void reference_page_names_every_command(void **state) {
    (void)state;
    char *page = NULL;
    size_t len = 0, n, m;
    const struct fb_command *rows = fb_commands(&n), *children = fb_subcommands(&m);
    FILE *out = open_memstream(&page, &len);
    fb_commands_print_reference(out);
    fclose(out);
    for (size_t i = 0; i < n; i++) /* CLIENT and CONFIG stand there by their subcommands */
        assert_true(strstr(page, rows[i].summary) != NULL || rows[i].flags & FB_CMD_PARENT);
    for (size_t i = 0; i < m; i++)
        assert_non_null(strstr(page, children[i].summary));
    assert_non_null(strstr(page, "`lpush`"));
    free(page);
}

/* ---- what each command answers ---------------------------------------------------------------------------------- */

struct exchange { const char *request, *reply; };
#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_FLOAT "-ERR value is not a valid float\r\n"
#define NOMAP(key) "-NOMAP key '" key "' matches no keyspace and no store is configured\r\n"
#define EXPIRE_TIME(name) "-ERR invalid expire time in '" name "' command\r\n"
#define ARITY(name) "-ERR wrong number of arguments for '" name "' command\r\n"
#define OK "+OK\r\n"
#define NIL "$-1\r\n"

static void converse(const struct exchange *rows, size_t n) {
    char request[512];
    for (size_t i = 0; i < n; i++) {
        snprintf(request, sizeof request, "%s\r\n", rows[i].request);
        say(fd, request);
        hear(fd, rows[i].reply);
    }
}
#define CONVERSE(...)                                                                                                  \
    do {                                                                                                               \
        static const struct exchange rows_[] = {__VA_ARGS__};                                                          \
        converse(rows_, sizeof rows_ / sizeof rows_[0]);                                                               \
    } while (0)

static void strings_are_read(void **state) {
    (void)state;
    static const char *const fields[] = {"a=1", NULL};
    put("s:1", "Hello");
    put_hash("h:1", fields);
    for (int round = 0; round < 2; round++) /* misses, then hits */
        CONVERSE({"GET s:1", "$5\r\nHello\r\n"}, {"get s:none", NIL}, {"GET h:1", WRONGTYPE},
                 {"GET h:none", NIL}, /* absent is nil, whatever the keyspace holds */ {"STRLEN s:1", ":5\r\n"},
                 {"STRLEN s:none", ":0\r\n"}, {"STRLEN h:1", WRONGTYPE}, {"GETRANGE s:1 1 3", "$3\r\nell\r\n"},
                 {"GETRANGE s:1 -3 -1", "$3\r\nllo\r\n"}, {"GETRANGE s:1 0 -1", "$5\r\nHello\r\n"},
                 {"GETRANGE s:1 3 100", "$2\r\nlo\r\n"}, {"GETRANGE s:1 -100 1", "$2\r\nHe\r\n"},
                 {"GETRANGE s:1 4 1", "$0\r\n\r\n"}, {"GETRANGE s:1 -1 -3", "$0\r\n\r\n"},
                 {"GETRANGE s:1 -200 -100", "$1\r\nH\r\n"}, {"GETRANGE s:none 0 -1", "$0\r\n\r\n"},
                 {"GETRANGE s:1 9 20", "$0\r\n\r\n"},
                 {"GETRANGE s:1 -9223372036854775808 9223372036854775807", "$5\r\nHello\r\n"},
                 {"GETRANGE s:1 x 3", NOT_INTEGER}, {"GETRANGE h:1 0 1", WRONGTYPE},
                 {"SUBSTR s:1 0 0", "$1\r\nH\r\n"},
                 {"MGET s:1 s:none h:1 s:1", "*4\r\n$5\r\nHello\r\n$-1\r\n$-1\r\n$5\r\nHello\r\n"},
                 {"MGET s:1 foo", NOMAP("foo")}, {"MGET foo s:1", NOMAP("foo")}, {"TYPE s:1", "+string\r\n"},
                 {"TYPE h:1", "+hash\r\n"}, {"TYPE s:none", "+none\r\n"}, {"EXISTS s:1 s:none h:1 s:1", ":3\r\n"},
                 {"TOUCH s:1 s:none", ":1\r\n"}, {"EXISTS s:1 foo", NOMAP("foo")});
}

static void strings_are_written(void **state) {
    (void)state;
    CONVERSE({"SET s:1 a", OK}, {"GET s:1", "$1\r\na\r\n"}, {"SET s:1 b NX", NIL}, {"SET s:1 b XX", OK},
             {"SET s:2 b XX", NIL}, {"SET s:2 b nx", OK}, {"SET s:1 c GET", "$1\r\nb\r\n"}, {"SET s:3 c GET", NIL},
             {"SET s:1 d NX GET", "$1\r\nc\r\n"}, {"GET s:1", "$1\r\nc\r\n"}, {"SET s:1 d EX 100", OK},
             {"TTL s:1", ":100\r\n"}, {"SET s:1 d PX 12345", OK}, {"PTTL s:1", ":12345\r\n"},
             {"SET s:1 d KEEPTTL", OK}, {"SET s:1 d EX 0", EXPIRE_TIME("set")},
             {"SET s:1 d EX -1", EXPIRE_TIME("set")}, {"SET s:1 d EX 9223372036854775807", EXPIRE_TIME("set")},
             {"SET s:1 d EX x", NOT_INTEGER}, {"SET s:1 d EX", SYNTAX}, {"SET s:1 d EX 1 PX 1", SYNTAX},
             {"SET s:1 d EX 1 KEEPTTL", SYNTAX}, {"SET s:1 d NX XX", SYNTAX}, {"SET s:1 d nonsense", SYNTAX},
             {"SET s:1 d EXAT 99999999999", OK}, {"SET s:1 d PXAT 1", OK}, {"PTTL s:1", ":1\r\n"},
             {"SETEX s:1 10 e", OK}, {"TTL s:1", ":10\r\n"}, {"GET s:1", "$1\r\ne\r\n"},
             {"SETEX s:1 0 e", EXPIRE_TIME("setex")}, {"PSETEX s:1 10000 f", OK}, {"PTTL s:1", ":10000\r\n"},
             {"SETNX s:1 g", ":0\r\n"}, {"SETNX s:9 g", ":1\r\n"}, {"GETSET s:1 h", "$1\r\nf\r\n"},
             {"GETSET s:8 h", NIL}, {"SET h:1 x", WRONGTYPE}, {"SET foo x", NOMAP("foo")},
             {"SET ro:1 x", "-MAPRO keyspace 'ro:{id}' is read-only (write: off)\r\n"}, {"SET ig:1 x", OK},
             {"GET ig:1", NIL}, {"SETNX ig:1 x", ":1\r\n"}, {"MSET s:1 a s:2 b", OK},
             {"MGET s:1 s:2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"}, {"MSET s:1 a s:2", ARITY("mset")},
             {"MSET s:1 a foo b", NOMAP("foo")}, {"MSETNX s:1 x s:77 y", ":0\r\n"}, {"GET s:77", NIL},
             {"MSETNX s:77 x s:78 y", ":1\r\n"},
             {"MSETNX s:80 a s:81 b s:80 c", ":1\r\n"}, {"GET s:80", "$1\r\nc\r\n"}, {"GETDEL s:77", "$1\r\nx\r\n"}, {"GETDEL s:none", NIL},
             {"GETDEL h:1", NIL}, {"GETEX s:1 EX 50", "$1\r\na\r\n"}, {"GETEX s:1", "$1\r\na\r\n"},
             {"GETEX s:1 PERSIST", "$1\r\na\r\n"}, {"GETEX s:none PERSIST", NIL}, {"GETEX s:1 EX", SYNTAX},
             {"GETEX s:1 EX 1 PX 1", SYNTAX}, {"GETEX s:1 nonsense 1", SYNTAX},
             {"GETEX s:1 EX 0", EXPIRE_TIME("getex")});
}

static void numbers_are_added_at_the_source(void **state) {
    (void)state;
    put("s:n", "10");
    CONVERSE({"INCR s:n", ":11\r\n"}, {"DECR s:n", ":10\r\n"}, {"INCRBY s:n 5", ":15\r\n"},
             {"DECRBY s:n 20", ":-5\r\n"}, {"INCRBY s:n x", NOT_INTEGER},
             {"INCRBY s:n 9223372036854775808", NOT_INTEGER},
             {"DECRBY s:n -9223372036854775808", "-ERR decrement would overflow\r\n"}, {"INCRBY s:n 01", NOT_INTEGER},
             {"INCRBYFLOAT s:n 0.5", "$4\r\n-4.5\r\n"}, {"INCRBYFLOAT s:n nan", NOT_FLOAT},
             {"INCRBYFLOAT s:n -Inf", "-ERR increment would produce NaN or Infinity\r\n"},
             {"INCRBYFLOAT s:n 1e9999", NOT_FLOAT}, {"HINCRBYFLOAT h:n f infinity", "-ERR value is NaN or Infinity\r\n"},
             {"INCRBYFLOAT s:n \"\"", NOT_FLOAT}, {"INCRBYFLOAT s:n .", NOT_FLOAT},
             {"INCRBYFLOAT s:n 1.5e1", "$4\r\n10.5\r\n"}, {"HINCRBY h:n f 5", ":5\r\n"},
             {"HINCRBY h:n f -7", ":-2\r\n"}, {"HINCRBY h:n f x", NOT_INTEGER},
             {"HINCRBYFLOAT h:n f 0.25", "$5\r\n-1.75\r\n"}, {"HINCRBYFLOAT h:n f NaN", NOT_FLOAT},
             {"INCR ro:1", "-MAPRO keyspace 'ro:{id}' is read-only (write: off)\r\n"});
}

static void hashes_are_read(void **state) {
    (void)state;
    static const char *const fields[] = {"name=Ada", "age=36", "note=", NULL};
    put_hash("h:1", fields);
    put("s:1", "x");
    for (int round = 0; round < 2; round++)
        CONVERSE({"HGET h:1 name", "$3\r\nAda\r\n"}, {"HGET h:1 Name", NIL}, {"HGET h:1 note", "$0\r\n\r\n"},
                 {"HGET h:none name", NIL}, {"HGET s:1 name", WRONGTYPE},
                 {"HMGET h:1 age nope name", "*3\r\n$2\r\n36\r\n$-1\r\n$3\r\nAda\r\n"},
                 {"HMGET h:none a b", "*2\r\n$-1\r\n$-1\r\n"}, {"HMGET s:1 a", WRONGTYPE},
                 {"HGETALL h:1", "*6\r\n$4\r\nname\r\n$3\r\nAda\r\n$3\r\nage\r\n$2\r\n36\r\n$4\r\nnote\r\n$0\r\n"
                  "\r\n"},
                 {"HGETALL h:none", "*0\r\n"}, {"HGETALL s:1", WRONGTYPE}, {"HEXISTS h:1 age", ":1\r\n"},
                 {"HEXISTS h:1 x", ":0\r\n"}, {"HEXISTS h:none x", ":0\r\n"}, {"HEXISTS s:1 x", WRONGTYPE},
                 {"HKEYS h:1", "*3\r\n$4\r\nname\r\n$3\r\nage\r\n$4\r\nnote\r\n"}, {"HKEYS h:none", "*0\r\n"},
                 {"HVALS h:1", "*3\r\n$3\r\nAda\r\n$2\r\n36\r\n$0\r\n\r\n"}, {"HVALS s:1", WRONGTYPE},
                 {"HLEN h:1", ":3\r\n"}, {"HLEN h:none", ":0\r\n"}, {"HLEN s:1", WRONGTYPE},
                 {"HSTRLEN h:1 name", ":3\r\n"}, {"HSTRLEN h:1 x", ":0\r\n"}, {"HSTRLEN s:1 x", WRONGTYPE},
                 {"HSCAN h:1 0 MATCH *a* COUNT 1", "*2\r\n$1\r\n0\r\n*4\r\n$4\r\nname\r\n$3\r\nAda\r\n$3\r\n"
                  "age\r\n$2\r\n36\r\n"},
                 {"HSCAN h:1 0 NOVALUES MATCH age", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nage\r\n"},
                 {"HSCAN h:none 0", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"HSCAN h:1 x", "-ERR invalid cursor\r\n"},
                 {"HSCAN h:1 0 COUNT 0", SYNTAX}, {"HSCAN h:1 0 COUNT x", NOT_INTEGER}, {"HSCAN h:1 0 MATCH", SYNTAX},
                 {"HSCAN s:1 0", WRONGTYPE}, {"HRANDFIELD h:none", NIL}, {"HRANDFIELD h:none 5", "*0\r\n"},
                 {"HRANDFIELD h:1 0", "*0\r\n"}, {"HRANDFIELD h:1 x", NOT_INTEGER}, {"HRANDFIELD h:1 1 x", SYNTAX},
                 {"HRANDFIELD h:1 -9223372036854775808",
                  "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n"},
                 {"HRANDFIELD h:1 -9223372036854775807", "-ERR value is out of range\r\n"},
                 {"HRANDFIELD s:1", WRONGTYPE});
    assert_int_equal(ask("HRANDFIELD h:1 10\r\n")->children, 3);
    assert_int_equal(ask("HRANDFIELD h:1 -10\r\n")->children, 10);
    const struct fb_resp_node *node = ask("HRANDFIELD h:1 2 WITHVALUES\r\n");
    assert_int_equal(node->children, 4);
    assert_false(is_text(&node[1], "name") && is_text(&node[3], "name")); /* without repetition */
    exchange(fd, "HELLO 3\r\n", "%7\r\n");
}

static void hashes_are_written(void **state) {
    (void)state;
    CONVERSE({"HSET h:1 a 1 b 2", ":2\r\n"}, {"HSET h:1 a 3 c 4", ":1\r\n"}, {"HGET h:1 a", "$1\r\n3\r\n"},
             {"HSET h:1 a", ARITY("hset")}, {"HSET h:1 a 1 b", ARITY("hset")}, {"HMSET h:1 d 5", OK},
             {"HSETNX h:1 d 6", ":0\r\n"}, {"HSETNX h:1 e 7", ":1\r\n"}, {"HDEL h:1 a b nope", ":2\r\n"},
             {"HLEN h:1", ":3\r\n"}, {"HSET foo a 1", NOMAP("foo")});
}

static void lives_of_copies_are_told_and_shortened(void **state) {
    (void)state;
    put("s:1", "x");
    CONVERSE({"TTL s:1", ":-2\r\n"}, /* a row, but no copy */ {"EXPIRE s:1 10", ":0\r\n"}, {"PERSIST s:1", ":0\r\n"},
             {"GET s:1", "$1\r\nx\r\n"}, {"TTL s:1", ":3600\r\n"}, {"PTTL s:1", ":3600000\r\n"},
             {"EXPIRE s:1 100", ":1\r\n"}, {"TTL s:1", ":100\r\n"}, {"PEXPIRE s:1 1500", ":1\r\n"},
             {"TTL s:1", ":2\r\n"}, {"PERSIST s:1", ":1\r\n"}, {"TTL s:1", ":3600\r\n"},
             {"EXPIRE s:1 x", NOT_INTEGER}, {"EXPIRE s:1 10 ZZ", "-ERR Unsupported option ZZ\r\n"},
             {"EXPIRE s:1 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
             {"EXPIRE s:1 10 GT NX", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
             {"EXPIRE s:1 10 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"},
             {"EXPIRE s:1 9223372036854775807", EXPIRE_TIME("expire")}, {"EXPIREAT s:1 99999999999", ":1\r\n"},
             {"EXPIRETIME s:1", ":99999999999\r\n"}, {"PEXPIREAT s:1 99999999999000", ":1\r\n"}, {"GET s:none", NIL},
             {"TTL s:none", ":-2\r\n"}, {"EXPIRETIME s:none", ":-2\r\n"}, {"PEXPIRETIME s:none", ":-2\r\n"},
             {"EXPIRE s:1 -1", ":1\r\n"}, {"TTL s:1", ":-2\r\n"}, {"GET s:1", "$1\r\nx\r\n"},
             {"EXPIREAT s:1 1", ":1\r\n"}, {"TTL s:1", ":-2\r\n"}, {"TTL foo", NOMAP("foo")});
}

static void del_and_flush_forget_copies_and_keep_rows(void **state) {
    (void)state;
    put("s:1", "x");
    put("s:2", "y");
    CONVERSE({"DEL s:1", ":0\r\n"}, {"GET s:1", "$1\r\nx\r\n"}, {"GET s:2", "$1\r\ny\r\n"}, {"DBSIZE", ":2\r\n"},
             {"DEL s:1 s:2 s:3", ":2\r\n"}, {"GET s:1", "$1\r\nx\r\n"}, {"UNLINK s:1", ":1\r\n"},
             {"GET s:1", "$1\r\nx\r\n"}, {"FLUSHDB", OK}, {"DBSIZE", ":0\r\n"}, {"GET s:1", "$1\r\nx\r\n"},
             {"FLUSHALL ASYNC", OK}, {"FLUSHDB x", SYNTAX}, {"GET s:1", "$1\r\nx\r\n"}, {"SELECT 2", OK},
             {"FLUSHDB", OK}, {"DBSIZE", ":0\r\n"}, {"SELECT 0", OK}, {"DBSIZE", ":1\r\n"}, {"SELECT 2", OK},
             {"FLUSHALL", OK}, {"SELECT 0", OK}, {"DBSIZE", ":0\r\n"}, {"DEL s:1 foo", NOMAP("foo")});
}

static void what_is_not_possible_is_refused_in_known_words(void **state) {
    (void)state;
    CONVERSE({"foo", "-ERR unknown command 'foo', with args beginning with: \r\n"},
             {"FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"},
             {"SENTINEL MASTERS", "-ERR unknown command 'SENTINEL', with args beginning with: 'MASTERS' \r\n"},
             {"CLIENT MAINT_NOTIFICATIONS ON", "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"},
             {"CONFIG nope", "-ERR unknown subcommand 'nope'. Try CONFIG HELP.\r\n"},
             {"CLUSTER NODES", "-ERR This instance has cluster support disabled\r\n"},
             {"EVALSHA abc 0", "-ERR Forebay does not run scripts: 'evalsha' needs a Redis of its own\r\n"},
             {"eval\x7fro x 0", "-ERR unknown command 'eval\x7fro', with args beginning with: 'x' '0' \r\n"},
             {"BGSAVE", "-ERR 'bgsave' is not supported by Forebay\r\n"},
             {"LPUSH s:1 x", "-ERR 'lpush' is not supported on mapped key 's:1' (keyspace 's:{id}', as json)\r\n"},
             {"rename h:1 x", "-ERR 'rename' is not supported on mapped key 'h:1' (keyspace 'h:{id}', as hash)\r\n"},
             {"BITOP AND s:1 s:2",
              "-ERR 'bitop' is not supported on mapped key 's:1' (keyspace 's:{id}', as json)\r\n"},
             {"LPUSH q x", NOMAP("q")}, {"LPUSH", ARITY("lpush")},
             {"GET S:1", "-NOMAP key 'S:1' matches no keyspace and no store is configured "
                         "(did you mean 's:{id}'? it says 'S:' and not 's:')\r\n"},
             {"CONFIG SET maxmemory 1", /* nobody behind this server changes settings */
              "-ERR Unknown option or number of arguments for CONFIG SET - 'maxmemory'\r\n"},
             {"AUTH x",
              "-ERR AUTH <password> called without any password configured for the default user. "
              "Are you sure your configuration is correct?\r\n"},
             {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
             {"HELLO 3 nonsense", "-ERR Syntax error in HELLO option 'nonsense'\r\n"},
             {"CLIENT SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
             {"PING a b", ARITY("ping")});
}

static void connection_is_greeted_named_and_tested(void **state) {
    (void)state;
    CONVERSE({"PING", "+PONG\r\n"}, {"PING hi", "$2\r\nhi\r\n"}, {"ECHO hi", "$2\r\nhi\r\n"}, {"CLIENT GETNAME", NIL},
             {"CLIENT SETNAME me", OK}, {"CLIENT GETNAME", "$2\r\nme\r\n"}, {"CLIENT SETNAME \"\"", OK},
             {"CLIENT GETNAME", NIL}, {"CLIENT ID", ":1\r\n"}, {"CLIENT SETINFO LIB-NAME x", OK},
             {"CLIENT SETINFO lib-ver 1.2", OK}, {"CLIENT SETINFO x y", "-ERR Unrecognized option 'x'\r\n"},
             {"CLIENT NO-EVICT ON", OK}, {"CLIENT NO-TOUCH off", OK}, {"CLIENT NO-EVICT x", SYNTAX},
             {"CLIENT LIST TYPE pubsub", "$0\r\n\r\n"}, {"CLIENT LIST ID 99", "$0\r\n\r\n"},
             {"CLIENT LIST x", SYNTAX}, {"CLIENT LIST ID x", "-ERR Invalid client ID\r\n"},
             {"CONFIG GET databases", "*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n"},
             {"CONFIG GET save save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"}, {"CONFIG GET nosuch", "*0\r\n"},
             {"CONFIG RESETSTAT", OK},
             {"HELLO", "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n"
              ":2\r\n" "$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
              "$7\r\nmodules\r\n*0\r\n"});
    const struct fb_resp_node *node = ask("CLIENT INFO\r\n");
    char line[1024];
    snprintf(line, sizeof line, "%.*s", (int)node->text.len, node->text.data);
    assert_non_null(strstr(line, " lib-name=x lib-ver=1.2"));
    assert_non_null(strstr(line, " cmd=client|info "));
    assert_int_equal(ask("TIME\r\n")->children, 2);
    exchange(fd, "QUIT\r\nPING\r\n", "+OK\r\n");
    char rest[16];
    assert_int_equal(hear_end(fd, rest, sizeof rest), 0);
}

/* ---- INFO ------------------------------------------------------------------------------------------------------- */

/* The number behind "name:" in INFO. */
static long long figure(const char *request, const char *name) {
    const struct fb_resp_node *node = ask(request);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\n%s:", name);
    const char *found = memmem(node->text.data, node->text.len, wanted, strlen(wanted));
    if (found == NULL)
        fail_msg("INFO has no %s", name);
    return strtoll(found + strlen(wanted), NULL, 10);
}

static void info_has_what_tools_look_for_and_counts_right(void **state) {
    (void)state;
    static const char *const names[] = {
        "redis_version", "server_name", "forebay_version", "uptime_in_seconds", "tcp_port", "connected_clients",
        "maxclients",
        "blocked_clients", "used_memory", "used_memory_rss", "maxmemory", "maxmemory_policy", "mem_fragmentation_ratio",
        "loading", "aof_rewrite_in_progress", "rdb_bgsave_in_progress", "total_commands_processed", "keyspace_hits",
        "keyspace_misses", "evicted_keys", "expired_keys", "rejected_connections", "total_net_input_bytes", "role",
        "used_cpu_sys", "cluster_enabled", "source_loads", "writes_ignored", "ks0", "ks4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)figure("INFO\r\n", names[i]);
    put("s:1", "x");
    CONVERSE({"GET s:1", "$1\r\nx\r\n"}, {"GET s:1", "$1\r\nx\r\n"}, {"GET s:2", "$-1\r\n"},
             {"nonsense", "-ERR unknown command 'nonsense', with args beginning with: \r\n"});
    assert_int_equal(figure("INFO stats\r\n", "keyspace_hits"), 1);
    assert_int_equal(figure("INFO stats\r\n", "keyspace_misses"), 2);
    assert_int_equal(figure("INFO stats\r\n", "total_error_replies"), 1);
    assert_true(is_text(ask("INFO errorstats\r\n"), "# Errorstats\r\nerrorstat_ERR:count=1\r\n"));
    assert_int_equal(figure("INFO everything\r\n", "connected_clients"), 1);
    long long before = figure("INFO all\r\n", "total_commands_processed");
    assert_int_equal(figure("INFO default\r\n", "total_commands_processed"), before + 1);
    const struct fb_resp_node *node = ask("INFO keyspace\r\n");
    assert_true(is_text(node, "# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=3598500\r\n"));
    node = ask("INFO cluster Modules\r\n");
    assert_true(is_text(node, "# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n"));
    node = ask("INFO nosuch\r\n");
    assert_int_equal(node->text.len, 0);
    exchange(fd, "CONFIG RESETSTAT\r\n", "+OK\r\n");
    assert_int_equal(figure("INFO stats\r\n", "keyspace_hits"), 0);
    assert_int_equal(figure("INFO stats\r\n", "total_error_replies"), 0);
    assert_true(is_text(ask("INFO errorstats\r\n"), "# Errorstats\r\n"));
}

/* ---- the state of a connection ---------------------------------------------------------------------------------- */

static void version_three_changes_the_form_of_replies(void **state) {
    (void)state;
    fb_buf hash = FB_BUF_INIT;
    (void)fb_hash_append(&hash, FB_STR("a"), FB_STR("1"));
    (void)fb_hash_append(&hash, FB_STR("b"), FB_STR("22"));
    double_put(w.cache, "h:1", FB_KIND_HASH, fb_bytes_of(hash.data, hash.len));
    /* The first is a miss and is answered in the version of its time, although the second comes in the same packet. */
    say(fd, "HGETALL h:1\r\nHELLO 3\r\nHGETALL h:1\r\nGET s:none\r\nHELLO 4\r\nHELLO 2\r\nHGETALL h:1\r\n");
    hear(fd, "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$2\r\n22\r\n%7\r\n$6\r\nserver\r\n"
             "$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n"
             "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n"
             "$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
             "%2\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$2\r\n22\r\n_\r\n"
             "-NOPROTO unsupported protocol version\r\n*14\r\n");
    fb_buf_free(&hash);
}

static void replies_can_be_switched_off(void **state) {
    (void)state;
    exchange(fd, "CLIENT REPLY OFF\r\nGET s:1\r\nSET s:1 x\r\nPING\r\nNONSENSE\r\nCLIENT REPLY ON\r\nGET s:1\r\n",
             "+OK\r\n$1\r\nx\r\n");
    exchange(fd, "CLIENT REPLY SKIP\r\nGET s:7\r\nGET s:1\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n",
             "$1\r\nx\r\n+PONG\r\n");
    exchange(fd, "CLIENT REPLY OFF\r\nRESET\r\nPING\r\n", "+RESET\r\n+PONG\r\n");
}

#define ELSEWHERE                                                                                                      \
    "-NOMAP key 's:1' matches no keyspace and no store is configured "                                                 \
    "(keyspaces live in database 0, and 1 is selected)\r\n"

static void keys_of_other_databases_are_unmapped(void **state) {
    (void)state;
    double_put(w.cache, "s:1", FB_KIND_STRING, FB_STR("x"));
    exchange(fd, "GET s:1\r\nSELECT 1\r\nGET s:1\r\nMGET s:1\r\nDBSIZE\r\nSELECT 16\r\n"
                 "SELECT x\r\nSELECT 0\r\nGET s:1\r\n",
             "$1\r\nx\r\n+OK\r\n" ELSEWHERE ELSEWHERE
             ":0\r\n-ERR DB index is out of range\r\n"
             "-ERR value is not an integer or out of range\r\n+OK\r\n$1\r\nx\r\n");
    exchange(fd, "GET __Booksleeve_TieBreak\r\n", "$-1\r\n");
}

static void text_of_a_source_cannot_forge_a_reply(void **state) {
    (void)state;
    exchange(fd, "GET bad:1\r\nMGET s:1 bad:1\r\nPING\r\n",
             "-SRCDOWN source 'x' is down  +OK  $5  hello\r\n-SRCDOWN source 'x' is down  +OK  $5  hello\r\n+PONG\r\n");
    say(fd, "*2\r\n$3\r\nGET\r\n$6\r\na\r\n+OK\r\n*1\r\n$6\r\nx\r\n+OK\r\n");
    hear(fd, "-NOMAP key 'a  +OK' matches no keyspace and no store is configured\r\n"
             "-ERR unknown command 'x  +OK', with args beginning with: \r\n");
}

static int forget_reply(void **state) {
    (void)state;
    fb_resp_reply_finish(&reply);
    return 0;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, connect_afresh, part)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_unique_sorted_and_complete),
        TEST(names_are_found_in_any_case_and_nothing_else_is),
        TEST(wrong_number_of_arguments_is_refused_for_every_row),
        TEST(command_tells_what_the_table_says),
        TEST(help_names_every_subcommand),
        TEST(reference_page_names_every_command),
        TEST(strings_are_read),
        TEST(strings_are_written),
        TEST(numbers_are_added_at_the_source),
        TEST(hashes_are_read),
        TEST(hashes_are_written),
        TEST(lives_of_copies_are_told_and_shortened),
        TEST(del_and_flush_forget_copies_and_keep_rows),
        TEST(what_is_not_possible_is_refused_in_known_words),
        TEST(connection_is_greeted_named_and_tested),
        TEST(info_has_what_tools_look_for_and_counts_right),
        TEST(version_three_changes_the_form_of_replies),
        TEST(replies_can_be_switched_off),
        TEST(keys_of_other_databases_are_unmapped),
        TEST(text_of_a_source_cannot_forge_a_reply),
    };
    return cmocka_run_group_tests(tests, NULL, forget_reply);
}
