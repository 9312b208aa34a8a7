/* What the examples share, so that each fits a page: a temporary SQLite database, and claims that are printed and
 * checked. An example that finds one of its claims false ends with 1. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include <forebay/forebay.h>

struct example {
    char directory[64], path[96], url[112];
    sqlite3 *db; /* the application's own connection */
    int failed;
};

_Noreturn static inline void example_give_up(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* Run SQL as the application, or as somebody behind Forebay's back. */
static inline void example_sql(struct example *e, const char *sql) {
    if (sqlite3_exec(e->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        example_give_up(sql, sqlite3_errmsg(e->db));
}

/* A database in a directory of its own, with these tables. */
static inline void example_begin(struct example *e, const char *sql) {
    memset(e, 0, sizeof *e);
    snprintf(e->directory, sizeof e->directory, "/tmp/forebay-example-XXXXXX");
    if (mkdtemp(e->directory) == NULL)
        example_give_up("/tmp", "cannot make a directory");
    snprintf(e->path, sizeof e->path, "%s/shop.db", e->directory);
    snprintf(e->url, sizeof e->url, "sqlite:%s", e->path);
    if (sqlite3_open(e->path, &e->db) != SQLITE_OK)
        example_give_up(e->path, sqlite3_errmsg(e->db));
    sqlite3_busy_timeout(e->db, 5000);
    example_sql(e, "PRAGMA journal_mode = WAL");
    example_sql(e, sql);
}

/* What the database itself says: the one number that a query yields. */
static inline long long example_number(struct example *e, const char *sql) {
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(e->db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
        example_give_up(sql, sqlite3_errmsg(e->db));
    long long n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return n;
}

/* A cache with one keyspace on this database; `ks` lacks only its source. */
static inline fb_cache *example_open(struct example *e, fb_keyspace_options *ks, const fb_source_options *options,
                                     fb_source **ret_source) {
    fb_cache *cache;
    fb_err err;
    if (fb_open(NULL, &cache, &err) != FB_OK ||
        fb_source_open(cache, "shop", e->url, options, ret_source, &err) != FB_OK)
        example_give_up("cannot open", err.text);
    ks->source = *ret_source;
    if (fb_keyspace_add(cache, ks, &err) != FB_OK)
        example_give_up(ks->pattern, err.text);
    return cache;
}

/* Queries that Forebay has sent for rows. */
static inline unsigned long long example_queries(const fb_source *source) {
    fb_source_stats stats;
    fb_source_stats_get(source, &stats);
    return (unsigned long long)stats.rows_wanted;
}

__attribute__((format(printf, 3, 4))) static inline void claim(struct example *e, int holds, const char *format, ...) {
    va_list list;
    va_start(list, format);
    printf(holds ? "  ok      " : "  FALSE   ");
    vprintf(format, list);
    printf("\n");
    va_end(list);
    e->failed |= !holds;
}

static inline int is_text(const fb_buf *value, const char *text) {
    return value->len == strlen(text) && memcmp(value->data, text, value->len) == 0;
}

/* Remove the database; the exit status. */
static inline int example_end(struct example *e) {
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[128];
    sqlite3_close(e->db);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(path, sizeof path, "%s%s", e->path, suffixes[i]);
        unlink(path);
    }
    rmdir(e->directory);
    return e->failed;
}

#endif
