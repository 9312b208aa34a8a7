/* Shows that stores do what their operations say, whatever comes before and beside them: random operations in random
 * groups, several groups per call, against a model of a few rows in memory. Every answer (status, count, number, the
 * row before and after) and the file itself agree with the model after every call. */
#include "sqlite_world.h"

#include <inttypes.h>

#include "base/rng.h"

enum { KEYS = 4, A, B, C, ITEMS_MAX = 12, ROUNDS = 1500 };

/* ---- the model ----------------------------------------------------------------------------------------------------
 */

struct row {
    bool exists, has_a, has_b;
    int64_t a, c;
    char b[8];
};

enum shape { JSON, HASH, COLUMN };

struct planned {
    enum shape shape;
    int key;
    fb_op op;
    char key_text[16], value[200];
    fb_field fields[3];
    char texts[3][32];
    /* What the operation says, for the model. */
    bool names_a, names_b, names_c, null_a, null_b;
    int64_t a, c;
    char b[8];
    int add_column;
    int64_t delta;
};

struct expected {
    fb_status status;
    int64_t count;
    char before[200], after[200], number[32];
};

static void show(const struct row *r, enum shape shape, int key, char *out, size_t cap) {
    char a[32], b[32];
    if (!r->exists || (shape == COLUMN && !r->has_a)) {
        snprintf(out, cap, "none");
    } else if (shape == COLUMN) {
        snprintf(out, cap, "%" PRId64, r->a);
    } else if (shape == JSON) {
        snprintf(a, sizeof a, r->has_a ? "%" PRId64 : "null", r->a);
        snprintf(b, sizeof b, r->has_b ? "\"%s\"" : "null", r->b);
        snprintf(out, cap, "{\"id\":%d,\"a\":%s,\"b\":%s,\"c\":%" PRId64 "}", key, a, b, r->c);
    } else {
        snprintf(a, sizeof a, r->has_a ? " a=%" PRId64 : "", r->a);
        snprintf(b, sizeof b, r->has_b ? " b=%s" : "", r->b);
        snprintf(out, cap, "id=%d%s%s c=%" PRId64, key, a, b, r->c);
    }
}

static void create(struct row *r) {
    if (!r->exists)
        *r = (struct row){.exists = true, .c = 7};
}

static fb_status apply_sum(struct row *r, const struct planned *p, struct expected *e) {
    struct row now = *r;
    create(&now);
    int64_t sum;
    /* A row that is not there has no value yet: its default counts only for the other columns. */
    int64_t old = p->add_column == A ? (r->exists && r->has_a ? r->a : 0) : r->exists ? r->c : 0;
    if (__builtin_add_overflow(old, p->delta, &sum))
        return FB_NOTANUMBER;
    *r = now;
    r->has_a = r->has_a || p->add_column == A;
    *(p->add_column == A ? &r->a : &r->c) = sum;
    snprintf(e->number, sizeof e->number, "%" PRId64, sum);
    return FB_OK;
}

static void assign(struct row *r, const struct planned *p) {
    create(r);
    if (p->names_a) {
        r->has_a = !p->null_a;
        r->a = p->a;
    }
    if (p->names_b) {
        r->has_b = !p->null_b;
        memcpy(r->b, p->b, sizeof r->b);
    }
    if (p->names_c)
        r->c = p->c;
}

static fb_status apply(struct row *r, const struct planned *p, struct expected *e) {
    unsigned flags = p->op.flags;
    bool present = r->exists && (p->shape != COLUMN || r->has_a);
    if (flags & FB_WANT_OLD)
        show(r, p->shape, p->key, e->before, sizeof e->before);
    if (((flags & FB_COND_ABSENT) && present) || ((flags & FB_COND_PRESENT) && !present))
        return FB_UNMET;
    int absent = (p->names_a && !(r->exists && r->has_a)) + (p->names_b && !(r->exists && r->has_b)) +
                 (p->names_c && !r->exists);
    int named = p->names_a + p->names_b + p->names_c;
    if ((flags & FB_COND_FIELD_ABSENT) && absent < named)
        return FB_UNMET;
    switch (p->op.kind) {
    case FB_OP_DELETE:
        if (!r->exists)
            return FB_NOTFOUND;
        r->exists = false;
        return FB_OK;
    case FB_OP_ADD:
        return apply_sum(r, p, e);
    case FB_OP_HDEL:
        e->count = named - absent;
        if (r->exists)
            assign(r, p);
        return FB_OK;
    default:
        e->count = p->op.kind == FB_OP_HSET ? absent : 0;
        assign(r, p);
        return FB_OK;
    }
}

/* A group as a whole, on a copy that counts only if all went well. */
static void apply_group(struct row *rows, const struct planned *p, struct expected *e, size_t n) {
    struct row now[KEYS + 1];
    fb_status worst = FB_OK;
    memcpy(now, rows, sizeof now);
    for (size_t i = 0; i < n && worst == FB_OK; i++) {
        e[i].status = apply(&now[p[i].key], &p[i], &e[i]);
        if (e[i].status < 0 || e[i].status == FB_UNMET)
            worst = e[i].status;
    }
    for (size_t i = 0; i < n; i++) {
        if (worst == FB_OK) {
            show(&now[p[i].key], p[i].shape, p[i].key, e[i].after, sizeof e[i].after);
        } else {
            e[i].status = worst;
            e[i].count = 0;
            snprintf(e[i].number, sizeof e[i].number, "none");
            snprintf(e[i].after, sizeof e[i].after, "%s",
                     worst == FB_UNMET ? "none" : "increment or decrement would overflow");
        }
    }
    if (worst == FB_OK)
        memcpy(rows, now, sizeof now);
}

/* ---- random operations ----------------------------------------------------------------------------------------------
 */

static int64_t random_number(struct fb_rng *rng) {
    static const int64_t edges[] = {INT64_MAX, INT64_MIN, INT64_MAX - 1, 0, -1};
    return fb_rng_below(rng, 8) == 0 ? edges[fb_rng_below(rng, COUNT(edges))] : (int64_t)fb_rng_below(rng, 100);
}

static void choose_values(struct fb_rng *rng, struct planned *p) {
    p->a = random_number(rng);
    p->c = random_number(rng);
    snprintf(p->b, sizeof p->b, "t%u", (unsigned)fb_rng_below(rng, 10));
}

static void plan_json(struct fb_rng *rng, struct planned *p) {
    size_t n = 0;
    p->names_a = fb_rng_below(rng, 2);
    p->names_b = fb_rng_below(rng, 2);
    p->names_c = fb_rng_below(rng, 2);
    p->null_a = fb_rng_below(rng, 4) == 0;
    p->null_b = fb_rng_below(rng, 4) == 0;
    n += (size_t)snprintf(p->value, sizeof p->value, "{\"id\":%d", p->key);
    if (p->names_c)
        n += (size_t)snprintf(p->value + n, sizeof p->value - n, ",\"c\":%" PRId64, p->c);
    if (p->names_a)
        n += (size_t)snprintf(p->value + n, sizeof p->value - n, p->null_a ? ",\"a\":null" : ",\"a\":%" PRId64, p->a);
    if (p->names_b)
        n += (size_t)snprintf(p->value + n, sizeof p->value - n, p->null_b ? ",\"b\":null" : ",\"b\":\"%s\"", p->b);
    snprintf(p->value + n, sizeof p->value - n, "}");
}

static void add_field(struct planned *p, const char *name) {
    size_t i = p->op.nfields++;
    p->fields[i] = (fb_field){FB_STR(name), FB_STR(p->texts[i])};
}

static void plan_fields(struct fb_rng *rng, struct planned *p, bool is_removal) {
    bool only_one = p->op.flags & FB_COND_FIELD_ABSENT;
    unsigned which = 1 + (unsigned)fb_rng_below(rng, is_removal ? 3 : 7);
    if (only_one)
        which = 1u << fb_rng_below(rng, 3);
    p->names_a = which & 1;
    p->names_b = which & 2;
    p->names_c = which & 4;
    p->null_a = p->null_b = is_removal;
    if (p->names_a) {
        snprintf(p->texts[p->op.nfields], sizeof p->texts[0], "%" PRId64, p->a);
        add_field(p, "a");
    }
    if (p->names_b) {
        snprintf(p->texts[p->op.nfields], sizeof p->texts[0], "%s", p->b);
        add_field(p, "b");
    }
    if (p->names_c) {
        snprintf(p->texts[p->op.nfields], sizeof p->texts[0], "%" PRId64, p->c);
        add_field(p, "c");
    }
}

static void plan_sum(struct fb_rng *rng, struct planned *p) {
    p->delta = random_number(rng);
    p->add_column = p->shape == COLUMN || fb_rng_below(rng, 2) ? A : C;
    snprintf(p->value, sizeof p->value, "%" PRId64, p->delta);
    if (p->shape == HASH)
        add_field(p, p->add_column == A ? "a" : "c");
}

static void choose(struct fb_rng *rng, struct planned *p) {
    static const unsigned conditions[] = {0, 0, 0, FB_COND_ABSENT, FB_COND_PRESENT};
    *p = (struct planned){.key = 1 + (int)fb_rng_below(rng, KEYS), .shape = (enum shape)fb_rng_below(rng, 3)};
    choose_values(rng, p);
    if (fb_rng_below(rng, 6) == 0) {
        p->op.kind = FB_OP_DELETE;
    } else if (p->shape != JSON && fb_rng_below(rng, 3) == 0) {
        p->op.kind = FB_OP_ADD;
        plan_sum(rng, p);
    } else if (p->shape == HASH) {
        p->op.kind = fb_rng_below(rng, 3) == 0 ? FB_OP_HDEL : FB_OP_HSET;
        p->op.flags = p->op.kind == FB_OP_HSET && fb_rng_below(rng, 4) == 0 ? FB_COND_FIELD_ABSENT : 0;
        plan_fields(rng, p, p->op.kind == FB_OP_HDEL);
    } else {
        p->op.kind = FB_OP_SET;
        p->op.flags = conditions[fb_rng_below(rng, COUNT(conditions))];
        p->names_a = p->shape == COLUMN;
        if (p->shape == COLUMN)
            snprintf(p->value, sizeof p->value, "%" PRId64, p->a);
        else
            plan_json(rng, p);
    }
    p->op.flags |= fb_rng_below(rng, 2) ? FB_WANT_OLD : 0;
    snprintf(p->key_text, sizeof p->key_text, "%c:%d", "jhc"[p->shape], p->key);
    p->op.key = FB_STR(p->key_text);
    p->op.value = FB_STR(p->value);
    p->op.fields = p->fields;
}

/* ---- the comparison -----------------------------------------------------------------------------------------------
 */

static void compare(const struct planned *p, const struct expected *e, const struct answer *a, int round) {
    /* What was read before a group was given up is there only for the items that came so far. */
    bool has_before = e->status >= 0 && e->status != FB_UNMET;
    if (a->status != e->status || a->count != e->count || strcmp(a->after, e->after) != 0 ||
        (has_before && strcmp(a->before, e->before) != 0) || strcmp(a->number, e->number) != 0)
        fail_msg("round %d, %s op %d flags %u '%s': %s %" PRId64 " before %s after %s number %s\ninstead of %s %" PRId64
                 " before %s after %s number %s",
                 round, p->key_text, p->op.kind, p->op.flags, p->value, fb_status_name(a->status), a->count, a->before,
                 a->after, a->number, fb_status_name(e->status), e->count, e->before, e->after, e->number);
}

static void the_file_and_every_answer_agree_with_a_model(void **state) {
    (void)state;
    struct fb_rng rng = {1123};
    struct world w;
    world_open(&w);
    world_sql(&w, "CREATE TABLE m (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c INTEGER NOT NULL DEFAULT 7)");
    const struct fb_binding *shapes[] = {world_bind_table(&w, "j:{id}", "m", "json"),
                                         world_bind_table(&w, "h:{id}", "m", "hash"),
                                         world_bind_table(&w, "c:{id}", "m", "column:a")};
    struct row rows[KEYS + 1] = {0};
    unsigned seen[3] = {0}; /* done, unmet, refused */
    for (int round = 0; round < ROUNDS; round++) {
        struct planned planned[ITEMS_MAX];
        struct expected expected[ITEMS_MAX];
        struct answer answers[ITEMS_MAX];
        const struct fb_binding *b[ITEMS_MAX];
        fb_op all[ITEMS_MAX];
        size_t sizes[ITEMS_MAX + 1] = {0}, n = 0;
        for (size_t g = 0, ngroups = 1 + fb_rng_below(&rng, 4); g < ngroups; g++) {
            sizes[g] = 1 + fb_rng_below(&rng, 3);
            for (size_t i = n; i < n + sizes[g]; i++) {
                choose(&rng, &planned[i]);
                expected[i] = (struct expected){.before = "none", .number = "none"};
                b[i] = shapes[planned[i].shape];
                all[i] = planned[i].op;
            }
            apply_group(rows, planned + n, expected + n, sizes[g]);
            n += sizes[g];
        }
        world_store_groups(&w, b, all, sizes, answers);
        for (size_t i = 0; i < n; i++) {
            compare(&planned[i], &expected[i], &answers[i], round);
            seen[answers[i].status < 0 ? 2 : answers[i].status == FB_UNMET]++;
        }
        for (int key = 1; key <= KEYS; key++) {
            char text[16], want[200];
            show(&rows[key], JSON, key, want, sizeof want);
            snprintf(text, sizeof text, "j:%d", key);
            expect_load(&w, shapes[JSON], text, rows[key].exists ? FB_OK : FB_NOTFOUND, want);
        }
    }
    assert_true(seen[0] > 1000 && seen[1] > 200 && seen[2] > 100);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_and_every_answer_agree_with_a_model),
    };
    return cmocka_run_group_tests_name("sqlite_model", tests, NULL, NULL);
}
