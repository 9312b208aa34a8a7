/* The load of the demonstration: client threads that read and write a shop, straight from its database or through a
 * server that speaks the Redis protocol. Both ways do the same requests in the same order for the same seed.
 *
 * Straight means as an application would: a connection per client, prepared statements, one query per read. */
#ifndef FB_CLI_DEMO_LOAD_H
#define FB_CLI_DEMO_LOAD_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "base/hist.h"
#include "cli/shop.h"

enum {
    FB_DEMO_CLIENTS = 50,
    FB_DEMO_WRITES_IN = 100,  /* one request in so many is a write */
};
#define FB_DEMO_ZIPF 0.99

struct fb_demo_load {
    const char *database; /* straight, when port is 0 */
    unsigned port;
    fb_span added;        /* slept before each query when straight */
    struct fb_shop_size size;
    uint64_t seed;
    _Atomic bool *stop;   /* set by the caller to end it */
};

struct fb_demo_result {
    uint64_t requests, writes, errors;
    uint64_t queries;     /* straight only */
    struct fb_hist reads_latency, writes_latency;
    char first_error[FB_ERR_TEXT_MAX];
};

struct fb_demo_clients;

/* Start the threads; they run until *stop. FB_NOMEM, FB_SYSTEM. */
fb_status fb_demo_load_begin(const struct fb_demo_load *load, struct fb_demo_clients **ret_clients, fb_err *reterr);
/* *stop must be set. Waits for the threads, adds up, frees. */
void fb_demo_load_end(struct fb_demo_clients *clients, struct fb_demo_result *ret_result);

#endif
