/* TTL classes: names for usual lives, so that a configuration can say what the data is instead of a number. */
#include "policy/policy.h"

#include <string.h>

#define SECONDS INT64_C(1000)
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)
#define DAYS (24 * HOURS)

static const struct fb_ttl_class classes[] = {
    {"session", 30 * MINUTES, "login sessions and carts: as long as a pause in using the application"},
    {"rate_limit", 1 * MINUTES, "counters of a window of time"},
    {"realtime", 10 * SECONDS, "prices, stock levels, scores: wrong after seconds"},
    {"profile", 1 * HOURS, "users and accounts: read often, changed by their owners"},
    {"product", 30 * MINUTES, "catalogue entries: changed by staff during the day"},
    {"api", 5 * MINUTES, "answers of other services"},
    {"config", 24 * HOURS, "settings and feature flags that change with a release"},
    {"country_list", 7 * DAYS, "reference data: countries, currencies, units"},
    {"static", 30 * DAYS, "content that gets a new key when it changes"},
    {"not_found", 60 * SECONDS, "rows known to be absent"},
    {NULL, 0, NULL},
};

const struct fb_ttl_class *fb_ttl_classes(void) { return classes; }

const struct fb_ttl_class *fb_ttl_class_find(const char *name) {
    for (const struct fb_ttl_class *c = classes; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
