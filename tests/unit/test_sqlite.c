/* Shows what the SQLite adapter promises against real database files: which keyspaces it accepts and why it refuses
 * the others; that every row becomes exactly the value its types ask for; that every kind of write does what Redis
 * commands want, gives the row as it is after triggers, and leaves nothing behind when it fails; that hostile keys and
 * values are data; that errors, locks and deadlines never look like "absent". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "source/source.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- a database file, a driver, one writer and one reader -------------------------------------------------------- */

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
    "CREATE TABLE fancy (k TEXT COLLATE NOCASE PRIMARY KEY, v TEXT);"
    "CREATE TABLE nokey (a INTEGER, b TEXT);"
    "CREATE TABLE partly (a INTEGER, b TEXT); CREATE UNIQUE INDEX partly_a ON partly (a) WHERE b IS NOT NULL;"
    "CREATE TABLE numbered (n NUMERIC PRIMARY KEY, v TEXT); INSERT INTO numbered VALUES (42, 'x');"
    "CREATE VIEW seen AS SELECT * FROM users;";

struct world {
    char dir[64], path[128];
    sqlite3 *db; /* the test's own connection */
    struct fb_driver *driver;
    struct fb_session *writer, *reader;
    struct fb_binding *bound[16];
    unsigned nbound;
    fb_err err;
};

static const struct fb_driver_ops *ops = &fb_driver_sqlite;

static void sql(struct world *w, const char *text) {
    char *message = NULL;
    if (sqlite3_exec(w->db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
}

/* The one value a query gives, as text; "NULL" for NULL and for no row. */
static const char *ask(struct world *w, const char *text) {
    static char answer[400];
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(w->db, text, -1, &stmt, NULL), SQLITE_OK);
    snprintf(answer, sizeof answer, "NULL");
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        snprintf(answer, sizeof answer, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return answer;
}

static void open_world_with(struct world *w, const fb_source_options *options) {
    char url[160];
    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/fb_sqlite_XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/shop.db", w->dir);
    assert_int_equal(sqlite3_open(w->path, &w->db), SQLITE_OK);
    sqlite3_busy_timeout(w->db, 5000);
    sql(w, schema);
    snprintf(url, sizeof url, "sqlite:%s", w->path);
    assert_ptr_equal(fb_driver_find(url, &w->err), ops);
    assert_int_equal(ops->open(url, options, &w->driver, &w->err), FB_OK);
    assert_int_equal(ops->session_open(w->driver, true, &w->writer, &w->err), FB_OK);
    assert_int_equal(ops->session_open(w->driver, false, &w->reader, &w->err), FB_OK);
}

static void open_world(struct world *w) { open_world_with(w, NULL); }

static void close_world(struct world *w) {
    char command[200];
    for (unsigned i = 0; i < w->nbound; i++)
        ops->unbind(w->bound[i]);
    ops->session_close(w->writer);
    ops->session_close(w->reader);
    ops->close(w->driver);
    sqlite3_close(w->db);
    snprintf(command, sizeof command, "rm -r '%s'", w->dir);
    assert_int_equal(system(command), 0);
}

static fb_status try_bind(struct world *w, const fb_keyspace_options *options, struct fb_binding **ret, char **pattern) {
    w->err.text[0] = 0;
    return ops->bind(w->driver, options, ret, pattern, &w->err);
}

static struct fb_binding *bind(struct world *w, const fb_keyspace_options *options) {
    char *pattern = NULL;
    struct fb_binding *b = NULL;
    if (try_bind(w, options, &b, &pattern) != FB_OK)
        fail_msg("%s", w->err.text);
    fb_mem_free(pattern);
    w->bound[w->nbound++] = b;
    return b;
}

static struct fb_binding *bind_table(struct world *w, const char *pattern, const char *table, const char *as) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = pattern;
    o.table = table;
    o.as = as;
    return bind(w, &o);
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

/* "name=value name=value" of a hash, or the string; into a static buffer that is good until the next call. */
static const char *shown(const struct fb_value *v) {
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

static void expect_load_with(struct world *w, struct fb_session *session, const struct fb_binding *b, fb_bytes key,
                             fb_status status, const char *value) {
    struct fb_load_item item = {.binding = b, .key = key};
    ops->load(session, &item, 1);
    if (item.status != status)
        fail_msg("%.*s: %s instead of %s: %s", (int)key.len, key.data, fb_status_name(item.status),
                 fb_status_name(status), shown(item.value));
    if (value != NULL)
        assert_string_equal(shown(item.value), value);
    fb_value_unref(item.value);
    (void)w;
}

static void expect_load(struct world *w, const struct fb_binding *b, const char *key, fb_status status,
                        const char *value) {
    expect_load_with(w, w->reader, b, FB_STR(key), status, value);
}

static void a_row_becomes_json_by_its_types(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    struct fb_binding *b = bind_table(&w, "user:{id}", "users", NULL);
    expect_load(&w, b, "user:1", FB_OK,
                "{\"id\":1,\"name\":\"Ann\",\"age\":41,\"score\":0.1,\"is_admin\":true,\"balance\":10.25,"
                "\"meta\":{\"a\": [1, 2]},\"photo\":\"AP8Q\",\"joined\":\"2026-01-02 03:04:05\",\"email\":\"ann@x\","
                "\"secret\":\"s1\",\"shout\":\"ANN\"}");
    expect_load(&w, b, "user:2", FB_OK,
                "{\"id\":2,\"name\":\"Bob \\\"B\\\" \xc3\xa9\",\"age\":null,\"score\":null,\"is_admin\":false,"
                "\"balance\":null,\"meta\":null,\"photo\":null,\"joined\":null,\"email\":null,\"secret\":null,"
                "\"shout\":\"BOB \\\"B\\\" \xc3\xa9\"}");
    expect_load(&w, b, "user:3", FB_NOTFOUND, NULL);
    close_world(&w);
}

/* ---- storing ------------------------------------------------------------------------------------------------------ */

struct answer {
    fb_status status;
    char after[2000], before[2000], number[64];
    bool after_unknown;
    int64_t count;
};

static void take(struct answer *a, struct fb_store_item *item) {
    a->status = item->status;
    snprintf(a->after, sizeof a->after, "%s", shown(item->after));
    snprintf(a->before, sizeof a->before, "%s", shown(item->before));
    snprintf(a->number, sizeof a->number, "%s", shown(item->number));
    a->after_unknown = item->after_unknown;
    a->count = item->count;
    fb_value_unref(item->after);
    fb_value_unref(item->before);
    fb_value_unref(item->number);
}

/* Plan and store one operation. A refused plan is an answer too, its text in `after`. */
static struct answer store(struct world *w, const struct fb_binding *b, fb_op op) {
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

static struct answer set(struct world *w, const struct fb_binding *b, const char *key, const char *value, unsigned flags) {
    return store(w, b, (fb_op){.kind = FB_OP_SET, .flags = flags, .key = FB_STR(key), .value = FB_STR(value)});
}

static void a_set_changes_the_columns_it_names(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    struct fb_binding *b = bind_table(&w, "line:{order_id}:{product}", "lines", NULL);
    struct answer a = set(&w, b, "line:7:tea", "{\"n\":4}", 0);
    assert_int_equal(a.status, FB_OK);
    assert_string_equal(a.after, "{\"order_id\":7,\"product\":\"tea\",\"n\":4,\"note\":\"x\"}");
    assert_string_equal(ask(&w, "SELECT n || note FROM lines WHERE product = 'tea'"), "4x");
    a = set(&w, b, "line:8:pot", "{\"n\":2,\"product\":\"pot\"}", 0);
    assert_int_equal(a.status, FB_OK);
    assert_string_equal(a.after, "{\"order_id\":8,\"product\":\"pot\",\"n\":2,\"note\":\"none\"}");
    expect_load(&w, b, "line:8:pot", FB_OK, a.after);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_becomes_json_by_its_types),
        cmocka_unit_test(a_set_changes_the_columns_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
