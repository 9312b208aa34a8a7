/* Shows what a source made of functions answers: their values, their errors with their texts, and, when they return
 * what the contract does not have, an error that guesses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "source/source.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const struct fb_driver_ops *const ops = &fb_driver_callbacks;

/* What the functions shall answer next, and what they were given. */
struct script {
    fb_status status;
    const char *value, *text;
    unsigned calls, fails_at; /* the call that fails, counted from 1; 0: every one answers `status` */
    char stored[64];
    size_t stored_len;
};

static fb_status answer(struct script *s, fb_err *err) {
    fb_status status = s->fails_at == 0 || ++s->calls == s->fails_at ? s->status : FB_OK;
    return status < 0 ? fb_fail(err, status, "%s", s->text) : status;
}

static fb_status load(void *user, fb_bytes key, fb_buf *ret_value, fb_err *err) {
    struct script *s = user;
    (void)key;
    fb_status status = answer(s, err);
    return status == FB_OK ? fb_buf_append(ret_value, s->value, strlen(s->value)) : status;
}

static fb_status store(void *user, fb_bytes key, fb_bytes value, fb_buf *ret_after, fb_err *err) {
    struct script *s = user;
    (void)key;
    assert_true(value.len < sizeof s->stored);
    if (value.len > 0)
        memcpy(s->stored, value.data, value.len);
    s->stored_len = value.len;
    fb_status status = answer(s, err);
    return status == FB_OK && s->value != NULL ? fb_buf_append(ret_after, s->value, strlen(s->value)) : status;
}

static fb_status del(void *user, fb_bytes key, fb_err *err) {
    (void)key;
    return answer(user, err);
}

struct world {
    struct script script;
    struct fb_driver *driver;
    struct fb_binding *text, *hash;
    struct fb_session *session;
    fb_err err;
};

static struct fb_binding *bind(struct world *w, const char *as) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    struct fb_binding *b = NULL;
    char *pattern = NULL;
    o.pattern = "k:{x}";
    o.as = as;
    assert_int_equal(ops->bind(w->driver, &o, &b, &pattern, &w->err), FB_OK);
    fb_mem_free(pattern);
    return b;
}

static void open_world(struct world *w, bool can_delete) {
    memset(w, 0, sizeof *w);
    const fb_callbacks callbacks = {load, store, can_delete ? del : NULL, &w->script};
    assert_int_equal(fb_driver_callbacks_new(&callbacks, &(fb_source_options){0}, &w->driver), FB_OK);
    w->text = bind(w, "text");
    w->hash = bind(w, "hash");
    assert_int_equal(ops->session_open(w->driver, true, &w->session, &w->err), FB_OK);
}

static void close_world(struct world *w) {
    ops->session_close(w->session);
    ops->unbind(w->text);
    ops->unbind(w->hash);
    ops->close(w->driver);
}

static void is_value(struct fb_value *v, const char *want) {
    assert_non_null(v);
    assert_int_equal(v->len, strlen(want));
    assert_memory_equal(v->data, want, v->len);
    fb_value_unref(v);
}

static void a_load_answers_what_the_function_says(void **state) {
    (void)state;
    static const struct { fb_status said, told; const char *value; } rows[] = {
        {FB_OK, FB_OK, "v"},           {FB_NOTFOUND, FB_NOTFOUND, NULL}, {FB_DOWN, FB_DOWN, "no route"},
        {FB_TIMEOUT, FB_TIMEOUT, "no route"}, {FB_MISS, FB_SOURCE, "the function returned FB_MISS"},
        {FB_UNMET, FB_SOURCE, "the function returned FB_UNMET"}, /* anything but "absent" */
    };
    struct world w;
    open_world(&w, true);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_load_item item = {.binding = w.text, .key = FB_STR("k:1")};
        w.script = (struct script){.status = rows[i].said, .value = "v", .text = "no route"};
        ops->load(w.session, &item, 1);
        assert_int_equal(item.status, rows[i].told);
        if (rows[i].value != NULL)
            is_value(item.value, rows[i].value);
        else
            assert_null(item.value);
    }
    close_world(&w);
}

static struct fb_store_item store_one(struct world *w, const struct fb_binding *b, fb_op op) {
    struct fb_plan *plan;
    assert_int_equal(ops->plan(b, &op, &plan, &w->err), FB_OK);
    struct fb_store_item item = {.binding = b, .key = op.key, .plan = plan};
    struct fb_store_group group = {.items = &item, .nitems = 1};
    struct fb_store_group *groups[] = {&group};
    ops->store(w->session, groups, 1);
    ops->plan_free(plan);
    return item;
}

static void a_store_answers_what_is_there_afterwards(void **state) {
    (void)state;
    const fb_op set = {.kind = FB_OP_SET, .key = FB_STR("k:1"), .value = FB_STR("new")};
    const fb_op delete = {.kind = FB_OP_DELETE, .key = FB_STR("k:1")};
    const fb_field field = {FB_STR("f"), FB_STR("x")};
    const fb_op hset = {.kind = FB_OP_HSET, .key = FB_STR("k:1"), .fields = &field, .nfields = 1};
    struct world w;
    open_world(&w, true);
    struct fb_store_item item = store_one(&w, w.text, set);
    assert_int_equal(item.status, FB_OK);
    is_value(item.after, "new");
    w.script.value = "as stored";
    item = store_one(&w, w.text, set);
    is_value(item.after, "as stored");
    w.script.value = NULL;
    item = store_one(&w, w.hash, hset); /* the fields that change are not the hash */
    assert_int_equal(item.status, FB_OK);
    assert_null(item.after);
    assert_true(item.after_unknown);
    fb_bytes x;
    assert_int_equal(fb_hash_get(fb_bytes_of(w.script.stored, w.script.stored_len), FB_STR("f"), &x), FB_OK);
    assert_memory_equal(x.data, "x", 1);
    w.script.status = FB_NOTFOUND;
    item = store_one(&w, w.text, delete);
    assert_int_equal(item.status, FB_NOTFOUND);
    assert_null(item.after);
    item = store_one(&w, w.text, set); /* a store cannot find nothing */
    assert_int_equal(item.status, FB_UNKNOWN);
    is_value(item.after, "the function returned FB_NOTFOUND");
    w.script = (struct script){.status = FB_CONFLICT, .text = "taken"};
    item = store_one(&w, w.text, set);
    assert_int_equal(item.status, FB_CONFLICT);
    is_value(item.after, "taken");
    close_world(&w);
}

static void a_group_that_fails_half_way_says_so(void **state) {
    (void)state;
    struct world w;
    struct fb_store_item items[3] = {0};
    open_world(&w, true);
    w.script = (struct script){.status = FB_CONFLICT, .text = "taken", .fails_at = 2};
    for (size_t i = 0; i < COUNT(items); i++) {
        const fb_op set = {.kind = FB_OP_SET, .key = FB_STR("k:1"), .value = FB_STR("new")};
        struct fb_plan *plan;
        assert_int_equal(ops->plan(w.text, &set, &plan, &w.err), FB_OK);
        items[i] = (struct fb_store_item){.binding = w.text, .key = set.key, .plan = plan};
    }
    struct fb_store_group group = {.items = items, .nitems = COUNT(items)};
    struct fb_store_group *groups[] = {&group};
    ops->store(w.session, groups, 1);
    assert_int_equal(w.script.calls, 2); /* the third was not tried */
    assert_int_equal(items[0].status, FB_OK);
    assert_int_equal(items[1].status, FB_CONFLICT);
    assert_int_equal(items[2].status, FB_CONFLICT);
    is_value(items[0].after, "new");
    is_value(items[1].after, "1 of 3 writes were done before this one failed: taken");
    for (size_t i = 0; i < COUNT(items); i++)
        ops->plan_free((struct fb_plan *)items[i].plan);
    close_world(&w);
}

static void what_functions_cannot_do_is_refused_before_they_are_called(void **state) {
    (void)state;
    const fb_field field = {FB_STR("f"), FB_STR("x")};
    const struct { bool hash; fb_op op; fb_status status; } rows[] = {
        {false, {.kind = FB_OP_DELETE}, FB_READONLY},
        {false, {.kind = FB_OP_SET, .flags = FB_COND_ABSENT}, FB_UNSUPPORTED},
        {false, {.kind = FB_OP_SET, .flags = FB_WANT_OLD}, FB_UNSUPPORTED},
        {false, {.kind = FB_OP_ADD, .value = FB_STR("1")}, FB_UNSUPPORTED},
        {true, {.kind = FB_OP_HDEL, .fields = &field, .nfields = 1}, FB_UNSUPPORTED},
        {true, {.kind = FB_OP_SET}, FB_WRONGTYPE},
        {false, {.kind = FB_OP_HSET, .fields = &field, .nfields = 1}, FB_WRONGTYPE},
    };
    struct world w;
    open_world(&w, /* can_delete */ false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_plan *plan = NULL;
        fb_op op = rows[i].op;
        op.key = FB_STR("k:1");
        assert_int_equal(ops->plan(rows[i].hash ? w.hash : w.text, &op, &plan, &w.err), rows[i].status);
        assert_null(plan);
    }
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    struct fb_binding *b;
    char *pattern;
    o.pattern = "k:{x}";
    o.table = "users";
    assert_int_equal(ops->bind(w.driver, &o, &b, &pattern, &w.err), FB_CONFIG);
    o.table = NULL;
    o.as = "column:x";
    assert_int_equal(ops->bind(w.driver, &o, &b, &pattern, &w.err), FB_CONFIG);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_answers_what_the_function_says),
        cmocka_unit_test(a_store_answers_what_is_there_afterwards),
        cmocka_unit_test(a_group_that_fails_half_way_says_so),
        cmocka_unit_test(what_functions_cannot_do_is_refused_before_they_are_called),
    };
    return cmocka_run_group_tests_name("callbacks", tests, NULL, NULL);
}
