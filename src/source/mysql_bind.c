/* Binding a keyspace to the catalogue of MariaDB or MySQL: what is common to tables and to statements of the
 * configuration's own, and asking the catalogue. */
#include "source/mysql_bind.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

fb_status fb_mysql_no_memory(struct fb_mysql_bind *bind) { return fb_fail(bind->err, FB_NOMEM, "out of memory"); }

fb_status fb_mysql_bind_failed(struct fb_mysql_bind *bind, fb_status status) {
    fb_err said = *bind->err;
    bool is_ours = status == FB_NOMEM || status == FB_DOWN || status == FB_TIMEOUT;
    return is_ours ? status : fb_mapping_fail(bind->m, bind->err, FB_CONFIG, "%s", said.text);
}

struct fb_pattern_part *fb_mysql_param_part(struct fb_mapping *m, unsigned param) {
    for (unsigned i = 0; i < m->pattern.nparts; i++)
        if (m->pattern.parts[i].is_param && param-- == 0)
            return &m->pattern.parts[i];
    return NULL;
}

/* ---- questions ---- */

fb_status fb_mysql_ask(struct fb_mysql_bind *bind, const char *text, unsigned n, const char *const *values,
                       unsigned nanswers, fb_mysql_take *take, void *user) {
    static const struct fb_mysql_type types[FB_MYSQL_ANSWERS_MAX] = {
        {FB_MYSQL_TEXT, 0, false}, {FB_MYSQL_TEXT, 0, false}, {FB_MYSQL_TEXT, 0, false}, {FB_MYSQL_TEXT, 0, false},
        {FB_MYSQL_TEXT, 0, false}, {FB_MYSQL_TEXT, 0, false}, {FB_MYSQL_TEXT, 0, false}, {FB_MYSQL_TEXT, 0, false}};
    struct fb_session *session = bind->driver->catalogue;
    struct fb_datum params[4], row[FB_MYSQL_ANSWERS_MAX];
    struct fb_mysql_statement *statement;
    fb_bytes texts[FB_MYSQL_ANSWERS_MAX];
    fb_status status = fb_mysql_params_begin(session, n, bind->err);
    for (unsigned i = 0; i < n && status == FB_OK; i++) {
        params[i] = values[i] != NULL ? fb_datum_bytes(FB_DATUM_TEXT, FB_STR(values[i])) : fb_datum_null();
        fb_mysql_param(session, &params[i]);
    }
    if (status == FB_OK)
        status = fb_mysql_execute(session, text, NULL, types, nanswers, &statement, bind->err);
    if (status != FB_OK)
        return fb_mysql_bind_failed(bind, status);
    while ((status = fb_mysql_next(session, statement, bind->m, row, bind->err)) == FB_OK) {
        for (unsigned i = 0; i < nanswers; i++)
            texts[i] = row[i].kind == FB_DATUM_TEXT ? row[i].bytes : fb_bytes_of(NULL, 0);
        status = take(bind, texts, user);
        if (status != FB_OK)
            break;
    }
    fb_mysql_release(statement);
    return status == FB_NOTFOUND ? FB_OK : status;
}

/* ---- columns ---- */

static fb_status add_column(struct fb_mysql_bind *bind, const MYSQL_FIELD *field) {
    struct fb_mapping *m = bind->m;
    unsigned i = m->ncolumns;
    fb_bytes name = fb_bytes_of(field->name, field->name_length);
    if (!fb_utf8_is_text(name))
        return fb_mysql_refuse(bind, "the name of column %u is not valid UTF-8", i + 1);
    for (unsigned k = 0; k < i; k++)
        if (strcmp(m->columns[k].name, field->name) == 0)
            return fb_mysql_refuse(bind, "load: two columns are called '%s'; rename one with AS", field->name);
    m->columns[i] = (struct fb_column){.name = fb_mem_strdup(field->name), .name_len = name.len, .is_nullable = true,
                                       .param = -1};
    m->columns[i].class = fb_mysql_class(field, &bind->b->types[i]);
    m->columns[i].is_rewritten = field->type == MYSQL_TYPE_STRING; /* CHAR, ENUM, SET */
    m->ncolumns++;
    return m->columns[i].name != NULL ? FB_OK : fb_mysql_no_memory(bind);
}

fb_status fb_mysql_add_columns(struct fb_mysql_bind *bind, struct fb_mysql_statement *statement) {
    unsigned n = mysql_stmt_field_count(statement->handle);
    if (n > FB_COLUMNS_MAX)
        return fb_mysql_refuse(bind, "there are more than %d columns", FB_COLUMNS_MAX);
    MYSQL_RES *meta = mysql_stmt_result_metadata(statement->handle);
    bind->m->columns = fb_mem_calloc(n, sizeof *bind->m->columns);
    bind->b->types = fb_mem_calloc(n, sizeof *bind->b->types);
    bool is_complete = meta != NULL && bind->m->columns != NULL && bind->b->types != NULL;
    fb_status status = is_complete ? FB_OK : fb_mysql_no_memory(bind);
    for (unsigned i = 0; i < n && status == FB_OK; i++)
        status = add_column(bind, mysql_fetch_field_direct(meta, i));
    mysql_free_result(meta);
    return status;
}

/* ---- tables ---- */

char *fb_mysql_full_name(const char *schema, const char *table) {
    fb_buf name = FB_BUF_INIT;
    if (fb_buf_append(&name, schema, strlen(schema)) != FB_OK || fb_buf_append(&name, ".", 1) != FB_OK ||
        fb_buf_append(&name, table, strlen(table) + 1) != FB_OK)
        fb_buf_free(&name);
    return name.data;
}

fb_status fb_mysql_note_table(struct fb_mysql_bind *bind, const char *schema, const char *table, bool is_written) {
    struct fb_binding *b = bind->b;
    char *name = fb_mysql_full_name(schema, table);
    if (name == NULL)
        return fb_mysql_no_memory(bind);
    for (unsigned i = 0; i < b->ntables; i++)
        if (strcmp(b->tables[i], name) == 0) {
            b->is_written[i] |= is_written;
            fb_mem_free(name);
            return FB_OK;
        }
    if (b->ntables == FB_MYSQL_TABLES_MAX) {
        fb_mem_free(name);
        return fb_mysql_refuse(bind, "it uses more than %d tables", FB_MYSQL_TABLES_MAX);
    }
    b->is_written[b->ntables] = is_written;
    b->tables[b->ntables++] = name;
    return FB_OK;
}

bool fb_mysql_writes(const struct fb_binding *writer, const struct fb_binding *reader, unsigned depend) {
    bool is_same = strcmp(writer->driver->identity, reader->driver->identity) == 0;
    for (unsigned i = 0; i < writer->ntables && is_same; i++)
        if (writer->is_written[i] && strcmp(writer->tables[i], reader->mapping.depends[depend].table) == 0)
            return true;
    return false;
}

const char *fb_mysql_shared_table(const struct fb_binding *a, const struct fb_binding *b) {
    if (strcmp(a->driver->identity, b->driver->identity) != 0)
        return NULL;
    for (unsigned i = 0; i < a->ntables; i++)
        for (unsigned k = 0; k < b->ntables; k++)
            if (strcmp(a->tables[i], b->tables[k]) == 0)
                return a->tables[i];
    return NULL;
}

/* ---- statements, to be shown ---- */

/* The update of a value that names every column. */
static fb_status make_update(struct fb_mysql_bind *bind) {
    struct fb_assign assigns[FB_COLUMNS_MAX];
    struct fb_plan plan = fb_plan_of_all(bind->m, assigns);
    fb_buf text = FB_BUF_INIT;
    if (plan.nassigns == 0)
        return FB_OK;
    if (fb_mysql_update_text(bind->b, &plan, &text) != FB_OK) {
        fb_buf_free(&text);
        return fb_mysql_no_memory(bind);
    }
    bind->b->update = text.data;
    return FB_OK;
}

const char *fb_mysql_statement_text(const struct fb_binding *binding, fb_op_kind kind) {
    switch (kind) {
    case FB_OP_READ:
    case FB_OP_REFRESH:
    case FB_OP_CHECK:
        return binding->load.text;
    case FB_OP_SET:
    case FB_OP_HSET:
    case FB_OP_HDEL:
    case FB_OP_ADD:
        return binding->is_table ? binding->update : binding->store.text;
    case FB_OP_DELETE:
        return binding->del.text;
    default:
        return NULL;
    }
}

/* ---- bind ---- */

void fb_mysql_unbind(struct fb_binding *b) {
    if (b == NULL)
        return;
    for (unsigned i = 0; b->quoted != NULL && i < b->mapping.ncolumns; i++)
        fb_mem_free(b->quoted[i]);
    for (unsigned i = 0; i < b->ntables; i++)
        fb_mem_free(b->tables[i]);
    for (unsigned i = 0; i < FB_MYSQL_SHAPES; i++) {
        fb_mem_free(b->load_many[i]);
        fb_mem_free(b->try_lock_many[i]);
    }
    fb_mem_free(b->quoted);
    fb_mem_free(b->types);
    fb_mem_free(b->table);
    fb_mem_free(b->lock);
    fb_mem_free(b->list);
    fb_mem_free(b->update);
    fb_named_finish(&b->load);
    fb_named_finish(&b->del);
    fb_named_finish(&b->store);
    fb_mapping_finish(&b->mapping);
    fb_mem_free(b);
}

/* From here on the keyspace is called by its pattern with the types filled in. */
static fb_status rename_typed(struct fb_mysql_bind *bind) {
    char *typed = fb_pattern_format(&bind->m->pattern);
    if (typed == NULL)
        return fb_mysql_no_memory(bind);
    fb_mem_free(bind->m->name);
    bind->m->name = typed;
    return FB_OK;
}

fb_status fb_mysql_go_on(struct fb_mysql_bind *bind, fb_status status) {
    if (status != FB_CONFIG || bind->remark == NULL)
        return status;
    bind->remark(bind->remark_user, 1, "keyspace", bind->err->text);
    bind->nfaults++;
    return FB_OK;
}

static fb_status begin(struct fb_mysql_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    bind->b->driver = bind->driver;
    bind->m->name = fb_mem_strdup(o->pattern);
    bind->m->set_replaces = o->set_mode == FB_SET_REPLACE;
    bind->m->is_list = o->rows == FB_ROWS_MANY;
    bind->m->limit = o->limit;
    fb_status status = bind->m->name == NULL ? fb_mysql_no_memory(bind)
                                             : fb_pattern_parse(o->pattern, &bind->m->pattern, bind->err);
    if (status == FB_OK && o->table == NULL && o->load == NULL)
        status = fb_mysql_refuse(bind, "a table or a load statement is wanted");
    return status == FB_OK ? fb_mysql_begin_call(bind->driver->catalogue, bind->err) : status;
}

static fb_status hide_columns(struct fb_mysql_bind *bind) {
    fb_status status = FB_OK;
    for (const char *const *name = bind->options->hide; status == FB_OK && name != NULL && *name != NULL; name++) {
        const char *const one[] = {*name, NULL};
        status = fb_mysql_go_on(bind, fb_mapping_hide(bind->m, one, bind->err));
    }
    return status;
}

fb_status fb_mysql_bind_all(struct fb_mysql_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    struct fb_binding *b = bind->b;
    fb_status status = begin(bind);
    if (status == FB_OK)
        status = fb_mysql_bind_depends(bind);
    if (status == FB_OK)
        status = o->table != NULL ? fb_mysql_bind_table(bind) : fb_mysql_bind_statements(bind);
    if (status == FB_OK)
        status = fb_mysql_go_on(bind, fb_mysql_check_depends(bind));
    if (status == FB_OK && bind->nfaults == 0)
        status = rename_typed(bind);
    if (status == FB_OK)
        status = hide_columns(bind);
    if (status == FB_OK)
        status = fb_mysql_go_on(bind,
                                fb_mapping_set_as(bind->m, o->as, /* is_explicit_sql */ o->table == NULL, bind->err));
    for (size_t i = 0; status == FB_OK && o->rename != NULL && o->rename[i] != NULL; i++)
        status = fb_mysql_go_on(bind, fb_mapping_rename(bind->m, o->rename, i, bind->err));
    if (status == FB_OK && bind->nfaults == 0 && b->is_table && !bind->m->is_list)
        status = make_update(bind);
    if (status == FB_OK && bind->nfaults > 0)
        status = FB_CONFIG; /* said already */
    else if (status == FB_CONFIG)
        (void)fb_mysql_go_on(bind, status);
    fb_mysql_free_table(&bind->table);
    if (status != FB_OK)
        fb_mysql_unbind(b);
    return status;
}

fb_status fb_mysql_bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options,
                                 struct fb_binding **ret_binding, char **ret_pattern, fb_err *reterr) {
    struct fb_binding *b = fb_mem_calloc(1, sizeof *b);
    if (b == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_mysql_bind bind = {.driver = driver, .options = options, .b = b, .m = &b->mapping, .err = reterr};
    fb_status status = fb_mysql_bind_all(&bind);
    if (status != FB_OK)
        return status;
    char *pattern = fb_mem_strdup(b->mapping.name);
    if (pattern == NULL) {
        fb_mysql_unbind(b);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    *ret_binding = b;
    *ret_pattern = pattern;
    return FB_OK;
}
