/* What may happen next: readers, writers, the flusher of write-behind, late duplicates, and the environment.
 *
 * The decisions are those of store/decide.h. A part that a configuration leaves out is left out by lying about what the
 * script finds, or by not carrying out what it decided. */
#include "model.h"

#include <string.h>

#include "store/decide.h"

enum late { LATE_MISS = 1, LATE_FILL, LATE_BEGIN, LATE_END, LATE_END_DEL };

/* One expansion: the state we are in, and the one being built. */
struct step {
    const struct config *c;
    const struct state *from;
    struct state to;
    found_fn *found;
    void *arg;
    const char *violation;
};

static bool has(const struct config *c, uint32_t part) { return (c->without & part) == 0; }

static void start(struct step *s) {
    s->to = *s->from;
    s->violation = NULL;
}

static void emit(struct step *s, const char *what, int who) {
    struct redis *r = &s->to.redis;
    if (r->marks == 0 && r->hold == 0)
        r->contended = 0;
    s->found(s->arg, &s->to, (struct label){what, who}, s->violation);
}

/* ---- the scripts ------------------------------------------------------------------------------------------------ */

static struct fb_coord_facts facts(const struct state *t, int reader, int writer) {
    const struct redis *r = &t->redis;
    uint8_t mine = writer < 0 ? 0 : (uint8_t)(1u << writer);
    return (struct fb_coord_facts){
        .has_value = r->value != NONE, .has_negative = r->negative != NONE,
        .has_lease = r->lease != 0, .is_lease_mine = r->lease == reader + 1 && reader >= 0,
        .has_mark = (r->marks & mine) != 0, .has_other_marks = (r->marks & ~mine) != 0 || r->hold != 0,
        .is_contended = r->contended != 0,
    };
}

static void put(struct step *s, uint8_t version, uint32_t drop_other) {
    struct redis *r = &s->to.redis;
    bool is_absent = (s->c->absent >> version & 1) != 0;
    bool drops = has(s->c, drop_other);
    if (is_absent) {
        r->negative = version + 1;
        r->value = drops ? NONE : r->value;
    } else {
        r->value = version + 1;
        r->negative = drops ? NONE : r->negative;
    }
    r->trust = s->to.noticed;
}

static void drop(struct step *s) { s->to.redis.value = s->to.redis.negative = NONE; }

static enum fb_coord_answer do_miss(struct step *s, int reader, bool is_refresh) {
    struct fb_coord_facts f = facts(&s->to, reader, /* writer */ -1);
    if (!has(s->c, MISS_SEES_MARKS))
        f.has_other_marks = false;
    if (!has(s->c, HOLD_BLOCKS) && s->to.redis.marks == 0)
        f.has_other_marks = false;
    enum fb_coord_answer answer = fb_coord_miss(&f, is_refresh);
    if (answer == FB_COORD_LEASE) {
        s->to.redis.lease = (uint8_t)(reader + 1);
        s->to.pinned_out &= (uint8_t)~(1u << reader);
    }
    return answer;
}

static bool do_fill(struct step *s, int reader, uint8_t version) {
    struct fb_coord_facts f = facts(&s->to, reader, /* writer */ -1);
    if (!has(s->c, FILL_SEES_MARKS) || (!has(s->c, HOLD_BLOCKS) && s->to.redis.marks == 0))
        f.has_other_marks = false;
    if (!has(s->c, FILL_NEEDS_LEASE))
        f.has_lease = f.is_lease_mine = true;
    if (!has(s->c, FILL_COMPARES))
        f.is_lease_mine = f.has_lease;
    if (has(s->c, PINNED) && (s->to.pinned_out >> reader & 1) != 0)
        return false; /* it never leaves the process */
    if (!fb_coord_fill(&f))
        return false;
    s->to.redis.lease = 0;
    put(s, version, FILL_DROPS_OTHER);
    return true;
}

static void do_begin(struct step *s, int writer) {
    struct redis *r = &s->to.redis;
    struct fb_coord_facts f = facts(&s->to, /* reader */ -1, writer);
    r->contended = fb_coord_begin(&f) && has(s->c, CONTENDED);
    if (has(s->c, BEGIN_REVOKES))
        r->lease = 0;
    if (!s->c->keeps_old) {
        if (has(s->c, BEGIN_HIDES))
            r->value = NONE;
        if (has(s->c, BEGIN_HIDES_NEGATIVE))
            r->negative = NONE;
    }
    r->marks |= (uint8_t)(1u << writer);
    if (s->to.failovers > 0)
        s->to.touched |= (uint8_t)(1u << writer);
}

static void do_end(struct step *s, int writer, uint8_t version, bool puts) {
    struct redis *r = &s->to.redis;
    struct fb_coord_facts f = facts(&s->to, /* reader */ -1, writer);
    if (!has(s->c, END_NEEDS_MARK))
        f.has_mark = true;
    if (!has(s->c, END_SEES_OTHERS))
        f.has_other_marks = false;
    bool may = fb_coord_end(&f) && !(has(s->c, PINNED) && (s->to.pinned_writers >> writer & 1) != 0);
    r->marks &= (uint8_t)~(1u << writer);
    r->contended = fb_coord_contended_after(&f) && has(s->c, CONTENDED);
    if (has(s->c, END_REVOKES))
        r->lease = 0;
    if (may && puts) {
        put(s, version, END_DROPS_NEGATIVE);
    } else {
        r->value = NONE;
        if (has(s->c, END_DROPS_NEGATIVE))
            r->negative = NONE;
    }
    if (s->to.failovers > 0)
        s->to.touched |= (uint8_t)(1u << writer);
}

static void do_inval(struct step *s, bool hold) {
    struct fb_coord_facts f = facts(&s->to, /* reader */ -1, /* writer */ -1);
    drop(s);
    if (has(s->c, INVAL_REVOKES))
        s->to.redis.lease = 0;
    if (fb_coord_contended_after(&f) && s->to.redis.marks != 0 && has(s->c, INVAL_CONTENDS))
        s->to.redis.contended = 1;
    s->to.redis.hold |= hold;
}

/* The step as it is, and once more with a copy of its command that arrives later. */
static void emit_sent(struct step *s, const char *what, int who, enum late kind, uint8_t val) {
    emit(s, what, who);
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
            s->to.writers[who].is_unsure = has(s->c, RESENT_ONLY_DELETES);
        emit(s, what, who);
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
        start(s);
        memset(&s->to.late[i], 0, sizeof s->to.late[i]);
        switch (s->from->late[i].kind) {
        case LATE_MISS: /* under its own token, which nobody will fill with */
            (void)do_miss(s, has(s->c, FRESH_TOKENS) ? NOBODY : who, /* refresh */ false);
            emit(s, "a late MISS of reader", who);
            break;
        case LATE_FILL: (void)do_fill(s, who, val); emit(s, "a late FILL of reader", who); break;
        case LATE_BEGIN: do_begin(s, who); emit(s, "a late BEGIN of writer", who); break;
        case LATE_END: do_end(s, who, val, /* puts */ true); emit(s, "a late END of writer", who); break;
        default: do_end(s, who, val, /* puts */ false); emit(s, "a late END (delete) of writer", who); break;
        }
    }
}

/* ---- readers ---------------------------------------------------------------------------------------------------- */

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
        s->violation = (s->c->property & ATOMIC) != 0 ? "this read is older than what was acknowledged or read before it"
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
        if (at == R_JOINED_EARLY || was_kept || !has(s->c, FOLLOWERS_CHECK)) {
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
    bool is_alone = s->c->reading == PLAIN || (is_refresher(s->c, i) && !has(s->c, REFRESH_HAS_LEASE));
    if (is_alone && !(is_refresher(s->c, i)) && (s->to.redis.value != NONE || s->to.redis.negative != NONE)) {
        answer(s, i, (uint8_t)((s->to.redis.value != NONE ? s->to.redis.value : s->to.redis.negative) - 1));
        emit(s, "hit by reader", i);
        return;
    }
    if (is_alone) {
        s->to.readers[i].at = R_LOADS;
        emit(s, "miss by reader", i);
        return;
    }
    uint8_t value = s->to.redis.value, negative = s->to.redis.negative;
    switch (do_miss(s, i, is_refresh)) {
    case FB_COORD_HIT: answer(s, i, (uint8_t)(value - 1)); emit(s, "hit by reader", i); break;
    case FB_COORD_NEG: answer(s, i, (uint8_t)(negative - 1)); emit(s, "known to be absent, by reader", i); break;
    case FB_COORD_LEASE:
        s->to.readers[i].at = R_LOADS;
        emit_sent(s, "MISS gives a lease to reader", i, LATE_MISS, 0);
        break;
    case FB_COORD_BUSY:
        if (is_refresher(s->c, i))
            break;
        s->to.readers[i].at = R_DIRECT;
        emit(s, "MISS says BUSY to reader", i);
        break;
    case FB_COORD_WAIT:
        if (is_refresher(s->c, i))
            break;
        if (is_first)
            emit(s, "MISS says WAIT to reader", i);
        s->to.readers[i].at = R_DIRECT;
        emit(s, "waited long enough: reader", i);
        break;
    }
}

static void join(struct step *s, int i) {
    for (int leader = 0; s->c->followers && leader < s->c->readers; leader++) {
        uint8_t at = s->from->readers[leader].at;
        if (leader == i || is_refresher(s->c, leader) || (at != R_LOADS && at != R_FILLS))
            continue;
        start(s);
        uint8_t floor = s->to.seen > s->to.acked && (s->c->property & ATOMIC) != 0 ? s->to.seen : s->to.acked;
        s->to.readers[i].at = at == R_LOADS ? R_JOINED_EARLY : R_JOINED_LATE;
        s->to.readers[i].aux = (uint8_t)leader;
        s->to.readers[i].floor = floor;
        emit(s, at == R_LOADS ? "joins before the query: reader" : "joins after the query: reader", i);
    }
}

/* One look at the database, or of the owner of write-behind: at its map of what is not flushed, then at the database. */
static void load(struct step *s, int i, uint8_t next, uint8_t second) {
    uint8_t *at = &s->to.readers[i].at, *val = &s->to.readers[i].val;
    bool has_map = s->c->writing[0] == JOURNAL;
    bool is_second = *at == second;
    if (has_map && (is_second != has(s->c, DIRTY_FIRST))) { /* looks at the map */
        if (s->to.dirty != NONE)
            *val = s->to.dirty - 1;
        *at = is_second || s->to.dirty != NONE ? next : second;
        emit(s, "looks at what is not flushed: reader", i);
        return;
    }
    *val = s->to.db;
    *at = has_map && !is_second ? second : next;
    emit(s, "reads the database: reader", i);
}

static void reader_steps(struct step *s, int i) {
    start(s);
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
        bool is_alone = s->c->reading == PLAIN || (is_refresher(s->c, i) && !has(s->c, REFRESH_HAS_LEASE));
        bool was_kept = true;
        if (is_alone)
            put(s, val, FILL_DROPS_OTHER);
        else
            was_kept = do_fill(s, i, val);
        settle_followers(s, i, val, was_kept);
        answer(s, i, val);
        emit_sent(s, was_kept ? "FILL is accepted: reader" : "FILL is refused: reader", i, LATE_FILL, val);
        break;
    }
    case R_DIRECT:
    case R_DIRECT_ON: {
        bool has_map = s->c->writing[0] == JOURNAL;
        if (!has_map) {
            answer(s, i, s->to.db);
            emit(s, "reads the database, keeps nothing: reader", i);
        } else if (s->to.dirty != NONE && s->from->readers[i].at == R_DIRECT && has(s->c, DIRTY_FIRST)) {
            answer(s, i, s->to.dirty - 1);
            emit(s, "reads what is not flushed, keeps nothing: reader", i);
        } else if (s->from->readers[i].at == R_DIRECT) {
            s->to.readers[i].at = R_DIRECT_ON;
            s->to.readers[i].val = has(s->c, DIRTY_FIRST) ? 0 : s->to.db;
            emit(s, "goes on to its second look: reader", i);
        } else {
            uint8_t second = s->to.dirty != NONE ? s->to.dirty - 1 : val;
            answer(s, i, has(s->c, DIRTY_FIRST) ? s->to.db : second);
            emit(s, "answers from its second look: reader", i);
        }
        break;
    }
    default: break;
    }
    /* A failover is noticed by each process when it connects anew; leases of before then are given up with PINNED. */
    if (s->c->distrust && s->c->failovers > s->from->failovers && (s->from->noticed >> i & 1) == 0) {
        start(s);
        s->to.noticed |= (uint8_t)(1u << i);
        emit(s, "notices the failover: reader", i);
    }
}

/* ---- writers ---------------------------------------------------------------------------------------------------- */

static void commit(struct step *s, int i) {
    s->to.db = ++s->to.last;
    s->to.writers[i].val = s->to.db;
}

static void acknowledge(struct step *s, int i, uint8_t version) {
    s->to.writers[i].at = W_DONE;
    s->to.writers[i].val = s->to.writers[i].is_unsure = 0;
    if (version > s->to.acked && s->c->property != REST)
        s->to.acked = version;
}

static void begin_end_steps(struct step *s, int i, enum writing writing) {
    uint8_t val = s->from->writers[i].val;
    switch (s->from->writers[i].at) {
    case W_IDLE:
        do_begin(s, i);
        s->to.writers[i].at = W_BEGUN;
        emit_sent(s, "BEGIN of writer", i, LATE_BEGIN, 0);
        break;
    case W_BEGUN:
        if (writing == JOURNAL) {
            s->to.dirty = (uint8_t)(++s->to.last + 1);
            s->to.writers[i].val = s->to.last;
        } else {
            commit(s, i);
        }
        s->to.writers[i].at = W_ENDS;
        emit(s, writing == JOURNAL ? "journals: writer" : "commits: writer", i);
        if (s->c->aborts) {
            start(s);
            s->to.writers[i].at = W_ENDS_DEL;
            emit(s, "is refused by the database: writer", i);
        }
        if (s->c->doubts) {
            start(s);
            s->to.writers[i].at = W_DOUBT;
            emit(s, "loses its connection in COMMIT: writer", i);
        }
        break;
    case W_DOUBT: /* still begins again and again, until the database has decided */
        commit(s, i);
        s->to.writers[i].at = W_ENDS_DEL;
        emit(s, "learns that it was committed: writer", i);
        start(s);
        s->to.writers[i].at = W_ENDS_DEL;
        emit(s, "learns that it was not committed: writer", i);
        start(s);
        do_begin(s, i);
        emit(s, "begins again, in doubt: writer", i);
        break;
    case W_ENDS: {
        bool puts = writing != BEGIN_END_DEL && !s->from->writers[i].is_unsure;
        do_end(s, i, val, puts);
        acknowledge(s, i, val);
        emit_sent(s, puts ? "END of writer" : "END (delete) of writer", i,
                  puts && !has(s->c, RESENT_ONLY_DELETES) ? LATE_END : LATE_END_DEL, val);
        if (puts && has(s->c, RESENT_ONLY_DELETES) && s->from->duplicates > 0) { /* the second try comes first */
            start(s);
            do_end(s, i, val, /* puts */ false);
            acknowledge(s, i, val);
            struct state sure = s->to;
            emit_sent(s, "END (delete, sent again) of writer", i, LATE_END, val);
            s->to = sure;
        }
        /* END cannot be sent: acknowledged once the mark is gone by itself. */
        if ((s->from->redis.marks >> i & 1) == 0 && s->c->losses == 0 && s->c->failovers == 0) {
            start(s);
            acknowledge(s, i, val);
            emit(s, "is acknowledged without END: writer", i);
        }
        break;
    }
    case W_ENDS_DEL:
        do_end(s, i, val, /* puts */ false);
        acknowledge(s, i, val);
        emit(s, "END (delete) of writer", i);
        break;
    default: break;
    }
}

static void other_writer_steps(struct step *s, int i, enum writing writing) {
    bool event_first = writing == EVENT_COMMIT;
    switch (s->from->writers[i].at) {
    case W_IDLE:
        if (event_first) {
            do_inval(s, s->c->hold);
            s->to.writers[i].at = W_BEGUN;
        } else {
            commit(s, i);
            s->to.writers[i].at = W_ENDS;
        }
        emit(s, event_first ? "its event comes before its commit is seen: writer" : "commits: writer", i);
        break;
    case W_BEGUN:
        commit(s, i);
        s->to.writers[i].at = W_DONE;
        s->to.writers[i].val = 0;
        emit(s, "its commit is seen: writer", i);
        break;
    case W_ENDS: {
        uint8_t val = s->from->writers[i].val;
        if (writing == COMMIT_SET)
            put(s, val, END_DROPS_NEGATIVE);
        else if (writing == COMMIT_EVENT)
            do_inval(s, /* hold */ false);
        else
            drop(s);
        if (writing != COMMIT_EVENT && s->c->reading == WITH_LEASE && has(s->c, DELETE_REVOKES))
            s->to.redis.lease = 0;
        acknowledge(s, i, val);
        emit(s, writing == COMMIT_SET ? "SET of writer" : writing == COMMIT_DEL ? "DEL of writer" : "INVAL for writer", i);
        break;
    }
    default: break;
    }
}

static void writer_steps(struct step *s, int i) {
    enum writing writing = s->c->writing[i];
    uint8_t at = s->from->writers[i].at;
    start(s);
    if (writing == BEGIN_END || writing == BEGIN_END_DEL || writing == JOURNAL)
        begin_end_steps(s, i, writing);
    else
        other_writer_steps(s, i, writing);
    if (at == W_DEAD_DOUBT) {
        start(s);
        commit(s, i);
        s->to.writers[i].at = W_DEAD;
        s->to.writers[i].val = 0;
        emit(s, "the database commits for the dead writer", i);
        start(s);
        s->to.writers[i].at = W_DEAD;
        emit(s, "the database rolls back for the dead writer", i);
    }
    if (s->from->crashes > 0 && at != W_IDLE && at < W_DONE) {
        start(s);
        s->to.crashes--;
        s->to.writers[i].val = s->to.writers[i].is_unsure = 0;
        s->to.writers[i].at = (at == W_BEGUN && writing != JOURNAL) || at == W_DOUBT ? W_DEAD_DOUBT : W_DEAD;
        emit(s, "dies: writer", i);
    }
    if (has(s->c, REASSERT) && !s->c->distrust && s->c->failovers > s->from->failovers && at != W_DEAD &&
        at != W_DEAD_DOUBT && (s->from->touched >> i & 1) != 0) {
        start(s);
        do_inval(s, /* hold */ false);
        s->to.touched &= (uint8_t)~(1u << i);
        emit(s, "re-asserts what it wrote: writer", i);
    }
}

static void flusher_steps(struct step *s) {
    if (s->from->flushing == NONE && s->from->dirty != NONE) {
        start(s);
        s->to.flushing = s->from->dirty;
        if (!has(s->c, DIRTY_UNTIL_COMMIT))
            s->to.dirty = NONE;
        emit(s, "the flusher takes what is not flushed", -1);
    }
    if (s->from->flushing != NONE && s->to.db + 1 != s->from->flushing) {
        start(s);
        s->to.db = (uint8_t)(s->from->flushing - 1);
        emit(s, "the flusher commits", -1);
    }
    if (s->from->flushing != NONE && s->from->db + 1 == s->from->flushing) {
        start(s);
        if (s->to.dirty == s->from->flushing)
            s->to.dirty = NONE;
        s->to.flushing = NONE;
        emit(s, "the flusher forgets what it committed", -1);
    }
}

/* ---- the environment -------------------------------------------------------------------------------------------- */

/* A living writer's mark outlives its commit, because the database gives up before the mark does. */
static bool may_expire(const struct step *s, int i) {
    uint8_t at = s->from->writers[i].at;
    if ((s->from->redis.marks >> i & 1) == 0)
        return false;
    return !has(s->c, MARK_OUTLIVES_COMMIT) || (at != W_BEGUN && at != W_DOUBT && at != W_DEAD_DOUBT);
}

static bool may_hold_end(const struct step *s) {
    for (int i = 0; i < s->c->writers; i++)
        if (s->c->writing[i] == EVENT_COMMIT && s->from->writers[i].at == W_BEGUN)
            return false;
    return true;
}

static void fail_over(struct step *s) {
    start(s);
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
    emit(s, "failover to the replica's older state", -1);
}

static void environment_steps(struct step *s) {
    const struct redis *r = &s->from->redis;
    if (r->value != NONE) {
        start(s);
        s->to.redis.value = NONE;
        emit(s, "the value is evicted", -1);
    }
    if (r->negative != NONE) {
        start(s);
        s->to.redis.negative = NONE;
        emit(s, "the negative entry expires", -1);
    }
    if (r->lease != 0) {
        start(s);
        s->to.redis.lease = 0;
        emit(s, "the lease expires", -1);
    }
    if (r->hold != 0 && may_hold_end(s)) {
        start(s);
        s->to.redis.hold = 0;
        emit(s, "the hold ends", -1);
    }
    for (int i = 0; i < s->c->writers; i++)
        if (may_expire(s, i)) {
            start(s);
            s->to.redis.marks &= (uint8_t)~(1u << i);
            if (s->c->keeps_old)
                drop(s); /* BEGIN cut its life to the mark's */
            emit(s, "the mark expires of writer", i);
        }
    if (s->from->losses > 0) {
        start(s);
        s->to.losses--;
        s->to.redis.lease = s->to.redis.marks = s->to.redis.contended = s->to.redis.hold = 0;
        emit(s, "the coordination key is lost", -1);
        drop(s);
        emit(s, "FLUSHALL", -1);
    }
    if (s->from->failovers > 0) {
        if (memcmp(&s->from->replica, &s->from->redis, sizeof s->from->redis) != 0 || s->from->touched != 0) {
            start(s);
            s->to.replica = s->to.redis;
            s->to.touched = 0;
            emit(s, "the replica catches up", -1);
        }
        fail_over(s);
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

void model_first(const struct config *c, struct state *ret) {
    memset(ret, 0, sizeof *ret);
    ret->crashes = c->crashes;
    ret->losses = c->losses;
    ret->duplicates = c->duplicates;
    ret->failovers = c->failovers;
}

void model_steps(const struct config *c, const struct state *from, found_fn *found, void *arg) {
    struct step s = {.c = c, .from = from, .found = found, .arg = arg};
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
    for (int i = 0; i < c->readers; i++)
        if (s->readers[i].at != R_IDLE && s->readers[i].at != R_DONE)
            return NULL;
    for (int i = 0; i < c->writers; i++) {
        if (s->writers[i].at == W_DEAD)
            continue;
        if (s->writers[i].at != W_DONE)
            return NULL;
        if (has(c, REASSERT) && !c->distrust && c->failovers > s->failovers && (s->touched >> i & 1) != 0)
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
