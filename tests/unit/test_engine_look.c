/* Looking into a running cache and changing it. */
#include <stdlib.h>

#include "engine_world.h"

/* ---- all keys ---- */

struct found {
    unsigned visits[4096];
    unsigned total;
};

static int id_of(fb_bytes key) {
    char text[16];
    snprintf(text, sizeof text, "%.*s", (int)key.len - 2, key.data + 2);
    return (int)strtol(text, NULL, 10);
}

static void find(void *user, const fb_entry *entry) {
    struct found *found = user;
    assert_int_equal(entry->kind, FB_KIND_STRING);
    assert_int_equal(entry->keyspace, 0);
    found->visits[id_of(entry->key)]++;
    found->total++;
}

static void fill(struct world *w, int n) {
    for (int i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof key, "k:%d", i);
        assert_int_equal(fb_set(w->cache, FB_STR(key), FB_STR("x"), NULL), FB_OK);
    }
}

static void a_scan_visits_values_and_nothing_else(void **state) {
    (void)state;
    struct world w;
    struct found found = {.total = 0};
    open_world(&w, writing(), (fb_source_options){0});
    fill(&w, 40);
    expect_row(&w, "k:41", NULL); /* a negative entry */
    fb_op op = {.kind = FB_OP_SET, .key = FB_STR("k:39"), .value = FB_STR("short"), .life_ms = 1};
    struct completion c = {.world = &w};
    fb_result result;
    assert_int_equal(fb_submit(w.cache, &op, complete, &c, &result), FB_PENDING);
    wait_for(&w, &c.done, 1);
    fb_facts facts = {.cached = FB_OK};
    while (facts.cached == FB_OK)
        fb_facts_get(w.cache, FB_STR("k:39"), &facts); /* which removes nothing */
    assert_int_equal(fb_scan(w.cache, 0, 1000, find, &found), 0); /* few keys: one call */
    assert_int_equal(found.total, 39);
    for (int i = 0; i < 39; i++)
        assert_int_equal(found.visits[i], 1);
    assert_int_equal(fb_scan(w.cache, UINT64_MAX, 10, find, &found), 0); /* a cursor nobody gave */
    close_world(&w);
}

static void a_scan_goes_on_where_its_cursor_says(void **state) {
    (void)state;
    struct world w;
    struct found found = {.total = 0};
    unsigned calls = 0;
    open_world(&w, writing(), (fb_source_options){0});
    fill(&w, 4000);
    uint64_t cursor = 0;
    do {
        unsigned before = found.total;
        cursor = fb_scan(w.cache, cursor, 10, find, &found);
        assert_true(found.total - before < 10 + 40); /* a bucket at most too many */
        calls++;
    } while (cursor != 0);
    assert_int_equal(found.total, 4000);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(found.visits[i], 1);
    assert_true(calls > 200 && calls < 500);
    close_world(&w);
}

static void a_random_key_is_any_of_them(void **state) {
    (void)state;
    struct world w;
    struct found found = {.total = 0};
    fb_buf key = FB_BUF_INIT;
    open_world(&w, writing(), (fb_source_options){0});
    assert_int_equal(fb_random_key(w.cache, &key), FB_NOTFOUND);
    expect_row(&w, "k:1", NULL);
    assert_int_equal(fb_random_key(w.cache, &key), FB_NOTFOUND);
    fill(&w, 10);
    for (int i = 0; i < 2000; i++) {
        key.len = 0;
        assert_int_equal(fb_random_key(w.cache, &key), FB_OK);
        found.visits[id_of(fb_bytes_of(key.data, key.len))]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(found.visits[i], 100, 400); /* 200 expected */
    fb_buf_free(&key);
    close_world(&w);
}

/* ---- one key ---- */

static void facts_tell_what_is_cached_and_how_it_came(void **state) {
    (void)state;
    struct world w;
    fb_facts facts;
    open_world(&w, writing(), (fb_source_options){0});
    fb_facts_get(w.cache, FB_STR("nobody"), &facts);
    assert_int_equal(facts.keyspace, -1);
    fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_int_equal(facts.keyspace, 0);
    assert_int_equal(facts.cached, FB_MISS);
    expect_row(&w, "k:7", "seven");
    fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_int_equal(facts.cached, FB_OK);
    assert_int_equal(facts.kind, FB_KIND_STRING);
    assert_int_equal(facts.value_bytes, 5);
    assert_int_equal(facts.memory, figures(&w).bytes);
    assert_true(facts.load_ms >= 1);
    assert_true(facts.ttl_ms <= 3600000 && facts.ttl_ms > 3600000 * 9 / 10 - 1);
    assert_true(facts.age_ms >= 0 && facts.age_ms < 60000);
    assert_true(facts.life_ms <= facts.ttl_ms + 1 && facts.life_ms > facts.ttl_ms - 60000);
    assert_int_equal(facts.cap_ms, 0);
    assert_int_equal(facts.frequency, 0);
    expect_row(&w, "k:7", "seven");
    fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_int_equal(facts.frequency, 1);
    assert_int_equal(figures(&w).hits, 1);
    fb_op op = {.kind = FB_OP_EXPIRE, .key = FB_STR("k:7"), .life_ms = 60000};
    fb_result result;
    assert_int_equal(fb_submit(w.cache, &op, NULL, NULL, &result), FB_OK);
    fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_true(facts.cap_ms >= 60000 && facts.cap_ms < 120000); /* from its birth */
    assert_true(facts.life_ms <= 60001);
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("mine"), NULL), FB_OK);
    fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_int_equal(facts.load_ms, 0);
    expect_row(&w, "k:8", NULL);
    fb_facts_get(w.cache, FB_STR("k:8"), &facts);
    assert_int_equal(facts.cached, FB_NOTFOUND);
    assert_int_equal(facts.ttl_ms, 60000);
    close_world(&w);
}

static void facts_tell_of_loads_and_writes_under_way(void **state) {
    (void)state;
    struct world w;
    struct caller a, b, c;
    fb_facts facts = {.waiters = 0};
    open_world(&w, writing(), (fb_source_options){0});
    hold_loads(&w, true);
    hold_stores(&w, true);
    begin(&a, &w, get_it, "k:7", NULL);
    begin(&b, &w, get_it, "k:7", NULL);
    while (facts.waiters < 2)
        fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_int_equal(facts.waiters, 2);
    assert_true(facts.is_loading && !facts.is_written);
    begin(&c, &w, set_it, "k:8", "x");
    wait_for(&w, &w.waiting_stores, 1);
    fb_facts_get(w.cache, FB_STR("k:8"), &facts);
    assert_true(!facts.is_loading && facts.is_written);
    hold_stores(&w, false);
    hold_loads(&w, false);
    assert_int_equal(end(&a) | end(&b) | end(&c), FB_OK);
    fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_true(!facts.is_loading && !facts.is_written && facts.waiters == 0);
    fb_buf_free(&a.buf);
    fb_buf_free(&b.buf);
    close_world(&w);
}

/* ---- where the time went ---- */

static void keep(void *user, const fb_result *result) {
    struct completion *c = user;
    c->result = *result; /* its numbers; what it points to is not ours */
    complete(user, result);
}

static void a_result_says_where_its_time_went(void **state) {
    (void)state;
    struct world w;
    fb_result result;
    open_world(&w, writing(), (fb_source_options){.pool = 1});
    struct completion first = {.world = &w}, second = {.world = &w}, third = {.world = &w}, fourth = {.world = &w};
    fb_op read = {.kind = FB_OP_READ, .key = FB_STR("k:7")}, other = {.kind = FB_OP_READ, .key = FB_STR("k:8")};
    hold_loads(&w, true);
    assert_int_equal(fb_submit(w.cache, &read, keep, &first, &result), FB_PENDING);
    wait_for(&w, &w.waiting_loads, 1);
    assert_int_equal(fb_submit(w.cache, &read, keep, &second, &result), FB_PENDING);
    assert_int_equal(fb_submit(w.cache, &other, keep, &third, &result), FB_PENDING); /* the only session is busy */
    int64_t from = now_ms();
    while (now_ms() - from < 3)
        ;
    hold_loads(&w, false);
    wait_for(&w, &third.done, 1);
    wait_for(&w, &first.done, 1);
    wait_for(&w, &second.done, 1);
    assert_true(first.result.source_us >= 2000);
    assert_true(second.result.source_us >= 2000 && second.result.source_us <= first.result.source_us);
    assert_int_equal(second.result.lane_us, 0); /* joined a question that had been sent */
    assert_int_equal(first.result.shared, 2);
    assert_int_equal(second.result.shared, 2);
    assert_true(third.result.lane_us >= 2000);
    assert_int_equal(third.result.shared, 1);
    assert_int_equal(fb_submit(w.cache, &read, keep, &fourth, &result), FB_OK);
    assert_int_equal(result.lane_us + result.source_us + (int64_t)result.shared, 0); /* a hit */
    fb_result_release(&result);
    close_world(&w);
}

static void a_write_tells_its_wait_for_other_writers(void **state) {
    (void)state;
    struct world w;
    fb_result result;
    open_world(&w, writing(), (fb_source_options){0});
    struct completion first = {.world = &w}, second = {.world = &w};
    fb_op op = {.kind = FB_OP_SET, .key = FB_STR("k:7"), .value = FB_STR("x")};
    hold_stores(&w, true);
    assert_int_equal(fb_submit(w.cache, &op, keep, &first, &result), FB_PENDING);
    wait_for(&w, &w.waiting_stores, 1);
    assert_int_equal(fb_submit(w.cache, &op, keep, &second, &result), FB_PENDING);
    int64_t from = now_ms();
    while (now_ms() - from < 3)
        ;
    hold_stores(&w, false);
    wait_for(&w, &first.done, 1);
    wait_for(&w, &second.done, 1);
    assert_true(first.result.source_us >= 2000);
    assert_true(second.result.lane_us >= 2000);
    close_world(&w);
}

/* ---- one keyspace ---- */

static void the_last_error_of_a_source_is_kept_with_its_age(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    int64_t age;
    open_world(&w, writing(), (fb_source_options){0});
    assert_int_equal(fb_keyspace_last_error(w.cache, 0, &err, &age), FB_NOTFOUND);
    assert_int_equal(fb_keyspace_last_error(w.cache, 1, &err, &age), FB_NOTFOUND);
    w.load_status = FB_SOURCE;
    assert_int_equal(fb_get(w.cache, FB_STR("k:7"), &(fb_buf)FB_BUF_INIT, NULL), FB_SOURCE);
    assert_int_equal(fb_keyspace_last_error(w.cache, 0, &err, &age), FB_OK);
    assert_int_equal(err.status, FB_SOURCE);
    assert_string_equal(err.text, "source 'world': no such luck");
    assert_true(age >= 0 && age < 60000);
    w.store_status = FB_DOWN;
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("x"), NULL), FB_DOWN);
    assert_int_equal(fb_keyspace_last_error(w.cache, 0, &err, &age), FB_OK);
    assert_string_equal(err.text, "source 'world' is unreachable: refused");
    assert_null(fb_keyspace_sql(w.cache, 0, FB_OP_READ)); /* functions have none */
    fb_result result;
    assert_int_equal(fb_list_keys(w.cache, 0, 10, complete, NULL, &result), FB_UNSUPPORTED);
    assert_string_equal(result.err.text, "keyspace 'k:{id:int}': its source cannot list keys");
    close_world(&w);
}

static void a_fingerprint_tells_values_kinds_and_absence_apart(void **state) {
    (void)state;
    struct world w, other;
    open_world(&w, writing(), (fb_source_options){0});
    uint64_t a = fb_fingerprint(w.cache, FB_KIND_STRING, FB_STR("seven"));
    assert_true(a == fb_fingerprint(w.cache, FB_KIND_STRING, FB_STR("seven")));
    assert_true(a != fb_fingerprint(w.cache, FB_KIND_STRING, FB_STR("sevem")));
    assert_true(a != fb_fingerprint(w.cache, FB_KIND_HASH, FB_STR("seven")));
    assert_true(fb_fingerprint(w.cache, FB_KIND_NONE, fb_bytes_of(NULL, 0)) !=
                fb_fingerprint(w.cache, FB_KIND_STRING, FB_STR("")));
    open_world(&other, writing(), (fb_source_options){0});
    assert_true(a == fb_fingerprint(other.cache, FB_KIND_STRING, FB_STR("seven"))); /* the same seed here */
    close_world(&other);
    close_world(&w);
}

/* ---- changing ---- */

static void a_new_ttl_counts_at_once_for_what_is_cached(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    fb_facts facts;
    open_world(&w, writing(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    const fb_keyspace_options *before = fb_keyspace_at(w.cache, 0);
    fb_policy policy = before->policy;
    policy.ttl_ms = 5000;
    policy.jitter = 0;
    assert_int_equal(fb_policy_set(w.cache, 0, &policy, &err), FB_OK);
    fb_facts_get(w.cache, FB_STR("k:7"), &facts);
    assert_int_equal(facts.ttl_ms, 5000);
    assert_int_equal(fb_keyspace_at(w.cache, 0)->policy.ttl_ms, 5000);
    assert_int_equal(before->policy.ttl_ms, 3600000); /* what was shown stays as it was */
    assert_string_equal(fb_keyspace_at(w.cache, 0)->pattern, "k:{id:int}");
    int64_t from = now_ms();
    while (now_ms() - from < 3)
        ;
    policy.ttl_ms = 1;
    assert_int_equal(fb_policy_set(w.cache, 0, &policy, &err), FB_OK);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_MISS);
    policy.jitter = 2;
    assert_int_equal(fb_policy_set(w.cache, 0, &policy, &err), FB_INVALID);
    assert_true(strstr(err.text, "jitter") != NULL);
    assert_int_equal(fb_policy_set(w.cache, 1, &policy, &err), FB_INVALID);
    close_world(&w);
}

static void memory_max_can_shrink_and_grow(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    fb_stats stats;
    open_world(&w, writing(), (fb_source_options){0}); /* 4 MiB */
    for (int i = 0; i < 25000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k:%d", i);
        assert_int_equal(fb_set(w.cache, FB_STR(key), FB_STR("x"), NULL), FB_OK);
    }
    fb_stats_get(w.cache, &stats);
    assert_true(stats.memory_used > 3 << 20);
    assert_int_equal(fb_memory_max_set(w.cache, 1000, &err), FB_INVALID);
    assert_int_equal(fb_memory_max_set(w.cache, 1 << 20, &err), FB_OK);
    do /* ticks do it */
        fb_stats_get(w.cache, &stats);
    while (stats.memory_used > 1 << 20);
    assert_int_equal(stats.memory_max, 1 << 20);
    assert_true(stats.keys > 1000);
    assert_int_equal(fb_memory_max_set(w.cache, 8 << 20, &err), FB_OK);
    uint64_t evicted = figures(&w).evicted;
    for (int i = 30000; i < 40000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k:%d", i);
        assert_int_equal(fb_set(w.cache, FB_STR(key), FB_STR("x"), NULL), FB_OK);
    }
    assert_int_equal(figures(&w).evicted, evicted);
    close_world(&w);
}

static void a_keyspace_can_be_forgotten_with_its_loads_and_absences(void **state) {
    (void)state;
    struct world w;
    struct caller c;
    fb_err err;
    fb_keyspace_options other = writing();
    uint64_t dropped, total = 0, cursor = 0;
    open_world(&w, writing(), (fb_source_options){0});
    other.pattern = "other:{id:int}";
    other.source = w.source;
    other.as = "text";
    assert_int_equal(fb_keyspace_add(w.cache, &other, &err), FB_OK);
    fill(&w, 3000);
    expect_row(&w, "k:60", "x");
    set_row(&w, 61, "");
    assert_int_equal(fb_invalidate(w.cache, FB_STR("k:61"), NULL), FB_OK);
    expect_row(&w, "k:61", NULL);
    assert_int_equal(fb_set(w.cache, FB_STR("other:1"), FB_STR("o"), NULL), FB_OK);
    hold_loads(&w, true);
    begin(&c, &w, get_it, "k:4007", NULL);
    wait_for(&w, &w.waiting_loads, 1);
    do {
        cursor = fb_invalidate_keyspace(w.cache, 0, cursor, 100, &dropped);
        assert_true(dropped < 100 + 40);
        total += dropped;
    } while (cursor != 0);
    assert_int_equal(total, 3000); /* one of them an absence */
    assert_int_equal(figures(&w).keys + figures(&w).negative_keys, 0);
    assert_int_equal(fb_cached(w.cache, FB_STR("other:1")), FB_OK);
    hold_loads(&w, false);
    (void)end(&c);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:4007")), FB_MISS); /* it may have been read before */
    fb_buf_free(&c.buf);
    close_world(&w);
}

struct storm {
    struct world *world;
    pthread_t thread;
    unsigned failures;
};

static void *read_on(void *arg) {
    struct storm *storm = arg;
    for (int i = 0; i < 3000; i++) {
        fb_buf buf = FB_BUF_INIT;
        fb_facts facts;
        char key[16];
        snprintf(key, sizeof key, "k:%d", i % 60);
        storm->failures += fb_get(storm->world->cache, FB_STR(key), &buf, NULL) < 0;
        fb_facts_get(storm->world->cache, FB_STR(key), &facts);
        storm->failures += fb_keyspace_at(storm->world->cache, 0)->policy.ttl_ms < 1000;
        fb_buf_free(&buf);
    }
    return NULL;
}

static void a_cache_is_changed_while_it_is_used(void **state) {
    (void)state;
    struct world w;
    struct storm storms[3];
    fb_policy policy = FB_POLICY_INIT;
    uint64_t dropped;
    open_world(&w, writing(), (fb_source_options){0});
    for (int i = 0; i < 3; i++) {
        storms[i] = (struct storm){.world = &w};
        assert_int_equal(pthread_create(&storms[i].thread, NULL, read_on, &storms[i]), 0);
    }
    for (int i = 0; i < 100; i++) {
        policy.ttl_ms = 1000 + i;
        assert_int_equal(fb_policy_set(w.cache, 0, &policy, NULL), FB_OK);
        assert_int_equal(fb_memory_max_set(w.cache, (uint64_t)(1 + i % 4) << 20, NULL), FB_OK);
        (void)fb_invalidate_keyspace(w.cache, 0, 0, 10, &dropped);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(storms[i].thread, NULL);
        assert_int_equal(storms[i].failures, 0);
    }
    close_world(&w);
}

/* A database library may have a lot to say, first of all where it tried. */
static void an_open_breaker_says_why_however_long_that_is(void **state) {
    (void)state;
    struct world w;
    char why[400];
    fb_err err = {0};
    fb_buf buf = FB_BUF_INIT;
    open_world(&w, writing(), (fb_source_options){.breaker_failures = 1});
    memset(why, '.', sizeof why);
    memcpy(why, "connection refused ", strlen("connection refused "));
    why[sizeof why - 1] = '\0';
    w.load_status = FB_DOWN;
    w.load_text = why;
    assert_int_equal(fb_get(w.cache, FB_STR("k:1"), &buf, &err), FB_DOWN);
    keep_open(&w);
    assert_int_equal(fb_get(w.cache, FB_STR("k:2"), &buf, &err), FB_DOWN);
    assert_int_equal(w.loads, 1);
    assert_non_null(strstr(err.text, "unreachable: connection refused ..."));
    assert_non_null(strstr(err.text, "... (retry in "));
    fb_buf_free(&buf);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_visits_values_and_nothing_else),
        cmocka_unit_test(a_scan_goes_on_where_its_cursor_says),
        cmocka_unit_test(a_random_key_is_any_of_them),
        cmocka_unit_test(facts_tell_what_is_cached_and_how_it_came),
        cmocka_unit_test(facts_tell_of_loads_and_writes_under_way),
        cmocka_unit_test(a_result_says_where_its_time_went),
        cmocka_unit_test(a_write_tells_its_wait_for_other_writers),
        cmocka_unit_test(the_last_error_of_a_source_is_kept_with_its_age),
        cmocka_unit_test(an_open_breaker_says_why_however_long_that_is),
        cmocka_unit_test(a_fingerprint_tells_values_kinds_and_absence_apart),
        cmocka_unit_test(a_new_ttl_counts_at_once_for_what_is_cached),
        cmocka_unit_test(memory_max_can_shrink_and_grow),
        cmocka_unit_test(a_keyspace_can_be_forgotten_with_its_loads_and_absences),
        cmocka_unit_test(a_cache_is_changed_while_it_is_used),
    };
    return cmocka_run_group_tests_name("engine_look", tests, NULL, NULL);
}
