/* What passing needs when the store is a Cluster: to which node a request goes, following MOVED and ASK, and asking several
 * at once.
 *
 * All keys of a request must be of one slot, as at a node itself. The commands that treat each key for itself (MGET MSET
 * DEL UNLINK EXISTS TOUCH) are *scattered* where they are not: a child per key, each a wait of its own that belongs to the
 * request's, and when the last has its answer the answers become one. The few commands without keys that mean the whole
 * store go to every primary the same way. */
#ifndef FB_SERVER_PASS_CLUSTER_H
#define FB_SERVER_PASS_CLUSTER_H

#include "server/call.h"

struct fb_upstream;

/* The node for the request. False: its keys are of several slots, and the error has been written. */
bool fb_pass_node(struct fb_call *call, unsigned *ret_node);
unsigned fb_pass_node_of_key(const struct fb_loop *loop, fb_bytes key);
/* The same of all requests of a transaction. */
bool fb_pass_node_of_exec(struct fb_call *call, unsigned *ret_node);
/* Does it have to be scattered? False: it goes to one node, or nowhere. */
bool fb_pass_is_wide(const struct fb_session *session, const struct fb_command *command, const fb_bytes *argv, size_t argc);
/* Ask for a wait that has been begun. */
void fb_pass_scatter(struct fb_call *call, struct fb_wait *wait, const fb_bytes *argv, size_t argc);
/* From upstream.c: all children were over at once. */
void fb_pass_end_scatter(struct fb_loop *loop, struct fb_wait *wait);
/* A child is over. */
void fb_pass_gather(struct fb_loop *loop, struct fb_wait *child);

/* An error inside a transaction: if it is MOVED, what is to be learned from it; the transaction has failed. */
void fb_pass_learn(struct fb_loop *loop, fb_bytes error);
/* From upstream.c: the reply may say that another node is to be asked; true: it is. */
bool fb_pass_redirect(struct fb_loop *loop, struct fb_upstream *upstream, struct fb_wait *wait);

#endif
