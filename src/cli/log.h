/* The log of the server process: one line per event on stderr.
 *
 *     fb_log(FB_LOG_SERVE_READY, "ready on localhost:6380", FB_LOG_FIELDS({"listen", "localhost:6380"}));
 *
 * Three forms: text (time and message, for people), logfmt and JSON with everything (ts, level, event, msg and the
 * fields), the latter with systemd's <priority> in front when the journal reads it. */
#ifndef FB_CLI_LOG_H
#define FB_CLI_LOG_H

#include "base/log.h"

/* As setting server.log_format counts them. AUTO: text on a terminal, else logfmt. */
enum fb_log_format { FB_LOG_AUTO, FB_LOG_TEXT, FB_LOG_LOGFMT, FB_LOG_JSON };

/* Call once before the first line, before other threads begin. */
void fb_log_open(void);
/* What is written from now on. Any thread. */
void fb_log_change(enum fb_log_format format, enum fb_log_level level);
void fb_log(enum fb_log_event event, const char *message, const struct fb_log_field *fields);
/* The same as a sink; `user` is not looked at. */
fb_log_sink fb_log_write;

#endif
