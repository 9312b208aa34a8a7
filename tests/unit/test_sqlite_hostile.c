/* Shows that whatever bytes a key, a value or a name of the catalogue has, they are data to SQLite and never SQL. */
#include "sqlite_world.h"

#include "base/rng.h"

static size_t hostile(struct fb_rng *rng, char *out) {
    static const char *const pieces[] = {
        "'",
        "\"",
        ";",
        "--",
        "/*",
        "*/",
        "DROP TABLE texts",
        "OR 1=1",
        ")",
        "(",
        "?",
        "?1",
        ":k",
        "@x",
        "$1",
        "\\",
        "%",
        "_",
        "%s%n",
        "\n",
        "\r\n",
        "\t",
        "NULL",
        "x'00'",
        "\xc3\xa9",
        "\xe2\x80\xae",
        "\xf0\x9f\x98\x80",
        "' UNION SELECT secret FROM users --",
        "]",
        "[",
        "`",
        "{",
        "}",
        "\x01",
        "\x7f",
        "+",
        "||",
        "randomblob(1000000000)",
        "a",
        "0",
        ",",
    };
    size_t n = 0;
    for (unsigned k = 1 + (unsigned)fb_rng_below(rng, 8); k > 0; k--) {
        const char *piece = pieces[fb_rng_below(rng, COUNT(pieces))];
        memcpy(out + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return n;
}

static void hostile_keys_and_values_are_data(void **state) {
    (void)state;
    struct fb_rng rng = {666};
    struct world w;
    world_open(&w);
    struct fb_binding *column = world_bind_table(&w, "c:{k:rest}", "texts", "column:v");
    struct fb_binding *hash = world_bind_table(&w, "h:{k:rest}", "texts", "hash");
    char before[400], key[512] = "c:", value[512];
    snprintf(before, sizeof before, "%s", world_ask(&w, "SELECT sum(length(sql)) || count(*) FROM sqlite_schema"));
    for (int i = 0; i < 1000; i++) {
        size_t klen = 2 + hostile(&rng, key + 2), vlen = hostile(&rng, value);
        bool as_hash = i % 2;
        key[0] = as_hash ? 'h' : 'c';
        fb_field field = {FB_STR("v"), fb_bytes_of(value, vlen)};
        fb_op op = {.kind = as_hash ? FB_OP_HSET : FB_OP_SET,
                    .key = fb_bytes_of(key, klen),
                    .value = fb_bytes_of(value, vlen),
                    .fields = &field,
                    .nfields = as_hash};
        struct answer a = world_store(&w, as_hash ? hash : column, op);
        expect_answer(&a, FB_OK, NULL);
        key[0] = 'c';
        struct fb_load_item item = {.binding = column, .key = fb_bytes_of(key, klen)};
        ops->load(w.reader, &item, 1);
        assert_int_equal(item.status, FB_OK);
        assert_int_equal(item.value->len, vlen);
        assert_memory_equal(item.value->data, value, vlen);
        fb_value_unref(item.value);
        /* The same bytes as a column's name, as JSON and as a number are refused or nothing. */
        fb_field odd = {fb_bytes_of(value, vlen), FB_STR("x")};
        a = world_store(&w, hash, (fb_op){.kind = FB_OP_HSET, .key = FB_STR("h:x"), .fields = &odd, .nfields = 1});
        assert_int_equal(a.status, FB_BADVALUE);
    }
    assert_string_equal(world_ask(&w, "SELECT sum(length(sql)) || count(*) FROM sqlite_schema"), before);
    assert_string_equal(world_ask(&w, "SELECT count(*) FROM users"), "2");
    /* NUL and broken UTF-8 stop before SQL. */
    fb_op op = {.kind = FB_OP_SET, .key = fb_bytes_of("c:a\0b", 5), .value = FB_STR("x")};
    struct answer a = world_store(&w, column, op);
    assert_int_equal(a.status, FB_NOMAP);
    op.key = FB_STR("c:a\xff");
    a = world_store(&w, column, op);
    assert_int_equal(a.status, FB_NOMAP);
    op = (fb_op){.kind = FB_OP_SET, .key = FB_STR("c:a"), .value = fb_bytes_of("x\0y", 3)};
    a = world_store(&w, column, op);
    assert_int_equal(a.status, FB_BADVALUE);
    world_close(&w);
}

static void names_of_the_catalogue_are_quoted(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    world_sql(&w,
              "CREATE TABLE \"select\" (\"order\" INTEGER PRIMARY KEY, \"a\"\"b; DROP TABLE users--\" TEXT DEFAULT 'd',"
              " \"group\" TEXT)");
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    o.pattern = "s:{id}";
    o.table = "select";
    struct fb_binding *b = world_bind(&w, &o);
    struct answer a = world_set(&w, b, "s:1", "{\"a\\\"b; DROP TABLE users--\":\"x\",\"group\":\"g\"}", 0);
    expect_answer(&a, FB_OK, "{\"order\":1,\"a\\\"b; DROP TABLE users--\":\"x\",\"group\":\"g\"}");
    a = world_set(&w, b, "s:1", "{\"group\":\"h\"}", 0);
    expect_answer(&a, FB_OK, "{\"order\":1,\"a\\\"b; DROP TABLE users--\":\"x\",\"group\":\"h\"}");
    a = world_delete(&w, b, "s:1");
    expect_answer(&a, FB_OK, "none");
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_keys_and_values_are_data),
        cmocka_unit_test(names_of_the_catalogue_are_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
