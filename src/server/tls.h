/* TLS for clients: OpenSSL on the loops' nonblocking sockets. */
#ifndef FB_SERVER_TLS_H
#define FB_SERVER_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/types.h>

#include <forebay/forebay.h>

#include "server/server.h"

enum {
    FB_TLS_RECORD = 16384, /* plaintext of the longest record */
    FB_TLS_BYTES = 40960,  /* what OpenSSL holds for one connection, about; counted as its buffer */
};

struct fb_tls_context; /* certificate, key and rules; counted */
struct fb_tls;         /* one connection */

/* Read the files. On failure the text names the file and what is wrong with it. */
fb_status fb_tls_context_new(const struct fb_server_tls *options, struct fb_tls_context **ret_context,
                             fb_err *reterr);
void fb_tls_context_unref(struct fb_tls_context *context);
struct fb_tls_context *fb_tls_context_ref(struct fb_tls_context *context);

/* The server's end of a connection; NULL: no memory. The descriptor stays the caller's. */
struct fb_tls *fb_tls_new(struct fb_tls_context *context, int fd);
/* For connections of our own to others: who must be signed by the authority in the file `ca` (NULL: by one that this
 * system trusts) and be called what we call it. */
fb_status fb_tls_context_client(const char *ca, struct fb_tls_context **ret_context, fb_err *reterr);
/* The client's end, of a connection to `host`, a name or an address. */
struct fb_tls *fb_tls_new_client(struct fb_tls_context *context, int fd, const char *host);
struct fb_tls *fb_tls_free(struct fb_tls *tls);
/* The handshake goes on in receives until it is over. */
bool fb_tls_is_open(const struct fb_tls *tls);
/* What went wrong last, for the log; a constant. */
const char *fb_tls_reason(const struct fb_tls *tls);
/* What to wait for (UV_READABLE, UV_WRITABLE) so that `wanted` can go on: a receive may have to send first, and the
 * other way round. */
int fb_tls_events(const struct fb_tls *tls, int wanted);

ssize_t fb_tls_receive(struct fb_tls *tls, void *data, size_t room);
ssize_t fb_tls_send(struct fb_tls *tls, const void *data, size_t len);
void fb_tls_shutdown(struct fb_tls *tls);
size_t fb_tls_pending(const struct fb_tls *tls);

#endif
