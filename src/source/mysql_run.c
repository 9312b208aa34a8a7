/* Prepared statements of MariaDB and MySQL: each is prepared once per connection, with its parameters in the binary
 * protocol, and its rows arrive in places of their own. */
#include "source/mysql.h"

#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

enum { CELL_KEPT_MAX = 64 << 10 }; /* bytes of a place for a value that stay with it; larger ones are made anew */

fb_status fb_mysql_command(struct fb_session *session, const char *text, fb_err *err) {
    int failed = 1;
    FB_MYSQL_AWAIT(session, session->db, mysql_real_query, &failed, session->db, text, strlen(text));
    return failed == 0 ? FB_OK : fb_mysql_fail(session, NULL, err);
}

/* ---- parameters ---- */

fb_status fb_mysql_params_begin(struct fb_session *session, size_t n, fb_err *err) {
    session->nparams = 0;
    if (n <= session->params_room)
        return FB_OK;
    MYSQL_BIND *params = fb_mem_realloc(session->params, n * sizeof *params);
    if (params != NULL)
        session->params = params;
    unsigned long *lengths = params != NULL ? fb_mem_realloc(session->lengths, n * sizeof *lengths) : NULL;
    if (lengths == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    session->lengths = lengths;
    session->params_room = (unsigned)n;
    return FB_OK;
}

static void add_param(struct fb_session *session, const struct fb_datum *datum, enum enum_field_types number_type) {
    static char empty[1];
    MYSQL_BIND *bind = &session->params[session->nparams];
    unsigned long *length = &session->lengths[session->nparams++];
    *bind = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_NULL};
    switch (datum->kind) {
    case FB_DATUM_NULL:
        return;
    case FB_DATUM_INT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = (void *)(uintptr_t)&datum->i;
        return;
    case FB_DATUM_REAL:
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        bind->buffer = (void *)(uintptr_t)&datum->r;
        return;
    case FB_DATUM_NUMBER:
        bind->buffer_type = number_type;
        break;
    case FB_DATUM_TEXT:
        bind->buffer_type = MYSQL_TYPE_STRING;
        break;
    case FB_DATUM_BLOB:
        bind->buffer_type = MYSQL_TYPE_BLOB;
        break;
    }
    bind->buffer = datum->bytes.len > 0 ? (void *)(uintptr_t)datum->bytes.data : empty;
    bind->buffer_length = *length = (unsigned long)datum->bytes.len;
    bind->length = length;
}

void fb_mysql_param(struct fb_session *session, const struct fb_datum *datum) {
    add_param(session, datum, MYSQL_TYPE_STRING);
}

void fb_mysql_param_number(struct fb_session *session, const struct fb_datum *datum) {
    add_param(session, datum, MYSQL_TYPE_NEWDECIMAL);
}

/* ---- the session's statements ---- */

static uint64_t hash_of(const char *text) {
    static const struct fb_hash_key key = {0, 0}; /* texts are ours, nobody can aim at this hash */
    return fb_hash(&key, text, strlen(text));
}

static void forget_handle(struct fb_session *session, struct fb_mysql_statement *statement) {
    my_bool failed;
    if (statement->handle != NULL)
        FB_MYSQL_AWAIT(session, session->db, mysql_stmt_close, &failed, statement->handle);
    statement->handle = NULL;
}

static void free_cells(struct fb_mysql_statement *statement) {
    for (unsigned i = 0; i < statement->ncells; i++)
        fb_buf_free(&statement->cells[i].bytes);
    fb_mem_free(statement->cells);
    fb_mem_free(statement->types);
    fb_mem_free(statement->results);
    statement->cells = NULL;
    statement->types = NULL;
    statement->results = NULL;
    statement->ncells = 0;
}

void fb_mysql_finish_statement(struct fb_mysql_statement *statement) {
    free_cells(statement);
    fb_mem_free(statement->text);
    *statement = (struct fb_mysql_statement){.text = NULL};
}

/* A place for one more; the statement not used for longest gives its own. */
static struct fb_mysql_statement *new_place(struct fb_session *session, const char *text, uint64_t hash) {
    char *copy = fb_mem_strdup(text);
    struct fb_mysql_statement *place = &session->cached[0];
    if (copy == NULL)
        return NULL;
    if (session->ncached < FB_MYSQL_STATEMENTS_MAX) {
        place = &session->cached[session->ncached++];
    } else {
        for (unsigned i = 1; i < session->ncached; i++)
            if (session->cached[i].used < place->used)
                place = &session->cached[i];
        forget_handle(session, place);
        fb_mysql_finish_statement(place);
    }
    *place = (struct fb_mysql_statement){.text = copy, .hash = hash};
    return place;
}

fb_status fb_mysql_prepare(struct fb_session *session, const char *text, struct fb_mysql_statement **ret_statement,
                           fb_err *err) {
    uint64_t hash = hash_of(text);
    struct fb_mysql_statement *found = NULL;
    for (unsigned i = 0; i < session->ncached && found == NULL; i++)
        if (session->cached[i].hash == hash && strcmp(session->cached[i].text, text) == 0)
            found = &session->cached[i];
    if (found == NULL && (found = new_place(session, text, hash)) == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    found->used = ++session->uses;
    *ret_statement = found;
    if (found->handle != NULL)
        return FB_OK;
    found->handle = mysql_stmt_init(session->db);
    if (found->handle == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    int failed = 1;
    FB_MYSQL_AWAIT(session, session->db, mysql_stmt_prepare, &failed, found->handle, text, strlen(text));
    if (failed == 0)
        return FB_OK;
    fb_status status = fb_mysql_fail(session, found->handle, err);
    forget_handle(session, found);
    return status;
}

/* ---- rows ---- */

static fb_status make_cells(struct fb_mysql_statement *statement, unsigned n, fb_err *err) {
    if (statement->ncells == n)
        return FB_OK;
    free_cells(statement); /* of as many columns as the same text had before */
    statement->cells = fb_mem_calloc(n, sizeof *statement->cells);
    statement->types = fb_mem_calloc(n, sizeof *statement->types);
    statement->results = fb_mem_calloc(n, sizeof *statement->results);
    if (statement->cells == NULL || statement->types == NULL || statement->results == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    statement->ncells = n;
    return FB_OK;
}

/* A table may be altered while we run: values are read as what they are now. But of columns that hold the key (all, when
 * there is no mapping) the types must have stayed, as a row that does not look like its key would seem to be absent. */
static fb_status read_types(struct fb_mysql_statement *statement, const struct fb_mapping *m,
                            const struct fb_mysql_type *types, unsigned n, fb_err *err) {
    MYSQL_RES *meta = mysql_stmt_field_count(statement->handle) == n ? mysql_stmt_result_metadata(statement->handle)
                                                                     : NULL;
    bool is_as_bound = meta != NULL;
    for (unsigned i = 0; i < n && is_as_bound; i++) {
        (void)fb_mysql_class(mysql_fetch_field_direct(meta, i), &statement->types[i]);
        is_as_bound = statement->types[i].form == types[i].form || (m != NULL && m->columns[i].param < 0);
    }
    mysql_free_result(meta);
    return is_as_bound ? FB_OK : fb_fail(err, FB_SOURCE, "the columns have changed since the keyspace was added");
}

static fb_status bind_results(struct fb_mysql_statement *statement, fb_err *err) {
    for (unsigned i = 0; i < statement->ncells; i++) {
        if (statement->cells[i].bytes.cap > CELL_KEPT_MAX)
            fb_buf_free(&statement->cells[i].bytes);
        fb_mysql_cell_bind(&statement->cells[i], &statement->types[i], &statement->results[i]);
    }
    return mysql_stmt_bind_result(statement->handle, statement->results) == 0 ? FB_OK
                                                                              : fb_fail(err, FB_NOMEM, "out of memory");
}

/* The server has forgotten the statement, or has to prepare it again and could not. */
static bool is_outdated(unsigned number) { return number == 1243 || number == 1615; }

/* Values that the server would hang up over are refused here: a lost connection would look as if the source were down. */
static fb_status check_size(struct fb_session *session, size_t bytes, size_t nvalues, fb_err *err) {
    enum { OF_PACKET = 1024, OF_VALUE = 16 }; /* what stands around them, generously */
    if (session->packet_max == 0 || bytes + nvalues * OF_VALUE + OF_PACKET <= session->packet_max)
        return FB_OK;
    session->number_failed = 0; /* it is no error of the server's */
    return fb_fail(err, FB_BADVALUE, "%zu bytes are more than the server takes at once (max_allowed_packet %zu)", bytes,
                   session->packet_max);
}

static size_t params_size(const struct fb_session *session) {
    size_t bytes = 0;
    for (unsigned i = 0; i < session->nparams; i++)
        bytes += session->params[i].length != NULL ? session->lengths[i] : 0;
    return bytes;
}

static fb_status take_result(struct fb_session *session, struct fb_mysql_statement *statement,
                             const struct fb_mapping *m, const struct fb_mysql_type *types, unsigned ncolumns,
                             fb_err *err) {
    int failed = 1;
    if (ncolumns == 0)
        return FB_OK;
    fb_status status = make_cells(statement, ncolumns, err);
    if (status == FB_OK)
        status = read_types(statement, m, types, ncolumns, err);
    if (status == FB_OK)
        status = bind_results(statement, err);
    if (status == FB_OK) {
        FB_MYSQL_AWAIT(session, session->db, mysql_stmt_store_result, &failed, statement->handle);
        status = failed == 0 ? FB_OK : fb_mysql_fail(session, statement->handle, err);
    }
    return status;
}

/* Pass over rows that nobody has taken from the connection: that is waiting, too. */
static void pass_over(struct fb_session *session, struct fb_mysql_statement *statement) {
    my_bool failed;
    if (!fb_mysql_is_lost(session))
        FB_MYSQL_AWAIT(session, session->db, mysql_stmt_free_result, &failed, statement->handle);
}

fb_status fb_mysql_execute(struct fb_session *session, const char *text, const struct fb_mapping *m,
                           const struct fb_mysql_type *types, unsigned ncolumns,
                           struct fb_mysql_statement **ret_statement, fb_err *err) {
    struct fb_mysql_statement *statement;
    fb_status status = check_size(session, params_size(session), session->nparams, err);
    if (status != FB_OK)
        return status;
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        int failed = 1;
        status = fb_mysql_prepare(session, text, &statement, err);
        if (status != FB_OK)
            return status;
        if (mysql_stmt_param_count(statement->handle) != session->nparams)
            return fb_fail(err, FB_SOURCE, "the statement takes %lu parameters, not %u",
                           mysql_stmt_param_count(statement->handle), session->nparams);
        if (session->nparams > 0 && mysql_stmt_bind_param(statement->handle, session->params) != 0)
            return fb_mysql_fail(session, statement->handle, err);
        FB_MYSQL_AWAIT(session, session->db, mysql_stmt_execute, &failed, statement->handle);
        if (failed == 0)
            break;
        bool is_worth_another = is_outdated(mysql_stmt_errno(statement->handle));
        status = fb_mysql_fail(session, statement->handle, err);
        if (is_worth_another)
            forget_handle(session, statement);
        if (!is_worth_another || attempt > 0)
            return status;
    }
    status = take_result(session, statement, m, types, ncolumns, err);
    if (status == FB_OK) {
        *ret_statement = statement;
    } else {
        pass_over(session, statement);
        if (!fb_mysql_is_lost(session))
            forget_handle(session, statement);
    }
    return status;
}

/* What did not fit into its place is fetched again into a larger one, which stays. */
static fb_status enlarge(struct fb_mysql_statement *statement, bool *ret_enlarged) {
    *ret_enlarged = false;
    for (unsigned i = 0; i < statement->ncells; i++) {
        struct fb_mysql_cell *cell = &statement->cells[i];
        MYSQL_BIND *bind = &statement->results[i];
        if (!fb_mysql_is_bytes(statement->types[i].form) || cell->is_null || cell->len <= bind->buffer_length)
            continue;
        cell->bytes.len = 0;
        if (fb_buf_reserve(&cell->bytes, cell->len) != FB_OK)
            return FB_NOMEM;
        bind->buffer = cell->bytes.data;
        bind->buffer_length = cell->len;
        if (mysql_stmt_fetch_column(statement->handle, bind, i, 0) != 0)
            return FB_NOMEM;
        *ret_enlarged = true;
    }
    return FB_OK;
}

fb_status fb_mysql_next(struct fb_session *session, struct fb_mysql_statement *statement, const struct fb_mapping *m,
                        struct fb_datum *ret_row, fb_err *err) {
    bool is_enlarged;
    int rc = mysql_stmt_fetch(statement->handle);
    if (rc == MYSQL_NO_DATA)
        return FB_NOTFOUND;
    if (rc != 0 && rc != MYSQL_DATA_TRUNCATED)
        return fb_mysql_fail(session, statement->handle, err);
    if (enlarge(statement, &is_enlarged) != FB_OK)
        return fb_fail(err, FB_NOMEM, "out of memory");
    fb_status status = FB_OK;
    for (unsigned i = 0; i < statement->ncells; i++)
        if (!fb_mysql_cell_read(&statement->cells[i], &statement->types[i], &ret_row[i]) && status == FB_OK) {
            (void)fb_mapping_fail(m, err, FB_SOURCE, "column '%s' holds a zero date, which is no date; write NULL there, "
                                  "or hide the column", i < m->ncolumns ? m->columns[i].name : "?");
            status = FB_BADVALUE;
        }
    if (is_enlarged && mysql_stmt_bind_result(statement->handle, statement->results) != 0)
        return fb_fail(err, FB_NOMEM, "out of memory");
    return status;
}

uint64_t fb_mysql_nrows(const struct fb_mysql_statement *statement) { return mysql_stmt_num_rows(statement->handle); }

void fb_mysql_release(struct fb_mysql_statement *statement) {
    if (statement->handle != NULL)
        mysql_stmt_free_result(statement->handle);
}

fb_status fb_mysql_run(struct fb_session *session, const char *text, uint64_t *ret_found, fb_err *err) {
    struct fb_mysql_statement *statement;
    fb_status status = fb_mysql_execute(session, text, NULL, /* types */ NULL, /* ncolumns */ 0, &statement, err);
    if (status != FB_OK)
        return status;
    *ret_found = mysql_stmt_affected_rows(statement->handle);
    pass_over(session, statement); /* rows of RETURNING */
    return FB_OK;
}

/* ---- many executions in one round trip ---- */

bool fb_mysql_takes_many(struct fb_session *session) {
    unsigned long capabilities = 0;
    if (!session->is_mariadb ||
        mariadb_get_infov(session->db, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES, &capabilities) != 0)
        return false;
    return (capabilities & (unsigned long)(MARIADB_CLIENT_STMT_BULK_OPERATIONS >> 32)) != 0;
}

/* The values of all executions, parameter by parameter. */
struct arrays {
    union value { long long i; double r; const char *bytes; } *values;
    unsigned long *lengths;
    char *indicators;
    MYSQL_BIND *binds;
};

static void free_arrays(struct arrays *a) {
    fb_mem_free(a->values);
    fb_mem_free(a->lengths);
    fb_mem_free(a->indicators);
    fb_mem_free(a->binds);
}

static bool make_arrays(struct arrays *a, size_t n, size_t nparams) {
    *a = (struct arrays){.values = fb_mem_calloc(n * nparams, sizeof *a->values),
                         .lengths = fb_mem_calloc(n * nparams, sizeof *a->lengths),
                         .indicators = fb_mem_calloc(n * nparams, 1),
                         .binds = fb_mem_calloc(nparams, sizeof *a->binds)};
    return a->values != NULL && a->lengths != NULL && a->indicators != NULL && a->binds != NULL;
}

static enum enum_field_types type_of(const struct fb_datum *datum, bool is_number) {
    switch (datum->kind) {
    case FB_DATUM_INT:
        return MYSQL_TYPE_LONGLONG;
    case FB_DATUM_REAL:
        return MYSQL_TYPE_DOUBLE;
    case FB_DATUM_NUMBER:
        return is_number ? MYSQL_TYPE_NEWDECIMAL : MYSQL_TYPE_STRING;
    case FB_DATUM_BLOB:
        return MYSQL_TYPE_BLOB;
    default:
        return MYSQL_TYPE_STRING;
    }
}

static void fill_param(struct arrays *a, const struct fb_mysql_many *many, unsigned param) {
    MYSQL_BIND *bind = &a->binds[param];
    size_t first = param * many->n;
    bool is_number = many->is_number(many->user, param);
    *bind = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING, .buffer = &a->values[first], .length = &a->lengths[first],
                         .u = {.indicator = &a->indicators[first]}};
    for (size_t row = 0; row < many->n; row++) {
        const struct fb_datum *datum = many->value(many->user, row, param);
        union value *value = &a->values[first + row];
        if (datum->kind == FB_DATUM_NULL) {
            a->indicators[first + row] = STMT_INDICATOR_NULL;
            value->bytes = "";
            continue;
        }
        bind->buffer_type = type_of(datum, is_number);
        if (datum->kind == FB_DATUM_INT) {
            value->i = datum->i;
        } else if (datum->kind == FB_DATUM_REAL) {
            value->r = datum->r;
        } else {
            value->bytes = datum->bytes.len > 0 ? datum->bytes.data : "";
            a->lengths[first + row] = (unsigned long)datum->bytes.len;
        }
    }
}

static fb_status execute_many(struct fb_session *session, MYSQL_STMT *handle, const struct arrays *a, size_t n,
                              uint64_t *ret_found, fb_err *err) {
    unsigned size = (unsigned)n, none = 0;
    int failed = 1;
    mysql_stmt_attr_set(handle, STMT_ATTR_ARRAY_SIZE, &size);
    if (mysql_stmt_bind_param(handle, a->binds) == 0)
        FB_MYSQL_AWAIT(session, session->db, mysql_stmt_execute, &failed, handle);
    fb_status status = failed == 0 ? FB_OK : fb_mysql_fail(session, handle, err);
    *ret_found = mysql_stmt_affected_rows(handle);
    mysql_stmt_attr_set(handle, STMT_ATTR_ARRAY_SIZE, &none);
    return status;
}

fb_status fb_mysql_run_many(struct fb_session *session, const char *text, const struct fb_mysql_many *many,
                            uint64_t *ret_found, fb_err *err) {
    struct fb_mysql_statement *statement;
    struct arrays arrays;
    fb_status status = fb_mysql_prepare(session, text, &statement, err);
    if (status != FB_OK)
        return status;
    unsigned nparams = (unsigned)mysql_stmt_param_count(statement->handle);
    if (make_arrays(&arrays, many->n, nparams)) {
        for (unsigned i = 0; i < nparams; i++)
            fill_param(&arrays, many, i);
        size_t bytes = 0;
        for (size_t i = 0; i < many->n * nparams; i++)
            bytes += arrays.lengths[i];
        status = check_size(session, bytes, many->n * nparams, err);
        if (status == FB_OK)
            status = execute_many(session, statement->handle, &arrays, many->n, ret_found, err);
    } else {
        status = fb_fail(err, FB_NOMEM, "out of memory");
    }
    free_arrays(&arrays);
    fb_mysql_release(statement);
    return status;
}
