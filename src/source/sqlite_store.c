/* Storing rows in SQLite.
 *
 * BEGIN IMMEDIATE makes this process the only writer from the first read on, so nothing can change between reading and
 * deciding. Rows are read again after the group is written: RETURNING would not see what triggers did.
 *
 * One group is a transaction in outcome. Several groups share one, each under a savepoint of its own, and one COMMIT:
 * the price of a write is its fsync. When the joint transaction is lost, each group is tried singly.
 *
 * When COMMIT fails and the transaction is still open (a lock, a deferred constraint), it is rolled back and certainly
 * not applied. When SQLite has closed it with an error, nobody knows what reached the disk: FB_UNKNOWN. */
#include "source/sqlite.h"

#include "base/clock.h"
#include "base/err.h"
#include "source/group.h"

/* ---- one row ---- */

/* A row that outlives its statement: the bytes move to session->kept. */
static fb_status keep_row(struct fb_session *session, struct fb_datum *row, unsigned ncolumns) {
    size_t total = 0;
    for (unsigned i = 0; i < ncolumns; i++)
        total += row[i].kind >= FB_DATUM_NUMBER ? row[i].bytes.len : 0;
    session->kept.len = 0;
    if (fb_buf_reserve(&session->kept, total) != FB_OK)
        return FB_NOMEM;
    for (unsigned i = 0; i < ncolumns; i++) {
        if (row[i].kind < FB_DATUM_NUMBER)
            continue;
        char *at = session->kept.data + session->kept.len;
        (void)fb_buf_append(&session->kept, row[i].bytes.data, row[i].bytes.len);
        row[i].bytes.data = at;
    }
    return FB_OK;
}

static fb_status find(struct fb_session *session, const struct fb_store_item *item, struct fb_datum *row, fb_err *err) {
    sqlite3_stmt *stmt;
    fb_status status = fb_sqlite_find_row(session, item->binding, item->plan->key, row, &stmt, err);
    if (status != FB_OK)
        return status;
    if (keep_row(session, row, item->binding->mapping.ncolumns) != FB_OK)
        status = fb_fail(err, FB_NOMEM, "out of memory");
    else if (!item->binding->is_table)
        status = fb_sqlite_check_single(session, item->binding, stmt, err);
    fb_sqlite_release(stmt);
    return status;
}

/* Execute a statement whose parameters are bound; rows it may return (RETURNING) are passed over. A statement that
 * changed no row, because a trigger or its own conditions kept it from that, has written nothing, and nobody may be told
 * that it has. */
static fb_status execute(struct fb_session *session, sqlite3_stmt *stmt, int rc, fb_err *err) {
    sqlite3_int64 before = sqlite3_total_changes64(session->db);
    while (rc == SQLITE_OK || rc == SQLITE_ROW)
        rc = sqlite3_step(stmt);
    fb_status status = rc == SQLITE_DONE ? FB_OK : fb_sqlite_fail(session, rc, err);
    fb_sqlite_release(stmt);
    if (status == FB_OK && sqlite3_total_changes64(session->db) == before)
        status = fb_fail(err, FB_CONFLICT, "the statement changed no row");
    return status;
}

/* INSERT or UPDATE of the assigned columns of a table. */
static fb_status write_table(struct fb_session *session, const struct fb_binding *b, const struct fb_plan *plan,
                             bool exists, fb_err *err) {
    unsigned nkeys = b->mapping.pattern.nparams;
    session->text.len = 0;
    fb_status status = exists ? fb_sqlite_update_text(b, plan, &session->text)
                              : fb_sqlite_insert_text(b, plan, &session->text);
    if (status != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    sqlite3_stmt *stmt;
    int rc = fb_sqlite_statement(session, session->text.data, &stmt);
    if (rc != SQLITE_OK)
        return fb_sqlite_fail(session, rc, err);
    unsigned first_key = exists ? plan->nassigns : 0, first_value = exists ? 0 : nkeys;
    for (unsigned i = 0; i < plan->nassigns && rc == SQLITE_OK; i++)
        rc = fb_sqlite_bind(stmt, (int)(first_value + i) + 1, &plan->assigns[i].value);
    for (unsigned i = 0; i < nkeys && rc == SQLITE_OK; i++)
        rc = fb_sqlite_bind(stmt, (int)(first_key + i) + 1, &plan->key[i]);
    return execute(session, stmt, rc, err);
}

/* Run a statement of the binding: its parameters come from the key and from `row`. */
static fb_status run_bound(struct fb_session *session, const struct fb_sql *sql,
                           const struct fb_datum *key, const struct fb_datum *row, fb_err *err) {
    sqlite3_stmt *stmt;
    int rc = fb_sqlite_statement(session, sql->text, &stmt);
    if (rc != SQLITE_OK)
        return fb_sqlite_fail(session, rc, err);
    for (unsigned i = 0; i < sql->nargs && rc == SQLITE_OK; i++)
        rc =
            fb_sqlite_bind(stmt, (int)i + 1, sql->args[i].is_key ? &key[sql->args[i].index] : &row[sql->args[i].index]);
    return execute(session, stmt, rc, err);
}

/* The keyspace's own statement stores whole values: what is not assigned stays as it is. */
static fb_status write_explicit(struct fb_session *session, const struct fb_binding *b, const struct fb_plan *plan,
                                struct fb_datum *row, fb_err *err) {
    for (unsigned i = 0; i < b->mapping.ncolumns && plan->replaces; i++)
        row[i] = fb_datum_null();
    for (unsigned i = 0; i < plan->nassigns; i++)
        row[plan->assigns[i].column] = plan->assigns[i].value;
    return run_bound(session, &b->store, plan->key, row, err);
}

static fb_status write_row(struct fb_session *session, const struct fb_store_item *item, bool exists,
                           struct fb_datum *row, fb_err *err) {
    const struct fb_binding *b = item->binding;
    return b->is_table ? write_table(session, b, item->plan, exists, err)
                       : write_explicit(session, b, item->plan, row, err);
}

static fb_status remove_row(struct fb_session *session, const struct fb_store_item *item, fb_err *err) {
    return run_bound(session, &item->binding->del, item->plan->key, /* row = */ NULL, err);
}

/* The row now holds the sum; write it as an assignment, and remember it as text for the answer. */
static fb_status write_sum(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                           fb_err *err) {
    char space[FB_DATUM_TEXT_MAX];
    const struct fb_plan *plan = item->plan;
    struct fb_assign sum = {.column = plan->assigns[0].column};
    fb_status status = fb_plan_add(&item->binding->mapping, plan, &row[sum.column], &sum.value, err);
    if (status != FB_OK)
        return status;
    struct fb_plan with_sum = *plan;
    with_sum.assigns = &sum;
    fb_bytes text = fb_datum_text(&sum.value, space);
    item->number = fb_value_new(FB_KIND_STRING, text.data, text.len);
    if (item->number == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    return item->binding->is_table ? write_table(session, item->binding, &with_sum, exists, err)
                                   : write_explicit(session, item->binding, &with_sum, row, err);
}

static fb_status read_list(struct fb_session *session, const struct fb_store_item *item, struct fb_value **ret_value,
                           fb_err *err) {
    return fb_sqlite_find_value(session, item->binding, item->plan->key, ret_value, err);
}

static const struct fb_mapping *mapping_of(const struct fb_binding *binding) { return &binding->mapping; }

const struct fb_group_ops fb_sqlite_group_ops = {
    .mapping = mapping_of,
    .find = find,
    .write = write_row,
    .add = write_sum,
    .remove = remove_row,
    .render = fb_sqlite_render,
    .read_list = read_list,
};

/* ---- transactions ---- */

static bool is_open(const struct fb_session *session) { return !sqlite3_get_autocommit(session->db); }

fb_status fb_sqlite_begin(struct fb_session *session, fb_err *err) {
    fb_sqlite_roll_back(session);
    if (fb_sqlite_is_over(session))
        return fb_sqlite_fail(session, SQLITE_INTERRUPT, err);
    int rc = fb_sqlite_run(session, "BEGIN IMMEDIATE");
    return rc == SQLITE_OK ? FB_OK : fb_sqlite_fail(session, rc, err);
}

enum fb_txn_end fb_sqlite_commit(struct fb_session *session, fb_err *err) {
    int rc = fb_sqlite_run(session, "COMMIT");
    if (rc == SQLITE_OK)
        return FB_TXN_DONE;
    (void)fb_sqlite_fail(session, rc, err);
    if (is_open(session)) {
        fb_sqlite_roll_back(session);
        return FB_TXN_FAILED;
    }
    fb_err_prefix(err, "COMMIT failed: ");
    err->status = FB_UNKNOWN;
    return FB_TXN_UNKNOWN;
}

static fb_status commit(struct fb_session *session, fb_err *err) {
    return fb_sqlite_commit(session, err) == FB_TXN_DONE ? FB_OK : err->status;
}

static void store_singly(struct fb_session *session, struct fb_store_group *group) {
    fb_err err = {FB_OK, ""};
    fb_group_forget(group);
    fb_status status = fb_sqlite_begin(session, &err);
    if (status == FB_OK) {
        status = fb_group_write(&fb_sqlite_group_ops, session, group, &err);
        if (status == FB_OK)
            status = commit(session, &err);
        else
            fb_sqlite_roll_back(session);
    }
    if (status != FB_OK)
        fb_group_refuse(group, status, &err);
}

/* One group inside the joint transaction. False when the transaction is lost. */
static bool store_jointly(struct fb_session *session, struct fb_store_group *group) {
    fb_err err = {FB_OK, ""};
    if (fb_sqlite_run(session, "SAVEPOINT fb") != SQLITE_OK)
        return false;
    fb_status status = fb_group_write(&fb_sqlite_group_ops, session, group, &err);
    if (status == FB_TIMEOUT)
        fb_group_refuse(group, status, &err); /* it has had its time; the others get the rest */
    if (!is_open(session) || status == FB_TIMEOUT || status == FB_NOMEM)
        return false;
    if (status != FB_OK) {
        if (fb_sqlite_run(session, "ROLLBACK TO fb") != SQLITE_OK)
            return false;
        fb_group_refuse(group, status, &err);
    }
    return fb_sqlite_run(session, "RELEASE fb") == SQLITE_OK;
}

/* All groups in one transaction. False: nothing was applied, try them singly. */
static bool store_together(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err = {FB_OK, ""};
    fb_status status = fb_sqlite_begin(session, &err);
    /* Half of the time, so that one statement that takes for ever leaves the others theirs. */
    fb_instant now = fb_clock_now(), due = session->deadline;
    session->deadline = fb_after(now, (fb_span){fb_since(due, now).ns / 2});
    for (size_t i = 0; i < n && status == FB_OK; i++)
        if (!store_jointly(session, groups[i])) {
            fb_sqlite_roll_back(session);
            return false;
        }
    session->deadline = due;
    if (status == FB_OK) {
        status = commit(session, &err);
        if (status != FB_OK && status != FB_UNKNOWN)
            return false;
    }
    for (size_t i = 0; i < n && status != FB_OK; i++)
        if (groups[i]->status == FB_OK)
            fb_group_refuse(groups[i], status, &err);
    return true;
}

void fb_sqlite_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err;
    for (size_t i = 0; i < n; i++)
        fb_group_clear(groups[i]);
    fb_status status = fb_sqlite_begin_call(session, &err);
    for (size_t i = 0; i < n && status != FB_OK; i++)
        fb_group_refuse(groups[i], status, &err);
    if (status != FB_OK)
        return;
    fb_instant due = session->deadline;
    if (n > 1 && store_together(session, groups, n))
        return;
    session->deadline = due;
    for (size_t i = 0; i < n; i++)
        if (groups[i]->status != FB_TIMEOUT)
            store_singly(session, groups[i]);
}
