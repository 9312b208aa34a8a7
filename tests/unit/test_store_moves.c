/* The store when its primaries are not where they were: scripted nodes of a Cluster and Sentinels, which redirect, refuse,
 * lie, talk nonsense and hang up. What certainly was not carried out is sent again, elsewhere or later; what is in doubt
 * never is; and nobody is asked without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fake_redis.h"
#include "proto/topology.h"
#include "store/place_parts.h"
#include "store_world.h"

/* "a" is in slot 15495 and "b" in 3300: the upper and the lower half. */
#define A "a"
#define B "b"
#define HALVES "*2\r\n*3\r\n:0\r\n:8191\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$1\r\nx\r\n" \
               "*3\r\n:8192\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$1\r\ny\r\n"
#define ALL "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$1\r\nx\r\n"
#define DROPPED "+DROPPED\r\n"

/* Two nodes; both say that the first has everything, unless the test says otherwise. */
static struct fake_redis one, two;
static struct fb_place *place;
static struct fb_store *store;
static char redirect[2][96];

static void begin(const char *slots, const char *url_format) {
    char url[96];
    one.mode = two.mode = one.mode != NULL ? one.mode : "cluster";
    one.slots = two.slots = slots;
    fake_redis_start(&one);
    fake_redis_start(&two);
    one.slots_ports[0] = two.slots_ports[0] = one.port;
    one.slots_ports[1] = two.slots_ports[1] = two.port;
    (void)snprintf(url, sizeof url, url_format, one.port, two.port);
    store = store_world_open_at(url, NULL, NULL, &place);
}
#define BEGIN(slots) begin(slots, "cluster://127.0.0.1:%u")

static const char *redirection(const char *word, unsigned slot, unsigned port, char text[96]) {
    (void)snprintf(text, 96, "-%s %u 127.0.0.1:%u\r\n", word, slot, port);
    return text;
}

static int fresh(void **state) {
    (void)state;
    memset(&one, 0, sizeof one);
    memset(&two, 0, sizeof two);
    place = NULL;
    one.says[0] = two.says[0] = DROPPED;
    one.says_count = two.says_count = 1;
    return 0;
}

static int end(void **state) {
    (void)state;
    if (place == NULL)
        return 0;
    store_world_close_at(store, place);
    fake_redis_stop(&one);
    fake_redis_stop(&two);
    return 0;
}

static struct fb_store_call ask(const char *key, int64_t patience_ms) {
    struct fb_store_call call = {.move = FB_STORE_INVAL, .key = FB_STR(key)};
    fb_store_run(store, &call, 1, fb_after(fb_clock_now(), fb_ms(patience_ms)));
    return call;
}

enum { PATIENT_MS = 20000, SHORT_MS = 400, MIDDLE_MS = 3000 };

#define ASSERT_DONE(call) assert_int_equal((call).outcome, FB_STORE_DONE)

/* ---- redirections -----------------------------------------------------------------------------------------------
 * */

static void a_call_goes_where_its_slot_has_moved_and_the_next_goes_there_at_once(void **state) {
    (void)state;
    BEGIN(ALL);
    one.says[0] = redirection("MOVED", 15495, two.port, redirect[0]);
    ASSERT_DONE(ask(A, PATIENT_MS));
    assert_int_equal(one.scripts, 1);
    assert_int_equal(two.scripts, 1);
    ASSERT_DONE(ask(A, PATIENT_MS));
    assert_int_equal(one.scripts, 1);
    assert_int_equal(two.scripts, 2);
    one.says[0] = DROPPED;
    ASSERT_DONE(ask(B, PATIENT_MS)); /* another slot stays */
    assert_int_equal(one.scripts, 2);
}

static void an_ask_counts_for_one_time(void **state) {
    (void)state;
    BEGIN(ALL);
    one.says[0] = redirection("ASK", 15495, two.port, redirect[0]);
    for (unsigned i = 1; i <= 3; i++) {
        ASSERT_DONE(ask(A, PATIENT_MS));
        assert_int_equal(two.asked_with_asking, i);
        assert_int_equal(two.scripts, i);
        assert_true(one.scripts >= i);
    }
    /* GET's two commands need one each. */
    fb_buf value = FB_BUF_INIT;
    struct fb_store_call get = {.move = FB_STORE_GET, .kind = FB_KIND_STRING, .key = FB_STR(A), .value = &value};
    two.says[0] = "$1\r\nv\r\n";
    two.says[1] = ":1000\r\n";
    two.says_count = 2;
    two.said = 0;
    fb_store_run(store, &get, 1, store_world_soon());
    ASSERT_DONE(get);
    assert_int_equal(get.answer, FB_STORE_HIT);
    assert_int_equal(get.ttl_ms, 1000);
    assert_int_equal(value.len, 1);
    assert_int_equal(two.asked_with_asking, 5);
    fb_buf_free(&value);
}

static void a_value_without_the_rest_of_its_answer_is_asked_for_again(void **state) {
    (void)state;
    BEGIN(ALL);
    one.says[0] = "$3\r\nold\r\n"; /* between GET and PTTL the slot moves */
    one.says[1] = redirection("MOVED", 15495, two.port, redirect[0]);
    one.says_count = 2;
    two.says[0] = "$3\r\nnew\r\n";
    two.says[1] = ":7\r\n";
    two.says_count = 2;
    fb_buf value = FB_BUF_INIT;
    struct fb_store_call get = {.move = FB_STORE_GET, .kind = FB_KIND_STRING, .key = FB_STR(A), .value = &value};
    fb_store_run(store, &get, 1, store_world_soon());
    ASSERT_DONE(get);
    assert_int_equal(value.len, 3);
    assert_memory_equal(value.data, "new", 3);
    assert_int_equal(get.ttl_ms, 7);
    fb_buf_free(&value);
}

/* Its replies are still to come on the old line when the first of them names another. */
static void calls_of_one_batch_keep_their_own_replies_when_one_is_redirected(void **state) {
    (void)state;
    static const char *const words[] = {"ASK", "MOVED"};
    for (size_t w = 0; w < 2; w++) {
        (void)fresh(state);
        BEGIN(HALVES);
        two.says[0] = two.says[1] = redirection(words[w], 15495, one.port, redirect[0]);
        two.says[2] = "$3\r\ntwo\r\n";
        two.says[3] = ":5\r\n";
        two.says_count = 4;
        one.says[0] = "$3\r\none\r\n";
        one.says[1] = ":7\r\n";
        one.says_count = 2;
        fb_buf values[2] = {FB_BUF_INIT, FB_BUF_INIT};
        struct fb_store_call calls[2];
        for (size_t i = 0; i < 2; i++)
            calls[i] = (struct fb_store_call){.move = FB_STORE_GET, .kind = FB_KIND_STRING, .value = &values[i],
                                              .key = FB_STR(i == 0 ? A : "{a}x")};
        fb_store_run(store, calls, 2, store_world_soon());
        for (size_t i = 0; i < 2; i++) {
            ASSERT_DONE(calls[i]);
            assert_int_equal(calls[i].answer, FB_STORE_HIT);
            assert_int_equal(values[i].len, 3);
            assert_memory_equal(values[i].data, i == 0 ? "one" : "two", 3);
            assert_int_equal(calls[i].ttl_ms, i == 0 ? 7 : 5);
            fb_buf_free(&values[i]);
        }
        (void)end(state);
        place = NULL;
    }
}

static void a_slot_under_way_is_waited_for_and_not_without_end(void **state) {
    (void)state;
    BEGIN(ALL);
    for (size_t i = 0; i < 4; i++)
        one.says[i] = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
    one.says[4] = DROPPED;
    one.says_count = 5;
    ASSERT_DONE(ask(A, PATIENT_MS));
    assert_int_equal(one.scripts, 5);
    one.says_count = 1;
    fb_instant start = fb_clock_now();
    struct fb_store_call call = ask(A, SHORT_MS);
    /* Certainly not carried out: a write is begun once more. On a busy machine the last answer, or all, may be too late. */
    assert_true(call.outcome == FB_STORE_UNSENT || call.outcome == FB_STORE_UNKNOWN);
    if (call.outcome == FB_STORE_UNSENT && one.scripts > 5)
        assert_non_null(strstr(call.why, "TRYAGAIN"));
    assert_in_range(fb_span_ms(fb_since(fb_clock_now(), start)), 0, PATIENT_MS / 2);
}

static void who_is_sent_in_circles_stops(void **state) {
    (void)state;
    BEGIN(ALL);
    one.says[0] = redirection("MOVED", 15495, two.port, redirect[0]);
    two.says[0] = redirection("MOVED", 15495, one.port, redirect[1]);
    struct fb_store_call call = ask(A, PATIENT_MS);
    assert_int_equal(call.outcome, FB_STORE_REFUSED);
    assert_in_range(one.scripts + two.scripts, 4, 32);
}

static void redirections_that_are_none_are_errors(void **state) {
    (void)state;
    static const char *const texts[] = {
        "-MOVED \r\n", "-MOVED x 127.0.0.1:1\r\n", "-MOVED 16384 127.0.0.1:1\r\n", "-MOVED 1 127.0.0.1\r\n",
        "-MOVED 1 127.0.0.1:0\r\n", "-MOVED 1 127.0.0.1:65536\r\n", "-MOVED 1 127.0.0.1:1x\r\n", "-MOVED 1\r\n",
        "-ASK 99999999999 h:1\r\n", "-ASK  h:1\r\n", "-MOVED -1 h:1\r\n",
    };
    BEGIN(ALL);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        one.says[0] = texts[i];
        assert_int_equal(ask(A, PATIENT_MS).outcome, FB_STORE_REFUSED);
    }
}

static void a_server_alone_that_redirects_is_said_to_be_of_a_cluster(void **state) {
    (void)state;
    begin(ALL, "redis://127.0.0.1:%u");
    one.says[0] = redirection("MOVED", 15495, two.port, redirect[0]);
    struct fb_store_call call = ask(A, PATIENT_MS);
    assert_int_equal(call.outcome, FB_STORE_REFUSED);
    assert_non_null(strstr(call.why, "cluster://"));
    assert_int_equal(two.scripts, 0);
}

/* What is read behind an ASK, or where a MOVED leads, may be heard of only when the watch has followed. */
static void another_map_takes_the_proof_away(void **state) {
    (void)state;
    BEGIN(ALL);
    ASSERT_DONE(ask(A, PATIENT_MS));
    static const char *const words[] = {"ASK", "MOVED"};
    for (size_t i = 0; i < 2; i++) {
        struct fb_place_facts facts;
        fb_place_facts(place, &facts);
        uint64_t before = facts.generation;
        fb_place_prove(place, before, FB_NEVER);
        assert_true(fb_proof_holds(fb_place_proof(place), fb_clock_now()));
        one.says[0] = redirection(words[i], 15495, two.port, redirect[i]);
        ASSERT_DONE(ask(A, PATIENT_MS));
        assert_int_equal(*fb_place_proof(place), INT64_MIN);
        fb_place_prove(place, before, FB_NEVER); /* of the old map */
        assert_int_equal(*fb_place_proof(place), INT64_MIN);
        fb_place_facts(place, &facts);
        assert_true(facts.generation > before);
        assert_int_equal(facts.primaries, 2);
    }
}

/* ---- outcomes ---------------------------------------------------------------------------------------------------
 * */

static void what_is_in_doubt_is_not_sent_again(void **state) {
    (void)state;
    BEGIN(ALL);
    one.says[0] = NULL; /* reads, and hangs up */
    struct fb_store_call call = ask(A, PATIENT_MS);
    assert_int_equal(call.outcome, FB_STORE_UNKNOWN);
    assert_int_equal(one.scripts + two.scripts, 1);
}

static void each_primary_answers_for_its_own_calls(void **state) {
    (void)state;
    BEGIN(HALVES);
    two.says[0] = NULL;
    struct fb_store_call calls[4];
    for (size_t i = 0; i < 4; i++)
        calls[i] = (struct fb_store_call){.move = FB_STORE_INVAL, .key = FB_STR(i % 2 == 0 ? A : B)};
    fb_store_run(store, calls, 4, store_world_soon());
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(calls[i].outcome, i % 2 == 0 ? FB_STORE_UNKNOWN : FB_STORE_DONE);
    assert_int_equal(one.scripts, 2);
}

static void who_is_silent_does_not_take_the_time_of_others(void **state) {
    (void)state;
    BEGIN(HALVES);
    ASSERT_DONE(ask(A, PATIENT_MS));
    ASSERT_DONE(ask(B, PATIENT_MS));
    two.says[0] = ""; /* not a byte */
    struct fb_store_call calls[2] = {{.move = FB_STORE_INVAL, .key = FB_STR(A)},
                                     {.move = FB_STORE_INVAL, .key = FB_STR(B)}};
    fb_store_run(store, calls, 2, fb_after(fb_clock_now(), fb_ms(MIDDLE_MS)));
    assert_int_equal(calls[0].outcome, FB_STORE_UNKNOWN);
    ASSERT_DONE(calls[1]);
}

/* R2: a lease, and a mark, are of the primary that gave them. */
static void what_one_primary_gave_counts_nothing_at_another(void **state) {
    (void)state;
    one.run_id = "1111111111111111aaaaaaaaaaaaaaaaaaaaaaaa";
    two.run_id = "2222222222222222aaaaaaaaaaaaaaaaaaaaaaaa";
    BEGIN(ALL);
    one.says[0] = "+LEASE\r\n";
    one.says[1] = "+BEGUN\r\n";
    one.says[2] = redirection("MOVED", 15495, two.port, redirect[0]);
    one.says_count = 3;
    struct fb_store_call load = {.kind = FB_KIND_STRING, .key = FB_STR(A), .token = fb_store_token(store),
                                 .put = FB_STORE_PUT_VALUE, .bring = FB_STR("v"), .ttl_ms = 1000};
    struct fb_store_call write = load;
    write.token = fb_store_token(store);
    fb_store_many(store, FB_STORE_MISS, &load, 1, store_world_soon());
    fb_store_many(store, FB_STORE_BEGIN, &write, 1, store_world_soon());
    assert_true(load.server == 0x1111111111111111 && write.server == load.server);
    fb_store_many(store, FB_STORE_END, &write, 1, store_world_soon());
    ASSERT_DONE(write);
    assert_string_equal(two.last_what, "none");
    fb_store_many(store, FB_STORE_FILL, &load, 1, store_world_soon());
    assert_int_equal(load.answer, FB_STORE_NOT_MINE);
    assert_int_equal(two.scripts, 1); /* END alone */
}

/* ---- maps -------------------------------------------------------------------------------------------------------
 * */

static void maps_that_cannot_be_are_not_followed(void **state) {
    (void)state;
    static const char *const maps[] = {
        "+OK\r\n", "*0\r\n", "-ERR This instance has cluster support disabled\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n", "*1\r\n*3\r\n:9\r\n:8\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:-1\r\n:8\r\n*2\r\n$1\r\nh\r\n:1\r\n", "*1\r\n*2\r\n:0\r\n:8\r\n",
        "*1\r\n*3\r\n:0\r\n:8\r\n*1\r\n$1\r\nh\r\n", "*1\r\n*3\r\n:0\r\n:8\r\n*2\r\n$1\r\nh\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:8\r\n*2\r\n$1\r\nh\r\n:65536\r\n", "*1\r\n*3\r\n:0\r\n:8\r\n*2\r\n*0\r\n:1\r\n",
        "*1\r\n*3\r\n$1\r\n0\r\n:8\r\n*2\r\n$1\r\nh\r\n:1\r\n", "*1\r\n*3\r\n:0\r\n:8\r\n$-1\r\n", "*1\r\n%0\r\n",
        "*2\r\n*3\r\n:0\r\n:8\r\n*2\r\n$1\r\nh\r\n:1\r\n*3\r\n:9\r\n:9\r\n:0\r\n",
    };
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        (void)fresh(state);
        BEGIN(maps[i]);
        struct fb_store_call call = ask(A, 300);
        if (call.outcome != FB_STORE_UNSENT)
            fail_msg("map %zu: outcome %d (%s)", i, call.outcome, call.why);
        assert_int_equal(one.scripts, 0);
        (void)end(state);
        place = NULL;
    }
}

static fb_status read_map(const char *text, struct fb_topology *t) {
    static const struct fb_resp_reply_limits limits = {.nodes_max = 1000, .bulk_max = 1000};
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    size_t size;
    assert_int_equal(fb_resp_reply(text, text + strlen(text), &limits, &reply, &size, NULL), FB_RESP_DONE);
    fb_topology_clear(t);
    fb_status status = fb_topology_read(&reply, "asked", t, NULL);
    fb_resp_reply_finish(&reply);
    return status;
}

static void maps_are_read_with_replicas_metadata_and_nodes_without_a_name(void **state) {
    (void)state;
    struct fb_topology *t = fb_topology_new(), *other = fb_topology_new(), *again = fb_topology_new();
    assert_int_equal(read_map("*3\r\n"
        "*4\r\n:0\r\n:5\r\n*4\r\n$1\r\nh\r\n:1\r\n$2\r\nid\r\n%1\r\n+hostname\r\n+x\r\n*3\r\n$1\r\nr\r\n:9\r\n$1\r\ni\r\n"
        "*3\r\n:7\r\n:7\r\n*3\r\n$0\r\n\r\n:2\r\n$2\r\nid\r\n"
        "*3\r\n:9\r\n:10\r\n*3\r\n_\r\n:3\r\n$2\r\nid\r\n", t), FB_OK);
    assert_int_equal(t->count, 3);
    assert_string_equal(t->nodes[0].host, "h");
    assert_string_equal(t->nodes[1].host, "asked");
    assert_string_equal(t->nodes[2].host, "asked");
    assert_int_equal(t->slots[5], 0);
    assert_int_equal(t->slots[6], FB_NODE_NONE);
    assert_int_equal(t->slots[7], 1);
    assert_int_equal(t->slots[10], 2);
    /* The same map, told in another order. */
    assert_int_equal(read_map("*3\r\n"
        "*3\r\n:9\r\n:10\r\n*2\r\n_\r\n:3\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n*3\r\n:7\r\n:7\r\n*2\r\n$0\r\n\r\n:2\r\n",
        other), FB_OK);
    fb_topology_copy(again, other);
    fb_topology_copy(other, t);
    assert_true(fb_topology_is_same(again, other));
    again->slots[10] = FB_NODE_NONE;
    assert_false(fb_topology_is_same(again, other));
    (void)fb_topology_unref(t);
    (void)fb_topology_unref(other);
    (void)fb_topology_unref(again);
}

static void a_cluster_with_too_many_primaries_is_refused_and_not_cut(void **state) {
    (void)state;
    fb_buf text = FB_BUF_INIT;
    char part[96];
    int n = snprintf(part, sizeof part, "*%d\r\n", FB_PLACE_PRIMARIES_MAX + 1);
    assert_int_equal(fb_buf_append(&text, part, (size_t)n), FB_OK);
    for (int i = 0; i <= FB_PLACE_PRIMARIES_MAX; i++) {
        n = snprintf(part, sizeof part, "*3\r\n:%d\r\n:%d\r\n*2\r\n$1\r\nh\r\n:%d\r\n", i, i, i + 1);
        assert_int_equal(fb_buf_append(&text, part, (size_t)n), FB_OK);
    }
    static const struct fb_resp_reply_limits limits = {.nodes_max = 10000, .bulk_max = 1000};
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    struct fb_topology *t = fb_topology_new();
    size_t size;
    fb_err err;
    assert_int_equal(fb_resp_reply(text.data, text.data + text.len, &limits, &reply, &size, NULL), FB_RESP_DONE);
    assert_int_equal(fb_topology_read(&reply, "", t, &err), FB_DOWN);
    assert_non_null(strstr(err.text, "more than 256"));
    fb_resp_reply_finish(&reply);
    fb_buf_free(&text);
    (void)fb_topology_unref(t);
}

static void a_slot_that_nobody_serves_is_refused_at_once(void **state) {
    (void)state;
    BEGIN("*1\r\n*3\r\n:0\r\n:100\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$1\r\nx\r\n");
    struct fb_store_call call = ask(A, PATIENT_MS);
    assert_int_equal(call.outcome, FB_STORE_UNSENT);
    assert_non_null(strstr(call.why, "nobody"));
}

static void a_dead_node_is_found_to_have_been_replaced(void **state) {
    (void)state;
    BEGIN(ALL);
    ASSERT_DONE(ask(A, PATIENT_MS));
    unsigned dead = store_world_free_port();
    one.slots_ports[0] = two.slots_ports[0] = dead; /* the failover has not happened yet */
    one.says[0] = "-CLUSTERDOWN The cluster is down\r\n";
    struct fb_store_call call = ask(A, SHORT_MS);
    assert_int_not_equal(call.outcome, FB_STORE_DONE);
    one.slots_ports[0] = two.slots_ports[0] = two.port;
    fb_instant limit = store_world_soon();
    do
        call = ask(A, PATIENT_MS);
    while (call.outcome != FB_STORE_DONE && store_world_is_before(limit));
    ASSERT_DONE(call);
    assert_true(two.scripts >= 1);
    struct fb_place_facts facts;
    fb_place_facts(place, &facts);
    assert_int_equal(facts.kind, FB_STORE_CLUSTER);
    assert_int_equal(facts.primaries, 1);
    assert_true(facts.generation >= 2);
}

/* Nothing is ever sent; a busy machine may have been too slow to say why at once. */
static void ask_until_the_error_is(const char *why) {
    struct fb_place_facts facts;
    fb_instant limit = store_world_soon();
    do {
        assert_int_equal(ask(A, MIDDLE_MS).outcome, FB_STORE_UNSENT);
        fb_place_facts(place, &facts);
    } while (strstr(facts.last_error, why) == NULL && store_world_is_before(limit));
    if (strstr(facts.last_error, why) == NULL)
        fail_msg("not '%s': %s", why, facts.last_error);
    assert_int_equal(one.scripts + two.scripts, 0);
}

/* ---- Sentinels --------------------------------------------------------------------------------------------------
 * */

static void a_sentinel_that_is_behind_is_asked_again(void **state) {
    (void)state;
    struct fake_redis sentinel = {.mode = "sentinel"};
    char url[96];
    one.role = "replica"; /* the old primary */
    one.mode = "standalone";
    fake_redis_start(&sentinel);
    begin(NULL, "redis://127.0.0.1:%u");
    store_world_close_at(store, place);
    sentinel.sentinel_ports[0] = one.port;
    sentinel.sentinel_ports[1] = two.port;
    (void)snprintf(url, sizeof url, "sentinel://127.0.0.1:%u,127.0.0.1:%u/shop", sentinel.port, one.port);
    store = store_world_open_at(url, NULL, NULL, &place);
    fb_instant limit = store_world_soon();
    struct fb_store_call call;
    do
        call = ask(A, PATIENT_MS);
    while (call.outcome != FB_STORE_DONE && store_world_is_before(limit));
    ASSERT_DONE(call);
    assert_int_equal(one.scripts, 0);
    assert_int_equal(two.scripts, 1);
    store_world_close_at(store, place);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u", two.port);
    store = store_world_open_at(url, NULL, NULL, &place);
    fake_redis_stop(&sentinel);
}

static void answers_of_sentinels_that_cannot_be_are_not_followed(void **state) {
    (void)state;
    static const struct { const char *says, *why; } cases[] = {
        {"*-1\r\n", "know no service"}, {"_\r\n", "know no service"}, {"+OK\r\n", "no address"}, {"*0\r\n", "no address"},
        {"-ERR unknown command\r\n", "unknown command"}, {"*2\r\n$1\r\nh\r\n$6\r\n999999\r\n", "no address"},
        {"*2\r\n$1\r\nh\r\n$1\r\n0\r\n", "no address"}, {"*2\r\n$0\r\n\r\n$1\r\n1\r\n", "no address"},
        {"*2\r\n$1\r\nh\r\n*0\r\n", "no address"}, {"*3\r\n$1\r\nh\r\n$1\r\n1\r\n$1\r\n1\r\n", "no address"},
        {"*2\r\n$1\r\nh\r\n:1\r\n", "no address"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)fresh(state);
        one.mode = "sentinel";
        one.sentinel = cases[i].says;
        begin(NULL, "sentinel://127.0.0.1:%u/shop");
        ask_until_the_error_is(cases[i].why);
        (void)end(state);
        place = NULL;
    }
}

static void who_is_taken_for_another_kind_is_told_so(void **state) {
    (void)state;
    static const struct { const char *mode, *url, *why; } cases[] = {
        {"sentinel", "redis://127.0.0.1:%u", "sentinel://"},
        {"standalone", "sentinel://127.0.0.1:%u/x", "no Sentinel"},
        {"sentinel", "cluster://127.0.0.1:%u", "a Sentinel"},
        {"standalone", "cluster://127.0.0.1:%u", "no node of a Cluster"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)fresh(state);
        one.mode = cases[i].mode;
        begin(ALL, cases[i].url);
        ask_until_the_error_is(cases[i].why);
        (void)end(state);
        place = NULL;
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, end)
    const struct CMUnitTest tests[] = {
        TEST(a_call_goes_where_its_slot_has_moved_and_the_next_goes_there_at_once),
        TEST(an_ask_counts_for_one_time),
        TEST(a_value_without_the_rest_of_its_answer_is_asked_for_again),
        TEST(calls_of_one_batch_keep_their_own_replies_when_one_is_redirected),
        TEST(a_slot_under_way_is_waited_for_and_not_without_end),
        TEST(who_is_sent_in_circles_stops),
        TEST(redirections_that_are_none_are_errors),
        TEST(a_server_alone_that_redirects_is_said_to_be_of_a_cluster),
        TEST(another_map_takes_the_proof_away),
        TEST(what_is_in_doubt_is_not_sent_again),
        TEST(each_primary_answers_for_its_own_calls),
        TEST(who_is_silent_does_not_take_the_time_of_others),
        TEST(what_one_primary_gave_counts_nothing_at_another),
        TEST(maps_that_cannot_be_are_not_followed),
        TEST(maps_are_read_with_replicas_metadata_and_nodes_without_a_name),
        TEST(a_cluster_with_too_many_primaries_is_refused_and_not_cut),
        TEST(a_slot_that_nobody_serves_is_refused_at_once),
        TEST(a_dead_node_is_found_to_have_been_replaced),
        TEST(a_sentinel_that_is_behind_is_asked_again),
        TEST(answers_of_sentinels_that_cannot_be_are_not_followed),
        TEST(who_is_taken_for_another_kind_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
