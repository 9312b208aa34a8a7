/* Shows that JSON from clients is read strictly and exactly: the parser agrees with jansson on some hundred thousand
 * mutated texts (which are valid, and what every string means), tokens are the text's own bytes, and numbers, base64
 * and UTF-8 hold at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "rows/base64.h"
#include "rows/json.h"
#include "rows/number.h"
#include "base/utf8.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- JSON ---- */

static const char *const seeds[] = {
    "{\"id\":1,\"name\":\"Ann\",\"tags\":[1,2.5,-3e+10,true,false,null],\"deep\":{\"a\":{\"b\":[]}}}",
    "[\"\\u00e9\\ud83d\\ude00\\n\\t\\\\\\\"\\/\\b\\f\\r\", \"\xc3\xa9\xf0\x9f\x98\x80\", {}]",
    " { \"a\" : [ ] , \"b\" : \"\" } ",
    "-0.5e-7",
    "\"x\"",
    "[[[[[[1],[2]],{\"k\":[{}]}]]]]",
    "{\"n\":-0,\"m\":0.0,\"o\":10E5}",
};

static const char pieces[] = "{}[]:,\"\\/ u0019aefnrtbEe+-.\n\x01\xc3\xa9\xff\xed";

static size_t mutate(struct fb_rng *rng, char *text, size_t len, size_t cap) {
    for (unsigned n = (unsigned)fb_rng_below(rng, 4); n > 0; n--) {
        size_t at = fb_rng_below(rng, len + 1);
        char c = pieces[fb_rng_below(rng, sizeof pieces - 1)];
        switch (fb_rng_below(rng, 3)) {
        case 0:
            if (at < len) {
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            }
            break;
        case 1:
            if (len + 1 < cap) {
                memmove(text + at + 1, text + at, len - at);
                text[at] = c;
                len++;
            }
            break;
        default:
            if (at < len)
                text[at] = c;
        }
    }
    return len;
}

static void the_parser_agrees_with_jansson(void **state) {
    (void)state;
    struct fb_rng rng = {42};
    unsigned valid = 0, invalid = 0;
    for (int round = 0; round < 200000; round++) {
        char text[256];
        const char *seed = seeds[fb_rng_below(&rng, COUNT(seeds))];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        len = mutate(&rng, text, len, sizeof text);
        json_error_t error;
        json_t *oracle = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
        if (oracle == NULL && strstr(error.text, "overflow") != NULL)
            continue; /* jansson's doubles; we keep the text */
        bool ours = fb_json_is_valid(fb_bytes_of(text, len));
        if (ours != (oracle != NULL))
            fail_msg("'%.*s': %d, %s", (int)len, text, ours, error.text);
        valid += ours;
        invalid += !ours;
        json_decref(oracle);
    }
    assert_true(valid > 20000 && invalid > 20000);
}

static void strings_mean_what_jansson_says(void **state) {
    (void)state;
    struct fb_rng rng = {7};
    static const char *const parts[] = {
        "a",       "\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\u00E9",      "\\ud83d\\ude00", "\xc3\xa9",
        "\\u0000", "\\b", "\\f",  "\\r",  "\\t", " ",       "\xe2\x82\xac", "\\uFFFF",        "\\uDBFF\\uDFFF"};
    for (int round = 0; round < 20000; round++) {
        char text[256], out[256];
        size_t len = 0;
        text[len++] = '"';
        for (unsigned n = (unsigned)fb_rng_below(&rng, 8); n > 0; n--) {
            const char *part = parts[fb_rng_below(&rng, COUNT(parts))];
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        text[len++] = '"';
        json_t *oracle = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(oracle);
        assert_true(fb_json_is_valid(fb_bytes_of(text, len)));
        size_t n = fb_json_unescape(fb_bytes_of(text, len), out);
        assert_int_equal(n, json_string_length(oracle));
        assert_memory_equal(out, json_string_value(oracle), n);
        assert_true(n <= len);
        json_decref(oracle);
    }
}

static void members_are_the_texts_own_bytes(void **state) {
    (void)state;
    const char *text =
        " {\"big\" : 18446744073709551615, \"exact\":0.10000000000000000555,\"o\":{\"x\":[1, 2]} ,\"s\":\"\\u0061\"} ";
    static const struct { const char *name, *raw; enum fb_json_type type; } want[] = {
        {"\"big\"", "18446744073709551615", FB_JSON_NUMBER},
        {"\"exact\"", "0.10000000000000000555", FB_JSON_NUMBER},
        {"\"o\"", "{\"x\":[1, 2]}", FB_JSON_OBJECT},
        {"\"s\"", "\"\\u0061\"", FB_JSON_STRING},
    };
    struct fb_json json;
    struct fb_json_token name, value;
    size_t n = 0;
    fb_json_begin(&json, FB_STR(text));
    assert_true(fb_json_enter_object(&json));
    while (fb_json_member(&json, &name, &value)) {
        assert_true(n < COUNT(want));
        assert_int_equal(value.type, want[n].type);
        assert_int_equal(value.raw.len, strlen(want[n].raw));
        assert_memory_equal(value.raw.data, want[n].raw, value.raw.len);
        assert_memory_equal(name.raw.data, want[n].name, name.raw.len);
        n++;
    }
    assert_true(fb_json_finish(&json));
    assert_int_equal(n, COUNT(want));
}

static void faults_say_what_and_where(void **state) {
    (void)state;
    static const struct { const char *text, *fault; size_t at; } rows[] = {
        {"[1]", "an object is wanted", 0},     {"{\"a\":1", "',' or '}' is missing", 6},
        {"{\"a\" 1}", "':' is missing", 5},    {"{a:1}", "a name in quotes is missing", 1},
        {"{\"a\":1,}", "a name in quotes is missing", 7}, {"{\"a\":01}", "a number begins with 0", 6},
        {"{\"a\":\"\\x\"}", "an unknown escape", 7},      {"{\"a\":\"\\ud800\"}", "a surrogate without its partner", 7},
        {"{\"a\":1} x", "something follows the value", 8}, {"{\"a\":nul}", "a value is missing", 5},
        {"{\"a\":\"\xff\"}", "invalid UTF-8", 6},         {"", "an object is wanted", 0},
        {"{\"a\":1.}", "a digit is missing", 7},          {"{\"a\":\"\n\"}", "a control character in a string", 6},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_json json;
        struct fb_json_token name, value;
        fb_json_begin(&json, FB_STR(rows[i].text));
        if (fb_json_enter_object(&json))
            while (fb_json_member(&json, &name, &value))
                ;
        assert_false(fb_json_finish(&json));
        if (strcmp(json.fault, rows[i].fault) != 0 || (size_t)(json.at - json.begin) != rows[i].at)
            fail_msg("'%s': %s at %zu", rows[i].text, json.fault, (size_t)(json.at - json.begin));
    }
}

static void nesting_has_a_bound(void **state) {
    (void)state;
    char text[2 * FB_JSON_DEPTH_MAX + 4];
    for (int depth = FB_JSON_DEPTH_MAX; depth <= FB_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        assert_int_equal(fb_json_is_valid(fb_bytes_of(text, 2 * (size_t)depth)), depth == FB_JSON_DEPTH_MAX);
    }
}

/* ---- numbers ---- */

static void reals_print_as_the_shortest_text_that_reads_back(void **state) {
    (void)state;
    static const struct { double value; const char *text; } rows[] = {
        {0.1, "0.1"}, {0.1 + 0.2, "0.30000000000000004"}, {1, "1"}, {-0.0, "-0"}, {1e21, "1e+21"}, {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"}, {2.5, "2.5"}, {1.0 / 3, "0.3333333333333333"},
        {INFINITY, "Infinity"}, {-INFINITY, "-Infinity"},
    };
    char out[FB_NUMBER_TEXT_MAX];
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t n = fb_number_format_real(out, rows[i].value);
        assert_string_equal(out, rows[i].text);
        assert_int_equal(n, strlen(out));
    }
    struct fb_rng rng = {3};
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = fb_rng_next(&rng);
        double value, back;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        size_t n = fb_number_format_real(out, value);
        assert_true(n < sizeof out);
        assert_true(fb_number_real(fb_bytes_of(out, n), &back));
        assert_memory_equal(&back, &value, sizeof value);
        assert_true(fb_number_fits_real(fb_bytes_of(out, n)));
    }
}

static void numbers_ignore_the_locale(void **state) {
    (void)state;
    char out[FB_NUMBER_TEXT_MAX], dir[] = "/tmp/fb_locale_XXXXXX", command[200];
    /* A locale with a decimal comma, made here because a small system has none. */
    assert_non_null(mkdtemp(dir));
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null", dir);
    int made = system(command);
    setenv("LOCPATH", dir, 1);
    bool has_comma = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -r %s", dir);
    if (system(command) != 0 || made != 0 || !has_comma) {
        print_message("# SKIPPED: localedef cannot make de_DE.UTF-8 (Debian package locales)\n");
        skip();
    }
    snprintf(out, sizeof out, "%.1f", 1.5);
    assert_string_equal(out, "1,5");
    double value, sum;
    fb_number_format_real(out, 1.5);
    assert_string_equal(out, "1.5");
    assert_true(fb_number_real(FB_STR("2.25"), &value));
    assert_true(value == 2.25);
    assert_true(fb_number_add_real(0.5, FB_STR("0.25"), &sum) && sum == 0.75);
    setlocale(LC_ALL, "C");
}

static void what_a_double_cannot_hold_is_told(void **state) {
    (void)state;
    static const struct { const char *text; bool fits;
    } rows[] = {
        {"0", true},
        {"-0.00", true},
        {"10.25", true},
        {"0.1", true},
        {"1e3", true},
        {"1000", true},
        {"0.30000000000000004", true},
        {"123456789012345", true},
        {"0.123456789012345", true},
        {"12345678901234567890", false},
        {"0.1000000000000000055", false},
        {"1e400", false},
        {"1e-400", false},
        {"9007199254740993", false},
        {"9007199254740992", true},
        {"1e22", true},
        {"1.", false},
        {".5", false},
        {"+1", false},
        {"1e", false},
        {"", false},
        {"-", false},
        {"NaN", false},
        {"0x10", false},
        {"01", false},
        {"1 ", false},
        {"1e0000000000000000000000000000005", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (fb_number_fits_real(FB_STR(rows[i].text)) != rows[i].fits)
            fail_msg("%s", rows[i].text);
    char digits[FB_NUMBER_DIGITS_MAX + 2];
    memset(digits, '1', sizeof digits);
    assert_false(fb_number_is_decimal(fb_bytes_of(digits, sizeof digits - 1)));
    assert_true(fb_number_is_decimal(fb_bytes_of(digits, sizeof digits - 2)));
}

static void sums_are_rounded_once(void **state) {
    (void)state;
    double sum;
    assert_true(fb_number_add_real(0.1, FB_STR("0.2"), &sum));
    assert_true(sum == 0.3); /* as binary doubles it would be 0.30000000000000004 */
    assert_true(fb_number_add_real(3.0, FB_STR("-1.5e1"), &sum) && sum == -12.0);
    assert_false(fb_number_add_real(1.7e308, FB_STR("1.7e308"), &sum));
    assert_false(fb_number_add_real(INFINITY, FB_STR("1"), &sum));
    assert_false(fb_number_add_real(1, FB_STR("nan"), &sum));
    assert_false(fb_number_add_real(1, FB_STR("inf"), &sum));
}

/* ---- base64 and UTF-8 ---- */

static void base64_goes_both_ways_and_one_way_only(void **state) {
    (void)state;
    static const struct { const char *bytes, *text;
    } rows[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    static const char *const bad[] = {"Z",    "Zg",       "Zg=",    "Zh==", "Zm9=",       "=",
                                      "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "Z\xc3\xa9=", "Z==="};
    char out[64];
    size_t len;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_buf text = FB_BUF_INIT;
        assert_int_equal(fb_base64_append(&text, FB_STR(rows[i].bytes)), FB_OK);
        assert_int_equal(text.len, strlen(rows[i].text));
        if (text.len > 0)
            assert_memory_equal(text.data, rows[i].text, text.len);
        assert_true(fb_base64_decode(FB_STR(rows[i].text), out, &len));
        assert_int_equal(len, strlen(rows[i].bytes));
        assert_memory_equal(out, rows[i].bytes, len);
        fb_buf_free(&text);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (fb_base64_decode(FB_STR(bad[i]), out, &len))
            fail_msg("%s", bad[i]);
}

/* Every code point, and every sequence of two and three bytes against the definition: valid means that some code point
 * is encoded so. */
static void utf8_is_what_code_points_encode_to(void **state) {
    (void)state;
    static unsigned char valid[1 << 24]; /* by three bytes */
    char out[4];
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        unsigned n = fb_utf8_put(out, code);
        assert_int_equal(fb_utf8_step(out, out + n), n);
        if (n > 1)
            assert_int_equal(fb_utf8_step(out, out + n - 1), 0);
        if (n == 2)
            valid[(unsigned char)out[0] << 16 | (unsigned char)out[1] << 8] = 2;
        if (n == 3)
            valid[(unsigned char)out[0] << 16 | (unsigned char)out[1] << 8 | (unsigned char)out[2]] = 3;
    }
    for (uint32_t bytes = 0x800000; bytes < 0xf00000; bytes++) {
        char text[3] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes};
        unsigned want = valid[bytes & 0xffff00] == 2 ? 2 : valid[bytes] == 3 ? 3 : 0;
        if (fb_utf8_step(text, text + 3) != want)
            fail_msg("%06" PRIx32, bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parser_agrees_with_jansson),
        cmocka_unit_test(strings_mean_what_jansson_says),
        cmocka_unit_test(members_are_the_texts_own_bytes),
        cmocka_unit_test(faults_say_what_and_where),
        cmocka_unit_test(nesting_has_a_bound),
        cmocka_unit_test(reals_print_as_the_shortest_text_that_reads_back),
        cmocka_unit_test(numbers_ignore_the_locale),
        cmocka_unit_test(what_a_double_cannot_hold_is_told),
        cmocka_unit_test(sums_are_rounded_once),
        cmocka_unit_test(base64_goes_both_ways_and_one_way_only),
        cmocka_unit_test(utf8_is_what_code_points_encode_to),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
