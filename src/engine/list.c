/* Listing the keys that a source has, on a lane of its own: it may take a while, and no load should wait for it. */
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"

enum { LISTS_WAITING_MAX = 16 };

struct list_job {
    struct fb_link link;
    struct fb_keyspace *keyspace;
    size_t limit;
    fb_done done;
    void *user;
};

static void end_job(struct list_job *job, fb_result *result, const fb_err *err) {
    struct fb_cache *cache = job->keyspace->source->cache;
    if (result->status < 0) {
        fb_explain(&result->err, result->status, job->keyspace, FB_STR(err->text));
        fb_source_note_error(job->keyspace->source, result->status, job->keyspace, FB_STR(err->text));
    }
    job->done(job->user, result);
    fb_mem_free(job);
    fb_cache_op_end(cache);
}

static void refuse(struct fb_link *jobs, fb_status status) {
    static const fb_err none = {.status = FB_OK};
    for (struct fb_link *l; (l = fb_list_pop_front(jobs)) != NULL;)
        end_job(fb_member_of(l, struct list_job, link), &(fb_result){.status = status}, &none);
}

static void list_lane_work(void *user, void **slot, struct fb_link *batch, unsigned n) {
    struct fb_source *source = user;
    (void)n;
    for (struct fb_link *l; (l = fb_list_pop_front(batch)) != NULL;) {
        struct list_job *job = fb_member_of(l, struct list_job, link);
        fb_buf keys = FB_BUF_INIT;
        fb_err err = {0};
        fb_result result = {.status = FB_DOWN, .kind = FB_KIND_HASH};
        struct fb_trip *trip = fb_trip_get(source, /* is_writer = */ false, slot, &err);
        if (trip != NULL) {
            fb_trip_begin(trip, NULL, 0);
            result.status = source->ops->list(fb_trip_session(trip), job->keyspace->binding, job->limit, &keys, &err);
            fb_trip_end(trip);
        }
        if (result.status == FB_OK)
            result.value = fb_bytes_of(keys.data != NULL ? keys.data : "", keys.len);
        end_job(job, &result, &err);
        fb_buf_free(&keys);
    }
}

struct fb_lane *fb_list_lane_create(struct fb_source *source) {
    return fb_lane_create(&(struct fb_lane_options){
        .workers = 1,
        .batch_max = 1,
        .queue_max = LISTS_WAITING_MAX,
        .work = list_lane_work,
        .leave = fb_lane_session_leave,
        .user = source,
    });
}

void fb_lists_withdraw(struct fb_source *source) {
    struct fb_link waiting = FB_LIST_INIT(waiting);
    fb_lane_withdraw(source->lists, &waiting);
    refuse(&waiting, FB_CLOSED);
}

static fb_status fail(fb_result *result, fb_status status, const char *text) {
    return result->status = fb_fail(&result->err, status, "%s", text);
}

fb_status fb_list_keys(fb_cache *cache, unsigned keyspace, size_t limit, fb_done done, void *user,
                       fb_result *ret_result) {
    *ret_result = (fb_result){.status = FB_OK};
    if (keyspace >= cache->nkeyspaces || limit > FB_LIST_MAX)
        return fail(ret_result, FB_INVALID, "no such keyspace, or more than 100000 keys");
    if (atomic_load(&cache->pending) & FB_CLOSING)
        return fail(ret_result, FB_CLOSED, "the cache is closing");
    struct fb_keyspace *ks = cache->keyspaces[keyspace];
    if (ks->source->ops->list == NULL)
        return ret_result->status = fb_fail(&ret_result->err, FB_UNSUPPORTED, "keyspace '%s': its source cannot list keys",
                                            ks->options.pattern);
    struct list_job *job = fb_mem_alloc(sizeof *job);
    if (job == NULL)
        return fail(ret_result, FB_NOMEM, "out of memory");
    *job = (struct list_job){.keyspace = ks, .limit = limit, .done = done, .user = user};
    struct fb_link list = FB_LIST_INIT(list);
    fb_list_init(&job->link);
    fb_list_push_back(&list, &job->link);
    fb_cache_op_begin(cache);
    fb_lane_push(ks->source->lists, &list);
    if (fb_list_is_empty(&list))
        return FB_PENDING;
    fb_mem_free(job);
    fb_cache_op_end(cache);
    return fail(ret_result, FB_BUSY, "too many lists of keys are waiting");
}
