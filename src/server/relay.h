/* SUBSCRIBE and its kin while there is a store: channels are the store's, so that whoever publishes there, or listens
 * there, is one with our clients.
 *
 * A session that listens has a connection to the store for that alone (session->listener), always in RESP3, where a
 * message cannot be taken for a reply. What comes on it is handed on as it comes, confirmations included, in the
 * session's own version; so a message never stands before the confirmation it belongs behind. The session is in our own
 * registry too (pubsub.h): that is where keyspace notifications of mapped keys come from, and what counts it.
 *
 * When the connection is lost messages may be, and silence would be a lie: the session is closed, as it would be by a
 * Redis that goes away. PUBLISH and PUBSUB are simply passed (FB_CMD_STORES). */
#ifndef FB_SERVER_RELAY_H
#define FB_SERVER_RELAY_H

#include "server/call.h"
#include "server/pubsub.h"

/* SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE. */
void fb_relay_join(struct fb_call *call, enum fb_topic_kind kind);
/* Their opposites; false: the session listens to nothing at the store, and the answer is the caller's. */
bool fb_relay_leave(struct fb_call *call, enum fb_topic_kind kind);
/* The session ends or starts anew. */
void fb_relay_drop(struct fb_session *session);

/* ---- from upstream.c ----------------------------------------------------------------------------------------------- */

/* A push that came for a session; `wait`, if there is one, is the oldest that waits for confirmations, and what comes
 * stands in its reply. True: it is one of those. */
bool fb_relay_take(struct fb_loop *loop, struct fb_session_ref session, struct fb_wait *wait, fb_bytes push);
/* The connection is lost, after it had been made or before. */
void fb_relay_lost(struct fb_loop *loop, struct fb_session_ref session, bool was_ready);

#endif
