/* The simulator of write-behind: random lives, one per seed (world.h says what is checked).
 *
 *     behind_sim [--count N | --short] [--from SEED] [--without PART]   run seeds; exit 1 when one violates something
 *     behind_sim --seed N [--trace] [--without PART]                    one seed
 *     behind_sim --parts [--count N]                                    leave out each part in turn: each must be missed
 *
 * PART is a rule of write-behind, or of the disk or database below it; left out, some seed must notice. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "world.h"

enum { COUNT = 4000, COUNT_SHORT = 300, COUNT_PARTS = 4000, SHOWN_MAX = 5 };

static const char *const part_names[PARTS] = {
#define PART_NAME_(name, words) #name,
    BEHIND_PARTS(PART_NAME_)
#undef PART_NAME_
};
static const char *const part_words[PARTS] = {
#define PART_WORDS_(name, words) words,
    BEHIND_PARTS(PART_WORDS_)
#undef PART_WORDS_
};
static const char *const seen_words[BS_COUNT] = {
#define SEEN_WORDS_(name, words) words,
    BEHIND_EVENTS(SEEN_WORDS_)
#undef SEEN_WORDS_
};

static struct options choose(uint64_t seed) {
    struct fb_rng rng = {seed ^ 0xbe41d};
#define ONE_OF(n) (fb_rng_below(&rng, n) == 0)
    struct options o = {
        .machines = ONE_OF(4) ? 2 : 1, .clients = 1 + (unsigned)fb_rng_below(&rng, CLIENTS_MAX),
        .rows = 1 + (unsigned)fb_rng_below(&rng, ROWS), .lives = 1 + (unsigned)fb_rng_below(&rng, 4),
        .ops = 3 + (unsigned)fb_rng_below(&rng, 12), .switches = 1u << fb_rng_below(&rng, 4),
        .adds = ONE_OF(2), .pair = ONE_OF(4), .poison = ONE_OF(5), .everysec = ONE_OF(6), .is_tight = ONE_OF(6),
        .is_replace = ONE_OF(3), .ttl_ms = ONE_OF(5) ? 20 : 3600000, .interval_ms = ONE_OF(2) ? 5 : 200,
        .drains = ONE_OF(2) ? 1 : 3,
    };
    o.cuts_power = !o.everysec && !ONE_OF(3);
    if (o.pair && o.rows <= PAIR)
        o.rows = PAIR + 1;
    if (o.poison)
        o.rows = o.rows > POISONED ? o.rows : POISONED + 1;
    o.invalidates = ONE_OF(2) ? 4 : 0;
    if (ONE_OF(2)) { /* the database has its troubles */
        o.transient = ONE_OF(2) ? 12 : 0;
        o.lost = ONE_OF(2) ? 4 : 0;
        o.schema = ONE_OF(4) ? 10 : 0;
        o.back = ONE_OF(3) ? 20 : 0;
    }
    o.fails_disk = ONE_OF(4) ? 2000 : 0;
    o.takeover = ONE_OF(2) ? 20 : 0;
#undef ONE_OF
    return o;
}

/* Worlds in which this part has something to do. */
static void provoke(struct options *o, enum behind_part part) {
    if (part == PART_SYNC_AGAIN) {
        o->fails_disk = 100;
        o->everysec = false;
        o->cuts_power = true;
        o->lives += 2;
    }
    o->poison |= part == PART_LETTERS_STAY;
    o->rows = o->poison && o->rows <= POISONED ? POISONED + 1 : o->rows;
}

static void live(uint64_t seed, uint32_t without, FILE *trace) {
    struct options options = choose(seed);
    options.without = without;
    for (unsigned part = 0; part < PARTS; part++)
        if (without >> part & 1)
            provoke(&options, (enum behind_part)part);
    options.trace = trace;
    world_live(&options, seed);
}

struct sum { uint64_t violations, first, seen[BS_COUNT]; };

static struct sum live_all(uint64_t from, uint64_t count, uint32_t without, bool is_told, bool is_enough) {
    struct sum sum = {0};
    for (uint64_t seed = from; seed < from + count; seed++) {
        live(seed, without, NULL);
        for (int i = 0; i < BS_COUNT; i++)
            sum.seen[i] += w.seen[i];
        if (w.violation[0] == '\0')
            continue;
        if (sum.violations++ == 0)
            sum.first = seed;
        if (is_told && sum.violations <= SHOWN_MAX)
            printf("seed %" PRIu64 ": %s\n", seed, w.violation);
        if (is_enough)
            break;
    }
    return sum;
}

static int part_of(const char *name) {
    for (int i = 0; i < PARTS; i++)
        if (strcmp(name, part_names[i]) == 0)
            return i;
    fprintf(stderr, "behind_sim: no part is called %s\n", name);
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
            printf("caught by seed %" PRIu64 " (%s)\n", sum.first, w.violation);
        else
            printf("NOT caught by %" PRIu64 " seeds\n", count);
        fflush(stdout);
    }
    return failed > 0;
}

int main(int argc, char **argv) {
    uint64_t count = 0, from = 1, seed = 0;
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
            return fprintf(stderr, "behind_sim: what is %s?\n", word), 2;
    }
    if (is_parts)
        return leave_out_each(count > 0 ? count : COUNT_PARTS);
    if (has_seed) {
        live(seed, without, trace);
        printf("seed %" PRIu64 ": %s\n", seed, w.violation[0] != '\0' ? w.violation : "no violation");
        return w.violation[0] != '\0';
    }
    count = count > 0 ? count : COUNT;
    clock_t began = clock();
    struct sum sum = live_all(from, count, without, /* is_told = */ true, /* is_enough = */ false);
    bool is_blind = false;
    printf("met:");
    for (int i = 0; i < BS_COUNT; i++) {
        printf("%s %" PRIu64 " %s", i > 0 ? "," : "", sum.seen[i], seen_words[i]);
        is_blind |= sum.seen[i] == 0 && count >= COUNT;
    }
    printf("\nbehind: %" PRIu64 " seeds in %.1f s, %" PRIu64 " violations%s\n", count,
           (double)(clock() - began) / CLOCKS_PER_SEC, sum.violations, is_blind ? "; something never happened" : "");
    return sum.violations > 0 || is_blind;
}
