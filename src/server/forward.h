/* Requests of keys that another Forebay owns (write-behind has one owner per source), passed on to it.
 *
 * Which they are, the cache says (fb_owner_get), and where the owner listens. While any partition is another's, the gate
 * FORWARD is up: a request whose keys are another's goes to that address in the client's own words, and what the owner
 * answers is the answer, errors included. A read that asks the cache first comes here when nothing was found: without a
 * shared store at once, since nothing of such keys is ever kept; with one when the store has nothing either.
 *
 *   P1 what came from another Forebay (FB.PEER) is never passed on: two that take each other for the owner both say NOTOWNER
 *   P2 a write that may have been carried out is never sent again: its answer is UNKNOWN
 *   P3 a connection's later requests see its earlier forwarded writes: order is kept as for its own (session.h, S2), and
 *      the copy that this process has of what was written is forgotten before the answer leaves
 *
 * The way there is upstream.h's: a connection per loop, protocol version and address, shared by all sessions, with its
 * bounds, timeouts and pauses. */
#ifndef FB_SERVER_FORWARD_H
#define FB_SERVER_FORWARD_H

#include "base/store_url.h"
#include "server/gates.h"

struct fb_server_forward;

/* server->peers, unless the options say not to or nothing is written behind. */
fb_status fb_forward_open(struct fb_server *server, const struct fb_server_forward *options, fb_err *reterr);
/* Raise or lower the gate. Any thread, once a second. */
void fb_forward_look(struct fb_server *server);
/* The gate FORWARD. */
enum fb_passage fb_gate_forward(struct fb_call *call);
/* The key of a reading command is not cached: if it is another's and no store could have it, it is passed on, true. */
bool fb_forward_missed(struct fb_call *call, fb_bytes key);
/* From the finish of a read: the store had nothing, and the owner is to be asked. True: it is. */
bool fb_forward_unanswered(struct fb_call *call, const struct fb_part *part);

/* Does WATCH concern rows of another Forebay, or has one been asked to watch already? */
bool fb_forward_watches(struct fb_call *call, unsigned *ret_node);
/* The same of EXEC: then everything with keys is the owner's (is_theirs), which judges it as a whole. */
bool fb_forward_claims(struct fb_call *call, bool is_transaction, unsigned *ret_node);
/* From the finish of WAIT and WAITAOF, when all is safe here: the owners of what is not ours are asked as well and answer
 * instead, true. */
bool fb_forward_settles(struct fb_call *call);

/* What a partition's row says of its owner: HOST:PORT, [IPV6]:PORT, unix:/PATH, with TLS rediss://HOST:PORT. The host of a
 * socket is its path. False: it is none of these. */
bool fb_peer_address(const char *address, struct fb_store_address *ret_at, bool *ret_is_tls);

/* ---- from pass.c --------------------------------------------------------------------------------------------------- */

/* Where a scattered part goes (pass_cluster.h). False: it is no other Forebay's, and *ret_node is the store's, or
 * FB_NODE_NONE where it is nobody's any more. */
bool fb_forward_node(const struct fb_wait *child, unsigned *ret_node);
/* It has its reply, or none: forget what it may have changed. */
void fb_forward_home(const struct fb_call *call);

#endif
