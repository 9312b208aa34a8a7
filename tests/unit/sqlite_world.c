/* A database file with a driver, a writer and a reader for the tests of the SQLite adapter. */
#include "sqlite_world.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

const struct fb_driver_ops *const ops = &fb_driver_sqlite;

static const char schema[] =
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INT, score REAL, is_admin BOOLEAN DEFAULT 0,"
    "  balance DECIMAL(12,2), meta JSON, photo BLOB, joined DATETIME, email TEXT UNIQUE, secret TEXT,"
    "  shout TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL);"
    "INSERT INTO users (id, name, age, score, is_admin, balance, meta, photo, joined, email, secret) VALUES"
    "  (1, 'Ann', 41, 0.1, 1, 10.25, '{\"a\": [1, 2]}', x'00ff10', '2026-01-02 03:04:05', 'ann@x', 's1'),"
    "  (2, 'Bob \"B\" \xc3\xa9', NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL);"
    "CREATE TABLE lines (order_id INTEGER, product TEXT, n INTEGER NOT NULL DEFAULT 1, note TEXT DEFAULT \"none\","
    "  PRIMARY KEY (order_id, product));"
    "INSERT INTO lines VALUES (7, 'tea', 3, 'x'), (7, 'cup', 1, NULL);"
    "CREATE TABLE views (path TEXT PRIMARY KEY, hits INTEGER, ratio REAL);"
    "INSERT INTO views VALUES ('/a', 5, 1.5), ('/max', 9223372036854775807, 1e308), ('/null', NULL, NULL);"
    "CREATE TABLE kv (k TEXT PRIMARY KEY, v BLOB);"
    "CREATE TABLE texts (k TEXT PRIMARY KEY, v TEXT);"
    "CREATE TABLE fancy (k TEXT COLLATE NOCASE PRIMARY KEY, v TEXT);"
    "CREATE TABLE nokey (a INTEGER, b TEXT);"
    "CREATE TABLE partly (a INTEGER, b TEXT); CREATE UNIQUE INDEX partly_a ON partly (a) WHERE b IS NOT NULL;"
    "CREATE TABLE lowered (a TEXT); CREATE UNIQUE INDEX lowered_a ON lowered (lower(a));"
    "CREATE TABLE numbered (n NUMERIC PRIMARY KEY, v TEXT); INSERT INTO numbered VALUES (42, 'x');"
    "CREATE TABLE days (d DATE PRIMARY KEY, v TEXT); INSERT INTO days VALUES ('2026-02-28', 'x');"
    "CREATE TABLE weights (w REAL PRIMARY KEY, v TEXT);"
    "CREATE TABLE blobs (b BLOB PRIMARY KEY, v TEXT);"
    "CREATE VIEW seen AS SELECT * FROM users;";

void world_sql(struct world *w, const char *text) {
    char *message = NULL;
    if (sqlite3_exec(w->db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
}

const char *world_ask(struct world *w, const char *text) {
    static char answer[400];
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(w->db, text, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(w->db));
    snprintf(answer, sizeof answer, "NULL");
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        snprintf(answer, sizeof answer, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return answer;
}

void world_open_with(struct world *w, const fb_source_options *options) {
    char url[160];
    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/fb_sqlite_XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/shop.db", w->dir);
    assert_int_equal(sqlite3_open(w->path, &w->db), SQLITE_OK);
    sqlite3_busy_timeout(w->db, 5000);
    world_sql(w, "PRAGMA synchronous=OFF");
    world_sql(w, schema);
    snprintf(url, sizeof url, "sqlite:%s", w->path);
    assert_ptr_equal(fb_driver_find(url, &w->err), ops);
    assert_int_equal(ops->open(url, options, &w->driver, &w->err), FB_OK);
    assert_int_equal(ops->session_open(w->driver, true, &w->writer, &w->err), FB_OK);
    assert_int_equal(ops->session_open(w->driver, false, &w->reader, &w->err), FB_OK);
}

void world_open(struct world *w) { world_open_with(w, NULL); }

void world_close(struct world *w) {
    char command[200];
    for (unsigned i = 0; i < w->nbound; i++)
        ops->unbind(w->bound[i]);
    ops->session_close(w->writer);
    ops->session_close(w->reader);
    ops->close(w->driver);
    assert_int_equal(sqlite3_close(w->db), SQLITE_OK);
    snprintf(command, sizeof command, "rm -r '%s'", w->dir);
    assert_int_equal(system(command), 0);
}

struct fb_binding *world_bind(struct world *w, const fb_keyspace_options *options) {
    char *pattern = NULL;
    struct fb_binding *b = NULL;
    if (ops->bind(w->driver, options, &b, &pattern, &w->err) != FB_OK)
        fail_msg("%s", w->err.text);
    fb_mem_free(pattern);
    assert_true(w->nbound < COUNT(w->bound));
    w->bound[w->nbound++] = b;
    return b;
}

struct fb_binding *world_bind_table(struct world *w, const char *pattern, const char *table, const char *as) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = pattern;
    o.table = table;
    o.as = as;
    return world_bind(w, &o);
}

const char *world_shown(const struct fb_value *v) {
    static char out[4000];
    if (v == NULL)
        return "none";
    fb_bytes bytes = fb_value_bytes(v);
    if (v->kind != FB_KIND_HASH) {
        snprintf(out, sizeof out, "%.*s", (int)bytes.len, bytes.data);
        return out;
    }
    fb_field f;
    size_t n = 0;
    out[0] = 0;
    for (size_t cursor = 0; fb_hash_next(bytes, &cursor, &f);)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s=%.*s", n > 0 ? " " : "", (int)f.name.len, f.name.data,
                              (int)f.value.len, f.value.data);
    return out;
}

void world_load(struct fb_session *session, const struct fb_binding *b, fb_bytes key, fb_status status,
                const char *value) {
    struct fb_load_item item = {.binding = b, .key = key};
    ops->load(session, &item, 1);
    if (item.status != status)
        fail_msg("%.*s: %s instead of %s: %s", (int)key.len, key.data, fb_status_name(item.status),
                 fb_status_name(status), world_shown(item.value));
    if (value != NULL)
        assert_string_equal(world_shown(item.value), value);
    fb_value_unref(item.value);
}

void expect_load(struct world *w, const struct fb_binding *b, const char *key, fb_status status, const char *value) {
    world_load(w->reader, b, FB_STR(key), status, value);
}

static void take(struct answer *a, struct fb_store_item *item) {
    a->status = item->status;
    snprintf(a->after, sizeof a->after, "%s", world_shown(item->after));
    snprintf(a->before, sizeof a->before, "%s", world_shown(item->before));
    snprintf(a->number, sizeof a->number, "%s", world_shown(item->number));
    a->after_unknown = item->after_unknown;
    a->count = item->count;
    fb_value_unref(item->after);
    fb_value_unref(item->before);
    fb_value_unref(item->number);
}

struct answer world_store(struct world *w, const struct fb_binding *b, fb_op op) {
    struct answer a = {0};
    struct fb_plan *plan = NULL;
    a.status = ops->plan(b, &op, &plan, &w->err);
    if (a.status != FB_OK) {
        snprintf(a.after, sizeof a.after, "%s", w->err.text);
        return a;
    }
    struct fb_store_item item = {.binding = b, .key = op.key, .plan = plan};
    struct fb_store_group group = {.items = &item, .nitems = 1};
    struct fb_store_group *groups[] = {&group};
    ops->store(w->writer, groups, 1);
    take(&a, &item);
    ops->plan_free(plan);
    return a;
}

struct answer world_set(struct world *w, const struct fb_binding *b, const char *key, const char *value,
                        unsigned flags) {
    return world_store(w, b, (fb_op){.kind = FB_OP_SET, .flags = flags, .key = FB_STR(key), .value = FB_STR(value)});
}

struct answer world_hset(struct world *w, const struct fb_binding *b, const char *key, const char *name,
                         const char *value, unsigned flags) {
    fb_field field = {FB_STR(name), value != NULL ? FB_STR(value) : fb_bytes_of(NULL, 0)};
    return world_store(w, b,
                       (fb_op){.kind = value != NULL ? FB_OP_HSET : FB_OP_HDEL,
                               .flags = flags,
                               .key = FB_STR(key),
                               .fields = &field,
                               .nfields = 1});
}

struct answer world_add(struct world *w, const struct fb_binding *b, const char *key, const char *field,
                        const char *delta, unsigned flags) {
    fb_field f = {field != NULL ? FB_STR(field) : fb_bytes_of(NULL, 0), fb_bytes_of(NULL, 0)};
    return world_store(w, b, (fb_op){.kind = FB_OP_ADD, .flags = flags, .key = FB_STR(key), .value = FB_STR(delta),
                                     .fields = field != NULL ? &f : NULL, .nfields = field != NULL});
}

struct answer world_delete(struct world *w, const struct fb_binding *b, const char *key) {
    return world_store(w, b, (fb_op){.kind = FB_OP_DELETE, .key = FB_STR(key)});
}

void world_store_groups(struct world *w, const struct fb_binding *const *b, const fb_op *operations,
                        const size_t *sizes, struct answer *answers) {
    enum { MAX = 16 };
    struct fb_store_item items[MAX] = {0};
    struct fb_store_group made[MAX];
    struct fb_store_group *groups[MAX] = {NULL};
    size_t n = 0, ngroups = 0;
    for (; sizes[ngroups] > 0; ngroups++) {
        made[ngroups] = (struct fb_store_group){.items = items + n, .nitems = sizes[ngroups]};
        groups[ngroups] = &made[ngroups];
        for (size_t i = 0; i < sizes[ngroups]; i++, n++) {
            struct fb_plan *plan;
            assert_true(n < MAX);
            if (ops->plan(b[n], &operations[n], &plan, &w->err) != FB_OK)
                fail_msg("%s", w->err.text);
            items[n] = (struct fb_store_item){.binding = b[n], .key = operations[n].key, .plan = plan};
        }
    }
    ops->store(w->writer, groups, ngroups);
    for (size_t i = 0; i < n; i++) {
        struct fb_plan *plan = (struct fb_plan *)items[i].plan;
        take(&answers[i], &items[i]);
        ops->plan_free(plan);
    }
}

void expect_answer(const struct answer *a, fb_status status, const char *after) {
    if (a->status != status)
        fail_msg("%s instead of %s: %s", fb_status_name(a->status), fb_status_name(status), a->after);
    if (after != NULL)
        assert_string_equal(a->after, after);
}
