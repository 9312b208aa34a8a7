/* Cache-aside: what the application loads and writes by itself, under the same protocol. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/tier.h"

/* A write that the application announced. Freed by fb_write_end, or when its mark dies. */
struct fb_ticket {
    struct fb_engine_writer writer;
    struct fb_link link;       /* in the shard's tickets; its lock covers all but the park */
    uint64_t number;
    bool is_awaited;           /* fb_write_begin has not returned: the ticket is its own until then */
    bool has_lapsed;           /* meanwhile */
    struct fb_park *park;      /* of the caller that waits to be granted */
    struct fb_hold_marks *marks; /* at the shared second level; NULL: none */
    size_t key_len;
    char key[];
};

/* life_ms: of a value that is kept; 0: its TTL's. */
static fb_status give_back(fb_cache *cache, fb_bytes key, uint64_t token, fb_status status, fb_kind kind,
                           fb_bytes value, int64_t life_ms) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    struct fb_effects fx;
    fb_effects_init(&fx);
    fb_lock_acquire(&shard->lock);
    fb_status result = fb_shard_fill(shard->core, hash, key, token, status, kind, value, fb_clock_now(),
                                     (uint16_t)fb_rng_next(&shard->rng), &fx);
    if (result == FB_OK && status == FB_OK && life_ms > 0)
        (void)fb_shard_expire(shard->core, hash, key, fb_ms(life_ms), 0, fb_clock_now(), &fx);
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    return result;
}

struct filling {
    struct fb_park park;
    fb_status status;
};

static void filled(void *user, fb_status status) {
    struct filling *filling = user;
    filling->status = status;
    fb_park_done(&filling->park);
}

static fb_status fill_shared(fb_cache *cache, const struct fb_keyspace *keyspace, fb_bytes key, uint64_t token,
                             fb_status status, fb_bytes value) {
    struct filling filling = {.status = FB_OK};
    fb_park_init(&filling.park, 1);
    fb_status begun = fb_tier_fill(cache->tier, keyspace, key, token, status, value, 0, filled, &filling);
    if (begun != FB_PENDING)
        filled(&filling, begun);
    fb_park_wait(&filling.park);
    return filling.status;
}

fb_status fb_fill(fb_cache *cache, fb_bytes key, uint64_t token, fb_bytes value, int absent, fb_err *reterr) {
    struct fb_keyspace *keyspace;
    fb_status status = fb_cache_find(cache, key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    fb_status found = absent ? FB_NOTFOUND : FB_OK;
    if (absent)
        value = fb_bytes_of(NULL, 0);
    status = cache->tier != NULL ? fill_shared(cache, keyspace, key, token, found, value)
                                 : give_back(cache, key, token, found, keyspace->kind, value, 0);
    return status < 0 ? fb_fail(reterr, status, "%s", fb_status_text(status)) : status;
}

void fb_lease_drop(fb_cache *cache, fb_bytes key, uint64_t token) {
    struct fb_keyspace *keyspace;
    if (cache->tier != NULL && fb_cache_find(cache, key, &keyspace, NULL) == FB_OK)
        (void)fill_shared(cache, keyspace, key, token, FB_SOURCE, fb_bytes_of(NULL, 0));
    else
        (void)give_back(cache, key, token, FB_SOURCE, FB_KIND_NONE, fb_bytes_of(NULL, 0), 0);
}

struct async_fill {
    fb_done done;
    void *user;
};

static void filled_later(void *user, fb_status status) {
    struct async_fill *async = user;
    fb_result result = {.status = status};
    if (status < 0)
        (void)fb_fail(&result.err, status, "%s", fb_status_text(status));
    async->done(async->user, &result);
    fb_mem_free(async);
}

fb_status fb_fill_submit(fb_cache *cache, fb_bytes key, uint64_t token, fb_status found, fb_bytes value, int64_t life_ms,
                         fb_done done, void *user, fb_result *ret_result) {
    struct fb_keyspace *keyspace;
    *ret_result = (fb_result){.status = FB_OK};
    fb_status status = fb_cache_find(cache, key, &keyspace, &ret_result->err);
    bool is_found = status == FB_OK;
    if (found != FB_OK)
        value = fb_bytes_of(NULL, 0);
    if (is_found && cache->tier != NULL) {
        struct async_fill *async = fb_mem_alloc(sizeof *async);
        status = FB_NOMEM;
        if (async != NULL) {
            *async = (struct async_fill){done, user};
            status = fb_tier_fill(cache->tier, keyspace, key, token, found, value, life_ms, filled_later, async);
        }
        if (status == FB_PENDING)
            return status;
        fb_mem_free(async);
    } else if (is_found) {
        status = give_back(cache, key, token, found, keyspace->kind, value, life_ms);
    }
    ret_result->status = status;
    return status < 0 && is_found ? fb_fail(&ret_result->err, status, "%s", fb_status_text(status)) : status;
}

/* ---- announced writes ---- */

void fb_ticket_granted(struct fb_engine_writer *writer) { fb_park_done(writer->ticket->park); }

/* Its turn did not come in time: true when it could still be taken out of the queue. */
static bool withdraw(struct fb_engine_shard *shard, struct fb_ticket *ticket) {
    fb_lock_acquire(&shard->lock);
    bool is_out = !ticket->has_lapsed && fb_shard_cancel(shard->core, &ticket->writer.core);
    if (is_out)
        fb_list_remove(&ticket->link);
    fb_lock_release(&shard->lock);
    return is_out;
}

/* The caller wakes up: whoever ends the ticket frees it from here on. False when its mark has died already. */
static bool take_over(struct fb_engine_shard *shard, struct fb_ticket *ticket) {
    fb_lock_acquire(&shard->lock);
    ticket->is_awaited = false;
    bool is_alive = !ticket->has_lapsed;
    fb_lock_release(&shard->lock);
    return is_alive;
}

static void free_ticket(struct fb_ticket *ticket) {
    if (ticket != NULL)
        fb_hold_marks_release(ticket->marks, /* is_doubted = */ false);
    fb_mem_free(ticket);
}

/* The same at the shared second level; the ticket is still the caller's own. */
static fb_status mark_shared(fb_cache *cache, const struct fb_keyspace *keyspace, struct fb_engine_shard *shard,
                             struct fb_ticket *ticket) {
    struct fb_hold_marks *marks = NULL;
    fb_bytes key = fb_bytes_of(ticket->key, ticket->key_len);
    fb_status status = fb_hold_marks_take(cache->tier, &keyspace, &key, 1, &marks);
    fb_lock_acquire(&shard->lock);
    ticket->marks = marks;
    fb_lock_release(&shard->lock);
    return status;
}

fb_status fb_write_begin(fb_cache *cache, fb_bytes key, uint64_t *ret_ticket, fb_err *reterr) {
    struct fb_keyspace *keyspace;
    struct fb_effects fx;
    struct fb_park park;
    fb_status status = fb_cache_find(cache, key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    struct fb_ticket *ticket = fb_mem_calloc(1, sizeof *ticket + key.len);
    if (ticket == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    fb_park_init(&park, 1);
    fb_effects_init(&fx);
    ticket->key_len = key.len;
    memcpy(ticket->key, key.data, key.len);
    ticket->park = &park;
    ticket->writer.ticket = ticket;
    fb_list_init(&ticket->link);
    fb_cache_op_begin(cache);

    fb_lock_acquire(&shard->lock);
    fb_instant now = fb_clock_now();
    ticket->writer.core.window = fb_ms(FB_WRITE_WINDOW_MS);
    status = fb_shard_begin(shard->core, hash, key, keyspace->id, &ticket->writer.core, now, &fx);
    if (status == FB_OK || status == FB_PENDING) {
        ticket->number = shard->next_ticket++;
        ticket->is_awaited = true;
        *ret_ticket = ticket->number;
        fb_list_push_back(&shard->tickets, &ticket->link);
    }
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    if (status != FB_PENDING)
        fb_park_done(&park);
    else if (!fb_park_wait_until(&park, fb_after(now, fb_ms(FB_WRITE_WINDOW_MS))) && withdraw(shard, ticket))
        status = FB_TIMEOUT;
    if (status == FB_TIMEOUT)
        fb_park_done(&park);
    fb_park_wait(&park);
    bool is_granted = status == FB_OK || status == FB_PENDING;
    if (is_granted && cache->tier != NULL)
        status = mark_shared(cache, keyspace, shard, ticket);
    is_granted = is_granted && take_over(shard, ticket);
    fb_cache_op_end(cache);
    if (is_granted && status >= 0)
        return FB_OK;
    if (is_granted) { /* here, and not at the store */
        fb_write_end(cache, key, *ret_ticket);
        return fb_fail(reterr, status, "%s", fb_status_text(status));
    }
    if (status >= 0)
        status = FB_TIMEOUT;
    free_ticket(ticket);
    return fb_fail(reterr, status, "%s", status == FB_TIMEOUT ? "other writes of the key did not end in time"
                                                              : fb_status_text(status));
}

/* What it did nobody but the application knows. With the shard's lock held. */
static void note_end(struct fb_engine_shard *shard, const struct fb_ticket *ticket) {
    fb_event_note(shard, FB_EVENT_DOUBTED, ticket->writer.core.keyspace, fb_bytes_of(ticket->key, ticket->key_len),
                  &(struct fb_event){.op = FB_OP_SET});
}

void fb_write_end(fb_cache *cache, fb_bytes key, uint64_t number) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    struct fb_effects fx;
    struct fb_ticket *ended = NULL;
    fb_effects_init(&fx);
    fb_lock_acquire(&shard->lock);
    fb_instant now = fb_clock_now();
    for (struct fb_link *l = shard->tickets.next; l != &shard->tickets && ended == NULL; l = l->next) {
        struct fb_ticket *ticket = fb_member_of(l, struct fb_ticket, link);
        if (ticket->number == number)
            ended = ticket;
    }
    if (ended != NULL) {
        fb_list_remove(&ended->link);
        fb_shard_end(shard->core, &ended->writer.core, FB_END_DROP, FB_KIND_NONE, fb_bytes_of(NULL, 0), now,
                     /* cap_ms = */ 0, now, /* draw = */ 0, &fx);
        note_end(shard, ended);
    }
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
    free_ticket(ended);
}

void fb_tickets_lapsed(struct fb_engine_shard *shard, struct fb_effects *fx) {
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->lapsed)) != NULL;) {
        struct fb_ticket *ticket = fb_member_of(l, struct fb_engine_writer, core.lapse)->ticket;
        fb_list_remove(&ticket->link);
        ticket->has_lapsed = true;
        note_end(shard, ticket);
        if (!ticket->is_awaited)
            free_ticket(ticket);
    }
}

void fb_tickets_drop_all(struct fb_engine_shard *shard) {
    for (struct fb_link *l; (l = fb_list_pop_front(&shard->tickets)) != NULL;) {
        struct fb_ticket *ticket = fb_member_of(l, struct fb_ticket, link);
        struct fb_effects fx;
        fb_effects_init(&fx);
        fb_instant now = fb_clock_now();
        fb_shard_end(shard->core, &ticket->writer.core, FB_END_DROP, FB_KIND_NONE, fb_bytes_of(NULL, 0), now, 0, now, 0,
                     &fx);
        fb_hold_marks_forget(ticket->marks);
        fb_mem_free(ticket);
    }
}
