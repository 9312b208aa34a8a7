/* Keeping requests between MULTI and EXEC, and remembering what watched rows were. */
#include "server/multi.h"

#include <string.h>

#include "base/mem.h"
#include "server/acl.h"
#include "server/forward.h"
#include "server/gates.h"
#include "server/pass.h"

/* ---- beginning and forgetting ----------------------------------------------------------------------------------- */

static struct fb_multi *multi_of(struct fb_call *call) {
    struct fb_session *session = call->session;
    if (session->multi == NULL) {
        session->multi = fb_mem_calloc(1, sizeof *session->multi);
        if (session->multi == NULL) {
            fb_call_out_of_memory(call);
            return NULL;
        }
        fb_list_init(&session->multi->scraps);
        session->multi->written = (struct fb_resp_out)FB_RESP_OUT_INIT;
    }
    return session->multi;
}

static void forget_watches(struct fb_multi *multi) {
    for (size_t i = 0; i < multi->nwatches; i++)
        fb_mem_free((char *)fb_watch_at(multi, i)->key.data);
    multi->nwatches = 0;
}

static void show(struct fb_session *session) {
    const struct fb_multi *multi = session->multi;
    bool is_shown = multi != NULL && multi->state != FB_MULTI_NONE;
    atomic_store_explicit(&session->shown_multi, is_shown ? (unsigned)multi->n + 1 : 0, memory_order_relaxed);
    atomic_store_explicit(&session->shown_multi_bytes, is_shown ? multi->bytes : 0, memory_order_relaxed);
    atomic_store_explicit(&session->shown_watches, multi != NULL ? (unsigned)multi->nwatches : 0,
                          memory_order_relaxed);
}

void fb_multi_reset(struct fb_session *session) {
    struct fb_multi *multi = session->multi;
    session->gates &= ~(unsigned)FB_GATE_QUEUE;
    if (multi == NULL)
        return;
    session->multi = NULL;
    show(session);
    forget_watches(multi);
    for (size_t i = 0; i < multi->n; i++)
        fb_mem_free((fb_bytes *)fb_queued_at(multi, i)->call.argv);
    for (struct fb_link *scrap; (scrap = fb_list_pop_front(&multi->scraps)) != NULL;)
        fb_mem_free(scrap);
    for (size_t i = 0; i < multi->nparts; i++)
        fb_buf_free(&multi->parts[i].bytes);
    fb_mem_free(multi->parts);
    if (multi->watches_theirs) /* a new one watches nothing */
        fb_pass_drop_own(session);
    fb_buf_free(&multi->theirs);
    fb_buf_free(&multi->queue);
    fb_buf_free(&multi->watches);
    fb_buf_free(&multi->planned);
    fb_buf_free(&multi->written.buf);
    fb_mem_free(multi);
}

bool fb_multi_is_open(const struct fb_session *session) {
    return session->multi != NULL && session->multi->state == FB_MULTI_OPEN;
}

void fb_multi_flaw(struct fb_session *session) {
    if (fb_multi_is_open(session))
        session->multi->is_flawed = true;
}

/* ---- keeping requests ------------------------------------------------------------------------------------------- */

/* The copy of a request: its arguments, then their bytes, in one block. */
static size_t copy_args(const struct fb_call *call, fb_bytes **ret_args) {
    size_t size = call->argc * sizeof(fb_bytes);
    for (size_t i = 0; i < call->argc; i++)
        size += call->argv[i].len;
    fb_bytes *args = fb_mem_alloc(size);
    char *p = (char *)(args + call->argc);
    for (size_t i = 0; args != NULL && i < call->argc; i++) {
        if (call->argv[i].len > 0)
            memcpy(p, call->argv[i].data, call->argv[i].len);
        args[i] = fb_bytes_of(p, call->argv[i].len);
        p += call->argv[i].len;
    }
    *ret_args = args;
    return size;
}

static bool has_room(struct fb_call *call, const struct fb_multi *multi) {
    size_t more = sizeof(struct fb_queued);
    for (size_t i = 0; i < call->argc; i++)
        more += sizeof(fb_bytes) + call->argv[i].len;
    if (multi->n >= FB_QUEUE_MAX && multi->side != FB_SIDE_THEIRS)
        fb_call_error(call, QUEUE_FULL, FB_QUEUE_MAX);
    else if (multi->bytes + more > FB_LIVE(fb_call_server(call), query_buffer_max))
        fb_call_error(call, QUEUE_LARGE);
    else
        return true;
    return false;
}

/* The keys of all requests are of one side. */
static bool do_sides_fit(struct fb_call *call, struct fb_multi *multi) {
    unsigned db = call->session->db;
    enum fb_side side;
    call->session->db = multi->db;
    bool is_well = fb_pass_side(call, &side);
    call->session->db = db;
    if (!is_well)
        return false;
    if (side != FB_SIDE_NONE && ((multi->side != FB_SIDE_NONE && multi->side != side) ||
                                 (side == FB_SIDE_OURS && multi->watches_theirs && !multi->is_peers) ||
                                 (side == FB_SIDE_THEIRS && (multi->nwatches > 0 || multi->is_peers || multi->db != db)))) {
        fb_call_error(call, MIXED_MULTI, call->command->name);
        return false;
    }
    multi->side = side != FB_SIDE_NONE ? side : multi->side;
    call->is_theirs = side == FB_SIDE_THEIRS;
    return true;
}

/* What is not known to be mapped now will not be at EXEC. */
static bool do_keys_map(struct fb_call *call, struct fb_multi *multi) {
    if (fb_pass_is_on(fb_call_server(call)))
        return do_sides_fit(call, multi);
    struct fb_key_range keys;
    unsigned db = call->session->db;
    bool all = true;
    if (!(call->command->flags & (FB_CMD_READ | FB_CMD_WRITE)) || !fb_command_keys(call->command, call->argc, &keys))
        return true;
    call->session->db = multi->db;
    for (size_t i = keys.first; i <= keys.last && all; i += keys.step)
        all = fb_key_is_probe(call->argv[i]) || fb_call_maps(call, call->argv[i]);
    call->session->db = db;
    return all;
}

static void keep(struct fb_call *call, struct fb_multi *multi) {
    fb_bytes *args;
    int64_t db;
    if (!has_room(call, multi))
        return;
    size_t size = copy_args(call, &args);
    if (args == NULL || fb_buf_reserve(&multi->queue, sizeof(struct fb_queued)) != FB_OK) {
        fb_mem_free(args);
        fb_call_out_of_memory(call);
        return;
    }
    *fb_queued_at(multi, multi->n++) = (struct fb_queued){
        .call = {.session = call->session, .command = call->command, .argv = args, .argc = call->argc},
        .db = multi->db,
        .is_theirs = call->is_theirs};
    multi->queue.len += sizeof(struct fb_queued);
    multi->bytes += sizeof(struct fb_queued) + size;
    if (call->command->handler == fb_cmd_select && fb_parse_integer(call->argv[1], &db) && db >= 0 &&
        db < FB_DATABASES)
        multi->db = (unsigned)db;
    show(call->session);
    fb_resp_write_simple(call->out, "QUEUED");
}

enum fb_passage fb_gate_queue(struct fb_call *call) {
    struct fb_multi *multi = call->session->multi;
    if (call->command->flags & FB_CMD_UNQUEUED)
        return FB_PASS;
    bool listens = (call->command->flags & FB_CMD_LISTENS) && fb_pass_is_on(fb_call_server(call));
    if (listens || (call->command->flags & FB_CMD_NO_MULTI))
        fb_call_error(call, NOT_IN_MULTI);
    else if (do_keys_map(call, multi))
        keep(call, multi);
    return FB_STOP;
}

/* ---- MULTI, DISCARD, WATCH, UNWATCH ----------------------------------------------------------------------------- */

void fb_cmd_multi(struct fb_call *call) {
    struct fb_session *session = call->session;
    if (fb_multi_is_open(session)) {
        fb_call_error(call, NESTED);
        return;
    }
    struct fb_multi *multi = multi_of(call);
    if (multi == NULL)
        return;
    multi->state = FB_MULTI_OPEN;
    multi->db = session->db;
    session->gates |= FB_GATE_QUEUE;
    show(session);
    fb_resp_write_simple(call->out, "OK");
}

void fb_cmd_discard(struct fb_call *call) {
    if (!fb_multi_is_open(call->session)) {
        fb_call_error(call, NO_MULTI_DISCARD);
        return;
    }
    fb_multi_reset(call->session);
    fb_resp_write_simple(call->out, "OK");
}

unsigned fb_multi_watch_of(const struct fb_session *session, fb_bytes key) {
    const struct fb_multi *multi = session->multi;
    for (size_t i = 0; multi != NULL && i < multi->nwatches; i++) {
        fb_bytes watched = fb_watch_at(multi, i)->key;
        if (watched.len == key.len && memcmp(watched.data, key.data, key.len) == 0)
            return (unsigned)i + 1;
    }
    return 0;
}

static uint64_t fingerprint_of(const struct fb_session *session, const struct fb_part *part) {
    bool is_there = part->status == FB_OK;
    return fb_fingerprint(session->loop->server->cache, is_there ? part->kind : FB_KIND_NONE,
                          is_there ? fb_bytes_of(part->bytes.data, part->bytes.len) : fb_bytes_of(NULL, 0));
}

void fb_multi_saw(struct fb_session *session, const struct fb_part *part) {
    struct fb_multi *multi = session->multi;
    if (part->watch == 0 || part->watch > multi->nwatches || part->status < 0)
        return;
    struct fb_watch *watch = fb_watch_at(multi, part->watch - 1);
    if (fingerprint_of(session, part) != watch->fingerprint) /* from now on that of nothing: an absence has no bytes */
        watch->fingerprint = fb_fingerprint(session->loop->server->cache, FB_KIND_NONE, FB_STR("not the same"));
}

/* What the row was when it was first watched counts. */
static bool watch(struct fb_call *call, struct fb_multi *multi, fb_bytes key, const struct fb_part *part) {
    if (fb_multi_watch_of(call->session, key) != 0)
        return true;
    char *copy = fb_mem_alloc(key.len + 1);
    if (copy == NULL || fb_buf_reserve(&multi->watches, sizeof(struct fb_watch)) != FB_OK) {
        fb_mem_free(copy);
        fb_call_out_of_memory(call);
        return false;
    }
    memcpy(copy, key.data, key.len);
    *fb_watch_at(multi, multi->nwatches++) = (struct fb_watch){
        .key = fb_bytes_of(copy, key.len), .fingerprint = fingerprint_of(call->session, part)};
    multi->watches.len += sizeof(struct fb_watch);
    return true;
}

static void finish_watch(struct fb_call *call, struct fb_part *parts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (fb_call_failed(call, &parts[i]))
            return;
    struct fb_multi *multi = multi_of(call);
    if (multi == NULL)
        return;
    if (multi->nwatches + n > FB_WATCH_MAX) {
        fb_call_error(call, WATCHES, FB_WATCH_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!watch(call, multi, call->argv[1 + i], &parts[i]))
            return;
    show(call->session);
    fb_resp_write_simple(call->out, "OK");
}

static void prepare_watch(const struct fb_call *call, size_t i, fb_op *op) { op->key = call->argv[1 + i]; }

void fb_cmd_watch(struct fb_call *call) {
    if (fb_multi_is_open(call->session)) {
        fb_call_error(call, WATCH_IN_MULTI);
        return;
    }
    enum fb_side side = FB_SIDE_OURS, other = FB_SIDE_NONE;
    struct fb_multi *multi = call->session->multi;
    unsigned node = 0;
    if (fb_forward_watches(call, &node)) {
        if (multi != NULL && (multi->nwatches > 0 || (multi->watches_theirs && !multi->is_peers)))
            fb_call_error(call, MIXED_OWNERS);
        else if (multi_of(call) != NULL)
            fb_pass_watch(call, node);
        return;
    }
    if (fb_pass_is_on(fb_call_server(call)) && !fb_pass_side(call, &side))
        return;
    if (multi != NULL && (multi->nwatches > 0 || multi->watches_theirs))
        other = multi->watches_theirs ? FB_SIDE_THEIRS : FB_SIDE_OURS;
    if (multi != NULL && multi->watches_theirs && multi->is_peers) {
        fb_call_error(call, MIXED_OWNERS);
        return;
    }
    if (other != FB_SIDE_NONE && side != other) {
        fb_call_error(call, MIXED_MULTI, call->command->name);
        return;
    }
    if (side == FB_SIDE_THEIRS) {
        if (multi_of(call) != NULL)
            fb_pass_watch(call, 0);
        return;
    }
    for (size_t i = 1; i < call->argc; i++)
        if (!fb_call_maps(call, call->argv[i]))
            return;
    call->keeps_args = true;
    fb_call_run(call, call->argc - 1, prepare_watch, finish_watch);
}

void fb_cmd_unwatch(struct fb_call *call) {
    if (call->session->multi != NULL) {
        forget_watches(call->session->multi);
        if (call->session->multi->watches_theirs)
            fb_pass_drop_own(call->session);
        call->session->multi->watches_theirs = false;
        show(call->session);
    }
    fb_resp_write_simple(call->out, "OK");
}
