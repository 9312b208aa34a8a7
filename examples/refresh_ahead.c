/* Refresh-ahead: what is read often is loaded anew before it ends, and nobody waits for it.
 *
 * By hand a reader who finds less than a fifth of the TTL left takes a lock ("refresh_lock:KEY", 30 s), starts a thread that
 * loads and does SETEX, and deletes the lock in `finally`. The flaws: a load that takes longer than the lock deletes the
 * lock of another; a load that began before an UPDATE does its SETEX after it, and the old row stays for a whole TTL; the
 * threads have no bound; and a database that is down is asked at every read.
 *
 * Here the first to read a value past 80 % of its life is answered at once and has it loaded, behind the lease that every
 * load needs: a write takes that away, so the refresh that it has overtaken is refused. One per key, a bounded number per
 * source, none while the source is down; a failed one leaves the copy and is put off. What nobody reads is not loaded.
 *
 * Not for what is read less than once in a fifth of its life (it ends before anybody finds it due), nor instead of
 * invalidation: it brings what was changed behind Forebay's back somewhat sooner, no more. */
#include "example.h"

#include <time.h>

enum { TTL_MS = 500, QUERY_MS = 40, SECONDS = 3, LIVES = SECONDS * 1000 / TTL_MS };

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static fb_keyspace_stats figures(fb_cache *cache) {
    fb_keyspace_stats stats = {0};
    (void)fb_keyspace_stats_get(cache, 0, &stats);
    return stats;
}

struct reading {
    double worst;    /* of one read, in ms */
    unsigned waited; /* reads that found nothing and waited for a load */
};

/* Read for some seconds, all the time. */
static struct reading read_on(fb_cache *cache, const char *key, fb_buf *row) {
    double worst = 0;
    uint64_t before = figures(cache).misses;
    fb_err err;
    for (double end = now_ms() + SECONDS * 1000; now_ms() < end; usleep(500)) {
        double begun = now_ms();
        row->len = 0;
        if (fb_get(cache, FB_STR(key), row, &err) != FB_OK)
            example_give_up(key, err.text);
        worst = now_ms() - begun > worst ? now_ms() - begun : worst;
    }
    return (struct reading){worst, (unsigned)(figures(cache).misses - before)};
}

int main(void) {
    struct example e;
    fb_source *shop;
    fb_err err;
    fb_buf row = FB_BUF_INIT;
    fb_source_options slow = {.added_latency_ms = QUERY_MS};
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "product:{id:int}";
    ks.table = "products";
    ks.as = "column:name";
    ks.write = FB_WRITE_THROUGH;
    ks.policy = (fb_policy){.ttl_ms = TTL_MS, .jitter = 0.1};

    printf("refresh-ahead\n");
    example_begin(&e, "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
                      "INSERT INTO products VALUES (1, 'tea'), (2, 'salt')");
    fb_cache *cache = example_open(&e, &ks, &slow, &shop);

    struct reading without = read_on(cache, "product:1", &row);
    claim(&e, without.worst >= QUERY_MS && without.waited >= 2,
          "without it somebody waits whenever the value has ended: %u times in %d s, %.0f ms", without.waited, SECONDS,
          without.worst);

    ks.policy.refresh_ahead = 0.8;
    if (fb_policy_set(cache, 0, &ks.policy, &err) != FB_OK)
        example_give_up("fb_policy_set", err.text);
    (void)fb_get(cache, FB_STR("product:1"), &row, &err);
    /* Nobody waits, but for a machine that is busy otherwise and keeps the reader or the load away for a tenth of a second. */
    struct reading with = read_on(cache, "product:1", &row);
    uint64_t refreshes = figures(cache).refreshes;
    claim(&e, with.waited <= without.waited / 2, "with it nobody does: %u times in %d s, the slowest read took %.1f ms",
          with.waited, SECONDS, with.worst);
    claim(&e, refreshes >= LIVES / 2, "it was loaded %llu times meanwhile, once for each of its lives",
          (unsigned long long)refreshes);

    /* The race: a refresh is under way with the old row when a write comes through. */
    uint64_t before = figures(cache).refreshes;
    row.len = 0;
    while (figures(cache).refreshes == before && fb_get(cache, FB_STR("product:1"), &row, &err) == FB_OK)
        row.len = 0;
    fb_status set = fb_set(cache, FB_STR("product:1"), FB_STR("green tea"), &err);
    usleep(2 * QUERY_MS * 1000);
    row.len = 0;
    fb_status get = fb_get(cache, FB_STR("product:1"), &row, &err);
    claim(&e, set == FB_OK && get == FB_OK && is_text(&row, "green tea"),
          "a write during a refresh is not overwritten by it: '%.*s'", (int)row.len, row.data);

    usleep(TTL_MS * 1000); /* what the last of them has begun is over */
    uint64_t queries = example_queries(shop);
    usleep(2 * TTL_MS * 1000);
    claim(&e, example_queries(shop) == queries, "what nobody reads is not loaded: no query in %d lives", 2);

    fb_close(cache);
    fb_buf_free(&row);
    return example_end(&e);
}
