/* Replies of names and values: a map in RESP3, a flat array in RESP2, readable in redis-cli either way. */
#ifndef FB_SERVER_PAGE_H
#define FB_SERVER_PAGE_H

#include "server/call.h"

/* Pairs under construction; how many there are is known at the end. */
struct fb_page {
    struct fb_resp_out pairs;
    size_t n;
};

void fb_page_begin(struct fb_page *page, const struct fb_call *call);
void fb_page_text(struct fb_page *page, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void fb_page_bytes(struct fb_page *page, const char *name, fb_bytes value);
void fb_page_number(struct fb_page *page, const char *name, uint64_t value);
void fb_page_time(struct fb_page *page, const char *name, int64_t ms);
void fb_page_size(struct fb_page *page, const char *name, uint64_t bytes);
void fb_page_share(struct fb_page *page, const char *name, uint64_t part, uint64_t all);
/* Write the map and free the page. */
void fb_page_end(struct fb_page *page, struct fb_call *call);

#endif
