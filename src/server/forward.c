/* Whose a key is, and passing requests on to that Forebay. */
#include "server/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/transport.h"
#include "server/acl.h"
#include "server/multi.h"
#include "server/pass.h"
#include "server/pass_cluster.h"
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

bool fb_peer_address(const char *address, struct fb_store_address *ret_at, bool *ret_is_tls) {
    static const char tls[] = "rediss://", plain[] = "redis://", local[] = "unix:";
    struct fb_store_address at = {.port = 0};
    bool is_tls = *ret_is_tls = strncmp(address, tls, sizeof tls - 1) == 0;
    if (is_tls || strncmp(address, plain, sizeof plain - 1) == 0)
        address += is_tls ? sizeof tls - 1 : sizeof plain - 1;
    if (strncmp(address, local, sizeof local - 1) == 0) {
        snprintf(at.host, sizeof at.host, "%s", address + sizeof local - 1);
    } else {
        const char *colon = strrchr(address, ':');
        bool is_bracketed = address[0] == '[' && colon != NULL && colon >= address + 2 && colon[-1] == ']';
        if (colon == NULL || colon == address)
            return false;
        snprintf(at.host, sizeof at.host, "%.*s", (int)(colon - address) - 2 * is_bracketed, address + is_bracketed);
        char *end;
        unsigned long port = strtoul(colon + 1, &end, 10);
        if (port == 0 || port > UINT16_MAX || *end != '\0' || at.host[0] == '\0')
            return false;
        at.port = (unsigned)port;
    }
    *ret_at = at;
    return at.host[0] != '\0' && (at.port != 0 || at.host[0] == '/');
}

/* FB_NODE_NONE: nobody can be reached so. */
static unsigned node_at(struct fb_upstreams *peers, const char *address) {
    struct fb_store_address at;
    bool is_tls;
    if (!fb_peer_address(address, &at, &is_tls))
        return FB_NODE_NONE;
    unsigned node = fb_topology_node(peers->places.map, at.host, at.port);
    if (node != FB_NODE_NONE)
        peers->places.states[node].is_tls = is_tls;
    return node;
}

/* The node that owns a key; FB_NODE_NONE: it is ours, or nobody can say where its owner is. */
static unsigned node_of(const struct fb_session *s, fb_bytes key) {
    char address[ADDRESS_MAX];
    if (s->db != 0 || s->loop->peers == NULL ||
        fb_owner_get(s->loop->server->cache, key, address, sizeof address) != FB_NOTOWNER)
        return FB_NODE_NONE;
    return node_at(s->loop->peers, address);
}

struct owners { size_t here, there; unsigned node; bool is_one; };

static struct owners owners_of(const struct fb_session *s, const struct fb_command *command, const fb_bytes *argv,
                               size_t argc) {
    struct owners owners = {.node = FB_NODE_NONE, .is_one = true};
    for (size_t i = fb_key_next(command, argv, argc, 0); i < argc; i = fb_key_next(command, argv, argc, i)) {
        unsigned node = node_of(s, argv[i]);
        if (node == FB_NODE_NONE) {
            owners.here++;
            continue;
        }
        owners.is_one &= owners.there++ == 0 || node == owners.node;
        owners.node = owners.there == 1 ? node : owners.node;
    }
    return owners;
}

static bool is_up(const struct fb_call *call) {
    return (atomic_load_explicit(&fb_call_server(call)->gates, memory_order_relaxed) & FB_GATE_FORWARD) != 0;
}

static bool is_mapped(const struct fb_session *s, fb_bytes key) {
    return s->db == 0 && fb_keyspace_of(s->loop->server->cache, key) >= 0;
}

/* P1: what another Forebay took to be ours, and is not. */
static void refuse_twice(struct fb_call *call) {
    char address[ADDRESS_MAX] = "";
    for (size_t i = fb_key_next(call->command, call->argv, call->argc, 0); i < call->argc && address[0] == '\0';
         i = fb_key_next(call->command, call->argv, call->argc, i))
        (void)fb_owner_get(fb_call_cache(call), call->argv[i], address, sizeof address);
    fb_call_error(call, PEER_TWICE, address);
}

/* ---- sending ---------------------------------------------------------------------------------------------------------- */

static bool writes(const struct fb_call *call) { return (call->command->flags & FB_CMD_READ) == 0; }

/* Nobody will tell a tracking client when the owner changes what it read: so it is told at once not to keep it. */
static void take_back(struct fb_call *call) {
    if (call->session->tracker == NULL || writes(call))
        return;
    for (size_t i = fb_key_next(call->command, call->argv, call->argc, 0); i < call->argc;
         i = fb_key_next(call->command, call->argv, call->argc, i))
        fb_tracking_take_back(call->session, call->argv[i]);
}

static void count(const struct fb_call *call) { fb_count(&fb_call_loop(call)->peers->counters.passed, 1); }

/* Who watches rows of this owner reads them there as well, on the connection that watches: a copy from here may be older
 * than what is watched. */
static bool watches_at(const struct fb_session *s, unsigned node) {
    return s->multi != NULL && s->multi->watches_theirs && s->multi->is_peers && s->own != NULL &&
           fb_upstream_node(s->own) == node;
}

static enum fb_passage forward(struct fb_call *call, unsigned node) {
    if (call->session->is_peer) {
        refuse_twice(call);
        return FB_STOP;
    }
    if (!call->is_inner && fb_session_is_slow(call->session))
        return FB_DELAY;
    call->is_forwarded = true;
    bool is_own = watches_at(call->session, node);
    struct fb_upstream *u = fb_pass_upstream(call, node, is_own, /* is_begun */ false);
    if (u == NULL)
        return FB_STOP;
    call->has_begun = true;
    call->is_alone |= writes(call) && !call->is_behind;
    call->keeps_args = writes(call) && fb_call_server(call)->is_shared; /* their copies are to be forgotten */
    struct fb_wait *wait = fb_call_away(call);
    if (wait == NULL)
        return FB_STOP;
    count(call);
    take_back(call);
    if (!fb_upstream_ask(u, wait, call->argv, call->argc))
        fb_pass_give_up(wait);
    return FB_STOP;
}

/* From a finish: ask, and go on with `then` when the answer is in wait->passed. False: an error has been written. */
static bool ask_again(struct fb_call *call, unsigned node, bool is_own, const fb_bytes *argv, size_t argc,
                      fb_call_finish *then) {
    struct fb_wait *wait = call->wait;
    call->is_forwarded = true;
    struct fb_upstream *u = fb_pass_upstream(call, node, is_own, /* is_begun */ true);
    if (u == NULL)
        return false;
    wait->passed.len = 0;
    wait->finish = then;
    if (fb_upstream_ask(u, wait, argv, argc)) {
        count(call);
        wait->is_away = true;
        return true;
    }
    wait->finish = NULL;
    fb_call_out_of_memory(call);
    return false;
}

/* ---- keys of several owners: ours here, then each of the others at its own --------------------------------------------- */

/* In the notes, for each word of the request: is it a key that is carried out here? It is looked at once, because an owner
 * may change at any time. */
static bool is_here(const struct fb_call *call, size_t i) { return call->notes.data[i] != 0; }

static void prepare_here(const struct fb_call *call, size_t i, fb_op *op) {
    size_t at = 1;
    for (size_t n = 0; !is_here(call, at) || n++ < i;)
        at++;
    op->key = call->argv[at];
    if (call->command->handler == fb_cmd_del)
        op->kind = FB_OP_DROP;
}

/* Ours, and those of the others in their places. */
static void finish_mixed(struct fb_call *call, struct fb_part *parts, size_t n) {
    fb_bytes theirs = fb_bytes_of(call->wait->passed.data, call->wait->passed.len);
    int64_t number = 0;
    if (theirs.data[0] == ':' && fb_parse_integer(fb_bytes_of(theirs.data + 1, theirs.len - 3), &number)) {
        for (size_t i = 0; i < n; i++)
            number += parts[i].status == FB_OK;
        fb_resp_write_integer(call->out, number);
        return;
    }
    if (theirs.data[0] != '*') {
        call->has_failed = true;
        call->out->failed |= fb_buf_append(&call->out->buf, theirs.data, theirs.len) != FB_OK;
        return;
    }
    fb_pass_merge(call, parts, theirs, is_here);
}

static void send_others(struct fb_call *call, struct fb_part *parts, size_t n) {
    fb_buf *room = &fb_call_loop(call)->fields;
    size_t argc = 1;
    for (size_t i = 0; i < n; i++)
        if (fb_call_failed(call, &parts[i]))
            return;
    room->len = 0;
    if (fb_buf_reserve(room, call->argc * sizeof(fb_bytes)) != FB_OK) {
        fb_call_out_of_memory(call);
        return;
    }
    fb_bytes *rest = (fb_bytes *)(void *)room->data;
    rest[0] = call->argv[0];
    for (size_t i = 1; i < call->argc; i++)
        if (!is_here(call, i))
            rest[argc++] = call->argv[i];
    take_back(call);
    call->is_forwarded = true;
    call->wait->finish = finish_mixed;
    call->wait->is_away = true;
    fb_pass_scatter(call, call->wait, rest, argc);
}

static void begin_mixed(struct fb_call *call, struct fb_part *parts, size_t n) {
    size_t here = 0;
    (void)parts, (void)n;
    if (fb_buf_reserve(&call->notes, call->argc) != FB_OK) {
        fb_call_out_of_memory(call);
        return;
    }
    call->notes.len = call->argc;
    call->notes.data[0] = 0;
    for (size_t i = 1; i < call->argc; i++)
        here += (size_t)(call->notes.data[i] = is_mapped(call->session, call->argv[i]) &&
                                               node_of(call->session, call->argv[i]) == FB_NODE_NONE);
    if (here + 1 < call->argc)
        fb_call_again(call, here, prepare_here, send_others);
    else /* all of them, by now */
        fb_call_error(call, PEER_DOWN, "the owner has just changed");
}

static enum fb_passage mixed(struct fb_call *call) {
    for (size_t i = 1; i < call->argc; i++)
        if (!fb_pass_is_on(fb_call_server(call)) && !fb_call_maps(call, call->argv[i]))
            return FB_STOP;
    if (call->argc > FB_SPLIT_MAX) {
        fb_call_error(call, SPLIT_LARGE, FB_SPLIT_MAX);
        return FB_STOP;
    }
    if (fb_upstreams_are_full(fb_call_loop(call)) || fb_call_is_starved(call)) {
        call->is_starved = true;
        return FB_STOP;
    }
    call->has_begun = call->is_alone = true;
    fb_call_steps(call, call->argc - 1, begin_mixed);
    return FB_STOP;
}

bool fb_forward_node(const struct fb_wait *child, unsigned *ret_node) {
    const struct fb_session *s = child->call.session;
    *ret_node = node_of(s, child->args[1]);
    if (*ret_node == FB_NODE_NONE && !is_mapped(s, child->args[1]))
        *ret_node = fb_pass_node_of_key(s->loop, child->args[1]);
    else
        return true;
    return false;
}

/* ---- the gate --------------------------------------------------------------------------------------------------------- */

enum fb_passage fb_gate_forward(struct fb_call *call) {
    const struct fb_command *command = call->command;
    if (command->first == 0 || (command->flags & FB_CMD_PEEKS) || command->handler == fb_cmd_watch ||
        command->handler == fb_cmd_fb_explain)
        return FB_PASS;
    struct owners owners = owners_of(call->session, command, call->argv, call->argc);
    if (owners.there == 0)
        return FB_PASS;
    bool is_each = (command->flags & FB_CMD_SPLITS) != 0 && command->handler != fb_cmd_mset;
    if (is_each && !call->session->is_peer && (owners.here > 0 || !owners.is_one))
        return mixed(call);
    return forward(call, owners.node);
}

bool fb_forward_missed(struct fb_call *call, fb_bytes key) {
    if (!is_up(call) || call->plan != NULL)
        return false;
    unsigned node = node_of(call->session, key);
    if (node == FB_NODE_NONE || (fb_call_server(call)->is_shared && !watches_at(call->session, node)))
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
    bool may_ask = part->status == FB_NOTOWNER && is_up(call) && call->wait != NULL && call->wait->args != NULL &&
                   !call->session->is_peer;
    unsigned node = may_ask ? node_of(call->session, call->argv[1]) : FB_NODE_NONE;
    if (node == FB_NODE_NONE)
        return false;
    take_back(call);
    (void)ask_again(call, node, /* is_own */ false, call->argv, call->argc, hand_on);
    return true;
}

/* ---- transactions ------------------------------------------------------------------------------------------------------ */

bool fb_forward_watches(struct fb_call *call, unsigned *ret_node) {
    struct fb_session *s = call->session;
    const struct fb_multi *multi = s->multi;
    if (!is_up(call) || s->is_peer)
        return false;
    struct owners owners = owners_of(s, call->command, call->argv, call->argc);
    *ret_node = owners.node;
    call->is_forwarded = owners.there > 0 && (multi == NULL || !multi->watches_theirs || multi->is_peers);
    return call->is_forwarded;
}

bool fb_forward_claims(struct fb_call *call, bool is_transaction, unsigned *ret_node) {
    struct fb_session *s = call->session;
    struct fb_multi *multi = s->multi;
    bool is_watched = multi->watches_theirs && multi->is_peers;
    unsigned node = is_watched && s->own != NULL ? fb_upstream_node(s->own) : FB_NODE_NONE, db = s->db;
    if (!is_watched && (!is_up(call) || !is_transaction || s->is_peer || multi->nwatches > 0 || multi->watches_theirs))
        return false;
    for (size_t i = 0; i < multi->n && node == FB_NODE_NONE; i++) {
        const struct fb_queued *queued = fb_queued_at(multi, i);
        s->db = queued->db;
        node = owners_of(s, queued->call.command, queued->call.argv, queued->call.argc).node;
    }
    s->db = db;
    if (node == FB_NODE_NONE && !is_watched)
        return false;
    for (size_t i = 0; i < multi->n; i++) {
        struct fb_queued *queued = fb_queued_at(multi, i);
        queued->is_theirs = queued->call.command->first > 0 && queued->db == 0;
    }
    call->is_forwarded = true;
    *ret_node = node;
    return true;
}

/* ---- WAIT and WAITAOF: call->flags is the keyspace that was looked at last, and 1; the notes say since when ---------------- */

/* The next owner; FB_NODE_NONE: all have been asked. */
static unsigned next_owner(struct fb_call *call) {
    fb_cache *cache = fb_call_cache(call);
    fb_behind_stats stats;
    while (call->flags < fb_keyspace_count(cache)) {
        const fb_source *source = fb_keyspace_at(cache, call->flags++)->source;
        bool is_new = true;
        for (unsigned i = 0; i + 1 < call->flags; i++)
            is_new &= fb_keyspace_at(cache, i)->source != source;
        if (is_new && fb_behind_stats_get(source, &stats) == FB_OK && strcmp(stats.state, "elsewhere") == 0)
            return node_at(fb_call_loop(call)->peers, stats.owner);
    }
    return FB_NODE_NONE;
}

static fb_call_finish take_settled;

/* The rest of the time; an owner that is waited for without end may be silent without end. */
static bool ask_next(struct fb_call *call) {
    char ms[24];
    bool is_aof = call->command->handler == fb_cmd_waitaof;
    unsigned node = next_owner(call);
    if (node == FB_NODE_NONE)
        return false;
    fb_instant began = *(const fb_instant *)(const void *)call->notes.data;
    int64_t left = call->number[1] - fb_span_ms(fb_since(fb_clock_now(), began));
    snprintf(ms, sizeof ms, "%lld", call->number[1] == 0 ? 0 : left > 0 ? (long long)left : 1);
    fb_bytes words[] = {call->argv[0], FB_STR("1"), FB_STR(ms), FB_STR(ms)};
    words[2] = is_aof ? FB_STR("0") : words[2];
    call->wait->is_patient = true;
    (void)ask_again(call, node, /* is_own */ true, words, is_aof ? 4 : 3, take_settled);
    return true;
}

/* ":1" or "*2 :1 :0": it is safe there; the next. Else this is the answer. */
static void take_settled(struct fb_call *call, struct fb_part *parts, size_t n) {
    static const char wait[] = ":1\r\n", waitaof[] = "*2\r\n:1\r\n";
    const fb_buf *theirs = &call->wait->passed;
    bool is_safe = (theirs->len >= sizeof wait - 1 && memcmp(theirs->data, wait, sizeof wait - 1) == 0) ||
                   (theirs->len >= sizeof waitaof - 1 && memcmp(theirs->data, waitaof, sizeof waitaof - 1) == 0);
    if (!is_safe || !ask_next(call))
        hand_on(call, parts, n);
}

bool fb_forward_settles(struct fb_call *call) {
    call->flags = 0;
    return is_up(call) && !call->session->is_peer && ask_next(call);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

static void forget_keys(struct fb_session *s, const struct fb_command *command, const fb_bytes *argv, size_t argc) {
    for (size_t i = fb_key_next(command, argv, argc, 0); i < argc; i = fb_key_next(command, argv, argc, i))
        fb_forget(s->loop->server->cache, argv[i]);
}

void fb_forward_home(const struct fb_call *call) {
    struct fb_session *s = call->session;
    const struct fb_multi *multi = s->multi;
    if (!fb_call_server(call)->is_shared || !writes(call))
        return;
    if (call->command->handler != fb_cmd_exec)
        forget_keys(s, call->command, call->argv, call->argc);
    for (size_t i = 0; call->command->handler == fb_cmd_exec && multi != NULL && i < multi->n; i++) {
        const struct fb_queued *queued = fb_queued_at(multi, i);
        if (queued->is_theirs)
            forget_keys(s, queued->call.command, queued->call.argv, queued->call.argc);
    }
}
