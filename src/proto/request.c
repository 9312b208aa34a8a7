/* Parsing requests. The texts of errors are Redis', for clients and tests that know them. */
#include "proto/resp.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/scan.h"
#include "tbl/errors.h"

enum {
    ARGS_FIRST = 16,
    BULK_MIN = 6, /* "$0\r\n\r\n": what an argument not yet seen takes at least */
};

void fb_resp_args_finish(struct fb_resp_args *args) {
    fb_mem_free(args->items);
    fb_buf_free(&args->unquoted);
    *args = (struct fb_resp_args)FB_RESP_ARGS_INIT;
}

/* Grows with the arguments received, not with the number announced. */
static bool grow(struct fb_resp_args *args) {
    size_t cap = args->cap > 0 ? 2 * args->cap : ARGS_FIRST;
    if (cap > SIZE_MAX / sizeof args->items[0])
        return false;
    fb_bytes *items = fb_mem_realloc(args->items, cap * sizeof items[0]);
    if (items == NULL)
        return false;
    args->items = items;
    args->cap = cap;
    return true;
}

static enum fb_resp_verdict bad(fb_err *reterr, const char *text) {
    fb_fail(reterr, FB_INVALID, "%s", text);
    return FB_RESP_BAD;
}

static enum fb_resp_verdict more(size_t *ret_size, size_t size) {
    *ret_size = size;
    return FB_RESP_MORE;
}

static enum fb_resp_verdict parse_multibulk(const char *data, const char *end, const struct fb_resp_limits *limits,
                                            struct fb_resp_args *args, size_t *ret_size, fb_err *reterr) {
    const char *p = data + 1;
    int64_t n, len;
    switch (fb_resp_scan_number(&p, end, &n)) {
    case FB_RESP_MORE: return more(ret_size, (size_t)(end - data) + 1);
    case FB_RESP_DONE: break;
    default: return bad(reterr, FB_TEXT_MULTIBULK_LENGTH);
    }
    if (n > 0 && (uint64_t)n > limits->args_max)
        return bad(reterr, limits->is_authenticated ? FB_TEXT_MULTIBULK_LENGTH : FB_TEXT_STRANGER_MULTIBULK);

    for (int64_t left = n; left > 0; left--) {
        size_t rest = (size_t)(left - 1) * BULK_MIN;
        if (p == end)
            return more(ret_size, (size_t)(p - data) + BULK_MIN + rest);
        if (*p != '$') {
            fb_fail(reterr, FB_INVALID, FB_TEXT_EXPECTED_BULK, *p);
            return FB_RESP_BAD;
        }
        p++;
        switch (fb_resp_scan_number(&p, end, &len)) {
        case FB_RESP_MORE: return more(ret_size, (size_t)(end - data) + 1 + rest);
        case FB_RESP_DONE: break;
        default: return bad(reterr, FB_TEXT_BULK_LENGTH);
        }
        if (len < 0)
            return bad(reterr, FB_TEXT_BULK_LENGTH);
        if ((uint64_t)len > limits->bulk_max)
            return bad(reterr, limits->is_authenticated ? FB_TEXT_BULK_LENGTH : FB_TEXT_STRANGER_BULK);
        if ((size_t)(end - p) < (size_t)len + 2)
            return more(ret_size, (size_t)(p - data) + (size_t)len + 2 + rest);
        if (p[len] != '\r' || p[len + 1] != '\n')
            return bad(reterr, FB_TEXT_EXPECTED_END);
        if (args->count == args->cap && !grow(args))
            return FB_RESP_NOMEM;
        args->items[args->count++] = fb_bytes_of(p, (size_t)len);
        p += len + 2;
    }
    *ret_size = (size_t)(p - data);
    return FB_RESP_DONE;
}

/* ---- requests typed as a line: words between blanks, "…" with escapes, '…' with \' only ------------------------- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\0'; }

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One escape of a "…" word; *p stands behind the backslash and is moved behind the escape. */
static char unescape(const char **p, const char *end) {
    const char *q = *p;
    if (*q == 'x' && end - q >= 3 && hex_digit(q[1]) >= 0 && hex_digit(q[2]) >= 0) {
        *p = q + 3;
        return (char)(hex_digit(q[1]) << 4 | hex_digit(q[2]));
    }
    *p = q + 1;
    switch (*q) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return *q;
    }
}

/* Append one word to `out`; false when its quotes do not match up. `out` has room for the whole line. */
static bool read_word(const char **ret_p, const char *end, fb_buf *out) {
    const char *p = *ret_p;
    char quote = 0;
    while (p < end && (quote != 0 || !is_blank(*p))) {
        if (quote == 0 && (*p == '"' || *p == '\'')) {
            quote = *p++;
        } else if (quote != 0 && *p == quote) {
            quote = 0;
            if (++p < end && !is_blank(*p))
                return false; /* "a"b is one word and a half */
        } else if (quote == '"' && *p == '\\' && end - p >= 2) {
            p++;
            out->data[out->len++] = unescape(&p, end);
        } else if (quote == '\'' && *p == '\\' && end - p >= 2 && p[1] == '\'') {
            out->data[out->len++] = '\'';
            p += 2;
        } else {
            out->data[out->len++] = *p++;
        }
    }
    *ret_p = p;
    return quote == 0;
}

static enum fb_resp_verdict parse_inline(const char *data, const char *end, const struct fb_resp_limits *limits,
                                         struct fb_resp_args *args, size_t *ret_size, fb_err *reterr) {
    size_t len = (size_t)(end - data);
    const char *stop = memchr(data, '\n', len < limits->inline_max ? len : limits->inline_max);
    if (stop == NULL)
        return len >= limits->inline_max ? bad(reterr, FB_TEXT_LINE_TOO_BIG) : more(ret_size, len + 1);
    size_t before = args->count;
    args->unquoted.len = 0;
    /* Room for all words at once: none is longer than what it came from, and no pointer moves below. */
    if (fb_buf_reserve(&args->unquoted, (size_t)(stop - data) + 1) != FB_OK)
        return FB_RESP_NOMEM;
    for (const char *p = data;;) {
        while (p < stop && is_blank(*p))
            p++;
        if (p == stop)
            break;
        size_t from = args->unquoted.len;
        if (!read_word(&p, stop, &args->unquoted))
            return bad(reterr, FB_TEXT_QUOTES);
        if (args->count - before == limits->args_max)
            return bad(reterr, FB_TEXT_MULTIBULK_LENGTH);
        if (args->count == args->cap && !grow(args))
            return FB_RESP_NOMEM;
        args->items[args->count++] = fb_bytes_of(args->unquoted.data + from, args->unquoted.len - from);
    }
    *ret_size = (size_t)(stop - data) + 1;
    return FB_RESP_DONE;
}

enum fb_resp_verdict fb_resp_request(const char *data, const char *end, const struct fb_resp_limits *limits,
                                     struct fb_resp_args *args, size_t *ret_size, fb_err *reterr) {
    if (data == end)
        return more(ret_size, 1);
    size_t before = args->count;
    enum fb_resp_verdict verdict = *data == '*' ? parse_multibulk(data, end, limits, args, ret_size, reterr)
                                                : parse_inline(data, end, limits, args, ret_size, reterr);
    if (verdict != FB_RESP_DONE)
        args->count = before;
    return verdict;
}
