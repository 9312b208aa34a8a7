/* The explorer: every order in which a few operations can meet, all of them, in small worlds.
 *
 *     explore [--world N] [--cut N]    or: explore --short
 *     explore --world N --trace ODOMETER
 *
 * A run makes one choice after the other among all that is possible at that moment. The choices are the wheels of an
 * odometer: a run is replayed from the beginning, the last wheel that can turn is turned, until none can. So no order
 * is left out and none is seen twice; --cut leaves a world after so many runs, for builds too slow to see it all. A
 * violation prints its odometer, which --trace replays in words. Prints TAP. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum {
    WHEELS_MAX = 128,
    STARTS_MAX = 6,
    SHORT = 20000,        /* runs of each world in builds with sanitizers */
    TTL_MS = 1000, PATIENCE_MS = 100, /* of worlds that begin stale */
    VIOLATIONS_MAX = 100, /* after a violation the memory of a world is lost */
};

#define BIT(act) (UINT32_C(1) << (act))
#define GOOD                                                                                                           \
    (BIT(ACT_DISPATCH) | BIT(ACT_QUERY) | BIT(ACT_HOME) | BIT(ACT_APP_QUERY) | BIT(ACT_APP_FILL) | BIT(ACT_HOLD) |     \
     BIT(ACT_COMMIT) | BIT(ACT_END) | BIT(ACT_INVALIDATE))
#define DOUBT (BIT(ACT_UNKNOWN) | BIT(ACT_LAND) | BIT(ACT_LOSE))

#define START(op) {ACT_START, 0, (op) | 2 << 8}
/* Key 1 begins without a row. */
#define START_ABSENT(op) {ACT_START, 1, (op) | 2 << 8}
/* The row that two lists may show, and the lists. It is in the first one when the world begins. */
#define MOVE_TO(list) {ACT_START, 0, OP_MOVE | (list) << 8}
#define OTHER_MOVES_TO(list) {ACT_START, 1, OP_MOVE | (list) << 8}
#define START_LIST(list, op) {ACT_START, LISTS_AT + LISTS_STEP * (list), (op) | 2 << 8}
#define TICK {ACT_TICK, 0, 0}
#define BREAKS {ACT_BREAKER, 0, 1}
#define PASS(ms) {ACT_ADVANCE, 0, (ms) * UINT64_C(1000)}

static const struct small_world {
    const char *claim;
    uint32_t allowed;
    enum { COLD, WARM, STALE, DUE } begins; /* key 0 is cached, or past its life and within its grace, or past its
                                               refresh point, when it begins */
    struct action starts[STARTS_MAX]; /* begun in any order, but equal neighbours in theirs; ended by a plain 0 */
} small_worlds[] = {
    {"three readers and a write-through", GOOD, COLD,
     {START(OP_READ), START(OP_READ), START(OP_READ), START(OP_SET)}},
    {"three readers of a cached value and a write-through", GOOD, WARM,
     {START(OP_READ), START(OP_READ), START(OP_READ), START(OP_SET)}},
    {"two readers and two writers", GOOD, COLD,
     {START(OP_READ), START(OP_READ), START(OP_SET), START(OP_SET)}},
    {"two readers and a write-around that may fail", GOOD | BIT(ACT_FAIL), COLD,
     {START(OP_READ), START(OP_READ), START(OP_AROUND)}},
    {"three readers, loads that fail, and a delete", GOOD | BIT(ACT_HOME_ERROR) | BIT(ACT_LANE_FULL), COLD,
     {START(OP_READ), START(OP_READ), START(OP_READ), START(OP_DELETE)}},
    {"two readers of an absent row, its insert, and its deletion", GOOD, COLD,
     {START_ABSENT(OP_READ), START_ABSENT(OP_READ), START_ABSENT(OP_SET), START_ABSENT(OP_DELETE)}},
    {"a reader and three writers who may give up waiting", GOOD | BIT(ACT_CANCEL), COLD,
     {START(OP_READ), START(OP_SET), START(OP_SET), START(OP_SET)}},
    {"a reader and three writers who may share a mark", GOOD | BIT(ACT_JOIN), COLD,
     {START(OP_READ), START(OP_SET), START(OP_DELETE), START(OP_SET)}},
    {"a reader of a cached value, and two writers who may share a mark and end in doubt", GOOD | DOUBT | BIT(ACT_JOIN),
     WARM, {START(OP_READ), START(OP_SET), START(OP_SET)}},
    {"two readers, a write in doubt, and the end of the doubt", GOOD | DOUBT, COLD,
     {START(OP_READ), START(OP_READ), START(OP_SET), PASS(FB_WRITE_WINDOW_MS + 1), TICK}},
    {"a reader, two writes that may be in doubt, and the end of the doubt", GOOD | DOUBT, COLD,
     {START(OP_READ), START(OP_SET), START(OP_SET), PASS(FB_WRITE_WINDOW_MS + 1), TICK}},
    {"two readers and two commits behind Forebay's back, each invalidated", GOOD, COLD,
     {START(OP_READ), START(OP_READ), START(OP_BEHIND), START(OP_BEHIND)}},
    {"two readers, a writer, and an invalidation", GOOD, COLD,
     {START(OP_READ), START(OP_READ), START(OP_SET), START(OP_INVALIDATE)}},
    {"two readers, a writer, a commit behind Forebay's back, and its invalidation", GOOD, COLD,
     {START(OP_READ), START(OP_READ), START(OP_SET), START(OP_BEHIND)}},
    {"two who load by themselves, a reader, and a writer", GOOD, COLD,
     {START(OP_ASIDE), START(OP_ASIDE), START(OP_READ), START(OP_SET)}},
    {"one who loads by itself and may die, a reader, and the end of the lease",
     GOOD | BIT(ACT_APP_DIES) | BIT(ACT_APP_FAILS), COLD,
     {START(OP_ASIDE), START(OP_READ), START(OP_BEHIND), PASS(FB_LEASE_MS + 1), TICK}},
    {"two readers, the application's own write, which may never end, and the end of its mark",
     GOOD | BIT(ACT_APP_DIES) | BIT(ACT_UNKNOWN), COLD,
     {START(OP_READ), START(OP_READ), START(OP_TICKET), PASS(FB_WRITE_WINDOW_MS + 1), TICK}},
    {"the application's own write, a write-through behind it, a reader, and the end of the mark",
     GOOD | BIT(ACT_APP_DIES) | BIT(ACT_UNKNOWN) | BIT(ACT_CANCEL), COLD,
     {START(OP_TICKET), START(OP_SET), START(OP_READ), PASS(FB_WRITE_WINDOW_MS + 1), TICK}},
    {"two who load by themselves, a commit behind Forebay's back, and the end of the lease", GOOD, COLD,
     {START(OP_ASIDE), START(OP_ASIDE), START(OP_BEHIND), PASS(FB_LEASE_MS + 1), TICK}},
    {"two readers of a cached value, a writer, and everything forgotten", GOOD, WARM,
     {START(OP_READ), START(OP_READ), START(OP_SET), START(OP_INVALIDATE_ALL)}},
    {"two readers of a cached value, a commit behind Forebay's back, and a refresh that may fail",
     GOOD | BIT(ACT_HOME_ERROR), WARM,
     {START(OP_READ), START(OP_READ), START(OP_BEHIND), START(OP_REFRESH)}},
    {"a reader, two refreshes, and a commit behind Forebay's back", GOOD, COLD,
     {START(OP_READ), START(OP_REFRESH), START(OP_REFRESH), START(OP_BEHIND)}},
    {"a reader of a cached value, a writer, and a refresh", GOOD, WARM,
     {START(OP_READ), START(OP_SET), START(OP_REFRESH)}},
    {"one who loads by itself, a reader, and a refresh", GOOD, COLD,
     {START(OP_ASIDE), START(OP_READ), START(OP_REFRESH), START(OP_BEHIND)}},
    {"two readers, a commit behind Forebay's back, and everything forgotten", GOOD, COLD,
     {START(OP_READ), START(OP_READ), START(OP_BEHIND), START(OP_INVALIDATE_ALL)}},
    {"two readers of a list, and a row that leaves it", GOOD, COLD,
     {START_LIST(0, OP_READ), START_LIST(0, OP_READ), MOVE_TO(1)}},
    {"a reader of the row, one of the list it comes to, and the row that moves", GOOD, COLD,
     {START(OP_READ), START_LIST(1, OP_READ), MOVE_TO(1)}},
    {"readers of both lists of a row that moves, which may fail", GOOD | BIT(ACT_FAIL), COLD,
     {START_LIST(0, OP_READ), START_LIST(1, OP_READ), MOVE_TO(1)}},
    {"a reader and a refresh of a list, and a row that leaves it", GOOD, COLD,
     {START_LIST(0, OP_READ), START_LIST(0, OP_REFRESH), MOVE_TO(1)}},
    {"a reader of a list, a row that leaves it and comes back", GOOD, COLD,
     {START_LIST(0, OP_READ), MOVE_TO(1), MOVE_TO(0)}},
    {"a reader of a list, and two rows that leave it", GOOD, COLD,
     {START_LIST(0, OP_READ), MOVE_TO(1), OTHER_MOVES_TO(1)}},
    {"a reader of a list, a row that may leave it, the doubt, and its end", GOOD | DOUBT, COLD,
     {START_LIST(0, OP_READ), MOVE_TO(1), PASS(FB_WRITE_WINDOW_MS + 1), TICK}},
    {"a reader and a writer of a key that another write changes too", GOOD, COLD,
     {START_LIST(0, OP_READ), START_LIST(0, OP_SET), MOVE_TO(1)}},
    {"one who loads a list by itself, a reader, and a row that leaves it", GOOD, COLD,
     {START_LIST(0, OP_ASIDE), START_LIST(0, OP_READ), MOVE_TO(1)}},
    {"two readers of a stale value, a writer, and loads that may fail", GOOD | BIT(ACT_HOME_ERROR) | BIT(ACT_FAIL), STALE,
     {START(OP_READ), START(OP_READ), START(OP_SET)}},
    {"two readers of a stale value, a source that goes down, and a commit behind Forebay's back",
     GOOD | BIT(ACT_HOME_ERROR), STALE, {START(OP_READ), START(OP_READ), START(OP_BEHIND), BREAKS}},
    {"two readers of a stale value who lose patience, a writer, and a load that may fail",
     GOOD | BIT(ACT_HOME_ERROR), STALE, {START(OP_READ), START(OP_READ), START(OP_SET), PASS(PATIENCE_MS), TICK}},
    {"a reader and a refresh of a stale value, a writer, and loads that may fail", GOOD | BIT(ACT_HOME_ERROR), STALE,
     {START(OP_READ), START(OP_REFRESH), START(OP_SET)}},
    {"two readers of a stale value, a write in doubt, and a full lane", GOOD | DOUBT | BIT(ACT_LANE_FULL), STALE,
     {START(OP_READ), START(OP_READ), START(OP_SET)}},
    {"two readers of a copy due for its refresh, a writer, and loads that may fail",
     GOOD | BIT(ACT_HOME_ERROR) | BIT(ACT_FAIL), DUE, {START(OP_READ), START(OP_READ), START(OP_SET)}},
    {"three readers of a copy due for its refresh, a source that goes down, and a full lane",
     GOOD | BIT(ACT_HOME_ERROR) | BIT(ACT_LANE_FULL), DUE, {START(OP_READ), START(OP_READ), START(OP_READ), BREAKS}},
    {"two readers of a copy due for its refresh, a commit behind Forebay's back, and its invalidation", GOOD, DUE,
     {START(OP_READ), START(OP_READ), START(OP_BEHIND)}},
    {"two readers of a copy due for its refresh, a refresh, and a writer", GOOD, DUE,
     {START(OP_READ), START(OP_READ), START(OP_REFRESH), START(OP_SET)}},
    {"two readers of a copy due for its refresh, a commit behind Forebay's back, and the end of its life",
     GOOD | BIT(ACT_HOME_ERROR), DUE, {START(OP_READ), START(OP_READ), START(OP_BEHIND), PASS(TTL_MS), TICK}},
    {"two readers of a copy due for its refresh, and a write in doubt", GOOD | DOUBT, DUE,
     {START(OP_READ), START(OP_READ), START(OP_SET)}},
};
enum { WORLDS = sizeof small_worlds / sizeof small_worlds[0] };

struct odometer {
    unsigned wheels[WHEELS_MAX], sizes[WHEELS_MAX], n;
};

static struct world world;

static bool is_end(const struct action *start) {
    return start->act == ACT_START && start->index == 0 && start->arg == 0;
}

/* The operations that can be started now, by their places in `starts`; returns how many. */
static unsigned startable(const struct small_world *small, unsigned started, unsigned *places) {
    const struct action *starts = small->starts;
    unsigned n = 0;
    for (unsigned i = 0; i < STARTS_MAX && !is_end(&starts[i]); i++) {
        bool is_twin = i > 0 && starts[i].act == starts[i - 1].act && starts[i].index == starts[i - 1].index &&
                       starts[i].arg == starts[i - 1].arg;
        if (!(started >> i & 1) && !(is_twin && !(started >> (i - 1) & 1)))
            places[n++] = i;
    }
    return n;
}

static void warm_up(void) {
    world_do(&world, (struct action)START(OP_READ));
    for (enum act act = ACT_DISPATCH; act <= ACT_HOME; act++)
        world_do(&world, (struct action){act, 0, 0});
}

static void run(const struct small_world *small, struct odometer *odometer, FILE *trace) {
    static struct action actions[ACTIONS_MAX];
    struct world_options options = {
        .keys = MOVE_KEYS,
        .bytes_max = 1 << 20,
        .evict = &fb_evict_s3fifo,
        .policy = {.ttl_ms = 3600000, .negative_ttl_ms = 60000},
        .allowed = small->allowed,
        .patience_ms = small->begins == STALE ? PATIENCE_MS : 0,
        .trace = trace,
    };
    unsigned started = 0, wheel = 0;
    if (small->begins == STALE)
        options.policy = (fb_policy){.ttl_ms = TTL_MS, .negative_ttl_ms = TTL_MS, .grace_ms = 60000};
    if (small->begins == DUE)
        options.policy = (fb_policy){.ttl_ms = TTL_MS, .negative_ttl_ms = TTL_MS, .refresh_ahead = 0.5};
    world_begin(&world, &options, /* seed = */ 1);
    if (small->begins != COLD)
        warm_up();
    if (small->begins == STALE)
        world_do(&world, (struct action)PASS(2 * TTL_MS));
    if (small->begins == DUE)
        world_do(&world, (struct action)PASS(TTL_MS / 4 * 3));
    for (; world.violation[0] == '\0'; wheel++) {
        unsigned places[STARTS_MAX], nstarts = startable(small, started, places);
        unsigned n = nstarts + world_enabled(&world, actions);
        if (n == 0)
            break;
        if (wheel == WHEELS_MAX) {
            world_fail(&world, "longer than %d choices", WHEELS_MAX);
            break;
        }
        if (wheel >= odometer->n)
            odometer->wheels[wheel] = 0;
        odometer->sizes[wheel] = n;
        unsigned choice = odometer->wheels[wheel];
        if (choice < nstarts)
            started |= 1u << places[choice];
        world_do(&world, choice < nstarts ? small->starts[places[choice]] : actions[choice - nstarts]);
    }
    odometer->n = wheel;
    world_finish(&world);
}

/* Turn the last wheel that can turn; those after it begin anew. */
static bool turn(struct odometer *odometer) {
    while (odometer->n > 0 && odometer->wheels[odometer->n - 1] + 1 == odometer->sizes[odometer->n - 1])
        odometer->n--;
    if (odometer->n == 0)
        return false;
    odometer->wheels[odometer->n - 1]++;
    return true;
}

static void print_odometer(const struct odometer *odometer) {
    for (unsigned i = 0; i < odometer->n; i++)
        fprintf(stderr, "%s%u", i > 0 ? "," : "", odometer->wheels[i]);
}

static uint64_t explore(unsigned number, uint64_t runs_max, uint64_t *ret_violations) {
    const struct small_world *small = &small_worlds[number];
    struct odometer odometer = {.n = 0};
    uint64_t runs = 0, violations = 0;
    bool is_cut;
    do {
        run(small, &odometer, NULL);
        runs++;
        if (world.violation[0] == '\0')
            continue;
        if (violations++ == 0) {
            fprintf(stderr, "# %s\n# again with: explore --world %u --trace ", world.violation, number);
            print_odometer(&odometer);
            fprintf(stderr, "\n");
        }
    } while (!(is_cut = runs == runs_max || violations == VIOLATIONS_MAX) && turn(&odometer));
    printf("%s %u - %s: %s%" PRIu64 " interleavings, %" PRIu64 " violations\n", violations == 0 ? "ok" : "not ok",
           number + 1, small->claim, is_cut ? "the first " : "", runs, violations);
    fflush(stdout);
    *ret_violations += violations;
    return runs;
}

static int replay(unsigned number, char *text) {
    struct odometer odometer = {.n = 0};
    for (char *word; odometer.n < WHEELS_MAX && (word = strsep(&text, ",")) != NULL;)
        odometer.wheels[odometer.n++] = (unsigned)strtoul(word, NULL, 10);
    printf("# %s\n", small_worlds[number].claim);
    run(&small_worlds[number], &odometer, stdout);
    return world.violation[0] != '\0';
}

int main(int argc, char **argv) {
    unsigned first = 0, last = WORLDS - 1;
    uint64_t runs_max = getenv("FOREBAY_TEST_FULL") == NULL && argc == 2 ? SHORT : UINT64_MAX;
    char *odometer = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--world") == 0)
            first = last = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--cut") == 0)
            runs_max = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--trace") == 0)
            odometer = argv[i + 1];
    }
    bool is_short = argc == 2 && strcmp(argv[1], "--short") == 0;
    if ((argc % 2 == 0 && !is_short) || last >= WORLDS) {
        fprintf(stderr, "usage: explore --short | [--world 0..%d] [--cut N | --trace ODOMETER]\n", WORLDS - 1);
        return 2;
    }
    if (odometer != NULL)
        return replay(first, odometer);
    uint64_t runs = 0, violations = 0;
    printf("1..%u\n", last - first + 1);
    for (unsigned i = first; i <= last; i++)
        runs += explore(i, runs_max, &violations);
    printf("# %" PRIu64 " interleavings in %u worlds, %" PRIu64 " violations\n", runs, last - first + 1, violations);
    return violations != 0;
}
