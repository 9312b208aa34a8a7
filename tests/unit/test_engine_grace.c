/* Grace, the breaker and cancelled round trips in the threaded engine. Nothing waits for a time: lives of a millisecond are
 * over when the engine says so, and what the ticker does is waited for by its effect. */
#include "engine/engine.h"
#include "engine_world.h"

enum { FAILURES = 5, TICKS_MS = 300 };

/* Values live for a millisecond, and stand in for an hour. */
static fb_keyspace_options short_lived(void) {
    fb_keyspace_options ks = writing();
    ks.policy = (fb_policy){.ttl_ms = 1, .negative_ttl_ms = 1, .grace_ms = 3600000};
    return ks;
}

static void let_expire(struct world *w, const char *key) {
    while (fb_cached(w->cache, FB_STR(key)) != FB_MISS)
        sched_yield();
}

static void fail_loads(struct world *w, fb_status status) {
    pthread_mutex_lock(&w->mutex);
    w->load_status = status;
    pthread_mutex_unlock(&w->mutex);
}

static fb_source_stats health(struct world *w) {
    fb_source_stats stats;
    fb_source_stats_get(w->source, &stats);
    return stats;
}

static fb_status get(struct world *w, const char *key, fb_err *err) {
    fb_buf buf = FB_BUF_INIT;
    fb_status status = fb_get(w->cache, FB_STR(key), &buf, err);
    fb_buf_free(&buf);
    return status;
}

/* Loads of keys that are not there to be had. */
static void open_breaker(struct world *w) {
    fb_err err;
    fail_loads(w, FB_DOWN);
    for (int i = 0; i < FAILURES; i++) {
        assert_int_equal(health(w).breaker, 0);
        assert_int_equal(get(w, "k:1", &err), FB_DOWN);
    }
    assert_int_equal(health(w).breaker, 1);
}

static void submit(struct world *w, struct completion *c, fb_op op) {
    fb_result result;
    *c = (struct completion){.world = w};
    if (fb_submit(w->cache, &op, complete, c, &result) == FB_PENDING)
        return;
    complete(c, &result);
    fb_result_release(&result);
}

static void count_events(void *user, const fb_event *event) {
    (void)event;
    atomic_fetch_add((_Atomic int *)user, 1);
}

/* ---- grace ---- */

static void an_expired_value_stands_in_for_an_error_and_its_load_is_put_off(void **state) {
    (void)state;
    struct world w;
    _Atomic int events = 0;
    open_world(&w, short_lived(), (fb_source_options){0});
    fb_watch(w.cache, 1u << FB_EVENT_STALE, count_events, &events);
    expect_row(&w, "k:7", "seven");
    let_expire(&w, "k:7");
    fail_loads(&w, FB_SOURCE);
    int64_t from = now_ms();
    expect_row(&w, "k:7", "seven");
    int loads = w.loads;
    expect_row(&w, "k:7", "seven");
    if (now_ms() - from < FB_STALE_RETRY_MS / 2) /* the least that it is put off for */
        assert_int_equal(w.loads, loads);        /* not asked for again at once */
    assert_int_equal(figures(&w).stale_served, 2);
    assert_int_equal(atomic_load(&events), 2);
    fb_watch(w.cache, 0, NULL, NULL);
    close_world(&w);
}

static void without_grace_an_error_is_an_error(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    fb_keyspace_options ks = short_lived();
    ks.policy.grace_ms = 0;
    open_world(&w, ks, (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    let_expire(&w, "k:7");
    fail_loads(&w, FB_SOURCE);
    assert_int_equal(get(&w, "k:7", &err), FB_SOURCE);
    assert_int_equal(figures(&w).stale_served, 0);
    close_world(&w);
}

static void a_write_takes_the_expired_value_away(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    open_world(&w, short_lived(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    let_expire(&w, "k:7");
    w.store_status = FB_SOURCE;
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("new"), &err), FB_SOURCE);
    fail_loads(&w, FB_SOURCE);
    assert_int_equal(get(&w, "k:7", &err), FB_SOURCE);
    close_world(&w);
}

static void who_has_lost_patience_gets_the_expired_value_and_the_load_goes_on(void **state) {
    (void)state;
    struct world w;
    struct completion c;
    _Atomic int kept = 0;
    open_world(&w, short_lived(), (fb_source_options){.soft_timeout_ms = 1});
    expect_row(&w, "k:7", "seven");
    let_expire(&w, "k:7");
    fb_watch(w.cache, 1u << FB_EVENT_LOADED, count_events, &kept);
    set_row(&w, 7, "newer");
    hold_loads(&w, true);
    submit(&w, &c, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:7")});
    wait_for(&w, &c.done, 1);
    assert_int_equal(c.status, FB_OK);
    assert_string_equal(c.value, "seven");
    hold_loads(&w, false);
    while (atomic_load(&kept) == 0) /* the trip is counted before what it brought is kept */
        sched_yield();
    let_expire(&w, "k:7");
    fail_loads(&w, FB_SOURCE);
    expect_row(&w, "k:7", "newer"); /* it was kept, and is expired in its turn */
    assert_int_equal(w.loads, 3);
    fb_watch(w.cache, 0, NULL, NULL);
    close_world(&w);
}

static void a_full_queue_gives_the_expired_value_at_once(void **state) {
    (void)state;
    struct world w;
    struct completion held, queued, other, expired;
    open_world(&w, short_lived(), (fb_source_options){.pool = 1, .queue_max = 1, .soft_timeout_ms = 3600000});
    expect_row(&w, "k:7", "seven");
    let_expire(&w, "k:7");
    hold_loads(&w, true);
    submit(&w, &held, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:1")});
    wait_for(&w, &w.waiting_loads, 1);
    submit(&w, &queued, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:2")});
    submit(&w, &other, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:3")});
    submit(&w, &expired, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:7")});
    assert_int_equal(other.done, 1);
    assert_int_equal(other.status, FB_BUSY);
    assert_int_equal(expired.done, 1);
    assert_string_equal(expired.value, "seven");
    hold_loads(&w, false);
    wait_for(&w, &queued.done, 1);
    close_world(&w);
}

/* ---- the breaker ---- */

static void enough_failures_open_the_breaker_and_nobody_asks(void **state) {
    (void)state;
    struct world w;
    fb_err err = {0};
    open_world(&w, writing(), (fb_source_options){.breaker_window_ms = 60000});
    open_breaker(&w);
    keep_open(&w);
    int loads = w.loads;
    uint64_t stopped = health(&w).stopped;
    assert_int_equal(get(&w, "k:2", &err), FB_DOWN);
    assert_non_null(strstr(err.text, "source 'world' is unreachable: no such luck (retry in "));
    assert_int_equal(w.loads, loads);
    assert_int_equal(health(&w).stopped, stopped + 1);
    assert_int_equal(health(&w).opens, 1);
    close_world(&w);
}

static void a_statement_that_is_refused_opens_nothing(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    open_world(&w, writing(), (fb_source_options){0});
    fail_loads(&w, FB_SOURCE);
    for (int i = 0; i < 4 * FAILURES; i++)
        assert_int_equal(get(&w, "k:1", &err), FB_SOURCE);
    assert_int_equal(health(&w).breaker, 0);
    close_world(&w);
}

static void while_it_is_open_writes_fail_before_they_hide_anything(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    open_world(&w, writing(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    open_breaker(&w);
    keep_open(&w);
    assert_int_equal(fb_set(w.cache, FB_STR("k:7"), FB_STR("new"), &err), FB_DOWN);
    assert_non_null(strstr(err.text, "is unreachable: no such luck (retry in"));
    assert_int_equal(w.stores, 0);
    assert_int_equal(fb_cached(w.cache, FB_STR("k:7")), FB_OK);
    assert_int_equal(get(&w, "k:2", &err), FB_DOWN);
    close_world(&w);
}

static void while_it_is_open_the_longer_grace_counts_and_nothing_is_loaded(void **state) {
    (void)state;
    struct world w;
    fb_keyspace_options ks = short_lived();
    ks.policy.grace_ms = 0;
    ks.policy.grace_down_ms = 3600000;
    open_world(&w, ks, (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    let_expire(&w, "k:7");
    open_breaker(&w);
    keep_open(&w);
    int loads = w.loads;
    struct completion c;
    submit(&w, &c, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:7")});
    assert_int_equal(c.done, 1);
    assert_string_equal(c.value, "seven");
    assert_int_equal(w.loads, loads);
    close_world(&w);
}

static void one_round_trip_that_comes_through_closes_it(void **state) {
    (void)state;
    struct world w;
    fb_err err;
    open_world(&w, writing(), (fb_source_options){0});
    open_breaker(&w);
    fail_loads(&w, FB_OK);
    while (get(&w, "k:7", &err) != FB_OK)
        sched_yield();
    assert_int_equal(health(&w).breaker, 0);
    assert_int_equal(health(&w).opens, 1);
    close_world(&w);
}

/* ---- cancelling ---- */

static struct world *cancelled_world;
static _Atomic int cancels;

static void cancel(struct fb_session *session) {
    (void)session;
    atomic_fetch_add(&cancels, 1);
    fail_loads(cancelled_world, FB_TIMEOUT);
    hold_loads(cancelled_world, false);
}

static void a_round_trip_that_nobody_waits_for_is_cancelled(void **state) {
    (void)state;
    struct world w;
    struct completion c;
    open_world(&w, writing(), (fb_source_options){.read_timeout_ms = 10});
    struct fb_driver_ops ops = *w.source->ops;
    ops.cancel = cancel;
    w.source->ops = &ops;
    cancelled_world = &w;
    atomic_store(&cancels, 0);
    hold_loads(&w, true);
    submit(&w, &c, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:7")});
    wait_for(&w, &c.done, 1);
    assert_int_equal(c.status, FB_TIMEOUT); /* at its own deadline, though the query goes on */
    while (health(&w).read_trips == 0)
        sched_yield(); /* it would never come home by itself */
    assert_int_equal(atomic_load(&cancels), 1);
    assert_int_equal(health(&w).cancelled, 1);
    close_world(&w);
}

static void a_promised_refresh_is_not_cancelled_before_its_time_is_over(void **state) {
    (void)state;
    struct world w;
    struct completion c;
    open_world(&w, short_lived(), (fb_source_options){.soft_timeout_ms = 1, .read_timeout_ms = 3600000});
    struct fb_driver_ops ops = *w.source->ops;
    ops.cancel = cancel;
    w.source->ops = &ops;
    cancelled_world = &w;
    atomic_store(&cancels, 0);
    expect_row(&w, "k:7", "seven");
    let_expire(&w, "k:7");
    hold_loads(&w, true);
    submit(&w, &c, (fb_op){.kind = FB_OP_READ, .key = FB_STR("k:7")});
    wait_for(&w, &c.done, 1);
    assert_string_equal(c.value, "seven");
    /* Some ticks, by what they do: somebody waits in vain for a lease that another holds. */
    fb_buf buf = FB_BUF_INIT;
    uint64_t token;
    fb_err err;
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:9"), 0, &buf, &token, &err), FB_LEASE);
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:9"), TICKS_MS, &buf, &token, &err), FB_TIMEOUT);
    assert_int_equal(atomic_load(&cancels), 0);
    fb_lease_drop(w.cache, FB_STR("k:9"), token);
    hold_loads(&w, false);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_expired_value_stands_in_for_an_error_and_its_load_is_put_off),
        cmocka_unit_test(without_grace_an_error_is_an_error),
        cmocka_unit_test(a_write_takes_the_expired_value_away),
        cmocka_unit_test(who_has_lost_patience_gets_the_expired_value_and_the_load_goes_on),
        cmocka_unit_test(a_full_queue_gives_the_expired_value_at_once),
        cmocka_unit_test(enough_failures_open_the_breaker_and_nobody_asks),
        cmocka_unit_test(a_statement_that_is_refused_opens_nothing),
        cmocka_unit_test(while_it_is_open_writes_fail_before_they_hide_anything),
        cmocka_unit_test(while_it_is_open_the_longer_grace_counts_and_nothing_is_loaded),
        cmocka_unit_test(one_round_trip_that_comes_through_closes_it),
        cmocka_unit_test(a_round_trip_that_nobody_waits_for_is_cancelled),
        cmocka_unit_test(a_promised_refresh_is_not_cancelled_before_its_time_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
