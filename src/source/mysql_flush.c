/* Write-behind at MariaDB and MySQL: first which rows there are, locked in the order of their keys; then all updates
 * that are alike in one round trip, and so the inserts and the deletes (MariaDB's bulk execution).
 *
 * Not INSERT … ON DUPLICATE KEY UPDATE: it refuses a row that lacks a column without a default before it looks
 * whether the row is there, and where another unique column is the one that is taken, it changes somebody else's row.
 * And keys are compared here once more, exactly: a collation may find 'Bob' for 'bob'. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "source/flush_db.h"
#include "source/mysql.h"
#include "source/wanted.h"

static const char *const schema[] = {
    "CREATE TABLE IF NOT EXISTS fb_partition (part VARCHAR(190) PRIMARY KEY, epoch BIGINT NOT NULL, "
    "applied_seq BIGINT NOT NULL, state VARCHAR(8) NOT NULL, owner TEXT, addr TEXT, journal VARCHAR(48)) "
    "ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS fb_dead (id BIGINT AUTO_INCREMENT PRIMARY KEY, part VARCHAR(190) NOT NULL, "
    "seq BIGINT NOT NULL, keyspace TEXT NOT NULL, key_name LONGBLOB NOT NULL, record LONGBLOB NOT NULL, "
    "code VARCHAR(16), message TEXT, died_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, "
    "attempts BIGINT NOT NULL DEFAULT 0) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    NULL,
};

/* ---- transactions ---- */

static bool is_table(const struct fb_binding *binding) { return binding->is_table; }
static bool may_be_stale(const struct fb_session *session) { return !session->is_fresh; }

/* Sessions that write do not commit by themselves, and a transaction begins with its first statement; said aloud, it
 * finds out a connection that has died before anything depends on it. */
static fb_status begin(struct fb_session *session, fb_err *err) {
    return fb_mysql_is_lost(session) ? fb_fail(err, FB_DOWN, "the connection was lost")
                                     : fb_mysql_command(session, "START TRANSACTION", err);
}

/* ---- statements of ours ---- */

static void take_cells(const struct fb_flush_sql *sql, const struct fb_datum *row, fb_flush_take *take, void *user) {
    char space[FB_FLUSH_CELLS_MAX][FB_DATUM_TEXT_MAX];
    fb_bytes cells[FB_FLUSH_CELLS_MAX];
    for (size_t i = 0; sql->columns[i] != '\0'; i++)
        cells[i] = row[i].kind == FB_DATUM_NULL ? fb_bytes_of(NULL, 0) : fb_datum_text(&row[i], space[i]);
    take(user, cells);
}

static fb_status run_query(struct fb_session *session, const struct fb_flush_sql *sql, fb_flush_take *take, void *user,
                           fb_err *err) {
    static const struct fb_mapping none = {.name = NULL};
    struct fb_mysql_type types[FB_FLUSH_CELLS_MAX] = {{.form = FB_MYSQL_INT}};
    struct fb_datum row[FB_FLUSH_CELLS_MAX];
    struct fb_mysql_statement *statement;
    unsigned n = (unsigned)strlen(sql->columns);
    for (unsigned i = 0; i < n; i++)
        types[i].form = sql->columns[i] == 'i' ? FB_MYSQL_INT : sql->columns[i] == 'b' ? FB_MYSQL_BLOB : FB_MYSQL_TEXT;
    fb_status status = fb_mysql_execute(session, sql->text, NULL, types, n, &statement, err);
    if (status != FB_OK)
        return status;
    while ((status = fb_mysql_next(session, statement, &none, row, err)) == FB_OK)
        if (take != NULL)
            take_cells(sql, row, take, user);
    fb_mysql_release(statement);
    return status == FB_NOTFOUND ? FB_OK : status;
}

static fb_status run(struct fb_session *session, const struct fb_flush_sql *sql, const struct fb_datum *params,
                     unsigned nparams, fb_flush_take *take, void *user, uint64_t *ret_changed, fb_err *err) {
    *ret_changed = 0;
    if (fb_mysql_is_lost(session))
        return fb_fail(err, FB_DOWN, "the connection was lost");
    if (nparams == 0 && sql->columns == NULL)
        return fb_mysql_command(session, sql->text, err);
    fb_status status = fb_mysql_params_begin(session, nparams, err);
    for (unsigned i = 0; i < nparams && status == FB_OK; i++)
        fb_mysql_param(session, &params[i]);
    if (status != FB_OK)
        return status;
    return sql->columns != NULL ? run_query(session, sql, take, user, err)
                                : fb_mysql_run(session, sql->text, ret_changed, err);
}

/* ---- which rows there are ---- */

/* The place of a key among items, which are sorted by theirs; n: it is none of them. */
static size_t place_of(const struct fb_flush_item *const *items, size_t n, const struct fb_datum *key) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = fb_wanted_compare(&items[middle]->binding->mapping, items[middle]->plan->key, key);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return n;
}

/* Of at most FB_MYSQL_KEYS_MAX items. */
static fb_status find_part(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                           bool *exists, fb_err *err) {
    const struct fb_binding *b = items[0]->binding;
    const struct fb_mapping *m = &b->mapping;
    unsigned nparams = m->pattern.nparams, shape = fb_mysql_shape(n);
    struct fb_mysql_type types[FB_PATTERN_PARAMS_MAX];
    struct fb_datum key[FB_PATTERN_PARAMS_MAX];
    struct fb_mysql_statement *statement;
    size_t asked = (size_t)1 << shape;
    session->text.len = 0;
    if (fb_mysql_keys_text(b, (unsigned)asked, &session->text) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    fb_status status = fb_mysql_params_begin(session, asked * nparams, err);
    for (size_t i = 0; i < asked && status == FB_OK; i++) /* the last one again, until the shape is full */
        for (unsigned p = 0; p < nparams; p++)
            fb_mysql_param(session, &items[i < n ? i : n - 1]->plan->key[p]);
    for (unsigned p = 0; p < nparams; p++)
        types[p] = b->types[b->key_columns[p]];
    if (status == FB_OK)
        status = fb_mysql_execute(session, session->text.data, NULL, types, nparams, &statement, err);
    if (status != FB_OK)
        return status;
    while ((status = fb_mysql_next(session, statement, m, key, err)) == FB_OK) {
        size_t place = place_of(items, n, key);
        if (place < n)
            exists[place] = true;
    }
    fb_mysql_release(statement);
    return status == FB_NOTFOUND ? FB_OK : status == FB_BADVALUE ? err->status : status;
}

static fb_status find_all(struct fb_session *session, const struct fb_flush_item *const *items, size_t n, bool *exists,
                          fb_err *err) {
    fb_status status = FB_OK;
    for (size_t first = 0; first < n && status == FB_OK; first += FB_MYSQL_KEYS_MAX) {
        size_t count = n - first < FB_MYSQL_KEYS_MAX ? n - first : FB_MYSQL_KEYS_MAX;
        status = find_part(session, items + first, count, exists + first, err);
    }
    return status;
}

/* ---- writing ---- */

struct batch {
    bool *exists;
    struct fb_mysql_write *writes;
    const struct fb_mysql_write **alike;
};

static enum fb_mysql_verb verb_of(const struct fb_flush_item *item, bool removes, bool exists) {
    if (removes)
        return exists ? FB_MYSQL_DELETE : FB_MYSQL_NOTHING;
    if (exists)
        return fb_group_is_idle(&item->binding->mapping, item->plan, exists) ? FB_MYSQL_NOTHING : FB_MYSQL_UPDATE;
    return fb_flush_makes_row(item->plan) ? FB_MYSQL_INSERT : FB_MYSQL_NOTHING;
}

/* What is left to be written and like the first of it, until nothing is. */
static fb_status write_all(struct fb_session *session, struct batch *batch, size_t n, fb_err *err) {
    fb_status status = FB_OK;
    for (size_t i = 0; i < n && status == FB_OK; i++) {
        const struct fb_mysql_write first = batch->writes[i];
        size_t count = 0;
        if (first.verb == FB_MYSQL_NOTHING)
            continue;
        for (size_t k = i; k < n; k++)
            if (batch->writes[k].verb != FB_MYSQL_NOTHING && fb_mysql_is_alike(&first, &batch->writes[k]))
                batch->alike[count++] = &batch->writes[k];
        status = fb_mysql_write_many(session, batch->alike, count, err);
        for (size_t k = i; k < n; k++) /* done */
            if (batch->writes[k].verb != FB_MYSQL_NOTHING && fb_mysql_is_alike(&first, &batch->writes[k]))
                batch->writes[k].verb = FB_MYSQL_NOTHING;
    }
    return status;
}

static fb_status write_batch(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                             bool removes, fb_err *err) {
    struct batch batch = {fb_mem_calloc(n, sizeof *batch.exists), fb_mem_calloc(n, sizeof *batch.writes),
                          fb_mem_calloc(n, sizeof *batch.alike)};
    fb_status status = batch.exists != NULL && batch.writes != NULL && batch.alike != NULL
                           ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
    if (status == FB_OK)
        status = find_all(session, items, n, batch.exists, err);
    for (size_t i = 0; i < n && status == FB_OK; i++)
        batch.writes[i] = (struct fb_mysql_write){items[i]->binding, items[i]->plan,
                                                  verb_of(items[i], removes, batch.exists[i])};
    if (status == FB_OK)
        status = write_all(session, &batch, n, err);
    fb_mem_free(batch.exists);
    fb_mem_free(batch.writes);
    fb_mem_free(batch.alike);
    return status;
}

static fb_status remove_rows(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                             fb_err *err) {
    return write_batch(session, items, n, /* removes */ true, err);
}

static fb_status write_rows(struct fb_session *session, const struct fb_flush_item *const *items, size_t n,
                            fb_err *err) {
    return write_batch(session, items, n, /* removes */ false, err);
}

/* ---- what has failed ---- */

/* What the status of an error does not tell. */
static const struct { unsigned number; enum fb_flush_outcome outcome; } numbers[] = {
    {1020, FB_FLUSH_TRANSIENT},  /* the row has changed since it was read */
    {1044, FB_FLUSH_PERMISSION}, {1045, FB_FLUSH_PERMISSION}, {1142, FB_FLUSH_PERMISSION},
    {1143, FB_FLUSH_PERMISSION}, {1227, FB_FLUSH_PERMISSION}, {1370, FB_FLUSH_PERMISSION},
    {1180, FB_FLUSH_TRANSIENT},  /* COMMIT failed */
    {1213, FB_FLUSH_TRANSIENT},  /* deadlock */
    {1243, FB_FLUSH_TRANSIENT},  /* a prepared statement is gone */
    {1412, FB_FLUSH_TRANSIENT},  /* the table has been altered since the transaction began */
    {1615, FB_FLUSH_TRANSIENT},
};

/* The number in "42S02 (1146) …", as fb_mysql_fail writes it; 0: it is no error of the server's. */
static unsigned number_of(const fb_err *err) {
    unsigned number = 0;
    const char *c = err->text + 7;
    for (int i = 0; i < 5; i++)
        if (!((err->text[i] >= '0' && err->text[i] <= '9') || (err->text[i] >= 'A' && err->text[i] <= 'Z')))
            return 0;
    if (err->text[5] != ' ' || err->text[6] != '(')
        return 0;
    for (; *c >= '0' && *c <= '9'; c++)
        number = number * 10 + (unsigned)(*c - '0');
    return *c == ')' ? number : 0;
}

static enum fb_flush_outcome classify(const struct fb_session *session, const fb_err *err,
                                      char code[FB_FLUSH_CODE_MAX]) {
    unsigned number = number_of(err);
    (void)session;
    code[0] = '\0';
    if (number != 0)
        snprintf(code, FB_FLUSH_CODE_MAX, "%u", number);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].number == number)
            return numbers[i].outcome;
    return fb_flush_class_of(err->status);
}

static bool is_outdated(const struct fb_session *session, const fb_err *err) {
    unsigned number = number_of(err);
    (void)session;
    return number == 1243 || number == 1615 || number == 1412;
}

static const struct fb_flush_db db = {
    .schema = schema,
    .shown_at = "DATE_FORMAT(died_at, '%Y-%m-%dT%H:%i:%sZ')",
    .rows = &fb_mysql_group_ops,
    .is_table = is_table,
    .begin_call = fb_mysql_begin_call,
    .reconnect = fb_mysql_reconnect,
    .more_time = fb_mysql_more_time,
    .may_be_stale = may_be_stale,
    .begin = begin,
    .commit = fb_mysql_commit,
    .roll_back = fb_mysql_roll_back,
    .run = run,
    .remove = remove_rows,
    .write = write_rows,
    .classify = classify,
    .is_outdated = is_outdated,
};

FB_FLUSH_OPS(fb_flush_mysql, db, schema);
