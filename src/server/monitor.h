/* MONITOR: every request as a line for those who watch. */
#ifndef FB_SERVER_MONITOR_H
#define FB_SERVER_MONITOR_H

#include "server/call.h"

/* Append the request as Redis prints it: 1339518083.107412 [0 127.0.0.1:60866] "get" "k" */
void fb_monitor_line(const struct fb_call *call, int64_t wall_us, fb_buf *out);

#endif
