/* Shows what list keyspaces (rows: many) find in real SQLite files: all rows of a key as one JSON array in a sure order,
 * nothing of another key's, nothing hidden, and never a part of what there is without saying so. */
#include "sqlite_world.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rows/touch.h"

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

/* ---- what a write touches ---- */

struct watched {
    struct world *w;
    fb_status verdict;
    unsigned calls;
    char seen[128], keys[256];
};
static struct watched watched;

/* What another connection sees at that moment, and what was touched. */
static fb_status on_prepare(struct fb_store_group *group, fb_err *err) {
    size_t len = 0;
    uint16_t keyspace;
    fb_bytes key;
    watched.calls++;
    snprintf(watched.seen, sizeof watched.seen, "%s", world_ask(watched.w, "SELECT group_concat(user_id) FROM orders"));
    for (size_t cursor = 0; fb_touched_next(&group->touched, &cursor, &keyspace, &key);)
        len += (size_t)snprintf(watched.keys + len, sizeof watched.keys - len, "%u/%.*s ", keyspace, (int)key.len, key.data);
    if (watched.verdict != FB_OK)
        snprintf(err->text, sizeof err->text, "no");
    return watched.verdict;
}

static void store(const struct fb_binding *b, const fb_op *op, struct fb_store_group *group,
                  struct fb_store_item *item) {
    struct fb_plan *plan;
    assert_int_equal(ops->plan(b, op, &plan, NULL), FB_OK);
    *item = (struct fb_store_item){.binding = b, .key = op->key, .plan = plan};
    *group = (struct fb_store_group){.items = item, .nitems = 1, .nwrites = 1, .prepare = on_prepare};
    ops->store(watched.w->writer, &group, 1);
    ops->plan_free(plan);
    fb_value_unref(item->after);
    fb_buf_free(&group->touched.keys);
}

static void the_touched_are_told_before_the_commit(void **state) {
    (void)state;
    struct world w;
    struct fb_store_group group;
    struct fb_store_item item;
    struct fb_pattern pattern;
    world_open(&w);
    world_sql(&w, orders);
    struct fb_binding *b = world_bind_table(&w, "order:{id}", "orders", NULL);
    struct fb_mapping *m = ops->mapping(b);
    assert_int_equal(fb_pattern_parse("by:{user_id:int}", &pattern, NULL), FB_OK);
    m->dependents = fb_mem_calloc(1, sizeof *m->dependents);
    m->ndependents = 1;
    m->dependents[0] = (struct fb_dependent){.pattern = &pattern, .keyspace = 5, .columns = {1}};
    watched = (struct watched){.w = &w};
    fb_op op = {.kind = FB_OP_SET, .key = FB_STR("order:3"), .value = FB_STR("{\"user_id\":9}")};
    store(b, &op, &group, &item);
    assert_int_equal(group.status, FB_OK);
    assert_string_equal(watched.seen, "7,7,8,7"); /* not committed */
    assert_string_equal(watched.keys, "5/by:8 5/by:9 ");
    assert_string_equal(world_ask(&w, "SELECT user_id FROM orders WHERE id = 3"), "9");
    /* It says no: the transaction is taken back. */
    watched.verdict = FB_NOMEM;
    op.value = FB_STR("{\"user_id\":10}");
    store(b, &op, &group, &item);
    assert_int_equal(group.status, FB_NOMEM);
    assert_string_equal(world_ask(&w, "SELECT user_id FROM orders WHERE id = 3"), "9");
    /* Nothing is written: nothing is told. */
    watched.calls = 0;
    op = (fb_op){.kind = FB_OP_DELETE, .key = FB_STR("order:99")};
    store(b, &op, &group, &item);
    assert_int_equal(watched.calls, 0);
    fb_pattern_finish(&pattern);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_the_rows_of_its_key_in_a_sure_order),
        cmocka_unit_test(a_list_shows_nulls_and_only_exact_keys),
        cmocka_unit_test(a_query_of_ones_own_gives_a_list),
        cmocka_unit_test(a_list_beyond_its_bounds_is_an_error_that_says_so),
        cmocka_unit_test(a_list_that_does_not_fit_its_table_is_refused),
        cmocka_unit_test(the_touched_are_told_before_the_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
