/* Columns and values of MariaDB and MySQL: which class a type belongs to, and how a value becomes a datum and back.
 *
 *     TINYINT … BIGINT, YEAR         integer (also BOOLEAN, which is TINYINT(1))
 *     BIGINT UNSIGNED, BIT(64)       exact number, beyond 2^63 as its digits
 *     BIT                            integer
 *     DECIMAL                        exact decimal, every digit
 *     FLOAT, DOUBLE                  real (the shortest text that reads back, of a FLOAT as a float)
 *     DATE                           2024-01-31
 *     DATETIME                       2024-01-31T10:00:00, with the fraction it is declared with
 *     TIMESTAMP                      the same in UTC with +00:00
 *     TIME                           as the database writes it, up to ±838:59:59
 *     JSON                           JSON (MariaDB's alias too, which the server's metadata tells)
 *     BINARY, BLOB, geometry         bytes
 *     everything else                text: CHAR, TEXT, ENUM, SET, UUID, INET6 …
 *
 * A date without a day or month, such as 0000-00-00, is none: such a row is an error that names the column. */
#include "source/mysql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rows/number.h"

enum { CHARSET_BINARY = 63 };

static bool has_attribute(const MYSQL_FIELD *field, enum mariadb_field_attr_t which, const char *word) {
    MARIADB_CONST_STRING attribute = {NULL, 0};
    return mariadb_field_attr(&attribute, field, which) == 0 && attribute.length == strlen(word) &&
           memcmp(attribute.str, word, attribute.length) == 0;
}

static enum fb_class class_of_string(const MYSQL_FIELD *field, struct fb_mysql_type *type) {
    static const char *const texts[] = {"uuid", "inet4", "inet6"};
    type->form = FB_MYSQL_TEXT;
    if (has_attribute(field, MARIADB_FIELD_ATTR_FORMAT_NAME, "json"))
        return FB_CLASS_JSON;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (has_attribute(field, MARIADB_FIELD_ATTR_DATA_TYPE_NAME, texts[i]))
            return FB_CLASS_TEXT;
    if (field->charsetnr != CHARSET_BINARY || field->flags & (ENUM_FLAG | SET_FLAG))
        return FB_CLASS_TEXT;
    type->form = FB_MYSQL_BLOB;
    return FB_CLASS_BINARY;
}

enum fb_class fb_mysql_class(const MYSQL_FIELD *field, struct fb_mysql_type *ret_type) {
    bool is_unsigned = (field->flags & UNSIGNED_FLAG) != 0;
    *ret_type = (struct fb_mysql_type){.form = FB_MYSQL_INT, .decimals = (unsigned char)field->decimals};
    switch (field->type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_YEAR:
        return FB_CLASS_INTEGER;
    case MYSQL_TYPE_LONGLONG:
        ret_type->form = is_unsigned ? FB_MYSQL_UINT : FB_MYSQL_INT;
        return is_unsigned ? FB_CLASS_NUMERIC : FB_CLASS_INTEGER;
    case MYSQL_TYPE_FLOAT:
        ret_type->form = FB_MYSQL_FLOAT;
        return FB_CLASS_REAL;
    case MYSQL_TYPE_DOUBLE:
        ret_type->form = FB_MYSQL_DOUBLE;
        return FB_CLASS_REAL;
    case MYSQL_TYPE_DECIMAL:
    case MYSQL_TYPE_NEWDECIMAL:
        ret_type->form = FB_MYSQL_DECIMAL;
        return FB_CLASS_NUMERIC;
    case MYSQL_TYPE_BIT:
        ret_type->form = FB_MYSQL_BIT;
        return field->length > 63 ? FB_CLASS_NUMERIC : FB_CLASS_INTEGER;
    case MYSQL_TYPE_DATE:
    case MYSQL_TYPE_NEWDATE:
        ret_type->form = FB_MYSQL_DATE;
        return FB_CLASS_TIME;
    case MYSQL_TYPE_DATETIME:
    case MYSQL_TYPE_DATETIME2:
        ret_type->form = FB_MYSQL_DATETIME;
        return FB_CLASS_TIME;
    case MYSQL_TYPE_TIMESTAMP:
    case MYSQL_TYPE_TIMESTAMP2:
        ret_type->form = FB_MYSQL_TIMESTAMP;
        return FB_CLASS_TIME;
    case MYSQL_TYPE_TIME:
    case MYSQL_TYPE_TIME2:
        ret_type->form = FB_MYSQL_TIME;
        return FB_CLASS_TIME;
    case MYSQL_TYPE_JSON:
        ret_type->form = FB_MYSQL_TEXT;
        return FB_CLASS_JSON;
    case MYSQL_TYPE_GEOMETRY:
        ret_type->form = FB_MYSQL_BLOB;
        return FB_CLASS_BINARY;
    default:
        return class_of_string(field, ret_type);
    }
}

/* ---- from the server ---- */

void fb_mysql_cell_bind(struct fb_mysql_cell *cell, const struct fb_mysql_type *type, MYSQL_BIND *bind) {
    static const enum enum_field_types buffers[] = {
        [FB_MYSQL_INT] = MYSQL_TYPE_LONGLONG,      [FB_MYSQL_UINT] = MYSQL_TYPE_LONGLONG,
        [FB_MYSQL_FLOAT] = MYSQL_TYPE_FLOAT,       [FB_MYSQL_DOUBLE] = MYSQL_TYPE_DOUBLE,
        [FB_MYSQL_DECIMAL] = MYSQL_TYPE_STRING,    [FB_MYSQL_BIT] = MYSQL_TYPE_BLOB,
        [FB_MYSQL_TEXT] = MYSQL_TYPE_STRING,       [FB_MYSQL_BLOB] = MYSQL_TYPE_BLOB,
        [FB_MYSQL_DATE] = MYSQL_TYPE_DATE,         [FB_MYSQL_DATETIME] = MYSQL_TYPE_DATETIME,
        [FB_MYSQL_TIMESTAMP] = MYSQL_TYPE_TIMESTAMP, [FB_MYSQL_TIME] = MYSQL_TYPE_TIME,
    };
    *bind = (MYSQL_BIND){.buffer_type = buffers[type->form], .length = &cell->len, .is_null = &cell->is_null,
                         .error = &cell->is_cut, .is_unsigned = type->form == FB_MYSQL_UINT};
    if (!fb_mysql_is_bytes(type->form)) {
        bind->buffer = &cell->t; /* of a union */
        return;
    }
    bind->buffer = cell->bytes.data != NULL ? cell->bytes.data : cell->space;
    bind->buffer_length = (unsigned long)(cell->bytes.data != NULL ? cell->bytes.cap : sizeof cell->space);
}

/* The shortest decimal that reads back as the same float, as a double: 0.1f is 0.1, not 0.10000000149011612. */
static double real_of_float(float f) {
    char text[32];
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f)
            return strtod(text, NULL);
    }
    return (double)f;
}

/* ZEROFILL pads decimals on the left, which is no number for JSON. */
static fb_bytes without_zeros(fb_bytes text) {
    while (text.len > 1 && text.data[0] == '0' && text.data[1] >= '0' && text.data[1] <= '9') {
        text.data++;
        text.len--;
    }
    return text;
}

static struct fb_datum of_unsigned(struct fb_mysql_cell *cell, uint64_t n) {
    if (n <= INT64_MAX)
        return fb_datum_int((int64_t)n);
    int len = snprintf(cell->space, sizeof cell->space, "%llu", (unsigned long long)n);
    return fb_datum_bytes(FB_DATUM_NUMBER, fb_bytes_of(cell->space, (size_t)len));
}

static struct fb_datum of_bits(struct fb_mysql_cell *cell, fb_bytes bytes) {
    uint64_t n = 0;
    for (size_t i = 0; i < bytes.len; i++)
        n = n << 8 | (unsigned char)bytes.data[i];
    return of_unsigned(cell, n);
}

/* Digits of the second: as declared; of an expression (more than 6) as there are. */
static int put_fraction(char *to, size_t room, const struct fb_mysql_type *type, unsigned long micros) {
    static const unsigned long scale[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    unsigned digits = type->decimals <= 6 ? type->decimals : micros != 0 ? 6 : 0;
    return digits == 0 ? 0 : snprintf(to, room, ".%0*lu", (int)digits, micros / scale[digits]);
}

static bool of_time(struct fb_mysql_cell *cell, const struct fb_mysql_type *type, struct fb_datum *out) {
    const MYSQL_TIME *t = &cell->t;
    char *to = cell->space;
    size_t room = sizeof cell->space;
    int n = 0;
    if (type->form == FB_MYSQL_TIME) {
        n = snprintf(to, room, "%s%02u:%02u:%02u", t->neg ? "-" : "", t->day * 24 + t->hour, t->minute, t->second);
    } else {
        if (t->month == 0 || t->day == 0)
            return false;
        n = snprintf(to, room, "%04u-%02u-%02u", t->year, t->month, t->day);
        if (type->form != FB_MYSQL_DATE)
            n += snprintf(to + n, room - (size_t)n, "T%02u:%02u:%02u", t->hour, t->minute, t->second);
    }
    if (type->form != FB_MYSQL_DATE)
        n += put_fraction(to + n, room - (size_t)n, type, t->second_part);
    if (type->form == FB_MYSQL_TIMESTAMP)
        n += snprintf(to + n, room - (size_t)n, "+00:00");
    *out = fb_datum_bytes(FB_DATUM_TEXT, fb_bytes_of(to, (size_t)n));
    return true;
}

bool fb_mysql_cell_read(struct fb_mysql_cell *cell, const struct fb_mysql_type *type, struct fb_datum *out) {
    const char *data = cell->bytes.data != NULL ? cell->bytes.data : cell->space;
    *out = fb_datum_null();
    if (cell->is_null)
        return true;
    fb_bytes bytes = fb_mysql_is_bytes(type->form) ? fb_bytes_of(data, cell->len) : fb_bytes_of(NULL, 0);
    switch (type->form) {
    case FB_MYSQL_INT:
        *out = fb_datum_int(cell->i);
        break;
    case FB_MYSQL_UINT:
        *out = of_unsigned(cell, (uint64_t)cell->i);
        break;
    case FB_MYSQL_FLOAT:
        *out = fb_datum_real(real_of_float(cell->f));
        break;
    case FB_MYSQL_DOUBLE:
        *out = fb_datum_real(cell->r);
        break;
    case FB_MYSQL_DECIMAL:
        bytes = without_zeros(bytes);
        *out = fb_datum_bytes(fb_number_is_decimal(bytes) ? FB_DATUM_NUMBER : FB_DATUM_TEXT, bytes);
        break;
    case FB_MYSQL_BIT:
        *out = of_bits(cell, bytes);
        break;
    case FB_MYSQL_TEXT:
        *out = fb_datum_bytes(FB_DATUM_TEXT, bytes);
        break;
    case FB_MYSQL_BLOB:
        *out = fb_datum_bytes(FB_DATUM_BLOB, bytes);
        break;
    case FB_MYSQL_DATE:
    case FB_MYSQL_DATETIME:
    case FB_MYSQL_TIMESTAMP:
    case FB_MYSQL_TIME:
        return of_time(cell, type, out);
    }
    return true;
}

/* ---- to the server ---- */

/* "+02:00" at the end: the minutes, and its length. */
static bool read_offset(fb_bytes text, int *ret_minutes) {
    const char *p = text.data + text.len - 6;
    int64_t hours, minutes;
    if (text.len < 19 + 6 || (p[0] != '+' && p[0] != '-') || p[3] != ':' || p[1] < '0' || p[1] > '1' || p[4] < '0' ||
        p[4] > '5' || p[2] < '0' || p[2] > '9' || p[5] < '0' || p[5] > '9')
        return false;
    hours = (p[1] - '0') * 10 + p[2] - '0';
    minutes = (p[4] - '0') * 10 + p[5] - '0';
    *ret_minutes = (int)(hours * 60 + minutes) * (p[0] == '-' ? -1 : 1);
    return true;
}

/* The 19 characters of a date and time, moved to UTC. */
static bool to_utc(char *text, int offset_minutes) {
    struct tm tm = {0};
    char out[20], copy[20] = "";
    memcpy(copy, text, 19);
    copy[10] = ' ';
    const char *end = strptime(copy, "%Y-%m-%d %H:%M:%S", &tm);
    if (end == NULL || *end != '\0')
        return false;
    time_t t = timegm(&tm) - offset_minutes * 60;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S", &tm) != 19)
        return false;
    memcpy(text, out, 19);
    return true;
}

bool fb_mysql_time_value(const struct fb_mysql_type *type, struct fb_datum *datum) {
    int minutes;
    if (datum->kind == FB_DATUM_NULL)
        return true;
    if (datum->kind != FB_DATUM_TEXT)
        return false;
    if (type->form != FB_MYSQL_DATETIME && type->form != FB_MYSQL_TIMESTAMP)
        return true;
    fb_bytes *text = &datum->bytes;
    if (text->len >= 20 && text->data[text->len - 1] == 'Z') {
        text->len--;
    } else if (read_offset(*text, &minutes)) {
        /* A DATETIME has no zone: one that is not UTC stays, and the server refuses it. */
        if (minutes == 0 || (type->form == FB_MYSQL_TIMESTAMP && to_utc((char *)(uintptr_t)text->data, minutes)))
            text->len -= 6;
    }
    return true;
}
