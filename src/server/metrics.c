/* The rows of tbl/metrics.h in memory, and their values. */
#include "tbl/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "server/figures.h"

#define ROW(section, field, form, value, metric, type, labels, help)                                                   \
    {FB_SECTION_##section, field, FB_FORM_##form, metric, FB_METRIC_##type, labels, help},
static const struct fb_metric of_server[] = {FB_SERVER_METRICS(ROW)};
static const struct fb_metric of_keyspace[] = {FB_KEYSPACE_METRICS(ROW)};
static const struct fb_metric of_source[] = {FB_SOURCE_METRICS(ROW)};
static const struct fb_metric of_command[] = {FB_COMMAND_METRICS(ROW)};
static const struct fb_metric of_error[] = {FB_ERROR_METRICS(ROW)};
#undef ROW

static const struct { const struct fb_metric *rows; size_t n; } lists[FB_OF_COUNT_] = {
    [FB_OF_SERVER] = {of_server, sizeof of_server / sizeof of_server[0]},
    [FB_OF_KEYSPACE] = {of_keyspace, sizeof of_keyspace / sizeof of_keyspace[0]},
    [FB_OF_SOURCE] = {of_source, sizeof of_source / sizeof of_source[0]},
    [FB_OF_COMMAND] = {of_command, sizeof of_command / sizeof of_command[0]},
    [FB_OF_ERROR] = {of_error, sizeof of_error / sizeof of_error[0]},
};

static_assert(sizeof of_server / sizeof of_server[0] <= FB_METRICS_MAX, "values of one thing");

const struct fb_metric *fb_metrics_of(enum fb_scope_of_metric scope, size_t *ret_n) {
    *ret_n = lists[scope].n;
    return lists[scope].rows;
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
static void values_of_command(const struct fb_command_figures *c, struct fb_value *out) { FB_COMMAND_METRICS(VALUE) }
static void values_of_error(const struct fb_error_figures *e, struct fb_value *out) { FB_ERROR_METRICS(VALUE) }

void fb_metric_values(enum fb_scope_of_metric scope, const void *figures, struct fb_value ret_values[FB_METRICS_MAX]) {
    switch (scope) {
    case FB_OF_SERVER: values_of_server(figures, ret_values); return;
    case FB_OF_KEYSPACE: values_of_keyspace(figures, ret_values); return;
    case FB_OF_SOURCE: values_of_source(figures, ret_values); return;
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
