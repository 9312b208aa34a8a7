/* Writing: groups, marks, segments, and their end. Reading back is recover.c. */
#include "journal/wal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

/* The last sector of a segment is left for a mark. */
static uint64_t groups_end(uint64_t segment_bytes) { return segment_bytes - FB_SECTOR; }

uint64_t fb_wal_unit_max(uint64_t segment_bytes) {
    uint64_t room = groups_end(segment_bytes) - FB_SEGMENT_HEAD - 2 * FB_GROUP_ALIGN;
    return room - room / FB_SECTOR * FB_NOTE - 3 * FB_NOTE; /* fb_group_most of it is at most what there is */
}

bool fb_wal_fits(const struct fb_wal *wal, uint64_t length) {
    return wal->handle >= 0 && wal->at + fb_group_most(length) <= groups_end(wal->segment_bytes);
}

static fb_status give_up(struct fb_wal *wal, const char *what, int error) {
    if (wal->failure.status == FB_OK)
        (void)fb_fail(&wal->failure, FB_DOWN, "the journal has failed: %s: %s", what, strerror(-error));
    return FB_UNKNOWN;
}

fb_status fb_wal_add_segment(struct fb_wal *wal, const struct fb_segment_head *head) {
    if (wal->n == wal->cap) {
        size_t cap = wal->cap == 0 ? 16 : wal->cap * 2;
        struct fb_wal_segment *more = fb_mem_realloc(wal->segments, cap * sizeof *more);
        if (more == NULL)
            return FB_NOMEM;
        wal->segments = more;
        wal->cap = cap;
    }
    wal->segments[wal->n++] = (struct fb_wal_segment){.head = *head, .last_seq = head->follows, .applied_at = FB_NEVER};
    return FB_OK;
}

fb_status fb_wal_write(struct fb_wal *wal, fb_buf *group, uint32_t count) {
    if (wal->failure.status != FB_OK)
        return FB_UNKNOWN;
    assert(fb_wal_fits(wal, group->len - FB_GROUP_HEAD) && count > 0);
    struct fb_group_head head = {
        .kind = FB_GROUP_DATA, .first_seq = wal->next_seq, .count = count, .at = wal->at, .synced = wal->synced};
    if (fb_group_seal(group, &head, wal->seed) != FB_OK)
        return FB_NOMEM;
    int r = fb_files_write_all(wal->files, wal->handle, group->data, group->len, wal->at);
    if (r < 0)
        return give_up(wal, "writing", r);
    wal->at += group->len;
    wal->next_seq += count;
    wal->ends_with_mark = false;
    return FB_OK;
}

fb_status fb_wal_sync(struct fb_wal *wal) {
    if (wal->failure.status != FB_OK)
        return FB_UNKNOWN;
    if (wal->synced == wal->at)
        return FB_OK;
    int r = wal->files->ops->sync(wal->files, wal->handle);
    if (r < 0)
        return give_up(wal, "syncing", r);
    wal->synced = wal->at;
    wal->synced_seq = wal->next_seq - 1;
    return FB_OK;
}

void fb_wal_synced(struct fb_wal *wal, uint64_t at, uint64_t seq, int result) {
    if (result < 0) {
        (void)give_up(wal, "syncing", result);
    } else if (at > wal->synced) {
        wal->synced = at;
        wal->synced_seq = seq;
    }
}

fb_status fb_wal_mark(struct fb_wal *wal) {
    if (wal->ends_with_mark)
        return wal->failure.status == FB_OK ? FB_OK : FB_UNKNOWN;
    if (fb_wal_sync(wal) != FB_OK)
        return FB_UNKNOWN;
    uint8_t bytes[FB_GROUP_HEAD];
    uint64_t at = fb_round_up(wal->at, FB_SECTOR);
    assert(at + FB_GROUP_HEAD <= wal->segment_bytes);
    struct fb_group_head head = {
        .kind = FB_GROUP_MARK, .first_seq = wal->next_seq, .gap = at - wal->at, .at = at, .synced = wal->at};
    head.crc = wal->seed; /* of no bytes */
    fb_group_head_put(&head, wal->seed, bytes);
    int r = fb_files_write_all(wal->files, wal->handle, bytes, sizeof bytes, at);
    if (r < 0)
        return give_up(wal, "writing", r);
    wal->at = at + FB_GROUP_HEAD;
    wal->ends_with_mark = true;
    return fb_wal_sync(wal);
}

/* ---- segments -------------------------------------------------------------------------------------------------- */

static void discard(struct fb_files *files, int handle, const char *name) {
    (void)files->ops->close(files, handle);
    (void)files->ops->unlink(files, name);
}

fb_status fb_wal_prepare(struct fb_files *files, uint64_t bytes, int *ret_spare, fb_err *reterr) {
    int handle = files->ops->open(files, FB_WAL_SPARE, FB_FILES_CREATE);
    if (handle < 0)
        return fb_fail(reterr, FB_SYSTEM, "cannot make the next segment: %s", strerror(-handle));
    int r = fb_files_zero(files, handle, bytes);
    if (r == 0)
        r = files->ops->sync(files, handle);
    if (r < 0) {
        discard(files, handle, FB_WAL_SPARE);
        return fb_fail(reterr, FB_SYSTEM, "cannot fill the next segment (%" PRIu64 " bytes): %s", bytes, strerror(-r));
    }
    *ret_spare = handle;
    return FB_OK;
}

fb_status fb_wal_begin_segment(struct fb_wal *wal, int spare, uint64_t first_seq, uint64_t follows, fb_err *reterr) {
    struct fb_files *files = wal->files;
    struct fb_segment_head head = {.version = FB_FORMAT_VERSION, .epoch = wal->epoch, .first_seq = first_seq,
                                   .follows = follows, .bytes = wal->segment_bytes, .created_us = fb_clock_wall_us()};
    uint8_t bytes[FB_SEGMENT_HEAD];
    char name[FB_SEGMENT_NAME];
    memcpy(head.uuid, wal->uuid, FB_UUID);
    fb_rng_system(&head.salt, sizeof head.salt);
    fb_segment_head_put(&head, bytes);
    fb_segment_name(first_seq, name);
    fb_status status = fb_wal_add_segment(wal, &head);
    if (status != FB_OK) {
        discard(files, spare, FB_WAL_SPARE);
        return fb_fail(reterr, status, "out of memory");
    }
    int r = fb_files_write_all(files, spare, bytes, sizeof bytes, 0);
    if (r == 0)
        r = files->ops->sync(files, spare);
    if (r == 0)
        r = files->ops->rename(files, FB_WAL_SPARE, name);
    if (r < 0) {
        wal->n--;
        discard(files, spare, FB_WAL_SPARE);
        return fb_fail(reterr, FB_SYSTEM, "cannot begin the segment %s: %s", name, strerror(-r));
    }
    if ((r = files->ops->sync_dir(files)) < 0) { /* the name may be there after a crash, or not: nobody can say */
        wal->n--;
        (void)files->ops->close(files, spare);
        (void)give_up(wal, "syncing the directory", r);
        return fb_fail(reterr, FB_UNKNOWN, "%s", wal->failure.text);
    }
    if (wal->handle >= 0)
        (void)files->ops->close(files, wal->handle);
    wal->handle = spare;
    wal->seed = fb_format_seed(head.salt);
    wal->at = wal->synced = FB_SEGMENT_HEAD;
    wal->next_seq = first_seq;
    wal->synced_seq = first_seq - 1;
    wal->ends_with_mark = true; /* the head of this segment is what follows the last one */
    return FB_OK;
}

fb_status fb_wal_roll(struct fb_wal *wal, int spare, fb_err *reterr) {
    if (fb_wal_sync(wal) != FB_OK) {
        discard(wal->files, spare, FB_WAL_SPARE);
        return fb_fail(reterr, FB_UNKNOWN, "%s", wal->failure.text);
    }
    uint64_t last_seq = wal->next_seq - 1;
    wal->segments[wal->n - 1].last_seq = last_seq;
    return fb_wal_begin_segment(wal, spare, last_seq + 1, last_seq, reterr);
}

bool fb_wal_expire(struct fb_wal *wal, uint64_t applied_seq, fb_instant now, int64_t keep_ms, uint64_t keep_bytes,
                   uint64_t *ret_first_seq) {
    uint64_t applied_bytes = 0;
    for (size_t i = 0; i + 1 < wal->n && wal->segments[i].last_seq <= applied_seq; i++) {
        applied_bytes += wal->segments[i].head.bytes;
        if (wal->segments[i].applied_at.ns == FB_NEVER.ns)
            wal->segments[i].applied_at = now;
    }
    if (applied_bytes == 0 ||
        (applied_bytes <= keep_bytes && !fb_reached(now, fb_after(wal->segments[0].applied_at, fb_ms(keep_ms)))))
        return false;
    *ret_first_seq = wal->segments[0].head.first_seq;
    memmove(wal->segments, wal->segments + 1, --wal->n * sizeof *wal->segments);
    return true;
}

fb_status fb_wal_remove(struct fb_files *files, uint64_t first_seq, fb_err *reterr) {
    char name[FB_SEGMENT_NAME];
    fb_segment_name(first_seq, name);
    int r = files->ops->unlink(files, name);
    if (r == 0 || r == -ENOENT)
        r = files->ops->sync_dir(files);
    return r == 0 ? FB_OK : fb_fail(reterr, FB_SYSTEM, "cannot delete %s: %s", name, strerror(-r));
}

uint64_t fb_wal_bytes(const struct fb_wal *wal) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < wal->n; i++)
        bytes += wal->segments[i].head.bytes;
    return bytes;
}

void fb_wal_close(struct fb_wal *wal) {
    if (wal->handle >= 0)
        (void)wal->files->ops->close(wal->files, wal->handle);
    if (wal->lock >= 0)
        (void)wal->files->ops->close(wal->files, wal->lock);
    fb_mem_free(wal->segments);
    *wal = (struct fb_wal){.handle = -1, .lock = -1};
}
