/* EXEC: planning what was kept, one transaction, and the answers in their order. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/forward.h"
#include "server/gates.h"
#include "server/multi.h"
#include "server/pass.h"
#include "proto/follow.h"

enum { PLANNED_MAX = 4 * FB_TRANSACTION_MAX }; /* with those on copies, which do not go to the source */

/* EXEC is over, however it went. */
static void end_exec(struct fb_session *session) {
    fb_bytes word = FB_STR("exec");
    struct fb_call call = {.session = session, .command = fb_command_named(word), .argv = &word, .argc = 1};
    fb_multi_reset(session);
    if (atomic_load_explicit(&session->loop->server->gates, memory_order_relaxed) & FB_GATE_MONITOR)
        (void)fb_gates_pass(&call, FB_GATE_MONITOR);
}

/* ---- planning --------------------------------------------------------------------------------------------------- */

/* Commands whose handlers do nothing but begin operations on the rows of their keys, or on the copies of them. */
static bool is_plannable(const struct fb_command *command) {
    return command->first > 0 && command->flags & (FB_CMD_READ | FB_CMD_WRITE) && command->group != NULL &&
           (strcmp(command->group, "string") == 0 || strcmp(command->group, "hash") == 0 ||
            strcmp(command->group, "generic") == 0);
}

static bool is_of_copy(fb_op_kind kind) {
    return kind == FB_OP_INVALIDATE || kind == FB_OP_EXPIRE || kind == FB_OP_PERSIST || kind == FB_OP_TTL;
}

/* A copy that lives until the transaction has been answered; NULL: no memory. */
static void *scrap(struct fb_multi *multi, const void *data, size_t len) {
    struct fb_link *link = fb_mem_alloc(sizeof *link + len);
    if (link == NULL)
        return NULL;
    fb_list_init(link);
    fb_list_push_back(&multi->scraps, link);
    if (len > 0)
        memcpy(link + 1, data, len);
    return link + 1;
}

/* Does it stand in the request, which is ours? */
static bool is_kept(const struct fb_call *call, const char *data) {
    fb_bytes last = call->argv[call->argc - 1];
    return data >= (const char *)call->argv && data <= last.data + last.len;
}

/* Values and fields may stand in places of the loop that the next handler uses. */
static bool own(struct fb_call *call, fb_op *op) {
    struct fb_multi *multi = call->session->multi;
    bool has_value = op->value.len > 0 && !is_kept(call, op->value.data), has_fields = op->nfields > 0;
    const void *value = has_value ? scrap(multi, op->value.data, op->value.len) : NULL;
    const void *fields = has_fields ? scrap(multi, op->fields, op->nfields * sizeof *op->fields) : NULL;
    if ((has_value && value == NULL) || (has_fields && fields == NULL))
        return false;
    if (has_value)
        op->value.data = value;
    if (has_fields)
        op->fields = fields;
    return true;
}

static bool plan_op(struct fb_call *call, fb_op op) {
    struct fb_multi *multi = call->session->multi;
    op.origin = call->session->id;
    op.block = (unsigned)(multi->next + 1);
    if (multi->nplanned == PLANNED_MAX) {
        multi->is_too_long = true;
        fb_call_error(call, PLAN_LONG, PLANNED_MAX);
        return false;
    }
    if (!own(call, &op) || fb_buf_reserve(&multi->planned, sizeof(struct fb_planned)) != FB_OK) {
        fb_call_out_of_memory(call);
        return false;
    }
    *fb_planned_at(multi, multi->nplanned++) = (struct fb_planned){.op = op, .is_of_copy = is_of_copy(op.kind)};
    multi->planned.len += sizeof(struct fb_planned);
    call->plan->n++;
    return true;
}

/* What DEL means for this key; false: it is refused, and the error has been written. */
static bool settle_drop(struct fb_call *call, fb_op *op) {
    fb_cache *cache = fb_call_cache(call);
    const fb_keyspace_options *keyspace = fb_keyspace_at(cache, (unsigned)fb_keyspace_of(cache, op->key));
    if (keyspace->on_del == FB_ON_DEL_ERROR)
        return fb_call_at_once(call, op); /* says so, and does nothing */
    op->kind = keyspace->on_del == FB_ON_DEL_DELETE_ROW ? FB_OP_DELETE : FB_OP_INVALIDATE;
    return true;
}

void fb_plan_run(struct fb_call *call, size_t n, fb_call_prepare *prepare, fb_call_finish *finish) {
    for (size_t i = 0; i < n; i++) {
        fb_op op = {.kind = FB_OP_READ};
        prepare(call, i, &op);
        if ((op.kind == FB_OP_DROP && !settle_drop(call, &op)) || !plan_op(call, op))
            return;
    }
    call->plan->finish = finish;
}

void fb_plan_run_all(struct fb_call *call, const fb_op *ops, size_t n, fb_call_finish *finish) {
    for (size_t i = 0; i < n; i++)
        if (!plan_op(call, ops[i]))
            return;
    call->plan->finish = finish;
    call->plan->is_all = true;
}

static void unplan(struct fb_multi *multi, struct fb_queued *queued) {
    multi->nplanned = queued->first;
    multi->planned.len = multi->nplanned * sizeof(struct fb_planned);
    multi->written.buf.len = queued->begin;
    queued->finish = NULL;
    queued->is_all = false;
    queued->n = 0;
}

/* Its handler says what it would begin. False: it fails, and with it the transaction. A reading command that fails
 * takes nothing with it: it will say so in its own place. */
static bool plan_one(struct fb_session *session, struct fb_multi *multi, struct fb_queued *queued, unsigned up) {
    struct fb_call *call = &queued->call;
    queued->first = multi->nplanned;
    queued->begin = queued->end = multi->written.buf.len;
    if (!is_plannable(call->command))
        return true;
    const fb_bytes *argv = call->argv;
    *call = (struct fb_call){.session = session, .command = call->command, .argv = argv, .argc = call->argc,
                             .out = &multi->written, .mark = queued->begin, .plan = queued, .is_inner = true};
    session->db = queued->db;
    if (!(up & FB_GATE_USER) || fb_gates_pass(call, FB_GATE_USER) == FB_PASS)
        call->command->handler(call);
    queued->end = multi->written.buf.len;
    if (call->has_failed && call->command->flags & FB_CMD_WRITE)
        return false;
    if (call->has_failed || queued->finish == NULL || multi->written.failed)
        unplan(multi, queued);
    else if (up & FB_GATE_TRACKING) /* before the rows are read */
        (void)fb_gates_pass(call, FB_GATE_TRACKING);
    call->plan = NULL;
    return true;
}

static unsigned gates_up(const struct fb_session *session) {
    return session->gates | atomic_load_explicit(&session->loop->server->gates, memory_order_relaxed);
}

/* False: the request `multi->next` fails. */
static bool plan_all(struct fb_session *session, struct fb_multi *multi) {
    unsigned up = gates_up(session), db = session->db;
    bool is_well = true;
    multi->written.version = atomic_load_explicit(&session->shown_version, memory_order_relaxed);
    for (multi->next = 0; multi->next < multi->n && is_well; multi->next += is_well)
        is_well = plan_one(session, multi, fb_queued_at(multi, multi->next), up);
    session->db = db;
    return is_well;
}

bool fb_multi_writes(const struct fb_session *session) {
    const struct fb_multi *multi = session->multi;
    for (size_t i = 0; i < multi->n; i++)
        if (fb_queued_at(multi, i)->call.command->flags & FB_CMD_WRITE)
            return true;
    return false;
}

static bool writes_rows(const struct fb_multi *multi) {
    for (size_t i = 0; i < multi->nplanned; i++) {
        const struct fb_planned *planned = fb_planned_at(multi, i);
        if (!planned->is_of_copy && planned->op.kind != FB_OP_READ)
            return true;
    }
    return false;
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

/* From now on the requests are answered; what comes of them follows this. */
static void begin_answers(struct fb_call *call, struct fb_multi *multi) {
    multi->state = FB_MULTI_RUNNING;
    multi->is_silent = call->is_silent;
    multi->next = 0;
    fb_resp_write_array(call->out, multi->n);
    if (multi->n == 0)
        end_exec(call->session);
}

/* "EXECABORT Transaction rolled back: command 2 ('incr'): ERR …" */
static void abort_at(struct fb_call *call, struct fb_multi *multi, size_t request, const char *word, fb_bytes text) {
    char where[64] = "";
    if (request < multi->n)
        snprintf(where, sizeof where, "command %zu ('%s'): ", request + 1,
                 fb_queued_at(multi, request)->call.command->name);
    else if (request == SIZE_MAX)
        snprintf(where, sizeof where, "a watched key: ");
    fb_call_error(call, ROLLED_BACK, where, word, word[0] != '\0' ? " " : "", (int)text.len, text.data);
    end_exec(call->session);
}

static void abort_too_long(struct fb_call *call, struct fb_multi *multi) {
    char text[sizeof FB_TEXT_PLAN_LONG + 16];
    snprintf(text, sizeof text, FB_TEXT_PLAN_LONG, PLANNED_MAX);
    abort_at(call, multi, multi->n, "ERR", FB_STR(text));
}

/* The error that a handler wrote while it was planned: "-WORD text" and the end of the line. */
static void abort_planned(struct fb_call *call, struct fb_multi *multi) {
    const struct fb_queued *queued = fb_queued_at(multi, multi->next);
    fb_bytes line = fb_bytes_of(multi->written.buf.data + queued->begin, multi->written.buf.len - queued->begin);
    const char *minus = line.len > 0 ? memchr(line.data, '-', line.len) : NULL;
    if (minus != NULL) {
        line.len -= (size_t)(minus + 1 - line.data);
        line.data = minus + 1;
    }
    while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
        line.len--;
    abort_at(call, multi, multi->next, "", line);
}

/* The request that an operation of the transaction belongs to; SIZE_MAX: a watched key; n: none in particular. */
static size_t request_of(const struct fb_multi *multi, size_t op) {
    if (op < multi->nwatches)
        return SIZE_MAX;
    for (size_t i = 0; i < multi->nplanned; i++) {
        const struct fb_planned *planned = fb_planned_at(multi, i);
        if (!planned->is_of_copy && planned->part == op + 1)
            return planned->op.block - 1;
    }
    return multi->n;
}

/* The results are the session's from here on: the wait ends now, and its requests are answered one by one. */
static void take_parts(struct fb_multi *multi, struct fb_part *parts) {
    for (size_t i = 0; i < multi->nparts; i++) {
        multi->parts[i] = parts[i];
        multi->parts[i].wait = NULL;
        parts[i].bytes = (fb_buf)FB_BUF_INIT;
    }
}

static void finish_exec(struct fb_call *call, struct fb_part *parts, size_t n) {
    struct fb_multi *multi = call->session->multi;
    const struct fb_part *all = &parts[0];
    fb_bytes text = fb_bytes_of(all->bytes.data, all->bytes.len);
    (void)n;
    if (all->status == FB_UNMET) {
        fb_resp_write_null_array(call->out);
        end_exec(call->session);
    } else if (all->status == FB_UNKNOWN) {
        fb_call_fail(call, all->status, text); /* nobody knows whether it was rolled back */
        end_exec(call->session);
    } else if (all->status < 0) {
        abort_at(call, multi, request_of(multi, (size_t)all->number), fb_status_word(all->status), text);
    } else {
        take_parts(multi, parts);
        begin_answers(call, multi);
    }
}

/* ---- EXEC ------------------------------------------------------------------------------------------------------- */

/* The checks, then what was planned. */
static size_t gather(struct fb_multi *multi, fb_op *ops, uint64_t origin) {
    size_t n = 0;
    for (size_t i = 0; i < multi->nwatches; i++) {
        const struct fb_watch *watch = fb_watch_at(multi, i);
        ops[n++] = (fb_op){.kind = FB_OP_CHECK, .key = watch->key, .expected = watch->fingerprint, .origin = origin};
    }
    for (size_t i = 0; i < multi->nplanned; i++) {
        struct fb_planned *planned = fb_planned_at(multi, i);
        if (planned->is_of_copy)
            continue;
        ops[n++] = planned->op;
        planned->part = n; /* behind the outcome */
    }
    return n;
}

static void submit(struct fb_call *call, struct fb_multi *multi) {
    fb_buf *array = &fb_call_loop(call)->fields;
    size_t most = multi->nwatches + multi->nplanned, widest = 0;
    for (size_t i = 0; i < multi->n; i++)
        widest = fb_queued_at(multi, i)->n > widest ? fb_queued_at(multi, i)->n : widest;
    array->len = 0;
    /* All memory that answering needs: later it would be too late to fail. */
    multi->parts = fb_mem_calloc(1 + most + widest, sizeof *multi->parts);
    if (multi->parts == NULL || fb_buf_reserve(array, most * sizeof(fb_op)) != FB_OK) {
        end_exec(call->session);
        fb_call_out_of_memory(call);
        return;
    }
    fb_op *ops = (fb_op *)(void *)array->data;
    size_t n = gather(multi, ops, call->session->id);
    multi->nparts = n + 1;
    multi->state = FB_MULTI_SUBMITTED;
    fb_call_run_all(call, ops, n, finish_exec);
    if (call->has_failed && call->session->multi == multi && multi->state == FB_MULTI_SUBMITTED)
        end_exec(call->session); /* it could not be begun */
}

/* The rules may have changed since they were kept. */
static bool may_theirs(struct fb_session *session, struct fb_multi *multi) {
    for (multi->next = 0; (gates_up(session) & FB_GATE_USER) && multi->next < multi->n; multi->next++) {
        struct fb_queued *queued = fb_queued_at(multi, multi->next);
        queued->begin = multi->written.buf.len;
        queued->call.out = &multi->written;
        queued->call.is_inner = true;
        if (queued->is_theirs && fb_gates_pass(&queued->call, FB_GATE_USER) != FB_PASS)
            return false;
    }
    return true;
}

static void submit_theirs(struct fb_call *call, struct fb_multi *multi, unsigned node) {
    struct fb_session *session = call->session;
    if (!may_theirs(session, multi)) {
        abort_planned(call, multi);
        return;
    }
    multi->state = FB_MULTI_SUBMITTED;
    fb_pass_exec(call, node);
    if (!call->is_waiting && session->multi == multi) /* it could not be begun: an error, or nil */
        end_exec(session);
}

void fb_exec_begin_answers(struct fb_call *call) { begin_answers(call, call->session->multi); }
void fb_exec_end(struct fb_session *session) { end_exec(session); }

void fb_exec_hand_out(struct fb_call *call) {
    struct fb_multi *multi = call->session->multi;
    struct fb_resp_follow follow = FB_RESP_FOLLOW_INIT;
    enum fb_resp_verdict verdict = FB_RESP_MORE;
    const char *data = multi->theirs.data + multi->theirs_at;
    size_t n = fb_resp_follow(&follow, data, multi->theirs.len - multi->theirs_at, &verdict);
    if (verdict != FB_RESP_DONE || fb_buf_append(&call->out->buf, data, n) != FB_OK)
        call->out->failed = true;
    call->has_failed = n > 0 && data[0] == '-';
    multi->theirs_at += n;
}

void fb_cmd_exec(struct fb_call *call) {
    struct fb_session *session = call->session;
    struct fb_multi *multi = session->multi;
    if (!fb_multi_is_open(session)) {
        fb_call_error(call, NO_MULTI_EXEC);
        return;
    }
    if (multi->is_flawed) {
        end_exec(session);
        fb_call_error(call, DISCARDED);
        return;
    }
    if (fb_call_is_starved(call)) /* as if it had not come yet */
        return;
    session->gates &= ~(unsigned)FB_GATE_QUEUE;
    unsigned node = 0;
    bool is_transaction = multi->nwatches > 0 || fb_multi_writes(session);
    if (fb_forward_claims(call, is_transaction, &node) || multi->side == FB_SIDE_THEIRS || multi->watches_theirs) {
        submit_theirs(call, multi, node);
        return;
    }
    if (is_transaction && !plan_all(session, multi)) {
        abort_planned(call, multi);
        return;
    }
    if (is_transaction && (multi->nwatches > 0 || writes_rows(multi))) {
        if (multi->is_too_long)
            abort_too_long(call, multi);
        else
            submit(call, multi);
        return;
    }
    for (size_t i = multi->n; is_transaction && i > 0; i--)
        unplan(multi, fb_queued_at(multi, i - 1));
    begin_answers(call, multi);
}

/* ---- answering -------------------------------------------------------------------------------------------------- */

struct fb_queued *fb_exec_next(struct fb_session *session) {
    return fb_queued_at(session->multi, session->multi->next);
}

void fb_exec_advance(struct fb_session *session) {
    if (++session->multi->next == session->multi->n)
        end_exec(session);
}

/* Operations on copies happen now. */
static void collect(struct fb_call *call, const struct fb_queued *queued, struct fb_part *parts) {
    struct fb_multi *multi = call->session->multi;
    for (size_t i = 0; i < queued->n; i++) {
        const struct fb_planned *planned = fb_planned_at(multi, queued->first + i);
        if (planned->is_of_copy) {
            fb_part_at_once(call, &planned->op, &parts[i]);
        } else {
            parts[i] = multi->parts[planned->part];
            multi->parts[planned->part].bytes = (fb_buf)FB_BUF_INIT;
        }
    }
}

/* MSET and MSETNX end as one. */
static void join(struct fb_part *parts, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (parts[i].status == FB_UNMET || parts[0].status == FB_IGNORED)
            parts[0].status = parts[i].status;
}

/* Every operation of a transaction says how long all of it took. */
static fb_span share_of(const struct fb_multi *multi, const struct fb_queued *queued) {
    int64_t us = 0;
    for (size_t i = 0; i < queued->n; i++) {
        const struct fb_planned *planned = fb_planned_at(multi, queued->first + i);
        const struct fb_split *split = &multi->parts[planned->part].split;
        us += planned->is_of_copy ? 0 : split->lane_us + split->source_us;
    }
    return (fb_span){us * 1000 / (int64_t)(multi->nparts - 1)};
}

fb_span fb_exec_answer(struct fb_call *call, const struct fb_queued *queued) {
    const struct fb_multi *multi = call->session->multi;
    struct fb_part *parts = multi->parts + multi->nparts;
    fb_span share = share_of(multi, queued);
    collect(call, queued, parts);
    if (fb_buf_append(&call->out->buf, multi->written.buf.data + queued->begin, queued->end - queued->begin) != FB_OK)
        call->out->failed = true;
    if (queued->is_all)
        join(parts, queued->n);
    queued->finish(call, parts, queued->is_all ? 1 : queued->n);
    for (size_t i = 0; i < queued->n; i++)
        fb_buf_free(&parts[i].bytes);
    return share;
}
