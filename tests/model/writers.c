/* Writers of every kind: through Forebay, behind its back, by naive rules; and write-behind's flusher. */
#include "step.h"

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
        redis_begin(s, i);
        s->to.writers[i].at = W_BEGUN;
        step_emit_sent(s, "BEGIN of writer", i, LATE_BEGIN, 0);
        break;
    case W_BEGUN:
        if (writing == JOURNAL) {
            s->to.dirty = (uint8_t)(++s->to.last + 1);
            s->to.writers[i].val = s->to.last;
        } else {
            commit(s, i);
        }
        s->to.writers[i].at = W_ENDS;
        step_emit(s, writing == JOURNAL ? "journals: writer" : "commits: writer", i);
        if (s->c->aborts) {
            step_start(s);
            s->to.writers[i].at = W_ENDS_DEL;
            step_emit(s, "is refused by the database: writer", i);
        }
        if (s->c->doubts) {
            step_start(s);
            s->to.writers[i].at = W_DOUBT;
            step_emit(s, "loses its connection in COMMIT: writer", i);
        }
        break;
    case W_DOUBT: /* still begins again and again, until the database has decided */
        commit(s, i);
        s->to.writers[i].at = W_ENDS_DEL;
        step_emit(s, "learns that it was committed: writer", i);
        step_start(s);
        s->to.writers[i].at = W_ENDS_DEL;
        step_emit(s, "learns that it was not committed: writer", i);
        step_start(s);
        redis_begin(s, i);
        step_emit(s, "begins again, in doubt: writer", i);
        break;
    case W_ENDS: {
        bool puts = writing != BEGIN_END_DEL && !s->from->writers[i].is_unsure;
        redis_end(s, i, val, puts);
        acknowledge(s, i, val);
        step_emit_sent(s, puts ? "END of writer" : "END (delete) of writer", i,
                  puts && !step_has(s->c, RESENT_ONLY_DELETES) ? LATE_END : LATE_END_DEL, val);
        if (puts && step_has(s->c, RESENT_ONLY_DELETES) && s->from->duplicates > 0) { /* the second try comes first */
            step_start(s);
            redis_end(s, i, val, /* puts */ false);
            acknowledge(s, i, val);
            struct state sure = s->to;
            step_emit_sent(s, "END (delete, sent again) of writer", i, LATE_END, val);
            s->to = sure;
        }
        /* END cannot be sent: the mark dies by itself, and nothing is filled before that. It may also come late. */
        bool is_hidden = !s->c->keeps_old || (s->from->redis.marks >> i & 1) == 0;
        if (is_hidden && s->c->losses == 0 && s->c->failovers == 0) {
            step_start(s);
            acknowledge(s, i, val);
            step_emit_sent(s, "is acknowledged without END: writer", i,
                           puts && !step_has(s->c, RESENT_ONLY_DELETES) ? LATE_END : LATE_END_DEL, val);
        }
        break;
    }
    case W_ENDS_DEL:
        redis_end(s, i, val, /* puts */ false);
        acknowledge(s, i, val);
        step_emit(s, "END (delete) of writer", i);
        break;
    default: break;
    }
}

static void other_writer_steps(struct step *s, int i, enum writing writing) {
    bool event_first = writing == EVENT_COMMIT;
    switch (s->from->writers[i].at) {
    case W_IDLE:
        if (event_first) {
            redis_inval(s, s->c->hold);
            s->to.writers[i].at = W_BEGUN;
        } else {
            commit(s, i);
            s->to.writers[i].at = W_ENDS;
        }
        step_emit(s, event_first ? "its event comes before its commit is seen: writer" : "commits: writer", i);
        break;
    case W_BEGUN:
        commit(s, i);
        s->to.writers[i].at = W_DONE;
        s->to.writers[i].val = 0;
        step_emit(s, "its commit is seen: writer", i);
        break;
    case W_ENDS: {
        uint8_t val = s->from->writers[i].val;
        if (writing == COMMIT_SET)
            redis_put(s, val, END_DROPS_NEGATIVE);
        else if (writing == COMMIT_EVENT)
            redis_inval(s, /* hold */ false);
        else
            redis_drop(s);
        if (writing != COMMIT_EVENT && s->c->reading == WITH_LEASE && step_has(s->c, DELETE_REVOKES))
            s->to.redis.lease = 0;
        acknowledge(s, i, val);
        step_emit(s, writing == COMMIT_SET ? "SET of writer" : writing == COMMIT_DEL ? "DEL of writer"
                                                                                     : "INVAL for writer", i);
        break;
    }
    default: break;
    }
}

void writer_steps(struct step *s, int i) {
    enum writing writing = s->c->writing[i];
    uint8_t at = s->from->writers[i].at;
    step_start(s);
    if (writing == BEGIN_END || writing == BEGIN_END_DEL || writing == JOURNAL)
        begin_end_steps(s, i, writing);
    else
        other_writer_steps(s, i, writing);
    if (at == W_DEAD_DOUBT) {
        step_start(s);
        commit(s, i);
        s->to.writers[i].at = W_DEAD;
        s->to.writers[i].val = 0;
        step_emit(s, "the database commits for the dead writer", i);
        step_start(s);
        s->to.writers[i].at = W_DEAD;
        step_emit(s, "the database rolls back for the dead writer", i);
    }
    if (s->from->crashes > 0 && at != W_IDLE && at < W_DONE) {
        step_start(s);
        s->to.crashes--;
        s->to.writers[i].val = s->to.writers[i].is_unsure = 0;
        s->to.writers[i].at = (at == W_BEGUN && writing != JOURNAL) || at == W_DOUBT ? W_DEAD_DOUBT : W_DEAD;
        step_emit(s, "dies: writer", i);
    }
    if (step_has(s->c, REASSERT) && !s->c->distrust && s->c->failovers > s->from->failovers && at != W_DEAD &&
        at != W_DEAD_DOUBT && (s->from->touched >> i & 1) != 0) {
        step_start(s);
        redis_inval(s, /* hold */ false);
        s->to.touched &= (uint8_t)~(1u << i);
        step_emit(s, "re-asserts what it wrote: writer", i);
    }
}

void flusher_steps(struct step *s) {
    if (s->from->flushing == NONE && s->from->dirty != NONE) {
        step_start(s);
        s->to.flushing = s->from->dirty;
        if (!step_has(s->c, DIRTY_UNTIL_COMMIT))
            s->to.dirty = NONE;
        step_emit(s, "the flusher takes what is not flushed", -1);
    }
    if (s->from->flushing != NONE && s->to.db + 1 != s->from->flushing) {
        step_start(s);
        s->to.db = (uint8_t)(s->from->flushing - 1);
        step_emit(s, "the flusher commits", -1);
    }
    if (s->from->flushing != NONE && s->from->db + 1 == s->from->flushing) {
        step_start(s);
        if (s->to.dirty == s->from->flushing)
            s->to.dirty = NONE;
        s->to.flushing = NONE;
        step_emit(s, "the flusher forgets what it committed", -1);
    }
}
