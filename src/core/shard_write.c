/* Writing and forgetting: BEGIN, END, INVAL, and the lives of entries. */
#include "core/shard_internal.h"

/* Remove what is cached; true when something was. */
bool fb_shard_forget(struct fb_shard *shard, uint64_t hash, fb_bytes key, struct fb_stamp *ret_stamp) {
    if (!fb_table_remove(shard->table, hash, key, ret_stamp))
        return false;
    fb_shard_count(shard, ret_stamp->keyspace)->invalidations++;
    return true;
}

/* What is about to be hidden, for a writer that decides by it. Nothing where it is not fresh, or no memory. */
static void show_hidden(struct fb_shard *shard, const struct fb_coord *coord, struct fb_writer *writer, fb_instant now) {
    struct fb_stamp stamp;
    fb_buf copy = FB_BUF_INIT;
    fb_bytes key = fb_coord_key(coord);
    writer->shown = FB_MISS;
    if (writer->is_contended || fb_table_read(shard->table, coord->hash, key, &stamp, &copy) != FB_OK ||
        fb_freshness(&stamp, &shard->policies[stamp.keyspace], now) != FB_VERDICT_FRESH)
        goto out;
    if (stamp.kind != FB_KIND_NONE) {
        writer->value = fb_value_new((fb_kind)stamp.kind, copy.data, copy.len);
        if (writer->value == NULL)
            goto out;
    }
    writer->shown = stamp.kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
    writer->born = stamp.birth;
    writer->born_cap_ms = stamp.cap_ms;
out:
    fb_buf_free(&copy);
}

/* BEGIN for the next in the queue: value and lease go, the writer is marked. */
void fb_coord_grant_next(struct fb_shard *shard, struct fb_coord *coord, struct fb_link *homeless, fb_instant now,
                         struct fb_effects *fx) {
    struct fb_link *l = coord->active == NULL ? fb_list_pop_front(&coord->queued) : NULL;
    if (l == NULL)
        return;
    struct fb_writer *writer = fb_member_of(l, struct fb_writer, link);
    struct fb_stamp stamp;
    coord->nqueued--;
    coord->active = writer;
    writer->is_granted = true;
    /* The doubted write, or what a hold is there for, may land after this one, however late this one's end is told. */
    writer->is_contended = coord->in_doubt || coord->nholds > 0;
    fb_coord_fence(shard, coord, homeless);
    if (writer->wants_value)
        show_hidden(shard, coord, writer, now);
    writer->has_hidden = fb_shard_forget(shard, coord->hash, fb_coord_key(coord), &stamp);
    writer->expires = writer->window.ns > 0 ? fb_after(now, writer->window) : FB_NEVER;
    if (writer->window.ns > 0)
        fb_coord_note_due(shard, coord, writer->expires);
    fb_list_push_back(&fx->granted, &writer->link);
}

fb_status fb_shard_begin(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                         struct fb_writer *writer, fb_instant now, struct fb_effects *fx) {
    struct fb_link homeless = FB_LIST_INIT(homeless);
    struct fb_coord *coord = fb_coord_make(shard, hash, key, keyspace);
    fb_list_init(&writer->link);
    fb_list_init(&writer->lapse);
    writer->is_granted = writer->has_hidden = writer->is_contended = false;
    writer->keyspace = keyspace;
    writer->coord = coord;
    if (coord == NULL)
        return FB_NOMEM;
    if (coord->nqueued >= FB_WRITERS_PER_KEY_MAX)
        return FB_BUSY;
    fb_list_push_back(&coord->queued, &writer->link);
    coord->nqueued++;
    if (coord->active != NULL)
        return FB_PENDING;
    fb_coord_grant_next(shard, coord, &homeless, now, fx);
    fb_coord_rehouse(shard, coord, &homeless, now, fx);
    fb_list_remove(&writer->link); /* granted here and now: the return value says so, not fx */
    return FB_OK;
}

static void doubt(struct fb_shard *shard, struct fb_coord *coord, fb_instant now) {
    coord->in_doubt = true;
    coord->doubt_until = fb_after(now, fb_ms(FB_WRITE_WINDOW_MS));
    fb_coord_note_due(shard, coord, coord->doubt_until);
}

void fb_shard_end(struct fb_shard *shard, struct fb_writer *writer, enum fb_write_end how, fb_kind kind, fb_bytes value,
                  fb_instant birth, uint32_t cap_ms, fb_instant now, uint16_t draw, struct fb_effects *fx) {
    struct fb_coord *coord = writer->coord;
    struct fb_link homeless = FB_LIST_INIT(homeless);
    bool may_keep = !writer->is_contended;

    coord->active = NULL;
    writer->coord = NULL;
    writer->is_granted = false;
    fb_coord_fence(shard, coord, &homeless);
    if (may_keep && (how == FB_END_KEEP || how == FB_END_ABSENT)) {
        struct fb_stamp stamp = {
            .birth = birth,
            .cap_ms = cap_ms,
            .draw = draw,
            .keyspace = writer->keyspace,
            .kind = (uint8_t)(how == FB_END_KEEP ? kind : FB_KIND_NONE),
        };
        fb_shard_keep(shard, coord->hash, fb_coord_key(coord), &stamp, value);
    }
    if (how == FB_END_DOUBT)
        doubt(shard, coord, now);
    fb_coord_grant_next(shard, coord, &homeless, now, fx);
    fb_coord_rehouse(shard, coord, &homeless, now, fx);
    fb_coord_settle(shard, coord);
}

struct fb_writer *fb_shard_next_writer(const struct fb_writer *active) {
    const struct fb_coord *coord = active->coord;
    return fb_list_is_empty(&coord->queued) ? NULL : fb_member_of(coord->queued.next, struct fb_writer, link);
}

bool fb_shard_cancel(struct fb_shard *shard, struct fb_writer *writer) {
    struct fb_coord *coord = writer->coord;
    if (writer->is_granted)
        return false;
    fb_list_remove(&writer->link);
    writer->coord = NULL;
    coord->nqueued--;
    fb_coord_settle(shard, coord);
    return true;
}

/* ---- holds ---- */

fb_status fb_shard_hold(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace, struct fb_hold *hold,
                        fb_instant now, struct fb_effects *fx) {
    struct fb_link homeless = FB_LIST_INIT(homeless);
    struct fb_stamp stamp;
    struct fb_coord *coord = fb_coord_make(shard, hash, key, keyspace);
    *hold = (struct fb_hold){coord, keyspace};
    if (coord == NULL)
        return FB_NOMEM;
    coord->nholds++;
    if (coord->active != NULL)
        coord->active->is_contended = true;
    fb_coord_fence(shard, coord, &homeless);
    (void)fb_shard_forget(shard, hash, key, &stamp);
    fb_coord_rehouse(shard, coord, &homeless, now, fx);
    return FB_OK;
}

void fb_shard_release(struct fb_shard *shard, struct fb_hold *hold, bool is_doubted, fb_instant now) {
    struct fb_coord *coord = hold->coord;
    hold->coord = NULL;
    coord->nholds--;
    if (is_doubted)
        doubt(shard, coord, now);
    fb_shard_tell(shard, FB_EVENT_INVALIDATED, hold->keyspace, FB_KIND_NONE, fb_coord_key(coord));
    fb_coord_settle(shard, coord);
}

/* ---- forgetting ---- */

static void invalidate_coord(struct fb_shard *shard, struct fb_coord *coord, fb_instant now, struct fb_effects *fx) {
    struct fb_link homeless = FB_LIST_INIT(homeless);
    fb_coord_fence(shard, coord, &homeless);
    if (coord->active != NULL)
        coord->active->is_contended = true;
    fb_coord_rehouse(shard, coord, &homeless, now, fx);
    fb_coord_settle(shard, coord);
}

fb_status fb_shard_invalidate(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now,
                              struct fb_effects *fx) {
    struct fb_stamp stamp;
    fb_status status = FB_MISS;
    if (fb_shard_forget(shard, hash, key, &stamp)) {
        if (fb_freshness(&stamp, &shard->policies[stamp.keyspace], now) == FB_VERDICT_FRESH)
            status = stamp.kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
        if (!stamp.is_stale) /* else its end was told */
            fb_shard_tell(shard, status == FB_MISS ? FB_EVENT_EXPIRED : FB_EVENT_INVALIDATED, stamp.keyspace,
                          (fb_kind)stamp.kind, key);
    } /* else a load under way may bring somebody what was there before: it is not kept, and that is told */
    struct fb_coord *coord = fb_coord_find(shard, hash, key);
    if (coord != NULL)
        invalidate_coord(shard, coord, now, fx);
    return status;
}

void fb_shard_invalidate_all(struct fb_shard *shard, fb_instant now, struct fb_effects *fx) {
    fb_table_clear(shard->table);
    for (unsigned i = 0; i < shard->nbuckets; i++)
        for (struct fb_link *l = shard->buckets[i].next, *next; l != &shard->buckets[i]; l = next) {
            next = l->next;
            invalidate_coord(shard, fb_member_of(l, struct fb_coord, bucket), now, fx);
        }
}

struct purge {
    struct fb_shard *shard;
    uint16_t keyspace;
    fb_instant now;
    uint64_t *dropped;
};

static bool is_purged(void *user, fb_bytes key, struct fb_stamp *stamp) {
    const struct purge *purge = user;
    if (stamp->keyspace != purge->keyspace)
        return false;
    ++*purge->dropped;
    fb_shard_count(purge->shard, stamp->keyspace)->invalidations++;
    fb_shard_tell(purge->shard, FB_EVENT_INVALIDATED, stamp->keyspace, (fb_kind)stamp->kind, key);
    return true;
}

uint64_t fb_shard_invalidate_keyspace(struct fb_shard *shard, uint64_t position, uint16_t keyspace, fb_instant now,
                                      struct fb_effects *fx, uint64_t *dropped, unsigned *ret_looked) {
    struct purge purge = {shard, keyspace, now, dropped};
    for (unsigned i = 0; position == 0 && i < shard->nbuckets; i++)
        for (struct fb_link *l = shard->buckets[i].next, *next; l != &shard->buckets[i]; l = next) {
            struct fb_coord *coord = fb_member_of(l, struct fb_coord, bucket);
            next = l->next;
            if (coord->keyspace == keyspace)
                invalidate_coord(shard, coord, now, fx);
        }
    return fb_table_purge(shard->table, position, is_purged, &purge, ret_looked);
}

/* ---- lives ---- */

static bool life_allowed(const struct fb_stamp *stamp, const fb_policy *policy, unsigned flags, fb_instant due) {
    fb_instant current = fb_policy_expiry(stamp, policy);
    if ((flags & FB_EXPIRE_NX) && fb_stamp_cap(stamp) != 0)
        return false;
    if ((flags & FB_EXPIRE_XX) && fb_stamp_cap(stamp) == 0)
        return false;
    if ((flags & FB_EXPIRE_GT) && !fb_before(current, due))
        return false;
    if ((flags & FB_EXPIRE_LT) && !fb_before(due, current))
        return false;
    return true;
}

static fb_status set_cap(struct fb_shard *shard, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp,
                         uint32_t cap_ms) {
    (void)fb_table_set_cap(shard->table, hash, key, cap_ms); /* it has just been looked at */
    fb_shard_tell(shard, FB_EVENT_LIFE, stamp->keyspace, (fb_kind)stamp->kind, key);
    return FB_OK;
}

fb_status fb_shard_expire(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_span life, unsigned flags,
                          fb_instant now, struct fb_effects *fx) {
    struct fb_stamp stamp;
    if (fb_shard_look(shard, hash, key, now, &stamp) != FB_OK)
        return FB_MISS;
    fb_instant due = fb_after(now, life);
    if (!life_allowed(&stamp, &shard->policies[stamp.keyspace], flags, due))
        return FB_UNMET;
    if (!fb_before(now, due))
        return fb_shard_invalidate(shard, hash, key, now, fx);
    struct fb_stamp uncapped = stamp;
    uncapped.cap_ms = 0;
    int64_t cap = fb_span_ms(fb_since(due, stamp.birth));
    cap = cap < 1 ? 1 : cap > UINT32_MAX ? UINT32_MAX : cap;
    if (!fb_before(due, fb_policy_expiry(&uncapped, &shard->policies[stamp.keyspace])))
        cap = 0; /* no longer than it lives anyway */
    return set_cap(shard, hash, key, &stamp, (uint32_t)cap);
}

fb_status fb_shard_persist(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now) {
    struct fb_stamp stamp;
    if (fb_shard_look(shard, hash, key, now, &stamp) != FB_OK)
        return FB_MISS;
    if (fb_stamp_cap(&stamp) == 0)
        return FB_UNMET;
    return set_cap(shard, hash, key, &stamp, 0);
}
