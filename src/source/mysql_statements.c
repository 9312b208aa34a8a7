/* Statements of the configuration's own: named parameters become '?', and the server itself checks each statement when
 * the keyspace is added (it is prepared), so that what is wrong is said then and not at the first key.
 *
 * Which tables a statement uses is read from its words: what follows FROM, JOIN, INTO, UPDATE and the commas behind, and
 * is a table of the catalogue. What only views, triggers and functions touch is not seen. */
#include "source/mysql_bind.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"

static const struct fb_named_dialect dialect = {
    .has_backquotes = true, .has_backslashes = true, .has_hash_comments = true};

/* ---- the tables of a statement ---- */

struct words {
    struct fb_mysql_bind *bind;
    bool expects_table;  /* the next name is one */
    bool is_list;        /* and so is the one behind a comma */
    bool is_after_key;   /* ON DUPLICATE KEY UPDATE is followed by columns */
    bool is_delete;
    bool is_written;     /* the names that come are of tables that are written */
};

static bool is_one_of(fb_bytes word, const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strlen(words[i]) == word.len && strncasecmp(words[i], word.data, word.len) == 0)
            return true;
    return false;
}
#define IS_ONE_OF(word, words) is_one_of(word, words, sizeof(words) / sizeof(words)[0])

static fb_status take_found(struct fb_mysql_bind *bind, const fb_bytes *row, void *user) {
    char schema[256], table[256];
    const bool *is_written = user;
    if (row[0].len >= sizeof schema || row[1].len >= sizeof table)
        return FB_OK;
    memcpy(schema, row[0].data, row[0].len);
    memcpy(table, row[1].data, row[1].len);
    schema[row[0].len] = table[row[1].len] = '\0';
    return fb_mysql_note_table(bind, schema, table, *is_written);
}

/* A name, perhaps with its database before it. */
static fb_status note_name(struct fb_mysql_bind *bind, fb_bytes schema, fb_bytes table, bool is_written) {
    char texts[2][256];
    const fb_bytes names[] = {schema, table};
    for (int i = 0; i < 2; i++) {
        if (names[i].len >= sizeof texts[i])
            return FB_OK;
        if (names[i].len > 0)
            memcpy(texts[i], names[i].data, names[i].len);
        texts[i][names[i].len] = '\0';
    }
    const char *const values[] = {schema.len > 0 ? texts[0] : NULL, texts[1]};
    return fb_mysql_ask(bind, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE "
                              "TABLE_SCHEMA = coalesce(?, DATABASE()) AND TABLE_NAME = ?", 2, values, 2, take_found,
                        &is_written);
}

static bool is_name_byte(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80) != 0; }

/* A bare or backquoted name at p; NULL: none. */
static const char *read_name(const char *p, fb_bytes *ret) {
    const char *end = p;
    if (*p == '`') {
        end = strchr(p + 1, '`');
        *ret = fb_bytes_of(p + 1, end != NULL ? (size_t)(end - p - 1) : 0);
        return end != NULL ? end + 1 : NULL;
    }
    while (is_name_byte(*end))
        end++;
    *ret = fb_bytes_of(p, (size_t)(end - p));
    return end > p ? end : NULL;
}

static fb_status take_word(struct words *w, const char **p) {
    static const char *const begins[] = {"from", "join", "into", "update", "insert", "replace", "straight_join"};
    static const char *const modifiers[] = {"low_priority", "high_priority", "delayed", "ignore", "quick", "lateral", "as"};
    static const char *const ends[] = {"where", "set", "values", "value", "on", "using", "group", "order", "having", "limit",
                                       "union", "for", "left", "right", "inner", "cross", "natural", "returning"};
    static const char *const writes[] = {"into", "update", "insert", "replace"}, *const deletes[] = {"delete"};
    fb_bytes word, schema = fb_bytes_of(NULL, 0);
    bool is_bare = **p != '`';
    *p = read_name(*p, &word);
    if (*p == NULL) /* a quote that does not end: the server has taken the statement, so it is none of ours to judge */
        return FB_OK;
    w->is_delete |= is_bare && IS_ONE_OF(word, deletes); /* what follows FROM and JOIN: rather one too many */
    bool is_update_of_columns = is_bare && w->is_after_key && word.len == 6 && strncasecmp(word.data, "update", 6) == 0;
    w->is_after_key = is_bare && word.len == 3 && strncasecmp(word.data, "key", 3) == 0;
    if (is_update_of_columns)
        return FB_OK;
    if (is_bare && IS_ONE_OF(word, begins)) {
        w->is_written = IS_ONE_OF(word, writes) || (w->is_delete && word.len == 4);
        w->expects_table = w->is_list = true;
        return FB_OK;
    }
    if (is_bare && IS_ONE_OF(word, modifiers))
        return FB_OK;
    if (is_bare && (IS_ONE_OF(word, ends) || (word.len == 6 && strncasecmp(word.data, "select", 6) == 0))) {
        w->expects_table = w->is_list = false;
        return FB_OK;
    }
    fb_bytes second;
    if (**p == '.' && (is_name_byte((*p)[1]) || (*p)[1] == '`')) {
        const char *end = read_name(*p + 1, &second);
        schema = word;
        word = second;
        *p = end;
    }
    if (!w->expects_table)
        return FB_OK;
    w->expects_table = false;
    return note_name(w->bind, schema, word, w->is_written);
}

static fb_status note_tables(struct fb_mysql_bind *bind, const char *text) {
    struct words w = {.bind = bind};
    fb_status status = FB_OK;
    for (const char *p = text; p != NULL && *p != '\0' && status == FB_OK;) {
        const char *end = *p == '`' ? NULL : fb_named_pass_over(&dialect, p);
        if (end != NULL) {
            p = end;
        } else if (*p == '`' || is_name_byte(*p)) {
            status = take_word(&w, &p);
        } else {
            w.expects_table |= *p == ',' && w.is_list;
            p++;
        }
    }
    return status;
}

/* ---- the statements ---- */

static fb_status prepare(struct fb_mysql_bind *bind, const char *what, const char *text, bool takes_columns,
                         struct fb_named_sql *sql, struct fb_mysql_statement **ret_statement) {
    fb_status status = fb_named_parse(&dialect, bind->m, what, text, takes_columns, sql, bind->err);
    if (status != FB_OK)
        return status;
    status = fb_mysql_prepare(bind->driver->catalogue, sql->text, ret_statement, bind->err);
    if (status == FB_OK)
        return note_tables(bind, sql->text);
    fb_err said = *bind->err;
    return status == FB_DOWN || status == FB_NOMEM || status == FB_TIMEOUT
               ? status
               : fb_mysql_refuse(bind, "%s: %s", what, said.text);
}

static fb_status bind_load(struct fb_mysql_bind *bind) {
    struct fb_mapping *m = bind->m;
    struct fb_mysql_statement *statement;
    fb_status status = fb_named_parse(&dialect, m, "load", bind->options->load, false, &bind->b->load, bind->err);
    if (status == FB_OK && !fb_named_reads_only(bind->b->load.text))
        status = fb_mysql_refuse(bind, "load: a statement that only reads is wanted");
    fb_named_finish(&bind->b->load);
    if (status == FB_OK)
        status = prepare(bind, "load", bind->options->load, /* takes_columns */ false, &bind->b->load, &statement);
    if (status == FB_OK) /* the questions about its tables may have taken its place */
        status = fb_mysql_prepare(bind->driver->catalogue, bind->b->load.text, &statement, bind->err);
    if (status == FB_OK && mysql_stmt_field_count(statement->handle) == 0)
        status = fb_mysql_refuse(bind, "load: a statement that only reads is wanted");
    if (status == FB_OK)
        status = fb_mysql_add_columns(bind, statement);
    for (unsigned i = 0; i < m->ncolumns && status == FB_OK; i++)
        for (unsigned p = 0; p < m->pattern.nparams; p++)
            if (strcmp(fb_mysql_param_part(m, p)->text, m->columns[i].name) == 0)
                m->columns[i].param = (int)p;
    return status;
}

static fb_status bind_write(struct fb_mysql_bind *bind, const char *what, const char *text, bool takes_columns,
                            struct fb_named_sql *sql) {
    struct fb_mysql_statement *statement;
    if (text == NULL)
        return FB_OK;
    fb_status status = prepare(bind, what, text, takes_columns, sql, &statement);
    if (status == FB_OK && fb_named_reads_only(sql->text) && strncasecmp(sql->text, "with", 4) != 0)
        status = fb_mysql_refuse(bind, "%s: the statement writes nothing", what);
    return status;
}

/* Columns that the store statement does not take cannot be written; neither can any without one. */
static void mark_stored(struct fb_binding *b) {
    for (unsigned c = 0; c < b->mapping.ncolumns; c++)
        b->mapping.columns[c].is_readonly = b->mapping.columns[c].param < 0;
    for (unsigned i = 0; i < b->store.nargs; i++)
        if (!b->store.args[i].is_key)
            b->mapping.columns[b->store.args[i].index].is_readonly = false;
}

fb_status fb_mysql_bind_statements(struct fb_mysql_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    for (unsigned p = 0; p < bind->m->pattern.nparams; p++)
        bind->m->param_is_int[p] = fb_mysql_param_part(bind->m, p)->type == FB_PARAM_INT;
    fb_status status = bind_load(bind);
    if (status == FB_OK)
        status = bind_write(bind, "store", o->store, /* takes_columns */ true, &bind->b->store);
    if (status == FB_OK)
        status = bind_write(bind, "delete", o->del, /* takes_columns */ false, &bind->b->del);
    if (status == FB_OK)
        mark_stored(bind->b);
    return status;
}
