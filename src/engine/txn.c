/* Writes: one or several keys that are written as one transaction.
 *
 * The keys are begun one after another in one fixed order (by hash, then bytes), so that two transactions with common
 * keys cannot wait for each other. When all are granted the group goes to the source; afterwards each key is ended with
 * what the source says is there now. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"

struct txn_key {
    struct fb_engine_writer writer;
    struct fb_keyspace *keyspace;
    uint64_t hash;
    fb_bytes key;
    size_t last_item;       /* the last write of this key in the group: its answer is the state of the key */
    struct fb_event cause;  /* op, flags and origin of that write */
    uint32_t cap_ms;        /* life given with that write */
    bool keeps_life;        /* or what is left of the one that EXPIRE gave */
};

struct fb_txn {
    struct fb_cache *cache;
    struct fb_source *source;
    fb_txn_finish *finish;
    void *user;
    enum fb_run run;
    fb_instant begun, deadline;
    struct fb_store_group group;
    struct fb_keyspace **item_keyspaces;
    struct txn_key *keys;   /* sorted */
    size_t nkeys;
    size_t granted;         /* keys[0 .. granted−1] are marked */
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

static void sort_keys(struct fb_txn *txn) {
    qsort(txn->keys, txn->nkeys, sizeof *txn->keys, by_order);
    size_t kept = 0;
    for (size_t i = 0; i < txn->nkeys; i++) {
        if (kept > 0 && is_same_key(&txn->keys[kept - 1], &txn->keys[i]))
            txn->keys[kept - 1] = txn->keys[i]; /* the later write of the same key */
        else
            txn->keys[kept++] = txn->keys[i];
    }
    txn->nkeys = kept;
    for (size_t i = 0; i < kept; i++)
        txn->keys[i].writer.txn = txn;
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
    fb_mem_free(txn);
}

/* All in one block: the struct, its arrays, the bytes of the keys. */
static struct fb_txn *alloc_txn(const fb_op *ops, size_t n) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += ops[i].key.len;
    size_t items = sizeof(struct fb_txn), keys = items + n * sizeof(struct fb_store_item);
    size_t spaces = keys + n * sizeof(struct txn_key), text = spaces + n * sizeof(struct fb_keyspace *);
    char *block = fb_mem_calloc(1, text + bytes);
    if (block == NULL)
        return NULL;
    struct fb_txn *txn = (void *)block;
    txn->group.items = (void *)(block + items);
    txn->keys = (void *)(block + keys);
    txn->item_keyspaces = (void *)(block + spaces);
    char *p = block + text;
    for (size_t i = 0; i < n; i++) {
        memcpy(p, ops[i].key.data, ops[i].key.len);
        txn->keys[i].key = fb_bytes_of(p, ops[i].key.len);
        p += ops[i].key.len;
    }
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

static fb_status may_write(const struct fb_keyspace *keyspace, const fb_op *op, fb_err *reterr) {
    if (op->kind != FB_OP_DELETE && keyspace->on_set == FB_ON_SET_IGNORE && is_ignorable(op))
        return FB_IGNORED;
    if (op->kind != FB_OP_DELETE && keyspace->on_set == FB_ON_SET_IGNORE)
        return fb_fail(reterr, FB_READONLY,
                       "keyspace '%s' ignores writes (on_set: ignore), and this one asks for an answer",
                       keyspace->options.pattern);
    if (keyspace->options.write == FB_WRITE_OFF)
        return fb_fail(reterr, FB_READONLY,
                       "keyspace '%s' is read-only (write: off); set write: write-through to write rows",
                       keyspace->options.pattern);
    if (op->kind != FB_OP_DELETE && keyspace->on_set == FB_ON_SET_ERROR)
        return fb_fail(reterr, FB_READONLY, "keyspace '%s' refuses writes (on_set: error)", keyspace->options.pattern);
    return FB_OK;
}

/* One more write; FB_IGNORED leaves the transaction as it was. */
static fb_status add_item(struct fb_txn *txn, const fb_op *op, fb_bytes key, fb_err *reterr) {
    struct fb_keyspace *keyspace;
    fb_status status = fb_cache_find(txn->cache, op->key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    uint64_t hash = fb_cache_hash(txn->cache, key);
    status = may_write(keyspace, op, reterr);
    if (status == FB_IGNORED)
        count(txn->cache, hash, keyspace->id, offsetof(fb_keyspace_stats, writes_ignored));
    if (status != FB_OK)
        return status;
    if (txn->source != NULL && txn->source != keyspace->source)
        return fb_fail(reterr, FB_UNSUPPORTED, "keys of sources '%s' and '%s' cannot be written in one transaction",
                       txn->source->name, keyspace->source->name);
    struct fb_plan *plan;
    status = keyspace->source->ops->plan(keyspace->binding, op, &plan, reterr);
    if (status != FB_OK)
        return status;
    txn->source = keyspace->source;
    size_t i = txn->group.nitems++;
    txn->group.items[i] = (struct fb_store_item){.binding = keyspace->binding, .key = key, .plan = plan};
    txn->item_keyspaces[i] = keyspace;
    int64_t cap = op->life_ms > UINT32_MAX ? UINT32_MAX : op->life_ms;
    txn->keys[txn->nkeys++] = (struct txn_key){
        .keyspace = keyspace, .hash = hash, .key = key, .last_item = i,
        .cause = {.op = op->kind, .flags = op->flags, .origin = op->origin}, .cap_ms = cap > 0 ? (uint32_t)cap : 0,
        .keeps_life = (op->flags & FB_KEEP_LIFE) != 0};
    return FB_OK;
}

fb_status fb_txn_new(struct fb_cache *cache, const fb_op *ops, size_t n, fb_txn_finish *finish, void *user,
                     struct fb_txn **ret_txn, fb_err *reterr) {
    if (n == 0 || n > FB_TXN_KEYS_MAX)
        return fb_fail(reterr, FB_INVALID, "a transaction has 1 to %d writes", FB_TXN_KEYS_MAX);
    struct fb_txn *txn = alloc_txn(ops, n);
    if (txn == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    txn->cache = cache;
    txn->finish = finish;
    txn->user = user;
    fb_list_init(&txn->group.link);
    for (size_t i = 0; i < n; i++) {
        fb_status status = add_item(txn, &ops[i], txn->keys[i].key, reterr);
        if (status != FB_OK && status != FB_IGNORED) {
            free_txn(txn);
            return status;
        }
    }
    if (txn->group.nitems == 0) {
        free_txn(txn);
        return FB_IGNORED;
    }
    sort_keys(txn);
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
    bool keeps = key->keyspace->options.write == FB_WRITE_THROUGH;
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

/* What observers are told of the end of a write, with the shard's lock held. */
static void announce(struct fb_engine_shard *shard, const struct txn_key *key, fb_status status, bool is_kept) {
    uint16_t id = key->keyspace->id;
    if (status == FB_OK)
        fb_event_note(shard, key->cause.op == FB_OP_DELETE ? FB_EVENT_DELETED : FB_EVENT_WRITTEN, id, key->key,
                      &key->cause);
    else if (status == FB_UNKNOWN)
        fb_event_note(shard, FB_EVENT_DOUBTED, id, key->key, &key->cause);
    else if (key->writer.core.has_hidden)
        fb_event_note(shard, FB_EVENT_UNCACHED, id, key->key, &key->cause);
    if (status == FB_OK && key->cap_ms > 0 && !key->keeps_life && is_kept)
        fb_event_note(shard, FB_EVENT_LIFE, id, key->key, &key->cause);
}

static void end_key(struct fb_txn *txn, struct txn_key *key, fb_instant sent, struct fb_effects *fx) {
    const struct fb_store_item *item = &txn->group.items[key->last_item];
    struct key_end end = end_of(key, item);
    struct fb_engine_shard *shard = fb_cache_shard(txn->cache, key->hash);
    fb_lock_acquire(&shard->lock);
    fb_keyspace_stats *counters = fb_shard_counters(shard->core, key->keyspace->id);
    if (item->status == FB_OK)
        counters->writes++;
    else if (item->status < 0)
        counters->write_errors++;
    fb_shard_end(shard->core, &key->writer.core, end.how, end.kind, end.value, sent,
                 item->status == FB_OK ? key->cap_ms : 0, fb_clock_now(), (uint16_t)fb_rng_next(&shard->rng), fx);
    announce(shard, key, item->status, end.how == FB_END_KEEP);
    fb_shard_leave(shard);
}

/* The outcome of all: the first error, else the first condition that did not hold, else FB_OK. */
static void summarise(const struct fb_txn *txn, struct fb_txn_result *result) {
    const struct fb_store_item *told = &txn->group.items[0];
    struct fb_keyspace *keyspace = txn->item_keyspaces[0];
    for (size_t i = 0; i < txn->group.nitems && told->status >= 0; i++) {
        const struct fb_store_item *item = &txn->group.items[i];
        if (item->status < 0 || (item->status != FB_OK && told->status == FB_OK)) {
            told = item;
            keyspace = txn->item_keyspaces[i];
        }
    }
    result->status = told->status;
    result->old = txn->group.items[0].before;
    result->number = txn->group.items[0].number;
    result->count = txn->group.items[0].count;
    if (told->status >= 0)
        return;
    fb_explain(&result->err, told->status, keyspace, fb_value_bytes(told->after));
    fb_source_note_error(txn->source, told->status, keyspace, fb_value_bytes(told->after));
}

/* End every key that was begun, answer, free. Keys that were never granted have nothing to end. */
static void finish_txn(struct fb_txn *txn, fb_instant sent, fb_instant answered) {
    struct fb_cache *cache = txn->cache;
    struct fb_txn_result result = {0};
    struct fb_effects fx;
    fb_effects_init(&fx);
    for (size_t i = 0; i < txn->granted; i++)
        end_key(txn, &txn->keys[i], sent, &fx);
    summarise(txn, &result);
    result.lane = fb_since(sent, txn->begun);
    result.source = fb_since(answered, sent);
    txn->finish(txn->user, &result);
    free_txn(txn);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    fb_cache_op_end(cache);
}

void fb_txn_stored(struct fb_store_group *group, fb_instant sent) {
    finish_txn(fb_member_of(group, struct fb_txn, group), sent, fb_clock_now());
}

static void give_up(struct fb_txn *txn, fb_status status) {
    for (size_t i = 0; i < txn->group.nitems; i++)
        txn->group.items[i].status = status;
    fb_instant now = fb_clock_now();
    finish_txn(txn, now, now);
}

void fb_txn_refuse(struct fb_store_group *group, fb_status status) {
    give_up(fb_member_of(group, struct fb_txn, group), status);
}

/* ---- its way ---- */

static void send(struct fb_txn *txn) {
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
    fb_list_push_back(&list, &txn->group.link);
    if (txn->run == FB_RUN_HERE && source->ops->on_caller_thread) {
        fb_store_here(source, &list, 1);
        return;
    }
    fb_lane_push(source->writes, &list);
    if (fb_list_pop_front(&list) != NULL)
        give_up(txn, FB_BUSY);
}

/* With the shard's lock held, before the copy is hidden. 0 where EXPIRE had not shortened it. */
static uint32_t cap_left(struct fb_shard *core, const struct txn_key *key, fb_instant now) {
    struct fb_stamp stamp;
    if (fb_shard_look(core, key->hash, key->key, now, &stamp) != FB_OK || stamp.cap_ms == 0)
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
            key->cap_ms = cap_left(shard->core, key, now);
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
    send(txn);
}

void fb_txn_start(struct fb_txn *txn, enum fb_run run) {
    fb_cache_op_begin(txn->cache);
    txn->run = run;
    txn->begun = fb_clock_now();
    txn->deadline = fb_after(txn->begun, fb_ms(2 * txn->source->options.write_timeout_ms));
    advance(txn);
}

void fb_txn_granted(struct fb_engine_writer *writer, enum fb_run run) {
    struct fb_txn *txn = writer->txn;
    txn->run = run;
    txn->granted++;
    advance(txn);
}
