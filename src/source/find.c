/* Which adapter serves a URL. */
#include "source/source.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

static const struct fb_driver_ops *const drivers[] = {
    &fb_driver_sqlite,
#ifdef FB_WITH_POSTGRESQL
    &fb_driver_postgresql,
#endif
#ifdef FB_WITH_MYSQL
    &fb_driver_mysql,
#endif
};
enum { NDRIVERS = sizeof drivers / sizeof drivers[0] };

static bool is_scheme(const char *url, const char *scheme) {
    size_t n = scheme != NULL ? strlen(scheme) : 0;
    return url != NULL && n > 0 && strncmp(url, scheme, n) == 0 && url[n] == ':';
}

const struct fb_driver_ops *fb_driver_find(const char *url, fb_err *reterr) {
    char known[80] = "";
    for (size_t i = 0, at = 0; i < NDRIVERS; i++) {
        if (is_scheme(url, drivers[i]->scheme) || is_scheme(url, drivers[i]->alias))
            return drivers[i];
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s:", i > 0 ? ", " : "", drivers[i]->scheme);
    }
    /* Only the scheme is shown: what follows may hold a password. */
    size_t n = url != NULL ? strcspn(url, ":") : 0;
    fb_fail(reterr, FB_INVALID, "unknown kind of source '%.*s'; known: %s", n < 40 ? (int)n : 40,
            url != NULL ? url : "", known);
    return NULL;
}
