/* Carrying out what the core decided: answers, loads, stores. Runs without any lock. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"

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

static void load_over(struct fb_cache *cache, struct fb_flight *flight, fb_status status, struct fb_value *value,
                      struct fb_effects *fx) {
    struct fb_engine_shard *shard = fb_cache_shard(cache, flight->hash);
    flight->status = status;
    flight->value = value;
    fb_lock_acquire(&shard->lock);
    fb_shard_loaded(shard->core, flight, fb_clock_now(), (uint16_t)fb_rng_next(&shard->rng), fx);
    fb_shard_leave(shard);
}

/* One round trip for n flights; whoever asks for one of them from here on is told so by the core. */
static void load_batch(struct fb_source *source, struct fb_session *session, struct fb_link *flights, unsigned n) {
    struct fb_load_item items[BATCH_MAX];
    struct fb_flight *flown[BATCH_MAX];
    struct fb_effects fx;
    fb_effects_init(&fx);
    for (unsigned i = 0; i < n; i++) {
        struct fb_flight *flight = fb_member_of(fb_list_pop_front(flights), struct fb_flight, link);
        struct fb_engine_shard *shard = fb_cache_shard(source->cache, flight->hash);
        fb_lock_acquire(&shard->lock);
        fb_shard_dispatched(shard->core, flight, fb_clock_now());
        fb_lock_release(&shard->lock);
        flown[i] = flight;
        items[i] = (struct fb_load_item){
            .binding = keyspace_of(source, flight->keyspace)->binding,
            .key = fb_flight_key(flight),
        };
    }
    struct carrying outer = carrying;
    carrying = (struct carrying){0}; /* a function of the application may call us, and wait for what it asks */
    source->ops->load(session, items, n);
    carrying = outer;
    atomic_fetch_add_explicit(&source->read_trips, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&source->rows_wanted, n, memory_order_relaxed);
    bool has_error = false;
    for (unsigned i = 0; i < n; i++) {
        has_error |= items[i].status < 0;
        fb_source_note_error(source, items[i].status, keyspace_of(source, flown[i]->keyspace),
                             fb_value_bytes(items[i].value));
        load_over(source->cache, flown[i], items[i].status, items[i].value, &fx);
    }
    atomic_fetch_add_explicit(&source->errors, has_error, memory_order_relaxed);
    fb_carry_out(source->cache, &fx, FB_RUN_LANES);
}

static void refuse_loads(struct fb_source *source, struct fb_link *flights, fb_status status, const char *text) {
    struct fb_effects fx;
    fb_effects_init(&fx);
    for (struct fb_link *l; (l = fb_list_pop_front(flights)) != NULL;) {
        struct fb_flight *flight = fb_member_of(l, struct fb_flight, link);
        fb_source_note_error(source, status, keyspace_of(source, flight->keyspace), FB_STR(text));
        load_over(source->cache, flight, status, text_value(text), &fx);
    }
    fb_carry_out(source->cache, &fx, FB_RUN_LANES);
}

struct fb_session *fb_source_session(struct fb_source *source, bool is_writer, void **slot, fb_err *reterr) {
    struct fb_session *session = *slot;
    if (session == NULL && source->ops->session_open(source->driver, is_writer, &session, reterr) == FB_OK)
        *slot = session;
    return session;
}

/* The cache closes: what has not been sent will not be. */
void fb_source_withdraw(struct fb_source *source) {
    struct fb_link waiting = FB_LIST_INIT(waiting);
    fb_lists_withdraw(source);
    fb_lane_withdraw(source->reads, &waiting);
    refuse_loads(source, &waiting, FB_CLOSED, "");
    fb_lane_withdraw(source->writes, &waiting);
    for (struct fb_link *l; (l = fb_list_pop_front(&waiting)) != NULL;)
        fb_txn_refuse(fb_member_of(l, struct fb_store_group, link), FB_CLOSED);
}

void fb_load_lane_work(void *user, void **slot, struct fb_link *batch, unsigned n) {
    struct fb_source *source = user;
    fb_err err = {0};
    struct fb_session *session = fb_source_session(source, /* is_writer = */ false, slot, &err);
    if (session != NULL)
        load_batch(source, session, batch, n);
    else
        refuse_loads(source, batch, FB_DOWN, err.text);
}

void fb_load_here(struct fb_source *source, struct fb_link *flights, unsigned n) {
    for (unsigned some; n > 0; n -= some) {
        some = n < source->options.batch_max ? n : source->options.batch_max;
        load_batch(source, source->caller_session, flights, some);
    }
}

void fb_lane_session_leave(void *user, void *session) {
    struct fb_source *source = user;
    if (session != NULL)
        source->ops->session_close(session);
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
    if (run == FB_RUN_HERE && source->ops->on_caller_thread) {
        fb_load_here(source, &batch, n);
        return;
    }
    fb_lane_push(source->reads, &batch);
    if (!fb_list_is_empty(&batch))
        refuse_loads(source, &batch, FB_BUSY, "");
}

/* ---- stores ---- */

static void store_batch(struct fb_source *source, struct fb_session *session, struct fb_link *groups, unsigned n) {
    struct fb_store_group *sent[BATCH_MAX];
    fb_instant now = fb_clock_now();
    unsigned writes = 0;
    for (unsigned i = 0; i < n; i++) {
        sent[i] = fb_member_of(fb_list_pop_front(groups), struct fb_store_group, link);
        writes += (unsigned)sent[i]->nwrites;
    }
    struct carrying outer = carrying;
    carrying = (struct carrying){0};
    source->ops->store(session, sent, n);
    carrying = outer;
    atomic_fetch_add_explicit(&source->write_trips, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&source->nwrites, writes, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++)
        fb_txn_stored(sent[i], now);
}

void fb_store_lane_work(void *user, void **slot, struct fb_link *batch, unsigned n) {
    struct fb_source *source = user;
    fb_err err = {0};
    struct fb_session *session = fb_source_session(source, /* is_writer = */ true, slot, &err);
    if (session != NULL) {
        store_batch(source, session, batch, n);
        return;
    }
    for (struct fb_link *l; (l = fb_list_pop_front(batch)) != NULL;) {
        struct fb_store_group *group = fb_member_of(l, struct fb_store_group, link);
        group->status = FB_DOWN;
        group->decided_by = group->nitems;
        for (size_t i = 0; i < group->nitems; i++) {
            group->items[i].status = FB_DOWN;
            group->items[i].after = text_value(err.text);
        }
        fb_txn_stored(group, fb_clock_now());
    }
}

void fb_store_here(struct fb_source *source, struct fb_link *groups, unsigned n) {
    store_batch(source, source->caller_session, groups, n);
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

void fb_carry_out(struct fb_cache *cache, struct fb_effects *fx, enum fb_run run) {
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
