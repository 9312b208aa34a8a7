/* The simulator: random lives of a small world, one per seed, checked after every step.
 *
 *     sim [--count N | --short] [--from SEED] [--steps N]   run seeds; exit 1 when one violates something
 *     sim --seed N [--steps N] [--trace]                    one seed, told step by step with --trace
 *
 * A seed chooses the world (keys, memory, lives, failures) and then every step. A prefix of a run is a run, so a
 * failing seed is cut to the step at which it failed, and of all failing seeds the shortest is told. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "world.h"

enum { STEPS_MIN = 50, STEPS_SPREAD = 100, VIOLATIONS_MAX = 100 };
enum { COUNT = 100000, COUNT_SHORT = 20000, COUNT_FULL = 1000000 };

static struct world world;

/* ---- what a seed chooses ---- */

static const uint8_t op_weights[OP_KINDS] = {
    [OP_REFRESH] = 6, [OP_MOVE] = 12,
    [OP_READ] = 40,  [OP_ASIDE] = 10,     [OP_SET] = 12,   [OP_DELETE] = 5,  [OP_AROUND] = 5,         [OP_TICKET] = 5,
    [OP_BEHIND] = 6, [OP_INVALIDATE] = 4, [OP_EXPIRE] = 3, [OP_PERSIST] = 1, [OP_INVALIDATE_ALL] = 2,
};

/* Things that go wrong are offered as often as the others, and taken so many times in 64. */
static const uint32_t mishaps = 1u << ACT_LANE_FULL | 1u << ACT_HOME_ERROR | 1u << ACT_APP_FAILS | 1u << ACT_APP_DIES |
                                1u << ACT_FAIL | 1u << ACT_UNKNOWN | 1u << ACT_CANCEL | 1u << ACT_FORGET;

struct habits {
    unsigned weights[OP_KINDS], weight_sum;
    unsigned start_64, time_64, mishap_64;
    unsigned steps;
};

static uint64_t pick(struct fb_rng *rng, uint64_t n) { return fb_rng_below(rng, n); }

static void choose(struct fb_rng *rng, struct world_options *options, struct habits *habits) {
    static const unsigned keys[] = {1, 1, MOVE_KEYS, MOVE_KEYS, 3, KEYS_MAX};
    static const int64_t ttls[] = {2, 100, 1000, 20000, 3600000}, negative_ttls[] = {0, 50, 1000, 60000};
    *options = (struct world_options){
        .keys = keys[pick(rng, 6)],
        .bytes_max = 1 << 20,
        .evict = pick(rng, 4) == 0 ? &fb_evict_lru : &fb_evict_s3fifo,
        .policy = {.ttl_ms = ttls[pick(rng, 5)], .negative_ttl_ms = negative_ttls[pick(rng, 4)]},
        .allowed = UINT32_MAX,
        .is_one_hash = pick(rng, 8) == 0,
        .oom_one_in = pick(rng, 4) == 0 ? 8 : 0,
        .lag_ns = pick(rng, 2) ? LAG_MAX_NS : 0,
        .wait_ms = pick(rng, 2) ? 1 + (int64_t)pick(rng, 2000) : 0,
    };
    options->policy.jitter = pick(rng, 2) ? 0.1 : 0;
    if (pick(rng, 2)) {
        static const int64_t graces[] = {0, 3, 500, 60000}, downs[] = {0, 100, 3600000}, patiences[] = {0, 1, 50, 300};
        options->policy.grace_ms = graces[pick(rng, 4)];
        options->policy.grace_down_ms = downs[pick(rng, 3)];
        options->patience_ms = patiences[pick(rng, 4)];
    }
    if (pick(rng, 2)) {
        static const double shares[] = {0, 0.2, 0.5, 0.8, 0.95}, betas[] = {0, 0, 0.5, 1, 20};
        options->policy.refresh_ahead = shares[pick(rng, 5)];
        options->policy.early_refresh = betas[pick(rng, 5)];
    }
    if (options->keys == KEYS_MAX && pick(rng, 2) == 0) { /* room for eight entries, and for no negative one */
        options->bytes_max = 3200;
        options->padding = 200;
    }
    *habits = (struct habits){
        .start_64 = 8 + (unsigned)pick(rng, 20),
        .time_64 = (unsigned)pick(rng, 20),
        .mishap_64 = pick(rng, 4) == 0 ? 0 : 1 + (unsigned)pick(rng, 32),
        .steps = STEPS_MIN + (unsigned)pick(rng, STEPS_SPREAD),
    };
    /* In half of the worlds nothing happens behind Forebay's back: there every read must be the newest. */
    bool is_honest = pick(rng, 2) == 0;
    for (unsigned kind = 0; kind < OP_KINDS; kind++) {
        habits->weights[kind] = (unsigned)op_weights[kind] << pick(rng, 3);
        if ((pick(rng, 4) == 0 && kind != OP_READ) || (is_honest && kind == OP_BEHIND) ||
            (kind == OP_MOVE && options->keys < MOVE_KEYS))
            habits->weights[kind] = 0;
        habits->weight_sum += habits->weights[kind];
    }
}

/* From microseconds to some seconds, all orders of magnitude alike; or as long as something lives, or nearly. */
static uint64_t some_time_us(struct fb_rng *rng) {
    const int64_t lives_ms[] = {FB_WRITE_WINDOW_MS, FB_LEASE_MS, world.policies[0].ttl_ms,
                                world.policies[0].negative_ttl_ms, world.policies[0].grace_ms,
                                world.policies[0].grace_down_ms, world.options.patience_ms, FB_STALE_RETRY_MS};
    uint64_t life_us = (uint64_t)lives_ms[pick(rng, world.options.patience_ms > 0 ? 8 : 4)] * 1000;
    if (world.policies[0].refresh_ahead > 0 && pick(rng, 4) == 0)
        life_us = (uint64_t)((double)world.policies[0].ttl_ms * 1000 * world.policies[0].refresh_ahead);
    switch (pick(rng, 6)) {
    case 0: return life_us > 50 ? life_us - 50 + pick(rng, 100) : life_us;
    case 1: return life_us / 4 + pick(rng, life_us + 1);
    default: return pick(rng, UINT64_C(1) << (1 + pick(rng, 23)));
    }
}

static struct action some_start(struct fb_rng *rng, const struct habits *habits) {
    uint64_t left = pick(rng, habits->weight_sum);
    unsigned kind = 0;
    while (left >= habits->weights[kind])
        left -= habits->weights[kind++];
    uint64_t arg = kind == OP_EXPIRE ? some_time_us(rng) : pick(rng, 3);
    unsigned key = (unsigned)pick(rng, kind == OP_MOVE ? MOVING : world.options.keys);
    return (struct action){ACT_START, key, kind | arg << 8};
}

static struct action some_action(struct fb_rng *rng, const struct habits *habits) {
    static struct action actions[ACTIONS_MAX];
    uint64_t roll = pick(rng, 64);
    if (roll < habits->start_64)
        return some_start(rng, habits);
    if (roll == 63 && (world.policies[0].grace_ms + world.policies[0].grace_down_ms > 0 ||
                       world.policies[0].refresh_ahead > 0))
        return (struct action){ACT_BREAKER, 0, pick(rng, 2)};
    if (roll < habits->start_64 + habits->time_64)
        return pick(rng, 2) ? (struct action){ACT_TICK, 0, 0} : (struct action){ACT_ADVANCE, 0, some_time_us(rng)};
    unsigned n = world_enabled(&world, actions);
    for (unsigned tries = 0; n > 0 && tries < 8; tries++) {
        struct action action = actions[pick(rng, n)];
        if (!(mishaps >> action.act & 1) || pick(rng, 64) < habits->mishap_64)
            return action;
    }
    return some_start(rng, habits);
}

/* Returns the steps made: fewer than wanted when something was violated. */
static unsigned live(uint64_t seed, unsigned steps_max, FILE *trace) {
    struct fb_rng rng = {seed * UINT64_C(0x2545f4914f6cdd1d)};
    struct world_options options;
    struct habits habits;
    unsigned step = 0;
    choose(&rng, &options, &habits);
    options.trace = trace;
    world_begin(&world, &options, fb_rng_next(&rng));
    while (step < habits.steps && step < steps_max && world.violation[0] == '\0') {
        step++;
        world_do(&world, some_action(&rng, &habits));
    }
    if (world.violation[0] == '\0')
        world_say(&world, "-- the rest is carried out");
    world_finish(&world);
    return step;
}

/* ---- the programme ---- */

static double seconds(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A simulation that no longer meets something proves nothing about it. Returns what it has not met, or NULL. */
static const char *tell_met(const uint64_t *met) {
    static const char *const words[WORLD_EVENTS] = {
#define WORDS_(name, words) words,
        WORLD_EVENT_MAP(WORDS_)
#undef WORDS_
    };
    const char *unmet = NULL;
    printf("met:");
    for (unsigned i = 0; i < WORLD_EVENTS; i++) {
        printf("%s %" PRIu64 " %s", i > 0 ? "," : "", met[i], words[i]);
        if (met[i] == 0)
            unmet = words[i];
    }
    printf("\n");
    return unmet;
}

static int run_many(uint64_t from, uint64_t count, unsigned steps_max) {
    uint64_t steps = 0, operations = 0, loads = 0, violations = 0, worst = 0, seed = from, met[WORLD_EVENTS] = {0};
    unsigned shortest = UINT32_MAX;
    double began = seconds();
    for (; seed < from + count && violations < VIOLATIONS_MAX; seed++) {
        unsigned made = live(seed, steps_max, NULL);
        steps += made;
        operations += world.nops;
        loads += world.loads;
        for (unsigned i = 0; i < WORLD_EVENTS; i++)
            met[i] += world.seen[i];
        if (world.violation[0] == '\0')
            continue;
        if (violations++ < 5)
            fprintf(stderr, "seed %" PRIu64 ", step %u: %s\n", seed, made, world.violation);
        if (made < shortest) {
            shortest = made;
            worst = seed;
        }
    }
    double took = seconds() - began;
    printf("sim: %" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " operations, %" PRIu64 " loads, %.0f seeds/s, "
           "%" PRIu64 " violations\n",
           seed - from, steps, operations, loads, (double)(seed - from) / took, violations);
    const char *unmet = tell_met(met);
    if (violations == 0 && count >= COUNT_SHORT && unmet != NULL) {
        printf("not met: %s\n", unmet);
        return 1;
    }
    if (violations == 0)
        return 0;
    printf("the shortest is seed %" PRIu64 " with %u steps; again with: sim --seed %" PRIu64 " --steps %u --trace\n",
           worst, shortest, worst, shortest);
    live(worst, shortest, stdout);
    return 1;
}

int main(int argc, char **argv) {
    bool is_full = getenv("FOREBAY_TEST_FULL") != NULL;
    uint64_t count = is_full ? COUNT_FULL : COUNT, from = 1, seed = 0;
    unsigned steps_max = UINT32_MAX;
    bool is_one = false, is_traced = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            is_traced = true;
            continue;
        }
        if (strcmp(argv[i], "--short") == 0) { /* for builds with sanitizers */
            count = is_full ? COUNT : COUNT_SHORT;
            continue;
        }
        if (value == NULL)
            goto usage;
        if (strcmp(argv[i], "--count") == 0)
            count = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--steps") == 0)
            steps_max = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(value, NULL, 10);
            is_one = true;
        } else
            goto usage;
        i++;
    }
    if (!is_one)
        return run_many(from, count, steps_max);
    unsigned made = live(seed, steps_max, is_traced ? stdout : NULL);
    printf("seed %" PRIu64 ": %u steps, %s\n", seed, made, world.violation[0] ? world.violation : "no violation");
    return world.violation[0] != '\0';
usage:
    fprintf(stderr, "usage: sim [--count N | --short] [--from SEED] [--steps N] | --seed N [--steps N] [--trace]\n");
    return 2;
}
