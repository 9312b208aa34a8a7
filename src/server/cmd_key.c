/* Commands on keys of any kind: is there a row, how long does its copy live, forget it. */
#include "server/commands.h"

#include "base/clock.h"
#include "server/life.h"

static bool all_map(struct fb_call *call) {
    for (size_t i = 1; i < call->argc; i++)
        if (!fb_call_maps(call, call->argv[i]))
            return false;
    return true;
}

/* How many parts ended well; the first failure is the reply instead. */
static void finish_count(struct fb_call *call, struct fb_part *parts, size_t n) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (fb_call_failed(call, &parts[i]))
            return;
        count += parts[i].status == FB_OK;
    }
    fb_resp_write_integer(call->out, count);
}

static void prepare_drop(const struct fb_call *call, size_t i, fb_op *op) {
    op->kind = FB_OP_DROP;
    op->key = call->argv[1 + i];
}

void fb_cmd_del(struct fb_call *call) {
    if (all_map(call))
        fb_call_run(call, call->argc - 1, prepare_drop, finish_count);
}

static void prepare_exists(const struct fb_call *call, size_t i, fb_op *op) { op->key = call->argv[1 + i]; }

/* A row exists if it can be read, so what is not cached is loaded. */
void fb_cmd_exists(struct fb_call *call) {
    int64_t count = 0;
    size_t known = 1;
    if (!all_map(call))
        return;
    for (; known < call->argc && fb_call_may_peek(call); known++) {
        fb_status status = fb_cached(fb_call_cache(call), call->argv[known]);
        if (status != FB_OK && status != FB_NOTFOUND)
            break;
        count += status == FB_OK;
    }
    if (known == call->argc)
        fb_resp_write_integer(call->out, count);
    else
        fb_call_run(call, call->argc - 1, prepare_exists, finish_count);
}

static void render_type(struct fb_call *call, fb_kind kind, fb_bytes value) {
    (void)value;
    fb_resp_write_simple(call->out, kind == FB_KIND_NONE ? "none" : kind == FB_KIND_HASH ? "hash" : "string");
}
void fb_cmd_type(struct fb_call *call) { fb_call_read(call, render_type); }

/* ---- how long a copy lives: number[0] is the unit of the answer in ms, [1] whether it is a point in time -------- */

enum { ABSENT = -2 };

static void prepare_ttl(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = FB_OP_TTL;
    op->key = call->argv[1];
}

static void finish_ttl(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (fb_call_failed(call, part))
        return;
    int64_t ms = part->number + (call->number[1] ? fb_clock_wall_us() / 1000 : 0);
    int64_t unit = call->number[0];
    fb_resp_write_integer(call->out, part->status == FB_OK ? (ms + unit / 2) / unit : ABSENT);
}

static void ttl(struct fb_call *call, int64_t unit_ms, bool is_absolute) {
    call->number[0] = unit_ms;
    call->number[1] = is_absolute;
    if (fb_call_maps(call, call->argv[1]))
        fb_call_run(call, 1, prepare_ttl, finish_ttl);
}

void fb_cmd_ttl(struct fb_call *call) { ttl(call, 1000, false); }
void fb_cmd_pttl(struct fb_call *call) { ttl(call, 1, false); }
void fb_cmd_expiretime(struct fb_call *call) { ttl(call, 1000, true); }
void fb_cmd_pexpiretime(struct fb_call *call) { ttl(call, 1, true); }

/* ---- EXPIRE: number[0] is the life in ms ------------------------------------------------------------------------ */

static void prepare_expire(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = call->number[0] > 0 ? FB_OP_EXPIRE : FB_OP_INVALIDATE;
    op->flags = call->flags;
    op->key = call->argv[1];
    op->life_ms = call->number[0];
}

static const struct condition {
    const char *word;
    unsigned flag, excludes;
} conditions[] = {
    {"nx", FB_EXPIRE_NX, FB_EXPIRE_XX | FB_EXPIRE_GT | FB_EXPIRE_LT},
    {"xx", FB_EXPIRE_XX, FB_EXPIRE_NX},
    {"gt", FB_EXPIRE_GT, FB_EXPIRE_NX | FB_EXPIRE_LT},
    {"lt", FB_EXPIRE_LT, FB_EXPIRE_NX | FB_EXPIRE_GT},
};

static bool take_conditions(struct fb_call *call) {
    for (size_t i = 3; i < call->argc; i++) {
        const struct condition *found = NULL;
        for (size_t k = 0; k < sizeof conditions / sizeof conditions[0]; k++)
            if (fb_is_word(call->argv[i], conditions[k].word))
                found = &conditions[k];
        if (found == NULL) {
            int shown = (int)(call->argv[i].len < 64 ? call->argv[i].len : 64);
            fb_call_error(call, EXPIRE_OPTION, shown, call->argv[i].data);
            return false;
        }
        if (call->flags & found->excludes) {
            fb_call_refuse(call, (call->flags | found->flag) & FB_EXPIRE_NX ? FB_ERROR_EXPIRE_NX : FB_ERROR_EXPIRE_GT_LT);
            return false;
        }
        call->flags |= found->flag;
    }
    return true;
}

static void expire(struct fb_call *call, const char *unit) {
    int64_t number;
    if (!take_conditions(call) || !fb_call_integer(call, call->argv[2], &number) ||
        !fb_call_maps(call, call->argv[1]))
        return;
    if (!fb_life_ms(fb_life_unit(FB_STR(unit)), number, &call->number[0])) {
        fb_call_error(call, EXPIRE_TIME, call->command->name);
        return;
    }
    /* Over already: forget it, as Redis does. Under a condition the engine has to judge, so let it end at once. */
    if (call->number[0] <= 0 && (call->flags & (FB_EXPIRE_NX | FB_EXPIRE_XX | FB_EXPIRE_GT)))
        call->number[0] = 1;
    fb_call_run(call, 1, prepare_expire, finish_count);
}

void fb_cmd_expire(struct fb_call *call) { expire(call, "ex"); }
void fb_cmd_pexpire(struct fb_call *call) { expire(call, "px"); }
void fb_cmd_expireat(struct fb_call *call) { expire(call, "exat"); }
void fb_cmd_pexpireat(struct fb_call *call) { expire(call, "pxat"); }

static void prepare_persist(const struct fb_call *call, size_t i, fb_op *op) {
    (void)i;
    op->kind = FB_OP_PERSIST;
    op->key = call->argv[1];
}

void fb_cmd_persist(struct fb_call *call) {
    if (fb_call_maps(call, call->argv[1]))
        fb_call_run(call, 1, prepare_persist, finish_count);
}
