/* Shows what loading from and storing to real SQLite files does: every row becomes exactly the value its types ask for;
 * every kind of write does what Redis commands want, gives the row as it is after triggers, and leaves nothing behind
 * when it is refused. */
#include "sqlite_world.h"

/* ---- loading ------------------------------------------------------------------------------------------------------
 */

static void a_row_becomes_json_by_its_types(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *b = world_bind_table(&w, "user:{id}", "users", NULL);
    expect_load(&w, b, "user:1", FB_OK,
                "{\"id\":1,\"name\":\"Ann\",\"age\":41,\"score\":0.1,\"is_admin\":true,\"balance\":10.25,"
                "\"meta\":{\"a\": [1, 2]},\"photo\":\"AP8Q\",\"joined\":\"2026-01-02 03:04:05\",\"email\":\"ann@x\","
                "\"secret\":\"s1\",\"shout\":\"ANN\"}");
    expect_load(&w, b, "user:2", FB_OK,
                "{\"id\":2,\"name\":\"Bob \\\"B\\\" \xc3\xa9\",\"age\":null,\"score\":null,\"is_admin\":false,"
                "\"balance\":null,\"meta\":null,\"photo\":null,\"joined\":null,\"email\":null,\"secret\":null,"
                "\"shout\":\"BOB \\\"B\\\" \xc3\xa9\"}");
    expect_load(&w, b, "user:3", FB_NOTFOUND, NULL);
    world_close(&w);
}

static void a_row_becomes_a_hash_or_one_column(void **state) {
    (void)state;
    static const char *const hidden[] = {"secret", "shout", "photo", "id", NULL};
    struct world w;
    world_open(&w);
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "user:{id}";
    o.table = "users";
    o.as = "hash";
    o.hide = hidden;
    struct fb_binding *hash = world_bind(&w, &o), *photo = world_bind_table(&w, "photo:{id}", "users", "column:photo");
    struct fb_binding *hits = world_bind_table(&w, "hits:{path:rest}", "views", "column:hits");
    expect_load(&w, hash, "user:1", FB_OK,
                "name=Ann age=41 score=0.1 is_admin=1 balance=10.25 meta={\"a\": [1, 2]} joined=2026-01-02 03:04:05 "
                "email=ann@x");
    expect_load(&w, hash, "user:2", FB_OK, "name=Bob \"B\" \xc3\xa9 is_admin=0");
    expect_load(&w, hits, "hits:/a", FB_OK, "5");
    expect_load(&w, hits, "hits:/null", FB_NOTFOUND, NULL);
    struct fb_load_item item = {.binding = photo, .key = FB_STR("photo:1")};
    ops->load(w.reader, &item, 1);
    assert_int_equal(item.status, FB_OK);
    assert_int_equal(item.value->len, 3);
    assert_memory_equal(item.value->data, "\0\xff\x10", 3);
    fb_value_unref(item.value);
    world_close(&w);
}

static void only_the_exact_key_finds_a_row(void **state) {
    (void)state;
    static const char *const others[] = {"user:01", "user:1.0", "user: 1", "user:1 ",
                                         "user:+1", "user:1e0", "user:0x1"};
    struct world w;
    world_open(&w);
    struct fb_binding *b = world_bind_table(&w, "user:{id}", "users", NULL);
    struct fb_binding *mail = world_bind_table(&w, "mail:{email}", "users", "column:name");
    for (size_t i = 0; i < COUNT(others); i++)
        expect_load(&w, b, others[i], FB_NOMAP, NULL);
    expect_load(&w, mail, "mail:ann@x", FB_OK, "Ann");
    expect_load(&w, mail, "mail:ANN@x", FB_NOTFOUND, NULL);
    expect_load(&w, mail, "mail:ann@x ", FB_NOTFOUND, NULL);
    /* The configuration's own SQL lets SQLite compare a text with a number, and with another case: still not this key.
     */
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "u:{id}";
    o.load = "SELECT id, name FROM users WHERE id = :id";
    struct fb_binding *loose = world_bind(&w, &o);
    expect_load(&w, loose, "u:1", FB_OK, "{\"id\":1,\"name\":\"Ann\"}");
    expect_load(&w, loose, "u:01", FB_NOTFOUND, NULL);
    expect_load(&w, loose, "u:1.0", FB_NOTFOUND, NULL);
    o.pattern = "n:{name}";
    o.load = "SELECT name, age FROM users WHERE name = :name COLLATE NOCASE";
    struct fb_binding *folded = world_bind(&w, &o);
    expect_load(&w, folded, "n:Ann", FB_OK, "{\"name\":\"Ann\",\"age\":41}");
    expect_load(&w, folded, "n:ann", FB_NOTFOUND, NULL);
    world_close(&w);
}

static void a_table_changed_underneath_is_an_error_not_an_absence(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *users = world_bind_table(&w, "user:{id}", "users", NULL);
    struct fb_binding *texts = world_bind_table(&w, "t:{k}", "texts", NULL);
    expect_load(&w, users, "user:1", FB_OK, NULL);
    world_sql(&w, "INSERT INTO texts VALUES ('Bob', 'x')");
    expect_load(&w, texts, "t:Bob", FB_OK, NULL);
    world_sql(&w, "ALTER TABLE users RENAME COLUMN age TO years");
    expect_load(&w, users, "user:1", FB_SOURCE, "no such column: users.age");
    world_sql(&w, "DROP TABLE users");
    expect_load(&w, users, "user:1", FB_SOURCE, "no such table: users");
    struct answer a = world_set(&w, users, "user:1", "{\"name\":\"x\"}", 0);
    expect_answer(&a, FB_SOURCE, "no such table: users");
    world_sql(&w, "DROP TABLE texts; CREATE TABLE texts (k TEXT COLLATE NOCASE PRIMARY KEY, v TEXT);"
                  "INSERT INTO texts VALUES ('Bob', 'x')");
    expect_load(&w, texts, "t:Bob", FB_OK, NULL);
    expect_load(&w, texts, "t:bob", FB_NOTFOUND, NULL);
    world_close(&w);
}

static void every_item_of_a_batch_has_its_own_answer(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *users = world_bind_table(&w, "user:{id}", "users", "column:name");
    struct fb_binding *json = world_bind_table(&w, "t:{k}", "texts", NULL);
    world_sql(&w, "INSERT INTO texts VALUES ('bad', CAST(x'ff' AS TEXT)), ('good', 'x')");
    static const struct { const char *key; fb_status status; const char *value;
    } rows[] = {
        {"user:1", FB_OK, "Ann"},
        {"t:bad", FB_SOURCE, NULL},
        {"user:9", FB_NOTFOUND, "none"},
        {"user:1", FB_OK, "Ann"},
        {"user:x", FB_NOMAP, NULL},
        {"t:good", FB_OK, "{\"k\":\"good\",\"v\":\"x\"}"},
        {"user:2", FB_OK, "Bob \"B\" \xc3\xa9"},
    };
    struct fb_load_item items[COUNT(rows)] = {0};
    for (size_t i = 0; i < COUNT(rows); i++)
        items[i] = (struct fb_load_item){.binding = rows[i].key[0] == 'u' ? users : json, .key = FB_STR(rows[i].key)};
    ops->load(w.reader, items, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(items[i].status, rows[i].status);
        if (rows[i].value != NULL)
            assert_string_equal(world_shown(items[i].value), rows[i].value);
        else
            assert_true(items[i].value->len > 0); /* an error has a text */
        fb_value_unref(items[i].value);
    }
    world_close(&w);
}

static void a_load_of_ones_own_finds_at_most_one_row(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "order:{order_id:int}";
    o.load = "SELECT product, n * 2 AS twice FROM lines WHERE order_id = :order_id -- all of them\n;";
    struct fb_binding *b = world_bind(&w, &o);
    expect_load(&w, b, "order:7", FB_SOURCE,
                "keyspace 'order:{order_id:int}': the load statement found more than one row");
    world_sql(&w, "DELETE FROM lines WHERE product = 'cup'");
    expect_load(&w, b, "order:7", FB_OK, "{\"product\":\"tea\",\"twice\":6}");
    expect_load(&w, b, "order:8", FB_NOTFOUND, NULL);
    o.load = "SELECT count(*) FROM lines WHERE order_id = :order_id";
    o.as = "text";
    struct fb_binding *count = world_bind(&w, &o);
    expect_load(&w, count, "order:7", FB_OK, "1");
    world_close(&w);
}

/* ---- SET ----------------------------------------------------------------------------------------------------------
 */

static void a_set_changes_the_columns_it_names(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *b = world_bind_table(&w, "line:{order_id}:{product}", "lines", NULL);
    struct answer a = world_set(&w, b, "line:7:tea", "{\"n\":4}", 0);
    expect_answer(&a, FB_OK, "{\"order_id\":7,\"product\":\"tea\",\"n\":4,\"note\":\"x\"}");
    assert_string_equal(world_ask(&w, "SELECT n || note FROM lines WHERE product = 'tea'"), "4x");
    a = world_set(&w, b, "line:8:pot", "{\"n\":2,\"product\":\"pot\"}", 0);
    expect_answer(&a, FB_OK, "{\"order_id\":8,\"product\":\"pot\",\"n\":2,\"note\":\"none\"}");
    expect_load(&w, b, "line:8:pot", FB_OK, a.after);
    a = world_set(&w, b, "line:8:pot", "{}", 0);
    expect_answer(&a, FB_OK, "{\"order_id\":8,\"product\":\"pot\",\"n\":2,\"note\":\"none\"}");
    a = world_set(&w, b, "line:9:new", "{}", 0);
    expect_answer(&a, FB_OK, "{\"order_id\":9,\"product\":\"new\",\"n\":1,\"note\":\"none\"}");
    world_close(&w);
}

static void with_replace_the_other_columns_go_back_to_their_defaults(void **state) {
    (void)state;
    static const char *const hidden[] = {"kept", NULL};
    struct world w;
    world_open(&w);
    world_sql(&w,
              "CREATE TABLE d (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'it''s', b INTEGER DEFAULT (1 + 1), c TEXT,"
              "  e TEXT DEFAULT yes, f TEXT DEFAULT \"a\"\"b'c\", g INTEGER DEFAULT -5, h BOOLEAN DEFAULT TRUE,"
              "  i TEXT DEFAULT CURRENT_DATE, j BLOB DEFAULT x'00', k TEXT NOT NULL DEFAULT '', kept TEXT DEFAULT 'k',"
              "  yes TEXT, x AS (b * 2));"
              "INSERT INTO d (id, c, kept, yes) VALUES (1, 'old', 'mine', 'column');"
              "INSERT INTO d (id) VALUES (2);");
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "d:{id}";
    o.table = "d";
    o.hide = hidden;
    o.set_mode = FB_SET_REPLACE;
    struct fb_binding *b = world_bind(&w, &o);
    world_sql(&w,
              "UPDATE d SET a = 'x', b = 9, e = 'x', f = 'x', g = 9, h = 9, i = 'x', j = 'x', k = 'x' WHERE id = 1");
    struct answer a = world_set(&w, b, "d:1", "{\"b\":7}", 0), fresh = world_set(&w, b, "d:3", "{\"b\":7}", 0);
    expect_answer(&a, FB_OK, NULL);
    expect_answer(&fresh, FB_OK, NULL);
    assert_string_equal(strchr(a.after, ','), strchr(fresh.after, ',')); /* an updated row equals an inserted one … */
    assert_string_equal(world_ask(&w, "SELECT kept FROM d WHERE id = 1"), "mine"); /* … but for what is hidden */
    a = world_set(&w, b, "d:2", "{\"c\":null}", 0);
    assert_string_equal(
        world_ask(&w, "SELECT a || b || e || f || g || h || hex(j) || k || ifnull(c, 'N') FROM d WHERE id = 2"),
        "it's2yesa\"b'c-5100N");
    world_close(&w);
}

static void conditions_of_a_set_hold_or_nothing_changes(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *b = world_bind_table(&w, "t:{k}", "texts", "column:v");
    struct answer a = world_set(&w, b, "t:a", "1", FB_COND_PRESENT);
    expect_answer(&a, FB_UNMET, "none");
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM texts"), "0");
    a = world_set(&w, b, "t:a", "1", FB_COND_ABSENT | FB_WANT_OLD);
    expect_answer(&a, FB_OK, "1");
    assert_string_equal(a.before, "none");
    a = world_set(&w, b, "t:a", "2", FB_COND_ABSENT | FB_WANT_OLD);
    expect_answer(&a, FB_UNMET, "none");
    assert_string_equal(a.before, "1");
    a = world_set(&w, b, "t:a", "3", FB_COND_PRESENT | FB_WANT_OLD);
    expect_answer(&a, FB_OK, "3");
    assert_string_equal(a.before, "1");
    /* In a keyspace of one column NULL is no value. */
    world_sql(&w, "UPDATE texts SET v = NULL");
    a = world_set(&w, b, "t:a", "4", FB_COND_PRESENT);
    expect_answer(&a, FB_UNMET, NULL);
    a = world_set(&w, b, "t:a", "4", FB_COND_ABSENT);
    expect_answer(&a, FB_OK, "4");
    world_close(&w);
}

/* ---- hashes -------------------------------------------------------------------------------------------------------
 */

static void hset_and_hdel_count_as_redis_does(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *b = world_bind_table(&w, "line:{order_id}:{product}", "lines", "hash");
    struct answer a = world_hset(&w, b, "line:7:cup", "note", "n", 0);
    expect_answer(&a, FB_OK, "order_id=7 product=cup n=1 note=n");
    assert_int_equal(a.count, 1);
    a = world_hset(&w, b, "line:7:cup", "note", "m", 0);
    assert_int_equal(a.count, 0);
    a = world_hset(&w, b, "line:7:cup", "note", "z", FB_COND_FIELD_ABSENT);
    expect_answer(&a, FB_UNMET, NULL);
    a = world_hset(&w, b, "line:7:cup", "note", NULL, 0);
    expect_answer(&a, FB_OK, "order_id=7 product=cup n=1");
    assert_int_equal(a.count, 1);
    a = world_hset(&w, b, "line:7:cup", "note", NULL, 0);
    assert_int_equal(a.count, 0);
    a = world_hset(&w, b, "line:7:cup", "note", "z", FB_COND_FIELD_ABSENT);
    expect_answer(&a, FB_OK, "order_id=7 product=cup n=1 note=z");
    a = world_hset(&w, b, "line:7:cup", "product", "cup", FB_COND_FIELD_ABSENT);
    expect_answer(&a, FB_UNMET, NULL);
    /* A row that is not there: HSET makes it, HDEL does not. */
    a = world_hset(&w, b, "line:8:pan", "note", NULL, 0);
    expect_answer(&a, FB_OK, "none");
    assert_int_equal(a.count, 0);
    const fb_field fields[] = {{FB_STR("product"), FB_STR("pan")}, {FB_STR("n"), FB_STR("2")}};
    a = world_store(&w, b, (fb_op){.kind = FB_OP_HSET, .key = FB_STR("line:8:pan"), .fields = fields, .nfields = 2});
    expect_answer(&a, FB_OK, "order_id=8 product=pan n=2 note=none");
    assert_int_equal(a.count, 2);
    /* A NOT NULL column without a default is missing: the database refuses, nothing changes. */
    struct fb_binding *users = world_bind_table(&w, "user:{id}", "users", "hash");
    a = world_hset(&w, users, "user:5", "age", "3", 0);
    expect_answer(&a, FB_CONFLICT, "NOT NULL constraint failed: users.name");
    a = world_hset(&w, users, "user:2", "age", "3", 0); /* an existing row has one */
    expect_answer(&a, FB_OK, NULL);
    world_close(&w);
}

/* ---- sums ---------------------------------------------------------------------------------------------------------
 */

static void sums_are_exact_or_refused(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *hits = world_bind_table(&w, "hits:{path:rest}", "views", "column:hits");
    struct fb_binding *hash = world_bind_table(&w, "view:{path:rest}", "views", "hash");
    struct answer a = world_add(&w, hits, "hits:/a", NULL, "37", 0);
    expect_answer(&a, FB_OK, "42");
    assert_string_equal(a.number, "42");
    a = world_add(&w, hits, "hits:/max", NULL, "1", 0);
    expect_answer(&a, FB_NOTANUMBER, "increment or decrement would overflow");
    assert_string_equal(world_ask(&w, "SELECT typeof(hits) || hits FROM views WHERE path = '/max'"),
                        "integer9223372036854775807"); /* SQLite alone would have made it a REAL */
    a = world_add(&w, hits, "hits:/new", NULL, "-3", 0);
    expect_answer(&a, FB_OK, "-3");
    a = world_add(&w, hits, "hits:/null", NULL, "1", 0);
    expect_answer(&a, FB_OK, "1");
    a = world_add(&w, hash, "view:/a", "ratio", "0.1", FB_ADD_FLOAT);
    expect_answer(&a, FB_OK, "path=/a hits=42 ratio=1.6");
    assert_string_equal(a.number, "1.6");
    a = world_add(&w, hash, "view:/max", "ratio", "1.7e308", FB_ADD_FLOAT);
    expect_answer(&a, FB_NOTANUMBER, "increment would produce NaN or Infinity");
    world_sql(&w, "UPDATE views SET hits = 'many' WHERE path = '/a'");
    a = world_add(&w, hits, "hits:/a", NULL, "1", 0);
    expect_answer(&a, FB_NOTANUMBER, "value is not an integer or out of range");
    a = world_add(&w, hash, "view:/a", "hits", "1", 0);
    expect_answer(&a, FB_NOTANUMBER, "hash value is not an integer");
    assert_string_equal(world_ask(&w, "SELECT hits FROM views WHERE path = '/a'"), "many");
    world_close(&w);
}

/* ---- DELETE, constraints, triggers --------------------------------------------------------------------------------
 */

static void a_delete_says_whether_there_was_a_row(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *b = world_bind_table(&w, "user:{id}", "users", NULL);
    struct answer a = world_delete(&w, b, "user:1");
    expect_answer(&a, FB_OK, "none");
    assert_false(a.after_unknown);
    a = world_delete(&w, b, "user:1");
    expect_answer(&a, FB_NOTFOUND, "none");
    assert_string_equal(world_ask(&w, "SELECT group_concat(id) FROM users"), "2");
    /* A trigger that keeps the row is told as it is. */
    world_sql(&w, "CREATE TRIGGER keep BEFORE DELETE ON users BEGIN UPDATE users SET name = 'gone' WHERE id = old.id;"
                  " SELECT RAISE(IGNORE); END");
    a = world_delete(&w, b, "user:2");
    expect_answer(&a, FB_OK, NULL);
    assert_non_null(strstr(a.after, "\"name\":\"gone\""));
    world_close(&w);
}

static void a_constraint_is_a_conflict_in_the_databases_words(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(
        &w, "CREATE TABLE pets (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES users(id), later INTEGER REFERENCES"
            "  users(id) DEFERRABLE INITIALLY DEFERRED, age INTEGER CHECK (age >= 0));"
            "CREATE TRIGGER no_cats BEFORE INSERT ON pets WHEN new.age = 9 BEGIN SELECT RAISE(ABORT, 'no cats'); END");
    struct fb_binding *users = world_bind_table(&w, "user:{id}", "users", NULL);
    struct fb_binding *pets = world_bind_table(&w, "pet:{id}", "pets", NULL);
    static const struct { const char *key, *value, *said; } rows[] = {
        {"user:2", "{\"email\":\"ann@x\"}", "UNIQUE constraint failed: users.email"},
        {"user:3", "{\"age\":1}", "NOT NULL constraint failed: users.name"},
        {"pet:1", "{\"age\":-1}", "CHECK constraint failed: age >= 0"},
        {"pet:1", "{\"owner\":77}", "FOREIGN KEY constraint failed"},
        {"pet:1", "{\"later\":77}", "FOREIGN KEY constraint failed"}, /* at COMMIT */
        {"pet:1", "{\"age\":9}", "no cats"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct answer a = world_set(&w, rows[i].key[0] == 'u' ? users : pets, rows[i].key, rows[i].value, FB_WANT_OLD);
        expect_answer(&a, FB_CONFLICT, rows[i].said);
        assert_string_equal(world_ask(&w, "SELECT count(*) FROM pets"), "0");
    }
    struct answer a = world_set(&w, pets, "pet:1", "{\"owner\":1,\"later\":2,\"age\":3}", 0);
    expect_answer(&a, FB_OK, "{\"id\":1,\"owner\":1,\"later\":2,\"age\":3}");
    world_close(&w);
}

static void the_answer_is_the_row_after_triggers(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(
        &w,
        "CREATE TRIGGER shout AFTER UPDATE OF note ON lines WHEN new.note NOT LIKE '%!' BEGIN"
        "  UPDATE lines SET note = new.note || '!', n = n + 1 WHERE order_id = new.order_id AND product = new.product;"
        "  UPDATE texts SET v = 'changed' WHERE k = 'other'; END;"
        "INSERT INTO texts VALUES ('other', 'old')");
    struct fb_binding *lines = world_bind_table(&w, "line:{order_id}:{product}", "lines", NULL);
    struct fb_binding *texts = world_bind_table(&w, "t:{k}", "texts", "column:v");
    struct answer a = world_set(&w, lines, "line:7:tea", "{\"note\":\"hot\"}", FB_WANT_OLD);
    expect_answer(&a, FB_OK, "{\"order_id\":7,\"product\":\"tea\",\"n\":4,\"note\":\"hot!\"}");
    assert_string_equal(a.before, "{\"order_id\":7,\"product\":\"tea\",\"n\":3,\"note\":\"x\"}");
    /* Within a group the answers are what is there after all its writes. */
    const struct fb_binding *b[] = {texts, lines};
    const fb_op both[] = {{.kind = FB_OP_SET, .key = FB_STR("t:other"), .value = FB_STR("mine")},
                          {.kind = FB_OP_SET, .key = FB_STR("line:7:tea"), .value = FB_STR("{\"note\":\"new\"}")}};
    struct answer answers[2];
    world_store_groups(&w, b, both, (size_t[]){2, 0}, answers);
    expect_answer(&answers[0], FB_OK, "changed");
    expect_answer(&answers[1], FB_OK, "{\"order_id\":7,\"product\":\"tea\",\"n\":5,\"note\":\"new!\"}");
    world_close(&w);
}

static void a_write_whose_row_cannot_be_shown_is_kept(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, "INSERT INTO users (id, name, email) VALUES (3, CAST(x'ff' AS TEXT), 'x')");
    struct fb_binding *b = world_bind_table(&w, "user:{id}", "users", NULL);
    struct answer a = world_set(&w, b, "user:3", "{\"age\":5}", 0);
    expect_answer(&a, FB_OK, "none");
    assert_true(a.after_unknown);
    assert_string_equal(world_ask(&w, "SELECT age FROM users WHERE id = 3"), "5");
    world_close(&w);
}

/* ---- statements of the configuration's own ------------------------------------------------------------------------
 */

static fb_keyspace_options own_views(void) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "views:{path:rest}";
    o.load = "SELECT hits FROM views WHERE path = :path";
    o.store =
        "INSERT INTO views(path, hits) VALUES (:path, :hits) ON CONFLICT(path) DO UPDATE SET hits = excluded.hits "
        "RETURNING hits";
    o.del = "DELETE FROM views WHERE path = :path";
    o.as = "column:hits";
    return o;
}

static void statements_of_ones_own_store_and_delete(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    fb_keyspace_options o = own_views();
    struct fb_binding *b = world_bind(&w, &o);
    struct answer a = world_set(&w, b, "views:/p", "8", FB_WANT_OLD | FB_COND_ABSENT);
    expect_answer(&a, FB_OK, "8");
    a = world_add(&w, b, "views:/p", NULL, "2", 0);
    expect_answer(&a, FB_OK, "10");
    a = world_add(&w, b, "views:/q", NULL, "2", 0);
    expect_answer(&a, FB_OK, "2");
    a = world_set(&w, b, "views:/p", "8", FB_COND_ABSENT);
    expect_answer(&a, FB_UNMET, NULL);
    a = world_set(&w, b, "views:/p", "eight", 0);
    expect_answer(&a, FB_BADVALUE, "keyspace 'views:{path:rest}': field 'hits' wants integer, got \"eight\"");
    a = world_delete(&w, b, "views:/p");
    expect_answer(&a, FB_OK, "none");
    a = world_delete(&w, b, "views:/p");
    expect_answer(&a, FB_NOTFOUND, "none");
    assert_string_equal(world_ask(&w, "SELECT group_concat(path) FROM views"), "/a,/max,/null,/q");
    o.store = o.del = NULL;
    struct fb_binding *reads = world_bind(&w, &o);
    a = world_set(&w, reads, "views:/a", "1", 0);
    expect_answer(&a, FB_READONLY, "keyspace 'views:{path:rest}': there is no store statement");
    a = world_delete(&w, reads, "views:/a");
    expect_answer(&a, FB_READONLY, "keyspace 'views:{path:rest}': there is no delete statement");
    world_close(&w);
}

static void a_store_of_ones_own_keeps_what_is_not_named(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    fb_keyspace_options o = own_views();
    o.load = "SELECT path, hits, ratio, hits * 2 AS twice FROM views WHERE path = :path";
    o.store = "INSERT OR REPLACE INTO views VALUES (:path, :hits, :ratio)";
    o.as = "hash";
    struct fb_binding *b = world_bind(&w, &o);
    struct answer a = world_hset(&w, b, "views:/a", "hits", "6", 0);
    expect_answer(&a, FB_OK, "path=/a hits=6 ratio=1.5 twice=12");
    a = world_hset(&w, b, "views:/a", "ratio", NULL, 0);
    expect_answer(&a, FB_OK, "path=/a hits=6 twice=12");
    a = world_hset(&w, b, "views:/a", "twice", "1", 0);
    expect_answer(&a, FB_BADVALUE, "keyspace 'views:{path:rest}': column 'twice' cannot be written");
    a = world_hset(&w, b, "views:/a", "path", "/b", 0);
    expect_answer(&a, FB_BADVALUE, "keyspace 'views:{path:rest}': field 'path' contradicts the key");
    o.as = "json";
    o.set_mode = FB_SET_REPLACE;
    struct fb_binding *replacing = world_bind(&w, &o);
    world_sql(&w, "UPDATE views SET ratio = 2.5 WHERE path = '/a'");
    a = world_set(&w, replacing, "views:/a", "{\"hits\":1}", 0);
    expect_answer(&a, FB_OK, "{\"path\":\"/a\",\"hits\":1,\"ratio\":null,\"twice\":2}");
    world_close(&w);
}

/* More shapes of statements than a session keeps: each still does what it says. */
static void statements_come_and_go(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, "CREATE TABLE bits (id INTEGER PRIMARY KEY, c0 INT, c1 INT, c2 INT, c3 INT, c4 INT, c5 INT, c6 INT)");
    struct fb_binding *b = world_bind_table(&w, "bits:{id}", "bits", NULL);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned set = 0; set < 128; set++) {
            char json[200] = "{", want[200] = "{\"id\":1";
            world_sql(&w, "DELETE FROM bits; INSERT INTO bits (id) VALUES (1)");
            for (unsigned c = 0; c < 7; c++) {
                char part[32];
                bool on = set >> c & 1;
                snprintf(part, sizeof part, "%s\"c%u\":%u", json[1] != 0 ? "," : "", c, set + c);
                if (on)
                    strncat(json, part, sizeof json - strlen(json) - 1);
                snprintf(part, sizeof part, on ? ",\"c%u\":%u" : ",\"c%u\":null", c, set + c);
                strncat(want, part, sizeof want - strlen(want) - 1);
            }
            strncat(json, "}", sizeof json - strlen(json) - 1);
            strncat(want, "}", sizeof want - strlen(want) - 1);
            struct answer a = world_set(&w, b, "bits:1", json, 0);
            expect_answer(&a, FB_OK, want);
        }
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_becomes_json_by_its_types),
        cmocka_unit_test(a_row_becomes_a_hash_or_one_column),
        cmocka_unit_test(only_the_exact_key_finds_a_row),
        cmocka_unit_test(a_table_changed_underneath_is_an_error_not_an_absence),
        cmocka_unit_test(every_item_of_a_batch_has_its_own_answer),
        cmocka_unit_test(a_load_of_ones_own_finds_at_most_one_row),
        cmocka_unit_test(a_set_changes_the_columns_it_names),
        cmocka_unit_test(with_replace_the_other_columns_go_back_to_their_defaults),
        cmocka_unit_test(conditions_of_a_set_hold_or_nothing_changes),
        cmocka_unit_test(hset_and_hdel_count_as_redis_does),
        cmocka_unit_test(sums_are_exact_or_refused),
        cmocka_unit_test(a_delete_says_whether_there_was_a_row),
        cmocka_unit_test(a_constraint_is_a_conflict_in_the_databases_words),
        cmocka_unit_test(the_answer_is_the_row_after_triggers),
        cmocka_unit_test(a_write_whose_row_cannot_be_shown_is_kept),
        cmocka_unit_test(statements_of_ones_own_store_and_delete),
        cmocka_unit_test(a_store_of_ones_own_keeps_what_is_not_named),
        cmocka_unit_test(statements_come_and_go),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
