/* Configuration files and what is wrong with them: each row of a table is a file and where its faults are, line and
 * column; then the exact form of a report, the bounds, and files cut and changed at random, which must neither crash
 * nor pass unseen. */
#include "conf_case.h"

#include <sqlite3.h>

#include "base/mem.h"
#include "base/rng.h"

/* A source and a keyspace, so that nothing is missing. */
#define SHOP "sources: {s: {url: 'sqlite:x.db'}}\n"
#define REST SHOP "keyspaces: {'a:{id}': {table: t}}\n"

static const struct row { const char *text, *faults; } rows[] = {
    /* values */
    {"server:\n  memory_max: 256\n" REST, "2:15 unit"},
    {"server:\n  memory_max: 256 mb\n" REST, "2:15 type"},
    {"server:\n  memory_max: 1kb\n" REST, "2:15 range"},
    {"server:\n  memory_max: 99999999999999999999gb\n" REST, "2:15 type"},
    {"server:\n  drain_timeout: 30\n" REST, "2:18 unit"},
    {"server:\n  drain_timeout: 1.5s\n" REST, "2:18 type"},
    {"server:\n  drain_timeout: 30m1h\n" REST, "2:18 type"},
    {"server:\n  drain_timeout: 2h\n" REST, "2:18 range"},
    {"server:\n  drain_timeout: -1s\n" REST, "2:18 type"},
    {"server:\n  threads: 0\n" REST, "2:12 range"},
    {"server:\n  threads: 4s\n" REST, "2:12 type"},
    {"server:\n  threads: 0x4\n" REST, "2:12 type"},
    {"server:\n  eviction: lfu\n" REST, "2:13 choice"},
    {"server:\n  eviction: LRU\n" REST, "2:13 choice"},
    {"server:\n  protected: maybe\n" REST, "2:14 type"},
    {"server:\n  unmapped: pass\n" REST, "2:13 conflict"},
    {"server:\n  admin: unix:/run/admin.sock\n" REST, "2:10 address"},
    {"server:\n  admin: 0.0.0.0:9380\n" REST, "2:10 unprotected"},
    {"server:\n  listen: 127.0.0.1\n" REST, "2:11 address"},
    {"server:\n  listen: ':6380'\n" REST, "2:11 address"},
    {"server:\n  listen: '*:6380'\n" REST, "2:11 address"},
    {"server:\n  listen: ::1:6380\n" REST, "2:11 address"},
    {"server:\n  listen: '[::1]'\n" REST, "2:11 address"},
    {"server:\n  listen: 127.0.0.1:65536\n" REST, "2:11 address"},
    {"server:\n  listen: unix:x.sock\n" REST, "2:11 address"},
    {"server:\n  listen: [127.0.0.1:1, 127.0.0.1]\n" REST, "2:25 address"},
    {"server:\n  listen: []\n" REST, "2:11 type"},
    {"server:\n  listen:\n    - 127.0.0.1:1\n    - {a: b}\n" REST, "4:7 type"},
    {"server:\n  listen: 0.0.0.0:6380\n" REST, "2:11 unprotected"},
    {"server:\n  password: hunter2\n" REST, "2:13 secret"},
    {"server:\n  password: env:NOT_SET_ANYWHERE\n" REST, "2:13 secret"},
    {"server:\n  memory_max:\n" REST, "2:3 type"},
    {"server:\n  memory_max: ''\n" REST, "2:15 type"},
    {"server:\n  memory_max: [1mb]\n" REST, "2:15 type"},
    {"server:\n  bulk_max: 32mb\n" REST, "2:13 conflict"},
    {"classes:\n  c: {ttl: 1h, jitter: 0.1}\n" SHOP "keyspaces: {a: {table: t, class: c}}\n", "2:24 type"},
    {"classes:\n  c: {ttl: 1h, jitter: 91%}\n" SHOP "keyspaces: {a: {table: t, class: c}}\n", "2:24 range"},
    {"sources:\n  s:\n    url: 'postgresql://u:pw@h/d'\nkeyspaces: {a: {table: t}}\n", "3:10 secret"},
    {"sources:\n  s:\n    url: shop.db\nkeyspaces: {a: {table: t}}\n", "3:10 url"},
    /* names */
    {"server:\n  memory: 1mb\n" REST, "2:3 unknown-setting"},
    {"server:\n  maxmemory: 1mb\n" REST, "2:3 unknown-setting"},
    {"servr:\n  memory_max: 1mb\n" REST, "1:1 unknown-section"},
    {"store:\n  url: http://h\n" REST, "2:8 url"},
    {"store:\n  url: redis://u:p@h\n" REST, "2:8 secret"},
    {"server:\n  threads: 1\n  threads: 2\n" REST, "3:3 repeated"},
    {SHOP REST, "2:1 repeated"},
    {"keyspaces:\n  a: {table: t}\n  a: {table: u}\n" SHOP, "3:3 repeated"},
    {SHOP "keyspaces:\n  a: {table: t, early_refresh: xfetch}\n", "3:32 type"},
    {SHOP "keyspaces:\n  a: {table: t, early_refresh: 101}\n", "3:32 range"},
    {SHOP "keyspaces:\n  a: {table: t, refresh_ahead: 100%}\n", "3:32 range"},
    {SHOP "keyspaces:\n  a: {table: t, refresh_ahead: 0.8}\n", "3:32 type"},
    {SHOP "keyspaces:\n  a: {table: t, read: cache-aside, refresh_ahead: 80%}\n", "3:51 conflict"},
    {SHOP "keyspaces:\n  a: {table: t, read: cache-aside, early_refresh: 1}\n", "3:51 conflict"},
    {SHOP "keyspaces:\n  a: {table: t, flush_interval: 5}\n", "3:33 unit"},
    {SHOP "keyspaces:\n  a: {table: t, db: 1}\n", "3:21 range"},
    {"sources: {1st: {url: 'sqlite:x'}}\nkeyspaces: {a: {table: t}}\n", "1:11 name; 2:13 missing"},
    {"sources:\n  my-shop: {url: 'sqlite:x'}\n  My_Shop: {url: 'sqlite:y'}\n"
     "keyspaces: {a: {table: t, source: my-shop}, b: {table: t, source: My_Shop}}\n", "3:3 name"},
    /* shape */
    {"server: 4\n" REST, "1:9 type"},
    {"- server\n", "1:1 type"},
    {"just text\n", "1:1 type"},
    {"", "0:0 no-keyspaces"},
    {SHOP "keyspaces:\n  a: 1h\n", "3:3 missing; 3:6 type"},
    {SHOP "keyspaces: {{a: b}: {table: t}}\n", "2:13 key"},
    {SHOP "keyspaces: {[a]: {table: t}, b: {table: t}}\n", "2:13 key"},
    /* what must hold together */
    {SHOP "keyspaces:\n  a:\n", "3:3 missing"},
    {SHOP "keyspaces:\n  a: {table: t, load: SELECT 1}\n", "3:23 conflict"},
    {SHOP "keyspaces:\n  a: {table: t, store: UPDATE, write: write-through}\n", "3:24 conflict"},
    {SHOP "keyspaces:\n  a: {table: t, delete: DELETE, write: write-through}\n", "3:25 conflict"},
    {SHOP "keyspaces:\n  a: {load: SELECT, store: UPDATE}\n", "3:28 conflict"},
    {SHOP "keyspaces:\n  a: {load: SELECT, write: write-through}\n", "3:28 missing"},
    {SHOP "keyspaces:\n  a: {table: t, on_set: write}\n", "3:25 conflict"},
    {SHOP "keyspaces:\n  a: {table: t, on_del: delete-row}\n", "3:25 conflict"},
    {SHOP "keyspaces:\n  a: {table: t, as: text}\n", "3:21 conflict"},
    {SHOP "keyspaces:\n  a: {table: t, as: colum:x}\n", "3:21 choice"},
    {SHOP "keyspaces:\n  a: {table: t, as: 'column:'}\n", "3:21 choice"},
    {SHOP "keyspaces:\n  a: {table: t}\n  b: {table: T}\n", "4:14 shared-table"},
    {SHOP "keyspaces:\n  a: {table: t, source: x}\n", "3:25 unknown-source"},
    {SHOP "keyspaces:\n  a: {table: t, class: profil}\n", "3:24 unknown-class"},
    {"classes: {x: {jitter: 5%}}\n" SHOP "keyspaces: {a: {table: t, class: x}}\n", "1:11 missing"},
    {"classes: {x: {ttl: 5s}}\n" REST, "w 1:11 unused"},
    {"sources: {s: {url: 'sqlite:x'}, r: {url: 'sqlite:y'}}\nkeyspaces: {a: {table: t, source: s}}\n",
     "w 1:33 unused"},
    {"sources: {s: {url: 'sqlite:x'}, r: {url: 'sqlite:y'}}\nkeyspaces: {a: {table: t}}\n",
     "2:13 missing"},
    {"sources: {s: {pool: 2}}\nkeyspaces: {a: {table: t}}\n", "1:11 missing"},
    {"sources: {s: {url: 'sqlite:x', password: 'env:HOME'}}\nkeyspaces: {a: {table: t}}\n", "1:42 conflict"},
    /* patterns */
    {SHOP "keyspaces:\n  'a:{x}{y}': {table: t}\n", "3:3 pattern"},
    {SHOP "keyspaces:\n  'a:{x:float}': {table: t}\n", "3:3 pattern"},
    {SHOP "keyspaces:\n  'a:{x': {table: t}\n", "3:3 pattern"},
    {SHOP "keyspaces:\n  'a:{x}': {table: t}\n  'a:{y}': {table: u}\n", "4:3 ambiguous"},
    /* YAML */
    {"server: {\n" REST, "3:1 yaml"},
    {"server:\n  password: \"x\n", "2:13 yaml"},
    {"server:\n\tthreads: 1\n" REST, "2:1 tab"},
    {"server:\n  a: b: c\n" REST, "2:7 yaml"},
    {"server: &x {threads: 1}\n" REST, "1:9 anchor"},
    {"server: {threads: *x}\n" REST, "1:19 anchor; 1:19 type"},
    {"server: {threads: !!int 1}\n" REST, "1:19 tag"},
    {REST "---\n" REST, "3:1 yaml"},
    {"server: {threads: \"1\\0\"}\n" REST, "1:19 control; 1:19 type"},
    {"a: [[[[[[[[[1]]]]]]]]]\n", "1:11 depth"},
    {"server:\n  threads: \xff\n" REST, "2:12 encoding"},
    {"\xc3\xa4: \xc3\n\xe4\n" REST, "1:4 encoding; 2:1 encoding"},
    {"server:\n  threads: \x01\n" REST, "2:12 control"},
    {"# \xc3\xa4\xc3\xb6\r\nserver: {thread: 1}\r\n" REST, "2:10 unknown-setting"},
    {"# \xe2\x80\xa8server: {thread: 1}\n" REST, "2:10 unknown-setting"},
    {"%YAML 2.0\n---\n" REST, "1:1 yaml"},
};

static void every_fault_is_reported_at_its_place(void **state) {
    (void)state;
    unsigned wrong = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_status status;
        struct fb_conf *conf = case_load(rows[i].text, &status);
        assert_non_null(conf);
        char *faults = case_faults(conf);
        const char *expected = rows[i].faults;
        bool is_right = strcmp(faults, expected) == 0;
        if (!is_right)
            print_error("%s\nexpected %s\nis       %s\n\n", rows[i].text, expected, faults);
        wrong += !is_right;
        bool only_warns = strstr(expected, "w ") == expected && strstr(expected, "; ") == NULL;
        assert_int_equal(status, only_warns ? FB_OK : FB_CONFIG);
        free(faults);
        fb_conf_free(conf);
    }
    assert_int_equal(wrong, 0);
}

static void each_fault_says_what_to_do(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_status status;
        struct fb_conf *conf = case_load(rows[i].text, &status);
        for (size_t g = 0; g < conf->details->ndiagnostics; g++) {
            assert_true(strlen(conf->details->diagnostics[g].help) > 8);
            assert_true(strlen(conf->details->diagnostics[g].text) > 8);
        }
        fb_conf_free(conf);
    }
}

static const char twelve[] = "server:\n"
                             "  listen: 127.0.0.1\n"          /* 1 no port */
                             "  memory_max: 256\n"            /* 2 no unit */
                             "  evicton: lru\n"               /* 3 unknown, near */
                             "  password: hunter2\n"          /* 4 a secret in the file */
                             "sources:\n"
                             "  shop: {url: 'sqlite:shop.db', pool: 4, pool: 5}\n" /* 5 repeated */
                             "keyspaces:\n"
                             "  user:{id:int}:\n"
                             "    source: shpo\n"             /* 6 unknown source */
                             "    table: users\n"
                             "    ttl: forever\n"             /* 7 no time */
                             "  user:{name}:\n"               /* 8 ambiguous */
                             "    table: people\n"
                             "    class: catalog\n"           /* 9 unknown class */
                             "  views:{path:rest}:\n"
                             "    load: SELECT 1\n"
                             "    as: colum:hits\n"           /* 10 shape */
                             "    on_set: write\n"            /* 11 without write */
                             "    jitter: 95%\n";             /* 12 range */

static void twelve_faults_in_one_file_are_all_reported(void **state) {
    (void)state;
    fb_status status;
    struct fb_conf *conf = case_load(twelve, &status);
    assert_int_equal(status, FB_CONFIG);
    char *faults = case_faults(conf);
    assert_string_equal(faults, "2:11 address; 3:15 unit; 4:3 unknown-setting; 5:13 secret; 7:42 repeated; "
                                "10:13 unknown-source; 12:10 type; 13:3 ambiguous; 15:12 unknown-class; 18:9 choice; "
                                "19:13 conflict; 20:13 range");
    free(faults);
    fb_conf_free(conf);
}

static void a_report_has_place_line_caret_and_help(void **state) {
    (void)state;
    fb_status status;
    char expected[1024];
    struct fb_conf *conf = case_load("server:\n  evicton: lru\n" REST, &status);
    char *text = CASE_PRINTED(out, assert_int_equal(fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT), 1));
    snprintf(expected, sizeof expected,
             "%s:2:3: error[unknown-setting]: there is no setting 'evicton' in server\n"
             "    |   evicton: lru\n"
             "    |   ^^^^^^^\n"
             "help: did you mean 'eviction'?\n",
             conf->path);
    assert_string_equal(text, expected);
    free(text);
    text = CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_JSON));
    snprintf(expected, sizeof expected,
             "[{\"stage\":\"schema\",\"severity\":\"error\",\"code\":\"unknown-setting\","
             "\"file\":\"%s\",\"line\":2,\"column\":3,"
             "\"message\":\"there is no setting 'evicton' in server\",\"help\":\"did you mean 'eviction'?\"}]\n",
             conf->path);
    assert_string_equal(text, expected);
    free(text);
    fb_conf_free(conf);
}

static void lines_end_where_yaml_ends_them(void **state) {
    (void)state;
    static const char *const ends[] = {"\n", "\r", "\r\n", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < COUNT(ends); i++) {
        fb_status status;
        char text[256];
        snprintf(text, sizeof text, "# one%sserver: {thread: 1} # \xc3\xa4%s%s", ends[i], ends[i], REST);
        struct fb_conf *conf = case_load(text, &status);
        char *shown = CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT));
        assert_non_null(strstr(shown, ":2:10: error"));
        assert_non_null(strstr(shown, "\n    | server: {thread: 1} # \xc3\xa4\n    |          ^^^^^^\n"));
        free(shown);
        fb_conf_free(conf);
    }
}

static void nothing_in_a_file_steers_a_terminal(void **state) {
    (void)state;
    fb_status status;
    struct fb_conf *conf = case_load("server:\n  threads: \"\\e[2J\\x07\\u009b\"\n  '\\\xc2\x9b': 1\n" REST, &status);
    assert_int_equal(status, FB_CONFIG);
    char *text = CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT));
    for (const char *p = text; *p != '\0'; p++)
        assert_true(*p == '\n' || ((unsigned char)*p >= ' ' && *p != 0x7f));
    assert_null(strstr(text, "\xc2\x9b"));
    free(text);
    fb_conf_free(conf);
}

/* ---- bounds ----------------------------------------------------------------------------------------------------- */

static char *repeat(const char *head, const char *format, unsigned n) {
    return CASE_PRINTED(out, fputs(head, out); for (unsigned i = 0; i < n; i++) fprintf(out, format, i, i));
}

static void assert_faults(const char *text, const char *expected) {
    fb_status status;
    struct fb_conf *conf = case_load(text, &status);
    char *faults = case_faults(conf);
    assert_string_equal(faults, expected);
    free(faults);
    fb_conf_free(conf);
}

static void sizes_are_bounded(void **state) {
    (void)state;
    char *text = repeat("", "# %08u %08u xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", FB_CONF_FILE_MAX / 60);
    assert_faults(text, "0:0 file");
    free(text);
    text = repeat(REST "server:\n  listen:\n", "  - 127.0.0.1:1\n", FB_YAML_NODES_MAX);
    assert_faults(text, "19988:5 too-large");
    free(text);
    text = repeat(SHOP "keyspaces:\n", "  k%u: {table: t%u}\n", 1025);
    assert_faults(text, "1027:3 too-many");
    free(text);
    text = repeat(REST "server:\n", "  x%u: %u\n", 300);
    fb_status status;
    struct fb_conf *conf = case_load(text, &status);
    free(text);
    text = CASE_PRINTED(out, assert_int_equal(fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT), 300));
    assert_non_null(strstr(text, "\nand 100 more\n"));
    free(text);
    fb_conf_free(conf);
}

static const char whole[] =
    "server:\n  listen: [127.0.0.1:0, 'unix:/tmp/x']\n  memory_max: 64mb\n  eviction: lru\n"
    "sources:\n  shop: {url: \"sqlite:shop.db\", pool: 2, read_timeout: 250ms}\n"
    "classes:\n  slow: {ttl: 1h30m, jitter: 12.5%}\n"
    "keyspaces:\n  user:{id:int}:\n    table: users\n    class: slow\n    hide_columns: [a, b]\n"
    "  \"q:{x:rest}\":\n    load: |\n      SELECT *\n      FROM t WHERE x = :x\n    negative_ttl: off\n";

static void a_file_cut_anywhere_is_no_danger(void **state) {
    (void)state;
    for (size_t len = 0; len < sizeof whole; len++) {
        fb_status status;
        struct fb_conf *conf = case_load_bytes(whole, len, &status);
        assert_non_null(conf);
        char *text = CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT));
        assert_true(status == FB_OK || strstr(text, "error[") != NULL);
        free(text);
        fb_conf_free(conf);
    }
}

static void a_file_changed_at_random_is_no_danger(void **state) {
    (void)state;
    static const char bytes[] = "{}[]:,-'\"|>&*!%#@`?\n \t\0\xff\x80\xc2%0aZ=~";
    struct fb_rng rng = {20261123};
    for (unsigned round = 0; round < 3000; round++) {
        char text[sizeof whole];
        memcpy(text, whole, sizeof whole);
        for (unsigned i = 0, n = 1 + (unsigned)fb_rng_below(&rng, 4); i < n; i++)
            text[fb_rng_below(&rng, sizeof text)] = bytes[fb_rng_below(&rng, sizeof bytes)];
        fb_status status;
        struct fb_conf *conf = case_load_bytes(text, sizeof text - 1, &status);
        assert_non_null(conf);
        free(CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT)));
        free(CASE_PRINTED(out, fb_conf_print(conf, out, true)));
        fb_conf_free(conf);
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static const char *const texts[] = {whole, twelve};
    for (size_t t = 0; t < COUNT(texts); t++) {
        struct fb_conf_args args = {.path = case_write("f.yaml", texts[t], strlen(texts[t]), 0600)};
        fb_status status = FB_NOMEM;
        for (int64_t n = 0; status == FB_NOMEM; n++) {
            struct fb_conf *conf = NULL;
            fb_err err = {0};
            fb_mem_fail_after(n);
            status = fb_conf_load(&args, &conf, &err);
            fb_mem_fail_after(-1);
            assert_true((status == FB_NOMEM) == (conf == NULL));
            fb_conf_free(conf);
            assert_true(n < 1000);
        }
        assert_int_equal(status, t == 0 ? FB_OK : FB_CONFIG);
    }
}

/* ---- the stage that asks databases ------------------------------------------------------------------------------ */

static void faults_that_a_database_finds_are_placed_too(void **state) {
    (void)state;
    sqlite3 *db;
    char text[2048];
    assert_int_equal(sqlite3_open(case_path("shop.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    snprintf(text, sizeof text,
             "sources:\n"
             "  shop: {url: 'sqlite:%s'}\n"
             "  gone: {url: 'sqlite:/nowhere/x.db'}\n"
             "  odd: {url: 'mongodb://h'}\n"
             "keyspaces:\n"
             "  user:{id}: {source: shop, table: usres}\n"
             "  name:{name}: {source: shop, table: users}\n"
             "  gone:{id}: {source: gone, table: x}\n"
             "  odd:{id}: {source: odd, table: x}\n"
             "  l:{id}: {source: shop, load: SELECT nmae FROM users WHERE id = :id}\n"
             "  h:{id}: {source: shop, load: 'SELECT id, name FROM users WHERE id = :id', hide_columns: [id, nam]}\n"
             "  c:{id}: {source: shop, load: 'SELECT id, name FROM users WHERE id = :id', as: 'column:nme'}\n",
             case_path("shop.db"));
    fb_status status;
    fb_cache *cache = NULL;
    struct fb_conf *conf = case_load(text, &status);
    assert_int_equal(status, FB_OK);
    assert_int_equal(fb_conf_apply(conf, &cache), FB_CONFIG);
    assert_null(cache);
    char *faults = case_faults(conf);
    assert_string_equal(faults, "3:15 source-down; 4:14 source; 6:36 keyspace; 7:3 keyspace; 10:32 keyspace; "
                                "11:96 keyspace; 12:81 keyspace");
    free(faults);
    faults = CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT));
    assert_non_null(strstr(faults, ": there is no table 'usres'\n"));
    assert_non_null(strstr(faults, "help: did you mean 'users'?\n"));
    free(faults);
    fb_conf_free(conf);
}

static void a_source_that_is_away_is_told_from_a_wrong_one(void **state) {
    (void)state;
    fb_status status;
    fb_cache *cache = NULL;
    struct fb_conf *conf =
        case_load("sources: {s: {url: 'sqlite:/nowhere/x.db'}}\nkeyspaces: {a: {table: t}}\n", &status);
    assert_int_equal(fb_conf_apply(conf, &cache), FB_DOWN);
    fb_conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_reported_at_its_place),
        cmocka_unit_test(each_fault_says_what_to_do),
        cmocka_unit_test(twelve_faults_in_one_file_are_all_reported),
        cmocka_unit_test(a_report_has_place_line_caret_and_help),
        cmocka_unit_test(lines_end_where_yaml_ends_them),
        cmocka_unit_test(nothing_in_a_file_steers_a_terminal),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(a_file_cut_anywhere_is_no_danger),
        cmocka_unit_test(a_file_changed_at_random_is_no_danger),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(faults_that_a_database_finds_are_placed_too),
        cmocka_unit_test(a_source_that_is_away_is_told_from_a_wrong_one),
    };
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
