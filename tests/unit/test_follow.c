/* Claims of proto/follow.h: a reply ends where the parser of whole replies says it ends, however it is cut. */
#include "proto/follow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const replies[] = {
    "+OK\r\n", "-ERR no\r\n", ":0\r\n", ":-12\r\n", "$0\r\n\r\n", "$5\r\na\r\nbc\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "_\r\n",
    "#t\r\n", ",1.5\r\n", "(123\r\n", "=7\r\ntxt:a\r\n\r\n", "!5\r\nERR x\r\n", "*2\r\n*0\r\n*1\r\n$1\r\n*\r\n",
    "%1\r\n+a\r\n*2\r\n:1\r\n_\r\n", "~2\r\n:1\r\n:2\r\n", ">2\r\n+a\r\n+b\r\n", "*3\r\n$-1\r\n%0\r\n*1\r\n*1\r\n*1\r\n:7\r\n",
    "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", "*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:2\r\n:3\r\n",
};
enum { REPLIES = sizeof replies / sizeof replies[0] };

static void a_reply_ends_where_it_ends(void **state) {
    (void)state;
    for (size_t i = 0; i < REPLIES; i++) {
        char two[256];
        size_t len = strlen(replies[i]);
        snprintf(two, sizeof two, "%s+next\r\n", replies[i]);
        for (size_t cut = 0; cut <= len; cut++) {
            struct fb_resp_follow follow = FB_RESP_FOLLOW_INIT;
            enum fb_resp_verdict verdict = FB_RESP_MORE;
            size_t n = cut > 0 ? fb_resp_follow(&follow, two, cut, &verdict) : 0;
            assert_int_equal(n, cut);
            assert_int_equal(verdict, cut == len ? FB_RESP_DONE : FB_RESP_MORE);
            if (cut < len)
                n += fb_resp_follow(&follow, two + cut, strlen(two) - cut, &verdict);
            assert_int_equal(verdict, FB_RESP_DONE);
            assert_int_equal(n, len);
            assert_int_equal(follow.type, replies[i][0]);
            n = fb_resp_follow(&follow, two + len, strlen(two) - len, &verdict);
            assert_int_equal(verdict, FB_RESP_DONE);
            assert_int_equal(n, strlen("+next\r\n"));
        }
    }
}

static void the_parser_of_whole_replies_agrees(void **state) {
    (void)state;
    struct fb_resp_reply_limits limits = {.nodes_max = 100, .bulk_max = 100};
    for (size_t i = 0; i < REPLIES; i++) {
        size_t size = 0;
        fb_err err;
        const char *end = replies[i] + strlen(replies[i]);
        assert_int_equal(fb_resp_reply(replies[i], end, &limits, NULL, &size, &err), FB_RESP_DONE);
        assert_int_equal(size, strlen(replies[i]));
    }
}

static void what_is_no_reply_is_said(void **state) {
    (void)state;
    static const char *const bad[] = {
        "x", "\r\n", "$x\r\n", "$\r\n", "$-2\r\n", "$--1\r\n", "*1\rx", "%-1\r\n", "*99999999999999999999\r\n",
        "*9999999999\r\n", "*1\r\nx", "$2\r\nabcd\r\n", "$1\r\na\rx", "HTTP/1.1 200 OK\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fb_resp_follow follow = FB_RESP_FOLLOW_INIT;
        enum fb_resp_verdict verdict;
        (void)fb_resp_follow(&follow, bad[i], strlen(bad[i]), &verdict);
        assert_int_equal(verdict, FB_RESP_BAD);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_ends_where_it_ends),
        cmocka_unit_test(the_parser_of_whole_replies_agrees),
        cmocka_unit_test(what_is_no_reply_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
