/* Checking what a keyspace depends on against the catalogue: the tables and columns are there, and each column makes the
 * parameter it stands for, so that the key of a row is known from the row.
 *
 * These databases compare most texts loosely, so a query for 'bob' may find rows of 'Bob', whose writes tell of another
 * key. Where a column of text stands for a parameter, the query has to show it: then rows are compared once more, exactly,
 * and those of other keys are left out. */
#include "source/mysql_bind.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "rows/depend.h"
#include "rows/names.h"

/* A dependency under check. */
struct check {
    struct fb_depend *depend;
    const char *what;
    char *schema, *table; /* as the catalogue has them */
    unsigned found;       /* a bit for each parameter */
    char near[FB_NAME_LEN_MAX + 1];
    struct fb_nearest nearest;
    bool is_view;
};

static fb_status take_table(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct check *c = user;
    c->is_view = row[2].len >= 4 && memcmp(row[2].data + row[2].len - 4, "VIEW", 4) == 0;
    c->schema = fb_mysql_copy_of(row[0]);
    c->table = fb_mysql_copy_of(row[1]);
    return c->schema != NULL && c->table != NULL ? FB_OK : fb_mysql_no_memory(bind);
}

static bool is_name(fb_bytes text, const char *name) {
    return strlen(name) == text.len && strncasecmp(text.data, name, text.len) == 0;
}

static fb_status take_column(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct check *c = user;
    char what[FB_DEPEND_LEN_MAX + 48];
    (void)snprintf(what, sizeof what, "%scolumn", c->what);
    for (unsigned i = 0; i < bind->m->pattern.nparams; i++) {
        enum fb_param_type type;
        if (!is_name(row[0], c->depend->columns[i]))
            continue;
        char *name = fb_mysql_copy_of(row[0]);
        if (name == NULL)
            return fb_mysql_no_memory(bind);
        fb_mem_free(c->depend->columns[i]);
        c->depend->columns[i] = name;
        fb_status status = fb_mysql_type_param(bind, what, name, row[1], i, &type);
        if (status != FB_OK)
            return status;
        c->found |= 1u << i;
        bind->loose |= type == FB_PARAM_TEXT ? 1u << i : 0;
    }
    return FB_OK;
}

/* Names of tables or columns, for a hint. */
static fb_status take_name(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct check *c = user;
    char *name = fb_mysql_copy_of(row[0]);
    if (name == NULL)
        return fb_mysql_no_memory(bind);
    fb_nearest_offer(&c->nearest, name);
    if (c->nearest.best == name) { /* its memory ends here */
        (void)snprintf(c->near, sizeof c->near, "%s", name);
        c->nearest.best = c->near;
    }
    fb_mem_free(name);
    return FB_OK;
}

static fb_status find_table(struct fb_mysql_bind *bind, struct check *c) {
    char *schema = NULL, hint[FB_NAME_LEN_MAX + 24];
    const char *table = NULL, *wanted = c->depend->table;
    fb_status status = fb_mysql_split_name(bind, c->what, wanted, &schema, &table);
    const char *const values[] = {schema, table, table};
    if (status == FB_OK)
        status = fb_mysql_ask(bind, "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE "
                                    "TABLE_SCHEMA = coalesce(?, DATABASE()) AND TABLE_NAME = ? "
                                    "ORDER BY CAST(TABLE_NAME AS BINARY) = CAST(? AS BINARY) DESC LIMIT 1", 3, values, 3,
                              take_table, c);
    fb_mem_free(schema);
    if (status == FB_OK && c->is_view)
        status = fb_mysql_refuse(bind, "%s'%s' is a view; name the tables that it shows", c->what, wanted);
    if (status != FB_OK || c->table != NULL)
        return status;
    c->nearest = (struct fb_nearest)FB_NEAREST_INIT(FB_STR(wanted));
    status = fb_mysql_ask(bind, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()", 0, NULL,
                          1, take_name, c);
    return status != FB_OK ? status : fb_mysql_refuse(bind, "%sthere is no table '%s'%s", c->what, wanted,
                                                      fb_nearest_hint(&c->nearest, hint));
}

static fb_status find_columns(struct fb_mysql_bind *bind, struct check *c) {
    const char *const values[] = {c->schema, c->table};
    char hint[FB_NAME_LEN_MAX + 24];
    fb_status status = fb_mysql_ask(bind, "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE "
                                          "TABLE_SCHEMA = ? AND TABLE_NAME = ?", 2, values, 2, take_column, c);
    for (unsigned i = 0; i < bind->m->pattern.nparams && status == FB_OK; i++) {
        const char *name = c->depend->columns[i];
        if (c->found >> i & 1)
            continue;
        c->nearest = (struct fb_nearest)FB_NEAREST_INIT(FB_STR(name));
        status = fb_mysql_ask(bind, "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND "
                                    "TABLE_NAME = ?", 2, values, 1, take_name, c);
        if (status == FB_OK)
            status = fb_mysql_refuse(bind, "%sthere is no column '%s' in table '%s'%s", c->what, name, c->table,
                                     fb_nearest_hint(&c->nearest, hint));
    }
    return status;
}

/* As fb_mysql_note_table names tables. */
static fb_status name_table(struct fb_mysql_bind *bind, const struct check *c) {
    fb_buf name = FB_BUF_INIT;
    bool is_complete = fb_buf_append(&name, c->schema, strlen(c->schema)) == FB_OK &&
                       fb_buf_append(&name, ".", 1) == FB_OK &&
                       fb_buf_append(&name, c->table, strlen(c->table) + 1) == FB_OK &&
                       fb_depend_rename(&c->depend->table, name.data) == FB_OK;
    fb_buf_free(&name);
    return is_complete ? FB_OK : fb_mysql_no_memory(bind);
}

static fb_status resolve(struct fb_mysql_bind *bind, struct fb_depend *depend) {
    char what[FB_DEPEND_LEN_MAX + 32];
    struct check c = {.depend = depend, .what = what};
    (void)snprintf(what, sizeof what, "depends: '%s': ", depend->item);
    fb_status status = find_table(bind, &c);
    if (status == FB_OK)
        status = find_columns(bind, &c);
    if (status == FB_OK)
        status = name_table(bind, &c);
    fb_mem_free(c.schema);
    fb_mem_free(c.table);
    return status;
}

fb_status fb_mysql_bind_depends(struct fb_mysql_bind *bind) {
    struct fb_mapping *m = bind->m;
    char item[FB_DEPEND_LEN_MAX];
    fb_status status = FB_OK;
    for (const char *const *cursor = bind->options->depends; status == FB_OK && fb_depend_next(&cursor, item);) {
        status = fb_depend_add(m, item, bind->err);
        if (status == FB_OK)
            status = resolve(bind, &m->depends[m->ndepends - 1]);
    }
    return status;
}

fb_status fb_mysql_check_depends(struct fb_mysql_bind *bind) {
    struct fb_mapping *m = bind->m;
    for (unsigned p = 0; p < m->pattern.nparams; p++) {
        bool is_shown = false;
        for (unsigned i = 0; i < m->ncolumns; i++)
            is_shown |= m->columns[i].param == (int)p;
        if ((bind->loose >> p & 1) != 0 && !is_shown)
            return fb_mysql_refuse(bind, "depends: texts are compared loosely here, and load does not show the parameter "
                                   "'%s' to compare it exactly; select its column AS %s (hide_columns can hide it)",
                                   fb_mysql_param_part(m, p)->text, fb_mysql_param_part(m, p)->text);
    }
    return FB_OK;
}
