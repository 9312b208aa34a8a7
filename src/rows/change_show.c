/* A change shown on top of a row's value, as the database will show it. */
#include "rows/change.h"

#include <string.h>

#include "base/err.h"
#include "rows/base64.h"
#include "rows/json.h"

static bool is_named(const struct fb_column *column, fb_bytes name) {
    const char *own = column->db_name != NULL ? column->db_name : column->name;
    size_t len = column->db_name != NULL ? strlen(own) : column->name_len;
    return len == name.len && memcmp(own, name.data, len) == 0;
}

/* What the change gives to a column; NULL when nothing. */
static const struct fb_datum *given(const struct fb_change *change, const struct fb_column *column,
                                    struct fb_change_column *space) {
    for (size_t cursor = 0; fb_change_next(change, &cursor, space);)
        if (is_named(column, space->name))
            return &space->value;
    return NULL;
}

static bool is_shown(const struct fb_mapping *m, unsigned column) {
    return m->as == FB_AS_COLUMN ? column == m->as_column : !m->columns[column].is_hidden;
}

bool fb_change_is_whole(const struct fb_mapping *m, const struct fb_change *change) {
    struct fb_change_column space;
    if (change->kind != FB_CHANGE_MERGE)
        return true;
    for (unsigned i = 0; i < m->ncolumns; i++)
        if (is_shown(m, i) && m->columns[i].param < 0 && given(change, &m->columns[i], &space) == NULL)
            return false;
    return true;
}

static bool is_certain(const struct fb_column *column, const struct fb_datum *value) {
    switch (column->class) {
    case FB_CLASS_INTEGER:
    case FB_CLASS_BOOLEAN:
    case FB_CLASS_TEXT:
    case FB_CLASS_BINARY:
        return !column->is_rewritten;
    default:
        return value != NULL && value->kind == FB_DATUM_NULL;
    }
}

bool fb_change_is_certain(const struct fb_mapping *m, const struct fb_change *change, bool exists) {
    struct fb_change_column space;
    bool resets = change->kind != FB_CHANGE_MERGE || !exists;
    if (m->is_changed)
        return false;
    if (change->kind == FB_CHANGE_DELETE)
        return true;
    for (unsigned i = 0; i < m->ncolumns; i++) {
        const struct fb_column *column = &m->columns[i];
        const struct fb_datum *value = given(change, column, &space);
        if (!is_shown(m, i) || column->param >= 0)
            continue;
        if (value != NULL && space.adds)
            return false; /* others may have added as well */
        if (column->is_readonly || (value != NULL && !is_certain(column, value)))
            return false; /* a generated column follows the others */
        if (value == NULL && resets && column->has_default)
            return false;
    }
    return true;
}

/* ---- one column ---- */

/* The value of a column of the row after the change: what it gives, what the key says, or nothing. False: the base has it. */
static bool datum_of(const struct fb_mapping *m, unsigned column, const struct fb_change *change,
                     const struct fb_datum *key, bool has_base, struct fb_datum *ret_datum) {
    struct fb_change_column space;
    const struct fb_datum *value = given(change, &m->columns[column], &space);
    if (value != NULL)
        *ret_datum = *value;
    else if (!has_base && m->columns[column].param >= 0)
        *ret_datum = key[m->columns[column].param];
    else if (!has_base)
        *ret_datum = fb_datum_null();
    else
        return false;
    return true;
}

static fb_status bad_base(const struct fb_mapping *m, fb_err *err) {
    return fb_mapping_fail(m, err, FB_SOURCE, "the value under a waiting write has another shape");
}

/* ---- shapes ---- */

static fb_status show_hash(const struct fb_mapping *m, const struct fb_change *change, const struct fb_datum *key,
                           const fb_bytes *base, fb_buf *out, fb_err *err) {
    for (unsigned i = 0; i < m->ncolumns; i++) {
        const struct fb_column *column = &m->columns[i];
        fb_bytes name = fb_bytes_of(column->name, column->name_len), old;
        struct fb_datum datum;
        fb_status status = FB_OK;
        if (column->is_hidden)
            continue;
        if (datum_of(m, i, change, key, base != NULL, &datum))
            status = fb_render_field(m, i, &datum, out, err);
        else if (fb_hash_get(*base, name, &old) == FB_OK)
            status = fb_hash_append(out, name, old);
        if (status != FB_OK)
            return status;
    }
    return FB_OK;
}

/* The members of a base come in column order under the names that we write, because it was rendered from this mapping. */
static bool next_member(struct fb_json *json, fb_bytes name, fb_bytes *ret_raw) {
    struct fb_json_token found, value;
    if (!fb_json_member(json, &found, &value))
        return false;
    *ret_raw = value.raw;
    return found.raw.len == name.len && memcmp(found.raw.data, name.data, name.len) == 0;
}

static fb_status show_json(const struct fb_mapping *m, const struct fb_change *change, const struct fb_datum *key,
                           const fb_bytes *base, fb_buf *out, fb_err *err) {
    struct fb_json json;
    bool is_first = true;
    fb_json_begin(&json, base != NULL ? *base : fb_bytes_of("{}", 2));
    if (!fb_json_enter_object(&json))
        return bad_base(m, err);
    for (unsigned i = 0; i < m->ncolumns; i++) {
        const struct fb_column *column = &m->columns[i];
        struct fb_datum datum;
        fb_bytes raw = {NULL, 0};
        if (column->is_hidden)
            continue;
        fb_status status = fb_buf_append(out, is_first ? "{" : ",", 1);
        size_t name = out->len;
        is_first = false;
        if (status == FB_OK)
            status = fb_render_json_string(out, fb_bytes_of(column->name, column->name_len));
        if (status != FB_OK)
            return status;
        if (base != NULL && !next_member(&json, fb_bytes_of(out->data + name, out->len - name), &raw))
            return bad_base(m, err);
        status = fb_buf_append(out, ":", 1);
        if (status != FB_OK)
            return status;
        status = datum_of(m, i, change, key, base != NULL, &datum) ? fb_render_json(m, i, &datum, out, err)
                                                                  : fb_buf_append(out, raw.data, raw.len);
        if (status != FB_OK)
            return status;
    }
    return fb_buf_append(out, is_first ? "{}" : "}", is_first ? 2 : 1);
}

static fb_status show_column(const struct fb_mapping *m, const struct fb_change *change, const struct fb_datum *key,
                             const fb_bytes *base, fb_buf *out) {
    char space[FB_DATUM_TEXT_MAX];
    struct fb_datum datum;
    if (!datum_of(m, m->as_column, change, key, base != NULL, &datum))
        return fb_buf_append(out, base->data, base->len);
    if (datum.kind == FB_DATUM_NULL)
        return FB_NOTFOUND;
    fb_bytes text = fb_datum_text(&datum, space);
    return fb_buf_append(out, text.data, text.len);
}

fb_status fb_change_describe(const struct fb_change *change, fb_buf *out) {
    static const char *const kinds[] = {[FB_CHANGE_MERGE] = "merge", [FB_CHANGE_REPLACE] = "replace",
                                        [FB_CHANGE_RECREATE] = "recreate", [FB_CHANGE_DELETE] = "delete"};
    struct fb_change_column column;
    char space[FB_DATUM_TEXT_MAX];
    fb_status status = fb_buf_append(out, "{\"", 2);
    if (status == FB_OK)
        status = fb_buf_append(out, kinds[change->kind], strlen(kinds[change->kind]));
    if (status == FB_OK)
        status = fb_buf_append(out, "\":{", 3);
    bool is_first = true;
    for (size_t cursor = 0; status == FB_OK && fb_change_next(change, &cursor, &column); is_first = false) {
        struct fb_datum value = column.adds ? fb_datum_int(column.addend) : column.value;
        fb_bytes text = value.kind != FB_DATUM_NULL ? fb_datum_text(&value, space) : fb_bytes_of("null", 4);
        status = fb_buf_append(out, ",", !is_first);
        if (status == FB_OK)
            status = fb_render_json_string(out, column.name);
        if (status == FB_OK)
            status = fb_buf_append(out, column.adds ? ":\"+" : ":", column.adds ? 3 : 1);
        if (status == FB_OK && value.kind == FB_DATUM_TEXT)
            status = fb_render_json_string(out, text);
        else if (status == FB_OK && value.kind == FB_DATUM_BLOB) {
            status = fb_buf_append(out, "\"", 1);
            if (status == FB_OK)
                status = fb_base64_append(out, text);
            if (status == FB_OK)
                status = fb_buf_append(out, "\"", 1);
        } else if (status == FB_OK)
            status = fb_buf_append(out, text.data, text.len);
        if (status == FB_OK && column.adds)
            status = fb_buf_append(out, "\"", 1);
    }
    return status == FB_OK ? fb_buf_append(out, "}}", 2) : status;
}

/* Every column that it names must still be there: a value that is not shown would be lost silently. */
static fb_status check_names(const struct fb_mapping *m, const struct fb_change *change, fb_err *err) {
    struct fb_change_column column;
    for (size_t cursor = 0; fb_change_next(change, &cursor, &column);) {
        unsigned i = 0;
        while (i < m->ncolumns && !is_named(&m->columns[i], column.name))
            i++;
        if (i == m->ncolumns)
            return fb_mapping_fail(m, err, FB_CONFIG, "a write is waiting for column '%.*s', which is gone",
                                   (int)column.name.len, column.name.data);
    }
    return FB_OK;
}

fb_status fb_change_show(const struct fb_mapping *m, fb_bytes key, const struct fb_change *change,
                         const fb_bytes *base, fb_buf *out, fb_err *reterr) {
    struct fb_datum params[FB_PATTERN_PARAMS_MAX];
    size_t begin = out->len;
    if (change->kind == FB_CHANGE_DELETE)
        return FB_NOTFOUND;
    if (change->kind != FB_CHANGE_MERGE)
        base = NULL;
    fb_status status = check_names(m, change, reterr);
    if (status == FB_OK)
        status = fb_mapping_key(m, key, params, reterr);
    if (status == FB_OK)
        status = m->as == FB_AS_JSON   ? show_json(m, change, params, base, out, reterr)
                 : m->as == FB_AS_HASH ? show_hash(m, change, params, base, out, reterr)
                                       : show_column(m, change, params, base, out);
    if (status == FB_NOMEM)
        (void)fb_fail(reterr, FB_NOMEM, "out of memory");
    if (status != FB_OK)
        out->len = begin;
    return status;
}
