/* What a tracking connection asks for, and what it is told. */
#include "store/watch.h"

#include <stdlib.h>
#include <string.h>

#include "proto/slot.h"

static int compare(const void *left, const void *right) {
    const fb_bytes *a = left, *b = right;
    int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* Sorted, a prefix stands before what it covers, with nothing between them that it does not cover as well. */
size_t fb_prefixes_reduce(fb_bytes *prefixes, size_t count) {
    size_t kept = 0;
    if (count > 0)
        qsort(prefixes, count, sizeof *prefixes, compare);
    for (size_t i = 0; i < count; i++) {
        bool is_covered = kept > 0 && prefixes[i].len >= prefixes[kept - 1].len &&
                          memcmp(prefixes[i].data, prefixes[kept - 1].data, prefixes[kept - 1].len) == 0;
        if (!is_covered)
            prefixes[kept++] = prefixes[i];
    }
    return kept;
}

bool fb_pushed_key(fb_bytes name, fb_bytes *ret_key) {
    bool is_companion = name.len >= FB_COMPANION_EXTRA && memcmp(name.data, "fb:", 3) == 0 && name.data[4] == ':' &&
                        name.data[5] == '{' && name.data[9] == '}' && name.data[10] == ':';
    if (is_companion && name.data[3] == 'c')
        return false;
    bool is_negative = is_companion && name.data[3] == 'n';
    *ret_key = is_negative ? fb_bytes_of(name.data + FB_COMPANION_EXTRA, name.len - FB_COMPANION_EXTRA) : name;
    return true;
}
