/* Addresses as people write them: "127.0.0.1:6380", "[::1]:6380", "localhost:6380". */
#ifndef FB_BASE_ADDRESS_H
#define FB_BASE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

enum { FB_HOST_MAX = 256 };

/* The host (brackets taken off) and the port, a number up to 65535; false when the text is not of that form. */
bool fb_address_split(const char *text, char host[FB_HOST_MAX], unsigned *ret_port);
/* Can it be reached from this machine only? */
bool fb_address_is_loopback(const struct sockaddr *address);
/* The port a socket is bound to; 0 for one without. */
unsigned fb_address_port(int fd);

#endif
