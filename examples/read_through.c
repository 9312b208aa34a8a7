/* Read-through: the application asks only the cache, and the cache asks the database.
 *
 * By hand it is a get() with a loader function. The flaws: when an entry is missing, every caller runs the loader at
 * once, just when the database is slow; a row that does not exist is asked for again and again; and a loader that
 * failed looks like a row that does not exist.
 *
 * Here callers who miss the same key share one query, absence is remembered, and an error is an error.
 *
 * Not when readers must see at once what others write behind Forebay's back: such a row is seen when its TTL ends, or
 * after fb_invalidate. And not for what is read once: it only takes room. */
#include <pthread.h>

#include "example.h"

enum { READERS = 32 };

struct reader {
    pthread_t thread;
    fb_cache *cache;
    fb_buf row;
    fb_status status;
};

static void *read_product(void *user) {
    struct reader *r = user;
    r->status = fb_get(r->cache, FB_STR("product:17"), &r->row, NULL);
    return NULL;
}

int main(void) {
    struct example e;
    fb_source *shop;
    fb_err err = {FB_OK, ""};
    fb_buf row = FB_BUF_INIT;
    struct reader readers[READERS];
    fb_source_options slow = {.added_latency_ms = 50}; /* long enough for all readers to come while the query runs */
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "product:{id:int}";
    ks.table = "products";

    printf("read-through\n");
    example_begin(&e, "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, price_cents INTEGER);"
                      "INSERT INTO products VALUES (17, 'oak lamp', 4900), (18, NULL, 0)");
    fb_cache *cache = example_open(&e, &ks, &slow, &shop);

    int alike = 0;
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.cache = cache};
        pthread_create(&readers[i].thread, NULL, read_product, &readers[i]);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        alike += readers[i].status == FB_OK &&
                 is_text(&readers[i].row, "{\"id\":17,\"name\":\"oak lamp\",\"price_cents\":4900}");
        fb_buf_free(&readers[i].row);
    }
    claim(&e, alike == READERS && example_queries(shop) == 1,
          "%d threads missed the same row at once: %llu query, %d answers alike", READERS,
          example_queries(shop), alike);

    fb_status s = FB_OK;
    for (int i = 0; i < 100; i++)
        s = fb_get(cache, FB_STR("product:99"), &row, &err);
    claim(&e, s == FB_NOTFOUND && example_queries(shop) == 2, "a row that does not exist, 100 reads: %llu query",
          example_queries(shop) - 1);

    example_sql(&e, "ALTER TABLE products RENAME TO elsewhere");
    s = fb_get(cache, FB_STR("product:18"), &row, &err);
    claim(&e, s < 0, "the database fails: %s, not \"absent\" (%s)", fb_status_name(s), err.text);
    s = fb_get(cache, FB_STR("product:17"), &row, &err);
    claim(&e, s == FB_OK, "meanwhile what is cached is served: %.*s", (int)row.len, row.data);

    example_sql(&e, "ALTER TABLE elsewhere RENAME TO products");
    row.len = 0;
    s = fb_get(cache, FB_STR("product:18"), &row, &err);
    claim(&e, s == FB_OK, "the error was not kept: %.*s", (int)row.len, row.data);

    fb_close(cache);
    fb_buf_free(&row);
    return example_end(&e);
}
