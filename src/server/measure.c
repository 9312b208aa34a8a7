/* Counting and timing commands, one writer per loop, and the sums over the loops. */
#include "server/measure.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/slowlog.h"

/* What RESETSTAT takes off: the sums of that moment. */
struct fb_cost_base {
    struct fb_cost_sum sum;
    uint64_t *buckets; /* NULL: all zero */
};

fb_status fb_measure_init(struct fb_loop *loop) {
    loop->costs = fb_mem_calloc(fb_command_count(), sizeof *loop->costs);
    return loop->costs != NULL ? FB_OK : FB_NOMEM;
}

/* ---- the loop's thread ------------------------------------------------------------------------------------------ */

static bool is_timed(const struct fb_loop *loop) {
    return atomic_load_explicit(&loop->server->is_timed, memory_order_relaxed);
}

void fb_measure_begin(struct fb_loop *loop) {
    loop->clock = is_timed(loop) ? fb_clock_now() : (fb_instant){0};
}

/* The first call of a command on a loop makes room for its times; without memory they are not spread. */
static struct fb_spread *spread_of(struct fb_cost *cost) {
    struct fb_spread *spread = atomic_load_explicit(&cost->spread, memory_order_relaxed);
    if (spread == NULL && (spread = fb_mem_calloc(1, sizeof *spread)) != NULL)
        atomic_store_explicit(&cost->spread, spread, memory_order_release);
    return spread;
}

static void count(struct fb_loop *loop, const struct fb_command *command, bool has_failed) {
    struct fb_cost *cost = &loop->costs[fb_command_number(command)];
    fb_count(&cost->calls, 1);
    if (has_failed)
        fb_count(&cost->failed, 1);
    fb_count(&loop->counters.commands, 1);
}

static void add_time(struct fb_loop *loop, const struct fb_command *command, int64_t ns) {
    struct fb_cost *cost = &loop->costs[fb_command_number(command)];
    struct fb_spread *spread;
    fb_count(&cost->ns, (uint64_t)ns);
    if (FB_LIVE(loop->server, latency_tracking) && (spread = spread_of(cost)) != NULL)
        fb_count(&spread->buckets[fb_hist_bucket((uint64_t)ns)], 1);
}

void fb_measure_done(struct fb_call *call) {
    struct fb_loop *loop = fb_call_loop(call);
    count(loop, call->command, call->has_failed);
    if (!is_timed(loop) || call->began.ns == 0)
        return; /* or timed only since it began */
    loop->clock = fb_clock_now();
    int64_t ns = fb_since(loop->clock, call->began).ns;
    add_time(loop, call->command, ns);
    if (ns >= atomic_load_explicit(&loop->server->watch_ns, memory_order_relaxed))
        fb_slow_note(call, (fb_span){ns});
}

void fb_measure_rejected(const struct fb_call *call) {
    fb_count(&fb_call_loop(call)->costs[fb_command_number(call->command)].rejected, 1);
}

void fb_measure_inner(const struct fb_call *call, fb_span share) {
    struct fb_loop *loop = fb_call_loop(call);
    count(loop, call->command, call->has_failed);
    if (!is_timed(loop) || call->began.ns == 0)
        return;
    loop->clock = fb_clock_now();
    add_time(loop, call->command, fb_since(loop->clock, call->began).ns + share.ns);
}

/* ---- any thread ------------------------------------------------------------------------------------------------- */

void fb_measure_adopt(struct fb_server *server) {
    int64_t watch = INT64_MAX;
    int64_t slow_us = FB_LIVE(server, slowlog_slower_than_us), monitor_ms = FB_LIVE(server, latency_monitor_ms);
    if (slow_us >= 0)
        watch = slow_us * 1000;
    if (monitor_ms > 0 && monitor_ms * FB_NS_PER_MS < watch)
        watch = monitor_ms * FB_NS_PER_MS;
    atomic_store_explicit(&server->watch_ns, watch, memory_order_relaxed);
    atomic_store_explicit(&server->is_timed, FB_LIVE(server, latency_tracking) || watch != INT64_MAX,
                          memory_order_relaxed);
}

static void add_up(struct fb_server *server, size_t number, struct fb_cost_sum *sum, struct fb_hist *ret_spread) {
    for (unsigned i = 0; i < server->nloops; i++) {
        const struct fb_cost *cost = &server->loops[i].costs[number];
#define ADD(name, what) sum->name += atomic_load_explicit(&cost->name, memory_order_relaxed);
        FB_COST_COUNTERS(ADD)
#undef ADD
        const struct fb_spread *spread = atomic_load_explicit(&cost->spread, memory_order_acquire);
        for (unsigned k = 0; ret_spread != NULL && spread != NULL && k < FB_HIST_BUCKETS; k++)
            ret_spread->buckets[k] += atomic_load_explicit(&spread->buckets[k], memory_order_relaxed);
    }
}

void fb_measure_read(struct fb_server *server, const struct fb_command *command, struct fb_cost_sum *ret_sum,
                     struct fb_hist *ret_spread) {
    size_t number = fb_command_number(command);
    *ret_sum = (struct fb_cost_sum){0};
    if (ret_spread != NULL)
        *ret_spread = (struct fb_hist){0};
    fb_lock_acquire(&server->lock);
    add_up(server, number, ret_sum, ret_spread);
    const struct fb_cost_base *base = server->costs_base != NULL ? &server->costs_base[number] : NULL;
    if (base != NULL) {
#define TAKE_OFF(name, what) ret_sum->name -= base->sum.name;
        FB_COST_COUNTERS(TAKE_OFF)
#undef TAKE_OFF
    }
    for (unsigned k = 0; ret_spread != NULL && k < FB_HIST_BUCKETS; k++) {
        ret_spread->buckets[k] -= base != NULL && base->buckets != NULL ? base->buckets[k] : 0;
        ret_spread->n += ret_spread->buckets[k];
        if (ret_spread->buckets[k] > 0)
            ret_spread->max_ns = fb_hist_upper(k);
    }
    fb_lock_release(&server->lock);
    if (ret_spread != NULL)
        ret_spread->sum_ns = (int64_t)ret_sum->ns;
}

static void reset_one(struct fb_server *server, size_t number, struct fb_hist *spread) {
    struct fb_cost_base *base = &server->costs_base[number];
    base->sum = (struct fb_cost_sum){0};
    *spread = (struct fb_hist){0};
    add_up(server, number, &base->sum, spread);
    bool is_empty = base->sum.calls == 0;
    if (base->buckets == NULL && !is_empty)
        base->buckets = fb_mem_calloc(FB_HIST_BUCKETS, sizeof base->buckets[0]);
    for (unsigned k = 0; base->buckets != NULL && k < FB_HIST_BUCKETS; k++)
        base->buckets[k] = spread->buckets[k];
}

void fb_measure_reset(struct fb_server *server) {
    struct fb_hist *spread = fb_mem_calloc(1, sizeof *spread); /* too large for a stack */
    if (spread == NULL)
        return;
    fb_lock_acquire(&server->lock);
    if (server->costs_base == NULL)
        server->costs_base = fb_mem_calloc(fb_command_count(), sizeof *server->costs_base);
    for (size_t i = 0; server->costs_base != NULL && i < fb_command_count(); i++)
        reset_one(server, i, spread);
    server->memory_peak = 0;
    fb_lock_release(&server->lock);
    fb_mem_free(spread);
}

void fb_measure_free(struct fb_server *server) {
    for (unsigned i = 0; server->loops != NULL && i < server->nloops; i++) {
        struct fb_cost *costs = server->loops[i].costs;
        for (size_t k = 0; costs != NULL && k < fb_command_count(); k++)
            fb_mem_free(atomic_load(&costs[k].spread));
        fb_mem_free(costs);
    }
    for (size_t i = 0; server->costs_base != NULL && i < fb_command_count(); i++)
        fb_mem_free(server->costs_base[i].buckets);
    fb_mem_free(server->costs_base);
}
