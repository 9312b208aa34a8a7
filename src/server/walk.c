/* All cached keys, some at a time: collected while the cache is visited, judged afterwards. */
#include "server/walk.h"

#include <string.h>

#include "base/clock.h"

enum {
    WALK_STEP = 64,   /* keys between two looks at the clock */
    WALK_TURN_MS = 1, /* then the other connections of the loop have their turn */
};

struct mark { uint16_t keyspace; uint8_t kind; };

struct collection {
    fb_buf *found;
    bool failed;
};

static void collect(void *user, const fb_entry *entry) {
    struct collection *c = user;
    struct mark mark = {(uint16_t)entry->keyspace, (uint8_t)entry->kind};
    c->failed |= fb_hash_append(c->found, entry->key, fb_bytes_of((const char *)&mark, sizeof mark)) != FB_OK;
}

static struct mark mark_of(const fb_field *found) {
    struct mark mark;
    memcpy(&mark, found->value.data, sizeof mark);
    return mark;
}

fb_kind fb_walk_kind(const fb_field *found) { return (fb_kind)mark_of(found).kind; }
unsigned fb_walk_keyspace(const fb_field *found) { return mark_of(found).keyspace; }

bool fb_walk(fb_cache *cache, uint64_t *cursor, size_t count, fb_buf *found) {
    struct collection c = {.found = found};
    size_t before = found->len;
    uint64_t next = fb_scan(cache, *cursor, count, collect, &c);
    if (c.failed)
        found->len = before;
    else
        *cursor = next;
    return !c.failed;
}

enum fb_walk_turn fb_walk_turn(struct fb_call *call, uint64_t *cursor, fb_walk_visit *visit, void *user) {
    fb_buf *found = &fb_call_loop(call)->scratch;
    fb_instant end = fb_after(fb_clock_now(), fb_ms(WALK_TURN_MS));
    do {
        fb_field entry;
        found->len = 0;
        if (!fb_walk(fb_call_cache(call), cursor, WALK_STEP, found)) {
            fb_call_out_of_memory(call);
            return FB_WALK_FAILED;
        }
        for (size_t at = 0; fb_hash_next(fb_bytes_of(found->data, found->len), &at, &entry);)
            visit(call, &entry, user);
    } while (*cursor != 0 && fb_before(fb_clock_now(), end));
    return *cursor == 0 ? FB_WALK_END : FB_WALK_ON;
}
