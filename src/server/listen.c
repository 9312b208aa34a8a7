/* Addresses to listen on: "host:port", "[v6]:port", "localhost:port" (both families), "unix:/path". */
#include "server/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/err.h"
#include "server/users.h"

enum { BACKLOG = 511, UNIX_MODE = 0700 };

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

/* Would a stranger be let in? TLS alone keeps nobody out; certificates of clients do. */
static bool lets_strangers_in(const struct fb_server *server, const struct sockaddr *address, bool is_tls) {
    const struct fb_server_options *options = &server->options;
    return options->is_protected && !fb_address_is_loopback(address) && !fb_users_ask(server->users) &&
           !(is_tls && options->tls.clients == FB_TLS_CLIENTS_REQUIRED);
}

/* `may_lack`: where this machine has no such address nothing is listened to, and that is well. */
static fb_status listen_address(struct fb_server *server, const char *text, const struct addrinfo *info, bool is_tls,
                                bool may_lack, fb_err *reterr) {
    if (lets_strangers_in(server, info->ai_addr, is_tls))
        return fb_fail(reterr, FB_CONFIG, "%s can be reached from other machines and no password is set: set "
                       "server.password%s, listen on 127.0.0.1, or switch server.protected off", text,
                       is_tls ? " or 'tls_clients: required'" : "");
    if (server->nlisteners == FB_LISTENERS_MAX)
        return fb_fail(reterr, FB_INVALID, "more than %d addresses to listen on", FB_LISTENERS_MAX);
    int on = 1, number, fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return may_lack && errno == EAFNOSUPPORT ? FB_OK : fail_listen(reterr, text, errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        number = errno;
        close(fd);
        return may_lack && number == EADDRNOTAVAIL ? FB_OK : fail_listen(reterr, text, number);
    }
    struct fb_listener *listener = add(server, fd);
    listener->port = fb_address_port(fd);
    listener->is_tls = is_tls;
    return FB_OK;
}

static fb_status listen_host(struct fb_server *server, const char *text, const char *host, unsigned port, bool is_tls,
                             bool may_lack, fb_err *reterr) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
    char digits[8];
    snprintf(digits, sizeof digits, "%u", port);
    int rc = getaddrinfo(host, digits, &hints, &list);
    if (rc != 0)
        return fb_fail(reterr, FB_INVALID, "'%s': %s", text, gai_strerror(rc));
    /* A name may stand for several addresses. With port 0 they would get different ports, so then the first is enough. */
    fb_status status = FB_OK;
    for (const struct addrinfo *info = list; info != NULL && status == FB_OK; info = info->ai_next) {
        status = listen_address(server, text, info, is_tls, may_lack, reterr);
        if (port == 0)
            break;
    }
    freeaddrinfo(list);
    return status;
}

/* This machine, in both families, so that a client finds it whichever it tries first; no resolver is asked (RFC 6761). With
 * port 0 the second gets what the first got, unless somebody else has that. */
static fb_status listen_localhost(struct fb_server *server, const char *text, unsigned port, bool is_tls, fb_err *reterr) {
    fb_err own;
    fb_status status = listen_host(server, text, "127.0.0.1", port, is_tls, /* may_lack */ false, reterr);
    if (status != FB_OK)
        return status;
    unsigned got = server->listeners[server->nlisteners - 1].port;
    status = listen_host(server, text, "::1", got, is_tls, /* may_lack */ true, port == 0 ? &own : reterr);
    return port == 0 ? FB_OK : status;
}

static fb_status listen_tcp(struct fb_server *server, const char *text, bool is_tls, fb_err *reterr) {
    char host[FB_HOST_MAX];
    unsigned port;
    if (!fb_address_split(text, host, &port))
        return fb_fail(reterr, FB_INVALID, "'%s' is no address: write 127.0.0.1:6380, [::1]:6380 or unix:/path; the port "
                       "is a number up to 65535", text);
    if (strcasecmp(host, "localhost") == 0)
        return listen_localhost(server, text, port, is_tls, reterr);
    return listen_host(server, text, host, port, is_tls, /* may_lack */ false, reterr);
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
