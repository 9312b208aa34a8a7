/* Transactions: one or several keys that are written together, and what is read and checked with them.
 *
 * The keys are begun one after another in one fixed order (by hash, then bytes), so that two transactions with common
 * keys cannot wait for each other. When all are granted the group goes to the source; afterwards each key is ended with
 * what the source says is there now. Keys that are only read or checked are not begun: the source's transaction sees
 * them as they are, and nothing of them is kept. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/behind.h"
#include "engine/engine.h"
#include "engine/tier.h"

#define IGNORED SIZE_MAX
#define NONE SIZE_MAX

struct txn_op {
    fb_op_kind kind;
    unsigned flags;
    uint64_t origin;
    size_t item;            /* of the group, or IGNORED */
};

struct txn_item {
    struct fb_keyspace *keyspace;
    uint64_t hash;          /* of its key */
    size_t op;
    size_t next;            /* the next write of the same key, or NONE */
    uint32_t cap_ms;        /* life given with this write */
    bool keeps_life;        /* or what the key had before it */
};

struct txn_key {
    struct fb_engine_writer writer;
    struct fb_keyspace *keyspace;
    uint64_t hash;
    fb_bytes key;
    size_t first_item, last_item; /* its writes in the group; the answer to the last is the state of the key */
    bool is_read;           /* written behind, and only read or checked: marked as well, because nobody else says what is there */
    bool keeps_life;        /* one of them does: */
    uint32_t left_ms;       /* what is left of the life that EXPIRE gave before */
};

struct fb_txn {
    struct fb_cache *cache;
    struct fb_source *source;
    fb_done_all done;
    void *user;
    enum fb_run run;
    fb_instant begun, deadline;
    struct fb_store_group group;
    struct txn_op *ops;
    size_t nops;
    struct txn_item *items; /* beside those of the group */
    fb_result *results;     /* of the operations */
    struct txn_key *keys;   /* written; sorted */
    size_t nkeys;
    size_t granted;         /* keys[0 .. granted−1] are marked */
    struct fb_holds holds;  /* what depends on the rows */
    struct fb_behind_way way; /* into the journal; way.behind == NULL: written to the source */
    bool is_through;        /* written behind as a rule, but this once to the source */
    struct fb_marks marks;  /* at the shared second level; one for each key. items == NULL: none were made */
    fb_instant sent, answered;
    struct fb_effects held; /* of taking them, to be carried out when the source is done */
};

/* ---- making one ---- */

static int by_order(const void *a, const void *b) {
    const struct txn_key *x = a, *y = b;
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

static bool is_same_key(const struct txn_key *x, const struct txn_key *y) {
    return x->hash == y->hash && x->key.len == y->key.len && memcmp(x->key.data, y->key.data, x->key.len) == 0;
}

/* A later write of the same key decides what is there in the end. */
static void add_write(struct fb_txn *txn, struct txn_key *key, size_t item) {
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
    struct txn_key wanted = {.hash = txn->items[item].hash, .key = txn->group.items[item].key};
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
        struct txn_key *key = &txn->keys[i];
        key->writer.core.wants_value = true;
        txn->way.keys[i] = (struct fb_behind_key){.keyspace = key->keyspace, .hash = key->hash, .key = key->key,
                                                  .writer = &key->writer.core};
    }
    for (size_t i = 0; status == FB_OK && i < txn->group.nitems; i++)
        txn->way.of[i] = &txn->way.rows[key_of(txn, i)];
    return status;
}

static void free_txn(struct fb_txn *txn) {
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
    size_t items = keys + n * sizeof(struct txn_key), own_ops = items + n * sizeof(struct txn_item);
    size_t results = own_ops + n * sizeof(struct txn_op), text = results + n * sizeof(fb_result);
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
    txn->items[i] = (struct txn_item){.keyspace = keyspace, .hash = hash, .op = txn->nops, .next = NONE,
                                      .cap_ms = cap > 0 ? (uint32_t)cap : 0,
                                      .keeps_life = (op->flags & FB_KEEP_LIFE) != 0};
    bool is_read = !is_write(op->kind);
    if (is_read && behind == NULL)
        return FB_OK;
    txn->keys[txn->nkeys++] =
        (struct txn_key){.keyspace = keyspace, .hash = hash, .key = key, .first_item = i, .last_item = i,
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
    txn->ops[txn->nops++] = (struct txn_op){op->kind, op->flags, op->origin, status == FB_OK ? item : IGNORED};
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
    for (size_t i = 0; i < n; i++) {
        fb_status status = add_op(txn, &ops[i], &text, &ret_outcome->err);
        if (status != FB_OK) {
            free_txn(txn);
            ret_outcome->decided_by = i;
            return not_begun(ret_outcome, status);
        }
    }
    if (txn->group.nitems == 0) {
        free_txn(txn);
        return not_begun(ret_outcome, FB_IGNORED);
    }
    sort_keys(txn);
    if (pave_way(txn) != FB_OK) {
        free_txn(txn);
        return not_begun(ret_outcome, FB_NOMEM);
    }
    *ret_txn = txn;
    return FB_OK;
}

/* ---- its end ---- */

struct key_end {
    enum fb_write_end how;
    fb_kind kind;
    fb_bytes value;
};

/* What the cache may believe about a key after the source's answer. */
static struct key_end end_of(const struct txn_key *key, const struct fb_store_item *item) {
    fb_write_mode mode = key->keyspace->options.write;
    bool keeps = mode == FB_WRITE_THROUGH || mode == FB_WRITE_BEHIND;
    switch (item->status) {
    case FB_UNKNOWN:
        return (struct key_end){.how = FB_END_DOUBT};
    case FB_OK:
    case FB_UNMET:
        if (!keeps || item->after_unknown || (item->after == NULL && item->status == FB_UNMET))
            return (struct key_end){.how = FB_END_DROP};
        if (item->after == NULL)
            return (struct key_end){.how = FB_END_ABSENT};
        return (struct key_end){FB_END_KEEP, item->after->kind, fb_value_bytes(item->after)};
    case FB_NOTFOUND:
        return (struct key_end){.how = keeps ? FB_END_ABSENT : FB_END_DROP};
    default:
        return (struct key_end){.how = FB_END_DROP};
    }
}

/* The writes of one key, once they have ended. */
struct told {
    unsigned written, failed;
    bool is_doubted;
    uint32_t cap_ms;        /* the life they leave to the copy, 0 for its TTL's */
    struct fb_event giver;  /* of that life; when is_given */
    bool is_given;
};

static struct fb_event cause_of(const struct fb_txn *txn, size_t item) {
    const struct txn_op *op = &txn->ops[txn->items[item].op];
    return (struct fb_event){.op = op->kind, .flags = op->flags, .origin = op->origin};
}

/* Tell observers of each, with the shard's lock held. */
static struct told tell_writes(const struct fb_txn *txn, const struct txn_key *key, struct fb_engine_shard *shard) {
    struct told told = {.cap_ms = 0};
    for (size_t i = key->first_item; i != NONE; i = txn->items[i].next) {
        const struct txn_item *item = &txn->items[i];
        struct fb_event cause = cause_of(txn, i);
        fb_status status = txn->group.items[i].status;
        told.failed += status < 0;
        if (status == FB_UNKNOWN && !told.is_doubted)
            fb_event_note(shard, FB_EVENT_DOUBTED, key->keyspace->id, key->key, &cause);
        told.is_doubted |= status == FB_UNKNOWN;
        if (status != FB_OK)
            continue;
        fb_event_note(shard, cause.op == FB_OP_DELETE ? FB_EVENT_DELETED : FB_EVENT_WRITTEN, key->keyspace->id,
                      key->key, &cause);
        if (item->keeps_life && told.written == 0)
            told.cap_ms = key->left_ms;
        if (!item->keeps_life) {
            told.cap_ms = item->cap_ms;
            told.giver = cause;
            told.is_given = item->cap_ms > 0;
        }
        told.written++;
    }
    return told;
}

/* Written behind, and nothing was changed: what was hidden is what there is. */
static bool is_untouched(const struct fb_txn *txn, const struct txn_key *key) {
    const struct fb_behind_way *way = &txn->way;
    return way->keys != NULL && !txn->is_through && txn->group.status != FB_UNKNOWN &&
           way->rows[key - txn->keys].change == NULL;
}

static struct key_end what_was_hidden(const struct fb_writer *writer) {
    if (writer->shown == FB_OK && writer->value != NULL)
        return (struct key_end){FB_END_KEEP, writer->value->kind, fb_value_bytes(writer->value)};
    return (struct key_end){.how = writer->shown == FB_NOTFOUND ? FB_END_ABSENT : FB_END_DROP};
}

static struct key_end end_of_key(const struct fb_txn *txn, const struct txn_key *key) {
    return is_untouched(txn, key) ? what_was_hidden(&key->writer.core) : end_of(key, &txn->group.items[key->last_item]);
}

static void end_key(struct fb_txn *txn, struct txn_key *key, fb_instant sent, struct fb_effects *fx) {
    struct key_end end = end_of_key(txn, key);
    bool is_restored = is_untouched(txn, key);
    if (txn->way.keys != NULL && !txn->is_through && !is_restored)
        sent = txn->way.keys[key - txn->keys].born;
    bool is_life_kept = end.how == FB_END_KEEP;
    if (txn->marks.items != NULL && end.how != FB_END_DOUBT)
        end.how = FB_END_DROP; /* it is in the second level, and comes here with the next read */
    struct fb_engine_shard *shard = fb_cache_shard(txn->cache, key->hash);
    uint16_t id = key->keyspace->id;
    fb_lock_acquire(&shard->lock);
    struct told told = key->is_read ? (struct told){.cap_ms = 0} : tell_writes(txn, key, shard);
    if (is_restored) {
        sent = key->writer.core.born;
        told.cap_ms = key->writer.core.born_cap_ms;
    }
    fb_keyspace_stats *counters = fb_shard_counters(shard->core, id);
    counters->writes += told.written;
    counters->write_errors += told.failed;
    fb_shard_end(shard->core, &key->writer.core, end.how, end.kind, end.value, sent, told.cap_ms, fb_clock_now(),
                 (uint16_t)fb_rng_next(&shard->rng), fx);
    struct fb_event last = cause_of(txn, key->last_item);
    if (told.written == 0 && !told.is_doubted && key->writer.core.has_hidden &&
        (!is_restored || key->writer.core.is_contended))
        fb_event_note(shard, FB_EVENT_UNCACHED, id, key->key, &last);
    if (told.is_given && is_life_kept)
        fb_event_note(shard, FB_EVENT_LIFE, id, key->key, &told.giver);
    fb_shard_leave(shard);
}

/* The source has another row than the one that was read: what is cached must be old, for nothing else had to happen for
 * this. Whoever tries again reads it from the source. */
static void forget_stale(struct fb_txn *txn, struct fb_effects *fx) {
    const struct fb_store_group *group = &txn->group;
    if (group->status != FB_UNMET || txn->ops[txn->items[group->decided_by].op].kind != FB_OP_CHECK)
        return;
    fb_bytes key = group->items[group->decided_by].key;
    uint64_t hash = fb_cache_hash(txn->cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(txn->cache, hash);
    fb_lock_acquire(&shard->lock);
    shard->cause = (struct fb_event){.op = FB_OP_CHECK};
    (void)fb_shard_invalidate(shard->core, hash, key, fb_clock_now(), fx);
    fb_shard_leave(shard);
}

static void set_result(fb_result *result, fb_op_kind kind, const struct fb_store_item *item) {
    const struct fb_value *value = kind == FB_OP_READ ? item->before : item->number;
    result->status = item->status;
    result->number = item->count;
    result->value = fb_value_bytes(value);
    result->kind = value != NULL ? value->kind : FB_KIND_NONE;
    if (kind == FB_OP_READ || item->before == NULL)
        return;
    result->old = fb_value_bytes(item->before);
    result->kind = item->before->kind;
}

static void summarise(struct fb_txn *txn, fb_outcome *outcome) {
    const struct fb_store_group *group = &txn->group;
    bool is_decided = group->decided_by < group->nitems;
    size_t told = is_decided ? group->decided_by : 0;
    *outcome = (fb_outcome){.status = group->status, .results = txn->results, .n = txn->nops,
                            .decided_by = is_decided ? txn->items[told].op : txn->nops};
    for (size_t i = 0; i < txn->nops; i++)
        if (txn->ops[i].item != IGNORED)
            set_result(&txn->results[i], txn->ops[i].kind, &group->items[txn->ops[i].item]);
        else
            txn->results[i].status = FB_IGNORED;
    if (group->status >= 0)
        return;
    fb_bytes text = fb_value_bytes(group->items[told].after);
    fb_explain(&outcome->err, group->status, txn->items[told].keyspace, text);
    fb_source_note_error(txn->source, group->status, txn->items[told].keyspace, text);
}

static void time_results(struct fb_txn *txn, fb_instant sent, fb_instant answered) {
    for (size_t i = 0; i < txn->nops; i++) {
        txn->results[i].lane_us = fb_span_us(fb_since(sent, txn->begun));
        txn->results[i].source_us = fb_span_us(fb_since(answered, sent));
    }
}

/* End every key that was begun, answer, free. Keys that were never granted have nothing to end. */
static void finish_txn(struct fb_txn *txn, fb_instant sent, fb_instant answered) {
    struct fb_cache *cache = txn->cache;
    fb_outcome outcome;
    struct fb_effects fx;
    fb_effects_init(&fx);
    for (size_t i = 0; i < txn->granted; i++)
        end_key(txn, &txn->keys[i], sent, &fx);
    fb_holds_release(cache, &txn->holds, txn->group.status == FB_UNKNOWN);
    forget_stale(txn, &fx);
    fb_list_append(&fx.done, &txn->held.done);
    fb_list_append(&fx.loads, &txn->held.loads);
    summarise(txn, &outcome);
    time_results(txn, sent, answered);
    txn->done(txn->user, &outcome);
    free_txn(txn);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    fb_cache_op_end(cache);
}

/* ---- its marks at the shared second level ---- */

static void unmarked(struct fb_marks *marks) {
    struct fb_txn *txn = fb_member_of(marks, struct fb_txn, marks);
    finish_txn(txn, txn->sent, txn->answered);
}

/* The life that a write leaves to the copy, as tell_writes finds it. */
static uint32_t cap_of(const struct fb_txn *txn, const struct txn_key *key) {
    uint32_t cap_ms = key->left_ms;
    for (size_t i = key->first_item; i != NONE; i = txn->items[i].next)
        if (!txn->items[i].keeps_life)
            cap_ms = txn->items[i].cap_ms;
    return cap_ms;
}

/* The source has answered, or was not asked. */
static void conclude(struct fb_txn *txn, fb_instant sent, fb_instant answered) {
    static const enum fb_flow_end ends[] = {
        [FB_END_KEEP] = FB_FLOW_END_PUT, [FB_END_ABSENT] = FB_FLOW_END_ABSENT, [FB_END_DROP] = FB_FLOW_END_DROP,
        [FB_END_DOUBT] = FB_FLOW_END_DOUBT};
    if (txn->marks.items == NULL) {
        finish_txn(txn, sent, answered);
        return;
    }
    txn->sent = sent;
    txn->answered = answered;
    for (size_t i = 0; i < txn->nkeys; i++) {
        const struct txn_key *key = &txn->keys[i];
        struct key_end end = end_of_key(txn, key);
        fb_marks_set_end(&txn->marks, i, key->keyspace, ends[end.how], end.value, cap_of(txn, key));
    }
    fb_marks_end(&txn->marks, unmarked);
}

void fb_txn_stored(struct fb_store_group *group, fb_instant sent) {
    conclude(fb_member_of(group, struct fb_txn, group), sent, fb_clock_now());
}

bool fb_txn_may_store(struct fb_store_group *group, fb_instant now) {
    const struct fb_txn *txn = fb_member_of(group, struct fb_txn, group);
    return txn->marks.items == NULL || fb_marks_may_store(&txn->marks, now);
}

static void give_up(struct fb_txn *txn, fb_status status) {
    txn->group.status = status;
    txn->group.decided_by = txn->group.nitems;
    for (size_t i = 0; i < txn->group.nitems; i++)
        txn->group.items[i].status = status;
    fb_instant now = fb_clock_now();
    conclude(txn, now, now);
}

void fb_txn_refuse(struct fb_store_group *group, fb_status status) {
    give_up(fb_member_of(group, struct fb_txn, group), status);
}

/* ---- its way ---- */

static void give_up_because(struct fb_txn *txn, fb_status status, const fb_err *err) {
    if (txn->group.items[0].after == NULL)
        txn->group.items[0].after = fb_value_new(FB_KIND_STRING, err->text, strlen(err->text));
    give_up(txn, status);
}

static void written_behind(struct fb_behind_way *way) {
    struct fb_txn *txn = fb_member_of(way, struct fb_txn, way);
    conclude(txn, txn->sent, fb_clock_now());
}

/* The limits are reached: only keys that have nothing pending may overtake what waits. */
static bool may_go_through(struct fb_txn *txn) {
    bool is_free = true;
    for (size_t i = 0; i < txn->nkeys && is_free; i++)
        is_free = !fb_behind_has(txn->way.behind, txn->keys[i].hash, txn->keys[i].key);
    return is_free;
}

static void send_to_source(struct fb_txn *txn) {
    struct fb_link list = FB_LIST_INIT(list);
    struct fb_source *source = txn->source;
    if (fb_reached(fb_clock_now(), txn->deadline)) {
        give_up(txn, FB_TIMEOUT); /* it has waited too long for the writes before it; nothing was sent */
        return;
    }
    if (atomic_load(&txn->cache->pending) & FB_CLOSING) {
        give_up(txn, FB_CLOSED); /* granted by one that ended while the cache was closing */
        return;
    }
    if (txn->way.behind != NULL && !txn->is_through) {
        txn->sent = fb_clock_now();
        fb_behind_go(&txn->way, written_behind);
        return;
    }
    if (txn->is_through && !may_go_through(txn)) {
        fb_err err;
        (void)fb_fail(&err, FB_DIRTY, "source '%s' has too many writes waiting to be flushed, one of this key among them",
                      source->name);
        give_up_because(txn, FB_DIRTY, &err);
        return;
    }
    fb_list_push_back(&list, &txn->group.link);
    if (txn->run == FB_RUN_HERE && source->ops->on_caller_thread) {
        fb_store_here(source, &list, 1);
        return;
    }
    fb_lane_push(source->writes, &list);
    if (fb_list_pop_front(&list) != NULL)
        give_up(txn, FB_BUSY);
}

static void marked(struct fb_marks *marks) {
    struct fb_txn *txn = fb_member_of(marks, struct fb_txn, marks);
    if (!fb_marks_refuse(marks)) {
        send_to_source(txn);
        return;
    }
    if (txn->group.items[0].after == NULL)
        txn->group.items[0].after = fb_value_new(FB_KIND_STRING, marks->why, strlen(marks->why));
    give_up(txn, FB_STOREDOWN);
}

/* All keys are granted here: mark them at the shared second level as well, where there is one. */
static void mark_and_send(struct fb_txn *txn) {
    struct fb_tier *tier = txn->cache->tier;
    if (tier == NULL || txn->nkeys == 0) {
        send_to_source(txn);
        return;
    }
    txn->run = FB_RUN_LANES; /* what comes next is done by whoever hears the store's answer */
    if (fb_marks_init(&txn->marks, tier, txn->nkeys) != FB_OK) {
        give_up(txn, FB_NOMEM);
        return;
    }
    for (size_t i = 0; i < txn->nkeys; i++)
        fb_marks_add(&txn->marks, txn->keys[i].keyspace, txn->keys[i].key);
    fb_marks_begin(&txn->marks, marked);
}

/* With the shard's lock held, before the copy is hidden. 0 where EXPIRE had not shortened it. */
static uint32_t cap_left(struct fb_shard *core, const struct txn_key *key, fb_instant now) {
    struct fb_stamp stamp;
    if (fb_shard_look(core, key->hash, key->key, now, &stamp) != FB_OK || fb_stamp_cap(&stamp) == 0)
        return 0;
    int64_t ms = fb_span_ms(fb_since(fb_after(stamp.birth, fb_ms(stamp.cap_ms)), now));
    return ms > 0 ? (uint32_t)ms : 1;
}

/* Begin the keys that are left; stops where one has to wait, and goes on from fb_txn_granted. */
static void advance(struct fb_txn *txn) {
    struct fb_cache *cache = txn->cache;
    while (txn->granted < txn->nkeys) {
        struct txn_key *key = &txn->keys[txn->granted];
        struct fb_engine_shard *shard = fb_cache_shard(cache, key->hash);
        struct fb_effects fx;
        fb_effects_init(&fx);
        fb_lock_acquire(&shard->lock);
        fb_instant now = fb_clock_now();
        if (key->keeps_life)
            key->left_ms = cap_left(shard->core, key, now);
        fb_status status = fb_shard_begin(shard->core, key->hash, key->key, key->keyspace->id, &key->writer.core, now,
                                          &fx);
        if (status == FB_OK)
            txn->granted++;
        fb_shard_leave(shard);
        /* Once it is queued another thread may go on with the transaction: it is not ours to touch any more. */
        fb_carry_out(cache, &fx, FB_RUN_LANES);
        if (status == FB_PENDING)
            return;
        if (status != FB_OK) {
            give_up(txn, status);
            return;
        }
    }
    mark_and_send(txn);
}

static void admitted(struct fb_behind_way *way) {
    struct fb_txn *txn = fb_member_of(way, struct fb_txn, way);
    txn->deadline = fb_after(fb_clock_now(), fb_ms(2 * txn->source->options.write_timeout_ms));
    txn->run = FB_RUN_LANES;
    advance(txn);
}

/* May a write behind begin now? False: it is held back, or refused. */
static bool admit(struct fb_txn *txn) {
    fb_err err = {0};
    if (txn->group.nwrites == 0)
        return true;
    fb_status status = fb_behind_admit(&txn->way, admitted, &err);
    if (status == FB_DIRTY && txn->way.behind->options.on_full == FB_ON_FULL_WRITE_THROUGH) {
        txn->is_through = true;
        return true;
    }
    if (status != FB_OK && status != FB_PENDING)
        give_up_because(txn, status, &err);
    return status == FB_OK;
}

void fb_txn_start(struct fb_txn *txn, enum fb_run run) {
    fb_cache_op_begin(txn->cache);
    txn->run = run;
    txn->begun = fb_clock_now();
    txn->deadline = fb_after(txn->begun, fb_ms(2 * txn->source->options.write_timeout_ms));
    if (txn->way.behind != NULL && !admit(txn))
        return;
    if ((txn->way.behind == NULL || txn->is_through) && fb_source_is_down(txn->source, txn->begun)) {
        atomic_fetch_add_explicit(&txn->source->stopped, 1, memory_order_relaxed);
        txn->group.items[0].after = fb_source_why_down(txn->source);
        give_up(txn, FB_DOWN); /* before anything is hidden: what is cached goes on to serve */
        return;
    }
    advance(txn);
}

void fb_txn_granted(struct fb_engine_writer *writer, enum fb_run run) {
    struct fb_txn *txn = writer->txn;
    txn->run = run;
    txn->granted++;
    advance(txn);
}
