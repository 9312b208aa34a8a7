/* Binding a keyspace to PostgreSQL's catalogue: which columns there are, of what type, and whether the pattern's
 * parameters are a key.
 *
 * One row has one key: the parameters must be exactly the primary key, or the columns of a unique index, by name; a
 * pattern of one parameter may call a primary key of one column what it likes. Names are quoted by the server itself
 * (quote_ident). Key columns are integers, text, varchar, uuid or date, with a collation that tells all texts apart. */
#include "source/pg_bind.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/depend.h"
#include "rows/names.h"
#include "base/utf8.h"

fb_status fb_pg_no_memory(struct fb_pg_bind *bind) { return fb_fail(bind->err, FB_NOMEM, "out of memory"); }

fb_status fb_pg_ask(struct fb_pg_bind *bind, const char *text, int n, const char *const *values, PGresult **ret) {
    PGconn *db = bind->driver->catalogue;
    int is_sent = PQsendQueryParams(db, text, n, NULL, values, NULL, NULL, /* text */ 0);
    PGresult *result = fb_pg_catalogue_answer(bind->driver, is_sent);
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        *ret = result;
        return FB_OK;
    }
    fb_status status = fb_pg_catalogue_status(bind->driver, result);
    fb_mapping_fail(bind->m, bind->err, status, "%s", fb_pg_catalogue_message(bind->driver));
    PQclear(result);
    return status;
}

struct fb_pattern_part *fb_pg_param_part(struct fb_mapping *m, unsigned param) {
    for (unsigned i = 0; i < m->pattern.nparts; i++)
        if (m->pattern.parts[i].is_param && param-- == 0)
            return &m->pattern.parts[i];
    return NULL;
}

/* ---- columns ---- */

static bool grow(struct fb_binding *b, unsigned n) {
    b->mapping.columns = fb_mem_calloc(n, sizeof *b->mapping.columns);
    b->quoted = fb_mem_calloc(n, sizeof *b->quoted);
    b->types = fb_mem_calloc(n, sizeof *b->types);
    b->forms = fb_mem_calloc(n, sizeof *b->forms);
    b->is_composed = fb_mem_calloc(n, sizeof *b->is_composed);
    return b->mapping.columns != NULL && b->quoted != NULL && b->types != NULL && b->forms != NULL &&
           b->is_composed != NULL;
}

fb_status fb_pg_columns_begin(struct fb_pg_bind *bind, int n) {
    if (n > FB_COLUMNS_MAX)
        return fb_pg_refuse(bind, "there are more than %d columns", FB_COLUMNS_MAX);
    return grow(bind->b, n > 0 ? (unsigned)n : 1) ? FB_OK : fb_pg_no_memory(bind);
}

fb_status fb_pg_add_column(struct fb_pg_bind *bind, const char *name, const char *quoted, const char *type_name,
                           Oid type, char category, struct fb_column **ret_column) {
    struct fb_mapping *m = bind->m;
    struct fb_binding *b = bind->b;
    unsigned i = m->ncolumns;
    if (!fb_utf8_is_text(FB_STR(name)))
        return fb_pg_refuse(bind, "the name of column %u is not valid UTF-8", i + 1);
    m->columns[i] = (struct fb_column){.name = fb_mem_strdup(name), .name_len = strlen(name), .is_nullable = true,
                                       .param = -1};
    m->columns[i].class = fb_pg_class(type, category, &b->forms[i], &b->is_composed[i]);
    m->columns[i].is_rewritten = m->columns[i].class == FB_CLASS_TEXT && fb_pg_is_rewritten(type);
    b->quoted[i] = fb_mem_strdup(quoted);
    b->types[i] = fb_mem_strdup(type_name);
    m->ncolumns++;
    *ret_column = &m->columns[i];
    bool is_complete = m->columns[i].name != NULL && (b->quoted[i] != NULL) == (quoted != NULL) &&
                       (b->types[i] != NULL) == (type_name != NULL);
    return is_complete ? FB_OK : fb_pg_no_memory(bind);
}

/* ---- tables ---- */

static bool is_plain_name(const char *name) {
    size_t n = strlen(name);
    bool ok = n > 0 && n <= FB_NAME_LEN_MAX && !isdigit((unsigned char)name[0]) && name[0] != '$';
    for (size_t i = 0; i < n && ok; i++)
        ok = isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '$';
    return ok;
}

/* "table" or "schema.table". Without a schema: what the search path finds. */
static fb_status split_name(struct fb_pg_bind *bind, const char *what, const char *wanted, char **ret_schema,
                            const char **ret_table) {
    const char *dot = strchr(wanted, '.');
    char *schema = dot != NULL ? fb_mem_strdup(wanted) : NULL;
    if (dot != NULL && schema == NULL)
        return fb_pg_no_memory(bind);
    if (dot != NULL)
        schema[dot - wanted] = '\0';
    *ret_schema = schema;
    *ret_table = dot != NULL ? dot + 1 : wanted;
    if (is_plain_name(*ret_table) && (schema == NULL || is_plain_name(schema)))
        return FB_OK;
    return fb_pg_refuse(bind, "%stable '%s' is not a plain name of letters, digits, '_' and '$'", what, wanted);
}

static fb_status no_such_table(struct fb_pg_bind *bind, const char *what, const char *wanted) {
    struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(wanted));
    char hint[FB_NAME_LEN_MAX + 24];
    PGresult *result;
    fb_status status = fb_pg_ask(bind,
                                 "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'f') AND "
                                 "pg_table_is_visible(oid) AND relnamespace <> 'pg_catalog'::regnamespace",
                                 0, NULL, &result);
    if (status != FB_OK)
        return status;
    for (int i = 0; i < PQntuples(result); i++)
        fb_nearest_offer(&nearest, PQgetvalue(result, i, 0));
    status = fb_pg_refuse(bind, "%sthere is no table '%s'%s", what, wanted, fb_nearest_hint(&nearest, hint));
    PQclear(result);
    return status;
}

fb_status fb_pg_find_table(struct fb_pg_bind *bind, const char *what, const char *wanted, PGresult **ret_result) {
    char *schema = NULL;
    const char *table = NULL;
    fb_status status = split_name(bind, what, wanted, &schema, &table);
    const char *const values[] = {table, schema};
    if (status == FB_OK)
        status = fb_pg_ask(bind,
                           "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind, "
                           "n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                           "WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND "
                           "CASE WHEN $2::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = $2 END",
                           2, values, ret_result);
    fb_mem_free(schema);
    if (status != FB_OK)
        return status;
    bool is_view = PQntuples(*ret_result) > 0 && strchr("vm", PQgetvalue(*ret_result, 0, 2)[0]) != NULL;
    if (PQntuples(*ret_result) == 0)
        status = no_such_table(bind, what, wanted);
    else if (is_view && what[0] == '\0')
        status = fb_pg_refuse(bind, "'%s' is a view, which has no key; write a load statement", wanted);
    else if (is_view)
        status = fb_pg_refuse(bind, "%s'%s' is a view; name the tables that it shows", what, wanted);
    if (status != FB_OK)
        PQclear(*ret_result);
    return status;
}

static fb_status find_table(struct fb_pg_bind *bind) {
    PGresult *result;
    fb_status status = fb_pg_find_table(bind, "", bind->options->table, &result);
    if (status != FB_OK)
        return status;
    bind->table_oid = fb_mem_strdup(PQgetvalue(result, 0, 0));
    bind->b->table = fb_mem_strdup(PQgetvalue(result, 0, 1));
    status = bind->table_oid != NULL && bind->b->table != NULL
                 ? fb_pg_note_table(bind, PQgetvalue(result, 0, 3), bind->options->write != FB_WRITE_OFF)
                 : fb_pg_no_memory(bind);
    PQclear(result);
    return status;
}

static fb_status read_columns(struct fb_pg_bind *bind) {
    const char *const values[] = {bind->table_oid};
    PGresult *result;
    fb_status status = fb_pg_ask(
        bind,
        "SELECT a.attname, quote_ident(a.attname), format_type(a.atttypid, -1), "
        "       coalesce(nullif(t.typbasetype, 0), t.oid), t.typcategory, a.attnotnull, a.atthasdef OR a.attidentity <> '', "
        "       a.attgenerated <> '' OR a.attidentity = 'a' "
        "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
        "WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        1, values, &result);
    if (status != FB_OK)
        return status;
    status = fb_pg_columns_begin(bind, PQntuples(result));
    for (int i = 0; i < PQntuples(result) && status == FB_OK; i++) {
        struct fb_column *c;
        status = fb_pg_add_column(bind, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1), PQgetvalue(result, i, 2),
                                  (Oid)strtoul(PQgetvalue(result, i, 3), NULL, 10), PQgetvalue(result, i, 4)[0], &c);
        if (status != FB_OK)
            break;
        c->is_nullable = PQgetvalue(result, i, 5)[0] == 'f';
        c->has_default = PQgetvalue(result, i, 6)[0] == 't';
        c->is_readonly = PQgetvalue(result, i, 7)[0] == 't';
    }
    PQclear(result);
    return status;
}

/* Does anything else change the rows that are written? */
static fb_status find_triggers(struct fb_pg_bind *bind) {
    const char *const values[] = {bind->table_oid};
    PGresult *result;
    fb_status status = fb_pg_ask(bind,
                                 "SELECT 1 FROM pg_trigger WHERE tgrelid = $1::oid AND NOT tgisinternal UNION ALL "
                                 "SELECT 1 FROM pg_rewrite WHERE ev_class = $1::oid",
                                 1, values, &result);
    if (status != FB_OK)
        return status;
    bind->m->is_changed = PQntuples(result) > 0;
    PQclear(result);
    return FB_OK;
}

/* ---- the key ---- */

static int column_by_name(const struct fb_mapping *m, const char *name) {
    for (unsigned i = 0; i < m->ncolumns; i++)
        if (strcmp(m->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Rows (index, is primary, column) of all unique indexes that cover every row. */
static fb_status ask_unique(struct fb_pg_bind *bind, PGresult **ret_result) {
    const char *const values[] = {bind->table_oid};
    return fb_pg_ask(bind,
                     "SELECT i.indexrelid, i.indisprimary, a.attname FROM pg_index i "
                     "CROSS JOIN unnest(i.indkey[0:i.indnkeyatts - 1]) AS k(attnum) "
                     "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 "
                     "WHERE i.indrelid = $1::oid AND i.indisunique AND i.indpred IS NULL AND i.indisvalid "
                     "ORDER BY i.indisprimary DESC, i.indexrelid",
                     1, values, ret_result);
}

/* A pattern of one parameter that names no column means the primary key of one column. */
static int single_key(const struct fb_mapping *m, const PGresult *unique) {
    int column = -1, n = 0;
    for (int i = 0; i < PQntuples(unique); i++)
        if (PQgetvalue(unique, i, 1)[0] == 't' && n++ == 0)
            column = column_by_name(m, PQgetvalue(unique, i, 2));
    return n == 1 ? column : -1;
}

static bool is_unique(const struct fb_pg_bind *bind, const PGresult *unique) {
    const struct fb_mapping *m = bind->m;
    for (int i = 0, next; i < PQntuples(unique); i = next) {
        unsigned found = 0, listed = 0;
        for (next = i; next < PQntuples(unique) &&
                       strcmp(PQgetvalue(unique, next, 0), PQgetvalue(unique, i, 0)) == 0; next++, listed++)
            for (unsigned k = 0; k < m->pattern.nparams; k++)
                found += strcmp(m->columns[bind->b->key_columns[k]].name, PQgetvalue(unique, next, 2)) == 0;
        if (listed == found && listed == m->pattern.nparams)
            return true;
    }
    return false;
}

static fb_status find_key_columns(struct fb_pg_bind *bind) {
    struct fb_mapping *m = bind->m;
    PGresult *unique;
    bool is_complete = true;
    fb_status status = ask_unique(bind, &unique);
    if (status != FB_OK)
        return status;
    for (unsigned i = 0; i < m->pattern.nparams && status == FB_OK; i++) {
        const char *name = fb_pg_param_part(m, i)->text;
        int column = column_by_name(m, name);
        if (column < 0 && m->pattern.nparams == 1 && !m->is_list)
            column = single_key(m, unique);
        if (column < 0) {
            struct fb_nearest nearest = FB_NEAREST_INIT(FB_STR(name));
            char hint[FB_NAME_LEN_MAX + 24];
            for (unsigned k = 0; k < m->ncolumns; k++)
                fb_nearest_offer(&nearest, m->columns[k].name);
            is_complete = false;
            status = fb_pg_go_on(bind, fb_pg_refuse(bind, "parameter '%s' is no column of table '%s'%s", name,
                                                    bind->options->table, fb_nearest_hint(&nearest, hint)));
        } else if (m->columns[column].param >= 0) {
            status = fb_pg_refuse(bind, "two parameters name column '%s'", m->columns[column].name);
        } else {
            m->columns[column].param = (int)i;
            bind->b->key_columns[i] = column;
        }
    }
    if (status == FB_OK && m->is_list) {
        for (const char *const *item = bind->options->order; status == FB_OK && item != NULL && *item != NULL; item++)
            status = fb_pg_go_on(bind, fb_mapping_order(m, *item, bind->err));
        for (int i = 0; i < PQntuples(unique); i++) {
            int column = PQgetvalue(unique, i, 1)[0] == 't' ? column_by_name(m, PQgetvalue(unique, i, 2)) : -1;
            if (column >= 0)
                fb_mapping_order_key(m, (unsigned)column);
        }
    } else if (status == FB_OK && is_complete && (m->pattern.nparams == 0 || !is_unique(bind, unique)))
        status = fb_pg_go_on(bind, fb_pg_refuse(bind,
                                                "the parameters are neither the primary key of table '%s' nor all "
                                                "columns of a unique index, so a key could name several rows",
                                                bind->options->table));
    PQclear(unique);
    return status;
}

fb_status fb_pg_key_columns(struct fb_pg_bind *bind, const char *oid, PGresult **ret_result) {
    const char *const values[] = {oid};
    return fb_pg_ask(bind,
                     "SELECT a.attname, a.atttypid, coalesce(c.collisdeterministic, true), "
                     "format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
                     "LEFT JOIN pg_collation c ON c.oid = a.attcollation WHERE a.attrelid = $1::oid AND a.attnum > 0 "
                     "AND NOT a.attisdropped",
                     1, values, ret_result);
}

fb_status fb_pg_type_param(struct fb_pg_bind *bind, const char *what, const PGresult *columns, int row, unsigned param,
                           bool *ret_is_int) {
    enum fb_param_type wanted = FB_PARAM_TEXT;
    struct fb_pattern_part *part = fb_pg_param_part(bind->m, param);
    const char *column = PQgetvalue(columns, row, 0), *type = PQgetvalue(columns, row, 3);
    fb_status status = FB_OK;
    if (!fb_pg_is_key_type((Oid)strtoul(PQgetvalue(columns, row, 1), NULL, 10), &wanted))
        status = fb_pg_refuse(bind, "%s '%s' is %s; keys are integers, text, varchar, uuid or date", what, column, type);
    else if (PQgetvalue(columns, row, 2)[0] == 'f')
        status = fb_pg_refuse(bind, "%s '%s' has a collation under which several keys would name one row", what, column);
    else if (part->type == FB_PARAM_TEXT && wanted != FB_PARAM_TEXT)
        part->type = wanted;
    else if (wanted != FB_PARAM_TEXT && part->type != wanted)
        status = fb_pg_refuse(bind, "%s '%s' is %s, parameter '%s' is %s", what, column, type, part->text,
                              fb_param_type_name(part->type));
    *ret_is_int = wanted == FB_PARAM_INT;
    return status;
}

/* Give the parameters the types their columns demand; refuse columns in which two keys could find one row. */
static fb_status check_key_columns(struct fb_pg_bind *bind) {
    struct fb_mapping *m = bind->m;
    PGresult *result;
    fb_status status = fb_pg_key_columns(bind, bind->table_oid, &result);
    if (status != FB_OK)
        return status;
    for (int r = 0; r < PQntuples(result) && status == FB_OK; r++) {
        int column = column_by_name(m, PQgetvalue(result, r, 0));
        int param = column >= 0 ? m->columns[column].param : -1;
        bool is_int = false;
        if (param < 0)
            continue;
        status = fb_pg_go_on(bind, fb_pg_type_param(bind, "key column", result, r, (unsigned)param, &is_int));
        bind->b->key_is_int[param] = is_int;
        m->param_is_int[param] = is_int;
        m->columns[column].is_nullable = false;
    }
    PQclear(result);
    return status;
}

/* ---- statements of a table ---- */

typedef fb_status make_text(const struct fb_binding *binding, fb_buf *out);

static fb_status load_text(const struct fb_binding *b, fb_buf *out) { return fb_pg_load_text(b, "", out); }
static fb_status lock_text(const struct fb_binding *b, fb_buf *out) { return fb_pg_load_text(b, " FOR UPDATE", out); }
static fb_status try_text(const struct fb_binding *b, fb_buf *out) {
    return fb_pg_load_text(b, " FOR UPDATE SKIP LOCKED", out);
}

static char *text_of(const struct fb_binding *b, make_text *make) {
    fb_buf text = FB_BUF_INIT;
    if (make(b, &text) != FB_OK)
        fb_buf_free(&text);
    return text.data;
}

/* What a write of all columns looks like, to be shown. */
static fb_status update_text(const struct fb_binding *b, fb_buf *out) {
    struct fb_assign assigns[FB_COLUMNS_MAX];
    struct fb_plan plan = fb_plan_of_all(&b->mapping, assigns);
    return plan.nassigns > 0 ? fb_pg_update_text(b, &plan, out) : FB_UNSUPPORTED;
}

const char *fb_pg_statement_text(const struct fb_binding *b, fb_op_kind kind) {
    switch (kind) {
    case FB_OP_READ:
    case FB_OP_REFRESH:
        return b->load_many != NULL ? b->load_many : b->load.text;
    case FB_OP_CHECK:
        return b->load.text;
    case FB_OP_SET:
    case FB_OP_HSET:
    case FB_OP_HDEL:
    case FB_OP_ADD:
        return b->is_table ? b->update : b->store.text;
    case FB_OP_DELETE:
        return b->del.text;
    default:
        return NULL;
    }
}

/* Its parameters are the key's. */
static bool set_key_statement(struct fb_binding *b, struct fb_named_sql *sql, make_text *make) {
    unsigned n = b->mapping.pattern.nparams;
    sql->args = fb_mem_calloc(n, sizeof *sql->args);
    sql->text = text_of(b, make);
    sql->nargs = n;
    for (unsigned i = 0; i < n && sql->args != NULL; i++)
        sql->args[i] = (struct fb_named_arg){.is_key = true, .index = i};
    return sql->args != NULL && sql->text != NULL;
}

fb_status fb_pg_bind_table(struct fb_pg_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    struct fb_binding *b = bind->b;
    if (o->load != NULL || o->store != NULL || o->del != NULL)
        return fb_pg_refuse(bind, "give either a table or statements of your own");
    fb_status status = find_table(bind);
    if (status == FB_OK)
        status = read_columns(bind);
    if (status == FB_OK && o->write == FB_WRITE_BEHIND)
        status = find_triggers(bind);
    if (status == FB_OK)
        status = find_key_columns(bind);
    if (status == FB_OK)
        status = check_key_columns(bind);
    b->is_table = true;
    if (b->mapping.is_list) {
        if (status == FB_OK && bind->nfaults == 0)
            status = fb_depend_add_own(bind->m, b->tables[0], b->key_columns, bind->err);
        if (status == FB_OK && !set_key_statement(b, &b->load, load_text))
            status = fb_pg_no_memory(bind);
        return status;
    }
    if (status == FB_OK &&
        (!set_key_statement(b, &b->load, load_text) || !set_key_statement(b, &b->del, fb_pg_delete_text) ||
         (b->lock = text_of(b, lock_text)) == NULL || (b->try_lock = text_of(b, try_text)) == NULL ||
         (b->load_many = text_of(b, fb_pg_load_many_text)) == NULL))
        status = fb_pg_no_memory(bind);
    return status;
}

fb_status fb_pg_note_table(struct fb_pg_bind *bind, const char *name, bool is_written) {
    struct fb_binding *b = bind->b;
    for (unsigned i = 0; i < b->ntables; i++)
        if (strcmp(b->tables[i], name) == 0) {
            b->is_written[i] |= is_written;
            return FB_OK;
        }
    if (b->ntables == FB_PG_TABLES_MAX)
        return fb_pg_refuse(bind, "it uses more than %d tables", FB_PG_TABLES_MAX);
    b->is_written[b->ntables] = is_written;
    b->tables[b->ntables] = fb_mem_strdup(name);
    return b->tables[b->ntables++] != NULL ? FB_OK : fb_pg_no_memory(bind);
}

bool fb_pg_writes(const struct fb_binding *writer, const struct fb_binding *reader, unsigned depend) {
    bool is_same = strcmp(writer->driver->identity, reader->driver->identity) == 0;
    for (unsigned i = 0; i < writer->ntables && is_same; i++)
        if (writer->is_written[i] && strcmp(writer->tables[i], reader->mapping.depends[depend].table) == 0)
            return true;
    return false;
}

const char *fb_pg_shared_table(const struct fb_binding *a, const struct fb_binding *b) {
    if (strcmp(a->driver->identity, b->driver->identity) != 0)
        return NULL;
    for (unsigned i = 0; i < a->ntables; i++)
        for (unsigned k = 0; k < b->ntables; k++)
            if (strcmp(a->tables[i], b->tables[k]) == 0)
                return a->tables[i];
    return NULL;
}

/* ---- bind ---- */

void fb_pg_unbind(struct fb_binding *b) {
    if (b == NULL)
        return;
    for (unsigned i = 0; i < b->mapping.ncolumns; i++) {
        fb_mem_free(b->quoted[i]);
        fb_mem_free(b->types[i]);
    }
    for (unsigned i = 0; i < b->ntables; i++)
        fb_mem_free(b->tables[i]);
    fb_mem_free(b->quoted);
    fb_mem_free(b->types);
    fb_mem_free(b->forms);
    fb_mem_free(b->is_composed);
    fb_mem_free(b->table);
    fb_mem_free(b->load_many);
    fb_mem_free(b->update);
    fb_mem_free(b->lock);
    fb_mem_free(b->try_lock);
    fb_named_finish(&b->load);
    fb_named_finish(&b->del);
    fb_named_finish(&b->store);
    fb_mapping_finish(&b->mapping);
    fb_mem_free(b);
}

/* From here on the keyspace is called by its pattern with the types filled in. */
static fb_status rename_typed(struct fb_pg_bind *bind) {
    char *typed = fb_pattern_format(&bind->m->pattern);
    if (typed == NULL)
        return fb_pg_no_memory(bind);
    fb_mem_free(bind->m->name);
    bind->m->name = typed;
    return FB_OK;
}

fb_status fb_pg_go_on(struct fb_pg_bind *bind, fb_status status) {
    if (status != FB_CONFIG || bind->remark == NULL)
        return status;
    bind->remark(bind->remark_user, 1, "keyspace", bind->err->text);
    bind->nfaults++;
    return FB_OK;
}

static fb_status hide_columns(struct fb_pg_bind *bind) {
    fb_status status = FB_OK;
    for (const char *const *name = bind->options->hide; status == FB_OK && name != NULL && *name != NULL; name++) {
        const char *const one[] = {*name, NULL};
        status = fb_pg_go_on(bind, fb_mapping_hide(bind->m, one, bind->err));
    }
    return status;
}

static fb_status rename_columns(struct fb_pg_bind *bind) {
    fb_status status = FB_OK;
    for (size_t i = 0; status == FB_OK && bind->options->rename != NULL && bind->options->rename[i] != NULL; i++)
        status = fb_pg_go_on(bind, fb_mapping_rename(bind->m, bind->options->rename, i, bind->err));
    return status;
}

fb_status fb_pg_bind_all(struct fb_pg_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    struct fb_binding *b = bind->b;
    b->driver = bind->driver;
    bind->m->name = fb_mem_strdup(o->pattern);
    bind->m->is_list = o->rows == FB_ROWS_MANY;
    bind->m->limit = o->limit;
    bind->m->set_replaces = o->set_mode == FB_SET_REPLACE;
    bind->m->has_nan = true;
    fb_status status = bind->m->name == NULL ? fb_pg_no_memory(bind) : fb_pg_catalogue(bind->driver, bind->err);
    if (status == FB_OK)
        status = fb_pattern_parse(o->pattern, &bind->m->pattern, bind->err);
    if (status == FB_OK && o->table == NULL && o->load == NULL)
        status = fb_pg_refuse(bind, "a table or a load statement is wanted");
    if (status == FB_OK)
        status = fb_pg_bind_depends(bind);
    if (status == FB_OK)
        status = o->table != NULL ? fb_pg_bind_table(bind) : fb_pg_bind_statements(bind);
    if (status == FB_OK && bind->nfaults == 0)
        status = rename_typed(bind);
    if (status == FB_OK)
        status = hide_columns(bind);
    if (status == FB_OK)
        status = fb_pg_go_on(bind,
                             fb_mapping_set_as(bind->m, o->as, /* is_explicit_sql */ !b->is_table, bind->err));
    if (status == FB_OK && b->is_table && bind->nfaults == 0 && !bind->m->is_list)
        b->update = text_of(b, update_text); /* NULL: nothing can be written, or shown */
    if (status == FB_OK)
        status = rename_columns(bind);
    if (status == FB_OK && bind->nfaults > 0)
        status = FB_CONFIG; /* said already */
    else if (status == FB_CONFIG)
        (void)fb_pg_go_on(bind, status);
    fb_mem_free(bind->table_oid);
    if (status != FB_OK)
        fb_pg_unbind(b);
    return status;
}

fb_status fb_pg_bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options,
                              struct fb_binding **ret_binding, char **ret_pattern, fb_err *reterr) {
    struct fb_binding *b = fb_mem_calloc(1, sizeof *b);
    if (b == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_pg_bind bind = {.driver = driver, .options = options, .b = b, .m = &b->mapping, .err = reterr};
    fb_status status = fb_pg_bind_all(&bind);
    if (status != FB_OK)
        return status;
    char *pattern = fb_mem_strdup(b->mapping.name);
    if (pattern == NULL) {
        fb_pg_unbind(b);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    *ret_binding = b;
    *ret_pattern = pattern;
    return FB_OK;
}
