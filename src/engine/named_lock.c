/* Locks that the application takes by name: one holder at a time, for a time, with a token that only the holder knows and a
 * number that grows with every grant (the fencing token: who stores with it refuses whoever comes late with a smaller one).
 *
 * Who waits is granted in order. A lock that is not given back ends by time; its holder is then one of the past, and its
 * token opens nothing. Without a second level (with one: tier_lock.c) they are this process's; numbers begin with the clock, so that they grow
 * across restarts as long as that does. */
#include "engine/named_lock.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/tier.h"

enum {
    BUCKETS = 1024,
    LOCKS_MAX = 100000,        /* held and waited for; more are FB_BUSY */
};

/* Held, or waiting to be. */
struct named {
    struct fb_link link;       /* in its bucket: the holder, and behind it who waits, in their order */
    uint64_t hash, token, fence;
    fb_instant until;          /* of the lock; of the wait */
    int64_t ttl_ms;
    fb_done done;              /* NULL: held */
    void *user;
    size_t name_len;
    char name[];
};

struct fb_named_locks {
    struct fb_lock lock;       /* covers the rest */
    struct fb_link buckets[BUCKETS];
    unsigned n;
    uint64_t fence;
    fb_instant next_due;
    struct fb_rng rng;
};

struct fb_named_locks *fb_named_locks_create(void) {
    struct fb_named_locks *locks = fb_mem_calloc(1, sizeof *locks);
    if (locks == NULL)
        return NULL;
    fb_lock_init(&locks->lock, FB_LOCK_NAMED);
    for (unsigned i = 0; i < BUCKETS; i++)
        fb_list_init(&locks->buckets[i]);
    locks->fence = (uint64_t)fb_clock_wall_us();
    locks->next_due = FB_NEVER;
    fb_rng_system(&locks->rng.state, sizeof locks->rng.state);
    return locks;
}

void fb_named_locks_destroy(struct fb_named_locks *locks) {
    if (locks == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct fb_link *l; (l = fb_list_pop_front(&locks->buckets[i])) != NULL;)
            fb_mem_free(fb_member_of(l, struct named, link));
    fb_lock_finish(&locks->lock);
    fb_mem_free(locks);
}

/* ---- with the lock held ---- */

static bool is_of(const struct named *named, uint64_t hash, fb_bytes name) {
    return named->hash == hash && named->name_len == name.len && memcmp(named->name, name.data, name.len) == 0;
}

static struct named *first_of(struct fb_named_locks *locks, uint64_t hash, fb_bytes name) {
    struct fb_link *bucket = &locks->buckets[hash % BUCKETS];
    for (struct fb_link *l = bucket->next; l != bucket; l = l->next)
        if (is_of(fb_member_of(l, struct named, link), hash, name))
            return fb_member_of(l, struct named, link);
    return NULL;
}

static void note_due(struct fb_named_locks *locks, fb_instant due) {
    if (fb_before(due, locks->next_due))
        locks->next_due = due;
}

static void grant(struct fb_named_locks *locks, struct named *named, fb_instant now) {
    named->token = (fb_rng_next(&locks->rng) >> 1) | 1; /* positive as a signed number, and never 0 */
    named->fence = ++locks->fence;
    named->until = fb_after(now, fb_ms(named->ttl_ms));
    note_due(locks, named->until);
}

static void take_out(struct fb_named_locks *locks, struct named *named) {
    fb_list_remove(&named->link);
    locks->n--;
}

/* ---- answers, without it ---- */

struct answer {
    char fence[24];
    fb_result result;
};

static void say(struct answer *answer, fb_status status, uint64_t token, uint64_t fence) {
    *answer = (struct answer){.result = {.status = status, .number = (int64_t)token}};
    if (status < 0)
        (void)fb_fail(&answer->result.err, status, "%s", fb_status_text(status));
    if (status != FB_OK || token == 0)
        return;
    int len = snprintf(answer->fence, sizeof answer->fence, "%llu", (unsigned long long)fence);
    answer->result.kind = FB_KIND_STRING;
    answer->result.value = fb_bytes_of(answer->fence, (size_t)len);
}

/* What a waiter is told; it may be gone from then on. */
struct told {
    fb_done done;
    void *user;
    fb_status status;
    uint64_t token, fence;
};

static void tell(fb_cache *cache, const struct told *told, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        struct answer answer;
        say(&answer, told[i].status, told[i].token, told[i].fence);
        told[i].done(told[i].user, &answer.result);
        fb_cache_op_end(cache);
    }
}

/* The holder is gone: the next of this name, if there is one. With the lock held; true: *ret_told. */
static bool pass_on(struct fb_named_locks *locks, uint64_t hash, fb_bytes name, fb_instant now, struct told *ret_told) {
    struct named *next = first_of(locks, hash, name);
    if (next == NULL || next->done == NULL)
        return false;
    grant(locks, next, now);
    *ret_told = (struct told){next->done, next->user, FB_OK, next->token, next->fence};
    next->done = NULL;
    return true;
}

/* ---- time ---- */

enum { SOME = 64 };

/* Ends up to SOME of those that are due; *ret_n are to be told. True: there may be more. */
static bool end_some(struct fb_named_locks *locks, fb_instant now, bool is_closing, struct told *told, unsigned *ret_n) {
    unsigned n = 0;
    fb_instant due = FB_NEVER;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct fb_link *l = locks->buckets[i].next, *next; l != &locks->buckets[i]; l = next) {
            struct named *named = fb_member_of(l, struct named, link);
            next = l->next;
            if (!fb_reached(now, named->until) && !(is_closing && named->done != NULL)) {
                due = fb_before(named->until, due) ? named->until : due;
                continue;
            }
            if (n == SOME) {
                *ret_n = n;
                return true;
            }
            bool was_held = named->done == NULL;
            take_out(locks, named);
            if (was_held)
                n += pass_on(locks, named->hash, fb_bytes_of(named->name, named->name_len), now, &told[n]);
            else
                told[n++] = (struct told){named->done, named->user, is_closing ? FB_CLOSED : FB_UNMET, 0, 0};
            fb_mem_free(named);
            next = locks->buckets[i].next; /* what was granted may be anywhere */
        }
    locks->next_due = due;
    *ret_n = n;
    return false;
}

static void end_due(fb_cache *cache, struct fb_named_locks *locks, bool is_closing) {
    struct told told[SOME];
    bool is_more = true;
    while (is_more) {
        unsigned n = 0;
        fb_instant now = fb_clock_now();
        fb_lock_acquire(&locks->lock);
        is_more = (is_closing || fb_reached(now, locks->next_due)) && end_some(locks, now, is_closing, told, &n);
        fb_lock_release(&locks->lock);
        tell(cache, told, n);
    }
}

void fb_named_locks_tick(fb_cache *cache) { end_due(cache, cache->named, /* is_closing = */ false); }
void fb_named_locks_withdraw(fb_cache *cache) {
    if (cache->named != NULL)
        end_due(cache, cache->named, /* is_closing = */ true);
}

/* ---- the calls ---- */

static fb_status at_once(fb_result *result, fb_status status, const char *why) {
    *result = (fb_result){.status = status};
    if (status < 0)
        (void)fb_fail(&result->err, status, "%s", why != NULL ? why : fb_status_text(status));
    return status;
}

static fb_status check(fb_cache *cache, fb_bytes name, fb_result *result) {
    if (atomic_load_explicit(&cache->pending, memory_order_relaxed) & FB_CLOSING)
        return at_once(result, FB_CLOSED, NULL);
    if (name.len == 0 || name.len > FB_LOCK_NAME_MAX)
        return at_once(result, FB_INVALID, "the name of a lock has 1 to 1024 bytes");
    return FB_OK;
}

fb_status fb_lock_submit(fb_cache *cache, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, fb_done done, void *user,
                         fb_result *ret_result) {
    struct fb_named_locks *locks = cache->named;
    fb_status status = check(cache, name, ret_result);
    if (status != FB_OK)
        return status;
    if (ttl_ms < 1 || ttl_ms > FB_LOCK_TTL_MAX_MS || wait_ms < 0 || wait_ms > FB_LOCK_WAIT_MAX_MS)
        return at_once(ret_result, FB_INVALID, "a lock lives for 1 ms to a day, and is waited for at most a minute");
    if (cache->tier != NULL) {
        status = fb_tier_lock(cache->tier, name, ttl_ms, wait_ms, done, user);
        return status == FB_PENDING ? status : at_once(ret_result, status, NULL);
    }
    struct named *named = fb_mem_calloc(1, sizeof *named + name.len);
    if (named == NULL)
        return at_once(ret_result, FB_NOMEM, NULL);
    uint64_t hash = fb_cache_hash(cache, name);
    fb_instant now = fb_clock_now();
    *named = (struct named){.hash = hash, .ttl_ms = ttl_ms, .name_len = name.len, .user = user};
    memcpy(named->name, name.data, name.len);
    fb_list_init(&named->link);

    fb_lock_acquire(&locks->lock);
    struct named *holder = first_of(locks, hash, name);
    struct told told = {.done = NULL};
    if (holder != NULL && fb_reached(now, holder->until) && holder->done == NULL) { /* sooner than the ticker */
        take_out(locks, holder);
        fb_mem_free(holder);
        (void)pass_on(locks, hash, name, now, &told);
        holder = first_of(locks, hash, name);
    }
    status = locks->n >= LOCKS_MAX ? FB_BUSY : holder == NULL ? FB_OK : wait_ms > 0 ? FB_PENDING : FB_UNMET;
    uint64_t token = 0, fence = 0;
    if (status == FB_OK || status == FB_PENDING) {
        fb_list_push_back(&locks->buckets[hash % BUCKETS], &named->link);
        locks->n++;
    }
    if (status == FB_OK) {
        grant(locks, named, now);
        token = named->token;
        fence = named->fence;
    } else if (status == FB_PENDING) {
        fb_cache_op_begin(cache);
        named->done = done;
        named->until = fb_after(now, fb_ms(wait_ms));
        note_due(locks, named->until);
    } else {
        fb_mem_free(named);
    }
    fb_lock_release(&locks->lock);
    if (told.done != NULL)
        tell(cache, &told, 1);
    if (status == FB_PENDING)
        return status;
    (void)at_once(ret_result, status, NULL);
    if (status == FB_OK) {
        char text[24];
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)fence);
        struct fb_value *value = fb_value_new(FB_KIND_STRING, text, (size_t)len);
        ret_result->number = (int64_t)token;
        ret_result->kind = FB_KIND_STRING;
        ret_result->value = fb_value_bytes(value);
        ret_result->private_ = value;
    }
    return status;
}

fb_status fb_unlock_submit(fb_cache *cache, fb_bytes name, uint64_t token, fb_done done, void *user,
                           fb_result *ret_result) {
    struct fb_named_locks *locks = cache->named;
    fb_status status = check(cache, name, ret_result);
    if (status != FB_OK)
        return status;
    if (cache->tier != NULL) {
        status = fb_tier_unlock(cache->tier, name, token, done, user);
        return status == FB_PENDING ? status : at_once(ret_result, status, NULL);
    }
    uint64_t hash = fb_cache_hash(cache, name);
    fb_instant now = fb_clock_now();
    struct told told;
    fb_lock_acquire(&locks->lock);
    struct named *holder = first_of(locks, hash, name);
    bool is_mine = holder != NULL && holder->done == NULL && holder->token == token && !fb_reached(now, holder->until);
    bool is_passed = false;
    if (is_mine) {
        take_out(locks, holder);
        is_passed = pass_on(locks, hash, name, now, &told);
        fb_mem_free(holder);
    }
    fb_lock_release(&locks->lock);
    if (is_passed)
        tell(cache, &told, 1);
    return at_once(ret_result, is_mine ? FB_OK : FB_REFUSED, "the token is not that of the lock's holder");
}

/* ---- blocking ---- */

struct parked {
    struct fb_park park;
    fb_status status;
    uint64_t token, fence;
    fb_err *reterr;
};

static void take(struct parked *parked, const fb_result *result) {
    parked->status = result->status;
    parked->token = (uint64_t)result->number;
    for (size_t i = 0; i < result->value.len; i++)
        parked->fence = parked->fence * 10 + (uint64_t)(result->value.data[i] - '0');
    if (result->status < 0 && parked->reterr != NULL)
        *parked->reterr = result->err;
}

static void wake(void *user, const fb_result *result) {
    struct parked *parked = user;
    take(parked, result);
    fb_park_done(&parked->park);
}

fb_status fb_lock(fb_cache *cache, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, uint64_t *ret_token,
                  uint64_t *ret_fence, fb_err *reterr) {
    struct parked parked = {.reterr = reterr};
    fb_result result;
    fb_park_init(&parked.park, 1);
    if (fb_lock_submit(cache, name, ttl_ms, wait_ms, wake, &parked, &result) != FB_PENDING) {
        wake(&parked, &result);
        fb_result_release(&result);
    }
    fb_park_wait(&parked.park);
    if (parked.status == FB_OK) {
        *ret_token = parked.token;
        if (ret_fence != NULL)
            *ret_fence = parked.fence;
    }
    return parked.status;
}

fb_status fb_unlock(fb_cache *cache, fb_bytes name, uint64_t token, fb_err *reterr) {
    struct parked parked = {.reterr = reterr};
    fb_result result;
    fb_park_init(&parked.park, 1);
    if (fb_unlock_submit(cache, name, token, wake, &parked, &result) != FB_PENDING) {
        wake(&parked, &result);
        fb_result_release(&result);
    }
    fb_park_wait(&parked.park);
    return parked.status;
}
