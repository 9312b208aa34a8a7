/* Requests and the nodes of a Cluster. */
#include "server/pass_cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "proto/slot.h"
#include "server/acl.h"
#include "server/forward.h"
#include "server/pass.h"
#include "server/upstream.h"

static bool is_cluster(const struct fb_loop *loop) {
    return loop->server->store != NULL && loop->server->store->url.kind == FB_STORE_CLUSTER;
}

/* ---- which node ------------------------------------------------------------------------------------------------------- */

/* The slot of its keys, or of the sharded channel; FB_SLOTS: it has none. False: of several. */
static bool slot_of(const struct fb_command *command, const fb_bytes *argv, size_t argc, unsigned *ret_slot) {
    unsigned slot = FB_SLOTS;
    if (command->handler == fb_cmd_spublish && argc > 1)
        slot = fb_slot_of(argv[1]);
    for (size_t i = fb_key_next(command, argv, argc, 0); i < argc; i = fb_key_next(command, argv, argc, i)) {
        unsigned one = fb_slot_of(argv[i]);
        if (slot != FB_SLOTS && one != slot)
            return false;
        slot = one;
    }
    *ret_slot = slot;
    return true;
}

static unsigned node_of(const struct fb_loop *loop, unsigned slot) { return fb_places_node(loop, slot % FB_SLOTS); }

unsigned fb_pass_node_of_key(const struct fb_loop *loop, fb_bytes key) {
    return is_cluster(loop) ? fb_places_node(loop, fb_slot_of(key)) : 0;
}

bool fb_pass_node(struct fb_call *call, unsigned *ret_node) {
    unsigned slot;
    *ret_node = 0;
    if (!is_cluster(fb_call_loop(call)))
        return true;
    if (!slot_of(call->command, call->argv, call->argc, &slot)) {
        fb_call_error(call, CROSS_SLOT);
        return false;
    }
    *ret_node = node_of(fb_call_loop(call), slot);
    return true;
}

bool fb_pass_node_of_exec(struct fb_call *call, unsigned *ret_node) {
    const struct fb_multi *multi = call->session->multi;
    unsigned slot = FB_SLOTS, one;
    *ret_node = 0;
    if (!is_cluster(fb_call_loop(call)))
        return true;
    for (size_t i = 0; i < multi->n; i++) {
        const struct fb_call *queued = &fb_queued_at(multi, i)->call;
        if (!fb_queued_at(multi, i)->is_theirs)
            continue;
        bool is_one = slot_of(queued->command, queued->argv, queued->argc, &one);
        if (!is_one || (slot != FB_SLOTS && one != FB_SLOTS && one != slot)) {
            fb_call_error(call, CROSS_SLOT);
            return false;
        }
        slot = one != FB_SLOTS ? one : slot;
    }
    *ret_node = node_of(fb_call_loop(call), slot);
    return true;
}

/* Without keys, of the store as a whole. */
static bool is_for_all(const struct fb_command *command) {
    return command->handler == fb_cmd_flush || command->handler == fb_cmd_keys || command->handler == fb_cmd_dbsize ||
           ((command->flags & FB_CMD_STORES) && command->group != NULL && strcmp(command->group, "scripting") == 0);
}

bool fb_pass_is_wide(const struct fb_session *s, const struct fb_command *command, const fb_bytes *argv, size_t argc) {
    unsigned slot;
    return is_cluster(s->loop) && (is_for_all(command) || ((command->flags & FB_CMD_SPLITS) &&
                                                           !slot_of(command, argv, argc, &slot)));
}

/* ---- redirections ----------------------------------------------------------------------------------------------------- */

static fb_buf *answer_of(struct fb_wait *wait) { return wait->finish != NULL ? &wait->passed : &wait->reply.buf; }

static bool ask_again(struct fb_loop *loop, struct fb_upstream *to, struct fb_wait *wait, bool is_ask) {
    char why[FB_UPSTREAM_REASON_MAX + 64];
    fb_bytes asking = FB_STR("ASKING");
    answer_of(wait)->len = 0;
    wait->call.has_failed = false;
    if (to == NULL || !fb_upstream_may_ask(to, why, sizeof why)) {
        fb_pass_fail(loop, wait, to == NULL ? "out of memory" : why, /* was_sent */ false);
        return false;
    }
    wait->skips = is_ask;
    if ((!is_ask || fb_upstream_say(to, &asking, 1)) && fb_upstream_ask(to, wait, wait->args, wait->call.argc))
        return true;
    fb_pass_fail(loop, wait, "out of memory", /* was_sent */ false);
    return false;
}

void fb_pass_learn(struct fb_loop *loop, fb_bytes error) {
    struct fb_redirect redirect;
    if (error.len > 9 && memcmp(error.data, "-MOVED ", 7) == 0 &&
        fb_redirect_read(fb_bytes_of(error.data + 1, error.len - 3), "", &redirect) && redirect.to.host[0] != '\0')
        (void)fb_places_moved(loop, &redirect, /* is_moved */ true);
}

bool fb_pass_redirect(struct fb_loop *loop, struct fb_upstream *from, struct fb_wait *wait) {
    struct fb_session *s = fb_loop_session(loop, wait->session);
    const fb_buf *answer = answer_of(wait);
    struct fb_redirect redirect;
    if (s == NULL || answer->len < 4 || answer->data[0] != '-')
        return false;
    if (loop->server->store->url.kind == FB_STORE_SENTINEL) {
        if (answer->len > 9 && memcmp(answer->data, "-READONLY", 9) == 0)
            fb_upstream_doubt(from);
        return false;
    }
    if (from == s->listener) { /* of a sharded channel: it is asked for again, and then elsewhere */
        fb_pass_learn(loop, fb_bytes_of(answer->data, answer->len));
        return false;
    }
    bool is_ask = memcmp(answer->data, "-ASK", 4) == 0;
    if (wait->args == NULL || wait->hops++ >= FB_REDIRECTIONS_MAX ||
        !fb_redirect_read(fb_bytes_of(answer->data + 1, answer->len - 3), fb_upstream_host(from), &redirect))
        return false;
    unsigned node = fb_places_moved(loop, &redirect, !is_ask), version = fb_upstream_version(from);
    if (node == FB_NODE_NONE)
        return false;
    if (from != s->own)
        return ask_again(loop, fb_upstream_shared(loop->upstreams, version, s->db, node), wait, is_ask);
    fb_pass_change_own(s, fb_upstream_own(loop->upstreams, version, s->db, node));
    return ask_again(loop, s->own, wait, is_ask);
}

/* ---- asking several --------------------------------------------------------------------------------------------------- */

static struct fb_wait *child_new(struct fb_wait *parent, const fb_bytes *argv, size_t argc) {
    struct fb_wait *child = fb_mem_calloc(1, sizeof *child);
    if (child == NULL)
        return NULL;
    child->message.kind = FB_MESSAGE_WAIT;
    fb_list_init(&child->message.link);
    fb_list_init(&child->link);
    child->inbox = fb_inbox_ref(parent->inbox);
    child->session = parent->session;
    child->parent = parent;
    child->is_passed = true;
    child->call = parent->call;
    child->call.wait = child;
    child->call.out = &child->reply;
    child->call.mark = 0;
    child->call.notes = (fb_buf)FB_BUF_INIT;
    child->call.preview = NULL;
    child->call.argv = argv;
    child->call.argc = argc;
    child->reply = child->after = (struct fb_resp_out)FB_RESP_OUT_INIT;
    child->reply.version = parent->reply.version;
    return fb_wait_keep_args(child) ? child : fb_wait_free(child);
}

/* At its node; what cannot be sent is over at once. */
static void send_child(struct fb_loop *loop, struct fb_wait *child, unsigned node) {
    char why[FB_UPSTREAM_REASON_MAX + 64];
    struct fb_upstreams *all = child->call.is_forwarded ? loop->peers : loop->upstreams;
    struct fb_upstream *u = node != FB_NODE_NONE
                                ? fb_upstream_shared(all, child->reply.version, child->call.session->db, node) : NULL;
    snprintf(why, sizeof why, node != FB_NODE_NONE ? "out of memory" : "the owner has just changed");
    if (child->call.is_forwarded)
        fb_count(&loop->peers->counters.passed, 1);
    if (u != NULL && fb_upstream_may_ask(u, why, sizeof why) && fb_upstream_ask(u, child, child->args, child->call.argc))
        return;
    fb_pass_fail(loop, child, why, /* was_sent */ false);
    fb_pass_gather(loop, child);
}

static const struct fb_wait *first_refused(const struct fb_wait *parent) {
    for (size_t i = 0; i < parent->nchildren; i++)
        if (parent->children[i]->reply.buf.len == 0 || parent->children[i]->reply.buf.data[0] == '-')
            return parent->children[i];
    return NULL;
}

static bool append(fb_buf *out, const char *data, size_t len) { return fb_buf_append(out, data, len) == FB_OK; }

/* Arrays one behind the other. */
static bool join_arrays(const struct fb_wait *parent, fb_buf *out) {
    char head[32];
    int64_t n = 0, one;
    for (size_t i = 0; i < parent->nchildren; i++) {
        const fb_buf *reply = &parent->children[i]->reply.buf;
        size_t line = (size_t)((const char *)memchr(reply->data, '\n', reply->len) - reply->data);
        n += fb_parse_integer(fb_bytes_of(reply->data + 1, line - 2), &one) ? one : 0;
    }
    bool ok = append(out, head, (size_t)snprintf(head, sizeof head, "*%" PRId64 "\r\n", n));
    for (size_t i = 0; i < parent->nchildren; i++) {
        const fb_buf *reply = &parent->children[i]->reply.buf;
        size_t line = (size_t)((const char *)memchr(reply->data, '\n', reply->len) - reply->data) + 1;
        ok &= append(out, reply->data + line, reply->len - line);
    }
    return ok;
}

static bool add_up(const struct fb_wait *parent, fb_buf *out) {
    char text[32];
    int64_t sum = 0, one;
    for (size_t i = 0; i < parent->nchildren; i++) {
        const fb_buf *reply = &parent->children[i]->reply.buf;
        sum += fb_parse_integer(fb_bytes_of(reply->data + 1, reply->len - 3), &one) ? one : 0;
    }
    return append(out, text, (size_t)snprintf(text, sizeof text, ":%" PRId64 "\r\n", sum));
}

/* As one store would have answered. */
static bool merge(const struct fb_wait *parent, fb_buf *out) {
    const struct fb_wait *refused = first_refused(parent);
    const fb_buf *first = refused != NULL ? &refused->reply.buf : &parent->children[0]->reply.buf;
    fb_handler *handler = parent->call.command->handler;
    if (refused == NULL && first->data[0] == ':')
        return add_up(parent, out);
    if (refused == NULL && first->data[0] == '*' && (handler == fb_cmd_mget || handler == fb_cmd_keys))
        return join_arrays(parent, out);
    return append(out, first->data, first->len);
}

void fb_pass_end_scatter(struct fb_loop *loop, struct fb_wait *parent) {
    fb_buf merged = FB_BUF_INIT;
    if (fb_loop_session(loop, parent->session) == NULL) {
        fb_wait_free(parent);
        return;
    }
    if (parent->nchildren == 0) { /* nothing was asked, and the error is there */
        fb_pass_home(loop, parent);
        return;
    }
    if (merge(parent, &merged) && merged.len > 0)
        (void)fb_pass_take(loop, parent, merged.data, merged.len, /* is_end */ true);
    else
        fb_pass_fail(loop, parent, "out of memory", /* was_sent */ true);
    fb_buf_free(&merged);
    fb_pass_home(loop, parent);
}

void fb_pass_gather(struct fb_loop *loop, struct fb_wait *child) {
    struct fb_wait *parent = child->parent;
    if (--parent->left_children == 0)
        fb_pass_end_scatter(loop, parent);
}

/* Children, not yet sent; nodes[i] is where each goes. */
static bool add_child(struct fb_wait *parent, const fb_bytes *argv, size_t argc) {
    struct fb_wait *child = child_new(parent, argv, argc);
    if (child != NULL)
        parent->children[parent->nchildren++] = child;
    return child != NULL;
}

static bool make_children(struct fb_loop *loop, struct fb_wait *parent, const fb_bytes *argv, size_t argc) {
    const struct fb_command *command = parent->call.command;
    size_t step = (size_t)command->step, n = command->first > 0 ? argc : FB_TOPOLOGY_NODES_MAX;
    bool ok = true;
    if ((parent->children = fb_mem_calloc(n, sizeof *parent->children)) == NULL)
        return false;
    for (size_t i = 1; command->first > 0 && i + step <= argc && ok; i += step) {
        fb_bytes piece[] = {argv[0], argv[i], step > 1 ? argv[i + 1] : argv[i]};
        ok = add_child(parent, piece, 1 + step);
    }
    if (command->first > 0)
        return ok && parent->nchildren > 0;
    for (unsigned node = fb_places_next(loop, 0); node != FB_NODE_NONE && ok;
         node = fb_places_next(loop, node + 1))
        ok = add_child(parent, argv, argc);
    return ok && parent->nchildren > 0;
}

void fb_pass_scatter(struct fb_call *call, struct fb_wait *wait, const fb_bytes *argv, size_t argc) {
    struct fb_loop *loop = fb_call_loop(call);
    if (!make_children(loop, wait, argv, argc)) {
        fb_pass_fail(loop, wait, "out of memory", /* was_sent */ false);
        wait->nchildren = 0;
        fb_upstreams_later(call->is_forwarded ? loop->peers : loop->upstreams, wait);
        return;
    }
    wait->left_children = wait->nchildren + 1; /* not over before all have been sent */
    unsigned node = call->command->first == 0 ? fb_places_next(loop, 0) : FB_NODE_NONE;
    for (size_t i = 0; i < wait->nchildren; i++) {
        struct fb_wait *child = wait->children[i];
        bool has_key = child->call.command->first > 0;
        if (has_key && call->is_forwarded)
            child->call.is_forwarded = fb_forward_node(child, &node);
        else if (has_key)
            node = fb_pass_node_of_key(loop, child->args[1]);
        send_child(loop, child, node);
        node = has_key ? FB_NODE_NONE : fb_places_next(loop, node + 1);
    }
    if (--wait->left_children == 0) /* not here: who asked may be in the middle of something */
        fb_upstreams_later(call->is_forwarded ? loop->peers : loop->upstreams, wait);
}
