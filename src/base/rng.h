/* Random numbers: one seed from the system, then a small generator that can be replayed.
 *
 * struct fb_rng is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): not for secrets. Secrets and hash keys come from
 * fb_rng_system, the one place that asks the system. */
#ifndef FB_BASE_RNG_H
#define FB_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct fb_rng { uint64_t state; };

static inline uint64_t fb_rng_next(struct fb_rng *rng) {
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in 0 .. n−1; n > 0. The bias of the multiplication is below 2^-32 for the n used here. */
static inline uint64_t fb_rng_below(struct fb_rng *rng, uint64_t n) {
    return (uint64_t)(((unsigned __int128)fb_rng_next(rng) * n) >> 64);
}

/* Fill with random bytes from the system; aborts when the system has none (nothing safe can be done then). */
void fb_rng_system(void *out, size_t len);

#endif
