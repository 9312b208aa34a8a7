/* Taking the figures of a moment, and the values of the table's rows. */
#include "server/figures.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/tracking.h"
#include "server/users.h"

enum { LIVES_SAMPLED = 32 };

/* ---- the server ------------------------------------------------------------------------------------------------- */

static void take_policy(void *user, const char *name, const char *value) {
    (void)name;
    snprintf(user, sizeof((struct fb_figures *)0)->policy, "%s", value);
}

static uint64_t count_open_files(void) {
    DIR *folder = opendir("/proc/self/fd");
    uint64_t n = 0;
    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the one that looks */
}

static void take_process(struct fb_figures *f) {
    uv_rusage_t usage = {0};
    uv_utsname_t os = {0};
    struct rlimit files = {0};
    size_t room = sizeof f->executable, resident = 0;
    (void)uv_exepath(f->executable, &room);
    (void)uv_os_uname(&os);
    (void)uv_getrusage(&usage);
    (void)uv_resident_set_memory(&resident);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    snprintf(f->os, sizeof f->os, "%.120s %.120s %.120s", os.sysname, os.release, os.machine);
    f->pid = (uint64_t)uv_os_getpid();
    f->resident = resident;
    f->system_memory = uv_get_total_memory();
    f->open_files = count_open_files();
    f->open_files_max = files.rlim_cur == RLIM_INFINITY ? 0 : files.rlim_cur;
    f->cpu_user_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
    f->cpu_system_s = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
#ifdef __GLIBC__
    f->allocator = "glibc";
#else
    f->allocator = "libc";
#endif
}

static void take_rates(struct fb_server *server, struct fb_figures *f) {
    fb_lock_acquire(&server->lock);
#define TAKE_OFF(name) f->totals.name -= server->baseline.name;
    FB_TOTALS(TAKE_OFF)
#undef TAKE_OFF
    f->ops_per_second = server->ops_per_second;
    f->in_per_second = server->in_per_second;
    f->out_per_second = server->out_per_second;
    if (f->stats.memory_used > server->memory_peak)
        server->memory_peak = f->stats.memory_used;
    f->memory_peak = server->memory_peak;
    f->hit_ratio = fb_server_hit_ratio(server);
    fb_lock_release(&server->lock);
}

static void take_keyspaces(struct fb_server *server, struct fb_figures *f) {
    fb_keyspace_stats stats;
    f->nkeyspaces = fb_keyspace_count(server->cache);
    for (unsigned i = 0; i < f->nkeyspaces; i++) {
        if (fb_keyspace_stats_get(server->cache, i, &stats) != FB_OK)
            continue;
#define SUM(name, text) f->sum.name += stats.name;
        FB_KEYSPACE_COUNTERS(SUM)
#undef SUM
    }
}

void fb_figures_take(struct fb_server *server, struct fb_figures *f) {
    const struct fb_server_options *options = &server->options;
    struct fb_tracking_figures tracking;
    *f = (struct fb_figures){.server = server, .redis_version = FB_REDIS_VERSION};
    fb_server_totals(server, &f->totals);
    fb_stats_get(server->cache, &f->stats);
    take_process(f);
    take_rates(server, f);
    take_keyspaces(server, f);
    f->port = fb_server_port(server);
    f->config_file = options->config_file != NULL ? options->config_file : "";
    snprintf(f->policy, sizeof f->policy, "allkeys-lru");
    if (options->config_get != NULL)
        options->config_get(options->config_user, "maxmemory-policy", take_policy, f->policy);
    f->now_wall_us = fb_clock_wall_us();
    f->uptime_s = fb_span_ms(fb_since(fb_clock_now(), server->started)) / 1000;
    f->started_s = (double)server->started_wall_us / 1e6;
    f->clients = atomic_load(&server->clients);
    fb_tracking_figures(server, &tracking);
    f->tracking_clients = tracking.clients;
    f->tracking_keys = tracking.keys;
    f->tracking_items = tracking.items;
    f->tracking_prefixes = tracking.prefixes;
    fb_upstreams_sum(server, /* is_peers */ false, &f->store);
    fb_upstreams_sum(server, /* is_peers */ true, &f->peers);
    fb_sharing_stats_get(server->cache, &f->sharing);
    f->sharing_state = !f->sharing.is_shared ? "off" : !f->sharing.is_up ? "down" : f->sharing.is_proved ? "up"
                                                                                   : "up, no copies";
    fb_users_denied(server->users, f->denied);
    f->pubsub_clients = fb_pubsub_clients(server);
    f->pubsub_channels = fb_pubsub_topics(server, FB_TOPIC_CHANNEL);
    f->pubsub_patterns = fb_pubsub_topics(server, FB_TOPIC_PATTERN);
    f->pubsub_shardchannels = fb_pubsub_topics(server, FB_TOPIC_SHARD);
    f->clients_max = FB_LIVE(server, clients_max);
    f->is_reload_good = !atomic_load(&server->has_bad_reload);
    for (unsigned i = 0; i < server->nloops; i++)
        f->blocked += atomic_load_explicit(&server->loops[i].waiting, memory_order_relaxed);
}

int64_t fb_figures_average_life(struct fb_server *server) {
    fb_buf key = FB_BUF_INIT;
    int64_t sum = 0, n = 0;
    for (int i = 0; i < LIVES_SAMPLED; i++) {
        fb_facts facts;
        key.len = 0;
        if (fb_random_key(server->cache, &key) != FB_OK)
            break;
        fb_facts_get(server->cache, fb_bytes_of(key.data, key.len), &facts);
        if (facts.cached != FB_OK)
            continue; /* gone since */
        sum += facts.life_ms;
        n++;
    }
    fb_buf_free(&key);
    return n > 0 ? sum / n : 0;
}

/* ---- everything else that has figures --------------------------------------------------------------------------- */

static void each_keyspace(struct fb_server *server, fb_figures_visit *visit, void *user) {
    for (unsigned i = 0; i < fb_keyspace_count(server->cache); i++) {
        struct fb_keyspace_figures k = {.pattern = fb_keyspace_at(server->cache, i)->pattern};
        if (fb_keyspace_stats_get(server->cache, i, &k.stats) == FB_OK)
            visit(user, k.pattern, &k);
    }
}

static void each_source(struct fb_server *server, fb_figures_visit *visit, void *user) {
    struct fb_source_state *states = fb_mem_calloc(FB_SOURCES_MAX, sizeof *states);
    unsigned n = states != NULL ? fb_health_look(server, states) : 0;
    for (unsigned i = 0; i < n; i++) {
        struct fb_source_figures s = {.name = states[i].name, .is_up = states[i].is_up};
        fb_source_stats_get(states[i].source, &s.stats);
        visit(user, s.name, &s);
    }
    fb_mem_free(states);
}

static void each_behind(struct fb_server *server, fb_figures_visit *visit, void *user) {
    for (unsigned i = 0; i < fb_keyspace_count(server->cache); i++) {
        const fb_source *source = fb_keyspace_at(server->cache, i)->source;
        struct fb_behind_figures b;
        unsigned k = 0;
        while (k < i && fb_keyspace_at(server->cache, k)->source != source)
            k++;
        if (k == i && source != NULL && fb_behind_stats_get(source, &b.stats) == FB_OK)
            visit(user, fb_source_name(source), &b);
    }
}

static void each_command(struct fb_server *server, fb_figures_visit *visit, void *user) {
    size_t unused;
    const struct fb_command *rows = fb_commands(&unused);
    for (size_t i = 0; i < fb_command_count(); i++) {
        struct fb_command_figures c;
        char name[FB_COMMAND_NAME_MAX];
        fb_measure_read(server, &rows[i], &c.sum, NULL);
        if (c.sum.calls > 0 || c.sum.rejected > 0)
            visit(user, fb_command_full_name(&rows[i], name), &c);
    }
}

static void each_error(struct fb_server *server, fb_figures_visit *visit, void *user) {
    struct fb_error_figures errors[FB_ERROR_WORDS_MAX];
    size_t n = 0;
    fb_lock_acquire(&server->lock);
    for (; n < FB_ERROR_WORDS_MAX && server->errors[n].word != NULL; n++)
        errors[n] = (struct fb_error_figures){server->errors[n].word, server->errors[n].count};
    fb_lock_release(&server->lock);
    for (size_t i = 0; i < n; i++)
        visit(user, errors[i].word, &errors[i]);
}

void fb_figures_each(struct fb_server *server, enum fb_scope_of_metric scope, fb_figures_visit *visit, void *user) {
    struct fb_figures figures;
    switch (scope) {
    case FB_OF_SERVER:
        fb_figures_take(server, &figures);
        visit(user, "", &figures);
        return;
    case FB_OF_KEYSPACE: each_keyspace(server, visit, user); return;
    case FB_OF_SOURCE: each_source(server, visit, user); return;
    case FB_OF_BEHIND: each_behind(server, visit, user); return;
    case FB_OF_COMMAND: each_command(server, visit, user); return;
    case FB_OF_ERROR: each_error(server, visit, user); return;
    case FB_OF_COUNT_: return;
    }
}
