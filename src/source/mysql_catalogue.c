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

char *fb_mysql_copy_of(fb_bytes text) {
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
fb_status fb_mysql_split_name(struct fb_mysql_bind *bind, const char *what, const char *wanted, char **ret_schema,
                              const char **ret_table) {
    const char *dot = strchr(wanted, '.');
    char *schema = dot != NULL ? fb_mysql_copy_of(fb_bytes_of(wanted, (size_t)(dot - wanted))) : NULL;
    if (dot != NULL && schema == NULL)
        return fb_mysql_no_memory(bind);
    *ret_schema = schema;
    *ret_table = dot != NULL ? dot + 1 : wanted;
    if (is_plain_name(*ret_table) && (schema == NULL || is_plain_name(schema)))
        return FB_OK;
    return fb_mysql_refuse(bind, "%stable '%s' is not a plain name of letters, digits, '_' and '$'", what, wanted);
}

static fb_status take_nearest(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct fb_nearest *nearest = user;
    char *name = fb_mysql_copy_of(row[0]), *before = bind->table;
    if (name == NULL)
        return fb_mysql_no_memory(bind);
    fb_nearest_offer(nearest, name);
    bool is_best = nearest->best == name;
    if (is_best)
        bind->table = name; /* keeps its memory */
    fb_mem_free(is_best ? before : name);
    return FB_OK;
}

static fb_status no_such_table(struct fb_mysql_bind *bind) {
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(bind->options->table));
    char hint[FB_NAME_LEN_MAX + 24];
    fb_status status = fb_mysql_ask(bind, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE "
                                          "TABLE_SCHEMA = DATABASE()", 0, NULL, 1, take_nearest, &nearest);
    return status != FB_OK ? status : fb_mysql_refuse(bind, "there is no table '%s'%s", bind->options->table,
                                                      fb_nearest_hint(&nearest, hint));
}

static fb_status take_table(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    bool *is_transactional = user;
    if (is_word(row[2], "VIEW") || is_word(row[2], "SYSTEM VIEW"))
        return fb_mysql_refuse(bind, "'%s' is a view, which has no key; write a load statement", bind->options->table);
    bind->schema = fb_mysql_copy_of(row[0]);
    bind->table = fb_mysql_copy_of(row[1]);
    *is_transactional = is_word(row[3], "YES");
    return bind->schema != NULL && bind->table != NULL ? FB_OK : fb_mysql_no_memory(bind);
}

static char *quoted_table(const struct fb_mysql_bind *bind) {
    char *schema = fb_mysql_quote(bind->schema), *table = fb_mysql_quote(bind->table);
    fb_buf name = FB_BUF_INIT;
    if (schema == NULL || table == NULL || fb_buf_append(&name, schema, strlen(schema)) != FB_OK ||
        fb_buf_append(&name, ".", 1) != FB_OK || fb_buf_append(&name, table, strlen(table) + 1) != FB_OK)
        fb_buf_free(&name);
    fb_mem_free(schema);
    fb_mem_free(table);
    return name.data;
}

static fb_status find_table(struct fb_mysql_bind *bind) {
    char *schema = NULL;
    const char *table = NULL;
    bool is_transactional = false;
    fb_status status = fb_mysql_split_name(bind, "", bind->options->table, &schema, &table);
    const char *const values[] = {schema, table, table};
    if (status == FB_OK)
        status = fb_mysql_ask(bind,
                              "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, coalesce(e.TRANSACTIONS, '') FROM "
                              "information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE "
                              "WHERE t.TABLE_SCHEMA = coalesce(?, DATABASE()) AND t.TABLE_NAME = ? "
                              "ORDER BY CAST(t.TABLE_NAME AS BINARY) = CAST(? AS BINARY) DESC LIMIT 1",
                              3, values, 4, take_table, &is_transactional);
    fb_mem_free(schema);
    if (status != FB_OK)
        return status;
    if (bind->schema == NULL)
        return no_such_table(bind);
    if (!is_transactional && bind->options->write != FB_WRITE_OFF)
        return fb_mysql_refuse(bind, "table '%s' knows no transactions, which writes need; make it ENGINE=InnoDB",
                               bind->table);
    bind->b->table = quoted_table(bind);
    return bind->b->table != NULL ? fb_mysql_note_table(bind, bind->schema, bind->table, bind->options->write != FB_WRITE_OFF)
                                  : fb_mysql_no_memory(bind);
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
    char *name = fb_mysql_copy_of(row[0]), *quoted = name != NULL ? fb_mysql_quote(name) : NULL;
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
    const char *const values[] = {bind->schema, bind->table};
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
        x->name = fb_mysql_copy_of(row[0]);
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
    const char *const values[] = {bind->schema, bind->table};
    struct indexes x = {.primary = -1};
    fb_status status = fb_mysql_ask(bind, "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? "
                                          "AND TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY'", 2, values, 1, take_primary,
                                    &x);
    for (unsigned i = 0; i < bind->m->pattern.nparams && status == FB_OK; i++)
        status = find_key_column(bind, &x, i);
    if (status != FB_OK || bind->m->is_list)
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
    struct fb_pattern_part *part = fb_mysql_param_part(bind->m, param);
    enum fb_param_type wanted;
    if (!key_type(declared, &wanted))
        return fb_mysql_refuse(bind, "%s '%s' is %.*s; keys are integers, char, varchar, uuid or date", what, column,
                               (int)declared.len, declared.data);
    if (part->type == FB_PARAM_TEXT && wanted != FB_PARAM_TEXT)
        part->type = wanted;
    else if (wanted != FB_PARAM_TEXT && part->type != wanted)
        return fb_mysql_refuse(bind, "%s '%s' is %.*s, parameter '%s' is %s", what, column, (int)declared.len,
                               declared.data, part->text, fb_param_type_name(part->type));
    *ret_type = wanted;
    return FB_OK;
}

static fb_status take_key_type(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct fb_mapping *m = bind->m;
    enum fb_param_type type;
    int column = column_by_name(m, row[0]), param = column >= 0 ? m->columns[column].param : -1;
    (void)user;
    if (param < 0)
        return FB_OK;
    fb_status status = fb_mysql_type_param(bind, "key column", m->columns[column].name, row[1], (unsigned)param, &type);
    if (status != FB_OK)
        return status;
    m->param_is_int[param] = type == FB_PARAM_INT;
    m->columns[column].is_nullable = false;
    return FB_OK;
}

static fb_status check_key_columns(struct fb_mysql_bind *bind) {
    const char *const values[] = {bind->schema, bind->table};
    return fb_mysql_ask(bind, "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND "
                              "TABLE_NAME = ?", 2, values, 2, take_key_type, NULL);
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
    const char *const values[] = {bind->schema, bind->table};
    fb_status status = FB_OK;
    for (const char *const *item = bind->options->order; status == FB_OK && item != NULL && *item != NULL; item++)
        status = fb_mapping_order(bind->m, *item, bind->err);
    if (status == FB_OK)
        status = fb_mysql_ask(bind, "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND "
                                    "TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX", 2, values, 1,
                              take_order, NULL);
    return status;
}

fb_status fb_mysql_bind_table(struct fb_mysql_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    if (o->load != NULL || o->store != NULL || o->del != NULL)
        return fb_mysql_refuse(bind, "give either a table or statements of your own");
    fb_status status = find_table(bind);
    if (status == FB_OK)
        status = read_columns(bind);
    if (status == FB_OK)
        status = find_key_columns(bind);
    if (status == FB_OK)
        status = check_key_columns(bind);
    if (status == FB_OK && bind->m->is_list)
        status = order_list(bind);
    if (status == FB_OK && bind->m->is_list)
        status = fb_depend_add_own(bind->m, bind->b->tables[0], bind->b->key_columns, bind->err);
    bind->b->is_table = true;
    return status != FB_OK || make_statements(bind->b) ? status : fb_mysql_no_memory(bind);
}
