/* Storing rows in MariaDB and MySQL: each group in a transaction, and many groups of one row each in one.
 *
 * Groups of one row share their round trips: one to lock the rows of a table, one for all writes that are alike (the
 * same columns of the same table), one to read the rows again, after triggers, and COMMIT. Rows are locked in the order
 * of their keys. Those that somebody else has locked are left out (SKIP LOCKED) and done afterwards, one by one, so that
 * one lock holds up nobody else's write. When the joint transaction fails it is tried again with every write by itself:
 * InnoDB takes back a statement that fails, and only that one, so each item has its own answer then.
 *
 * Groups of several items go row by row. Those that also read or check are SERIALIZABLE: their answers hold at the
 * moment of the commit, against writers that do not go through us as well. The others are READ COMMITTED, which locks the
 * rows that there are and no gaps between them.
 *
 * Until COMMIT is sent a lost connection means "not applied": the server rolls back what nobody commits. From then on it
 * means FB_UNKNOWN, unless the server says itself that it did not commit. */
#include "source/mysql.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "source/wanted.h"

enum {
    JOINT_TRIES = 3, /* of many groups together: as fast as can be, write by write, and once more after a deadlock */
    ALONE_TRIES = 3, /* of one group whose transaction met another (a key inserted at the same time, a deadlock) */
};

/* Numbers of errors that decide how it goes on. */
enum { DUPLICATE_KEY = 1062, COMMIT_FAILED = 1180, DEADLOCK = 1213, INTERRUPTED = 1317, OUT_OF_TIME = 1969,
       ROW_HAS_CHANGED = 1020 };

/* ---- transactions ---- */

/* Sessions that write do not commit by themselves, so a transaction begins with its first statement. */
enum fb_txn_end fb_mysql_roll_back(struct fb_session *session) {
    fb_err own;
    unsigned failed = session->number_failed;
    if (!fb_mysql_is_lost(session) && fb_mysql_command(session, "ROLLBACK", &own) == FB_OK) {
        session->number_failed = failed;
        return FB_TXN_FAILED;
    }
    fb_mysql_hang_up(session);
    return FB_TXN_LOST;
}

enum fb_txn_end fb_mysql_commit(struct fb_session *session, fb_err *err) {
    if (fb_mysql_command(session, "COMMIT", err) == FB_OK)
        return FB_TXN_DONE;
    unsigned number = session->number_failed;
    /* An error of the server's own says that it did not commit; one that only broke it off does not. */
    bool is_known = !fb_mysql_is_lost(session) && number != COMMIT_FAILED && number != INTERRUPTED &&
                    number != OUT_OF_TIME;
    if (is_known)
        return fb_mysql_roll_back(session);
    fb_mysql_hang_up(session);
    fb_err_prefix(err, "COMMIT: ");
    err->status = FB_UNKNOWN;
    return FB_TXN_UNKNOWN;
}

/* ---- many groups of one row each ---- */

enum state { WANTED, MISSING, WRITTEN, ANSWERED, LEFT_OUT };

struct one {
    struct fb_store_group *group;
    enum state state;
    struct fb_mysql_write write;
    struct fb_plan plan; /* of an ADD that is done here */
    struct fb_assign sum;
};

struct joint {
    struct fb_session *session;
    struct one *ones; /* by binding, then by key; no row twice */
    size_t n;
    bool is_careful; /* write by write */
    const struct fb_mysql_write **alike;
    fb_err *err;
};

static struct fb_store_item *item_of(const struct one *one) { return &one->group->items[0]; }

static int by_binding_and_key(const void *a, const void *b) {
    const struct fb_store_item *x = item_of(a), *y = item_of(b);
    if (x->binding != y->binding)
        return x->binding < y->binding ? -1 : 1;
    return fb_wanted_compare(&x->binding->mapping, x->plan->key, y->plan->key);
}

static void refuse(struct one *one, fb_status status, const fb_err *err) {
    fb_group_refuse(one->group, status, err);
    one->group->decided_by = 0;
    one->state = ANSWERED;
}

/* A number in a text is added here: the row is locked. */
static fb_status plan_sum(struct one *one, const struct fb_datum *now, fb_err *err) {
    char space[FB_DATUM_TEXT_MAX];
    struct fb_store_item *item = item_of(one);
    one->plan = *item->plan;
    one->plan.op = FB_OP_HSET;
    one->plan.assigns = &one->sum;
    one->sum.column = item->plan->assigns[0].column;
    fb_status status = fb_plan_add(&item->binding->mapping, item->plan, now, &one->sum.value, err);
    if (status != FB_OK)
        return status;
    fb_bytes text = fb_datum_text(&one->sum.value, space);
    item->number = fb_value_new(FB_KIND_STRING, text.data, text.len);
    one->write.plan = &one->plan;
    return item->number != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

/* The row of one is known, or that there is none: answer it, or note its write. FB_OK, or the whole fails. */
static fb_status decide(struct joint *j, struct one *one, bool exists, const struct fb_datum *row) {
    struct fb_store_item *item = item_of(one);
    const struct fb_mapping *m = &item->binding->mapping;
    const struct fb_plan *plan = item->plan;
    const struct fb_datum none = fb_datum_null();
    fb_err err = {FB_OK, ""};
    fb_status status = FB_OK;
    if (exists && (plan->flags & FB_WANT_OLD))
        status = fb_mysql_render(j->session, item->binding, row, &item->before, &err);
    if (status >= 0 && !fb_group_is_met(m, plan, exists, row))
        status = FB_UNMET;
    one->write = (struct fb_mysql_write){item->binding, plan, exists ? FB_MYSQL_UPDATE : FB_MYSQL_INSERT};
    if (status >= 0 && status != FB_UNMET && plan->op == FB_OP_ADD && !fb_mysql_adds_itself(item->binding, plan))
        status = plan_sum(one, exists ? &row[plan->assigns[0].column] : &none, &err);
    if (status == FB_NOMEM) {
        *j->err = err;
        return status;
    }
    if (status < 0 || status == FB_UNMET) {
        refuse(one, status, &err);
        return FB_OK;
    }
    item->count = fb_group_count_fields(plan, exists, row);
    one->state = WRITTEN;
    if (exists && fb_group_touch(m, row, NULL, one->group, j->err) != FB_OK)
        return FB_NOMEM;
    if (plan->op == FB_OP_DELETE) {
        one->write.verb = exists ? FB_MYSQL_DELETE : FB_MYSQL_NOTHING;
        item->status = exists ? FB_OK : FB_NOTFOUND;
    } else if (plan->op != FB_OP_ADD && fb_group_is_idle(m, plan, exists)) {
        one->write.verb = FB_MYSQL_NOTHING;
    }
    return FB_OK;
}

/* ---- reading the rows of many ---- */

typedef bool wants(const struct one *one);
typedef fb_status take_row(struct joint *j, struct one *one, const struct fb_datum *row);

static bool is_wanted(const struct one *one) { return one->state == WANTED; }
static bool is_missing(const struct one *one) { return one->state == MISSING; }
/* A sum's number is told even when a later write makes its row old. */
static bool is_to_be_shown(const struct one *one) {
    const struct fb_store_item *item = item_of(one);
    bool wants_number = item->plan->op == FB_OP_ADD && item->number == NULL;
    return one->state == WRITTEN && (!item->is_superseded || wants_number);
}

static size_t place_of(const struct joint *j, size_t first, size_t end, const struct fb_datum *row) {
    const struct fb_binding *b = item_of(&j->ones[first])->binding;
    struct fb_datum key[FB_PATTERN_PARAMS_MAX];
    size_t low = first, high = end;
    for (unsigned i = 0; i < b->mapping.pattern.nparams; i++)
        key[i] = row[b->key_columns[i]];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = fb_wanted_compare(&b->mapping, item_of(&j->ones[middle])->plan->key, key);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return j->n;
}

/* One statement for those wanted among first … end−1, all of one binding and at most FB_MYSQL_KEYS_MAX. */
static fb_status read_part(struct joint *j, size_t first, size_t end, size_t nkeys, bool locks, wants *want, take_row *take) {
    const struct fb_binding *b = item_of(&j->ones[first])->binding;
    const struct fb_mapping *m = &b->mapping;
    unsigned nparams = m->pattern.nparams, shape = fb_mysql_shape(nkeys);
    struct fb_datum row[FB_COLUMNS_MAX];
    struct fb_mysql_statement *statement;
    size_t left = (size_t)1 << shape, last = first;
    fb_status status = fb_mysql_params_begin(j->session, left * nparams, j->err);
    for (size_t i = first; i < end && status == FB_OK; i++) {
        if (!want(&j->ones[i]))
            continue;
        last = i;
        left--;
        for (unsigned p = 0; p < nparams; p++)
            fb_mysql_param(j->session, &item_of(&j->ones[i])->plan->key[p]);
    }
    for (; left > 0 && status == FB_OK; left--) /* the rest of the shape */
        for (unsigned p = 0; p < nparams; p++)
            fb_mysql_param(j->session, &item_of(&j->ones[last])->plan->key[p]);
    if (status == FB_OK)
        status = fb_mysql_execute(j->session, locks ? b->try_lock_many[shape] : b->load_many[shape], m, b->types,
                                  m->ncolumns, &statement, j->err);
    if (status != FB_OK)
        return status;
    for (;;) {
        status = fb_mysql_next(j->session, statement, m, row, j->err);
        if (status != FB_OK && status != FB_BADVALUE)
            break;
        size_t i = place_of(j, first, end, row);
        if (i == j->n || !want(&j->ones[i]))
            continue;
        fb_err said = *j->err;
        if (status == FB_OK)
            status = take(j, &j->ones[i], row);
        else if (j->ones[i].state != WRITTEN)
            refuse(&j->ones[i], said.status, &said);
        else if ((status = fb_group_touch(m, NULL, row, j->ones[i].group, j->err)) == FB_OK)
            item_of(&j->ones[i])->after_unknown = true; /* a row that cannot be shown is no reason to take a write back */
        if (status < 0 && status != FB_BADVALUE)
            break;
    }
    fb_mysql_release(statement);
    return status == FB_NOTFOUND ? FB_OK : status;
}

static fb_status read_all(struct joint *j, bool locks, wants *want, take_row *take) {
    fb_status status = FB_OK;
    for (size_t first = 0, end; first < j->n && status == FB_OK; first = end) {
        size_t nkeys = 0;
        const struct fb_binding *b = item_of(&j->ones[first])->binding;
        for (end = first; end < j->n && item_of(&j->ones[end])->binding == b && nkeys < FB_MYSQL_KEYS_MAX; end++)
            nkeys += want(&j->ones[end]);
        if (nkeys > 0)
            status = read_part(j, first, end, nkeys, locks, want, take);
    }
    return status;
}

static fb_status take_locked(struct joint *j, struct one *one, const struct fb_datum *row) {
    return decide(j, one, /* exists */ true, row);
}

/* What can be seen but not be had is locked. */
static fb_status take_seen(struct joint *j, struct one *one, const struct fb_datum *row) {
    (void)j;
    (void)row;
    one->state = LEFT_OUT;
    return FB_OK;
}

static fb_status take_after(struct joint *j, struct one *one, const struct fb_datum *row) {
    struct fb_store_item *item = item_of(one);
    if (fb_group_touch(&item->binding->mapping, NULL, row, one->group, j->err) != FB_OK)
        return FB_NOMEM;
    if (item->plan->op == FB_OP_ADD && item->number == NULL) {
        fb_status status = fb_mysql_take_number(item, row, j->err);
        if (status != FB_OK)
            return status;
    }
    return item->is_superseded ? FB_OK : fb_group_take_after(&fb_mysql_group_ops, j->session, item, true, row, j->err);
}

/* ---- writing ---- */

/* Errors of one statement, which InnoDB has taken back, and only it. Of others nobody can be sure. */
static bool is_of_one(const struct fb_session *session, fb_status status) {
    unsigned number = session->number_failed;
    return !fb_mysql_is_lost(session) && number != DEADLOCK && number != ROW_HAS_CHANGED &&
           (status == FB_CONFLICT || status == FB_BADVALUE || status == FB_NOTANUMBER);
}

/* One write by itself. A key that somebody else has inserted since we looked is to be looked at again. */
static fb_status write_by_itself(struct joint *j, struct one *one) {
    fb_err err = {FB_OK, ""};
    fb_status status = fb_mysql_write_one(j->session, &one->write, &err);
    if (status == FB_OK)
        return FB_OK;
    if (!is_of_one(j->session, status)) {
        *j->err = err;
        return status;
    }
    if (j->session->number_failed == DUPLICATE_KEY && one->write.verb == FB_MYSQL_INSERT)
        one->state = LEFT_OUT;
    else
        refuse(one, status, &err);
    return FB_OK;
}

/* The write of place i and all that are like it. */
static fb_status write_alike(struct joint *j, size_t i) {
    size_t n = 0;
    const struct fb_mysql_write first = j->ones[i].write;
    for (size_t k = i; k < j->n; k++) {
        struct one *one = &j->ones[k];
        if (one->state != WRITTEN || one->write.verb == FB_MYSQL_NOTHING || !fb_mysql_is_alike(&first, &one->write))
            continue;
        j->alike[n++] = &one->write;
    }
    fb_status status = fb_mysql_write_many(j->session, j->alike, n, j->err);
    for (size_t k = i; k < j->n; k++) /* done */
        if (j->ones[k].state == WRITTEN && j->ones[k].write.verb != FB_MYSQL_NOTHING &&
            fb_mysql_is_alike(&first, &j->ones[k].write))
            j->ones[k].write.verb = FB_MYSQL_NOTHING;
    return status;
}

static fb_status write_all(struct joint *j) {
    fb_status status = FB_OK;
    for (size_t i = 0; i < j->n && status == FB_OK; i++)
        if (j->ones[i].state == WRITTEN && j->ones[i].write.verb != FB_MYSQL_NOTHING)
            status = j->is_careful ? write_by_itself(j, &j->ones[i]) : write_alike(j, i);
    return status;
}

/* A row that a trigger has removed again has no number. */
static fb_status check_numbers(struct joint *j) {
    for (size_t i = 0; i < j->n; i++) {
        struct fb_store_item *item = item_of(&j->ones[i]);
        if (j->ones[i].state == WRITTEN && item->plan->op == FB_OP_ADD && item->number == NULL)
            return fb_fail(j->err, FB_CONFLICT, "the statement changed no row");
    }
    return FB_OK;
}

static fb_status run_all(struct joint *j) {
    bool is_any_missing = false;
    fb_status status = read_all(j, /* locks */ true, is_wanted, take_locked);
    for (size_t i = 0; i < j->n && status == FB_OK; i++)
        if (j->ones[i].state == WANTED) {
            j->ones[i].state = MISSING;
            is_any_missing = true;
        }
    if (status == FB_OK && is_any_missing)
        status = read_all(j, /* locks */ false, is_missing, take_seen);
    for (size_t i = 0; i < j->n && status == FB_OK; i++)
        if (j->ones[i].state == MISSING)
            status = decide(j, &j->ones[i], /* exists */ false, /* row = */ NULL);
    if (status == FB_OK)
        status = write_all(j);
    if (status == FB_OK)
        status = read_all(j, /* locks */ false, is_to_be_shown, take_after);
    return status == FB_OK ? check_numbers(j) : status;
}

static enum fb_txn_end store_jointly(struct fb_session *session, struct one *ones, size_t n, bool is_careful,
                                  const struct fb_mysql_write **alike, fb_err *err) {
    struct joint j = {session, ones, n, is_careful, alike, err};
    for (size_t i = 0; i < n; i++) {
        fb_group_forget(ones[i].group);
        ones[i].state = WANTED;
    }
    fb_status status = run_all(&j);
    for (size_t i = 0; i < n && status == FB_OK; i++)
        if (ones[i].state == WRITTEN)
            status = fb_group_prepare(ones[i].group, err);
    return status == FB_OK ? fb_mysql_commit(session, err) : fb_mysql_roll_back(session);
}

/* ---- one group ---- */

static bool is_simple(const struct fb_store_group *group) {
    const struct fb_store_item *item = &group->items[0];
    return group->nitems == 1 && item->binding->is_table && fb_group_item_writes(item);
}

/* Reads and checks hold at the commit only if nobody else's write came in between; so do a keyspace's own statements,
 * which lock nothing. */
static bool is_strict(const struct fb_store_group *group) {
    for (size_t i = 0; i < group->nitems; i++)
        if (!fb_group_item_writes(&group->items[i]) || !group->items[i].binding->is_table)
            return true;
    return false;
}

static enum fb_txn_end store_group(struct fb_session *session, struct fb_store_group *group, fb_err *err) {
    fb_status status = FB_OK;
    fb_group_forget(group);
    if (is_strict(group)) /* of the next transaction only */
        status = fb_mysql_command(session, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", err);
    if (status == FB_OK)
        status = fb_group_write(&fb_mysql_group_ops, session, group, err);
    if (status == FB_OK)
        return fb_mysql_commit(session, err);
    if (status == FB_UNMET)
        *err = (fb_err){FB_UNMET, ""};
    return fb_mysql_roll_back(session);
}

static bool is_worth_retrying(const struct fb_session *session, const fb_err *err, unsigned tries) {
    unsigned number = session->number_failed;
    if (err->status != FB_CONFLICT)
        return false;
    return number == DEADLOCK || number == ROW_HAS_CHANGED || (number == DUPLICATE_KEY && tries == 0);
}

static fb_status reconnect(struct fb_session *session, fb_err *err) {
    if (fb_reached(fb_clock_now(), session->deadline))
        return fb_fail(err, FB_TIMEOUT, "no time left after %lld ms", (long long)session->timeout_ms);
    return fb_mysql_reconnect(session, err);
}

static void store_alone(struct fb_session *session, struct fb_store_group *group) {
    fb_err err = {FB_OK, ""};
    for (unsigned tries = 0; tries < ALONE_TRIES; tries++) {
        bool was_fresh = session->is_fresh;
        if (reconnect(session, &err) != FB_OK)
            break;
        err = (fb_err){FB_OK, ""};
        session->number_failed = 0;
        enum fb_txn_end outcome = store_group(session, group, &err);
        if (outcome == FB_TXN_DONE)
            return;
        /* A connection that died while nobody used it is found out by the first who does. */
        bool was_stale = outcome == FB_TXN_LOST && !was_fresh && err.status == FB_DOWN;
        if (outcome == FB_TXN_UNKNOWN || err.status == FB_UNMET ||
            (!was_stale && !is_worth_retrying(session, &err, tries)))
            break;
    }
    size_t decided_by = group->decided_by;
    fb_group_refuse(group, err.status, &err);
    group->decided_by = group->nitems == 1 ? 0 : decided_by;
}

/* ---- all groups of a call ---- */

struct call {
    struct one *ones;
    const struct fb_mysql_write **alike;
    struct fb_store_group **alone; /* to be done one by one */
    size_t nalone;
};

/* Those that share a transaction, in order; of a row that is written twice the first. */
static size_t choose(struct call *call, struct fb_store_group *const *groups, size_t n) {
    size_t nones = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_simple(groups[i]))
            call->ones[nones++] = (struct one){.group = groups[i]};
        else
            call->alone[call->nalone++] = groups[i];
    }
    if (nones > 0)
        qsort(call->ones, nones, sizeof *call->ones, by_binding_and_key);
    for (size_t i = 0; i < nones; i++) {
        if (kept > 0 && by_binding_and_key(&call->ones[kept - 1], &call->ones[i]) == 0)
            call->alone[call->nalone++] = call->ones[i].group;
        else
            call->ones[kept++] = call->ones[i];
    }
    return kept;
}

static void store_many(struct fb_session *session, struct call *call, size_t n) {
    fb_err err = {FB_OK, ""};
    fb_instant now = fb_clock_now(), due = session->deadline;
    enum fb_txn_end outcome = FB_TXN_FAILED;
    /* Half of the time, so that one statement that takes for ever leaves the others theirs. */
    session->deadline = fb_after(now, (fb_span){fb_since(due, now).ns / 2});
    for (unsigned tries = 0; tries < JOINT_TRIES && n > 1; tries++) {
        bool was_fresh = session->is_fresh;
        if (reconnect(session, &err) != FB_OK)
            break;
        outcome = store_jointly(session, call->ones, n, /* is_careful */ tries > 0, call->alike, &err);
        if (outcome == FB_TXN_DONE || outcome == FB_TXN_UNKNOWN || (outcome == FB_TXN_LOST && was_fresh))
            break;
    }
    session->deadline = due;
    bool is_over = n > 1 && (outcome == FB_TXN_DONE || outcome == FB_TXN_UNKNOWN);
    for (size_t i = 0; i < n; i++) {
        struct one *one = &call->ones[i];
        if (!is_over || one->state == LEFT_OUT)
            call->alone[call->nalone++] = one->group;
        else if (outcome == FB_TXN_UNKNOWN && one->state == WRITTEN)
            refuse(one, FB_UNKNOWN, &err);
    }
}

static fb_status store_all(struct fb_session *session, struct call *call, struct fb_store_group *const *groups, size_t n,
                           fb_err *err) {
    bool has_memory = call->ones != NULL && call->alone != NULL && call->alike != NULL;
    fb_status status = has_memory ? fb_mysql_begin_call(session, err) : fb_fail(err, FB_NOMEM, "out of memory");
    if (status != FB_OK)
        return status;
    store_many(session, call, choose(call, groups, n));
    for (size_t i = 0; i < call->nalone; i++)
        store_alone(session, call->alone[i]);
    return FB_OK;
}

void fb_mysql_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err = {FB_OK, ""};
    struct call call = {.ones = fb_mem_calloc(n, sizeof *call.ones), .alike = fb_mem_calloc(n, sizeof *call.alike),
                        .alone = fb_mem_calloc(n, sizeof *call.alone)};
    for (size_t i = 0; i < n; i++)
        fb_group_clear(groups[i]);
    if (store_all(session, &call, groups, n, &err) != FB_OK)
        for (size_t i = 0; i < n; i++)
            fb_group_refuse(groups[i], err.status, &err);
    fb_mem_free(call.ones);
    fb_mem_free(call.alike);
    fb_mem_free(call.alone);
}
