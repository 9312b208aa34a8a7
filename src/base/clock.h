/* The one place that reads a clock. Everything below the engine gets `now` as an argument. */
#ifndef FB_BASE_CLOCK_H
#define FB_BASE_CLOCK_H

#include "base/time.h"

/* Monotonic time. Thread-safe. */
fb_instant fb_clock_now(void);
/* Microseconds since 1970, for what people see (TIME, log lines); never for decisions. */
int64_t fb_clock_wall_us(void);
/* Let the calling thread rest; used by back-off and by added_latency only. */
void fb_clock_sleep(fb_span span);

#endif
