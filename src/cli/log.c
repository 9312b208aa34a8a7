/* The log of the server process. */
#include "cli/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

enum { LINE_MAX_BYTES = 2048 }; /* longer lines are cut: one write of at most PIPE_BUF bytes is never torn */

static struct { bool for_people, with_colour, with_priority; } form;

void fb_log_open(void) {
    form.for_people = isatty(STDERR_FILENO);
    form.with_colour = fb_cli_colour(STDERR_FILENO);
    form.with_priority = getenv("JOURNAL_STREAM") != NULL && !form.for_people;
}

static const char *level_name(enum fb_log_level level) {
    switch (level) {
    case FB_LOG_ERROR: return "error";
    case FB_LOG_WARNING: return "warning";
    case FB_LOG_NOTICE: return "notice";
    case FB_LOG_INFO: break;
    }
    return "info";
}

struct line { char text[LINE_MAX_BYTES]; size_t len; };

static void put(struct line *line, const char *text, size_t len) {
    size_t room = sizeof line->text - 1 - line->len;
    len = len < room ? len : room;
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text) { put(line, text, strlen(text)); }

/* A value as logfmt: bare when it is one word, else quoted. Control characters never reach the terminal. */
static void put_value(struct line *line, const char *value) {
    bool is_word = value[0] != '\0' && value[strcspn(value, " \"=\\\t\r\n")] == '\0';
    put_text(line, is_word ? "" : "\"");
    for (const char *p = value; *p != '\0'; p++) {
        char safe = (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p;
        if (safe == '"' || safe == '\\')
            put_text(line, "\\");
        put(line, &safe, 1);
    }
    put_text(line, is_word ? "" : "\"");
}

static void put_time(struct line *line) {
    int64_t us = fb_clock_wall_us();
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    char date[64];
    if (form.for_people) {
        localtime_r(&seconds, &tm);
        strftime(date, sizeof date, "%H:%M:%S", &tm);
        put_text(line, date);
        return;
    }
    char text[96];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "ts=%s.%03dZ", date, (int)(us / 1000 % 1000));
    put_text(line, text);
}

void fb_log(enum fb_log_level level, const char *event, const char *message, const struct fb_log_field *fields) {
    struct line line = {.len = 0};
    char priority[8];
    if (form.with_priority) {
        snprintf(priority, sizeof priority, "<%d>", (int)level);
        put_text(&line, priority);
    }
    put_time(&line);
    if (form.for_people) {
        const char *colour = level == FB_LOG_ERROR ? "\033[31m" : level == FB_LOG_WARNING ? "\033[33m" : "";
        put_text(&line, " ");
        put_text(&line, form.with_colour ? colour : "");
        put_text(&line, message);
        put_text(&line, form.with_colour && *colour != '\0' ? "\033[0m" : "");
    } else {
        put_text(&line, " level=");
        put_text(&line, level_name(level));
        put_text(&line, " event=");
        put_text(&line, event);
        put_text(&line, " msg=");
        put_value(&line, message);
    }
    for (; !form.for_people && fields != NULL && fields->name != NULL; fields++) {
        put_text(&line, " ");
        put_text(&line, fields->name);
        put_text(&line, "=");
        put_value(&line, fields->value);
    }
    line.text[line.len++] = '\n';
    /* One write per line: threads need no lock, and lines of several processes do not mix. */
    (void)!write(STDERR_FILENO, line.text, line.len);
}
