/* S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue
 * takes the newcomers and lets go of those nobody asked for again, before they can push out what is wanted.
 *
 *   insert   into small (10 % of the bytes); into main when the ghost remembers the key
 *   hit      freq + 1, up to 3; nothing moves
 *   victim   small is at its share: its oldest; with freq ≥ 2 it moves to main, else it goes and the ghost remembers it
 *            otherwise main's oldest; with freq ≥ 1 it goes round once more with freq − 1
 *
 * One thing is ours: an entry of main that is removed (hidden by a write, expired) is remembered too, so that a key
 * once proven wanted does not queue as a newcomer when it comes back a moment later. */
#include "policy/evict.h"

#include "base/mem.h"
#include "policy/ghost.h"

enum queue { SMALL, MAIN };

enum {
    SMALL_SHARE = 10,          /* 1/10 of the bytes, as in the paper */
    FREQ_MAX = 3,              /* two bits */
    FREQ_PROMOTED = 2,
    SECOND_CHANCES_MAX = 256,  /* in one call, which runs under a lock; then the oldest goes whatever its freq */
};

struct fb_evict {
    struct fb_link queues[2]; /* oldest first */
    uint64_t bytes[2];
    uint64_t small_share;
    struct fb_ghost ghost;
};

static struct fb_evict *s3fifo_create(uint64_t bytes_max) {
    struct fb_evict *e = fb_mem_alloc(sizeof *e);
    if (e == NULL)
        return NULL;
    *e = (struct fb_evict){.small_share = bytes_max / SMALL_SHARE};
    fb_list_init(&e->queues[SMALL]);
    fb_list_init(&e->queues[MAIN]);
    if (!fb_ghost_init(&e->ghost, bytes_max, bytes_max - e->small_share)) {
        fb_mem_free(e);
        return NULL;
    }
    return e;
}

static void s3fifo_destroy(struct fb_evict *e) {
    if (e == NULL)
        return;
    fb_ghost_finish(&e->ghost);
    fb_mem_free(e);
}

static void enqueue(struct fb_evict *e, struct fb_evict_node *node, enum queue queue) {
    node->queue = (uint8_t)queue;
    e->bytes[queue] += node->size;
    fb_list_push_back(&e->queues[queue], &node->link);
}

static void dequeue(struct fb_evict *e, struct fb_evict_node *node) {
    e->bytes[node->queue] -= node->size;
    fb_list_remove(&node->link);
}

static void s3fifo_insert(struct fb_evict *e, struct fb_evict_node *node) {
    node->freq = 0;
    enqueue(e, node, fb_ghost_take(&e->ghost, node->tag) ? MAIN : SMALL);
}

static void s3fifo_hit(struct fb_evict *e, struct fb_evict_node *node) {
    (void)e;
    if (node->freq < FREQ_MAX)
        node->freq++;
}

static void s3fifo_remove(struct fb_evict *e, struct fb_evict_node *node) {
    dequeue(e, node);
    if (node->queue == MAIN)
        fb_ghost_add(&e->ghost, node->tag, 0 /* nothing was evicted: the others age no faster */);
}

static struct fb_evict_node *oldest_of(struct fb_evict *e, enum queue queue) {
    struct fb_link *l = e->queues[queue].next;
    return l == &e->queues[queue] ? NULL : fb_member_of(l, struct fb_evict_node, link);
}

static struct fb_evict_node *s3fifo_victim(struct fb_evict *e) {
    for (unsigned chances = SECOND_CHANCES_MAX;; chances--) {
        bool is_small = e->bytes[SMALL] >= e->small_share || e->bytes[MAIN] == 0;
        struct fb_evict_node *node = oldest_of(e, is_small ? SMALL : MAIN);
        if (node == NULL)
            node = oldest_of(e, is_small ? MAIN : SMALL);
        if (node == NULL)
            return NULL;
        dequeue(e, node);
        if (node->freq < (node->queue == SMALL ? FREQ_PROMOTED : 1) || chances == 0) {
            if (node->queue == SMALL)
                fb_ghost_add(&e->ghost, node->tag, node->size);
            return node;
        }
        node->freq = node->queue == SMALL ? 0 : node->freq - 1;
        enqueue(e, node, MAIN);
    }
}

/* The ghost counts its time in parts of bytes_max: it begins anew, or stays as it is when there is no memory. */
static void s3fifo_resize(struct fb_evict *e, uint64_t bytes_max) {
    struct fb_ghost ghost;
    e->small_share = bytes_max / SMALL_SHARE;
    if (!fb_ghost_init(&ghost, bytes_max, bytes_max - e->small_share))
        return;
    fb_ghost_finish(&e->ghost);
    e->ghost = ghost;
}

static unsigned s3fifo_frequency(const struct fb_evict_node *node) { return node->freq; }

const struct fb_evict_ops fb_evict_s3fifo = {
    .name = "s3-fifo",
    .create = s3fifo_create,
    .destroy = s3fifo_destroy,
    .insert = s3fifo_insert,
    .hit = s3fifo_hit,
    .remove = s3fifo_remove,
    .victim = s3fifo_victim,
    .resize = s3fifo_resize,
    .frequency = s3fifo_frequency,
};
