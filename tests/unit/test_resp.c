/* The protocol's parsers and writer, and glob patterns.
 *
 * Shown by transcripts: every request and reply here is fed whole, cut at every byte, and one byte at a time, and
 * must come out the same; what is malformed must be called so with Redis' words wherever it is cut. Seeded mutations
 * of the transcripts show that the parsers neither read behind the end (run under ASan: the bytes stand at the end
 * of their own allocation) nor contradict themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "proto/glob.h"
#include "proto/resp.h"

enum { MUTATIONS = 20000, TEXT_MAX = 4096 };

static const struct fb_resp_limits known = {1000, 1 << 20, 1024, true};
static const struct fb_resp_limits stranger = {10, 4096, 1024, false};
static const struct fb_resp_reply_limits reply_limits = {1000, 1 << 20};

/* Bytes with nothing behind them, so that ASan sees a read too far. */
static char *exactly(const char *data, size_t len) {
    char *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, data, len);
    return copy;
}

/* One request by itself. */
static enum fb_resp_verdict parse(const char *data, const char *end, const struct fb_resp_limits *limits,
                                  struct fb_resp_args *args, size_t *ret_size, fb_err *err) {
    args->count = 0;
    return fb_resp_request(data, end, limits, args, ret_size, err);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

#define T(text) text, sizeof text - 1

static const struct request {
    const char *bytes;
    size_t len;
    const char *shown; /* the arguments in brackets, as show() prints them */
} requests[] = {
    {T("*1\r\n$4\r\nPING\r\n"), "[PING]"},
    {T("*2\r\n$3\r\nGET\r\n$6\r\nuser:1\r\n"), "[GET][user:1]"},
    {T("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"), "[SET][k][]"},
    {T("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n"), "[ECHO][\r\n\r\n]"},
    {T("*0\r\n"), ""},
    {T("*-1\r\n"), ""},
    {T("PING\r\n"), "[PING]"},
    {T("PING\n"), "[PING]"},
    {T("\r\n"), ""},
    {T("   \t \r\n"), ""},
    {T("SET  k   \"a b\\n\\x41\\\"\" \r\n"), "[SET][k][a b\nA\"]"},
    {T("SET k 'it\\'s \\n' \"\"\r\n"), "[SET][k][it's \\n][]"},
    {T("ECHO a\"b c\"\r\n"), "[ECHO][ab c]"},
};
enum { NREQUESTS = sizeof requests / sizeof requests[0] };

static void show(const struct fb_resp_args *args, char out[TEXT_MAX]) {
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < args->count; i++)
        len += (size_t)snprintf(out + len, TEXT_MAX - len, "[%.*s]", (int)args->items[i].len, args->items[i].data);
}

static void request_is_parsed_however_it_is_cut(void **state) {
    (void)state;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    char shown[TEXT_MAX];
    size_t size;
    fb_err err;
    for (size_t i = 0; i < NREQUESTS; i++)
        for (size_t cut = 0; cut <= requests[i].len; cut++) {
            char *bytes = exactly(requests[i].bytes, cut);
            enum fb_resp_verdict verdict = parse(bytes, bytes + cut, &known, &args, &size, &err);
            if (cut < requests[i].len) {
                assert_int_equal(verdict, FB_RESP_MORE);
                assert_in_range(size, cut + 1, requests[i].len); /* an honest lower bound, and progress */
            } else {
                assert_int_equal(verdict, FB_RESP_DONE);
                assert_int_equal(size, cut);
                show(&args, shown);
                assert_string_equal(shown, requests[i].shown);
            }
            free(bytes);
        }
    fb_resp_args_finish(&args);
}

static void requests_follow_each_other_in_one_buffer(void **state) {
    (void)state;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    char all[TEXT_MAX], shown[TEXT_MAX];
    size_t len = 0, pos = 0, size;
    fb_err err;
    for (size_t i = 0; i < NREQUESTS; i++) {
        memcpy(all + len, requests[i].bytes, requests[i].len);
        len += requests[i].len;
    }
    for (size_t i = 0; i < NREQUESTS; i++, pos += size) {
        assert_int_equal(parse(all + pos, all + len, &known, &args, &size, &err), FB_RESP_DONE);
        show(&args, shown);
        assert_string_equal(shown, requests[i].shown);
    }
    assert_int_equal(pos, len);
    fb_resp_args_finish(&args);
}

/* Also the arguments of several requests side by side; a request cut short adds none. */
static void arguments_are_appended(void **state) {
    (void)state;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    const char *bytes = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n*2\r\n$3\r\nGET\r\n$1";
    const char *end = bytes + strlen(bytes);
    char shown[TEXT_MAX];
    size_t size;
    fb_err err;
    assert_int_equal(fb_resp_request(bytes, end, &known, &args, &size, &err), FB_RESP_DONE);
    assert_int_equal(fb_resp_request(bytes + size, end, &known, &args, &size, &err), FB_RESP_DONE);
    assert_int_equal(fb_resp_request(bytes + 2 * size, end, &known, &args, &size, &err), FB_RESP_MORE);
    show(&args, shown);
    assert_string_equal(shown, "[GET][a][GET][b]");
    fb_resp_args_finish(&args);
}

static const struct malformed {
    const struct fb_resp_limits *limits;
    const char *bytes;
    size_t len;
    const char *error;
} malformed[] = {
    {&known, T("*x\r\n"), "Protocol error: invalid multibulk length"},
    {&known, T("*01\r\n"), "Protocol error: invalid multibulk length"},
    {&known, T("*+1\r\n"), "Protocol error: invalid multibulk length"},
    {&known, T("*20000001\r\n"), "Protocol error: invalid multibulk length"},
    {&known, T("*99999999999999999999999\r\n"), "Protocol error: invalid multibulk length"},
    {&known, T("*1\rx"), "Protocol error: invalid multibulk length"},
    {&known, T("*1\r\nfoo"), "Protocol error: expected '$', got 'f'"},
    {&known, T("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"), "Protocol error: expected '$', got 'f'"},
    {&known, T("*1\r\n$-10\r\n"), "Protocol error: invalid bulk length"},
    {&known, T("*1\r\n$blabla\r\n"), "Protocol error: invalid bulk length"},
    {&known, T("*1\r\n$2000000000\r\n"), "Protocol error: invalid bulk length"},
    {&known, T("*1\r\n$\r\n"), "Protocol error: invalid bulk length"},
    {&known, T("*1\r\n$3\r\nabcde"), "Protocol error: expected CRLF after a bulk string"},
    {&known, T("*1\r\n$3\r\nabc\n\r"), "Protocol error: expected CRLF after a bulk string"},
    {&known, T("SET k \"unbalanced\r\n"), "Protocol error: unbalanced quotes in request"},
    {&known, T("SET k \"a\"b\r\n"), "Protocol error: unbalanced quotes in request"},
    {&known, T("SET k 'x\r\n"), "Protocol error: unbalanced quotes in request"},
    {&stranger, T("*11\r\n"), "Protocol error: unauthenticated multibulk length"},
    {&stranger, T("*1\r\n$4097\r\n"), "Protocol error: unauthenticated bulk length"},
};

/* As soon as the fault is there, and not before; more bytes do not heal it. */
static void malformed_request_is_refused_in_the_words_of_redis(void **state) {
    (void)state;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    size_t size;
    fb_err err;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        const struct malformed *m = &malformed[i];
        enum fb_resp_verdict last = FB_RESP_MORE;
        for (size_t cut = 0; cut <= m->len; cut++) {
            char *bytes = exactly(m->bytes, cut);
            enum fb_resp_verdict verdict = parse(bytes, bytes + cut, m->limits, &args, &size, &err);
            assert_true(verdict == FB_RESP_BAD || (verdict == FB_RESP_MORE && last == FB_RESP_MORE));
            last = verdict;
            free(bytes);
        }
        assert_int_equal(last, FB_RESP_BAD);
        assert_string_equal(err.text, m->error);
    }
    fb_resp_args_finish(&args);
}

static void line_without_end_is_refused_at_its_limit(void **state) {
    (void)state;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    char *line = malloc(2000);
    size_t size;
    fb_err err;
    memset(line, 'a', 2000);
    assert_int_equal(parse(line, line + 1023, &known, &args, &size, &err), FB_RESP_MORE);
    assert_int_equal(parse(line, line + 1024, &known, &args, &size, &err), FB_RESP_BAD);
    assert_string_equal(err.text, "Protocol error: too big inline request");
    free(line);
    fb_resp_args_finish(&args);
}

/* 1,000 arguments announced, none sent: nothing may be allocated for them. */
static void announced_length_allocates_nothing(void **state) {
    (void)state;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    const char *bytes = "*1000\r\n$1048576\r\n";
    size_t size;
    fb_err err;
    fb_mem_fail_after(0);
    enum fb_resp_verdict verdict = parse(bytes, bytes + strlen(bytes), &known, &args, &size, &err);
    fb_mem_fail_after(-1);
    assert_int_equal(verdict, FB_RESP_MORE);
    assert_int_equal(size, 17 + 1048576 + 2 + 999 * 6);
    assert_null(args.items);
}

static void short_memory_is_told(void **state) {
    (void)state;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    size_t size;
    fb_err err;
    for (size_t i = 0; i < NREQUESTS; i++) {
        fb_resp_args_finish(&args);
        fb_mem_fail_after(0);
        enum fb_resp_verdict verdict =
            parse(requests[i].bytes, requests[i].bytes + requests[i].len, &known, &args, &size, &err);
        fb_mem_fail_after(-1);
        assert_true(verdict == FB_RESP_NOMEM || (verdict == FB_RESP_DONE && args.count == 0));
    }
    fb_resp_args_finish(&args);
}

/* ---- replies ---------------------------------------------------------------------------------------------------- */

static const struct reply {
    const char *bytes;
    size_t len;
    const char *shown;
} replies[] = {
    {T("+OK\r\n"), "s(OK)"},
    {T("-ERR no\r\n"), "e(ERR no)"},
    {T(":0\r\n"), "i0"},
    {T(":-9223372036854775808\r\n"), "i-9223372036854775808"},
    {T(":9223372036854775807\r\n"), "i9223372036854775807"},
    {T("$5\r\nhe\r\no\r\n"), "b(he\r\no)"},
    {T("$0\r\n\r\n"), "b()"},
    {T("$-1\r\n"), "n"},
    {T("*-1\r\n"), "n"},
    {T("_\r\n"), "n"},
    {T("#t\r\n"), "t1"},
    {T("#f\r\n"), "t0"},
    {T(",1.5\r\n"), "d(1.5)"},
    {T("(123456789012345678901\r\n"), "B(123456789012345678901)"},
    {T("=8\r\ntxt:some\r\n"), "v(some)"},
    {T("!5\r\nERR x\r\n"), "e(ERR x)"},
    {T("*0\r\n"), "a0"},
    {T("*2\r\n:1\r\n*1\r\n+x\r\n"), "a2i1a1s(x)"},
    {T("%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n_\r\n"), "m4s(a)i1s(b)S1n"},
    {T(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"), "p2s(invalidate)a1b(k)"},
    {T("|1\r\n+ttl\r\n:5\r\n$1\r\nx\r\n"), "b(x)"},
    {T("*2\r\n|1\r\n+a\r\n*2\r\n:1\r\n:2\r\n:7\r\n:8\r\n"), "a2i7i8"},
    {T("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), "a1a1a1a1a1a1a1a1i1"},
};
enum { NREPLIES = sizeof replies / sizeof replies[0] };

static void show_reply(const struct fb_resp_reply *reply, char out[TEXT_MAX]) {
    static const char letters[] = {
        [FB_RESP_SIMPLE] = 's', [FB_RESP_ERROR] = 'e', [FB_RESP_INTEGER] = 'i', [FB_RESP_BULK] = 'b',
        [FB_RESP_NULL] = 'n', [FB_RESP_BOOLEAN] = 't', [FB_RESP_DOUBLE] = 'd', [FB_RESP_BIGNUM] = 'B',
        [FB_RESP_VERBATIM] = 'v', [FB_RESP_ARRAY] = 'a', [FB_RESP_MAP] = 'm', [FB_RESP_SET] = 'S', [FB_RESP_PUSH] = 'p',
    };
    size_t len = 0;
    for (size_t i = 0; i < reply->count; i++) {
        const struct fb_resp_node *node = &reply->items[i];
        len += (size_t)snprintf(out + len, TEXT_MAX - len, "%c", letters[node->type]);
        if (node->type == FB_RESP_INTEGER || node->type == FB_RESP_BOOLEAN)
            len += (size_t)snprintf(out + len, TEXT_MAX - len, "%lld", (long long)node->number);
        else if (node->type >= FB_RESP_ARRAY)
            len += (size_t)snprintf(out + len, TEXT_MAX - len, "%zu", node->children);
        else if (node->type != FB_RESP_NULL)
            len += (size_t)snprintf(out + len, TEXT_MAX - len, "(%.*s)", (int)node->text.len, node->text.data);
    }
}

static void reply_is_parsed_however_it_is_cut(void **state) {
    (void)state;
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    char shown[TEXT_MAX];
    size_t size;
    fb_err err;
    for (size_t i = 0; i < NREPLIES; i++)
        for (size_t cut = 0; cut <= replies[i].len; cut++) {
            char *bytes = exactly(replies[i].bytes, cut);
            enum fb_resp_verdict verdict = fb_resp_reply(bytes, bytes + cut, &reply_limits, &reply, &size, &err);
            if (cut < replies[i].len) {
                assert_int_equal(verdict, FB_RESP_MORE);
                assert_in_range(size, cut + 1, replies[i].len);
                assert_int_equal(fb_resp_reply(bytes, bytes + cut, &reply_limits, NULL, &size, &err), FB_RESP_MORE);
            } else {
                assert_int_equal(verdict, FB_RESP_DONE);
                assert_int_equal(size, cut);
                show_reply(&reply, shown);
                assert_string_equal(shown, replies[i].shown);
            }
            free(bytes);
        }
    fb_resp_reply_finish(&reply);
}

#define NEST_4 "*1\r\n*1\r\n*1\r\n*1\r\n"
_Static_assert(FB_RESP_DEPTH_MAX == 16, "hostile_reply_is_refused nests one deeper");

static void hostile_reply_is_refused(void **state) {
    (void)state;
    static const struct { const char *bytes; size_t len; } bad[] = {
        {T("?\r\n")}, {T(":x\r\n")}, {T(":\r\n")}, {T(":9223372036854775808\r\n")}, {T("$-2\r\n")}, {T("*-2\r\n")},
        {T("*1001\r\n")}, {T("%1001\r\n")}, {T("$1048577\r\n")}, {T("#x\r\n")}, {T("_x\r\n")}, {T("+a\rb\r\n")},
        {T("=3\r\nabc\r\n")}, {T("=4\r\nabcd\r\n")}, {T("$?\r\n")}, {T("*?\r\n")}, {T("$1\r\nabc")},
        {T(NEST_4 NEST_4 NEST_4 NEST_4 "*1\r\n:1\r\n")},
    };
    size_t size;
    fb_err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *bytes = exactly(bad[i].bytes, bad[i].len);
        assert_int_equal(fb_resp_reply(bytes, bytes + bad[i].len, &reply_limits, NULL, &size, &err), FB_RESP_BAD);
        free(bytes);
    }
}

/* Each array may have the allowed number of values, together they may not. */
static void values_of_one_reply_are_bounded_together(void **state) {
    (void)state;
    fb_buf buf = FB_BUF_INIT;
    size_t size;
    fb_err err;
    (void)fb_buf_append(&buf, T("*2\r\n"));
    for (int i = 0; i < 2; i++) {
        (void)fb_buf_append(&buf, T("*600\r\n"));
        for (int k = 0; k < 600; k++)
            (void)fb_buf_append(&buf, T(":1\r\n"));
    }
    assert_int_equal(fb_resp_reply(buf.data, buf.data + buf.len, &reply_limits, NULL, &size, &err), FB_RESP_BAD);
    fb_buf_free(&buf);
}

/* ---- mutations -------------------------------------------------------------------------------------------------- */

static size_t mutate(struct fb_rng *rng, char *bytes, size_t len) {
    static const char likely[] = "*$+-:_,#(!=%~>|\r\n0123456789";
    for (uint64_t n = 1 + fb_rng_below(rng, 4); n > 0 && len > 0; n--) {
        size_t at = fb_rng_below(rng, len);
        switch (fb_rng_below(rng, 4)) {
        case 0: bytes[at] = (char)fb_rng_next(rng); break;
        case 1: bytes[at] = likely[fb_rng_below(rng, sizeof likely - 1)]; break;
        case 2: memmove(bytes + at, bytes + at + 1, len - at - 1); len--; break;
        default: len = at; break;
        }
    }
    return len;
}

static void mutated_stream_is_never_read_behind_its_end(void **state) {
    (void)state;
    struct fb_rng rng = {20261123};
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    unsigned done = 0, bad = 0, more = 0;
    for (int i = 0; i < MUTATIONS; i++) {
        bool is_reply = i % 2;
        char bytes[TEXT_MAX];
        size_t len = 0, pos = 0, size = 0;
        fb_err err;
        for (int k = 0; k < 3; k++) {
            size_t which = fb_rng_below(&rng, is_reply ? NREPLIES : NREQUESTS);
            const char *from = is_reply ? replies[which].bytes : requests[which].bytes;
            size_t n = is_reply ? replies[which].len : requests[which].len;
            memcpy(bytes + len, from, n);
            len += n;
        }
        len = mutate(&rng, bytes, len);
        char *stream = exactly(bytes, len);
        enum fb_resp_verdict verdict;
        do {
            verdict = is_reply ? fb_resp_reply(stream + pos, stream + len, &reply_limits, &reply, &size, &err)
                               : parse(stream + pos, stream + len, &stranger, &args, &size, &err);
            if (verdict == FB_RESP_DONE) {
                assert_in_range(size, 1, len - pos);
                pos += size;
            } else if (verdict == FB_RESP_MORE) {
                assert_true(size > len - pos);
            }
        } while (verdict == FB_RESP_DONE && pos < len);
        done += verdict == FB_RESP_DONE;
        bad += verdict == FB_RESP_BAD;
        more += verdict == FB_RESP_MORE;
        free(stream);
    }
    assert_true(done > 0 && bad > MUTATIONS / 10 && more > 0); /* the mutations reach all three */
    fb_resp_args_finish(&args);
    fb_resp_reply_finish(&reply);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void assert_written(struct fb_resp_out *out, const char *bytes, size_t len) {
    assert_false(out->failed);
    assert_int_equal(out->buf.len, len);
    assert_memory_equal(out->buf.data, bytes, len);
    out->buf.len = 0;
}

static void every_type_is_written_in_both_versions(void **state) {
    (void)state;
    struct fb_resp_out two = FB_RESP_OUT_INIT, three = FB_RESP_OUT_INIT;
    three.version = 3;
#define WRITTEN(call2, call3, text2, text3)                                                                            \
    call2;                                                                                                             \
    assert_written(&two, T(text2));                                                                                    \
    call3;                                                                                                             \
    assert_written(&three, T(text3))
#define BOTH(function, text2, text3, ...)                                                                              \
    WRITTEN(fb_resp_write_##function(&two, __VA_ARGS__), fb_resp_write_##function(&three, __VA_ARGS__), text2, text3)
    BOTH(simple, "+OK\r\n", "+OK\r\n", "OK");
    BOTH(error, "-ERR a b\r\n", "-ERR a b\r\n", "ERR", "a b");
    BOTH(integer, ":-9223372036854775808\r\n", ":-9223372036854775808\r\n", INT64_MIN);
    BOTH(integer, ":0\r\n", ":0\r\n", 0);
    BOTH(bulk, "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n", FB_STR("a\r\n"));
    BOTH(bulk, "$0\r\n\r\n", "$0\r\n\r\n", fb_bytes_of(NULL, 0));
    WRITTEN(fb_resp_write_null(&two), fb_resp_write_null(&three), "$-1\r\n", "_\r\n");
    WRITTEN(fb_resp_write_null_array(&two), fb_resp_write_null_array(&three), "*-1\r\n", "_\r\n");
    BOTH(array, "*12\r\n", "*12\r\n", 12);
    BOTH(map, "*6\r\n", "%3\r\n", 3);
    BOTH(set, "*3\r\n", "~3\r\n", 3);
    BOTH(push, "*2\r\n", ">2\r\n", 2);
    BOTH(boolean, ":1\r\n", "#t\r\n", true);
    BOTH(boolean, ":0\r\n", "#f\r\n", false);
    BOTH(double, "$3\r\n0.1\r\n", ",0.1\r\n", 0.1);
    BOTH(double, "$3\r\ninf\r\n", ",inf\r\n", 1e308 * 10);
    BOTH(double, "$19\r\n0.30000000000000004\r\n", ",0.30000000000000004\r\n", 0.1 + 0.2);
    BOTH(bignum, "$3\r\n123\r\n", "(123\r\n", FB_STR("123"));
    BOTH(verbatim, "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n", "txt", FB_STR("hi"));
    fb_buf_free(&two.buf);
    fb_buf_free(&three.buf);
}

/* CVE-2025-67733: a database's message must not become a reply of its own. */
static void error_text_cannot_end_its_line(void **state) {
    (void)state;
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    fb_resp_write_error(&out, "SRCERR", "no\r\n+OK\r\n$5\r\nhello");
    assert_written(&out, T("-SRCERR no  +OK  $5  hello\r\n"));
    fb_resp_write_simple(&out, "a\nb");
    assert_written(&out, T("+a b\r\n"));
    fb_buf_free(&out.buf);
}

/* All lengths around each power of ten after every other: the guess is right, too small and too large in turn. */
static void streamed_bulk_is_right_whatever_was_guessed(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 9, 10, 11, 99, 100, 999, 1000, 9999, 10000, 100000};
    enum { N = sizeof lengths / sizeof lengths[0] };
    struct fb_resp_out streamed = FB_RESP_OUT_INIT, plain = FB_RESP_OUT_INIT;
    char *bytes = malloc(100000);
    for (size_t i = 0; i < 100000; i++)
        bytes[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            size_t pair[] = {lengths[i], lengths[k]};
            streamed.buf.len = plain.buf.len = 0;
            for (int j = 0; j < 2; j++) {
                size_t mark = fb_resp_bulk_begin(&streamed);
                assert_int_equal(fb_buf_append(&streamed.buf, bytes, pair[j]), FB_OK);
                fb_resp_bulk_end(&streamed, mark);
                fb_resp_write_bulk(&plain, fb_bytes_of(bytes, pair[j]));
            }
            assert_written(&streamed, plain.buf.data, plain.buf.len);
        }
    free(bytes);
    fb_buf_free(&streamed.buf);
    fb_buf_free(&plain.buf);
}

static void written_command_is_read_as_it_was(void **state) {
    (void)state;
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    const fb_bytes words[] = {FB_STR("SET"), FB_STR("k"), fb_bytes_of("a\0b", 3)};
    size_t size;
    fb_err err;
    fb_resp_write_command(&out, words, 3);
    const char *end = out.buf.data + out.buf.len;
    assert_int_equal(parse(out.buf.data, end, &known, &args, &size, &err), FB_RESP_DONE);
    assert_int_equal(size, out.buf.len);
    assert_int_equal(args.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(args.items[i].len, words[i].len);
        assert_memory_equal(args.items[i].data, words[i].data, words[i].len);
    }
    fb_buf_free(&out.buf);
    fb_resp_args_finish(&args);
}

static void short_memory_marks_the_output(void **state) {
    (void)state;
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    fb_mem_fail_after(0);
    fb_resp_write_simple(&out, "OK");
    fb_mem_fail_after(-1);
    assert_true(out.failed);
    fb_resp_write_simple(&out, "OK"); /* and stays so: half a reply must not leave */
    assert_true(out.failed);
    assert_int_equal(out.buf.len, 0);
    fb_buf_free(&out.buf);
}

/* ---- glob ------------------------------------------------------------------------------------------------------- */

static void glob_matches_as_redis_does(void **state) {
    (void)state;
    static const struct { const char *pattern, *text; bool matches; } rows[] = {
        {"*", "", true}, {"*", "abc", true}, {"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false},
        {"?", "a", true}, {"?", "", false}, {"a?c", "abc", true}, {"h*llo", "heeello", true}, {"h*llo", "hell", false},
        {"*max*", "maxmemory-policy", true}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "axxbyy", false},
        {"[abc]", "b", true}, {"[abc]", "d", false}, {"[^abc]", "d", true}, {"[^abc]", "a", false},
        {"[a-c]x", "bx", true}, {"[c-a]x", "bx", true}, {"[a-c]x", "dx", false}, {"\\*", "*", true},
        {"\\*", "a", false},
        {"[\\]]", "]", true}, {"[abc", "a", true}, {"a\\", "a\\", true}, {"**a**", "bab", true}, {"*ab", "aab", true},
        {"*a*b", "aabab", true}, {"user:*:x", "user:1:2:x", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (fb_glob_match(FB_STR(rows[i].pattern), FB_STR(rows[i].text), false) != rows[i].matches)
            fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].text);
    assert_true(fb_glob_match(FB_STR("MAX*"), FB_STR("maxClients"), true));
    assert_true(fb_glob_match(FB_STR("[A-C]"), FB_STR("b"), true));
}

/* CVE-2022-36021: patterns like a*a*a*…b took exponential time; this one is over in steps of its own limit. */
static void glob_has_a_budget(void **state) {
    (void)state;
    char pattern[1025], text[30001];
    for (size_t i = 0; i < 1024; i++)
        pattern[i] = i % 2 ? '*' : 'a';
    pattern[1023] = 'b';
    memset(text, 'a', sizeof text);
    assert_false(fb_glob_match(fb_bytes_of(pattern, 1024), fb_bytes_of(text, 30000), false));
    assert_false(fb_glob_match(fb_bytes_of(pattern, 1025), fb_bytes_of(text, 10), false)); /* too long a pattern */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_parsed_however_it_is_cut),
        cmocka_unit_test(requests_follow_each_other_in_one_buffer),
        cmocka_unit_test(arguments_are_appended),
        cmocka_unit_test(malformed_request_is_refused_in_the_words_of_redis),
        cmocka_unit_test(line_without_end_is_refused_at_its_limit),
        cmocka_unit_test(announced_length_allocates_nothing),
        cmocka_unit_test(short_memory_is_told),
        cmocka_unit_test(reply_is_parsed_however_it_is_cut),
        cmocka_unit_test(hostile_reply_is_refused),
        cmocka_unit_test(values_of_one_reply_are_bounded_together),
        cmocka_unit_test(mutated_stream_is_never_read_behind_its_end),
        cmocka_unit_test(every_type_is_written_in_both_versions),
        cmocka_unit_test(error_text_cannot_end_its_line),
        cmocka_unit_test(streamed_bulk_is_right_whatever_was_guessed),
        cmocka_unit_test(written_command_is_read_as_it_was),
        cmocka_unit_test(short_memory_marks_the_output),
        cmocka_unit_test(glob_matches_as_redis_does),
        cmocka_unit_test(glob_has_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
