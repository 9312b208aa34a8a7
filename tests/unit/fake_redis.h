/* Servers that say what a test wants: nodes of a Cluster, Sentinels, a single server, each on a port of its own. */
#ifndef FB_TESTS_FAKE_REDIS_H
#define FB_TESTS_FAKE_REDIS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { FAKE_LINES_MAX = 64, FAKE_HANGS_UP = 1 };

struct fake_redis {
    /* Set by the test before it starts, or while nobody asks. */
    const char *role, *mode;      /* NULL: "master", "standalone" */
    const char *run_id;           /* 40 hex digits; NULL: as many 'a' */
    const char *next_run_id;      /* from the next_run_at-th ROLE on it is another run; NULL: none */
    unsigned next_run_at;
    const char *slots;            /* the reply to CLUSTER SLOTS; "%u" three times at most: ports */
    unsigned slots_ports[3];
    const char *sentinel;         /* the reply to SENTINEL …; "%u": the next of sentinel_ports, the last again */
    unsigned sentinel_ports[3];
    const char *roles[8];         /* replies to ROLE, one after the other, the last again; NULL: a primary's */
    const char *tracking;         /* the reply to CLIENT TRACKING; NULL: +OK */
    /* Replies to anything else, one after the other, the last again; NULL there: it hangs up. */
    const char *says[16];
    size_t says_count;

    unsigned port;
    _Atomic unsigned scripts, askings, roles_asked, sentinels_asked;  /* what it was asked */
    _Atomic unsigned asked_with_asking;                               /* scripts right behind an ASKING */
    char last_what[32];                                               /* END's, FILL's second argument */
    pthread_mutex_t mutex;
    int listener, lines[FAKE_LINES_MAX];
    _Atomic size_t lines_count;
    size_t said;
    _Atomic bool is_over;
    pthread_t acceptor, threads[FAKE_LINES_MAX];
};

void fake_redis_start(struct fake_redis *fake);
void fake_redis_stop(struct fake_redis *fake);

#endif
