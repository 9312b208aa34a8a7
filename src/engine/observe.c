/* Looking into a running cache and changing it. (In the making.) */
#include "base/err.h"
#include "engine/engine.h"

uint64_t fb_fingerprint(const fb_cache *cache, fb_kind kind, fb_bytes value) {
    return fb_hash(&cache->hash_key, value.data, value.len) + (uint64_t)kind;
}

uint64_t fb_scan(fb_cache *cache, uint64_t cursor, size_t count, fb_visit visit, void *user) {
    (void)cache, (void)cursor, (void)count, (void)visit, (void)user;
    return 0;
}

fb_status fb_random_key(fb_cache *cache, fb_buf *ret_key) {
    (void)cache, (void)ret_key;
    return FB_NOTFOUND;
}

void fb_facts_get(fb_cache *cache, fb_bytes key, fb_facts *ret_facts) {
    *ret_facts = (fb_facts){.keyspace = fb_keyspace_of(cache, key), .cached = FB_MISS};
}

const char *fb_keyspace_sql(const fb_cache *cache, unsigned index, fb_op_kind kind) {
    (void)cache, (void)index, (void)kind;
    return NULL;
}

fb_status fb_keyspace_last_error(fb_cache *cache, unsigned index, fb_err *ret_text, int64_t *ret_age_ms) {
    (void)cache, (void)index, (void)ret_text, (void)ret_age_ms;
    return FB_NOTFOUND;
}

fb_status fb_list_keys(fb_cache *cache, unsigned keyspace, size_t limit, fb_done done, void *user,
                       fb_result *ret_result) {
    (void)cache, (void)keyspace, (void)limit, (void)done, (void)user;
    *ret_result = (fb_result){.status = FB_UNSUPPORTED};
    return FB_UNSUPPORTED;
}

fb_status fb_policy_set(fb_cache *cache, unsigned keyspace, const fb_policy *policy, fb_err *reterr) {
    (void)cache, (void)keyspace, (void)policy;
    return fb_fail(reterr, FB_UNSUPPORTED, "not yet");
}

fb_status fb_memory_max_set(fb_cache *cache, uint64_t bytes, fb_err *reterr) {
    (void)cache, (void)bytes;
    return fb_fail(reterr, FB_UNSUPPORTED, "not yet");
}
