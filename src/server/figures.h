/* All figures of a moment, and the rows of tbl/metrics.h with their values: what INFO and /metrics are printed from. */
#ifndef FB_SERVER_FIGURES_H
#define FB_SERVER_FIGURES_H

#include "server/measure.h"
#include "server/health.h"
#include "server/upstream.h"

/* ---- what the rows' values are taken from ----------------------------------------------------------------------- */

/* Of the server, since RESETSTAT where Redis resets. */
struct fb_figures {
    struct fb_server *server;
    struct fb_totals totals;
    fb_stats stats;
    fb_keyspace_stats sum; /* of all keyspaces, since the start */
    const char *redis_version, *config_file, *allocator;
    char os[400], executable[512], policy[32];
    uint64_t pid, clients, clients_max, blocked, tracking_clients, pubsub_clients;
    uint64_t pubsub_channels, pubsub_patterns, pubsub_shardchannels;
    uint64_t tracking_keys, tracking_items, tracking_prefixes;
    struct fb_upstream_sums store, peers; /* all 0 where there is none */
    fb_sharing_stats sharing;
    const char *sharing_state;
    uint64_t denied[4];    /* by FB_DENIED_… */
    uint64_t ops_per_second, in_per_second, out_per_second;
    uint64_t resident, memory_peak, system_memory, open_files, open_files_max;
    unsigned port, nkeyspaces;
    int64_t now_wall_us, uptime_s;
    double hit_ratio, cpu_system_s, cpu_user_s, started_s;
    bool is_reload_good;
};

struct fb_keyspace_figures { const char *pattern; fb_keyspace_stats stats; };
struct fb_source_figures { const char *name; fb_source_stats stats; bool is_up; };
struct fb_behind_figures { fb_behind_stats stats; };
struct fb_command_figures { struct fb_cost_sum sum; };
struct fb_error_figures { const char *word; uint64_t count; };

void fb_figures_take(struct fb_server *server, struct fb_figures *ret_figures);
/* Milliseconds that cached values have left, on average over a few chosen at random; 0 when nothing is cached. */
int64_t fb_figures_average_life(struct fb_server *server);

/* ---- rows and values -------------------------------------------------------------------------------------------- */

enum fb_form { FB_FORM_TEXT, FB_FORM_COUNT, FB_FORM_SIGNED, FB_FORM_RATIO, FB_FORM_MICROS, FB_FORM_HUMAN };
enum fb_metric_type { FB_METRIC_COUNTER, FB_METRIC_GAUGE };

/* Sections of INFO in their order. X(name, title, is it shown when none is asked for?) */
#define FB_INFO_SECTIONS(X)                                                                                            \
    X(SERVER, "Server", true)                                                                                          \
    X(CLIENTS, "Clients", true)                                                                                        \
    X(MEMORY, "Memory", true)                                                                                          \
    X(PERSISTENCE, "Persistence", true)                                                                                \
    X(STATS, "Stats", true)                                                                                            \
    X(REPLICATION, "Replication", true)                                                                                \
    X(CPU, "CPU", true)                                                                                                \
    X(MODULES, "Modules", true)                                                                                        \
    X(COMMANDSTATS, "Commandstats", false)                                                                             \
    X(ERRORSTATS, "Errorstats", true)                                                                                  \
    X(LATENCYSTATS, "Latencystats", false)                                                                             \
    X(CLUSTER, "Cluster", true)                                                                                        \
    X(KEYSPACE, "Keyspace", true)                                                                                      \
    X(FOREBAY, "Forebay", true)                                                                                        \
    X(FOREBAY_KEYSPACES, "Forebay_keyspaces", true)                                                                    \
    X(FOREBAY_SOURCES, "Forebay_sources", true)                                                                        \
    X(FOREBAY_WRITE_BEHIND, "Forebay_write_behind", true)

enum fb_info_section {
#define FB_SECTION_(name, title, is_default) FB_SECTION_##name,
    FB_INFO_SECTIONS(FB_SECTION_)
#undef FB_SECTION_
    FB_SECTION_COUNT_
};

/* Kinds of things that have figures. */
enum fb_scope_of_metric { FB_OF_SERVER, FB_OF_KEYSPACE, FB_OF_SOURCE, FB_OF_BEHIND, FB_OF_COMMAND, FB_OF_ERROR, FB_OF_COUNT_ };

struct fb_metric {
    enum fb_info_section section;
    const char *field;
    enum fb_form form;
    const char *metric;
    enum fb_metric_type type;
    const char *labels, *help;
};

struct fb_value {
    union { const char *text; uint64_t count; int64_t number; double ratio; };
};

/* What a metric is as a whole, given one of its rows. */
const char *fb_metric_help(const struct fb_metric *row);
const struct fb_metric *fb_metrics_of(enum fb_scope_of_metric scope, size_t *ret_n);
/* The values of one thing, in the order of the rows of its scope. `figures` is the scope's struct. */
enum { FB_METRICS_MAX = 192 }; /* rows of one scope */
void fb_metric_values(enum fb_scope_of_metric scope, const void *figures, struct fb_value ret_values[FB_METRICS_MAX]);
/* A value as text, in `form`. */
void fb_value_format(enum fb_form form, struct fb_value value, char *out, size_t size);

/* Call `visit` for every thing of a scope that has figures, with its name and its figures. */
typedef void fb_figures_visit(void *user, const char *name, const void *figures);
void fb_figures_each(struct fb_server *server, enum fb_scope_of_metric scope, fb_figures_visit *visit, void *user);

#endif
