/* What each command costs: how often it ran and was refused, how long it took, and how its times are spread.
 *
 * A request is measured from the moment it is understood until its reply is ready: one that waits for a source, until
 * its last part has come home and its reply is written. Requests read together are chained: where one ends the next
 * begins, so each costs one reading of the clock (none at all when nobody wants to know times). Each loop writes
 * figures of its own; readers add them up. */
#ifndef FB_SERVER_MEASURE_H
#define FB_SERVER_MEASURE_H

#include "base/hist.h"
#include "server/commands.h"

/* The counters of one command. X(name, what) */
#define FB_COST_COUNTERS(X)                                                                                            \
    X(calls, "times its handler ran")                                                                                  \
    X(ns, "time until the reply was ready, all calls together")                                                        \
    X(rejected, "refused before its handler: arity, password, permission, a full queue")                               \
    X(failed, "its handler answered with an error")

/* One writer, the loop; any reader. */
struct fb_cost {
#define FB_COST_(name, what) _Atomic uint64_t name;
    FB_COST_COUNTERS(FB_COST_)
#undef FB_COST_
    _Atomic(struct fb_spread *) spread; /* NULL before the first call; never replaced */
};
struct fb_spread { _Atomic uint64_t buckets[FB_HIST_BUCKETS]; };

/* The same as plain numbers, since RESETSTAT. `spread` is filled in by whoever asks for it. */
struct fb_cost_sum {
#define FB_COST_(name, what) uint64_t name;
    FB_COST_COUNTERS(FB_COST_)
#undef FB_COST_
};

/* ---- the loop's thread ------------------------------------------------------------------------------------------ */

fb_status fb_measure_init(struct fb_loop *loop);

/* The next request begins now. */
void fb_measure_begin(struct fb_loop *loop);
/* A request ends: its handler has run, its reply is ready. Counts it, and passes what was slow on to the slow log and
 * the latency monitor. */
void fb_measure_done(struct fb_call *call);
/* A request ends that was refused before its handler ran. */
void fb_measure_rejected(const struct fb_call *call);
/* A command whose operations went out with EXEC's transaction: counted as its own, with the time its answer took and its
 * share of the transaction's. It is not looked at for slowness; EXEC is. */
void fb_measure_inner(const struct fb_call *call, fb_span share);

/* ---- any thread ------------------------------------------------------------------------------------------------- */

/* After the live settings have changed. */
void fb_measure_adopt(struct fb_server *server);
/* Sums over the loops, since RESETSTAT; ret_spread may be NULL. */
void fb_measure_read(struct fb_server *server, const struct fb_command *command, struct fb_cost_sum *ret_sum,
                     struct fb_hist *ret_spread);
/* CONFIG RESETSTAT: count anew from here. */
void fb_measure_reset(struct fb_server *server);
/* After the loops have ended and nobody reads figures any more; the loops' counts are freed here, too. */
void fb_measure_free(struct fb_server *server);

#endif
