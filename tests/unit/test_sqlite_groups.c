/* Shows what becomes of groups of writes at real SQLite files: each is all or none, and groups that share a call, and a
 * transaction, never fail each other. */
#include "sqlite_world.h"

static fb_op set_op(const char *key, const char *value, unsigned flags) {
    return (fb_op){.kind = FB_OP_SET, .flags = flags, .key = FB_STR(key), .value = FB_STR(value)};
}

static void a_group_is_all_or_none(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *t = world_bind_table(&w, "t:{k}", "texts", "column:v");
    struct fb_binding *u = world_bind_table(&w, "user:{id}", "users", NULL);
    const struct fb_binding *b[] = {t, u, t};
    struct answer a[3];
    const fb_op conflict[] = {set_op("t:a", "1", 0), set_op("user:2", "{\"email\":\"ann@x\"}", 0),
                              set_op("t:b", "1", 0)};
    world_store_groups(&w, b, conflict, (size_t[]){3, 0}, a);
    for (int i = 0; i < 3; i++)
        expect_answer(&a[i], FB_CONFLICT, "UNIQUE constraint failed: users.email");
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM texts"), "0");
    const fb_op unmet[] = {set_op("t:a", "1", 0), set_op("user:2", "{\"age\":1}", FB_COND_ABSENT),
                           set_op("t:b", "1", 0)};
    world_store_groups(&w, b, unmet, (size_t[]){3, 0}, a);
    for (int i = 0; i < 3; i++)
        expect_answer(&a[i], FB_UNMET, "none");
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM texts"), "0");
    const fb_op good[] = {set_op("t:a", "1", 0), set_op("user:2", "{\"age\":1}", 0), set_op("t:a", "2", 0)};
    world_store_groups(&w, b, good, (size_t[]){3, 0}, a);
    expect_answer(&a[2], FB_OK, "2");
    assert_string_equal(world_ask(&w, "SELECT v FROM texts"), "2");
    world_close(&w);
}

static void groups_in_one_call_never_fail_each_other(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(
        &w,
        "CREATE TABLE pets (id INTEGER PRIMARY KEY, later INTEGER REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TRIGGER drastic BEFORE INSERT ON texts WHEN new.k = 'drastic' BEGIN"
        "  SELECT RAISE(ROLLBACK, 'all is lost'); END");
    struct fb_binding *t = world_bind_table(&w, "t:{k}", "texts", "column:v");
    struct fb_binding *p = world_bind_table(&w, "pet:{id}", "pets", NULL);
    struct fb_binding *v = world_bind_table(&w, "hits:{path:rest}", "views", "column:hits");
    const struct fb_binding *b[] = {t, p, t, t, t, v, t};
    const fb_op all[] = {
        set_op("t:a", "1", 0),
        set_op("pet:1", "{\"later\":99}", 0),                 /* fails the joint COMMIT: a deferred constraint */
        set_op("t:b", "1", 0), set_op("t:c", "1", 0),         /* one group of two */
        set_op("t:drastic", "1", 0),                          /* takes the joint transaction with it */
        {.kind = FB_OP_ADD, .key = FB_STR("hits:/a"), .value = FB_STR("1")},
        set_op("t:a", "2", FB_COND_ABSENT),
    };
    struct answer a[COUNT(all)];
    world_store_groups(&w, b, all, (size_t[]){1, 1, 2, 1, 1, 1, 0}, a);
    expect_answer(&a[0], FB_OK, "1");
    expect_answer(&a[1], FB_CONFLICT, "FOREIGN KEY constraint failed");
    expect_answer(&a[2], FB_OK, "1");
    expect_answer(&a[3], FB_OK, "1");
    expect_answer(&a[4], FB_CONFLICT, "all is lost");
    expect_answer(&a[5], FB_OK, "6"); /* once, although it was tried twice */
    expect_answer(&a[6], FB_UNMET, NULL);
    assert_string_equal(world_ask(&w, "SELECT group_concat(k || v) FROM texts"), "a1,b1,c1");
    assert_string_equal(world_ask(&w, "SELECT hits FROM views WHERE path = '/a'"), "6");
    world_close(&w);
}

static void a_refused_group_leaves_nothing_in_the_joint_transaction(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    struct fb_binding *t = world_bind_table(&w, "t:{k}", "texts", "column:v");
    struct fb_binding *u = world_bind_table(&w, "user:{id}", "users", NULL);
    const struct fb_binding *b[] = {t, t, u, t, t};
    const fb_op all[] = {set_op("t:a", "1", 0), set_op("t:b", "1", 0), set_op("user:2", "{\"email\":\"ann@x\"}", 0),
                         set_op("t:c", "1", 0), set_op("t:d", "1", 0)};
    struct answer a[COUNT(all)];
    world_store_groups(&w, b, all, (size_t[]){1, 3, 1, 0}, a);
    expect_answer(&a[0], FB_OK, "1");
    for (int i = 1; i < 4; i++)
        expect_answer(&a[i], FB_CONFLICT, "UNIQUE constraint failed: users.email");
    expect_answer(&a[4], FB_OK, "1");
    assert_string_equal(world_ask(&w, "SELECT group_concat(k) FROM texts"), "a,d");
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_is_all_or_none),
        cmocka_unit_test(groups_in_one_call_never_fail_each_other),
        cmocka_unit_test(a_refused_group_leaves_nothing_in_the_joint_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
