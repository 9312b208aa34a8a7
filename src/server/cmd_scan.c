/* Commands that list cached keys: SCAN, KEYS, RANDOMKEY, DBSIZE. What is not cached is not listed, whatever the tables
 * hold. Keys live in database 0; the others are empty. */
#include "server/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/glob.h"
#include "server/walk.h"

enum {
    SCAN_COUNT_DEFAULT = 10,
    SCAN_COUNT_MAX = 10000, /* of one SCAN; COUNT is a hint, and a larger one counts as this */
};

/* ---- which keys are wanted -------------------------------------------------------------------------------------- */

struct wanted {
    fb_bytes pattern; /* data == NULL: any */
    fb_kind kind;     /* NONE: any */
    bool nothing;     /* of a type that is not there */
};

static bool is_wanted(const struct wanted *wanted, const fb_field *found) {
    return !wanted->nothing && (wanted->kind == FB_KIND_NONE || wanted->kind == fb_walk_kind(found)) &&
           (wanted->pattern.data == NULL || fb_glob_match(wanted->pattern, found->name, /* ignore_case */ false));
}

/* ---- SCAN ------------------------------------------------------------------------------------------------------- */

/* Redis reads a cursor as strtoul does; clients send back what they were given. */
bool fb_cursor_read(fb_bytes text, uint64_t *ret_cursor) {
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *ret_cursor = n;
    return text.len > 0;
}

static fb_kind kind_of(fb_bytes type) {
    return fb_is_word(type, "string") ? FB_KIND_STRING : fb_is_word(type, "hash") ? FB_KIND_HASH : FB_KIND_NONE;
}

static bool read_options(struct fb_call *call, struct wanted *wanted, int64_t *count) {
    for (size_t i = 2; i < call->argc; i += 2) {
        bool has_value = i + 1 < call->argc;
        fb_bytes value = has_value ? call->argv[i + 1] : fb_bytes_of(NULL, 0);
        if (has_value && fb_is_word(call->argv[i], "count")) {
            if (!fb_call_integer(call, value, count))
                return false;
            if (*count < 1) {
                fb_call_syntax_error(call);
                return false;
            }
        } else if (has_value && fb_is_word(call->argv[i], "match")) {
            wanted->pattern = value;
        } else if (has_value && fb_is_word(call->argv[i], "type")) {
            wanted->kind = kind_of(value);
            wanted->nothing = wanted->kind == FB_KIND_NONE;
        } else {
            fb_call_syntax_error(call);
            return false;
        }
    }
    return true;
}

void fb_cmd_scan(struct fb_call *call) {
    struct wanted wanted = {0};
    fb_buf *found = &fb_call_loop(call)->scratch;
    uint64_t cursor;
    int64_t count = SCAN_COUNT_DEFAULT;
    char text[24];
    if (!fb_cursor_read(call->argv[1], &cursor)) {
        fb_call_error(call, CURSOR);
        return;
    }
    if (!read_options(call, &wanted, &count))
        return;
    found->len = 0;
    if (call->session->db != 0) {
        cursor = 0;
    } else if (!fb_walk(fb_call_cache(call), &cursor, (size_t)(count < SCAN_COUNT_MAX ? count : SCAN_COUNT_MAX),
                        found)) {
        fb_call_out_of_memory(call);
        return;
    }
    fb_field entry;
    size_t n = 0;
    for (size_t at = 0; fb_hash_next(fb_bytes_of(found->data, found->len), &at, &entry);)
        n += is_wanted(&wanted, &entry);
    snprintf(text, sizeof text, "%" PRIu64, cursor);
    fb_resp_write_array(call->out, 2);
    fb_resp_write_bulk(call->out, FB_STR(text));
    fb_resp_write_array(call->out, n);
    for (size_t at = 0; fb_hash_next(fb_bytes_of(found->data, found->len), &at, &entry);)
        if (is_wanted(&wanted, &entry))
            fb_resp_write_bulk(call->out, entry.name);
}

/* ---- KEYS: number[0] is the cursor, [1] how many have been found; the notes are their bulk strings --------------- */

static void add_key(struct fb_call *call, const fb_field *found, void *user) {
    const struct wanted *wanted = user;
    struct fb_resp_out out = {.buf = call->notes, .version = call->out->version};
    if (!is_wanted(wanted, found))
        return;
    fb_resp_write_bulk(&out, found->name);
    call->notes = out.buf;
    call->number[1]++;
    call->out->failed |= out.failed;
}

static void step_keys(struct fb_call *call, struct fb_part *parts, size_t n) {
    struct wanted wanted = {.pattern = call->argv[1]};
    uint64_t cursor = (uint64_t)call->number[0];
    (void)parts, (void)n;
    enum fb_walk_turn turn = fb_walk_turn(call, &cursor, add_key, &wanted);
    if (turn == FB_WALK_FAILED)
        return;
    if (call->notes.len > FB_LIVE(fb_call_server(call), output_buffer_max)) {
        fb_call_error(call, REPLY_TOO_LONG);
        return;
    }
    call->number[0] = (int64_t)cursor;
    if (turn == FB_WALK_ON) {
        fb_call_later(call, step_keys);
        return;
    }
    fb_resp_write_array(call->out, (size_t)call->number[1]);
    if (fb_buf_append(&call->out->buf, call->notes.data, call->notes.len) != FB_OK)
        call->out->failed = true;
}

void fb_cmd_keys(struct fb_call *call) {
    if (call->session->db != 0)
        fb_resp_write_array(call->out, 0);
    else
        fb_call_steps(call, 0, step_keys);
}

void fb_cmd_randomkey(struct fb_call *call) {
    fb_buf *key = &fb_call_loop(call)->scratch;
    key->len = 0;
    if (call->session->db == 0 && fb_random_key(fb_call_cache(call), key) == FB_OK)
        fb_resp_write_bulk(call->out, fb_bytes_of(key->data, key->len));
    else
        fb_resp_write_null(call->out);
}

void fb_cmd_dbsize(struct fb_call *call) {
    fb_stats stats = {0};
    if (call->session->db == 0)
        fb_stats_get(fb_call_cache(call), &stats);
    fb_resp_write_integer(call->out, (int64_t)stats.keys);
}
