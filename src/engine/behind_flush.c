/* The flusher: brings the oldest batch to the database, again and again until it is there. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/behind.h"
#include "rows/change.h"

enum {
    RETRY_MIN_MS = 50,
    RETRY_MAX_MS = 5000,     /* also how often a partition that was stopped is tried again */
    CLAIM_EVERY_MS = 1000,   /* of a partition that another owns */
    POISON_WINDOW_MS = 60000,
    FORGET_AT_ONCE = 4096,   /* copies of a dependent keyspace, in one step */
};

/* ---- one batch ---- */

/* As the driver wants it. */
struct load {
    struct fb_flush flush;
    struct fb_flush_item *items;
    struct fb_plan **plans;
};

static void unload(struct load *load) {
    for (size_t i = 0; load->items != NULL && i < load->flush.n; i++) {
        fb_value_unref(load->items[i].error);
        fb_plan_free(load->plans[i]);
    }
    fb_mem_free(load->items);
}

static fb_status plan_row(struct fb_behind *behind, const struct fb_dirty_row *row, struct fb_flush_item *item,
                          struct fb_plan **ret_plan, fb_err *err) {
    const struct fb_keyspace *keyspace = behind->cache->keyspaces[row->keyspace];
    struct fb_change change;
    if (!fb_change_parse(fb_value_bytes(row->change), &change))
        return fb_fail(err, FB_CONFIG, "a pending change cannot be read");
    fb_status status = fb_change_plan(behind->source->ops->mapping(keyspace->binding), fb_dirty_row_key(row), &change,
                                      ret_plan, err);
    *item = (struct fb_flush_item){.binding = keyspace->binding, .key = fb_dirty_row_key(row), .plan = *ret_plan,
                                   .seq = row->last_seq, .record = fb_value_bytes(row->change)};
    return status;
}

static unsigned rows_per_statement(const struct fb_behind *behind, const struct fb_dirty_batch *batch) {
    unsigned rows = 0;
    for (const struct fb_link *l = batch->rows.next; l != &batch->rows; l = l->next) {
        const struct fb_dirty_row *row = fb_member_of(l, struct fb_dirty_row, link);
        unsigned own = behind->cache->keyspaces[row->keyspace]->options.flush_batch;
        own = own > 0 ? own : FB_FLUSH_BATCH;
        rows = rows == 0 || own < rows ? own : rows;
    }
    return behind->rows_most > 0 && behind->rows_most < rows ? behind->rows_most : rows;
}

static fb_status make_load(struct fb_behind *behind, const struct fb_dirty_batch *batch, struct load *load, fb_err *err) {
    size_t n = 0;
    fb_status status = FB_OK;
    char *room = fb_mem_calloc(batch->nrows + 1, sizeof *load->items + sizeof *load->plans);
    if (room == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    load->items = (void *)room;
    load->plans = (void *)(room + (batch->nrows + 1) * sizeof *load->items);
    for (const struct fb_link *l = batch->rows.next; l != &batch->rows && status == FB_OK; l = l->next, n++)
        status = plan_row(behind, fb_member_of(l, struct fb_dirty_row, link), &load->items[n], &load->plans[n], err);
    load->flush = (struct fb_flush){
        .part = behind->source->name, .epoch = behind->epoch, .prev_seq = behind->applied_seq,
        .next_seq = batch->last_seq, .items = load->items, .n = n,
        .rows_per_statement = rows_per_statement(behind, batch)};
    return status;
}

static bool connect(struct fb_behind *behind, fb_err *err) {
    const struct fb_source *source = behind->source;
    if (behind->session == NULL &&
        source->ops->session_open(source->driver, /* is_writer = */ true, &behind->session, err) != FB_OK)
        behind->session = NULL;
    return behind->session != NULL;
}

static void disconnect(struct fb_behind *behind) {
    if (behind->session != NULL)
        behind->source->ops->session_close(behind->session);
    behind->session = NULL;
}

static unsigned dead_allowed(struct fb_behind *behind, fb_instant now) {
    if (behind->minute.ns == FB_NEVER.ns || fb_since(now, behind->minute).ns > fb_ms(POISON_WINDOW_MS).ns) {
        behind->minute = now;
        behind->minute_dead = 0;
    }
    unsigned most = behind->options.dead_max;
    return behind->minute_dead < most ? most - behind->minute_dead : 0;
}

static enum fb_flush_outcome send(struct fb_behind *behind, const struct fb_dirty_batch *batch, struct load *load,
                                  fb_err *err) {
    *load = (struct load){.items = NULL};
    if (!connect(behind, err))
        return FB_FLUSH_TRANSIENT;
    fb_status status = make_load(behind, batch, load, err);
    if (status != FB_OK)
        return status == FB_CONFIG ? FB_FLUSH_SCHEMA : FB_FLUSH_TRANSIENT;
    load->flush.dead_max = dead_allowed(behind, fb_clock_now());
    return behind->source->ops->flush->flush(behind->session, &load->flush, err);
}

/* ---- what a flush leaves to be done ---- */

static void nothing(void *user, const fb_result *result) {
    (void)user;
    (void)result;
}

static void forget(struct fb_behind *behind, const struct fb_dirty_row *row) {
    fb_op op = {.kind = FB_OP_INVALIDATE, .key = fb_dirty_row_key(row)};
    fb_result result;
    if (fb_submit(behind->cache, &op, nothing, NULL, &result) != FB_PENDING)
        fb_result_release(&result);
}

/* Lists and the like show what the database has: what they showed before is old now. */
static void forget_dependents(struct fb_behind *behind, const struct fb_dirty_batch *batch) {
    struct fb_cache *cache = behind->cache;
    bool is_done[FB_ROUTER_KEYSPACES_MAX] = {false};
    uint16_t last = UINT16_MAX;
    for (const struct fb_link *l = batch->rows.next; l != &batch->rows; l = l->next) {
        const struct fb_dirty_row *row = fb_member_of(l, struct fb_dirty_row, link);
        if (row->keyspace == last)
            continue;
        last = row->keyspace;
        for (unsigned i = 0; i < cache->nkeyspaces; i++) {
            uint64_t cursor = 0, dropped = 0;
            if (is_done[i] || i == last || !fb_keyspace_depends(cache->keyspaces[i], cache->keyspaces[last]))
                continue;
            is_done[i] = true;
            do
                cursor = fb_invalidate_keyspace(cache, i, cursor, FORGET_AT_ONCE, &dropped);
            while (cursor != 0);
        }
    }
}

/* Does the database show row i otherwise than we did? When it is an earlier attempt that it has (`is_known` is false),
 * nobody can say any more which rows that one had to leave out. */
static bool is_corrected(const struct fb_dirty_row *row, const struct load *load, size_t i, bool is_known) {
    return !row->is_certain || !is_known || load->items[i].status != FB_OK;
}

/* What is put on top of such a row is in doubt as well, also by writers that are under way and know nothing of it: they see
 * that `corrections` has grown. With the lock held, after the batch has left the map, and again when its copies are gone. */
static void doubt(struct fb_behind *behind, const struct fb_dirty_batch *batch, const struct load *load, bool is_known) {
    bool is_any = false;
    size_t i = 0;
    for (const struct fb_link *l = batch->rows.next; l != &batch->rows; l = l->next, i++) {
        const struct fb_dirty_row *row = fb_member_of(l, struct fb_dirty_row, link);
        if (!is_corrected(row, load, i, is_known))
            continue;
        fb_dirty_doubt(behind->dirty, row->hash, fb_dirty_row_key(row));
        is_any = true;
    }
    behind->corrections += is_any;
}

/* The database has the batch: what it shows otherwise than we did is forgotten, at once or when nothing more waits. */
static void clean_up(struct fb_behind *behind, const struct fb_dirty_batch *batch, const struct load *load, bool is_known) {
    size_t i = 0;
    for (const struct fb_link *l = batch->rows.next; l != &batch->rows; l = l->next, i++) {
        const struct fb_dirty_row *row = fb_member_of(l, struct fb_dirty_row, link);
        bool is_dead = !is_known || load->items[i].status != FB_OK;
        if (is_dead || (!row->is_certain && row->entry == NULL))
            forget(behind, row);
    }
    forget_dependents(behind, batch);
}

/* With the lock held, which is let go meanwhile. */
static void applied(struct fb_behind *behind, struct load *load, bool is_known) {
    struct fb_link over = FB_LIST_INIT(over);
    struct fb_dirty_batch *batch = fb_behind_commit(behind);
    doubt(behind, batch, load, is_known);
    behind->applied_seq = batch->last_seq;
    behind->flushed_rows += batch->nrows;
    behind->flushed_writes += batch->nwrites;
    behind->flushes++;
    if (behind->rows_most > 0) /* it may have been a lock: carefully more again */
        behind->rows_most = behind->rows_most < FB_FLUSH_ROWS_MAX ? behind->rows_most + behind->rows_most / 8 + 1 : 0;
    behind->dead += load->flush.ndead;
    behind->minute_dead += (unsigned)load->flush.ndead;
    behind->failures = 0;
    behind->is_stopped = false;
    behind->trouble = (fb_err){0};
    fb_behind_changed(behind);
    if (behind->is_draining)
        fb_cond_broadcast(&behind->changed);
    fb_behind_settle(behind, (fb_instant){INT64_MIN}, &over);
    uint64_t applied_seq = behind->applied_seq;
    fb_lock_release(&behind->lock);
    fb_journal_release(behind->journal, applied_seq);
    clean_up(behind, batch, load, is_known);
    fb_lock_acquire(&behind->lock);
    doubt(behind, batch, load, is_known);
    fb_lock_release(&behind->lock);
    fb_dirty_batch_free(batch);
    fb_behind_tell(behind, &over);
    fb_lock_acquire(&behind->lock);
}

static void failed(struct fb_behind *behind, enum fb_flush_outcome outcome, const fb_err *err) {
    behind->failures++;
    behind->trouble = *err;
    if (behind->trouble.status == FB_OK)
        (void)fb_fail(&behind->trouble, FB_SOURCE, "%s", fb_flush_outcome_name(outcome));
    behind->retries++;
    switch (outcome) {
    case FB_FLUSH_FENCED:
        behind->state = FB_BEHIND_FENCED;
        behind->is_ours = false;
        behind->owner = (struct fb_partition){.owner = "another process"}; /* until it is asked who */
        break;
    case FB_FLUSH_SCHEMA:
    case FB_FLUSH_PERMISSION:
    case FB_FLUSH_DATA:
    case FB_FLUSH_ASTRAY:
        behind->is_stopped = true;
        break;
    default:
        break;
    }
}

static fb_span pause_after(unsigned failures, bool is_stopped, uint64_t draw) {
    int64_t ms = is_stopped || failures > 7 ? RETRY_MAX_MS : (int64_t)RETRY_MIN_MS << (failures - 1);
    ms = ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
    return fb_ms(ms / 2 + (int64_t)(draw % (uint64_t)(ms / 2 + 1)));
}

/* The partition has changed hands. Ours from now on: copies are kept again, but none of a load that began while it was
 * another's. Not ours any more: nobody would tell us what becomes of them. */
static void forget_own(struct fb_behind *behind) {
    struct fb_cache *cache = behind->cache;
    for (unsigned i = 0; i < cache->nkeyspaces; i++) {
        const struct fb_keyspace *keyspace = cache->keyspaces[i];
        uint64_t cursor = 0, dropped = 0;
        if (keyspace->source != behind->source || keyspace->options.write != FB_WRITE_BEHIND)
            continue;
        do
            cursor = fb_invalidate_keyspace(cache, i, cursor, FORGET_AT_ONCE, &dropped);
        while (cursor != 0);
    }
}

/* With the lock held, which is let go meanwhile: who waits for the database waits in vain. */
static void fenced(struct fb_behind *behind) {
    struct fb_link over = FB_LIST_INIT(over);
    fb_behind_settle(behind, FB_NEVER, &over);
    fb_lock_release(&behind->lock);
    fb_behind_tell(behind, &over);
    forget_own(behind);
    fb_lock_acquire(&behind->lock);
}

/* Without the lock: the watermark is not where we left it. Where it is behind that, the database has lost commits: they are
 * made again. */
static bool goes_back(struct fb_behind *behind, const struct fb_flush *flush, bool is_fenced, fb_err *err) {
    *err = (fb_err){0};
    if (!is_fenced && flush->applied_seq >= flush->prev_seq) {
        (void)fb_fail(err, FB_CONFLICT, "the watermark of partition '%s' is %llu, and should be %llu: somebody else has moved it",
                      flush->part, (unsigned long long)flush->applied_seq, (unsigned long long)flush->prev_seq);
        return false;
    }
    fb_status status = is_fenced ? fb_behind_claim_back(behind, err) : fb_behind_go_back(behind, flush->applied_seq, err);
    if (status != FB_OK) {
        (void)fb_err_prefix(err, "the database has gone back to an older state, and cannot be brought forward again (docs/journal.md): ");
        return false;
    }
    forget_own(behind); /* what was loaded since may be older than what was acknowledged */
    return true;
}

/* With the lock held, which is let go meanwhile. */
static void flush_one(struct fb_behind *behind, const struct fb_dirty_batch *batch, fb_instant *retry_at, struct fb_rng *rng) {
    struct load load;
    fb_err err = {0};
    bool is_fenced = false;
    behind->sent_seq = batch->last_seq;
    fb_lock_release(&behind->lock);
    enum fb_flush_outcome outcome = send(behind, batch, &load, &err);
    if (outcome != FB_FLUSH_APPLIED && outcome != FB_FLUSH_ALREADY) /* what a person puts right, a new connection sees */
        disconnect(behind);
    fb_err why = {0};
    if (outcome == FB_FLUSH_FENCED && (!connect(behind, &why) || fb_behind_look_before(behind, &is_fenced, &why) != FB_OK)) {
        outcome = FB_FLUSH_TRANSIENT; /* whose it is now cannot be said: it is found fenced again */
        err = why;
    } else if (is_fenced) {
        outcome = FB_FLUSH_ASTRAY;
    }
    bool is_again = outcome == FB_FLUSH_ASTRAY && goes_back(behind, &load.flush, is_fenced, &err);
    fb_lock_acquire(&behind->lock);
    if (load.items != NULL && err.status == FB_TIMEOUT)
        behind->rows_most = load.flush.rows_per_statement;
    if (outcome == FB_FLUSH_APPLIED || outcome == FB_FLUSH_ALREADY) {
        applied(behind, &load, outcome == FB_FLUSH_APPLIED);
    } else if (!is_again) {
        failed(behind, outcome, &err);
        if (outcome == FB_FLUSH_FENCED)
            fenced(behind);
        *retry_at = fb_after(fb_clock_now(), pause_after(behind->failures, behind->is_stopped, fb_rng_next(rng)));
    }
    unload(&load);
}

/* ---- the thread ---- */

static void wait_until(struct fb_behind *behind, fb_instant due) {
    behind->wakes = due;
    if (due.ns == FB_NEVER.ns)
        fb_cond_wait(&behind->changed, &behind->lock);
    else
        fb_cond_wait_until(&behind->changed, &behind->lock, due);
    behind->wakes = (fb_instant){INT64_MIN};
}

static void claim_again(struct fb_behind *behind, fb_instant *retry_at) {
    fb_err err = {0};
    if (behind->writing > 0) { /* what the journal has of ours comes into the map first */
        *retry_at = fb_after(fb_clock_now(), fb_ms(RETRY_MIN_MS));
        return;
    }
    fb_lock_release(&behind->lock);
    bool is_known = connect(behind, &err) && fb_behind_take(behind, &err) == FB_OK;
    if (!is_known)
        disconnect(behind);
    if (behind->state == FB_BEHIND_OWNER)
        forget_own(behind);
    fb_lock_acquire(&behind->lock);
    behind->trouble = err;
    *retry_at = fb_after(fb_clock_now(), fb_ms(CLAIM_EVERY_MS));
}

/* Flush without waiting for the time to come? */
static bool is_asked(const struct fb_behind *behind) {
    return behind->is_draining || behind->asked_seq > behind->applied_seq ||
           atomic_load_explicit(&behind->pending_bytes, memory_order_relaxed) > behind->options.soft_bytes / 2;
}

void *fb_behind_flusher(void *arg) {
    struct fb_behind *behind = arg;
    struct fb_rng rng;
    fb_instant retry_at = {INT64_MIN};
    fb_rng_system(&rng.state, sizeof rng.state);
    fb_lock_acquire(&behind->lock);
    while (!behind->is_ending) {
        fb_instant now = fb_clock_now();
        if (!fb_list_is_empty(&behind->asks)) {
            fb_behind_serve_asks(behind);
            continue;
        }
        if (!fb_reached(now, retry_at)) {
            wait_until(behind, retry_at);
            continue;
        }
        if (!fb_behind_may_keep(behind) && !behind->is_draining) {
            claim_again(behind, &retry_at);
            continue;
        }
        struct fb_dirty_batch *batch = NULL;
        if (behind->state == FB_BEHIND_OWNER || behind->state == FB_BEHIND_BROKEN)
            batch = fb_dirty_next(fb_behind_first(behind), now, behind->past != NULL || is_asked(behind));
        if (batch != NULL)
            flush_one(behind, batch, &retry_at, &rng);
        else if (behind->is_draining && behind->is_ours && behind->state == FB_BEHIND_OWNER && behind->writing == 0)
            fb_behind_let_go(behind);
        else
            wait_until(behind, fb_behind_may_keep(behind) ? fb_dirty_due(behind->dirty) : FB_NEVER);
    }
    fb_lock_release(&behind->lock);
    return NULL;
}
