/* Negative caching and jitter: what is absent is remembered for a while, and entries do not all end at once.
 *
 * By hand, "not found" is not stored at all, and keys that nobody ever had (a scan, an old link, an attack) each cost a
 * query every time; or it is stored as a value and outlives the row's creation. And TTL ± 10 % breaks the promise "at
 * most TTL old" for every other entry.
 *
 * Here absence has a short life of its own and ends at once when the row is written through Forebay. Jitter only ever
 * shortens a life.
 *
 * Not (negative_ttl_ms = 0) where rows are created behind Forebay's back and must be seen within that time; a jitter of
 * 0 where all of a class should end together. */
#include "example.h"

enum { ROWS = 1000, TTL_MS = 3600 * 1000 };

/* What is left of the life of a cached entry. */
static int64_t life_left(fb_cache *cache, const char *key) {
    fb_op op = {.kind = FB_OP_TTL, .key = FB_STR(key)};
    fb_result result;
    if (fb_submit(cache, &op, NULL, NULL, &result) != FB_OK)
        example_give_up(key, "not cached");
    int64_t ms = result.number;
    fb_result_release(&result);
    return ms;
}

int main(void) {
    struct example e;
    fb_source *shop;
    fb_err err = {FB_OK, ""};
    fb_buf row = FB_BUF_INIT;
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "user:{id:int}";
    ks.table = "users";
    ks.write = FB_WRITE_THROUGH;
    ks.policy = (fb_policy){.ttl_ms = TTL_MS, .jitter = 0.1, .negative_ttl_ms = 100};

    printf("negative caching and jitter\n");
    example_begin(&e, "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
                      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                      "  INSERT INTO users SELECT i, 'user ' || i FROM n");
    fb_cache *cache = example_open(&e, &ks, NULL, &shop);

    fb_status s = FB_OK;
    for (int i = 0; i < 50; i++)
        s = fb_get(cache, FB_STR("user:999999"), &row, &err);
    unsigned long long queries = example_queries(shop);
    claim(&e, s == FB_NOTFOUND && queries < 50, "a user who does not exist, 50 reads: %llu query", queries);

    usleep(150 * 1000);
    s = fb_get(cache, FB_STR("user:999999"), &row, &err);
    claim(&e, s == FB_NOTFOUND && example_queries(shop) == queries + 1,
          "0.15 s later absence (0.1 s) is asked for again");

    s = fb_set(cache, FB_STR("user:999999"), FB_STR("{\"name\":\"Ines\"}"), &err);
    queries = example_queries(shop);
    fb_status after = fb_get(cache, FB_STR("user:999999"), &row, &err);
    claim(&e, s == FB_OK && after == FB_OK && is_text(&row, "{\"id\":999999,\"name\":\"Ines\"}"),
          "created through Forebay, absence ends at once: %.*s", (int)row.len, row.data);

    int64_t shortest = TTL_MS, longest = 0;
    int tenths[10] = {0}, filled = 0;
    for (int id = 1; id <= ROWS; id++) {
        char key[32];
        snprintf(key, sizeof key, "user:%d", id);
        row.len = 0;
        if (fb_get(cache, FB_STR(key), &row, &err) != FB_OK)
            example_give_up(key, err.text);
        int64_t ms = life_left(cache, key), cut = TTL_MS - ms;
        shortest = ms < shortest ? ms : shortest;
        longest = ms > longest ? ms : longest;
        tenths[cut < TTL_MS / 10 ? cut / (TTL_MS / 100) : 9]++;
    }
    for (int i = 0; i < 10; i++)
        filled += tenths[i] > ROWS / 20;
    claim(&e, longest <= TTL_MS, "of %d rows loaded together none lives longer than its TTL of 60 min (%.1f at most)",
          ROWS, (double)longest / 60000);
    claim(&e, shortest >= TTL_MS * 0.9 - 5000 && filled == 10,
          "they end spread over the last tenth: from %.1f min on, a part of them in each of ten steps",
          (double)shortest / 60000);

    fb_close(cache);
    fb_buf_free(&row);
    return example_end(&e);
}
