/* One row of PostgreSQL inside a transaction: finding it, with or without a lock, and writing it.
 *
 * What is sent and what is taken are two steps, so that many rows share a round trip. */
#include "source/pg.h"

#include <string.h>

#include "base/err.h"

/* ---- finding ---- */

static fb_status send_with_key(struct fb_session *session, const char *text, const struct fb_named_sql *sql,
                               const struct fb_datum *key, const struct fb_datum *row, struct fb_pg_sent *ret_sent,
                               fb_err *err) {
    struct fb_pg_params params;
    size_t bytes = 0;
    for (unsigned i = 0; i < sql->nargs; i++)
        bytes += fb_pg_param_size(sql->args[i].is_key ? &key[sql->args[i].index] : &row[sql->args[i].index]);
    fb_status status = fb_pg_params_begin(session, &params, bytes, err);
    for (unsigned i = 0; i < sql->nargs && status == FB_OK; i++)
        status = fb_pg_param(session, &params, sql->args[i].is_key ? &key[sql->args[i].index] : &row[sql->args[i].index],
                             err);
    if (status == FB_OK && !fb_pg_send(session, text, &params, ret_sent))
        status = fb_pg_fail(session, NULL, err);
    return status;
}

fb_status fb_pg_send_find(struct fb_session *session, const struct fb_store_item *item, enum fb_pg_find how,
                          struct fb_pg_sent *ret_sent, fb_err *err) {
    const struct fb_binding *b = item->binding;
    const char *text = how == FB_PG_READ || !b->is_table ? b->load.text : how == FB_PG_LOCK ? b->lock : b->try_lock;
    return send_with_key(session, text, &b->load, item->plan->key, /* row = */ NULL, ret_sent, err);
}

fb_status fb_pg_take_find(struct fb_session *session, const struct fb_store_item *item, const struct fb_pg_sent *sent,
                          struct fb_datum *ret_row, fb_err *err) {
    const struct fb_mapping *m = &item->binding->mapping;
    PQclear(session->held);
    session->held = NULL;
    fb_status status = fb_pg_receive(session, sent, &session->held, err);
    if (status != FB_OK)
        return status;
    if (PQntuples(session->held) == 0)
        return FB_NOTFOUND;
    if (PQntuples(session->held) > 1)
        return fb_mapping_fail(m, err, FB_SOURCE, "the load statement found more than one row");
    status = fb_pg_row(session, item->binding, session->held, 0, ret_row, err);
    if (status == FB_OK && !fb_mapping_row_is_key(m, ret_row, item->plan->key))
        status = FB_NOTFOUND; /* alike in the database's eyes only: another key */
    return status;
}

/* ---- writing ---- */

/* Only where the column is a number to the database as well; a number in a text is added here, and the row is locked. */
static bool adds_itself(const struct fb_binding *b, const struct fb_plan *plan) {
    enum fb_class class = b->mapping.columns[plan->assigns[0].column].class;
    if (!b->is_table)
        return false;
    return class == FB_CLASS_NUMERIC || class == FB_CLASS_REAL ||
           (class == FB_CLASS_INTEGER && plan->assigns[0].value.kind == FB_DATUM_INT);
}

/* INSERT or UPDATE of the assigned columns of a table. */
static fb_status send_table(struct fb_session *session, const struct fb_binding *b, const struct fb_plan *plan,
                            bool exists, struct fb_pg_sent *ret_sent, fb_err *err) {
    struct fb_pg_params params;
    unsigned nkeys = b->mapping.pattern.nparams;
    size_t bytes = 0;
    session->text.len = 0;
    fb_status status = exists ? fb_pg_update_text(b, plan, &session->text) : fb_pg_insert_text(b, plan, &session->text);
    if (status != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    for (unsigned i = 0; i < nkeys; i++)
        bytes += fb_pg_param_size(&plan->key[i]);
    for (unsigned i = 0; i < plan->nassigns; i++)
        bytes += fb_pg_param_size(&plan->assigns[i].value);
    status = fb_pg_params_begin(session, &params, bytes, err);
    for (unsigned i = 0; i < nkeys && status == FB_OK && !exists; i++)
        status = fb_pg_param(session, &params, &plan->key[i], err);
    for (unsigned i = 0; i < plan->nassigns && status == FB_OK; i++)
        status = fb_pg_param(session, &params, &plan->assigns[i].value, err);
    for (unsigned i = 0; i < nkeys && status == FB_OK && exists; i++)
        status = fb_pg_param(session, &params, &plan->key[i], err);
    if (status == FB_OK && !fb_pg_send(session, session->text.data, &params, ret_sent))
        status = fb_pg_fail(session, NULL, err);
    return status;
}

/* The keyspace's own statement stores whole values: what is not assigned stays as it is. */
static fb_status send_explicit(struct fb_session *session, const struct fb_binding *b, const struct fb_plan *plan,
                               bool exists, struct fb_datum *row, struct fb_pg_sent *ret_sent, fb_err *err) {
    for (unsigned i = 0; i < b->mapping.ncolumns && (plan->replaces || !exists); i++)
        row[i] = fb_datum_null();
    for (unsigned i = 0; i < plan->nassigns; i++)
        row[plan->assigns[i].column] = plan->assigns[i].value;
    return send_with_key(session, b->store.text, &b->store, plan->key, row, ret_sent, err);
}

static fb_status send_assigns(struct fb_session *session, const struct fb_binding *b, const struct fb_plan *plan,
                              bool exists, struct fb_datum *row, struct fb_pg_sent *ret_sent, fb_err *err) {
    return b->is_table ? send_table(session, b, plan, exists, ret_sent, err)
                       : send_explicit(session, b, plan, exists, row, ret_sent, err);
}

/* The sum as an assignment, and as text for the answer. */
static fb_status send_sum(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                          struct fb_pg_sent *ret_sent, fb_err *err) {
    char space[FB_DATUM_TEXT_MAX];
    const struct fb_datum none = fb_datum_null();
    struct fb_plan plan = *item->plan;
    struct fb_assign sum = {.column = plan.assigns[0].column};
    fb_status status = fb_plan_add(&item->binding->mapping, item->plan, exists ? &row[sum.column] : &none, &sum.value,
                                   err);
    if (status != FB_OK)
        return status;
    fb_bytes text = fb_datum_text(&sum.value, space);
    item->number = fb_value_new(FB_KIND_STRING, text.data, text.len);
    if (item->number == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    plan.op = FB_OP_HSET;
    plan.assigns = &sum;
    return send_assigns(session, item->binding, &plan, exists, row, ret_sent, err);
}

fb_status fb_pg_send_write(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                           struct fb_pg_sent *ret_sent, fb_err *err) {
    const struct fb_binding *b = item->binding;
    const struct fb_plan *plan = item->plan;
    if (plan->op == FB_OP_DELETE)
        return send_with_key(session, b->del.text, &b->del, plan->key, row, ret_sent, err);
    if (plan->op == FB_OP_ADD && !adds_itself(b, plan))
        return send_sum(session, item, exists, row, ret_sent, err);
    return send_assigns(session, b, plan, exists, row, ret_sent, err);
}

/* What the database made of the column. */
static fb_status take_number(struct fb_session *session, struct fb_store_item *item, const PGresult *result,
                             fb_err *err) {
    char space[FB_DATUM_TEXT_MAX];
    struct fb_datum number;
    enum fb_pg_form form = item->binding->forms[item->plan->assigns[0].column];
    if (PQntuples(result) != 1 || PQgetisnull(result, 0, 0))
        return fb_fail(err, FB_CONFLICT, "the statement changed no row");
    fb_bytes text = fb_bytes_of(PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
    if (!fb_pg_decode(session, form, text, &number))
        return fb_fail(err, FB_SOURCE, "the new number is none");
    text = fb_datum_text(&number, space);
    item->number = fb_value_new(FB_KIND_STRING, text.data, text.len);
    return item->number != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

fb_status fb_pg_take_write(struct fb_session *session, struct fb_store_item *item, const struct fb_pg_sent *sent,
                           fb_err *err) {
    PGresult *result;
    fb_status status = fb_pg_receive(session, sent, &result, err);
    bool is_sum = item->plan->op == FB_OP_ADD && item->number == NULL;
    if (is_sum && status == FB_BADVALUE && strncmp(err->text, "22003", 5) == 0)
        status = fb_fail(err, FB_NOTANUMBER, "increment or decrement would overflow");
    if (status == FB_BADVALUE) { /* the database's own refusal of a value, worded like ours */
        fb_err bare = *err;
        status = fb_mapping_fail(&item->binding->mapping, err, FB_BADVALUE, "%s", bare.text);
    }
    /* A trigger, a rule or the statement's own conditions may keep it from writing: nobody may be told that it has. */
    if (status == FB_OK && strcmp(PQcmdTuples(result), "0") == 0)
        status = fb_fail(err, FB_CONFLICT, "the statement changed no row");
    else if (status == FB_OK && is_sum)
        status = take_number(session, item, result, err);
    PQclear(result);
    return status;
}

/* ---- one row, one round trip: what groups of several items do ---- */

static const struct fb_mapping *mapping_of(const struct fb_binding *binding) { return &binding->mapping; }

static fb_status sync_and(struct fb_session *session, fb_status status, fb_err *err) {
    if (status == FB_OK && !fb_pg_sync(session))
        status = fb_pg_fail(session, NULL, err);
    if (status != FB_OK && fb_pg_is_lost(session))
        fb_pg_hang_up(session);
    return status;
}

static fb_status pass_sync(struct fb_session *session, fb_status status, fb_err *err) {
    fb_err own;
    if (session->db != NULL && fb_pg_receive_sync(session, &own) != FB_OK && status >= 0) {
        *err = own;
        return own.status;
    }
    return status;
}

static fb_status find(struct fb_session *session, const struct fb_store_item *item, struct fb_datum *ret_row,
                      fb_err *err) {
    struct fb_pg_sent sent;
    enum fb_pg_find how = item->plan->op == FB_OP_READ ? FB_PG_READ : FB_PG_LOCK;
    fb_status status = sync_and(session, fb_pg_send_find(session, item, how, &sent, err), err);
    return status == FB_OK ? pass_sync(session, fb_pg_take_find(session, item, &sent, ret_row, err), err) : status;
}

static fb_status add(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                     fb_err *err) {
    struct fb_pg_sent sent;
    fb_status status = sync_and(session, fb_pg_send_write(session, item, exists, row, &sent, err), err);
    return status == FB_OK ? pass_sync(session, fb_pg_take_write(session, item, &sent, err), err) : status;
}

static fb_status write_row(struct fb_session *session, const struct fb_store_item *item, bool exists,
                           struct fb_datum *row, fb_err *err) {
    struct fb_store_item same = *item; /* no number comes of it */
    return add(session, &same, exists, row, err);
}

static fb_status remove_row(struct fb_session *session, const struct fb_store_item *item, fb_err *err) {
    return write_row(session, item, /* exists */ true, /* row = */ NULL, err);
}

static fb_status read_list(struct fb_session *session, const struct fb_store_item *item, struct fb_value **ret_value,
                           fb_err *err) {
    struct fb_pg_sent sent;
    PGresult *result = NULL;
    fb_status status = sync_and(session, fb_pg_send_find(session, item, FB_PG_READ, &sent, err), err);
    if (status != FB_OK)
        return status;
    status = pass_sync(session, fb_pg_receive(session, &sent, &result, err), err);
    if (status == FB_OK)
        status = fb_pg_make_list(session, item->binding, result, item->plan->key, ret_value, err);
    PQclear(result);
    return status;
}

const struct fb_group_ops fb_pg_group_ops = {
    .read_list = read_list,
    .mapping = mapping_of,
    .find = find,
    .write = write_row,
    .add = add,
    .remove = remove_row,
    .render = fb_pg_render,
};
