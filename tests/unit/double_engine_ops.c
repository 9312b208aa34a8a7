/* The rows of the double, what each operation does to them, and whom that is told. */
#include "double_engine_parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

const struct double_keyspace double_keyspaces[KEYSPACES] = {
    {"s", "json", "s:{id}"}, {"h", "hash", "h:{id}"}, {"ro", "json", "ro:{id}"}, {"ig", "json", "ig:{id}"},
    {"bad", "json", "bad:{id}"},
};

/* ---- rows ------------------------------------------------------------------------------------------------------- */

struct row *double_find(fb_cache *cache, fb_bytes key) {
    for (size_t i = 0; i < cache->nrows; i++)
        if (cache->rows[i].key_len == key.len && memcmp(cache->rows[i].key, key.data, key.len) == 0)
            return &cache->rows[i];
    return NULL;
}

struct row *double_get_row(fb_cache *cache, fb_bytes key) {
    struct row *row = double_find(cache, key);
    if (row != NULL)
        return row;
    assert(cache->nrows < ROWS_MAX);
    row = &cache->rows[cache->nrows++];
    *row = (struct row){.key = malloc(key.len + 1), .key_len = key.len};
    memcpy(row->key, key.data, key.len);
    return row;
}

void double_set_value(struct row *row, fb_kind kind, fb_bytes value) {
    row->kind = kind;
    row->value.len = 0;
    (void)fb_buf_append(&row->value, value.data, value.len);
}

static fb_bytes value_of(const struct row *row) { return fb_bytes_of(row->value.data, row->value.len); }

int double_keyspace_of(fb_bytes key) {
    for (int i = 0; i < KEYSPACES; i++) {
        size_t n = strlen(double_keyspaces[i].prefix);
        if (key.len > n + 1 && key.data[n] == ':' && memcmp(key.data, double_keyspaces[i].prefix, n) == 0)
            return i;
    }
    return -1;
}

static void set_field(struct row *row, fb_bytes name, const fb_bytes *value) {
    fb_buf fresh = FB_BUF_INIT;
    fb_field field;
    bool is_there = false;
    for (size_t cursor = 0; fb_hash_next(value_of(row), &cursor, &field);) {
        bool is_it = field.name.len == name.len && memcmp(field.name.data, name.data, name.len) == 0;
        is_there |= is_it;
        if (!is_it)
            (void)fb_hash_append(&fresh, field.name, field.value);
        else if (value != NULL)
            (void)fb_hash_append(&fresh, name, *value);
    }
    if (!is_there && value != NULL)
        (void)fb_hash_append(&fresh, name, *value);
    fb_buf_free(&row->value);
    row->value = fresh;
    row->kind = FB_KIND_HASH;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

fb_bytes double_copy(fb_bytes from) {
    char *data = malloc(from.len + 1);
    if (from.len > 0)
        memcpy(data, from.data, from.len);
    return fb_bytes_of(data, from.len);
}

void double_tell(fb_cache *cache, fb_event_kind kind, const struct row *row, const fb_op *op) {
    if (!(cache->watched >> kind & 1))
        return;
    cache->told = realloc(cache->told, (cache->ntold + 1) * sizeof *cache->told);
    fb_event *event = &cache->told[cache->ntold++];
    *event = (fb_event){.kind = kind};
    if (row == NULL)
        return;
    event->key = double_copy(fb_bytes_of(row->key, row->key_len));
    event->keyspace = (unsigned)double_keyspace_of(event->key);
    event->value = row->kind;
    if (op != NULL) {
        event->op = op->kind;
        event->flags = op->flags;
        event->origin = op->origin;
    }
}

/* Let the lock go; then tell. */
void double_leave(fb_cache *cache) {
    fb_event *told = cache->told;
    size_t n = cache->ntold;
    cache->told = NULL;
    cache->ntold = 0;
    cache->telling++;
    fb_lock_release(&cache->lock);
    for (size_t i = 0; i < n; i++) {
        cache->on_event(cache->observer, &told[i]);
        free((char *)told[i].key.data);
    }
    free(told);
    fb_lock_acquire(&cache->lock);
    cache->telling--;
    fb_cond_broadcast(&cache->cond);
    fb_lock_release(&cache->lock);
}

/* What an operation that has ended was. */
static void tell_end(fb_cache *cache, const struct row *row, const fb_op *op, fb_status status, bool was_cached) {
    switch (op->kind) {
    case FB_OP_READ:
        if (!was_cached && status >= 0)
            double_tell(cache, FB_EVENT_LOADED, row, NULL);
        break;
    case FB_OP_REFRESH:
        if (status >= 0)
            double_tell(cache, was_cached ? FB_EVENT_REFRESHED : FB_EVENT_LOADED, row, NULL);
        break;
    case FB_OP_SET:
    case FB_OP_HSET:
    case FB_OP_HDEL:
    case FB_OP_ADD:
        if (status == FB_OK)
            double_tell(cache, FB_EVENT_WRITTEN, row, op);
        if (status == FB_OK && op->kind == FB_OP_SET && op->life_ms > 0)
            double_tell(cache, FB_EVENT_LIFE, row, op);
        break;
    case FB_OP_DELETE:
        if (status == FB_OK)
            double_tell(cache, FB_EVENT_DELETED, row, op);
        break;
    case FB_OP_DROP:
    case FB_OP_INVALIDATE:
        if (was_cached)
            double_tell(cache, FB_EVENT_INVALIDATED, row, op);
        break;
    case FB_OP_EXPIRE:
    case FB_OP_PERSIST:
        if (status == FB_OK)
            double_tell(cache, FB_EVENT_LIFE, row, op);
        break;
    case FB_OP_TTL:
    case FB_OP_CHECK:
        break;
    }
}

/* ---- operations; the lock is held ------------------------------------------------------------------------------- */

fb_status double_fail(struct outcome *o, fb_status status, const char *text) {
    return o->result.status = fb_fail(&o->result.err, status, "%s", text);
}

static void read_row(struct row *row, struct outcome *o) {
    row->is_cached = true;
    o->result.status = row->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
    o->result.kind = row->kind;
    if (row->kind != FB_KIND_NONE)
        (void)fb_buf_append(&o->value, row->value.len > 0 ? row->value.data : "", row->value.len);
}

static void set_row(struct row *row, const fb_op *op, struct outcome *o) {
    bool is_there = row->kind != FB_KIND_NONE;
    if (op->flags & FB_WANT_OLD && is_there) {
        (void)fb_buf_reserve(&o->old, row->value.len + 1);
        (void)fb_buf_append(&o->old, row->value.data, row->value.len);
        o->result.kind = row->kind;
    }
    if ((op->flags & FB_COND_ABSENT && is_there) || (op->flags & FB_COND_PRESENT && !is_there)) {
        o->result.status = FB_UNMET;
        return;
    }
    double_set_value(row, FB_KIND_STRING, op->value);
    row->is_cached = true;
    row->life_ms = op->life_ms;
}

static void add_to_row(struct row *row, const fb_op *op, struct outcome *o) {
    char text[64];
    fb_bytes old = value_of(row), name = op->nfields > 0 ? op->fields[0].name : fb_bytes_of(NULL, 0);
    if (op->nfields > 0 && fb_hash_get(value_of(row), name, &old) != FB_OK)
        old = FB_STR("0");
    snprintf(text, sizeof text, "%.*s", (int)old.len, old.data != NULL ? old.data : "");
    char delta[64];
    snprintf(delta, sizeof delta, "%.*s", (int)op->value.len, op->value.data);
    if (op->flags & FB_ADD_FLOAT)
        snprintf(text, sizeof text, "%g", strtod(text, NULL) + strtod(delta, NULL));
    else
        snprintf(text, sizeof text, "%lld", /* which may overflow, and then goes round */
                 (long long)((uint64_t)strtoll(text, NULL, 10) + (uint64_t)strtoll(delta, NULL, 10)));
    fb_bytes sum = FB_STR(text);
    if (op->nfields > 0)
        set_field(row, name, &sum);
    else
        double_set_value(row, FB_KIND_STRING, sum);
    row->is_cached = true;
    (void)fb_buf_append(&o->value, text, strlen(text));
    o->result.kind = FB_KIND_STRING;
}

static void change_fields(struct row *row, const fb_op *op, struct outcome *o) {
    fb_bytes old;
    for (size_t i = 0; i < op->nfields; i++) {
        bool is_there = fb_hash_get(value_of(row), op->fields[i].name, &old) == FB_OK;
        if (op->flags & FB_COND_FIELD_ABSENT && is_there) {
            o->result.status = FB_UNMET;
            return;
        }
        o->result.number += op->kind == FB_OP_HDEL ? is_there : !is_there;
        if (op->kind == FB_OP_HSET || is_there)
            set_field(row, op->fields[i].name, op->kind == FB_OP_HSET ? &op->fields[i].value : NULL);
    }
    row->is_cached = true;
}

static void delete_row(struct row *row, const fb_op *op, struct outcome *o) {
    bool is_there = row->kind != FB_KIND_NONE;
    if (op->flags & FB_WANT_OLD && is_there) {
        (void)fb_buf_reserve(&o->old, row->value.len + 1);
        (void)fb_buf_append(&o->old, row->value.data, row->value.len);
        o->result.kind = row->kind;
    }
    if (!is_there)
        o->result.status = op->flags & FB_COND_PRESENT ? FB_UNMET : FB_NOTFOUND;
    double_set_value(row, FB_KIND_NONE, FB_STR(""));
    row->is_cached = true;
}

void double_perform(fb_cache *cache, const fb_op *op, struct outcome *o) {
    int keyspace = double_keyspace_of(op->key);
    bool is_write = op->kind == FB_OP_SET || op->kind == FB_OP_HSET || op->kind == FB_OP_HDEL || op->kind == FB_OP_ADD;
    o->result.status = FB_OK;
    if (keyspace < 0) {
        double_fail(o, FB_NOMAP, "the double has no such keyspace");
        return;
    }
    if (keyspace == BAD) {
        double_fail(o, FB_DOWN, "source 'x' is down\r\n+OK\r\n$5\r\nhello");
        return;
    }
    if (keyspace == READONLY && is_write) {
        double_fail(o, FB_READONLY, "keyspace 'ro:{id}' is read-only (write: off)");
        return;
    }
    if (keyspace == IGNORING && is_write) {
        o->result.status = FB_IGNORED;
        return;
    }
    struct row *row = double_get_row(cache, op->key);
    bool was_cached = row->is_cached;
    if (is_write && keyspace == HASHES && op->kind == FB_OP_SET) {
        double_fail(o, FB_WRONGTYPE, "SET on a hash keyspace");
        return;
    }
    switch (op->kind) {
    case FB_OP_CHECK:
        if (fb_fingerprint(cache, row->kind, value_of(row)) != op->expected)
            o->result.status = FB_UNMET;
        break;
    case FB_OP_REFRESH:
    case FB_OP_READ: read_row(row, o); break;
    case FB_OP_SET: set_row(row, op, o); break;
    case FB_OP_ADD: add_to_row(row, op, o); break;
    case FB_OP_HSET:
    case FB_OP_HDEL: change_fields(row, op, o); break;
    case FB_OP_DELETE: delete_row(row, op, o); break;
    case FB_OP_DROP:
    case FB_OP_INVALIDATE:
        o->result.status = row->is_cached ? FB_OK : FB_MISS;
        row->is_cached = false;
        row->life_ms = 0;
        break;
    case FB_OP_EXPIRE:
        o->result.status = row->is_cached ? FB_OK : FB_MISS;
        row->life_ms = op->life_ms;
        break;
    case FB_OP_PERSIST:
        o->result.status = row->is_cached && row->life_ms != 0 ? FB_OK : FB_UNMET;
        row->life_ms = 0;
        break;
    case FB_OP_TTL:
        o->result.status = !row->is_cached ? FB_MISS : row->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
        o->result.number = row->life_ms != 0 ? row->life_ms : 3600000;
        break;
    }
    tell_end(cache, row, op, o->result.status, was_cached);
}

void double_list_rows(fb_cache *cache, const struct job *job, struct outcome *o) {
    size_t n = 0;
    if (job->keyspace == BAD) {
        double_fail(o, FB_DOWN, "source 'x' is down");
        return;
    }
    for (size_t i = 0; i < cache->nrows && n < job->limit; i++) {
        fb_bytes key = fb_bytes_of(cache->rows[i].key, cache->rows[i].key_len);
        if (double_keyspace_of(key) != (int)job->keyspace || cache->rows[i].kind == FB_KIND_NONE)
            continue;
        (void)fb_hash_append(&o->value, key, FB_STR(""));
        n++;
    }
    o->result.kind = FB_KIND_HASH;
}

void double_borrow(struct outcome *o) {
    if (o->value.data != NULL)
        o->result.value = fb_bytes_of(o->value.data, o->value.len);
    if (o->old.data != NULL)
        o->result.old = fb_bytes_of(o->old.data, o->old.len);
}

/* ---- transactions ----------------------------------------------------------------------------------------------- */

/* The rows as they are, to be put back. */
static struct row *save_rows(fb_cache *cache) {
    struct row *saved = calloc(cache->nrows + 1, sizeof *saved);
    for (size_t i = 0; i < cache->nrows; i++) {
        saved[i] = cache->rows[i];
        saved[i].value = (fb_buf)FB_BUF_INIT;
        (void)fb_buf_append(&saved[i].value, cache->rows[i].value.data, cache->rows[i].value.len);
    }
    return saved;
}

static void free_saved(struct row *saved, size_t n, struct row *back) {
    for (size_t i = 0; i < n; i++) {
        if (back != NULL) {
            fb_buf_free(&back[i].value);
            back[i] = saved[i];
        } else {
            fb_buf_free(&saved[i].value);
        }
    }
    free(saved);
}

/* Conditions of a block are judged before its first write. */
static bool is_block_met(fb_cache *cache, const struct job *job, size_t first) {
    for (size_t i = first; i < job->nmore && job->more[i].block == job->more[first].block; i++)
        if (job->more[i].flags & FB_COND_ABSENT && double_get_row(cache, job->more[i].key)->kind != FB_KIND_NONE)
            return false;
    return true;
}

void double_end_all(fb_cache *cache, const struct job *job) {
    fb_outcome outcome = {.status = FB_OK, .decided_by = job->nmore, .n = job->nmore};
    struct outcome *o = calloc(job->nmore, sizeof *o);
    fb_result *results = calloc(job->nmore, sizeof *results);
    size_t nsaved = cache->nrows;
    struct row *saved = save_rows(cache);
    bool is_met = true;
    for (size_t i = 0; i < job->nmore && outcome.status == FB_OK; i++) {
        const fb_op *op = &job->more[i];
        if (op->block != 0 && (i == 0 || job->more[i - 1].block != op->block))
            is_met = is_block_met(cache, job, i);
        if (op->block != 0 && !is_met)
            o[i].result.status = FB_UNMET;
        else
            double_perform(cache, op, &o[i]);
        double_borrow(&o[i]);
        results[i] = o[i].result;
        if (o[i].result.status < 0 || (o[i].result.status == FB_UNMET && op->block == 0)) {
            outcome.status = o[i].result.status;
            outcome.decided_by = i;
            outcome.err = o[i].result.err;
        }
    }
    outcome.results = results;
    for (size_t i = nsaved; i < cache->nrows && outcome.status != FB_OK; i++)
        double_set_value(&cache->rows[i], FB_KIND_NONE, FB_STR(""));
    free_saved(saved, nsaved, outcome.status != FB_OK ? cache->rows : NULL);
    double_leave(cache);
    job->done_all(job->user, &outcome);
    fb_lock_acquire(&cache->lock);
    for (size_t i = 0; i < job->nmore; i++) {
        fb_buf_free(&o[i].value);
        fb_buf_free(&o[i].old);
    }
    free(o);
    free(results);
}
