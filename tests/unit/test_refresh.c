/* When a copy is loaded anew while it is good: refresh-ahead over every draw, XFetch against its own formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "policy/policy.h"

enum { DRAWS = 65536 };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const fb_policy ahead = {.ttl_ms = 1000, .jitter = 0.1, .negative_ttl_ms = 1000, .refresh_ahead = 0.8};

static struct fb_stamp value_with(uint16_t draw) { return (struct fb_stamp){.kind = FB_KIND_STRING, .draw = draw}; }

static fb_instant at(double ms) { return (fb_instant){(int64_t)(ms * 1e6)}; }

static void the_refresh_point_is_never_later_than_its_share_and_at_most_a_tenth_sooner(void **state) {
    (void)state;
    for (unsigned draw = 0; draw < DRAWS; draw++) {
        struct fb_stamp stamp = value_with((uint16_t)draw);
        double life = (double)fb_policy_life(&ahead, stamp.draw).ns, point = (double)fb_refresh_point(&stamp, &ahead).ns;
        assert_true(point <= life * 0.8);
        assert_true(point >= life * 0.8 * 0.9 - 2);
    }
    assert_int_equal(fb_refresh_point(&(struct fb_stamp){.kind = FB_KIND_STRING}, &ahead).ns, fb_ms(800).ns);
}

static void without_jitter_refresh_points_are_spread_all_the_same(void **state) {
    (void)state;
    fb_policy policy = ahead;
    unsigned tenths[10] = {0};
    policy.jitter = 0;
    for (unsigned draw = 0; draw < DRAWS; draw++) {
        struct fb_stamp stamp = value_with((uint16_t)draw);
        int64_t early = fb_ms(800).ns - fb_refresh_point(&stamp, &policy).ns;
        tenths[early * 10 / (fb_ms(80).ns + 1)]++;
    }
    for (unsigned i = 0; i < 10; i++)
        assert_true(tenths[i] > DRAWS / 11 && tenths[i] < DRAWS / 9);
}

static void a_hit_is_fresh_then_ripe_then_over_and_ripe_is_due(void **state) {
    (void)state;
    struct fb_stamp stamp = value_with(0);
    static const struct { double ms; enum fb_verdict verdict; enum fb_due due; } rows[] = {
        {0, FB_VERDICT_FRESH, FB_DUE_NOT},         {799.999, FB_VERDICT_FRESH, FB_DUE_NOT},
        {800, FB_VERDICT_RIPE, FB_DUE_AHEAD},      {999.999, FB_VERDICT_RIPE, FB_DUE_AHEAD},
        {1000, FB_VERDICT_EXPIRED, FB_DUE_NOT},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(fb_ripeness(&stamp, &ahead, at(rows[i].ms)), rows[i].verdict);
        assert_int_equal(fb_refresh_due(&stamp, &ahead, at(rows[i].ms), 0), rows[i].due);
    }
}

static void without_the_settings_nothing_is_ever_ripe(void **state) {
    (void)state;
    fb_policy policy = {.ttl_ms = 1000, .jitter = 0.1, .negative_ttl_ms = 1000};
    struct fb_stamp stamp = value_with(77);
    stamp.cost_us = UINT32_MAX;
    for (double ms = 0; ms < 1000; ms += 0.5) {
        enum fb_verdict verdict = fb_ripeness(&stamp, &policy, at(ms));
        assert_int_equal(verdict, fb_freshness(&stamp, &policy, at(ms)));
        assert_int_equal(fb_refresh_due(&stamp, &policy, at(ms), 0), FB_DUE_NOT);
    }
}

static void absences_shortened_lives_and_stale_values_are_never_due(void **state) {
    (void)state;
    fb_policy policy = ahead;
    policy.early_refresh = 100;
    policy.grace_ms = 60000;
    struct fb_stamp stamps[] = {
        {.kind = FB_KIND_NONE, .cost_us = 1000000},
        {.kind = FB_KIND_STRING, .cost_us = 1000000, .cap_ms = 950},
        {.kind = FB_KIND_STRING, .cost_us = 1000000, .cap_ms = 5000}, /* the client's word, whatever it comes to */
        {.kind = FB_KIND_STRING, .cost_us = 1000000, .cap_ms = 1, .is_stale = true},
    };
    for (size_t i = 0; i < COUNT(stamps); i++)
        for (double ms = 0; ms < 1100; ms += 10) {
            assert_int_not_equal(fb_ripeness(&stamps[i], &policy, at(ms)), FB_VERDICT_RIPE);
            assert_int_equal(fb_refresh_due(&stamps[i], &policy, at(ms), 0), FB_DUE_NOT);
        }
}

static void a_copy_of_the_store_is_refreshed_though_the_store_bounds_its_life(void **state) {
    (void)state;
    struct fb_stamp stamp = {.kind = FB_KIND_STRING, .birth = {1}, .cap_ms = 950, .is_shared = true};
    fb_policy policy = ahead;
    policy.ttl_ms = 1000;
    assert_int_equal(fb_policy_expiry(&stamp, &policy).ns, fb_ms(950).ns + 1);
    assert_int_equal(fb_ripeness(&stamp, &policy, at(710)), FB_VERDICT_FRESH);
    assert_int_equal(fb_ripeness(&stamp, &policy, at(810)), FB_VERDICT_RIPE);
    assert_int_equal(fb_refresh_due(&stamp, &policy, at(810), 0), FB_DUE_AHEAD);
    unsigned soon = 0;
    for (int64_t birth = 0; birth < 1000; birth++) { /* each process has its own, and so its own refresh point */
        stamp.birth.ns = birth * 1001;
        soon += fb_since(fb_refresh_point(&stamp, &policy), stamp.birth).ns < fb_ms(760).ns;
    }
    assert_true(soon > 400 && soon < 600);
    policy = (fb_policy){.ttl_ms = 3600000, .early_refresh = 1}; /* the copy is over soon, what lies there is not */
    stamp = (struct fb_stamp){.kind = FB_KIND_STRING, .cap_ms = 60000, .cost_us = 1000000, .is_shared = true};
    assert_int_equal(fb_ripeness(&stamp, &policy, at(59999)), FB_VERDICT_FRESH);
    assert_int_equal(fb_refresh_due(&stamp, &policy, at(59999), 0), FB_DUE_NOT);
    assert_int_equal(fb_refresh_left(&stamp, &policy, at(59999)).ns, fb_ms(3540001).ns);
    stamp.cap_ms = 3600000;
    assert_int_equal(fb_refresh_due(&stamp, &policy, at(3599999), 0), FB_DUE_EARLY);
}

/* How many of all draws say so: they do up to the first that does not. */
static double share_of_draws(const struct fb_stamp *stamp, const fb_policy *policy, fb_instant now) {
    uint64_t low = 0, high = UINT64_C(1) << 32;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (fb_refresh_due(stamp, policy, now, (uint32_t)middle) == FB_DUE_EARLY)
            low = middle + 1;
        else
            high = middle;
    }
    return (double)low / 4294967296.0;
}

static void xfetch_fires_with_the_probability_of_its_authors(void **state) {
    (void)state;
    fb_policy policy = {.ttl_ms = 60000, .early_refresh = 1};
    struct fb_stamp stamp = value_with(0);
    stamp.cost_us = 400000;
    static const struct { double left_s, probability; } rows[] = {
        {10, 0}, {2, 0.0067379}, {0.4, 0.3678794}, {0.1, 0.7788008}, {0.001, 0.9975031},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_true(fabs(share_of_draws(&stamp, &policy, at(60000 - rows[i].left_s * 1000)) - rows[i].probability) < 1e-6);
    for (double beta = 0.25; beta <= 100; beta *= 2)
        for (double left_ms = 1; left_ms < 60000; left_ms *= 3) {
            policy.early_refresh = beta;
            double wanted = exp(-left_ms / (400 * beta)), is = share_of_draws(&stamp, &policy, at(60000 - left_ms));
            assert_true(fabs(is - wanted) < 1e-6);
        }
}

static void what_xfetch_may_choose_is_ripe(void **state) {
    (void)state;
    fb_policy policy = {.ttl_ms = 60000, .early_refresh = 1};
    struct fb_stamp stamp = value_with(0);
    stamp.cost_us = 400000;
    bool was_ripe = false;
    for (double ms = 0; ms < 60000; ms += 7) {
        bool is_ripe = fb_ripeness(&stamp, &policy, at(ms)) == FB_VERDICT_RIPE;
        assert_true(is_ripe || share_of_draws(&stamp, &policy, at(ms)) == 0);
        assert_true(is_ripe || !was_ripe);
        was_ripe = is_ripe;
    }
    assert_true(was_ripe);
    assert_int_equal(fb_ripeness(&stamp, &policy, at(51000)), FB_VERDICT_FRESH); /* 9 s left: no draw is that small */
}

static void xfetch_measures_the_load_and_not_the_age(void **state) {
    (void)state;
    fb_policy policy = {.ttl_ms = 60000, .early_refresh = 1};
    struct fb_stamp quick = value_with(0), written = value_with(0);
    quick.cost_us = 100;
    assert_true(share_of_draws(&quick, &policy, at(59990)) < 1e-9); /* 10 ms left, a load of 0.1 ms */
    assert_true(share_of_draws(&quick, &policy, at(59999.9)) > 0.3);
    assert_int_equal(fb_refresh_due(&written, &policy, at(59999.9), 0), FB_DUE_NOT); /* no load is known */
}

static void a_failure_puts_the_next_off_but_not_past_half_of_what_is_left(void **state) {
    (void)state;
    static const int64_t lives_ms[] = {10, 1000, 60000, 3600000, 86400000, FB_TTL_MS_MAX};
    for (size_t i = 0; i < COUNT(lives_ms); i++)
        for (unsigned draw = 0; draw < DRAWS; draw += 4369) {
            fb_policy policy = {.ttl_ms = lives_ms[i], .refresh_ahead = 0.5};
            int64_t life = fb_ms(lives_ms[i]).ns, grain = life / 65536 + 1;
            struct fb_stamp stamp = value_with(0);
            fb_instant now = {life / 2};
            for (unsigned tries = 0; tries < 12; tries++) {
                int64_t left = life - now.ns, low = now.ns, high = life;
                fb_stamp_put_off(&stamp, &policy, now, (uint16_t)draw);
                assert_int_equal(fb_policy_expiry(&stamp, &policy).ns, life); /* as it was */
                while (low < high) { /* when it is due again */
                    int64_t middle = low + (high - low) / 2;
                    if (fb_refresh_due(&stamp, &policy, (fb_instant){middle}, 0) == FB_DUE_NOT)
                        low = middle + 1;
                    else
                        high = middle;
                }
                int64_t pause = low - now.ns;
                assert_true(pause > 0 && pause <= left / 2 + grain && pause <= fb_ms(60000).ns + grain);
                assert_true(pause >= fb_ms(500).ns || pause >= left / 2 - 1);
                if (low >= life)
                    break;
                now.ns = low;
            }
        }
}

static void a_failure_changes_nothing_where_nothing_is_refreshed(void **state) {
    (void)state;
    fb_policy off = {.ttl_ms = 1000, .negative_ttl_ms = 1000};
    const struct { struct fb_stamp stamp; const fb_policy *policy; } rows[] = {
        {{.kind = FB_KIND_STRING}, &off},
        {{.kind = FB_KIND_STRING, .cap_ms = 900}, &ahead},
        {{.kind = FB_KIND_NONE}, &ahead},
        {{.kind = FB_KIND_STRING, .cap_ms = 7, .is_stale = true}, &ahead},
        {{.kind = FB_KIND_STRING, .birth = {-2000000000}}, &ahead},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_stamp stamp = rows[i].stamp;
        fb_stamp_put_off(&stamp, rows[i].policy, at(100), 0);
        assert_int_equal(stamp.cap_ms, rows[i].stamp.cap_ms);
        assert_int_equal(stamp.retry, 0);
    }
}

static void what_has_failed_and_outlives_its_life_has_its_grace(void **state) {
    (void)state;
    fb_policy policy = ahead;
    policy.grace_ms = 500;
    struct fb_stamp stamp = value_with(0);
    fb_stamp_put_off(&stamp, &policy, at(850), 0);
    assert_int_equal(fb_grace(&stamp, &policy, at(1200)), FB_VERDICT_STALE);
    fb_stamp_let_go(&stamp, at(1000));
    assert_int_equal(stamp.retry, 0);
    assert_int_equal(fb_grace(&stamp, &policy, at(1499)), FB_VERDICT_STALE);
    assert_int_equal(fb_grace(&stamp, &policy, at(1500)), FB_VERDICT_EXPIRED);
}

static void check_accepts_the_ranges_and_nothing_beyond(void **state) {
    (void)state;
    static const struct { double ahead, early; const char *word; } rows[] = {
        {0, 0, NULL}, {0.99, 100, NULL}, {0.01, 0.01, NULL},
        {1, 0, "refresh_ahead "}, {-0.1, 0, "refresh_ahead "}, {NAN, 0, "refresh_ahead "},
        {0, -0.1, "early_refresh "}, {0, 100.1, "early_refresh "}, {0, NAN, "early_refresh "}, {0, INFINITY, "early_refresh "},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_policy policy = {.ttl_ms = 1, .refresh_ahead = rows[i].ahead, .early_refresh = rows[i].early};
        fb_err err = {0};
        assert_int_equal(fb_policy_check(&policy, &err), rows[i].word == NULL ? FB_OK : FB_INVALID);
        if (rows[i].word != NULL)
            assert_ptr_equal(strstr(err.text, rows[i].word), err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_refresh_point_is_never_later_than_its_share_and_at_most_a_tenth_sooner),
        cmocka_unit_test(without_jitter_refresh_points_are_spread_all_the_same),
        cmocka_unit_test(a_hit_is_fresh_then_ripe_then_over_and_ripe_is_due),
        cmocka_unit_test(without_the_settings_nothing_is_ever_ripe),
        cmocka_unit_test(absences_shortened_lives_and_stale_values_are_never_due),
        cmocka_unit_test(a_copy_of_the_store_is_refreshed_though_the_store_bounds_its_life),
        cmocka_unit_test(xfetch_fires_with_the_probability_of_its_authors),
        cmocka_unit_test(what_xfetch_may_choose_is_ripe),
        cmocka_unit_test(xfetch_measures_the_load_and_not_the_age),
        cmocka_unit_test(a_failure_puts_the_next_off_but_not_past_half_of_what_is_left),
        cmocka_unit_test(a_failure_changes_nothing_where_nothing_is_refreshed),
        cmocka_unit_test(what_has_failed_and_outlives_its_life_has_its_grace),
        cmocka_unit_test(check_accepts_the_ranges_and_nothing_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
