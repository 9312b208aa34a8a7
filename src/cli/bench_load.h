/* A load generator for servers that speak the Redis protocol: one thread, one epoll loop, many connections.
 *
 * Closed loop: each connection sends `pipeline` requests, waits for all their replies, and sends the next. The latency
 * of a request runs from the moment its batch was sent. Every connection draws a key sequence of its own: connections
 * that share one ask for keys that another has just pulled into the processor's cache, and flatter the server. */
#ifndef FB_CLI_BENCH_LOAD_H
#define FB_CLI_BENCH_LOAD_H

#include <stdbool.h>
#include <sys/types.h>

#include <forebay/forebay.h>

#include "base/hist.h"

enum {
    FB_LOAD_CONNECTIONS_MAX = 10000,
    FB_LOAD_PIPELINE_MAX = 10000,
    FB_LOAD_KEY_MAX = 512,
    FB_LOAD_VALUE_MAX = 1 << 20,
};

/* Keys "prefix NUMBER suffix" with the number in first .. last, padded with zeros to `width`. */
struct fb_load_keys {
    char prefix[FB_LOAD_KEY_MAX / 2], suffix[FB_LOAD_KEY_MAX / 4];
    uint64_t first, last;
    unsigned width;
};
/* From text: "user:{1..100000}", "k{000..999}", or a single key without braces. */
fb_status fb_load_keys_parse(const char *text, struct fb_load_keys *ret_keys, fb_err *reterr);
/* Write the key with this number; returns its length, at most FB_LOAD_KEY_MAX − 1. */
size_t fb_load_key_format(const struct fb_load_keys *keys, uint64_t number, char out[FB_LOAD_KEY_MAX]);

enum fb_load_fill { FB_LOAD_FILL_NONE, FB_LOAD_FILL_READ, FB_LOAD_FILL_WRITE };

struct fb_load_options {
    const char *host, *port; /* or: */
    const char *unix_path;
    const char *password;    /* NULL: no AUTH */
    const char *read;        /* the reading command, of one key: "GET" */
    struct fb_load_keys keys;
    fb_bytes value;          /* what SET writes */
    double exponent;         /* of Zipf's law; 0 = uniform */
    unsigned connections, pipeline;
    unsigned writes_percent;
    enum fb_load_fill fill;  /* first ask for (or set) every key once, in order, not measured */
    fb_span warm_up, length; /* length 0: by count */
    uint64_t count;          /* requests to measure; 0 = by length */
    uint64_t seed;
    pid_t server;            /* whose processor time is measured; 0 = nobody's */
};

struct fb_load_result {
    uint64_t requests, writes, errors, nils, fill_errors;
    fb_span length;
    fb_span server_cpu, own_cpu; /* −1 ns when it could not be read */
    struct fb_hist latency;
    char first_error[160];       /* empty when there was none */
};

/* Run it to the end. FB_DOWN (cannot connect, connection lost), FB_NOMEM, FB_SYSTEM, FB_SOURCE (no RESP). */
fb_status fb_load_run(const struct fb_load_options *options, struct fb_load_result *ret_result, fb_err *reterr);

/* Processor time that the threads of a process alive now have used (the scheduler's own count, /proc/PID/task/…/
 * schedstat); −1 ns when it cannot be read. */
fb_span fb_load_cpu_of(pid_t pid);

#endif
