/* Grace: what outlives its life in the table, and stands in for an answer that is late or has failed. */
#include "core/shard_internal.h"

static bool has_grace(const fb_policy *policy) { return policy->grace_ms > 0 || policy->grace_down_ms > 0; }

static bool may_serve(enum fb_verdict verdict, bool source_down) {
    return verdict == FB_VERDICT_STALE || (verdict == FB_VERDICT_STALE_DOWN && source_down);
}

void fb_shard_age(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_instant now) {
    bool is_over = fb_grace(stamp, &shard->policies[stamp->keyspace], now) == FB_VERDICT_EXPIRED;
    struct fb_stamp was = *stamp;
    if (is_over)
        fb_table_remove(shard->table, hash, key, NULL);
    else if (!was.is_stale)
        fb_table_let_go(shard->table, hash, key, stamp->birth);
    if (was.is_stale)
        return;
    fb_shard_count(shard, was.keyspace)->expired++;
    fb_shard_tell(shard, FB_EVENT_EXPIRED, was.keyspace, (fb_kind)was.kind, key);
}

void fb_shard_serve_stale(struct fb_shard *shard, uint16_t keyspace, fb_kind kind, fb_bytes key, unsigned n) {
    if (n == 0)
        return;
    fb_shard_count(shard, keyspace)->stale_served += n;
    fb_shard_tell(shard, FB_EVENT_STALE, keyspace, kind, key);
}

/* ---- at once ---- */

/* Has somebody's load of the key been under way for longer than this caller would wait? */
static bool is_load_late(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_span patience, fb_instant now) {
    const struct fb_coord *coord = fb_coord_find(shard, hash, key);
    const struct fb_flight *flight = coord == NULL ? NULL : coord->leased != NULL ? coord->leased : coord->fresh;
    return flight != NULL && patience.ns > 0 && fb_reached(now, fb_after(flight->launched, patience));
}

fb_status fb_shard_stale(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                         const struct fb_waiter *waiter, fb_instant now, fb_buf *out, fb_kind *ret_kind) {
    struct fb_stamp stamp;
    if (!has_grace(&shard->policies[keyspace]) || waiter->wants_lease || !fb_shard_is_proved(shard, now) ||
        fb_table_read(shard->table, hash, key, &stamp, /* out = */ NULL) != FB_OK ||
        !may_serve(fb_grace(&stamp, &shard->policies[stamp.keyspace], now), waiter->source_down))
        return FB_MISS;
    if (!waiter->source_down && fb_stamp_may_retry(&stamp, now) &&
        !is_load_late(shard, hash, key, waiter->patience, now))
        return FB_MISS;
    if (fb_table_read(shard->table, hash, key, &stamp, out) != FB_OK)
        return FB_NOMEM;
    fb_table_touch(shard->table, hash, key);
    fb_shard_count(shard, keyspace)->misses++;
    fb_shard_serve_stale(shard, keyspace, (fb_kind)stamp.kind, key, 1);
    *ret_kind = (fb_kind)stamp.kind;
    return FB_OK;
}

/* ---- instead of an answer ---- */

struct fb_stand_in fb_shard_stand_in(struct fb_shard *shard, uint64_t hash, fb_bytes key, bool source_down,
                                     fb_instant now) {
    struct fb_stand_in found = {.status = FB_MISS};
    struct fb_stamp stamp;
    fb_buf copy = FB_BUF_INIT;
    if (!fb_shard_is_proved(shard, now) ||
        fb_table_read(shard->table, hash, key, &stamp, /* out = */ NULL) != FB_OK ||
        !has_grace(&shard->policies[stamp.keyspace]))
        return found;
    enum fb_verdict verdict = fb_grace(&stamp, &shard->policies[stamp.keyspace], now);
    bool is_fresh = verdict == FB_VERDICT_FRESH; /* written while its reader waited */
    if (is_fresh && stamp.kind == FB_KIND_NONE) {
        found.status = FB_NOTFOUND;
    } else if ((is_fresh || may_serve(verdict, source_down)) &&
               fb_table_read(shard->table, hash, key, &stamp, &copy) == FB_OK) {
        found.value = fb_value_new((fb_kind)stamp.kind, copy.data, copy.len);
        found.status = found.value != NULL ? FB_OK : FB_MISS;
        found.is_stale = !is_fresh;
        fb_table_touch(shard->table, hash, key);
    }
    fb_buf_free(&copy);
    return found;
}

bool fb_waiter_stand_in(struct fb_shard *shard, struct fb_waiter *waiter, fb_instant now, struct fb_effects *fx) {
    const struct fb_coord *coord = waiter->flight->coord;
    if (!waiter->takes_stale)
        return false;
    struct fb_stand_in found = fb_shard_stand_in(shard, coord->hash, fb_coord_key(coord), waiter->source_down, now);
    struct fb_flight *flight = waiter->flight;
    if (found.status == FB_MISS && flight->stand_in != NULL && (waiter->leads || waiter->before_dispatch))
        found = (struct fb_stand_in){.status = FB_OK, .value = fb_value_ref(flight->stand_in), .is_stale = true};
    if (found.status == FB_MISS)
        return false;
    if (found.is_stale)
        fb_shard_serve_stale(shard, waiter->keyspace, found.value->kind, fb_coord_key(coord), 1);
    waiter->is_stale = found.is_stale;
    waiter->shared = 1;
    waiter->flight->is_promised = true;
    fb_waiter_answer(shard, waiter, found.status, found.value, now, fx);
    fb_value_unref(found.value);
    return true;
}

void fb_shard_put_off(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, uint16_t draw) {
    struct fb_stamp stamp;
    if (fb_table_read(shard->table, hash, key, &stamp, /* out = */ NULL) != FB_OK ||
        fb_freshness(&stamp, &shard->policies[stamp.keyspace], now) == FB_VERDICT_FRESH)
        return;
    fb_shard_age(shard, hash, key, &stamp, now);
    fb_span pause = fb_backoff(0, fb_ms(FB_STALE_RETRY_MS), fb_ms(FB_STALE_RETRY_MS), draw);
    fb_table_let_go(shard->table, hash, key, fb_after(now, pause)); /* if it is still there */
}

void fb_shard_adopt(struct fb_shard *shard, struct fb_flight *flight, fb_kind kind, fb_bytes value, fb_instant born,
                    fb_instant now) {
    struct fb_coord *coord = flight->coord;
    struct fb_stamp stamp = {.birth = born, .keyspace = flight->keyspace, .kind = (uint8_t)kind, .cost_us = 1};
    enum fb_verdict verdict = fb_grace(&stamp, &shard->policies[flight->keyspace], now);
    if (verdict != FB_VERDICT_STALE && verdict != FB_VERDICT_STALE_DOWN)
        return;
    if (flight->stand_in == NULL && verdict == FB_VERDICT_STALE)
        flight->stand_in = fb_value_new(kind, value.data, value.len); /* without memory they wait */
    if (!fb_coord_lets_fill(coord, flight) || !fb_shard_is_proved(shard, now))
        return;
    if (fb_shard_keep(shard, coord->hash, fb_coord_key(coord), &stamp, value))
        fb_table_let_go(shard->table, coord->hash, fb_coord_key(coord), stamp.birth); /* its end was told, long ago */
}
