/* LRU: the entry not wanted for longest goes. The reference that every other policy is measured against. */
#include "policy/evict.h"

#include "base/mem.h"

struct fb_evict {
    struct fb_link recent; /* most recently wanted first */
};

static struct fb_evict *lru_create(uint64_t bytes_max) {
    (void)bytes_max; /* who asks for victims knows the limit */
    struct fb_evict *e = fb_mem_alloc(sizeof *e);
    if (e != NULL)
        fb_list_init(&e->recent);
    return e;
}

static void lru_destroy(struct fb_evict *e) { fb_mem_free(e); }

static void lru_insert(struct fb_evict *e, struct fb_evict_node *node) { fb_list_push_front(&e->recent, &node->link); }

static void lru_hit(struct fb_evict *e, struct fb_evict_node *node) {
    fb_list_remove(&node->link);
    fb_list_push_front(&e->recent, &node->link);
}

static void lru_remove(struct fb_evict *e, struct fb_evict_node *node) {
    (void)e;
    fb_list_remove(&node->link);
}

static struct fb_evict_node *lru_victim(struct fb_evict *e) {
    if (fb_list_is_empty(&e->recent))
        return NULL;
    struct fb_evict_node *node = fb_member_of(e->recent.prev, struct fb_evict_node, link);
    fb_list_remove(&node->link);
    return node;
}

static void lru_resize(struct fb_evict *e, uint64_t bytes_max) {
    (void)e;
    (void)bytes_max;
}

static unsigned lru_frequency(const struct fb_evict_node *node) {
    (void)node; /* it knows an order and no numbers */
    return 0;
}

const struct fb_evict_ops fb_evict_lru = {
    .name = "lru",
    .create = lru_create,
    .destroy = lru_destroy,
    .insert = lru_insert,
    .hit = lru_hit,
    .remove = lru_remove,
    .victim = lru_victim,
    .resize = lru_resize,
    .frequency = lru_frequency,
};
