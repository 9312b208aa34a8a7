/* Pairs of names and values, with their number in front. */
#include "server/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/words.h"

enum { TEXT_MAX = 1024 }; /* of a value that is put together; longer ones are cut */

void fb_page_begin(struct fb_page *page, const struct fb_call *call) {
    *page = (struct fb_page){.pairs = FB_RESP_OUT_INIT};
    page->pairs.version = call->out->version;
}

void fb_page_bytes(struct fb_page *page, const char *name, fb_bytes value) {
    fb_resp_write_bulk(&page->pairs, FB_STR(name));
    fb_resp_write_bulk(&page->pairs, value);
    page->n++;
}

void fb_page_text(struct fb_page *page, const char *name, const char *format, ...) {
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fb_page_bytes(page, name, FB_STR(text));
}

void fb_page_number(struct fb_page *page, const char *name, uint64_t value) {
    fb_resp_write_bulk(&page->pairs, FB_STR(name));
    fb_resp_write_integer(&page->pairs, (int64_t)value);
    page->n++;
}

void fb_page_time(struct fb_page *page, const char *name, int64_t ms) {
    char text[FB_WORDS_MAX];
    fb_page_bytes(page, name, FB_STR(fb_words_time(ms, text)));
}

void fb_page_size(struct fb_page *page, const char *name, uint64_t bytes) {
    char text[FB_WORDS_MAX];
    fb_page_bytes(page, name, FB_STR(fb_words_size(bytes, text)));
}

void fb_page_share(struct fb_page *page, const char *name, uint64_t part, uint64_t all) {
    char text[FB_WORDS_MAX];
    fb_page_bytes(page, name, FB_STR(fb_words_share(part, all, text)));
}

void fb_page_end(struct fb_page *page, struct fb_call *call) {
    fb_resp_write_map(call->out, page->n);
    if (page->pairs.failed || fb_buf_append(&call->out->buf, page->pairs.buf.data, page->pairs.buf.len) != FB_OK)
        call->out->failed = true;
    fb_buf_free(&page->pairs.buf);
}
