/* PostgreSQL as a source: opening a database, and what its errors mean. */
#include "source/pg.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "source/flush.h"

/* ---- the driver ---- */

/* Two names may lead to one database; the cluster's own number tells, where we may ask for it. */
static fb_status identify(struct fb_driver *driver, fb_err *err) {
    static const char *const questions[] = {
        "SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "FROM pg_control_system()",
        "SELECT coalesce(host(inet_server_addr()), '') || ':' || coalesce(inet_server_port()::text, '') || '/' || "
        "current_database()",
    };
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        PGresult *result = fb_pg_catalogue_exec(driver, questions[i]);
        bool is_known = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
        driver->identity = is_known ? fb_mem_strdup(PQgetvalue(result, 0, 0)) : NULL;
        PQclear(result);
        if (is_known)
            return driver->identity != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
    }
    return fb_fail(err, FB_DOWN, "%s", fb_pg_catalogue_message(driver));
}

fb_status fb_pg_catalogue(struct fb_driver *driver, fb_err *err) {
    char text[96];
    if (driver->catalogue != NULL && PQstatus(driver->catalogue) == CONNECTION_OK)
        return FB_OK;
    PQfinish(driver->catalogue);
    driver->catalogue = NULL;
    driver->is_silent = false;
    fb_instant deadline = fb_after(fb_clock_now(), driver->read_timeout);
    fb_status status = fb_pg_connect(driver, deadline, &driver->catalogue, err);
    if (status != FB_OK)
        return status;
    long long ms = fb_span_ms(driver->read_timeout);
    snprintf(text, sizeof text, "SET statement_timeout = %lld; SET lock_timeout = %lld", ms, ms);
    PGresult *result = PQsetnonblocking(driver->catalogue, 0) == 0 ? fb_pg_catalogue_exec(driver, text) : NULL;
    bool is_ready = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return is_ready ? FB_OK : fb_fail(err, FB_DOWN, "%s", fb_pg_catalogue_message(driver));
}

static void close_driver(struct fb_driver *driver) {
    if (driver == NULL)
        return;
    PQfinish(driver->catalogue);
    fb_mem_free(driver->url);
    fb_mem_free(driver->identity);
    fb_mem_free(driver);
}

static fb_status keep_url(struct fb_driver *driver, const char *url, fb_err *err) {
    char *message = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &message);
    if (parsed == NULL) {
        /* libpq quotes the URL, which may hold a password. */
        PQfreemem(message);
        return fb_fail(err, FB_INVALID, "the URL is not one of PostgreSQL's: postgresql://USER@HOST:PORT/DATABASE");
    }
    PQconninfoFree(parsed);
    driver->url = fb_mem_strdup(url);
    return driver->url != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

static fb_status open_driver(const char *url, const fb_source_options *options, struct fb_driver **ret_driver,
                             fb_err *reterr) {
    static const fb_source_options none = {0};
    const fb_source_options *o = options != NULL ? options : &none;
    struct fb_driver *driver = fb_mem_calloc(1, sizeof *driver);
    if (driver == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    driver->read_timeout = fb_ms(o->read_timeout_ms > 0 ? o->read_timeout_ms : FB_PG_READ_TIMEOUT_MS);
    driver->write_timeout = fb_ms(o->write_timeout_ms > 0 ? o->write_timeout_ms : FB_PG_WRITE_TIMEOUT_MS);
    driver->added_latency = fb_ms(o->added_latency_ms);
    fb_status status = keep_url(driver, url, reterr);
    if (status == FB_OK)
        status = fb_pg_catalogue(driver, reterr);
    if (status == FB_OK)
        status = identify(driver, reterr);
    if (status != FB_OK) {
        close_driver(driver);
        return status;
    }
    *ret_driver = driver;
    return FB_OK;
}

/* ---- errors ---- */

/* Classes of SQLSTATE (PostgreSQL's documentation, appendix A); the longest prefix that fits counts. */
static const struct { const char *prefix; fb_status status; } states[] = {
    {"08", FB_DOWN},        /* connection exception */
    {"22", FB_BADVALUE},    /* data exception: too long, out of range, invalid text */
    {"23", FB_CONFLICT},    /* integrity constraint violation */
    {"25006", FB_DOWN},     /* read-only: the server is no primary any more */
    {"40001", FB_CONFLICT}, /* could not serialise */
    {"40P01", FB_CONFLICT}, /* deadlock */
    {"53", FB_DOWN},        /* out of connections, memory or disk */
    {"55P03", FB_TIMEOUT},  /* lock not available within lock_timeout */
    {"57014", FB_TIMEOUT},  /* cancelled: statement_timeout */
    {"57P", FB_DOWN},       /* shutting down, starting up, dropped */
};

static fb_status status_of(const char *state) {
    fb_status status = FB_SOURCE;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strncmp(state, states[i].prefix, strlen(states[i].prefix)) == 0)
            status = states[i].status;
    return status;
}

fb_status fb_pg_catalogue_status(const struct fb_driver *driver, const PGresult *result) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (PQstatus(driver->catalogue) != CONNECTION_OK)
        return FB_DOWN;
    fb_status status = state != NULL ? status_of(state) : FB_CONFIG;
    return status == FB_DOWN || status == FB_TIMEOUT ? status : FB_CONFIG;
}

const char *fb_pg_catalogue_message(const struct fb_driver *driver) {
    return driver->is_silent ? "no answer within the time allowed" : PQerrorMessage(driver->catalogue);
}

fb_status fb_pg_fail(const struct fb_session *session, const PGresult *result, fb_err *err) {
    const char *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *message = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (state == NULL) {
        const char *text = session->db != NULL ? PQerrorMessage(session->db) : "";
        return fb_fail(err, FB_DOWN, "%s", text[0] != '\0' ? text : "the connection was lost");
    }
    /* Not the detail: it may show whole rows, with columns that are hidden. */
    return fb_fail(err, status_of(state), "%s %s", state, message != NULL ? message : "");
}

/* ---- plans ---- */

/* No text of PostgreSQL holds NUL. (Texts for columns have been checked for it.) */
static fb_status refuse_nul(const struct fb_binding *binding, const struct fb_plan *plan, fb_err *reterr) {
    for (unsigned i = 0; i < binding->mapping.pattern.nparams; i++) {
        const struct fb_datum *key = &plan->key[i];
        if (key->kind == FB_DATUM_TEXT && key->bytes.len > 0 && memchr(key->bytes.data, 0, key->bytes.len) != NULL)
            return fb_mapping_fail(&binding->mapping, reterr, FB_BADVALUE, "the key holds NUL, which no text here can");
    }
    return FB_OK;
}

static fb_status plan(const struct fb_binding *binding, const fb_op *op, struct fb_plan **ret_plan, fb_err *reterr) {
    bool is_delete = op->kind == FB_OP_DELETE, writes = op->kind != FB_OP_READ && op->kind != FB_OP_CHECK;
    if (writes && !binding->is_table && (is_delete ? binding->del.text : binding->store.text) == NULL)
        return fb_mapping_fail(&binding->mapping, reterr, FB_READONLY, "there is no %s statement",
                               is_delete ? "delete" : "store");
    fb_status status = fb_plan_make(&binding->mapping, op, ret_plan, reterr);
    if (status == FB_OK && (status = refuse_nul(binding, *ret_plan, reterr)) != FB_OK) {
        fb_plan_free(*ret_plan);
        *ret_plan = NULL;
    }
    return status;
}

static struct fb_mapping *mapping(struct fb_binding *binding) { return &binding->mapping; }

const struct fb_driver_ops fb_driver_postgresql = {
    .has_lists = true,
    .mapping = mapping,
    .writes = fb_pg_writes,
    .scheme = "postgresql",
    .alias = "postgres",
    .writers_max = 2, /* one gathers while the other waits for the disk */
    .open = open_driver,
    .close = close_driver,
    .bind = fb_pg_bind_keyspace,
    .unbind = fb_pg_unbind,
    .review = fb_pg_review,
    .tables = fb_pg_tables,
    .shared_table = fb_pg_shared_table,
    .statement = fb_pg_statement_text,
    .plan = plan,
    .plan_free = fb_plan_free,
    .session_open = fb_pg_session_open,
    .session_close = fb_pg_session_close,
    .load = fb_pg_load,
    .list = fb_pg_list,
    .store = fb_pg_store,
    .cancel = fb_pg_cancel,
    .flush = &fb_flush_postgresql,
};
