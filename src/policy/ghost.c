/* Fingerprints of evicted entries in buckets, aged by bytes evicted since. */
#include "policy/ghost.h"

#include <stddef.h>

#include "base/mem.h"

enum {
    WAYS = 8,              /* one cache line */
    BUCKET_BITS_MIN = 3,   /* 64 fingerprints */
    BUCKET_BITS_MAX = 28,
    UNITS_PER_TABLE = 20,  /* `when` counts in 2^-20 of bytes_max or finer, and wraps after some 4,000 turnovers */
    CROWDED_SHARE = 8,     /* grow once 1/8 of the slots was pushed out too early */
};

static uint32_t time_of(const struct fb_ghost *g) { return (uint32_t)(g->evicted >> g->shift); }
static uint32_t age_of(const struct fb_ghost *g, const struct fb_ghost_slot *slot) { return time_of(g) - slot->when; }

static size_t slots_of(unsigned bucket_bits) { return (size_t)WAYS << bucket_bits; }

/* The top bits choose the bucket, so that growing splits bucket b into 2b and 2b + 1. */
static struct fb_ghost_slot *bucket_of(const struct fb_ghost *g, uint32_t tag) {
    return g->slots + WAYS * (size_t)((tag * UINT32_C(0x9e3779b1)) >> (32 - g->bucket_bits));
}

bool fb_ghost_init(struct fb_ghost *g, uint64_t bytes_max, uint64_t span) {
    *g = (struct fb_ghost){.bucket_bits = BUCKET_BITS_MIN, .bucket_bits_max = BUCKET_BITS_MIN};
    while (g->bucket_bits_max < BUCKET_BITS_MAX &&
           slots_of(g->bucket_bits_max + 1) <= bytes_max / FB_GHOST_BYTES_PER_SLOT)
        g->bucket_bits_max++;
    while (bytes_max >> g->shift > UINT64_C(1) << UNITS_PER_TABLE)
        g->shift++;
    g->span = (uint32_t)(span >> g->shift);
    g->evicted = (uint64_t)(g->span + 1) << g->shift; /* so that empty slots, of time 0, are too old */
    g->slots = fb_mem_calloc(slots_of(g->bucket_bits), sizeof *g->slots);
    return g->slots != NULL;
}

void fb_ghost_finish(struct fb_ghost *g) {
    fb_mem_free(g->slots);
    g->slots = NULL;
}

/* The slot for a tag: its own, else the oldest. */
static struct fb_ghost_slot *place_for(const struct fb_ghost *g, uint32_t tag) {
    struct fb_ghost_slot *bucket = bucket_of(g, tag), *oldest = bucket;
    for (unsigned i = 0; i < WAYS; i++) {
        if (bucket[i].tag == tag)
            return &bucket[i];
        if (age_of(g, &bucket[i]) > age_of(g, oldest))
            oldest = &bucket[i];
    }
    return oldest;
}

/* Out of memory it stays as it is and forgets too early. */
static void grow(struct fb_ghost *g) {
    g->crowded = 0;
    if (g->bucket_bits == g->bucket_bits_max)
        return;
    struct fb_ghost old = *g;
    struct fb_ghost_slot *slots = fb_mem_calloc(slots_of(g->bucket_bits + 1), sizeof *slots);
    if (slots == NULL)
        return;
    g->slots = slots;
    g->bucket_bits++;
    for (size_t i = 0; i < slots_of(old.bucket_bits); i++)
        if (age_of(g, &old.slots[i]) <= g->span)
            *place_for(g, old.slots[i].tag) = old.slots[i];
    fb_mem_free(old.slots);
}

void fb_ghost_add(struct fb_ghost *g, uint32_t tag, uint32_t size) {
    g->evicted += size;
    struct fb_ghost_slot *slot = place_for(g, tag);
    if (slot->tag != tag && age_of(g, slot) <= g->span && ++g->crowded > slots_of(g->bucket_bits) / CROWDED_SHARE) {
        grow(g);
        slot = place_for(g, tag);
    }
    *slot = (struct fb_ghost_slot){tag, time_of(g)};
}

bool fb_ghost_take(struct fb_ghost *g, uint32_t tag) {
    struct fb_ghost_slot *bucket = bucket_of(g, tag);
    for (unsigned i = 0; i < WAYS; i++)
        if (bucket[i].tag == tag && age_of(g, &bucket[i]) <= g->span) {
            bucket[i].when = time_of(g) - g->span - 1;
            return true;
        }
    return false;
}
