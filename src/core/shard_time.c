/* What ends by time: waiters' deadlines, leases, marks whose writer cannot be seen, doubts, and expired entries. */
#include "core/shard_internal.h"

enum {
    SWEEP_STEPS = 64,   /* index slots looked at per tick: a million entries in 16 shards within two minutes */
    SHRINK_STEPS = 512, /* entries evicted per tick on the way to a smaller bytes_max: some 100 µs, and a million entries
                           in 16 shards within seven seconds */
};

struct sweep {
    struct fb_shard *shard;
    fb_instant now;
};

/* As fb_shard_age, of an entry in the hand. */
static bool is_over(void *user, fb_bytes key, struct fb_stamp *stamp) {
    const struct sweep *sweep = user;
    enum fb_verdict verdict = fb_grace(stamp, &sweep->shard->policies[stamp->keyspace], sweep->now);
    if (verdict == FB_VERDICT_FRESH)
        return false;
    if (!stamp->is_stale) {
        fb_shard_count(sweep->shard, stamp->keyspace)->expired++;
        fb_shard_tell(sweep->shard, FB_EVENT_EXPIRED, stamp->keyspace, (fb_kind)stamp->kind, key);
        if (verdict != FB_VERDICT_EXPIRED)
            fb_stamp_let_go(stamp, stamp->birth);
    }
    return verdict == FB_VERDICT_EXPIRED;
}

static void earlier(fb_instant *due, fb_instant other) {
    if (fb_before(other, *due))
        *due = other;
}

static fb_instant end_waits(struct fb_shard *shard, fb_instant now, struct fb_effects *fx) {
    fb_instant due = FB_NEVER;
    for (struct fb_link *l = shard->timed.next, *next; l != &shard->timed; l = next) {
        struct fb_waiter *waiter = fb_member_of(l, struct fb_waiter, timed);
        next = l->next;
        bool is_late = fb_reached(now, waiter->deadline);
        if ((is_late || fb_reached(now, waiter->stale_at)) && fb_waiter_stand_in(shard, waiter, now, fx))
            continue;
        if (!is_late) {
            if (fb_reached(now, waiter->stale_at))
                waiter->stale_at = fb_after(now, waiter->patience); /* there was nothing: it waits on */
            earlier(&due, waiter->deadline);
            earlier(&due, waiter->stale_at);
            continue;
        }
        fb_shard_count(shard, waiter->keyspace)->timeouts++;
        fb_waiter_answer(shard, waiter, FB_TIMEOUT, /* value = */ NULL, now, fx);
    }
    return due;
}

/* Ends what is due in one record and returns when the next thing in it is. */
static fb_instant end_dated(struct fb_shard *shard, struct fb_coord *coord, fb_instant now, struct fb_effects *fx) {
    struct fb_link homeless = FB_LIST_INIT(homeless);
    if (coord->in_doubt && fb_reached(now, coord->doubt_until)) {
        coord->in_doubt = false;
        fb_shard_tell(shard, FB_EVENT_DOUBTED, coord->keyspace, FB_KIND_NONE, fb_coord_key(coord));
    }
    if (coord->active != NULL && fb_reached(now, coord->active->expires)) {
        struct fb_writer *writer = coord->active;
        coord->active = NULL;
        writer->coord = NULL;
        writer->is_granted = false;
        fb_list_push_back(&fx->lapsed, &writer->lapse);
        fb_coord_grant_next(shard, coord, &homeless, now, fx);
    }
    if (coord->leased != NULL && coord->leased->is_lease && fb_reached(now, coord->leased->lease_until))
        fb_coord_fence(shard, coord, &homeless);
    fb_coord_rehouse(shard, coord, &homeless, now, fx);

    fb_instant due = FB_NEVER;
    if (coord->in_doubt)
        earlier(&due, coord->doubt_until);
    if (coord->active != NULL)
        earlier(&due, coord->active->expires);
    if (coord->leased != NULL && coord->leased->is_lease)
        earlier(&due, coord->leased->lease_until);
    return due;
}

fb_instant fb_shard_tick(struct fb_shard *shard, fb_instant now, struct fb_effects *fx) {
    struct sweep sweep = {shard, now};
    (void)fb_table_sweep(shard->table, SWEEP_STEPS, is_over, &sweep);
    fb_table_shrink(shard->table, SHRINK_STEPS);
    if (!fb_reached(now, shard->next_due))
        return shard->next_due;

    struct fb_link again = FB_LIST_INIT(again);
    shard->next_due = FB_NEVER; /* the moves below may set it again; the rest is found out here */
    fb_instant due = end_waits(shard, now, fx);
    fb_list_append(&again, &shard->dated);
    for (struct fb_link *l; (l = fb_list_pop_front(&again)) != NULL;) {
        struct fb_coord *coord = fb_member_of(l, struct fb_coord, dated);
        fb_instant coord_due = end_dated(shard, coord, now, fx);
        if (coord_due.ns != FB_NEVER.ns)
            fb_coord_note_due(shard, coord, coord_due);
        fb_coord_settle(shard, coord);
    }
    earlier(&shard->next_due, due);
    return shard->next_due;
}
