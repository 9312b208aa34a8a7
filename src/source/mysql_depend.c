/* Checking what a keyspace depends on against the catalogue of MariaDB or MySQL: the tables and columns are there, and each
 * column makes the parameter it stands for, so that the key of a row is known from the row.
 *
 * These databases compare most texts loosely, so a query for 'bob' may find rows of 'Bob', whose writes tell of another
 * key. Where a column of text stands for a parameter, the query has to show it: then rows are compared once more, exactly,
 * and those of other keys are left out. */
#include "source/mysql_bind.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "rows/depend.h"
#include "rows/names.h"

struct wanted {
    const char *name;
    char real[FB_NAME_LEN_MAX + 1]; /* as the catalogue has it */
    char type[FB_NAME_LEN_MAX + 1]; /* "": not found */
    struct fb_nearest nearest;
    char best[FB_NAME_LEN_MAX + 1]; /* names of a row end with it */
};

static fb_status take_column(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct wanted *w = user;
    char name[FB_NAME_LEN_MAX + 1];
    (void)bind;
    if (row[0].len >= sizeof name || row[1].len >= sizeof w->type)
        return FB_OK;
    memcpy(name, row[0].data, row[0].len);
    name[row[0].len] = '\0';
    if (strcasecmp(name, w->name) == 0) {
        memcpy(w->type, row[1].data, row[1].len);
        memcpy(w->real, name, sizeof name);
    }
    fb_nearest_offer(&w->nearest, name);
    if (w->nearest.best == name) {
        memcpy(w->best, name, sizeof name);
        w->nearest.best = w->best;
    }
    return FB_OK;
}

static fb_status check_column(struct fb_mysql_bind *bind, const char *what, const struct fb_mysql_table *table,
                              struct fb_depend *depend, unsigned param) {
    struct wanted w = {.name = depend->columns[param], .nearest = FB_NEAREST_INIT(FB_STR(depend->columns[param]))};
    const char *const values[] = {table->schema, table->name};
    char hint[FB_NAME_LEN_MAX + 24], column[FB_DEPEND_LEN_MAX + 48];
    enum fb_param_type type;
    fb_status status = fb_mysql_ask(bind, "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE "
                                          "TABLE_SCHEMA = ? AND TABLE_NAME = ?", 2, values, 2, take_column, &w);
    if (status != FB_OK)
        return status;
    (void)snprintf(column, sizeof column, "%scolumn", what);
    if (w.type[0] != '\0') {
        status = fb_mysql_type_param(bind, column, w.real, FB_STR(w.type), param, &type);
        bind->loose |= type == FB_PARAM_TEXT ? 1u << param : 0;
        if (status == FB_OK && fb_depend_rename(&depend->columns[param], w.real) != FB_OK)
            status = fb_mysql_no_memory(bind);
        return status;
    }
    return fb_mysql_refuse(bind, "%sthere is no column '%s' in table '%s'%s", what, w.name, depend->table,
                           fb_nearest_hint(&w.nearest, hint));
}

static fb_status resolve(struct fb_mysql_bind *bind, struct fb_depend *depend) {
    char what[FB_DEPEND_LEN_MAX + 32];
    struct fb_mysql_table table;
    (void)snprintf(what, sizeof what, "depends: '%s': ", depend->item);
    fb_status status = fb_mysql_find_table(bind, what, depend->table, &table);
    if (status != FB_OK)
        return status;
    for (unsigned i = 0; status == FB_OK && i < bind->m->pattern.nparams; i++)
        status = check_column(bind, what, &table, depend, i);
    char *name = status == FB_OK ? fb_mysql_full_name(table.schema, table.name) : NULL;
    if (status == FB_OK && (name == NULL || fb_depend_rename(&depend->table, name) != FB_OK))
        status = fb_mysql_no_memory(bind);
    fb_mem_free(name);
    fb_mysql_free_table(&table);
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
        status = fb_mysql_go_on(bind, status);
    }
    return status;
}

fb_status fb_mysql_check_depends(struct fb_mysql_bind *bind) {
    struct fb_mapping *m = bind->m;
    for (unsigned p = 0; p < m->pattern.nparams; p++) {
        const char *name = fb_mysql_param_part(m, p)->text;
        bool is_shown = false;
        for (unsigned i = 0; i < m->ncolumns; i++)
            is_shown |= m->columns[i].param == (int)p;
        if ((bind->loose >> p & 1) != 0 && !is_shown)
            return fb_mysql_refuse(bind, "depends: texts are compared loosely here, and load does not show the parameter "
                                   "'%s' to compare it exactly; select its column AS %s (hide_columns can hide it)",
                                   name, name);
    }
    return FB_OK;
}
