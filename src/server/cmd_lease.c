/* The application's own loads and locks: FB.LEASE, FB.FILL, FB.ABSENT, FB.UNLEASE; FB.LOCK, FB.UNLOCK. */
#include <inttypes.h>
#include <stdio.h>

#include "server/commands.h"
#include "server/life.h"

enum { LEASE_WAIT_MAX_MS = 60000, NUMBER_MAX = 24 };

/* A number of an argument, within its bounds; else the error has been written. */
static bool number_between(struct fb_call *call, fb_bytes text, int64_t least, int64_t most, int64_t *ret) {
    if (!fb_call_integer(call, text, ret))
        return false;
    if (*ret >= least && *ret <= most)
        return true;
    fb_call_error(call, RANGE_BETWEEN, (long long)least, (long long)most);
    return false;
}

static void write_number(struct fb_call *call, int64_t number) {
    char text[NUMBER_MAX];
    int len = snprintf(text, sizeof text, "%" PRId64, number);
    fb_resp_write_bulk(call->out, fb_bytes_of(text, (size_t)len));
}

/* ---- leases: number[0] is how long to wait, then the token; number[1] the life of a copy ------------------------------ */

static void write_hash(struct fb_call *call, fb_bytes hash) {
    size_t cursor = 0;
    fb_field field;
    fb_resp_write_map(call->out, fb_hash_len(hash));
    while (fb_hash_next(hash, &cursor, &field)) {
        fb_resp_write_bulk(call->out, field.name);
        fb_resp_write_bulk(call->out, field.value);
    }
}

/* [value], [nil] of a row that is known to be absent, or [nil, token]: load it, and hand it in. */
static void finish_lease(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (fb_call_failed(call, part))
        return;
    fb_resp_write_array(call->out, part->status == FB_LEASE ? 2 : 1);
    if (part->status != FB_OK)
        fb_resp_write_null(call->out);
    else if (part->kind == FB_KIND_HASH)
        write_hash(call, fb_bytes_of(part->bytes.data, part->bytes.len));
    else
        fb_resp_write_bulk(call->out, fb_bytes_of(part->bytes.data, part->bytes.len));
    if (part->status == FB_LEASE)
        write_number(call, part->number);
}

static fb_status begin_lease(struct fb_call *call, fb_done done, void *user, fb_result *ret_result) {
    return fb_lease_submit(fb_call_cache(call), call->argv[1], call->number[0], done, user, ret_result);
}

static void await_lease(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    fb_call_await(call, begin_lease, finish_lease);
}

/* One operation that may wait; its arguments are needed until it has begun. */
static void await(struct fb_call *call, fb_call_finish *begin) {
    call->keeps_args = true;
    fb_call_steps(call, 1, begin);
}

void fb_cmd_fb_lease(struct fb_call *call) {
    call->number[0] = 0;
    if (call->argc > 3)
        fb_call_syntax_error(call);
    else if ((call->argc == 2 || number_between(call, call->argv[2], 1, LEASE_WAIT_MAX_MS, &call->number[0])) &&
             fb_call_maps(call, call->argv[1]))
        await(call, await_lease);
}

/* 1: kept (or given back); 0: the lease is no longer held, and nothing has changed. */
static void finish_fill(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (part->status == FB_REFUSED)
        fb_resp_write_integer(call->out, 0);
    else if (!fb_call_failed(call, part))
        fb_resp_write_integer(call->out, 1);
}

static fb_status begin_fill(struct fb_call *call, fb_done done, void *user, fb_result *ret_result) {
    fb_status found = (fb_status)(int)call->flags;
    fb_bytes value = found == FB_OK ? call->argv[3] : fb_bytes_of(NULL, 0);
    return fb_fill_submit(fb_call_cache(call), call->argv[1], (uint64_t)call->number[0], found, value, call->number[1],
                          done, user, ret_result);
}

static void await_fill(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    fb_call_await(call, begin_fill, finish_fill);
}

static void fill(struct fb_call *call, fb_status found) {
    call->flags = (unsigned)(int)found;
    if (number_between(call, call->argv[2], 1, INT64_MAX, &call->number[0]) && fb_call_maps(call, call->argv[1]))
        await(call, await_fill);
}

void fb_cmd_fb_fill(struct fb_call *call) {
    const struct fb_life_unit *unit = call->argc == 6 ? fb_life_unit(call->argv[4]) : NULL;
    call->number[1] = 0;
    if (call->argc != 4 && (unit == NULL || unit->is_absolute)) {
        fb_call_syntax_error(call);
        return;
    }
    if (unit != NULL && !fb_call_life(call, unit, call->argv[5], &call->number[1]))
        return;
    int keyspace = fb_keyspace_of(fb_call_cache(call), call->argv[1]);
    const fb_keyspace_options *options = keyspace >= 0 ? fb_keyspace_at(fb_call_cache(call), (unsigned)keyspace) : NULL;
    if (options != NULL && options->as != NULL && fb_is_word(FB_STR(options->as), "hash"))
        fb_call_wrong_type(call);
    else
        fill(call, FB_OK);
}

void fb_cmd_fb_absent(struct fb_call *call) { fill(call, FB_NOTFOUND); }
void fb_cmd_fb_unlease(struct fb_call *call) { fill(call, FB_SOURCE); }

/* ---- locks: number[0] is the life, then the token; number[1] how long to wait ----------------------------------------- */

/* [token, fencing number], or nil when another holds it. */
static void finish_lock(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (fb_call_failed(call, part))
        return;
    if (part->status != FB_OK) {
        fb_resp_write_null(call->out);
        return;
    }
    int64_t fence = 0;
    (void)fb_parse_integer(fb_bytes_of(part->bytes.data, part->bytes.len), &fence);
    fb_resp_write_array(call->out, 2);
    write_number(call, part->number);
    fb_resp_write_integer(call->out, fence);
}

static fb_status begin_lock(struct fb_call *call, fb_done done, void *user, fb_result *ret_result) {
    return fb_lock_submit(fb_call_cache(call), call->argv[1], call->number[0], call->number[1], done, user, ret_result);
}

static void await_lock(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    fb_call_await(call, begin_lock, finish_lock);
}

void fb_cmd_fb_lock(struct fb_call *call) {
    call->number[1] = 0;
    if (call->argc != 3 && (call->argc != 5 || !fb_is_word(call->argv[3], "wait")))
        fb_call_syntax_error(call);
    else if (number_between(call, call->argv[2], 1, FB_LOCK_TTL_MAX_MS, &call->number[0]) &&
             (call->argc == 3 || number_between(call, call->argv[4], 0, FB_LOCK_WAIT_MAX_MS, &call->number[1])))
        await(call, await_lock);
}

static fb_status begin_unlock(struct fb_call *call, fb_done done, void *user, fb_result *ret_result) {
    return fb_unlock_submit(fb_call_cache(call), call->argv[1], (uint64_t)call->number[0], done, user, ret_result);
}

static void await_unlock(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    fb_call_await(call, begin_unlock, finish_fill);
}

void fb_cmd_fb_unlock(struct fb_call *call) {
    if (number_between(call, call->argv[2], 1, INT64_MAX, &call->number[0]))
        await(call, await_unlock);
}
