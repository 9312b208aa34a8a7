/* The JSON pull parser: one pass, no recursion, no allocation. */
#include "rows/json.h"

#include <string.h>

#include "base/utf8.h"

void fb_json_begin(struct fb_json *json, fb_bytes text) {
    *json = (struct fb_json){.begin = text.data, .at = text.data, .end = text.data + text.len, .is_first = true};
}

static bool fail(struct fb_json *j, const char *fault) {
    if (j->fault == NULL)
        j->fault = fault;
    return false;
}

static void skip_space(struct fb_json *j) {
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

static bool is_digit_here(const struct fb_json *j) { return j->at < j->end && *j->at >= '0' && *j->at <= '9'; }

static bool scan_digits(struct fb_json *j) {
    if (!is_digit_here(j))
        return fail(j, "a digit is missing");
    while (is_digit_here(j))
        j->at++;
    return true;
}

static bool scan_number(struct fb_json *j) {
    if (*j->at == '-')
        j->at++;
    if (j->at < j->end && *j->at == '0') {
        j->at++;
        if (is_digit_here(j))
            return fail(j, "a number begins with 0");
    } else if (!scan_digits(j)) {
        return false;
    }
    if (j->at < j->end && *j->at == '.') {
        j->at++;
        if (!scan_digits(j))
            return false;
    }
    if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
        j->at++;
        if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
            j->at++;
        return scan_digits(j);
    }
    return true;
}

static int hex_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Four hex digits at p, or −1. */
static int hex4(const char *p, const char *end) {
    int code = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

static bool is_high(int code) { return code >= 0xd800 && code <= 0xdbff; }
static bool is_low(int code) { return code >= 0xdc00 && code <= 0xdfff; }

/* at stands behind the backslash. */
static bool scan_escape(struct fb_json *j) {
    if (j->at == j->end)
        return fail(j, "a string does not end");
    if (*j->at != 'u') {
        if (strchr("\"\\/bfnrt", *j->at) == NULL || *j->at == 0)
            return fail(j, "an unknown escape");
        j->at++;
        return true;
    }
    int code = hex4(j->at + 1, j->end);
    if (code < 0)
        return fail(j, "\\u wants four hex digits");
    if (is_low(code))
        return fail(j, "a surrogate without its partner");
    if (is_high(code)) {
        if (j->end - j->at < 7 || j->at[5] != '\\' || j->at[6] != 'u' || !is_low(hex4(j->at + 7, j->end)))
            return fail(j, "a surrogate without its partner");
        j->at += 6;
    }
    j->at += 5;
    return true;
}

static bool scan_string(struct fb_json *j) {
    for (j->at++; j->at < j->end;) {
        unsigned char c = (unsigned char)*j->at;
        if (c == '"') {
            j->at++;
            return true;
        }
        if (c < 0x20)
            return fail(j, "a control character in a string");
        if (c == '\\') {
            j->at++;
            if (!scan_escape(j))
                return false;
            continue;
        }
        unsigned n = fb_utf8_step(j->at, j->end);
        if (n == 0)
            return fail(j, "invalid UTF-8");
        j->at += n;
    }
    return fail(j, "a string does not end");
}

static bool scan_word(struct fb_json *j, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
        return fail(j, "a value is missing");
    j->at += n;
    return true;
}

static bool scan_scalar(struct fb_json *j, enum fb_json_type *ret_type) {
    switch (*j->at) {
    case '"':
        *ret_type = FB_JSON_STRING;
        return scan_string(j);
    case 't':
        *ret_type = FB_JSON_TRUE;
        return scan_word(j, "true");
    case 'f':
        *ret_type = FB_JSON_FALSE;
        return scan_word(j, "false");
    case 'n':
        *ret_type = FB_JSON_NULL;
        return scan_word(j, "null");
    default:
        if (*j->at != '-' && !is_digit_here(j))
            return fail(j, "a value is missing");
        *ret_type = FB_JSON_NUMBER;
        return scan_number(j);
    }
}

static bool expect(struct fb_json *j, char c, const char *fault) {
    skip_space(j);
    if (j->at == j->end || *j->at != c)
        return fail(j, fault);
    j->at++;
    return true;
}

static bool scan_name(struct fb_json *j) {
    skip_space(j);
    if (j->at == j->end || *j->at != '"')
        return fail(j, "a name in quotes is missing");
    return scan_string(j);
}

/* Containers nest in `open`, one bit per level, 1 = object. */
static bool scan_value(struct fb_json *j, enum fb_json_type *ret_type) {
    uint64_t open = 0;
    unsigned depth = 0;
    enum fb_json_type type;
    for (;;) { /* one value */
        skip_space(j);
        if (j->at == j->end)
            return fail(j, "a value is missing");
        if (*j->at == '{' || *j->at == '[') {
            bool is_object = *j->at++ == '{';
            if (depth == 0)
                *ret_type = is_object ? FB_JSON_OBJECT : FB_JSON_ARRAY;
            if (depth == FB_JSON_DEPTH_MAX)
                return fail(j, "nested too deeply");
            open = open << 1 | is_object;
            depth++;
            skip_space(j);
            if (j->at == j->end || *j->at != (is_object ? '}' : ']')) {
                if (is_object && !(scan_name(j) && expect(j, ':', "':' is missing")))
                    return false;
                continue;
            }
        } else {
            if (!scan_scalar(j, &type))
                return false;
            if (depth == 0)
                *ret_type = type;
        }
        for (;;) { /* what may follow it */
            if (depth == 0)
                return true;
            bool in_object = open & 1;
            skip_space(j);
            if (j->at < j->end && *j->at == ',') {
                j->at++;
                if (in_object && !(scan_name(j) && expect(j, ':', "':' is missing")))
                    return false;
                break;
            }
            if (j->at == j->end || *j->at != (in_object ? '}' : ']'))
                return fail(j, in_object ? "',' or '}' is missing" : "',' or ']' is missing");
            j->at++;
            open >>= 1;
            depth--;
        }
    }
}

bool fb_json_value(struct fb_json *json, struct fb_json_token *ret_value) {
    if (json->fault != NULL)
        return false;
    skip_space(json);
    const char *begin = json->at;
    struct fb_json_token token;
    if (!scan_value(json, &token.type))
        return false;
    token.raw = fb_bytes_of(begin, (size_t)(json->at - begin));
    *ret_value = token;
    return true;
}

bool fb_json_enter_object(struct fb_json *json) {
    json->is_first = true;
    return json->fault == NULL && expect(json, '{', "an object is wanted");
}

bool fb_json_member(struct fb_json *json, struct fb_json_token *ret_name, struct fb_json_token *ret_value) {
    if (json->fault != NULL)
        return false;
    skip_space(json);
    if (json->at < json->end && *json->at == '}') {
        json->at++;
        return false;
    }
    if (!json->is_first && !expect(json, ',', "',' or '}' is missing"))
        return false;
    json->is_first = false;
    skip_space(json);
    const char *begin = json->at;
    if (!scan_name(json))
        return false;
    *ret_name = (struct fb_json_token){FB_JSON_STRING, fb_bytes_of(begin, (size_t)(json->at - begin))};
    return expect(json, ':', "':' is missing") && fb_json_value(json, ret_value);
}

bool fb_json_finish(struct fb_json *json) {
    if (json->fault != NULL)
        return false;
    skip_space(json);
    return json->at == json->end || fail(json, "something follows the value");
}

bool fb_json_is_valid(fb_bytes text) {
    struct fb_json json;
    struct fb_json_token value;
    fb_json_begin(&json, text);
    return fb_json_value(&json, &value) && fb_json_finish(&json);
}

size_t fb_json_unescape(fb_bytes raw, char *out) {
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *end = raw.data + raw.len - 1;
    size_t n = 0;
    for (const char *p = raw.data + 1; p < end;) {
        if (*p != '\\') {
            out[n++] = *p++;
        } else if (p[1] != 'u') {
            out[n++] = meant[strchr(plain, p[1]) - plain];
            p += 2;
        } else {
            uint32_t code = (uint32_t)hex4(p + 2, end);
            p += 6;
            if (is_high((int)code)) {
                code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)hex4(p + 2, end) - 0xdc00);
                p += 6;
            }
            n += fb_utf8_put(out + n, code);
        }
    }
    return n;
}
