/* Forgetting a whole keyspace at the shared second level: every name that lies there, and every load under way. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/tier.h"
#include "proto/slot.h"
#include "store/scan.h"

enum { AT_ONCE = 256 };

struct forget {
    struct fb_tier *tier;
    const struct fb_keyspace *keyspace;
    struct fb_store *store;
    size_t skip;               /* characters before the key in a name */
    uint64_t dropped;
    fb_err err;                /* of an INVAL that was not carried out */
    struct fb_store_call calls[AT_ONCE];
};

static bool is_closing(const struct fb_tier *tier) { return atomic_load(&tier->cache->pending) & FB_CLOSING; }

static bool invalidate(struct forget *forget, size_t n) {
    fb_span timeout = fb_ms(forget->tier->options.timeout_ms);
    fb_store_many(forget->store, FB_STORE_INVAL, forget->calls, n, fb_after(fb_clock_now(), timeout));
    for (size_t i = 0; i < n; i++) {
        const struct fb_store_call *call = &forget->calls[i];
        bool is_done = call->outcome == FB_STORE_DONE;
        fb_tier_note(forget->tier, call->key, !is_done);
        forget->dropped += is_done && call->answer == FB_STORE_DROPPED;
        if (!is_done && forget->err.status == FB_OK)
            (void)fb_fail(&forget->err, FB_STOREDOWN, "%s", call->why);
    }
    return forget->err.status == FB_OK && !is_closing(forget->tier);
}

static bool page(void *user, const fb_bytes *names, size_t count) {
    struct forget *forget = user;
    bool goes_on = true;
    size_t n = 0;
    for (size_t i = 0; i < count && goes_on; i++) {
        struct fb_keyspace *keyspace;
        fb_bytes key = fb_bytes_of(names[i].data + forget->skip, names[i].len - forget->skip); /* names match the glob */
        if (fb_cache_find(forget->tier->cache, key, &keyspace, NULL) != FB_OK || keyspace != forget->keyspace)
            continue;
        forget->calls[n++] = (struct fb_store_call){.key = key, .kind = fb_keyspace_kind(keyspace)};
        if (n == AT_ONCE) {
            goes_on = invalidate(forget, n);
            n = 0;
        }
    }
    return goes_on && (n == 0 || invalidate(forget, n));
}

/* What comes before the keys in the names, and the keyspace's own beginning, as a glob. */
static fb_status glob_of(fb_buf *glob, const char *before, fb_bytes prefix) {
    fb_status status = fb_buf_append(glob, before, strlen(before));
    for (size_t i = 0; i < prefix.len && status == FB_OK; i++) {
        if (memchr("*?[]\\^", prefix.data[i], 6) != NULL)
            status = fb_buf_append(glob, "\\", 1);
        if (status == FB_OK)
            status = fb_buf_append(glob, &prefix.data[i], 1);
    }
    return status == FB_OK ? fb_buf_append(glob, "*", 1) : status;
}

/* Loads under way and absences have names of their own; they go first, so that nothing old comes behind the values. */
fb_status fb_tier_forget_keyspace(struct fb_tier *tier, const struct fb_keyspace *keyspace, uint64_t *ret_dropped,
                                  fb_err *reterr) {
    static const struct { const char *before; size_t skip; } kinds[] = {
        {"fb:[cn]:{???}:", FB_COMPANION_EXTRA}, {"", 0}};
    struct forget *forget = fb_mem_calloc(1, sizeof *forget);
    fb_buf glob = FB_BUF_INIT;
    *ret_dropped = 0;
    if (forget == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    forget->tier = tier;
    forget->keyspace = keyspace;
    fb_tier_start(tier);
    fb_status status = fb_store_open(tier->place, &forget->store, reterr);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && status == FB_OK; i++) {
        glob.len = 0;
        forget->skip = kinds[i].skip;
        status = glob_of(&glob, kinds[i].before, fb_keyspace_prefix(keyspace));
        if (status == FB_OK)
            status = fb_store_scan(tier->place, fb_bytes_of(glob.data, glob.len),
                                   fb_ms(tier->options.connect_timeout_ms), page, forget, reterr);
    }
    if (forget->err.status != FB_OK && reterr != NULL)
        *reterr = forget->err;
    if (forget->err.status != FB_OK || status == FB_DOWN)
        status = FB_STOREDOWN;
    *ret_dropped = forget->dropped;
    fb_store_close(forget->store);
    fb_buf_free(&glob);
    fb_mem_free(forget);
    return status;
}
