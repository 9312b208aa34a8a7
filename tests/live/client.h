/* One connection of a client to a Redis or a Forebay, one question at a time: for programs that ask a lot. */
#ifndef FB_TESTS_LIVE_CLIENT_H
#define FB_TESTS_LIVE_CLIENT_H

#include "base/time.h"

enum { CLIENT_IN_MAX = 8192, CLIENT_WORDS_MAX = 8 };

enum client_kind { CLIENT_TEXT, CLIENT_NUMBER, CLIENT_NIL, CLIENT_ERROR, CLIENT_LOST };

struct client {
    int fd; /* −1: none */
    char in[CLIENT_IN_MAX];
    unsigned len;
    /* The last answer. */
    enum client_kind kind;
    const char *text; /* ends with a NUL; of an error its line */
    long long number; /* of a text too, where it is one */
};

bool client_open(struct client *c, unsigned port);
void client_close(struct client *c);
/* Words end with NULL. False: the connection is of no use any more. */
bool client_send(struct client *c, const char *const *words);
/* LOST: it was closed, or did not answer in time, and is closed now. */
enum client_kind client_read(struct client *c, fb_instant deadline);
enum client_kind client_ask(struct client *c, fb_instant deadline, const char *word, ...) __attribute__((sentinel));
/* What has come so far: false when that is no whole answer yet. Takes it out. */
bool client_take(struct client *c);

#endif
