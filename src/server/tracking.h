/* Client-side caching: who has what in a cache of its own, and telling it when that is not good any more (CLIENT
 * TRACKING).
 *
 * A client is remembered for a key by its gate, before the read runs, and once it has been told it is remembered no
 * more. What makes that safe:
 *
 *   T1 Every event of a key but two takes out those remembered for it and tells them. An event comes after the change
 *      can be seen, and before the operation behind it completes.
 *   T2 What they are told goes to the inbox of their loop and is written behind the replies still on their way there.
 *      A client remembered before the event asked before it, so it is told after the answer it has to forget.
 *   T3 LOADED takes nobody out. Who is remembered for the key when a load ends waits for this load or a later one: had
 *      it an older answer, then the copy of that answer had to go before the load could begin, and that was an event
 *      of its own (EXPIRED, EVICTED, INVALIDATED, UNCACHED, …); a copy that was replaced in its life is REFRESHED. But
 *      for cache-aside, where "not cached" is an answer: there a fill is a change.
 *   T4 LIFE takes nobody out: it changes no value, and when the copy ends is an event of its own.
 *   T5 Who hears of a change and asks again is remembered anew. Being told once too often is harmless: whatever is lost
 *      (memory, room) is made up for by telling more. */
#ifndef FB_SERVER_TRACKING_H
#define FB_SERVER_TRACKING_H

#include "server/call.h"
#include "server/tracking_table.h"

enum {
    FB_PREFIXES_MAX = 256,        /* of one client, with BCAST */
    FB_PREFIXES_MAX_ALL = 4096,   /* different ones of all clients: each change of a key is compared with all */
};

/* The events that make clients forget. */
#define FB_TRACKING_EVENTS                                                                                             \
    (1u << FB_EVENT_LOADED | 1u << FB_EVENT_REFRESHED | 1u << FB_EVENT_WRITTEN | 1u << FB_EVENT_DELETED |               \
     1u << FB_EVENT_UNCACHED | 1u << FB_EVENT_DOUBTED | 1u << FB_EVENT_INVALIDATED | 1u << FB_EVENT_EXPIRED |           \
     1u << FB_EVENT_EVICTED | 1u << FB_EVENT_STALE | 1u << FB_EVENT_ALL)

struct fb_tracking *fb_tracking_new(void);
/* After the last event. NULL accepted. */
void fb_tracking_free(struct fb_tracking *tracking);

/* ---- on the session's loop -------------------------------------------------------------------------------------- */

/* What CLIENT TRACKING ON asks for. */
struct fb_track_wish {
    unsigned options;              /* enum fb_track_options */
    uint64_t redirect;             /* 0: none */
    struct fb_receiver target;     /* of the redirection */
    const fb_bytes *prefixes;
    size_t nprefixes;
};

/* Begin, or go on in another way; what the session is remembered for already stays, and so do its prefixes. FB_NOMEM;
 * FB_BUSY: too many prefixes. */
fb_status fb_tracking_begin(struct fb_session *session, const struct fb_track_wish *wish);
void fb_tracking_end(struct fb_session *session);
/* The keys of a request that reads, before it reads them. */
void fb_tracking_remember(struct fb_call *call);
/* It has been asked, for this session, of somebody who will not tell when it changes (the store): the answer that is on
 * its way is not to be kept. */
void fb_tracking_take_back(struct fb_session *session, fb_bytes key);
/* Once a second, on one loop: a table that is larger than it needs to be by now (CONFIG SET, no clients) gets smaller. */
void fb_tracking_tick(struct fb_server *server);
/* The i-th prefix of the session; false behind the last. */
bool fb_tracking_prefix(const struct fb_session *session, size_t i, fb_bytes *ret_prefix);
/* Pushes about keys have been lost in this loop: whoever is told there forgets everything. */
void fb_tracking_forget_in(struct fb_loop *loop);

/* ---- any thread ------------------------------------------------------------------------------------------------- */

void fb_tracking_event(struct fb_server *server, const fb_event *event);
/* The client that it redirects to has gone. */
void fb_tracking_broke(struct fb_server *server, struct fb_tracker *tracker);
void fb_tracker_unref(struct fb_tracker *tracker);

struct fb_tracking_figures { size_t clients, keys, items, prefixes; };
void fb_tracking_figures(struct fb_server *server, struct fb_tracking_figures *ret_figures);

#endif
