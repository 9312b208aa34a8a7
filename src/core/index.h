/* An index from hashes to items: tagged pointers in buckets of one cache line, grown and shrunk one bucket at a time.
 *
 * Linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980): with n buckets,
 * 2^level < n ≤ 2^(level+1), bucket n − 2^level is the next to be split into itself and bucket n. So an insert never
 * pays for more than one bucket, however many items there are: a table that doubles would hold its shard's lock for
 * milliseconds. A bucket that is full continues in an overflow bucket.
 *
 * An item begins with its 64-bit hash. The index does not own items and knows no keys; the caller compares them. */
#ifndef FB_CORE_INDEX_H
#define FB_CORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FB_BUCKET_SLOTS = 7,
    FB_PAGE_BUCKETS = 64, /* allocated together: 4 KiB */
};

struct fb_bucket {
    uint64_t slots[FB_BUCKET_SLOTS]; /* tag << 48 | pointer; 0 is empty */
    struct fb_bucket *overflow;
};

struct fb_index {
    char **pages;      /* as allocated; see fb_index_at */
    size_t pages_cap;
    size_t buckets;    /* in use */
    size_t round;      /* 2^level */
    size_t items;
    bool is_walking;
};

bool fb_index_init(struct fb_index *index); /* false when out of memory */
void fb_index_finish(struct fb_index *index);

/* The item must not be there. False when out of memory. */
bool fb_index_insert(struct fb_index *index, void *item);
void fb_index_remove(struct fb_index *index, const void *item);
/* Split or merge a bucket where the load asks for it; call it after inserts and removals. */
void fb_index_settle(struct fb_index *index);

/* Call `visit` for the items of one bucket and its overflow; it may remove the item it gets. Returns the slots seen. */
typedef void fb_index_visit(void *user, void *item);
unsigned fb_index_walk(struct fb_index *index, size_t bucket, fb_index_visit *visit, void *user);

/* Going round while buckets split and join. An item's position is the part of its hash that addresses buckets, read
 * back to front: so every bucket holds an interval of positions, a split cuts it in two and a join puts two together.
 * The bucket of a position, and where its interval ends (at most FB_INDEX_END). Whoever goes on from that end meets every
 * item that is there all the while: the positions before it have been seen, whatever the buckets look like by then. */
#define FB_INDEX_END (UINT64_C(1) << 32)
size_t fb_index_interval(const struct fb_index *index, uint32_t position, uint64_t *ret_end);

/* ---- the probe, inline because it is the hit path ---- */

/* The caller may have spent some bits of the hash on choosing a shard; a multiplication gives every bit a say. */
static inline uint64_t fb_index_spread(uint64_t hash) { return hash * UINT64_C(0x9e3779b97f4a7c15); }
static inline uint64_t fb_index_tag(uint64_t spread) { return spread >> 12 << 48; }

static inline struct fb_bucket *fb_index_at(const struct fb_index *index, size_t n) {
    uintptr_t page = (uintptr_t)index->pages[n / FB_PAGE_BUCKETS];
    size_t line = sizeof(struct fb_bucket); /* a page starts at the first whole line of its allocation */
    return (struct fb_bucket *)((page + line - 1) & ~(uintptr_t)(line - 1)) + n % FB_PAGE_BUCKETS;
}

static inline struct fb_bucket *fb_index_bucket(const struct fb_index *index, uint64_t spread) {
    size_t n = (size_t)(spread >> 32) & (2 * index->round - 1);
    return fb_index_at(index, n < index->buckets ? n : n & (index->round - 1));
}

/* gcc 12 takes a loop that only prefetches for one without effect and removes it; the empty statement stays. */
static inline void fb_index_fetch_line(const void *line) {
    __builtin_prefetch(line);
    __asm__ volatile("" : : "r"(line));
}

/* Fetch the bucket's line; later, when it has arrived, the first `lines` lines of the item that the tag points to. */
static inline void fb_index_prefetch_bucket(const struct fb_index *index, uint64_t hash) {
    fb_index_fetch_line(fb_index_bucket(index, fb_index_spread(hash)));
}
static inline void fb_index_prefetch_item(const struct fb_index *index, uint64_t hash, unsigned lines) {
    uint64_t spread = fb_index_spread(hash), tag = fb_index_tag(spread);
    const struct fb_bucket *b = fb_index_bucket(index, spread);
    for (unsigned i = 0; i < FB_BUCKET_SLOTS; i++) {
        uint64_t slot = b->slots[i] ^ tag;
        if (slot >> 48 != 0 || b->slots[i] == 0)
            continue;
        const char *item = (const char *)(uintptr_t)slot; /* NOLINT(performance-no-int-to-ptr) */
        for (unsigned line = 0; line < lines; line++)
            fb_index_fetch_line(item + line * sizeof(struct fb_bucket));
    }
}

/* The item for which `is_it(item, user)` holds, or NULL. */
static inline void *fb_index_find(const struct fb_index *index, uint64_t hash,
                                  bool (*is_it)(const void *item, const void *user), const void *user) {
    uint64_t spread = fb_index_spread(hash), tag = fb_index_tag(spread);
    /* A plain loop: comparing all seven tags before the first branch costs a quarter more per hit (measured), because
     * a guessed branch asks memory for the item before the bucket has arrived in full. */
    for (const struct fb_bucket *b = fb_index_bucket(index, spread); b != NULL; b = b->overflow)
        for (unsigned i = 0; i < FB_BUCKET_SLOTS; i++) {
            uint64_t slot = b->slots[i] ^ tag;
            if (slot >> 48 != 0 || b->slots[i] == 0)
                continue;
            void *item = (void *)(uintptr_t)slot; /* NOLINT(performance-no-int-to-ptr) */
            if (is_it(item, user))
                return item;
        }
    return NULL;
}

#endif
