/* Columns and values of PostgreSQL: which class a type belongs to, and how its text becomes a datum and back.
 *
 *     int2 int4 int8 oid           integer
 *     float4 float8                real (shortest text that reads back; Infinity and NaN are theirs)
 *     numeric                      exact decimal, every digit; its NaN and Infinity are texts
 *     bool                         0, 1
 *     bytea                        bytes
 *     json jsonb, arrays, rows     JSON
 *     timestamp, timestamptz       RFC 3339 (T between date and time, +00:00); infinity and years before Christ as they are
 *     date time interval           as PostgreSQL writes them (interval in ISO 8601)
 *     everything else              text: uuid, enum, inet, text, varchar … */
#include "source/pg.h"

#include <string.h>

#include "base/err.h"
#include "rows/number.h"

/* Numbers of types in pg_type, which never change. */
enum {
    OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_OID = 26, OID_JSON = 114,
    OID_FLOAT4 = 700, OID_FLOAT8 = 701, OID_DATE = 1082, OID_TIME = 1083, OID_TIMESTAMP = 1114, OID_TIMESTAMPTZ = 1184,
    OID_INTERVAL = 1186, OID_TIMETZ = 1266, OID_NUMERIC = 1700, OID_JSONB = 3802, OID_TEXT = 25, OID_VARCHAR = 1043,
    OID_UUID = 2950,
};

static const struct type {
    Oid oid;
    enum fb_class class;
    enum fb_pg_form form;
} types[] = {
    {OID_BOOL, FB_CLASS_BOOLEAN, FB_PG_BOOL},      {OID_BYTEA, FB_CLASS_BINARY, FB_PG_BYTEA},
    {OID_INT8, FB_CLASS_INTEGER, FB_PG_INT},       {OID_INT2, FB_CLASS_INTEGER, FB_PG_INT},
    {OID_INT4, FB_CLASS_INTEGER, FB_PG_INT},       {OID_OID, FB_CLASS_INTEGER, FB_PG_INT},
    {OID_JSON, FB_CLASS_JSON, FB_PG_TEXT},         {OID_JSONB, FB_CLASS_JSON, FB_PG_TEXT},
    {OID_FLOAT4, FB_CLASS_REAL, FB_PG_REAL},       {OID_FLOAT8, FB_CLASS_REAL, FB_PG_REAL},
    {OID_DATE, FB_CLASS_TIME, FB_PG_TEXT},         {OID_TIME, FB_CLASS_TIME, FB_PG_TEXT},
    {OID_TIMETZ, FB_CLASS_TIME, FB_PG_TEXT},       {OID_INTERVAL, FB_CLASS_TIME, FB_PG_TEXT},
    {OID_TIMESTAMP, FB_CLASS_TIME, FB_PG_TIMESTAMP}, {OID_TIMESTAMPTZ, FB_CLASS_TIME, FB_PG_TIMESTAMP},
    {OID_NUMERIC, FB_CLASS_NUMERIC, FB_PG_NUMERIC},
};

enum fb_class fb_pg_class(Oid type, char category, enum fb_pg_form *ret_form, bool *ret_composed) {
    *ret_form = FB_PG_TEXT;
    *ret_composed = category == 'A' || category == 'C';
    if (*ret_composed)
        return FB_CLASS_JSON;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].oid == type) {
            *ret_form = types[i].form;
            return types[i].class;
        }
    return FB_CLASS_TEXT;
}

bool fb_pg_is_rewritten(Oid type) { return type != OID_TEXT && type != OID_VARCHAR; }

bool fb_pg_is_key_type(Oid type, enum fb_param_type *ret_param) {
    static const struct { Oid oid; enum fb_param_type param; } keys[] = {
        {OID_INT8, FB_PARAM_INT},  {OID_INT4, FB_PARAM_INT},     {OID_INT2, FB_PARAM_INT}, {OID_UUID, FB_PARAM_UUID},
        {OID_DATE, FB_PARAM_DATE}, {OID_VARCHAR, FB_PARAM_TEXT}, {OID_TEXT, FB_PARAM_TEXT},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].oid == type) {
            *ret_param = keys[i].param;
            return true;
        }
    return false;
}

/* ---- from the server ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x00ff" into the session's buffer, which has room. */
static bool decode_bytea(fb_buf *out, fb_bytes text, struct fb_datum *datum) {
    if (text.len < 2 || text.data[0] != '\\' || text.data[1] != 'x' || text.len % 2 != 0)
        return false;
    char *to = out->data + out->len;
    size_t n = text.len / 2 - 1;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(text.data[2 + 2 * i]), low = hex_digit(text.data[3 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (char)(high * 16 + low);
    }
    out->len += n;
    *datum = fb_datum_bytes(FB_DATUM_BLOB, fb_bytes_of(to, n));
    return true;
}

enum { ZONE_ROOM = 4 }; /* ":00" and the like */

/* "2024-01-31 10:00:00.5+00" becomes "2024-01-31T10:00:00.5+00:00". */
static struct fb_datum decode_timestamp(fb_buf *out, fb_bytes text) {
    bool is_plain = text.len >= 19 && text.data[10] == ' ' && text.data[text.len - 1] != 'C';
    if (!is_plain)
        return fb_datum_bytes(FB_DATUM_TEXT, text);
    char *to = out->data + out->len;
    size_t n = text.len;
    memcpy(to, text.data, n);
    to[10] = 'T';
    if (to[n - 3] == '+' || to[n - 3] == '-') {
        memcpy(to + n, ":00", 3);
        n += 3;
    }
    out->len += n;
    return fb_datum_bytes(FB_DATUM_TEXT, fb_bytes_of(to, n));
}

bool fb_pg_decode(struct fb_session *session, enum fb_pg_form form, fb_bytes text, struct fb_datum *out) {
    int64_t integer;
    double real;
    switch (form) {
    case FB_PG_INT:
        if (!fb_number_int(text, &integer))
            return false;
        *out = fb_datum_int(integer);
        return true;
    case FB_PG_REAL:
        if (fb_number_real(text, &real))
            *out = fb_datum_real(real);
        else if (text.len > 0 && text.data[0] == 'N')
            *out = fb_datum_real(__builtin_nan(""));
        else
            *out = fb_datum_real(text.len > 0 && text.data[0] == '-' ? -__builtin_inf() : __builtin_inf());
        return true;
    case FB_PG_NUMERIC:
        *out = fb_datum_bytes(fb_number_is_decimal(text) ? FB_DATUM_NUMBER : FB_DATUM_TEXT, text);
        return true;
    case FB_PG_BOOL:
        *out = fb_datum_int(text.len == 1 && text.data[0] == 't');
        return true;
    case FB_PG_BYTEA:
        return decode_bytea(&session->decoded, text, out);
    case FB_PG_TIMESTAMP:
        *out = decode_timestamp(&session->decoded, text);
        return true;
    case FB_PG_TEXT:
        break;
    }
    *out = fb_datum_bytes(FB_DATUM_TEXT, text);
    return true;
}

fb_status fb_pg_row(struct fb_session *session, const struct fb_binding *binding, const PGresult *result, int row,
                    struct fb_datum *ret_row, fb_err *err) {
    const struct fb_mapping *m = &binding->mapping;
    size_t room = 0;
    if (PQnfields(result) != (int)m->ncolumns)
        return fb_mapping_fail(m, err, FB_SOURCE, "the columns have changed since the keyspace was added");
    for (unsigned i = 0; i < m->ncolumns; i++)
        if (binding->forms[i] == FB_PG_BYTEA || binding->forms[i] == FB_PG_TIMESTAMP)
            room += (size_t)PQgetlength(result, row, (int)i) + ZONE_ROOM;
    session->decoded.len = 0;
    if (fb_buf_reserve(&session->decoded, room) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    for (unsigned i = 0; i < m->ncolumns; i++) {
        int column = (int)i;
        fb_bytes text = fb_bytes_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
        if (PQgetisnull(result, row, column))
            ret_row[i] = fb_datum_null();
        else if (!fb_pg_decode(session, binding->forms[i], text, &ret_row[i]))
            return fb_mapping_fail(m, err, FB_SOURCE, "column '%s' is not of the type it had when the keyspace was added",
                                   m->columns[i].name);
    }
    return FB_OK;
}

/* A row of key columns alone; their forms need no decoding into memory. */
fb_status fb_pg_key_row(struct fb_session *session, const struct fb_binding *binding, const PGresult *result, int row,
                        struct fb_datum *ret_row, fb_err *err) {
    for (unsigned i = 0; i < binding->mapping.pattern.nparams; i++) {
        int column = (int)i;
        fb_bytes text = fb_bytes_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
        if (PQgetisnull(result, row, column))
            ret_row[i] = fb_datum_null();
        else if (!fb_pg_decode(session, binding->forms[binding->key_columns[i]], text, &ret_row[i]))
            return fb_mapping_fail(&binding->mapping, err, FB_SOURCE, "a key column has another type than before");
    }
    return FB_OK;
}

/* ---- to the server ---- */

size_t fb_pg_param_size(const struct fb_datum *datum) {
    return datum->kind >= FB_DATUM_NUMBER ? datum->bytes.len + 1 : FB_DATUM_TEXT_MAX;
}

fb_status fb_pg_params_begin(struct fb_session *session, struct fb_pg_params *params, size_t bytes, fb_err *err) {
    params->n = 0;
    session->params.len = 0;
    return fb_buf_reserve(&session->params, bytes) == FB_OK ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

/* Texts are copied to end with NUL, which libpq asks for; bytes are sent in binary form. */
fb_status fb_pg_param(struct fb_session *session, struct fb_pg_params *params, const struct fb_datum *datum,
                      fb_err *err) {
    int i = params->n++;
    params->values[i] = NULL;
    params->lengths[i] = params->formats[i] = 0;
    if (datum->kind == FB_DATUM_NULL)
        return FB_OK;
    if (datum->kind == FB_DATUM_BLOB) {
        params->values[i] = datum->bytes.len > 0 ? datum->bytes.data : "";
        params->lengths[i] = (int)datum->bytes.len;
        params->formats[i] = 1;
        return FB_OK;
    }
    char space[FB_DATUM_TEXT_MAX];
    fb_bytes text = fb_datum_text(datum, space);
    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL)
        return fb_fail(err, FB_BADVALUE, "texts of PostgreSQL cannot hold NUL");
    char *to = session->params.data + session->params.len;
    if (text.len > 0)
        memcpy(to, text.data, text.len);
    to[text.len] = '\0';
    session->params.len += text.len + 1;
    params->values[i] = to;
    return FB_OK;
}
