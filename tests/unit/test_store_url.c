/* Claims of base/store_url.h: what is written comes out in parts, and what is not well written is refused. */
#include "base/store_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_url_comes_apart(void **state) {
    (void)state;
    static const struct { const char *url, *shown, *user, *password; unsigned db; bool is_tls; } cases[] = {
        {"redis://127.0.0.1", "127.0.0.1:6379", "", "", 0, false},
        {"redis://cache.example:7000/3", "cache.example:7000", "", "", 3, false},
        {"redis://h/", "h:6379", "", "", 0, false},
        {"rediss://app@h:1/15", "h:1", "app", "", 15, true},
        {"redis://app:p%40ss%3a@[::1]:6380", "[::1]:6380", "app", "p@ss:", 0, false},
        {"redis://:only@[::1]", "[::1]:6379", "", "only", 0, false},
        {"unix:///run/redis.sock", "/run/redis.sock", "", "", 0, false},
        {"unix:///a%20b?db=7", "/a b", "", "", 7, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fb_store_url url;
        char shown[FB_STORE_TEXT_MAX + 16];
        fb_err err;
        assert_int_equal(fb_store_url_parse(cases[i].url, &url, &err), FB_OK);
        assert_string_equal(fb_store_url_print(&url, shown), cases[i].shown);
        assert_string_equal(url.user, cases[i].user);
        assert_string_equal(url.password, cases[i].password);
        assert_int_equal(url.db, cases[i].db);
        assert_int_equal(url.is_tls, cases[i].is_tls);
    }
}

static void lists_of_addresses_are_sentinels_and_clusters(void **state) {
    (void)state;
    static const struct {
        const char *url, *shown, *service, *last;
        enum fb_store_kind kind;
        bool is_tls;
        unsigned count, last_port, db;
    } cases[] = {
        {"sentinel://a,b:7,[::1]/shop", "a:26379 and 2 more", "shop", "::1", FB_STORE_SENTINEL, false, 3, 26379, 0},
        {"sentinels://u:p@a:1/my%2fshop?db=3", "a:1", "my/shop", "a", FB_STORE_SENTINEL, true, 1, 1, 3},
        {"sentinel://a/s?sentinel_user=sam&db=1&sentinel_password=x%26y", "a:26379", "s", "a", FB_STORE_SENTINEL, false,
         1, 26379, 1},
        {"cluster://a,b", "a:6379 and 1 more", "", "b", FB_STORE_CLUSTER, false, 2, 6379, 0},
        {"clusters://:p@a:7000/0", "a:7000", "", "a", FB_STORE_CLUSTER, true, 1, 7000, 0},
        {"redis://a:9", "a:9", "", "a", FB_STORE_SINGLE, false, 1, 9, 0},
    };
    struct fb_store_url url;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char shown[FB_STORE_TEXT_MAX + 16];
        fb_err err;
        assert_int_equal(fb_store_url_parse(cases[i].url, &url, &err), FB_OK);
        assert_int_equal(url.kind, cases[i].kind);
        assert_string_equal(fb_store_url_print(&url, shown), cases[i].shown);
        assert_string_equal(url.service, cases[i].service);
        assert_int_equal(url.is_tls, cases[i].is_tls);
        assert_int_equal(url.db, cases[i].db);
        assert_int_equal(url.seeds_count, cases[i].count);
        assert_string_equal(url.seeds[url.seeds_count - 1].host, cases[i].last);
        assert_int_equal(url.seeds[url.seeds_count - 1].port, cases[i].last_port);
    }
    assert_int_equal(fb_store_url_parse(cases[2].url, &url, NULL), FB_OK);
    assert_string_equal(url.sentinel_user, "sam");
    assert_string_equal(url.sentinel_password, "x&y");
}

static void what_is_no_url_is_refused_and_shows_no_password(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "redis", "redis:", "redis://", "http://h", "redis://h:x", "redis://h:99999", "redis://h/x", "redis://h/16",
        "redis://h/1/2", "redis://u:secret@", "redis://u:se%zzcret@h", "redis://u:secret%00@h", "redis://u:secret%4@h",
        "unix://relative", "unix:///s?db=x", "unix:///s?x=1", "redis://a:b:c", "redis://h?db=1",
        "redis://a,b", "sentinel://a", "sentinel://a/", "sentinel:///s", "sentinel://a,/s", "sentinel://,a/s",
        "sentinel://a/s/t", "sentinel://a/s?db", "sentinel://a/s?db=16", "sentinel://a/s?other=1", "sentinel://a/s?",
        "sentinel://a/s?sentinel_password=secret%0", "cluster://", "cluster://a/1", "cluster://a?db=0", "cluster://a:0",
        "cluster://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fb_store_url url;
        fb_err err = {0};
        assert_int_equal(fb_store_url_parse(bad[i], &url, &err), FB_INVALID);
        assert_true(err.text[0] != '\0' && strstr(err.text, "secret") == NULL);
    }
    char path[400] = "unix:///", host[600] = "redis://";
    memset(path + 8, 'x', 300);
    memset(host + 8, 'x', 500);
    struct fb_store_url url;
    assert_int_equal(fb_store_url_parse(path, &url, NULL), FB_INVALID);
    assert_int_equal(fb_store_url_parse(host, &url, NULL), FB_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_comes_apart),
        cmocka_unit_test(lists_of_addresses_are_sentinels_and_clusters),
        cmocka_unit_test(what_is_no_url_is_refused_and_shows_no_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
