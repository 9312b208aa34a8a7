/* What strangers, and all clients together, may take: admission of connections, wrong passwords, memory of buffers.
 *
 * A connection is admitted by the acceptor, which knows its address, and gives back what it took when it ends. Those of
 * this machine (unix sockets, the loopback) are not counted by address, since one address stands for all of them, and
 * for whatever a proxy forwards; and the last places are kept for them, so that an operator gets in when clients have
 * taken the rest. */
#ifndef FB_SERVER_BOUNDS_H
#define FB_SERVER_BOUNDS_H

#include <stdatomic.h>

#include <sys/socket.h>

#include "base/hash.h"
#include "base/lock.h"
#include "server/state.h"

/* The limits that are not settings. The table in docs/security.md is printed from them; X(name, value, meaning) */
#define FB_LIMIT_MAP(X)                                                                                                \
    X(FB_STRANGER_ARGS_MAX, 10, "arguments of a request before AUTH")                                                  \
    X(FB_STRANGER_BULK_MAX, 4096, "bytes of an argument before AUTH")                                                  \
    X(FB_STRANGER_INLINE_MAX, 1024, "bytes of a request typed as a line before AUTH")                                  \
    X(FB_STRANGER_QUERY, 64 * 1024, "bytes of a request buffered before AUTH")                                         \
    X(FB_STRANGER_OUTPUT, 64 * 1024, "bytes of replies unsent before AUTH")                                            \
    X(FB_STRANGER_SECONDS, 5, "seconds for the first request, and for each unfinished one, before AUTH")               \
    X(FB_STRANGER_IDLE_SECONDS, 30, "seconds of silence before AUTH")                                                  \
    X(FB_STRANGERS_MAX, 64, "connections of one address before AUTH (not of this machine)")                            \
    X(FB_WRONG_PASSWORDS_MAX, 5, "wrong passwords of one connection, which is then closed")                            \
    X(FB_ADDRESS_PASSWORDS_MAX, 5, "wrong passwords of one address in ADDRESS_SECONDS (not of this machine)")       \
    X(FB_ADDRESS_SECONDS, 10, "seconds for which an address with too many is not heard")                               \
    X(FB_HANDSHAKE_SECONDS, 5, "seconds for the handshake of TLS")                                                     \
    X(FB_HANDSHAKES_SHARE, 4, "of clients_max the part (a quarter) that may be in a handshake at a time")              \
    X(FB_RESERVE_MAX, 16, "places of clients_max kept for this machine (a quarter at most)")                           \
    X(FB_ARGS_MAX, 65536, "arguments of a request after AUTH")                                                         \
    X(FB_INLINE_MAX, 64 * 1024, "bytes of a request typed as a line after AUTH")                                       \
    X(FB_PARTIAL_SECONDS, 30, "seconds for an unfinished request after AUTH, and one more per KiB received")           \
    X(FB_OUTPUT_SOFT, 8 << 20, "bytes unsent for SOFT_SECONDS at a time")                                           \
    X(FB_SOFT_SECONDS, 10, "seconds for which OUTPUT_SOFT may be exceeded")

enum {
#define FB_LIMIT_(name, value, meaning) name = value,
    FB_LIMIT_MAP(FB_LIMIT_)
#undef FB_LIMIT_
    FB_STRANGER_BUCKETS = 4096, /* counts of strangers; addresses of one bucket share one */
    FB_GUESSER_SETS = 256,      /* addresses with wrong passwords: so many sets … */
    FB_GUESSER_WAYS = 4,        /* … of so many; the oldest of a set makes room */
};

/* ---- connections ------------------------------------------------------------------------------------------------ */

struct fb_arrival {
    int fd;
    bool is_unix, is_tls, is_local;
    bool counts_handshake, counts_stranger; /* what is to be given back */
    uint64_t address;                       /* hashed; IPv6 by its /64 */
};

struct fb_bounds {
    struct fb_hash_key key;
    _Atomic unsigned handshakes;
    _Atomic unsigned strangers[FB_STRANGER_BUCKETS];
    _Atomic size_t buffers;     /* bytes of all connections' buffers */
    struct fb_lock lock;
    struct { uint64_t address; int64_t since_s; unsigned failures; } guessers[FB_GUESSER_SETS][FB_GUESSER_WAYS];
};

struct fb_bounds *fb_bounds_new(void);
void fb_bounds_free(struct fb_bounds *bounds);

/* Fill in what the address says, then take a place. NULL, or why there is none (for the log); then nothing was taken. */
const char *fb_bounds_admit(struct fb_server *server, struct fb_arrival *arrival, const struct sockaddr *address);
/* Give back the place and what else it counts for. */
void fb_bounds_leave(struct fb_server *server, struct fb_arrival *arrival);
/* The handshake is over; the client has logged in. */
void fb_bounds_handshaken(struct fb_server *server, struct fb_arrival *arrival);
void fb_bounds_known(struct fb_server *server, struct fb_arrival *arrival);

/* May this address try a password now? And: it was wrong. `now_s`: seconds of any clock that only goes forward. */
bool fb_bounds_may_guess(struct fb_bounds *bounds, const struct fb_arrival *arrival, int64_t now_s);
void fb_bounds_guessed(struct fb_bounds *bounds, const struct fb_arrival *arrival, int64_t now_s);

/* ---- sessions that we end -------------------------------------------------------------------------------------- */

/* X(name, counter of the loop, label in forebay_connections_closed_total, reason in the log) */
#define FB_EXCESSES(X)                                                                                                 \
    X(QUERY, over_query, "query_buffer", "its request did not fit into its query buffer")                              \
    X(OUTPUT, over_output, "output_buffer", "it did not read its replies")                                             \
    X(TIME, over_time, "slow", "it left a request unfinished or did not log in")                                       \
    X(IDLE, over_idle, "idle", "it was idle")                                                                          \
    X(HANDSHAKE, over_handshake, "handshake", "it did not end its TLS handshake")                                      \
    X(MEMORY, over_memory, "client_memory", "all clients together had too much memory, and it the most")               \
    X(HTTP, spoke_http, "http", "it spoke HTTP, as a browser does that was made to connect")

enum fb_excess {
#define FB_EXCESS_(name, counter, label, reason) FB_EXCESS_##name,
    FB_EXCESSES(FB_EXCESS_)
#undef FB_EXCESS_
};

struct fb_session;
/* Count and log why a session ends; HTTP as what is no request, at the level of that. */
void fb_session_blame(struct fb_session *session, enum fb_excess excess);
/* The same, and mark it dead; whoever settles it closes it. */
void fb_session_exceed(struct fb_session *session, enum fb_excess excess);
/* The session's buffers have another size now. When all together are too much, the biggest of this loop are closed,
 * perhaps this one. */
void fb_session_weigh(struct fb_session *session, size_t bytes);
/* Once a second: close the biggest while all together are too much. */
void fb_bounds_shed(struct fb_loop *loop);

#endif
