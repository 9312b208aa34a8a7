/* The table of the log's events in memory. */
#include "base/log.h"

static const struct fb_log_row rows[FB_LOG_COUNT_] = {
#define EVERY false
#define LIMITED true
#define ROW(id, name, level, limit, fields, text) {name, FB_LEVEL_##level, limit, fields, text},
    FB_LOG_EVENTS(ROW)
#undef ROW
};

const struct fb_log_row *fb_log_row(enum fb_log_event event) { return &rows[event]; }

const char *fb_log_level_name(enum fb_log_level level) {
    static const char *const names[] = {
        [FB_LEVEL_ERROR] = "error", [FB_LEVEL_WARNING] = "warning", [FB_LEVEL_NOTICE] = "notice",
        [FB_LEVEL_INFO] = "info",   [FB_LEVEL_DEBUG] = "debug",
    };
    return names[level];
}
