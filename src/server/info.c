/* INFO: figures under the names that monitoring tools know, and our own below them. What each means is said where it is
 * declared (tbl/metrics.h). */
#include "server/figures.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { LINE_MAX_ = 4096, VALUE_MAX = 600 };

struct info {
    struct fb_server *server;
    fb_buf *out;
    enum fb_scope_of_metric scope; /* of the line being printed */
    enum fb_info_section section;
    const char *prefix;
    unsigned n;                    /* things printed in this section */
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

/* ---- the server's rows: a line each ----------------------------------------------------------------------------- */

static void add_fields(struct info *info, const struct fb_value *values) {
    size_t n;
    const struct fb_metric *rows = fb_metrics_of(FB_OF_SERVER, &n);
    char value[VALUE_MAX];
    for (size_t i = 0; i < n; i++) {
        if (rows[i].section != info->section || rows[i].field == NULL)
            continue;
        fb_value_format(rows[i].form, values[i], value, sizeof value);
        add(info, "%s:%s", rows[i].field, value);
    }
}

/* ---- rows of things: a line for each thing ---------------------------------------------------------------------- */

/* "ks0:" by number, since a pattern has colons of its own; the others by name: "source_shop:", "cmdstat_get:". */
static void add_thing(void *user, const char *name, const void *figures) {
    struct info *info = user;
    size_t n, len = 0;
    const struct fb_metric *rows = fb_metrics_of(info->scope, &n);
    struct fb_value values[FB_METRICS_MAX];
    char line[LINE_MAX_ / 2], value[VALUE_MAX], number[16];
    fb_metric_values(info->scope, figures, values);
    snprintf(number, sizeof number, "%u", info->n++);
    for (size_t i = 0; i < n && len < sizeof line; i++) {
        if (rows[i].field == NULL)
            continue;
        fb_value_format(rows[i].form, values[i], value, sizeof value);
        len += (size_t)snprintf(line + len, sizeof line - len, "%s%s=%s", len > 0 ? "," : "", rows[i].field, value);
    }
    add(info, "%s%s:%s", info->prefix, info->scope == FB_OF_KEYSPACE ? number : name, line);
}

static void add_things(struct info *info, enum fb_scope_of_metric scope, const char *prefix) {
    info->scope = scope;
    info->prefix = prefix;
    info->n = 0;
    fb_figures_each(info->server, scope, add_thing, info);
}

/* ---- sections of their own form --------------------------------------------------------------------------------- */

static void add_latencies(const struct info *info) {
    size_t unused;
    const struct fb_command *rows = fb_commands(&unused);
    struct fb_hist *spread = fb_mem_alloc(sizeof *spread); /* too large for a stack */
    for (size_t i = 0; spread != NULL && i < fb_command_count(); i++) {
        struct fb_cost_sum sum;
        char name[FB_COMMAND_NAME_MAX];
        fb_measure_read(info->server, &rows[i], &sum, spread);
        if (spread->n > 0)
            add(info, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f", fb_command_full_name(&rows[i], name),
                (double)fb_hist_quantile(spread, 0.5).ns / 1000, (double)fb_hist_quantile(spread, 0.99).ns / 1000,
                (double)fb_hist_quantile(spread, 0.999).ns / 1000);
    }
    fb_mem_free(spread);
}

static void add_keys(const struct info *info, const struct fb_figures *figures) {
    if (figures->stats.keys > 0) /* everything cached has a life */
        add(info, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=%" PRId64, figures->stats.keys,
            figures->stats.keys, fb_figures_average_life(info->server));
}

/* ---- INFO ------------------------------------------------------------------------------------------------------- */

static const struct { const char *title; bool is_default; } sections[] = {
#define ROW(name, title, is_default) {title, is_default},
    FB_INFO_SECTIONS(ROW)
#undef ROW
};

static bool is_title(fb_bytes name, const char *title) {
    return name.len == strlen(title) && strncasecmp(name.data, title, name.len) == 0;
}

/* "all" leaves out modules in Redis; there is nothing in them to leave out. */
static bool is_wanted(enum fb_info_section section, const fb_bytes *names, size_t n) {
    bool is = n == 0 && sections[section].is_default;
    for (size_t i = 0; i < n && !is; i++)
        is = (fb_is_word(names[i], "default") && sections[section].is_default) || fb_is_word(names[i], "all") ||
             fb_is_word(names[i], "everything") || is_title(names[i], sections[section].title);
    return is;
}

static void add_section(struct info *info, const struct fb_figures *figures, const struct fb_value *values) {
    switch (info->section) {
    case FB_SECTION_COMMANDSTATS: add_things(info, FB_OF_COMMAND, "cmdstat_"); return;
    case FB_SECTION_ERRORSTATS: add_things(info, FB_OF_ERROR, "errorstat_"); return;
    case FB_SECTION_LATENCYSTATS: add_latencies(info); return;
    case FB_SECTION_KEYSPACE: add_keys(info, figures); return;
    case FB_SECTION_FOREBAY_KEYSPACES: add_things(info, FB_OF_KEYSPACE, "ks"); return;
    case FB_SECTION_FOREBAY_SOURCES: add_things(info, FB_OF_SOURCE, "source_"); return;
    case FB_SECTION_FOREBAY_WRITE_BEHIND: add_things(info, FB_OF_BEHIND, "behind_"); return;
    default: add_fields(info, values); return;
    }
}

void fb_info_append(struct fb_server *server, const fb_bytes *names, size_t n, fb_buf *out) {
    struct info info = {.server = server, .out = out};
    struct fb_figures figures;
    struct fb_value values[FB_METRICS_MAX];
    fb_figures_take(server, &figures);
    fb_metric_values(FB_OF_SERVER, &figures, values);
    bool is_first = true;
    for (int i = 0; i < FB_SECTION_COUNT_; i++) {
        info.section = (enum fb_info_section)i;
        if (!is_wanted(info.section, names, n))
            continue;
        add(&info, "%s# %s", is_first ? "" : "\r\n", sections[i].title);
        is_first = false;
        add_section(&info, &figures, values);
    }
}
