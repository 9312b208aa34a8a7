/* A shared Redis: several processes cache the same rows, and one Redis holds what they have loaded.
 *
 * By hand every process does GET, on a miss SELECT and SETEX, and DEL after an UPDATE. The flaws: a key that expires is
 * asked for by all processes at once; one that has read the old row may set it after the other's DEL, and there it stays;
 * and when Redis is slow, everything is.
 *
 * Here one query serves all processes, a write takes away what loads under way would have set, values lie in Redis plainly,
 * and without Redis the database answers. (Two caches in one program stand for two processes: they share nothing else.)
 *
 * Not for one process alone: its own memory is nearer. And writes wait for two round trips to Redis more. */
#include <pthread.h>
#include <time.h>

#include "private_redis.h"

enum { CACHES = 2, READERS = 32 };

struct reader {
    pthread_t thread;
    fb_cache *cache;
    fb_buf row;
};

static void *read_price(void *user) {
    struct reader *r = user;
    (void)fb_get(r->cache, FB_STR("product:17"), &r->row, NULL);
    return NULL;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* As example_open, over the Redis. */
static fb_cache *open_shared(struct example *e, const struct private_redis *redis, fb_source **ret_source) {
    fb_store_options store = {.url = redis->url, .timeout_ms = 700}; /* what comes later is loaded without asking it */
    fb_source_options slow = {.added_latency_ms = 50};
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    fb_cache *cache;
    fb_err err;
    ks.pattern = "product:{id:int}";
    ks.table = "products";
    ks.write = FB_WRITE_THROUGH;
    if (fb_open(&(fb_options){.store = &store}, &cache, &err) != FB_OK ||
        fb_source_open(cache, "shop", e->url, &slow, ret_source, &err) != FB_OK)
        example_give_up("cannot open", err.text);
    ks.source = *ret_source;
    if (fb_keyspace_add(cache, &ks, &err) != FB_OK)
        example_give_up(ks.pattern, err.text);
    return cache;
}

int main(void) {
    static const char old[] = "{\"id\":17,\"price_cents\":4900}", new[] = "{\"id\":17,\"price_cents\":3900}";
    struct example e;
    struct private_redis redis;
    fb_cache *caches[CACHES];
    fb_source *sources[CACHES];
    struct reader readers[READERS];
    fb_buf row = FB_BUF_INIT;
    fb_err err = {FB_OK, ""};
    int alike = 0;

    printf("a shared Redis\n");
    example_begin(&e, "CREATE TABLE products(id INTEGER PRIMARY KEY, price_cents INTEGER);"
                      "INSERT INTO products VALUES (17, 4900), (18, 1)");
    private_redis_begin(&e, &redis);
    for (int i = 0; i < CACHES; i++)
        caches[i] = open_shared(&e, &redis, &sources[i]);

    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.cache = caches[i % CACHES]};
        pthread_create(&readers[i].thread, NULL, read_price, &readers[i]);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        alike += is_text(&readers[i].row, old);
        fb_buf_free(&readers[i].row);
    }
    claim(&e, alike == READERS && example_queries(sources[0]) + example_queries(sources[1]) == 1,
          "%d threads of two caches miss the same row at once: %llu query, %d answers alike", READERS,
          example_queries(sources[0]) + example_queries(sources[1]), alike);
    claim(&e, strstr(private_redis_ask(&redis, "GET product:17"), old) != NULL, "any client of that Redis reads it: %s", old);

    fb_status s = fb_set(caches[0], FB_STR("product:17"), FB_STR("{\"price_cents\":3900}"), &err);
    double began = seconds(), took = 0;
    do {
        row.len = 0;
        (void)fb_get(caches[1], FB_STR("product:17"), &row, &err);
        took = seconds() - began;
    } while (!is_text(&row, new) && took < 2);
    claim(&e, s == FB_OK && took <= 1, "a write through one is seen by the other, %.1f ms later (1 s at most): %s", took * 1000,
          new);
    claim(&e, example_queries(sources[1]) == 0 || example_queries(sources[0]) == 0, "and cost no query: the write left it there");

    private_redis_end(&redis);
    row.len = 0;
    s = fb_get(caches[1], FB_STR("product:18"), &row, &err);
    claim(&e, s == FB_OK, "without Redis the database answers: %.*s", (int)row.len, row.data);
    s = fb_set(caches[0], FB_STR("product:17"), FB_STR("{\"price_cents\":1}"), &err);
    claim(&e, s == FB_STOREDOWN && example_number(&e, "SELECT price_cents FROM products WHERE id = 17") == 3900,
          "a write that the others would not hear of is refused: %s", err.text);

    for (int i = 0; i < CACHES; i++)
        fb_close(caches[i]);
    fb_buf_free(&row);
    return example_end(&e);
}
