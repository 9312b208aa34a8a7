/* One row of MariaDB or MySQL inside a transaction: finding it, with or without a lock, and writing it; and many writes
 * that are alike in one round trip (MariaDB's bulk execution; MySQL has none, there they follow one another). */
#include "source/mysql.h"

#include "base/err.h"

enum { BULK_BYTES_MAX = 1 << 20 }; /* of one bulk; the server takes packets of 16 MiB unless it is told otherwise */

/* ---- finding ---- */

/* Parameters of a statement of the binding: from the key and from a row. `space` has room for all of them. */
static fb_status put_args(struct fb_session *session, const struct fb_binding *b, const struct fb_named_sql *sql,
                          const struct fb_datum *key, const struct fb_datum *row, struct fb_datum *space, fb_err *err) {
    fb_status status = fb_mysql_params_begin(session, sql->nargs, err);
    for (unsigned i = 0; i < sql->nargs && status == FB_OK; i++) {
        unsigned index = sql->args[i].index;
        space[i] = sql->args[i].is_key ? key[index] : row[index];
        if (!sql->args[i].is_key && b->mapping.columns[index].class == FB_CLASS_TIME)
            (void)fb_mysql_time_value(&b->types[index], &space[i]); /* as we show it, it has a zone */
        bool is_number = !sql->args[i].is_key && b->types[index].form == FB_MYSQL_BIT;
        (is_number ? fb_mysql_param_number : fb_mysql_param)(session, &space[i]);
    }
    return status;
}

static fb_status find(struct fb_session *session, const struct fb_store_item *item, struct fb_datum *ret_row,
                      fb_err *err) {
    const struct fb_binding *b = item->binding;
    const struct fb_mapping *m = &b->mapping;
    struct fb_datum space[FB_NAMED_ARGS_MAX];
    struct fb_mysql_statement *statement;
    bool locks = b->is_table && item->plan->op != FB_OP_READ;
    fb_status status = put_args(session, b, &b->load, item->plan->key, /* row = */ NULL, space, err);
    if (status == FB_OK)
        status = fb_mysql_execute(session, locks ? b->lock : b->load.text, m, b->types, m->ncolumns, &statement, err);
    if (status != FB_OK)
        return status;
    if (fb_mysql_nrows(statement) > 1)
        status = fb_mapping_fail(m, err, FB_SOURCE, "the load statement found more than one row");
    else
        status = fb_mysql_next(session, statement, m, ret_row, err);
    fb_mysql_release(statement); /* the row stays where it has arrived */
    if (status == FB_OK && !fb_mapping_row_is_key(m, ret_row, item->plan->key))
        return FB_NOTFOUND; /* alike in the database's eyes only: another key */
    return status == FB_BADVALUE ? err->status : status;
}

static fb_status read_list(struct fb_session *session, const struct fb_store_item *item, struct fb_value **ret_value,
                           fb_err *err) {
    const struct fb_binding *b = item->binding;
    struct fb_datum space[FB_NAMED_ARGS_MAX];
    struct fb_mysql_statement *statement;
    fb_status status = put_args(session, b, &b->load, item->plan->key, /* row = */ NULL, space, err);
    if (status == FB_OK)
        status = fb_mysql_execute(session, b->load.text, &b->mapping, b->types, b->mapping.ncolumns, &statement,
                                  err);
    if (status != FB_OK)
        return status;
    status = fb_mysql_take_list(session, b, item->plan->key, statement, ret_value, err);
    fb_mysql_release(statement);
    return status;
}

/* ---- writing ---- */

bool fb_mysql_adds_itself(const struct fb_binding *b, const struct fb_plan *plan) {
    enum fb_class class = b->mapping.columns[plan->assigns[0].column].class;
    return b->is_table && (class == FB_CLASS_NUMERIC || class == FB_CLASS_REAL ||
                           (class == FB_CLASS_INTEGER && plan->assigns[0].value.kind == FB_DATUM_INT));
}

static fb_status write_text(struct fb_session *session, const struct fb_mysql_write *w, fb_err *err) {
    session->text.len = 0;
    fb_status status = w->verb == FB_MYSQL_INSERT   ? fb_mysql_insert_text(w->binding, w->plan, &session->text)
                       : w->verb == FB_MYSQL_UPDATE ? fb_mysql_update_text(w->binding, w->plan, &session->text)
                                                    : fb_mysql_delete_text(w->binding, &session->text);
    return status == FB_OK ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

/* In the order of the statement: an UPDATE ends with the key, the others begin with it. */
static const struct fb_datum *param_of(const struct fb_mysql_write *w, unsigned i) {
    unsigned nkeys = w->binding->mapping.pattern.nparams, nassigns = w->plan->nassigns;
    if (w->verb == FB_MYSQL_UPDATE)
        return i < nassigns ? &w->plan->assigns[i].value : &w->plan->key[i - nassigns];
    return i < nkeys ? &w->plan->key[i] : &w->plan->assigns[i - nkeys].value;
}

/* Is a decimal number to stay one? Else it goes as text, which says aloud when it is too large; but in a sum that would be
 * a double, and in a BIT column bytes. */
static bool is_number(const struct fb_mysql_write *w, unsigned i) {
    unsigned nkeys = w->binding->mapping.pattern.nparams, first = w->verb == FB_MYSQL_UPDATE ? 0 : nkeys;
    bool is_assign = i >= first && i < first + w->plan->nassigns;
    return is_assign && (w->plan->op == FB_OP_ADD || w->plan->assigns[i - first].adds ||
                         w->binding->types[w->plan->assigns[i - first].column].form == FB_MYSQL_BIT);
}

static unsigned nparams_of(const struct fb_mysql_write *w) {
    return w->binding->mapping.pattern.nparams + (w->verb == FB_MYSQL_DELETE ? 0 : w->plan->nassigns);
}

/* The server's own refusal of a value, worded like ours; and of a sum, like Redis'. */
static fb_status reword(struct fb_session *session, const struct fb_binding *b, const struct fb_plan *plan,
                        fb_status status, fb_err *err) {
    enum { OUT_OF_RANGE = 1264, RESULT_OUT_OF_RANGE = 1690 };
    unsigned number = session->number_failed;
    if (status != FB_BADVALUE)
        return status;
    if (plan->op == FB_OP_ADD && (number == OUT_OF_RANGE || number == RESULT_OUT_OF_RANGE))
        return fb_fail(err, FB_NOTANUMBER, "increment or decrement would overflow");
    fb_err said = *err;
    return fb_mapping_fail(&b->mapping, err, FB_BADVALUE, "%s", said.text);
}

fb_status fb_mysql_write_one(struct fb_session *session, const struct fb_mysql_write *w, fb_err *err) {
    unsigned n = nparams_of(w);
    uint64_t found = 0;
    fb_status status = write_text(session, w, err);
    if (status == FB_OK)
        status = fb_mysql_params_begin(session, n, err);
    for (unsigned i = 0; i < n && status == FB_OK; i++)
        (is_number(w, i) ? fb_mysql_param_number : fb_mysql_param)(session, param_of(w, i));
    if (status == FB_OK)
        status = fb_mysql_run(session, session->text.data, &found, err);
    status = reword(session, w->binding, w->plan, status, err);
    return status == FB_OK && found == 0 ? fb_fail(err, FB_CONFLICT, "the statement changed no row") : status;
}

bool fb_mysql_is_alike(const struct fb_mysql_write *a, const struct fb_mysql_write *b) {
    if (a->binding != b->binding || a->verb != b->verb || (a->plan->op == FB_OP_ADD) != (b->plan->op == FB_OP_ADD) ||
        a->plan->replaces != b->plan->replaces || a->plan->nassigns != b->plan->nassigns)
        return false;
    for (unsigned i = 0; i < a->plan->nassigns && a->verb != FB_MYSQL_DELETE; i++) {
        const struct fb_assign *x = &a->plan->assigns[i], *y = &b->plan->assigns[i];
        if (x->column != y->column || (x->value.kind != y->value.kind && y->value.kind != FB_DATUM_NULL))
            return false;
    }
    return true;
}

static const struct fb_datum *value_of(const void *user, size_t row, unsigned param) {
    const struct fb_mysql_write *const *writes = user;
    return param_of(writes[row], param);
}

static bool many_is_number(const void *user, unsigned param) {
    const struct fb_mysql_write *const *writes = user;
    return is_number(writes[0], param);
}

static size_t bytes_of(const struct fb_mysql_write *w) {
    size_t bytes = 0;
    for (unsigned i = 0; i < nparams_of(w); i++) {
        const struct fb_datum *datum = param_of(w, i);
        bytes += datum->kind >= FB_DATUM_NUMBER ? datum->bytes.len : sizeof datum->i;
    }
    return bytes;
}

static fb_status write_bulk(struct fb_session *session, const struct fb_mysql_write *const *writes, size_t n,
                            fb_err *err) {
    const struct fb_mysql_many many = {n, value_of, many_is_number, writes};
    uint64_t found = 0;
    fb_status status = write_text(session, writes[0], err);
    if (status == FB_OK)
        status = fb_mysql_run_many(session, session->text.data, &many, &found, err);
    return status == FB_OK && found < n ? fb_fail(err, FB_CONFLICT, "the statement changed no row") : status;
}

fb_status fb_mysql_write_many(struct fb_session *session, const struct fb_mysql_write *const *writes, size_t n,
                              fb_err *err) {
    bool takes_many = n > 1 && fb_mysql_takes_many(session);
    fb_status status = FB_OK;
    for (size_t first = 0, end; first < n && status == FB_OK; first = end) {
        size_t bytes = bytes_of(writes[first]);
        for (end = first + 1; takes_many && end < n && bytes < BULK_BYTES_MAX; end++)
            bytes += bytes_of(writes[end]);
        status = end - first > 1 ? write_bulk(session, writes + first, end - first, err)
                                 : fb_mysql_write_one(session, writes[first], err);
    }
    return status;
}

/* ---- what groups of several items do, row by row ---- */

static fb_status write_explicit(struct fb_session *session, const struct fb_store_item *item,
                                const struct fb_named_sql *sql, struct fb_datum *row, fb_err *err) {
    struct fb_datum space[FB_NAMED_ARGS_MAX];
    uint64_t found = 0;
    fb_status status = put_args(session, item->binding, sql, item->plan->key, row, space, err);
    if (status == FB_OK)
        status = fb_mysql_run(session, sql->text, &found, err);
    status = reword(session, item->binding, item->plan, status, err);
    return status == FB_OK && found == 0 ? fb_fail(err, FB_CONFLICT, "the statement changed no row") : status;
}

/* The keyspace's own statement stores whole values: what is not assigned stays as it is. */
static fb_status write_plan(struct fb_session *session, const struct fb_store_item *item, const struct fb_plan *plan,
                            bool exists, struct fb_datum *row, fb_err *err) {
    const struct fb_binding *b = item->binding;
    const struct fb_mysql_write write = {b, plan, exists ? FB_MYSQL_UPDATE : FB_MYSQL_INSERT};
    if (b->is_table)
        return fb_mysql_write_one(session, &write, err);
    for (unsigned i = 0; i < b->mapping.ncolumns && (plan->replaces || !exists); i++)
        row[i] = fb_datum_null();
    for (unsigned i = 0; i < plan->nassigns; i++)
        row[plan->assigns[i].column] = plan->assigns[i].value;
    return write_explicit(session, item, &b->store, row, err);
}

static fb_status write_row(struct fb_session *session, const struct fb_store_item *item, bool exists,
                           struct fb_datum *row, fb_err *err) {
    return write_plan(session, item, item->plan, exists, row, err);
}

static fb_status remove_row(struct fb_session *session, const struct fb_store_item *item, fb_err *err) {
    return write_explicit(session, item, &item->binding->del, /* row = */ NULL, err);
}

fb_status fb_mysql_take_number(struct fb_store_item *item, const struct fb_datum *row, fb_err *err) {
    char space[FB_DATUM_TEXT_MAX];
    const struct fb_datum *number = &row[item->plan->assigns[0].column];
    if (number->kind == FB_DATUM_NULL)
        return fb_fail(err, FB_CONFLICT, "the statement changed no row");
    fb_bytes text = fb_datum_text(number, space);
    item->number = fb_value_new(FB_KIND_STRING, text.data, text.len);
    return item->number != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

static fb_status add(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                     fb_err *err) {
    if (fb_mysql_adds_itself(item->binding, item->plan)) {
        fb_status status = write_row(session, item, exists, row, err);
        if (status == FB_OK)
            status = find(session, item, row, err);
        if (status == FB_NOTFOUND)
            status = fb_fail(err, FB_CONFLICT, "the statement changed no row");
        return status == FB_OK ? fb_mysql_take_number(item, row, err) : status;
    }
    const struct fb_datum none = fb_datum_null();
    struct fb_plan plan = *item->plan;
    struct fb_assign sum = {.column = plan.assigns[0].column};
    fb_status status = fb_plan_add(&item->binding->mapping, item->plan, exists ? &row[sum.column] : &none, &sum.value,
                                   err);
    if (status != FB_OK)
        return status;
    char space[FB_DATUM_TEXT_MAX];
    fb_bytes text = fb_datum_text(&sum.value, space);
    item->number = fb_value_new(FB_KIND_STRING, text.data, text.len);
    if (item->number == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    plan.op = FB_OP_HSET;
    plan.assigns = &sum;
    return write_plan(session, item, &plan, exists, row, err);
}

static const struct fb_mapping *mapping_of(const struct fb_binding *binding) { return &binding->mapping; }

const struct fb_group_ops fb_mysql_group_ops = {
    .mapping = mapping_of,
    .find = find,
    .write = write_row,
    .add = add,
    .remove = remove_row,
    .read_list = read_list,
    .render = fb_mysql_render,
};
