/* The asynchronous entry: any operation, answered at once or by a completion. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"

struct async_read {
    struct fb_read read;
    fb_done done;
    void *user;
};

struct async_write {
    fb_done done;
    void *user;
};

/* ---- results ---- */

static fb_status at_once(fb_result *result, fb_status status) {
    result->status = status;
    if (status < 0 && result->err.text[0] == '\0')
        (void)fb_fail(&result->err, status, "%s", fb_status_text(status));
    return status;
}

void fb_result_release(fb_result *result) {
    fb_value_unref(result->private_);
    result->private_ = NULL;
}

static void set_value(fb_result *result, const struct fb_value *value) {
    result->kind = value != NULL ? value->kind : FB_KIND_NONE;
    result->value = fb_value_bytes(value);
}

/* ---- reads ---- */

static void finish_read(struct fb_read *read) {
    struct async_read *async = fb_member_of(read, struct async_read, read);
    struct fb_cache *cache = read->cache;
    fb_result result = {.status = read->waiter.status, .shared = read->waiter.shared};
    result.is_stale = read->waiter.is_stale;
    result.lane_us = fb_span_us(read->waiter.took.lane);
    result.source_us = fb_span_us(read->waiter.took.source);
    if (result.status < 0)
        fb_explain(&result.err, result.status, read->keyspace, fb_value_bytes(read->waiter.value));
    else
        set_value(&result, read->waiter.value);
    async->done(async->user, &result);
    fb_value_unref(read->waiter.value);
    fb_mem_free(async);
    fb_cache_op_end(cache);
}

static fb_status submit_read(struct fb_keyspace *keyspace, const fb_op *op, fb_done done, void *user,
                             fb_result *result) {
    struct fb_cache *cache = keyspace->source->cache;
    struct fb_effects fx;
    fb_buf copy = FB_BUF_INIT;
    fb_kind kind = FB_KIND_NONE;
    struct async_read *async = fb_mem_calloc(1, sizeof *async);
    if (async == NULL)
        return at_once(result, FB_NOMEM);
    async->read.finish = finish_read;
    async->done = done;
    async->user = user;
    fb_effects_init(&fx);
    fb_status status = op->kind == FB_OP_REFRESH
                           ? fb_refresh_begin(&async->read, keyspace, op->key, &fx)
                           : fb_read_begin(&async->read, keyspace, op->key, &copy, &kind, &fx);
    if (status != FB_PENDING) {
        result->is_stale = async->read.waiter.is_stale;
        fb_mem_free(async);
    }
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    if (status == FB_OK) {
        struct fb_value *value = fb_value_new(kind, copy.data, copy.len);
        result->private_ = value;
        set_value(result, value);
        if (value == NULL)
            status = FB_NOMEM;
    }
    fb_buf_free(&copy);
    return status == FB_PENDING ? status : at_once(result, status);
}

/* ---- writes ---- */

static void finish_write(void *user, const fb_outcome *outcome) {
    struct async_write *async = user;
    fb_result result = outcome->results[0];
    if (result.status < 0)
        result.err = outcome->err;
    async->done(async->user, &result);
    fb_mem_free(async);
}

static fb_status submit_write(fb_cache *cache, const fb_op *op, fb_done done, void *user, fb_result *result) {
    struct fb_txn *txn;
    fb_outcome outcome;
    struct async_write *async = fb_mem_alloc(sizeof *async);
    if (async == NULL)
        return at_once(result, FB_NOMEM);
    *async = (struct async_write){done, user};
    fb_status status = fb_txn_new(cache, op, 1, finish_write, async, &txn, &outcome);
    if (status != FB_OK) {
        fb_mem_free(async);
        result->err = outcome.err;
        return at_once(result, status);
    }
    fb_txn_start(txn, FB_RUN_LANES);
    return FB_PENDING;
}

/* ---- what the core answers by itself ---- */

static struct fb_event cause_of(const fb_op *op) {
    return (struct fb_event){.op = op->kind, .flags = op->flags, .origin = op->origin};
}

static fb_status forget(fb_cache *cache, const fb_op *op) {
    uint64_t hash = fb_cache_hash(cache, op->key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    struct fb_effects fx;
    fb_effects_init(&fx);
    fb_lock_acquire(&shard->lock);
    shard->cause = cause_of(op);
    fb_status status = fb_shard_invalidate(shard->core, hash, op->key, fb_clock_now(), &fx);
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    return status;
}

static fb_status change_life(fb_cache *cache, const fb_op *op) {
    uint64_t hash = fb_cache_hash(cache, op->key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    struct fb_effects fx;
    fb_effects_init(&fx);
    fb_lock_acquire(&shard->lock);
    shard->cause = cause_of(op);
    fb_instant now = fb_clock_now();
    fb_status status = op->kind == FB_OP_PERSIST
                           ? fb_shard_persist(shard->core, hash, op->key, now)
                           : fb_shard_expire(shard->core, hash, op->key, fb_ms(op->life_ms), op->flags, now, &fx);
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    return status;
}

static fb_status remaining_life(fb_cache *cache, fb_bytes key, int64_t *ret_ms) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    struct fb_stamp stamp;
    fb_instant now = fb_clock_now();
    fb_lock_acquire(&shard->lock);
    fb_status status = fb_shard_look(shard->core, hash, key, now, &stamp);
    if (status == FB_OK)
        *ret_ms = fb_span_ms(fb_since(fb_policy_expiry(&stamp, &shard->policies[stamp.keyspace]), now)) + 1;
    fb_shard_leave(shard);
    return status == FB_NOTFOUND ? FB_MISS : status; /* "known to be absent" has no life of its own to show */
}

static fb_status drop(struct fb_keyspace *keyspace, const fb_op *op, fb_done done, void *user, fb_result *result) {
    fb_cache *cache = keyspace->source->cache;
    fb_op delete_row = *op;
    switch (keyspace->options.on_del) {
    case FB_ON_DEL_DELETE_ROW:
        delete_row.kind = FB_OP_DELETE;
        return submit_write(cache, &delete_row, done, user, result);
    case FB_ON_DEL_ERROR:
        return fb_fail(&result->err, at_once(result, FB_READONLY), "keyspace '%s' refuses DEL (on_del: error)",
                       keyspace->options.pattern);
    case FB_ON_DEL_INVALIDATE:
        break;
    }
    return at_once(result, forget(cache, op));
}

fb_status fb_submit(fb_cache *cache, const fb_op *op, fb_done done, void *user, fb_result *ret_result) {
    struct fb_keyspace *keyspace;
    *ret_result = (fb_result){.status = FB_OK};
    fb_status status = fb_cache_find(cache, op->key, &keyspace, &ret_result->err);
    if (status != FB_OK)
        return at_once(ret_result, status);
    switch (op->kind) {
    case FB_OP_READ:
        return submit_read(keyspace, op, done, user, ret_result);
    case FB_OP_SET:
    case FB_OP_HSET:
    case FB_OP_HDEL:
    case FB_OP_ADD:
    case FB_OP_DELETE:
        return submit_write(cache, op, done, user, ret_result);
    case FB_OP_DROP:
        return drop(keyspace, op, done, user, ret_result);
    case FB_OP_INVALIDATE:
        return at_once(ret_result, forget(cache, op));
    case FB_OP_EXPIRE:
    case FB_OP_PERSIST:
        return at_once(ret_result, change_life(cache, op));
    case FB_OP_TTL:
        return at_once(ret_result, remaining_life(cache, op->key, &ret_result->number));
    case FB_OP_REFRESH:
        if (keyspace->options.read == FB_READ_ASIDE)
            return fb_fail(&ret_result->err, at_once(ret_result, FB_UNSUPPORTED),
                           "keyspace '%s' is loaded by the application (read: cache-aside)", keyspace->options.pattern);
        return submit_read(keyspace, op, done, user, ret_result);
    case FB_OP_CHECK:
        break;
    }
    return fb_fail(&ret_result->err, at_once(ret_result, FB_INVALID), "unknown operation %d", (int)op->kind);
}

/* What happens to cached copies only is no part of a transaction at the source. */
static bool is_of_rows(fb_op_kind kind) {
    switch (kind) {
    case FB_OP_READ:
    case FB_OP_SET:
    case FB_OP_HSET:
    case FB_OP_HDEL:
    case FB_OP_ADD:
    case FB_OP_DELETE:
    case FB_OP_CHECK:
        return true;
    default:
        return false;
    }
}

fb_status fb_submit_all(fb_cache *cache, const fb_op *ops, size_t n, fb_done_all done, void *user,
                        fb_outcome *ret_outcome) {
    struct fb_txn *txn;
    for (size_t i = 0; i < n; i++)
        if (!is_of_rows(ops[i].kind)) {
            *ret_outcome = (fb_outcome){.status = FB_INVALID, .decided_by = i, .n = n};
            return fb_fail(&ret_outcome->err, FB_INVALID, "operation %d is no part of a transaction",
                           (int)ops[i].kind);
        }
    fb_status status = fb_txn_new(cache, ops, n, done, user, &txn, ret_outcome);
    if (status != FB_OK)
        return status;
    fb_txn_start(txn, FB_RUN_LANES);
    return FB_PENDING;
}

fb_status fb_invalidate(fb_cache *cache, fb_bytes key, fb_err *reterr) {
    struct fb_keyspace *keyspace;
    fb_status status = fb_cache_find(cache, key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    status = forget(cache, &(fb_op){.kind = FB_OP_INVALIDATE, .key = key});
    return status == FB_NOTFOUND ? FB_OK : status;
}

void fb_invalidate_all(fb_cache *cache) {
    for (unsigned i = 0; i < cache->nshards; i++) {
        struct fb_engine_shard *shard = &cache->shards[i];
        struct fb_effects fx;
        fb_effects_init(&fx);
        fb_lock_acquire(&shard->lock);
        fb_shard_invalidate_all(shard->core, fb_clock_now(), &fx);
        fb_shard_leave(shard);
        fb_carry_out(cache, &fx, FB_RUN_LANES);
    }
    fb_event_all(cache);
}
