/* The table against a dictionary: random operations on few keys, every answer and every invariant compared after each;
 * the same with every nth allocation failing; and its index alone while it grows, shrinks and collides. */
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
#include "base/value.h"
#include "core/index.h"
#include "core/table.h"

enum { KEYS = 200, VALUE_MAX = 3000 };

/* What the dictionary knows of a key. The table may have dropped it; then `evicted` has told so, or an allocation
 * failed, or it was too large. */
struct fact {
    bool is_in;
    struct fb_stamp stamp;
    char value[VALUE_MAX];
    size_t len;
};

struct world {
    struct fb_table *table;
    struct fb_rng rng;
    struct fact facts[KEYS];
    uint64_t bytes_max;
    uint64_t evictions[2]; /* values, negative entries */
    bool is_weak_hash;     /* many keys share a hash, or differ in few bits of it */
};

static fb_bytes key_of(unsigned id, char *room) {
    int len = snprintf(room, 64, "key:%0*u", (int)(id % 40), id);
    return fb_bytes_of(room, (size_t)len);
}

static void note_evicted(void *user, fb_bytes key, const struct fb_stamp *stamp) {
    struct world *w = user;
    char room[64];
    /* The draw of a stamp is the key's number here. */
    fb_bytes name = key_of(stamp->draw, room);
    assert_int_equal(key.len, name.len);
    assert_memory_equal(key.data, name.data, key.len);
    assert_true(w->facts[stamp->draw].is_in);
    w->facts[stamp->draw].is_in = false;
    w->evictions[stamp->kind == FB_KIND_NONE]++;
}

static uint64_t hash_of(const struct world *w, unsigned id) {
    struct fb_rng rng = {id};
    return w->is_weak_hash ? id % 3 : fb_rng_next(&rng);
}

static void compare(struct world *w, unsigned id) {
    char room[64];
    struct fb_stamp stamp;
    fb_buf out = FB_BUF_INIT;
    const struct fact *fact = &w->facts[id];
    fb_status status = fb_table_read(w->table, hash_of(w, id), key_of(id, room), &stamp, &out);
    assert_int_equal(status, fact->is_in ? FB_OK : FB_MISS);
    if (fact->is_in) {
        assert_int_equal(out.len, fact->len);
        assert_memory_equal(out.data == NULL ? "" : out.data, fact->value, fact->len);
        assert_int_equal(stamp.birth.ns, fact->stamp.birth.ns);
        assert_int_equal(stamp.cap_ms, fact->stamp.cap_ms);
        assert_int_equal(stamp.kind, fact->stamp.kind);
        assert_int_equal(stamp.keyspace, fact->stamp.keyspace);
    }
    fb_buf_free(&out);
}

static void check_sums(struct world *w) {
    struct fb_table_stats all, one, sum = {0};
    uint64_t keys = 0, negative_keys = 0;
    fb_table_stats(w->table, &all);
    assert_true(all.bytes <= w->bytes_max); /* T2 */
    for (unsigned id = 0; id < KEYS; id++) {
        keys += w->facts[id].is_in && w->facts[id].stamp.kind != FB_KIND_NONE;
        negative_keys += w->facts[id].is_in && w->facts[id].stamp.kind == FB_KIND_NONE;
    }
    assert_int_equal(all.keys, keys); /* T1: each key once */
    assert_int_equal(all.negative_keys, negative_keys);
    for (uint16_t keyspace = 0; keyspace < 3; keyspace++) {
        fb_table_keyspace_stats(w->table, keyspace, &one);
        sum.keys += one.keys;
        sum.negative_keys += one.negative_keys;
        sum.bytes += one.bytes;
    }
    assert_memory_equal(&sum, &all, sizeof sum);
}

static bool is_odd(void *user, fb_bytes key, struct fb_stamp *stamp) {
    (void)key;
    struct world *w = user;
    if (stamp->cap_ms % 2 == 0)
        return false;
    w->facts[stamp->draw].is_in = false;
    return true;
}

static void step(struct world *w, bool is_failing) {
    char room[64], value[VALUE_MAX];
    unsigned id = (unsigned)fb_rng_below(&w->rng, KEYS);
    struct fact *fact = &w->facts[id];
    fb_bytes key = key_of(id, room);
    uint64_t hash = hash_of(w, id);
    unsigned what = (unsigned)fb_rng_below(&w->rng, 100);
    if (what < 50) {
        struct fb_stamp stamp = {.birth = {(int64_t)fb_rng_below(&w->rng, 1000000)},
                                 .cap_ms = (uint32_t)fb_rng_below(&w->rng, 1000),
                                 .draw = (uint16_t)id,
                                 .keyspace = (uint16_t)(id % 3),
                                 .kind = (uint8_t)fb_rng_below(&w->rng, 3)};
        size_t len = stamp.kind == FB_KIND_NONE ? 0 : (size_t)fb_rng_below(&w->rng, 1u << fb_rng_below(&w->rng, 12));
        memset(value, (int)(what + id), len);
        bool is_kept = fb_table_put(w->table, hash, key, &stamp, fb_bytes_of(value, len));
        assert_true(is_kept || is_failing || len > 1000);
        fact->is_in = is_kept;
        fact->stamp = stamp;
        fact->len = len;
        memcpy(fact->value, value, len);
    } else if (what < 60) {
        struct fb_stamp stamp = {0};
        assert_int_equal(fb_table_remove(w->table, hash, key, &stamp), fact->is_in);
        if (fact->is_in)
            assert_int_equal(stamp.birth.ns, fact->stamp.birth.ns);
        fact->is_in = false;
    } else if (what < 70) {
        uint32_t cap_ms = (uint32_t)fb_rng_below(&w->rng, 1000);
        assert_int_equal(fb_table_set_cap(w->table, hash, key, cap_ms), fact->is_in);
        fact->stamp.cap_ms = cap_ms;
    } else if (what < 97)
        fb_table_touch(w->table, hash, key);
    else if (what < 99)
        fb_table_sweep(w->table, 20, is_odd, w);
    else if (fb_rng_below(&w->rng, 20) == 0) {
        fb_table_clear(w->table);
        for (unsigned i = 0; i < KEYS; i++)
            w->facts[i].is_in = false;
    }
    fb_mem_fail_after(-1);
    compare(w, id);
    compare(w, (unsigned)fb_rng_below(&w->rng, KEYS));
}

static uint64_t run(uint64_t seed, uint64_t bytes_max, const struct fb_evict_ops *ops, bool is_weak_hash,
                    bool is_failing) {
    static struct world w;
    memset(&w, 0, sizeof w);
    w.rng.state = seed;
    w.bytes_max = bytes_max;
    w.is_weak_hash = is_weak_hash;
    w.table = fb_table_create(bytes_max, ops, note_evicted, &w);
    assert_non_null(w.table);
    for (int i = 0; i < 1500; i++) {
        if (is_failing)
            fb_mem_fail_after((int64_t)fb_rng_below(&w.rng, 4));
        step(&w, is_failing);
        check_sums(&w);
    }
    w.table = fb_table_destroy(w.table);
    return w.evictions[0] * w.evictions[1];
}

static void the_table_answers_like_a_dictionary(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        assert_int_equal(run(seed, 1 << 20, seed % 2 ? &fb_evict_lru : &fb_evict_s3fifo, seed % 4 == 0, false), 0);
}

static void under_pressure_it_keeps_its_budgets_and_tells_of_every_eviction(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        assert_true(run(seed, 20000, seed % 2 ? &fb_evict_lru : &fb_evict_s3fifo, seed % 4 == 0, false) > 0);
}

static void with_failing_allocations_it_stays_a_dictionary(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        run(seed, 60000, seed % 2 ? &fb_evict_lru : &fb_evict_s3fifo, seed % 4 == 0, true);
}

static void creation_fails_cleanly_when_memory_does(void **state) {
    (void)state;
    struct fb_table *table = NULL;
    int64_t n = 0;
    for (; table == NULL; n++) {
        fb_mem_fail_after(n);
        table = fb_table_create(1 << 20, &fb_evict_s3fifo, NULL, NULL);
        fb_mem_fail_after(-1);
    }
    assert_int_equal(n, 6); /* table, index directory, page, eviction, ghost, and then none fails */
    fb_table_destroy(table);
    assert_null(fb_table_destroy(NULL));
}

static uint64_t drawn(unsigned id) {
    struct fb_rng rng = {id};
    return fb_rng_next(&rng);
}

static bool put(struct fb_table *table, unsigned id, fb_kind kind, size_t len) {
    static char value[1 << 20];
    char room[64];
    struct fb_stamp stamp = {.kind = (uint8_t)kind, .draw = (uint16_t)id};
    return fb_table_put(table, drawn(id), key_of(id, room), &stamp, fb_bytes_of(value, len));
}

static void take(struct fb_table *table, unsigned id) {
    char room[64];
    assert_true(fb_table_remove(table, drawn(id), key_of(id, room), NULL));
}

static void a_scan_of_absent_keys_pushes_out_no_value(void **state) {
    (void)state;
    struct fb_table *table = fb_table_create(1 << 20, &fb_evict_s3fifo, NULL, NULL);
    struct fb_table_stats before, after;
    for (unsigned id = 0; id < 1000; id++)
        assert_true(put(table, id, FB_KIND_STRING, 500));
    fb_table_stats(table, &before);
    for (unsigned id = 1000; id < 100000; id++)
        assert_true(put(table, id, FB_KIND_NONE, 0));
    fb_table_stats(table, &after);
    assert_int_equal(after.keys, before.keys);
    assert_true(after.negative_keys > 200);
    assert_true(after.bytes - before.bytes <= (1 << 20) / FB_TABLE_NEGATIVE_SHARE); /* T3 */
    fb_table_destroy(table);
}

static void a_value_larger_than_its_share_is_not_kept_and_replaces_nothing_else(void **state) {
    (void)state;
    struct fb_table *table = fb_table_create(1 << 20, &fb_evict_s3fifo, NULL, NULL);
    struct fb_table_stats stats;
    assert_true(put(table, 1, FB_KIND_STRING, 10));
    assert_true(put(table, 2, FB_KIND_STRING, 10));
    assert_true(put(table, 2, FB_KIND_STRING, (1 << 17) - 300));
    assert_false(put(table, 2, FB_KIND_STRING, 1 << 17)); /* and the old value of the key is gone */
    fb_table_stats(table, &stats);
    assert_int_equal(stats.keys, 1);
    fb_table_destroy(table);
}

static void an_overwrite_of_equal_size_happens_in_place(void **state) {
    (void)state;
    struct fb_table *table = fb_table_create(1 << 20, &fb_evict_s3fifo, NULL, NULL);
    assert_true(put(table, 1, FB_KIND_STRING, 100));
    fb_mem_fail_after(0); /* it needs no memory */
    assert_true(put(table, 1, FB_KIND_HASH, 99));
    fb_mem_fail_after(-1);
    fb_table_destroy(table);
}

static void a_buffer_that_cannot_grow_is_told(void **state) {
    (void)state;
    char room[64];
    struct fb_rng rng = {1};
    uint64_t hash = fb_rng_next(&rng);
    struct fb_table *table = fb_table_create(1 << 20, &fb_evict_s3fifo, NULL, NULL);
    struct fb_stamp stamp = {.cap_ms = 77};
    fb_buf out = FB_BUF_INIT;
    assert_true(put(table, 1, FB_KIND_STRING, 100));
    fb_mem_fail_after(0);
    assert_int_equal(fb_table_read(table, hash, key_of(1, room), &stamp, &out), FB_NOMEM);
    fb_mem_fail_after(-1);
    assert_int_equal(stamp.cap_ms, 77); /* nothing returned on failure */
    assert_int_equal(out.len, 0);
    fb_table_destroy(table);
}

static bool always(void *user, fb_bytes key, struct fb_stamp *stamp) {
    (void)key;
    (void)stamp;
    ++*(unsigned *)user;
    return true;
}

static void a_sweep_goes_round_in_bounded_steps(void **state) {
    (void)state;
    struct fb_table *table = fb_table_create(64 << 20, &fb_evict_s3fifo, NULL, NULL);
    unsigned judged = 0, removed = 0, calls = 0;
    for (unsigned id = 0; id < 10000; id++)
        put(table, id, FB_KIND_STRING, 10);
    for (; removed < 10000; calls++) {
        judged = 0;
        unsigned n = fb_table_sweep(table, 100, always, &judged);
        assert_int_equal(n, judged);
        assert_true(n <= 100 + 2 * FB_BUCKET_SLOTS);
        removed += n;
        assert_true(calls < 1000);
    }
    fb_table_destroy(table);
}

/* ---- another size ---- */

static void count_evicted(void *user, fb_bytes key, const struct fb_stamp *stamp) {
    (void)key, (void)stamp;
    ++*(unsigned *)user;
}

static uint64_t bytes_of(const struct fb_table *table) {
    struct fb_table_stats stats;
    fb_table_stats(table, &stats);
    return stats.bytes;
}

static void a_smaller_size_is_reached_in_bounded_steps(void **state) {
    (void)state;
    enum { LARGE = 1 << 20, SMALL = 200000 };
    for (int is_lru = 0; is_lru < 2; is_lru++) {
        unsigned evicted = 0, before, id = 0;
        struct fb_table *table =
            fb_table_create(LARGE, is_lru ? &fb_evict_lru : &fb_evict_s3fifo, count_evicted, &evicted);
        for (; evicted == 0; id++)
            put(table, id, id % 9 == 0 ? FB_KIND_NONE : FB_KIND_STRING, id % 9 == 0 ? 0 : 100);
        fb_table_set_max(table, SMALL);
        for (uint64_t bytes = bytes_of(table); bytes > SMALL; bytes = bytes_of(table)) {
            before = evicted;
            if (id % 2 == 0)
                fb_table_shrink(table, 20);
            else
                put(table, id, FB_KIND_STRING, 100);
            assert_true(evicted > before && evicted - before <= 20);
            assert_true(bytes_of(table) < bytes + 300); /* values may grow while the last absences go */
            id++;
        }
        for (unsigned i = 0; i < 5000; i++, id++) {
            put(table, id, id % 9 == 0 ? FB_KIND_NONE : FB_KIND_STRING, 50);
            assert_true(bytes_of(table) <= SMALL);
        }
        assert_false(put(table, id, FB_KIND_STRING, SMALL / FB_TABLE_ENTRY_SHARE));
        fb_table_set_max(table, LARGE);
        before = evicted;
        for (unsigned i = 0; i < 2000; i++)
            put(table, ++id, FB_KIND_STRING, 100);
        assert_int_equal(evicted, before); /* there is room again */
        fb_table_destroy(table);
    }
}

/* ---- going round ---- */

struct round {
    unsigned char visits[1 << 16];
};

static void count_visit(void *user, fb_bytes key, const struct fb_stamp *stamp) {
    (void)key;
    struct round *round = user;
    if (round->visits[stamp->draw] < UINT8_MAX)
        round->visits[stamp->draw]++;
}

/* The first STAYING keys stay; between the steps others come and go in waves, so that the table grows and shrinks. */
static void whoever_is_there_all_the_while_is_visited(void **state) {
    (void)state;
    enum { STAYING = 500, COMING = 20000 };
    struct round *round = malloc(sizeof *round);
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct fb_rng rng = {seed};
        struct fb_table *table = fb_table_create(64 << 20, &fb_evict_s3fifo, NULL, NULL);
        unsigned there = STAYING, steps = 0, looked;
        bool grows = seed % 2 == 0;
        for (unsigned id = 0; id < STAYING; id++)
            put(table, id, FB_KIND_STRING, 10);
        for (; seed % 3 == 0 && there < COMING; there++)
            put(table, there, FB_KIND_STRING, 10);
        memset(round, 0, sizeof *round);
        for (uint64_t at = 0; at < FB_TABLE_END; steps++) {
            uint64_t next = fb_table_scan(table, at, count_visit, round, &looked);
            assert_true(next > at && next <= FB_TABLE_END);
            at = next;
            if (fb_rng_below(&rng, 200) == 0)
                grows = !grows;
            for (uint64_t n = fb_rng_below(&rng, 64); n > 0; n--) {
                if (grows && there < COMING)
                    put(table, there++, FB_KIND_STRING, 10);
                else if (!grows && there > STAYING)
                    take(table, --there);
            }
        }
        for (unsigned id = 0; id < STAYING; id++)
            assert_true(round->visits[id] > 0);
        assert_true(steps <= COMING);
        fb_table_destroy(table);
    }
    free(round);
}

static void a_round_over_a_table_at_rest_visits_everybody_once(void **state) {
    (void)state;
    struct round *round = malloc(sizeof *round);
    for (unsigned n = 0; n <= 6000; n += 197) {
        struct fb_table *table = fb_table_create(64 << 20, &fb_evict_lru, NULL, NULL);
        unsigned looked;
        memset(round, 0, sizeof *round);
        for (unsigned id = 0; id < n; id++)
            put(table, id, FB_KIND_STRING, 10);
        for (uint64_t at = 0; at < FB_TABLE_END;)
            at = fb_table_scan(table, at, count_visit, round, &looked);
        for (unsigned id = 0; id < 6000; id++)
            assert_int_equal(round->visits[id], id < n);
        fb_table_destroy(table);
    }
    free(round);
}

static void the_facts_of_an_entry_are_what_it_is_charged(void **state) {
    (void)state;
    struct fb_table *table = fb_table_create(1 << 20, &fb_evict_s3fifo, NULL, NULL);
    struct fb_table_facts facts;
    struct fb_table_stats stats;
    struct fb_stamp stamp;
    char room[64];
    fb_bytes key = key_of(3, room);
    uint64_t hash = drawn(3);
    assert_int_equal(fb_table_facts(table, hash, key, &facts), FB_MISS);
    put(table, 3, FB_KIND_STRING, 100);
    for (unsigned hits = 0; hits < 5; hits++) {
        assert_int_equal(fb_table_facts(table, hash, key, &facts), FB_OK);
        assert_int_equal(facts.frequency, hits < 3 ? hits : 3); /* looking is no hit */
        assert_int_equal(fb_table_read(table, hash, key, &stamp, NULL), FB_OK);
        fb_table_touch(table, hash, key);
    }
    fb_table_stats(table, &stats);
    assert_int_equal(facts.memory, stats.bytes);
    assert_int_equal(facts.value_bytes, 100);
    fb_table_destroy(table);
}

/* ---- the index alone ---- */

struct item {
    uint64_t hash;
    unsigned id;
};

static bool has_id(const void *item, const void *user) {
    return ((const struct item *)item)->id == *(const unsigned *)user;
}

static void mark(void *user, void *item) { ((unsigned char *)user)[((struct item *)item)->id]++; }

static void the_index_finds_everything_while_it_grows_and_shrinks(void **state) {
    (void)state;
    enum { N = 20000 };
    struct item *items = calloc(N, sizeof *items);
    unsigned char *seen = malloc(N);
    struct fb_rng rng = {5};
    for (int is_shard = 0; is_shard < 2; is_shard++) {
        struct fb_index index;
        assert_true(fb_index_init(&index));
        for (unsigned i = 0; i < N; i++) {
            uint64_t hash = fb_rng_next(&rng);
            items[i] = (struct item){is_shard ? hash & ~UINT64_C(0xff0000000000000f) : hash, i};
            assert_true(fb_index_insert(&index, &items[i]));
            fb_index_settle(&index);
        }
        size_t most = index.buckets, overflowing = 0;
        assert_true(most * 4 >= N && most * 4 < N + 8); /* never far behind */
        for (size_t n = 0; n < most; n++)
            overflowing += fb_index_at(&index, n)->overflow != NULL;
        assert_true(overflowing < most / 4); /* also where a shard's choice took bits away */
        for (unsigned left = N; left > 0; left--) {
            if (left % 1000 == 0) {
                memset(seen, 0, N);
                for (size_t n = 0; n < index.buckets; n++)
                    fb_index_walk(&index, n, mark, seen);
                for (unsigned i = 0; i < N; i++)
                    assert_int_equal(seen[i], i < left);
            }
            unsigned i = left - 1;
            assert_ptr_equal(fb_index_find(&index, items[i].hash, has_id, &i), &items[i]);
            fb_index_remove(&index, &items[i]);
            fb_index_settle(&index);
            assert_null(fb_index_find(&index, items[i].hash, has_id, &i));
        }
        while (index.buckets > FB_PAGE_BUCKETS)
            fb_index_settle(&index);
        for (size_t n = 0; n < index.buckets; n++)
            assert_null(fb_index_at(&index, n)->overflow);
        fb_index_finish(&index);
    }
    free(items);
    free(seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_answers_like_a_dictionary),
        cmocka_unit_test(under_pressure_it_keeps_its_budgets_and_tells_of_every_eviction),
        cmocka_unit_test(with_failing_allocations_it_stays_a_dictionary),
        cmocka_unit_test(creation_fails_cleanly_when_memory_does),
        cmocka_unit_test(a_scan_of_absent_keys_pushes_out_no_value),
        cmocka_unit_test(a_value_larger_than_its_share_is_not_kept_and_replaces_nothing_else),
        cmocka_unit_test(an_overwrite_of_equal_size_happens_in_place),
        cmocka_unit_test(a_buffer_that_cannot_grow_is_told),
        cmocka_unit_test(a_sweep_goes_round_in_bounded_steps),
        cmocka_unit_test(a_smaller_size_is_reached_in_bounded_steps),
        cmocka_unit_test(whoever_is_there_all_the_while_is_visited),
        cmocka_unit_test(a_round_over_a_table_at_rest_visits_everybody_once),
        cmocka_unit_test(the_facts_of_an_entry_are_what_it_is_charged),
        cmocka_unit_test(the_index_finds_everything_while_it_grows_and_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
