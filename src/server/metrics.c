/* The rows of tbl/metrics.h in memory, and their values. */
#include "tbl/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/figures.h"
#include "server/latency.h"

#define ROW(section, field, form, value, metric, type, labels, help)                                                   \
    {FB_SECTION_##section, field, FB_FORM_##form, metric, FB_METRIC_##type, labels, help},
static const struct fb_metric of_server[] = {FB_SERVER_METRICS(ROW)};
static const struct fb_metric of_keyspace[] = {FB_KEYSPACE_METRICS(ROW)};
static const struct fb_metric of_source[] = {FB_SOURCE_METRICS(ROW)};
static const struct fb_metric of_behind[] = {FB_BEHIND_METRICS(ROW)};
static const struct fb_metric of_command[] = {FB_COMMAND_METRICS(ROW)};
static const struct fb_metric of_error[] = {FB_ERROR_METRICS(ROW)};
#undef ROW

static const struct { const struct fb_metric *rows; size_t n; } lists[FB_OF_COUNT_] = {
    [FB_OF_SERVER] = {of_server, sizeof of_server / sizeof of_server[0]},
    [FB_OF_KEYSPACE] = {of_keyspace, sizeof of_keyspace / sizeof of_keyspace[0]},
    [FB_OF_SOURCE] = {of_source, sizeof of_source / sizeof of_source[0]},
    [FB_OF_BEHIND] = {of_behind, sizeof of_behind / sizeof of_behind[0]},
    [FB_OF_COMMAND] = {of_command, sizeof of_command / sizeof of_command[0]},
    [FB_OF_ERROR] = {of_error, sizeof of_error / sizeof of_error[0]},
};

static_assert(sizeof of_server / sizeof of_server[0] <= FB_METRICS_MAX, "values of one thing");

const struct fb_metric *fb_metrics_of(enum fb_scope_of_metric scope, size_t *ret_n) {
    *ret_n = lists[scope].n;
    return lists[scope].rows;
}

const char *fb_metric_help(const struct fb_metric *row) {
    static const struct { const char *metric, *help; } families[] = {
#define FAMILY(metric, help) {metric, help},
        FB_METRIC_FAMILIES(FAMILY)
#undef FAMILY
    };
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].metric, row->metric) == 0)
            return families[i].help;
    return row->help;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

#define VALUE_TEXT(value) (struct fb_value){.text = value}
#define VALUE_COUNT(value) (struct fb_value){.count = (uint64_t)(value)}
#define VALUE_SIGNED(value) (struct fb_value){.number = (int64_t)(value)}
#define VALUE_RATIO(value) (struct fb_value){.ratio = (double)(value)}
#define VALUE_MICROS(value) (struct fb_value){.ratio = (double)(value)}
#define VALUE_HUMAN(value) (struct fb_value){.count = (uint64_t)(value)}
#define VALUE(section, field, form, value, metric, type, labels, help) *out++ = VALUE_##form(value);

static void values_of_server(const struct fb_figures *f, struct fb_value *out) { FB_SERVER_METRICS(VALUE) }
static void values_of_keyspace(const struct fb_keyspace_figures *k, struct fb_value *out) { FB_KEYSPACE_METRICS(VALUE) }
static void values_of_source(const struct fb_source_figures *s, struct fb_value *out) { FB_SOURCE_METRICS(VALUE) }
static void values_of_behind(const struct fb_behind_figures *b, struct fb_value *out) { FB_BEHIND_METRICS(VALUE) }
static void values_of_command(const struct fb_command_figures *c, struct fb_value *out) { FB_COMMAND_METRICS(VALUE) }
static void values_of_error(const struct fb_error_figures *e, struct fb_value *out) { FB_ERROR_METRICS(VALUE) }

void fb_metric_values(enum fb_scope_of_metric scope, const void *figures, struct fb_value ret_values[FB_METRICS_MAX]) {
    switch (scope) {
    case FB_OF_SERVER: values_of_server(figures, ret_values); return;
    case FB_OF_KEYSPACE: values_of_keyspace(figures, ret_values); return;
    case FB_OF_SOURCE: values_of_source(figures, ret_values); return;
    case FB_OF_BEHIND: values_of_behind(figures, ret_values); return;
    case FB_OF_COMMAND: values_of_command(figures, ret_values); return;
    case FB_OF_ERROR: values_of_error(figures, ret_values); return;
    case FB_OF_COUNT_: return;
    }
}

static void format_human(uint64_t bytes, char *out, size_t size) {
    static const char units[] = "BKMGT";
    double n = (double)bytes;
    size_t unit = 0;
    for (; n >= 1024 && unit < sizeof units - 2; unit++)
        n /= 1024;
    snprintf(out, size, unit == 0 ? "%.0f%c" : "%.2f%c", n, units[unit]);
}

void fb_value_format(enum fb_form form, struct fb_value value, char *out, size_t size) {
    switch (form) {
    case FB_FORM_TEXT: snprintf(out, size, "%s", value.text); return;
    case FB_FORM_COUNT: snprintf(out, size, "%" PRIu64, value.count); return;
    case FB_FORM_SIGNED: snprintf(out, size, "%" PRId64, value.number); return;
    case FB_FORM_RATIO: snprintf(out, size, "%.2f", value.ratio); return;
    case FB_FORM_MICROS: snprintf(out, size, "%.6f", value.ratio); return;
    case FB_FORM_HUMAN: format_human(value.count, out, size); return;
    }
}

/* ---- the reference page ----------------------------------------------------------------------------------------- */

static const char page_head[] =
    "# Watching Forebay\n\n"
    "<!-- Printed by `forebay reference watching`. -->\n\n"
    "Three ways to look, and all figures are the same ones:\n\n"
    "* `INFO` over the Redis protocol, for redis-cli and the tools that know Redis;\n"
    "* `/metrics` over HTTP, for Prometheus (`server.admin`, by default `http://127.0.0.1:9380/metrics`; OpenMetrics when\n"
    "  the request accepts it);\n"
    "* `SLOWLOG`, `LATENCY` and `MONITOR` for single requests.\n\n"
    "`/livez` says that the process answers, and never asks a database. `/readyz` says whether requests should be sent\n"
    "here: not while it stops, nor while a source cannot be reached that has keyspaces without grace\n"
    "([grace](grace-and-breakers.md)); `/readyz?verbose` lists the checks. A source that nothing has been heard of for a\n"
    "second is asked for one key.\n\n"
    "## The slow log\n\n"
    "A request that took at least `server.slowlog_slower_than` until its reply was ready is kept, the latest\n"
    "`server.slowlog_max_len` of them. An entry looks as in Redis, with one more argument at the end, a comment that says\n"
    "where the time went; what took none is left out:\n\n"
    "    /* cache=211us lane=3ms source=shop load=184ms coalesced=12 */\n\n"
    "| word | meaning |\n|---|---|\n"
    "| `cache` | time in Forebay itself |\n"
    "| `lane` | waiting for other writers of the key, and for a connection to the source |\n"
    "| `source` | the source that was asked |\n"
    "| `load`, `store` | from when the query or transaction was sent until the source had answered |\n"
    "| `coalesced` | requests answered by the same load, this one included |\n\n"
    "Of a command that writes only its name and keys are shown, unless `server.monitor_values` is true; what may carry\n"
    "a password (AUTH, HELLO) is never there.\n\n"
    "## Slow events\n\n"
    "`LATENCY LATEST`, `HISTORY` and `DOCTOR` tell of events that took at least `server.latency_monitor`:\n\n"
    "| event | what it is | what may help |\n|---|---|---|\n";

static const char page_info[] =
    "\n## Figures\n\n"
    "`INFO` shows the sections below except commandstats and latencystats; `INFO all` and `INFO everything` show those,\n"
    "too, and `INFO name …` the ones that are named. `CONFIG RESETSTAT` starts the figures of stats, commandstats,\n"
    "latencystats and errorstats anew, and so does it for the metrics beside them: to Prometheus that looks like a\n"
    "restart, which `rate()` knows to handle.\n\n"
    "Two lines have a form of their own. `db0:keys=N,expires=N,avg_ttl=MS` (keyspace) counts cached values, never rows;\n"
    "`avg_ttl` is the mean life left of a few dozen chosen at random. `latency_percentiles_usec_NAME:p50=…,p99=…,p99.9=…`\n"
    "(latencystats) tells how long commands took, to two digits; the same times are the histogram\n"
    "`forebay_command_duration_seconds{command}`.\n";

static void print_rows(FILE *out, enum fb_scope_of_metric scope, enum fb_info_section section) {
    size_t n;
    const struct fb_metric *rows = fb_metrics_of(scope, &n);
    fputs("\n| INFO | metric | what it is |\n|---|---|---|\n", out);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].section != section)
            continue;
        fprintf(out, rows[i].field != NULL ? "| `%s` | " : "| | ", rows[i].field);
        if (rows[i].metric != NULL)
            fprintf(out, "`%s%s%s%s`", rows[i].metric, rows[i].labels[0] != '\0' ? "{" : "", rows[i].labels,
                    rows[i].labels[0] != '\0' ? "}" : "");
        fprintf(out, " | %s |\n", rows[i].help);
    }
}

static const char *const line_of_each[FB_OF_COUNT_] = {
    [FB_OF_KEYSPACE] = "A line `ksN:…` for each keyspace; the metrics have the label `keyspace`.",
    [FB_OF_SOURCE] = "A line `source_NAME:…` for each source; the metrics have the label `source`.",
    [FB_OF_BEHIND] = "A line `behind_NAME:…` for each source with keyspaces that are written behind; the metrics have the "
                     "label `source`.",
    [FB_OF_COMMAND] = "A line `cmdstat_NAME:…` for each command used; the metrics have the label `command`.",
    [FB_OF_ERROR] = "A line `errorstat_WORD:…` for each first word of an error; the metric has the label "
                    "`error`.",
};

void fb_metrics_print_reference(FILE *out) {
    static const struct { const char *title; bool is_default; } sections[] = {
#define SECTION(name, title, is_default) {title, is_default},
        FB_INFO_SECTIONS(SECTION)
#undef SECTION
    };
    fputs(page_head, out);
#define EVENT(name, word, what, advice) fprintf(out, "| `%s` | %s | %s |\n", word, what, advice);
    FB_LATENCY_EVENTS(EVENT)
#undef EVENT
    fputs(page_info, out);
    for (int section = 0; section < FB_SECTION_COUNT_; section++)
        for (int scope = 0; scope < FB_OF_COUNT_; scope++) {
            size_t n, i = 0;
            const struct fb_metric *rows = fb_metrics_of((enum fb_scope_of_metric)scope, &n);
            while (i < n && rows[i].section != (enum fb_info_section)section)
                i++;
            if (i == n)
                continue;
            fprintf(out, "\n### %s\n", sections[section].title);
            if (line_of_each[scope] != NULL)
                fprintf(out, "\n%s\n", line_of_each[scope]);
            print_rows(out, (enum fb_scope_of_metric)scope, (enum fb_info_section)section);
        }
}
