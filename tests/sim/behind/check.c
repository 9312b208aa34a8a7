/* Is there an order of the operations that explains the answers? For each key by itself, as the operations end.
 *
 * After Wing and Gong (1993): a configuration is a state of the row and which of the operations that are under way have
 * been done in it, with the answers that they would have given. An answer keeps the configurations in which it is right,
 * after as many of the others under way as may have come before. No configuration left: no order explains it. */
#include <string.h>

#include "world.h"

struct slot {
    struct op *op;       /* NULL: free */
};
struct config {
    struct row row;
    uint32_t done;       /* a bit per slot */
    uint32_t said[SLOTS];
};
struct key_check {
    struct slot slots[SLOTS];
    struct config *configs;
    unsigned n;
    bool is_given_up;
};

static struct key_check keys[ROWS];
static struct config room[2][ROWS][CONFIGS_MAX];
static unsigned side[ROWS];

bool row_is_equal(const struct row *a, const struct row *b) {
    if (a->exists != b->exists)
        return false;
    return !a->exists || (a->has_n == b->has_n && (!a->has_n || a->n == b->n) && a->a == b->a && a->b == b->b);
}

/* ---- what an operation does to a row, and what it answers ---- */

static struct answer apply(struct row *row, const struct step *step) {
    struct answer answer = {.status = FB_OK};
    bool existed = row->exists;
    if (step->kind == STEP_READ || (step->flags & FB_WANT_OLD)) {
        answer.has_row = true;
        answer.row = *row;
    }
    if (step->kind == STEP_READ) {
        answer.status = existed ? FB_OK : FB_NOTFOUND;
        return answer;
    }
    if (((step->flags & FB_COND_ABSENT) && existed) || ((step->flags & FB_COND_PRESENT) && !existed) ||
        ((step->flags & FB_COND_FIELD_ABSENT) && existed && step->a > 0 && row->a > 0)) {
        answer.status = FB_UNMET;
        return answer;
    }
    if (step->kind == STEP_DELETE) {
        *row = (struct row){.exists = false};
        answer.status = existed ? FB_OK : FB_NOTFOUND;
        return answer;
    }
    if (step->kind == STEP_HDEL) {
        answer.number = existed ? (step->a > 0 && row->a > 0) + (step->b > 0 && row->b > 0) : 0;
        row->a = step->a > 0 ? 0 : row->a;
        row->b = step->b > 0 ? 0 : row->b;
        return answer;
    }
    if (!existed || (step->kind == STEP_SET && w.options.is_replace))
        *row = (struct row){.exists = true};
    row->a = step->a > 0 ? step->a : row->a;
    row->b = step->b > 0 ? step->b : row->b;
    if (step->kind == STEP_ADD) {
        row->n = (row->has_n ? row->n : 0) + 1;
        row->has_n = true;
        answer.number = row->n;
    }
    return answer;
}

static uint32_t mix(uint32_t hash, uint64_t value) {
    return (hash ^ (uint32_t)(value ^ value >> 32)) * 16777619u;
}

static uint32_t digest(uint32_t hash, const struct answer *answer) {
    hash = mix(hash, (uint64_t)(answer->status + 100));
    hash = mix(hash, (uint64_t)answer->number);
    if (answer->has_row) {
        const struct row *r = &answer->row;
        hash = mix(hash, 2u + r->exists);
        if (r->exists) {
            hash = mix(hash, r->has_n ? (uint64_t)r->n + 7 : 3);
            hash = mix(mix(hash, r->a), r->b);
        }
    }
    return hash;
}

/* Its steps on this key, done; what it says. */
static uint32_t do_all(struct row *row, const struct op *op, unsigned key) {
    uint32_t said = 2166136261u;
    for (unsigned i = 0; i < op->nsteps; i++)
        if (op->steps[i].row == key) {
            struct answer answer = apply(row, &op->steps[i]);
            said = digest(said, &answer);
        }
    return said;
}

static uint32_t what_was_said(const struct op *op, unsigned key) {
    uint32_t said = 2166136261u;
    for (unsigned i = 0; i < op->nsteps; i++)
        if (op->steps[i].row == key)
            said = digest(said, &op->answers[i]);
    return said;
}

static bool touches(const struct op *op, unsigned key) {
    for (unsigned i = 0; i < op->nsteps; i++)
        if (op->steps[i].row == key)
            return true;
    return false;
}

/* ---- configurations ---- */

static bool is_alike(const struct config *a, const struct config *b) {
    if (a->done != b->done || !row_is_equal(&a->row, &b->row))
        return false;
    for (unsigned i = 0; i < SLOTS; i++)
        if ((a->done >> i & 1) && a->said[i] != b->said[i])
            return false;
    return true;
}

static void give_up(struct key_check *k) { k->is_given_up = true; }

static void add(struct key_check *k, struct config *list, unsigned *n, const struct config *c) {
    for (unsigned i = 0; i < *n; i++)
        if (is_alike(&list[i], c))
            return;
    if (*n == CONFIGS_MAX)
        give_up(k);
    else
        list[(*n)++] = *c;
}

/* Everything that can have come of these by doing more of what is under way. */
static void close_over(struct key_check *k, unsigned key, struct config *list, unsigned *n) {
    for (unsigned i = 0; i < *n && !k->is_given_up; i++)
        for (unsigned s = 0; s < SLOTS; s++) {
            const struct op *op = k->slots[s].op;
            if (op == NULL || (list[i].done >> s & 1))
                continue;
            struct config next = list[i];
            next.said[s] = do_all(&next.row, op, key);
            next.done |= 1u << s;
            add(k, list, n, &next);
        }
}

static struct config *other_side(struct key_check *k, unsigned key) {
    side[key] ^= 1;
    (void)k;
    return room[side[key]][key];
}

void check_init(void) {
    for (unsigned key = 0; key < ROWS; key++) {
        keys[key] = (struct key_check){.configs = room[0][key], .n = 1};
        side[key] = 0;
        room[0][key][0] = (struct config){.row = w.db.rows[key]};
    }
}

void check_asked(struct op *op) {
    for (unsigned key = 0; key < ROWS; key++) {
        struct key_check *k = &keys[key];
        if (!touches(op, key) || k->is_given_up)
            continue;
        if (w.options.poison && key == POISONED) {
            give_up(k);
            continue;
        }
        unsigned s = 0;
        while (s < SLOTS && k->slots[s].op != NULL)
            s++;
        if (s == SLOTS)
            give_up(k);
        else
            k->slots[s].op = op;
    }
}

static void explain(const struct key_check *k, unsigned key, const struct op *op) {
    char space[16], text[80];
    for (unsigned i = 0; i < k->n && i < 4; i++)
        world_say("  it may have been: %s", row_text(&k->configs[i].row, text));
    world_fail("no order explains the answer to operation %u of %s: W1", op->number, row_key(key, space));
}

static void answered_key(unsigned key, struct op *op) {
    struct key_check *k = &keys[key];
    unsigned s = 0, n = 0;
    while (s < SLOTS && k->slots[s].op != op)
        s++;
    if (s == SLOTS || k->is_given_up || op->status == FB_UNKNOWN)
        return;
    bool is_refused = op->status < 0;
    struct config *list = other_side(k, key);
    for (unsigned i = 0; i < k->n; i++)
        if (!is_refused || !(k->configs[i].done >> s & 1))
            add(k, list, &n, &k->configs[i]);
    if (!is_refused) {
        uint32_t said = what_was_said(op, key);
        close_over(k, key, list, &n);
        unsigned kept = 0;
        for (unsigned i = 0; i < n; i++) {
            struct config c = list[i];
            if (!(c.done >> s & 1) || c.said[s] != said)
                continue;
            c.done &= ~(1u << s);
            list[kept++] = c;
        }
        n = kept;
    }
    if (n == 0 && !k->is_given_up) {
        explain(k, key, op);
        give_up(k);
    }
    k->slots[s].op = NULL;
    k->configs = list;
    k->n = n;
}

void check_answered(struct op *op) {
    for (unsigned key = 0; key < ROWS; key++)
        if (touches(op, key))
            answered_key(key, op);
}

void check_settled(unsigned machine) {
    for (unsigned key = 0; key < ROWS; key++) {
        struct key_check *k = &keys[key];
        struct config *list = other_side(k, key);
        unsigned n = 0, m = 0;
        uint32_t gone = 0;
        for (unsigned i = 0; i < k->n; i++)
            list[n++] = k->configs[i];
        close_over(k, key, list, &n);
        for (unsigned s = 0; s < SLOTS; s++)
            if (k->slots[s].op != NULL && k->slots[s].op->machine == machine)
                gone |= 1u << s;
        struct config *after = other_side(k, key);
        for (unsigned i = 0; i < n; i++) {
            struct config c = list[i];
            c.done &= ~gone;
            add(k, after, &m, &c);
        }
        for (unsigned s = 0; s < SLOTS; s++)
            if (gone >> s & 1)
                k->slots[s].op = NULL;
        k->configs = after;
        k->n = m;
    }
}

void check_lost(void) {
    for (unsigned key = 0; key < ROWS; key++) {
        struct key_check *k = &keys[key];
        for (unsigned s = 0; s < SLOTS; s++)
            k->slots[s].op = NULL;
        k->configs[0] = (struct config){.row = w.db.rows[key]};
        k->n = 1;
    }
}

void check_rest(void) {
    char space[16], text[80];
    for (unsigned key = 0; key < w.options.rows; key++) {
        const struct key_check *k = &keys[key];
        bool is_known = k->is_given_up;
        for (unsigned i = 0; i < k->n && !is_known; i++)
            is_known = row_is_equal(&k->configs[i].row, &w.db.rows[key]);
        if (is_known)
            continue;
        for (unsigned i = 0; i < k->n && i < 4; i++)
            world_say("  it should be: %s", row_text(&k->configs[i].row, text));
        world_fail("at rest the database has %s %s: W2", row_key(key, space), row_text(&w.db.rows[key], text));
    }
}
