/* Write-through: a write goes to the database and to the cache before it is answered.
 *
 * By hand it is SETEX and then UPDATE. The flaws: when the database refuses, the cache shows what never happened; and
 * two writers may reach the cache in one order and the database in the other, and the two differ from then on.
 *
 * Here the database is first, writes of one key keep one order, and the cache takes the row as the database has it
 * afterwards, with what its triggers and defaults made of it.
 *
 * Not for rows that are written often and read seldom: then the cache is filled with what nobody asks for, and
 * write-around is better. And the write takes as long as the database takes. */
#include <pthread.h>

#include "example.h"

enum { WRITERS = 8, WRITES = 25 };

struct writer {
    pthread_t thread;
    fb_cache *cache;
    int number, failed;
};

static void *write_quantities(void *user) {
    struct writer *w = user;
    char row[64];
    for (int i = 0; i < WRITES; i++) {
        snprintf(row, sizeof row, "{\"quantity\":%d}", 1000 * w->number + i);
        w->failed += fb_set(w->cache, FB_STR("inventory:18"), FB_STR(row), NULL) != FB_OK;
    }
    return NULL;
}

int main(void) {
    struct example e;
    fb_source *shop;
    fb_err err = {FB_OK, ""};
    fb_buf row = FB_BUF_INIT;
    struct writer writers[WRITERS];
    static const char as_written[] = "{\"product_id\":17,\"quantity\":9,\"changes\":1}";
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "inventory:{product_id:int}";
    ks.table = "inventory";
    ks.write = FB_WRITE_THROUGH;

    printf("write-through\n");
    example_begin(&e, "CREATE TABLE inventory(product_id INTEGER PRIMARY KEY, quantity INTEGER CHECK (quantity >= 0),"
                      "                       changes INTEGER NOT NULL DEFAULT 0);"
                      "CREATE TRIGGER counted AFTER UPDATE OF quantity ON inventory BEGIN"
                      "  UPDATE inventory SET changes = changes + 1 WHERE product_id = new.product_id; END;"
                      "INSERT INTO inventory(product_id, quantity) VALUES (17, 40), (18, 0)");
    fb_cache *cache = example_open(&e, &ks, NULL, &shop);

    fb_status s = fb_set(cache, FB_STR("inventory:17"), FB_STR("{\"quantity\":9}"), &err);
    claim(&e, s == FB_OK && example_number(&e, "SELECT quantity FROM inventory WHERE product_id = 17") == 9,
          "the call returned, and the database has 9");

    unsigned long long before = example_queries(shop);
    s = fb_get(cache, FB_STR("inventory:17"), &row, &err);
    claim(&e, s == FB_OK && example_queries(shop) == before && is_text(&row, as_written),
          "read without a query, as the trigger left it: %.*s", (int)row.len, row.data);

    s = fb_set(cache, FB_STR("inventory:17"), FB_STR("{\"quantity\":-1}"), &err);
    row.len = 0;
    fb_get(cache, FB_STR("inventory:17"), &row, NULL);
    claim(&e, s == FB_CONFLICT && is_text(&row, as_written),
          "the database refuses -1 (%s), and the cache still says 9", fb_status_name(s));

    int failed = 0;
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.cache = cache, .number = i};
        pthread_create(&writers[i].thread, NULL, write_quantities, &writers[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        failed += writers[i].failed;
    }
    char expected[96];
    snprintf(expected, sizeof expected, "{\"product_id\":18,\"quantity\":%lld,\"changes\":%lld}",
             example_number(&e, "SELECT quantity FROM inventory WHERE product_id = 18"),
             example_number(&e, "SELECT changes FROM inventory WHERE product_id = 18"));
    row.len = 0;
    fb_get(cache, FB_STR("inventory:18"), &row, NULL);
    claim(&e, failed == 0 && is_text(&row, expected), "%d writers, %d writes each: cache and database agree on %s",
          WRITERS, WRITES, expected);

    fb_close(cache);
    fb_buf_free(&row);
    return example_end(&e);
}
