/* The threaded engine through its public API, over a source made of functions that the test holds and lets go. */
#include "engine_world.h"

static void complete_all(void *user, const fb_outcome *outcome) {
    struct completion *c = user;
    pthread_mutex_lock(&c->world->mutex);
    c->done++;
    c->status = outcome->status;
    pthread_cond_broadcast(&c->world->changed);
    pthread_mutex_unlock(&c->world->mutex);
}

/* ---- reading ---- */

static void a_miss_loads_once_and_then_hits(void **state) {
    (void)state;
    struct world w;
    open_world(&w, writing(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    expect_row(&w, "k:7", "seven");
    assert_int_equal(w.loads, 1);
    assert_int_equal(figures(&w).hits, 1);
    assert_int_equal(figures(&w).misses, 1);
    close_world(&w);
}

static void absence_is_remembered(void **state) {
    (void)state;
    struct world w;
    open_world(&w, writing(), (fb_source_options){0});
    expect_row(&w, "k:9", NULL);
    expect_row(&w, "k:9", NULL);
    assert_int_equal(w.loads, 1);
    assert_int_equal(figures(&w).negative_hits, 1);
    close_world(&w);
}

static void an_error_is_an_error_and_is_not_kept(void **state) {
    (void)state;
    struct world w;
    fb_buf buf = FB_BUF_INIT;
    fb_err err;
    open_world(&w, writing(), (fb_source_options){0});
    w.load_status = FB_SOURCE;
    assert_int_equal(fb_get(w.cache, FB_STR("k:7"), &buf, &err), FB_SOURCE);
    assert_string_equal(err.text, "source 'world': no such luck");
    w.load_status = FB_OK;
    expect_row(&w, "k:7", "seven");
    fb_buf_free(&buf);
    close_world(&w);
}

static void many_callers_share_one_load(void **state) {
    (void)state;
    struct world w;
    struct caller callers[THREADS];
    open_world(&w, writing(), (fb_source_options){0});
    hold_loads(&w, true);
    for (int i = 0; i < THREADS; i++)
        begin(&callers[i], &w, get_it, "k:7", NULL);
    /* All have asked once the figures say so; the load is still held. */
    while (figures(&w).misses < THREADS)
        sched_yield();
    hold_loads(&w, false);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(end(&callers[i]), FB_OK);
        assert_int_equal(callers[i].buf.len, 5);
        fb_buf_free(&callers[i].buf);
    }
    assert_int_equal(w.loads, 1);
    assert_int_equal(figures(&w).coalesced, THREADS - 1);
    close_world(&w);
}

static void an_unmapped_key_is_told_apart(void **state) {
    (void)state;
    struct world w;
    fb_buf buf = FB_BUF_INIT;
    fb_err err;
    open_world(&w, writing(), (fb_source_options){0});
    assert_int_equal(fb_get(w.cache, FB_STR("other:7"), &buf, &err), FB_NOMAP);
    assert_int_equal(fb_get(w.cache, FB_STR("k:007"), &buf, &err), FB_NOMAP);
    assert_int_equal(w.loads, 0);
    close_world(&w);
}

static void get_many_answers_each_key_for_itself(void **state) {
    (void)state;
    struct world w;
    open_world(&w, writing(), (fb_source_options){0});
    set_row(&w, 1, "one");
    fb_bytes keys[] = {FB_STR("k:1"), FB_STR("k:2"), FB_STR("nope"), FB_STR("k:7"), FB_STR("k:1")};
    fb_buf values[5] = {FB_BUF_INIT, FB_BUF_INIT, FB_BUF_INIT, FB_BUF_INIT, FB_BUF_INIT};
    fb_status statuses[5];
    assert_int_equal(fb_get_many(w.cache, keys, 5, values, statuses), FB_OK);
    fb_status expected[] = {FB_OK, FB_NOTFOUND, FB_NOMAP, FB_OK, FB_OK};
    fb_source_stats stats;
    fb_source_stats_get(w.source, &stats);
    for (int i = 0; i < 5; i++)
        assert_int_equal(statuses[i], expected[i]);
    assert_memory_equal(values[0].data, "one", 3);
    assert_memory_equal(values[4].data, "one", 3);
    assert_int_equal(stats.read_trips, 1);
    assert_int_equal(stats.rows_wanted, 3);
    for (int i = 0; i < 5; i++)
        fb_buf_free(&values[i]);
    close_world(&w);
}

static void a_keyspace_of_cache_aside_never_loads(void **state) {
    (void)state;
    struct world w;
    fb_keyspace_options ks = writing();
    fb_buf buf = FB_BUF_INIT;
    ks.read = FB_READ_ASIDE;
    open_world(&w, ks, (fb_source_options){0});
    assert_int_equal(fb_get(w.cache, FB_STR("k:7"), &buf, NULL), FB_MISS);
    assert_int_equal(w.loads, 0);
    close_world(&w);
}

/* ---- writing ---- */

static void a_write_is_at_the_source_before_it_returns(void **state) {
    (void)state;
    struct world w;
    open_world(&w, writing(), (fb_source_options){0});
    assert_int_equal(fb_set(w.cache, FB_STR("k:3"), FB_STR("three"), NULL), FB_OK);
    assert_string_equal(w.rows[3], "three");
    expect_row(&w, "k:3", "three");
    assert_int_equal(w.loads, 0); /* write-through: kept */
    assert_int_equal(fb_delete(w.cache, FB_STR("k:3"), NULL), FB_OK);
    expect_row(&w, "k:3", NULL);
    assert_int_equal(w.loads, 0);
    assert_int_equal(fb_delete(w.cache, FB_STR("k:3"), NULL), FB_NOTFOUND);
    close_world(&w);
}

static void write_around_keeps_nothing(void **state) {
    (void)state;
    struct world w;
    fb_keyspace_options ks = writing();
    ks.write = FB_WRITE_AROUND;
    open_world(&w, ks, (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("sept"), NULL), FB_OK);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_MISS);
    expect_row(&w, "k:7", "sept");
    close_world(&w);
}

static void a_load_that_began_before_a_write_does_not_overwrite_it(void **state) {
    (void)state;
    struct world w;
    struct caller reader;
    open_world(&w, writing(), (fb_source_options){0});
    hold_loads(&w, true);
    begin(&reader, &w, get_it, "k:7", NULL);
    wait_for(&w, &w.waiting_loads, 1); /* it has read "seven" and is on its way home */
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("new"), NULL), FB_OK);
    hold_loads(&w, false);
    assert_int_equal(end(&reader), FB_OK);
    assert_memory_equal(reader.buf.data, "seven", 5); /* true when it asked */
    fb_buf_free(&reader.buf);
    expect_row(&w, "k:7", "new");
    assert_int_equal(figures(&w).fills_refused, 1);
    close_world(&w);
}

static void a_load_that_begins_during_a_write_is_not_kept(void **state) {
    (void)state;
    struct world w;
    struct caller writer;
    open_world(&w, writing(), (fb_source_options){0});
    hold_stores(&w, true);
    begin(&writer, &w, set_it, "k:7", "new");
    wait_for(&w, &w.waiting_stores, 1);
    expect_row(&w, "k:7", "seven");
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_MISS);
    hold_stores(&w, false);
    assert_int_equal(end(&writer), FB_OK);
    expect_row(&w, "k:7", "new");
    close_world(&w);
}

static void a_follower_of_a_refused_load_asks_again(void **state) {
    (void)state;
    struct world w;
    struct caller leader, follower;
    open_world(&w, writing(), (fb_source_options){0});
    hold_loads(&w, true);
    begin(&leader, &w, get_it, "k:7", NULL);
    wait_for(&w, &w.waiting_loads, 1);
    begin(&follower, &w, get_it, "k:7", NULL);
    while (figures(&w).coalesced < 1)
        sched_yield();
    set_row(&w, 7, "changed behind our back");
    assert_int_equal(fb_invalidate(w.cache, FB_STR("k:7"), NULL), FB_MISS);
    hold_loads(&w, false);
    assert_int_equal(end(&leader), FB_OK);
    assert_int_equal(end(&follower), FB_OK);
    assert_int_equal(leader.buf.len, 5);
    assert_memory_equal(follower.buf.data, "changed behind", 14);
    assert_int_equal(w.loads, 2);
    fb_buf_free(&leader.buf);
    fb_buf_free(&follower.buf);
    close_world(&w);
}

static void a_refused_write_says_so_and_leaves_the_old_value(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    open_world(&w, writing(), (fb_source_options){0});
    w.store_status = FB_CONFLICT;
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("new"), &err), FB_CONFLICT);
    assert_string_equal(err.text, "keyspace 'k:{id:int}': refused");
    expect_row(&w, "k:7", "seven");
    assert_int_equal(figures(&w).write_errors, 1);
    close_world(&w);
}

static void nothing_is_kept_while_a_write_is_in_doubt(void **state) {
    (void)state;
    struct world w;
    open_world(&w, writing(), (fb_source_options){0});
    w.store_status = FB_UNKNOWN;
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("new"), NULL), FB_UNKNOWN);
    expect_row(&w, "k:7", "new");
    expect_row(&w, "k:7", "new");
    assert_int_equal(w.loads, 2);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_MISS);
    close_world(&w);
}

static void writes_of_one_key_come_one_after_another(void **state) {
    (void)state;
    struct world w;
    struct caller first, second;
    open_world(&w, writing(), (fb_source_options){0});
    hold_stores(&w, true);
    begin(&first, &w, set_it, "k:7", "first");
    wait_for(&w, &w.waiting_stores, 1);
    begin(&second, &w, set_it, "k:7", "second");
    hold_stores(&w, false);
    assert_int_equal(end(&first), FB_OK);
    assert_int_equal(end(&second), FB_OK);
    assert_string_equal(w.rows[7], "second");
    expect_row(&w, "k:7", "second");
    close_world(&w);
}

static void a_read_only_keyspace_refuses_and_ignores_as_told(void **state) {
    (void)state;
    struct world w;
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    fb_err err;
    open_world(&w, ks, (fb_source_options){0});
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("x"), &err), FB_READONLY);
    close_world(&w);
    ks.on_set = FB_ON_SET_IGNORE;
    open_world(&w, ks, (fb_source_options){0});
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("x"), &err), FB_IGNORED);
    assert_int_equal(w.stores, 0);
    assert_int_equal(figures(&w).writes_ignored, 1);
    close_world(&w);
}

/* ---- the asynchronous entry ---- */

static void a_hit_is_answered_at_once_and_a_miss_by_the_completion(void **state) {
    (void)state;
    struct world w;
    fb_result result;
    fb_op op = {.kind = FB_OP_READ, .key = FB_STR("k:7")};
    open_world(&w, writing(), (fb_source_options){0});
    struct completion c = {.world = &w};
    assert_int_equal(fb_submit(w.cache, &op, complete, &c, &result), FB_PENDING);
    wait_for(&w, &c.done, 1);
    assert_string_equal(c.value, "seven");
    assert_int_equal(fb_submit(w.cache, &op, complete, &c, &result), FB_OK);
    assert_int_equal(result.value.len, 5);
    assert_int_equal(result.kind, FB_KIND_STRING);
    fb_result_release(&result);
    assert_int_equal(c.done, 1);
    close_world(&w);
}

static void a_full_queue_answers_busy_at_once(void **state) {
    (void)state;
    struct world w;
    fb_result result;
    char key[16];
    open_world(&w, writing(), (fb_source_options){.pool = 1, .queue_max = 2});
    struct completion c[8] = {0};
    hold_loads(&w, true);
    for (int i = 0; i < 8; i++) {
        c[i].world = &w;
        snprintf(key, sizeof key, "k:%d", i + 10);
        fb_op op = {.kind = FB_OP_READ, .key = FB_STR(key)};
        assert_int_equal(fb_submit(w.cache, &op, complete, &c[i], &result), FB_PENDING);
        if (i == 0)
            wait_for(&w, &w.waiting_loads, 1); /* the only worker is held from here on */
    }
    for (int i = 0; i < 8; i++) /* one under way, two queued, five refused without waiting */
        assert_int_equal(c[i].done, i >= 3);
    assert_int_equal(c[7].status, FB_BUSY);
    hold_loads(&w, false);
    for (int i = 0; i < 3; i++)
        wait_for(&w, &c[i].done, 1);
    close_world(&w);
}

static void a_transaction_writes_all_its_keys(void **state) {
    (void)state;
    struct world w;
    fb_outcome outcome;
    open_world(&w, writing(), (fb_source_options){0});
    struct completion c = {.world = &w};
    fb_op ops[] = {
        {.kind = FB_OP_SET, .key = FB_STR("k:1"), .value = FB_STR("a")},
        {.kind = FB_OP_SET, .key = FB_STR("k:2"), .value = FB_STR("b")},
        {.kind = FB_OP_SET, .key = FB_STR("k:1"), .value = FB_STR("c")}, /* the same key again: the last one counts */
    };
    assert_int_equal(fb_submit_all(w.cache, ops, 3, complete_all, &c, &outcome), FB_PENDING);
    wait_for(&w, &c.done, 1);
    assert_int_equal(c.status, FB_OK);
    expect_row(&w, "k:1", "c");
    expect_row(&w, "k:2", "b");
    assert_int_equal(w.loads, 0);
    close_world(&w);
}

struct taken {
    struct completion completion;
    fb_status status[4];
    char value[4][16];
};

static void take_results(void *user, const fb_outcome *outcome) {
    struct taken *taken = user;
    for (size_t i = 0; i < outcome->n; i++) {
        fb_bytes value = outcome->results[i].value;
        taken->status[i] = outcome->results[i].status;
        snprintf(taken->value[i], sizeof taken->value[i], "%.*s", (int)value.len, value.data != NULL ? value.data : "");
    }
    complete_all(&taken->completion, outcome);
}

static void functions_are_read_and_checked_in_a_transaction(void **state) {
    (void)state;
    struct world w;
    fb_outcome outcome;
    open_world(&w, writing(), (fb_source_options){0});
    struct taken taken = {.completion = {.world = &w}};
    fb_op ops[] = {
        {.kind = FB_OP_CHECK, .key = FB_STR("k:7"),
         .expected = fb_fingerprint(w.cache, FB_KIND_STRING, FB_STR("seven"))},
        {.kind = FB_OP_READ, .key = FB_STR("k:8")},
        {.kind = FB_OP_SET, .key = FB_STR("k:7"), .value = FB_STR("new")},
        {.kind = FB_OP_READ, .key = FB_STR("k:7")},
    };
    assert_int_equal(fb_submit_all(w.cache, ops, 4, take_results, &taken, &outcome), FB_PENDING);
    wait_for(&w, &taken.completion.done, 1);
    assert_int_equal(taken.completion.status, FB_OK);
    assert_int_equal(taken.status[1], FB_NOTFOUND);
    assert_string_equal(taken.value[3], "new");
    assert_int_equal(fb_submit_all(w.cache, ops, 4, take_results, &taken, &outcome), FB_PENDING);
    wait_for(&w, &taken.completion.done, 2);
    assert_int_equal(taken.completion.status, FB_UNMET);
    assert_int_equal(w.stores, 1);
    close_world(&w);
}

static void transactions_over_the_same_keys_never_wait_for_each_other(void **state) {
    (void)state;
    struct world w;
    open_world(&w, writing(), (fb_source_options){0});
    struct completion c[50] = {0};
    for (int i = 0; i < 50; i++) {
        fb_outcome outcome;
        c[i].world = &w;
        const char *one = i % 2 ? "k:1" : "k:2", *two = i % 2 ? "k:2" : "k:1";
        fb_op ops[] = {{.kind = FB_OP_SET, .key = FB_STR(one), .value = FB_STR("x")},
                       {.kind = FB_OP_SET, .key = FB_STR(two), .value = FB_STR("y")}};
        assert_int_equal(fb_submit_all(w.cache, ops, 2, complete_all, &c[i], &outcome), FB_PENDING);
    }
    for (int i = 0; i < 50; i++) {
        wait_for(&w, &c[i].done, 1);
        assert_int_equal(c[i].status, FB_OK);
    }
    close_world(&w);
}

static void lives_can_be_shortened_and_told(void **state) {
    (void)state;
    struct world w;
    fb_result result;
    open_world(&w, writing(), (fb_source_options){0});
    fb_op ttl = {.kind = FB_OP_TTL, .key = FB_STR("k:7")};
    fb_op expire = {.kind = FB_OP_EXPIRE, .key = FB_STR("k:7"), .life_ms = 60000};
    fb_op persist = {.kind = FB_OP_PERSIST, .key = FB_STR("k:7")};
    assert_int_equal(fb_submit(w.cache, &ttl, complete, NULL, &result), FB_MISS);
    expect_row(&w, "k:7", "seven");
    assert_int_equal(fb_submit(w.cache, &ttl, complete, NULL, &result), FB_OK);
    assert_in_range(result.number, 3200000, 3600001);
    assert_int_equal(fb_submit(w.cache, &persist, complete, NULL, &result), FB_UNMET);
    assert_int_equal(fb_submit(w.cache, &expire, complete, NULL, &result), FB_OK);
    assert_int_equal(fb_submit(w.cache, &ttl, complete, NULL, &result), FB_OK);
    assert_in_range(result.number, 1, 60001);
    assert_int_equal(fb_submit(w.cache, &persist, complete, NULL, &result), FB_OK);
    assert_int_equal(fb_submit(w.cache, &ttl, complete, NULL, &result), FB_OK);
    assert_in_range(result.number, 3200000, 3600001);
    expire.life_ms = 0;
    assert_int_equal(fb_submit(w.cache, &expire, complete, NULL, &result), FB_OK);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_MISS);
    close_world(&w);
}

static void *let_loads_go(void *arg) {
    struct world *w = arg;
    wait_for(w, &w->closed_answers, 5); /* the close itself has answered them */
    hold_loads(w, false);
    return NULL;
}

static void closing_waits_for_what_was_sent_and_refuses_the_rest(void **state) {
    (void)state;
    struct world w;
    fb_result result;
    char key[16];
    pthread_t helper;
    open_world(&w, writing(), (fb_source_options){.pool = 1, .batch_max = 1});
    struct completion c[6] = {0};
    hold_loads(&w, true);
    for (int i = 0; i < 6; i++) {
        c[i].world = &w;
        snprintf(key, sizeof key, "k:%d", i);
        fb_op op = {.kind = FB_OP_READ, .key = FB_STR(key)};
        assert_int_equal(fb_submit(w.cache, &op, complete, &c[i], &result), FB_PENDING);
        if (i == 0)
            wait_for(&w, &w.waiting_loads, 1);
    }
    assert_int_equal(pthread_create(&helper, NULL, let_loads_go, &w), 0);
    fb_close(w.cache);
    pthread_join(helper, NULL);
    assert_int_equal(c[0].done, 1);
    assert_int_equal(c[0].status, FB_NOTFOUND);
    for (int i = 1; i < 6; i++) {
        assert_int_equal(c[i].done, 1);
        assert_int_equal(c[i].status, FB_CLOSED);
    }
}

static void a_thousand_refused_writes_of_one_key_do_not_pile_up(void **state) {
    (void)state;
    enum { WRITES = 1000 };
    struct world w;
    fb_result result;
    open_world(&w, writing(), (fb_source_options){.queue_max = 1});
    struct completion first = {.world = &w}, other = {.world = &w}, rest = {.world = &w};
    fb_op op = {.kind = FB_OP_SET, .key = FB_STR("k:1"), .value = FB_STR("x")};
    fb_op elsewhere = {.kind = FB_OP_SET, .key = FB_STR("k:2"), .value = FB_STR("y")};
    hold_stores(&w, true);
    assert_int_equal(fb_submit(w.cache, &op, complete, &first, &result), FB_PENDING);
    wait_for(&w, &w.waiting_stores, 1);
    assert_int_equal(fb_submit(w.cache, &elsewhere, complete, &other, &result), FB_PENDING);
    for (int i = 0; i < WRITES; i++)
        assert_int_equal(fb_submit(w.cache, &op, complete, &rest, &result), FB_PENDING);
    hold_stores(&w, false);
    wait_for(&w, &rest.done, WRITES);
    wait_for(&w, &other.done, 1);
    assert_int_equal(first.status, FB_OK);
    close_world(&w);
}

static void a_life_beyond_all_bounds_forgets_nothing(void **state) {
    (void)state;
    struct world w;
    fb_result result;
    open_world(&w, writing(), (fb_source_options){0});
    fb_op expire = {.kind = FB_OP_EXPIRE, .key = FB_STR("k:7"), .life_ms = INT64_MAX};
    fb_op persist = {.kind = FB_OP_PERSIST, .key = FB_STR("k:7")};
    expect_row(&w, "k:7", "seven");
    assert_int_equal(fb_submit(w.cache, &expire, complete, NULL, &result), FB_OK);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_OK);
    assert_int_equal(fb_submit(w.cache, &persist, complete, NULL, &result), FB_UNMET); /* nothing was shortened */
    close_world(&w);
}

/* ---- cache-aside ---- */

static void a_lease_is_given_once_and_its_fill_serves_the_others(void **state) {
    (void)state;
    struct world w;
    fb_buf buf = FB_BUF_INIT;
    uint64_t token = 0;
    struct caller other;
    open_world(&w, writing(), (fb_source_options){0});
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &token, NULL), FB_LEASE);
    begin(&other, &w, get_it, "k:7", NULL); /* waits for the fill instead of loading */
    while (figures(&w).coalesced < 1)
        sched_yield();
    assert_int_equal(fb_fill(w.cache, FB_STR("k:7"), token, FB_STR("mine"), 0, NULL), FB_OK);
    assert_int_equal(end(&other), FB_OK);
    assert_memory_equal(other.buf.data, "mine", 4);
    fb_buf_free(&other.buf);
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &token, NULL), FB_OK);
    assert_int_equal(w.loads, 0);
    fb_buf_free(&buf);
    close_world(&w);
}

static void a_fill_after_an_invalidation_is_refused(void **state) {
    (void)state;
    struct world w;
    fb_buf buf = FB_BUF_INIT;
    uint64_t token = 0, other = 0;
    open_world(&w, writing(), (fb_source_options){0});
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &token, NULL), FB_LEASE);
    (void)fb_invalidate(w.cache, FB_STR("k:7"), NULL);
    assert_int_equal(fb_fill(w.cache, FB_STR("k:7"), token, FB_STR("old"), 0, NULL), FB_REFUSED);
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &other, NULL), FB_LEASE);
    assert_int_not_equal(token, other);
    fb_lease_drop(w.cache, FB_STR("k:7"), other);
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &token, NULL), FB_LEASE);
    assert_int_equal(fb_fill(w.cache, FB_STR("k:7"), token, FB_STR(""), 1, NULL), FB_OK);
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &token, NULL), FB_NOTFOUND);
    close_world(&w);
}

static void nothing_is_kept_between_the_begin_and_the_end_of_an_announced_write(void **state) {
    (void)state;
    struct world w;
    fb_buf buf = FB_BUF_INIT;
    uint64_t ticket, token;
    open_world(&w, writing(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    assert_int_equal(fb_write_begin(w.cache, FB_STR("k:7"), &ticket, NULL), FB_OK);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_MISS);
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &token, NULL), FB_LEASE);
    assert_int_equal(fb_fill(w.cache, FB_STR("k:7"), token, FB_STR("old"), 0, NULL), FB_REFUSED);
    set_row(&w, 7, "new");
    fb_write_end(w.cache, FB_STR("k:7"), ticket);
    fb_write_end(w.cache, FB_STR("k:7"), ticket); /* a second end is harmless */
    expect_row(&w, "k:7", "new");
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_OK);
    close_world(&w);
}

/* ---- under load ---- */

static void *storm(void *arg) {
    struct caller *c = arg;
    char key[16], value[16];
    for (int i = 0; i < 400; i++) {
        fb_buf buf = FB_BUF_INIT;
        snprintf(key, sizeof key, "k:%d", i % 5);
        snprintf(value, sizeof value, "v%d", i);
        if (i % 3 == 0)
            c->status |= fb_set(c->world->cache, FB_STR(key), FB_STR(value), &c->err);
        else if (i % 7 == 0)
            (void)fb_invalidate(c->world->cache, FB_STR(key), &c->err);
        else if (i % 11 == 0)
            fb_invalidate_all(c->world->cache);
        else
            c->status |= fb_get(c->world->cache, FB_STR(key), &buf, &c->err) < 0;
        fb_buf_free(&buf);
    }
    return NULL;
}

static void a_storm_leaves_the_cache_equal_to_the_source(void **state) {
    (void)state;
    struct world w;
    struct caller callers[6];
    open_world(&w, writing(), (fb_source_options){0});
    for (int i = 0; i < 6; i++)
        begin(&callers[i], &w, storm, "", NULL);
    for (int i = 0; i < 6; i++)
        assert_int_equal(end(&callers[i]), FB_OK);
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "k:%d", i);
        expect_row(&w, key, w.rows[i][0] != '\0' ? w.rows[i] : NULL);
    }
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_loads_once_and_then_hits),
        cmocka_unit_test(absence_is_remembered),
        cmocka_unit_test(an_error_is_an_error_and_is_not_kept),
        cmocka_unit_test(many_callers_share_one_load),
        cmocka_unit_test(an_unmapped_key_is_told_apart),
        cmocka_unit_test(get_many_answers_each_key_for_itself),
        cmocka_unit_test(a_keyspace_of_cache_aside_never_loads),
        cmocka_unit_test(a_write_is_at_the_source_before_it_returns),
        cmocka_unit_test(write_around_keeps_nothing),
        cmocka_unit_test(a_load_that_began_before_a_write_does_not_overwrite_it),
        cmocka_unit_test(a_load_that_begins_during_a_write_is_not_kept),
        cmocka_unit_test(a_follower_of_a_refused_load_asks_again),
        cmocka_unit_test(a_refused_write_says_so_and_leaves_the_old_value),
        cmocka_unit_test(nothing_is_kept_while_a_write_is_in_doubt),
        cmocka_unit_test(writes_of_one_key_come_one_after_another),
        cmocka_unit_test(a_read_only_keyspace_refuses_and_ignores_as_told),
        cmocka_unit_test(a_hit_is_answered_at_once_and_a_miss_by_the_completion),
        cmocka_unit_test(a_full_queue_answers_busy_at_once),
        cmocka_unit_test(a_transaction_writes_all_its_keys),
        cmocka_unit_test(functions_are_read_and_checked_in_a_transaction),
        cmocka_unit_test(transactions_over_the_same_keys_never_wait_for_each_other),
        cmocka_unit_test(lives_can_be_shortened_and_told),
        cmocka_unit_test(closing_waits_for_what_was_sent_and_refuses_the_rest),
        cmocka_unit_test(a_thousand_refused_writes_of_one_key_do_not_pile_up),
        cmocka_unit_test(a_life_beyond_all_bounds_forgets_nothing),
        cmocka_unit_test(a_lease_is_given_once_and_its_fill_serves_the_others),
        cmocka_unit_test(a_fill_after_an_invalidation_is_refused),
        cmocka_unit_test(nothing_is_kept_between_the_begin_and_the_end_of_an_announced_write),
        cmocka_unit_test(a_storm_leaves_the_cache_equal_to_the_source),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
