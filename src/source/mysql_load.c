/* Loading rows from MariaDB and MySQL: the keys of one keyspace in one statement.
 *
 * The server answers one statement at a time, so keyspaces follow one another. A statement takes 1, 2, 4 … 256 keys (the
 * last one repeated up to the next power of two), so that few of them are prepared. The keys of a statement that failed
 * are asked for once more one by one, so that one bad key fails alone.
 *
 * Measured on MariaDB 10.11, 200,000 rows of 3 columns, two shared cores, 2026-11-23, µs of the server's CPU per row: one
 * key 15 to 20, 16 keys 3.9, 64 keys 4.1, 128 keys 3.2, 256 keys 3.6, 1,000 keys 2.8. A join with UNION ALL of the keys is
 * no cheaper (4.4 at 128), and neither is eq_range_index_dive_limit = 1 (3.6): what is left is finding and sending rows. */
#include "source/mysql.h"

#include "base/err.h"
#include "rows/list.h"
#include "source/wanted.h"

unsigned fb_mysql_shape(size_t n) {
    unsigned shape = 0;
    while (((size_t)1 << shape) < n && shape < FB_MYSQL_SHAPES - 1)
        shape++;
    return shape;
}

fb_status fb_mysql_render(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
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

/* ---- asking ---- */

/* Part of the keys of a table: those of the places first … end−1. */
static fb_status put_keys(struct fb_session *session, const struct fb_asked *asked, size_t first, size_t end,
                          unsigned shape, fb_err *err) {
    unsigned nparams = asked->shape.mapping->pattern.nparams;
    size_t places = (size_t)1 << shape, last = first, put = 0;
    fb_status status = fb_mysql_params_begin(session, places * nparams, err);
    for (size_t i = first; i < end && status == FB_OK; i = fb_asked_next(asked, i), put++) {
        for (unsigned p = 0; p < nparams; p++)
            fb_mysql_param(session, &asked->wanted[i].key[p]);
        last = i;
    }
    for (; put < places && status == FB_OK; put++)
        for (unsigned p = 0; p < nparams; p++)
            fb_mysql_param(session, &asked->wanted[last].key[p]);
    return status;
}

static fb_status put_one(struct fb_session *session, const struct fb_asked *asked, fb_err *err) {
    const struct fb_named_sql *load = &asked->binding->load;
    fb_status status = fb_mysql_params_begin(session, load->nargs, err);
    for (unsigned i = 0; i < load->nargs && status == FB_OK; i++)
        fb_mysql_param(session, &asked->wanted[0].key[load->args[i].index]);
    return status;
}

/* ---- answers ---- */

fb_status fb_mysql_take_list(struct fb_session *session, const struct fb_binding *b, const struct fb_datum *key,
                             struct fb_mysql_statement *statement, struct fb_value **ret_value, fb_err *err) {
    const struct fb_mapping *m = &b->mapping;
    struct fb_datum row[FB_COLUMNS_MAX];
    struct fb_list list;
    session->rendered.len = 0;
    if (b->is_loose && fb_mysql_nrows(statement) > FB_MANY_ROWS_MAX)
        return fb_mapping_fail(m, err, FB_SOURCE, "the database finds more than %d rows, as the texts of its key compare "
                               "loosely; give the column the collation utf8mb4_nopad_bin", FB_MANY_ROWS_MAX);
    fb_status status = fb_list_begin(&list, m, &session->rendered);
    bool is_full = false;
    while (status == FB_OK && !is_full && (status = fb_mysql_next(session, statement, m, row, err)) == FB_OK) {
        status = fb_mapping_row_is_key(m, row, key) ? fb_list_add(&list, row, err) : FB_OK;
        is_full = m->limit > 0 && list.nrows == m->limit;
    }
    status = is_full && status == FB_OK ? FB_NOTFOUND : status;
    if (status != FB_NOTFOUND)
        return status == FB_NOMEM ? fb_fail(err, FB_NOMEM, "out of memory") : status == FB_BADVALUE ? FB_SOURCE : status;
    status = fb_list_end(&list, err);
    if (status != FB_OK)
        return status;
    *ret_value = fb_value_new(FB_KIND_STRING, session->rendered.data, session->rendered.len);
    return *ret_value != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

/* FB_OK when the rows were taken to the last one. */
static fb_status take_rows(struct fb_session *session, struct fb_asked *asked, struct fb_mysql_statement *statement) {
    const struct fb_binding *b = asked->binding;
    struct fb_datum row[FB_COLUMNS_MAX];
    fb_err err = {FB_OK, ""};
    if (b->mapping.is_list) {
        struct fb_value *value = NULL;
        fb_status status = fb_mysql_take_list(session, b, asked->wanted[0].key, statement, &value, &asked->err);
        if (status == FB_OK)
            fb_asked_answer(asked, 0, FB_OK, value, NULL);
        fb_value_unref(value);
        return status;
    }
    if (!b->is_table && fb_mysql_nrows(statement) > 1) {
        (void)fb_mapping_fail(&b->mapping, &err, FB_SOURCE, "the load statement found more than one row");
        fb_asked_answer(asked, 0, FB_SOURCE, NULL, &err);
        return FB_OK;
    }
    for (;;) {
        struct fb_value *value = NULL;
        fb_status status = fb_mysql_next(session, statement, &b->mapping, row, &err);
        if (status == FB_NOTFOUND)
            return FB_OK;
        if (status != FB_OK && status != FB_BADVALUE) {
            asked->err = err;
            return status;
        }
        size_t i = fb_asked_place(asked, row);
        if (i == asked->n)
            continue;
        status = status == FB_OK ? fb_mysql_render(session, b, row, &value, &err) : FB_SOURCE;
        fb_asked_answer(asked, i, status, value, &err);
        fb_value_unref(value);
    }
}

/* ---- one statement ---- */

/* The error stays in asked->err. */
static fb_status ask_part(struct fb_session *session, struct fb_asked *asked, size_t first, size_t end, size_t nkeys) {
    struct fb_binding const *b = asked->binding;
    struct fb_mysql_statement *statement;
    bool is_one = nkeys == 1 && asked->ndistinct == 1;
    unsigned shape = fb_mysql_shape(nkeys);
    fb_status status = is_one ? put_one(session, asked, &asked->err)
                              : put_keys(session, asked, first, end, shape, &asked->err);
    if (status == FB_OK)
        status = fb_mysql_execute(session, is_one ? b->load.text : b->load_many[shape], &b->mapping, b->types,
                                  b->mapping.ncolumns, &statement, &asked->err);
    if (status != FB_OK)
        return status;
    status = take_rows(session, asked, statement);
    fb_mysql_release(statement);
    return status;
}

static fb_status ask(struct fb_session *session, struct fb_asked *asked) {
    fb_status status = FB_OK;
    for (size_t first = 0, end; first < asked->n && status == FB_OK; first = end) {
        size_t nkeys = 0;
        for (end = first; end < asked->n && nkeys < FB_MYSQL_KEYS_MAX; nkeys++)
            end = fb_asked_next(asked, end);
        status = ask_part(session, asked, first, end, nkeys);
    }
    if (status == FB_OK)
        fb_asked_answer_rest(asked, FB_NOTFOUND, NULL);
    return status;
}

/* A text that the character set of its column cannot hold is the key of no row. */
static fb_status ask_one(struct fb_session *session, struct fb_asked *one) {
    fb_status status = ask(session, one);
    if (status == FB_BADVALUE && one->binding->is_table && fb_mysql_is_foreign_text(session->number_failed)) {
        fb_asked_answer_rest(one, FB_NOTFOUND, NULL);
        return FB_OK;
    }
    return status;
}

/* A failed statement may have failed for one of its keys only. */
static void ask_singly(struct fb_session *session, struct fb_asked *asked) {
    for (size_t i = 0; i < asked->n; i = fb_asked_next(asked, i)) {
        struct fb_asked one = fb_asked_one(asked, i);
        if (asked->wanted[i].is_answered)
            continue;
        fb_status status = fb_mysql_is_lost(session) ? asked->err.status : ask_one(session, &one);
        if (status != FB_OK)
            fb_asked_answer_rest(&one, status, one.err.status != FB_OK ? &one.err : &asked->err);
    }
}

static void load_asked(struct fb_session *session, struct fb_asked *asked) {
    fb_status status = ask(session, asked);
    /* A connection that died while nobody used it is found out by the first who does. */
    if (status == FB_DOWN && !session->is_fresh && fb_mysql_reconnect(session, &asked->err) == FB_OK)
        status = ask(session, asked);
    if (status == FB_SOURCE || status == FB_BADVALUE)
        ask_singly(session, asked);
    else if (status != FB_OK)
        fb_asked_answer_rest(asked, status, &asked->err);
}

static struct fb_wanted_shape shape_of(const struct fb_binding *binding) {
    bool takes_many = binding->is_table && !binding->mapping.is_list;
    return (struct fb_wanted_shape){&binding->mapping, takes_many ? binding->key_columns : NULL};
}

void fb_mysql_load(struct fb_session *session, struct fb_load_item *items, size_t n) {
    struct fb_asking asking;
    fb_err err = {FB_OK, ""};
    fb_asking_begin(&asking, items, n, shape_of);
    fb_status status = fb_mysql_begin_call(session, &err);
    for (size_t i = 0; i < asking.n; i++) { /* each statement is a round trip of its own, with its own time */
        if (status == FB_OK && i > 0)
            status = fb_mysql_begin_trip(session, &err);
        if (status == FB_OK)
            load_asked(session, &asking.asked[i]);
        else
            fb_asked_answer_rest(&asking.asked[i], status, &err);
    }
    fb_asking_end(&asking);
}

/* ---- keys ---- */

/* The key that names a row of key columns. FB_BADVALUE when none does: a NULL, or a text that does not fit its type. */
static fb_status key_of_row(const struct fb_mapping *m, const struct fb_datum *row, fb_buf *out) {
    char space[FB_PATTERN_PARAMS_MAX][FB_DATUM_TEXT_MAX];
    fb_bytes params[FB_PATTERN_PARAMS_MAX];
    for (unsigned i = 0; i < m->pattern.nparams; i++) {
        if (row[i].kind == FB_DATUM_NULL)
            return FB_BADVALUE;
        params[i] = fb_datum_text(&row[i], space[i]);
    }
    out->len = 0;
    return fb_pattern_render(&m->pattern, params, out);
}

fb_status fb_mysql_list(struct fb_session *session, const struct fb_binding *binding, size_t limit, fb_buf *ret_keys,
                        fb_err *err) {
    const struct fb_mapping *m = &binding->mapping;
    struct fb_mysql_type types[FB_PATTERN_PARAMS_MAX];
    struct fb_datum row[FB_PATTERN_PARAMS_MAX], count = fb_datum_int((int64_t)limit);
    struct fb_mysql_statement *statement;
    if (!binding->is_table)
        return fb_mapping_fail(m, err, FB_UNSUPPORTED, "its keys cannot be listed: it has statements of its own");
    for (unsigned i = 0; i < m->pattern.nparams; i++)
        types[i] = binding->types[binding->key_columns[i]];
    fb_status status = fb_mysql_begin_call(session, err);
    if (status == FB_OK)
        status = fb_mysql_params_begin(session, 1, err);
    if (status != FB_OK)
        return status;
    fb_mysql_param(session, &count);
    status = fb_mysql_execute(session, binding->list, NULL, types, m->pattern.nparams, &statement, err);
    if (status != FB_OK)
        return status;
    for (;;) {
        status = fb_mysql_next(session, statement, m, row, err);
        if (status != FB_OK && status != FB_BADVALUE)
            break;
        if (status == FB_OK)
            status = key_of_row(m, row, &session->rendered);
        if (status == FB_OK)
            status = fb_hash_append(ret_keys, fb_bytes_of(session->rendered.data, session->rendered.len), FB_STR(""));
        if (status == FB_NOMEM) {
            fb_fail(err, FB_NOMEM, "out of memory");
            break;
        }
    }
    fb_mysql_release(statement);
    return status == FB_NOTFOUND ? FB_OK : status;
}
