/* Asking Sentinels and Cluster nodes where the primaries are, one after the other until one answers.
 *
 * A Cluster's nodes are asked with CLUSTER SLOTS, those of the old map before those of the URL; Sentinels for the
 * address of the primary. What they say is believed as far as it goes: a connection looks at the server's own role
 * before it is used, and a MOVED corrects the map. */
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/place_parts.h"

enum { SHARE = 3 }; /* one who does not answer may take a third of the time that is left */

static fb_instant patience(const struct fb_place *place, fb_instant deadline) {
    fb_instant now = fb_clock_now();
    fb_span left = fb_since(deadline, now), share = {left.ns / SHARE};
    return fb_after(now, share.ns < place->timeout.ns ? share : place->timeout);
}

void fb_sentinel_ask(const struct fb_place *place, struct fb_connection *c) {
    fb_bytes words[] = {FB_STR("SENTINEL"), FB_STR("GET-MASTER-ADDR-BY-NAME"), FB_STR(place->url.service)};
    fb_resp_write_command(&c->out, words, 3);
}

fb_status fb_sentinel_take(const struct fb_place *place, const struct fb_connection *c, struct fb_store_address *ret,
                           fb_err *reterr) {
    const struct fb_resp_node *items = c->reply.items;
    char text[FB_STORE_TEXT_MAX + 16];
    fb_status status = fb_reply_check(c, "SENTINEL", reterr);
    if (status != FB_OK)
        return status;
    if (items[0].type == FB_RESP_NULL)
        return fb_fail(reterr, FB_DOWN, "the Sentinels know no service '%.100s'", place->url.service);
    if (c->reply.count != 3 || items[0].type != FB_RESP_ARRAY || items[1].type != FB_RESP_BULK ||
        items[2].type != FB_RESP_BULK || items[1].text.len >= FB_STORE_TEXT_MAX || items[2].text.len > 5)
        return fb_fail(reterr, FB_DOWN, "a Sentinel answers no address");
    (void)snprintf(text, sizeof text, "[%.*s]:%.*s", (int)items[1].text.len, items[1].text.data,
                   (int)items[2].text.len, items[2].text.data);
    if (!fb_address_split(text, ret->host, &ret->port) || ret->host[0] == '\0' || ret->port == 0)
        return fb_fail(reterr, FB_DOWN, "a Sentinel answers no address");
    return FB_OK;
}

static fb_status ask_sentinel(const struct fb_place *place, struct fb_connection *c, fb_instant deadline,
                              struct fb_topology *topology, fb_err *reterr) {
    struct fb_store_address primary;
    fb_connection_start(c);
    fb_sentinel_ask(place, c);
    fb_status status = fb_connection_next(c, deadline, reterr);
    if (status == FB_OK)
        status = fb_sentinel_take(place, c, &primary, reterr);
    if (status == FB_OK)
        fb_topology_only(topology, primary.host, primary.port);
    return status;
}

static fb_status ask_node(struct fb_connection *c, const char *host, fb_instant deadline, struct fb_topology *topology,
                          fb_err *reterr) {
    fb_connection_start(c);
    fb_resp_write_command(&c->out, (fb_bytes[]){FB_STR("CLUSTER"), FB_STR("SLOTS")}, 2);
    fb_status status = fb_connection_next(c, deadline, reterr);
    if (status == FB_OK)
        status = fb_reply_check(c, "CLUSTER SLOTS", reterr);
    return status == FB_OK ? fb_topology_read(&c->reply, host, topology, reterr) : status;
}

static fb_status ask(const struct fb_place *place, const struct fb_store_address *address, fb_instant deadline,
                     struct fb_topology *topology, fb_err *reterr) {
    bool is_sentinel = place->url.kind == FB_STORE_SENTINEL;
    struct fb_endpoint to = {.host = address->host, .port = address->port, .tls = place->tls};
    struct fb_connection c;
    struct fb_greeted greeted = {0};
    fb_connection_init(&c, 0);
    fb_status status = fb_connection_open(&c, &to, deadline, reterr);
    if (status == FB_OK)
        status = fb_greet(&c, is_sentinel ? &place->sentinel_login : &place->login, deadline, &greeted, reterr);
    if (status == FB_OK && is_sentinel != greeted.is_sentinel)
        status = fb_fail(reterr, FB_CONFIG, is_sentinel ? "it is no Sentinel" : "it is a Sentinel, not a Cluster's node");
    if (status == FB_OK)
        status = is_sentinel ? ask_sentinel(place, &c, deadline, topology, reterr)
                             : ask_node(&c, address->host, deadline, topology, reterr);
    fb_connection_finish(&c);
    if (status != FB_OK)
        (void)fb_err_prefix(reterr, "%.60s:%u: ", address->host, address->port);
    return status;
}

fb_status fb_discover(struct fb_place *place, const struct fb_topology *old, unsigned first, fb_instant deadline,
                      struct fb_topology *ret_topology, fb_err *reterr) {
    bool has_old = place->url.kind == FB_STORE_CLUSTER;
    unsigned known = has_old ? old->count : 0, all = known + place->url.seeds_count;
    fb_status status = FB_DOWN;
    for (unsigned i = 0; i < all && status != FB_OK && fb_before(fb_clock_now(), deadline); i++) {
        /* Round and round through the old map, then through the URL. */
        const struct fb_store_address *address =
            i < known ? &old->nodes[(first + i) % known]
                      : &place->url.seeds[(first + i - known) % place->url.seeds_count];
        fb_topology_clear(ret_topology);
        status = ask(place, address, patience(place, deadline), ret_topology, reterr);
    }
    return status;
}
