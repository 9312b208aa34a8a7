/* The watch against a real redis-server: what changes is told, the proof holds while nothing can have been missed, and a
 * server that restarts, is paused, loses its role or its data takes it away. And the pure parts: prefixes, pushed names. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <poll.h>

#include "base/clock.h"
#include "proto/slot.h"
#include "store/watch.h"
#include "fake_redis.h"
#include "store_world.h"

/* ---- pure parts -------------------------------------------------------------------------------------------------
 * */

static void prefixes_do_not_overlap(void **state) {
    (void)state;
    static const struct { const char *in[6], *out[6]; } cases[] = {
        {{"user:", "fb:n:", "order:", NULL}, {"fb:n:", "order:", "user:", NULL}},
        {{"user:", "user:x:", "use", "user:", NULL}, {"use", NULL}},
        {{"a", "", "b", NULL}, {"", NULL}},
        {{"ab", "a!", "a", "b", "a\xff", NULL}, {"a", "b", NULL}},
        {{"ab", "aa", "ac", "aab", NULL}, {"aa", "ab", "ac", NULL}},
        {{NULL}, {NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_bytes items[6];
        size_t n = 0, left = 0;
        for (; cases[i].in[n] != NULL; n++)
            items[n] = FB_STR(cases[i].in[n]);
        n = fb_prefixes_reduce(items, n);
        while (cases[i].out[left] != NULL)
            left++;
        assert_int_equal(n, left);
        for (size_t j = 0; j < n; j++) {
            assert_int_equal(items[j].len, strlen(cases[i].out[j]));
            assert_memory_equal(items[j].data, cases[i].out[j], items[j].len);
        }
    }
}

static void a_pushed_name_tells_of_its_key(void **state) {
    (void)state;
    static const struct { const char *name, *key; } cases[] = {
        {"user:1", "user:1"}, {"fb:n:{abc}:user:1", "user:1"}, {"fb:n:{abc}:", ""}, {"fb:c:{abc}:user:1", NULL},
        {"fb:n:", "fb:n:"}, {"fb:x:{abc}:user:1", "fb:x:{abc}:user:1"}, {"", ""}, {"fb:n:{abcd}:k", "fb:n:{abcd}:k"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_bytes key;
        bool is_one = fb_pushed_key(FB_STR(cases[i].name), &key);
        assert_int_equal(is_one, cases[i].key != NULL);
        if (is_one) {
            assert_int_equal(key.len, strlen(cases[i].key));
            assert_memory_equal(key.data, cases[i].key, key.len);
        }
    }
}

/* ---- a watched server -------------------------------------------------------------------------------------------
 * */

static struct heard {
    pthread_mutex_t mutex;
    unsigned changed, all_changed, reassert, distrust, ups, downs;
    bool is_up;
    char last_key[64], text[256];
    fb_instant since;
} heard = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void changed(void *user, fb_bytes key) {
    struct heard *h = user;
    pthread_mutex_lock(&h->mutex);
    h->changed++;
    (void)snprintf(h->last_key, sizeof h->last_key, "%.*s", (int)key.len, key.data);
    pthread_mutex_unlock(&h->mutex);
}

static void all_changed(void *user) {
    struct heard *h = user;
    pthread_mutex_lock(&h->mutex);
    h->all_changed++;
    pthread_mutex_unlock(&h->mutex);
}

static void history(void *user, enum fb_failover what, fb_instant since) {
    struct heard *h = user;
    pthread_mutex_lock(&h->mutex);
    h->reassert += what == FB_FAILOVER_REASSERT;
    h->distrust += what == FB_FAILOVER_DISTRUST;
    h->since = since;
    pthread_mutex_unlock(&h->mutex);
}

static void state_is(void *user, bool is_up, const char *text) {
    struct heard *h = user;
    pthread_mutex_lock(&h->mutex);
    h->ups += is_up;
    h->downs += !is_up;
    h->is_up = is_up;
    (void)snprintf(h->text, sizeof h->text, "%s", text);
    pthread_mutex_unlock(&h->mutex);
}

static const struct fb_store_watch_calls calls = {changed, all_changed, history, state_is};

static struct heard now_heard(void) {
    pthread_mutex_lock(&heard.mutex);
    struct heard copy = heard;
    pthread_mutex_unlock(&heard.mutex);
    return copy;
}

static struct store_world world;
static struct fb_store_watch *watch;

static void forget(void) {
    pthread_mutex_lock(&heard.mutex);
    memset((char *)&heard + sizeof heard.mutex, 0, sizeof heard - sizeof heard.mutex);
    pthread_mutex_unlock(&heard.mutex);
}

static bool is_proved(struct fb_place *place) { return fb_proof_holds(fb_place_proof(place), fb_clock_now()); }

/* Real servers take real time; nobody waits longer than the world's patience. */
#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        fb_instant end_ = store_world_soon();                                                                          \
        bool holds_;                                                                                                   \
        while (!(holds_ = (condition)) && store_world_is_before(end_))                                                 \
            (void)poll(NULL, 0, 2);                                                                                    \
        assert_true(holds_);                                                                                           \
    } while (0)

static struct fb_store_watch *watch_place(struct fb_place *place, const char *prefix) {
    struct fb_store_watch *w = NULL;
    fb_err err;
    fb_bytes prefixes[] = {FB_STR(prefix)};
    struct fb_store_watch_options options = {prefixes, 1, &calls, &heard};
    forget();
    assert_int_equal(fb_store_watch_start(place, &options, &w, &err), FB_OK);
    return w;
}

static int start(void **state) {
    (void)state;
    if (!store_world_start(&world, NULL))
        return 0;
    watch = watch_place(world.place, "user:");
    return 0;
}

static int stop(void **state) {
    (void)state;
    if (world.pid == 0)
        return 0;
    fb_store_watch_stop(watch);
    watch = NULL;
    store_world_stop(&world);
    return 0;
}

#define NEEDS_SERVER                                                                                                   \
    if (world.pid == 0) {                                                                                              \
        printf("# SKIPPED: no redis-server here\n");                                                                   \
        skip();                                                                                                        \
    }                                                                                                                  \
    (void)state

#define ASK(...) store_world_ask(&world, __VA_ARGS__, NULL)

static void changes_of_watched_keys_are_told(void **state) {
    NEEDS_SERVER;
    UNTIL(is_proved(world.place));
    assert_true(now_heard().is_up);
    assert_true(now_heard().all_changed >= 1); /* W1 */
    unsigned before = now_heard().changed;
    (void)ASK("SET", "user:1", "a");
    UNTIL(now_heard().changed == before + 1);
    assert_string_equal(now_heard().last_key, "user:1");
    (void)ASK("SET", "other:1", "a");
    fb_buf name = FB_BUF_INIT;
    assert_int_equal(fb_companion_append(&name, 'n', FB_STR("user:7")), FB_OK);
    assert_int_equal(fb_buf_append(&name, "", 1), FB_OK);
    (void)ASK("SET", name.data, "1", "PX", "1");
    UNTIL(now_heard().changed >= before + 3); /* set, and expired */
    assert_string_equal(now_heard().last_key, "user:7");
    assert_int_equal(now_heard().changed, before + 3);
    fb_buf_free(&name);
    unsigned all = now_heard().all_changed;
    (void)ASK("FLUSHALL");
    UNTIL(now_heard().all_changed > all);
    UNTIL(is_proved(world.place));
}

static void the_proof_runs_out_when_the_server_is_silent_and_comes_back(void **state) {
    NEEDS_SERVER;
    UNTIL(is_proved(world.place));
    assert_int_equal(kill(world.pid, SIGSTOP), 0);
    fb_instant stopped = fb_clock_now();
    int64_t last = 0, now;
    UNTIL((now = *fb_place_proof(world.place), last = now > last ? now : last, !is_proved(world.place)));
    assert_true(last <= fb_after(stopped, fb_ms(FB_WATCH_PROOF_MS + 20)).ns); /* of a beat sent before */
    UNTIL(!now_heard().is_up); /* and the session has ended */
    unsigned all = now_heard().all_changed;
    assert_true(all >= 2);
    assert_int_equal(kill(world.pid, SIGCONT), 0);
    UNTIL(is_proved(world.place));
    assert_true(now_heard().is_up && now_heard().all_changed > all);
    assert_int_equal(now_heard().distrust + now_heard().reassert, 0); /* the same run: nothing is lost */
}

static void a_lost_connection_is_made_anew_before_anything_is_proved(void **state) {
    NEEDS_SERVER;
    UNTIL(is_proved(world.place));
    unsigned all = now_heard().all_changed;
    (void)ASK("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    UNTIL(now_heard().all_changed >= all + 2); /* at the end, and at the new beginning */
    UNTIL(is_proved(world.place));
    assert_int_equal(now_heard().distrust + now_heard().reassert, 0);
}

static void a_primary_that_becomes_a_replica_proves_nothing(void **state) {
    NEEDS_SERVER;
    struct fb_store *store = store_world_open(&world);
    struct fb_store_call call = {.move = FB_STORE_LOOK, .key = FB_STR("user:1")};
    fb_store_run(store, &call, 1, store_world_soon());
    assert_int_equal(call.outcome, FB_STORE_DONE);
    UNTIL(is_proved(world.place));
    (void)ASK("REPLICAOF", "127.0.0.1", "1");
    UNTIL(!is_proved(world.place) && !now_heard().is_up);
    fb_store_run(store, &call, 1, store_world_soon()); /* its connection was open, and would have answered */
    assert_int_equal(call.outcome, FB_STORE_UNSENT);
    (void)ASK("REPLICAOF", "NO", "ONE");
    UNTIL(is_proved(world.place));
    UNTIL(now_heard().distrust + now_heard().reassert == 1); /* its history is another one now */
    fb_store_close(store);
}

static void a_server_that_starts_anew_is_distrusted(void **state) {
    (void)state;
    struct store_world first;
    if (!store_world_start(&first, NULL)) {
        printf("# SKIPPED: no redis-server here\n");
        skip();
    }
    struct fb_store_watch *w = watch_place(first.place, "");
    UNTIL(is_proved(first.place));
    store_world_restart(&first, NULL);
    UNTIL(now_heard().distrust == 1);
    UNTIL(is_proved(first.place));
    assert_int_equal(now_heard().reassert, 0);
    fb_store_watch_stop(w);
    assert_false(is_proved(first.place));
    store_world_stop(&first);
}

static void other_prefixes_are_watched_from_then_on(void **state) {
    NEEDS_SERVER;
    fb_bytes prefixes[] = {FB_STR("order:"), FB_STR("user:"), FB_STR("user:x")};
    UNTIL(is_proved(world.place));
    unsigned all = now_heard().all_changed;
    assert_int_equal(fb_store_watch_prefixes(watch, prefixes, 3), FB_OK);
    UNTIL(now_heard().all_changed > all);
    UNTIL(is_proved(world.place));
    unsigned before = now_heard().changed;
    (void)ASK("SET", "order:1", "a");
    (void)ASK("SET", "user:xy", "a");
    UNTIL(now_heard().changed == before + 2);
}

static void who_may_not_track_is_told_once_and_proves_nothing(void **state) {
    NEEDS_SERVER;
    struct fb_place *place;
    char url[128];
    fb_err err;
    fb_store_watch_stop(watch);
    watch = NULL;
    (void)ASK("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "+@all", "-client|tracking");
    (void)snprintf(url, sizeof url, "unix://%s", world.path);
    struct fb_place_options options = {.url = url, .user = "deaf", .password = "secret"};
    assert_int_equal(fb_place_open(&options, &place, &err), FB_OK);
    struct fb_store_watch *w = watch_place(place, "user:");
    UNTIL(now_heard().ups == 1);
    assert_non_null(strstr(now_heard().text, "no copies are kept"));
    (void)ASK("CLIENT", "KILL", "USER", "deaf");
    UNTIL(now_heard().ups >= 2);
    assert_int_equal(*fb_place_proof(place), INT64_MIN);
    fb_store_watch_stop(w);
    fb_place_close(place);
}

static void a_place_without_a_server_is_down_and_the_watch_can_be_stopped(void **state) {
    (void)state;
    static const char *const urls[] = {"redis://127.0.0.1:1", "unix:///nonexistent/socket",
                                       "sentinel://127.0.0.1:1,127.0.0.1:2/x", "cluster://127.0.0.1:1"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct fb_place *place;
        struct fb_place_facts facts;
        fb_err err;
        assert_int_equal(fb_place_open(&(struct fb_place_options){.url = urls[i]}, &place, &err), FB_OK);
        struct fb_store_watch *w = watch_place(place, "user:");
        UNTIL(now_heard().downs == 1);
        fb_place_facts(place, &facts);
        assert_false(facts.is_proved);
        if (facts.last_error[0] == '\0')
            fail_msg("%s: no error", urls[i]);
        fb_store_watch_stop(w);
        fb_place_close(place);
    }
}

/* ---- servers that say what they are told to ---------------------------------------------------------------------
 * */

#define MASTER "*3\r\n$6\r\nmaster\r\n:5\r\n*0\r\n"

static struct fb_place *place_of(const struct fake_redis *fake) {
    char url[64];
    struct fb_place *place = NULL;
    fb_err err;
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u", fake->port);
    struct fb_place_options options = {.url = url, .connect_timeout = fb_ms(20000)}; /* machines are busy */
    assert_int_equal(fb_place_open(&options, &place, &err), FB_OK);
    return place;
}

static void beats_that_are_no_masters_prove_nothing(void **state) {
    (void)state;
    static const struct { const char *role, *ends; } cases[] = {
        {"-BUSY Redis is busy running a script.\r\n", NULL},
        {"-LOADING Redis is loading the dataset in memory\r\n", NULL},
        {"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:5\r\n", "no primary any more"},
        {"*2\r\n$8\r\nsentinel\r\n*0\r\n", "no primary any more"},
        {"*0\r\n", "no primary any more"},
        {"$6\r\nmaster\r\n", "no primary any more"},
        {MASTER MASTER, "no question"},
        {"HTTP/1.1 400\r\n", "no Redis speaks so"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_redis fake = {.roles = {cases[i].role}};
        fake_redis_start(&fake);
        struct fb_place *place = place_of(&fake);
        struct fb_store_watch *w = watch_place(place, "user:");
        if (cases[i].ends == NULL) {
            UNTIL(fake.roles_asked >= 3); /* beat after beat, of one session */
            assert_int_equal(fake.lines_count, 1);
            assert_int_equal(now_heard().downs, 0);
            assert_int_equal(*fb_place_proof(place), INT64_MIN);
        } else {
            struct fb_place_facts facts = {.kind = FB_STORE_SINGLE};
            UNTIL((fb_place_facts(place, &facts), strstr(facts.last_error, cases[i].ends) != NULL));
        }
        fb_store_watch_stop(w);
        assert_int_equal(*fb_place_proof(place), INT64_MIN);
        fb_place_close(place);
        fake_redis_stop(&fake);
    }
}

static void pushes_are_taken_for_what_they_are(void **state) {
    (void)state;
    static const struct { const char *push; unsigned changed; } cases[] = {
        {">2\r\n+invalidate\r\n*2\r\n$6\r\nuser:1\r\n$17\r\nfb:n:{abc}:user:2\r\n", 2},
        {">2\r\n$10\r\ninvalidate\r\n*3\r\n$6\r\nuser:1\r\n$14\r\nfb:c:{abc}:key\r\n:7\r\n", 1},
        {">2\r\n+invalidate\r\n:1\r\n", 0},
        {">2\r\n+invalidate\r\n*1\r\n_\r\n", 0},
        {">2\r\n+invalidate\r\n*0\r\n", 0},
        {">1\r\n+invalidate\r\n", 0},
        {">0\r\n", 0},
        {">3\r\n+message\r\n+a\r\n*1\r\n$6\r\nuser:1\r\n", 0},
        {">2\r\n+tracking-redir-broken\r\n*1\r\n$6\r\nuser:1\r\n", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "%s" MASTER, cases[i].push);
        struct fake_redis fake = {.roles = {text, MASTER}};
        fake_redis_start(&fake);
        struct fb_place *place = place_of(&fake);
        struct fb_store_watch *w = watch_place(place, "user:");
        UNTIL(is_proved(place)); /* W2: what was pushed before the beat's answer has been told */
        if (now_heard().changed != cases[i].changed)
            fail_msg("push %zu: %u changes", i, now_heard().changed);
        assert_int_equal(now_heard().downs, 0);
        fb_store_watch_stop(w);
        fb_place_close(place);
        fake_redis_stop(&fake);
    }
}

static void another_run_behind_the_same_address_is_distrusted(void **state) {
    (void)state;
    struct fake_redis fake = {.roles = {MASTER, MASTER, "+garbage that ends the session\r\n", MASTER},
                              .next_run_id = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", .next_run_at = 3};
    fake_redis_start(&fake);
    struct fb_place *place = place_of(&fake);
    struct fb_store_watch *w = watch_place(place, "user:");
    UNTIL(now_heard().distrust == 1);
    UNTIL(is_proved(place));
    assert_true(now_heard().all_changed >= 3);
    fb_store_watch_stop(w);
    fb_place_close(place);
    fake_redis_stop(&fake);
}

static void a_server_that_cannot_broadcast_is_watched_without_a_proof(void **state) {
    (void)state;
    struct fake_redis fake = {.tracking = "-ERR syntax error\r\n"};
    fake_redis_start(&fake);
    struct fb_place *place = place_of(&fake);
    struct fb_store_watch *w = watch_place(place, "user:");
    UNTIL(fake.roles_asked >= 3);
    assert_int_equal(now_heard().ups, 1);
    assert_non_null(strstr(now_heard().text, "syntax error"));
    assert_int_equal(*fb_place_proof(place), INT64_MIN);
    fb_store_watch_stop(w);
    fb_place_close(place);
    fake_redis_stop(&fake);
}

/* Most of three Sentinels name another primary than the one that answers. */
static void a_primary_that_most_sentinels_do_not_name_is_left(void **state) {
    (void)state;
    struct fake_redis old = {.run_id = NULL}, new = {.run_id = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}, sentinels[3];
    char url[128];
    struct fb_place *place;
    struct fb_place_facts facts;
    fb_err err;
    fake_redis_start(&old);
    fake_redis_start(&new);
    for (size_t i = 0; i < 3; i++) {
        sentinels[i] = (struct fake_redis){.mode = "sentinel", .sentinel_ports = {old.port, old.port, new.port}};
        fake_redis_start(&sentinels[i]);
    }
    (void)snprintf(url, sizeof url, "sentinel://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/shop", sentinels[0].port,
                   sentinels[1].port, sentinels[2].port);
    assert_int_equal(fb_place_open(&(struct fb_place_options){.url = url, .sentinel_quorum_check = true}, &place, &err),
                     FB_OK);
    struct fb_store_watch *w = watch_place(place, "user:");
    UNTIL(is_proved(place));
    UNTIL(new.roles_asked > 0 && is_proved(place));
    UNTIL(now_heard().distrust == 1);
    fb_place_facts(place, &facts);
    assert_int_equal(strtoul(strrchr(facts.primary, ':') + 1, NULL, 10), new.port);
    /* And two of three that cannot be reached any more are too many. */
    fake_redis_stop(&sentinels[0]);
    fake_redis_stop(&sentinels[1]);
    UNTIL(!now_heard().is_up && strstr(now_heard().text, "less than half") != NULL);
    assert_false(is_proved(place));
    struct fb_store *store;
    struct fb_store_call call = {.move = FB_STORE_INVAL, .key = FB_STR("k")};
    assert_int_equal(fb_store_open(place, &store, &err), FB_OK);
    fb_store_run(store, &call, 1, store_world_soon());
    assert_int_equal(call.outcome, FB_STORE_UNSENT);
    assert_int_equal(new.scripts, 0);
    fb_store_close(store);
    fb_store_watch_stop(w);
    fb_place_close(place);
    fake_redis_stop(&sentinels[2]);
    fake_redis_stop(&old);
    fake_redis_stop(&new);
}

int main(void) {
#define WATCHED(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_do_not_overlap),
        cmocka_unit_test(a_pushed_name_tells_of_its_key),
        WATCHED(changes_of_watched_keys_are_told),
        WATCHED(the_proof_runs_out_when_the_server_is_silent_and_comes_back),
        WATCHED(a_lost_connection_is_made_anew_before_anything_is_proved),
        WATCHED(a_primary_that_becomes_a_replica_proves_nothing),
        cmocka_unit_test(a_server_that_starts_anew_is_distrusted),
        WATCHED(other_prefixes_are_watched_from_then_on),
        WATCHED(who_may_not_track_is_told_once_and_proves_nothing),
        cmocka_unit_test(a_place_without_a_server_is_down_and_the_watch_can_be_stopped),
        cmocka_unit_test(beats_that_are_no_masters_prove_nothing),
        cmocka_unit_test(pushes_are_taken_for_what_they_are),
        cmocka_unit_test(another_run_behind_the_same_address_is_distrusted),
        cmocka_unit_test(a_server_that_cannot_broadcast_is_watched_without_a_proof),
        cmocka_unit_test(a_primary_that_most_sentinels_do_not_name_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
