/* Refresh-ahead and XFetch: a load that a hit begins and does not wait for. */
#include "core/shard_internal.h"

enum fb_due fb_shard_due(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_instant now,
                         uint32_t draw) {
    /* A load under way will bring what a refresh would; and what a write leaves behind, it knows better. */
    if (fb_coord_find(shard, hash, key) != NULL)
        return FB_DUE_NOT;
    return fb_refresh_due(stamp, &shard->policies[stamp->keyspace], now, draw);
}

fb_status fb_shard_refresh_ahead(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp,
                                 enum fb_due due, bool may_load, fb_instant now, struct fb_effects *fx) {
    uint16_t keyspace = stamp->keyspace;
    fb_keyspace_stats *count = fb_shard_count(shard, keyspace);
    if (!may_load) {
        count->refreshes_refused++;
        return FB_REFUSED;
    }
    struct fb_coord *coord = fb_coord_make(shard, hash, key, keyspace);
    struct fb_flight *flight = coord != NULL ? fb_coord_launch(shard, coord, keyspace, now) : NULL;
    if (flight != NULL) {
        flight->refreshes = flight->is_ahead = flight->is_promised = true;
        flight->left = fb_refresh_left(stamp, &shard->policies[keyspace], now);
        count->refreshes += due == FB_DUE_AHEAD;
        count->early_refreshes += due == FB_DUE_EARLY;
        fb_list_push_back(&fx->loads, &flight->link);
    }
    if (coord != NULL)
        fb_coord_settle(shard, coord);
    return flight != NULL ? FB_OK : FB_NOMEM;
}
