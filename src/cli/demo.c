/* forebay demo: a sample shop, the same load without and with Forebay, and then a server to try.
 *
 * Signals are blocked before the first thread starts and taken only where the main thread rests, so Ctrl-C ends every
 * part of it in order and what was made is removed. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/demo_load.h"
#include "cli/port_user.h"
#include "cli/shop.h"
#include "server/server.h"

enum {
    PORT = 6380,
    SECONDS = 2,              /* of each of the six measurements */
    ADDED_MS = 5,             /* what a database in another room costs per query */
    DRAIN_MS = 1000,
    COMPARED = 1000,          /* rows compared at a time */
    SEED = 17,
};

static const struct fb_shop_size shop_size = {.users = 100000, .products = 10000, .orders = 50000};

enum { OPT_ONCE, OPT_PORT, OPT_SECONDS, OPT_KEEP };
static const struct fb_cli_option options[] = {
    {"once", 0, NULL, "end after the measurements", OPT_ONCE},
    {"port", 'p', "N", "serve on this port (6380)", OPT_PORT},
    {"seconds", 's', "N", "length of each of the six measurements (2)", OPT_SECONDS},
    {"keep", 0, "DIR", "make the shop (and a forebay.yaml) there and leave it", OPT_KEEP},
    {0},
};

struct demo {
    const char *keep;           /* NULL: a temporary directory, removed at the end */
    bool is_once;
    unsigned port;
    fb_span length;
    char directory[PATH_MAX - 64], database[PATH_MAX], config[PATH_MAX];
    bool has_directory, was_stopped;
};

/* A cache on the shop with a server in front. */
struct serving {
    fb_cache *cache;
    fb_source *shop;
    struct fb_server *server;
};

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static sigset_t stop_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

/* Rest for a while, or (FB_NEVER's span) for ever; true when a signal said to stop, now or before. */
static bool rest(struct demo *d, fb_span span) {
    sigset_t set = stop_signals();
    struct timespec ts = {span.ns / 1000000000, span.ns % 1000000000};
    int rc;
    if (d->was_stopped)
        return true;
    do
        rc = span.ns == INT64_MAX ? sigwaitinfo(&set, NULL) : sigtimedwait(&set, NULL, &ts);
    while (rc < 0 && errno == EINTR);
    d->was_stopped = rc > 0;
    return d->was_stopped;
}

/* ---- the shop --------------------------------------------------------------------------------------------------- */

static bool show_progress(void *user, unsigned percent) {
    struct demo *d = user;
    if (isatty(STDOUT_FILENO)) {
        printf("\rmaking a shop in SQLite … %u %%", percent);
        fflush(stdout);
    }
    return !rest(d, fb_ms(0));
}

static fb_status make_directory(struct demo *d, fb_err *err) {
    const char *tmp = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    if (d->keep != NULL) {
        if (mkdir(d->keep, 0755) != 0 && errno != EEXIST)
            return fb_fail(err, FB_SYSTEM, "%s: %s", d->keep, strerror(errno));
        if (realpath(d->keep, d->database) == NULL || strlen(d->database) >= sizeof d->directory)
            return fb_fail(err, FB_SYSTEM, "%s: %s", d->keep, strerror(errno));
        memcpy(d->directory, d->database, strlen(d->database) + 1);
    } else {
        int n = snprintf(d->directory, sizeof d->directory, "%s/forebay-demo-XXXXXX", tmp);
        if (n >= (int)sizeof d->directory || mkdtemp(d->directory) == NULL)
            return fb_fail(err, FB_SYSTEM, "cannot make a directory in %s: %s", tmp, strerror(errno));
        d->has_directory = true;
    }
    snprintf(d->database, sizeof d->database, "%s/shop.db", d->directory);
    snprintf(d->config, sizeof d->config, "%s/forebay.yaml", d->directory);
    return FB_OK;
}

static fb_status make_shop(struct demo *d, fb_err *err) {
    fb_instant begin = fb_clock_now();
    fb_status s = make_directory(d, err);
    if (s == FB_OK)
        s = fb_shop_create(d->database, &shop_size, SEED, show_progress, d, err);
    if (s == FB_OK && d->keep != NULL)
        s = fb_shop_config(d->config, d->database, err);
    if (isatty(STDOUT_FILENO))
        printf("\r%40s\r", "");
    if (s == FB_OK)
        printf("A shop in SQLite, made in %.1f s: %u users, %u products, %u orders\n  %s\n\n",
               (double)fb_since(fb_clock_now(), begin).ns / 1e9, shop_size.users, shop_size.products, shop_size.orders,
               d->database);
    return s;
}

static void remove_shop(const struct demo *d) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char path[PATH_MAX + 16];
    if (!d->has_directory)
        return;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(path, sizeof path, "%s%s", d->database, suffixes[i]);
        (void)unlink(path);
    }
    if (rmdir(d->directory) == 0)
        printf("removed %s\n", d->directory);
}

/* ---- Forebay in front of it ------------------------------------------------------------------------------------- */

static void serving_end(struct serving *s) {
    fb_server_stop(s->server, DRAIN_MS);
    fb_close(s->cache);
    *s = (struct serving){0};
}

/* Port 0: any free one. */
static fb_status serving_begin(const struct demo *d, int64_t added_ms, unsigned port, struct serving *ret,
                               fb_err *err) {
    struct serving s = {0};
    char url[PATH_MAX + 16], address[32];
    const char *const listen[] = {address, NULL};
    fb_source_options source = {.added_latency_ms = added_ms};
    struct fb_server_options server = {
        .listen = listen, .is_protected = true,
    };
    snprintf(url, sizeof url, "sqlite:%s", d->database);
    snprintf(address, sizeof address, "localhost:%u", port);
    fb_status status = fb_open(/* options */ NULL, &s.cache, err);
    if (status == FB_OK)
        status = fb_source_open(s.cache, "shop", url, &source, &s.shop, err);
    if (status == FB_OK)
        status = fb_shop_map(s.cache, s.shop, err);
    if (status == FB_OK)
        status = fb_server_start(s.cache, &server, &s.server, err);
    if (status == FB_OK)
        *ret = s;
    else
        serving_end(&s);
    return status;
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

/* One line of the table. */
struct outcome {
    uint64_t requests, queries, trips;
    fb_span read_p50, read_p99, write_p50;
};

static fb_status run_load(struct demo *d, unsigned port, int64_t added_ms, uint64_t seed, struct outcome *ret,
                          fb_err *err) {
    static struct fb_demo_result result; /* large because of its histograms */
    _Atomic bool stop = false;
    struct fb_demo_clients *clients;
    const struct fb_demo_load load = {
        .database = d->database, .port = port, .added = fb_ms(added_ms), .size = shop_size, .seed = seed, .stop = &stop,
    };
    fb_status s = fb_demo_load_begin(&load, &clients, err);
    if (s != FB_OK)
        return s;
    bool is_over = rest(d, d->length);
    atomic_store(&stop, true);
    fb_demo_load_end(clients, &result);
    if (is_over)
        return fb_fail(err, FB_CLOSED, "stopped");
    if (result.errors > 0)
        return fb_fail(err, FB_SOURCE, "%llu of %llu requests failed, the first with: %.200s",
                       (unsigned long long)result.errors, (unsigned long long)result.requests, result.first_error);
    *ret = (struct outcome){
        .requests = result.requests, .queries = result.queries,
        .read_p50 = fb_hist_quantile(&result.reads_latency, 0.5),
        .read_p99 = fb_hist_quantile(&result.reads_latency, 0.99),
        .write_p50 = fb_hist_quantile(&result.writes_latency, 0.5),
    };
    return FB_OK;
}

/* A batch of rows of the inventory: as the database has them, and as Forebay gives them. */
struct comparison {
    char keys[COMPARED][32], expected[COMPARED][64];
    fb_bytes names[COMPARED];
    fb_buf values[COMPARED];
    fb_status statuses[COMPARED];
    size_t n;
};

static fb_status compare_batch(fb_cache *cache, struct comparison *c, fb_err *err) {
    fb_status status = fb_get_many(cache, c->names, c->n, c->values, c->statuses);
    if (status != FB_OK)
        return fb_fail(err, status, "no memory to compare");
    for (size_t i = 0; i < c->n; i++) {
        const fb_buf *value = &c->values[i];
        if (c->statuses[i] != FB_OK)
            return fb_fail(err, FB_SOURCE, "%s: %s", c->keys[i], fb_status_text(c->statuses[i]));
        if (value->len != strlen(c->expected[i]) || memcmp(value->data, c->expected[i], value->len) != 0)
            return fb_fail(err, FB_SOURCE, "%s is %.*s here and %s in the database", c->keys[i],
                           (int)(value->len < 64 ? value->len : 64), value->data, c->expected[i]);
    }
    return FB_OK;
}

/* After all the reading and writing: is every stock figure that Forebay gives the one in the database? */
static fb_status compare_inventory(const struct demo *d, fb_cache *cache, fb_err *err) {
    sqlite3 *db = NULL;
    sqlite3_stmt *all = NULL;
    struct comparison *c = fb_mem_calloc(1, sizeof *c);
    fb_status status = c != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "no memory to compare");
    int rc = SQLITE_ROW;
    if (status == FB_OK &&
        (sqlite3_open_v2(d->database, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
         sqlite3_prepare_v2(db, "SELECT product_id, quantity FROM inventory", -1, &all, NULL) != SQLITE_OK))
        status = fb_fail(err, FB_SOURCE, "%s", db != NULL ? sqlite3_errmsg(db) : "no memory");
    while (status == FB_OK && rc == SQLITE_ROW) {
        for (c->n = 0; c->n < COMPARED && (rc = sqlite3_step(all)) == SQLITE_ROW; c->n++) {
            int id = sqlite3_column_int(all, 0), quantity = sqlite3_column_int(all, 1);
            snprintf(c->keys[c->n], sizeof c->keys[0], "inventory:%d", id);
            snprintf(c->expected[c->n], sizeof c->expected[0], "{\"product_id\":%d,\"quantity\":%d}", id, quantity);
            c->names[c->n] = FB_STR(c->keys[c->n]);
            c->values[c->n].len = 0;
        }
        status = compare_batch(cache, c, err);
    }
    if (status == FB_OK && rc != SQLITE_DONE)
        status = fb_fail(err, FB_SOURCE, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(all);
    sqlite3_close(db);
    for (size_t i = 0; c != NULL && i < COMPARED; i++)
        fb_buf_free(&c->values[i]);
    fb_mem_free(c);
    return status;
}

/* The load once more through the same server: what it had to ask the database for this time. */
static fb_status measure_served(struct demo *d, const struct serving *serving, int64_t added_ms, uint64_t seed,
                                struct outcome *ret, fb_err *err) {
    fb_source_stats before, after;
    fb_source_stats_get(serving->shop, &before);
    fb_status s = run_load(d, fb_server_port(serving->server), added_ms, seed, ret, err);
    fb_source_stats_get(serving->shop, &after);
    if (s == FB_OK) {
        /* Every row asked for counts, though many travel in one round trip; a written row is also read back. */
        ret->queries = after.rows_wanted - before.rows_wanted + 2 * (after.writes - before.writes);
        ret->trips = after.read_trips - before.read_trips + after.write_trips - before.write_trips;
    }
    return s;
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

/* 1234567 as "1,234,567". */
static const char *grouped(uint64_t n, char out[32]) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static const char *span_text(fb_span span, char out[32]) {
    double us = (double)span.ns / 1000;
    if (us < 1000)
        snprintf(out, 32, us < 10 ? "%.1f us" : "%.0f us", us);
    else
        snprintf(out, 32, us < 100000 ? "%.2f ms" : "%.0f ms", us / 1000);
    return out;
}

static void print_outcome(const char *name, const struct outcome *o) {
    char requests[32], queries[32], p50[32], p99[32];
    printf("  %-22s %12s %12s %11s %11s\n", name, grouped(o->requests, requests), grouped(o->queries, queries),
           span_text(o->read_p50, p50), span_text(o->read_p99, p99));
    fflush(stdout);
}

/* How many times more `straight` did per request than `served`. */
static double times(uint64_t straight_n, uint64_t straight_requests, uint64_t served_n, uint64_t served_requests) {
    double straight = (double)straight_n / (double)(straight_requests > 0 ? straight_requests : 1);
    double served = (double)served_n / (double)(served_requests > 0 ? served_requests : 1);
    return served > 0 ? straight / served : 0;
}

static void print_comparison(const struct outcome *straight, const struct outcome *empty, const struct outcome *warm) {
    char a[32], b[32];
    printf("  per request %.1f x fewer queries, warm %.1f x (and %.0f x fewer round trips)\n",
           times(straight->queries, straight->requests, empty->queries, empty->requests),
           times(straight->queries, straight->requests, warm->queries, warm->requests),
           times(straight->queries, straight->requests, warm->trips, warm->requests));
    if (straight->read_p50.ns < warm->read_p50.ns)
        printf("  SQLite in the application's own process is faster than any network hop: here\n"
               "  Forebay takes load off the database, not time off a read\n");
    else
        printf("  half of the reads take %.0f x less time\n",
               (double)straight->read_p50.ns / (double)(warm->read_p50.ns > 0 ? warm->read_p50.ns : 1));
    printf("  write p50 %s straight, %s through Forebay (committed by then)\n\n",
           span_text(straight->write_p50, a), span_text(warm->write_p50, b));
}

/* Without Forebay, with an empty one, and with the same a little later; all at one price of a query. */
static fb_status measure_at(struct demo *d, int64_t added_ms, fb_err *err) {
    struct outcome straight, empty, warm;
    struct serving serving;
    fb_status s = run_load(d, /* port */ 0, added_ms, SEED, &straight, err);
    if (s != FB_OK)
        return s;
    print_outcome("app -> database", &straight);
    if ((s = serving_begin(d, added_ms, /* port */ 0, &serving, err)) != FB_OK)
        return s;
    if ((s = measure_served(d, &serving, added_ms, SEED, &empty, err)) != FB_OK)
        goto out;
    print_outcome("app -> forebay, empty", &empty);
    if ((s = measure_served(d, &serving, added_ms, SEED + 1, &warm, err)) != FB_OK)
        goto out;
    print_outcome("app -> forebay, warm", &warm);
    print_comparison(&straight, &empty, &warm);
    s = compare_inventory(d, serving.cache, err);
out:
    serving_end(&serving);
    return s;
}

static fb_status measure_all(struct demo *d, fb_err *err) {
    printf("The same load each time: %d clients for %.3g s, keys by Zipf's law (%.2f), one\n"
           "request in %d a write. Forebay is asked over TCP, first empty, then once more.\n\n",
           FB_DEMO_CLIENTS, (double)d->length.ns / 1e9, FB_DEMO_ZIPF, FB_DEMO_WRITES_IN);
    printf("  %-22s %12s %12s %11s %11s\n", "", "requests", "DB queries", "read p50", "read p99");
    printf("the database as it is, a local file\n");
    fflush(stdout);
    fb_status s = measure_at(d, 0, err);
    if (s != FB_OK)
        return s;
    printf("%d ms added: to every query without Forebay, to every round trip with it\n", ADDED_MS);
    if ((s = measure_at(d, ADDED_MS, err)) == FB_OK)
        printf("After each run all %u stock figures of Forebay were those of the database.\n", shop_size.products);
    return s;
}

/* ---- to try ----------------------------------------------------------------------------------------------------- */

/* A key of an order line that exists. */
static void first_order_line(const struct demo *d, char *out, size_t size) {
    sqlite3 *db = NULL;
    sqlite3_stmt *first = NULL;
    snprintf(out, size, "order_line:1:1");
    if (sqlite3_open_v2(d->database, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT order_id, product_id FROM order_lines LIMIT 1", -1, &first, NULL) == SQLITE_OK &&
        sqlite3_step(first) == SQLITE_ROW)
        snprintf(out, size, "order_line:%d:%d", sqlite3_column_int(first, 0), sqlite3_column_int(first, 1));
    sqlite3_finalize(first);
    sqlite3_close(db);
}

static void print_invitation(const struct demo *d, unsigned port) {
    char line[64];
    first_order_line(d, line, sizeof line);
    printf("\nServing on localhost:%u until Ctrl-C. Try it:\n"
           "  redis-cli -p %u GET product:17                  # a row, as JSON\n"
           "  redis-cli -p %u HGETALL user:42                 # a row, as a hash\n"
           "  redis-cli -p %u HINCRBY user:42 login_count 1   # one column of it\n"
           "  redis-cli -p %u SET inventory:17 '{\"product_id\":17,\"quantity\":9}'\n"
           "  redis-cli -p %u GET %-27s # a key of two columns\n"
           "  redis-cli -p %u GET user:999999999              # (nil), asked once per 60 s\n"
           "and see that the database had it before the reply:\n"
           "  sqlite3 %s \\\n"
           "    'SELECT * FROM inventory WHERE product_id = 17'\n",
           port, port, port, port, port, port, line, port, d->database);
    if (d->keep != NULL)
        printf("or later: forebay serve -c %s\n", d->config);
    fflush(stdout);
}

static void print_farewell(const struct serving *s) {
    uint64_t hits = 0, negative = 0, misses = 0, writes = 0;
    char a[32], b[32], c[32], w[32];
    for (unsigned i = 0; i < fb_keyspace_count(s->cache); i++) {
        fb_keyspace_stats stats;
        if (fb_keyspace_stats_get(s->cache, i, &stats) != FB_OK)
            continue;
        hits += stats.hits;
        negative += stats.negative_hits;
        misses += stats.misses;
        writes += stats.writes;
    }
    printf("\n%s reads from the cache, %s known absent, %s from the database; %s writes\n", grouped(hits, a),
           grouped(negative, b), grouped(misses, c), grouped(writes, w));
}

static fb_status serve(struct demo *d, fb_err *err) {
    struct serving s;
    fb_status status = serving_begin(d, /* added_ms */ 0, d->port, &s, err);
    if (status == FB_SYSTEM && d->port != 0) {
        char user[128];
        if (!fb_port_user(d->port, user, sizeof user))
            snprintf(user, sizeof user, "another process");
        if ((status = serving_begin(d, 0, /* port */ 0, &s, err)) == FB_OK)
            printf("\nPort %u is taken by %s: another one is used, see below.\n", d->port, user);
    }
    if (status != FB_OK)
        return status;
    print_invitation(d, fb_server_port(s.server));
    (void)rest(d, (fb_span){INT64_MAX});
    print_farewell(&s);
    serving_end(&s);
    return FB_OK;
}

static int run(struct fb_cli_args *args) {
    static struct demo d = {.port = PORT, .length = {SECONDS * INT64_C(1000000000)}}; /* paths are long */
    fb_err err = {FB_OK, ""};
    const char *value;
    long long n = 0;
    for (int opt; (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        switch (opt) {
        case OPT_ONCE: d.is_once = true; break;
        case OPT_KEEP: d.keep = value; break;
        case OPT_PORT:
            if (!fb_cli_number(args->command, "port", value, 0, 65535, &n))
                return FB_EXIT_USAGE;
            d.port = (unsigned)n;
            break;
        case OPT_SECONDS:
            if (!fb_cli_number(args->command, "seconds", value, 1, 3600, &n))
                return FB_EXIT_USAGE;
            d.length = fb_ms(n * 1000);
            break;
        default: return fb_cli_refuse(args, opt, value);
        }
    sigset_t set = stop_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fb_status s = make_shop(&d, &err);
    if (s == FB_OK)
        s = measure_all(&d, &err);
    if (s == FB_OK && !d.is_once)
        s = serve(&d, &err);
    if (s != FB_OK && !d.was_stopped)
        fprintf(stderr, "forebay demo: %s\n", err.text);
    remove_shop(&d);
    return s == FB_OK || d.was_stopped ? FB_EXIT_OK : s == FB_NOMEM ? FB_EXIT_INTERNAL : FB_EXIT_FAILURE;
}

const struct fb_cli_command fb_cli_demo = {
    "demo", "[--once] [-p PORT] [-s SECONDS] [--keep DIR]", "show Forebay at work in front of a small shop database",
    "Makes a shop in SQLite in a temporary directory, puts the same load on it without and with\n"
    "Forebay (as it is, and with 5 ms added per query, as from a database across a network), prints\n"
    "what both cost, and then serves it until Ctrl-C. Needs no other program, leaves nothing behind.",
    options, false, run,
};
