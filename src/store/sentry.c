/* Connections to Sentinels that never wait. */
#include "store/sentry.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"

void fb_sentries_init(struct fb_sentries *sentries, const struct fb_place *place, fb_instant now) {
    memset(sentries, 0, sizeof *sentries);
    sentries->start = now;
    sentries->count = place->url.kind == FB_STORE_SENTINEL ? place->url.seeds_count : 0;
    for (unsigned i = 0; i < sentries->count; i++) {
        fb_connection_init(&sentries->items[i].connection, 0);
        sentries->items[i].due = now;
        sentries->items[i].said = (fb_instant){INT64_MIN};
    }
}

void fb_sentries_finish(struct fb_sentries *sentries) {
    for (unsigned i = 0; i < sentries->count; i++)
        fb_connection_finish(&sentries->items[i].connection);
}

static void leave(struct fb_sentry *s, fb_instant now) {
    fb_connection_close(&s->connection);
    s->due = fb_after(now, fb_ms(FB_SENTRY_EVERY_MS));
}

static void begin(struct fb_sentry *s, const struct fb_place *place, const struct fb_store_address *seed,
                  fb_instant now) {
    struct fb_endpoint to = {.host = seed->host, .port = seed->port, .tls = place->tls};
    s->is_greeted = s->is_asked = false;
    s->part = 0;
    s->since = now;
    if (fb_connection_begin(&s->connection, &to, s->attempts++, NULL) != FB_OK) {
        leave(s, now);
        return;
    }
    s->parts = fb_greeting_write(&s->connection, &place->sentinel_login);
}

static void ask(struct fb_sentry *s, const struct fb_place *place, fb_instant now) {
    fb_connection_start(&s->connection);
    fb_sentinel_ask(place, &s->connection);
    s->is_asked = true;
    s->since = now;
    s->due = fb_after(now, fb_ms(FB_SENTRY_EVERY_MS));
}

/* False: the connection is of no use. */
static bool take(struct fb_sentry *s, const struct fb_place *place, fb_instant now) {
    if (!s->is_greeted) {
        if (fb_greeting_take(&s->connection, &place->sentinel_login, s->part++, &s->greeted, NULL) != FB_OK)
            return false;
        s->is_greeted = s->part == s->parts;
        return !s->is_greeted || s->greeted.is_sentinel;
    }
    if (!s->is_asked || fb_sentinel_take(place, &s->connection, &s->says, NULL) != FB_OK)
        return false;
    s->is_asked = false;
    s->said = now;
    return true;
}

static fb_instant tick(struct fb_sentry *s, const struct fb_place *place, const struct fb_store_address *seed,
                       fb_instant now) {
    if (!fb_connection_is_open(&s->connection) && fb_reached(now, s->due))
        begin(s, place, seed, now);
    while (fb_connection_is_open(&s->connection)) {
        fb_status status = fb_connection_step(&s->connection, NULL);
        if (status == FB_MISS)
            break;
        if (status != FB_OK || !take(s, place, now))
            leave(s, now);
    }
    bool is_waiting = fb_connection_is_open(&s->connection) && (!s->is_greeted || s->is_asked);
    if (is_waiting && fb_reached(now, fb_after(s->since, place->timeout))) {
        leave(s, now);
        return s->due;
    }
    if (fb_connection_is_open(&s->connection) && !is_waiting && fb_reached(now, s->due)) {
        ask(s, place, now);
        (void)fb_connection_step(&s->connection, NULL); /* sends; what it finds wrong is found again */
        is_waiting = true;
    }
    return is_waiting ? fb_after(s->since, place->timeout) : s->due;
}

fb_instant fb_sentries_tick(struct fb_sentries *sentries, const struct fb_place *place, fb_instant now) {
    fb_instant next = FB_NEVER;
    for (unsigned i = 0; i < sentries->count; i++) {
        fb_instant due = tick(&sentries->items[i], place, &place->url.seeds[i], now);
        next = fb_before(due, next) ? due : next;
    }
    return next;
}

nfds_t fb_sentries_poll(const struct fb_sentries *sentries, struct pollfd *fds) {
    nfds_t n = 0;
    for (unsigned i = 0; i < sentries->count; i++) {
        const struct fb_connection *c = &sentries->items[i].connection;
        if (fb_connection_is_open(c))
            fds[n++] = (struct pollfd){.fd = c->io.fd, .events = fb_connection_events(c)};
    }
    return n;
}

static bool is_fresh(const struct fb_sentry *s, fb_instant now) {
    return s->said.ns != INT64_MIN && fb_before(now, fb_after(s->said, fb_ms(FB_SENTRY_FRESH_MS)));
}

static bool is_same(const struct fb_store_address *a, const struct fb_store_address *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool fb_sentries_object(const struct fb_sentries *sentries, const struct fb_store_address *primary, fb_instant now) {
    for (unsigned i = 0; i < sentries->count; i++) {
        unsigned votes = 0;
        for (unsigned j = 0; j < sentries->count; j++)
            votes += is_fresh(&sentries->items[j], now) && is_same(&sentries->items[i].says, &sentries->items[j].says);
        if (2 * votes > sentries->count)
            return !is_same(&sentries->items[i].says, primary);
    }
    return false;
}

bool fb_sentries_are_most(const struct fb_sentries *sentries, fb_instant now) {
    unsigned fresh = 0;
    for (unsigned i = 0; i < sentries->count; i++)
        fresh += is_fresh(&sentries->items[i], now);
    return sentries->count == 0 || 2 * fresh > sentries->count ||
           fb_before(now, fb_after(sentries->start, fb_ms(FB_SENTRY_FRESH_MS)));
}
