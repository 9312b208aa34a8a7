/* Statements of the configuration's own: prepared once to check them, so that what is wrong is said when the keyspace
 * is added and not at the first key. One statement each; load only reads and store and delete write; parameters are
 * named and known; the columns of load are the keyspace's columns. */
#include "source/sqlite_bind.h"

#include <string.h>

#include "base/mem.h"
#include "rows/names.h"

struct watch {
    struct fb_sqlite_bind *bind;
    fb_status status;
};

/* SQLite asks for leave for everything a statement does, triggers and views included: that names its tables. */
static int note_access(void *user, int action, const char *name, const char *column, const char *database,
                       const char *inside) {
    struct watch *watch = user;
    (void)column;
    (void)database;
    bool is_access =
        action == SQLITE_READ || action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE;
    if (is_access && name != NULL && strncmp(name, "sqlite_", 7) != 0 && watch->status == FB_OK)
        watch->status = fb_sqlite_note_table(watch->bind, name, action != SQLITE_READ && inside == NULL);
    return SQLITE_OK;
}

static fb_status prepare(struct fb_sqlite_bind *bind, const char *what, const char *text, sqlite3_stmt **ret_stmt) {
    sqlite3 *db = bind->driver->catalogue;
    sqlite3_stmt *stmt = NULL, *second = NULL;
    const char *tail = NULL;
    struct watch watch = {bind, FB_OK};
    sqlite3_set_authorizer(db, note_access, &watch);
    int rc = sqlite3_prepare_v2(db, text, -1, &stmt, &tail);
    sqlite3_set_authorizer(db, NULL, NULL);
    if (watch.status != FB_OK) {
        sqlite3_finalize(stmt);
        return watch.status;
    }
    if (rc != SQLITE_OK)
        return (sqlite3_errcode(db) & 0xff) == SQLITE_NOMEM ? fb_sqlite_no_memory(bind)
                                                           : fb_sqlite_refuse(bind, "%s: %s", what, sqlite3_errmsg(db));
    if (stmt == NULL)
        return fb_sqlite_refuse(bind, "%s: the statement is empty", what);
    if (sqlite3_prepare_v2(db, tail, -1, &second, NULL) != SQLITE_OK || second != NULL) {
        sqlite3_finalize(second);
        sqlite3_finalize(stmt);
        return fb_sqlite_refuse(bind, "%s: there is more than one statement", what);
    }
    *ret_stmt = stmt;
    return FB_OK;
}

/* Where the statement's named parameters come from: the pattern, or (where columns are allowed) the value. */
static fb_status find_arg(struct fb_sqlite_bind *bind, const char *what, const char *name, bool takes_columns,
                          struct fb_sql_arg *ret_arg) {
    struct fb_mapping *m = bind->m;
    if (name == NULL || name[0] == '?')
        return fb_sqlite_refuse(bind, "%s: parameters have names, for example :%s", what,
                                m->pattern.nparams > 0 ? fb_sqlite_param(m, 0)->text : "name");
    name++;
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
    bool found = false;
    for (unsigned p = 0; p < m->pattern.nparams && !found; p++) {
        found = strcmp(fb_sqlite_param(m, p)->text, name) == 0;
        fb_nearest_offer(&nearest, fb_sqlite_param(m, p)->text);
        *ret_arg = (struct fb_sql_arg){.is_key = true, .index = p};
    }
    for (unsigned c = 0; c < m->ncolumns && takes_columns && !found; c++) {
        found = strcmp(m->columns[c].name, name) == 0;
        fb_nearest_offer(&nearest, m->columns[c].name);
        *ret_arg = (struct fb_sql_arg){.is_key = false, .index = c};
    }
    char hint[FB_NAME_LEN_MAX + 24];
    return found ? FB_OK
                 : fb_sqlite_refuse(bind, "%s: :%s is no parameter of the pattern%s%s", what, name,
                                    takes_columns ? " and no column of load" : "", fb_nearest_hint(&nearest, hint));
}

static fb_status find_args(struct fb_sqlite_bind *bind, const char *what, sqlite3_stmt *stmt, bool takes_columns,
                           struct fb_sql *sql) {
    unsigned n = (unsigned)sqlite3_bind_parameter_count(stmt);
    sql->args = fb_mem_calloc(n, sizeof *sql->args);
    if (sql->args == NULL)
        return fb_sqlite_no_memory(bind);
    sql->nargs = n;
    fb_status status = FB_OK;
    for (unsigned i = 0; status == FB_OK && i < n; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, (int)i + 1);
        status = fb_sqlite_go_on(bind, find_arg(bind, what, name, takes_columns, &sql->args[i]));
    }
    return status;
}

static fb_status keep_statement(struct fb_sqlite_bind *bind, const char *what, const char *text, sqlite3_stmt *stmt,
                                bool takes_columns, struct fb_sql *sql) {
    sql->text = fb_mem_strdup(text);
    return sql->text != NULL ? find_args(bind, what, stmt, takes_columns, sql) : fb_sqlite_no_memory(bind);
}

static fb_status read_result_columns(struct fb_sqlite_bind *bind, sqlite3_stmt *stmt) {
    struct fb_mapping *m = bind->m;
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        const char *name = sqlite3_column_name(stmt, i);
        struct fb_column *c;
        if (name != NULL)
            for (unsigned k = 0; k < m->ncolumns; k++)
                if (strcmp(m->columns[k].name, name) == 0)
                    return fb_sqlite_refuse(bind, "load: two columns are called '%s'; rename one with AS", name);
        fb_status status = fb_sqlite_add_column(bind, name, sqlite3_column_decltype(stmt, i), &c);
        if (status != FB_OK)
            return status;
        for (unsigned p = 0; p < m->pattern.nparams; p++)
            if (strcmp(fb_sqlite_param(m, p)->text, c->name) == 0)
                c->param = (int)p;
    }
    return FB_OK;
}

static fb_status bind_load(struct fb_sqlite_bind *bind) {
    sqlite3_stmt *stmt;
    fb_status status = prepare(bind, "load", bind->options->load, &stmt);
    if (status != FB_OK)
        return status;
    if (!sqlite3_stmt_readonly(stmt) || sqlite3_column_count(stmt) == 0)
        status = fb_sqlite_refuse(bind, "load: a statement that only reads is wanted");
    if (status == FB_OK)
        status = read_result_columns(bind, stmt);
    if (status == FB_OK)
        status = keep_statement(bind, "load", bind->options->load, stmt, /* takes_columns */ false, &bind->b->load);
    sqlite3_finalize(stmt);
    return status;
}

static fb_status bind_write(struct fb_sqlite_bind *bind, const char *what, const char *text, bool takes_columns,
                            struct fb_sql *sql) {
    sqlite3_stmt *stmt;
    if (text == NULL)
        return FB_OK;
    fb_status status = prepare(bind, what, text, &stmt);
    if (status != FB_OK)
        return status;
    if (sqlite3_stmt_readonly(stmt))
        status = fb_sqlite_refuse(bind, "%s: the statement writes nothing", what);
    if (status == FB_OK)
        status = keep_statement(bind, what, text, stmt, takes_columns, sql);
    sqlite3_finalize(stmt);
    return status;
}

/* Columns that the store statement does not take cannot be written; neither can any without one. */
static void mark_stored(struct fb_sqlite_bind *bind) {
    for (unsigned c = 0; c < bind->m->ncolumns; c++)
        bind->m->columns[c].is_readonly = bind->m->columns[c].param < 0;
    for (unsigned i = 0; i < bind->b->store.nargs; i++)
        if (!bind->b->store.args[i].is_key)
            bind->m->columns[bind->b->store.args[i].index].is_readonly = false;
}

fb_status fb_sqlite_bind_statements(struct fb_sqlite_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    unsigned param = 0;
    for (unsigned i = 0; i < bind->m->pattern.nparts; i++)
        if (bind->m->pattern.parts[i].is_param)
            bind->m->param_is_int[param++] = bind->m->pattern.parts[i].type == FB_PARAM_INT;
    fb_status status = bind_load(bind);
    if (status == FB_OK)
        status = fb_sqlite_go_on(bind, bind_write(bind, "store", o->store, /* takes_columns */ true, &bind->b->store));
    if (status == FB_OK)
        status = fb_sqlite_go_on(bind, bind_write(bind, "delete", o->del, /* takes_columns */ false, &bind->b->del));
    if (status == FB_OK)
        mark_stored(bind);
    return status;
}

