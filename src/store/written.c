/* A ring of names: each a header (time, length) and its bytes, wrapped around where the end comes. */
#include "store/written.h"

#include <string.h>

#include "base/mem.h"

struct header {
    int64_t ns;
    uint64_t len;
};

static void put(struct fb_written *ring, const void *data, size_t len) {
    size_t at = ring->next % ring->size, some = ring->size - at < len ? ring->size - at : len;
    memcpy(ring->bytes + at, data, some);
    memcpy(ring->bytes, (const char *)data + some, len - some);
    ring->next += len;
}

static void get(const struct fb_written *ring, uint64_t position, void *out, size_t len) {
    size_t at = position % ring->size, some = ring->size - at < len ? ring->size - at : len;
    memcpy(out, ring->bytes + at, some);
    memcpy((char *)out + some, ring->bytes, len - some);
}

fb_status fb_written_init(struct fb_written *ring, size_t size) {
    *ring = (struct fb_written){.bytes = fb_mem_alloc(size), .size = size};
    return ring->bytes != NULL ? FB_OK : FB_NOMEM;
}

void fb_written_finish(struct fb_written *ring) {
    fb_mem_free(ring->bytes);
    ring->bytes = NULL;
}

void fb_written_note(struct fb_written *ring, fb_bytes key, fb_instant now) {
    struct header header = {now.ns, key.len};
    size_t need = sizeof header + key.len;
    if (need > ring->size) {
        ring->forgotten = now;
        return;
    }
    while (ring->next + need - ring->first > ring->size) {
        struct header oldest;
        get(ring, ring->first, &oldest, sizeof oldest);
        ring->forgotten.ns = oldest.ns;
        ring->first += sizeof oldest + oldest.len;
    }
    put(ring, &header, sizeof header);
    put(ring, key.data, key.len);
}

bool fb_written_reaches(const struct fb_written *ring, fb_instant since) {
    return ring->forgotten.ns == 0 || fb_before(ring->forgotten, since);
}

bool fb_written_next(const struct fb_written *ring, uint64_t *cursor, fb_instant since, fb_buf *ret_key) {
    uint64_t position = *cursor > ring->first ? *cursor : ring->first;
    while (position < ring->next) {
        struct header header;
        get(ring, position, &header, sizeof header);
        uint64_t name = position + sizeof header;
        position = name + header.len;
        if (header.ns < since.ns)
            continue;
        ret_key->len = 0;
        if (fb_buf_reserve(ret_key, header.len) != FB_OK)
            continue;
        get(ring, name, ret_key->data, header.len);
        ret_key->len = header.len;
        *cursor = position;
        return true;
    }
    *cursor = position;
    return false;
}
