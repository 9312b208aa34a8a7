/* Connecting to a server from a tool: HOST:PORT or unix:/PATH, blocking, with patience. */
#include "cli/reach.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"

static bool reach(int fd, const struct sockaddr *address, socklen_t len, int patience_s) {
    struct timeval patience = {.tv_sec = patience_s};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connect(fd, address, len) == 0;
}

static int reach_unix(const char *path, int patience_s) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && reach(fd, (const struct sockaddr *)&address, sizeof address, patience_s))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int reach_tcp(const char *text, int patience_s) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char host[FB_HOST_MAX];
    unsigned port;
    int fd = -1;
    if (!fb_address_split(text, host, &port) || getaddrinfo(host, strrchr(text, ':') + 1, &hints, &list) != 0) {
        errno = EINVAL;
        return -1;
    }
    for (const struct addrinfo *info = list; info != NULL && fd < 0; info = info->ai_next) {
        fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && !reach(fd, info->ai_addr, info->ai_addrlen, patience_s)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

int fb_reach(const char *address, int patience_s) {
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    return is_unix ? reach_unix(address + 5, patience_s) : reach_tcp(address, patience_s);
}
