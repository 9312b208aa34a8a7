/* Checking what a keyspace depends on against PostgreSQL's catalogue: the tables and columns are there, and each column
 * makes the parameter it stands for, so that the key of a row is known from the row. */
#include "source/pg_bind.h"

#include <stdio.h>
#include <string.h>

#include "rows/depend.h"
#include "rows/names.h"

static fb_status check_column(struct fb_pg_bind *bind, const char *what, const struct fb_depend *depend,
                              const PGresult *columns, unsigned param) {
    const char *name = depend->columns[param];
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
    char hint[FB_NAME_LEN_MAX + 24], column[FB_DEPEND_LEN_MAX + 48];
    bool is_int;
    (void)snprintf(column, sizeof column, "%scolumn", what);
    for (int r = 0; r < PQntuples(columns); r++) {
        if (strcmp(PQgetvalue(columns, r, 0), name) == 0)
            return fb_pg_type_param(bind, column, columns, r, param, &is_int);
        fb_nearest_offer(&nearest, PQgetvalue(columns, r, 0));
    }
    return fb_pg_refuse(bind, "%sthere is no column '%s' in table '%s'%s", what, name, depend->table,
                        fb_nearest_hint(&nearest, hint));
}

static fb_status resolve(struct fb_pg_bind *bind, struct fb_depend *depend) {
    char what[FB_DEPEND_LEN_MAX + 32];
    PGresult *table, *columns = NULL;
    (void)snprintf(what, sizeof what, "depends: '%s': ", depend->item);
    fb_status status = fb_pg_find_table(bind, what, depend->table, &table);
    if (status != FB_OK)
        return status;
    status = fb_pg_key_columns(bind, PQgetvalue(table, 0, 0), &columns);
    for (unsigned i = 0; status == FB_OK && i < bind->m->pattern.nparams; i++)
        status = check_column(bind, what, depend, columns, i);
    if (status == FB_OK && fb_depend_rename(&depend->table, PQgetvalue(table, 0, 3)) != FB_OK)
        status = fb_pg_no_memory(bind);
    PQclear(columns);
    PQclear(table);
    return status;
}

fb_status fb_pg_bind_depends(struct fb_pg_bind *bind) {
    struct fb_mapping *m = bind->m;
    char item[FB_DEPEND_LEN_MAX];
    fb_status status = FB_OK;
    for (const char *const *cursor = bind->options->depends; status == FB_OK && fb_depend_next(&cursor, item);) {
        status = fb_depend_add(m, item, bind->err);
        if (status == FB_OK)
            status = resolve(bind, &m->depends[m->ndepends - 1]);
        status = fb_pg_go_on(bind, status);
    }
    return status;
}
