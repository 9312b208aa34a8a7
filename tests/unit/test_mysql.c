/* Shows by tables what of the MariaDB and MySQL adapter needs no server: what a URL means and which ones are refused
 * without a word of the password; where named parameters stand in a statement of each dialect; and how dates that clients
 * send, or that we have shown, become what the server reads. Wire tests (tests/wire/test_db_*.py) show the rest with a real
 * MariaDB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "source/mysql.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- URLs ---- */

static void assert_text(const char *got, const char *wanted) {
    if (wanted == NULL)
        assert_null(got);
    else
        assert_string_equal(got, wanted);
}

static void urls_say_where_and_as_whom(void **state) {
    static const struct {
        const char *url, *user, *password, *host, *database, *socket, *ca;
        unsigned port;
        bool uses_tls, verifies;
    } cases[] = {
        {.url = "mysql://a:b@h:3307/d", .user = "a", .password = "b", .host = "h", .port = 3307, .database = "d"},
        {.url = "mariadb://h/d", .host = "h", .database = "d"},
        {.url = "mysql:///d", .database = "d"},
        {.url = "mysql://a%40b:%2F%3a%25@[::1]:1/my%20db", .user = "a@b", .password = "/:%", .host = "::1", .port = 1,
         .database = "my db"},
        {.url = "mysql://u:p@ss@h/d", .user = "u", .password = "p@ss", .host = "h", .database = "d"},
        {.url = "mysql://u@localhost/d?socket=%2Frun%2Fs.sock", .user = "u", .host = "localhost", .database = "d",
         .socket = "/run/s.sock"},
        {.url = "mysql://h/d?ssl-ca=/ca.pem", .host = "h", .database = "d", .ca = "/ca.pem", .uses_tls = true,
         .verifies = true},
        {.url = "mysql://h/d?ssl-ca=/ca.pem&ssl-mode=required", .host = "h", .database = "d", .ca = "/ca.pem",
         .uses_tls = true},
        {.url = "mysql://h/d?ssl-mode=verify-identity&", .host = "h", .database = "d", .uses_tls = true, .verifies = true},
        {.url = "mysql://h/d?ssl-mode=disabled", .host = "h", .database = "d"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fb_mysql_address a;
        fb_err err;
        if (fb_mysql_parse_url(cases[i].url, &a, &err) != FB_OK)
            fail_msg("%s: %s", cases[i].url, err.text);
        assert_text(a.user, cases[i].user);
        assert_text(a.password, cases[i].password);
        assert_text(a.host, cases[i].host);
        assert_text(a.database, cases[i].database);
        assert_text(a.socket, cases[i].socket);
        assert_text(a.tls_ca, cases[i].ca);
        assert_int_equal(a.port, cases[i].port);
        assert_int_equal(a.uses_tls, cases[i].uses_tls);
        assert_int_equal(a.verifies, cases[i].verifies);
        fb_mysql_free_address(&a);
    }
}

static void urls_that_are_none_are_refused_without_their_password(void **state) {
    static const char *const urls[] = {
        "mysql:u:secret@h/d", "mysql://u:secret@h", "mysql://u:secret@h/", "mysql://u:secret@h:0/d",
        "mysql://u:secret@h:65536/d", "mysql://u:secret@h:1x/d", "mysql://u:secret%4@h/d", "mysql://u:secret%00@h/d",
        "mysql://u:secret@[::1/d", "mysql://u:secret@[::1]x/d", "mysql://u:secret@h/d?ssl-mode=maybe",
        "mysql://u:secret@h/d?sll-ca=/x", "mysql://u:secret%",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct fb_mysql_address a;
        fb_err err;
        assert_int_equal(fb_mysql_parse_url(urls[i], &a, &err), FB_INVALID);
        assert_null(strstr(err.text, "secret"));
    }
}

/* ---- named parameters ---- */

static const struct fb_named_dialect mysql = {.has_backquotes = true, .has_backslashes = true, .has_hash_comments = true};
static const struct fb_named_dialect postgresql = {.is_numbered = true, .has_dollar_bodies = true, .nests_comments = true};

/* A mapping of the pattern k:{id}:{name}, with no columns. */
static struct fb_mapping make_mapping(void) {
    struct fb_mapping m = {.name = fb_mem_strdup("k:{id}:{name}")};
    fb_err err;
    assert_int_equal(fb_pattern_parse(m.name, &m.pattern, &err), FB_OK);
    return m;
}

static void parameters_are_found_where_a_statement_has_them(void **state) {
    static const struct {
        const struct fb_named_dialect *dialect;
        const char *text, *wanted; /* NULL: refused */
        const char *args;          /* the parameters' numbers */
    } cases[] = {
        {&mysql, "SELECT :id, :name, :id;\n", "SELECT ?, ?, ?", "010"},
        {&postgresql, "SELECT :id, :name, :id ; ", "SELECT $1, $2, $1", "01"},
        {&mysql, "':id' \":id\" `:id` :id", "':id' \":id\" `:id` ?", "0"},
        {&mysql, "'it\\'s :id' :id", "'it\\'s :id' ?", "0"},
        {&postgresql, "'it\\' || :id", "'it\\' || $1", "0"},
        {&mysql, "a # :id\n:id", "a # :id\n?", "0"},
        {&mysql, "5--:id", "5--?", "0"},
        {&mysql, "a -- :id\n:id", "a -- :id\n?", "0"},
        {&postgresql, "a --:id\n:id", "a --:id\n$1", "0"},
        {&mysql, "/* :id /* */ :id", "/* :id /* */ ?", "0"},
        {&postgresql, "/* :id /* */ :id */ :id", "/* :id /* */ :id */ $1", "0"},
        {&postgresql, "$x$ :id $$ $x$ :id::text", "$x$ :id $$ $x$ $1::text", "0"},
        {&mysql, "a := 1, :id", "a := 1, ?", "0"},
        {&mysql, "SELECT ?", NULL, NULL},
        {&postgresql, "SELECT $1", NULL, NULL},
        {&postgresql, "SELECT a ? 'b'", "SELECT a ? 'b'", ""},
        {&mysql, "SELECT :ids", NULL, NULL},
        {&mysql, "'never ends :id", "'never ends :id", ""},
        {&mysql, "/* never ends :id", "/* never ends :id", ""},
    };
    struct fb_mapping m = make_mapping();
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fb_named_sql sql;
        fb_err err;
        fb_status status = fb_named_parse(cases[i].dialect, &m, "load", cases[i].text, false, &sql, &err);
        assert_int_equal(status, cases[i].wanted != NULL ? FB_OK : FB_CONFIG);
        if (status != FB_OK)
            continue;
        assert_string_equal(sql.text, cases[i].wanted);
        assert_int_equal(sql.nargs, strlen(cases[i].args));
        for (unsigned k = 0; k < sql.nargs; k++)
            assert_int_equal(sql.args[k].index, (unsigned)(cases[i].args[k] - '0'));
        fb_named_finish(&sql);
    }
    fb_mapping_finish(&m);
}

static void statement_without_memory_leaves_nothing(void **state) {
    struct fb_mapping m = make_mapping();
    struct fb_named_sql sql;
    fb_err err;
    (void)state;
    fb_status status = FB_NOMEM;
    for (int64_t n = 0; status == FB_NOMEM; n++) {
        fb_mem_fail_after(n);
        status = fb_named_parse(&mysql, &m, "load", "SELECT a FROM b WHERE c = :id AND d = :name", false, &sql, &err);
        fb_mem_fail_after(-1);
    }
    assert_int_equal(status, FB_OK);
    fb_named_finish(&sql);
    fb_mapping_finish(&m);
}

static void only_reading_statements_are_told_from_others(void **state) {
    static const char *const reads[] = {"select 1", " ( SELECT 1)", "WITH a AS (SELECT 1) SELECT 1", "values (1)", "TABLE t"};
    static const char *const others[] = {"insert into t values (1)", "selects", "call p()", "", "tablet", "-- select\ndelete"};
    (void)state;
    for (size_t i = 0; i < COUNT(reads); i++)
        assert_true(fb_named_reads_only(reads[i]));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(fb_named_reads_only(others[i]));
}

/* ---- dates ---- */

static void dates_become_what_the_server_reads(void **state) {
    static const struct { enum fb_mysql_form form; const char *given, *wanted; } cases[] = {
        {FB_MYSQL_TIMESTAMP, "2024-07-01T12:00:00+02:00", "2024-07-01 10:00:00"},
        {FB_MYSQL_TIMESTAMP, "2024-03-01T01:30:00.123456+02:00", NULL},
        {FB_MYSQL_TIMESTAMP, "2024-12-31T23:30:00-01:00", "2025-01-01 00:30:00"},
        {FB_MYSQL_TIMESTAMP, "2024-07-01T12:00:00.5+00:00", "2024-07-01T12:00:00.5"},
        {FB_MYSQL_TIMESTAMP, "2024-07-01T12:00:00Z", "2024-07-01T12:00:00"},
        {FB_MYSQL_TIMESTAMP, "2024-07-01 12:00:00", "2024-07-01 12:00:00"},
        {FB_MYSQL_DATETIME, "2024-07-01T12:00:00+00:00", "2024-07-01T12:00:00"},
        {FB_MYSQL_DATETIME, "2024-07-01T12:00:00+02:00", "2024-07-01T12:00:00+02:00"}, /* the server refuses it */
        {FB_MYSQL_DATE, "2024-07-01", "2024-07-01"},
        {FB_MYSQL_TIME, "-838:59:59", "-838:59:59"},
        {FB_MYSQL_TIMESTAMP, "Z", "Z"},
        {FB_MYSQL_TIMESTAMP, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[64];
        size_t len = strlen(cases[i].given);
        const struct fb_mysql_type type = {.form = cases[i].form};
        memcpy(text, cases[i].given, len);
        struct fb_datum datum = fb_datum_bytes(FB_DATUM_TEXT, fb_bytes_of(text, len));
        assert_true(fb_mysql_time_value(&type, &datum));
        const char *wanted = cases[i].wanted != NULL ? cases[i].wanted : "2024-02-29 23:30:00.123456";
        assert_int_equal(datum.bytes.len, strlen(wanted));
        assert_memory_equal(datum.bytes.data, wanted, datum.bytes.len);
    }
    struct fb_datum number = fb_datum_int(20240701), null = fb_datum_null();
    assert_false(fb_mysql_time_value(&(struct fb_mysql_type){.form = FB_MYSQL_DATE}, &number));
    assert_true(fb_mysql_time_value(&(struct fb_mysql_type){.form = FB_MYSQL_DATE}, &null));
}

static void shapes_hold_their_keys(void **state) {
    (void)state;
    for (size_t n = 1; n <= FB_MYSQL_KEYS_MAX; n++) {
        unsigned shape = fb_mysql_shape(n);
        assert_true(shape < FB_MYSQL_SHAPES && (size_t)1 << shape >= n && (shape == 0 || (size_t)1 << (shape - 1) < n));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_say_where_and_as_whom),
        cmocka_unit_test(urls_that_are_none_are_refused_without_their_password),
        cmocka_unit_test(parameters_are_found_where_a_statement_has_them),
        cmocka_unit_test(statement_without_memory_leaves_nothing),
        cmocka_unit_test(only_reading_statements_are_told_from_others),
        cmocka_unit_test(dates_become_what_the_server_reads),
        cmocka_unit_test(shapes_hold_their_keys),
    };
    return cmocka_run_group_tests_name("mysql", tests, NULL, NULL);
}
