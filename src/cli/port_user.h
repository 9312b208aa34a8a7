/* Which process listens on a TCP port? From /proc; finds processes of the same user only, unless one is root. */
#ifndef FB_CLI_PORT_USER_H
#define FB_CLI_PORT_USER_H

#include <stdbool.h>
#include <stddef.h>

/* "redis-server (pid 812)"; false when it cannot be found out. */
bool fb_port_user(unsigned port, char *ret_text, size_t size);

#endif
