/* Workers with a real Redis and a database in memory: no read is older than what was acknowledged before it.
 *
 *     coherence [SECONDS]      of each of the four lives (5); prints TAP
 *
 * Each of 16 workers is a client of its own: it reads and writes a few hot keys, pauses at any point, dies in the
 * middle of what it does, and loses answers. Somebody evicts copies, and in one life coordination keys too. Rows have
 * versions; a read is *not regular* when it is older than the last write acknowledged before it began, *not
 * linearizable* when it is older than what had been acknowledged or read by then. Leases and windows are short, so
 * that they expire all the time; the database keeps rule R3: it commits nothing after 60 % of a window. Plain
 * cache-aside lives in the same world first, and must be seen to fail: else this test could not. */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/store_world.h"
#include "base/clock.h"
#include "base/rng.h"
#include "proto/slot.h"

enum {
    WORKERS = 16, KEYS = 16,
    WINDOW_MS = 300, LEASE_MS = 60, TTL_MS = 2000,
    WRITES_PERCENT = 15, REFRESH_PERCENT = 5, DIES_PERMILLE = 10, LOSES_PERMILLE = 5,
    ABSENT_EVERY = 5,        /* every fifth version of a row is its absence */
    TRIES = 3,
};

struct life {
    const char *name;
    bool is_plain, loses_keys, keeps_old;
    bool is_linearizable, is_regular; /* promised */
};

static const struct life lives[] = {
    {"plain cache-aside", .is_plain = true},
    {"the protocol", .is_linearizable = true, .is_regular = true},
    {"the protocol, coordination keys lost, FLUSHALL", .loses_keys = true, .is_regular = true},
    {"the protocol, the old value serves during writes", .keeps_old = true, .is_regular = true},
};

/* The database: the last version of each row. */
static struct row {
    pthread_mutex_t mutex;
    uint64_t version;
    _Atomic uint64_t acked, seen;
} rows[KEYS];

static struct store_world world;
static const struct life *life;
static _Atomic bool is_over;
static unsigned generation; /* lives do not share keys */

static _Atomic uint64_t reads, hits, writes, deaths, not_regular, not_linearizable, unknown;

struct worker {
    pthread_t thread;
    struct fb_rng rng;
    struct fb_store *store;
    struct fb_connection plain;
};

static bool is_absent(uint64_t version) { return version % ABSENT_EVERY == 0; }
static bool happens(struct worker *w, unsigned permille) { return fb_rng_below(&w->rng, 1000) < permille; }
/* Where coordination keys are lost nobody dies: both at once leave what only the TTL ends (H3 of the model). */
static bool dies(struct worker *w) {
    bool is_dead = !life->loses_keys && happens(w, DIES_PERMILLE);
    deaths += is_dead;
    return is_dead;
}

/* A moment in which anything may happen elsewhere; now and then one longer than a lease. */
static void pause_somewhere(struct worker *w) {
    if (happens(w, 300))
        (void)poll(NULL, 0, happens(w, 20) ? 2 * LEASE_MS : (int)fb_rng_below(&w->rng, 4));
}

static fb_instant soon(struct worker *w) {
    bool is_lost = happens(w, LOSES_PERMILLE); /* sent, and not waited for */
    return fb_after(fb_clock_now(), fb_ms(is_lost ? -2 : 5000));
}

static fb_bytes key_name(char text[32], unsigned key) {
    return fb_bytes_of(text, (size_t)snprintf(text, 32, "row:%u:%u", generation, key));
}

/* ---- the database -----------------------------------------------------------------------------------------------
 * */

static uint64_t db_read(unsigned key) {
    pthread_mutex_lock(&rows[key].mutex);
    uint64_t version = rows[key].version;
    pthread_mutex_unlock(&rows[key].mutex);
    return version;
}

/* 0: refused, the transaction took too long. */
static uint64_t db_commit(unsigned key, fb_instant until) {
    pthread_mutex_lock(&rows[key].mutex);
    uint64_t version = fb_before(fb_clock_now(), until) ? ++rows[key].version : 0;
    pthread_mutex_unlock(&rows[key].mutex);
    return version;
}

/* ---- judging ----------------------------------------------------------------------------------------------------
 * */

static void raise_to(_Atomic uint64_t *at, uint64_t version) {
    uint64_t old = *at;
    while (old < version && !atomic_compare_exchange_weak(at, &old, version)) {
    }
}

struct floors { uint64_t acked, seen; };

static struct floors floors_now(unsigned key) {
    struct floors f = {rows[key].acked, 0};
    uint64_t seen = rows[key].seen;
    f.seen = seen > f.acked ? seen : f.acked;
    return f;
}

static void judge(unsigned key, struct floors floors, uint64_t version) {
    reads++;
    not_regular += version < floors.acked;
    not_linearizable += version < floors.seen;
    raise_to(&rows[key].seen, version);
}

/* "Absent" names no version: it is any absence that fits, and wrong when there is none. */
static void judge_absent(unsigned key, struct floors floors) {
    uint64_t newest = db_read(key);
    uint64_t regular = (floors.acked + ABSENT_EVERY - 1) / ABSENT_EVERY * ABSENT_EVERY;
    uint64_t linear = (floors.seen + ABSENT_EVERY - 1) / ABSENT_EVERY * ABSENT_EVERY;
    reads++;
    not_regular += regular > newest;
    not_linearizable += linear > newest;
    if (linear <= newest)
        raise_to(&rows[key].seen, linear);
}

/* ---- plain cache-aside ------------------------------------------------------------------------------------------
 * */

static const struct fb_resp_node *plain_ask(struct worker *w, const fb_bytes *words, size_t n) {
    fb_err err;
    fb_connection_start(&w->plain);
    fb_resp_write_command(&w->plain.out, words, n);
    if (fb_connection_next(&w->plain, fb_after(fb_clock_now(), fb_ms(5000)), &err) != FB_OK)
        abort();
    return w->plain.reply.items;
}

static void plain_read(struct worker *w, unsigned key) {
    char name[32], text[32];
    fb_bytes k = key_name(name, key);
    struct floors floors = floors_now(key);
    const struct fb_resp_node *node = plain_ask(w, (fb_bytes[]){FB_STR("GET"), k}, 2);
    if (node->type == FB_RESP_BULK) {
        (void)snprintf(text, sizeof text, "%.*s", (int)node->text.len, node->text.data);
        hits++;
        judge(key, floors, strtoull(text, NULL, 10));
        return;
    }
    pause_somewhere(w);
    uint64_t version = db_read(key);
    pause_somewhere(w);
    if (!dies(w)) {
        int len = snprintf(text, sizeof text, "%" PRIu64, version);
        fb_bytes words[] = {FB_STR("SET"), k, fb_bytes_of(text, (size_t)len), FB_STR("PX"), FB_STR("2000")};
        (void)plain_ask(w, words, 5);
    }
    judge(key, floors, version);
}

static void plain_write(struct worker *w, unsigned key) {
    char name[32];
    uint64_t version = db_commit(key, FB_NEVER);
    pause_somewhere(w);
    writes++;
    if (dies(w))
        return;
    (void)plain_ask(w, (fb_bytes[]){FB_STR("DEL"), key_name(name, key)}, 2);
    raise_to(&rows[key].acked, version);
}

/* ---- the protocol -----------------------------------------------------------------------------------------------
 * */

static bool run(struct worker *w, struct fb_store_call *call, enum fb_store_move move) {
    call->move = move;
    fb_store_run(w->store, call, 1, soon(w));
    unknown += call->outcome == FB_STORE_UNKNOWN;
    return call->outcome == FB_STORE_DONE;
}

static void bring(struct fb_store_call *call, uint64_t version, char text[32]) {
    call->put = is_absent(version) ? FB_STORE_PUT_NEGATIVE : FB_STORE_PUT_VALUE;
    call->bring = fb_bytes_of(text, (size_t)snprintf(text, 32, "%" PRIu64, version));
    call->ttl_ms = TTL_MS;
}

/* What is cached, if anything; else what the database has, kept if the lease allows. */
static void protocol_read(struct worker *w, unsigned key, bool is_refresh) {
    char name[32], text[32];
    fb_buf value = FB_BUF_INIT;
    struct fb_store_call call = {.kind = FB_KIND_STRING, .key = key_name(name, key), .value = &value,
                                 .is_refresh = is_refresh, .span_ms = LEASE_MS};
    struct floors floors = floors_now(key);
    bool has_lease = false, is_done = false;
    for (int tries = 0; tries < 20 && !has_lease && !is_done; tries++) {
        if (!is_refresh && run(w, &call, FB_STORE_GET) && call.answer == FB_STORE_HIT) {
            hits++;
            (void)snprintf(text, sizeof text, "%.*s", (int)value.len, value.data);
            judge(key, floors, strtoull(text, NULL, 10));
            is_done = true;
            break;
        }
        pause_somewhere(w);
        call.token = fb_store_token(w->store); /* R1 */
        if (!run(w, &call, FB_STORE_MISS) || call.answer == FB_STORE_BUSY)
            break;
        has_lease = call.answer == FB_STORE_LEASE;
        if (call.answer == FB_STORE_NEG) {
            hits++;
            judge_absent(key, floors);
            is_done = true;
        } else if (call.answer == FB_STORE_WAIT) {
            (void)poll(NULL, 0, 2);
        }
    }
    if (!is_done) {
        pause_somewhere(w);
        uint64_t version = db_read(key);
        pause_somewhere(w);
        bool is_alive = !has_lease || !dies(w);
        bring(&call, version, text);
        if (has_lease && is_alive)
            (void)run(w, &call, FB_STORE_FILL);
        if (is_alive)
            judge(key, floors, version);
    }
    fb_buf_free(&value);
}

static void protocol_write(struct worker *w, unsigned key) {
    char name[32], text[32];
    struct fb_store_call call = {.kind = FB_KIND_STRING, .key = key_name(name, key), .keeps_old = life->keeps_old,
                                 .span_ms = WINDOW_MS};
    bool has_begun = false;
    fb_instant until = {0};
    for (int tries = 0; tries < TRIES && !has_begun; tries++) {
        call.token = fb_store_token(w->store);
        until = fb_after(fb_clock_now(), fb_ms(WINDOW_MS * 6 / 10)); /* R3, from before BEGIN leaves */
        call.is_unsure = call.is_unsure || tries > 0;
        has_begun = run(w, &call, FB_STORE_BEGIN);
    }
    pause_somewhere(w);
    if (!has_begun)
        return; /* strict: nothing is written */
    if (dies(w))
        return;
    uint64_t version = db_commit(key, until);
    pause_somewhere(w);
    writes++;
    if (dies(w))
        return;
    bring(&call, version, text);
    if (version == 0)
        call.put = FB_STORE_PUT_NOTHING;
    for (int tries = 0; tries < TRIES; tries++) {
        if (run(w, &call, FB_STORE_END)) {
            raise_to(&rows[key].acked, version);
            return;
        }
        call.is_unsure = true; /* R1 */
    }
    deaths++; /* never acknowledged */
}

/* ---- a life -----------------------------------------------------------------------------------------------------
 * */

static void *work(void *arg) {
    struct worker *w = arg;
    while (!is_over) {
        unsigned key = (unsigned)fb_rng_below(&w->rng, KEYS);
        bool is_write = happens(w, WRITES_PERCENT * 10);
        if (life->is_plain)
            (is_write ? plain_write : plain_read)(w, key);
        else if (is_write)
            protocol_write(w, key);
        else
            protocol_read(w, key, happens(w, REFRESH_PERCENT * 10));
    }
    return NULL;
}

static const char *companion(char kind, unsigned key, fb_buf *buf) {
    char name[32];
    buf->len = 0;
    if (fb_companion_append(buf, kind, key_name(name, key)) != FB_OK || fb_buf_append(buf, "", 1) != FB_OK)
        abort();
    return buf->data;
}

/* Evicts until the life is over. */
static void disturb(fb_instant end) {
    struct fb_rng rng = {generation};
    fb_buf buf = FB_BUF_INIT;
    while (fb_before(fb_clock_now(), end)) {
        char name[32];
        unsigned key = (unsigned)fb_rng_below(&rng, KEYS);
        (void)key_name(name, key);
        (void)store_world_ask(&world, "DEL", name, companion('n', key, &buf), NULL);
        if (life->loses_keys && fb_rng_below(&rng, 2) == 0)
            (void)store_world_ask(&world, "DEL", companion('c', key, &buf), NULL);
        if (life->loses_keys && fb_rng_below(&rng, 100) == 0)
            (void)store_world_ask(&world, "FLUSHALL", NULL);
        (void)poll(NULL, 0, 3);
    }
    fb_buf_free(&buf);
}

/* Copies that no longer say what the database has, once everybody has gone home. */
static unsigned stale_at_rest(void) {
    fb_buf buf = FB_BUF_INIT;
    unsigned stale = 0;
    for (unsigned key = 0; key < KEYS; key++) {
        char name[32];
        (void)key_name(name, key);
        const char *value = store_world_ask(&world, "GET", name, NULL);
        stale += strcmp(value, "(nil)") != 0 && strtoull(value, NULL, 10) != rows[key].version;
        bool has_negative = strcmp(store_world_ask(&world, "GET", companion('n', key, &buf), NULL), "(nil)") != 0;
        stale += has_negative && !is_absent(rows[key].version);
    }
    fb_buf_free(&buf);
    return stale;
}

/* The windows of those who died have passed. */
static void let_marks_expire(void) {
    fb_instant end = fb_after(fb_clock_now(), fb_ms(WINDOW_MS + 50));
    while (fb_before(fb_clock_now(), end))
        (void)poll(NULL, 0, 20);
}

static bool live(unsigned number, int64_t seconds) {
    static struct worker workers[WORKERS];
    reads = hits = writes = deaths = not_regular = not_linearizable = unknown = 0;
    is_over = false;
    generation = number;
    for (unsigned key = 0; key < KEYS; key++) {
        rows[key].version = 1;
        rows[key].acked = rows[key].seen = 0;
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        struct fb_endpoint to = {.path = world.path};
        fb_err err;
        workers[i].rng.state = number * 1000 + i;
        workers[i].store = store_world_open(&world);
        fb_connection_init(&workers[i].plain, 0);
        if (fb_connection_open(&workers[i].plain, &to, store_world_soon(), &err) != FB_OK ||
            pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            abort();
    }
    disturb(fb_after(fb_clock_now(), fb_ms(seconds * 1000)));
    is_over = true;
    for (unsigned i = 0; i < WORKERS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        fb_store_close(workers[i].store);
        fb_connection_finish(&workers[i].plain);
    }
    let_marks_expire();
    unsigned at_rest = stale_at_rest();
    bool is_ok = life->is_plain ? not_regular > 0
                                : (!life->is_regular || not_regular == 0) && at_rest == 0 &&
                                      (!life->is_linearizable || not_linearizable == 0);
    printf("%sok %u - %s%s: %" PRIu64 " reads (%" PRIu64 " hits), %" PRIu64 " writes, %" PRIu64 " deaths, %" PRIu64
           " lost answers; %" PRIu64 " not regular, %" PRIu64 " not linearizable, %u stale at rest\n",
           is_ok ? "" : "not ", number, life->name, life->is_plain ? " is seen to fail" : "", reads, hits, writes,
           deaths, unknown, not_regular, not_linearizable, at_rest);
    (void)fflush(stdout);
    return is_ok;
}

int main(int argc, char **argv) {
    int64_t seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 5;
    unsigned count = sizeof lives / sizeof lives[0], failed = 0;
    if (!store_world_start(&world, NULL)) {
        printf("1..0 # SKIP no redis-server here\n");
        return 0;
    }
    for (unsigned key = 0; key < KEYS; key++)
        (void)pthread_mutex_init(&rows[key].mutex, NULL);
    printf("1..%u\n", count);
    for (unsigned i = 0; i < count; i++) {
        life = &lives[i];
        failed += !live(i + 1, seconds);
    }
    store_world_stop(&world);
    return failed > 0;
}
