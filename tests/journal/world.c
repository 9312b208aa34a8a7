/* The writer and his memory. */
#include "world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void world_say(struct world *w, const char *format, ...) {
    if (w->wrong[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->wrong, sizeof w->wrong, format, args);
    va_end(args);
}

static fb_status check_entry(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    (void)reterr;
    struct world *w = user;
    uint64_t expected = w->got + 1;
    const struct world_record *record = &w->records[entry->seq % WORLD_RECORDS];
    if (entry->seq != expected)
        world_say(w, "record %" PRIu64 " comes where %" PRIu64 " should", entry->seq, expected);
    else if (entry->seq > w->written)
        world_say(w, "record %" PRIu64 " was never written", entry->seq);
    else if (entry->payload.len != record->len || memcmp(entry->payload.data, record->data, record->len) != 0 ||
             entry->type != (uint8_t)entry->seq || entry->more != !record->ends_unit)
        world_say(w, "record %" PRIu64 " has other bytes than were written", entry->seq);
    w->got = entry->seq;
    w->got_whole = !entry->more;
    return FB_OK;
}

fb_status world_recover(struct world *w, struct disk *disk, uint64_t least) {
    fb_err err = {.text = ""};
    w->disk = disk;
    w->got = w->applied;
    w->got_whole = true;
    fb_status status = fb_wal_open(&w->wal, &disk->files, w->segment_bytes, /* epoch */ 7, &err);
    if (status == FB_OK)
        status = fb_wal_recover(&w->wal, w->applied, /* accepts_gap */ false, check_entry, w, &err);
    if (status != FB_OK) {
        world_say(w, "%s: %s", fb_status_name(status), err.text);
        return status;
    }
    if (w->got < least)
        world_say(w, "lost: %" PRIu64 " was acknowledged, %" PRIu64 " is the last that came", least, w->got);
    if (!w->got_whole)
        world_say(w, "part of a unit came, up to %" PRIu64, w->got);
    if (w->wal.next_seq != w->got + 1)
        world_say(w, "numbers go on with %" PRIu64 " after %" PRIu64, w->wal.next_seq, w->got);
    w->written = w->acked = w->safe = w->got;
    return status;
}

void world_init(struct world *w, uint64_t segment_bytes, bool everysec, uint64_t seed) {
    *w = (struct world){
        .segment_bytes = segment_bytes, .everysec = everysec, .rng = {seed}, .wal = {.handle = -1, .lock = -1}};
    w->disk = disk_new();
}

void world_finish(struct world *w) {
    fb_wal_close(&w->wal);
    disk_free(w->disk);
}

/* The value of a record that will begin at `at` in the file, when no new segment is begun for it. */
static void fill(struct world *w, uint8_t *data, size_t len, enum world_flavour flavour, uint64_t at) {
    size_t size = 0, first = fb_round_up(at, FB_GROUP_ALIGN) - at;
    char name[FB_SEGMENT_NAME];
    for (size_t i = 0; i < len; i++)
        data[i] = flavour == WORLD_ZEROS ? 0 : (uint8_t)fb_rng_next(&w->rng);
    fb_segment_name(w->wal.segments[w->wal.n - 1].head.first_seq, name);
    const uint8_t *bytes = disk_bytes(w->disk, name, &size);
    for (size_t i = first; flavour == WORLD_IMITATES && i < len && FB_SEGMENT_HEAD + i - first < size; i++)
        data[i] = bytes[FB_SEGMENT_HEAD + i - first];
    for (size_t i = first; flavour == WORLD_FORGES && i + FB_GROUP_HEAD <= len; i += FB_GROUP_ALIGN) {
        struct fb_group_head head = {.kind = FB_GROUP_DATA, .first_seq = w->wal.next_seq + 1, .count = 1, .length = 100,
                                     .at = at + i, .synced = at + i};
        fb_group_head_put(&head, 0, data + i);
    }
}

/* Memory for a value, which may be compared with to the end of the program. */
static uint8_t *keep(size_t len) {
    static struct value { struct value *next; uint8_t data[]; } *values;
    struct value *value = malloc(sizeof *value + len);
    if (value == NULL)
        abort();
    value->next = values;
    values = value;
    return value->data;
}

fb_status world_group(struct world *w, unsigned n, size_t bytes, enum world_flavour flavour) {
    static const char room[FB_GROUP_HEAD];
    fb_buf group = FB_BUF_INIT;
    fb_err err;
    uint64_t first_seq = w->wal.next_seq;
    struct world_record made[16];
    assert(n <= 16);
    fb_status status = fb_buf_append(&group, room, sizeof room);
    for (unsigned i = 0; i < n; i++) {
        size_t len = bytes / n > FB_RECORD_HEAD + 3 ? bytes / n - FB_RECORD_HEAD - 3 : 0;
        uint8_t *data = keep(len);
        fill(w, data, len, flavour, w->wal.at + group.len + FB_RECORD_HEAD + 3);
        made[i] = (struct world_record){data, (uint32_t)len, i + 1 == n || fb_rng_below(&w->rng, 2) == 0};
        if (status == FB_OK)
            status = fb_record_put(&group, (uint8_t)(first_seq + i), !made[i].ends_unit, FB_STR("key"),
                                   fb_bytes_of((const char *)data, len));
    }
    if (status == FB_OK && !fb_wal_fits(&w->wal, group.len - FB_GROUP_HEAD)) {
        int spare;
        status = fb_wal_prepare(&w->disk->files, w->segment_bytes, &spare, &err);
        if (status == FB_OK)
            status = fb_wal_roll(&w->wal, spare, &err);
        if (status == FB_OK)
            w->safe = w->acked; /* L2: all before a segment is on the disk */
        else
            status = status == FB_UNKNOWN ? FB_DOWN : FB_BUSY;
    }
    if (status == FB_OK) {
        for (unsigned i = 0; i < n; i++)
            w->records[(first_seq + i) % WORLD_RECORDS] = made[i];
        w->written = first_seq + n - 1;
        status = fb_wal_write(&w->wal, &group, n);
    }
    if (status == FB_OK && !w->everysec)
        status = world_sync(w);
    if (status == FB_OK)
        w->acked = w->written;
    if (status == FB_OK && !w->everysec)
        w->safe = w->acked;
    fb_buf_free(&group);
    return status;
}

fb_status world_sync(struct world *w) {
    uint64_t upto = w->written;
    fb_status status = fb_wal_sync(&w->wal);
    if (status == FB_OK)
        w->safe = upto;
    return status;
}

fb_status world_mark(struct world *w) {
    fb_status status = fb_wal_mark(&w->wal);
    if (status == FB_OK)
        w->safe = w->written;
    return status;
}

void world_apply(struct world *w, uint64_t seq) {
    enum { KEEP_MS = 1000 };
    uint64_t first;
    w->applied = seq;
    if (fb_wal_expire(&w->wal, seq, (fb_instant){0}, KEEP_MS, w->segment_bytes, &first))
        (void)fb_wal_remove(&w->disk->files, first, NULL);
}
