/* Carrying out what the core decided: answers, loads, stores. Runs without any lock. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/behind.h"
#include "engine/engine.h"
#include "engine/tier.h"

enum { BATCH_MAX = 1000 };

static struct fb_keyspace *keyspace_of(const struct fb_source *source, uint16_t id) {
    return source->cache->keyspaces[id];
}

static struct fb_value *text_value(const char *text) {
    return fb_value_new(FB_KIND_STRING, text, __builtin_strlen(text)); /* NULL only loses the text, not the error */
}

/* What this thread is carrying out. Answers and grants that come of it join its lists instead of the stack: a thousand
 * writes of one key that are refused one after another would be a thousand frames deep. */
static _Thread_local struct carrying {
    struct fb_cache *cache;
    struct fb_effects *fx;
} carrying;

/* ---- loads ---- */

void fb_load_over(struct fb_cache *cache, struct fb_flight *flight, fb_status status, struct fb_value *value,
                  struct fb_effects *fx) {
    struct fb_engine_shard *shard = fb_cache_shard(cache, flight->hash);
    struct fb_source *source = cache->keyspaces[flight->keyspace]->source;
    fb_instant now = fb_clock_now();
    flight->status = status;
    flight->value = value;
    flight->source_down = status < 0 && fb_source_is_down(source, now);
    if (flight->is_ahead)
        fb_source_refresh_end(source);
    fb_lock_acquire(&shard->lock);
    fb_shard_loaded(shard->core, flight, now, (uint16_t)fb_rng_next(&shard->rng), fx);
    fb_shard_leave(shard);
}

/* Home, or to the store first. */
static void load_over(struct fb_cache *cache, struct fb_flight *flight, fb_status status, struct fb_value *value,
                      struct fb_effects *fx) {
    if (cache->tier == NULL || !fb_tier_loaded(flight, status, value))
        fb_load_over(cache, flight, status, value, fx);
}

/* A load and what waited for its key when its query was sent: a change, to be shown on top of the row, or (`shows` is not
 * FB_MISS) all of it. */
struct pending {
    fb_status shows;
    struct fb_value *value;
    uint64_t seq; /* of the last write before it */
};

static struct pending pending_of(struct fb_source *source, const struct fb_flight *flight) {
    struct pending pending = {.shows = FB_MISS};
    if (source->behind != NULL)
        pending.shows = fb_behind_before(source->behind, flight->hash, fb_flight_key(flight), &pending.value, &pending.seq);
    return pending;
}

/* The key was written and flushed while the row was on its way: it may have the later write, and the change would show
 * half of an earlier state on top of it. It is asked for again. */
static bool is_overtaken(struct fb_source *source, struct fb_flight *flight, struct pending *pending,
                         struct fb_load_item *item) {
    if (pending->shows != FB_MISS || pending->value == NULL || item->status < 0 ||
        !fb_behind_has_flushed(source->behind, pending->seq))
        return false;
    struct fb_engine_shard *shard = fb_cache_shard(source->cache, flight->hash);
    fb_lock_acquire(&shard->lock);
    bool is_fenced = !fb_flight_may_fill(flight);
    fb_lock_release(&shard->lock);
    if (!is_fenced)
        return false;
    struct fb_link again = FB_LIST_INIT(again);
    fb_list_push_back(&again, &flight->link);
    fb_lane_push(source->reads, &again);
    if (fb_list_pop_front(&again) != NULL) {
        fb_value_unref(item->value);
        item->status = FB_BUSY;
        item->value = NULL;
        return false;
    }
    fb_value_unref(pending->value);
    fb_value_unref(item->value);
    return true;
}

static void show_pending(struct fb_source *source, const struct fb_flight *flight, struct pending *pending,
                         struct fb_load_item *item) {
    struct fb_keyspace *keyspace = keyspace_of(source, flight->keyspace);
    if (pending->shows != FB_MISS) {
        fb_value_unref(item->value);
        item->status = pending->shows;
        item->value = pending->value;
        return;
    }
    if (pending->value != NULL)
        item->status = fb_behind_show(keyspace, item->key, pending->value, item->status, &item->value);
    fb_value_unref(pending->value);
    if (source->behind != NULL && keyspace->options.write == FB_WRITE_BEHIND && !fb_behind_may_keep(source->behind))
        fb_behind_not_ours(source->behind, flight, &item->status, &item->value);
}

/* What the breaker learns from a round trip: the first item that could not be asked for stands for all. */
static void tell_loads(struct fb_source *source, enum fb_breaker_word word, const struct fb_load_item *items, unsigned n,
                       fb_span took) {
    unsigned i = 0;
    while (i < n && items[i].status != FB_DOWN && items[i].status != FB_TIMEOUT)
        i++;
    fb_source_tell(source, word, i < n, took, fb_value_bytes(i < n ? items[i].value : NULL));
}

/* One round trip for n flights; whoever asks for one of them from here on is told so by the core. */
static void load_batch(struct fb_source *source, struct fb_session *session, struct fb_trip *trip,
                       enum fb_breaker_word word, struct fb_link *flights, unsigned n) {
    struct fb_load_item items[BATCH_MAX];
    struct fb_flight *flown[BATCH_MAX];
    struct pending pending[BATCH_MAX];
    struct fb_effects fx;
    fb_effects_init(&fx);
    for (unsigned i = 0; i < n; i++) {
        struct fb_flight *flight = fb_member_of(fb_list_pop_front(flights), struct fb_flight, link);
        struct fb_engine_shard *shard = fb_cache_shard(source->cache, flight->hash);
        fb_lock_acquire(&shard->lock);
        fb_shard_dispatched(shard->core, flight, fb_clock_now());
        fb_lock_release(&shard->lock);
        fb_source_timed(source, FB_TIME_LANE, fb_since(flight->sent, flight->launched));
        flown[i] = flight;
        pending[i] = pending_of(source, flight);
        items[i] = (struct fb_load_item){
            .binding = keyspace_of(source, flight->keyspace)->binding,
            .key = fb_flight_key(flight),
        };
    }
    struct carrying outer = carrying;
    carrying = (struct carrying){0}; /* a function of the application may call us, and wait for what it asks */
    fb_instant begun = fb_clock_now();
    fb_trip_begin(trip, flown, n);
    source->ops->load(session, items, n);
    fb_trip_end(trip);
    carrying = outer;
    fb_span took = fb_since(fb_clock_now(), begun);
    fb_source_timed(source, FB_TIME_LOAD, took);
    tell_loads(source, word, items, n, took);
    atomic_fetch_add_explicit(&source->read_trips, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&source->rows_wanted, n, memory_order_relaxed);
    bool has_error = false, is_gathered = source->cache->tier != NULL && fb_tier_gather_begin();
    for (unsigned i = 0; i < n; i++) {
        has_error |= items[i].status < 0;
        fb_source_note_error(source, items[i].status, keyspace_of(source, flown[i]->keyspace),
                             fb_value_bytes(items[i].value));
        if (is_overtaken(source, flown[i], &pending[i], &items[i]))
            continue;
        show_pending(source, flown[i], &pending[i], &items[i]);
        load_over(source->cache, flown[i], items[i].status, items[i].value, &fx);
    }
    if (is_gathered)
        fb_tier_gather_end(source->cache->tier);
    atomic_fetch_add_explicit(&source->errors, has_error, memory_order_relaxed);
    fb_carry_out(source->cache, &fx, FB_RUN_LANES);
}

/* Takes the text over. */
static void refuse_loads(struct fb_source *source, struct fb_link *flights, fb_status status, struct fb_value *text) {
    struct fb_effects fx;
    fb_effects_init(&fx);
    for (struct fb_link *l; (l = fb_list_pop_front(flights)) != NULL;)
        load_over(source->cache, fb_member_of(l, struct fb_flight, link), status, fb_value_ref(text), &fx);
    fb_value_unref(text);
    fb_carry_out(source->cache, &fx, FB_RUN_LANES);
}

/* The breaker is open: nobody asks. */
static void stop_loads(struct fb_source *source, struct fb_link *flights, unsigned n) {
    atomic_fetch_add_explicit(&source->stopped, n, memory_order_relaxed);
    refuse_loads(source, flights, FB_DOWN, fb_source_why_down(source));
}

/* No connection can be had. */
static void miss_connection(struct fb_source *source, enum fb_breaker_word word, const struct fb_keyspace *keyspace,
                            const char *text) {
    fb_source_note_error(source, FB_DOWN, keyspace, FB_STR(text));
    fb_source_tell(source, word, /* is_bad = */ true, (fb_span){0}, FB_STR(text));
}

/* The cache closes: what has not been sent will not be. */
void fb_source_withdraw(struct fb_source *source) {
    struct fb_link waiting = FB_LIST_INIT(waiting);
    fb_lists_withdraw(source);
    fb_lane_withdraw(source->reads, &waiting);
    refuse_loads(source, &waiting, FB_CLOSED, NULL);
    fb_lane_withdraw(source->writes, &waiting);
    for (struct fb_link *l; (l = fb_list_pop_front(&waiting)) != NULL;)
        fb_txn_refuse(fb_member_of(l, struct fb_store_group, link), FB_CLOSED);
}

void fb_load_lane_work(void *user, void **slot, struct fb_link *batch, unsigned n) {
    struct fb_source *source = user;
    fb_err err = {0};
    enum fb_breaker_word word = fb_source_ask(source);
    if (word == FB_BREAKER_STOP) {
        stop_loads(source, batch, n);
        return;
    }
    struct fb_trip *trip = fb_trip_get(source, /* is_writer = */ false, slot, &err);
    if (trip != NULL) {
        load_batch(source, fb_trip_session(trip), trip, word, batch, n);
        return;
    }
    miss_connection(source, word, keyspace_of(source, fb_member_of(batch->next, struct fb_flight, link)->keyspace),
                    err.text);
    refuse_loads(source, batch, FB_DOWN, text_value(err.text));
}

void fb_load_here(struct fb_source *source, struct fb_link *flights, unsigned n) {
    for (unsigned some; n > 0; n -= some) {
        some = n < source->options.batch_max ? n : source->options.batch_max;
        enum fb_breaker_word word = fb_source_ask(source);
        if (word == FB_BREAKER_STOP) {
            stop_loads(source, flights, n);
            return;
        }
        load_batch(source, source->caller_session, /* trip = */ NULL, word, flights, some);
    }
}

/* Is all of it pending? Then the database need not be asked, and might know less. */
static bool is_answered_here(struct fb_source *source, struct fb_flight *flight, struct fb_effects *fx) {
    struct fb_engine_shard *shard = fb_cache_shard(source->cache, flight->hash);
    fb_lock_acquire(&shard->lock); /* nobody joins between the two, who may have been acknowledged something newer */
    struct pending pending = pending_of(source, flight);
    if (pending.shows != FB_MISS)
        fb_shard_dispatched(shard->core, flight, fb_clock_now());
    fb_lock_release(&shard->lock);
    if (pending.shows == FB_MISS) {
        fb_value_unref(pending.value);
        return false;
    }
    load_over(source->cache, flight, pending.shows, pending.value, fx);
    return true;
}

/* Send all flights of the first one's source together, so that they can travel in one batch. */
static void send_loads(struct fb_cache *cache, struct fb_effects *fx, enum fb_run run) {
    struct fb_link batch = FB_LIST_INIT(batch);
    struct fb_flight *first = fb_member_of(fx->loads.next, struct fb_flight, link);
    struct fb_source *source = cache->keyspaces[first->keyspace]->source;
    unsigned n = 0;
    for (struct fb_link *l = fx->loads.next, *next; l != &fx->loads; l = next) {
        next = l->next;
        if (cache->keyspaces[fb_member_of(l, struct fb_flight, link)->keyspace]->source != source)
            continue;
        fb_list_remove(l);
        fb_list_push_back(&batch, l);
        n++;
    }
    for (struct fb_link *l = batch.next, *next; source->behind != NULL && l != &batch; l = next) {
        next = l->next;
        fb_list_remove(l);
        if (is_answered_here(source, fb_member_of(l, struct fb_flight, link), fx))
            n--;
        else
            fb_list_push_back(next, l); /* back to its place */
    }
    if (n == 0)
        return;
    if (run == FB_RUN_HERE && source->ops->on_caller_thread) {
        fb_load_here(source, &batch, n);
        return;
    }
    if (fb_source_is_down(source, fb_clock_now())) {
        stop_loads(source, &batch, n);
        return;
    }
    fb_lane_push(source->reads, &batch);
    if (!fb_list_is_empty(&batch))
        refuse_loads(source, &batch, FB_BUSY, NULL);
}

/* ---- stores ---- */

/* Transactions that were not begun because their source cannot be reached. Takes the text over. */
static void refuse_stores(struct fb_link *groups, struct fb_value *text) {
    for (struct fb_link *l; (l = fb_list_pop_front(groups)) != NULL;) {
        struct fb_store_group *group = fb_member_of(l, struct fb_store_group, link);
        group->status = FB_DOWN;
        group->decided_by = group->nitems;
        for (size_t i = 0; i < group->nitems; i++) {
            group->items[i].status = FB_DOWN;
            group->items[i].after = fb_value_ref(text);
        }
        fb_txn_stored(group, fb_clock_now());
    }
    fb_value_unref(text);
}

static void tell_stores(struct fb_source *source, enum fb_breaker_word word, struct fb_store_group *const *groups,
                        unsigned n, fb_span took) {
    bool is_bad = false, is_slow = false;
    fb_bytes why = {NULL, 0};
    for (unsigned i = 0; i < n; i++) {
        const struct fb_store_group *group = groups[i];
        is_slow |= group->status == FB_TIMEOUT;
        if (is_bad || (group->status != FB_DOWN && group->status != FB_UNKNOWN))
            continue;
        is_bad = true;
        why = fb_value_bytes(group->items[group->decided_by < group->nitems ? group->decided_by : 0].after);
    }
    /* A lock that somebody holds keeps a writer waiting: that says nothing about the source. */
    if (is_bad || !is_slow || word == FB_BREAKER_PROBE)
        fb_source_tell(source, word, is_bad || is_slow, is_slow ? (fb_span){0} : took, why);
}

static void store_batch(struct fb_source *source, struct fb_session *session, struct fb_trip *trip,
                        enum fb_breaker_word word, struct fb_link *groups, unsigned n) {
    struct fb_store_group *sent[BATCH_MAX];
    fb_instant now = fb_clock_now();
    unsigned writes = 0;
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        struct fb_store_group *group = fb_member_of(fb_list_pop_front(groups), struct fb_store_group, link);
        if (!fb_txn_may_store(group, now)) { /* it has waited too long here; nothing was sent */
            fb_txn_refuse(group, FB_TIMEOUT);
            continue;
        }
        writes += (unsigned)group->nwrites;
        sent[kept++] = group;
    }
    n = kept;
    if (n == 0)
        return;
    struct carrying outer = carrying;
    carrying = (struct carrying){0};
    fb_trip_begin(trip, NULL, 0);
    source->ops->store(session, sent, n);
    fb_trip_end(trip);
    carrying = outer;
    fb_span took = fb_since(fb_clock_now(), now);
    fb_source_timed(source, FB_TIME_STORE, took);
    tell_stores(source, word, sent, n, took);
    atomic_fetch_add_explicit(&source->write_trips, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&source->nwrites, writes, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++)
        fb_txn_stored(sent[i], now);
}

static void stop_stores(struct fb_source *source, struct fb_link *groups, unsigned n) {
    atomic_fetch_add_explicit(&source->stopped, n, memory_order_relaxed);
    refuse_stores(groups, fb_source_why_down(source));
}

void fb_store_lane_work(void *user, void **slot, struct fb_link *batch, unsigned n) {
    struct fb_source *source = user;
    fb_err err = {0};
    enum fb_breaker_word word = fb_source_ask(source);
    if (word == FB_BREAKER_STOP) {
        stop_stores(source, batch, n);
        return;
    }
    struct fb_trip *trip = fb_trip_get(source, /* is_writer = */ true, slot, &err);
    if (trip != NULL) {
        store_batch(source, fb_trip_session(trip), trip, word, batch, n);
        return;
    }
    fb_source_tell(source, word, /* is_bad = */ true, (fb_span){0}, FB_STR(err.text));
    refuse_stores(batch, text_value(err.text));
}

void fb_store_here(struct fb_source *source, struct fb_link *groups, unsigned n) {
    enum fb_breaker_word word = fb_source_ask(source);
    if (word == FB_BREAKER_STOP)
        stop_stores(source, groups, n);
    else
        store_batch(source, source->caller_session, /* trip = */ NULL, word, groups, n);
}

/* ---- all effects ---- */

static bool is_anything_left(const struct fb_effects *fx) {
    return !fb_list_is_empty(&fx->done) || !fb_list_is_empty(&fx->granted) || !fb_list_is_empty(&fx->loads);
}

static void answer_and_grant(struct fb_effects *fx) {
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->done)) != NULL;) {
        struct fb_read *read = fb_member_of(l, struct fb_read, waiter.link);
        read->finish(read);
    }
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->granted)) != NULL;) {
        struct fb_engine_writer *writer = fb_member_of(l, struct fb_engine_writer, core.link);
        if (writer->txn != NULL)
            fb_txn_granted(writer, FB_RUN_LANES); /* somebody else's write: its thread is not this one */
        else
            fb_ticket_granted(writer);
    }
}

/* What this thread gathers for one batch. */
static _Thread_local struct gathering {
    struct fb_cache *cache;
    struct fb_effects fx; /* loads only */
} gathering;

void fb_gather_begin(fb_cache *cache) {
    gathering.cache = cache;
    fb_effects_init(&gathering.fx);
}

void fb_gather_end(fb_cache *cache) {
    gathering.cache = NULL;
    fb_carry_out(cache, &gathering.fx, FB_RUN_LANES);
}

void fb_carry_out(struct fb_cache *cache, struct fb_effects *fx, enum fb_run run) {
    if (run == FB_RUN_LANES && gathering.cache == cache)
        fb_list_append(&gathering.fx.loads, &fx->loads);
    if (cache->tier != NULL && !fb_list_is_empty(&fx->loads))
        fb_tier_take_loads(cache->tier, fx);
    if (run == FB_RUN_LANES && carrying.cache == cache) {
        fb_list_append(&carrying.fx->done, &fx->done);
        fb_list_append(&carrying.fx->granted, &fx->granted);
        while (!fb_list_is_empty(&fx->loads))
            send_loads(cache, fx, FB_RUN_LANES);
        return;
    }
    struct carrying outer = carrying;
    carrying = (struct carrying){cache, fx};
    while (is_anything_left(fx)) {
        answer_and_grant(fx);
        if (cache->tier != NULL && !fb_list_is_empty(&fx->loads))
            fb_tier_take_loads(cache->tier, fx);
        if (!fb_list_is_empty(&fx->loads))
            send_loads(cache, fx, run);
    }
    carrying = outer;
}

/* ---- what a caller is told ---- */

void fb_source_note_error(struct fb_source *source, fb_status status, const struct fb_keyspace *keyspace,
                          fb_bytes text) {
    if (status != FB_DOWN && status != FB_SOURCE && status != FB_UNKNOWN && status != FB_TIMEOUT)
        return;
    fb_err err = {0};
    fb_explain(&err, status, keyspace, text);
    fb_lock_acquire(&source->error_lock);
    source->last_error = err;
    source->failed = fb_clock_now();
    fb_lock_release(&source->error_lock);
}

void fb_explain(fb_err *err, fb_status status, const struct fb_keyspace *keyspace, fb_bytes text) {
    const struct fb_source *source = keyspace->source;
    int len = (int)(text.len < FB_ERR_TEXT_MAX ? text.len : FB_ERR_TEXT_MAX);
    switch (status) {
    case FB_TIMEOUT:
        (void)fb_fail(err, status, "source '%s' did not answer in time (read_timeout %lldms, write_timeout %lldms)",
                      source->name, (long long)source->options.read_timeout_ms,
                      (long long)source->options.write_timeout_ms);
        break;
    case FB_BUSY:
        (void)fb_fail(err, status, "source '%s' has %u operations waiting; try again later", source->name,
                      source->options.queue_max);
        break;
    case FB_DOWN:
        (void)fb_fail(err, status, "source '%s' is unreachable: %.*s", source->name, len, text.data);
        break;
    case FB_UNKNOWN:
        (void)fb_fail(err, status, "source '%s': the write was sent, its outcome is not known (%.*s); read before "
                      "retrying", source->name, len, text.data);
        break;
    case FB_SOURCE:
        (void)fb_fail(err, status, "source '%s': %.*s", source->name, len, text.data);
        break;
    case FB_STOREDOWN:
        (void)fb_fail(err, status, "the shared store is unreachable: %.*s; the write was not carried out (store.on_down: "
                      "strict)", len, text.data);
        break;
    case FB_CONFLICT:
        (void)fb_fail(err, status, "keyspace '%s': %.*s", keyspace->options.pattern, len, text.data);
        break;
    default:
        if (len > 0)
            (void)fb_fail(err, status, "%.*s", len, text.data);
        else
            (void)fb_fail(err, status, "%s", fb_status_text(status));
    }
}
