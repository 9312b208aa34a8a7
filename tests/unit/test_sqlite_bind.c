/* Shows which keyspaces SQLite's adapter accepts and what it says about the others: tables by pattern and key, types of
 * parameters filled in from the columns, no key column in which two keys could find one row, statements of the
 * configuration's own checked before they run; and which files it opens. */
#include "sqlite_world.h"

#include "base/mem.h"

static void parameters_get_the_types_of_their_columns(void **state) {
    (void)state;
    static const struct { const char *pattern, *table, *typed; } rows[] = {
        {"user:{id}", "users", "user:{id:int}"},
        {"user:{id:int}", "USERS", "user:{id:int}"},
        {"user:{ID}", "users", "user:{ID:int}"},
        {"inventory:{product_id:int}", "users", "inventory:{product_id:int}"}, /* one parameter: the one-column key */
        {"by-email:{email}", "users", "by-email:{email}"},
        {"line:{order_id}:{product}", "lines", "line:{order_id:int}:{product}"},
        {"line:{product}:{order_id}", "lines", "line:{product}:{order_id:int}"},
        {"{k:rest}", "kv", "{k:rest}"},
        {"t:{k:uuid}", "texts", "t:{k:uuid}"},
        {"t:{k:int}", "texts", "t:{k:int}"}, /* the text '42': one way to write it */
        {"n:{n:int}", "numbered", "n:{n:int}"},
        {"day:{d:date}", "days", "day:{d:date}"},
    };
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
        struct fb_binding *b;
        char *pattern;
        o.pattern = rows[i].pattern;
        o.table = rows[i].table;
        if (ops->bind(w.driver, &o, &b, &pattern, &w.err) != FB_OK)
            fail_msg("%s", w.err.text);
        assert_string_equal(pattern, rows[i].typed);
        fb_mem_free(pattern);
        ops->unbind(b);
    }
    world_close(&w);
}

static void expect_refused(struct world *w, const fb_keyspace_options *o, const char *reason) {
    struct fb_binding *b = NULL;
    char *pattern = NULL;
    w->err.text[0] = 0;
    if (ops->bind(w->driver, o, &b, &pattern, &w->err) != FB_CONFIG || strstr(w->err.text, reason) == NULL)
        fail_msg("%s: '%s' instead of '%s'", o->pattern, w->err.text, reason);
    assert_null(b);
}

static void tables_that_do_not_fit_are_refused_with_the_nearest_name(void **state) {
    (void)state;
    static const struct { const char *pattern, *table, *reason; } rows[] = {
        {"u:{id}", "user", "there is no table 'user' (did you mean 'users'?)"},
        {"u:{id}", "zzz", "there is no table 'zzz'"},
        {"u:{id}", "users; DROP TABLE users", "not a plain name"},
        {"u:{id}", "us\"ers", "not a plain name"},
        {"u:{id}", "", "not a plain name"},
        {"u:{id}", "seen", "is a view"},
        {"u:{id}", "sqlite_schema", "there is no table"},
        {"u:{id}:{nmae}", "users", "parameter 'nmae' is no column of table 'users' (did you mean 'name'?)"},
        {"u:{id}:{name}", "users", "neither the primary key"},
        {"u:{name}", "users", "neither the primary key"},
        {"l:{order_id}", "lines", "neither the primary key"},
        {"l:{x}", "lines", "parameter 'x' is no column"},
        {"constant", "users", "neither the primary key"},
        {"n:{a}", "nokey", "neither the primary key"},
        {"n:{x}", "nokey", "parameter 'x' is no column"},
        {"p:{a}", "partly", "neither the primary key"},
        {"p:{a}", "lowered", "neither the primary key"},
        {"f:{k}", "fancy", "collation NOCASE"},
        {"n:{n}", "numbered", "texts like '1' and '01' are one; write {n:int}"},
        {"n:{n:hex}", "numbered", "texts like '1' and '01' are one"},
        {"d:{d}", "days", "texts like '1' and '01' are one"},
        {"w:{w}", "weights", "keys are text or integers"},
        {"b:{b}", "blobs", "keys are text or integers"},
        {"u:{id:uuid}", "users", "key column 'id' is an integer, parameter 'id' is uuid"},
        {"u:{id:rest}", "users", "key column 'id' is an integer, parameter 'id' is rest"},
        {"u:{id}:{ID}", "users", "two parameters name column 'id'"},
        {"u:{id", "users", "'{' without '}'"},
        {"u:{id}", NULL, "a table or a load statement is wanted"},
    };
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
        o.pattern = rows[i].pattern;
        o.table = rows[i].table;
        expect_refused(&w, &o, rows[i].reason);
    }
    world_close(&w);
}

static void statements_are_checked_before_they_run(void **state) {
    (void)state;
    static const struct { const char *load, *store, *del, *as, *reason;
    } rows[] = {
        {"SELEC 1", NULL, NULL, NULL, "load: near \"SELEC\": syntax error"},
        {"SELECT hits FROM view WHERE path = :path", NULL, NULL, NULL, "load: no such table: view"},
        {"", NULL, NULL, NULL, "load: the statement is empty"},
        {"SELECT 1; DROP TABLE users", NULL, NULL, NULL, "load: there is more than one statement"},
        {"SELECT 1; nonsense", NULL, NULL, NULL, "load: there is more than one statement"},
        {"DELETE FROM views WHERE path = :path RETURNING hits", NULL, NULL, NULL, "load: a statement that only reads"},
        {"BEGIN", NULL, NULL, NULL, "load: a statement that only reads"},
        {"SELECT hits FROM views WHERE path = :pth", NULL, NULL, NULL,
         "load: :pth is no parameter of the pattern (did you mean 'path'?)"},
        {"SELECT hits FROM views WHERE path = ?", NULL, NULL, NULL, "load: parameters have names, for example :path"},
        {"SELECT hits FROM views WHERE path = ?1", NULL, NULL, NULL, "load: parameters have names"},
        {"SELECT hits, ratio AS hits FROM views WHERE path = :path", NULL, NULL, NULL,
         "load: two columns are called 'hits'"},
        {"SELECT hits, ratio FROM views WHERE path = :path", NULL, NULL, "text",
         "exactly one result column, there are 2"},
        {"SELECT hits FROM views WHERE path = :path", NULL, NULL, "column:hit",
         "no column 'hit' (did you mean 'hits'?)"},
        {"SELECT hits FROM views WHERE path = :path", "SELECT :path", NULL, NULL,
         "store: the statement writes nothing"},
        {"SELECT hits FROM views WHERE path = :path", "UPDATE views SET hits = :hit WHERE path = :path", NULL, NULL,
         "store: :hit is no parameter of the pattern and no column of load (did you mean 'hits'?)"},
        {"SELECT hits FROM views WHERE path = :path", NULL, "DELETE FROM views WHERE path = :path AND hits = :hits",
         NULL, "delete: :hits is no parameter of the pattern"},
        {"SELECT hits FROM views WHERE path = :path", "COMMIT", NULL, NULL, "store: the statement writes nothing"},
        {"SELECT hits FROM views WHERE path = :path", "DELETE FROM views; DELETE FROM users", NULL, NULL,
         "store: there is more than one statement"},
    };
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
        o.pattern = "views:{path:rest}";
        o.load = rows[i].load;
        o.store = rows[i].store;
        o.del = rows[i].del;
        o.as = rows[i].as;
        expect_refused(&w, &o, rows[i].reason);
    }
    fb_keyspace_options both = FB_KEYSPACE_OPTIONS_INIT;
    both.pattern = "user:{id}";
    both.table = "users";
    both.load = "SELECT 1";
    expect_refused(&w, &both, "either a table or statements");
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM users"), "2");
    world_close(&w);
}

static void a_table_with_too_many_columns_is_refused(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    char text[16000];
    size_t n = (size_t)snprintf(text, sizeof text, "CREATE TABLE wide (id INTEGER PRIMARY KEY");
    for (int i = 1; i <= 500; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, ", c%d", i);
    snprintf(text + n, sizeof text - n, ")");
    world_sql(&w, text);
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "w:{id}";
    o.table = "wide";
    expect_refused(&w, &o, "more than 500 columns");
    world_sql(&w, "ALTER TABLE wide DROP COLUMN c500");
    (void)world_bind(&w, &o);
    world_close(&w);
}

static void only_existing_database_files_are_opened(void **state) {
    (void)state;
    static const struct { const char *url; fb_status status; const char *reason; } rows[] = {
        {"sqlite:", FB_INVALID, "a file is needed"},
        {"sqlite::memory:", FB_INVALID, "a file is needed"},
        {"sqlite://host/x.db", FB_INVALID, "sqlite:PATH"},
        {"sqlite:/nonexistent/x.db", FB_DOWN, "unable to open"},
        {"sqlite:file::memory:", FB_DOWN, "unable to open"}, /* a name like any other, not SQLite's URI */
        {"sqlite:/tmp", FB_DOWN, "cannot open '/tmp'"},
    };
    struct world w;
    world_open(&w);
    struct fb_driver *driver;
    for (size_t i = 0; i < COUNT(rows); i++) {
        w.err.text[0] = 0;
        assert_int_equal(ops->open(rows[i].url, NULL, &driver, &w.err), rows[i].status);
        if (strstr(w.err.text, rows[i].reason) == NULL)
            fail_msg("%s: %s", rows[i].url, w.err.text);
    }
    char url[200];
    snprintf(url, sizeof url, "sqlite:%s/no.db", w.dir);
    assert_int_equal(ops->open(url, NULL, &driver, &w.err), FB_DOWN);
    FILE *f = fopen(url + 7, "w"); /* opening has not created it */
    assert_non_null(f);
    for (int i = 0; i < 200; i++)
        fputs("this is no database", f);
    fclose(f);
    assert_int_equal(ops->open(url, NULL, &driver, &w.err), FB_DOWN);
    snprintf(url, sizeof url, "sqlite://%s", w.path);
    assert_int_equal(ops->open(url, NULL, &driver, &w.err), FB_OK);
    ops->close(driver);
    assert_null(fb_driver_find("oracle://secret@host/db", &w.err));
    assert_ptr_equal(strstr(w.err.text, "unknown kind of source 'oracle'; known: sqlite:"), w.err.text);
    assert_null(fb_driver_find("sqlite", &w.err));
    assert_null(fb_driver_find(NULL, &w.err));
    world_close(&w);
}

static void the_writer_brings_the_file_to_wal(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM users"), "2"); /* a connection learns the mode by reading */
    assert_string_equal(world_ask(&w, "PRAGMA journal_mode"), "wal");
    world_close(&w);
}

static void statements_can_be_shown(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *views = world_bind_table(&w, "view:{path:rest}", "views", "json");
    assert_string_equal(ops->statement(views, FB_OP_READ),
                        "SELECT \"views\".\"path\", \"views\".\"hits\", \"views\".\"ratio\" FROM \"views\""
                        " WHERE \"views\".\"path\" = ?");
    assert_string_equal(ops->statement(views, FB_OP_SET),
                        "UPDATE \"views\" SET \"hits\" = ?, \"ratio\" = ? WHERE \"views\".\"path\" = ?");
    assert_string_equal(ops->statement(views, FB_OP_DELETE), "DELETE FROM \"views\" WHERE \"views\".\"path\" = ?");
    assert_null(ops->statement(views, FB_OP_EXPIRE));
    struct fb_binding *hits = world_bind_table(&w, "hits:{path:rest}", "views", "column:hits");
    assert_string_equal(ops->statement(hits, FB_OP_ADD),
                        "UPDATE \"views\" SET \"hits\" = ? WHERE \"views\".\"path\" = ?");
    fb_keyspace_options own = FB_KEYSPACE_OPTIONS_INIT;
    own.pattern = "name:{id:int}";
    own.load = "SELECT name FROM users WHERE id = :id";
    own.as = "text";
    struct fb_binding *named = world_bind(&w, &own);
    assert_string_equal(ops->statement(named, FB_OP_READ), own.load);
    assert_null(ops->statement(named, FB_OP_SET));
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_get_the_types_of_their_columns),
        cmocka_unit_test(tables_that_do_not_fit_are_refused_with_the_nearest_name),
        cmocka_unit_test(statements_are_checked_before_they_run),
        cmocka_unit_test(statements_can_be_shown),
        cmocka_unit_test(a_table_with_too_many_columns_is_refused),
        cmocka_unit_test(only_existing_database_files_are_opened),
        cmocka_unit_test(the_writer_brings_the_file_to_wal),
    };
    return cmocka_run_group_tests_name("sqlite_bind", tests, NULL, NULL);
}
