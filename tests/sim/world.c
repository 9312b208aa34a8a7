/* The world: what each action does to the shard, the database and the actors. */
#include "moves.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const act_names[ACTS] = {
    [ACT_START] = "start",           [ACT_DISPATCH] = "dispatch",   [ACT_QUERY] = "query",     [ACT_HOME] = "home",
    [ACT_HOME_ERROR] = "home-error", [ACT_LANE_FULL] = "lane-full", [ACT_APP_QUERY] = "ask",   [ACT_APP_FILL] = "fill",
    [ACT_APP_FAILS] = "give-back",   [ACT_APP_DIES] = "die",        [ACT_HOLD] = "hold",       [ACT_COMMIT] = "commit",
    [ACT_END] = "end",               [ACT_FAIL] = "fail",           [ACT_UNKNOWN] = "unknown", [ACT_LAND] = "land",
    [ACT_LOSE] = "lose",             [ACT_CANCEL] = "cancel",       [ACT_JOIN] = "join",       [ACT_INVALIDATE] = "tell", [ACT_FORGET] = "tell-not",
    [ACT_TICK] = "tick",             [ACT_ADVANCE] = "advance",       [ACT_BREAKER] = "breaker",
};

static const char *const op_names[OP_KINDS] = {
    [OP_READ] = "get",      [OP_REFRESH] = "refresh",   [OP_ASIDE] = "lease",           [OP_SET] = "set",
    [OP_DELETE] = "delete", [OP_AROUND] = "around",     [OP_MOVE] = "move",             [OP_TICKET] = "ticket",
    [OP_BEHIND] = "behind", [OP_INVALIDATE] = "invalidate", [OP_EXPIRE] = "expire",     [OP_PERSIST] = "persist",
    [OP_INVALIDATE_ALL] = "invalidate-all",
};

const char *world_act_name(enum act act) { return act_names[act]; }
const char *world_op_name(enum op_kind kind) { return op_names[kind]; }

void world_say(const struct world *w, const char *format, ...) {
    if (w->options.trace == NULL)
        return;
    va_list args;
    va_start(args, format);
    fprintf(w->options.trace, "%12.3f ms  ", (double)w->now.ns / FB_NS_PER_MS);
    vfprintf(w->options.trace, format, args);
    fputc('\n', w->options.trace);
    va_end(args);
}

void world_fail(struct world *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (w->violation[0] == '\0') {
        vsnprintf(w->violation, sizeof w->violation, format, args);
        world_say(w, "VIOLATION %s", w->violation);
    }
    va_end(args);
}

/* ---- the database ---- */

unsigned world_commit(struct world *w, unsigned key, bool is_absent) {
    struct row *row = &w->rows[key];
    if (row->nversions == VERSIONS_MAX) {
        world_fail(w, "more than %d versions", VERSIONS_MAX);
        return row->nversions - 1;
    }
    row->versions[row->nversions] = (struct version){w->now.ns, is_absent};
    world_say(w, "    database: %s is v%u%s", row->name, row->nversions, is_absent ? " (absent)" : "");
    return row->nversions++;
}

/* ---- time ---- */

/* The database gives up before the doubt window does, and before the mark of a ticket does. */
static int64_t lands_until(const struct op *op) { return op->ended + fb_ms(FB_WRITE_WINDOW_MS).ns - 2 * LAG_MAX_NS; }
static bool can_commit(const struct world *w, const struct op *op) {
    return op->kind != OP_TICKET || w->now.ns < op->writer.expires.ns - LAG_MAX_NS;
}

/* ---- actions ---- */

static bool is_allowed(const struct world *w, enum act act) { return w->options.allowed >> act & 1; }

static void offer(const struct world *w, struct action *actions, unsigned *n, enum act act, unsigned index) {
    if (is_allowed(w, act) && *n < ACTIONS_MAX)
        actions[(*n)++] = (struct action){act, index, 0};
}

static bool is_row_locked(const struct world *w, unsigned key) {
    for (unsigned i = 0; i < w->nops; i++)
        if (w->ops[i].kind == OP_MOVE && w->ops[i].key == key && w->ops[i].state == OP_IN_DOUBT)
            return true;
    return false;
}

unsigned world_enabled(const struct world *w, struct action *actions) {
    /* ACT_START, being 0, ends a list. */
    static const enum act acts_of[OP_STATES][4] = {
        [OP_LEASED] = {ACT_APP_QUERY, ACT_APP_FAILS, ACT_APP_DIES},
        [OP_ASKED] = {ACT_APP_FILL, ACT_APP_DIES},
        [OP_QUEUED] = {ACT_CANCEL},
        [OP_GRANTED] = {ACT_COMMIT, ACT_FAIL, ACT_UNKNOWN},
        [OP_HELD] = {ACT_COMMIT, ACT_FAIL, ACT_UNKNOWN},
        [OP_COMMITTED] = {ACT_END, ACT_UNKNOWN, ACT_JOIN},
        [OP_IN_DOUBT] = {ACT_LAND, ACT_LOSE},
        [OP_BEHIND_COMMITTED] = {ACT_INVALIDATE, ACT_FORGET},
    };
    unsigned n = 0;
    for (unsigned i = 0; i < w->nflights; i++)
        switch (w->flights[i].state) {
        case FLIGHT_NEW:
            offer(w, actions, &n, ACT_DISPATCH, i);
            offer(w, actions, &n, ACT_LANE_FULL, i);
            break;
        case FLIGHT_SENT:
            offer(w, actions, &n, ACT_QUERY, i);
            offer(w, actions, &n, ACT_HOME_ERROR, i);
            break;
        case FLIGHT_READ:
            offer(w, actions, &n, ACT_HOME, i);
            break;
        }
    for (unsigned i = 0; i < w->nops; i++)
        for (const enum act *act = acts_of[w->ops[i].state]; *act != ACT_START; act++) {
            if ((*act == ACT_COMMIT && !can_commit(w, &w->ops[i])) || (*act == ACT_JOIN && move_next(&w->ops[i]) == NULL))
                continue;
            if (w->ops[i].kind == OP_MOVE && w->ops[i].state == OP_GRANTED && *act != ACT_FAIL) {
                /* Not before its lists are held; and it cannot read a row that another transaction may still change. */
                if (*act == ACT_COMMIT && !is_row_locked(w, w->ops[i].key))
                    offer(w, actions, &n, ACT_HOLD, i);
                continue;
            }
            bool is_mute = *act == ACT_UNKNOWN && w->ops[i].kind == OP_TICKET; /* no end at all */
            offer(w, actions, &n, is_mute ? ACT_APP_DIES : *act, i);
        }
    return n;
}

static void do_to_op(struct world *w, struct op *op, enum act act) {
    switch (act) {
    case ACT_APP_QUERY:
        op->version = w->rows[op->key].nversions - 1;
        op->state = OP_ASKED;
        break;
    case ACT_APP_FILL: move_fill(w, op, FB_OK); break;
    case ACT_APP_FAILS: move_fill(w, op, FB_SOURCE); break;
    case ACT_APP_DIES: /* of a ticket: the mark stays until it lapses */
        if (op->kind == OP_ASIDE)
            op->state = OP_DONE;
        else
            op->state = OP_LAPSED;
        break;
    case ACT_HOLD: move_hold(w, op); break;
    case ACT_COMMIT:
        move_commit(w, op);
        op->state = OP_COMMITTED;
        break;
    case ACT_END: move_end(w, op, move_end_of(op)); break;
    case ACT_FAIL: move_end(w, op, FB_END_DROP); break;
    case ACT_UNKNOWN: move_end(w, op, FB_END_DOUBT); break;
    case ACT_LAND:
        move_commit(w, op);
        op->state = OP_DONE;
        w->seen[SEEN_LANDED]++;
        break;
    case ACT_LOSE: op->state = OP_DONE; break;
    case ACT_CANCEL: move_cancel(w, op); break;
    case ACT_JOIN: move_join(w, op); break;
    case ACT_INVALIDATE:
        op->state = OP_DONE;
        move_invalidate(w, op->key);
        break;
    case ACT_FORGET: op->state = OP_DONE; break;
    default: break;
    }
}

/* Time passes; what the database would have given up on by then, it gives up. */
static void advance(struct world *w, uint64_t us) {
    w->now.ns += (int64_t)us * 1000;
    for (unsigned i = 0; i < w->nops; i++)
        if (w->ops[i].state == OP_IN_DOUBT && w->now.ns >= lands_until(&w->ops[i]))
            w->ops[i].state = OP_DONE;
}

void world_do(struct world *w, struct action action) {
    struct world_flight *f = &w->flights[action.index < FLIGHTS_MAX ? action.index : 0];
    if (action.act >= ACT_DISPATCH && action.act <= ACT_LANE_FULL)
        world_say(w, "%s flight %u", act_names[action.act], f->number);
    else if (action.act > ACT_LANE_FULL && action.act < ACT_TICK)
        world_say(w, "%s op %u", act_names[action.act], w->ops[action.index].number);
    else if (action.act != ACT_START)
        world_say(w, "%s", act_names[action.act]);
    switch (action.act) {
    case ACT_START: move_start(w, (enum op_kind)(action.arg & 0xff), action.index, action.arg >> 8); break;
    case ACT_DISPATCH: move_dispatch(w, f); break;
    case ACT_QUERY:
        f->version = w->rows[f->key].nversions - 1;
        f->state = FLIGHT_READ;
        break;
    case ACT_HOME:
        move_home(w, action.index, w->rows[f->key].versions[f->version].is_absent ? FB_NOTFOUND : FB_OK);
        break;
    case ACT_HOME_ERROR: move_home(w, action.index, FB_SOURCE); break;
    case ACT_LANE_FULL: move_home(w, action.index, FB_BUSY); break;
    case ACT_TICK: move_tick(w); break;
    case ACT_ADVANCE: advance(w, action.arg); break;
    case ACT_BREAKER: w->is_down = action.arg != 0; break;
    default: do_to_op(w, &w->ops[action.index], action.act); break;
    }
    world_check_step(w);
}

/* ---- beginning and end ---- */

void world_begin(struct world *w, const struct world_options *options, uint64_t seed) {
    w->options = *options;
    w->rng.state = seed;
    w->now = (fb_instant){fb_ms(1000).ns};
    w->policies[0] = options->policy;
    w->is_down = false;
    w->nops = w->nflights = w->flights_made = 0;
    w->reads = w->loads = w->peek_hits = 0;
    memset(w->seen, 0, sizeof w->seen);
    w->violation[0] = '\0';
    for (unsigned k = 0; k < options->keys; k++) {
        struct row *row = &w->rows[k];
        struct fb_rng rng = {seed + (options->is_one_hash ? 0 : k)};
        row->hash = fb_rng_next(&rng);
        row->nversions = 1;
        row->versions[0] = (struct version){0, k % 2 == 1};
        row->floor = row->begun = row->granted_seq = row->undispatched = 0;
        row->granted = NULL;
        row->nheld = 0;
        row->told = row->told_floor = 0;
        row->has_copy = false;
        row->failed = row->put_off = NEVER_FAILED;
        row->pause.birth = NEVER_FAILED;
        row->last_told = "nothing";
        snprintf(row->name, sizeof row->name, "k%u", k);
    }
    static struct fb_column owner = {.name = (char *)"owner", .name_len = 5, .class = FB_CLASS_INTEGER, .param = -1};
    if (w->list_pattern.nparts == 0 && fb_pattern_parse("k{owner:int}", &w->list_pattern, NULL) != FB_OK)
        abort();
    w->lists = (struct fb_dependent){.pattern = &w->list_pattern};
    w->table = (struct fb_mapping){.columns = &owner, .ncolumns = 1, .dependents = &w->lists, .ndependents = 1};
    w->owners[0] = w->owners[1] = LISTS_AT;
    struct fb_shard_options shard = {options->bytes_max, options->evict, w->policies, 1, move_observe, w};
    w->shard = fb_shard_create(&shard);
    if (w->shard == NULL)
        abort();
}

/* Everything that is under way comes to a good end. */
static void carry_out(struct world *w) {
    static struct action actions[ACTIONS_MAX];
    static const uint32_t good = 1u << ACT_DISPATCH | 1u << ACT_QUERY | 1u << ACT_HOME | 1u << ACT_APP_QUERY |
                                 1u << ACT_APP_FILL | 1u << ACT_HOLD | 1u << ACT_COMMIT | 1u << ACT_END | 1u << ACT_FORGET |
                                 1u << ACT_LOSE;
    w->options.allowed = good;
    while (w->violation[0] == '\0' && world_enabled(w, actions) > 0)
        world_do(w, actions[0]);
}

static void check_rest(struct world *w) {
    const fb_keyspace_stats *count = fb_shard_counters(w->shard, 0);
    w->seen[SEEN_HITS] = count->hits;
    w->seen[SEEN_NEGATIVE_HITS] = count->negative_hits;
    w->seen[SEEN_COALESCED] = count->coalesced;
    w->seen[SEEN_LOAD_ERRORS] = count->load_errors;
    w->seen[SEEN_FILLS_REFUSED] = count->fills_refused;
    w->seen[SEEN_INVALIDATIONS] = count->invalidations;
    w->seen[SEEN_EXPIRED] = count->expired;
    w->seen[SEEN_EVICTED] = count->evicted;
    w->seen[SEEN_TIMEOUTS] = count->timeouts;
    for (unsigned i = 0; i < w->nops; i++)
        if (w->ops[i].state == OP_WAITING)
            world_fail(w, "S3: op %u was never answered", w->ops[i].number);
    if (fb_shard_busy(w->shard) != 0)
        world_fail(w, "%u records or waiters are left at rest", fb_shard_busy(w->shard));
    if (count->hits + count->negative_hits != w->peek_hits)
        world_fail(w, "%llu hits counted, %llu seen", (unsigned long long)(count->hits + count->negative_hits),
                   (unsigned long long)w->peek_hits);
    if (count->misses != w->reads - w->peek_hits || count->loads != w->loads)
        world_fail(w, "misses or loads miscounted");
    w->seen[SEEN_PUT_OFF] = count->stale_served - w->seen[SEEN_STALE_DOWN] - w->seen[SEEN_STALE_LATE] -
                            w->seen[SEEN_STALE_FAILED];
    ahead_check_rest(w);
    world_check_entries(w);
}

void world_finish(struct world *w) {
    bool was_fine = w->violation[0] == '\0';
    w->options.oom_one_in = 0;
    w->is_down = false;
    for (int round = 0; round < 3 && w->violation[0] == '\0'; round++) {
        carry_out(w);
        if (round == 0)
            world_check_entries(w);
        advance(w, 2 * FB_WRITE_WINDOW_MS * 1000); /* leases, marks, doubts and deadlines end */
        move_tick(w);
    }
    world_check_copies(w);
    for (unsigned k = 0; k < w->options.keys && w->violation[0] == '\0'; k++) {
        move_start(w, OP_READ, k, 0);
        carry_out(w);
    }
    if (w->violation[0] == '\0')
        check_rest(w);
    /* After a violation the shard may be in any state: it is left alone, and so is its memory. */
    if (was_fine && w->violation[0] == '\0')
        w->shard = fb_shard_destroy(w->shard);
}
