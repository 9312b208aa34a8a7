/* Readers: they ask, load, fill, follow a load, refresh, and judge what they answer. */
#include "step.h"

#include <string.h>

#include "store/decide.h"

static bool is_refresher(const struct config *c, int i) { return i < c->refreshers; }

static void back_to_idle(struct step *s, int i) {
    memset(&s->to.readers[i], 0, sizeof s->to.readers[i]);
    s->to.readers[i].at = s->c->once ? R_DONE : R_IDLE;
    s->to.pinned_out &= (uint8_t)~(1u << i);
}

static void answer(struct step *s, int i, uint8_t version) {
    uint8_t floor = s->to.readers[i].floor;
    back_to_idle(s, i);
    if (is_refresher(s->c, i))
        return;
    if (version < floor && (s->c->property & (ATOMIC | REGULAR)) != 0)
        s->violation = (s->c->property & ATOMIC) != 0
                           ? "this read is older than what was acknowledged or read before it"
                           : "this read is older than what was acknowledged before it";
    if (version > s->to.seen && (s->c->property & ATOMIC) != 0)
        s->to.seen = version;
}

/* The flight of reader i is over: its followers get the value, or ask again. */
static void settle_followers(struct step *s, int leader, uint8_t version, bool was_kept) {
    for (int i = 0; i < s->c->readers; i++) {
        uint8_t at = s->to.readers[i].at;
        if ((at != R_JOINED_EARLY && at != R_JOINED_LATE) || s->to.readers[i].aux != leader)
            continue;
        if (at == R_JOINED_EARLY || was_kept || !step_has(s->c, FOLLOWERS_CHECK)) {
            answer(s, i, version);
        } else {
            s->to.readers[i].at = R_ASKS;
            s->to.readers[i].aux = 0;
        }
    }
}

static bool distrusts(const struct step *s, int i) {
    return s->c->distrust && (s->from->noticed >> i & 1) != 0 && (s->from->redis.trust >> i & 1) == 0;
}

static void ask(struct step *s, int i) {
    bool is_refresh = is_refresher(s->c, i) || distrusts(s, i);
    bool is_first = s->to.readers[i].at == R_IDLE;
    if (is_first) {
        uint8_t floor = s->to.acked;
        if ((s->c->property & ATOMIC) != 0 && s->to.seen > floor)
            floor = s->to.seen;
        s->to.readers[i].floor = is_refresher(s->c, i) || s->c->property == REST ? 0 : floor;
    }
    s->to.readers[i].at = R_ASKS;
    bool is_alone = s->c->reading == PLAIN || (is_refresher(s->c, i) && !step_has(s->c, REFRESH_HAS_LEASE));
    if (is_alone && !(is_refresher(s->c, i)) && (s->to.redis.value != NONE || s->to.redis.negative != NONE)) {
        answer(s, i, (uint8_t)((s->to.redis.value != NONE ? s->to.redis.value : s->to.redis.negative) - 1));
        step_emit(s, "hit by reader", i);
        return;
    }
    if (is_alone) {
        s->to.readers[i].at = R_LOADS;
        step_emit(s, "miss by reader", i);
        return;
    }
    uint8_t value = s->to.redis.value, negative = s->to.redis.negative;
    switch (redis_miss(s, i, is_refresh)) {
    case FB_COORD_HIT: answer(s, i, (uint8_t)(value - 1)); step_emit(s, "hit by reader", i); break;
    case FB_COORD_NEG: answer(s, i, (uint8_t)(negative - 1)); step_emit(s, "known to be absent, by reader", i); break;
    case FB_COORD_LEASE:
        s->to.readers[i].at = R_LOADS;
        step_emit_sent(s, "MISS gives a lease to reader", i, LATE_MISS, 0);
        break;
    case FB_COORD_BUSY:
        if (is_refresher(s->c, i))
            break;
        s->to.readers[i].at = R_DIRECT;
        step_emit(s, "MISS says BUSY to reader", i);
        break;
    case FB_COORD_WAIT:
        if (is_refresher(s->c, i))
            break;
        if (is_first)
            step_emit(s, "MISS says WAIT to reader", i);
        s->to.readers[i].at = R_DIRECT;
        step_emit(s, "waited long enough: reader", i);
        break;
    }
}

static void join(struct step *s, int i) {
    for (int leader = 0; s->c->followers && leader < s->c->readers; leader++) {
        uint8_t at = s->from->readers[leader].at;
        if (leader == i || is_refresher(s->c, leader) || (at != R_LOADS && at != R_FILLS))
            continue;
        step_start(s);
        uint8_t floor = s->to.seen > s->to.acked && (s->c->property & ATOMIC) != 0 ? s->to.seen : s->to.acked;
        s->to.readers[i].at = at == R_LOADS ? R_JOINED_EARLY : R_JOINED_LATE;
        s->to.readers[i].aux = (uint8_t)leader;
        s->to.readers[i].floor = floor;
        step_emit(s, at == R_LOADS ? "joins before the query: reader" : "joins after the query: reader", i);
    }
}

/* One look at the database; of the owner of write-behind one at its map of what is not flushed, and one there. */
static void load(struct step *s, int i, uint8_t next, uint8_t second) {
    uint8_t *at = &s->to.readers[i].at, *val = &s->to.readers[i].val;
    bool has_map = s->c->writing[0] == JOURNAL;
    bool is_second = *at == second;
    if (has_map && (is_second != step_has(s->c, DIRTY_FIRST))) { /* looks at the map */
        if (s->to.dirty != NONE)
            *val = s->to.dirty - 1;
        *at = is_second || s->to.dirty != NONE ? next : second;
        step_emit(s, "looks at what is not flushed: reader", i);
        return;
    }
    *val = s->to.db;
    *at = has_map && !is_second ? second : next;
    step_emit(s, "reads the database: reader", i);
}

void reader_steps(struct step *s, int i) {
    step_start(s);
    uint8_t val = s->to.readers[i].val;
    switch (s->from->readers[i].at) {
    case R_IDLE:
        ask(s, i);
        if (!is_refresher(s->c, i))
            join(s, i);
        break;
    case R_ASKS: ask(s, i); break;
    case R_LOADS:
    case R_LOADS_ON: load(s, i, R_FILLS, R_LOADS_ON); break;
    case R_FILLS: {
        bool is_alone = s->c->reading == PLAIN || (is_refresher(s->c, i) && !step_has(s->c, REFRESH_HAS_LEASE));
        bool was_kept = true;
        if (is_alone)
            redis_put(s, val, FILL_DROPS_OTHER);
        else
            was_kept = redis_fill(s, i, val);
        settle_followers(s, i, val, was_kept);
        answer(s, i, val);
        step_emit_sent(s, was_kept ? "FILL is accepted: reader" : "FILL is refused: reader", i, LATE_FILL, val);
        break;
    }
    case R_DIRECT:
    case R_DIRECT_ON: {
        bool has_map = s->c->writing[0] == JOURNAL;
        if (!has_map) {
            answer(s, i, s->to.db);
            step_emit(s, "reads the database, keeps nothing: reader", i);
        } else if (s->to.dirty != NONE && s->from->readers[i].at == R_DIRECT && step_has(s->c, DIRTY_FIRST)) {
            answer(s, i, s->to.dirty - 1);
            step_emit(s, "reads what is not flushed, keeps nothing: reader", i);
        } else if (s->from->readers[i].at == R_DIRECT) {
            s->to.readers[i].at = R_DIRECT_ON;
            s->to.readers[i].val = step_has(s->c, DIRTY_FIRST) ? 0 : s->to.db;
            step_emit(s, "goes on to its second look: reader", i);
        } else {
            uint8_t second = s->to.dirty != NONE ? s->to.dirty - 1 : val;
            answer(s, i, step_has(s->c, DIRTY_FIRST) ? s->to.db : second);
            step_emit(s, "answers from its second look: reader", i);
        }
        break;
    }
    default: break;
    }
    /* A failover is noticed by each process when it connects anew; leases of before then are given up with PINNED. */
    if (s->c->distrust && s->c->failovers > s->from->failovers && (s->from->noticed >> i & 1) == 0) {
        step_start(s);
        s->to.noticed |= (uint8_t)(1u << i);
        step_emit(s, "notices the failover: reader", i);
    }
}
