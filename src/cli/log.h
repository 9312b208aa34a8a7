/* The log of the server process: one line per event on stderr.
 *
 *     fb_log(FB_LOG_NOTICE, "serve.ready", "ready on 127.0.0.1:6380", FB_LOG_FIELDS({"listen", "127.0.0.1:6380"}));
 *
 * On a terminal a line is the time and the message, which says it all; else it is logfmt with everything (ts, level,
 * event, msg and the fields), with systemd's <priority> in front when the journal reads it. Names of events are stable.
 * Keys and values of the cache are never logged. */
#ifndef FB_CLI_LOG_H
#define FB_CLI_LOG_H

enum fb_log_level { FB_LOG_ERROR = 3, FB_LOG_WARNING = 4, FB_LOG_NOTICE = 5, FB_LOG_INFO = 6 }; /* syslog's numbers */

struct fb_log_field { const char *name, *value; };

/* Decide the form of the lines; call once before the first. */
void fb_log_open(void);
/* `message` is one sentence for people; `fields` are ended by a NULL name and may be NULL. */
void fb_log(enum fb_log_level level, const char *event, const char *message, const struct fb_log_field *fields);

#define FB_LOG_FIELDS(...) ((const struct fb_log_field[]){__VA_ARGS__, {0}})

#endif
