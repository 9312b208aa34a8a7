/* Refresh-ahead and XFetch: when a hit may begin a load, when it must, and what is left when that fails (S12). The arithmetic
 * is the world's own, lest a mistake in the policy be compared with itself. */
#include "moves.h"

#include "base/rng.h"

#define LOG_OF_2_32 22.181 /* −ln of the smallest draw */

enum { FIRST_PAUSE_LEAST_MS = 500, ROUNDING_NS = 1000 };

static int64_t ttl_of(const struct world *w) { return fb_ms(w->policies[0].ttl_ms).ns; }
static int64_t shortest_life(const struct world *w) { return (int64_t)((double)ttl_of(w) * (1 - w->policies[0].jitter)); }

static bool is_flying(const struct world *w, unsigned key) {
    for (unsigned i = 0; i < w->nflights; i++)
        if (w->flights[i].key == key)
            return true;
    return false;
}

/* May anything of the key be under way that the shard still knows of? */
static bool is_quiet(const struct world *w, unsigned key) {
    const struct row *row = &w->rows[key];
    bool is_busy = is_flying(w, key) || row->granted != NULL || row->nheld > 0;
    for (unsigned i = 0; i < w->nops && !is_busy; i++) {
        const struct op *op = &w->ops[i];
        bool may_lease = op->kind == OP_ASIDE && op->leased != 0; /* who died with a lease holds it for a while */
        is_busy = op->key == key && (may_lease || op->state == OP_QUEUED || op->state == OP_IN_DOUBT);
    }
    return !is_busy;
}

static bool may_be_due(const struct world *w, const struct fb_stamp *stamp, bool is_early) {
    const fb_policy *policy = &w->policies[0];
    int64_t age = w->now.ns - stamp->birth.ns;
    if (is_early)
        return policy->early_refresh > 0 && stamp->cost_us > 0 &&
               (double)(shortest_life(w) - age) <= policy->early_refresh * stamp->cost_us * 1000 * LOG_OF_2_32 + ROUNDING_NS;
    return policy->refresh_ahead > 0 &&
           age >= (int64_t)((double)shortest_life(w) * policy->refresh_ahead * (1 - FB_REFRESH_SPREAD)) - ROUNDING_NS;
}

/* Past the latest refresh point, with nothing against it. */
static bool must_be_due(const struct world *w, const struct op *op, const struct fb_stamp *stamp) {
    const fb_policy *policy = &w->policies[0];
    int64_t age = w->now.ns - stamp->birth.ns;
    return policy->refresh_ahead > 0 && age > (int64_t)((double)ttl_of(w) * policy->refresh_ahead) + LAG_MAX_NS &&
           age < shortest_life(w) - LAG_MAX_NS && stamp->kind != FB_KIND_NONE && stamp->cap_ms == 0 && stamp->retry == 0 && is_quiet(w, op->key);
}

void ahead_after_hit(struct world *w, const struct op *op, fb_instant now, struct fb_effects *fx) {
    const struct row *row = &w->rows[op->key];
    struct fb_stamp stamp;
    if (op->kind != OP_READ || !world_entry(w, row, &stamp, NULL))
        return;
    enum fb_due due = fb_shard_due(w->shard, row->hash, FB_STR(row->name), &stamp, now, (uint32_t)fb_rng_next(&w->rng));
    bool is_capped = stamp.cap_ms > 0;
    if (due == FB_DUE_NOT) {
        if (must_be_due(w, op, &stamp))
            world_fail(w, "S12: op %u finds %s past its refresh point, and nothing is begun", op->number, row->name);
        w->seen[SEEN_AHEAD_PAUSED] += row->pause.birth == stamp.birth.ns;
        return;
    }
    if (!may_be_due(w, &stamp, due == FB_DUE_EARLY) || stamp.kind == FB_KIND_NONE || is_capped)
        world_fail(w, "S12: op %u refreshes %s, which is not due", op->number, row->name);
    if (row->pause.birth == stamp.birth.ns && w->now.ns < row->pause.until - 2 * LAG_MAX_NS)
        world_fail(w, "S12: op %u refreshes %s again, which has just failed", op->number, row->name);
    fb_status status = fb_shard_refresh_ahead(w->shard, row->hash, FB_STR(row->name), &stamp, due, !w->is_down, now, fx);
    if ((status == FB_REFUSED) != w->is_down || fb_list_is_empty(&fx->loads) != (status != FB_OK))
        world_fail(w, "op %u: a refresh that is %s while the source is %s", op->number, fb_status_name(status),
                   w->is_down ? "down" : "up");
    w->seen[SEEN_AHEAD] += status == FB_OK && due == FB_DUE_AHEAD;
    w->seen[SEEN_EARLY] += status == FB_OK && due == FB_DUE_EARLY;
    w->seen[SEEN_AHEAD_REFUSED] += status == FB_REFUSED;
}

void ahead_check_missed(struct world *w, const struct op *op) {
    struct fb_stamp stamp;
    if (op->kind == OP_READ && world_entry(w, &w->rows[op->key], &stamp, NULL) && must_be_due(w, op, &stamp))
        world_fail(w, "S12: op %u does not find %s ripe past its refresh point", op->number, w->rows[op->key].name);
}

void ahead_check_begun(struct world *w, const struct world_flight *flight) {
    if (!flight->core->is_ahead)
        return;
    if (!fb_list_is_empty(&flight->core->waiters))
        world_fail(w, "S12: somebody waits for flight %u, which was begun ahead", flight->number);
    if (!fb_flight_is_wanted(flight->core))
        world_fail(w, "flight %u is begun ahead, and nobody wants it", flight->number);
    for (unsigned i = 0; i + 1 < w->nflights; i++)
        if (w->flights[i].key == flight->key)
            world_fail(w, "S12: flight %u is begun ahead beside flight %u", flight->number, w->flights[i].number);
}

void ahead_note_failure(struct world *w, struct row *row, struct fb_stamp *ret_before) {
    int64_t left, age;
    row->pause = (struct pause){NEVER_FAILED, 0};
    if (!world_entry(w, row, ret_before, NULL) || ret_before->kind == FB_KIND_NONE || ret_before->is_stale ||
        ret_before->cap_ms > 0) {
        ret_before->birth.ns = NEVER_FAILED;
        return;
    }
    age = w->now.ns - ret_before->birth.ns;
    left = shortest_life(w) - age;
    if (left <= LAG_MAX_NS) {
        ret_before->birth.ns = NEVER_FAILED;
        return;
    }
    int64_t pause = left / 2 < fb_ms(FIRST_PAUSE_LEAST_MS).ns ? left / 2 : fb_ms(FIRST_PAUSE_LEAST_MS).ns;
    row->pause = (struct pause){ret_before->birth.ns, w->now.ns + pause};
}

void ahead_check_left(struct world *w, const struct world_flight *flight, const struct fb_stamp *before) {
    struct fb_stamp stamp;
    if (before->birth.ns == NEVER_FAILED)
        return;
    if (!world_entry(w, &w->rows[flight->key], &stamp, NULL) || stamp.birth.ns != before->birth.ns)
        world_fail(w, "S12: flight %u has failed, and the copy is gone", flight->number);
}

void ahead_check_rest(struct world *w) {
    const fb_keyspace_stats *count = fb_shard_counters(w->shard, 0);
    if (count->refreshes != w->seen[SEEN_AHEAD] || count->early_refreshes != w->seen[SEEN_EARLY] ||
        count->refreshes_refused != w->seen[SEEN_AHEAD_REFUSED])
        world_fail(w, "refreshes are miscounted");
}
