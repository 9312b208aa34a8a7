/* The journal with its threads, on real files: what is acknowledged comes back, in order, whole units only; the bounds
 * refuse; the lock keeps others out. What crashes do to it is in test_journal_crash.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants these four first */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "journal/files.h"
#include "journal/journal.h"

/* Counts completions; the test waits for a number of them. */
struct acks {
    struct fb_lock lock;
    struct fb_cond cond;
    uint64_t n, last_seq;
    bool in_order;
    bool is_held; /* the journal's thread stays in the completion */
    fb_status worst;
};

static void acks_init(struct acks *acks) {
    *acks = (struct acks){.in_order = true};
    fb_lock_init(&acks->lock, FB_LOCK_PARK);
    fb_cond_init(&acks->cond);
}

static void acked(void *user, fb_status status, uint64_t first_seq, uint64_t last_seq) {
    struct acks *acks = user;
    fb_lock_acquire(&acks->lock);
    acks->n++;
    acks->in_order &= first_seq == acks->last_seq + 1 || first_seq == last_seq;
    acks->last_seq = last_seq;
    if (status < acks->worst)
        acks->worst = status;
    fb_cond_broadcast(&acks->cond);
    while (acks->is_held)
        fb_cond_wait(&acks->cond, &acks->lock);
    fb_lock_release(&acks->lock);
}

static void await(struct acks *acks, uint64_t n) {
    fb_lock_acquire(&acks->lock);
    while (acks->n < n)
        fb_cond_wait(&acks->cond, &acks->lock);
    fb_lock_release(&acks->lock);
}

static char *scratch(void) {
    static char dir[64];
    (void)snprintf(dir, sizeof dir, "/tmp/fb-journal-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static bool remove_one(void *user, const char *name) {
    struct fb_files *files = user;
    if (name[0] != '.')
        assert_int_equal(files->ops->unlink(files, name), 0);
    return true;
}

static void clear(const char *dir) {
    struct fb_files *files;
    assert_int_equal(fb_files_open(dir, false, &files, NULL), FB_OK);
    assert_int_equal(files->ops->list(files, remove_one, files), 0);
    fb_files_finish(files);
    assert_int_equal(rmdir(dir), 0);
}

/* What recovery brings: the payload of record n is n as text, of a length that depends on it. */
struct found { uint64_t n, first, last, units; bool good; };

static void text_of(uint64_t seq, char *out, size_t size) {
    (void)snprintf(out, size, "value %*d", (int)(seq % 200), (int)seq);
}

static fb_status find(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    (void)reterr;
    struct found *found = user;
    char text[256];
    text_of(entry->seq, text, sizeof text);
    if (found->n++ == 0)
        found->first = entry->seq;
    else
        found->good &= entry->seq == found->last + 1;
    found->last = entry->seq;
    found->units += !entry->more;
    found->good &= entry->payload.len == strlen(text) && memcmp(entry->payload.data, text, strlen(text)) == 0 &&
                   entry->key.len == 3 && memcmp(entry->key.data, "key", 3) == 0 && entry->type == entry->seq % 256;
    return FB_OK;
}

static struct fb_journal *open_journal(const struct fb_journal_options *options, uint64_t applied_seq,
                                       struct found *found) {
    struct fb_journal *journal;
    struct found nothing;
    fb_err err = {.text = ""};
    found = found != NULL ? found : &nothing;
    *found = (struct found){.good = true};
    fb_status status = fb_journal_open(options, &journal, &err);
    if (status == FB_OK)
        status = fb_journal_recover(journal, applied_seq, find, found, &err);
    if (status != FB_OK)
        fail_msg("%s: %s", fb_status_name(status), err.text);
    return journal;
}

/* Units of 1, 2, 3 records in turn, numbered from `seq`; waits where the queue is full. */
static uint64_t append_many(struct fb_journal *journal, struct acks *acks, uint64_t seq, uint64_t units) {
    char texts[3][256];
    struct fb_journal_record records[3];
    for (uint64_t u = 0; u < units; u++) {
        size_t n = u % 3 + 1;
        for (size_t i = 0; i < n; i++) {
            text_of(seq + i, texts[i], sizeof texts[i]);
            records[i] = (struct fb_journal_record){(uint8_t)((seq + i) % 256), FB_STR("key"), FB_STR(texts[i])};
        }
        fb_status status;
        while ((status = fb_journal_append(journal, records, n, acked, acks, NULL)) == FB_BUSY)
            await(acks, u);
        assert_int_equal(status, FB_PENDING);
        seq += n;
    }
    return seq;
}

static void what_is_acknowledged_comes_back(void **state) {
    (void)state;
    enum { UNITS = 30000 };
    struct acks acks;
    struct found found;
    struct fb_journal_options options = {.dir = scratch(), .segment_bytes = 1 << 20};
    for (int durability = FB_JOURNAL_ALWAYS; durability <= FB_JOURNAL_EVERYSEC; durability++) {
        options.durability = (enum fb_journal_durability)durability;
        acks_init(&acks);
        struct fb_journal *journal = open_journal(&options, 0, NULL);
        uint8_t uuid[FB_JOURNAL_UUID_BYTES];
        memcpy(uuid, fb_journal_uuid(journal), sizeof uuid);
        struct fb_journal_stats stats;
        fb_journal_stats(journal, &stats);
        acks.last_seq = stats.written_seq;
        uint64_t next = append_many(journal, &acks, stats.written_seq + 1, UNITS);
        await(&acks, UNITS);
        assert_true(acks.in_order);
        assert_int_equal(acks.worst, FB_OK);
        assert_int_equal(acks.last_seq, next - 1);
        assert_int_equal(fb_journal_close(journal, NULL), FB_OK);

        journal = open_journal(&options, next - 1000, &found);
        assert_memory_equal(uuid, fb_journal_uuid(journal), sizeof uuid);
        assert_true(found.good);
        assert_int_equal(found.first, next - 999);
        assert_int_equal(found.last, next - 1);
        assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    }
    clear(options.dir);
}

static void numbers_go_on_behind_the_database(void **state) {
    (void)state;
    struct acks acks;
    struct found found;
    struct fb_journal_options options = {.dir = scratch(), .segment_bytes = 1 << 16};
    acks_init(&acks);
    struct fb_journal *journal = open_journal(&options, 500, &found);
    assert_int_equal(append_many(journal, &acks, 501, 10), 520);
    await(&acks, 10);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    journal = open_journal(&options, 600, &found); /* everysec lost what the database had got already */
    assert_int_equal(found.n, 0);
    append_many(journal, &acks, 601, 1);
    await(&acks, 11);
    assert_int_equal(acks.last_seq, 601);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    journal = open_journal(&options, 510, &found); /* the database went back; 520 to 600 never were */
    assert_true(found.n == 10 && found.first == 511 && found.last == 601);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);

    fb_err err;
    assert_int_equal(fb_journal_open(&options, &journal, &err), FB_OK);
    assert_int_equal(fb_journal_recover(journal, 400, find, &found, &err), FB_CONFLICT); /* before all we know */
    assert_string_equal(err.text,
                        "the database has the records up to 400, the journal begins with 501: those in between "
                        "are in neither");
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    options.accepts_gap = true;
    journal = open_journal(&options, 400, &found);
    assert_int_equal(found.first, 501);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    clear(options.dir);
}

static void one_process_has_it(void **state) {
    (void)state;
    struct fb_journal_options options = {.dir = scratch(), .segment_bytes = 4096};
    struct fb_journal *journal = open_journal(&options, 0, NULL), *other;
    fb_err err;
    assert_int_equal(fb_journal_open(&options, &other, &err), FB_BUSY);
    assert_string_equal(err.text, "another process has this journal");
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    clear(options.dir);
}

static void the_bounds_refuse_and_nothing_is_lost(void **state) {
    (void)state;
    struct acks acks;
    struct found found;
    struct fb_journal_options options = {
        .dir = scratch(), .segment_bytes = 8192, .queue_bytes = 3000, .queue_records = 20};
    static char large[8192];
    fb_err err;
    acks_init(&acks);
    struct fb_journal *journal = open_journal(&options, 0, NULL);
    struct fb_journal_record record = {1, FB_STR("key"), fb_bytes_of(large, sizeof large)};
    assert_int_equal(fb_journal_append(journal, &record, 1, acked, &acks, &err), FB_BADVALUE);
    assert_int_equal(fb_journal_append(journal, &record, 0, acked, &acks, &err), FB_INVALID);
    acks.is_held = true;
    uint64_t next = append_many(journal, &acks, 1, 1);
    await(&acks, 1); /* the writer is busy with the first one's completion: the others wait */
    record.payload = FB_STR("short");
    struct acks others;
    acks_init(&others);
    for (unsigned i = 0; i < 20; i++, next++)
        assert_int_equal(fb_journal_append(journal, &record, 1, acked, &others, &err), FB_PENDING);
    assert_int_equal(fb_journal_append(journal, &record, 1, acked, &others, &err), FB_BUSY);
    assert_string_equal(err.text, "too much waits to be written to the journal");
    fb_lock_acquire(&acks.lock);
    acks.is_held = false;
    fb_cond_broadcast(&acks.cond);
    fb_lock_release(&acks.lock);
    await(&others, 20);
    struct fb_journal_stats stats;
    fb_journal_stats(journal, &stats);
    assert_true(stats.busy == 1 && stats.queued_records == 0 && stats.queued_bytes == 0 &&
                stats.synced_seq == next - 1);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    journal = open_journal(&options, 0, &found);
    assert_true(found.n == 21 && found.last == next - 1);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    clear(options.dir);
}

static fb_status measure(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    (void)reterr;
    *(size_t *)user = entry->payload.len;
    return FB_OK;
}

static void a_unit_larger_than_a_group_is_a_group_of_its_own(void **state) {
    (void)state;
    enum { LARGE = 3 * FB_JOURNAL_GROUP_BYTES };
    struct acks acks;
    struct fb_journal_options options = {.dir = scratch(), .segment_bytes = 8 << 20};
    static char large[LARGE]; /* of zeros: each of its sectors needs a note */
    size_t found = 0;
    acks_init(&acks);
    struct fb_journal *journal = open_journal(&options, 0, NULL);
    struct fb_journal_record record = {1, FB_STR("key"), fb_bytes_of(large, sizeof large)};
    assert_int_equal(fb_journal_append(journal, &record, 1, acked, &acks, NULL), FB_PENDING);
    await(&acks, 1);
    assert_int_equal(acks.worst, FB_OK);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    assert_int_equal(fb_journal_open(&options, &journal, NULL), FB_OK);
    assert_int_equal(fb_journal_recover(journal, 0, measure, &found, NULL), FB_OK);
    assert_int_equal(found, LARGE);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    clear(options.dir);
}

static void what_the_database_has_is_deleted(void **state) {
    (void)state;
    struct acks acks;
    struct fb_journal_options options = {.dir = scratch(), .segment_bytes = 8192, .keep_bytes = 4 * 8192};
    acks_init(&acks);
    struct fb_journal *journal = open_journal(&options, 0, NULL);
    struct fb_journal_stats stats = {0};
    uint64_t next = append_many(journal, &acks, 1, 500);
    await(&acks, 500);
    fb_journal_stats(journal, &stats);
    assert_true(stats.segments > 8 && stats.first_seq == 1);
    fb_journal_release(journal, next - 1);
    append_many(journal, &acks, next, 1);
    await(&acks, 501);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK); /* the keeper deletes before it ends */
    assert_int_equal(fb_journal_open(&options, &journal, NULL), FB_OK);
    fb_journal_stats(journal, &stats);
    assert_true(stats.first_seq > 1 && stats.first_seq < next); /* known before recovery */
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    clear(options.dir);
}

static void a_sync_comes_after_what_was_appended_before(void **state) {
    (void)state;
    struct acks acks;
    struct fb_journal_options options = {.dir = scratch(), .segment_bytes = 8192, .durability = FB_JOURNAL_EVERYSEC};
    acks_init(&acks);
    struct fb_journal *journal = open_journal(&options, 0, NULL);
    append_many(journal, &acks, 1, 3);
    assert_int_equal(fb_journal_sync(journal, acked, &acks, NULL), FB_PENDING);
    await(&acks, 4);
    struct fb_journal_stats stats;
    fb_journal_stats(journal, &stats);
    assert_int_equal(stats.synced_seq, 6);
    assert_int_equal(acks.last_seq, 6);
    assert_int_equal(acks.worst, FB_OK);
    assert_int_equal(fb_journal_close(journal, NULL), FB_OK);
    clear(options.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_acknowledged_comes_back),
        cmocka_unit_test(numbers_go_on_behind_the_database),
        cmocka_unit_test(one_process_has_it),
        cmocka_unit_test(the_bounds_refuse_and_nothing_is_lost),
        cmocka_unit_test(a_unit_larger_than_a_group_is_a_group_of_its_own),
        cmocka_unit_test(what_the_database_has_is_deleted),
        cmocka_unit_test(a_sync_comes_after_what_was_appended_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
