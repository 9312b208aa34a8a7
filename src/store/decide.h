/* What the six scripts decide, as pure functions of what they find: the protocol's one definition in C.
 *
 * scripts.c says the same in Lua for Redis; the explicit-state model (tests/model) and the model Redis of the tests
 * run these functions, and a test compares both over random histories. What is expired counts as not found. */
#ifndef FB_STORE_DECIDE_H
#define FB_STORE_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

struct fb_coord_facts {
    bool has_value, has_negative;
    bool has_lease, is_lease_mine;       /* a load's permission to fill; given to the caller's token */
    bool has_mark, has_other_marks;      /* writes in flight: the caller's, and those of others */
    bool is_contended;                   /* writes overlapped since the last moment without any */
};

enum fb_coord_answer {
    FB_COORD_HIT,   /* the value is there (MISS came late) */
    FB_COORD_NEG,   /* known to be absent */
    FB_COORD_BUSY,  /* a write is in flight: load, keep nothing */
    FB_COORD_WAIT,  /* another load holds the lease */
    FB_COORD_LEASE, /* the caller may load and fill */
};

/* A refresh wants a lease although a copy is there. */
static inline enum fb_coord_answer fb_coord_miss(const struct fb_coord_facts *f, bool is_refresh) {
    if (f->has_value && !is_refresh)
        return FB_COORD_HIT;
    if (f->has_negative && !is_refresh)
        return FB_COORD_NEG;
    if (f->has_mark || f->has_other_marks)
        return FB_COORD_BUSY;
    return f->has_lease && !f->is_lease_mine ? FB_COORD_WAIT : FB_COORD_LEASE;
}

/* The absence of a permission means "do not fill": what was lost, evicted or revoked is safe by default. */
static inline bool fb_coord_fill(const struct fb_coord_facts *f) {
    return f->has_lease && f->is_lease_mine && !f->has_mark && !f->has_other_marks;
}

/* Is the key contended once this write has begun? (The lease goes in any case.) */
static inline bool fb_coord_begin(const struct fb_coord_facts *f) {
    return f->is_contended || f->has_other_marks;
}

/* May this write's end put its value there? Else value and negative entry go, whoever put them. */
static inline bool fb_coord_end(const struct fb_coord_facts *f) {
    return f->has_mark && !f->has_other_marks && !f->is_contended;
}

/* Is the key contended after an end or an invalidation? Writes still in flight may not put what they have. */
static inline bool fb_coord_contended_after(const struct fb_coord_facts *f) { return f->has_other_marks; }

/* Has an invalidation dropped a value? What else it drops nobody counts. */
static inline bool fb_coord_inval(const struct fb_coord_facts *f) { return f->has_value; }

enum fb_coord_when { FB_COORD_ALWAYS, FB_COORD_NX, FB_COORD_XX, FB_COORD_GT, FB_COORD_LT };

enum fb_coord_life {
    FB_COORD_LIFE_NONE,  /* no copy is there */
    FB_COORD_LIFE_UNMET, /* the condition does not hold */
    FB_COORD_LIFE_DROP,  /* its life is over */
    FB_COORD_LIFE_KEEP,  /* it stays as it is */
    FB_COORD_LIFE_SET,   /* it is `want` */
};

/* A copy that has `left` to live (−1: without end) shall live for `want`. While a write is in flight no life grows: the
 * old value, where it serves on, may not outlive the write's window. */
static inline enum fb_coord_life fb_coord_life(const struct fb_coord_facts *f, enum fb_coord_when when, int64_t left,
                                               int64_t want) {
    bool has_end = left >= 0, grows = has_end && want > left;
    if (!f->has_value)
        return FB_COORD_LIFE_NONE;
    if ((when == FB_COORD_NX && has_end) || (when == FB_COORD_XX && !has_end) || (when == FB_COORD_GT && !grows) ||
        (when == FB_COORD_LT && has_end && want >= left))
        return FB_COORD_LIFE_UNMET;
    if (want <= 0)
        return FB_COORD_LIFE_DROP;
    return grows && (f->has_mark || f->has_other_marks) ? FB_COORD_LIFE_KEEP : FB_COORD_LIFE_SET;
}

#endif
