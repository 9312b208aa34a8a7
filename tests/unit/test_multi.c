/* MULTI, EXEC and WATCH over the double of the engine: what is begun when, in which order replies come, what a refusal
 * leaves, and the bounds. */
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

#include "base/mem.h"
#include "base/rng.h"
#include "double_engine.h"
#include "proto/resp.h"
#include "served.h"

enum { SEEDS = 60, QUEUE_MAX = 1024, WATCH_MAX = 256, ALLOCATIONS = 120 };

static struct world w;
static int fd;

static int set_up(void **state) {
    (void)state;
    struct fb_server_options options = defaults();
    start(&w, &options);
    fd = dial(&w);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close(fd);
    stop(&w);
    return 0;
}

/* ---- what is begun ---------------------------------------------------------------------------------------------- */

static void nothing_is_begun_before_exec_and_then_one_transaction(void **state) {
    (void)state;
    exchange(fd, "MULTI\r\nSET s:1 a\r\nGET s:1\r\nINCR s:2\r\n", "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    assert_int_equal(double_submitted(w.cache), 0);
    exchange(fd, "EXEC\r\n", "*3\r\n+OK\r\n$1\r\na\r\n:1\r\n");
    assert_int_equal(double_submitted(w.cache), 1);
    exchange(fd, "EXEC\r\n", "-ERR EXEC without MULTI\r\n");
}

static void a_transaction_reads_its_own_writes_and_not_the_cache(void **state) {
    (void)state;
    exchange(fd, "SET s:1 old\r\nGET s:1\r\n", "+OK\r\n$3\r\nold\r\n"); /* cached */
    exchange(fd, "MULTI\r\nSET s:1 new\r\nGET s:1\r\nMGET s:1 s:2\r\nEXISTS s:1 s:2\r\nSTRLEN s:1\r\nSET s:2 x\r\n"
                 "EXEC\r\n",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
             "*6\r\n+OK\r\n$3\r\nnew\r\n*2\r\n$3\r\nnew\r\n$-1\r\n:1\r\n:3\r\n+OK\r\n");
}

static void what_concerns_copies_happens_after_the_commit(void **state) {
    (void)state;
    exchange(fd, "MULTI\r\nEXPIRE s:1 100\r\nSET s:1 a\r\nTTL s:1\r\nDEL s:1\r\nGET s:1\r\nEXEC\r\nTTL s:1\r\n",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
             "*5\r\n:1\r\n+OK\r\n:100\r\n:1\r\n$1\r\na\r\n:-2\r\n");
}

static void deleting_many_copies_needs_no_transaction(void **state) {
    (void)state;
    exchange(fd, "SET s:1 a\r\n", "+OK\r\n");
    unsigned before = double_submitted(w.cache);
    exchange(fd, "MULTI\r\nDEL s:1 s:2\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n+PONG\r\n");
    assert_int_equal(double_submitted(w.cache), before);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static void an_error_while_queueing_discards_all(void **state) {
    (void)state;
    static const char *const wrong[] = {"NONSENSE", "GET", "SET s:1", "GET nowhere:1", "LPUSH s:1 x", "CLIENT NOSUCH",
                                        "EVAL x 0"};
    char request[128];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(request, sizeof request, "MULTI\r\nSET s:1 x\r\n%s\r\n", wrong[i]);
        exchange(fd, request, "+OK\r\n+QUEUED\r\n-");
        char c = 0;
        while (c != '\n')
            assert_int_equal(recv(fd, &c, 1, 0), 1);
        exchange(fd, "EXEC\r\nGET s:1\r\n",
                 "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
    }
    exchange(fd, "MULTI\r\nEXEC x\r\nEXEC\r\n",
             "+OK\r\n-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
             "-ERR EXEC without MULTI\r\n");
}

static void a_failure_names_its_command_and_breaks_no_line(void **state) {
    (void)state;
    exchange(fd, "MULTI\r\nSET s:1 x\r\nSET bad:1 x\r\nEXEC\r\nGET s:1\r\n",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT Transaction rolled back: command 2 ('set'): SRCDOWN source 'x' "
             "is down  +OK  $5  hello\r\n$-1\r\n");
    exchange(fd, "MULTI\r\nSET s:1 x\r\nINCRBY s:2 many\r\nEXEC\r\nGET s:1\r\n",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT Transaction rolled back: command 2 ('incrby'): ERR value is not "
             "an integer or out of range\r\n$-1\r\n");
    /* A reading command fails alone. */
    exchange(fd, "MULTI\r\nGETRANGE s:1 a b\r\nSET s:1 x\r\nEXEC\r\n",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR value is not an integer or out of range\r\n+OK\r\n");
}

static void errors_are_counted_once(void **state) {
    (void)state;
    exchange(fd, "MULTI\r\nSET s:1 x\r\nINCRBY s:2 many\r\nEXEC\r\n",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT Transaction rolled back: command 2 ('incrby'): ERR value is not "
             "an integer or out of range\r\n");
    exchange(fd, "INFO errorstats\r\n", "$43\r\n# Errorstats\r\nerrorstat_EXECABORT:count=1\r\n");
}

static void a_watched_row_that_changed_gives_null(void **state) {
    (void)state;
    exchange(fd, "SET s:1 a\r\nWATCH s:1 s:2\r\nMULTI\r\nSET s:3 x\r\nEXEC\r\n",
             "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    exchange(fd, "WATCH s:1 s:2\r\n", "+OK\r\n");
    double_put(w.cache, "s:2", FB_KIND_STRING, FB_STR("behind"));
    exchange(fd, "MULTI\r\nSET s:3 y\r\nEXEC\r\nGET s:3\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n$1\r\nx\r\n");
    exchange(fd, "MULTI\r\nSET s:3 y\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"); /* EXEC ends the watch */
    exchange(fd, "WATCH h:9\r\nHSET h:9 a b\r\nMULTI\r\nEXEC\r\n", "+OK\r\n:1\r\n+OK\r\n*-1\r\n");
    exchange(fd, "WATCH s:1\r\nSET s:1 c\r\nUNWATCH\r\nMULTI\r\nPING\r\nEXEC\r\n",
             "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    exchange(fd, "WATCH nowhere:1\r\n", "-NOMAP ");
}

/* Somebody writes past Forebay, and a copy that comes later than the one that was watched is older. */
static void what_was_read_otherwise_than_watched_gives_null(void **state) {
    (void)state;
    static const struct { const char *request, *reply; } reads[] = {
        {"GET s:2\r\n", "$1\r\n5\r\n"},   {"MGET s:1 s:2\r\n", "*2\r\n$-1\r\n$1\r\n5\r\n"},
        {"STRLEN s:2\r\n", ":1\r\n"},       {"GETRANGE s:2 0 0\r\n", "$1\r\n5\r\n"},
        {"EXISTS s:2\r\n", ":1\r\n"},       {"WATCH s:2\r\n", "+OK\r\n"},
    };
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++)
        for (int is_cached = 0; is_cached < 2; is_cached++) {
            double_put(w.cache, "s:2", FB_KIND_STRING, FB_STR("6"));
            exchange(fd, "WATCH s:1 s:2\r\nGET s:2\r\n", "+OK\r\n$1\r\n6\r\n");
            double_put(w.cache, "s:2", FB_KIND_STRING, FB_STR("5"));
            for (int n = 0; n <= is_cached; n++)
                exchange(fd, reads[i].request, reads[i].reply);
            double_put(w.cache, "s:2", FB_KIND_STRING, FB_STR("6"));
            exchange(fd, "MULTI\r\nSET s:2 6\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
            exchange(fd, "WATCH s:2\r\nGET s:2\r\nGET s:2\r\nMULTI\r\nSET s:2 7\r\nEXEC\r\n",
                     "+OK\r\n$1\r\n6\r\n$1\r\n6\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
        }
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* Whatever ends first: reads that wait, writes among what is not planned, and requests behind EXEC. */
static void replies_keep_their_order(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        double_seed(w.cache, seed);
        for (int i = 0; i < 6; i++) {
            char key[8];
            snprintf(key, sizeof key, "s:%d", i);
            double_put(w.cache, key, FB_KIND_STRING, fb_bytes_of(key + 2, 1)); /* not cached */
        }
        exchange(fd, "GET s:0\r\nMULTI\r\nGET s:1\r\nGET s:2\r\nPING\r\nMGET s:3 s:1\r\nFLUSHDB\r\nGET s:1\r\nEXEC\r\n"
                     "GET s:4\r\nGET s:5\r\nSET s:1 1\r\nGET s:1\r\n",
                 "$1\r\n0\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
                 "*6\r\n$1\r\n1\r\n$1\r\n2\r\n+PONG\r\n*2\r\n$1\r\n3\r\n$1\r\n1\r\n+OK\r\n$1\r\n1\r\n"
                 "$1\r\n4\r\n$1\r\n5\r\n+OK\r\n$1\r\n1\r\n");
        exchange(fd, "MULTI\r\nSET s:1 1\r\nFLUSHDB\r\nKEYS *\r\nGET s:2\r\nEXEC\r\nGET s:3\r\n",
                 "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n+OK\r\n+OK\r\n*0\r\n$1\r\n2\r\n$1\r\n3\r\n");
    }
}

static void what_follows_exec_waits_for_it(void **state) {
    (void)state;
    double_hold(w.cache, true);
    say(fd, "MULTI\r\nSET s:1 a\r\nEXEC\r\nGET s:1\r\nPING\r\n");
    hear(fd, "+OK\r\n+QUEUED\r\n");
    double_wait_submitted(w.cache, 1);
    come_round(&w);
    assert_int_equal(double_submitted(w.cache), 1);
    double_hold(w.cache, false);
    hear(fd, "*1\r\n+OK\r\n$1\r\na\r\n+PONG\r\n");
}

static void two_connections_do_not_mix(void **state) {
    (void)state;
    int other = dial(&w);
    exchange(fd, "MULTI\r\nSET s:1 a\r\n", "+OK\r\n+QUEUED\r\n");
    exchange(other, "SET s:1 b\r\nEXEC\r\n", "+OK\r\n-ERR EXEC without MULTI\r\n");
    exchange(fd, "EXEC\r\n", "*1\r\n+OK\r\n");
    exchange(other, "GET s:1\r\n", "$1\r\na\r\n");
    close(other);
}

/* Messages that come while EXEC is under way stand behind its array, whether a transaction or plain reads keep it. */
static void a_push_never_stands_inside_the_array(void **state) {
    (void)state;
    static const char message[] = ">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nx\r\n";
    char expected[256];
    int other = dial(&w), third = dial(&w);
    char rest[512];
    exchange(other, "HELLO 3\r\n", "%7\r\n");
    say(other, "SUBSCRIBE ch\r\n");
    for (size_t n = 0; n < 4 || memcmp(rest + n - 4, ":1\r\n", 4) != 0; n++) /* the greeting, then the confirmation */
        assert_int_equal(recv(other, rest + n, 1, 0), 1);
    static const char *const scripts[][2] = {
        {"MULTI\r\nSET s:1 a\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+PONG\r\n"},
        {"MULTI\r\nGET s:9\r\nFLUSHDB\r\nPING\r\nEXEC\r\n",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n_\r\n+OK\r\n+PONG\r\n"},
        {"MULTI\r\nSET bad:1 a\r\nEXEC\r\n",
         "+OK\r\n+QUEUED\r\n-EXECABORT Transaction rolled back: command 1 ('set'): SRCDOWN source 'x' is down  +OK  "
         "$5  hello\r\n"}};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        unsigned before = double_submitted(w.cache);
        double_hold(w.cache, true);
        say(other, scripts[i][0]);
        double_wait_submitted(w.cache, before + 1);
        exchange(third, "PUBLISH ch x\r\n", ":1\r\n");
        come_round(&w);
        double_hold(w.cache, false);
        snprintf(expected, sizeof expected, "%s%s", scripts[i][1], message);
        hear(other, expected);
    }
    close(other);
    close(third);
}

static void monitors_see_exec_behind_what_it_carries_out(void **state) {
    (void)state;
    int other = dial(&w);
    exchange(other, "MONITOR\r\n", "+OK\r\n");
    exchange(fd, "MULTI\r\nSET s:1 a\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+PONG\r\n");
    static const char *const order[] = {"\"MULTI\"", "\"SET\"", "\"PING\"", "\"exec\""};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        char line[256] = "";
        for (size_t n = 0; n + 1 < sizeof line && strchr(line, '\n') == NULL; n++)
            assert_int_equal(recv(other, line + n, 1, 0), 1);
        if (strstr(line, order[i]) == NULL)
            fail_msg("%s instead of %s", line, order[i]);
    }
    close(other);
}

/* ---- bounds ----------------------------------------------------------------------------------------------------- */

static void requests_are_bounded_in_number_and_size(void **state) {
    (void)state;
    struct fb_server_live live = {.query_buffer_max = 100000, .bulk_max = 90000, .clients_max = 100,
                                  .output_buffer_max = 1 << 20};
    exchange(fd, "MULTI\r\n", "+OK\r\n");
    for (int i = 0; i < QUEUE_MAX; i++)
        exchange(fd, "GET s:1\r\n", "+QUEUED\r\n");
    exchange(fd, "GET s:1\r\nEXEC\r\n", "-ERR MULTI holds at most 1024 requests\r\n"
                                       "-EXECABORT Transaction discarded because of previous errors.\r\n");
    fb_server_change(w.server, &live);
    exchange(fd, "MULTI\r\n", "+OK\r\n");
    char *large = malloc(60100);
    int n = snprintf(large, 100, "*3\r\n$3\r\nSET\r\n$3\r\ns:1\r\n$60000\r\n");
    memset(large + n, 'x', 60000);
    memcpy(large + n + 60000, "\r\n", 3);
    exchange(fd, large, "+QUEUED\r\n");
    exchange(fd, large, "-ERR the requests between MULTI and EXEC are larger than query_buffer_max allows\r\n");
    free(large);
    exchange(fd, "DISCARD\r\n", "+OK\r\n");
}

static void watches_are_bounded(void **state) {
    (void)state;
    char request[64];
    for (int i = 0; i < WATCH_MAX; i++) {
        snprintf(request, sizeof request, "WATCH s:%d\r\n", i);
        exchange(fd, request, "+OK\r\n");
    }
    exchange(fd, "WATCH s:x\r\n", "-ERR a connection watches at most 256 keys\r\n");
    exchange(fd, "UNWATCH\r\nWATCH s:x\r\n", "+OK\r\n+OK\r\n");
}

static void a_transaction_is_bounded(void **state) {
    (void)state;
    struct fb_resp_out in = FB_RESP_OUT_INIT;
    fb_bytes args[3000] = {FB_STR("MGET")};
    for (size_t i = 1; i < 3000; i++)
        args[i] = FB_STR("s:1");
    fb_resp_write_command(&in, args, 3000);
    fb_resp_write_command(&in, args, 3000);
    exchange(fd, "MULTI\r\nSET s:1 x\r\n", "+OK\r\n+QUEUED\r\n");
    say_bytes(fd, in.buf.data, in.buf.len);
    hear(fd, "+QUEUED\r\n+QUEUED\r\n");
    exchange(fd, "EXEC\r\nGET s:1\r\n", "-EXECABORT Transaction rolled back: ERR EXEC prepares at most 4096 operations\r\n$-1\r\n");
    fb_buf_free(&in.buf);
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

static void a_client_that_goes_away_is_not_missed(void **state) {
    (void)state;
    static const char *const scripts[] = {
        "MULTI\r\nSET s:1 a\r\n", "WATCH s:1\r\nMULTI\r\nSET s:1 a\r\nGET s:2\r\nEXEC\r\nGET s:3\r\n",
        "MULTI\r\nGET s:7\r\nFLUSHDB\r\nGET s:8\r\nEXEC\r\nPING\r\n"};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        int other = dial(&w);
        double_hold(w.cache, true);
        say(other, scripts[i]);
        come_round(&w);
        struct linger reset = {.l_onoff = 1};
        setsockopt(other, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(other);
        come_round(&w);
        double_hold(w.cache, false);
        double_wait_idle(w.cache);
        exchange(fd, "PING\r\n", "+PONG\r\n");
    }
}

static void reset_and_quit_forget_what_was_kept(void **state) {
    (void)state;
    exchange(fd, "WATCH s:1\r\nSET s:1 b\r\nMULTI\r\nSET s:1 a\r\nRESET\r\nEXEC\r\nMULTI\r\nGET s:1\r\nEXEC\r\n",
             "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n+RESET\r\n-ERR EXEC without MULTI\r\n+OK\r\n+QUEUED\r\n"
             "*1\r\n$1\r\nb\r\n");
    int other = dial(&w);
    exchange(other, "MULTI\r\nSET s:1 a\r\nQUIT\r\n", "+OK\r\n+QUEUED\r\n+OK\r\n");
    assert_ends(other);
    exchange(fd, "GET s:1\r\n", "$1\r\nb\r\n");
}

static void failing_allocation_costs_at_most_a_connection(void **state) {
    (void)state;
    char rest[4096];
    exchange(fd, "PING\r\n", "+PONG\r\n"); /* it has been accepted */
    for (int64_t n = 0; n < ALLOCATIONS; n++) {
        int other = dial(&w);
        fb_mem_fail_after(n);
        say(other, "WATCH s:1 s:2\r\nMULTI\r\nSET s:1 x\r\nINCR s:2\r\nMGET s:1 s:2\r\nHSET h:1 a b\r\nDEL s:1 h:1\r\n"
                   "PING\r\nKEYS *\r\nEXEC\r\nMULTI\r\nGET s:1\r\nEXEC\r\n");
        shutdown(other, SHUT_WR);
        (void)hear_end(other, rest, sizeof rest);
        fb_mem_fail_after(-1);
        close(other);
        come_round(&w);
    }
    exchange(fd, "MULTI\r\nSET s:1 x\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {
        CLAIM(nothing_is_begun_before_exec_and_then_one_transaction),
        CLAIM(a_transaction_reads_its_own_writes_and_not_the_cache),
        CLAIM(what_concerns_copies_happens_after_the_commit),
        CLAIM(deleting_many_copies_needs_no_transaction),
        CLAIM(an_error_while_queueing_discards_all),
        CLAIM(a_failure_names_its_command_and_breaks_no_line),
        CLAIM(errors_are_counted_once),
        CLAIM(a_watched_row_that_changed_gives_null),
        CLAIM(what_was_read_otherwise_than_watched_gives_null),
        CLAIM(replies_keep_their_order),
        CLAIM(what_follows_exec_waits_for_it),
        CLAIM(two_connections_do_not_mix),
        CLAIM(a_push_never_stands_inside_the_array),
        CLAIM(monitors_see_exec_behind_what_it_carries_out),
        CLAIM(requests_are_bounded_in_number_and_size),
        CLAIM(watches_are_bounded),
        CLAIM(a_transaction_is_bounded),
        CLAIM(a_client_that_goes_away_is_not_missed),
        CLAIM(reset_and_quit_forget_what_was_kept),
        CLAIM(failing_allocation_costs_at_most_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
