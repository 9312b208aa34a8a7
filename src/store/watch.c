/* Not yet: nothing is proved. */
#include "store/watch.h"

#include "base/err.h"

fb_status fb_store_watch_start(struct fb_place *place, const struct fb_store_watch_options *options,
                               struct fb_store_watch **ret_watch, fb_err *reterr) {
    (void)place, (void)options;
    *ret_watch = NULL;
    return fb_fail(reterr, FB_SYSTEM, "not yet");
}
void fb_store_watch_stop(struct fb_store_watch *watch) { (void)watch; }
