/* Connections to MariaDB and MySQL: every wait has a deadline.
 *
 * libmariadb's functions are used in their non-blocking form (…_start, …_cont): whatever one would wait for, we wait for
 * with poll() and the deadline of the call. The server ends a long statement by itself (max_statement_time; MySQL:
 * max_execution_time, for reading only), and a wait for a lock (innodb_lock_wait_timeout, in whole seconds);
 * FB_MYSQL_GRACE_MS later we hang up. */
#include "source/mysql.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

/* ---- waiting ---- */

int fb_mysql_wait(struct fb_session *session, MYSQL *db, int wanted) {
    struct pollfd fd = {.fd = mysql_get_socket(db)};
    fd.events |= wanted & MYSQL_WAIT_READ ? POLLIN : 0;
    fd.events |= wanted & MYSQL_WAIT_WRITE ? POLLOUT : 0;
    fd.events |= wanted & MYSQL_WAIT_EXCEPT ? POLLPRI : 0;
    for (;;) {
        int64_t left = fb_span_ms(fb_since(session->deadline, fb_clock_now())) + 1;
        int n = left > 0 ? poll(&fd, 1, left > INT32_MAX ? INT32_MAX : (int)left) : 0;
        if (n > 0) /* an error shows itself when the library reads or writes */
            return wanted & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE | MYSQL_WAIT_EXCEPT);
        if (n == 0) {
            session->is_late = true;
            return MYSQL_WAIT_TIMEOUT;
        }
    }
}

/* ---- connecting ---- */

static void set_options(MYSQL *db, const struct fb_mysql_address *a) {
    static const my_bool yes = 1, no = 0;
    mysql_options(db, MYSQL_OPT_NONBLOCK, 0);
    mysql_options(db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options4(db, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "forebay");
    mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &(unsigned){0}); /* no server may ask us for our files */
    if (a->port != 0 && a->socket == NULL)
        mysql_options(db, MYSQL_OPT_PROTOCOL, &(unsigned){MYSQL_PROTOCOL_TCP});
    if (a->uses_tls) {
        mysql_ssl_set(db, a->tls_key, a->tls_cert, a->tls_ca, NULL, NULL);
        if (a->tls_crl != NULL)
            mysql_options(db, MYSQL_OPT_SSL_CRL, a->tls_crl);
        mysql_options(db, MYSQL_OPT_SSL_ENFORCE, &yes);
    }
    mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, a->verifies ? &yes : &no);
}

/* What every statement of ours may rely on, and limits that the server keeps by itself. Waiting for a lock may take half
 * of a write's time, so that one row that stays locked leaves the others of its batch theirs. A connection that we left
 * with a statement under way is ended: it may hold the locks we are about to ask for. */
static fb_status set_up(struct fb_session *session, fb_err *err) {
    static const char *const modes[] = {
        [FB_MYSQL_READER] = "SET SESSION TRANSACTION READ ONLY",
        [FB_MYSQL_WRITER] = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        [FB_MYSQL_CATALOGUE] = NULL,
    };
    char text[512];
    const char *info = mysql_get_server_info(session->db);
    long long ms = (long long)session->timeout_ms, lock_s = ms / 2000 > 0 ? ms / 2000 : 1;
    session->is_mariadb = info != NULL && strstr(info, "MariaDB") != NULL;
    int n = snprintf(text, sizeof text,
                     "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
                     "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', autocommit = %d, "
                     "innodb_lock_wait_timeout = %lld, ",
                     session->role == FB_MYSQL_WRITER ? 0 : 1, lock_s);
    if (session->role != FB_MYSQL_CATALOGUE) /* of the one row too many a list is told, and not more are sent */
        n += snprintf(text + n, sizeof text - (size_t)n, "sql_select_limit = %d, ", FB_MANY_ROWS_MAX + 1);
    if (session->is_mariadb)
        snprintf(text + n, sizeof text - (size_t)n, "max_statement_time = %lld.%03lld", ms / 1000, ms % 1000);
    else
        snprintf(text + n, sizeof text - (size_t)n, "max_execution_time = %lld", ms);
    fb_status status = fb_mysql_command(session, text, err);
    if (status == FB_OK && session->left_behind != 0) {
        fb_err own;
        snprintf(text, sizeof text, "KILL %lu", session->left_behind);
        session->left_behind = 0;
        (void)fb_mysql_command(session, text, &own); /* it may be gone by now */
    }
    if (status == FB_OK && modes[session->role] != NULL)
        status = fb_mysql_command(session, modes[session->role], err);
    return status;
}

static fb_status ask_packet_max(struct fb_session *session, fb_err *err) {
    static const struct fb_mysql_type number[] = {{.form = FB_MYSQL_INT}};
    const struct fb_mapping none = {.name = NULL};
    struct fb_mysql_statement *statement;
    struct fb_datum answer;
    session->packet_max = 0;
    fb_status status = fb_mysql_params_begin(session, 0, err);
    if (status == FB_OK)
        status = fb_mysql_execute(session, "SELECT CAST(@@max_allowed_packet AS SIGNED)", NULL, number, 1, &statement, err);
    if (status != FB_OK)
        return status;
    status = fb_mysql_next(session, statement, &none, &answer, err);
    if (status == FB_OK && answer.kind == FB_DATUM_INT && answer.i > 0)
        session->packet_max = (size_t)answer.i;
    atomic_store(&session->driver->packet_max, session->packet_max);
    fb_mysql_release(statement);
    return status;
}

static fb_status connect_session(struct fb_session *session, fb_err *err) {
    const struct fb_mysql_address *a = &session->driver->address;
    MYSQL *db = mysql_init(NULL), *connected = NULL;
    if (db == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    set_options(db, a);
    session->db = db;
    session->is_broken = false;
    FB_MYSQL_AWAIT(session, db, mysql_real_connect, &connected, db, a->host, a->user, a->password, a->database, a->port,
                   a->socket, CLIENT_FOUND_ROWS);
    fb_status status = FB_OK;
    if (connected == NULL) {
        status = session->is_late ? fb_fail(err, FB_DOWN, "no connection within %lld ms", (long long)session->timeout_ms)
                                  : fb_mysql_fail(session, NULL, err);
        /* Whatever kept us from connecting: nothing was asked, and another time it may work. */
        err->status = status = status == FB_NOMEM ? status : FB_DOWN;
    } else {
        status = set_up(session, err);
        if (status == FB_OK)
            status = ask_packet_max(session, err);
    }
    if (status != FB_OK) {
        fb_mysql_hang_up(session);
        return status;
    }
    session->is_fresh = true;
    atomic_store(&session->number, mysql_thread_id(db));
    return FB_OK;
}

static void forget_statement(struct fb_mysql_statement *statement) {
    if (statement->handle != NULL)
        mysql_stmt_close(statement->handle); /* of a closed connection: memory only */
    statement->handle = NULL;
}

void fb_mysql_hang_up(struct fb_session *session) {
    if (session->db == NULL)
        return;
    session->left_behind = session->is_late ? atomic_load(&session->number) : 0;
    atomic_store(&session->number, 0);
    if (session->is_late || session->is_broken) /* no farewell: it could block */
        shutdown(mysql_get_socket(session->db), SHUT_RDWR);
    mysql_close(session->db);
    session->db = NULL;
    session->is_broken = false;
    for (unsigned i = 0; i < session->ncached; i++)
        forget_statement(&session->cached[i]);
}

bool fb_mysql_is_lost(const struct fb_session *session) {
    return session->db == NULL || session->is_broken || session->is_late;
}

void fb_mysql_more_time(struct fb_session *session) {
    fb_span timeout = session->role == FB_MYSQL_WRITER ? session->driver->write_timeout : session->driver->read_timeout;
    session->timeout_ms = fb_span_ms(timeout);
    session->deadline = fb_after(fb_clock_now(), fb_ms(session->timeout_ms + FB_MYSQL_GRACE_MS));
}

fb_status fb_mysql_reconnect(struct fb_session *session, fb_err *err) {
    if (atomic_load(&session->is_cancelled))
        return fb_fail(err, FB_TIMEOUT, "given up");
    if (fb_mysql_is_lost(session))
        fb_mysql_hang_up(session);
    session->is_late = false;
    return session->db != NULL ? FB_OK : connect_session(session, err);
}

fb_status fb_mysql_begin_trip(struct fb_session *session, fb_err *err) {
    fb_mysql_more_time(session);
    fb_clock_sleep(session->driver->added_latency);
    return fb_mysql_reconnect(session, err);
}

fb_status fb_mysql_begin_call(struct fb_session *session, fb_err *err) {
    if (atomic_exchange(&session->is_cancelled, false))
        fb_mysql_hang_up(session);
    session->is_fresh = false;
    return fb_mysql_begin_trip(session, err);
}

fb_status fb_mysql_session_new(struct fb_driver *driver, enum fb_mysql_role role, struct fb_session **ret_session,
                               fb_err *reterr) {
    struct fb_session *session = fb_mem_calloc(1, sizeof *session);
    if (session == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    session->driver = driver;
    session->role = role;
    fb_mysql_more_time(session);
    fb_status status = connect_session(session, reterr);
    if (status != FB_OK) {
        fb_mysql_session_free(session);
        return status;
    }
    *ret_session = session;
    return FB_OK;
}

void fb_mysql_session_free(struct fb_session *session) {
    if (session == NULL)
        return;
    fb_mysql_hang_up(session);
    for (unsigned i = 0; i < session->ncached; i++)
        fb_mysql_finish_statement(&session->cached[i]);
    fb_mem_free(session->params);
    fb_mem_free(session->lengths);
    fb_buf_free(&session->text);
    fb_buf_free(&session->kept);
    fb_buf_free(&session->rendered);
    fb_mem_free(session);
}

/* ---- giving up ---- */

/* By a connection of its own, as the session's is busy. The session hangs up before its next call, since the server may
 * note the request when the query is over already, and would then end the next one. */
void fb_mysql_cancel(struct fb_session *session) {
    unsigned long number = atomic_load(&session->number);
    struct fb_session *other;
    char text[64];
    fb_err err;
    if (number == 0)
        return;
    atomic_store(&session->is_cancelled, true);
    if (fb_mysql_session_new(session->driver, FB_MYSQL_CATALOGUE, &other, &err) != FB_OK)
        return; /* the deadline of the call remains */
    snprintf(text, sizeof text, "KILL QUERY %lu", number);
    (void)fb_mysql_command(other, text, &err);
    fb_mysql_session_free(other);
}
