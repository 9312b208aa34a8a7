/* A server over the double of the engine, and blocking connections to it. Included by tests only: what it finds wrong
 * fails the test at once. */
#ifndef SERVED_H
#define SERVED_H

#include <forebay/forebay.h>

#include "server/server.h"

struct world {
    fb_cache *cache;
    struct fb_server *server;
    fb_err err;
};

/* One loop, any port of 127.0.0.1. */
struct fb_server_options defaults(void);
void start(struct world *w, const struct fb_server_options *options);
void stop(struct world *w);

/* A new connection. Reading from it gives up after READ_TIMEOUT_S. */
enum { READ_TIMEOUT_S = 120 };
int dial(const struct world *w);
/* One that takes as little as the kernel allows. */
int dial_narrow(const struct world *w);
void say_bytes(int fd, const void *data, size_t len);
void say(int fd, const char *text);
/* Exactly these bytes come next. */
void hear_bytes(int fd, const char *expected, size_t len);
void hear(int fd, const char *expected);
void exchange(int fd, const char *request, const char *reply);
/* The rest up to the end of the connection (a reset counts as its end), as far as there is room. */
size_t hear_end(int fd, char *out, size_t room);
/* Nothing more comes but the end; closes our side. */
void assert_ends(int fd);

/* Everything sent before on other connections of the same loop and already received has been carried out: the loop
 * reads them in some order, but the answer proves that it has come round. */
void come_round(const struct world *w);

#endif
