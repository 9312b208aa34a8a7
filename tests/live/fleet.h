/* What the processes of the live consistency run share: versions of rows, what is known of them, and the count. */
#ifndef FB_TESTS_LIVE_FLEET_H
#define FB_TESTS_LIVE_FLEET_H

#include <inttypes.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "client.h"

enum { KEYS = 24, PORTS_MAX = 4, LIVES = 64, VERSIONS_MAX = 1 << 18, ERROR_KINDS = 16, ERROR_LEN = 24, SECONDS_MAX = 2000 };

/* X(name, what it counts) */
#define FLEET_FIGURES(X)                                                                                               \
    X(reads, "answers to reads")                                                                                       \
    X(writes, "acknowledged writes")                                                                                   \
    X(invalidations, "DEL of the copy")                                                                                \
    X(abandoned, "questions whose asker went away")                                                                    \
    X(read_errors, "reads without an answer")                                                                          \
    X(write_errors, "writes without one")                                                                              \
    X(older, "reads older than the last write acknowledged before they began")                                         \
    X(older_than_1s, "older by more than a second, less what the clock allows")                                        \
    X(not_own, "reads older than a write acknowledged by the same Forebay")                                            \
    X(backwards, "reads older than another that this Forebay had answered")                                            \
    X(new_then_old, "reads older than any answered before, anywhere")                                                  \
    X(longest_stale_us, "the oldest of those answers: past its end, in µs")                                            \
    X(longest_read_us, "the longest wait for a read")                                                                  \
    X(longest_write_us, "and for a write")                                                                             \
    X(killed, "clients killed")

struct row {
    _Atomic uint64_t acked, seen;
    struct { _Atomic uint64_t acked, seen; } by[PORTS_MAX][LIVES]; /* by the Forebay at that port, in that life */
    _Atomic int64_t when[VERSIONS_MAX];                     /* the moment at which a version was acknowledged; 0: never */
};

struct fleet {
    unsigned ports[PORTS_MAX], nports, redis_port;
    char database[512];
    bool plain_is_on;
    _Atomic bool is_over;
    _Atomic unsigned lives[PORTS_MAX];                      /* of the Forebay there: raised when it is killed */
#define FLEET_FIGURE_(name, words) _Atomic uint64_t name;
    struct figures { FLEET_FIGURES(FLEET_FIGURE_) } shared, plain;
#undef FLEET_FIGURE_
    struct { _Atomic unsigned char is_taken; char word[ERROR_LEN]; _Atomic uint64_t count; } errors[ERROR_KINDS];
    _Atomic uint64_t reads_in[SECONDS_MAX];                 /* of the run: how many reads were answered */
    fb_instant begun;
    struct row rows[KEYS], plain_rows[KEYS];
};
extern struct fleet *fleet;

/* What was known when a read began. */
struct floors { uint64_t acked, seen, own, own_seen; unsigned life; fb_instant began; };
struct floors fleet_floors(struct row *row, int port);
void fleet_judge(struct figures *figures, struct row *row, int port, const struct floors *floors, uint64_t version);
void fleet_acknowledged(struct row *row, int port, unsigned life, uint64_t version);
void fleet_longest(_Atomic uint64_t *longest, fb_instant since);
void fleet_raise(_Atomic uint64_t *at, uint64_t to);

/* Plain cache-aside against the same Redis and database, until the run is over: GET, else SELECT and SET; a write is an
 * UPDATE, then DEL. It never dies. Returns at once where there is no PostgreSQL client. */
void fleet_plain(uint64_t seed);

#endif
