/* Checking and typing writes.
 *
 * Everything a client can send goes through from_text (hash fields, columns, JSON strings) or from_json (the other JSON
 * values). A JSON string is read as a hash field is: "42" fits an integer column, because clients whose numbers are
 * doubles have no other way to send large ones. A JSON number never becomes text by itself.
 *
 * All copies are at most as long as what they were made from (escapes and base64 only shrink), so the plan is allocated
 * once, with room for everything. */
#include "rows/plan.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/base64.h"
#include "rows/json.h"
#include "rows/names.h"
#include "rows/number.h"
#include "base/utf8.h"

enum { SHOWN_MAX = 40 }; /* bytes of a client's value in a refusal */
static const double EXACT_REAL_MAX = 9007199254740992; /* 2^53: every whole number up to here is a double */

static const char no_integer[] = "value is not an integer or out of range";
static const char no_float[] = "value is not a valid float";
static const char hash_no_integer[] = "hash value is not an integer";
static const char hash_no_float[] = "hash value is not a float";
static const char wrong_type[] = "Operation against a key holding the wrong kind of value";

/* A plan under construction. */
struct draft {
    const struct fb_mapping *mapping;
    struct fb_plan *plan;
    struct fb_assign *by_column; /* ncolumns of them; those with given[] count */
    bool *given;
    char *free;                  /* room for copies */
    fb_err *err;
};

static int shown(fb_bytes text) { return text.len < SHOWN_MAX ? (int)text.len : SHOWN_MAX; }

static fb_bytes copy(struct draft *d, fb_bytes text) {
    fb_bytes kept = fb_bytes_of(d->free, text.len);
    if (text.len > 0)
        memcpy(d->free, text.data, text.len);
    d->free += text.len;
    return kept;
}

/* ---- values ---- */

static fb_status does_not_fit(struct draft *d, const struct fb_column *c, fb_bytes got, const char *quote) {
    return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "field '%s' wants %s, got %s%.*s%s", c->name,
                           fb_class_name(c->class), quote, shown(got), got.data != NULL ? got.data : "", quote);
}

static bool is_word(fb_bytes text, const char *word) {
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* What a row shows must be accepted again. */
static bool as_special(const struct draft *d, fb_bytes text, struct fb_datum *out) {
    bool is_negative = is_word(text, "-Infinity");
    if (d->mapping->has_nan && is_word(text, "NaN")) {
        *out = fb_datum_real(__builtin_nan(""));
        return true;
    }
    if (!is_negative && !is_word(text, "Infinity"))
        return false;
    *out = fb_datum_real(is_negative ? -__builtin_inf() : __builtin_inf());
    return true;
}

static bool as_decimal(struct draft *d, fb_bytes text, struct fb_datum *out) {
    int64_t i;
    if (fb_number_int(text, &i)) {
        *out = fb_datum_int(i);
        return true;
    }
    if (d->mapping->reals_only ? !fb_number_fits_real(text) : !fb_number_is_decimal(text))
        return false;
    *out = fb_datum_bytes(FB_DATUM_NUMBER, copy(d, text));
    return true;
}

static bool as_real(const struct draft *d, fb_bytes text, struct fb_datum *out) {
    double r;
    if (as_special(d, text, out))
        return true;
    if (!fb_number_real(text, &r))
        return false;
    *out = fb_datum_real(r);
    return true;
}

static bool as_boolean(fb_bytes text, struct fb_datum *out) {
    static const struct { const char *text; int value; } words[] = {{"0", 0}, {"1", 1}, {"false", 0}, {"true", 1}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (is_word(text, words[i].text)) {
            *out = fb_datum_int(words[i].value);
            return true;
        }
    return false;
}

/* From plain text; is_column when the text is the whole value of a keyspace of one column. */
static fb_status from_text(struct draft *d, const struct fb_column *c, fb_bytes text, bool is_column,
                           struct fb_datum *out) {
    int64_t i;
    size_t len;
    bool fits = true;
    switch (c->class) {
    case FB_CLASS_INTEGER:
        fits = fb_number_int(text, &i);
        *out = fb_datum_int(fits ? i : 0);
        break;
    case FB_CLASS_NUMERIC:
        fits = as_decimal(d, text, out) || as_special(d, text, out);
        break;
    case FB_CLASS_REAL:
        fits = as_real(d, text, out);
        break;
    case FB_CLASS_BOOLEAN:
        fits = as_boolean(text, out);
        break;
    case FB_CLASS_JSON:
        fits = fb_json_is_valid(text);
        *out = fb_datum_bytes(FB_DATUM_TEXT, copy(d, text));
        break;
    case FB_CLASS_BINARY:
        if (is_column) {
            *out = fb_datum_bytes(FB_DATUM_BLOB, copy(d, text));
            break;
        }
        fits = fb_base64_decode(text, d->free, &len);
        *out = fb_datum_bytes(FB_DATUM_BLOB, fb_bytes_of(d->free, fits ? len : 0));
        d->free += fits ? len : 0;
        break;
    case FB_CLASS_TEXT:
    case FB_CLASS_TIME:
    case FB_CLASS_ANY:
        if (!fb_utf8_is_text(text))
            return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE,
                                   "field '%s' wants %s, got bytes that are not UTF-8 text without NUL", c->name,
                                   fb_class_name(c->class));
        *out = fb_datum_bytes(FB_DATUM_TEXT, copy(d, text));
        break;
    }
    return fits ? FB_OK : does_not_fit(d, c, text, "\"");
}

static fb_status from_json(struct draft *d, const struct fb_column *c, const struct fb_json_token *token,
                           struct fb_datum *out) {
    if (token->type == FB_JSON_NULL) {
        *out = fb_datum_null();
        return FB_OK;
    }
    if (c->class == FB_CLASS_JSON) {
        *out = fb_datum_bytes(FB_DATUM_TEXT, copy(d, token->raw));
        return FB_OK;
    }
    if (token->type == FB_JSON_STRING) {
        fb_bytes text = fb_bytes_of(d->free, fb_json_unescape(token->raw, d->free));
        d->free += text.len;
        return from_text(d, c, text, /* is_column */ false, out);
    }
    bool is_bool = token->type == FB_JSON_TRUE || token->type == FB_JSON_FALSE;
    bool takes_bool = c->class == FB_CLASS_BOOLEAN || c->class == FB_CLASS_ANY;
    if (is_bool && takes_bool) {
        *out = fb_datum_int(token->type == FB_JSON_TRUE);
        return FB_OK;
    }
    if (token->type == FB_JSON_NUMBER) {
        switch (c->class) {
        case FB_CLASS_INTEGER:
        case FB_CLASS_NUMERIC:
        case FB_CLASS_REAL:
        case FB_CLASS_BOOLEAN:
            if (from_text(d, c, token->raw, false, out) == FB_OK)
                return FB_OK;
            break;
        case FB_CLASS_TIME: /* seconds since 1970, where a database keeps them so */
        case FB_CLASS_ANY:
            if (as_decimal(d, token->raw, out))
                return FB_OK;
            break;
        default:
            break;
        }
    }
    return does_not_fit(d, c, token->raw, "");
}

/* ---- fields ---- */

static fb_status unknown_column(struct draft *d, fb_bytes name) {
    struct fb_nearest nearest = FB_NEAREST_INIT(name);
    char hint[FB_NAME_LEN_MAX + 24];
    for (unsigned i = 0; i < d->mapping->ncolumns; i++)
        if (!d->mapping->columns[i].is_hidden)
            fb_nearest_offer(&nearest, d->mapping->columns[i].name);
    return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "unknown column '%.*s'%s", shown(name), name.data,
                           fb_nearest_hint(&nearest, hint));
}

/* The column a client names, if it may be written. */
static fb_status find(struct draft *d, fb_bytes name, unsigned *ret_column) {
    int i = fb_mapping_find_column(d->mapping, name);
    if (i < 0)
        return unknown_column(d, name);
    if (d->mapping->columns[i].is_readonly)
        return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "column '%s' cannot be written",
                               d->mapping->columns[i].name);
    *ret_column = (unsigned)i;
    return FB_OK;
}

/* A field that repeats the key is harmless, one that contradicts it is not: the row would have another key. */
static fb_status check_key_field(struct draft *d, const struct fb_column *c, const struct fb_datum *value) {
    struct fb_datum given = *value;
    const struct fb_datum *key = &d->plan->key[c->param];
    if (given.kind == FB_DATUM_NUMBER || given.kind == FB_DATUM_BLOB)
        given.kind = FB_DATUM_TEXT;
    if (fb_datum_equal(&given, key))
        return FB_OK;
    return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "field '%s' contradicts the key", c->name);
}

static fb_status assign(struct draft *d, unsigned column, const struct fb_datum *value) {
    const struct fb_column *c = &d->mapping->columns[column];
    if (c->param >= 0) {
        d->plan->nkey_fields++;
        return check_key_field(d, c, value);
    }
    if (value->kind == FB_DATUM_NULL && !c->is_nullable)
        return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "field '%s' cannot be null", c->name);
    d->given[column] = true;
    d->by_column[column].value = *value;
    return FB_OK;
}

/* ---- operations ---- */

static fb_status plan_json(struct draft *d, fb_bytes text) {
    struct fb_json json;
    struct fb_json_token name, value;
    bool key_given[FB_PATTERN_PARAMS_MAX] = {false};
    fb_json_begin(&json, text);
    if (fb_json_enter_object(&json))
        while (fb_json_member(&json, &name, &value)) {
            unsigned column;
            struct fb_datum datum;
            fb_bytes plain = fb_bytes_of(d->free, fb_json_unescape(name.raw, d->free)); /* not kept */
            fb_status status = find(d, plain, &column);
            if (status != FB_OK)
                return status;
            int param = d->mapping->columns[column].param;
            bool *seen = param >= 0 ? &key_given[param] : &d->given[column];
            if (*seen)
                return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "field '%s' is there twice",
                                       d->mapping->columns[column].name);
            *seen = true;
            status = from_json(d, &d->mapping->columns[column], &value, &datum);
            if (status == FB_OK)
                status = assign(d, column, &datum);
            if (status != FB_OK)
                return status;
        }
    if (!fb_json_finish(&json))
        return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "the value is not a JSON object: %s at byte %zu",
                               json.fault, (size_t)(json.at - json.begin));
    return FB_OK;
}

/* With `replace` every other column goes back to its default, so it must have one. */
static fb_status check_replaced(struct draft *d) {
    for (unsigned i = 0; i < d->mapping->ncolumns; i++) {
        const struct fb_column *c = &d->mapping->columns[i];
        if (!d->given[i] && c->param < 0 && !c->is_hidden && !c->is_readonly && !c->is_nullable && !c->has_default)
            return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "field '%s' is missing and has no default",
                                   c->name);
    }
    return FB_OK;
}

static fb_status plan_set(struct draft *d, const fb_op *op) {
    const struct fb_mapping *m = d->mapping;
    if (m->as == FB_AS_HASH)
        return fb_fail(d->err, FB_WRONGTYPE, "%s", wrong_type);
    if (m->as == FB_AS_JSON) {
        fb_status status = plan_json(d, op->value);
        d->plan->replaces = m->set_replaces;
        return status == FB_OK && m->set_replaces ? check_replaced(d) : status;
    }
    const struct fb_column *c = &m->columns[m->as_column];
    struct fb_datum datum;
    if (c->is_readonly)
        return fb_mapping_fail(m, d->err, FB_BADVALUE, "column '%s' cannot be written", c->name);
    fb_status status = from_text(d, c, op->value, /* is_column */ true, &datum);
    return status == FB_OK ? assign(d, m->as_column, &datum) : status;
}

static fb_status plan_hset(struct draft *d, const fb_op *op) {
    if (op->nfields == 0)
        return fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "no field is given");
    bool key_given[FB_PATTERN_PARAMS_MAX] = {false};
    for (size_t i = 0; i < op->nfields; i++) {
        unsigned column;
        struct fb_datum datum;
        fb_status status = find(d, op->fields[i].name, &column);
        if (status == FB_OK)
            status = from_text(d, &d->mapping->columns[column], op->fields[i].value, false, &datum);
        if (status == FB_OK)
            status = assign(d, column, &datum); /* the last of equal names wins, as in Redis */
        if (status != FB_OK)
            return status;
        int param = d->mapping->columns[column].param;
        if (param >= 0) {
            d->plan->nkey_fields -= key_given[param];
            key_given[param] = true;
        }
    }
    return FB_OK;
}

static fb_status plan_hdel(struct draft *d, const fb_op *op) {
    static const struct fb_datum null = {.kind = FB_DATUM_NULL};
    for (size_t i = 0; i < op->nfields; i++) {
        unsigned column;
        fb_status status = find(d, op->fields[i].name, &column);
        if (status == FB_OK && d->mapping->columns[column].param >= 0)
            status = fb_mapping_fail(d->mapping, d->err, FB_BADVALUE, "field '%s' is part of the key",
                                     d->mapping->columns[column].name);
        if (status == FB_OK)
            status = assign(d, column, &null);
        if (status != FB_OK)
            return status;
    }
    return FB_OK;
}

static fb_status plan_add(struct draft *d, const fb_op *op) {
    const struct fb_mapping *m = d->mapping;
    bool is_hash = m->as == FB_AS_HASH, is_float = (op->flags & FB_ADD_FLOAT) != 0;
    unsigned column = m->as_column;
    if (is_hash != (op->nfields > 0))
        return fb_fail(d->err, FB_WRONGTYPE, "%s", wrong_type);
    if (m->as == FB_AS_JSON)
        return fb_fail(d->err, FB_NOTANUMBER, "%s", is_float ? no_float : no_integer);
    if (is_hash) {
        fb_status status = find(d, op->fields[0].name, &column);
        if (status != FB_OK)
            return status;
    }
    const struct fb_column *c = &m->columns[column];
    if (c->is_readonly)
        return fb_mapping_fail(m, d->err, FB_BADVALUE, "column '%s' cannot be written", c->name);
    if (c->param >= 0)
        return fb_mapping_fail(m, d->err, FB_BADVALUE, "field '%s' is part of the key", c->name);
    int64_t i = 0;
    double r;
    if (is_float ? !fb_number_real(op->value, &r) : !fb_number_int(op->value, &i))
        return fb_fail(d->err, FB_NOTANUMBER, "%s", is_float ? no_float : no_integer);
    bool is_exact = c->class == FB_CLASS_INTEGER || c->class == FB_CLASS_NUMERIC || c->class == FB_CLASS_ANY;
    if (!is_exact && !(c->class == FB_CLASS_REAL && is_float))
        return fb_fail(d->err, FB_NOTANUMBER, "%s",
                       is_hash ? (is_float ? hash_no_float : hash_no_integer) : (is_float ? no_float : no_integer));
    if (is_float && c->class == FB_CLASS_INTEGER) {
        if (!fb_number_int(op->value, &i))
            return does_not_fit(d, c, op->value, "\"");
        is_float = false;
        d->plan->flags &= ~(unsigned)FB_ADD_FLOAT;
    }
    d->given[column] = true;
    d->by_column[column].value =
        is_float ? fb_datum_bytes(FB_DATUM_NUMBER, copy(d, op->value)) : fb_datum_int(i);
    return FB_OK;
}

static fb_status plan_fields(struct draft *d, const fb_op *op) {
    bool needs_hash = op->kind == FB_OP_HSET || op->kind == FB_OP_HDEL;
    if (needs_hash && d->mapping->as != FB_AS_HASH)
        return fb_fail(d->err, FB_WRONGTYPE, "%s", wrong_type);
    switch (op->kind) {
    case FB_OP_SET:
        return plan_set(d, op);
    case FB_OP_HSET:
        return plan_hset(d, op);
    case FB_OP_HDEL:
        return plan_hdel(d, op);
    case FB_OP_ADD:
        return plan_add(d, op);
    case FB_OP_DELETE:
    case FB_OP_READ:
    case FB_OP_CHECK:
        return FB_OK;
    default:
        return fb_fail(d->err, FB_UNSUPPORTED, "this operation is not a write");
    }
}

/* Room for copies of everything the operation holds. JSON names are decoded there before they are looked up. */
static bool room_for(const fb_op *op, size_t *ret_room) {
    size_t room;
    if (__builtin_add_overflow(op->key.len, op->value.len, &room))
        return false;
    for (size_t i = 0; i < op->nfields; i++)
        if (__builtin_add_overflow(room, op->fields[i].value.len, &room))
            return false;
    /* A JSON string is decoded and the result copied again, so twice the value. */
    return !__builtin_add_overflow(room, op->value.len, ret_room);
}

fb_status fb_plan_make(const struct fb_mapping *mapping, const fb_op *op, struct fb_plan **ret_plan, fb_err *reterr) {
    bool given[FB_COLUMNS_MAX] = {false};
    size_t room, size = sizeof(struct fb_plan) + mapping->ncolumns * sizeof(struct fb_assign);
    struct fb_plan *plan = NULL;
    if (room_for(op, &room) && !__builtin_add_overflow(size, room, &room))
        plan = fb_mem_alloc(room);
    if (plan == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    *plan = (struct fb_plan){.op = op->kind, .flags = op->flags, .assigns = (struct fb_assign *)(plan + 1)};
    struct draft d = {mapping, plan, plan->assigns, given, (char *)plan + size, reterr};
    fb_status status = fb_mapping_key(mapping, copy(&d, op->key), plan->key, reterr);
    if (status == FB_OK)
        status = plan_fields(&d, op);
    if (status != FB_OK) {
        fb_plan_free(plan);
        return status;
    }
    for (unsigned i = 0; i < mapping->ncolumns; i++)
        if (given[i])
            plan->assigns[plan->nassigns++] = (struct fb_assign){.column = i, .value = d.by_column[i].value};
    *ret_plan = plan;
    return FB_OK;
}

void fb_plan_free(struct fb_plan *plan) { fb_mem_free(plan); }

/* ---- sums ---- */

/* A value that was written without a type (SQLite) may be a number in disguise. So is a sum of fractions that happens to
 * be whole: clients are shown "100", and it counts on. */
static bool to_int(const struct fb_datum *d, int64_t *ret) {
    if (d->kind == FB_DATUM_NULL)
        *ret = 0;
    else if (d->kind == FB_DATUM_INT)
        *ret = d->i;
    else if (d->kind == FB_DATUM_REAL && fabs(d->r) <= EXACT_REAL_MAX && floor(d->r) == d->r)
        *ret = (int64_t)d->r;
    else
        return (d->kind == FB_DATUM_TEXT || d->kind == FB_DATUM_NUMBER) && fb_number_int(d->bytes, ret);
    return true;
}

static bool to_real(const struct fb_datum *d, double *ret) {
    if (d->kind == FB_DATUM_NULL)
        *ret = 0;
    else if (d->kind == FB_DATUM_INT)
        *ret = (double)d->i;
    else if (d->kind == FB_DATUM_REAL)
        *ret = d->r;
    else
        return d->kind != FB_DATUM_BLOB && fb_number_real(d->bytes, ret);
    return true;
}

fb_status fb_plan_add(const struct fb_mapping *mapping, const struct fb_plan *plan, const struct fb_datum *now,
                      struct fb_datum *ret_sum, fb_err *reterr) {
    const struct fb_datum *delta = &plan->assigns[0].value;
    bool is_hash = mapping->as == FB_AS_HASH;
    if (delta->kind == FB_DATUM_INT) {
        int64_t old, sum;
        if (!to_int(now, &old))
            return fb_fail(reterr, FB_NOTANUMBER, "%s", is_hash ? hash_no_integer : no_integer);
        if (__builtin_add_overflow(old, delta->i, &sum))
            return fb_fail(reterr, FB_NOTANUMBER, "increment or decrement would overflow");
        *ret_sum = fb_datum_int(sum);
        return FB_OK;
    }
    double old, sum;
    if (!to_real(now, &old))
        return fb_fail(reterr, FB_NOTANUMBER, "%s", is_hash ? hash_no_float : no_float);
    if (!fb_number_add_real(old, delta->bytes, &sum))
        return fb_fail(reterr, FB_NOTANUMBER, "increment would produce NaN or Infinity");
    *ret_sum = fb_datum_real(sum);
    return FB_OK;
}

struct fb_plan fb_plan_of_all(const struct fb_mapping *m, struct fb_assign ret_assigns[FB_COLUMNS_MAX]) {
    struct fb_plan plan = {.op = FB_OP_SET, .assigns = ret_assigns};
    for (unsigned c = 0; c < m->ncolumns; c++) {
        const struct fb_column *column = &m->columns[c];
        bool is_shown = m->as == FB_AS_COLUMN ? c == m->as_column : column->param < 0 && !column->is_hidden;
        if (is_shown && !column->is_readonly)
            ret_assigns[plan.nassigns++] = (struct fb_assign){.column = c};
    }
    return plan;
}
