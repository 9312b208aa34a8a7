/* Shows that rows become exactly the values their types ask for, and that what clients write becomes typed columns or
 * a refusal whose words name the field: tables over a mapping made by hand, a round trip of random rows through JSON
 * and back, sums at the edges of their types, and every allocation failing in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "rows/names.h"
#include "rows/plan.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- a mapping made by hand: one column per class -------------------------------------------------------------- */

enum { ID, AGE, PRICE, SCORE, ADMIN, NAME, META, PHOTO, JOINED, LOOSE, SECRET, SHOUT, NCOLUMNS };

static const struct { const char *name; enum fb_class class; } shapes[NCOLUMNS] = {
    [ID] = {"id", FB_CLASS_INTEGER},      [AGE] = {"age", FB_CLASS_INTEGER},   [PRICE] = {"price", FB_CLASS_NUMERIC},
    [SCORE] = {"score", FB_CLASS_REAL},   [ADMIN] = {"admin", FB_CLASS_BOOLEAN}, [NAME] = {"name", FB_CLASS_TEXT},
    [META] = {"meta", FB_CLASS_JSON},     [PHOTO] = {"photo", FB_CLASS_BINARY}, [JOINED] = {"joined", FB_CLASS_TIME},
    [LOOSE] = {"loose", FB_CLASS_ANY},    [SECRET] = {"secret", FB_CLASS_TEXT}, [SHOUT] = {"shout", FB_CLASS_TEXT},
};

static struct fb_mapping make(const char *as) {
    struct fb_mapping m = {.name = fb_mem_strdup("user:{id:int}"), .reals_only = true, .param_is_int = {true}};
    fb_err err;
    assert_int_equal(fb_pattern_parse("user:{id:int}", &m.pattern, NULL), FB_OK);
    m.columns = fb_mem_calloc(NCOLUMNS, sizeof *m.columns);
    m.ncolumns = NCOLUMNS;
    for (int i = 0; i < NCOLUMNS; i++)
        m.columns[i] = (struct fb_column){.name = fb_mem_strdup(shapes[i].name), .name_len = strlen(shapes[i].name),
                                          .class = shapes[i].class, .is_nullable = i != ID && i != NAME, .param = -1};
    m.columns[ID].param = 0;
    m.columns[SHOUT].is_readonly = true;
    static const char *const hidden[] = {"secret", NULL};
    assert_int_equal(fb_mapping_hide(&m, hidden, NULL), FB_OK);
    if (fb_mapping_set_as(&m, as, false, &err) != FB_OK)
        fail_msg("%s", err.text);
    return m;
}

static struct fb_datum text(const char *s) { return fb_datum_bytes(FB_DATUM_TEXT, FB_STR(s)); }
static struct fb_datum blob(const char *s, size_t n) { return fb_datum_bytes(FB_DATUM_BLOB, fb_bytes_of(s, n)); }

static void expect_render(const struct fb_mapping *m, const struct fb_datum *row, fb_status status, const char *want) {
    fb_buf out = FB_BUF_INIT;
    fb_err err = {FB_OK, ""};
    assert_int_equal(fb_render_row(m, row, &out, &err), status);
    if (status == FB_OK) {
        if (out.len != strlen(want) || memcmp(out.data, want, out.len) != 0)
            fail_msg("%.*s\ninstead of\n%s", (int)out.len, out.data, want);
    } else {
        assert_int_equal(out.len, 0);
        if (want != NULL)
            assert_string_equal(err.text, want);
    }
    fb_buf_free(&out);
}

/* ---- rendering --------------------------------------------------------------------------------------------------- */

static void json_shows_each_class_as_its_own(void **state) {
    (void)state;
    struct fb_mapping m = make("json");
    struct fb_datum row[NCOLUMNS] = {
        [ID] = fb_datum_int(INT64_MAX),
        [AGE] = fb_datum_int(INT64_MIN),
        [PRICE] = fb_datum_bytes(FB_DATUM_NUMBER, FB_STR("1.10")),
        [SCORE] = fb_datum_real(0.1),
        [ADMIN] = fb_datum_int(1),
        [NAME] = text("a\"\\\n\x01\x7f\xc3\xa9"),
        [META] = text("{\"a\": 1}"),
        [PHOTO] = blob("\0\xff", 2),
        [JOINED] = text("2026-01-02"),
        [LOOSE] = fb_datum_real(1e300),
        [SECRET] = text("s"),
    };
    expect_render(
        &m, row, FB_OK,
        "{\"id\":9223372036854775807,\"age\":-9223372036854775808,\"price\":1.10,\"score\":0.1,\"admin\":true,"
        "\"name\":\"a\\\"\\\\\\n\\u0001\x7f\xc3\xa9\",\"meta\":{\"a\": 1},\"photo\":\"AP8=\",\"joined\":\"2026-01-02\","
        "\"loose\":1e+300,\"shout\":null}");
    /* What a database without strict types may hold is shown as what it is. */
    row[AGE] = text("abc");
    row[ADMIN] = fb_datum_int(2);
    row[META] = text("no json");
    row[SCORE] = fb_datum_real(-INFINITY);
    row[PHOTO] = text("abc");
    row[LOOSE] = blob("x", 1);
    expect_render(&m, row, FB_OK,
                  "{\"id\":9223372036854775807,\"age\":\"abc\",\"price\":1.10,\"score\":\"-Infinity\",\"admin\":2,"
                  "\"name\":\"a\\\"\\\\\\n\\u0001\x7f\xc3\xa9\",\"meta\":\"no "
                  "json\",\"photo\":\"YWJj\",\"joined\":\"2026-01-02\","
                  "\"loose\":\"eA==\",\"shout\":null}");
    fb_mapping_finish(&m);
}

static void what_has_no_faithful_form_is_an_error_that_names_the_column(void **state) {
    (void)state;
    struct fb_mapping json = make("json"), hash = make("hash"), column = make("column:name");
    struct fb_datum row[NCOLUMNS] = {[ID] = fb_datum_int(1), [NAME] = text("a\xff")};
    expect_render(
        &json, row, FB_SOURCE,
        "keyspace 'user:{id:int}': column 'name' holds text that is not valid UTF-8; hide it, or serve it as hash "
        "or column");
    expect_render(&column, row, FB_OK, "a\xff");
    row[NAME] = blob("x", 1);
    expect_render(
        &json, row, FB_SOURCE,
        "keyspace 'user:{id:int}': column 'name' holds a BLOB although it is not declared so; hide it, or declare "
        "it BLOB");
    expect_render(&hash, row, FB_SOURCE, NULL);
    expect_render(&column, row, FB_OK, "x");
    row[NAME] = fb_datum_null();
    expect_render(&column, row, FB_NOTFOUND, NULL);
    fb_mapping_finish(&json);
    fb_mapping_finish(&hash);
    fb_mapping_finish(&column);
}

static void a_hash_has_no_field_for_null(void **state) {
    (void)state;
    struct fb_mapping m = make("hash");
    struct fb_datum row[NCOLUMNS] = {
        [ID] = fb_datum_int(1),  [ADMIN] = fb_datum_int(0), [NAME] = text("\xff\n"),
        [PHOTO] = blob("\0", 1), [SECRET] = text("s"),      [SCORE] = fb_datum_real(2.50),
    };
    static const struct { const char *name, *value; } want[] = {
        {"id", "1"}, {"score", "2.5"}, {"admin", "0"}, {"name", "\xff\n"}, {"photo", "AA=="},
    };
    fb_buf out = FB_BUF_INIT;
    assert_int_equal(fb_render_row(&m, row, &out, NULL), FB_OK);
    fb_field f;
    size_t n = 0;
    for (size_t cursor = 0; fb_hash_next(fb_bytes_of(out.data, out.len), &cursor, &f); n++) {
        assert_true(n < COUNT(want));
        assert_int_equal(f.name.len, strlen(want[n].name));
        assert_memory_equal(f.name.data, want[n].name, f.name.len);
        assert_int_equal(f.value.len, strlen(want[n].value));
        assert_memory_equal(f.value.data, want[n].value, f.value.len);
    }
    assert_int_equal(n, COUNT(want));
    fb_buf_free(&out);
    fb_mapping_finish(&m);
}

/* ---- plans: what fits ------------------------------------------------------------------------------------------- */

static fb_status plan(const struct fb_mapping *m, fb_op op, struct fb_plan **ret, char *text_out) {
    fb_err err = {FB_OK, ""};
    *ret = NULL;
    fb_status status = fb_plan_make(m, &op, ret, &err);
    if (text_out != NULL)
        memcpy(text_out, err.text, sizeof err.text);
    return status;
}

static fb_op set_of(const char *value) {
    return (fb_op){.kind = FB_OP_SET, .key = FB_STR("user:1"), .value = FB_STR(value)};
}

static void expect_one(const struct fb_mapping *m, fb_op op, int column, struct fb_datum want) {
    struct fb_plan *p;
    char said[FB_ERR_TEXT_MAX];
    if (plan(m, op, &p, said) != FB_OK)
        fail_msg("%s", said);
    assert_int_equal(p->nassigns, 1);
    assert_int_equal(p->assigns[0].column, column);
    assert_true(fb_datum_equal(&p->assigns[0].value, &want));
    assert_true(p->key[0].kind == FB_DATUM_INT && p->key[0].i == 1);
    fb_plan_free(p);
}

static void json_values_become_typed_columns(void **state) {
    (void)state;
    struct fb_mapping m = make("json");
    const struct { const char *json; int column; struct fb_datum want; } rows[] = {
        {"{\"age\":42}", AGE, fb_datum_int(42)},
        {"{\"age\":-9223372036854775808}", AGE, fb_datum_int(INT64_MIN)},
        {"{\"age\":\"9007199254740993\"}", AGE, fb_datum_int(9007199254740993)},
        {"{\"age\":null}", AGE, fb_datum_null()},
        {"{\"price\":10}", PRICE, fb_datum_int(10)},
        {"{\"price\":10.250}", PRICE, fb_datum_bytes(FB_DATUM_NUMBER, FB_STR("10.250"))},
        {"{\"price\":\"0.30000000000000004\"}", PRICE, fb_datum_bytes(FB_DATUM_NUMBER, FB_STR("0.30000000000000004"))},
        {"{\"score\":1e3}", SCORE, fb_datum_real(1000)},
        {"{\"score\":0.1000000000000000055}", SCORE, fb_datum_real(0.1)},
        {"{\"score\":\"-Infinity\"}", SCORE, fb_datum_real(-INFINITY)},
        {"{\"admin\":true}", ADMIN, fb_datum_int(1)},
        {"{\"admin\":false}", ADMIN, fb_datum_int(0)},
        {"{\"admin\":1}", ADMIN, fb_datum_int(1)},
        {"{\"name\":\"\"}", NAME, text("")},
        {"{\"name\":\"\\u00e9\\ud83d\\ude00\"}", NAME, text("\xc3\xa9\xf0\x9f\x98\x80")},
        {"{\"n\\u0061me\":\"x\"}", NAME, text("x")},
        {"{\"meta\":{\"a\":[1, 2.50]}}", META, text("{\"a\":[1, 2.50]}")},
        {"{\"meta\":\"s\"}", META, text("\"s\"")},
        {"{\"meta\":null}", META, fb_datum_null()},
        {"{\"meta\":18446744073709551616}", META, text("18446744073709551616")},
        {"{\"photo\":\"AP8=\"}", PHOTO, blob("\0\xff", 2)},
        {"{\"joined\":\"2026-01-02\"}", JOINED, text("2026-01-02")},
        {"{\"joined\":1767312000}", JOINED, fb_datum_int(1767312000)},
        {"{\"loose\":\"1\"}", LOOSE, text("1")},
        {"{\"loose\":1}", LOOSE, fb_datum_int(1)},
        {"{\"loose\":true}", LOOSE, fb_datum_int(1)},
        {" { \"id\" : 1 , \"age\" : 2 } ", AGE, fb_datum_int(2)},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_one(&m, set_of(rows[i].json), rows[i].column, rows[i].want);
    fb_mapping_finish(&m);
}

static void hash_fields_become_typed_columns_in_column_order(void **state) {
    (void)state;
    struct fb_mapping m = make("hash");
    const fb_field fields[] = {{FB_STR("name"), FB_STR("x")}, {FB_STR("age"), FB_STR("1")},
                               {FB_STR("id"), FB_STR("1")},   {FB_STR("age"), FB_STR("2")},
                               {FB_STR("id"), FB_STR("1")},   {FB_STR("admin"), FB_STR("true")}};
    struct fb_plan *p;
    assert_int_equal(
        plan(&m, (fb_op){.kind = FB_OP_HSET, .key = FB_STR("user:1"), .fields = fields, .nfields = COUNT(fields)}, &p,
             NULL),
        FB_OK);
    assert_int_equal(p->nassigns, 3);
    assert_int_equal(p->assigns[0].column, AGE);
    assert_int_equal(p->assigns[0].value.i, 2); /* the last one wins */
    assert_int_equal(p->assigns[1].column, ADMIN);
    assert_int_equal(p->assigns[2].column, NAME);
    assert_int_equal(p->nkey_fields, 1);
    fb_plan_free(p);
    fb_mapping_finish(&m);
}

static void a_column_keyspace_takes_the_value_itself(void **state) {
    (void)state;
    struct fb_mapping name = make("column:name"), photo = make("column:photo"), meta = make("column:meta"),
                      age = make("column:age");
    expect_one(&name, set_of("{\"no\":json}"), NAME, text("{\"no\":json}"));
    fb_op op = {.kind = FB_OP_SET, .key = FB_STR("user:1"), .value = fb_bytes_of("\0\xff", 2)};
    expect_one(&photo, op, PHOTO, blob("\0\xff", 2));
    expect_one(&meta, set_of("[1]"), META, text("[1]"));
    expect_one(&age, set_of("7"), AGE, fb_datum_int(7));
    fb_mapping_finish(&name);
    fb_mapping_finish(&photo);
    fb_mapping_finish(&meta);
    fb_mapping_finish(&age);
}

/* ---- plans: what does not fit -------------------------------------------------------------------------------------
 */

static void expect_refusal(const struct fb_mapping *m, fb_op op, fb_status status, const char *want) {
    struct fb_plan *p;
    char said[FB_ERR_TEXT_MAX];
    fb_status got = plan(m, op, &p, said);
    if (got != status || strcmp(said, want) != 0)
        fail_msg("%s: %s\ninstead of\n%s: %s", fb_status_name(got), said, fb_status_name(status), want);
    assert_null(p);
}

static void json_that_does_not_fit_is_refused_by_name(void **state) {
    (void)state;
    struct fb_mapping m = make("json");
    static const struct { const char *json, *said; } rows[] = {
        {"{\"age\":\"abc\"}", "field 'age' wants integer, got \"abc\""},
        {"{\"age\":1.5}", "field 'age' wants integer, got 1.5"},
        {"{\"age\":1e2}", "field 'age' wants integer, got 1e2"},
        {"{\"age\":true}", "field 'age' wants integer, got true"},
        {"{\"age\":[1]}", "field 'age' wants integer, got [1]"},
        {"{\"age\":9223372036854775808}", "field 'age' wants integer, got 9223372036854775808"},
        {"{\"age\":\"\"}", "field 'age' wants integer, got \"\""},
        {"{\"nmae\":\"x\"}", "unknown column 'nmae' (did you mean 'name'?)"},
        {"{\"zzz\":1}", "unknown column 'zzz'"},
        {"{\"secret\":\"x\"}", "unknown column 'secret'"},
        {"{\"secret_\":\"x\"}", "unknown column 'secret_'"}, /* a hidden column is not even suggested */
        {"{\"shout\":\"x\"}", "column 'shout' cannot be written"},
        {"{\"id\":2}", "field 'id' contradicts the key"},
        {"{\"id\":null}", "field 'id' contradicts the key"},
        {"{\"name\":null}", "field 'name' cannot be null"},
        {"{\"name\":5}", "field 'name' wants text, got 5"},
        {"{\"name\":\"a\\u0000b\"}", "field 'name' wants text, got bytes that are not UTF-8 text without NUL"},
        {"{\"price\":12345678901234567890.5}", "field 'price' wants number, got 12345678901234567890.5"},
        {"{\"score\":1e999}", "field 'score' wants real, got 1e999"},
        {"{\"score\":\"NaN\"}", "field 'score' wants real, got \"NaN\""},
        {"{\"admin\":2}", "field 'admin' wants boolean, got 2"},
        {"{\"admin\":\"yes\"}", "field 'admin' wants boolean, got \"yes\""},
        {"{\"photo\":\"!\"}", "field 'photo' wants base64, got \"!\""},
        {"{\"age\":1,\"age\":2}", "field 'age' is there twice"},
        {"{\"id\":1,\"\\u0069d\":1}", "field 'id' is there twice"},
        {"[1]", "the value is not a JSON object: an object is wanted at byte 0"},
        {"hello", "the value is not a JSON object: an object is wanted at byte 0"},
        {"{\"age\":1", "the value is not a JSON object: ',' or '}' is missing at byte 8"},
        {"{\"age\":1}}", "the value is not a JSON object: something follows the value at byte 9"},
        {"", "the value is not a JSON object: an object is wanted at byte 0"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char want[FB_ERR_TEXT_MAX];
        snprintf(want, sizeof want, "keyspace 'user:{id:int}': %s", rows[i].said);
        expect_refusal(&m, set_of(rows[i].json), FB_BADVALUE, want);
    }
    fb_mapping_finish(&m);
}

static void operations_that_do_not_fit_the_kind_are_refused_in_redis_words(void **state) {
    (void)state;
    struct fb_mapping json = make("json"), hash = make("hash"), name = make("column:name"), age = make("column:age"),
                      score = make("column:score");
    static const char wrong[] = "Operation against a key holding the wrong kind of value";
    const fb_field f_age = {FB_STR("age"), FB_STR("1")}, f_name = {FB_STR("name"), FB_STR("1")},
                   f_id = {FB_STR("id"), FB_STR("")};
    fb_op op = {.key = FB_STR("user:1"), .value = FB_STR("1")};
    op.kind = FB_OP_SET;
    expect_refusal(&hash, op, FB_WRONGTYPE, wrong);
    op.kind = FB_OP_ADD;
    expect_refusal(&hash, op, FB_WRONGTYPE, wrong);
    expect_refusal(&json, op, FB_NOTANUMBER, "value is not an integer or out of range");
    expect_refusal(&name, op, FB_NOTANUMBER, "value is not an integer or out of range");
    expect_refusal(&score, op, FB_NOTANUMBER, "value is not an integer or out of range");
    op.value = FB_STR("1.5");
    expect_refusal(&age, op, FB_NOTANUMBER, "value is not an integer or out of range");
    op.flags = FB_ADD_FLOAT;
    expect_refusal(&name, op, FB_NOTANUMBER, "value is not a valid float");
    expect_refusal(&age, op, FB_BADVALUE, "keyspace 'user:{id:int}': field 'age' wants integer, got \"1.5\"");
    for (size_t i = 0; i < 4; i++) {
        static const char *const odd[] = {"nan", "inf", "-inf", "1e999"};
        op.value = FB_STR(odd[i]);
        expect_refusal(&score, op, FB_NOTANUMBER, "value is not a valid float");
    }
    op = (fb_op){.kind = FB_OP_ADD, .key = FB_STR("user:1"), .value = FB_STR("1"), .fields = &f_age, .nfields = 1};
    expect_refusal(&age, op, FB_WRONGTYPE, wrong);
    op.fields = &f_name;
    expect_refusal(&hash, op, FB_NOTANUMBER, "hash value is not an integer");
    op.flags = FB_ADD_FLOAT;
    expect_refusal(&hash, op, FB_NOTANUMBER, "hash value is not a float");
    op = (fb_op){.kind = FB_OP_HSET, .key = FB_STR("user:1"), .fields = &f_age, .nfields = 1};
    expect_refusal(&json, op, FB_WRONGTYPE, wrong);
    op.kind = FB_OP_HDEL;
    expect_refusal(&name, op, FB_WRONGTYPE, wrong);
    op.fields = &f_name;
    expect_refusal(&hash, op, FB_BADVALUE, "keyspace 'user:{id:int}': field 'name' cannot be null");
    op.fields = &f_id;
    expect_refusal(&hash, op, FB_BADVALUE, "keyspace 'user:{id:int}': field 'id' is part of the key");
    op = (fb_op){.kind = FB_OP_DELETE, .key = FB_STR("user:x")};
    expect_refusal(&hash, op, FB_NOMAP, "key 'user:x' does not match keyspace 'user:{id:int}'");
    fb_mapping_finish(&json);
    fb_mapping_finish(&hash);
    fb_mapping_finish(&name);
    fb_mapping_finish(&age);
    fb_mapping_finish(&score);
}

static void replace_wants_every_column_without_a_default(void **state) {
    (void)state;
    struct fb_mapping m = make("json");
    m.set_replaces = true;
    expect_refusal(&m, set_of("{\"age\":1}"), FB_BADVALUE,
                   "keyspace 'user:{id:int}': field 'name' is missing and has no default");
    expect_one(&m, set_of("{\"name\":\"x\"}"), NAME, text("x"));
    m.columns[NAME].has_default = true;
    expect_one(&m, set_of("{\"age\":1}"), AGE, fb_datum_int(1));
    fb_mapping_finish(&m);
}

/* ---- what a row shows is accepted again ---------------------------------------------------------------------------
 */

static struct fb_datum random_datum(struct fb_rng *rng, int column, char space[16]) {
    static const char *const texts[] = {"", "x", "\xc3\xa9", "a\"b\\c\n", "\x01", "0", "null", "1e5"};
    static const char *const jsons[] = {"1", "{\"a\":[]}", "\"s\"", "[null]", "-0.50", "true"};
    uint64_t bits = fb_rng_next(rng);
    double r;
    memcpy(&r, &bits, sizeof r);
    if (fb_rng_below(rng, 5) == 0 && column != ID && column != NAME)
        return fb_datum_null();
    switch (shapes[column].class) {
    case FB_CLASS_INTEGER:
        return fb_datum_int((int64_t)bits);
    case FB_CLASS_REAL:
    case FB_CLASS_NUMERIC:
        return fb_datum_real(isnan(r) ? 0.5 : fb_rng_below(rng, 50) == 0 ? INFINITY : r);
    case FB_CLASS_BOOLEAN:
        return fb_datum_int((int64_t)(bits & 1));
    case FB_CLASS_JSON:
        return text(jsons[fb_rng_below(rng, COUNT(jsons))]);
    case FB_CLASS_BINARY:
        memcpy(space, &bits, 8);
        return blob(space, fb_rng_below(rng, 9));
    default:
        return text(texts[fb_rng_below(rng, COUNT(texts))]);
    }
}

/* As SQLite would store it: exact decimals become doubles. */
static double as_double(const struct fb_datum *d) {
    char digits[64];
    double value = 0;
    if (d->kind == FB_DATUM_NUMBER) {
        assert_true(d->bytes.len < sizeof digits);
        memcpy(digits, d->bytes.data, d->bytes.len);
        digits[d->bytes.len] = 0;
        assert_int_equal(sscanf(digits, "%lf", &value), 1);
    }
    return d->kind == FB_DATUM_INT ? (double)d->i : d->kind == FB_DATUM_REAL ? d->r : value;
}

static void what_a_row_shows_is_accepted_again(void **state) {
    (void)state;
    struct fb_rng rng = {11};
    struct fb_mapping m = make("json");
    m.columns[SHOUT].is_hidden = true; /* cannot be written, so it is not part of the round trip */
    for (int round = 0; round < 20000; round++) {
        struct fb_datum row[NCOLUMNS];
        char space[NCOLUMNS][16], said[FB_ERR_TEXT_MAX];
        fb_buf json = FB_BUF_INIT;
        struct fb_plan *p;
        for (int i = 0; i < NCOLUMNS; i++)
            row[i] = random_datum(&rng, i, space[i]);
        row[ID] = fb_datum_int(1);
        assert_int_equal(fb_render_row(&m, row, &json, NULL), FB_OK);
        fb_op op = {.kind = FB_OP_SET, .key = FB_STR("user:1"), .value = fb_bytes_of(json.data, json.len)};
        if (plan(&m, op, &p, said) != FB_OK)
            fail_msg("%.*s: %s", (int)json.len, json.data, said);
        assert_int_equal(p->nassigns, NCOLUMNS - 3);
        for (unsigned i = 0; i < p->nassigns; i++) {
            const struct fb_datum *now = &p->assigns[i].value, *was = &row[p->assigns[i].column];
            if (was->kind == FB_DATUM_REAL ? as_double(now) != was->r : !fb_datum_equal(now, was))
                fail_msg("column %s of %.*s", shapes[p->assigns[i].column].name, (int)json.len, json.data);
        }
        fb_plan_free(p);
        fb_buf_free(&json);
    }
    fb_mapping_finish(&m);
}

/* ---- sums ---- */

static void sums_stay_in_range(void **state) {
    (void)state;
    struct fb_mapping m = make("column:loose");
    const struct {
        unsigned flags;
        const char *delta;
        struct fb_datum now;
        fb_status status;
        struct fb_datum sum;
        const char *said;
    } rows[] = {
        {0, "1", fb_datum_int(INT64_MAX - 1), FB_OK, fb_datum_int(INT64_MAX), NULL},
        {0, "1", fb_datum_int(INT64_MAX), FB_NOTANUMBER, {0}, "increment or decrement would overflow"},
        {0, "-1", fb_datum_int(INT64_MIN), FB_NOTANUMBER, {0}, "increment or decrement would overflow"},
        {0, "-9223372036854775808", fb_datum_null(), FB_OK, fb_datum_int(INT64_MIN), NULL},
        {0, "5", text("10"), FB_OK, fb_datum_int(15), NULL},
        {0, "5", text("ten"), FB_NOTANUMBER, {0}, "value is not an integer or out of range"},
        {0, "5", fb_datum_real(100), FB_OK, fb_datum_int(105), NULL},
        {0, "5", fb_datum_real(-9007199254740992), FB_OK, fb_datum_int(-9007199254740987), NULL},
        {0, "5", fb_datum_real(1e16), FB_NOTANUMBER, {0}, "value is not an integer or out of range"},
        {0, "5", fb_datum_real(NAN), FB_NOTANUMBER, {0}, "value is not an integer or out of range"},
        {0, "5", fb_datum_real(1.5), FB_NOTANUMBER, {0}, "value is not an integer or out of range"},
        {FB_ADD_FLOAT, "0.2", fb_datum_real(0.1), FB_OK, fb_datum_real(0.3), NULL},
        {FB_ADD_FLOAT, "1e308", fb_datum_real(1.7e308), FB_NOTANUMBER, {0}, "increment would produce NaN or Infinity"},
        {FB_ADD_FLOAT, "1", fb_datum_real(INFINITY), FB_NOTANUMBER, {0}, "increment would produce NaN or Infinity"},
        {FB_ADD_FLOAT, "1.5", fb_datum_null(), FB_OK, fb_datum_real(1.5), NULL},
        {FB_ADD_FLOAT, "1.5", fb_datum_int(2), FB_OK, fb_datum_real(3.5), NULL},
        {FB_ADD_FLOAT, "1.5", blob("2", 1), FB_NOTANUMBER, {0}, "value is not a valid float"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_op op = {.kind = FB_OP_ADD, .flags = rows[i].flags, .key = FB_STR("user:1"), .value = FB_STR(rows[i].delta)};
        struct fb_plan *p;
        struct fb_datum sum;
        fb_err err = {FB_OK, ""};
        assert_int_equal(plan(&m, op, &p, NULL), FB_OK);
        assert_int_equal(fb_plan_add(&m, p, &rows[i].now, &sum, &err), rows[i].status);
        if (rows[i].status == FB_OK)
            assert_true(fb_datum_equal(&sum, &rows[i].sum));
        else
            assert_string_equal(err.text, rows[i].said);
        fb_plan_free(p);
    }
    fb_mapping_finish(&m);
}

/* ---- names and settings ---- */

static void the_nearest_name_is_near(void **state) {
    (void)state;
    static const char *const names[] = {"id", "name", "email", "created_at", "customer_id"};
    static const struct { const char *wanted, *best;
    } rows[] = {
        {"nmae", "name"},
        {"NAME", "name"},
        {"emial", "email"},
        {"createdat", "created_at"},
        {"custmer_id", "customer_id"},
        {"x", NULL},
        {"password", NULL},
        {"", NULL},
        {"ie", "id"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(rows[i].wanted));
        for (size_t k = 0; k < COUNT(names); k++)
            fb_nearest_offer(&nearest, names[k]);
        if (rows[i].best == NULL ? nearest.best != NULL
                                 : nearest.best == NULL || strcmp(nearest.best, rows[i].best) != 0)
            fail_msg("'%s': %s", rows[i].wanted, nearest.best != NULL ? nearest.best : "none");
    }
}

static void settings_of_a_mapping_are_checked(void **state) {
    (void)state;
    struct fb_mapping m = make("json");
    fb_err err;
    static const char *const typo[] = {"phot", NULL}, *const twice[] = {"photo", "photo", NULL};
    assert_int_equal(fb_mapping_hide(&m, typo, &err), FB_CONFIG);
    assert_string_equal(err.text,
                        "keyspace 'user:{id:int}': hide_columns: there is no column 'phot' (did you mean 'photo'?)");
    assert_int_equal(fb_mapping_hide(&m, twice, &err), FB_OK);
    assert_int_equal(fb_mapping_set_as(&m, "column:nam", false, &err), FB_CONFIG);
    assert_string_equal(err.text, "keyspace 'user:{id:int}': as: there is no column 'nam' (did you mean 'name'?)");
    assert_int_equal(fb_mapping_set_as(&m, "column:secret", false, &err), FB_CONFIG);
    assert_int_equal(fb_mapping_set_as(&m, "text", false, &err), FB_CONFIG);
    assert_int_equal(fb_mapping_set_as(&m, "text", true, &err), FB_CONFIG);
    assert_int_equal(fb_mapping_set_as(&m, "xml", false, &err), FB_CONFIG);
    fb_mapping_finish(&m);
}

static void a_row_that_was_found_loosely_is_another_key(void **state) {
    (void)state;
    struct fb_mapping m = make("json");
    struct fb_datum row[NCOLUMNS] = {[ID] = fb_datum_int(42)};
    const struct { struct fb_datum key; bool is_key;
    } rows[] = {
        {fb_datum_int(42), true}, {text("42"), true},   {text("042"), false},
        {text("42.0"), false},    {text(" 42"), false}, {fb_datum_int(43), false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(fb_mapping_row_is_key(&m, row, &rows[i].key), rows[i].is_key);
    row[ID] = text("Bob");
    assert_false(fb_mapping_row_is_key(&m, row, &(struct fb_datum){FB_DATUM_TEXT, .bytes = FB_STR("bob")}));
    row[ID] = fb_datum_null();
    assert_false(fb_mapping_row_is_key(&m, row, &(struct fb_datum){FB_DATUM_TEXT, .bytes = FB_STR("")}));
    fb_mapping_finish(&m);
}

/* ---- memory ---- */

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct fb_mapping m = make("json"), hash = make("hash");
    struct fb_datum row[NCOLUMNS] = {[ID] = fb_datum_int(1), [NAME] = text("x"), [PHOTO] = blob("abc", 3)};
    for (int64_t n = 0;; n++) {
        fb_buf json = FB_BUF_INIT, fields = FB_BUF_INIT;
        struct fb_plan *p = NULL;
        fb_op op = set_of("{\"name\":\"x\"}");
        fb_err err = {FB_OK, ""};
        fb_mem_fail_after(n);
        fb_status status = fb_render_row(&m, row, &json, &err);
        if (status == FB_OK)
            status = fb_render_row(&hash, row, &fields, &err);
        if (status == FB_OK)
            status = fb_plan_make(&m, &op, &p, &err);
        fb_mem_fail_after(-1);
        fb_buf_free(&json);
        fb_buf_free(&fields);
        fb_plan_free(p);
        if (status == FB_OK) {
            assert_true(n >= 3);
            break;
        }
        assert_int_equal(status, FB_NOMEM);
        assert_string_equal(err.text, "out of memory");
    }
    fb_mapping_finish(&m);
    fb_mapping_finish(&hash);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_shows_each_class_as_its_own),
        cmocka_unit_test(what_has_no_faithful_form_is_an_error_that_names_the_column),
        cmocka_unit_test(a_hash_has_no_field_for_null),
        cmocka_unit_test(json_values_become_typed_columns),
        cmocka_unit_test(hash_fields_become_typed_columns_in_column_order),
        cmocka_unit_test(a_column_keyspace_takes_the_value_itself),
        cmocka_unit_test(json_that_does_not_fit_is_refused_by_name),
        cmocka_unit_test(operations_that_do_not_fit_the_kind_are_refused_in_redis_words),
        cmocka_unit_test(replace_wants_every_column_without_a_default),
        cmocka_unit_test(what_a_row_shows_is_accepted_again),
        cmocka_unit_test(sums_stay_in_range),
        cmocka_unit_test(the_nearest_name_is_near),
        cmocka_unit_test(settings_of_a_mapping_are_checked),
        cmocka_unit_test(a_row_that_was_found_loosely_is_another_key),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
