/* The claim of client-side caching, over the engine itself: when everything is quiet, no client's own cache differs
 * from the database.
 *
 * Several clients in RESP3 keep what they read, each in another mode of CLIENT TRACKING, and drop what they are told
 * to. They read and write at random, in pipelines, on two loops; rows change behind Forebay's back as well, followed
 * by a DEL or left to the TTL; writes fail, or end unknown; entries are too large to be kept, are evicted, expire. The
 * source's threads decide what meets what, the seed decides what is done. At the end each client's cache is compared
 * with the rows: at once for keys that nobody changed behind our back, within their TTL and a sweep for the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <forebay/forebay.h>

#include "base/rng.h"
#include "proto/resp.h"
#include "server/server.h"
#include "server/state.h"
#include "server/tracking.h"

enum {
    SEEDS = 5,
    STEPS = 4000,
    KEYS = 16,          /* of each kind */
    CLIENTS = 5,
    PENDING_MAX = 16,   /* requests of one client on their way */
    PATIENCE_MS = 30000,
    BIG = 60000,        /* bytes: sixteen of them do not fit into a cache of 1 MiB */
};

/* k: written through Forebay only. x: changed behind its back too, and short-lived. b: big. n: absence is not kept.
 * a: written around. */
static const char kinds[] = "kxbna";
enum { KINDS = sizeof kinds - 1, ALL_KEYS = KINDS * KEYS };

/* ---- the database ----------------------------------------------------------------------------------------------- */

struct database {
    pthread_mutex_t mutex;
    int rows[ALL_KEYS]; /* 0: absent */
    struct fb_rng rng;  /* what goes wrong */
};

static int number_of(fb_bytes key) {
    int kind = (int)(strchr(kinds, key.data[0]) - kinds), number = 0;
    for (size_t i = 2; i < key.len; i++)
        number = 10 * number + (key.data[i] - '0');
    return kind * KEYS + number;
}

static void print_value(int key, int value, fb_buf *out) {
    char text[16];
    int n = snprintf(text, sizeof text, "%08d", value);
    assert_int_equal(fb_buf_append(out, text, (size_t)n), FB_OK);
    if (kinds[key / KEYS] != 'b')
        return;
    assert_int_equal(fb_buf_reserve(out, BIG), FB_OK);
    memset(out->data + out->len, 'x', BIG);
    out->len += BIG;
}

static void loiter(unsigned turns) {
    while (turns-- > 0)
        sched_yield();
}

static fb_status load(void *user, fb_bytes key, fb_buf *ret_value, fb_err *reterr) {
    struct database *db = user;
    (void)reterr;
    pthread_mutex_lock(&db->mutex);
    int value = db->rows[number_of(key)];
    unsigned turns = (unsigned)fb_rng_below(&db->rng, 40);
    pthread_mutex_unlock(&db->mutex);
    loiter(turns); /* the row may change before its value arrives */
    if (value == 0)
        return FB_NOTFOUND;
    print_value(number_of(key), value, ret_value);
    return FB_OK;
}

static fb_status store(void *user, fb_bytes key, fb_bytes value, fb_buf *ret_after, fb_err *reterr) {
    struct database *db = user;
    char text[9] = "";
    (void)ret_after;
    memcpy(text, value.data, 8);
    pthread_mutex_lock(&db->mutex);
    unsigned fate = (unsigned)fb_rng_below(&db->rng, 100), turns = (unsigned)fb_rng_below(&db->rng, 40);
    if (fate >= 5) /* 0..4: refused; 5, 6: unknown, and it has happened; 7: unknown, and it has not */
        db->rows[number_of(key)] = fate == 7 ? db->rows[number_of(key)] : (int)strtol(text, NULL, 10);
    pthread_mutex_unlock(&db->mutex);
    loiter(turns);
    snprintf(reterr->text, sizeof reterr->text, "fate %u", fate);
    return fate < 5 ? FB_SOURCE : fate < 8 ? FB_UNKNOWN : FB_OK;
}

/* ---- clients ---------------------------------------------------------------------------------------------------- */

enum what { OTHER, READ_KEPT, READ_LOOSE, WRITE };

struct client {
    int fd;
    bool is_optin, is_noloop;
    fb_buf in;
    struct { enum what what; int key; } pending[PENDING_MAX];
    unsigned npending;
    int cache[ALL_KEYS];       /* −1: not there, 0: known to be absent */
    unsigned hits, told;
};

struct world {
    fb_cache *cache;
    struct fb_server *server;
    struct database db;
    struct client clients[CLIENTS];
    struct fb_rng rng;
    int next_value;
};

static void say(struct client *c, const char *const *words, size_t n, enum what what, int key) {
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    fb_bytes args[4];
    for (size_t i = 0; i < n; i++)
        args[i] = FB_STR(words[i]);
    fb_resp_write_command(&out, args, n);
    for (size_t sent = 0; sent < out.buf.len;) {
        ssize_t got = send(c->fd, out.buf.data + sent, out.buf.len - sent, MSG_NOSIGNAL);
        assert_true(got > 0);
        sent += (size_t)got;
    }
    fb_buf_free(&out.buf);
    assert_true(c->npending < PENDING_MAX);
    c->pending[c->npending].what = what;
    c->pending[c->npending++].key = key;
}
#define SAY(c, what, key, ...)                                                                                         \
    say(c, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), what, key)

static void forget(struct client *c, int key) {
    c->cache[key] = -1;
    c->told++;
}

static void take_push(struct client *c, const struct fb_resp_node *nodes) {
    assert_memory_equal(nodes[1].text.data, "invalidate", 10);
    if (nodes[2].type == FB_RESP_NULL)
        for (int key = 0; key < ALL_KEYS; key++)
            forget(c, key);
    for (size_t i = 0; i < nodes[2].children; i++)
        forget(c, number_of(nodes[3 + i].text));
}

static void take_reply(struct client *c, const struct fb_resp_node *node) {
    assert_true(c->npending > 0);
    int key = c->pending[0].key;
    enum what what = c->pending[0].what;
    memmove(c->pending, c->pending + 1, --c->npending * sizeof c->pending[0]);
    if (what == WRITE && c->is_noloop)
        c->cache[key] = -1; /* its own affair */
    if (what != READ_KEPT)
        return;
    if (node->type == FB_RESP_NULL)
        c->cache[key] = 0;
    else if (node->type == FB_RESP_BULK)
        c->cache[key] = (int)strtol(node->text.data, NULL, 10);
}

/* What has arrived; with `waits`, at least something. False when nothing came in time. */
static bool hear(struct client *c, bool waits) {
    static const struct fb_resp_reply_limits limits = {64, 1 << 20};
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    struct pollfd poller = {c->fd, POLLIN, 0};
    fb_err err;
    if (poll(&poller, 1, waits ? PATIENCE_MS : 0) <= 0)
        return false;
    assert_int_equal(fb_buf_reserve(&c->in, 1 << 16), FB_OK);
    ssize_t n = recv(c->fd, c->in.data + c->in.len, 1 << 16, MSG_DONTWAIT);
    assert_true(n > 0);
    c->in.len += (size_t)n;
    size_t at = 0, size;
    while (at < c->in.len && fb_resp_reply(c->in.data + at, c->in.data + c->in.len, &limits, &reply, &size, &err) ==
                                 FB_RESP_DONE) {
        if (reply.items[0].type == FB_RESP_PUSH)
            take_push(c, reply.items);
        else
            take_reply(c, reply.items);
        reply.count = 0;
        at += size;
    }
    memmove(c->in.data, c->in.data + at, c->in.len - at);
    c->in.len -= at;
    fb_resp_reply_finish(&reply);
    return true;
}

static void hear_all(struct client *c) {
    while (c->npending > 0)
        assert_true(hear(c, /* waits */ true));
}

static void dial(struct world *w, struct client *c, const char *mode) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fb_server_port(w->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof address), 0);
    for (int key = 0; key < ALL_KEYS; key++)
        c->cache[key] = -1;
    c->is_optin = strcmp(mode, "OPTIN") == 0;
    c->is_noloop = strcmp(mode, "NOLOOP") == 0;
    SAY(c, OTHER, 0, "HELLO", "3");
    if (mode[0] != '\0')
        SAY(c, OTHER, 0, "CLIENT", "TRACKING", "ON", mode);
    else
        SAY(c, OTHER, 0, "CLIENT", "TRACKING", "ON");
    hear_all(c);
}

/* ---- what happens ----------------------------------------------------------------------------------------------- */

static void name_key(int key, char out[16]) { snprintf(out, 16, "%c:%d", kinds[key / KEYS], key % KEYS); }

static void read_key(struct client *c, int key) {
    char name[16];
    name_key(key, name);
    if (c->cache[key] >= 0) { /* no network */
        c->hits++;
        return;
    }
    if (c->is_optin && key % 4 != 0)
        SAY(c, OTHER, 0, "CLIENT", "CACHING", "YES");
    SAY(c, c->is_optin && key % 4 == 0 ? READ_LOOSE : READ_KEPT, key, "GET", name);
}

static void write_key(struct world *w, struct client *c, int key) {
    char name[16];
    fb_buf value = FB_BUF_INIT;
    name_key(key, name);
    print_value(key, ++w->next_value, &value);
    assert_int_equal(fb_buf_append(&value, "", 1), FB_OK);
    SAY(c, WRITE, key, "SET", name, value.data);
    fb_buf_free(&value);
}

static void change_row(struct world *w, int key) {
    pthread_mutex_lock(&w->db.mutex);
    w->db.rows[key] = fb_rng_below(&w->rng, 4) == 0 ? 0 : ++w->next_value;
    pthread_mutex_unlock(&w->db.mutex);
}

static void step(struct world *w) {
    struct client *c = &w->clients[fb_rng_below(&w->rng, CLIENTS)];
    int key = (int)fb_rng_below(&w->rng, ALL_KEYS);
    char name[16];
    name_key(key, name);
    while (c->npending > PENDING_MAX - 2)
        assert_true(hear(c, /* waits */ true));
    switch (fb_rng_below(&w->rng, 16)) {
    case 0: case 1: write_key(w, c, key); break;
    case 2: /* SQL, then DEL as cache-aside code does */
        change_row(w, key);
        SAY(c, WRITE, key, "DEL", name);
        break;
    case 3: change_row(w, KEYS + key % KEYS); break; /* an x, and nobody says so */
    case 4: (void)hear(c, /* waits */ false); break;
    case 5:
        if (fb_rng_below(&w->rng, 40) == 0)
            SAY(c, OTHER, 0, "FLUSHALL");
        break;
    default: read_key(c, key); break;
    }
    (void)hear(&w->clients[fb_rng_below(&w->rng, CLIENTS)], /* waits */ false);
}

/* ---- the claim -------------------------------------------------------------------------------------------------- */

/* The first difference: in which client; CLIENTS: none. */
static int find_difference(struct world *w, bool with_x, int *ret_key) {
    for (int i = 0; i < CLIENTS; i++)
        for (int key = 0; key < ALL_KEYS; key++) {
            int cached = w->clients[i].cache[key];
            if (cached < 0 || cached == w->db.rows[key] || (!with_x && kinds[key / KEYS] == 'x'))
                continue;
            *ret_key = key;
            return i;
        }
    return CLIENTS;
}

static void expect_no_difference(struct world *w, bool with_x, uint64_t seed) {
    int key, i = find_difference(w, with_x, &key);
    if (i < CLIENTS)
        fail_msg("seed %llu: client %d has %d for %c:%d, the row is %d", (unsigned long long)seed, i,
                 w->clients[i].cache[key], kinds[key / KEYS], key % KEYS, w->db.rows[key]);
}

/* An event is told before the operation behind it completes, and a loop that answers twice has come round. */
static void settle(struct world *w) {
    for (int i = 0; i < CLIENTS; i++)
        hear_all(&w->clients[i]);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < CLIENTS; i++) {
            SAY(&w->clients[i], OTHER, 0, "PING");
            hear_all(&w->clients[i]);
        }
}

static void begin(struct world *w, uint64_t seed) {
    static const char *const listen_on[] = {"127.0.0.1:0", NULL};
    static const char *const modes[CLIENTS] = {"", "", "OPTIN", "BCAST", "NOLOOP"};
    fb_options cache_options = {.memory_max = 1 << 20, .shards = 2};
    fb_source_options source_options = {.pool = 3, .batch_max = 4};
    struct fb_server_options options = {.listen = listen_on, .threads = 2, .is_protected = true};
    fb_source *source;
    fb_err err = {0};
    *w = (struct world){.rng = {seed}, .db = {.mutex = PTHREAD_MUTEX_INITIALIZER, .rng = {seed + 1000}}};
    fb_callbacks callbacks = {.load = load, .store = store, .user = &w->db};
    if (fb_open(&cache_options, &w->cache, &err) != FB_OK ||
        fb_source_callbacks(w->cache, "db", &callbacks, &source_options, &source, &err) != FB_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < KINDS; i++) {
        char pattern[] = "k:{id:int}";
        fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
        pattern[0] = kinds[i];
        ks.pattern = pattern;
        ks.source = source;
        ks.as = "text";
        ks.write = kinds[i] == 'a' ? FB_WRITE_AROUND : FB_WRITE_THROUGH;
        ks.policy.ttl_ms = kinds[i] == 'x' ? 60 : 3600000;
        ks.policy.negative_ttl_ms = kinds[i] == 'x' ? 60 : kinds[i] == 'n' ? 0 : 3600000;
        if (fb_keyspace_add(w->cache, &ks, &err) != FB_OK)
            fail_msg("%s", err.text);
    }
    if (fb_server_start(w->cache, &options, &w->server, &err) != FB_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < CLIENTS; i++)
        dial(w, &w->clients[i], modes[i]);
}

static void end(struct world *w) {
    for (int i = 0; i < CLIENTS; i++) {
        close(w->clients[i].fd);
        fb_buf_free(&w->clients[i].in);
    }
    fb_server_stop(w->server, 10000);
    fb_close(w->cache);
}

static void no_cache_of_a_client_differs_from_the_database_when_all_is_quiet(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world w;
        unsigned hits = 0, told = 0;
        int key;
        begin(&w, seed);
        for (int i = 0; i < STEPS; i++) {
            step(&w);
            if (i % 1000 == 999) {
                settle(&w);
                expect_no_difference(&w, /* with_x */ false, seed);
            }
        }
        /* What nobody told us ends with its TTL, and the sweep that finds it. */
        for (int i; (i = find_difference(&w, /* with_x */ true, &key)) < CLIENTS;)
            if (!hear(&w.clients[i], /* waits */ true))
                expect_no_difference(&w, /* with_x */ true, seed);
        for (int i = 0; i < CLIENTS; i++) {
            hits += w.clients[i].hits;
            told += w.clients[i].told;
        }
        assert_true(hits > STEPS / 50 && told > STEPS / 50);
        end(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cache_of_a_client_differs_from_the_database_when_all_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
