/* The map that all threads share, and who may change it. */
#include "store/place.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/place_parts.h"

enum { LOOK_EVERY_MS = 50 }; /* asking more often than that would only add to what is wrong */

/* ---- opening and closing ----------------------------------------------------------------------------------------
 * */

static fb_status take_url(struct fb_place *p, const struct fb_place_options *o, fb_err *reterr) {
    if (o->url == NULL)
        return fb_fail(reterr, FB_INVALID, "a store needs a URL");
    fb_status status = fb_store_url_parse(o->url, &p->url, reterr);
    if (status != FB_OK)
        return status;
    if (o->user != NULL)
        (void)snprintf(p->url.user, sizeof p->url.user, "%s", o->user);
    if (o->password != NULL)
        (void)snprintf(p->url.password, sizeof p->url.password, "%s", o->password);
    if (o->sentinel_password != NULL)
        (void)snprintf(p->url.sentinel_password, sizeof p->url.sentinel_password, "%s", o->sentinel_password);
    if (p->url.is_unix)
        memcpy(p->path, p->url.host, sizeof p->path);
    p->login = (struct fb_login){p->url.user, p->url.password, p->url.db};
    p->sentinel_login = (struct fb_login){p->url.sentinel_user, p->url.sentinel_password, 0};
    return p->url.is_tls ? fb_tls_context_client(o->tls_ca, &p->tls, reterr) : FB_OK;
}

fb_status fb_place_open(const struct fb_place_options *options, struct fb_place **ret_place, fb_err *reterr) {
    struct fb_place *p = fb_mem_calloc(1, sizeof *p);
    if (p == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for the store");
    p->changed = -1;
    fb_lock_init(&p->lock, FB_LOCK_STORE);
    fb_cond_init(&p->looked);
    p->timeout = options->connect_timeout.ns > 0 ? options->connect_timeout : fb_ms(FB_PLACE_TIMEOUT_MS);
    p->value_max = options->value_max > 0 ? options->value_max : FB_PLACE_VALUE_MAX;
    p->has_quorum_check = options->sentinel_quorum_check;
    p->look_not_before = (fb_instant){INT64_MIN};
    atomic_init(&p->proof, INT64_MIN);
    fb_status status = take_url(p, options, reterr);
    if (status == FB_OK && (p->topology = fb_topology_new()) == NULL)
        status = fb_fail(reterr, FB_NOMEM, "no memory for the store");
    if (status == FB_OK && (p->changed = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
        status = fb_fail(reterr, FB_SYSTEM, "eventfd failed");
    if (status != FB_OK) {
        fb_place_close(p);
        return status;
    }
    if (p->url.kind == FB_STORE_SINGLE) {
        fb_topology_only(p->topology, p->url.host, p->url.port);
        p->topology->generation = 1;
    }
    p->since = fb_clock_now();
    *ret_place = p;
    return FB_OK;
}

void fb_place_close(struct fb_place *place) {
    if (place == NULL)
        return;
    (void)fb_topology_unref(place->topology);
    fb_tls_context_unref(place->tls);
    if (place->changed >= 0)
        (void)close(place->changed);
    fb_cond_finish(&place->looked);
    fb_lock_finish(&place->lock);
    explicit_bzero(&place->url, sizeof place->url);
    fb_mem_free(place);
}

struct fb_endpoint fb_place_endpoint(const struct fb_place *place, const struct fb_store_address *address) {
    if (place->path[0] != '\0')
        return (struct fb_endpoint){.path = place->path};
    return (struct fb_endpoint){.host = address->host, .port = address->port, .tls = place->tls};
}

/* ---- the map ----------------------------------------------------------------------------------------------------
 * */

struct fb_topology *fb_place_topology(struct fb_place *place) {
    fb_lock_acquire(&place->lock);
    struct fb_topology *topology = fb_topology_ref(place->topology);
    fb_lock_release(&place->lock);
    return topology;
}

/* Under the lock; takes over the reference. What was proved was proved of the old map. */
static void install(struct fb_place *p, struct fb_topology *topology) {
    topology->generation = p->topology->generation + 1;
    (void)fb_topology_unref(p->topology);
    p->topology = topology;
    p->since = fb_clock_now();
    atomic_store_explicit(&p->proof, INT64_MIN, memory_order_release);
    uint64_t one = 1;
    (void)!write(p->changed, &one, sizeof one);
}

static struct fb_topology *copy_of(const struct fb_topology *topology) {
    struct fb_topology *copy = fb_topology_new();
    if (copy != NULL)
        fb_topology_copy(copy, topology);
    return copy;
}

static bool is_there(const struct fb_topology *t, const struct fb_redirect *redirect) {
    unsigned node = t->slots[redirect->slot];
    return node != FB_NODE_NONE && t->nodes[node].port == redirect->to.port &&
           strcmp(t->nodes[node].host, redirect->to.host) == 0;
}

void fb_place_moved(struct fb_place *place, const struct fb_redirect *redirect) {
    fb_lock_acquire(&place->lock);
    struct fb_topology *next = is_there(place->topology, redirect) ? NULL : copy_of(place->topology);
    unsigned node = next != NULL ? fb_topology_node(next, redirect->to.host, redirect->to.port) : FB_NODE_NONE;
    if (node != FB_NODE_NONE) {
        next->slots[redirect->slot] = (uint16_t)node;
        struct fb_topology *copy = copy_of(next);
        if (copy != NULL)
            install(place, copy);
    }
    (void)fb_topology_unref(next);
    fb_lock_release(&place->lock);
}

/* It is named without a slot, so that the watch hears it; the next look forgets it if it still serves none. */
void fb_place_asked(struct fb_place *place, const struct fb_store_address *address) {
    fb_lock_acquire(&place->lock);
    const struct fb_topology *now = place->topology;
    bool is_known = false;
    for (unsigned i = 0; i < now->count && !is_known; i++)
        is_known = now->nodes[i].port == address->port && strcmp(now->nodes[i].host, address->host) == 0;
    struct fb_topology *copy = is_known ? NULL : copy_of(now);
    if (copy != NULL) {
        (void)fb_topology_node(copy, address->host, address->port);
        install(place, copy);
    }
    fb_lock_release(&place->lock);
}

void fb_place_suspect(struct fb_place *place) {
    fb_lock_acquire(&place->lock);
    struct fb_topology *copy = copy_of(place->topology);
    if (copy != NULL) {
        copy->epoch++;
        install(place, copy);
    }
    fb_lock_release(&place->lock);
}

/* ---- looking anew -----------------------------------------------------------------------------------------------
 * */

/* Under the lock: wait while another thread asks. */
static bool is_another_by_now(struct fb_place *p, uint64_t seen, fb_instant deadline) {
    while (p->is_looking && p->topology->generation == seen && fb_before(fb_clock_now(), deadline))
        fb_cond_wait_until(&p->looked, &p->lock, deadline);
    return p->topology->generation != seen;
}

static void note_error(struct fb_place *p, const char *text) {
    (void)snprintf(p->last_error, sizeof p->last_error, "%.*s", (int)sizeof p->last_error - 1, text);
    p->last_error_at = fb_clock_now();
}

void fb_place_note_error(struct fb_place *place, const char *text) {
    fb_lock_acquire(&place->lock);
    note_error(place, text);
    fb_lock_release(&place->lock);
}

/* Whoever found out what did not help is not asked first again. */
static fb_status conclude(struct fb_place *p, struct fb_topology *found, fb_status status, fb_err *reterr) {
    p->is_looking = false;
    p->look_not_before = fb_after(fb_clock_now(), fb_ms(LOOK_EVERY_MS));
    found->epoch = p->topology->epoch;
    struct fb_topology *next = status == FB_OK ? copy_of(found) : NULL;
    if (next != NULL && !fb_topology_is_same(next, p->topology)) {
        install(p, next);
    } else {
        (void)fb_topology_unref(next);
        p->first++;
        if (status == FB_OK)
            status = fb_fail(reterr, FB_DOWN, "the store is where it was");
        else
            note_error(p, reterr->text);
    }
    fb_cond_broadcast(&p->looked);
    return status;
}

fb_status fb_place_look(struct fb_place *place, uint64_t seen, fb_instant deadline, fb_err *reterr) {
    if (place->url.kind == FB_STORE_SINGLE)
        return fb_fail(reterr, FB_DOWN, "there is one server alone");
    struct fb_topology *found = fb_topology_new();
    if (found == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for a map of the store");
    fb_err err = {.status = FB_OK};
    fb_status status = FB_OK;
    fb_lock_acquire(&place->lock);
    if (is_another_by_now(place, seen, deadline))
        goto out;
    if (place->is_looking || !fb_reached(fb_clock_now(), place->look_not_before)) {
        status = fb_fail(&err, FB_DOWN, "the store is being looked for%s%s", place->last_error[0] != '\0' ? "; " : "",
                         place->last_error);
        goto out;
    }
    place->is_looking = true;
    unsigned first = place->first;
    struct fb_topology *old = fb_topology_ref(place->topology);
    fb_lock_release(&place->lock);
    status = fb_discover(place, old, first, deadline, found, &err);
    (void)fb_topology_unref(old);
    fb_lock_acquire(&place->lock);
    status = conclude(place, found, status, &err);
out:
    fb_lock_release(&place->lock);
    (void)fb_topology_unref(found);
    if (status != FB_OK && reterr != NULL)
        *reterr = err;
    return status;
}

/* ---- the proof --------------------------------------------------------------------------------------------------
 * */

const _Atomic int64_t *fb_place_proof(const struct fb_place *place) { return &place->proof; }

void fb_place_prove(struct fb_place *place, uint64_t generation, fb_instant until) {
    fb_lock_acquire(&place->lock);
    if (place->topology->generation == generation)
        atomic_store_explicit(&place->proof, until.ns, memory_order_release);
    fb_lock_release(&place->lock);
}

void fb_place_unprove(struct fb_place *place) {
    atomic_store_explicit(&place->proof, INT64_MIN, memory_order_release);
}

/* ---- for people -------------------------------------------------------------------------------------------------
 * */

void fb_place_facts(struct fb_place *place, struct fb_place_facts *ret_facts) {
    struct fb_place_facts *f = ret_facts;
    *f = (struct fb_place_facts){.kind = place->url.kind};
    f->is_proved = fb_proof_holds(&place->proof, fb_clock_now());
    fb_lock_acquire(&place->lock);
    const struct fb_topology *t = place->topology;
    f->primaries = t->count;
    f->generation = t->generation;
    f->since = place->since;
    if (place->path[0] != '\0')
        (void)snprintf(f->primary, sizeof f->primary, "%.*s", (int)sizeof f->primary - 1, place->path);
    else if (t->count > 0)
        (void)snprintf(f->primary, sizeof f->primary, strchr(t->nodes[0].host, ':') != NULL ? "[%.140s]:%u" : "%.140s:%u",
                       t->nodes[0].host, t->nodes[0].port);
    (void)snprintf(f->last_error, sizeof f->last_error, "%s", place->last_error);
    f->last_error_at = place->last_error_at;
    fb_lock_release(&place->lock);
}
