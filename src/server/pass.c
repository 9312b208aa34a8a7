/* Passing requests to the store: whose is a request, sending it, splitting it, what comes back. */
#include "server/pass.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/acl.h"
#include "server/forward.h"
#include "server/measure.h"
#include "server/multi.h"
#include "server/pass_cluster.h"
#include "server/tracking.h"
#include "server/upstream.h"

enum {
    SHOWN_MAX = 128,       /* bytes of a key in an error */
    BLOCKED_LONG_MS = 500, /* an answer that is there takes the way to the store and back */
};

static const struct fb_store *store_of(const struct fb_call *call) { return fb_call_server(call)->store; }
static int shown(fb_bytes key) { return (int)(key.len < SHOWN_MAX ? key.len : SHOWN_MAX); }

static bool is_mapped(const struct fb_session *s, unsigned db, fb_bytes key) {
    return db == 0 && fb_keyspace_of(s->loop->server->cache, key) >= 0;
}

static bool is_cluster(const struct fb_call *call) {
    return store_of(call) != NULL && store_of(call)->url.kind == FB_STORE_CLUSTER;
}

/* The store's connections, or those to other Forebays. */
static struct fb_upstreams *set_of(const struct fb_call *call) {
    return call->is_forwarded ? fb_call_loop(call)->peers : fb_call_loop(call)->upstreams;
}

#define COUNT(call, name) fb_count(&set_of(call)->counters.name, 1)

/* ---- whose ---------------------------------------------------------------------------------------------------------- */

struct owners { size_t here, there; fb_bytes mapped, unmapped; };

/* Of all keys; `mapped` and `unmapped` are the first of each kind. */
static struct owners owners_of(const struct fb_session *s, const struct fb_command *command, const fb_bytes *argv,
                               size_t argc) {
    struct owners owners = {0};
    for (size_t i = fb_key_next(command, argv, argc, 0); i < argc; i = fb_key_next(command, argv, argc, i)) {
        if (is_mapped(s, s->db, argv[i])) {
            if (owners.here++ == 0)
                owners.mapped = argv[i];
        } else if (owners.there++ == 0) {
            owners.unmapped = argv[i];
        }
    }
    return owners;
}

static bool is_ours_alone(const struct fb_command *command) {
    return strncmp(command->name, "fb.", 3) == 0 || command->handler == fb_cmd_watch;
}

bool fb_pass_may_overtake(struct fb_session *s, const struct fb_verb *verb, const fb_bytes *argv, size_t argc) {
    const struct fb_command *command = verb->command;
    if (!fb_pass_is_on(s->loop->server) || command == NULL || command->first == 0 || is_ours_alone(command) ||
        fb_multi_is_open(s) || !fb_arity_fits(command, argc))
        return false;
    return owners_of(s, command, argv, argc).here == 0;
}

/* ---- sending ---------------------------------------------------------------------------------------------------------- */

/* Other threads look at it (CLIENT UNBLOCK). */
static void set_own(struct fb_session *s, struct fb_upstream *u) {
    fb_lock_acquire(&s->loop->lock);
    s->own = u;
    fb_lock_release(&s->loop->lock);
}

void fb_pass_change_own(struct fb_session *s, struct fb_upstream *u) {
    struct fb_upstream *before = s->own;
    set_own(s, u);
    fb_upstream_drop(before);
}

void fb_pass_drop_own(struct fb_session *s) { fb_pass_change_own(s, NULL); }

static struct fb_upstream *own_of(struct fb_call *call, unsigned node) {
    struct fb_session *s = call->session;
    unsigned version = atomic_load_explicit(&s->shown_version, memory_order_relaxed);
    struct fb_upstreams *all = set_of(call);
    if (s->own != NULL && !fb_upstream_is(s->own, all, version, s->db, node))
        fb_pass_drop_own(s);
    if (s->own == NULL)
        set_own(s, fb_upstream_own(all, version, s->db, node));
    return s->own;
}

static void say_lost(struct fb_call *call, const char *reason, bool was_sent) {
    bool is_unknown = was_sent && !(call->command->flags & FB_CMD_READ);
    if (call->is_forwarded && is_unknown)
        fb_call_error(call, PEER_UNKNOWN, reason);
    else if (call->is_forwarded)
        fb_call_error(call, PEER_DOWN, reason);
    else if (is_unknown)
        fb_call_error(call, STORE_UNKNOWN, store_of(call)->shown, reason);
    else
        fb_call_error(call, STORE_DOWN, store_of(call)->shown, reason);
}

struct fb_upstream *fb_pass_upstream(struct fb_call *call, unsigned node, bool is_own, bool is_begun) {
    char why[FB_UPSTREAM_REASON_MAX + 64];
    struct fb_loop *loop = fb_call_loop(call);
    if (!is_own && !is_begun && (fb_upstreams_are_full(loop) || fb_call_is_starved(call))) {
        call->is_starved = true;
        return NULL;
    }
    struct fb_upstream *u = is_own ? own_of(call, node)
                                   : fb_upstream_shared(set_of(call), call->out->version, call->session->db, node);
    if (u == NULL) {
        fb_call_out_of_memory(call);
    } else if (!fb_upstream_may_ask(u, why, sizeof why)) {
        COUNT(call, unanswered);
        say_lost(call, why, /* was_sent */ false);
        return NULL;
    }
    return u;
}

void fb_pass_give_up(struct fb_wait *wait) {
    struct fb_session *s = wait->call.session;
    wait->finish = NULL;
    fb_call_out_of_memory(&wait->call);
    if (fb_exec_is_under_way(s))
        fb_exec_end(s);
    wait->is_over = true;
    fb_session_deliver(s, wait);
}

/* What a tracking client reads there nobody will take back for it when it changes: so it is told at once, behind the
 * answer, not to keep it. */
static void take_back(struct fb_call *call) {
    const struct fb_command *command = call->command;
    if (call->session->tracker == NULL || !(command->flags & FB_CMD_READ))
        return;
    for (size_t i = fb_key_next(command, call->argv, call->argc, 0); i < call->argc;
         i = fb_key_next(command, call->argv, call->argc, i))
        if (!is_mapped(call->session, call->session->db, call->argv[i]))
            fb_tracking_take_back(call->session, call->argv[i]);
}

/* SCRIPT KILL and FUNCTION KILL: behind the script that they are to end they would never arrive. */
static bool is_kill(const struct fb_call *call) {
    return call->argc == 2 && (call->command->flags & FB_CMD_STORES) && fb_is_word(call->argv[1], "kill");
}

static enum fb_passage pass(struct fb_call *call) {
    bool is_own = (call->command->flags & FB_CMD_BLOCKS) != 0 || is_kill(call), ok = true;
    bool is_wide = fb_pass_is_wide(call->session, call->command, call->argv, call->argc);
    unsigned node = 0;
    if ((is_own && call->session->nwaits > 0) || fb_session_is_slow(call->session))
        return FB_DELAY;
    if (is_wide && call->argc > FB_SPLIT_MAX) {
        fb_call_error(call, SPLIT_LARGE, FB_SPLIT_MAX);
        return FB_STOP;
    }
    if (!is_wide && !fb_pass_node(call, &node))
        return FB_STOP;
    fb_pass_scan_node(call, &node);
    struct fb_upstream *u = NULL;
    if (is_wide && (fb_upstreams_are_full(fb_call_loop(call)) || fb_call_is_starved(call))) {
        call->is_starved = true;
        return FB_STOP;
    }
    if (!is_wide && (u = fb_pass_upstream(call, node, is_own, /* is_begun */ false)) == NULL)
        return FB_STOP;
    call->has_begun = true;
    call->keeps_args = is_cluster(call); /* it may have to be asked again elsewhere */
    struct fb_wait *wait = fb_call_away(call);
    if (wait == NULL)
        return FB_STOP;
    if (fb_pass_is_listing(call->command))
        wait->finish = fb_pass_finish_listing;
    fb_pass_note_flush(call, call->command);
    COUNT(call, passed);
    take_back(call);
    if (is_wide)
        fb_pass_scatter(call, wait, call->argv, call->argc);
    else
        ok = fb_pass_scan_cursor(wait) && fb_upstream_ask(u, wait, wait->args != NULL ? wait->args : call->argv, call->argc);
    if (!ok)
        fb_pass_give_up(wait);
    return FB_STOP;
}

/* ---- refusing --------------------------------------------------------------------------------------------------------- */

static enum fb_passage refuse(struct fb_call *call, const struct owners *owners) {
    char name[FB_COMMAND_NAME_MAX];
    const struct fb_command *command = call->command;
    fb_cache *cache = fb_call_cache(call);
    const fb_keyspace_options *keyspace = fb_keyspace_at(cache, (unsigned)fb_keyspace_of(cache, owners->mapped));
    fb_command_full_name(command, name);
    COUNT(call, refused);
    if (command->group != NULL && strcmp(command->group, "scripting") == 0)
        fb_call_error(call, SCRIPT_KEY, shown(owners->mapped), owners->mapped.data, keyspace->pattern);
    else if (owners->there > 0)
        fb_call_error(call, MIXED_KEYS, name, shown(owners->mapped), owners->mapped.data, shown(owners->unmapped),
                      owners->unmapped.data);
    else
        fb_call_error(call, NOT_ON_ROWS, name, shown(owners->mapped), owners->mapped.data, keyspace->pattern,
                      keyspace->as != NULL ? keyspace->as : "json");
    return FB_STOP;
}

/* ---- splitting: the mapped keys here, then the others there --------------------------------------------------------- */

static bool is_ours(const struct fb_call *call, size_t i) {
    return is_mapped(call->session, call->session->db, call->argv[i]);
}

/* All parts are prepared in one go, in their order. */
static void prepare_split(const struct fb_call *call, size_t i, fb_op *op) {
    size_t *at = &fb_call_loop(call)->upstreams->split_at;
    for (*at = i == 0 ? 1 : *at + 1; !is_ours(call, *at); ++*at)
        ;
    op->key = call->argv[*at];
    if (call->command->handler == fb_cmd_del)
        op->kind = FB_OP_DROP;
}

static void write_value(struct fb_call *call, const struct fb_part *part) {
    if (part->status == FB_OK && part->kind == FB_KIND_STRING)
        fb_resp_write_bulk(call->out, fb_bytes_of(part->bytes.data, part->bytes.len));
    else
        fb_resp_write_null(call->out);
}

void fb_pass_merge(struct fb_call *call, const struct fb_part *parts, fb_bytes theirs, fb_pass_is_here *is_here) {
    struct fb_resp_follow follow = FB_RESP_FOLLOW_INIT;
    enum fb_resp_verdict verdict;
    size_t pos = (size_t)((const char *)memchr(theirs.data, '\n', theirs.len) - theirs.data) + 1;
    fb_resp_write_array(call->out, call->argc - 1);
    for (size_t i = 1; i < call->argc; i++) {
        if (is_here(call, i)) {
            write_value(call, parts++);
            continue;
        }
        size_t n = fb_resp_follow(&follow, theirs.data + pos, theirs.len - pos, &verdict);
        call->out->failed |= fb_buf_append(&call->out->buf, theirs.data + pos, n) != FB_OK;
        pos += n;
    }
}

static void finish_split(struct fb_call *call, struct fb_part *parts, size_t n) {
    fb_bytes theirs = fb_bytes_of(call->wait->passed.data, call->wait->passed.len);
    int64_t number = 0;
    (void)n;
    if (theirs.data[0] == '*' && call->command->handler == fb_cmd_mget) {
        fb_pass_merge(call, parts, theirs, is_ours);
    } else if (theirs.data[0] == ':' &&
               fb_parse_integer(fb_bytes_of(theirs.data + 1, theirs.len - 3), &number)) {
        fb_resp_write_integer(call->out, number + call->number[0]);
    } else { /* OK, or an error */
        call->out->failed |= fb_buf_append(&call->out->buf, theirs.data, theirs.len) != FB_OK;
        call->has_failed |= theirs.data[0] == '-';
    }
}

/* What is not ours of the request, in loop->fields. */
static fb_bytes *rest_of(const struct fb_call *call, size_t *ret_argc) {
    fb_buf *room = &fb_call_loop(call)->fields;
    size_t n = 0, step = (size_t)call->command->step;
    room->len = 0;
    if (fb_buf_reserve(room, call->argc * sizeof(fb_bytes)) != FB_OK)
        return NULL;
    fb_bytes *rest = (fb_bytes *)(void *)room->data;
    rest[n++] = call->argv[0];
    for (size_t i = 1; i < call->argc; i += step)
        for (size_t k = 0; k < step && !is_ours(call, i); k++)
            rest[n++] = call->argv[i + k];
    *ret_argc = n;
    return rest;
}

static void begin_theirs(struct fb_call *call) {
    call->wait->finish = finish_split;
    call->wait->is_away = true;
    call->is_alone = false;
}

static void finish_ours(struct fb_call *call, struct fb_part *parts, size_t n) {
    size_t argc;
    call->number[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (fb_call_failed(call, &parts[i]))
            return;
        call->number[0] += parts[i].status == FB_OK;
    }
    fb_bytes *rest = rest_of(call, &argc);
    if (rest != NULL && is_cluster(call)) {
        begin_theirs(call);
        fb_pass_scatter(call, call->wait, rest, argc);
        return;
    }
    struct fb_upstream *u = rest != NULL ? fb_pass_upstream(call, 0, /* is_own */ false, /* is_begun */ true) : NULL;
    if (u != NULL && fb_upstream_ask(u, call->wait, rest, argc)) {
        take_back(call);
        begin_theirs(call);
    } else if (rest == NULL || u != NULL) {
        fb_call_out_of_memory(call);
    }
}

static void split_mset(struct fb_call *call, size_t n) {
    fb_buf *room = &fb_call_loop(call)->fields;
    room->len = 0;
    if (fb_buf_reserve(room, n * sizeof(fb_op)) != FB_OK) {
        fb_call_out_of_memory(call);
        return;
    }
    fb_op *ops = (fb_op *)(void *)room->data, *op = ops;
    for (size_t i = 1; i < call->argc; i += 2)
        if (is_ours(call, i))
            *op++ = (fb_op){.kind = FB_OP_SET, .origin = call->session->id, .key = call->argv[i],
                            .value = call->argv[i + 1]};
    fb_call_run_all(call, ops, n, finish_ours);
}

static enum fb_passage split(struct fb_call *call, size_t n) {
    bool is_mset = call->command->handler == fb_cmd_mset;
    if (n > FB_SPLIT_MAX) {
        fb_call_error(call, SPLIT_LARGE, FB_SPLIT_MAX);
        return FB_STOP;
    }
    if (is_mset && call->argc % 2 == 0)
        return FB_PASS; /* the handler says what is wrong with it */
    if (call->session->nwaits > 0 && (call->command->flags & FB_CMD_WRITE))
        return FB_DELAY;
    size_t theirs = 1;
    while (is_ours(call, theirs))
        theirs += (size_t)call->command->step;
    if (fb_pass_upstream(call, fb_pass_node_of_key(fb_call_loop(call), call->argv[theirs]), /* is_own */ false,
                     /* is_begun */ false) == NULL) /* before anything has happened */
        return FB_STOP;
    call->has_begun = true;
    COUNT(call, split);
    call->keeps_args = call->is_alone = true; /* until the store is asked */
    if (is_mset)
        split_mset(call, n);
    else
        fb_call_run(call, n, prepare_split, finish_ours);
    return FB_STOP;
}

/* ---- the gate --------------------------------------------------------------------------------------------------------- */

static enum fb_passage route(struct fb_call *call) {
    const struct fb_command *command = call->command;
    struct owners owners = owners_of(call->session, command, call->argv, call->argc);
    if (owners.here == 0)
        return pass(call);
    if (owners.there > 0 && (command->flags & FB_CMD_SPLITS))
        return split(call, owners.here);
    if (owners.there == 0 && !(command->flags & FB_CMD_FOREIGN))
        return FB_PASS;
    return refuse(call, &owners);
}

enum fb_passage fb_gate_store(struct fb_call *call) {
    const struct fb_command *command = call->command;
    if (command->flags & (FB_CMD_FOREIGN | FB_CMD_STORES))
        return route(call);
    if (command->first == 0 || (command->flags & FB_CMD_PEEKS) || is_ours_alone(command))
        return FB_PASS;
    return route(call);
}

bool fb_pass_unmapped(struct fb_call *call, fb_bytes key) {
    if (!fb_pass_is_on(fb_call_server(call)) || call->plan != NULL || call->is_inner ||
        is_mapped(call->session, call->session->db, key))
        return false;
    fb_call_rewind(call);
    call->is_delayed = pass(call) == FB_DELAY;
    return true;
}

bool fb_pass_unknown(struct fb_call *call) {
    struct owners owners = {.here = 1};
    if (!fb_pass_is_on(fb_call_server(call)) || !call->session->is_authenticated ||
        (call->session->gates & (FB_GATE_USER | FB_GATE_SUBSCRIBED | FB_GATE_QUEUE)))
        return false;
    call->command = fb_command_unknown();
    for (size_t i = 1; i < call->argc; i++)
        if (is_mapped(call->session, call->session->db, call->argv[i])) {
            owners.mapped = call->argv[i];
            (void)refuse(call, &owners);
            return true;
        }
    call->is_delayed = pass(call) == FB_DELAY;
    return true;
}

/* ---- transactions ------------------------------------------------------------------------------------------------------ */

bool fb_pass_side(struct fb_call *call, enum fb_side *ret_side) {
    const struct fb_command *command = call->command;
    struct owners owners = owners_of(call->session, command, call->argv, call->argc);
    bool is_foreign = (command->flags & (FB_CMD_FOREIGN | FB_CMD_STORES)) != 0;
    if (strncmp(command->name, "fb.", 3) == 0)
        owners = (struct owners){0};
    *ret_side = owners.here > 0 ? FB_SIDE_OURS : owners.there > 0 || is_foreign ? FB_SIDE_THEIRS : FB_SIDE_NONE;
    if (owners.here == 0 || (owners.there == 0 && !is_foreign))
        return true;
    (void)refuse(call, &owners);
    return false;
}

static void finish_watch(struct fb_call *call, struct fb_part *parts, size_t n) {
    struct fb_session *s = call->session;
    fb_bytes theirs = fb_bytes_of(call->wait->passed.data, call->wait->passed.len);
    (void)parts;
    (void)n;
    call->has_failed = theirs.data[0] == '-';
    call->out->failed |= fb_buf_append(&call->out->buf, theirs.data, theirs.len) != FB_OK;
    if (call->has_failed || s->multi == NULL || s->own == NULL)
        return;
    s->multi->watches_theirs = true;
    s->multi->is_peers = call->is_forwarded;
    s->multi->epoch = fb_upstream_epoch(s->own);
}

void fb_pass_watch(struct fb_call *call, unsigned node) {
    struct fb_session *s = call->session;
    if (s->nwaits > 0) { /* what came before goes another way */
        call->is_delayed = true;
        return;
    }
    if (!call->is_forwarded && !fb_pass_node(call, &node))
        return;
    if (s->multi->watches_theirs && s->own != NULL &&
        !fb_upstream_is(s->own, set_of(call), fb_upstream_version(s->own), s->db, node)) {
        fb_call_refuse(call, call->is_forwarded ? FB_ERROR_MIXED_OWNERS : FB_ERROR_CROSS_SLOT);
        return;
    }
    struct fb_upstream *u = fb_pass_upstream(call, node, /* is_own */ true, /* is_begun */ false);
    if (u == NULL)
        return;
    call->is_alone = true;
    call->keeps_args = is_cluster(call);
    struct fb_wait *wait = fb_call_away(call);
    if (wait == NULL)
        return;
    wait->finish = finish_watch;
    if (!fb_upstream_ask(u, wait, call->argv, call->argc))
        fb_pass_give_up(wait);
}

/* An array: the answers. Nil: a watched key has changed. Else an error. */
static void finish_exec(struct fb_call *call, struct fb_part *parts, size_t n) {
    struct fb_session *s = call->session;
    struct fb_multi *multi = s->multi;
    fb_buf *theirs = &call->wait->passed;
    bool is_array = theirs->data[0] == '*' && theirs->data[1] != '-';
    (void)parts;
    (void)n;
    multi->watches_theirs = false; /* EXEC ends that, whatever came of it */
    if (is_array) {
        multi->theirs = *theirs;
        multi->theirs_at = (size_t)((const char *)memchr(theirs->data, '\n', theirs->len) - theirs->data) + 1;
        *theirs = (fb_buf)FB_BUF_INIT;
        fb_exec_begin_answers(call);
        return;
    }
    call->has_failed = theirs->data[0] == '-';
    call->out->failed |= fb_buf_append(&call->out->buf, theirs->data, theirs->len) != FB_OK;
    fb_exec_end(s);
}

static bool say_all(const struct fb_call *call, struct fb_upstream *u, const struct fb_multi *multi, size_t *ret_n) {
    fb_bytes word = FB_STR("MULTI");
    bool ok = fb_upstream_say(u, &word, 1);
    *ret_n = 1;
    for (size_t i = 0; i < multi->n && ok; i++) {
        const struct fb_queued *queued = fb_queued_at(multi, i);
        if (!queued->is_theirs)
            continue;
        fb_pass_note_flush(call, queued->call.command);
        ok = fb_upstream_say(u, queued->call.argv, queued->call.argc);
        ++*ret_n;
    }
    return ok;
}

void fb_pass_exec(struct fb_call *call, unsigned node) {
    struct fb_session *s = call->session;
    struct fb_multi *multi = s->multi;
    fb_bytes word = FB_STR("EXEC");
    size_t n;
    if (multi->watches_theirs && (s->own == NULL || fb_upstream_epoch(s->own) != multi->epoch)) {
        fb_resp_write_null_array(call->out); /* nobody watched for a while: it may have changed */
        return;
    }
    if (!call->is_forwarded && !fb_pass_node_of_exec(call, &node))
        return;
    if (multi->watches_theirs && !fb_upstream_is(s->own, set_of(call), fb_upstream_version(s->own), s->db, node)) {
        fb_call_refuse(call, call->is_forwarded ? FB_ERROR_MIXED_OWNERS : FB_ERROR_CROSS_SLOT);
        return;
    }
    struct fb_upstream *u = fb_pass_upstream(call, node, /* is_own */ true, /* is_begun */ true);
    if (u == NULL)
        return;
    call->is_alone = true;
    struct fb_wait *wait = fb_call_away(call);
    if (wait == NULL)
        return;
    wait->finish = finish_exec;
    bool ok = say_all(call, u, multi, &n);
    wait->skips = n;
    if (ok && fb_upstream_ask(u, wait, &word, 1)) {
        COUNT(call, passed);
        return;
    }
    fb_pass_drop_own(s); /* half of it may be in the buffer */
    fb_pass_give_up(wait);
}

bool fb_pass_is_blocked(const struct fb_session *s) {
    if (s->own == NULL || fb_list_is_empty(&s->waits))
        return false;
    return (fb_member_of(s->waits.next, struct fb_wait, link)->call.command->flags & FB_CMD_BLOCKS) != 0;
}

bool fb_pass_is_long_blocked(const struct fb_session *s) {
    return fb_pass_is_blocked(s) && fb_span_ms(fb_since(fb_clock_now(), fb_upstream_since(s->own))) > BLOCKED_LONG_MS;
}

/* ---- what comes back -------------------------------------------------------------------------------------------------- */

/* Its finish will not run. */
static void end_without(struct fb_wait *wait) {
    struct fb_session *s = wait->call.session;
    if (wait->finish == finish_exec)
        fb_exec_end(s);
    wait->finish = NULL;
}

bool fb_pass_take(struct fb_loop *loop, struct fb_wait *wait, const char *data, size_t len, bool is_end) {
    struct fb_resp_out *reply = &wait->reply;
    fb_buf *into = wait->finish != NULL ? &wait->passed : &reply->buf;
    if (fb_loop_session(loop, wait->session) == NULL) { /* gone meanwhile */
        bool is_last = is_end && wait->skips == 0;
        wait->skips -= is_end && wait->skips > 0;
        return is_last;
    }
    if (wait->skips > 0) {
        if (is_cluster(&wait->call) && data[0] == '-' && is_end)
            fb_pass_learn(loop, fb_bytes_of(data, len));
        wait->skips -= is_end;
        return false;
    }
    if (!wait->is_too_long && into->len + len > wait->inbox->held_max) {
        fb_buf_free(into);
        wait->is_too_long = true;
    }
    if (!wait->is_too_long && fb_buf_append(into, data, len) != FB_OK)
        reply->failed = true;
    if (is_end && wait->is_too_long) {
        end_without(wait);
        fb_call_error(&wait->call, REPLY_TOO_LONG);
    } else if (is_end && reply->failed) {
        end_without(wait);
    } else if (is_end && wait->finish == NULL) {
        wait->call.has_failed = reply->buf.data[0] == '-';
    }
    return is_end;
}

void fb_pass_fail(struct fb_loop *loop, struct fb_wait *wait, const char *reason, bool was_sent) {
    struct fb_call *call = &wait->call;
    if (fb_loop_session(loop, wait->session) == NULL)
        return;
    if (call->is_forwarded)
        fb_forward_home(call);
    end_without(wait);
    wait->reply.buf.len = 0;
    say_lost(call, reason, was_sent);
}

void fb_pass_home(struct fb_loop *loop, struct fb_wait *wait) {
    if (wait->parent != NULL) {
        fb_pass_gather(loop, wait);
        return;
    }
    struct fb_session *session = fb_loop_session(loop, wait->session);
    if (session == NULL) {
        fb_wait_free(wait);
        return;
    }
    if (wait->call.is_forwarded)
        fb_forward_home(&wait->call);
    if (wait->finish != NULL && !fb_wait_advance(wait))
        return; /* there is more to ask */
    wait->is_over = true;
    fb_measure_done(&wait->call);
    fb_session_deliver(session, wait);
    fb_loop_touch(loop, session);
}
