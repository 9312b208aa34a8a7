/* Slots of Redis Cluster: CRC-16/XMODEM of the key, or of what stands in its first braces, modulo 16,384
 * (Redis Cluster specification, "Key distribution model"). */
#include "proto/slot.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static char tags[FB_SLOTS][FB_SLOT_TAG_LEN];
static pthread_once_t tags_once = PTHREAD_ONCE_INIT;

static unsigned crc16(const char *data, size_t len) {
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)(unsigned char)data[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
    }
    return crc & 0xffff;
}

unsigned fb_slot_of(fb_bytes key) {
    const char *open = key.len > 0 ? memchr(key.data, '{', key.len) : NULL;
    if (open != NULL) {
        open++;
        const char *close = memchr(open, '}', key.len - (size_t)(open - key.data));
        if (close != NULL && close > open)
            return crc16(open, (size_t)(close - open)) % FB_SLOTS;
    }
    return crc16(key.data, key.len) % FB_SLOTS;
}

/* The 238,328 texts of three letters and digits reach every slot; each gets the first that does. */
static void make_tags(void) {
    unsigned missing = FB_SLOTS;
    for (size_t i = 0; i < sizeof letters - 1; i++)
        for (size_t j = 0; j < sizeof letters - 1; j++)
            for (size_t k = 0; k < sizeof letters - 1; k++) {
                const char tag[FB_SLOT_TAG_LEN] = {letters[i], letters[j], letters[k]};
                char *place = tags[crc16(tag, sizeof tag) % FB_SLOTS];
                if (place[0] != '\0')
                    continue;
                memcpy(place, tag, sizeof tag);
                missing--;
            }
    assert(missing == 0);
    (void)missing;
}

const char *fb_slot_tag(unsigned slot) {
    (void)pthread_once(&tags_once, make_tags);
    return tags[slot % FB_SLOTS];
}

fb_status fb_companion_append(fb_buf *buf, char kind, fb_bytes key) {
    char head[FB_COMPANION_EXTRA] = {'f', 'b', ':', kind, ':', '{', 0, 0, 0, '}', ':'};
    memcpy(head + 6, fb_slot_tag(fb_slot_of(key)), FB_SLOT_TAG_LEN);
    fb_status status = fb_buf_append(buf, head, sizeof head);
    return status == FB_OK ? fb_buf_append(buf, key.data, key.len) : status;
}
