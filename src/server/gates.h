/* What may stand between a request and its handler.
 *
 * Most connections have none of this, and a hit must not pay for it: a session carries the set of the gates that concern
 * it, the server the set of those that concern all, and only when one of them is up does a request take the long way
 * through fb_gates_pass. There the gates are asked in this order:
 *
 *   USER        the connection's user may not run every command on every key
 *   SUBSCRIBED  a RESP2 connection with subscriptions may send a few commands only
 *   PAUSE       CLIENT PAUSE holds requests (or writes) back
 *   QUEUE       between MULTI and EXEC requests are kept instead of carried out
 *   MONITOR     somebody watches every request
 *   TRACKING    the keys a client reads are remembered, so that it can be told when they change; before the read, since
 *               a change between the two would go unnoticed
 *   FORWARD     a partition of write-behind is another Forebay's, and the request may be its (forward.h)
 *   STORE       there is a store, and the request may be its own (pass.h); for a command that asks the cache first these
 *               two are as if they were not up, so that a hit does not know of them
 *
 * A request that found too many operations under way comes a second time; AGAIN says so to those gates that note it.
 *
 * Whoever owns a gate raises and lowers its bit. */
#ifndef FB_SERVER_GATES_H
#define FB_SERVER_GATES_H

#include "server/commands.h"

enum fb_gate {
    FB_GATE_USER = 1 << 0,
    FB_GATE_SUBSCRIBED = 1 << 1,
    FB_GATE_PAUSE = 1 << 2,
    FB_GATE_QUEUE = 1 << 3,
    FB_GATE_MONITOR = 1 << 4,
    FB_GATE_TRACKING = 1 << 5,
    FB_GATE_AGAIN = 1 << 6,
    FB_GATE_STORE = 1 << 7,
    FB_GATE_FORWARD = 1 << 8,
};

enum fb_passage {
    FB_PASS,  /* on to the handler */
    FB_STOP,  /* answered (refused, or queued): the handler does not run */
    FB_DELAY, /* not now: as if the request had not come yet (FB_DISPATCH_HOLD) */
};

/* `up`: the gates that are up, not empty. */
enum fb_passage fb_gates_pass(struct fb_call *call, unsigned up);

enum fb_passage fb_gate_subscribed(struct fb_call *call);
enum fb_passage fb_gate_monitor(struct fb_call *call);
enum fb_passage fb_gate_tracking(struct fb_call *call);

#endif
