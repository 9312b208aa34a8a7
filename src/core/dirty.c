/* The dirty map: entries in a chained hash table, rows in batches. */
#include "core/dirty.h"

#include <string.h>

#include "base/mem.h"

enum { BUCKETS_MIN = 64 };

struct fb_dirty {
    struct fb_dirty_options options;
    struct fb_dirty_entry **buckets; /* a power of two; chains grow where there is no memory for more */
    size_t nbuckets, nentries;
    struct fb_link batches;          /* the oldest first; the last one is open */
    size_t bytes, nrows, nwrites;
};

struct fb_dirty_put {
    struct fb_link link;
    struct fb_dirty_write write;     /* key: the row's */
    struct fb_dirty_row *row;        /* if the open batch has none */
    struct fb_dirty_entry *entry;    /* if the map has none */
    struct fb_value *for_row;        /* merged with the row that the open batch had; or NULL */
    struct fb_value *for_entry;      /* merged with the entry that there was; or NULL */
};

/* ---- making and freeing ---- */

static struct fb_dirty_batch *new_batch(void) {
    struct fb_dirty_batch *batch = fb_mem_calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    fb_list_init(&batch->link);
    fb_list_init(&batch->rows);
    batch->since = batch->due = FB_NEVER;
    return batch;
}

struct fb_dirty *fb_dirty_create(const struct fb_dirty_options *options) {
    struct fb_dirty *dirty = fb_mem_calloc(1, sizeof *dirty);
    if (dirty == NULL)
        return NULL;
    dirty->options = *options;
    dirty->nbuckets = BUCKETS_MIN;
    dirty->buckets = fb_mem_calloc(BUCKETS_MIN, sizeof(struct fb_dirty_entry *));
    fb_list_init(&dirty->batches);
    struct fb_dirty_batch *open = new_batch();
    if (dirty->buckets == NULL || open == NULL) {
        fb_mem_free(open);
        return fb_dirty_destroy(dirty);
    }
    fb_list_push_back(&dirty->batches, &open->link);
    return dirty;
}

static void free_entry(struct fb_dirty_entry *entry) {
    if (entry == NULL)
        return;
    fb_value_unref(entry->change);
    fb_value_unref(entry->full);
    fb_mem_free(entry);
}

static void free_row(struct fb_dirty_row *row) {
    if (row == NULL)
        return;
    fb_value_unref(row->change);
    fb_mem_free(row);
}

void fb_dirty_batch_free(struct fb_dirty_batch *batch) {
    for (struct fb_link *l; (l = fb_list_pop_front(&batch->rows)) != NULL;)
        free_row(fb_member_of(l, struct fb_dirty_row, link));
    fb_mem_free(batch);
}

struct fb_dirty *fb_dirty_destroy(struct fb_dirty *dirty) {
    if (dirty == NULL)
        return NULL;
    for (size_t i = 0; dirty->buckets != NULL && i < dirty->nbuckets; i++)
        for (struct fb_dirty_entry *entry = dirty->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->chain;
            free_entry(entry);
        }
    for (struct fb_link *l; (l = fb_list_pop_front(&dirty->batches)) != NULL;)
        fb_dirty_batch_free(fb_member_of(l, struct fb_dirty_batch, link));
    fb_mem_free(dirty->buckets);
    fb_mem_free(dirty);
    return NULL;
}

/* ---- by key ---- */

static struct fb_dirty_entry **place_of(const struct fb_dirty *dirty, uint64_t hash, fb_bytes key) {
    struct fb_dirty_entry **place = &dirty->buckets[hash & (dirty->nbuckets - 1)];
    while (*place != NULL && ((*place)->hash != hash || (*place)->key_len != key.len ||
                              memcmp((*place)->key, key.data, key.len) != 0))
        place = &(*place)->chain;
    return place;
}

const struct fb_dirty_entry *fb_dirty_find(const struct fb_dirty *dirty, uint64_t hash, fb_bytes key) {
    return dirty->nentries > 0 ? *place_of(dirty, hash, key) : NULL;
}

static void grow(struct fb_dirty *dirty) {
    size_t n = dirty->nbuckets * 2;
    struct fb_dirty_entry **buckets = dirty->nentries >= dirty->nbuckets ? fb_mem_calloc(n, sizeof *buckets) : NULL;
    if (buckets == NULL)
        return;
    for (size_t i = 0; i < dirty->nbuckets; i++)
        for (struct fb_dirty_entry *entry = dirty->buckets[i], *next; entry != NULL; entry = next) {
            struct fb_dirty_entry **place = &buckets[entry->hash & (n - 1)];
            next = entry->chain;
            entry->chain = *place;
            *place = entry;
        }
    fb_mem_free(dirty->buckets);
    dirty->buckets = buckets;
    dirty->nbuckets = n;
}

/* ---- what it takes ---- */

static size_t value_bytes(const struct fb_value *value) { return value != NULL ? sizeof *value + value->len : 0; }

static size_t entry_bytes(const struct fb_dirty_entry *entry) {
    return sizeof *entry + entry->key_len + value_bytes(entry->change) + value_bytes(entry->full);
}

/* As if rows shared nothing with entries: a bound that is reached a little early. */
static size_t row_bytes(const struct fb_dirty_row *row) {
    return sizeof *row + row->key_len + value_bytes(row->change);
}

/* ---- writing ---- */

static struct fb_dirty_batch *open_batch(const struct fb_dirty *dirty) {
    return fb_member_of(dirty->batches.prev, struct fb_dirty_batch, link);
}

/* The row of an entry in the batch that is still open. */
static struct fb_dirty_row *open_row(const struct fb_dirty *dirty, const struct fb_dirty_entry *entry) {
    if (entry == NULL)
        return NULL;
    struct fb_dirty_row *row = fb_member_of(entry->rows.prev, struct fb_dirty_row, of_key);
    return row->batch == open_batch(dirty) ? row : NULL;
}

static void free_put(struct fb_dirty_put *put) {
    fb_value_unref(put->write.change);
    fb_value_unref(put->write.full);
    fb_value_unref(put->for_row);
    fb_value_unref(put->for_entry);
    free_row(put->row);
    free_entry(put->entry);
    fb_mem_free(put);
}

static bool merge_ahead(struct fb_dirty *dirty, struct fb_dirty_put *put) {
    const struct fb_dirty_entry *entry = fb_dirty_find(dirty, put->write.hash, put->write.key);
    if (entry == NULL)
        return true;
    put->for_entry = dirty->options.merge(entry->change, put->write.change);
    const struct fb_dirty_row *row = open_row(dirty, entry);
    if (row == NULL)
        return put->for_entry != NULL;
    put->for_row = row->change == entry->change ? fb_value_ref(put->for_entry)
                                                : dirty->options.merge(row->change, put->write.change);
    return put->for_entry != NULL && put->for_row != NULL;
}

fb_status fb_dirty_prepare(struct fb_dirty *dirty, const struct fb_dirty_write *write, struct fb_link *unit) {
    struct fb_dirty_put *put = fb_mem_calloc(1, sizeof *put);
    if (put == NULL)
        return FB_NOMEM;
    put->write = *write;
    put->write.change = fb_value_ref(write->change);
    put->write.full = fb_value_ref(write->full);
    put->row = fb_mem_calloc(1, sizeof *put->row + write->key.len);
    put->entry = fb_mem_calloc(1, sizeof *put->entry + write->key.len);
    fb_list_init(&put->link);
    if (put->row == NULL || put->entry == NULL) {
        free_put(put);
        return FB_NOMEM;
    }
    *put->row = (struct fb_dirty_row){.hash = write->hash, .keyspace = write->keyspace, .is_certain = true,
                                      .key_len = write->key.len};
    *put->entry = (struct fb_dirty_entry){.hash = write->hash, .keyspace = write->keyspace, .key_len = write->key.len};
    if (write->key.len > 0) {
        memcpy(put->row->key, write->key.data, write->key.len);
        memcpy(put->entry->key, write->key.data, write->key.len);
    }
    put->write.key = fb_dirty_row_key(put->row);
    if (!merge_ahead(dirty, put)) {
        free_put(put);
        return FB_NOMEM;
    }
    fb_list_push_back(unit, &put->link);
    return FB_OK;
}

void fb_dirty_give_up(struct fb_link *unit) {
    for (struct fb_link *l; (l = fb_list_pop_front(unit)) != NULL;)
        free_put(fb_member_of(l, struct fb_dirty_put, link));
}

void fb_dirty_doubt_unit(struct fb_link *unit) {
    for (struct fb_link *l = unit->next; l != unit; l = l->next)
        fb_member_of(l, struct fb_dirty_put, link)->write.is_certain = false;
}

static void replace(struct fb_value **place, struct fb_value *value) {
    struct fb_value *old = *place;
    *place = fb_value_ref(value);
    fb_value_unref(old);
}

static void put_entry(struct fb_dirty *dirty, struct fb_dirty_put *put) {
    struct fb_dirty_entry **place = place_of(dirty, put->write.hash, put->write.key), *entry = *place;
    bool is_new = entry == NULL;
    if (is_new) {
        entry = *place = put->entry;
        put->entry = NULL;
        fb_list_init(&entry->rows);
        dirty->nentries++;
    } else {
        dirty->bytes -= entry_bytes(entry);
    }
    replace(&entry->change, is_new ? put->write.change : put->for_entry);
    replace(&entry->full, put->write.full);
    entry->shows = put->write.shows;
    dirty->bytes += entry_bytes(entry);
}

static void put_row(struct fb_dirty *dirty, struct fb_dirty_put *put, uint64_t seq, fb_instant now) {
    struct fb_dirty_batch *batch = open_batch(dirty);
    struct fb_dirty_entry *entry = *place_of(dirty, put->write.hash, put->write.key);
    struct fb_dirty_row *row = fb_list_is_empty(&entry->rows) ? NULL : open_row(dirty, entry);
    size_t before = 0;
    if (row == NULL) {
        row = put->row;
        put->row = NULL;
        row->batch = batch;
        row->entry = entry;
        row->first_seq = seq;
        row->since = now;
        fb_list_push_back(&entry->rows, &row->of_key);
        fb_list_push_back(&batch->rows, &row->link);
        replace(&row->change, put->write.change);
        batch->nrows++;
        dirty->nrows++;
    } else {
        before = row_bytes(row);
        replace(&row->change, put->for_row); /* nobody has put this key since */
    }
    row->last_seq = seq;
    row->is_certain &= put->write.is_certain && !entry->is_doubted;
    batch->bytes += row_bytes(row) - before;
    dirty->bytes += row_bytes(row) - before;
}

static void note_write(struct fb_dirty_batch *batch, const struct fb_dirty_write *write, uint64_t seq, fb_instant now) {
    fb_instant due = fb_after(now, write->interval);
    if (batch->nwrites == 0) {
        batch->first_seq = seq;
        batch->since = now;
    }
    if (fb_before(due, batch->due))
        batch->due = due;
    batch->last_seq = seq;
    batch->nwrites += 1 + write->joined;
}

/* Where there is no memory for another, the batch goes on growing. */
static void seal(struct fb_dirty *dirty) {
    struct fb_dirty_batch *next = new_batch();
    if (next == NULL)
        return;
    open_batch(dirty)->is_sealed = true;
    fb_list_push_back(&dirty->batches, &next->link);
}

static size_t count(const struct fb_link *list) {
    size_t n = 0;
    for (const struct fb_link *l = list->next; l != list; l = l->next)
        n++;
    return n;
}

void fb_dirty_put(struct fb_dirty *dirty, struct fb_link *unit, uint64_t first_seq, fb_instant now) {
    const struct fb_dirty_batch *open = open_batch(dirty);
    if (open->nwrites > 0 &&
        (open->nrows + count(unit) > dirty->options.rows_max || open->bytes >= dirty->options.bytes_max))
        seal(dirty);
    uint64_t seq = first_seq;
    for (struct fb_link *l; (l = fb_list_pop_front(unit)) != NULL; seq++) {
        struct fb_dirty_put *put = fb_member_of(l, struct fb_dirty_put, link);
        put_entry(dirty, put);
        put_row(dirty, put, seq, now);
        note_write(open_batch(dirty), &put->write, seq, now);
        dirty->nwrites += 1 + put->write.joined;
        free_put(put);
    }
    grow(dirty);
}

/* ---- by order ---- */

static struct fb_dirty_batch *oldest_batch(const struct fb_dirty *dirty) {
    return fb_member_of(dirty->batches.next, struct fb_dirty_batch, link);
}

struct fb_dirty_batch *fb_dirty_next(struct fb_dirty *dirty, fb_instant now, bool is_asked) {
    struct fb_dirty_batch *batch = oldest_batch(dirty);
    if (batch->nwrites == 0)
        return NULL;
    if (!batch->is_sealed && (is_asked || fb_reached(now, batch->due)))
        seal(dirty);
    return batch->is_sealed ? batch : NULL;
}

fb_instant fb_dirty_due(const struct fb_dirty *dirty) {
    const struct fb_dirty_batch *batch = oldest_batch(dirty);
    return batch->is_sealed ? batch->since : batch->due;
}

static void leave(struct fb_dirty *dirty, struct fb_dirty_entry *entry) {
    struct fb_dirty_entry **place = place_of(dirty, entry->hash, fb_bytes_of(entry->key, entry->key_len));
    *place = entry->chain;
    dirty->nentries--;
    dirty->bytes -= entry_bytes(entry);
    free_entry(entry);
}

void fb_dirty_doubt(struct fb_dirty *dirty, uint64_t hash, fb_bytes key) {
    struct fb_dirty_entry *entry = *place_of(dirty, hash, key);
    if (entry == NULL)
        return;
    entry->is_doubted = true;
    for (struct fb_link *l = entry->rows.next; l != &entry->rows; l = l->next)
        fb_member_of(l, struct fb_dirty_row, of_key)->is_certain = false;
}

struct fb_dirty_batch *fb_dirty_commit(struct fb_dirty *dirty) {
    struct fb_dirty_batch *batch = oldest_batch(dirty);
    for (struct fb_link *l = batch->rows.next; l != &batch->rows; l = l->next) {
        struct fb_dirty_row *row = fb_member_of(l, struct fb_dirty_row, link);
        fb_list_remove(&row->of_key);
        dirty->bytes -= row_bytes(row);
        dirty->nrows--;
        if (!fb_list_is_empty(&row->entry->rows))
            continue;
        leave(dirty, row->entry);
        row->entry = NULL;
    }
    dirty->nwrites -= batch->nwrites;
    fb_list_remove(&batch->link);
    return batch;
}

struct fb_dirty_figures fb_dirty_figures(const struct fb_dirty *dirty) {
    const struct fb_dirty_batch *first = oldest_batch(dirty), *last = open_batch(dirty);
    if (last->nwrites == 0 && last != first)
        last = fb_member_of(last->link.prev, struct fb_dirty_batch, link);
    return (struct fb_dirty_figures){
        .bytes = dirty->bytes, .keys = dirty->nentries, .rows = dirty->nrows, .writes = dirty->nwrites,
        .batches = count(&dirty->batches) - (open_batch(dirty)->nwrites == 0),
        .first_seq = first->first_seq, .last_seq = last->last_seq, .since = first->since,
    };
}
