/* Dead letters: what the database refused, as people ask for it. The flusher serves them between its batches, on its own
 * connection, because a letter that is tried again must not meet a flush of the same row. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "engine/behind.h"
#include "rows/change.h"

enum { ASKS_MAX = 64, NUMBER_MAX = 24 };

struct ask {
    struct fb_link link;
    fb_dead_verb verb;
    uint64_t id;
    size_t limit;
    fb_done done;
    void *user;
};

/* ---- letters as values ---- */

struct listing {
    fb_buf *out;
    fb_status status;
};

static void put(struct listing *l, fb_buf *hash, const char *name, fb_bytes value) {
    if (l->status == FB_OK)
        l->status = fb_hash_append(hash, FB_STR(name), value);
}

static fb_bytes decimal(char space[NUMBER_MAX], uint64_t value) {
    return fb_bytes_of(space, (size_t)snprintf(space, NUMBER_MAX, "%llu", (unsigned long long)value));
}

/* A field of the list whose name is the letter's number, and whose value is a hash of its own. */
static void list_letter(void *user, const struct fb_dead_letter *letter) {
    struct listing *l = user;
    char space[NUMBER_MAX];
    fb_buf hash = FB_BUF_INIT, change_text = FB_BUF_INIT;
    struct fb_change change;
    put(l, &hash, "keyspace", letter->keyspace);
    put(l, &hash, "key", letter->key);
    put(l, &hash, "seq", decimal(space, letter->seq));
    put(l, &hash, "at", letter->at);
    put(l, &hash, "attempts", decimal(space, letter->attempts));
    put(l, &hash, "code", letter->code);
    put(l, &hash, "message", letter->message);
    if (l->status == FB_OK && fb_change_parse(letter->record, &change))
        l->status = fb_change_describe(&change, &change_text);
    put(l, &hash, "change", fb_bytes_of(change_text.data, change_text.len));
    if (l->status == FB_OK)
        l->status = fb_hash_append(l->out, decimal(space, letter->id), fb_bytes_of(hash.data, hash.len));
    fb_buf_free(&hash);
    fb_buf_free(&change_text);
}

/* ---- trying again ---- */

struct kept_letter {
    fb_buf key, record;
    uint64_t seq;
    fb_status status;
};

static void keep_letter(void *user, const struct fb_dead_letter *letter) {
    struct kept_letter *kept = user;
    kept->seq = letter->seq;
    kept->status = fb_buf_append(&kept->key, letter->key.data, letter->key.len);
    if (kept->status == FB_OK)
        kept->status = fb_buf_append(&kept->record, letter->record.data, letter->record.len);
}

static void nothing(void *user, const fb_result *result) {
    (void)user;
    (void)result;
}

static void forget(struct fb_cache *cache, fb_bytes key) {
    fb_op op = {.kind = FB_OP_INVALIDATE, .key = key};
    fb_result result;
    if (fb_submit(cache, &op, nothing, NULL, &result) != FB_PENDING)
        fb_result_release(&result);
}

static fb_status retry_kept(struct fb_behind *behind, uint64_t id, const struct kept_letter *kept, fb_err *err) {
    struct fb_cache *cache = behind->cache;
    fb_bytes key = fb_bytes_of(kept->key.data, kept->key.len), record = fb_bytes_of(kept->record.data, kept->record.len);
    int keyspace = fb_keyspace_of(cache, key);
    struct fb_change change;
    struct fb_plan *plan;
    if (keyspace < 0 || cache->keyspaces[keyspace]->source != behind->source)
        return fb_fail(err, FB_NOMAP, "no keyspace of source '%s' takes its key any more", behind->source->name);
    if (!fb_change_parse(record, &change))
        return fb_fail(err, FB_SOURCE, "its change cannot be read");
    const struct fb_binding *binding = cache->keyspaces[keyspace]->binding;
    fb_status status = fb_change_plan(behind->source->ops->mapping((struct fb_binding *)binding), key, &change, &plan, err);
    if (status != FB_OK)
        return status;
    struct fb_flush_item item = {.binding = binding, .key = key, .plan = plan, .seq = kept->seq, .record = record};
    status = behind->source->ops->flush->dead_retry(behind->session, behind->source->name, behind->epoch, id, &item, err);
    if (status == FB_OK && item.status != FB_OK) {
        fb_bytes text = fb_value_bytes(item.error);
        status = fb_fail(err, item.status, "%.*s", (int)text.len, text.data != NULL ? text.data : "");
    }
    fb_value_unref(item.error);
    fb_plan_free(plan);
    if (status != FB_OK)
        return status;
    fb_lock_acquire(&behind->lock);
    fb_dirty_doubt(behind->dirty, fb_cache_hash(cache, key), key); /* what waits does not show it */
    fb_lock_release(&behind->lock);
    forget(cache, key);
    return FB_OK;
}

static fb_status retry(struct fb_behind *behind, uint64_t id, fb_err *err) {
    struct kept_letter kept = {FB_BUF_INIT, FB_BUF_INIT, 0, FB_OK};
    if (behind->state != FB_BEHIND_OWNER)
        return fb_fail(err, FB_NOTOWNER, "another process owns the partition");
    fb_status status = behind->source->ops->flush->dead_get(behind->session, id, keep_letter, &kept, err);
    if (status == FB_OK)
        status = kept.status == FB_OK ? retry_kept(behind, id, &kept, err) : FB_NOMEM;
    fb_buf_free(&kept.key);
    fb_buf_free(&kept.record);
    return status;
}

/* ---- being asked ---- */

static fb_status serve(struct fb_behind *behind, const struct ask *ask, fb_buf *out, fb_err *err) {
    const struct fb_flush_ops *ops = behind->source->ops->flush;
    struct listing listing = {out, FB_OK};
    fb_status status = FB_OK;
    if (behind->session == NULL &&
        behind->source->ops->session_open(behind->source->driver, /* is_writer = */ true, &behind->session, err) != FB_OK) {
        behind->session = NULL;
        return FB_DOWN;
    }
    switch (ask->verb) {
    case FB_DEAD_LIST:
        status = ops->dead_list(behind->session, behind->source->name, ask->id, ask->limit, list_letter, &listing, err);
        break;
    case FB_DEAD_GET:
        status = ops->dead_get(behind->session, ask->id, list_letter, &listing, err);
        break;
    case FB_DEAD_RETRY:
        status = retry(behind, ask->id, err);
        break;
    case FB_DEAD_DROP:
        status = ops->dead_drop(behind->session, ask->id, err);
        break;
    }
    return status == FB_OK ? listing.status : status;
}

static void end_ask(struct fb_cache *cache, struct ask *ask, fb_result *result) {
    ask->done(ask->user, result);
    fb_mem_free(ask);
    fb_cache_op_end(cache);
}

void fb_behind_serve_asks(struct fb_behind *behind) {
    struct ask *ask = fb_member_of(fb_list_pop_front(&behind->asks), struct ask, link);
    fb_buf out = FB_BUF_INIT;
    fb_result result = {.kind = FB_KIND_HASH};
    behind->nasks--;
    fb_lock_release(&behind->lock);
    result.status = serve(behind, ask, &out, &result.err);
    if (result.status < 0 && result.err.text[0] == '\0')
        (void)fb_fail(&result.err, result.status, "%s", fb_status_text(result.status));
    result.value = fb_bytes_of(out.data != NULL ? out.data : "", out.len);
    end_ask(behind->cache, ask, &result);
    fb_buf_free(&out);
    fb_lock_acquire(&behind->lock);
}

void fb_behind_refuse_asks(struct fb_behind *behind) {
    struct fb_link asks = FB_LIST_INIT(asks);
    fb_lock_acquire(&behind->lock);
    fb_list_append(&asks, &behind->asks);
    behind->nasks = 0;
    fb_lock_release(&behind->lock);
    for (struct fb_link *l; (l = fb_list_pop_front(&asks)) != NULL;) {
        fb_result result = {.status = FB_CLOSED};
        (void)fb_fail(&result.err, FB_CLOSED, "%s", fb_status_text(FB_CLOSED));
        end_ask(behind->cache, fb_member_of(l, struct ask, link), &result);
    }
}

fb_status fb_dead(fb_cache *cache, const char *source, fb_dead_verb verb, uint64_t id, size_t limit, fb_done done,
                  void *user, fb_result *ret_result) {
    struct fb_behind *behind = NULL;
    *ret_result = (fb_result){.status = FB_NOTFOUND};
    for (unsigned i = 0; i < atomic_load(&cache->nsources); i++)
        if (cache->sources[i]->behind != NULL && (source == NULL || strcmp(cache->sources[i]->name, source) == 0))
            behind = cache->sources[i]->behind;
    if (behind == NULL || !behind->has_flusher)
        return fb_fail(&ret_result->err, ret_result->status = FB_INVALID, "nothing is written behind%s%s%s",
                       source != NULL ? " at source '" : "", source != NULL ? source : "", source != NULL ? "'" : "");
    struct ask *ask = fb_mem_alloc(sizeof *ask);
    if (ask == NULL)
        return ret_result->status = FB_NOMEM;
    *ask = (struct ask){.verb = verb, .id = id, .limit = limit, .done = done, .user = user};
    fb_cache_op_begin(cache);
    fb_lock_acquire(&behind->lock);
    bool is_taken = behind->nasks < ASKS_MAX;
    if (is_taken)
        fb_list_push_back(&behind->asks, &ask->link);
    behind->nasks += is_taken;
    fb_cond_broadcast(&behind->changed);
    fb_lock_release(&behind->lock);
    if (is_taken)
        return FB_PENDING;
    fb_mem_free(ask);
    fb_cache_op_end(cache);
    return fb_fail(&ret_result->err, ret_result->status = FB_BUSY, "%d questions about dead letters wait already", ASKS_MAX);
}

/* ---- conflicts: what a journal still has of a partition that was another's meanwhile ---- */

static struct fb_dirty_batch *next_batch(struct fb_behind *behind) {
    fb_lock_acquire(&behind->lock);
    struct fb_dirty_batch *batch = fb_dirty_next(fb_behind_first(behind), FB_NEVER, true);
    fb_lock_release(&behind->lock);
    return batch;
}

fb_status fb_behind_bury(struct fb_behind *behind, fb_err *err) {
    struct fb_dirty_batch *batch;
    fb_status status = FB_OK;
    while (status == FB_OK && (batch = next_batch(behind)) != NULL) {
        struct fb_value *why = fb_value_new(FB_KIND_STRING, "the partition was another's meanwhile", 37);
        struct fb_flush_item *items = fb_mem_calloc(batch->nrows, sizeof *items);
        size_t n = 0;
        for (const struct fb_link *l = batch->rows.next; items != NULL && l != &batch->rows; l = l->next) {
            const struct fb_dirty_row *row = fb_member_of(l, struct fb_dirty_row, link);
            items[n++] = (struct fb_flush_item){
                .binding = behind->cache->keyspaces[row->keyspace]->binding, .key = fb_dirty_row_key(row),
                .seq = row->last_seq, .record = fb_value_bytes(row->change), .status = FB_CONFLICT, .error = why};
        }
        status = items == NULL ? FB_NOMEM
                               : behind->source->ops->flush->dead_add(behind->session, behind->source->name, items, n, err);
        fb_mem_free(items);
        fb_value_unref(why);
        if (status != FB_OK)
            break;
        fb_lock_acquire(&behind->lock);
        (void)fb_dirty_commit(behind->dirty);
        behind->dead += batch->nrows;
        fb_lock_release(&behind->lock);
        for (const struct fb_link *l = batch->rows.next; l != &batch->rows; l = l->next)
            forget(behind->cache, fb_dirty_row_key(fb_member_of(l, struct fb_dirty_row, link)));
        fb_dirty_batch_free(batch);
    }
    return status;
}
