/* What the tests of the threaded engine share: a cache over a source made of functions that the test holds and lets go.
 *
 * Real threads, no real time: a load or store stops at a gate until the test opens it, and the test waits for a load to
 * have begun before it goes on. What a claim needs is an order of events, and the gates make that order certain. */
#ifndef FB_TESTS_ENGINE_WORLD_H
#define FB_TESTS_ENGINE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <forebay/forebay.h>

enum {
    ROWS = 64,
    THREADS = 40,
    PATIENCE_MS = 60000, /* of a load, unless a test says otherwise: what stands at a gate may stand there long */
};

struct world {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char rows[ROWS][64];              /* by the number in the key; "" is absent */
    int loads, stores, waiting_loads, waiting_stores, closed_answers;
    bool loads_held, stores_held;
    fb_status load_status, store_status;  /* an error to answer instead */
    const char *load_text;            /* and what it says; NULL: "no such luck" */
    fb_cache *cache;
    fb_source *source;
};

/* The one keyspace is k:{id:int}, as text; k:7 is "seven", the others are absent. */
void open_world(struct world *w, fb_keyspace_options ks, fb_source_options so);
/* The same over a second level. */
void open_world_over(struct world *w, fb_keyspace_options ks, fb_source_options so, const fb_store_options *store);
/* Another cache over the same rows: a second process, as far as the second level can tell. */
void open_neighbour(struct world *w, fb_keyspace_options ks, const fb_store_options *store, fb_cache **ret_cache);
void close_world(struct world *w);
fb_keyspace_options writing(void); /* write-through */

void hold_loads(struct world *w, bool held);
void hold_stores(struct world *w, bool held);
void wait_for(struct world *w, const int *counter, int at_least);
void set_row(struct world *w, int n, const char *text);
fb_keyspace_stats figures(struct world *w);
int64_t now_ms(void);
/* The source's breaker, which is open, lets nobody ask any more: its pause would be over on a slow machine. */
void keep_open(struct world *w);
/* What fb_get answers; NULL: absent. */
void expect_row(struct world *w, const char *key, const char *value);

/* A caller on a thread of its own. */
struct caller {
    struct world *world;
    pthread_t thread;
    const char *key, *value;
    fb_status status;
    fb_buf buf;
    fb_err err;
};

void *get_it(void *arg);
void *set_it(void *arg);
void begin(struct caller *c, struct world *w, void *(*what)(void *), const char *key, const char *value);
fb_status end(struct caller *c);

/* A completion that counts, for the asynchronous entry. */
struct completion {
    struct world *world;
    int done;
    fb_status status;
    char value[64];
    fb_result result; /* its numbers, where the test keeps them */
};

void complete(void *user, const fb_result *result);

#endif
