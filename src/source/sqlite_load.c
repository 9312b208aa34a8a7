/* Loading rows from SQLite, and listing their keys.
 *
 * All items of a call are read in one read transaction, each by its own execution of the binding's prepared statement.
 * SQLite runs inside this process, so a "round trip" is a function call, and what costs is the transaction. Measured
 * on 100,000 rows of 8 columns, two shared cores, 2026-11-23, µs per key in calls of 100 keys: one execution per key
 * 1.40, WHERE id IN (?, …) 1.11, a join with json_each 1.15, one transaction per key 3.74. The quarter that is left
 * is the price for an answer of its own for each key, with exact types and nothing to match back. */
#include "source/sqlite.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/value.h"
#include "rows/list.h"
#include "source/group.h"

/* FB_NOMEM when SQLite had no memory to convert a text. */
static fb_status read_datum(sqlite3_stmt *stmt, int i, struct fb_datum *out) {
    const void *data;
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        *out = fb_datum_int(sqlite3_column_int64(stmt, i));
        return FB_OK;
    case SQLITE_FLOAT:
        *out = fb_datum_real(sqlite3_column_double(stmt, i));
        return FB_OK;
    case SQLITE_TEXT:
        data = sqlite3_column_text(stmt, i);
        *out = fb_datum_bytes(FB_DATUM_TEXT, fb_bytes_of(data, (size_t)sqlite3_column_bytes(stmt, i)));
        return data != NULL ? FB_OK : FB_NOMEM;
    case SQLITE_BLOB:
        data = sqlite3_column_blob(stmt, i); /* NULL for an empty one */
        *out = fb_datum_bytes(FB_DATUM_BLOB, fb_bytes_of(data, (size_t)sqlite3_column_bytes(stmt, i)));
        return data != NULL || out->bytes.len == 0 ? FB_OK : FB_NOMEM;
    default:
        *out = fb_datum_null();
        return FB_OK;
    }
}

static fb_status read_row(sqlite3_stmt *stmt, unsigned ncolumns, struct fb_datum *row) {
    fb_status status = FB_OK;
    for (unsigned i = 0; i < ncolumns && status == FB_OK; i++)
        status = read_datum(stmt, (int)i, &row[i]);
    return status;
}

/* The load statement with a key's values: FB_OK, to be stepped and released. */
static fb_status start(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                       sqlite3_stmt **ret_stmt, fb_err *err) {
    int rc = fb_sqlite_statement(session, binding->load.text, ret_stmt);
    if (rc != SQLITE_OK)
        return fb_sqlite_fail(session, rc, err);
    for (unsigned i = 0; i < binding->load.nargs && rc == SQLITE_OK; i++)
        rc = fb_sqlite_bind(*ret_stmt, (int)i + 1, &key[binding->load.args[i].index]);
    if (rc == SQLITE_OK)
        return FB_OK;
    fb_sqlite_release(*ret_stmt);
    return fb_sqlite_fail(session, rc, err);
}

/* The next row that is this key's. FB_NOTFOUND: there are no more. */
static fb_status next_row(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                          sqlite3_stmt *stmt, struct fb_datum *row, fb_err *err) {
    const struct fb_mapping *m = &binding->mapping;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE)
        return FB_NOTFOUND;
    if (rc != SQLITE_ROW)
        return fb_sqlite_fail(session, rc, err);
    if (sqlite3_column_count(stmt) != (int)m->ncolumns)
        return fb_mapping_fail(m, err, FB_SOURCE, "the columns have changed since the keyspace was added");
    if (read_row(stmt, m->ncolumns, row) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    return fb_mapping_row_is_key(m, row, key) ? FB_OK : FB_MISS; /* alike in SQLite's eyes only: another key's */
}

fb_status fb_sqlite_find_row(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                             struct fb_datum ret_row[FB_COLUMNS_MAX], sqlite3_stmt **ret_stmt, fb_err *err) {
    sqlite3_stmt *stmt;
    fb_status status = start(session, binding, key, &stmt, err);
    if (status != FB_OK)
        return status;
    status = next_row(session, binding, key, stmt, ret_row, err);
    if (status == FB_OK)
        *ret_stmt = stmt;
    else
        fb_sqlite_release(stmt);
    return status == FB_MISS ? FB_NOTFOUND : status;
}

static fb_status find_list(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                           struct fb_value **ret_value, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    struct fb_list list;
    sqlite3_stmt *stmt;
    fb_status status = start(session, binding, key, &stmt, err);
    if (status != FB_OK)
        return status;
    session->rendered.len = 0;
    status = fb_list_begin(&list, &binding->mapping, &session->rendered);
    while (status == FB_OK && (status = next_row(session, binding, key, stmt, row, err)) != FB_NOTFOUND)
        status = status == FB_OK ? fb_list_add(&list, row, err) : status == FB_MISS ? FB_OK : status;
    fb_sqlite_release(stmt);
    if (status != FB_NOTFOUND)
        return status == FB_NOMEM ? fb_fail(err, status, "out of memory") : status;
    status = fb_list_end(&list, err);
    if (status != FB_OK)
        return status;
    *ret_value = fb_value_new(FB_KIND_STRING, session->rendered.data, session->rendered.len);
    return *ret_value != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

fb_status fb_sqlite_render(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
                           struct fb_value **ret_value, fb_err *err) {
    session->rendered.len = 0;
    fb_status status = fb_render_row(&binding->mapping, row, &session->rendered, err);
    if (status != FB_OK)
        return status;
    struct fb_value *value =
        fb_value_new(fb_mapping_kind(&binding->mapping), session->rendered.data, session->rendered.len);
    if (value == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    *ret_value = value;
    return FB_OK;
}

fb_status fb_sqlite_check_single(struct fb_session *session, const struct fb_binding *binding, sqlite3_stmt *stmt,
                                 fb_err *err) {
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE)
        return FB_OK;
    if (rc == SQLITE_ROW)
        return fb_mapping_fail(&binding->mapping, err, FB_SOURCE, "the load statement found more than one row");
    return fb_sqlite_fail(session, rc, err);
}

static fb_status find_value(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                            struct fb_value **ret_value, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    sqlite3_stmt *stmt;
    fb_status status = fb_sqlite_find_row(session, binding, key, row, &stmt, err);
    if (status != FB_OK)
        return status;
    struct fb_value *value = NULL;
    status = fb_sqlite_render(session, binding, row, &value, err);
    if (status >= 0 && !binding->is_table) {
        fb_status single = fb_sqlite_check_single(session, binding, stmt, err);
        status = single != FB_OK ? single : status;
    }
    fb_sqlite_release(stmt);
    if (status == FB_OK)
        *ret_value = value;
    else
        fb_value_unref(value);
    return status;
}

fb_status fb_sqlite_find_value(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                               struct fb_value **ret_value, fb_err *err) {
    return binding->mapping.is_list ? find_list(session, binding, key, ret_value, err)
                                    : find_value(session, binding, key, ret_value, err);
}

static fb_status load_one(struct fb_session *session, struct fb_load_item *item, fb_err *err) {
    struct fb_datum key[FB_PATTERN_PARAMS_MAX];
    if (fb_sqlite_is_over(session))
        return fb_sqlite_fail(session, SQLITE_INTERRUPT, err);
    fb_status status = fb_mapping_key(&item->binding->mapping, item->key, key, err);
    return status == FB_OK ? fb_sqlite_find_value(session, item->binding, key, &item->value, err) : status;
}

static void answer(struct fb_load_item *item, fb_status status, const fb_err *err) {
    item->status = status;
    if (status < 0)
        item->value = fb_error_value(err);
}

void fb_sqlite_load(struct fb_session *session, struct fb_load_item *items, size_t n) {
    fb_err err;
    for (size_t i = 0; i < n; i++)
        items[i].value = NULL;
    fb_status status = fb_sqlite_begin_call(session, &err);
    if (status == FB_OK) {
        fb_sqlite_roll_back(session);
        int rc = fb_sqlite_run(session, "BEGIN");
        if (rc != SQLITE_OK)
            status = fb_sqlite_fail(session, rc, &err);
    }
    if (status != FB_OK) {
        for (size_t i = 0; i < n; i++)
            answer(&items[i], status, &err);
        return;
    }
    for (size_t i = 0; i < n; i++)
        answer(&items[i], load_one(session, &items[i], &err), &err);
    if (fb_sqlite_run(session, "COMMIT") != SQLITE_OK)
        fb_sqlite_roll_back(session); /* nothing was written, so nothing is lost */
}

/* ---- keys ---- */

fb_status fb_sqlite_list(struct fb_session *session, const struct fb_binding *binding, size_t limit, fb_buf *ret_keys,
                         fb_err *err) {
    const struct fb_mapping *m = &binding->mapping;
    struct fb_datum row[FB_PATTERN_PARAMS_MAX];
    sqlite3_stmt *stmt;
    if (!binding->is_table)
        return fb_mapping_fail(m, err, FB_UNSUPPORTED, "its keys cannot be listed: it has statements of its own");
    fb_status status = fb_sqlite_begin_call(session, err);
    if (status != FB_OK)
        return status;
    session->text.len = 0;
    if (fb_sqlite_list_text(binding, &session->text) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    int rc = fb_sqlite_statement(session, session->text.data, &stmt);
    if (rc != SQLITE_OK)
        return fb_sqlite_fail(session, rc, err);
    rc = sqlite3_bind_int64(stmt, 1, (sqlite3_int64)limit);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = read_row(stmt, m->pattern.nparams, row) == FB_OK ? SQLITE_OK : SQLITE_NOMEM;
        status = rc == SQLITE_OK ? fb_mapping_key_of_row(m, row, &session->rendered) : FB_OK;
        if (status == FB_OK && rc == SQLITE_OK)
            status = fb_hash_append(ret_keys, fb_bytes_of(session->rendered.data, session->rendered.len), FB_STR(""));
        if (status == FB_NOMEM)
            rc = SQLITE_NOMEM;
    }
    status = rc == SQLITE_DONE ? FB_OK : fb_sqlite_fail(session, rc, err);
    fb_sqlite_release(stmt);
    return status;
}
