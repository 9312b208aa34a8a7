/* The way of a load and of a write through a store, as state machines that decide and never do.
 *
 * Who drives one carries out its `call` at the store, asks the source, or waits, as `step` says, and tells it what came
 * of it; each of these functions moves it to its next step. Two drivers: the engine's tier, and the simulator of several
 * nodes. Rules R1 to R4 of store.h are kept here.
 *
 *     fb_load_flow_start(&flow, &terms, key, buf, token, now);
 *     while (flow.step != FB_FLOW_OVER)
 *         switch (flow.step) {
 *         case FB_FLOW_ASK:  run(&flow.call); fb_load_flow_answered(&flow, now); break;
 *         case FB_FLOW_LOAD: …;               fb_load_flow_loaded(&flow, status, value, now); break;
 *         case FB_FLOW_WAIT: until the key is told of, or flow.due; fb_load_flow_told or _late; break;
 *         }
 *
 * A load: GET. A hit is the answer. Else MISS: with a LEASE the source is asked and its answer handed in with FILL; while
 * a write is in flight (BUSY) the source is asked and nothing is kept; while somebody else loads (WAIT) this one waits
 * to be told of the key, or asks the source itself when that takes too long. A store that does not answer costs the
 * sharing, never the answer: the source is asked and nothing is kept.
 *
 * The life in the store is the life of the value and its grace. A copy in its grace is a reason to load; it answers by
 * itself where somebody else is loading already, and where the source fails.
 *
 * A write: BEGIN before the source is asked, END after it has answered. It may be acknowledged whether or not END got
 * through: its mark keeps everybody from filling until it dies, and what is filled after that was read after the commit.
 * What END would have put is then in the store a load later. */
#ifndef FB_STORE_FLOW_H
#define FB_STORE_FLOW_H

#include "core/shard.h"
#include "store/store.h"

enum {
    FB_FLOW_WAIT_MS = 200,       /* for another's load, at least */
    FB_FLOW_WAIT_LOADS = 3,      /* or so many times what a load takes */
    FB_FLOW_TRIES = 16,          /* questions to the store for one load */
    FB_WRITE_PATIENCE_MS = 1500, /* from BEGIN until the source may be asked no more: the rest of the window is its
                                    transaction's (R3), */
    FB_WRITE_TIMEOUT_MS = 3000,  /* which may take so long, and a little is left over */
};

enum fb_flow_step { FB_FLOW_ASK, FB_FLOW_LOAD, FB_FLOW_WAIT, FB_FLOW_OVER };

/* What a load is for: constant while it goes. */
struct fb_flow_terms {
    fb_kind kind;
    int64_t ttl_ms, negative_ttl_ms, grace_ms; /* of the keyspace's policy */
    int64_t lasting_ms;        /* the life of what will be loaded: the ttl less its jitter */
    int64_t lease_ms;          /* longer than a load may take; 0: as usual */
    int64_t load_ms;           /* what a load takes, about */
    int64_t wait_ms;           /* how long to wait for another's load; 0: as long as that should take */
    enum fb_flow_why { FB_FLOW_MISSED, FB_FLOW_AHEAD, FB_FLOW_ANEW } why; /* a miss; refresh-ahead, of a copy that is good;
                                  or REFRESH: nothing that is older than the question will do */
    int64_t enough_ms;         /* AHEAD: a copy in the store that lives so long will do */
    fb_instant distrust;       /* what may be from before this moment counts as missing; the zero instant: none */
    bool has_store;            /* false: it is known to be out, and is not asked */
};

struct fb_load_flow {
    enum fb_flow_step step;
    struct fb_store_call call; /* ASK */
    fb_instant due;            /* WAIT: until then at most */
    struct fb_flow_terms terms;
    struct fb_store_token token;
    uint64_t server;           /* that granted the lease */
    bool has_lease, has_waited, was_woken, has_stale, has_copy;
    bool is_lame;              /* the store did not answer */
    unsigned tries;
    fb_buf *buf;               /* the copy that was found; the driver's */
    /* OVER: the answer. A copy, or stale: in *buf; loaded: the driver has it. */
    fb_status status;
    enum fb_keep keep;         /* HERE: a copy, while the store tells of changes */
    bool is_copy, is_stale;
    bool is_put_off;           /* AHEAD: somebody else is loading it; the copy that there is must do */
    int64_t life_ms;           /* what is left of a copy's life */
};

/* The key, buf and what was loaded are borrowed until OVER. `token` is a fresh one (fb_store_token). */
void fb_load_flow_start(struct fb_load_flow *flow, const struct fb_flow_terms *terms, fb_bytes key, fb_buf *buf,
                        struct fb_store_token token);
/* `fresh`: another token, for a MISS that has to be asked again (R1). */
void fb_load_flow_answered(struct fb_load_flow *flow, struct fb_store_token fresh, fb_instant now);
/* The source's answer: FB_OK with the value, FB_NOTFOUND, or an error; is_outage: one that says nothing about the row. */
void fb_load_flow_loaded(struct fb_load_flow *flow, fb_status status, fb_bytes value, bool is_outage);
/* The key was told of, at whatever step: a copy may be there now. */
void fb_load_flow_told(struct fb_load_flow *flow);
/* Of one that waits: its time is over. (Told counts first.) */
void fb_load_flow_late(struct fb_load_flow *flow);

/* ---- writes ---- */

/* How a write of one key ended at the source. */
enum fb_flow_end {
    FB_FLOW_END_PUT,    /* committed: the value is what is there now */
    FB_FLOW_END_ABSENT, /* committed: there is no row now */
    FB_FLOW_END_DROP,   /* committed and not known, or certainly not applied */
    FB_FLOW_END_DOUBT,  /* may still land */
};

struct fb_write_flow {
    struct fb_store_call call;
    struct fb_store_token token;
    uint64_t server;
    fb_instant asked;          /* when BEGIN left */
    bool is_begun;             /* marked, for certain */
    bool is_unsure;            /* a command was sent again, or its outcome is not known (R1) */
    bool has_end, is_end_repeated; /* how it ended is said; END was sent again */
    bool is_owed;              /* the store may hold something old: INVAL when it is back */
    unsigned tries;
};

void fb_write_flow_begin(struct fb_write_flow *flow, fb_kind kind, fb_bytes key, struct fb_store_token token,
                         fb_instant now);
/* BEGIN was answered. True: go on, with `is_begun` or without; false: ask again. */
bool fb_write_flow_begun(struct fb_write_flow *flow);
/* May the source be asked now? Not when so much of the window has gone that the transaction could outlive the mark. */
bool fb_write_flow_may_store(const struct fb_write_flow *flow, fb_instant now);
/* The source has answered: the call to carry out. `ttl_ms` is of the value, or of the absence. */
void fb_write_flow_end(struct fb_write_flow *flow, enum fb_flow_end how, fb_bytes value, int64_t ttl_ms);
/* END was answered. False: ask again, once: where the mark has been lost too, others may read what was there before until
 * the store has heard of it. */
bool fb_write_flow_ended(struct fb_write_flow *flow);

#endif
