/* Looking into a running cache. */
#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"

enum {
    SCAN_SLOTS_HELD = 128,   /* index slots looked at under one hold of a shard's lock, and one bucket */
    SCAN_SLOTS_PER_KEY = 64, /* and for each key asked for, before a call comes back with fewer */
    SCAN_SLOTS_MIN = 8192,   /* in a call: all there is of a cache that is nearly empty */
    RANDOM_TRIES = 64,
};

uint64_t fb_fingerprint(const fb_cache *cache, fb_kind kind, fb_bytes value) {
    return fb_value_fingerprint(&cache->hash_key, kind, value);
}

/* ---- all keys ---- */

struct scan {
    fb_visit visit;
    void *user;
    size_t visited;
};

static void visit_and_count(void *user, const fb_entry *entry) {
    struct scan *scan = user;
    scan->visited++;
    scan->visit(scan->user, entry);
}

/* The cursor is the number of the shard and a position in it. */
uint64_t fb_scan(fb_cache *cache, uint64_t cursor, size_t count, fb_visit visit, void *user) {
    struct scan scan = {visit, user, 0};
    uint64_t i = cursor / FB_TABLE_END, position = cursor % FB_TABLE_END;
    size_t looked = 0, patience = SCAN_SLOTS_MIN;
    if (count > SCAN_SLOTS_MIN / SCAN_SLOTS_PER_KEY)
        patience = count < SIZE_MAX / SCAN_SLOTS_PER_KEY ? count * SCAN_SLOTS_PER_KEY : SIZE_MAX;
    while (i < cache->nshards && scan.visited < count && looked <= patience) {
        struct fb_engine_shard *shard = &cache->shards[i];
        unsigned held = 0, step;
        fb_lock_acquire(&shard->lock);
        fb_instant now = fb_clock_now();
        for (; position < FB_TABLE_END && scan.visited < count && held < SCAN_SLOTS_HELD; held += step)
            position = fb_shard_scan(shard->core, position, now, visit_and_count, &scan, &step);
        fb_lock_release(&shard->lock);
        looked += held;
        if (position == FB_TABLE_END) {
            position = 0;
            i++;
        }
    }
    return i < cache->nshards ? i * FB_TABLE_END + position : 0;
}

/* ---- a key by chance ---- */

struct choice {
    struct fb_rng rng;
    fb_buf *out;
    size_t before;         /* length of out without a choice */
    unsigned seen;
    fb_status status;
};

/* Each of those seen so far is as likely as the others. */
static void choose(void *user, const fb_entry *entry) {
    struct choice *choice = user;
    if (fb_rng_below(&choice->rng, ++choice->seen) != 0)
        return;
    choice->out->len = choice->before;
    choice->status = fb_buf_append(choice->out, entry->key.data, entry->key.len);
}

/* Some buckets of a shard at random places, until one has a key to offer. */
static void choose_in(struct fb_engine_shard *shard, struct choice *choice) {
    fb_lock_acquire(&shard->lock);
    choice->rng.state = fb_rng_next(&shard->rng);
    fb_instant now = fb_clock_now();
    unsigned looked;
    for (unsigned try = 0; try < RANDOM_TRIES && choice->seen == 0; try++)
        (void)fb_shard_scan(shard->core, fb_rng_below(&choice->rng, FB_TABLE_END), now, choose, choice, &looked);
    fb_lock_release(&shard->lock);
}

static uint64_t values_in(struct fb_engine_shard *shard) {
    struct fb_table_stats stats;
    fb_lock_acquire(&shard->lock);
    fb_table_stats(fb_shard_table(shard->core), &stats);
    fb_lock_release(&shard->lock);
    return stats.keys;
}

fb_status fb_random_key(fb_cache *cache, fb_buf *ret_key) {
    struct choice choice = {.out = ret_key, .before = ret_key->len, .status = FB_NOTFOUND};
    fb_stats stats;
    fb_rng_system(&choice.rng.state, sizeof choice.rng.state);
    fb_stats_get(cache, &stats);
    if (stats.keys == 0)
        return FB_NOTFOUND;
    /* A shard by its share of the values. */
    uint64_t place = fb_rng_below(&choice.rng, stats.keys);
    unsigned i = 0;
    for (uint64_t n; i + 1 < cache->nshards && place >= (n = values_in(&cache->shards[i])); i++)
        place -= n;
    choose_in(&cache->shards[i], &choice);
    /* Few and far between, or most have expired: whichever comes next. */
    uint64_t cursor = i * FB_TABLE_END;
    for (unsigned rounds = 0; choice.seen == 0 && rounds < 2; rounds += cursor == 0)
        cursor = fb_scan(cache, cursor, 1, choose, &choice);
    return choice.status;
}

/* ---- one key ---- */

void fb_facts_get(fb_cache *cache, fb_bytes key, fb_facts *ret_facts) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    int keyspace = fb_keyspace_of(cache, key);
    *ret_facts = (fb_facts){.keyspace = keyspace};
    if (keyspace < 0)
        return;
    fb_lock_acquire(&shard->lock);
    fb_shard_facts(shard->core, hash, key, fb_clock_now(), ret_facts);
    fb_lock_release(&shard->lock);
    ret_facts->keyspace = keyspace;
}

/* ---- one keyspace ---- */

const char *fb_keyspace_sql(const fb_cache *cache, unsigned index, fb_op_kind kind) {
    if (index >= cache->nkeyspaces)
        return NULL;
    const struct fb_keyspace *keyspace = cache->keyspaces[index];
    const struct fb_driver_ops *ops = keyspace->source->ops;
    if (kind >= FB_OP_SET && kind <= FB_OP_DELETE && keyspace->options.write == FB_WRITE_OFF)
        return NULL; /* never sent */
    return ops->statement != NULL ? ops->statement(keyspace->binding, kind) : NULL;
}

fb_status fb_keyspace_last_error(fb_cache *cache, unsigned index, fb_err *ret_text, int64_t *ret_age_ms) {
    if (index >= cache->nkeyspaces)
        return FB_NOTFOUND;
    struct fb_source *source = cache->keyspaces[index]->source;
    fb_lock_acquire(&source->error_lock);
    bool has_failed = source->failed.ns != FB_NEVER.ns;
    if (has_failed) {
        *ret_text = source->last_error;
        *ret_age_ms = fb_span_ms(fb_since(fb_clock_now(), source->failed));
    }
    fb_lock_release(&source->error_lock);
    return has_failed ? FB_OK : FB_NOTFOUND;
}
