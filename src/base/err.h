/* Filling an fb_err: where the fault is known the text is written, where the request is known it is prefixed. */
#ifndef FB_BASE_ERR_H
#define FB_BASE_ERR_H

#include <forebay/status.h>

/* Write the text and return the status. `err` may be NULL. Text that does not fit is cut. */
fb_status fb_fail(fb_err *err, fb_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Put text in front of what is there; returns err->status (FB_OK when err is NULL). */
fb_status fb_err_prefix(fb_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
