/* Waiting for write-behind: until it is on the disk, in the database, or all of it is and the partition is let go. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/behind.h"

void fb_behind_settle(struct fb_behind *behind, fb_instant now, struct fb_link *over) {
    for (struct fb_link *l = behind->waits.next, *next; l != &behind->waits; l = next) {
        struct fb_behind_wait *wait = fb_member_of(l, struct fb_behind_wait, link);
        next = l->next;
        if (wait->seq > behind->applied_seq && !fb_reached(now, wait->due))
            continue;
        fb_list_remove(l);
        fb_list_push_back(over, l);
    }
}

void fb_behind_tell(struct fb_behind *behind, struct fb_link *over) {
    for (struct fb_link *l; (l = fb_list_pop_front(over)) != NULL;) {
        struct fb_behind_wait *wait = fb_member_of(l, struct fb_behind_wait, link);
        fb_lock_acquire(&behind->lock);
        bool is_there = wait->seq <= behind->applied_seq;
        fb_lock_release(&behind->lock);
        fb_result result = {.status = is_there ? FB_OK : FB_TIMEOUT};
        wait->done(wait->user, &result);
        fb_mem_free(wait);
        fb_cache_op_end(behind->cache);
    }
}

/* ---- WAIT and WAITAOF ---- */

/* One question of all partitions: the last that answers ends it. */
struct settling {
    _Atomic unsigned open;
    _Atomic fb_status status;
    fb_cache *cache;
    fb_done done;
    void *user;
};

static void part_done(void *user, const fb_result *result) {
    struct settling *all = user;
    if (result->status != FB_OK)
        atomic_store(&all->status, result->status);
    if (atomic_fetch_sub(&all->open, 1) != 1)
        return;
    fb_cache *cache = all->cache;
    fb_result sum = {.status = atomic_load(&all->status)};
    if (sum.status < 0)
        (void)fb_fail(&sum.err, sum.status, "%s", fb_status_text(sum.status));
    all->done(all->user, &sum);
    fb_mem_free(all);
    fb_cache_op_end(cache);
}

static void synced(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq) {
    (void)first_seq;
    (void)last_seq;
    part_done(user, &(fb_result){.status = status == FB_OK ? FB_OK : FB_DIRTY});
}

static void ask_part(struct fb_behind *behind, fb_settled what, fb_instant due, struct settling *all) {
    fb_err err;
    atomic_fetch_add(&all->open, 1);
    if (what == FB_SETTLED_JOURNAL) {
        fb_status status = fb_journal_sync(behind->journal, synced, all, &err);
        if (status != FB_PENDING)
            part_done(all, &(fb_result){.status = status});
        return;
    }
    struct fb_behind_wait *wait = fb_mem_alloc(sizeof *wait);
    if (wait == NULL) {
        part_done(all, &(fb_result){.status = FB_NOMEM});
        return;
    }
    *wait = (struct fb_behind_wait){.due = due, .done = part_done, .user = all};
    fb_cache_op_begin(behind->cache);
    fb_lock_acquire(&behind->lock);
    wait->seq = fb_dirty_figures(behind->dirty).last_seq; /* 0: nothing waits */
    bool is_there = wait->seq <= behind->applied_seq;
    if (!is_there) {
        fb_list_push_back(&behind->waits, &wait->link);
        behind->asked_seq = wait->seq;
        fb_cond_broadcast(&behind->changed);
    }
    fb_lock_release(&behind->lock);
    if (!is_there)
        return;
    struct fb_link over = FB_LIST_INIT(over);
    fb_list_push_back(&over, &wait->link);
    fb_behind_tell(behind, &over);
}

fb_status fb_settle(fb_cache *cache, fb_settled what, int64_t timeout_ms, fb_done done, void *user,
                    fb_result *ret_result) {
    struct settling *all = fb_mem_calloc(1, sizeof *all);
    *ret_result = (fb_result){.status = FB_NOMEM};
    if (all == NULL)
        return FB_NOMEM;
    all->open = 1; /* for this loop */
    all->cache = cache;
    all->done = done;
    all->user = user;
    fb_cache_op_begin(cache);
    fb_instant due = timeout_ms > 0 ? fb_after(fb_clock_now(), fb_ms(timeout_ms)) : FB_NEVER;
    for (unsigned i = 0; i < atomic_load(&cache->nsources); i++) {
        struct fb_behind *behind = cache->sources[i]->behind;
        if (behind != NULL && behind->journal != NULL && behind->state != FB_BEHIND_ELSEWHERE)
            ask_part(behind, what, due, all);
    }
    part_done(all, &(fb_result){.status = FB_OK});
    return FB_PENDING;
}

/* ---- draining ---- */

struct last_word {
    struct fb_park park;
    fb_status status;
    uint64_t seq;
};

static void said(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq) {
    struct last_word *word = user;
    (void)first_seq;
    word->status = status;
    word->seq = last_seq;
    fb_park_done(&word->park);
}

fb_status fb_behind_note_end(struct fb_behind *behind, uint64_t *ret_seq, fb_err *err) {
    static const struct fb_journal_record clean = {.type = FB_BEHIND_CLEAN, .key = {"", 0}, .payload = {"", 0}};
    struct last_word word;
    fb_park_init(&word.park, 1);
    fb_status status = fb_journal_append(behind->journal, &clean, 1, said, &word, err);
    if (status != FB_PENDING)
        fb_park_done(&word.park);
    fb_park_wait(&word.park);
    if (status != FB_PENDING)
        return status;
    if (word.status != FB_OK)
        return fb_fail(err, word.status, "the journal of source '%s' cannot be written%s", behind->source->name,
                       word.status == FB_BUSY ? ": its disk is full" : "");
    *ret_seq = word.seq;
    return FB_OK;
}

/* The journal notes that the database has all of it, the watermark follows, and the row says so: others may have it. */
static fb_status let_go(struct fb_behind *behind, uint64_t *applied_seq, fb_err *err) {
    const struct fb_flush_ops *ops = behind->source->ops->flush;
    uint64_t seq = 0;
    if (behind->session == NULL)
        return FB_DOWN;
    fb_status status = fb_behind_note_end(behind, &seq, err);
    if (status != FB_OK)
        return status;
    struct fb_flush flush = {.part = behind->source->name, .epoch = behind->epoch, .prev_seq = *applied_seq,
                             .next_seq = seq};
    if (ops->flush(behind->session, &flush, err) != FB_FLUSH_APPLIED)
        return FB_SOURCE;
    *applied_seq = seq;
    return ops->clean(behind->session, behind->source->name, behind->epoch, seq, err);
}

/* With the lock held, which is let go meanwhile: the flusher's last word, when nothing waits any more. */
void fb_behind_let_go(struct fb_behind *behind) {
    fb_err err = {0};
    uint64_t applied_seq = behind->applied_seq;
    behind->is_over = true; /* what is appended after the last word would be passed over */
    fb_lock_release(&behind->lock);
    fb_status status = let_go(behind, &applied_seq, &err);
    fb_lock_acquire(&behind->lock);
    behind->applied_seq = behind->put_seq = applied_seq;
    if (status != FB_OK)
        behind->trouble = err;
    behind->is_ours = false; /* it is said once: without it, the same journal comes back to it all the same */
    fb_cond_broadcast(&behind->changed);
}

/* Who cannot let go, because its journal has failed, has brought to the database what it could. */
static bool is_drained(struct fb_behind *behind) {
    if (behind->state == FB_BEHIND_BROKEN)
        return behind->past == NULL && fb_dirty_figures(behind->dirty).writes == 0;
    return behind->state != FB_BEHIND_OWNER || !behind->is_ours;
}

fb_status fb_drain(fb_cache *cache, int64_t timeout_ms, uint64_t *ret_left) {
    fb_instant due = fb_after(fb_clock_now(), fb_ms(timeout_ms));
    uint64_t left = 0;
    for (unsigned i = 0; i < atomic_load(&cache->nsources); i++) {
        struct fb_behind *behind = cache->sources[i]->behind;
        if (behind == NULL)
            continue;
        fb_lock_acquire(&behind->lock);
        behind->is_draining = true;
        fb_cond_broadcast(&behind->changed);
        fb_lock_release(&behind->lock);
    }
    for (unsigned i = 0; i < atomic_load(&cache->nsources); i++) {
        struct fb_behind *behind = cache->sources[i]->behind;
        if (behind == NULL)
            continue;
        fb_lock_acquire(&behind->lock);
        while (!is_drained(behind) && !fb_reached(fb_clock_now(), due))
            fb_cond_wait_until(&behind->changed, &behind->lock, due);
        left += fb_dirty_figures(behind->dirty).writes;
        fb_lock_release(&behind->lock);
    }
    if (ret_left != NULL)
        *ret_left = left;
    return left == 0 ? FB_OK : FB_TIMEOUT;
}
