/* Addresses to listen on: "host:port", "[v6]:port", "unix:/path". */
#include "server/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "server/users.h"

enum { BACKLOG = 511, HOST_MAX = 256, UNIX_MODE = 0700 };

static struct fb_listener *add(struct fb_server *server, int fd) {
    struct fb_listener *listener = &server->listeners[server->nlisteners++];
    *listener = (struct fb_listener){.fd = fd, .server = server};
    return listener;
}

static fb_status fail_listen(fb_err *reterr, const char *address, int number) {
    const char *advice = number == EADDRINUSE ? "; another process listens there: stop it or choose another port"
                         : number == EACCES   ? "; this user may not: ports below 1024 need privileges"
                         : number == EADDRNOTAVAIL ? "; no interface of this machine has that address"
                                                   : "";
    return fb_fail(reterr, FB_SYSTEM, "cannot listen on %s: %s%s", address, strerror(number), advice);
}

/* ---- unix sockets ----------------------------------------------------------------------------------------------- */

/* A socket that nobody answers on is left over from a process that was killed. Any other file is somebody's, however
 * its name came into the configuration: bind says that the address is in use. */
static bool is_stale(const struct sockaddr_un *address) {
    struct stat file;
    if (lstat(address->sun_path, &file) != 0 || !S_ISSOCK(file.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool is = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return is;
}

static fb_status listen_unix(struct fb_server *server, const char *text, fb_err *reterr) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = text + strlen("unix:");
    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path)
        return fb_fail(reterr, FB_INVALID, "'%s' is no usable path for a socket: 1 to %zu bytes", text,
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (is_stale(&address))
        (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), number = errno;
    if (fd < 0)
        return fail_listen(reterr, text, number);
    /* The mask before bind: between bind and chmod anybody could connect. */
    unsigned mode = server->options.unix_mode != 0 ? server->options.unix_mode : UNIX_MODE;
    mode_t mask = umask(0777 & ~mode);
    int rc = bind(fd, (const struct sockaddr *)&address, sizeof address);
    number = errno;
    (void)umask(mask);
    if (rc == 0 && listen(fd, BACKLOG) != 0) {
        rc = -1;
        number = errno;
    }
    if (rc != 0) {
        close(fd);
        return fail_listen(reterr, text, number);
    }
    struct stat file;
    struct fb_listener *listener = add(server, fd);
    if (lstat(path, &file) == 0) {
        memcpy(listener->path, path, strlen(path) + 1);
        listener->inode = file.st_ino;
    }
    return FB_OK;
}

/* ---- TCP -------------------------------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static unsigned port_of(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

/* Would a stranger be let in? TLS alone keeps nobody out; certificates of clients do. */
static bool lets_strangers_in(const struct fb_server *server, const struct sockaddr *address, bool is_tls) {
    const struct fb_server_options *options = &server->options;
    return options->is_protected && !is_loopback(address) && !fb_users_ask(server->users) &&
           !(is_tls && options->tls.clients == FB_TLS_CLIENTS_REQUIRED);
}

static fb_status listen_address(struct fb_server *server, const char *text, const struct addrinfo *info, bool is_tls,
                                fb_err *reterr) {
    if (lets_strangers_in(server, info->ai_addr, is_tls))
        return fb_fail(reterr, FB_CONFIG, "%s can be reached from other machines and no password is set: set "
                       "server.password%s, listen on 127.0.0.1, or switch server.protected off", text,
                       is_tls ? " or 'tls_clients: required'" : "");
    if (server->nlisteners == FB_LISTENERS_MAX)
        return fb_fail(reterr, FB_INVALID, "more than %d addresses to listen on", FB_LISTENERS_MAX);
    int on = 1, number, fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_listen(reterr, text, errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        number = errno;
        close(fd);
        return fail_listen(reterr, text, number);
    }
    struct fb_listener *listener = add(server, fd);
    listener->port = port_of(fd);
    listener->is_tls = is_tls;
    return FB_OK;
}

/* "host:port" with the brackets of IPv6 taken off; false when it is not of that form. */
static bool split(const char *text, char host[HOST_MAX], const char **ret_port) {
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon[1] == '\0')
        return false;
    size_t len = (size_t)(colon - text);
    if (text[0] == '[' && len >= 2 && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        return false; /* IPv6 without brackets: which colon would be the last? */
    }
    if (len == 0 || len >= HOST_MAX)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    *ret_port = colon + 1;
    return true;
}

static fb_status listen_tcp(struct fb_server *server, const char *text, bool is_tls, fb_err *reterr) {
    char host[HOST_MAX];
    const char *port;
    unsigned number = 0;
    if (!split(text, host, &port))
        return fb_fail(reterr, FB_INVALID, "'%s' is no address: write 127.0.0.1:6380, [::1]:6380 or unix:/path", text);
    for (const char *p = port; *p != '\0'; p++)
        if (*p < '0' || *p > '9' || (number = number * 10 + (unsigned)(*p - '0')) > 65535)
            return fb_fail(reterr, FB_INVALID, "'%s': the port is a number up to 65535", text);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return fb_fail(reterr, FB_INVALID, "'%s': %s", text, gai_strerror(rc));
    /* A name may stand for several addresses (localhost: 127.0.0.1 and ::1). With port 0 they would get different
     * ports, so then the first is enough. */
    fb_status status = FB_OK;
    for (const struct addrinfo *info = list; info != NULL && status == FB_OK; info = info->ai_next) {
        status = listen_address(server, text, info, is_tls, reterr);
        if (number == 0)
            break;
    }
    freeaddrinfo(list);
    return status;
}

static fb_status open_all(struct fb_server *server, const char *const *list, bool is_tls, fb_err *reterr) {
    fb_status status = FB_OK;
    for (size_t i = 0; status == FB_OK && list != NULL && list[i] != NULL; i++) {
        bool is_unix = strncmp(list[i], "unix:", 5) == 0;
        if (server->nlisteners == FB_LISTENERS_MAX)
            status = fb_fail(reterr, FB_INVALID, "more than %d addresses to listen on", FB_LISTENERS_MAX);
        else if (is_unix && is_tls)
            status = fb_fail(reterr, FB_INVALID, "'%s': TLS is for addresses, not for unix sockets", list[i]);
        else
            status = is_unix ? listen_unix(server, list[i], reterr) : listen_tcp(server, list[i], is_tls, reterr);
    }
    return status;
}

fb_status fb_listeners_open(struct fb_server *server, fb_err *reterr) {
    fb_status status = open_all(server, server->options.listen, false, reterr);
    if (status == FB_OK)
        status = open_all(server, server->options.tls.listen, true, reterr);
    if (status != FB_OK)
        fb_listeners_close(server);
    return status;
}

void fb_listeners_close(struct fb_server *server) {
    for (unsigned i = 0; i < server->nlisteners; i++) {
        close(server->listeners[i].fd);
        struct stat file; /* ours still, or put there by another process meanwhile? */
        const struct fb_listener *listener = &server->listeners[i];
        if (listener->path[0] != '\0' && lstat(listener->path, &file) == 0 && file.st_ino == listener->inode)
            (void)unlink(listener->path);
    }
    server->nlisteners = 0;
}
