/* The dirty map of one partition: writes that were acknowledged and that the database does not have yet.
 *
 * Two views of the same writes. By key, an *entry*: everything that still waits, merged into one change, and what the row
 * shows with it where that is known; readers ask it before the database and put it on top of what they load. By order,
 * *batches*: each a stretch of the journal without gaps, with one merged change per row, because a batch goes to the
 * database as one transaction that moves the watermark to the batch's end. A key that was written again after a batch was
 * sealed is in the next batch too; its entry leaves when the last batch that has it is committed, and not before.
 *
 *     write   fb_dirty_prepare (may fail; nothing has happened)  …journal…  fb_dirty_put (cannot fail)
 *     flush   fb_dirty_next → the oldest batch, sealed  …transaction…  fb_dirty_commit
 *
 * The rule for readers: take the entry's change when the query is about to be sent, and show it on top of what comes. Taken
 * after the answer, it would miss what was committed and left the map in between. What is acknowledged after the query was
 * sent need not be in the answer: its mark has fenced the load, so that only those get it who asked before.
 *
 * Entries never expire and are never evicted; what they take is counted (fb_dirty_bytes) and bounded by who accepts
 * writes. Deterministic: no clock, no locks; the driver holds one lock around every call. Between prepare and put of a key
 * nobody else may put that key: the write mark of the shard sees to it. */
#ifndef FB_CORE_DIRTY_H
#define FB_CORE_DIRTY_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "base/list.h"
#include "base/time.h"
#include "base/value.h"

struct fb_dirty;

/* One change that does what both do: a new reference, NULL when out of memory. Pure. */
typedef struct fb_value *fb_dirty_merge(const struct fb_value *older, const struct fb_value *newer);

struct fb_dirty_options {
    size_t rows_max, bytes_max; /* of a batch; writes of one transaction stay together all the same */
    fb_dirty_merge *merge;
};

/* All that waits for one key. */
struct fb_dirty_entry {
    struct fb_dirty_entry *chain;
    uint64_t hash;
    uint16_t keyspace;
    struct fb_value *change;
    fb_status shows;            /* FB_OK: `full` is what the row shows; FB_NOTFOUND: it shows nothing; FB_MISS: not known */
    struct fb_value *full;
    bool is_doubted;            /* `full` rests on what the database has otherwise; so does what is put later */
    struct fb_link rows;        /* fb_dirty_row.of_key, the oldest first */
    size_t key_len;
    char key[];
};

/* A key in a batch. */
struct fb_dirty_row {
    struct fb_link link;        /* in the batch, in the order of first_seq */
    struct fb_link of_key;
    struct fb_dirty_batch *batch;
    struct fb_dirty_entry *entry; /* NULL: it has left the map */
    uint64_t hash;
    uint16_t keyspace;
    bool is_certain;            /* of every write in it, and of those before: the database shows what readers were shown */
    uint64_t first_seq, last_seq;
    fb_instant since;           /* of its first write */
    struct fb_value *change;
    size_t key_len;
    char key[];
};
static inline fb_bytes fb_dirty_row_key(const struct fb_dirty_row *row) { return fb_bytes_of(row->key, row->key_len); }

struct fb_dirty_batch {
    struct fb_link link;
    struct fb_link rows;
    size_t nrows, nwrites, bytes;
    uint64_t first_seq, last_seq; /* of its records; no other batch has one between them */
    fb_instant since, due;        /* of its first write; when the first of its writes wants to be flushed */
    bool is_sealed;
};

struct fb_dirty_write {
    uint64_t hash;
    uint16_t keyspace;
    fb_bytes key;
    struct fb_value *change;
    size_t joined;              /* writes that are in the change besides the first */
    bool is_certain;
    fb_status shows;            /* after the write, as in the entry */
    struct fb_value *full;
    fb_span interval;           /* how long it may wait */
};

/* A write about to be acknowledged. */
struct fb_dirty_put;

/* NULL when out of memory. */
struct fb_dirty *fb_dirty_create(const struct fb_dirty_options *options);
struct fb_dirty *fb_dirty_destroy(struct fb_dirty *dirty); /* NULL accepted; returns NULL */

/* The entry of a key, or NULL; valid until the next call that changes the map. */
const struct fb_dirty_entry *fb_dirty_find(const struct fb_dirty *dirty, uint64_t hash, fb_bytes key);

/* Everything that a write needs, its merging included; takes references of its own. Added to the list `unit`. FB_NOMEM. */
fb_status fb_dirty_prepare(struct fb_dirty *dirty, const struct fb_dirty_write *write, struct fb_link *unit);
/* The writes of one transaction are durable, in the order of the list and numbered from first_seq on: they are pending
 * from here on, in one batch. Empties the list. */
void fb_dirty_put(struct fb_dirty *dirty, struct fb_link *unit, uint64_t first_seq, fb_instant now);
/* What readers are shown of them may rest on what the database has otherwise. */
void fb_dirty_doubt_unit(struct fb_link *unit);
/* They will not be. */
void fb_dirty_give_up(struct fb_link *unit);

/* The oldest batch, when it is full or due, or whatever there is when is_asked: sealed, it takes no more writes. NULL when
 * there is nothing to flush yet. The same one again until it is committed. */
struct fb_dirty_batch *fb_dirty_next(struct fb_dirty *dirty, fb_instant now, bool is_asked);
/* When fb_dirty_next will have something; FB_NEVER: nothing waits. */
fb_instant fb_dirty_due(const struct fb_dirty *dirty);
/* The database has the oldest batch: entries that wait for nothing else leave. The batch is the caller's now, with its
 * rows; those whose key has left the map have entry == NULL. */
struct fb_dirty_batch *fb_dirty_commit(struct fb_dirty *dirty);
void fb_dirty_batch_free(struct fb_dirty_batch *batch);
/* The database has something else than readers were shown of a key (it has refused a write). While more waits for the key,
 * none of it is certain. */
void fb_dirty_doubt(struct fb_dirty *dirty, uint64_t hash, fb_bytes key);

struct fb_dirty_figures {
    size_t bytes, keys, rows, writes, batches; /* rows and writes in all batches */
    uint64_t first_seq, last_seq;              /* pending; 0: nothing */
    fb_instant since;                          /* of the oldest; FB_NEVER: nothing */
};
struct fb_dirty_figures fb_dirty_figures(const struct fb_dirty *dirty);

#endif
