/* Making a transaction: its operations checked, planned and copied, its keys sorted. */
#include "engine/txn.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static int by_order(const void *a, const void *b) {
    const struct fb_txn_key *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = memcmp(x->key.data, y->key.data, n);
    if (order != 0)
        return order;
    if (x->key.len != y->key.len)
        return x->key.len < y->key.len ? -1 : 1;
    return x->last_item < y->last_item ? -1 : x->last_item > y->last_item;
}

static bool is_same_key(const struct fb_txn_key *x, const struct fb_txn_key *y) {
    return x->hash == y->hash && x->key.len == y->key.len && memcmp(x->key.data, y->key.data, x->key.len) == 0;
}

/* A later write of the same key decides what is there in the end. */
static void add_write(struct fb_txn *txn, struct fb_txn_key *key, size_t item) {
    txn->group.items[key->last_item].is_superseded = true;
    txn->items[key->last_item].next = item;
    key->last_item = item;
    key->keeps_life |= txn->items[item].keeps_life;
}

static void sort_keys(struct fb_txn *txn) {
    qsort(txn->keys, txn->nkeys, sizeof *txn->keys, by_order);
    size_t kept = 0;
    for (size_t i = 0; i < txn->nkeys; i++) {
        bool is_again = kept > 0 && is_same_key(&txn->keys[kept - 1], &txn->keys[i]);
        if (is_again && txn->keys[kept - 1].is_read)
            txn->keys[kept - 1] = txn->keys[i];
        else if (is_again && !txn->keys[i].is_read)
            add_write(txn, &txn->keys[kept - 1], txn->keys[i].last_item);
        else if (!is_again)
            txn->keys[kept++] = txn->keys[i];
    }
    txn->nkeys = kept;
    for (size_t i = 0; i < kept; i++)
        txn->keys[i].writer.txn = txn;
}

/* The key of an item that is written behind. */
static size_t key_of(const struct fb_txn *txn, size_t item) {
    struct fb_txn_key wanted = {.hash = txn->items[item].hash, .key = txn->group.items[item].key};
    size_t from = 0, to = txn->nkeys;
    while (to - from > 1) {
        size_t middle = from + (to - from) / 2;
        wanted.last_item = txn->keys[middle].last_item; /* equal keys are one */
        if (by_order(&wanted, &txn->keys[middle]) < 0)
            to = middle;
        else
            from = middle;
    }
    return from;
}

static fb_status pave_way(struct fb_txn *txn) {
    if (txn->way.behind == NULL)
        return FB_OK;
    fb_status status = fb_behind_way_init(&txn->way, &txn->group, txn->nkeys);
    for (size_t i = 0; status == FB_OK && i < txn->nkeys; i++) {
        struct fb_txn_key *key = &txn->keys[i];
        key->writer.core.wants_value = true;
        txn->way.keys[i] = (struct fb_behind_key){.keyspace = key->keyspace, .hash = key->hash, .key = key->key,
                                                  .writer = &key->writer.core};
        txn->way.rows[i] = (struct fb_known){.keyspace = key->keyspace, .key = key->key, .is_certain = true};
    }
    for (size_t i = 0; status == FB_OK && i < txn->group.nitems; i++)
        txn->way.of[i] = &txn->way.rows[key_of(txn, i)];
    return status;
}

void fb_txn_free(struct fb_txn *txn) {
    for (size_t i = 0; i < txn->group.nitems; i++) {
        struct fb_store_item *item = &txn->group.items[i];
        if (item->plan != NULL)
            txn->source->ops->plan_free((struct fb_plan *)item->plan);
        fb_value_unref(item->after);
        fb_value_unref(item->before);
        fb_value_unref(item->number);
    }
    for (size_t i = 0; i < txn->nkeys; i++)
        fb_value_unref(txn->keys[i].writer.core.value);
    fb_buf_free(&txn->group.touched.keys);
    fb_marks_free(&txn->marks);
    fb_behind_way_free(&txn->way);
    fb_mem_free(txn);
}

/* All in one block: the struct, its arrays, the bytes of the keys. */
static struct fb_txn *alloc_txn(const fb_op *ops, size_t n, char **ret_text) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += ops[i].key.len;
    size_t store_items = sizeof(struct fb_txn), keys = store_items + n * sizeof(struct fb_store_item);
    size_t items = keys + n * sizeof(struct fb_txn_key), own_ops = items + n * sizeof(struct fb_txn_item);
    size_t results = own_ops + n * sizeof(struct fb_txn_op), text = results + n * sizeof(fb_result);
    char *block = fb_mem_calloc(1, text + bytes);
    if (block == NULL)
        return NULL;
    struct fb_txn *txn = (void *)block;
    txn->group.items = (void *)(block + store_items);
    txn->keys = (void *)(block + keys);
    txn->items = (void *)(block + items);
    txn->ops = (void *)(block + own_ops);
    txn->results = (void *)(block + results);
    *ret_text = block + text;
    return txn;
}

static void count(struct fb_cache *cache, uint64_t hash, uint16_t keyspace, size_t offset) {
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    fb_lock_acquire(&shard->lock);
    ++*(uint64_t *)(void *)((char *)fb_shard_counters(shard->core, keyspace) + offset);
    fb_lock_release(&shard->lock);
}

/* A write can be ignored when nothing but "done" is to be answered. INCR, SET … NX and GETSET ask for more, and a lock
 * taken by SET … NX that nobody took would be worse than an error. */
static bool is_ignorable(const fb_op *op) {
    unsigned asks = FB_COND_ABSENT | FB_COND_PRESENT | FB_COND_FIELD_ABSENT | FB_WANT_OLD;
    return op->kind != FB_OP_ADD && (op->flags & asks) == 0;
}

static bool is_write(fb_op_kind kind) { return kind != FB_OP_READ && kind != FB_OP_CHECK; }

/* Names a keyspace that writes the rows, if there is one. */
static fb_status refuse_list(const struct fb_keyspace *list, fb_err *reterr) {
    const struct fb_cache *cache = list->source->cache;
    for (unsigned i = 0; i < cache->nkeyspaces; i++)
        if (fb_keyspace_depends(list, cache->keyspaces[i]))
            return fb_fail(reterr, FB_READONLY, "keyspace '%s' is a list of rows, which is read-only; write its rows as "
                           "'%s'", list->options.pattern, cache->keyspaces[i]->options.pattern);
    return fb_fail(reterr, FB_READONLY, "keyspace '%s' is a list of rows, which is read-only; write the rows by keys of "
                   "their own", list->options.pattern);
}

static fb_status may_run(const struct fb_keyspace *keyspace, const fb_op *op, fb_err *reterr) {
    if (!is_write(op->kind))
        return FB_OK;
    if (op->kind != FB_OP_DELETE && keyspace->on_set == FB_ON_SET_IGNORE && is_ignorable(op))
        return FB_IGNORED;
    if (op->kind != FB_OP_DELETE && keyspace->on_set == FB_ON_SET_IGNORE)
        return fb_fail(reterr, FB_READONLY,
                       "keyspace '%s' ignores writes (on_set: ignore), and this one asks for an answer",
                       keyspace->options.pattern);
    if (keyspace->options.rows == FB_ROWS_MANY)
        return refuse_list(keyspace, reterr);
    if (keyspace->options.write == FB_WRITE_OFF)
        return fb_fail(reterr, FB_READONLY,
                       "keyspace '%s' is read-only (write: off); set write: write-through to write rows",
                       keyspace->options.pattern);
    if (op->kind != FB_OP_DELETE && keyspace->on_set == FB_ON_SET_ERROR)
        return fb_fail(reterr, FB_READONLY, "keyspace '%s' refuses writes (on_set: error)", keyspace->options.pattern);
    return FB_OK;
}

/* One more operation, with its key copied; FB_IGNORED leaves the group as it was. */
static fb_status add_item(struct fb_txn *txn, const fb_op *op, fb_bytes key, fb_err *reterr) {
    struct fb_keyspace *keyspace;
    fb_status status = fb_cache_find(txn->cache, op->key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    uint64_t hash = fb_cache_hash(txn->cache, key);
    status = may_run(keyspace, op, reterr);
    if (status == FB_IGNORED)
        count(txn->cache, hash, keyspace->id, offsetof(fb_keyspace_stats, writes_ignored));
    if (status != FB_OK)
        return status;
    if (txn->source != NULL && txn->source != keyspace->source)
        return fb_fail(reterr, FB_UNSUPPORTED, "keys of sources '%s' and '%s' cannot be in one transaction",
                       txn->source->name, keyspace->source->name);
    struct fb_behind *behind = keyspace->options.write == FB_WRITE_BEHIND ? keyspace->source->behind : NULL;
    if (txn->source != NULL && txn->way.behind != behind)
        return fb_fail(reterr, FB_UNSUPPORTED, "keys that are written behind and keys that are not cannot be in one "
                       "transaction");
    struct fb_plan *plan;
    status = keyspace->source->ops->plan(keyspace->binding, op, &plan, reterr);
    if (status != FB_OK)
        return status;
    txn->source = keyspace->source;
    txn->way.behind = behind;
    size_t i = txn->group.nitems++;
    txn->group.items[i] = (struct fb_store_item){
        .binding = keyspace->binding, .key = key, .plan = plan, .block = op->block, .expected = op->expected};
    int64_t cap = op->life_ms > UINT32_MAX ? UINT32_MAX : op->life_ms;
    txn->items[i] = (struct fb_txn_item){.keyspace = keyspace, .hash = hash, .op = txn->nops, .next = FB_TXN_NONE,
                                      .cap_ms = cap > 0 ? (uint32_t)cap : 0,
                                      .keeps_life = (op->flags & FB_KEEP_LIFE) != 0};
    bool is_read = !is_write(op->kind);
    if (is_read && behind == NULL)
        return FB_OK;
    txn->keys[txn->nkeys++] =
        (struct fb_txn_key){.keyspace = keyspace, .hash = hash, .key = key, .first_item = i, .last_item = i,
                         .is_read = is_read, .keeps_life = txn->items[i].keeps_life};
    txn->group.nwrites += !is_read;
    return FB_OK;
}

static fb_status add_op(struct fb_txn *txn, const fb_op *op, char **text, fb_err *reterr) {
    size_t item = txn->group.nitems;
    fb_bytes key = fb_bytes_of(*text, op->key.len);
    if (key.len > 0)
        memcpy(*text, op->key.data, key.len);
    *text += key.len;
    fb_status status = add_item(txn, op, key, reterr);
    if (status != FB_OK && status != FB_IGNORED)
        return status;
    txn->ops[txn->nops++] = (struct fb_txn_op){op->kind, op->flags, op->origin, status == FB_OK ? item : FB_TXN_NONE};
    return FB_OK;
}

static fb_status not_begun(fb_outcome *outcome, fb_status status) {
    outcome->status = status;
    if (status < 0 && outcome->err.text[0] == '\0')
        (void)fb_fail(&outcome->err, status, "%s", fb_status_text(status));
    return status;
}

/* The source is about to commit. */
static fb_status prepare(struct fb_store_group *group, fb_err *err) {
    struct fb_txn *txn = fb_member_of(group, struct fb_txn, group);
    fb_status status = fb_holds_take(txn->cache, &txn->holds, &group->touched, &txn->held);
    return status == FB_OK ? FB_OK : fb_fail(err, status, "%s", fb_status_text(status));
}

fb_status fb_txn_new(struct fb_cache *cache, const fb_op *ops, size_t n, fb_done_all done, void *user,
                     struct fb_txn **ret_txn, fb_outcome *ret_outcome) {
    char *text;
    *ret_outcome = (fb_outcome){.status = FB_OK, .decided_by = n, .n = n};
    if (n == 0 || n > FB_TRANSACTION_MAX)
        return fb_fail(&ret_outcome->err, not_begun(ret_outcome, FB_INVALID), "a transaction has 1 to %d operations",
                       FB_TRANSACTION_MAX);
    struct fb_txn *txn = alloc_txn(ops, n, &text);
    if (txn == NULL)
        return not_begun(ret_outcome, FB_NOMEM);
    txn->cache = cache;
    txn->done = done;
    txn->user = user;
    txn->group.hash_key = &cache->hash_key;
    txn->group.prepare = prepare;
    fb_effects_init(&txn->held);
    fb_list_init(&txn->group.link);
    fb_list_init(&txn->way.joined);
    for (size_t i = 0; i < n; i++) {
        fb_status status = add_op(txn, &ops[i], &text, &ret_outcome->err);
        if (status != FB_OK) {
            fb_txn_free(txn);
            ret_outcome->decided_by = i;
            return not_begun(ret_outcome, status);
        }
    }
    if (txn->group.nitems == 0) {
        fb_txn_free(txn);
        return not_begun(ret_outcome, FB_IGNORED);
    }
    sort_keys(txn);
    if (pave_way(txn) != FB_OK) {
        fb_txn_free(txn);
        return not_begun(ret_outcome, FB_NOMEM);
    }
    *ret_txn = txn;
    return FB_OK;
}
