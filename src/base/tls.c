/* TLS on nonblocking sockets: connections, and the rules of those that we make ourselves.
 *
 * No renegotiation: what is not there has no states. OpenSSL's own way to a socket raises SIGPIPE when the other side
 * has hung up, which a library must not do to its process; so the bytes go through a few functions of ours. */
#include "base/tls.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/err.h"
#include "base/mem.h"

struct fb_tls_context {
    _Atomic unsigned refs;
    SSL_CTX *ctx;
};

struct fb_tls {
    SSL *ssl;
    bool receive_wants_write, send_wants_read;
    const char *reason; /* OpenSSL's text, a constant */
};

/* ---- rules ------------------------------------------------------------------------------------------------------ */

fb_status fb_tls_fail_file(fb_err *reterr, const char *setting, const char *path) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (access(path, R_OK) != 0) /* OpenSSL calls it "system lib" */
        reason = strerror(errno);
    fb_status status = fb_fail(reterr, FB_CONFIG, "cannot use %s %s: %s", setting, path,
                               reason != NULL ? reason : "it holds nothing of the kind");
    ERR_clear_error();
    return status;
}

fb_status fb_tls_context_adopt(SSL_CTX *ctx, struct fb_tls_context **ret_context, fb_err *reterr) {
    struct fb_tls_context *context = fb_mem_calloc(1, sizeof *context);
    if (context == NULL || ctx == NULL) {
        fb_mem_free(context);
        SSL_CTX_free(ctx);
        return fb_fail(reterr, FB_NOMEM, "no memory for TLS");
    }
    atomic_init(&context->refs, 1);
    context->ctx = ctx;
    *ret_context = context;
    return FB_OK;
}

fb_status fb_tls_context_client(const char *ca, struct fb_tls_context **ret_context, fb_err *reterr) {
    struct fb_tls_context *context;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    fb_status status = fb_tls_context_adopt(ctx, &context, reterr);
    if (status != FB_OK)
        return status;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                     SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    bool is_well = ca != NULL ? SSL_CTX_load_verify_file(ctx, ca) == 1 : SSL_CTX_set_default_verify_paths(ctx) == 1;
    if (!is_well) {
        fb_tls_context_unref(context);
        return fb_tls_fail_file(reterr, "tls_ca", ca != NULL ? ca : "of the system");
    }
    *ret_context = context;
    return FB_OK;
}

struct fb_tls_context *fb_tls_context_ref(struct fb_tls_context *context) {
    atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    return context;
}

void fb_tls_context_unref(struct fb_tls_context *context) {
    if (context == NULL || atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(context->ctx);
    fb_mem_free(context);
}

/* ---- one connection --------------------------------------------------------------------------------------------- */

static BIO_METHOD *wire;
static pthread_once_t wire_once = PTHREAD_ONCE_INIT;

static int descriptor_of(BIO *bio) { return (int)(intptr_t)BIO_get_data(bio); }

static int wire_write(BIO *bio, const char *data, int len) {
    BIO_clear_retry_flags(bio);
    ssize_t n = send(descriptor_of(bio), data, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)n;
}

static int wire_read(BIO *bio, char *data, int room) {
    BIO_clear_retry_flags(bio);
    ssize_t n = recv(descriptor_of(bio), data, (size_t)room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    if (n == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)n;
}

static long wire_control(BIO *bio, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH;
}

static void make_wire(void) {
    wire = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals");
    if (wire != NULL && !(BIO_meth_set_write(wire, wire_write) && BIO_meth_set_read(wire, wire_read) &&
                          BIO_meth_set_ctrl(wire, wire_control))) {
        BIO_meth_free(wire);
        wire = NULL;
    }
}

static bool use_descriptor(SSL *ssl, int fd) {
    (void)pthread_once(&wire_once, make_wire);
    BIO *bio = wire != NULL ? BIO_new(wire) : NULL;
    if (bio == NULL)
        return false;
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}

struct fb_tls *fb_tls_new(struct fb_tls_context *context, int fd) {
    struct fb_tls *tls = fb_mem_calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->ssl = SSL_new(context->ctx); /* holds the context */
    if (tls->ssl == NULL || !use_descriptor(tls->ssl, fd)) {
        ERR_clear_error();
        return fb_tls_free(tls);
    }
    SSL_set_accept_state(tls->ssl);
    return tls;
}

struct fb_tls *fb_tls_new_client(struct fb_tls_context *context, int fd, const char *host) {
    struct fb_tls *tls = fb_tls_new(context, fd);
    if (tls == NULL)
        return NULL;
    X509_VERIFY_PARAM *rules = SSL_get0_param(tls->ssl);
    bool is_address = X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1;
    if (!is_address && (SSL_set1_host(tls->ssl, host) != 1 || SSL_set_tlsext_host_name(tls->ssl, host) != 1)) {
        ERR_clear_error();
        return fb_tls_free(tls);
    }
    ERR_clear_error();
    SSL_set_connect_state(tls->ssl);
    return tls;
}

struct fb_tls *fb_tls_free(struct fb_tls *tls) {
    if (tls == NULL)
        return NULL;
    SSL_free(tls->ssl); /* NULL accepted; sends nothing */
    fb_mem_free(tls);
    return NULL;
}

bool fb_tls_is_open(const struct fb_tls *tls) { return SSL_is_init_finished(tls->ssl); }
const char *fb_tls_reason(const struct fb_tls *tls) { return tls->reason != NULL ? tls->reason : "the connection ended"; }
size_t fb_tls_pending(const struct fb_tls *tls) { return (size_t)SSL_pending(tls->ssl); }

int fb_tls_events(const struct fb_tls *tls, int wanted) {
    int events = 0;
    if (wanted & FB_TLS_READABLE)
        events |= tls->receive_wants_write ? FB_TLS_WRITABLE : FB_TLS_READABLE;
    if (wanted & FB_TLS_WRITABLE)
        events |= tls->send_wants_read ? FB_TLS_READABLE : FB_TLS_WRITABLE;
    return events;
}

/* What a call that moved nothing means: 0 for the end, or −1 with errno. */
static ssize_t explain(struct fb_tls *tls, int result, bool *ret_crossed, int crossed_error) {
    int number = errno, error = SSL_get_error(tls->ssl, result);
    *ret_crossed = error == crossed_error;
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; break;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: errno = number != 0 && number != EAGAIN && number != EINTR ? number : ECONNRESET; break;
    default:
        tls->reason = ERR_reason_error_string(ERR_peek_error());
        errno = EPROTO;
        break;
    }
    number = errno;
    ERR_clear_error(); /* the queue is the thread's: the next connection must not find it */
    errno = number;
    return -1;
}

/* Record by record, each as a whole. A short record is probably the last that has come; what is behind it stays in the
 * socket, which then is readable still. */
ssize_t fb_tls_receive(struct fb_tls *tls, void *data, size_t room) {
    size_t got = 0;
    while (room - got >= FB_TLS_RECORD) {
        errno = 0;
        int n = SSL_read(tls->ssl, (char *)data + got, (int)(room - got < INT_MAX ? room - got : INT_MAX));
        if (n <= 0) {
            ssize_t result = explain(tls, n, &tls->receive_wants_write, SSL_ERROR_WANT_WRITE);
            return got > 0 ? (ssize_t)got : result; /* an end or a fault is found again by the next */
        }
        tls->receive_wants_write = false;
        got += (size_t)n;
        if (n < FB_TLS_RECORD && SSL_pending(tls->ssl) == 0)
            break;
    }
    return (ssize_t)got;
}

ssize_t fb_tls_send(struct fb_tls *tls, const void *data, size_t len) {
    size_t sent = 0;
    while (sent < len) {
        errno = 0;
        size_t left = len - sent;
        int n = SSL_write(tls->ssl, (const char *)data + sent, (int)(left < INT_MAX ? left : INT_MAX));
        if (n <= 0) {
            ssize_t result = explain(tls, n, &tls->send_wants_read, SSL_ERROR_WANT_READ);
            if (sent > 0)
                return (ssize_t)sent;
            errno = result == 0 ? EPIPE : errno;
            return -1;
        }
        tls->send_wants_read = false;
        sent += (size_t)n;
    }
    return (ssize_t)sent;
}

/* One attempt: whoever does not take our farewell gets the end of the stream. */
void fb_tls_shutdown(struct fb_tls *tls) {
    if (fb_tls_is_open(tls) && tls->reason == NULL)
        (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}
