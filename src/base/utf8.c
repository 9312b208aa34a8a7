/* Strict UTF-8, after table 3-7 of the Unicode standard: the second byte decides what the first one may mean. */
#include "base/utf8.h"

#include <string.h>

unsigned fb_utf8_step(const char *p, const char *end) {
    const unsigned char *u = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    unsigned char lo = 0x80, hi = 0xbf;
    unsigned n;
    if (u[0] < 0x80)
        return 1;
    if (u[0] >= 0xc2 && u[0] <= 0xdf) {
        n = 2;
    } else if ((u[0] & 0xf0) == 0xe0) {
        n = 3;
        if (u[0] == 0xe0)
            lo = 0xa0;
        else if (u[0] == 0xed)
            hi = 0x9f;
    } else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
        n = 4;
        if (u[0] == 0xf0)
            lo = 0x90;
        else if (u[0] == 0xf4)
            hi = 0x8f;
    } else {
        return 0;
    }
    if (left < n || u[1] < lo || u[1] > hi)
        return 0;
    for (unsigned i = 2; i < n; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Eight bytes of plain ASCII without NUL: most text is nothing else. */
static bool is_plain(const char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return ((w | (w - 0x0101010101010101u)) & 0x8080808080808080u) == 0;
}

static bool is_valid(fb_bytes text, bool nul_allowed) {
    const char *end = text.data + text.len;
    for (const char *p = text.data; p < end;) {
        if (end - p >= 8 && is_plain(p)) {
            p += 8;
            continue;
        }
        unsigned n = fb_utf8_step(p, end);
        if (n == 0 || (*p == 0 && !nul_allowed))
            return false;
        p += n;
    }
    return true;
}

bool fb_utf8_is_valid(fb_bytes text) { return is_valid(text, true); }
bool fb_utf8_is_text(fb_bytes text) { return is_valid(text, false); }

unsigned fb_utf8_put(char *out, uint32_t code) {
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    unsigned n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (unsigned i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n] | code);
    return n;
}
