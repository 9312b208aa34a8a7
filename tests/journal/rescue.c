/* Salvage of any damage: what it copies is what was written, whole units under their numbers; what it leaves out it
 * says; a journal starts from the copy. And verify says of a directory what recovery says.
 *
 *     rescue [--short]
 *
 * For flipped bits, zeroed sectors and missing files of a journal of some segments, one by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "journal/survey.h"
#include "world.h"

static uint64_t violations;

struct tally { uint64_t tried, damaged, copied, left_out; };

/* What was left out, and what the copy brings. */
struct check {
    const struct world *world;
    bool missing[WORLD_RECORDS], came[WORLD_RECORDS];
    uint64_t open_end; /* from here on nothing is known; 0: there is no such place */
    uint64_t gaps, last_seq;
    bool more;
    const char *wrong;
};

static fb_status on_gap(void *user, const struct fb_survey_gap *gap) {
    struct check *check = user;
    check->gaps++;
    for (uint64_t seq = gap->first_seq; seq <= gap->last_seq && seq < WORLD_RECORDS; seq++)
        check->missing[seq] = true;
    if (gap->is_end && gap->last_seq < gap->first_seq)
        check->open_end = gap->first_seq;
    return FB_OK;
}

static fb_status on_entry(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    struct check *check = user;
    if (entry->seq <= check->last_seq || entry->seq > check->world->written)
        return fb_fail(reterr, FB_CONFLICT, "record %lu comes after %lu", (unsigned long)entry->seq,
                       (unsigned long)check->last_seq);
    const struct world_record *record = &check->world->records[entry->seq];
    if (entry->payload.len != record->len || memcmp(entry->payload.data, record->data, record->len) != 0 ||
        entry->more == record->ends_unit)
        check->wrong = "a record has other bytes than were written";
    if (check->more && entry->seq != check->last_seq + 1)
        check->wrong = "a unit has a hole";
    if (!check->more && entry->seq > 1 && !check->world->records[entry->seq - 1].ends_unit)
        check->wrong = "a unit without its beginning";
    check->more = entry->more;
    check->last_seq = entry->seq;
    check->came[entry->seq] = true;
    return FB_OK;
}

/* What recovery says, for comparison. */
static fb_status recovery_says(const struct world *from, struct disk *disk) {
    static struct world w;
    w = *from;
    w.wal = (struct fb_wal){.handle = -1, .lock = -1};
    fb_status status = world_recover(&w, disk_reopen(disk), from->acked);
    world_finish(&w);
    return status;
}

static void judge(const struct world *from, struct disk *disk, struct tally *t, const char *what, size_t where) {
    static struct check check;
    check = (struct check){.world = from};
    struct disk *copy = disk_new();
    struct fb_salvage done;
    struct fb_wal wal = {.handle = -1, .lock = -1};
    fb_err err = {.text = ""};
    fb_status says = recovery_says(from, disk);
    fb_status status = fb_salvage(&disk->files, &copy->files, on_gap, &check, &done, &err);
    if (status == FB_OK && (says == FB_OK) != (check.gaps == 0))
        check.wrong =
            says == FB_OK ? "verify finds damage that recovery does not" : "recovery refuses what verify finds whole";
    if (status == FB_OK)
        status = fb_wal_open(&wal, &copy->files, from->segment_bytes, 0, &err);
    if (status == FB_OK)
        status = fb_wal_recover(&wal, 0, /* accepts_gap */ true, on_entry, &check, &err);
    if (status != FB_OK)
        check.wrong = err.text;
    else if (check.more)
        check.wrong = "part of a unit came";
    for (uint64_t seq = 1; seq <= from->acked && status == FB_OK; seq++) {
        bool is_said = check.missing[seq] || (check.open_end > 0 && seq >= check.open_end);
        if (check.came[seq] == is_said)
            check.wrong = check.came[seq] ? "a record came and is said to be left out" : "left out, and not said";
        t->copied += check.came[seq];
        t->left_out += !check.came[seq];
    }
    t->tried++;
    t->damaged += check.gaps > 0;
    if (check.wrong != NULL && ++violations <= 8)
        printf("# %s %zu: %s\n", what, where, check.wrong);
    fb_wal_close(&wal);
    disk_free(copy);
    disk_free(disk);
}

static int claims;

static void claim(const char *what, struct tally *t) {
    static uint64_t before;
    printf("%s %d - %s: %lu tried, %lu damaged, %lu records copied, %lu left out\n",
           violations == before ? "ok" : "not ok", ++claims, what, (unsigned long)t->tried, (unsigned long)t->damaged,
           (unsigned long)t->copied, (unsigned long)t->left_out);
    fflush(stdout);
    before = violations;
    *t = (struct tally){0};
}

int main(int argc, char **argv) {
    bool is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    static struct world w;
    struct tally t = {0};
    char name[FB_SEGMENT_NAME];
    size_t size = 0;
    puts("1..4");
    world_init(&w, 8192, false, 7);
    fb_status status = world_recover(&w, w.disk, 0);
    static const size_t sizes[] = {300, 1700, 64, 2500, 90, 1200};
    for (unsigned i = 0; i < 16 && status == FB_OK; i++)
        status = world_group(&w, 1 + i % 5, sizes[i % 6], (enum world_flavour)(i % WORLD_FLAVOURS_));
    if (status != FB_OK || world_mark(&w) != FB_OK || w.wal.n < 3)
        abort();
    for (size_t i = 0; i < w.wal.n; i++) {
        fb_segment_name(w.wal.segments[i].head.first_seq, name);
        (void)disk_bytes(w.disk, name, &size);
        for (size_t bit = i; bit < size * 8; bit += is_short ? 101 : 7) {
            struct disk *disk = disk_reopen(w.disk);
            disk_bytes(disk, name, &size)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            judge(&w, disk, &t, name, bit);
        }
    }
    claim("bits flipped", &t);
    for (size_t i = 0; i < w.wal.n; i++) {
        fb_segment_name(w.wal.segments[i].head.first_seq, name);
        (void)disk_bytes(w.disk, name, &size);
        for (size_t s = 0; s < size / DISK_SECTOR; s++) {
            struct disk *disk = disk_reopen(w.disk);
            memset(disk_bytes(disk, name, &size) + s * DISK_SECTOR, 0, DISK_SECTOR);
            judge(&w, disk, &t, name, s);
        }
    }
    claim("sectors zeroed", &t);
    for (size_t i = 0; i < w.wal.n; i++) { /* the name and the first group say all that is needed */
        struct disk *disk = disk_reopen(w.disk);
        fb_segment_name(w.wal.segments[i].head.first_seq, name);
        memset(disk_bytes(disk, name, &size), 0, FB_SEGMENT_HEAD);
        uint64_t left_out = t.left_out;
        judge(&w, disk, &t, name, 0);
        if (t.left_out != left_out && w.wal.segments[i].last_seq >= w.wal.segments[i].head.first_seq)
            violations++;
    }
    claim("heads of segments lost, and no record with them", &t);
    for (size_t i = 1; i + 1 < w.wal.n; i++) {
        struct disk *disk = disk_reopen(w.disk);
        fb_segment_name(w.wal.segments[i].head.first_seq, name);
        (void)disk->files.ops->unlink(&disk->files, name);
        judge(&w, disk, &t, name, 0);
    }
    claim("segments missing", &t);
    world_finish(&w);
    return violations != 0;
}
