/* The journal's threads: one writes what waits, group by group; one keeps the next segment ready, deletes old ones, and does
 * the syncs of EVERYSEC, for which nobody waits: a disk can take its time for what was written in a second.
 *
 * The log belongs to the writer alone once it is recovered; what others may see of it (stats, failure) is copied
 * under the lock after each group. A batch in the queue becomes one group. */
#include "journal/journal.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/mem.h"
#include "journal/wal.h"

enum {
    IDLE_BATCHES_MAX = 4,                             /* kept for the next groups, … */
    IDLE_BATCH_BYTES_MAX = 2 * FB_JOURNAL_GROUP_BYTES, /* … unless a large unit made them large */
    DOOMED_MAX = 64,                                  /* segments waiting to be deleted */
    TICK_MS = 1000,                                   /* between two looks at what may be deleted */
    SPARE_RETRY_MS = 1000,                            /* after the disk was full */
};

struct unit {
    fb_journal_done *done;
    void *user;
    uint32_t count; /* 0: asks for a sync only */
};

struct batch {
    struct fb_link link;
    fb_buf group;   /* room for the head, then the records */
    uint32_t count;
    bool wants_sync;
    struct unit *units;
    size_t n, cap;
};

struct fb_journal {
    struct fb_files *files;
    bool owns_files, is_recovered;
    struct fb_journal_options options;
    uint64_t group_bytes;             /* FB_JOURNAL_GROUP_BYTES, or what a small segment holds */
    struct fb_wal wal;                /* the writer's */
    fb_instant written_at, synced_at; /* the writer's */

    struct fb_lock lock;
    struct fb_cond work, keep, kept;  /* for the writer; for the keeper; from the keeper */
    struct fb_link queue, idle;       /* of batches */
    size_t idle_n;
    bool is_closing, is_done;         /* the writer should end; has ended */
    struct fb_journal_stats stats;
    bool wants_spare;
    int spare;                        /* −1: none */
    fb_instant spare_retry_at;
    bool is_syncing, has_synced;      /* the keeper has the next; has said what became of it */
    int sync_handle, sync_result;
    uint64_t sync_at, sync_seq;       /* how far the segment was written then */
    uint64_t doomed[DOOMED_MAX];
    size_t doomed_n;
    pthread_t writer, keeper;
};

/* ---- batches --------------------------------------------------------------------------------------------------- */

static void batch_free(struct batch *batch) {
    fb_buf_free(&batch->group);
    fb_mem_free(batch->units);
    fb_mem_free(batch);
}

static void batch_clear(struct batch *batch) {
    batch->group.len = FB_GROUP_HEAD;
    batch->count = 0;
    batch->wants_sync = false;
    batch->n = 0;
}

static struct batch *batch_new(struct fb_journal *j) {
    struct fb_link *link = fb_list_pop_front(&j->idle);
    if (link != NULL) {
        j->idle_n--;
        return fb_member_of(link, struct batch, link);
    }
    struct batch *batch = fb_mem_calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    fb_list_init(&batch->link);
    if (fb_buf_reserve(&batch->group, FB_GROUP_HEAD) != FB_OK) {
        batch_free(batch);
        return NULL;
    }
    memset(batch->group.data, 0, FB_GROUP_HEAD);
    batch_clear(batch);
    return batch;
}

/* The batch that takes a unit of so many records and bytes; a new one is not in the queue yet. */
static struct batch *batch_for(struct fb_journal *j, size_t n, uint64_t bytes) {
    if (!fb_list_is_empty(&j->queue)) {
        struct batch *last = fb_member_of(j->queue.prev, struct batch, link);
        if (last->count + n <= FB_JOURNAL_GROUP_RECORDS &&
            last->group.len - FB_GROUP_HEAD + bytes <= j->group_bytes)
            return last;
    }
    return batch_new(j);
}

static fb_status batch_add_unit(struct batch *batch, fb_journal_done *done, void *user, uint32_t count) {
    if (batch->n == batch->cap) {
        size_t cap = batch->cap == 0 ? 16 : batch->cap * 2;
        struct unit *more = fb_mem_realloc(batch->units, cap * sizeof *more);
        if (more == NULL)
            return FB_NOMEM;
        batch->units = more;
        batch->cap = cap;
    }
    batch->units[batch->n++] = (struct unit){.done = done, .user = user, .count = count};
    return FB_OK;
}

/* All or nothing; with the memory that sealing it will take. */
static fb_status batch_add(struct batch *batch, const struct fb_journal_record *records, size_t n,
                           fb_journal_done *done, void *user) {
    size_t before = batch->group.len;
    fb_status status = FB_OK;
    for (size_t i = 0; i < n && status == FB_OK; i++)
        status = fb_record_put(&batch->group, records[i].type, i + 1 < n, records[i].key, records[i].payload);
    if (status == FB_OK)
        status = fb_buf_reserve(&batch->group, fb_group_most(batch->group.len - FB_GROUP_HEAD) - batch->group.len);
    if (status == FB_OK)
        status = batch_add_unit(batch, done, user, (uint32_t)n);
    if (status != FB_OK)
        batch->group.len = before;
    else
        batch->count += (uint32_t)n;
    return status;
}

static void enqueue(struct fb_journal *j, struct batch *batch) {
    if (!fb_link_is_in_list(&batch->link))
        fb_list_push_back(&j->queue, &batch->link);
    fb_cond_signal(&j->work);
}

static fb_status refusal(struct fb_journal *j, fb_err *reterr) {
    if (!j->is_recovered || j->is_closing)
        return fb_fail(reterr, FB_CLOSED, "the journal is not open");
    if (j->stats.failure.status != FB_OK) {
        if (reterr != NULL)
            *reterr = j->stats.failure;
        return FB_DOWN;
    }
    return FB_OK;
}

fb_status fb_journal_append(struct fb_journal *j, const struct fb_journal_record *records, size_t n,
                            fb_journal_done *done, void *user, fb_err *reterr) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += fb_record_bytes(records[i].key, records[i].payload);
    if (n == 0)
        return fb_fail(reterr, FB_INVALID, "a unit has at least one record");
    if (n > j->options.queue_records || bytes > fb_wal_unit_max(j->options.segment_bytes))
        return fb_fail(reterr, FB_BADVALUE,
                       "a transaction of %zu records and %" PRIu64 " bytes is too large for the journal", n, bytes);
    fb_lock_acquire(&j->lock);
    fb_status status = refusal(j, reterr);
    if (status == FB_OK && j->stats.queued_records > 0 &&
        (j->stats.queued_records + n > j->options.queue_records ||
         j->stats.queued_bytes + bytes > j->options.queue_bytes)) {
        j->stats.busy++;
        status = fb_fail(reterr, FB_BUSY, "too much waits to be written to the journal");
    }
    struct batch *batch = status == FB_OK ? batch_for(j, n, bytes) : NULL;
    if (batch != NULL && batch_add(batch, records, n, done, user) == FB_OK) {
        enqueue(j, batch);
        j->stats.queued_records += n;
        j->stats.queued_bytes += bytes;
    } else if (status == FB_OK) {
        if (batch != NULL && !fb_link_is_in_list(&batch->link))
            batch_free(batch);
        status = fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    fb_lock_release(&j->lock);
    return status == FB_OK ? FB_PENDING : status;
}

fb_status fb_journal_sync(struct fb_journal *j, fb_journal_done *done, void *user, fb_err *reterr) {
    fb_lock_acquire(&j->lock);
    fb_status status = refusal(j, reterr);
    struct batch *batch = status == FB_OK ? batch_for(j, 0, 0) : NULL;
    if (batch != NULL && batch_add_unit(batch, done, user, 0) == FB_OK) {
        batch->wants_sync = true;
        enqueue(j, batch);
    } else if (status == FB_OK) {
        if (batch != NULL && !fb_link_is_in_list(&batch->link))
            batch_free(batch);
        status = fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    fb_lock_release(&j->lock);
    return status == FB_OK ? FB_PENDING : status;
}

/* ---- the writer ------------------------------------------------------------------------------------------------ */

/* What others may see. Under the lock. */
static void publish(struct fb_journal *j) {
    struct fb_wal *wal = &j->wal;
    j->stats.written_seq = wal->next_seq - 1;
    j->stats.synced_seq = wal->synced_seq;
    j->stats.first_seq = wal->n > 0 ? wal->segments[0].head.first_seq : 0;
    j->stats.segments = wal->n;
    j->stats.segments_bytes = fb_wal_bytes(wal);
    j->stats.failure = wal->failure;
}

/* Under the lock. */
static void count_sync(struct fb_journal *j, fb_span took) {
    int64_t us = fb_span_us(took);
    j->stats.syncs++;
    j->stats.sync_last_us = us;
    j->stats.sync_sum_us += us;
    if (us > j->stats.sync_max_us)
        j->stats.sync_max_us = us;
}

/* What became of the keeper's sync. Before any other of the same file it is waited for: an error is reported once, to one of
 * them. */
static void take_sync(struct fb_journal *j, bool waits) {
    fb_lock_acquire(&j->lock);
    while (waits && j->is_syncing)
        fb_cond_wait(&j->kept, &j->lock);
    bool has_synced = j->has_synced;
    j->has_synced = false;
    fb_lock_release(&j->lock);
    if (has_synced)
        fb_wal_synced(&j->wal, j->sync_at, j->sync_seq, j->sync_result);
}

static fb_status sync_log(struct fb_journal *j) {
    take_sync(j, /* waits = */ true);
    if (j->wal.synced == j->wal.at)
        return j->wal.failure.status == FB_OK ? FB_OK : FB_UNKNOWN;
    fb_instant began = fb_clock_now();
    fb_status status = fb_wal_sync(&j->wal);
    j->synced_at = fb_clock_now();
    fb_lock_acquire(&j->lock);
    count_sync(j, fb_since(j->synced_at, began));
    fb_lock_release(&j->lock);
    return status;
}

/* For EVERYSEC: the keeper syncs what is written, and more may be written meanwhile. */
static void have_synced(struct fb_journal *j, fb_instant now) {
    fb_lock_acquire(&j->lock);
    if (!j->is_syncing) {
        j->is_syncing = true;
        j->sync_handle = j->wal.handle;
        j->sync_at = j->wal.at;
        j->sync_seq = j->wal.next_seq - 1;
        j->synced_at = now;
        fb_cond_signal(&j->keep);
    }
    fb_lock_release(&j->lock);
}

/* A prepared file, waiting for the keeper to have one; −1: there is none to be had. */
static int take_spare(struct fb_journal *j) {
    fb_lock_acquire(&j->lock);
    if (j->spare < 0 && fb_reached(fb_clock_now(), j->spare_retry_at)) {
        j->wants_spare = true;
        fb_cond_signal(&j->keep);
        while (j->wants_spare)
            fb_cond_wait(&j->kept, &j->lock);
    }
    int spare = j->spare;
    j->spare = -1;
    fb_lock_release(&j->lock);
    return spare;
}

static fb_status make_room(struct fb_journal *j) {
    fb_err err = {.status = FB_OK};
    int spare = take_spare(j);
    if (spare < 0)
        return FB_BUSY;
    take_sync(j, /* waits = */ true);
    fb_status status = fb_wal_roll(&j->wal, spare, &err);
    if (status == FB_OK || status == FB_UNKNOWN)
        return status;
    fb_lock_acquire(&j->lock);
    j->stats.spare = err;
    j->spare_retry_at = fb_after(fb_clock_now(), fb_ms(SPARE_RETRY_MS));
    fb_lock_release(&j->lock);
    return FB_BUSY;
}

/* The status of the batch's units. */
static fb_status carry_out(struct fb_journal *j, struct batch *batch, enum fb_journal_durability durability) {
    struct fb_wal *wal = &j->wal;
    if (wal->failure.status != FB_OK)
        return FB_DOWN;
    if (batch->count > 0) {
        if (!fb_wal_fits(wal, batch->group.len - FB_GROUP_HEAD)) {
            fb_status status = make_room(j);
            if (status != FB_OK)
                return status == FB_UNKNOWN ? FB_DOWN : status; /* of this batch nothing was written */
        }
        fb_status status = fb_wal_write(wal, &batch->group, batch->count);
        if (status != FB_OK)
            return status == FB_NOMEM ? FB_BUSY : status;
        j->written_at = fb_clock_now();
    }
    return durability == FB_JOURNAL_ALWAYS || batch->wants_sync ? sync_log(j) : FB_OK;
}

static void complete(const struct batch *batch, fb_status status, uint64_t first_seq) {
    uint64_t seq = first_seq;
    for (size_t i = 0; i < batch->n; i++) {
        const struct unit *unit = &batch->units[i];
        if (unit->count == 0)
            unit->done(unit->user, status, seq - 1, seq - 1);
        else
            unit->done(unit->user, status, seq, seq + unit->count - 1);
        seq += unit->count;
    }
}

static void run_batch(struct fb_journal *j, struct batch *batch, enum fb_journal_durability durability) {
    uint64_t first_seq = j->wal.next_seq, bytes = batch->group.len - FB_GROUP_HEAD;
    fb_status status = carry_out(j, batch, durability);
    fb_lock_acquire(&j->lock);
    j->stats.queued_bytes -= bytes;
    j->stats.queued_records -= batch->count;
    if (status == FB_OK && batch->count > 0) {
        j->stats.groups++;
        j->stats.records += batch->count;
        j->stats.bytes += batch->group.len;
    }
    if (status == FB_BUSY)
        j->stats.busy += batch->n;
    publish(j);
    if (fb_wal_is_half_used(&j->wal) && j->spare < 0 && !j->wants_spare &&
        fb_reached(fb_clock_now(), j->spare_retry_at)) {
        j->wants_spare = true;
        fb_cond_signal(&j->keep);
    }
    fb_lock_release(&j->lock);
    complete(batch, status, first_seq);
}

static void recycle(struct fb_journal *j, struct batch *batch) {
    if (j->idle_n < IDLE_BATCHES_MAX && batch->group.cap <= IDLE_BATCH_BYTES_MAX) {
        batch_clear(batch);
        fb_list_push_back(&j->idle, &batch->link);
        j->idle_n++;
    } else {
        batch_free(batch);
    }
}

/* What time has made due; when to look again. Without the lock. */
static fb_instant tend(struct fb_journal *j, uint64_t applied_seq) {
    struct fb_wal *wal = &j->wal;
    fb_instant now = fb_clock_now(), due = FB_NEVER;
    take_sync(j, /* waits = */ false);
    if (wal->failure.status != FB_OK) {
        fb_lock_acquire(&j->lock);
        publish(j);
        fb_lock_release(&j->lock);
        return due;
    }
    if (wal->synced != wal->at) {
        due = fb_after(j->synced_at, fb_ms(FB_JOURNAL_EVERYSEC_MS));
        if (fb_reached(now, due)) {
            have_synced(j, now);
            due = fb_after(now, fb_ms(FB_JOURNAL_EVERYSEC_MS));
        }
    }
    if (!wal->ends_with_mark) {
        fb_instant mark = fb_after(j->written_at, fb_ms(FB_JOURNAL_MARK_MS));
        if (fb_reached(now, mark)) {
            take_sync(j, /* waits = */ true);
            (void)fb_wal_mark(wal);
        } else if (fb_before(mark, due)) {
            due = mark;
        }
    }
    uint64_t seq;
    fb_lock_acquire(&j->lock);
    while (j->doomed_n < DOOMED_MAX &&
           fb_wal_expire(wal, applied_seq, now, j->options.keep_ms, j->options.keep_bytes, &seq)) {
        j->doomed[j->doomed_n++] = seq;
        fb_cond_signal(&j->keep);
    }
    publish(j);
    fb_lock_release(&j->lock);
    fb_instant tick = fb_after(now, fb_ms(TICK_MS));
    return wal->n > 1 && fb_before(tick, due) ? tick : due;
}

static void *write_on(void *arg) {
    struct fb_journal *j = arg;
    fb_instant due = FB_NEVER;
    fb_lock_acquire(&j->lock);
    for (;;) {
        while (fb_list_is_empty(&j->queue) && !j->is_closing && !j->has_synced && !fb_reached(fb_clock_now(), due))
            fb_cond_wait_until(&j->work, &j->lock, due);
        struct fb_link *link = fb_list_pop_front(&j->queue);
        if (link == NULL && j->is_closing)
            break;
        enum fb_journal_durability durability = j->stats.durability;
        uint64_t applied_seq = j->stats.applied_seq;
        fb_lock_release(&j->lock);
        if (link != NULL)
            run_batch(j, fb_member_of(link, struct batch, link), durability);
        due = tend(j, applied_seq);
        fb_lock_acquire(&j->lock);
        if (link != NULL)
            recycle(j, fb_member_of(link, struct batch, link));
    }
    fb_lock_release(&j->lock);
    take_sync(j, /* waits = */ true);
    (void)fb_wal_mark(&j->wal);
    fb_lock_acquire(&j->lock);
    publish(j);
    j->is_done = true;
    fb_cond_signal(&j->keep);
    fb_lock_release(&j->lock);
    return NULL;
}

/* ---- the keeper ------------------------------------------------------------------------------------------------ */

static void prepare_spare(struct fb_journal *j) {
    int spare = -1;
    fb_err err = {.status = FB_OK};
    fb_lock_release(&j->lock);
    fb_status status = fb_wal_prepare(j->files, j->options.segment_bytes, &spare, &err);
    fb_lock_acquire(&j->lock);
    j->stats.spare = err;
    if (status == FB_OK)
        j->spare = spare;
    else
        j->spare_retry_at = fb_after(fb_clock_now(), fb_ms(SPARE_RETRY_MS));
    j->wants_spare = false;
    fb_cond_signal(&j->kept);
}

static void sync_written(struct fb_journal *j) {
    int handle = j->sync_handle;
    fb_lock_release(&j->lock);
    fb_instant began = fb_clock_now();
    int result = j->files->ops->sync(j->files, handle);
    fb_span took = fb_since(fb_clock_now(), began);
    fb_lock_acquire(&j->lock);
    count_sync(j, took);
    j->sync_result = result;
    j->is_syncing = false;
    j->has_synced = true;
    fb_cond_signal(&j->kept);
    fb_cond_signal(&j->work);
}

static void remove_doomed(struct fb_journal *j) {
    uint64_t seq = j->doomed[0];
    memmove(j->doomed, j->doomed + 1, --j->doomed_n * sizeof *j->doomed);
    fb_lock_release(&j->lock);
    (void)fb_wal_remove(j->files, seq, NULL); /* what stays is found again at the next start */
    fb_lock_acquire(&j->lock);
}

static void *keep_on(void *arg) {
    struct fb_journal *j = arg;
    fb_lock_acquire(&j->lock);
    for (;;) {
        if (j->is_syncing)
            sync_written(j);
        else if (j->wants_spare)
            prepare_spare(j);
        else if (j->doomed_n > 0)
            remove_doomed(j);
        else if (j->is_done)
            break;
        else
            fb_cond_wait(&j->keep, &j->lock);
    }
    fb_lock_release(&j->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

#define DEFAULT(member, value) ((member) = (member) != 0 ? (member) : (value))

static void set_defaults(struct fb_journal_options *options) {
    DEFAULT(options->segment_bytes, FB_JOURNAL_SEGMENT_BYTES);
    DEFAULT(options->queue_bytes, FB_JOURNAL_QUEUE_BYTES);
    DEFAULT(options->queue_records, FB_JOURNAL_QUEUE_RECORDS);
    DEFAULT(options->keep_ms, FB_JOURNAL_KEEP_MS);
    DEFAULT(options->keep_bytes, FB_JOURNAL_KEEP_BYTES);
}

static void destroy(struct fb_journal *j) {
    for (struct fb_link *link; (link = fb_list_pop_front(&j->idle)) != NULL;)
        batch_free(fb_member_of(link, struct batch, link));
    fb_cond_finish(&j->work);
    fb_cond_finish(&j->keep);
    fb_cond_finish(&j->kept);
    fb_lock_finish(&j->lock);
    if (j->owns_files)
        fb_files_finish(j->files);
    fb_mem_free(j);
}

fb_status fb_journal_open(const struct fb_journal_options *options, struct fb_journal **ret_journal, fb_err *reterr) {
    if (options->files == NULL && options->dir == NULL)
        return fb_fail(reterr, FB_INVALID, "the journal has no directory");
    struct fb_journal *j = fb_mem_calloc(1, sizeof *j);
    if (j == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    j->options = *options;
    set_defaults(&j->options);
    j->group_bytes = fb_wal_unit_max(j->options.segment_bytes);
    if (j->group_bytes > FB_JOURNAL_GROUP_BYTES)
        j->group_bytes = FB_JOURNAL_GROUP_BYTES;
    j->files = options->files;
    j->stats.durability = options->durability;
    j->spare = -1;
    fb_lock_init(&j->lock, FB_LOCK_JOURNAL);
    fb_cond_init(&j->work);
    fb_cond_init(&j->keep);
    fb_cond_init(&j->kept);
    fb_list_init(&j->queue);
    fb_list_init(&j->idle);
    fb_status status = FB_OK;
    if (j->files == NULL && (status = fb_files_open(options->dir, true, &j->files, reterr)) == FB_OK)
        j->owns_files = true;
    if (status == FB_OK)
        status = fb_wal_open(&j->wal, j->files, j->options.segment_bytes, options->epoch, reterr);
    if (status != FB_OK) {
        destroy(j);
        return status;
    }
    j->stats.first_seq = j->wal.n > 0 ? j->wal.segments[0].head.first_seq : 0;
    *ret_journal = j;
    return FB_OK;
}

const uint8_t *fb_journal_uuid(const struct fb_journal *j) { return j->wal.uuid; }

fb_status fb_journal_recover(struct fb_journal *j, uint64_t applied_seq, fb_journal_each *each, void *user,
                             fb_err *reterr) {
    assert(!j->is_recovered);
    fb_status status = fb_wal_recover(&j->wal, applied_seq, j->options.accepts_gap, each, user, reterr);
    if (status != FB_OK)
        return status;
    j->written_at = j->synced_at = fb_clock_now();
    fb_lock_acquire(&j->lock); /* figures may be asked for already */
    j->stats.applied_seq = applied_seq;
    publish(j);
    fb_lock_release(&j->lock);
    if (pthread_create(&j->keeper, NULL, keep_on, j) != 0)
        return fb_fail(reterr, FB_SYSTEM, "cannot start a thread");
    if (pthread_create(&j->writer, NULL, write_on, j) != 0) {
        fb_lock_acquire(&j->lock);
        j->is_done = true;
        fb_cond_signal(&j->keep);
        fb_lock_release(&j->lock);
        pthread_join(j->keeper, NULL);
        return fb_fail(reterr, FB_SYSTEM, "cannot start a thread");
    }
    j->is_recovered = true;
    return FB_OK;
}

fb_status fb_journal_again(struct fb_journal *j, uint64_t after_seq, uint64_t last_seq, fb_journal_each *each, void *user,
                           fb_err *reterr) {
    return fb_wal_again(j->files, after_seq, last_seq, each, user, reterr);
}

void fb_journal_release(struct fb_journal *j, uint64_t applied_seq) {
    fb_lock_acquire(&j->lock);
    if (applied_seq > j->stats.applied_seq)
        j->stats.applied_seq = applied_seq;
    fb_lock_release(&j->lock);
}

void fb_journal_durability_set(struct fb_journal *j, enum fb_journal_durability durability) {
    fb_lock_acquire(&j->lock);
    j->stats.durability = durability;
    fb_lock_release(&j->lock);
}

void fb_journal_stats(struct fb_journal *j, struct fb_journal_stats *ret_stats) {
    fb_lock_acquire(&j->lock);
    *ret_stats = j->stats;
    fb_lock_release(&j->lock);
}

fb_status fb_journal_close(struct fb_journal *j, fb_err *reterr) {
    fb_status status = FB_OK;
    if (j == NULL)
        return FB_OK;
    if (j->is_recovered) {
        fb_lock_acquire(&j->lock);
        j->is_closing = true;
        fb_cond_signal(&j->work);
        fb_lock_release(&j->lock);
        pthread_join(j->writer, NULL);
        pthread_join(j->keeper, NULL);
        if (j->spare >= 0) {
            (void)j->files->ops->close(j->files, j->spare);
            (void)j->files->ops->unlink(j->files, FB_WAL_SPARE);
        }
        if (j->wal.failure.status != FB_OK)
            status = fb_fail(reterr, FB_DOWN, "%s", j->wal.failure.text);
    }
    fb_wal_close(&j->wal);
    destroy(j);
    return status;
}
