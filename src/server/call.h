/* One request being carried out, and how it may wait.
 *
 * A handler either answers into call->out at once, or begins operations and answers when they are over:
 *
 *     static void finish_strlen(…)                          { fb_resp_write_integer(call->out, …); }
 *     void fb_cmd_strlen(struct fb_call *call)              { fb_call_read(call, render_strlen); }
 *
 * The operations of one request are its *parts*. They are submitted in batches; their completions come on other threads
 * and leave their results in the part; whoever finishes the last part of a batch posts the wait to the loop, where
 * `finish` runs. A wait belongs to the loop's thread except between the submission and the end of a batch, when it
 * belongs to nobody and only its parts and `left` are written. */
#ifndef FB_SERVER_CALL_H
#define FB_SERVER_CALL_H

#include "server/session.h"
#include "tbl/errors.h"

enum { FB_HELD_COMMANDS = 8 }; /* largest commands whose values one loop may hold at a time */
enum { FB_BEHIND_WORDS_MAX = 128 }; /* of a request that others may be under way with */
enum { FB_BATCH_MAX = 1024 }; /* operations of one request under way together; a configured queue_max is not below it */

struct fb_call;
struct fb_wait;

typedef void fb_handler(struct fb_call *call);

/* A row of tbl/commands.h. `parent` is the first word of a subcommand. */
struct fb_command {
    const char *name, *parent;
    fb_handler *handler;
    int arity;
    unsigned flags;
    int first, last, step;
    const char *group, *since, *syntax, *summary;
    int counted; /* where the number of keys stands that follow it; 0: nowhere */
};

/* Where the time of a request that asked a source went, as fb_result says it: the longest of its parts. */
struct fb_split { int64_t lane_us, source_us; unsigned shared; bool is_stale; };

/* The outcome of one operation. */
struct fb_part {
    struct fb_wait *wait;
    bool wants_old;    /* bytes is the value from before, kind NONE if there was none */
    unsigned watch;    /* it reads a key that its session watches: fb_multi_watch_of */
    fb_status status;
    fb_kind kind;
    fb_buf bytes;      /* the value, the value from before, or the text of the error */
    int64_t number;
    struct fb_split split;
};

/* Fill in the operation of part i. */
typedef void fb_call_prepare(const struct fb_call *call, size_t i, fb_op *ret_op);
typedef void fb_call_finish(struct fb_call *call, struct fb_part *parts, size_t n);
/* Write the reply of a reading command; kind NONE: there is no row. */
typedef void fb_call_render(struct fb_call *call, fb_kind kind, fb_bytes value);

struct fb_call {
    struct fb_session *session;
    const struct fb_command *command;
    const fb_bytes *argv;
    size_t argc;
    struct fb_resp_out *out;
    size_t mark;               /* where its reply begins in out */
    bool is_silent;            /* nobody wants the reply */
    bool is_delayed;           /* not begun: as if it had not come yet */
    bool is_starved;           /* not begun: too many operations are under way */
    bool is_behind;            /* writes rows that are written behind, and nothing else */
    bool is_again;             /* it was once, and has passed the gates before */
    bool is_theirs;            /* MULTI keeps it for the store */
    bool is_inner;             /* of a transaction: EXEC carries it out */
    bool is_forwarded;         /* another Forebay carries it out (forward.h) */
    struct fb_wait *wait;      /* NULL until it waits */

    /* For measure.c. */
    fb_instant began;          /* 0: times are not wanted */
    struct fb_split split;
    struct fb_preview *preview; /* of a wait, for the slow log: its arguments may be gone by then */
    bool has_begun;            /* its handler has been called */
    bool has_failed;           /* an error was its answer */
    bool is_waiting;           /* it is measured when its wait is over */

    struct fb_queued *plan;    /* EXEC asks what this would begin: nothing is begun, and the cache is not asked */

    /* The handler's notes for later. */
    fb_call_render *render;
    unsigned flags;
    int64_t number[2];
    bool is_alone;             /* nothing begins before it is over, whatever its row says */
    bool keeps_args;           /* argv is needed after the submission */
    fb_buf notes;              /* of a finish, for the next; freed with the wait */
    const void *context;       /* of a job: something that outlives the session */
};

/* Operations 0 .. n−1, then finish. What has been written so far stays in front of what finish writes. */
void fb_call_run(struct fb_call *call, size_t n, fb_call_prepare *prepare, fb_call_finish *finish);
/* Work in steps: `finish` runs at once, in a wait with room for so many parts; with what follows it goes on. */
void fb_call_steps(struct fb_call *call, size_t room, fb_call_finish *finish);
/* From a finish, the last thing it does: */
/* operations 0 .. n−1 (n at most the room), then another finish; */
void fb_call_again(struct fb_call *call, size_t n, fb_call_prepare *prepare, fb_call_finish *finish);
/* another finish in a later turn of the loop, so that others get theirs; */
void fb_call_later(struct fb_call *call, fb_call_finish *finish);
/* something that may block: `work` runs on another thread, where it may use the call's arguments, notes and numbers and
 * nothing of its session; then another finish; */
typedef void fb_call_job(struct fb_call *call);
void fb_call_work(struct fb_call *call, fb_call_job *work, fb_call_finish *finish);
/* one operation that is not begun with fb_submit (fb_list_keys); then another finish with one part. */
typedef fb_status fb_call_begin(struct fb_call *call, fb_done done, void *user, fb_result *ret_result);
void fb_call_await(struct fb_call *call, fb_call_begin *begin, fb_call_finish *finish);
/* Nothing is begun here: the reply comes from the store (pass.c), and is written into the wait. NULL: no memory, and the
 * error has been written. */
struct fb_wait *fb_call_away(struct fb_call *call);
/* Several operations as one transaction (fb_submit_all), then finish: the first part is the outcome of all (its number
 * says which operation decided), behind it one part per operation. */
void fb_call_run_all(struct fb_call *call, const fb_op *ops, size_t n, fb_call_finish *finish);

/* May what is cached be the answer? Not in another database; not while EXEC plans: the transaction will see rows that the
 * cache does not have yet; and not for who watches, whose reads are compared with what was watched. */
static inline bool fb_call_may_peek(const struct fb_call *call) {
    return ((uintptr_t)call->plan | (uintptr_t)call->session->multi | call->session->db) == 0;
}
/* Read argv[1], from the cache at once or else from the source, then render. */
void fb_call_read(struct fb_call *call, fb_call_render *render);
/* The same when the cache has been asked already. */
void fb_call_load(struct fb_call *call, fb_call_render *render);

/* An operation on a cached copy (EXPIRE, PERSIST, TTL, INVALIDATE, DROP where it only forgets): it ends at once. False:
 * it failed, and the error has been written. */
bool fb_call_at_once(struct fb_call *call, const fb_op *op);
void fb_part_at_once(struct fb_call *call, const fb_op *op, struct fb_part *ret_part);
/* Too many operations are under way: the request will be carried out later, as if it had not come yet. */
bool fb_call_is_starved(struct fb_call *call);

/* Does the key belong to a keyspace? If not, NOMAP has been written. */
bool fb_call_maps(struct fb_call *call, fb_bytes key);
/* Keys a client library probes for; they are absent everywhere. */
bool fb_key_is_probe(fb_bytes key);

/* Errors, counted: a row of tbl/errors.h by its id, with what its text asks for; */
#define fb_call_error(call, id, ...) fb_call_say(call, FB_ERROR_##id, FB_TEXT_##id, ##__VA_ARGS__)
void fb_call_say(struct fb_call *call, enum fb_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* one that is chosen while running, whose text asks for nothing; */
void fb_call_refuse(struct fb_call *call, enum fb_error error);
/* a status, whose word it is; `text` from a source is cleaned by the writer. */
void fb_call_fail(struct fb_call *call, fb_status status, fb_bytes text);
/* A negative part: fail, and true. */
bool fb_call_failed(struct fb_call *call, const struct fb_part *part);
void fb_call_out_of_memory(struct fb_call *call);
void fb_call_wrong_type(struct fb_call *call);
void fb_call_syntax_error(struct fb_call *call);
/* Arguments as numbers, in canonical form; on failure the error has been written. */
bool fb_call_integer(struct fb_call *call, fb_bytes text, int64_t *ret_number);
bool fb_parse_integer(fb_bytes text, int64_t *ret_number);
/* Is the argument this word, in any case? */
bool fb_is_word(fb_bytes arg, const char *word);

/* Take back what has been written. */
static inline void fb_call_rewind(struct fb_call *call) { fb_resp_rewind(call->out, call->mark); }
static inline struct fb_loop *fb_call_loop(const struct fb_call *call) { return call->session->loop; }
static inline struct fb_server *fb_call_server(const struct fb_call *call) { return call->session->loop->server; }
static inline fb_cache *fb_call_cache(const struct fb_call *call) { return call->session->loop->server->cache; }

/* ---- waits, for session.c and loop.c ---------------------------------------------------------------------------- */

struct fb_wait {
    struct fb_message message;
    struct fb_link link;           /* in the session's queue */
    struct fb_inbox *inbox;        /* a reference */
    struct fb_session_ref session;
    struct fb_call call;           /* out is &reply */
    struct fb_resp_out reply;      /* its own */
    struct fb_resp_out after;      /* of the requests behind it that were answered at once */
    fb_call_prepare *prepare;
    fb_call_finish *finish;        /* NULL once it has run and wants nothing more */
    bool is_over, is_silent;
    bool is_passed;                /* its reply comes from the store */
    size_t skips;                  /* replies from the store before its own, which nobody wants */
    bool is_too_long;              /* the reply; it becomes an error */
    bool is_patient;               /* no silence of who is to answer is too long */
    fb_buf passed;                 /* the store's part of a reply that is split */
    struct fb_wait *parent;        /* of which it is a part, at one node of the store (pass_cluster.h); NULL: it is whole */
    struct fb_wait **children;     /* its own parts, which it frees */
    size_t nchildren, left_children;
    unsigned hops;                 /* redirections followed */
    fb_bytes *args;                /* own copy of argv with its bytes, or NULL */
    size_t nparts, next;           /* parts in all; the first not yet submitted */
    size_t room;                   /* for parts */
    bool is_away;                  /* finish has begun something after which the wait comes back by a message */
    size_t batch;                  /* parts of this batch, as counted in loop->operations */
    _Atomic size_t held;           /* bytes in the parts */
    _Atomic size_t left;           /* parts of this batch under way, and one for the submitter */
    struct fb_part parts[];
};

/* On the loop: a batch, a job or a pause is over and has been taken off loop->operations. Submits the next batch or
 * finishes; true when the wait is over. */
bool fb_wait_advance(struct fb_wait *wait);
struct fb_wait *fb_wait_free(struct fb_wait *wait);
/* Its arguments become its own (wait->args). False: no memory. */
bool fb_wait_keep_args(struct fb_wait *wait);

#endif
