/* A store in memory that decides as the scripts do: for tests that want a Redis without one.
 *
 * Nothing expires by itself and nothing is lost: the test says when (model_redis_expire, model_redis_lose). Values
 * are strings; not thread-safe. */
#ifndef FB_TESTS_MODEL_REDIS_H
#define FB_TESTS_MODEL_REDIS_H

#include "store/store.h"

enum { MODEL_KEYS_MAX = 8, MODEL_MARKS_MAX = 8, MODEL_TEXT_MAX = 64 };

struct model_key {
    char name[MODEL_TEXT_MAX], value[MODEL_TEXT_MAX];
    size_t name_len, value_len;
    bool has_value, has_negative, has_lease, is_contended, is_held;
    struct fb_store_token lease, marks[MODEL_MARKS_MAX];
    size_t marks_count;
    int64_t life_ms; /* of the value, as it was last set */
};

struct model_redis {
    struct fb_store store;
    struct model_key keys[MODEL_KEYS_MAX];
    size_t count;
    uint64_t server;       /* raise it for a failover or a restart */
    /* What becomes of the next call: DONE unless the test says otherwise; UNKNOWN is carried out, unanswered. */
    enum fb_store_outcome next;
};

void model_redis_init(struct model_redis *m);
struct model_key *model_redis_key(struct model_redis *m, fb_bytes name);
void model_redis_expire_lease(struct model_key *key);
void model_redis_expire_mark(struct model_key *key, struct fb_store_token token);
/* The coordination key is evicted. */
void model_redis_lose(struct model_key *key);

#endif
