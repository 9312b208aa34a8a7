/* Client-side caching over real sockets and the double of the engine: who is told what, when, and in which place among
 * the replies.
 *
 * The claim that matters most (a client is never left with what it should forget) is a property test over the engine
 * itself: test_tracking_model. Here each rule of T1–T5 (server/tracking.h) is shown by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "double_engine.h"
#include "served.h"
#include "server/push.h"
#include "server/session.h"
#include "server/tracking.h"

#define FORGET(key) ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\n" key "\r\n"
#define FORGET_ALL ">2\r\n$10\r\ninvalidate\r\n_\r\n"

static struct world *begin(struct world *w) {
    struct fb_server_options options = defaults();
    start(w, &options);
    for (int i = 0; i < 10; i++) {
        char key[] = "s:0";
        key[2] = (char)('0' + i);
        double_put(w->cache, key, FB_KIND_STRING, FB_STR("old"));
    }
    return w;
}

static void skip_to(int fd, const char *end) {
    char seen[512];
    size_t len = strlen(end);
    for (size_t n = 0; n < len || memcmp(seen + n - len, end, len) != 0; n++) {
        assert_true(n < sizeof seen);
        assert_int_equal(read(fd, seen + n, 1), 1);
    }
}

/* A connection in RESP3 that tracks with these options. */
static int track(const struct world *w, const char *options) {
    char line[128];
    int fd = dial(w);
    say(fd, "HELLO 3\r\nECHO greeted\r\n");
    skip_to(fd, "greeted\r\n");
    snprintf(line, sizeof line, "CLIENT TRACKING ON %s\r\n", options);
    exchange(fd, line, "+OK\r\n");
    return fd;
}

static struct fb_tracking_figures figures(const struct world *w) {
    struct fb_tracking_figures f;
    fb_tracking_figures(w->server, &f);
    return f;
}

/* ---- who is told ------------------------------------------------------------------------------------------------ */

static void who_has_read_a_key_is_told_once(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), ""), b = track(&w, ""), c = dial(&w);
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(a, "MGET s:2 s:1 s:2\r\n", "*3\r\n$3\r\nold\r\n$3\r\nold\r\n$3\r\nold\r\n");
    exchange(b, "GET s:2\r\n", "$3\r\nold\r\n");
    assert_int_equal(figures(&w).clients, 2);
    assert_int_equal(figures(&w).keys, 2);
    assert_int_equal(figures(&w).items, 3);
    exchange(c, "SET s:1 new\r\n", "+OK\r\n");
    hear(a, FORGET("s:1"));
    exchange(c, "SET s:1 newer\r\n", "+OK\r\n"); /* it has not asked again */
    exchange(c, "SET s:2 new\r\n", "+OK\r\n");
    hear(a, FORGET("s:2"));
    hear(b, FORGET("s:2"));
    exchange(a, "GET s:1\r\n", "$5\r\nnewer\r\n");
    exchange(a, "SET s:1 own\r\n", "+OK\r\n" FORGET("s:1")); /* behind its reply */
    exchange(b, "PING\r\n", "+PONG\r\n");
    assert_int_equal(figures(&w).keys, 0);
    close(a);
    close(b);
    close(c);
    stop(&w);
}

static void every_event_tells_but_loads_and_lives(void **state) {
    (void)state;
    static const fb_event_kind kinds[] = {FB_EVENT_REFRESHED, FB_EVENT_WRITTEN, FB_EVENT_DELETED, FB_EVENT_UNCACHED,
                                          FB_EVENT_DOUBTED, FB_EVENT_INVALIDATED, FB_EVENT_EXPIRED, FB_EVENT_EVICTED};
    struct world w;
    int a = track(begin(&w), ""), c = dial(&w);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        exchange(a, "GET s:1\r\n", "$3\r\nold\r\n"); /* LOADED, and nothing more */
        double_drop(w.cache, "s:1", kinds[i]);
        hear(a, FORGET("s:1"));
    }
    exchange(a, "GET s:1\r\nGET s:1\r\n", "$3\r\nold\r\n$3\r\nold\r\n");
    exchange(c, "EXPIRE s:1 100\r\nPERSIST s:1\r\n", ":1\r\n:1\r\n");
    exchange(a, "PING\r\n", "+PONG\r\n");
    exchange(c, "DEL s:1\r\n", ":1\r\n");
    hear(a, FORGET("s:1"));
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(c, "FLUSHALL\r\n", "+OK\r\n");
    hear(a, FORGET_ALL);
    assert_int_equal(figures(&w).keys, 0);
    close(a);
    close(c);
    stop(&w);
}

/* Where nothing is loaded on a miss, "not cached" is an answer, and a fill changes it. */
static void with_cache_aside_a_fill_is_a_change(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    fb_open(NULL, &w.cache, &w.err);
    ((fb_keyspace_options *)fb_keyspace_at(w.cache, 0))->read = FB_READ_ASIDE;
    assert_int_equal(fb_server_start(w.cache, &options, &w.server, &w.err), FB_OK);
    int a = track(&w, "");
    exchange(a, "GET s:1\r\n", "_\r\n" FORGET("s:1")); /* the double loads: as if somebody had filled it */
    close(a);
    stop(&w);
}

static void only_reading_commands_and_mapped_keys_are_remembered(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), "");
    exchange(a, "EXISTS s:1 s:2\r\nSTRLEN s:3\r\nTYPE s:4\r\nHGETALL h:1\r\n", ":2\r\n:3\r\n+string\r\n%0\r\n");
    assert_int_equal(figures(&w).keys, 5);
    exchange(a, "SET s:5 x\r\nPING\r\nGET __Booksleeve_TieBreak\r\n", "+OK\r\n+PONG\r\n_\r\n");
    say(a, "GET nowhere\r\nECHO end\r\n");
    skip_to(a, "$3\r\nend\r\n");
    exchange(a, "SELECT 1\r\n", "+OK\r\n");
    say(a, "GET s:6\r\nECHO end\r\n");
    skip_to(a, "$3\r\nend\r\n");
    assert_int_equal(figures(&w).keys, 5);
    close(a);
    stop(&w);
}

/* ---- its place among replies ------------------------------------------------------------------------------------ */

/* A read and a write of one key end in any order; the invalidation comes behind the read's reply in both. */
static void an_invalidation_comes_behind_the_reply_it_is_about(void **state) {
    (void)state;
    enum { SEEDS = 60 };
    struct world w;
    int a = track(begin(&w), ""), c = dial(&w), olds = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        char reply[9];
        double_put(w.cache, "s:1", FB_KIND_STRING, FB_STR("old"));
        double_seed(w.cache, seed);
        double_hold(w.cache, true);
        unsigned before = double_submitted(w.cache);
        say(a, "GET s:1\r\nPING\r\n");
        double_wait_submitted(w.cache, before + 1);
        say(c, "SET s:1 new\r\n");
        double_wait_submitted(w.cache, before + 2);
        double_hold(w.cache, false);
        for (size_t n = 0; n < sizeof reply; n++)
            assert_int_equal(read(a, reply + n, 1), 1);
        olds += memcmp(reply, "$3\r\nold\r\n", 9) == 0;
        if (memcmp(reply, "$3\r\nold\r\n", 9) != 0)
            assert_memory_equal(reply, "$3\r\nnew\r\n", 9);
        hear(c, "+OK\r\n");
        skip_to(a, FORGET("s:1")); /* before or behind the PONG, and nothing else */
        exchange(a, "ECHO end\r\n", "$3\r\nend\r\n");
    }
    assert_in_range(olds, 1, SEEDS - 1); /* both orders were seen */
    close(a);
    close(c);
    stop(&w);
}

/* While it waited for its turn another's change took it out; what it reads then is newer, and remembered. */
static void a_request_that_had_to_wait_is_remembered_when_it_reads(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), ""), b = dial(&w), c = dial(&w);
    w.server->operations_max = 1;
    double_hold(w.cache, true);
    say(b, "GET s:2\r\n");
    double_wait_submitted(w.cache, 1);
    say(a, "GET s:1\r\n");
    come_round(&w);
    double_drop(w.cache, "s:1", FB_EVENT_DOUBTED);
    come_round(&w);
    double_hold(w.cache, false);
    hear(b, "$3\r\nold\r\n");
    skip_to(a, "$3\r\nold\r\n"); /* with or without a word to forget it, before it knows anything */
    exchange(a, "ECHO end\r\n", "$3\r\nend\r\n");
    exchange(c, "SET s:1 new\r\n", "+OK\r\n");
    hear(a, FORGET("s:1"));
    close(a);
    close(b);
    close(c);
    stop(&w);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void bcast_tells_of_all_keys_with_a_prefix(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), "BCAST PREFIX s:1 PREFIX h:"), b = track(&w, "BCAST"), c = dial(&w);
    assert_int_equal(figures(&w).prefixes, 3);
    exchange(c, "SET s:1 new\r\nSET s:2 new\r\n", "+OK\r\n+OK\r\n");
    hear(a, FORGET("s:1"));
    hear(b, FORGET("s:1") FORGET("s:2"));
    exchange(c, "HSET h:1 f x\r\n", ":1\r\n");
    hear(a, FORGET("h:1"));
    hear(b, FORGET("h:1"));
    exchange(a, "GET s:1\r\n", "$3\r\nnew\r\n");
    assert_int_equal(figures(&w).keys, 0);
    exchange(a, "CLIENT TRACKING ON BCAST PREFIX h:9\r\n",
             "-ERR Prefix 'h:9' overlaps with an existing prefix 'h:'. Prefixes for a single client must not overlap.\r\n");
    exchange(a, "CLIENT TRACKING ON BCAST PREFIX z\r\nCLIENT TRACKINGINFO\r\n",
             "+OK\r\n%3\r\n$5\r\nflags\r\n~2\r\n$2\r\non\r\n$5\r\nbcast\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n"
             "*3\r\n$3\r\ns:1\r\n$2\r\nh:\r\n$1\r\nz\r\n");
    exchange(a, "CLIENT TRACKING OFF\r\n", "+OK\r\n");
    assert_int_equal(figures(&w).prefixes, 1);
    exchange(c, "SET s:1 newer\r\n", "+OK\r\n");
    hear(b, FORGET("s:1"));
    exchange(a, "PING\r\n", "+PONG\r\n");
    close(a);
    close(b);
    close(c);
    stop(&w);
}

static void noloop_is_not_told_of_its_own_changes_and_still_of_others(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), "NOLOOP"), b = track(&w, "BCAST NOLOOP"), c = dial(&w);
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(a, "SET s:1 own\r\nMSET s:1 own2 s:2 x\r\nPING\r\n", "+OK\r\n+OK\r\n+PONG\r\n");
    hear(b, FORGET("s:1") FORGET("s:1") FORGET("s:2"));
    exchange(c, "SET s:1 other\r\n", "+OK\r\n");
    hear(a, FORGET("s:1"));
    hear(b, FORGET("s:1"));
    exchange(b, "SET s:1 own\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    close(a);
    close(b);
    close(c);
    stop(&w);
}

static void optin_and_optout_go_by_the_request_before(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), "OPTIN"), b = track(&w, "OPTOUT");
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(a, "CLIENT CACHING YES\r\nCLIENT ID\r\n", "+OK\r\n:1\r\n");
    exchange(a, "GET s:2\r\nGET s:3\r\n", "$3\r\nold\r\n$3\r\nold\r\n");
    assert_int_equal(figures(&w).items, 1);
    exchange(b, "CLIENT CACHING NO\r\nGET s:4\r\nGET s:5\r\n", "+OK\r\n$3\r\nold\r\n$3\r\nold\r\n");
    assert_int_equal(figures(&w).items, 2);
    exchange(b, "SET s:2 x\r\nSET s:4 x\r\n", "+OK\r\n+OK\r\n");
    hear(a, FORGET("s:2"));
    exchange(b, "SET s:5 x\r\n", "+OK\r\n" FORGET("s:5"));
    exchange(b, "CLIENT CACHING YES\r\n", "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.\r\n");
    close(a);
    close(b);
    stop(&w);
}

/* What CLIENT CACHING said stays with a request that had to wait. */
static void optin_survives_having_to_wait(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), "OPTIN"), b = dial(&w);
    w.server->operations_max = 1;
    double_hold(w.cache, true);
    say(b, "GET s:2\r\n");
    double_wait_submitted(w.cache, 1);
    exchange(a, "CLIENT CACHING YES\r\n", "+OK\r\n");
    say(a, "GET s:1\r\n");
    come_round(&w);
    double_drop(w.cache, "s:1", FB_EVENT_DOUBTED); /* it has to be remembered anew */
    hear(a, FORGET("s:1"));
    double_hold(w.cache, false);
    hear(a, "$3\r\nold\r\n");
    hear(b, "$3\r\nold\r\n");
    assert_int_equal(figures(&w).items, 1);
    close(a);
    close(b);
    stop(&w);
}

static void redirection_speaks_resp2_to_who_listens(void **state) {
    (void)state;
    struct world w;
    int r = dial(begin(&w)), a = dial(&w), c = dial(&w);
    exchange(r, "CLIENT ID\r\nSUBSCRIBE __redis__:invalidate\r\n",
             ":1\r\n*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    exchange(a, "CLIENT TRACKING ON REDIRECT 1\r\nCLIENT GETREDIR\r\nGET s:1\r\n", "+OK\r\n:1\r\n$3\r\nold\r\n");
    exchange(c, "SET s:1 new\r\n", "+OK\r\n");
    hear(r, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$3\r\ns:1\r\n");
    exchange(c, "FLUSHALL\r\n", "+OK\r\n");
    hear(r, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n");
    exchange(a, "GET s:1\r\n", "$3\r\nnew\r\n");
    exchange(r, "UNSUBSCRIBE\r\n", "*3\r\n$11\r\nunsubscribe\r\n$20\r\n__redis__:invalidate\r\n:0\r\n");
    exchange(c, "SET s:1 newer\r\n", "+OK\r\n");
    exchange(r, "PING\r\n", "+PONG\r\n"); /* it expects replies only */
    close(r);
    close(a);
    close(c);
    stop(&w);
}

static void a_lost_redirection_is_told_to_who_set_it(void **state) {
    (void)state;
    struct world w;
    int r = dial(begin(&w)), a, c;
    exchange(r, "CLIENT ID\r\n", ":1\r\n");
    a = track(&w, "REDIRECT 1");
    c = dial(&w);
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(r, "QUIT\r\n", "+OK\r\n");
    assert_ends(r);
    come_round(&w);
    exchange(c, "SET s:1 new\r\n", "+OK\r\n");
    hear(a, ">2\r\n$21\r\ntracking-redir-broken\r\n:1\r\n");
    say(a, "CLIENT TRACKINGINFO\r\n");
    skip_to(a, "$15\r\nbroken_redirect\r\n$8\r\nredirect\r\n:1\r\n$8\r\nprefixes\r\n*0\r\n");
    exchange(a, "CLIENT TRACKING ON REDIRECT 1\r\n", "-ERR The client ID you want redirect to does not exist\r\n");
    close(a);
    close(c);
    stop(&w);
}

static void resp2_without_redirection_is_told_nothing(void **state) {
    (void)state;
    struct world w;
    int a = dial(begin(&w)), c = dial(&w);
    exchange(a, "CLIENT TRACKING ON\r\nGET s:1\r\n", "+OK\r\n$3\r\nold\r\n");
    exchange(c, "SET s:1 new\r\n", "+OK\r\n");
    exchange(a, "GET s:1\r\n", "$3\r\nnew\r\n");
    close(a);
    close(c);
    stop(&w);
}

/* ---- bounds and cleanup ----------------------------------------------------------------------------------------- */

static void a_full_table_tells_to_forget(void **state) {
    (void)state;
    struct world w;
    struct fb_server_options options = defaults();
    options.live.tracking_table_max_keys = 4;
    start(&w, &options);
    int a = track(&w, "");
    enum { KEYS = 200 };
    size_t told = 0;
    for (int i = 0; i < KEYS; i++) {
        char line[64];
        snprintf(line, sizeof line, "GET s:%03d\r\n", i);
        say(a, line);
    }
    double_wait_submitted(w.cache, KEYS);
    come_round(&w);
    /* For each key that had to go a word. One that is alone in its part of the table finds no other to push out. */
    size_t stayed = figures(&w).keys;
    assert_in_range(stayed, 1, 4 + FB_TRACK_PARTS);
    const size_t one = strlen(">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\ns:000\r\n"), nil = strlen("_\r\n");
    static char all[KEYS * 64];
    for (size_t n = 0, size = KEYS * nil + (KEYS - stayed) * one; n < size; n++)
        assert_int_equal(read(a, all + n, 1), 1);
    for (const char *p = all; (p = strstr(p, "invalidate\r\n*1")) != NULL; p++)
        told++;
    assert_int_equal(told, KEYS - stayed);
    exchange(a, "ECHO end\r\n", "$3\r\nend\r\n");
    close(a);
    stop(&w);
}

static void a_table_that_may_hold_less_shrinks(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), "");
    exchange(a, "GET s:1\r\nGET s:2\r\nGET s:3\r\n", "$3\r\nold\r\n$3\r\nold\r\n$3\r\nold\r\n");
    atomic_store(&w.server->live.tracking_table_max_keys, 1);
    fb_tracking_tick(w.server);
    assert_int_equal(figures(&w).keys, 1);
    char all[2 * sizeof FORGET("s:1")] = "";
    for (size_t n = 0; n < 2 * (sizeof FORGET("s:1") - 1); n++)
        assert_int_equal(read(a, all + n, 1), 1);
    exchange(a, "ECHO end\r\n", "$3\r\nend\r\n");
    close(a);
    stop(&w);
}

/* QUIT is the end, also for a client that never closes its side; and what the last one was remembered for goes. */
static void who_says_quit_is_gone(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), ""), s = dial(&w), d = dial(&w);
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(s, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
    exchange(a, "QUIT\r\n", "+OK\r\n");
    exchange(s, "QUIT\r\n", "+OK\r\n");
    exchange(d, "PUBLISH x y\r\n", ":0\r\n");
    assert_int_equal(figures(&w).clients, 0);
    assert_int_equal(figures(&w).keys, 0);
    close(a);
    close(s);
    close(d);
    stop(&w);
}

static void lost_invalidations_become_one_for_all_keys(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), ""), s = dial(&w), c = dial(&w);
    exchange(s, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    atomic_store(&w.server->pushed_max, 1);
    say(c, "SET s:1 new\r\n");
    hear(c, "+OK\r\n");
    atomic_store(&w.server->pushed_max, FB_PUSHED_MAX);
    hear(a, FORGET_ALL);
    exchange(s, "PING\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"); /* who lost nothing is not closed */
    close(a);
    close(s);
    close(c);
    stop(&w);
}

static void who_goes_is_forgotten(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), ""), b = track(&w, "BCAST PREFIX s:"), c = track(&w, ""), d = dial(&w);
    exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(c, "GET s:1\r\n", "$3\r\nold\r\n");
    exchange(c, "RESET\r\n", "+RESET\r\n");
    close(a);
    close(b);
    while (figures(&w).clients > 0)
        come_round(&w);
    assert_int_equal(figures(&w).prefixes, 0);
    exchange(d, "SET s:1 new\r\n", "+OK\r\n");
    exchange(c, "GET s:1\r\n", "$3\r\nnew\r\n");
    close(c);
    close(d);
    stop(&w);
}

/* A key that many short-lived clients read, and that never changes, does not collect them all. */
static void clients_that_have_gone_make_room(void **state) {
    (void)state;
    struct world w;
    int stays = track(begin(&w), "");
    exchange(stays, "GET s:1\r\n", "$3\r\nold\r\n");
    for (int i = 0; i < 100; i++) {
        int a = track(&w, "");
        exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
        exchange(a, "CLIENT TRACKING OFF\r\n", "+OK\r\n");
        close(a);
    }
    assert_in_range(figures(&w).items, 1, 8);
    double_drop(w.cache, "s:1", FB_EVENT_EXPIRED);
    hear(stays, FORGET("s:1"));
    close(stays);
    stop(&w);
}

static void tracking_is_seen_in_client_list(void **state) {
    (void)state;
    struct world w;
    int a = track(begin(&w), "BCAST"), m = dial(&w), s = dial(&w), c = dial(&w);
    exchange(m, "MONITOR\r\n", "+OK\r\n");
    exchange(s, "PSUBSCRIBE x*\r\n", "*3\r\n$10\r\npsubscribe\r\n$2\r\nx*\r\n:1\r\n");
    say(c, "CLIENT LIST\r\n");
    skip_to(c, " flags=tB db=0 sub=0 psub=0 ssub=0 ");
    skip_to(c, " redir=0 ");
    skip_to(c, " flags=O ");
    skip_to(c, " flags=P db=0 sub=0 psub=1 ssub=0 ");
    skip_to(c, " flags=N ");
    skip_to(c, " redir=-1 ");
    say(c, "CLIENT LIST TYPE replica\r\nCLIENT LIST TYPE pubsub\r\n");
    skip_to(c, "$0\r\n\r\n");
    skip_to(c, " flags=P ");
    exchange(c, "CLIENT KILL TYPE x\r\n", "");
    skip_to(c, "\n\r\n-ERR Unknown client type 'x'\r\n"); /* the one line was all */
    exchange(c, "CLIENT KILL TYPE pubsub\r\n", ":1\r\n");
    assert_ends(s);
    exchange(c, "CLIENT KILL USER nobody\r\n", "-ERR No such user 'nobody'\r\n");
    say(c, "INFO clients\r\n");
    skip_to(c, "tracking_clients:1\r\npubsub_clients:0\r\n");
    close(a);
    close(m);
    close(c);
    stop(&w);
}

/* Whatever allocation fails: who has an old value is told to forget it (or everything), or its connection ends. */
static void without_memory_nobody_keeps_an_old_value(void **state) {
    (void)state;
    struct world w;
    begin(&w);
    unsigned told = 0;
    for (int64_t n = 0; n < 60; n++) {
        char reply[8] = "";
        int a = track(&w, ""), c = dial(&w);
        double_put(w.cache, "s:1", FB_KIND_STRING, FB_STR("old"));
        exchange(a, "GET s:1\r\n", "$3\r\nold\r\n");
        exchange(c, "PING\r\n", "+PONG\r\n");
        fb_mem_fail_after(n);
        say(c, "SET s:1 new\r\n");
        bool is_done = read(c, reply, 1) == 1 && reply[0] == '+';
        fb_mem_fail_after(-1);
        if (is_done) {
            char first;
            ssize_t got = read(a, &first, 1);
            told += got == 1;
            assert_true(got <= 0 || first == '>');
        }
        close(a);
        close(c);
        while (figures(&w).clients > 0)
            come_round(&w);
    }
    assert_in_range(told, 40, 60);
    stop(&w);
}

/* The same of the request that reads: what could not be remembered is not kept either. */
static void what_could_not_be_remembered_is_forgotten_at_once(void **state) {
    (void)state;
    struct world w;
    begin(&w);
    for (int64_t n = 0; n < 12; n++) {
        int a = track(&w, ""), c = dial(&w);
        exchange(c, "GET s:1\r\n", "$3\r\nold\r\n"); /* cached: what follows needs no memory but the table's */
        exchange(a, "PING\r\n", "+PONG\r\n");
        char bytes[64];
        fb_mem_fail_after(n);
        say(a, "GET s:1\r\n");
        bool is_answered = read(a, bytes, 9) == 9 && memcmp(bytes, "$3\r\nold\r\n", 9) == 0;
        fb_mem_fail_after(-1);
        exchange(c, "SET s:1 old\r\n", "+OK\r\n");
        if (is_answered && read(a, bytes, 1) == 1)
            assert_int_equal(bytes[0], '>');
        close(a);
        close(c);
    }
    stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_read_a_key_is_told_once),
        cmocka_unit_test(every_event_tells_but_loads_and_lives),
        cmocka_unit_test(with_cache_aside_a_fill_is_a_change),
        cmocka_unit_test(only_reading_commands_and_mapped_keys_are_remembered),
        cmocka_unit_test(an_invalidation_comes_behind_the_reply_it_is_about),
        cmocka_unit_test(a_request_that_had_to_wait_is_remembered_when_it_reads),
        cmocka_unit_test(bcast_tells_of_all_keys_with_a_prefix),
        cmocka_unit_test(noloop_is_not_told_of_its_own_changes_and_still_of_others),
        cmocka_unit_test(optin_and_optout_go_by_the_request_before),
        cmocka_unit_test(optin_survives_having_to_wait),
        cmocka_unit_test(redirection_speaks_resp2_to_who_listens),
        cmocka_unit_test(a_lost_redirection_is_told_to_who_set_it),
        cmocka_unit_test(resp2_without_redirection_is_told_nothing),
        cmocka_unit_test(a_full_table_tells_to_forget),
        cmocka_unit_test(lost_invalidations_become_one_for_all_keys),
        cmocka_unit_test(who_goes_is_forgotten),
        cmocka_unit_test(a_table_that_may_hold_less_shrinks),
        cmocka_unit_test(who_says_quit_is_gone),
        cmocka_unit_test(clients_that_have_gone_make_room),
        cmocka_unit_test(tracking_is_seen_in_client_list),
        cmocka_unit_test(without_memory_nobody_keeps_an_old_value),
        cmocka_unit_test(what_could_not_be_remembered_is_forgotten_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
