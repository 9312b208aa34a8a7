/* Counting replies in a stream of RESP bytes without building them: the load generator must cost less than the server.
 *
 * Payloads are skipped, not copied. Replies may be cut anywhere between two calls. */
#ifndef FB_CLI_BENCH_REPLY_H
#define FB_CLI_BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FB_REPLY_LINE_MAX = 160 }; /* of a line this much is kept: numbers always fit, error texts are cut */

struct fb_reply_scan {
    uint64_t replies, errors, nils; /* complete replies; those that were errors; those that were nil */
    uint64_t payload_left;          /* bytes of a bulk string and its line end still to come */
    uint64_t elements_left;         /* elements of the current reply still to come */
    char line[FB_REPLY_LINE_MAX];
    size_t line_len;
    char first_error[FB_REPLY_LINE_MAX];
    bool is_broken;                 /* these bytes are not RESP; nothing is counted from here on */
};

/* Feed bytes as they come; returns how many replies these completed. Zeroed is ready. */
uint64_t fb_reply_scan(struct fb_reply_scan *scan, const char *data, size_t len);

#endif
