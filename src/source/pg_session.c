/* Connections to PostgreSQL: every wait has a deadline, statements are prepared once, and what belongs together travels
 * in one round trip (libpq's pipeline mode).
 *
 * libpq is used without blocking: whatever it would wait for, we wait for with poll() and the deadline of the call. The
 * server ends a long statement by itself (statement_timeout); FB_PG_GRACE_MS later we hang up. */
#include "source/pg.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

/* ---- waiting ---- */

/* True when the socket is ready; false when the deadline has passed. */
static bool wait_for(PGconn *db, bool writes, fb_instant deadline) {
    struct pollfd fd = {.fd = PQsocket(db), .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
    for (;;) {
        int64_t left = fb_span_ms(fb_since(deadline, fb_clock_now())) + 1;
        if (left <= 0 || fd.fd < 0)
            return false;
        int n = poll(&fd, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0)
            return true; /* an error shows itself when libpq reads */
        if (n == 0)
            return false;
    }
}

/* ---- connecting ---- */

/* Unless the URL says otherwise, as what stands behind goes before: writes must reach a server that takes them, every
 * connection names itself, and what the network has swallowed is given up (libpq's own waits have no other end). And whatever it says: names and texts are UTF-8 here. */
static PGconn *start_connecting(const struct fb_driver *driver) {
    char patience[24];
    snprintf(patience, sizeof patience, "%lld", (long long)fb_span_ms(driver->read_timeout));
    const char *const names[] = {"target_session_attrs", "application_name", "tcp_user_timeout", "dbname",
                                 "client_encoding", NULL};
    const char *const values[] = {"read-write", "forebay", patience, driver->url, "UTF8", NULL};
    return PQconnectStartParams(names, values, /* expand_dbname = */ 1);
}

fb_status fb_pg_connect(const struct fb_driver *driver, fb_instant deadline, PGconn **ret_db, fb_err *err) {
    PGconn *db = start_connecting(driver);
    if (db == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    PostgresPollingStatusType step = PQstatus(db) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (step == PGRES_POLLING_READING || step == PGRES_POLLING_WRITING) {
        struct pollfd fd = {.fd = PQsocket(db), .events = step == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int64_t left = fb_span_ms(fb_since(deadline, fb_clock_now()));
        if (left <= 0 || poll(&fd, 1, (int)left) == 0) {
            PQfinish(db);
            return fb_fail(err, FB_DOWN, "no connection within the time allowed");
        }
        step = PQconnectPoll(db);
    }
    if (step == PGRES_POLLING_OK && PQsetnonblocking(db, 1) == 0) {
        *ret_db = db;
        return FB_OK;
    }
    fb_fail(err, FB_DOWN, "%s", PQerrorMessage(db));
    PQfinish(db);
    return FB_DOWN;
}

/* ---- the catalogue's connection ---- */

/* The server ends a statement by itself. One that is silent beyond that is hung up on, which ends libpq's own waits. */
PGresult *fb_pg_catalogue_answer(struct fb_driver *driver, int is_sent) {
    PGconn *db = driver->catalogue;
    fb_instant deadline = fb_after(fb_after(fb_clock_now(), driver->read_timeout), fb_ms(FB_PG_GRACE_MS));
    PGresult *last = NULL, *next = NULL;
    do {
        while (is_sent && PQisBusy(db)) {
            if (!wait_for(db, /* writes */ false, deadline)) {
                driver->is_silent = true;
                shutdown(PQsocket(db), SHUT_RDWR);
            }
            if (!PQconsumeInput(db))
                break;
        }
        next = is_sent ? PQgetResult(db) : NULL;
        if (next != NULL) {
            PQclear(last);
            last = next;
        }
    } while (next != NULL);
    return last;
}

PGresult *fb_pg_catalogue_exec(struct fb_driver *driver, const char *text) {
    return fb_pg_catalogue_answer(driver, PQsendQuery(driver->catalogue, text));
}

/* ---- giving up, on another thread ---- */

static void set_canceller(struct fb_session *session, PGcancel *canceller) {
    fb_lock_acquire(&session->lock);
    PGcancel *old = session->canceller;
    session->canceller = canceller;
    fb_lock_release(&session->lock);
    PQfreeCancel(old);
}

void fb_pg_cancel(struct fb_session *session) {
    fb_lock_acquire(&session->lock);
    PGcancel *canceller = session->canceller;
    session->canceller = NULL;
    fb_lock_release(&session->lock);
    if (canceller == NULL)
        return;
    enum fb_pg_cancelled how = fb_pg_strike(&canceller);
    fb_lock_acquire(&session->lock);
    session->is_cancelled |= how == FB_PG_STRUCK;
    session->may_be_struck |= how == FB_PG_LEFT;
    if (session->canceller == NULL) {
        session->canceller = canceller;
        canceller = NULL;
    }
    fb_lock_release(&session->lock);
    PQfreeCancel(canceller);
}

/* The server has sent the signal before it answered the request, and ignores a signal between two statements; through a
 * proxy it may come later. So an empty round trip takes what is left of it. */
static void settle(struct fb_session *session) {
    fb_err err;
    fb_lock_acquire(&session->lock);
    bool is_cancelled = session->is_cancelled, may_be_struck = session->may_be_struck;
    session->is_cancelled = session->may_be_struck = false;
    fb_lock_release(&session->lock);
    if (may_be_struck) { /* nobody knows when: not this connection's next statement */
        fb_pg_hang_up(session);
        return;
    }
    if (!is_cancelled || fb_pg_is_lost(session))
        return;
    if (fb_pg_sync(session))
        (void)fb_pg_receive_sync(session, &err);
    else
        fb_pg_hang_up(session);
}

void fb_pg_hang_up(struct fb_session *session) {
    set_canceller(session, NULL);
    for (unsigned i = 0; i < session->ncached; i++)
        session->cached[i].is_prepared = false;
    PQfinish(session->db);
    session->db = NULL;
}

bool fb_pg_is_lost(const struct fb_session *session) {
    return session->db == NULL || PQstatus(session->db) != CONNECTION_OK;
}

/* What every statement of ours may rely on: the form of texts, and limits that the server keeps by itself. */
static fb_status set_up(struct fb_session *session, fb_err *err) {
    char text[512];
    int64_t ms = session->timeout_ms;
    snprintf(text, sizeof text,
             "SET datestyle = 'ISO'; SET intervalstyle = 'iso_8601'; "
             "SET timezone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = 'hex'; "
             "SET statement_timeout = %lld; SET lock_timeout = %lld; "
             "SET idle_in_transaction_session_timeout = %lld; SET default_transaction_read_only = %s",
             (long long)ms, (long long)ms, (long long)(2 * ms), session->is_writer ? "off" : "on");
    if (!PQsendQuery(session->db, text))
        return fb_pg_fail(session, NULL, err);
    fb_status status = FB_OK;
    for (;;) {
        while (PQisBusy(session->db))
            if (PQflush(session->db) < 0 || !wait_for(session->db, /* writes */ false, session->deadline) ||
                !PQconsumeInput(session->db))
                return fb_fail(err, FB_DOWN, "the server does not answer");
        PGresult *result = PQgetResult(session->db);
        if (result == NULL)
            return status;
        if (status == FB_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
            status = fb_pg_fail(session, result, err);
        PQclear(result);
    }
}

static fb_status connect_session(struct fb_session *session, fb_err *err) {
    fb_status status = fb_pg_connect(session->driver, session->deadline, &session->db, err);
    if (status != FB_OK)
        return status;
    status = set_up(session, err);
    if (status == FB_OK && !PQenterPipelineMode(session->db))
        status = fb_pg_fail(session, NULL, err);
    session->is_fresh = true;
    if (status != FB_OK)
        fb_pg_hang_up(session);
    else
        set_canceller(session, PQgetCancel(session->db));
    return status;
}

void fb_pg_more_time(struct fb_session *session) {
    fb_span timeout = session->is_writer ? session->driver->write_timeout : session->driver->read_timeout;
    session->timeout_ms = fb_span_ms(timeout);
    session->deadline = fb_after(fb_clock_now(), fb_ms(session->timeout_ms + FB_PG_GRACE_MS));
}

fb_status fb_pg_begin_call(struct fb_session *session, fb_err *err) {
    fb_pg_more_time(session);
    fb_clock_sleep(session->driver->added_latency);
    session->is_fresh = false;
    settle(session);
    return fb_pg_reconnect(session, err);
}

fb_status fb_pg_reconnect(struct fb_session *session, fb_err *err) {
    if (fb_pg_is_lost(session))
        fb_pg_hang_up(session);
    return session->db != NULL ? FB_OK : connect_session(session, err);
}

fb_status fb_pg_session_open(struct fb_driver *driver, bool is_writer, struct fb_session **ret_session,
                             fb_err *reterr) {
    struct fb_session *session = fb_mem_calloc(1, sizeof *session);
    if (session == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    session->driver = driver;
    session->is_writer = is_writer;
    fb_lock_init(&session->lock, FB_LOCK_CANCEL);
    fb_pg_more_time(session);
    fb_status status = connect_session(session, reterr);
    if (status != FB_OK) {
        fb_pg_session_close(session);
        return status;
    }
    *ret_session = session;
    return FB_OK;
}

void fb_pg_session_close(struct fb_session *session) {
    if (session == NULL)
        return;
    set_canceller(session, NULL);
    PQclear(session->held);
    PQfinish(session->db);
    fb_lock_finish(&session->lock);
    for (unsigned i = 0; i < session->ncached; i++)
        fb_mem_free(session->cached[i].text);
    fb_buf_free(&session->text);
    fb_buf_free(&session->keys);
    fb_buf_free(&session->decoded);
    fb_buf_free(&session->params);
    fb_buf_free(&session->rendered);
    fb_mem_free(session);
}

/* ---- statements ---- */

static struct fb_pg_cached *find_cached(struct fb_session *session, const char *text, uint64_t hash) {
    for (unsigned i = 0; i < session->ncached; i++)
        if (session->cached[i].hash == hash && strcmp(session->cached[i].text, text) == 0)
            return &session->cached[i];
    return NULL;
}

static uint64_t hash_of(const char *text) {
    static const struct fb_hash_key key = {0, 0}; /* texts are ours, nobody can aim at this hash */
    return fb_hash(&key, text, strlen(text));
}

static void name_anew(struct fb_session *session, struct fb_pg_cached *cached) {
    cached->is_prepared = false;
    snprintf(cached->name, sizeof cached->name, "fb%llu", (unsigned long long)++session->names);
}

/* The server forgets the statement that gives way, in the same round trip. */
static bool send_close(struct fb_session *session, const struct fb_pg_cached *cached, struct fb_pg_sent *sent) {
    char text[sizeof cached->name + 16];
    if (!cached->is_prepared)
        return true;
    snprintf(text, sizeof text, "DEALLOCATE %s", cached->name);
    sent->nbefore++;
    return PQsendQueryParams(session->db, text, 0, NULL, NULL, NULL, NULL, /* text */ 0);
}

/* A place for one more statement, with a name that this connection has not used yet. */
static struct fb_pg_cached *new_cached(struct fb_session *session, const char *text, uint64_t hash,
                                       struct fb_pg_sent *sent) {
    char *copy = fb_mem_strdup(text);
    if (copy == NULL)
        return NULL;
    struct fb_pg_cached *place = &session->cached[0];
    bool is_sent = true;
    if (session->ncached < FB_PG_STATEMENTS_MAX) {
        place = &session->cached[session->ncached++];
    } else {
        for (unsigned i = 1; i < session->ncached; i++)
            if (session->cached[i].used < place->used)
                place = &session->cached[i];
        is_sent = send_close(session, place, sent);
        fb_mem_free(place->text);
    }
    *place = (struct fb_pg_cached){.text = copy, .hash = hash};
    name_anew(session, place);
    return is_sent ? place : NULL;
}

bool fb_pg_send(struct fb_session *session, const char *text, const struct fb_pg_params *params,
                struct fb_pg_sent *ret_sent) {
    static const struct fb_pg_params none = {.n = 0};
    const struct fb_pg_params *p = params != NULL ? params : &none;
    *ret_sent = (struct fb_pg_sent){.hash = hash_of(text)};
    if (session->db == NULL)
        return false;
    struct fb_pg_cached *cached = find_cached(session, text, ret_sent->hash);
    if (cached == NULL && (cached = new_cached(session, text, ret_sent->hash, ret_sent)) == NULL)
        return false;
    cached->used = ++session->uses;
    if (!cached->is_prepared) {
        if (!PQsendPrepare(session->db, cached->name, text, 0, NULL))
            return false;
        cached->is_prepared = true;
        ret_sent->nbefore++;
    }
    return PQsendQueryPrepared(session->db, cached->name, p->n, p->values, p->lengths, p->formats, /* text */ 0);
}

bool fb_pg_sync(struct fb_session *session) {
    if (session->db == NULL || !PQpipelineSync(session->db))
        return false;
    for (int left; (left = PQflush(session->db)) != 0;)
        if (left < 0 || !wait_for(session->db, /* writes */ true, session->deadline) || !PQconsumeInput(session->db))
            return false;
    return true;
}

/* The next result with the NULL behind it; NULL: the deadline has passed, or the connection is lost. */
static PGresult *next_result(struct fb_session *session, fb_err *err) {
    if (session->db == NULL) {
        fb_fail(err, FB_DOWN, "the connection was lost");
        return NULL;
    }
    while (PQisBusy(session->db)) {
        if (!wait_for(session->db, /* writes */ false, session->deadline)) {
            fb_fail(err, FB_TIMEOUT, "no answer within %lld ms", (long long)session->timeout_ms);
            fb_pg_hang_up(session);
            return NULL;
        }
        if (!PQconsumeInput(session->db)) {
            (void)fb_pg_fail(session, NULL, err);
            fb_pg_hang_up(session);
            return NULL;
        }
    }
    PGresult *result = PQgetResult(session->db);
    if (result == NULL) {
        (void)fb_pg_fail(session, NULL, err);
        fb_pg_hang_up(session);
    }
    return result;
}

/* Behind the results of each statement stands a NULL. */
static void pass_null(struct fb_session *session) {
    while (session->db != NULL && PQisBusy(session->db))
        if (!wait_for(session->db, /* writes */ false, session->deadline) || !PQconsumeInput(session->db)) {
            fb_pg_hang_up(session);
            return;
        }
    if (session->db != NULL)
        PQclear(PQgetResult(session->db));
}

static void forget_prepared(struct fb_session *session, const struct fb_pg_sent *sent) {
    for (unsigned i = 0; i < session->ncached; i++)
        if (session->cached[i].hash == sent->hash)
            name_anew(session, &session->cached[i]); /* another name: this one may exist after all */
}

/* The plan of a prepared statement may be out of date after DDL; both say so only when it is executed. */
static bool is_outdated(const PGresult *result) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state != NULL && (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0);
}

static fb_status receive_one(struct fb_session *session, const struct fb_pg_sent *sent, PGresult **ret_result,
                             fb_err *err) {
    PGresult *result = next_result(session, err);
    *ret_result = NULL;
    if (result == NULL)
        return err->status;
    pass_null(session);
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        *ret_result = result;
        return FB_OK;
    case PGRES_PIPELINE_ABORTED:
        PQclear(result);
        forget_prepared(session, sent);
        return fb_fail(err, FB_SOURCE, "not run: a statement before it failed");
    default:
        break;
    }
    fb_status status = fb_pg_fail(session, result, err);
    if (is_outdated(result))
        forget_prepared(session, sent);
    PQclear(result);
    return status;
}

fb_status fb_pg_receive(struct fb_session *session, const struct fb_pg_sent *sent, PGresult **ret_result,
                        fb_err *err) {
    fb_status first = FB_OK;
    *ret_result = NULL;
    for (unsigned i = 0; i <= sent->nbefore; i++) {
        fb_err own;
        PGresult *result = NULL;
        fb_status status = receive_one(session, sent, &result, first == FB_OK ? err : &own);
        if (i == sent->nbefore && first == FB_OK)
            *ret_result = result;
        else
            PQclear(result);
        first = first == FB_OK ? status : first;
        if (session->db == NULL)
            return first;
    }
    return first;
}

fb_status fb_pg_receive_sync(struct fb_session *session, fb_err *err) {
    PGresult *result = next_result(session, err);
    if (result == NULL)
        return err->status;
    ExecStatusType kind = PQresultStatus(result);
    PQclear(result);
    if (kind == PGRES_PIPELINE_SYNC)
        return FB_OK;
    fb_pg_hang_up(session); /* we have lost count: nothing that follows could be trusted */
    return fb_fail(err, FB_SOURCE, "the server's answers are out of step");
}

fb_status fb_pg_run(struct fb_session *session, const char *text, const struct fb_pg_params *params,
                    PGresult **ret_result, fb_err *err) {
    struct fb_pg_sent sent;
    fb_err own;
    *ret_result = NULL;
    if (!fb_pg_send(session, text, params, &sent) || !fb_pg_sync(session)) {
        (void)fb_pg_fail(session, NULL, err);
        fb_pg_hang_up(session);
        return err->status;
    }
    fb_status status = fb_pg_receive(session, &sent, ret_result, err);
    if (session->db != NULL && fb_pg_receive_sync(session, status == FB_OK ? err : &own) != FB_OK && status == FB_OK) {
        PQclear(*ret_result);
        *ret_result = NULL;
        status = err->status;
    }
    return status;
}
