/* Shows that a waiting change is exactly the writes it was made of: random writes of random rows, merged in any grouping,
 * shown on top of the old row give what the writes give one after another; what a disk did to its bytes is found or
 * harmless; and every allocation may fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "rows/change.h"

enum { ID, AGE, PRICE, ADMIN, NAME, META, PHOTO, SECRET, NCOLUMNS };

static const struct { const char *name; enum fb_class class; } shapes[NCOLUMNS] = {
    [ID] = {"id", FB_CLASS_INTEGER},      [AGE] = {"age", FB_CLASS_INTEGER},  [PRICE] = {"price", FB_CLASS_NUMERIC},
    [ADMIN] = {"admin", FB_CLASS_BOOLEAN}, [NAME] = {"na\"me", FB_CLASS_TEXT}, [META] = {"meta", FB_CLASS_JSON},
    [PHOTO] = {"photo", FB_CLASS_BINARY}, [SECRET] = {"secret", FB_CLASS_TEXT},
};

static struct fb_mapping make(const char *as, bool replaces) {
    struct fb_mapping m = {.name = fb_mem_strdup("user:{id:int}"), .param_is_int = {true}, .set_replaces = replaces};
    static const char *const hidden[] = {"secret", NULL};
    fb_err err;
    assert_int_equal(fb_pattern_parse("user:{id:int}", &m.pattern, NULL), FB_OK);
    m.columns = fb_mem_calloc(NCOLUMNS, sizeof *m.columns);
    m.ncolumns = NCOLUMNS;
    for (int i = 0; i < NCOLUMNS; i++)
        m.columns[i] = (struct fb_column){.name = fb_mem_strdup(shapes[i].name), .name_len = strlen(shapes[i].name),
                                          .class = shapes[i].class, .is_nullable = i != ID, .param = i == ID ? 0 : -1};
    assert_int_equal(fb_mapping_hide(&m, hidden, NULL), FB_OK);
    if (fb_mapping_set_as(&m, as, false, &err) != FB_OK)
        fail_msg("%s", err.text);
    return m;
}

static fb_bytes bytes_of(const fb_buf *buf) { return fb_bytes_of(buf->data, buf->len); }

static struct fb_change parsed(const fb_buf *buf) {
    struct fb_change change;
    assert_true(fb_change_parse(bytes_of(buf), &change));
    return change;
}

static fb_buf change_of(const struct fb_mapping *m, const fb_op *op) {
    struct fb_plan *plan;
    fb_err err;
    fb_buf out = FB_BUF_INIT;
    if (fb_plan_make(m, op, &plan, &err) != FB_OK)
        fail_msg("%s", err.text);
    assert_int_equal(fb_change_of_plan(m, plan, NULL, false, &out), FB_OK);
    fb_plan_free(plan);
    return out;
}

static fb_buf merged(const fb_buf *older, const fb_buf *newer) {
    struct fb_change a = parsed(older), b = parsed(newer);
    fb_buf out = FB_BUF_INIT;
    assert_int_equal(fb_change_merge(&a, &b, &out), FB_OK);
    (void)parsed(&out);
    return out;
}

/* ---- random rows and writes, and what the writes do to the row ---- */

static const char *const names[] = {"Ann", "", "B\"ob\\", "\xc3\xa9t\xc3\xa9"};
static const char *const metas[] = {"{\"a\": [1,2]}", "null", "\"x\"", "17"};
static const char *const prices[] = {"1.50", "0", "-3", "12345678901234567890.5"};

static struct fb_datum random_datum(struct fb_rng *rng, int column) {
    uint64_t draw = fb_rng_next(rng), pick = draw >> 8 & 3;
    int64_t i;
    if (column != ID && draw % 5 == 0)
        return fb_datum_null();
    switch (column) {
    case ADMIN:
        return fb_datum_int((int64_t)(pick & 1));
    case PRICE:
        i = pick == 1 ? 0 : -3;
        return pick == 1 || pick == 2 ? fb_datum_int(i) : fb_datum_bytes(FB_DATUM_NUMBER, FB_STR(prices[pick]));
    case META:
        return fb_datum_bytes(FB_DATUM_TEXT, FB_STR(metas[pick]));
    case PHOTO:
        return fb_datum_bytes(FB_DATUM_BLOB, fb_bytes_of("\0\xff\x01", pick));
    case NAME:
        return fb_datum_bytes(FB_DATUM_TEXT, FB_STR(names[pick]));
    default:
        return fb_datum_int((int64_t)(draw >> 16) % 1000);
    }
}

/* A row in the model: its datums, or none. */
struct row {
    bool exists;
    struct fb_datum data[NCOLUMNS];
};

static void fresh(struct row *row) {
    row->exists = true;
    for (int i = 0; i < NCOLUMNS; i++)
        row->data[i] = fb_datum_null();
    row->data[ID] = fb_datum_int(7);
}

/* One write as a plan of typed values, applied to the model as well. */
static fb_buf random_write(const struct fb_mapping *m, struct fb_rng *rng, struct row *row) {
    struct fb_assign assigns[NCOLUMNS];
    struct fb_plan plan = {.op = FB_OP_SET, .assigns = assigns, .key = {fb_datum_int(7)}};
    fb_buf out = FB_BUF_INIT;
    uint64_t draw = fb_rng_next(rng);
    if (draw % 6 == 0)
        plan.op = FB_OP_DELETE;
    plan.replaces = draw % 6 == 1;
    for (unsigned i = AGE; i < SECRET; i++)
        if ((draw >> (8 + i) & 1) && (m->as != FB_AS_COLUMN || i == m->as_column))
            assigns[plan.nassigns++] = (struct fb_assign){.column = i, .value = random_datum(rng, (int)i)};
    assert_int_equal(fb_change_of_plan(m, &plan, NULL, false, &out), FB_OK);
    if (plan.op == FB_OP_DELETE) {
        row->exists = false;
        return out;
    }
    if (!row->exists || plan.replaces) {
        struct fb_datum secret = row->exists ? row->data[SECRET] : fb_datum_null();
        fresh(row);
        row->data[SECRET] = secret;
    }
    for (unsigned i = 0; i < plan.nassigns; i++)
        row->data[assigns[i].column] = assigns[i].value;
    return out;
}

static fb_status shown(const struct fb_mapping *m, const fb_buf *change, const fb_bytes *base, fb_buf *out) {
    struct fb_change c = parsed(change);
    fb_err err = {0};
    fb_status status = fb_change_show(m, FB_STR("user:7"), &c, base, out, &err);
    if (status < 0)
        fail_msg("%s", err.text);
    return status;
}

static fb_status rendered(const struct fb_mapping *m, const struct row *row, fb_buf *out) {
    fb_err err = {0};
    out->len = 0;
    fb_status status = row->exists ? fb_render_row(m, row->data, out, &err) : FB_NOTFOUND;
    if (status < 0)
        fail_msg("%s", err.text);
    return status;
}

static void expect_shown(const struct fb_mapping *m, const fb_buf *change, const fb_bytes *base, const struct row *row) {
    fb_buf got = FB_BUF_INIT, want = FB_BUF_INIT;
    fb_status status = rendered(m, row, &want);
    assert_int_equal(shown(m, change, base, &got), status);
    if (status == FB_OK && (got.len != want.len || (got.len > 0 && memcmp(got.data, want.data, got.len) != 0)))
        fail_msg("%.*s\ninstead of\n%.*s", (int)got.len, got.data, (int)want.len, want.data);
    fb_buf_free(&got);
    fb_buf_free(&want);
}

static void merged_writes_show_what_the_writes_did(void **state) {
    (void)state;
    static const char *const forms[] = {"json", "hash", "column:age", "column:na\"me"};
    for (unsigned form = 0; form < 4; form++) {
        struct fb_mapping m = make(forms[form], false);
        for (uint64_t seed = 1; seed <= 3000; seed++) {
            struct fb_rng rng;
            struct row row = {.exists = seed % 3 != 0};
            rng.state = seed;
            fresh(&row);
            row.exists = seed % 3 != 0;
            for (int i = AGE; i < NCOLUMNS && row.exists; i++)
                row.data[i] = random_datum(&rng, i);
            fb_buf old = FB_BUF_INIT;
            fb_status status = rendered(&m, &row, &old);
            fb_bytes base = bytes_of(&old);
            fb_buf first = random_write(&m, &rng, &row), second = random_write(&m, &rng, &row);
            fb_buf third = random_write(&m, &rng, &row);
            fb_buf ab = merged(&first, &second), bc = merged(&second, &third);
            fb_buf abc = merged(&ab, &third), also = merged(&first, &bc);
            expect_shown(&m, &abc, status == FB_OK ? &base : NULL, &row);
            expect_shown(&m, &also, status == FB_OK ? &base : NULL, &row);
            /* Shown twice is shown once: the row may have it already. */
            fb_buf once = FB_BUF_INIT;
            if (shown(&m, &abc, status == FB_OK ? &base : NULL, &once) == FB_OK) {
                fb_bytes again = bytes_of(&once);
                expect_shown(&m, &abc, &again, &row);
            }
            fb_buf *all[] = {&old, &first, &second, &third, &ab, &bc, &abc, &also, &once};
            for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
                fb_buf_free(all[i]);
        }
        fb_mapping_finish(&m);
    }
}

static void plan_of_a_change_assigns_what_it_names(void **state) {
    (void)state;
    struct fb_mapping m = make("json", true);
    fb_op set = {.kind = FB_OP_SET, .key = FB_STR("user:7"),
                 .value = FB_STR("{\"meta\":{\"k\":1},\"age\":5,\"photo\":\"AAE=\",\"price\":1.25,\"na\\\"me\":\"Ann\"}")};
    fb_op del = {.kind = FB_OP_DELETE, .key = FB_STR("user:7")};
    fb_buf first = change_of(&m, &set), gone = change_of(&m, &del), both = merged(&gone, &first);
    struct fb_change change = parsed(&both);
    struct fb_plan *plan;
    fb_err err;
    assert_int_equal(change.kind, FB_CHANGE_RECREATE);
    assert_int_equal(fb_change_plan(&m, FB_STR("user:7"), &change, &plan, &err), FB_OK);
    assert_true(plan->replaces && plan->recreates);
    assert_int_equal(plan->op, FB_OP_SET);
    assert_int_equal(plan->key[0].i, 7);
    assert_int_equal(plan->nassigns, 5);
    assert_int_equal(plan->assigns[0].column, AGE);
    assert_int_equal(plan->assigns[0].value.i, 5);
    assert_int_equal(plan->assigns[4].column, PHOTO);
    assert_memory_equal(plan->assigns[4].value.bytes.data, "\0\1", 2);
    fb_plan_free(plan);

    struct fb_change deleted = parsed(&gone);
    assert_int_equal(fb_change_plan(&m, FB_STR("user:7"), &deleted, &plan, &err), FB_OK);
    assert_int_equal(plan->op, FB_OP_DELETE);
    fb_plan_free(plan);

    fb_mem_free(m.columns[META].name);
    m.columns[META].name = fb_mem_strdup("mata");
    assert_int_equal(fb_change_plan(&m, FB_STR("user:7"), &change, &plan, &err), FB_CONFIG);
    assert_string_equal(err.text, "keyspace 'user:{id:int}': a write is waiting for column 'meta', which is gone");
    fb_buf out = FB_BUF_INIT;
    assert_int_equal(fb_change_show(&m, FB_STR("user:7"), &change, NULL, &out, &err), FB_CONFIG);
    fb_buf_free(&out);
    fb_buf_free(&first);
    fb_buf_free(&gone);
    fb_buf_free(&both);
    fb_mapping_finish(&m);
}

static fb_buf addition(const struct fb_mapping *m, int64_t delta, int64_t sum) {
    struct fb_assign assign = {.column = AGE, .value = fb_datum_int(delta)};
    struct fb_plan plan = {.op = FB_OP_ADD, .assigns = &assign, .nassigns = 1};
    struct fb_datum value = fb_datum_int(sum);
    fb_buf out = FB_BUF_INIT;
    assert_int_equal(fb_change_of_plan(m, &plan, &value, true, &out), FB_OK);
    return out;
}

static void expect_age(const fb_buf *change, bool adds, int64_t addend, int64_t value) {
    struct fb_change c = parsed(change);
    struct fb_change_column column;
    size_t cursor = 0;
    assert_true(fb_change_next(&c, &cursor, &column));
    assert_int_equal(column.adds, adds);
    if (adds)
        assert_int_equal(column.addend, addend);
    assert_int_equal(column.value.i, value);
}

static void additions_add_up_and_settings_win(void **state) {
    (void)state;
    struct fb_mapping m = make("hash", false);
    fb_field age = {FB_STR("age"), FB_STR("100")};
    fb_op set = {.kind = FB_OP_HSET, .key = FB_STR("user:7"), .fields = &age, .nfields = 1};
    fb_op del = {.kind = FB_OP_DELETE, .key = FB_STR("user:7")};
    fb_buf two = addition(&m, 2, 12), three = addition(&m, 3, 15), hundred = change_of(&m, &set), gone = change_of(&m, &del);
    fb_buf huge = addition(&m, INT64_MAX, INT64_MAX);
    fb_buf sum = merged(&two, &three), over = merged(&hundred, &three), set_last = merged(&three, &hundred);
    fb_buf anew = merged(&gone, &three), beyond = merged(&two, &huge);
    expect_age(&sum, true, 5, 15);
    expect_age(&over, false, 0, 15);
    expect_age(&set_last, false, 0, 100);
    expect_age(&anew, false, 0, 15);
    expect_age(&beyond, false, 0, INT64_MAX);
    fb_buf *all[] = {&two, &three, &hundred, &gone, &huge, &sum, &over, &set_last, &anew, &beyond};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        fb_buf_free(all[i]);
    fb_mapping_finish(&m);
}

static void only_some_values_are_certain(void **state) {
    (void)state;
    static const struct { const char *field, *value; bool exists, is_certain; } cases[] = {
        {"age", "5", true, true},     {"na\"me", "Ann", true, true}, {"admin", "1", true, true},
        {"price", "1.5", true, false}, {"meta", "[1, 2]", true, false}, {"age", "5", false, true},
    };
    struct fb_mapping m = make("hash", false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_field field = {FB_STR(cases[i].field), FB_STR(cases[i].value)};
        fb_op set = {.kind = FB_OP_HSET, .key = FB_STR("user:7"), .fields = &field, .nfields = 1};
        fb_buf buf = change_of(&m, &set);
        struct fb_change change = parsed(&buf);
        assert_int_equal(fb_change_is_certain(&m, &change, cases[i].exists), cases[i].is_certain);
        assert_false(fb_change_is_whole(&m, &change));
        fb_buf_free(&buf);
    }
    m.columns[PRICE].has_default = true;
    fb_field field = {FB_STR("age"), FB_STR("5")};
    fb_op set = {.kind = FB_OP_HSET, .key = FB_STR("user:7"), .fields = &field, .nfields = 1};
    fb_buf buf = change_of(&m, &set);
    struct fb_change change = parsed(&buf);
    assert_true(fb_change_is_certain(&m, &change, true));
    assert_false(fb_change_is_certain(&m, &change, false));
    fb_buf_free(&buf);
    fb_mapping_finish(&m);
}

/* What is read of hostile bytes stays inside them: the sanitizers look. */
static void touch(const struct fb_mapping *m, fb_bytes bytes) {
    struct fb_change change;
    struct fb_change_column column;
    unsigned n = 0;
    fb_err err;
    if (!fb_change_parse(bytes, &change))
        return;
    for (size_t cursor = 0; fb_change_next(&change, &cursor, &column);)
        n++;
    assert_int_equal(n, change.ncolumns);
    struct fb_plan *plan;
    fb_buf out = FB_BUF_INIT;
    if (fb_change_plan(m, FB_STR("user:7"), &change, &plan, &err) == FB_OK)
        fb_plan_free(plan);
    (void)fb_change_show(m, FB_STR("user:7"), &change, NULL, &out, &err);
    fb_buf_free(&out);
}

static void damaged_bytes_are_refused_or_harmless(void **state) {
    (void)state;
    struct fb_mapping m = make("json", false);
    fb_op set = {.kind = FB_OP_SET, .key = FB_STR("user:7"),
                 .value = FB_STR("{\"meta\":{\"k\":1},\"age\":5,\"photo\":\"AAE=\",\"price\":1.25}")};
    fb_buf good = change_of(&m, &set);
    for (size_t len = 0; len < good.len; len++) {
        char *cut = fb_mem_alloc(len + 1); /* of its own, so that a read beyond it is seen */
        memcpy(cut, good.data, len);
        struct fb_change change;
        assert_false(fb_change_parse(fb_bytes_of(cut, len), &change));
        fb_mem_free(cut);
    }
    for (size_t at = 0; at < good.len; at++)
        for (unsigned value = 0; value < 256; value++) {
            char *copy = fb_mem_alloc(good.len);
            memcpy(copy, good.data, good.len);
            copy[at] = (char)value;
            touch(&m, fb_bytes_of(copy, good.len));
            fb_mem_free(copy);
        }
    fb_buf_free(&good);
    fb_mapping_finish(&m);
}

static void base_of_another_shape_is_an_error(void **state) {
    (void)state;
    struct fb_mapping m = make("json", false);
    fb_op set = {.kind = FB_OP_SET, .key = FB_STR("user:7"), .value = FB_STR("{\"age\":5}")};
    fb_buf buf = change_of(&m, &set), out = FB_BUF_INIT;
    struct fb_change change = parsed(&buf);
    static const char *const bases[] = {"", "[]", "{}", "{\"id\":7}", "{\"age\":1,\"id\":7}"};
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        fb_bytes base = FB_STR(bases[i]);
        fb_err err;
        assert_int_equal(fb_change_show(&m, FB_STR("user:7"), &change, &base, &out, &err), FB_SOURCE);
        assert_int_equal(out.len, 0);
    }
    fb_buf_free(&out);
    fb_buf_free(&buf);
    fb_mapping_finish(&m);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct fb_mapping m = make("hash", false);
    fb_field fields[] = {{FB_STR("age"), FB_STR("5")}, {FB_STR("na\"me"), FB_STR("Ann")}};
    fb_op set = {.kind = FB_OP_HSET, .key = FB_STR("user:7"), .fields = fields, .nfields = 2};
    fb_buf buf = change_of(&m, &set);
    struct fb_change change = parsed(&buf);
    for (int64_t n = 0;; n++) {
        fb_buf a = FB_BUF_INIT, b = FB_BUF_INIT;
        struct fb_plan *plan = NULL;
        fb_err err;
        fb_mem_fail_after(n);
        bool failed = fb_change_merge(&change, &change, &a) != FB_OK;
        failed |= fb_change_show(&m, FB_STR("user:7"), &change, NULL, &b, &err) != FB_OK;
        failed |= fb_change_plan(&m, FB_STR("user:7"), &change, &plan, &err) != FB_OK;
        fb_mem_fail_after(-1);
        fb_plan_free(plan);
        fb_buf_free(&a);
        fb_buf_free(&b);
        if (!failed) {
            assert_true(n >= 3);
            break;
        }
    }
    fb_buf_free(&buf);
    fb_mapping_finish(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_writes_show_what_the_writes_did),
        cmocka_unit_test(plan_of_a_change_assigns_what_it_names),
        cmocka_unit_test(additions_add_up_and_settings_win),
        cmocka_unit_test(only_some_values_are_certain),
        cmocka_unit_test(damaged_bytes_are_refused_or_harmless),
        cmocka_unit_test(base_of_another_shape_is_an_error),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
