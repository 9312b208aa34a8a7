/* The next good group, or the verdict: the rules J1 to J4 of format.h. */
#include "journal/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum fb_read fail(struct fb_reader *r, int error) {
    r->error = error;
    (void)snprintf(r->why, sizeof r->why, "%s", strerror(-error));
    return FB_READ_FAILED;
}

__attribute__((format(printf, 2, 3))) static enum fb_read damaged(struct fb_reader *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
    return FB_READ_DAMAGED;
}

/* The bytes from `offset` on, in memory until the next call; NULL when they cannot be read (r->error). The caller
 * sees to it that they are within the file. */
static uint8_t *fetch(struct fb_reader *r, uint64_t offset, uint64_t len) {
    if (offset >= r->window_at && offset + len <= r->window_at + r->window.len)
        return (uint8_t *)r->window.data + (offset - r->window_at);
    uint64_t want = len > FB_READER_WINDOW ? len : FB_READER_WINDOW;
    if (want > r->size - offset)
        want = r->size - offset;
    r->window.len = 0;
    if (fb_buf_reserve(&r->window, want) != FB_OK) {
        (void)fail(r, -ENOMEM);
        return NULL;
    }
    ssize_t n = fb_files_read_all(r->files, r->handle, r->window.data, want, offset);
    if (n < 0 || (uint64_t)n < len) {
        (void)fail(r, n < 0 ? (int)n : -EIO);
        return NULL;
    }
    r->window.len = (size_t)n;
    r->window_at = offset;
    return (uint8_t *)r->window.data;
}

enum fb_read fb_reader_open(struct fb_reader *r, struct fb_files *files, const char *name) {
    *r = (struct fb_reader){.files = files, .at = FB_SEGMENT_HEAD};
    r->handle = files->ops->open(files, name, FB_FILES_READ);
    if (r->handle < 0)
        return fail(r, r->handle);
    int64_t size = files->ops->size(files, r->handle);
    if (size < 0)
        return fail(r, (int)size);
    r->size = (uint64_t)size;
    if (r->size < FB_SEGMENT_HEAD)
        return damaged(r, "shorter than the head of a segment");
    const uint8_t *bytes = fetch(r, 0, FB_SEGMENT_HEAD);
    if (bytes == NULL)
        return FB_READ_FAILED;
    const char *why = fb_segment_head_get(&r->head, bytes);
    if (why != NULL)
        return damaged(r, "%s", why);
    if (r->head.bytes != r->size)
        return damaged(r, "the file has %" PRIu64 " bytes and should have %" PRIu64, r->size, r->head.bytes);
    uint64_t named;
    if (!fb_segment_name_parse(name, &named) || named != r->head.first_seq)
        return damaged(r, "the name is that of another segment");
    r->seed = fb_format_seed(r->head.salt);
    r->next_seq = r->head.first_seq;
    return FB_READ_END;
}

void fb_reader_close(struct fb_reader *r) {
    if (r->handle >= 0)
        (void)r->files->ops->close(r->files, r->handle);
    r->handle = -1;
    fb_buf_free(&r->window);
}

/* A good head from `from` on, that says more than `beyond` was on the disk when it was written. 1, 0, or -1: cannot be
 * read. */
static int find_head(struct fb_reader *r, uint64_t from, uint64_t beyond, struct fb_group_head *ret_head) {
    for (uint64_t at = from; at + FB_GROUP_HEAD <= r->size; at += FB_GROUP_ALIGN) {
        const uint8_t *bytes = fetch(r, at, FB_GROUP_HEAD);
        if (bytes == NULL)
            return -1;
        if (fb_group_head_get(ret_head, r->seed, at, bytes) && ret_head->synced > beyond)
            return 1;
    }
    return 0;
}

static int is_zero_behind(struct fb_reader *r, uint64_t at) {
    while (at < r->size) {
        uint64_t piece = r->size - at < FB_READER_WINDOW ? r->size - at : FB_READER_WINDOW;
        const uint8_t *bytes = fetch(r, at, piece);
        if (bytes == NULL)
            return -1;
        if (!fb_is_zero(bytes, piece))
            return 0;
        at += piece;
    }
    return 1;
}

/* No good group at r->at: END, TORN or DAMAGED. */
static enum fb_read judge(struct fb_reader *r, const char *what) {
    struct fb_group_head later;
    r->window.len = 0; /* notes may have been put back in it */
    int found = find_head(r, r->at + FB_GROUP_ALIGN, r->at, &later);
    if (found < 0)
        return FB_READ_FAILED;
    if (found > 0) /* J1 */
        return damaged(r, "%s, and what was written later stands at %" PRIu64, what, later.at);
    int rest = is_zero_behind(r, r->at);
    if (rest < 0)
        return FB_READ_FAILED;
    if (rest > 0)
        return FB_READ_END; /* of the whole segment; whether it may end here the next one's head says */
    if (r->has_successor && r->next_seq > r->last_seq)
        return FB_READ_END; /* it was left here; what a bit that flipped in the unused rest means to nobody */
    if (r->has_successor)
        return damaged(r, "%s, and a later segment follows", what);
    if (r->at + FB_GROUP_HEAD > r->size)
        return damaged(r, "%s", what);
    const uint8_t *bytes = fetch(r, r->at, FB_GROUP_HEAD);
    if (bytes == NULL)
        return FB_READ_FAILED;
    if (fb_is_zero(bytes, FB_GROUP_HEAD)) /* J2 */
        return FB_READ_TORN;
    struct fb_group_head head;
    if (!fb_group_head_get(&head, r->seed, r->at, bytes) || fb_group_end(&head) > r->size)
        return damaged(r, "%s, and no torn write looks like this", what);
    uint64_t used = fb_group_used(&head);
    if ((bytes = fetch(r, r->at, used)) == NULL)
        return FB_READ_FAILED;
    if (fb_group_has_hole(bytes, r->at, used)) /* J3 */
        return FB_READ_TORN;
    return damaged(r, "%s, and no torn write looks like this", what); /* J4 */
}

/* A mark may leave a gap to begin a sector of its own. */
static int is_mark_ahead(struct fb_reader *r, uint64_t *ret_at) {
    uint64_t at = fb_round_up(r->at, FB_SECTOR);
    struct fb_group_head head;
    if (at == r->at || at + FB_GROUP_HEAD > r->size)
        return 0;
    const uint8_t *bytes = fetch(r, r->at, at + FB_GROUP_HEAD - r->at);
    if (bytes == NULL)
        return -1;
    if (!fb_is_zero(bytes, at - r->at) || !fb_group_head_get(&head, r->seed, at, bytes + (at - r->at)) ||
        head.kind != FB_GROUP_MARK || head.gap != at - r->at)
        return 0;
    *ret_at = at;
    return 1;
}

/* Do the records fill their place, and is each of them good? */
static bool are_good(fb_bytes records, uint32_t count) {
    struct fb_record_head head = {.more = false};
    fb_bytes key, payload;
    size_t cursor = 0;
    uint32_t n = 0;
    bool good;
    while (fb_record_get(records, &cursor, &head, &key, &payload, &good)) {
        if (!good)
            return false;
        n++;
    }
    return cursor == records.len && n == count && n > 0 && !head.more;
}

enum fb_read fb_reader_next(struct fb_reader *r) {
    uint64_t at = r->at;
    if (at + FB_GROUP_HEAD > r->size)
        return FB_READ_END;
    int ahead = is_mark_ahead(r, &at);
    const uint8_t *bytes = ahead < 0 ? NULL : fetch(r, at, FB_GROUP_HEAD);
    if (bytes == NULL)
        return FB_READ_FAILED;
    struct fb_group_head head;
    if (!fb_group_head_get(&head, r->seed, at, bytes))
        return judge(r,
                     fb_is_zero(bytes, FB_GROUP_HEAD) ? "nothing is written here" : "no head of a group stands here");
    uint64_t used = fb_group_used(&head);
    if (head.gap != at - r->at || fb_group_end(&head) > r->size ||
        (head.kind != FB_GROUP_DATA && head.kind != FB_GROUP_MARK))
        return judge(r, "the group's head contradicts itself");
    if (head.first_seq != r->next_seq)
        return judge(r, "the group has the numbers of another");
    uint8_t *group = fetch(r, at, used);
    if (group == NULL)
        return FB_READ_FAILED;
    if (!fb_group_unseal(group, &head, r->seed))
        return judge(r, "the group's checksum is wrong");
    r->records = fb_bytes_of((const char *)group + FB_GROUP_HEAD, head.length);
    if (head.kind == FB_GROUP_DATA ? !are_good(r->records, head.count) : head.count != 0 || head.length != 0)
        return judge(r, "the group's records are wrong");
    r->group = head;
    r->group_at = at;
    r->at = fb_group_end(&head);
    r->next_seq += head.count;
    return head.kind == FB_GROUP_MARK ? FB_READ_MARK : FB_READ_GROUP;
}

bool fb_reader_guess(struct fb_reader *r, const char *name) {
    struct fb_group_head head;
    uint64_t first_seq;
    r->window.len = 0;
    if (r->handle < 0 || r->size < FB_SEGMENT_HEAD + FB_GROUP_HEAD || !fb_segment_name_parse(name, &first_seq))
        return false;
    const uint8_t *bytes = fetch(r, FB_SEGMENT_HEAD, FB_GROUP_HEAD);
    uint32_t seed = bytes != NULL ? fb_format_seed_of(bytes) : 0;
    if (bytes == NULL || !fb_group_head_get(&head, seed, FB_SEGMENT_HEAD, bytes) || head.first_seq != first_seq)
        return false;
    r->seed = seed;
    r->at = FB_SEGMENT_HEAD;
    r->next_seq = first_seq;
    r->head = (struct fb_segment_head){
        .version = FB_FORMAT_VERSION, .first_seq = first_seq, .follows = first_seq - 1, .bytes = r->size};
    /* Any 64 bytes give some seed; that the checksum of what follows begins with it as well is no chance. */
    bool is_whole = fb_reader_next(r) == FB_READ_GROUP;
    r->at = FB_SEGMENT_HEAD;
    r->next_seq = first_seq;
    r->why[0] = '\0';
    r->window.len = 0;
    return is_whole;
}

bool fb_reader_resume(struct fb_reader *r) {
    struct fb_group_head head;
    r->window.len = 0;
    if (find_head(r, r->at + FB_GROUP_ALIGN, 0, &head) <= 0)
        return false;
    r->at = head.at - head.gap;
    r->next_seq = head.first_seq;
    return true;
}

bool fb_reader_raw(struct fb_reader *r, struct fb_group_head *ret_head, fb_bytes *ret_records) {
    r->window.len = 0;
    const uint8_t *bytes = r->at + FB_GROUP_HEAD <= r->size ? fetch(r, r->at, FB_GROUP_HEAD) : NULL;
    if (bytes == NULL || !fb_group_head_get(ret_head, r->seed, r->at, bytes) || fb_group_end(ret_head) > r->size)
        return false;
    if ((bytes = fetch(r, r->at, fb_group_used(ret_head))) == NULL)
        return false;
    *ret_records = fb_bytes_of((const char *)bytes + FB_GROUP_HEAD, ret_head->length);
    return true;
}
