/* The way of a transaction: its keys are begun, marked at the shared second level, and it goes to its source. */
#include "engine/txn.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"

static void give_up(struct fb_txn *txn, fb_status status) {
    txn->group.status = status;
    txn->group.decided_by = txn->group.nitems;
    for (size_t i = 0; i < txn->group.nitems; i++)
        txn->group.items[i].status = status;
    fb_instant now = fb_clock_now();
    fb_txn_conclude(txn, now, now);
}

static void give_up_because(struct fb_txn *txn, fb_status status, const fb_err *err) {
    if (txn->group.items[0].after == NULL)
        txn->group.items[0].after = fb_value_new(FB_KIND_STRING, err->text, strlen(err->text));
    give_up(txn, status);
}

static void written_behind(struct fb_behind_way *way) {
    struct fb_txn *txn = fb_member_of(way, struct fb_txn, way);
    fb_txn_conclude(txn, txn->sent, fb_clock_now());
}

/* ---- joining ---- */

static size_t bytes_of(const struct fb_txn *txn) {
    size_t bytes = 0;
    for (size_t i = 0; i < txn->group.nitems; i++)
        for (unsigned k = 0; k < txn->group.items[i].plan->nassigns; k++) {
            const struct fb_datum *value = &txn->group.items[i].plan->assigns[k].value;
            bytes += value->kind >= FB_DATUM_NUMBER ? value->bytes.len : 0;
        }
    return bytes;
}

/* May `next`, which waits for the one key of `txn`, be decided now, and written with it? */
static bool may_join(const struct fb_txn *txn, const struct fb_txn *next) {
    const struct fb_known *row = &txn->way.rows[0];
    size_t bytes = row->change != NULL ? row->change->len : 0;
    return next != NULL && next->nkeys == 1 && next->keys[0].keyspace == txn->keys[0].keyspace &&
           next->way.behind != NULL && !next->is_through && !fb_reached(fb_clock_now(), next->deadline) &&
           bytes + bytes_of(next) <= FB_BEHIND_JOINED_BYTES &&
           (row->shows != FB_MISS || !fb_decide_needs(&next->group, next->way.of, &next->way.rows[0]));
}

static struct fb_behind_way *next_in_queue(struct fb_behind_way *way) {
    struct fb_txn *txn = fb_member_of(way, struct fb_txn, way), *next = NULL;
    struct fb_txn_key *key = &txn->keys[0];
    struct fb_engine_shard *shard = fb_cache_shard(txn->cache, key->hash);
    if (txn->nkeys != 1 || (atomic_load(&txn->cache->pending) & FB_CLOSING))
        return NULL;
    fb_lock_acquire(&shard->lock);
    struct fb_writer *writer = fb_shard_next_writer(&key->writer.core);
    if (writer != NULL)
        next = fb_member_of(writer, struct fb_engine_writer, core)->txn; /* NULL: a ticket */
    if (may_join(txn, next))
        (void)fb_shard_cancel(shard->core, writer);
    else
        next = NULL;
    fb_lock_release(&shard->lock);
    return next != NULL ? &next->way : NULL;
}

/* ---- to its source ---- */

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
        fb_behind_go(&txn->way, next_in_queue, written_behind);
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
    fb_err err;
    if (!fb_marks_refuse(marks)) {
        send_to_source(txn);
        return;
    }
    (void)fb_fail(&err, FB_STOREDOWN, "%s", marks->why);
    give_up_because(txn, FB_STOREDOWN, &err);
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
static uint32_t cap_left(struct fb_shard *core, const struct fb_txn_key *key, fb_instant now) {
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
        struct fb_txn_key *key = &txn->keys[txn->granted];
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
    if (txn->way.is_full && txn->way.behind->options.on_full == FB_ON_FULL_WRITE_THROUGH) {
        txn->is_through = true; /* not past a journal that has failed: what it holds unanswered comes on top of this */
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

/* ---- its source ---- */

void fb_txn_stored(struct fb_store_group *group, fb_instant sent) {
    fb_txn_conclude(fb_member_of(group, struct fb_txn, group), sent, fb_clock_now());
}

bool fb_txn_may_store(struct fb_store_group *group, fb_instant now) {
    const struct fb_txn *txn = fb_member_of(group, struct fb_txn, group);
    return txn->marks.items == NULL || fb_marks_may_store(&txn->marks, now);
}

void fb_txn_refuse(struct fb_store_group *group, fb_status status) {
    give_up(fb_member_of(group, struct fb_txn, group), status);
}
