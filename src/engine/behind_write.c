/* The way of a write into the journal: admitted, decided, appended, pending. */
#include "engine/behind.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "source/group.h"

/* A row that has to be read before it can be decided. */
struct fb_row_read {
    struct fb_read read;
    struct fb_behind_way *way;
    size_t key;
    bool is_over;
};

/* ---- may it begin? ---- */

static const char *const refusals[] = {
    [FB_BEHIND_CLOSED] = "write-behind was not started",
    [FB_BEHIND_BROKEN] = "the journal has failed; restart Forebay when its disk is well",
    [FB_BEHIND_FENCED] = "the partition was taken over by another process",
};

/* How far between two limits, 0 … 1. */
static double between(double now, double soft, double hard) {
    if (now <= soft)
        return 0;
    return now >= hard ? 1 : (now - soft) / (hard - soft);
}

static double pressure(const struct fb_behind *behind, fb_instant now) {
    const fb_behind_options *o = &behind->options;
    int64_t since = atomic_load_explicit(&behind->pending_since, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&behind->pending_bytes, memory_order_relaxed);
    double age = since == INT64_MAX ? 0 : (double)fb_since(now, (fb_instant){since}).ns / FB_NS_PER_MS;
    double by_age = between(age, (double)o->soft_ms, (double)o->hard_ms);
    double by_bytes = between((double)bytes, (double)o->soft_bytes, (double)o->hard_bytes);
    return by_age > by_bytes ? by_age : by_bytes;
}

static fb_status refuse(const struct fb_behind *behind, fb_err *err) {
    if (behind->is_draining)
        return fb_fail(err, FB_CLOSED, "source '%s' is being drained: no more writes are accepted", behind->source->name);
    if (behind->state == FB_BEHIND_ELSEWHERE)
        return fb_fail(err, FB_NOTOWNER, "partition '%s' is owned by %s; write there", behind->source->name,
                       behind->owner.addr[0] != '\0' ? behind->owner.addr : behind->owner.owner);
    if (behind->state == FB_BEHIND_FENCED)
        return fb_fail(err, FB_NOTOWNER, "source '%s': %s: %s", behind->source->name, refusals[FB_BEHIND_FENCED],
                       behind->trouble.text);
    return fb_fail(err, FB_DIRTY, "source '%s': %s", behind->source->name, refusals[behind->state]);
}

fb_status fb_behind_admit(struct fb_behind_way *way, void (*go)(struct fb_behind_way *way), fb_err *err) {
    struct fb_behind *behind = way->behind;
    fb_instant now = fb_clock_now();
    double p = pressure(behind, now);
    fb_status status = FB_OK;
    fb_lock_acquire(&behind->lock);
    way->corrections = behind->corrections;
    if (behind->state != FB_BEHIND_OWNER || behind->is_draining) {
        status = refuse(behind, err);
    } else if (p >= 1) {
        way->is_full = true;
        struct fb_dirty_figures figures = fb_dirty_figures(behind->dirty);
        status = fb_fail(err, FB_DIRTY, "source '%s' has %zu writes waiting to be flushed (%zu bytes, the oldest for "
                         "%lldms)%s%s", behind->source->name, figures.writes, figures.bytes,
                         (long long)fb_span_ms(fb_since(now, figures.since)),
                         behind->trouble.status != FB_OK ? ": " : "", behind->trouble.text);
    } else if (p > 0 || behind->releasing > 0 || !fb_list_is_empty(&behind->delayed)) {
        way->done = go;
        way->due = fb_after(now, fb_ms((int64_t)(p * FB_BEHIND_DELAY_MAX_MS)));
        if (!fb_list_is_empty(&behind->delayed)) { /* writes of one connection keep their order */
            fb_instant last = fb_member_of(behind->delayed.prev, struct fb_behind_way, link)->due;
            way->due = fb_before(way->due, last) ? last : way->due;
        }
        fb_list_push_back(&behind->delayed, &way->link);
        status = FB_PENDING;
    }
    fb_lock_release(&behind->lock);
    return status;
}

/* ---- room ---- */

fb_status fb_behind_way_init(struct fb_behind_way *way, struct fb_store_group *group, size_t nkeys) {
    size_t rows = nkeys * sizeof(struct fb_behind_key), of = rows + nkeys * sizeof(struct fb_known);
    size_t reads = of + group->nitems * sizeof(struct fb_known *);
    char *room = fb_mem_calloc(1, reads + nkeys * sizeof(struct fb_row_read));
    if (room == NULL)
        return FB_NOMEM;
    way->group = group;
    way->keys = (void *)room;
    way->rows = (void *)(room + rows);
    way->of = (void *)(room + of);
    way->reads = (void *)(room + reads);
    way->nkeys = nkeys;
    fb_list_init(&way->unit);
    fb_list_init(&way->joined);
    fb_list_init(&way->link);
    return FB_OK;
}

void fb_behind_way_free(struct fb_behind_way *way) {
    for (size_t i = 0; way->keys != NULL && i < way->nkeys; i++) {
        fb_value_unref(way->rows[i].value);
        fb_value_unref(way->rows[i].change);
    }
    fb_mem_free(way->keys);
    way->keys = NULL;
}

/* ---- written down ---- */

static void forget_changes(struct fb_behind_way *way) {
    for (size_t i = 0; i < way->nkeys; i++) {
        fb_value_unref(way->rows[i].change);
        way->rows[i].change = NULL;
    }
}

/* Nothing of it is written down. Whoever joined fails alike: it was decided on what this one did. */
static void answer(struct fb_behind_way *way, fb_status status, const char *text) {
    fb_err err = {0};
    (void)fb_fail(&err, status, "%s", text);
    fb_group_refuse(way->group, status, &err);
    for (struct fb_link *l = way->joined.next; l != &way->joined; l = l->next)
        fb_group_refuse(fb_member_of(l, struct fb_behind_way, link)->group, status, &err);
    forget_changes(way);
    way->done(way);
}

/* One unit less on its way. With the lock held. */
static void note_written(struct fb_behind *behind) {
    if (--behind->writing == 0 && behind->is_draining)
        fb_cond_broadcast(&behind->changed);
}

static void unwritten(struct fb_behind *behind) {
    fb_lock_acquire(&behind->lock);
    note_written(behind);
    fb_lock_release(&behind->lock);
}

/* On the journal's thread. */
static void written(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq) {
    struct fb_behind_way *way = user;
    struct fb_behind *behind = way->behind;
    if (status != FB_OK) {
        fb_dirty_give_up(&way->unit);
        fb_lock_acquire(&behind->lock);
        if (status != FB_BUSY)
            behind->state = FB_BEHIND_BROKEN;
        note_written(behind);
        fb_cond_broadcast(&behind->changed);
        fb_lock_release(&behind->lock);
        if (status == FB_UNKNOWN)
            answer(way, FB_UNKNOWN, "the journal could not be synced");
        else
            answer(way, FB_DIRTY, status == FB_BUSY ? "the disk of the journal is full" : refusals[FB_BEHIND_BROKEN]);
        return;
    }
    fb_lock_acquire(&behind->lock);
    if (way->corrections != behind->corrections)
        fb_dirty_doubt_unit(&way->unit);
    fb_dirty_put(behind->dirty, &way->unit, first_seq, fb_clock_now());
    behind->put_seq = last_seq;
    behind->joined += way->njoined;
    note_written(behind);
    fb_behind_changed(behind);
    fb_lock_release(&behind->lock);
    way->done(way);
}

static int64_t interval_ms(const struct fb_keyspace *keyspace) {
    return keyspace->options.flush_interval_ms > 0 ? keyspace->options.flush_interval_ms : FB_FLUSH_INTERVAL_MS;
}

static fb_status prepare(struct fb_behind_way *way, struct fb_journal_record *records) {
    struct fb_behind *behind = way->behind;
    fb_status status = FB_OK;
    size_t n = 0;
    fb_lock_acquire(&behind->lock);
    if (behind->is_over || !fb_behind_may_keep(behind))
        status = behind->is_over ? FB_CLOSED : FB_NOTOWNER;
    for (size_t i = 0; i < way->nkeys && status == FB_OK; i++) {
        const struct fb_known *row = &way->rows[i];
        const struct fb_behind_key *key = &way->keys[i];
        if (row->change == NULL)
            continue;
        struct fb_dirty_write write = {
            .hash = key->hash, .keyspace = key->keyspace->id, .key = key->key, .change = row->change,
            .is_certain = row->is_certain, .shows = row->shows, .full = row->shows == FB_OK ? row->value : NULL,
            .joined = way->njoined, .interval = fb_ms(interval_ms(key->keyspace))};
        status = fb_dirty_prepare(behind->dirty, &write, &way->unit);
        records[n++] = (struct fb_journal_record){FB_BEHIND_CHANGE, key->key, fb_value_bytes(row->change)};
    }
    behind->writing += status == FB_OK && n > 0;
    fb_lock_release(&behind->lock);
    way->nchanged = n;
    return status;
}

static void append(struct fb_behind_way *way) {
    enum { RECORDS_HERE = 16 };
    struct fb_journal_record here[RECORDS_HERE], *records = here;
    fb_err err = {0};
    if (way->nkeys > RECORDS_HERE)
        records = fb_mem_alloc(way->nkeys * sizeof *records);
    fb_status status = records != NULL ? prepare(way, records) : FB_NOMEM;
    if (status == FB_OK && way->nchanged > 0) {
        struct fb_behind *behind = way->behind;
        status = fb_journal_append(behind->journal, records, way->nchanged, written, way, &err);
        if (status != FB_PENDING)
            unwritten(behind);
    }
    if (records != here)
        fb_mem_free(records); /* and the way may be gone as well */
    if (status == FB_PENDING)
        return;
    fb_dirty_give_up(&way->unit);
    if (status == FB_OK)
        way->done(way); /* nothing changes */
    else
        answer(way, status == FB_BUSY || status == FB_DOWN ? FB_DIRTY : status,
               err.text[0] != '\0' ? err.text : fb_status_text(status));
}

/* ---- writers that share a record ---- */

/* What a row shows, and its change, in exchange. */
static void exchange(struct fb_known *x, struct fb_known *y) {
    struct fb_known was = *x;
    x->shows = y->shows, x->value = y->value, x->change = y->change, x->is_certain = y->is_certain;
    y->shows = was.shows, y->value = was.value, y->change = was.change, y->is_certain = was.is_certain;
}

/* Writers that wait for the key are decided on the row as the ones before leave it, and go into the same record: else a key
 * would take one write per sync of the journal. One that is refused leaves the row as it was. */
static void take_in(struct fb_behind_way *way) {
    struct fb_behind_way *next;
    for (unsigned n = 0; n < FB_BEHIND_JOINED_MAX && (next = way->next(way)) != NULL; n++) {
        struct fb_known *row = &next->rows[0];
        row->shows = way->rows[0].shows;
        row->value = fb_value_ref(way->rows[0].value);
        row->change = fb_value_ref(way->rows[0].change);
        row->is_certain = way->rows[0].is_certain;
        fb_decide(next->group, next->of);
        fb_list_push_back(&way->joined, &next->link);
        if (next->group->status != FB_OK)
            continue;
        exchange(&way->rows[0], row);
        way->njoined++;
    }
}

static void decide(struct fb_behind_way *way) {
    fb_decide(way->group, way->of);
    if (way->group->status == FB_OK) {
        take_in(way);
        append(way);
        return;
    }
    forget_changes(way);
    way->done(way);
}

/* ---- rows that have to be read first ---- */

static void take_row(struct fb_behind_way *way, size_t key, fb_status status, struct fb_value *value) {
    struct fb_known *row = &way->rows[key];
    row->shows = status;
    row->value = value;
    way->keys[key].born = fb_clock_now();
}

static void row_over(struct fb_behind_way *way) {
    if (atomic_fetch_sub(&way->open, 1) != 1)
        return;
    for (size_t i = 0; i < way->nkeys; i++) {
        const struct fb_waiter *waiter = &way->reads[i].read.waiter;
        if (!way->reads[i].is_over)
            continue;
        if (waiter->status >= 0) {
            take_row(way, i, waiter->status, waiter->value);
            continue;
        }
        fb_err err = {0};
        fb_bytes text = fb_value_bytes(waiter->value);
        (void)fb_fail(&err, waiter->status, "%.*s", (int)text.len, text.data != NULL ? text.data : "");
        fb_value_unref(waiter->value);
        for (size_t k = i + 1; k < way->nkeys; k++)
            if (way->reads[k].is_over)
                fb_value_unref(way->reads[k].read.waiter.value);
        fb_group_refuse(way->group, waiter->status, &err);
        way->done(way);
        return;
    }
    decide(way);
}

static void row_read(struct fb_read *read) {
    struct fb_row_read *row = fb_member_of(read, struct fb_row_read, read);
    struct fb_cache *cache = read->cache;
    row->is_over = true;
    row_over(row->way);
    fb_cache_op_end(cache);
}

/* The ordinary read, of a key that we have marked ourselves: nothing is kept, and nobody changes the row meanwhile. */
static void read_row(struct fb_behind_way *way, size_t key) {
    struct fb_row_read *row = &way->reads[key];
    struct fb_keyspace *keyspace = way->keys[key].keyspace;
    struct fb_effects fx;
    fb_buf copy = FB_BUF_INIT;
    fb_kind kind = FB_KIND_NONE;
    fb_effects_init(&fx);
    row->way = way;
    row->read.finish = row_read;
    atomic_fetch_add(&way->open, 1);
    fb_status status = fb_read_begin(&row->read, keyspace, way->keys[key].key, &copy, &kind, &fx);
    if (status != FB_PENDING) {
        row->is_over = true;
        row->read.waiter.status = status;
        row->read.waiter.value = status == FB_OK ? fb_value_new(kind, copy.data, copy.len) : NULL;
        if (status == FB_OK && row->read.waiter.value == NULL)
            row->read.waiter.status = FB_NOMEM;
    }
    fb_buf_free(&copy);
    fb_carry_out(way->behind->cache, &fx, FB_RUN_LANES);
    if (status != FB_PENDING)
        row_over(way);
}

/* What is known of the rows without reading them: what waits for them, else what the marks hide. */
static void look(struct fb_behind_way *way) {
    struct fb_behind *behind = way->behind;
    fb_instant now = fb_clock_now();
    fb_lock_acquire(&behind->lock);
    for (size_t i = 0; i < way->nkeys; i++) {
        struct fb_behind_key *key = &way->keys[i];
        struct fb_known *row = &way->rows[i];
        const struct fb_dirty_entry *entry = fb_dirty_find(behind->dirty, key->hash, key->key);
        bool is_pending = entry != NULL && entry->shows != FB_MISS;
        row->shows = is_pending ? entry->shows : key->writer->shown;
        row->value = fb_value_ref(is_pending ? entry->full : key->writer->value);
        key->born = key->writer->shown == FB_MISS ? now : key->writer->born;
    }
    fb_lock_release(&behind->lock);
}

void fb_behind_go(struct fb_behind_way *way, struct fb_behind_way *(*next)(struct fb_behind_way *way),
                  void (*done)(struct fb_behind_way *way)) {
    way->next = next;
    way->done = done;
    look(way);
    atomic_store(&way->open, 1); /* for this loop, so that it cannot end early */
    size_t nkeys = way->nkeys;
    for (size_t i = 0; i < nkeys; i++)
        if (way->rows[i].shows == FB_MISS && fb_decide_needs(way->group, way->of, &way->rows[i]))
            read_row(way, i);
    row_over(way);
}
