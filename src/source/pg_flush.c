/* Write-behind at PostgreSQL: an array per column, so that one statement of always the same text writes any number of
 * rows (measured some ten times the rows per second of single statements).
 *
 * Arrays travel as text, since the server alone knows how each type is read. */
#include <string.h>

#include "base/err.h"
#include "source/flush_db.h"
#include "source/pg.h"

static const char *const schema[] = {
    "CREATE TABLE IF NOT EXISTS fb_partition (part text PRIMARY KEY, epoch bigint NOT NULL, "
    "applied_seq bigint NOT NULL, state text NOT NULL, owner text, addr text, journal text)",
    "CREATE TABLE IF NOT EXISTS fb_dead (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, part text NOT NULL, "
    "seq bigint NOT NULL, keyspace text NOT NULL, key_name bytea NOT NULL, record bytea NOT NULL, code text, "
    "message text, died_at timestamptz NOT NULL DEFAULT now(), attempts bigint NOT NULL DEFAULT 0)",
    NULL,
};

/* ---- transactions ---- */

static bool is_table(const struct fb_binding *binding) { return binding->is_table; }
static bool may_be_stale(const struct fb_session *session) { return !session->is_fresh; }

static fb_status command(struct fb_session *session, const char *text, fb_err *err) {
    PGresult *result = NULL;
    fb_status status = fb_pg_run(session, text, NULL, &result, err);
    PQclear(result);
    return status;
}

static fb_status begin(struct fb_session *session, fb_err *err) {
    return command(session, "BEGIN ISOLATION LEVEL READ COMMITTED", err);
}

/* Deferred constraints are looked at now, and again at the end of what follows. */
static fb_status settle(struct fb_session *session, fb_err *err) {
    fb_status status = command(session, "SET CONSTRAINTS ALL IMMEDIATE", err);
    return status == FB_OK ? command(session, "SET CONSTRAINTS ALL DEFERRED", err) : status;
}

/* ---- statements of ours ---- */

/* Parameters are $1, $2, … here. */
static fb_status number_params(struct fb_session *session, const char *text) {
    char number[3] = "$1";
    fb_status status = FB_OK;
    session->text.len = 0;
    for (const char *c = text; status == FB_OK; c++) {
        status = *c == '?' ? fb_buf_append(&session->text, number, 2) : fb_buf_append(&session->text, c, 1);
        number[1] = (char)(number[1] + (*c == '?'));
        if (*c == '\0')
            break;
    }
    return status;
}

/* False: a column is not what it should be. */
static bool read_cells(struct fb_session *session, const struct fb_flush_sql *sql, const PGresult *result, int row,
                       fb_bytes *cells) {
    size_t room = 0;
    for (int i = 0; sql->columns[i] != '\0'; i++)
        room += (size_t)PQgetlength(result, row, i);
    session->decoded.len = 0;
    if (fb_buf_reserve(&session->decoded, room) != FB_OK)
        return false;
    for (int i = 0; sql->columns[i] != '\0'; i++) {
        struct fb_datum bytes;
        cells[i] = fb_bytes_of(PQgetvalue(result, row, i), (size_t)PQgetlength(result, row, i));
        if (sql->columns[i] != 'b' || PQgetisnull(result, row, i))
            continue;
        if (!fb_pg_decode(session, FB_PG_BYTEA, cells[i], &bytes))
            return false;
        cells[i] = bytes.bytes;
    }
    return true;
}

static fb_status run(struct fb_session *session, const struct fb_flush_sql *sql, const struct fb_datum *params,
                     unsigned nparams, fb_flush_take *take, void *user, uint64_t *ret_changed, fb_err *err) {
    struct fb_pg_params given;
    PGresult *result = NULL;
    fb_bytes cells[FB_FLUSH_CELLS_MAX];
    size_t bytes = 0, changed = 0;
    for (unsigned i = 0; i < nparams; i++)
        bytes += fb_pg_param_size(&params[i]);
    fb_status status = fb_pg_params_begin(session, &given, bytes, err);
    for (unsigned i = 0; i < nparams && status == FB_OK; i++)
        status = fb_pg_param(session, &given, &params[i], err);
    if (status == FB_OK && number_params(session, sql->text) != FB_OK)
        status = fb_fail(err, FB_NOMEM, "out of memory");
    if (status == FB_OK)
        status = fb_pg_run(session, session->text.data, &given, &result, err);
    for (int row = 0; status == FB_OK && take != NULL && row < PQntuples(result); row++) {
        if (read_cells(session, sql, result, row, cells))
            take(user, cells);
        else
            status = fb_fail(err, FB_SOURCE, "a column of Forebay's own tables is not as it was made");
    }
    for (const char *c = status == FB_OK ? PQcmdTuples(result) : ""; *c >= '0' && *c <= '9'; c++)
        changed = changed * 10 + (size_t)(*c - '0');
    *ret_changed = changed;
    PQclear(result);
    return status;
}

/* ---- rows as arrays ---- */

static const struct fb_datum *value_of(const struct fb_flush_item *item, unsigned param) {
    unsigned nkeys = item->binding->mapping.pattern.nparams;
    return param < nkeys ? &item->plan->key[param] : &item->plan->assigns[param - nkeys].value;
}

/* One element, quoted; bytes in hexadecimal. */
static fb_status put_element(fb_buf *out, const struct fb_datum *value, fb_err *err) {
    static const char digits[] = "0123456789abcdef";
    char space[FB_DATUM_TEXT_MAX];
    if (value->kind == FB_DATUM_NULL)
        return fb_buf_append(out, "NULL", 4);
    fb_bytes text = value->kind == FB_DATUM_BLOB ? value->bytes : fb_datum_text(value, space);
    if (fb_buf_reserve(out, 2 * text.len + 8) != FB_OK)
        return FB_NOMEM;
    char *to = out->data + out->len;
    *to++ = '"';
    if (value->kind == FB_DATUM_BLOB) {
        memcpy(to, "\\\\x", 3);
        to += 3;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (value->kind == FB_DATUM_BLOB) {
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
            continue;
        }
        if (c == '\0')
            return fb_fail(err, FB_BADVALUE, "texts of PostgreSQL cannot hold NUL");
        if (c == '"' || c == '\\')
            *to++ = '\\';
        *to++ = (char)c;
    }
    *to++ = '"';
    out->len = (size_t)(to - out->data);
    return FB_OK;
}

static fb_status put_array(fb_buf *out, const struct fb_flush_item *const *items, size_t n, unsigned param,
                           fb_err *err) {
    fb_status status = FB_OK;
    for (size_t i = 0; i < n && status == FB_OK; i++) {
        status = fb_buf_append(out, i == 0 ? "{" : ",", 1);
        if (status == FB_OK)
            status = put_element(out, value_of(items[i], param), err);
    }
    return status == FB_OK ? fb_buf_append(out, "}", 2) : status; /* and NUL */
}

/* *ret_result is the caller's to clear. */
static fb_status run_arrays(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                            unsigned nparams, PGresult **ret_result, fb_err *err) {
    struct fb_pg_params params = {.n = (int)nparams};
    size_t starts[FB_PG_PARAMS_MAX];
    session->params.len = 0;
    for (unsigned i = 0; i < nparams; i++) {
        starts[i] = session->params.len;
        fb_status status = put_array(&session->params, items, n, i, err);
        if (status != FB_OK)
            return status == FB_NOMEM ? fb_fail(err, FB_NOMEM, "out of memory") : status;
    }
    for (unsigned i = 0; i < nparams; i++)
        params.values[i] = session->params.data + starts[i];
    return fb_pg_run(session, session->text.data, &params, ret_result, err);
}

static fb_status remove_rows(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                             fb_err *err) {
    const struct fb_binding *b = items[0]->binding;
    PGresult *result = NULL;
    session->text.len = 0;
    if (fb_pg_remove_text(b, &session->text) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    fb_status status = run_arrays(session, items, n, b->mapping.pattern.nparams, &result, err);
    PQclear(result);
    return status;
}

/* A trigger or a rule may keep a row from being written: nobody may be told that it was. */
static fb_status check_count(const PGresult *result, size_t n, fb_err *err) {
    uint64_t written = 0;
    for (const char *c = PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : ""; *c >= '0' && *c <= '9'; c++)
        written = written * 10 + (uint64_t)(*c - '0');
    return written == n ? FB_OK : fb_fail(err, FB_CONFLICT, "the statement changed no row");
}

static fb_status write_rows(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                            fb_err *err) {
    const struct fb_binding *b = items[0]->binding;
    const struct fb_plan *plan = items[0]->plan;
    PGresult *result = NULL;
    session->text.len = 0;
    if (fb_pg_flush_text(b, plan, &session->text) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    fb_status status = run_arrays(session, items, n, b->mapping.pattern.nparams + plan->nassigns, &result, err);
    if (status == FB_OK && fb_flush_makes_row(plan))
        status = check_count(result, n, err);
    PQclear(result);
    return status;
}

/* ---- what has failed ---- */

/* Classes of SQLSTATE (PostgreSQL's documentation, appendix A); the longest prefix that fits counts. What is not here
 * stops the partition, which loses nothing. */
static const struct { const char *prefix; enum fb_flush_outcome outcome; } states[] = {
    {"08", FB_FLUSH_TRANSIENT},   /* connection */
    {"09", FB_FLUSH_DATA},        /* a trigger */
    {"21", FB_FLUSH_DATA},        /* cardinality */
    {"22", FB_FLUSH_DATA},        /* too long, out of range, invalid text */
    {"23", FB_FLUSH_DATA},        /* constraints */
    {"25", FB_FLUSH_TRANSIENT},   /* read-only: no primary any more; idle for too long inside a transaction */
    {"26", FB_FLUSH_TRANSIENT},   /* a prepared statement is gone */
    {"27", FB_FLUSH_DATA},        /* a trigger has changed the row already */
    {"28", FB_FLUSH_PERMISSION},
    {"38", FB_FLUSH_DATA},        /* functions of a trigger */
    {"39", FB_FLUSH_DATA},
    {"40", FB_FLUSH_TRANSIENT},   /* deadlock, serialization */
    {"42501", FB_FLUSH_PERMISSION},
    {"44", FB_FLUSH_DATA},        /* WITH CHECK OPTION */
    {"53", FB_FLUSH_TRANSIENT},   /* out of connections, memory, disk */
    {"54", FB_FLUSH_DATA},        /* too large for an index, too complex */
    {"55", FB_FLUSH_TRANSIENT},   /* in use, locked */
    {"57", FB_FLUSH_TRANSIENT},   /* cancelled, shutting down, starting up */
    {"58", FB_FLUSH_TRANSIENT},   /* its disk */
    {"P0", FB_FLUSH_DATA},        /* RAISE */
};

static bool has_state(const fb_err *err) {
    for (int i = 0; i < 5; i++)
        if (!((err->text[i] >= '0' && err->text[i] <= '9') || (err->text[i] >= 'A' && err->text[i] <= 'Z')))
            return false;
    return err->text[5] == ' ';
}

static enum fb_flush_outcome classify(const struct fb_session *session, const fb_err *err,
                                      char code[FB_FLUSH_CODE_MAX]) {
    enum fb_flush_outcome outcome = FB_FLUSH_SCHEMA;
    size_t longest = 0;
    (void)session;
    code[0] = '\0';
    if (!has_state(err))
        return fb_flush_class_of(err->status);
    memcpy(code, err->text, 5);
    code[5] = '\0';
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        size_t n = strlen(states[i].prefix);
        if (n > longest && strncmp(code, states[i].prefix, n) == 0) {
            outcome = states[i].outcome;
            longest = n;
        }
    }
    return outcome;
}

static bool is_outdated(const struct fb_session *session, const fb_err *err) {
    (void)session;
    return strncmp(err->text, "0A000 ", 6) == 0 || strncmp(err->text, "26000 ", 6) == 0;
}

static const struct fb_flush_db db = {
    .schema = schema,
    .shown_at = "to_char(died_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    .rows = &fb_pg_group_ops,
    .is_table = is_table,
    .begin_call = fb_pg_begin_call,
    .reconnect = fb_pg_reconnect,
    .more_time = fb_pg_more_time,
    .may_be_stale = may_be_stale,
    .begin = begin,
    .commit = fb_pg_commit,
    .roll_back = fb_pg_roll_back,
    .settle = settle,
    .run = run,
    .remove = remove_rows,
    .write = write_rows,
    .classify = classify,
    .is_outdated = is_outdated,
};

FB_FLUSH_OPS(fb_flush_postgresql, db, schema);
