/* Keeping what took long, with where its time went. */
#include "server/slowlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { CUT_MAX = 48, HIDDEN_MAX = 32 }; /* "... (N more bytes)" and "(N bytes)" with any N */

/* ---- what is shown ---------------------------------------------------------------------------------------------- */

static bool is_key(const struct fb_command *command, size_t argc, size_t i) {
    if (command->first <= 0 || i < (size_t)command->first)
        return false;
    size_t last = command->last >= 0 ? (size_t)command->last : argc - (size_t)-command->last;
    size_t step = command->step > 0 ? (size_t)command->step : 1;
    return i <= last && (i - (size_t)command->first) % step == 0;
}

bool fb_argument_is_hidden(const struct fb_call *call, size_t i) {
    const struct fb_command *command = call->command;
    size_t words = command->parent != NULL ? 2 : 1;
    if (i < words || is_key(command, call->argc, i))
        return false;
    if (command->parent != NULL && strcmp(command->parent, "config") == 0)
        return i > words; /* CONFIG SET requirepass … */
    bool is_message = command->group != NULL && strcmp(command->group, "pubsub") == 0 && i > 1;
    bool is_value = (command->flags & FB_CMD_WRITE) != 0 || is_message;
    return is_value && !FB_LIVE(fb_call_server(call), monitor_values);
}

static size_t show(const struct fb_call *call, size_t i, char *out) {
    fb_bytes arg = call->argv[i];
    if (fb_argument_is_hidden(call, i))
        return (size_t)snprintf(out, FB_SLOW_ARG_MAX, "(%zu bytes)", arg.len);
    size_t len = arg.len < FB_SLOW_ARG_MAX ? arg.len : FB_SLOW_ARG_MAX;
    if (len > 0)
        memcpy(out, arg.data, len);
    if (len < arg.len)
        len += (size_t)snprintf(out + len, CUT_MAX, "... (%zu more bytes)", arg.len - len);
    return len;
}

struct fb_preview *fb_preview_new(const struct fb_call *call) {
    if (call->command->flags & FB_CMD_SECRET)
        return NULL;
    bool is_cut = call->argc > FB_SLOW_ARGS_MAX;
    size_t n = is_cut ? FB_SLOW_ARGS_MAX : call->argc, size = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = call->argv[i].len;
        size += (len < FB_SLOW_ARG_MAX ? len : FB_SLOW_ARG_MAX) + CUT_MAX;
    }
    struct fb_preview *preview = fb_mem_alloc(sizeof *preview + size + CUT_MAX);
    if (preview == NULL)
        return NULL;
    char *p = preview->text;
    preview->n = n;
    for (size_t i = 0; i < n; i++) {
        size_t len = is_cut && i == n - 1
                         ? (size_t)snprintf(p, CUT_MAX, "... (%zu more arguments)", call->argc - n + 1)
                         : show(call, i, p);
        preview->args[i] = fb_bytes_of(p, len);
        p += len;
    }
    return preview;
}

/* ---- where the time went ---------------------------------------------------------------------------------------- */

static size_t add_time(char *out, size_t room, const char *name, int64_t us) {
    int n = us >= 1000 ? snprintf(out, room, " %s=%" PRId64 "ms", name, us / 1000)
                       : snprintf(out, room, " %s=%" PRId64 "us", name, us);
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static const char *source_of(const struct fb_call *call, const struct fb_preview *shown) {
    fb_cache *cache = fb_call_cache(call);
    size_t first = (size_t)call->command->first;
    if (call->command->first <= 0 || shown->n <= first)
        return NULL;
    int keyspace = fb_keyspace_of(cache, shown->args[first]);
    const fb_keyspace_options *options = keyspace >= 0 ? fb_keyspace_at(cache, (unsigned)keyspace) : NULL;
    return options != NULL && options->source != NULL ? fb_source_name(options->source) : NULL;
}

/* One comment that says in what the time went; what took none is left out. */
static void explain(const struct fb_call *call, const struct fb_preview *shown, fb_span took, char *out) {
    const struct fb_split *split = &call->split;
    int64_t own_us = took.ns / 1000 - split->lane_us - split->source_us;
    const char *source = source_of(call, shown);
    size_t len = (size_t)snprintf(out, FB_SLOW_NOTE_MAX, "/*");
    len += add_time(out + len, FB_SLOW_NOTE_MAX - len, "cache", own_us > 0 ? own_us : 0);
    if (split->lane_us > 0)
        len += add_time(out + len, FB_SLOW_NOTE_MAX - len, "lane", split->lane_us);
    if (split->source_us > 0 && source != NULL && strlen(source) < FB_SLOW_NOTE_MAX / 2)
        len += (size_t)snprintf(out + len, FB_SLOW_NOTE_MAX - len, " source=%s", source);
    if (split->source_us > 0)
        len += add_time(out + len, FB_SLOW_NOTE_MAX - len, (call->command->flags & FB_CMD_WRITE) ? "store" : "load",
                        split->source_us);
    if (split->shared > 1)
        len += (size_t)snprintf(out + len, FB_SLOW_NOTE_MAX - len, " coalesced=%u", split->shared);
    if (split->is_stale)
        len += (size_t)snprintf(out + len, FB_SLOW_NOTE_MAX - len, " stale");
    snprintf(out + len, FB_SLOW_NOTE_MAX - len, " */");
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

static void free_entry(struct fb_slow_entry *entry) {
    fb_mem_free(entry->shown);
    fb_mem_free(entry);
}

/* Oldest first, until `max` are left. Under the lock. */
static void shorten(struct fb_slowlog *log, size_t max) {
    while (log->n > max) {
        struct fb_link *oldest = log->entries.prev;
        fb_list_remove(oldest);
        log->n--;
        free_entry(fb_member_of(oldest, struct fb_slow_entry, link));
    }
}

static void log_request(struct fb_call *call, fb_span took, int64_t wall_us) {
    struct fb_server *server = fb_call_server(call);
    struct fb_slowlog *log = server->slowlog;
    struct fb_preview *shown = call->preview != NULL ? call->preview : fb_preview_new(call);
    call->preview = NULL;
    struct fb_slow_entry *entry = shown != NULL ? fb_mem_alloc(sizeof *entry) : NULL;
    if (entry == NULL) {
        fb_mem_free(shown);
        return;
    }
    entry->shown = shown;
    entry->took = took;
    entry->wall_s = wall_us / 1000000;
    explain(call, shown, took, entry->note);
    memcpy(entry->address, call->session->address, sizeof entry->address);
    memcpy(entry->client_name, call->session->name, sizeof entry->client_name);
    fb_lock_acquire(&log->lock);
    entry->id = log->next_id++;
    fb_list_push_front(&log->entries, &entry->link);
    log->n++;
    shorten(log, FB_LIVE(server, slowlog_max_len));
    fb_lock_release(&log->lock);
}

static void monitor(const struct fb_call *call, fb_span took, int64_t wall_us) {
    struct fb_slowlog *log = fb_call_server(call)->slowlog;
    bool is_write = (call->command->flags & FB_CMD_WRITE) != 0, has_waited = call->wait != NULL;
    int64_t threshold = FB_LIVE(fb_call_server(call), latency_monitor_ms), wall_s = wall_us / 1000000;
    const struct fb_split *split = &call->split;
    const struct { enum fb_latency_event event; int64_t ms; } found[] = {
        {(call->command->flags & FB_CMD_FAST) ? FB_LATENCY_FAST : FB_LATENCY_COMMAND,
         has_waited ? 0 : fb_span_ms(took)},
        {FB_LATENCY_LANE, split->lane_us / 1000},
        {is_write ? FB_LATENCY_WRITE : FB_LATENCY_READ, split->source_us / 1000},
    };
    fb_lock_acquire(&log->lock);
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++)
        if (found[i].ms >= threshold)
            fb_latency_add(&log->latency.rings[found[i].event], wall_s, (uint64_t)found[i].ms);
    fb_lock_release(&log->lock);
}

void fb_slow_note(struct fb_call *call, fb_span took) {
    struct fb_server *server = fb_call_server(call);
    int64_t slow_us = FB_LIVE(server, slowlog_slower_than_us), wall_us = fb_clock_wall_us();
    if (slow_us >= 0 && took.ns / 1000 >= slow_us)
        log_request(call, took, wall_us);
    if (FB_LIVE(server, latency_monitor_ms) > 0)
        monitor(call, took, wall_us);
}

fb_status fb_slowlog_init(struct fb_server *server) {
    struct fb_slowlog *log = server->slowlog = fb_mem_calloc(1, sizeof *log);
    if (log == NULL)
        return FB_NOMEM;
    fb_lock_init(&log->lock, FB_LOCK_LOOP);
    fb_list_init(&log->entries);
    return FB_OK;
}

void fb_slowlog_clear(struct fb_server *server) {
    struct fb_slowlog *log = server->slowlog;
    fb_lock_acquire(&log->lock);
    shorten(log, 0);
    fb_lock_release(&log->lock);
}

void fb_slowlog_free(struct fb_server *server) {
    if (server->slowlog == NULL)
        return;
    shorten(server->slowlog, 0);
    fb_lock_finish(&server->slowlog->lock);
    fb_mem_free(server->slowlog);
}
