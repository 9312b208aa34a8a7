/* The log of the server process. */
#include "cli/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/utf8.h"
#include "cli/cli.h"

enum {
    LINE_MAX_BYTES = 2048, /* longer lines are cut: one write of at most PIPE_BUF bytes is never torn */
    MESSAGE_MAX = 1200,    /* bytes of the message: what it leaves is for the fields */
};

static struct {
    bool on_terminal, with_colour, with_priority;
    _Atomic unsigned format, level;
} form;

/* How often each event was written in the window that began at `since`. */
static struct {
    struct fb_lock lock; /* rank LOG */
    struct { fb_instant since; unsigned written, left_out; } of[FB_LOG_COUNT_];
} rate;

void fb_log_open(void) {
    form.on_terminal = isatty(STDERR_FILENO);
    form.with_colour = fb_cli_colour(STDERR_FILENO);
    form.with_priority = getenv("JOURNAL_STREAM") != NULL && !form.on_terminal;
    fb_lock_init(&rate.lock, FB_LOCK_LOG);
    fb_log_change(FB_LOG_AUTO, FB_LEVEL_NOTICE);
}

void fb_log_change(enum fb_log_format format, enum fb_log_level level) {
    if (format == FB_LOG_AUTO)
        format = form.on_terminal ? FB_LOG_TEXT : FB_LOG_LOGFMT;
    atomic_store_explicit(&form.format, (unsigned)format, memory_order_relaxed);
    atomic_store_explicit(&form.level, (unsigned)level, memory_order_relaxed);
}

/* May a limited event be written now? Then *ret_left_out were not, before. */
static bool may_write(enum fb_log_event event, unsigned *ret_left_out) {
    fb_instant now = fb_clock_now();
    bool may = true;
    fb_lock_acquire(&rate.lock);
    if (fb_reached(now, fb_after(rate.of[event].since, fb_ms(FB_LOG_WINDOW_MS)))) {
        rate.of[event].since = now;
        rate.of[event].written = 0;
    }
    may = rate.of[event].written < FB_LOG_BURST;
    if (may) {
        rate.of[event].written++;
        *ret_left_out = rate.of[event].left_out;
        rate.of[event].left_out = 0;
    } else {
        rate.of[event].left_out++;
    }
    fb_lock_release(&rate.lock);
    return may;
}

/* ---- a line ----------------------------------------------------------------------------------------------------- */

struct line {
    char text[LINE_MAX_BYTES];
    size_t len, limit;
    bool is_cut;
};

static void put(struct line *line, const char *text, size_t len) {
    if (line->is_cut || len > line->limit - line->len) {
        line->is_cut = true;
        return;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text) { put(line, text, strlen(text)); }

/* One character as it may stand in a log: nothing steers a terminal or ends a line, and everything is UTF-8. */
static void put_character(struct line *line, const char *p, unsigned step, bool is_json) {
    char escape[8];
    unsigned char c = (unsigned char)*p;
    bool is_c1 = step == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0;
    if (step == 0) {
        put_text(line, "?");
    } else if (c >= ' ' && c != 0x7f && !is_c1) {
        put(line, p, step);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        put_text(line, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else {
        unsigned code = is_c1 ? (unsigned char)p[1] : c;
        snprintf(escape, sizeof escape, is_json ? "\\u%04x" : "\\x%02x", code);
        put_text(line, escape);
    }
}

static void put_safe(struct line *line, const char *value, bool is_quoted, bool is_json) {
    for (const char *p = value, *end = value + strlen(value); p < end && !line->is_cut;) {
        unsigned step = fb_utf8_step(p, end);
        if (is_quoted && (*p == '"' || *p == '\\'))
            put_text(line, "\\");
        put_character(line, p, step, is_json);
        p += step > 0 ? step : 1;
    }
}

static void put_quoted(struct line *line, const char *value, bool is_json) {
    put_text(line, "\"");
    put_safe(line, value, true, is_json);
    put_text(line, "\"");
}

/* As logfmt: bare when it is one word, else quoted. */
static void put_value(struct line *line, const char *value) {
    bool is_word = value[0] != '\0';
    for (const char *p = value; *p != '\0'; p++)
        is_word &= (unsigned char)*p > ' ' && *p != 0x7f && *p != '"' && *p != '=' && *p != '\\';
    if (is_word)
        put_safe(line, value, false, false);
    else
        put_quoted(line, value, false);
}

/* All of it or nothing: half a field would not be readable. */
static void put_field(struct line *line, enum fb_log_format format, const struct fb_log_field *field) {
    size_t before = line->len;
    const char *value = field->value != NULL ? field->value : "";
    put_text(line, format == FB_LOG_JSON ? ",\"" : " ");
    put_text(line, field->name);
    put_text(line, format == FB_LOG_JSON ? "\":" : "=");
    if (format == FB_LOG_JSON)
        put_quoted(line, value, true);
    else
        put_value(line, value);
    if (line->is_cut)
        line->len = before;
    line->is_cut = false;
}

/* The message, cut at a character rather than left out. */
static void cut_message(const char *message, char out[MESSAGE_MAX]) {
    size_t len = 0, room = MESSAGE_MAX / 2; /* an escape takes more than what it stands for */
    const char *end = message + strlen(message);
    while (message + len < end && len < room) {
        unsigned step = fb_utf8_step(message + len, end);
        len += step > 0 ? step : 1;
    }
    if (len > room)
        len = room;
    memcpy(out, message, len);
    out[len] = '\0';
}

static void put_time(struct line *line, bool is_short) {
    int64_t us = fb_clock_wall_us();
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    char date[64], text[96];
    if (is_short) {
        localtime_r(&seconds, &tm);
        strftime(text, sizeof text, "%H:%M:%S", &tm);
    } else {
        gmtime_r(&seconds, &tm);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text, sizeof text, "%s.%03dZ", date, (int)(us / 1000 % 1000));
    }
    put_text(line, text);
}

static void put_head(struct line *line, enum fb_log_format format, const struct fb_log_row *row, const char *message) {
    char cut[MESSAGE_MAX];
    const char *level = fb_log_level_name(row->level);
    cut_message(message, cut);
    if (format == FB_LOG_TEXT) {
        const char *colour = row->level == FB_LEVEL_ERROR ? "\033[31m" : row->level == FB_LEVEL_WARNING ? "\033[33m" : "";
        bool has_colour = form.with_colour && *colour != '\0';
        put_time(line, form.on_terminal);
        put_text(line, " ");
        if (!form.on_terminal) {
            put_text(line, level);
            put_text(line, " ");
        }
        put_text(line, has_colour ? colour : "");
        put_safe(line, cut, false, false);
        put_text(line, has_colour ? "\033[0m" : "");
        return;
    }
    put_text(line, format == FB_LOG_JSON ? "{\"ts\":\"" : "ts=");
    put_time(line, false);
    put_text(line, format == FB_LOG_JSON ? "\",\"level\":\"" : " level=");
    put_text(line, level);
    put_text(line, format == FB_LOG_JSON ? "\",\"event\":\"" : " event=");
    put_text(line, row->name);
    put_text(line, format == FB_LOG_JSON ? "\",\"msg\":" : " msg=");
    if (format == FB_LOG_JSON)
        put_quoted(line, cut, true);
    else
        put_value(line, cut);
}

void fb_log(enum fb_log_event event, const char *message, const struct fb_log_field *fields) {
    const struct fb_log_row *row = fb_log_row(event);
    enum fb_log_format format = (enum fb_log_format)atomic_load_explicit(&form.format, memory_order_relaxed);
    unsigned left_out = 0;
    char number[16];
    if ((unsigned)row->level > atomic_load_explicit(&form.level, memory_order_relaxed) ||
        (row->is_limited && !may_write(event, &left_out)))
        return;
    struct line line = {.len = 0, .limit = LINE_MAX_BYTES - 2};
    if (form.with_priority) {
        snprintf(number, sizeof number, "<%d>", (int)row->level);
        put_text(&line, number);
    }
    put_head(&line, format, row, message);
    line.is_cut = false;
    for (; format != FB_LOG_TEXT && fields != NULL && fields->name != NULL; fields++)
        put_field(&line, format, fields);
    if (left_out > 0) {
        snprintf(number, sizeof number, "%u", left_out);
        put_field(&line, format == FB_LOG_TEXT ? FB_LOG_LOGFMT : format, &(struct fb_log_field){"left_out", number});
    }
    line.limit = LINE_MAX_BYTES;
    put_text(&line, format == FB_LOG_JSON ? "}\n" : "\n");
    /* One write per line: threads need no lock, and lines of several processes do not mix. */
    (void)!write(STDERR_FILENO, line.text, line.len);
}

void fb_log_write(void *user, enum fb_log_event event, const char *message, const struct fb_log_field *fields) {
    (void)user;
    fb_log(event, message, fields);
}
