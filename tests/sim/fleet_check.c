/* What a read of the fleet may answer. */
#include "fleet_world.h"

#include <stdlib.h>
#include <string.h>

/* ---- floors ---- */

static unsigned acked_by(const struct fleet_row *row, int64_t moment) {
    unsigned version = 0;
    for (unsigned i = 0; i < row->nacks; i++)
        if (row->acks[i].at <= moment && row->acks[i].version > version)
            version = row->acks[i].version;
    return version;
}

/* The mark of a write is lost, a load fills what was there before it, and then its END is lost as well: what the store is
 * owed is paid a moment after the acknowledgement. */
static bool is_asked_too_much(const struct fleet_options *o) {
    return (o->loses || o->flushes) && (o->unknown > 0 || o->is_slow);
}

void check_floors(struct fleet *f, struct fleet_op *op) {
    const struct fleet_row *row = &f->rows[op->key];
    const struct fleet_node *node = &f->nodes[op->node];
    op->acked = row->acked;
    op->seen = row->seen;
    op->second = acked_by(row, f->now - fb_ms(PROOF_MS).ns);
    op->own = node->acked[op->key];
    op->own_seen = node->seen[op->key];
    op->is_judged = !f->is_excused && f->now >= f->excused_until && (f->is_over || !is_asked_too_much(&f->options));
}

static bool is_linearizable(const struct fleet *f) {
    return !f->options.loses && !f->options.flushes && !f->options.fails_over && !f->options.restarts;
}

struct floor { unsigned version; const char *why; };

static struct floor floor_of(const struct fleet *f, const struct fleet_op *op) {
    struct floor floor = {0, ""};
#define AT_LEAST(v, words)                                                                                             \
    if ((v) > floor.version)                                                                                           \
        floor = (struct floor){(v), (words)};
    AT_LEAST(op->own, "its own process had acknowledged")
    AT_LEAST(f->options.has_l1 ? op->second : op->acked, f->options.has_l1 ? "had been acknowledged for a second"
                                                                           : "had been acknowledged")
    if (is_linearizable(f)) {
        AT_LEAST(op->own_seen, "its own process had answered")
        AT_LEAST(f->options.has_l1 ? 0 : op->seen, "had been answered")
    }
#undef AT_LEAST
    return floor;
}

/* ---- answers ---- */

static void raise(unsigned *at, unsigned to) {
    if (to > *at)
        *at = to;
}

void check_answer(struct fleet *f, struct fleet_op *op, fb_status status, fb_bytes value) {
    struct fleet_row *row = &f->rows[op->key];
    struct floor floor = floor_of(f, op);
    op->is_judged &= f->now >= f->excused_until;
    int64_t took = f->now - op->begun;
    if (op->state == FOP_ANSWERED)
        fleet_fail(f, "F3: op %u was answered twice", op->number);
    op->state = FOP_ANSWERED;
    f->open--;
    f->longest = took > f->longest ? took : f->longest;
    if (status != FB_OK && status != FB_NOTFOUND) {
        fleet_say(f, "op %u: %s", op->number, fb_status_name(status));
        return;
    }
    unsigned version = 0;
    if (status == FB_OK) {
        char text[16] = {0};
        memcpy(text, value.data, value.len < sizeof text - 1 ? value.len : sizeof text - 1);
        version = (unsigned)strtoul(text + 1, NULL, 10);
        if (text[0] != 'v' || version >= row->nversions || row->versions[version].is_absent)
            fleet_fail(f, "op %u got '%s', which was never there", op->number, text);
    } else {
        /* Absence names no commit: the oldest that it may mean. */
        version = op->is_judged ? floor.version : 0;
        while (version < row->nversions && !row->versions[version].is_absent)
            version++;
        if (version == row->nversions) {
            if (op->is_judged)
                fleet_fail(f, "op %u of %s at node %u got nothing, and v%u %s", op->number, fleet_key_name(op->key), op->node,
                           floor.version, floor.why);
            return;
        }
    }
    fleet_say(f, "op %u: v%u%s", op->number, version, status == FB_OK ? "" : " (absent)");
    if (op->is_judged && version < floor.version)
        fleet_fail(f, "op %u of %s at node %u got v%u, and v%u %s", op->number, fleet_key_name(op->key), op->node, version,
                   floor.version, floor.why);
    raise(&row->seen, version);
    if (op->life == f->nodes[op->node].life)
        raise(&f->nodes[op->node].seen[op->key], version);
}

void check_acknowledged(struct fleet *f, struct fleet_op *op) {
    struct fleet_row *row = &f->rows[op->key];
    raise(&row->acked, op->version);
    raise(&row->seen, op->version);
    raise(&f->nodes[op->node].acked[op->key], op->version);
    raise(&f->nodes[op->node].seen[op->key], op->version);
    if (row->nacks < ROW_VERSIONS_MAX)
        row->acks[row->nacks++] = (struct fleet_ack){f->now, op->version};
    fleet_say(f, "op %u: v%u of %s is acknowledged", op->number, op->version, fleet_key_name(op->key));
}

/* F5, when the source is about to be asked with a lease. */
void check_lease(struct fleet *f, const struct fleet_load *load) {
    const struct fleet_key *key = &f->redis.now.keys[load->key];
    bool is_calm = f->options.faults == 0 && f->options.unknown == 0 && f->options.refused == 0;
    if (!is_calm || !load->flow.has_lease || !key->has_lease || !fb_store_token_is(key->lease, load->flow.token))
        return;
    for (unsigned i = 0; i < f->nloads; i++) {
        const struct fleet_load *other = &f->loads[i];
        if (other != load && other->is_live && other->key == load->key && other->flow.step == FB_FLOW_LOAD &&
            other->flow.has_lease && fb_store_token_is(other->flow.token, load->flow.token))
            fleet_fail(f, "F5: loads %u and %u have the lease of %s", load->number, other->number,
                       fleet_key_name(load->key));
    }
}

/* F4: everybody has gone home; what each node answers now. */
void check_rest(struct fleet *f) {
    if (f->open > 0)
        fleet_fail(f, "F3: %u operations were never answered", f->open);
    for (unsigned i = 0; i < f->options.nodes; i++)
        if (f->nodes[i].is_up && fb_shard_busy(f->nodes[i].shard) != 0)
            fleet_fail(f, "node %u is busy at rest", i);
}
