/* The text of SQL statements for tables of MariaDB and MySQL, made from the catalogue's names only: no key and no value
 * ever comes here. */
#include "source/mysql.h"

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

char *fb_mysql_quote(const char *name) {
    size_t len = strlen(name), quotes = 0;
    for (size_t i = 0; i < len; i++)
        quotes += name[i] == '`';
    char *out = fb_mem_alloc(len + quotes + 3), *p = out;
    if (out == NULL)
        return NULL;
    *p++ = '`';
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '`')
            *p++ = '`';
        *p++ = name[i];
    }
    *p++ = '`';
    *p = '\0';
    return out;
}

static const char *key_column(const struct fb_binding *b, unsigned param) { return b->quoted[b->key_columns[param]]; }

/* WHERE a = ? AND b = ?, or WHERE (a, b) IN ((?, ?), (?, ?)) */
static void put_where_key(struct text *t, const struct fb_binding *b, unsigned nkeys) {
    unsigned n = b->mapping.pattern.nparams;
    if (nkeys == 0) {
        for (unsigned i = 0; i < n; i++) {
            put(t, i == 0 ? " WHERE " : " AND ");
            put(t, key_column(b, i));
            put(t, " = ?");
        }
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        put(t, i > 0 ? ", " : n > 1 ? " WHERE (" : " WHERE ");
        put(t, key_column(b, i));
    }
    put(t, n > 1 ? ") IN (" : " IN (");
    for (unsigned k = 0; k < nkeys; k++) {
        put(t, k == 0 ? "" : ", ");
        for (unsigned i = 0; i < n; i++)
            put(t, i > 0 ? ", ?" : n > 1 ? "(?" : "?");
        put(t, n > 1 ? ")" : "");
    }
    put(t, ")");
}

/* The rest of a list's query. */
static void put_order(struct text *t, const struct fb_binding *b) {
    const struct fb_mapping *m = &b->mapping;
    char limit[32];
    for (unsigned i = 0; i < m->norder; i++) {
        put(t, i == 0 ? " ORDER BY " : ", ");
        put(t, b->quoted[m->order[i].column]);
        put(t, m->order[i].is_descending ? " DESC" : "");
    }
    /* Rows of other keys that the database finds as well must not use up the limit. */
    snprintf(limit, sizeof limit, " LIMIT %u", b->is_loose ? FB_MANY_ROWS_MAX + 1u : fb_list_wanted(m));
    put(t, limit);
}

fb_status fb_mysql_load_text(const struct fb_binding *binding, unsigned nkeys, enum fb_mysql_lock lock, fb_buf *out) {
    static const char *const locks[] = {"", " FOR UPDATE", " FOR UPDATE SKIP LOCKED"};
    struct text t = {out, FB_OK};
    for (unsigned i = 0; i < binding->mapping.ncolumns; i++) {
        put(&t, i == 0 ? "SELECT " : ", ");
        put(&t, binding->quoted[i]);
    }
    put(&t, " FROM ");
    put(&t, binding->table);
    put_where_key(&t, binding, nkeys);
    if (binding->mapping.is_list)
        put_order(&t, binding);
    put(&t, locks[lock]);
    return end(&t);
}

fb_status fb_mysql_keys_text(const struct fb_binding *binding, unsigned nkeys, fb_buf *out) {
    struct text t = {out, FB_OK};
    for (unsigned i = 0; i < binding->mapping.pattern.nparams; i++) {
        put(&t, i == 0 ? "SELECT " : ", ");
        put(&t, key_column(binding, i));
    }
    put(&t, " FROM ");
    put(&t, binding->table);
    put_where_key(&t, binding, nkeys);
    put(&t, " FOR UPDATE");
    return end(&t);
}

fb_status fb_mysql_list_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    unsigned n = binding->mapping.pattern.nparams;
    for (unsigned i = 0; i < n; i++) {
        put(&t, i > 0 ? ", " : binding->mapping.is_list ? "SELECT DISTINCT " : "SELECT ");
        put(&t, key_column(binding, i));
    }
    put(&t, " FROM ");
    put(&t, binding->table);
    for (unsigned i = 0; i < n; i++) {
        put(&t, i == 0 ? " ORDER BY " : ", ");
        put(&t, key_column(binding, i));
    }
    put(&t, " LIMIT ?");
    return end(&t);
}

fb_status fb_mysql_delete_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    put(&t, "DELETE FROM ");
    put(&t, binding->table);
    put_where_key(&t, binding, 0);
    return end(&t);
}

fb_status fb_mysql_update_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out) {
    struct text t = {out, FB_OK};
    const char *between = " SET ";
    put(&t, "UPDATE ");
    put(&t, binding->table);
    for (unsigned i = 0; i < plan->nassigns; i++) {
        const char *column = binding->quoted[plan->assigns[i].column];
        put(&t, between);
        put(&t, column);
        put(&t, " = ");
        if (plan->op == FB_OP_ADD || plan->assigns[i].adds) { /* the database adds, in its own arithmetic */
            put(&t, "coalesce(");
            put(&t, column);
            put(&t, ", 0) + ");
        }
        put(&t, "?");
        between = ", ";
    }
    for (unsigned c = 0, next = 0; plan->replaces && c < binding->mapping.ncolumns; c++) {
        if (next < plan->nassigns && plan->assigns[next].column == c) {
            next++;
        } else if (fb_column_is_reset(&binding->mapping.columns[c])) {
            put(&t, between);
            put(&t, binding->quoted[c]);
            put(&t, " = DEFAULT");
            between = ", ";
        }
    }
    put_where_key(&t, binding, 0);
    return end(&t);
}

fb_status fb_mysql_insert_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out) {
    struct text t = {out, FB_OK};
    unsigned nkeys = binding->mapping.pattern.nparams;
    put(&t, "INSERT INTO ");
    put(&t, binding->table);
    for (unsigned i = 0; i < nkeys + plan->nassigns; i++) {
        put(&t, i == 0 ? " (" : ", ");
        put(&t, i < nkeys ? key_column(binding, i) : binding->quoted[plan->assigns[i - nkeys].column]);
    }
    for (unsigned i = 0; i < nkeys + plan->nassigns; i++)
        put(&t, i == 0 ? ") VALUES (?" : ", ?");
    put(&t, ")");
    return end(&t);
}
