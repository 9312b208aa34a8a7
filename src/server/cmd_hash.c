/* Commands on hash values: a row as fields. The whole row is cached; commands pick from it. */
#include "server/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/glob.h"
#include "server/life.h"

enum { RANDOM_FIELDS_MAX = 65536 }; /* HRANDFIELD with repetition */

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* False when there are no fields to pick from, because it is a string: the error has been written. */
static bool is_hash(struct fb_call *call, fb_kind kind) {
    if (kind != FB_KIND_STRING)
        return true;
    fb_call_wrong_type(call);
    return false;
}

static bool find(fb_kind kind, fb_bytes hash, fb_bytes name, fb_bytes *ret_value) {
    return kind == FB_KIND_HASH && fb_hash_get(hash, name, ret_value) == FB_OK;
}

static void write_field(struct fb_call *call, fb_kind kind, fb_bytes hash, fb_bytes name) {
    fb_bytes value;
    if (find(kind, hash, name, &value))
        fb_resp_write_bulk(call->out, value);
    else
        fb_resp_write_null(call->out);
}

static void render_hget(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    if (is_hash(call, kind))
        write_field(call, kind, hash, call->argv[2]);
}
void fb_cmd_hget(struct fb_call *call) { fb_call_read(call, render_hget); }

static void render_hmget(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    if (!is_hash(call, kind))
        return;
    fb_resp_write_array(call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++)
        write_field(call, kind, hash, call->argv[i]);
}
void fb_cmd_hmget(struct fb_call *call) { fb_call_read(call, render_hmget); }

static void render_hexists(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    fb_bytes value;
    if (is_hash(call, kind))
        fb_resp_write_integer(call->out, find(kind, hash, call->argv[2], &value));
}
void fb_cmd_hexists(struct fb_call *call) { fb_call_read(call, render_hexists); }

static void render_hstrlen(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    fb_bytes value;
    if (is_hash(call, kind))
        fb_resp_write_integer(call->out, find(kind, hash, call->argv[2], &value) ? (int64_t)value.len : 0);
}
void fb_cmd_hstrlen(struct fb_call *call) { fb_call_read(call, render_hstrlen); }

static void render_hlen(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    if (is_hash(call, kind))
        fb_resp_write_integer(call->out, (int64_t)fb_hash_len(hash));
}
void fb_cmd_hlen(struct fb_call *call) { fb_call_read(call, render_hlen); }

static void render_hgetall(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    if (!is_hash(call, kind))
        return;
    fb_field field;
    fb_resp_write_map(call->out, fb_hash_len(hash));
    for (size_t cursor = 0; fb_hash_next(hash, &cursor, &field);) {
        fb_resp_write_bulk(call->out, field.name);
        fb_resp_write_bulk(call->out, field.value);
    }
}
void fb_cmd_hgetall(struct fb_call *call) { fb_call_read(call, render_hgetall); }

static void write_column(struct fb_call *call, fb_kind kind, fb_bytes hash, bool names) {
    if (!is_hash(call, kind))
        return;
    fb_field field;
    fb_resp_write_array(call->out, fb_hash_len(hash));
    for (size_t cursor = 0; fb_hash_next(hash, &cursor, &field);)
        fb_resp_write_bulk(call->out, names ? field.name : field.value);
}
static void render_hkeys(struct fb_call *call, fb_kind kind, fb_bytes hash) { write_column(call, kind, hash, true); }
static void render_hvals(struct fb_call *call, fb_kind kind, fb_bytes hash) { write_column(call, kind, hash, false); }
void fb_cmd_hkeys(struct fb_call *call) { fb_call_read(call, render_hkeys); }
void fb_cmd_hvals(struct fb_call *call) { fb_call_read(call, render_hvals); }

/* ---- HSCAN: a row is small, so one step answers it all; number[0] is the place of the pattern, 0 for none ------- */

static void render_hscan(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    if (!is_hash(call, kind))
        return;
    fb_field field;
    bool has_values = call->number[1] == 0;
    size_t n = 0;
    fb_bytes pattern = call->number[0] > 0 ? call->argv[call->number[0]] : FB_STR("*");
    for (size_t cursor = 0; fb_hash_next(hash, &cursor, &field);)
        n += fb_glob_match(pattern, field.name, /* ignore_case */ false);
    fb_resp_write_array(call->out, 2);
    fb_resp_write_bulk(call->out, FB_STR("0"));
    fb_resp_write_array(call->out, has_values ? 2 * n : n);
    for (size_t cursor = 0; fb_hash_next(hash, &cursor, &field);) {
        if (!fb_glob_match(pattern, field.name, /* ignore_case */ false))
            continue;
        fb_resp_write_bulk(call->out, field.name);
        if (has_values)
            fb_resp_write_bulk(call->out, field.value);
    }
}

static bool is_cursor(fb_bytes text) {
    bool is_number = text.len > 0 && text.len <= 20;
    for (size_t i = 0; i < text.len; i++)
        is_number &= text.data[i] >= '0' && text.data[i] <= '9';
    return is_number;
}

void fb_cmd_hscan(struct fb_call *call) {
    int64_t count;
    if (!is_cursor(call->argv[2])) {
        fb_call_error(call, CURSOR);
        return;
    }
    for (size_t i = 3; i < call->argc; i++) {
        bool has_value = i + 1 < call->argc;
        if (fb_is_word(call->argv[i], "match") && has_value) {
            call->number[0] = (int64_t)++i;
        } else if (fb_is_word(call->argv[i], "count") && has_value) {
            if (!fb_call_integer(call, call->argv[++i], &count))
                return;
            if (count < 1) {
                fb_call_syntax_error(call);
                return;
            }
        } else if (fb_is_word(call->argv[i], "novalues")) {
            call->number[1] = 1;
        } else {
            fb_call_syntax_error(call);
            return;
        }
    }
    fb_call_read(call, render_hscan);
}

/* ---- HRANDFIELD: number[0] is the count, flags says what was given ---------------------------------------------- */

enum { HAS_COUNT = 1, WITH_VALUES = 2 };

static void write_random(struct fb_call *call, const fb_field *field) {
    if (call->flags & WITH_VALUES && call->out->version == 3)
        fb_resp_write_array(call->out, 2);
    fb_resp_write_bulk(call->out, field->name);
    if (call->flags & WITH_VALUES)
        fb_resp_write_bulk(call->out, field->value);
}

static void render_hrandfield(struct fb_call *call, fb_kind kind, fb_bytes hash) {
    if (!is_hash(call, kind))
        return;
    struct fb_loop *loop = fb_call_loop(call);
    size_t n = fb_hash_len(hash), cursor = 0;
    loop->fields.len = 0;
    if (fb_buf_reserve(&loop->fields, n * sizeof(fb_field)) != FB_OK) {
        fb_call_out_of_memory(call);
        return;
    }
    fb_field *fields = (fb_field *)(void *)loop->fields.data;
    for (size_t i = 0; i < n; i++)
        (void)fb_hash_next(hash, &cursor, &fields[i]);
    if (!(call->flags & HAS_COUNT)) {
        if (n == 0)
            fb_resp_write_null(call->out);
        else
            fb_resp_write_bulk(call->out, fields[fb_rng_below(&loop->rng, n)].name);
        return;
    }
    bool repeats = call->number[0] < 0;
    size_t wanted = (size_t)(repeats ? -call->number[0] : call->number[0]);
    size_t count = n == 0 ? 0 : repeats || wanted < n ? wanted : n;
    fb_resp_write_array(call->out, call->flags & WITH_VALUES && call->out->version == 2 ? 2 * count : count);
    for (size_t i = 0; i < count; i++) {
        size_t from = repeats ? 0 : i; /* without repetition: the front of a shuffle */
        size_t k = from + fb_rng_below(&loop->rng, n - from);
        write_random(call, &fields[k]);
        if (!repeats) {
            fb_field taken = fields[k];
            fields[k] = fields[i];
            fields[i] = taken;
        }
    }
}

void fb_cmd_hrandfield(struct fb_call *call) {
    if (call->argc > 2) {
        call->flags = HAS_COUNT;
        if (!fb_call_integer(call, call->argv[2], &call->number[0]))
            return;
        if (call->argc > 4 || (call->argc == 4 && !fb_is_word(call->argv[3], "withvalues"))) {
            fb_call_syntax_error(call);
            return;
        }
        if (call->number[0] < -RANDOM_FIELDS_MAX || call->number[0] > INT64_MAX / 2) {
            if (call->number[0] == INT64_MIN)
                fb_call_error(call, RANGE_BETWEEN, (long long)-INT64_MAX, (long long)INT64_MAX);
            else
                fb_call_error(call, RANGE);
            return;
        }
        call->flags |= call->argc == 4 ? WITH_VALUES : 0;
    }
    fb_call_read(call, render_hrandfield);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* The arguments from `first` on as fields, `step` apart (1: names only), in the loop's array. */
static void take_fields(const struct fb_call *call, size_t first, size_t step, fb_op *op) {
    fb_buf *array = &fb_call_loop(call)->fields;
    size_t n = (call->argc - first) / step;
    array->len = 0;
    if (fb_buf_reserve(array, n * sizeof(fb_field)) != FB_OK)
        return; /* without fields the engine refuses it */
    fb_field *fields = (fb_field *)(void *)array->data;
    for (size_t i = 0; i < n; i++) {
        fields[i].name = call->argv[first + i * step];
        fields[i].value = step == 2 ? call->argv[first + i * step + 1] : fb_bytes_of(NULL, 0);
    }
    op->fields = fields;
    op->nfields = n;
}

static void prepare_hset(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = FB_OP_HSET;
    op->flags = call->flags;
    op->key = call->argv[1];
    take_fields(call, 2, 2, op);
}

static void finish_number(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (!fb_call_failed(call, part))
        fb_resp_write_integer(call->out, part->number);
}

static void finish_hmset(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (!fb_call_failed(call, part))
        fb_resp_write_simple(call->out, "OK");
}

static void finish_hsetnx(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (!fb_call_failed(call, part))
        fb_resp_write_integer(call->out, part->status != FB_UNMET);
}

static void hset(struct fb_call *call, fb_call_finish *finish) {
    if (call->argc % 2 != 0)
        fb_call_error(call, ARITY, call->command->name);
    else if (fb_call_maps(call, call->argv[1]))
        fb_call_run(call, 1, prepare_hset, finish);
}

void fb_cmd_hset(struct fb_call *call) { hset(call, finish_number); }
void fb_cmd_hmset(struct fb_call *call) { hset(call, finish_hmset); }
void fb_cmd_hsetnx(struct fb_call *call) {
    call->flags = FB_COND_FIELD_ABSENT;
    hset(call, finish_hsetnx);
}

static void prepare_hdel(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = FB_OP_HDEL;
    op->key = call->argv[1];
    take_fields(call, 2, 1, op);
}

void fb_cmd_hdel(struct fb_call *call) {
    if (fb_call_maps(call, call->argv[1]))
        fb_call_run(call, 1, prepare_hdel, finish_number);
}

static void prepare_hadd(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = FB_OP_ADD;
    op->flags = call->flags;
    op->key = call->argv[1];
    op->value = call->argv[3];
    take_fields(call, 2, 2, op); /* one: the column's name */
}

void fb_cmd_hincrby(struct fb_call *call) {
    int64_t delta;
    if (fb_call_integer(call, call->argv[3], &delta) && fb_call_maps(call, call->argv[1]))
        fb_call_run(call, 1, prepare_hadd, fb_finish_add);
}

void fb_cmd_hincrbyfloat(struct fb_call *call) {
    call->flags = FB_ADD_FLOAT;
    if (fb_call_decimal(call, call->argv[3], FB_ERROR_INFINITE) && fb_call_maps(call, call->argv[1]))
        fb_call_run(call, 1, prepare_hadd, fb_finish_add);
}
