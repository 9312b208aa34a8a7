/* A second level shared by several Forebays: batches of calls, each with an outcome of its own.
 *
 *     struct fb_store_call calls[2] = {
 *         {.key = FB_STR("user:1"), .kind = FB_KIND_HASH, .value = &row},
 *         {.key = FB_STR("user:2"), .kind = FB_KIND_HASH, .value = &other}};
 *     fb_store_many(store, FB_STORE_GET, calls, 2, deadline);              one round trip
 *     if (calls[0].outcome == FB_STORE_DONE && calls[0].answer == FB_STORE_HIT) …
 *
 * How a load goes: GET; when that misses, MISS under a fresh token (fb_store_token); with a LEASE, ask the database,
 * then FILL with the same token and `server`. How a write goes: BEGIN under a fresh token; commit; END with the same
 * token and `server`, then acknowledge. Rules that the model of the protocol (tests/model) asks of the caller:
 *
 * R1  A command whose outcome is unknown may still be carried out, at any time. MISS is asked again under a fresh token
 *     only. A write of which any command was sent again, or any outcome is unknown, ends with `is_unsure`: END deletes.
 * R2  FILL and END belong to the server that answered MISS and BEGIN (`server`). At another one, FILL is refused here
 *     and END only deletes.
 * R3  The database's transaction ends, one way or the other, before the write's window does; a living writer says BEGIN
 *     again (same token) as long as it does not know.
 * R4  A follower of a load gets its value only when the fill was accepted, or when it joined before the query was sent.
 *
 * One store (a connection) serves one thread at a time. */
#ifndef FB_STORE_STORE_H
#define FB_STORE_STORE_H

#include <stdatomic.h>

#include <forebay/forebay.h>

#include "base/time.h"

enum {
    FB_STORE_WINDOW_MS = 5000, /* a write's mark; the database gives up before 60 % of it */
    FB_STORE_LEASE_MS = 3000,  /* longer than a load's timeout */
    FB_STORE_BATCH_MAX = 512,  /* calls in one round trip */
    FB_STORE_WHY_MAX = 96,
};

enum fb_store_move {
    FB_STORE_GET, FB_STORE_MISS, FB_STORE_FILL, FB_STORE_BEGIN, FB_STORE_END, FB_STORE_INVAL,
    FB_STORE_LIFE, /* how long the copy lives from now on */
    FB_STORE_LOOK, /* is there a copy, and how long does it live? */
    FB_STORE_MOVES,  /* of rows */
    FB_STORE_LOCK = FB_STORE_MOVES, /* of the application: the key is nobody's value */
    FB_STORE_UNLOCK,
};

enum fb_store_outcome {
    FB_STORE_DONE,    /* carried out and answered */
    FB_STORE_UNSENT,  /* certainly not carried out: it never left, or not whole, or its slot is being moved (TRYAGAIN) */
    FB_STORE_REFUSED, /* the server answered with an error: nothing was put or marked; `why` is its text */
    FB_STORE_UNKNOWN, /* it left, no answer came: carried out, or not, or yet to be */
};

enum fb_store_answer {
    FB_STORE_NOTHING, /* GET: not there (or of another kind); INVAL, LIFE, LOOK: no copy is there */
    FB_STORE_HIT,     /* GET: here it is; MISS: by now it is there, ask again; LOOK: it is there */
    FB_STORE_NEG,     /* MISS: known to be absent from the database */
    FB_STORE_BUSY,    /* MISS: a write is in flight: load, keep nothing */
    FB_STORE_WAIT,    /* MISS: another load holds the lease; LOCK: another holds it */
    FB_STORE_LEASE,   /* MISS: load, then FILL; LOCK: it is held now */
    FB_STORE_PUT,     /* FILL, END: the value (or the negative entry) is there */
    FB_STORE_DROPPED, /* FILL, END, INVAL, LIFE: nothing is there */
    FB_STORE_NOT_MINE,/* FILL: the lease is gone; nothing changed */
    FB_STORE_BEGUN,   /* BEGIN: marked; no fill until END, or until the window has passed */
    FB_STORE_LIVES,   /* LIFE: so long as was asked, or as `max_ms` allows */
    FB_STORE_UNMET,   /* LIFE: its condition does not hold; nothing changed */
};

/* LIFE: only if the copy's life is without end, has one, grows, shrinks (Redis' NX, XX, GT, LT; without end is the
 * longest). */
enum fb_store_when { FB_STORE_ALWAYS, FB_STORE_NX, FB_STORE_XX, FB_STORE_GT, FB_STORE_LT };

/* What FILL and END bring. */
enum fb_store_put { FB_STORE_PUT_NOTHING, FB_STORE_PUT_VALUE, FB_STORE_PUT_NEGATIVE };

/* Different from every other one, of every process. Zero is none. */
struct fb_store_token { uint64_t process, number; };

struct fb_store_call {
    enum fb_store_move move;
    fb_kind kind;                /* of the keyspace's values: a string or a hash */
    fb_bytes key;
    struct fb_store_token token; /* MISS, FILL; BEGIN, END */
    uint64_t server;             /* MISS, BEGIN: out; FILL, END: in */
    enum fb_store_put put;       /* FILL, END */
    fb_bytes bring;              /* FILL, END: the value */
    int64_t ttl_ms;              /* FILL, END: in, > 0; LIFE: in, ≤ 0 drops the copy; GET, LOOK: out, what is left,
                                  * −1 without end */
    int64_t max_ms;              /* LIFE: no copy lives longer; > 0. A life that grows makes a copy look younger than it
                                  * is: while copies are distrusted by age, what is left bounds it. While a write is in
                                  * flight no life grows at all. */
    enum fb_store_when when;     /* LIFE */
    int64_t span_ms;             /* MISS: lease; BEGIN: window; INVAL: no fills for so long; 0: as usual */
    bool is_refresh;             /* MISS: give a lease although a copy is there */
    bool keeps_old;              /* BEGIN: the old value serves on, for the window at most */
    bool is_unsure;              /* END: see R1 */
    fb_buf *value;               /* GET: a hit is appended */
    uint64_t fence;              /* LOCK: out, the number that grows with every grant; ttl_ms: in, its life */

    enum fb_store_outcome outcome;
    enum fb_store_answer answer; /* with DONE */
    char why[FB_STORE_WHY_MAX];  /* else: one line */
};

struct fb_store;
struct fb_store_ops {
    /* Carry out n calls, in order, in as few round trips as can be; fills in outcome, answer and what else is out. */
    void (*run)(struct fb_store *store, struct fb_store_call *calls, size_t n, fb_instant deadline);
    void (*close)(struct fb_store *store);
};
struct fb_store {
    const struct fb_store_ops *ops;
    uint64_t process;
    _Atomic uint64_t tokens;
};

static inline void fb_store_run(struct fb_store *store, struct fb_store_call *calls, size_t n, fb_instant deadline) {
    store->ops->run(store, calls, n, deadline);
}
/* The same move for all of them. */
static inline void fb_store_many(struct fb_store *store, enum fb_store_move move, struct fb_store_call *calls, size_t n,
                                 fb_instant deadline) {
    for (size_t i = 0; i < n; i++)
        calls[i].move = move;
    fb_store_run(store, calls, n, deadline);
}
static inline void fb_store_close(struct fb_store *store) {
    if (store != NULL)
        store->ops->close(store);
}

struct fb_store_token fb_store_token(struct fb_store *store);
static inline bool fb_store_token_is(struct fb_store_token a, struct fb_store_token b) {
    return a.process == b.process && a.number == b.number;
}

/* How one is opened: place.h. */

#endif
