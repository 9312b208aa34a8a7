/* The Redis protocol (RESP2 and RESP3): requests in, replies out, and replies in for clients.
 *
 *     args.count = 0;
 *     enum fb_resp_verdict v = fb_resp_request(data, end, &limits, &args, &size, &err);
 *     FB_RESP_DONE:  args.items[0 .. count−1] is a request of `size` bytes; go on behind it
 *     FB_RESP_MORE:  incomplete; call again, with the same start, once at least `size` bytes are there
 *     FB_RESP_BAD:   the stream cannot be followed any further; err says why; close after saying so
 *
 * The parsers are pure functions of (data, end): they keep nothing between calls, so there is no state that a
 * strange request could leave behind. An incomplete request is parsed again from its start; `size` keeps that cheap,
 * since it is the least number of bytes with which the request can be complete. They never allocate by a length that
 * was only announced, check every number before using it, and never read at or behind `end`. */
#ifndef FB_PROTO_RESP_H
#define FB_PROTO_RESP_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum fb_resp_verdict { FB_RESP_DONE, FB_RESP_MORE, FB_RESP_BAD, FB_RESP_NOMEM };

/* ---- requests --------------------------------------------------------------------------------------------------- */

struct fb_resp_limits {
    size_t args_max;       /* arguments with the command's name */
    size_t bulk_max;       /* bytes of one argument */
    size_t inline_max;     /* bytes of a request typed as a line */
    bool is_authenticated; /* chooses the error's words only */
};

/* The arguments of requests, borrowed from their bytes (of a request typed as a line: from `unquoted`, until the next
 * such request). One of these serves any number of connections; its memory only grows. */
struct fb_resp_args {
    fb_bytes *items;
    size_t count, cap;
    fb_buf unquoted;
};
#define FB_RESP_ARGS_INIT {NULL, 0, 0, FB_BUF_INIT}
void fb_resp_args_finish(struct fb_resp_args *args);

/* Parse one request, multibulk or inline, and append its arguments; unless it is DONE, `args` is as before. An empty
 * request (an empty line, *0) is DONE with none. */
enum fb_resp_verdict fb_resp_request(const char *data, const char *end, const struct fb_resp_limits *limits,
                                     struct fb_resp_args *args, size_t *ret_size, fb_err *reterr);

/* ---- writing replies -------------------------------------------------------------------------------------------- */

/* Replies under construction. `failed` stays set once memory was short: what is in the buffer is then unusable and the
 * connection has to be closed. */
struct fb_resp_out {
    fb_buf buf;
    unsigned version;       /* 2 or 3 */
    unsigned bulk_digits;   /* how long the length of the last streamed bulk was: the next is probably alike */
    bool failed;
};
#define FB_RESP_OUT_INIT {FB_BUF_INIT, 2, 3, false}

/* Simple strings and errors are lines: CR, LF and NUL in them come out as spaces, here and nowhere else. */
void fb_resp_write_simple(struct fb_resp_out *out, const char *text);
/* An error: its first word (upper case), a space, its text. */
void fb_resp_write_error(struct fb_resp_out *out, const char *word, const char *text);
void fb_resp_write_errorf(struct fb_resp_out *out, const char *word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void fb_resp_write_integer(struct fb_resp_out *out, int64_t number);
void fb_resp_write_bulk(struct fb_resp_out *out, fb_bytes bytes);
void fb_resp_write_null(struct fb_resp_out *out);
void fb_resp_write_null_array(struct fb_resp_out *out);
/* Headers; n elements follow (of a map: n pairs). In RESP2 a map is a flat array, a set and a push are arrays. */
void fb_resp_write_array(struct fb_resp_out *out, size_t n);
void fb_resp_write_map(struct fb_resp_out *out, size_t n);
void fb_resp_write_set(struct fb_resp_out *out, size_t n);
void fb_resp_write_push(struct fb_resp_out *out, size_t n);
/* In RESP2: 1 and 0; the shortest text that reads back as the same number; a bulk string. */
void fb_resp_write_boolean(struct fb_resp_out *out, bool value);
void fb_resp_write_double(struct fb_resp_out *out, double value);
void fb_resp_write_bignum(struct fb_resp_out *out, fb_bytes digits);
/* Text for people; `format` has three letters ("txt"). */
void fb_resp_write_verbatim(struct fb_resp_out *out, const char *format, fb_bytes bytes);

/* A bulk string whose bytes are appended to out->buf by somebody else, without a second copy: begin leaves room for a
 * header of the guessed length, end fills it in and moves the bytes only when the guess was wrong. */
size_t fb_resp_bulk_begin(struct fb_resp_out *out);
void fb_resp_bulk_end(struct fb_resp_out *out, size_t mark);
/* Forget everything since the mark. */
static inline void fb_resp_rewind(struct fb_resp_out *out, size_t mark) { out->buf.len = mark; }

/* A request, as a client sends it. */
void fb_resp_write_command(struct fb_resp_out *out, const fb_bytes *args, size_t n);

/* ---- reading replies (clients) ---------------------------------------------------------------------------------- */

enum { FB_RESP_DEPTH_MAX = 16 }; /* arrays in arrays; Redis' own COMMAND DOCS needs 11 */

enum fb_resp_type {
    FB_RESP_SIMPLE, FB_RESP_ERROR, FB_RESP_INTEGER, FB_RESP_BULK, FB_RESP_NULL, FB_RESP_BOOLEAN, FB_RESP_DOUBLE,
    FB_RESP_BIGNUM, FB_RESP_VERBATIM, FB_RESP_ARRAY, FB_RESP_MAP, FB_RESP_SET, FB_RESP_PUSH,
};

/* One value of a reply. Aggregates are followed by their `children` (of a map: twice its pairs), each with its own. */
struct fb_resp_node {
    enum fb_resp_type type;
    fb_bytes text;    /* all but aggregates: the characters; an error without its '-', verbatim without "txt:" */
    int64_t number;   /* integers and booleans */
    size_t children;
};

struct fb_resp_reply {
    struct fb_resp_node *items;
    size_t count, cap;
};
#define FB_RESP_REPLY_INIT {NULL, 0, 0}
void fb_resp_reply_finish(struct fb_resp_reply *reply);

struct fb_resp_reply_limits {
    size_t nodes_max; /* values in one reply */
    size_t bulk_max;  /* bytes of one string */
};

/* Parse one reply; `reply` may be NULL to learn only where it ends. Attributes (|) are passed over. */
enum fb_resp_verdict fb_resp_reply(const char *data, const char *end, const struct fb_resp_reply_limits *limits,
                                   struct fb_resp_reply *reply, size_t *ret_size, fb_err *reterr);

#endif
