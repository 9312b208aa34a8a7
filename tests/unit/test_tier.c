/* Two caches that share a Redis: a second level, as processes share one. */
#include "engine_world.h"
#include "store_world.h"

enum { LEAST_PAUSE_MS = 1000 }; /* after a refresh that has failed */

struct pair {
    struct store_world redis;
    struct world world;
    fb_cache *neighbour;
    char url[128];
};

static fb_keyspace_options writing_ks(void) { return writing(); }

static void open_pair(struct pair *p, fb_store_options store, fb_keyspace_options ks) {
    if (!store_world_start(&p->redis, NULL))
        skip();
    snprintf(p->url, sizeof p->url, "unix://%s", p->redis.path);
    store.url = p->url;
    if (store.timeout_ms == 0)
        store.timeout_ms = 740; /* the longest: machines are busy, and what is late is loaded alone */
    open_world_over(&p->world, ks, (fb_source_options){0}, &store);
    open_neighbour(&p->world, ks, &store, &p->neighbour);
}

static void close_pair(struct pair *p) {
    fb_close(p->neighbour);
    close_world(&p->world);
    store_world_stop(&p->redis);
}

static void expect_there(fb_cache *cache, const char *key, const char *value) {
    fb_buf buf = FB_BUF_INIT;
    fb_err err = {0};
    fb_status status = fb_get(cache, FB_STR(key), &buf, &err);
    if (value == NULL ? status != FB_NOTFOUND : status != FB_OK)
        fail_msg("%s: %s", fb_status_name(status), err.text);
    if (value != NULL) {
        assert_int_equal(buf.len, strlen(value));
        assert_memory_equal(buf.data, value, buf.len);
    }
    fb_buf_free(&buf);
}

static void a_row_is_loaded_once_for_both(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p, (fb_store_options){0}, writing_ks());
    expect_there(p.world.cache, "k:7", "seven");
    assert_string_equal(store_world_ask(&p.redis, "GET", "k:7", NULL), "seven");
    expect_there(p.neighbour, "k:7", "seven");
    assert_int_equal(p.world.loads, 1);
    expect_there(p.world.cache, "k:8", NULL);
    expect_there(p.neighbour, "k:8", NULL);
    assert_int_equal(p.world.loads, 2);
    close_pair(&p);
}

static void a_write_through_one_is_seen_by_the_other(void **state) {
    struct pair p;
    fb_err err;
    (void)state;
    open_pair(&p, (fb_store_options){.no_copies = 1}, writing_ks());
    expect_there(p.neighbour, "k:7", "seven");
    assert_int_equal(fb_set(p.world.cache, FB_STR("k:7"), FB_STR("new"), &err), FB_OK);
    expect_there(p.neighbour, "k:7", "new");
    assert_int_equal(p.world.loads, 1);
    assert_int_equal(fb_delete(p.neighbour, FB_STR("k:7"), &err), FB_OK);
    expect_there(p.world.cache, "k:7", NULL);
    assert_int_equal(p.world.loads, 1);
    assert_string_equal(store_world_ask(&p.redis, "KEYS", "fb:c:*", NULL), "");
    close_pair(&p);
}

static void an_invalidation_is_for_all(void **state) {
    struct pair p;
    fb_err err;
    (void)state;
    open_pair(&p, (fb_store_options){.no_copies = 1}, writing_ks());
    expect_there(p.world.cache, "k:7", "seven");
    set_row(&p.world, 7, "behind");
    assert_int_equal(fb_invalidate(p.neighbour, FB_STR("k:7"), &err), FB_OK);
    expect_there(p.world.cache, "k:7", "behind");
    close_pair(&p);
}

static void without_the_store_reads_go_on_and_strict_writes_do_not(void **state) {
    struct pair p;
    fb_err err;
    (void)state;
    open_pair(&p, (fb_store_options){0}, writing_ks());
    expect_there(p.world.cache, "k:7", "seven");
    store_world_stop(&p.redis);
    expect_there(p.world.cache, "k:7", "seven");
    expect_there(p.neighbour, "k:8", NULL);
    assert_int_equal(fb_set(p.world.cache, FB_STR("k:7"), FB_STR("new"), &err), FB_STOREDOWN);
    assert_int_equal(p.world.stores, 0);
    fb_close(p.neighbour);
    close_world(&p.world);
}

static void without_the_store_available_writes_are_carried_out(void **state) {
    struct pair p;
    fb_err err;
    (void)state;
    open_pair(&p, (fb_store_options){.on_down = FB_STORE_AVAILABLE}, writing_ks());
    store_world_stop(&p.redis);
    assert_int_equal(fb_set(p.world.cache, FB_STR("k:7"), FB_STR("new"), &err), FB_OK);
    expect_there(p.neighbour, "k:7", "new");
    fb_close(p.neighbour);
    close_world(&p.world);
}

static void a_lease_is_for_the_whole_fleet(void **state) {
    struct pair p;
    fb_err err;
    fb_buf buf = FB_BUF_INIT;
    uint64_t token, other, ticket;
    fb_keyspace_options ks = writing_ks();
    (void)state;
    ks.read = FB_READ_ASIDE;
    open_pair(&p, (fb_store_options){0}, ks);
    assert_int_equal(fb_get_or_lease(p.world.cache, FB_STR("k:7"), 0, &buf, &token, &err), FB_LEASE);
    assert_int_equal(fb_get_or_lease(p.neighbour, FB_STR("k:7"), 20, &buf, &other, &err), FB_TIMEOUT);
    assert_int_equal(fb_fill(p.world.cache, FB_STR("k:7"), token, FB_STR("mine"), 0, &err), FB_OK);
    assert_int_equal(fb_get_or_lease(p.neighbour, FB_STR("k:7"), 0, &buf, &other, &err), FB_OK);
    assert_memory_equal(buf.data, "mine", 4);
    assert_int_equal(fb_fill(p.world.cache, FB_STR("k:7"), token, FB_STR("late"), 0, &err), FB_REFUSED);

    /* A write that the neighbour announced takes the lease away, and what is loaded meanwhile is not kept. */
    assert_int_equal(fb_get_or_lease(p.world.cache, FB_STR("k:8"), 0, &buf, &token, &err), FB_LEASE);
    assert_int_equal(fb_write_begin(p.neighbour, FB_STR("k:8"), &ticket, &err), FB_OK);
    assert_int_equal(fb_fill(p.world.cache, FB_STR("k:8"), token, FB_STR("old"), 0, &err), FB_REFUSED);
    assert_int_equal(fb_get_or_lease(p.world.cache, FB_STR("k:8"), 0, &buf, &token, &err), FB_LEASE);
    assert_int_equal(fb_fill(p.world.cache, FB_STR("k:8"), token, FB_STR("old"), 0, &err), FB_REFUSED);
    fb_write_end(p.neighbour, FB_STR("k:8"), ticket);
    fb_buf_free(&buf);
    close_pair(&p);
}

static void wait_for_proof(fb_cache *cache) {
    fb_sharing_stats stats;
    do
        fb_sharing_stats_get(cache, &stats);
    while (!stats.is_proved);
}

static void an_expired_row_stands_in_for_one_that_is_late(void **state) {
    struct pair p;
    struct caller caller;
    fb_keyspace_options ks = writing_ks();
    (void)state;
    ks.policy.ttl_ms = 100000;
    ks.policy.grace_ms = 50000;
    open_pair(&p, (fb_store_options){0}, ks);
    expect_there(p.world.cache, "k:7", "seven");
    wait_for_proof(p.world.cache);
    store_world_ask(&p.redis, "PEXPIRE", "k:7", "49000", NULL); /* its life is over, and a second of its grace */
    hold_loads(&p.world, true);
    set_row(&p.world, 7, "new");
    begin(&caller, &p.world, get_it, "k:7", NULL);
    assert_int_equal(end(&caller), FB_OK); /* after soft_timeout, while the load is still held */
    assert_memory_equal(caller.buf.data, "seven", 5);
    expect_there(p.neighbour, "k:7", "seven"); /* who does not load waits for nobody */
    hold_loads(&p.world, false);
    fb_buf_free(&caller.buf);
    close_pair(&p);
}

static void copies_serve_while_the_store_tells_of_changes(void **state) {
    struct pair p;
    fb_err err;
    fb_kind kind;
    fb_buf buf = FB_BUF_INIT;
    (void)state;
    open_pair(&p, (fb_store_options){0}, writing_ks());
    expect_there(p.world.cache, "k:7", "seven");
    wait_for_proof(p.world.cache);
    while (fb_peek(p.world.cache, FB_STR("k:7"), &buf, &kind) != FB_OK) /* the second read makes a copy */
        expect_there(p.world.cache, "k:7", "seven");
    assert_int_equal(fb_set(p.neighbour, FB_STR("k:7"), FB_STR("new"), &err), FB_OK);
    while (fb_peek(p.world.cache, FB_STR("k:7"), &buf, &kind) == FB_OK) /* until it is told, which is soon */
        buf.len = 0;
    expect_there(p.world.cache, "k:7", "new");
    fb_buf_free(&buf);
    close_pair(&p);
}

static void many_at_once_load_each_row_once(void **state) {
    enum { N = 8 };
    struct pair p;
    struct caller callers[N];
    (void)state;
    open_pair(&p, (fb_store_options){0}, writing_ks());
    hold_loads(&p.world, true);
    struct world other = p.world;
    other.cache = p.neighbour;
    for (int i = 0; i < N; i++)
        begin(&callers[i], i % 2 == 0 ? &p.world : &other, get_it, "k:7", NULL);
    wait_for(&p.world, &p.world.waiting_loads, 1);
    hold_loads(&p.world, false);
    for (int i = 0; i < N; i++) {
        assert_int_equal(end(&callers[i]), FB_OK);
        fb_buf_free(&callers[i].buf);
    }
    assert_true(p.world.loads <= 2);
    close_pair(&p);
}

static void wait_for_there(fb_cache *cache, const char *key, const char *value) {
    fb_buf buf = FB_BUF_INIT;
    fb_err err;
    do {
        buf.len = 0;
        assert_int_equal(fb_get(cache, FB_STR(key), &buf, &err), FB_OK);
    } while (buf.len != strlen(value) || memcmp(buf.data, value, buf.len) != 0);
    fb_buf_free(&buf);
}

/* The refresh point lies no time after the birth: every hit is past it. */
static fb_keyspace_options always_due(void) {
    fb_keyspace_options ks = writing();
    ks.policy = (fb_policy){.ttl_ms = 3600000, .negative_ttl_ms = 3600000, .refresh_ahead = 1e-15};
    return ks;
}

static void refresh_both(fb_store_options store) {
    struct pair p;
    open_pair(&p, store, always_due());
    expect_there(p.world.cache, "k:7", "seven");
    set_row(&p.world, 7, "new");
    hold_loads(&p.world, true);
    for (int i = 0; i < 10; i++) { /* served at once, by both, while one query is under way for all */
        expect_there(p.neighbour, "k:7", "seven");
        expect_there(p.world.cache, "k:7", "seven");
    }
    wait_for(&p.world, &p.world.waiting_loads, 1);
    expect_there(p.neighbour, "k:7", "seven");
    expect_there(p.world.cache, "k:7", "seven");
    assert_int_equal(p.world.loads, 2);
    hold_loads(&p.world, false);
    wait_for_there(p.world.cache, "k:7", "new");
    wait_for_there(p.neighbour, "k:7", "new");
    close_pair(&p);
}

static void one_query_refreshes_a_copy_for_both(void **state) {
    (void)state;
    refresh_both((fb_store_options){.no_copies = 1});
    refresh_both((fb_store_options){0});
}

static void a_refresh_that_fails_is_not_tried_at_every_hit_of_the_store(void **state) {
    struct pair p;
    (void)state;
    open_pair(&p, (fb_store_options){.no_copies = 1}, always_due());
    expect_there(p.world.cache, "k:7", "seven");
    pthread_mutex_lock(&p.world.mutex);
    p.world.load_status = FB_SOURCE;
    pthread_mutex_unlock(&p.world.mutex);
    int64_t from = now_ms();
    do
        expect_there(p.world.cache, "k:7", "seven");
    while (figures(&p.world).load_errors == 0);
    for (int i = 0; i < 20; i++)
        expect_there(p.world.cache, "k:7", "seven");
    uint64_t refreshes = figures(&p.world).refreshes;
    assert_true(refreshes <= 1 + (uint64_t)(now_ms() - from) / LEAST_PAUSE_MS);
    close_pair(&p);
}

static void a_lock_has_one_holder_in_the_fleet(void **state) {
    struct pair p;
    fb_err err;
    uint64_t token, fence, other, next;
    (void)state;
    open_pair(&p, (fb_store_options){0}, writing_ks());
    assert_int_equal(fb_lock(p.world.cache, FB_STR("nightly"), 60000, 0, &token, &fence, &err), FB_OK);
    assert_int_equal(fb_lock(p.neighbour, FB_STR("nightly"), 60000, 0, &other, &next, &err), FB_UNMET);
    assert_int_equal(fb_lock(p.neighbour, FB_STR("nightly"), 60000, 20, &other, &next, &err), FB_UNMET);
    assert_int_equal(fb_unlock(p.neighbour, FB_STR("nightly"), token + 2, &err), FB_REFUSED);
    assert_int_equal(fb_unlock(p.neighbour, FB_STR("nightly"), token, &err), FB_OK); /* the token opens it everywhere */
    assert_int_equal(fb_lock(p.neighbour, FB_STR("nightly"), 50, 0, &other, &next, &err), FB_OK);
    assert_true(next > fence && other != token);
    assert_int_equal(fb_lock(p.world.cache, FB_STR("nightly"), 60000, 10000, &token, &fence, &err), FB_OK); /* it ends */
    assert_true(fence > next);
    assert_int_equal(fb_unlock(p.neighbour, FB_STR("nightly"), other, &err), FB_REFUSED);
    store_world_stop(&p.redis);
    assert_int_equal(fb_unlock(p.world.cache, FB_STR("nightly"), token, &err), FB_STOREDOWN);
    fb_close(p.neighbour);
    close_world(&p.world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_loaded_once_for_both),
        cmocka_unit_test(a_write_through_one_is_seen_by_the_other),
        cmocka_unit_test(an_invalidation_is_for_all),
        cmocka_unit_test(without_the_store_reads_go_on_and_strict_writes_do_not),
        cmocka_unit_test(without_the_store_available_writes_are_carried_out),
        cmocka_unit_test(a_lease_is_for_the_whole_fleet),
        cmocka_unit_test(an_expired_row_stands_in_for_one_that_is_late),
        cmocka_unit_test(copies_serve_while_the_store_tells_of_changes),
        cmocka_unit_test(many_at_once_load_each_row_once),
        cmocka_unit_test(one_query_refreshes_a_copy_for_both),
        cmocka_unit_test(a_refresh_that_fails_is_not_tried_at_every_hit_of_the_store),
        cmocka_unit_test(a_lock_has_one_holder_in_the_fleet),
    };
    return cmocka_run_group_tests_name("tier", tests, NULL, NULL);
}
