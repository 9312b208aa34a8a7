/* The one database of this world, in the place of source/find.c. */
#include "world.h"

const struct fb_driver_ops *fb_driver_find(const char *url, fb_err *reterr) {
    (void)url;
    (void)reterr;
    return &model_driver;
}
