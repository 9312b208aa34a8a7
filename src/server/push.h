/* Bytes that nobody asked for at this moment: messages of pub/sub, invalidations for tracking clients, lines of
 * MONITOR.
 *
 * A push is made once and shared by all who get it. It goes as a message to the inbox of each loop that has receivers;
 * there it is written behind the replies that are still on their way (fb_session_sink), so it never overtakes a reply
 * that was read before the change it speaks of.
 *
 * Bounds. What is under way to one loop holds at most server->pushed_max bytes. Beyond it, and when memory is short,
 * the push is lost for that loop, and all who might have got one there learn of it, since silence would be a lie: who
 * listens to topics is closed (as Redis closes a subscriber at its output limit), who tracks keys is told to forget
 * them all. A receiver that does not read is closed at FB_SUBSCRIBER_OUTPUT or output_buffer_max, if that is less. */
#ifndef FB_SERVER_PUSH_H
#define FB_SERVER_PUSH_H

#include "server/loop.h"
#include "server/pubsub.h"

enum { FB_PUSHED_MAX = 64 << 20 }; /* as many bytes as one connection may have unsent by default */

struct fb_tracker;

/* What those miss who do not get a push. */
enum fb_lost { FB_LOST_MESSAGES = 1 << 0, FB_LOST_KEYS = 1 << 1 };

/* A connection, wherever it is. */
struct fb_receiver {
    unsigned loop;
    struct fb_session_ref session;
};

struct fb_push {
    _Atomic uint32_t refs;
    const char *head[2];           /* what stands before the body in RESP2 and RESP3, constants of the program; NULL:
                                    * clients of that version get nothing */
    struct fb_resp_out body;       /* the same for both */
    bool is_topic;                 /* a message of a topic: */
    enum fb_topic_kind kind;
    size_t name_at, name_len;      /* the topic's name in the body */
    uint64_t stamp;
    struct fb_tracker *redirected; /* an invalidation that goes to another connection than this tracker's; a reference */
};

/* What goes to the inbox of a loop. */
struct fb_push_message {
    struct fb_message message;
    struct fb_push *push;
    size_t cost;                   /* bytes, as counted in the inbox */
    size_t n, room;
    struct fb_session_ref sessions[];
};

/* NULL when memory is short. The body is written with fb_resp_write_*, then the push is not changed any more. */
struct fb_push *fb_push_new(const char *head_resp2, const char *head_resp3);
void fb_push_unref(struct fb_push *push);

/* One push on its way to many: begin, add receivers, send. The push stays the caller's; NULL (no memory) is lost for
 * every loop that has receivers. */
struct fb_mailing {
    struct fb_server *server;
    struct fb_push *push;
    enum fb_lost what;
    size_t count;
    struct fb_push_message *messages[FB_THREADS_MAX]; /* by loop */
};
void fb_mailing_begin(struct fb_mailing *mailing, struct fb_server *server, enum fb_lost what, struct fb_push *push);
void fb_mailing_add(struct fb_mailing *mailing, struct fb_receiver receiver);
void fb_mailing_send(struct fb_mailing *mailing);

/* On the loop: deliver what has arrived, then free the message. */
void fb_push_arrive(struct fb_loop *loop, struct fb_push_message *message);
/* The loop does not take messages any more. */
void fb_push_discard(struct fb_inbox *inbox, struct fb_push_message *message);
/* On the loop, after a round of messages: if something was lost, tell those whom it concerned. */
void fb_push_make_good(struct fb_loop *loop);
/* Write a push into one session of this loop. */
void fb_push_deliver(struct fb_loop *loop, struct fb_push *push, struct fb_session_ref ref);

#endif
