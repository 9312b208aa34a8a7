/* What is to be said of a keyspace of PostgreSQL beyond "it fits": every fault of one that does not, what may surprise in
 * one that does; and which tables there are to be mapped. The catalogue is asked, no row is read. */
#include "source/pg_bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct review {
    struct fb_pg_bind *bind;
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

/* What the planner would do for one key. It scans small tables because they are small: only what it would do if it could
 * help it counts. */
static void review_plan(struct review *r, const char *what, const struct fb_named_sql *sql) {
    struct fb_driver *driver = r->bind->driver;
    fb_buf text = FB_BUF_INIT;
    if (sql->text == NULL)
        return;
    PQclear(fb_pg_catalogue_exec(driver, "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan"));
    bool ok = fb_buf_append(&text, "PREPARE fb_look AS ", strlen("PREPARE fb_look AS ")) == FB_OK &&
              fb_buf_append(&text, sql->text, strlen(sql->text) + 1) == FB_OK;
    PQclear(ok ? fb_pg_catalogue_exec(driver, text.data) : NULL);
    text.len = 0;
    ok = ok && fb_buf_append(&text, "EXPLAIN EXECUTE fb_look", strlen("EXPLAIN EXECUTE fb_look")) == FB_OK;
    for (unsigned i = 0; i < sql->nargs && ok; i++)
        ok = fb_buf_append(&text, i == 0 ? "(NULL" : ", NULL", strlen(i == 0 ? "(NULL" : ", NULL")) == FB_OK;
    ok = ok && fb_buf_append(&text, sql->nargs > 0 ? ")" : "", sql->nargs > 0 ? 2 : 1) == FB_OK;
    PGresult *result = ok ? fb_pg_catalogue_exec(driver, text.data) : NULL;
    for (int i = 0; i < PQntuples(result); i++) {
        static const char scan[] = "Seq Scan on ";
        const char *line = PQgetvalue(result, i, 0), *at = strstr(line, scan);
        if (at != NULL)
            warn(r, "scan", "%s: every key reads all of '%.*s': there is no index for it", what,
                 (int)strcspn(at + sizeof scan - 1, " "), at + sizeof scan - 1);
    }
    PQclear(result);
    PQclear(fb_pg_catalogue_exec(driver, "DEALLOCATE fb_look"));
    PQclear(fb_pg_catalogue_exec(driver, "RESET enable_seqscan; RESET plan_cache_mode"));
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
            for (unsigned k = 0; k < other->ntables && fb_pg_shared_table(b, other) != NULL; k++)
                writes |= other->is_written[k] && strcmp(other->tables[k], b->tables[t]) == 0;
            if (writes && !is_covered)
                warn(r, "depends", "load: '%s' writes table '%s', and this keyspace does not depend on it: what is cached "
                     "here stays until its TTL", other->mapping.name, b->tables[t]);
        }
}

static PGresult *ask_of_table(const struct review *r, const char *text) {
    const char *const values[] = {r->bind->b->tables[0]};
    struct fb_driver *driver = r->bind->driver;
    int is_sent = PQsendQueryParams(driver->catalogue, text, 1, NULL, values, NULL, NULL, /* text */ 0);
    return fb_pg_catalogue_answer(driver, is_sent);
}

static void review_cascades(struct review *r) {
    PGresult *result = ask_of_table(
        r, "SELECT DISTINCT n.nspname || '.' || c.relname, "
           "CASE f.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END "
           "FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
           "JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace "
           "WHERE f.contype = 'f' AND f.confdeltype IN ('c', 'n', 'd') AND pn.nspname || '.' || p.relname = $1");
    for (int i = 0; i < PQntuples(result); i++) {
        const char *table = PQgetvalue(result, i, 0), *other = mapped_by(r, table);
        if (other != NULL)
            warn(r, "cascade",
                 "on_del: deleting a row changes rows of '%s' as well (ON DELETE %s); what '%s' has cached of them stays "
                 "until its TTL",
                 table, PQgetvalue(result, i, 1), other);
    }
    PQclear(result);
}

/* What a trigger's function writes cannot be known from the catalogue; that there is one can. */
static void review_triggers(struct review *r) {
    PGresult *result = ask_of_table(
        r, "SELECT t.tgname, p.proname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
           "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid "
           "WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND n.nspname || '.' || c.relname = $1");
    for (int i = 0; i < PQntuples(result) && r->nothers > 1; i++)
        warn(r, "trigger",
             "write: trigger '%s' runs %s(); if it changes tables of other keyspaces, what they have cached stays until "
             "their TTL",
             PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
    PQclear(result);
}

fb_status fb_pg_review(struct fb_driver *driver, const fb_keyspace_options *options,
                       const struct fb_binding *const *others, size_t nothers, fb_remark remark, void *user,
                       fb_err *reterr) {
    struct fb_binding *b = fb_mem_calloc(1, sizeof *b);
    fb_err err = {0};
    if (b == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_pg_bind bind = {.driver = driver, .options = options, .b = b, .m = &b->mapping, .err = &err,
                              .remark = remark, .remark_user = user};
    fb_status status = fb_pg_bind_all(&bind);
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
    } else if (options->write != FB_WRITE_OFF) {
        review_insert(&r);
        review_triggers(&r);
        if (options->on_del == FB_ON_DEL_DELETE_ROW)
            review_cascades(&r);
    }
    fb_pg_unbind(b);
    return FB_OK;
}

/* ---- the tables there are ---- */

/* One row for each column, the columns of a table next to each other. */
static const char tables_text[] =
    "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END, "
    "c.relkind IN ('v', 'm'), a.attname, "
    "coalesce((SELECT k.place FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) WHERE k.attnum = a.attnum), 0), "
    "EXISTS (SELECT 1 FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum]) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
    "WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT c.relispartition AND n.nspname <> 'information_schema' "
    "AND n.nspname !~ '^pg_' AND has_table_privilege(c.oid, 'SELECT') AND NOT EXISTS (SELECT FROM pg_depend d WHERE "
    "d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') " /* of an extension */
    "ORDER BY 2, 1, c.oid, a.attnum";

/* The table whose columns are rows first … end−1. */
static void visit_table(const PGresult *result, int first, int end, fb_source_visit visit, void *user) {
    const char *columns[FB_COLUMNS_MAX], *references[FB_COLUMNS_MAX], *key[FB_PATTERN_PARAMS_MAX] = {0};
    size_t ncolumns = 0, nkey = 0, nreferences = 0;
    for (int i = first; i < end && ncolumns < FB_COLUMNS_MAX; i++) {
        unsigned place = (unsigned)(PQgetvalue(result, i, 3)[0] - '0');
        bool is_short = PQgetlength(result, i, 3) == 1 && place <= FB_PATTERN_PARAMS_MAX;
        columns[ncolumns++] = PQgetvalue(result, i, 2);
        if (PQgetvalue(result, i, 4)[0] == 't')
            references[nreferences++] = PQgetvalue(result, i, 2);
        if (is_short && place > 0) {
            key[place - 1] = PQgetvalue(result, i, 2);
            nkey = place > nkey ? place : nkey;
        }
    }
    for (size_t k = 0; k < nkey; k++)
        nkey = key[k] != NULL ? nkey : 0;
    visit(user, &(fb_source_table){PQgetvalue(result, first, 0), PQgetvalue(result, first, 1)[0] == 't', key, nkey,
                                   columns, ncolumns, references, nreferences});
}

fb_status fb_pg_tables(struct fb_driver *driver, fb_source_visit visit, void *user, fb_err *reterr) {
    if (fb_pg_catalogue(driver, reterr) != FB_OK)
        return FB_DOWN;
    PGresult *result = fb_pg_catalogue_exec(driver, tables_text);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        fb_status status = fb_fail(reterr, FB_DOWN, "%s", fb_pg_catalogue_message(driver));
        PQclear(result);
        return status;
    }
    for (int i = 0, end; i < PQntuples(result); i = end) {
        for (end = i + 1; end < PQntuples(result) &&
                          strcmp(PQgetvalue(result, end, 0), PQgetvalue(result, i, 0)) == 0; end++)
            continue;
        visit_table(result, i, end, visit, user);
    }
    PQclear(result);
    return FB_OK;
}
