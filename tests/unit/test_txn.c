/* Several operations as one transaction, through the public API and over a real SQLite file: what each sees, what a
 * failure leaves, what a check compares, and that many at once are as if one after another. */
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

#include <forebay/forebay.h>

enum { OPS_MAX = 8, THREADS = 4, ROUNDS = 40 };

struct world {
    char dir[64], path[2][96];
    sqlite3 *db;
    fb_cache *cache;
    fb_source *sources[2];
    char events[512];
};

static void sql(struct world *w, const char *text) {
    char *message = NULL;
    if (sqlite3_exec(w->db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
}

/* One value as text, "NULL" for NULL and for no row. */
static const char *ask(struct world *w, const char *text) {
    static char answer[200];
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(w->db, text, -1, &stmt, NULL), SQLITE_OK);
    snprintf(answer, sizeof answer, "NULL");
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        snprintf(answer, sizeof answer, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return answer;
}

static void add_keyspace(struct world *w, unsigned source, const char *pattern, const char *table, const char *as,
                         fb_write_mode write, fb_on_set on_set) {
    fb_err err;
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = pattern;
    ks.source = w->sources[source];
    ks.table = table;
    ks.as = as;
    ks.write = write;
    ks.on_set = on_set;
    if (fb_keyspace_add(w->cache, &ks, &err) != FB_OK)
        fail_msg("%s", err.text);
}

/* Keyspaces: n:{k} a number column, t:{k} a text column, user:{id} a hash with a unique column, ig:{k} ignores writes;
 * other:{k} is another source's. */
static void open_world(struct world *w) {
    static const char schema[] = "CREATE TABLE numbers(k TEXT PRIMARY KEY, n INTEGER CHECK (n < 1000));"
                                 "CREATE TABLE texts(k TEXT PRIMARY KEY, v TEXT);"
                                 "CREATE TABLE ignored(k TEXT PRIMARY KEY, v TEXT);"
                                 "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE);"
                                 "INSERT INTO users VALUES (1, 'Ann', 'ann@x')";
    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/fb_txn_XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(fb_open(NULL, &w->cache, NULL), FB_OK);
    for (int i = 1; i >= 0; i--) {
        char url[128];
        fb_err err;
        snprintf(w->path[i], sizeof w->path[i], "%s/%d.db", w->dir, i);
        assert_int_equal(sqlite3_open(w->path[i], &w->db), SQLITE_OK);
        sqlite3_busy_timeout(w->db, 5000);
        sql(w, schema);
        if (i == 1)
            sqlite3_close(w->db);
        snprintf(url, sizeof url, "sqlite:%s", w->path[i]);
        if (fb_source_open(w->cache, i == 0 ? "shop" : "archive", url, NULL, &w->sources[i], &err) != FB_OK)
            fail_msg("%s", err.text);
    }
    add_keyspace(w, 0, "n:{k}", "numbers", "column:n", FB_WRITE_THROUGH, FB_ON_SET_DEFAULT);
    add_keyspace(w, 0, "t:{k}", "texts", "column:v", FB_WRITE_THROUGH, FB_ON_SET_DEFAULT);
    add_keyspace(w, 0, "user:{id}", "users", "hash", FB_WRITE_THROUGH, FB_ON_SET_DEFAULT);
    add_keyspace(w, 0, "ig:{k}", "ignored", "column:v", FB_WRITE_OFF, FB_ON_SET_IGNORE);
    add_keyspace(w, 1, "other:{k}", "texts", "column:v", FB_WRITE_THROUGH, FB_ON_SET_DEFAULT);
}

static void close_world(struct world *w) {
    char command[128];
    fb_close(w->cache);
    sqlite3_close(w->db);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

/* What a transaction answered, to keep. */
struct answer {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int done;
    fb_status status;
    size_t decided_by;
    char err[FB_ERR_TEXT_MAX];
    struct { fb_status status; fb_kind kind; char value[64], old[64]; int64_t number; } of[OPS_MAX];
};

static void show(char out[64], fb_bytes bytes) {
    snprintf(out, 64, "%.*s", (int)bytes.len, bytes.data != NULL ? bytes.data : "");
}

static void take(struct answer *a, const fb_outcome *outcome) {
    a->status = outcome->status;
    a->decided_by = outcome->decided_by;
    snprintf(a->err, sizeof a->err, "%s", outcome->status < 0 ? outcome->err.text : "");
    for (size_t i = 0; i < outcome->n && outcome->results != NULL; i++) {
        a->of[i].status = outcome->results[i].status;
        a->of[i].kind = outcome->results[i].kind;
        a->of[i].number = outcome->results[i].number;
        show(a->of[i].value, outcome->results[i].value);
        show(a->of[i].old, outcome->results[i].old);
    }
}

static void on_done(void *user, const fb_outcome *outcome) {
    struct answer *a = user;
    pthread_mutex_lock(&a->mutex);
    take(a, outcome);
    a->done = 1;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
}

static struct answer transact(fb_cache *cache, const fb_op *ops, size_t n) {
    struct answer a = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    fb_outcome outcome;
    if (fb_submit_all(cache, ops, n, on_done, &a, &outcome) != FB_PENDING) {
        take(&a, &outcome);
        return a;
    }
    pthread_mutex_lock(&a.mutex);
    while (!a.done)
        pthread_cond_wait(&a.changed, &a.mutex);
    pthread_mutex_unlock(&a.mutex);
    return a;
}

static fb_op op(fb_op_kind kind, const char *key, const char *value) {
    return (fb_op){.kind = kind, .key = FB_STR(key), .value = value != NULL ? FB_STR(value) : fb_bytes_of(NULL, 0)};
}

static fb_op with(fb_op one, unsigned flags, unsigned block) {
    one.flags = flags;
    one.block = block;
    return one;
}

static fb_op check(fb_cache *cache, const char *key, const char *value) {
    fb_op one = op(FB_OP_CHECK, key, NULL);
    one.expected = value != NULL ? fb_fingerprint(cache, FB_KIND_STRING, FB_STR(value))
                                 : fb_fingerprint(cache, FB_KIND_NONE, fb_bytes_of(NULL, 0));
    return one;
}

static const char *get(fb_cache *cache, const char *key) {
    static _Thread_local char text[64];
    fb_buf buf = FB_BUF_INIT;
    fb_err err;
    fb_status status = fb_get(cache, FB_STR(key), &buf, &err);
    if (status < 0)
        fail_msg("%s", err.text);
    show(text, fb_bytes_of(buf.data, buf.len));
    fb_buf_free(&buf);
    return status == FB_OK ? text : NULL;
}

/* ---- what an operation sees ------------------------------------------------------------------------------------- */

static void each_operation_sees_those_before_it(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    fb_op ops[] = {op(FB_OP_SET, "n:a", "5"), op(FB_OP_ADD, "n:a", "2"), op(FB_OP_READ, "n:a", NULL),
                   with(op(FB_OP_SET, "n:a", "9"), FB_WANT_OLD, 0), op(FB_OP_DELETE, "n:a", NULL),
                   op(FB_OP_READ, "n:a", NULL), op(FB_OP_DELETE, "n:a", NULL), op(FB_OP_SET, "n:a", "1")};
    struct answer a = transact(w.cache, ops, 8);
    assert_int_equal(a.status, FB_OK);
    assert_string_equal(a.of[1].value, "7");
    assert_string_equal(a.of[2].value, "7");
    assert_int_equal(a.of[2].kind, FB_KIND_STRING);
    assert_string_equal(a.of[3].old, "7");
    assert_int_equal(a.of[4].status, FB_OK);
    assert_int_equal(a.of[5].status, FB_NOTFOUND);
    assert_int_equal(a.of[6].status, FB_NOTFOUND);
    assert_int_equal(fb_cached(w.cache, FB_STR("n:a")), FB_OK); /* as the database has it in the end */
    assert_string_equal(get(w.cache, "n:a"), "1");
    assert_string_equal(ask(&w, "SELECT n FROM numbers"), "1");
    close_world(&w);
}

static void a_hash_counts_its_fields_at_that_point(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    fb_field name = {FB_STR("name"), FB_STR("Bob")}, email = {FB_STR("email"), FB_STR("bob@x")};
    fb_op set = op(FB_OP_HSET, "user:2", NULL), again = set, gone = op(FB_OP_HDEL, "user:2", NULL);
    set.fields = again.fields = &name;
    gone.fields = &email;
    set.nfields = again.nfields = gone.nfields = 1;
    fb_op email_too = again;
    email_too.fields = &email;
    fb_op ops[] = {set, again, email_too, gone, gone};
    struct answer a = transact(w.cache, ops, 5);
    assert_int_equal(a.status, FB_OK);
    const int64_t numbers[] = {1, 0, 1, 1, 0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(a.of[i].number, numbers[i]);
    assert_string_equal(ask(&w, "SELECT count(*) || name FROM users WHERE id = 2 AND email IS NULL"), "1Bob");
    close_world(&w);
}

/* ---- all or none ------------------------------------------------------------------------------------------------ */

static void what_fails_is_named_and_leaves_no_trace(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    sql(&w, "INSERT INTO numbers VALUES ('a', 1), ('b', 999)");
    assert_string_equal(get(w.cache, "n:a"), "1");
    fb_op ops[] = {op(FB_OP_SET, "n:a", "50"), op(FB_OP_READ, "n:a", NULL), op(FB_OP_ADD, "n:b", "1"),
                   op(FB_OP_SET, "n:c", "1")};
    struct answer a = transact(w.cache, ops, 4);
    assert_int_equal(a.status, FB_CONFLICT);
    assert_int_equal(a.decided_by, 2);
    assert_string_equal(a.err, "keyspace 'n:{k}': CHECK constraint failed: n < 1000");
    assert_string_equal(ask(&w, "SELECT group_concat(k || n) FROM numbers"), "a1,b999");
    assert_string_equal(get(w.cache, "n:a"), "1");
    assert_string_equal(get(w.cache, "n:b"), "999");
    assert_null(get(w.cache, "n:c"));
    close_world(&w);
}

static void what_does_not_fit_is_named_before_anything_happens(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    fb_op wrong[] = {op(FB_OP_SET, "t:a", "x"), op(FB_OP_SET, "n:a", "many")};
    struct answer a = transact(w.cache, wrong, 2);
    assert_int_equal(a.status, FB_BADVALUE);
    assert_int_equal(a.decided_by, 1);
    fb_op two[] = {op(FB_OP_SET, "t:a", "x"), op(FB_OP_READ, "other:a", NULL)};
    a = transact(w.cache, two, 2);
    assert_int_equal(a.status, FB_UNSUPPORTED);
    assert_string_equal(a.err, "keys of sources 'shop' and 'archive' cannot be in one transaction");
    fb_op copies[] = {op(FB_OP_SET, "t:a", "x"), op(FB_OP_EXPIRE, "t:a", NULL)};
    assert_int_equal(transact(w.cache, copies, 2).status, FB_INVALID);
    fb_op *many = calloc(FB_TRANSACTION_MAX + 1, sizeof *many);
    for (int i = 0; i <= FB_TRANSACTION_MAX; i++)
        many[i] = op(FB_OP_SET, "t:a", "x");
    assert_int_equal(transact(w.cache, many, FB_TRANSACTION_MAX + 1).status, FB_INVALID);
    free(many);
    assert_string_equal(ask(&w, "SELECT count(*) FROM texts"), "0");
    close_world(&w);
}

static void a_condition_takes_all_back_or_only_its_block(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    sql(&w, "INSERT INTO texts VALUES ('b', 'old')");
    fb_op all[] = {op(FB_OP_SET, "t:a", "1"), with(op(FB_OP_SET, "t:b", "1"), FB_COND_ABSENT, 0)};
    struct answer a = transact(w.cache, all, 2);
    assert_int_equal(a.status, FB_UNMET);
    assert_int_equal(a.decided_by, 1);
    assert_string_equal(ask(&w, "SELECT group_concat(k || v) FROM texts"), "bold");
    /* Two blocks: the second cannot be done, and is not done in part. */
    fb_op some[] = {with(op(FB_OP_SET, "t:a", "1"), FB_COND_ABSENT, 1),
                    with(op(FB_OP_SET, "t:c", "2"), FB_COND_ABSENT, 2),
                    with(op(FB_OP_SET, "t:a", "2"), FB_COND_ABSENT, 2),
                    with(op(FB_OP_SET, "t:b", "3"), FB_WANT_OLD, 3)};
    a = transact(w.cache, some, 4);
    assert_int_equal(a.status, FB_OK);
    assert_int_equal(a.of[0].status, FB_OK);
    assert_int_equal(a.of[1].status, FB_UNMET);
    assert_int_equal(a.of[2].status, FB_UNMET);
    assert_string_equal(a.of[3].old, "old");
    assert_string_equal(ask(&w, "SELECT group_concat(k || v) FROM (SELECT * FROM texts ORDER BY k)"), "a1,b3");
    assert_string_equal(get(w.cache, "t:a"), "1");
    assert_null(get(w.cache, "t:c"));
    close_world(&w);
}

static void ignored_writes_are_left_out(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    fb_op ops[] = {op(FB_OP_SET, "ig:a", "x"), op(FB_OP_SET, "t:a", "x"), op(FB_OP_SET, "ig:b", "x")};
    struct answer a = transact(w.cache, ops, 3);
    assert_int_equal(a.status, FB_OK);
    assert_int_equal(a.of[0].status, FB_IGNORED);
    assert_int_equal(a.of[1].status, FB_OK);
    assert_int_equal(transact(w.cache, ops, 1).status, FB_IGNORED);
    assert_string_equal(ask(&w, "SELECT count(*) FROM ignored"), "0");
    close_world(&w);
}

static void a_deletion_can_ask_for_a_value_and_give_it(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    sql(&w, "INSERT INTO texts VALUES ('a', 'old'), ('null', NULL)");
    fb_op ops[] = {with(op(FB_OP_DELETE, "t:a", NULL), FB_WANT_OLD | FB_COND_PRESENT, 1),
                   with(op(FB_OP_DELETE, "t:a", NULL), FB_WANT_OLD | FB_COND_PRESENT, 2),
                   with(op(FB_OP_DELETE, "t:null", NULL), FB_WANT_OLD | FB_COND_PRESENT, 3)};
    struct answer a = transact(w.cache, ops, 3);
    assert_int_equal(a.status, FB_OK);
    assert_string_equal(a.of[0].old, "old");
    assert_int_equal(a.of[1].status, FB_UNMET);
    assert_int_equal(a.of[2].status, FB_UNMET);
    assert_string_equal(ask(&w, "SELECT group_concat(k) FROM texts"), "null"); /* a row without a value stays */
    close_world(&w);
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static void a_check_compares_with_the_database_and_not_with_the_cache(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    sql(&w, "INSERT INTO texts VALUES ('a', 'old')");
    assert_string_equal(get(w.cache, "t:a"), "old");
    fb_op ops[] = {check(w.cache, "t:a", "old"), op(FB_OP_SET, "t:b", "1")};
    assert_int_equal(transact(w.cache, ops, 2).status, FB_OK);
    sql(&w, "UPDATE texts SET v = 'new' WHERE k = 'a'"); /* behind our back: the cache still has the old one */
    assert_string_equal(get(w.cache, "t:a"), "old");
    ops[1] = op(FB_OP_SET, "t:b", "2");
    struct answer a = transact(w.cache, ops, 2);
    assert_int_equal(a.status, FB_UNMET);
    assert_int_equal(a.decided_by, 0);
    assert_string_equal(ask(&w, "SELECT v FROM texts WHERE k = 'b'"), "1");
    /* Who tries again sees what is there; otherwise it could fail until the end of the copy's life. */
    assert_string_equal(get(w.cache, "t:a"), "new");
    ops[0] = check(w.cache, "t:a", get(w.cache, "t:a"));
    assert_int_equal(transact(w.cache, ops, 2).status, FB_OK);
    assert_string_equal(ask(&w, "SELECT v FROM texts WHERE k = 'b'"), "2");
    close_world(&w);
}

static void absence_can_be_checked(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    fb_op alone = check(w.cache, "t:a", NULL);
    assert_int_equal(transact(w.cache, &alone, 1).status, FB_OK);
    fb_op ops[] = {alone, op(FB_OP_SET, "t:a", "")};
    assert_int_equal(transact(w.cache, ops, 2).status, FB_OK);
    assert_int_equal(transact(w.cache, ops, 2).status, FB_UNMET); /* an empty value is a value */
    assert_string_equal(get(w.cache, "t:a"), "");
    close_world(&w);
}

/* ---- what is told, how long copies live ------------------------------------------------------------------------- */

static void on_event(void *user, const fb_event *event) {
    struct world *w = user;
    size_t len = strlen(w->events);
    snprintf(w->events + len, sizeof w->events - len, "%d:%.*s:%d ", (int)event->kind, (int)event->key.len,
             event->key.data, (int)event->op);
}

static void every_write_is_told_in_its_order(void **state) {
    (void)state;
    struct world w;
    char expected[512];
    open_world(&w);
    fb_watch(w.cache, 1 << FB_EVENT_WRITTEN | 1 << FB_EVENT_DELETED, on_event, &w);
    fb_op ops[] = {op(FB_OP_SET, "n:a", "5"), op(FB_OP_READ, "n:a", NULL), op(FB_OP_ADD, "n:a", "2"),
                   with(op(FB_OP_SET, "n:a", "1"), FB_COND_ABSENT, 1), op(FB_OP_DELETE, "n:a", NULL)};
    assert_int_equal(transact(w.cache, ops, 5).status, FB_OK);
    snprintf(expected, sizeof expected, "%d:n:a:%d %d:n:a:%d %d:n:a:%d ", FB_EVENT_WRITTEN, FB_OP_SET,
             FB_EVENT_WRITTEN, FB_OP_ADD, FB_EVENT_DELETED, FB_OP_DELETE);
    assert_string_equal(w.events, expected);
    w.events[0] = '\0';
    ops[4] = op(FB_OP_SET, "n:a", "5000"); /* fails */
    assert_int_equal(transact(w.cache, ops, 5).status, FB_CONFLICT);
    assert_string_equal(w.events, "");
    close_world(&w);
}

static int64_t life(fb_cache *cache, const char *key) {
    fb_result result;
    fb_op ttl = op(FB_OP_TTL, key, NULL);
    assert_int_equal(fb_submit(cache, &ttl, NULL, NULL, &result), FB_OK);
    return result.number;
}

static void the_last_life_given_counts(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    fb_op ops[] = {op(FB_OP_SET, "t:a", "1"), with(op(FB_OP_SET, "t:a", "2"), FB_KEEP_LIFE, 0),
                   with(op(FB_OP_SET, "t:a", "3"), FB_COND_ABSENT, 1)};
    ops[0].life_ms = 60000;
    assert_int_equal(transact(w.cache, ops, 3).status, FB_OK);
    assert_in_range(life(w.cache, "t:a"), 1, 60001);
    assert_int_equal(transact(w.cache, ops + 1, 1).status, FB_OK); /* kept from before */
    assert_in_range(life(w.cache, "t:a"), 1, 60001);
    ops[1].flags = 0;
    assert_int_equal(transact(w.cache, ops, 2).status, FB_OK);
    assert_in_range(life(w.cache, "t:a"), 60002, 3600001);
    close_world(&w);
}

/* ---- many at once ----------------------------------------------------------------------------------------------- */

struct adder {
    pthread_t thread;
    fb_cache *cache;
    int attempts;
};

/* The way of WATCH, GET, MULTI, SET, EXEC: read, then write if nothing has changed, else again. */
static void *add_optimistically(void *user) {
    struct adder *adder = user;
    for (int i = 0; i < ROUNDS; i++) {
        struct answer a = {.status = FB_UNMET};
        while (a.status == FB_UNMET) {
            char before[64], after[64];
            snprintf(before, sizeof before, "%s", get(adder->cache, "n:count"));
            snprintf(after, sizeof after, "%d", (int)strtol(before, NULL, 10) + 1);
            fb_op ops[] = {check(adder->cache, "n:count", before), op(FB_OP_SET, "n:count", after)};
            a = transact(adder->cache, ops, 2);
            adder->attempts++;
        }
        assert_int_equal(a.status, FB_OK);
    }
    return NULL;
}

static void no_optimistic_update_is_lost(void **state) {
    (void)state;
    struct world w;
    struct adder adders[THREADS] = {0};
    char expected[16];
    open_world(&w);
    sql(&w, "INSERT INTO numbers VALUES ('count', 0)");
    for (int i = 0; i < THREADS; i++) {
        adders[i].cache = w.cache;
        pthread_create(&adders[i].thread, NULL, add_optimistically, &adders[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(adders[i].thread, NULL);
    snprintf(expected, sizeof expected, "%d", THREADS * ROUNDS);
    assert_string_equal(ask(&w, "SELECT n FROM numbers"), expected);
    assert_string_equal(get(w.cache, "n:count"), expected);
    close_world(&w);
}

/* Of two results that are numbers. */
static long sum_of(const struct answer *a, int first) {
    return strtol(a->of[first].value, NULL, 10) + strtol(a->of[first + 1].value, NULL, 10);
}

/* From one account to the other and back, over the same keys in both orders. */
static void *move_money(void *user) {
    struct adder *adder = user;
    for (int i = 0; i < ROUNDS; i++) {
        const char *from = i % 2 ? "n:a" : "n:b", *to = i % 2 ? "n:b" : "n:a";
        fb_op ops[] = {op(FB_OP_ADD, from, "-1"), op(FB_OP_ADD, to, "1"), op(FB_OP_READ, "n:a", NULL),
                       op(FB_OP_READ, "n:b", NULL)};
        struct answer a = transact(adder->cache, ops, 4);
        assert_int_equal(a.status, FB_OK);
        assert_int_equal(sum_of(&a, 2), 200);
    }
    return NULL;
}

static void transactions_are_as_if_one_after_another(void **state) {
    (void)state;
    struct world w;
    struct adder movers[THREADS] = {0};
    open_world(&w);
    sql(&w, "INSERT INTO numbers VALUES ('a', 100), ('b', 100)");
    for (int i = 0; i < THREADS; i++) {
        movers[i].cache = w.cache;
        pthread_create(&movers[i].thread, NULL, move_money, &movers[i]);
    }
    for (int i = 0; i < 50; i++) {
        fb_op look[] = {op(FB_OP_READ, "n:a", NULL), op(FB_OP_READ, "n:b", NULL)};
        struct answer a = transact(w.cache, look, 2);
        assert_int_equal(sum_of(&a, 0), 200);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(movers[i].thread, NULL);
    assert_string_equal(ask(&w, "SELECT sum(n) FROM numbers"), "200");
    assert_string_equal(get(w.cache, "n:a"), "100");
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_sees_those_before_it),
        cmocka_unit_test(a_hash_counts_its_fields_at_that_point),
        cmocka_unit_test(what_fails_is_named_and_leaves_no_trace),
        cmocka_unit_test(what_does_not_fit_is_named_before_anything_happens),
        cmocka_unit_test(a_condition_takes_all_back_or_only_its_block),
        cmocka_unit_test(ignored_writes_are_left_out),
        cmocka_unit_test(a_deletion_can_ask_for_a_value_and_give_it),
        cmocka_unit_test(a_check_compares_with_the_database_and_not_with_the_cache),
        cmocka_unit_test(absence_can_be_checked),
        cmocka_unit_test(every_write_is_told_in_its_order),
        cmocka_unit_test(the_last_life_given_counts),
        cmocka_unit_test(no_optimistic_update_is_lost),
        cmocka_unit_test(transactions_are_as_if_one_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
