/* Segments written in one go. */
#include "journal/copy.h"

#include <errno.h>

#include "base/rng.h"

int fb_copy_begin(struct fb_copy *copy, const struct fb_segment_head *head) {
    copy->handle = copy->files->ops->open(copy->files, FB_COPY_NAME, FB_FILES_CREATE);
    copy->head = *head;
    copy->head.version = FB_FORMAT_VERSION;
    fb_rng_system(&copy->head.salt, sizeof copy->head.salt);
    copy->seed = fb_format_seed(copy->head.salt);
    copy->at = FB_SEGMENT_HEAD;
    copy->next_seq = head->first_seq;
    return copy->handle < 0 ? copy->handle : 0;
}

int fb_copy_group(struct fb_copy *copy, uint64_t first_seq, uint32_t count, fb_bytes records) {
    static const char room[FB_GROUP_HEAD];
    struct fb_group_head head = {
        .kind = FB_GROUP_DATA, .first_seq = first_seq, .count = count, .at = copy->at, .synced = copy->at};
    copy->group.len = 0;
    if (fb_buf_append(&copy->group, room, sizeof room) != FB_OK ||
        fb_buf_append(&copy->group, records.data, records.len) != FB_OK ||
        fb_group_seal(&copy->group, &head, copy->seed) != FB_OK)
        return -ENOMEM;
    int r = fb_files_write_all(copy->files, copy->handle, copy->group.data, copy->group.len, copy->at);
    copy->at += copy->group.len;
    copy->next_seq = first_seq + count;
    return r;
}

int fb_copy_end(struct fb_copy *copy, const char *name) {
    uint8_t sector[FB_SECTOR] = {0}, first[FB_SEGMENT_HEAD];
    uint64_t at = fb_round_up(copy->at, FB_SECTOR);
    struct fb_group_head mark = {.kind = FB_GROUP_MARK, .first_seq = copy->next_seq, .gap = at - copy->at, .at = at,
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
        r = copy->files->ops->rename(copy->files, FB_COPY_NAME, name);
    if (r == 0)
        r = copy->files->ops->sync_dir(copy->files);
    return r;
}

void fb_copy_finish(struct fb_copy *copy) {
    if (copy->handle >= 0)
        (void)copy->files->ops->close(copy->files, copy->handle);
    copy->handle = -1;
    fb_buf_free(&copy->group);
}
