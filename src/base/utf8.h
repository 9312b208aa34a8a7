/* Is this text? Strict UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef FB_BASE_UTF8_H
#define FB_BASE_UTF8_H

#include <stdbool.h>

#include <forebay/forebay.h>

/* Length in bytes of the valid sequence at p (1..4), or 0. p < end. */
unsigned fb_utf8_step(const char *p, const char *end);
bool fb_utf8_is_valid(fb_bytes text);
/* Valid and without NUL: what may stand in a key or a text column. */
bool fb_utf8_is_text(fb_bytes text);
/* Encode one code point (not a surrogate, at most U+10FFFF); returns the bytes written, 1..4. */
unsigned fb_utf8_put(char *out, uint32_t code);

#endif
