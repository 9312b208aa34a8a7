/* What "the source has it" takes: a write that changed nothing, a file that is not the one on disk any more, two
 * keyspaces over one table. Each was told as success once. */
#include "sqlite_world.h"

#include <pthread.h>
#include <stdbool.h>

#include <unistd.h>

#include <forebay/forebay.h>

static void a_write_that_a_trigger_ignores_is_refused(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, "CREATE TABLE guarded(id INTEGER PRIMARY KEY, n INTEGER);"
                  "CREATE TRIGGER g BEFORE INSERT ON guarded WHEN new.id > 4 BEGIN SELECT RAISE(IGNORE); END");
    struct fb_binding *b = world_bind_table(&w, "g:{id}", "guarded", "column:n");
    struct answer a = world_set(&w, b, "g:4", "1", 0);
    expect_answer(&a, FB_OK, "1");
    a = world_set(&w, b, "g:5", "1", 0);
    expect_answer(&a, FB_CONFLICT, "the statement changed no row");
    a = world_add(&w, b, "g:6", NULL, "1", 0);
    expect_answer(&a, FB_CONFLICT, "the statement changed no row");
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM guarded"), "1");
    world_close(&w);
}

static void a_store_of_ones_own_that_matches_no_row_is_refused(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, "CREATE TABLE ex(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO ex VALUES (1, 'a')");
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "ex:{id:int}";
    o.load = "SELECT v FROM ex WHERE id = :id";
    o.store = "UPDATE ex SET v = :v WHERE id = :id";
    o.as = "column:v";
    struct fb_binding *b = world_bind(&w, &o);
    struct answer a = world_set(&w, b, "ex:1", "b", 0);
    expect_answer(&a, FB_OK, "b");
    a = world_set(&w, b, "ex:77", "b", 0);
    expect_answer(&a, FB_CONFLICT, "the statement changed no row");
    world_close(&w);
}

/* The file is restored from a backup while it is open: by renaming, as people do. */
static void a_replaced_file_gets_the_writes(void **state) {
    (void)state;
    struct world w;
    char backup[160], other[160];
    world_open(&w);
    world_sql(&w, "CREATE TABLE pairs(k TEXT PRIMARY KEY, v TEXT)");
    struct fb_binding *b = world_bind_table(&w, "kv:{k}", "pairs", "column:v");
    struct answer a = world_set(&w, b, "kv:a", "before", 0);
    expect_answer(&a, FB_OK, "before");
    snprintf(backup, sizeof backup, "VACUUM INTO '%s.backup'", w.path);
    world_sql(&w, backup);
    sqlite3_close(w.db);
    snprintf(backup, sizeof backup, "%s.backup", w.path);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(other, sizeof other, "%s%s", w.path, i == 0 ? "-wal" : "-shm");
        (void)unlink(other);
    }
    assert_int_equal(rename(backup, w.path), 0);
    assert_int_equal(sqlite3_open(w.path, &w.db), SQLITE_OK);

    a = world_set(&w, b, "kv:a", "after", 0);
    expect_answer(&a, FB_OK, "after");
    assert_string_equal(world_ask(&w, "SELECT v FROM pairs WHERE k = 'a'"), "after");
    expect_load(&w, b, "kv:a", FB_OK, "after");
    world_close(&w);
}

static void a_removed_file_takes_no_writes(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, "CREATE TABLE pairs(k TEXT PRIMARY KEY, v TEXT)");
    struct fb_binding *b = world_bind_table(&w, "kv:{k}", "pairs", "column:v");
    assert_int_equal(unlink(w.path), 0);
    assert_int_equal(world_set(&w, b, "kv:a", "x", 0).status, FB_DOWN);
    expect_load(&w, b, "kv:a", FB_DOWN, NULL);
    world_close(&w);
}

/* ---- through the public API ---- */

static fb_status add(fb_cache *cache, fb_source *source, const char *pattern, const char *table, const char *load,
                     fb_write_mode write, fb_err *err) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = pattern;
    o.source = source;
    o.table = table;
    o.load = load;
    o.write = write;
    return fb_keyspace_add(cache, &o, err);
}

static void one_row_has_one_key_whatever_the_source_is_called(void **state) {
    (void)state;
    struct world w;
    fb_cache *cache;
    fb_source *one, *two;
    fb_err err;
    char url[160], detour[200];
    world_open(&w);
    world_sql(&w, "CREATE TABLE members(id INTEGER PRIMARY KEY, n TEXT); CREATE TABLE visits(id INTEGER PRIMARY KEY)");
    snprintf(url, sizeof url, "sqlite:%s", w.path);
    snprintf(detour, sizeof detour, "sqlite:%s/../%s", w.dir, w.path + 1 + (strrchr(w.dir, '/') - w.dir));
    assert_int_equal(fb_open(NULL, &cache, &err), FB_OK);
    assert_int_equal(fb_source_open(cache, "one", url, NULL, &one, &err), FB_OK);
    assert_int_equal(fb_source_open(cache, "two", detour, NULL, &two, &err), FB_OK);
    assert_int_equal(add(cache, one, "u:{id}", "members", NULL, FB_WRITE_THROUGH, &err), FB_OK);
    assert_int_equal(add(cache, two, "u2:{id}", "Members", NULL, FB_WRITE_OFF, &err), FB_CONFIG);
    assert_string_equal(err.text, "table 'members' is mapped by 'u:{id:int}' already: a row may have one key only");
    assert_int_equal(add(cache, two, "u3:{id:int}", NULL, "SELECT n FROM members WHERE id = :id", FB_WRITE_THROUGH, &err),
                     FB_CONFIG);
    assert_int_equal(add(cache, two, "u4:{id:int}", NULL, "SELECT n FROM members WHERE id = :id", FB_WRITE_OFF, &err),
                     FB_OK); /* derived, and as old as its ttl allows */
    assert_int_equal(add(cache, two, "s:{id}", "visits", NULL, FB_WRITE_OFF, &err), FB_OK);
    fb_close(cache);
    world_close(&w);
}

/* ---- listing keys ---- */

struct listed {
    pthread_mutex_t mutex;
    pthread_cond_t is_done;
    bool has_ended;
    fb_status status;
    char keys[512], text[400];
};

static void take_keys(void *user, const fb_result *result) {
    struct listed *listed = user;
    fb_field field;
    size_t len = 0;
    pthread_mutex_lock(&listed->mutex);
    listed->status = result->status;
    listed->keys[0] = 0;
    for (size_t cursor = 0; fb_hash_next(result->value, &cursor, &field);)
        len += (size_t)snprintf(listed->keys + len, sizeof listed->keys - len, "%.*s ", (int)field.name.len,
                                field.name.data);
    snprintf(listed->text, sizeof listed->text, "%s", result->err.text);
    listed->has_ended = true;
    pthread_cond_signal(&listed->is_done);
    pthread_mutex_unlock(&listed->mutex);
}

static fb_status list(fb_cache *cache, unsigned keyspace, size_t limit, struct listed *listed) {
    fb_result result;
    *listed = (struct listed){.mutex = PTHREAD_MUTEX_INITIALIZER, .is_done = PTHREAD_COND_INITIALIZER};
    fb_status status = fb_list_keys(cache, keyspace, limit, take_keys, listed, &result);
    if (status != FB_PENDING) {
        snprintf(listed->text, sizeof listed->text, "%s", result.err.text);
        fb_result_release(&result);
        return status;
    }
    pthread_mutex_lock(&listed->mutex);
    while (!listed->has_ended)
        pthread_cond_wait(&listed->is_done, &listed->mutex);
    pthread_mutex_unlock(&listed->mutex);
    return listed->status;
}

static void the_keys_of_a_table_can_be_listed(void **state) {
    (void)state;
    struct world w;
    fb_cache *cache;
    fb_source *source;
    fb_err err;
    char url[160];
    struct listed listed;
    world_open(&w);
    world_sql(&w, "INSERT INTO texts VALUES ('42', ''), ('x:y', ''), ('007', ''), (NULL, ''), ('', '')");
    snprintf(url, sizeof url, "sqlite:%s", w.path);
    assert_int_equal(fb_open(NULL, &cache, &err), FB_OK);
    assert_int_equal(fb_source_open(cache, "db", url, NULL, &source, &err), FB_OK);
    assert_int_equal(add(cache, source, "user:{id}", "users", NULL, FB_WRITE_OFF, &err), FB_OK);
    assert_int_equal(add(cache, source, "line:{product}:{order_id}", "lines", NULL, FB_WRITE_OFF, &err), FB_OK);
    assert_int_equal(add(cache, source, "text:{k}", "texts", NULL, FB_WRITE_OFF, &err), FB_OK);
    assert_int_equal(add(cache, source, "own:{id:int}", NULL, "SELECT name FROM users WHERE id = :id", FB_WRITE_OFF, &err),
                     FB_OK);
    assert_int_equal(list(cache, 0, 100, &listed), FB_OK);
    assert_string_equal(listed.keys, "user:1 user:2 ");
    assert_int_equal(list(cache, 0, 1, &listed), FB_OK);
    assert_string_equal(listed.keys, "user:1 ");
    assert_int_equal(list(cache, 0, 0, &listed), FB_OK);
    assert_string_equal(listed.keys, "");
    assert_int_equal(list(cache, 1, FB_LIST_MAX, &listed), FB_OK);
    assert_string_equal(listed.keys, "line:cup:7 line:tea:7 ");
    assert_int_equal(list(cache, 2, 100, &listed), FB_OK);
    assert_string_equal(listed.keys, "text:007 text:42 "); /* the others have no key */
    assert_int_equal(list(cache, 3, 100, &listed), FB_UNSUPPORTED);
    assert_string_equal(listed.text, "keyspace 'own:{id:int}': its keys cannot be listed: it has statements of its own");
    assert_int_equal(list(cache, 4, 100, &listed), FB_INVALID);
    assert_int_equal(list(cache, 0, FB_LIST_MAX + 1, &listed), FB_INVALID);
    world_sql(&w, "ALTER TABLE texts RENAME TO gone");
    assert_int_equal(list(cache, 2, 100, &listed), FB_SOURCE);
    fb_close(cache);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_a_trigger_ignores_is_refused),
        cmocka_unit_test(a_store_of_ones_own_that_matches_no_row_is_refused),
        cmocka_unit_test(a_replaced_file_gets_the_writes),
        cmocka_unit_test(a_removed_file_takes_no_writes),
        cmocka_unit_test(one_row_has_one_key_whatever_the_source_is_called),
        cmocka_unit_test(the_keys_of_a_table_can_be_listed),
    };
    return cmocka_run_group_tests_name("sqlite_truth", tests, NULL, NULL);
}
