/* Storing rows in PostgreSQL: each group in a transaction, and many groups of one row each in one.
 *
 * Groups of one row share three round trips, whatever their number: BEGIN and the rows, locked; the writes and the rows
 * again, after triggers; COMMIT. Rows that somebody else has locked are left out (SKIP LOCKED) and done afterwards, one
 * by one, so that one lock holds up nobody else's write. When an item fails, the transaction is rolled back, that item
 * is done alone, and the others try again together.
 *
 * Groups of several items go row by row. Those that also read or check are SERIALIZABLE: their answers hold at the
 * moment of the commit, against writers that do not go through us as well.
 *
 * Until COMMIT is sent a lost connection means "not applied": the server rolls back what nobody commits. From then on it
 * means FB_UNKNOWN, unless the server says itself that it did not commit and goes on. */
#include "source/pg.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

enum {
    JOINT_TRIES = 4, /* of many groups together, each without one that failed; then singly */
    ALONE_TRIES = 3, /* of one group whose transaction met another (a key inserted at the same time, a deadlock) */
};

/* ---- transactions ---- */

static const char begin_plain[] = "BEGIN ISOLATION LEVEL READ COMMITTED";
static const char begin_strict[] = "BEGIN ISOLATION LEVEL SERIALIZABLE";

enum fb_txn_end fb_pg_roll_back(struct fb_session *session) {
    PGresult *result = NULL;
    fb_err own;
    if (!fb_pg_is_lost(session) && fb_pg_run(session, "ROLLBACK", NULL, &result, &own) == FB_OK) {
        PQclear(result);
        return FB_TXN_FAILED;
    }
    PQclear(result);
    fb_pg_hang_up(session);
    return FB_TXN_LOST;
}

enum fb_txn_end fb_pg_commit(struct fb_session *session, fb_err *err) {
    PGresult *result = NULL;
    fb_status status = fb_pg_run(session, "COMMIT", NULL, &result, err);
    /* COMMIT of a transaction that has failed says ROLLBACK. */
    bool is_committed = status == FB_OK && strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    if (is_committed)
        return FB_TXN_DONE;
    if (status == FB_OK)
        (void)fb_fail(err, FB_SOURCE, "the transaction was rolled back");
    /* An error with which the server goes on (a deferred constraint) has aborted the transaction. One with which it
     * closes the connection has not said what became of it. */
    if (!fb_pg_is_lost(session) && PQtransactionStatus(session->db) == PQTRANS_IDLE)
        return FB_TXN_FAILED;
    fb_pg_hang_up(session);
    fb_err_prefix(err, "COMMIT: ");
    err->status = FB_UNKNOWN;
    return FB_TXN_UNKNOWN;
}

/* Transactions that may simply be tried again. They met another one (23505 is another's insert of the same key since we
 * looked; if it is a different constraint the second try says so), or the table has changed since a statement was
 * prepared (0A000), which is prepared anew then. */
static bool is_worth_retrying(const fb_err *err) {
    static const char *const states[] = {"23505 ", "40001 ", "40P01 ", "0A000 ", "26000 "};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strncmp(err->text, states[i], strlen(states[i])) == 0)
            return true;
    return false;
}

/* ---- many groups of one row each ---- */

enum state { WANTED, MISSING, WRITTEN, ANSWERED, LEFT_OUT };

struct one {
    struct fb_store_group *group;
    enum state state;
};

enum kind { BEGIN, FIND, LOOK, WRITE, AGAIN };

struct sent {
    size_t one;
    enum kind kind;
    struct fb_pg_sent sent;
};

struct joint {
    struct fb_session *session;
    struct one *ones;
    size_t n;
    struct sent *queue; /* of the round trip under way, then of the next one */
    size_t nsent, nnext;
    bool has_failed;
    size_t culprit;     /* the one that failed; n: none in particular */
    fb_err *err;
};

static struct fb_store_item *item_of(const struct one *one) { return &one->group->items[0]; }

static void fail(struct joint *j, size_t culprit, const fb_err *err) {
    if (j->has_failed)
        return;
    j->has_failed = true;
    j->culprit = culprit;
    *j->err = *err;
}

/* Queue a statement of this kind for the next round trip. What cannot be written for reasons of its own (no number to
 * add to) is refused here, and the others go on. */
static void ask(struct joint *j, size_t i, enum kind kind, enum fb_pg_find how, bool exists, struct fb_datum *row) {
    struct fb_store_item *item = i < j->n ? item_of(&j->ones[i]) : NULL;
    struct sent *sent = &j->queue[j->nsent + j->nnext];
    fb_err err = {FB_OK, ""};
    *sent = (struct sent){.one = i, .kind = kind};
    if (kind == BEGIN)
        (void)(fb_pg_send(j->session, begin_plain, NULL, &sent->sent) || fb_pg_fail(j->session, NULL, &err));
    else if (kind == WRITE)
        (void)fb_pg_send_write(j->session, item, exists, row, &sent->sent, &err);
    else
        (void)fb_pg_send_find(j->session, item, how, &sent->sent, &err);
    if (err.status == FB_OK) {
        j->nnext++;
    } else if (err.status != FB_DOWN && kind == WRITE) {
        fb_group_refuse(j->ones[i].group, err.status, &err);
        j->ones[i].group->decided_by = 0;
        j->ones[i].state = ANSWERED;
    } else {
        fail(j, i, &err);
        fb_pg_hang_up(j->session); /* a part of it may be under way */
    }
}

/* The row of one is known, or that there is none: answer it, or send its write. */
static void decide(struct joint *j, size_t i, bool exists, struct fb_datum *row) {
    struct one *one = &j->ones[i];
    struct fb_store_item *item = item_of(one);
    const struct fb_mapping *m = &item->binding->mapping;
    const struct fb_plan *plan = item->plan;
    fb_err err = {FB_OK, ""};
    one->state = ANSWERED;
    if (exists && (plan->flags & FB_WANT_OLD) && fb_pg_render(j->session, item->binding, row, &item->before, &err) < 0) {
        fail(j, i, &err);
        return;
    }
    if (!fb_group_is_met(m, plan, exists, row)) {
        fb_group_refuse(one->group, FB_UNMET, &err);
        one->group->decided_by = 0;
        return;
    }
    item->count = fb_group_count_fields(plan, exists, row);
    if (plan->op == FB_OP_DELETE && !exists)
        item->status = FB_NOTFOUND;
    one->state = WRITTEN;
    if (exists && fb_group_touch(m, row, NULL, one->group, &err) != FB_OK) {
        fail(j, i, &err);
        return;
    }
    if (plan->op == FB_OP_DELETE ? exists : plan->op == FB_OP_ADD || !fb_group_is_idle(m, plan, exists))
        ask(j, i, WRITE, FB_PG_READ, exists, row);
}

static void take(struct joint *j, const struct sent *sent) {
    struct fb_datum row[FB_COLUMNS_MAX];
    struct one *one = sent->one < j->n ? &j->ones[sent->one] : NULL;
    struct fb_store_item *item = one != NULL ? item_of(one) : NULL;
    PGresult *result = NULL;
    fb_err err = {FB_OK, ""};
    fb_status status;
    if (j->has_failed || sent->kind == BEGIN) {
        status = fb_pg_receive(j->session, &sent->sent, &result, &err);
        PQclear(result);
    } else if (sent->kind == WRITE) {
        status = fb_pg_take_write(j->session, item, &sent->sent, &err);
    } else {
        status = fb_pg_take_find(j->session, item, &sent->sent, row, &err);
    }
    if (status < 0)
        fail(j, sent->one, &err);
    if (j->has_failed)
        return;
    switch (sent->kind) {
    case FIND:
        if (status == FB_OK)
            decide(j, sent->one, true, row);
        else
            one->state = MISSING;
        break;
    case LOOK: /* what can be seen but not be had is locked */
        if (status == FB_OK)
            one->state = LEFT_OUT;
        else
            decide(j, sent->one, false, row);
        break;
    case AGAIN:
        if (status == FB_OK &&
            fb_group_touch(&item->binding->mapping, NULL, row, one->group, &err) != FB_OK)
            fail(j, sent->one, &err);
        else if (fb_group_take_after(&fb_pg_group_ops, j->session, item, status == FB_OK, row, &err) != FB_OK)
            fail(j, sent->one, &err);
        break;
    default:
        break;
    }
}

/* Send what is queued and take the answers; what they lead to is queued for the next round trip. False when the
 * transaction has failed; every answer has been taken then, too. */
static bool round_trip(struct joint *j) {
    fb_err err = {FB_OK, ""};
    j->nsent = j->nnext;
    j->nnext = 0;
    if (!fb_pg_sync(j->session)) {
        (void)fb_pg_fail(j->session, NULL, &err);
        fail(j, j->n, &err);
        fb_pg_hang_up(j->session);
        return false;
    }
    for (size_t i = 0; i < j->nsent && j->session->db != NULL; i++)
        take(j, &j->queue[i]);
    if (j->session->db != NULL && fb_pg_receive_sync(j->session, &err) != FB_OK)
        fail(j, j->n, &err);
    memmove(j->queue, j->queue + j->nsent, j->nnext * sizeof *j->queue);
    j->nsent = 0;
    return !j->has_failed;
}

/* `waits`: for rows that others have locked. */
static bool write_all(struct joint *j, bool waits) {
    ask(j, j->n, BEGIN, FB_PG_READ, false, NULL);
    for (size_t i = 0; i < j->n && !j->has_failed; i++)
        ask(j, i, FIND, waits ? FB_PG_LOCK : FB_PG_TRY_LOCK, false, NULL);
    if (!round_trip(j))
        return false;
    size_t missing = 0;
    for (size_t i = 0; i < j->n && !j->has_failed; i++)
        if (j->ones[i].state == MISSING && waits)
            decide(j, i, /* exists */ false, /* row = */ NULL);
        else if (j->ones[i].state == MISSING && ++missing > 0)
            ask(j, i, LOOK, FB_PG_READ, false, NULL);
    if (missing > 0 && !round_trip(j))
        return false;
    for (size_t i = 0; i < j->n && !j->has_failed; i++)
        if (j->ones[i].state == WRITTEN && !item_of(&j->ones[i])->is_superseded)
            ask(j, i, AGAIN, FB_PG_READ, false, NULL);
    if (!round_trip(j))
        return false;
    fb_err err = {FB_OK, ""};
    for (size_t i = 0; i < j->n && !j->has_failed; i++)
        if (j->ones[i].state == WRITTEN && fb_group_prepare(j->ones[i].group, &err) != FB_OK)
            fail(j, i, &err);
    return !j->has_failed;
}

static enum fb_txn_end store_jointly(struct fb_session *session, struct one *ones, size_t n, bool waits,
                                  size_t *ret_culprit, fb_err *err) {
    struct joint j = {.session = session, .ones = ones, .n = n, .culprit = n, .err = err};
    j.queue = fb_mem_calloc(3 * n + 2, sizeof *j.queue);
    *ret_culprit = n;
    if (j.queue == NULL) {
        (void)fb_fail(err, FB_NOMEM, "out of memory");
        return FB_TXN_FAILED;
    }
    for (size_t i = 0; i < n; i++) {
        fb_group_forget(ones[i].group);
        ones[i].state = WANTED;
    }
    bool is_written = write_all(&j, waits);
    if (!is_written && j.nnext > 0 && session->db != NULL)
        (void)round_trip(&j); /* what was queued before it failed wants its answers taken */
    *ret_culprit = j.culprit;
    fb_mem_free(j.queue);
    return is_written ? fb_pg_commit(session, err) : fb_pg_roll_back(session);
}

/* ---- one group ---- */

static bool is_simple(const struct fb_store_group *group) {
    const struct fb_store_item *item = &group->items[0];
    return group->nitems == 1 && item->binding->is_table && fb_group_item_writes(item);
}

/* Reads and checks hold at the commit only if nobody else's write came in between; so do a keyspace's own statements,
 * which lock nothing. */
static const char *begin_of(const struct fb_store_group *group) {
    for (size_t i = 0; i < group->nitems; i++)
        if (!fb_group_item_writes(&group->items[i]) || !group->items[i].binding->is_table)
            return begin_strict;
    return begin_plain;
}

static enum fb_txn_end store_group(struct fb_session *session, struct fb_store_group *group, fb_err *err) {
    PGresult *result = NULL;
    fb_group_forget(group);
    fb_status status = fb_pg_run(session, begin_of(group), NULL, &result, err);
    PQclear(result);
    if (status == FB_OK)
        status = fb_group_write(&fb_pg_group_ops, session, group, err);
    if (status == FB_OK)
        return fb_pg_commit(session, err);
    if (status == FB_UNMET)
        *err = (fb_err){FB_UNMET, ""};
    return fb_pg_roll_back(session);
}

static void store_alone(struct fb_session *session, struct fb_store_group *group) {
    struct one one = {group, WANTED};
    fb_err err = {FB_OK, ""};
    enum fb_txn_end outcome = FB_TXN_LOST;
    for (unsigned tries = 0; tries < ALONE_TRIES; tries++) {
        size_t culprit = 0;
        if (fb_reached(fb_clock_now(), session->deadline)) {
            (void)fb_fail(&err, FB_TIMEOUT, "no time left after %lld ms", (long long)session->timeout_ms);
            break;
        }
        bool was_fresh = session->is_fresh;
        if (fb_pg_reconnect(session, &err) != FB_OK)
            break;
        err = (fb_err){FB_OK, ""};
        outcome = is_simple(group) ? store_jointly(session, &one, 1, /* waits */ true, &culprit, &err)
                                   : store_group(session, group, &err);
        if (outcome == FB_TXN_DONE)
            return;
        /* A connection that died while nobody used it is found out by the first who does. */
        bool was_stale = outcome == FB_TXN_LOST && !was_fresh && err.status == FB_DOWN;
        if (outcome == FB_TXN_UNKNOWN || err.status == FB_UNMET || (!was_stale && !is_worth_retrying(&err)))
            break;
    }
    size_t decided_by = group->decided_by;
    fb_group_refuse(group, err.status, &err);
    group->decided_by = is_simple(group) ? 0 : decided_by;
}

/* ---- all groups of a call ---- */

/* Take out of ones[0 .. n) those that are to be done alone. */
static size_t set_aside(struct one *ones, size_t n, size_t culprit, struct fb_store_group **alone, size_t *nalone) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == culprit)
            alone[(*nalone)++] = ones[i].group;
        else
            ones[kept++] = ones[i];
    }
    return kept;
}

static size_t store_many(struct fb_session *session, struct one *ones, size_t n, struct fb_store_group **alone) {
    size_t nalone = 0;
    fb_err err = {FB_OK, ""};
    fb_instant now = fb_clock_now(), due = session->deadline;
    /* Half of the time, so that one statement that takes for ever leaves the others theirs. */
    session->deadline = fb_after(now, (fb_span){fb_since(due, now).ns / 2});
    for (unsigned tries = 0; tries < JOINT_TRIES && n > 1; tries++) {
        size_t culprit = n;
        bool was_fresh = session->is_fresh;
        if (fb_pg_reconnect(session, &err) != FB_OK)
            break;
        enum fb_txn_end outcome = store_jointly(session, ones, n, /* waits */ false, &culprit, &err);
        for (size_t i = 0; i < n && (outcome == FB_TXN_DONE || outcome == FB_TXN_UNKNOWN); i++) {
            if (ones[i].state == LEFT_OUT)
                alone[nalone++] = ones[i].group;
            else if (outcome == FB_TXN_UNKNOWN && ones[i].state == WRITTEN)
                fb_group_refuse(ones[i].group, FB_UNKNOWN, &err);
        }
        if (outcome == FB_TXN_DONE || outcome == FB_TXN_UNKNOWN) {
            n = 0;
        } else if (culprit < n) {
            n = set_aside(ones, n, culprit, alone, &nalone);
        } else if (outcome != FB_TXN_LOST || was_fresh) {
            break;
        }
    }
    session->deadline = due;
    for (size_t i = 0; i < n; i++)
        alone[nalone++] = ones[i].group;
    return nalone;
}

void fb_pg_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err = {FB_OK, ""};
    struct one *ones = fb_mem_calloc(n, sizeof *ones);
    struct fb_store_group **alone = fb_mem_calloc(n, sizeof *alone);
    size_t nones = 0, nalone = 0;
    for (size_t i = 0; i < n; i++)
        fb_group_clear(groups[i]);
    fb_status status = ones != NULL && alone != NULL ? fb_pg_begin_call(session, &err)
                                                     : fb_fail(&err, FB_NOMEM, "out of memory");
    for (size_t i = 0; i < n && status == FB_OK; i++)
        if (is_simple(groups[i]))
            ones[nones++].group = groups[i];
    if (status == FB_OK)
        nalone = store_many(session, ones, nones, alone);
    for (size_t i = 0; i < nalone; i++)
        store_alone(session, alone[i]);
    for (size_t i = 0; i < n; i++) {
        if (status != FB_OK)
            fb_group_refuse(groups[i], status, &err);
        else if (!is_simple(groups[i]))
            store_alone(session, groups[i]);
    }
    PQclear(session->held);
    session->held = NULL;
    fb_mem_free(ones);
    fb_mem_free(alone);
}
