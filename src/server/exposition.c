/* /metrics: the table's rows as Prometheus' text format 0.0.4, or as OpenMetrics 1.0.0. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/figures.h"

enum { LABELS_MAX = 1024, NAME_MAX_ = 600 };

/* Seconds; about three to a power of ten, from a hit to a timeout. */
static const double steps[] = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                               0.01,    0.025,    0.05,    0.1,    0.25,    0.5,    1,     2.5,    5};

struct page {
    struct fb_server *server;
    fb_buf *out;
    bool is_openmetrics, has_failed;
};

static void add(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct page *page, const char *format, ...) {
    char line[LABELS_MAX + NAME_MAX_];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    page->has_failed |= n < 0 || (size_t)n >= sizeof line || fb_buf_append(page->out, line, (size_t)n) != FB_OK;
}

/* Backslash, quote and line end are escaped; what does not fit is cut. */
static void escape(const char *text, char *out, size_t size) {
    size_t len = 0;
    for (; *text != '\0' && len + 3 < size; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            out[len++] = '\\';
        out[len++] = *text == '\n' ? 'n' : *text;
    }
    out[len] = '\0';
}

/* OpenMetrics names the family of a counter without _total. */
static void add_head(struct page *page, const char *name, const char *type, const char *help) {
    static const char total[] = "_total";
    size_t len = strlen(name), tail = sizeof total - 1;
    if (page->is_openmetrics && len > tail && strcmp(name + len - tail, total) == 0)
        len -= tail;
    add(page, "# HELP %.*s %s\n", (int)len, name, help);
    add(page, "# TYPE %.*s %s\n", (int)len, name, type);
}

/* ---- counters and gauges ---------------------------------------------------------------------------------------- */

static const char *const label_names[FB_OF_COUNT_] = {
    [FB_OF_SERVER] = NULL, [FB_OF_KEYSPACE] = "keyspace", [FB_OF_SOURCE] = "source",
    [FB_OF_BEHIND] = "source", [FB_OF_COMMAND] = "command", [FB_OF_ERROR] = "error",
};

/* All things of a scope with their values, since a metric's samples stand together. */
struct thing { char name[NAME_MAX_]; struct fb_value values[FB_METRICS_MAX]; };
struct things {
    enum fb_scope_of_metric scope;
    fb_buf all; /* struct thing */
    bool has_failed;
};

static void take_thing(void *user, const char *name, const void *figures) {
    struct things *things = user;
    if (fb_buf_reserve(&things->all, sizeof(struct thing)) != FB_OK) {
        things->has_failed = true;
        return;
    }
    struct thing *thing = (struct thing *)(void *)(things->all.data + things->all.len);
    escape(name, thing->name, sizeof thing->name);
    fb_metric_values(things->scope, figures, thing->values);
    things->all.len += sizeof *thing;
}

static void add_sample(struct page *page, enum fb_scope_of_metric scope, const struct fb_metric *row,
                       const struct thing *thing, struct fb_value value) {
    char labels[LABELS_MAX] = "", text[64];
    const char *own = label_names[scope];
    if (own != NULL)
        snprintf(labels, sizeof labels, "{%s=\"%s\"%s%s}", own, thing->name, row->labels[0] != '\0' ? "," : "",
                 row->labels);
    else if (row->labels[0] != '\0')
        snprintf(labels, sizeof labels, "{%s}", row->labels);
    if (row->form == FB_FORM_RATIO || row->form == FB_FORM_MICROS)
        snprintf(text, sizeof text, "%.16g", value.ratio);
    else
        fb_value_format(row->form, value, text, sizeof text);
    add(page, "%s%s %s\n", row->metric, labels, text);
}

static void add_scope(struct page *page, enum fb_scope_of_metric scope) {
    struct things things = {.scope = scope, .all = FB_BUF_INIT};
    size_t n;
    const struct fb_metric *rows = fb_metrics_of(scope, &n);
    fb_figures_each(page->server, scope, take_thing, &things);
    page->has_failed |= things.has_failed;
    const struct thing *all = (const struct thing *)(const void *)things.all.data;
    size_t count = things.all.len / sizeof *all;
    const char *last = "";
    for (size_t i = 0; i < n && count > 0; i++) {
        if (rows[i].metric == NULL)
            continue;
        if (strcmp(rows[i].metric, last) != 0)
            add_head(page, rows[i].metric, rows[i].type == FB_METRIC_COUNTER ? "counter" : "gauge",
                     fb_metric_help(&rows[i]));
        last = rows[i].metric;
        for (size_t k = 0; k < count; k++)
            add_sample(page, scope, &rows[i], &all[k], all[k].values[i]);
    }
    fb_buf_free(&things.all);
}

/* ---- histograms of commands ------------------------------------------------------------------------------------- */

static void add_spread(struct page *page, const char *command, const struct fb_hist *spread) {
    uint64_t seen = 0;
    unsigned bucket = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (; bucket < FB_HIST_BUCKETS && (double)fb_hist_upper(bucket) <= steps[i] * 1e9; bucket++)
            seen += spread->buckets[bucket];
        add(page, "forebay_command_duration_seconds_bucket{command=\"%s\",le=\"%g\"} %" PRIu64 "\n", command, steps[i],
            seen);
    }
    add(page, "forebay_command_duration_seconds_bucket{command=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", command, spread->n);
    add(page, "forebay_command_duration_seconds_sum{command=\"%s\"} %.9f\n", command, (double)spread->sum_ns / 1e9);
    add(page, "forebay_command_duration_seconds_count{command=\"%s\"} %" PRIu64 "\n", command, spread->n);
}

static void add_spreads(struct page *page) {
    size_t unused;
    const struct fb_command *rows = fb_commands(&unused);
    struct fb_hist *spread = fb_mem_alloc(sizeof *spread); /* too large for a stack */
    bool is_first = true;
    page->has_failed |= spread == NULL;
    for (size_t i = 0; spread != NULL && i < fb_command_count(); i++) {
        struct fb_cost_sum sum;
        char name[FB_COMMAND_NAME_MAX];
        fb_measure_read(page->server, &rows[i], &sum, spread);
        if (spread->n == 0)
            continue;
        if (is_first)
            add_head(page, "forebay_command_duration_seconds", "histogram",
                     "time until the reply was ready; waiting for a source is part of it");
        is_first = false;
        add_spread(page, fb_command_full_name(&rows[i], name), spread);
    }
    fb_mem_free(spread);
}

/* ---- histograms of sources -------------------------------------------------------------------------------------- */

static void add_times(struct page *page, const char *metric, const char *op, const fb_source *source,
                      fb_time_kind kind) {
    char name[NAME_MAX_], labels[LABELS_MAX];
    fb_times times;
    uint64_t seen = 0;
    escape(fb_source_name(source), name, sizeof name);
    snprintf(labels, sizeof labels, "source=\"%s\"%s", name, op);
    fb_source_times_get(source, kind, &times);
    for (unsigned i = 0; i < FB_TIME_STEPS; i++) {
        seen += times.counts[i];
        add(page, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", metric, labels, (double)fb_time_steps_us[i] / 1e6, seen);
    }
    seen += times.counts[FB_TIME_STEPS];
    add(page, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", metric, labels, seen);
    add(page, "%s_sum{%s} %.6f\n", metric, labels, (double)times.sum_us / 1e6);
    add(page, "%s_count{%s} %" PRIu64 "\n", metric, labels, seen);
}

static void add_source_times(struct page *page) {
    static const char query[] = "forebay_source_query_duration_seconds", lane[] = "forebay_source_lane_wait_seconds";
    struct fb_source_state *states = fb_mem_calloc(FB_SOURCES_MAX, sizeof *states);
    unsigned n = states != NULL ? fb_health_look(page->server, states) : 0;
    page->has_failed |= states == NULL;
    if (n > 0)
        add_head(page, query, "histogram", "round trips to the source; one may carry many keys");
    for (unsigned i = 0; i < n; i++) {
        add_times(page, query, ",op=\"load\"", states[i].source, FB_TIME_LOAD);
        add_times(page, query, ",op=\"store\"", states[i].source, FB_TIME_STORE);
    }
    if (n > 0)
        add_head(page, lane, "histogram", "keys waiting for a round trip to begin");
    for (unsigned i = 0; i < n; i++)
        add_times(page, lane, "", states[i].source, FB_TIME_LANE);
    fb_mem_free(states);
}

fb_status fb_server_print_metrics(struct fb_server *server, bool is_openmetrics, fb_buf *out) {
    struct page page = {.server = server, .out = out, .is_openmetrics = is_openmetrics};
    for (int scope = 0; scope < FB_OF_COUNT_; scope++)
        add_scope(&page, (enum fb_scope_of_metric)scope);
    add_spreads(&page);
    add_source_times(&page);
    if (is_openmetrics)
        add(&page, "# EOF\n");
    return page.has_failed ? FB_NOMEM : FB_OK;
}
