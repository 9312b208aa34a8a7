/* Round trips under way: whose connection they use, and giving up those that nobody waits for.
 *
 * Cancelling asks the database over another connection, which may take a while: it has a lane of its own, so that neither
 * the ticker nor another source waits for it. A worker whose trip is being cancelled waits for the end of that before it
 * goes on, because what is meant for one call must not hit the next. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/engine.h"

enum {
    UNWANTED_AFTER_MS = 100, /* younger trips are not looked at: most end by themselves before anybody could stop them */
    OVERDUE_AFTER_MS = 500,  /* beyond the timeout that the driver keeps itself */
    CANCELS_MAX = 256,       /* more than there are workers */
};

enum trip_state { TRIP_NONE, TRIP_UNDER_WAY, TRIP_CANCELLING, TRIP_CANCELLED };

struct fb_trip {
    struct fb_link link, cancel;
    struct fb_source *source;
    struct fb_session *session;
    bool is_writer;
    /* Covered by the source's trips_lock: */
    enum trip_state state;
    fb_instant begun;
    struct fb_flight *const *flights;
    unsigned n;
    struct fb_cond settled;
};

struct fb_trip *fb_trip_get(struct fb_source *source, bool is_writer, void **slot, fb_err *reterr) {
    struct fb_trip *trip = *slot;
    if (trip == NULL) {
        trip = fb_mem_calloc(1, sizeof *trip);
        if (trip == NULL)
            return NULL;
        trip->source = source;
        trip->is_writer = is_writer;
        fb_list_init(&trip->cancel);
        fb_cond_init(&trip->settled);
        fb_lock_acquire(&source->trips_lock);
        fb_list_push_back(&source->trips, &trip->link);
        fb_lock_release(&source->trips_lock);
        *slot = trip;
    }
    if (trip->session != NULL)
        return trip;
    if (source->ops->session_open(source->driver, is_writer, &trip->session, reterr) != FB_OK) {
        trip->session = NULL;
        return NULL;
    }
    atomic_fetch_add_explicit(&source->sessions, 1, memory_order_relaxed);
    return trip;
}

struct fb_session *fb_trip_session(const struct fb_trip *trip) { return trip->session; }

void fb_lane_session_leave(void *user, void *slot) {
    struct fb_source *source = user;
    struct fb_trip *trip = slot;
    if (trip == NULL)
        return;
    fb_lock_acquire(&source->trips_lock);
    fb_list_remove(&trip->link);
    fb_lock_release(&source->trips_lock);
    if (trip->session != NULL) {
        source->ops->session_close(trip->session);
        atomic_fetch_sub_explicit(&source->sessions, 1, memory_order_relaxed);
    }
    fb_cond_finish(&trip->settled);
    fb_mem_free(trip);
}

void fb_trip_begin(struct fb_trip *trip, struct fb_flight *const *flights, unsigned n) {
    if (trip == NULL)
        return;
    fb_lock_acquire(&trip->source->trips_lock);
    trip->state = TRIP_UNDER_WAY;
    trip->begun = fb_clock_now();
    trip->flights = flights;
    trip->n = n;
    fb_lock_release(&trip->source->trips_lock);
    atomic_fetch_add_explicit(&trip->source->under_way, 1, memory_order_relaxed);
}

void fb_trip_end(struct fb_trip *trip) {
    if (trip == NULL)
        return;
    fb_lock_acquire(&trip->source->trips_lock);
    while (trip->state == TRIP_CANCELLING)
        fb_cond_wait(&trip->settled, &trip->source->trips_lock);
    trip->state = TRIP_NONE;
    trip->flights = NULL;
    fb_lock_release(&trip->source->trips_lock);
    atomic_fetch_sub_explicit(&trip->source->under_way, 1, memory_order_relaxed);
}

/* ---- cancelling ---- */

/* With trips_lock held: the flights cannot come home meanwhile. */
static bool is_wanted(const struct fb_trip *trip) {
    bool is = trip->flights == NULL;
    for (unsigned i = 0; i < trip->n && !is; i++) {
        struct fb_engine_shard *shard = fb_cache_shard(trip->source->cache, trip->flights[i]->hash);
        fb_lock_acquire(&shard->lock);
        is = fb_flight_is_wanted(trip->flights[i]);
        fb_lock_release(&shard->lock);
    }
    return is;
}

static bool is_to_be_cancelled(const struct fb_trip *trip, fb_instant now) {
    const fb_source_options *o = &trip->source->options;
    int64_t timeout_ms = trip->is_writer ? o->write_timeout_ms : o->read_timeout_ms;
    if (trip->state != TRIP_UNDER_WAY || !fb_reached(now, fb_after(trip->begun, fb_ms(UNWANTED_AFTER_MS))))
        return false;
    return fb_reached(now, fb_after(trip->begun, fb_ms(timeout_ms + o->added_latency_ms + OVERDUE_AFTER_MS))) ||
           !is_wanted(trip);
}

void fb_trips_watch(struct fb_source *source) {
    struct fb_link doomed = FB_LIST_INIT(doomed);
    if (atomic_load_explicit(&source->under_way, memory_order_relaxed) == 0)
        return;
    fb_instant now = fb_clock_now();
    fb_lock_acquire(&source->trips_lock);
    bool can_cancel = source->ops->cancel != NULL;
    for (struct fb_link *l = source->trips.next; can_cancel && l != &source->trips; l = l->next) {
        struct fb_trip *trip = fb_member_of(l, struct fb_trip, link);
        if (!is_to_be_cancelled(trip, now))
            continue;
        trip->state = TRIP_CANCELLING;
        fb_list_push_back(&doomed, &trip->cancel);
    }
    fb_lock_release(&source->trips_lock);
    if (!fb_list_is_empty(&doomed))
        fb_lane_push(source->cancels, &doomed);
    for (struct fb_link *l; (l = fb_list_pop_front(&doomed)) != NULL;) { /* no thread could be had: another time */
        struct fb_trip *trip = fb_member_of(l, struct fb_trip, cancel);
        fb_lock_acquire(&source->trips_lock);
        trip->state = TRIP_UNDER_WAY;
        fb_cond_signal(&trip->settled);
        fb_lock_release(&source->trips_lock);
    }
}

static void cancel_lane_work(void *user, void **slot, struct fb_link *batch, unsigned n) {
    struct fb_source *source = user;
    (void)slot, (void)n;
    for (struct fb_link *l; (l = fb_list_pop_front(batch)) != NULL;) {
        struct fb_trip *trip = fb_member_of(l, struct fb_trip, cancel);
        source->ops->cancel(trip->session);
        atomic_fetch_add_explicit(&source->cancelled, 1, memory_order_relaxed);
        fb_lock_acquire(&source->trips_lock);
        trip->state = TRIP_CANCELLED; /* once is enough; it ends the worker's wait, and nothing is touched after it */
        fb_cond_signal(&trip->settled);
        fb_lock_release(&source->trips_lock);
    }
}

static void cancel_lane_leave(void *user, void *slot) { (void)user, (void)slot; }

struct fb_lane *fb_cancel_lane_create(struct fb_source *source) {
    return fb_lane_create(&(struct fb_lane_options){
        .workers = 1,
        .batch_max = 1,
        .queue_max = CANCELS_MAX,
        .work = cancel_lane_work,
        .leave = cancel_lane_leave,
        .user = source,
    });
}
