/* Damage of what was acknowledged: every flipped bit, every zeroed, doubled or misplaced sector, every cut, every
 * missing file is reported, or did not matter: everything acknowledged came. Nothing is ever lost silently.
 *
 *     rot [--short]
 *
 * A control shows that this can fail: without the mark behind the last group, zeroed sectors of it are taken for a torn
 * write, which no format can tell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

struct tally { uint64_t tried, reported, harmless, silent; };

static int claims;
static uint64_t silent_all;

static void claim(bool holds, const char *what, const struct tally *t) {
    printf("%s %d - %s: %lu tried, %lu reported, %lu harmless, %lu silent\n", holds ? "ok" : "not ok", ++claims, what,
           (unsigned long)t->tried, (unsigned long)t->reported, (unsigned long)t->harmless, (unsigned long)t->silent);
    fflush(stdout);
    silent_all += !holds;
}

/* Recover what is on `disk`, which is freed. */
static void judge(const struct world *from, struct disk *disk, struct tally *t) {
    static struct world w;
    w = *from;
    w.wal = (struct fb_wal){.handle = -1, .lock = -1};
    fb_status status = world_recover(&w, disk, from->acked);
    t->tried++;
    if (status == FB_CONFLICT)
        t->reported++;
    else if (status == FB_OK && w.wrong[0] == '\0')
        t->harmless++;
    else if (t->silent++ < 5)
        printf("# %s\n", w.wrong);
    world_finish(&w);
}

/* Some segments, the last one begun. */
static void write_some(struct world *w, bool with_mark) {
    world_init(w, 8192, false, 99);
    fb_status status = world_recover(w, w->disk, 0);
    static const size_t sizes[] = {300, 1700, 64, 2500, 90, 1200};
    for (unsigned i = 0; i < 14 && status == FB_OK; i++)
        status = world_group(w, 1 + i % 3, sizes[i % 6], (enum world_flavour)(i % WORLD_FLAVOURS_));
    if (status == FB_OK && with_mark)
        status = world_mark(w);
    if (status != FB_OK || w->wal.n < 3 || w->wal.at <= FB_SEGMENT_HEAD)
        abort();
}

static void segment_name(const struct world *w, size_t i, char name[FB_SEGMENT_NAME]) {
    fb_segment_name(w->wal.segments[i].head.first_seq, name);
}

static size_t segment_size(const struct world *w, size_t i) {
    char name[FB_SEGMENT_NAME];
    size_t size = 0;
    segment_name(w, i, name);
    (void)disk_bytes(w->disk, name, &size);
    return size;
}

static uint8_t *bytes_of(const struct world *w, struct disk *disk, size_t i) {
    char name[FB_SEGMENT_NAME];
    size_t size;
    segment_name(w, i, name);
    return disk_bytes(disk, name, &size);
}

static void flips(const struct world *w, bool is_short, struct tally *t) {
    for (size_t i = 0; i < w->wal.n; i++)
        for (size_t bit = 0, n = segment_size(w, i) * 8; bit < n; bit += is_short ? 17 : 1) {
            struct disk *disk = disk_reopen(w->disk);
            bytes_of(w, disk, i)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            judge(w, disk, t);
        }
}

static void zeroed(const struct world *w, size_t from_segment, struct tally *t) {
    for (size_t i = from_segment; i < w->wal.n; i++)
        for (size_t s = 0, n = segment_size(w, i) / DISK_SECTOR; s < n; s++) {
            struct disk *disk = disk_reopen(w->disk);
            memset(bytes_of(w, disk, i) + s * DISK_SECTOR, 0, DISK_SECTOR);
            judge(w, disk, t);
        }
}

/* Each sector in the place of each other one, also of other segments. */
static void misplaced(const struct world *w, bool is_short, struct tally *t) {
    for (size_t i = 0; i < w->wal.n; i++)
        for (size_t k = 0; k < w->wal.n; k++)
            for (size_t s = 0; s < segment_size(w, i) / DISK_SECTOR; s++)
                for (size_t d = 0; d < segment_size(w, k) / DISK_SECTOR; d += is_short ? 3 : 1) {
                    struct disk *disk = disk_reopen(w->disk);
                    memcpy(bytes_of(w, disk, k) + d * DISK_SECTOR, bytes_of(w, w->disk, i) + s * DISK_SECTOR,
                           DISK_SECTOR);
                    judge(w, disk, t);
                }
}

static void cut(const struct world *w, bool is_short, struct tally *t) {
    char name[FB_SEGMENT_NAME];
    for (size_t i = 0; i < w->wal.n; i++)
        for (size_t size = 0, n = segment_size(w, i); size < n; size += is_short ? 13 : 1) {
            struct disk *disk = disk_reopen(w->disk);
            segment_name(w, i, name);
            disk_truncate(disk, name, size);
            judge(w, disk, t);
        }
}

static void missing(const struct world *w, struct tally *t) {
    char name[FB_SEGMENT_NAME];
    for (size_t i = 0; i + 1 < w->wal.n; i++) { /* the last one's absence is that of everything it acknowledged */
        struct disk *disk = disk_reopen(w->disk);
        segment_name(w, i, name);
        (void)disk->files.ops->unlink(&disk->files, name);
        judge(w, disk, t);
    }
}

int main(int argc, char **argv) {
    bool is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    static struct world marked, unmarked, again;
    struct tally t = {0};
    char name[FB_SEGMENT_NAME];
    puts("1..9");
    write_some(&marked, true);
    write_some(&unmarked, false);

    flips(&marked, is_short, &t);
    claim(t.silent == 0 && t.reported > 0, "each bit of each segment flipped", &t);
    t = (struct tally){0};
    flips(&unmarked, is_short, &t);
    claim(t.silent == 0 && t.reported > 0, "the same before the mark", &t);
    t = (struct tally){0};
    zeroed(&marked, 0, &t);
    claim(t.silent == 0 && t.reported > 0, "each sector zeroed", &t);
    t = (struct tally){0};
    zeroed(&unmarked, unmarked.wal.n - 1, &t);
    claim(t.silent > 0, "control: before the mark, what zeroed sectors are cannot be told", &t);
    t = (struct tally){0};
    misplaced(&marked, is_short, &t);
    claim(t.silent == 0 && t.reported > 0, "each sector in the place of each other", &t);
    t = (struct tally){0};
    cut(&marked, is_short, &t);
    claim(t.reported == t.tried, "each segment cut at each byte", &t);
    t = (struct tally){0};
    missing(&marked, &t);
    claim(t.reported == t.tried, "a segment missing", &t);

    /* What recovery wrote anew is no less safe. */
    t = (struct tally){0};
    again = marked;
    again.wal = (struct fb_wal){.handle = -1, .lock = -1};
    if (world_recover(&again, disk_reopen(marked.disk), marked.acked) != FB_OK)
        abort();
    flips(&again, is_short, &t);
    zeroed(&again, 0, &t);
    claim(t.silent == 0 && t.reported > 0, "bits and sectors after a recovery", &t);
    t = (struct tally){0}; /* as when the disk is full: the copy is there, the new segment is not */
    segment_name(&again, --again.wal.n, name);
    (void)again.disk->files.ops->unlink(&again.disk->files, name);
    zeroed(&again, again.wal.n - 1, &t);
    claim(t.silent == 0 && t.reported > 0, "sectors after a recovery that did not come to an end", &t);
    world_finish(&again);
    world_finish(&marked);
    world_finish(&unmarked);
    return silent_all != 0;
}
