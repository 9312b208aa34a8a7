/* The journal's format: checksums by any way are the same, groups come back whatever zeros they hold, and version 1 is
 * written and read byte for byte as the file in journal-v1/ has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants these four first */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/rng.h"
#include "journal/files.h"
#include "journal/format.h"
#include "journal/reader.h"

#define GOLDEN "tests/unit/journal-v1"

static void checksums_are_crc32c(void **state) {
    (void)state;
    static const struct { const char *text; uint32_t crc;
    } rows[] = {{"", 0},
                {"a", 0xc1d04330},
                {"123456789", 0xe3069283},
                {"The quick brown fox jumps over the lazy dog", 0x22620404}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(fb_crc32c(0, rows[i].text, strlen(rows[i].text)), rows[i].crc);
        assert_int_equal(fb_crc32c_table(0, rows[i].text, strlen(rows[i].text)), rows[i].crc);
    }
    uint8_t zeros[32] = {0}, bytes[300];
    assert_int_equal(fb_crc32c(0, zeros, sizeof zeros), 0x8a9136aa); /* RFC 3720, B.4 */
    struct fb_rng rng = {1};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)fb_rng_next(&rng);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; len + from <= sizeof bytes; len++) {
            uint32_t whole = fb_crc32c(7, bytes + from, len);
            assert_int_equal(whole, fb_crc32c_table(7, bytes + from, len));
            assert_int_equal(fb_crc32c_before(whole, bytes + from, len), 7);
            assert_int_equal(whole,
                             fb_crc32c(fb_crc32c(7, bytes + from, len / 3), bytes + from + len / 3, len - len / 3));
        }
}

/* A group at `at` of one record with `len` bytes, of which those from `from` to `to` are zero. */
static void make_group(fb_buf *group, uint64_t at, size_t len, size_t from, size_t to, struct fb_group_head *ret_head) {
    static const char room[FB_GROUP_HEAD];
    uint8_t *payload = malloc(len + 1);
    memset(payload, 'x', len);
    if (from < to)
        memset(payload + from, 0, to - from);
    group->len = 0;
    assert_int_equal(fb_buf_append(group, room, sizeof room), FB_OK);
    assert_int_equal(fb_record_put(group, 3, false, FB_STR("k"), fb_bytes_of((char *)payload, len)), FB_OK);
    *ret_head = (struct fb_group_head){.kind = FB_GROUP_DATA, .first_seq = 9, .count = 1, .at = at, .synced = at};
    assert_int_equal(fb_group_seal(group, ret_head, /* seed */ 5), FB_OK);
    free(payload);
}

static void no_sector_of_a_group_is_zero_and_all_comes_back(void **state) {
    (void)state;
    fb_buf group = FB_BUF_INIT;
    struct fb_group_head made, head;
    struct fb_record_head record;
    for (uint64_t at = FB_SECTOR; at < 2 * FB_SECTOR; at += FB_GROUP_ALIGN)
        for (size_t len = 0; len < 1700; len += 1 + len / 9)
            for (size_t from = 0; from <= len; from += 1 + len / 5)
                for (size_t to = from; to <= len; to += 1 + len / 5) {
                    make_group(&group, at, len, from, to, &made);
                    uint64_t used = fb_group_used(&made);
                    assert_true(group.len % FB_GROUP_ALIGN == 0 && group.len >= used &&
                                group.len <= fb_group_most(made.length));
                    assert_false(fb_group_has_hole((uint8_t *)group.data, at, used));
                    assert_true(fb_group_head_get(&head, 5, at, (uint8_t *)group.data));
                    assert_false(fb_group_head_get(&head, 6, at, (uint8_t *)group.data));
                    assert_false(fb_group_head_get(&head, 5, at + FB_GROUP_ALIGN, (uint8_t *)group.data));
                    assert_true(fb_group_head_get(&head, 5, at, (uint8_t *)group.data));
                    assert_true(fb_group_unseal((uint8_t *)group.data, &head, 5));
                    fb_bytes records = fb_bytes_of(group.data + FB_GROUP_HEAD, head.length), key, payload;
                    size_t cursor = 0;
                    bool good;
                    assert_true(fb_record_get(records, &cursor, &record, &key, &payload, &good));
                    assert_true(good && cursor == records.len && payload.len == len && record.type == 3);
                    for (size_t i = 0; i < len; i++)
                        assert_int_equal(payload.data[i], i >= from && i < to ? 0 : 'x');
                }
    fb_buf_free(&group);
}

enum { GOLDEN_BYTES = 4096 };

static void write_golden(uint8_t out[GOLDEN_BYTES]) {
    struct fb_segment_head segment = {.version = FB_FORMAT_VERSION,
                                      .epoch = 3,
                                      .first_seq = 42,
                                      .follows = 40,
                                      .salt = 0x0123456789abcdef,
                                      .bytes = GOLDEN_BYTES,
                                      .created_us = 1764000000000000};
    for (int i = 0; i < FB_UUID; i++)
        segment.uuid[i] = (uint8_t)(16 * i + 1);
    memset(out, 0, GOLDEN_BYTES);
    fb_segment_head_put(&segment, out);
    uint32_t seed = fb_format_seed(segment.salt);
    static const char room[FB_GROUP_HEAD], zeros[1500];
    fb_buf group = FB_BUF_INIT;
    assert_int_equal(fb_buf_append(&group, room, sizeof room), FB_OK);
    assert_int_equal(fb_record_put(&group, 1, true, FB_STR("user:1"), FB_STR("first")), FB_OK);
    assert_int_equal(fb_record_put(&group, 2, false, FB_STR("user:2"), fb_bytes_of(zeros, sizeof zeros)), FB_OK);
    struct fb_group_head head = {
        .kind = FB_GROUP_DATA, .first_seq = 42, .count = 2, .at = FB_SECTOR, .synced = FB_SECTOR};
    assert_int_equal(fb_group_seal(&group, &head, seed), FB_OK);
    memcpy(out + FB_SECTOR, group.data, group.len);
    uint64_t end = fb_group_end(&head), at = fb_round_up(end, FB_SECTOR);
    head = (struct fb_group_head){
        .kind = FB_GROUP_MARK, .first_seq = 44, .gap = at - end, .at = at, .synced = end, .crc = seed};
    fb_group_head_put(&head, seed, out + at);
    fb_buf_free(&group);
}

static void version_1_is_written_as_ever(void **state) {
    (void)state;
    uint8_t made[GOLDEN_BYTES], golden[GOLDEN_BYTES];
    write_golden(made);
    FILE *file = fopen(GOLDEN "/00000000000000000042.seg", "rb");
    assert_non_null(file);
    assert_int_equal(fread(golden, 1, sizeof golden, file), sizeof golden);
    assert_int_equal(fgetc(file), EOF);
    (void)fclose(file);
    assert_memory_equal(made, golden, sizeof golden);
}

static void version_1_is_read_as_ever(void **state) {
    (void)state;
    struct fb_files *files;
    struct fb_reader reader;
    fb_err err;
    assert_int_equal(fb_files_open(GOLDEN, false, &files, &err), FB_OK);
    assert_int_equal(fb_reader_open(&reader, files, "00000000000000000042.seg"), FB_READ_END);
    assert_true(reader.head.first_seq == 42 && reader.head.follows == 40 && reader.head.epoch == 3 &&
                reader.head.uuid[1] == 17);
    assert_int_equal(fb_reader_next(&reader), FB_READ_GROUP);
    struct fb_record_head head;
    fb_bytes key, payload;
    size_t cursor = 0;
    bool good;
    assert_true(fb_record_get(reader.records, &cursor, &head, &key, &payload, &good));
    assert_true(good && head.more && head.type == 1 && payload.len == 5 && memcmp(payload.data, "first", 5) == 0);
    assert_true(fb_record_get(reader.records, &cursor, &head, &key, &payload, &good));
    assert_true(good && !head.more && head.type == 2 && payload.len == 1500 && fb_is_zero(payload.data, 1500));
    assert_int_equal(fb_reader_next(&reader), FB_READ_MARK);
    assert_int_equal(fb_reader_next(&reader), FB_READ_END);
    assert_int_equal(reader.next_seq, 44);
    fb_reader_close(&reader);
    fb_files_finish(files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_crc32c),
        cmocka_unit_test(no_sector_of_a_group_is_zero_and_all_comes_back),
        cmocka_unit_test(version_1_is_written_as_ever),
        cmocka_unit_test(version_1_is_read_as_ever),
    };
    if (getenv("FOREBAY_WRITE_GOLDEN") != NULL) { /* for a new version, never for this one */
        uint8_t made[GOLDEN_BYTES];
        write_golden(made);
        return fwrite(made, 1, sizeof made, stdout) != sizeof made;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
