/* What the files of the double share: its rows and the operations on them. */
#ifndef DOUBLE_ENGINE_PARTS_H
#define DOUBLE_ENGINE_PARTS_H

#include "double_engine.h"

#include <pthread.h>

#include "base/lock.h"
#include "base/rng.h"

enum { ROWS_MAX = 4096, QUEUE_MAX = 200000, KEYSPACES = 5 };
enum { STRINGS, HASHES, READONLY, IGNORING, BAD };

struct row {
    char *key;
    size_t key_len;
    fb_kind kind;         /* NONE: no row */
    fb_buf value;
    bool is_cached;
    int64_t life_ms;
};

struct job {
    fb_op op;             /* with copies of everything */
    fb_field *fields;
    fb_op *more;          /* of fb_submit_all */
    size_t nmore;
    bool lists;           /* fb_list_keys: */
    unsigned keyspace;
    size_t limit;
    fb_done done;
    fb_done_all done_all;
    void *user;
};

struct fb_cache {
    struct fb_lock lock;
    struct fb_cond cond;
    struct row rows[ROWS_MAX];
    size_t nrows;
    struct job *queue;
    size_t nqueue, running;
    unsigned submitted;
    bool is_held, is_stopping;
    struct fb_rng rng;
    pthread_t thread;
    fb_keyspace_options options[KEYSPACES];
    uint64_t hits, misses;
    unsigned watched;
    fb_on_event on_event;
    void *observer;
    fb_event *told;       /* with copies of the keys; told when the lock has been let go */
    size_t ntold, telling;
};

struct outcome {
    fb_result result;
    fb_buf value, old;
};

struct double_keyspace { const char *prefix, *as, *pattern; };
extern const struct double_keyspace double_keyspaces[KEYSPACES];

/* The lock is held throughout. */
struct row *double_find(fb_cache *cache, fb_bytes key);
struct row *double_get_row(fb_cache *cache, fb_bytes key);
void double_set_value(struct row *row, fb_kind kind, fb_bytes value);
int double_keyspace_of(fb_bytes key);
fb_bytes double_copy(fb_bytes from);
void double_tell(fb_cache *cache, fb_event_kind kind, const struct row *row, const fb_op *op);
fb_status double_fail(struct outcome *o, fb_status status, const char *text);
void double_perform(fb_cache *cache, const fb_op *op, struct outcome *o);
void double_list_rows(fb_cache *cache, const struct job *job, struct outcome *o);
void double_borrow(struct outcome *o);
void double_end_all(fb_cache *cache, const struct job *job);
/* Lets the lock go, and tells what there is to tell. */
void double_leave(fb_cache *cache);

#endif
