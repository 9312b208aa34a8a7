/* The names that lie in a store. */
#ifndef FB_STORE_SCAN_H
#define FB_STORE_SCAN_H

#include "store/place.h"

enum {
    FB_SCAN_TRIES_MAX = 3, /* from the start, where the primaries changed meanwhile */
};

/* Some of the names; false: no more are wanted. */
typedef bool fb_scan_page(void *user, const fb_bytes *names, size_t n);

/* Every name that matches `pattern` (a glob of Redis') and is there all the time, at any primary, at least once. Blocks,
 * on connections of its own, `timeout` for one round trip. FB_OK; FB_CLOSED: the page said so; FB_DOWN; FB_NOMEM. */
fb_status fb_store_scan(struct fb_place *place, fb_bytes pattern, fb_span timeout, fb_scan_page *page, void *user,
                        fb_err *reterr);

#endif
