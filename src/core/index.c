/* Buckets of tagged pointers under linear hashing. */
#include "core/index.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum {
    LOAD_MAX = 4,     /* items per bucket of 7 slots at which one more bucket is made: about 1 in 10 overflows */
    LOAD_MIN = 1,     /* and at which one is given back: far enough away that the two do not alternate */
    PAGES_FIRST = 8,
    LINE = sizeof(struct fb_bucket),
};

_Static_assert(sizeof(struct fb_bucket) == 64, "a bucket is a cache line");

static uint64_t hash_of(const void *item) { return *(const uint64_t *)item; }

static void *item_of(uint64_t slot) {
    return (void *)(uintptr_t)(slot & ((UINT64_C(1) << 48) - 1)); /* NOLINT(performance-no-int-to-ptr) */
}

static bool add_page(struct fb_index *ix) {
    size_t n = ix->buckets / FB_PAGE_BUCKETS;
    if (n == ix->pages_cap) {
        size_t cap = n > 0 ? 2 * n : PAGES_FIRST;
        char **pages = fb_mem_realloc(ix->pages, cap * sizeof *pages);
        if (pages == NULL)
            return false;
        ix->pages = pages;
        ix->pages_cap = cap;
    }
    ix->pages[n] = fb_mem_calloc(FB_PAGE_BUCKETS + 1, LINE);
    return ix->pages[n] != NULL;
}

bool fb_index_init(struct fb_index *ix) {
    *ix = (struct fb_index){.round = FB_PAGE_BUCKETS / 2};
    if (!add_page(ix)) {
        fb_mem_free(ix->pages);
        return false;
    }
    ix->buckets = FB_PAGE_BUCKETS;
    return true;
}

static void free_chain(struct fb_bucket *b) {
    while (b != NULL) {
        struct fb_bucket *next = b->overflow;
        fb_mem_free(b);
        b = next;
    }
}

void fb_index_finish(struct fb_index *ix) {
    for (size_t n = 0; n < ix->buckets; n++)
        free_chain(fb_index_at(ix, n)->overflow);
    for (size_t n = 0; n < ix->buckets; n += FB_PAGE_BUCKETS)
        fb_mem_free(ix->pages[n / FB_PAGE_BUCKETS]);
    fb_mem_free(ix->pages);
    *ix = (struct fb_index){0};
}

/* Put a slot into its bucket. Where that needs an overflow bucket, it is taken from *spare first. */
static bool place(struct fb_index *ix, uint64_t slot, struct fb_bucket **spare) {
    struct fb_bucket *b = fb_index_bucket(ix, fb_index_spread(hash_of(item_of(slot))));
    for (;; b = b->overflow) {
        for (unsigned i = 0; i < FB_BUCKET_SLOTS; i++)
            if (b->slots[i] == 0) {
                b->slots[i] = slot;
                return true;
            }
        if (b->overflow == NULL)
            break;
    }
    struct fb_bucket *more = *spare;
    if (more != NULL)
        *spare = more->overflow;
    else if ((more = fb_mem_alloc(sizeof *more)) == NULL)
        return false;
    *more = (struct fb_bucket){.slots = {slot}};
    b->overflow = more;
    return true;
}

bool fb_index_insert(struct fb_index *ix, void *item) {
    uint64_t address = (uintptr_t)item;
    if (address >> 48 != 0) /* an address space that leaves no room for tags: keep nothing rather than guess */
        return false;
    struct fb_bucket *spare = NULL;
    if (!place(ix, fb_index_tag(fb_index_spread(hash_of(item))) | address, &spare))
        return false;
    ix->items++;
    return true;
}

static bool is_empty(const struct fb_bucket *b) {
    for (unsigned i = 0; i < FB_BUCKET_SLOTS; i++)
        if (b->slots[i] != 0)
            return false;
    return true;
}

static void free_empty_overflow(struct fb_bucket *b) {
    for (struct fb_bucket *next; (next = b->overflow) != NULL;)
        if (is_empty(next)) {
            b->overflow = next->overflow;
            fb_mem_free(next);
        } else
            b = next;
}

void fb_index_remove(struct fb_index *ix, const void *item) {
    struct fb_bucket *head = fb_index_bucket(ix, fb_index_spread(hash_of(item)));
    for (struct fb_bucket *b = head; b != NULL; b = b->overflow)
        for (unsigned i = 0; i < FB_BUCKET_SLOTS; i++)
            if (b->slots[i] != 0 && item_of(b->slots[i]) == item) {
                b->slots[i] = 0;
                ix->items--;
                if (b != head && !ix->is_walking)
                    free_empty_overflow(head);
                return;
            }
    assert(!"the item is not in the index");
}

/* Take all slots out of a bucket and place them anew. Never more overflow buckets are needed than become free here,
 * but for one when two buckets become one: the caller sees to it. */
static void scatter(struct fb_index *ix, struct fb_bucket *head, struct fb_bucket **spare) {
    struct fb_bucket *rest = head->overflow, copy = *head;
    *head = (struct fb_bucket){0};
    for (;;) {
        for (unsigned i = 0; i < FB_BUCKET_SLOTS; i++)
            if (copy.slots[i] != 0) {
                bool is_placed = place(ix, copy.slots[i], spare);
                assert(is_placed);
                (void)is_placed;
            }
        if (rest == NULL)
            return;
        struct fb_bucket *done = rest;
        copy = *rest;
        rest = rest->overflow;
        done->overflow = *spare;
        *spare = done;
    }
}

static void split(struct fb_index *ix) {
    if (ix->buckets % FB_PAGE_BUCKETS == 0 && !add_page(ix))
        return; /* longer chains for now */
    if (ix->buckets == 2 * ix->round)
        ix->round *= 2;
    struct fb_bucket *spare = NULL;
    struct fb_bucket *old = fb_index_at(ix, ix->buckets - ix->round);
    *fb_index_at(ix, ix->buckets++) = (struct fb_bucket){0};
    scatter(ix, old, &spare);
    free_chain(spare);
}

static void merge(struct fb_index *ix) {
    struct fb_bucket *spare = fb_mem_alloc(sizeof *spare);
    if (spare == NULL)
        return;
    spare->overflow = NULL;
    struct fb_bucket *last = fb_index_at(ix, --ix->buckets);
    if (ix->buckets == ix->round)
        ix->round /= 2;
    scatter(ix, last, &spare);
    free_chain(spare);
    if (ix->buckets % FB_PAGE_BUCKETS == 0)
        fb_mem_free(ix->pages[ix->buckets / FB_PAGE_BUCKETS]);
}

void fb_index_settle(struct fb_index *ix) {
    if (ix->items > ix->buckets * LOAD_MAX)
        split(ix);
    else if (ix->items < ix->buckets * LOAD_MIN && ix->buckets > FB_PAGE_BUCKETS)
        merge(ix);
}

unsigned fb_index_walk(struct fb_index *ix, size_t bucket, fb_index_visit *visit, void *user) {
    struct fb_bucket *head = fb_index_at(ix, bucket);
    unsigned seen = 0;
    ix->is_walking = true;
    for (struct fb_bucket *b = head; b != NULL; b = b->overflow)
        for (unsigned i = 0; i < FB_BUCKET_SLOTS; i++, seen++)
            if (b->slots[i] != 0)
                visit(user, item_of(b->slots[i]));
    ix->is_walking = false;
    free_empty_overflow(head);
    return seen;
}

/* ---- going round ---- */

static uint32_t reversed(uint32_t x) {
    x = (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
    x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
    x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
    return __builtin_bswap32(x);
}

size_t fb_index_interval(const struct fb_index *ix, uint32_t position, uint64_t *ret_end) {
    size_t n = reversed(position) & (2 * ix->round - 1);
    /* Of two halves that are one bucket still, the first half's number is the bucket's, and one bit fewer is its own. */
    bool is_whole = n >= ix->buckets || (n < ix->round && n + ix->round >= ix->buckets);
    size_t numbers = is_whole ? ix->round : 2 * ix->round;
    uint64_t width = FB_INDEX_END / numbers;
    *ret_end = (position & ~(width - 1)) + width;
    return n & (numbers - 1);
}
