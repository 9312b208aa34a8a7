/* Base64 both ways. */
#include "rows/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fb_status fb_base64_append(fb_buf *out, fb_bytes bytes) {
    const unsigned char *u = (const unsigned char *)bytes.data;
    size_t need;
    if (__builtin_mul_overflow(bytes.len / 3 + 1, (size_t)4, &need) || fb_buf_reserve(out, need) != FB_OK)
        return FB_NOMEM;
    char *p = out->data + out->len;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t three = (uint32_t)u[i] << 16 | (left > 1 ? (uint32_t)u[i + 1] << 8 : 0) | (left > 2 ? u[i + 2] : 0u);
        *p++ = alphabet[three >> 18];
        *p++ = alphabet[three >> 12 & 63];
        *p++ = left > 1 ? alphabet[three >> 6 & 63] : '=';
        *p++ = left > 2 ? alphabet[three & 63] : '=';
    }
    out->len = (size_t)(p - out->data);
    return FB_OK;
}

static int value_of(char c) {
    const char *found = c != 0 ? strchr(alphabet, c) : NULL;
    return found != NULL ? (int)(found - alphabet) : -1;
}

bool fb_base64_decode(fb_bytes text, char *out, size_t *ret_len) {
    size_t n = 0;
    if (text.len % 4 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        const char *p = text.data + i;
        unsigned pad = i + 4 < text.len || p[3] != '=' ? 0 : p[2] != '=' ? 1 : 2;
        uint32_t four = 0;
        for (unsigned k = 0; k < 4 - pad; k++) {
            int value = value_of(p[k]);
            if (value < 0)
                return false;
            four |= (uint32_t)value << (18 - 6 * k);
        }
        if (pad > 0 && (four & (pad == 1 ? 0xffu : 0xffffu)) != 0)
            return false;
        for (unsigned k = 0; k < 3 - pad; k++)
            out[n++] = (char)(four >> (16 - 8 * k));
    }
    *ret_len = n;
    return true;
}
