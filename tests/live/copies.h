/* A first level for the live tests: copies of a few keys that are served while the watch proves that nothing was missed.
 *
 * The rules are the engine's: a copy enters when its key's sequence has not moved since before the question was asked,
 * and is served while the proof holds. Somebody who heard of a change raises the sequence and drops the copy. And on
 * histories everything is invalidated in the store, as the engine does for what it wrote of late. */
#ifndef FB_TESTS_COPIES_H
#define FB_TESTS_COPIES_H

#include "store/watch.h"

enum { COPIES_MAX = 64 };

struct copies;

/* Watches the place for keys NAME:0 … NAME:n−1. */
struct copies *copies_start(struct fb_place *place, const char *name, unsigned n);
void copies_stop(struct copies *copies);

/* Serve a copy, as a number. */
bool copies_get(struct copies *copies, unsigned key, uint64_t *ret_version);
uint64_t copies_sequence(struct copies *copies, unsigned key);
void copies_put(struct copies *copies, unsigned key, uint64_t sequence, uint64_t version);
void copies_drop(struct copies *copies, unsigned key);

struct copies_heard { uint64_t changed, all_changed, reassert, distrust, served, refused; };
struct copies_heard copies_heard(struct copies *copies);
/* Every key whose invalidation is owed since a history was judged; false: none. */
bool copies_owe(struct copies *copies, unsigned *ret_key);
void copies_paid(struct copies *copies, unsigned key);

#endif
