/* Binding a table of MariaDB or MySQL: which columns there are, of what type, and whether the pattern's parameters are a
 * key.
 *
 * One row has one key: the parameters must be exactly the primary key, or the columns of a unique index, by name; a
 * pattern of one parameter may call a primary key of one column what it likes. Key columns are integers, char, varchar,
 * uuid or date.
 *
 * Nearly all texts of these databases compare without regard to letter case and blanks at the end. Such a key is exact
 * here all the same: a row is shown under the key that is in it, letter by letter, and under no other ('bob' does not
 * find 'Bob', and cannot be inserted next to it either: the database says so). */
#include "source/mysql_bind.h"

#include <ctype.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/depend.h"
#include "rows/names.h"

/* ---- the table ---- */

static char *copy_of(fb_bytes text) {
    char *copy = fb_mem_alloc(text.len + 1);
    if (copy == NULL)
        return NULL;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

static bool is_word(fb_bytes text, const char *word) {
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static bool is_plain_name(const char *name) {
    size_t n = strlen(name);
    bool ok = n > 0 && n <= FB_NAME_LEN_MAX && !isdigit((unsigned char)name[0]) && name[0] != '$';
    for (size_t i = 0; i < n && ok; i++)
        ok = isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '$';
    return ok;
}

/* "table" or "database.table". Without a database: the one of the URL. */
static fb_status split_name(struct fb_mysql_bind *bind, const char *what, const char *wanted, char **ret_schema,
                            const char **ret_table) {
    const char *dot = strchr(wanted, '.');
    char *schema = dot != NULL ? copy_of(fb_bytes_of(wanted, (size_t)(dot - wanted))) : NULL;
    if (dot != NULL && schema == NULL)
        return fb_mysql_no_memory(bind);
    *ret_schema = schema;
    *ret_table = dot != NULL ? dot + 1 : wanted;
    if (is_plain_name(*ret_table) && (schema == NULL || is_plain_name(schema)))
        return FB_OK;
    return fb_mysql_refuse(bind, "%stable '%s' is not a plain name of letters, digits, '_' and '$'", what, wanted);
}

struct near {
    struct fb_nearest nearest;
    char best[FB_NAME_LEN_MAX + 1]; /* names of a row end with it */
};

static fb_status take_nearest(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct near *near = user;
    char name[FB_NAME_LEN_MAX + 1];
    (void)bind;
    if (row[0].len >= sizeof name)
        return FB_OK;
    memcpy(name, row[0].data, row[0].len);
    name[row[0].len] = '\0';
    fb_nearest_offer(&near->nearest, name);
    if (near->nearest.best == name) {
        memcpy(near->best, name, sizeof name);
        near->nearest.best = near->best;
    }
    return FB_OK;
}

static fb_status no_such_table(struct fb_mysql_bind *bind, const char *what, const char *wanted) {
    struct near near = {.nearest = FB_NEAREST_INIT(FB_STR(wanted))};
    char hint[FB_NAME_LEN_MAX + 24];
    fb_status status = fb_mysql_ask(bind, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE "
                                          "TABLE_SCHEMA = DATABASE()", 0, NULL, 1, take_nearest, &near);
    return status != FB_OK ? status : fb_mysql_refuse(bind, "%sthere is no table '%s'%s", what, wanted,
                                                      fb_nearest_hint(&near.nearest, hint));
}

static fb_status take_table(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct fb_mysql_table *table = user;
    table->schema = copy_of(row[0]);
    table->name = copy_of(row[1]);
    table->is_view = is_word(row[2], "VIEW") || is_word(row[2], "SYSTEM VIEW");
    table->is_transactional = is_word(row[3], "YES");
    return table->schema != NULL && table->name != NULL ? FB_OK : fb_mysql_no_memory(bind);
}

void fb_mysql_free_table(struct fb_mysql_table *table) {
    fb_mem_free(table->schema);
    fb_mem_free(table->name);
    *table = (struct fb_mysql_table){.schema = NULL};
}

fb_status fb_mysql_find_table(struct fb_mysql_bind *bind, const char *what, const char *wanted,
                              struct fb_mysql_table *ret_table) {
    struct fb_mysql_table found = {.schema = NULL};
    char *schema = NULL;
    const char *table = NULL;
    fb_status status = split_name(bind, what, wanted, &schema, &table);
    const char *const values[] = {schema, table, table};
    if (status == FB_OK)
        status = fb_mysql_ask(bind,
                              "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, coalesce(e.TRANSACTIONS, '') FROM "
                              "information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE "
                              "WHERE t.TABLE_SCHEMA = coalesce(?, DATABASE()) AND t.TABLE_NAME = ? "
                              "ORDER BY CAST(t.TABLE_NAME AS BINARY) = CAST(? AS BINARY) DESC LIMIT 1",
                              3, values, 4, take_table, &found);
    fb_mem_free(schema);
    if (status == FB_OK && found.schema == NULL)
        status = no_such_table(bind, what, wanted);
    else if (status == FB_OK && found.is_view)
        status = fb_mysql_refuse(bind, "%s'%s' is a view, which has no key; write a load statement", what, wanted);
    if (status != FB_OK)
        fb_mysql_free_table(&found);
    *ret_table = found;
    return status;
}

static char *quoted_table(const struct fb_mysql_table *t) {
    char *schema = fb_mysql_quote(t->schema), *table = fb_mysql_quote(t->name);
    char *name = schema != NULL && table != NULL ? fb_mysql_full_name(schema, table) : NULL;
    fb_mem_free(schema);
    fb_mem_free(table);
    return name;
}

static fb_status find_own_table(struct fb_mysql_bind *bind) {
    fb_status status = fb_mysql_find_table(bind, "", bind->options->table, &bind->table);
    if (status != FB_OK)
        return status;
    if (!bind->table.is_transactional && bind->options->write != FB_WRITE_OFF)
        status = fb_mysql_go_on(bind, fb_mysql_refuse(bind, "table '%s' knows no transactions, which writes need; make it "
                                                            "ENGINE=InnoDB", bind->table.name));
    bind->b->table = quoted_table(&bind->table);
    if (status != FB_OK || bind->b->table == NULL)
        return status != FB_OK ? status : fb_mysql_no_memory(bind);
    return fb_mysql_note_table(bind, bind->table.schema, bind->table.name, bind->options->write != FB_WRITE_OFF);
}

/* ---- columns ---- */

static int column_by_name(const struct fb_mapping *m, fb_bytes name) {
    for (unsigned i = 0; i < m->ncolumns; i++)
        if (m->columns[i].name_len == name.len && memcmp(m->columns[i].name, name.data, name.len) == 0)
            return (int)i;
    return -1;
}

/* The names first, to ask the server for a row of them: it describes what it would send. */
static fb_status take_name(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    fb_buf *select = user;
    char *name = copy_of(row[0]), *quoted = name != NULL ? fb_mysql_quote(name) : NULL;
    fb_status status = quoted == NULL ? FB_NOMEM
                       : fb_buf_append(select, select->len == 0 ? "SELECT " : ", ", select->len == 0 ? 7 : 2);
    if (status == FB_OK)
        status = fb_buf_append(select, quoted, strlen(quoted));
    fb_mem_free(name);
    fb_mem_free(quoted);
    return status == FB_OK ? FB_OK : fb_mysql_no_memory(bind);
}

static fb_status take_column(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    (void)user;
    int i = column_by_name(bind->m, row[0]);
    if (i < 0)
        return FB_OK; /* added meanwhile */
    struct fb_column *c = &bind->m->columns[i];
    c->is_nullable = is_word(row[1], "YES");
    c->has_default = is_word(row[2], "1");
    c->is_readonly = is_word(row[3], "1");
    return FB_OK;
}

static fb_status describe(struct fb_mysql_bind *bind, fb_buf *select) {
    struct fb_mysql_statement *statement;
    struct fb_binding *b = bind->b;
    if (fb_buf_append(select, " FROM ", 6) != FB_OK ||
        fb_buf_append(select, b->table, strlen(b->table) + 1) != FB_OK)
        return fb_mysql_no_memory(bind);
    fb_status status = fb_mysql_prepare(bind->driver->catalogue, select->data, &statement, bind->err);
    return status == FB_OK ? fb_mysql_add_columns(bind, statement) : fb_mysql_bind_failed(bind, status);
}

static fb_status read_columns(struct fb_mysql_bind *bind) {
    const char *const values[] = {bind->table.schema, bind->table.name};
    struct fb_binding *b = bind->b;
    fb_buf select = FB_BUF_INIT;
    fb_status status = fb_mysql_ask(bind, "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? "
                                          "AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION", 2, values, 1, take_name,
                                    &select);
    if (status == FB_OK)
        status = describe(bind, &select);
    fb_buf_free(&select);
    if (status == FB_OK)
        status = fb_mysql_ask(bind,
                              "SELECT COLUMN_NAME, IS_NULLABLE, "
                              "CAST(COLUMN_DEFAULT IS NOT NULL OR EXTRA LIKE '%auto_increment%' AS CHAR), "
                              "CAST(coalesce(GENERATION_EXPRESSION, '') <> '' AS CHAR) "
                              "FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                              2, values, 4, take_column, NULL);
    if (status != FB_OK)
        return status;
    b->quoted = fb_mem_calloc(bind->m->ncolumns, sizeof *b->quoted);
    for (unsigned i = 0; i < bind->m->ncolumns; i++)
        if (b->quoted == NULL || (b->quoted[i] = fb_mysql_quote(bind->m->columns[i].name)) == NULL)
            return fb_mysql_no_memory(bind);
    return FB_OK;
}

/* ---- the key ---- */

/* The unique indexes of the table, one after another, the primary key first. */
struct indexes {
    char *name;               /* of the one under way */
    unsigned nlisted, nfound; /* its columns, and those of them that are the pattern's */
    int primary;              /* the primary key's column, if it is a single one */
    unsigned nprimary;
    bool is_key;
};

static void end_index(struct fb_mysql_bind *bind, struct indexes *x) {
    x->is_key |= x->nlisted > 0 && x->nlisted == x->nfound && x->nlisted == bind->m->pattern.nparams;
    x->nlisted = x->nfound = 0;
}

static fb_status take_primary(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct indexes *x = user;
    x->primary = column_by_name(bind->m, row[0]);
    x->nprimary++;
    return FB_OK;
}

static fb_status take_unique(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct indexes *x = user;
    if (x->name == NULL || !is_word(row[0], x->name)) {
        end_index(bind, x);
        fb_mem_free(x->name);
        x->name = copy_of(row[0]);
        if (x->name == NULL)
            return fb_mysql_no_memory(bind);
    }
    x->nlisted++;
    int column = column_by_name(bind->m, row[1]); /* an expression has no name */
    x->nfound += column >= 0 && bind->m->columns[column].param >= 0;
    return FB_OK;
}

static fb_status find_key_column(struct fb_mysql_bind *bind, const struct indexes *x, unsigned param) {
    struct fb_mapping *m = bind->m;
    const char *name = fb_mysql_param_part(m, param)->text;
    int column = column_by_name(m, FB_STR(name));
    if (column < 0 && m->pattern.nparams == 1 && !m->is_list && x->nprimary == 1)
        column = x->primary;
    if (column < 0) {
        struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
        char hint[FB_NAME_LEN_MAX + 24];
        for (unsigned k = 0; k < m->ncolumns; k++)
            fb_nearest_offer(&nearest, m->columns[k].name);
        return fb_mysql_refuse(bind, "parameter '%s' is no column of table '%s'%s", name, bind->options->table,
                               fb_nearest_hint(&nearest, hint));
    }
    if (m->columns[column].param >= 0)
        return fb_mysql_refuse(bind, "two parameters name column '%s'", m->columns[column].name);
    m->columns[column].param = (int)param;
    bind->b->key_columns[param] = column;
    return FB_OK;
}

static fb_status find_key_columns(struct fb_mysql_bind *bind) {
    const char *const values[] = {bind->table.schema, bind->table.name};
    struct indexes x = {.primary = -1};
    fb_status status = fb_mysql_ask(bind, "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? "
                                          "AND TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY'", 2, values, 1, take_primary,
                                    &x);
    unsigned nfaults = bind->nfaults;
    for (unsigned i = 0; i < bind->m->pattern.nparams && status == FB_OK; i++)
        status = fb_mysql_go_on(bind, find_key_column(bind, &x, i));
    if (status != FB_OK || bind->m->is_list || bind->nfaults > nfaults) /* of unknown columns nothing more can be said */
        return status;
    status = fb_mysql_ask(bind, "SELECT INDEX_NAME, coalesce(COLUMN_NAME, '') FROM information_schema.STATISTICS "
                                "WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 "
                                "ORDER BY INDEX_NAME, SEQ_IN_INDEX", 2, values, 2, take_unique, &x);
    end_index(bind, &x);
    fb_mem_free(x.name);
    if (status == FB_OK && !x.is_key)
        status = fb_mysql_refuse(bind,
                                 "the parameters are neither the primary key of table '%s' nor all columns of a unique "
                                 "index, so a key could name several rows",
                                 bind->options->table);
    return status;
}

static bool key_type(fb_bytes declared, enum fb_param_type *ret_type) {
    static const struct { const char *name; enum fb_param_type type; } types[] = {
        {"tinyint", FB_PARAM_INT}, {"smallint", FB_PARAM_INT}, {"mediumint", FB_PARAM_INT}, {"int", FB_PARAM_INT},
        {"bigint", FB_PARAM_INT},  {"char", FB_PARAM_TEXT},    {"varchar", FB_PARAM_TEXT},  {"uuid", FB_PARAM_UUID},
        {"date", FB_PARAM_DATE},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (is_word(declared, types[i].name)) {
            *ret_type = types[i].type;
            return true;
        }
    return false;
}

fb_status fb_mysql_type_param(struct fb_mysql_bind *bind, const char *what, const char *column, fb_bytes declared,
                              unsigned param, enum fb_param_type *ret_type) {
    enum fb_param_type wanted = FB_PARAM_TEXT;
    struct fb_pattern_part *part = fb_mysql_param_part(bind->m, param);
    fb_status status = FB_OK;
    int len = (int)declared.len;
    if (!key_type(declared, &wanted))
        status = fb_mysql_refuse(bind, "%s '%s' is %.*s; keys are integers, char, varchar, uuid or date", what, column, len,
                                 declared.data);
    else if (part->type == FB_PARAM_TEXT && wanted != FB_PARAM_TEXT)
        part->type = wanted;
    else if (wanted != FB_PARAM_TEXT && part->type != wanted)
        status = fb_mysql_refuse(bind, "%s '%s' is %.*s, parameter '%s' is %s", what, column, len, declared.data,
                                 part->text, fb_param_type_name(part->type));
    *ret_type = wanted;
    return status;
}

/* Does a text of this collation equal only itself? Most disregard letter case, and blanks at the end. */
static bool is_exact(fb_bytes collation) {
    static const char *const ends[] = {"_nopad_bin", "_0900_bin"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (collation.len > strlen(ends[i]) &&
            memcmp(collation.data + collation.len - strlen(ends[i]), ends[i], strlen(ends[i])) == 0)
            return true;
    return collation.len == 0;
}

static fb_status take_key_type(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct fb_mapping *m = bind->m;
    int column = column_by_name(m, row[0]), param = column >= 0 ? m->columns[column].param : -1;
    enum fb_param_type type = FB_PARAM_TEXT;
    (void)user;
    if (param < 0)
        return FB_OK;
    fb_status status = fb_mysql_type_param(bind, "key column", m->columns[column].name, row[1], (unsigned)param, &type);
    m->param_is_int[param] = type == FB_PARAM_INT;
    m->columns[column].is_nullable = false;
    bind->b->is_loose |= !is_exact(row[2]);
    return fb_mysql_go_on(bind, status);
}

static fb_status check_key_columns(struct fb_mysql_bind *bind) {
    const char *const values[] = {bind->table.schema, bind->table.name};
    return fb_mysql_ask(bind, "SELECT COLUMN_NAME, DATA_TYPE, coalesce(COLLATION_NAME, '') FROM "
                              "information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", 2, values, 3,
                        take_key_type, NULL);
}

/* ---- statements ---- */

static bool has_text(fb_status status, fb_buf *text, char **ret) {
    if (status != FB_OK)
        fb_buf_free(text);
    *ret = text->data;
    return status == FB_OK;
}

/* Its parameters are the key's. */
static bool set_key_statement(struct fb_binding *b, struct fb_named_sql *sql, fb_status status, fb_buf *text) {
    unsigned n = b->mapping.pattern.nparams;
    if (!has_text(status, text, &sql->text))
        return false;
    sql->args = fb_mem_calloc(n > 0 ? n : 1, sizeof *sql->args);
    sql->nargs = n;
    for (unsigned i = 0; i < n && sql->args != NULL; i++)
        sql->args[i] = (struct fb_named_arg){.is_key = true, .index = i};
    return sql->args != NULL;
}

static bool make_statements(struct fb_binding *b) {
    fb_buf load = FB_BUF_INIT, del = FB_BUF_INIT, lock = FB_BUF_INIT, list = FB_BUF_INIT;
    bool ok = set_key_statement(b, &b->load, fb_mysql_load_text(b, 0, FB_MYSQL_PLAIN, &load), &load) &&
              has_text(fb_mysql_list_text(b, &list), &list, &b->list);
    if (!ok || b->mapping.is_list)
        return ok;
    ok = set_key_statement(b, &b->del, fb_mysql_delete_text(b, &del), &del) &&
         has_text(fb_mysql_load_text(b, 0, FB_MYSQL_LOCK, &lock), &lock, &b->lock);
    for (unsigned i = 0; i < FB_MYSQL_SHAPES && ok; i++) {
        fb_buf many = FB_BUF_INIT, locked = FB_BUF_INIT;
        ok = has_text(fb_mysql_load_text(b, 1u << i, FB_MYSQL_PLAIN, &many), &many, &b->load_many[i]) &&
             has_text(fb_mysql_load_text(b, 1u << i, FB_MYSQL_TRY_LOCK, &locked), &locked, &b->try_lock_many[i]);
    }
    return ok;
}

/* What the rows of a list are ordered by: what was asked for, then the primary key. */
static fb_status take_order(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    int column = column_by_name(bind->m, row[0]);
    (void)user;
    if (column >= 0)
        fb_mapping_order_key(bind->m, (unsigned)column);
    return FB_OK;
}

static fb_status order_list(struct fb_mysql_bind *bind) {
    const char *const values[] = {bind->table.schema, bind->table.name};
    fb_status status = FB_OK;
    for (const char *const *item = bind->options->order; status == FB_OK && item != NULL && *item != NULL; item++)
        status = fb_mysql_go_on(bind, fb_mapping_order(bind->m, *item, bind->err));
    if (status == FB_OK)
        status = fb_mysql_ask(bind, "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND "
                                    "TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX", 2, values, 1,
                              take_order, NULL);
    return status;
}

static fb_status take_trigger(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    (void)row;
    (void)user;
    bind->m->is_changed = true;
    return FB_OK;
}

/* Does anything else change the rows that are written? (Who may not see triggers is told of none.) */
static fb_status find_triggers(struct fb_mysql_bind *bind) {
    const char *const values[] = {bind->table.schema, bind->table.name};
    return fb_mysql_ask(bind, "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? AND "
                              "EVENT_OBJECT_TABLE = ?", 2, values, 1, take_trigger, NULL);
}

fb_status fb_mysql_bind_table(struct fb_mysql_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    if (o->load != NULL || o->store != NULL || o->del != NULL)
        return fb_mysql_refuse(bind, "give either a table or statements of your own");
    fb_status status = find_own_table(bind);
    if (status == FB_OK)
        status = read_columns(bind);
    if (status == FB_OK && o->write == FB_WRITE_BEHIND)
        status = find_triggers(bind);
    if (status == FB_OK)
        status = fb_mysql_go_on(bind, find_key_columns(bind));
    if (status == FB_OK)
        status = check_key_columns(bind);
    if (status == FB_OK && bind->m->is_list)
        status = order_list(bind);
    if (status == FB_OK && bind->m->is_list && bind->nfaults == 0)
        status = fb_depend_add_own(bind->m, bind->b->tables[0], bind->b->key_columns, bind->err);
    bind->b->is_table = true;
    return status != FB_OK || bind->nfaults > 0 || make_statements(bind->b) ? status : fb_mysql_no_memory(bind);
}
