/* Changes as bytes: made from plans, merged, and made into plans again.
 *
 *     u8 version, u8 kind, u16 columns, then for each column
 *     u16 length, name, u8 kind of datum (| ADDS), value, and with ADDS the addend as i64
 *     a value: nothing (NULL), i64 (INT), the bits of a double (REAL), or u32 length and bytes
 *
 * All integers little-endian. */
#include "rows/change.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { VERSION = 1, HEADER = 4, ADDS = 0x80 };

/* ---- reading ---- */

/* What is left of the bytes; a read beyond the end makes it broken and gives zeroes. */
struct reader {
    const unsigned char *at, *end;
    bool is_broken;
};

static uint64_t take(struct reader *r, unsigned bytes) {
    uint64_t value = 0;
    if ((size_t)(r->end - r->at) < bytes) {
        r->is_broken = true;
        return 0;
    }
    for (unsigned i = bytes; i > 0; i--)
        value = value << 8 | r->at[i - 1];
    r->at += bytes;
    return value;
}

static fb_bytes take_bytes(struct reader *r, size_t len) {
    if ((size_t)(r->end - r->at) < len) {
        r->is_broken = true;
        return fb_bytes_of(NULL, 0);
    }
    fb_bytes bytes = fb_bytes_of((const char *)r->at, len);
    r->at += len;
    return bytes;
}

static struct fb_datum take_datum(struct reader *r, unsigned kind) {
    struct fb_datum datum = {.kind = (enum fb_datum_kind)kind};
    uint64_t bits;
    switch (kind) {
    case FB_DATUM_NULL:
        break;
    case FB_DATUM_INT:
        datum.i = (int64_t)take(r, 8);
        break;
    case FB_DATUM_REAL:
        bits = take(r, 8);
        memcpy(&datum.r, &bits, sizeof bits);
        break;
    case FB_DATUM_NUMBER:
    case FB_DATUM_TEXT:
    case FB_DATUM_BLOB:
        datum.bytes = take_bytes(r, (size_t)take(r, 4));
        break;
    default:
        r->is_broken = true;
    }
    return datum;
}

static struct fb_change_column take_column(struct reader *r) {
    struct fb_change_column column = {.name = take_bytes(r, (size_t)take(r, 2))};
    unsigned tag = (unsigned)take(r, 1);
    column.adds = (tag & ADDS) != 0;
    column.value = take_datum(r, tag & ~(unsigned)ADDS);
    if (column.adds)
        column.addend = (int64_t)take(r, 8);
    return column;
}

static struct reader reader_of(fb_bytes bytes) {
    const unsigned char *at = (const unsigned char *)bytes.data;
    return (struct reader){at, at + bytes.len, false};
}

bool fb_change_parse(fb_bytes encoded, struct fb_change *ret_change) {
    if (encoded.len < HEADER)
        return false;
    struct reader r = reader_of(encoded);
    uint64_t version = take(&r, 1), kind = take(&r, 1), ncolumns = take(&r, 2);
    if (version != VERSION || kind < FB_CHANGE_MERGE || kind > FB_CHANGE_DELETE || ncolumns > FB_COLUMNS_MAX)
        return false;
    if (kind == FB_CHANGE_DELETE && ncolumns > 0)
        return false;
    *ret_change = (struct fb_change){(enum fb_change_kind)kind, (unsigned)ncolumns,
                                     fb_bytes_of(encoded.data + HEADER, encoded.len - HEADER)};
    for (uint64_t i = 0; i < ncolumns && !r.is_broken; i++)
        (void)take_column(&r);
    return !r.is_broken && r.at == r.end;
}

bool fb_change_next(const struct fb_change *change, size_t *cursor, struct fb_change_column *ret_column) {
    if (*cursor >= change->columns.len)
        return false;
    struct reader r = reader_of(fb_bytes_of(change->columns.data + *cursor, change->columns.len - *cursor));
    *ret_column = take_column(&r);
    *cursor = (size_t)(r.at - (const unsigned char *)change->columns.data);
    return true;
}

/* ---- writing ---- */

/* The first failed append is remembered. */
struct writer {
    fb_buf *out;
    size_t begin;
    unsigned ncolumns;
    fb_status status;
};

static void put_bytes(struct writer *w, const void *data, size_t len) {
    if (w->status == FB_OK && len > 0)
        w->status = fb_buf_append(w->out, data, len);
}

static void put(struct writer *w, uint64_t value, unsigned bytes) {
    unsigned char raw[8];
    for (unsigned i = 0; i < bytes; i++)
        raw[i] = (unsigned char)(value >> (8 * i));
    put_bytes(w, raw, bytes);
}

static struct writer begin(fb_buf *out, enum fb_change_kind kind) {
    struct writer w = {out, out->len, 0, FB_OK};
    put(&w, VERSION, 1);
    put(&w, kind, 1);
    put(&w, 0, 2); /* filled in at the end */
    return w;
}

static fb_status end(struct writer *w) {
    if (w->status != FB_OK) {
        w->out->len = w->begin;
        return FB_NOMEM;
    }
    w->out->data[w->begin + 2] = (char)(w->ncolumns & 0xff);
    w->out->data[w->begin + 3] = (char)(w->ncolumns >> 8);
    return FB_OK;
}

static void put_column(struct writer *w, const struct fb_change_column *column) {
    const struct fb_datum *value = &column->value;
    uint64_t bits;
    w->ncolumns++;
    put(w, column->name.len, 2);
    put_bytes(w, column->name.data, column->name.len);
    put(w, (unsigned)value->kind | (column->adds ? (unsigned)ADDS : 0), 1);
    switch (value->kind) {
    case FB_DATUM_NULL:
        break;
    case FB_DATUM_INT:
        put(w, (uint64_t)value->i, 8);
        break;
    case FB_DATUM_REAL:
        memcpy(&bits, &value->r, sizeof bits);
        put(w, bits, 8);
        break;
    default:
        put(w, value->bytes.len, 4);
        put_bytes(w, value->bytes.data, value->bytes.len);
    }
    if (column->adds)
        put(w, (uint64_t)column->addend, 8);
}

static fb_bytes table_name(const struct fb_column *column) {
    return column->db_name != NULL ? FB_STR(column->db_name) : fb_bytes_of(column->name, column->name_len);
}

fb_status fb_change_of_plan(const struct fb_mapping *mapping, const struct fb_plan *plan, const struct fb_datum *sum,
                            bool adds, fb_buf *out) {
    enum fb_change_kind kind = plan->op == FB_OP_DELETE ? FB_CHANGE_DELETE
                               : plan->replaces         ? FB_CHANGE_REPLACE
                                                        : FB_CHANGE_MERGE;
    struct writer w = begin(out, kind);
    for (unsigned i = 0; i < plan->nassigns && kind != FB_CHANGE_DELETE; i++) {
        const struct fb_assign *assign = &plan->assigns[i];
        struct fb_change_column column = {.name = table_name(&mapping->columns[assign->column]),
                                          .value = assign->value};
        if (plan->op == FB_OP_ADD) {
            column.value = *sum;
            column.adds = adds && assign->value.kind == FB_DATUM_INT;
            column.addend = column.adds ? assign->value.i : 0;
        }
        put_column(&w, &column);
    }
    return end(&w);
}

/* ---- merging ---- */

static bool find(const struct fb_change *change, fb_bytes name, struct fb_change_column *ret_column) {
    for (size_t cursor = 0; fb_change_next(change, &cursor, ret_column);)
        if (ret_column->name.len == name.len && (name.len == 0 || memcmp(ret_column->name.data, name.data, name.len) == 0))
            return true;
    return false;
}

/* The later of two values of a column. Adding to what was set is setting; two sums are one. `is_reset`: a column that the
 * older change does not name has its default, so the value that was shown is what it is set to. */
static void put_later(struct writer *w, const struct fb_change *older, struct fb_change_column *column, bool is_reset) {
    struct fb_change_column before;
    if (column->adds) {
        if (!find(older, column->name, &before))
            column->adds = !is_reset;
        else if (!before.adds || __builtin_add_overflow(before.addend, column->addend, &column->addend))
            column->adds = false;
    }
    put_column(w, column);
}

static enum fb_change_kind merged_kind(enum fb_change_kind older, enum fb_change_kind newer) {
    bool was_gone = older == FB_CHANGE_DELETE || older == FB_CHANGE_RECREATE;
    if (newer == FB_CHANGE_DELETE || newer == FB_CHANGE_RECREATE)
        return newer;
    if (was_gone)
        return FB_CHANGE_RECREATE;
    return newer == FB_CHANGE_REPLACE ? newer : older;
}

fb_status fb_change_merge(const struct fb_change *older, const struct fb_change *newer, fb_buf *out) {
    struct fb_change_column column, other;
    struct writer w = begin(out, merged_kind(older->kind, newer->kind));
    bool keeps_older = newer->kind == FB_CHANGE_MERGE;
    bool is_reset = older->kind != FB_CHANGE_MERGE;
    for (size_t cursor = 0; keeps_older && fb_change_next(older, &cursor, &column);)
        if (!find(newer, column.name, &other))
            put_column(&w, &column);
    for (size_t cursor = 0; fb_change_next(newer, &cursor, &column);)
        put_later(&w, older, &column, is_reset);
    return end(&w);
}

/* ---- to the database ---- */

static fb_status gone(const struct fb_mapping *mapping, fb_bytes name, const char *what, fb_err *err) {
    return fb_mapping_fail(mapping, err, FB_CONFIG, "a write is waiting for column '%.*s', which %s", (int)name.len,
                           name.data, what);
}

static int column_of(const struct fb_mapping *mapping, fb_bytes name) {
    for (unsigned i = 0; i < mapping->ncolumns; i++) {
        fb_bytes own = table_name(&mapping->columns[i]);
        if (own.len == name.len && memcmp(own.data, name.data, name.len) == 0)
            return (int)i;
    }
    return -1;
}

static struct fb_datum copy_datum(const struct fb_datum *datum, char **room) {
    struct fb_datum copy = *datum;
    if (datum->kind >= FB_DATUM_NUMBER) {
        if (datum->bytes.len > 0)
            memcpy(*room, datum->bytes.data, datum->bytes.len);
        copy.bytes.data = *room;
        *room += datum->bytes.len;
    }
    return copy;
}

static fb_status assign_all(const struct fb_mapping *mapping, const struct fb_change *change, struct fb_plan *plan,
                            char *room, fb_err *err) {
    struct fb_assign by_column[FB_COLUMNS_MAX];
    bool given[FB_COLUMNS_MAX] = {false};
    struct fb_change_column column;
    for (size_t cursor = 0; fb_change_next(change, &cursor, &column);) {
        int i = column_of(mapping, column.name);
        if (i < 0)
            return gone(mapping, column.name, "is gone", err);
        if (mapping->columns[i].is_readonly || mapping->columns[i].param >= 0)
            return gone(mapping, column.name, "cannot be written any more", err);
        struct fb_datum addend = fb_datum_int(column.addend);
        by_column[i] = (struct fb_assign){.column = (unsigned)i, .adds = column.adds,
                                          .value = copy_datum(column.adds ? &addend : &column.value, &room)};
        given[i] = true;
    }
    for (unsigned i = 0; i < mapping->ncolumns; i++)
        if (given[i])
            plan->assigns[plan->nassigns++] = by_column[i];
    return FB_OK;
}

fb_status fb_change_plan(const struct fb_mapping *mapping, fb_bytes key, const struct fb_change *change,
                         struct fb_plan **ret_plan, fb_err *reterr) {
    size_t size = sizeof(struct fb_plan) + change->ncolumns * sizeof(struct fb_assign);
    struct fb_plan *plan = fb_mem_alloc(size + key.len + change->columns.len);
    if (plan == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    *plan = (struct fb_plan){
        .op = change->kind == FB_CHANGE_DELETE ? FB_OP_DELETE : change->kind == FB_CHANGE_MERGE ? FB_OP_HSET : FB_OP_SET,
        .replaces = change->kind == FB_CHANGE_REPLACE || change->kind == FB_CHANGE_RECREATE,
        .recreates = change->kind == FB_CHANGE_RECREATE,
        .assigns = (struct fb_assign *)(plan + 1),
    };
    char *room = (char *)plan + size;
    if (key.len > 0)
        memcpy(room, key.data, key.len);
    fb_status status = fb_mapping_key(mapping, fb_bytes_of(room, key.len), plan->key, reterr);
    if (status == FB_OK)
        status = assign_all(mapping, change, plan, room + key.len, reterr);
    if (status != FB_OK) {
        fb_plan_free(plan);
        return status;
    }
    *ret_plan = plan;
    return FB_OK;
}
