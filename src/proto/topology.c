/* Reading what Cluster nodes say of each other. */
#include "proto/topology.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static bool is_text(fb_bytes text, const char *word) {
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

struct fb_topology *fb_topology_new(void) {
    struct fb_topology *t = fb_mem_calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    atomic_init(&t->refs, 1);
    memset(t->slots, 0xff, sizeof t->slots);
    return t;
}

struct fb_topology *fb_topology_ref(struct fb_topology *topology) {
    atomic_fetch_add_explicit(&topology->refs, 1, memory_order_relaxed);
    return topology;
}

struct fb_topology *fb_topology_unref(struct fb_topology *topology) {
    if (topology != NULL && atomic_fetch_sub_explicit(&topology->refs, 1, memory_order_acq_rel) == 1)
        fb_mem_free(topology);
    return NULL;
}

unsigned fb_topology_node(struct fb_topology *topology, const char *host, unsigned port) {
    for (unsigned i = 0; i < topology->count; i++)
        if (topology->nodes[i].port == port && strcmp(topology->nodes[i].host, host) == 0)
            return i;
    if (topology->count == FB_TOPOLOGY_NODES_MAX)
        return FB_NODE_NONE;
    struct fb_store_address *node = &topology->nodes[topology->count];
    (void)snprintf(node->host, sizeof node->host, "%s", host);
    node->port = port;
    return topology->count++;
}

void fb_topology_clear(struct fb_topology *topology) {
    topology->count = 0;
    memset(topology->slots, 0xff, sizeof topology->slots);
}

/* Nodes that serve nothing are left out; in the order of their first slots, so that the same map is the same bytes. */
void fb_topology_copy(struct fb_topology *to, const struct fb_topology *from) {
    uint16_t now[FB_TOPOLOGY_NODES_MAX];
    memset(now, 0xff, sizeof now);
    fb_topology_clear(to);
    for (unsigned slot = 0; slot < FB_SLOTS; slot++) {
        unsigned node = from->slots[slot];
        if (node == FB_NODE_NONE)
            continue;
        if (now[node] == FB_NODE_NONE)
            now[node] = (uint16_t)fb_topology_node(to, from->nodes[node].host, from->nodes[node].port);
        to->slots[slot] = now[node];
    }
    to->epoch = from->epoch;
}

bool fb_topology_is_same(const struct fb_topology *a, const struct fb_topology *b) {
    if (a->count != b->count || memcmp(a->slots, b->slots, sizeof a->slots) != 0)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (a->nodes[i].port != b->nodes[i].port || strcmp(a->nodes[i].host, b->nodes[i].host) != 0)
            return false;
    return true;
}

void fb_topology_only(struct fb_topology *topology, const char *host, unsigned port) {
    topology->count = 0;
    (void)fb_topology_node(topology, host, port);
    memset(topology->slots, 0, sizeof topology->slots);
}

/* ---- CLUSTER SLOTS ----------------------------------------------------------------------------------------------
 * */

/* The index behind a value and all that is in it. */
static size_t behind(const struct fb_resp_reply *reply, size_t at) {
    for (size_t open = 1; open > 0 && at < reply->count; at++)
        open += reply->items[at].children - 1;
    return at;
}

static bool is_number(const struct fb_resp_node *node, int64_t most) {
    return node->type == FB_RESP_INTEGER && node->number >= 0 && node->number <= most;
}

/* [host, port, id, …] */
static bool read_node(const struct fb_resp_reply *reply, size_t at, const char *asked, struct fb_store_address *ret) {
    const struct fb_resp_node *items = reply->items + at;
    if (at + 2 >= reply->count || items[0].type != FB_RESP_ARRAY || items[0].children < 2 || items[1].children != 0 ||
        !is_number(&items[2], 65535) || items[2].number == 0 || items[1].text.len >= sizeof ret->host)
        return false;
    bool is_known = items[1].type == FB_RESP_BULK && items[1].text.len > 0 && !is_text(items[1].text, "?");
    ret->port = (unsigned)items[2].number;
    if (is_known)
        (void)snprintf(ret->host, sizeof ret->host, "%.*s", (int)items[1].text.len, items[1].text.data);
    else
        (void)snprintf(ret->host, sizeof ret->host, "%s", asked);
    return true;
}

/* [first, last, primary, replica …] */
static bool read_range(const struct fb_resp_reply *reply, size_t at, const char *asked, struct fb_topology *topology) {
    const struct fb_resp_node *items = reply->items + at;
    struct fb_store_address address;
    if (at + 2 >= reply->count || items[0].type != FB_RESP_ARRAY || items[0].children < 3 ||
        !is_number(&items[1], FB_SLOTS - 1) || !is_number(&items[2], FB_SLOTS - 1) ||
        items[1].number > items[2].number || !read_node(reply, at + 3, asked, &address))
        return false;
    unsigned node = fb_topology_node(topology, address.host, address.port);
    for (int64_t slot = items[1].number; slot <= items[2].number; slot++)
        topology->slots[slot] = (uint16_t)node;
    return node != FB_NODE_NONE;
}

fb_status fb_topology_read(const struct fb_resp_reply *reply, const char *asked, struct fb_topology *topology,
                           fb_err *reterr) {
    const struct fb_resp_node *first = reply->items;
    if (first->type != FB_RESP_ARRAY)
        return fb_fail(reterr, FB_DOWN, "CLUSTER SLOTS answers no list");
    size_t at = 1;
    for (size_t i = 0; i < first->children; i++, at = behind(reply, at))
        if (!read_range(reply, at, asked, topology))
            return fb_fail(reterr, FB_DOWN, topology->count == FB_TOPOLOGY_NODES_MAX
                ? "the Cluster has more than %d primaries" : "CLUSTER SLOTS answers what cannot be a list of %d slots",
                topology->count == FB_TOPOLOGY_NODES_MAX ? (int)FB_TOPOLOGY_NODES_MAX : (int)FB_SLOTS);
    if (topology->count == 0)
        return fb_fail(reterr, FB_DOWN, "no node of the Cluster serves any slot");
    return FB_OK;
}

/* ---- redirections -----------------------------------------------------------------------------------------------
 * */

static bool take_number(const char **at, const char *end, unsigned most, unsigned *ret) {
    unsigned n = 0;
    const char *start = *at;
    for (; *at < end && **at >= '0' && **at <= '9' && n <= most; ++*at)
        n = n * 10 + (unsigned)(**at - '0');
    *ret = n;
    return *at > start && n <= most;
}

/* The port stands behind the last colon; an IPv6 address has no brackets here. */
bool fb_redirect_read(fb_bytes error, const char *asked, struct fb_redirect *ret_redirect) {
    const char *at = memchr(error.data, ' ', error.len), *end = error.data + error.len;
    if (at == NULL || !take_number((at++, &at), end, FB_SLOTS - 1, &ret_redirect->slot) || at == end || *at != ' ')
        return false;
    const char *host = at + 1, *colon = memrchr(host, ':', (size_t)(end - host));
    if (colon == NULL || (size_t)(colon - host) >= sizeof ret_redirect->to.host)
        return false;
    at = colon + 1;
    if (!take_number(&at, end, 65535, &ret_redirect->to.port) || at != end || ret_redirect->to.port == 0)
        return false;
    bool is_known = colon > host && !(colon == host + 1 && *host == '?');
    (void)snprintf(ret_redirect->to.host, sizeof ret_redirect->to.host, "%.*s",
                   is_known ? (int)(colon - host) : (int)strlen(asked), is_known ? host : asked);
    return true;
}
