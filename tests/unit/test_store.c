/* The store in Redis: slots and companions, each script's table of cases against a real redis-server, and what
 * becomes of calls when the server has lost its scripts, has no memory, is no primary, is silent, or is gone. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "proto/slot.h"
#include "store_world.h"

enum { ODD_KEYS = 200000, MANY = 2000, SILENCE_MS = 1000 };

static struct store_world world;
static bool has_server;
static struct fb_store *store;

static int start(void **state) {
    (void)state;
    has_server = store_world_start(&world, NULL);
    if (has_server)
        store = store_world_open(&world);
    else
        printf("# SKIPPED: no redis-server here; the tables of scripts and faults want one\n");
    return 0;
}

static int stop(void **state) {
    (void)state;
    fb_store_close(store);
    if (has_server)
        store_world_stop(&world);
    return 0;
}

#define ASK(...) store_world_ask(&world, __VA_ARGS__, NULL)

static int fresh(void **state) {
    (void)state;
    if (has_server)
        (void)ASK("FLUSHALL");
    return 0;
}

#define NEEDS_SERVER                                                                                                   \
    if (!has_server)                                                                                                   \
        skip()

/* ---- slots ------------------------------------------------------------------------------------------------------
 * */

static void slots_are_those_of_redis_cluster(void **state) {
    (void)state;
    static const struct { const char *key; unsigned slot; } known[] = { /* CLUSTER KEYSLOT of redis-server 7.0 */
        {"", 0}, {"123456789", 12739}, {"foo", 12182}, {"{user1000}.following", 3443}, {"foo{}{bar}", 8363},
        {"foo{{bar}}zap", 4015}, {"foo{bar}{zap}", 5061}, {"a", 15495}, {"{a}", 15495},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(fb_slot_of(FB_STR(known[i].key)), known[i].slot);
}

static fb_bytes odd_key(struct fb_rng *rng, char *key, size_t size) {
    static const char alphabet[] = "{}{}{}ab:\0\r\xff";
    size_t len = fb_rng_below(rng, size);
    for (size_t i = 0; i < len; i++)
        key[i] = alphabet[fb_rng_below(rng, sizeof alphabet - 1)];
    return fb_bytes_of(key, len);
}

static void companions_of_odd_keys_share_their_slot_and_collide_with_none(void **state) {
    (void)state;
    struct fb_rng rng = {7};
    for (unsigned slot = 0; slot < FB_SLOTS; slot++) {
        char braced[] = "{...}";
        memcpy(braced + 1, fb_slot_tag(slot), FB_SLOT_TAG_LEN);
        assert_int_equal(fb_slot_of(FB_STR(braced)), slot);
    }
    for (int i = 0; i < ODD_KEYS; i++) {
        char text[24];
        fb_bytes key = odd_key(&rng, text, sizeof text);
        fb_buf c = FB_BUF_INIT, n = FB_BUF_INIT;
        assert_int_equal(fb_companion_append(&c, 'c', key), FB_OK);
        assert_int_equal(fb_companion_append(&n, 'n', key), FB_OK);
        assert_int_equal(fb_slot_of(fb_bytes_of(c.data, c.len)), fb_slot_of(key));
        assert_int_equal(fb_slot_of(fb_bytes_of(n.data, n.len)), fb_slot_of(key));
        /* The key stands behind a head of fixed length, so two keys cannot have the same companion. */
        assert_int_equal(c.len, key.len + FB_COMPANION_EXTRA);
        assert_memory_equal(c.data + FB_COMPANION_EXTRA, key.data, key.len);
        fb_buf_free(&c);
        fb_buf_free(&n);
    }
}

/* ---- the scripts, by table --------------------------------------------------------------------------------------
 * */

/* One step: a move with its arguments, and what must come out: the answer, then what Redis holds afterwards
 * ("value/negative", '-' for nothing). Tokens are small numbers. */
struct step {
    enum fb_store_move move;
    unsigned token;
    const char *bring;       /* a value; "" a negative entry; NULL nothing */
    unsigned flags;
    enum fb_store_answer answer;
    const char *after;
};
enum { REFRESH = 1, OLD = 2, UNSURE = 4, HOLD = 8, LATER = 16, ELSEWHERE = 32 };

#define GET FB_STORE_GET
#define MISS FB_STORE_MISS
#define FILL FB_STORE_FILL
#define BEGIN FB_STORE_BEGIN
#define END FB_STORE_END
#define INVAL FB_STORE_INVAL

static uint64_t server; /* that answered the last MISS or BEGIN */

static struct fb_store_call call_of(const struct step *s, fb_buf *value) {
    return (struct fb_store_call){
        .move = s->move, .kind = FB_KIND_STRING, .key = FB_STR("k{1}"), .token = {1, s->token},
        .server = (s->flags & ELSEWHERE) != 0 ? 1 : server,
        .put = s->bring == NULL ? FB_STORE_PUT_NOTHING : *s->bring == '\0' ? FB_STORE_PUT_NEGATIVE : FB_STORE_PUT_VALUE,
        .bring = FB_STR(s->bring != NULL ? s->bring : ""), .ttl_ms = 60000,
        .span_ms = (s->flags & HOLD) != 0 ? 60000 : 0,
        .is_refresh = (s->flags & REFRESH) != 0, .keeps_old = (s->flags & OLD) != 0,
        .is_unsure = (s->flags & UNSURE) != 0, .value = value,
    };
}

/* Every deadline in the coordination key is past. */
static void let_deadlines_pass(void) {
    fb_buf name = FB_BUF_INIT;
    assert_int_equal(fb_companion_append(&name, 'c', FB_STR("k{1}")), FB_OK);
    assert_int_equal(fb_buf_append(&name, "", 1), FB_OK);
    (void)ASK("EVAL", "for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do "
                      "if f ~= 'l' and f ~= 'x' then redis.call('HSET', KEYS[1], f, 1) end end", "1", name.data);
    fb_buf_free(&name);
}

static const char *held(void) {
    static char text[256];
    fb_buf name = FB_BUF_INIT;
    assert_int_equal(fb_companion_append(&name, 'n', FB_STR("k{1}")), FB_OK);
    assert_int_equal(fb_buf_append(&name, "", 1), FB_OK);
    char value[128];
    (void)snprintf(value, sizeof value, "%s", ASK("GET", "k{1}"));
    const char *negative = ASK("GET", name.data);
    (void)snprintf(text, sizeof text, "%s/%s", strcmp(value, "(nil)") == 0 ? "-" : value,
                   strcmp(negative, "(nil)") == 0 ? "-" : negative);
    fb_buf_free(&name);
    return text;
}

static void play(const struct step *steps, size_t n) {
    for (size_t i = 0; i < n; i++) {
        fb_buf value = FB_BUF_INIT;
        struct fb_store_call call = call_of(&steps[i], &value);
        if ((steps[i].flags & LATER) != 0)
            let_deadlines_pass();
        fb_store_run(store, &call, 1, store_world_soon());
        if (call.outcome != FB_STORE_DONE || call.answer != steps[i].answer || strcmp(held(), steps[i].after) != 0)
            fail_msg("step %zu: outcome %d (%s), answer %d (not %d), held %s (not %s)", i, call.outcome, call.why,
                     call.answer, steps[i].answer, held(), steps[i].after);
        if (call.move == MISS || call.move == BEGIN)
            server = call.server;
        fb_buf_free(&value);
    }
}
#define PLAY(...)                                                                                                      \
    do {                                                                                                               \
        NEEDS_SERVER;                                                                                                  \
        static const struct step steps[] = {__VA_ARGS__};                                                              \
        play(steps, sizeof steps / sizeof steps[0]);                                                                   \
        (void)state;                                                                                                   \
    } while (0)

static void a_load_fills_with_its_lease_only(void **state) {
    PLAY({GET, 0, NULL, 0, FB_STORE_NOTHING, "-/-"},
         {MISS, 1, NULL, 0, FB_STORE_LEASE, "-/-"},
         {MISS, 2, NULL, 0, FB_STORE_WAIT, "-/-"},
         {FILL, 2, "no", 0, FB_STORE_NOT_MINE, "-/-"},
         {FILL, 1, "v1", 0, FB_STORE_PUT, "v1/-"},
         {FILL, 1, "v0", 0, FB_STORE_NOT_MINE, "v1/-"},
         {MISS, 3, NULL, 0, FB_STORE_HIT, "v1/-"},
         {GET, 0, NULL, 0, FB_STORE_HIT, "v1/-"});
}

static void a_lease_can_be_given_back_and_expires(void **state) {
    PLAY({MISS, 1, NULL, 0, FB_STORE_LEASE, "-/-"},
         {FILL, 1, NULL, 0, FB_STORE_DROPPED, "-/-"},
         {MISS, 2, NULL, 0, FB_STORE_LEASE, "-/-"},
         {FILL, 2, "late", LATER, FB_STORE_NOT_MINE, "-/-"},
         {MISS, 3, NULL, 0, FB_STORE_LEASE, "-/-"});
}

static void absence_is_kept_and_dropped_as_a_value_is(void **state) {
    PLAY({MISS, 1, NULL, 0, FB_STORE_LEASE, "-/-"},
         {FILL, 1, "", 0, FB_STORE_PUT, "-/1"},
         {MISS, 2, NULL, 0, FB_STORE_NEG, "-/1"},
         {BEGIN, 3, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 3, "v1", 0, FB_STORE_PUT, "v1/-"},
         {BEGIN, 4, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 4, "", 0, FB_STORE_PUT, "-/1"},
         {MISS, 5, NULL, REFRESH, FB_STORE_LEASE, "-/1"},
         {FILL, 5, "v2", 0, FB_STORE_PUT, "v2/-"},
         {MISS, 6, NULL, REFRESH, FB_STORE_LEASE, "v2/-"},
         {FILL, 6, "", 0, FB_STORE_PUT, "-/1"},
         {INVAL, 0, NULL, 0, FB_STORE_NOTHING, "-/-"});
}

static void a_write_hides_the_value_and_revokes_the_lease(void **state) {
    PLAY({MISS, 1, NULL, 0, FB_STORE_LEASE, "-/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {MISS, 3, NULL, 0, FB_STORE_BUSY, "-/-"},
         {FILL, 1, "old", 0, FB_STORE_NOT_MINE, "-/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 2, "v1", 0, FB_STORE_PUT, "v1/-"},
         {FILL, 1, "old", 0, FB_STORE_NOT_MINE, "v1/-"});
}

static void writes_that_overlap_put_nothing(void **state) {
    PLAY({BEGIN, 1, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 1, "v1", 0, FB_STORE_DROPPED, "-/-"},
         {END, 2, "v2", 0, FB_STORE_DROPPED, "-/-"},
         {BEGIN, 3, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 3, "v3", 0, FB_STORE_PUT, "v3/-"});
}

static void an_end_without_its_mark_only_deletes(void **state) {
    PLAY({BEGIN, 1, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 1, "v1", 0, FB_STORE_PUT, "v1/-"},
         {END, 1, "v1", 0, FB_STORE_DROPPED, "-/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {MISS, 3, NULL, LATER, FB_STORE_LEASE, "-/-"},
         {END, 2, "v2", 0, FB_STORE_DROPPED, "-/-"},
         {FILL, 3, "v0", 0, FB_STORE_NOT_MINE, "-/-"},
         {BEGIN, 4, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 2, "v2", 0, FB_STORE_DROPPED, "-/-"},
         {END, 4, "v4", 0, FB_STORE_DROPPED, "-/-"});
}

static void a_write_in_doubt_or_of_another_server_only_deletes(void **state) {
    PLAY({BEGIN, 1, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 1, "v1", UNSURE, FB_STORE_DROPPED, "-/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 2, "v2", ELSEWHERE, FB_STORE_DROPPED, "-/-"},
         {MISS, 3, NULL, 0, FB_STORE_LEASE, "-/-"},
         {FILL, 3, "v3", ELSEWHERE, FB_STORE_NOT_MINE, "-/-"},
         {FILL, 3, "v3", 0, FB_STORE_PUT, "v3/-"});
}

static void an_invalidation_fences_loads_and_writes(void **state) {
    PLAY({MISS, 1, NULL, 0, FB_STORE_LEASE, "-/-"},
         {INVAL, 0, NULL, 0, FB_STORE_NOTHING, "-/-"},
         {FILL, 1, "old", 0, FB_STORE_NOT_MINE, "-/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {INVAL, 0, NULL, 0, FB_STORE_NOTHING, "-/-"},
         {END, 2, "v2", 0, FB_STORE_DROPPED, "-/-"},
         {INVAL, 0, NULL, HOLD, FB_STORE_NOTHING, "-/-"},
         {MISS, 3, NULL, 0, FB_STORE_BUSY, "-/-"},
         {BEGIN, 4, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 4, "v4", 0, FB_STORE_DROPPED, "-/-"});
}

static void an_invalidation_says_whether_a_value_was_there(void **state) {
    PLAY({INVAL, 0, NULL, 0, FB_STORE_NOTHING, "-/-"},
         {BEGIN, 1, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 1, "v1", 0, FB_STORE_PUT, "v1/-"},
         {INVAL, 0, NULL, 0, FB_STORE_DROPPED, "-/-"},
         {INVAL, 0, NULL, HOLD, FB_STORE_NOTHING, "-/-"});
}

static void an_old_value_may_serve_for_the_window_at_most(void **state) {
    PLAY({MISS, 1, NULL, 0, FB_STORE_LEASE, "-/-"},
         {FILL, 1, "v1", 0, FB_STORE_PUT, "v1/-"},
         {BEGIN, 2, NULL, OLD, FB_STORE_BEGUN, "v1/-"},
         {MISS, 3, NULL, 0, FB_STORE_HIT, "v1/-"},
         {MISS, 3, NULL, REFRESH, FB_STORE_BUSY, "v1/-"});
    assert_in_range(strtol(ASK("PTTL", "k{1}"), NULL, 10), 1, FB_STORE_WINDOW_MS);
    static const struct step rest[] = {{END, 2, "v2", 0, FB_STORE_PUT, "v2/-"}};
    play(rest, 1);
}

static void nothing_is_left_of_a_coordination_key(void **state) {
    PLAY({MISS, 1, NULL, 0, FB_STORE_LEASE, "-/-"}, {FILL, 1, "v1", 0, FB_STORE_PUT, "v1/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"}, {BEGIN, 3, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 2, "v", 0, FB_STORE_DROPPED, "-/-"}, {END, 3, "v", 0, FB_STORE_DROPPED, "-/-"},
         {BEGIN, 4, NULL, 0, FB_STORE_BEGUN, "-/-"}, {END, 4, "v4", 0, FB_STORE_PUT, "v4/-"});
    assert_string_equal(ASK("KEYS", "*"), "k{1}");
    assert_in_range(strtol(ASK("PTTL", "k{1}"), NULL, 10), 1, 60000);
}

static void a_dead_writers_mark_ends_on_a_hot_key(void **state) {
    PLAY({BEGIN, 1, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {BEGIN, 2, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 2, "v2", 0, FB_STORE_DROPPED, "-/-"}, /* they did overlap */
         {BEGIN, 3, NULL, LATER, FB_STORE_BEGUN, "-/-"},
         {END, 3, "v3", 0, FB_STORE_PUT, "v3/-"},
         {BEGIN, 3, NULL, 0, FB_STORE_BEGUN, "-/-"},
         {END, 3, "v3", 0, FB_STORE_PUT, "v3/-"});
}

/* ---- many keys, hashes ------------------------------------------------------------------------------------------
 * */

static void thousands_of_keys_go_in_a_few_trips(void **state) {
    (void)state;
    NEEDS_SERVER;
    struct fb_store_call *calls = calloc(MANY, sizeof *calls);
    fb_buf *rows = calloc(MANY, sizeof *rows), *values = calloc(MANY, sizeof *values);
    char(*keys)[16] = calloc(MANY, sizeof *keys);
    assert_true(calls != NULL && rows != NULL && values != NULL && keys != NULL);
    for (size_t i = 0; i < MANY; i++) {
        int len = snprintf(keys[i], sizeof keys[i], "row:%zu", i);
        bool is_hash = i % 2 == 0;
        for (size_t f = 0; is_hash && f <= i % 7 + (i == 100 ? 2500 : 0); f++) {
            char name[16];
            int name_len = snprintf(name, sizeof name, "f%zu", f);
            assert_int_equal(fb_hash_append(&rows[i], fb_bytes_of(name, (size_t)name_len), FB_STR(keys[i])), FB_OK);
        }
        if (!is_hash)
            assert_int_equal(fb_buf_append(&rows[i], keys[i], (size_t)len), FB_OK);
        calls[i] = (struct fb_store_call){
            .kind = is_hash ? FB_KIND_HASH : FB_KIND_STRING, .key = fb_bytes_of(keys[i], (size_t)len),
            .token = fb_store_token(store), .put = FB_STORE_PUT_VALUE, .ttl_ms = 50000,
            .bring = fb_bytes_of(rows[i].data, rows[i].len), .value = &values[i]};
    }
    fb_store_many(store, MISS, calls, MANY, store_world_soon());
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(calls[i].answer, FB_STORE_LEASE);
    fb_store_many(store, FILL, calls, MANY, store_world_soon());
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(calls[i].answer, FB_STORE_PUT);
    fb_store_many(store, GET, calls, MANY, store_world_soon());
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(calls[i].outcome, FB_STORE_DONE);
        assert_int_equal(calls[i].answer, FB_STORE_HIT);
        assert_in_range(calls[i].ttl_ms, 1, 50000);
        if (calls[i].kind == FB_KIND_STRING) {
            assert_int_equal(values[i].len, rows[i].len);
            assert_memory_equal(values[i].data, rows[i].data, rows[i].len);
            continue;
        }
        size_t cursor = 0;
        fb_field field;
        fb_bytes found;
        assert_int_equal(fb_hash_len(fb_bytes_of(values[i].data, values[i].len)), fb_hash_len(calls[i].bring));
        while (fb_hash_next(calls[i].bring, &cursor, &field))
            assert_int_equal(fb_hash_get(fb_bytes_of(values[i].data, values[i].len), field.name, &found), FB_OK);
    }
    for (size_t i = 0; i < MANY; i++) {
        fb_buf_free(&rows[i]);
        fb_buf_free(&values[i]);
    }
    free(calls);
    free(rows);
    free(values);
    free(keys);
}

/* ---- what can go wrong ------------------------------------------------------------------------------------------
 * */

static struct fb_store_call one(enum fb_store_move move, unsigned token, fb_buf *value) {
    const struct step step = {move, token, "v", 0, 0, NULL};
    struct fb_store_call call = call_of(&step, value);
    fb_store_run(store, &call, 1, store_world_soon());
    return call;
}

static void a_host_and_a_port_do_as_well_as_a_socket(void **state) {
    (void)state;
    NEEDS_SERVER;
    struct store_world tcp;
    struct fb_place *place;
    char port[8], url[64];
    unsigned number = store_world_free_port();
    (void)snprintf(port, sizeof port, "%u", number);
    assert_true(store_world_start(&tcp, (const char *const[]){"--port", port, "--bind", "127.0.0.1", NULL}));
    static const struct { const char *host; enum fb_store_outcome outcome; } cases[] = {
        {"127.0.0.1", FB_STORE_DONE}, {"localhost", FB_STORE_DONE}, {"no.host.invalid", FB_STORE_UNSENT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fb_store_call call = {.move = INVAL, .key = FB_STR("k")};
        (void)snprintf(url, sizeof url, "redis://%s:%u", cases[i].host, number);
        struct fb_store *by_host = store_world_open_at(url, NULL, NULL, &place);
        fb_store_run(by_host, &call, 1, store_world_soon());
        assert_int_equal(call.outcome, cases[i].outcome);
        store_world_close_at(by_host, place);
    }
    store_world_stop(&tcp);
}

/* Some calls of a batch found their script, some did not. */
static void a_batch_is_whole_although_scripts_were_lost(void **state) {
    (void)state;
    NEEDS_SERVER;
    fb_buf value = FB_BUF_INIT;
    (void)ASK("SET", "k{1}", "v");
    assert_int_equal(one(MISS, 1, NULL).answer, FB_STORE_HIT);
    assert_string_equal(ASK("SCRIPT", "FLUSH"), "OK");
    const struct step steps[] = {{GET, 0, NULL, 0, 0, NULL}, {BEGIN, 1, NULL, 0, 0, NULL}, {MISS, 2, NULL, 0, 0, NULL}};
    struct fb_store_call calls[3];
    for (size_t i = 0; i < 3; i++)
        calls[i] = call_of(&steps[i], &value);
    fb_store_run(store, calls, 3, store_world_soon());
    assert_int_equal(calls[0].answer, FB_STORE_HIT);
    assert_int_equal(value.len, 1); /* once */
    assert_int_equal(calls[1].answer, FB_STORE_BEGUN);
    assert_int_equal(calls[2].answer, FB_STORE_BUSY);
    fb_buf_free(&value);
}

static void lost_scripts_are_sent_again(void **state) {
    (void)state;
    NEEDS_SERVER;
    assert_int_equal(one(MISS, 1, NULL).answer, FB_STORE_LEASE);
    assert_string_equal(ASK("SCRIPT", "FLUSH"), "OK");
    struct fb_store_call call = one(FILL, 1, NULL);
    assert_int_equal(call.outcome, FB_STORE_DONE);
    assert_int_equal(call.answer, call.server == server ? FB_STORE_PUT : FB_STORE_NOT_MINE);
}

/* With no memory to put anything, what is old is gone all the same, and nobody is told that something was put. */
static void without_memory_nothing_old_is_left(void **state) {
    (void)state;
    NEEDS_SERVER;
    fb_buf name = FB_BUF_INIT;
    assert_int_equal(fb_companion_append(&name, 'n', FB_STR("k{1}")), FB_OK);
    assert_int_equal(fb_buf_append(&name, "", 1), FB_OK);
    static const struct { enum fb_store_move before, move; } cases[] = {
        {GET, BEGIN}, {GET, INVAL}, {BEGIN, END}, {MISS, FILL}, {GET, END}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_buf value = FB_BUF_INIT;
        (void)ASK("FLUSHALL");
        struct fb_store_call before = one(cases[i].before, 1, &value);
        server = before.server;
        bool is_fill = cases[i].move == FILL;
        if (!is_fill) { /* an old value, and even an old negative entry */
            (void)ASK("SET", "k{1}", "old");
            (void)ASK("SET", name.data, "1");
        }
        (void)ASK("CONFIG", "SET", "maxmemory", "1");
        struct fb_store_call call = one(cases[i].move, 1, &value);
        (void)ASK("CONFIG", "SET", "maxmemory", "0");
        if (strcmp(held(), "-/-") != 0 && !(call.answer == FB_STORE_PUT && strcmp(held(), "v/-") == 0))
            fail_msg("case %zu: outcome %d %s, answer %d, held %s", i, call.outcome, call.why, call.answer, held());
        if (cases[i].move == BEGIN && call.outcome == FB_STORE_DONE)
            assert_int_equal(one(MISS, 2, NULL).answer, FB_STORE_BUSY);
        fb_buf_free(&value);
    }
    (void)ASK("FLUSHALL"); /* a load does without a lease: the caller asks the database and keeps nothing */
    (void)ASK("CONFIG", "SET", "maxmemory", "1");
    assert_int_equal(one(MISS, 3, NULL).outcome, FB_STORE_REFUSED);
    (void)ASK("CONFIG", "SET", "maxmemory", "0");
    fb_buf_free(&name);
}

static void a_replica_is_not_used(void **state) {
    (void)state;
    NEEDS_SERVER;
    assert_int_equal(one(MISS, 1, NULL).answer, FB_STORE_LEASE);
    (void)ASK("REPLICAOF", "127.0.0.1", "1");
    struct fb_store_call call = one(BEGIN, 2, NULL);
    assert_int_equal(call.outcome, FB_STORE_REFUSED);
    assert_non_null(strstr(call.why, "READONLY"));
    call = one(BEGIN, 2, NULL); /* connects anew, and looks before it asks */
    assert_int_equal(call.outcome, FB_STORE_UNSENT);
    assert_non_null(strstr(call.why, "replica"));
    (void)ASK("REPLICAOF", "NO", "ONE");
    fb_store_close(store); /* and its back-off */
    store = store_world_open(&world);
    assert_int_equal(one(BEGIN, 2, NULL).answer, FB_STORE_BEGUN);
}

static void silence_is_an_unknown_outcome_and_a_lost_connection_is_made_anew(void **state) {
    (void)state;
    NEEDS_SERVER;
    assert_int_equal(one(MISS, 1, NULL).answer, FB_STORE_LEASE);
    assert_int_equal(kill(world.pid, SIGSTOP), 0);
    const struct step step = {BEGIN, 2, NULL, 0, 0, NULL};
    struct fb_store_call call = call_of(&step, NULL);
    fb_store_run(store, &call, 1, fb_after(fb_clock_now(), fb_ms(SILENCE_MS)));
    assert_int_equal(call.outcome, FB_STORE_UNKNOWN);
    assert_int_equal(kill(world.pid, SIGCONT), 0);
    /* It was carried out after all: its mark keeps the retry, under a token of its own, from putting anything. */
    assert_int_equal(one(BEGIN, 3, NULL).answer, FB_STORE_BEGUN);
    server = one(BEGIN, 3, NULL).server;
    assert_int_equal(one(END, 3, NULL).answer, FB_STORE_DROPPED);
    (void)ASK("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    assert_int_equal(one(INVAL, 0, NULL).outcome, FB_STORE_DONE); /* a hang-up is seen before anything is sent */
}

static void a_store_that_is_not_there_sends_nothing_and_backs_off(void **state) {
    (void)state;
    struct fb_place *place;
    fb_err err;
    struct fb_store *gone = store_world_open_at("unix:///nonexistent/socket", NULL, NULL, &place);
    bool has_backed_off = false;
    for (fb_instant limit = store_world_soon(); !has_backed_off && store_world_is_before(limit);) {
        struct fb_store_call call = {.move = INVAL, .key = FB_STR("k")};
        fb_store_run(gone, &call, 1, store_world_soon());
        assert_int_equal(call.outcome, FB_STORE_UNSENT);
        has_backed_off = strstr(call.why, "in a moment") != NULL; /* mostly the second: the first pause is short */
        assert_true(has_backed_off || strstr(call.why, "no connection") != NULL);
    }
    assert_true(has_backed_off);
    store_world_close_at(gone, place);
    assert_int_equal(fb_place_open(&(struct fb_place_options){.url = NULL}, &place, &err), FB_INVALID);
    assert_int_equal(fb_place_open(&(struct fb_place_options){.url = "http://h"}, &place, &err), FB_INVALID);
    assert_int_equal(fb_place_open(&(struct fb_place_options){.url = "rediss://h", .tls_ca = "/nonexistent"}, &place,
                                   &err), FB_CONFIG);
}

static void users_and_databases_are_named_at_the_start(void **state) {
    (void)state;
    NEEDS_SERVER;
    struct fb_place *place;
    char url[128];
    (void)snprintf(url, sizeof url, "unix://%s?db=3", world.path);
    (void)ASK("ACL", "SETUSER", "fb", "on", ">secret", "~*", "-@all", "+@read", "+@write", "+@scripting",
              "+@connection", "+info", "+time");
    struct fb_store *as_user = store_world_open_at(url, "fb", "secret", &place);
    struct fb_store_call call = {.move = MISS, .key = FB_STR("k"), .token = fb_store_token(as_user)};
    fb_store_run(as_user, &call, 1, store_world_soon());
    assert_int_equal(call.answer, FB_STORE_LEASE);
    store_world_close_at(as_user, place);
    assert_string_equal(ASK("DBSIZE"), "0");
    as_user = store_world_open_at(url, "fb", "wrong", &place);
    fb_store_run(as_user, &call, 1, store_world_soon());
    assert_int_equal(call.outcome, FB_STORE_UNSENT);
    assert_non_null(strstr(call.why, "WRONGPASS"));
    store_world_close_at(as_user, place);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(slots_are_those_of_redis_cluster),
        TEST(companions_of_odd_keys_share_their_slot_and_collide_with_none),
        TEST(a_load_fills_with_its_lease_only),
        TEST(a_lease_can_be_given_back_and_expires),
        TEST(absence_is_kept_and_dropped_as_a_value_is),
        TEST(a_write_hides_the_value_and_revokes_the_lease),
        TEST(writes_that_overlap_put_nothing),
        TEST(an_end_without_its_mark_only_deletes),
        TEST(a_write_in_doubt_or_of_another_server_only_deletes),
        TEST(an_invalidation_fences_loads_and_writes),
        TEST(an_invalidation_says_whether_a_value_was_there),
        TEST(an_old_value_may_serve_for_the_window_at_most),
        TEST(nothing_is_left_of_a_coordination_key),
        TEST(a_dead_writers_mark_ends_on_a_hot_key),
        TEST(thousands_of_keys_go_in_a_few_trips),
        TEST(a_host_and_a_port_do_as_well_as_a_socket),
        TEST(lost_scripts_are_sent_again),
        TEST(a_batch_is_whole_although_scripts_were_lost),
        TEST(without_memory_nothing_old_is_left),
        TEST(a_replica_is_not_used),
        TEST(silence_is_an_unknown_outcome_and_a_lost_connection_is_made_anew),
        TEST(a_store_that_is_not_there_sends_nothing_and_backs_off),
        TEST(users_and_databases_are_named_at_the_start),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
