/* Workers with a real Redis and a database in memory: no read is older than what was acknowledged before it.
 *
 *     coherence [SECONDS]      of each of the four lives (5); prints TAP
 *     coherence SECONDS URL [CA]
 *                              one life, of SECONDS or until SIGTERM, at a store that somebody else starts, moves and
 *                              breaks meanwhile (tests/wire/test_store_moves.py): with copies in the process; prints
 *                              name=number
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/store_world.h"
#include "copies.h"
#include "base/clock.h"
#include "base/rng.h"
#include "proto/slot.h"

enum {
    WORKERS = 16, KEYS = 16,
    WINDOW_MS = 300, LEASE_MS = 60, TTL_MS = 2000,
    TTL_MOVED_MS = 120000,   /* what a failover brought back must not be gone before it is looked for */
    WRITES_PERCENT = 15, REFRESH_PERCENT = 5, DIES_PERMILLE = 10, LOSES_PERMILLE = 5,
    ABSENT_EVERY = 5,        /* every fifth version of a row is its absence */
    EVICTS_PERMILLE = 20,    /* of turns, where the store is moved */
    TRIES = 3,
    PATIENCE_MS = 5000,      /* for one answer; at a store that is being moved: as the engine's */
    PATIENCE_MOVED_MS = 250,
    ACKS = 4096,             /* of one row, remembered with their times */
    LATE_MS = 1000,          /* how old a copy may be, and what the machine may add */
    LATE_SLACK_MS = 100,
};

struct life {
    const char *name;
    bool is_plain, loses_keys, keeps_old, has_copies;
    bool is_linearizable, is_regular; /* promised */
};

static const struct life lives[] = {
    {"plain cache-aside", .is_plain = true},
    {"the protocol", .is_linearizable = true, .is_regular = true},
    {"the protocol, coordination keys lost, FLUSHALL", .loses_keys = true, .is_regular = true},
    {"the protocol, the old value serves during writes", .keeps_old = true, .is_regular = true},
};

static const struct life moved = {"the protocol, with copies, the store is moved", .has_copies = true};

/* The database: the last version of each row. */
static struct row {
    pthread_mutex_t mutex;
    uint64_t version;
    _Atomic uint64_t acked, seen;
    struct { fb_instant at; uint64_t version; } acks[ACKS];
    uint64_t acks_count;
    _Atomic int64_t answered;  /* when the store last carried something out for this row */
    _Atomic int64_t longest;   /* time without that, ns */
} rows[KEYS];

static struct store_world world;
static struct fb_place *place;
static struct copies *copies; /* NULL: none are kept */
static const struct life *life;
static _Atomic bool is_over;
static unsigned generation; /* lives do not share keys */

static _Atomic uint64_t reads, hits, writes, deaths, not_regular, not_linearizable, unknown;
static _Atomic uint64_t unsent, refused, too_old;

struct worker {
    pthread_t thread;
    struct fb_rng rng;
    struct fb_store *store;
    struct fb_connection plain;
    unsigned key;               /* it is busy with */
    _Atomic uint64_t turns;     /* reads and writes it is through with */
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
    return fb_after(fb_clock_now(), fb_ms(is_lost ? -2 : life->has_copies ? PATIENCE_MOVED_MS : PATIENCE_MS));
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

static void acknowledge(unsigned key, uint64_t version) {
    struct row *row = &rows[key];
    pthread_mutex_lock(&row->mutex);
    row->acks[row->acks_count % ACKS].version = version;
    row->acks[row->acks_count++ % ACKS].at = fb_clock_now();
    pthread_mutex_unlock(&row->mutex);
    raise_to(&row->acked, version);
}

/* A copy may be as old as the proof's second: older than the newest acknowledged before it, it is wrong. */
static void judge_copy(unsigned key, fb_instant begun, uint64_t version) {
    struct row *row = &rows[key];
    fb_instant floor = fb_after(begun, fb_ms(-LATE_MS - LATE_SLACK_MS));
    uint64_t newest = 0;
    pthread_mutex_lock(&row->mutex);
    for (uint64_t i = row->acks_count > ACKS ? row->acks_count - ACKS : 0; i < row->acks_count; i++)
        if (fb_before(row->acks[i % ACKS].at, floor) && row->acks[i % ACKS].version > newest)
            newest = row->acks[i % ACKS].version;
    pthread_mutex_unlock(&row->mutex);
    reads++;
    too_old += version < newest;
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

static void note_answer(unsigned key) {
    int64_t now = fb_clock_now().ns, before = atomic_exchange(&rows[key].answered, now);
    int64_t longest = rows[key].longest;
    while (longest < now - before && !atomic_compare_exchange_weak(&rows[key].longest, &longest, now - before)) {
    }
}

static bool run(struct worker *w, struct fb_store_call *call, enum fb_store_move move) {
    call->move = move;
    fb_store_run(w->store, call, 1, soon(w));
    unknown += call->outcome == FB_STORE_UNKNOWN;
    unsent += call->outcome == FB_STORE_UNSENT;
    refused += call->outcome == FB_STORE_REFUSED;
    if (call->outcome == FB_STORE_REFUSED && life->has_copies)
        printf("# refused: %s\n", call->why);
    if (call->outcome == FB_STORE_DONE)
        note_answer(w->key);
    return call->outcome == FB_STORE_DONE;
}

static void bring(struct fb_store_call *call, uint64_t version, char text[32]) {
    call->put = is_absent(version) ? FB_STORE_PUT_NEGATIVE : FB_STORE_PUT_VALUE;
    call->bring = fb_bytes_of(text, (size_t)snprintf(text, 32, "%" PRIu64, version));
    call->ttl_ms = life->has_copies ? TTL_MOVED_MS : TTL_MS;
}

/* What is cached, if anything; else what the database has, kept if the lease allows. */
static void protocol_read(struct worker *w, unsigned key, bool is_refresh) {
    char name[32], text[32];
    fb_buf value = FB_BUF_INIT;
    struct fb_store_call call = {.kind = FB_KIND_STRING, .key = key_name(name, key), .value = &value,
                                 .is_refresh = is_refresh, .span_ms = LEASE_MS};
    struct floors floors = floors_now(key);
    bool has_lease = false, is_done = false;
    fb_instant begun = fb_clock_now();
    uint64_t version, sequence = copies != NULL ? copies_sequence(copies, key) : 0;
    if (copies != NULL && !is_refresh && copies_get(copies, key, &version)) {
        judge_copy(key, begun, version);
        return;
    }
    for (int tries = 0; tries < 20 && !has_lease && !is_done; tries++) {
        if (!is_refresh && run(w, &call, FB_STORE_GET) && call.answer == FB_STORE_HIT) {
            hits++;
            (void)snprintf(text, sizeof text, "%.*s", (int)value.len, value.data);
            version = strtoull(text, NULL, 10);
            judge(key, floors, version);
            if (copies != NULL)
                copies_put(copies, key, sequence, version);
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
        version = db_read(key);
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
        if (copies != NULL)
            copies_drop(copies, key);
        if (run(w, &call, FB_STORE_END)) {
            acknowledge(key, version);
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
        unsigned key = w->key = (unsigned)fb_rng_below(&w->rng, KEYS);
        bool is_write = happens(w, WRITES_PERCENT * 10);
        if (life->is_plain)
            (is_write ? plain_write : plain_read)(w, key);
        else if (is_write)
            protocol_write(w, key);
        else
            protocol_read(w, key, happens(w, REFRESH_PERCENT * 10));
        w->turns++;
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

static void begin_life(unsigned number) {
    reads = hits = writes = deaths = not_regular = not_linearizable = unknown = unsent = refused = too_old = 0;
    is_over = false;
    generation = number;
    for (unsigned key = 0; key < KEYS; key++) {
        rows[key].version = 1;
        rows[key].acked = rows[key].seen = 0;
        rows[key].acks_count = 0;
        rows[key].answered = fb_clock_now().ns;
        rows[key].longest = 0;
    }
}

static struct worker workers[WORKERS];

static void begin_workers(unsigned number) {
    for (unsigned i = 0; i < WORKERS; i++) {
        struct fb_endpoint to = {.path = world.path};
        fb_err err;
        workers[i].rng.state = number * 1000 + i;
        fb_connection_init(&workers[i].plain, 0);
        if (fb_store_open(place, &workers[i].store, &err) != FB_OK ||
            (life->is_plain && fb_connection_open(&workers[i].plain, &to, store_world_soon(), &err) != FB_OK) ||
            pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            abort();
    }
}

static void end_workers(void) {
    is_over = true;
    for (unsigned i = 0; i < WORKERS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        fb_store_close(workers[i].store);
        fb_connection_finish(&workers[i].plain);
    }
    let_marks_expire();
}

static bool live(unsigned number, int64_t seconds) {
    begin_life(number);
    begin_workers(number);
    disturb(fb_after(fb_clock_now(), fb_ms(seconds * 1000)));
    end_workers();
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

/* ---- at a store of somebody else's ------------------------------------------------------------------------------
 * */

/* Wrong answers up to the moment when all that a history asked for had been invalidated. */
static uint64_t forgiven_reads, forgiven_copies;

static volatile sig_atomic_t is_enough;

static void take_signal(int number) {
    (void)number;
    is_enough = 1;
}

/* Is everybody through with what was under way then? */
static bool have_turned(const uint64_t then[WORKERS]) {
    for (unsigned i = 0; i < WORKERS; i++)
        if (workers[i].turns == then[i])
            return false;
    return true;
}

static bool goes_on(fb_instant end) { return is_enough == 0 && fb_before(fb_clock_now(), end); }

/* Evicts, and invalidates what histories ask for. */
static void tend(fb_instant end) {
    struct worker w = {.rng = {generation}};
    uint64_t turns[WORKERS] = {0}; /* when the last invalidation was through */
    bool is_settled = true;
    fb_err err;
    if (fb_store_open(place, &w.store, &err) != FB_OK)
        abort();
    while (goes_on(end)) {
        char name[32];
        struct fb_store_call evict = {.max_ms = 1}, again = {.span_ms = 0};
        w.key = (unsigned)fb_rng_below(&w.rng, KEYS);
        evict.key = key_name(name, w.key);
        if (happens(&w, EVICTS_PERMILLE))
            (void)run(&w, &evict, FB_STORE_LIFE);
        while (copies_owe(copies, &w.key) && goes_on(end)) {
            again.key = key_name(name, w.key);
            if (run(&w, &again, FB_STORE_INVAL))
                copies_paid(copies, w.key);
            for (unsigned i = 0; i < WORKERS; i++)
                turns[i] = workers[i].turns;
            is_settled = false;
        }
        if (!is_settled) { /* a failover may show */
            is_settled = have_turned(turns);
            forgiven_reads = not_regular;
            forgiven_copies = too_old;
        }
        (void)poll(NULL, 0, 3);
    }
    fb_store_close(w.store);
}

/* A store that has just been moved may need a moment: its nodes agree, its map is looked for, a connection is made anew. */
static void ask(struct fb_store *store, enum fb_store_move move, struct fb_store_call *call) {
    fb_instant deadline = store_world_soon();
    do {
        call->token = fb_store_token(store); /* R1 */
        fb_store_many(store, move, call, 1, fb_after(fb_clock_now(), fb_ms(PATIENCE_MOVED_MS)));
    } while (call->outcome != FB_STORE_DONE && store_world_is_before(deadline));
}

/* What the store still has, by its own moves; UINT32_MAX: it does not answer. */
static unsigned stale_by_moves(void) {
    struct fb_store *store;
    fb_buf value = FB_BUF_INIT;
    fb_err err;
    unsigned stale = 0;
    if (fb_store_open(place, &store, &err) != FB_OK)
        abort();
    for (unsigned key = 0; key < KEYS; key++) {
        char name[32], text[32];
        struct fb_store_call call = {.kind = FB_KIND_STRING, .key = key_name(name, key), .value = &value};
        value.len = 0;
        ask(store, FB_STORE_GET, &call);
        (void)snprintf(text, sizeof text, "%.*s", (int)value.len, value.data != NULL ? value.data : "");
        stale += call.answer == FB_STORE_HIT && strtoull(text, NULL, 10) != rows[key].version;
        bool is_silent = call.outcome != FB_STORE_DONE;
        ask(store, FB_STORE_MISS, &call);
        stale += call.answer == FB_STORE_NEG && !is_absent(rows[key].version);
        if (is_silent || call.outcome != FB_STORE_DONE) {
            printf("# at rest: %s\n", call.why);
            stale = UINT32_MAX;
            break;
        }
    }
    fb_store_close(store);
    fb_buf_free(&value);
    return stale;
}

static int live_elsewhere(int64_t seconds, const char *url, const char *ca) {
    fb_err err;
    char prefix[32];
    int64_t longest = 0;
    if (fb_place_open(&(struct fb_place_options){.url = url, .tls_ca = ca}, &place, &err) != FB_OK) {
        printf("%s\n", err.text);
        return 1;
    }
    (void)signal(SIGTERM, take_signal);
    life = &moved;
    begin_life(1);
    (void)snprintf(prefix, sizeof prefix, "row:%u", generation);
    copies = copies_start(place, prefix, KEYS);
    begin_workers(1);
    tend(fb_after(fb_clock_now(), fb_ms(seconds * 1000)));
    for (unsigned key = 0; key < KEYS; key++) {
        note_answer(key); /* what is not answered at the end counts, too */
        longest = rows[key].longest > longest ? rows[key].longest : longest;
    }
    end_workers();
    unsigned at_rest = stale_by_moves();
    struct copies_heard heard = copies_heard(copies);
    copies_stop(copies);
    fb_place_close(place);
    printf("reads=%" PRIu64 " hits=%" PRIu64 " copies=%" PRIu64 " writes=%" PRIu64 " unsent=%" PRIu64 " unknown=%" PRIu64
           " refused=%" PRIu64 " not_regular=%" PRIu64 " not_regular_after=%" PRIu64 " copies_too_old=%" PRIu64 " copies_too_old_after=%" PRIu64 " stale_at_rest=%u longest_ms=%" PRId64
           " told=%" PRIu64 " all_told=%" PRIu64 " reassert=%" PRIu64 " distrust=%" PRIu64 "\n",
           reads, hits, heard.served, writes, unsent, unknown, refused, not_regular, not_regular - forgiven_reads, too_old, too_old - forgiven_copies, at_rest,
           longest / FB_NS_PER_MS, heard.changed, heard.all_changed, heard.reassert, heard.distrust);
    return 0;
}

int main(int argc, char **argv) {
    int64_t seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 5;
    unsigned count = sizeof lives / sizeof lives[0], failed = 0;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned key = 0; key < KEYS; key++)
        (void)pthread_mutex_init(&rows[key].mutex, NULL);
    if (argc > 2)
        return live_elsewhere(seconds, argv[2], argc > 3 ? argv[3] : NULL);
    if (!store_world_start(&world, NULL)) {
        printf("1..0 # SKIP no redis-server here\n");
        return 0;
    }
    place = world.place;
    printf("1..%u\n", count);
    for (unsigned i = 0; i < count; i++) {
        life = &lives[i];
        failed += !live(i + 1, seconds);
    }
    store_world_stop(&world);
    return failed > 0;
}
