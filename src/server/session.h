/* One connection: bytes in, requests carried out in order, replies out in order.
 *
 * Order. A request that is answered at once writes into the output buffer. One that has to wait for a source becomes
 * a *wait* at the end of the session's queue; the replies of later requests then collect behind it, in the wait
 * itself, and move to the output buffer when it is over. So replies leave in the order of the requests whatever
 * finishes first.
 *
 *   S1 replies leave in the order of the requests
 *   S2 a request that writes (FB_CMD_WRITE, FB_CMD_ALONE) begins when the queue is empty, and nothing begins before it
 *      is over: a connection reads its own writes. But writes of rows that are written behind (FB_CMD_ROWS) may begin
 *      while nothing but such writes is in the queue. And what another Forebay forwards (is_peer) is of many clients,
 *      whose order that one keeps: it begins at once
 *   S3 nothing that another thread holds points to a session; waits know it by number (struct fb_session_ref)
 *   S4 a session is freed only by the loop, after its handle has been closed; is_dead marks it before that */
#ifndef FB_SERVER_SESSION_H
#define FB_SERVER_SESSION_H

#include "server/loop.h"
#include "server/pubsub.h"
#include "base/transport.h"

enum {
    FB_WAITS_MAX = 1024,            /* requests of one connection under way together */
    FB_READ_AHEAD = 64 * 1024,      /* bytes kept while nothing may begin; then reading stops */
    FB_FLUSH_AT = 256 * 1024,       /* output written before the read buffer is through */
    FB_NAME_MAX = 128,              /* CLIENT SETNAME, SETINFO */
    FB_SUBSCRIBER_OUTPUT = 32 << 20, /* unsent bytes of one that listens to topics; both as in Redis */
    FB_SUBSCRIBER_SOFT_SECONDS = 60,
    FB_SLOW_OUTPUT = 1 << 20,       /* bytes of replies with which no more is asked of the store */
    FB_LINGER_SECONDS = 2,          /* for the other side to read our last words */
};

enum fb_reply_mode { FB_REPLY_ON, FB_REPLY_OFF, FB_REPLY_SKIP }; /* SKIP: for the next request */

struct fb_command;
struct fb_multi;
struct fb_user;
struct fb_wait;
struct fb_tracker;
struct fb_upstream;

/* CLIENT CACHING: of the next request, and of the one being carried out. */
struct fb_caching { bool next, now; };

/* Bytes (WAITS: requests) as CLIENT LIST prints them: received and not carried out, room for more of them, not sent yet,
 * waits that hold replies, replies kept, all buffers. */
enum fb_shown {
    FB_SHOWN_QUERY, FB_SHOWN_QUERY_FREE, FB_SHOWN_UNSENT, FB_SHOWN_WAITS, FB_SHOWN_OUTPUT, FB_SHOWN_WEIGHT,
    FB_SHOWN_COUNT_,
};

struct fb_session {
    struct fb_loop *loop;
    struct fb_session_ref ref;
    uint64_t id;
    uv_poll_t poll;
    struct fb_transport io;
    struct fb_arrival arrival;  /* the place it takes */
    size_t weight;              /* bytes of its buffers, as counted in loop->weight */
    int events;                 /* what poll waits for now */

    fb_buf in;                  /* bytes not yet carried out, from in_start on */
    size_t in_start;
    size_t need;                /* bytes the next request takes at least */
    uint32_t partial_since;     /* tick; of an unfinished request */

    struct fb_resp_out out;
    size_t out_start;           /* bytes already sent */
    struct fb_link waits;       /* struct fb_wait, oldest first */
    unsigned nwaits, nbehind;   /* behind: writes that may be under way together; then nothing else is */
    size_t waiting_bytes;       /* replies collected in waits */
    uint32_t soft_since;        /* tick since when more than FB_OUTPUT_SOFT is unsent */

    struct fb_link touched;     /* in loop->touched */
    struct fb_link starved;     /* in loop->starved; nothing begins meanwhile */
    bool is_held;               /* S2: nothing begins before the queue is empty */
    bool is_authenticated;
    bool is_closing;            /* no further request; close when all is sent */
    bool is_lingering;          /* all is sent and said so; waiting for the other side's end */
    bool has_ended;             /* the other side sends no more */
    bool is_draining;           /* we read no more; the server is stopping */
    bool is_dead;
    bool is_slow;               /* a request for the store waits until it has read more of its replies */
    bool is_paused;             /* CLIENT PAUSE holds its request back */
    bool is_counted_waiting;    /* in loop->waiting */
    unsigned gates;             /* enum fb_gate: what its requests have to pass */
    struct fb_multi *multi;     /* MULTI, WATCH: NULL when there is nothing of it */
    struct fb_upstream *own;    /* its connection to the store, or NULL; written under loop->lock */
    struct fb_upstream *listener; /* the one on which it hears messages, or NULL (relay.h) */
    fb_buf pushes;              /* that wait for the end of EXEC's array; counted in waiting_bytes */
    enum fb_reply_mode reply_mode;
    bool is_peer;               /* another Forebay's: what it asks is not passed on again */
    unsigned wrong_passwords;   /* since the last right one */
    unsigned db;
    uint32_t opened;            /* tick */
    uint32_t quiet_since;       /* tick of the last bytes; of the last words when lingering */
    bool has_asked;             /* a complete request has come */

    /* What it gets pushed (pubsub.c, tracking.c). */
    struct fb_link subscriptions;
    unsigned nsubscribed[FB_TOPIC_KINDS];
    uint64_t left_at;           /* stamp of the last message when it last left a topic */
    struct fb_tracker *tracker; /* NULL: tracks no keys. Written under loop->lock */
    struct fb_caching caching;

    /* For CLIENT LIST. Written by the loop's thread, the texts under loop->lock. */
    struct fb_link link;        /* loop->sessions */
    char address[FB_ADDRESS_MAX], local_address[FB_ADDRESS_MAX];
    char name[FB_NAME_MAX], lib_name[FB_NAME_MAX], lib_version[FB_NAME_MAX];
    int64_t since_wall_us;
    _Atomic uint32_t last_tick; /* of the last request */
    _Atomic unsigned shown_db, shown_version, shown_subscribed[FB_TOPIC_KINDS];
    _Atomic unsigned shown_multi; /* requests kept, and 1; 0: no MULTI */
    _Atomic unsigned shown_watches;
    _Atomic size_t shown_multi_bytes;
    _Atomic size_t shown[FB_SHOWN_COUNT_]; /* as they were when it was last settled */
    struct fb_user *user;       /* a reference; never NULL while it is in loop->sessions */
    _Atomic(const struct fb_command *) last_command;
};

/* Take over a connected socket. It is closed when there is no memory for it. */
void fb_session_open(struct fb_loop *loop, const struct fb_arrival *arrival);
/* Send what there is, then close or go on waiting. To be called last after anything was done to a session. */
void fb_session_settle(struct fb_session *session);
/* Once a second. */
void fb_session_tick(struct fb_session *session);
/* No new bytes; close when everything received has been answered. */
void fb_session_drain(struct fb_session *session);
void fb_session_close(struct fb_session *session);

/* Where the next reply belongs. */
struct fb_resp_out *fb_session_sink(struct fb_session *session);
/* Write a push there (push.h); the session is to be settled afterwards. */
void fb_session_push(struct fb_session *session, fb_bytes head, fb_bytes body);
/* Does it listen to channels or patterns? */
static inline bool fb_session_is_subscriber(const struct fb_session *session) {
    return session->nsubscribed[FB_TOPIC_CHANNEL] + session->nsubscribed[FB_TOPIC_PATTERN] +
           session->nsubscribed[FB_TOPIC_SHARD] > 0;
}
/* A wait of this session is over: move on what can leave, and begin what was held up. */
void fb_session_deliver(struct fb_session *session, struct fb_wait *wait);
/* There is room for operations again. */
void fb_session_resume(struct fb_session *session);
/* CLIENT PAUSE holds back a request, or does so no more. */
void fb_session_set_paused(struct fb_session *session, bool is_paused);
/* Does it leave so much unread that the store should not be asked for more? Then its request is taken up again later. */
bool fb_session_is_slow(struct fb_session *session);
/* Put a wait at the end of the queue. */
void fb_session_enqueue(struct fb_session *session, struct fb_wait *wait);

#endif
