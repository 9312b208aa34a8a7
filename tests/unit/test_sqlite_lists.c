/* Shows what list keyspaces (rows: many) find in real SQLite files: all rows of a key as one JSON array in a sure order,
 * nothing of another key's, nothing hidden, and never a part of what there is without saying so. */
#include "sqlite_world.h"

#include <stdlib.h>

static const char orders[] =
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, kind TEXT, placed TEXT, total REAL, note BLOB);"
    "INSERT INTO orders VALUES (1, 7, 'a', '2026-01-01', 1.5, NULL), (2, 7, 'b', '2026-01-02', 2.5, NULL),"
    " (3, 8, 'a', '2026-01-03', 3, NULL), (4, 7, 'a', '2026-01-02', 0.1, NULL), (5, NULL, 'a', '2026-01-05', 5, NULL);"
    "CREATE TABLE tags (name TEXT, item TEXT COLLATE NOCASE, weight INTEGER);"
    "INSERT INTO tags VALUES ('x', 'One', 1), ('X', 'two', NULL), ('1', 'three', 3), ('01', 'four', 4);";

static fb_keyspace_options list_of(const char *pattern, const char *table) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = pattern;
    o.table = table;
    o.rows = FB_ROWS_MANY;
    return o;
}

static void a_list_has_the_rows_of_its_key_in_a_sure_order(void **state) {
    (void)state;
    static const char *const hidden[] = {"note", "user_id", "kind", NULL};
    static const char *const placed[] = {"placed desc", NULL};
    struct world w;
    world_open(&w);
    world_sql(&w, orders);
    fb_keyspace_options o = list_of("orders:{user_id}", "orders");
    o.hide = hidden;
    struct fb_binding *all = world_bind(&w, &o);
    expect_load(&w, all, "orders:7", FB_OK,
                "[{\"id\":1,\"placed\":\"2026-01-01\",\"total\":1.5},{\"id\":2,\"placed\":\"2026-01-02\",\"total\":2.5},"
                "{\"id\":4,\"placed\":\"2026-01-02\",\"total\":0.1}]");
    expect_load(&w, all, "orders:9", FB_OK, "[]");
    expect_load(&w, all, "orders:x", FB_NOMAP, NULL); /* an integer column wants an integer */
    o.pattern = "ids:{user_id}";
    o.as = "column:id";
    o.hide = NULL;
    o.order = placed;
    struct fb_binding *ids = world_bind(&w, &o);
    expect_load(&w, ids, "ids:7", FB_OK, "[4,2,1]"); /* the key goes the way of the column before it */
    o.limit = 2;
    expect_load(&w, world_bind(&w, &o), "ids:7", FB_OK, "[4,2]");
    o.pattern = "ids:{user_id}:{kind}";
    o.limit = 0;
    expect_load(&w, world_bind(&w, &o), "ids:7:a", FB_OK, "[4,1]");
    world_close(&w);
}

static void a_list_shows_nulls_and_only_exact_keys(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, orders);
    fb_keyspace_options o = list_of("tags:{name}", "tags");
    o.as = "column:weight";
    struct fb_binding *tags = world_bind(&w, &o);
    expect_load(&w, tags, "tags:x", FB_OK, "[1]");
    expect_load(&w, tags, "tags:X", FB_OK, "[null]");
    expect_load(&w, tags, "tags:1", FB_OK, "[3]");
    expect_load(&w, tags, "tags:01", FB_OK, "[4]");
    world_close(&w);
}

static void a_query_of_ones_own_gives_a_list(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, orders);
    fb_keyspace_options o = list_of("top:{user_id:int}", NULL);
    o.load = "SELECT kind AS what, count(*) AS n FROM orders WHERE user_id = :user_id GROUP BY kind ORDER BY n DESC";
    struct fb_binding *top = world_bind(&w, &o);
    expect_load(&w, top, "top:7", FB_OK, "[{\"what\":\"a\",\"n\":2},{\"what\":\"b\",\"n\":1}]");
    expect_load(&w, top, "top:9", FB_OK, "[]");
    /* A row that the query finds by a looser comparison is another key's. */
    o.pattern = "loose:{name}";
    o.load = "SELECT name, item FROM tags WHERE name = :name COLLATE NOCASE";
    expect_load(&w, world_bind(&w, &o), "loose:X", FB_OK, "[{\"name\":\"X\",\"item\":\"two\"}]");
    world_close(&w);
}

static void a_list_beyond_its_bounds_is_an_error_that_says_so(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, orders);
    world_sql(&w, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
                  "INSERT INTO orders (user_id, total) SELECT 70, i FROM n");
    fb_keyspace_options o = list_of("orders:{user_id}", "orders");
    o.as = "column:total";
    struct fb_binding *b = world_bind(&w, &o);
    struct fb_load_item item = {.binding = b, .key = FB_STR("orders:70")};
    ops->load(w.reader, &item, 1);
    assert_int_equal(item.status, FB_OK);
    fb_value_unref(item.value);
    world_sql(&w, "INSERT INTO orders (user_id, total) VALUES (70, 1)");
    expect_load(&w, b, "orders:70", FB_SOURCE,
                "keyspace 'orders:{user_id:int}': the list has more than 10000 rows; give it a limit");
    o.as = "column:note";
    world_sql(&w, "UPDATE orders SET note = zeroblob(1000000) WHERE user_id = 7 OR id = 3;"
                  "INSERT INTO orders (user_id, note) SELECT 71, zeroblob(2000000) FROM orders WHERE id < 5");
    struct fb_binding *notes = world_bind(&w, &o);
    item = (struct fb_load_item){.binding = notes, .key = FB_STR("orders:7")};
    ops->load(w.reader, &item, 1);
    assert_int_equal(item.status, FB_OK); /* 4,000,000 characters of base64 */
    fb_value_unref(item.value);
    expect_load(&w, notes, "orders:71", FB_SOURCE,
                "keyspace 'orders:{user_id:int}': the list has more than 8388608 bytes; give it a limit, or fewer "
                "columns");
    world_close(&w);
}

static void a_list_that_does_not_fit_its_table_is_refused(void **state) {
    (void)state;
    static const char *const wrong_name[] = {"plced", NULL}, *const wrong_way[] = {"placed up", NULL};
    struct world w;
    world_open(&w);
    world_sql(&w, orders);
    fb_keyspace_options o = list_of("o:{user}", "orders");
    struct { const char *pattern, *table; const char *const *order; const char *text; } cases[] = {
        {"o:{user}", "orders", NULL, "parameter 'user' is no column of table 'orders'"},
        {"o:{total}", "orders", NULL, "key column 'total' is declared REAL; keys are text or integers"},
        {"o:{user_id:uuid}", "orders", NULL, "key column 'user_id' is an integer, parameter 'user_id' is uuid"},
        {"o:{item}", "tags", NULL, "key column 'item' has the collation NOCASE"},
        {"o:{user_id}", "orders", wrong_name, "order: there is no column 'plced' (did you mean 'placed'?)"},
        {"o:{user_id}", "orders", wrong_way, "order: 'placed up' is neither NAME, NAME asc nor NAME desc"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fb_binding *b;
        char *pattern;
        o.pattern = cases[i].pattern;
        o.table = cases[i].table;
        o.order = cases[i].order;
        assert_int_equal(ops->bind(w.driver, &o, &b, &pattern, &w.err), FB_CONFIG);
        assert_non_null(strstr(w.err.text, cases[i].text));
    }
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_the_rows_of_its_key_in_a_sure_order),
        cmocka_unit_test(a_list_shows_nulls_and_only_exact_keys),
        cmocka_unit_test(a_query_of_ones_own_gives_a_list),
        cmocka_unit_test(a_list_beyond_its_bounds_is_an_error_that_says_so),
        cmocka_unit_test(a_list_that_does_not_fit_its_table_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
