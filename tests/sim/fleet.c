/* The simulator of several Forebays: random lives, one per seed (fleet_world.h says what is checked).
 *
 *     fleet [--count N | --short] [--from SEED] [--without PART]   run seeds; exit 1 when one violates something
 *     fleet --seed N [--trace] [--without PART]                    one seed
 *     fleet --parts                                                leave out each part in turn: each must be missed
 *
 * PART is a rule that this driver keeps for the engine; left out, some seed must notice. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fleet_world.h"

enum { COUNT = 20000, COUNT_SHORT = 2000, SHOWN_MAX = 5, OPS_SPREAD = 60 };

static struct fleet fleet;

static const char *const part_names[PARTS] = {
#define PART_NAME_(name, words) #name,
    FLEET_PARTS(PART_NAME_)
#undef PART_NAME_
};
static const char *const part_words[PARTS] = {
#define PART_WORDS_(name, words) words,
    FLEET_PARTS(PART_WORDS_)
#undef PART_WORDS_
};
static const char *const seen_words[FS_COUNT] = {
#define SEEN_WORDS_(name, words) words,
    FLEET_EVENTS(SEEN_WORDS_)
#undef SEEN_WORDS_
};

static struct fleet_options choose(uint64_t seed) {
    struct fb_rng rng = {seed ^ 0x5eed};
#define ONE_OF(n) (fb_rng_below(&rng, n) == 0)
    struct fleet_options o = {
        .nodes = 1 + (unsigned)fb_rng_below(&rng, NODES_MAX),
        .keys = 1 + (unsigned)fb_rng_below(&rng, FLEET_KEYS),
        .ops = 20 + (unsigned)fb_rng_below(&rng, OPS_SPREAD),
        .has_l1 = ONE_OF(2), .is_slow = ONE_OF(3),
        .queues = 8, .ttl_ms = 3600000, .negative_ttl_ms = 3600000,
    };
    if (ONE_OF(6))
        o.ttl_ms = 200, o.negative_ttl_ms = ONE_OF(2) ? 0 : 100, o.is_ahead = ONE_OF(2), o.grace_ms = ONE_OF(2) ? 3600000 : 0;
    if (ONE_OF(2)) { /* calls go wrong */
        o.unsent = 10 + (unsigned)fb_rng_below(&rng, 60);
        o.unknown = 4 + (unsigned)fb_rng_below(&rng, 40);
        o.refused = ONE_OF(2) ? 40 : 0;
    }
    if (ONE_OF(2)) { /* and so does the source */
        o.source_error = ONE_OF(2) ? 10 : 0;
        o.doubt = ONE_OF(2) ? 8 : 0;
        o.fails = ONE_OF(2) ? 8 : 0;
    }
    if (!ONE_OF(3)) {
        o.faults = 2 + (unsigned)fb_rng_below(&rng, 12);
        o.evicts = !ONE_OF(3);
        o.cuts = ONE_OF(2);
        o.dies = ONE_OF(3);
        o.loses = ONE_OF(4);
        o.flushes = ONE_OF(4);
        o.fails_over = ONE_OF(5);
        o.restarts = !o.fails_over && ONE_OF(6);
    }
#undef ONE_OF
    return o;
}

/* Worlds in which this part has something to do. */
static void provoke(struct fleet_options *o, enum fleet_part part) {
    if (part == PART_NO_PATIENCE || part == PART_OWES_NOTHING) {
        o->nodes = NODES_MAX;
        o->keys = 1;
        o->faults = part == PART_OWES_NOTHING ? 40 : 12;
        o->evicts = o->cuts = o->has_l1 = false;
        o->ttl_ms = o->negative_ttl_ms = 3600000;
        o->dies = o->loses = o->flushes = o->fails_over = o->restarts = false;
        o->doubt = 0;
    }
    o->is_slow |= part == PART_NO_PATIENCE || part == PART_OWES_NOTHING;
    o->dies |= part == PART_NO_PATIENCE;
    o->loses |= part == PART_OWES_NOTHING;
    if (part == PART_END_IS_SURE || part == PART_OWES_NOTHING)
        o->unknown = 4;
}

static void live(uint64_t seed, uint32_t without, FILE *trace) {
    struct fleet_options options = choose(seed);
    options.without = without;
    for (unsigned part = 0; part < PARTS; part++)
        if (without >> part & 1)
            provoke(&options, (enum fleet_part)part);
    options.trace = trace;
    fleet_live(&fleet, &options, seed);
}

struct sum { uint64_t violations, first, seen[FS_COUNT]; int64_t longest; };

static struct sum live_all(uint64_t from, uint64_t count, uint32_t without, bool is_told, bool is_enough) {
    struct sum sum = {0};
    for (uint64_t seed = from; seed < from + count; seed++) {
        live(seed, without, NULL);
        for (int i = 0; i < FS_COUNT; i++)
            sum.seen[i] += fleet.seen[i];
        if (fleet.violation[0] == '\0')
            continue;
        if (sum.violations++ == 0)
            sum.first = seed;
        if (is_told && sum.violations <= SHOWN_MAX)
            printf("seed %" PRIu64 ": %s\n", seed, fleet.violation);
        if (is_enough)
            break;
    }
    return sum;
}

static int part_of(const char *name) {
    for (int i = 0; i < PARTS; i++)
        if (strcmp(name, part_names[i]) == 0)
            return i;
    fprintf(stderr, "fleet: no part is called %s\n", name);
    exit(2);
}

static int leave_out_each(uint64_t count) {
    int failed = 0;
    printf("1..%d\n", PARTS);
    for (int i = 0; i < PARTS; i++) {
        struct sum sum = live_all(1, count, 1u << i, /* is_told = */ false, /* is_enough = */ true);
        bool is_caught = sum.violations > 0;
        failed += !is_caught;
        printf("%sok %d - %s: ", is_caught ? "" : "not ", i + 1, part_words[i]);
        if (is_caught)
            printf("caught by seed %" PRIu64 "\n", sum.first);
        else
            printf("NOT caught by %" PRIu64 " seeds\n", count);
    }
    return failed > 0;
}

int main(int argc, char **argv) {
    uint64_t count = COUNT, from = 1, seed = 0;
    uint32_t without = 0;
    bool has_seed = false, is_parts = false;
    FILE *trace = NULL;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(word, "--short") == 0)
            count = COUNT_SHORT;
        else if (strcmp(word, "--trace") == 0)
            trace = stdout;
        else if (strcmp(word, "--parts") == 0)
            is_parts = true;
        else if (strcmp(word, "--count") == 0)
            count = strtoull(value, NULL, 10), i++;
        else if (strcmp(word, "--from") == 0)
            from = strtoull(value, NULL, 10), i++;
        else if (strcmp(word, "--seed") == 0)
            seed = strtoull(value, NULL, 10), has_seed = true, i++;
        else if (strcmp(word, "--without") == 0)
            without |= 1u << part_of(value), i++;
        else
            return fprintf(stderr, "fleet: what is %s?\n", word), 2;
    }
    if (is_parts)
        return leave_out_each(count > COUNT ? count : 5 * (uint64_t)COUNT);
    if (has_seed) {
        live(seed, without, trace);
        printf("seed %" PRIu64 ": %s\n", seed, fleet.violation[0] != '\0' ? fleet.violation : "no violation");
        return fleet.violation[0] != '\0';
    }
    clock_t began = clock();
    struct sum sum = live_all(from, count, without, /* is_told = */ true, /* is_enough = */ false);
    bool is_blind = false;
    printf("met:");
    for (int i = 0; i < FS_COUNT; i++) {
        printf("%s %" PRIu64 " %s", i > 0 ? "," : "", sum.seen[i], seen_words[i]);
        is_blind |= sum.seen[i] == 0 && count >= COUNT_SHORT;
    }
    printf("\nfleet: %" PRIu64 " seeds in %.1f s, %" PRIu64 " violations%s\n", count,
           (double)(clock() - began) / CLOCKS_PER_SEC, sum.violations, is_blind ? "; something never happened" : "");
    return sum.violations > 0 || is_blind;
}
