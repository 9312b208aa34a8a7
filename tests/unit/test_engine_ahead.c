/* Refresh-ahead in the threaded engine. Nothing waits for a time: the refresh point lies no time after the birth, so every
 * hit is past it, and loads stand at a gate until the test opens it. */
#include "engine_world.h"

enum { HITS = 20, FAILURES = 5, LEAST_PAUSE_MS = 500 };

static fb_keyspace_options always_due(void) {
    fb_keyspace_options ks = writing();
    ks.policy = (fb_policy){.ttl_ms = 3600000, .negative_ttl_ms = 3600000, .refresh_ahead = 1e-15};
    return ks;
}

static void wait_for_row(struct world *w, const char *key, const char *value) {
    fb_buf buf = FB_BUF_INIT;
    fb_err err;
    do {
        buf.len = 0;
        assert_int_equal(fb_get(w->cache, FB_STR(key), &buf, &err), FB_OK);
    } while (buf.len != strlen(value) || memcmp(buf.data, value, buf.len) != 0);
    fb_buf_free(&buf);
}

static void wait_for_loads(struct world *w, int n) {
    pthread_mutex_lock(&w->mutex);
    while (w->loads < n)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static int loads_of(struct world *w) {
    pthread_mutex_lock(&w->mutex);
    int loads = w->loads;
    pthread_mutex_unlock(&w->mutex);
    return loads;
}

static void fail_loads(struct world *w, fb_status status) {
    pthread_mutex_lock(&w->mutex);
    w->load_status = status;
    pthread_mutex_unlock(&w->mutex);
}

static void hits_are_answered_while_one_load_that_nobody_waits_for_is_under_way(void **state) {
    (void)state;
    struct world w;
    open_world(&w, always_due(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    set_row(&w, 7, "new");
    hold_loads(&w, true);
    for (int i = 0; i < HITS; i++)
        expect_row(&w, "k:7", "seven"); /* on this thread, which would stand at the gate if it loaded */
    wait_for(&w, &w.waiting_loads, 1);
    expect_row(&w, "k:7", "seven");
    fb_keyspace_stats stats = figures(&w);
    assert_int_equal(stats.refreshes, 1);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.hits, HITS + 1);
    hold_loads(&w, false);
    wait_for_row(&w, "k:7", "new");
    close_world(&w);
}

static void every_way_to_a_hit_begins_one(void **state) {
    (void)state;
    struct world w;
    fb_buf buf = FB_BUF_INIT;
    fb_kind kind;
    fb_result result;
    fb_op op = {.kind = FB_OP_READ, .key = FB_STR("k:7")};
    fb_bytes key = FB_STR("k:7");
    open_world(&w, always_due(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    wait_for_loads(&w, 1);
    for (int way = 0; way < 3; way++) {
        int before = loads_of(&w);
        fb_status status = FB_MISS;
        while (loads_of(&w) == before) { /* the one before may not be home yet */
            buf.len = 0;
            if (way == 0)
                status = fb_peek(w.cache, key, &buf, &kind);
            if (way == 1 && (status = fb_submit(w.cache, &op, NULL, NULL, &result)) == FB_OK)
                fb_result_release(&result);
            if (way == 2)
                assert_int_equal(fb_get_many(w.cache, &key, 1, &buf, &status), FB_OK);
            assert_int_equal(status, FB_OK);
        }
    }
    fb_buf_free(&buf);
    close_world(&w);
}

static void a_refresh_loses_to_a_write_that_comes_after_its_question(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    open_world(&w, always_due(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    hold_loads(&w, true);
    expect_row(&w, "k:7", "seven");
    wait_for(&w, &w.waiting_loads, 1); /* it has the old row in its hand */
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("written"), &err), FB_OK);
    set_row(&w, 7, "older");
    hold_loads(&w, false);
    while (figures(&w).fills_refused == 0)
        sched_yield();
    assert_int_equal(figures(&w).refreshes, 1);
    fb_buf buf = FB_BUF_INIT;
    fb_kind kind;
    assert_int_equal(fb_peek(w.cache, FB_STR("k:7"), &buf, &kind), FB_OK);
    assert_memory_equal(buf.data, "written", 7);
    fb_buf_free(&buf);
    close_world(&w);
}

static void a_refresh_that_fails_leaves_the_copy_and_is_not_tried_again_at_once(void **state) {
    (void)state;
    struct world w;
    open_world(&w, always_due(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    fail_loads(&w, FB_SOURCE);
    int64_t from = now_ms();
    expect_row(&w, "k:7", "seven");
    while (figures(&w).load_errors == 0)
        sched_yield();
    for (int i = 0; i < HITS; i++)
        expect_row(&w, "k:7", "seven");
    uint64_t refreshes = figures(&w).refreshes;
    if (now_ms() - from < LEAST_PAUSE_MS)
        assert_int_equal(refreshes, 1);
    close_world(&w);
}

static void a_source_that_is_down_is_left_alone(void **state) {
    (void)state;
    struct world w;
    fb_buf buf = FB_BUF_INIT;
    fb_err err;
    open_world(&w, always_due(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    fail_loads(&w, FB_DOWN);
    for (int i = 0; i < FAILURES; i++)
        assert_int_equal(fb_get(w.cache, FB_STR("k:1"), &buf, &err), FB_DOWN);
    int loads = loads_of(&w);
    fb_source_stats stats;
    fb_source_stats_get(w.source, &stats);
    assert_int_equal(stats.breaker, 1);
    keep_open(&w);
    expect_row(&w, "k:7", "seven");
    assert_int_equal(figures(&w).refreshes, 0);
    assert_int_equal(figures(&w).refreshes_refused, 1);
    assert_int_equal(loads_of(&w), loads);
    fb_buf_free(&buf);
    close_world(&w);
}

static void no_more_are_under_way_than_their_share_of_the_source(void **state) {
    (void)state;
    struct world w;
    open_world(&w, always_due(), (fb_source_options){.pool = 1, .batch_max = 1});
    set_row(&w, 8, "eight");
    expect_row(&w, "k:7", "seven");
    expect_row(&w, "k:8", "eight");
    hold_loads(&w, true);
    expect_row(&w, "k:7", "seven");
    wait_for(&w, &w.waiting_loads, 1);
    expect_row(&w, "k:8", "eight");
    assert_int_equal(figures(&w).refreshes, 1);
    assert_int_equal(figures(&w).refreshes_refused, 1);
    hold_loads(&w, false);
    while (figures(&w).refreshes < 2) /* the place is free again */
        expect_row(&w, "k:8", "eight");
    close_world(&w);
}

static void who_misses_meanwhile_joins_it(void **state) {
    (void)state;
    struct world w;
    struct caller c;
    open_world(&w, always_due(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    hold_loads(&w, true);
    expect_row(&w, "k:7", "seven");
    wait_for(&w, &w.waiting_loads, 1);
    fb_policy policy = {.ttl_ms = 1, .refresh_ahead = 0.5}; /* its life is over at once */
    assert_int_equal(fb_policy_set(w.cache, 0, &policy, NULL), FB_OK);
    while (fb_cached(w.cache, FB_STR("k:7")) != FB_MISS)
        sched_yield();
    begin(&c, &w, get_it, "k:7", NULL);
    while (figures(&w).coalesced == 0)
        sched_yield();
    policy = (fb_policy){.ttl_ms = 3600000};
    assert_int_equal(fb_policy_set(w.cache, 0, &policy, NULL), FB_OK);
    int loads = loads_of(&w);
    hold_loads(&w, false);
    assert_int_equal(end(&c), FB_OK);
    fb_buf_free(&c.buf);
    assert_int_equal(loads_of(&w), loads);
    close_world(&w);
}

static void what_the_application_loads_cannot_be_refreshed(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    fb_keyspace_options ks = writing();
    open_world(&w, ks, (fb_source_options){0});
    ks.pattern = "aside:{id:int}";
    ks.source = w.source;
    ks.write = FB_WRITE_OFF;
    ks.read = FB_READ_ASIDE;
    ks.policy.refresh_ahead = 0.8;
    assert_int_equal(fb_keyspace_add(w.cache, &ks, &err), FB_CONFIG);
    ks.policy.refresh_ahead = 0;
    assert_int_equal(fb_keyspace_add(w.cache, &ks, &err), FB_OK);
    ks.policy.early_refresh = 1;
    assert_int_equal(fb_policy_set(w.cache, 1, &ks.policy, &err), FB_INVALID);
    assert_non_null(strstr(err.text, "read-through"));
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_are_answered_while_one_load_that_nobody_waits_for_is_under_way),
        cmocka_unit_test(every_way_to_a_hit_begins_one),
        cmocka_unit_test(a_refresh_loses_to_a_write_that_comes_after_its_question),
        cmocka_unit_test(a_refresh_that_fails_leaves_the_copy_and_is_not_tried_again_at_once),
        cmocka_unit_test(a_source_that_is_down_is_left_alone),
        cmocka_unit_test(no_more_are_under_way_than_their_share_of_the_source),
        cmocka_unit_test(who_misses_meanwhile_joins_it),
        cmocka_unit_test(what_the_application_loads_cannot_be_refreshed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
