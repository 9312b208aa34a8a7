/* Checking what a keyspace depends on against SQLite's catalogue: the tables and columns are there, and each column
 * makes the parameter it stands for, so that the key of a row is known from the row. */
#include "source/sqlite_bind.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "rows/depend.h"
#include "rows/names.h"

/* The column's name as the catalogue has it. */
static fb_status find_column(struct fb_sqlite_bind *bind, const char *what, const char *table, char **name) {
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(*name));
    char hint[FB_NAME_LEN_MAX + 24], near[FB_NAME_LEN_MAX + 1];
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(bind->driver->catalogue, "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1", -1,
                           &stmt, NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    fb_status status = FB_NOTFOUND;
    int rc = SQLITE_DONE;
    while (status == FB_NOTFOUND && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *column = (const char *)sqlite3_column_text(stmt, 0);
        if (column == NULL) {
            status = fb_sqlite_no_memory(bind);
        } else if (sqlite3_stricmp(column, *name) == 0) {
            status = fb_depend_rename(name, column) == FB_OK ? FB_OK : fb_sqlite_no_memory(bind);
        } else {
            fb_nearest_offer(&nearest, column);
            if (nearest.best == column) { /* its memory ends with the row */
                (void)snprintf(near, sizeof near, "%s", column);
                nearest.best = near;
            }
        }
    }
    sqlite3_finalize(stmt);
    if (status == FB_NOTFOUND)
        status = rc != SQLITE_DONE ? fb_sqlite_db_error(bind)
                                   : fb_sqlite_refuse(bind, "%sthere is no column '%s' in table '%s'%s", what, *name,
                                                      table, fb_nearest_hint(&nearest, hint));
    return status;
}

static fb_status resolve(struct fb_sqlite_bind *bind, struct fb_depend *depend) {
    char what[FB_DEPEND_LEN_MAX + 32], column[FB_DEPEND_LEN_MAX + 48], *table = NULL;
    bool reads;
    (void)snprintf(what, sizeof what, "depends: '%s': ", depend->item);
    (void)snprintf(column, sizeof column, "%scolumn", what);
    fb_status status = fb_sqlite_find_table(bind, what, depend->table, &table);
    if (status != FB_OK)
        return status;
    fb_mem_free(depend->table);
    depend->table = table;
    for (unsigned i = 0; status == FB_OK && i < bind->m->pattern.nparams; i++) {
        status = find_column(bind, what, table, &depend->columns[i]);
        if (status == FB_OK)
            status = fb_sqlite_type_param(bind, column, table, depend->columns[i], i, &reads);
    }
    return status;
}

fb_status fb_sqlite_bind_depends(struct fb_sqlite_bind *bind) {
    struct fb_mapping *m = bind->m;
    char item[FB_DEPEND_LEN_MAX];
    fb_status status = FB_OK;
    for (const char *const *cursor = bind->options->depends; status == FB_OK && fb_depend_next(&cursor, item);) {
        status = fb_depend_add(m, item, bind->err);
        if (status == FB_OK)
            status = resolve(bind, &m->depends[m->ndepends - 1]);
        status = fb_sqlite_go_on(bind, status);
    }
    return status;
}
