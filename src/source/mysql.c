/* MariaDB and MySQL as a source: opening a database, what its errors mean, and what is asked of a write beforehand. */
#include "source/mysql.h"

#include <stdatomic.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "source/flush.h"

/* ---- the driver ---- */

static void close_driver(struct fb_driver *driver) {
    if (driver == NULL)
        return;
    fb_mysql_session_free(driver->catalogue);
    fb_mysql_free_address(&driver->address);
    fb_mem_free(driver->identity);
    fb_mem_free(driver);
}

/* Two names may lead to one server; its own number tells, where it has one. */
static fb_status identify(struct fb_driver *driver, fb_err *err) {
    static const struct fb_mysql_type text[] = {{.form = FB_MYSQL_TEXT}};
    static const char *const questions[] = {
        "SELECT CAST(@@server_uuid AS CHAR)", "SELECT CAST(@@server_uid AS CHAR)",
        "SELECT CAST(CONCAT(@@hostname, ':', @@port, ':', @@datadir) AS CHAR)",
    };
    const struct fb_mapping none = {.name = NULL};
    fb_status status = FB_OK;
    for (size_t i = 0; i < sizeof questions / sizeof questions[0] && driver->identity == NULL; i++) {
        struct fb_mysql_statement *statement;
        struct fb_datum answer;
        status = fb_mysql_params_begin(driver->catalogue, 0, err);
        if (status == FB_OK)
            status = fb_mysql_execute(driver->catalogue, questions[i], NULL, text, 1, &statement, err);
        if (status != FB_OK)
            continue;
        status = fb_mysql_next(driver->catalogue, statement, &none, &answer, err);
        if (status == FB_OK && answer.kind == FB_DATUM_TEXT) {
            char *copy = fb_mem_alloc(answer.bytes.len + 1);
            if (copy != NULL) {
                memcpy(copy, answer.bytes.data, answer.bytes.len);
                copy[answer.bytes.len] = '\0';
            }
            driver->identity = copy;
        }
        fb_mysql_release(statement);
    }
    return driver->identity != NULL ? FB_OK : status != FB_OK ? status : fb_fail(err, FB_NOMEM, "out of memory");
}

static fb_status open_driver(const char *url, const fb_source_options *options, struct fb_driver **ret_driver,
                             fb_err *reterr) {
    static const fb_source_options none = {0};
    const fb_source_options *o = options != NULL ? options : &none;
    struct fb_driver *driver = fb_mem_calloc(1, sizeof *driver);
    if (driver == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    driver->read_timeout = fb_ms(o->read_timeout_ms > 0 ? o->read_timeout_ms : FB_MYSQL_READ_TIMEOUT_MS);
    driver->write_timeout = fb_ms(o->write_timeout_ms > 0 ? o->write_timeout_ms : FB_MYSQL_WRITE_TIMEOUT_MS);
    driver->added_latency = fb_ms(o->added_latency_ms);
    fb_status status = mysql_server_init(0, NULL, NULL) == 0 ? FB_OK : fb_fail(reterr, FB_NOMEM, "out of memory");
    if (status == FB_OK)
        status = fb_mysql_parse_url(url, &driver->address, reterr);
    if (status == FB_OK)
        status = fb_mysql_session_new(driver, FB_MYSQL_CATALOGUE, &driver->catalogue, reterr);
    if (status == FB_OK)
        status = identify(driver, reterr);
    if (status != FB_OK) {
        close_driver(driver);
        return status;
    }
    *ret_driver = driver;
    return FB_OK;
}

static fb_status open_session(struct fb_driver *driver, bool is_writer, struct fb_session **ret_session,
                              fb_err *reterr) {
    return fb_mysql_session_new(driver, is_writer ? FB_MYSQL_WRITER : FB_MYSQL_READER, ret_session, reterr);
}

/* ---- errors ---- */

enum { CLIENT_FIRST = 2000, CLIENT_LAST = 2999, CLIENT_NO_MEMORY = 2008 };

static const struct { unsigned number; fb_status status; } numbers[] = {
    {1020, FB_CONFLICT}, /* the row has changed since it was read */
    {1021, FB_DOWN},     /* disk full */
    {1040, FB_DOWN},     /* too many connections */
    {1041, FB_DOWN},     /* out of memory */
    {1045, FB_DOWN},     /* access denied */
    {1047, FB_DOWN},     /* a node that is not part of its cluster */
    {1053, FB_DOWN},     /* shutting down */
    {1114, FB_DOWN},     /* table full */
    {1153, FB_BADVALUE}, /* larger than max_allowed_packet */
    {1203, FB_DOWN},     /* too many connections of this user */
    {1205, FB_TIMEOUT},  /* waited too long for a lock */
    {1213, FB_CONFLICT}, /* deadlock */
    {1226, FB_DOWN},     /* this user has had its share */
    {1265, FB_BADVALUE}, /* truncated */
    {1267, FB_BADVALUE}, /* a text that the column's character set cannot hold */
    {1271, FB_BADVALUE},
    {1290, FB_DOWN},     /* read-only: no primary any more */
    {1317, FB_TIMEOUT},  /* given up by KILL QUERY */
    {1364, FB_CONFLICT}, /* no default for a column that must not be NULL */
    {1366, FB_BADVALUE},
    {1836, FB_DOWN},     /* read-only */
    {1927, FB_DOWN},     /* connection killed */
    {1969, FB_TIMEOUT},  /* max_statement_time */
    {3024, FB_TIMEOUT},  /* max_execution_time */
    {3572, FB_TIMEOUT},  /* locked, and asked not to wait */
    {3819, FB_CONFLICT}, /* a check constraint */
    {3988, FB_BADVALUE},
    {4031, FB_DOWN},     /* disconnected for having been idle */
};
/* Classes of SQLSTATE, for all others. */
static const struct { const char *prefix; fb_status status; } states[] = {
    {"08", FB_DOWN}, {"22", FB_BADVALUE}, {"23", FB_CONFLICT}, {"45", FB_CONFLICT /* SIGNAL of a trigger */},
};

bool fb_mysql_is_foreign_text(unsigned number) { return number == 1267 || number == 1271 || number == 3988; }

fb_status fb_mysql_fail(struct fb_session *session, MYSQL_STMT *statement, fb_err *err) {
    unsigned number = statement != NULL ? mysql_stmt_errno(statement) : mysql_errno(session->db);
    const char *text = statement != NULL ? mysql_stmt_error(statement) : mysql_error(session->db);
    const char *state = statement != NULL ? mysql_stmt_sqlstate(statement) : mysql_sqlstate(session->db);
    session->number_failed = number;
    if (session->is_late)
        return fb_fail(err, FB_TIMEOUT, "no answer within %lld ms", (long long)session->timeout_ms);
    if (number == CLIENT_NO_MEMORY)
        return fb_fail(err, FB_NOMEM, "out of memory");
    if (number == 0 || (number >= CLIENT_FIRST && number <= CLIENT_LAST)) {
        session->is_broken = true;
        return fb_fail(err, FB_DOWN, "%s", number != 0 ? text : "the connection was lost");
    }
    fb_status status = FB_SOURCE;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strncmp(state, states[i].prefix, strlen(states[i].prefix)) == 0)
            status = states[i].status;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].number == number)
            status = numbers[i].status;
    if (status == FB_DOWN)
        session->is_broken = true; /* where it leads, another connection may find another server */
    return fb_fail(err, status, "%s (%u) %s", state, number, text);
}

/* ---- plans ---- */

static bool is_digits(fb_bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.len > 0;
}

/* What the class of a column lets pass and its type does not: fractions that would be rounded, infinities, numbers as
 * dates (which are days and months to MySQL, not seconds). */
static fb_status check_value(const struct fb_binding *b, unsigned column, struct fb_datum *value, fb_err *err) {
    const struct fb_mysql_type *type = &b->types[column];
    const char *name = b->mapping.columns[column].name;
    bool is_whole = type->form == FB_MYSQL_UINT || type->form == FB_MYSQL_BIT;
    if (is_whole && value->kind == FB_DATUM_NUMBER && !is_digits(value->bytes))
        return fb_mapping_fail(&b->mapping, err, FB_BADVALUE, "field '%s' wants integer, got \"%.*s\"", name,
                               value->bytes.len < 40 ? (int)value->bytes.len : 40, value->bytes.data);
    if (value->kind == FB_DATUM_REAL && __builtin_isinf(value->r))
        return fb_mapping_fail(&b->mapping, err, FB_BADVALUE, "field '%s' cannot hold Infinity", name);
    if (b->mapping.columns[column].class == FB_CLASS_TIME && !fb_mysql_time_value(type, value))
        return fb_mapping_fail(&b->mapping, err, FB_BADVALUE, "field '%s' wants date or time as text", name);
    return FB_OK;
}

/* A write that is larger than the server takes at once is refused before anybody is told that it was accepted: written
 * behind, it would fit neither its row nor a dead letter. */
static fb_status check_size(const struct fb_binding *b, const struct fb_plan *plan, fb_bytes key, fb_err *err) {
    enum { AROUND = 4096, OF_VALUE = 256 }; /* the statement or the letter, its message, the names of columns */
    size_t most = atomic_load(&b->driver->packet_max), bytes = 2 * key.len + AROUND;
    for (unsigned i = 0; i < plan->nassigns; i++)
        bytes += OF_VALUE + (plan->assigns[i].value.kind >= FB_DATUM_NUMBER ? plan->assigns[i].value.bytes.len : 0);
    if (most == 0 || bytes <= most)
        return FB_OK;
    return fb_mapping_fail(&b->mapping, err, FB_BADVALUE, "%zu bytes are more than the server takes at once "
                           "(max_allowed_packet %zu)", bytes, most);
}

static fb_status plan(const struct fb_binding *binding, const fb_op *op, struct fb_plan **ret_plan, fb_err *reterr) {
    bool is_delete = op->kind == FB_OP_DELETE, writes = op->kind != FB_OP_READ && op->kind != FB_OP_CHECK;
    struct fb_plan *made;
    if (writes && !binding->is_table && (is_delete ? binding->del.text : binding->store.text) == NULL)
        return fb_mapping_fail(&binding->mapping, reterr, FB_READONLY, "there is no %s statement",
                               is_delete ? "delete" : "store");
    fb_status status = fb_plan_make(&binding->mapping, op, &made, reterr);
    if (status != FB_OK)
        return status;
    for (unsigned i = 0; i < made->nassigns && status == FB_OK; i++)
        status = check_value(binding, made->assigns[i].column, &made->assigns[i].value, reterr);
    if (status == FB_OK && writes)
        status = check_size(binding, made, op->key, reterr);
    if (status != FB_OK)
        fb_plan_free(made);
    else
        *ret_plan = made;
    return status;
}

static struct fb_mapping *mapping(struct fb_binding *binding) { return &binding->mapping; }

const struct fb_driver_ops fb_driver_mysql = {
    .scheme = "mysql",
    .alias = "mariadb",
    .has_lists = true,
    .writers_max = 2, /* one gathers while the other waits for the disk */
    .open = open_driver,
    .close = close_driver,
    .bind = fb_mysql_bind_keyspace,
    .unbind = fb_mysql_unbind,
    .review = fb_mysql_review,
    .tables = fb_mysql_tables,
    .mapping = mapping,
    .writes = fb_mysql_writes,
    .shared_table = fb_mysql_shared_table,
    .statement = fb_mysql_statement_text,
    .plan = plan,
    .plan_free = fb_plan_free,
    .session_open = open_session,
    .session_close = fb_mysql_session_free,
    .load = fb_mysql_load,
    .list = fb_mysql_list,
    .store = fb_mysql_store,
    .cancel = fb_mysql_cancel,
    .flush = &fb_flush_mysql,
};
