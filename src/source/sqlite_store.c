/* Storing rows in SQLite.
 *
 * One item is: read the row; decide (conditions, sums, counts); write; and when the whole group is written, read again,
 * because triggers may have changed what we wrote (RETURNING would not see that). BEGIN IMMEDIATE makes this process
 * the only writer from the first read on, so nothing can change between reading and deciding. The conditions of a block
 * are judged together, before the first of its items writes.
 *
 * One group is a transaction in outcome. Several groups share one, each under a savepoint of its own, and one COMMIT:
 * the price of a write is its fsync. When the joint transaction is lost, each group is tried singly.
 *
 * When COMMIT fails and the transaction is still open (a lock, a deferred constraint), it is rolled back and certainly
 * not applied. When SQLite has closed it with an error, nobody knows what reached the disk: FB_UNKNOWN. */
#include "source/sqlite.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"

/* ---- one item ---- */

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

/* FB_OK with the row, or FB_NOTFOUND with a row of NULLs, or an error. */
static fb_status read_before(struct fb_session *session, const struct fb_store_item *item, struct fb_datum *row,
                             fb_err *err) {
    const struct fb_mapping *m = &item->binding->mapping;
    sqlite3_stmt *stmt;
    fb_status status = fb_sqlite_find_row(session, item->binding, item->plan->key, row, &stmt, err);
    if (status == FB_OK) {
        if (keep_row(session, row, m->ncolumns) != FB_OK)
            status = fb_fail(err, FB_NOMEM, "out of memory");
        else if (!item->binding->is_table)
            status = fb_sqlite_check_single(session, item->binding, stmt, err);
        fb_sqlite_release(stmt);
    } else if (status == FB_NOTFOUND) {
        for (unsigned i = 0; i < m->ncolumns; i++)
            row[i] = fb_datum_null();
    }
    return status;
}

/* For clients a keyspace of one column has a value when that column is not NULL. */
static bool has_value(const struct fb_mapping *m, bool exists, const struct fb_datum *row) {
    return exists && (m->as != FB_AS_COLUMN || row[m->as_column].kind != FB_DATUM_NULL);
}

static bool is_met(const struct fb_store_item *item, bool exists, const struct fb_datum *row) {
    const struct fb_plan *plan = item->plan;
    bool present = has_value(&item->binding->mapping, exists, row);
    if ((plan->flags & FB_COND_ABSENT) && present)
        return false;
    if ((plan->flags & FB_COND_PRESENT) && !present)
        return false;
    if (plan->flags & FB_COND_FIELD_ABSENT) {
        if (exists && plan->nkey_fields > 0)
            return false;
        for (unsigned i = 0; i < plan->nassigns; i++)
            if (row[plan->assigns[i].column].kind != FB_DATUM_NULL)
                return false;
    }
    return true;
}

static int64_t count_fields(const struct fb_plan *plan, bool exists, const struct fb_datum *row) {
    int64_t n = plan->op == FB_OP_HSET && !exists ? plan->nkey_fields : 0;
    for (unsigned i = 0; i < plan->nassigns; i++)
        n += (row[plan->assigns[i].column].kind == FB_DATUM_NULL) == (plan->op == FB_OP_HSET);
    return n;
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

static fb_status write_row(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                           fb_err *err) {
    const struct fb_binding *b = item->binding;
    const struct fb_plan *plan = item->plan;
    bool changes_nothing = exists && plan->nassigns == 0 && !plan->replaces;
    if (plan->op == FB_OP_HDEL ? !exists || plan->nassigns == 0 : changes_nothing)
        return FB_OK;
    return b->is_table ? write_table(session, b, plan, exists, err) : write_explicit(session, b, plan, row, err);
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

static fb_status render_old(struct fb_session *session, struct fb_store_item *item, const struct fb_datum *row,
                            fb_err *err) {
    fb_status status = fb_sqlite_render(session, item->binding, row, &item->before, err);
    return status == FB_NOTFOUND ? FB_OK : status;
}

/* READ and CHECK: the row as the transaction sees it at this point. */
static fb_status read_item(struct fb_session *session, struct fb_store_item *item, const struct fb_hash_key *hash_key,
                           fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    fb_status status = read_before(session, item, row, err);
    if (status == FB_OK)
        status = fb_sqlite_render(session, item->binding, row, &item->before, err);
    if (status < 0 || item->plan->op == FB_OP_READ)
        return status;
    fb_kind kind = item->before != NULL ? item->before->kind : FB_KIND_NONE;
    uint64_t found = fb_value_fingerprint(hash_key, kind, fb_value_bytes(item->before));
    fb_value_unref(item->before);
    item->before = NULL;
    return found == item->expected ? FB_OK : FB_UNMET;
}

/* is_judged: its conditions have been found to hold. */
static fb_status write_item(struct fb_session *session, struct fb_store_item *item, bool is_judged, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    const struct fb_plan *plan = item->plan;
    fb_status status = read_before(session, item, row, err);
    bool exists = status == FB_OK;
    if (status == FB_OK && (plan->flags & FB_WANT_OLD))
        status = render_old(session, item, row, err);
    if (status < 0)
        return status;
    if (!is_judged && !is_met(item, exists, row))
        return FB_UNMET;
    switch (plan->op) {
    case FB_OP_DELETE:
        if (!exists)
            return FB_NOTFOUND;
        return run_bound(session, &item->binding->del, plan->key, row, err);
    case FB_OP_ADD:
        return write_sum(session, item, exists, row, err);
    default:
        item->count = plan->op == FB_OP_SET ? 0 : count_fields(plan, exists, row);
        return write_row(session, item, exists, row, err);
    }
}

/* A row that cannot be shown is no reason to take a write back; the next load says what is wrong with it. */
static fb_status read_after(struct fb_session *session, struct fb_store_item *item, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    sqlite3_stmt *stmt;
    fb_status status = fb_sqlite_find_row(session, item->binding, item->plan->key, row, &stmt, err);
    if (status != FB_OK)
        return status == FB_NOTFOUND ? FB_OK : status;
    status = fb_sqlite_render(session, item->binding, row, &item->after, err);
    fb_sqlite_release(stmt);
    item->after_unknown = status == FB_SOURCE;
    return status == FB_NOMEM ? status : FB_OK;
}

/* ---- one group ---- */

static void clear_answers(struct fb_store_group *group) {
    group->status = FB_OK;
    group->decided_by = group->nitems;
    for (size_t i = 0; i < group->nitems; i++) {
        struct fb_store_item *item = &group->items[i];
        item->status = FB_OK;
        item->after = item->before = item->number = NULL;
        item->after_unknown = false;
        item->count = 0;
    }
}

static void forget_answers(struct fb_store_group *group) {
    for (size_t i = 0; i < group->nitems; i++) {
        fb_value_unref(group->items[i].after);
        fb_value_unref(group->items[i].before);
        fb_value_unref(group->items[i].number);
    }
    clear_answers(group);
}

/* All items of a group get the same refusal. What was read before it stays (SET … NX GET wants it). */
static void refuse(struct fb_store_group *group, fb_status status, const fb_err *err) {
    struct fb_value *text = status < 0 ? fb_sqlite_error_value(err) : NULL;
    group->status = status;
    for (size_t i = 0; i < group->nitems; i++) {
        struct fb_store_item *item = &group->items[i];
        fb_value_unref(item->after);
        fb_value_unref(item->number);
        item->number = NULL;
        item->after = fb_value_ref(text);
        item->after_unknown = false;
        item->count = 0;
        item->status = status;
    }
    fb_value_unref(text);
}

static bool is_write(const struct fb_store_item *item) {
    return item->plan->op != FB_OP_READ && item->plan->op != FB_OP_CHECK;
}

/* The items from `first` on that belong to one block; an item that stands for itself is one. */
static size_t block_end(const struct fb_store_group *group, size_t first) {
    size_t end = first + 1;
    unsigned block = group->items[first].block;
    while (block != 0 && end < group->nitems && group->items[end].block == block)
        end++;
    return end;
}

/* Do the conditions of items first .. end−1 hold, before the first of them writes? FB_OK, FB_UNMET, or an error with the
 * item in decided_by. */
static fb_status judge_block(struct fb_session *session, struct fb_store_group *group, size_t first, size_t end,
                             fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    for (size_t i = first; i < end; i++) {
        if (!is_write(&group->items[i]))
            continue;
        fb_status status = read_before(session, &group->items[i], row, err);
        group->decided_by = i;
        if (status < 0)
            return status;
        if (!is_met(&group->items[i], status == FB_OK, row))
            return FB_UNMET;
    }
    return FB_OK;
}

/* One item or block: FB_OK, FB_UNMET (nothing of it was done), or an error; then decided_by is the item. */
static fb_status write_block(struct fb_session *session, struct fb_store_group *group, size_t first, size_t end,
                             fb_err *err) {
    bool is_judged = end - first > 1;
    fb_status status = is_judged ? judge_block(session, group, first, end, err) : FB_OK;
    for (size_t i = first; i < end && status == FB_OK; i++) {
        struct fb_store_item *item = &group->items[i];
        group->decided_by = i;
        item->status = is_write(item) ? write_item(session, item, is_judged, err)
                                      : read_item(session, item, group->hash_key, err);
        status = item->status == FB_NOTFOUND ? FB_OK : item->status;
    }
    return status;
}

/* Inside a transaction: FB_OK, or why nothing of this group may stay (FB_UNMET or an error). */
static fb_status write_group(struct fb_session *session, struct fb_store_group *group, fb_err *err) {
    for (size_t i = 0, end; i < group->nitems; i = end) {
        end = block_end(group, i);
        fb_status status = write_block(session, group, i, end, err);
        bool is_local = group->items[i].block != 0 && group->items[i].plan->op != FB_OP_CHECK;
        if (status < 0 || (status == FB_UNMET && !is_local))
            return status;
        for (size_t k = i; k < end && status == FB_UNMET; k++)
            group->items[k].status = FB_UNMET;
    }
    group->decided_by = group->nitems;
    for (size_t i = 0; i < group->nitems; i++) {
        struct fb_store_item *item = &group->items[i];
        fb_status status = is_write(item) && !item->is_superseded ? read_after(session, item, err) : FB_OK;
        if (status != FB_OK)
            return status;
    }
    return FB_OK;
}

/* ---- transactions ---- */

static bool is_open(const struct fb_session *session) { return !sqlite3_get_autocommit(session->db); }

static fb_status begin(struct fb_session *session, fb_err *err) {
    fb_sqlite_roll_back(session);
    if (fb_reached(fb_clock_now(), session->deadline))
        return fb_sqlite_fail(session, SQLITE_INTERRUPT, err);
    int rc = fb_sqlite_run(session, "BEGIN IMMEDIATE");
    return rc == SQLITE_OK ? FB_OK : fb_sqlite_fail(session, rc, err);
}

static fb_status commit(struct fb_session *session, fb_err *err) {
    int rc = fb_sqlite_run(session, "COMMIT");
    if (rc == SQLITE_OK)
        return FB_OK;
    fb_status status = fb_sqlite_fail(session, rc, err);
    if (is_open(session)) {
        fb_sqlite_roll_back(session);
        return status;
    }
    fb_err_prefix(err, "COMMIT failed: ");
    return err->status = FB_UNKNOWN;
}

static void store_singly(struct fb_session *session, struct fb_store_group *group) {
    fb_err err = {FB_OK, ""};
    forget_answers(group);
    fb_status status = begin(session, &err);
    if (status == FB_OK) {
        status = write_group(session, group, &err);
        if (status == FB_OK)
            status = commit(session, &err);
        else
            fb_sqlite_roll_back(session);
    }
    if (status != FB_OK)
        refuse(group, status, &err);
}

/* One group inside the joint transaction. False when the transaction is lost. */
static bool store_jointly(struct fb_session *session, struct fb_store_group *group) {
    fb_err err = {FB_OK, ""};
    if (fb_sqlite_run(session, "SAVEPOINT fb") != SQLITE_OK)
        return false;
    fb_status status = write_group(session, group, &err);
    if (status == FB_TIMEOUT)
        refuse(group, status, &err); /* it has had its time; the others get the rest */
    if (!is_open(session) || status == FB_TIMEOUT || status == FB_NOMEM)
        return false;
    if (status != FB_OK) {
        if (fb_sqlite_run(session, "ROLLBACK TO fb") != SQLITE_OK)
            return false;
        refuse(group, status, &err);
    }
    return fb_sqlite_run(session, "RELEASE fb") == SQLITE_OK;
}

/* All groups in one transaction. False: nothing was applied, try them singly. */
static bool store_together(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err = {FB_OK, ""};
    fb_status status = begin(session, &err);
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
            refuse(groups[i], status, &err);
    return true;
}

void fb_sqlite_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err;
    for (size_t i = 0; i < n; i++)
        clear_answers(groups[i]);
    fb_status status = fb_sqlite_begin_call(session, &err);
    for (size_t i = 0; i < n && status != FB_OK; i++)
        refuse(groups[i], status, &err);
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
