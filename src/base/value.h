/* An immutable value that several waiters can hold: what a flight brings home, or the text of its error.
 *
 * Created with one reference; freed by the last unref, from any thread. Cached entries do not use it: they live in the
 * table's own memory. */
#ifndef FB_BASE_VALUE_H
#define FB_BASE_VALUE_H

#include <forebay/forebay.h>

#include "base/hash.h"

struct fb_value {
    _Atomic uint32_t refs;
    fb_kind kind;
    size_t len;
    char data[];
};

/* NULL when out of memory. `data` may be NULL with len 0. */
struct fb_value *fb_value_new(fb_kind kind, const void *data, size_t len);
struct fb_value *fb_value_ref(struct fb_value *value);  /* NULL gives NULL */
void fb_value_unref(struct fb_value *value);            /* NULL accepted */
static inline fb_bytes fb_value_bytes(const struct fb_value *v) {
    return v != NULL ? fb_bytes_of(v->data, v->len) : fb_bytes_of(NULL, 0);
}

/* What fb_fingerprint says, under the hash key of a cache. */
uint64_t fb_value_fingerprint(const struct fb_hash_key *key, fb_kind kind, fb_bytes value);

#endif
