/* Loading rows from PostgreSQL: the keys of one keyspace in one statement, all keyspaces of a batch in one round trip.
 *
 * Each statement has a sync of its own, so an error is its keyspace's alone; the keys of a statement that failed are
 * asked for once more one by one, so that one bad key fails alone. Keys that are asked for twice are asked once. */
#include "source/pg.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "source/group.h"

enum { OID_INT8 = 20, OID_TEXT = 25 };

/* One key that is asked for; followed by those that are the same. */
struct wanted {
    struct fb_load_item *item;
    struct fb_datum key[FB_PATTERN_PARAMS_MAX];
    bool is_answered;
};

/* The keys of one binding. */
struct asked {
    const struct fb_binding *binding;
    struct wanted *wanted; /* sorted by key, duplicates next to each other */
    size_t n;
    struct fb_pg_sent sent;
    bool is_sent;
};

fb_status fb_pg_render(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
                       struct fb_value **ret_value, fb_err *err) {
    session->rendered.len = 0;
    fb_status status = fb_render_row(&binding->mapping, row, &session->rendered, err);
    if (status != FB_OK)
        return status;
    *ret_value = fb_value_new(fb_mapping_kind(&binding->mapping), session->rendered.data, session->rendered.len);
    return *ret_value != NULL ? FB_OK : fb_fail(err, FB_NOMEM, "out of memory");
}

static void answer(struct fb_load_item *item, fb_status status, struct fb_value *value, const fb_err *err) {
    item->status = status;
    item->value = status < 0 ? fb_error_value(err) : fb_value_ref(value);
}

/* ---- order ---- */

static int compare_datums(const struct fb_datum *a, const struct fb_datum *b) {
    if (a->kind == FB_DATUM_INT || b->kind == FB_DATUM_INT)
        return a->kind != b->kind ? (int)a->kind - (int)b->kind : (a->i > b->i) - (a->i < b->i);
    size_t n = a->bytes.len < b->bytes.len ? a->bytes.len : b->bytes.len;
    int order = n > 0 ? memcmp(a->bytes.data, b->bytes.data, n) : 0;
    return order != 0 ? order : (a->bytes.len > b->bytes.len) - (a->bytes.len < b->bytes.len);
}

static int compare_keys(const struct wanted *x, const struct wanted *y) {
    int order = 0;
    for (unsigned i = 0; i < x->item->binding->mapping.pattern.nparams && order == 0; i++)
        order = compare_datums(&x->key[i], &y->key[i]);
    return order;
}

static int by_binding_and_key(const void *a, const void *b) {
    const struct wanted *x = a, *y = b;
    if (x->item->binding != y->item->binding)
        return x->item->binding < y->item->binding ? -1 : 1;
    return compare_keys(x, y);
}

static bool is_same(const struct wanted *x, const struct wanted *y) { return compare_keys(x, y) == 0; }

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
static fb_status put_array(fb_buf *out, const struct asked *asked, unsigned param) {
    bool is_int = asked->binding->key_is_int[param];
    size_t distinct = 0;
    for (size_t i = 0; i < asked->n; i++)
        distinct += i == 0 || !is_same(&asked->wanted[i - 1], &asked->wanted[i]);
    fb_status status = put_int(out, 1);
    if (status == FB_OK)
        status = put_int(out, 0);
    if (status == FB_OK)
        status = put_int(out, is_int ? OID_INT8 : OID_TEXT);
    if (status == FB_OK)
        status = put_int(out, (uint32_t)distinct);
    if (status == FB_OK)
        status = put_int(out, 1);
    for (size_t i = 0; i < asked->n && status == FB_OK; i++)
        if (i == 0 || !is_same(&asked->wanted[i - 1], &asked->wanted[i]))
            status = put_element(out, &asked->wanted[i].key[param], is_int);
    return status;
}

/* ---- asking ---- */

static bool has_nul(fb_bytes text) { return text.len > 0 && memchr(text.data, 0, text.len) != NULL; }

static fb_status send_many(struct fb_session *session, struct asked *asked, fb_err *err) {
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
    return fb_pg_send(session, asked->binding->load_many, &params, &asked->sent) ? FB_OK : fb_pg_fail(session, NULL, err);
}

static fb_status send_one(struct fb_session *session, struct asked *asked, fb_err *err) {
    struct fb_pg_params params;
    const struct fb_pg_sql *load = &asked->binding->load;
    size_t bytes = 0;
    for (unsigned i = 0; i < load->nargs; i++)
        bytes += fb_pg_param_size(&asked->wanted[0].key[load->args[i].index]);
    fb_status status = fb_pg_params_begin(session, &params, bytes, err);
    for (unsigned i = 0; i < load->nargs && status == FB_OK; i++)
        status = fb_pg_param(session, &params, &asked->wanted[0].key[load->args[i].index], err);
    if (status == FB_OK && !fb_pg_send(session, load->text, &params, &asked->sent))
        status = fb_pg_fail(session, NULL, err);
    return status;
}

static bool is_alone(const struct asked *asked) {
    return !asked->binding->is_table || is_same(&asked->wanted[0], &asked->wanted[asked->n - 1]);
}

/* ---- answers ---- */

static void answer_same(struct asked *asked, size_t first, fb_status status, struct fb_value *value,
                        const fb_err *err) {
    for (size_t i = first; i < asked->n && is_same(&asked->wanted[first], &asked->wanted[i]); i++) {
        answer(asked->wanted[i].item, status, value, err);
        asked->wanted[i].is_answered = true;
    }
}

/* Which key does this row answer? The first place of those alike, or n: none of ours (the database compares more
 * loosely than we do). */
static size_t place_of(const struct asked *asked, const struct fb_datum *row) {
    const struct fb_binding *b = asked->binding;
    struct wanted sought = {.item = asked->wanted[0].item};
    size_t low = 0, high = asked->n;
    if (!b->is_table)
        return fb_mapping_row_is_key(&b->mapping, row, asked->wanted[0].key) ? 0 : asked->n;
    for (unsigned i = 0; i < b->mapping.pattern.nparams; i++)
        sought.key[i] = row[b->key_columns[i]];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_keys(&asked->wanted[middle], &sought) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < asked->n && is_same(&asked->wanted[low], &sought) ? low : asked->n;
}

static void take_rows(struct fb_session *session, struct asked *asked, const PGresult *result) {
    struct fb_datum row[FB_COLUMNS_MAX];
    fb_err err = {FB_OK, ""};
    if (!asked->binding->is_table && PQntuples(result) > 1) {
        (void)fb_mapping_fail(&asked->binding->mapping, &err, FB_SOURCE, "load found %d rows where one was wanted",
                              PQntuples(result));
        answer_same(asked, 0, FB_SOURCE, NULL, &err);
        return;
    }
    for (int r = 0; r < PQntuples(result); r++) {
        struct fb_value *value = NULL;
        fb_status status = fb_pg_row(session, asked->binding, result, r, row, &err);
        if (status != FB_OK) {
            for (size_t i = 0; i < asked->n; i++)
                if (!asked->wanted[i].is_answered)
                    answer_same(asked, i, status, NULL, &err);
            return;
        }
        size_t i = place_of(asked, row);
        if (i == asked->n)
            continue;
        status = fb_pg_render(session, asked->binding, row, &value, &err);
        answer_same(asked, i, status, value, &err);
        fb_value_unref(value);
    }
    for (size_t i = 0; i < asked->n; i++)
        if (!asked->wanted[i].is_answered)
            answer_same(asked, i, FB_NOTFOUND, NULL, NULL);
}

static void fail_rest(struct asked *asked, const fb_err *err) {
    for (size_t i = 0; i < asked->n; i++)
        if (!asked->wanted[i].is_answered)
            answer_same(asked, i, err->status, NULL, err);
}

/* ---- one round trip ---- */

/* Send, in one pipeline, one statement for each of `asked`, then take the answers. Those that failed keep their error in
 * errs[i] and stay unanswered. */
static void round_trip(struct fb_session *session, struct asked *asked, size_t n, fb_err *errs) {
    for (size_t i = 0; i < n; i++) {
        errs[i].status = FB_OK;
        fb_status status = is_alone(&asked[i]) ? send_one(session, &asked[i], &errs[i])
                                               : send_many(session, &asked[i], &errs[i]);
        asked[i].is_sent = status == FB_OK;
        if (asked[i].is_sent && !fb_pg_sync(session)) {
            (void)fb_pg_fail(session, NULL, &errs[i]);
            fb_pg_hang_up(session);
        }
    }
    for (size_t i = 0; i < n; i++) {
        PGresult *result = NULL;
        fb_err sync;
        if (!asked[i].is_sent)
            continue;
        fb_status status = fb_pg_receive(session, &asked[i].sent, &result, &errs[i]);
        if (session->db != NULL)
            (void)fb_pg_receive_sync(session, &sync);
        if (status == FB_OK)
            take_rows(session, &asked[i], result);
        PQclear(result);
    }
}

/* A failed statement may have failed for one of its keys only. */
static void retry_singly(struct fb_session *session, struct asked *asked) {
    for (size_t i = 0; i < asked->n; i++) {
        struct asked one = {.binding = asked->binding, .wanted = &asked->wanted[i], .n = 1};
        fb_err err = {FB_OK, ""};
        if (asked->wanted[i].is_answered)
            continue;
        while (i + one.n < asked->n && is_same(&asked->wanted[i], &asked->wanted[i + one.n]))
            one.n++;
        round_trip(session, &one, 1, &err);
        if (err.status != FB_OK)
            fail_rest(&one, &err);
    }
}

static void ask(struct fb_session *session, struct asked *asked, size_t n, fb_err *errs) {
    round_trip(session, asked, n, errs);
    /* A connection that died while nobody used it is found out by the first who does. */
    if (fb_pg_is_lost(session) && !session->is_fresh && fb_pg_begin_call(session, &errs[0]) == FB_OK)
        for (size_t i = 0; i < n; i++)
            if (errs[i].status != FB_OK)
                round_trip(session, &asked[i], 1, &errs[i]);
    for (size_t i = 0; i < n; i++) {
        if (errs[i].status == FB_OK)
            continue;
        bool may_be_one_key = errs[i].status == FB_SOURCE || errs[i].status == FB_BADVALUE;
        if (may_be_one_key && !fb_pg_is_lost(session))
            retry_singly(session, &asked[i]);
        fail_rest(&asked[i], &errs[i]);
    }
}

void fb_pg_load(struct fb_session *session, struct fb_load_item *items, size_t n) {
    fb_err err = {FB_OK, ""};
    struct wanted *wanted = fb_mem_calloc(n, sizeof *wanted);
    struct asked *asked = fb_mem_calloc(n, sizeof *asked);
    fb_err *errs = fb_mem_calloc(n, sizeof *errs);
    size_t nwanted = 0, nasked = 0;
    for (size_t i = 0; i < n; i++)
        items[i].value = NULL;
    fb_status status = wanted == NULL || asked == NULL || errs == NULL ? fb_fail(&err, FB_NOMEM, "out of memory")
                                                                       : fb_pg_begin_call(session, &err);
    for (size_t i = 0; i < n; i++) {
        struct fb_load_item *item = &items[i];
        if (status != FB_OK) {
            answer(item, status, NULL, &err);
            continue;
        }
        fb_status keyed = has_nul(item->key) ? FB_NOTFOUND
                                             : fb_mapping_key(&item->binding->mapping, item->key, wanted[nwanted].key, &err);
        if (keyed != FB_OK)
            answer(item, keyed, NULL, &err);
        else
            wanted[nwanted++].item = item;
    }
    if (nwanted > 0) {
        qsort(wanted, nwanted, sizeof *wanted, by_binding_and_key);
        for (size_t i = 0; i < nwanted; i++) {
            struct asked *last = nasked > 0 ? &asked[nasked - 1] : NULL;
            bool joins = last != NULL && last->binding == wanted[i].item->binding &&
                         (last->binding->is_table || is_same(last->wanted, &wanted[i]));
            if (joins)
                last->n++;
            else
                asked[nasked++] = (struct asked){.binding = wanted[i].item->binding, .wanted = &wanted[i], .n = 1};
        }
        ask(session, asked, nasked, errs);
    }
    fb_mem_free(wanted);
    fb_mem_free(asked);
    fb_mem_free(errs);
}
