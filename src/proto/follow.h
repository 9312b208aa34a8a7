/* Where a reply ends, found while it comes: for those who hand it on and do not want to know what it says.
 *
 *     struct fb_resp_follow f = FB_RESP_FOLLOW_INIT;
 *     n = fb_resp_follow(&f, data, len, &verdict)
 *     FB_RESP_DONE: the first n bytes end the reply; f is ready for the next
 *     FB_RESP_MORE: n is len; all of it belongs to the reply
 *     FB_RESP_BAD:  this is no reply, and nobody knows where one begins again
 *
 * Every byte is looked at once, however the reply is cut, and bytes of strings not at all but for their line end: nothing is kept but what is
 * still to come. A value of arrays in arrays needs no stack for that: a value takes one off what is to come, and an
 * array of n puts n there. A push, which is no reply to anything, is told by `type`. */
#ifndef FB_PROTO_FOLLOW_H
#define FB_PROTO_FOLLOW_H

#include "proto/resp.h"

struct fb_resp_follow {
    uint64_t to_come;  /* values; 0: between two replies */
    uint64_t left;     /* bytes of a string and its line end; or the number being read */
    uint8_t state;
    char type;         /* the reply's first byte */
    char value;        /* of the value being read */
    bool is_negative;
    uint8_t digits;
};
#define FB_RESP_FOLLOW_INIT {0}

enum { FB_RESP_ELEMENTS_MAX = 1 << 30 }; /* of one array; no Redis sends more, and sums of them do not overflow */

size_t fb_resp_follow(struct fb_resp_follow *follow, const char *data, size_t len, enum fb_resp_verdict *ret_verdict);

#endif
