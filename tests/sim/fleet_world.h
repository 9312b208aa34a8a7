/* Several Forebays in a small world: each a real shard with the real ways of a load and of a write (store/flow.h), over one
 * model Redis and one model database, with a network between them that delays, loses and repeats.
 *
 * Everything happens at a moment of one clock: what is to happen lies in a heap by time. A seed chooses the world (who
 * fails, how often, whether there is a first level) and then every delay and every fate, so a seed is a life.
 *
 * A database row is a register: version n is its nth commit, and the value of version 7 is the text "v7". What a read may
 * answer follows from what was known when it began:
 *
 *   F1  With the first level off: nothing older than what had been acknowledged or answered anywhere (linearizable). Where
 *       coordination keys are lost, or Redis is flushed: than what had been acknowledged (regular).
 *   F2  With the first level: nothing older than what had been acknowledged a second before; nothing older than what this
 *       very process had acknowledged; and, where F1 says linearizable, nothing older than what it had answered.
 *   F3  Every question is answered once, and within a bound.
 *   F4  At rest everybody reads what the database has. After a failover as well.
 *   F5  Where nothing fails, one load at a time asks the database for a key: nobody else has its lease.
 *
 * Two mishaps at once ask for less: see fleet_check.c. Who dies while the coordination key is lost, or while a failover goes on, may leave what only the TTL ends: such worlds
 * do not ask for F4, nor for F1 and F2 from there on. */
#ifndef TESTS_SIM_FLEET_WORLD_H
#define TESTS_SIM_FLEET_WORLD_H

#include <stdio.h>

#include "base/rng.h"
#include "core/shard.h"
#include "fleet_redis.h"
#include "store/flow.h"

enum {
    NODES_MAX = 3,
    ROW_VERSIONS_MAX = 160, FLEET_OPS_MAX = 120, LOADS_MAX = 600, LOAD_NUMBERS = 100000, NETS_MAX = 4000, EVENTS_MAX = 4096, STREAM_MAX = 512,
    STORE_TIMEOUT_MS = 250, SOURCE_TIMEOUT_MS = 3000, PROOF_MS = 1000, BEAT_MS = 250, PATIENCE_MS = 20,
};

enum fleet_op_kind { FOP_READ, FOP_REFRESH, FOP_SET, FOP_DELETE, FOP_AROUND, FOP_INVALIDATE, FOP_KINDS };
enum fleet_op_state { FOP_WAITING, FOP_QUEUED, FOP_BEGINS, FOP_STORES, FOP_ENDS, FOP_ANSWERED, FOP_LOST };

enum happening {
    EV_START,      /* an operation begins */
    EV_EXEC,       /* a call is carried out by Redis */
    EV_REPLY,      /* its answer, or the end of its time */
    EV_SENT,       /* the source is asked: a load, or a write */
    EV_READS,      /* the database reads a row */
    EV_LOADED,     /* its answer */
    EV_LATE,       /* the patience of a load that waits for another's */
    EV_COMMITS, EV_STORED,
    EV_STREAM,     /* a push or a reply to ROLE */
    EV_BEAT,       /* ROLE is sent */
    EV_HEARD,      /* it arrives */
    EV_NOTICED,    /* the end of a session with Redis */
    EV_WATCHED,    /* and its new beginning */
    EV_TICK, EV_FAULT, EV_RISEN,
};

/* Parts that a test of the test leaves out (R2, that FILL and END stay with their server, is the model's: X and J). X(name, what goes wrong) */
#define FLEET_PARTS(X)                                                                                                 \
    X(KEEPS_LOADS, "copies are kept of what Redis does not have")                                                     \
    X(SERVES_UNPROVED, "the first level serves without proof")                                                         \
    X(PUSH_SPARES_LOADS, "a push takes the copy and spares the load under way")                                        \
    X(SHARES_REFUSED, "followers get what was not kept")                                                               \
    X(LATE_FOLLOWERS, "who joins after the last question gets the answer")                                             \
    X(MISS_AGAIN, "MISS is asked again under its old token")                                                           \
    X(END_IS_SURE, "END puts although a command was sent again")                                                       \
    X(NO_PATIENCE, "the source is asked however late it is")                                                           \
    X(NO_BEGIN, "writes say no BEGIN")                                                                                 \
    X(NO_REASSERT, "nothing is invalidated after a failover")                                                          \
    X(NO_DISTRUST, "nothing is distrusted after a restart from an old file")                                           \
    X(REDIS_FILLS_ALL, "Redis accepts a FILL without a lease")                                                         \
    X(SESSION_STARTS_FULL, "copies survive a new session")                                                             \
    X(OWES_NOTHING, "an END that did not get through is forgotten")

enum fleet_part {
#define FLEET_PART_(name, words) PART_##name,
    FLEET_PARTS(FLEET_PART_)
#undef FLEET_PART_
    PARTS
};

#define FLEET_EVENTS(X)                                                                                                \
    X(L1_HITS, "hits in the first level")                                                                              \
    X(L2_HITS, "hits in Redis")                                                                                        \
    X(NEGATIVE, "known absences")                                                                                      \
    X(LEASES, "leases")                                                                                                \
    X(AHEAD, "refreshes ahead of the end")                                                                             \
    X(STALE, "stale values that stand in")                                                                             \
    X(WAITS, "waits for another's load")                                                                               \
    X(WOKEN, "woken by a push")                                                                                        \
    X(LATE, "waits that took too long")                                                                                \
    X(BUSY, "loads during a write")                                                                                    \
    X(REFUSED, "refused fills")                                                                                        \
    X(PINNED, "fills kept from another server")                                                                        \
    X(UNKNOWN, "unknown outcomes")                                                                                     \
    X(REPEATED, "commands carried out late")                                                                           \
    X(UNBEGUN, "writes refused for want of BEGIN")                                                                     \
    X(TOO_LATE, "writes refused for want of time")                                                                     \
    X(DOUBTS, "writes in doubt")                                                                                       \
    X(LANDED, "that landed")                                                                                           \
    X(OWED, "ends that did not get through")                                                                           \
    X(EVICTED, "evictions")                                                                                            \
    X(LOST, "coordination keys lost")                                                                                  \
    X(FLUSHED, "flushes")                                                                                              \
    X(DIED, "processes that died")                                                                                     \
    X(UNPROVED, "moments without proof")                                                                               \
    X(SESSIONS, "sessions begun again")                                                                                \
    X(FAILOVERS, "failovers")                                                                                          \
    X(RESTARTS, "restarts from an old file")                                                                           \
    X(REASSERTED, "names invalidated again")                                                                           \
    X(DISTRUSTED, "copies distrusted")

enum fleet_seen {
#define FLEET_SEEN_(name, words) FS_##name,
    FLEET_EVENTS(FLEET_SEEN_)
#undef FLEET_SEEN_
    FS_COUNT
};

struct fleet_options {
    unsigned nodes, keys, ops;
    bool has_l1, is_slow, is_ahead;      /* refresh-ahead */
    /* One in so many; 0: never. */
    unsigned unsent, unknown, refused;   /* of calls */
    unsigned source_error, doubt, fails; /* of trips to the source */
    unsigned queues;                     /* one in so many waits in front of a slow source */
    unsigned faults;                     /* how many happenings of these kinds there are */
    bool evicts, loses, flushes, dies, cuts, fails_over, restarts;
    int64_t ttl_ms, negative_ttl_ms, grace_ms;
    uint32_t without;                    /* bits of enum fleet_part */
    FILE *trace;
};

struct fleet_event { int64_t at; uint64_t order; enum happening what; unsigned index, life; };

struct fleet_op {
    enum fleet_op_kind kind;
    enum fleet_op_state state;
    unsigned node, life, key, number, tries;
    int64_t begun;
    unsigned acked, seen, own, own_seen, second; /* floors */
    bool is_judged;                              /* the floors of this one count */
    struct fb_waiter waiter;
    struct fb_writer writer;
    struct fb_write_flow flow;
    int64_t sent;                                /* to the source */
    unsigned version;
    bool has_committed, is_refused, is_doubted, is_absent;
    char text[16];
};

struct fleet_load {
    bool is_live, is_first;
    unsigned node, life, key, version, number;
    struct fb_flight *flight;
    struct fb_load_flow flow;
    struct fb_value *loaded;
    fb_buf copy;
    char room[32], name[8], text[16];
};

enum net_for { NET_LOAD, NET_WRITE, NET_INVALIDATE, NET_OWED };

struct fleet_net {
    enum net_for what;
    unsigned owner, node, life, key, version;
    uint64_t server;
    struct fb_store_call call;
    fb_buf value;
    char room[32];
    bool is_known;      /* the answer will come */
};

struct fleet_node {
    struct fb_shard *shard;
    fb_policy policies[1];
    _Atomic int64_t proved;
    bool is_up, is_watching, beat_is_out;
    unsigned life, session;
    uint64_t server, history;       /* of its calls' connection; of its session */
    int64_t distrust, stream_end, beat_sent;
    uint32_t owed;                  /* a bit per key that the store has yet to hear of */
    struct stream_item { bool is_beat; unsigned key; int64_t sent; } stream[STREAM_MAX];
    unsigned first, next;
    int64_t wrote[FLEET_KEYS];      /* when it last wrote the key; 0: never */
    unsigned acked[FLEET_KEYS], seen[FLEET_KEYS];
    uint64_t tokens;
};

struct fleet_row {
    struct fleet_version { int64_t committed; bool is_absent; } versions[ROW_VERSIONS_MAX];
    unsigned nversions, acked, seen;
    struct fleet_ack { int64_t at; unsigned version; } acks[ROW_VERSIONS_MAX];
    unsigned nacks;
};

struct fleet {
    struct fleet_options options;
    struct fb_rng rng;
    int64_t now;
    struct fleet_redis redis;
    struct fleet_row rows[FLEET_KEYS];
    struct fleet_node nodes[NODES_MAX];
    struct fleet_op ops[FLEET_OPS_MAX];
    struct fleet_load loads[LOADS_MAX];
    struct fleet_net nets[NETS_MAX];
    struct fleet_event heap[EVENTS_MAX];
    unsigned nops, nloads, nnets, nheap, open;
    uint64_t order;
    bool is_over;                   /* no more operations and faults: what is under way ends well */
    bool is_excused;                /* of F1, F2 and F4: see above */
    int64_t excused_until;          /* a failover is not healed yet: of F1 and F2 */
    int64_t longest;
    uint64_t seen[FS_COUNT];
    char violation[256];
};

/* A whole life. The violation, if any, is in `violation`. */
void fleet_live(struct fleet *f, const struct fleet_options *options, uint64_t seed);

void fleet_fail(struct fleet *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fleet_say(const struct fleet *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fleet_at(struct fleet *f, int64_t delay, enum happening what, unsigned index, unsigned life);
bool fleet_happens(struct fleet *f, unsigned one_in);
static inline bool fleet_lacks(const struct fleet *f, enum fleet_part part) { return f->options.without >> part & 1; }
/* How long something takes: mostly a little. */
int64_t fleet_delay(struct fleet *f);
const char *fleet_key_name(unsigned key);

/* fleet_node.c: what a Forebay does. */
void node_start(struct fleet *f, unsigned node);
void node_kill(struct fleet *f, unsigned node);
void node_begin_op(struct fleet *f, struct fleet_op *op);
void node_load_event(struct fleet *f, struct fleet_load *load, enum happening what);
void node_write_event(struct fleet *f, struct fleet_op *op, enum happening what);
void node_answered(struct fleet *f, struct fleet_net *net);
void node_told(struct fleet *f, unsigned node, unsigned key);
void node_forgets(struct fleet *f, unsigned node);
void node_reassert(struct fleet *f, unsigned node, int64_t since);
void node_tick(struct fleet *f, unsigned node);

/* fleet_net.c: between a Forebay and Redis. */
void net_send(struct fleet *f, unsigned node, enum net_for what, unsigned owner, unsigned key, unsigned version,
              struct fb_store_call *call);
void net_event(struct fleet *f, enum happening what, unsigned index, unsigned life);
void net_told(void *fleet, unsigned key);
void net_cut(struct fleet *f, unsigned node, int64_t noticed_after);

/* fleet_check.c */
void check_floors(struct fleet *f, struct fleet_op *op);
void check_answer(struct fleet *f, struct fleet_op *op, fb_status status, fb_bytes value);
void check_acknowledged(struct fleet *f, struct fleet_op *op);
void check_lease(struct fleet *f, const struct fleet_load *load);
void check_rest(struct fleet *f);

#endif
