/* Times, sizes and shares as people read them. */
#include "server/words.h"

#include <inttypes.h>
#include <stdio.h>

const char *fb_words_time(int64_t ms, char out[FB_WORDS_MAX]) {
    static const struct { int64_t seconds; const char *name; } units[] = {
        {86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    enum { UNITS = sizeof units / sizeof units[0] };
    int64_t s = ms / 1000;
    unsigned i = 0;
    if (ms < 1000) {
        snprintf(out, FB_WORDS_MAX, "%" PRId64 " ms", ms);
        return out;
    }
    if (ms < 10000 && ms % 1000 >= 100) {
        snprintf(out, FB_WORDS_MAX, "%.1f s", (double)ms / 1000);
        return out;
    }
    while (units[i].seconds > s)
        i++;
    int64_t first = s / units[i].seconds, rest = s % units[i].seconds;
    if (i + 1 < UNITS && rest / units[i + 1].seconds > 0)
        snprintf(out, FB_WORDS_MAX, "%" PRId64 "%s %" PRId64 "%s", first, units[i].name, rest / units[i + 1].seconds,
                 units[i + 1].name);
    else
        snprintf(out, FB_WORDS_MAX, i + 1 == UNITS ? "%" PRId64 " %s" : "%" PRId64 "%s", first, units[i].name);
    return out;
}

const char *fb_words_size(uint64_t bytes, char out[FB_WORDS_MAX]) {
    static const char *const units[] = {"bytes", "kb", "mb", "gb", "tb"};
    double n = (double)bytes;
    unsigned i = 0;
    for (; n >= 1024 && i + 1 < sizeof units / sizeof units[0]; i++)
        n /= 1024;
    snprintf(out, FB_WORDS_MAX, i == 0 || n >= 100 ? "%.0f %s" : "%.1f %s", n, units[i]);
    return out;
}

const char *fb_words_share(uint64_t part, uint64_t all, char out[FB_WORDS_MAX]) {
    if (all == 0)
        snprintf(out, FB_WORDS_MAX, "-");
    else
        snprintf(out, FB_WORDS_MAX, "%.1f %%", 100.0 * (double)part / (double)all);
    return out;
}
