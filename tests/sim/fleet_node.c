/* What a Forebay does: its shard, its loads on their way through the store, its writes. As engine/tier*.c does it. */
#include "fleet_world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static fb_instant now_of(const struct fleet *f) { return (fb_instant){f->now}; }
static uint64_t hash_of(unsigned key) { return (key + 1) * UINT64_C(0x9e3779b97f4a7c15); }
static fb_bytes name_of(unsigned key) { return FB_STR(fleet_key_name(key)); }

static struct fb_store_token token(struct fleet *f, unsigned node) {
    struct fleet_node *n = &f->nodes[node];
    return (struct fb_store_token){(uint64_t)node * 1000 + n->life + 1, ++n->tokens};
}

static void start_load(struct fleet *f, unsigned node, struct fb_flight *flight);
static void granted(struct fleet *f, struct fleet_op *op);

/* ---- effects ---- */

static void carry_effects(struct fleet *f, unsigned node, struct fb_effects *fx) {
    struct fb_link *l;
    while ((l = fb_list_pop_front(&fx->done)) != NULL) {
        struct fleet_op *op = fb_member_of(l, struct fleet_op, waiter.link);
        f->seen[FS_STALE] += op->waiter.is_stale;
        if (op->state == FOP_WAITING)
            check_answer(f, op, op->waiter.status, fb_value_bytes(op->waiter.value));
        fb_value_unref(op->waiter.value);
        op->waiter.value = NULL;
    }
    while ((l = fb_list_pop_front(&fx->granted)) != NULL)
        granted(f, fb_member_of(l, struct fleet_op, writer.link));
    while ((l = fb_list_pop_front(&fx->loads)) != NULL)
        start_load(f, node, fb_member_of(l, struct fb_flight, link));
}

/* ---- loads ---- */

static void finish_load(struct fleet *f, struct fleet_load *load) {
    struct fleet_node *n = &f->nodes[load->node];
    const struct fb_load_flow *flow = &load->flow;
    struct fb_flight *flight = load->flight;
    struct fb_effects fx;
    struct fb_value *value = load->loaded;
    fb_effects_init(&fx);
    if (flow->is_copy || flow->is_stale) {
        fb_value_unref(value);
        value = flow->status == FB_OK ? fb_value_new(FB_KIND_STRING, load->copy.data, load->copy.len) : NULL;
    }
    enum fb_keep keep = flow->keep;
    if (keep == FB_KEEP_NOT && !flow->is_stale && fleet_lacks(f, PART_KEEPS_LOADS))
        keep = FB_KEEP_HERE;
    if (keep == FB_KEEP_NOT && fleet_lacks(f, PART_SHARES_REFUSED))
        keep = FB_KEEP_SHARED;
    bool may_keep = f->options.has_l1 && (f->now < atomic_load(&n->proved) || fleet_lacks(f, PART_SERVES_UNPROVED));
    flight->keep = keep == FB_KEEP_HERE && !may_keep ? FB_KEEP_SHARED : keep;
    flight->is_stale = flow->is_stale;
    flight->questions += fleet_lacks(f, PART_LATE_FOLLOWERS);
    if (flow->is_copy) {
        int64_t whole = flow->status == FB_OK ? flow->terms.ttl_ms : flow->terms.negative_ttl_ms;
        int64_t age = whole - flow->life_ms > 0 ? whole - flow->life_ms : 0;
        flight->born = (fb_instant){flight->sent.ns - fb_ms(age).ns};
        flight->cap_ms = (uint32_t)(age + flow->life_ms);
        flight->cost_us = 10000;
        f->seen[flow->status == FB_OK ? FS_L2_HITS : FS_NEGATIVE]++;
    }
    f->seen[FS_REFUSED] += flow->has_lease && flow->keep == FB_KEEP_NOT;
    flight->status = flow->status;
    flight->value = value;
    fleet_say(f, "node %u: load %u of %s is over: %s%s", load->node, load->number, fleet_key_name(load->key),
              fb_status_name(flow->status), flight->keep == FB_KEEP_HERE ? ", kept" : "");
    load->is_live = false;
    fb_shard_loaded(n->shard, flight, now_of(f), (uint16_t)fb_rng_next(&f->rng), &fx);
    carry_effects(f, load->node, &fx);
}

/* In front of the source. */
static int64_t queue_delay(struct fleet *f) {
    if (!f->is_over && f->options.is_slow && fb_rng_below(&f->rng, f->options.queues) == 0)
        return (int64_t)fb_rng_below(&f->rng, (uint64_t)fb_ms(SOURCE_TIMEOUT_MS).ns);
    return fleet_delay(f);
}

static void carry_load(struct fleet *f, struct fleet_load *load) {
    unsigned index = (unsigned)(load - f->loads);
    switch (load->flow.step) {
    case FB_FLOW_ASK:
        if (load->is_first || !fleet_lacks(f, PART_LATE_FOLLOWERS))
            fb_shard_asked(f->nodes[load->node].shard, load->flight, now_of(f));
        load->is_first = false;
        if (fleet_lacks(f, PART_MISS_AGAIN) && load->flow.call.move == FB_STORE_MISS)
            load->flow.call.token = load->flow.token = (struct fb_store_token){load->node + 1, 1};
        net_send(f, load->node, NET_LOAD, index, load->key, load->version, &load->flow.call);
        break;
    case FB_FLOW_LOAD:
        f->seen[FS_BUSY] += !load->flow.has_lease;
        if (load->flow.has_stale)
            fb_shard_adopt(f->nodes[load->node].shard, load->flight, FB_KIND_STRING,
                           fb_bytes_of(load->copy.data, load->copy.len),
                           (fb_instant){load->flight->sent.ns + fb_ms(load->flow.life_ms - f->options.ttl_ms).ns}, now_of(f));
        check_lease(f, load);
        fleet_at(f, queue_delay(f), EV_SENT, index, load->number);
        break;
    case FB_FLOW_WAIT:
        f->seen[FS_WAITS]++;
        fleet_at(f, load->flow.due.ns - f->now, EV_LATE, index, load->number);
        break;
    case FB_FLOW_OVER: finish_load(f, load); break;
    }
}

static void start_load(struct fleet *f, unsigned node, struct fb_flight *flight) {
    struct fleet_node *n = &f->nodes[node];
    if (f->nloads == LOADS_MAX) {
        fleet_fail(f, "more than %d loads", LOADS_MAX);
        return;
    }
    struct fleet_load *load = &f->loads[f->nloads++];
    unsigned key = 0;
    while (hash_of(key) != flight->hash)
        key++;
    *load = (struct fleet_load){.is_live = true, .is_first = true, .node = node, .life = n->life, .key = key,
                                .number = LOAD_NUMBERS + f->nloads, .flight = flight};
    load->copy = (fb_buf){load->room, 0, sizeof load->room};
    struct fb_flow_terms terms = {
        .kind = FB_KIND_STRING, .ttl_ms = f->options.ttl_ms, .negative_ttl_ms = f->options.negative_ttl_ms,
        .grace_ms = f->options.grace_ms, .lasting_ms = f->options.ttl_ms, .load_ms = 10, .enough_ms = f->options.ttl_ms / 2,
        .why = flight->is_ahead ? FB_FLOW_AHEAD : flight->refreshes ? FB_FLOW_ANEW : FB_FLOW_MISSED,
        .distrust = {n->distrust}, .has_store = true,
    };
    fleet_say(f, "node %u: load %u of %s", node, load->number, fleet_key_name(key));
    fb_load_flow_start(&load->flow, &terms, name_of(key), &load->copy, token(f, node));
    carry_load(f, load);
}

static void loaded(struct fleet *f, struct fleet_load *load) {
    fb_status status = f->rows[load->key].versions[load->version].is_absent ? FB_NOTFOUND : FB_OK;
    if (!f->is_over && fleet_happens(f, f->options.source_error))
        status = FB_DOWN;
    if (status == FB_OK)
        load->loaded = fb_value_new(FB_KIND_STRING, load->text,
                                    (size_t)snprintf(load->text, sizeof load->text, "v%u", load->version));
    fb_load_flow_loaded(&load->flow, status, fb_value_bytes(load->loaded), status < 0);
    carry_load(f, load);
}

void node_load_event(struct fleet *f, struct fleet_load *load, enum happening what) {
    switch (what) {
    case EV_SENT:
        fb_shard_dispatched(f->nodes[load->node].shard, load->flight, now_of(f));
        fleet_at(f, fleet_delay(f), EV_READS, (unsigned)(load - f->loads), load->number);
        break;
    case EV_READS:
        load->version = f->rows[load->key].nversions - 1;
        fleet_at(f, fleet_delay(f), EV_LOADED, (unsigned)(load - f->loads), load->number);
        break;
    case EV_LOADED: loaded(f, load); break;
    case EV_LATE:
        if (load->flow.step != FB_FLOW_WAIT || f->now < load->flow.due.ns)
            break;
        f->seen[FS_LATE]++;
        fb_load_flow_late(&load->flow);
        carry_load(f, load);
        break;
    default: break;
    }
}

static void load_answered(struct fleet *f, struct fleet_load *load) {
    const struct fb_store_call *call = &load->flow.call;
    bool is_done = call->outcome == FB_STORE_DONE, was_hit = is_done && call->answer == FB_STORE_HIT && call->move == FB_STORE_GET;
    f->seen[FS_LEASES] += is_done && call->answer == FB_STORE_LEASE;
    fb_load_flow_answered(&load->flow, token(f, load->node), now_of(f));
    f->seen[FS_DISTRUSTED] += was_hit && load->flow.terms.distrust.ns > 0 && load->flow.step == FB_FLOW_ASK;
    carry_load(f, load);
}

/* ---- being told ---- */

void node_told(struct fleet *f, unsigned node, unsigned key) {
    struct fleet_node *n = &f->nodes[node];
    struct fb_effects fx;
    fb_effects_init(&fx);
    fleet_say(f, "node %u is told of %s", node, fleet_key_name(key));
    if (fleet_lacks(f, PART_PUSH_SPARES_LOADS)) {
        (void)fb_shard_expire(n->shard, hash_of(key), name_of(key), fb_ms(0), 0, now_of(f), &fx);
    } else {
        (void)fb_shard_invalidate(n->shard, hash_of(key), name_of(key), now_of(f), &fx);
    }
    carry_effects(f, node, &fx);
    for (unsigned i = 0, n_loads = f->nloads; i < n_loads; i++) {
        struct fleet_load *load = &f->loads[i];
        if (!load->is_live || load->node != node || load->key != key)
            continue;
        bool was_waiting = load->flow.step == FB_FLOW_WAIT;
        fb_load_flow_told(&load->flow);
        f->seen[FS_WOKEN] += was_waiting;
        if (was_waiting)
            carry_load(f, load);
    }
}

void node_forgets(struct fleet *f, unsigned node) {
    struct fb_effects fx;
    fb_effects_init(&fx);
    fb_shard_invalidate_all(f->nodes[node].shard, now_of(f), &fx);
    carry_effects(f, node, &fx);
}

static void owe(struct fleet *f, unsigned node, unsigned key) {
    struct fb_store_call call = {.move = FB_STORE_INVAL, .kind = FB_KIND_STRING, .key = name_of(key)};
    f->nodes[node].owed &= ~(1u << key);
    f->seen[FS_REASSERTED]++;
    net_send(f, node, NET_OWED, key, key, 0, &call);
}

void node_reassert(struct fleet *f, unsigned node, int64_t since) {
    for (unsigned key = 0; key < f->options.keys; key++)
        if (f->nodes[node].wrote[key] > since && f->nodes[node].wrote[key] > 0)
            owe(f, node, key);
}

/* The store has answered something: what it missed it can hear now. */
static void pay(struct fleet *f, unsigned node) {
    for (unsigned key = 0; key < f->options.keys; key++)
        if (f->nodes[node].owed >> key & 1)
            owe(f, node, key);
}

/* ---- writes ---- */

static void send_write(struct fleet *f, struct fleet_op *op) {
    net_send(f, op->node, NET_WRITE, (unsigned)(op - f->ops), op->key, op->version, &op->flow.call);
}

static void granted(struct fleet *f, struct fleet_op *op) {
    op->state = FOP_BEGINS;
    f->nodes[op->node].wrote[op->key] = f->now;
    fb_write_flow_begin(&op->flow, FB_KIND_STRING, name_of(op->key), token(f, op->node), now_of(f));
    if (fleet_lacks(f, PART_NO_BEGIN)) {
        op->flow.is_begun = true;
        op->flow.server = f->nodes[op->node].server;
        op->state = FOP_STORES;
        fleet_at(f, fleet_delay(f), EV_SENT, (unsigned)(op - f->ops), op->number);
        return;
    }
    send_write(f, op);
}

static void end_write(struct fleet *f, struct fleet_op *op, enum fb_flow_end how) {
    static const char *const names[] = {"put", "absent", "drop", "doubt"};
    op->state = FOP_ENDS;
    op->text[0] = '\0';
    fb_bytes value = fb_bytes_of(op->text, (size_t)snprintf(op->text, sizeof op->text, "v%u", op->version));
    fleet_say(f, "node %u: op %u ends: %s", op->node, op->number, names[how]);
    fb_write_flow_end(&op->flow, how, value, how == FB_FLOW_END_ABSENT ? f->options.negative_ttl_ms
                                                               : f->options.ttl_ms + f->options.grace_ms);
    send_write(f, op);
}

/* Strict: what the store does not know of is not written. */
static void begun(struct fleet *f, struct fleet_op *op) {
    if (!fb_write_flow_begun(&op->flow)) {
        send_write(f, op);
        return;
    }
    if (!op->flow.is_begun) {
        f->seen[FS_UNBEGUN]++;
        op->is_refused = true;
        end_write(f, op, FB_FLOW_END_DROP);
        return;
    }
    op->state = FOP_STORES;
    fleet_at(f, queue_delay(f), EV_SENT, (unsigned)(op - f->ops), op->number);
}

static void finish_write(struct fleet *f, struct fleet_op *op) {
    struct fleet_node *n = &f->nodes[op->node];
    struct fb_effects fx;
    fb_effects_init(&fx);
    if (!fb_write_flow_ended(&op->flow)) {
        send_write(f, op);
        return;
    }
    n->wrote[op->key] = f->now;
    if (op->flow.is_owed) {
        f->seen[FS_OWED]++;
        if (!fleet_lacks(f, PART_OWES_NOTHING))
            n->owed |= 1u << op->key;
    }
    fb_shard_end(n->shard, &op->writer, op->is_doubted ? FB_END_DOUBT : FB_END_DROP, FB_KIND_STRING, fb_bytes_of(NULL, 0),
                 now_of(f), 0, now_of(f), 0, &fx);
    op->state = FOP_ANSWERED;
    f->open--;
    if (op->has_committed && !op->is_doubted && !op->is_refused)
        check_acknowledged(f, op);
    carry_effects(f, op->node, &fx);
}

static void commit(struct fleet *f, struct fleet_op *op) {
    struct fleet_row *row = &f->rows[op->key];
    if (row->nversions == ROW_VERSIONS_MAX) {
        fleet_fail(f, "more than %d versions", ROW_VERSIONS_MAX);
        return;
    }
    op->version = row->nversions;
    op->has_committed = true;
    row->versions[row->nversions++] = (struct fleet_version){f->now, op->kind == FOP_DELETE};
    fleet_say(f, "    database: %s is v%u%s", fleet_key_name(op->key), op->version,
              op->kind == FOP_DELETE ? " (absent)" : "");
}

/* The transaction: it ends by its limit, and may be in doubt until then. */
static void ask_source(struct fleet *f, struct fleet_op *op) {
    unsigned index = (unsigned)(op - f->ops);
    int64_t limit = fb_ms(SOURCE_TIMEOUT_MS).ns, commits = fleet_delay(f), home = commits + fleet_delay(f);
    if (!fb_write_flow_may_store(&op->flow, now_of(f)) && !fleet_lacks(f, PART_NO_PATIENCE)) {
        f->seen[FS_TOO_LATE]++;
        op->is_refused = true;
        end_write(f, op, FB_FLOW_END_DROP);
        return;
    }
    op->sent = f->now;
    if (!f->is_over && fleet_happens(f, f->options.fails)) {
        op->is_refused = true;
        fleet_at(f, home, EV_STORED, index, op->number);
    } else if (!f->is_over && fleet_happens(f, f->options.doubt)) {
        op->is_doubted = true;
        f->seen[FS_DOUBTS]++;
        if (fb_rng_below(&f->rng, 3) > 0)
            fleet_at(f, (int64_t)fb_rng_below(&f->rng, (uint64_t)limit), EV_COMMITS, index, op->number);
        fleet_at(f, (int64_t)fb_rng_below(&f->rng, (uint64_t)limit), EV_STORED, index, op->number);
    } else {
        if (f->options.is_slow && fb_rng_below(&f->rng, 8) == 0)
            commits = (int64_t)fb_rng_below(&f->rng, (uint64_t)limit), home = commits + fleet_delay(f);
        fleet_at(f, commits, EV_COMMITS, index, op->number);
        fleet_at(f, home, EV_STORED, index, op->number);
    }
}

static void stored(struct fleet *f, struct fleet_op *op) {
    if (op->is_doubted)
        end_write(f, op, FB_FLOW_END_DOUBT);
    else if (op->is_refused || op->kind == FOP_AROUND)
        end_write(f, op, FB_FLOW_END_DROP);
    else
        end_write(f, op, op->kind == FOP_DELETE ? FB_FLOW_END_ABSENT : FB_FLOW_END_PUT);
}

/* A transaction goes on without who asked for it. */
void node_write_event(struct fleet *f, struct fleet_op *op, enum happening what) {
    bool is_alive = op->life == f->nodes[op->node].life && f->nodes[op->node].is_up;
    if (what == EV_COMMITS) {
        f->seen[FS_LANDED] += op->is_doubted;
        commit(f, op);
    } else if (is_alive && what == EV_SENT) {
        ask_source(f, op);
    } else if (is_alive && what == EV_STORED) {
        stored(f, op);
    }
}

/* ---- answers of Redis ---- */

static void invalidated(struct fleet *f, struct fleet_op *op, const struct fb_store_call *call) {
    if (call->outcome != FB_STORE_DONE && ++op->tries < 5) {
        struct fb_store_call again = {.move = FB_STORE_INVAL, .kind = FB_KIND_STRING, .key = name_of(op->key)};
        net_send(f, op->node, NET_INVALIDATE, (unsigned)(op - f->ops), op->key, 0, &again);
        return;
    }
    op->state = FOP_ANSWERED;
    f->open--;
}

void node_answered(struct fleet *f, struct fleet_net *net) {
    struct fleet_load *load = &f->loads[net->owner];
    struct fleet_op *op = &f->ops[net->owner];
    bool is_done = net->call.outcome == FB_STORE_DONE;
    switch (net->what) {
    case NET_LOAD:
        if (is_done && net->value.len > 0 && load->flow.call.value != NULL)
            (void)fb_buf_append(load->flow.call.value, net->value.data, net->value.len);
        net->call.value = load->flow.call.value;
        load->flow.call = net->call;
        load_answered(f, load);
        break;
    case NET_WRITE:
        op->flow.call = net->call;
        if (op->state == FOP_BEGINS)
            begun(f, op);
        else
            finish_write(f, op);
        break;
    case NET_INVALIDATE: invalidated(f, op, &net->call); break;
    case NET_OWED:
        if (!is_done)
            f->nodes[net->node].owed |= 1u << net->key;
        break;
    }
    if (is_done && f->nodes[net->node].is_up)
        pay(f, net->node);
}

/* ---- operations ---- */

static void refresh_ahead(struct fleet *f, unsigned node, unsigned key, const struct fb_stamp *stamp) {
    struct fb_shard *shard = f->nodes[node].shard;
    struct fb_effects fx;
    fb_effects_init(&fx);
    enum fb_due due = fb_shard_due(shard, hash_of(key), name_of(key), stamp, now_of(f), (uint32_t)fb_rng_next(&f->rng));
    if (due != FB_DUE_NOT)
        (void)fb_shard_refresh_ahead(shard, hash_of(key), name_of(key), stamp, due, /* may_load = */ true, now_of(f), &fx);
    f->seen[FS_AHEAD] += due != FB_DUE_NOT;
    carry_effects(f, node, &fx);
}

static void start_read(struct fleet *f, struct fleet_op *op) {
    struct fleet_node *n = &f->nodes[op->node];
    struct fb_effects fx;
    char room[32];
    fb_buf out = {room, 0, sizeof room};
    struct fb_hit hit;
    fb_status status = FB_MISS;
    fb_effects_init(&fx);
    check_floors(f, op);
    op->waiter = (struct fb_waiter){.deadline = FB_NEVER, .patience = fb_ms(f->options.grace_ms > 0 ? PATIENCE_MS : 0)};
    if (op->kind == FOP_READ)
        status = fb_shard_peek(n->shard, hash_of(op->key), name_of(op->key), now_of(f), &out, &hit);
    if (status != FB_MISS) {
        f->seen[FS_L1_HITS]++;
        fleet_say(f, "op %u: a hit in the first level", op->number);
        check_answer(f, op, status, fb_bytes_of(out.data, out.len));
        struct fb_stamp stamp;
        if (hit.is_ripe && fb_shard_look(n->shard, hash_of(op->key), name_of(op->key), now_of(f), &stamp) >= 0 &&
            stamp.kind != FB_KIND_NONE)
            refresh_ahead(f, op->node, op->key, &stamp);
        return;
    }
    fb_kind kind;
    if (op->kind == FOP_READ && fb_shard_stale(n->shard, hash_of(op->key), name_of(op->key), 0, &op->waiter, now_of(f), &out,
                                               &kind) == FB_OK) {
        f->seen[FS_STALE]++;
        check_answer(f, op, FB_OK, fb_bytes_of(out.data, out.len));
        return;
    }
    if (op->kind == FOP_READ)
        (void)fb_shard_miss(n->shard, hash_of(op->key), name_of(op->key), 0, &op->waiter, now_of(f), &fx);
    else
        (void)fb_shard_refresh(n->shard, hash_of(op->key), name_of(op->key), 0, &op->waiter, now_of(f), &fx);
    carry_effects(f, op->node, &fx);
}

static void start_write(struct fleet *f, struct fleet_op *op) {
    struct fb_effects fx;
    fb_effects_init(&fx);
    op->state = FOP_QUEUED;
    op->writer = (struct fb_writer){0};
    if (fb_shard_begin(f->nodes[op->node].shard, hash_of(op->key), name_of(op->key), 0, &op->writer, now_of(f), &fx) ==
        FB_OK)
        granted(f, op);
    carry_effects(f, op->node, &fx);
}

static void start_invalidation(struct fleet *f, struct fleet_op *op) {
    struct fb_store_call call = {.move = FB_STORE_INVAL, .kind = FB_KIND_STRING, .key = name_of(op->key)};
    struct fb_effects fx;
    fb_effects_init(&fx);
    (void)fb_shard_invalidate(f->nodes[op->node].shard, hash_of(op->key), name_of(op->key), now_of(f), &fx);
    carry_effects(f, op->node, &fx);
    net_send(f, op->node, NET_INVALIDATE, (unsigned)(op - f->ops), op->key, 0, &call);
}

void node_begin_op(struct fleet *f, struct fleet_op *op) {
    static const char *const names[FOP_KINDS] = {"get", "refresh", "set", "delete", "around", "invalidate"};
    fleet_say(f, "op %u: %s %s at node %u", op->number, names[op->kind], fleet_key_name(op->key), op->node);
    switch (op->kind) {
    case FOP_READ:
    case FOP_REFRESH: start_read(f, op); break;
    case FOP_INVALIDATE: start_invalidation(f, op); break;
    default: start_write(f, op); break;
    }
}

/* ---- life and death ---- */

static const _Atomic int64_t never = INT64_MIN, always = INT64_MAX;

void node_start(struct fleet *f, unsigned node) {
    struct fleet_node *n = &f->nodes[node];
    n->policies[0] = (fb_policy){.ttl_ms = f->options.ttl_ms, .negative_ttl_ms = f->options.negative_ttl_ms,
                                 .grace_ms = f->options.grace_ms, .refresh_ahead = f->options.is_ahead ? 0.5 : 0};
    struct fb_shard_options options = {
        .bytes_max = 1 << 20, .evict = &fb_evict_s3fifo, .policies = n->policies, .keyspaces_max = 1,
        .proved = !f->options.has_l1 ? &never : fleet_lacks(f, PART_SERVES_UNPROVED) ? &always : &n->proved,
    };
    n->shard = fb_shard_create(&options);
    if (n->shard == NULL)
        abort();
    atomic_store(&n->proved, INT64_MIN);
    n->is_up = true;
    n->is_watching = n->beat_is_out = false;
    n->life++;
    n->session++;
    n->first = n->next = 0;
    n->server = f->redis.server;
    n->history = f->redis.server; /* it has asked who that is before it trusts anything */
    n->distrust = n->stream_end = 0;
    n->owed = 0;
    n->tokens = 0;
    memset(n->wrote, 0, sizeof n->wrote);
    memset(n->acked, 0, sizeof n->acked);
    memset(n->seen, 0, sizeof n->seen);
    fleet_at(f, fleet_delay(f), EV_WATCHED, node, n->session);
    fleet_at(f, fb_ms(500).ns, EV_TICK, node, n->life);
}

/* Nobody hears of these, and nothing comes of them. */
static void swallow(struct fleet *f, struct fleet_node *n, struct fb_effects *fx) {
    struct fb_link *l;
    do {
        while ((l = fb_list_pop_front(&fx->done)) != NULL)
            fb_value_unref(fb_member_of(l, struct fleet_op, waiter.link)->waiter.value);
        if ((l = fb_list_pop_front(&fx->loads)) != NULL) {
            fb_member_of(l, struct fb_flight, link)->status = FB_CLOSED;
            fb_shard_loaded(n->shard, fb_member_of(l, struct fb_flight, link), now_of(f), 0, fx);
        }
    } while (l != NULL || !fb_list_is_empty(&fx->done));
}

static bool was_under_way(const struct fleet *f, const struct fleet_op *op, unsigned node) {
    return op->node == node && op->life == f->nodes[node].life;
}

/* What it was about to do it does not do; its shard is brought to rest, so that its memory can be given back. */
void node_kill(struct fleet *f, unsigned node) {
    struct fleet_node *n = &f->nodes[node];
    struct fb_effects fx;
    fb_effects_init(&fx);
    n->is_up = n->is_watching = false;
    n->session++;
    for (unsigned i = 0; i < f->nops; i++)
        if (was_under_way(f, &f->ops[i], node) && f->ops[i].state == FOP_QUEUED)
            (void)fb_shard_cancel(n->shard, &f->ops[i].writer);
    for (unsigned i = 0; i < f->nops; i++) {
        struct fleet_op *op = &f->ops[i];
        if (!was_under_way(f, op, node) || op->state >= FOP_ANSWERED)
            continue;
        if (op->state > FOP_QUEUED && op->kind != FOP_INVALIDATE)
            fb_shard_end(n->shard, &op->writer, FB_END_DROP, FB_KIND_NONE, fb_bytes_of(NULL, 0), now_of(f), 0, now_of(f), 0,
                         &fx);
        op->state = FOP_LOST;
        f->open--;
    }
    swallow(f, n, &fx);
    for (unsigned i = 0; i < f->nloads; i++) {
        struct fleet_load *load = &f->loads[i];
        if (!load->is_live || load->node != node)
            continue;
        load->is_live = false;
        fb_value_unref(load->loaded);
        load->flight->status = FB_CLOSED;
        fb_shard_loaded(n->shard, load->flight, now_of(f), 0, &fx);
        swallow(f, n, &fx);
    }
    n->shard = fb_shard_destroy(n->shard);
}

void node_tick(struct fleet *f, unsigned node) {
    struct fb_effects fx;
    fb_effects_init(&fx);
    (void)fb_shard_tick(f->nodes[node].shard, now_of(f), &fx);
    carry_effects(f, node, &fx);
}
