/* TLS for clients: OpenSSL on the loops' nonblocking sockets.
 *
 * No session tickets and no renegotiation: what is not there has no states. OpenSSL writes to the socket itself, so the
 * process must ignore SIGPIPE. */
#include "server/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <uv.h>

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

/* ---- certificate, key, rules ------------------------------------------------------------------------------------ */

static fb_status fail_file(fb_err *reterr, const char *setting, const char *path) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (access(path, R_OK) != 0) /* OpenSSL calls it "system lib" */
        reason = strerror(errno);
    fb_status status = fb_fail(reterr, FB_CONFIG, "cannot use %s %s: %s", setting, path,
                               reason != NULL ? reason : "it holds nothing of the kind");
    ERR_clear_error();
    return status;
}

/* Whoever can read the key can be this server. */
static fb_status check_key_file(const char *path, fb_err *reterr) {
    struct stat st;
    if (stat(path, &st) != 0)
        return fb_fail(reterr, FB_CONFIG, "cannot use tls_key %s: %s", path, strerror(errno));
    bool is_private = (st.st_mode & 077) == 0 || (st.st_uid == 0 && (st.st_mode & 037) == 0);
    if (S_ISREG(st.st_mode) && is_private)
        return FB_OK;
    return fb_fail(reterr, FB_CONFIG, "cannot use tls_key %s: others than its owner may read or write it (mode %04o); "
                   "chmod 600, or 640 where it belongs to root", path, (unsigned)st.st_mode & 07777);
}

/* A key with a passphrase would have OpenSSL ask at a terminal that a server does not have. */
static int no_passphrase(char *buf, int size, int is_writing, void *user) {
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)user;
    return 0;
}

static fb_status load_files(SSL_CTX *ctx, const struct fb_server_tls *o, fb_err *reterr) {
    if (o->cert == NULL || o->key == NULL)
        return fb_fail(reterr, FB_CONFIG, "tls_listen needs tls_cert and tls_key");
    fb_status status = check_key_file(o->key, reterr);
    if (status != FB_OK)
        return status;
    if (SSL_CTX_use_certificate_chain_file(ctx, o->cert) != 1)
        return fail_file(reterr, "tls_cert", o->cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) != 1)
        return fail_file(reterr, "tls_key", o->key);
    if (SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        return fb_fail(reterr, FB_CONFIG, "tls_key %s is not the key of the certificate in tls_cert %s", o->key,
                       o->cert);
    }
    if (o->clients == FB_TLS_CLIENTS_OFF)
        return FB_OK;
    if (o->ca == NULL)
        return fb_fail(reterr, FB_CONFIG, "tls_clients needs tls_ca: the authority that signs the clients' "
                       "certificates");
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->ca);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, o->ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail_file(reterr, "tls_ca", o->ca);
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
                       (o->clients == FB_TLS_CLIENTS_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return FB_OK;
}

fb_status fb_tls_context_new(const struct fb_server_tls *options, struct fb_tls_context **ret_context,
                             fb_err *reterr) {
    struct fb_tls_context *context = fb_mem_calloc(1, sizeof *context);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (context == NULL || ctx == NULL) {
        fb_mem_free(context);
        SSL_CTX_free(ctx);
        return fb_fail(reterr, FB_NOMEM, "no memory for TLS");
    }
    atomic_init(&context->refs, 1);
    context->ctx = ctx;
    SSL_CTX_set_min_proto_version(ctx, options->needs_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                        SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                     SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    fb_status status = load_files(ctx, options, reterr);
    if (status != FB_OK) {
        fb_tls_context_unref(context);
        return status;
    }
    *ret_context = context;
    return FB_OK;
}

fb_status fb_tls_context_client(const char *ca, struct fb_tls_context **ret_context, fb_err *reterr) {
    struct fb_tls_context *context = fb_mem_calloc(1, sizeof *context);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (context == NULL || ctx == NULL) {
        fb_mem_free(context);
        SSL_CTX_free(ctx);
        return fb_fail(reterr, FB_NOMEM, "no memory for TLS");
    }
    atomic_init(&context->refs, 1);
    context->ctx = ctx;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                     SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    bool is_well = ca != NULL ? SSL_CTX_load_verify_file(ctx, ca) == 1 : SSL_CTX_set_default_verify_paths(ctx) == 1;
    if (!is_well) {
        fb_tls_context_unref(context);
        return fail_file(reterr, "tls_ca", ca != NULL ? ca : "of the system");
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

struct fb_tls *fb_tls_new(struct fb_tls_context *context, int fd) {
    struct fb_tls *tls = fb_mem_calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->ssl = SSL_new(context->ctx); /* holds the context */
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1) {
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
    if (wanted & UV_READABLE)
        events |= tls->receive_wants_write ? UV_WRITABLE : UV_READABLE;
    if (wanted & UV_WRITABLE)
        events |= tls->send_wants_read ? UV_READABLE : UV_WRITABLE;
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
