/* Shows who is told of a write: lists and other views of a table forget exactly the keys that the row was in and is in
 * now, whatever wrote it, and what they show afterwards is what the database has. The orders of events are shown by the
 * explorer (tests/sim); here are the rows, in real SQLite files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/engine.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char schema[] =
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, kind TEXT, total INTEGER DEFAULT 0, name TEXT UNIQUE);"
    "CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT);"
    "INSERT INTO orders VALUES (1, 7, 'a', 10, 'one'), (2, 7, 'b', 20, 'two'), (3, 8, 'a', 30, 'three'),"
    " (4, NULL, 'a', 40, NULL);";

struct world {
    char dir[64], path[96];
    sqlite3 *db;
    fb_cache *cache;
    fb_source *source;
    fb_err err;
};

static void sql(struct world *w, const char *text) {
    char *message = NULL;
    if (sqlite3_exec(w->db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
}

static void open_world(struct world *w) {
    char url[128];
    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/forebay-depends-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/s.db", w->dir);
    assert_int_equal(sqlite3_open(w->path, &w->db), SQLITE_OK);
    sql(w, schema);
    snprintf(url, sizeof url, "sqlite:%s", w->path);
    assert_int_equal(fb_open(NULL, &w->cache, &w->err), FB_OK);
    assert_int_equal(fb_source_open(w->cache, "shop", url, NULL, &w->source, &w->err), FB_OK);
}

static void close_world(struct world *w) {
    char command[128];
    fb_close(w->cache);
    sqlite3_close(w->db);
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    assert_int_equal(system(command), 0);
}

static fb_status add(struct world *w, fb_keyspace_options o) {
    o.source = w->source;
    return fb_keyspace_add(w->cache, &o, &w->err);
}

static fb_keyspace_options rows_of(const char *pattern, fb_write_mode write, const char *as) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = pattern;
    o.table = "orders";
    o.as = as;
    o.write = write;
    return o;
}

static fb_keyspace_options list_of(const char *pattern) {
    fb_keyspace_options o = rows_of(pattern, FB_WRITE_OFF, "column:id");
    o.rows = FB_ROWS_MANY;
    return o;
}

static fb_keyspace_options view(const char *pattern, const char *load, const char *const *depends) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = pattern;
    o.load = load;
    o.depends = depends;
    o.as = "text";
    return o;
}

static void must(struct world *w, fb_status status) {
    if (status != FB_OK)
        fail_msg("%s: %s", fb_status_name(status), w->err.text);
}

/* Everything there is to be told, whatever order the keyspaces are added in. */
static void add_all(struct world *w, fb_write_mode write, const char *as) {
    static const char *const by_user[] = {"Orders(USER_ID)", NULL}, *const by_two[] = {"orders(kind", "user_id)", NULL};
    static const char *const by_name[] = {"orders( name )", NULL};
    must(w, add(w, list_of("ids:{user_id}")));
    must(w, add(w, rows_of("order:{id}", write, as)));
    must(w, add(w, list_of("pair:{user_id}:{kind}")));
    must(w, add(w, view("sum:{user}", "SELECT sum(total) FROM orders WHERE user_id = :user", by_user)));
    must(w, add(w, view("max:{kind}:{user}", "SELECT max(id) FROM orders WHERE user_id = :user AND kind = :kind", by_two)));
    fb_keyspace_options named = rows_of("named:{name}", FB_WRITE_OFF, "column:id");
    named.depends = by_name;
    must(w, add(w, named));
    must(w, add(w, view("loose:{user:int}", "SELECT count(*) FROM orders WHERE user_id = :user", NULL)));
}

static const char *const keys[] = {"ids:7", "ids:8", "ids:9", "pair:7:a", "pair:7:b", "pair:8:a", "pair:9:a", "sum:7",
                                   "sum:8", "max:a:7", "max:b:7", "max:a:8", "named:one", "named:two", "named:new",
                                   "loose:7"};

static void read_key(struct world *w, const char *key, fb_buf *out) {
    out->len = 0;
    fb_status status = fb_get(w->cache, FB_STR(key), out, &w->err);
    if (status != FB_OK && status != FB_NOTFOUND)
        fail_msg("%s: %s", key, w->err.text);
    assert_int_equal(fb_buf_append(out, "", 1), FB_OK);
}

/* Which of the keys are no longer cached, as one text; then they are read again, and so are cached. */
static void forgotten(struct world *w, char *out, size_t size) {
    size_t len = 0;
    fb_buf buf = FB_BUF_INIT;
    out[0] = '\0';
    for (size_t i = 0; i < COUNT(keys); i++)
        if (fb_cached(w->cache, FB_STR(keys[i])) == FB_MISS)
            len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? " " : "", keys[i]);
    for (size_t i = 0; i < COUNT(keys); i++)
        read_key(w, keys[i], &buf);
    fb_buf_free(&buf);
}

/* What is cached is what a cache would load that begins anew. */
static void expect_truth(struct world *w) {
    fb_buf cached = FB_BUF_INIT, fresh = FB_BUF_INIT;
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (strncmp(keys[i], "loose", 5) == 0)
            continue;
        read_key(w, keys[i], &cached);
        (void)fb_invalidate(w->cache, FB_STR(keys[i]), &w->err);
        read_key(w, keys[i], &fresh);
        assert_string_equal(cached.data, fresh.data);
    }
    fb_buf_free(&cached);
    fb_buf_free(&fresh);
}

struct done {
    struct fb_park park;
    fb_status status;
};

static void on_done(void *user, const fb_outcome *outcome) {
    struct done *done = user;
    done->status = outcome->status;
    fb_park_done(&done->park);
}

static fb_status run(struct world *w, const fb_op *ops, size_t n) {
    struct done done;
    fb_outcome outcome;
    fb_park_init(&done.park, 1);
    fb_status status = fb_submit_all(w->cache, ops, n, on_done, &done, &outcome);
    assert_int_equal(status, FB_PENDING);
    fb_park_wait(&done.park);
    return done.status;
}

static fb_op set(const char *key, const char *value) {
    return (fb_op){.kind = FB_OP_SET, .key = FB_STR(key), .value = FB_STR(value)};
}

static void a_write_forgets_the_lists_of_before_and_after(void **state) {
    (void)state;
    static const struct { const char *key, *value, *forgotten; } cases[] = {
        {"order:1", "{\"user_id\":8}", "ids:7 ids:8 pair:7:a pair:8:a sum:7 sum:8 max:a:7 max:a:8 named:one"},
        {"order:1", "{\"total\":11}", "ids:8 pair:8:a sum:8 max:a:8 named:one"},
        {"order:1", "{\"kind\":\"b\",\"user_id\":7}", "ids:7 ids:8 pair:7:b pair:8:a sum:7 sum:8 max:b:7 max:a:8 named:one"},
        {"order:9", "{\"user_id\":9,\"kind\":\"a\",\"name\":\"new\"}", "ids:9 pair:9:a named:new"},
        {"order:9", "{\"user_id\":null}", "ids:9 pair:9:a named:new"},
        {"order:9", "{\"user_id\":9}", "ids:9 pair:9:a named:new"},
        {"order:4", "{\"total\":1}", ""},                             /* NULL: it is in no list */
        {"order:3", "{\"name\":\"a:b\"}", "ids:8 pair:8:a sum:8 max:a:8"}, /* no key can name it */
        {"order:2", NULL, "ids:7 pair:7:b sum:7 max:b:7 named:two"},
        {"order:77", NULL, ""},
    };
    static const fb_write_mode modes[] = {FB_WRITE_THROUGH, FB_WRITE_AROUND};
    for (size_t m = 0; m < COUNT(modes); m++) {
        struct world w;
        char text[512];
        open_world(&w);
        add_all(&w, modes[m], NULL);
        forgotten(&w, text, sizeof text);
        for (size_t i = 0; i < COUNT(cases); i++) {
            fb_op op = cases[i].value != NULL ? set(cases[i].key, cases[i].value)
                                              : (fb_op){.kind = FB_OP_DELETE, .key = FB_STR(cases[i].key)};
            assert_int_equal(run(&w, &op, 1), FB_OK);
            forgotten(&w, text, sizeof text);
            assert_string_equal(text, cases[i].forgotten);
            expect_truth(&w);
        }
        close_world(&w);
    }
}

static void every_kind_of_write_tells(void **state) {
    (void)state;
    struct world w;
    char text[512];
    open_world(&w);
    add_all(&w, FB_WRITE_THROUGH, "hash");
    forgotten(&w, text, sizeof text);
    fb_field to_eight = {FB_STR("user_id"), FB_STR("8")}, total = {FB_STR("total"), FB_STR("")};
    fb_field name = {FB_STR("name"), FB_STR("")};
    fb_op ops[] = {
        {.kind = FB_OP_HSET, .key = FB_STR("order:1"), .fields = &to_eight, .nfields = 1},
        {.kind = FB_OP_ADD, .key = FB_STR("order:2"), .fields = &total, .nfields = 1, .value = FB_STR("5")},
        {.kind = FB_OP_HDEL, .key = FB_STR("order:3"), .fields = &name, .nfields = 1},
    };
    static const char *const expected[] = {
        "ids:7 ids:8 pair:7:a pair:8:a sum:7 sum:8 max:a:7 max:a:8 named:one", "ids:7 pair:7:b sum:7 max:b:7 named:two",
        "ids:8 pair:8:a sum:8 max:a:8",
    };
    for (size_t i = 0; i < COUNT(ops); i++) {
        assert_int_equal(run(&w, &ops[i], 1), FB_OK);
        forgotten(&w, text, sizeof text);
        assert_string_equal(text, expected[i]);
        expect_truth(&w);
    }
    close_world(&w);
}

static void a_transaction_tells_of_all_its_rows_or_of_none(void **state) {
    (void)state;
    struct world w;
    char text[512];
    open_world(&w);
    add_all(&w, FB_WRITE_THROUGH, NULL);
    forgotten(&w, text, sizeof text);
    /* Row 1 goes by 8 to 9: nobody has ever seen it in 8. */
    fb_op ops[] = {set("order:1", "{\"user_id\":8}"), set("order:2", "{\"total\":1}"), set("order:1", "{\"user_id\":9}")};
    assert_int_equal(run(&w, ops, 3), FB_OK);
    forgotten(&w, text, sizeof text);
    assert_non_null(strstr(text, "ids:7"));
    assert_non_null(strstr(text, "ids:9 "));
    assert_non_null(strstr(text, "max:b:7"));
    expect_truth(&w);
    /* The second fails: nothing has happened, and nothing was forgotten. */
    fb_op failing[] = {set("order:3", "{\"user_id\":7}"), set("order:2", "{\"name\":\"one\"}")};
    assert_int_equal(run(&w, failing, 2), FB_CONFLICT);
    forgotten(&w, text, sizeof text);
    assert_string_equal(text, "");
    expect_truth(&w);
    close_world(&w);
}

static void what_is_held_is_not_cached_until_the_outcome_is_known(void **state) {
    (void)state;
    for (int is_doubted = 0; is_doubted < 2; is_doubted++) {
        struct world w;
        struct fb_touched touched = FB_TOUCHED_INIT;
        struct fb_holds holds = {NULL, 0};
        struct fb_effects fx;
        fb_buf out = FB_BUF_INIT;
        open_world(&w);
        add_all(&w, FB_WRITE_THROUGH, NULL);
        fb_effects_init(&fx);
        struct fb_mapping *m = w.source->ops->mapping(w.cache->keyspaces[1]->binding);
        struct fb_datum row[FB_COLUMNS_MAX];
        for (unsigned i = 0; i < m->ncolumns; i++)
            row[i] = fb_datum_null();
        row[fb_mapping_column(m, "user_id")] = fb_datum_int(7);
        assert_int_equal(fb_touch(m, row, row, &touched), FB_OK);
        read_key(&w, "ids:7", &out);
        assert_int_equal(fb_holds_take(w.cache, &holds, &touched, &fx), FB_OK);
        assert_int_equal(holds.n, 2); /* ids:7 and sum:7, each once */
        assert_int_equal(fb_cached(w.cache, FB_STR("ids:7")), FB_MISS);
        read_key(&w, "ids:7", &out);
        assert_string_equal(out.data, "[1,2]");
        assert_int_equal(fb_cached(w.cache, FB_STR("ids:7")), FB_MISS);
        fb_holds_release(w.cache, &holds, is_doubted);
        read_key(&w, "ids:7", &out);
        assert_int_equal(fb_cached(w.cache, FB_STR("ids:7")), is_doubted ? FB_MISS : FB_OK);
        fb_carry_out(w.cache, &fx, FB_RUN_LANES);
        fb_buf_free(&out);
        fb_buf_free(&touched.keys);
        close_world(&w);
    }
}

/* Without memory a write may fail, and a list may not be kept; but what is cached is the truth. */
static void no_memory_leaves_nothing_stale(void **state) {
    (void)state;
    struct world w;
    char text[512];
    unsigned failed = 0;
    open_world(&w);
    add_all(&w, FB_WRITE_THROUGH, NULL);
    forgotten(&w, text, sizeof text);
    for (int64_t n = 0; n < 60; n++) {
        char value[64];
        snprintf(value, sizeof value, "{\"user_id\":%d,\"total\":%d}", 7 + (int)n % 3, (int)n);
        fb_mem_fail_after(n);
        fb_status status = fb_set(w.cache, FB_STR("order:1"), FB_STR(value), &w.err);
        fb_mem_fail_after(-1);
        failed += status < 0; /* FB_NOMEM; or FB_DOWN, where it was a connection's */
        assert_int_not_equal(status, FB_UNKNOWN);
        expect_truth(&w);
    }
    assert_true(failed > 3);
    close_world(&w);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static const struct { const char *pattern, *depends, *text; } cases[] = {
        {"s:{user_id}", "ordrs(user_id)",
         "keyspace 's:{user_id}': depends: 'ordrs(user_id)': there is no table 'ordrs' (did you mean 'orders'?)"},
        {"s:{user_id}", "orders(usr_id)",
         "keyspace 's:{user_id}': depends: 'orders(usr_id)': there is no column 'usr_id' in table 'orders' (did you mean "
         "'user_id'?)"},
        {"s:{user_id}", "orders", "keyspace 's:{user_id}': depends: 'orders' is not TABLE(COLUMN), nor TABLE(COLUMN, COLUMN)"},
        {"s:{user_id}", "orders(user_id) x", "depends: 'orders(user_id) x' is not TABLE(COLUMN)"},
        {"s:{user_id}", "orders(user_id, kind)",
         "depends: 'orders(user_id, kind)' has 2 columns and the pattern 1 parameter: a column for each, in their order"},
        {"s:{user_id:uuid}", "orders(user_id)",
         "depends: 'orders(user_id)': column 'user_id' is an integer, parameter 'user_id' is uuid"},
        {"s:{user_id}", "v(user_id)", "depends: 'v(user_id)': 'v' is a view; name the tables that it shows"},
    };
    struct world w;
    open_world(&w);
    sql(&w, "CREATE VIEW v AS SELECT * FROM orders");
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *const depends[] = {cases[i].depends, NULL};
        assert_int_equal(add(&w, view(cases[i].pattern, "SELECT count(*) FROM orders WHERE user_id = :user_id", depends)),
                         FB_CONFIG);
        if (strstr(w.err.text, cases[i].text) == NULL)
            fail_msg("%s, not %s", w.err.text, cases[i].text);
    }
    /* Statements of its own that write the table, and do not show the column. */
    static const char *const by_user[] = {"orders(user_id)", NULL};
    must(&w, add(&w, view("s:{user_id}", "SELECT count(*) FROM orders WHERE user_id = :user_id", by_user)));
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "total:{id:int}";
    o.load = "SELECT total FROM orders WHERE id = :id";
    o.store = "UPDATE orders SET total = :total WHERE id = :id";
    o.as = "text";
    o.write = FB_WRITE_THROUGH;
    assert_int_equal(add(&w, o), FB_CONFIG);
    assert_non_null(strstr(w.err.text, "its load does not show the column 'user_id'"));
    o.load = "SELECT total, user_id FROM orders WHERE id = :id";
    o.as = "column:total";
    must(&w, add(&w, o));
    fb_buf out = FB_BUF_INIT;
    read_key(&w, "s:7", &out);
    fb_op op = set("total:1", "99");
    assert_int_equal(run(&w, &op, 1), FB_OK);
    assert_int_equal(fb_cached(w.cache, FB_STR("s:7")), FB_MISS);
    /* Read-only, and sharing a table: only with depends. */
    fb_keyspace_options twin = rows_of("twin:{name}", FB_WRITE_OFF, NULL);
    assert_int_equal(add(&w, twin), FB_CONFIG);
    assert_non_null(strstr(w.err.text, "is mapped by 'total:{id:int}' already"));
    static const char *const wrong[] = {"log(text)", NULL}, *const right[] = {"orders(name)", NULL};
    twin.depends = wrong;
    assert_int_equal(add(&w, twin), FB_CONFIG);
    twin.depends = right;
    assert_int_equal(add(&w, twin), FB_CONFIG); /* total:… does not show the name */
    assert_non_null(strstr(w.err.text, "'name'"));
    fb_buf_free(&out);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_forgets_the_lists_of_before_and_after),
        cmocka_unit_test(every_kind_of_write_tells),
        cmocka_unit_test(a_transaction_tells_of_all_its_rows_or_of_none),
        cmocka_unit_test(what_is_held_is_not_cached_until_the_outcome_is_known),
        cmocka_unit_test(no_memory_leaves_nothing_stale),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
