/* A shard's frame: making it, its coordination records, its counters. The moves are in shard_read.c, shard_write.c and
 * shard_time.c. */
#include "core/shard.h"

#include <string.h>

#include "base/mem.h"
#include "core/shard_internal.h"

enum { BUCKETS_FIRST = 64 };

static void note_evicted(void *user, fb_bytes key, const struct fb_stamp *stamp) {
    struct fb_shard *shard = user;
    fb_shard_count(shard, stamp->keyspace)->evicted++;
    if (!stamp->is_stale) /* else its end was told */
        fb_shard_tell(shard, FB_EVENT_EVICTED, stamp->keyspace, (fb_kind)stamp->kind, key);
}

static struct fb_link *make_buckets(unsigned n) {
    struct fb_link *buckets = fb_mem_calloc(n, sizeof *buckets);
    for (unsigned i = 0; buckets != NULL && i < n; i++)
        fb_list_init(&buckets[i]);
    return buckets;
}

struct fb_shard *fb_shard_create(const struct fb_shard_options *options) {
    struct fb_shard *shard = fb_mem_calloc(1, sizeof *shard);
    if (shard == NULL)
        return NULL;
    shard->policies = options->policies;
    shard->keyspaces_max = options->keyspaces_max;
    shard->observer = options->observer;
    shard->user = options->user;
    shard->proved = options->proved;
    shard->nbuckets = BUCKETS_FIRST;
    shard->next_token = 1;
    shard->next_due = FB_NEVER;
    fb_list_init(&shard->timed);
    fb_list_init(&shard->dated);
    shard->buckets = make_buckets(shard->nbuckets);
    shard->counters = fb_mem_calloc(options->keyspaces_max, sizeof *shard->counters);
    shard->table = fb_table_create(options->bytes_max, options->evict, note_evicted, shard);
    if (shard->buckets == NULL || shard->counters == NULL || shard->table == NULL)
        return fb_shard_destroy(shard);
    return shard;
}

struct fb_shard *fb_shard_destroy(struct fb_shard *shard) {
    if (shard == NULL)
        return NULL;
    /* Only doubts may be left: they end by time and nobody waits for them. */
    for (struct fb_link *l; (l = fb_list_pop_front(&shard->dated)) != NULL;) {
        struct fb_coord *coord = fb_member_of(l, struct fb_coord, dated);
        coord->in_doubt = false;
        fb_coord_settle(shard, coord);
    }
    fb_table_destroy(shard->table);
    fb_mem_free(shard->counters);
    fb_mem_free(shard->buckets);
    fb_mem_free(shard);
    return NULL;
}

void fb_effects_init(struct fb_effects *fx) {
    fb_list_init(&fx->done);
    fb_list_init(&fx->loads);
    fb_list_init(&fx->granted);
    fb_list_init(&fx->lapsed);
}

/* ---- coordination records ---- */

static struct fb_link *bucket_of(struct fb_shard *shard, uint64_t hash) {
    return &shard->buckets[hash & (shard->nbuckets - 1)];
}

struct fb_coord *fb_coord_find(struct fb_shard *shard, uint64_t hash, fb_bytes key) {
    struct fb_link *bucket = bucket_of(shard, hash);
    for (struct fb_link *l = bucket->next; l != bucket; l = l->next) {
        struct fb_coord *coord = fb_member_of(l, struct fb_coord, bucket);
        if (coord->hash == hash && coord->key_len == key.len && memcmp(coord->key, key.data, key.len) == 0)
            return coord;
    }
    return NULL;
}

/* Failure to grow is no failure: the chains just get longer. */
static void grow(struct fb_shard *shard) {
    unsigned n = shard->nbuckets * 2;
    struct fb_link *buckets = make_buckets(n);
    if (buckets == NULL)
        return;
    for (unsigned i = 0; i < shard->nbuckets; i++)
        for (struct fb_link *l; (l = fb_list_pop_front(&shard->buckets[i])) != NULL;)
            fb_list_push_back(&buckets[fb_member_of(l, struct fb_coord, bucket)->hash & (n - 1)], l);
    fb_mem_free(shard->buckets);
    shard->buckets = buckets;
    shard->nbuckets = n;
}

struct fb_coord *fb_coord_make(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace) {
    struct fb_coord *coord = fb_coord_find(shard, hash, key);
    if (coord != NULL)
        return coord;
    coord = fb_mem_calloc(1, sizeof *coord + key.len);
    if (coord == NULL)
        return NULL;
    if (shard->ncoords >= shard->nbuckets)
        grow(shard);
    coord->hash = hash;
    coord->keyspace = keyspace;
    coord->key_len = key.len;
    memcpy(coord->key, key.data, key.len);
    fb_list_init(&coord->queued);
    fb_list_init(&coord->dated);
    fb_list_push_back(bucket_of(shard, hash), &coord->bucket);
    shard->ncoords++;
    return coord;
}

void fb_coord_settle(struct fb_shard *shard, struct fb_coord *coord) {
    if (coord->nflights > 0 || coord->active != NULL || coord->nqueued > 0 || coord->nholds > 0 || coord->in_doubt)
        return;
    fb_list_remove(&coord->dated);
    fb_list_remove(&coord->bucket);
    shard->ncoords--;
    fb_mem_free(coord);
}

void fb_coord_note_due(struct fb_shard *shard, struct fb_coord *coord, fb_instant due) {
    if (!fb_link_is_in_list(&coord->dated))
        fb_list_push_back(&shard->dated, &coord->dated);
    if (fb_before(due, shard->next_due))
        shard->next_due = due;
}

/* ---- what the moves share ---- */

fb_bytes fb_flight_key(const struct fb_flight *flight) { return fb_coord_key(flight->coord); }
bool fb_flight_may_fill(const struct fb_flight *flight) { return fb_coord_lets_fill(flight->coord, flight); }
bool fb_flight_is_wanted(const struct fb_flight *flight) {
    return flight->is_promised || !fb_list_is_empty(&flight->waiters);
}

/* Callers read the clock before they have the lock: an instant may be a little before another that was earlier. */
static fb_span from_to(fb_instant from, fb_instant to) {
    return fb_before(from, to) ? fb_since(to, from) : (fb_span){0};
}

void fb_waiter_answer(struct fb_shard *shard, struct fb_waiter *waiter, fb_status status, struct fb_value *value,
                      fb_instant now, struct fb_effects *fx) {
    const struct fb_flight *flight = waiter->flight;
    fb_instant sent = flight->is_dispatched ? flight->sent : now;
    waiter->took.lane = from_to(waiter->asked, sent);
    waiter->took.source = from_to(fb_before(sent, waiter->asked) ? waiter->asked : sent, now);
    fb_list_remove(&waiter->link);
    fb_list_remove(&waiter->timed);
    waiter->flight = NULL;
    waiter->status = status;
    waiter->value = fb_value_ref(value);
    shard->nwaiters--;
    fb_list_push_back(&fx->done, &waiter->link);
}

bool fb_shard_keep(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_bytes value) {
    const fb_policy *policy = &shard->policies[stamp->keyspace];
    if (stamp->kind == FB_KIND_NONE && policy->negative_ttl_ms <= 0) {
        (void)fb_table_remove(shard->table, hash, key, NULL); /* what a REFRESH found gone */
        return false;
    }
    return fb_table_put(shard->table, hash, key, stamp, value);
}

void fb_shard_set_max(struct fb_shard *shard, uint64_t bytes_max) { fb_table_set_max(shard->table, bytes_max); }

/* ---- figures ---- */

fb_keyspace_stats *fb_shard_counters(struct fb_shard *shard, uint16_t keyspace) {
    return fb_shard_count(shard, keyspace);
}

const struct fb_table *fb_shard_table(const struct fb_shard *shard) { return shard->table; }

unsigned fb_shard_busy(const struct fb_shard *shard) { return shard->ncoords + shard->nwaiters; }
