/* Shows what base/ promises, each part on its own: the hash against vectors made by a second implementation, the ring
 * against a counted model, buffers and hash values at their edges, statuses against their table, lock ranks by a child
 * process that must die, and the allocation seam by making every allocation of a call fail in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <forebay/forebay.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/value.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- hash -------------------------------------------------------------------------------------------------------- */

/* SipHash-1-3 of 00 01 02 … (n−1) for n = 0 … 63 under the key 00 01 … 0f. Computed with an implementation of its own
 * in another language, which itself gave the paper's SipHash-2-4 example and CPython's hash(bytes) under a zero key. */
static const uint64_t sip_1_3[64] = {
    0xabac0158050fc4dcu, 0xc9f49bf37d57ca93u, 0x82cb9b024dc7d44du, 0x8bf80ab8e7ddf7fbu,
    0xcf75576088d38328u, 0xdef9d52f49533b67u, 0xc50d2b50c59f22a7u, 0xd3927d989bb11140u,
    0x369095118d299a8eu, 0x25a48eb36c063de4u, 0x79de85ee92ff097fu, 0x70c118c1f94dc352u,
    0x78a384b157b4d9a2u, 0x306f760c1229ffa7u, 0x605aa111c0f95d34u, 0xd320d86d2a519956u,
    0xcc4fdd1a7d908b66u, 0x9cf2689063dbd80cu, 0x8ffc389cb473e63eu, 0xf21f9de58d297d1cu,
    0xc0dc2f46a6cce040u, 0xb992abfe2b45f844u, 0x7ffe7b9ba320872eu, 0x525a0e7fdae6c123u,
    0xf464aeb267349c8cu, 0x45cd5928705b0979u, 0x3a3e35e3ca9913a5u, 0xa91dc74e4ade3b35u,
    0xfb0bed02ef6cd00du, 0x88d93cb44ab1e1f4u, 0x540f11d643c5e663u, 0x2370dd1f8c21d1bcu,
    0x81157b6c16a7b60du, 0x4d54b9e57a8ff9bfu, 0x759f12781f2a753eu, 0xcea1a3bebf186b91u,
    0x2cf508d3ada26206u, 0xb6101c2da3c33057u, 0xb3f47496ae3a36a1u, 0x626b57547b108392u,
    0xc1d2363299e41531u, 0x667cc1923f1ad944u, 0x65704ffec8138825u, 0x24f280d1c28949a6u,
    0xc2ca1cedfaf8876bu, 0xc2164bfc9f042196u, 0xa16e9c9368b1d623u, 0x49fb169c8b5114fdu,
    0x9f3143f8df074c46u, 0xc6fdaf2412cc86b3u, 0x7eaf49d10a52098fu, 0x1cf313559d292f9au,
    0xc44a30dda2f41f12u, 0x36fae98943a71ed0u, 0x318fb34c73f0bce6u, 0xa27abf3670a7e980u,
    0xb4bcc0db243c6d75u, 0x23f8d852fdb71513u, 0x8f035f4da67d8a08u, 0xd89cd0e5b7e8f148u,
    0xf6f4e6bcf7a644eeu, 0xaec59ad80f1837f2u, 0xc3b2f6154b6694e0u, 0x9d199062b7bbb3a8u,
};

static void hash_equals_siphash_1_3(void **state) {
    (void)state;
    const struct fb_hash_key key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    unsigned char data[64];
    for (size_t n = 0; n < COUNT(sip_1_3); n++) {
        data[n] = (unsigned char)n;
        assert_true(fb_hash(&key, data, n) == sip_1_3[n]);
    }
}

static void hash_of_unaligned_bytes_is_the_same(void **state) {
    (void)state;
    const struct fb_hash_key key = {1, 2};
    char data[48];
    const char text[] = "user:1234567890:profile";
    for (size_t shift = 0; shift < 16; shift++) {
        memcpy(data + shift, text, sizeof text);
        assert_true(fb_hash(&key, data + shift, sizeof text) == fb_hash(&key, text, sizeof text));
    }
}

static void hash_depends_on_both_halves_of_the_key(void **state) {
    (void)state;
    const struct fb_hash_key a = {1, 2}, b = {3, 2}, c = {1, 3};
    assert_true(fb_hash(&a, "k", 1) != fb_hash(&b, "k", 1));
    assert_true(fb_hash(&a, "k", 1) != fb_hash(&c, "k", 1));
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

struct item {
    int number;
    struct fb_link link;
};

static void expect_numbers(struct fb_link *list, const int *numbers, size_t n) {
    size_t i = 0;
    for (struct fb_link *l = list->next; l != list; l = l->next, i++) {
        assert_true(i < n);
        assert_int_equal(fb_member_of(l, struct item, link)->number, numbers[i]);
        assert_true(l->next->prev == l && l->prev->next == l);
    }
    assert_int_equal(i, n);
}

static void list_keeps_order_at_both_ends(void **state) {
    (void)state;
    struct fb_link list = FB_LIST_INIT(list);
    struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    fb_list_push_back(&list, &items[1].link);
    fb_list_push_back(&list, &items[2].link);
    fb_list_push_front(&list, &items[0].link);
    fb_list_push_back(&list, &items[3].link);
    expect_numbers(&list, (const int[]){0, 1, 2, 3}, 4);
    fb_list_remove(&items[2].link);
    expect_numbers(&list, (const int[]){0, 1, 3}, 3);
    assert_ptr_equal(fb_list_pop_front(&list), &items[0].link);
    assert_ptr_equal(fb_list_pop_front(&list), &items[1].link);
    assert_ptr_equal(fb_list_pop_front(&list), &items[3].link);
    assert_null(fb_list_pop_front(&list));
    assert_true(fb_list_is_empty(&list));
}

static void removed_link_is_in_no_list_and_may_be_removed_again(void **state) {
    (void)state;
    struct fb_link list = FB_LIST_INIT(list);
    struct item a = {.number = 1}, b = {.number = 2};
    fb_list_push_back(&list, &a.link);
    fb_list_push_back(&list, &b.link);
    assert_true(fb_link_is_in_list(&a.link));
    fb_list_remove(&a.link);
    fb_list_remove(&a.link);
    assert_false(fb_link_is_in_list(&a.link));
    expect_numbers(&list, (const int[]){2}, 1);
}

static void append_moves_everything_and_empties_the_other(void **state) {
    (void)state;
    struct fb_link to = FB_LIST_INIT(to), from = FB_LIST_INIT(from);
    struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    fb_list_append(&to, &from);
    assert_true(fb_list_is_empty(&to));
    fb_list_push_back(&to, &items[0].link);
    fb_list_push_back(&from, &items[1].link);
    fb_list_push_back(&from, &items[2].link);
    fb_list_append(&to, &from);
    expect_numbers(&to, (const int[]){0, 1, 2}, 3);
    assert_true(fb_list_is_empty(&from));
    fb_list_push_back(&from, &items[3].link);
    expect_numbers(&from, (const int[]){3}, 1);
}

/* ---- buffers, values, hash values -------------------------------------------------------------------------------- */

static void buffer_grows_and_keeps_its_bytes(void **state) {
    (void)state;
    fb_buf buf = FB_BUF_INIT;
    for (int i = 0; i < 5000; i++) {
        char c = (char)i;
        assert_int_equal(fb_buf_append(&buf, &c, 1), FB_OK);
    }
    assert_int_equal(buf.len, 5000);
    assert_true(buf.cap >= buf.len);
    for (int i = 0; i < 5000; i++)
        assert_true(buf.data[i] == (char)i);
    fb_buf_free(&buf);
    assert_null(buf.data);
    fb_buf_free(&buf);
}

static void impossible_size_is_refused_and_changes_nothing(void **state) {
    (void)state;
    fb_buf buf = FB_BUF_INIT;
    assert_int_equal(fb_buf_append(&buf, "abc", 3), FB_OK);
    const fb_buf before = buf;
    assert_int_equal(fb_buf_reserve(&buf, SIZE_MAX), FB_NOMEM);
    assert_int_equal(fb_buf_reserve(&buf, SIZE_MAX - 3), FB_NOMEM);
    assert_memory_equal(&buf, &before, sizeof buf);
    assert_memory_equal(buf.data, "abc", 3);
    fb_buf_free(&buf);
}

static void failed_growth_leaves_the_buffer_as_it_was(void **state) {
    (void)state;
    fb_buf buf = FB_BUF_INIT;
    assert_int_equal(fb_buf_append(&buf, "abc", 3), FB_OK);
    const fb_buf before = buf;
    fb_mem_fail_after(0);
    assert_int_equal(fb_buf_reserve(&buf, buf.cap), FB_NOMEM);
    assert_memory_equal(&buf, &before, sizeof buf);
    assert_int_equal(fb_buf_reserve(&buf, buf.cap), FB_OK);
    fb_buf_free(&buf);
}

static void value_lives_until_its_last_reference(void **state) {
    (void)state;
    struct fb_value *v = fb_value_new(FB_KIND_STRING, "payload", 7);
    assert_non_null(v);
    assert_ptr_equal(fb_value_ref(v), v);
    fb_value_unref(v);
    assert_int_equal(fb_value_bytes(v).len, 7);
    assert_memory_equal(fb_value_bytes(v).data, "payload", 7);
    fb_value_unref(v);
    assert_null(fb_value_ref(NULL));
    fb_value_unref(NULL);
    assert_int_equal(fb_value_bytes(NULL).len, 0);
}

static void hash_value_gives_back_its_fields_in_order(void **state) {
    (void)state;
    fb_buf hash = FB_BUF_INIT;
    char big[300];
    memset(big, 'x', sizeof big);
    assert_int_equal(fb_hash_append(&hash, FB_STR("id"), FB_STR("42")), FB_OK);
    assert_int_equal(fb_hash_append(&hash, FB_STR(""), FB_STR("")), FB_OK);
    assert_int_equal(fb_hash_append(&hash, FB_STR("blob"), fb_bytes_of("a\0b", 3)), FB_OK);
    assert_int_equal(fb_hash_append(&hash, FB_STR("big"), fb_bytes_of(big, sizeof big)), FB_OK);
    fb_bytes bytes = fb_bytes_of(hash.data, hash.len), value;
    assert_int_equal(fb_hash_len(bytes), 4);
    fb_field field;
    size_t cursor = 0;
    const char *names[] = {"id", "", "blob", "big"};
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(fb_hash_next(bytes, &cursor, &field), 1);
        assert_int_equal(field.name.len, strlen(names[i]));
        assert_memory_equal(field.name.data, names[i], field.name.len);
    }
    assert_int_equal(fb_hash_next(bytes, &cursor, &field), 0);
    assert_int_equal(fb_hash_get(bytes, FB_STR("blob"), &value), FB_OK);
    assert_int_equal(value.len, 3);
    assert_memory_equal(value.data, "a\0b", 3);
    assert_int_equal(fb_hash_get(bytes, FB_STR("ID"), &value), FB_NOTFOUND);
    fb_buf_free(&hash);
}

/* Every prefix of a hash value is read without going past its end (the sanitizer build sees to the "past"), and ends
 * at the last whole field. */
static void cut_hash_value_ends_at_the_last_whole_field(void **state) {
    (void)state;
    fb_buf hash = FB_BUF_INIT;
    size_t ends[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fb_hash_append(&hash, FB_STR("name"), FB_STR("value")), FB_OK);
        ends[i] = hash.len;
    }
    for (size_t len = 0; len <= hash.len; len++) {
        char *copy = malloc(len > 0 ? len : 1);
        assert_non_null(copy);
        memcpy(copy, hash.data, len);
        size_t whole = 0;
        while (whole < COUNT(ends) && ends[whole] <= len)
            whole++;
        assert_int_equal(fb_hash_len(fb_bytes_of(copy, len)), whole);
        free(copy);
    }
    fb_buf_free(&hash);
}

static void lying_lengths_in_a_hash_value_are_not_followed(void **state) {
    (void)state;
    static const char lies[][12] = {
        "\xff\xff\xff\xff\x00\x00\x00\x00name",
        "\x00\x00\x00\x00\xff\xff\xff\xffname",
        "\x04\x00\x00\x00\xfd\xff\xff\xffname",
        "\x05\x00\x00\x00\x00\x00\x00\x00name",
    };
    for (size_t i = 0; i < COUNT(lies); i++)
        assert_int_equal(fb_hash_len(fb_bytes_of(lies[i], sizeof lies[i])), 0);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void every_status_has_a_name_a_text_and_a_number_of_its_own(void **state) {
    (void)state;
#define ROW(name, number, word, retry, text) {name, number, #name, word, retry},
    static const struct { fb_status status; int number; const char *name, *word; int retry; } rows[] = {
        FB_STATUS_MAP(ROW)
    };
#undef ROW
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(rows[i].status, rows[i].number);
        assert_string_equal(fb_status_name(rows[i].status), rows[i].name);
        assert_string_equal(fb_status_word(rows[i].status), rows[i].word);
        assert_int_equal(fb_status_retryable(rows[i].status), rows[i].retry);
        assert_true(strlen(fb_status_text(rows[i].status)) > 0);
        assert_null(strpbrk(rows[i].word, " \r\n"));
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(rows[k].number, rows[i].number);
    }
    assert_string_equal(fb_status_name((fb_status)12345), "FB_?");
}

static void error_is_filled_prefixed_and_cut_at_its_size(void **state) {
    (void)state;
    fb_err *err = malloc(sizeof *err); /* not on the stack: the sanitizer build then sees a byte too many */
    assert_non_null(err);
    assert_int_equal(fb_fail(err, FB_TIMEOUT, "no answer in %d ms", 500), FB_TIMEOUT);
    assert_int_equal(fb_err_prefix(err, "keyspace '%s': ", "user:{id}"), FB_TIMEOUT);
    assert_string_equal(err->text, "keyspace 'user:{id}': no answer in 500 ms");
    char long_text[2 * FB_ERR_TEXT_MAX];
    memset(long_text, 'y', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(fb_fail(err, FB_SOURCE, "%s", long_text), FB_SOURCE);
    assert_int_equal(strlen(err->text), FB_ERR_TEXT_MAX - 1);
    assert_int_equal(fb_err_prefix(err, "%s", long_text), FB_SOURCE);
    assert_int_equal(strlen(err->text), FB_ERR_TEXT_MAX - 1);
    assert_int_equal(fb_fail(NULL, FB_NOMEM, "x"), FB_NOMEM);
    assert_int_equal(fb_err_prefix(NULL, "x"), FB_OK);
    free(err);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static void take_both(enum fb_lock_rank first, enum fb_lock_rank second) {
    struct fb_lock a, b;
    fb_lock_init(&a, first);
    fb_lock_init(&b, second);
    fb_lock_acquire(&a);
    fb_lock_acquire(&b);
    fb_lock_release(&b);
    fb_lock_release(&a);
    fb_lock_finish(&b);
    fb_lock_finish(&a);
}

/* The signal that ended a child which took the two locks, or 0. */
static int signal_of_taking(enum fb_lock_rank first, enum fb_lock_rank second) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        take_both(first, second);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void only_ascending_ranks_may_be_taken(void **state) {
    (void)state;
#ifdef NDEBUG
    const int of_wrong_order = 0; /* a release build does not look */
#else
    const int of_wrong_order = SIGABRT;
#endif
    for (int first = 0; first < FB_LOCK_COUNT_; first++)
        for (int second = 0; second < FB_LOCK_COUNT_; second++)
            assert_int_equal(signal_of_taking((enum fb_lock_rank)first, (enum fb_lock_rank)second),
                             second > first ? 0 : of_wrong_order);
}

static void timed_wait_gives_the_lock_back_held(void **state) {
    (void)state;
    struct fb_lock lock;
    struct fb_cond cond;
    fb_lock_init(&lock, FB_LOCK_SHARD);
    fb_cond_init(&cond);
    fb_lock_acquire(&lock);
    fb_cond_wait_until(&cond, &lock, fb_clock_now()); /* already due: no waiting */
    fb_lock_release(&lock);
    take_both(FB_LOCK_SHARD, FB_LOCK_LANE); /* dies if the wait left the rank noted as held */
    fb_cond_finish(&cond);
    fb_lock_finish(&lock);
}

/* ---- memory, random numbers, time -------------------------------------------------------------------------------- */

static void exactly_the_named_allocation_fails(void **state) {
    (void)state;
    for (int n = 0; n < 4; n++) {
        fb_mem_fail_after(n);
        void *p[5];
        p[0] = fb_mem_alloc(8);
        p[1] = fb_mem_calloc(2, 8);
        p[2] = fb_mem_realloc(NULL, 8);
        p[3] = fb_mem_strdup("text");
        p[4] = fb_mem_alloc(8);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(p[i] == NULL, i == n);
            fb_mem_free(p[i]);
        }
    }
    fb_mem_fail_after(-1);
    void *p = fb_mem_alloc(0);
    assert_non_null(p);
    fb_mem_free(p);
    assert_null(fb_mem_strdup(NULL));
}

static void overflowing_product_is_refused(void **state) {
    (void)state;
    volatile size_t huge = SIZE_MAX / 2; /* volatile: the compiler would warn about the size it can see */
    assert_null(fb_mem_calloc(huge, 3));
}

static void generator_repeats_from_its_seed_and_stays_below(void **state) {
    (void)state;
    struct fb_rng a = {7}, b = {7}, zero = {0};
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(fb_rng_next(&a) == fb_rng_next(&b));
        uint64_t n = fb_rng_below(&a, 10);
        fb_rng_below(&b, 10);
        assert_true(n < 10);
        seen |= 1u << n;
    }
    assert_int_equal(seen, 0x3ff);
    assert_true(fb_rng_next(&zero) == 0xe220a8397b1dcdafu); /* the first number of SplitMix64 from seed 0 */
}

static void system_randomness_fills_every_byte(void **state) {
    (void)state;
    unsigned char sum[64] = {0}, draw[64];
    for (int i = 0; i < 64; i++) {
        fb_rng_system(draw, sizeof draw);
        for (size_t k = 0; k < sizeof draw; k++)
            sum[k] |= draw[k];
    }
    for (size_t k = 0; k < sizeof sum; k++)
        assert_int_equal(sum[k], 0xff); /* wrong by chance once in 2^55 */
}

static void instants_saturate_instead_of_wrapping(void **state) {
    (void)state;
    const fb_instant late = {INT64_MAX - 5}, early = {INT64_MIN + 5};
    assert_true(fb_after(late, (fb_span){10}).ns == INT64_MAX);
    assert_true(fb_after(early, (fb_span){-10}).ns == INT64_MIN);
    assert_true(fb_after(late, (fb_span){-10}).ns == INT64_MAX - 15);
    assert_true(fb_reached((fb_instant){5}, (fb_instant){5}));
    assert_false(fb_before((fb_instant){5}, (fb_instant){5}));
    assert_false(fb_reached((fb_instant){INT64_MAX - 1}, FB_NEVER));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_equals_siphash_1_3),
        cmocka_unit_test(hash_of_unaligned_bytes_is_the_same),
        cmocka_unit_test(hash_depends_on_both_halves_of_the_key),
        cmocka_unit_test(list_keeps_order_at_both_ends),
        cmocka_unit_test(removed_link_is_in_no_list_and_may_be_removed_again),
        cmocka_unit_test(append_moves_everything_and_empties_the_other),
        cmocka_unit_test(buffer_grows_and_keeps_its_bytes),
        cmocka_unit_test(impossible_size_is_refused_and_changes_nothing),
        cmocka_unit_test(failed_growth_leaves_the_buffer_as_it_was),
        cmocka_unit_test(value_lives_until_its_last_reference),
        cmocka_unit_test(hash_value_gives_back_its_fields_in_order),
        cmocka_unit_test(cut_hash_value_ends_at_the_last_whole_field),
        cmocka_unit_test(lying_lengths_in_a_hash_value_are_not_followed),
        cmocka_unit_test(every_status_has_a_name_a_text_and_a_number_of_its_own),
        cmocka_unit_test(error_is_filled_prefixed_and_cut_at_its_size),
        cmocka_unit_test(only_ascending_ranks_may_be_taken),
        cmocka_unit_test(timed_wait_gives_the_lock_back_held),
        cmocka_unit_test(exactly_the_named_allocation_fails),
        cmocka_unit_test(overflowing_product_is_refused),
        cmocka_unit_test(generator_repeats_from_its_seed_and_stays_below),
        cmocka_unit_test(system_randomness_fills_every_byte),
        cmocka_unit_test(instants_saturate_instead_of_wrapping),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
