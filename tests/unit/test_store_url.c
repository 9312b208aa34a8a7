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

static void what_is_no_url_is_refused_and_shows_no_password(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "redis", "redis:", "redis://", "http://h", "redis://h:x", "redis://h:99999", "redis://h/x", "redis://h/16",
        "redis://h/1/2", "redis://u:secret@", "redis://u:se%zzcret@h", "redis://u:secret%00@h", "redis://u:secret%4@h",
        "unix://relative", "unix:///s?db=x", "unix:///s?x=1", "redis://a:b:c", "redis://h?db=1",
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
        cmocka_unit_test(what_is_no_url_is_refused_and_shows_no_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
