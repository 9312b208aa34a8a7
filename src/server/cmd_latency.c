/* LATENCY: samples of slow events, and how the times of commands are spread. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/measure.h"
#include "server/slowlog.h"

/* ---- the latency monitor ---------------------------------------------------------------------------------------- */

/* Name, time of the latest sample, its milliseconds, the most ever. */
void fb_cmd_latency_latest(struct fb_call *call) {
    struct fb_slowlog *log = fb_call_server(call)->slowlog;
    size_t n = 0;
    fb_lock_acquire(&log->lock);
    for (int event = 0; event < FB_LATENCY_COUNT_; event++)
        n += log->latency.rings[event].n > 0;
    fb_resp_write_array(call->out, n);
    for (int event = 0; event < FB_LATENCY_COUNT_; event++) {
        const struct fb_latency_ring *ring = &log->latency.rings[event];
        if (ring->n == 0)
            continue;
        struct fb_latency_sample last = fb_latency_at(ring, ring->n - 1);
        fb_resp_write_array(call->out, 4);
        fb_resp_write_bulk(call->out, FB_STR(fb_latency_word((enum fb_latency_event)event)));
        fb_resp_write_integer(call->out, last.wall_s);
        fb_resp_write_integer(call->out, (int64_t)last.ms);
        fb_resp_write_integer(call->out, (int64_t)ring->max_ms);
    }
    fb_lock_release(&log->lock);
}

void fb_cmd_latency_graph(struct fb_call *call) {
    struct fb_slowlog *log = fb_call_server(call)->slowlog;
    fb_bytes word = call->argv[2];
    enum fb_latency_event event = fb_latency_named(word);
    fb_buf text = FB_BUF_INIT;
    fb_lock_acquire(&log->lock);
    if (event != FB_LATENCY_COUNT_ && log->latency.rings[event].n > 0)
        fb_latency_draw(&log->latency.rings[event], event, fb_clock_wall_us() / 1000000, &text);
    fb_lock_release(&log->lock);
    if (text.len > 0)
        fb_resp_write_verbatim(call->out, "txt", fb_bytes_of(text.data, text.len));
    else
        fb_call_error(call, NO_SAMPLES, (int)(word.len < 64 ? word.len : 64), word.data);
    fb_buf_free(&text);
}

void fb_cmd_latency_history(struct fb_call *call) {
    struct fb_slowlog *log = fb_call_server(call)->slowlog;
    enum fb_latency_event event = fb_latency_named(call->argv[2]);
    if (event == FB_LATENCY_COUNT_) {
        fb_resp_write_array(call->out, 0);
        return;
    }
    fb_lock_acquire(&log->lock);
    const struct fb_latency_ring *ring = &log->latency.rings[event];
    fb_resp_write_array(call->out, ring->n);
    for (size_t i = 0; i < ring->n; i++) {
        struct fb_latency_sample sample = fb_latency_at(ring, i);
        fb_resp_write_array(call->out, 2);
        fb_resp_write_integer(call->out, sample.wall_s);
        fb_resp_write_integer(call->out, (int64_t)sample.ms);
    }
    fb_lock_release(&log->lock);
}

void fb_cmd_latency_reset(struct fb_call *call) {
    struct fb_slowlog *log = fb_call_server(call)->slowlog;
    int64_t n = 0;
    fb_lock_acquire(&log->lock);
    for (int event = 0; event < FB_LATENCY_COUNT_; event++) {
        struct fb_latency_ring *ring = &log->latency.rings[event];
        bool is_named = call->argc == 2;
        for (size_t i = 2; i < call->argc; i++)
            is_named |= fb_is_word(call->argv[i], fb_latency_word((enum fb_latency_event)event));
        if (!is_named || ring->n == 0)
            continue;
        *ring = (struct fb_latency_ring){.n = 0};
        n++;
    }
    fb_lock_release(&log->lock);
    fb_resp_write_integer(call->out, n);
}

void fb_cmd_latency_doctor(struct fb_call *call) {
    struct fb_server *server = fb_call_server(call);
    fb_buf text = FB_BUF_INIT;
    fb_lock_acquire(&server->slowlog->lock);
    fb_latency_explain(&server->slowlog->latency, FB_LIVE(server, latency_monitor_ms), &text);
    fb_lock_release(&server->slowlog->lock);
    fb_resp_write_verbatim(call->out, "txt", fb_bytes_of(text.data, text.len));
    fb_buf_free(&text);
}

/* ---- how times are spread --------------------------------------------------------------------------------------- */

/* "get", "config" (all its subcommands) or "config|get". */
static bool is_named(const struct fb_command *command, fb_bytes word) {
    const char *bar = word.len > 0 ? memchr(word.data, '|', word.len) : NULL;
    if (command->parent == NULL)
        return fb_is_word(word, command->name);
    if (bar == NULL)
        return fb_is_word(word, command->parent);
    size_t first = (size_t)(bar - word.data);
    return fb_is_word(fb_bytes_of(word.data, first), command->parent) &&
           fb_is_word(fb_bytes_of(bar + 1, word.len - first - 1), command->name);
}

static bool is_wanted(const struct fb_call *call, const struct fb_command *command) {
    bool is = call->argc == 2;
    for (size_t i = 2; i < call->argc && !is; i++)
        is = is_named(command, call->argv[i]);
    return is;
}

/* Redis' steps: from 1024 ns, doubling, each named by the microseconds of the longest time that it counts. */
static void write_spread(struct fb_resp_out *out, const struct fb_hist *spread) {
    struct fb_resp_out steps = FB_RESP_OUT_INIT;
    uint64_t seen = 0, last = 0;
    size_t n = 0;
    unsigned bucket = 0;
    for (uint64_t edge = 1024; last < spread->n && bucket < FB_HIST_BUCKETS; edge *= 2) {
        unsigned until = fb_hist_bucket(edge);
        for (; bucket <= until; bucket++)
            seen += spread->buckets[bucket];
        if (seen == last)
            continue;
        fb_resp_write_integer(&steps, fb_hist_upper(until) / 1000);
        fb_resp_write_integer(&steps, (int64_t)seen);
        last = seen;
        n++;
    }
    fb_resp_write_map(out, n);
    out->failed |= steps.failed || fb_buf_append(&out->buf, steps.buf.data, steps.buf.len) != FB_OK;
    fb_buf_free(&steps.buf);
}

void fb_cmd_latency_histogram(struct fb_call *call) {
    struct fb_server *server = fb_call_server(call);
    struct fb_resp_out pairs = FB_RESP_OUT_INIT;
    struct fb_hist *spread = fb_mem_alloc(sizeof *spread); /* too large for a stack */
    size_t n = 0, nrows;
    const struct fb_command *rows = fb_commands(&nrows);
    if (spread == NULL) {
        fb_call_out_of_memory(call);
        return;
    }
    pairs.version = call->out->version;
    for (size_t i = 0; i < fb_command_count(); i++) {
        struct fb_cost_sum sum;
        char name[FB_COMMAND_NAME_MAX];
        if (!is_wanted(call, &rows[i]))
            continue;
        fb_measure_read(server, &rows[i], &sum, spread);
        if (spread->n == 0)
            continue;
        fb_resp_write_bulk(&pairs, FB_STR(fb_command_full_name(&rows[i], name)));
        fb_resp_write_map(&pairs, 2);
        fb_resp_write_bulk(&pairs, FB_STR("calls"));
        fb_resp_write_integer(&pairs, (int64_t)spread->n);
        fb_resp_write_bulk(&pairs, FB_STR("histogram_usec"));
        write_spread(&pairs, spread);
        n++;
    }
    fb_resp_write_map(call->out, n);
    call->out->failed |= pairs.failed || fb_buf_append(&call->out->buf, pairs.buf.data, pairs.buf.len) != FB_OK;
    fb_buf_free(&pairs.buf);
    fb_mem_free(spread);
}
