/* Reading JSON that clients write: a strict pull parser that never turns a number into a double.
 *
 *     struct fb_json json;
 *     struct fb_json_token name, value;
 *     fb_json_begin(&json, text);
 *     if (fb_json_enter_object(&json))
 *         while (fb_json_member(&json, &name, &value))
 *             …                                            // value.raw is the exact text of the value
 *     if (!fb_json_finish(&json))
 *         …                                                // json.fault says what, json.at where
 *
 * RFC 8259, strictly: UTF-8 only, no duplicate check (the caller knows the names), at most FB_JSON_DEPTH_MAX levels.
 * Nothing is allocated; tokens borrow from the text. */
#ifndef FB_ROWS_JSON_H
#define FB_ROWS_JSON_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum { FB_JSON_DEPTH_MAX = 64 };

enum fb_json_type {
    FB_JSON_NULL,
    FB_JSON_FALSE,
    FB_JSON_TRUE,
    FB_JSON_NUMBER,
    FB_JSON_STRING,
    FB_JSON_ARRAY,
    FB_JSON_OBJECT,
};

struct fb_json_token {
    enum fb_json_type type;
    fb_bytes raw; /* as it stands in the text: strings with quotes and escapes */
};

struct fb_json {
    const char *begin, *at, *end;
    const char *fault; /* NULL while all is well */
    bool is_first;     /* no member read yet */
};

void fb_json_begin(struct fb_json *json, fb_bytes text);
/* The next value, whole, checked to its depths. */
bool fb_json_value(struct fb_json *json, struct fb_json_token *ret_value);
bool fb_json_enter_object(struct fb_json *json);
/* The next member; false at the closing brace (which is consumed) and on a fault. */
bool fb_json_member(struct fb_json *json, struct fb_json_token *ret_name, struct fb_json_token *ret_value);
/* True when there was no fault and only white space is left. */
bool fb_json_finish(struct fb_json *json);

/* Is this one valid JSON value and nothing else? */
bool fb_json_is_valid(fb_bytes text);
/* Decode a string token into `out`, which has room for raw.len bytes; returns the length. */
size_t fb_json_unescape(fb_bytes raw, char *out);

#endif
