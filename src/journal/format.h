/* The format of the journal's files: this comment is its specification, version 1. It is frozen; tests/unit/journal-v1
 * holds files that must stay readable.
 *
 * A directory holds segments, named <first_seq in 20 digits>.seg, read in the order of their names. Integers are
 * little-endian, bytes not named are zero. "Sector" is 512 bytes, counted from the beginning of the file.
 *
 * SEGMENT   zero-filled to its whole size, synced, then its head written, synced, and only then given its name. Never
 *           recycled: what is behind the last group is zero, or was of a group that was being written.
 *     0  8  "FOREBAYJ"
 *     8  4  version, 1
 *    16 16  uuid of the journal, the same in all its segments
 *    32  8  epoch of the owner
 *    40  8  first_seq: number of its first record
 *    48  8  follows: number of the last record of the segment before; first_seq − 1, or less where the database was
 *           ahead of the journal
 *    56  8  salt, random
 *    64  8  size of the file
 *    72  8  when it was made, microseconds since 1970
 *   508  4  CRC32C of the 508 bytes before
 *
 * GROUP     on a multiple of 64 from byte 512 on, each behind the one before. Its head never crosses a sector.
 *     0  4  "FBgr"
 *     4  2  kind: 1 data, 2 mark
 *     6  2  gap: zero bytes between the end of the group before and this mark
 *     8  8  first_seq: of its first record; of a mark: of the record that comes next
 *    16  4  count of records
 *    20  4  length of the records' bytes
 *    24  4  notes, see below
 *    28  4  at: its own offset / 64
 *    32  4  synced: offset / 64 up to which the file was known to be on the disk when this was written
 *    36  4  CRC32C of all that follows the head
 *    60  4  CRC32C of the 60 bytes before
 *   then the records, zeros up to a multiple of 4, the notes, zeros up to a multiple of 64.
 *           Both CRCs begin with that of the segment's salt, so that no stored value can pass for a group; `at` keeps a
 *           copy of another group from it.
 *           NOTES keep apart what a torn write leaves behind, a sector of zeros, and zeros that were stored: where all
 *           of a group's bytes in a sector are zero, the first of them is written as 255, and a note, a 4-byte number,
 *           says which sector of the group it is (the head's is 0 and never noted). So no sector of a group on the disk
 *           is all zero.
 *
 * MARK      a group without records, written after a second of rest, at the end, and synced: what it follows has a
 *           successor. It begins a sector of its own, so that no one lost sector takes both.
 *
 * RECORD    of number first_seq + its place
 *     0  4  the low half of SipHash-1-3 of the rest of it, under the key 0x4642726563303031, 0x4642726563303032. Not a
 *           CRC as well: a CRC does not see it when one block that carries its own CRC takes the place of another such
 *           block, and values are made of such blocks at times (pages of a database, segments of a journal)
 *     4  4  length of the key
 *     8  4  length of the payload
 *    12  1  type, the caller's
 *    13  1  1: the next record belongs to the same unit. A unit never crosses groups
 *    16     key, payload
 *
 * TORN OR DAMAGED   With durability `always` one group is under way at a time: the next is written when the sync of the
 * one before has returned; with `everysec` several may be. `synced` of each tells which case it is. At the first place
 * where no good group stands:
 *   J1  A later head with a good CRC whose `synced` is beyond this place, or a later segment: what stood here was on
 *       the disk. DAMAGED: refuse, never skip.
 *   J2  Else, a head of zeros: the END when only zeros follow, else TORN. Cut here; never acknowledged.
 *   J3  Else, a good head and a sector of the group that is all zero: TORN.
 *   J4  Else DAMAGED: a sector is written wholly or not at all, so no crash leaves this behind.
 * What no rule can tell: the last group lost in whole sectors before anything followed it. Hence marks. (Rule J1 in
 * this form and the limit: Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018.)
 *
 * AFTER A CRASH   only the last segment can hold what was written and not synced, since a segment gets its name when
 * the sync of the one before has returned. Its pages may be in memory and not on the disk, and a sync may have failed
 * and will not say so again (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020). So it is
 * always copied up to the cut, with a new salt, closed by a mark, synced, and takes its own name by rename; then a
 * new segment is begun. A sync that failed is never asked again by the process that saw it. */
#ifndef FB_JOURNAL_FORMAT_H
#define FB_JOURNAL_FORMAT_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum {
    FB_FORMAT_VERSION = 1,
    FB_SECTOR = 512,
    FB_GROUP_ALIGN = 64,
    FB_SEGMENT_HEAD = FB_SECTOR,
    FB_GROUP_HEAD = FB_GROUP_ALIGN,
    FB_RECORD_HEAD = 16,
    FB_NOTE = 4,
    FB_UUID = 16,
    FB_SEGMENT_BYTES_MIN = 4096,
    FB_SEGMENT_BYTES_MAX = 1 << 30,
};

struct fb_segment_head {
    uint32_t version;
    uint8_t uuid[FB_UUID];
    uint64_t epoch, first_seq, follows, salt, bytes;
    int64_t created_us;
};

enum fb_group_kind { FB_GROUP_DATA = 1, FB_GROUP_MARK = 2 };

struct fb_group_head {
    enum fb_group_kind kind;
    uint64_t first_seq;
    uint32_t count, length, notes;
    uint64_t gap, at, synced; /* bytes */
    uint32_t crc;
};

struct fb_record_head {
    uint32_t check, key_len, payload_len;
    uint8_t type;
    bool more;
};

static inline uint64_t fb_round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

void fb_segment_head_put(const struct fb_segment_head *head, uint8_t out[FB_SEGMENT_HEAD]);
/* NULL when it is good, else what is wrong with it. */
const char *fb_segment_head_get(struct fb_segment_head *ret_head, const uint8_t in[FB_SEGMENT_HEAD]);

/* What the CRCs of a segment's groups begin with; and what they must begin with if this is a good head. */
uint32_t fb_format_seed(uint64_t salt);
uint32_t fb_format_seed_of(const uint8_t group_head[FB_GROUP_HEAD]);

void fb_group_head_put(const struct fb_group_head *head, uint32_t seed, uint8_t out[FB_GROUP_HEAD]);
/* Is there a good head, for this very place? */
bool fb_group_head_get(struct fb_group_head *ret_head, uint32_t seed, uint64_t at, const uint8_t in[FB_GROUP_HEAD]);
/* With its head, up to the end of the notes; and up to where the next group begins. */
uint64_t fb_group_used(const struct fb_group_head *head);
static inline uint64_t fb_group_end(const struct fb_group_head *head) {
    return head->at + fb_round_up(fb_group_used(head), FB_GROUP_ALIGN);
}
/* The most a group with so many bytes of records takes. */
static inline uint64_t fb_group_most(uint64_t length) {
    return fb_round_up(FB_GROUP_HEAD + length + 3 + (length / FB_SECTOR + 2) * FB_NOTE, FB_GROUP_ALIGN);
}

/* Make a group of a buffer that has room for a head and then `length` bytes of records: notes, padding and head are
 * filled in. head: kind, first_seq, count, at, synced are given; the rest comes back. FB_NOMEM. */
fb_status fb_group_seal(fb_buf *group, struct fb_group_head *head, uint32_t seed);
/* The opposite for `group`, which begins with its head and has fb_group_used bytes: is the CRC right? Then puts back
 * what the notes say. */
bool fb_group_unseal(uint8_t *group, const struct fb_group_head *head, uint32_t seed);
/* Is there a sector in which a group of so many bytes has nothing but zeros? */
bool fb_group_has_hole(const uint8_t *group, uint64_t at, uint64_t used);

fb_status fb_record_put(fb_buf *group, uint8_t type, bool more, fb_bytes key, fb_bytes payload);
static inline uint64_t fb_record_bytes(fb_bytes key, fb_bytes payload) {
    return FB_RECORD_HEAD + (uint64_t)key.len + payload.len;
}
/* The record at the cursor, which moves behind it; false when there is none. *ret_good: its own check is right. */
bool fb_record_get(fb_bytes records, size_t *cursor, struct fb_record_head *ret_head, fb_bytes *ret_key,
                   fb_bytes *ret_payload, bool *ret_good);

bool fb_is_zero(const void *data, size_t len);

/* "00000000000000000042.seg", and back: false when the name is none of a segment. */
enum { FB_SEGMENT_NAME = 25 };
void fb_segment_name(uint64_t first_seq, char out[FB_SEGMENT_NAME]);
bool fb_segment_name_parse(const char *name, uint64_t *ret_first_seq);

#endif
