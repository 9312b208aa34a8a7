/* A double of the engine: one lock, one table searched from the front, one thread that ends operations. */
#include "double_engine_parts.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static fb_op copy_op(const fb_op *op) {
    fb_op own = *op;
    own.key = double_copy(op->key);
    own.value = double_copy(op->value);
    fb_field *fields = calloc(op->nfields + 1, sizeof *fields);
    for (size_t i = 0; i < op->nfields; i++)
        fields[i] = (fb_field){double_copy(op->fields[i].name), double_copy(op->fields[i].value)};
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
        double_end_all(cache, job);
        for (size_t i = 0; i < job->nmore; i++)
            free_op(&job->more[i]);
        free(job->more);
        return;
    }
    if (job->lists)
        double_list_rows(cache, job, &o);
    else
        double_perform(cache, &job->op, &o);
    double_borrow(&o);
    double_leave(cache);
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
        cache->options[i].pattern = double_keyspaces[i].pattern;
        cache->options[i].as = double_keyspaces[i].as;
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
int fb_keyspace_of(const fb_cache *cache, fb_bytes key) {
    (void)cache;
    return double_keyspace_of(key);
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
    struct row *row = double_find(cache, key);
    fb_status status = row == NULL || !row->is_cached ? FB_MISS : row->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
    fb_lock_release(&cache->lock);
    return status;
}

fb_status fb_peek(fb_cache *cache, fb_bytes key, fb_buf *out, fb_kind *ret_kind) {
    fb_status status = FB_MISS;
    fb_lock_acquire(&cache->lock);
    struct row *row = double_find(cache, key);
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
    struct row *row = double_find(cache, op->key);
    bool is_hit = op->kind == FB_OP_READ && row != NULL && row->is_cached;
    if (is_hit || is_of_copy(op->kind) || double_keyspace_of(op->key) < 0) {
        struct outcome *o = calloc(1, sizeof *o);
        double_perform(cache, op, o);
        double_borrow(o);
        *ret_result = o->result;
        ret_result->private_ = o;
        double_leave(cache);
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
    struct row *row = double_find(cache, key);
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
    double_tell(cache, FB_EVENT_ALL, NULL, NULL);
    double_leave(cache);
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
        visit(user, &(fb_entry){key, cache->rows[i].kind, (unsigned)double_keyspace_of(key)});
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
    *ret_facts = (fb_facts){.keyspace = double_keyspace_of(key), .cached = FB_MISS};
    fb_lock_acquire(&cache->lock);
    const struct row *row = double_find(cache, key);
    if (row != NULL && row->is_cached)
        *ret_facts = (fb_facts){
            .keyspace = double_keyspace_of(key),
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
fb_status fb_list_keys(fb_cache *cache, unsigned keyspace, size_t limit, fb_done done, void *user,
                       fb_result *ret_result) {
    if (keyspace == HASHES) {
        struct outcome *o = calloc(1, sizeof *o);
        (void)double_fail(o, FB_UNSUPPORTED, "keyspace 'h:{id}' has no table");
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
uint64_t fb_invalidate_keyspace(fb_cache *cache, unsigned keyspace, uint64_t cursor, size_t count,
                                uint64_t *ret_dropped) {
    (void)cursor, (void)count;
    *ret_dropped = 0;
    fb_lock_acquire(&cache->lock);
    for (size_t i = 0; i < cache->nrows; i++) {
        struct row *row = &cache->rows[i];
        if (!row->is_cached || double_keyspace_of(fb_bytes_of(row->key, row->key_len)) != (int)keyspace)
            continue;
        row->is_cached = false;
        ++*ret_dropped;
        double_tell(cache, FB_EVENT_INVALIDATED, row, &(fb_op){.kind = FB_OP_INVALIDATE});
    }
    double_leave(cache);
    return 0;
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
    struct row *row = double_get_row(cache, FB_STR(key));
    double_set_value(row, kind, value);
    row->is_cached = false;
    fb_lock_release(&cache->lock);
}

void double_drop(fb_cache *cache, const char *key, fb_event_kind why) {
    fb_lock_acquire(&cache->lock);
    struct row *row = double_get_row(cache, FB_STR(key));
    double_tell(cache, why, row, NULL);
    row->is_cached = false;
    double_leave(cache);
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
