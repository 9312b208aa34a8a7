/* What may follow a state: the actors' steps, late duplicates, and the environment; and what must hold at rest. */
#include "step.h"

#include <string.h>

void step_start(struct step *s) {
    s->to = *s->from;
    s->violation = NULL;
}

void step_emit(struct step *s, const char *what, int who) {
    struct redis *r = &s->to.redis;
    if (r->marks == 0 && r->hold == 0)
        r->contended = 0;
    s->found(s->arg, &s->to, (struct label){what, who}, s->violation);
}

void step_emit_sent(struct step *s, const char *what, int who, enum late kind, uint8_t val) {
    step_emit(s, what, who);
    if (s->to.duplicates == 0)
        return;
    for (int i = 0; i < DUPLICATES_MAX; i++) {
        if (s->to.late[i].kind != 0)
            continue;
        struct state kept = s->to;
        s->to.duplicates--;
        s->to.late[i].kind = (uint8_t)kind;
        s->to.late[i].who = (uint8_t)who;
        s->to.late[i].val = val;
        if (kind == LATE_BEGIN)
            s->to.writers[who].is_unsure = step_has(s->c, RESENT_ONLY_DELETES);
        step_emit(s, what, who);
        s->to = kept;
        return;
    }
}

static void late_steps(struct step *s) {
    for (int i = 0; i < DUPLICATES_MAX; i++) {
        int who = s->from->late[i].who;
        uint8_t val = s->from->late[i].val;
        if (s->from->late[i].kind == 0)
            continue;
        step_start(s);
        memset(&s->to.late[i], 0, sizeof s->to.late[i]);
        switch (s->from->late[i].kind) {
        case LATE_MISS: /* under its own token, which nobody will fill with */
            (void)redis_miss(s, step_has(s->c, FRESH_TOKENS) ? NOBODY : who, /* refresh */ false);
            step_emit(s, "a late MISS of reader", who);
            break;
        case LATE_FILL: (void)redis_fill(s, who, val); step_emit(s, "a late FILL of reader", who); break;
        case LATE_BEGIN: redis_begin(s, who); step_emit(s, "a late BEGIN of writer", who); break;
        case LATE_END: redis_end(s, who, val, /* puts */ true); step_emit(s, "a late END of writer", who); break;
        default: redis_end(s, who, val, /* puts */ false); step_emit(s, "a late END (delete) of writer", who); break;
        }
    }
}

/* ---- the environment --------------------------------------------------------------------------------------------
 * */

/* A living writer's mark outlives its commit, because the database gives up before the mark does. */
static bool may_expire(const struct step *s, int i) {
    uint8_t at = s->from->writers[i].at;
    if ((s->from->redis.marks >> i & 1) == 0)
        return false;
    return !step_has(s->c, MARK_OUTLIVES_COMMIT) || (at != W_BEGUN && at != W_DOUBT && at != W_DEAD_DOUBT);
}

static bool may_hold_end(const struct step *s) {
    for (int i = 0; i < s->c->writers; i++)
        if (s->c->writing[i] == EVENT_COMMIT && s->from->writers[i].at == W_BEGUN)
            return false;
    return true;
}

static void fail_over(struct step *s) {
    step_start(s);
    s->to.failovers--;
    s->to.redis = s->to.replica;
    memset(&s->to.replica, 0, sizeof s->to.replica);
    for (int i = 0; i < s->c->readers; i++)
        if (s->to.readers[i].at == R_LOADS || s->to.readers[i].at == R_FILLS)
            s->to.pinned_out |= (uint8_t)(1u << i);
    for (int i = 0; i < s->c->writers; i++)
        if (s->to.writers[i].at != W_IDLE && s->to.writers[i].at < W_DONE)
            s->to.pinned_writers |= (uint8_t)(1u << i);
    s->to.noticed = 0;
    s->to.redis.trust = 0;
    step_emit(s, "failover to the replica's older state", -1);
}

static void environment_steps(struct step *s) {
    const struct redis *r = &s->from->redis;
    if (r->value != NONE) {
        step_start(s);
        s->to.redis.value = NONE;
        step_emit(s, "the value is evicted", -1);
    }
    if (r->negative != NONE) {
        step_start(s);
        s->to.redis.negative = NONE;
        step_emit(s, "the negative entry expires", -1);
    }
    if (r->lease != 0) {
        step_start(s);
        s->to.redis.lease = 0;
        step_emit(s, "the lease expires", -1);
    }
    if (r->hold != 0 && may_hold_end(s)) {
        step_start(s);
        s->to.redis.hold = 0;
        step_emit(s, "the hold ends", -1);
    }
    for (int i = 0; i < s->c->writers; i++)
        if (may_expire(s, i)) {
            step_start(s);
            s->to.redis.marks &= (uint8_t)~(1u << i);
            if (s->c->keeps_old)
                redis_drop(s); /* BEGIN cut its life to the mark's */
            step_emit(s, "the mark expires of writer", i);
        }
    if (s->from->losses > 0) {
        step_start(s);
        s->to.losses--;
        s->to.redis.lease = s->to.redis.marks = s->to.redis.contended = s->to.redis.hold = 0;
        step_emit(s, "the coordination key is lost", -1);
        redis_drop(s);
        step_emit(s, "FLUSHALL", -1);
    }
    if (s->from->failovers > 0) {
        if (memcmp(&s->from->replica, &s->from->redis, sizeof s->from->redis) != 0 || s->from->touched != 0) {
            step_start(s);
            s->to.replica = s->to.redis;
            s->to.touched = 0;
            step_emit(s, "the replica catches up", -1);
        }
        fail_over(s);
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------
 * */

void model_first(const struct config *c, struct state *ret) {
    memset(ret, 0, sizeof *ret);
    ret->crashes = c->crashes;
    ret->losses = c->losses;
    ret->duplicates = c->duplicates;
    ret->failovers = c->failovers;
}

void model_steps(const struct config *c, const struct state *from, found_fn *found, void *arg) {
    struct step s = {.c = c, .from = from, .found = found, .arg = arg};
    if (c->has_l1) {
        l1_steps(&s);
        return;
    }
    for (int i = 0; i < c->readers; i++)
        reader_steps(&s, i);
    for (int i = 0; i < c->writers; i++)
        writer_steps(&s, i);
    late_steps(&s);
    flusher_steps(&s);
    environment_steps(&s);
}

const char *model_at_rest(const struct config *c, const struct state *s) {
    if ((c->property & REST) == 0)
        return NULL;
    if (c->has_l1)
        return l1_at_rest(s);
    for (int i = 0; i < c->readers; i++)
        if (s->readers[i].at != R_IDLE && s->readers[i].at != R_DONE)
            return NULL;
    for (int i = 0; i < c->writers; i++) {
        if (s->writers[i].at == W_DEAD)
            continue;
        if (s->writers[i].at != W_DONE)
            return NULL;
        if (step_has(c, REASSERT) && !c->distrust && c->failovers > s->failovers && (s->touched >> i & 1) != 0)
            return NULL;
    }
    for (int i = 0; i < DUPLICATES_MAX; i++)
        if (s->late[i].kind != 0)
            return NULL;
    if (c->keeps_old && s->redis.marks != 0)
        return NULL;
    if (s->dirty != NONE || s->flushing != NONE)
        return NULL;
    if (c->distrust && c->failovers > s->failovers &&
        (s->noticed != (1u << c->readers) - 1 || s->redis.trust == 0))
        return NULL;
    uint8_t kept = s->redis.value != NONE ? s->redis.value : s->redis.negative;
    if (kept != NONE && kept != s->db + 1)
        return "everybody is done, and what is kept is not what the database has";
    return NULL;
}
