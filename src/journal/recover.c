/* What is found again after a stop or a crash: every segment is read and checked, what the database lacks is handed over,
 * and the last segment, the only one that may hold what is in memory and not on the disk, is written anew.
 *
 * Nothing is changed before all has been read: damage leaves everything as it is. A crash in between leaves either the
 * old last segment or its copy under the same name, and temporary files. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "journal/wal.h"
#include "journal/reader.h"

/* ---- what is there ------------------------------------------------------------------------------------------------ */

struct listing {
    uint64_t *seqs;
    size_t n, cap;
    bool no_memory, has_spare, has_copy;
};

static bool note_name(void *user, const char *name) {
    struct listing *list = user;
    uint64_t seq;
    list->has_spare |= strcmp(name, FB_WAL_SPARE) == 0;
    list->has_copy |= strcmp(name, FB_WAL_COPY) == 0;
    if (!fb_segment_name_parse(name, &seq))
        return true;
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 64 : list->cap * 2;
        uint64_t *more = cap > FB_WAL_SEGMENTS_MAX ? NULL : fb_mem_realloc(list->seqs, cap * sizeof *more);
        if (more == NULL) {
            list->no_memory = true;
            return false;
        }
        list->seqs = more;
        list->cap = cap;
    }
    list->seqs[list->n++] = seq;
    return true;
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The verdict of a reader as a status; `name` is the segment's. */
static fb_status verdict(const struct fb_reader *reader, enum fb_read read, const char *name, fb_err *reterr) {
    if (read == FB_READ_FAILED)
        return fb_fail(reterr, reader->error == -ENOMEM ? FB_NOMEM : FB_SYSTEM, "cannot read %s: %s", name, reader->why);
    return fb_fail(reterr, FB_CONFLICT, "the journal is damaged: %s at byte %" PRIu64 ": %s", name,
                   reader->at == FB_SEGMENT_HEAD && reader->seed == 0 ? 0 : reader->at, reader->why);
}

static fb_status look_at_heads(struct fb_wal *wal, const struct listing *list, fb_err *reterr) {
    struct fb_reader reader;
    char name[FB_SEGMENT_NAME];
    fb_status status = FB_OK;
    for (size_t i = 0; i < list->n && status == FB_OK; i++) {
        fb_segment_name(list->seqs[i], name);
        enum fb_read read = fb_reader_open(&reader, wal->files, name);
        if (read != FB_READ_END)
            status = verdict(&reader, read, name, reterr);
        else if (i > 0 && memcmp(reader.head.uuid, wal->segments[0].head.uuid, FB_UUID) != 0)
            status = fb_fail(reterr, FB_CONFLICT, "%s belongs to another journal than the segments before it", name);
        else if ((status = fb_wal_add_segment(wal, &reader.head)) != FB_OK)
            (void)fb_fail(reterr, status, "out of memory");
        fb_reader_close(&reader);
    }
    return status;
}

fb_status fb_wal_open(struct fb_wal *wal, struct fb_files *files, uint64_t segment_bytes, uint64_t epoch,
                      fb_err *reterr) {
    *wal = (struct fb_wal){
        .files = files, .segment_bytes = segment_bytes, .epoch = epoch, .handle = -1, .lock = -1, .failure.status = FB_OK};
    if (segment_bytes % FB_SEGMENT_BYTES_MIN != 0 || segment_bytes < FB_SEGMENT_BYTES_MIN ||
        segment_bytes > FB_SEGMENT_BYTES_MAX)
        return fb_fail(reterr, FB_INVALID, "the bytes of a segment must be a multiple of %d, at most %d",
                       FB_SEGMENT_BYTES_MIN, FB_SEGMENT_BYTES_MAX);
    char text[32];
    (void)snprintf(text, sizeof text, "%ld\n", (long)getpid());
    wal->lock = files->ops->lock(files, FB_WAL_LOCK, text);
    if (wal->lock < 0) {
        int number = -wal->lock;
        wal->lock = -1;
        return number == EWOULDBLOCK ? fb_fail(reterr, FB_BUSY, "another process has this journal")
                                     : fb_fail(reterr, FB_SYSTEM, "cannot lock the journal: %s", strerror(number));
    }
    struct listing list = {0};
    fb_status status = FB_OK;
    int r = files->ops->list(files, note_name, &list);
    if (r < 0)
        status = fb_fail(reterr, FB_SYSTEM, "cannot list the journal's directory: %s", strerror(-r));
    else if (list.no_memory)
        status = fb_fail(reterr, FB_NOMEM, "out of memory");
    if (status == FB_OK && list.n > 1)
        qsort(list.seqs, list.n, sizeof *list.seqs, by_number);
    if (status == FB_OK)
        status = look_at_heads(wal, &list, reterr);
    if (status == FB_OK && wal->n > 0)
        memcpy(wal->uuid, wal->segments[0].head.uuid, FB_UUID);
    else if (status == FB_OK)
        fb_rng_system(wal->uuid, sizeof wal->uuid);
    if (status == FB_OK && list.has_spare)
        (void)files->ops->unlink(files, FB_WAL_SPARE);
    if (status == FB_OK && list.has_copy)
        (void)files->ops->unlink(files, FB_WAL_COPY);
    fb_mem_free(list.seqs);
    if (status != FB_OK)
        fb_wal_close(wal);
    return status;
}

/* ---- the copy of the last segment --------------------------------------------------------------------------------- */

struct copy {
    struct fb_files *files;
    int handle;                  /* −1: not begun, there is nothing to copy yet */
    struct fb_segment_head head;
    uint32_t seed;
    uint64_t at;
    fb_buf group;
};

static int begin_copy(struct copy *copy, const struct fb_segment_head *old) {
    copy->handle = copy->files->ops->open(copy->files, FB_WAL_COPY, FB_FILES_CREATE);
    copy->head = *old;
    fb_rng_system(&copy->head.salt, sizeof copy->head.salt);
    copy->seed = fb_format_seed(copy->head.salt);
    copy->at = FB_SEGMENT_HEAD;
    return copy->handle < 0 ? copy->handle : 0;
}

static int copy_group(struct copy *copy, const struct fb_reader *reader) {
    int r = copy->handle < 0 ? begin_copy(copy, &reader->head) : 0;
    if (r < 0)
        return r;
    struct fb_group_head head = {.kind = FB_GROUP_DATA, .first_seq = reader->group.first_seq,
                                 .count = reader->group.count, .at = copy->at, .synced = copy->at};
    static const char room[FB_GROUP_HEAD];
    copy->group.len = 0;
    if (fb_buf_append(&copy->group, room, sizeof room) != FB_OK ||
        fb_buf_append(&copy->group, reader->records.data, reader->records.len) != FB_OK ||
        fb_group_seal(&copy->group, &head, copy->seed) != FB_OK)
        return -ENOMEM;
    r = fb_files_write_all(copy->files, copy->handle, copy->group.data, copy->group.len, copy->at);
    copy->at += copy->group.len;
    return r;
}

/* A mark, the size, the head; synced; and only then its name, which was the old one's. */
static int end_copy(struct copy *copy, uint64_t next_seq, const char *name) {
    uint8_t sector[FB_SECTOR] = {0}, first[FB_SEGMENT_HEAD];
    uint64_t at = fb_round_up(copy->at, FB_SECTOR);
    struct fb_group_head mark = {.kind = FB_GROUP_MARK, .first_seq = next_seq, .gap = at - copy->at, .at = at,
                                 .synced = copy->at, .crc = copy->seed};
    fb_group_head_put(&mark, copy->seed, sector);
    copy->head.bytes = at + FB_SECTOR;
    fb_segment_head_put(&copy->head, first);
    int r = fb_files_write_all(copy->files, copy->handle, sector, sizeof sector, at);
    if (r == 0)
        r = fb_files_write_all(copy->files, copy->handle, first, sizeof first, 0);
    if (r == 0)
        r = copy->files->ops->sync(copy->files, copy->handle);
    if (r == 0)
        r = copy->files->ops->rename(copy->files, FB_WAL_COPY, name);
    if (r == 0)
        r = copy->files->ops->sync_dir(copy->files);
    return r;
}

static void drop_copy(struct copy *copy) {
    if (copy->handle >= 0)
        (void)copy->files->ops->close(copy->files, copy->handle);
    fb_buf_free(&copy->group);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

struct recovery {
    struct fb_wal *wal;
    uint64_t applied_seq;
    bool accepts_gap;
    fb_journal_each *each;
    void *user;
    uint64_t last_seq;           /* of what was read */
    struct copy copy;
};

static fb_status hand_over(struct recovery *rec, const struct fb_reader *reader, fb_err *reterr) {
    struct fb_record_head head;
    struct fb_journal_entry entry = {.seq = reader->group.first_seq};
    size_t cursor = 0;
    bool good;
    fb_status status = FB_OK;
    for (; status == FB_OK && fb_record_get(reader->records, &cursor, &head, &entry.key, &entry.payload, &good);
         entry.seq++) {
        entry.type = head.type;
        entry.more = head.more;
        if (entry.seq > rec->applied_seq)
            status = rec->each(rec->user, &entry, reterr);
    }
    return status;
}

/* Does segment i continue what was read before it? Missing is only what the database has. */
static fb_status check_order(const struct recovery *rec, size_t i, const char *name, fb_err *reterr) {
    uint64_t follows = rec->wal->segments[i].head.follows;
    uint64_t known = i == 0 || rec->last_seq < rec->applied_seq ? rec->applied_seq : rec->last_seq;
    if (i > 0 && follows < rec->last_seq)
        return fb_fail(reterr, FB_CONFLICT,
                       "the journal is damaged: %s follows record %" PRIu64 ", but the segment before it goes up to %" PRIu64,
                       name, follows, rec->last_seq);
    if (follows <= known || (i == 0 && rec->accepts_gap))
        return FB_OK;
    return i == 0 ? fb_fail(reterr, FB_CONFLICT,
                            "the database has the records up to %" PRIu64 ", the journal begins with %" PRIu64
                            ": those in between are in neither",
                            rec->applied_seq, follows + 1)
                  : fb_fail(reterr, FB_CONFLICT,
                            "the journal is damaged: records %" PRIu64 " to %" PRIu64 " are missing before %s",
                            rec->last_seq + 1, follows, name);
}

static fb_status read_segment(struct recovery *rec, size_t i, fb_err *reterr) {
    struct fb_wal *wal = rec->wal;
    bool is_last = i + 1 == wal->n;
    char name[FB_SEGMENT_NAME];
    fb_segment_name(wal->segments[i].head.first_seq, name);
    fb_status status = check_order(rec, i, name, reterr);
    if (status != FB_OK)
        return status;
    struct fb_reader reader;
    enum fb_read read = fb_reader_open(&reader, wal->files, name);
    reader.has_successor = !is_last;
    reader.last_seq = is_last ? 0 : wal->segments[i + 1].head.follows;
    rec->last_seq = wal->segments[i].head.follows;
    if (read == FB_READ_END)
        while (status == FB_OK && ((read = fb_reader_next(&reader)) == FB_READ_GROUP || read == FB_READ_MARK)) {
            rec->last_seq = reader.next_seq - 1;
            if (read == FB_READ_MARK)
                continue;
            status = hand_over(rec, &reader, reterr);
            int r = status == FB_OK && is_last ? copy_group(&rec->copy, &reader) : 0;
            if (r < 0)
                status = fb_fail(reterr, r == -ENOMEM ? FB_NOMEM : FB_SYSTEM, "cannot copy %s: %s", name, strerror(-r));
        }
    if (status == FB_OK && read != FB_READ_END && read != FB_READ_TORN)
        status = verdict(&reader, read, name, reterr);
    fb_reader_close(&reader);
    wal->segments[i].last_seq = rec->last_seq;
    return status;
}

/* Everything is read: make it safe, and begin the segment that will be written. */
static fb_status settle(struct recovery *rec, fb_err *reterr) {
    struct fb_wal *wal = rec->wal;
    char name[FB_SEGMENT_NAME];
    bool is_empty = wal->n > 0 && rec->copy.handle < 0;
    if (rec->copy.handle >= 0) {
        fb_segment_name(rec->copy.head.first_seq, name);
        int r = end_copy(&rec->copy, rec->last_seq + 1, name);
        if (r < 0)
            return fb_fail(reterr, FB_SYSTEM, "cannot write %s anew: %s", name, strerror(-r));
        wal->segments[wal->n - 1].head = rec->copy.head;
    }
    uint64_t follows = wal->n > 0 ? rec->last_seq : rec->applied_seq;
    uint64_t first_seq = (follows > rec->applied_seq ? follows : rec->applied_seq) + 1;
    /* An empty last segment is not kept: the new one takes its name, or it goes when the new one is there. */
    uint64_t empty_seq = is_empty ? wal->segments[--wal->n].head.first_seq : 0;
    int spare;
    fb_status status = fb_wal_prepare(wal->files, wal->segment_bytes, &spare, reterr);
    if (status == FB_OK)
        status = fb_wal_begin_segment(wal, spare, first_seq, follows, reterr);
    if (status == FB_OK && is_empty && empty_seq != first_seq)
        status = fb_wal_remove(wal->files, empty_seq, reterr);
    return status == FB_UNKNOWN ? FB_SYSTEM : status;
}

fb_status fb_wal_recover(struct fb_wal *wal, uint64_t applied_seq, bool accepts_gap, fb_journal_each *each, void *user,
                         fb_err *reterr) {
    struct recovery rec = {.wal = wal, .applied_seq = applied_seq, .accepts_gap = accepts_gap, .each = each,
                           .user = user, .copy = {.files = wal->files, .handle = -1}};
    fb_status status = FB_OK;
    for (size_t i = 0; i < wal->n && status == FB_OK; i++)
        status = read_segment(&rec, i, reterr);
    if (status == FB_OK)
        status = settle(&rec, reterr);
    drop_copy(&rec.copy);
    return status;
}
