/* Checking a keyspace against SQLite's catalogue: which columns there are, of what type, and whether the pattern's
 * parameters are a key.
 *
 * One row has one key: the parameters must be exactly the primary key, or the columns of a unique index, by name; a
 * pattern of one parameter may call a primary key of one column what it likes. SQLite compares more loosely than we
 * do, so a key column must not let two different keys find one row: no collation but BINARY, no parameter that is text
 * on a column that would read it as a number. */
#include "source/sqlite.h"

#include <ctype.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/names.h"
#include "rows/utf8.h"

/* A bind under way. */
struct bind {
    struct fb_driver *driver;
    const fb_keyspace_options *options;
    struct fb_binding *b;
    struct fb_mapping *m;
    fb_err *err;
};

static fb_status no_memory(struct bind *bind) { return fb_fail(bind->err, FB_NOMEM, "out of memory"); }

static fb_status db_error(struct bind *bind) {
    sqlite3 *db = bind->driver->catalogue;
    fb_status status = (sqlite3_errcode(db) & 0xff) == SQLITE_NOMEM ? FB_NOMEM : FB_CONFIG;
    return fb_mapping_fail(bind->m, bind->err, status, "%s", sqlite3_errmsg(db));
}

#define refuse(bind, ...) fb_mapping_fail((bind)->m, (bind)->err, FB_CONFIG, __VA_ARGS__)

/* ---- types ---- */

static bool contains(const char *text, const char *part) {
    size_t n = strlen(part);
    for (; *text != 0; text++)
        if (sqlite3_strnicmp(text, part, (int)n) == 0)
            return true;
    return false;
}

/* SQLite's affinity rules (datatype3.html, 3.1) come first where they decide how a value is stored; among the columns
 * of numeric affinity the declared name tells what is meant. */
static enum fb_class class_of(const char *declared) {
    static const struct { const char *part; enum fb_class class; } rules[] = {
        {"INT", FB_CLASS_INTEGER},  {"JSON", FB_CLASS_JSON},    {"CHAR", FB_CLASS_TEXT},       {"CLOB", FB_CLASS_TEXT},
        {"TEXT", FB_CLASS_TEXT},    {"BLOB", FB_CLASS_BINARY},  {"REAL", FB_CLASS_REAL},       {"FLOA", FB_CLASS_REAL},
        {"DOUB", FB_CLASS_REAL},    {"BOOL", FB_CLASS_BOOLEAN}, {"DATE", FB_CLASS_TIME},       {"TIME", FB_CLASS_TIME},
        {"NUM", FB_CLASS_NUMERIC},  {"DEC", FB_CLASS_NUMERIC},  {"MONEY", FB_CLASS_NUMERIC},
    };
    for (size_t i = 0; declared != NULL && i < sizeof rules / sizeof rules[0]; i++)
        if (contains(declared, rules[i].part))
            return rules[i].class;
    return FB_CLASS_ANY;
}

/* Would SQLite turn a text that looks like a number into one? */
static bool reads_numbers(const struct fb_column *c, const char *declared) {
    static const char *const no_numbers[] = {"CHAR", "CLOB", "TEXT", "BLOB"};
    bool reads = c->class == FB_CLASS_INTEGER || (declared != NULL && *declared != 0);
    for (size_t i = 0; i < sizeof no_numbers / sizeof no_numbers[0] && c->class != FB_CLASS_INTEGER && reads; i++)
        reads = !contains(declared, no_numbers[i]);
    return reads;
}

/* ---- columns ---- */

static fb_status add_column(struct bind *bind, const char *name, const char *declared, struct fb_column **ret_column) {
    struct fb_mapping *m = bind->m;
    if (m->ncolumns == FB_COLUMNS_MAX)
        return refuse(bind, "there are more than %d columns", FB_COLUMNS_MAX);
    if (name == NULL)
        return no_memory(bind);
    if (!fb_utf8_is_text(FB_STR(name)))
        return refuse(bind, "the name of column %u is not valid UTF-8", m->ncolumns + 1);
    struct fb_column *c = &m->columns[m->ncolumns];
    *c = (struct fb_column){.name = fb_mem_strdup(name), .name_len = strlen(name), .class = class_of(declared),
                            .is_nullable = true, .param = -1};
    if (c->name == NULL)
        return no_memory(bind);
    bind->b->quoted[m->ncolumns++] = fb_sqlite_quote(name);
    if (bind->b->quoted[m->ncolumns - 1] == NULL)
        return no_memory(bind);
    *ret_column = c;
    return FB_OK;
}

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

static fb_status read_columns(struct bind *bind, const char *table) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(bind->driver->catalogue,
                           "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1)", -1, &stmt,
                           NULL) != SQLITE_OK)
        return db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    fb_status status = FB_OK;
    int rc;
    while (status == FB_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int hidden = sqlite3_column_int(stmt, 5);
        struct fb_column *c;
        if (hidden == 1)
            continue; /* a virtual table's own */
        status = add_column(bind, (const char *)sqlite3_column_text(stmt, 0), (const char *)sqlite3_column_text(stmt, 1), &c);
        if (status != FB_OK)
            break;
        const char *text = (const char *)sqlite3_column_text(stmt, 3);
        c->is_nullable = !sqlite3_column_int(stmt, 2) && !sqlite3_column_int(stmt, 4);
        c->has_default = text != NULL;
        c->is_readonly = hidden >= 2;
        bind->b->defaults[bind->m->ncolumns - 1] = default_expression(text);
        if (bind->b->defaults[bind->m->ncolumns - 1] == NULL)
            status = no_memory(bind);
    }
    if (status == FB_OK && rc != SQLITE_DONE)
        status = db_error(bind);
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

/* The table's name as the catalogue has it. */
static fb_status find_table(struct bind *bind, char **ret_name) {
    const char *wanted = bind->options->table;
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(wanted));
    char hint[FB_NAME_LEN_MAX + 24];
    sqlite3_stmt *stmt;
    if (!is_plain_name(wanted))
        return refuse(bind, "table '%s' is not a plain name of letters, digits, '_' and '$'", wanted);
    if (sqlite3_prepare_v2(bind->driver->catalogue,
                           "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view')", -1, &stmt,
                           NULL) != SQLITE_OK)
        return db_error(bind);
    fb_status status = FB_NOTFOUND;
    char near[FB_NAME_LEN_MAX + 1];
    int rc;
    while (status == FB_NOTFOUND && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0), *type = (const char *)sqlite3_column_text(stmt, 1);
        if (name == NULL || type == NULL) {
            status = no_memory(bind);
        } else if (sqlite3_stricmp(name, wanted) != 0) {
            fb_nearest_offer(&nearest, name);
            if (nearest.best == name) { /* its memory ends with the row */
                memcpy(near, name, strlen(name) + 1);
                nearest.best = near;
            }
        } else if (strcmp(type, "view") == 0) {
            status = refuse(bind, "'%s' is a view, which has no key; write a load statement", name);
        } else {
            *ret_name = fb_mem_strdup(name);
            status = *ret_name != NULL ? FB_OK : no_memory(bind);
        }
    }
    if (status == FB_NOTFOUND)
        status = rc != SQLITE_DONE ? db_error(bind)
                                   : refuse(bind, "there is no table '%s'%s", wanted, fb_nearest_hint(&nearest, hint));
    sqlite3_finalize(stmt);
    return status;
}

static int column_by_name(const struct fb_mapping *m, const char *name) {
    for (unsigned i = 0; i < m->ncolumns; i++)
        if (sqlite3_stricmp(m->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

static struct fb_pattern_part *param_part(struct fb_mapping *m, unsigned param) {
    for (unsigned i = 0; i < m->pattern.nparts; i++)
        if (m->pattern.parts[i].is_param && param-- == 0)
            return &m->pattern.parts[i];
    return NULL;
}

/* Are the key columns exactly the columns that `sql` lists? It has the parameters (?1, ?2) = (first, second). */
static fb_status matches_set(struct bind *bind, const char *sql, const char *argument, bool *ret_matches) {
    const struct fb_mapping *m = bind->m;
    sqlite3_stmt *stmt;
    unsigned listed = 0, found = 0;
    int rc;
    if (sqlite3_prepare_v2(bind->driver->catalogue, sql, -1, &stmt, NULL) != SQLITE_OK)
        return db_error(bind);
    sqlite3_bind_text(stmt, 1, argument, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0); /* NULL: an expression */
        listed++;
        for (unsigned i = 0; i < m->pattern.nparams && name != NULL; i++)
            found += sqlite3_stricmp(m->columns[bind->b->key_columns[i]].name, name) == 0;
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE)
        return db_error(bind);
    *ret_matches = listed == found && listed == m->pattern.nparams;
    return FB_OK;
}

static fb_status is_unique(struct bind *bind, const char *table, bool *ret_unique) {
    fb_status status = matches_set(bind, "SELECT name FROM pragma_table_info(?1) WHERE pk > 0", table, ret_unique);
    sqlite3_stmt *stmt;
    if (status != FB_OK || *ret_unique)
        return status;
    if (sqlite3_prepare_v2(bind->driver->catalogue,
                           "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND partial = 0", -1, &stmt,
                           NULL) != SQLITE_OK)
        return db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    int rc = SQLITE_DONE;
    while (status == FB_OK && !*ret_unique && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        status = matches_set(bind, "SELECT name FROM pragma_index_info(?1)", (const char *)sqlite3_column_text(stmt, 0),
                             ret_unique);
    sqlite3_finalize(stmt);
    return status == FB_OK && rc != SQLITE_DONE && rc != SQLITE_ROW ? db_error(bind) : status;
}

/* A pattern of one parameter that names no column means the primary key of one column. */
static fb_status find_single_key(struct bind *bind, const char *table, int *ret_column) {
    sqlite3_stmt *stmt;
    int rc, n = 0;
    if (sqlite3_prepare_v2(bind->driver->catalogue, "SELECT name FROM pragma_table_info(?1) WHERE pk > 0", -1, &stmt,
                           NULL) != SQLITE_OK)
        return db_error(bind);
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    *ret_column = -1;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        *ret_column = n++ == 0 && name != NULL ? column_by_name(bind->m, name) : -1;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? FB_OK : db_error(bind);
}

static fb_status find_key_columns(struct bind *bind, const char *table) {
    struct fb_mapping *m = bind->m;
    for (unsigned i = 0; i < m->pattern.nparams; i++) {
        const char *name = param_part(m, i)->text;
        int column = column_by_name(m, name);
        if (column < 0 && m->pattern.nparams == 1) {
            fb_status status = find_single_key(bind, table, &column);
            if (status != FB_OK)
                return status;
        }
        if (column < 0) {
            struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
            char hint[FB_NAME_LEN_MAX + 24];
            for (unsigned k = 0; k < m->ncolumns; k++)
                fb_nearest_offer(&nearest, m->columns[k].name);
            return refuse(bind, "parameter '%s' is no column of table '%s'%s", name, table,
                          fb_nearest_hint(&nearest, hint));
        }
        if (m->columns[column].param >= 0)
            return refuse(bind, "two parameters name column '%s'", m->columns[column].name);
        m->columns[column].param = (int)i;
        bind->b->key_columns[i] = column;
    }
    bool unique = false;
    fb_status status = m->pattern.nparams > 0 ? is_unique(bind, table, &unique) : FB_OK;
    if (status == FB_OK && !unique)
        return refuse(bind, "the parameters are neither the primary key of table '%s' nor all columns of a unique index, so "
                            "a key could name several rows", table);
    return status;
}

/* Give a parameter the type its column demands, and refuse columns in which two keys could find one row. */
static fb_status check_key_column(struct bind *bind, const char *table, unsigned param) {
    struct fb_mapping *m = bind->m;
    struct fb_column *c = &m->columns[bind->b->key_columns[param]];
    struct fb_pattern_part *part = param_part(m, param);
    const char *declared = NULL, *collation = NULL;
    if (sqlite3_table_column_metadata(bind->driver->catalogue, NULL, table, c->name, &declared, &collation, NULL, NULL,
                                      NULL) != SQLITE_OK)
        return db_error(bind);
    if (collation != NULL && sqlite3_stricmp(collation, "BINARY") != 0)
        return refuse(bind, "key column '%s' has the collation %s, under which several keys would name one row", c->name,
                      collation);
    if (c->class == FB_CLASS_REAL || c->class == FB_CLASS_BINARY)
        return refuse(bind, "key column '%s' is declared %s; keys are text or integers", c->name, declared);
    if (c->class == FB_CLASS_INTEGER && part->type == FB_PARAM_TEXT)
        part->type = FB_PARAM_INT;
    bool reads = reads_numbers(c, declared);
    if (c->class == FB_CLASS_INTEGER && part->type != FB_PARAM_INT)
        return refuse(bind, "key column '%s' is an integer, parameter '%s' is %s", c->name, part->text,
                      fb_param_type_name(part->type));
    if (reads && part->type != FB_PARAM_INT && part->type != FB_PARAM_DATE && part->type != FB_PARAM_UUID)
        return refuse(bind, "key column '%s' is declared %s, in which texts like '1' and '01' are one; write {%s:int}, "
                            "or declare the column INTEGER or TEXT", c->name, declared != NULL ? declared : "", part->text);
    m->param_is_int[param] = part->type == FB_PARAM_INT && (reads || c->class == FB_CLASS_ANY);
    c->is_nullable = false;
    return FB_OK;
}

/* The text of a statement and where its parameters come from, for statements whose parameters are the key's. */
static fb_status set_key_statement(struct bind *bind, struct fb_sql *sql,
                                   fb_status (*make)(const struct fb_binding *binding, fb_buf *out)) {
    unsigned n = bind->m->pattern.nparams;
    fb_buf text = FB_BUF_INIT;
    sql->args = fb_mem_calloc(n, sizeof *sql->args);
    if (sql->args == NULL || make(bind->b, &text) != FB_OK) {
        fb_buf_free(&text);
        return no_memory(bind);
    }
    sql->text = text.data;
    sql->nargs = n;
    for (unsigned i = 0; i < n; i++)
        sql->args[i] = (struct fb_sql_arg){.is_key = true, .index = i};
    return FB_OK;
}

static fb_status bind_table(struct bind *bind) {
    const fb_keyspace_options *o = bind->options;
    char *table = NULL;
    if (o->load != NULL || o->store != NULL || o->del != NULL)
        return refuse(bind, "give either a table or statements of your own");
    fb_status status = find_table(bind, &table);
    if (status == FB_OK)
        status = read_columns(bind, table);
    if (status == FB_OK)
        status = find_key_columns(bind, table);
    for (unsigned i = 0; status == FB_OK && i < bind->m->pattern.nparams; i++)
        status = check_key_column(bind, table, i);
    if (status == FB_OK && (bind->b->table = fb_sqlite_quote(table)) == NULL)
        status = no_memory(bind);
    if (status == FB_OK)
        status = set_key_statement(bind, &bind->b->load, fb_sqlite_load_text);
    if (status == FB_OK)
        status = set_key_statement(bind, &bind->b->del, fb_sqlite_delete_text);
    bind->b->is_table = true;
    fb_mem_free(table);
    return status;
}

/* ---- explicit SQL ---- */

static fb_status prepare(struct bind *bind, const char *what, const char *text, sqlite3_stmt **ret_stmt) {
    sqlite3 *db = bind->driver->catalogue;
    sqlite3_stmt *stmt = NULL, *second = NULL;
    const char *tail = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &stmt, &tail) != SQLITE_OK)
        return (sqlite3_errcode(db) & 0xff) == SQLITE_NOMEM ? no_memory(bind)
                                                           : refuse(bind, "%s: %s", what, sqlite3_errmsg(db));
    if (stmt == NULL)
        return refuse(bind, "%s: the statement is empty", what);
    if (sqlite3_prepare_v2(db, tail, -1, &second, NULL) != SQLITE_OK || second != NULL) {
        sqlite3_finalize(second);
        sqlite3_finalize(stmt);
        return refuse(bind, "%s: there is more than one statement", what);
    }
    *ret_stmt = stmt;
    return FB_OK;
}

/* Where the statement's named parameters come from: the pattern, or (where columns are allowed) the value. */
static fb_status find_args(struct bind *bind, const char *what, sqlite3_stmt *stmt, bool takes_columns,
                           struct fb_sql *sql) {
    struct fb_mapping *m = bind->m;
    unsigned n = (unsigned)sqlite3_bind_parameter_count(stmt);
    sql->args = fb_mem_calloc(n, sizeof *sql->args);
    if (sql->args == NULL)
        return no_memory(bind);
    sql->nargs = n;
    for (unsigned i = 0; i < n; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, (int)i + 1);
        if (name == NULL || name[0] == '?')
            return refuse(bind, "%s: parameters have names, for example :%s", what,
                          m->pattern.nparams > 0 ? param_part(m, 0)->text : "name");
        name++;
        struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
        bool found = false;
        for (unsigned p = 0; p < m->pattern.nparams && !found; p++) {
            found = strcmp(param_part(m, p)->text, name) == 0;
            fb_nearest_offer(&nearest, param_part(m, p)->text);
            sql->args[i] = (struct fb_sql_arg){.is_key = true, .index = p};
        }
        for (unsigned c = 0; c < m->ncolumns && takes_columns && !found; c++) {
            found = strcmp(m->columns[c].name, name) == 0;
            fb_nearest_offer(&nearest, m->columns[c].name);
            sql->args[i] = (struct fb_sql_arg){.is_key = false, .index = c};
        }
        char hint[FB_NAME_LEN_MAX + 24];
        if (!found)
            return refuse(bind, "%s: :%s is no parameter of the pattern%s%s", what, name,
                          takes_columns ? " and no column of load" : "", fb_nearest_hint(&nearest, hint));
    }
    return FB_OK;
}

static fb_status keep_statement(struct bind *bind, const char *what, const char *text, sqlite3_stmt *stmt,
                                bool takes_columns, struct fb_sql *sql) {
    sql->text = fb_mem_strdup(text);
    return sql->text != NULL ? find_args(bind, what, stmt, takes_columns, sql) : no_memory(bind);
}

static fb_status read_result_columns(struct bind *bind, sqlite3_stmt *stmt) {
    struct fb_mapping *m = bind->m;
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        const char *name = sqlite3_column_name(stmt, i);
        struct fb_column *c;
        if (name != NULL)
            for (unsigned k = 0; k < m->ncolumns; k++)
                if (strcmp(m->columns[k].name, name) == 0)
                    return refuse(bind, "load: two columns are called '%s'; rename one with AS", name);
        fb_status status = add_column(bind, name, sqlite3_column_decltype(stmt, i), &c);
        if (status != FB_OK)
            return status;
        for (unsigned p = 0; p < m->pattern.nparams; p++)
            if (strcmp(param_part(m, p)->text, c->name) == 0)
                c->param = (int)p;
    }
    return FB_OK;
}

static fb_status bind_load(struct bind *bind) {
    sqlite3_stmt *stmt;
    fb_status status = prepare(bind, "load", bind->options->load, &stmt);
    if (status != FB_OK)
        return status;
    if (!sqlite3_stmt_readonly(stmt) || sqlite3_column_count(stmt) == 0)
        status = refuse(bind, "load: a statement that only reads is wanted");
    if (status == FB_OK)
        status = read_result_columns(bind, stmt);
    if (status == FB_OK)
        status = keep_statement(bind, "load", bind->options->load, stmt, /* takes_columns */ false, &bind->b->load);
    sqlite3_finalize(stmt);
    return status;
}

static fb_status bind_write(struct bind *bind, const char *what, const char *text, bool takes_columns,
                            struct fb_sql *sql) {
    sqlite3_stmt *stmt;
    if (text == NULL)
        return FB_OK;
    fb_status status = prepare(bind, what, text, &stmt);
    if (status != FB_OK)
        return status;
    if (sqlite3_stmt_readonly(stmt))
        status = refuse(bind, "%s: the statement writes nothing", what);
    if (status == FB_OK)
        status = keep_statement(bind, what, text, stmt, takes_columns, sql);
    sqlite3_finalize(stmt);
    return status;
}

/* Columns that the store statement does not take cannot be written; neither can any without one. */
static void mark_stored(struct bind *bind) {
    for (unsigned c = 0; c < bind->m->ncolumns; c++)
        bind->m->columns[c].is_readonly = bind->m->columns[c].param < 0;
    for (unsigned i = 0; i < bind->b->store.nargs; i++)
        if (!bind->b->store.args[i].is_key)
            bind->m->columns[bind->b->store.args[i].index].is_readonly = false;
}

static fb_status bind_statements(struct bind *bind) {
    const fb_keyspace_options *o = bind->options;
    unsigned param = 0;
    for (unsigned i = 0; i < bind->m->pattern.nparts; i++)
        if (bind->m->pattern.parts[i].is_param)
            bind->m->param_is_int[param++] = bind->m->pattern.parts[i].type == FB_PARAM_INT;
    fb_status status = bind_load(bind);
    if (status == FB_OK)
        status = bind_write(bind, "store", o->store, /* takes_columns */ true, &bind->b->store);
    if (status == FB_OK)
        status = bind_write(bind, "delete", o->del, /* takes_columns */ false, &bind->b->del);
    if (status == FB_OK)
        mark_stored(bind);
    return status;
}

/* ---- bind ---- */

static void free_texts(char **texts) {
    for (unsigned i = 0; texts != NULL && i < FB_COLUMNS_MAX; i++)
        fb_mem_free(texts[i]);
    fb_mem_free(texts);
}

static void free_sql(struct fb_sql *sql) {
    fb_mem_free(sql->text);
    fb_mem_free(sql->args);
}

void fb_sqlite_unbind(struct fb_binding *binding) {
    if (binding == NULL)
        return;
    free_texts(binding->quoted);
    free_texts(binding->defaults);
    free_sql(&binding->load);
    free_sql(&binding->del);
    free_sql(&binding->store);
    fb_mem_free(binding->table);
    fb_mapping_finish(&binding->mapping);
    fb_mem_free(binding);
}

static fb_status prepare_binding(struct bind *bind) {
    struct fb_binding *b = bind->b;
    bind->m->name = fb_mem_strdup(bind->options->pattern);
    bind->m->columns = fb_mem_calloc(FB_COLUMNS_MAX, sizeof *bind->m->columns);
    b->quoted = fb_mem_calloc(FB_COLUMNS_MAX, sizeof *b->quoted);
    b->defaults = fb_mem_calloc(FB_COLUMNS_MAX, sizeof *b->defaults);
    bind->m->reals_only = true;
    bind->m->set_replaces = bind->options->set_mode == FB_SET_REPLACE;
    if (bind->m->name == NULL || bind->m->columns == NULL || b->quoted == NULL || b->defaults == NULL)
        return no_memory(bind);
    return fb_pattern_parse(bind->options->pattern, &bind->m->pattern, bind->err);
}

/* From here on the keyspace is called by its pattern with the types filled in. */
static fb_status rename_typed(struct bind *bind) {
    char *typed = fb_pattern_format(&bind->m->pattern);
    if (typed == NULL)
        return no_memory(bind);
    fb_mem_free(bind->m->name);
    bind->m->name = typed;
    return FB_OK;
}

fb_status fb_sqlite_bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options,
                                  struct fb_binding **ret_binding, char **ret_pattern, fb_err *reterr) {
    struct fb_binding *b = fb_mem_calloc(1, sizeof *b);
    if (b == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct bind bind = {driver, options, b, &b->mapping, reterr};
    char *pattern = NULL;
    fb_status status = prepare_binding(&bind);
    if (status == FB_OK && options->table == NULL && options->load == NULL)
        status = refuse(&bind, "a table or a load statement is wanted");
    if (status == FB_OK)
        status = options->table != NULL ? bind_table(&bind) : bind_statements(&bind);
    if (status == FB_OK)
        status = rename_typed(&bind);
    if (status == FB_OK)
        status = fb_mapping_hide(bind.m, options->hide, reterr);
    if (status == FB_OK)
        status = fb_mapping_set_as(bind.m, options->as, /* is_explicit_sql */ !b->is_table, reterr);
    if (status == FB_OK && (pattern = fb_mem_strdup(b->mapping.name)) == NULL)
        status = no_memory(&bind);
    if (status != FB_OK) {
        fb_sqlite_unbind(b);
        return status;
    }
    *ret_binding = b;
    *ret_pattern = pattern;
    return FB_OK;
}
