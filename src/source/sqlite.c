/* SQLite as a source: opening files, sessions with their statements and deadlines, and what its errors mean.
 *
 * Threads: a session is used by one thread at a time, so its connection needs no mutex of SQLite's. All sessions of one
 * file work in WAL mode: readers and the one writer do not wait for each other.
 *
 * Deadlines: waiting for another process's lock (busy handler) and long statements (progress handler) end at the same
 * instant, the deadline of the call. */
#include "source/sqlite.h"

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "rows/number.h"
#include "source/flush.h"

/* ---- the driver ---- */

static fb_status path_of(const char *url, char **ret_path, fb_err *err) {
    const char *path = strchr(url, ':') + 1; /* fb_driver_find has seen "sqlite:" */
    if (strncmp(path, "//", 2) == 0) {
        path += 2;
        if (path[0] != '/')
            return fb_fail(err, FB_INVALID, "'%s': write sqlite:PATH or sqlite:///ABSOLUTE/PATH", url);
    }
    if (path[0] == 0 || path[0] == ':')
        return fb_fail(err, FB_INVALID, "'%s': a file is needed; each connection would see a database of its own", url);
    /* SQLite would read options out of a name that begins with "file:". */
    bool looks_like_uri = strncmp(path, "file:", 5) == 0;
    size_t len = strlen(path) + 1;
    char *copy = fb_mem_alloc(len + 2);
    if (copy == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    memcpy(copy, "./", 2);
    memcpy(copy + (looks_like_uri ? 2 : 0), path, len);
    *ret_path = copy;
    return FB_OK;
}

static fb_status connect_to(const struct fb_driver *driver, sqlite3 **ret_db, fb_err *err) {
    sqlite3 *db = NULL;
    int rc =
        sqlite3_open_v2(driver->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    /* Another session may be changing the file to WAL at this moment, which locks it for some milliseconds. */
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, (int)fb_span_ms(driver->read_timeout));
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL); /* opening reads nothing yet */
    if (rc == SQLITE_OK) {
        *ret_db = db;
        return FB_OK;
    }
    fb_status status = rc == SQLITE_NOMEM || db == NULL ? FB_NOMEM : FB_DOWN;
    fb_fail(err, status, "cannot open '%s': %s", driver->path, db != NULL ? sqlite3_errmsg(db) : "out of memory");
    sqlite3_close(db);
    return status;
}

static void close_driver(struct fb_driver *driver) {
    if (driver == NULL)
        return;
    sqlite3_close(driver->catalogue);
    fb_mem_free(driver->path);
    fb_mem_free(driver);
}

/* Two names may lead to one file. */
static fb_status identify(struct fb_driver *driver, fb_err *err) {
    struct stat file;
    if (stat(driver->path, &file) != 0)
        return fb_fail(err, FB_DOWN, "cannot look at '%s'", driver->path);
    driver->device = file.st_dev;
    driver->inode = file.st_ino;
    return FB_OK;
}

static fb_status open_driver(const char *url, const fb_source_options *options, struct fb_driver **ret_driver,
                             fb_err *reterr) {
    static const fb_source_options none = {0};
    const fb_source_options *o = options != NULL ? options : &none;
    struct fb_driver *driver = fb_mem_calloc(1, sizeof *driver);
    if (driver == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    driver->read_timeout = fb_ms(o->read_timeout_ms > 0 ? o->read_timeout_ms : FB_SQLITE_READ_TIMEOUT_MS);
    driver->write_timeout = fb_ms(o->write_timeout_ms > 0 ? o->write_timeout_ms : FB_SQLITE_WRITE_TIMEOUT_MS);
    driver->added_latency = fb_ms(o->added_latency_ms);
    fb_status status = path_of(url, &driver->path, reterr);
    if (status == FB_OK)
        status = connect_to(driver, &driver->catalogue, reterr);
    if (status == FB_OK)
        status = identify(driver, reterr);
    if (status != FB_OK) {
        close_driver(driver);
        return status;
    }
    *ret_driver = driver;
    return FB_OK;
}

/* ---- sessions ---- */

static int on_busy(void *arg, int tries) {
    struct fb_session *session = arg;
    if (fb_sqlite_is_over(session))
        return 0;
    fb_clock_sleep(fb_ms(tries < 5 ? 1 : tries < 20 ? 2 : 5)); /* locks of well-behaved writers last milliseconds */
    return 1;
}

static int on_progress(void *arg) {
    struct fb_session *session = arg;
    return fb_sqlite_is_over(session);
}

static void cancel(struct fb_session *session) { atomic_store(&session->is_cancelled, true); }

static void disconnect(struct fb_session *session) {
    for (unsigned i = 0; i < session->ncached; i++) {
        sqlite3_finalize(session->cached[i].stmt);
        fb_mem_free(session->cached[i].text);
    }
    session->ncached = 0;
    sqlite3_close(session->db);
    session->db = NULL;
}

static void close_session(struct fb_session *session) {
    if (session == NULL)
        return;
    disconnect(session);
    fb_buf_free(&session->text);
    fb_buf_free(&session->kept);
    fb_buf_free(&session->rendered);
    fb_mem_free(session);
}

static fb_status connect_session(struct fb_session *session, fb_err *reterr) {
    /* Foreign keys are checked as the schema says; WAL is a property of the file and stays. */
    static const char for_writing[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON";
    static const char for_reading[] = "PRAGMA query_only=ON";
    const char *settings = session->is_writer ? for_writing : for_reading;
    fb_status status = connect_to(session->driver, &session->db, reterr);
    if (status != FB_OK)
        return status;
    sqlite3_busy_handler(session->db, on_busy, session);
    sqlite3_progress_handler(session->db, FB_SQLITE_PROGRESS_STEPS, on_progress, session);
    if (sqlite3_db_readonly(session->db, "main"))
        settings = for_reading; /* a file we may not change serves reading keyspaces; a write says why it cannot be */
    int rc = sqlite3_exec(session->db, settings, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return FB_OK;
    status = rc == SQLITE_NOMEM ? FB_NOMEM : FB_DOWN;
    fb_fail(reterr, status, "cannot prepare '%s': %s", session->driver->path, sqlite3_errmsg(session->db));
    disconnect(session);
    return status;
}

static void start_clock(struct fb_session *session) {
    fb_span timeout = session->is_writer ? session->driver->write_timeout : session->driver->read_timeout;
    session->deadline = fb_after(fb_clock_now(), timeout);
    session->timeout_ms = fb_span_ms(timeout);
    atomic_store(&session->is_cancelled, false);
}

bool fb_sqlite_is_over(const struct fb_session *session) {
    return atomic_load_explicit(&session->is_cancelled, memory_order_relaxed) ||
           fb_reached(fb_clock_now(), session->deadline);
}

static fb_status open_session(struct fb_driver *driver, bool is_writer, struct fb_session **ret_session,
                              fb_err *reterr) {
    struct fb_session *session = fb_mem_calloc(1, sizeof *session);
    if (session == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    session->driver = driver;
    session->is_writer = is_writer;
    start_clock(session);
    fb_status status = connect_session(session, reterr);
    if (status != FB_OK) {
        close_session(session);
        return status;
    }
    *ret_session = session;
    return FB_OK;
}

fb_status fb_sqlite_begin_call(struct fb_session *session, fb_err *err) {
    int has_moved = 0;
    start_clock(session);
    fb_clock_sleep(session->driver->added_latency);
    if (session->db != NULL)
        (void)sqlite3_file_control(session->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (has_moved)
        disconnect(session);
    return session->db != NULL ? FB_OK : connect_session(session, err);
}

/* ---- statements ---- */

/* No statement is between two steps here: each is released before another is asked for. */
static struct fb_sqlite_cached *slot_for(struct fb_session *session) {
    if (session->ncached < FB_SQLITE_STATEMENTS_MAX)
        return &session->cached[session->ncached];
    struct fb_sqlite_cached *oldest = &session->cached[0];
    for (unsigned i = 1; i < session->ncached; i++)
        if (session->cached[i].used < oldest->used)
            oldest = &session->cached[i];
    return oldest;
}

int fb_sqlite_statement(struct fb_session *session, const char *text, sqlite3_stmt **ret_stmt) {
    static const struct fb_hash_key key = {0, 0}; /* texts are ours, nobody can aim at this hash */
    size_t len = strlen(text);
    uint64_t hash = fb_hash(&key, text, len);
    for (unsigned i = 0; i < session->ncached; i++) {
        struct fb_sqlite_cached *c = &session->cached[i];
        if (c->hash == hash && strcmp(c->text, text) == 0) {
            c->used = ++session->uses;
            *ret_stmt = c->stmt;
            return SQLITE_OK;
        }
    }
    char *copy = fb_mem_strdup(text);
    if (copy == NULL)
        return SQLITE_NOMEM;
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v3(session->db, text, (int)len, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc != SQLITE_OK) {
        fb_mem_free(copy);
        return rc;
    }
    struct fb_sqlite_cached *c = slot_for(session);
    if (c == &session->cached[session->ncached]) {
        session->ncached++;
    } else {
        sqlite3_finalize(c->stmt);
        fb_mem_free(c->text);
    }
    *c = (struct fb_sqlite_cached){copy, hash, ++session->uses, stmt};
    *ret_stmt = stmt;
    return SQLITE_OK;
}

void fb_sqlite_release(sqlite3_stmt *stmt) {
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

int fb_sqlite_run(struct fb_session *session, const char *text) {
    sqlite3_stmt *stmt;
    int rc = fb_sqlite_statement(session, text, &stmt);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

void fb_sqlite_roll_back(struct fb_session *session) {
    if (!sqlite3_get_autocommit(session->db))
        (void)fb_sqlite_run(session, "ROLLBACK");
}

int fb_sqlite_bind(sqlite3_stmt *stmt, int index, const struct fb_datum *d) {
    double real;
    /* An empty value is not NULL, but a NULL pointer would be. */
    const char *data = d->kind >= FB_DATUM_NUMBER && d->bytes.len > 0 ? d->bytes.data : "";
    switch (d->kind) {
    case FB_DATUM_NULL:
        return sqlite3_bind_null(stmt, index);
    case FB_DATUM_INT:
        return sqlite3_bind_int64(stmt, index, d->i);
    case FB_DATUM_REAL:
        return sqlite3_bind_double(stmt, index, d->r);
    case FB_DATUM_NUMBER: /* the plan has made sure that a double holds it exactly */
        return fb_number_real(d->bytes, &real) ? sqlite3_bind_double(stmt, index, real) : SQLITE_MISMATCH;
    case FB_DATUM_TEXT:
        return sqlite3_bind_text64(stmt, index, data, d->bytes.len, SQLITE_STATIC, SQLITE_UTF8);
    case FB_DATUM_BLOB:
        return sqlite3_bind_blob64(stmt, index, data, d->bytes.len, SQLITE_STATIC);
    }
    return SQLITE_MISMATCH;
}

/* ---- errors ---- */

fb_status fb_sqlite_fail(struct fb_session *session, int rc, fb_err *err) {
    session->failed = rc;
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return fb_fail(err, FB_NOMEM, "out of memory");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fb_fail(err, FB_TIMEOUT, "the database stayed locked for %lld ms", (long long)session->timeout_ms);
    case SQLITE_INTERRUPT:
        return fb_fail(err, FB_TIMEOUT, "no answer within %lld ms", (long long)session->timeout_ms);
    case SQLITE_CONSTRAINT:
        return fb_fail(err, FB_CONFLICT, "%s", sqlite3_errmsg(session->db));
    case SQLITE_CANTOPEN:
    case SQLITE_NOTADB:
        return fb_fail(err, FB_DOWN, "%s", sqlite3_errmsg(session->db));
    default:
        return fb_fail(err, FB_SOURCE, "%s", sqlite3_errmsg(session->db));
    }
}

/* ---- plans ---- */

static fb_status plan(const struct fb_binding *binding, const fb_op *op, struct fb_plan **ret_plan, fb_err *reterr) {
    bool is_delete = op->kind == FB_OP_DELETE, writes = op->kind != FB_OP_READ && op->kind != FB_OP_CHECK;
    if (writes && !binding->is_table && (is_delete ? binding->del.text : binding->store.text) == NULL)
        return fb_mapping_fail(&binding->mapping, reterr, FB_READONLY, "there is no %s statement",
                               is_delete ? "delete" : "store");
    return fb_plan_make(&binding->mapping, op, ret_plan, reterr);
}

const struct fb_driver_ops fb_driver_sqlite = {
    .scheme = "sqlite",
    .has_lists = true,
    .open = open_driver,
    .close = close_driver,
    .bind = fb_sqlite_bind_keyspace,
    .review = fb_sqlite_review,
    .tables = fb_sqlite_tables,
    .unbind = fb_sqlite_unbind,
    .mapping = fb_sqlite_mapping,
    .writes = fb_sqlite_writes,
    .shared_table = fb_sqlite_shared_table,
    .statement = fb_sqlite_statement_text,
    .plan = plan,
    .plan_free = fb_plan_free,
    .session_open = open_session,
    .session_close = close_session,
    .load = fb_sqlite_load,
    .list = fb_sqlite_list,
    .store = fb_sqlite_store,
    .cancel = cancel,
    .flush = &fb_flush_sqlite,
};
