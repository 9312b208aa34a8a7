/* Each call to the disk fails once, in turn: the right error, and nothing acknowledged is lost.
 *
 *     faults [--short]
 *
 * The writer of world.h lives a life in which call number n fails, for every n and every kind of failure: EIO, ENOSPC,
 * interrupted, half done, failed though done. What he is told must be true afterwards: after his death and a restart on
 * the same machine, where readers see also what never reached the disk, and after a crash of the machine behind that.
 * Then the same with the journal's threads, and with every allocation. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "journal/journal.h"
#include "world.h"

enum { GROUPS = 24, UNITS = 40, SEGMENT_BYTES = 4096, ALLOCATIONS = 200 /* a life needs fewer */ };

static const struct fault { const char *name; int number; bool is_short, writes_anyway; } faults[] = {
    {"EIO", EIO, false, false},
    {"ENOSPC", ENOSPC, false, false},
    {"EINTR", EINTR, false, false},
    {"half done", 0, true, false},
    {"EIO though done", EIO, false, true},
};

static uint64_t violations;

static void report(const struct fault *fault, int64_t call, const char *wrong) {
    if (wrong[0] != '\0' && ++violations <= 10)
        printf("# %s in call %ld: %s\n", fault->name, (long)call, wrong);
}

/* Restart on the same machine; then the machine crashes, keeping all or nothing of what was not synced. */
static void restart(const struct world *from, const struct fault *fault, int64_t call) {
    static struct world w, after;
    static struct disk_bit bits[DISK_BITS];
    static bool keep[DISK_BITS];
    w = *from;
    w.wal = (struct fb_wal){.handle = -1, .lock = -1};
    (void)world_recover(&w, disk_reopen(from->disk), from->acked);
    report(fault, call, w.wrong);
    int n = disk_bits(w.disk, bits);
    for (int all = 0; all <= 1; all++) {
        memset(keep, all, sizeof keep);
        after = w;
        after.wal = (struct fb_wal){.handle = -1, .lock = -1};
        (void)world_recover(&after, disk_crash(w.disk, bits, n, keep), w.got);
        report(fault, call, after.wrong);
        world_finish(&after);
    }
    world_finish(&w);
}

/* After a failure nothing is written or synced any more. */
static void stays_failed(struct world *w) {
    uint64_t writes = w->disk->calls_of[DISK_WRITE], syncs = w->disk->calls_of[DISK_SYNC];
    fb_buf group = FB_BUF_INIT;
    static const char room[FB_GROUP_HEAD];
    bool made = fb_buf_append(&group, room, sizeof room) == FB_OK &&
                fb_record_put(&group, 1, false, FB_STR("key"), FB_STR("value")) == FB_OK;
    if (!made || world_sync(w) == FB_OK || world_mark(w) == FB_OK ||
        (fb_wal_fits(&w->wal, group.len - FB_GROUP_HEAD) && fb_wal_write(&w->wal, &group, 1) == FB_OK))
        world_say(w, "the journal has failed and goes on");
    fb_buf_free(&group);
    if (w->disk->calls_of[DISK_WRITE] != writes || w->disk->calls_of[DISK_SYNC] != syncs)
        world_say(w, "something is written or synced after a failure");
}

/* True: the fault was met. */
static bool life(const struct fault *fault, int64_t call, uint64_t counts[5]) {
    static struct world w;
    static const size_t sizes[] = {60, 900, 400, 2000, 64, 1500};
    world_init(&w, SEGMENT_BYTES, false, 5);
    w.disk->fail_call = call;
    w.disk->fail_errno = fault->number;
    w.disk->is_short = fault->is_short;
    w.disk->writes_anyway = fault->writes_anyway;
    fb_status status = world_recover(&w, w.disk, 0);
    if (status != FB_OK && w.disk->has_failed) { /* said so: begin again */
        struct disk *disk = disk_reopen(w.disk);
        counts[0]++;
        if (status != FB_SYSTEM)
            report(fault, call, w.wrong);
        world_finish(&w);
        w.wrong[0] = '\0';
        status = world_recover(&w, disk, 0);
        w.disk->has_failed = true;
    }
    report(fault, call, w.wrong);
    for (unsigned i = 0; i < GROUPS && status != FB_UNKNOWN; i++) {
        uint64_t written = w.written;
        bool had_failed = w.disk->has_failed;
        status = world_group(&w, 1 + i % 3, sizes[i % 6], WORLD_RANDOM);
        counts[status == FB_OK ? 1 : status == FB_BUSY ? 2 : 3]++;
        if (status == FB_BUSY && w.written != written)
            world_say(&w, "refused, but written");
        if (status != FB_OK && (had_failed || !w.disk->has_failed))
            world_say(&w, "%s without a reason", fb_status_name(status));
        if (status == FB_UNKNOWN || status == FB_DOWN) {
            stays_failed(&w);
            status = FB_UNKNOWN;
        } else if (i % 9 == 8 && world_mark(&w) != FB_OK) {
            stays_failed(&w);
            status = FB_UNKNOWN;
        } else if (i % 9 == 8) {
            world_apply(&w, w.safe > 6 ? w.safe - 6 : 0);
        }
    }
    bool met = w.disk->has_failed;
    report(fault, call, w.wrong);
    restart(&w, fault, call);
    world_finish(&w);
    return met;
}

/* ---- with threads ---------------------------------------------------------------------------------------------- */

struct told {
    struct fb_lock lock;
    struct fb_cond cond;
    bool is_told;
    fb_status status;
    uint64_t last_seq;
};

static void tell(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq) {
    struct told *told = user;
    (void)first_seq;
    fb_lock_acquire(&told->lock);
    if (told->is_told)
        abort(); /* twice */
    told->is_told = true;
    told->status = status;
    told->last_seq = last_seq;
    fb_cond_signal(&told->cond);
    fb_lock_release(&told->lock);
}

/* The payload of a record is the number of its append; what was acknowledged must come, once, in order. */
struct found {
    int last;
    bool seen[UNITS], is_wrong;
};

static fb_status find(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    struct found *found = user;
    int number;
    (void)reterr;
    memcpy(&number, entry->payload.data, sizeof number);
    found->is_wrong |= number <= found->last && number != found->last;
    found->last = number;
    found->seen[number] = true;
    return FB_OK;
}

/* UNITS appends, one after the other: a shot at disk or memory hits a definite place. What each was told. */
static void append_all(struct fb_journal *journal, fb_status statuses[UNITS], int *at) {
    char filler[300];
    memset(filler, 'x', sizeof filler);
    for (; *at < UNITS; ++*at) {
        struct told told = {0};
        int number = *at;
        fb_lock_init(&told.lock, FB_LOCK_PARK);
        fb_cond_init(&told.cond);
        memcpy(filler, &number, sizeof number);
        const struct fb_journal_record records[2] = {
            {1, FB_STR("a"), fb_bytes_of(filler, sizeof filler)}, {2, FB_STR("b"), fb_bytes_of(filler, sizeof number)}};
        fb_status status = fb_journal_append(journal, records, 2, tell, &told, NULL);
        if (status == FB_PENDING) {
            fb_lock_acquire(&told.lock);
            while (!told.is_told)
                fb_cond_wait(&told.cond, &told.lock);
            fb_lock_release(&told.lock);
            status = told.status;
        }
        statuses[*at] = status;
        fb_cond_finish(&told.cond);
        fb_lock_finish(&told.lock);
    }
}

static void with_threads(struct disk *disk, const struct fault *fault, int64_t call) {
    fb_status statuses[UNITS];
    struct fb_journal *journal;
    struct found found = {.last = -1};
    struct fb_journal_options options = {.files = &disk->files, .segment_bytes = SEGMENT_BYTES};
    fb_err err;
    int at = 0;
    for (int tries = 0; at < UNITS && tries < 3; tries++) { /* what does not open says so, and opens the next time */
        if (fb_journal_open(&options, &journal, &err) != FB_OK)
            continue;
        found = (struct found){.last = -1};
        if (fb_journal_recover(journal, 0, find, &found, &err) == FB_OK)
            append_all(journal, statuses, &at);
        (void)fb_journal_close(journal, NULL);
    }
    fb_mem_fail_after(-1);
    if (at < UNITS) {
        report(fault, call, "the journal does not open");
        return;
    }
    struct disk *after = disk_reopen(disk);
    options.files = &after->files;
    found = (struct found){.last = -1};
    if (fb_journal_open(&options, &journal, &err) != FB_OK) {
        report(fault, call, err.text);
    } else {
        if (fb_journal_recover(journal, 0, find, &found, &err) != FB_OK)
            report(fault, call, err.text);
        (void)fb_journal_close(journal, NULL);
    }
    for (int i = 0; i < UNITS; i++) {
        if (statuses[i] == FB_OK && !found.seen[i])
            report(fault, call, "acknowledged and lost");
        if (statuses[i] != FB_OK && statuses[i] != FB_UNKNOWN && found.seen[i])
            report(fault, call, "certainly not written, and there");
        if (statuses[i] != FB_OK && statuses[i] != FB_UNKNOWN && statuses[i] != FB_DOWN && statuses[i] != FB_BUSY &&
            statuses[i] != FB_NOMEM)
            report(fault, call, fb_status_name(statuses[i]));
    }
    if (found.is_wrong)
        report(fault, call, "out of order");
    disk_free(after);
}

static int claims;

static void claim(const char *what, uint64_t n, const char *more) {
    static uint64_t before;
    printf("%s %d - %s: %lu in turn%s\n", violations == before ? "ok" : "not ok", ++claims, what, (unsigned long)n,
           more);
    fflush(stdout);
    before = violations;
}

int main(int argc, char **argv) {
    bool is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    size_t kinds = sizeof faults / sizeof faults[0];
    char more[128], name[64];
    printf("1..%zu\n", 2 * kinds + 1);
    for (size_t i = 0; i < kinds; i++) {
        uint64_t n = 0, counts[5] = {0};
        while (life(&faults[i], (int64_t)n, counts))
            n++;
        (void)snprintf(more, sizeof more, "; %lu starts failed, %lu groups refused, %lu unknown or later",
                       (unsigned long)counts[0], (unsigned long)counts[2], (unsigned long)counts[3]);
        (void)snprintf(name, sizeof name, "%s in each call", faults[i].name);
        claim(name, n, more);
    }
    for (size_t i = 0; i < kinds; i++) {
        int64_t n = 0;
        for (bool met = true; met; n += is_short ? 7 : 1) {
            struct disk *disk = disk_new();
            disk->fail_call = n;
            disk->fail_errno = faults[i].number;
            disk->is_short = faults[i].is_short;
            disk->writes_anyway = faults[i].writes_anyway;
            with_threads(disk, &faults[i], n);
            met = disk->has_failed;
            disk_free(disk);
        }
        (void)snprintf(name, sizeof name, "%s in each call, with threads", faults[i].name);
        claim(name, (uint64_t)n, "");
    }
    static const struct fault no_memory = {"no memory", ENOMEM, false, false};
    int64_t n = 0;
    for (; n < ALLOCATIONS; n += is_short ? 7 : 1) {
        struct disk *disk = disk_new();
        fb_mem_fail_after(n);
        with_threads(disk, &no_memory, n);
        disk_free(disk);
    }
    claim("each allocation fails", (uint64_t)n, "");
    return violations != 0;
}
