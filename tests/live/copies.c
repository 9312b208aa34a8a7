/* Copies under one lock: they are few. */
#include "copies.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct copies {
    pthread_mutex_t mutex;
    struct fb_place *place;
    struct fb_store_watch *watch;
    char name[32];
    unsigned n;
    struct { bool is_there, is_owed; uint64_t sequence, version; } items[COPIES_MAX];
    struct copies_heard heard;
};

static void drop(struct copies *c, unsigned key) {
    c->items[key].is_there = false;
    c->items[key].sequence++;
}

static void drop_all(struct copies *c) {
    for (unsigned i = 0; i < c->n; i++)
        drop(c, i);
}

static void changed(void *user, fb_bytes key) {
    struct copies *c = user;
    char text[64];
    (void)snprintf(text, sizeof text, "%.*s", (int)key.len, key.data);
    size_t len = strlen(c->name);
    unsigned long number = strncmp(text, c->name, len) == 0 ? strtoul(text + len, NULL, 10) : COPIES_MAX;
    pthread_mutex_lock(&c->mutex);
    c->heard.changed++;
    if (number < c->n)
        drop(c, (unsigned)number);
    pthread_mutex_unlock(&c->mutex);
}

static void all_changed(void *user) {
    struct copies *c = user;
    pthread_mutex_lock(&c->mutex);
    c->heard.all_changed++;
    drop_all(c);
    pthread_mutex_unlock(&c->mutex);
}

static void history(void *user, enum fb_failover what, fb_instant since) {
    struct copies *c = user;
    (void)since;
    pthread_mutex_lock(&c->mutex);
    c->heard.reassert += what == FB_FAILOVER_REASSERT;
    c->heard.distrust += what == FB_FAILOVER_DISTRUST;
    for (unsigned i = 0; i < c->n; i++)
        c->items[i].is_owed = true;
    pthread_mutex_unlock(&c->mutex);
    printf("# the history is judged\n");
}

static void state(void *user, bool is_up, const char *text) {
    (void)user;
    printf("# the watch is %s: %s\n", is_up ? "up" : "down", text);
}

static const struct fb_store_watch_calls calls = {changed, all_changed, history, state};

struct copies *copies_start(struct fb_place *place, const char *name, unsigned n) {
    struct copies *c = calloc(1, sizeof *c);
    fb_err err;
    if (c == NULL || n > COPIES_MAX)
        abort();
    (void)pthread_mutex_init(&c->mutex, NULL);
    c->place = place;
    c->n = n;
    (void)snprintf(c->name, sizeof c->name, "%s:", name);
    fb_bytes prefixes[] = {FB_STR(c->name)};
    struct fb_store_watch_options options = {prefixes, 1, &calls, c};
    if (fb_store_watch_start(place, &options, &c->watch, &err) != FB_OK)
        abort();
    return c;
}

void copies_stop(struct copies *copies) {
    if (copies == NULL)
        return;
    fb_store_watch_stop(copies->watch);
    (void)pthread_mutex_destroy(&copies->mutex);
    free(copies);
}

bool copies_get(struct copies *copies, unsigned key, uint64_t *ret_version) {
    pthread_mutex_lock(&copies->mutex);
    bool is_there = copies->items[key].is_there && fb_proof_holds(fb_place_proof(copies->place), fb_clock_now());
    *ret_version = copies->items[key].version;
    copies->heard.served += is_there;
    copies->heard.refused += copies->items[key].is_there && !is_there;
    pthread_mutex_unlock(&copies->mutex);
    return is_there;
}

uint64_t copies_sequence(struct copies *copies, unsigned key) {
    pthread_mutex_lock(&copies->mutex);
    uint64_t sequence = copies->items[key].sequence;
    pthread_mutex_unlock(&copies->mutex);
    return sequence;
}

void copies_put(struct copies *copies, unsigned key, uint64_t sequence, uint64_t version) {
    pthread_mutex_lock(&copies->mutex);
    bool may = copies->items[key].sequence == sequence &&
               fb_proof_holds(fb_place_proof(copies->place), fb_clock_now());
    copies->items[key].sequence++;
    copies->items[key].is_there = may;
    copies->items[key].version = version;
    pthread_mutex_unlock(&copies->mutex);
}

void copies_drop(struct copies *copies, unsigned key) {
    pthread_mutex_lock(&copies->mutex);
    drop(copies, key);
    pthread_mutex_unlock(&copies->mutex);
}

struct copies_heard copies_heard(struct copies *copies) {
    pthread_mutex_lock(&copies->mutex);
    struct copies_heard heard = copies->heard;
    pthread_mutex_unlock(&copies->mutex);
    return heard;
}

bool copies_owe(struct copies *copies, unsigned *ret_key) {
    bool owes = false;
    pthread_mutex_lock(&copies->mutex);
    for (unsigned i = 0; i < copies->n && !owes; i++)
        if (copies->items[i].is_owed) {
            *ret_key = i;
            owes = true;
        }
    pthread_mutex_unlock(&copies->mutex);
    return owes;
}

void copies_paid(struct copies *copies, unsigned key) {
    pthread_mutex_lock(&copies->mutex);
    copies->items[key].is_owed = false;
    pthread_mutex_unlock(&copies->mutex);
}
