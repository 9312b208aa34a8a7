/* The admin listener: health and metrics over HTTP, on threads of its own, so that they are answered whatever the event
 * loops do. Read only: it knows GET and HEAD, and nothing that changes anything. */
#ifndef FB_ADMIN_ADMIN_H
#define FB_ADMIN_ADMIN_H

#include <stdbool.h>

#include "server/server.h"

enum {
    FB_ADMIN_CONNECTIONS_MAX = 16,        /* at a time, a thread each; one more is closed at once */
    FB_ADMIN_REQUEST_MAX = 16 * 1024,     /* bytes of a request with its headers, and for the answer's headers */
    FB_ADMIN_IDLE_S = 10,                 /* for a request to come, and for its answer to be read */
};

struct fb_admin_options {
    const char *address; /* "127.0.0.1:9380", "[::1]:9380"; port 0: any free one */
    bool is_protected;   /* refuse an address that is not of this machine's loopback */
};

struct fb_admin;

/* Listen and answer. FB_SYSTEM (address in use, …), FB_INVALID, FB_CONFIG (not loopback). */
fb_status fb_admin_start(struct fb_server *server, const struct fb_admin_options *options, struct fb_admin **ret_admin,
                         fb_err *reterr);
unsigned fb_admin_port(const struct fb_admin *admin);
/* Before the server is stopped. NULL accepted. */
void fb_admin_stop(struct fb_admin *admin);

#endif
