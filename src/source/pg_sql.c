/* The text of SQL statements for tables of PostgreSQL, made from the catalogue's names only: no key and no value ever
 * comes here. */
#include "source/pg.h"

#include <stdio.h>
#include <string.h>

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

static void put_number(struct text *t, const char *before, unsigned n) {
    char text[16];
    snprintf(text, sizeof text, "%u", n);
    put(t, before);
    put(t, text);
}

static fb_status end(struct text *t) {
    if (t->status == FB_OK)
        t->status = fb_buf_append(t->out, "", 1);
    return t->status;
}

/* The columns as the mapping has them; arrays and rows as the JSON that PostgreSQL makes of them. */
static void put_columns(struct text *t, const struct fb_binding *b) {
    for (unsigned i = 0; i < b->mapping.ncolumns; i++) {
        put(t, i == 0 ? "" : ", ");
        put(t, b->is_composed[i] ? "to_json(t." : "t.");
        put(t, b->quoted[i]);
        put(t, b->is_composed[i] ? ")" : "");
    }
    put(t, " FROM ");
    put(t, b->table);
    put(t, " AS t");
}

static void put_where_key(struct text *t, const struct fb_binding *b, const char *alias, unsigned first) {
    for (unsigned i = 0; i < b->mapping.pattern.nparams; i++) {
        put(t, i == 0 ? " WHERE " : " AND ");
        put(t, alias);
        put(t, b->quoted[b->key_columns[i]]);
        put_number(t, " = $", first + i);
        put(t, b->key_is_int[i] ? "::int8" : "");
    }
}

/* The rest of a list's query. */
static void put_order(struct text *t, const struct fb_binding *b) {
    const struct fb_mapping *m = &b->mapping;
    for (unsigned i = 0; i < m->norder; i++) {
        put(t, i == 0 ? " ORDER BY t." : ", t.");
        put(t, b->quoted[m->order[i].column]);
        put(t, m->order[i].is_descending ? " DESC" : "");
    }
    put_number(t, " LIMIT ", fb_list_wanted(m));
}

fb_status fb_pg_load_text(const struct fb_binding *binding, const char *locking, fb_buf *out) {
    struct text t = {out, FB_OK};
    put(&t, "SELECT ");
    put_columns(&t, binding);
    put_where_key(&t, binding, "t.", 1);
    if (binding->mapping.is_list)
        put_order(&t, binding);
    put(&t, locking);
    return end(&t);
}

static void put_array(struct text *t, const struct fb_binding *b, unsigned param) {
    put_number(t, "$", param + 1);
    put(t, b->key_is_int[param] ? "::int8[]" : "::text[]");
    if (!b->key_is_int[param]) {
        put(t, "::");
        put(t, b->types[b->key_columns[param]]);
        put(t, "[]");
    }
}

/* One array per parameter. For one, "= ANY" lets the planner go through the index in order. */
fb_status fb_pg_load_many_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    unsigned n = binding->mapping.pattern.nparams;
    put(&t, "SELECT ");
    put_columns(&t, binding);
    if (n == 1) {
        put(&t, " WHERE t.");
        put(&t, binding->quoted[binding->key_columns[0]]);
        put(&t, " = ANY (");
        put_array(&t, binding, 0);
        put(&t, ")");
        return end(&t);
    }
    put(&t, " JOIN unnest(");
    for (unsigned i = 0; i < n; i++) {
        put(&t, i == 0 ? "" : ", ");
        put_array(&t, binding, i);
    }
    put(&t, ") AS k(");
    for (unsigned i = 0; i < n; i++)
        put_number(&t, i == 0 ? "k" : ", k", i);
    for (unsigned i = 0; i < n; i++) {
        put(&t, i == 0 ? ") ON t." : " AND t.");
        put(&t, binding->quoted[binding->key_columns[i]]);
        put_number(&t, " = k.k", i);
    }
    return end(&t);
}

fb_status fb_pg_list_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    for (unsigned i = 0; i < binding->mapping.pattern.nparams; i++) {
        put(&t, i > 0 ? ", " : binding->mapping.is_list ? "SELECT DISTINCT " : "SELECT ");
        put(&t, binding->quoted[binding->key_columns[i]]);
    }
    put(&t, " FROM ");
    put(&t, binding->table);
    for (unsigned i = 0; i < binding->mapping.pattern.nparams; i++) {
        put(&t, i == 0 ? " ORDER BY " : ", ");
        put(&t, binding->quoted[binding->key_columns[i]]);
    }
    put(&t, " LIMIT $1");
    return end(&t);
}

fb_status fb_pg_delete_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    put(&t, "DELETE FROM ");
    put(&t, binding->table);
    put_where_key(&t, binding, "", 1);
    return end(&t);
}

/* A value for a column. Arrays and rows come as JSON, which the server turns into what the column wants. */
static void put_value_of(struct text *t, const struct fb_binding *b, unsigned column, const char *name,
                         unsigned number) {
    if (!b->is_composed[column]) {
        put_number(t, name, number);
        return;
    }
    put(t, "(SELECT x FROM json_to_record(json_build_object('x', ");
    put_number(t, name, number);
    put(t, "::json)) AS r(x ");
    put(t, b->types[column]);
    put(t, "))");
}

static void put_value(struct text *t, const struct fb_binding *b, unsigned column, unsigned number) {
    put_value_of(t, b, column, "$", number);
}

static void put_returning(struct text *t, const struct fb_binding *b, const struct fb_plan *plan) {
    if (plan->op != FB_OP_ADD)
        return;
    put(t, " RETURNING ");
    put(t, b->quoted[plan->assigns[0].column]);
}

fb_status fb_pg_update_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out) {
    struct text t = {out, FB_OK};
    const char *between = " SET ";
    put(&t, "UPDATE ");
    put(&t, binding->table);
    for (unsigned i = 0; i < plan->nassigns; i++) {
        const char *column = binding->quoted[plan->assigns[i].column];
        put(&t, between);
        put(&t, column);
        put(&t, " = ");
        if (plan->op == FB_OP_ADD) { /* the database adds, in its own arithmetic */
            put(&t, "coalesce(");
            put(&t, column);
            put_number(&t, ", 0) + $", i + 1);
            put(&t, "::");
            put(&t, binding->types[plan->assigns[i].column]);
        } else {
            put_value(&t, binding, plan->assigns[i].column, i + 1);
        }
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
    put_where_key(&t, binding, "", plan->nassigns + 1);
    put_returning(&t, binding, plan);
    return end(&t);
}

fb_status fb_pg_insert_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out) {
    struct text t = {out, FB_OK};
    unsigned nkeys = binding->mapping.pattern.nparams;
    put(&t, "INSERT INTO ");
    put(&t, binding->table);
    for (unsigned i = 0; i < nkeys + plan->nassigns; i++) {
        put(&t, i == 0 ? " (" : ", ");
        put(&t, binding->quoted[i < nkeys ? (unsigned)binding->key_columns[i] : plan->assigns[i - nkeys].column]);
    }
    put(&t, ") VALUES (");
    for (unsigned i = 0; i < nkeys + plan->nassigns; i++) {
        put(&t, i == 0 ? "" : ", ");
        put_value(&t, binding, i < nkeys ? (unsigned)binding->key_columns[i] : plan->assigns[i - nkeys].column, i + 1);
    }
    put(&t, ")");
    put_returning(&t, binding, plan);
    return end(&t);
}

/* ---- many rows ---- */

/* "d.k0 = t.id AND …" */
static void put_same_key(struct text *t, const struct fb_binding *b, const char *left, const char *right) {
    for (unsigned i = 0; i < b->mapping.pattern.nparams; i++) {
        put(t, i == 0 ? "" : " AND ");
        put_number(t, "d.k", i);
        put(t, left);
        if (right == NULL)
            put(t, b->quoted[b->key_columns[i]]);
        else
            put_number(t, right, i);
    }
}

static void put_keys(struct text *t, const struct fb_binding *b) {
    for (unsigned i = 0; i < b->mapping.pattern.nparams; i++)
        put_number(t, i == 0 ? "d.k" : ", d.k", i);
}

/* The arrays as rows d(k0, …, c0, …). Their elements have the columns' types without a length, so that too long a
 * text is refused when it is assigned, as a single one is, and not cut by a cast. */
static void put_rows(struct text *t, const struct fb_binding *b, const struct fb_plan *plan) {
    unsigned nkeys = b->mapping.pattern.nparams, n = nkeys + (plan != NULL ? plan->nassigns : 0);
    put(t, "unnest(");
    for (unsigned i = 0; i < n; i++) {
        unsigned column = i < nkeys ? (unsigned)b->key_columns[i] : plan->assigns[i - nkeys].column;
        put_number(t, i == 0 ? "$" : ", $", i + 1);
        put(t, "::");
        put(t, i < nkeys && b->key_is_int[i] ? "int8" : b->is_composed[column] ? "json" : b->types[column]);
        put(t, "[]");
    }
    put(t, ") AS d(");
    for (unsigned i = 0; i < n; i++)
        put_number(t, i == 0 ? "k" : i < nkeys ? ", k" : ", c", i < nkeys ? i : i - nkeys);
    put(t, ")");
}

static void put_set(struct text *t, const struct fb_binding *b, const struct fb_plan *plan) {
    const char *between = " SET ";
    for (unsigned i = 0; i < plan->nassigns; i++) {
        const char *column = b->quoted[plan->assigns[i].column];
        put(t, between);
        put(t, column);
        put(t, " = ");
        if (plan->op == FB_OP_ADD || plan->assigns[i].adds) {
            put(t, "coalesce(t.");
            put(t, column);
            put_number(t, ", 0) + d.c", i);
        } else {
            put_value_of(t, b, plan->assigns[i].column, "d.c", i);
        }
        between = ", ";
    }
    for (unsigned c = 0, next = 0; plan->replaces && c < b->mapping.ncolumns; c++) {
        if (next < plan->nassigns && plan->assigns[next].column == c) {
            next++;
        } else if (fb_column_is_reset(&b->mapping.columns[c])) {
            put(t, between);
            put(t, b->quoted[c]);
            put(t, " = DEFAULT");
            between = ", ";
        }
    }
}

static bool has_set(const struct fb_binding *b, const struct fb_plan *plan) {
    bool resets = false;
    for (unsigned c = 0; plan->replaces && c < b->mapping.ncolumns; c++)
        resets |= fb_column_is_reset(&b->mapping.columns[c]);
    return plan->nassigns > 0 || resets;
}

/* Does the database alone give these keys (GENERATED ALWAYS)? It refuses an INSERT that names them even if it has no
 * rows to make. */
static bool gives_keys(const struct fb_binding *b) {
    for (unsigned i = 0; i < b->mapping.pattern.nparams; i++)
        if (b->mapping.columns[b->key_columns[i]].is_readonly)
            return true;
    return false;
}

/* No ON CONFLICT: a row that lacks a column which must not be NULL would be refused before the conflict is noticed. */
fb_status fb_pg_flush_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out) {
    struct text t = {out, FB_OK};
    unsigned nkeys = binding->mapping.pattern.nparams;
    put(&t, "WITH d AS (SELECT * FROM ");
    put_rows(&t, binding, plan);
    put(&t, "), u AS (");
    if (has_set(binding, plan)) {
        put(&t, "UPDATE ");
        put(&t, binding->table);
        put(&t, " AS t");
        put_set(&t, binding, plan);
        put(&t, " FROM d WHERE ");
        put_same_key(&t, binding, " = t.", NULL);
        put(&t, " RETURNING ");
        put_keys(&t, binding);
    } else {
        put(&t, "SELECT ");
        put_keys(&t, binding);
        put(&t, " FROM d JOIN ");
        put(&t, binding->table);
        put(&t, " AS t ON ");
        put_same_key(&t, binding, " = t.", NULL);
    }
    if (plan->op == FB_OP_HDEL || gives_keys(binding)) {
        put(&t, ") SELECT count(*) FROM u");
        return end(&t);
    }
    put(&t, "), i AS (INSERT INTO ");
    put(&t, binding->table);
    for (unsigned i = 0; i < nkeys + plan->nassigns; i++) {
        put(&t, i == 0 ? " (" : ", ");
        put(&t, binding->quoted[i < nkeys ? (unsigned)binding->key_columns[i] : plan->assigns[i - nkeys].column]);
    }
    put(&t, ") SELECT ");
    put_keys(&t, binding);
    for (unsigned i = 0; i < plan->nassigns; i++) {
        put(&t, ", ");
        put_value_of(&t, binding, plan->assigns[i].column, "d.c", i);
    }
    put(&t, " FROM d WHERE NOT EXISTS (SELECT FROM u WHERE ");
    put_same_key(&t, binding, " = u.k", "");
    put(&t, ") RETURNING 1) SELECT (SELECT count(*) FROM u) + (SELECT count(*) FROM i)");
    return end(&t);
}

fb_status fb_pg_remove_text(const struct fb_binding *binding, fb_buf *out) {
    struct text t = {out, FB_OK};
    put(&t, "DELETE FROM ");
    put(&t, binding->table);
    put(&t, " AS t USING ");
    put_rows(&t, binding, NULL);
    put(&t, " WHERE ");
    put_same_key(&t, binding, " = t.", NULL);
    return end(&t);
}
