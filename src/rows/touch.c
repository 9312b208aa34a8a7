/* From rows to the keys that show them. A record is the keyspace, the key's length, the key. */
#include "rows/touch.h"

#include <string.h>

struct head {
    uint16_t keyspace;
    uint16_t len; /* of a key: a pattern's parameters come from columns, and longer keys are no keys (below) */
};

/* Is the record that was just written the one before it? A write that leaves the columns alone notes them twice. */
static bool is_repeated(const struct fb_touched *touched, size_t begin) {
    size_t len = touched->keys.len - begin;
    return begin > touched->last && begin - touched->last == len &&
           memcmp(touched->keys.data + touched->last, touched->keys.data + begin, len) == 0;
}

static fb_status touch_key(const struct fb_dependent *d, const struct fb_datum *row, struct fb_touched *touched) {
    char space[FB_PATTERN_PARAMS_MAX][FB_DATUM_TEXT_MAX];
    fb_bytes params[FB_PATTERN_PARAMS_MAX];
    struct head head = {.keyspace = d->keyspace};
    size_t begin = touched->keys.len;
    for (unsigned i = 0; i < d->pattern->nparams; i++) {
        const struct fb_datum *datum = &row[d->columns[i]];
        if (datum->kind == FB_DATUM_NULL || datum->kind == FB_DATUM_BLOB)
            return FB_OK;
        params[i] = fb_datum_text(datum, space[i]);
    }
    fb_status status = fb_buf_append(&touched->keys, &head, sizeof head);
    if (status == FB_OK)
        status = fb_pattern_render(d->pattern, params, &touched->keys);
    size_t len = touched->keys.len - begin - sizeof head;
    if (status != FB_OK || len > UINT16_MAX) {
        touched->keys.len = begin;
        return status == FB_NOMEM ? FB_NOMEM : FB_OK;
    }
    head.len = (uint16_t)len;
    memcpy(touched->keys.data + begin, &head, sizeof head);
    if (is_repeated(touched, begin))
        touched->keys.len = begin;
    else
        touched->last = begin;
    return FB_OK;
}

fb_status fb_touch(const struct fb_mapping *mapping, const struct fb_datum *before, const struct fb_datum *after,
                   struct fb_touched *touched) {
    fb_status status = FB_OK;
    for (unsigned i = 0; status == FB_OK && i < mapping->ndependents; i++) {
        if (before != NULL)
            status = touch_key(&mapping->dependents[i], before, touched);
        if (after != NULL && status == FB_OK)
            status = touch_key(&mapping->dependents[i], after, touched);
    }
    return status;
}

bool fb_touched_next(const struct fb_touched *touched, size_t *cursor, uint16_t *ret_keyspace, fb_bytes *ret_key) {
    struct head head;
    if (*cursor >= touched->keys.len)
        return false;
    memcpy(&head, touched->keys.data + *cursor, sizeof head);
    *ret_keyspace = head.keyspace;
    *ret_key = fb_bytes_of(touched->keys.data + *cursor + sizeof head, head.len);
    *cursor += sizeof head + head.len;
    return true;
}
