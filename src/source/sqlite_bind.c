/* Binding a keyspace: what is common to tables and to statements of the configuration's own, and the types of columns.
 */
#include "source/sqlite_bind.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

fb_status fb_sqlite_no_memory(struct fb_sqlite_bind *bind) { return fb_fail(bind->err, FB_NOMEM, "out of memory"); }

fb_status fb_sqlite_db_error(struct fb_sqlite_bind *bind) {
    sqlite3 *db = bind->driver->catalogue;
    fb_status status = (sqlite3_errcode(db) & 0xff) == SQLITE_NOMEM ? FB_NOMEM : FB_CONFIG;
    return fb_mapping_fail(bind->m, bind->err, status, "%s", sqlite3_errmsg(db));
}

/* ---- types ---- */

bool fb_sqlite_contains(const char *text, const char *part) {
    size_t n = strlen(part);
    for (; *text != 0; text++)
        if (sqlite3_strnicmp(text, part, (int)n) == 0)
            return true;
    return false;
}

/* SQLite's affinity rules (datatype3.html, 3.1) come first where they decide how a value is stored; among the columns
 * of numeric affinity the declared name tells what is meant. */
enum fb_class fb_sqlite_class(const char *declared) {
    static const struct { const char *part; enum fb_class class; } rules[] = {
        {"INT", FB_CLASS_INTEGER},  {"JSON", FB_CLASS_JSON},    {"CHAR", FB_CLASS_TEXT},       {"CLOB", FB_CLASS_TEXT},
        {"TEXT", FB_CLASS_TEXT},    {"BLOB", FB_CLASS_BINARY},  {"REAL", FB_CLASS_REAL},       {"FLOA", FB_CLASS_REAL},
        {"DOUB", FB_CLASS_REAL},    {"BOOL", FB_CLASS_BOOLEAN}, {"DATE", FB_CLASS_TIME},       {"TIME", FB_CLASS_TIME},
        {"NUM", FB_CLASS_NUMERIC},  {"DEC", FB_CLASS_NUMERIC},  {"MONEY", FB_CLASS_NUMERIC},
    };
    for (size_t i = 0; declared != NULL && i < sizeof rules / sizeof rules[0]; i++)
        if (fb_sqlite_contains(declared, rules[i].part))
            return rules[i].class;
    return FB_CLASS_ANY;
}

/* ---- columns ---- */

fb_status fb_sqlite_add_column(struct fb_sqlite_bind *bind, const char *name, const char *declared,
                               struct fb_column **ret_column) {
    struct fb_mapping *m = bind->m;
    if (m->ncolumns == FB_COLUMNS_MAX)
        return fb_sqlite_refuse(bind, "there are more than %d columns", FB_COLUMNS_MAX);
    if (name == NULL)
        return fb_sqlite_no_memory(bind);
    if (!fb_utf8_is_text(FB_STR(name)))
        return fb_sqlite_refuse(bind, "the name of column %u is not valid UTF-8", m->ncolumns + 1);
    struct fb_column *c = &m->columns[m->ncolumns];
    *c = (struct fb_column){.name = fb_mem_strdup(name), .name_len = strlen(name), .class = fb_sqlite_class(declared),
                            .is_nullable = true, .param = -1};
    if (c->name == NULL)
        return fb_sqlite_no_memory(bind);
    bind->b->quoted[m->ncolumns++] = fb_sqlite_quote(name);
    if (bind->b->quoted[m->ncolumns - 1] == NULL)
        return fb_sqlite_no_memory(bind);
    *ret_column = c;
    return FB_OK;
}

struct fb_pattern_part *fb_sqlite_param(struct fb_mapping *m, unsigned param) {
    for (unsigned i = 0; i < m->pattern.nparts; i++)
        if (m->pattern.parts[i].is_param && param-- == 0)
            return &m->pattern.parts[i];
    return NULL;
}

/* ---- tables ---- */

fb_status fb_sqlite_note_table(struct fb_sqlite_bind *bind, const char *name, bool is_written) {
    struct fb_binding *b = bind->b;
    for (unsigned i = 0; i < b->ntables; i++)
        if (sqlite3_stricmp(b->tables[i], name) == 0) {
            b->is_written[i] |= is_written;
            return FB_OK;
        }
    if (b->ntables == FB_SQLITE_TABLES_MAX)
        return fb_sqlite_refuse(bind, "it uses more than %d tables", FB_SQLITE_TABLES_MAX);
    b->is_written[b->ntables] = is_written;
    b->tables[b->ntables] = fb_mem_strdup(name);
    return b->tables[b->ntables++] != NULL ? FB_OK : fb_sqlite_no_memory(bind);
}

static bool is_one_file(const struct fb_binding *a, const struct fb_binding *b) {
    return a->driver->device == b->driver->device && a->driver->inode == b->driver->inode;
}

struct fb_mapping *fb_sqlite_mapping(struct fb_binding *binding) { return &binding->mapping; }

bool fb_sqlite_writes(const struct fb_binding *writer, const struct fb_binding *reader, unsigned depend) {
    for (unsigned i = 0; i < writer->ntables && is_one_file(writer, reader); i++)
        if (writer->is_written[i] && sqlite3_stricmp(writer->tables[i], reader->mapping.depends[depend].table) == 0)
            return true;
    return false;
}

const char *fb_sqlite_shared_table(const struct fb_binding *a, const struct fb_binding *b) {
    if (!is_one_file(a, b))
        return NULL;
    for (unsigned i = 0; i < a->ntables; i++)
        for (unsigned k = 0; k < b->ntables; k++)
            if (sqlite3_stricmp(a->tables[i], b->tables[k]) == 0)
                return a->tables[i];
    return NULL;
}

/* ---- statements, to be shown ---- */

/* The update of a value that names every column. */
static fb_status make_update(struct fb_sqlite_bind *bind) {
    struct fb_assign assigns[FB_COLUMNS_MAX];
    struct fb_plan plan = fb_plan_of_all(bind->m, assigns);
    fb_buf text = FB_BUF_INIT;
    if (plan.nassigns == 0)
        return FB_OK;
    if (fb_sqlite_update_text(bind->b, &plan, &text) != FB_OK) {
        fb_buf_free(&text);
        return fb_sqlite_no_memory(bind);
    }
    bind->b->update = text.data;
    return FB_OK;
}

const char *fb_sqlite_statement_text(const struct fb_binding *binding, fb_op_kind kind) {
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
        return binding->mapping.is_list ? NULL : binding->del.text;
    case FB_OP_DROP:
    case FB_OP_INVALIDATE:
    case FB_OP_EXPIRE:
    case FB_OP_PERSIST:
    case FB_OP_TTL:
        break;
    }
    return NULL;
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
    fb_mem_free(binding->update);
    for (unsigned i = 0; i < binding->ntables; i++)
        fb_mem_free(binding->tables[i]);
    fb_mem_free(binding->table);
    fb_mapping_finish(&binding->mapping);
    fb_mem_free(binding);
}

static fb_status prepare_binding(struct fb_sqlite_bind *bind) {
    struct fb_binding *b = bind->b;
    b->driver = bind->driver;
    bind->m->name = fb_mem_strdup(bind->options->pattern);
    bind->m->columns = fb_mem_calloc(FB_COLUMNS_MAX, sizeof *bind->m->columns);
    b->quoted = fb_mem_calloc(FB_COLUMNS_MAX, sizeof *b->quoted);
    b->defaults = fb_mem_calloc(FB_COLUMNS_MAX, sizeof *b->defaults);
    bind->m->reals_only = true;
    bind->m->is_list = bind->options->rows == FB_ROWS_MANY;
    bind->m->limit = bind->options->limit;
    bind->m->set_replaces = bind->options->set_mode == FB_SET_REPLACE;
    if (bind->m->name == NULL || bind->m->columns == NULL || b->quoted == NULL || b->defaults == NULL)
        return fb_sqlite_no_memory(bind);
    return fb_pattern_parse(bind->options->pattern, &bind->m->pattern, bind->err);
}

/* From here on the keyspace is called by its pattern with the types filled in. */
static fb_status rename_typed(struct fb_sqlite_bind *bind) {
    char *typed = fb_pattern_format(&bind->m->pattern);
    if (typed == NULL)
        return fb_sqlite_no_memory(bind);
    fb_mem_free(bind->m->name);
    bind->m->name = typed;
    return FB_OK;
}

fb_status fb_sqlite_go_on(struct fb_sqlite_bind *bind, fb_status status) {
    if (status != FB_CONFIG || bind->remark == NULL)
        return status;
    bind->remark(bind->remark_user, 1, "keyspace", bind->err->text);
    bind->nfaults++;
    return FB_OK;
}

static fb_status hide_columns(struct fb_sqlite_bind *bind) {
    fb_status status = FB_OK;
    for (const char *const *name = bind->options->hide; status == FB_OK && name != NULL && *name != NULL; name++) {
        const char *const one[] = {*name, NULL};
        status = fb_sqlite_go_on(bind, fb_mapping_hide(bind->m, one, bind->err));
    }
    return status;
}

static fb_status rename_columns(struct fb_sqlite_bind *bind) {
    fb_status status = FB_OK;
    for (size_t i = 0; status == FB_OK && bind->options->rename != NULL && bind->options->rename[i] != NULL; i++)
        status = fb_sqlite_go_on(bind, fb_mapping_rename(bind->m, bind->options->rename, i, bind->err));
    return status;
}

fb_status fb_sqlite_bind_all(struct fb_sqlite_bind *bind) {
    const fb_keyspace_options *options = bind->options;
    struct fb_binding *b = bind->b;
    fb_status status = prepare_binding(bind);
    if (status == FB_OK && options->table == NULL && options->load == NULL)
        status = fb_sqlite_refuse(bind, "a table or a load statement is wanted");
    if (status == FB_OK)
        status = fb_sqlite_bind_depends(bind);
    if (status == FB_OK)
        status = options->table != NULL ? fb_sqlite_bind_table(bind) : fb_sqlite_bind_statements(bind);
    if (status == FB_OK && bind->nfaults == 0)
        status = rename_typed(bind);
    if (status == FB_OK)
        status = hide_columns(bind);
    if (status == FB_OK)
        status = fb_sqlite_go_on(
            bind, fb_mapping_set_as(bind->m, options->as, /* is_explicit_sql */ !b->is_table, bind->err));
    if (status == FB_OK)
        status = rename_columns(bind);
    if (status == FB_OK && bind->nfaults > 0)
        status = FB_CONFIG; /* said already */
    else if (status == FB_CONFIG)
        (void)fb_sqlite_go_on(bind, status);
    if (status == FB_OK && b->is_table && !b->mapping.is_list)
        status = make_update(bind);
    if (status != FB_OK)
        fb_sqlite_unbind(b);
    return status;
}

fb_status fb_sqlite_bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options,
                                  struct fb_binding **ret_binding, char **ret_pattern, fb_err *reterr) {
    struct fb_binding *b = fb_mem_calloc(1, sizeof *b);
    if (b == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_sqlite_bind bind = {driver, options, b, &b->mapping, reterr, NULL, NULL, 0};
    fb_status status = fb_sqlite_bind_all(&bind);
    if (status != FB_OK)
        return status;
    char *pattern = fb_mem_strdup(b->mapping.name);
    if (pattern == NULL) {
        fb_sqlite_unbind(b);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    *ret_binding = b;
    *ret_pattern = pattern;
    return FB_OK;
}
