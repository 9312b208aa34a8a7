/* The way of a load and of a write through the store, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "store/flow.h"

#define AT(ms) ((fb_instant){(ms) * FB_NS_PER_MS + 1})
static const struct fb_store_token one = {1, 1}, two = {1, 2};

struct load { struct fb_load_flow flow; fb_buf buf; };

static struct fb_flow_terms terms(void) {
    return (struct fb_flow_terms){.kind = FB_KIND_STRING, .ttl_ms = 10000, .negative_ttl_ms = 500, .lasting_ms = 9000,
                                  .has_store = true};
}

static void begin(struct load *l, struct fb_flow_terms t) {
    memset(l, 0, sizeof *l);
    fb_load_flow_start(&l->flow, &t, FB_STR("k"), &l->buf, one);
}

static void answer(struct load *l, enum fb_store_answer a, int64_t ttl_ms) {
    l->flow.call.outcome = FB_STORE_DONE;
    l->flow.call.answer = a;
    l->flow.call.ttl_ms = ttl_ms;
    l->flow.call.server = 77;
    if (l->flow.call.move == FB_STORE_GET && a == FB_STORE_HIT)
        assert_int_equal(fb_buf_append(&l->buf, "old", 3), FB_OK);
    fb_load_flow_answered(&l->flow, two, AT(0));
}

static void expect_ask(const struct load *l, enum fb_store_move move) {
    assert_int_equal(l->flow.step, FB_FLOW_ASK);
    assert_int_equal(l->flow.call.move, move);
}

static void a_hit_is_a_copy_with_its_own_life(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    expect_ask(&l, FB_STORE_GET);
    answer(&l, FB_STORE_HIT, 1234);
    assert_int_equal(l.flow.step, FB_FLOW_OVER);
    assert_true(l.flow.is_copy && l.flow.keep == FB_KEEP_HERE && l.flow.status == FB_OK);
    assert_int_equal(l.flow.life_ms, 1234);
    fb_buf_free(&l.buf);
}

static void a_lease_ends_with_a_fill(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    expect_ask(&l, FB_STORE_MISS);
    assert_true(fb_store_token_is(l.flow.call.token, two));
    answer(&l, FB_STORE_LEASE, 0);
    assert_int_equal(l.flow.step, FB_FLOW_LOAD);
    fb_load_flow_loaded(&l.flow, FB_OK, FB_STR("new"), false);
    expect_ask(&l, FB_STORE_FILL);
    assert_true(l.flow.call.server == 77 && l.flow.call.put == FB_STORE_PUT_VALUE && l.flow.call.ttl_ms == 9000);
    assert_true(fb_store_token_is(l.flow.call.token, two));
    answer(&l, FB_STORE_PUT, 0);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.keep == FB_KEEP_SHARED && !l.flow.is_copy);
}

static void a_refused_fill_is_for_nobody_else(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    answer(&l, FB_STORE_LEASE, 0);
    fb_load_flow_loaded(&l.flow, FB_OK, FB_STR("new"), false);
    answer(&l, FB_STORE_NOT_MINE, 0);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.keep == FB_KEEP_NOT && l.flow.status == FB_OK);
}

static void a_fill_of_unknown_outcome_is_for_nobody_else(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    answer(&l, FB_STORE_LEASE, 0);
    fb_load_flow_loaded(&l.flow, FB_OK, FB_STR("new"), false);
    l.flow.call.outcome = FB_STORE_UNKNOWN;
    fb_load_flow_answered(&l.flow, one, AT(0));
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.keep == FB_KEEP_NOT);
}

static void during_a_write_nothing_is_kept(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    answer(&l, FB_STORE_BUSY, 0);
    assert_int_equal(l.flow.step, FB_FLOW_LOAD);
    fb_load_flow_loaded(&l.flow, FB_OK, FB_STR("new"), false);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.keep == FB_KEEP_NOT);
}

static void a_store_that_is_silent_costs_the_sharing_only(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    l.flow.call.outcome = FB_STORE_UNKNOWN;
    fb_load_flow_answered(&l.flow, two, AT(0));
    assert_int_equal(l.flow.step, FB_FLOW_LOAD);
    fb_load_flow_loaded(&l.flow, FB_NOTFOUND, FB_STR(""), false);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.keep == FB_KEEP_NOT && l.flow.status == FB_NOTFOUND);
}

static void who_waits_looks_again_when_told_and_loads_when_late(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    answer(&l, FB_STORE_WAIT, 0);
    assert_int_equal(l.flow.step, FB_FLOW_WAIT);
    assert_int_equal(fb_span_ms(fb_since(l.flow.due, AT(0))), FB_FLOW_WAIT_MS);
    fb_load_flow_told(&l.flow);
    expect_ask(&l, FB_STORE_GET);
    answer(&l, FB_STORE_NOTHING, -2);
    answer(&l, FB_STORE_WAIT, 0);
    fb_load_flow_late(&l.flow);
    assert_int_equal(l.flow.step, FB_FLOW_LOAD);
    fb_load_flow_loaded(&l.flow, FB_OK, FB_STR("new"), false);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.keep == FB_KEEP_NOT);
}

/* The FILL it waits for came between its GET and the answer to its MISS. */
static void a_push_before_the_answer_is_not_lost(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    fb_load_flow_told(&l.flow);
    expect_ask(&l, FB_STORE_MISS);
    answer(&l, FB_STORE_WAIT, 0);
    expect_ask(&l, FB_STORE_GET);
}

static void an_absence_is_known_to_all(void **state) {
    struct load l;
    (void)state;
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    answer(&l, FB_STORE_NEG, 0);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.status == FB_NOTFOUND && l.flow.is_copy);
    begin(&l, terms());
    answer(&l, FB_STORE_NOTHING, -2);
    answer(&l, FB_STORE_LEASE, 0);
    fb_load_flow_loaded(&l.flow, FB_NOTFOUND, FB_STR(""), false);
    assert_true(l.flow.call.put == FB_STORE_PUT_NEGATIVE && l.flow.call.ttl_ms == 500);
}

static void a_copy_in_its_grace_stands_in_while_another_loads(void **state) {
    struct load l;
    struct fb_flow_terms t = terms();
    (void)state;
    t.grace_ms = 5000;
    begin(&l, t);
    answer(&l, FB_STORE_HIT, 4000);
    expect_ask(&l, FB_STORE_MISS);
    assert_true(l.flow.call.is_refresh);
    answer(&l, FB_STORE_WAIT, 0);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.is_stale && l.flow.keep == FB_KEEP_NOT);
    fb_buf_free(&l.buf);
    begin(&l, t);
    answer(&l, FB_STORE_HIT, 4000);
    answer(&l, FB_STORE_LEASE, 0);
    fb_load_flow_loaded(&l.flow, FB_DOWN, FB_STR("gone"), true);
    expect_ask(&l, FB_STORE_FILL);
    assert_int_equal(l.flow.call.put, FB_STORE_PUT_NOTHING);
    answer(&l, FB_STORE_DROPPED, 0);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.is_stale && l.flow.status == FB_OK);
    assert_memory_equal(l.buf.data, "old", 3);
    fb_buf_free(&l.buf);
}

static void what_is_distrusted_is_loaded_again(void **state) {
    struct load l;
    struct fb_flow_terms t = terms();
    (void)state;
    t.distrust = AT(-3000);
    begin(&l, t);
    answer(&l, FB_STORE_HIT, 7000); /* three seconds old at most: from before the moment, perhaps */
    expect_ask(&l, FB_STORE_MISS);
    assert_true(l.flow.call.is_refresh && l.buf.len == 0);
    fb_buf_free(&l.buf);
    begin(&l, t);
    answer(&l, FB_STORE_HIT, 7001);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.is_copy);
    fb_buf_free(&l.buf);
}

static void a_refresh_takes_the_lease_from_an_older_question(void **state) {
    struct load l;
    struct fb_flow_terms t = terms();
    (void)state;
    t.why = FB_FLOW_ANEW;
    begin(&l, t);
    expect_ask(&l, FB_STORE_MISS);
    assert_true(l.flow.call.is_refresh);
    answer(&l, FB_STORE_WAIT, 0);
    expect_ask(&l, FB_STORE_INVAL);
    answer(&l, FB_STORE_DROPPED, 0);
    expect_ask(&l, FB_STORE_MISS);
    assert_true(fb_store_token_is(l.flow.call.token, two));
}

static void ahead_of_time_a_younger_copy_will_do(void **state) {
    struct load l;
    struct fb_flow_terms t = terms();
    (void)state;
    t.why = FB_FLOW_AHEAD;
    t.enough_ms = 3000;
    begin(&l, t);
    answer(&l, FB_STORE_HIT, 3000);
    assert_true(l.flow.step == FB_FLOW_OVER && l.flow.is_copy);
    fb_buf_free(&l.buf);
    begin(&l, t);
    answer(&l, FB_STORE_HIT, 2999);
    expect_ask(&l, FB_STORE_MISS);
    answer(&l, FB_STORE_WAIT, 0);
    assert_true(l.flow.step == FB_FLOW_OVER && !l.flow.is_stale && l.flow.is_copy && l.flow.is_put_off && l.flow.life_ms == 2999);
    fb_buf_free(&l.buf);
}

/* ---- writes ---- */

static void start(struct fb_write_flow *w) { fb_write_flow_begin(w, FB_KIND_STRING, FB_STR("k"), one, AT(0)); }

static void a_write_ends_where_it_began(void **state) {
    struct fb_write_flow w;
    (void)state;
    start(&w);
    w.call.outcome = FB_STORE_DONE;
    w.call.server = 5;
    assert_true(fb_write_flow_begun(&w) && w.is_begun);
    fb_write_flow_end(&w, FB_FLOW_END_PUT, FB_STR("v"), 100);
    assert_true(w.call.move == FB_STORE_END && w.call.server == 5 && !w.call.is_unsure);
    assert_int_equal(w.call.put, FB_STORE_PUT_VALUE);
    w.call.outcome = FB_STORE_UNKNOWN;
    assert_false(fb_write_flow_ended(&w));
    assert_true(w.call.is_unsure && !w.is_owed); /* sent again, it only deletes */
    w.call.outcome = FB_STORE_UNKNOWN;
    assert_true(fb_write_flow_ended(&w) && w.is_owed);
}

static void a_begin_sent_twice_makes_the_end_a_delete(void **state) {
    struct fb_write_flow w;
    (void)state;
    start(&w);
    w.call.outcome = FB_STORE_UNKNOWN;
    assert_false(fb_write_flow_begun(&w));
    w.call.outcome = FB_STORE_DONE;
    assert_true(fb_write_flow_begun(&w) && w.is_begun);
    fb_write_flow_end(&w, FB_FLOW_END_PUT, FB_STR("v"), 100);
    assert_true(w.call.is_unsure);
}

static void a_begin_that_never_came_is_owed(void **state) {
    struct fb_write_flow w;
    (void)state;
    start(&w);
    w.call.outcome = FB_STORE_UNSENT;
    assert_false(fb_write_flow_begun(&w));
    w.call.outcome = FB_STORE_UNSENT;
    assert_true(fb_write_flow_begun(&w) && !w.is_begun && w.is_owed);
}

static void in_doubt_the_mark_is_left_to_die(void **state) {
    struct fb_write_flow w;
    (void)state;
    start(&w);
    w.call.outcome = FB_STORE_DONE;
    assert_true(fb_write_flow_begun(&w));
    fb_write_flow_end(&w, FB_FLOW_END_DOUBT, FB_STR(""), 100);
    assert_int_equal(w.call.move, FB_STORE_BEGIN);
    assert_true(fb_store_token_is(w.call.token, one));
}

static void the_source_is_asked_early_in_the_window_only(void **state) {
    struct fb_write_flow w;
    (void)state;
    start(&w);
    w.call.outcome = FB_STORE_DONE;
    assert_true(fb_write_flow_begun(&w));
    assert_true(fb_write_flow_may_store(&w, AT(FB_WRITE_PATIENCE_MS - 1)));
    assert_false(fb_write_flow_may_store(&w, AT(FB_WRITE_PATIENCE_MS)));
    assert_true(FB_WRITE_PATIENCE_MS + FB_WRITE_TIMEOUT_MS < FB_STORE_WINDOW_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_is_a_copy_with_its_own_life),
        cmocka_unit_test(a_lease_ends_with_a_fill),
        cmocka_unit_test(a_refused_fill_is_for_nobody_else),
        cmocka_unit_test(a_fill_of_unknown_outcome_is_for_nobody_else),
        cmocka_unit_test(during_a_write_nothing_is_kept),
        cmocka_unit_test(a_store_that_is_silent_costs_the_sharing_only),
        cmocka_unit_test(who_waits_looks_again_when_told_and_loads_when_late),
        cmocka_unit_test(a_push_before_the_answer_is_not_lost),
        cmocka_unit_test(an_absence_is_known_to_all),
        cmocka_unit_test(a_copy_in_its_grace_stands_in_while_another_loads),
        cmocka_unit_test(what_is_distrusted_is_loaded_again),
        cmocka_unit_test(a_refresh_takes_the_lease_from_an_older_question),
        cmocka_unit_test(ahead_of_time_a_younger_copy_will_do),
        cmocka_unit_test(a_write_ends_where_it_began),
        cmocka_unit_test(a_begin_sent_twice_makes_the_end_a_delete),
        cmocka_unit_test(a_begin_that_never_came_is_owed),
        cmocka_unit_test(in_doubt_the_mark_is_left_to_die),
        cmocka_unit_test(the_source_is_asked_early_in_the_window_only),
    };
    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
