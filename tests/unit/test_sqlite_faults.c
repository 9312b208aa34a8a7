/* Shows what the SQLite adapter does when things go wrong: every allocation (ours and SQLite's) fails once in turn and
 * each answer is true of the file afterwards; the disk fails at a chosen call of a commit; other processes hold locks;
 * statements run for ever; two readers load while one writer stores. Deadlines are real ones of some milliseconds:
 * SQLite's own waiting is what is under test. */
#include "sqlite_world.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"

/* ---- SQLite's allocations through ours ----------------------------------------------------------------------------
 */

enum { HEAD = 16 };

static void *lib_malloc(int n) {
    char *p = fb_mem_alloc((size_t)n + HEAD);
    if (p == NULL)
        return NULL;
    memcpy(p, &n, sizeof n);
    return p + HEAD;
}
static void lib_free(void *p) {
    if (p != NULL)
        fb_mem_free((char *)p - HEAD);
}
static int lib_size(void *p) {
    int n = 0;
    if (p != NULL)
        memcpy(&n, (char *)p - HEAD, sizeof n);
    return n;
}
static void *lib_realloc(void *old, int n) {
    char *p = fb_mem_realloc((char *)old - HEAD, (size_t)n + HEAD);
    if (p == NULL)
        return NULL;
    memcpy(p, &n, sizeof n);
    return p + HEAD;
}
static int lib_roundup(int n) { return (n + 7) & ~7; }
static int lib_init(void *arg) { (void)arg; return SQLITE_OK; }
static void lib_shutdown(void *arg) { (void)arg; }

/* ---- a disk that fails ------------------------------------------------------------------------------------------- */

/* The default file layer, whose writes and syncs of the write-ahead log fail while they are armed. */
static _Atomic int fail_wal_syncs, fail_wal_writes;
static sqlite3_vfs vfs, *real_vfs;
static sqlite3_io_methods wal_methods;
static const sqlite3_io_methods *real_methods; /* those of the default layer are the same for every log */
static pthread_mutex_t first_open = PTHREAD_MUTEX_INITIALIZER;

static int wal_sync(sqlite3_file *f, int flags) {
    return fail_wal_syncs ? SQLITE_IOERR_FSYNC : real_methods->xSync(f, flags);
}
static int wal_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at) {
    return fail_wal_writes ? SQLITE_IOERR_WRITE : real_methods->xWrite(f, data, n, at);
}
static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *f, int flags, int *out_flags) {
    (void)self;
    int rc = real_vfs->xOpen(real_vfs, name, f, flags, out_flags);
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL)) {
        pthread_mutex_lock(&first_open);
        if (real_methods == NULL) {
            real_methods = f->pMethods;
            wal_methods = *f->pMethods;
            wal_methods.xSync = wal_sync;
            wal_methods.xWrite = wal_write;
        }
        pthread_mutex_unlock(&first_open);
        f->pMethods = &wal_methods;
    }
    return rc;
}

static void set_up_sqlite(void) {
    static const sqlite3_mem_methods methods = {lib_malloc, lib_free, lib_realloc, lib_size, lib_roundup, lib_init,
                                                lib_shutdown, NULL};
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "failing";
    vfs.xOpen = vfs_open;
    assert_int_equal(sqlite3_vfs_register(&vfs, /* is default */ 1), SQLITE_OK);
}

/* ---- every allocation fails once -----------------------------------------------------------------------------------
 */

static fb_op set_op(const char *key, const char *value) {
    return (fb_op){.kind = FB_OP_SET, .flags = FB_WANT_OLD, .key = FB_STR(key), .value = FB_STR(value)};
}

/* One life of a source: open, bind, load three, store two groups, close. The answers of the stores go to `stored`. */
struct life {
    fb_status first_fault;
    fb_status stored[3]; /* t:a and t:b in one group; hits:/a in another */
    bool loads_ok;
};

static void note(struct life *life, fb_status status) {
    if (life->first_fault == FB_OK)
        life->first_fault = status;
}

static void load_all(struct life *life, struct fb_session *reader, struct fb_binding *const *b) {
    struct fb_load_item items[3] = {{.binding = b[0], .key = FB_STR("t:old")},
                                    {.binding = b[1], .key = FB_STR("hits:/a")},
                                    {.binding = b[0], .key = FB_STR("t:none")}};
    static const fb_status want[] = {FB_OK, FB_OK, FB_NOTFOUND};
    ops->load(reader, items, 3);
    life->loads_ok = true;
    for (int i = 0; i < 3; i++) {
        if (items[i].status < 0) {
            note(life, items[i].status);
            life->loads_ok = false;
        } else {
            assert_int_equal(items[i].status, want[i]); /* an error is never "absent", and never another value */
        }
        if (items[i].status == FB_OK)
            assert_string_equal(world_shown(items[i].value), i == 0 ? "before" : "5");
        fb_value_unref(items[i].value);
    }
}

static void store_all(struct life *life, struct fb_session *writer, struct fb_binding *const *b) {
    const fb_op all[] = {set_op("t:a", "after"), set_op("t:b", "after"),
                         {.kind = FB_OP_ADD, .key = FB_STR("hits:/a"), .value = FB_STR("1")}};
    struct fb_store_item items[3];
    struct fb_store_group first = {.items = items, .nitems = 2}, second = {.items = items + 2, .nitems = 1};
    struct fb_store_group *groups[] = {&first, &second};
    struct fb_plan *plans[3] = {NULL};
    fb_status status = FB_OK;
    for (int i = 0; i < 3 && status == FB_OK; i++) {
        fb_err err;
        const struct fb_binding *binding = i < 2 ? b[0] : b[1];
        status = ops->plan(binding, &all[i], &plans[i], &err);
        items[i] = (struct fb_store_item){.binding = binding, .key = all[i].key, .plan = plans[i]};
    }
    note(life, status);
    if (status == FB_OK) {
        ops->store(writer, groups, 2);
        for (int i = 0; i < 3; i++) {
            life->stored[i] = items[i].status;
            if (items[i].status < 0)
                note(life, items[i].status);
            else if (items[i].after != NULL)
                assert_string_equal(world_shown(items[i].after), i < 2 ? "after" : "6");
            fb_value_unref(items[i].after);
            fb_value_unref(items[i].before);
            fb_value_unref(items[i].number);
        }
    }
    for (int i = 0; i < 3; i++)
        ops->plan_free(plans[i]);
}

enum { BINDINGS = 3 }; /* the third one is only bound: its key is a unique index */

static fb_status bind_all(struct fb_driver *driver, struct fb_binding **b) {
    static const char *const rows[2][3] = {{"t:{k}", "texts", "column:v"},
                                           {"hits:{path:rest}", "views", "column:hits"}};
    fb_status status = FB_OK;
    for (int i = 0; i < 2 && status == FB_OK; i++) {
        fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
        char *pattern;
        fb_err err;
        o.pattern = rows[i][0];
        o.table = rows[i][1];
        o.as = rows[i][2];
        status = ops->bind(driver, &o, &b[i], &pattern, &err);
        if (status == FB_OK)
            fb_mem_free(pattern);
    }
    return status;
}

static struct life live(const char *url) {
    struct life life = {FB_OK, {FB_MISS, FB_MISS, FB_MISS}, false};
    struct fb_driver *driver = NULL;
    struct fb_session *writer = NULL, *reader = NULL;
    struct fb_binding *b[BINDINGS] = {NULL};
    fb_err err;
    note(&life, ops->open(url, NULL, &driver, &err));
    if (life.first_fault == FB_OK)
        note(&life, bind_all(driver, b));
    if (life.first_fault == FB_OK)
        note(&life, ops->session_open(driver, true, &writer, &err));
    if (life.first_fault == FB_OK)
        note(&life, ops->session_open(driver, false, &reader, &err));
    if (life.first_fault == FB_OK) {
        load_all(&life, reader, b);
        store_all(&life, writer, b);
    }
    ops->session_close(writer);
    ops->session_close(reader);
    for (int i = 0; i < BINDINGS; i++)
        ops->unbind(b[i]);
    ops->close(driver);
    return life;
}

/* Is the armed failure still ahead? */
static bool fails_within(int64_t n) {
    bool failed = false;
    while (n-- > 0 && !failed) {
        void *p = fb_mem_alloc(1);
        failed = p == NULL;
        fb_mem_free(p);
    }
    return failed;
}

static void every_allocation_may_fail_and_every_answer_stays_true(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    char url[160];
    snprintf(url, sizeof url, "sqlite:%s", w.path);
    unsigned faults = 0, refused_stores = 0;
    for (int64_t n = 0;; n++) {
        world_sql(&w, "DELETE FROM texts; INSERT INTO texts VALUES ('old', 'before'); UPDATE views SET hits = 5 WHERE "
                      "path = '/a'");
        fb_mem_fail_after(n);
        struct life life = live(url);
        bool was_reached = !fails_within(n + 1);
        fb_mem_fail_after(-1);
        /* What the stores said is what the file has: the group of two as a whole, and the sum at most once. */
        const char *texts = world_ask(&w, "SELECT group_concat(k || '=' || v) FROM texts WHERE k <> 'old'");
        bool has_group = strcmp(texts, "a=after,b=after") == 0;
        assert_true(has_group || strcmp(texts, "NULL") == 0);
        const char *hits = world_ask(&w, "SELECT hits FROM views WHERE path = '/a'");
        bool has_sum = strcmp(hits, "6") == 0;
        assert_true(has_sum || strcmp(hits, "5") == 0);
        assert_int_equal(life.stored[0], life.stored[1]);
        if (life.stored[0] != FB_UNKNOWN)
            assert_int_equal(has_group, life.stored[0] == FB_OK);
        if (life.stored[2] != FB_UNKNOWN)
            assert_int_equal(has_sum, life.stored[2] == FB_OK);
        refused_stores += life.stored[0] == FB_NOMEM || life.stored[2] == FB_NOMEM;
        if (life.first_fault != FB_OK) {
            faults++;
            if (life.first_fault != FB_NOMEM && life.first_fault != FB_UNKNOWN)
                fail_msg("allocation %d: %s", (int)n, fb_status_name(life.first_fault));
        }
        if (!was_reached) {
            assert_int_equal(life.first_fault, FB_OK);
            assert_true(life.loads_ok && has_group && has_sum);
            break;
        }
    }
    assert_true(faults > 100);
    assert_true(refused_stores > 0);
    world_close(&w);
}

/* ---- the disk fails at COMMIT --------------------------------------------------------------------------------------
 */

static void a_commit_that_fails_on_the_disk_is_unknown(void **state) {
    (void)state;
    for (int which = 0; which < 2; which++) {
        _Atomic int *fault = which ? &fail_wal_syncs : &fail_wal_writes;
        struct world w;
        world_open(&w);
        struct fb_binding *t = world_bind_table(&w, "t:{k}", "texts", "column:v");
        struct answer a = world_set(&w, t, "t:a", "1", 0);
        expect_answer(&a, FB_OK, "1");
        *fault = 1;
        a = world_set(&w, t, "t:a", "2", 0);
        *fault = 0;
        expect_answer(&a, FB_UNKNOWN, "COMMIT failed: disk I/O error");
        a = world_set(&w, t, "t:b", "1", 0); /* the session goes on */
        expect_answer(&a, FB_OK, "1");
        /* In a joint transaction nobody knows about those that were to be committed; a refusal stays one. */
        const struct fb_binding *b[] = {t, t, t};
        const fb_op all[] = {set_op("t:a", "3"),
                             {.kind = FB_OP_SET, .flags = FB_COND_ABSENT, .key = FB_STR("t:b"), .value = FB_STR("2")},
                             set_op("t:c", "3")};
        struct answer answers[3];
        *fault = 1;
        world_store_groups(&w, b, all, (size_t[]){1, 1, 1, 0}, answers);
        *fault = 0;
        expect_answer(&answers[0], FB_UNKNOWN, NULL);
        expect_answer(&answers[1], FB_UNMET, NULL);
        expect_answer(&answers[2], FB_UNKNOWN, NULL);
        world_load(w.reader, t, FB_STR("t:b"), FB_OK, "1");
        world_close(&w);
    }
}

/* ---- locks and deadlines --------------------------------------------------------------------------------------------
 */

enum { READ_MS = 1000, WRITE_MS = 1500, GROUPS = 10 };
static const fb_source_options hurried = {.read_timeout_ms = READ_MS, .write_timeout_ms = WRITE_MS};

static void a_lock_held_elsewhere_is_a_timeout_and_nothing_is_applied(void **state) {
    (void)state;
    struct world w;
    world_open_with(&w, &hurried);
    struct fb_binding *t = world_bind_table(&w, "t:{k}", "texts", "column:v");
    world_sql(&w, "BEGIN IMMEDIATE");
    fb_instant begun = fb_clock_now();
    struct answer a = world_set(&w, t, "t:a", "1", 0);
    int64_t took = fb_span_ms(fb_since(fb_clock_now(), begun));
    expect_answer(&a, FB_TIMEOUT, "the database stayed locked for 1500 ms");
    assert_true(took >= WRITE_MS - 1);
    const struct fb_binding *b[GROUPS];
    fb_op each[GROUPS];
    size_t sizes[GROUPS + 1] = {0};
    struct answer answers[GROUPS];
    for (size_t i = 0; i < GROUPS; i++) {
        b[i] = t;
        each[i] = set_op("t:a", "1");
        sizes[i] = 1;
    }
    begun = fb_clock_now();
    world_store_groups(&w, b, each, sizes, answers);
    took = fb_span_ms(fb_since(fb_clock_now(), begun));
    for (size_t i = 0; i < GROUPS; i++)
        expect_answer(&answers[i], FB_TIMEOUT, NULL);
    assert_true(took >= WRITE_MS - 1 && took < GROUPS * WRITE_MS / 2); /* one wait for all, not one each */
    expect_load(&w, t, "t:a", FB_NOTFOUND, NULL); /* readers do not wait */
    world_sql(&w, "COMMIT");
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM texts"), "0");
    a = world_set(&w, t, "t:a", "1", 0);
    expect_answer(&a, FB_OK, "1");
    world_close(&w);
}

#define ENDLESS "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c)"

static void a_statement_without_end_is_ended(void **state) {
    (void)state;
    struct world w;
    world_open_with(&w, &hurried);
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "e:{k}";
    o.load = "SELECT CASE WHEN :k = 'endless' THEN " ENDLESS " ELSE v END AS v FROM texts WHERE k = 'a'";
    o.store = "UPDATE texts SET v = CASE WHEN :v = 'endless' THEN " ENDLESS " ELSE :v END WHERE k = 'a'";
    o.as = "text";
    struct fb_binding *e = world_bind(&w, &o), *t = world_bind_table(&w, "t:{k}", "texts", "column:v");
    world_sql(&w, "INSERT INTO texts VALUES ('a', 'x')");
    struct fb_load_item items[3] = {{.binding = t, .key = FB_STR("t:a")}, {.binding = e, .key = FB_STR("e:endless")},
                                    {.binding = t, .key = FB_STR("t:a")}};
    ops->load(w.reader, items, 3);
    assert_int_equal(items[0].status, FB_OK);
    assert_int_equal(items[1].status, FB_TIMEOUT);
    assert_string_equal(world_shown(items[1].value), "no answer within 1000 ms");
    assert_int_equal(items[2].status, FB_TIMEOUT); /* its time is over too */
    for (int i = 0; i < 3; i++)
        fb_value_unref(items[i].value);
    expect_load(&w, t, "t:a", FB_OK, "x");
    /* Among the writes of one call the one without end is refused, and the others are done. */
    const struct fb_binding *b[] = {t, e, t};
    const fb_op all[] = {set_op("t:b", "1"), set_op("e:z", "endless"), set_op("t:c", "1")};
    struct answer answers[3];
    world_store_groups(&w, b, all, (size_t[]){1, 1, 1, 0}, answers);
    expect_answer(&answers[0], FB_OK, "1");
    expect_answer(&answers[1], FB_TIMEOUT, "no answer within 1500 ms");
    expect_answer(&answers[2], FB_OK, "1");
    assert_string_equal(world_ask(&w, "SELECT group_concat(k || v) FROM texts"), "ax,b1,c1");
    world_close(&w);
}

struct canceller {
    struct fb_session *session;
    atomic_bool is_over;
};

/* Again and again: the first may come before the call has begun. */
static void *cancel_it(void *arg) {
    struct canceller *c = arg;
    while (!atomic_load(&c->is_over)) {
        ops->cancel(c->session);
        sched_yield();
    }
    return NULL;
}

static void a_cancelled_call_ends_long_before_its_time(void **state) {
    (void)state;
    struct world w;
    world_open_with(&w, &(fb_source_options){.read_timeout_ms = 3600000});
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "e:{k}";
    o.load = "SELECT CASE WHEN :k = 'endless' THEN " ENDLESS " ELSE v END AS v FROM texts WHERE k = 'a'";
    o.as = "text";
    struct fb_binding *e = world_bind(&w, &o);
    world_sql(&w, "INSERT INTO texts VALUES ('a', 'x')");
    struct fb_load_item item = {.binding = e, .key = FB_STR("e:endless")};
    struct canceller canceller = {.session = w.reader};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, &canceller), 0);
    ops->load(w.reader, &item, 1);
    atomic_store(&canceller.is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(item.status, FB_TIMEOUT);
    fb_value_unref(item.value);
    expect_load(&w, e, "e:a", FB_OK, "x"); /* what was meant for one call does not hit the next */
    world_close(&w);
}

static void added_latency_is_slept_once_per_round_trip(void **state) {
    enum { LATENCY_MS = 50 };
    (void)state;
    struct world w;
    world_open_with(&w, &(fb_source_options){.added_latency_ms = LATENCY_MS});
    struct fb_binding *t = world_bind_table(&w, "t:{k}", "texts", "column:v");
    struct fb_load_item items[200];
    for (size_t i = 0; i < COUNT(items); i++)
        items[i] = (struct fb_load_item){.binding = t, .key = FB_STR("t:x")};
    fb_instant begun = fb_clock_now();
    ops->load(w.reader, items, COUNT(items));
    int64_t took = fb_span_ms(fb_since(fb_clock_now(), begun));
    assert_true(took >= LATENCY_MS && took < (int64_t)COUNT(items) * LATENCY_MS / 2);
    world_close(&w);
}

/* ---- threads -------------------------------------------------------------------------------------------------------
 */

struct readers {
    struct world *w;
    struct fb_binding *t;
    _Atomic bool stop;
    _Atomic unsigned loads;
};

/* Both rows are written as one group, so one load sees both before or both after. */
static void *read_on(void *arg) {
    struct readers *r = arg;
    struct fb_session *session;
    fb_err err;
    if (ops->session_open(r->w->driver, false, &session, &err) != FB_OK)
        return "no session";
    const char *fault = NULL;
    while (!r->stop && fault == NULL) {
        struct fb_load_item items[2] = {{.binding = r->t, .key = FB_STR("t:a")},
                                        {.binding = r->t, .key = FB_STR("t:b")}};
        ops->load(session, items, 2);
        if (items[0].status != FB_OK || items[1].status != FB_OK)
            fault = "a load failed";
        else if (items[0].value->len != items[1].value->len ||
                 memcmp(items[0].value->data, items[1].value->data, items[0].value->len) != 0)
            fault = "half of a group was seen";
        fb_value_unref(items[0].value);
        fb_value_unref(items[1].value);
        r->loads++;
    }
    ops->session_close(session);
    return (void *)fault;
}

static void two_threads_read_whole_groups_while_one_writes(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w, "INSERT INTO texts VALUES ('a', '0'), ('b', '0')");
    struct readers r = {.w = &w, .t = world_bind_table(&w, "t:{k}", "texts", "column:v")};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r), 0);
    const struct fb_binding *b[] = {r.t, r.t};
    for (unsigned n = 1; n <= 150 || r.loads < 150; n++) {
        char value[16];
        struct answer answers[2];
        snprintf(value, sizeof value, "%u", n);
        const fb_op both[] = {set_op("t:a", value), set_op("t:b", value)};
        world_store_groups(&w, b, both, (size_t[]){2, 0}, answers);
        if (answers[0].status != FB_OK || answers[1].status != FB_OK)
            break;
        if (n > 100000)
            break; /* the readers stand still */
    }
    unsigned loads = r.loads;
    r.stop = true;
    for (int i = 0; i < 2; i++) {
        void *fault = NULL;
        pthread_join(threads[i], &fault);
        if (fault != NULL)
            fail_msg("%s", (char *)fault);
    }
    assert_true(loads >= 150);
    world_close(&w);
}

struct counter {
    const char *path;
    _Atomic bool begun;
    bool failed;
};
enum { SUMS = 200, LOCKS_MS = 60000 }; /* SQLite's locks are not fair: who waits may be passed by for long */

static void *count_elsewhere(void *arg) {
    struct counter *c = arg;
    sqlite3 *db;
    c->failed = sqlite3_open(c->path, &db) != SQLITE_OK;
    sqlite3_busy_timeout(db, LOCKS_MS);
    for (int i = 0; i < SUMS && !c->failed; i++) {
        c->failed =
            sqlite3_exec(db, "UPDATE views SET hits = hits + 1 WHERE path = '/a'", NULL, NULL, NULL) != SQLITE_OK;
        c->begun = true;
    }
    sqlite3_close(db);
    return NULL;
}

static void sums_of_two_processes_are_all_there(void **state) {
    (void)state;
    struct world w;
    pthread_t thread;
    world_open_with(&w, &(fb_source_options){.write_timeout_ms = LOCKS_MS});
    struct fb_binding *hits = world_bind_table(&w, "hits:{path:rest}", "views", "column:hits");
    struct counter c = {.path = w.path};
    assert_int_equal(pthread_create(&thread, NULL, count_elsewhere, &c), 0);
    while (!c.begun)
        ;
    fb_status worst = FB_OK;
    for (int i = 0; i < SUMS; i++) {
        struct answer a = world_add(&w, hits, "hits:/a", NULL, "1", 0);
        worst = a.status < worst ? a.status : worst;
    }
    pthread_join(thread, NULL);
    assert_int_equal(worst, FB_OK);
    assert_false(c.failed);
    assert_string_equal(world_ask(&w, "SELECT hits FROM views WHERE path = '/a'"), "405");
    world_close(&w);
}

int main(void) {
    set_up_sqlite();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail_and_every_answer_stays_true),
        cmocka_unit_test(a_commit_that_fails_on_the_disk_is_unknown),
        cmocka_unit_test(a_lock_held_elsewhere_is_a_timeout_and_nothing_is_applied),
        cmocka_unit_test(a_statement_without_end_is_ended),
        cmocka_unit_test(a_cancelled_call_ends_long_before_its_time),
        cmocka_unit_test(added_latency_is_slept_once_per_round_trip),
        cmocka_unit_test(two_threads_read_whole_groups_while_one_writes),
        cmocka_unit_test(sums_of_two_processes_are_all_there),
    };
    return cmocka_run_group_tests_name("sqlite_faults", tests, NULL, NULL);
}
