/* What each move does to the shard, and what the shard's effects do to the world. */
#include "moves.h"

#include <string.h>

#include "base/mem.h"

/* ---- calling the core ---- */

/* The clock as a caller sees it who had to wait for the lock. */
static fb_instant seen_now(struct world *w) {
    int64_t lag = w->options.lag_ns > 0 ? (int64_t)fb_rng_below(&w->rng, (uint64_t)w->options.lag_ns) : 0;
    return (fb_instant){w->now.ns - lag};
}

static uint16_t draw(struct world *w) { return (uint16_t)fb_rng_next(&w->rng); }

static void calls_begin(struct world *w, struct fb_effects *fx) {
    fb_effects_init(fx);
    if (w->options.oom_one_in > 0 && fb_rng_below(&w->rng, w->options.oom_one_in) == 0)
        fb_mem_fail_after((int64_t)fb_rng_below(&w->rng, 3));
}

static void grant(struct world *w, struct op *op) {
    struct row *row = &w->rows[op->key];
    if (row->granted != NULL)
        world_fail(w, "S5: op %u granted while op %u is", op->number, row->granted->number);
    if (op->ticket <= row->granted_seq)
        world_fail(w, "S5: op %u granted out of turn", op->number);
    if (op->state != OP_QUEUED)
        world_fail(w, "op %u granted twice", op->number);
    row->granted = op;
    row->granted_seq = op->ticket;
    row->floor = row->nversions - 1; /* hidden from here on: reads that begin now ask the database */
    op->state = OP_GRANTED;
    op->leased = w->now.ns;
    world_say(w, "    op %u may write %s", op->number, row->name);
}

static void release(struct world *w, struct op *op) {
    struct row *row = &w->rows[op->key];
    if (row->granted != op)
        world_fail(w, "S5: op %u ends, but op %u is granted", op->number, row->granted ? row->granted->number : 0);
    row->granted = NULL;
}

/* ---- what is told ---- */

void move_tell(struct world *w, unsigned key, unsigned floor) {
    struct row *row = &w->rows[key];
    w->seen[SEEN_COPIES_DROPPED] += row->has_copy;
    row->told++;
    row->has_copy = false;
    row->told_floor = floor > row->told_floor ? floor : row->told_floor;
}

static unsigned key_named(const struct world *w, fb_bytes key) {
    unsigned k = 0;
    while (k < w->options.keys &&
           (strlen(w->rows[k].name) != key.len || memcmp(w->rows[k].name, key.data, key.len) != 0))
        k++;
    return k;
}

void move_observe(void *user, fb_event_kind what, uint16_t keyspace, fb_kind value, fb_bytes key) {
    static const char *const names[] = {
#define NAME(name, text) #name,
        FB_EVENT_MAP(NAME)
#undef NAME
    };
    struct world *w = user;
    unsigned k = key_named(w, key);
    (void)keyspace, (void)value;
    w->rows[k].last_told = names[what];
    world_say(w, "    told: %s %s", names[what], w->rows[k].name);
    if (what == FB_EVENT_LIFE)
        return;
    w->seen[SEEN_REFRESHED] += what == FB_EVENT_REFRESHED;
    bool is_final = what == FB_EVENT_INVALIDATED || what == FB_EVENT_DOUBTED;
    move_tell(w, k, !is_final ? 0 : what == FB_EVENT_DOUBTED ? w->rows[k].floor : w->rows[k].nversions - 1);
}

/* The client keeps an answer, if nothing was told of the key since it asked. */
static void keep_copy(struct world *w, const struct op *op) {
    struct row *row = &w->rows[op->key];
    if (row->told != op->told || op->status < 0)
        return;
    w->seen[SEEN_COPIES]++;
    row->has_copy = true;
    row->copy = op->answer;
}

static void answer(struct world *w, struct op *op, fb_status status, fb_bytes value) {
    if (op->state != OP_WAITING) {
        world_fail(w, "S3: op %u answered twice", op->number);
        return;
    }
    op->state = OP_DONE;
    w->seen[SEEN_NOMEM] += status == FB_NOMEM;
    world_say(w, "    op %u gets %s %.*s", op->number, fb_status_name(status), status == FB_OK ? 8 : 0,
              value.data != NULL ? value.data : "");
    if (status == FB_LEASE && op->kind == OP_ASIDE) {
        op->state = OP_LEASED;
        op->status = FB_LEASE;
        op->leased = w->now.ns;
        return;
    }
    if (status == FB_TIMEOUT && fb_before(w->now, op->waiter.deadline))
        world_fail(w, "op %u timed out before its deadline", op->number);
    if (status == FB_TIMEOUT && op->kind == OP_READ && w->options.oom_one_in == 0 &&
        world_has_stand_in(w, &w->rows[op->key], op->was_down))
        world_fail(w, "S10: op %u timed out, and a stale value would have done", op->number);
    if (op->is_stale)
        world_check_stale(w, op);
    world_check_answer(w, op, status, value);
    if (op->kind == OP_REFRESH && status >= 0) {
        struct row *row = &w->rows[op->key];
        world_check_refreshed(w, op);
        row->floor = op->floor > row->floor ? op->floor : row->floor; /* for those who ask from now on */
        row->told_floor = op->floor > row->told_floor ? op->floor : row->told_floor;
    }
    if (op->kind != OP_ASIDE && w->violation[0] == '\0')
        keep_copy(w, op);
}

static void take_flight(struct world *w, struct fb_flight *core) {
    fb_bytes key = fb_flight_key(core);
    if (w->nflights == FLIGHTS_MAX) {
        world_fail(w, "more than %d flights", FLIGHTS_MAX);
        return;
    }
    struct world_flight *f = &w->flights[w->nflights++];
    *f = (struct world_flight){.core = core, .number = ++w->flights_made};
    f->key = key_named(w, key);
    f->launched = w->now.ns;
    w->rows[f->key].undispatched++;
    world_say(w, "    flight %u for %s%s%s", f->number, w->rows[f->key].name,
              fb_flight_may_fill(core) ? " with the lease" : "", core->is_ahead ? ", ahead" : "");
    ahead_check_begun(w, f);
}

/* Carry the effects of a call out. */
static void calls_end(struct world *w, struct fb_effects *fx) {
    fb_mem_fail_after(-1);
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->done)) != NULL;) {
        struct op *op = fb_member_of(l, struct op, waiter.link);
        struct fb_value *value = op->waiter.value;
        op->waiter.value = NULL;
        op->is_stale = op->waiter.is_stale;
        answer(w, op, op->waiter.status, fb_value_bytes(value));
        fb_value_unref(value);
    }
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->loads)) != NULL;)
        take_flight(w, fb_member_of(l, struct fb_flight, link));
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->lapsed)) != NULL;) {
        struct op *op = fb_member_of(l, struct op, writer.lapse);
        release(w, op);
        op->state = OP_LAPSED;
        w->seen[SEEN_LAPSED]++;
        w->rows[op->key].floor = w->rows[op->key].nversions - 1;
        move_tell(w, op->key, w->rows[op->key].floor);
        world_say(w, "    the mark of op %u lapses", op->number);
        if (w->now.ns < op->writer.expires.ns)
            world_fail(w, "the mark of op %u lapsed before its time", op->number);
    }
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->granted)) != NULL;)
        grant(w, fb_member_of(l, struct op, writer.link));
}

/* A commit that Forebay carries: the key is hidden or in doubt, so whoever asks from now on must see it. */
void move_commit(struct world *w, struct op *op) {
    op->version = world_commit(w, op->key, op->kind == OP_DELETE);
    op->has_committed = true;
    w->rows[op->key].floor = op->version;
    if (op->kind != OP_MOVE)
        return;
    unsigned changed[2] = {w->owners[op->key], op->owner};
    for (unsigned i = 0; i < 2 && (i == 0 || changed[1] != changed[0]); i++)
        w->rows[changed[i]].floor = world_commit(w, changed[i], /* is_absent = */ false);
    w->owners[op->key] = op->owner;
    w->seen[SEEN_MOVED]++;
}

/* ---- holds ---- */

static void release_lists(struct world *w, struct op *op, bool is_doubted) {
    for (unsigned i = 0; i < op->nheld; i++) {
        struct row *row = &w->rows[op->held[i]];
        if (is_doubted)
            row->floor = row->nversions - 1; /* nothing is kept: whoever asks next asks the database */
        row->nheld--;
        fb_shard_release(w->shard, &op->holds[i], is_doubted, seen_now(w));
    }
    op->nheld = 0;
}

static bool hold_list(struct world *w, struct op *op, fb_bytes key) {
    struct fb_effects fx;
    unsigned k = key_named(w, key), i = op->nheld;
    calls_begin(w, &fx);
    fb_status status = fb_shard_hold(w->shard, w->rows[k].hash, key, 0, &op->holds[i], seen_now(w), &fx);
    calls_end(w, &fx);
    if (status != FB_OK)
        return false;
    op->held[op->nheld++] = k;
    w->rows[k].nheld++;
    w->rows[k].floor = w->rows[k].nversions - 1; /* hidden from here on */
    world_say(w, "    op %u holds %s", op->number, w->rows[k].name);
    return true;
}

void move_hold(struct world *w, struct op *op) {
    struct fb_datum before = fb_datum_int(w->owners[op->key]), after = fb_datum_int(op->owner);
    struct fb_touched touched = FB_TOUCHED_INIT;
    uint16_t keyspace;
    fb_bytes key;
    bool ok = fb_touch(&w->table, &before, &after, &touched) == FB_OK;
    for (size_t cursor = 0; ok && fb_touched_next(&touched, &cursor, &keyspace, &key);)
        ok = hold_list(w, op, key);
    fb_buf_free(&touched.keys);
    op->state = OP_HELD;
    if (!ok)
        move_end(w, op, FB_END_DROP); /* the transaction is taken back */
}

/* ---- starting operations ---- */

static void start_read(struct world *w, struct op *op) {
    struct row *row = &w->rows[op->key];
    struct fb_effects fx;
    char room[1024];
    fb_buf out = {room, 0, sizeof room};
    fb_kind kind = FB_KIND_NONE;
    struct fb_hit hit;
    fb_instant now = seen_now(w);
    op->floor = row->floor;
    op->was_down = w->is_down;
    op->state = OP_WAITING;
    w->reads++;
    calls_begin(w, &fx);
    fb_status status = fb_shard_peek(w->shard, row->hash, FB_STR(row->name), now, &out, &hit);
    if (status != FB_MISS) {
        w->peek_hits++;
        world_check_served(w, op);
        answer(w, op, status, fb_bytes_of(out.data, out.len));
        if (hit.is_ripe)
            ahead_after_hit(w, op, now, &fx);
        else
            ahead_check_missed(w, op);
        calls_end(w, &fx);
        return;
    }
    op->waiter = (struct fb_waiter){
        .deadline = w->options.wait_ms > 0 ? fb_after(now, fb_ms(w->options.wait_ms)) : FB_NEVER,
        .wants_lease = op->kind == OP_ASIDE,
        .patience = fb_ms(w->options.patience_ms),
        .source_down = w->is_down,
    };
    status = fb_shard_stale(w->shard, row->hash, FB_STR(row->name), 0, &op->waiter, now, &out, &kind);
    if (status != FB_MISS) {
        op->is_stale = status == FB_OK;
        answer(w, op, status, fb_bytes_of(out.data, out.len));
        calls_end(w, &fx);
        return;
    }
    struct fb_stamp stamp;
    if (w->options.oom_one_in == 0 && op->kind == OP_READ && world_has_stand_in(w, row, w->is_down) &&
        world_is_stale(w, row, &stamp) &&
        (w->is_down || (row->put_off == stamp.birth.ns &&
                        w->now.ns < row->failed + fb_ms(FB_STALE_RETRY_MS / 2).ns - 2 * LAG_MAX_NS)))
        world_fail(w, "S11: op %u asks for %s again", op->number, row->name);
    status = fb_shard_miss(w->shard, row->hash, FB_STR(row->name), 0, &op->waiter, now, &fx);
    if (status == FB_PENDING)
        w->seen[SEEN_AHEAD_JOINED] += op->waiter.flight->is_ahead;
    if (status == FB_PENDING && op->kind == OP_READ && w->options.patience_ms > 0 &&
        op->waiter.stale_at.ns > w->now.ns + op->waiter.patience.ns)
        world_fail(w, "op %u waits longer than its patience", op->number);
    if (status != FB_PENDING)
        answer(w, op, status, fb_bytes_of(NULL, 0));
    calls_end(w, &fx);
}

static void start_refresh(struct world *w, struct op *op) {
    struct row *row = &w->rows[op->key];
    struct fb_effects fx;
    fb_instant now = seen_now(w);
    op->floor = row->nversions - 1; /* whatever happened behind Forebay's back */
    op->state = OP_WAITING;
    op->waiter = (struct fb_waiter){
        .deadline = w->options.wait_ms > 0 ? fb_after(now, fb_ms(w->options.wait_ms)) : FB_NEVER,
    };
    calls_begin(w, &fx);
    fb_status status = fb_shard_refresh(w->shard, row->hash, FB_STR(row->name), 0, &op->waiter, now, &fx);
    if (status != FB_PENDING)
        answer(w, op, status, fb_bytes_of(NULL, 0));
    calls_end(w, &fx);
}

static void start_write(struct world *w, struct op *op) {
    struct row *row = &w->rows[op->key];
    struct fb_effects fx;
    op->state = OP_QUEUED;
    op->ticket = ++row->begun;
    op->writer = (struct fb_writer){.window = op->kind == OP_TICKET ? fb_ms(FB_WRITE_WINDOW_MS) : (fb_span){0}};
    calls_begin(w, &fx);
    fb_status status = fb_shard_begin(w->shard, row->hash, FB_STR(row->name), 0, &op->writer, seen_now(w), &fx);
    if (status == FB_OK)
        grant(w, op);
    else if (status == FB_PENDING)
        w->seen[SEEN_QUEUED]++;
    else
        op->state = OP_DONE; /* FB_BUSY, FB_NOMEM: it was never begun */
    op->status = status;
    calls_end(w, &fx);
}

void move_invalidate(struct world *w, unsigned key) {
    struct row *row = &w->rows[key];
    struct fb_effects fx;
    calls_begin(w, &fx);
    w->last_status = fb_shard_invalidate(w->shard, row->hash, FB_STR(row->name), seen_now(w), &fx);
    row->floor = row->nversions - 1;
    calls_end(w, &fx);
}

static void invalidate_all(struct world *w) {
    struct fb_effects fx;
    calls_begin(w, &fx);
    fb_shard_invalidate_all(w->shard, seen_now(w), &fx);
    for (unsigned k = 0; k < w->options.keys; k++) {
        w->rows[k].floor = w->rows[k].nversions - 1;
        move_tell(w, k, w->rows[k].floor);
    }
    calls_end(w, &fx);
}

static void change_life(struct world *w, const struct op *op, uint64_t arg) {
    struct row *row = &w->rows[op->key];
    struct fb_effects fx;
    struct fb_stamp stamp;
    fb_instant now = w->now;
    fb_span life = {(int64_t)arg * 1000};
    row->pause.birth = NEVER_FAILED; /* a new life: what was known of its source is forgotten */
    calls_begin(w, &fx);
    if (op->kind == OP_EXPIRE) {
        w->last_status = fb_shard_expire(w->shard, row->hash, FB_STR(row->name), life, 0, now, &fx);
        if (w->last_status == FB_OK && fb_shard_look(w->shard, row->hash, FB_STR(row->name), now, &stamp) == FB_OK &&
            fb_policy_expiry(&stamp, w->policies).ns > fb_after(now, life).ns + FB_NS_PER_MS)
            world_fail(w, "op %u: %s outlives EXPIRE", op->number, row->name);
    } else
        w->last_status = fb_shard_persist(w->shard, row->hash, FB_STR(row->name), now);
    calls_end(w, &fx);
}

void move_start(struct world *w, enum op_kind kind, unsigned key, uint64_t arg) {
    if (w->nops == OPS_MAX) {
        world_fail(w, "more than %d operations", OPS_MAX);
        return;
    }
    struct op *op = &w->ops[w->nops];
    *op = (struct op){.kind = kind, .key = key, .number = ++w->nops, .begun = w->now.ns, .told = w->rows[key].told};
    world_say(w, "op %u: %s %s", op->number, world_op_name(kind), w->rows[key].name);
    switch (kind) {
    case OP_READ:
    case OP_ASIDE: start_read(w, op); break;
    case OP_REFRESH: start_refresh(w, op); break;
    case OP_MOVE: op->owner = LISTS_AT + LISTS_STEP * (unsigned)(arg % 2); /* fall through */
    case OP_SET:
    case OP_DELETE:
    case OP_AROUND:
    case OP_TICKET: start_write(w, op); break;
    case OP_BEHIND:
        op->version = world_commit(w, key, arg % 2 == 1);
        op->state = OP_BEHIND_COMMITTED;
        break;
    case OP_INVALIDATE: move_invalidate(w, key); break;
    case OP_INVALIDATE_ALL: invalidate_all(w); break;
    case OP_EXPIRE:
    case OP_PERSIST: change_life(w, op, arg); break;
    case OP_KINDS: break;
    }
}

/* ---- flights ---- */

void move_dispatch(struct world *w, struct world_flight *f) {
    fb_shard_dispatched(w->shard, f->core, seen_now(w));
    f->state = FLIGHT_SENT;
    f->sent = w->now.ns;
    w->rows[f->key].undispatched--;
    w->loads++;
}

/* Who waits for the flight, before it comes home. */
struct audience {
    struct op *ops[OPS_MAX];
    unsigned n;
};

static void look_at_audience(const struct fb_flight *core, struct audience *audience) {
    audience->n = 0;
    for (const struct fb_link *l = core->waiters.next; l != &core->waiters; l = l->next)
        audience->ops[audience->n++] = fb_member_of(l, struct op, waiter.link);
}

static void note_failure(struct world *w, struct row *row) {
    struct fb_stamp stamp;
    row->failed = w->now.ns;
    row->put_off = world_is_stale(w, row, &stamp) ? stamp.birth.ns : NEVER_FAILED;
}

void move_home(struct world *w, unsigned index, fb_status status) {
    struct world_flight f = w->flights[index];
    const struct row *row = &w->rows[f.key];
    struct fb_effects fx;
    struct audience audience;
    struct fb_stamp stamp;
    char room[1024];
    bool was_kept = fb_flight_may_fill(f.core), was_in = world_entry(w, row, &stamp, NULL), were_bounced[OPS_MAX];

    w->flights[index] = w->flights[--w->nflights];
    if (f.state == FLIGHT_NEW)
        w->rows[f.key].undispatched--;
    f.core->status = status;
    f.core->source_down = w->is_down;
    struct fb_stamp before = {.birth = {NEVER_FAILED}};
    bool could_stand_in = world_has_stand_in(w, row, w->is_down) && w->options.oom_one_in == 0;
    bool is_ahead = f.core->is_ahead;
    if (status < 0) {
        note_failure(w, &w->rows[f.key]);
        ahead_note_failure(w, &w->rows[f.key], &before);
    }
    if (status == FB_OK) {
        fb_bytes value = world_value(w, f.version, room, sizeof room);
        f.core->value = fb_value_new(FB_KIND_STRING, value.data, value.len);
    } else if (status < 0)
        f.core->value = fb_value_new(FB_KIND_STRING, "out of order", 12);
    struct fb_value *value = fb_value_ref(f.core->value);
    look_at_audience(f.core, &audience);
    for (unsigned i = 0; i < audience.n; i++)
        were_bounced[i] = audience.ops[i]->waiter.bounced;

    calls_begin(w, &fx);
    fb_shard_loaded(w->shard, f.core, seen_now(w), draw(w), &fx);
    if (!was_kept && !was_in && world_entry(w, row, &stamp, NULL))
        world_fail(w, "S1: flight %u held no lease and is in the table", f.number);
    for (unsigned i = 0; i < audience.n; i++) {
        const struct fb_waiter *waiter = &audience.ops[i]->waiter;
        bool is_answered = waiter->flight == NULL;
        bool has_other = audience.ops[i]->kind == OP_READ && is_answered && waiter->status >= 0;
        if (status < 0 && !has_other && (!is_answered || waiter->status != status || waiter->value != value))
            world_fail(w, "S6: op %u did not get the error of flight %u", audience.ops[i]->number, f.number);
        if (status < 0 && !has_other && could_stand_in && audience.ops[i]->kind == OP_READ)
            world_fail(w, "S10: op %u gets an error, and a stale value would have done", audience.ops[i]->number);
        if (status == FB_OK && is_answered && waiter->value == value)
            world_check_shared(w, &f, was_kept, audience.ops[i]);
        w->seen[SEEN_BOUNCED] += !were_bounced[i] && waiter->bounced;
        if (were_bounced[i] && !is_answered)
            world_fail(w, "S7: op %u bounced twice", audience.ops[i]->number);
    }
    if (was_kept && status >= 0) {
        world_check_birth(w, row, f.sent);
        w->rows[f.key].pause.birth = NEVER_FAILED;
    }
    if (status < 0)
        ahead_check_left(w, &f, &before);
    w->seen[SEEN_AHEAD_FAILED] += is_ahead && before.birth.ns != NEVER_FAILED;
    calls_end(w, &fx);
    fb_value_unref(value);
}

/* ---- the application's own loads ---- */

void move_fill(struct world *w, struct op *op, fb_status status) {
    struct row *row = &w->rows[op->key];
    struct fb_effects fx;
    char room[1024];
    fb_bytes value = world_value(w, op->version, room, sizeof room);
    if (status == FB_OK && row->versions[op->version].is_absent) {
        status = FB_NOTFOUND;
        value.len = 0;
    }
    op->state = OP_DONE;
    calls_begin(w, &fx);
    w->last_status = fb_shard_fill(w->shard, row->hash, FB_STR(row->name), op->waiter.token, status,
                                   status == FB_OK ? FB_KIND_STRING : FB_KIND_NONE, value, seen_now(w), draw(w), &fx);
    world_say(w, "    fill: %s", fb_status_name(w->last_status));
    w->seen[SEEN_LEASES_FILLED] += w->last_status == FB_OK && status >= 0;
    w->seen[SEEN_LEASES_REFUSED] += w->last_status == FB_REFUSED;
    if (w->last_status == FB_OK && status >= 0) {
        world_check_birth(w, row, op->leased);
        row->pause.birth = NEVER_FAILED;
    }
    if (w->last_status == FB_OK && w->now.ns > op->leased + fb_ms(FB_LEASE_MS).ns + LAG_MAX_NS)
        world_fail(w, "op %u filled with a lease that had expired", op->number);
    calls_end(w, &fx);
    if (status >= 0)
        world_check_answer(w, op, status, value);
    op->status = w->last_status;
}

/* ---- the ends of writes ---- */

void move_end(struct world *w, struct op *op, enum fb_write_end how) {
    struct fb_effects fx;
    char room[1024];
    fb_bytes value = world_value(w, op->version, room, sizeof room);
    struct row *row = &w->rows[op->key];
    fb_instant sent = {op->leased};
    release(w, op);
    row->pause.birth = NEVER_FAILED;
    op->state = how == FB_END_DOUBT && !op->has_committed ? OP_IN_DOUBT : OP_DONE;
    op->ended = w->now.ns;
    op->status = op->has_committed && how != FB_END_DOUBT ? FB_OK : how == FB_END_DOUBT ? FB_UNKNOWN : FB_SOURCE;
    if (how == FB_END_DROP || how == FB_END_DOUBT) /* nothing is kept: whoever asks next asks the database */
        row->floor = row->nversions - 1;
    calls_begin(w, &fx);
    fb_shard_end(w->shard, &op->writer, how, FB_KIND_STRING, how == FB_END_KEEP ? value : fb_bytes_of(NULL, 0), sent,
                 /* cap_ms = */ 0, seen_now(w), draw(w), &fx);
    world_check_birth(w, row, sent.ns);
    /* As the engine tells it. */
    release_lists(w, op, how == FB_END_DOUBT);
    bool is_told = op->has_committed || how == FB_END_DOUBT || op->kind == OP_TICKET || op->writer.has_hidden;
    if (is_told)
        move_tell(w, op->key, op->kind == OP_TICKET ? row->nversions - 1 : op->has_committed ? op->version : 0);
    calls_end(w, &fx);
}

enum fb_write_end move_end_of(const struct op *op) {
    return op->kind == OP_SET || op->kind == OP_MOVE ? FB_END_KEEP : op->kind == OP_DELETE ? FB_END_ABSENT : FB_END_DROP;
}

void move_cancel(struct world *w, struct op *op) {
    if (fb_shard_cancel(w->shard, &op->writer)) {
        w->seen[SEEN_CANCELLED]++;
        op->state = OP_DONE;
        op->status = FB_TIMEOUT;
    } else
        world_fail(w, "op %u is queued and cannot be cancelled", op->number);
}

static bool is_plain_write(const struct op *op) {
    return op->kind == OP_SET || op->kind == OP_DELETE || op->kind == OP_AROUND;
}

struct op *move_next(const struct op *op) {
    struct fb_writer *writer = is_plain_write(op) ? fb_shard_next_writer(&op->writer) : NULL;
    struct op *next = writer != NULL ? fb_member_of(writer, struct op, writer) : NULL;
    return next != NULL && is_plain_write(next) ? next : NULL;
}

/* It is over with its commit: what its reply promises holds while the mark stands, and after it. */
void move_join(struct world *w, struct op *op) {
    struct op *next = move_next(op);
    struct row *row = &w->rows[op->key];
    for (unsigned i = 0; i < w->nops; i++)
        if (w->ops[i].key == op->key && w->ops[i].state == OP_QUEUED && w->ops[i].ticket < next->ticket)
            world_fail(w, "S5: op %u joins before op %u", next->number, w->ops[i].number);
    if (!fb_shard_cancel(w->shard, &next->writer)) {
        world_fail(w, "op %u is queued and cannot join", next->number);
        return;
    }
    world_say(w, "    op %u joins", next->number);
    w->seen[SEEN_JOINED]++;
    row->granted_seq = next->ticket;
    move_commit(w, next);
    next->state = OP_DONE;
    next->status = FB_OK;
    op->kind = next->kind; /* the end is that of the last one */
    op->version = next->version;
}

void move_tick(struct world *w) {
    struct fb_effects fx;
    fb_instant now = seen_now(w);
    calls_begin(w, &fx);
    fb_instant due = fb_shard_tick(w->shard, now, &fx);
    calls_end(w, &fx);
    world_check_due(w, now, due);
}
