/* What the double has none of: sources with figures, other processes, write-behind, policies, leases and locks. The
 * engine's own tests have them. */
#include "double_engine.h"

/* ---- a source without a database -------------------------------------------------------------------------------- */

const int64_t fb_time_steps_us[FB_TIME_STEPS];

const char *fb_source_name(const fb_source *source) {
    (void)source;
    return "double";
}

void fb_source_stats_get(const fb_source *source, fb_source_stats *ret_stats) {
    (void)source;
    *ret_stats = (fb_source_stats){0};
}

void fb_source_times_get(const fb_source *source, fb_time_kind kind, fb_times *ret_times) {
    (void)source, (void)kind;
    *ret_times = (fb_times){0};
}

/* ---- batches, policies ------------------------------------------------------------------------------------------ */

void fb_gather_begin(fb_cache *cache) { (void)cache; }

void fb_gather_end(fb_cache *cache) { (void)cache; }

void fb_prefetch(fb_cache *cache, const fb_bytes *keys, size_t n) {
    (void)cache;
    (void)keys;
    (void)n;
}

fb_status fb_policy_set(fb_cache *cache, unsigned keyspace, const fb_policy *policy, fb_err *reterr) {
    (void)cache, (void)keyspace, (void)policy, (void)reterr;
    return FB_OK;
}

fb_status fb_memory_max_set(fb_cache *cache, uint64_t bytes, fb_err *reterr) {
    (void)cache, (void)bytes, (void)reterr;
    return FB_OK;
}

/* ---- other processes -------------------------------------------------------------------------------------------- */

int fb_is_elsewhere(const fb_cache *cache) {
    (void)cache;
    return 0;
}

fb_status fb_owner_get(fb_cache *cache, fb_bytes key, char *ret_address, size_t size) {
    (void)cache, (void)key, (void)ret_address, (void)size;
    return FB_OK;
}

void fb_forget(fb_cache *cache, fb_bytes key) { (void)cache, (void)key; }

void fb_sharing_stats_get(fb_cache *cache, fb_sharing_stats *ret_stats) {
    (void)cache;
    *ret_stats = (fb_sharing_stats){.is_shared = 0};
}

fb_status fb_invalidate_shared(fb_cache *cache, unsigned keyspace, uint64_t *ret_dropped, fb_err *reterr) {
    (void)cache, (void)keyspace, (void)reterr;
    *ret_dropped = 0;
    return FB_OK;
}

/* ---- write-behind ----------------------------------------------------------------------------------------------- */

fb_status fb_settle(fb_cache *cache, fb_settled what, int64_t timeout_ms, fb_done done, void *user,
                    fb_result *ret_result) {
    (void)cache, (void)what, (void)timeout_ms, (void)done, (void)user;
    *ret_result = (fb_result){.status = FB_OK};
    return FB_OK;
}

fb_status fb_dead(fb_cache *cache, const char *source, fb_dead_verb verb, uint64_t id, size_t limit, fb_done done,
                  void *user, fb_result *ret_result) {
    (void)cache, (void)source, (void)verb, (void)id, (void)limit, (void)done, (void)user;
    *ret_result = (fb_result){.status = FB_INVALID};
    ret_result->err = (fb_err){FB_INVALID, "nothing is written behind"};
    return FB_INVALID;
}

fb_status fb_behind_stats_get(const fb_source *source, fb_behind_stats *ret_stats) {
    (void)source;
    *ret_stats = (fb_behind_stats){0};
    return FB_NOTFOUND;
}

/* ---- leases and locks ------------------------------------------------------------------------------------------- */

static fb_status not_here(fb_result *result) {
    *result = (fb_result){.status = FB_UNSUPPORTED};
    return FB_UNSUPPORTED;
}

fb_status fb_lease_submit(fb_cache *cache, fb_bytes key, int64_t wait_ms, fb_done done, void *user,
                          fb_result *ret_result) {
    (void)cache, (void)key, (void)wait_ms, (void)done, (void)user;
    return not_here(ret_result);
}

fb_status fb_fill_submit(fb_cache *cache, fb_bytes key, uint64_t token, fb_status found, fb_bytes value, int64_t life_ms,
                         fb_done done, void *user, fb_result *ret_result) {
    (void)cache, (void)key, (void)token, (void)found, (void)value, (void)life_ms, (void)done, (void)user;
    return not_here(ret_result);
}

fb_status fb_lock_submit(fb_cache *cache, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, fb_done done, void *user,
                         fb_result *ret_result) {
    (void)cache, (void)name, (void)ttl_ms, (void)wait_ms, (void)done, (void)user;
    return not_here(ret_result);
}

fb_status fb_unlock_submit(fb_cache *cache, fb_bytes name, uint64_t token, fb_done done, void *user,
                           fb_result *ret_result) {
    (void)cache, (void)name, (void)token, (void)done, (void)user;
    return not_here(ret_result);
}
