/* The pure functions of policy/, shown as tables over their whole domain: every one of the 65,536 draws, the edges of
 * every range, and the ends of time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policy/policy.h"

enum { DRAWS = 65536 };

static const int64_t ttls[] = {1, 2, 999, 1000, 60000, 3600000, 86400000, FB_TTL_MS_MAX};
static const double jitters[] = {0, 0.001, 0.1, 0.5, FB_JITTER_MAX};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static fb_policy policy_of(int64_t ttl_ms, double jitter, int64_t negative_ttl_ms) {
    return (fb_policy){.ttl_ms = ttl_ms, .jitter = jitter, .negative_ttl_ms = negative_ttl_ms};
}

static void life_is_never_longer_than_the_ttl_and_never_shorter_than_the_jitter_allows(void **state) {
    (void)state;
    for (size_t t = 0; t < COUNT(ttls); t++)
        for (size_t j = 0; j < COUNT(jitters); j++) {
            fb_policy policy = policy_of(ttls[t], jitters[j], 0);
            int64_t ttl = fb_ms(ttls[t]).ns, before = INT64_MAX;
            long double least = (long double)ttl * (1 - (long double)jitters[j]);
            for (unsigned draw = 0; draw < DRAWS; draw++) {
                int64_t life = fb_policy_life(&policy, (uint16_t)draw).ns;
                assert_true(life <= ttl);
                assert_true(life >= FB_NS_PER_MS);
                assert_true((long double)life >= least - 64 || life == FB_NS_PER_MS);
                assert_true(life <= before); /* a larger draw cuts more */
                before = life;
            }
            assert_int_equal(fb_policy_life(&policy, 0).ns, ttl);
        }
}

static void draws_spread_the_lives_evenly(void **state) {
    (void)state;
    fb_policy policy = policy_of(3600000, 0.1, 0);
    long double sum = 0;
    for (unsigned draw = 0; draw < DRAWS; draw++)
        sum += (long double)fb_policy_life(&policy, (uint16_t)draw).ns;
    long double mean = sum / DRAWS / (long double)fb_ms(3600000).ns;
    assert_true(mean > 0.9499L && mean < 0.9501L);
    assert_int_equal(fb_policy_life(&policy, 32768).ns, fb_ms(3420000).ns); /* half the draw, half the jitter */
}

static void life_is_bounded_whatever_the_numbers(void **state) {
    (void)state;
    static const int64_t wild[] = {INT64_MIN, -1, 0, INT64_MAX};
    for (size_t i = 0; i < COUNT(wild); i++) {
        fb_policy policy = policy_of(wild[i], 0.1, wild[i]);
        int64_t life = fb_policy_life(&policy, 65535).ns;
        assert_true(life >= FB_NS_PER_MS && life <= fb_ms(FB_TTL_MS_MAX).ns);
    }
}

static void expiry_counts_from_birth_and_the_cap_only_shortens(void **state) {
    (void)state;
    fb_policy policy = policy_of(1000, 0, 200);
    static const struct {
        fb_kind kind;
        uint32_t cap_ms;
        int64_t lives_ms;
    } rows[] = {
        {FB_KIND_STRING, 0, 1000},    {FB_KIND_STRING, 1, 1},           {FB_KIND_HASH, 999, 999},
        {FB_KIND_HASH, 1000, 1000},   {FB_KIND_STRING, 1001, 1000},     {FB_KIND_STRING, UINT32_MAX, 1000},
        {FB_KIND_NONE, 0, 200},       {FB_KIND_NONE, 100, 100},         {FB_KIND_NONE, 300, 200},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_stamp stamp = {.birth = {12345}, .kind = (uint8_t)rows[i].kind, .cap_ms = rows[i].cap_ms};
        assert_int_equal(fb_policy_expiry(&stamp, &policy).ns, 12345 + fb_ms(rows[i].lives_ms).ns);
    }
}

static void negative_entries_have_no_jitter(void **state) {
    (void)state;
    fb_policy policy = policy_of(1000, FB_JITTER_MAX, 60000);
    for (unsigned draw = 0; draw < DRAWS; draw++) {
        struct fb_stamp stamp = {.kind = FB_KIND_NONE, .draw = (uint16_t)draw};
        assert_int_equal(fb_policy_expiry(&stamp, &policy).ns, fb_ms(60000).ns);
    }
}

static void a_negative_ttl_of_zero_keeps_no_negative_entry(void **state) {
    (void)state;
    fb_policy policy = policy_of(1000, 0, 0);
    struct fb_stamp stamp = {.birth = {77}, .kind = FB_KIND_NONE};
    assert_int_equal(fb_freshness(&stamp, &policy, (fb_instant){77}), FB_VERDICT_EXPIRED);
}

static void an_entry_is_fresh_up_to_the_last_nanosecond_before_its_expiry(void **state) {
    (void)state;
    fb_policy policy = policy_of(1, 0, 1);
    struct fb_stamp stamp = {.birth = {500}, .kind = FB_KIND_STRING};
    int64_t expiry = 500 + FB_NS_PER_MS;
    assert_int_equal(fb_freshness(&stamp, &policy, (fb_instant){expiry - 1}), FB_VERDICT_FRESH);
    assert_int_equal(fb_freshness(&stamp, &policy, (fb_instant){expiry}), FB_VERDICT_EXPIRED);
    assert_int_equal(fb_freshness(&stamp, &policy, (fb_instant){expiry + 1}), FB_VERDICT_EXPIRED);
    assert_int_equal(fb_freshness(&stamp, &policy, FB_NEVER), FB_VERDICT_EXPIRED);
}

static void an_entry_born_after_now_is_fresh(void **state) {
    (void)state;
    fb_policy policy = policy_of(1000, 0, 1000);
    struct fb_stamp stamp = {.birth = {1000}, .kind = FB_KIND_STRING};
    assert_int_equal(fb_freshness(&stamp, &policy, (fb_instant){999}), FB_VERDICT_FRESH);
}

static void a_changed_ttl_counts_at_once(void **state) {
    (void)state;
    fb_policy policy = policy_of(1000, 0, 1000);
    struct fb_stamp stamp = {.birth = {0}, .kind = FB_KIND_STRING};
    fb_instant now = {fb_ms(500).ns};
    assert_int_equal(fb_freshness(&stamp, &policy, now), FB_VERDICT_FRESH);
    policy.ttl_ms = 400;
    assert_int_equal(fb_freshness(&stamp, &policy, now), FB_VERDICT_EXPIRED);
}

static void expiry_saturates_at_the_end_of_time(void **state) {
    (void)state;
    fb_policy policy = policy_of(FB_TTL_MS_MAX, 0, FB_TTL_MS_MAX);
    struct fb_stamp stamp = {.birth = {INT64_MAX - 1}, .kind = FB_KIND_STRING};
    assert_int_equal(fb_policy_expiry(&stamp, &policy).ns, FB_NEVER.ns);
    stamp.birth = FB_NEVER;
    assert_int_equal(fb_policy_expiry(&stamp, &policy).ns, FB_NEVER.ns);
    stamp.birth = (fb_instant){INT64_MIN};
    assert_int_equal(fb_policy_expiry(&stamp, &policy).ns, INT64_MIN + fb_ms(FB_TTL_MS_MAX).ns);
}

static void check_accepts_the_ranges_and_nothing_beyond(void **state) {
    (void)state;
    static const struct {
        fb_policy policy;
        const char *word; /* in the reason; NULL: accepted */
    } rows[] = {
        {FB_POLICY_INIT, NULL},
        {{1, 0, 0}, NULL},
        {{FB_TTL_MS_MAX, FB_JITTER_MAX, FB_TTL_MS_MAX}, NULL},
        {{0, 0, 0}, "ttl "},
        {{-1, 0, 0}, "ttl "},
        {{FB_TTL_MS_MAX + 1, 0, 0}, "ttl "},
        {{1, -0.0001, 0}, "jitter "},
        {{1, 0.9001, 0}, "jitter "},
        {{1, NAN, 0}, "jitter "},
        {{1, INFINITY, 0}, "jitter "},
        {{1, 0, -1}, "negative_ttl "},
        {{1, 0, FB_TTL_MS_MAX + 1}, "negative_ttl "},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_err err = {0};
        fb_status status = fb_policy_check(&rows[i].policy, &err);
        assert_int_equal(status, rows[i].word == NULL ? FB_OK : FB_INVALID);
        assert_int_equal(fb_policy_check(&rows[i].policy, NULL), status);
        if (rows[i].word != NULL)
            assert_ptr_equal(strstr(err.text, rows[i].word), err.text);
    }
}

static void classes_are_found_by_name_and_hold_valid_lives(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t seconds;
    } guide[] = {
        {"session", 1800}, {"rate_limit", 60}, {"realtime", 10},         {"profile", 3600},    {"product", 1800},
        {"api", 300},      {"config", 86400},  {"country_list", 604800}, {"static", 2592000},  {"not_found", 60},
    };
    size_t n = 0;
    for (const struct fb_ttl_class *c = fb_ttl_classes(); c->name != NULL; c++, n++) {
        assert_string_equal(c->name, guide[n].name);
        assert_int_equal(c->ttl_ms, guide[n].seconds * 1000);
        assert_ptr_equal(fb_ttl_class_find(c->name), c);
        fb_policy policy = policy_of(c->ttl_ms, 0, 0);
        assert_int_equal(fb_policy_check(&policy, NULL), FB_OK);
        assert_true(c->meant_for[0] != '\0');
    }
    assert_int_equal(n, COUNT(guide));
    assert_null(fb_ttl_class_find("sessions"));
    assert_null(fb_ttl_class_find(""));
}

static void backoff_doubles_up_to_the_most_and_waits_at_least_half(void **state) {
    (void)state;
    for (unsigned attempt = 0; attempt < 80; attempt++) {
        int64_t full = attempt < 10 ? fb_ms(10).ns << attempt : fb_ms(10000).ns;
        full = full > fb_ms(10000).ns ? fb_ms(10000).ns : full;
        int64_t before = INT64_MAX;
        for (unsigned draw = 0; draw < DRAWS; draw += attempt < 2 ? 1 : 97) {
            int64_t wait = fb_backoff(attempt, fb_ms(10), fb_ms(10000), (uint16_t)draw).ns;
            assert_true(wait >= full / 2 && wait <= full && wait <= before);
            before = wait;
        }
        assert_int_equal(fb_backoff(attempt, fb_ms(10), fb_ms(10000), 0).ns, full);
    }
}

static void backoff_never_overflows_nor_goes_below_zero(void **state) {
    (void)state;
    fb_span ends = {INT64_MAX};
    assert_int_equal(fb_backoff(UINT32_MAX, (fb_span){1}, ends, 0).ns, INT64_MAX);
    assert_int_equal(fb_backoff(UINT32_MAX, ends, ends, 65535).ns > 0, 1);
    assert_int_equal(fb_backoff(UINT32_MAX, (fb_span){0}, ends, 0).ns, 0);
    assert_int_equal(fb_backoff(3, (fb_span){-5}, fb_ms(1), 0).ns, 0);
    assert_int_equal(fb_backoff(3, fb_ms(5), (fb_span){-1}, 0).ns, 0);
    assert_int_equal(fb_backoff(0, fb_ms(5), fb_ms(2), 0).ns, fb_ms(2).ns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life_is_never_longer_than_the_ttl_and_never_shorter_than_the_jitter_allows),
        cmocka_unit_test(draws_spread_the_lives_evenly),
        cmocka_unit_test(life_is_bounded_whatever_the_numbers),
        cmocka_unit_test(expiry_counts_from_birth_and_the_cap_only_shortens),
        cmocka_unit_test(negative_entries_have_no_jitter),
        cmocka_unit_test(a_negative_ttl_of_zero_keeps_no_negative_entry),
        cmocka_unit_test(an_entry_is_fresh_up_to_the_last_nanosecond_before_its_expiry),
        cmocka_unit_test(an_entry_born_after_now_is_fresh),
        cmocka_unit_test(a_changed_ttl_counts_at_once),
        cmocka_unit_test(expiry_saturates_at_the_end_of_time),
        cmocka_unit_test(check_accepts_the_ranges_and_nothing_beyond),
        cmocka_unit_test(classes_are_found_by_name_and_hold_valid_lives),
        cmocka_unit_test(backoff_doubles_up_to_the_most_and_waits_at_least_half),
        cmocka_unit_test(backoff_never_overflows_nor_goes_below_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
