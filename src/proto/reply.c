/* Parsing replies. What is at the other end is not trusted: sizes, counts and nesting are bounded. */
#include "proto/resp.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/scan.h"

enum {
    NODES_FIRST = 16,
    NODE_MIN = 3, /* "_\r\n": what a value not yet seen takes at least */
};

/* A reply being read: how much of it is understood, and what is still to come at each level. */
struct reading {
    const char *data, *p, *end;
    const struct fb_resp_reply_limits *limits;
    struct fb_resp_reply *reply; /* NULL: only measured */
    size_t nodes;
    size_t left[FB_RESP_DEPTH_MAX + 1];
    bool is_passed_over[FB_RESP_DEPTH_MAX + 1]; /* inside an attribute */
    unsigned depth;
    size_t size;                 /* MORE: bytes needed at least */
    fb_err *reterr;
};

void fb_resp_reply_finish(struct fb_resp_reply *reply) {
    fb_mem_free(reply->items);
    *reply = (struct fb_resp_reply)FB_RESP_REPLY_INIT;
}

static enum fb_resp_verdict bad(struct reading *r, const char *text) {
    fb_fail(r->reterr, FB_INVALID, "malformed reply: %s", text);
    return FB_RESP_BAD;
}

static enum fb_resp_verdict more(struct reading *r, const char *until) {
    size_t rest = 0;
    for (unsigned i = 0; i <= r->depth; i++)
        rest += r->left[i] * NODE_MIN;
    r->size = (size_t)(until - r->data) + rest;
    return FB_RESP_MORE;
}

static enum fb_resp_verdict keep(struct reading *r, const struct fb_resp_node *node) {
    if (r->nodes++ >= r->limits->nodes_max)
        return bad(r, "too many values");
    if (r->reply == NULL || r->is_passed_over[r->depth])
        return FB_RESP_DONE;
    struct fb_resp_reply *reply = r->reply;
    if (reply->count == reply->cap) {
        size_t cap = reply->cap > 0 ? 2 * reply->cap : NODES_FIRST;
        struct fb_resp_node *items =
            cap <= SIZE_MAX / sizeof *items ? fb_mem_realloc(reply->items, cap * sizeof *items) : NULL;
        if (items == NULL)
            return FB_RESP_NOMEM;
        reply->items = items;
        reply->cap = cap;
    }
    reply->items[reply->count++] = *node;
    return FB_RESP_DONE;
}

/* A value that is the rest of its line. */
static enum fb_resp_verdict read_line(struct reading *r, struct fb_resp_node *node) {
    size_t len = (size_t)(r->end - r->p);
    size_t most = len <= r->limits->bulk_max + 2 ? len : r->limits->bulk_max + 2;
    const char *stop = memchr(r->p, '\r', most);
    if (stop == NULL && len > most)
        return bad(r, "a line without an end");
    if (stop == NULL)
        return more(r, r->end + 2);
    if (stop + 1 == r->end)
        return more(r, r->end + 1);
    if (stop[1] != '\n')
        return bad(r, "CR without LF");
    node->text = fb_bytes_of(r->p, (size_t)(stop - r->p));
    if (node->type == FB_RESP_BOOLEAN) {
        if (node->text.len != 1 || (node->text.data[0] != 't' && node->text.data[0] != 'f'))
            return bad(r, "a boolean is t or f");
        node->number = node->text.data[0] == 't';
    } else if (node->type == FB_RESP_NULL && node->text.len != 0) {
        return bad(r, "null with text");
    }
    r->p = stop + 2;
    return keep(r, node);
}

/* 64 bits need up to 19 digits: one more than headers may have. */
static enum fb_resp_verdict read_integer(struct reading *r, struct fb_resp_node *node) {
    const char *stop = memchr(r->p, '\r', (size_t)(r->end - r->p));
    if (stop == NULL || stop + 1 == r->end)
        return r->end - r->p > 22 ? bad(r, "not an integer") : more(r, r->end + 1);
    const char *q = r->p;
    bool is_negative = *q == '-';
    if (*q == '-' || *q == '+')
        q++;
    int64_t n = 0;
    if (q == stop || stop[1] != '\n')
        return bad(r, "not an integer");
    for (; q < stop; q++)
        if ((unsigned char)(*q - '0') > 9 || __builtin_mul_overflow(n, 10, &n) ||
            (is_negative ? __builtin_sub_overflow(n, *q - '0', &n) : __builtin_add_overflow(n, *q - '0', &n)))
            return bad(r, "not an integer");
    node->number = n;
    node->text = fb_bytes_of(r->p, (size_t)(stop - r->p));
    r->p = stop + 2;
    return keep(r, node);
}

static enum fb_resp_verdict read_string(struct reading *r, struct fb_resp_node *node) {
    int64_t len;
    const char *p = r->p;
    switch (fb_resp_scan_number(&p, r->end, &len)) {
    case FB_RESP_MORE: return more(r, r->end + 1);
    case FB_RESP_DONE: break;
    default: return bad(r, "invalid length");
    }
    if (len == -1 && node->type == FB_RESP_BULK) {
        node->type = FB_RESP_NULL;
        r->p = p;
        return keep(r, node);
    }
    if (len < 0 || (uint64_t)len > r->limits->bulk_max)
        return bad(r, "invalid length");
    if ((size_t)(r->end - p) < (size_t)len + 2)
        return more(r, p + len + 2);
    if (p[len] != '\r' || p[len + 1] != '\n')
        return bad(r, "no CRLF after a string");
    node->text = fb_bytes_of(p, (size_t)len);
    if (node->type == FB_RESP_VERBATIM) {
        if (len < 4 || p[3] != ':')
            return bad(r, "verbatim text without a format");
        node->text = fb_bytes_of(p + 4, (size_t)len - 4);
    }
    r->p = p + len + 2;
    return keep(r, node);
}

static enum fb_resp_verdict read_aggregate(struct reading *r, struct fb_resp_node *node, bool is_attribute) {
    int64_t n;
    switch (fb_resp_scan_number(&r->p, r->end, &n)) {
    case FB_RESP_MORE: return more(r, r->end + 1);
    case FB_RESP_DONE: break;
    default: return bad(r, "invalid count");
    }
    if (n == -1 && node->type == FB_RESP_ARRAY) {
        node->type = FB_RESP_NULL;
        return keep(r, node);
    }
    if (n < 0 || (uint64_t)n > r->limits->nodes_max)
        return bad(r, "invalid count");
    node->children = node->type == FB_RESP_MAP ? 2 * (size_t)n : (size_t)n;
    if (is_attribute)
        r->left[r->depth]++; /* it stands in front of a value and is none itself */
    else if (keep(r, node) != FB_RESP_DONE)
        return r->nodes > r->limits->nodes_max ? FB_RESP_BAD : FB_RESP_NOMEM;
    if (r->depth == FB_RESP_DEPTH_MAX)
        return bad(r, "nested too deeply");
    r->is_passed_over[r->depth + 1] = r->is_passed_over[r->depth] || is_attribute;
    r->left[++r->depth] = node->children;
    return FB_RESP_DONE;
}

static enum fb_resp_verdict read_value(struct reading *r) {
    struct fb_resp_node node = {.type = FB_RESP_SIMPLE};
    switch (*r->p++) {
    case '+': return read_line(r, &node);
    case '-': node.type = FB_RESP_ERROR; return read_line(r, &node);
    case ',': node.type = FB_RESP_DOUBLE; return read_line(r, &node);
    case '(': node.type = FB_RESP_BIGNUM; return read_line(r, &node);
    case '#': node.type = FB_RESP_BOOLEAN; return read_line(r, &node);
    case '_': node.type = FB_RESP_NULL; return read_line(r, &node);
    case ':': node.type = FB_RESP_INTEGER; return read_integer(r, &node);
    case '$': node.type = FB_RESP_BULK; return read_string(r, &node);
    case '!': node.type = FB_RESP_ERROR; return read_string(r, &node);
    case '=': node.type = FB_RESP_VERBATIM; return read_string(r, &node);
    case '*': node.type = FB_RESP_ARRAY; return read_aggregate(r, &node, false);
    case '~': node.type = FB_RESP_SET; return read_aggregate(r, &node, false);
    case '>': node.type = FB_RESP_PUSH; return read_aggregate(r, &node, false);
    case '%': node.type = FB_RESP_MAP; return read_aggregate(r, &node, false);
    case '|': node.type = FB_RESP_MAP; return read_aggregate(r, &node, true);
    default: return bad(r, "unknown type");
    }
}

enum fb_resp_verdict fb_resp_reply(const char *data, const char *end, const struct fb_resp_reply_limits *limits,
                                   struct fb_resp_reply *reply, size_t *ret_size, fb_err *reterr) {
    struct reading r = {.data = data, .p = data, .end = end, .limits = limits, .reply = reply, .reterr = reterr};
    r.left[0] = 1;
    if (reply != NULL)
        reply->count = 0;
    for (;;) {
        while (r.left[r.depth] == 0) {
            if (r.depth == 0) {
                *ret_size = (size_t)(r.p - data);
                return FB_RESP_DONE;
            }
            r.depth--;
        }
        enum fb_resp_verdict verdict;
        if (r.p == end) {
            verdict = more(&r, end);
        } else {
            r.left[r.depth]--;
            verdict = read_value(&r);
        }
        if (verdict == FB_RESP_MORE)
            *ret_size = r.size;
        if (verdict != FB_RESP_DONE)
            return verdict;
    }
}
