/* The frame of the second level: its lane, whether the store may be asked, what it owes, opening and closing. */
#include "engine/tier.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

enum {
    NAMES_BYTES = 16 << 20,    /* of names written of late: some 300,000 of 40 bytes */
    QUEUE_MAX = 65536,
    POOL_MAX = 16,
    PAUSE_FIRST_MS = 50, PAUSE_MOST_MS = 1000,
    WINDOW_MS = 2000,
    FAILURES = 3,
    DAY_MS = 86400000,
    SOME = 64,                 /* names invalidated again at a time */
};

/* ---- may it be asked? ---- */

static struct fb_breaker_rules rules_of(const struct fb_tier *tier) {
    return (struct fb_breaker_rules){
        .failures = FAILURES,
        .window = fb_ms(WINDOW_MS),
        .pause_first = fb_ms(PAUSE_FIRST_MS),
        .pause_most = fb_ms(PAUSE_MOST_MS),
        .probe_max = fb_ms(2 * tier->options.timeout_ms + tier->options.connect_timeout_ms),
    };
}

/* With the lock held, after every change of the breaker. */
static void show(struct fb_tier *tier) {
    bool is_closed = tier->breaker.state == FB_BREAKER_CLOSED;
    atomic_store_explicit(&tier->shut_until, is_closed ? 0 : tier->breaker.until.ns, memory_order_relaxed);
}

bool fb_tier_is_out(struct fb_tier *tier) {
    int64_t until = atomic_load_explicit(&tier->shut_until, memory_order_relaxed);
    return until != 0 && fb_clock_now().ns < until;
}

static enum fb_breaker_word ask(struct fb_tier *tier) {
    if (atomic_load_explicit(&tier->shut_until, memory_order_relaxed) == 0)
        return FB_BREAKER_GO;
    struct fb_breaker_rules rules = rules_of(tier);
    fb_lock_acquire(&tier->lock);
    enum fb_breaker_word word = fb_breaker_ask(&tier->breaker, &rules, fb_clock_now());
    show(tier);
    fb_lock_release(&tier->lock);
    return word;
}

/* What a round trip says of the store: one that has answered anything is there. */
static void tell(struct fb_tier *tier, enum fb_breaker_word word, const struct fb_store_call *calls, unsigned n) {
    struct fb_breaker_rules rules = rules_of(tier);
    unsigned answered = 0;
    const char *why = "";
    for (unsigned i = 0; i < n; i++) {
        answered += calls[i].outcome == FB_STORE_DONE;
        if (calls[i].outcome != FB_STORE_DONE)
            why = calls[i].why;
    }
    atomic_fetch_add_explicit(&tier->errors, n - answered, memory_order_relaxed);
    bool is_bad = answered == 0, was_owed = false;
    fb_instant since = FB_NEVER;
    fb_lock_acquire(&tier->lock);
    fb_breaker_tell(&tier->breaker, &rules, word == FB_BREAKER_PROBE, is_bad, (fb_span){0}, fb_clock_now(),
                    (uint16_t)fb_rng_next(&tier->rng));
    if (is_bad)
        snprintf(tier->why, sizeof tier->why, "%s", why);
    else if (!tier->is_reasserting && fb_before(tier->owed, FB_NEVER)) {
        since = tier->owed;
        tier->owed = FB_NEVER;
        was_owed = true;
    }
    show(tier);
    fb_lock_release(&tier->lock);
    if (was_owed)
        fb_tier_reassert(tier, since);
}

/* ---- the lane ---- */

static _Thread_local struct gathering {
    bool is_on;
    struct fb_link items;
} gathering;

static void not_sent(struct fb_tier_item *item, const char *why) {
    item->call->outcome = FB_STORE_UNSENT;
    snprintf(item->call->why, sizeof item->call->why, "%s", why);
    item->done(item);
}

static void push_all(struct fb_tier *tier, struct fb_link *items) {
    if (fb_list_is_empty(items))
        return;
    fb_lane_push(tier->lane, items);
    for (struct fb_link *l; (l = fb_list_pop_front(items)) != NULL;)
        not_sent(fb_member_of(l, struct fb_tier_item, link), "too many calls are waiting for the store");
}

bool fb_tier_gather_begin(void) {
    if (gathering.is_on)
        return false;
    gathering.is_on = true;
    fb_list_init(&gathering.items);
    return true;
}

void fb_tier_gather_end(struct fb_tier *tier) {
    struct fb_link items = FB_LIST_INIT(items);
    fb_list_append(&items, &gathering.items);
    gathering.is_on = false;
    push_all(tier, &items);
}

void fb_tier_push(struct fb_tier *tier, struct fb_tier_item *item) {
    fb_list_init(&item->link);
    if (gathering.is_on) {
        fb_list_push_back(&gathering.items, &item->link);
        return;
    }
    struct fb_link items = FB_LIST_INIT(items);
    fb_list_push_back(&items, &item->link);
    push_all(tier, &items);
}

static void answer(struct fb_tier *tier, struct fb_tier_item **items, unsigned n) {
    fb_gather_begin(tier->cache); /* what goes to the sources goes together, and so do the next calls */
    (void)fb_tier_gather_begin();
    for (unsigned i = 0; i < n; i++)
        items[i]->done(items[i]);
    fb_gather_end(tier->cache);
    fb_tier_gather_end(tier);
}

static void work(void *user, void **slot, struct fb_link *batch, unsigned n) {
    struct fb_tier *tier = user;
    struct fb_tier_item *items[FB_STORE_BATCH_MAX];
    struct fb_store_call calls[FB_STORE_BATCH_MAX];
    fb_err err = {0};
    enum fb_breaker_word word = ask(tier);
    for (unsigned i = 0; i < n; i++) {
        items[i] = fb_member_of(fb_list_pop_front(batch), struct fb_tier_item, link);
        if (items[i]->is_question)
            fb_tier_asked(items[i]);
        calls[i] = *items[i]->call;
        calls[i].outcome = FB_STORE_UNSENT;
        snprintf(calls[i].why, sizeof calls[i].why, "%s", "the store is out");
    }
    if (*slot == NULL && word != FB_BREAKER_STOP) {
        struct fb_store *store = NULL;
        if (fb_store_open(tier->place, &store, &err) == FB_OK)
            *slot = store;
        else
            snprintf(calls[0].why, sizeof calls[0].why, "%.*s", (int)sizeof calls[0].why - 1, err.text);
    }
    if (word != FB_BREAKER_STOP) {
        if (*slot != NULL)
            fb_store_run(*slot, calls, n, fb_after(fb_clock_now(), fb_ms(tier->options.timeout_ms)));
        atomic_fetch_add_explicit(&tier->trips, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&tier->calls, n, memory_order_relaxed);
        tell(tier, word, calls, n);
    }
    for (unsigned i = 0; i < n; i++)
        *items[i]->call = calls[i];
    answer(tier, items, n);
}

static void leave(void *user, void *session) {
    (void)user;
    fb_store_close(session);
}

/* ---- what was written ---- */

void fb_tier_note(struct fb_tier *tier, fb_bytes key, bool is_owed) {
    fb_lock_acquire(&tier->lock);
    fb_instant now = fb_clock_now();
    fb_written_note(&tier->written, key, now);
    if (is_owed && fb_before(now, tier->owed))
        tier->owed = now;
    fb_lock_release(&tier->lock);
}

/* INVAL of the names since a moment, some at a time: the next when all of those are answered. */
struct reassert {
    struct fb_tier *tier;
    fb_instant since;
    uint64_t cursor;
    _Atomic unsigned open;
    _Atomic bool has_failed;
    struct owed {
        struct fb_tier_item item;
        struct fb_store_call call;
        fb_buf key;
        struct reassert *job;
    } some[SOME];
};

static void reassert_some(struct reassert *job);

static void one_done(struct reassert *job) {
    if (atomic_fetch_sub(&job->open, 1) == 1)
        reassert_some(job);
}

static void reasserted(struct fb_tier_item *item) {
    struct reassert *job = fb_member_of(item, struct owed, item)->job;
    if (item->call->outcome != FB_STORE_DONE)
        atomic_store(&job->has_failed, true);
    one_done(job);
}

static void reassert_over(struct reassert *job) {
    struct fb_tier *tier = job->tier;
    fb_lock_acquire(&tier->lock);
    tier->is_reasserting = false;
    if (atomic_load(&job->has_failed) && fb_before(job->since, tier->owed))
        tier->owed = job->since;
    fb_lock_release(&tier->lock);
    for (unsigned i = 0; i < SOME; i++)
        fb_buf_free(&job->some[i].key);
    fb_mem_free(job);
    fb_cache_op_end(tier->cache);
}

static void reassert_some(struct reassert *job) {
    struct fb_tier *tier = job->tier;
    unsigned n = 0;
    bool is_closing = atomic_load(&tier->cache->pending) & FB_CLOSING;
    fb_lock_acquire(&tier->lock);
    while (n < SOME && !is_closing && !atomic_load(&job->has_failed) &&
           fb_written_next(&tier->written, &job->cursor, job->since, &job->some[n].key))
        n++;
    fb_lock_release(&tier->lock);
    if (n == 0) {
        reassert_over(job);
        return;
    }
    atomic_fetch_add_explicit(&tier->reasserted, n, memory_order_relaxed);
    atomic_store(&job->open, n + 1);
    for (unsigned i = 0; i < n; i++) {
        job->some[i].call = (struct fb_store_call){
            .move = FB_STORE_INVAL, .key = fb_bytes_of(job->some[i].key.data, job->some[i].key.len)};
        job->some[i].item.call = &job->some[i].call;
        job->some[i].item.done = reasserted;
        job->some[i].job = job;
        fb_tier_push(tier, &job->some[i].item);
    }
    one_done(job);
}

void fb_tier_reassert(struct fb_tier *tier, fb_instant since) {
    struct reassert *job = fb_mem_calloc(1, sizeof *job);
    fb_lock_acquire(&tier->lock);
    bool is_whole = job != NULL && fb_written_reaches(&tier->written, since);
    if (!is_whole || tier->is_reasserting) { /* later, from the earlier of the two; or what is there counts as missing */
        if (fb_before(since, tier->owed) && is_whole)
            tier->owed = since;
        fb_lock_release(&tier->lock);
        if (!is_whole)
            atomic_store(&tier->distrust, fb_clock_now().ns);
        fb_mem_free(job);
        return;
    }
    tier->is_reasserting = true;
    fb_lock_release(&tier->lock);
    *job = (struct reassert){.tier = tier, .since = since};
    fb_cache_op_begin(tier->cache);
    reassert_some(job);
}

/* ---- what the watch tells ---- */

static void changed(void *user, fb_bytes key) {
    struct fb_tier *tier = user;
    uint64_t hash = fb_cache_hash(tier->cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(tier->cache, hash);
    struct fb_effects fx;
    fb_effects_init(&fx);
    atomic_fetch_add_explicit(&tier->told, 1, memory_order_relaxed);
    fb_lock_acquire(&shard->lock);
    shard->cause = (struct fb_event){.op = FB_OP_INVALIDATE};
    (void)fb_shard_invalidate(shard->core, hash, key, fb_clock_now(), &fx);
    fb_shard_leave(shard);
    fb_carry_out(tier->cache, &fx, FB_RUN_LANES);
    fb_tier_told(tier, hash, key);
}

static void all_changed(void *user) {
    struct fb_tier *tier = user;
    fb_invalidate_all(tier->cache);
}

static void history(void *user, enum fb_failover what, fb_instant since) {
    struct fb_tier *tier = user;
    if (what == FB_FAILOVER_REASSERT)
        fb_tier_reassert(tier, since);
    else if (what == FB_FAILOVER_DISTRUST)
        atomic_store(&tier->distrust, fb_clock_now().ns);
}

static void state(void *user, bool is_up, const char *text) {
    (void)user, (void)is_up, (void)text; /* fb_place_facts says it to those who ask */
}

/* ---- opening and closing ---- */

static fb_status check_options(fb_store_options *o, fb_err *reterr) {
    if (o->pool == 0)
        o->pool = 2;
    if (o->timeout_ms == 0)
        o->timeout_ms = 250;
    if (o->connect_timeout_ms == 0)
        o->connect_timeout_ms = 1000;
    if (o->copy_ttl_ms == 0)
        o->copy_ttl_ms = 60000;
    if (o->pool > POOL_MAX)
        return fb_fail(reterr, FB_INVALID, "store: pool must be 1 to %d", POOL_MAX);
    if (o->timeout_ms < 1 || o->timeout_ms >= FB_WRITE_PATIENCE_MS / 2)
        return fb_fail(reterr, FB_INVALID, "store: timeout must be less than %d ms", FB_WRITE_PATIENCE_MS / 2);
    if (o->connect_timeout_ms < 1 || o->connect_timeout_ms > DAY_MS || o->copy_ttl_ms < 1 ||
        o->copy_ttl_ms > FB_TTL_MS_MAX)
        return fb_fail(reterr, FB_INVALID, "store: a time is out of its range");
    return FB_OK;
}

/* Nothing is ever proved where no copies are kept. */
static const _Atomic int64_t never = INT64_MIN;

fb_status fb_tier_open(struct fb_cache *cache, const fb_store_options *options, fb_err *reterr) {
    struct fb_tier *tier = fb_mem_calloc(1, sizeof *tier);
    if (tier == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    tier->cache = cache;
    tier->options = *options;
    tier->owed = FB_NEVER;
    tier->keeps_copies = !options->no_copies;
    fb_lock_init(&tier->start_lock, FB_LOCK_CHANGE);
    fb_lock_init(&tier->lock, FB_LOCK_TIER);
    fb_breaker_init(&tier->breaker);
    fb_rng_system(&tier->rng.state, sizeof tier->rng.state);
    fb_rng_system(&tier->process, sizeof tier->process);
    cache->tier = tier; /* fb_close frees it from here on */
    fb_status status = check_options(&tier->options, reterr);
    if (status != FB_OK)
        return status;
    fb_list_init(&tier->lockers);
    tier->waiting = fb_mem_calloc(FB_TIER_BUCKETS, sizeof *tier->waiting);
    for (unsigned i = 0; tier->waiting != NULL && i < FB_TIER_BUCKETS; i++)
        fb_list_init(&tier->waiting[i]);
    struct fb_lane_options lane = {tier->options.pool, FB_STORE_BATCH_MAX, QUEUE_MAX, work, leave, tier};
    tier->lane = fb_lane_create(&lane);
    if (tier->waiting == NULL || tier->lane == NULL || fb_written_init(&tier->written, NAMES_BYTES) != FB_OK)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_place_options place = {.url = options->url, .user = options->user, .password = options->password,
                                     .tls_ca = options->tls_ca,
                                     .connect_timeout = fb_ms(tier->options.connect_timeout_ms),
                                     .sentinel_password = options->sentinel_password,
                                     .sentinel_quorum_check = options->sentinel_quorum != 0};
    status = fb_place_open(&place, &tier->place, reterr);
    if (status == FB_OK)
        tier->proved = tier->keeps_copies ? fb_place_proof(tier->place) : &never;
    return status;
}

static void start_watch(struct fb_tier *tier) {
    static const struct fb_store_watch_calls calls = {changed, all_changed, history, state};
    struct fb_cache *cache = tier->cache;
    fb_bytes *prefixes = fb_mem_calloc(cache->nkeyspaces + 1, sizeof *prefixes);
    fb_err err;
    for (unsigned i = 0; prefixes != NULL && i < cache->nkeyspaces; i++)
        prefixes[i] = fb_keyspace_prefix(cache->keyspaces[i]);
    struct fb_store_watch_options options = {prefixes, cache->nkeyspaces, &calls, tier};
    if (prefixes != NULL)
        (void)fb_store_watch_start(tier->place, &options, &tier->watch, &err); /* without it nothing is proved */
    fb_mem_free(prefixes);
}

void fb_tier_start(struct fb_tier *tier) {
    if (atomic_load_explicit(&tier->is_started, memory_order_acquire))
        return;
    fb_lock_acquire(&tier->start_lock);
    if (!atomic_load(&tier->is_started)) {
        start_watch(tier);
        atomic_store(&tier->is_started, true);
    }
    fb_lock_release(&tier->start_lock);
}

void fb_tier_stop(struct fb_tier *tier) {
    if (tier == NULL)
        return;
    fb_store_watch_stop(tier->watch);
    tier->watch = NULL;
    fb_lane_stop(tier->lane);
}

void fb_tier_close(struct fb_tier *tier) {
    if (tier == NULL)
        return;
    fb_lane_destroy(tier->lane);
    fb_place_close(tier->place);
    fb_written_finish(&tier->written);
    fb_lock_finish(&tier->lock);
    fb_lock_finish(&tier->start_lock);
    fb_mem_free(tier->waiting);
    fb_mem_free(tier);
}

struct fb_store_token fb_tier_token(struct fb_tier *tier) {
    return (struct fb_store_token){tier->process, atomic_fetch_add(&tier->tokens, 1) + 1};
}
