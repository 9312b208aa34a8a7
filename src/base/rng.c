/* The one place that asks the system for randomness. */
#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void fb_rng_system(void *out, size_t len) {
    char *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno != EINTR)
            abort();
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}
