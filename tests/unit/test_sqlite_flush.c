/* Shows of write-behind at SQLite what needs the inside of the process: whichever allocation fails, a flush is done
 * wholly or not at all and says which, and given again it is complete; nor does another process's lock lose anything.
 * What all databases do is shown by wire/test_flush.py. */
#include "sqlite_world.h"

#include "base/mem.h"
#include "source/flush.h"

enum {
    ROWS = 12,
    TAKEN = 7,        /* a row that the database refuses */
    LOCKED_MS = 1000, /* how long a lock is waited for; all else takes a small part of it */
};

struct shop {
    struct world w;
    struct fb_binding *users;
    struct fb_plan *plans[ROWS];
    char keys[ROWS][24];
    struct fb_flush_item items[ROWS];
    struct fb_flush flush;
    struct fb_partition row;
    fb_err err;
};

static struct fb_plan *plan_of(struct shop *s, const char *key, const char *name, const char *email) {
    fb_field fields[] = {{FB_STR("name"), FB_STR(name)}, {FB_STR("email"), FB_STR(email)}};
    const fb_op op = {.kind = FB_OP_HSET, .key = FB_STR(key), .fields = fields, .nfields = 2};
    struct fb_plan *plan = NULL;
    if (ops->plan(s->users, &op, &plan, &s->err) != FB_OK)
        fail_msg("%s", s->err.text);
    return plan;
}

static void open_shop(struct shop *s) {
    const fb_source_options options = {.write_timeout_ms = LOCKED_MS};
    const struct fb_claimant me = {.part = "p", .owner = "me", .addr = "here", .journal = "j", .leap = 1};
    char email[24];
    memset(s, 0, sizeof *s);
    world_open_with(&s->w, &options);
    s->users = world_bind_table(&s->w, "user:{id:int}", "users", "hash");
    assert_int_equal(ops->flush->claim(s->w.writer, &me, &s->row, &s->err), FB_CLAIM_NEW);
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(s->keys[i], sizeof s->keys[i], "user:%zu", i + 1);
        snprintf(email, sizeof email, "%zu@x", i);
        s->plans[i] = plan_of(s, s->keys[i], "flushed", i == TAKEN ? "ann@x" : i == 0 ? "ann@x" : email);
        s->items[i] = (struct fb_flush_item){.binding = s->users, .key = FB_STR(s->keys[i]), .plan = s->plans[i],
                                             .seq = i + 1, .record = FB_STR("record")};
    }
    s->flush = (struct fb_flush){.part = "p", .epoch = 1, .next_seq = ROWS, .items = s->items, .n = ROWS,
                                 .dead_max = 1};
}

static void close_shop(struct shop *s) {
    for (size_t i = 0; i < ROWS; i++) {
        fb_value_unref(s->items[i].error);
        ops->plan_free(s->plans[i]);
    }
    world_close(&s->w);
}

static enum fb_flush_outcome flush(struct shop *s) { return ops->flush->flush(s->w.writer, &s->flush, &s->err); }

static void assert_nothing_written(struct shop *s) {
    assert_string_equal(world_ask(&s->w, "SELECT count(*) FROM users WHERE name = 'flushed'"), "0");
    assert_string_equal(world_ask(&s->w, "SELECT count(*) FROM fb_dead"), "0");
    assert_string_equal(world_ask(&s->w, "SELECT applied_seq FROM fb_partition"), "0");
}

static void assert_all_written(struct shop *s) {
    char text[16];
    snprintf(text, sizeof text, "%d", ROWS - 1);
    assert_string_equal(world_ask(&s->w, "SELECT count(*) FROM users WHERE name = 'flushed'"), text);
    assert_string_equal(world_ask(&s->w, "SELECT seq || ' ' || code FROM fb_dead"), "8 2067");
    assert_string_equal(world_ask(&s->w, "SELECT applied_seq FROM fb_partition"), "12");
    assert_int_equal(s->items[TAKEN].status, FB_CONFLICT);
}

static void whichever_allocation_fails_all_or_nothing_is_written(void **state) {
    unsigned nfailed = 0;
    (void)state;
    for (int64_t n = 0;; n++) {
        struct shop s;
        open_shop(&s);
        fb_mem_fail_after(n);
        enum fb_flush_outcome outcome = flush(&s);
        fb_mem_fail_after(-1);
        bool is_done = outcome == FB_FLUSH_APPLIED;
        if (!is_done) {
            assert_int_equal(outcome, FB_FLUSH_TRANSIENT);
            assert_nothing_written(&s);
            nfailed++;
            assert_int_equal(flush(&s), FB_FLUSH_APPLIED);
        }
        assert_all_written(&s);
        bool is_over = is_done && s.items[TAKEN].error != NULL && n > 200;
        close_shop(&s);
        if (is_over)
            break;
    }
    assert_true(nfailed > 10);
}

static void a_lock_of_another_process_is_transient(void **state) {
    struct shop s;
    (void)state;
    open_shop(&s);
    world_sql(&s.w, "BEGIN IMMEDIATE");
    assert_int_equal(flush(&s), FB_FLUSH_TRANSIENT);
    world_sql(&s.w, "ROLLBACK");
    assert_nothing_written(&s);
    assert_int_equal(flush(&s), FB_FLUSH_APPLIED);
    assert_all_written(&s);
    assert_int_equal(flush(&s), FB_FLUSH_ALREADY);
    assert_int_equal(s.items[TAKEN].status, FB_CONFLICT); /* still known */
    close_shop(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whichever_allocation_fails_all_or_nothing_is_written),
        cmocka_unit_test(a_lock_of_another_process_is_transient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
