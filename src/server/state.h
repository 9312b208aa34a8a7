/* What all threads of one server share. */
#ifndef FB_SERVER_STATE_H
#define FB_SERVER_STATE_H

#include <stdatomic.h>

#include <uv.h>

#include "base/lock.h"
#include "proto/resp.h"
#include "server/server.h"

enum {
    FB_LISTENERS_MAX = 16,
    FB_THREADS_MAX = 256,     /* loops */
    FB_RUN_ID_LEN = 40,
    FB_DATABASES = 16,
    FB_OPERATIONS_MAX = 8192, /* under way in all loops together: below the queue in front of a source (10,000), so
                               * that a rush of misses makes connections wait instead of being refused */
    FB_ERROR_WORDS_MAX = 32, /* different first words of errors; Forebay has fewer */
    FB_RATIO_SECONDS = 60, /* that hit_ratio_1m looks back */
    FB_ADDRESS_MAX = 120, /* "[address%zone]:port" or the path of a unix socket */
};

/* Counters a loop keeps for itself; others read them while it writes. X(name) */
#define FB_LOOP_COUNTERS(X) X(connections) X(commands) X(errors) X(bytes_in) X(bytes_out)                          \
    X(over_query) X(over_output) X(over_time) X(over_idle) X(over_handshake) X(over_memory) X(spoke_http)

struct fb_loop_counters {
#define FB_COUNTER_(name) _Atomic uint64_t name;
    FB_LOOP_COUNTERS(FB_COUNTER_)
#undef FB_COUNTER_
};

/* One writer per counter, so no locked instruction is needed. */
static inline void fb_count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* The same figures as plain numbers: sums over the loops and the keyspaces. X(name) adds those of the server. */
#define FB_TOTALS(X) FB_LOOP_COUNTERS(X) X(rejected) X(hits) X(misses) X(expired) X(evicted)
struct fb_totals {
#define FB_TOTAL_(name) uint64_t name;
    FB_TOTALS(FB_TOTAL_)
#undef FB_TOTAL_
};

struct fb_listener {
    int fd;
    unsigned port;       /* 0: a unix socket */
    bool is_tls;
    char path[108];      /* of a unix socket, to be removed at the end */
    ino_t inode;         /* of that socket */
    struct fb_server *server;
    uv_poll_t poll;      /* the acceptor's */
};

struct fb_server {
    /* Set before the threads start, constant afterwards. */
    fb_cache *cache;
    struct fb_server_options options; /* its strings are the server's own */
    struct fb_users *users;           /* users.h */
    struct fb_bounds *bounds;         /* bounds.h */
    struct fb_store *store;           /* upstream.h; NULL: none */
    struct fb_store *peers;           /* how other Forebays are spoken to (forward.h); NULL: nothing is forwarded */
    bool is_shared;                   /* rows are shared through the store */
    struct fb_resp_limits limits_of_strangers; /* before AUTH */
    struct fb_loop *loops;
    unsigned nloops;
    size_t operations_max;            /* of one loop */
    fb_instant started;
    int64_t started_wall_us;
    char run_id[FB_RUN_ID_LEN + 1];

    /* The acceptor's thread. */
    struct fb_listener listeners[FB_LISTENERS_MAX];
    unsigned nlisteners;
    uv_loop_t acceptor;
    uv_async_t acceptor_stop;
    uv_timer_t acceptor_rest; /* runs while the process has no file descriptors left */
    uv_thread_t acceptor_thread;
    bool has_acceptor;
    unsigned next_loop;

    /* Any thread; read with FB_LIVE. */
    struct {
#define FB_LIVE_(type, name, meaning) _Atomic(type) name;
        FB_SERVER_LIVE(FB_LIVE_)
#undef FB_LIVE_
    } live;

    /* Any thread. */
    _Atomic bool is_timed;            /* somebody wants to know how long requests take */
    _Atomic int64_t watch_ns;         /* the shortest time that the slow log or the latency monitor wants to see */
    struct fb_slowlog *slowlog;       /* with a lock of its own */
    struct fb_health *health;         /* the same */
    _Atomic bool is_draining, has_bad_reload;
    _Atomic unsigned gates;           /* enum fb_gate: of all sessions */
    _Atomic int64_t paused_until_ns;  /* of CLIENT PAUSE, while its gate is up */
    _Atomic bool pauses_writes_only;
    _Atomic uint64_t next_client_id;
    _Atomic unsigned clients;
    _Atomic uint64_t rejected;
    _Atomic size_t pushed_max;        /* FB_PUSHED_MAX; tests make it smaller */
    struct fb_pubsub *pubsub;         /* these have locks of their own */
    struct fb_tracking *tracking;
    struct fb_lock watch_lock;        /* rank WATCH: one change of what is watched at a time */

    /* `lock` (rank LOOP). */
    struct fb_lock lock;
    struct fb_totals baseline;   /* taken off by CONFIG RESETSTAT */
    struct fb_tls_context *tls;  /* for the next connection; NULL: no TLS */
    struct fb_cost_base *costs_base; /* the same, per command; NULL: nothing to take off */
    struct fb_totals last;       /* a second ago, for the instantaneous figures */
    uint64_t ops_per_second, in_per_second, out_per_second;
    struct { uint64_t hits, misses; } reads[FB_RATIO_SECONDS]; /* totals of the last seconds, for hit_ratio_1m */
    uint64_t seconds;            /* since the start: where in reads the next goes */
    uint64_t memory_peak;        /* since RESETSTAT */
    struct { const char *word; uint64_t count; } errors[FB_ERROR_WORDS_MAX]; /* since RESETSTAT; NULL ends */
};

/* A live setting as it is now. */
#define FB_LIVE(server, name) atomic_load_explicit(&(server)->live.name, memory_order_relaxed)

/* A line for the log: fb_server_log(server, FB_LOG_AUTH_FAILED, "…one sentence…", FB_LOG_FIELDS({"address", a})). The
 * sink limits how often an event is written, so that a stranger cannot fill the disk. */
static inline void fb_server_log(const struct fb_server *server, enum fb_log_event event, const char *message,
                                 const struct fb_log_field *fields) {
    if (server->options.log != NULL)
        server->options.log(server->options.log_user, event, message, fields);
}

/* What a request may be like. */
struct fb_resp_limits fb_server_limits(const struct fb_server *server, bool is_authenticated);

/* The sums since the start (not since RESETSTAT). */
void fb_server_totals(struct fb_server *server, struct fb_totals *ret_totals);

/* Hits by reads over the last minute; under server->lock. */
double fb_server_hit_ratio(const struct fb_server *server);

/* listen.c: open every listener of the options; on failure those already open are closed. */
fb_status fb_listeners_open(struct fb_server *server, fb_err *reterr);
void fb_listeners_close(struct fb_server *server);

/* accept.c: the thread that takes connections and hands them to the loops in turn. */
fb_status fb_acceptor_start(struct fb_server *server, fb_err *reterr);
void fb_acceptor_stop(struct fb_server *server);

#endif
