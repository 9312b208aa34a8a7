/* A cache over rows behind gates. */
#include "engine_world.h"

#include "base/clock.h"
#include "engine/engine.h"

/* ---- a database of the test's own ---- */

static int number_of(fb_bytes key) {
    int n = 0;
    for (size_t i = 0; i < key.len; i++)
        n = key.data[i] >= '0' && key.data[i] <= '9' ? n * 10 + (key.data[i] - '0') : 0;
    return n % ROWS;
}

static fb_status load(void *user, fb_bytes key, fb_buf *ret_value, fb_err *reterr) {
    struct world *w = user;
    char row[64];
    pthread_mutex_lock(&w->mutex);
    w->loads++;
    snprintf(row, sizeof row, "%s", w->rows[number_of(key)]); /* the row is read before the gate: as a slow query */
    fb_status status = w->load_status;
    w->waiting_loads++;
    pthread_cond_broadcast(&w->changed);
    while (w->loads_held)
        pthread_cond_wait(&w->changed, &w->mutex);
    w->waiting_loads--;
    pthread_mutex_unlock(&w->mutex);
    if (status != FB_OK) {
        reterr->status = status;
        snprintf(reterr->text, sizeof reterr->text, "%s", w->load_text != NULL ? w->load_text : "no such luck");
        return status;
    }
    return row[0] != '\0' ? fb_buf_append(ret_value, row, strlen(row)) : FB_NOTFOUND;
}

static fb_status store_row(void *user, fb_bytes key, fb_bytes value, fb_buf *ret_after, fb_err *reterr) {
    struct world *w = user;
    (void)ret_after;
    pthread_mutex_lock(&w->mutex);
    w->stores++;
    w->waiting_stores++;
    pthread_cond_broadcast(&w->changed);
    while (w->stores_held)
        pthread_cond_wait(&w->changed, &w->mutex);
    w->waiting_stores--;
    fb_status status = w->store_status;
    if (status == FB_OK || status == FB_UNKNOWN)
        snprintf(w->rows[number_of(key)], sizeof w->rows[0], "%.*s", (int)value.len, value.data);
    else
        snprintf(reterr->text, sizeof reterr->text, "refused");
    pthread_mutex_unlock(&w->mutex);
    return status;
}

static fb_status del(void *user, fb_bytes key, fb_err *reterr) {
    struct world *w = user;
    (void)reterr;
    pthread_mutex_lock(&w->mutex);
    bool was = w->rows[number_of(key)][0] != '\0';
    w->rows[number_of(key)][0] = '\0';
    pthread_mutex_unlock(&w->mutex);
    return was ? FB_OK : FB_NOTFOUND;
}

void hold_loads(struct world *w, bool held) {
    pthread_mutex_lock(&w->mutex);
    w->loads_held = held;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

void hold_stores(struct world *w, bool held) {
    pthread_mutex_lock(&w->mutex);
    w->stores_held = held;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

void wait_for(struct world *w, const int *counter, int at_least) {
    pthread_mutex_lock(&w->mutex);
    while (*counter < at_least)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

void set_row(struct world *w, int n, const char *text) {
    pthread_mutex_lock(&w->mutex);
    snprintf(w->rows[n], sizeof w->rows[0], "%s", text);
    pthread_mutex_unlock(&w->mutex);
}

static fb_source *open_over_rows(struct world *w, fb_keyspace_options ks, fb_source_options so,
                                 const fb_store_options *store, fb_cache **ret_cache) {
    fb_err err;
    fb_source *source;
    fb_callbacks callbacks = {load, store_row, del, w};
    if (so.read_timeout_ms == 0)
        so.read_timeout_ms = PATIENCE_MS;
    fb_options options = {.memory_max = 4 << 20, .seed = 1, .store = store};
    if (fb_open(&options, ret_cache, &err) != FB_OK)
        fail_msg("%s", err.text);
    assert_int_equal(fb_source_callbacks(*ret_cache, "world", &callbacks, &so, &source, &err), FB_OK);
    ks.pattern = "k:{id:int}";
    ks.source = source;
    ks.as = "text";
    if (fb_keyspace_add(*ret_cache, &ks, &err) != FB_OK)
        fail_msg("%s", err.text);
    return source;
}

void open_neighbour(struct world *w, fb_keyspace_options ks, const fb_store_options *store, fb_cache **ret_cache) {
    (void)open_over_rows(w, ks, (fb_source_options){0}, store, ret_cache);
}

void open_world(struct world *w, fb_keyspace_options ks, fb_source_options so) {
    open_world_over(w, ks, so, /* store = */ NULL);
}

void open_world_over(struct world *w, fb_keyspace_options ks, fb_source_options so, const fb_store_options *store) {
    *w = (struct world){.load_status = FB_OK, .store_status = FB_OK};
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->source = open_over_rows(w, ks, so, store, &w->cache);
    set_row(w, 7, "seven");
}

fb_keyspace_options writing(void) {
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.write = FB_WRITE_THROUGH;
    return ks;
}

void close_world(struct world *w) {
    fb_close(w->cache);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
}

fb_keyspace_stats figures(struct world *w) {
    fb_keyspace_stats stats;
    assert_int_equal(fb_keyspace_stats_get(w->cache, 0, &stats), FB_OK);
    return stats;
}

void expect_row(struct world *w, const char *key, const char *value) {
    fb_buf buf = FB_BUF_INIT;
    fb_err err = {0};
    fb_status status = fb_get(w->cache, FB_STR(key), &buf, &err);
    if (value == NULL) {
        assert_int_equal(status, FB_NOTFOUND);
    } else {
        assert_int_equal(status, FB_OK);
        assert_int_equal(buf.len, strlen(value));
        assert_memory_equal(buf.data, value, buf.len);
    }
    fb_buf_free(&buf);
}

int64_t now_ms(void) { return fb_clock_now().ns / FB_NS_PER_MS; }

void keep_open(struct world *w) {
    fb_lock_acquire(&w->source->health_lock);
    w->source->breaker.until = FB_NEVER;
    atomic_store(&w->source->shut_until, FB_NEVER.ns);
    fb_lock_release(&w->source->health_lock);
}

/* ---- a caller on a thread of its own ---- */

void *get_it(void *arg) {
    struct caller *c = arg;
    c->status = fb_get(c->world->cache, FB_STR(c->key), &c->buf, &c->err);
    return NULL;
}

void *set_it(void *arg) {
    struct caller *c = arg;
    c->status = fb_set(c->world->cache, FB_STR(c->key), FB_STR(c->value), &c->err);
    return NULL;
}

void begin(struct caller *c, struct world *w, void *(*what)(void *), const char *key, const char *value) {
    *c = (struct caller){.world = w, .key = key, .value = value};
    assert_int_equal(pthread_create(&c->thread, NULL, what, c), 0);
}

fb_status end(struct caller *c) {
    pthread_join(c->thread, NULL);
    return c->status;
}

void complete(void *user, const fb_result *result) {
    struct completion *c = user;
    pthread_mutex_lock(&c->world->mutex);
    c->done++;
    c->status = result->status;
    c->world->closed_answers += result->status == FB_CLOSED;
    snprintf(c->value, sizeof c->value, "%.*s", (int)result->value.len, result->value.data);
    pthread_cond_broadcast(&c->world->changed);
    pthread_mutex_unlock(&c->world->mutex);
}
