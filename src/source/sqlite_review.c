/* What is to be said of a keyspace beyond "it fits": every fault of one that does not, what may surprise in one that
 * does; and which tables there are to be mapped. The catalogue is asked, no row is read. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "source/sqlite_bind.h"

struct review {
    const struct fb_sqlite_bind *bind;
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

static sqlite3 *catalogue(const struct review *r) { return r->bind->driver->catalogue; }

/* ---- scans ---- */

/* "SCAN users" and "SCAN u USING INDEX …" read all of it; "SCAN CONSTANT ROW", "SCAN 3 CONSTANT ROWS" and "SCAN (subquery)"
 * do not. The name, or NULL. */
static const char *scanned(const char *detail) {
    static const char scan[] = "SCAN ";
    if (detail == NULL || strncmp(detail, scan, sizeof scan - 1) != 0)
        return NULL;
    const char *name = detail + sizeof scan - 1;
    bool is_none = strncmp(name, "CONSTANT ROW", 12) == 0 || isdigit((unsigned char)name[0]) || name[0] == '(';
    return is_none ? NULL : name;
}

static void review_plan(struct review *r, const char *what, const struct fb_sql *sql) {
    static const char explain[] = "EXPLAIN QUERY PLAN ";
    sqlite3_stmt *stmt = NULL;
    size_t len = sql->text != NULL ? strlen(sql->text) : 0;
    char *text = len > 0 ? fb_mem_alloc(len + sizeof explain) : NULL;
    if (text == NULL)
        return;
    memcpy(text, explain, sizeof explain - 1);
    memcpy(text + sizeof explain - 1, sql->text, len + 1);
    if (sqlite3_prepare_v2(catalogue(r), text, -1, &stmt, NULL) == SQLITE_OK)
        while (sqlite3_step(stmt) == SQLITE_ROW) {
            const char *name = scanned((const char *)sqlite3_column_text(stmt, 3));
            if (name != NULL)
                warn(r, "scan", "%s: every key reads all of '%.*s': there is no index for it", what,
                     (int)strcspn(name, " "), name);
        }
    sqlite3_finalize(stmt);
    fb_mem_free(text);
}

/* ---- rows that cannot be inserted ---- */

static void review_insert(struct review *r) {
    const struct fb_mapping *m = r->bind->m;
    sqlite3_stmt *stmt;
    /* INTEGER PRIMARY KEY gets its number from SQLite. */
    static const char sql[] = "SELECT name FROM pragma_table_info(?1) WHERE \"notnull\" = 1 AND dflt_value IS NULL AND "
                              "NOT (pk > 0 AND upper(type) = 'INTEGER')";
    if (sqlite3_prepare_v2(catalogue(r), sql, -1, &stmt, NULL) != SQLITE_OK)
        return;
    sqlite3_bind_text(stmt, 1, r->bind->b->tables[0], -1, SQLITE_STATIC);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        for (unsigned i = 0; name != NULL && i < m->ncolumns; i++) {
            const struct fb_column *c = &m->columns[i];
            bool is_shown = !c->is_hidden && (m->as != FB_AS_COLUMN || i == m->as_column);
            if (strcmp(c->db_name != NULL ? c->db_name : c->name, name) == 0 && !is_shown && c->param < 0 && !c->is_readonly)
                warn(r, "insert",
                     "write: no row can be inserted, only changed: column '%s' must not be NULL, has no default, and is "
                     "not shown to clients",
                     name);
        }
    }
    sqlite3_finalize(stmt);
}

/* ---- tables of other keyspaces that change with this one's ---- */

/* The keyspace that has copies of this table's rows, or NULL. */
static const char *mapped_by(const struct review *r, const char *table) {
    for (size_t i = 0; i < r->nothers; i++) {
        const struct fb_binding *other = r->others[i];
        if (other->driver->device != r->bind->driver->device || other->driver->inode != r->bind->driver->inode ||
            strcmp(other->mapping.name, r->bind->m->name) == 0)
            continue;
        for (unsigned t = 0; t < other->ntables; t++)
            if (sqlite3_stricmp(other->tables[t], table) == 0)
                return other->mapping.name;
    }
    return NULL;
}

/* A query is told of writes only where it depends on their table. */
static void review_depends(struct review *r) {
    const struct fb_binding *b = r->bind->b;
    for (unsigned t = 0; t < b->ntables; t++)
        for (size_t i = 0; i < r->nothers; i++) {
            const struct fb_binding *other = r->others[i];
            bool is_covered = false, writes = false;
            for (unsigned d = 0; d < b->mapping.ndepends; d++)
                is_covered |= sqlite3_stricmp(b->mapping.depends[d].table, b->tables[t]) == 0;
            for (unsigned k = 0; k < other->ntables && fb_sqlite_shared_table(b, other) != NULL; k++)
                writes |= other->is_written[k] && sqlite3_stricmp(other->tables[k], b->tables[t]) == 0;
            if (writes && !is_covered)
                warn(r, "depends", "load: '%s' writes table '%s', and this keyspace does not depend on it: what is cached "
                     "here stays until its TTL", other->mapping.name, b->tables[t]);
        }
}

static void review_cascades(struct review *r) {
    sqlite3_stmt *stmt;
    static const char sql[] = "SELECT m.name, f.on_delete FROM sqlite_schema m, pragma_foreign_key_list(m.name) f "
                              "WHERE m.type = 'table' AND lower(f.\"table\") = lower(?1) AND f.seq = 0 AND "
                              "f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')";
    if (sqlite3_prepare_v2(catalogue(r), sql, -1, &stmt, NULL) != SQLITE_OK)
        return;
    sqlite3_bind_text(stmt, 1, r->bind->b->tables[0], -1, SQLITE_STATIC);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(stmt, 0);
        const char *action = (const char *)sqlite3_column_text(stmt, 1);
        const char *other = table != NULL ? mapped_by(r, table) : NULL;
        if (other != NULL && action != NULL)
            warn(r, "cascade",
                 "on_del: deleting a row changes rows of '%s' as well (ON DELETE %s); what '%s' has cached of them stays "
                 "until its TTL",
                 table, action, other);
    }
    sqlite3_finalize(stmt);
}

/* SQLite asks for leave for what a trigger would do, with the trigger's name. */
static int note_trigger(void *user, int action, const char *name, const char *column, const char *database,
                        const char *inside) {
    struct review *r = user;
    (void)column;
    (void)database;
    bool is_write = action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE;
    if (!is_write || inside == NULL || name == NULL || sqlite3_stricmp(name, r->bind->b->tables[0]) == 0)
        return SQLITE_OK;
    const char *other = mapped_by(r, name);
    if (other != NULL)
        warn(r, "trigger", "write: trigger '%s' changes table '%s'; what '%s' has cached of it stays until its TTL",
             inside, name, other);
    return SQLITE_OK;
}

static void review_triggers(struct review *r) {
    const struct fb_binding *b = r->bind->b;
    static const struct { const char *before, *after; } writes[] = {
        {"INSERT INTO ", " DEFAULT VALUES"}, {"DELETE FROM ", ""},
    };
    fb_buf text = FB_BUF_INIT;
    for (size_t i = 0; i <= sizeof writes / sizeof writes[0]; i++) {
        bool is_update = i == sizeof writes / sizeof writes[0];
        const char *parts[] = {is_update ? b->update : writes[i].before, is_update ? "" : b->table,
                               is_update ? "" : writes[i].after};
        sqlite3_stmt *stmt = NULL;
        bool ok = parts[0] != NULL;
        text.len = 0;
        for (size_t p = 0; ok && p < sizeof parts / sizeof parts[0]; p++)
            ok = fb_buf_append(&text, parts[p], strlen(parts[p])) == FB_OK;
        if (!ok || fb_buf_append(&text, "", 1) != FB_OK)
            continue;
        sqlite3_set_authorizer(catalogue(r), note_trigger, r);
        (void)sqlite3_prepare_v2(catalogue(r), text.data, -1, &stmt, NULL);
        sqlite3_set_authorizer(catalogue(r), NULL, NULL);
        sqlite3_finalize(stmt);
    }
    fb_buf_free(&text);
}

fb_status fb_sqlite_review(struct fb_driver *driver, const fb_keyspace_options *options,
                           const struct fb_binding *const *others, size_t nothers, fb_remark remark, void *user,
                           fb_err *reterr) {
    struct fb_binding *b = fb_mem_calloc(1, sizeof *b);
    fb_err err = {0};
    if (b == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_sqlite_bind bind = {driver, options, b, &b->mapping, &err, remark, user, 0};
    fb_status status = fb_sqlite_bind_all(&bind);
    if (status != FB_OK)
        return status == FB_CONFIG ? FB_OK : fb_fail(reterr, status, "%s", err.text);
    struct review r = {&bind, others, nothers};
    bool writes = options->write != FB_WRITE_OFF;
    if (b->mapping.is_list) {
        review_plan(&r, b->is_table ? "table" : "load", &b->load);
        review_depends(&r);
    } else if (!b->is_table) {
        if (!writes)
            review_depends(&r);
        review_plan(&r, "load", &b->load);
        review_plan(&r, "store", &b->store);
        review_plan(&r, "delete", &b->del);
    } else if (writes) {
        review_insert(&r);
        review_triggers(&r);
        if (options->on_del == FB_ON_DEL_DELETE_ROW)
            review_cascades(&r);
    }
    fb_sqlite_unbind(b);
    return FB_OK;
}

/* ---- the tables there are ---- */

struct names { char *items[FB_COLUMNS_MAX]; size_t n; };

static void free_names(struct names *names) {
    for (size_t i = 0; i < names->n; i++)
        fb_mem_free(names->items[i]);
    names->n = 0;
}

/* The first column of the rows; more than FB_COLUMNS_MAX are left out, and a keyspace of such a table is refused. */
static fb_status read_names(sqlite3 *db, const char *sql, const char *table, struct names *names) {
    sqlite3_stmt *stmt;
    int rc;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return FB_SOURCE;
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    fb_status status = FB_OK;
    while (status == FB_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW && names->n < FB_COLUMNS_MAX) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        char *copy = name != NULL ? fb_mem_strdup(name) : NULL;
        if (copy == NULL)
            status = FB_NOMEM;
        else
            names->items[names->n++] = copy;
    }
    sqlite3_finalize(stmt);
    return status == FB_OK && rc != SQLITE_DONE && rc != SQLITE_ROW ? FB_SOURCE : status;
}

static fb_status visit_table(sqlite3 *db, const char *name, bool is_view, fb_source_visit visit, void *user) {
    struct names *key = fb_mem_calloc(3, sizeof *key), *columns = key + 1, *references = key + 2;
    if (key == NULL)
        return FB_NOMEM;
    fb_status status =
        read_names(db, "SELECT name FROM pragma_table_xinfo(?1) WHERE pk > 0 AND hidden <> 1 ORDER BY pk", name, key);
    if (status == FB_OK)
        status = read_names(db, "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1", name, columns);
    if (status == FB_OK)
        status = read_names(db, "SELECT max(\"from\") FROM pragma_foreign_key_list(?1) GROUP BY id HAVING count(*) = 1 "
                                "ORDER BY 1", name, references);
    if (status != FB_NOMEM) /* a view whose table is gone has no columns that could be asked for */
        visit(user, &(fb_source_table){name, is_view, (const char *const *)key->items, key->n,
                                (const char *const *)columns->items, columns->n,
                                (const char *const *)references->items, references->n});
    free_names(references);
    free_names(columns);
    free_names(key);
    fb_mem_free(key);
    return status;
}

fb_status fb_sqlite_tables(struct fb_driver *driver, fb_source_visit visit, void *user, fb_err *reterr) {
    static const char sql[] = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', "
                              "'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name";
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(driver->catalogue, sql, -1, &stmt, NULL);
    fb_status status = FB_OK;
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        if ((rc = sqlite3_step(stmt)) != SQLITE_ROW)
            break;
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        const char *type = (const char *)sqlite3_column_text(stmt, 1);
        if (name == NULL || type == NULL)
            status = FB_NOMEM;
        else if (visit_table(driver->catalogue, name, strcmp(type, "view") == 0, visit, user) == FB_NOMEM)
            status = FB_NOMEM;
        if (status != FB_OK)
            break;
    }
    sqlite3_finalize(stmt);
    if (status == FB_NOMEM || rc == SQLITE_NOMEM)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    return rc == SQLITE_DONE ? FB_OK : fb_fail(reterr, FB_SOURCE, "%s", sqlite3_errmsg(driver->catalogue));
}
