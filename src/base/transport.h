/* The bytes of one connection: a plain socket, or TLS on top of one.
 *
 * The same four moves for both. Which of the two it is stands in `tls`, and the plain way is one predicted branch.
 * Nothing is held back between two receives: one takes whole records of TLS out of the socket and nothing beyond them,
 * so what is left is in the socket, and the event loop sees it there. No list of connections with bytes pending is
 * needed, and none has to be kept true when a connection ends. */
#ifndef FB_BASE_TRANSPORT_H
#define FB_BASE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/socket.h>
#include <sys/types.h>

#include "base/tls.h"

struct fb_transport {
    int fd;
    struct fb_tls *tls; /* NULL: plain */
};

/* As recv and send: −1 with errno EAGAIN when the socket has nothing, or takes nothing, for now. A receive has room for
 * at least FB_TLS_RECORD bytes. */
static inline ssize_t fb_transport_receive(struct fb_transport *t, void *data, size_t room) {
    return __builtin_expect(t->tls == NULL, 1) ? recv(t->fd, data, room, 0) : fb_tls_receive(t->tls, data, room);
}
static inline ssize_t fb_transport_send(struct fb_transport *t, const void *data, size_t len) {
    return __builtin_expect(t->tls == NULL, 1) ? send(t->fd, data, len, MSG_NOSIGNAL) : fb_tls_send(t->tls, data, len);
}
/* Say that nothing more will be sent. */
static inline bool fb_transport_shutdown(struct fb_transport *t) {
    if (t->tls != NULL)
        fb_tls_shutdown(t->tls);
    return shutdown(t->fd, SHUT_WR) == 0;
}
/* Bytes that have been received and not been handed out; always 0 between two receives. */
static inline size_t fb_transport_pending(const struct fb_transport *t) {
    return t->tls != NULL ? fb_tls_pending(t->tls) : 0;
}

#endif
