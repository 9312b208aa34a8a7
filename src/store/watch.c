/* The watch's thread: a session for each primary of the map, and what follows from what they say.
 *
 * The watch is *whole* while there is a session with every primary of the map and the histories behind them have been
 * judged. Only then, and only of beats sent after that moment, the proof moves. The first level is *clean* when
 * everything in it was dropped since it was last proved. */
#include "store/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/sentry.h"
#include "store/vigil.h"

enum {
    REST_MOST_MS = 1000,   /* nobody is waited for longer than that */
    LOOK_EVERY_MS = 200,   /* the watch itself has the place look anew no more often */
    POLLED_MAX = FB_PLACE_PRIMARIES_MAX + FB_STORE_SEEDS_MAX + 2,
};

struct fb_store_watch {
    struct fb_place *place;
    const struct fb_store_watch_calls *calls;
    void *user;
    pthread_t thread;
    bool has_thread;
    int wake;                            /* an eventfd: stop, or other prefixes */
    _Atomic bool should_stop;
    struct fb_rng rng;

    struct fb_lock lock;                 /* over what another thread may set: */
    fb_bytes *next_prefixes;             /* NULL: nothing new */
    size_t next_count;

    /* The thread's own. */
    fb_bytes *prefixes;                  /* reduced; one allocation with their bytes */
    size_t prefixes_count;
    struct fb_topology *topology;
    struct fb_vigil *sessions[FB_PLACE_PRIMARIES_MAX];
    unsigned sessions_count;
    struct fb_member *members[FB_PLACE_PRIMARIES_MAX];
    unsigned members_count;
    struct fb_sentries sentries;
    bool is_whole, is_clean, was_told, was_up;
    fb_instant whole_since, look_due;
    char trouble[FB_PLACE_TEXT_MAX];     /* why it is not whole */
};

/* ---- prefixes ---------------------------------------------------------------------------------------------------
 * */

/* The keyspaces' and that of negative entries, reduced. NULL: no memory. */
static fb_bytes *copy_prefixes(const fb_bytes *prefixes, size_t *count) {
    static const char negative[] = "fb:n:";
    size_t n = *count + 1, bytes = sizeof negative - 1;
    for (size_t i = 0; i < *count; i++)
        bytes += prefixes[i].len;
    fb_bytes *copy = fb_mem_calloc(1, n * sizeof *copy + bytes);
    if (copy == NULL)
        return NULL;
    char *at = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        fb_bytes from = i < *count ? prefixes[i] : FB_STR(negative);
        if (from.len > 0)
            memcpy(at, from.data, from.len);
        copy[i] = fb_bytes_of(at, from.len);
        at += from.len;
    }
    *count = fb_prefixes_reduce(copy, n);
    return copy;
}

/* ---- telling ----------------------------------------------------------------------------------------------------
 * */

static void say(struct fb_store_watch *w, bool is_up, const char *text) {
    if (w->was_told && w->was_up == is_up)
        return;
    w->was_told = true;
    w->was_up = is_up;
    w->calls->state(w->user, is_up, text);
}

/* Nothing that was proved is so any more. */
static void lose(struct fb_store_watch *w, const char *why) {
    fb_place_unprove(w->place);
    w->is_whole = false;
    (void)snprintf(w->trouble, sizeof w->trouble, "%.*s", (int)sizeof w->trouble - 1, why);
}

/* ["invalidate", [names]], or null for all of them. */
static void take_push(struct fb_store_watch *w, const struct fb_resp_reply *reply) {
    const struct fb_resp_node *items = reply->items;
    if (reply->count < 3 || items[0].children != 2 || !fb_text_is(items[1].text, "invalidate"))
        return;
    if (items[2].type == FB_RESP_NULL)
        w->calls->all_changed(w->user);
    for (size_t i = 3; items[2].type == FB_RESP_ARRAY && i < reply->count; i++) {
        fb_bytes key;
        if (items[i].type == FB_RESP_BULK && fb_pushed_key(items[i].text, &key))
            w->calls->changed(w->user, key);
    }
}

/* ---- histories --------------------------------------------------------------------------------------------------
 * */

static bool is_continued(const struct fb_store_watch *w, const struct fb_member *member) {
    for (unsigned i = 0; i < w->sessions_count; i++)
        if (w->sessions[i]->member == member)
            return true;
    return false;
}

static bool is_at(const struct fb_store_address *a, const struct fb_store_address *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

struct verdict {
    enum fb_failover what;
    fb_instant since;
    bool has_heir; /* somebody goes on with this history */
};

/* What became of a member without a session: its heir is the primary that loses least of it. */
static struct verdict judge(struct fb_store_watch *w, const struct fb_member *m, bool *heirs, fb_instant now) {
    struct verdict v = {.what = FB_FAILOVER_DISTRUST};
    bool is_replaced = false;
    for (unsigned i = 0; i < w->sessions_count; i++) {
        const struct fb_vigil *s = w->sessions[i];
        fb_instant since = {0};
        if (s->member != NULL)
            continue;
        is_replaced = is_replaced || is_at(&s->address, &m->address);
        enum fb_failover what = fb_failover_judge(&m->identity, &s->identity, &m->beats, now, &since);
        if (what == FB_FAILOVER_DISTRUST)
            continue;
        heirs[i] = v.has_heir = true;
        if (what == FB_FAILOVER_NONE || v.what != FB_FAILOVER_NONE) {
            v.what = what;
            v.since = since;
        }
    }
    if (!v.has_heir && !is_replaced) /* perhaps it has left the Cluster, its slots moved: whole() knows */
        v.what = FB_FAILOVER_NONE;
    return v;
}

/* All histories that ended, as one verdict. */
static struct verdict judge_all(struct fb_store_watch *w, fb_instant now) {
    struct verdict all = {.what = FB_FAILOVER_NONE, .since = now};
    bool heirs[FB_PLACE_PRIMARIES_MAX] = {false}, has_left = false, has_stranger = false;
    for (unsigned i = 0; i < w->members_count; i++) {
        if (is_continued(w, w->members[i]))
            continue;
        struct verdict v = judge(w, w->members[i], heirs, now);
        has_left = has_left || (v.what == FB_FAILOVER_NONE && !v.has_heir);
        if (v.what == FB_FAILOVER_REASSERT && fb_before(v.since, all.since))
            all.since = v.since;
        if (v.what == FB_FAILOVER_DISTRUST || (v.what == FB_FAILOVER_REASSERT && all.what == FB_FAILOVER_NONE))
            all.what = v.what;
    }
    for (unsigned i = 0; i < w->sessions_count; i++)
        has_stranger = has_stranger || (w->sessions[i]->member == NULL && !heirs[i]);
    if (has_left && has_stranger) /* one is gone, and one is there whose history nobody knows */
        all.what = FB_FAILOVER_DISTRUST;
    return all;
}

/* Heirs keep the beats of whom they continue without a loss. */
static bool adopt(struct fb_store_watch *w) {
    struct fb_member *next[FB_PLACE_PRIMARIES_MAX];
    unsigned n = 0;
    for (; n < w->sessions_count; n++) {
        struct fb_vigil *s = w->sessions[n];
        next[n] = s->member;
        if (next[n] == NULL && (next[n] = fb_mem_calloc(1, sizeof *next[n])) == NULL)
            break;
        if (s->member != NULL)
            continue;
        for (unsigned i = 0; i < w->members_count; i++)
            if (memcmp(w->members[i]->identity.run_id, s->identity.run_id, FB_STORE_ID_LEN) == 0 &&
                memcmp(w->members[i]->identity.replid, s->identity.replid, FB_STORE_ID_LEN) == 0)
                next[n]->beats = w->members[i]->beats;
        next[n]->identity = s->identity;
        next[n]->address = s->address;
    }
    bool is_done = n == w->sessions_count;
    for (unsigned i = 0; i < n && !is_done; i++)
        if (w->sessions[i]->member == NULL)
            fb_mem_free(next[i]);
    if (!is_done)
        return false;
    for (unsigned i = 0; i < w->members_count; i++)
        if (!is_continued(w, w->members[i]))
            fb_mem_free(w->members[i]);
    for (unsigned i = 0; i < n; i++)
        w->sessions[i]->member = w->members[i] = next[i];
    w->members_count = n;
    return true;
}

/* ---- whole, and proved ------------------------------------------------------------------------------------------
 * */

static const struct fb_vigil *first_that(const struct fb_store_watch *w, bool (*test)(const struct fb_vigil *)) {
    for (unsigned i = 0; i < w->sessions_count; i++)
        if (test(w->sessions[i]))
            return w->sessions[i];
    return NULL;
}

static bool has_not_begun(const struct fb_vigil *s) { return s->state != FB_VIGIL_BEGUN; }
static bool is_deaf(const struct fb_vigil *s) { return !s->is_tracking; }

/* W3, then W1. */
static void become_whole(struct fb_store_watch *w) {
    fb_instant now = fb_clock_now();
    struct verdict v = judge_all(w, now);
    if (!adopt(w))
        return;
    if (v.what != FB_FAILOVER_NONE)
        w->calls->history(w->user, v.what, v.since);
    w->calls->all_changed(w->user);
    w->is_clean = w->is_whole = true;
    w->whole_since = now;
    const struct fb_vigil *deaf = first_that(w, is_deaf);
    if (deaf != NULL)
        (void)snprintf(w->trouble, sizeof w->trouble, "changes are not told (%.100s): no copies are kept", deaf->refusal);
    say(w, true, deaf != NULL ? w->trouble : "watched");
}

/* The least of what the sessions prove, of beats that left after everybody was told. */
static void prove(struct fb_store_watch *w) {
    fb_instant least = FB_NEVER;
    if (!w->is_whole || w->sessions_count == 0 || first_that(w, is_deaf) != NULL)
        return;
    for (unsigned i = 0; i < w->sessions_count; i++)
        if (fb_before(w->sessions[i]->proved, least))
            least = w->sessions[i]->proved;
    if (fb_before(least, w->whole_since))
        return;
    w->is_clean = false;
    fb_place_prove(w->place, w->topology->generation, fb_after(least, fb_ms(FB_WATCH_PROOF_MS)));
}

static void settle(struct fb_store_watch *w) {
    bool is_cut_off = atomic_load_explicit(&w->place->is_cut_off, memory_order_relaxed);
    if (w->is_whole)
        return;
    if (!is_cut_off && w->sessions_count > 0 && first_that(w, has_not_begun) == NULL) {
        become_whole(w);
        return;
    }
    if (!w->is_clean) {
        w->calls->all_changed(w->user);
        w->is_clean = true;
    }
    if (w->trouble[0] != '\0')
        say(w, false, w->trouble);
}

/* ---- sessions and the map ---------------------------------------------------------------------------------------
 * */

static void look(struct fb_store_watch *w, fb_instant now) {
    fb_err err = {.status = FB_OK};
    if (w->place->url.kind == FB_STORE_SINGLE || !fb_reached(now, w->look_due))
        return;
    if (fb_place_look(w->place, w->topology->generation, fb_after(now, w->place->timeout), &err) != FB_OK &&
        w->sessions_count == 0)
        lose(w, err.text);
    w->look_due = fb_after(fb_clock_now(), fb_ms(LOOK_EVERY_MS));
}

static void end_sessions(struct fb_store_watch *w, const char *why) {
    for (unsigned i = 0; i < w->sessions_count; i++) {
        fb_vigil_close(w->sessions[i]);
        w->sessions[i]->not_before = (fb_instant){INT64_MIN};
    }
    lose(w, why);
}

/* Sessions with all primaries of the map, and with no others. */
static void follow_map(struct fb_store_watch *w) {
    struct fb_topology *now = fb_place_topology(w->place);
    if (w->topology != NULL && w->topology->generation == now->generation) {
        (void)fb_topology_unref(now);
        return;
    }
    struct fb_vigil *next[FB_PLACE_PRIMARIES_MAX];
    unsigned n = 0;
    bool is_new_epoch = w->topology != NULL && w->topology->epoch != now->epoch, is_short = false;
    for (unsigned node = 0; node < now->count; node++) {
        struct fb_vigil *s = NULL;
        for (unsigned i = 0; i < w->sessions_count && s == NULL; i++)
            if (w->sessions[i] != NULL && is_at(&w->sessions[i]->address, &now->nodes[node])) {
                s = w->sessions[i];
                w->sessions[i] = NULL;
            }
        s = s != NULL ? s : fb_vigil_new(w->place, &now->nodes[node]);
        is_short = is_short || s == NULL;
        if (s != NULL)
            next[n++] = s;
    }
    for (unsigned i = 0; i < w->sessions_count; i++)
        (void)fb_vigil_free(w->sessions[i]);
    memcpy(w->sessions, next, n * sizeof next[0]);
    w->sessions_count = is_short ? 0 : n;
    for (unsigned i = 0; i < n && is_short; i++)
        (void)fb_vigil_free(next[i]);
    const char *why = w->topology == NULL || w->topology->count == 0 ? "" : "the store's primaries have changed";
    (void)fb_topology_unref(w->topology);
    w->topology = now;
    lose(w, is_short ? "out of memory" : why);
    if (is_new_epoch)
        end_sessions(w, "a primary is none any more");
}

static void take_news(struct fb_store_watch *w, struct fb_vigil *s, enum fb_vigil_news news, const fb_err *err) {
    char text[FB_PLACE_TEXT_MAX];
    switch (news) {
    case FB_VIGIL_PUSH: take_push(w, &s->connection.reply); break;
    case FB_VIGIL_ENDED:
    case FB_VIGIL_DEMOTED:
        (void)snprintf(text, sizeof text, "%.40s:%u: %.100s", s->address.host, s->address.port, err->text);
        lose(w, w->place->path[0] != '\0' ? err->text : text);
        fb_place_note_error(w->place, w->trouble);
        if (news == FB_VIGIL_DEMOTED)
            fb_place_suspect(w->place);
        break;
    case FB_VIGIL_BEAT:
    case FB_VIGIL_HAS_BEGUN:
    case FB_VIGIL_NOTHING: break;
    }
}

static bool serve_session(struct fb_store_watch *w, struct fb_vigil *s, fb_instant now) {
    struct fb_prefixes prefixes = {w->prefixes, w->prefixes_count};
    fb_err err = {.status = FB_OK};
    enum fb_vigil_news news;
    bool has_ended = false;
    while ((news = fb_vigil_step(s, w->place, now, &w->rng, &err)) != FB_VIGIL_NOTHING) {
        take_news(w, s, news, &err);
        has_ended = has_ended || news >= FB_VIGIL_ENDED;
    }
    news = fb_vigil_tick(s, w->place, &prefixes, now, &w->rng, &err);
    take_news(w, s, news, &err);
    return !has_ended && news < FB_VIGIL_ENDED;
}

static void take_prefixes(struct fb_store_watch *w) {
    fb_lock_acquire(&w->lock);
    fb_bytes *next = w->next_prefixes;
    size_t count = w->next_count;
    w->next_prefixes = NULL;
    fb_lock_release(&w->lock);
    if (next == NULL)
        return;
    fb_mem_free(w->prefixes);
    w->prefixes = next;
    w->prefixes_count = count;
    end_sessions(w, "other keyspaces are watched");
}

/* ---- the thread -------------------------------------------------------------------------------------------------
 * */

static void rest(struct fb_store_watch *w, fb_instant due) {
    struct pollfd fds[POLLED_MAX] = {{.fd = w->wake, .events = POLLIN}, {.fd = w->place->changed, .events = POLLIN}};
    nfds_t n = 2;
    for (unsigned i = 0; i < w->sessions_count; i++)
        if (fb_connection_is_open(&w->sessions[i]->connection))
            fds[n++] = (struct pollfd){.fd = w->sessions[i]->connection.io.fd,
                                       .events = fb_connection_events(&w->sessions[i]->connection)};
    n += fb_sentries_poll(&w->sentries, fds + n);
    int64_t left = due.ns == INT64_MIN ? 0 : fb_span_ms(fb_since(due, fb_clock_now())) + 1;
    (void)poll(fds, n, left < 0 ? 0 : left > REST_MOST_MS ? REST_MOST_MS : (int)left);
    uint64_t count;
    for (unsigned i = 0; i < 2; i++)
        if ((fds[i].revents & POLLIN) != 0)
            (void)!read(fds[i].fd, &count, sizeof count);
}

static void ask_sentinels(struct fb_store_watch *w, fb_instant now) {
    if (w->sentries.count == 0)
        return;
    if (w->topology->count > 0 && fb_sentries_object(&w->sentries, &w->topology->nodes[0], now))
        look(w, now);
    bool is_cut_off = w->place->has_quorum_check && !fb_sentries_are_most(&w->sentries, now);
    if (is_cut_off && !atomic_exchange(&w->place->is_cut_off, true))
        lose(w, "less than half of the Sentinels can be reached");
    else if (!is_cut_off)
        atomic_store(&w->place->is_cut_off, false);
}

/* One turn: what has come, what is due, what follows; when to go on. */
static fb_instant turn(struct fb_store_watch *w) {
    fb_instant now = fb_clock_now(), due = fb_after(now, fb_ms(REST_MOST_MS)), next;
    take_prefixes(w);
    follow_map(w);
    next = fb_sentries_tick(&w->sentries, w->place, now);
    due = fb_before(next, due) ? next : due;
    bool is_well = w->sessions_count > 0;
    for (unsigned i = 0; i < w->sessions_count; i++)
        is_well = serve_session(w, w->sessions[i], now) && is_well;
    ask_sentinels(w, now);
    settle(w);
    prove(w);
    if (!is_well)
        look(w, now);
    for (unsigned i = 0; i < w->sessions_count; i++) {
        next = fb_vigil_due(w->sessions[i], w->place);
        due = fb_before(next, due) ? next : due;
    }
    next = w->sessions_count == 0 ? w->look_due : FB_NEVER;
    return fb_before(next, due) ? next : due;
}

static void *run(void *arg) {
    struct fb_store_watch *w = arg;
    fb_sentries_init(&w->sentries, w->place, fb_clock_now());
    while (!atomic_load(&w->should_stop))
        rest(w, turn(w));
    fb_sentries_finish(&w->sentries);
    return NULL;
}

/* ---- starting and stopping --------------------------------------------------------------------------------------
 * */

static void wake(const struct fb_store_watch *w) {
    uint64_t one = 1;
    (void)!write(w->wake, &one, sizeof one);
}

fb_status fb_store_watch_start(struct fb_place *place, const struct fb_store_watch_options *options,
                               struct fb_store_watch **ret_watch, fb_err *reterr) {
    if (options->prefixes_count > FB_WATCH_PREFIXES_MAX)
        return fb_fail(reterr, FB_INVALID, "more than %d keyspaces cannot be watched", FB_WATCH_PREFIXES_MAX);
    struct fb_store_watch *w = fb_mem_calloc(1, sizeof *w);
    if (w == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for the watch");
    w->place = place;
    w->calls = options->calls;
    w->user = options->user;
    w->is_clean = true;
    w->look_due = (fb_instant){INT64_MIN};
    fb_lock_init(&w->lock, FB_LOCK_STORE);
    fb_rng_system(&w->rng, sizeof w->rng);
    w->prefixes_count = options->prefixes_count;
    w->prefixes = copy_prefixes(options->prefixes, &w->prefixes_count);
    w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fb_status status = FB_OK;
    if (w->prefixes == NULL)
        status = fb_fail(reterr, FB_NOMEM, "no memory for the watch");
    else if (w->wake < 0)
        status = fb_fail(reterr, FB_SYSTEM, "eventfd: %s", strerror(errno));
    else if (pthread_create(&w->thread, NULL, run, w) != 0)
        status = fb_fail(reterr, FB_SYSTEM, "no thread for the watch");
    w->has_thread = status == FB_OK;
    if (status != FB_OK) {
        fb_store_watch_stop(w);
        return status;
    }
    *ret_watch = w;
    return FB_OK;
}

void fb_store_watch_stop(struct fb_store_watch *watch) {
    struct fb_store_watch *w = watch;
    if (w == NULL)
        return;
    if (w->has_thread) {
        atomic_store(&w->should_stop, true);
        wake(w);
        (void)pthread_join(w->thread, NULL);
    }
    fb_place_unprove(w->place);
    for (unsigned i = 0; i < w->sessions_count; i++)
        (void)fb_vigil_free(w->sessions[i]);
    for (unsigned i = 0; i < w->members_count; i++)
        fb_mem_free(w->members[i]);
    (void)fb_topology_unref(w->topology);
    fb_mem_free(w->prefixes);
    fb_mem_free(w->next_prefixes);
    fb_lock_finish(&w->lock);
    if (w->wake >= 0)
        (void)close(w->wake);
    fb_mem_free(w);
}

fb_status fb_store_watch_prefixes(struct fb_store_watch *watch, const fb_bytes *prefixes, size_t count) {
    if (count > FB_WATCH_PREFIXES_MAX)
        return FB_INVALID;
    fb_bytes *copy = copy_prefixes(prefixes, &count);
    if (copy == NULL)
        return FB_NOMEM;
    fb_lock_acquire(&watch->lock);
    fb_mem_free(watch->next_prefixes);
    watch->next_prefixes = copy;
    watch->next_count = count;
    fb_lock_release(&watch->lock);
    wake(watch);
    return FB_OK;
}
