/* Statements of the configuration's own: named parameters become $1 … $n, and the server itself checks each statement
 * when the keyspace is added (it is prepared and described), so that what is wrong is said then and not at the first key.
 *
 * Texts, quoted names, comments and dollar-quoted bodies are passed over; '::' is a cast. Arrays and rows among the
 * columns of load are read as the JSON that PostgreSQL makes of them, by a SELECT around the statement. */
#include "source/pg_bind.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/list.h"
#include "rows/names.h"

static const struct fb_named_dialect dialect = {.is_numbered = true, .has_dollar_bodies = true, .nests_comments = true};

static fb_status put(struct fb_pg_bind *bind, fb_buf *out, const char *data, size_t len) {
    return fb_buf_append(out, data, len) == FB_OK ? FB_OK : fb_pg_no_memory(bind);
}

/* ---- asking the server ---- */

/* What the server says of a statement: its columns. The caller clears it. */
static fb_status describe(struct fb_pg_bind *bind, const char *what, const char *text, PGresult **ret_result) {
    PGconn *db = bind->driver->catalogue;
    PGresult *result = fb_pg_catalogue_answer(bind->driver, PQsendPrepare(db, "", text, 0, NULL));
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        result = fb_pg_catalogue_answer(bind->driver, PQsendDescribePrepared(db, ""));
        if (PQresultStatus(result) == PGRES_COMMAND_OK) {
            *ret_result = result;
            return FB_OK;
        }
    }
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    fb_status status = fb_mapping_fail(bind->m, bind->err, fb_pg_catalogue_status(bind->driver, result), "%s: %s", what,
                                       message != NULL ? message : fb_pg_catalogue_message(bind->driver));
    PQclear(result);
    return status;
}

static fb_status fail(struct fb_pg_bind *bind, const PGresult *result) {
    return fb_mapping_fail(bind->m, bind->err, fb_pg_catalogue_status(bind->driver, result), "%s",
                           fb_pg_catalogue_message(bind->driver));
}

static fb_status run_quietly(struct fb_pg_bind *bind, const char *text) {
    PGresult *result = fb_pg_catalogue_exec(bind->driver, text);
    fb_status status = FB_OK;
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        status = fail(bind, result);
    PQclear(result);
    return status;
}

/* The tables of a statement, from its generic plan. Tables that only triggers or functions touch are not in it. */
static fb_status note_tables(struct fb_pg_bind *bind, const struct fb_named_sql *sql) {
    fb_buf text = FB_BUF_INIT;
    PGresult *result;
    fb_status status = put(bind, &text, "PREPARE fb_look AS ", strlen("PREPARE fb_look AS "));
    if (status == FB_OK)
        status = put(bind, &text, sql->text, strlen(sql->text) + 1);
    if (status == FB_OK)
        status = run_quietly(bind, text.data);
    text.len = 0;
    if (status == FB_OK)
        status = run_quietly(bind, "SET plan_cache_mode = force_generic_plan");
    const char explain[] = "EXPLAIN (VERBOSE, FORMAT XML) EXECUTE fb_look";
    if (status == FB_OK)
        status = put(bind, &text, explain, sizeof explain - 1);
    for (unsigned i = 0; i < sql->nargs && status == FB_OK; i++)
        status = put(bind, &text, i == 0 ? "(NULL" : ", NULL", strlen(i == 0 ? "(NULL" : ", NULL"));
    if (status == FB_OK)
        status = put(bind, &text, sql->nargs > 0 ? ")" : "", sql->nargs > 0 ? 2 : 1);
    if (status == FB_OK) {
        result = fb_pg_catalogue_exec(bind->driver, text.data);
        if (PQresultStatus(result) != PGRES_TUPLES_OK)
            status = fail(bind, result);
        /* <Relation-Name>users</Relation-Name> <Schema>public</Schema> */
        const char *xml = status == FB_OK ? PQgetvalue(result, 0, 0) : "";
        for (const char *p = xml; status == FB_OK; p++) {
            char name[2 * FB_NAME_LEN_MAX + 8];
            p = strstr(p, "<Relation-Name>");
            const char *schema = p != NULL ? strstr(p, "<Schema>") : NULL;
            if (schema == NULL)
                break;
            const char *node = xml, *next = xml; /* the plan's node that the name stands in */
            while ((next = strstr(next, "<Node-Type>")) != NULL && next < p)
                node = next++;
            bool is_written = strncmp(node, "<Node-Type>ModifyTable", strlen("<Node-Type>ModifyTable")) == 0;
            p += strlen("<Relation-Name>");
            schema += strlen("<Schema>");
            snprintf(name, sizeof name, "%.*s.%.*s", (int)strcspn(schema, "<"), schema, (int)strcspn(p, "<"), p);
            status = fb_pg_note_table(bind, name, is_written);
        }
        PQclear(result);
    }
    PQclear(fb_pg_catalogue_exec(bind->driver, "DEALLOCATE fb_look"));
    fb_buf_free(&text);
    return status;
}

/* ---- load ---- */

static fb_status category_of(struct fb_pg_bind *bind, Oid type, Oid *ret_base, char *ret_category) {
    char number[16];
    const char *const values[] = {number};
    PGresult *result;
    snprintf(number, sizeof number, "%u", type);
    fb_status status = fb_pg_ask(bind, "SELECT coalesce(nullif(typbasetype, 0), oid), typcategory FROM pg_type "
                                       "WHERE oid = $1::oid", 1, values, &result);
    if (status != FB_OK)
        return status;
    *ret_base = PQntuples(result) == 1 ? (Oid)strtoul(PQgetvalue(result, 0, 0), NULL, 10) : type;
    *ret_category = PQntuples(result) == 1 ? PQgetvalue(result, 0, 1)[0] : 'U';
    PQclear(result);
    return FB_OK;
}

static fb_status read_result_columns(struct fb_pg_bind *bind, const PGresult *described) {
    struct fb_mapping *m = bind->m;
    fb_status status = fb_pg_columns_begin(bind, PQnfields(described));
    for (int i = 0; i < PQnfields(described) && status == FB_OK; i++) {
        const char *name = PQfname(described, i);
        struct fb_column *c;
        Oid base;
        char category;
        for (unsigned k = 0; k < m->ncolumns; k++)
            if (strcmp(m->columns[k].name, name) == 0)
                return fb_pg_refuse(bind, "load: two columns are called '%s'; rename one with AS", name);
        status = category_of(bind, PQftype(described, i), &base, &category);
        if (status == FB_OK)
            status = fb_pg_add_column(bind, name, NULL, NULL, base, category, &c);
        for (unsigned p = 0; p < m->pattern.nparams && status == FB_OK; p++)
            if (strcmp(fb_pg_param_part(m, p)->text, name) == 0)
                c->param = (int)p;
    }
    return status;
}

/* SELECT q."a", to_json(q."b") FROM (load) AS q */
static fb_status wrap_composed(struct fb_pg_bind *bind) {
    struct fb_binding *b = bind->b;
    fb_buf out = FB_BUF_INIT;
    fb_status status = FB_OK;
    bool is_needed = b->mapping.is_list; /* and not one row more than is needed is sent */
    for (unsigned i = 0; i < b->mapping.ncolumns; i++)
        is_needed |= b->is_composed[i];
    if (!is_needed)
        return FB_OK;
    for (unsigned i = 0; i < b->mapping.ncolumns && status == FB_OK; i++) {
        char *name = PQescapeIdentifier(bind->driver->catalogue, b->mapping.columns[i].name,
                                        b->mapping.columns[i].name_len);
        const char *before = b->is_composed[i] ? "to_json(q." : "q.", *after = b->is_composed[i] ? ")" : "";
        status = name == NULL ? fb_pg_no_memory(bind) : put(bind, &out, i == 0 ? "SELECT " : ", ", i == 0 ? 7 : 2);
        if (status == FB_OK)
            status = put(bind, &out, before, strlen(before));
        if (status == FB_OK)
            status = put(bind, &out, name, strlen(name));
        if (status == FB_OK)
            status = put(bind, &out, after, strlen(after));
        PQfreemem(name);
    }
    if (status == FB_OK)
        status = put(bind, &out, " FROM (", 7);
    if (status == FB_OK)
        status = put(bind, &out, b->load.text, strlen(b->load.text));
    char limit[32] = "";
    if (b->mapping.is_list)
        (void)snprintf(limit, sizeof limit, " LIMIT %u", fb_list_wanted(&b->mapping));
    if (status == FB_OK)
        status = put(bind, &out, "\n) AS q", 7);
    if (status == FB_OK)
        status = put(bind, &out, limit, strlen(limit) + 1);
    if (status == FB_OK) {
        fb_mem_free(b->load.text);
        b->load.text = out.data;
    } else {
        fb_buf_free(&out);
    }
    return status;
}

static fb_status bind_load(struct fb_pg_bind *bind) {
    PGresult *described;
    struct fb_binding *b = bind->b;
    fb_status status = fb_named_parse(&dialect, bind->m, "load", bind->options->load, /* takes_columns */ false,
                                      &b->load, bind->err);
    if (status == FB_OK)
        status = describe(bind, "load", b->load.text, &described);
    if (status != FB_OK)
        return status;
    /* A statement that writes inside WITH is refused by the read-only transactions in which loads run. */
    status = fb_named_reads_only(b->load.text) && PQnfields(described) > 0
                 ? read_result_columns(bind, described)
                 : fb_pg_refuse(bind, "load: a statement that only reads is wanted");
    PQclear(described);
    if (status == FB_OK)
        status = wrap_composed(bind);
    return status == FB_OK ? note_tables(bind, &b->load) : status;
}

static fb_status bind_write(struct fb_pg_bind *bind, const char *what, const char *text, bool takes_columns,
                            struct fb_named_sql *sql) {
    PGresult *described;
    if (text == NULL)
        return FB_OK;
    fb_status status = fb_named_parse(&dialect, bind->m, what, text, takes_columns, sql, bind->err);
    if (status == FB_OK)
        status = describe(bind, what, sql->text, &described);
    if (status != FB_OK)
        return status;
    PQclear(described);
    if (fb_named_reads_only(sql->text) && strncasecmp(sql->text, "with", 4) != 0)
        return fb_pg_refuse(bind, "%s: the statement writes nothing", what);
    return note_tables(bind, sql);
}

/* Columns that the store statement does not take cannot be written; neither can any without one. */
static void mark_stored(struct fb_binding *b) {
    for (unsigned c = 0; c < b->mapping.ncolumns; c++)
        b->mapping.columns[c].is_readonly = b->mapping.columns[c].param < 0;
    for (unsigned i = 0; i < b->store.nargs; i++)
        if (!b->store.args[i].is_key)
            b->mapping.columns[b->store.args[i].index].is_readonly = false;
}

fb_status fb_pg_bind_statements(struct fb_pg_bind *bind) {
    const fb_keyspace_options *o = bind->options;
    unsigned param = 0;
    for (unsigned i = 0; i < bind->m->pattern.nparts; i++)
        if (bind->m->pattern.parts[i].is_param)
            bind->m->param_is_int[param++] = bind->m->pattern.parts[i].type == FB_PARAM_INT;
    fb_status status = bind_load(bind);
    if (status == FB_OK)
        status = fb_pg_go_on(bind, bind_write(bind, "store", o->store, /* takes_columns */ true, &bind->b->store));
    if (status == FB_OK)
        status = fb_pg_go_on(bind, bind_write(bind, "delete", o->del, /* takes_columns */ false, &bind->b->del));
    if (status == FB_OK)
        mark_stored(bind->b);
    return status;
}
