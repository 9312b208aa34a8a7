/* Walking over all cached keys a turn of the loop at a time. */
#ifndef FB_SERVER_WALK_H
#define FB_SERVER_WALK_H

#include "server/call.h"

/* As fb_scan, but what is found is appended to `found` as a hash (fb_hash_next): nothing is judged while the cache is
 * visited. A field's name is the key; its value belongs to the functions below. False: out of memory, the cursor stays. */
bool fb_walk(fb_cache *cache, uint64_t *cursor, size_t count, fb_buf *found);
fb_kind fb_walk_kind(const fb_field *found);
unsigned fb_walk_keyspace(const fb_field *found);

/* Walk on from the cursor for about a millisecond. FB_WALK_END: the round is over; FAILED: the error has been written. */
enum fb_walk_turn { FB_WALK_ON, FB_WALK_END, FB_WALK_FAILED };
typedef void fb_walk_visit(struct fb_call *call, const fb_field *found, void *user);
enum fb_walk_turn fb_walk_turn(struct fb_call *call, uint64_t *cursor, fb_walk_visit *visit, void *user);

#endif
