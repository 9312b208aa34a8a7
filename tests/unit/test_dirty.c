/* Shows that the dirty map agrees with an obvious reference (the list of all writes and how far they were committed) after
 * every one of many random moves, that every allocation may fail, and that readers who follow its rule never go back behind
 * an acknowledged write, in every order of the steps of a writer, a flush and a reader, and in many of two writers and two
 * readers. Asking the map only after the query, or letting entries go before the commit, is found out at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "core/dirty.h"
#include "core/shard.h"

/* ---- against a reference: a change is a text of letters, merging is joining ---- */

enum { KEYS = 5, WRITES_MAX = 400 };

static struct fb_value *join(const struct fb_value *older, const struct fb_value *newer) {
    struct fb_value *both = fb_value_new(FB_KIND_STRING, NULL, 0);
    char text[WRITES_MAX + 1];
    fb_value_unref(both);
    memcpy(text, older->data, older->len);
    memcpy(text + older->len, newer->data, newer->len);
    return fb_value_new(FB_KIND_STRING, text, older->len + newer->len);
}

struct reference {
    struct { unsigned key; char letter; fb_instant at; fb_span interval; } writes[WRITES_MAX + 1]; /* by seq, from 1 */
    uint64_t last, committed;
};

static fb_bytes key_of(unsigned key) {
    static const char *const names[KEYS] = {"a", "b", "c", "dd", ""};
    return FB_STR(names[key]);
}
static uint64_t hash_of(unsigned key) { return key / 2; } /* some collide */

/* The letters of a key's writes in (after, to]. */
static size_t letters(const struct reference *ref, unsigned key, uint64_t after, uint64_t to, char out[WRITES_MAX + 1]) {
    size_t n = 0;
    for (uint64_t seq = after + 1; seq <= to; seq++)
        if (ref->writes[seq].key == key)
            out[n++] = ref->writes[seq].letter;
    out[n] = '\0';
    return n;
}

static void check_entries(const struct fb_dirty *dirty, const struct reference *ref) {
    char want[WRITES_MAX + 1];
    size_t keys = 0;
    for (unsigned key = 0; key < KEYS; key++) {
        const struct fb_dirty_entry *entry = fb_dirty_find(dirty, hash_of(key), key_of(key));
        size_t n = letters(ref, key, ref->committed, ref->last, want);
        assert_int_equal(entry != NULL, n > 0);
        keys += n > 0;
        if (entry == NULL)
            continue;
        /* It may hold what the database has already: that is shown again, and changes nothing. */
        assert_true(entry->change->len >= n);
        assert_memory_equal(entry->change->data + entry->change->len - n, want, n);
        assert_int_equal(entry->shows, FB_OK);
        assert_int_equal(entry->full->data[0], want[n - 1]);
    }
    struct fb_dirty_figures figures = fb_dirty_figures(dirty);
    assert_int_equal(figures.keys, keys);
    assert_int_equal(figures.writes, ref->last - ref->committed);
    if (figures.writes > 0) {
        assert_int_equal(figures.first_seq, ref->committed + 1);
        assert_int_equal(figures.last_seq, ref->last);
        assert_int_equal(figures.since.ns, ref->writes[ref->committed + 1].at.ns);
    } else {
        assert_int_equal(figures.bytes, 0);
        assert_int_equal(figures.rows, 0);
        assert_int_equal(figures.batches, 0);
    }
}

static void check_batch(const struct fb_dirty_batch *batch, const struct reference *ref) {
    char want[WRITES_MAX + 1];
    size_t rows = 0;
    uint64_t before = 0;
    assert_int_equal(batch->first_seq, ref->committed + 1);
    assert_int_equal(batch->nwrites, batch->last_seq - batch->first_seq + 1);
    for (struct fb_link *l = batch->rows.next; l != &batch->rows; l = l->next, rows++) {
        const struct fb_dirty_row *row = fb_member_of(l, struct fb_dirty_row, link);
        size_t n = letters(ref, ref->writes[row->first_seq].key, ref->committed, batch->last_seq, want);
        assert_int_equal(row->change->len, n);
        assert_memory_equal(row->change->data, want, n);
        assert_true(row->first_seq > before);
        assert_int_equal(ref->writes[row->last_seq].key, ref->writes[row->first_seq].key);
        before = row->first_seq;
    }
    assert_int_equal(batch->nrows, rows);
}

/* One to three writes of different keys. False when an allocation failed: then nothing has changed. */
static bool write_some(struct fb_dirty *dirty, struct reference *ref, struct fb_rng *rng, fb_instant now) {
    struct fb_link unit = FB_LIST_INIT(unit);
    unsigned first = (unsigned)fb_rng_below(rng, KEYS), n = 1 + (unsigned)(fb_rng_below(rng, 5) == 0 ? 2 : 0);
    fb_span interval = fb_ms(1 + (int64_t)fb_rng_below(rng, 40));
    bool is_done = true;
    for (unsigned i = 0; i < n && is_done; i++) {
        unsigned key = (first + i) % KEYS;
        char letter = (char)('a' + fb_rng_below(rng, 26));
        struct fb_value *change = fb_value_new(FB_KIND_STRING, &letter, 1);
        struct fb_dirty_write write = {.hash = hash_of(key), .key = key_of(key), .change = change, .shows = FB_OK,
                                       .full = change, .interval = interval};
        is_done = change != NULL && fb_dirty_prepare(dirty, &write, &unit) == FB_OK;
        ref->writes[ref->last + 1 + i].key = key;
        ref->writes[ref->last + 1 + i].letter = letter;
        ref->writes[ref->last + 1 + i].at = now;
        ref->writes[ref->last + 1 + i].interval = interval;
        fb_value_unref(change);
    }
    if (is_done) {
        fb_dirty_put(dirty, &unit, ref->last + 1, now);
        ref->last += n;
    }
    fb_dirty_give_up(&unit);
    return is_done;
}

static fb_instant due_of(const struct reference *ref, uint64_t to) {
    fb_instant due = FB_NEVER;
    for (uint64_t seq = ref->committed + 1; seq <= to; seq++)
        if (fb_before(fb_after(ref->writes[seq].at, ref->writes[seq].interval), due))
            due = fb_after(ref->writes[seq].at, ref->writes[seq].interval);
    return due;
}

static void run_against_reference(uint64_t seed, int64_t fail_after) {
    struct fb_dirty_options options = {.rows_max = 4, .bytes_max = 4000, .merge = join};
    struct fb_rng rng = {seed};
    struct reference ref = {.last = 0};
    struct fb_dirty *dirty = fb_dirty_create(&options);
    int64_t now = 0;
    fb_mem_fail_after(fail_after);
    for (int step = 0; step < 120 && ref.last < WRITES_MAX - 3; step++) {
        fb_instant t = {now += (int64_t)fb_rng_below(&rng, 10) * FB_NS_PER_MS};
        uint64_t draw = fb_rng_below(&rng, 10);
        if (draw < 7) {
            (void)write_some(dirty, &ref, &rng, t);
        } else {
            bool is_asked = draw == 9, is_due = fb_reached(t, fb_dirty_due(dirty));
            struct fb_dirty_batch *batch = fb_dirty_next(dirty, t, is_asked);
            if (batch != NULL) {
                check_batch(batch, &ref);
                assert_true(fb_dirty_next(dirty, t, is_asked) == batch);
                assert_true(batch->nrows <= options.rows_max || fail_after >= 0);
                if (fb_rng_below(&rng, 2) == 0)
                    (void)write_some(dirty, &ref, &rng, t); /* while it is on its way */
                check_batch(batch, &ref);
                assert_true(fb_dirty_commit(dirty) == batch);
                ref.committed = batch->last_seq;
                fb_dirty_batch_free(batch);
            } else if (fail_after < 0) {
                assert_false(is_due);
                assert_true(!is_asked || ref.last == ref.committed);
                assert_true(ref.last == ref.committed || !fb_reached(t, due_of(&ref, ref.last)));
            }
        }
        check_entries(dirty, &ref);
    }
    fb_mem_fail_after(-1);
    fb_dirty_destroy(dirty);
}

static void map_agrees_with_the_list_of_all_writes(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++)
        run_against_reference(seed, -1);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (int64_t n = 0; n < 300; n++)
        run_against_reference(7, n);
}

/* ---- the rule for readers, with the real shard: a row of two columns, changes that set some of them ---- */

enum mutant { NONE, DATABASE_FIRST, LEAVES_EARLY };
enum { COLUMNS = 2, ACTORS = 7, STEPS = 11 /* of a writer, a flusher and a reader */ };

/* '-': not set. */
struct cells { char at[COLUMNS]; };

static struct fb_value *cells_value(struct cells c) { return fb_value_new(FB_KIND_STRING, c.at, COLUMNS); }
static struct cells over(struct cells base, const struct fb_value *change) {
    for (int i = 0; change != NULL && i < COLUMNS; i++)
        if (change->data[i] != '-')
            base.at[i] = change->data[i];
    return base;
}
static struct fb_value *merge_cells(const struct fb_value *older, const struct fb_value *newer) {
    struct cells c;
    memcpy(c.at, older->data, COLUMNS);
    return cells_value(over(c, newer));
}

struct actor {
    enum { WRITER, FLUSHER, READER } kind;
    unsigned step, writes; /* writers: the column */
    unsigned rounds;       /* flushers: so often */
    bool is_over;
    struct fb_writer writer;
    struct fb_waiter waiter;
    struct fb_flight *flight;
    struct fb_value *before;
    struct cells row, seen_at_start;
    struct fb_dirty_batch *batch;
};

struct play {
    struct fb_shard *shard;
    struct fb_dirty *dirty;
    struct actor actors[ACTORS];
    unsigned nactors;
    struct cells database, newest, floor; /* what a read that begins now must not be behind */
    int64_t now;
    uint64_t seq;
    enum mutant mutant;
    const char *wrong;
    fb_policy policy;
};

static const fb_bytes KEY = {"k", 1};
enum { HASH = 7 };

static void raise(struct cells *floor, struct cells seen) {
    for (int i = 0; i < COLUMNS; i++)
        if (seen.at[i] > floor->at[i])
            floor->at[i] = seen.at[i];
}

static void answer(struct play *p, struct actor *a, fb_bytes value) {
    struct cells got;
    memcpy(got.at, value.data, COLUMNS);
    for (int i = 0; i < COLUMNS; i++)
        if (got.at[i] < a->seen_at_start.at[i])
            p->wrong = "a read is behind what was acknowledged or shown before it began";
    raise(&p->floor, got);
    a->is_over = true;
}

/* Grants and answers that came of a call; loads go to the reader that leads them. */
static void deliver(struct play *p, struct fb_effects *fx) {
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->done)) != NULL;) {
        struct actor *a = fb_member_of(l, struct actor, waiter.link);
        answer(p, a, fb_value_bytes(a->waiter.value));
        fb_value_unref(a->waiter.value);
    }
    (void)fb_list_pop_front(&fx->granted);
    for (struct fb_link *l; (l = fb_list_pop_front(&fx->loads)) != NULL;) {
        struct fb_flight *flight = fb_member_of(l, struct fb_flight, link);
        struct actor *leader = fb_member_of(flight->waiters.next, struct actor, waiter.link);
        leader->flight = flight;
        leader->step = 1;
    }
}

static bool writer_step(struct play *p, struct actor *a, struct fb_effects *fx) {
    struct cells set = {{'-', '-'}};
    fb_instant now = {p->now};
    switch (a->step) {
    case 0:
        if (fb_shard_begin(p->shard, HASH, KEY, 0, &a->writer, now, fx) < 0)
            abort();
        break;
    case 1: /* the journal */
        if (!a->writer.is_granted)
            return false;
        break;
    default: {
        struct fb_link unit = FB_LIST_INIT(unit);
        set.at[a->writes] = ++p->newest.at[a->writes]; /* in the order of the grants */
        struct fb_value *change = cells_value(set);
        struct fb_dirty_write write = {.hash = HASH, .key = KEY, .change = change, .shows = FB_MISS};
        if (fb_dirty_prepare(p->dirty, &write, &unit) != FB_OK)
            abort();
        fb_dirty_put(p->dirty, &unit, ++p->seq, now);
        fb_value_unref(change);
        raise(&p->floor, set);
        fb_shard_end(p->shard, &a->writer, FB_END_DROP, FB_KIND_NONE, fb_bytes_of(NULL, 0), now, 0, now, 0, fx);
        a->is_over = true;
        return true;
    }
    }
    a->step++;
    return true;
}

static bool flusher_step(struct play *p, struct actor *a) {
    switch (a->step) {
    case 0:
        a->batch = fb_dirty_next(p->dirty, (fb_instant){p->now}, true);
        if (a->batch == NULL)
            return false;
        break;
    case 1:
        a->row = p->database;
        for (struct fb_link *l = a->batch->rows.next; l != &a->batch->rows; l = l->next)
            a->row = over(a->row, fb_member_of(l, struct fb_dirty_row, link)->change);
        if (p->mutant == LEAVES_EARLY)
            fb_dirty_batch_free(fb_dirty_commit(p->dirty));
        break;
    case 2:
        p->database = a->row; /* COMMIT */
        break;
    default:
        if (p->mutant != LEAVES_EARLY)
            fb_dirty_batch_free(fb_dirty_commit(p->dirty));
        a->is_over = --a->rounds == 0;
        a->step = 0;
        return true;
    }
    a->step++;
    return true;
}

static struct fb_value *pending(const struct play *p) {
    const struct fb_dirty_entry *entry = fb_dirty_find(p->dirty, HASH, KEY);
    return entry != NULL ? fb_value_ref(entry->change) : NULL;
}

static bool reader_step(struct play *p, struct actor *a, struct fb_effects *fx) {
    fb_buf copy = FB_BUF_INIT;
    fb_instant now = {p->now};
    struct fb_hit hit;
    switch (a->step) {
    case 0:
        if (a->flight != NULL || fb_link_is_in_list(&a->waiter.link))
            return false; /* waits for another's load */
        a->seen_at_start = p->floor;
        a->waiter.deadline = FB_NEVER;
        if (fb_shard_peek(p->shard, HASH, KEY, now, &copy, &hit) == FB_OK)
            answer(p, a, fb_bytes_of(copy.data, copy.len));
        else if (fb_shard_miss(p->shard, HASH, KEY, 0, &a->waiter, now, fx) != FB_PENDING)
            abort();
        fb_buf_free(&copy);
        return true;
    case 1:
        fb_shard_dispatched(p->shard, a->flight, now);
        a->before = p->mutant == DATABASE_FIRST ? NULL : pending(p);
        break;
    case 2:
        a->row = p->database;
        break;
    default: {
        struct fb_flight *flight = a->flight;
        if (p->mutant == DATABASE_FIRST)
            a->before = pending(p);
        flight->status = FB_OK;
        flight->value = cells_value(over(a->row, a->before));
        fb_value_unref(a->before);
        a->flight = NULL;
        a->before = NULL;
        a->step = 0;
        fb_shard_loaded(p->shard, flight, now, 0, fx);
        return true;
    }
    }
    a->step++;
    return true;
}

static bool step(struct play *p, struct actor *a) {
    struct fb_effects fx;
    bool is_done;
    fb_effects_init(&fx);
    p->now++;
    if (a->is_over)
        return false;
    is_done = a->kind == WRITER ? writer_step(p, a, &fx) : a->kind == FLUSHER ? flusher_step(p, a) : reader_step(p, a, &fx);
    deliver(p, &fx);
    return is_done;
}

static void open_play(struct play *p, enum mutant mutant, unsigned writers, unsigned flushes, unsigned readers) {
    struct fb_dirty_options options = {.rows_max = 10, .bytes_max = 10000, .merge = merge_cells};
    *p = (struct play){.database = {{'0', '0'}}, .newest = {{'0', '0'}}, .floor = {{'0', '0'}}, .mutant = mutant, .policy = FB_POLICY_INIT,
                       .now = 1000};
    struct fb_shard_options shard = {.bytes_max = 1 << 20, .evict = &fb_evict_lru, .policies = &p->policy,
                                     .keyspaces_max = 1};
    p->shard = fb_shard_create(&shard);
    p->dirty = fb_dirty_create(&options);
    for (unsigned i = 0; i < writers + 1 + readers; i++) {
        struct actor *a = &p->actors[p->nactors++];
        a->kind = i < writers ? WRITER : i == writers ? FLUSHER : READER;
        a->rounds = flushes;
        a->writes = i % COLUMNS;
        fb_list_init(&a->waiter.link);
    }
}

/* Let everybody come to an end, then ask once more. */
static void close_play(struct play *p) {
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < p->nactors; i++)
            moved |= step(p, &p->actors[i]);
    }
    struct actor *last = &p->actors[p->nactors];
    *last = (struct actor){.kind = READER};
    fb_list_init(&last->waiter.link);
    for (int i = 0; i < 6; i++)
        (void)step(p, last);
    assert_true(last->is_over);
    fb_dirty_destroy(p->dirty);
    fb_shard_destroy(p->shard);
}

/* Every order of steps, as a counter in a mixed base of at most `depth` digits; skips what cannot move. */
static const char *try_all(enum mutant mutant, unsigned writers, unsigned flushes, unsigned readers, unsigned depth,
                           unsigned *ret_orders) {
    unsigned n = writers + 1 + readers, digits[32] = {0};
    *ret_orders = 0;
    for (;;) {
        struct play p;
        unsigned used = 0;
        open_play(&p, mutant, writers, flushes, readers);
        bool is_stuck = false;
        for (; used < depth && !is_stuck; used++)
            is_stuck = !step(&p, &p.actors[digits[used]]);
        if (!is_stuck)
            ++*ret_orders;
        close_play(&p);
        if (p.wrong != NULL)
            return p.wrong;
        /* The next: what comes after a step that could not be made makes no difference. */
        unsigned at = used;
        for (unsigned i = used; i < depth; i++)
            digits[i] = 0;
        while (at > 0 && ++digits[at - 1] == n)
            digits[--at] = 0;
        if (at == 0)
            return NULL;
    }
}

static const char *try_some(enum mutant mutant, unsigned seeds) {
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct fb_rng rng = {seed};
        struct play p;
        open_play(&p, mutant, 3, 3, 2);
        for (int i = 0; i < 60; i++)
            (void)step(&p, &p.actors[fb_rng_below(&rng, p.nactors)]);
        close_play(&p);
        if (p.wrong != NULL)
            return p.wrong;
    }
    return NULL;
}

static void no_reader_is_behind_an_acknowledged_write(void **state) {
    (void)state;
    unsigned orders;
    const char *wrong = try_all(NONE, 1, 1, 1, STEPS, &orders);
    if (wrong != NULL)
        fail_msg("%s", wrong);
    assert_true(orders > 100);
    wrong = try_some(NONE, 20000);
    if (wrong != NULL)
        fail_msg("%s", wrong);
}

static void each_part_of_the_rule_is_needed(void **state) {
    (void)state;
    unsigned orders;
    assert_non_null(try_all(DATABASE_FIRST, 1, 1, 1, STEPS, &orders));
    assert_non_null(try_all(LEAVES_EARLY, 1, 1, 1, STEPS, &orders));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_agrees_with_the_list_of_all_writes),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(no_reader_is_behind_an_acknowledged_write),
        cmocka_unit_test(each_part_of_the_rule_is_needed),
    };
    return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
