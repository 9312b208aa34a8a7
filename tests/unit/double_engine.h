/* A double of the engine for tests of the server: the public API over a few rows in memory.
 *
 * Keys belong to keyspaces by what stands before the first colon:
 *   s     strings            h     hashes
 *   ro    read-only          ig    writes are accepted and ignored
 *   bad   the source is down, with an error text that tries to break out of its line
 * Reads of rows not yet cached, and all writes, end on another thread, in an order drawn from the seed. While the
 * double is held nothing ends. No time is involved. An observer is told of all but expiry and eviction, which are the
 * test's to cause. */
#ifndef DOUBLE_ENGINE_H
#define DOUBLE_ENGINE_H

#include <stdbool.h>

#include <forebay/forebay.h>

/* No rows any more, and nothing cached. Nothing may be under way (double_wait_idle). */
void double_clear(fb_cache *cache);
/* A row at the source, not cached. */
void double_put(fb_cache *cache, const char *key, fb_kind kind, fb_bytes value);
/* The copy goes: FB_EVENT_EXPIRED, FB_EVENT_EVICTED. Told before it returns. */
void double_drop(fb_cache *cache, const char *key, fb_event_kind why);
/* From now on completions end in an order drawn from this seed. */
void double_seed(fb_cache *cache, uint64_t seed);
/* Keep all completions back until it is called with false. */
void double_hold(fb_cache *cache, bool holds);
/* Operations that were submitted and did not end at once, since the start. */
unsigned double_submitted(fb_cache *cache);
/* Wait until there have been so many. */
void double_wait_submitted(fb_cache *cache, unsigned n);
/* Wait until all that were submitted have ended. */
void double_wait_idle(fb_cache *cache);

#endif
