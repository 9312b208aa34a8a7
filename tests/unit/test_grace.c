/* The pure functions behind grace: what may stand in for an answer, and when a source is left in
 * peace. Tables over every boundary, one nanosecond to each side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "policy/breaker.h"
#include "policy/policy.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { BIRTH = 5000 }; /* ns */

/* ---- grace ---- */

static void verdict_changes_at_the_end_of_the_life_of_the_grace_and_of_the_grace_while_down(void **state) {
    (void)state;
    static const struct {
        int64_t ttl_ms, grace_ms, down_ms;
    } rows[] = {{1000, 0, 0},     {1000, 1, 0},    {1000, 500, 0},       {1000, 500, 500},
                {1000, 500, 499}, {1000, 0, 2000}, {1000, 500, 2000},    {1, 1, 2},
                {FB_TTL_MS_MAX, FB_TTL_MS_MAX, 0}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_policy policy = {.ttl_ms = rows[i].ttl_ms, .grace_ms = rows[i].grace_ms, .grace_down_ms = rows[i].down_ms};
        int64_t life = BIRTH + fb_ms(rows[i].ttl_ms).ns, grace = life + fb_ms(rows[i].grace_ms).ns;
        int64_t down = life + fb_ms(rows[i].down_ms > rows[i].grace_ms ? rows[i].down_ms : rows[i].grace_ms).ns;
        const int64_t ends[] = {life, grace, down};
        for (size_t e = 0; e < COUNT(ends); e++)
            for (int64_t off = -1; off <= 1; off++)
                for (unsigned was_told = 0; was_told < 2; was_told++) {
                    struct fb_stamp stamp = {.birth = {BIRTH}, .kind = FB_KIND_HASH};
                    fb_instant now = {ends[e] + off};
                    enum fb_verdict want = now.ns < life    ? FB_VERDICT_FRESH
                                           : now.ns < grace ? FB_VERDICT_STALE
                                           : now.ns < down  ? FB_VERDICT_STALE_DOWN
                                                            : FB_VERDICT_EXPIRED;
                    if (was_told && now.ns < life)
                        continue;
                    if (was_told)
                        fb_stamp_let_go(&stamp, now);
                    assert_int_equal(fb_grace(&stamp, &policy, now), want);
                    assert_int_equal(fb_freshness(&stamp, &policy, now) == FB_VERDICT_FRESH, want == FB_VERDICT_FRESH);
                }
    }
}

static void grace_counts_from_the_end_of_the_entrys_own_life(void **state) {
    (void)state;
    fb_policy policy = {.ttl_ms = 1000, .jitter = 0.5, .grace_ms = 100};
    struct fb_stamp stamp = {.kind = FB_KIND_STRING, .draw = 32768};
    int64_t life = fb_policy_life(&policy, stamp.draw).ns;
    assert_int_equal(life, fb_ms(750).ns);
    assert_int_equal(fb_grace(&stamp, &policy, (fb_instant){life}), FB_VERDICT_STALE);
    assert_int_equal(fb_grace(&stamp, &policy, (fb_instant){life + fb_ms(100).ns - 1}), FB_VERDICT_STALE);
    assert_int_equal(fb_grace(&stamp, &policy, (fb_instant){life + fb_ms(100).ns}), FB_VERDICT_EXPIRED);
}

static void absences_and_lives_that_a_client_gave_have_no_grace(void **state) {
    (void)state;
    fb_policy policy = {.ttl_ms = 1000, .negative_ttl_ms = 1000, .grace_ms = 60000, .grace_down_ms = 60000};
    struct fb_stamp absent = {.kind = FB_KIND_NONE}, shortened = {.kind = FB_KIND_STRING, .cap_ms = 500};
    assert_int_equal(fb_grace(&absent, &policy, (fb_instant){fb_ms(1000).ns - 1}), FB_VERDICT_FRESH);
    assert_int_equal(fb_grace(&absent, &policy, (fb_instant){fb_ms(1000).ns}), FB_VERDICT_EXPIRED);
    assert_int_equal(fb_grace(&shortened, &policy, (fb_instant){fb_ms(500).ns - 1}), FB_VERDICT_FRESH);
    assert_int_equal(fb_grace(&shortened, &policy, (fb_instant){fb_ms(500).ns}), FB_VERDICT_EXPIRED);
}

static void what_was_let_go_is_never_fresh_again(void **state) {
    (void)state;
    fb_policy policy = {.ttl_ms = 1000, .grace_ms = 1000};
    struct fb_stamp stamp = {.birth = {BIRTH}, .kind = FB_KIND_STRING};
    fb_stamp_let_go(&stamp, (fb_instant){BIRTH + fb_ms(1000).ns});
    policy.ttl_ms = 3600000; /* somebody gives the keyspace a longer life */
    assert_int_equal(fb_grace(&stamp, &policy, (fb_instant){BIRTH + fb_ms(1001).ns}), FB_VERDICT_STALE);
    assert_int_equal(fb_freshness(&stamp, &policy, (fb_instant){BIRTH + 1}), FB_VERDICT_EXPIRED);
}

static void a_retry_waits_for_its_age(void **state) {
    (void)state;
    struct fb_stamp stamp = {.birth = {BIRTH}, .kind = FB_KIND_STRING};
    assert_true(fb_stamp_may_retry(&stamp, (fb_instant){BIRTH}));
    static const int64_t ages_ms[] = {1, 2, 1000, UINT32_MAX};
    for (size_t i = 0; i < COUNT(ages_ms); i++) {
        fb_instant until = {BIRTH + fb_ms(ages_ms[i]).ns};
        fb_stamp_let_go(&stamp, until);
        assert_false(fb_stamp_may_retry(&stamp, (fb_instant){until.ns - 1}));
        assert_true(fb_stamp_may_retry(&stamp, until));
    }
    /* Below and above what a stamp can say: a millisecond, and not at all. */
    fb_stamp_let_go(&stamp, (fb_instant){0});
    assert_int_equal(stamp.cap_ms, 1);
    fb_stamp_let_go(&stamp, (fb_instant){fb_ms(FB_TTL_MS_MAX).ns});
    assert_int_equal(stamp.cap_ms, UINT32_MAX);
    assert_true(fb_stamp_may_retry(&stamp, (fb_instant){fb_ms(FB_TTL_MS_MAX).ns - 1}));
}

static void check_knows_the_ranges_of_grace(void **state) {
    (void)state;
    static const struct {
        int64_t grace_ms, down_ms;
        const char *word; /* NULL: accepted */
    } rows[] = {{0, 0, NULL},  {1, 0, NULL},           {FB_TTL_MS_MAX, FB_TTL_MS_MAX, NULL},
                {-1, 0, "grace "}, {FB_TTL_MS_MAX + 1, 0, "grace "}, {0, -1, "grace_down "},
                {0, FB_TTL_MS_MAX + 1, "grace_down "}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_policy policy = {.ttl_ms = 1, .grace_ms = rows[i].grace_ms, .grace_down_ms = rows[i].down_ms};
        fb_err err = {0};
        assert_int_equal(fb_policy_check(&policy, &err), rows[i].word == NULL ? FB_OK : FB_INVALID);
        if (rows[i].word != NULL)
            assert_ptr_equal(strstr(err.text, rows[i].word), err.text);
    }
}

/* ---- the breaker ---- */

static const struct fb_breaker_rules rules = {
    .failures = 3,
    .window = {10000 * FB_NS_PER_MS},
    .slow = {500 * FB_NS_PER_MS},
    .pause_first = {100 * FB_NS_PER_MS},
    .pause_most = {400 * FB_NS_PER_MS},
    .probe_max = {1000 * FB_NS_PER_MS},
};

static fb_instant at(int64_t ms) { return (fb_instant){fb_ms(ms).ns}; }

static void trip(struct fb_breaker *b, int64_t ms, bool is_bad) {
    assert_int_equal(fb_breaker_ask(b, &rules, at(ms)), FB_BREAKER_GO);
    fb_breaker_tell(b, &rules, /* is_probe = */ false, is_bad, fb_ms(1), at(ms), /* draw = */ 0);
}

static struct fb_breaker opened(int64_t ms) {
    struct fb_breaker b;
    fb_breaker_init(&b);
    for (int i = 0; i < 3; i++)
        trip(&b, ms, true);
    assert_int_equal(b.state, FB_BREAKER_OPEN);
    return b;
}

static void it_opens_at_the_number_of_failures_and_not_before(void **state) {
    (void)state;
    struct fb_breaker b;
    fb_breaker_init(&b);
    trip(&b, 0, true);
    trip(&b, 0, true);
    assert_int_equal(b.state, FB_BREAKER_CLOSED);
    trip(&b, 0, true);
    assert_int_equal(b.state, FB_BREAKER_OPEN);
    assert_int_equal(b.opens, 1);
    assert_int_equal(fb_breaker_ask(&b, &rules, at(0)), FB_BREAKER_STOP);
}

static void it_stays_closed_while_more_than_half_is_good(void **state) {
    (void)state;
    for (int good = 0; good <= 8; good++) {
        struct fb_breaker b;
        fb_breaker_init(&b);
        for (int i = 0; i < good; i++)
            trip(&b, 0, false);
        for (int i = 0; i < 3; i++)
            trip(&b, 0, true);
        assert_int_equal(b.state, good <= 3 ? FB_BREAKER_OPEN : FB_BREAKER_CLOSED);
    }
}

static void failures_are_forgotten_when_the_window_has_passed_them(void **state) {
    (void)state;
    static const struct {
        int64_t ms; /* of the third failure; the first two are at 0 */
        enum fb_breaker_state state;
    } rows[] = {{9999, FB_BREAKER_OPEN}, {10000, FB_BREAKER_CLOSED}, {10001, FB_BREAKER_CLOSED},
                {1000000, FB_BREAKER_CLOSED}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_breaker b;
        fb_breaker_init(&b);
        trip(&b, 0, true);
        trip(&b, 0, true);
        trip(&b, rows[i].ms, true);
        assert_int_equal(b.state, rows[i].state);
    }
}

static void a_slow_trip_is_a_bad_one(void **state) {
    (void)state;
    static const struct {
        int64_t took_ns;
        bool is_bad;
    } rows[] = {{500 * FB_NS_PER_MS - 1, false}, {500 * FB_NS_PER_MS, true}, {INT64_MAX, true}, {0, false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_breaker b;
        fb_breaker_init(&b);
        for (int n = 0; n < 3; n++)
            fb_breaker_tell(&b, &rules, false, false, (fb_span){rows[i].took_ns}, at(0), 0);
        assert_int_equal(b.state, rows[i].is_bad ? FB_BREAKER_OPEN : FB_BREAKER_CLOSED);
    }
    struct fb_breaker_rules patient = rules;
    struct fb_breaker b;
    patient.slow = (fb_span){0};
    fb_breaker_init(&b);
    for (int n = 0; n < 9; n++)
        fb_breaker_tell(&b, &patient, false, false, (fb_span){INT64_MAX}, at(0), 0);
    assert_int_equal(b.state, FB_BREAKER_CLOSED);
}

static void after_its_pause_one_trip_is_let_through(void **state) {
    (void)state;
    struct fb_breaker b = opened(0);
    assert_int_equal(fb_breaker_wait(&b, at(0)).ns, fb_ms(100).ns);
    assert_true(fb_breaker_stops(&b, &rules, (fb_instant){at(100).ns - 1}));
    assert_int_equal(fb_breaker_ask(&b, &rules, (fb_instant){at(100).ns - 1}), FB_BREAKER_STOP);
    assert_false(fb_breaker_stops(&b, &rules, at(100))); /* asking this takes nothing */
    assert_int_equal(b.state, FB_BREAKER_OPEN);
    assert_int_equal(fb_breaker_ask(&b, &rules, at(100)), FB_BREAKER_PROBE);
    assert_int_equal(b.state, FB_BREAKER_HALF_OPEN);
    assert_int_equal(fb_breaker_ask(&b, &rules, at(100)), FB_BREAKER_STOP);
    assert_int_equal(fb_breaker_ask(&b, &rules, (fb_instant){at(1100).ns - 1}), FB_BREAKER_STOP);
    assert_int_equal(fb_breaker_ask(&b, &rules, at(1100)), FB_BREAKER_PROBE); /* the first is lost */
}

static void a_good_probe_closes_it_with_a_clean_slate(void **state) {
    (void)state;
    struct fb_breaker b = opened(0);
    assert_int_equal(fb_breaker_ask(&b, &rules, at(100)), FB_BREAKER_PROBE);
    fb_breaker_tell(&b, &rules, true, false, fb_ms(1), at(101), 0);
    assert_int_equal(b.state, FB_BREAKER_CLOSED);
    assert_int_equal(b.opens, 1);
    trip(&b, 101, true);
    trip(&b, 101, true);
    assert_int_equal(b.state, FB_BREAKER_CLOSED);
    trip(&b, 101, true);
    assert_int_equal(b.opens, 2);
    assert_int_equal(fb_breaker_wait(&b, at(101)).ns, fb_ms(100).ns); /* the pauses begin anew */
}

static void pauses_double_up_to_the_most_with_jitter_downwards(void **state) {
    (void)state;
    static const int64_t pauses_ms[] = {100, 200, 400, 400, 400};
    for (unsigned draw = 0; draw <= UINT16_MAX; draw += UINT16_MAX) {
        struct fb_breaker b;
        int64_t now = 0;
        fb_breaker_init(&b);
        for (size_t i = 0; i < COUNT(pauses_ms); i++) {
            if (i == 0) {
                for (int n = 0; n < 3; n++)
                    fb_breaker_tell(&b, &rules, false, true, fb_ms(1), at(0), (uint16_t)draw);
            } else {
                assert_int_equal(fb_breaker_ask(&b, &rules, (fb_instant){now}), FB_BREAKER_PROBE);
                fb_breaker_tell(&b, &rules, true, true, fb_ms(1), (fb_instant){now}, (uint16_t)draw);
            }
            int64_t wait = fb_breaker_wait(&b, (fb_instant){now}).ns, full = fb_ms(pauses_ms[i]).ns;
            assert_true(draw == 0 ? wait == full : wait >= full / 2 && wait < full / 2 + full / 1000);
            now += wait;
        }
        assert_int_equal(b.opens, 1); /* one time, however often it is tried */
    }
}

static void what_comes_home_while_it_is_open_changes_nothing(void **state) {
    (void)state;
    for (int is_bad = 0; is_bad < 2; is_bad++) {
        struct fb_breaker b = opened(0), before = b;
        fb_breaker_tell(&b, &rules, false, is_bad, fb_ms(1), at(50), 0);
        assert_memory_equal(&b, &before, sizeof b);
        assert_int_equal(fb_breaker_ask(&b, &rules, at(100)), FB_BREAKER_PROBE);
        before = b;
        fb_breaker_tell(&b, &rules, false, is_bad, fb_ms(1), at(150), 0);
        assert_memory_equal(&b, &before, sizeof b);
    }
}

static void a_lost_probe_that_comes_home_late_decides_nothing_any_more(void **state) {
    (void)state;
    struct fb_breaker b = opened(0);
    (void)fb_breaker_ask(&b, &rules, at(100));
    (void)fb_breaker_ask(&b, &rules, at(1100));
    fb_breaker_tell(&b, &rules, true, false, fb_ms(1), at(1101), 0);
    assert_int_equal(b.state, FB_BREAKER_CLOSED);
    fb_breaker_tell(&b, &rules, true, true, fb_ms(1), at(1102), 0); /* the first one: one failure of three */
    assert_int_equal(b.state, FB_BREAKER_CLOSED);
}

static void without_a_number_of_failures_it_never_opens(void **state) {
    (void)state;
    struct fb_breaker_rules off = rules;
    struct fb_breaker b = opened(0);
    off.failures = 0;
    assert_false(fb_breaker_stops(&b, &off, at(0)));
    assert_int_equal(fb_breaker_ask(&b, &off, at(0)), FB_BREAKER_GO); /* also when it is switched off while open */
    for (int i = 0; i < 100; i++)
        fb_breaker_tell(&b, &off, false, true, fb_ms(1), at(0), 0);
    assert_int_equal(b.state, FB_BREAKER_CLOSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdict_changes_at_the_end_of_the_life_of_the_grace_and_of_the_grace_while_down),
        cmocka_unit_test(grace_counts_from_the_end_of_the_entrys_own_life),
        cmocka_unit_test(absences_and_lives_that_a_client_gave_have_no_grace),
        cmocka_unit_test(what_was_let_go_is_never_fresh_again),
        cmocka_unit_test(a_retry_waits_for_its_age),
        cmocka_unit_test(check_knows_the_ranges_of_grace),
        cmocka_unit_test(it_opens_at_the_number_of_failures_and_not_before),
        cmocka_unit_test(it_stays_closed_while_more_than_half_is_good),
        cmocka_unit_test(failures_are_forgotten_when_the_window_has_passed_them),
        cmocka_unit_test(a_slow_trip_is_a_bad_one),
        cmocka_unit_test(after_its_pause_one_trip_is_let_through),
        cmocka_unit_test(a_good_probe_closes_it_with_a_clean_slate),
        cmocka_unit_test(pauses_double_up_to_the_most_with_jitter_downwards),
        cmocka_unit_test(what_comes_home_while_it_is_open_changes_nothing),
        cmocka_unit_test(a_lost_probe_that_comes_home_late_decides_nothing_any_more),
        cmocka_unit_test(without_a_number_of_failures_it_never_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
