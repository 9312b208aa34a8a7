/* A writer on the disk that crashes, who remembers what he wrote and what was acknowledged, and what recovery must
 * bring.
 *
 * The claim after any crash: recovery says FB_OK and brings the records applied + 1 … last in order, whole groups only,
 * with the bytes they were written with, where `safe` ≤ last ≤ `written`. After a recovery that said FB_OK all that it
 * brought is safe. */
#ifndef TESTS_JOURNAL_WORLD_H
#define TESTS_JOURNAL_WORLD_H

#include "base/rng.h"
#include "disk.h"
#include "journal/wal.h"

enum { WORLD_RECORDS = 1024 };

struct world_record {
    const uint8_t *data; /* never freed: tests end */
    uint32_t len;
    bool ends_unit;
};

struct world {
    struct disk *disk;
    struct fb_wal wal;
    uint64_t segment_bytes;
    bool everysec;
    struct fb_rng rng;
    struct world_record records[WORLD_RECORDS]; /* by number */
    uint64_t written;  /* the last record of which a byte may be on the disk */
    uint64_t acked;    /* survives the process */
    uint64_t safe;     /* survives the machine */
    uint64_t applied;  /* the database has it */

    uint64_t got;      /* by the recovery under way: the last record */
    bool got_whole;    /* it ended a unit */
    char wrong[256];   /* the first thing that was not as it must be; empty: none */
};

/* A writer on an empty disk, which he owns. */
void world_init(struct world *world, uint64_t segment_bytes, bool everysec, uint64_t seed);
/* Recover on `disk`, which is owned from now on, and check what comes. What the writer remembers is `world`'s; at least
 * `least` must be found. Returns recovery's status; world->wrong says what is amiss. */
fb_status world_recover(struct world *world, struct disk *disk, uint64_t least);
/* Lets go of journal and disk. */
void world_finish(struct world *world);

enum world_flavour {
    WORLD_RANDOM,
    WORLD_ZEROS,    /* values of zeros, whole sectors of them */
    WORLD_IMITATES, /* what lies in the segment already, at places where groups begin */
    WORLD_FORGES,   /* heads of groups as they would be good here, were it not for the salt */
    WORLD_FLAVOURS_
};

/* One group of n records in units, with about so many bytes in all, and what the writer's thread does with it: begins a
 * segment where there is no room, syncs, acknowledges. The status is that of the units. */
fb_status world_group(struct world *world, unsigned n, size_t bytes, enum world_flavour flavour);
fb_status world_sync(struct world *world);
fb_status world_mark(struct world *world);
/* The database has got everything up to here; keeps one applied segment. */
void world_apply(struct world *world, uint64_t seq);

__attribute__((format(printf, 2, 3))) void world_say(struct world *world, const char *format, ...);

#endif
