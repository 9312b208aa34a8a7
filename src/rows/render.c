/* A row becomes a value: JSON, a hash, or one column.
 *
 *     class      JSON                                hash field, column text
 *     integer    number                              decimal text
 *     numeric    number, every digit                 the same digits
 *     real       shortest number that reads back     the same; infinities are the string "Infinity"
 *     boolean    false, true                         0, 1
 *     text, time string                              the bytes
 *     json       embedded (a string if it is none)   its text
 *     binary     base64                              base64; a keyspace of one column shows the bytes themselves
 *     NULL       null                                no field; a keyspace of one column has no value
 *
 * A value that is not of its column's class (SQLite allows that) is shown as what it is. What has no faithful form is
 * an error that names the column, never something similar: text that is not UTF-8 in JSON, bytes in a column that is
 * not binary. Fields are in column order, so equal rows give equal bytes. */
#include "rows/mapping.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "rows/base64.h"
#include "rows/json.h"
#include "base/utf8.h"

static const char hex[] = "0123456789abcdef";

/* The text of a control character, quote or backslash in a JSON string. */
static size_t escape(char c, char out[6]) {
    static const char special[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *found = c != 0 ? strchr(special, c) : NULL;
    out[0] = '\\';
    if (found != NULL) {
        out[1] = letter[found - special];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[(unsigned char)c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

fb_status fb_render_json_string(fb_buf *out, fb_bytes text) {
    fb_status status = fb_buf_reserve(out, text.len + 2);
    const char *end = text.data + text.len, *plain = text.data;
    if (status == FB_OK)
        status = fb_buf_append(out, "\"", 1);
    for (const char *p = text.data; p < end && status == FB_OK;) {
        unsigned n = fb_utf8_step(p, end);
        if (n == 0)
            return FB_BADVALUE;
        if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\') {
            char escaped[6];
            size_t len = escape(*p, escaped);
            status = fb_buf_append(out, plain, (size_t)(p - plain));
            if (status == FB_OK)
                status = fb_buf_append(out, escaped, len);
            plain = p + 1;
        }
        p += n;
    }
    if (status == FB_OK && end > plain)
        status = fb_buf_append(out, plain, (size_t)(end - plain));
    return status == FB_OK ? fb_buf_append(out, "\"", 1) : status;
}

static bool is_base64(const struct fb_column *column, const struct fb_datum *d) {
    return column->class == FB_CLASS_BINARY || (column->class == FB_CLASS_ANY && d->kind == FB_DATUM_BLOB);
}

static fb_status append_quoted(fb_buf *out, const char *quote, fb_bytes bytes) {
    fb_status status = fb_buf_append(out, quote, strlen(quote));
    if (status == FB_OK)
        status = fb_base64_append(out, bytes);
    return status == FB_OK ? fb_buf_append(out, quote, strlen(quote)) : status;
}

static fb_status append_json(fb_buf *out, const struct fb_column *column, const struct fb_datum *d) {
    char space[FB_DATUM_TEXT_MAX];
    if (d->kind == FB_DATUM_NULL)
        return fb_buf_append(out, "null", 4);
    fb_bytes text = fb_datum_text(d, space);
    if (is_base64(column, d))
        return append_quoted(out, "\"", text);
    switch (d->kind) {
    case FB_DATUM_INT:
        if (column->class == FB_CLASS_BOOLEAN && (d->i == 0 || d->i == 1))
            return d->i == 1 ? fb_buf_append(out, "true", 4) : fb_buf_append(out, "false", 5);
        return fb_buf_append(out, text.data, text.len);
    case FB_DATUM_REAL:
        return isfinite(d->r) ? fb_buf_append(out, text.data, text.len) : fb_render_json_string(out, text);
    case FB_DATUM_NUMBER:
        return fb_buf_append(out, text.data, text.len);
    case FB_DATUM_TEXT:
        if (column->class == FB_CLASS_JSON && fb_json_is_valid(text))
            return fb_buf_append(out, text.data, text.len);
        return fb_render_json_string(out, text);
    default:
        return FB_BADVALUE;
    }
}

static fb_status cannot_show(const struct fb_mapping *m, const struct fb_column *column, const struct fb_datum *d,
                             fb_err *err) {
    return fb_mapping_fail(m, err, FB_SOURCE, "column '%s' holds %s; hide it, or %s", column->name,
                           d->kind == FB_DATUM_BLOB ? "a BLOB although it is not declared so"
                                                    : "text that is not valid UTF-8",
                           d->kind == FB_DATUM_BLOB ? "declare it BLOB" : "serve it as hash or column");
}

fb_status fb_render_json(const struct fb_mapping *m, unsigned column, const struct fb_datum *datum, fb_buf *out,
                         fb_err *reterr) {
    fb_status status = append_json(out, &m->columns[column], datum);
    return status == FB_BADVALUE ? cannot_show(m, &m->columns[column], datum, reterr) : status;
}

static fb_status render_json(const struct fb_mapping *m, const struct fb_datum *row, fb_buf *out, fb_err *err) {
    fb_status status = FB_OK;
    bool is_first = true;
    for (unsigned i = 0; i < m->ncolumns && status == FB_OK; i++) {
        const struct fb_column *column = &m->columns[i];
        if (column->is_hidden)
            continue;
        status = fb_buf_append(out, is_first ? "{" : ",", 1);
        is_first = false;
        if (status == FB_OK)
            status = fb_render_json_string(out, fb_bytes_of(column->name, column->name_len));
        if (status == FB_BADVALUE)
            return cannot_show(m, column, &row[i], err);
        if (status == FB_OK)
            status = fb_buf_append(out, ":", 1);
        if (status == FB_OK)
            status = fb_render_json(m, i, &row[i], out, err);
    }
    if (status == FB_OK && is_first)
        status = fb_buf_append(out, "{", 1);
    return status == FB_OK ? fb_buf_append(out, "}", 1) : status;
}

static fb_status append_field(fb_buf *out, const struct fb_column *column, const struct fb_datum *d) {
    char space[FB_DATUM_TEXT_MAX];
    fb_bytes name = fb_bytes_of(column->name, column->name_len), text = fb_datum_text(d, space);
    if (!is_base64(column, d))
        return d->kind == FB_DATUM_BLOB ? FB_BADVALUE : fb_hash_append(out, name, text);
    fb_buf coded = FB_BUF_INIT;
    fb_status status = fb_base64_append(&coded, text);
    if (status == FB_OK)
        status = fb_hash_append(out, name, fb_bytes_of(coded.data, coded.len));
    fb_buf_free(&coded);
    return status;
}

fb_status fb_render_field(const struct fb_mapping *m, unsigned column, const struct fb_datum *datum, fb_buf *out,
                          fb_err *reterr) {
    fb_status status = datum->kind != FB_DATUM_NULL ? append_field(out, &m->columns[column], datum) : FB_OK;
    return status == FB_BADVALUE ? cannot_show(m, &m->columns[column], datum, reterr) : status;
}

static fb_status render_hash(const struct fb_mapping *m, const struct fb_datum *row, fb_buf *out, fb_err *err) {
    for (unsigned i = 0; i < m->ncolumns; i++) {
        fb_status status = m->columns[i].is_hidden ? FB_OK : fb_render_field(m, i, &row[i], out, err);
        if (status != FB_OK)
            return status;
    }
    return FB_OK;
}

static fb_status render_column(const struct fb_mapping *m, const struct fb_datum *row, fb_buf *out) {
    char space[FB_DATUM_TEXT_MAX];
    const struct fb_datum *d = &row[m->as_column];
    if (d->kind == FB_DATUM_NULL)
        return FB_NOTFOUND;
    fb_bytes text = fb_datum_text(d, space);
    return fb_buf_append(out, text.data, text.len);
}

fb_status fb_render_element(const struct fb_mapping *mapping, const struct fb_datum *row, fb_buf *out, fb_err *reterr) {
    const struct fb_column *column = &mapping->columns[mapping->as_column];
    size_t begin = out->len;
    fb_status status = mapping->as == FB_AS_JSON ? render_json(mapping, row, out, reterr)
                                                 : append_json(out, column, &row[mapping->as_column]);
    if (status == FB_BADVALUE)
        status = cannot_show(mapping, column, &row[mapping->as_column], reterr);
    if (status == FB_NOMEM)
        (void)fb_fail(reterr, FB_NOMEM, "out of memory");
    if (status < 0)
        out->len = begin;
    return status;
}

fb_status fb_render_row(const struct fb_mapping *mapping, const struct fb_datum *row, fb_buf *out, fb_err *reterr) {
    size_t begin = out->len;
    fb_status status = mapping->as == FB_AS_JSON   ? render_json(mapping, row, out, reterr)
                       : mapping->as == FB_AS_HASH ? render_hash(mapping, row, out, reterr)
                                                   : render_column(mapping, row, out);
    if (status == FB_NOMEM)
        (void)fb_fail(reterr, FB_NOMEM, "out of memory");
    if (status < 0)
        out->len = begin;
    return status;
}
