/* The types of pattern parameters, shared by matching (pattern.c), routing (router.c) and telling patterns apart
 * (overlap.c). */
#ifndef FB_ROWS_PARAM_H
#define FB_ROWS_PARAM_H

#include "rows/pattern.h"

enum { FB_PARAM_UUID_LEN = 36, FB_PARAM_DATE_LEN = 10 };

/* Is this a value of the type? Text is not checked for UTF-8 here. */
bool fb_param_fits(enum fb_param_type type, fb_bytes value);
/* Can this byte stand in an int or hex parameter? */
bool fb_param_is_run_byte(enum fb_param_type type, char c);
unsigned fb_param_days_in(unsigned month, bool is_leap);

/* How many bytes of `rest` belong to a parameter, 0 when it does not match. `next` is the text that follows it in the
 * pattern (empty when there is none); next_is_last when that text ends the pattern. */
size_t fb_param_cut(enum fb_param_type type, fb_bytes rest, fb_bytes next, bool next_is_last);

#endif
