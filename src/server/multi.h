/* MULTI, EXEC and WATCH of one connection.
 *
 * Between MULTI and EXEC a session keeps its requests instead of carrying them out. EXEC does that in three steps:
 *
 *   plan     Each request that reads or writes rows goes through its own handler, which says what it would begin
 *            (fb_call_run and its relatives record it). A writing command that fails here fails the whole before
 *            anything has happened.
 *   submit   What concerns rows is one transaction of their source (fb_submit_all), with a CHECK in front for each
 *            watched key: the row must still be what WATCH saw, in the database and not only in the cache. What this
 *            connection has read of it since must have been the same (fb_multi_saw).
 *   answer   Request by request, in order: what was planned finishes with its own results; what concerns copies (EXPIRE,
 *            TTL, DEL that forgets) happens now; everything else goes through its handler as if it came now, and may
 *            wait as usual. Until all are answered no later request of the connection begins.
 *
 * A transaction of keys that are not mapped is the store's: all of it goes there at once, on a connection that has watched
 * for it, and what came between is answered here in its place. Keys of both kinds do not go together.
 *
 * Where nothing is written and nothing is watched the first two steps fall away: the requests are plain ones, answered
 * in an array. */
#ifndef FB_SERVER_MULTI_H
#define FB_SERVER_MULTI_H

#include "server/commands.h"

enum {
    FB_QUEUE_MAX = 1024, /* requests between MULTI and EXEC; those for the store are bounded by their bytes alone */
    FB_WATCH_MAX = 256,  /* watched keys of a connection: each is an operation of the transaction */
};

/* One operation a request would begin. */
struct fb_planned {
    fb_op op;          /* borrows from the request, or from `scraps` */
    bool is_of_copy;   /* no part of the transaction: done when the request is answered */
    size_t part;       /* of the transaction */
};

/* One request that is kept. */
struct fb_queued {
    struct fb_call call;      /* argv is its own */
    unsigned db;              /* selected when it will run */
    fb_call_finish *finish;   /* NULL: not planned; its handler runs when its turn comes */
    bool is_all;              /* its operations have one outcome (MSET) */
    bool is_theirs;           /* the store carries it out */
    size_t first, n;          /* in `planned` */
    size_t begin, end;        /* in `written`: what its handler has written in front of the rest */
};

/* SUBMITTED: the transaction is under way. RUNNING: requests are being answered. */
enum fb_multi_state { FB_MULTI_NONE, FB_MULTI_OPEN, FB_MULTI_SUBMITTED, FB_MULTI_RUNNING };

/* Of a request or of all: keys that are mapped, keys that are not. */
enum fb_side { FB_SIDE_NONE, FB_SIDE_OURS, FB_SIDE_THEIRS };

struct fb_multi {
    enum fb_multi_state state;
    bool is_flawed;           /* a request was refused: EXEC will discard */
    bool is_too_long;         /* not all operations were planned */
    bool is_silent;           /* nobody wants EXEC's reply */
    unsigned db;              /* as the requests kept so far leave it */
    fb_buf queue;             /* struct fb_queued */
    size_t n, bytes;          /* requests, and what they take */
    fb_buf watches;           /* struct fb_watch */
    size_t nwatches;

    fb_buf planned;           /* struct fb_planned */
    size_t nplanned;
    struct fb_link scraps;    /* copies of what handlers had in places that are used again */
    struct fb_resp_out written;
    struct fb_part *parts;    /* of the transaction; the first is the outcome. Behind them, those of one request */
    size_t nparts;
    size_t next;              /* request to be answered */

    /* A transaction of the store's keys (pass.c). */
    enum fb_side side;        /* whose the keys of the requests are */
    bool watches_theirs;
    bool is_peers;            /* not the store's, but of rows that another Forebay owns (forward.h) */
    unsigned epoch;           /* of the connection that watches */
    fb_buf theirs;            /* the store's answers */
    size_t theirs_at;         /* of the next */
};

struct fb_watch {
    fb_bytes key;
    uint64_t fingerprint;
};

static inline struct fb_queued *fb_queued_at(const struct fb_multi *multi, size_t i) {
    return (struct fb_queued *)(void *)multi->queue.data + i;
}
static inline struct fb_watch *fb_watch_at(const struct fb_multi *multi, size_t i) {
    return (struct fb_watch *)(void *)multi->watches.data + i;
}
static inline struct fb_planned *fb_planned_at(const struct fb_multi *multi, size_t i) {
    return (struct fb_planned *)(void *)multi->planned.data + i;
}

bool fb_multi_is_open(const struct fb_session *session);
/* The gate QUEUE. */
enum fb_passage fb_gate_queue(struct fb_call *call);
/* A request was refused: EXEC will answer EXECABORT. */
void fb_multi_flaw(struct fb_session *session);
/* Forget requests and watches (DISCARD, RESET, the end of EXEC and of the connection). */
void fb_multi_reset(struct fb_session *session);

/* A read of a key that the session watches: its place among the watches, from 1; 0: it does not. When it has ended, and
 * has read something else than what was watched (a copy may be older as well: somebody writes past Forebay), the watch
 * will not be met, whatever the row is at EXEC: what the client computes from what it has read must not be written. */
unsigned fb_multi_watch_of(const struct fb_session *session, fb_bytes key);
void fb_multi_saw(struct fb_session *session, const struct fb_part *part);

/* Is one of the requests kept so far a write (of a row or of a copy)? */
bool fb_multi_writes(const struct fb_session *session);

/* ---- exec.c ----------------------------------------------------------------------------------------------------- */

/* From fb_call_run and its relatives while `call->plan` is set: take down what would begin. */
void fb_plan_run(struct fb_call *call, size_t n, fb_call_prepare *prepare, fb_call_finish *finish);
void fb_plan_run_all(struct fb_call *call, const fb_op *ops, size_t n, fb_call_finish *finish);

/* EXEC has requests to be answered. */
static inline bool fb_exec_is_running(const struct fb_session *session) {
    return session->multi != NULL && session->multi->state == FB_MULTI_RUNNING;
}
/* Its reply is not complete: nothing else may be written now, or it would stand inside the array. */
static inline bool fb_exec_is_under_way(const struct fb_session *session) {
    return session->multi != NULL && session->multi->state >= FB_MULTI_SUBMITTED;
}
/* The next of them; only while EXEC is running. After the last it runs no more. */
struct fb_queued *fb_exec_next(struct fb_session *session);
void fb_exec_advance(struct fb_session *session);
/* From pass.c: the store's answers are there, to be handed out; or there are none (an error, or nil, has been written). */
void fb_exec_begin_answers(struct fb_call *call);
void fb_exec_end(struct fb_session *session);
/* Answer one with what the store said. */
void fb_exec_hand_out(struct fb_call *call);
/* Answer one that was planned. Returns its share of the time that the transaction took, by its operations. */
fb_span fb_exec_answer(struct fb_call *call, const struct fb_queued *queued);

#endif
