/* The table of keys that clients have read, and sets of clients. */
#include "server/tracking_table.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "server/tracking.h"

enum {
    PARTS = FB_TRACK_PARTS,
    BUCKETS_FIRST = 16,
    OUT_AT_ONCE = 8,   /* keys pushed out by one that comes, when the limit has been lowered */
    SET_FIRST = 2,
};

struct part {
    struct fb_lock lock; /* covers the rest */
    struct fb_tracked **buckets;
    size_t nbuckets, n;
    size_t hand;         /* bucket from which the next key is pushed out */
} __attribute__((aligned(64)));

struct fb_track_table {
    struct fb_hash_key hash_key;
    _Atomic size_t keys, items;
    struct part parts[PARTS];
};

/* ---- sets ------------------------------------------------------------------------------------------------------- */

/* Where the client is, or would be. */
static uint32_t place_in(const struct fb_tracker_set *set, uint64_t id) {
    uint32_t low = 0, high = set->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (set->items[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_on(const struct fb_tracker *tracker) {
    return !atomic_load_explicit(&tracker->is_off, memory_order_relaxed);
}

static void purge(struct fb_tracker_set *set) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        if (is_on(set->items[i]))
            set->items[n++] = set->items[i];
        else
            fb_tracker_unref(set->items[i]);
    }
    set->n = n;
}

static bool make_room(struct fb_tracker_set *set) {
    uint32_t room = set->room > 0 ? 2 * set->room : SET_FIRST;
    struct fb_tracker **items = fb_mem_realloc(set->items, room * sizeof(struct fb_tracker *));
    if (items == NULL)
        return false;
    set->items = items;
    set->room = room;
    return true;
}

fb_status fb_tracker_set_add(struct fb_tracker_set *set, struct fb_tracker *tracker) {
    uint32_t i = place_in(set, tracker->id);
    /* The same client may have switched tracking off and on: then it is another tracker. */
    for (uint32_t k = i; k < set->n && set->items[k]->id == tracker->id; k++)
        if (set->items[k] == tracker)
            return FB_UNMET;
    if (set->n == set->room) {
        purge(set);
        if (set->n == set->room && !make_room(set))
            return FB_NOMEM;
        i = place_in(set, tracker->id);
    }
    memmove(set->items + i + 1, set->items + i, (set->n - i) * sizeof set->items[0]);
    set->items[i] = tracker;
    set->n++;
    atomic_fetch_add_explicit(&tracker->refs, 1, memory_order_relaxed);
    return FB_OK;
}

void fb_tracker_set_remove(struct fb_tracker_set *set, struct fb_tracker *tracker) {
    for (uint32_t i = place_in(set, tracker->id); i < set->n && set->items[i]->id == tracker->id; i++) {
        if (set->items[i] != tracker)
            continue;
        memmove(set->items + i, set->items + i + 1, (set->n - i - 1) * sizeof set->items[0]);
        set->n--;
        fb_tracker_unref(tracker);
        return;
    }
}

void fb_tracker_set_free(struct fb_tracker_set *set) {
    for (uint32_t i = 0; i < set->n; i++)
        fb_tracker_unref(set->items[i]);
    fb_mem_free(set->items);
    *set = (struct fb_tracker_set){0};
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

struct fb_tracked *fb_tracked_free(struct fb_tracked *tracked) {
    if (tracked != NULL) {
        fb_tracker_set_free(&tracked->clients);
        fb_mem_free(tracked);
    }
    return NULL;
}

struct fb_track_table *fb_track_table_new(void) {
    struct fb_track_table *table = fb_mem_calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    fb_rng_system(&table->hash_key, sizeof table->hash_key);
    for (int i = 0; i < PARTS; i++)
        fb_lock_init(&table->parts[i].lock, FB_LOCK_TRACKING);
    for (int i = 0; i < PARTS; i++) {
        table->parts[i].buckets = fb_mem_calloc(BUCKETS_FIRST, sizeof table->parts[i].buckets[0]);
        table->parts[i].nbuckets = BUCKETS_FIRST;
        if (table->parts[i].buckets == NULL) {
            fb_track_table_free(table);
            return NULL;
        }
    }
    return table;
}

void fb_track_table_free(struct fb_track_table *table) {
    if (table == NULL)
        return;
    fb_track_table_clear(table);
    for (int i = 0; i < PARTS; i++) {
        fb_mem_free(table->parts[i].buckets);
        fb_lock_finish(&table->parts[i].lock);
    }
    fb_mem_free(table);
}

static struct part *part_of(struct fb_track_table *table, uint64_t hash) { return &table->parts[hash % PARTS]; }

static struct fb_tracked **bucket_of(const struct part *part, uint64_t hash) {
    return &part->buckets[hash / PARTS & (part->nbuckets - 1)];
}

/* What points to the key, or to the end of its bucket. */
static struct fb_tracked **find(const struct part *part, uint64_t hash, fb_bytes key) {
    struct fb_tracked **place = bucket_of(part, hash);
    while (*place != NULL &&
           ((*place)->hash != hash || (*place)->len != key.len || memcmp((*place)->key, key.data, key.len) != 0))
        place = &(*place)->next;
    return place;
}

/* Without memory for it the chains grow instead. */
static void grow(struct part *part) {
    struct part larger = {.nbuckets = 2 * part->nbuckets};
    larger.buckets = fb_mem_calloc(larger.nbuckets, sizeof larger.buckets[0]);
    if (larger.buckets == NULL)
        return;
    for (size_t i = 0; i < part->nbuckets; i++) {
        for (struct fb_tracked *one = part->buckets[i], *next; one != NULL; one = next) {
            struct fb_tracked **bucket = bucket_of(&larger, one->hash);
            next = one->next;
            one->next = *bucket;
            *bucket = one;
        }
    }
    fb_mem_free(part->buckets);
    part->buckets = larger.buckets;
    part->nbuckets = larger.nbuckets;
}

static struct fb_tracked *new_key(uint64_t hash, fb_bytes key) {
    struct fb_tracked *one = fb_mem_calloc(1, sizeof *one + key.len);
    if (one == NULL)
        return NULL;
    one->hash = hash;
    one->len = key.len;
    if (key.len > 0)
        memcpy(one->key, key.data, key.len);
    return one;
}

/* The lock is held. */
static struct fb_tracked *unlink_at(struct fb_track_table *table, struct part *part, struct fb_tracked **place) {
    struct fb_tracked *one = *place;
    *place = one->next;
    one->next = NULL;
    part->n--;
    atomic_fetch_sub(&table->keys, 1);
    atomic_fetch_sub(&table->items, one->clients.n);
    return one;
}

/* Any key of this part but the one that has just come: they are spread by their hashes, so this is a random choice. The
 * lock is held. */
static struct fb_tracked *push_out(struct fb_track_table *table, struct part *part, const struct fb_tracked *but) {
    for (size_t i = 0; i < part->nbuckets; i++) {
        struct fb_tracked **place = &part->buckets[part->hand++ & (part->nbuckets - 1)];
        if (*place == but && *place != NULL)
            place = &(*place)->next;
        if (*place != NULL)
            return unlink_at(table, part, place);
    }
    return NULL;
}

/* The lock is held. */
static fb_status add(struct fb_track_table *table, struct part *part, size_t keys_max, uint64_t hash, fb_bytes key,
                     struct fb_tracker *tracker, struct fb_tracked **ret_out) {
    struct fb_tracked **place = find(part, hash, key), *one = *place;
    bool is_new = one == NULL;
    if (is_new && (one = new_key(hash, key)) == NULL)
        return FB_NOMEM;
    uint32_t before = one->clients.n;
    fb_status status = fb_tracker_set_add(&one->clients, tracker);
    atomic_fetch_add(&table->items, (size_t)one->clients.n - before); /* may be less than before: wraps */
    if (!is_new)
        return status == FB_NOMEM ? status : FB_OK;
    if (status == FB_NOMEM) {
        fb_tracked_free(one);
        return status;
    }
    *place = one;
    if (part->n++ >= part->nbuckets)
        grow(part);
    atomic_fetch_add(&table->keys, 1);
    for (int i = 0; i < OUT_AT_ONCE && atomic_load(&table->keys) > keys_max; i++) {
        struct fb_tracked *out = push_out(table, part, one);
        if (out == NULL)
            break;
        out->next = *ret_out;
        *ret_out = out;
    }
    return FB_OK;
}

fb_status fb_track_table_add(struct fb_track_table *table, size_t keys_max, fb_bytes key, struct fb_tracker *tracker,
                             struct fb_tracked **ret_out) {
    uint64_t hash = fb_hash(&table->hash_key, key.data, key.len);
    struct part *part = part_of(table, hash);
    *ret_out = NULL;
    fb_lock_acquire(&part->lock);
    fb_status status = add(table, part, keys_max, hash, key, tracker, ret_out);
    fb_lock_release(&part->lock);
    return status;
}

struct fb_tracked *fb_track_table_trim(struct fb_track_table *table, size_t keys_max, size_t most) {
    struct fb_tracked *out = NULL, *one;
    for (int i = 0; i < PARTS; i++) {
        struct part *part = &table->parts[i];
        fb_lock_acquire(&part->lock);
        while (most > 0 && atomic_load(&table->keys) > keys_max && (one = push_out(table, part, NULL)) != NULL) {
            one->next = out;
            out = one;
            most--;
        }
        fb_lock_release(&part->lock);
    }
    return out;
}

/* The one who caused the change and does not want to hear of it; NULL: nobody. */
static struct fb_tracker *who_stays(const struct fb_tracker_set *set, uint64_t origin) {
    if (origin == 0)
        return NULL;
    for (uint32_t i = place_in(set, origin); i < set->n && set->items[i]->id == origin; i++)
        if (is_on(set->items[i]) && (atomic_load(&set->items[i]->options) & FB_TRACK_NOLOOP))
            return set->items[i];
    return NULL;
}

/* The lock is held. */
static struct fb_tracked *take(struct fb_track_table *table, struct part *part, uint64_t hash, fb_bytes key,
                               uint64_t origin) {
    struct fb_tracked **place = find(part, hash, key);
    if (*place == NULL)
        return NULL;
    struct fb_tracker *stays = who_stays(&(*place)->clients, origin);
    struct fb_tracked *again = stays != NULL ? new_key(hash, key) : NULL;
    if (again != NULL && fb_tracker_set_add(&again->clients, stays) != FB_OK)
        again = fb_tracked_free(again); /* without memory it is told after all, and asks again */
    struct fb_tracked *one = unlink_at(table, part, place);
    if (again == NULL)
        return one;
    fb_tracker_set_remove(&one->clients, stays);
    again->next = *place;
    *place = again;
    part->n++;
    atomic_fetch_add(&table->keys, 1);
    atomic_fetch_add(&table->items, 1);
    return one;
}

struct fb_tracked *fb_track_table_take(struct fb_track_table *table, fb_bytes key, uint64_t origin) {
    uint64_t hash = fb_hash(&table->hash_key, key.data, key.len);
    struct part *part = part_of(table, hash);
    fb_lock_acquire(&part->lock);
    struct fb_tracked *one = part->n > 0 ? take(table, part, hash, key, origin) : NULL;
    fb_lock_release(&part->lock);
    return one;
}

void fb_track_table_clear(struct fb_track_table *table) {
    for (int i = 0; i < PARTS; i++) {
        struct part *part = &table->parts[i];
        fb_lock_acquire(&part->lock);
        for (size_t b = 0; b < part->nbuckets && part->n > 0; b++)
            while (part->buckets[b] != NULL)
                fb_tracked_free(unlink_at(table, part, &part->buckets[b]));
        fb_lock_release(&part->lock);
    }
}

void fb_track_table_count(const struct fb_track_table *table, size_t *ret_keys, size_t *ret_items) {
    *ret_keys = atomic_load_explicit(&table->keys, memory_order_relaxed);
    *ret_items = atomic_load_explicit(&table->items, memory_order_relaxed);
}
