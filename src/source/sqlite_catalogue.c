/* Checking a table against SQLite's catalogue: which columns there are, of what type, and whether the pattern's
 * parameters are a key.
 *
 * One row has one key: the parameters must be exactly the primary key, or the columns of a unique index, by name; a
 * pattern of one parameter may call a primary key of one column what it likes. SQLite compares more loosely than we
 * do, so a key column must not let two different keys find one row: no collation but BINARY, no parameter that is text
 * on a column that would read it as a number. */
#include "source/sqlite_bind.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "rows/depend.h"
#include "rows/names.h"

/* ---- columns ---- */

/* DEFAULT takes names and double-quoted names as text; in an expression they would be columns. */
static char *default_expression(const char *text) {
    static const char *const words[] = {"NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"};
    if (text == NULL)
        return fb_mem_strdup("NULL");
    size_t n = strlen(text);
    bool is_name = n > 0 && (isalpha((unsigned char)text[0]) || text[0] == '_' || text[0] == '"');
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        is_name = is_name && sqlite3_stricmp(text, words[i]) != 0;
    for (size_t i = 0; i < n && is_name && text[0] != '"'; i++)
        is_name = isalnum((unsigned char)text[i]) || text[i] == '_';
    if (!is_name || (text[0] == '"' && (n < 2 || text[n - 1] != '"')))
        return fb_mem_strdup(text);
    char *out = fb_mem_alloc(2 * n + 3), *p = out;
    if (out == NULL)
        return NULL;
    size_t from = text[0] == '"', to = n - from;
    *p++ = '\'';
    for (size_t i = from; i < to; i++) {
        if (text[i] == '\'')
            *p++ = '\'';
        i += text[0] == '"' && text[i] == '"' && i + 1 < to && text[i + 1] == '"';
        *p++ = text[i];
    }
    *p++ = '\'';
    *p = 0;
    return out;
}

static fb_status read_columns(struct fb_sqlite_bind *bind, const char *table) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(bind->driver->catalogue,
                           "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1)", -1,
                           &stmt, NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    fb_status status = FB_OK;
    int rc;
    while (status == FB_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int hidden = sqlite3_column_int(stmt, 5);
        struct fb_column *c;
        if (hidden == 1)
            continue; /* a virtual table's own */
        status = fb_sqlite_add_column(bind, (const char *)sqlite3_column_text(stmt, 0),
                            (const char *)sqlite3_column_text(stmt, 1), &c);
        if (status != FB_OK)
            break;
        const char *text = (const char *)sqlite3_column_text(stmt, 3);
        c->is_nullable = !sqlite3_column_int(stmt, 2) && !sqlite3_column_int(stmt, 4);
        c->has_default = text != NULL;
        c->is_readonly = hidden >= 2;
        bind->b->defaults[bind->m->ncolumns - 1] = default_expression(text);
        if (bind->b->defaults[bind->m->ncolumns - 1] == NULL)
            status = fb_sqlite_no_memory(bind);
    }
    if (status == FB_OK && rc != SQLITE_DONE)
        status = fb_sqlite_db_error(bind);
    sqlite3_finalize(stmt);
    return status;
}

/* ---- tables ---- */

static bool is_plain_name(const char *name) {
    size_t n = strlen(name);
    bool ok = n > 0 && n <= FB_NAME_LEN_MAX && !isdigit((unsigned char)name[0]) && name[0] != '$';
    for (size_t i = 0; i < n && ok; i++)
        ok = isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '$';
    return ok;
}

fb_status fb_sqlite_find_table(struct fb_sqlite_bind *bind, const char *what, const char *wanted, char **ret_name) {
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(wanted));
    char hint[FB_NAME_LEN_MAX + 24];
    sqlite3_stmt *stmt;
    if (!is_plain_name(wanted))
        return fb_sqlite_refuse(bind, "%stable '%s' is not a plain name of letters, digits, '_' and '$'", what, wanted);
    if (sqlite3_prepare_v2(bind->driver->catalogue,
                           "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view')", -1, &stmt,
                           NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    fb_status status = FB_NOTFOUND;
    char near[FB_NAME_LEN_MAX + 1];
    int rc;
    while (status == FB_NOTFOUND && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0),
                   *type = (const char *)sqlite3_column_text(stmt, 1);
        if (name == NULL || type == NULL) {
            status = fb_sqlite_no_memory(bind);
        } else if (sqlite3_stricmp(name, wanted) != 0) {
            fb_nearest_offer(&nearest, name);
            if (nearest.best == name) { /* its memory ends with the row */
                memcpy(near, name, strlen(name) + 1);
                nearest.best = near;
            }
        } else if (strcmp(type, "view") == 0) {
            status = fb_sqlite_refuse(bind, *what == 0 ? "%s'%s' is a view, which has no key; write a load statement"
                                                       : "%s'%s' is a view; name the tables that it shows", what, name);
        } else {
            *ret_name = fb_mem_strdup(name);
            status = *ret_name != NULL ? FB_OK : fb_sqlite_no_memory(bind);
        }
    }
    if (status == FB_NOTFOUND)
        status = rc != SQLITE_DONE
                     ? fb_sqlite_db_error(bind)
                     : fb_sqlite_refuse(bind, "%sthere is no table '%s'%s", what, wanted,
                                        fb_nearest_hint(&nearest, hint));
    sqlite3_finalize(stmt);
    return status;
}

static int column_by_name(const struct fb_mapping *m, const char *name) {
    for (unsigned i = 0; i < m->ncolumns; i++)
        if (sqlite3_stricmp(m->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Are the key columns exactly the columns that `sql` lists? It has the parameters (?1, ?2) = (first, second). */
static fb_status matches_set(struct fb_sqlite_bind *bind, const char *sql, const char *argument, bool *ret_matches) {
    const struct fb_mapping *m = bind->m;
    sqlite3_stmt *stmt;
    unsigned listed = 0, found = 0;
    int rc;
    if (sqlite3_prepare_v2(bind->driver->catalogue, sql, -1, &stmt, NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    sqlite3_bind_text(stmt, 1, argument, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0); /* NULL: an expression */
        listed++;
        for (unsigned i = 0; i < m->pattern.nparams && name != NULL; i++)
            found += sqlite3_stricmp(m->columns[bind->b->key_columns[i]].name, name) == 0;
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE)
        return fb_sqlite_db_error(bind);
    *ret_matches = listed == found && listed == m->pattern.nparams;
    return FB_OK;
}

static fb_status is_unique(struct fb_sqlite_bind *bind, const char *table, bool *ret_unique) {
    fb_status status = matches_set(bind, "SELECT name FROM pragma_table_info(?1) WHERE pk > 0", table, ret_unique);
    sqlite3_stmt *stmt;
    if (status != FB_OK || *ret_unique)
        return status;
    if (sqlite3_prepare_v2(bind->driver->catalogue,
                           "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND partial = 0", -1, &stmt,
                           NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    int rc = SQLITE_DONE;
    while (status == FB_OK && !*ret_unique && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        status = matches_set(bind, "SELECT name FROM pragma_index_info(?1)", (const char *)sqlite3_column_text(stmt, 0),
                             ret_unique);
    sqlite3_finalize(stmt);
    return status == FB_OK && rc != SQLITE_DONE && rc != SQLITE_ROW ? fb_sqlite_db_error(bind) : status;
}

/* A pattern of one parameter that names no column means the primary key of one column. */
static fb_status find_single_key(struct fb_sqlite_bind *bind, const char *table, int *ret_column) {
    sqlite3_stmt *stmt;
    int rc, n = 0;
    if (sqlite3_prepare_v2(bind->driver->catalogue, "SELECT name FROM pragma_table_info(?1) WHERE pk > 0", -1, &stmt,
                           NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    *ret_column = -1;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        *ret_column = n++ == 0 && name != NULL ? column_by_name(bind->m, name) : -1;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? FB_OK : fb_sqlite_db_error(bind);
}

static fb_status find_key_column(struct fb_sqlite_bind *bind, const char *table, unsigned param) {
    struct fb_mapping *m = bind->m;
    const char *name = fb_sqlite_param(m, param)->text;
    int column = column_by_name(m, name);
    if (column < 0 && m->pattern.nparams == 1 && !m->is_list) {
        fb_status status = find_single_key(bind, table, &column);
        if (status != FB_OK)
            return status;
    }
    if (column < 0) {
        struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
        char hint[FB_NAME_LEN_MAX + 24];
        for (unsigned k = 0; k < m->ncolumns; k++)
            fb_nearest_offer(&nearest, m->columns[k].name);
        return fb_sqlite_refuse(bind, "parameter '%s' is no column of table '%s'%s", name, table,
                                fb_nearest_hint(&nearest, hint));
    }
    if (m->columns[column].param >= 0)
        return fb_sqlite_refuse(bind, "two parameters name column '%s'", m->columns[column].name);
    m->columns[column].param = (int)param;
    bind->b->key_columns[param] = column;
    return FB_OK;
}

static fb_status find_key_columns(struct fb_sqlite_bind *bind, const char *table) {
    struct fb_mapping *m = bind->m;
    fb_status status = FB_OK;
    for (unsigned i = 0; status == FB_OK && i < m->pattern.nparams; i++)
        status = fb_sqlite_go_on(bind, find_key_column(bind, table, i));
    if (status != FB_OK || bind->nfaults > 0 || m->is_list) /* of unknown columns nothing more can be said */
        return status;
    bool unique = false;
    status = m->pattern.nparams > 0 ? is_unique(bind, table, &unique) : FB_OK;
    if (status == FB_OK && !unique)
        return fb_sqlite_refuse(bind,
                                "the parameters are neither the primary key of table '%s' nor all columns of a unique "
                                "index, so a key could name several rows",
                                table);
    return status;
}

/* Would SQLite turn a text that looks like a number into one? */
static bool reads_numbers(enum fb_class class, const char *declared) {
    static const char *const no_numbers[] = {"CHAR", "CLOB", "TEXT", "BLOB"};
    bool reads = class == FB_CLASS_INTEGER || (declared != NULL && *declared != 0);
    for (size_t i = 0; i < sizeof no_numbers / sizeof no_numbers[0] && class != FB_CLASS_INTEGER && reads; i++)
        reads = !fb_sqlite_contains(declared, no_numbers[i]);
    return reads;
}

fb_status fb_sqlite_type_param(struct fb_sqlite_bind *bind, const char *what, const char *table, const char *column,
                               unsigned param, bool *ret_reads_numbers) {
    struct fb_pattern_part *part = fb_sqlite_param(bind->m, param);
    const char *declared = NULL, *collation = NULL;
    if (sqlite3_table_column_metadata(bind->driver->catalogue, NULL, table, column, &declared, &collation, NULL, NULL,
                                      NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    enum fb_class class = fb_sqlite_class(declared);
    if (collation != NULL && sqlite3_stricmp(collation, "BINARY") != 0)
        return fb_sqlite_refuse(bind, "%s '%s' has the collation %s, under which several keys would name one row", what,
                                column, collation);
    if (class == FB_CLASS_REAL || class == FB_CLASS_BINARY)
        return fb_sqlite_refuse(bind, "%s '%s' is declared %s; keys are text or integers", what, column, declared);
    if (class == FB_CLASS_INTEGER && part->type == FB_PARAM_TEXT)
        part->type = FB_PARAM_INT;
    bool reads = reads_numbers(class, declared);
    if (class == FB_CLASS_INTEGER && part->type != FB_PARAM_INT)
        return fb_sqlite_refuse(bind, "%s '%s' is an integer, parameter '%s' is %s", what, column, part->text,
                                fb_param_type_name(part->type));
    if (reads && part->type != FB_PARAM_INT && part->type != FB_PARAM_DATE && part->type != FB_PARAM_UUID)
        return fb_sqlite_refuse(bind,
                                "%s '%s' is declared %s, in which texts like '1' and '01' are one; write {%s:int}, or "
                                "declare the column INTEGER or TEXT",
                                what, column, declared != NULL ? declared : "", part->text);
    *ret_reads_numbers = reads;
    return FB_OK;
}

static fb_status check_key_column(struct fb_sqlite_bind *bind, const char *table, unsigned param) {
    struct fb_mapping *m = bind->m;
    struct fb_column *c = &m->columns[bind->b->key_columns[param]];
    bool reads = false;
    fb_status status = fb_sqlite_type_param(bind, "key column", table, c->name, param, &reads);
    if (status != FB_OK)
        return status;
    m->param_is_int[param] = fb_sqlite_param(m, param)->type == FB_PARAM_INT && (reads || c->class == FB_CLASS_ANY);
    c->is_nullable = false;
    return FB_OK;
}

/* The text of a statement and where its parameters come from, for statements whose parameters are the key's. */
static fb_status set_key_statement(struct fb_sqlite_bind *bind, struct fb_sql *sql,
                                   fb_status (*make)(const struct fb_binding *binding, fb_buf *out)) {
    unsigned n = bind->m->pattern.nparams;
    fb_buf text = FB_BUF_INIT;
    sql->args = fb_mem_calloc(n, sizeof *sql->args);
    if (sql->args == NULL || make(bind->b, &text) != FB_OK) {
        fb_buf_free(&text);
        return fb_sqlite_no_memory(bind);
    }
    sql->text = text.data;
    sql->nargs = n;
    for (unsigned i = 0; i < n; i++)
        sql->args[i] = (struct fb_sql_arg){.is_key = true, .index = i};
    return FB_OK;
}

/* What the rows of a list are ordered by: what was asked for, then the primary key. */
static fb_status order_list(struct fb_sqlite_bind *bind, const char *table) {
    fb_status status = FB_OK;
    sqlite3_stmt *stmt;
    for (const char *const *item = bind->options->order; status == FB_OK && item != NULL && *item != NULL; item++)
        status = fb_sqlite_go_on(bind, fb_mapping_order(bind->m, *item, bind->err));
    if (status != FB_OK)
        return status;
    if (sqlite3_prepare_v2(bind->driver->catalogue, "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk",
                           -1, &stmt, NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        int column = name != NULL ? column_by_name(bind->m, name) : -1;
        if (column >= 0)
            fb_mapping_order_key(bind->m, (unsigned)column);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? FB_OK : fb_sqlite_db_error(bind);
}

/* Does anything else change the rows that are written? */
static fb_status find_triggers(struct fb_sqlite_bind *bind, const char *table) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(bind->driver->catalogue, "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND "
                           "tbl_name = ?1 COLLATE NOCASE", -1, &stmt, NULL) != SQLITE_OK)
        return fb_sqlite_db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    bind->m->is_changed = rc == SQLITE_ROW;
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? FB_OK : fb_sqlite_db_error(bind);
}

fb_status fb_sqlite_bind_table(struct fb_sqlite_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    char *table = NULL;
    if (o->load != NULL || o->store != NULL || o->del != NULL)
        return fb_sqlite_refuse(bind, "give either a table or statements of your own");
    fb_status status = fb_sqlite_find_table(bind, /* what = */ "", o->table, &table);
    if (status == FB_OK)
        status = read_columns(bind, table);
    if (status == FB_OK && o->write == FB_WRITE_BEHIND)
        status = find_triggers(bind, table);
    if (status == FB_OK)
        status = fb_sqlite_go_on(bind, find_key_columns(bind, table));
    bool has_key = bind->nfaults == 0;
    if (status == FB_OK && bind->m->is_list)
        status = order_list(bind, table);
    for (unsigned i = 0; status == FB_OK && has_key && i < bind->m->pattern.nparams; i++)
        status = fb_sqlite_go_on(bind, check_key_column(bind, table, i));
    if (status == FB_OK)
        status = fb_sqlite_note_table(bind, table, bind->options->write != FB_WRITE_OFF);
    if (status == FB_OK && has_key && bind->m->is_list)
        status = fb_depend_add_own(bind->m, table, bind->b->key_columns, bind->err);
    if (status == FB_OK && (bind->b->table = fb_sqlite_quote(table)) == NULL)
        status = fb_sqlite_no_memory(bind);
    if (status == FB_OK)
        status = set_key_statement(bind, &bind->b->load, fb_sqlite_load_text);
    if (status == FB_OK)
        status = set_key_statement(bind, &bind->b->del, fb_sqlite_delete_text);
    bind->b->is_table = true;
    fb_mem_free(table);
    return status;
}

