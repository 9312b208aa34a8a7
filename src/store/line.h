/* A store's connection to one primary, with the scripts loaded there. */
#ifndef FB_STORE_LINE_H
#define FB_STORE_LINE_H

#include "base/rng.h"
#include "store/place_parts.h"
#include "store/scripts.h"

enum { FB_SCRIPT_HASH = 40 }; /* hex digits of a SHA-1 */

struct fb_line {
    struct fb_store_address address;
    struct fb_connection connection;
    char hashes[FB_SCRIPT_COUNT][FB_SCRIPT_HASH];
    uint64_t server;              /* of its run id: changes with every start and every failover */
    unsigned failures;            /* in a row, to connect */
    fb_instant not_before;
    /* Of the round under way. */
    bool has_work, needs_scripts, is_to_be_closed;
    unsigned scripts_awaited;     /* replies that come first */
    size_t at;                    /* the call whose reply is next */
    unsigned part;                /* which of its replies */
};

struct fb_line *fb_line_new(const struct fb_place *place, const struct fb_store_address *address);
struct fb_line *fb_line_free(struct fb_line *line); /* NULL accepted and returned */
/* Connected to a primary, with the scripts there. FB_MISS: a try has failed and the next is in a moment. */
fb_status fb_line_connect(struct fb_line *line, const struct fb_place *place, struct fb_rng *rng, fb_instant deadline,
                          fb_err *reterr);
void fb_line_write_scripts(struct fb_line *line);
/* The reply to script number `script` is there. */
fb_status fb_line_take_script(struct fb_line *line, unsigned script, fb_err *reterr);

#endif
