/* The asynchronous entry: any operation, answered at once or by a completion. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/tier.h"

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
    if (result.status == FB_LEASE)
        result.number = (int64_t)read->waiter.token;
    if (result.status < 0)
        fb_explain(&result.err, result.status, read->keyspace, fb_value_bytes(read->waiter.value));
    else
        set_value(&result, read->waiter.value);
    async->done(async->user, &result);
    fb_value_unref(read->waiter.value);
    fb_mem_free(async);
    fb_cache_op_end(cache);
}

/* wants_lease: waits for life_ms at most. */
static fb_status submit_read(struct fb_keyspace *keyspace, const fb_op *op, bool wants_lease, fb_done done, void *user,
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
    async->read.waiter.wants_lease = wants_lease;
    if (wants_lease)
        async->read.waiter.deadline = fb_after(fb_clock_now(), fb_ms(op->life_ms));
    fb_status status = op->kind == FB_OP_REFRESH
                           ? fb_refresh_begin(&async->read, keyspace, op->key, &fx)
                           : fb_read_begin(&async->read, keyspace, op->key, &copy, &kind, &fx);
    if (status != FB_PENDING) {
        result->is_stale = async->read.waiter.is_stale;
        result->number = status == FB_LEASE ? (int64_t)async->read.waiter.token : 0;
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

/* ---- leases ---- */

enum { LEASE_WAIT_DEFAULT_MS = 2000 };

struct async_lease {
    struct fb_keyspace *keyspace;
    fb_done done;
    void *user;
};

static void leased(void *user, fb_status status, fb_bytes value, uint64_t token) {
    struct async_lease *async = user;
    fb_result result = {.status = status, .value = value, .number = (int64_t)token};
    result.kind = status == FB_OK ? async->keyspace->kind : FB_KIND_NONE;
    if (status < 0)
        fb_explain(&result.err, status, async->keyspace, fb_bytes_of(NULL, 0));
    async->done(async->user, &result);
    fb_mem_free(async);
}

static fb_status lease_shared(struct fb_cache *cache, struct fb_keyspace *keyspace, fb_bytes key, int64_t wait_ms,
                              fb_done done, void *user, fb_result *result) {
    fb_buf copy = FB_BUF_INIT;
    fb_kind kind;
    fb_status status = fb_peek(cache, key, &copy, &kind);
    if (status == FB_MISS) {
        struct async_lease *async = fb_mem_alloc(sizeof *async);
        if (async == NULL)
            return at_once(result, FB_NOMEM);
        *async = (struct async_lease){keyspace, done, user};
        status = fb_tier_lease(cache->tier, keyspace, key, wait_ms, leased, async);
        if (status != FB_PENDING)
            fb_mem_free(async);
    } else if (status == FB_OK) {
        struct fb_value *value = fb_value_new(kind, copy.data, copy.len);
        result->private_ = value;
        set_value(result, value);
        status = value != NULL ? FB_OK : FB_NOMEM;
    }
    fb_buf_free(&copy);
    return status == FB_PENDING ? status : at_once(result, status);
}

fb_status fb_lease_submit(fb_cache *cache, fb_bytes key, int64_t wait_ms, fb_done done, void *user, fb_result *ret_result) {
    struct fb_keyspace *keyspace;
    *ret_result = (fb_result){.status = FB_OK};
    fb_status status = fb_cache_find(cache, key, &keyspace, &ret_result->err);
    if (status != FB_OK)
        return at_once(ret_result, status);
    if (cache->tier != NULL)
        return lease_shared(cache, keyspace, key, wait_ms, done, user, ret_result);
    fb_op op = {.kind = FB_OP_READ, .key = key, .life_ms = wait_ms > 0 ? wait_ms : LEASE_WAIT_DEFAULT_MS};
    return submit_read(keyspace, &op, /* wants_lease = */ true, done, user, ret_result);
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

/* ---- the same of copies that are in the shared second level ---- */

struct async_copy {
    struct fb_cache *cache;
    fb_done done;
    void *user;
    fb_op_kind kind;
    fb_status here;        /* INVALIDATE: what was forgotten in this process */
    const struct fb_keyspace *keyspace;
};

/* What the store's answer means for the caller. */
static fb_status copy_status(const struct async_copy *copy, const struct fb_store_call *call) {
    if (call->outcome != FB_STORE_DONE)
        return copy->kind == FB_OP_INVALIDATE && copy->cache->tier->options.on_down == FB_STORE_AVAILABLE
                   ? copy->here : FB_STOREDOWN;
    switch (call->answer) {
    case FB_STORE_HIT:
    case FB_STORE_LIVES:
        return FB_OK;
    case FB_STORE_UNMET:
        return FB_UNMET;
    case FB_STORE_DROPPED:
        return FB_OK;
    default:
        return copy->kind == FB_OP_INVALIDATE ? copy->here : FB_MISS;
    }
}

static void copy_answered(void *user, const struct fb_store_call *call) {
    struct async_copy *copy = user;
    fb_result result = {.status = copy_status(copy, call)};
    if (copy->kind == FB_OP_TTL && result.status == FB_OK) {
        fb_policy policy = fb_keyspace_at(copy->cache, copy->keyspace->id)->policy;
        int64_t grace = policy.grace_ms > policy.grace_down_ms ? policy.grace_ms : policy.grace_down_ms;
        result.number = call->ttl_ms < 0 ? policy.ttl_ms : call->ttl_ms - grace;
        if (result.number <= 0)
            result.status = FB_MISS;
    }
    if (result.status < 0)
        fb_explain(&result.err, result.status, copy->keyspace, FB_STR(call->why));
    copy->done(copy->user, &result);
    fb_mem_free(copy);
}

static enum fb_store_when when_of(unsigned flags) {
    return flags & FB_EXPIRE_NX ? FB_STORE_NX : flags & FB_EXPIRE_XX ? FB_STORE_XX : flags & FB_EXPIRE_GT ? FB_STORE_GT
           : flags & FB_EXPIRE_LT ? FB_STORE_LT : FB_STORE_ALWAYS;
}

static fb_status submit_copy(struct fb_keyspace *keyspace, const fb_op *op, fb_done done, void *user,
                             fb_result *result) {
    struct fb_cache *cache = keyspace->source->cache;
    struct async_copy *copy = fb_mem_alloc(sizeof *copy);
    if (copy == NULL)
        return at_once(result, FB_NOMEM);
    *copy = (struct async_copy){cache, done, user, op->kind, FB_MISS, keyspace};
    struct fb_store_call call = {.key = op->key, .kind = keyspace->kind};
    switch (op->kind) {
    case FB_OP_TTL:
        call.move = FB_STORE_LOOK;
        break;
    case FB_OP_EXPIRE:
        call.move = FB_STORE_LIFE;
        call.ttl_ms = op->life_ms;
        call.max_ms = fb_keyspace_at(cache, keyspace->id)->policy.ttl_ms;
        call.when = when_of(op->flags);
        break;
    default:
        call.move = FB_STORE_INVAL;
        copy->kind = FB_OP_INVALIDATE;
        copy->here = forget(cache, op);
        fb_tier_note(cache->tier, op->key, /* is_owed = */ false);
        break;
    }
    if (fb_tier_call(cache->tier, &call, copy_answered, copy) == FB_PENDING)
        return FB_PENDING;
    fb_mem_free(copy);
    return at_once(result, FB_NOMEM);
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
    if (cache->tier != NULL)
        return submit_copy(keyspace, op, done, user, result);
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
        return submit_read(keyspace, op, /* wants_lease = */ false, done, user, ret_result);
    case FB_OP_SET:
    case FB_OP_HSET:
    case FB_OP_HDEL:
    case FB_OP_ADD:
    case FB_OP_DELETE:
        return submit_write(cache, op, done, user, ret_result);
    case FB_OP_DROP:
        return drop(keyspace, op, done, user, ret_result);
    case FB_OP_INVALIDATE:
        if (cache->tier != NULL)
            return submit_copy(keyspace, op, done, user, ret_result);
        return at_once(ret_result, forget(cache, op));
    case FB_OP_PERSIST:
        if (cache->tier != NULL) /* a shared copy keeps no other life than the one it has */
            return at_once(ret_result, FB_UNMET);
        return at_once(ret_result, change_life(cache, op));
    case FB_OP_EXPIRE:
        if (cache->tier != NULL)
            return submit_copy(keyspace, op, done, user, ret_result);
        return at_once(ret_result, change_life(cache, op));
    case FB_OP_TTL:
        if (cache->tier != NULL)
            return submit_copy(keyspace, op, done, user, ret_result);
        return at_once(ret_result, remaining_life(cache, op->key, &ret_result->number));
    case FB_OP_REFRESH:
        if (keyspace->options.read == FB_READ_ASIDE)
            return fb_fail(&ret_result->err, at_once(ret_result, FB_UNSUPPORTED),
                           "keyspace '%s' is loaded by the application (read: cache-aside)", keyspace->options.pattern);
        return submit_read(keyspace, op, /* wants_lease = */ false, done, user, ret_result);
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

struct forgetting {
    struct fb_park park;
    fb_status status;
    fb_err err;
};

static void forgotten(void *user, const fb_result *result) {
    struct forgetting *forgetting = user;
    forgetting->status = result->status;
    forgetting->err = result->err;
    fb_park_done(&forgetting->park);
}

static fb_status forget_everywhere(struct fb_keyspace *keyspace, const fb_op *op, fb_err *reterr) {
    struct forgetting forgetting = {.status = FB_OK};
    fb_result result = {.status = FB_OK};
    fb_park_init(&forgetting.park, 1);
    fb_status status = submit_copy(keyspace, op, forgotten, &forgetting, &result);
    if (status != FB_PENDING) {
        forgotten(&forgetting, &result);
    }
    fb_park_wait(&forgetting.park);
    if (forgetting.status < 0 && reterr != NULL)
        *reterr = forgetting.err;
    return forgetting.status;
}

fb_status fb_invalidate(fb_cache *cache, fb_bytes key, fb_err *reterr) {
    struct fb_keyspace *keyspace;
    fb_status status = fb_cache_find(cache, key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    fb_op op = {.kind = FB_OP_INVALIDATE, .key = key};
    status = cache->tier != NULL ? forget_everywhere(keyspace, &op, reterr) : forget(cache, &op);
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
