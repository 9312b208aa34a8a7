/* The first level of one process over the second: its readers, writes here and elsewhere, and invalidations that are
 * on their way.
 *
 * A value is inserted only when nothing has bumped its sequence number since the GET was sent. Replies and pushes
 * travel on connections of their own, so any order is possible between them. Instead of numbers a state knows of each
 * reader whether there was a bump since its GET (`aux`). Linearizable means here: no read of this process is older
 * than one that had been answered, or a write acknowledged, in it before. Redis always has the value: versions only
 * count up. */
#include "step.h"

static void bump(struct step *s) {
    for (int i = 0; i < s->c->readers; i++)
        s->to.readers[i].aux = 1;
}

static void remove_entry(struct step *s) {
    s->to.l1 = NONE;
    bump(s);
}

static void write_there(struct step *s) {
    s->to.db++;
    if (!s->to.is_untracked)
        s->to.pushes++;
}

static void answer(struct step *s, int i, uint8_t version) {
    if (version < s->to.readers[i].floor)
        s->violation = "this read is older than what this process has seen before it";
    if (version > s->to.seen)
        s->to.seen = version;
    s->to.readers[i].at = R_IDLE;
    s->to.readers[i].val = s->to.readers[i].floor = s->to.readers[i].aux = 0;
}

static void take_reply(struct step *s, int i) {
    uint8_t val = s->to.readers[i].val;
    bool is_unchanged = s->to.readers[i].aux == 0 || !step_has(s->c, L1_COMPARES);
    bool inserts = is_unchanged && !s->to.is_off;
    if (inserts) {
        s->to.l1 = val + 1;
        if (step_has(s->c, L1_INSERT_BUMPS))
            bump(s);
    } else if (step_has(s->c, L1_REFUSAL_REMOVES)) {
        remove_entry(s);
    }
    answer(s, i, val);
    step_emit(s, inserts ? "inserts what came: reader" : "may not insert what came: reader", i);
}

static void reader_of_l1(struct step *s, int i) {
    step_start(s);
    switch (s->from->readers[i].at) {
    case R_IDLE:
        s->to.readers[i].floor = s->to.seen;
        if (s->to.l1 != NONE && !s->to.is_off) {
            answer(s, i, s->to.l1 - 1);
            step_emit(s, "hit in the first level by reader", i);
            break;
        }
        s->to.readers[i].at = R_ASKS;
        step_emit(s, "sends GET: reader", i);
        break;
    case R_ASKS:
        s->to.readers[i].val = s->to.db;
        s->to.readers[i].at = R_LOADS;
        step_emit(s, "Redis answers reader", i);
        break;
    default: take_reply(s, i); break;
    }
}

/* The first writer is of this process, the others are not. */
static void writer_beside_l1(struct step *s, int i) {
    step_start(s);
    if (s->from->writers[i].at == W_IDLE) {
        write_there(s);
        s->to.writers[i].val = s->to.db;
        s->to.writers[i].at = i == 0 ? W_ENDS : W_DONE;
        step_emit(s, i == 0 ? "END in Redis of our writer" : "END in Redis of another's writer", i);
    } else if (s->from->writers[i].at == W_ENDS) {
        if (step_has(s->c, L1_WRITE_REMOVES))
            remove_entry(s);
        if (s->to.writers[i].val > s->to.seen)
            s->to.seen = s->to.writers[i].val;
        s->to.writers[i].at = W_DONE;
        step_emit(s, "is acknowledged: writer", i);
    }
}

void l1_steps(struct step *s) {
    for (int i = 0; i < s->c->readers; i++)
        reader_of_l1(s, i);
    for (int i = 0; i < s->c->writers; i++)
        writer_beside_l1(s, i);
    if (s->from->pushes > 0) {
        step_start(s);
        s->to.pushes--;
        remove_entry(s);
        step_emit(s, "an invalidation arrives", -1);
    }
    if (s->from->losses > 0) {
        step_start(s);
        s->to.losses--;
        s->to.is_untracked = 1;
        s->to.pushes = 0;
        step_emit(s, "the tracking connection is lost", -1);
    }
    if (s->from->is_untracked && !s->from->is_off) {
        step_start(s);
        s->to.is_off = 1;
        step_emit(s, "no proof for a second: the first level is off", -1);
    }
    if (s->from->is_off) {
        step_start(s);
        s->to.is_off = s->to.is_untracked = 0;
        if (step_has(s->c, L1_STARTS_EMPTY))
            remove_entry(s);
        step_emit(s, "tracked again", -1);
    }
}

const char *l1_at_rest(const struct state *s) {
    bool is_told = s->pushes == 0 && !s->is_untracked && !s->is_off;
    return is_told && s->l1 != NONE && s->l1 != s->db + 1
               ? "no invalidation is on its way, and the first level is not what Redis has"
               : NULL;
}
