/* The fleet's clock, its heap of what is to happen, and a life from its beginning to its rest. */
#include "fleet_world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LAG_MAX_MS = 1000, DOWN_MAX_MS = 2000, HEALED_MS = 6000, REST_MS = 20000, BOUND_MS = 30000, CALM_BOUND_MS = 600, STEPS_MAX = 200000 };

const char *fleet_key_name(unsigned key) {
    static const char *const names[FLEET_KEYS] = {"a", "b", "c"};
    return names[key];
}

void fleet_say(const struct fleet *f, const char *format, ...) {
    if (f->options.trace == NULL)
        return;
    va_list args;
    va_start(args, format);
    fprintf(f->options.trace, "%12.3f ms  ", (double)f->now / FB_NS_PER_MS);
    vfprintf(f->options.trace, format, args);
    fputc('\n', f->options.trace);
    va_end(args);
}

void fleet_fail(struct fleet *f, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (f->violation[0] == '\0') {
        vsnprintf(f->violation, sizeof f->violation, format, args);
        fleet_say(f, "VIOLATION %s", f->violation);
    }
    va_end(args);
}

bool fleet_happens(struct fleet *f, unsigned one_in) {
    return one_in > 0 && !f->is_over && fb_rng_below(&f->rng, one_in) == 0;
}

int64_t fleet_delay(struct fleet *f) {
    unsigned kind = (unsigned)fb_rng_below(&f->rng, 64);
    int64_t us = f->is_over                            ? 500
                 : kind < 48                           ? 2000
                 : kind < 62 || !f->options.is_slow ? 20000
                 : kind < 63                           ? 400000
                                                       : 3000000;
    return 1000 + (int64_t)fb_rng_below(&f->rng, (uint64_t)us * 1000);
}

/* ---- the heap ---- */

static bool is_earlier(const struct fleet_event *a, const struct fleet_event *b) {
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void fleet_at(struct fleet *f, int64_t delay, enum happening what, unsigned index, unsigned life) {
    if (f->nheap == EVENTS_MAX) {
        fleet_fail(f, "more than %d happenings at a time", EVENTS_MAX);
        return;
    }
    struct fleet_event event = {f->now + (delay > 0 ? delay : 0), f->order++, what, index, life};
    unsigned i = f->nheap++;
    for (; i > 0 && is_earlier(&event, &f->heap[(i - 1) / 2]); i = (i - 1) / 2)
        f->heap[i] = f->heap[(i - 1) / 2];
    f->heap[i] = event;
}

static struct fleet_event next(struct fleet *f) {
    struct fleet_event first = f->heap[0], last = f->heap[--f->nheap];
    unsigned i = 0;
    for (unsigned child; (child = 2 * i + 1) < f->nheap; i = child) {
        if (child + 1 < f->nheap && is_earlier(&f->heap[child + 1], &f->heap[child]))
            child++;
        if (!is_earlier(&f->heap[child], &last))
            break;
        f->heap[i] = f->heap[child];
    }
    f->heap[i] = last;
    return first;
}

/* ---- what happens ---- */

static void begin_op(struct fleet *f, enum fleet_op_kind kind, unsigned node, unsigned key) {
    if (f->nops == FLEET_OPS_MAX || !f->nodes[node].is_up)
        return;
    struct fleet_op *op = &f->ops[f->nops++];
    *op = (struct fleet_op){.kind = kind, .node = node, .life = f->nodes[node].life, .key = key, .number = f->nops,
                            .begun = f->now};
    f->open++;
    node_begin_op(f, op);
}

static void begin_any(struct fleet *f) {
    static const unsigned char weights[FOP_KINDS] = {60, 4, 18, 7, 5, 4};
    unsigned at = (unsigned)fb_rng_below(&f->rng, 98), kind = 0;
    while (at >= weights[kind])
        at -= weights[kind++];
    begin_op(f, (enum fleet_op_kind)kind, (unsigned)fb_rng_below(&f->rng, f->options.nodes),
             (unsigned)fb_rng_below(&f->rng, f->options.keys));
}

static void cut_all(struct fleet *f) {
    for (unsigned i = 0; i < f->options.nodes; i++)
        net_cut(f, i, (int64_t)fb_rng_below(&f->rng, DOWN_MAX_MS) * FB_NS_PER_MS);
}

static void die(struct fleet *f) {
    unsigned node = (unsigned)fb_rng_below(&f->rng, f->options.nodes), any = (unsigned)fb_rng_below(&f->rng, 2 * f->nops + 1);
    if (any < f->nops && f->ops[any].state == FOP_STORES) /* in the middle of a write it is worse */
        node = f->ops[any].node;
    if (!f->nodes[node].is_up)
        return;
    fleet_say(f, "node %u dies", node);
    f->seen[FS_DIED]++;
    f->is_excused |= f->options.loses || f->options.flushes || f->options.fails_over || f->options.restarts;
    node_kill(f, node);
    fleet_at(f, (int64_t)fb_rng_below(&f->rng, DOWN_MAX_MS) * FB_NS_PER_MS, EV_RISEN, node, f->nodes[node].life);
}

static void flush(struct fleet *f) {
    fleet_say(f, "redis is flushed");
    f->seen[FS_FLUSHED]++;
    for (unsigned key = 0; key < f->options.keys; key++) {
        fleet_redis_evict(&f->redis, key);
        fleet_redis_lose(&f->redis, key);
    }
}

static void go_back(struct fleet *f, int64_t by_ms, enum fleet_seen kind) {
    const int64_t mosts[] = {30, 1500, by_ms}; /* what is under way may be known there, or not */
    int64_t most = mosts[fb_rng_below(&f->rng, 3)];
    int64_t lag = (int64_t)fb_rng_below(&f->rng, (uint64_t)most) * FB_NS_PER_MS;
    fleet_say(f, "redis is another one, as it was %.1f ms ago", (double)lag / FB_NS_PER_MS);
    f->seen[kind]++;
    /* Until all have noticed; names to be invalidated again may take longer where calls are lost. */
    bool is_prompt = kind == FS_RESTARTS || (f->options.unknown == 0 && f->options.unsent == 0 && !f->options.is_slow);
    f->excused_until = is_prompt ? f->now + fb_ms(HEALED_MS).ns : INT64_MAX;
    fleet_redis_go_back(&f->redis, f->now - lag);
    cut_all(f);
}

static void fault(struct fleet *f) {
    const struct fleet_options *o = &f->options;
    unsigned key = (unsigned)fb_rng_below(&f->rng, o->keys), node = (unsigned)fb_rng_below(&f->rng, o->nodes);
    const bool may[] = {o->evicts, o->loses, o->flushes, o->dies, o->cuts, o->fails_over, o->restarts};
    unsigned kinds = sizeof may / sizeof may[0], kind = (unsigned)fb_rng_below(&f->rng, kinds);
    for (unsigned i = 0; i < kinds && !may[kind]; i++)
        kind = (kind + 1) % kinds;
    if (!may[kind])
        return;
    switch (kind) {
    case 0:
        fleet_say(f, "%s is evicted", fleet_key_name(key));
        f->seen[FS_EVICTED]++;
        fleet_redis_evict(&f->redis, key);
        break;
    case 1:
        fleet_say(f, "the coordination key of %s is lost", fleet_key_name(key));
        f->seen[FS_LOST]++;
        fleet_redis_lose(&f->redis, key);
        break;
    case 2: flush(f); break;
    case 3: die(f); break;
    case 4:
        if (!f->nodes[node].is_up)
            break;
        fleet_say(f, "the session of node %u is cut", node);
        net_cut(f, node, (int64_t)fb_rng_below(&f->rng, DOWN_MAX_MS) * FB_NS_PER_MS);
        break;
    case 5: go_back(f, LAG_MAX_MS, FS_FAILOVERS); break;
    default: go_back(f, 20 * LAG_MAX_MS, FS_RESTARTS); break;
    }
}

static void happen(struct fleet *f, struct fleet_event event) {
    struct fleet_node *node = &f->nodes[event.index < NODES_MAX ? event.index : 0];
    switch (event.what) {
    case EV_START: begin_any(f); break;
    case EV_FAULT:
        if (!f->is_over)
            fault(f);
        break;
    case EV_RISEN:
        fleet_say(f, "node %u is there again", event.index);
        node_start(f, event.index);
        break;
    case EV_TICK:
        if (!node->is_up || node->life != event.life)
            break;
        f->seen[FS_UNPROVED] += f->options.has_l1 && f->now >= atomic_load(&node->proved);
        node_tick(f, event.index);
        if (!f->is_over)
            fleet_at(f, fb_ms(f->options.grace_ms > 0 ? PATIENCE_MS : 500).ns, EV_TICK, event.index, event.life);
        break;
    case EV_SENT:
    case EV_LATE:
    case EV_READS:
    case EV_LOADED:
    case EV_COMMITS:
    case EV_STORED: /* loads are numbered from LOAD_NUMBERS on */
        if (event.life >= LOAD_NUMBERS) {
            if (f->loads[event.index].is_live)
                node_load_event(f, &f->loads[event.index], event.what);
        } else {
            node_write_event(f, &f->ops[event.index], event.what);
        }
        break;
    default: net_event(f, event.what, event.index, event.life); break;
    }
}

static void run(struct fleet *f) {
    for (unsigned steps = 0; f->nheap > 0 && f->violation[0] == '\0'; steps++) {
        struct fleet_event event = next(f);
        f->now = event.at;
        happen(f, event);
        if (steps == STEPS_MAX)
            fleet_fail(f, "it does not come to rest");
    }
}

/* ---- a life ---- */

static void begin(struct fleet *f, const struct fleet_options *options, uint64_t seed) {
    f->options = *options;
    f->rng.state = seed;
    f->now = fb_ms(100000).ns;
    f->nops = f->nloads = f->nnets = f->nheap = f->open = 0;
    f->order = 0;
    f->is_over = f->is_excused = false;
    f->excused_until = f->longest = 0;
    f->violation[0] = '\0';
    memset(f->seen, 0, sizeof f->seen);
    fleet_redis_begin(&f->redis);
    f->redis.spares_the_fence = fleet_lacks(f, PART_REDIS_FILLS_ALL);
    f->redis.told = net_told;
    f->redis.user = f;
    for (unsigned key = 0; key < FLEET_KEYS; key++) {
        struct fleet_row *row = &f->rows[key];
        row->nversions = 1;
        row->versions[0] = (struct fleet_version){0, key % 2 == 1};
        row->acked = row->seen = row->nacks = 0;
    }
    for (unsigned i = 0; i < options->nodes; i++) {
        f->nodes[i].life = f->nodes[i].session = 0;
        node_start(f, i);
    }
}

static void rest(struct fleet *f, bool is_judged) {
    f->now += fb_ms(REST_MS).ns; /* leases, marks, doubts */
    for (unsigned i = 0; i < f->options.nodes; i++) {
        fleet_at(f, 0, EV_BEAT, i, f->nodes[i].session);
        fleet_at(f, 0, EV_TICK, i, f->nodes[i].life);
    }
    f->open++; /* keeps the sessions alive while nobody asks */
    for (int64_t until = f->now + fb_ms(BEAT_MS).ns / 2; f->nheap > 0 && f->heap[0].at < until && f->violation[0] == '\0';) {
        struct fleet_event event = next(f);
        f->now = event.at;
        happen(f, event);
    }
    f->open--;
    f->excused_until = 0;
    f->is_excused |= !is_judged;
    for (unsigned key = 0; key < f->options.keys; key++) {
        f->rows[key].acked = f->rows[key].seen = f->rows[key].nversions - 1;
        f->rows[key].acks[f->rows[key].nacks < ROW_VERSIONS_MAX ? f->rows[key].nacks++ : 0] =
            (struct fleet_ack){f->now - fb_ms(REST_MS).ns, f->rows[key].nversions - 1};
        for (unsigned i = 0; i < f->options.nodes; i++)
            begin_op(f, FOP_READ, i, key);
    }
    run(f);
}

/* Where what was lost and who died (or is in doubt) come together, only the TTL heals. */
static bool heals(const struct fleet_options *o) {
    bool loses = o->loses || o->flushes || o->fails_over || o->restarts, leaves = o->dies || o->doubt > 0;
    return !(loses && leaves);
}

void fleet_live(struct fleet *f, const struct fleet_options *options, uint64_t seed) {
    begin(f, options, seed);
    int64_t at = 0, gap = 1 + (int64_t)fb_rng_below(&f->rng, options->is_slow ? 400 : 40);
    for (unsigned i = 0; i < options->ops; i++) {
        fleet_at(f, at, EV_START, 0, 0);
        at += (int64_t)fb_rng_below(&f->rng, (uint64_t)gap * 1000000);
    }
    for (unsigned i = 0; i < options->faults; i++)
        fleet_at(f, (int64_t)fb_rng_below(&f->rng, (uint64_t)at + 1), EV_FAULT, 0, 0);
    while (f->nheap > 0 && f->heap[0].at < fb_ms(100000).ns + at && f->violation[0] == '\0') {
        struct fleet_event event = next(f);
        f->now = event.at;
        happen(f, event);
    }
    f->is_over = true;
    run(f);
    bool is_calm = options->faults == 0 && options->unknown == 0 && options->refused == 0 && options->unsent == 0 &&
                   !options->is_slow;
    int64_t bound = fb_ms(is_calm ? CALM_BOUND_MS : BOUND_MS).ns;
    if (f->longest > bound)
        fleet_fail(f, "F3: somebody waited for %.1f ms", (double)f->longest / FB_NS_PER_MS);
    bool was_excused = f->is_excused;
    for (int round = 0; round < 3 && f->violation[0] == '\0'; round++) /* what is owed is paid in the first */
        rest(f, round > 0 && heals(options) && !was_excused), f->is_excused = was_excused;
    if (f->violation[0] == '\0')
        check_rest(f);
    for (unsigned i = 0; i < options->nodes; i++)
        if (f->violation[0] == '\0' && f->nodes[i].is_up)
            f->nodes[i].shard = fb_shard_destroy(f->nodes[i].shard);
}
