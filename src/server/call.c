/* Carrying out a request: at once, or in parts that come back later. */
#include "server/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/forward.h"
#include "server/multi.h"
#include "server/notify.h"
#include "server/pass.h"
#include "server/slowlog.h"

enum { SHOWN_KEY_MAX = 128 }; /* bytes of a key in an error; its hint is at most FB_ERR_TEXT_MAX */

/* ---- waits ------------------------------------------------------------------------------------------------------ */

static struct fb_wait *new_wait(struct fb_call *call, size_t n) {
    struct fb_wait *wait;
    size_t size;
    if (__builtin_mul_overflow(n, sizeof wait->parts[0], &size) || __builtin_add_overflow(size, sizeof *wait, &size) ||
        (wait = fb_mem_calloc(1, size)) == NULL)
        return NULL;
    wait->message.kind = FB_MESSAGE_WAIT;
    fb_list_init(&wait->link);
    wait->inbox = fb_inbox_ref(fb_call_loop(call)->inbox);
    wait->session = call->session->ref;
    wait->call = *call;
    wait->call.wait = wait;
    wait->call.out = &wait->reply;
    wait->reply = wait->after = (struct fb_resp_out)FB_RESP_OUT_INIT;
    wait->reply.version = wait->after.version = call->out->version;
    wait->is_silent = call->is_silent;
    wait->nparts = wait->room = n;
    size_t written = call->out->buf.len - call->mark;
    if (fb_buf_append(&wait->reply.buf, call->out->buf.data + call->mark, written) != FB_OK)
        return fb_wait_free(wait);
    fb_call_rewind(call);
    wait->call.mark = 0;
    if (FB_LIVE(fb_call_server(call), slowlog_slower_than_us) >= 0)
        wait->call.preview = fb_preview_new(call);
    return wait;
}

struct fb_wait *fb_wait_free(struct fb_wait *wait) {
    if (wait == NULL)
        return NULL;
    for (size_t i = 0; i < wait->room; i++)
        fb_buf_free(&wait->parts[i].bytes);
    for (size_t i = 0; i < wait->nchildren; i++)
        fb_wait_free(wait->children[i]);
    fb_mem_free(wait->children);
    fb_buf_free(&wait->call.notes);
    fb_mem_free(wait->call.preview);
    atomic_fetch_sub(&wait->inbox->held, atomic_load(&wait->held));
    fb_buf_free(&wait->reply.buf);
    fb_buf_free(&wait->after.buf);
    fb_buf_free(&wait->passed);
    fb_mem_free(wait->args);
    fb_inbox_unref(wait->inbox);
    fb_mem_free(wait);
    return NULL;
}

/* The arguments point into a buffer that is used again as soon as the handler has returned. */
bool fb_wait_keep_args(struct fb_wait *wait) {
    struct fb_call *call = &wait->call;
    size_t size = call->argc * sizeof(fb_bytes);
    for (size_t i = 0; i < call->argc; i++)
        size += call->argv[i].len;
    wait->args = fb_mem_alloc(size);
    if (wait->args == NULL)
        return false;
    char *p = (char *)(wait->args + call->argc);
    for (size_t i = 0; i < call->argc; i++) {
        if (call->argv[i].len > 0)
            memcpy(p, call->argv[i].data, call->argv[i].len);
        wait->args[i] = fb_bytes_of(p, call->argv[i].len);
        p += call->argv[i].len;
    }
    call->argv = wait->args;
    return true;
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

/* Values that wait for the rest of their command are memory nobody else counts: one command may hold as much as a
 * connection may have unsent, and all of a loop some times that. */
static bool may_hold(struct fb_wait *wait, size_t len) {
    struct fb_inbox *inbox = wait->inbox;
    size_t own = atomic_fetch_add(&wait->held, len) + len, all = atomic_fetch_add(&inbox->held, len) + len;
    if (own <= inbox->held_max && all <= FB_HELD_COMMANDS * inbox->held_max)
        return true;
    atomic_fetch_sub(&wait->held, len);
    atomic_fetch_sub(&inbox->held, len);
    return false;
}

static void note_result(struct fb_part *part, const fb_result *result) {
    fb_bytes bytes = part->wants_old ? result->old : result->value;
    part->status = result->status;
    part->number = result->number;
    part->split = (struct fb_split){result->lane_us, result->source_us, result->shared, result->is_stale != 0};
    part->kind = part->wants_old && bytes.data == NULL ? FB_KIND_NONE : result->kind;
    part->bytes.len = 0;
    if (result->status < 0)
        bytes = FB_STR(result->err.text);
    if (part->wait != NULL && !may_hold(part->wait, bytes.len)) {
        part->status = FB_INVALID;
        bytes = FB_STR(FB_TEXT_REPLY_TOO_LONG); /* not counted: it is what makes it stop */
    }
    if (fb_buf_append(&part->bytes, bytes.data, bytes.len) != FB_OK)
        part->status = FB_NOMEM;
}

/* One part less; true for the last. Release and acquire, so that the last sees what the others wrote. */
static bool end_part(struct fb_wait *wait) {
    return atomic_fetch_sub_explicit(&wait->left, 1, memory_order_acq_rel) == 1;
}

/* Runs on a thread of the engine. */
static void on_done(void *user, const fb_result *result) {
    struct fb_part *part = user;
    struct fb_wait *wait = part->wait;
    note_result(part, result);
    if (end_part(wait) && !fb_inbox_post(wait->inbox, &wait->message))
        fb_wait_free(wait); /* the loop has ended */
}

static void submit_part(struct fb_wait *wait, const struct fb_call *call, size_t i) {
    struct fb_part *part = &wait->parts[i];
    fb_result result;
    fb_op op = {.kind = FB_OP_READ, .origin = call->session->id};
    wait->prepare(call, i, &op);
    bool is_read = op.kind == FB_OP_READ;
    if (is_read && (fb_call_may_peek(call) || fb_cached(fb_call_cache(call), op.key) == FB_MISS))
        fb_notify_miss(fb_call_server(call), op.key); /* who may peek has asked the cache already */
    part->watch = is_read ? fb_multi_watch_of(call->session, op.key) : 0;
    part->wait = wait;
    part->wants_old = (op.flags & FB_WANT_OLD) != 0;
    if (fb_submit(fb_call_cache(call), &op, on_done, part, &result) == FB_PENDING)
        return;
    note_result(part, &result);
    fb_result_release(&result);
    (void)end_part(wait); /* never the last: the submitter has one of its own */
}

static void begin_batch(struct fb_wait *wait, size_t n) {
    wait->batch = n;
    fb_call_loop(&wait->call)->operations += n;
    atomic_store_explicit(&wait->left, n + 1, memory_order_relaxed);
}

/* All parts are submitted: true when they have ended already. If not, the wait is nobody's until they have. */
static bool end_submitting(struct fb_wait *wait) {
    struct fb_loop *loop = fb_call_loop(&wait->call);
    size_t n = wait->batch;
    if (!end_part(wait))
        return false;
    loop->operations -= n;
    wait->batch = 0;
    return true;
}

static bool submit_batch(struct fb_wait *wait, const struct fb_call *call) {
    size_t from = wait->next, n = wait->nparts - from < FB_BATCH_MAX ? wait->nparts - from : FB_BATCH_MAX;
    wait->next = from + n;
    begin_batch(wait, n);
    fb_gather_begin(fb_call_cache(call));
    for (size_t i = 0; i < n; i++)
        submit_part(wait, call, from + i);
    fb_gather_end(fb_call_cache(call));
    return end_submitting(wait);
}

/* Parts are under way together, so the longest counts; steps come one after another. */
static void add_split(struct fb_wait *wait) {
    struct fb_split longest = {0}, *sum = &wait->call.split;
    for (size_t i = 0; i < wait->nparts; i++) {
        const struct fb_split *one = &wait->parts[i].split;
        longest.lane_us = one->lane_us > longest.lane_us ? one->lane_us : longest.lane_us;
        longest.source_us = one->source_us > longest.source_us ? one->source_us : longest.source_us;
        longest.shared = one->shared > longest.shared ? one->shared : longest.shared;
        longest.is_stale |= one->is_stale;
    }
    sum->lane_us += longest.lane_us;
    sum->source_us += longest.source_us;
    sum->shared = longest.shared > sum->shared ? longest.shared : sum->shared;
    sum->is_stale |= longest.is_stale;
}

bool fb_wait_advance(struct fb_wait *wait) {
    do {
        while (wait->next < wait->nparts)
            if (!submit_batch(wait, &wait->call))
                return false;
        fb_call_finish *finish = wait->finish;
        wait->finish = NULL;
        add_split(wait);
        for (size_t i = 0; wait->call.session->multi != NULL && i < wait->nparts; i++)
            fb_multi_saw(wait->call.session, &wait->parts[i]);
        finish(&wait->call, wait->parts, wait->nparts);
        if (wait->is_away) {
            wait->is_away = false;
            return false;
        }
    } while (wait->finish != NULL);
    return wait->is_over = true;
}

bool fb_call_is_starved(struct fb_call *call) {
    return call->is_starved = fb_call_loop(call)->operations >= fb_call_server(call)->operations_max;
}

/* The first batch has been submitted (is_over: and ended): go on as far as possible, then answer or queue. */
static void begin_wait(struct fb_call *call, struct fb_wait *wait, bool is_over) {
    if (!is_over || !fb_wait_advance(wait)) {
        call->is_waiting = true;
        fb_session_enqueue(call->session, wait);
        return;
    }
    call->has_failed |= wait->call.has_failed;
    if (wait->reply.failed || call->out->failed ||
        fb_buf_append(&call->out->buf, wait->reply.buf.data, wait->reply.buf.len) != FB_OK)
        call->out->failed = true;
    fb_wait_free(wait);
}

void fb_call_run(struct fb_call *call, size_t n, fb_call_prepare *prepare, fb_call_finish *finish) {
    if (call->plan != NULL) {
        fb_plan_run(call, n, prepare, finish);
        return;
    }
    if (fb_call_is_starved(call))
        return;
    struct fb_wait *wait = new_wait(call, n);
    if (wait == NULL || ((call->keeps_args || n > FB_BATCH_MAX) && !fb_wait_keep_args(wait))) {
        fb_wait_free(wait);
        fb_call_out_of_memory(call);
        return;
    }
    wait->prepare = prepare;
    wait->finish = finish;
    begin_wait(call, wait, submit_batch(wait, &wait->call));
}

struct fb_wait *fb_call_away(struct fb_call *call) {
    struct fb_wait *wait = new_wait(call, 0);
    if (wait == NULL || (call->keeps_args && !fb_wait_keep_args(wait))) {
        fb_wait_free(wait);
        fb_call_out_of_memory(call);
        return NULL;
    }
    fb_list_init(&wait->message.link);
    wait->is_passed = true;
    begin_wait(call, wait, /* is_over */ false);
    return wait;
}

void fb_call_steps(struct fb_call *call, size_t room, fb_call_finish *finish) {
    struct fb_wait *wait = new_wait(call, room);
    if (wait == NULL || !fb_wait_keep_args(wait)) {
        fb_wait_free(wait);
        fb_call_out_of_memory(call);
        return;
    }
    wait->nparts = 0;
    wait->finish = finish;
    begin_wait(call, wait, /* is_over */ true);
}

/* What the parts held is not needed any more. */
static void let_go(struct fb_wait *wait) {
    size_t held = atomic_exchange(&wait->held, 0);
    atomic_fetch_sub(&wait->inbox->held, held);
}

void fb_call_again(struct fb_call *call, size_t n, fb_call_prepare *prepare, fb_call_finish *finish) {
    struct fb_wait *wait = call->wait;
    let_go(wait);
    wait->prepare = prepare;
    wait->finish = finish;
    wait->nparts = n;
    wait->next = 0;
}

void fb_call_later(struct fb_call *call, fb_call_finish *finish) {
    struct fb_wait *wait = call->wait;
    wait->finish = finish;
    wait->batch = 0;
    wait->is_away = true;
    (void)fb_inbox_post(wait->inbox, &wait->message); /* open: a session of the loop's is there */
}

struct job {
    uv_work_t work;
    struct fb_wait *wait;
    fb_call_job *run;
};

static void run_job(uv_work_t *work) {
    struct job *job = fb_member_of(work, struct job, work);
    job->run(&job->wait->call);
}

/* On the loop again; it may be through with all else by now. */
static void end_job(uv_work_t *work, int status) {
    struct job *job = fb_member_of(work, struct job, work);
    (void)status;
    if (!fb_inbox_post(job->wait->inbox, &job->wait->message))
        fb_wait_free(job->wait);
    fb_mem_free(job);
}

void fb_call_work(struct fb_call *call, fb_call_job *work, fb_call_finish *finish) {
    struct fb_wait *wait = call->wait;
    struct job *job = fb_mem_alloc(sizeof *job);
    if (job == NULL) {
        fb_call_out_of_memory(call);
        return;
    }
    *job = (struct job){.wait = wait, .run = work};
    wait->finish = finish;
    wait->batch = 0;
    wait->is_away = uv_queue_work(&fb_call_loop(call)->uv, &job->work, run_job, end_job) == 0;
    if (wait->is_away)
        return;
    fb_mem_free(job);
    wait->finish = NULL;
    fb_call_out_of_memory(call);
}

void fb_call_await(struct fb_call *call, fb_call_begin *begin, fb_call_finish *finish) {
    struct fb_wait *wait = call->wait;
    struct fb_part *part = &wait->parts[0];
    fb_result result;
    let_go(wait);
    wait->finish = finish;
    wait->nparts = wait->next = 1;
    part->wait = wait;
    part->wants_old = false;
    part->watch = 0;
    begin_batch(wait, 1);
    wait->is_away = true;
    if (begin(call, on_done, part, &result) != FB_PENDING) {
        note_result(part, &result);
        fb_result_release(&result);
        (void)end_part(wait);
    }
    wait->is_away = !end_submitting(wait);
}

/* ---- what ends at once ------------------------------------------------------------------------------------------ */

static void ignore(void *user, const fb_result *result) {
    (void)user;
    (void)result;
}

void fb_part_at_once(struct fb_call *call, const fb_op *op, struct fb_part *ret_part) {
    fb_result result;
    *ret_part = (struct fb_part){.status = FB_OK};
    if (fb_submit(fb_call_cache(call), op, ignore, NULL, &result) == FB_PENDING)
        return; /* of no operation on a copy */
    note_result(ret_part, &result);
    fb_result_release(&result);
}

bool fb_call_at_once(struct fb_call *call, const fb_op *op) {
    struct fb_part part;
    fb_part_at_once(call, op, &part);
    bool is_well = !fb_call_failed(call, &part);
    fb_buf_free(&part.bytes);
    return is_well;
}

/* ---- transactions ----------------------------------------------------------------------------------------------- */

static void note_outcome(struct fb_wait *wait, const fb_outcome *outcome) {
    fb_result all = {.status = outcome->status, .number = (int64_t)outcome->decided_by, .err = outcome->err};
    note_result(&wait->parts[0], &all);
    for (size_t i = 0; i < outcome->n; i++)
        if (outcome->results != NULL)
            note_result(&wait->parts[i + 1], &outcome->results[i]);
        else
            wait->parts[i + 1].status = outcome->status;
}

/* Runs on a thread of the engine. */
static void on_done_all(void *user, const fb_outcome *outcome) {
    struct fb_wait *wait = user;
    note_outcome(wait, outcome);
    if (end_part(wait) && !fb_inbox_post(wait->inbox, &wait->message))
        fb_wait_free(wait);
}

void fb_call_run_all(struct fb_call *call, const fb_op *ops, size_t n, fb_call_finish *finish) {
    if (call->plan != NULL) {
        fb_plan_run_all(call, ops, n, finish);
        return;
    }
    if (fb_call_is_starved(call))
        return;
    struct fb_wait *wait = new_wait(call, n + 1);
    if (wait == NULL || (call->keeps_args && !fb_wait_keep_args(wait))) {
        fb_wait_free(wait);
        fb_call_out_of_memory(call);
        return;
    }
    fb_outcome outcome;
    wait->finish = finish;
    wait->next = wait->nparts;
    for (size_t i = 0; i <= n; i++) {
        wait->parts[i].wait = wait;
        wait->parts[i].wants_old = i > 0 && (ops[i - 1].flags & FB_WANT_OLD) != 0;
    }
    begin_batch(wait, 1);
    if (fb_submit_all(fb_call_cache(call), ops, n, on_done_all, wait, &outcome) != FB_PENDING) {
        note_outcome(wait, &outcome);
        (void)end_part(wait);
    }
    begin_wait(call, wait, end_submitting(wait));
}

/* ---- reading one key -------------------------------------------------------------------------------------------- */

static void prepare_read(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->key = call->argv[1];
}

static void finish_read(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)n;
    if (parts->status == FB_NOTOWNER && fb_forward_unanswered(call, parts))
        return;
    if (!fb_call_failed(call, parts))
        call->render(call, parts->status == FB_OK ? parts->kind : FB_KIND_NONE,
                     fb_bytes_of(parts->bytes.data, parts->bytes.len));
}

void fb_call_load(struct fb_call *call, fb_call_render *render) {
    if (fb_key_is_probe(call->argv[1])) {
        render(call, FB_KIND_NONE, fb_bytes_of(NULL, 0));
    } else if (!fb_pass_unmapped(call, call->argv[1]) && fb_call_maps(call, call->argv[1]) &&
               !fb_forward_missed(call, call->argv[1])) {
        call->render = render;
        call->keeps_args = true;
        fb_call_run(call, 1, prepare_read, finish_read);
    }
}

void fb_call_read(struct fb_call *call, fb_call_render *render) {
    fb_buf *scratch = &fb_call_loop(call)->scratch;
    fb_kind kind = FB_KIND_NONE;
    scratch->len = 0;
    fb_status status = fb_call_may_peek(call) ? fb_peek(fb_call_cache(call), call->argv[1], scratch, &kind) : FB_MISS;
    if (status == FB_OK)
        render(call, kind, fb_bytes_of(scratch->data, scratch->len));
    else if (status == FB_NOTFOUND)
        render(call, FB_KIND_NONE, fb_bytes_of(NULL, 0));
    else
        fb_call_load(call, render);
}

/* ---- keys and arguments ----------------------------------------------------------------------------------------- */

bool fb_key_is_probe(fb_bytes key) {
    static const char prefix[] = "__Booksleeve_"; /* StackExchange.Redis */
    return key.len >= sizeof prefix - 1 && memcmp(key.data, prefix, sizeof prefix - 1) == 0;
}

/* " (did you mean 'user:{id:int}'? …)" or "". */
static const char *nearest_keyspace(const struct fb_call *call, fb_bytes key, char hint[FB_ERR_TEXT_MAX]) {
    fb_cache *cache = fb_call_cache(call);
    fb_err why;
    int nearest = call->session->db == 0 ? fb_keyspace_near(cache, key, &why) : -1;
    if (call->session->db != 0)
        snprintf(hint, FB_ERR_TEXT_MAX, " (keyspaces live in database 0, and %u is selected)", call->session->db);
    else if (nearest >= 0)
        snprintf(hint, FB_ERR_TEXT_MAX, " (did you mean '%.100s'? %.160s)", fb_keyspace_at(cache, (unsigned)nearest)->pattern,
                 why.text);
    else
        hint[0] = '\0';
    return hint;
}

bool fb_call_maps(struct fb_call *call, fb_bytes key) {
    if (call->session->db == 0 && fb_keyspace_of(fb_call_cache(call), key) >= 0)
        return true;
    int len = (int)(key.len < SHOWN_KEY_MAX ? key.len : SHOWN_KEY_MAX);
    char hint[FB_ERR_TEXT_MAX];
    fb_call_error(call, NO_KEYSPACE, len, key.data, nearest_keyspace(call, key, hint));
    return false;
}

bool fb_is_word(fb_bytes arg, const char *word) {
    for (size_t i = 0; i < arg.len; i++) {
        char c = arg.data[i];
        if (word[i] == '\0' || (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != word[i])
            return false;
    }
    return word[arg.len] == '\0';
}

/* Canonical decimal, so that a number has one form and -9223372036854775808 fits. */
bool fb_parse_integer(fb_bytes text, int64_t *ret_number) {
    size_t i = text.len > 0 && text.data[0] == '-';
    bool is_negative = i == 1;
    if (i == text.len || (text.data[i] == '0' && text.len > 1))
        return false;
    int64_t n = 0;
    for (; i < text.len; i++) {
        int digit = text.data[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
            (is_negative ? __builtin_sub_overflow(n, digit, &n) : __builtin_add_overflow(n, digit, &n)))
            return false;
    }
    *ret_number = n;
    return true;
}

bool fb_call_integer(struct fb_call *call, fb_bytes text, int64_t *ret_number) {
    if (fb_parse_integer(text, ret_number))
        return true;
    fb_call_error(call, INTEGER);
    return false;
}
