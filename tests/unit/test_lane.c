/* The lane: what is queued is carried out, and it ends in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "engine/lane.h"

enum { ITEMS = 2000 };

struct world {
    struct fb_link items[ITEMS];
    struct fb_lane *lane, *next; /* what one lane is done with goes to the next, if there is one */
    atomic_uint done, left, kept;
    pthread_mutex_t mutex; /* covers the next */
    pthread_cond_t changed;
    unsigned entered, wanted; /* work goes on when so many workers have come to it */
};

static void meet(struct world *w) {
    pthread_mutex_lock(&w->mutex);
    w->entered++;
    pthread_cond_broadcast(&w->changed);
    while (w->entered < w->wanted)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static void work(void *user, void **session, struct fb_link *batch, unsigned n) {
    struct world *w = user;
    *session = w;
    if (w->wanted > 0)
        meet(w);
    if (w->next != NULL)
        fb_lane_push(w->next, batch);
    while (fb_list_pop_front(batch) != NULL)
        w->kept += w->next != NULL;
    w->done += n;
}

static void leave(void *user, void *session) {
    struct world *w = user;
    assert_true(session == NULL || session == user);
    w->left++;
}

static void open_lane(struct world *w, unsigned workers, struct fb_lane *next) {
    *w = (struct world){.next = next};
    w->lane = fb_lane_create(&(struct fb_lane_options){workers, 100, ITEMS, work, leave, w});
    assert_non_null(w->lane);
}

static void push(struct world *w, unsigned first, unsigned n, struct fb_link *ret_rest) {
    fb_list_init(ret_rest);
    for (unsigned i = first; i < first + n; i++) {
        fb_list_init(&w->items[i]);
        fb_list_push_back(ret_rest, &w->items[i]);
    }
    fb_lane_push(w->lane, ret_rest);
}

static void a_lane_that_is_stopped_has_finished_what_was_queued(void **state) {
    (void)state;
    static struct world w;
    struct fb_link rest;
    open_lane(&w, 4, NULL);
    for (unsigned i = 0; i < ITEMS; i++) {
        push(&w, i, 1, &rest);
        assert_true(fb_list_is_empty(&rest));
    }
    fb_lane_stop(w.lane);
    assert_int_equal(w.done, ITEMS);
    assert_in_range(w.left, 1, 4);
    fb_lane_destroy(w.lane);
}

static void a_stopped_lane_takes_nothing_and_starts_nobody(void **state) {
    (void)state;
    static struct world w;
    struct fb_link rest;
    open_lane(&w, 4, NULL);
    push(&w, 0, 1, &rest);
    fb_lane_stop(w.lane);
    unsigned left = w.left;
    push(&w, 1, 10, &rest);
    assert_ptr_equal(fb_list_pop_front(&rest), &w.items[1]);
    fb_lane_destroy(w.lane);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.left, left);
}

/* One push of more than a batch, and nobody is there yet: whoever takes a batch sees to the rest. */
static void many_items_of_one_push_employ_all_workers(void **state) {
    (void)state;
    static struct world w;
    struct fb_link rest;
    open_lane(&w, 4, NULL);
    w.wanted = 4;
    pthread_mutex_init(&w.mutex, NULL);
    pthread_cond_init(&w.changed, NULL);
    push(&w, 0, ITEMS, &rest);
    pthread_mutex_lock(&w.mutex);
    while (w.entered < w.wanted) /* with fewer workers this never comes */
        pthread_cond_wait(&w.changed, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    fb_lane_stop(w.lane);
    assert_int_equal(w.done, ITEMS);
    assert_int_equal(w.left, 4);
    fb_lane_destroy(w.lane);
}

/* As when a cache closes: a worker of one lane may be in the middle of waking one of the other. */
static void lanes_that_feed_each_other_are_all_stopped_before_any_is_freed(void **state) {
    (void)state;
    static struct world first, second;
    struct fb_link rest;
    for (unsigned round = 0; round < 20; round++) {
        open_lane(&second, 2, NULL);
        open_lane(&first, 2, second.lane);
        push(&first, 0, ITEMS, &rest);
        fb_lane_stop(second.lane);
        fb_lane_stop(first.lane);
        assert_int_equal(first.done, ITEMS);
        assert_int_equal(second.done + first.kept, ITEMS);
        fb_lane_destroy(second.lane);
        fb_lane_destroy(first.lane);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_that_is_stopped_has_finished_what_was_queued),
        cmocka_unit_test(a_stopped_lane_takes_nothing_and_starts_nobody),
        cmocka_unit_test(many_items_of_one_push_employ_all_workers),
        cmocka_unit_test(lanes_that_feed_each_other_are_all_stopped_before_any_is_freed),
    };
    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
