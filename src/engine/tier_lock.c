/* Locks by name that lie in the store: one holder in the whole fleet. Who waits looks again with each tick; there is no order
 * among the waiters of several processes. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/tier.h"

static const char prefix[] = "fb:l:";

struct fb_shared_lock {
    struct fb_link link;       /* in tier->lockers, while it waits to look again; the tier's lock covers that */
    struct fb_tier *tier;
    fb_done done;
    void *user;
    fb_instant due;
    int64_t ttl_ms;
    uint64_t token;
    bool is_unlock;
    size_t key_len;
    char key[];
};

static void answer(struct fb_shared_lock *lock, fb_status status, uint64_t fence, const char *why) {
    struct fb_cache *cache = lock->tier->cache;
    char text[24];
    fb_result result = {.status = status};
    if (status < 0)
        (void)fb_fail(&result.err, status, "%s", why);
    if (status == FB_OK && !lock->is_unlock) {
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)fence);
        result.number = (int64_t)lock->token;
        result.kind = FB_KIND_STRING;
        result.value = fb_bytes_of(text, (size_t)len);
    }
    lock->done(lock->user, &result);
    fb_mem_free(lock);
    fb_cache_op_end(cache);
}

static void ask(struct fb_shared_lock *lock);

static void answered(void *user, const struct fb_store_call *call) {
    struct fb_shared_lock *lock = user;
    struct fb_tier *tier = lock->tier;
    if (call->outcome != FB_STORE_DONE) { /* it may be held, by nobody: its life ends that */
        answer(lock, FB_STOREDOWN, 0, call->why[0] != '\0' ? call->why : fb_status_text(FB_STOREDOWN));
    } else if (call->answer == FB_STORE_LEASE || call->answer == FB_STORE_DROPPED) {
        answer(lock, FB_OK, call->fence, NULL);
    } else if (lock->is_unlock) {
        answer(lock, FB_REFUSED, 0, "the token is not that of the lock's holder");
    } else if (fb_reached(fb_clock_now(), lock->due)) {
        answer(lock, FB_UNMET, 0, NULL);
    } else {
        fb_lock_acquire(&tier->lock);
        fb_list_push_back(&tier->lockers, &lock->link);
        fb_lock_release(&tier->lock);
    }
}

static void ask(struct fb_shared_lock *lock) {
    struct fb_store_call call = {.move = lock->is_unlock ? FB_STORE_UNLOCK : FB_STORE_LOCK, .kind = FB_KIND_STRING,
                                 .key = fb_bytes_of(lock->key, lock->key_len), .token = {0, lock->token},
                                 .ttl_ms = lock->ttl_ms};
    if (fb_tier_call(lock->tier, &call, answered, lock) != FB_PENDING)
        answer(lock, FB_NOMEM, 0, fb_status_text(FB_NOMEM));
}

void fb_tier_locks_tick(struct fb_tier *tier, bool is_closing) {
    struct fb_link again = FB_LIST_INIT(again);
    fb_lock_acquire(&tier->lock);
    fb_list_append(&again, &tier->lockers);
    fb_lock_release(&tier->lock);
    for (struct fb_link *l; (l = fb_list_pop_front(&again)) != NULL;) {
        struct fb_shared_lock *lock = fb_member_of(l, struct fb_shared_lock, link);
        if (is_closing)
            answer(lock, FB_CLOSED, 0, fb_status_text(FB_CLOSED));
        else
            ask(lock);
    }
}

static fb_status submit(struct fb_tier *tier, fb_bytes name, const struct fb_shared_lock *like) {
    size_t len = sizeof prefix - 1;
    struct fb_shared_lock *lock = fb_mem_alloc(sizeof *lock + len + name.len);
    if (lock == NULL)
        return FB_NOMEM;
    *lock = *like;
    fb_list_init(&lock->link);
    lock->tier = tier;
    lock->key_len = len + name.len;
    memcpy(lock->key, prefix, len);
    memcpy(lock->key + len, name.data, name.len);
    fb_cache_op_begin(tier->cache);
    ask(lock);
    return FB_PENDING;
}

fb_status fb_tier_lock(struct fb_tier *tier, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, fb_done done, void *user) {
    uint64_t token;
    fb_rng_system(&token, sizeof token);
    struct fb_shared_lock like = {.done = done, .user = user, .due = fb_after(fb_clock_now(), fb_ms(wait_ms)),
                                  .ttl_ms = ttl_ms, .token = (token >> 1) | 1};
    return submit(tier, name, &like);
}

fb_status fb_tier_unlock(struct fb_tier *tier, fb_bytes name, uint64_t token, fb_done done, void *user) {
    struct fb_shared_lock like = {.done = done, .user = user, .token = token, .is_unlock = true};
    return submit(tier, name, &like);
}
