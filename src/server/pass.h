/* What goes to the store: which requests, and what becomes of their replies.
 *
 * A request is answered here when all its keys are mapped, or it has none and the command is ours; it is passed on when
 * none is mapped. The six commands that treat each key for itself (MGET MSET DEL UNLINK EXISTS TOUCH) are split: here
 * first, then there, and the answers become one. Everything else that names keys of both kinds is refused. Redis'
 * commands on other kinds of data (tbl/foreign.h) are passed or refused, never answered here.
 *
 * Order. What is passed waits in the session's queue like any request and is in nobody's way: it neither has the
 * connection for itself nor waits for what came before, since a connection to the store keeps the order and mapped keys
 * are others. A command that blocks does both. A read that asks the cache first (FB_CMD_PEEKS) learns that its key is not
 * mapped only when nothing is found, so a hit never comes here. */
#ifndef FB_SERVER_PASS_H
#define FB_SERVER_PASS_H

#include "server/gates.h"
#include "server/multi.h"

enum { FB_SPLIT_MAX = 1024 }; /* mapped keys in a request of both kinds */

/* Is there a store? */
static inline bool fb_pass_is_on(const struct fb_server *server) { return server->store != NULL; }
/* The gate STORE. */
enum fb_passage fb_gate_store(struct fb_call *call);
/* The key of a reading command is not cached: if it is not mapped either, the request is passed on (or refused), true. */
bool fb_pass_unmapped(struct fb_call *call, fb_bytes key);
/* A command that no table knows. True: it was passed on, or refused for its arguments. */
bool fb_pass_unknown(struct fb_call *call);
/* May a request begin that would otherwise wait for those before it (S2)? */
bool fb_pass_may_overtake(struct fb_session *session, const struct fb_verb *verb, const fb_bytes *argv, size_t argc);

/* Does it wait for a command that blocks at the store? */
bool fb_pass_is_blocked(const struct fb_session *session);
/* And has it waited so long that its answer was not there already? Who ends then is gone, as at Redis; who sends a request
 * and an end at once wants the answer. */
bool fb_pass_is_long_blocked(const struct fb_session *session);

/* Whose are its keys? A script without keys is theirs. False: of both, and the error has been written. */
bool fb_pass_side(struct fb_call *call, enum fb_side *ret_side);
/* WATCH of their keys, and EXEC of what MULTI has kept for the store, or for another Forebay at that node (is_forwarded); on
 * the session's own connection. */
void fb_pass_watch(struct fb_call *call, unsigned node);
void fb_pass_exec(struct fb_call *call, unsigned node);
/* The connection for it, ready to be asked; NULL: the error has been written, or it is starved (which what has begun
 * cannot be). */
struct fb_upstream *fb_pass_upstream(struct fb_call *call, unsigned node, bool is_own, bool is_begun);
/* The session's own connection becomes another, or none. */
void fb_pass_change_own(struct fb_session *session, struct fb_upstream *upstream);
void fb_pass_drop_own(struct fb_session *session);
/* No memory for what was to be sent: the wait is over with that error. */
void fb_pass_give_up(struct fb_wait *wait);

/* The values of ours where is_here says so of an argument, and the elements of their array in the places between. */
typedef bool fb_pass_is_here(const struct fb_call *call, size_t i);
void fb_pass_merge(struct fb_call *call, const struct fb_part *parts, fb_bytes theirs, fb_pass_is_here *is_here);
/* Does it list the store's keys? Then this finishes it: what coordinates shared rows is nobody's business. */
bool fb_pass_is_listing(const struct fb_command *command);
fb_call_finish fb_pass_finish_listing;
/* SCAN of a Cluster: the node that its cursor is of, and the node's own cursor in its place (false: out of memory). */
void fb_pass_scan_node(struct fb_call *call, unsigned *ret_node);
bool fb_pass_scan_cursor(struct fb_wait *wait);
/* It is on its way to the store: what FLUSHDB and FLUSHALL mean here has been done first. */
void fb_pass_note_flush(const struct fb_call *call, const struct fb_command *command);

/* The part of the reference page about commands and whose keys they name. */
void fb_pass_print_reference(FILE *out);

/* ---- from upstream.c ----------------------------------------------------------------------------------------------- */

/* Bytes of the reply; true when it is complete and nothing more is owed. */
bool fb_pass_take(struct fb_loop *loop, struct fb_wait *wait, const char *data, size_t len, bool is_end);
/* There will be no reply. `was_sent`: the store may have carried it out. */
void fb_pass_fail(struct fb_loop *loop, struct fb_wait *wait, const char *reason, bool was_sent);
/* The reply is complete, or replaced by an error. */
void fb_pass_home(struct fb_loop *loop, struct fb_wait *wait);

#endif
