/* Refresh-ahead of what lies in the store: who finds a copy there that is due begins its load. A copy that is kept here too has
 * a stamp that remembers a failure; of the others a few words do. */
#include "base/clock.h"
#include "engine/tier.h"

enum { PAUSE_LEAST_MS = 100, PAUSE_FAILED_MS = 1000 };

static _Atomic uint64_t *place_of(struct fb_tier *tier, uint64_t hash) { return &tier->pauses[hash % FB_TIER_PAUSES]; }

static uint32_t ms_of(fb_instant now) { return (uint32_t)(now.ns / FB_NS_PER_MS); }

/* The upper half of its hash, and until when; who hashes to the same place takes it, which costs a call to the store. */
static void pause_for(struct fb_tier *tier, uint64_t hash, int64_t ms) {
    uint32_t until = ms_of(fb_clock_now()) + (uint32_t)ms;
    atomic_store_explicit(place_of(tier, hash), (hash & UINT64_C(0xffffffff00000000)) | until, memory_order_relaxed);
}

static bool is_paused(struct fb_tier *tier, uint64_t hash, fb_instant now) {
    uint64_t word = atomic_load_explicit(place_of(tier, hash), memory_order_relaxed);
    return word >> 32 == hash >> 32 && (int32_t)((uint32_t)word - ms_of(now)) > 0;
}

void fb_tier_ahead_over(struct fb_tier *tier, const struct fb_flight *flight, const struct fb_load_flow *flow) {
    if (!flight->is_ahead)
        return;
    if (flow->status < 0)
        pause_for(tier, flight->hash, PAUSE_FAILED_MS);
    else if (flow->is_put_off)
        pause_for(tier, flight->hash, flow->terms.load_ms > PAUSE_LEAST_MS ? flow->terms.load_ms : PAUSE_LEAST_MS);
}

bool fb_tier_is_ripe(struct fb_tier *tier, const struct fb_flight *flight, const struct fb_policy *policy,
                     struct fb_stamp *ret_copy) {
    fb_instant now = fb_clock_now();
    *ret_copy = (struct fb_stamp){.birth = flight->born, .cap_ms = flight->cap_ms, .cost_us = flight->cost_us,
                                  .keyspace = flight->keyspace, .kind = FB_KIND_STRING, .is_shared = true};
    return !flight->is_ahead && fb_ripeness(ret_copy, policy, now) == FB_VERDICT_RIPE &&
           !is_paused(tier, flight->hash, now);
}
