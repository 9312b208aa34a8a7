/* Write-behind at SQLite: a prepared statement per row, in one transaction (measured: a statement of many rows gains
 * nothing where there is no round trip).
 *
 * A row is updated, and made when there was none to update. Sums are made here, since SQLite's own would turn into
 * doubles beyond 64 bits, and nobody can change the row meanwhile. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "source/flush_db.h"
#include "source/sqlite.h"

/* AUTOINCREMENT: an id of a letter that was removed does not come back. */
static const char *const schema[] = {
    "CREATE TABLE IF NOT EXISTS fb_partition (part TEXT PRIMARY KEY, epoch INTEGER NOT NULL, "
    "applied_seq INTEGER NOT NULL, state TEXT NOT NULL, owner TEXT, addr TEXT, journal TEXT)",
    "CREATE TABLE IF NOT EXISTS fb_dead (id INTEGER PRIMARY KEY AUTOINCREMENT, part TEXT NOT NULL, "
    "seq INTEGER NOT NULL, keyspace TEXT NOT NULL, key_name BLOB NOT NULL, record BLOB NOT NULL, code TEXT, "
    "message TEXT, died_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), attempts INTEGER NOT NULL DEFAULT 0)",
    NULL,
};

/* ---- transactions ---- */

static bool is_table(const struct fb_binding *binding) { return binding->is_table; }

static fb_status reconnect(struct fb_session *session, fb_err *err) {
    if (atomic_load(&session->is_cancelled))
        return fb_fail(err, FB_TIMEOUT, "given up");
    return session->db != NULL ? FB_OK : fb_fail(err, FB_DOWN, "the database is not open");
}

static void more_time(struct fb_session *session) {
    session->deadline = fb_after(fb_clock_now(), session->driver->write_timeout);
}

static bool may_be_stale(const struct fb_session *session) {
    (void)session;
    return false;
}

static enum fb_txn_end roll_back(struct fb_session *session) {
    if (session->db == NULL)
        return FB_TXN_LOST;
    fb_sqlite_roll_back(session);
    return FB_TXN_FAILED;
}

/* Deferred foreign keys, before COMMIT would find them. */
static fb_status settle(struct fb_session *session, fb_err *err) {
    int violations = 0, high;
    int rc = sqlite3_db_status(session->db, SQLITE_DBSTATUS_DEFERRED_FKS, &violations, &high, 0);
    if (rc != SQLITE_OK || violations == 0)
        return FB_OK;
    session->failed = SQLITE_CONSTRAINT_FOREIGNKEY;
    return fb_fail(err, FB_CONFLICT, "FOREIGN KEY constraint failed");
}

/* ---- statements of ours ---- */

static fb_status run(struct fb_session *session, const struct fb_flush_sql *sql, const struct fb_datum *params,
                     unsigned nparams, fb_flush_take *take, void *user, uint64_t *ret_changed, fb_err *err) {
    fb_bytes cells[FB_FLUSH_CELLS_MAX];
    sqlite3_stmt *stmt;
    int rc = fb_sqlite_statement(session, sql->text, &stmt);
    if (rc != SQLITE_OK)
        return fb_sqlite_fail(session, rc, err);
    for (unsigned i = 0; i < nparams && rc == SQLITE_OK; i++)
        rc = fb_sqlite_bind(stmt, (int)i + 1, &params[i]);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
        for (int i = 0; rc == SQLITE_ROW && sql->columns != NULL && sql->columns[i] != '\0'; i++) {
            const void *data = sqlite3_column_blob(stmt, i); /* of a number its text */
            cells[i] = fb_bytes_of(data, (size_t)sqlite3_column_bytes(stmt, i));
        }
        if (rc == SQLITE_ROW && take != NULL)
            take(user, cells);
    }
    fb_status status = rc == SQLITE_DONE ? FB_OK : fb_sqlite_fail(session, rc, err);
    *ret_changed = status == FB_OK ? (uint64_t)sqlite3_changes64(session->db) : 0;
    fb_sqlite_release(stmt);
    return status;
}

/* ---- rows ---- */

/* Execute with what is bound; *ret_changed: rows of the table itself. */
static fb_status execute(struct fb_session *session, sqlite3_stmt *stmt, int rc, bool *ret_changed, fb_err *err) {
    while (rc == SQLITE_OK || rc == SQLITE_ROW)
        rc = sqlite3_step(stmt);
    fb_status status = rc == SQLITE_DONE ? FB_OK : fb_sqlite_fail(session, rc, err);
    *ret_changed = status == FB_OK && sqlite3_changes64(session->db) > 0;
    sqlite3_reset(stmt);
    return status;
}

static int bind_key(sqlite3_stmt *stmt, const struct fb_flush_item *item, unsigned first) {
    int rc = SQLITE_OK;
    for (unsigned i = 0; i < item->binding->mapping.pattern.nparams && rc == SQLITE_OK; i++)
        rc = fb_sqlite_bind(stmt, (int)(first + i) + 1, &item->plan->key[i]);
    return rc;
}

static int bind_values(sqlite3_stmt *stmt, const struct fb_flush_item *item, unsigned first) {
    int rc = SQLITE_OK;
    for (unsigned i = 0; i < item->plan->nassigns && rc == SQLITE_OK; i++)
        rc = fb_sqlite_bind(stmt, (int)(first + i) + 1, &item->plan->assigns[i].value);
    return rc;
}

static fb_status remove_rows(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                             fb_err *err) {
    const struct fb_sql *del = &items[0]->binding->del;
    sqlite3_stmt *stmt;
    bool has_changed;
    int rc = fb_sqlite_statement(session, del->text, &stmt);
    fb_status status = rc == SQLITE_OK ? FB_OK : fb_sqlite_fail(session, rc, err);
    for (size_t i = 0; i < n && status == FB_OK; i++) {
        rc = SQLITE_OK;
        for (unsigned k = 0; k < del->nargs && rc == SQLITE_OK; k++)
            rc = fb_sqlite_bind(stmt, (int)k + 1, &items[i]->plan->key[del->args[k].index]);
        status = execute(session, stmt, rc, &has_changed, err);
    }
    if (rc == SQLITE_OK || status == FB_OK)
        fb_sqlite_release(stmt);
    return status;
}

struct statements {
    sqlite3_stmt *update, *insert;
};

/* NULL where there is nothing to say: no column to change, no row to make. */
static fb_status prepare(struct fb_session *session, const struct fb_flush_item *item, struct statements *ret,
                         fb_err *err) {
    int rc = SQLITE_OK;
    *ret = (struct statements){NULL, NULL};
    session->text.len = 0;
    bool has_update = !fb_group_is_idle(&item->binding->mapping, item->plan, /* exists */ true);
    if (has_update && fb_sqlite_update_text(item->binding, item->plan, &session->text) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    if (has_update)
        rc = fb_sqlite_statement(session, session->text.data, &ret->update);
    session->text.len = 0;
    if (rc == SQLITE_OK && fb_flush_makes_row(item->plan)) {
        if (fb_sqlite_insert_text(item->binding, item->plan, &session->text) != FB_OK)
            return fb_fail(err, FB_NOMEM, "out of memory");
        rc = fb_sqlite_statement(session, session->text.data, &ret->insert);
    }
    return rc == SQLITE_OK ? FB_OK : fb_sqlite_fail(session, rc, err);
}

static fb_status exists(struct fb_session *session, const struct fb_flush_item *item, bool *ret_exists, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    sqlite3_stmt *stmt;
    fb_status status = fb_sqlite_find_row(session, item->binding, item->plan->key, row, &stmt, err);
    *ret_exists = status == FB_OK;
    if (status == FB_OK)
        fb_sqlite_release(stmt);
    return status < 0 ? status : FB_OK;
}

static fb_status write_row(struct fb_session *session, const struct statements *s, const struct fb_flush_item *item,
                           fb_err *err) {
    unsigned nkeys = item->binding->mapping.pattern.nparams;
    bool is_there = false;
    fb_status status = FB_OK;
    if (s->update != NULL) {
        int rc = bind_values(s->update, item, 0);
        if (rc == SQLITE_OK)
            rc = bind_key(s->update, item, item->plan->nassigns);
        status = execute(session, s->update, rc, &is_there, err);
    } else {
        status = exists(session, item, &is_there, err);
    }
    if (status != FB_OK || is_there || s->insert == NULL)
        return status;
    int rc = bind_key(s->insert, item, 0);
    if (rc == SQLITE_OK)
        rc = bind_values(s->insert, item, nkeys);
    bool has_changed;
    status = execute(session, s->insert, rc, &has_changed, err);
    if (status != FB_OK || has_changed)
        return status;
    session->failed = SQLITE_CONSTRAINT_TRIGGER;
    return fb_fail(err, FB_CONFLICT, "the statement changed no row");
}

static const struct fb_flush_db db;

static fb_status write_rows(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                            fb_err *err) {
    fb_status status = FB_OK;
    if (fb_flush_has_addend(items[0]->plan)) {
        for (size_t i = 0; i < n && status == FB_OK; i++)
            status = fb_flush_one(&db, session, items[i], err);
        return status;
    }
    struct statements s;
    status = prepare(session, items[0], &s, err);
    for (size_t i = 0; i < n && status == FB_OK; i++)
        status = write_row(session, &s, items[i], err);
    if (s.update != NULL)
        fb_sqlite_release(s.update);
    if (s.insert != NULL)
        fb_sqlite_release(s.insert);
    return status;
}

/* ---- what has failed ---- */

/* A statement that was fine until somebody altered the table. */
static bool is_about_schema(const char *text) {
    static const char *const parts[] = {"no such ", "has no column named", "columns but ", "cannot modify "};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(text, parts[i]) != NULL)
            return true;
    return false;
}

static enum fb_flush_outcome classify(const struct fb_session *session, const fb_err *err,
                                      char code[FB_FLUSH_CODE_MAX]) {
    int rc = session->failed;
    snprintf(code, FB_FLUSH_CODE_MAX, "%d", rc);
    if (err->status != FB_SOURCE)
        return fb_flush_class_of(err->status);
    switch (rc & 0xff) {
    case SQLITE_ERROR: /* found by a statement that runs: a trigger, an expression of a generated column */
        return is_about_schema(err->text) ? FB_FLUSH_SCHEMA : FB_FLUSH_DATA;
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
        return FB_FLUSH_DATA;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return FB_FLUSH_PERMISSION;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL:
    case SQLITE_SCHEMA:
    case SQLITE_ABORT:
        return FB_FLUSH_TRANSIENT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return FB_FLUSH_SCHEMA;
    default:
        return fb_flush_class_of(err->status);
    }
}

static bool is_outdated(const struct fb_session *session, const fb_err *err) {
    (void)session;
    (void)err;
    return false; /* SQLite prepares anew by itself */
}

static const struct fb_flush_db db = {
    .schema = schema,
    .shown_at = "died_at",
    .rows = &fb_sqlite_group_ops,
    .is_table = is_table,
    .begin_call = fb_sqlite_begin_call,
    .reconnect = reconnect,
    .more_time = more_time,
    .may_be_stale = may_be_stale,
    .begin = fb_sqlite_begin,
    .commit = fb_sqlite_commit,
    .roll_back = roll_back,
    .settle = settle,
    .run = run,
    .remove = remove_rows,
    .write = write_rows,
    .classify = classify,
    .is_outdated = is_outdated,
};

FB_FLUSH_OPS(fb_flush_sqlite, db, schema);
