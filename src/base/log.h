/* What is worth a line in a log: an event of tbl/events.h, a sentence for people, and fields for machines.
 *
 * Whoever notices an event does not write it: it gets a sink (fb_log_sink) from whoever starts it. Keys and values of
 * the cache are named at level DEBUG only. */
#ifndef FB_BASE_LOG_H
#define FB_BASE_LOG_H

#include <stdbool.h>

#include "tbl/events.h"

/* syslog's numbers. */
enum fb_log_level { FB_LEVEL_ERROR = 3, FB_LEVEL_WARNING, FB_LEVEL_NOTICE, FB_LEVEL_INFO, FB_LEVEL_DEBUG };

enum fb_log_event {
#define FB_LOG_ENUM_(id, name, level, limit, fields, text) FB_LOG_##id,
    FB_LOG_EVENTS(FB_LOG_ENUM_)
#undef FB_LOG_ENUM_
    FB_LOG_COUNT_
};

enum { FB_LOG_BURST = 20, FB_LOG_WINDOW_MS = 10000 }; /* lines of one limited event in so much time */

struct fb_log_row {
    const char *name;
    enum fb_log_level level;
    bool is_limited;
    const char *fields, *text;
};

struct fb_log_field { const char *name, *value; };

/* {"name", value}, … ended by a NULL name. */
#define FB_LOG_FIELDS(...) ((const struct fb_log_field[]){__VA_ARGS__, {0}})

/* `message` is one sentence; `fields` may be NULL. Any thread; does not block on anything but the write itself. */
typedef void fb_log_sink(void *user, enum fb_log_event event, const char *message, const struct fb_log_field *fields);

const struct fb_log_row *fb_log_row(enum fb_log_event event);
/* "error", "warning", … */
const char *fb_log_level_name(enum fb_log_level level);

#endif
