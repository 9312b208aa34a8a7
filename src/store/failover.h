/* What a failover or a restart of the store may have lost: judged from what its primary says of its history.
 *
 * Redis replicates asynchronously: acknowledged deletes can be lost, and values they deleted come back. A primary's
 * history is a replication id and an offset; a promoted replica keeps the id it followed as its second one, with the
 * offset up to which it had followed. So heartbeats that noted (time, offset) date the loss. The second id alone
 * proves little: a primary that starts again from an old file has it, too. */
#ifndef FB_STORE_FAILOVER_H
#define FB_STORE_FAILOVER_H

#include <forebay/forebay.h>

#include "base/time.h"

enum {
    FB_STORE_ID_LEN = 40,
    FB_HEARTBEATS = 256,           /* a minute of one every 250 ms */
    FB_REASSERT_MAX_MS = 60000,    /* how far back the ring of written names reaches */
    FB_REASSERT_MARGIN_MS = 1000,  /* between a write's answer and the heartbeat that counted it */
};

/* Who a primary is, from INFO (sections server and replication). */
struct fb_store_identity {
    char run_id[FB_STORE_ID_LEN], replid[FB_STORE_ID_LEN], replid2[FB_STORE_ID_LEN];
    int64_t second_offset; /* the first offset of replid2's history that is not this one's; −1: none */
    int64_t offset;
    bool is_primary;
};
/* False when a line is missing or no number where one belongs. */
bool fb_store_identity_parse(fb_bytes info, struct fb_store_identity *ret);

struct fb_heartbeats {
    struct { fb_instant sent; int64_t offset; } items[FB_HEARTBEATS];
    size_t count; /* ever; the last FB_HEARTBEATS are kept */
};
/* `sent`: when the question left, so that what it dates is not younger. */
void fb_heartbeat(struct fb_heartbeats *ring, fb_instant sent, int64_t offset);

enum fb_failover {
    FB_FAILOVER_NONE,     /* the same primary: a hiccup of the network */
    FB_FAILOVER_REASSERT, /* INVAL every key this process wrote since `since` */
    FB_FAILOVER_DISTRUST, /* what was there at this moment counts as missing */
};
/* `before`: when it was last connected to; `after`: now. Sets `ret_since` with REASSERT only. */
enum fb_failover fb_failover_judge(const struct fb_store_identity *before, const struct fb_store_identity *after,
                                   const struct fb_heartbeats *ring, fb_instant now, fb_instant *ret_since);

#endif
