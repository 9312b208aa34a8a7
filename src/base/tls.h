/* TLS on nonblocking sockets, by OpenSSL. */
#ifndef FB_BASE_TLS_H
#define FB_BASE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/types.h>

#include <forebay/forebay.h>

enum {
    FB_TLS_RECORD = 16384, /* plaintext of the longest record */
    FB_TLS_READABLE = 1, FB_TLS_WRITABLE = 2, /* as libuv's */
    FB_TLS_BYTES = 40960,  /* what OpenSSL holds for one connection, about; counted as its buffer */
};

struct ssl_ctx_st;     /* OpenSSL's SSL_CTX */
struct fb_tls_context; /* whom we trust and what we show; counted */
struct fb_tls;         /* one connection */

/* Takes over OpenSSL's context, also on failure (FB_NOMEM; `ctx` may be NULL). */
fb_status fb_tls_context_adopt(struct ssl_ctx_st *ctx, struct fb_tls_context **ret_context, fb_err *reterr);
/* Why OpenSSL could not use a file that a setting names: FB_CONFIG. */
fb_status fb_tls_fail_file(fb_err *reterr, const char *setting, const char *path);
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
/* What to wait for (FB_TLS_READABLE, FB_TLS_WRITABLE) so that `wanted` can go on: a receive may have to send first, and
 * the other way round. */
int fb_tls_events(const struct fb_tls *tls, int wanted);

ssize_t fb_tls_receive(struct fb_tls *tls, void *data, size_t room);
ssize_t fb_tls_send(struct fb_tls *tls, const void *data, size_t len);
void fb_tls_shutdown(struct fb_tls *tls);
size_t fb_tls_pending(const struct fb_tls *tls);

#endif
