/* A double of the engine: one lock, one table searched from the front, one thread that ends operations. */
#include "double_engine.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/rng.h"

enum { ROWS_MAX = 4096, QUEUE_MAX = 200000, KEYSPACES = 5 };

static const struct { const char *prefix, *as, *pattern; } keyspaces[KEYSPACES] = {
    {"s", "json", "s:{id}"}, {"h", "hash", "h:{id}"}, {"ro", "json", "ro:{id}"}, {"ig", "json", "ig:{id}"},
    {"bad", "json", "bad:{id}"},
};
enum { STRINGS, HASHES, READONLY, IGNORING, BAD };

struct row {
    char *key;
    size_t key_len;
    fb_kind kind;         /* NONE: no row */
    fb_buf value;
    bool is_cached;
    int64_t life_ms;
};

struct job {
    fb_op op;             /* with copies of everything */
    fb_field *fields;
    fb_op *more;          /* of fb_submit_all */
    size_t nmore;
    bool lists;           /* fb_list_keys: */
    unsigned keyspace;
    size_t limit;
    fb_done done;
    fb_done_all done_all;
    void *user;
};

struct fb_cache {
    struct fb_lock lock;
    struct fb_cond cond;
    struct row rows[ROWS_MAX];
    size_t nrows;
    struct job *queue;
    size_t nqueue, running;
    unsigned submitted;
    bool is_held, is_stopping;
    struct fb_rng rng;
    pthread_t thread;
    fb_keyspace_options options[KEYSPACES];
    uint64_t hits, misses;
    unsigned watched;
    fb_on_event on_event;
    void *observer;
    fb_event *told;       /* with copies of the keys; told when the lock has been let go */
    size_t ntold, telling;
};

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static struct row *find(fb_cache *cache, fb_bytes key) {
    for (size_t i = 0; i < cache->nrows; i++)
        if (cache->rows[i].key_len == key.len && memcmp(cache->rows[i].key, key.data, key.len) == 0)
            return &cache->rows[i];
    return NULL;
}

static struct row *get_row(fb_cache *cache, fb_bytes key) {
    struct row *row = find(cache, key);
    if (row != NULL)
        return row;
    assert(cache->nrows < ROWS_MAX);
    row = &cache->rows[cache->nrows++];
    *row = (struct row){.key = malloc(key.len + 1), .key_len = key.len};
    memcpy(row->key, key.data, key.len);
    return row;
}

static void set_value(struct row *row, fb_kind kind, fb_bytes value) {
    row->kind = kind;
    row->value.len = 0;
    (void)fb_buf_append(&row->value, value.data, value.len);
}

static fb_bytes value_of(const struct row *row) { return fb_bytes_of(row->value.data, row->value.len); }

static int keyspace_of(fb_bytes key) {
    for (int i = 0; i < KEYSPACES; i++) {
        size_t n = strlen(keyspaces[i].prefix);
        if (key.len > n + 1 && key.data[n] == ':' && memcmp(key.data, keyspaces[i].prefix, n) == 0)
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

static fb_bytes copy(fb_bytes from) {
    char *data = malloc(from.len + 1);
    if (from.len > 0)
        memcpy(data, from.data, from.len);
    return fb_bytes_of(data, from.len);
}

static void tell(fb_cache *cache, fb_event_kind kind, const struct row *row, const fb_op *op) {
    if (!(cache->watched >> kind & 1))
        return;
    cache->told = realloc(cache->told, (cache->ntold + 1) * sizeof *cache->told);
    fb_event *event = &cache->told[cache->ntold++];
    *event = (fb_event){.kind = kind};
    if (row == NULL)
        return;
    event->key = copy(fb_bytes_of(row->key, row->key_len));
    event->keyspace = (unsigned)keyspace_of(event->key);
    event->value = row->kind;
    if (op != NULL) {
        event->op = op->kind;
        event->flags = op->flags;
        event->origin = op->origin;
    }
}

/* Let the lock go; then tell. */
static void leave(fb_cache *cache) {
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
            tell(cache, FB_EVENT_LOADED, row, NULL);
        break;
    case FB_OP_REFRESH:
        if (status >= 0)
            tell(cache, was_cached ? FB_EVENT_REFRESHED : FB_EVENT_LOADED, row, NULL);
        break;
    case FB_OP_SET:
    case FB_OP_HSET:
    case FB_OP_HDEL:
    case FB_OP_ADD:
        if (status == FB_OK)
            tell(cache, FB_EVENT_WRITTEN, row, op);
        if (status == FB_OK && op->kind == FB_OP_SET && op->life_ms > 0)
            tell(cache, FB_EVENT_LIFE, row, op);
        break;
    case FB_OP_DELETE:
        if (status == FB_OK)
            tell(cache, FB_EVENT_DELETED, row, op);
        break;
    case FB_OP_DROP:
    case FB_OP_INVALIDATE:
        if (was_cached)
            tell(cache, FB_EVENT_INVALIDATED, row, op);
        break;
    case FB_OP_EXPIRE:
    case FB_OP_PERSIST:
        if (status == FB_OK)
            tell(cache, FB_EVENT_LIFE, row, op);
        break;
    case FB_OP_TTL:
    case FB_OP_CHECK:
        break;
    }
}

/* ---- operations; the lock is held ------------------------------------------------------------------------------- */

struct outcome {
    fb_result result;
    fb_buf value, old;
};

static fb_status fail(struct outcome *o, fb_status status, const char *text) {
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
    set_value(row, FB_KIND_STRING, op->value);
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
        set_value(row, FB_KIND_STRING, sum);
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
    set_value(row, FB_KIND_NONE, FB_STR(""));
    row->is_cached = true;
}

static void perform(fb_cache *cache, const fb_op *op, struct outcome *o) {
    int keyspace = keyspace_of(op->key);
    bool is_write = op->kind == FB_OP_SET || op->kind == FB_OP_HSET || op->kind == FB_OP_HDEL || op->kind == FB_OP_ADD;
    o->result.status = FB_OK;
    if (keyspace < 0) {
        fail(o, FB_NOMAP, "the double has no such keyspace");
        return;
    }
    if (keyspace == BAD) {
        fail(o, FB_DOWN, "source 'x' is down\r\n+OK\r\n$5\r\nhello");
        return;
    }
    if (keyspace == READONLY && is_write) {
        fail(o, FB_READONLY, "keyspace 'ro:{id}' is read-only (write: off)");
        return;
    }
    if (keyspace == IGNORING && is_write) {
        o->result.status = FB_IGNORED;
        return;
    }
    struct row *row = get_row(cache, op->key);
    bool was_cached = row->is_cached;
    if (is_write && keyspace == HASHES && op->kind == FB_OP_SET) {
        fail(o, FB_WRONGTYPE, "SET on a hash keyspace");
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

static void list_rows(fb_cache *cache, const struct job *job, struct outcome *o) {
    size_t n = 0;
    if (job->keyspace == BAD) {
        fail(o, FB_DOWN, "source 'x' is down");
        return;
    }
    for (size_t i = 0; i < cache->nrows && n < job->limit; i++) {
        fb_bytes key = fb_bytes_of(cache->rows[i].key, cache->rows[i].key_len);
        if (keyspace_of(key) != (int)job->keyspace || cache->rows[i].kind == FB_KIND_NONE)
            continue;
        (void)fb_hash_append(&o->value, key, FB_STR(""));
        n++;
    }
    o->result.kind = FB_KIND_HASH;
}

static void borrow(struct outcome *o) {
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
        if (job->more[i].flags & FB_COND_ABSENT && get_row(cache, job->more[i].key)->kind != FB_KIND_NONE)
            return false;
    return true;
}

static void end_all(fb_cache *cache, const struct job *job) {
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
            perform(cache, op, &o[i]);
        borrow(&o[i]);
        results[i] = o[i].result;
        if (o[i].result.status < 0 || (o[i].result.status == FB_UNMET && op->block == 0)) {
            outcome.status = o[i].result.status;
            outcome.decided_by = i;
            outcome.err = o[i].result.err;
        }
    }
    outcome.results = results;
    for (size_t i = nsaved; i < cache->nrows && outcome.status != FB_OK; i++)
        set_value(&cache->rows[i], FB_KIND_NONE, FB_STR(""));
    free_saved(saved, nsaved, outcome.status != FB_OK ? cache->rows : NULL);
    leave(cache);
    job->done_all(job->user, &outcome);
    fb_lock_acquire(&cache->lock);
    for (size_t i = 0; i < job->nmore; i++) {
        fb_buf_free(&o[i].value);
        fb_buf_free(&o[i].old);
    }
    free(o);
    free(results);
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static fb_op copy_op(const fb_op *op) {
    fb_op own = *op;
    own.key = copy(op->key);
    own.value = copy(op->value);
    fb_field *fields = calloc(op->nfields + 1, sizeof *fields);
    for (size_t i = 0; i < op->nfields; i++)
        fields[i] = (fb_field){copy(op->fields[i].name), copy(op->fields[i].value)};
    own.fields = fields;
    return own;
}

static void free_op(fb_op *op) {
    for (size_t i = 0; i < op->nfields; i++) {
        free((char *)op->fields[i].name.data);
        free((char *)op->fields[i].value.data);
    }
    free((void *)op->fields);
    free((char *)op->key.data);
    free((char *)op->value.data);
}

static void end_job(fb_cache *cache, struct job *job) {
    struct outcome o = {.result = {.status = FB_OK}};
    if (job->more != NULL) {
        end_all(cache, job);
        for (size_t i = 0; i < job->nmore; i++)
            free_op(&job->more[i]);
        free(job->more);
        return;
    }
    if (job->lists)
        list_rows(cache, job, &o);
    else
        perform(cache, &job->op, &o);
    borrow(&o);
    leave(cache);
    job->done(job->user, &o.result);
    fb_buf_free(&o.value);
    fb_buf_free(&o.old);
    if (!job->lists)
        free_op(&job->op);
    fb_lock_acquire(&cache->lock);
}

static void *work(void *user) {
    fb_cache *cache = user;
    fb_lock_acquire(&cache->lock);
    for (;;) {
        while (cache->nqueue == 0 || cache->is_held) {
            if (cache->is_stopping && cache->nqueue == 0)
                goto out;
            if (cache->is_stopping)
                break;
            fb_cond_wait(&cache->cond, &cache->lock);
        }
        size_t i = fb_rng_below(&cache->rng, cache->nqueue);
        struct job job = cache->queue[i];
        cache->queue[i] = cache->queue[--cache->nqueue];
        cache->running++;
        end_job(cache, &job);
        cache->running--;
        fb_cond_broadcast(&cache->cond);
    }
out:
    fb_lock_release(&cache->lock);
    return NULL;
}

static fb_status enqueue(fb_cache *cache, struct job job) {
    assert(cache->nqueue < QUEUE_MAX);
    cache->queue[cache->nqueue++] = job;
    cache->submitted++;
    fb_cond_broadcast(&cache->cond);
    return FB_PENDING;
}

/* ---- the public API --------------------------------------------------------------------------------------------- */

fb_status fb_open(const fb_options *options, fb_cache **ret_cache, fb_err *reterr) {
    (void)options;
    (void)reterr;
    fb_cache *cache = calloc(1, sizeof *cache);
    fb_lock_init(&cache->lock, FB_LOCK_LANE);
    fb_cond_init(&cache->cond);
    cache->queue = calloc(QUEUE_MAX, sizeof *cache->queue);
    for (int i = 0; i < KEYSPACES; i++) {
        cache->options[i] = (fb_keyspace_options)FB_KEYSPACE_OPTIONS_INIT;
        cache->options[i].pattern = keyspaces[i].pattern;
        cache->options[i].as = keyspaces[i].as;
    }
    pthread_create(&cache->thread, NULL, work, cache);
    *ret_cache = cache;
    return FB_OK;
}

void fb_close(fb_cache *cache) {
    fb_lock_acquire(&cache->lock);
    cache->is_stopping = true;
    fb_cond_broadcast(&cache->cond);
    fb_lock_release(&cache->lock);
    pthread_join(cache->thread, NULL);
    for (size_t i = 0; i < cache->nrows; i++) {
        free(cache->rows[i].key);
        fb_buf_free(&cache->rows[i].value);
    }
    free(cache->queue);
    fb_cond_finish(&cache->cond);
    fb_lock_finish(&cache->lock);
    free(cache);
}

unsigned fb_keyspace_count(const fb_cache *cache) {
    (void)cache;
    return KEYSPACES;
}
const fb_keyspace_options *fb_keyspace_at(const fb_cache *cache, unsigned index) {
    return index < KEYSPACES ? &cache->options[index] : NULL;
}
int fb_is_elsewhere(const fb_cache *cache) {
    (void)cache;
    return 0;
}

fb_status fb_owner_get(fb_cache *cache, fb_bytes key, char *ret_address, size_t size) {
    (void)cache, (void)key, (void)ret_address, (void)size;
    return FB_OK;
}

void fb_forget(fb_cache *cache, fb_bytes key) { (void)cache, (void)key; }

int fb_keyspace_of(const fb_cache *cache, fb_bytes key) {
    (void)cache;
    return keyspace_of(key);
}

int fb_keyspace_near(const fb_cache *cache, fb_bytes key, fb_err *ret_why) {
    (void)cache;
    if (key.len < 2 || key.data[0] != 'S' || key.data[1] != ':')
        return -1;
    (void)fb_fail(ret_why, FB_NOMAP, "it says 'S:' and not 's:'");
    return STRINGS;
}

fb_status fb_cached(fb_cache *cache, fb_bytes key) {
    fb_lock_acquire(&cache->lock);
    struct row *row = find(cache, key);
    fb_status status = row == NULL || !row->is_cached ? FB_MISS : row->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
    fb_lock_release(&cache->lock);
    return status;
}

void fb_gather_begin(fb_cache *cache) { (void)cache; }
void fb_gather_end(fb_cache *cache) { (void)cache; }
void fb_prefetch(fb_cache *cache, const fb_bytes *keys, size_t n) {
    (void)cache;
    (void)keys;
    (void)n;
}

fb_status fb_peek(fb_cache *cache, fb_bytes key, fb_buf *out, fb_kind *ret_kind) {
    fb_status status = FB_MISS;
    fb_lock_acquire(&cache->lock);
    struct row *row = find(cache, key);
    if (row != NULL && row->is_cached) {
        status = row->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
        *ret_kind = row->kind;
        cache->hits++;
        if (status == FB_OK && fb_buf_append(out, row->value.data, row->value.len) != FB_OK)
            status = FB_NOMEM;
    }
    fb_lock_release(&cache->lock);
    return status;
}

/* What concerns copies only ends at once, as in the engine. */
static bool is_of_copy(fb_op_kind kind) {
    return kind == FB_OP_TTL || kind == FB_OP_EXPIRE || kind == FB_OP_PERSIST || kind == FB_OP_INVALIDATE ||
           kind == FB_OP_DROP;
}

fb_status fb_submit(fb_cache *cache, const fb_op *op, fb_done done, void *user, fb_result *ret_result) {
    fb_lock_acquire(&cache->lock);
    struct row *row = find(cache, op->key);
    bool is_hit = op->kind == FB_OP_READ && row != NULL && row->is_cached;
    if (is_hit || is_of_copy(op->kind) || keyspace_of(op->key) < 0) {
        struct outcome *o = calloc(1, sizeof *o);
        perform(cache, op, o);
        borrow(o);
        *ret_result = o->result;
        ret_result->private_ = o;
        leave(cache);
        return ret_result->status;
    }
    cache->misses += op->kind == FB_OP_READ;
    fb_status status = enqueue(cache, (struct job){.op = copy_op(op), .done = done, .user = user});
    fb_lock_release(&cache->lock);
    return status;
}

fb_status fb_submit_all(fb_cache *cache, const fb_op *ops, size_t n, fb_done_all done, void *user,
                        fb_outcome *ret_outcome) {
    (void)ret_outcome;
    struct job job = {.more = calloc(n, sizeof *job.more), .nmore = n, .done_all = done, .user = user};
    for (size_t i = 0; i < n; i++)
        job.more[i] = copy_op(&ops[i]);
    fb_lock_acquire(&cache->lock);
    fb_status status = enqueue(cache, job);
    fb_lock_release(&cache->lock);
    return status;
}

void fb_result_release(fb_result *result) {
    struct outcome *o = result->private_;
    if (o == NULL)
        return;
    fb_buf_free(&o->value);
    fb_buf_free(&o->old);
    free(o);
}

fb_status fb_invalidate(fb_cache *cache, fb_bytes key, fb_err *reterr) {
    (void)reterr;
    fb_lock_acquire(&cache->lock);
    struct row *row = find(cache, key);
    fb_status status = row != NULL && row->is_cached ? FB_OK : FB_MISS;
    if (status == FB_OK)
        row->is_cached = false;
    fb_lock_release(&cache->lock);
    return status;
}

void fb_invalidate_all(fb_cache *cache) {
    fb_lock_acquire(&cache->lock);
    for (size_t i = 0; i < cache->nrows; i++)
        cache->rows[i].is_cached = false;
    tell(cache, FB_EVENT_ALL, NULL, NULL);
    leave(cache);
}

void fb_watch(fb_cache *cache, unsigned kinds, fb_on_event on_event, void *user) {
    fb_lock_acquire(&cache->lock);
    cache->watched = kinds;
    cache->on_event = on_event;
    cache->observer = user;
    while (kinds == 0 && cache->telling > 0)
        fb_cond_wait(&cache->cond, &cache->lock);
    fb_lock_release(&cache->lock);
}

static bool is_value(const struct row *row) { return row->is_cached && row->kind != FB_KIND_NONE; }

/* The cursor is the number of the row, and one. */
uint64_t fb_scan(fb_cache *cache, uint64_t cursor, size_t count, fb_visit visit, void *user) {
    fb_lock_acquire(&cache->lock);
    size_t i = (size_t)cursor;
    for (size_t seen = 0; i < cache->nrows && seen < count; i++) {
        if (!is_value(&cache->rows[i]))
            continue;
        fb_bytes key = fb_bytes_of(cache->rows[i].key, cache->rows[i].key_len);
        visit(user, &(fb_entry){key, cache->rows[i].kind, (unsigned)keyspace_of(key)});
        seen++;
    }
    bool is_over = i >= cache->nrows;
    fb_lock_release(&cache->lock);
    return is_over ? 0 : i;
}

fb_status fb_random_key(fb_cache *cache, fb_buf *ret_key) {
    fb_status status = FB_NOTFOUND;
    fb_lock_acquire(&cache->lock);
    for (size_t n = 0, from = cache->nrows > 0 ? fb_rng_below(&cache->rng, cache->nrows) : 0; n < cache->nrows; n++) {
        const struct row *row = &cache->rows[(from + n) % cache->nrows];
        if (!is_value(row))
            continue;
        status = fb_buf_append(ret_key, row->key, row->key_len);
        break;
    }
    fb_lock_release(&cache->lock);
    return status;
}

void fb_facts_get(fb_cache *cache, fb_bytes key, fb_facts *ret_facts) {
    *ret_facts = (fb_facts){.keyspace = keyspace_of(key), .cached = FB_MISS};
    fb_lock_acquire(&cache->lock);
    const struct row *row = find(cache, key);
    if (row != NULL && row->is_cached)
        *ret_facts = (fb_facts){
            .keyspace = keyspace_of(key),
            .cached = row->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK,
            .kind = row->kind,
            .value_bytes = row->value.len,
            .memory = row->value.len + row->key_len + 96,
            .frequency = 1,
            .age_ms = 1500,
            .life_ms = row->life_ms != 0 ? row->life_ms : 3600000 - 1500,
            .ttl_ms = 3600000,
            .cap_ms = row->life_ms,
            .load_ms = 2,
        };
    fb_lock_release(&cache->lock);
}

void fb_sharing_stats_get(fb_cache *cache, fb_sharing_stats *ret_stats) {
    (void)cache;
    *ret_stats = (fb_sharing_stats){.is_shared = 0};
}

void fb_stats_get(fb_cache *cache, fb_stats *ret_stats) {
    fb_lock_acquire(&cache->lock);
    *ret_stats = (fb_stats){.memory_max = 1 << 20};
    for (size_t i = 0; i < cache->nrows; i++)
        ret_stats->keys += cache->rows[i].is_cached && cache->rows[i].kind != FB_KIND_NONE;
    fb_lock_release(&cache->lock);
}

fb_status fb_keyspace_stats_get(fb_cache *cache, unsigned index, fb_keyspace_stats *ret_stats) {
    fb_lock_acquire(&cache->lock);
    *ret_stats = (fb_keyspace_stats){.hits = index == 0 ? cache->hits : 0, .misses = index == 0 ? cache->misses : 0};
    fb_lock_release(&cache->lock);
    return FB_OK;
}

void fb_source_stats_get(const fb_source *source, fb_source_stats *ret_stats) {
    (void)source;
    *ret_stats = (fb_source_stats){0};
}
const int64_t fb_time_steps_us[FB_TIME_STEPS];
void fb_source_times_get(const fb_source *source, fb_time_kind kind, fb_times *ret_times) {
    (void)source, (void)kind;
    *ret_times = (fb_times){0};
}
const char *fb_source_name(const fb_source *source) {
    (void)source;
    return "double";
}

/* ---- looking in --------------------------------------------------------------------------------------------------- */

uint64_t fb_fingerprint(const fb_cache *cache, fb_kind kind, fb_bytes value) {
    (void)cache;
    uint64_t sum = (uint64_t)kind;
    for (size_t i = 0; i < value.len; i++)
        sum = sum * 31 + (unsigned char)value.data[i];
    return sum;
}
const char *fb_keyspace_sql(const fb_cache *cache, unsigned index, fb_op_kind kind) {
    (void)cache;
    return index == STRINGS && kind == FB_OP_READ ? "SELECT \"v\" FROM \"s\" WHERE \"id\" = ?1" : NULL;
}
fb_status fb_keyspace_last_error(fb_cache *cache, unsigned index, fb_err *ret_text, int64_t *ret_age_ms) {
    (void)cache;
    if (index != BAD)
        return FB_NOTFOUND;
    (void)fb_fail(ret_text, FB_DOWN, "source 'x' is down");
    *ret_age_ms = 1500;
    return FB_OK;
}
/* Ends on the other thread. */
/* Nothing is written behind here. */
fb_status fb_settle(fb_cache *cache, fb_settled what, int64_t timeout_ms, fb_done done, void *user,
                    fb_result *ret_result) {
    (void)cache, (void)what, (void)timeout_ms, (void)done, (void)user;
    *ret_result = (fb_result){.status = FB_OK};
    return FB_OK;
}

fb_status fb_dead(fb_cache *cache, const char *source, fb_dead_verb verb, uint64_t id, size_t limit, fb_done done,
                  void *user, fb_result *ret_result) {
    (void)cache, (void)source, (void)verb, (void)id, (void)limit, (void)done, (void)user;
    *ret_result = (fb_result){.status = FB_INVALID};
    ret_result->err = (fb_err){FB_INVALID, "nothing is written behind"};
    return FB_INVALID;
}

fb_status fb_behind_stats_get(const fb_source *source, fb_behind_stats *ret_stats) {
    (void)source;
    *ret_stats = (fb_behind_stats){0};
    return FB_NOTFOUND;
}

fb_status fb_list_keys(fb_cache *cache, unsigned keyspace, size_t limit, fb_done done, void *user,
                       fb_result *ret_result) {
    if (keyspace == HASHES) {
        struct outcome *o = calloc(1, sizeof *o);
        (void)fail(o, FB_UNSUPPORTED, "keyspace 'h:{id}' has no table");
        *ret_result = o->result;
        ret_result->private_ = o;
        return FB_UNSUPPORTED;
    }
    fb_lock_acquire(&cache->lock);
    fb_status status = enqueue(cache, (struct job){.lists = true, .keyspace = keyspace, .limit = limit, .done = done,
                                                   .user = user});
    fb_lock_release(&cache->lock);
    return status;
}
fb_status fb_invalidate_shared(fb_cache *cache, unsigned keyspace, uint64_t *ret_dropped, fb_err *reterr) {
    (void)cache, (void)keyspace, (void)reterr;
    *ret_dropped = 0;
    return FB_OK;
}
uint64_t fb_invalidate_keyspace(fb_cache *cache, unsigned keyspace, uint64_t cursor, size_t count,
                                uint64_t *ret_dropped) {
    (void)cursor, (void)count;
    *ret_dropped = 0;
    fb_lock_acquire(&cache->lock);
    for (size_t i = 0; i < cache->nrows; i++) {
        struct row *row = &cache->rows[i];
        if (!row->is_cached || keyspace_of(fb_bytes_of(row->key, row->key_len)) != (int)keyspace)
            continue;
        row->is_cached = false;
        ++*ret_dropped;
        tell(cache, FB_EVENT_INVALIDATED, row, &(fb_op){.kind = FB_OP_INVALIDATE});
    }
    leave(cache);
    return 0;
}
fb_status fb_policy_set(fb_cache *cache, unsigned keyspace, const fb_policy *policy, fb_err *reterr) {
    (void)cache, (void)keyspace, (void)policy, (void)reterr;
    return FB_OK;
}
fb_status fb_memory_max_set(fb_cache *cache, uint64_t bytes, fb_err *reterr) {
    (void)cache, (void)bytes, (void)reterr;
    return FB_OK;
}

/* ---- what tests say to it --------------------------------------------------------------------------------------- */

void double_clear(fb_cache *cache) {
    fb_lock_acquire(&cache->lock);
    for (size_t i = 0; i < cache->nrows; i++) {
        free(cache->rows[i].key);
        fb_buf_free(&cache->rows[i].value);
    }
    cache->nrows = 0;
    fb_lock_release(&cache->lock);
}

void double_put(fb_cache *cache, const char *key, fb_kind kind, fb_bytes value) {
    fb_lock_acquire(&cache->lock);
    struct row *row = get_row(cache, FB_STR(key));
    set_value(row, kind, value);
    row->is_cached = false;
    fb_lock_release(&cache->lock);
}

void double_drop(fb_cache *cache, const char *key, fb_event_kind why) {
    fb_lock_acquire(&cache->lock);
    struct row *row = get_row(cache, FB_STR(key));
    tell(cache, why, row, NULL);
    row->is_cached = false;
    leave(cache);
}

void double_seed(fb_cache *cache, uint64_t seed) {
    fb_lock_acquire(&cache->lock);
    cache->rng.state = seed;
    fb_lock_release(&cache->lock);
}

void double_hold(fb_cache *cache, bool holds) {
    fb_lock_acquire(&cache->lock);
    cache->is_held = holds;
    fb_cond_broadcast(&cache->cond);
    fb_lock_release(&cache->lock);
}

unsigned double_submitted(fb_cache *cache) {
    fb_lock_acquire(&cache->lock);
    unsigned n = cache->submitted;
    fb_lock_release(&cache->lock);
    return n;
}

void double_wait_submitted(fb_cache *cache, unsigned n) {
    fb_lock_acquire(&cache->lock);
    while (cache->submitted < n)
        fb_cond_wait(&cache->cond, &cache->lock);
    fb_lock_release(&cache->lock);
}

void double_wait_idle(fb_cache *cache) {
    fb_lock_acquire(&cache->lock);
    while (cache->nqueue > 0 || cache->running > 0)
        fb_cond_wait(&cache->cond, &cache->lock);
    fb_lock_release(&cache->lock);
}

/* ---- leases and locks: the engine's own tests have them ---- */

static fb_status not_here(fb_result *result) {
    *result = (fb_result){.status = FB_UNSUPPORTED};
    return FB_UNSUPPORTED;
}

fb_status fb_lease_submit(fb_cache *cache, fb_bytes key, int64_t wait_ms, fb_done done, void *user, fb_result *ret_result) {
    (void)cache, (void)key, (void)wait_ms, (void)done, (void)user;
    return not_here(ret_result);
}

fb_status fb_fill_submit(fb_cache *cache, fb_bytes key, uint64_t token, fb_status found, fb_bytes value, int64_t life_ms,
                         fb_done done, void *user, fb_result *ret_result) {
    (void)cache, (void)key, (void)token, (void)found, (void)value, (void)life_ms, (void)done, (void)user;
    return not_here(ret_result);
}

fb_status fb_lock_submit(fb_cache *cache, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, fb_done done, void *user,
                         fb_result *ret_result) {
    (void)cache, (void)name, (void)ttl_ms, (void)wait_ms, (void)done, (void)user;
    return not_here(ret_result);
}

fb_status fb_unlock_submit(fb_cache *cache, fb_bytes name, uint64_t token, fb_done done, void *user, fb_result *ret_result) {
    (void)cache, (void)name, (void)token, (void)done, (void)user;
    return not_here(ret_result);
}
