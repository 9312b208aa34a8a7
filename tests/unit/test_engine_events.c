/* What a watched cache tells, and when. */
#include <sched.h>
#include <stdlib.h>

#include "engine_world.h"

enum { EVERY = (1 << (FB_EVENT_ALL + 1)) - 1, LOG = 8192 };

/* Every event as a line: "LOADED k:7", "WRITTEN k:7 op 1 by 5". */
struct watcher {
    pthread_mutex_t mutex;
    char log[LOG];
    size_t len;
    unsigned told, by_kind[FB_EVENT_ALL + 1];
};

static const char *const names[] = {
#define NAME(name, text) #name,
    FB_EVENT_MAP(NAME)
#undef NAME
};

static void note(void *user, const fb_event *event) {
    struct watcher *watcher = user;
    bool has_op = event->kind == FB_EVENT_WRITTEN || event->kind == FB_EVENT_DELETED ||
                  event->kind == FB_EVENT_INVALIDATED || event->kind == FB_EVENT_LIFE || event->kind == FB_EVENT_DOUBTED;
    pthread_mutex_lock(&watcher->mutex);
    watcher->told++;
    watcher->by_kind[event->kind]++;
    size_t room = LOG - watcher->len;
    int n = snprintf(watcher->log + watcher->len, room, "%s%s%.*s", names[event->kind], event->key.len > 0 ? " " : "",
                     (int)event->key.len, event->key.data);
    if (has_op && n >= 0 && (size_t)n < room)
        n += snprintf(watcher->log + watcher->len + n, room - (size_t)n, " op %d by %u", (int)event->op,
                      (unsigned)event->origin);
    if (n >= 0 && (size_t)n + 1 < room) {
        watcher->len += (size_t)n;
        watcher->log[watcher->len++] = '\n';
        watcher->log[watcher->len] = '\0';
    }
    pthread_mutex_unlock(&watcher->mutex);
}

static void watch(struct world *w, struct watcher *watcher) {
    *watcher = (struct watcher){.told = 0};
    pthread_mutex_init(&watcher->mutex, NULL);
    fb_watch(w->cache, EVERY, note, watcher);
}

/* What has been told since the last time. */
static void expect_told(struct watcher *watcher, const char *lines) {
    pthread_mutex_lock(&watcher->mutex);
    assert_string_equal(watcher->log, lines);
    watcher->len = 0;
    watcher->log[0] = '\0';
    pthread_mutex_unlock(&watcher->mutex);
}

static unsigned count_of(struct watcher *watcher, fb_event_kind kind) {
    pthread_mutex_lock(&watcher->mutex);
    unsigned n = watcher->by_kind[kind];
    pthread_mutex_unlock(&watcher->mutex);
    return n;
}

/* Submit and wait for the end. */
static fb_status submit(struct world *w, fb_op op) {
    struct completion c = {.world = w};
    fb_result result;
    fb_status status = fb_submit(w->cache, &op, complete, &c, &result);
    if (status != FB_PENDING) {
        fb_result_release(&result);
        return status;
    }
    wait_for(w, &c.done, 1);
    return c.status;
}

static fb_op op_of(fb_op_kind kind, const char *key, const char *value) {
    return (fb_op){.kind = kind, .key = FB_STR(key), .value = FB_STR(value), .origin = 5};
}

/* ---- what is told ---- */

static void every_change_has_its_event(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    fb_op op;
    open_world(&w, writing(), (fb_source_options){0});
    watch(&w, &t);
    expect_row(&w, "k:7", "seven");
    expect_told(&t, "LOADED k:7\n");
    expect_row(&w, "k:7", "seven");
    expect_told(&t, "");
    expect_row(&w, "k:8", NULL);
    expect_told(&t, "LOADED k:8\n");
    assert_int_equal(submit(&w, op_of(FB_OP_SET, "k:7", "new")), FB_OK);
    expect_told(&t, "WRITTEN k:7 op 1 by 5\n");
    op = op_of(FB_OP_EXPIRE, "k:7", "");
    op.life_ms = 100000;
    assert_int_equal(submit(&w, op), FB_OK);
    assert_int_equal(submit(&w, op_of(FB_OP_PERSIST, "k:7", "")), FB_OK);
    expect_told(&t, "LIFE k:7 op 8 by 5\nLIFE k:7 op 9 by 5\n");
    assert_int_equal(submit(&w, op_of(FB_OP_PERSIST, "k:7", "")), FB_UNMET);
    expect_told(&t, "");
    op.life_ms = -1;
    assert_int_equal(submit(&w, op), FB_OK);
    expect_told(&t, "INVALIDATED k:7 op 8 by 5\n");
    op = op_of(FB_OP_SET, "k:7", "short");
    op.life_ms = 100000;
    assert_int_equal(submit(&w, op), FB_OK);
    expect_told(&t, "WRITTEN k:7 op 1 by 5\nLIFE k:7 op 1 by 5\n");
    assert_int_equal(submit(&w, op_of(FB_OP_DROP, "k:7", "")), FB_OK);
    assert_int_equal(submit(&w, op_of(FB_OP_INVALIDATE, "k:8", "")), FB_NOTFOUND);
    expect_told(&t, "INVALIDATED k:7 op 6 by 5\nINVALIDATED k:8 op 7 by 5\n");
    assert_int_equal(submit(&w, op_of(FB_OP_INVALIDATE, "k:8", "")), FB_MISS);
    expect_told(&t, "");
    assert_int_equal(submit(&w, op_of(FB_OP_DELETE, "k:7", "")), FB_OK);
    expect_told(&t, "DELETED k:7 op 5 by 5\n");
    fb_invalidate_all(w.cache);
    expect_told(&t, "ALL\n");
    close_world(&w);
}

static void a_refresh_loads_anew_and_is_told(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    open_world(&w, writing(), (fb_source_options){0});
    watch(&w, &t);
    assert_int_equal(submit(&w, op_of(FB_OP_REFRESH, "k:7", "")), FB_OK);
    expect_told(&t, "LOADED k:7\n");
    set_row(&w, 7, "new");
    assert_int_equal(submit(&w, op_of(FB_OP_REFRESH, "k:7", "")), FB_OK);
    expect_told(&t, "REFRESHED k:7\n");
    expect_row(&w, "k:7", "new");
    w.load_status = FB_SOURCE;
    assert_int_equal(submit(&w, op_of(FB_OP_REFRESH, "k:7", "")), FB_SOURCE);
    expect_row(&w, "k:7", "new");
    w.load_status = FB_OK;
    set_row(&w, 7, "");
    assert_int_equal(submit(&w, op_of(FB_OP_REFRESH, "k:7", "")), FB_NOTFOUND);
    expect_row(&w, "k:7", NULL);
    expect_told(&t, "REFRESHED k:7\n");
    assert_int_equal(figures(&w).misses, 0);
    assert_int_equal(figures(&w).loads, 4);
    close_world(&w);
    fb_keyspace_options ks = writing();
    ks.read = FB_READ_ASIDE;
    open_world(&w, ks, (fb_source_options){0});
    assert_int_equal(submit(&w, op_of(FB_OP_REFRESH, "k:7", "")), FB_UNSUPPORTED);
    close_world(&w);
}

static void write_around_is_told_as_well(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    fb_keyspace_options ks = writing();
    ks.write = FB_WRITE_AROUND;
    open_world(&w, ks, (fb_source_options){0});
    watch(&w, &t);
    assert_int_equal(submit(&w, op_of(FB_OP_SET, "k:7", "new")), FB_OK);
    expect_told(&t, "WRITTEN k:7 op 1 by 5\n");
    close_world(&w);
}

static void a_write_that_changed_nothing_is_no_event_but_what_it_hid_is(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    open_world(&w, writing(), (fb_source_options){0});
    watch(&w, &t);
    w.store_status = FB_SOURCE;
    assert_int_equal(submit(&w, op_of(FB_OP_SET, "k:7", "new")), FB_SOURCE);
    expect_told(&t, "");
    expect_row(&w, "k:7", "seven");
    assert_int_equal(submit(&w, op_of(FB_OP_SET, "k:7", "new")), FB_SOURCE);
    expect_told(&t, "LOADED k:7\nUNCACHED k:7\n");
    w.store_status = FB_UNKNOWN;
    assert_int_equal(submit(&w, op_of(FB_OP_SET, "k:7", "new")), FB_UNKNOWN);
    expect_told(&t, "DOUBTED k:7 op 1 by 5\n");
    expect_row(&w, "k:7", "new"); /* in the doubt window: not kept */
    expect_told(&t, "UNCACHED k:7\n");
    close_world(&w);
}

static void the_application_s_own_loads_and_writes_are_told(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    fb_buf buf = FB_BUF_INIT;
    uint64_t token, ticket;
    open_world(&w, writing(), (fb_source_options){0});
    watch(&w, &t);
    assert_int_equal(fb_get_or_lease(w.cache, FB_STR("k:7"), 0, &buf, &token, NULL), FB_LEASE);
    assert_int_equal(fb_fill(w.cache, FB_STR("k:7"), token, FB_STR("mine"), 0, NULL), FB_OK);
    expect_told(&t, "LOADED k:7\n");
    assert_int_equal(fb_write_begin(w.cache, FB_STR("k:7"), &ticket, NULL), FB_OK);
    expect_told(&t, "");
    fb_write_end(w.cache, FB_STR("k:7"), ticket);
    expect_told(&t, "DOUBTED k:7 op 1 by 0\n");
    close_world(&w);
}

static void a_load_overtaken_by_an_invalidation_is_told_when_it_is_not_kept(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    struct caller c;
    open_world(&w, writing(), (fb_source_options){0});
    watch(&w, &t);
    hold_loads(&w, true);
    begin(&c, &w, get_it, "k:7", NULL);
    wait_for(&w, &w.waiting_loads, 1);
    assert_int_equal(submit(&w, op_of(FB_OP_INVALIDATE, "k:7", "")), FB_MISS);
    expect_told(&t, "");
    hold_loads(&w, false);
    assert_int_equal(end(&c), FB_OK);
    expect_told(&t, "UNCACHED k:7\n");
    fb_buf_free(&c.buf);
    close_world(&w);
}

static void the_end_of_a_life_and_eviction_are_told(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    fb_keyspace_options ks = writing();
    open_world(&w, ks, (fb_source_options){0});
    watch(&w, &t);
    fb_op op = op_of(FB_OP_SET, "k:7", "short");
    op.life_ms = 1;
    assert_int_equal(submit(&w, op), FB_OK);
    while (fb_cached(w.cache, FB_STR("k:7")) != FB_MISS)
        ;
    while (count_of(&t, FB_EVENT_EXPIRED) == 0) /* the sweep may have been there first, and is about to tell */
        sched_yield();
    assert_int_equal(count_of(&t, FB_EVENT_EXPIRED), 1);
    for (int i = 0; count_of(&t, FB_EVENT_EVICTED) == 0; i++) {
        char key[32];
        assert_true(i < 100000);
        snprintf(key, sizeof key, "k:%d", i);
        assert_int_equal(fb_set(w.cache, FB_STR(key), FB_STR(key), NULL), FB_OK);
    }
    assert_int_equal(count_of(&t, FB_EVENT_EVICTED), figures(&w).evicted);
    close_world(&w);
}

static void only_what_is_wanted_is_told(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    open_world(&w, writing(), (fb_source_options){0});
    watch(&w, &t);
    fb_watch(w.cache, 1 << FB_EVENT_WRITTEN, note, &t);
    expect_row(&w, "k:7", "seven");
    assert_int_equal(submit(&w, op_of(FB_OP_SET, "k:7", "new")), FB_OK);
    fb_invalidate_all(w.cache);
    expect_told(&t, "WRITTEN k:7 op 1 by 5\n");
    fb_watch(w.cache, 0, note, &t);
    assert_int_equal(submit(&w, op_of(FB_OP_SET, "k:7", "newer")), FB_OK);
    expect_told(&t, "");
    close_world(&w);
}

/* ---- when it is told ---- */

struct order {
    struct watcher *watcher;
    struct completion c;
    unsigned told_before;
};

static void complete_in_order(void *user, const fb_result *result) {
    struct order *order = user;
    order->told_before = count_of(order->watcher, FB_EVENT_WRITTEN) + count_of(order->watcher, FB_EVENT_LOADED);
    complete(&order->c, result);
}

static void an_event_comes_before_the_completion_behind_it(void **state) {
    (void)state;
    struct world w;
    struct watcher t;
    fb_result result;
    open_world(&w, writing(), (fb_source_options){0});
    watch(&w, &t);
    struct order load = {.watcher = &t, .c = {.world = &w}}, write = {.watcher = &t, .c = {.world = &w}};
    fb_op op = op_of(FB_OP_READ, "k:7", "");
    assert_int_equal(fb_submit(w.cache, &op, complete_in_order, &load, &result), FB_PENDING);
    wait_for(&w, &load.c.done, 1);
    assert_int_equal(load.told_before, 1);
    op = op_of(FB_OP_SET, "k:7", "new");
    assert_int_equal(fb_submit(w.cache, &op, complete_in_order, &write, &result), FB_PENDING);
    wait_for(&w, &write.c.done, 1);
    assert_int_equal(write.told_before, 2);
    close_world(&w);
}

/* A client that keeps what it has read, and drops it on any event. */
struct copy { unsigned events; int value; };
struct client {
    pthread_mutex_t mutex;
    struct copy copies[4]; /* k:0 to k:3; value 0: none */
};

static void drop_copy(void *user, const fb_event *event) {
    struct client *client = user;
    pthread_mutex_lock(&client->mutex);
    for (int i = 0; i < 4; i++)
        if (event->kind == FB_EVENT_ALL || event->key.data[2] == '0' + i)
            client->copies[i] = (struct copy){client->copies[i].events + 1, 0};
    pthread_mutex_unlock(&client->mutex);
}

static struct copy copy_of(struct client *client, int key) {
    pthread_mutex_lock(&client->mutex);
    struct copy copy = client->copies[key];
    pthread_mutex_unlock(&client->mutex);
    return copy;
}

struct role {
    struct world *world;
    struct client *client;
    pthread_t thread;
    _Atomic bool *is_over;
    int key;
};

static void *read_and_keep(void *arg) {
    struct role *role = arg;
    for (int i = 0; !atomic_load(role->is_over); i++) {
        char key[8];
        fb_buf buf = FB_BUF_INIT;
        snprintf(key, sizeof key, "k:%d", i % 4);
        struct copy before = copy_of(role->client, i % 4);
        if (fb_get(role->world->cache, FB_STR(key), &buf, NULL) == FB_OK && fb_buf_append(&buf, "", 1) == FB_OK) {
            pthread_mutex_lock(&role->client->mutex);
            if (role->client->copies[i % 4].events == before.events)
                role->client->copies[i % 4].value = (int)strtol(buf.data, NULL, 10);
            pthread_mutex_unlock(&role->client->mutex);
        }
        fb_buf_free(&buf);
    }
    return NULL;
}

/* What a client has kept is never older than the last write that has ended. */
static void *write_and_look(void *arg) {
    struct role *role = arg;
    intptr_t stale = 0;
    for (int i = 1; i <= 400; i++) {
        char key[8], value[16];
        snprintf(key, sizeof key, "k:%d", role->key);
        snprintf(value, sizeof value, "%d", i);
        stale += fb_set(role->world->cache, FB_STR(key), FB_STR(value), NULL) != FB_OK;
        int kept = copy_of(role->client, role->key).value;
        stale += kept != 0 && kept < i;
        if (i % 16 == 0)
            (void)fb_invalidate(role->world->cache, FB_STR(key), NULL);
        if (i % 64 == 0)
            fb_invalidate_all(role->world->cache);
    }
    return (void *)stale;
}

static void a_client_that_keeps_copies_is_never_behind_a_write(void **state) {
    (void)state;
    struct world w;
    _Atomic bool is_over = false;
    struct client client = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct role readers[3], writers[4];
    open_world(&w, writing(), (fb_source_options){0});
    fb_watch(w.cache, EVERY & ~(1u << FB_EVENT_LIFE), drop_copy, &client);
    for (int i = 0; i < 3; i++) {
        readers[i] = (struct role){.world = &w, .client = &client, .is_over = &is_over};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_and_keep, &readers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct role){.world = &w, .client = &client, .key = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_and_look, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *stale;
        pthread_join(writers[i].thread, &stale);
        assert_null(stale);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(readers[i].thread, NULL);
    close_world(&w);
}

/* ---- too much to tell ---- */

static fb_status load_nothing(void *user, fb_bytes key, fb_buf *ret_value, fb_err *reterr) {
    (void)user, (void)key, (void)ret_value, (void)reterr;
    return FB_NOTFOUND;
}
static fb_status store_anything(void *user, fb_bytes key, fb_bytes value, fb_buf *ret_after, fb_err *reterr) {
    (void)user, (void)key, (void)value, (void)ret_after, (void)reterr;
    return FB_OK;
}

static void events_that_are_too_many_become_one_for_all_keys(void **state) {
    (void)state;
    enum { KEY = 4000, BIG = 1900 << 10 };
    fb_cache *cache;
    struct watcher t = {.told = 0};
    fb_keyspace_options ks = writing();
    fb_options options = {.memory_max = 16 << 20, .shards = 1, .seed = 1};
    fb_callbacks callbacks = {load_nothing, store_anything, NULL, NULL};
    char *big = calloc(1, BIG), key[KEY + 8];
    assert_non_null(big);
    pthread_mutex_init(&t.mutex, NULL);
    assert_int_equal(fb_open(&options, &cache, NULL), FB_OK);
    assert_int_equal(fb_source_callbacks(cache, "s", &callbacks, NULL, &ks.source, NULL), FB_OK);
    ks.pattern = "k:{id:rest}";
    ks.as = "text";
    assert_int_equal(fb_keyspace_add(cache, &ks, NULL), FB_OK);
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k:%0*d", KEY, i);
        assert_int_equal(fb_set(cache, FB_STR(key), FB_STR("x"), NULL), FB_OK);
    }
    fb_watch(cache, EVERY, note, &t);
    assert_int_equal(fb_set(cache, FB_STR("k:big"), fb_bytes_of(big, BIG), NULL), FB_OK);
    assert_string_equal(t.log, "ALL\n");
    fb_close(cache);
    free(big);
}

/* ---- the end ---- */

/* An observer that does not come back before it is let go. */
struct held {
    struct world *world;
    _Atomic bool is_inside, may_leave, has_begun_to_end, was_inside_at_the_end;
};

static void stay(void *user, const fb_event *event) {
    struct held *held = user;
    (void)event;
    atomic_store(&held->is_inside, true);
    while (!atomic_load(&held->may_leave))
        sched_yield();
    atomic_store(&held->is_inside, false);
}

static void *invalidate(void *user) {
    struct held *held = user;
    (void)fb_invalidate(held->world->cache, FB_STR("k:7"), NULL);
    return NULL;
}

static void *end_watching(void *user) {
    struct held *held = user;
    atomic_store(&held->has_begun_to_end, true);
    fb_watch(held->world->cache, 0, stay, held);
    atomic_store(&held->was_inside_at_the_end, atomic_load(&held->is_inside));
    return NULL;
}

static void watching_ends_when_no_call_is_under_way(void **state) {
    (void)state;
    struct world w;
    struct held held = {.world = &w};
    struct watcher next;
    pthread_t caller, ender;
    open_world(&w, writing(), (fb_source_options){0});
    expect_row(&w, "k:7", "seven");
    fb_watch(w.cache, 1 << FB_EVENT_INVALIDATED, stay, &held);
    pthread_create(&caller, NULL, invalidate, &held);
    while (!atomic_load(&held.is_inside))
        sched_yield();
    pthread_create(&ender, NULL, end_watching, &held);
    while (!atomic_load(&held.has_begun_to_end))
        sched_yield();
    for (int i = 0; i < 1000; i++) /* time enough to return, if it did not wait */
        sched_yield();
    atomic_store(&held.may_leave, true);
    pthread_join(ender, NULL);
    pthread_join(caller, NULL);
    assert_false(held.was_inside_at_the_end);
    watch(&w, &next); /* another one follows */
    (void)submit(&w, op_of(FB_OP_SET, "k:7", "eight"));
    assert_int_equal(count_of(&next, FB_EVENT_WRITTEN), 1);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_has_its_event),
        cmocka_unit_test(a_refresh_loads_anew_and_is_told),
        cmocka_unit_test(write_around_is_told_as_well),
        cmocka_unit_test(a_write_that_changed_nothing_is_no_event_but_what_it_hid_is),
        cmocka_unit_test(the_application_s_own_loads_and_writes_are_told),
        cmocka_unit_test(a_load_overtaken_by_an_invalidation_is_told_when_it_is_not_kept),
        cmocka_unit_test(the_end_of_a_life_and_eviction_are_told),
        cmocka_unit_test(only_what_is_wanted_is_told),
        cmocka_unit_test(an_event_comes_before_the_completion_behind_it),
        cmocka_unit_test(a_client_that_keeps_copies_is_never_behind_a_write),
        cmocka_unit_test(events_that_are_too_many_become_one_for_all_keys),
        cmocka_unit_test(watching_ends_when_no_call_is_under_way),
    };
    return cmocka_run_group_tests_name("engine_events", tests, NULL, NULL);
}
