/* Columns, keys and settings of a keyspace's shape. */
#include "rows/mapping.h"

#include <stdarg.h>
#include <stdio.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/depend.h"
#include "rows/names.h"
#include "rows/number.h"

const char *fb_class_name(enum fb_class class) {
    static const char *const names[] = {
        [FB_CLASS_INTEGER] = "integer", [FB_CLASS_NUMERIC] = "number", [FB_CLASS_REAL] = "real",
        [FB_CLASS_BOOLEAN] = "boolean", [FB_CLASS_TEXT] = "text",      [FB_CLASS_JSON] = "json",
        [FB_CLASS_BINARY] = "base64",   [FB_CLASS_TIME] = "date or time", [FB_CLASS_ANY] = "a value",
    };
    return names[class];
}

bool fb_datum_equal(const struct fb_datum *a, const struct fb_datum *b) {
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case FB_DATUM_NULL:
        return true;
    case FB_DATUM_INT:
        return a->i == b->i;
    case FB_DATUM_REAL:
        return a->r == b->r || (isnan(a->r) && isnan(b->r));
    default:
        return a->bytes.len == b->bytes.len &&
               (a->bytes.len == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0);
    }
}

_Static_assert((int)FB_DATUM_TEXT_MAX == (int)FB_NUMBER_TEXT_MAX, "one buffer holds any number");

fb_bytes fb_datum_text(const struct fb_datum *datum, char space[FB_DATUM_TEXT_MAX]) {
    switch (datum->kind) {
    case FB_DATUM_NULL:
        return fb_bytes_of(NULL, 0);
    case FB_DATUM_INT:
        return fb_bytes_of(space, fb_number_format_int(space, datum->i));
    case FB_DATUM_REAL:
        return fb_bytes_of(space, fb_number_format_real(space, datum->r));
    default:
        return datum->bytes;
    }
}

bool fb_mapping_row_is_key(const struct fb_mapping *mapping, const struct fb_datum *row, const struct fb_datum *key) {
    for (unsigned i = 0; i < mapping->ncolumns; i++) {
        char space[2][FB_DATUM_TEXT_MAX];
        int param = mapping->columns[i].param;
        if (param < 0)
            continue;
        if (row[i].kind == FB_DATUM_NULL || row[i].kind == FB_DATUM_BLOB)
            return false;
        fb_bytes a = fb_datum_text(&row[i], space[0]), b = fb_datum_text(&key[param], space[1]);
        if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
            return false;
    }
    return true;
}

void fb_mapping_finish(struct fb_mapping *mapping) {
    fb_pattern_finish(&mapping->pattern);
    for (unsigned i = 0; i < mapping->ncolumns; i++) {
        fb_mem_free(mapping->columns[i].name);
        fb_mem_free(mapping->columns[i].db_name);
    }
    fb_mem_free(mapping->columns);
    for (unsigned i = 0; i < mapping->ndepends; i++)
        fb_depend_finish(&mapping->depends[i]);
    fb_mem_free(mapping->depends);
    fb_mem_free(mapping->dependents);
    fb_mem_free(mapping->name);
    *mapping = (struct fb_mapping){.name = NULL};
}

fb_status fb_mapping_fail(const struct fb_mapping *mapping, fb_err *err, fb_status status, const char *format, ...) {
    if (err == NULL)
        return status;
    char text[FB_ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fb_fail(err, status, "keyspace '%s': %s", mapping->name, text);
}

int fb_mapping_find_column(const struct fb_mapping *mapping, fb_bytes name) {
    for (unsigned i = 0; i < mapping->ncolumns; i++) {
        const struct fb_column *c = &mapping->columns[i];
        if (!c->is_hidden && c->name_len == name.len && memcmp(c->name, name.data, name.len) == 0)
            return (int)i;
    }
    return -1;
}

static fb_status no_such_column(const struct fb_mapping *mapping, const char *setting, const char *name, fb_err *err) {
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
    char hint[FB_NAME_LEN_MAX + 24];
    for (unsigned i = 0; i < mapping->ncolumns; i++)
        fb_nearest_offer(&nearest, mapping->columns[i].name);
    return fb_mapping_fail(mapping, err, FB_CONFIG, "%s: there is no column '%s'%s", setting, name,
                           fb_nearest_hint(&nearest, hint));
}

fb_status fb_mapping_hide(struct fb_mapping *mapping, const char *const *names, fb_err *reterr) {
    for (; names != NULL && *names != NULL; names++) {
        int i = fb_mapping_find_column(mapping, FB_STR(*names));
        if (i >= 0) {
            mapping->columns[i].is_hidden = true;
            continue;
        }
        bool is_hidden_already = false;
        for (unsigned k = 0; k < mapping->ncolumns; k++)
            is_hidden_already = is_hidden_already || strcmp(mapping->columns[k].name, *names) == 0;
        if (!is_hidden_already)
            return no_such_column(mapping, "hide_columns", *names, reterr);
    }
    return FB_OK;
}

static int any_column(const struct fb_mapping *mapping, const char *name, size_t len) {
    for (unsigned i = 0; i < mapping->ncolumns; i++)
        if (mapping->columns[i].name_len == len && memcmp(mapping->columns[i].name, name, len) == 0)
            return (int)i;
    return -1;
}

static const char *db_name(const struct fb_column *column) {
    return column->db_name != NULL ? column->db_name : column->name;
}

int fb_mapping_column(const struct fb_mapping *mapping, const char *name) {
    for (unsigned i = 0; i < mapping->ncolumns; i++)
        if (strcmp(db_name(&mapping->columns[i]), name) == 0)
            return (int)i;
    return -1;
}

/* Does an item of the list give this column another name? */
static bool is_renamed(const struct fb_column *column, const char *const *list) {
    size_t len = strlen(db_name(column));
    for (; *list != NULL; list++)
        if (strncmp(*list, db_name(column), len) == 0 && (*list)[len] == '=')
            return true;
    return false;
}

fb_status fb_mapping_rename(struct fb_mapping *mapping, const char *const *list, size_t i, fb_err *reterr) {
    const char *item = list[i], *to = strchr(item, '=');
    char from[FB_NAME_LEN_MAX + 1], what[3 * FB_NAME_LEN_MAX];
    if (to == NULL || to == item || to[1] == '\0' || strchr(to + 1, '=') != NULL || strlen(to + 1) > FB_NAME_LEN_MAX)
        return fb_mapping_fail(mapping, reterr, FB_CONFIG, "rename_columns: '%s' is not COLUMN=NAME", item);
    (void)snprintf(from, sizeof from, "%.*s", (int)(to - item), item);
    (void)snprintf(what, sizeof what, "rename_columns: '%s'", item);
    to++;
    int column = fb_mapping_column(mapping, from);
    if (column < 0)
        return no_such_column(mapping, what, from, reterr);
    struct fb_column *c = &mapping->columns[column];
    if (c->is_hidden || c->db_name != NULL)
        return fb_mapping_fail(mapping, reterr, FB_CONFIG, "%s: column '%s' is %s", what, from,
                               c->is_hidden ? "hidden" : "renamed already");
    for (unsigned k = 0; k < mapping->ncolumns; k++) {
        const struct fb_column *other = &mapping->columns[k];
        bool goes_away = other->db_name == NULL && is_renamed(other, list);
        if (other != c && !other->is_hidden && !goes_away && strcmp(other->name, to) == 0)
            return fb_mapping_fail(mapping, reterr, FB_CONFIG, "%s: two columns would be called '%s'", what, to);
    }
    char *name = fb_mem_strdup(to);
    if (name == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    c->db_name = c->name;
    c->name = name;
    c->name_len = strlen(name);
    return FB_OK;
}

fb_status fb_mapping_order(struct fb_mapping *mapping, const char *item, fb_err *reterr) {
    char name[FB_NAME_LEN_MAX + 1];
    size_t len = strlen(item), space = strcspn(item, " ");
    const char *direction = item + space + strspn(item + space, " ");
    bool is_descending = strcasecmp(direction, "desc") == 0;
    if (space < len && !is_descending && strcasecmp(direction, "asc") != 0)
        return fb_mapping_fail(mapping, reterr, FB_CONFIG, "order: '%s' is neither NAME, NAME asc nor NAME desc", item);
    if (mapping->norder == FB_ORDER_MAX)
        return fb_mapping_fail(mapping, reterr, FB_CONFIG, "order: more than %d columns", FB_ORDER_MAX);
    int column = any_column(mapping, item, space);
    if (column < 0) {
        (void)snprintf(name, sizeof name, "%.*s", (int)space, item);
        return no_such_column(mapping, "order", name, reterr);
    }
    mapping->order[mapping->norder++] = (struct fb_order){(unsigned)column, is_descending};
    return FB_OK;
}

void fb_mapping_order_key(struct fb_mapping *mapping, unsigned column) {
    unsigned n = mapping->norder;
    for (unsigned i = 0; i < n; i++)
        if (mapping->order[i].column == column)
            return;
    if (n < FB_ORDER_MAX && mapping->columns[column].param < 0)
        mapping->order[mapping->norder++] = (struct fb_order){column, n > 0 && mapping->order[n - 1].is_descending};
}

fb_status fb_mapping_set_as(struct fb_mapping *mapping, const char *as, bool is_explicit_sql, fb_err *reterr) {
    static const char column[] = "column:";
    if (as == NULL || strcmp(as, "json") == 0) {
        mapping->as = FB_AS_JSON;
    } else if (strcmp(as, "hash") == 0) {
        mapping->as = FB_AS_HASH;
    } else if (strcmp(as, "text") == 0) {
        if (!is_explicit_sql)
            return fb_mapping_fail(mapping, reterr, FB_CONFIG, "as: text needs a load statement; for one column of a "
                                                               "table write as: column:NAME");
        if (mapping->ncolumns != 1)
            return fb_mapping_fail(mapping, reterr, FB_CONFIG, "as: text needs exactly one result column, there are %u",
                                   mapping->ncolumns);
        mapping->as = FB_AS_COLUMN;
        mapping->as_column = 0;
    } else if (strncmp(as, column, sizeof column - 1) == 0) {
        int i = fb_mapping_find_column(mapping, FB_STR(as + sizeof column - 1));
        if (i < 0)
            return no_such_column(mapping, "as", as + sizeof column - 1, reterr);
        mapping->as = FB_AS_COLUMN;
        mapping->as_column = (unsigned)i;
    } else {
        return fb_mapping_fail(mapping, reterr, FB_CONFIG, "as: '%s' is not one of json, hash, text, column:NAME", as);
    }
    return FB_OK;
}

fb_status fb_mapping_key(const struct fb_mapping *mapping, fb_bytes key,
                         struct fb_datum ret_values[FB_PATTERN_PARAMS_MAX], fb_err *reterr) {
    fb_bytes params[FB_PATTERN_PARAMS_MAX];
    if (fb_pattern_match(&mapping->pattern, key, params) != FB_OK)
        return fb_fail(reterr, FB_NOMAP, "key '%.*s' does not match keyspace '%s'", key.len < 100 ? (int)key.len : 100,
                       key.data, mapping->name);
    for (unsigned i = 0; i < mapping->pattern.nparams; i++) {
        int64_t number;
        /* A key column that is an integer made its parameter {…:int} at bind, so this cannot fail for one. */
        if (mapping->param_is_int[i] && fb_number_int(params[i], &number))
            ret_values[i] = fb_datum_int(number);
        else
            ret_values[i] = fb_datum_bytes(FB_DATUM_TEXT, params[i]);
    }
    return FB_OK;
}

fb_status fb_mapping_key_of_row(const struct fb_mapping *m, const struct fb_datum *row, fb_buf *out) {
    char space[FB_PATTERN_PARAMS_MAX][FB_DATUM_TEXT_MAX];
    fb_bytes params[FB_PATTERN_PARAMS_MAX];
    for (unsigned i = 0; i < m->pattern.nparams; i++) {
        if (row[i].kind == FB_DATUM_NULL)
            return FB_BADVALUE;
        params[i] = fb_datum_text(&row[i], space[i]);
    }
    out->len = 0;
    return fb_pattern_render(&m->pattern, params, out);
}
