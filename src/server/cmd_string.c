/* Commands on string values: a row as JSON, text, or one column. */
#include "server/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/life.h"

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void render_value(struct fb_call *call, fb_kind kind, fb_bytes value) {
    if (kind == FB_KIND_NONE)
        fb_resp_write_null(call->out);
    else if (kind == FB_KIND_STRING)
        fb_resp_write_bulk(call->out, value);
    else
        fb_call_wrong_type(call);
}

/* The path that matters: the value goes from the cache straight into the connection's output. */
void fb_cmd_get(struct fb_call *call) {
    struct fb_resp_out *out = call->out;
    if (fb_call_may_peek(call)) {
        fb_kind kind = FB_KIND_NONE;
        size_t mark = fb_resp_bulk_begin(out);
        fb_status status = fb_peek(fb_call_cache(call), call->argv[1], &out->buf, &kind);
        if (status == FB_OK && kind == FB_KIND_STRING) {
            fb_resp_bulk_end(out, mark);
            return;
        }
        fb_resp_rewind(out, mark);
        if (status == FB_OK || status == FB_NOTFOUND) {
            render_value(call, status == FB_OK ? kind : FB_KIND_NONE, fb_bytes_of(NULL, 0));
            return;
        }
    }
    fb_call_load(call, render_value);
}

static void render_length(struct fb_call *call, fb_kind kind, fb_bytes value) {
    if (kind == FB_KIND_HASH)
        fb_call_wrong_type(call);
    else
        fb_resp_write_integer(call->out, (int64_t)value.len);
}

void fb_cmd_strlen(struct fb_call *call) { fb_call_read(call, render_length); }

/* A position counted from the end, as one from the start; before the start is the start. */
static int64_t position(int64_t n, int64_t len) { return n >= 0 ? n : n + len > 0 ? n + len : 0; }

static void render_range(struct fb_call *call, fb_kind kind, fb_bytes value) {
    if (kind == FB_KIND_HASH) {
        fb_call_wrong_type(call);
        return;
    }
    int64_t len = (int64_t)value.len, from = call->number[0], to = call->number[1];
    bool is_empty = len == 0 || (from < 0 && to < 0 && from > to);
    from = position(from, len);
    to = position(to, len) < len ? position(to, len) : len - 1;
    fb_resp_write_bulk(call->out, is_empty || from > to ? fb_bytes_of(NULL, 0)
                                                        : fb_bytes_of(value.data + from, (size_t)(to - from + 1)));
}

void fb_cmd_getrange(struct fb_call *call) {
    if (fb_call_integer(call, call->argv[2], &call->number[0]) &&
        fb_call_integer(call, call->argv[3], &call->number[1]))
        fb_call_read(call, render_range);
}

/* ---- MGET: hits are written as they are found; from the first miss on, the rest travels together ---------------- */

static void prepare_mget(const struct fb_call *call, size_t i, fb_op *op) {
    op->key = call->argv[(size_t)call->number[0] + i];
}

static void write_one(struct fb_call *call, bool is_string, fb_bytes value) {
    if (is_string)
        fb_resp_write_bulk(call->out, value);
    else
        fb_resp_write_null(call->out); /* absent, or a hash: Redis answers nil for both */
}

static void finish_mget(struct fb_call *call, struct fb_part *parts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (parts[i].status < 0) {
            fb_call_rewind(call);
            (void)fb_call_failed(call, &parts[i]);
            return;
        }
    for (size_t i = 0; i < n; i++)
        write_one(call, parts[i].status == FB_OK && parts[i].kind == FB_KIND_STRING,
                  fb_bytes_of(parts[i].bytes.data, parts[i].bytes.len));
}

void fb_cmd_mget(struct fb_call *call) {
    struct fb_loop *loop = fb_call_loop(call);
    size_t i = 1, most = FB_LIVE(fb_call_server(call), output_buffer_max);
    fb_resp_write_array(call->out, call->argc - 1);
    for (; i < call->argc && fb_call_may_peek(call); i++) {
        fb_kind kind = FB_KIND_NONE;
        if ((i - 1) % FB_PREFETCH_MAX == 0)
            fb_prefetch(fb_call_cache(call), call->argv + i, min(FB_PREFETCH_MAX, call->argc - i));
        loop->scratch.len = 0;
        fb_status status = fb_peek(fb_call_cache(call), call->argv[i], &loop->scratch, &kind);
        if (status != FB_OK && status != FB_NOTFOUND)
            break;
        write_one(call, status == FB_OK && kind == FB_KIND_STRING, fb_bytes_of(loop->scratch.data, loop->scratch.len));
        if (call->out->buf.len - call->mark > most) {
            fb_call_rewind(call);
            fb_call_error(call, REPLY_TOO_LONG);
            return;
        }
    }
    if (i == call->argc)
        return;
    for (size_t k = i; k < call->argc; k++)
        if (call->session->db != 0 || fb_keyspace_of(fb_call_cache(call), call->argv[k]) < 0) {
            fb_call_rewind(call);
            (void)fb_call_maps(call, call->argv[k]);
            return;
        }
    call->number[0] = (int64_t)i;
    fb_call_run(call, call->argc - i, prepare_mget, finish_mget);
}

/* ---- SET and its relatives: flags of the operation in call->flags, life in number[0], place of the value in [1] - */

enum { SET_AS_NUMBER = 1 << 16, SET_AS_OLD = 1 << 17 }; /* how to answer; not for the engine */

static void prepare_set(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = FB_OP_SET;
    op->flags = call->flags & ~(unsigned)(SET_AS_NUMBER | SET_AS_OLD);
    op->key = call->argv[1];
    op->value = call->argv[call->number[1]];
    op->life_ms = call->number[0];
}

static void finish_set(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (fb_call_failed(call, part))
        return;
    if (call->flags & FB_WANT_OLD)
        render_value(call, part->kind, fb_bytes_of(part->bytes.data, part->bytes.len));
    else if (call->flags & SET_AS_NUMBER)
        fb_resp_write_integer(call->out, part->status != FB_UNMET);
    else if (part->status == FB_UNMET)
        fb_resp_write_null(call->out);
    else
        fb_resp_write_simple(call->out, "OK");
}

static void set(struct fb_call *call, unsigned flags, int64_t life_ms, int value) {
    if (!fb_call_maps(call, call->argv[1]))
        return;
    call->flags = flags;
    call->number[0] = life_ms;
    call->number[1] = value;
    fb_call_run(call, 1, prepare_set, finish_set);
}

/* The same unit may come twice, as in Redis; the last one counts. Numbers are judged when all words are known. */
void fb_cmd_set(struct fb_call *call) {
    unsigned flags = 0;
    int64_t life_ms = 0;
    size_t life_at = 0;
    const struct fb_life_unit *life_unit = NULL;
    for (size_t i = 3; i < call->argc; i++) {
        fb_bytes word = call->argv[i];
        const struct fb_life_unit *unit = fb_life_unit(word);
        bool keeps_life = fb_is_word(word, "keepttl");
        unsigned flag = fb_is_word(word, "nx") ? FB_COND_ABSENT : fb_is_word(word, "xx") ? FB_COND_PRESENT
                        : fb_is_word(word, "get") ? FB_WANT_OLD : keeps_life ? FB_KEEP_LIFE : 0;
        flags |= flag;
        if ((flag == 0 && unit == NULL) || (keeps_life && life_unit != NULL) ||
            (unit != NULL && ((life_unit != NULL && life_unit != unit) || (flags & FB_KEEP_LIFE))) ||
            (unit != NULL && i + 1 == call->argc) ||
            (flags & (FB_COND_ABSENT | FB_COND_PRESENT)) == (FB_COND_ABSENT | FB_COND_PRESENT)) {
            fb_call_syntax_error(call);
            return;
        }
        if (unit != NULL) {
            life_unit = unit;
            life_at = ++i;
        }
    }
    if (life_unit == NULL || fb_call_life(call, life_unit, call->argv[life_at], &life_ms))
        set(call, flags, life_ms, 2);
}

void fb_cmd_setnx(struct fb_call *call) { set(call, FB_COND_ABSENT | SET_AS_NUMBER, 0, 2); }
void fb_cmd_getset(struct fb_call *call) { set(call, FB_WANT_OLD, 0, 2); }

static void set_with_life(struct fb_call *call, const char *unit) {
    int64_t life_ms;
    if (fb_call_life(call, fb_life_unit(FB_STR(unit)), call->argv[2], &life_ms))
        set(call, 0, life_ms, 3);
}
void fb_cmd_setex(struct fb_call *call) { set_with_life(call, "ex"); }
void fb_cmd_psetex(struct fb_call *call) { set_with_life(call, "px"); }

/* ---- MSET: one transaction -------------------------------------------------------------------------------------- */

static void finish_mset(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (fb_call_failed(call, part))
        return;
    if (call->flags & SET_AS_NUMBER)
        fb_resp_write_integer(call->out, part->status != FB_UNMET);
    else
        fb_resp_write_simple(call->out, "OK");
}

static int by_key_then_place(const void *a, const void *b) {
    const fb_op *x = *(const fb_op *const *)a, *y = *(const fb_op *const *)b;
    size_t len = min(x->key.len, y->key.len);
    int order = len > 0 ? memcmp(x->key.data, y->key.data, len) : 0;
    if (order == 0 && x->key.len != y->key.len)
        order = x->key.len < y->key.len ? -1 : 1;
    return order != 0 ? order : x < y ? -1 : 1;
}

/* Of a key given several times the last counts, as in Redis; otherwise "only if absent" would meet its own write.
 * Returns how many are left. */
static size_t drop_repeated(fb_op *ops, size_t n, fb_buf *scratch) {
    scratch->len = 0;
    if (fb_buf_reserve(scratch, n * sizeof(fb_op *)) != FB_OK)
        return 0;
    fb_op **sorted = (fb_op **)(void *)scratch->data;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &ops[i];
    qsort(sorted, n, sizeof *sorted, by_key_then_place);
    for (size_t i = 0; i + 1 < n; i++)
        if (sorted[i]->key.len == sorted[i + 1]->key.len &&
            memcmp(sorted[i]->key.data, sorted[i + 1]->key.data, sorted[i]->key.len) == 0)
            sorted[i]->nfields = 1; /* a mark: SET has no fields */
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (ops[i].nfields == 0)
            ops[left++] = ops[i];
    return left;
}

static void set_many(struct fb_call *call, unsigned condition) {
    fb_buf *array = &fb_call_loop(call)->fields;
    size_t n = call->argc / 2;
    if (call->argc % 2 == 0) {
        fb_call_error(call, ARITY, call->command->name);
        return;
    }
    array->len = 0;
    if (fb_buf_reserve(array, n * sizeof(fb_op)) != FB_OK) {
        fb_call_out_of_memory(call);
        return;
    }
    fb_op *ops = (fb_op *)(void *)array->data;
    for (size_t i = 0; i < n; i++) {
        ops[i] = (fb_op){.kind = FB_OP_SET, .flags = condition, .key = call->argv[1 + 2 * i],
                         .value = call->argv[2 + 2 * i], .origin = call->session->id};
        if (!fb_call_maps(call, ops[i].key))
            return;
    }
    n = drop_repeated(ops, n, &fb_call_loop(call)->scratch);
    if (n > 0)
        fb_call_run_all(call, ops, n, finish_mset);
    else
        fb_call_out_of_memory(call);
}

void fb_cmd_mset(struct fb_call *call) { set_many(call, 0); }
void fb_cmd_msetnx(struct fb_call *call) {
    call->flags = SET_AS_NUMBER;
    set_many(call, FB_COND_ABSENT);
}

/* ---- reading and changing --------------------------------------------------------------------------------------- */

static const fb_keyspace_options *keyspace_of(const struct fb_call *call) {
    return fb_keyspace_at(fb_call_cache(call), (unsigned)fb_keyspace_of(fb_call_cache(call), call->argv[1]));
}

/* Where DEL deletes rows, GETDEL is one operation at the source. A hash is not deleted by it: it is read, and refused if
 * it is there. */
static bool deletes_row(const struct fb_call *call) {
    const fb_keyspace_options *keyspace = keyspace_of(call);
    return keyspace->on_del == FB_ON_DEL_DELETE_ROW && (keyspace->as == NULL || strcmp(keyspace->as, "hash") != 0);
}

static void prepare_getdel(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->key = call->argv[1];
    if (deletes_row(call)) {
        op->kind = FB_OP_DELETE;
        op->flags = FB_WANT_OLD | FB_COND_PRESENT;
    }
}

/* The value as it was read; then, where it is cached only, the copy goes or gets another life. number[1] is that
 * operation, READ for none. */
static void finish_and_change(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (fb_call_failed(call, part))
        return;
    fb_kind kind = part->status == FB_OK ? part->kind : FB_KIND_NONE;
    fb_op second = {.kind = (fb_op_kind)call->number[1], .key = call->argv[1], .life_ms = call->number[0],
                    .origin = call->session->id};
    size_t mark = call->out->buf.len;
    render_value(call, kind, fb_bytes_of(part->bytes.data, part->bytes.len));
    if (kind != FB_KIND_STRING || second.kind == FB_OP_READ)
        return;
    struct fb_part changed;
    fb_part_at_once(call, &second, &changed);
    if (changed.status < 0) {
        fb_resp_rewind(call->out, mark);
        (void)fb_call_failed(call, &changed);
    }
    fb_buf_free(&changed.bytes);
}

void fb_cmd_getdel(struct fb_call *call) {
    if (!fb_call_maps(call, call->argv[1]))
        return;
    call->number[1] = deletes_row(call) ? FB_OP_READ : FB_OP_DROP;
    call->keeps_args = true;
    fb_call_run(call, 1, prepare_getdel, finish_and_change);
}

static void prepare_getex(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->key = call->argv[1];
}

void fb_cmd_getex(struct fb_call *call) {
    int64_t life_ms = 0;
    const struct fb_life_unit *unit = call->argc > 2 ? fb_life_unit(call->argv[2]) : NULL;
    bool persists = call->argc == 3 && fb_is_word(call->argv[2], "persist");
    if (call->argc > 2 && !persists && (unit == NULL || call->argc != 4)) {
        fb_call_syntax_error(call);
        return;
    }
    if ((unit != NULL && !fb_call_life(call, unit, call->argv[3], &life_ms)) || !fb_call_maps(call, call->argv[1]))
        return;
    call->number[0] = life_ms;
    call->number[1] = persists ? FB_OP_PERSIST : unit != NULL ? FB_OP_EXPIRE : FB_OP_READ;
    call->keeps_args = true;
    fb_call_run(call, 1, prepare_getex, finish_and_change);
}

/* ---- adding: at the source, so that two servers do not lose each other's ---------------------------------------- */

static void prepare_add(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = FB_OP_ADD;
    op->flags = call->flags;
    op->key = call->argv[1];
    if (call->flags & FB_ADD_FLOAT) {
        op->value = call->argv[2];
        return;
    }
    fb_buf *text = &fb_call_loop(call)->scratch;
    text->len = 0;
    if (fb_buf_reserve(text, 24) == FB_OK)
        text->len = (size_t)snprintf(text->data, 24, "%" PRId64, call->number[0]);
    op->value = fb_bytes_of(text->data, text->len);
}

void fb_finish_add(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    int64_t number;
    if (fb_call_failed(call, part))
        return;
    fb_bytes text = fb_bytes_of(part->bytes.data, part->bytes.len);
    if (!(call->flags & FB_ADD_FLOAT) && fb_parse_integer(text, &number))
        fb_resp_write_integer(call->out, number);
    else
        fb_resp_write_bulk(call->out, text);
}

static void add(struct fb_call *call, int64_t delta) {
    call->number[0] = delta;
    if (fb_call_maps(call, call->argv[1]))
        fb_call_run(call, 1, prepare_add, fb_finish_add);
}

void fb_cmd_incr(struct fb_call *call) { add(call, 1); }
void fb_cmd_decr(struct fb_call *call) { add(call, -1); }

void fb_cmd_incrby(struct fb_call *call) {
    int64_t delta;
    if (fb_call_integer(call, call->argv[2], &delta))
        add(call, delta);
}

void fb_cmd_decrby(struct fb_call *call) {
    int64_t delta;
    if (!fb_call_integer(call, call->argv[2], &delta))
        return;
    if (delta == INT64_MIN)
        fb_call_error(call, DECREMENT);
    else
        add(call, -delta);
}

void fb_cmd_incrbyfloat(struct fb_call *call) {
    call->flags = FB_ADD_FLOAT;
    if (fb_call_decimal(call, call->argv[2], FB_ERROR_INFINITE_SUM))
        add(call, 0);
}
