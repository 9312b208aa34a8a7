/* One event loop: a thread, its connections, and the inbox through which other threads reach it.
 *
 * Everything of a loop belongs to its thread, except what stands under another comment. */
#ifndef FB_SERVER_LOOP_H
#define FB_SERVER_LOOP_H

#include "base/list.h"
#include "base/rng.h"
#include "server/bounds.h"
#include "server/state.h"

enum {
    FB_READ_BUFFER = 64 * 1024, /* one read; about what a socket hands out at once */
};

/* ---- the inbox -------------------------------------------------------------------------------------------------- */

enum fb_message_kind {
    FB_MESSAGE_CONNECTION, FB_MESSAGE_WAIT, FB_MESSAGE_KILL, FB_MESSAGE_USERS, FB_MESSAGE_STOP, FB_MESSAGE_PUSH,
};

struct fb_message {
    struct fb_link link;
    enum fb_message_kind kind;
};

/* Counted: an operation under way holds a reference, so its completion finds the inbox even when the loop is gone. What
 * is in it is bounded by the operations under way, which each connection limits, and for pushes by pushed_max. */
struct fb_inbox {
    _Atomic uint32_t refs;
    struct fb_lock lock;
    struct fb_link messages; /* lock */
    bool is_closed;          /* lock */
    uv_async_t *wake;        /* lock; valid while not closed */
    _Atomic size_t held;     /* bytes of values that wait for the rest of their command */
    size_t held_max;         /* of one command */
    _Atomic size_t pushed;   /* bytes of pushes under way */
    _Atomic unsigned lost;   /* enum fb_lost: pushes that found no room or no memory */
};

struct fb_inbox *fb_inbox_new(size_t held_max);
struct fb_inbox *fb_inbox_ref(struct fb_inbox *inbox);
void fb_inbox_unref(struct fb_inbox *inbox);
/* Any thread. False when the loop is gone: the message is still the caller's. */
bool fb_inbox_post(struct fb_inbox *inbox, struct fb_message *message);
/* Any thread: a round of messages, even if there is none. */
void fb_inbox_wake(struct fb_inbox *inbox);

/* ---- messages that are not waits -------------------------------------------------------------------------------- */

struct fb_connection_message {
    struct fb_message message;
    struct fb_arrival arrival;
};
struct fb_kill_message {
    struct fb_message message;
    uint64_t client_id;
};
struct fb_stop_message {
    struct fb_message message;
    int64_t drain_ms;
};

/* ---- the loop --------------------------------------------------------------------------------------------------- */

struct fb_session;
struct fb_upstreams;

/* A connection by number: the slot may have got another connection since, then the generation differs. */
struct fb_session_ref { uint32_t slot, generation; };

struct fb_slot {
    struct fb_session *session; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;         /* index + 1; 0 ends the list */
};

struct fb_loop {
    struct fb_server *server;
    unsigned index;
    struct fb_inbox *inbox;
    uv_thread_t thread;
    bool has_thread;

    /* The loop's thread. */
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t second;          /* ticks once a second */
    uv_timer_t deadline;        /* end of draining */
    uint32_t tick;              /* seconds since the start: all the clock that connections need */
    struct fb_slot *slots;
    uint32_t nslots, first_free;
    struct fb_link touched;     /* sessions to be settled after a round of messages */
    size_t weight;              /* bytes of all its sessions' buffers */
    size_t operations;          /* under way, of all sessions */
    struct fb_link paused;      /* sessions with a request that CLIENT PAUSE holds back, by the same link */
    uv_timer_t pause;           /* runs while there are any */
    struct fb_upstreams *upstreams; /* connections to the store; NULL: there is none */
    struct fb_upstreams *peers;     /* and to other Forebays; NULL: nothing is forwarded */
    struct fb_link starved;     /* sessions with a request that found operations_max under way, oldest first */
    bool is_draining;
    struct fb_stop_message stop; /* the one message that must not need memory */

    char *read_buffer;          /* FB_READ_BUFFER bytes, for connections with nothing left over */
    struct fb_resp_args args;   /* of the request being carried out */
    struct fb_resp_out spare;   /* a warm output buffer for the next connection that needs one */
    struct fb_resp_out trash;   /* where replies go that nobody wants (CLIENT REPLY OFF) */
    fb_buf scratch;             /* a value on its way into a reply */
    fb_buf fields;              /* fields or operations being submitted, as an array */
    struct fb_rng rng;          /* for HRANDFIELD */
    fb_instant clock;           /* where the request being carried out began (measure.h) */

    /* `lock`: written by the loop's thread, read by any. */
    struct fb_lock lock;
    struct fb_link sessions;    /* and what CLIENT LIST prints of each */

    struct fb_loop_counters counters;
    _Atomic unsigned waiting;   /* sessions that wait for a source or for the end of a pause */
    struct fb_cost *costs;      /* one per command, by fb_command_number */
};

fb_status fb_loop_start(struct fb_loop *loop, struct fb_server *server, unsigned index, fb_err *reterr);
/* Any thread: begin to stop; then wait for the end. */
void fb_loop_stop(struct fb_loop *loop, int64_t drain_ms);
void fb_loop_join(struct fb_loop *loop);
/* After all loops have been joined: until then one may look at another's sessions (CLIENT LIST). */
void fb_loop_finish(struct fb_loop *loop);

/* Sessions by number. */
fb_status fb_loop_add(struct fb_loop *loop, struct fb_session *session);
void fb_loop_remove(struct fb_loop *loop, struct fb_session *session);
struct fb_session *fb_loop_session(struct fb_loop *loop, struct fb_session_ref ref);
/* Any thread: the connection that clients know by this number, with the lock of its loop held, to be released as
 * session->loop->lock. NULL: there is none, and nothing is held. */
const struct fb_session *fb_loops_hold(struct fb_server *server, uint64_t client);
/* Something was done to it: settle it at the end of this round of messages. */
void fb_loop_touch(struct fb_loop *loop, struct fb_session *session);
/* Settle them now, where no round of messages does it. */
void fb_loop_settle(struct fb_loop *loop);
/* There may be room for operations again. */
void fb_loop_feed(struct fb_loop *loop);

#endif
