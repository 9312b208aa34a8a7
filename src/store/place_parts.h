/* What the stores and the watch of a place share with it. */
#ifndef FB_STORE_PLACE_PARTS_H
#define FB_STORE_PLACE_PARTS_H

#include "base/lock.h"
#include "store/greeting.h"
#include "proto/topology.h"
#include "store/place.h"

enum {
    FB_PLACE_TIMEOUT_MS = 1000,      /* to connect and be greeted, where no caller's deadline is nearer */
    FB_PLACE_VALUE_MAX = 64 << 20,
};

struct fb_place {
    struct fb_store_url url;
    char path[FB_STORE_TEXT_MAX];    /* of the unix socket; "": none */
    struct fb_login login, sentinel_login;
    struct fb_tls_context *tls;
    fb_span timeout;
    size_t value_max;
    bool has_quorum_check;
    _Atomic bool is_cut_off;         /* too few Sentinels can be reached: the primary may be the wrong one */
    _Atomic int64_t proof;
    int changed;                     /* an eventfd for the watch: the map is another one */

    struct fb_lock lock;
    struct fb_cond looked;
    /* Under the lock. */
    struct fb_topology *topology;    /* never NULL; generation 0: nobody has been asked yet */
    fb_instant since;
    bool is_looking;
    fb_instant look_not_before;
    unsigned first;                  /* whom to ask first next time */
    char last_error[FB_PLACE_TEXT_MAX];
    fb_instant last_error_at;
};

/* The map as it is now: a reference. */
struct fb_topology *fb_place_topology(struct fb_place *place);
/* The map `seen` does not do. FB_OK: there is another by now. FB_DOWN: none could be had until the deadline, or nobody
 * knows better. Of all threads that want to know one asks. */
fb_status fb_place_look(struct fb_place *place, uint64_t seen, fb_instant deadline, fb_err *reterr);
/* A node says that a slot is another's. */
void fb_place_moved(struct fb_place *place, const struct fb_redirect *redirect);
/* A node says that another, which the map may not know yet, has part of a slot of its. */
void fb_place_asked(struct fb_place *place, const struct fb_store_address *address);
/* A server was found not to be a primary any more: all connections are to be made and greeted anew. */
void fb_place_suspect(struct fb_place *place);
void fb_place_note_error(struct fb_place *place, const char *text);
struct fb_endpoint fb_place_endpoint(const struct fb_place *place, const struct fb_store_address *address);

/* Move the proof, unless the map is no longer of this generation; and take it away. */
void fb_place_prove(struct fb_place *place, uint64_t generation, fb_instant until);
void fb_place_unprove(struct fb_place *place);

/* Ask those who should know (discover.c): fills a new map. */
fb_status fb_discover(struct fb_place *place, const struct fb_topology *old, unsigned first, fb_instant deadline,
                      struct fb_topology *ret_topology, fb_err *reterr);
/* The request to a Sentinel, and the address in its reply. */
void fb_sentinel_ask(const struct fb_place *place, struct fb_connection *c);
fb_status fb_sentinel_take(const struct fb_place *place, const struct fb_connection *c, struct fb_store_address *ret,
                           fb_err *reterr);

#endif
