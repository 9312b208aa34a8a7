/* The scripts in Redis and the decisions in C are the same protocol: seeded histories of moves, expiries and lost
 * keys, the same to both; every answer and everything held must agree after every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "model_redis.h"
#include "proto/slot.h"
#include "store_world.h"

enum {
    HISTORIES = 150, STEPS = 100, TOKENS = 3,
    LIVES = 1000, LIFE_MS = 100000, /* no two of a history are alike, so that the time it takes decides nothing */
};

static struct store_world world;

#define ASK(...) store_world_ask(&world, __VA_ARGS__, NULL)

static const char *companion(char kind, fb_bytes key) {
    static char names[2][64];
    char *name = names[kind == 'n'];
    fb_buf buf = FB_BUF_INIT;
    assert_int_equal(fb_companion_append(&buf, kind, key), FB_OK);
    memcpy(name, buf.data, buf.len);
    name[buf.len] = '\0';
    fb_buf_free(&buf);
    return name;
}

static const char *mark_name(struct fb_store_token token) {
    static char name[64];
    (void)snprintf(name, sizeof name, "w:%016llx-%llx", (unsigned long long)token.process,
                   (unsigned long long)token.number);
    return name;
}

/* One thing of the environment, to both. */
static void disturb(struct model_key *k, fb_bytes key, unsigned what, struct fb_store_token token) {
    const char *c = companion('c', key);
    switch (what) {
    case 0:
        model_redis_expire_lease(k);
        if (strcmp(ASK("HEXISTS", c, "d"), "1") == 0)
            (void)ASK("HSET", c, "d", "1");
        break;
    case 1:
        model_redis_expire_mark(k, token);
        if (strcmp(ASK("HEXISTS", c, mark_name(token)), "1") == 0)
            (void)ASK("HSET", c, mark_name(token), "1");
        break;
    case 2:
        model_redis_lose(k);
        (void)ASK("DEL", c);
        break;
    case 3:
        k->is_held = false;
        if (strcmp(ASK("HEXISTS", c, "w:"), "1") == 0)
            (void)ASK("HSET", c, "w:", "1");
        break;
    default:
        k->has_value = k->has_negative = false;
        (void)ASK("DEL", "k", companion('n', key));
        break;
    }
}

static void histories_agree(void **state) {
    (void)state;
    if (!store_world_start(&world, NULL)) {
        printf("# SKIPPED: no redis-server here\n");
        skip();
    }
    struct fb_store *real = store_world_open(&world);
    fb_bytes key = FB_STR("k");
    struct fb_store_call first = {.move = FB_STORE_MISS, .key = FB_STR("first"), .token = {1, 1}};
    fb_store_run(real, &first, 1, store_world_soon());
    uint64_t server = first.server; /* the real one's */
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct fb_rng rng = {seed};
        struct model_redis model;
        model_redis_init(&model);
        (void)ASK("FLUSHALL");
        for (unsigned step = 0; step < STEPS; step++) {
            struct model_key *k = model_redis_key(&model, key);
            struct fb_store_token token = {1, 1 + fb_rng_below(&rng, TOKENS)};
            if (k->has_lease && fb_rng_below(&rng, 2) == 0) /* of those who hold something, mostly */
                token = k->lease;
            else if (k->marks_count > 0 && fb_rng_below(&rng, 2) == 0)
                token = k->marks[0];
            if (fb_rng_below(&rng, 6) == 0) {
                disturb(k, key, (unsigned)fb_rng_below(&rng, 5), token);
                continue;
            }
            char text[32];
            int len = snprintf(text, sizeof text, "%u", step);
            fb_buf value = FB_BUF_INIT, other = FB_BUF_INIT;
            int64_t life = (int64_t)(fb_rng_below(&rng, LIVES) * STEPS + step + 1) * LIFE_MS;
            struct fb_store_call call = {
                .move = (enum fb_store_move)fb_rng_below(&rng, FB_STORE_MOVES), .kind = FB_KIND_STRING, .key = key,
                .token = token, .put = (enum fb_store_put)fb_rng_below(&rng, 3),
                .bring = fb_bytes_of(text, (size_t)len), .ttl_ms = life, .span_ms = life,
                .max_ms = LIVES * STEPS * (int64_t)LIFE_MS, .when = (enum fb_store_when)fb_rng_below(&rng, 5),
                .is_refresh = fb_rng_below(&rng, 4) == 0, .keeps_old = fb_rng_below(&rng, 4) == 0,
                .is_unsure = fb_rng_below(&rng, 8) == 0, .server = model.server, .value = &value};
            if (call.move == FB_STORE_INVAL && fb_rng_below(&rng, 4) != 0)
                call.span_ms = 0;
            if (call.move == FB_STORE_LIFE && fb_rng_below(&rng, 8) == 0)
                call.ttl_ms = 0;
            if (call.move == FB_STORE_LIFE && fb_rng_below(&rng, 8) == 0)
                call.max_ms = life / 2 + LIFE_MS / 2;
            if (call.move == FB_STORE_LIFE && k->has_value && fb_rng_below(&rng, 16) == 0) { /* as by PERSIST */
                k->life_ms = -1;
                (void)ASK("PERSIST", "k");
            }
            struct fb_store_call twin = call;
            twin.value = &other;
            twin.server = server;
            fb_store_run(&model.store, &call, 1, store_world_soon());
            fb_store_run(real, &twin, 1, store_world_soon());
            if (twin.outcome != FB_STORE_DONE)
                fail_msg("seed %d, step %u: outcome %d, %s", (int)seed, step, twin.outcome, twin.why);
            if (twin.answer != call.answer)
                fail_msg("seed %d, step %u, move %d: Redis says %d, the model %d", (int)seed, step, call.move,
                         twin.answer, call.answer);
            fb_buf_free(&value);
            fb_buf_free(&other);
            k = model_redis_key(&model, key);
            char held[64];
            (void)snprintf(held, sizeof held, "%.*s", k->has_value ? (int)k->value_len : 5,
                           k->has_value ? k->value : "(nil)");
            assert_string_equal(ASK("GET", "k"), held);
            assert_string_equal(ASK("EXISTS", companion('n', key)), k->has_negative ? "1" : "0");
            int64_t left = strtol(ASK("PTTL", "k"), NULL, 10);
            int64_t most = k->has_value ? k->life_ms : -2;
            if (left > most || left < (most > 0 ? most - LIFE_MS / 4 : most))
                fail_msg("seed %d, step %u, move %d: %lld ms are left in Redis, %lld in the model", (int)seed, step,
                         call.move, (long long)left, (long long)most);
        }
    }
    fb_store_close(real);
    store_world_stop(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(histories_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
