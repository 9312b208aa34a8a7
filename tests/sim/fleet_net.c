/* Between a Forebay and Redis: calls with their fates, the session that tells of changes, and who notices its end. */
#include "fleet_world.h"

#include <assert.h>
#include <string.h>

enum { LATE_FIRST_MS = 300, LATE_SPREAD_MS = 7000, NOTICE_MS = 1500, RECONNECT_MS = 300 };

/* ---- calls ---- */

static void answer_at(struct fleet *f, struct fleet_net *net, int64_t delay) {
    fleet_at(f, delay, EV_REPLY, (unsigned)(net - f->nets), net->life);
}

/* What the store itself does without asking: see rule R2. */
static bool is_kept_from(struct fleet *f, struct fleet_net *net) {
    struct fb_store_call *call = &net->call;
    if (call->server == net->server)
        return false;
    if (call->move == FB_STORE_END)
        call->is_unsure = true;
    if (call->move != FB_STORE_FILL)
        return false;
    call->outcome = FB_STORE_DONE;
    call->answer = FB_STORE_NOT_MINE;
    f->seen[FS_PINNED]++;
    return true;
}

void net_send(struct fleet *f, unsigned node, enum net_for what, unsigned owner, unsigned key, unsigned version,
              struct fb_store_call *call) {
    if (f->nnets == NETS_MAX) {
        fleet_fail(f, "more than %d calls", NETS_MAX);
        return;
    }
    struct fleet_node *n = &f->nodes[node];
    struct fleet_net *net = &f->nets[f->nnets++];
    *net = (struct fleet_net){.what = what, .owner = owner, .node = node, .life = n->life, .key = key, .version = version,
                              .server = n->server, .call = *call, .is_known = true};
    net->value = (fb_buf){net->room, 0, sizeof net->room};
    net->call.value = &net->value;
    net->call.outcome = FB_STORE_UNSENT;
    if (fleet_lacks(f, PART_END_IS_SURE))
        net->call.is_unsure = false;
    if (is_kept_from(f, net)) {
        answer_at(f, net, 0);
        return;
    }
    int64_t timeout = fb_ms(STORE_TIMEOUT_MS).ns, there = fleet_delay(f), back = fleet_delay(f);
    if (n->server != f->redis.server || fleet_happens(f, f->options.unsent)) {
        /* The connection is found to be dead; the next one leads to where Redis is now. */
        bool has_left = n->server != f->redis.server && fb_rng_below(&f->rng, 2) == 0;
        net->call.outcome = has_left ? FB_STORE_UNKNOWN : FB_STORE_UNSENT;
        n->server = f->redis.server;
        f->seen[FS_UNKNOWN] += has_left;
        answer_at(f, net, there);
        return;
    }
    if (fleet_happens(f, f->options.refused)) {
        net->call.outcome = FB_STORE_REFUSED;
        answer_at(f, net, there + back);
        return;
    }
    net->call.outcome = FB_STORE_UNKNOWN;
    if (fleet_happens(f, f->options.unknown)) {
        unsigned fate = (unsigned)fb_rng_below(&f->rng, 3); /* lost on its way, or on the way back, or late */
        net->is_known = false;
        f->seen[FS_UNKNOWN]++;
        f->seen[FS_REPEATED] += fate == 2;
        if (fate == 1)
            fleet_at(f, there, EV_EXEC, (unsigned)(net - f->nets), net->life);
        if (fate == 2)
            fleet_at(f, fb_ms(LATE_FIRST_MS + (int64_t)fb_rng_below(&f->rng, LATE_SPREAD_MS)).ns, EV_EXEC,
                     (unsigned)(net - f->nets), net->life);
        answer_at(f, net, fate == 1 && there < timeout ? there + (timeout - there) / 2 : timeout);
        return;
    }
    fleet_at(f, there, EV_EXEC, (unsigned)(net - f->nets), net->life);
    answer_at(f, net, there + back < timeout ? there + back : timeout);
    net->is_known = there + back < timeout;
    f->seen[FS_UNKNOWN] += !net->is_known;
}

static void carry_out(struct fleet *f, struct fleet_net *net) {
    if (net->server != f->redis.server)
        return; /* it went down with the connection */
    struct fb_store_call call = net->call;
    fleet_redis_run(&f->redis, &call, net->key, net->version, f->now);
    fleet_say(f, "    redis: move %d of node %u on %s: answer %d", (int)call.move, net->node, fleet_key_name(net->key),
              (int)call.answer);
    if (net->is_known)
        net->call = call;
}

/* ---- the session that tells ---- */

static void stream_push(struct fleet *f, unsigned node, struct stream_item item) {
    struct fleet_node *n = &f->nodes[node];
    int64_t at = f->now + fleet_delay(f);
    if (n->next - n->first == STREAM_MAX) {
        net_cut(f, node, 0); /* Redis hangs up on those who do not read */
        return;
    }
    at = at > n->stream_end ? at : n->stream_end; /* in order */
    n->stream_end = at;
    n->stream[n->next++ % STREAM_MAX] = item;
    fleet_at(f, at - f->now, EV_STREAM, node, n->session);
}

void net_told(void *fleet, unsigned key) {
    struct fleet *f = fleet;
    for (unsigned i = 0; i < f->options.nodes; i++)
        if (f->nodes[i].is_up && f->nodes[i].is_watching && f->nodes[i].history == f->redis.server)
            stream_push(f, i, (struct stream_item){.key = key});
}

/* The session ends; who was at its other end notices later. */
void net_cut(struct fleet *f, unsigned node, int64_t noticed_after) {
    struct fleet_node *n = &f->nodes[node];
    if (!n->is_watching)
        return;
    n->is_watching = false;
    n->session++;
    n->first = n->next;
    fleet_at(f, noticed_after, EV_NOTICED, node, n->session);
}

static void notice(struct fleet *f, unsigned node) {
    fleet_say(f, "node %u notices the end of its session", node);
    atomic_store(&f->nodes[node].proved, INT64_MIN);
    if (!fleet_lacks(f, PART_SESSION_STARTS_FULL))
        node_forgets(f, node);
    fleet_at(f, fleet_delay(f) + fb_ms((int64_t)fb_rng_below(&f->rng, RECONNECT_MS)).ns, EV_WATCHED, node,
             f->nodes[node].session);
}

/* What was lost, as failover.h would judge: of a failover re-assert, of an old file distrust. */
static void watch_again(struct fleet *f, unsigned node) {
    struct fleet_node *n = &f->nodes[node];
    bool is_other = n->history != 0 && n->history != f->redis.server;
    n->is_watching = true;
    n->history = f->redis.server;
    n->stream_end = f->now;
    n->beat_is_out = false;
    f->seen[FS_SESSIONS]++;
    fleet_say(f, "node %u is told of changes again%s", node, is_other ? ", by another Redis" : "");
    if (is_other && f->options.restarts && !fleet_lacks(f, PART_NO_DISTRUST))
        n->distrust = f->now;
    else if (is_other && f->options.fails_over && !fleet_lacks(f, PART_NO_REASSERT))
        node_reassert(f, node, f->now - fb_ms(60000).ns);
    if (!fleet_lacks(f, PART_SESSION_STARTS_FULL))
        node_forgets(f, node);
    fleet_at(f, 0, EV_BEAT, node, n->session);
}

/* ROLE, one at a time. */
static void beat(struct fleet *f, unsigned node) {
    struct fleet_node *n = &f->nodes[node];
    if (!f->is_over || f->open > 0)
        fleet_at(f, fb_ms(BEAT_MS).ns, EV_BEAT, node, n->session);
    if (n->beat_is_out)
        return;
    n->beat_is_out = true;
    n->beat_sent = f->now;
    fleet_at(f, fleet_delay(f), EV_HEARD, node, n->session);
}

static void next_in_stream(struct fleet *f, unsigned node) {
    struct fleet_node *n = &f->nodes[node];
    assert(n->first != n->next);
    struct stream_item item = n->stream[n->first++ % STREAM_MAX];
    if (!item.is_beat) {
        node_told(f, node, item.key);
        return;
    }
    n->beat_is_out = false;
    int64_t until = item.sent + fb_ms(PROOF_MS).ns;
    if (until > atomic_load(&n->proved))
        atomic_store(&n->proved, until);
}

void net_event(struct fleet *f, enum happening what, unsigned index, unsigned life) {
    struct fleet_node *n = &f->nodes[what == EV_EXEC || what == EV_REPLY ? f->nets[index].node : index];
    struct fleet_net *net = &f->nets[index];
    bool is_session = what != EV_EXEC && what != EV_REPLY;
    if (is_session && (!n->is_up || life != n->session))
        return;
    switch (what) {
    case EV_EXEC: carry_out(f, net); break;
    case EV_REPLY:
        if (n->is_up && life == n->life)
            node_answered(f, net);
        break;
    case EV_BEAT: beat(f, index); break;
    case EV_HEARD:
        if (n->history == f->redis.server) /* one that is no primary any more says so, or nothing */
            stream_push(f, index, (struct stream_item){.is_beat = true, .sent = n->beat_sent});
        break;
    case EV_STREAM: next_in_stream(f, index); break;
    case EV_NOTICED: notice(f, index); break;
    case EV_WATCHED: watch_again(f, index); break;
    default: break;
    }
}
