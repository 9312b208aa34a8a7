/* Keyed hash of keys: SipHash-1-3 (Aumasson, Bernstein, INDOCRYPT 2012), so that clients who choose keys cannot choose
 * collisions. The key is random per process. */
#ifndef FB_BASE_HASH_H
#define FB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct fb_hash_key { uint64_t k0, k1; };

uint64_t fb_hash(const struct fb_hash_key *key, const void *data, size_t len);

#endif
