/* Looking in: going round the fresh values, and all that is known of one key. */
#include "core/shard_internal.h"

struct scan {
    const struct fb_shard *shard;
    fb_instant now;
    fb_visit visit;
    void *user;
};

static void visit_fresh(void *user, fb_bytes key, const struct fb_stamp *stamp) {
    const struct scan *scan = user;
    if (stamp->kind == FB_KIND_NONE ||
        fb_freshness(stamp, &scan->shard->policies[stamp->keyspace], scan->now) != FB_VERDICT_FRESH)
        return;
    scan->visit(scan->user, &(fb_entry){.key = key, .kind = (fb_kind)stamp->kind, .keyspace = stamp->keyspace});
}

uint64_t fb_shard_scan(struct fb_shard *shard, uint64_t position, fb_instant now, fb_visit visit, void *user,
                       unsigned *ret_looked) {
    struct scan scan = {shard, now, visit, user};
    return fb_table_scan(shard->table, position, visit_fresh, &scan, ret_looked);
}

static unsigned waiters_of(const struct fb_flight *flight) {
    unsigned n = 0;
    if (flight != NULL)
        for (const struct fb_link *l = flight->waiters.next; l != &flight->waiters; l = l->next)
            n++;
    return n;
}

/* Rounded up: what took any time at all is not 0. */
static int64_t ms_of(uint32_t us) { return ((int64_t)us + 999) / 1000; }

static void facts_of_entry(const struct fb_table_facts *entry, const fb_policy *policy, fb_instant now, fb_facts *ret) {
    const struct fb_stamp *stamp = &entry->stamp;
    enum fb_verdict verdict = fb_grace(stamp, policy, now);
    if (verdict == FB_VERDICT_STALE || verdict == FB_VERDICT_STALE_DOWN) {
        ret->value_bytes = entry->value_bytes;
        ret->memory = entry->memory;
        ret->age_ms = fb_span_ms(fb_since(now, stamp->birth));
        ret->grace_ms = fb_span_ms(fb_since(fb_grace_end(stamp, policy), now)) + 1;
    }
    if (verdict != FB_VERDICT_FRESH)
        return;
    struct fb_stamp uncapped = *stamp;
    uncapped.cap_ms = 0;
    ret->cached = stamp->kind == FB_KIND_NONE ? FB_NOTFOUND : FB_OK;
    ret->kind = (fb_kind)stamp->kind;
    ret->value_bytes = entry->value_bytes;
    ret->memory = entry->memory;
    ret->frequency = entry->frequency;
    ret->age_ms = fb_before(now, stamp->birth) ? 0 : fb_span_ms(fb_since(now, stamp->birth));
    ret->life_ms = fb_span_ms(fb_since(fb_policy_expiry(stamp, policy), now)) + 1; /* as FB_OP_TTL tells it */
    ret->ttl_ms = fb_span_ms(fb_since(fb_policy_expiry(&uncapped, policy), stamp->birth));
    ret->cap_ms = fb_stamp_cap(stamp);
    ret->load_ms = ms_of(stamp->cost_us);
    fb_instant point = fb_refresh_point(stamp, policy);
    if (point.ns != FB_NEVER.ns)
        ret->refresh_ms = fb_before(now, point) ? fb_span_ms(fb_since(point, now)) + 1 : -1;
}

void fb_shard_facts(struct fb_shard *shard, uint64_t hash, fb_bytes key, fb_instant now, fb_facts *ret_facts) {
    struct fb_table_facts entry;
    *ret_facts = (fb_facts){.cached = FB_MISS};
    if (fb_table_facts(shard->table, hash, key, &entry) == FB_OK)
        facts_of_entry(&entry, &shard->policies[entry.stamp.keyspace], now, ret_facts);
    const struct fb_coord *coord = fb_coord_find(shard, hash, key);
    if (coord == NULL)
        return;
    ret_facts->is_loading = coord->nflights > 0;
    ret_facts->is_written = coord->active != NULL || coord->nholds > 0;
    ret_facts->waiters = waiters_of(coord->leased) + (coord->fresh != coord->leased ? waiters_of(coord->fresh) : 0);
}
