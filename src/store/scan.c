/* SCAN at one primary after the other. */
#include "store/scan.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/line.h"

enum { CURSOR_MAX = 24 };                 /* characters of a cursor */
static const char looked_at[] = "1000";   /* names that the server looks at for one reply, about */

struct scan {
    struct fb_place *place;
    fb_bytes pattern;
    fb_span timeout;
    fb_scan_page *page;
    void *user;
    fb_bytes *names;
    size_t cap;
};

/* A reply is [cursor, [name …]]. False: it is something else, or there is no memory for it. */
static bool take(struct scan *scan, const struct fb_resp_reply *reply, char cursor[CURSOR_MAX], size_t *ret_n) {
    const struct fb_resp_node *nodes = reply->items;
    if (reply->count < 3 || nodes[0].children != 2 || nodes[1].type != FB_RESP_BULK || nodes[1].text.len >= CURSOR_MAX ||
        nodes[2].type != FB_RESP_ARRAY || nodes[2].children != reply->count - 3)
        return false;
    memcpy(cursor, nodes[1].text.data, nodes[1].text.len);
    cursor[nodes[1].text.len] = '\0';
    *ret_n = nodes[2].children;
    if (*ret_n > scan->cap) {
        fb_bytes *more = fb_mem_realloc(scan->names, *ret_n * sizeof *more);
        if (more == NULL)
            return false;
        scan->names = more;
        scan->cap = *ret_n;
    }
    for (size_t i = 0; i < *ret_n; i++)
        scan->names[i] = nodes[3 + i].text;
    return true;
}

static fb_status scan_line(struct scan *scan, struct fb_line *line, struct fb_rng *rng, fb_err *reterr) {
    char cursor[CURSOR_MAX] = "0";
    fb_status status = fb_line_connect(line, scan->place, rng, fb_after(fb_clock_now(), scan->timeout), reterr);
    while (status == FB_OK) {
        fb_bytes words[] = {FB_STR("SCAN"), FB_STR(cursor), FB_STR("MATCH"), scan->pattern, FB_STR("COUNT"),
                            FB_STR(looked_at)};
        size_t n = 0;
        fb_connection_start(&line->connection);
        fb_resp_write_command(&line->connection.out, words, sizeof words / sizeof words[0]);
        status = fb_connection_next(&line->connection, fb_after(fb_clock_now(), scan->timeout), reterr);
        if (status == FB_OK)
            status = fb_reply_check(&line->connection, "SCAN", reterr);
        if (status == FB_OK && !take(scan, &line->connection.reply, cursor, &n))
            status = fb_fail(reterr, FB_DOWN, "SCAN answers what it should not");
        if (status == FB_OK && n > 0 && !scan->page(scan->user, scan->names, n))
            status = FB_CLOSED;
        if (status != FB_OK || strcmp(cursor, "0") == 0)
            break;
    }
    return status;
}

static fb_status scan_all(struct scan *scan, const struct fb_topology *map, struct fb_rng *rng, fb_err *reterr) {
    fb_status status = map->count > 0 ? FB_OK : fb_fail(reterr, FB_DOWN, "no primary is known");
    for (unsigned i = 0; i < map->count && status == FB_OK; i++) {
        struct fb_line *line = fb_line_new(scan->place, &map->nodes[i]);
        status = line != NULL ? scan_line(scan, line, rng, reterr) : FB_NOMEM;
        (void)fb_line_free(line);
    }
    return status == FB_MISS ? FB_DOWN : status;
}

fb_status fb_store_scan(struct fb_place *place, fb_bytes pattern, fb_span timeout, fb_scan_page *page, void *user,
                        fb_err *reterr) {
    struct scan scan = {.place = place, .pattern = pattern, .timeout = timeout, .page = page, .user = user};
    struct fb_rng rng = {(uint64_t)fb_clock_now().ns}; /* of pauses between tries to connect: there is only one try */
    uint64_t seen = 0;
    fb_status status = FB_DOWN;
    for (unsigned tries = 0; tries < FB_SCAN_TRIES_MAX; tries++) {
        struct fb_topology *map = fb_place_topology(place);
        if (map->generation == 0) {
            (void)fb_topology_unref(map);
            status = fb_place_look(place, 0, fb_after(fb_clock_now(), timeout), reterr);
            if (status != FB_OK)
                break;
            map = fb_place_topology(place);
        }
        seen = map->generation;
        status = scan_all(&scan, map, &rng, reterr);
        (void)fb_topology_unref(map);
        map = fb_place_topology(place);
        bool has_changed = map->generation != seen;
        (void)fb_topology_unref(map);
        if (!has_changed || status == FB_CLOSED)
            break;
        status = fb_fail(reterr, FB_DOWN, "the primaries change; say it again when they do not");
    }
    fb_mem_free(scan.names);
    return status;
}
