/* Clients that track keys: who they are, what they are told. */
#include "server/tracking.h"

#include <string.h>

#include "base/mem.h"
#include "server/commands.h"
#include "server/gates.h"
#include "server/notify.h"

enum { TRIMMED_PER_TICK = 10000 }; /* keys: as many messages and more, from one loop */

/* A prefix and those who want to hear of all keys that begin with it. */
struct fb_track_prefix {
    struct fb_link link;
    struct fb_tracker_set clients;
    size_t len;
    char text[];
};

struct fb_tracking {
    struct fb_track_table *table;
    struct fb_lock lock;        /* covers the rest, and redirections and prefixes of the trackers */
    struct fb_link trackers;
    struct fb_link prefixes;
    _Atomic size_t clients, nprefixes; /* read by any */
};

struct fb_tracking *fb_tracking_new(void) {
    struct fb_tracking *t = fb_mem_calloc(1, sizeof *t);
    if (t == NULL || (t->table = fb_track_table_new()) == NULL) {
        fb_mem_free(t);
        return NULL;
    }
    fb_lock_init(&t->lock, FB_LOCK_TRACKING);
    fb_list_init(&t->trackers);
    fb_list_init(&t->prefixes);
    return t;
}

void fb_tracking_free(struct fb_tracking *t) {
    if (t == NULL)
        return;
    fb_track_table_free(t->table);
    fb_lock_finish(&t->lock);
    fb_mem_free(t);
}

void fb_tracker_unref(struct fb_tracker *tracker) {
    if (tracker == NULL || atomic_fetch_sub_explicit(&tracker->refs, 1, memory_order_acq_rel) != 1)
        return;
    fb_mem_free(tracker->prefixes);
    fb_mem_free(tracker);
}

/* ---- letters ---------------------------------------------------------------------------------------------------- */

/* What is said in which form; heads of RESP2 and RESP3. RESP2 has pushes only for who listens to a channel. */
#define MESSAGE_ "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
#define INVALIDATE_ ">2\r\n$10\r\ninvalidate\r\n"
static const char *const forget_one[2] = {NULL, INVALIDATE_};
static const char *const forget_all[2] = {NULL, INVALIDATE_ "_\r\n"};
static const char *const forget_one_elsewhere[2] = {MESSAGE_, INVALIDATE_};
static const char *const forget_all_elsewhere[2] = {MESSAGE_ "$-1\r\n", INVALIDATE_ "_\r\n"};
static const char *const broken[2] = {NULL, ">2\r\n$21\r\ntracking-redir-broken\r\n"};

/* key.data == NULL: all keys. */
static struct fb_push *make_push(fb_bytes key, bool is_redirected) {
    const char *const *head = key.data == NULL ? (is_redirected ? forget_all_elsewhere : forget_all)
                                               : (is_redirected ? forget_one_elsewhere : forget_one);
    struct fb_push *push = fb_push_new(head[0], head[1]);
    if (push != NULL && key.data != NULL) {
        fb_resp_write_array(&push->body, 1);
        fb_resp_write_bulk(&push->body, key);
    }
    return push;
}

/* One thing to tell many; those who redirect get one each. The lock is held. */
struct letter {
    struct fb_mailing mailing;
    struct fb_push *push;
    fb_bytes key;
    uint64_t origin;
};

static void begin_letter(struct letter *l, struct fb_server *server, fb_bytes key, uint64_t origin) {
    l->key = key;
    l->origin = origin;
    l->push = make_push(key, /* is_redirected */ false);
    fb_mailing_begin(&l->mailing, server, FB_LOST_KEYS, l->push);
}

static void send_elsewhere(struct letter *l, struct fb_tracker *tracker) {
    struct fb_mailing mailing;
    struct fb_push *push = make_push(l->key, /* is_redirected */ true);
    if (push != NULL) {
        push->redirected = tracker;
        atomic_fetch_add_explicit(&tracker->refs, 1, memory_order_relaxed);
    }
    fb_mailing_begin(&mailing, l->mailing.server, FB_LOST_KEYS, push);
    fb_mailing_add(&mailing, tracker->target);
    fb_mailing_send(&mailing);
    fb_push_unref(push);
}

static void address(struct letter *l, struct fb_tracker *tracker) {
    bool is_own = l->origin != 0 && tracker->id == l->origin;
    if (atomic_load(&tracker->is_off) || (is_own && (atomic_load(&tracker->options) & FB_TRACK_NOLOOP)))
        return;
    if (atomic_load(&tracker->redirect) == 0)
        fb_mailing_add(&l->mailing, tracker->self);
    else
        send_elsewhere(l, tracker);
}

static void address_set(struct letter *l, const struct fb_tracker_set *set) {
    for (uint32_t i = 0; i < set->n; i++)
        address(l, set->items[i]);
}

static void send_letter(struct letter *l) {
    fb_mailing_send(&l->mailing);
    fb_push_unref(l->push);
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

static bool begins_with(fb_bytes text, const char *prefix, size_t len) {
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

/* Those remembered for the key (or NULL), and with is_change those who want to hear of all that begin like it. */
static void tell(struct fb_server *server, const struct fb_tracked *tracked, fb_bytes key, uint64_t origin,
                 bool is_change) {
    struct fb_tracking *t = server->tracking;
    struct letter letter;
    fb_lock_acquire(&t->lock);
    begin_letter(&letter, server, key, origin);
    if (tracked != NULL)
        address_set(&letter, &tracked->clients);
    for (struct fb_link *link = t->prefixes.next; is_change && link != &t->prefixes; link = link->next) {
        struct fb_track_prefix *prefix = fb_member_of(link, struct fb_track_prefix, link);
        if (begins_with(key, prefix->text, prefix->len))
            address_set(&letter, &prefix->clients);
    }
    send_letter(&letter);
    fb_lock_release(&t->lock);
}

/* First everybody is taken out, then told: who is remembered in between reads before it is told (T2). */
static void forget_all_keys(struct fb_server *server) {
    struct fb_tracking *t = server->tracking;
    struct letter letter;
    fb_track_table_clear(t->table);
    fb_lock_acquire(&t->lock);
    begin_letter(&letter, server, fb_bytes_of(NULL, 0), 0);
    for (struct fb_link *link = t->trackers.next; link != &t->trackers; link = link->next)
        address(&letter, fb_member_of(link, struct fb_tracker, link));
    send_letter(&letter);
    fb_lock_release(&t->lock);
}

void fb_tracking_event(struct fb_server *server, const fb_event *event) {
    struct fb_tracking *t = server->tracking;
    if (atomic_load(&t->clients) == 0)
        return;
    if (event->kind == FB_EVENT_ALL) {
        forget_all_keys(server);
        return;
    }
    if (event->kind == FB_EVENT_LOADED && /* T3 */
        fb_keyspace_at(server->cache, event->keyspace)->read != FB_READ_ASIDE)
        return;
    struct fb_tracked *tracked = fb_track_table_take(t->table, event->key, event->origin);
    if (tracked != NULL || atomic_load(&t->nprefixes) > 0)
        tell(server, tracked, event->key, event->origin, /* is_change */ true);
    fb_tracked_free(tracked);
}

void fb_tracking_broke(struct fb_server *server, struct fb_tracker *tracker) {
    struct fb_mailing mailing;
    if (atomic_load(&tracker->is_off))
        return;
    atomic_store(&tracker->is_broken, true);
    struct fb_push *push = fb_push_new(broken[0], broken[1]);
    if (push != NULL)
        fb_resp_write_integer(&push->body, (int64_t)atomic_load(&tracker->redirect));
    fb_mailing_begin(&mailing, server, FB_LOST_KEYS, push);
    fb_mailing_add(&mailing, tracker->self);
    fb_mailing_send(&mailing);
    fb_push_unref(push);
}

void fb_tracking_forget_in(struct fb_loop *loop) {
    struct fb_tracking *t = loop->server->tracking;
    struct letter letter;
    fb_lock_acquire(&t->lock);
    begin_letter(&letter, loop->server, fb_bytes_of(NULL, 0), 0);
    for (struct fb_link *link = t->trackers.next; link != &t->trackers; link = link->next) {
        struct fb_tracker *tracker = fb_member_of(link, struct fb_tracker, link);
        bool is_redirected = atomic_load(&tracker->redirect) != 0;
        if ((is_redirected ? tracker->target.loop : tracker->self.loop) == loop->index)
            address(&letter, tracker);
    }
    send_letter(&letter);
    fb_lock_release(&t->lock);
}

/* ---- remembering ------------------------------------------------------------------------------------------------ */

static bool wants(const struct fb_session *session, unsigned options) {
    bool is_marked = session->caching.now || session->caching.next;
    return !(options & FB_TRACK_BCAST) && !((options & FB_TRACK_OPTIN) && !is_marked) &&
           !((options & FB_TRACK_OPTOUT) && is_marked);
}

static void tell_and_free(struct fb_server *server, struct fb_tracked *out) {
    while (out != NULL) {
        struct fb_tracked *next = out->next;
        tell(server, out, fb_bytes_of(out->key, out->len), 0, /* is_change */ false);
        fb_tracked_free(out);
        out = next;
    }
}

/* Without clients there is nobody whom the keys are kept for. Should one come meanwhile, it is told of what goes. */
void fb_tracking_tick(struct fb_server *server) {
    struct fb_tracking *t = server->tracking;
    size_t keys_max = atomic_load(&t->clients) > 0 ? FB_LIVE(server, tracking_table_max_keys) : 0;
    tell_and_free(server, fb_track_table_trim(t->table, keys_max, TRIMMED_PER_TICK));
}

/* It shall forget the answer that it is about to get. */
static void tell_at_once(struct fb_server *server, struct fb_tracker *tracker, fb_bytes key) {
    struct letter letter;
    fb_lock_acquire(&server->tracking->lock);
    begin_letter(&letter, server, key, 0);
    address(&letter, tracker);
    send_letter(&letter);
    fb_lock_release(&server->tracking->lock);
}

static void remember_key(struct fb_call *call, fb_bytes key) {
    struct fb_server *server = fb_call_server(call);
    struct fb_tracker *tracker = call->session->tracker;
    struct fb_tracked *out;
    if (fb_keyspace_of(server->cache, key) < 0 || fb_key_is_probe(key))
        return; /* it is always answered alike */
    fb_status status = fb_track_table_add(server->tracking->table, FB_LIVE(server, tracking_table_max_keys), key,
                                          tracker, &out);
    if (status != FB_OK)
        tell_at_once(server, tracker, key);
    tell_and_free(server, out);
}

void fb_tracking_take_back(struct fb_session *session, fb_bytes key) {
    struct fb_tracker *tracker = session->tracker;
    unsigned options = tracker != NULL ? atomic_load_explicit(&tracker->options, memory_order_relaxed) : 0;
    if (tracker != NULL && ((options & FB_TRACK_BCAST) || wants(session, options)))
        tell_at_once(session->loop->server, tracker, key);
}

void fb_tracking_remember(struct fb_call *call) {
    const struct fb_command *command = call->command;
    struct fb_session *session = call->session;
    if (session->tracker == NULL || !(command->flags & FB_CMD_READ) || command->first <= 0 || session->db != 0 ||
        !wants(session, atomic_load_explicit(&session->tracker->options, memory_order_relaxed)))
        return;
    size_t last = command->last >= 0 ? (size_t)command->last : call->argc - (size_t)-command->last;
    for (size_t i = (size_t)command->first; i <= last && i < call->argc; i += (size_t)command->step)
        remember_key(call, call->argv[i]);
}

enum fb_passage fb_gate_tracking(struct fb_call *call) {
    struct fb_session *session = call->session;
    const struct fb_command *command = call->command;
    /* CLIENT CACHING is about the next request that is neither a CLIENT … nor MULTI. EXEC stands for those inside. */
    bool is_about = (command->parent == NULL || strcmp(command->parent, "client") != 0) &&
                    strcmp(command->name, "multi") != 0;
    if (!call->is_again && !call->is_inner && is_about)
        session->caching = (struct fb_caching){.now = session->caching.next};
    if (is_about)
        fb_tracking_remember(call);
    return FB_PASS;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static struct fb_tracker *new_tracker(const struct fb_session *session) {
    struct fb_tracker *tracker = fb_mem_calloc(1, sizeof *tracker);
    if (tracker == NULL)
        return NULL;
    atomic_init(&tracker->refs, 1);
    tracker->id = session->id;
    tracker->self = (struct fb_receiver){session->loop->index, session->ref};
    fb_list_init(&tracker->link);
    return tracker;
}

static struct fb_track_prefix *find_prefix(struct fb_tracking *t, fb_bytes text) {
    for (struct fb_link *link = t->prefixes.next; link != &t->prefixes; link = link->next) {
        struct fb_track_prefix *prefix = fb_member_of(link, struct fb_track_prefix, link);
        if (prefix->len == text.len && begins_with(text, prefix->text, prefix->len))
            return prefix;
    }
    return NULL;
}

static struct fb_track_prefix *new_prefix(struct fb_tracking *t, fb_bytes text) {
    struct fb_track_prefix *prefix = fb_mem_calloc(1, sizeof *prefix + text.len);
    if (prefix == NULL)
        return NULL;
    prefix->len = text.len;
    if (text.len > 0)
        memcpy(prefix->text, text.data, text.len);
    fb_list_push_back(&t->prefixes, &prefix->link);
    atomic_fetch_add(&t->nprefixes, 1);
    return prefix;
}

/* The lock is held. */
static void drop_if_empty(struct fb_tracking *t, struct fb_track_prefix *prefix) {
    if (prefix->clients.n > 0)
        return;
    fb_list_remove(&prefix->link);
    fb_tracker_set_free(&prefix->clients);
    fb_mem_free(prefix);
    atomic_fetch_sub(&t->nprefixes, 1);
}

/* The lock is held. */
static fb_status add_prefix(struct fb_tracking *t, struct fb_tracker *tracker, fb_bytes text) {
    struct fb_track_prefix *prefix = find_prefix(t, text);
    if (tracker->nprefixes >= FB_PREFIXES_MAX || (prefix == NULL && atomic_load(&t->nprefixes) >= FB_PREFIXES_MAX_ALL))
        return FB_BUSY;
    if (tracker->prefixes == NULL &&
        (tracker->prefixes = fb_mem_calloc(FB_PREFIXES_MAX, sizeof(struct fb_track_prefix *))) == NULL)
        return FB_NOMEM;
    if (prefix == NULL && (prefix = new_prefix(t, text)) == NULL)
        return FB_NOMEM;
    fb_status status = fb_tracker_set_add(&prefix->clients, tracker);
    if (status == FB_OK)
        tracker->prefixes[tracker->nprefixes++] = prefix;
    drop_if_empty(t, prefix);
    return status == FB_UNMET ? FB_OK : status;
}

bool fb_tracking_prefix(const struct fb_session *session, size_t i, fb_bytes *ret_prefix) {
    const struct fb_tracker *tracker = session->tracker;
    if (tracker == NULL || i >= tracker->nprefixes)
        return false;
    *ret_prefix = fb_bytes_of(tracker->prefixes[i]->text, tracker->prefixes[i]->len);
    return true;
}

static void set_tracker(struct fb_session *session, struct fb_tracker *tracker) {
    struct fb_loop *loop = session->loop;
    fb_lock_acquire(&loop->lock);
    session->tracker = tracker;
    fb_lock_release(&loop->lock);
    session->caching = (struct fb_caching){0};
    if (tracker != NULL)
        session->gates |= FB_GATE_TRACKING;
    else
        session->gates &= ~(unsigned)FB_GATE_TRACKING;
}

fb_status fb_tracking_begin(struct fb_session *session, const struct fb_track_wish *wish) {
    struct fb_tracking *t = session->loop->server->tracking;
    struct fb_tracker *tracker = session->tracker;
    if (tracker == NULL) {
        if ((tracker = new_tracker(session)) == NULL)
            return FB_NOMEM;
        fb_lock_acquire(&t->lock);
        fb_list_push_back(&t->trackers, &tracker->link);
        atomic_fetch_add(&t->clients, 1);
        fb_lock_release(&t->lock);
        set_tracker(session, tracker);
        fb_watch_adopt(session->loop->server); /* before the first key is remembered */
    }
    fb_status status = FB_OK;
    fb_lock_acquire(&t->lock);
    atomic_store(&tracker->redirect, wish->redirect);
    tracker->target = wish->target;
    atomic_store(&tracker->is_broken, false);
    atomic_store(&tracker->options, wish->options);
    for (size_t i = 0; i < wish->nprefixes && status == FB_OK; i++)
        status = add_prefix(t, tracker, wish->prefixes[i]);
    fb_lock_release(&t->lock);
    return status;
}

void fb_tracking_end(struct fb_session *session) {
    struct fb_tracking *t = session->loop->server->tracking;
    struct fb_tracker *tracker = session->tracker;
    if (tracker == NULL)
        return;
    set_tracker(session, NULL);
    fb_lock_acquire(&t->lock);
    atomic_store(&tracker->is_off, true);
    for (unsigned i = 0; i < tracker->nprefixes; i++) {
        fb_tracker_set_remove(&tracker->prefixes[i]->clients, tracker);
        drop_if_empty(t, tracker->prefixes[i]);
    }
    tracker->nprefixes = 0;
    fb_list_remove(&tracker->link);
    bool was_last = atomic_fetch_sub(&t->clients, 1) == 1;
    fb_lock_release(&t->lock);
    fb_tracker_unref(tracker);
    if (was_last) {
        fb_watch_adopt(session->loop->server);
        fb_tracking_tick(session->loop->server);
    }
}

void fb_tracking_figures(struct fb_server *server, struct fb_tracking_figures *ret_figures) {
    fb_track_table_count(server->tracking->table, &ret_figures->keys, &ret_figures->items);
    ret_figures->clients = atomic_load(&server->tracking->clients);
    ret_figures->prefixes = atomic_load(&server->tracking->nprefixes);
}
