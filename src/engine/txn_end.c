/* The end of a transaction: what the cache may believe of its keys, what observers hear, the answer. */
#include "engine/txn.h"

#include "base/clock.h"
#include "base/err.h"

/* One that joined: its place in way.joined. */
static struct fb_txn *txn_of(const struct fb_link *l) {
    return fb_member_of(fb_member_of(l, struct fb_behind_way, link), struct fb_txn, way);
}

/* ---- what there is now ---- */

struct key_end {
    enum fb_write_end how;
    fb_kind kind;
    fb_bytes value;
};

/* After the source's answer. */
static struct key_end end_stored(const struct fb_txn_key *key, const struct fb_store_item *item) {
    bool keeps = key->keyspace->options.write == FB_WRITE_THROUGH || key->keyspace->options.write == FB_WRITE_BEHIND;
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

static struct key_end what_was_hidden(const struct fb_writer *writer) {
    if (writer->shown == FB_OK && writer->value != NULL)
        return (struct key_end){FB_END_KEEP, writer->value->kind, fb_value_bytes(writer->value)};
    return (struct key_end){.how = writer->shown == FB_NOTFOUND ? FB_END_ABSENT : FB_END_DROP};
}

/* What is known of the row of a key that is written behind; NULL: it is not. */
static const struct fb_known *known_of(const struct fb_txn *txn, const struct fb_txn_key *key) {
    bool is_behind = txn->way.keys != NULL && !txn->is_through;
    return is_behind ? &txn->way.rows[key - txn->keys] : NULL;
}

/* Written behind, and nothing was changed: what was hidden is what there is. */
static bool is_untouched(const struct fb_txn *txn, const struct fb_txn_key *key) {
    const struct fb_known *known = known_of(txn, key);
    return known != NULL && txn->group.status != FB_UNKNOWN && known->change == NULL;
}

static struct key_end end_of_key(const struct fb_txn *txn, const struct fb_txn_key *key) {
    const struct fb_known *known = known_of(txn, key);
    if (known == NULL)
        return end_stored(key, &txn->group.items[key->last_item]);
    if (txn->group.status == FB_UNKNOWN)
        return (struct key_end){.how = FB_END_DOUBT};
    if (known->change == NULL)
        return what_was_hidden(&key->writer.core);
    if (known->shows == FB_OK)
        return (struct key_end){FB_END_KEEP, known->value->kind, fb_value_bytes(known->value)};
    return (struct key_end){.how = known->shows == FB_NOTFOUND ? FB_END_ABSENT : FB_END_DROP};
}

/* ---- what observers hear ---- */

/* The writes of one key, once they have ended. */
struct told {
    unsigned written, failed;
    bool is_doubted;
    uint32_t cap_ms;        /* the life they leave to the copy, 0 for its TTL's */
    struct fb_event giver;  /* of that life; when is_given */
    bool is_given;
};

static struct fb_event cause_of(const struct fb_txn *txn, size_t item) {
    const struct fb_txn_op *op = &txn->ops[txn->items[item].op];
    return (struct fb_event){.op = op->kind, .flags = op->flags, .origin = op->origin};
}

static void add_up(const struct fb_txn *txn, const struct fb_txn_key *key, struct told *told) {
    for (size_t i = key->first_item; i != FB_TXN_NONE; i = txn->items[i].next) {
        const struct fb_txn_item *item = &txn->items[i];
        fb_status status = txn->group.items[i].status;
        told->failed += status < 0;
        told->is_doubted |= status == FB_UNKNOWN;
        if (status != FB_OK)
            continue;
        if (item->keeps_life && told->written == 0)
            told->cap_ms = key->left_ms;
        if (!item->keeps_life) {
            told->cap_ms = item->cap_ms;
            told->giver = cause_of(txn, i);
            told->is_given = item->cap_ms > 0;
        }
        told->written++;
    }
}

/* Those of the writers that joined this one as well, who have only this key. */
static struct told sum_up(const struct fb_txn *txn, const struct fb_txn_key *key) {
    struct told told = {.cap_ms = 0};
    if (key->is_read)
        return told;
    add_up(txn, key, &told);
    for (const struct fb_link *l = txn->way.joined.next; l != &txn->way.joined; l = l->next) {
        const struct fb_txn *joined = txn_of(l);
        add_up(joined, &joined->keys[0], &told);
    }
    return told;
}

/* Tell observers of each, with the shard's lock held. */
static void tell_writes(const struct fb_txn *txn, const struct fb_txn_key *key, struct fb_engine_shard *shard) {
    bool is_doubted = false;
    for (size_t i = key->first_item; !key->is_read && i != FB_TXN_NONE; i = txn->items[i].next) {
        struct fb_event cause = cause_of(txn, i);
        fb_status status = txn->group.items[i].status;
        fb_event_kind written = cause.op == FB_OP_DELETE ? FB_EVENT_DELETED : FB_EVENT_WRITTEN;
        if (status == FB_OK || (status == FB_UNKNOWN && !is_doubted))
            fb_event_note(shard, status == FB_OK ? written : FB_EVENT_DOUBTED, key->keyspace->id, key->key, &cause);
        is_doubted |= status == FB_UNKNOWN;
    }
}

static void tell_all(const struct fb_txn *txn, const struct fb_txn_key *key, struct fb_engine_shard *shard) {
    tell_writes(txn, key, shard);
    for (const struct fb_link *l = txn->way.joined.next; l != &txn->way.joined; l = l->next) {
        const struct fb_txn *joined = txn_of(l);
        tell_writes(joined, &joined->keys[0], shard);
    }
}

/* ---- its keys ---- */

static void end_key(struct fb_txn *txn, struct fb_txn_key *key, fb_instant sent, struct fb_effects *fx) {
    struct key_end end = end_of_key(txn, key);
    struct told told = sum_up(txn, key);
    bool is_restored = is_untouched(txn, key), is_life_kept = end.how == FB_END_KEEP;
    if (is_restored) {
        sent = key->writer.core.born;
        told.cap_ms = key->writer.core.born_cap_ms;
    } else if (known_of(txn, key) != NULL) {
        sent = txn->way.keys[key - txn->keys].born;
    }
    if (txn->marks.items != NULL && end.how != FB_END_DOUBT)
        end.how = FB_END_DROP; /* it is in the second level, and comes here with the next read */
    struct fb_engine_shard *shard = fb_cache_shard(txn->cache, key->hash);
    uint16_t id = key->keyspace->id;
    fb_lock_acquire(&shard->lock);
    tell_all(txn, key, shard);
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
        if (txn->ops[i].item != FB_TXN_NONE)
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

static void answer(struct fb_txn *txn, struct fb_effects *fx) {
    fb_outcome outcome;
    forget_stale(txn, fx);
    summarise(txn, &outcome);
    time_results(txn, txn->sent, txn->answered);
    txn->done(txn->user, &outcome);
}

/* End every key that was begun, answer, free. Keys that were never granted have nothing to end. */
static void finish_txn(struct fb_txn *txn) {
    struct fb_cache *cache = txn->cache;
    struct fb_link joined = FB_LIST_INIT(joined);
    struct fb_effects fx;
    fb_effects_init(&fx);
    for (size_t i = 0; i < txn->granted; i++)
        end_key(txn, &txn->keys[i], txn->sent, &fx);
    fb_holds_release(cache, &txn->holds, txn->group.status == FB_UNKNOWN);
    fb_list_append(&fx.done, &txn->held.done);
    fb_list_append(&fx.loads, &txn->held.loads);
    fb_list_append(&joined, &txn->way.joined);
    answer(txn, &fx);
    for (struct fb_link *l; (l = fb_list_pop_front(&joined)) != NULL;) {
        struct fb_txn *next = txn_of(l);
        next->sent = txn->sent;
        next->answered = txn->answered;
        answer(next, &fx);
        fb_txn_free(next);
        fb_cache_op_end(cache); /* the first one's is still to come: the cache stays */
    }
    fb_txn_free(txn);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    fb_cache_op_end(cache);
}

static void unmarked(struct fb_marks *marks) { finish_txn(fb_member_of(marks, struct fb_txn, marks)); }

void fb_txn_conclude(struct fb_txn *txn, fb_instant sent, fb_instant answered) {
    static const enum fb_flow_end ends[] = {
        [FB_END_KEEP] = FB_FLOW_END_PUT, [FB_END_ABSENT] = FB_FLOW_END_ABSENT, [FB_END_DROP] = FB_FLOW_END_DROP,
        [FB_END_DOUBT] = FB_FLOW_END_DOUBT};
    txn->sent = sent;
    txn->answered = answered;
    if (txn->marks.items == NULL) {
        finish_txn(txn);
        return;
    }
    for (size_t i = 0; i < txn->nkeys; i++) {
        const struct fb_txn_key *key = &txn->keys[i];
        struct key_end end = end_of_key(txn, key);
        /* What was hidden here is of some age, which a copy there would not have: the next reader brings it. */
        enum fb_write_end how = is_untouched(txn, key) ? FB_END_DROP : end.how;
        fb_marks_set_end(&txn->marks, i, key->hash, key->keyspace, ends[how], end.value, sum_up(txn, key).cap_ms);
    }
    fb_marks_end(&txn->marks, unmarked);
}
