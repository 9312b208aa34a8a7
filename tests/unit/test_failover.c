/* What a failover lost, judged: by table, and with a real replica that is promoted without the last write. Time is an
 * argument; heartbeats are noted at moments the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/failover.h"
#include "store_world.h"

static fb_instant at(int64_t seconds) { return (fb_instant){seconds * 1000 * FB_NS_PER_MS}; }

static struct fb_store_identity identity(char run, char replid, char replid2, int64_t second) {
    struct fb_store_identity id = {.second_offset = second, .is_primary = true};
    memset(id.run_id, run, sizeof id.run_id);
    memset(id.replid, replid, sizeof id.replid);
    memset(id.replid2, replid2, sizeof id.replid2);
    return id;
}

static void a_loss_is_dated_by_the_heartbeats(void **state) {
    (void)state;
    static const struct {
        char run, replid, replid2;
        int64_t second;
        enum fb_failover verdict;
        int64_t since_s;
    } cases[] = {
        {'a', 'r', '0', -1, FB_FAILOVER_NONE, 0},           /* the network */
        {'a', 's', 'r', 351, FB_FAILOVER_REASSERT, 2},      /* was a replica in between, and is back */
        {'b', 's', 'r', 351, FB_FAILOVER_REASSERT, 2},      /* promoted: it had all up to 350 */
        {'b', 's', 'r', 300, FB_FAILOVER_REASSERT, 1},      /* 300 itself is lost */
        {'b', 's', 'r', 301, FB_FAILOVER_REASSERT, 2},
        {'b', 's', 'r', 100000, FB_FAILOVER_REASSERT, 79},  /* nothing that we know of */
        {'b', 's', 'r', 50, FB_FAILOVER_DISTRUST, 0},       /* before the first heartbeat */
        {'b', 's', 'q', 351, FB_FAILOVER_DISTRUST, 0},      /* followed another */
        {'b', 's', '0', -1, FB_FAILOVER_DISTRUST, 0},       /* no history */
        {'b', 'r', 'r', -1, FB_FAILOVER_DISTRUST, 0},
    };
    struct fb_store_identity before = identity('a', 'r', '0', -1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fb_heartbeats ring = {.count = 0};
        for (int64_t s = 1; s <= 80; s++)
            fb_heartbeat(&ring, at(s), 100 * s);
        struct fb_store_identity after = identity(cases[i].run, cases[i].replid, cases[i].replid2, cases[i].second);
        bool is_late = cases[i].since_s == 79;
        fb_instant since = {0};
        assert_int_equal(fb_failover_judge(&before, &after, &ring, at(is_late ? 81 : 20), &since), cases[i].verdict);
        if (cases[i].verdict == FB_FAILOVER_REASSERT)
            assert_int_equal(since.ns, at(cases[i].since_s).ns);
        /* Long after: the names of what was written then are no longer known. */
        if (cases[i].verdict == FB_FAILOVER_REASSERT && !is_late)
            assert_int_equal(fb_failover_judge(&before, &after, &ring, at(81), &since), FB_FAILOVER_DISTRUST);
    }
}

static void a_ring_that_has_gone_round_knows_the_last_minute(void **state) {
    (void)state;
    struct fb_heartbeats ring = {.count = 0};
    struct fb_store_identity before = identity('a', 'r', '0', -1), after = identity('b', 's', 'r', 1001);
    fb_instant since = {0};
    for (int64_t s = 1; s <= 1000; s++)
        fb_heartbeat(&ring, (fb_instant){s * 250 * FB_NS_PER_MS}, s);
    assert_int_equal(fb_failover_judge(&before, &after, &ring, at(250), &since), FB_FAILOVER_REASSERT);
    assert_int_equal(since.ns, at(249).ns);
    after.second_offset = 1000 - FB_HEARTBEATS;
    assert_int_equal(fb_failover_judge(&before, &after, &ring, at(250), &since), FB_FAILOVER_DISTRUST);
}

static void an_identity_is_read_whole_or_not_at_all(void **state) {
    (void)state;
#define ID "0123456789012345678901234567890123456789"
    static const char *const lines[] = {"run_id:" ID "\r\n", "role:master\r\n", "master_replid:" ID "\r\n",
                                        "master_replid2:" ID "\r\n", "second_repl_offset:-1\r\n",
                                        "master_repl_offset:17\r\n"};
    struct fb_store_identity id;
    for (size_t without = 0; without <= 6; without++) {
        char text[512] = "# Server\r\n";
        size_t len = strlen(text);
        for (size_t i = 0; i < 6; i++)
            if (i != without)
                len += (size_t)snprintf(text + len, sizeof text - len, "%s", lines[i]);
        assert_int_equal(fb_store_identity_parse(fb_bytes_of(text, len), &id), without == 6);
    }
    assert_true(id.is_primary);
    assert_int_equal(id.second_offset, -1);
    assert_int_equal(id.offset, 17);
}

/* ---- real servers ----------------------------------------------------------------------------------------------- */

static struct fb_store_identity ask(struct store_world *w) {
    struct fb_store_identity id;
    char both[8192];
    int len = snprintf(both, sizeof both, "%s", store_world_ask(w, "INFO", "server", NULL));
    len += snprintf(both + len, sizeof both - (size_t)len, "%s", store_world_ask(w, "INFO", "replication", NULL));
    assert_true(fb_store_identity_parse(fb_bytes_of(both, (size_t)len), &id));
    return id;
}

static void wait_for_text(struct store_world *w, const char *wanted) {
    fb_instant soon = store_world_soon();
    while (strstr(store_world_ask(w, "INFO", "replication", NULL), wanted) == NULL) {
        assert_true(store_world_is_before(soon));
        (void)poll(NULL, 0, 10);
    }
}

static void a_promotion_is_dated_and_an_old_file_looks_the_same_but_for_its_date(void **state) {
    (void)state;
    struct store_world primary, replica;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", store_world_free_port());
    if (!store_world_start(&primary, (const char *const[]){"--port", port, "--bind", "127.0.0.1",
                                                           "--repl-diskless-sync-delay", "0", NULL})) {
        printf("# SKIPPED: no redis-server here\n");
        skip();
    }
    assert_true(store_world_start(&replica, (const char *const[]){"--replicaof", "127.0.0.1", port, NULL}));
    wait_for_text(&replica, "master_link_status:up");
    struct fb_store_identity before = ask(&primary);
    assert_true(before.is_primary);
    assert_false(ask(&replica).is_primary);

    struct fb_heartbeats ring = {.count = 0};
    (void)store_world_ask(&primary, "SET", "a", "1", NULL);
    fb_heartbeat(&ring, at(10), ask(&primary).offset);
    (void)store_world_ask(&primary, "WAIT", "1", "10000", NULL);
    assert_int_equal(kill(replica.pid, SIGSTOP), 0);
    (void)store_world_ask(&primary, "CLIENT", "KILL", "TYPE", "replica", NULL);
    assert_string_equal(store_world_ask(&primary, "DEL", "a", NULL), "1"); /* acknowledged, and lost */
    fb_heartbeat(&ring, at(20), ask(&primary).offset);
    assert_int_equal(kill(primary.pid, SIGKILL), 0);
    store_world_stop(&primary);
    assert_int_equal(kill(replica.pid, SIGCONT), 0);
    (void)store_world_ask(&replica, "REPLICAOF", "NO", "ONE", NULL);
    struct fb_store_identity after = ask(&replica);
    assert_string_equal(store_world_ask(&replica, "GET", "a", NULL), "1");
    fb_instant since = {0};
    assert_int_equal(fb_failover_judge(&before, &after, &ring, at(30), &since), FB_FAILOVER_REASSERT);
    assert_int_equal(since.ns, at(9).ns);

    /* Starts again from a file that is an hour old: the same ids as a promotion, another date. */
    struct fb_heartbeats hour = {.count = 0};
    before = after;
    fb_heartbeat(&hour, at(100), ask(&replica).offset);
    after.second_offset = hour.items[0].offset + 1;
    memcpy(after.replid2, before.replid, FB_STORE_ID_LEN);
    memset(after.run_id, 'z', sizeof after.run_id);
    fb_heartbeat(&hour, at(3700), hour.items[0].offset + 1000);
    assert_int_equal(fb_failover_judge(&before, &after, &hour, at(3701), &since), FB_FAILOVER_DISTRUST);
    store_world_stop(&replica);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_is_dated_by_the_heartbeats),
        cmocka_unit_test(a_ring_that_has_gone_round_knows_the_last_minute),
        cmocka_unit_test(an_identity_is_read_whole_or_not_at_all),
        cmocka_unit_test(a_promotion_is_dated_and_an_old_file_looks_the_same_but_for_its_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
