/* Giving up a call on PostgreSQL: libpq's PQcancel, which waits for the server to hang up and knows no timeout, so a server
 * that stands still would keep its caller. It runs on a thread of its own, which is left behind when it takes too long. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "source/pg.h"

enum {
    PATIENCE_MS = 1000,
    LEFT_MAX = 16,      /* threads left behind, of all sources; while there are as many nothing more is cancelled */
};

enum { RUNNING, OVER, LEFT };

struct cancelling {
    PGcancel *canceller;
    int over;           /* an eventfd */
    _Atomic int state;  /* who comes second frees */
    bool has_struck;
};

static _Atomic unsigned left_behind;

static void free_cancelling(struct cancelling *c) {
    PQfreeCancel(c->canceller);
    (void)close(c->over);
    fb_mem_free(c);
}

static void *run(void *arg) {
    struct cancelling *c = arg;
    char text[256]; /* of an error nobody can do anything about: the deadline of the call still holds */
    uint64_t one = 1;
    int over = c->over;
    c->has_struck = PQcancel(c->canceller, text, sizeof text) != 0;
    if (atomic_exchange(&c->state, OVER) == RUNNING) {
        (void)!write(over, &one, sizeof one);
        return NULL;
    }
    free_cancelling(c);
    atomic_fetch_sub(&left_behind, 1);
    return NULL;
}

static bool begin(struct cancelling *c) {
    pthread_t thread;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    bool has_begun = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                     pthread_create(&thread, &attributes, run, c) == 0;
    (void)pthread_attr_destroy(&attributes);
    return has_begun;
}

static bool wait_for(int over, int ms) {
    struct pollfd fd = {.fd = over, .events = POLLIN};
    int n;
    do
        n = poll(&fd, 1, ms);
    while (n < 0); /* a signal */
    return n == 1;
}

enum fb_pg_cancelled fb_pg_strike(PGcancel **canceller) {
    struct cancelling *c = atomic_load(&left_behind) < LEFT_MAX ? fb_mem_calloc(1, sizeof *c) : NULL;
    if (c == NULL)
        return FB_PG_MISSED;
    c->canceller = *canceller;
    c->over = eventfd(0, EFD_CLOEXEC);
    if (c->over < 0 || !begin(c)) {
        c->canceller = NULL;
        free_cancelling(c);
        return FB_PG_MISSED;
    }
    if (!wait_for(c->over, PATIENCE_MS)) {
        *canceller = NULL;
        atomic_fetch_add(&left_behind, 1);
        if (atomic_exchange(&c->state, LEFT) == RUNNING)
            return FB_PG_LEFT;
        atomic_fetch_sub(&left_behind, 1); /* it came to its end just now */
        *canceller = c->canceller;
        (void)wait_for(c->over, -1);       /* and is about to say so */
    }
    enum fb_pg_cancelled result = c->has_struck ? FB_PG_STRUCK : FB_PG_MISSED;
    c->canceller = NULL;
    free_cancelling(c);
    return result;
}
