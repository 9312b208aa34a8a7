/* Reading a primary's identity, and dating a loss. */
#include "store/failover.h"

#include <string.h>

/* The value of "name:value" on a line of its own. */
static bool find(fb_bytes info, const char *name, fb_bytes *ret_value) {
    size_t len = strlen(name);
    const char *end = info.data + info.len;
    for (const char *line = info.data; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop != NULL ? stop : end;
        if ((size_t)(stop - line) > len && memcmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1;
            size_t value_len = (size_t)(stop - value);
            if (value_len > 0 && value[value_len - 1] == '\r')
                value_len--;
            *ret_value = fb_bytes_of(value, value_len);
            return true;
        }
        line = stop < end ? stop + 1 : end;
    }
    return false;
}

static bool take_id(fb_bytes info, const char *name, char id[FB_STORE_ID_LEN]) {
    fb_bytes value;
    if (!find(info, name, &value) || value.len != FB_STORE_ID_LEN)
        return false;
    memcpy(id, value.data, FB_STORE_ID_LEN);
    return true;
}

static bool take_number(fb_bytes info, const char *name, int64_t *ret) {
    fb_bytes value;
    if (!find(info, name, &value) || value.len == 0)
        return false;
    bool is_negative = value.data[0] == '-';
    int64_t n = 0;
    for (size_t i = is_negative; i < value.len; i++) {
        unsigned digit = (unsigned)(value.data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (int64_t)digit, &n))
            return false;
    }
    *ret = is_negative ? -n : n;
    return value.len > is_negative;
}

bool fb_store_identity_parse(fb_bytes info, struct fb_store_identity *ret) {
    struct fb_store_identity id;
    fb_bytes role;
    if (!take_id(info, "run_id", id.run_id) || !take_id(info, "master_replid", id.replid) ||
        !take_id(info, "master_replid2", id.replid2) || !take_number(info, "second_repl_offset", &id.second_offset) ||
        !take_number(info, "master_repl_offset", &id.offset) || !find(info, "role", &role))
        return false;
    id.is_primary = role.len == 6 && memcmp(role.data, "master", 6) == 0;
    *ret = id;
    return true;
}

void fb_heartbeat(struct fb_heartbeats *ring, fb_instant sent, int64_t offset) {
    ring->items[ring->count % FB_HEARTBEATS].sent = sent;
    ring->items[ring->count % FB_HEARTBEATS].offset = offset;
    ring->count++;
}

static bool is_same(const char a[FB_STORE_ID_LEN], const char b[FB_STORE_ID_LEN]) {
    return memcmp(a, b, FB_STORE_ID_LEN) == 0;
}

enum fb_failover fb_failover_judge(const struct fb_store_identity *before, const struct fb_store_identity *after,
                                   const struct fb_heartbeats *ring, fb_instant now, fb_instant *ret_since) {
    /* The run id alone would not tell of a primary that was a replica in between; its replid changes with that. */
    if (is_same(before->run_id, after->run_id) && is_same(before->replid, after->replid))
        return FB_FAILOVER_NONE;
    if (!is_same(before->replid, after->replid2) || after->second_offset < 0)
        return FB_FAILOVER_DISTRUST;
    size_t kept = ring->count < FB_HEARTBEATS ? ring->count : FB_HEARTBEATS;
    for (size_t i = 1; i <= kept; i++) { /* the youngest whose state the new primary has */
        size_t at = (ring->count - i) % FB_HEARTBEATS;
        if (ring->items[at].offset >= after->second_offset)
            continue;
        fb_instant since = fb_after(ring->items[at].sent, fb_ms(-FB_REASSERT_MARGIN_MS));
        if (fb_since(now, since).ns > fb_ms(FB_REASSERT_MAX_MS).ns)
            return FB_FAILOVER_DISTRUST;
        *ret_since = since;
        return FB_FAILOVER_REASSERT;
    }
    return FB_FAILOVER_DISTRUST;
}
