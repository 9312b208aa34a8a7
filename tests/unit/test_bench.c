/* Shows that the instruments of `forebay bench` measure right: the histogram against a sorted list, the Zipf generator
 * against the law itself, the reply counter on streams cut at every place, key ranges at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "cli/bench_draw.h"
#include "base/hist.h"
#include "cli/bench_load.h"
#include "cli/bench_reply.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- histogram ---- */

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_are_within_one_percent_of_the_sorted_list(void **state) {
    enum { N = 50000 };
    static struct fb_hist h;
    static int64_t values[N];
    static const double qs[] = {0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    struct fb_rng rng = {11};
    (void)state;
    memset(&h, 0, sizeof h);
    for (int i = 0; i < N; i++) {
        values[i] = (int64_t)(fb_rng_next(&rng) >> (24 + fb_rng_below(&rng, 40))); /* 0 .. 2^40, every magnitude */
        fb_hist_add(&h, (fb_span){values[i]}, 1);
    }
    qsort(values, N, sizeof values[0], by_value);
    for (size_t i = 0; i < COUNT(qs); i++) {
        int64_t rank = (int64_t)ceil(qs[i] * N), exact = values[rank > 0 ? rank - 1 : 0];
        int64_t got = fb_hist_quantile(&h, qs[i]).ns;
        assert_true(got >= exact);
        assert_true((double)got <= (double)exact * (1 + 1.0 / 128) + 1);
    }
}

static void lengths_below_256_ns_are_exact(void **state) {
    (void)state;
    for (int64_t v = 0; v < 256; v++) {
        static struct fb_hist h;
        memset(&h, 0, sizeof h);
        fb_hist_add(&h, (fb_span){v}, 1);
        fb_hist_add(&h, (fb_span){100000}, 9);
        assert_int_equal(fb_hist_quantile(&h, 0.1).ns, v);
    }
}

static void merging_is_counting_both(void **state) {
    static struct fb_hist both, a, b;
    struct fb_rng rng = {5};
    (void)state;
    memset(&both, 0, sizeof both);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    for (int i = 0; i < 1000; i++) {
        fb_span v = {(int64_t)fb_rng_below(&rng, 1000000)};
        fb_hist_add(&both, v, 1);
        fb_hist_add(i % 3 == 0 ? &a : &b, v, 1);
    }
    fb_hist_merge(&a, &b);
    assert_memory_equal(&a, &both, sizeof a);
}

static void odd_lengths_do_no_harm(void **state) {
    static struct fb_hist h;
    (void)state;
    memset(&h, 0, sizeof h);
    assert_int_equal(fb_hist_quantile(&h, 0.5).ns, 0);
    assert_int_equal(fb_hist_mean(&h).ns, 0);
    fb_hist_add(&h, (fb_span){-5}, 1); /* a clock that went backwards */
    assert_int_equal(fb_hist_quantile(&h, 1).ns, 0);
    fb_hist_add(&h, (fb_span){INT64_MAX / 4}, 1);
    assert_int_equal(fb_hist_quantile(&h, 1).ns, INT64_MAX / 4);
}

/* ---- draws ---- */

static void zipf_draws_follow_the_law(void **state) {
    enum { KEYS = 1000, DRAWS = 400000 };
    static const double exponents[] = {0.5, 0.99, 1, 1.5};
    (void)state;
    for (size_t e = 0; e < COUNT(exponents); e++) {
        static unsigned seen[KEYS];
        struct fb_draw draw;
        struct fb_rng rng = {3};
        double sum = 0, worst = 0;
        memset(seen, 0, sizeof seen);
        fb_draw_init(&draw, KEYS, exponents[e]);
        for (int i = 0; i < DRAWS; i++)
            seen[fb_draw_next(&draw, &rng)]++;
        for (int k = 1; k <= KEYS; k++)
            sum += pow(k, -exponents[e]);
        for (uint64_t k = 1; k <= KEYS; k++) { /* rank k lies at k × stride */
            double expected = DRAWS * pow((double)k, -exponents[e]) / sum;
            double off = fabs(seen[k * draw.stride % KEYS] - expected) / sqrt(expected);
            worst = off > worst ? off : worst;
        }
        assert_true(worst < 5); /* standard deviations; 1,000 ranks reach 4 in about one run of 16 */
    }
}

static void every_key_can_be_drawn_and_no_other(void **state) {
    static const uint64_t sizes[] = {1, 2, 3, 10, 15, 97};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int is_zipf = 0; is_zipf <= 1; is_zipf++) {
            bool seen[97] = {false};
            struct fb_draw draw;
            struct fb_rng rng = {1};
            fb_draw_init(&draw, sizes[i], is_zipf ? 0.99 : 0);
            for (int n = 0; n < 20000; n++) {
                uint64_t key = fb_draw_next(&draw, &rng);
                assert_true(key < sizes[i]);
                seen[key] = true;
            }
            for (uint64_t k = 0; k < sizes[i]; k++)
                assert_true(seen[k]);
        }
}

/* ---- replies ---- */

static const char stream[] =
    "+OK\r\n"
    "$5\r\nhe\r\no\r\n"
    "$-1\r\n"
    "-WRONGTYPE no\r\n"
    "*3\r\n:1\r\n$0\r\n\r\n*2\r\n$-1\r\n+x\r\n"
    "*-1\r\n"
    "*0\r\n"
    "_\r\n"
    "%2\r\n+a\r\n:1\r\n+b\r\n-ERR inside\r\n"
    ":-12\r\n";

static void check_stream(const struct fb_reply_scan *s, uint64_t replies) {
    assert_false(s->is_broken);
    assert_int_equal(replies, 10);
    assert_int_equal(s->replies, 10);
    assert_int_equal(s->errors, 1);
    assert_int_equal(s->nils, 3);
    assert_string_equal(s->first_error, "WRONGTYPE no");
}

static void replies_are_counted_wherever_the_stream_is_cut(void **state) {
    enum { LEN = sizeof stream - 1 };
    (void)state;
    for (size_t a = 0; a <= LEN; a++)
        for (size_t b = a; b <= LEN; b++) {
            struct fb_reply_scan s = {0};
            uint64_t n = fb_reply_scan(&s, stream, a);
            n += fb_reply_scan(&s, stream + a, b - a);
            n += fb_reply_scan(&s, stream + b, LEN - b);
            check_stream(&s, n);
        }
    struct fb_reply_scan s = {0};
    uint64_t n = 0;
    for (size_t i = 0; i < LEN; i++)
        n += fb_reply_scan(&s, stream + i, 1);
    check_stream(&s, n);
}

static void what_is_no_reply_is_noticed(void **state) {
    static const char *const bad[] = {"HTTP/1.1 200 OK\r\n", "\r\n",     "$x\r\n",
                                      "$\r\n",               "$-2\r\n", "*99999999999999999999\r\n"};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct fb_reply_scan s = {0};
        assert_int_equal(fb_reply_scan(&s, bad[i], strlen(bad[i])), 0);
        assert_true(s.is_broken);
    }
}

static void a_long_error_line_is_cut_and_counted(void **state) {
    char line[1000];
    struct fb_reply_scan s = {0};
    (void)state;
    memset(line, 'e', sizeof line);
    memcpy(line, "-ERR ", 5);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    assert_int_equal(fb_reply_scan(&s, line, 500), 0);
    assert_int_equal(fb_reply_scan(&s, line + 500, 500), 1);
    assert_int_equal(s.errors, 1);
    assert_memory_equal(s.first_error, "ERR ", 4);
}

/* ---- keys ---- */

static void key_ranges_are_read_and_written(void **state) {
    static const struct { const char *text; uint64_t first, last; const char *key_of_first, *key_of_last; } good[] = {
        {"user:{1..100000}", 1, 100000, "user:1", "user:100000"},
        {"k{000..999}:x", 0, 999, "k000:x", "k999:x"},
        {"{0..0}", 0, 0, "0", "0"},
        {"key:{100000000000..100000999999}", 100000000000, 100000999999, "key:100000000000", "key:100000999999"},
        {"one", 0, 0, "one", "one"},
    };
    static const char *const bad[] = {
        "{", "{1}", "{1..}", "{..2}", "{3..1}", "{1..2}{3..4}", "{-1..2}", "{1...2}", "{1..2",
        "{99999999999999999999..99999999999999999999}",
    };
    struct fb_load_keys keys;
    char key[FB_LOAD_KEY_MAX + 1];
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(fb_load_keys_parse(good[i].text, &keys, NULL), FB_OK);
        assert_int_equal(keys.first, good[i].first);
        assert_int_equal(keys.last, good[i].last);
        key[fb_load_key_format(&keys, keys.first, key)] = '\0';
        assert_string_equal(key, good[i].key_of_first);
        key[fb_load_key_format(&keys, keys.last, key)] = '\0';
        assert_string_equal(key, good[i].key_of_last);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(fb_load_keys_parse(bad[i], &keys, NULL), FB_INVALID);
}

static void processor_time_of_this_process_grows_with_work(void **state) {
    (void)state;
    fb_span before = fb_load_cpu_of(getpid());
    volatile uint64_t sink = 0;
    assert_true(before.ns >= 0);
    for (int tries = 0; tries < 1000 && fb_load_cpu_of(getpid()).ns < before.ns + 1000000; tries++)
        for (int i = 0; i < 1000000; i++)
            sink += (uint64_t)i;
    (void)sink;
    assert_true(fb_load_cpu_of(getpid()).ns >= before.ns + 1000000);
    assert_true(fb_load_cpu_of(0x7ffffff0).ns < 0); /* nobody's number */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_one_percent_of_the_sorted_list),
        cmocka_unit_test(lengths_below_256_ns_are_exact),
        cmocka_unit_test(merging_is_counting_both),
        cmocka_unit_test(odd_lengths_do_no_harm),
        cmocka_unit_test(zipf_draws_follow_the_law),
        cmocka_unit_test(every_key_can_be_drawn_and_no_other),
        cmocka_unit_test(replies_are_counted_wherever_the_stream_is_cut),
        cmocka_unit_test(what_is_no_reply_is_noticed),
        cmocka_unit_test(a_long_error_line_is_cut_and_counted),
        cmocka_unit_test(key_ranges_are_read_and_written),
        cmocka_unit_test(processor_time_of_this_process_grows_with_work),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
