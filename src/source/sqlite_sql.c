/* The text of SQL statements, made from the catalogue's names only: no key and no value ever comes here. */
#include "source/sqlite.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "rows/list.h"

/* Appending with one check at the end. */
struct text {
    fb_buf *out;
    fb_status status;
};

static void put(struct text *t, const char *s) {
    if (t->status == FB_OK)
        t->status = fb_buf_append(t->out, s, strlen(s));
}

static fb_status end(struct text *t) {
    if (t->status == FB_OK)
        t->status = fb_buf_append(t->out, "", 1);
    return t->status;
}

char *fb_sqlite_quote(const char *name) {
    size_t len = strlen(name), quotes = 0;
    for (size_t i = 0; i < len; i++)
        quotes += name[i] == '"';
    char *out = fb_mem_alloc(len + quotes + 3), *p = out;
    if (out == NULL)
        return NULL;
    *p++ = '"';
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '"')
            *p++ = '"';
        *p++ = name[i];
    }
    *p++ = '"';
    *p = 0;
    return out;
}

/* SQLite reads a quoted name that is no column (any more) as a text: SELECT "age" gives 'age'. Not so "users"."age". */
static void put_column(struct text *t, const struct fb_binding *b, unsigned column) {
    put(t, b->table);
    put(t, ".");
    put(t, b->quoted[column]);
}

static void put_where_key(struct text *t, const struct fb_binding *b) {
    for (unsigned i = 0; i < b->mapping.pattern.nparams; i++) {
        put(t, i == 0 ? " WHERE " : " AND ");
        put_column(t, b, (unsigned)b->key_columns[i]);
        put(t, " = ?");
    }
}

/* The rest of a list's query. */
static void put_order(struct text *t, const struct fb_binding *b) {
    const struct fb_mapping *m = &b->mapping;
    char limit[32];
    for (unsigned i = 0; i < m->norder; i++) {
        put(t, i == 0 ? " ORDER BY " : ", ");
        put_column(t, b, m->order[i].column);
        put(t, m->order[i].is_descending ? " DESC" : "");
    }
    snprintf(limit, sizeof limit, " LIMIT %u", fb_list_wanted(m));
    put(t, limit);
}

fb_status fb_sqlite_load_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    for (unsigned i = 0; i < binding->mapping.ncolumns; i++) {
        put(&t, i == 0 ? "SELECT " : ", ");
        put_column(&t, binding, i);
    }
    put(&t, " FROM ");
    put(&t, binding->table);
    put_where_key(&t, binding);
    if (binding->mapping.is_list)
        put_order(&t, binding);
    return end(&t);
}

fb_status fb_sqlite_list_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    for (unsigned i = 0; i < binding->mapping.pattern.nparams; i++) {
        put(&t, i > 0 ? ", " : binding->mapping.is_list ? "SELECT DISTINCT " : "SELECT ");
        put_column(&t, binding, (unsigned)binding->key_columns[i]);
    }
    put(&t, " FROM ");
    put(&t, binding->table);
    for (unsigned i = 0; i < binding->mapping.pattern.nparams; i++) {
        put(&t, i == 0 ? " ORDER BY " : ", ");
        put_column(&t, binding, (unsigned)binding->key_columns[i]);
    }
    put(&t, " LIMIT ?");
    return end(&t);
}

fb_status fb_sqlite_delete_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    put(&t, "DELETE FROM ");
    put(&t, binding->table);
    put_where_key(&t, binding);
    return end(&t);
}

fb_status fb_sqlite_update_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out) {
    struct text t = {out, FB_OK};
    const char *between = " SET ";
    put(&t, "UPDATE ");
    put(&t, binding->table);
    for (unsigned i = 0; i < plan->nassigns; i++) {
        put(&t, between);
        put(&t, binding->quoted[plan->assigns[i].column]);
        put(&t, " = ?");
        between = ", ";
    }
    for (unsigned c = 0, next = 0; plan->replaces && c < binding->mapping.ncolumns; c++) {
        if (next < plan->nassigns && plan->assigns[next].column == c) {
            next++;
        } else if (fb_column_is_reset(&binding->mapping.columns[c])) {
            put(&t, between);
            put(&t, binding->quoted[c]);
            put(&t, " = (");
            put(&t, binding->defaults[c]);
            put(&t, ")");
            between = ", ";
        }
    }
    put_where_key(&t, binding);
    return end(&t);
}

fb_status fb_sqlite_insert_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out) {
    struct text t = {out, FB_OK};
    unsigned nkeys = binding->mapping.pattern.nparams;
    put(&t, "INSERT INTO ");
    put(&t, binding->table);
    for (unsigned i = 0; i < nkeys + plan->nassigns; i++) {
        put(&t, i == 0 ? " (" : ", ");
        put(&t, binding->quoted[i < nkeys ? (unsigned)binding->key_columns[i] : plan->assigns[i - nkeys].column]);
    }
    for (unsigned i = 0; i < nkeys + plan->nassigns; i++)
        put(&t, i == 0 ? ") VALUES (?" : ", ?");
    put(&t, ")");
    return end(&t);
}
