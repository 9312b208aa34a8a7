/* The blocking calls: the same ways, with the caller parked until the answer is there. A source made of functions runs
 * on the caller's own thread. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/tier.h"

struct parked_read {
    struct fb_read read;
    struct fb_park *park;
};

static void wake_reader(struct fb_read *read) {
    fb_cache *cache = read->cache;
    fb_park_done(fb_member_of(read, struct parked_read, read)->park); /* its owner may be gone from here on */
    fb_cache_op_end(cache);
}

/* Take the answer of a parked read over: value into `out`, error into reterr. */
static fb_status take_answer(struct fb_read *read, fb_buf *out, fb_err *reterr) {
    fb_status status = read->waiter.status;
    struct fb_value *value = read->waiter.value;
    if (status < 0)
        fb_explain(reterr, status, read->keyspace, fb_value_bytes(value));
    else if (status == FB_OK && fb_buf_append(out, value->data, value->len) != FB_OK)
        status = fb_fail(reterr, FB_NOMEM, "out of memory");
    fb_value_unref(value);
    return status;
}

static fb_status read_and_wait(fb_cache *cache, struct parked_read *parked, fb_bytes key, fb_buf *out, fb_err *reterr) {
    struct fb_keyspace *keyspace;
    struct fb_effects fx;
    struct fb_park park;
    fb_kind kind;
    fb_status status = fb_cache_find(cache, key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    fb_park_init(&park, 1);
    parked->park = &park;
    parked->read.finish = wake_reader;
    fb_effects_init(&fx);
    status = fb_read_begin(&parked->read, keyspace, key, out, &kind, &fx);
    if (status != FB_PENDING)
        fb_park_done(&park);
    fb_carry_out(cache, &fx, FB_RUN_HERE);
    fb_park_wait(&park);
    if (status == FB_PENDING)
        return take_answer(&parked->read, out, reterr);
    if (status == FB_LEASE)
        return status;
    return status < 0 ? fb_fail(reterr, status, "%s", fb_status_text(status)) : status;
}

fb_status fb_get(fb_cache *cache, fb_bytes key, fb_buf *ret_value, fb_err *reterr) {
    struct parked_read parked = {0};
    return read_and_wait(cache, &parked, key, ret_value, reterr);
}

fb_status fb_get_many(fb_cache *cache, const fb_bytes *keys, size_t n, fb_buf *values, fb_status *statuses) {
    struct fb_park park;
    struct fb_effects fx;
    struct parked_read *parked = fb_mem_calloc(n, sizeof *parked);
    if (parked == NULL)
        return FB_NOMEM;
    fb_park_init(&park, 1); /* one for this loop, so that it cannot end early */
    fb_effects_init(&fx);
    for (size_t i = 0; i < n; i++) {
        struct fb_keyspace *keyspace;
        fb_kind kind;
        statuses[i] = fb_cache_find(cache, keys[i], &keyspace, /* reterr = */ NULL);
        if (statuses[i] != FB_OK)
            continue;
        parked[i].park = &park;
        parked[i].read.finish = wake_reader;
        fb_lock_acquire(&park.lock);
        park.open++;
        fb_lock_release(&park.lock);
        statuses[i] = fb_read_begin(&parked[i].read, keyspace, keys[i], &values[i], &kind, &fx);
        if (statuses[i] != FB_PENDING)
            fb_park_done(&park);
    }
    fb_carry_out(cache, &fx, FB_RUN_HERE); /* all misses together: they travel in one batch */
    fb_park_done(&park);
    fb_park_wait(&park);
    for (size_t i = 0; i < n; i++)
        if (statuses[i] == FB_PENDING)
            statuses[i] = take_answer(&parked[i].read, &values[i], /* reterr = */ NULL);
    fb_mem_free(parked);
    return FB_OK;
}

/* ---- writes ---- */

struct parked_write {
    struct fb_park park;
    fb_status status;
    fb_err *reterr;
};

static void wake_writer(void *user, const fb_outcome *outcome) {
    struct parked_write *parked = user;
    parked->status = outcome->results[0].status;
    if (parked->status < 0 && parked->reterr != NULL)
        *parked->reterr = outcome->err;
    fb_park_done(&parked->park);
}

static fb_status write_and_wait(fb_cache *cache, const fb_op *op, fb_err *reterr) {
    struct parked_write parked = {.reterr = reterr};
    struct fb_txn *txn;
    fb_outcome outcome;
    fb_status status = fb_txn_new(cache, op, 1, wake_writer, &parked, &txn, &outcome);
    if (status < 0 && reterr != NULL)
        *reterr = outcome.err;
    if (status != FB_OK)
        return status;
    fb_park_init(&parked.park, 1);
    fb_txn_start(txn, FB_RUN_HERE);
    fb_park_wait(&parked.park);
    return parked.status;
}

fb_status fb_set(fb_cache *cache, fb_bytes key, fb_bytes value, fb_err *reterr) {
    fb_op op = {.kind = FB_OP_SET, .key = key, .value = value};
    return write_and_wait(cache, &op, reterr);
}

fb_status fb_delete(fb_cache *cache, fb_bytes key, fb_err *reterr) {
    fb_op op = {.kind = FB_OP_DELETE, .key = key};
    return write_and_wait(cache, &op, reterr);
}

/* ---- cache-aside ---- */

struct parked_lease {
    struct fb_park park;
    fb_status status;
    fb_buf *ret_value;
    uint64_t token;
};

static void wake_leased(void *user, fb_status status, fb_bytes value, uint64_t token) {
    struct parked_lease *parked = user;
    parked->status = status == FB_OK ? fb_buf_append(parked->ret_value, value.data, value.len) : status;
    parked->token = token;
    fb_park_done(&parked->park);
}

/* The lease is one of the shared second level. */
static fb_status lease_shared(fb_cache *cache, fb_bytes key, int64_t wait_ms, fb_buf *ret_value, uint64_t *ret_token,
                              fb_err *reterr) {
    struct parked_lease parked = {.ret_value = ret_value};
    struct fb_keyspace *keyspace;
    fb_kind kind;
    fb_status status = fb_cache_find(cache, key, &keyspace, reterr);
    if (status != FB_OK)
        return status;
    status = fb_peek(cache, key, ret_value, &kind);
    if (status != FB_MISS)
        return status;
    fb_park_init(&parked.park, 1);
    status = fb_tier_lease(cache->tier, keyspace, key, wait_ms, wake_leased, &parked);
    if (status != FB_PENDING)
        wake_leased(&parked, status, fb_bytes_of(NULL, 0), 0);
    fb_park_wait(&parked.park);
    *ret_token = parked.token;
    if (parked.status < 0)
        fb_explain(reterr, parked.status, keyspace, fb_bytes_of(NULL, 0));
    return parked.status;
}

fb_status fb_get_or_lease(fb_cache *cache, fb_bytes key, int64_t wait_ms, fb_buf *ret_value, uint64_t *ret_token,
                          fb_err *reterr) {
    enum { WAIT_DEFAULT_MS = 2000 };
    struct parked_read parked = {0};
    if (cache->tier != NULL)
        return lease_shared(cache, key, wait_ms, ret_value, ret_token, reterr);
    parked.read.waiter.wants_lease = true;
    parked.read.waiter.deadline = fb_after(fb_clock_now(), fb_ms(wait_ms > 0 ? wait_ms : WAIT_DEFAULT_MS));
    fb_status status = read_and_wait(cache, &parked, key, ret_value, reterr);
    if (status == FB_LEASE)
        *ret_token = parked.read.waiter.token;
    return status;
}
