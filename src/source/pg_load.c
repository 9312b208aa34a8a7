/* Loading rows from PostgreSQL: the keys of one keyspace in one statement, all keyspaces of a batch in one round trip.
 *
 * Each statement has a sync of its own, so an error is its keyspace's alone; the keys of a statement that failed are
 * asked for once more one by one, so that one bad key fails alone. Keys that are asked for twice are asked once. */
#include "source/pg.h"

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "rows/list.h"
#include "source/wanted.h"

enum { OID_INT8 = 20, OID_TEXT = 25 };

fb_status fb_pg_render(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
                       struct fb_value **ret_value, fb_err *err) {
    session->rendered.len = 0;
    fb_status status = fb_render_row(&binding->mapping, row, &session->rendered, err);
    if (status != FB_OK)
        return status;
    *ret_value = fb_value_new(fb_mapping_kind(&binding->mapping), session->rendered.data, session->rendered.len);
    return *ret_value != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

/* ---- arrays of keys, in the server's binary form ---- */

static fb_status put_int(fb_buf *out, uint32_t n) {
    uint32_t big = htonl(n);
    return fb_buf_append(out, &big, sizeof big);
}

static fb_status put_element(fb_buf *out, const struct fb_datum *key, bool is_int) {
    fb_status status;
    if (is_int) {
        uint64_t n = (uint64_t)key->i;
        status = put_int(out, sizeof n);
        if (status == FB_OK)
            status = put_int(out, (uint32_t)(n >> 32));
        return status == FB_OK ? put_int(out, (uint32_t)n) : status;
    }
    status = put_int(out, (uint32_t)key->bytes.len);
    return status == FB_OK ? fb_buf_append(out, key->bytes.data, key->bytes.len) : status;
}

/* One dimension, no NULLs, lower bound 1 (the array_recv of PostgreSQL's sources reads exactly this). */
static fb_status put_array(fb_buf *out, const struct fb_asked *asked, unsigned param) {
    bool is_int = asked->binding->key_is_int[param];
    fb_status status = put_int(out, 1);
    if (status == FB_OK)
        status = put_int(out, 0);
    if (status == FB_OK)
        status = put_int(out, is_int ? OID_INT8 : OID_TEXT);
    if (status == FB_OK)
        status = put_int(out, (uint32_t)asked->ndistinct);
    if (status == FB_OK)
        status = put_int(out, 1);
    for (size_t i = 0; i < asked->n && status == FB_OK; i++)
        if (fb_asked_is_first(asked, i))
            status = put_element(out, &asked->wanted[i].key[param], is_int);
    return status;
}

/* ---- asking ---- */

static fb_status send_many(struct fb_session *session, const struct fb_asked *asked, struct fb_pg_sent *sent,
                           fb_err *err) {
    struct fb_pg_params params = {.n = 0};
    unsigned n = asked->binding->mapping.pattern.nparams;
    size_t starts[FB_PATTERN_PARAMS_MAX + 1] = {0};
    session->keys.len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (put_array(&session->keys, asked, i) != FB_OK)
            return fb_fail(err, FB_NOMEM, "out of memory");
        starts[i + 1] = session->keys.len;
    }
    for (unsigned i = 0; i < n; i++) {
        params.values[i] = session->keys.data + starts[i];
        params.lengths[i] = (int)(starts[i + 1] - starts[i]);
        params.formats[i] = 1;
    }
    params.n = (int)n;
    return fb_pg_send(session, asked->binding->load_many, &params, sent) ? FB_OK : fb_pg_fail(session, NULL, err);
}

static fb_status send_one(struct fb_session *session, const struct fb_asked *asked, struct fb_pg_sent *sent,
                          fb_err *err) {
    struct fb_pg_params params;
    const struct fb_named_sql *load = &asked->binding->load;
    size_t bytes = 0;
    for (unsigned i = 0; i < load->nargs; i++)
        bytes += fb_pg_param_size(&asked->wanted[0].key[load->args[i].index]);
    fb_status status = fb_pg_params_begin(session, &params, bytes, err);
    for (unsigned i = 0; i < load->nargs && status == FB_OK; i++)
        status = fb_pg_param(session, &params, &asked->wanted[0].key[load->args[i].index], err);
    if (status == FB_OK && !fb_pg_send(session, load->text, &params, sent))
        status = fb_pg_fail(session, NULL, err);
    return status;
}

/* ---- answers ---- */

fb_status fb_pg_make_list(struct fb_session *session, const struct fb_binding *binding, const PGresult *result,
                          const struct fb_datum *key, struct fb_value **ret_value, fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    struct fb_list list;
    session->rendered.len = 0;
    fb_status status = fb_list_begin(&list, &binding->mapping, &session->rendered);
    for (int r = 0; r < PQntuples(result) && status == FB_OK; r++) {
        status = fb_pg_row(session, binding, result, r, row, err);
        if (status == FB_OK && fb_mapping_row_is_key(&binding->mapping, row, key))
            status = fb_list_add(&list, row, err);
    }
    if (status == FB_OK)
        status = fb_list_end(&list, err);
    if (status == FB_OK)
        *ret_value = fb_value_new(FB_KIND_STRING, session->rendered.data, session->rendered.len);
    bool is_short = status == FB_NOMEM || (status == FB_OK && *ret_value == NULL);
    return is_short ? fb_fail(err, FB_NOMEM, "out of memory") : status;
}

static void take_rows(struct fb_session *session, struct fb_asked *asked, const PGresult *result) {
    struct fb_datum row[FB_COLUMNS_MAX];
    fb_err err = {FB_OK, ""};
    if (asked->binding->mapping.is_list) {
        struct fb_value *list = NULL;
        fb_status status = fb_pg_make_list(session, asked->binding, result, asked->wanted[0].key, &list, &err);
        fb_asked_answer(asked, 0, status, list, &err);
        fb_value_unref(list);
        return;
    }
    if (!asked->binding->is_table && PQntuples(result) > 1) {
        (void)fb_mapping_fail(&asked->binding->mapping, &err, FB_SOURCE, "the load statement found more than one row");
        fb_asked_answer(asked, 0, FB_SOURCE, NULL, &err);
        return;
    }
    for (int r = 0; r < PQntuples(result); r++) {
        struct fb_value *value = NULL;
        fb_status status = fb_pg_row(session, asked->binding, result, r, row, &err);
        if (status != FB_OK) {
            fb_asked_answer_rest(asked, status, &err);
            return;
        }
        size_t i = fb_asked_place(asked, row);
        if (i == asked->n)
            continue;
        status = fb_pg_render(session, asked->binding, row, &value, &err);
        fb_asked_answer(asked, i, status, value, &err);
        fb_value_unref(value);
    }
    fb_asked_answer_rest(asked, FB_NOTFOUND, NULL);
}

/* ---- one round trip ---- */

/* Send, in one pipeline, one statement for each of `asked`, then take the answers. Those that failed keep their error
 * and stay unanswered. */
static void round_trip(struct fb_session *session, struct fb_asked *asked, struct fb_pg_sent *sent, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct fb_asked *a = &asked[i];
        a->err.status = FB_OK;
        fb_status status = a->ndistinct == 1 ? send_one(session, a, &sent[i], &a->err)
                                             : send_many(session, a, &sent[i], &a->err);
        a->is_sent = status == FB_OK;
        if (a->is_sent && !fb_pg_sync(session)) {
            (void)fb_pg_fail(session, NULL, &a->err);
            fb_pg_hang_up(session);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct fb_asked *a = &asked[i];
        PGresult *result = NULL;
        fb_err sync;
        if (!a->is_sent)
            continue;
        fb_status status = fb_pg_receive(session, &sent[i], &result, &a->err);
        if (session->db != NULL)
            (void)fb_pg_receive_sync(session, &sync);
        if (status == FB_OK)
            take_rows(session, a, result);
        PQclear(result);
    }
}

/* A failed statement may have failed for one of its keys only. */
static void retry_singly(struct fb_session *session, struct fb_asked *asked) {
    for (size_t i = 0; i < asked->n; i = fb_asked_next(asked, i)) {
        struct fb_asked one = fb_asked_one(asked, i);
        if (asked->wanted[i].is_answered)
            continue;
        struct fb_pg_sent sent;
        round_trip(session, &one, &sent, 1);
        if (one.err.status != FB_OK)
            fb_asked_answer_rest(&one, one.err.status, &one.err);
    }
}

static void ask(struct fb_session *session, struct fb_asked *asked, struct fb_pg_sent *sent, size_t n) {
    round_trip(session, asked, sent, n);
    /* A connection that died while nobody used it is found out by the first who does. */
    fb_err err;
    bool is_over = fb_reached(fb_clock_now(), session->deadline);
    if (fb_pg_is_lost(session) && !session->is_fresh && !is_over && fb_pg_reconnect(session, &err) == FB_OK)
        for (size_t i = 0; i < n; i++)
            if (asked[i].err.status != FB_OK)
                round_trip(session, &asked[i], &sent[i], 1);
    for (size_t i = 0; i < n; i++) {
        fb_status status = asked[i].err.status;
        if (status == FB_OK)
            continue;
        bool may_be_one_key = status == FB_SOURCE || status == FB_BADVALUE;
        if (may_be_one_key && !fb_pg_is_lost(session))
            retry_singly(session, &asked[i]);
        fb_asked_answer_rest(&asked[i], status, &asked[i].err);
    }
}

static struct fb_wanted_shape shape_of(const struct fb_binding *binding) {
    bool is_of_many = binding->is_table && !binding->mapping.is_list;
    return (struct fb_wanted_shape){&binding->mapping, is_of_many ? binding->key_columns : NULL};
}

void fb_pg_load(struct fb_session *session, struct fb_load_item *items, size_t n) {
    struct fb_asking asking;
    fb_err err = {FB_OK, ""};
    if (fb_pg_begin_call(session, &err) != FB_OK) {
        fb_asking_refuse(items, n, &err);
        return;
    }
    struct fb_pg_sent *sent = fb_mem_calloc(n, sizeof *sent);
    if (sent == NULL) {
        fb_fail(&err, FB_NOMEM, "out of memory");
        fb_asking_refuse(items, n, &err);
        return;
    }
    fb_asking_begin(&asking, items, n, shape_of);
    ask(session, asking.asked, sent, asking.n);
    fb_asking_end(&asking);
    fb_mem_free(sent);
}

/* ---- the keys there are ---- */

fb_status fb_pg_list(struct fb_session *session, const struct fb_binding *binding, size_t limit, fb_buf *ret_keys,
                     fb_err *err) {
    const struct fb_mapping *m = &binding->mapping;
    struct fb_datum row[FB_PATTERN_PARAMS_MAX];
    struct fb_pg_params params;
    const struct fb_datum most = fb_datum_int(limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
    PGresult *result = NULL;
    if (!binding->is_table)
        return fb_mapping_fail(m, err, FB_UNSUPPORTED, "its keys cannot be listed: it has statements of its own");
    fb_status status = fb_pg_begin_call(session, err);
    session->text.len = 0;
    if (status == FB_OK && fb_pg_list_text(binding, &session->text) != FB_OK)
        status = fb_fail(err, FB_NOMEM, "out of memory");
    if (status == FB_OK)
        status = fb_pg_params_begin(session, &params, fb_pg_param_size(&most), err);
    if (status == FB_OK)
        status = fb_pg_param(session, &params, &most, err);
    if (status == FB_OK)
        status = fb_pg_run(session, session->text.data, &params, &result, err);
    for (int r = 0; status == FB_OK && r < PQntuples(result); r++) {
        status = fb_pg_key_row(session, binding, result, r, row, err);
        if (status == FB_OK)
            status = fb_mapping_key_of_row(m, row, &session->rendered);
        if (status == FB_OK)
            status = fb_hash_append(ret_keys, fb_bytes_of(session->rendered.data, session->rendered.len), FB_STR(""));
        if (status == FB_NOMEM)
            (void)fb_fail(err, FB_NOMEM, "out of memory");
        else if (status == FB_BADVALUE)
            status = FB_OK; /* no key names this row */
    }
    PQclear(result);
    return status;
}
