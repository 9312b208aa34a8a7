/* Which entry goes when room is needed. A replaceable data structure: S3-FIFO (Yang et al., "FIFO queues are all you
 * need for cache eviction", SOSP 2023) and LRU as the reference beside it.
 *
 * The node is a member of the entry. Sizes are bytes; the structure keeps their sum. Hits do not allocate and, for
 * S3-FIFO, do not move anything: a saturating counter, written only when it changes. Not thread-safe: the shard's lock
 * covers it. */
#ifndef FB_POLICY_EVICT_H
#define FB_POLICY_EVICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct fb_evict_node {
    struct fb_link link;
    uint32_t size;    /* bytes the entry accounts for; set before insert */
    uint32_t tag;     /* part of the key's hash, for the ghost queue; set before insert */
    uint8_t queue;    /* the policy's own */
    uint8_t freq;     /* the policy's own */
};

struct fb_evict;

struct fb_evict_ops {
    const char *name;
    struct fb_evict *(*create)(uint64_t bytes_max);                      /* NULL when out of memory */
    void (*destroy)(struct fb_evict *evict);                             /* NULL accepted; nodes are the caller's */
    void (*insert)(struct fb_evict *evict, struct fb_evict_node *node);
    void (*hit)(struct fb_evict *evict, struct fb_evict_node *node);
    void (*remove)(struct fb_evict *evict, struct fb_evict_node *node);  /* leaves other than by eviction */
    /* Take out the entry that should go; NULL when empty. A ghost remembers it where the policy has one. */
    struct fb_evict_node *(*victim)(struct fb_evict *evict);
    /* Another bytes_max from here on; what is over it the caller evicts. May forget its ghosts. */
    void (*resize)(struct fb_evict *evict, uint64_t bytes_max);
    /* How often it was wanted lately, as far as the policy counts. */
    unsigned (*frequency)(const struct fb_evict_node *node);
};

extern const struct fb_evict_ops fb_evict_s3fifo;
extern const struct fb_evict_ops fb_evict_lru;

#endif
