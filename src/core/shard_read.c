/* Reading: hits, MISS, flights and FILL. */
#include "base/mem.h"
#include "core/shard_internal.h"

/* ---- hits ---- */

/* A fresh entry, copied out; the end of another's life is noticed on the way. */
static fb_status read_fresh(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, fb_buf *out,
                            struct fb_stamp *ret_stamp, bool *ret_is_ripe) {
    size_t before = out != NULL ? out->len : 0;
    if (__builtin_expect(!fb_shard_is_proved(shard, now), 0))
        return FB_MISS;
    fb_status status = fb_table_read(shard->table, hash, key, ret_stamp, out);
    *ret_is_ripe = false;
    if (status != FB_OK)
        return status;
    enum fb_verdict verdict = fb_ripeness(ret_stamp, &shard->policies[ret_stamp->keyspace], now);
    if (__builtin_expect(verdict != FB_VERDICT_EXPIRED, 1)) {
        *ret_is_ripe = verdict == FB_VERDICT_RIPE;
        return ret_stamp->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
    }
    if (out != NULL)
        out->len = before;
    fb_shard_age(shard, hash, key, ret_stamp, now);
    return FB_MISS;
}

fb_status fb_shard_peek(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, fb_buf *out,
                        struct fb_hit *ret_hit) {
    struct fb_stamp stamp;
    *ret_hit = (struct fb_hit){FB_KIND_NONE};
    fb_status status = read_fresh(shard, hash, key, now, out, &stamp, &ret_hit->is_ripe);
    if (status != FB_OK && status != FB_NOTFOUND)
        return status;
    fb_table_touch(shard->table, hash, key);
    fb_keyspace_stats *count = fb_shard_count(shard, stamp.keyspace);
    if (status == FB_OK)
        count->hits++;
    else
        count->negative_hits++;
    ret_hit->kind = (fb_kind)stamp.kind;
    return status;
}

fb_status fb_shard_look(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now,
                        struct fb_stamp *ret_stamp) {
    bool is_ripe;
    return read_fresh(shard, hash, key, now, /* out = */ NULL, ret_stamp, &is_ripe);
}

/* ---- MISS ---- */

static void seat(struct fb_shard *shard, struct fb_flight *flight, struct fb_waiter *waiter) {
    waiter->flight = flight;
    waiter->before_dispatch = !flight->is_dispatched;
    waiter->joined = flight->questions;
    fb_list_push_back(&flight->waiters, &waiter->link);
    fb_list_push_back(&shard->timed, &waiter->timed);
    shard->nwaiters++;
    if (waiter->takes_stale && waiter->patience.ns > 0)
        waiter->stale_at = fb_after(fb_before(flight->launched, waiter->asked) ? flight->launched : waiter->asked,
                                    waiter->patience);
    if (fb_before(waiter->deadline, shard->next_due))
        shard->next_due = waiter->deadline;
    if (fb_before(waiter->stale_at, shard->next_due))
        shard->next_due = waiter->stale_at;
}

/* The flight a waiter may join. One that was bounced wants an answer from after its question for certain (S7). Nobody joins
 * a refresh of what lies in a shared level: the copy there is good, and sooner had. */
static struct fb_flight *joinable(const struct fb_shard *shard, const struct fb_coord *coord,
                                  const struct fb_waiter *waiter) {
    struct fb_flight *leased = coord->leased;
    bool is_elsewhere = leased != NULL && leased->is_ahead && shard->proved != NULL;
    if (leased != NULL && !is_elsewhere && (!waiter->bounced || !leased->is_dispatched))
        return leased;
    return coord->fresh;
}

/* May a new flight fill? Not while a write or a hold is under way or in doubt, and there is one lease per key. */
static bool may_lease(const struct fb_coord *coord) {
    return coord->active == NULL && coord->nholds == 0 && !coord->in_doubt && coord->leased == NULL;
}

static void give_lease(struct fb_shard *shard, struct fb_coord *coord, struct fb_flight *flight) {
    flight->token = shard->next_token++;
    coord->leased = flight;
}

struct fb_flight *fb_coord_launch(struct fb_shard *shard, struct fb_coord *coord, uint16_t keyspace, fb_instant now) {
    struct fb_flight *flight = fb_mem_calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    fb_list_init(&flight->link);
    fb_list_init(&flight->waiters);
    flight->coord = coord;
    flight->hash = coord->hash;
    flight->keyspace = keyspace;
    flight->launched = flight->sent = now;
    coord->nflights++;
    if (may_lease(coord))
        give_lease(shard, coord, flight);
    else
        coord->fresh = flight;
    return flight;
}

/* The caller loads by itself. When no lease can be had it gets a token that nothing will accept: its own value is good
 * for itself, and is not kept. */
static fb_status lend(struct fb_shard *shard, struct fb_coord *coord, uint16_t keyspace, struct fb_waiter *waiter,
                      fb_instant now) {
    if (!may_lease(coord)) {
        waiter->token = shard->next_token++;
        return FB_LEASE;
    }
    struct fb_flight *flight = fb_coord_launch(shard, coord, keyspace, now);
    if (flight == NULL)
        return FB_NOMEM;
    flight->is_lease = true;
    flight->is_dispatched = true;
    flight->lease_until = fb_after(now, fb_ms(FB_LEASE_MS));
    fb_coord_note_due(shard, coord, flight->lease_until);
    waiter->token = flight->token;
    return FB_LEASE;
}

fb_status fb_coord_join(struct fb_shard *shard, struct fb_coord *coord, uint16_t keyspace, struct fb_waiter *waiter,
                        fb_instant now, struct fb_effects *fx) {
    struct fb_flight *flight = joinable(shard, coord, waiter);
    if (flight != NULL) {
        fb_shard_count(shard, keyspace)->coalesced++;
        seat(shard, flight, waiter);
        return FB_PENDING;
    }
    if (waiter->wants_lease)
        return lend(shard, coord, keyspace, waiter, now);
    flight = fb_coord_launch(shard, coord, keyspace, now);
    if (flight == NULL)
        return FB_NOMEM;
    waiter->leads = true;
    seat(shard, flight, waiter);
    fb_list_push_back(&fx->loads, &flight->link);
    return FB_PENDING;
}

static void init_waiter(struct fb_waiter *waiter, uint16_t keyspace, fb_instant now) {
    fb_list_init(&waiter->link);
    fb_list_init(&waiter->timed);
    waiter->flight = NULL;
    waiter->leads = waiter->before_dispatch = waiter->bounced = false;
    waiter->takes_stale = waiter->is_stale = false;
    waiter->stale_at = FB_NEVER;
    waiter->value = NULL;
    waiter->keyspace = keyspace;
    waiter->asked = now;
    waiter->took = (struct fb_took){{0}, {0}};
    waiter->shared = 0;
}

fb_status fb_shard_miss(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                        struct fb_waiter *waiter, fb_instant now, struct fb_effects *fx) {
    init_waiter(waiter, keyspace, now);
    waiter->takes_stale = !waiter->wants_lease;
    fb_shard_count(shard, keyspace)->misses++;
    struct fb_coord *coord = fb_coord_make(shard, hash, key, keyspace);
    if (coord == NULL)
        return FB_NOMEM;
    fb_status status = fb_coord_join(shard, coord, keyspace, waiter, now, fx);
    fb_coord_settle(shard, coord);
    return status;
}

/* ---- losing the lease ---- */

static void free_flight(struct fb_flight *flight) {
    fb_value_unref(flight->value);
    fb_value_unref(flight->stand_in);
    fb_mem_free(flight);
}

static void unseat(struct fb_shard *shard, struct fb_waiter *waiter, struct fb_link *homeless) {
    fb_list_remove(&waiter->link);
    fb_list_remove(&waiter->timed);
    waiter->flight = NULL;
    shard->nwaiters--;
    fb_list_push_back(homeless, &waiter->link);
}

/* The end of an application's lease without an answer for those who wait for it. */
static void end_lease(struct fb_shard *shard, struct fb_coord *coord, struct fb_flight *flight,
                      struct fb_link *homeless) {
    while (!fb_list_is_empty(&flight->waiters))
        unseat(shard, fb_member_of(flight->waiters.next, struct fb_waiter, link), homeless);
    coord->nflights--;
    free_flight(flight);
}

void fb_coord_fence(struct fb_shard *shard, struct fb_coord *coord, struct fb_link *homeless) {
    struct fb_flight *flight = coord->leased;
    coord->barred = shard->next_token - 1;
    coord->leased = NULL;
    if (flight == NULL)
        return;
    if (flight->is_lease) {
        end_lease(shard, coord, flight, homeless);
    } else if (!flight->is_dispatched && coord->fresh == NULL) {
        /* Not sent yet: what it will read is from after this moment, so others may still join it. */
        coord->fresh = flight;
    }
}

/* A waiter whose flight cannot answer it asks again: what is in the cache now, or another flight. */
static void ask_again(struct fb_shard *shard, struct fb_coord *coord, struct fb_waiter *waiter, fb_instant now,
                      struct fb_effects *fx) {
    struct fb_stamp stamp;
    fb_buf copy = FB_BUF_INIT;
    bool is_ripe; /* whoever comes next asks */
    fb_status status = read_fresh(shard, coord->hash, fb_coord_key(coord), now, &copy, &stamp, &is_ripe);
    if (status == FB_OK) {
        waiter->value = fb_value_new((fb_kind)stamp.kind, copy.data, copy.len);
        if (waiter->value == NULL)
            status = FB_NOMEM;
    } else if (status == FB_MISS) {
        status = fb_coord_join(shard, coord, waiter->keyspace, waiter, now, fx);
    }
    fb_buf_free(&copy);
    if (status == FB_PENDING)
        return;
    waiter->status = status;
    fb_list_push_back(&fx->done, &waiter->link);
}

void fb_coord_rehouse(struct fb_shard *shard, struct fb_coord *coord, struct fb_link *homeless, fb_instant now,
                      struct fb_effects *fx) {
    for (struct fb_link *l; (l = fb_list_pop_front(homeless)) != NULL;)
        ask_again(shard, coord, fb_member_of(l, struct fb_waiter, link), now, fx);
}

/* ---- REFRESH ---- */

/* Where there is a shared second level, a flight may be content with what lies there; one that was begun by a REFRESH is not. */
static bool asks_anew(const struct fb_shard *shard, const struct fb_flight *flight) {
    return shard->proved == NULL || (flight->refreshes && !flight->is_ahead);
}

/* The flight whose question comes after this moment for certain, with the lease where one can be had. */
static struct fb_flight *newest_flight(struct fb_shard *shard, struct fb_coord *coord, uint16_t keyspace,
                                       fb_instant now, struct fb_link *homeless, struct fb_effects *fx) {
    struct fb_flight *sent = coord->leased, *flight = coord->fresh;
    if (sent != NULL && !sent->is_dispatched && asks_anew(shard, sent))
        return sent;
    if (flight != NULL && !asks_anew(shard, flight))
        flight = NULL;
    coord->leased = NULL; /* it may fill until the newer one has */
    if (flight != NULL && may_lease(coord)) {
        coord->fresh = NULL;
        give_lease(shard, coord, flight);
    } else if (flight == NULL) {
        flight = fb_coord_launch(shard, coord, keyspace, now);
        if (flight == NULL) {
            coord->leased = sent;
            return NULL;
        }
        fb_list_push_back(&fx->loads, &flight->link);
    }
    if (sent != NULL && sent->is_lease)
        end_lease(shard, coord, sent, homeless);
    return flight;
}

fb_status fb_shard_refresh(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint16_t keyspace,
                           struct fb_waiter *waiter, fb_instant now, struct fb_effects *fx) {
    struct fb_link homeless = FB_LIST_INIT(homeless);
    init_waiter(waiter, keyspace, now);
    struct fb_coord *coord = fb_coord_make(shard, hash, key, keyspace);
    if (coord == NULL)
        return FB_NOMEM;
    struct fb_flight *flight = newest_flight(shard, coord, keyspace, now, &homeless, fx);
    if (flight != NULL) {
        flight->refreshes = true;
        waiter->leads = fb_list_is_empty(&flight->waiters);
        fb_shard_count(shard, keyspace)->coalesced += !waiter->leads;
        seat(shard, flight, waiter);
        /* What a write under way reads back may be from before the question. */
        if (coord->active != NULL)
            coord->active->is_contended = true;
    }
    fb_coord_rehouse(shard, coord, &homeless, now, fx);
    fb_coord_settle(shard, coord);
    return flight != NULL ? FB_PENDING : FB_NOMEM;
}

/* ---- a load comes home ---- */

static void sent(struct fb_flight *flight, fb_instant now) {
    flight->is_dispatched = true;
    flight->sent = now;
    if (flight->coord->fresh == flight)
        flight->coord->fresh = NULL;
}

void fb_shard_asked(struct fb_shard *shard, struct fb_flight *flight, fb_instant now) {
    (void)shard;
    if (flight->questions++ == 0)
        sent(flight, now);
}

void fb_shard_dispatched(struct fb_shard *shard, struct fb_flight *flight, fb_instant now) {
    sent(flight, now);
    fb_shard_count(shard, flight->keyspace)->loads++;
}

static uint32_t cost_us(const struct fb_flight *flight, fb_instant now) {
    int64_t us = fb_since(now, flight->sent).ns / 1000;
    return us < 1 ? 1 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* FILL: the flight holds the lease, so what it brings is kept. False when it has outlived its life on the way: then it is
 * good for those who asked before it was sent, and for nobody else. */
static bool fill(struct fb_shard *shard, struct fb_flight *flight, fb_status status, fb_kind kind, fb_bytes value,
                 fb_instant now, uint16_t draw) {
    struct fb_coord *coord = flight->coord;
    coord->barred = flight->token;
    struct fb_stamp old, stamp = {
        .birth = flight->born.ns != 0 ? flight->born : flight->sent,
        .cap_ms = flight->cap_ms,
        .cost_us = flight->cost_us > 0 ? flight->cost_us : cost_us(flight, now),
        .draw = flight->born.ns != 0 ? 0 : draw, /* a copy has had its jitter */
        .keyspace = flight->keyspace,
        .kind = (uint8_t)(status == FB_OK ? kind : FB_KIND_NONE),
        .is_shared = flight->born.ns != 0,
    };
    fb_event_kind what = FB_EVENT_LOADED;
    if (flight->refreshes && fb_table_read(shard->table, coord->hash, fb_coord_key(coord), &old, NULL) == FB_OK &&
        fb_freshness(&old, &shard->policies[old.keyspace], now) == FB_VERDICT_FRESH)
        what = FB_EVENT_REFRESHED;
    if (!fb_shard_keep(shard, coord->hash, fb_coord_key(coord), &stamp, value))
        what = FB_EVENT_UNCACHED;
    fb_shard_tell(shard, what, stamp.keyspace, (fb_kind)stamp.kind, fb_coord_key(coord));
    return fb_freshness(&stamp, &shard->policies[stamp.keyspace], now) == FB_VERDICT_FRESH;
}

/* It came from the shared second level and is not kept: what is here may be older, and so may what is on its way here.
 * Whoever has seen this answer must not find either. */
static void pass_by(struct fb_shard *shard, const struct fb_flight *flight, struct fb_link *homeless) {
    struct fb_coord *coord = flight->coord;
    struct fb_stamp stamp;
    (void)fb_shard_forget(shard, coord->hash, fb_coord_key(coord), &stamp);
    fb_coord_fence(shard, coord, homeless);
}

static bool may_have_refused(const struct fb_waiter *waiter) { return waiter->leads || waiter->before_dispatch; }

/* An error that says nothing about the row. */
static bool is_outage(fb_status status) {
    return status == FB_DOWN || status == FB_TIMEOUT || status == FB_BUSY || status == FB_SOURCE || status == FB_NOMEM;
}

/* Joined after the last question to the shared second level, where no copy is kept that may be a moment behind. */
static bool is_late(const struct fb_flight *flight, const struct fb_waiter *waiter) {
    return flight->keep != FB_KEEP_HERE && flight->status >= 0 && waiter->joined == flight->questions;
}

/* An error is no value: it cannot be stale, and everyone who waited for it should know it (S6). */
static bool may_have(const struct fb_flight *flight, const struct fb_waiter *waiter, bool is_for_all) {
    return may_have_refused(waiter) || (is_for_all && !is_late(flight, waiter));
}

/* How many of those who wait for a flight it will answer. */
static unsigned count_answered(const struct fb_flight *flight, bool is_for_all) {
    unsigned n = 0;
    for (const struct fb_link *l = flight->waiters.next; l != &flight->waiters; l = l->next)
        n += may_have(flight, fb_member_of(l, struct fb_waiter, link), is_for_all);
    return n;
}

void fb_shard_loaded(struct fb_shard *shard, struct fb_flight *flight, fb_instant now, uint16_t draw,
                     struct fb_effects *fx) {
    struct fb_coord *coord = flight->coord;
    fb_keyspace_stats *count = fb_shard_count(shard, flight->keyspace);
    bool is_error = flight->status < 0;
    bool lets_fill = !is_error && flight->keep != FB_KEEP_NOT && fb_coord_lets_fill(coord, flight);
    bool is_kept = lets_fill && flight->keep == FB_KEEP_HERE, is_for_all = is_error || lets_fill;
    struct fb_link bounced = FB_LIST_INIT(bounced);

    if (coord->leased == flight)
        coord->leased = NULL;
    if (is_kept)
        is_for_all = fill(shard, flight, flight->status, flight->value != NULL ? flight->value->kind : FB_KIND_NONE,
                          fb_value_bytes(flight->value), now, draw);
    else if (!is_error) {
        if ((flight->keep != FB_KEEP_HERE || flight->questions > 0) && !flight->is_stale)
            pass_by(shard, flight, &bounced);
        count->fills_refused += !lets_fill && !flight->is_stale;
        fb_shard_tell(shard, FB_EVENT_UNCACHED, flight->keyspace,
                      flight->value != NULL ? flight->value->kind : FB_KIND_NONE, fb_coord_key(coord));
    }
    if (coord->fresh == flight)
        coord->fresh = NULL;
    count->load_errors += is_error;
    struct fb_stand_in instead = {.status = FB_MISS};
    if (is_error && is_outage(flight->status)) {
        instead = fb_shard_stand_in(shard, coord->hash, fb_coord_key(coord), flight->source_down, now);
        fb_shard_put_off(shard, coord->hash, fb_coord_key(coord), now, draw);
    }
    if (is_error || flight->is_put_off)
        fb_table_put_off(shard->table, coord->hash, fb_coord_key(coord), &shard->policies[flight->keyspace], now, draw);

    unsigned shared = count_answered(flight, is_for_all), stale = 0;
    for (struct fb_link *l = flight->waiters.next, *next; l != &flight->waiters; l = next) {
        struct fb_waiter *waiter = fb_member_of(l, struct fb_waiter, link);
        next = l->next;
        if (may_have(flight, waiter, is_for_all)) {
            bool has_other = waiter->takes_stale && instead.status != FB_MISS;
            waiter->shared = shared;
            waiter->is_stale = has_other ? instead.is_stale : flight->is_stale;
            stale += has_other && instead.is_stale;
            fb_waiter_answer(shard, waiter, has_other ? instead.status : flight->status,
                             has_other ? instead.value : flight->value, now, fx);
            continue;
        }
        waiter->bounced = true;
        unseat(shard, waiter, &bounced);
    }
    fb_shard_serve_stale(shard, flight->keyspace, instead.value != NULL ? instead.value->kind : FB_KIND_NONE,
                         fb_coord_key(coord), stale);
    fb_value_unref(instead.value);
    fb_coord_rehouse(shard, coord, &bounced, now, fx);
    coord->nflights--;
    free_flight(flight);
    fb_coord_settle(shard, coord);
}

fb_status fb_shard_fill(struct fb_shard *shard, uint64_t hash, fb_bytes key, uint64_t token, fb_status status,
                        fb_kind kind, fb_bytes value, fb_instant now, uint16_t draw, struct fb_effects *fx) {
    struct fb_coord *coord = fb_coord_find(shard, hash, key);
    struct fb_flight *flight = coord != NULL ? coord->leased : NULL;
    if (flight == NULL || !flight->is_lease || flight->token != token)
        return FB_REFUSED;
    if (fb_reached(now, flight->lease_until))
        return FB_REFUSED; /* the next tick passes it on */
    struct fb_link homeless = FB_LIST_INIT(homeless);
    fb_status result = FB_OK;
    if (status < 0) {
        fb_coord_fence(shard, coord, &homeless);
    } else {
        struct fb_value *copy = fb_value_new(kind, value.data, value.len);
        if (copy == NULL) {
            fb_coord_fence(shard, coord, &homeless);
            result = FB_NOMEM;
        } else {
            coord->leased = NULL;
            bool is_for_all = fill(shard, flight, status, kind, value, now, draw);
            while (is_for_all && !fb_list_is_empty(&flight->waiters))
                fb_waiter_answer(shard, fb_member_of(flight->waiters.next, struct fb_waiter, link), status,
                                 status == FB_OK ? copy : NULL, now, fx);
            fb_value_unref(copy);
            end_lease(shard, coord, flight, &homeless);
        }
    }
    fb_coord_rehouse(shard, coord, &homeless, now, fx);
    fb_coord_settle(shard, coord);
    return result;
}
