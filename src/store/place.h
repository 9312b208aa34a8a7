/* Where the store is and what is known of it: one place for all threads of a process.
 *
 *     struct fb_place_options options = {.url = "sentinel://10.0.0.1,10.0.0.2,10.0.0.3/shop", .tls_ca = NULL};
 *     fb_place_open(&options, &place, &err);
 *     fb_store_open(place, &store, &err);            each worker its own: one thread at a time, connects when asked
 *     fb_store_run(store, calls, n, deadline);
 *     fb_store_close(store);                         all stores and the watch (watch.h) end before the place
 *     fb_place_close(place);
 *
 * A place is a single server, the primary that Sentinels name, or the primaries of a Cluster. Whoever finds out that a
 * primary is no longer where it was (MOVED, a replica, a lost connection) has the place look again; one thread asks
 * while the others wait within their deadlines. Each such change begins a new *generation*, and with it the proof that
 * the first level needs (fb_place_proof) is gone until the watch has sessions with all primaries of that generation.
 *
 * Opening asks nobody and cannot fail for want of a server. Thread-safe but for open and close. */
#ifndef FB_STORE_PLACE_H
#define FB_STORE_PLACE_H

#include "base/store_url.h"
#include "proto/topology.h"
#include "store/store.h"

enum {
    FB_PLACE_PRIMARIES_MAX = FB_TOPOLOGY_NODES_MAX,
    FB_PLACE_TEXT_MAX = 160,
};

struct fb_place_options {
    const char *url;               /* base/store_url.h */
    const char *user, *password;   /* instead of the URL's; NULL: the URL's */
    const char *sentinel_password; /* the same */
    const char *tls_ca;            /* for rediss, sentinels, clusters: who signs; NULL: whom the system trusts */
    fb_span connect_timeout;       /* of connections that no caller's deadline bounds (the watch, Sentinels); 0: 1 s */
    size_t value_max;              /* bytes of one string in a reply; 0: 64 MiB */
    bool sentinel_quorum_check;    /* while less than half of the Sentinels can be reached for 3 s, it is down */
};

struct fb_place;

/* The texts are copied. FB_INVALID, FB_CONFIG (the URL, the authority's file), FB_NOMEM. */
fb_status fb_place_open(const struct fb_place_options *options, struct fb_place **ret_place, fb_err *reterr);
void fb_place_close(struct fb_place *place);

/* One worker's store. Calls to several primaries go out together and are waited for together. Of one batch, calls to
 * the same key are carried out in their order unless one was redirected. What certainly was not carried out (MOVED,
 * ASK, TRYAGAIN, CLUSTERDOWN, LOADING, READONLY, NOSCRIPT, a refused connection) is sent again within the deadline where
 * there is somewhere else to send it; the last refusal is the outcome when time is up. */
fb_status fb_store_open(struct fb_place *place, struct fb_store **ret_store, fb_err *reterr);

/* Until when what pushes said is complete, as fb_clock_now().ns: a copy in the first level may be served before this
 * moment, and not after. INT64_MIN: there is no proof. The watch moves it, a new generation takes it away. */
static inline bool fb_proof_holds(const _Atomic int64_t *proof, fb_instant now) {
    return now.ns < atomic_load_explicit(proof, memory_order_acquire);
}
const _Atomic int64_t *fb_place_proof(const struct fb_place *place);

/* For people: INFO, logs. */
struct fb_place_facts {
    enum fb_store_kind kind;
    unsigned primaries;                  /* known now; 0: none yet */
    uint64_t generation;                 /* how often they changed */
    fb_instant since;                    /* of that generation */
    bool is_proved;
    char primary[FB_PLACE_TEXT_MAX];     /* the first one's address */
    char last_error[FB_PLACE_TEXT_MAX];  /* "": none so far */
    fb_instant last_error_at;
};
void fb_place_facts(struct fb_place *place, struct fb_place_facts *ret_facts);

#endif
