/* Base64 (RFC 4648, section 4, with padding): how bytes of a binary column stand in JSON and in hash fields. */
#ifndef FB_ROWS_BASE64_H
#define FB_ROWS_BASE64_H

#include <stdbool.h>

#include <forebay/forebay.h>

fb_status fb_base64_append(fb_buf *out, fb_bytes bytes);
/* Strict: padding is required and unused bits are zero, so that one value has one text. `out` has room for text.len
 * bytes. */
bool fb_base64_decode(fb_bytes text, char *out, size_t *ret_len);

#endif
