/* What was evicted lately, as fingerprints: the ghost queue of S3-FIFO without a queue.
 *
 * The paper's own form: a hash table of fingerprints with the time of their eviction, where time is counted in bytes
 * evicted. A fingerprint older than `span` bytes is forgotten without being looked for. A wrong answer (two keys with
 * one fingerprint, a full bucket) costs a place in a queue, never correctness.
 *
 * Memory: 8 bytes per fingerprint, at most bytes_max / FB_GHOST_BYTES_PER_SLOT fingerprints; grows as they come. */
#ifndef FB_POLICY_GHOST_H
#define FB_POLICY_GHOST_H

#include <stdbool.h>
#include <stdint.h>

enum { FB_GHOST_BYTES_PER_SLOT = 128 }; /* no entry of a table takes less, so more slots could not be filled */

struct fb_ghost_slot { uint32_t tag, when; };

struct fb_ghost {
    struct fb_ghost_slot *slots; /* buckets of FB_GHOST_WAYS */
    unsigned bucket_bits, bucket_bits_max;
    unsigned crowded; /* remembered fingerprints pushed out since the last growth */
    unsigned shift;   /* bytes >> shift = one unit of `when` */
    uint32_t span;    /* in such units */
    uint64_t evicted; /* bytes */
};

/* False when out of memory. */
bool fb_ghost_init(struct fb_ghost *ghost, uint64_t bytes_max, uint64_t span);
void fb_ghost_finish(struct fb_ghost *ghost);
/* An entry of `size` bytes was evicted. */
void fb_ghost_add(struct fb_ghost *ghost, uint32_t tag, uint32_t size);
/* Was it evicted within the span? Forgets it. */
bool fb_ghost_take(struct fb_ghost *ghost, uint32_t tag);

#endif
