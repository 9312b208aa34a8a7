/* What the scripts do to the one key, by the decisions of store/decide.h.
 *
 * A part of the protocol that a configuration leaves out is left out by lying about what the script finds, or by not
 * carrying out what it decided. */
#include "step.h"

#include "store/decide.h"

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

void redis_put(struct step *s, uint8_t version, uint32_t drop_other) {
    struct redis *r = &s->to.redis;
    bool is_absent = (s->c->absent >> version & 1) != 0;
    bool drops = step_has(s->c, drop_other);
    if (is_absent) {
        r->negative = version + 1;
        r->value = drops ? NONE : r->value;
    } else {
        r->value = version + 1;
        r->negative = drops ? NONE : r->negative;
    }
    r->trust = s->to.noticed;
}

void redis_drop(struct step *s) { s->to.redis.value = s->to.redis.negative = NONE; }

int redis_miss(struct step *s, int reader, bool is_refresh) {
    struct fb_coord_facts f = facts(&s->to, reader, /* writer */ -1);
    if (!step_has(s->c, MISS_SEES_MARKS))
        f.has_other_marks = false;
    if (!step_has(s->c, HOLD_BLOCKS) && s->to.redis.marks == 0)
        f.has_other_marks = false;
    enum fb_coord_answer answer = fb_coord_miss(&f, is_refresh);
    if (answer == FB_COORD_LEASE) {
        s->to.redis.lease = (uint8_t)(reader + 1);
        s->to.pinned_out &= (uint8_t)~(1u << reader);
    }
    return answer;
}

bool redis_fill(struct step *s, int reader, uint8_t version) {
    struct fb_coord_facts f = facts(&s->to, reader, /* writer */ -1);
    if (!step_has(s->c, FILL_SEES_MARKS) || (!step_has(s->c, HOLD_BLOCKS) && s->to.redis.marks == 0))
        f.has_other_marks = false;
    if (!step_has(s->c, FILL_NEEDS_LEASE))
        f.has_lease = f.is_lease_mine = true;
    if (!step_has(s->c, FILL_COMPARES))
        f.is_lease_mine = f.has_lease;
    if (step_has(s->c, PINNED) && (s->to.pinned_out >> reader & 1) != 0)
        return false; /* it never leaves the process */
    if (!fb_coord_fill(&f))
        return false;
    s->to.redis.lease = 0;
    redis_put(s, version, FILL_DROPS_OTHER);
    return true;
}

void redis_begin(struct step *s, int writer) {
    struct redis *r = &s->to.redis;
    struct fb_coord_facts f = facts(&s->to, /* reader */ -1, writer);
    r->contended = fb_coord_begin(&f) && step_has(s->c, CONTENDED);
    if (step_has(s->c, BEGIN_REVOKES))
        r->lease = 0;
    if (!s->c->keeps_old) {
        if (step_has(s->c, BEGIN_HIDES))
            r->value = NONE;
        if (step_has(s->c, BEGIN_HIDES_NEGATIVE))
            r->negative = NONE;
    }
    r->marks |= (uint8_t)(1u << writer);
    if (s->to.failovers > 0)
        s->to.touched |= (uint8_t)(1u << writer);
}

void redis_end(struct step *s, int writer, uint8_t version, bool puts) {
    struct redis *r = &s->to.redis;
    struct fb_coord_facts f = facts(&s->to, /* reader */ -1, writer);
    if (!step_has(s->c, END_NEEDS_MARK))
        f.has_mark = true;
    if (!step_has(s->c, END_SEES_OTHERS))
        f.has_other_marks = false;
    bool may = fb_coord_end(&f) && !(step_has(s->c, PINNED) && (s->to.pinned_writers >> writer & 1) != 0);
    r->marks &= (uint8_t)~(1u << writer);
    r->contended = fb_coord_contended_after(&f) && step_has(s->c, CONTENDED);
    if (step_has(s->c, END_REVOKES))
        r->lease = 0;
    if (may && puts) {
        redis_put(s, version, END_DROPS_NEGATIVE);
    } else {
        r->value = NONE;
        if (step_has(s->c, END_DROPS_NEGATIVE))
            r->negative = NONE;
    }
    if (s->to.failovers > 0)
        s->to.touched |= (uint8_t)(1u << writer);
}

void redis_inval(struct step *s, bool hold) {
    struct fb_coord_facts f = facts(&s->to, /* reader */ -1, /* writer */ -1);
    redis_drop(s);
    if (step_has(s->c, INVAL_REVOKES))
        s->to.redis.lease = 0;
    if (fb_coord_contended_after(&f) && s->to.redis.marks != 0 && step_has(s->c, INVAL_CONTENDS))
        s->to.redis.contended = 1;
    s->to.redis.hold |= hold;
}
