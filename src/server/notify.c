/* The observer of the cache: from each event, keyspace notifications and invalidations. */
#include "server/notify.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/pubsub.h"
#include "server/tracking.h"

enum { CHANNEL_INLINE = 256 }; /* names of channels up to here need no memory */

/* The events of the cache, without those whose name depends on the operation (NULL). */
static const struct { const char *name; unsigned class; } events[] = {
    [FB_EVENT_LOADED] = {"loaded", FB_NOTIFY_FOREBAY},
    [FB_EVENT_REFRESHED] = {"refreshed", FB_NOTIFY_FOREBAY},
    [FB_EVENT_WRITTEN] = {NULL, FB_NOTIFY_STRING | FB_NOTIFY_HASH},
    [FB_EVENT_DELETED] = {"del", FB_NOTIFY_GENERIC},
    [FB_EVENT_UNCACHED] = {NULL, 0}, /* nothing that anybody but a tracking client could act on */
    [FB_EVENT_DOUBTED] = {"doubted", FB_NOTIFY_FOREBAY},
    [FB_EVENT_INVALIDATED] = {"invalidated", FB_NOTIFY_FOREBAY},
    [FB_EVENT_LIFE] = {NULL, FB_NOTIFY_GENERIC},
    [FB_EVENT_EXPIRED] = {"expired", FB_NOTIFY_EXPIRED},
    [FB_EVENT_EVICTED] = {"evicted", FB_NOTIFY_EVICTED},
    [FB_EVENT_STALE] = {"stale", FB_NOTIFY_FOREBAY},
    [FB_EVENT_ALL] = {"flushed", FB_NOTIFY_FOREBAY},
};

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void publish(struct fb_server *server, const char *prefix, fb_bytes rest, fb_bytes message) {
    char small[CHANNEL_INLINE], *name = small;
    size_t n = strlen(prefix), len = n + rest.len;
    if (len > sizeof small && (name = fb_mem_alloc(len)) == NULL)
        return; /* Redis promises no delivery of these either */
    memcpy(name, prefix, n);
    if (rest.len > 0)
        memcpy(name + n, rest.data, rest.len);
    (void)fb_publish(server, FB_TOPIC_CHANNEL, fb_bytes_of(name, len), message);
    if (name != small)
        fb_mem_free(name);
}

static void notify(struct fb_server *server, unsigned class, const char *event, fb_bytes key) {
    unsigned wanted = FB_LIVE(server, notify_events);
    if (!(wanted & class) || !fb_pubsub_has(server, FB_TOPIC_CHANNEL))
        return;
    if ((wanted & FB_NOTIFY_KEYSPACE) && key.data != NULL)
        publish(server, "__keyspace@0__:", key, FB_STR(event));
    if (wanted & FB_NOTIFY_KEYEVENT)
        publish(server, "__keyevent@0__:", FB_STR(event), key.data != NULL ? key : FB_STR("*"));
}

static const char *name_of_write(const fb_event *event, bool is_hash) {
    bool is_float = (event->flags & FB_ADD_FLOAT) != 0;
    switch (event->op) {
    case FB_OP_HSET: return "hset";
    case FB_OP_HDEL: return "hdel";
    case FB_OP_ADD:
        return is_hash ? (is_float ? "hincrbyfloat" : "hincrby") : (is_float ? "incrbyfloat" : "incrby");
    default: return "set";
    }
}

static void notify_event(struct fb_server *server, const fb_event *event) {
    if (event->kind == FB_EVENT_WRITTEN) {
        const char *as = fb_keyspace_at(server->cache, event->keyspace)->as;
        bool is_hash = as != NULL && strcmp(as, "hash") == 0;
        notify(server, is_hash ? FB_NOTIFY_HASH : FB_NOTIFY_STRING, name_of_write(event, is_hash), event->key);
    } else if (event->kind == FB_EVENT_LIFE) {
        notify(server, FB_NOTIFY_GENERIC, event->op == FB_OP_PERSIST ? "persist" : "expire", event->key);
    } else if ((event->kind == FB_EVENT_EXPIRED || event->kind == FB_EVENT_EVICTED) && event->value == FB_KIND_NONE) {
        return; /* "known to be absent" is no key that could expire */
    } else if (events[event->kind].name != NULL) {
        notify(server, events[event->kind].class, events[event->kind].name, event->key);
    }
}

void fb_notify_miss(struct fb_server *server, fb_bytes key) {
    if (FB_LIVE(server, notify_events) & FB_NOTIFY_MISS)
        notify(server, FB_NOTIFY_MISS, "keymiss", key);
}

/* ---- watching --------------------------------------------------------------------------------------------------- */

/* Notifications first: a client that is told of a change by tracking and asks what happened finds the message there. */
static void on_event(void *user, const fb_event *event) {
    struct fb_server *server = user;
    notify_event(server, event);
    if (FB_TRACKING_EVENTS >> event->kind & 1)
        fb_tracking_event(server, event);
}

/* Loads are many, and of interest to tracking clients only where "not cached" is an answer (T3). */
static unsigned tracking_kinds(const struct fb_server *server) {
    unsigned kinds = FB_TRACKING_EVENTS & ~(1u << FB_EVENT_LOADED);
    for (unsigned i = 0; i < fb_keyspace_count(server->cache); i++)
        if (fb_keyspace_at(server->cache, i)->read == FB_READ_ASIDE)
            kinds |= 1u << FB_EVENT_LOADED;
    return kinds;
}

void fb_watch_adopt(struct fb_server *server) {
    struct fb_tracking_figures tracking;
    unsigned kinds = 0;
    fb_lock_acquire(&server->watch_lock);
    unsigned wanted = FB_LIVE(server, notify_events);
    fb_tracking_figures(server, &tracking);
    if (tracking.clients > 0)
        kinds |= tracking_kinds(server);
    if (wanted & (FB_NOTIFY_KEYSPACE | FB_NOTIFY_KEYEVENT))
        for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
            if (wanted & events[i].class)
                kinds |= 1u << i;
    fb_watch(server->cache, kinds, on_event, server);
    fb_lock_release(&server->watch_lock);
}

void fb_watch_end(struct fb_server *server) { fb_watch(server->cache, 0, on_event, server); }
