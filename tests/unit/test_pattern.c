/* Shows that a key and a row name each other: by tables for the grammar and the types' edges, and by small worlds in
 * which every key up to a length is tried against every pattern (cutting and rendering are inverse; the router finds
 * what trying all patterns finds; two patterns that any key shares are never called disjoint, and the example of an
 * ambiguity matches both). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "rows/near.h"
#include "rows/overlap.h"
#include "rows/pattern.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct fb_pattern parse(const char *text) {
    struct fb_pattern p;
    fb_err err;
    if (fb_pattern_parse(text, &p, &err) != FB_OK)
        fail_msg("'%s': %s", text, err.text);
    return p;
}

static bool matches(const struct fb_pattern *p, fb_bytes key) {
    fb_bytes params[FB_PATTERN_PARAMS_MAX];
    fb_status status = fb_pattern_match(p, key, params);
    assert_true(status == FB_OK || status == FB_NOMAP);
    return status == FB_OK;
}

static bool text_matches(const char *pattern, const char *key) {
    struct fb_pattern p = parse(pattern);
    bool result = matches(&p, FB_STR(key));
    fb_pattern_finish(&p);
    return result;
}

/* ---- the grammar ---- */

static void patterns_read_back_as_they_were_written(void **state) {
    (void)state;
    static const char *const texts[] = {
        "user:{id:int}",
        "user:{id}",
        "{k:rest}",
        "a",
        "orders:by-user:{user_id:int}",
        "a\\{b\\}{c}",
        "back\\\\slash:{x}",
        "{a}-{b}.json",
        "t:{u:uuid}:{h:hex}:{d:date}:{r:rest}",
        "\xc3\xa9:{name}",
        "{a}:{b}:{c}:{d}:{e}:{f}:{g}:{h}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct fb_pattern p = parse(texts[i]);
        char *back = fb_pattern_format(&p);
        assert_string_equal(back, texts[i]);
        fb_mem_free(back);
        fb_pattern_finish(&p);
    }
}

static void patterns_that_mean_nothing_are_refused_with_a_reason(void **state) {
    (void)state;
    static const struct { const char *text, *reason; } rows[] = {
        {"", "needs a pattern"},
        {"user:{id", "'{' without '}'"},
        {"user:id}", "'}' without '{'"},
        {"user:{}", "letters, digits"},
        {"user:{1a}", "letters, digits"},
        {"user:{a b}", "letters, digits"},
        {"user:{id:integer}", "unknown type 'integer'"},
        {"user:{id:}", "unknown type ''"},
        {"user:{a}{b}", "text between"},
        {"user:{a:rest}:x", "must come last"},
        {"user:{a}:{a}", "twice"},
        {"n{a:int}1", "may not begin with '1'"},
        {"n{a:int}-x", "may not begin with '-'"},
        {"n{a:hex}b", "may not begin with 'b'"},
        {"{a}:{b}:{c}:{d}:{e}:{f}:{g}:{h}:{i}", "more than 8"},
        {"user\xff:{id}", "UTF-8"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_pattern p;
        fb_err err;
        assert_int_equal(fb_pattern_parse(rows[i].text, &p, &err), FB_CONFIG);
        if (strstr(err.text, rows[i].reason) == NULL)
            fail_msg("'%s': %s", rows[i].text, err.text);
    }
    char longest[FB_PATTERN_LEN_MAX + 2];
    struct fb_pattern p;
    memset(longest, 'a', sizeof longest);
    longest[FB_PATTERN_LEN_MAX + 1] = 0;
    assert_int_equal(fb_pattern_parse(longest, &p, NULL), FB_CONFIG);
    longest[FB_PATTERN_LEN_MAX] = 0;
    assert_int_equal(fb_pattern_parse(longest, &p, NULL), FB_OK);
    fb_pattern_finish(&p);
}

/* ---- types ---- */

static void an_int_is_the_one_way_to_write_a_64_bit_number(void **state) {
    (void)state;
    static const char *const good[] = {"0",         "1", "-1", "42", "9223372036854775807", "-9223372036854775808",
                                       "1000000000"};
    static const char *const bad[] = {
        "", "-", "00", "-0", "+1", "042", "-042", " 1", "1 ", "1.0", "1e3", "0x10", "9223372036854775808",
        "-9223372036854775809", "10000000000000000000", "99999999999999999999", "18446744073709551616",
    };
    struct fb_pattern p = parse("n:{n:int}");
    char key[64];
    for (size_t i = 0; i < COUNT(good); i++) {
        snprintf(key, sizeof key, "n:%s", good[i]);
        assert_true(matches(&p, FB_STR(key)));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(key, sizeof key, "n:%s", bad[i]);
        assert_false(matches(&p, FB_STR(key)));
    }
    /* Around every power of ten and at both ends of the range, what printf writes matches. */
    for (int64_t power = 1; power <= INT64_MAX / 10; power *= 10)
        for (int64_t n = power - 2; n <= power + 2; n++)
            for (int sign = -1; sign <= 1; sign += 2) {
                snprintf(key, sizeof key, "n:%" PRId64, sign * n);
                assert_true(matches(&p, FB_STR(key)));
            }
    fb_pattern_finish(&p);
}

static void a_date_is_a_real_day(void **state) {
    (void)state;
    struct fb_pattern p = parse("{d:date}");
    char key[64];
    for (int year = 1890; year <= 2110; year++)
        for (int month = 0; month <= 13; month++)
            for (int day = 0; day <= 32; day++) {
                struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
                (void)timegm(&tm); /* moves days that do not exist to others */
                bool is_real = tm.tm_year == year - 1900 && tm.tm_mon == month - 1 && tm.tm_mday == day;
                snprintf(key, sizeof key, "%04d-%02d-%02d", year, month, day);
                if (matches(&p, FB_STR(key)) != is_real)
                    fail_msg("%s", key);
            }
    static const char *const bad[] = {"2026-1-01", "2026-01-1", "20260101", "2026/01/01", "2026-01-01 ", "12026-01-01"};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(matches(&p, FB_STR(bad[i])));
    fb_pattern_finish(&p);
}

static void types_and_cuts_hold_at_their_edges(void **state) {
    (void)state;
    static const struct { const char *pattern, *key; bool matches; } rows[] = {
        {"u:{u:uuid}", "u:00112233-4455-6677-8899-aabbccddeeff", true},
        {"u:{u:uuid}", "u:00112233-4455-6677-8899-AABBCCDDEEFF", false},
        {"u:{u:uuid}", "u:00112233445566778899aabbccddeeff", false},
        {"u:{u:uuid}", "u:00112233-4455-6677-8899-aabbccddeeff0", false},
        {"u:{u:uuid}", "u:00112233-4455-6677-8899-aabbccddeef", false},
        {"h:{h:hex}", "h:00ff", true},
        {"h:{h:hex}", "h:00FF", false},
        {"h:{h:hex}", "h:", false},
        {"user:{id}", "user:a:b", false},
        {"user:{id}", "user:", false},
        {"user:{id}", "user", false},
        {"user:{id}", "xuser:1", false},
        {"user:{id}", "user:a-b c\xc3\xa9", true},
        {"user:{id}", "user:a\xc3", false},
        {"user:{id}", "user:\xed\xa0\x80", false},
        {"user:{id}", "user:\xc0\x80", false},
        {"f:{r:rest}", "f:a:b:c", true},
        {"f:{r:rest}", "f:", false},
        {"{a}-{b}", "x-y", true},
        {"{a}-{b}", "x-y-z", true}, /* x and y-z */
        {"{a}-{b}", "--x", true},   /* a value has at least one byte: '-' and 'x' */
        {"{a}-{b}", "-x", false},
        {"{a}.json", "x.json.json", true},
        {"{a}.json", ".json", false},
        {"{a}:x{b}", "p:q:xr", false},
        {"{d:date}-{b}", "2026-01-02-b", true},
        {"{n:int}x", "12x", true},
        {"a\\{b\\}", "a{b}", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (text_matches(rows[i].pattern, rows[i].key) != rows[i].matches)
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].key);
    struct fb_pattern p = parse("user:{id}");
    assert_false(matches(&p, fb_bytes_of("user:a\0b", 8)));
    fb_pattern_finish(&p);
}

/* ---- near misses ---- */

static void a_key_that_matches_nothing_is_told_why(void **state) {
    (void)state;
    static const struct { const char *pattern, *key, *why; } rows[] = {
        {"user:{id:int}", "user:abc", "'abc' is not a whole number in its shortest form"},
        {"user:{id:int}", "user:042", "'042' is not a whole number in its shortest form"},
        {"user:{id:int}", "usr:42", "it says 'usr:' and not 'user:'"},
        {"user:{id:int}", "USER:42", "it says 'USER:' and not 'user:'"},
        {"user:{id:int}", "users:42", "it says 'users:' and not 'user:'"},
        {"user:{id:int}", "user:", "{id} is empty"},
        {"user:{id:int}", "user:42:x", "':x' is left over"},
        {"user:{id:int}:orders", "user:42:order", "it says ':order' and not ':orders'"},
        {"user:{id:int}:orders", "user:42", NULL},
        {"user:{id:int}", "product:42", NULL},
        {"user:{id:int}", "", NULL},
        {"user:{id:int}", "user", "it says 'user' and not 'user:'"},
        {"user:{id}", "user:a\xff", "it is not valid UTF-8"},
        {"day:{d:date}", "day:2026-02-30", "'2026-02-30' is not a day as YYYY-MM-DD"},
        {"u:{u:uuid}", "u:1", "'1' is not a UUID in lower case"},
        {"{id}", "a:b", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_pattern p = parse(rows[i].pattern);
        char why[FB_NEAR_WHY_MAX];
        unsigned cost = fb_pattern_near(&p, FB_STR(rows[i].key), why);
        if (rows[i].why == NULL ? cost != 0 : cost == 0 || strcmp(why, rows[i].why) != 0)
            fail_msg("'%s' and '%s': %u, %s", rows[i].pattern, rows[i].key, cost, why);
        fb_pattern_finish(&p);
    }
}

static void nearer_patterns_cost_less(void **state) {
    (void)state;
    static const char *const order[] = {"user:42x", "user:42:x", "usr:42:x"}; /* for user:{id:int} */
    struct fb_pattern p = parse("user:{id:int}");
    char why[FB_NEAR_WHY_MAX];
    for (size_t i = 1; i < COUNT(order); i++)
        assert_true(fb_pattern_near(&p, FB_STR(order[i - 1]), why) < fb_pattern_near(&p, FB_STR(order[i]), why));
    fb_pattern_finish(&p);
}

/* ---- small worlds ---- */

static const char *const world_patterns[] = {
    "a",         "{x}",       "{x:rest}",     "{x:int}",   "{x:hex}",   "a{x}",
    "{x}a",      "{x}-{y}",   "{x}:{y}",      "a:{x}",     "{x}:a",     "a{x:rest}",
    "{x:int}:a", "{x:hex}:a", "1{x}",         "{x}-a",     "{x}-a{y}",  "{x}:1{y:int}",
    "a:{x}:a",   "a:{x}-{y}", "{x}--{y}",     "{x}-a-{y}", "a-{x:hex}", "{x}aa{y}",
    "{x}aaa{y}", "{x}aba{y}", "a:a",          "{x}-1",     "{x}:-{y}",  "{x:int}a{y}",
    "{x}-{y}-a", "{x}a{y}:a", "{x}1-{y:int}", "{x}-:a",    "{x}aab",    "{x}a-a{y:rest}",
};
enum { NWORLD = COUNT(world_patterns) };
static const char alphabet[] = "a1-:b";

/* All keys over the alphabet up to a length, as a counter. */
static size_t key_at(uint32_t number, char *out, size_t max) {
    uint32_t n = sizeof alphabet - 1, first = 0, count = 1;
    size_t len = 0;
    while (number >= first + count) {
        first += count;
        count *= n;
        if (++len > max)
            return SIZE_MAX;
    }
    number -= first;
    for (size_t i = 0; i < len; i++, number /= n)
        out[i] = alphabet[number % n];
    return len;
}

static void cutting_and_rendering_are_inverse(void **state) {
    (void)state;
    char text[16];
    size_t len;
    for (size_t i = 0; i < NWORLD; i++) {
        struct fb_pattern p = parse(world_patterns[i]);
        fb_buf out = FB_BUF_INIT;
        unsigned matched = 0;
        for (uint32_t k = 1; (len = key_at(k, text, 6)) != SIZE_MAX; k++) {
            fb_bytes params[FB_PATTERN_PARAMS_MAX];
            if (fb_pattern_match(&p, fb_bytes_of(text, len), params) != FB_OK)
                continue;
            matched++;
            out.len = 0;
            assert_int_equal(fb_pattern_render(&p, params, &out), FB_OK);
            assert_int_equal(out.len, len);
            assert_memory_equal(out.data, text, len);
        }
        assert_true(matched > 0);
        fb_buf_free(&out);
        fb_pattern_finish(&p);
    }
}

static void two_rows_never_get_one_key(void **state) {
    (void)state;
    char a[8], b[8];
    for (size_t i = 0; i < NWORLD; i++) {
        struct fb_pattern p = parse(world_patterns[i]);
        fb_buf out = FB_BUF_INIT;
        for (uint32_t k = 1; p.nparams > 0 && k < 156; k++) /* all values up to three bytes, in pairs */
            for (uint32_t m = 1; m < (p.nparams > 1 ? 156 : 2); m++) {
                fb_bytes params[FB_PATTERN_PARAMS_MAX] = {fb_bytes_of(a, key_at(k, a, 3)),
                                                          fb_bytes_of(b, key_at(m, b, 3))};
                fb_bytes back[FB_PATTERN_PARAMS_MAX];
                out.len = 0;
                if (fb_pattern_render(&p, params, &out) != FB_OK) {
                    assert_int_equal(out.len, 0);
                    continue;
                }
                assert_int_equal(fb_pattern_match(&p, fb_bytes_of(out.data, out.len), back), FB_OK);
                for (unsigned n = 0; n < p.nparams; n++) {
                    assert_int_equal(back[n].len, params[n].len);
                    assert_memory_equal(back[n].data, params[n].data, back[n].len);
                }
            }
        fb_buf_free(&out);
        fb_pattern_finish(&p);
    }
}

/* One bit per key of the world: does the pattern match it? */
enum { NKEYS = 19531 }; /* all keys up to 6 bytes */
static unsigned char matched_by[NWORLD][NKEYS];

static void match_the_world(void) {
    char text[16];
    for (size_t i = 0; i < NWORLD; i++) {
        struct fb_pattern p = parse(world_patterns[i]);
        for (uint32_t k = 1; k < NKEYS; k++)
            matched_by[i][k] = matches(&p, fb_bytes_of(text, key_at(k, text, 6)));
        fb_pattern_finish(&p);
    }
}

static void check_pair(size_t i, size_t k, unsigned *seen) {
    struct fb_pattern a = parse(world_patterns[i]), b = parse(world_patterns[k]);
    fb_buf example = FB_BUF_INIT;
    enum fb_overlap overlap;
    bool share = false, a_inside = true, b_inside = true;
    for (uint32_t n = 1; n < NKEYS; n++) {
        share = share || (matched_by[i][n] && matched_by[k][n]);
        a_inside = a_inside && (!matched_by[i][n] || matched_by[k][n]);
        b_inside = b_inside && (!matched_by[k][n] || matched_by[i][n]);
    }
    assert_int_equal(fb_overlap_compare(&a, &b, &overlap, &example), FB_OK);
    seen[overlap]++;
    bool is_right = overlap == FB_OVERLAP_AMBIGUOUS  ? matches(&a, fb_bytes_of(example.data, example.len)) &&
                                                           matches(&b, fb_bytes_of(example.data, example.len))
                    : overlap == FB_OVERLAP_NONE     ? !share
                    : overlap == FB_OVERLAP_A_INSIDE ? share && a_inside
                    : overlap == FB_OVERLAP_B_INSIDE ? share && b_inside
                                                     : false;
    /* And not called ambiguous where the world shows that one lies inside the other and is more literal. */
    size_t na = fb_pattern_literal_len(&a), nb = fb_pattern_literal_len(&b);
    if (overlap == FB_OVERLAP_AMBIGUOUS && ((a_inside && na > nb) || (b_inside && nb > na))) {
        /* A key longer than the world's may still tell them apart; the patterns that do so are listed. */
        is_right = is_right && (strstr(world_patterns[i], "-a-") != NULL || strstr(world_patterns[k], "-a-") != NULL ||
                                strstr(world_patterns[i], "aba") != NULL || strstr(world_patterns[k], "aba") != NULL ||
                                strstr(world_patterns[i], "a-a") != NULL || strstr(world_patterns[k], "a-a") != NULL);
    }
    if (!is_right)
        fail_msg("'%s' and '%s': %d, example '%.*s'", world_patterns[i], world_patterns[k], overlap, (int)example.len,
                 example.data);
    fb_buf_free(&example);
    fb_pattern_finish(&a);
    fb_pattern_finish(&b);
}

static void overlaps_are_told_exactly(void **state) {
    (void)state;
    unsigned seen[5] = {0};
    match_the_world();
    for (size_t i = 0; i < NWORLD; i++)
        for (size_t k = 0; k < NWORLD; k++)
            check_pair(i, k, seen);
    for (int kind = FB_OVERLAP_NONE; kind <= FB_OVERLAP_AMBIGUOUS; kind++)
        assert_true(seen[kind] > 20);
    assert_int_equal(seen[FB_OVERLAP_UNKNOWN], 0);
}

/* Random sets of patterns that the router accepts; every key of the world goes where trying all patterns says. */
static void the_router_finds_the_most_literal_match(void **state) {
    (void)state;
    struct fb_rng rng = {20261123};
    char text[16];
    match_the_world();
    unsigned several = 0;
    for (int round = 0; round < 60; round++) {
        struct fb_router *router = fb_router_create();
        size_t added[NWORLD], literal[NWORLD], n = 0;
        for (int tries = 0; tries < 12; tries++) {
            size_t i = fb_rng_below(&rng, NWORLD);
            struct fb_pattern p = parse(world_patterns[i]);
            if (fb_router_add(router, &p, (int)n, NULL) == FB_OK) {
                literal[n] = fb_pattern_literal_len(&p);
                added[n++] = i;
            }
            fb_pattern_finish(&p);
        }
        for (uint32_t k = 1; k < NKEYS; k++) {
            int best = -1;
            for (size_t m = 0; m < n; m++)
                if (matched_by[added[m]][k]) {
                    several += best >= 0;
                    if (best < 0 || literal[m] > literal[best])
                        best = (int)m;
                }
            assert_int_equal(fb_router_find(router, fb_bytes_of(text, key_at(k, text, 6))), best);
        }
        fb_router_destroy(router);
    }
    assert_true(several > 1000);
}

/* ---- overlap by name ---- */

static void ambiguous_patterns_are_refused_with_a_key_that_both_match(void **state) {
    (void)state;
    static const struct { const char *first, *second, *example; } rows[] = {
        {"user:{id}", "user:{name}", "'user:1'"},
        {"user:{id:int}", "user:{name}", "'user:1'"},
        {"a:{x}:c", "a:b:{y}", "'a:b:c'"},
        {"{any:rest}", "{all:rest}", "'1'"},
        {"d:{d:date}", "d:{x}", "-"},
        {"d:{d:uuid}", "d:{x:rest}", "-"},
        {"{x}-{y}", "{x}-b", NULL},
        {"{a}-{b}", "{a}:{b}", NULL},
        {"user:{id}", "user:me", NULL},
        {"user:{id}:x", "user:{r:rest}", NULL},
        {"user:{id:int}", "{any:rest}", NULL},
        {"n:{n:int}", "n:{d:date}", NULL},
        {"n:{h:hex}", "n:{d:date}", NULL},
        {"d:{d:date}", "d:2026-02-29", NULL}, /* no such day */
        {"d:{d:date}", "d:2028-02-29", NULL}, /* inside, and more literal */
        {"n:{n:int}", "n:9223372036854775808", NULL},
        {"user:{id:int}", "users:{id:int}", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int order = 0; order < 2; order++) {
            struct fb_pattern a = parse(order ? rows[i].second : rows[i].first),
                              b = parse(order ? rows[i].first : rows[i].second);
            struct fb_router *router = fb_router_create();
            fb_err err = {FB_OK, ""};
            assert_int_equal(fb_router_add(router, &a, 1, &err), FB_OK);
            fb_status status = fb_router_add(router, &b, 2, &err);
            if (status != (rows[i].example != NULL ? FB_CONFIG : FB_OK) ||
                (rows[i].example != NULL && strstr(err.text, rows[i].example) == NULL))
                fail_msg("'%s' and '%s': %s", rows[i].first, rows[i].second, err.text);
            fb_router_destroy(router);
            fb_pattern_finish(&a);
            fb_pattern_finish(&b);
        }
}

static void overlaps_know_the_edges_of_types(void **state) {
    (void)state;
    static const struct { const char *type, *literal; bool inside;
    } rows[] = {
        {"int", "9223372036854775807", true},
        {"int", "9223372036854775808", false},
        {"int", "-9223372036854775808", true},
        {"int", "-9223372036854775809", false},
        {"int", "0", true},
        {"int", "00", false},
        {"int", "-0", false},
        {"int", "-1", true},
        {"int", "8999999999999999999", true},
        {"date", "2000-02-29", true},
        {"date", "1900-02-29", false},
        {"date", "2026-12-31", true},
        {"date", "2026-13-01", false},
        {"date", "2026-00-01", false},
        {"date", "2026-04-31", false},
        {"date", "2026-01-00", false},
        {"hex", "0123456789abcdef", true},
        {"hex", "A", false},
        {"uuid", "00112233-4455-6677-8899-aabbccddeeff", true},
        {"uuid", "00112233-4455-6677-8899-aabbccddeefg", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char typed[64];
        snprintf(typed, sizeof typed, "x:{x:%s}", rows[i].type);
        struct fb_pattern a = parse(typed), b;
        snprintf(typed, sizeof typed, "x:%s", rows[i].literal);
        b = parse(typed);
        fb_buf example = FB_BUF_INIT;
        enum fb_overlap overlap;
        assert_int_equal(fb_overlap_compare(&a, &b, &overlap, &example), FB_OK);
        if (overlap != (rows[i].inside ? FB_OVERLAP_B_INSIDE : FB_OVERLAP_NONE) ||
            matches(&a, FB_STR(typed)) != rows[i].inside)
            fail_msg("%s and '%s'", rows[i].type, rows[i].literal);
        fb_buf_free(&example);
        fb_pattern_finish(&a);
        fb_pattern_finish(&b);
    }
}

static void a_thousand_keyspaces_are_told_apart(void **state) {
    (void)state;
    struct fb_router *router = fb_router_create();
    char text[64];
    for (int i = 0; i < FB_ROUTER_KEYSPACES_MAX; i++) {
        snprintf(text, sizeof text, "table%d:{id:int}:x", i);
        struct fb_pattern p = parse(text);
        assert_int_equal(fb_router_add(router, &p, i, NULL), FB_OK);
        fb_pattern_finish(&p);
    }
    struct fb_pattern more = parse("more:{id}");
    assert_int_equal(fb_router_add(router, &more, 0, NULL), FB_CONFIG);
    fb_pattern_finish(&more);
    for (int i = 0; i < FB_ROUTER_KEYSPACES_MAX; i++) {
        snprintf(text, sizeof text, "table%d:%d:x", i, i * 7);
        assert_int_equal(fb_router_find(router, FB_STR(text)), i);
    }
    assert_int_equal(fb_router_find(router, FB_STR("table1024:1:x")), -1);
    fb_router_destroy(router);
}

/* ---- memory ---- */

static void every_allocation_may_fail(void **state) {
    (void)state;
    /* The third cuts an edge of the trie in two. */
    static const char *const texts[] = {"user:{id:int}:{x}", "user:{id:int}:me", "use:{x}", "user:{id:int}:mx"};
    static const char *const keys[] = {"user:1:a", "user:1:me", "use:x", "user:1:mx"};
    unsigned failures = 0;
    for (int64_t n = 0;; n++) {
        fb_err err = {FB_OK, ""};
        fb_mem_fail_after(n);
        struct fb_router *router = fb_router_create();
        fb_status status = router == NULL ? FB_NOMEM : FB_OK;
        int added = 0;
        for (; added < (int)COUNT(texts) && status == FB_OK; added += status == FB_OK) {
            struct fb_pattern p;
            status = fb_pattern_parse(texts[added], &p, &err);
            if (status == FB_OK) {
                status = fb_router_add(router, &p, added, &err);
                fb_pattern_finish(&p);
            }
        }
        fb_mem_fail_after(-1);
        /* What was added is found as before, what was not is not there by half. */
        for (int i = 0; i < (int)COUNT(texts) && router != NULL; i++) {
            int want = i < added ? i : added > 0 && i != 2 ? 0 : -1;
            assert_int_equal(fb_router_find(router, FB_STR(keys[i])), want);
        }
        fb_router_destroy(router);
        if (status == FB_OK)
            break;
        assert_int_equal(status, FB_NOMEM);
        failures++;
    }
    assert_true(failures > 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_read_back_as_they_were_written),
        cmocka_unit_test(patterns_that_mean_nothing_are_refused_with_a_reason),
        cmocka_unit_test(an_int_is_the_one_way_to_write_a_64_bit_number),
        cmocka_unit_test(a_date_is_a_real_day),
        cmocka_unit_test(types_and_cuts_hold_at_their_edges),
        cmocka_unit_test(a_key_that_matches_nothing_is_told_why),
        cmocka_unit_test(nearer_patterns_cost_less),
        cmocka_unit_test(cutting_and_rendering_are_inverse),
        cmocka_unit_test(two_rows_never_get_one_key),
        cmocka_unit_test(overlaps_are_told_exactly),
        cmocka_unit_test(the_router_finds_the_most_literal_match),
        cmocka_unit_test(ambiguous_patterns_are_refused_with_a_key_that_both_match),
        cmocka_unit_test(overlaps_know_the_edges_of_types),
        cmocka_unit_test(a_thousand_keyspaces_are_told_apart),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
