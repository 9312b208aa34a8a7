/* Many clients that ask for one key over and over, and how long each of them waited.
 *
 *     herd SECONDS CLIENTS KEY PORT…      prints one line of figures: name=number, times in microseconds
 *
 * The clients spread over the ports and each asks every 50 ms, whether or not others wait. Every tenth asks PING
 * instead, which waits for nobody: how long those took is what this machine was late by at that time, and what a bound
 * on the others has to allow for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "client.h"

enum { CLIENTS_MAX = 1000, PAUSE_MS = 50, PING_EVERY = 10, EVENTS = 64, GRACE_MS = 10000 };

static struct asker {
    struct client client;
    fb_instant next, sent;
    bool is_waiting, pings;
} askers[CLIENTS_MAX];

static struct { uint64_t count, errors, longest_us; } gets, pings;
static uint64_t over[4]; /* answers to GET later than 25, 50, 100, 150 ms */
static const uint64_t over_ms[4] = {25, 50, 100, 150};
static char error[128];

static void answered(struct asker *a, fb_instant now) {
    uint64_t us = (uint64_t)(now.ns - a->sent.ns) / 1000;
    a->is_waiting = false;
    if (a->pings) {
        pings.count++;
        pings.longest_us = us > pings.longest_us ? us : pings.longest_us;
        return;
    }
    gets.count++;
    gets.longest_us = us > gets.longest_us ? us : gets.longest_us;
    for (int i = 0; i < 4; i++)
        over[i] += us > over_ms[i] * 1000;
    if (a->client.kind != CLIENT_TEXT) {
        gets.errors++;
        (void)snprintf(error, sizeof error, "%s", a->client.kind == CLIENT_ERROR ? a->client.text : "nil");
    }
}

static void readable(struct asker *a) {
    ssize_t n = recv(a->client.fd, a->client.in + a->client.len, sizeof a->client.in - a->client.len, MSG_DONTWAIT);
    if (n <= 0) {
        fprintf(stderr, "herd: a connection was lost\n");
        exit(1);
    }
    a->client.len += (unsigned)n;
    if (client_take(&a->client))
        answered(a, fb_clock_now());
}

static void ask(struct asker *a, const char *key, fb_instant now) {
    const char *get[] = {"GET", key, NULL}, *ping[] = {"PING", NULL};
    a->sent = now;
    a->is_waiting = true;
    a->next = fb_after(now, fb_ms(PAUSE_MS));
    if (!client_send(&a->client, a->pings ? ping : get)) {
        fprintf(stderr, "herd: a question cannot be sent\n");
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: herd SECONDS CLIENTS KEY PORT...\n");
        return 2;
    }
    unsigned clients = (unsigned)strtoul(argv[2], NULL, 10), waiting = 1;
    int loop = epoll_create1(0);
    if (clients == 0 || clients > CLIENTS_MAX || loop < 0)
        return 2;
    fb_instant begin = fb_clock_now(), end = fb_after(begin, fb_ms(strtol(argv[1], NULL, 10) * 1000));
    for (unsigned i = 0; i < clients; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        askers[i].pings = i % PING_EVERY == PING_EVERY - 1;
        askers[i].next = fb_after(begin, fb_ms(i * PAUSE_MS / clients));
        if (!client_open(&askers[i].client, (unsigned)strtoul(argv[4 + i % (unsigned)(argc - 4)], NULL, 10)) ||
            epoll_ctl(loop, EPOLL_CTL_ADD, askers[i].client.fd, &event) != 0) {
            fprintf(stderr, "herd: cannot connect\n");
            return 1;
        }
    }
    while (waiting > 0) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(loop, events, EVENTS, 1);
        for (int i = 0; i < n; i++)
            readable(&askers[events[i].data.u32]);
        fb_instant now = fb_clock_now();
        bool is_over = !fb_before(now, end);
        waiting = !is_over;
        for (unsigned i = 0; i < clients; i++) {
            if (!is_over && !askers[i].is_waiting && !fb_before(now, askers[i].next))
                ask(&askers[i], argv[3], now);
            waiting += askers[i].is_waiting;
        }
        if (!fb_before(now, fb_after(end, fb_ms(GRACE_MS)))) {
            fprintf(stderr, "herd: %u were never answered\n", waiting);
            return 1;
        }
    }
    printf("gets=%" PRIu64 " errors=%" PRIu64 " longest=%" PRIu64 " pings=%" PRIu64 " longest_ping=%" PRIu64, gets.count,
           gets.errors, gets.longest_us, pings.count, pings.longest_us);
    for (int i = 0; i < 4; i++)
        printf(" over_%" PRIu64 "ms=%" PRIu64, over_ms[i], over[i]);
    printf(" error=%s\n", error[0] != '\0' ? error : "none");
    return 0;
}
