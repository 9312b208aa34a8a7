/* Counting replies in a stream of RESP bytes (RESP2, and the RESP3 types that commands answer with). */
#include "cli/bench_reply.h"

#include <stdio.h>
#include <string.h>

/* The number after the type byte; −1 stands for the old nil. False when it is no number. */
static bool line_number(const char *line, size_t len, int64_t *ret) {
    bool is_negative = len > 1 && line[1] == '-';
    int64_t n = 0;
    size_t i = is_negative ? 2 : 1;
    if (i >= len || len - i > 18)
        return false;
    for (; i < len; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        n = n * 10 + (line[i] - '0');
    }
    *ret = is_negative ? -n : n;
    return !is_negative || n == 1;
}

static void element_end(struct fb_reply_scan *s) {
    if (--s->elements_left == 0)
        s->replies++;
}

/* A whole line without its end. A new reply begins when no element was expected. */
static void take_line(struct fb_reply_scan *s, const char *line, size_t len) {
    bool is_top = s->elements_left == 0;
    int64_t n = 0;
    if (is_top)
        s->elements_left = 1;
    switch (len > 0 ? line[0] : '\0') {
    case '-':
        if (is_top && s->errors++ == 0)
            snprintf(s->first_error, sizeof s->first_error, "%.*s", (int)len - 1, line + 1);
        element_end(s);
        return;
    case '_':
        s->nils += is_top;
        element_end(s);
        return;
    case '+': case ':': case '#': case ',': case '(':
        element_end(s);
        return;
    case '$': case '=': case '!':
        if (!line_number(line, len, &n))
            break;
        if (n < 0) {
            s->nils += is_top;
            element_end(s);
        } else {
            s->payload_left = (uint64_t)n + 2;
        }
        return;
    case '*': case '~': case '%':
        if (!line_number(line, len, &n))
            break;
        if (n < 0)
            s->nils += is_top;
        else
            s->elements_left += line[0] == '%' ? 2 * (uint64_t)n : (uint64_t)n;
        element_end(s);
        return;
    default:
        break;
    }
    s->is_broken = true;
}

uint64_t fb_reply_scan(struct fb_reply_scan *s, const char *data, size_t len) {
    uint64_t before = s->replies;
    while (len > 0 && !s->is_broken) {
        if (s->payload_left > 0) {
            size_t skip = s->payload_left < len ? (size_t)s->payload_left : len;
            data += skip;
            len -= skip;
            s->payload_left -= skip;
            if (s->payload_left == 0)
                element_end(s);
            continue;
        }
        const char *end = memchr(data, '\n', len);
        size_t n = end != NULL ? (size_t)(end - data) : len;
        if (end != NULL && s->line_len == 0) { /* the usual case: the line is whole where it lies */
            take_line(s, data, n > 0 && data[n - 1] == '\r' ? n - 1 : n);
        } else {
            size_t room = sizeof s->line - s->line_len, keep = n < room ? n : room;
            memcpy(s->line + s->line_len, data, keep);
            s->line_len += keep;
            if (end != NULL) {
                size_t have = s->line_len;
                s->line_len = 0;
                take_line(s, s->line, have > 0 && s->line[have - 1] == '\r' ? have - 1 : have);
            }
        }
        data += end != NULL ? n + 1 : n;
        len -= end != NULL ? n + 1 : n;
    }
    return s->replies - before;
}
