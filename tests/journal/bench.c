/* What the journal does on a real disk: acknowledged records a second next to the bare fdatasync of the same minute,
 * and how long a recovery takes.
 *
 *     bench [DIRECTORY [SECONDS [RECORDS]]]
 *
 * Records of 200 bytes, durability always. Writers keep 256 and then 1,024 records waiting, each a unit of its own;
 * what waits when a sync returns is the next group. Then RECORDS pending records (1,000,000) are recovered, as after
 * a crash. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "journal/files.h"
#include "journal/journal.h"

enum { PAYLOAD = 180, WAITING_MAX = 1024, PROBES = 200, GROUP_BYTES = 256 * 212, TOLD_EVERY = 1024 };

static void die(const char *what, const fb_err *err) {
    fprintf(stderr, "bench: %s: %s\n", what, err != NULL ? err->text : "");
    exit(1);
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median of a write of one group's size and its fdatasync, in a file of zeros as the journal's. */
static int64_t bare_sync_us(const char *dir) {
    char path[600];
    static char data[GROUP_BYTES];
    static int64_t times[PROBES];
    (void)snprintf(path, sizeof path, "%s/probe", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    memset(data, 0, sizeof data);
    for (int i = 0; i < PROBES; i++)
        if (fd < 0 || pwrite(fd, data, sizeof data, (off_t)i * GROUP_BYTES) < 0)
            die(path, NULL);
    if (fsync(fd) < 0)
        die(path, NULL);
    memset(data, 'x', sizeof data);
    for (int i = 0; i < PROBES; i++) {
        fb_instant began = fb_clock_now();
        if (pwrite(fd, data, sizeof data, (off_t)i * GROUP_BYTES) < 0 || fdatasync(fd) < 0)
            die(path, NULL);
        times[i] = fb_span_us(fb_since(fb_clock_now(), began));
    }
    close(fd);
    unlink(path);
    qsort(times, PROBES, sizeof *times, by_size);
    return times[PROBES / 2];
}

/* Each acknowledged record is followed by another, until the end. */
struct load {
    struct fb_journal *journal;
    fb_instant end;
    atomic_uint_fast64_t acked, waiting, failed;
    fb_instant sent[WAITING_MAX];
    int64_t latency_us[WAITING_MAX]; /* the last one of each slot, for a sample */
};

/* What the main thread waits with: for the end of a load, for room in the queue. */
static struct fb_lock lock;
static struct fb_cond changed;

static void tell(void) {
    fb_lock_acquire(&lock);
    fb_cond_signal(&changed);
    fb_lock_release(&lock);
}

struct slot { struct load *load; unsigned index; };
static char payload[PAYLOAD];
static struct slot slots[WAITING_MAX];

static void next(struct slot *slot);

static void end_one(struct load *load) {
    if (atomic_fetch_sub(&load->waiting, 1) == 1)
        tell();
}

static void acked(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq) {
    struct slot *slot = user;
    (void)first_seq;
    (void)last_seq;
    fb_instant now = fb_clock_now();
    slot->load->latency_us[slot->index] = fb_span_us(fb_since(now, slot->load->sent[slot->index]));
    atomic_fetch_add(status == FB_OK ? &slot->load->acked : &slot->load->failed, 1);
    if (status == FB_OK && fb_before(now, slot->load->end))
        next(slot);
    else
        end_one(slot->load);
}

static void next(struct slot *slot) {
    fb_err err;
    const struct fb_journal_record record = {1, FB_STR("user:12345678901"), fb_bytes_of(payload, sizeof payload)};
    slot->load->sent[slot->index] = fb_clock_now();
    if (fb_journal_append(slot->load->journal, &record, 1, acked, slot, &err) != FB_PENDING)
        die("append", &err);
}

static void run_load(struct fb_journal *journal, const char *dir, unsigned waiting, double seconds) {
    static struct load load;
    int64_t sync_us = bare_sync_us(dir);
    struct fb_journal_stats before, after;
    fb_journal_stats(journal, &before);
    load = (struct load){.journal = journal, .waiting = waiting};
    fb_instant began = fb_clock_now();
    load.end = fb_after(began, fb_ms((int64_t)(seconds * 1000)));
    for (unsigned i = 0; i < waiting; i++) {
        slots[i] = (struct slot){&load, i};
        next(&slots[i]);
    }
    fb_lock_acquire(&lock);
    while (atomic_load(&load.waiting) > 0)
        fb_cond_wait(&changed, &lock);
    fb_lock_release(&lock);
    double took = (double)fb_since(fb_clock_now(), began).ns / 1e9;
    fb_journal_stats(journal, &after);
    uint64_t groups = after.groups - before.groups;
    qsort(load.latency_us, waiting, sizeof *load.latency_us, by_size);
    printf(
        "%5u waiting: %9.0f records/s, %5.0f per sync, sync %5.0f us on average (bare fdatasync of a group: %ld us), "
        "acknowledged in %ld us (median of the last)\n",
        waiting, (double)atomic_load(&load.acked) / took, (double)(after.records - before.records) / (double)groups,
        (double)(after.sync_sum_us - before.sync_sum_us) / (double)groups, (long)sync_us,
        (long)load.latency_us[waiting / 2]);
    fflush(stdout);
    if (atomic_load(&load.failed) > 0)
        die("records failed", NULL);
}

static fb_status count(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    (void)entry;
    (void)reterr;
    ++*(uint64_t *)user;
    return FB_OK;
}

static void filled(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq) {
    (void)first_seq;
    (void)last_seq;
    if (status != FB_OK)
        die("filling", NULL);
    if (atomic_fetch_add((atomic_uint_fast64_t *)user, 1) % TOLD_EVERY == 0)
        tell();
}

static void run_recovery(struct fb_journal_options *options, uint64_t records) {
    struct fb_journal *journal;
    atomic_uint_fast64_t done = 0;
    uint64_t found = 0, before;
    fb_err err;
    options->durability = FB_JOURNAL_EVERYSEC;
    if (fb_journal_open(options, &journal, &err) != FB_OK)
        die("open", &err);
    struct fb_journal_stats stats;
    if (fb_journal_recover(journal, 0, count, &found, &err) != FB_OK)
        die("recover", &err);
    fb_journal_stats(journal, &stats);
    before = stats.written_seq;
    const struct fb_journal_record record = {1, FB_STR("user:12345678901"), fb_bytes_of(payload, sizeof payload)};
    for (uint64_t i = 0; i < records;) {
        fb_status status = fb_journal_append(journal, &record, 1, filled, &done, &err);
        if (status != FB_PENDING && status != FB_BUSY)
            die("append", &err);
        i += status == FB_PENDING;
        fb_lock_acquire(&lock);
        while (status == FB_BUSY && i - atomic_load(&done) > TOLD_EVERY)
            fb_cond_wait(&changed, &lock);
        fb_lock_release(&lock);
    }
    if (fb_journal_close(journal, &err) != FB_OK)
        die("close", &err);
    found = 0;
    fb_instant began = fb_clock_now();
    if (fb_journal_open(options, &journal, &err) != FB_OK ||
        fb_journal_recover(journal, before, count, &found, &err) != FB_OK)
        die("recover", &err);
    printf("recovery: %lu pending records in %.2f s\n", (unsigned long)found,
           (double)fb_since(fb_clock_now(), began).ns / 1e9);
    if (found != records)
        die("not all records came", NULL);
    (void)fb_journal_close(journal, NULL);
}

static bool remove_one(void *user, const char *name) {
    struct fb_files *files = user;
    if (name[0] != '.')
        (void)files->ops->unlink(files, name);
    return true;
}

int main(int argc, char **argv) {
    static const unsigned waiting[] = {1, 256, 1024};
    char made[] = "/tmp/fb-bench-journal-XXXXXX";
    const char *parent = argc > 1 ? argv[1] : NULL;
    char dir[512];
    if (parent == NULL && mkdtemp(made) == NULL)
        die("mkdtemp", NULL);
    (void)snprintf(dir, sizeof dir, "%s%s", parent != NULL ? parent : made, parent != NULL ? "/bench-journal" : "");
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    uint64_t records = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000, found = 0;
    struct fb_journal_options options = {.dir = dir, .keep_ms = -1};
    struct fb_journal *journal;
    struct fb_journal_stats stats;
    fb_err err;
    memset(payload, 'v', sizeof payload);
    fb_lock_init(&lock, FB_LOCK_PARK);
    fb_cond_init(&changed);
    if (fb_journal_open(&options, &journal, &err) != FB_OK ||
        fb_journal_recover(journal, 0, count, &found, &err) != FB_OK)
        die("open", &err);
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++) {
        run_load(journal, dir, waiting[i], seconds);
        fb_journal_stats(journal, &stats);
        fb_journal_release(journal, stats.written_seq);
    }
    if (fb_journal_close(journal, &err) != FB_OK)
        die("close", &err);
    struct fb_files *files;
    if (fb_files_open(dir, false, &files, &err) != FB_OK || files->ops->list(files, remove_one, files) < 0)
        die(dir, NULL);
    run_recovery(&options, records);
    (void)files->ops->list(files, remove_one, files);
    fb_files_finish(files);
    rmdir(dir);
    return 0;
}
