/* The first words on every connection: HELLO 3 with the login, the database, and who answers. */
#ifndef FB_STORE_GREETING_H
#define FB_STORE_GREETING_H

#include "store/connection.h"

struct fb_login {
    const char *user, *password; /* NULL: none; a password without a user is the default user's */
    unsigned db;
};

/* What a server says of itself. */
struct fb_greeted {
    uint64_t server;             /* of its run id, which changes with every start; 0: a Sentinel may not say */
    unsigned major;
    bool is_primary, is_cluster, is_sentinel;
};

/* Append the greeting to c->out; it has so many replies. */
unsigned fb_greeting_write(struct fb_connection *c, const struct fb_login *login);
/* Judge reply number `part` (0 …), which is in c->reply. FB_DOWN: what it refused; FB_CONFIG: it is too old. */
fb_status fb_greeting_take(const struct fb_connection *c, const struct fb_login *login, unsigned part,
                           struct fb_greeted *greeted, fb_err *reterr);
/* Both, waiting. */
fb_status fb_greet(struct fb_connection *c, const struct fb_login *login, fb_instant deadline,
                   struct fb_greeted *ret_greeted, fb_err *reterr);
/* It serves as a primary of Redis 6 or later, or FB_DOWN, FB_CONFIG and why not. */
fb_status fb_greeted_is_primary(const struct fb_greeted *greeted, fb_err *reterr);

/* The reply's error, prefixed with `what`; FB_OK when it is none. */
fb_status fb_reply_check(const struct fb_connection *c, const char *what, fb_err *reterr);
bool fb_text_is(fb_bytes text, const char *word);
bool fb_text_begins(fb_bytes text, const char *word);

#endif
