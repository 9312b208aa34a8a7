/* Taking addresses apart. */
#include "base/address.h"

#include <netinet/in.h>
#include <string.h>

enum { PORT_MAX = 65535 };

bool fb_address_split(const char *text, char host[FB_HOST_MAX], unsigned *ret_port) {
    const char *colon = strrchr(text, ':');
    unsigned port = 0;
    if (colon == NULL || colon[1] == '\0')
        return false;
    for (const char *p = colon + 1; *p != '\0'; p++)
        if (*p < '0' || *p > '9' || (port = port * 10 + (unsigned)(*p - '0')) > PORT_MAX)
            return false;
    size_t len = (size_t)(colon - text);
    if (text[0] == '[' && len >= 2 && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        return false; /* IPv6 without brackets: which colon would be the last? */
    }
    if (len == 0 || len >= FB_HOST_MAX)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    *ret_port = port;
    return true;
}

bool fb_address_is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

unsigned fb_address_port(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    if (address.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
    return address.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port) : 0;
}
