/* FB.WARM: the keys of a table's rows are listed, then those that are not cached are read, a batch at a time. */
#include "server/cmd_fb.h"

#include <string.h>

enum {
    WARM_BATCH = 256,           /* reads under way together */
    WARM_LIMIT_DEFAULT = 10000, /* rows */
};

/* At the front of the notes; the keys follow as a hash. */
struct warm {
    unsigned keyspace;
    size_t limit, listed, cached, loaded, absent, failed;
    size_t at;                  /* in the list of keys */
    size_t n;                   /* of this batch */
    fb_bytes batch[WARM_BATCH]; /* in the notes, which do not grow any more */
    char error[128];            /* the first */
};

static struct warm *warm_of(const struct fb_call *call) { return (struct warm *)(void *)call->notes.data; }

static void write_counts(struct fb_call *call) {
    const struct warm *warm = warm_of(call);
    struct fb_page page;
    fb_page_begin(&page, call);
    fb_page_text(&page, "keyspace", "%s", fb_keyspace_at(fb_call_cache(call), warm->keyspace)->pattern);
    fb_page_number(&page, "rows", warm->listed);
    fb_page_number(&page, "cached before", warm->cached);
    fb_page_number(&page, "loaded", warm->loaded);
    fb_page_number(&page, "absent", warm->absent);
    fb_page_number(&page, "failed", warm->failed);
    if (warm->failed > 0)
        fb_page_text(&page, "first error", "%s", warm->error);
    fb_page_end(&page, call);
}

static void prepare_read(const struct fb_call *call, size_t i, fb_op *op) { op->key = warm_of(call)->batch[i]; }

static void read_batch(struct fb_call *call, struct fb_part *parts, size_t n);

static void count_batch(struct fb_call *call, struct fb_part *parts, size_t n) {
    struct warm *warm = warm_of(call);
    for (size_t i = 0; i < n; i++) {
        warm->loaded += parts[i].status == FB_OK;
        warm->absent += parts[i].status == FB_NOTFOUND;
        if (parts[i].status >= 0)
            continue;
        size_t len = parts[i].bytes.len < sizeof warm->error ? parts[i].bytes.len : sizeof warm->error - 1;
        if (warm->failed++ == 0 && len > 0)
            memcpy(warm->error, parts[i].bytes.data, len); /* zeroed before */
    }
    fb_call_later(call, read_batch);
}

static void read_batch(struct fb_call *call, struct fb_part *parts, size_t n) {
    struct warm *warm = warm_of(call);
    fb_bytes keys = fb_bytes_of(call->notes.data + sizeof *warm, call->notes.len - sizeof *warm);
    fb_field field;
    (void)parts, (void)n;
    if (fb_call_loop(call)->operations >= fb_call_server(call)->operations_max) { /* others first */
        fb_call_later(call, read_batch);
        return;
    }
    warm->n = 0;
    for (size_t seen = 0; seen < FB_BATCH_MAX && warm->n < WARM_BATCH && fb_hash_next(keys, &warm->at, &field);
         seen++) {
        warm->listed++;
        if (fb_cached(fb_call_cache(call), field.name) == FB_OK)
            warm->cached++;
        else
            warm->batch[warm->n++] = field.name;
    }
    if (warm->n > 0)
        fb_call_again(call, warm->n, prepare_read, count_batch);
    else if (warm->at < keys.len)
        fb_call_later(call, read_batch);
    else
        write_counts(call);
}

static void take_keys(struct fb_call *call, struct fb_part *part, size_t n) {
    (void)n;
    if (fb_call_failed(call, part))
        return;
    if (fb_buf_append(&call->notes, part->bytes.data, part->bytes.len) != FB_OK) {
        fb_call_out_of_memory(call);
        return;
    }
    fb_call_later(call, read_batch);
}

static fb_status begin_list(struct fb_call *call, fb_done done, void *user, fb_result *ret_result) {
    const struct warm *warm = warm_of(call);
    return fb_list_keys(fb_call_cache(call), warm->keyspace, warm->limit, done, user, ret_result);
}

static void begin(struct fb_call *call, struct fb_part *parts, size_t n) {
    struct warm warm = {.keyspace = (unsigned)call->number[0], .limit = (size_t)call->number[1]};
    (void)parts, (void)n;
    if (fb_buf_append(&call->notes, &warm, sizeof warm) != FB_OK)
        fb_call_out_of_memory(call);
    else
        fb_call_await(call, begin_list, take_keys);
}

void fb_cmd_fb_warm(struct fb_call *call) {
    int64_t limit = WARM_LIMIT_DEFAULT;
    if (call->argc > 3) {
        fb_call_syntax_error(call);
        return;
    }
    if (call->argc == 3 && !fb_call_integer(call, call->argv[2], &limit))
        return;
    if (limit < 1 || limit > FB_LIST_MAX) {
        fb_call_error(call, WARM_LIMIT, FB_LIST_MAX);
        return;
    }
    int keyspace = fb_call_keyspace(call, call->argv[1]);
    if (keyspace < 0)
        return;
    call->number[0] = keyspace;
    call->number[1] = limit;
    fb_call_steps(call, WARM_BATCH, begin);
}
