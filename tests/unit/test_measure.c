/* Shows that what is measured is what is shown: how near a histogram's quantiles come, that rings of samples and the slow
 * log keep the latest and no more, how a long request is cut, and that the table of figures holds together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hist.h"
#include "double_engine.h"
#include "served.h"
#include "server/figures.h"
#include "server/slowlog.h"

/* ---- histograms ------------------------------------------------------------------------------------------------- */

static void a_bucket_is_as_near_as_two_digits(void **state) {
    (void)state;
    for (uint64_t ns = 1; ns < UINT64_C(1) << FB_HIST_MAX_BITS; ns += 1 + ns / 7) {
        int64_t upper = fb_hist_upper(fb_hist_bucket(ns));
        assert_true(upper >= (int64_t)ns);
        assert_true((double)(upper - (int64_t)ns) <= (double)ns / 128);
        assert_int_equal(fb_hist_bucket((uint64_t)upper), fb_hist_bucket(ns));
        assert_int_equal(fb_hist_bucket((uint64_t)upper + 1), fb_hist_bucket(ns) + 1);
    }
}

static void quantiles_of_a_known_spread(void **state) {
    (void)state;
    static struct fb_hist h;
    for (int64_t us = 1; us <= 1000; us++)
        fb_hist_add(&h, (fb_span){us * 1000}, 1);
    static const struct { double q; int64_t us; } rows[] = {{0, 1}, {0.5, 500}, {0.99, 990}, {0.999, 999}, {1, 1000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ns = fb_hist_quantile(&h, rows[i].q).ns;
        assert_true(ns >= rows[i].us * 1000 && ns <= rows[i].us * 1008);
    }
}

/* ---- samples of events ------------------------------------------------------------------------------------------ */

static void a_ring_keeps_the_latest_and_one_per_second(void **state) {
    (void)state;
    static struct fb_latency_ring ring;
    fb_latency_add(&ring, 100, 5);
    fb_latency_add(&ring, 100, 9);
    fb_latency_add(&ring, 100, 7);
    assert_int_equal(ring.n, 1);
    assert_int_equal(fb_latency_at(&ring, 0).ms, 9);
    for (int64_t second = 101; second < 101 + 2 * FB_LATENCY_SAMPLES; second++)
        fb_latency_add(&ring, second, 1);
    assert_int_equal(ring.n, FB_LATENCY_SAMPLES);
    assert_int_equal(fb_latency_at(&ring, 0).wall_s, 101 + FB_LATENCY_SAMPLES);
    assert_int_equal(fb_latency_at(&ring, ring.n - 1).wall_s, 100 + 2 * FB_LATENCY_SAMPLES);
    assert_int_equal(ring.max_ms, 9); /* ever, though its sample is gone */
}

static void the_doctor_names_every_event_that_has_samples(void **state) {
    (void)state;
    static struct fb_latency latency;
    fb_buf text = FB_BUF_INIT;
    fb_latency_explain(&latency, 0, &text);
    fb_buf_append(&text, "", 1);
    assert_non_null(strstr(text.data, "is off"));
    for (int event = 0; event < FB_LATENCY_COUNT_; event++)
        fb_latency_add(&latency.rings[event], 1, 1234 + (uint64_t)event);
    text.len = 0;
    fb_latency_explain(&latency, 100, &text);
    fb_buf_append(&text, "", 1);
    for (int event = 0; event < FB_LATENCY_COUNT_; event++)
        assert_non_null(strstr(text.data, fb_latency_word((enum fb_latency_event)event)));
    fb_buf_free(&text);
}

#define LINE "--------------------------------------------------------------------------------\n"

/* What redis-server 7.0 draws of the same samples. */
static void samples_are_drawn_as_redis_draws_them(void **state) {
    (void)state;
    static const struct {
        uint64_t ms[6];
        size_t n;
        int64_t ages_from, step;
        const char *drawn;
    } cases[] = {
        {{10, 50, 100, 20, 300}, 5, 5, 1,
         "command - high 300 ms, low 10 ms (all time high 300 ms)\n" LINE
         "    #\n    |\n  _ |\n_o|_|\n     \n54321\nsssss\n"},
        {{10, 10}, 2, 1, 1, "command - high 10 ms, low 10 ms (all time high 10 ms)\n" LINE
         "  \n  \n  \n__\n  \n10\nss\n"},
        {{10, 10, 11, 19, 27, 31}, 6, 65, 1, "command - high 31 ms, low 10 ms (all time high 31 ms)\n" LINE
         "    _#\n    ||\n   #||\n___|||\n      \n111111\nmmmmmm\n"},
        {{7, 7, 7}, 3, 86400, 43000, "command - high 7 ms, low 7 ms (all time high 7 ms)\n" LINE
         "   \n   \n   \n___\n   \n116\nd2m\n h \n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fb_latency_ring *ring = calloc(1, sizeof *ring);
        fb_buf text = FB_BUF_INIT;
        for (size_t k = 0; k < cases[i].n; k++)
            fb_latency_add(ring, 1000000 - cases[i].ages_from + (int64_t)k * cases[i].step, cases[i].ms[k]);
        fb_latency_draw(ring, FB_LATENCY_COMMAND, 1000000, &text);
        fb_buf_append(&text, "", 1);
        assert_string_equal(text.data, cases[i].drawn);
        fb_buf_free(&text);
        free(ring);
    }
}

static void many_samples_are_drawn_below_each_other(void **state) {
    (void)state;
    static struct fb_latency_ring ring;
    fb_buf text = FB_BUF_INIT;
    size_t lines = 0;
    for (int64_t second = 1; second <= 2 * FB_LATENCY_SAMPLES; second++)
        fb_latency_add(&ring, second, (uint64_t)second);
    fb_latency_draw(&ring, FB_LATENCY_READ, 2 * FB_LATENCY_SAMPLES, &text);
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    assert_int_equal(lines, 2 + 7 + 1 + 8); /* a head; four rows, an empty one, and ages: "2m", then "59s"; a line between */
    fb_buf_free(&text);
}

/* ---- the slow log of a server ----------------------------------------------------------------------------------- */

static struct world world;
static int fd;

static void served(uint64_t slow_us, unsigned max_len, bool shows_values) {
    struct fb_server_options options = defaults();
    options.live.slowlog_slower_than_us = (int64_t)slow_us;
    options.live.slowlog_max_len = max_len;
    options.live.latency_tracking = true;
    options.live.monitor_values = shows_values;
    start(&world, &options);
    fd = dial(&world);
}

static void end(void) {
    close(fd);
    stop(&world);
}

static struct fb_slowlog *slow_log(void) { return world.server->slowlog; }

/* The newest entry. It stays, since the loop has answered and is idle. */
static const struct fb_slow_entry *newest(void) {
    fb_lock_acquire(&slow_log()->lock);
    const struct fb_slow_entry *entry = fb_member_of(slow_log()->entries.next, struct fb_slow_entry, link);
    fb_lock_release(&slow_log()->lock);
    return entry;
}

static void the_slow_log_keeps_the_latest(void **state) {
    (void)state;
    served(0, 3, false);
    for (int i = 0; i < 10; i++)
        exchange(fd, "PING\r\n", "+PONG\r\n");
    exchange(fd, "SLOWLOG LEN\r\n", ":3\r\n");
    assert_int_equal(newest()->id, 10); /* the request that asked has been added, too */
    assert_int_equal(slow_log()->n, 3);
    end();
}

static void a_negative_threshold_keeps_nothing(void **state) {
    (void)state;
    served((uint64_t)-1, 10, false);
    exchange(fd, "PING\r\n", "+PONG\r\n");
    exchange(fd, "SLOWLOG LEN\r\n", ":0\r\n");
    end();
}

static void assert_arg(size_t i, const char *text) {
    const struct fb_preview *shown = newest()->shown;
    assert_true(i < shown->n);
    assert_int_equal(shown->args[i].len, strlen(text));
    assert_memory_equal(shown->args[i].data, text, shown->args[i].len);
}

static void say_words(size_t n, size_t len) {
    char text[64 * 1024];
    int at = snprintf(text, sizeof text, "*%zu\r\n$4\r\nMGET\r\n", n + 1);
    for (size_t i = 0; i < n; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "$%zu\r\ns:%0*zu\r\n", len + 2, (int)len, i);
    say_bytes(fd, text, (size_t)at);
    at = snprintf(text, sizeof text, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "$-1\r\n");
    hear_bytes(fd, text, (size_t)at);
}

static void a_long_request_is_cut_as_redis_cuts_it(void **state) {
    (void)state;
    served(0, 10, false);
    char shown[256];
    say_words(31, 126); /* 32 arguments of at most 128 bytes: nothing is cut */
    assert_int_equal(newest()->shown->n, 32);
    assert_int_equal(newest()->shown->args[31].len, 128);
    exchange(fd, "SLOWLOG RESET\r\n", "+OK\r\n");
    say_words(32, 127); /* one more of each */
    assert_arg(0, "MGET");
    snprintf(shown, sizeof shown, "s:%0126d... (1 more bytes)", 0);
    assert_arg(1, shown);
    assert_arg(31, "... (2 more arguments)");
    end();
}

static void values_and_passwords_are_not_shown(void **state) {
    (void)state;
    for (int shows = 0; shows < 2; shows++) {
        served(0, 10, shows);
        exchange(fd, "SET s:1 secret\r\n", "+OK\r\n");
        assert_arg(1, "s:1");
        assert_arg(2, shows ? "secret" : "(6 bytes)");
        uint64_t id = newest()->id;
        say(fd, "AUTH secret\r\n");
        char answer[512];
        assert_true(recv(fd, answer, sizeof answer, 0) > 0);
        assert_int_equal(newest()->id, id); /* nothing was added */
        end();
    }
}

static void a_failing_and_a_refused_command_are_told_apart(void **state) {
    (void)state;
    served((uint64_t)-1, 10, false);
    exchange(fd, "STRLEN\r\n", "-ERR wrong number of arguments for 'strlen' command\r\n");
    say(fd, "HGETALL s:1\r\nSET s:1 x\r\nHGETALL s:1\r\n");
    come_round(&world);
    struct fb_cost_sum sum;
    hear(fd, "*0\r\n+OK\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    fb_measure_read(world.server, fb_command_named(FB_STR("strlen")), &sum, NULL);
    assert_true(sum.calls == 0 && sum.rejected == 1 && sum.failed == 0);
    fb_measure_read(world.server, fb_command_named(FB_STR("hgetall")), &sum, NULL);
    assert_true(sum.calls == 2 && sum.rejected == 0 && sum.failed == 1);
    exchange(fd, "CONFIG RESETSTAT\r\n", "+OK\r\n");
    fb_measure_read(world.server, fb_command_named(FB_STR("hgetall")), &sum, NULL);
    assert_true(sum.calls == 0 && sum.failed == 0 && sum.ns == 0);
    end();
}

/* ---- the table of figures --------------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static void metrics_are_named_as_prometheus_wants_them(void **state) {
    (void)state;
    for (int scope = 0; scope < FB_OF_COUNT_; scope++) {
        size_t n;
        const struct fb_metric *rows = fb_metrics_of((enum fb_scope_of_metric)scope, &n);
        for (size_t i = 0; i < n; i++) {
            const char *name = rows[i].metric;
            assert_true(rows[i].help != NULL && rows[i].help[0] != '\0');
            if (name == NULL)
                continue;
            assert_true(strncmp(name, "forebay_", 8) == 0 || strncmp(name, "process_", 8) == 0);
            assert_int_equal(rows[i].type == FB_METRIC_COUNTER, ends_with(name, "_total"));
            assert_true(rows[i].form != FB_FORM_TEXT && rows[i].form != FB_FORM_HUMAN);
        }
    }
}

/* Rows of one metric stand together, differ in their labels, and have a help of their own as a family. */
static void a_metric_is_in_one_place(void **state) {
    (void)state;
    struct { const struct fb_metric *row; int scope; size_t i; } seen[FB_OF_COUNT_ * FB_METRICS_MAX];
    size_t nseen = 0;
    for (int scope = 0; scope < FB_OF_COUNT_; scope++) {
        size_t n;
        const struct fb_metric *rows = fb_metrics_of((enum fb_scope_of_metric)scope, &n);
        for (size_t i = 0, last = 0; i < n; i++) {
            if (rows[i].metric == NULL)
                continue;
            for (size_t k = 0; k < nseen; k++) {
                if (strcmp(seen[k].row->metric, rows[i].metric) != 0)
                    continue;
                assert_int_equal(seen[k].scope, scope);
                assert_string_not_equal(seen[k].row->labels, rows[i].labels);
                assert_int_equal(seen[k].row->type, rows[i].type);
                assert_string_equal(rows[last].metric, rows[i].metric);
                assert_ptr_not_equal(fb_metric_help(&rows[i]), rows[i].help);
            }
            seen[nseen].row = &rows[i];
            seen[nseen++].scope = scope;
            last = i;
        }
    }
}

static void a_field_of_info_is_there_once(void **state) {
    (void)state;
    for (int scope = 0; scope < FB_OF_COUNT_; scope++) {
        size_t n;
        const struct fb_metric *rows = fb_metrics_of((enum fb_scope_of_metric)scope, &n);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < i; k++)
                if (rows[i].field != NULL && rows[k].field != NULL)
                    assert_string_not_equal(rows[i].field, rows[k].field);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_is_as_near_as_two_digits),
        cmocka_unit_test(quantiles_of_a_known_spread),
        cmocka_unit_test(a_ring_keeps_the_latest_and_one_per_second),
        cmocka_unit_test(the_doctor_names_every_event_that_has_samples),
        cmocka_unit_test(samples_are_drawn_as_redis_draws_them),
        cmocka_unit_test(many_samples_are_drawn_below_each_other),
        cmocka_unit_test(the_slow_log_keeps_the_latest),
        cmocka_unit_test(a_negative_threshold_keeps_nothing),
        cmocka_unit_test(a_long_request_is_cut_as_redis_cuts_it),
        cmocka_unit_test(values_and_passwords_are_not_shown),
        cmocka_unit_test(a_failing_and_a_refused_command_are_told_apart),
        cmocka_unit_test(metrics_are_named_as_prometheus_wants_them),
        cmocka_unit_test(a_metric_is_in_one_place),
        cmocka_unit_test(a_field_of_info_is_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
