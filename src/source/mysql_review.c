/* What is to be said of a keyspace of MariaDB or MySQL beyond "it fits": every fault of one that does not, what may surprise
 * in one that does; and which tables there are to be mapped. The catalogue is asked, no row is read. */
#include "source/mysql_bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct review {
    struct fb_mysql_bind *bind;
    const struct fb_binding *const *others;
    size_t nothers;
};

static void warn(const struct review *r, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void warn(const struct review *r, const char *code, const char *format, ...) {
    char text[FB_ERR_TEXT_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    r->bind->remark(r->bind->remark_user, 0, code, text);
}

/* ---- scans ---- */

enum { EXPLAINED_MAX = 16 }; /* columns of EXPLAIN */

static bool is_text(const struct fb_datum *datum, const char *text) {
    return datum->kind == FB_DATUM_TEXT && datum->bytes.len == strlen(text) &&
           memcmp(datum->bytes.data, text, datum->bytes.len) == 0;
}

/* Small tables are scanned because they are small: only where there is no index that could help it counts. */
static void take_plan(const struct review *r, const char *what, const struct fb_datum *row, const int *places) {
    const struct fb_datum *table = &row[places[0]], *type = &row[places[1]], *keys = &row[places[2]];
    bool scans = (is_text(type, "ALL") || is_text(type, "index")) && keys->kind == FB_DATUM_NULL;
    if (scans && table->kind == FB_DATUM_TEXT && table->bytes.len > 0 && table->bytes.data[0] != '<')
        warn(r, "scan", "%s: every key reads all of '%.*s': there is no index for it", what, (int)table->bytes.len,
             table->bytes.data);
}

static void run_plan(struct review *r, const char *what, const struct fb_named_sql *sql, const char *text) {
    static const char *const names[] = {"table", "type", "possible_keys"};
    struct fb_session *session = r->bind->driver->catalogue;
    struct fb_column columns[EXPLAINED_MAX];
    struct fb_mapping any = {.columns = columns};
    struct fb_mysql_type types[EXPLAINED_MAX];
    struct fb_datum row[EXPLAINED_MAX], params[FB_NAMED_ARGS_MAX];
    struct fb_mysql_statement *statement;
    int places[] = {-1, -1, -1};
    fb_err err;
    if (fb_mysql_prepare(session, text, &statement, &err) != FB_OK)
        return;
    MYSQL_RES *meta = mysql_stmt_result_metadata(statement->handle);
    unsigned n = meta != NULL ? mysql_num_fields(meta) : 0;
    for (unsigned i = 0; i < n && n <= EXPLAINED_MAX; i++) {
        const MYSQL_FIELD *field = mysql_fetch_field_direct(meta, i);
        (void)fb_mysql_class(field, &types[i]);
        columns[i] = (struct fb_column){.name = "", .param = -1};
        for (int k = 0; k < 3; k++)
            if (strcmp(field->name, names[k]) == 0)
                places[k] = (int)i;
    }
    mysql_free_result(meta);
    any.ncolumns = n;
    if (n > EXPLAINED_MAX || places[0] < 0 || places[1] < 0 || places[2] < 0 ||
        fb_mysql_params_begin(session, sql->nargs, &err) != FB_OK)
        return;
    for (unsigned i = 0; i < sql->nargs; i++) { /* a value, as NULL finds nothing without looking */
        bool is_int = sql->args[i].is_key && r->bind->m->param_is_int[sql->args[i].index];
        params[i] = is_int ? fb_datum_int(1) : fb_datum_bytes(FB_DATUM_TEXT, FB_STR("1"));
        fb_mysql_param(session, &params[i]);
    }
    if (fb_mysql_execute(session, text, &any, types, n, &statement, &err) != FB_OK)
        return;
    while (fb_mysql_next(session, statement, &any, row, &err) == FB_OK)
        take_plan(r, what, row, places);
    fb_mysql_release(statement);
}

static void review_plan(struct review *r, const char *what, const struct fb_named_sql *sql) {
    fb_buf text = FB_BUF_INIT;
    if (sql->text != NULL && fb_buf_append(&text, "EXPLAIN ", strlen("EXPLAIN ")) == FB_OK &&
        fb_buf_append(&text, sql->text, strlen(sql->text) + 1) == FB_OK)
        run_plan(r, what, sql, text.data);
    fb_buf_free(&text);
}

/* ---- rows that cannot be inserted ---- */

static void review_insert(struct review *r) {
    const struct fb_mapping *m = r->bind->m;
    for (unsigned i = 0; i < m->ncolumns; i++) {
        const struct fb_column *c = &m->columns[i];
        bool is_shown = !c->is_hidden && (m->as != FB_AS_COLUMN || i == m->as_column);
        if (!c->is_nullable && !c->has_default && !is_shown && c->param < 0 && !c->is_readonly)
            warn(r, "insert",
                 "write: no row can be inserted, only changed: column '%s' must not be NULL, has no default, and is not "
                 "shown to clients",
                 c->name);
    }
}

/* ---- tables of other keyspaces that change with this one's ---- */

/* The keyspace that has copies of this table's rows, or NULL. */
static const char *mapped_by(const struct review *r, const char *table) {
    for (size_t i = 0; i < r->nothers; i++) {
        const struct fb_binding *other = r->others[i];
        if (strcmp(other->driver->identity, r->bind->driver->identity) != 0 ||
            strcmp(other->mapping.name, r->bind->m->name) == 0)
            continue;
        for (unsigned t = 0; t < other->ntables; t++)
            if (strcmp(other->tables[t], table) == 0)
                return other->mapping.name;
    }
    return NULL;
}

/* A query is told of writes only where it depends on their table. */
static void review_depends(const struct review *r) {
    const struct fb_binding *b = r->bind->b;
    for (unsigned t = 0; t < b->ntables; t++)
        for (size_t i = 0; i < r->nothers; i++) {
            const struct fb_binding *other = r->others[i];
            bool is_covered = false, writes = false;
            for (unsigned d = 0; d < b->mapping.ndepends; d++)
                is_covered |= strcmp(b->mapping.depends[d].table, b->tables[t]) == 0;
            for (unsigned k = 0; k < other->ntables && fb_mysql_shared_table(b, other) != NULL; k++)
                writes |= other->is_written[k] && strcmp(other->tables[k], b->tables[t]) == 0;
            if (writes && !is_covered)
                warn(r, "depends", "load: '%s' writes table '%s', and this keyspace does not depend on it: what is cached "
                     "here stays until its TTL", other->mapping.name, b->tables[t]);
        }
}

static fb_status take_cascade(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    const struct review *r = user;
    char table[FB_ERR_TEXT_MAX];
    (void)bind;
    (void)snprintf(table, sizeof table, "%.*s.%.*s", (int)row[0].len, row[0].data, (int)row[1].len, row[1].data);
    const char *other = mapped_by(r, table);
    if (other != NULL)
        warn(r, "cascade",
             "on_del: deleting a row changes rows of '%s' as well (ON DELETE %.*s); what '%s' has cached of them stays "
             "until its TTL",
             table, (int)row[2].len, row[2].data, other);
    return FB_OK;
}

static fb_status take_trigger(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    (void)bind;
    warn(user, "trigger",
         "write: trigger '%.*s' runs with it; if it changes tables of other keyspaces, what they have cached stays until "
         "their TTL",
         (int)row[0].len, row[0].data);
    return FB_OK;
}

static void review_table(struct review *r, const struct fb_mysql_table *table) {
    const char *const values[] = {table->schema, table->name};
    review_insert(r);
    if (r->nothers > 1)
        (void)fb_mysql_ask(r->bind, "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? "
                                    "AND EVENT_OBJECT_TABLE = ? ORDER BY 1", 2, values, 1, take_trigger, r);
    if (r->bind->options->on_del == FB_ON_DEL_DELETE_ROW)
        (void)fb_mysql_ask(r->bind,
                           "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, DELETE_RULE FROM "
                           "information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND "
                           "REFERENCED_TABLE_NAME = ? AND DELETE_RULE IN ('CASCADE', 'SET NULL') ORDER BY 1, 2",
                           2, values, 3, take_cascade, r);
}

fb_status fb_mysql_review(struct fb_driver *driver, const fb_keyspace_options *options,
                          const struct fb_binding *const *others, size_t nothers, fb_remark remark, void *user,
                          fb_err *reterr) {
    struct fb_binding *b = fb_mem_calloc(1, sizeof *b);
    fb_err err = {0};
    if (b == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_mysql_bind bind = {.driver = driver, .options = options, .b = b, .m = &b->mapping, .err = &err,
                                 .remark = remark, .remark_user = user};
    fb_status status = fb_mysql_bind_all(&bind);
    if (status != FB_OK)
        return status == FB_CONFIG ? FB_OK : fb_fail(reterr, status, "%s", err.text);
    struct review r = {&bind, others, nothers};
    if (b->mapping.is_list || (!b->is_table && options->write == FB_WRITE_OFF))
        review_depends(&r);
    if (b->mapping.is_list) {
        review_plan(&r, b->is_table ? "table" : "load", &b->load);
    } else if (!b->is_table) {
        review_plan(&r, "load", &b->load);
        review_plan(&r, "store", &b->store);
        review_plan(&r, "delete", &b->del);
    } else if (options->write != FB_WRITE_OFF && fb_mysql_find_table(&bind, "", options->table, &bind.table) == FB_OK) {
        review_table(&r, &bind.table);
        fb_mysql_free_table(&bind.table);
    }
    fb_mysql_unbind(b);
    return FB_OK;
}

/* ---- the tables there are ---- */

/* The table whose columns come by. */
struct visited {
    fb_source_visit visit;
    void *user;
    char *name;
    bool is_view;
    char *columns[FB_COLUMNS_MAX];
    const char *key[FB_PATTERN_PARAMS_MAX], *references[FB_COLUMNS_MAX];
    size_t ncolumns, nkey, nreferences;
};

static void end_table(struct visited *v) {
    for (size_t k = 0; k < v->nkey; k++)
        v->nkey = v->key[k] != NULL ? v->nkey : 0;
    if (v->name != NULL)
        v->visit(v->user, &(fb_source_table){v->name, v->is_view, v->key, v->nkey, (const char *const *)v->columns,
                                             v->ncolumns, v->references, v->nreferences});
    for (size_t i = 0; i < v->ncolumns; i++)
        fb_mem_free(v->columns[i]);
    fb_mem_free(v->name);
    *v = (struct visited){.visit = v->visit, .user = v->user};
}

static void pass(void *user, const fb_source_table *table) {
    (void)user;
    (void)table;
}

static char *copy_of(fb_bytes text) {
    char *copy = fb_mem_alloc(text.len + 1);
    if (copy != NULL && text.len > 0)
        memcpy(copy, text.data, text.len);
    if (copy != NULL)
        copy[text.len] = '\0';
    return copy;
}

static fb_status take_column(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    struct visited *v = user;
    if (v->name == NULL || strlen(v->name) != row[0].len || memcmp(v->name, row[0].data, row[0].len) != 0) {
        end_table(v);
        v->name = copy_of(row[0]);
        v->is_view = row[1].len == 4;
    }
    if (v->name == NULL)
        return fb_mysql_no_memory(bind);
    if (v->ncolumns == FB_COLUMNS_MAX)
        return FB_OK;
    char *column = v->columns[v->ncolumns] = copy_of(row[2]);
    if (column == NULL)
        return fb_mysql_no_memory(bind);
    v->ncolumns++;
    if (row[4].len == 1 && row[4].data[0] == '1')
        v->references[v->nreferences++] = column;
    size_t place = row[3].len == 1 ? (size_t)(row[3].data[0] - '0') : 0;
    if (place > 0 && place <= FB_PATTERN_PARAMS_MAX) {
        v->key[place - 1] = column;
        v->nkey = place > v->nkey ? place : v->nkey;
    }
    return FB_OK;
}

fb_status fb_mysql_tables(struct fb_driver *driver, fb_source_visit visit, void *user, fb_err *reterr) {
    struct visited v = {.visit = visit, .user = user};
    struct fb_mapping none = {.name = "tables"};
    struct fb_mysql_bind bind = {.driver = driver, .m = &none, .err = reterr};
    fb_status status = fb_mysql_begin_call(driver->catalogue, reterr);
    if (status == FB_OK)
        status = fb_mysql_ask(&bind,
                              "SELECT t.TABLE_NAME, CAST(t.TABLE_TYPE AS CHAR), c.COLUMN_NAME, "
                              "CAST(coalesce(k.SEQ_IN_INDEX, 0) AS CHAR), CAST(f.COLUMN_NAME IS NOT NULL AS CHAR) "
                              "FROM information_schema.TABLES t "
                              "JOIN information_schema.COLUMNS c "
                              "ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME "
                              "LEFT JOIN information_schema.STATISTICS k ON k.TABLE_SCHEMA = t.TABLE_SCHEMA AND "
                              "k.TABLE_NAME = t.TABLE_NAME AND k.COLUMN_NAME = c.COLUMN_NAME AND k.INDEX_NAME = 'PRIMARY' "
                              "LEFT JOIN (SELECT DISTINCT TABLE_NAME, max(COLUMN_NAME) AS COLUMN_NAME FROM "
                              "information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND "
                              "REFERENCED_TABLE_NAME IS NOT NULL GROUP BY TABLE_NAME, CONSTRAINT_NAME "
                              "HAVING count(*) = 1) f ON f.TABLE_NAME = t.TABLE_NAME AND f.COLUMN_NAME = c.COLUMN_NAME "
                              "WHERE t.TABLE_SCHEMA = DATABASE() ORDER BY t.TABLE_TYPE = 'VIEW', t.TABLE_NAME, "
                              "c.ORDINAL_POSITION",
                              0, NULL, 5, take_column, &v);
    v.visit = status == FB_OK ? visit : pass; /* of half a table nothing is said */
    end_table(&v);
    return status;
}
