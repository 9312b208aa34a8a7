/* Whose a key is, and passing requests on to that Forebay. */
#include "server/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/transport.h"
#include "server/acl.h"
#include "server/pass.h"
#include "server/tracking.h"
#include "server/upstream.h"

enum {
    CONNECT_TIMEOUT_MS = 1000,
    TIMEOUT_MS = 5000,
    ADDRESS_MAX = 128, /* as the partition's row has it */
};

/* ---- beginning -------------------------------------------------------------------------------------------------------- */

static bool writes_behind(const fb_cache *cache) {
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++)
        if (fb_keyspace_at(cache, i)->write == FB_WRITE_BEHIND)
            return true;
    return false;
}

fb_status fb_forward_open(struct fb_server *server, const struct fb_server_forward *options, fb_err *reterr) {
    fb_sharing_stats sharing;
    if (!options->is_on || !writes_behind(server->cache))
        return FB_OK;
    struct fb_store *peers = server->peers = fb_mem_calloc(1, sizeof *peers);
    if (peers == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for what is forwarded");
    if (options->user != NULL)
        snprintf(peers->url.user, sizeof peers->url.user, "%s", options->user);
    if (options->password != NULL)
        snprintf(peers->url.password, sizeof peers->url.password, "%s", options->password);
    snprintf(peers->shown, sizeof peers->shown, "its owner");
    peers->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    peers->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS;
    fb_sharing_stats_get(server->cache, &sharing);
    server->is_shared = sharing.is_shared;
    fb_forward_look(server);
    return fb_tls_context_client(options->tls_ca, &peers->tls, reterr);
}

void fb_forward_look(struct fb_server *server) {
    if (server->peers != NULL && fb_is_elsewhere(server->cache))
        atomic_fetch_or(&server->gates, FB_GATE_FORWARD);
    else
        atomic_fetch_and(&server->gates, ~(unsigned)FB_GATE_FORWARD);
}

/* ---- whose ------------------------------------------------------------------------------------------------------------ */

/* HOST:PORT, [IPV6]:PORT, unix:/PATH; with TLS rediss://HOST:PORT. The node of it, or FB_NODE_NONE. */
static unsigned node_at(struct fb_upstreams *peers, const char *address) {
    static const char tls[] = "rediss://", plain[] = "redis://", local[] = "unix:";
    struct fb_store_address at = {.port = 0};
    bool is_tls = strncmp(address, tls, sizeof tls - 1) == 0;
    if (is_tls || strncmp(address, plain, sizeof plain - 1) == 0)
        address += is_tls ? sizeof tls - 1 : sizeof plain - 1;
    if (strncmp(address, local, sizeof local - 1) == 0) {
        snprintf(at.host, sizeof at.host, "%s", address + sizeof local - 1);
    } else {
        const char *colon = strrchr(address, ':');
        bool is_bracketed = address[0] == '[' && colon != NULL && colon > address + 2 && colon[-1] == ']';
        if (colon == NULL || colon == address)
            return FB_NODE_NONE;
        snprintf(at.host, sizeof at.host, "%.*s", (int)(colon - address) - 2 * is_bracketed, address + is_bracketed);
        at.port = (unsigned)strtoul(colon + 1, NULL, 10);
        if (at.port == 0 || at.port > UINT16_MAX)
            return FB_NODE_NONE;
    }
    unsigned node = fb_topology_node(peers->places.map, at.host, at.port);
    if (node != FB_NODE_NONE)
        peers->places.states[node].is_tls = is_tls;
    return node;
}

/* The node that owns a key; FB_NODE_NONE: it is ours, or nobody can say where its owner is. */
static unsigned node_of(const struct fb_session *s, fb_bytes key) {
    char address[ADDRESS_MAX];
    if (s->db != 0 || s->is_peer || s->loop->peers == NULL ||
        fb_owner_get(s->loop->server->cache, key, address, sizeof address) != FB_NOTOWNER)
        return FB_NODE_NONE;
    return node_at(s->loop->peers, address);
}

struct owners { size_t here, there; unsigned node; bool is_one; };

static struct owners owners_of(const struct fb_call *call) {
    struct owners owners = {.node = FB_NODE_NONE, .is_one = true};
    for (size_t i = fb_key_next(call->command, call->argv, call->argc, 0); i < call->argc;
         i = fb_key_next(call->command, call->argv, call->argc, i)) {
        unsigned node = node_of(call->session, call->argv[i]);
        if (node == FB_NODE_NONE) {
            owners.here++;
            continue;
        }
        owners.is_one &= owners.there++ == 0 || node == owners.node;
        owners.node = owners.there == 1 ? node : owners.node;
    }
    return owners;
}

/* ---- sending ---------------------------------------------------------------------------------------------------------- */

static bool writes(const struct fb_call *call) { return (call->command->flags & FB_CMD_READ) == 0; }

/* The connection, ready to be asked; NULL: the error has been written. */
static struct fb_upstream *peer_for(struct fb_call *call, unsigned node) {
    char why[FB_UPSTREAM_REASON_MAX + 64];
    struct fb_upstreams *peers = fb_call_loop(call)->peers;
    struct fb_upstream *u = fb_upstream_shared(peers, call->out->version, 0, node);
    if (u == NULL) {
        fb_call_out_of_memory(call);
    } else if (!fb_upstream_may_ask(u, why, sizeof why)) {
        fb_count(&peers->counters.unanswered, 1);
        fb_forward_fail(call, why, /* was_sent */ false);
        return NULL;
    }
    return u;
}

/* Nobody will tell a tracking client when the owner changes what it read: so it is told at once not to keep it. */
static void take_back(struct fb_call *call) {
    if (call->session->tracker == NULL || writes(call))
        return;
    for (size_t i = fb_key_next(call->command, call->argv, call->argc, 0); i < call->argc;
         i = fb_key_next(call->command, call->argv, call->argc, i))
        fb_tracking_take_back(call->session, call->argv[i]);
}

static enum fb_passage forward(struct fb_call *call, unsigned node) {
    struct fb_loop *loop = fb_call_loop(call);
    if (fb_session_is_slow(call->session))
        return FB_DELAY;
    if (fb_upstreams_are_full(loop) || fb_call_is_starved(call)) {
        call->is_starved = true;
        return FB_STOP;
    }
    struct fb_upstream *u = peer_for(call, node);
    if (u == NULL)
        return FB_STOP;
    call->has_begun = call->is_forwarded = true;
    call->is_alone |= writes(call) && !call->is_behind;
    call->keeps_args = writes(call) && fb_call_server(call)->is_shared; /* their copies are to be forgotten */
    struct fb_wait *wait = fb_call_away(call);
    if (wait == NULL)
        return FB_STOP;
    fb_count(&loop->peers->counters.passed, 1);
    take_back(call);
    if (!fb_upstream_ask(u, wait, call->argv, call->argc))
        fb_pass_give_up(wait);
    return FB_STOP;
}

/* ---- the gate --------------------------------------------------------------------------------------------------------- */

enum fb_passage fb_gate_forward(struct fb_call *call) {
    const struct fb_command *command = call->command;
    if (command->first == 0 || (command->flags & FB_CMD_PEEKS) || command->handler == fb_cmd_watch ||
        command->handler == fb_cmd_fb_explain)
        return FB_PASS;
    struct owners owners = owners_of(call);
    return owners.there > 0 ? forward(call, owners.node) : FB_PASS;
}

static bool is_up(const struct fb_call *call) {
    return (atomic_load_explicit(&fb_call_server(call)->gates, memory_order_relaxed) & FB_GATE_FORWARD) != 0;
}

bool fb_forward_missed(struct fb_call *call, fb_bytes key) {
    if (!is_up(call) || fb_call_server(call)->is_shared || call->plan != NULL)
        return false;
    unsigned node = node_of(call->session, key);
    if (node == FB_NODE_NONE)
        return false;
    fb_call_rewind(call);
    call->is_delayed = forward(call, node) == FB_DELAY;
    return true;
}

/* The owner's answer stands in place of ours. */
static void hand_on(struct fb_call *call, struct fb_part *parts, size_t n) {
    const fb_buf *theirs = &call->wait->passed;
    (void)parts, (void)n;
    call->has_failed = theirs->data[0] == '-';
    call->out->failed |= fb_buf_append(&call->out->buf, theirs->data, theirs->len) != FB_OK;
}

bool fb_forward_unanswered(struct fb_call *call, const struct fb_part *part) {
    struct fb_wait *wait = call->wait;
    unsigned node = part->status == FB_NOTOWNER && is_up(call) && wait != NULL && wait->args != NULL
                        ? node_of(call->session, call->argv[1]) : FB_NODE_NONE;
    if (node == FB_NODE_NONE)
        return false;
    struct fb_upstream *u = peer_for(call, node);
    if (u == NULL)
        return true;
    call->is_forwarded = true;
    fb_count(&fb_call_loop(call)->peers->counters.passed, 1);
    take_back(call);
    wait->finish = hand_on;
    if (fb_upstream_ask(u, wait, call->argv, call->argc)) {
        wait->is_away = true;
        return true;
    }
    wait->finish = NULL;
    fb_call_out_of_memory(call);
    return true;
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

void fb_forward_fail(struct fb_call *call, const char *reason, bool was_sent) {
    if (was_sent && writes(call))
        fb_call_error(call, PEER_UNKNOWN, reason);
    else
        fb_call_error(call, PEER_DOWN, reason);
}

void fb_forward_home(const struct fb_call *call) {
    const struct fb_command *command = call->command;
    if (!fb_call_server(call)->is_shared || !writes(call))
        return;
    for (size_t i = fb_key_next(command, call->argv, call->argc, 0); i < call->argc;
         i = fb_key_next(command, call->argv, call->argc, i))
        fb_forget(fb_call_cache(call), call->argv[i]);
}
