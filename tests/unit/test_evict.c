/* Eviction: S3-FIFO and LRU play random operations move by move with naive models (arrays searched from end to end),
 * the ghost with an exact list, and both replay real traces against hit ratios that others computed.
 *
 * The traces lie outside the project (FOREBAY_TEST_DATA, default ../shared/data); without them that part is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "policy/evict.h"
#include "policy/ghost.h"

/* ---- models: plain arrays, oldest first ---- */

enum { NODES = 60, GHOSTS_MAX = 4096, SIZE = 1000 };

struct array {
    int ids[GHOSTS_MAX + 1];
    int n;
};

static void array_push(struct array *a, int id) { a->ids[a->n++] = id; }

static bool array_take(struct array *a, int id) {
    for (int i = 0; i < a->n; i++)
        if (a->ids[i] == id) {
            memmove(a->ids + i, a->ids + i + 1, sizeof a->ids[0] * (size_t)(a->n - i - 1));
            a->n--;
            return true;
        }
    return false;
}

struct model {
    bool is_lru;
    uint64_t bytes_max;
    struct array small, main, ghost; /* ghost: tags in the order of eviction; all sizes are SIZE where it is used */
    int freq[NODES];
    uint32_t size[NODES];
};

static uint64_t bytes_of(const struct model *m, const struct array *a) {
    uint64_t sum = 0;
    for (int i = 0; i < a->n; i++)
        sum += m->size[a->ids[i]];
    return sum;
}

static void remember(struct model *m, int id) {
    array_take(&m->ghost, id);
    array_push(&m->ghost, id);
}

static void model_insert(struct model *m, int id) {
    m->freq[id] = 0;
    array_push(m->is_lru || array_take(&m->ghost, id) ? &m->main : &m->small, id);
}

static void model_hit(struct model *m, int id) {
    if (m->is_lru) {
        array_take(&m->main, id);
        array_push(&m->main, id);
    } else if (m->freq[id] < 3)
        m->freq[id]++;
}

static void model_remove(struct model *m, int id) {
    if (!array_take(&m->small, id) && array_take(&m->main, id) && !m->is_lru)
        remember(m, id);
}

static int model_victim(struct model *m) {
    while (m->small.n + m->main.n > 0) {
        bool is_small = m->main.n == 0 || (m->small.n > 0 && bytes_of(m, &m->small) >= m->bytes_max / 10);
        int id = (is_small ? &m->small : &m->main)->ids[0];
        array_take(is_small ? &m->small : &m->main, id);
        if (m->is_lru)
            return id;
        if (is_small && m->freq[id] < 2) {
            remember(m, id);
            return id;
        }
        if (!is_small && m->freq[id] == 0)
            return id;
        m->freq[id] = is_small ? 0 : m->freq[id] - 1;
        array_push(&m->main, id);
    }
    return -1;
}

/* Tags spread evenly over the 8 buckets a ghost begins with, so that none is crowded: the model knows no buckets. */
static uint32_t tag_of(int id) {
    uint32_t tag = (uint32_t)id * 1000 + 1;
    while ((tag * UINT32_C(0x9e3779b1)) >> 29 != (uint32_t)id % 8)
        tag++;
    return tag;
}

/* All moves of a policy and of its model, side by side. It ends before the ghost would forget by age, which the model
 * does not. */
static void play(const struct fb_evict_ops *ops, uint64_t seed, bool vary) {
    struct fb_rng rng = {seed};
    struct model *m = calloc(1, sizeof *m);
    m->is_lru = ops == &fb_evict_lru;
    m->bytes_max = 30 * SIZE;
    struct fb_evict *e = ops->create(m->bytes_max);
    struct fb_evict_node nodes[NODES];
    bool is_in[NODES] = {false};
    uint64_t bytes = 0;
    assert_non_null(m);
    assert_non_null(e);
    /* 27 × SIZE are remembered; stop before the model's endless memory makes a difference. */
    for (int step = 0, evictions = 0; step < 4000 && evictions < 26; step++) {
        int id = (int)fb_rng_below(&rng, NODES);
        unsigned what = (unsigned)fb_rng_below(&rng, 10);
        if (!is_in[id]) {
            nodes[id] = (struct fb_evict_node){
                .size = vary ? 1 + (uint32_t)fb_rng_below(&rng, SIZE) : SIZE, .tag = tag_of(id)};
            m->size[id] = nodes[id].size;
            while (bytes + nodes[id].size > m->bytes_max) {
                struct fb_evict_node *victim = ops->victim(e);
                int expected = model_victim(m);
                assert_non_null(victim);
                assert_int_equal(victim - nodes, expected);
                is_in[expected] = false;
                bytes -= m->size[expected];
                evictions++;
            }
            ops->insert(e, &nodes[id]);
            model_insert(m, id);
            is_in[id] = true;
            bytes += nodes[id].size;
        } else if (what == 0) {
            ops->remove(e, &nodes[id]);
            model_remove(m, id);
            is_in[id] = false;
            bytes -= m->size[id];
        } else {
            ops->hit(e, &nodes[id]);
            model_hit(m, id);
        }
    }
    for (int expected; (expected = model_victim(m)) >= 0;)
        assert_int_equal(ops->victim(e) - nodes, expected);
    assert_null(ops->victim(e));
    ops->destroy(e);
    free(m);
}

static void lru_plays_like_its_model(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++)
        play(&fb_evict_lru, seed, seed % 2 == 1);
}

static void s3fifo_plays_like_its_model(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 5000; seed++)
        play(&fb_evict_s3fifo, seed, seed % 2 == 1);
}

static void freq_saturates_and_a_hit_moves_nothing(void **state) {
    (void)state;
    struct fb_evict *e = fb_evict_s3fifo.create(1000);
    struct fb_evict_node a = {.size = 100, .tag = 1}, b = {.size = 100, .tag = 2};
    fb_evict_s3fifo.insert(e, &a);
    fb_evict_s3fifo.insert(e, &b);
    struct fb_link before = a.link;
    for (int i = 0; i < 1000; i++)
        fb_evict_s3fifo.hit(e, &a);
    assert_int_equal(a.freq, 3);
    assert_memory_equal(&before, &a.link, sizeof before);
    assert_ptr_equal(fb_evict_s3fifo.victim(e), &b);
    fb_evict_s3fifo.destroy(e);
}

static void one_victim_costs_a_bounded_number_of_second_chances(void **state) {
    (void)state;
    enum { MANY = 100000 };
    struct fb_evict *e = fb_evict_s3fifo.create(MANY * 100);
    struct fb_evict_node *nodes = calloc(MANY, sizeof *nodes);
    for (unsigned i = 0; i < MANY; i++) {
        nodes[i] = (struct fb_evict_node){.size = 100, .tag = i + 1};
        fb_evict_s3fifo.insert(e, &nodes[i]);
        fb_evict_s3fifo.hit(e, &nodes[i]);
        fb_evict_s3fifo.hit(e, &nodes[i]);
    }
    /* Everything deserves a second chance; the 257th in line goes nevertheless. */
    assert_ptr_equal(fb_evict_s3fifo.victim(e), &nodes[256]);
    fb_evict_s3fifo.destroy(e);
    free(nodes);
}

static void a_wanted_entry_that_was_removed_comes_back_into_main(void **state) {
    (void)state;
    struct fb_evict *e = fb_evict_s3fifo.create(1000);
    struct fb_evict_node a = {.size = 100, .tag = 7}, b = {.size = 100, .tag = 8};
    fb_evict_s3fifo.insert(e, &a);
    fb_evict_s3fifo.insert(e, &b);
    fb_evict_s3fifo.hit(e, &a);
    fb_evict_s3fifo.hit(e, &a);
    assert_ptr_equal(fb_evict_s3fifo.victim(e), &b); /* a went to main on the way */
    fb_evict_s3fifo.remove(e, &a);
    fb_evict_s3fifo.insert(e, &b);
    fb_evict_s3fifo.insert(e, &a);
    assert_int_equal(a.queue, 1);
    fb_evict_s3fifo.destroy(e);
}

static void creation_fails_cleanly_when_memory_does(void **state) {
    (void)state;
    for (int64_t n = 0; n < 2; n++) {
        fb_mem_fail_after(n);
        assert_null(fb_evict_s3fifo.create(1 << 20));
    }
    fb_mem_fail_after(0);
    assert_null(fb_evict_lru.create(1 << 20));
    fb_mem_fail_after(-1);
    fb_evict_s3fifo.destroy(NULL);
    fb_evict_lru.destroy(NULL);
}

/* ---- the ghost ---- */

static void the_ghost_remembers_its_span_in_bytes_and_forgets_what_is_older(void **state) {
    (void)state;
    struct fb_ghost g;
    enum { N = 2000, SPAN = 500 };
    assert_true(fb_ghost_init(&g, N * 1000, SPAN * 1000));
    for (uint32_t i = 0; i < N; i++)
        fb_ghost_add(&g, i, 1000);
    unsigned forgotten = 0;
    for (uint32_t i = 0; i < N; i++) {
        bool is_known = fb_ghost_take(&g, i);
        assert_true(!is_known || i + SPAN + 2 >= N); /* older: never */
        forgotten += !is_known && i + SPAN > N;
        assert_false(fb_ghost_take(&g, i)); /* taken is taken */
    }
    assert_true(forgotten < SPAN / 50); /* younger: but for crowded buckets, always */
    fb_ghost_finish(&g);
}

static void the_ghost_grows_to_its_bound_and_survives_without_memory(void **state) {
    (void)state;
    struct fb_ghost g;
    assert_true(fb_ghost_init(&g, 1 << 20, 1 << 20));
    unsigned first = g.bucket_bits;
    for (uint32_t i = 0; i < 1000; i++) {
        fb_mem_fail_after(0); /* every growth fails */
        fb_ghost_add(&g, i * 2654435761u, 1);
    }
    assert_int_equal(g.bucket_bits, first);
    fb_mem_fail_after(-1);
    for (uint32_t i = 0; i < 1000000; i++)
        fb_ghost_add(&g, i * 2654435761u, 1);
    assert_int_equal(g.bucket_bits, g.bucket_bits_max);
    assert_true((UINT64_C(8) << g.bucket_bits) * FB_GHOST_BYTES_PER_SLOT <= 1 << 20);
    fb_ghost_finish(&g);
}

/* ---- real traces ---- */

struct trace {
    uint64_t *keys;
    size_t n;
    uint64_t *table; /* key by slot, then its index in nodes */
    struct fb_evict_node *nodes;
    uint32_t *index_of;
    size_t unique;
};

static void *slurp(const char *path, size_t *ret_len) {
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    fseek(f, 0, SEEK_END);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    void *data = malloc(*ret_len);
    assert_int_equal(fread(data, 1, *ret_len, f), *ret_len);
    fclose(f);
    return data;
}

static uint64_t mix(uint64_t key) {
    struct fb_rng rng = {key};
    return fb_rng_next(&rng);
}

static bool trace_load(const char *dir, const char *name, struct trace *t) {
    char path[4096];
    size_t packed_len, width = 8, offset = 0;
    snprintf(path, sizeof path, "%s/traces/%s.u64.zst", dir, name);
    void *packed = slurp(path, &packed_len);
    if (packed == NULL) {
        snprintf(path, sizeof path, "%s/traces/%s.tkst.zst", dir, name);
        packed = slurp(path, &packed_len);
        width = 20;
        offset = 4;
    }
    if (packed == NULL)
        return false;
    unsigned long long len = ZSTD_getFrameContentSize(packed, packed_len);
    if (len == ZSTD_CONTENTSIZE_UNKNOWN || len == ZSTD_CONTENTSIZE_ERROR)
        len = 64u << 20;
    char *raw = malloc(len);
    size_t got = ZSTD_decompress(raw, len, packed, packed_len);
    assert_false(ZSTD_isError(got));
    free(packed);
    t->n = got / width;
    t->keys = malloc(t->n * sizeof *t->keys);
    t->index_of = malloc(t->n * sizeof *t->index_of);
    size_t mask = ((size_t)1 << 20) - 1;
    uint64_t *slots = calloc(mask + 1, sizeof *slots);
    uint32_t *ids = calloc(mask + 1, sizeof *ids);
    t->unique = 0;
    for (size_t i = 0; i < t->n; i++) {
        uint64_t key;
        memcpy(&key, raw + i * width + offset, 8);
        size_t s = mix(key) & mask;
        while (ids[s] != 0 && slots[s] != key)
            s = (s + 1) & mask;
        if (ids[s] == 0) {
            slots[s] = key;
            ids[s] = (uint32_t)++t->unique;
        }
        t->keys[i] = key;
        t->index_of[i] = ids[s] - 1;
    }
    free(slots);
    free(ids);
    free(raw);
    t->nodes = calloc(t->unique, sizeof *t->nodes);
    return true;
}

static void trace_free(struct trace *t) {
    free(t->keys);
    free(t->index_of);
    free(t->nodes);
}

/* Hit ratio in percent with room for `capacity` objects. */
static double replay(const struct trace *t, const struct fb_evict_ops *ops, uint64_t capacity) {
    struct fb_evict *e = ops->create(capacity * SIZE);
    uint64_t hits = 0, resident = 0;
    memset(t->nodes, 0, t->unique * sizeof *t->nodes);
    for (size_t i = 0; i < t->n; i++) {
        struct fb_evict_node *node = &t->nodes[t->index_of[i]];
        if (node->size > 0) {
            ops->hit(e, node);
            hits++;
            continue;
        }
        if (resident == capacity) {
            ops->victim(e)->size = 0;
            resident--;
        }
        *node = (struct fb_evict_node){.size = SIZE, .tag = (uint32_t)(mix(t->keys[i]) >> 32)};
        ops->insert(e, node);
        resident++;
    }
    ops->destroy(e);
    return 100.0 * (double)hits / (double)t->n;
}

static void hit_ratios_on_real_traces_equal_the_published_ones(void **state) {
    (void)state;
    enum { CAPACITY_MIN = 100, LRU_COLUMN = 4, S3FIFO_COLUMN = 10 };
    /* Beside the project, seen from its top or from a build folder in it. */
    const char *const dirs[] = {getenv("FOREBAY_TEST_DATA"), "../shared/data", "../../shared/data"}, *dir = NULL;
    char path[4096], line[1024], loaded[64] = "";
    FILE *f = NULL;
    for (size_t i = dirs[0] != NULL ? 0 : 1; f == NULL && i < (dirs[0] != NULL ? 1 : 3); i++) {
        dir = dirs[i];
        snprintf(path, sizeof path, "%s/traces/best_known.csv", dir);
        f = fopen(path, "r");
    }
    if (f == NULL) {
        print_message("# SKIPPED: no traces at %s (set FOREBAY_TEST_DATA)\n", dir);
        skip();
    }
    assert_non_null(fgets(line, sizeof line, f));
    struct trace t = {0};
    unsigned rows = 0;
    double s3fifo_gap = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        char *columns[32] = {0}, *save = line;
        for (int i = 0; i < 32 && save != NULL; i++)
            columns[i] = strsep(&save, ",");
        uint64_t capacity = strtoull(columns[2], NULL, 10);
        if (capacity < CAPACITY_MIN) /* a small queue of 1 to 7 objects is decided by rounding */
            continue;
        if (strcmp(loaded, columns[0]) != 0) {
            trace_free(&t);
            t = (struct trace){0};
            snprintf(loaded, sizeof loaded, "%s", columns[0]);
            assert_true(trace_load(dir, loaded, &t));
        }
        double lru_known = 100 * strtod(columns[LRU_COLUMN], NULL);
        double s3fifo_known = 100 * strtod(columns[S3FIFO_COLUMN], NULL);
        double lru = replay(&t, &fb_evict_lru, capacity), s3fifo = replay(&t, &fb_evict_s3fifo, capacity);
        print_message("# %-9s %6llu objects: lru %.2f (%.2f), s3-fifo %.2f (%.2f)\n", loaded,
                      (unsigned long long)capacity, lru, lru_known, s3fifo, s3fifo_known);
        assert_true(lru > lru_known - 0.05 && lru < lru_known + 0.05);
        assert_true(s3fifo > s3fifo_known - 0.7 && s3fifo < s3fifo_known + 0.7);
        s3fifo_gap += s3fifo - s3fifo_known;
        rows++;
    }
    print_message("# %u rows, s3-fifo %+.3f points on average\n", rows, s3fifo_gap / rows);
    assert_true(rows >= 12);
    trace_free(&t);
    fclose(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lru_plays_like_its_model),
        cmocka_unit_test(s3fifo_plays_like_its_model),
        cmocka_unit_test(freq_saturates_and_a_hit_moves_nothing),
        cmocka_unit_test(one_victim_costs_a_bounded_number_of_second_chances),
        cmocka_unit_test(a_wanted_entry_that_was_removed_comes_back_into_main),
        cmocka_unit_test(creation_fails_cleanly_when_memory_does),
        cmocka_unit_test(the_ghost_remembers_its_span_in_bytes_and_forgets_what_is_older),
        cmocka_unit_test(the_ghost_grows_to_its_bound_and_survives_without_memory),
        cmocka_unit_test(hit_ratios_on_real_traces_equal_the_published_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
