/* Bytes of the journal's format, there and back. No file, no state. */
#include "journal/format.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/hash.h"

#define SEGMENT_MAGIC "FOREBAYJ"
#define GROUP_MAGIC "FBgr"

/* Where the fields lie. */
enum {
    S_VERSION = 8, S_UUID = 16, S_EPOCH = 32, S_FIRST = 40, S_FOLLOWS = 48, S_SALT = 56, S_BYTES = 64, S_CREATED = 72,
    S_CRC = 508,
    G_KIND = 4, G_GAP = 6, G_FIRST = 8, G_COUNT = 16, G_LENGTH = 20, G_NOTES = 24, G_AT = 28, G_SYNCED = 32,
    G_PAYLOAD_CRC = 36, G_CRC = 60,
    R_CHECK = 0, R_KEY = 4, R_PAYLOAD = 8, R_TYPE = 12, R_MORE = 13,
};

static void put(uint8_t *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *in, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | in[i];
    return value;
}
static uint32_t get32(const uint8_t *in) { return (uint32_t)get(in, 4); }

bool fb_is_zero(const void *data, size_t len) {
    const char *p = data;
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

void fb_segment_head_put(const struct fb_segment_head *head, uint8_t out[FB_SEGMENT_HEAD]) {
    memset(out, 0, FB_SEGMENT_HEAD);
    memcpy(out, SEGMENT_MAGIC, sizeof SEGMENT_MAGIC - 1);
    put(out + S_VERSION, head->version, 4);
    memcpy(out + S_UUID, head->uuid, FB_UUID);
    put(out + S_EPOCH, head->epoch, 8);
    put(out + S_FIRST, head->first_seq, 8);
    put(out + S_FOLLOWS, head->follows, 8);
    put(out + S_SALT, head->salt, 8);
    put(out + S_BYTES, head->bytes, 8);
    put(out + S_CREATED, (uint64_t)head->created_us, 8);
    put(out + S_CRC, fb_crc32c(0, out, S_CRC), 4);
}

const char *fb_segment_head_get(struct fb_segment_head *ret_head, const uint8_t in[FB_SEGMENT_HEAD]) {
    if (memcmp(in, SEGMENT_MAGIC, sizeof SEGMENT_MAGIC - 1) != 0)
        return "does not begin as a segment does";
    if (get32(in + S_CRC) != fb_crc32c(0, in, S_CRC))
        return "the checksum of the head is wrong";
    if (get32(in + S_VERSION) != FB_FORMAT_VERSION)
        return "of a version that this program does not know";
    struct fb_segment_head head = {
        .version = get32(in + S_VERSION), .epoch = get(in + S_EPOCH, 8), .first_seq = get(in + S_FIRST, 8),
        .follows = get(in + S_FOLLOWS, 8), .salt = get(in + S_SALT, 8), .bytes = get(in + S_BYTES, 8),
        .created_us = (int64_t)get(in + S_CREATED, 8),
    };
    memcpy(head.uuid, in + S_UUID, FB_UUID);
    if (head.first_seq <= head.follows)
        return "begins before the end of what it follows";
    *ret_head = head;
    return NULL;
}

uint32_t fb_format_seed(uint64_t salt) {
    uint8_t bytes[8];
    put(bytes, salt, 8);
    return fb_crc32c(0, bytes, sizeof bytes);
}

uint32_t fb_format_seed_of(const uint8_t group_head[FB_GROUP_HEAD]) {
    return fb_crc32c_before(get32(group_head + G_CRC), group_head, G_CRC);
}

void fb_group_head_put(const struct fb_group_head *head, uint32_t seed, uint8_t out[FB_GROUP_HEAD]) {
    assert(head->at % FB_GROUP_ALIGN == 0 && head->synced % FB_GROUP_ALIGN == 0);
    memset(out, 0, FB_GROUP_HEAD);
    memcpy(out, GROUP_MAGIC, sizeof GROUP_MAGIC - 1);
    put(out + G_KIND, head->kind, 2);
    put(out + G_GAP, head->gap, 2);
    put(out + G_FIRST, head->first_seq, 8);
    put(out + G_COUNT, head->count, 4);
    put(out + G_LENGTH, head->length, 4);
    put(out + G_NOTES, head->notes, 4);
    put(out + G_AT, head->at / FB_GROUP_ALIGN, 4);
    put(out + G_SYNCED, head->synced / FB_GROUP_ALIGN, 4);
    put(out + G_PAYLOAD_CRC, head->crc, 4);
    put(out + G_CRC, fb_crc32c(seed, out, G_CRC), 4);
}

bool fb_group_head_get(struct fb_group_head *ret_head, uint32_t seed, uint64_t at, const uint8_t in[FB_GROUP_HEAD]) {
    if (memcmp(in, GROUP_MAGIC, sizeof GROUP_MAGIC - 1) != 0 || get32(in + G_CRC) != fb_crc32c(seed, in, G_CRC))
        return false;
    struct fb_group_head head = {
        .kind = (enum fb_group_kind)get(in + G_KIND, 2), .first_seq = get(in + G_FIRST, 8), .gap = get(in + G_GAP, 2),
        .count = get32(in + G_COUNT), .length = get32(in + G_LENGTH), .notes = get32(in + G_NOTES),
        .at = get(in + G_AT, 4) * FB_GROUP_ALIGN, .synced = get(in + G_SYNCED, 4) * FB_GROUP_ALIGN,
        .crc = get32(in + G_PAYLOAD_CRC),
    };
    if (head.at != at || head.synced > at || head.notes > head.length / FB_SECTOR + 2)
        return false;
    *ret_head = head;
    return true;
}

static uint64_t notes_offset(uint32_t length) { return fb_round_up(FB_GROUP_HEAD + (uint64_t)length, FB_NOTE); }

uint64_t fb_group_used(const struct fb_group_head *head) {
    return head->notes > 0 ? notes_offset(head->length) + (uint64_t)head->notes * FB_NOTE
                           : FB_GROUP_HEAD + (uint64_t)head->length;
}

/* Where sector `index` of a group at `at` begins and ends, as offsets in the group of `len` bytes. */
static void sector_of(uint64_t at, uint64_t len, uint64_t index, uint64_t *ret_begin, uint64_t *ret_end) {
    uint64_t lead = at % FB_SECTOR;
    uint64_t begin = index * FB_SECTOR, end = begin + FB_SECTOR;
    *ret_begin = index == 0 ? 0 : begin - lead;
    *ret_end = end - lead < len ? end - lead : len;
}
static uint64_t sectors_of(uint64_t at, uint64_t len) { return (at % FB_SECTOR + len + FB_SECTOR - 1) / FB_SECTOR; }

bool fb_group_has_hole(const uint8_t *group, uint64_t at, uint64_t used) {
    uint64_t begin, end;
    for (uint64_t i = 0, n = sectors_of(at, used); i < n; i++) {
        sector_of(at, used, i, &begin, &end);
        if (fb_is_zero(group + begin, end - begin))
            return true;
    }
    return false;
}

fb_status fb_group_seal(fb_buf *group, struct fb_group_head *head, uint32_t seed) {
    assert(group->len >= FB_GROUP_HEAD && group->len - FB_GROUP_HEAD <= UINT32_MAX);
    head->length = (uint32_t)(group->len - FB_GROUP_HEAD);
    head->notes = 0;
    uint64_t most = fb_group_most(head->length);
    if (fb_buf_reserve(group, most - group->len) != FB_OK)
        return FB_NOMEM;
    uint8_t *bytes = (uint8_t *)group->data;
    memset(bytes + group->len, 0, most - group->len);
    uint64_t begin, end;
    for (uint64_t i = 1, n = sectors_of(head->at, group->len); i < n; i++) {
        sector_of(head->at, group->len, i, &begin, &end);
        if (!fb_is_zero(bytes + begin, end - begin))
            continue;
        bytes[begin] = 0xff; /* not 1: no flip of one bit makes it a hole */
        put(bytes + notes_offset(head->length) + (uint64_t)head->notes++ * FB_NOTE, i, FB_NOTE);
    }
    uint64_t used = fb_group_used(head);
    head->crc = fb_crc32c(seed, bytes + FB_GROUP_HEAD, used - FB_GROUP_HEAD);
    fb_group_head_put(head, seed, bytes);
    group->len = fb_round_up(used, FB_GROUP_ALIGN);
    assert(group->len <= most && !fb_group_has_hole(bytes, head->at, used));
    return FB_OK;
}

bool fb_group_unseal(uint8_t *group, const struct fb_group_head *head, uint32_t seed) {
    uint64_t used = fb_group_used(head), begin, end;
    if (fb_crc32c(seed, group + FB_GROUP_HEAD, used - FB_GROUP_HEAD) != head->crc)
        return false;
    uint64_t n = sectors_of(head->at, FB_GROUP_HEAD + (uint64_t)head->length);
    for (uint32_t i = 0; i < head->notes; i++) {
        uint32_t sector = get32(group + notes_offset(head->length) + (uint64_t)i * FB_NOTE);
        if (sector == 0 || sector >= n)
            return false;
        sector_of(head->at, FB_GROUP_HEAD + (uint64_t)head->length, sector, &begin, &end);
        group[begin] = 0;
    }
    return true;
}

/* No CRC: see format.h. */
static uint32_t check_of(const uint8_t *bytes, uint64_t len) {
    static const struct fb_hash_key key = {0x4642726563303031, 0x4642726563303032};
    return (uint32_t)fb_hash(&key, bytes, len);
}

fb_status fb_record_put(fb_buf *group, uint8_t type, bool more, fb_bytes key, fb_bytes payload) {
    uint64_t bytes = fb_record_bytes(key, payload);
    if (bytes > FB_SEGMENT_BYTES_MAX)
        return FB_BADVALUE;
    if (fb_buf_reserve(group, bytes) != FB_OK)
        return FB_NOMEM;
    uint8_t *out = (uint8_t *)group->data + group->len;
    memset(out, 0, FB_RECORD_HEAD);
    put(out + R_KEY, key.len, 4);
    put(out + R_PAYLOAD, payload.len, 4);
    out[R_TYPE] = type;
    out[R_MORE] = more;
    if (key.len > 0)
        memcpy(out + FB_RECORD_HEAD, key.data, key.len);
    if (payload.len > 0)
        memcpy(out + FB_RECORD_HEAD + key.len, payload.data, payload.len);
    put(out + R_CHECK, check_of(out + R_KEY, bytes - R_KEY), 4);
    group->len += bytes;
    return FB_OK;
}

bool fb_record_get(fb_bytes records, size_t *cursor, struct fb_record_head *ret_head, fb_bytes *ret_key,
                   fb_bytes *ret_payload, bool *ret_good) {
    if (records.len - *cursor < FB_RECORD_HEAD)
        return false;
    const uint8_t *in = (const uint8_t *)records.data + *cursor;
    struct fb_record_head head = {
        .check = get32(in + R_CHECK),
        .key_len = get32(in + R_KEY),
        .payload_len = get32(in + R_PAYLOAD),
        .type = in[R_TYPE],
        .more = in[R_MORE] != 0,
    };
    uint64_t bytes = FB_RECORD_HEAD + (uint64_t)head.key_len + head.payload_len;
    if (bytes > records.len - *cursor)
        return false;
    *ret_good = check_of(in + R_KEY, bytes - R_KEY) == head.check;
    *ret_head = head;
    *ret_key = fb_bytes_of((const char *)in + FB_RECORD_HEAD, head.key_len);
    *ret_payload = fb_bytes_of((const char *)in + FB_RECORD_HEAD + head.key_len, head.payload_len);
    *cursor += bytes;
    return true;
}

void fb_segment_name(uint64_t first_seq, char out[FB_SEGMENT_NAME]) {
    (void)snprintf(out, FB_SEGMENT_NAME, "%020" PRIu64 ".seg", first_seq);
}

bool fb_segment_name_parse(const char *name, uint64_t *ret_first_seq) {
    enum { DIGITS = 20 };
    uint64_t seq = 0;
    for (int i = 0; i < DIGITS; i++)
        if (name[i] < '0' || name[i] > '9' || __builtin_mul_overflow(seq, 10, &seq) ||
            __builtin_add_overflow(seq, (uint64_t)(name[i] - '0'), &seq))
            return false;
    if (strcmp(name + DIGITS, ".seg") != 0)
        return false;
    *ret_first_seq = seq;
    return true;
}
