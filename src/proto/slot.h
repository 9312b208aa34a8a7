/* Where a key lies in a Redis Cluster, and the companion keys that lie in the same slot.
 *
 * A data key's companions are `fb:c:{tag}:KEY` (coordination) and `fb:n:{tag}:KEY` (negative), the tag one of 16,384
 * texts of three characters, chosen so that it hashes to the data key's slot. One rule for every key: wrapping the
 * key in braces of its own would fail for keys that hold a brace, and give `a` and `{a}` the same companions. */
#ifndef FB_PROTO_SLOT_H
#define FB_PROTO_SLOT_H

#include <forebay/forebay.h>

enum {
    FB_SLOTS = 16384,
    FB_SLOT_TAG_LEN = 3,
    FB_COMPANION_EXTRA = 11, /* what stands before the key: "fb:c:{tag}:" */
};

unsigned fb_slot_of(fb_bytes key);
/* The tag of a slot: three characters, not terminated. The table is made by the first call; thread-safe. */
const char *fb_slot_tag(unsigned slot);
/* Append the companion of a key; `kind` is 'c' or 'n'. */
fb_status fb_companion_append(fb_buf *buf, char kind, fb_bytes key);

#endif
