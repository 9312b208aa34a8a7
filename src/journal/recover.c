/* What is found again after a stop or a crash: every segment is read and checked, what the database lacks is handed
 * over, and the last segment, the only one that may hold what is in memory and not on the disk, is written anew.
 *
 * Nothing is changed before all has been read: damage leaves everything as it is. A crash in between leaves either the
 * old last segment or its copy under the same name, and temporary files. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "journal/copy.h"
#include "journal/reader.h"
#include "journal/survey.h"
#include "journal/wal.h"

/* ---- what is there --------------------------------------------------------------------------------------------- */

/* The verdict of a reader as a status; `name` is the segment's. */
static fb_status verdict(const struct fb_reader *reader, enum fb_read read, const char *name, fb_err *reterr) {
    if (read == FB_READ_FAILED)
        return fb_fail(reterr, reader->error == -ENOMEM ? FB_NOMEM : FB_SYSTEM, "cannot read %s: %s", name,
                       reader->why);
    return fb_fail(reterr, FB_CONFLICT, "the journal is damaged: %s at byte %" PRIu64 ": %s", name,
                   reader->at == FB_SEGMENT_HEAD && reader->seed == 0 ? 0 : reader->at, reader->why);
}

static fb_status look_at_heads(struct fb_wal *wal, const struct fb_listing *list, fb_err *reterr) {
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

/* Who has the journal and which it is, for people: nothing depends on it. */
static void sign_lock(struct fb_wal *wal) {
    enum { PID_TEXT = 11, LINE = PID_TEXT + 2 * FB_UUID + 1 };
    char text[LINE + 1];
    int n = snprintf(text, sizeof text, "%-10ld ", (long)getpid());
    for (int i = 0; i < FB_UUID; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%02x", wal->uuid[i]);
    text[n] = '\n';
    (void)fb_files_write_all(wal->files, wal->lock, text, (size_t)n + 1, 0);
}

fb_status fb_wal_open(struct fb_wal *wal, struct fb_files *files, uint64_t segment_bytes, uint64_t epoch,
                      fb_err *reterr) {
    *wal = (struct fb_wal){.files = files,
                           .segment_bytes = segment_bytes,
                           .epoch = epoch,
                           .handle = -1,
                           .lock = -1,
                           .failure.status = FB_OK};
    if (segment_bytes % FB_SEGMENT_BYTES_MIN != 0 || segment_bytes < FB_SEGMENT_BYTES_MIN ||
        segment_bytes > FB_SEGMENT_BYTES_MAX)
        return fb_fail(reterr, FB_INVALID, "the bytes of a segment must be a multiple of %d, at most %d",
                       FB_SEGMENT_BYTES_MIN, FB_SEGMENT_BYTES_MAX);
    wal->lock = files->ops->lock(files, FB_WAL_LOCK);
    if (wal->lock < 0) {
        int number = -wal->lock;
        wal->lock = -1;
        return number == EWOULDBLOCK ? fb_fail(reterr, FB_BUSY, "another process has this journal")
                                     : fb_fail(reterr, FB_SYSTEM, "cannot lock the journal: %s", strerror(number));
    }
    struct fb_listing list;
    fb_status status = fb_list_segments(files, &list, reterr);
    if (status == FB_OK)
        status = look_at_heads(wal, &list, reterr);
    if (status == FB_OK && wal->n > 0)
        memcpy(wal->uuid, wal->segments[0].head.uuid, FB_UUID);
    else if (status == FB_OK)
        fb_rng_system(wal->uuid, sizeof wal->uuid);
    if (status == FB_OK)
        sign_lock(wal);
    if (status == FB_OK && list.has_spare)
        (void)files->ops->unlink(files, FB_WAL_SPARE);
    if (status == FB_OK && list.has_copy)
        (void)files->ops->unlink(files, FB_COPY_NAME);
    fb_mem_free(list.seqs);
    if (status != FB_OK)
        fb_wal_close(wal);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

struct recovery {
    struct fb_wal *wal;
    uint64_t applied_seq;
    bool accepts_gap;
    fb_journal_each *each;
    void *user;
    uint64_t last_seq;           /* of what was read */
    struct fb_copy copy;
};

static int keep_group(struct fb_copy *copy, const struct fb_reader *reader) {
    int r = copy->handle < 0 ? fb_copy_begin(copy, &reader->head) : 0;
    return r < 0 ? r : fb_copy_group(copy, reader->group.first_seq, reader->group.count, reader->records);
}

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
                       "the journal is damaged: %s follows record %" PRIu64
                       ", but the segment before it goes up to %" PRIu64,
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
            int r = status == FB_OK && is_last ? keep_group(&rec->copy, &reader) : 0;
            if (r < 0)
                status = fb_fail(reterr, r == -ENOMEM ? FB_NOMEM : FB_SYSTEM, "cannot copy %s: %s", name, strerror(-r));
        }
    if (status == FB_OK && read != FB_READ_END && read != FB_READ_TORN)
        status = verdict(&reader, read, name, reterr);
    fb_reader_close(&reader);
    wal->segments[i].last_seq = rec->last_seq;
    return status;
}

/* ---- again ------------------------------------------------------------------------------------------------------- */

struct stretch {
    fb_journal_each *each;
    void *user;
    uint64_t after_seq, last_seq;
};

static fb_status pass_on(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    const struct stretch *stretch = user;
    bool is_wanted = entry->seq > stretch->after_seq && entry->seq <= stretch->last_seq;
    return is_wanted ? stretch->each(stretch->user, entry, reterr) : FB_OK;
}

/* *seq: the last one before it that is known; then, the last one in it. */
static fb_status read_again(struct fb_files *files, uint64_t first_seq, struct stretch *stretch, uint64_t *seq,
                            fb_err *reterr) {
    struct recovery rec = {.each = pass_on, .user = stretch};
    struct fb_reader reader;
    char name[FB_SEGMENT_NAME];
    fb_segment_name(first_seq, name);
    enum fb_read read = fb_reader_open(&reader, files, name);
    fb_status status = read == FB_READ_END ? FB_OK : verdict(&reader, read, name, reterr);
    if (status == FB_OK && reader.head.follows > *seq)
        status = fb_fail(reterr, FB_CONFLICT, "the database has the records up to %" PRIu64 ", the journal begins with %" PRIu64
                         ": those in between are in neither", *seq, reader.head.follows + 1);
    while (status == FB_OK && reader.next_seq <= stretch->last_seq &&
           ((read = fb_reader_next(&reader)) == FB_READ_GROUP || read == FB_READ_MARK)) {
        if (read == FB_READ_GROUP)
            status = hand_over(&rec, &reader, reterr);
        *seq = reader.next_seq - 1;
    }
    if (status == FB_OK && (read == FB_READ_DAMAGED || read == FB_READ_FAILED))
        status = verdict(&reader, read, name, reterr);
    fb_reader_close(&reader);
    return status;
}

fb_status fb_wal_again(struct fb_files *files, uint64_t after_seq, uint64_t last_seq, fb_journal_each *each, void *user,
                       fb_err *reterr) {
    struct stretch stretch = {each, user, after_seq, last_seq};
    struct fb_listing list;
    uint64_t seq = after_seq;
    fb_status status = fb_list_segments(files, &list, reterr);
    for (size_t i = 0; i < list.n && status == FB_OK && seq < last_seq; i++)
        if (i + 1 == list.n || list.seqs[i + 1] > after_seq + 1)
            status = read_again(files, list.seqs[i], &stretch, &seq, reterr);
    fb_mem_free(list.seqs);
    if (status == FB_OK && seq < last_seq)
        status = fb_fail(reterr, FB_CONFLICT, "the journal ends with record %" PRIu64 " and not with %" PRIu64, seq, last_seq);
    return status;
}

/* Everything is read: make it safe, and begin the segment that will be written. */
static fb_status settle(struct recovery *rec, fb_err *reterr) {
    struct fb_wal *wal = rec->wal;
    char name[FB_SEGMENT_NAME];
    bool is_empty = wal->n > 0 && rec->copy.handle < 0;
    if (rec->copy.handle >= 0) {
        fb_segment_name(rec->copy.head.first_seq, name);
        int r = fb_copy_end(&rec->copy, name);
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
    if (status != FB_OK && is_empty && wal->handle < 0)
        wal->n++; /* it is still there: recovery can be asked again */
    return status == FB_UNKNOWN ? FB_SYSTEM : status;
}

fb_status fb_wal_recover(struct fb_wal *wal, uint64_t applied_seq, bool accepts_gap, fb_journal_each *each, void *user,
                         fb_err *reterr) {
    struct recovery rec = {.wal = wal, .applied_seq = applied_seq, .accepts_gap = accepts_gap, .each = each,
                           .user = user, .copy = {.files = wal->files, .handle = -1}};
    fb_status status = wal->failure.status == FB_OK ? FB_OK : fb_fail(reterr, FB_SYSTEM, "%s", wal->failure.text);
    for (size_t i = 0; i < wal->n && status == FB_OK; i++)
        status = read_segment(&rec, i, reterr);
    if (status == FB_OK)
        status = settle(&rec, reterr);
    fb_copy_finish(&rec.copy);
    return status;
}
