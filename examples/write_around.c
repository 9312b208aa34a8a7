/* Write-around: a write goes to the database, and the cache forgets the key; the next reader loads it.
 *
 * By hand it is UPDATE alone, and the cache shows the old row until its TTL; or UPDATE and DEL, with the race that
 * cache_aside.c shows. And an import by write-through pushes what is read out of the cache, for rows nobody asks for.
 *
 * Here nothing old is served after the write, and nothing is kept before somebody reads it.
 *
 * Not for rows that are read right after they are written: each such read is a query; write-through spares it. */
#include "example.h"

enum { IMPORTED = 1000 };

int main(void) {
    struct example e;
    fb_source *shop;
    fb_err err = {FB_OK, ""};
    fb_buf row = FB_BUF_INIT;
    fb_keyspace_stats stats;
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "event:{id:int}";
    ks.table = "events";
    ks.write = FB_WRITE_AROUND;

    printf("write-around\n");
    example_begin(&e, "CREATE TABLE events(id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
                      "INSERT INTO events VALUES (1, 'opened')");
    fb_cache *cache = example_open(&e, &ks, NULL, &shop);

    fb_get(cache, FB_STR("event:1"), &row, NULL);
    fb_status s = fb_set(cache, FB_STR("event:1"), FB_STR("{\"text\":\"closed\"}"), &err);
    claim(&e, s == FB_OK && example_number(&e, "SELECT count(*) FROM events WHERE text = 'closed'") == 1,
          "the call returned, and the database has the row");
    claim(&e, fb_cached(cache, FB_STR("event:1")) == FB_MISS, "the cache has forgotten it");

    unsigned long long before = example_queries(shop);
    row.len = 0;
    fb_get(cache, FB_STR("event:1"), &row, NULL);
    claim(&e, is_text(&row, "{\"id\":1,\"text\":\"closed\"}") && example_queries(shop) == before + 1,
          "the next reader loads %.*s", (int)row.len, row.data);

    for (int id = 100; id < 100 + IMPORTED && s == FB_OK; id++) {
        char key[32];
        snprintf(key, sizeof key, "event:%d", id);
        s = fb_set(cache, FB_STR(key), FB_STR("{\"text\":\"imported\"}"), &err);
    }
    fb_keyspace_stats_get(cache, 0, &stats);
    claim(&e, s == FB_OK && example_number(&e, "SELECT count(*) FROM events") == IMPORTED + 1 && stats.keys == 1,
          "%d rows imported, %llu row cached: the one that is read", IMPORTED, (unsigned long long)stats.keys);

    fb_close(cache);
    fb_buf_free(&row);
    return example_end(&e);
}
