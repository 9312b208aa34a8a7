/* The checker: breadth first over all states of each configuration, until none is new or a property is violated.
 *
 *     model [--short] [NAME ...]      prints TAP: holds or violated as the table says, states explored, time
 *
 * For a configuration that must be violated the shortest counter-example is printed. States are kept as they are,
 * found again by hash; each remembers the state it was first reached from. */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATES_MAX = 40 * 1000 * 1000, TRACE_MAX = 256 };

struct search {
    const struct config *c;
    struct state *states;
    uint32_t *parents;
    uint32_t *slots;          /* index + 1 */
    uint32_t count, cap, mask;
    uint32_t at;              /* being expanded */
    const char *violation;
    struct state violating;
    bool is_short_of_memory;
};

static uint64_t hash_state(const struct state *s) {
    const unsigned char *p = (const unsigned char *)s;
    uint64_t h = 0x9e3779b97f4a7c15u;
    size_t i = 0;
    for (; i + 8 <= sizeof *s; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, sizeof word);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    for (; i < sizeof *s; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static bool grow(struct search *x) {
    uint32_t cap = x->cap == 0 ? 1 << 12 : x->cap * 2;
    struct state *states = realloc(x->states, cap * sizeof *states);
    if (states != NULL)
        x->states = states;
    uint32_t *parents = realloc(x->parents, cap * sizeof *parents);
    if (parents != NULL)
        x->parents = parents;
    uint32_t *slots = calloc(2 * (size_t)cap, sizeof *slots);
    if (states == NULL || parents == NULL || slots == NULL || cap > 2u * STATES_MAX) {
        free(slots);
        return false;
    }
    free(x->slots);
    x->slots = slots;
    x->cap = cap;
    x->mask = 2 * cap - 1;
    for (uint32_t i = 0; i < x->count; i++) {
        uint32_t at = (uint32_t)hash_state(&x->states[i]) & x->mask;
        while (slots[at] != 0)
            at = (at + 1) & x->mask;
        slots[at] = i + 1;
    }
    return true;
}

static void add(struct search *x, const struct state *s) {
    if (x->count == x->cap && !grow(x)) {
        x->is_short_of_memory = true;
        return;
    }
    uint32_t at = (uint32_t)hash_state(s) & x->mask;
    for (; x->slots[at] != 0; at = (at + 1) & x->mask)
        if (memcmp(&x->states[x->slots[at] - 1], s, sizeof *s) == 0)
            return;
    x->states[x->count] = *s;
    x->parents[x->count] = x->at;
    x->slots[at] = ++x->count;
}

static void found(void *arg, const struct state *next, struct label label, const char *violation) {
    struct search *x = arg;
    (void)label;
    if (x->violation != NULL)
        return;
    if (violation == NULL)
        violation = model_at_rest(x->c, next);
    if (violation != NULL) {
        x->violation = violation;
        x->violating = *next;
        return;
    }
    add(x, next);
}

/* The name of the step between two states: the one that leads there. */
struct naming { const struct state *to; struct label label; bool is_found; };

static void name_step(void *arg, const struct state *next, struct label label, const char *violation) {
    struct naming *n = arg;
    (void)violation;
    if (!n->is_found && memcmp(next, n->to, sizeof *next) == 0) {
        n->label = label;
        n->is_found = true;
    }
}

static void print_step(const struct config *c, unsigned n, const struct state *from, const struct state *to) {
    struct naming naming = {.to = to};
    model_steps(c, from, name_step, &naming);
    printf("#   %2u. %s", n, naming.label.what != NULL ? naming.label.what : "?");
    if (naming.label.who >= 0)
        printf(" %d", naming.label.who + 1);
    printf("\n");
}

static void print_trace(const struct search *x) {
    uint32_t path[TRACE_MAX];
    unsigned n = 0;
    for (uint32_t at = x->at; at != 0 && n < TRACE_MAX; at = x->parents[at])
        path[n++] = at;
    uint32_t from = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t to = path[n - 1 - i];
        print_step(x->c, i + 1, &x->states[from], &x->states[to]);
        from = to;
    }
    print_step(x->c, n + 1, &x->states[from], &x->violating);
    printf("#       %s\n", x->violation);
}

static bool check(const struct config *c, unsigned number, uint64_t *total) {
    struct search x = {.c = c};
    struct state first;
    clock_t start = clock();
    model_first(c, &first);
    add(&x, &first);
    for (; x.at < x.count && x.violation == NULL && !x.is_short_of_memory && x.count < STATES_MAX; x.at++) {
        struct state here = x.states[x.at]; /* the array may move */
        model_steps(c, &here, found, &x);
        if (x.violation != NULL)
            break;
    }
    bool is_complete = x.violation != NULL || (x.at == x.count && !x.is_short_of_memory);
    bool is_ok = is_complete && (x.violation != NULL) == c->is_violated;
    printf("%sok %u - %s %s: %s, %" PRIu32 " states, %.2f s\n", is_ok ? "" : "not ", number, c->name, c->claim,
           !is_complete ? "not finished" : x.violation != NULL ? "violated" : "holds", x.count,
           (double)(clock() - start) / CLOCKS_PER_SEC);
    if (x.violation != NULL)
        print_trace(&x);
    fflush(stdout);
    *total += x.count;
    free(x.states);
    free(x.parents);
    free(x.slots);
    return is_ok;
}

static bool is_wanted(const struct config *c, char **names, int count, bool is_short) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], c->name) == 0)
            return true;
    return count == 0 && !(is_short && c->is_large);
}

int main(int argc, char **argv) {
    bool is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    char **names = argv + 1 + is_short;
    int names_count = argc - 1 - is_short;
    unsigned number = 0, failed = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < configs_count; i++)
        if (is_wanted(&configs[i], names, names_count, is_short))
            failed += !check(&configs[i], ++number, &total);
    printf("1..%u\n# %" PRIu64 " states in all\n", number, total);
    return failed > 0 || number == 0;
}
