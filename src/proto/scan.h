/* The one number format of RESP headers, for the parsers of this folder. */
#ifndef FB_PROTO_SCAN_H
#define FB_PROTO_SCAN_H

#include "proto/resp.h"

/* Read "<decimal>\r\n" at *p in canonical form (no plus sign, no leading zero, at most 18 digits, so that nothing can
 * overflow). DONE moves *p behind it; MORE and BAD leave it. */
static inline enum fb_resp_verdict fb_resp_scan_number(const char **p, const char *end, int64_t *ret_number) {
    const char *q = *p;
    bool is_negative = q < end && *q == '-';
    q += is_negative;
    const char *digits = q;
    int64_t n = 0;
    for (; q < end && (unsigned char)(*q - '0') < 10; q++) {
        if (q - digits == 18)
            return FB_RESP_BAD;
        n = n * 10 + (*q - '0');
    }
    if (q == end)
        return FB_RESP_MORE;
    if (q == digits || (*digits == '0' && q - digits > 1) || *q != '\r')
        return FB_RESP_BAD;
    if (q + 1 == end)
        return FB_RESP_MORE;
    if (q[1] != '\n')
        return FB_RESP_BAD;
    *ret_number = is_negative ? -n : n;
    *p = q + 2;
    return FB_RESP_DONE;
}

#endif
