/* Bounded queues drained in batches by their own threads. */
#include "engine/lane.h"

#include "base/clock.h"
#include "base/mem.h"

enum { WORKERS_MAX = 64 };

struct fb_lane {
    struct fb_lane_options options;  /* constant */
    struct fb_lock lock;             /* covers what follows */
    struct fb_cond filled;
    struct fb_link queue;
    unsigned waiting, started, idle, working;
    bool is_watched;                 /* an idle worker looks after a while whether what waits has waited long */
    fb_instant since;                /* the oldest of what waits */
    int64_t typical_ns;              /* of a round trip: a moving mean */
    bool is_stopping;
    pthread_t threads[WORKERS_MAX];
};

struct fb_lane *fb_lane_create(const struct fb_lane_options *options) {
    struct fb_lane *lane = fb_mem_calloc(1, sizeof *lane);
    if (lane == NULL)
        return NULL;
    lane->options = *options;
    if (lane->options.workers > WORKERS_MAX)
        lane->options.workers = WORKERS_MAX;
    fb_lock_init(&lane->lock, FB_LOCK_LANE);
    fb_cond_init(&lane->filled);
    fb_list_init(&lane->queue);
    return lane;
}

static bool is_ripe(const struct fb_lane *lane) {
    return lane->working == 0 || lane->waiting >= FB_LANE_ENOUGH || lane->is_stopping;
}

static fb_span patience(const struct fb_lane *lane) {
    bool is_quick = lane->typical_ns < fb_ms(FB_LANE_PATIENCE_MS).ns;
    return fb_ms(is_quick ? FB_LANE_QUICK_PATIENCE_MS : FB_LANE_PATIENCE_MS);
}

/* Something waits behind a round trip that is under way: if it still does after a while, that one takes long. Mostly it
 * does not: its worker comes back first and takes everything. */
static void watch(struct fb_lane *lane) {
    while (lane->waiting > 0 && !is_ripe(lane)) {
        fb_instant due = fb_after(lane->since, patience(lane));
        if (fb_reached(fb_clock_now(), due))
            return;
        fb_cond_wait_until(&lane->filled, &lane->lock, due);
    }
}

static void *run(void *arg);

/* One more worker when nobody is idle; with the lane's lock held. A thread that cannot be had is not missed as long as
 * there is one: the queue waits for it. */
static void start_worker(struct fb_lane *lane) {
    if (lane->idle > 0 || lane->started == lane->options.workers || lane->is_stopping)
        return;
    if (pthread_create(&lane->threads[lane->started], NULL, run, lane) == 0)
        lane->started++;
}

/* Waits for work; 0 when the lane is stopping and empty. */
static unsigned take(struct fb_lane *lane, struct fb_link *batch) {
    unsigned n = 0;
    fb_lock_acquire(&lane->lock);
    lane->idle++;
    for (;;) {
        if (lane->waiting > 0 && !is_ripe(lane) && !lane->is_watched) {
            lane->is_watched = true;
            watch(lane);
            lane->is_watched = false;
            if (lane->waiting > 0)
                break;
        } else if (lane->waiting > 0 && is_ripe(lane)) {
            break;
        } else if (lane->is_stopping) {
            break;
        } else {
            fb_cond_wait(&lane->filled, &lane->lock);
        }
    }
    lane->idle--;
    for (; n < lane->options.batch_max && lane->waiting > 0; n++, lane->waiting--)
        fb_list_push_back(batch, fb_list_pop_front(&lane->queue));
    bool is_more = lane->waiting > 0; /* than one batch: another is woken, or started */
    if (is_more) {
        lane->since = fb_clock_now();
        start_worker(lane);
    }
    lane->working += n > 0;
    fb_lock_release(&lane->lock);
    if (is_more)
        fb_cond_signal(&lane->filled);
    return n;
}

static void worked(struct fb_lane *lane, fb_span took) {
    fb_lock_acquire(&lane->lock);
    lane->working--;
    lane->typical_ns += (took.ns - lane->typical_ns) / 8;
    fb_lock_release(&lane->lock);
}

static void *run(void *arg) {
    struct fb_lane *lane = arg;
    struct fb_link batch = FB_LIST_INIT(batch);
    void *session = NULL;
    for (unsigned n; (n = take(lane, &batch)) > 0;) {
        fb_instant began = fb_clock_now();
        lane->options.work(lane->options.user, &session, &batch, n);
        worked(lane, fb_since(fb_clock_now(), began));
    }
    lane->options.leave(lane->options.user, session);
    return NULL;
}

/* Who is woken while the lock is held only goes to sleep again over it: signals come after the release. */
void fb_lane_push(struct fb_lane *lane, struct fb_link *items) {
    bool wakes = false;
    fb_lock_acquire(&lane->lock);
    start_worker(lane);
    if (lane->started > 0) {
        if (lane->waiting == 0)
            lane->since = fb_clock_now();
        while (lane->waiting < lane->options.queue_max && !fb_list_is_empty(items)) {
            fb_list_push_back(&lane->queue, fb_list_pop_front(items));
            lane->waiting++;
        }
        wakes = lane->working == 0 || !lane->is_watched || lane->waiting >= FB_LANE_ENOUGH;
    }
    fb_lock_release(&lane->lock);
    if (wakes)
        fb_cond_signal(&lane->filled);
}

void fb_lane_withdraw(struct fb_lane *lane, struct fb_link *ret_items) {
    fb_lock_acquire(&lane->lock);
    fb_list_append(ret_items, &lane->queue);
    lane->waiting = 0;
    fb_lock_release(&lane->lock);
}

unsigned fb_lane_waiting(struct fb_lane *lane) {
    fb_lock_acquire(&lane->lock);
    unsigned n = lane->waiting;
    fb_lock_release(&lane->lock);
    return n;
}

void fb_lane_stop(struct fb_lane *lane) {
    if (lane == NULL)
        return;
    fb_lock_acquire(&lane->lock);
    lane->is_stopping = true;
    fb_cond_broadcast(&lane->filled);
    unsigned started = lane->started;
    lane->started = 0;
    fb_lock_release(&lane->lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(lane->threads[i], NULL);
}

void fb_lane_destroy(struct fb_lane *lane) {
    if (lane == NULL)
        return;
    fb_lane_stop(lane);
    fb_cond_finish(&lane->filled);
    fb_lock_finish(&lane->lock);
    fb_mem_free(lane);
}
