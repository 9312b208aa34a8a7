/* A crash at every call to the disk, with every subset of what was not synced: what was acknowledged is found, and
 * nothing is called damaged.
 *
 *     crash [--short]
 *
 * A writer fills some segments: groups of one sector to more than twelve, values of zeros, values that imitate groups,
 * marks, deletions. Before each call that changes what a crash leaves, the disk as it would be after a crash there is
 * made, for every subset of the unsynced sectors, sizes and names (up to 2^12; beyond, samples), and recovered. Some of
 * these recoveries are themselves crashed at every call, and go on to write. Besides, each such moment is one at which
 * only the process dies: nothing is lost then, nothing is safer, and the machine may crash later. */
#include <stdio.h>
#include <string.h>

#include "world.h"

enum {
    BITS_MAX = 12,         /* enumerated up to here, … */
    SAMPLES = 512,         /* … beyond: so many at random, besides all, none, each missing and each alone */
    NESTED_BITS_MAX = 5,
    NESTED_SAMPLES = 24,
    NESTED_EVERY = 61,     /* one outer state in so many is crashed again */
    SHOWN_MAX = 5,         /* violations printed */
};

struct explorer {
    struct world *world;
    int depth;
    bool is_short;
    uint64_t *states, *nested, *violations;
    const char *name;
};

static void explore(struct disk *disk, void *user);

/* What the writer does after a nested recovery: it must be able to. */
static fb_status go_on(struct world *w) {
    fb_status status = world_group(w, 2, 700, WORLD_RANDOM);
    if (status == FB_OK)
        status = world_group(w, 1, 1500, WORLD_ZEROS);
    return status == FB_OK ? world_mark(w) : status;
}

/* Recover what a crash left; `least` must be found. The disk is freed. */
static void judge(const struct explorer *from, struct disk *after, uint64_t least, const char *how, bool again) {
    static struct world worlds[3]; /* large, and only one of each depth is in use */
    struct world *w = &worlds[from->depth];
    *w = *from->world;
    w->wal = (struct fb_wal){.handle = -1, .lock = -1};
    w->wrong[0] = '\0';
    w->acked = least; /* w->safe is still what it was: only a recovery that ends makes more safe */
    struct explorer inner = *from;
    inner.world = w;
    inner.depth++;
    if (again) {
        after->before = explore;
        after->user = &inner;
    }
    fb_status status = world_recover(w, after, least);
    if (status == FB_OK && again && go_on(w) != FB_OK)
        world_say(w, "the journal cannot go on: %s", w->wal.failure.text);
    after->before = NULL;
    ++*(from->depth == 0 ? from->states : from->nested);
    if (w->wrong[0] != '\0' && ++*from->violations <= SHOWN_MAX)
        printf("# %s, %s, depth %d, call %lu: %s\n", from->name, how, from->depth,
               (unsigned long)from->world->disk->calls, w->wrong);
    world_finish(w);
}

static void judge_subset(const struct explorer *e, struct disk *disk, const struct disk_bit *bits, int n,
                         const bool *keep) {
    bool again = e->depth == 0 && *e->states % NESTED_EVERY == 0;
    judge(e, disk_crash(disk, bits, n, keep), e->world->safe, "the machine crashed", again);
}

/* The state of the disk is as it was before the call that is about to be made. */
static void explore(struct disk *disk, void *user) {
    const struct explorer *e = user;
    static struct disk_bit lists[2][DISK_BITS];
    static bool keeps[2][DISK_BITS];
    struct disk_bit *bits = lists[e->depth];
    bool *keep = keeps[e->depth];
    int bits_max = e->is_short ? 6 : e->depth == 0 ? BITS_MAX : NESTED_BITS_MAX;
    int samples = e->is_short ? 16 : e->depth == 0 ? SAMPLES : NESTED_SAMPLES;
    pthread_mutex_unlock(&disk->mutex); /* this is called inside; nobody else is here */
    int n = disk_bits(disk, bits);
    if (n <= bits_max) {
        for (unsigned subset = 0; subset < 1u << n; subset++) {
            for (int i = 0; i < n; i++)
                keep[i] = subset >> i & 1;
            judge_subset(e, disk, bits, n, keep);
        }
    } else {
        struct fb_rng rng = {disk->calls};
        for (int s = -2 - 2 * n; s < samples; s++) {
            for (int i = 0; i < n; i++)
                keep[i] = s >= 0 ? fb_rng_next(&rng) & 1 : s >= -2 ? s == -1 : ((s + 2 + 2 * n) / 2 == i) == (s & 1);
            judge_subset(e, disk, bits, n, keep);
        }
    }
    judge(e, disk_reopen(disk), e->world->acked, "the process died", e->depth == 0);
    pthread_mutex_lock(&disk->mutex);
}

/* One writer's life. */
static void live(struct world *w, unsigned groups) {
    static const size_t sizes[] = {60, 400, 900, 64, 1500, 3000, 200, 512, 2100, 100, 5000, 448, 1024, 6500, 33};
    fb_status status = world_recover(w, w->disk, 0);
    for (unsigned i = 0; i < groups && status == FB_OK; i++) {
        size_t bytes = sizes[fb_rng_below(&w->rng, sizeof sizes / sizeof sizes[0])];
        status = world_group(w, 1 + (unsigned)fb_rng_below(&w->rng, 5), bytes < w->segment_bytes - 1500 ? bytes : 1000,
                             (enum world_flavour)fb_rng_below(&w->rng, WORLD_FLAVOURS_));
        if (status == FB_OK && w->everysec && i % 3 == 2)
            status = world_sync(w);
        if (status == FB_OK && i % 7 == 6)
            status = world_mark(w);
        if (i % 5 == 4)
            world_apply(w, w->safe > 12 ? w->safe - 12 : 0);
    }
    if (status == FB_OK)
        status = world_mark(w);
    if (status != FB_OK)
        world_say(w, "the writer's life ended: %s", fb_status_name(status));
}

int main(int argc, char **argv) {
    static const struct { const char *name; uint64_t segment_bytes; bool everysec; unsigned groups; } rows[] = {
        {"always, segments of 16 KiB", 16384, false, 60},
        {"always, segments of 4 KiB", 4096, false, 60},
        {"everysec, segments of 16 KiB", 16384, true, 36},
        {"everysec, segments of 4 KiB", 4096, true, 36},
    };
    bool is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    uint64_t all = 0, violations_all = 0;
    printf("1..%zu\n", sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct world w;
        uint64_t states = 0, nested = 0, violations = 0;
        struct explorer explorer = {&w, 0, is_short, &states, &nested, &violations, rows[i].name};
        world_init(&w, rows[i].segment_bytes, rows[i].everysec, i + 1);
        w.disk->before = explore;
        w.disk->user = &explorer;
        live(&w, is_short ? 14 : rows[i].groups);
        w.disk->before = NULL;
        if (w.wrong[0] != '\0') {
            printf("# %s: %s\n", rows[i].name, w.wrong);
            violations++;
        }
        printf("%s %zu - %s: %lu calls, %lu states, %lu more of crashed recoveries, %lu violations\n",
               violations == 0 ? "ok" : "not ok", i + 1, rows[i].name, (unsigned long)w.disk->calls,
               (unsigned long)states, (unsigned long)nested, (unsigned long)violations);
        fflush(stdout);
        all += states + nested;
        violations_all += violations;
        world_finish(&w);
    }
    printf("# %lu states, %lu violations\n", (unsigned long)all, (unsigned long)violations_all);
    return violations_all != 0;
}
