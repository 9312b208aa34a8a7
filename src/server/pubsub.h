/* Who listens to what: channels, patterns, sharded channels, and those who watch with MONITOR.
 *
 * One registry for the server, under one lock: topics by kind and name, and the subscriptions of each. A subscription
 * belongs to its topic (the lock) and to its session (its loop's thread).
 *
 * A message is stamped with a number that grows with every message, under the same lock; leaving a topic notes the
 * number at that moment in the session. So a message that was on its way when its receiver left is recognised when it
 * arrives, and dropped: what follows the confirmation of UNSUBSCRIBE is never a message. */
#ifndef FB_SERVER_PUBSUB_H
#define FB_SERVER_PUBSUB_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum {
    FB_SUBSCRIPTIONS_MAX = 10000,      /* of one connection */
    FB_TOPIC_NAME_MAX = 64 * 1024,     /* bytes of a name; clients' own names have a few dozen */
    FB_TOPIC_BYTES_MAX = 256 << 20,    /* topics and subscriptions of all connections */
};

enum fb_topic_kind { FB_TOPIC_CHANNEL, FB_TOPIC_PATTERN, FB_TOPIC_SHARD, FB_TOPIC_MONITOR, FB_TOPIC_KINDS };

struct fb_server;
struct fb_session;
struct fb_push;
struct fb_pubsub;

struct fb_pubsub *fb_pubsub_new(void);
/* After all sessions have left. NULL accepted. */
void fb_pubsub_free(struct fb_pubsub *pubsub);

/* On the session's loop. Being there already is FB_OK too. FB_NOMEM; FB_BUSY: one of the bounds above. */
fb_status fb_pubsub_join(struct fb_session *session, enum fb_topic_kind kind, fb_bytes name);
/* False when it was not there. */
bool fb_pubsub_leave(struct fb_session *session, enum fb_topic_kind kind, fb_bytes name);
/* The name of the oldest topic of this kind that the session listens to; borrowed until it leaves. */
bool fb_pubsub_oldest(const struct fb_session *session, enum fb_topic_kind kind, fb_bytes *ret_name);
/* It leaves everything. */
void fb_pubsub_leave_all(struct fb_session *session);
/* Does a message that has arrived still concern the session? */
bool fb_pubsub_concerns(const struct fb_session *session, const struct fb_push *push);

/* Any thread. How many will get it (of a channel: with those of patterns). */
size_t fb_publish(struct fb_server *server, enum fb_topic_kind kind, fb_bytes name, fb_bytes message);
/* Would anybody get a message? A hint that costs no lock. */
bool fb_pubsub_has(const struct fb_server *server, enum fb_topic_kind kind);

/* Any thread. Subscribers of a topic; topics of a kind; sessions that listen to anything but MONITOR. */
size_t fb_pubsub_count(struct fb_server *server, enum fb_topic_kind kind, fb_bytes name);
size_t fb_pubsub_topics(const struct fb_server *server, enum fb_topic_kind kind);
size_t fb_pubsub_clients(const struct fb_server *server);
/* Append each name that matches (pattern.data == NULL: every one) as a bulk string; how many. */
struct fb_resp_out;
size_t fb_pubsub_list(struct fb_server *server, enum fb_topic_kind kind, fb_bytes pattern, struct fb_resp_out *out);

#endif
