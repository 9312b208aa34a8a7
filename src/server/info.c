/* INFO: figures under the names that monitoring tools know, and our own below them.
 *
 * keyspace_hits are reads answered without asking a source (negative entries included), keyspace_misses those that
 * needed one. Figures marked "since RESETSTAT" are differences to the baseline taken then. */
#include "server/commands.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { LINE_MAX_ = 2048, SOURCES_MAX = 64 };

struct info {
    struct fb_server *server;
    fb_buf *out;
    struct fb_totals totals; /* since RESETSTAT */
    fb_stats stats;
};

static void add(const struct info *info, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(const struct info *info, const char *format, ...) {
    fb_buf *out = info->out;
    if (fb_buf_reserve(out, LINE_MAX_) != FB_OK)
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out->data + out->len, LINE_MAX_ - 2, format, args);
    va_end(args);
    out->len += n < LINE_MAX_ - 2 ? (size_t)n : LINE_MAX_ - 3;
    out->data[out->len++] = '\r';
    out->data[out->len++] = '\n';
}

static void add_human(const struct info *info, const char *name, uint64_t bytes) {
    static const char units[] = "BKMGT";
    double n = (double)bytes;
    size_t unit = 0;
    for (; n >= 1024 && unit < sizeof units - 2; unit++)
        n /= 1024;
    add(info, unit == 0 ? "%s:%.0f%c" : "%s:%.2f%c", name, n, units[unit]);
}

/* ---- the sections ----------------------------------------------------------------------------------------------- */

static void add_server(const struct info *info) {
    const struct fb_server *server = info->server;
    int64_t uptime = fb_span_ms(fb_since(fb_clock_now(), server->started)) / 1000;
    char executable[512] = "";
    size_t room = sizeof executable;
    uv_utsname_t os = {0};
    (void)uv_exepath(executable, &room);
    (void)uv_os_uname(&os);
    add(info, "redis_version:%s", FB_REDIS_VERSION);
    add(info, "redis_mode:standalone");
    add(info, "server_name:forebay");
    add(info, "forebay_version:%s", FOREBAY_VERSION);
    add(info, "os:%s %s %s", os.sysname, os.release, os.machine);
    add(info, "arch_bits:%zu", 8 * sizeof(void *));
    add(info, "multiplexing_api:libuv");
    add(info, "process_id:%ld", (long)uv_os_getpid());
    add(info, "run_id:%s", server->run_id);
    add(info, "tcp_port:%u", fb_server_port(server));
    add(info, "server_time_usec:%" PRId64, fb_clock_wall_us());
    add(info, "uptime_in_seconds:%" PRId64, uptime);
    add(info, "uptime_in_days:%" PRId64, uptime / 86400);
    add(info, "executable:%s", executable);
    add(info, "config_file:%s", server->options.config_file != NULL ? server->options.config_file : "");
    add(info, "io_threads_active:%d", server->nloops > 1);
}

static void add_clients(const struct info *info) {
    add(info, "connected_clients:%u", atomic_load(&info->server->clients));
    add(info, "maxclients:%u", FB_LIVE(info->server, clients_max));
    add(info, "blocked_clients:0");
    add(info, "tracking_clients:0");
    add(info, "pubsub_clients:0");
}

static void take_policy(void *user, const char *name, const char *value) {
    (void)name;
    snprintf(user, 32, "%s", value);
}

static void add_memory(const struct info *info) {
    const struct fb_server_options *options = &info->server->options;
    uint64_t used = info->stats.memory_used;
    size_t resident = 0;
    char policy[32] = "allkeys-lru";
    if (options->config_get != NULL)
        options->config_get(options->config_user, "maxmemory-policy", take_policy, policy);
    uv_rusage_t usage = {0};
    (void)uv_getrusage(&usage);
    (void)uv_resident_set_memory(&resident);
    add(info, "used_memory:%" PRIu64, used);
    add_human(info, "used_memory_human", used);
    add(info, "used_memory_rss:%zu", resident);
    add_human(info, "used_memory_rss_human", resident);
    add(info, "used_memory_peak:%" PRIu64, usage.ru_maxrss * 1024);
    add(info, "used_memory_dataset:%" PRIu64, used);
    add(info, "used_memory_overhead:%" PRIu64, resident > used ? resident - used : 0);
    add(info, "total_system_memory:%" PRIu64, uv_get_total_memory());
    add(info, "maxmemory:%" PRIu64, info->stats.memory_max);
    add_human(info, "maxmemory_human", info->stats.memory_max);
    add(info, "maxmemory_policy:%s", policy);
    add(info, "mem_fragmentation_ratio:%.2f", used > 0 ? (double)resident / (double)used : 0.0);
}

static void add_persistence(const struct info *info) {
    add(info, "loading:0");
    add(info, "rdb_changes_since_last_save:0");
    add(info, "rdb_bgsave_in_progress:0");
    add(info, "rdb_last_save_time:%" PRId64, info->server->started_wall_us / 1000000);
    add(info, "rdb_last_bgsave_status:ok");
    add(info, "aof_enabled:0");
    add(info, "aof_rewrite_in_progress:0");
}

static void add_stats(const struct info *info) {
    struct fb_server *server = info->server;
    const struct fb_totals *totals = &info->totals;
    fb_lock_acquire(&server->lock);
    uint64_t ops = server->ops_per_second, in = server->in_per_second, out = server->out_per_second;
    fb_lock_release(&server->lock);
    add(info, "total_connections_received:%" PRIu64, totals->connections);
    add(info, "total_commands_processed:%" PRIu64, totals->commands);
    add(info, "instantaneous_ops_per_sec:%" PRIu64, ops);
    add(info, "total_net_input_bytes:%" PRIu64, totals->bytes_in);
    add(info, "total_net_output_bytes:%" PRIu64, totals->bytes_out);
    add(info, "instantaneous_input_kbps:%.2f", (double)in / 1024);
    add(info, "instantaneous_output_kbps:%.2f", (double)out / 1024);
    add(info, "rejected_connections:%" PRIu64, totals->rejected);
    add(info, "expired_keys:%" PRIu64, totals->expired);
    add(info, "evicted_keys:%" PRIu64, totals->evicted);
    add(info, "keyspace_hits:%" PRIu64, totals->hits);
    add(info, "keyspace_misses:%" PRIu64, totals->misses);
    add(info, "pubsub_channels:0");
    add(info, "pubsub_patterns:0");
    add(info, "total_error_replies:%" PRIu64, totals->errors);
    add(info, "tracking_total_keys:0");
}

static void add_replication(const struct info *info) {
    add(info, "role:master");
    add(info, "connected_slaves:0");
    add(info, "master_repl_offset:0");
}

static void add_cpu(const struct info *info) {
    uv_rusage_t usage;
    if (uv_getrusage(&usage) != 0)
        return;
    add(info, "used_cpu_sys:%ld.%06ld", (long)usage.ru_stime.tv_sec, (long)usage.ru_stime.tv_usec);
    add(info, "used_cpu_user:%ld.%06ld", (long)usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec);
}

static void add_errors(const struct info *info) {
    struct fb_server *server = info->server;
    fb_lock_acquire(&server->lock);
    for (size_t i = 0; i < FB_ERROR_WORDS_MAX && server->errors[i].word != NULL; i++)
        add(info, "errorstat_%s:count=%" PRIu64, server->errors[i].word, server->errors[i].count);
    fb_lock_release(&server->lock);
}

static void add_nothing(const struct info *info) { (void)info; }
static void add_cluster(const struct info *info) { add(info, "cluster_enabled:0"); }

static void add_keyspace(const struct info *info) {
    if (info->stats.keys > 0) /* everything cached has a life */
        add(info, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0", info->stats.keys, info->stats.keys);
}

static void add_forebay(const struct info *info) {
    fb_keyspace_stats sum = {0}, stats;
    unsigned n = fb_keyspace_count(info->server->cache);
    for (unsigned i = 0; i < n; i++) {
        if (fb_keyspace_stats_get(info->server->cache, i, &stats) != FB_OK)
            continue;
#define SUM(name, text) sum.name += stats.name;
        FB_KEYSPACE_COUNTERS(SUM)
#undef SUM
    }
    add(info, "keyspaces:%u", n);
    add(info, "negative_keys:%" PRIu64, info->stats.negative_keys);
#define LINE(name, text) add(info, #name ":%" PRIu64, sum.name);
    FB_KEYSPACE_COUNTERS(LINE)
#undef LINE
}

static void add_keyspaces(const struct info *info) {
    fb_cache *cache = info->server->cache;
    fb_keyspace_stats stats;
    char text[LINE_MAX_ / 2];
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++) {
        if (fb_keyspace_stats_get(cache, i, &stats) != FB_OK)
            continue;
        size_t len = 0;
        text[0] = '\0';
#define FIELD(name, what)                                                                                              \
        len += (size_t)snprintf(text + len, sizeof text - len, "," #name "=%" PRIu64, stats.name);                     \
        len = len < sizeof text ? len : sizeof text - 1;
        FB_KEYSPACE_COUNTERS(FIELD)
#undef FIELD
        add(info, "ks%u:pattern=%s,keys=%" PRIu64 ",negative_keys=%" PRIu64 ",bytes=%" PRIu64 "%s", i,
            fb_keyspace_at(cache, i)->pattern, stats.keys, stats.negative_keys, stats.bytes, text);
    }
}

static void add_sources(const struct info *info) {
    fb_cache *cache = info->server->cache;
    const fb_source *seen[SOURCES_MAX];
    size_t nseen = 0;
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++) {
        const fb_source *source = fb_keyspace_at(cache, i)->source;
        size_t k = 0;
        while (k < nseen && seen[k] != source)
            k++;
        if (source == NULL || k < nseen || nseen == SOURCES_MAX)
            continue;
        seen[nseen++] = source;
        fb_source_stats stats = {0};
        fb_source_stats_get(source, &stats);
        add(info, "source_%s:read_trips=%" PRIu64 ",rows_wanted=%" PRIu64 ",write_trips=%" PRIu64 ",writes=%" PRIu64
            ",errors=%" PRIu64 ",waiting=%" PRIu64, fb_source_name(source), stats.read_trips, stats.rows_wanted,
            stats.write_trips, stats.writes, stats.errors, stats.waiting);
    }
}

static const struct section {
    const char *name, *title;
    void (*add)(const struct info *info);
} sections[] = {
    {"server", "Server", add_server},
    {"clients", "Clients", add_clients},
    {"memory", "Memory", add_memory},
    {"persistence", "Persistence", add_persistence},
    {"stats", "Stats", add_stats},
    {"replication", "Replication", add_replication},
    {"cpu", "CPU", add_cpu},
    {"modules", "Modules", add_nothing},
    {"errorstats", "Errorstats", add_errors},
    {"cluster", "Cluster", add_cluster},
    {"keyspace", "Keyspace", add_keyspace},
    {"forebay", "Forebay", add_forebay},
    {"forebay_keyspaces", "Forebay_keyspaces", add_keyspaces},
    {"forebay_sources", "Forebay_sources", add_sources},
};

static bool is_wanted(const struct section *section, const fb_bytes *names, size_t n) {
    bool is = n == 0;
    for (size_t i = 0; i < n; i++)
        is |= fb_is_word(names[i], section->name) || fb_is_word(names[i], "all") || fb_is_word(names[i], "default") ||
              fb_is_word(names[i], "everything");
    return is;
}

void fb_info_append(struct fb_server *server, const fb_bytes *names, size_t n, fb_buf *out) {
    struct info info = {.server = server, .out = out};
    fb_server_totals(server, &info.totals);
    fb_lock_acquire(&server->lock);
#define TAKE_OFF(name) info.totals.name -= server->baseline.name;
    FB_TOTALS(TAKE_OFF)
#undef TAKE_OFF
    fb_lock_release(&server->lock);
    fb_stats_get(server->cache, &info.stats);
    bool is_first = true;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!is_wanted(&sections[i], names, n))
            continue;
        add(&info, "%s# %s", is_first ? "" : "\r\n", sections[i].title);
        is_first = false;
        sections[i].add(&info);
    }
}
