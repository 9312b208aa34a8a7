/* Immutable counted values, growing buffers, and the encoding of a hash value.
 *
 * A hash value is a sequence of fields in column order, each
 *     u32 name length, u32 value length (little-endian), name bytes, value bytes
 * with nothing between or after. Equal rows give equal bytes. */
#include "base/value.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

enum { FIELD_HEAD = 8, BUF_FIRST = 256 };

struct fb_value *fb_value_new(fb_kind kind, const void *data, size_t len) {
    struct fb_value *v = fb_mem_alloc(sizeof *v + len);
    if (v == NULL)
        return NULL;
    atomic_init(&v->refs, 1);
    v->kind = kind;
    v->len = len;
    if (len > 0)
        memcpy(v->data, data, len);
    return v;
}

struct fb_value *fb_value_ref(struct fb_value *value) {
    if (value != NULL)
        atomic_fetch_add_explicit(&value->refs, 1, memory_order_relaxed);
    return value;
}

void fb_value_unref(struct fb_value *value) {
    if (value != NULL && atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel) == 1)
        fb_mem_free(value);
}

fb_status fb_buf_reserve(fb_buf *buf, size_t more) {
    if (buf->cap - buf->len >= more)
        return FB_OK;
    size_t need, cap = buf->cap > 0 ? buf->cap : BUF_FIRST;
    if (__builtin_add_overflow(buf->len, more, &need) || need > PTRDIFF_MAX)
        return FB_NOMEM;
    while (cap < need)
        cap += cap / 2;
    char *data = fb_mem_realloc(buf->data, cap);
    if (data == NULL)
        return FB_NOMEM;
    buf->data = data;
    buf->cap = cap;
    return FB_OK;
}

fb_status fb_buf_append(fb_buf *buf, const void *data, size_t len) {
    if (fb_buf_reserve(buf, len) != FB_OK)
        return FB_NOMEM;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return FB_OK;
}

void fb_buf_free(fb_buf *buf) {
    fb_mem_free(buf->data);
    *buf = (fb_buf)FB_BUF_INIT;
}

uint64_t fb_value_fingerprint(const struct fb_hash_key *key, fb_kind kind, fb_bytes value) {
    /* An odd number of the kind: equal bytes of another kind, and absence, are something else. */
    return fb_hash(key, value.data, value.len) ^ (uint64_t)kind * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t get_u32(const char *p) {
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static void put_u32(char *p, uint32_t n) {
    for (int i = 0; i < 4; i++)
        p[i] = (char)(n >> (8 * i));
}

int fb_hash_next(fb_bytes hash, size_t *cursor, fb_field *ret_field) {
    if (*cursor >= hash.len || hash.len - *cursor < FIELD_HEAD)
        return 0;
    const char *p = hash.data + *cursor;
    size_t left = hash.len - *cursor - FIELD_HEAD;
    size_t name = get_u32(p), value = get_u32(p + 4);
    if (name > left || value > left - name)
        return 0;
    ret_field->name = fb_bytes_of(p + FIELD_HEAD, name);
    ret_field->value = fb_bytes_of(p + FIELD_HEAD + name, value);
    *cursor += FIELD_HEAD + name + value;
    return 1;
}

fb_status fb_hash_get(fb_bytes hash, fb_bytes name, fb_bytes *ret_value) {
    fb_field field;
    for (size_t cursor = 0; fb_hash_next(hash, &cursor, &field);)
        if (field.name.len == name.len && memcmp(field.name.data, name.data, name.len) == 0) {
            *ret_value = field.value;
            return FB_OK;
        }
    return FB_NOTFOUND;
}

size_t fb_hash_len(fb_bytes hash) {
    size_t n = 0;
    fb_field field;
    for (size_t cursor = 0; fb_hash_next(hash, &cursor, &field);)
        n++;
    return n;
}

fb_status fb_hash_append(fb_buf *hash, fb_bytes name, fb_bytes value) {
    if (name.len > UINT32_MAX || value.len > UINT32_MAX)
        return FB_INVALID;
    if (fb_buf_reserve(hash, FIELD_HEAD + name.len + value.len) != FB_OK)
        return FB_NOMEM;
    put_u32(hash->data + hash->len, (uint32_t)name.len);
    put_u32(hash->data + hash->len + 4, (uint32_t)value.len);
    hash->len += FIELD_HEAD;
    (void)fb_buf_append(hash, name.data, name.len);
    return fb_buf_append(hash, value.data, value.len);
}
