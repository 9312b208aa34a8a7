/* The one place that reads a clock. */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

fb_instant fb_clock_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (fb_instant){(int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec};
}

int64_t fb_clock_wall_us(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void fb_clock_sleep(fb_span span) {
    struct timespec ts = {span.ns / 1000000000, span.ns % 1000000000};
    while (span.ns > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
        ;
}
