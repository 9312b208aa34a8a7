/* The rules of TLS for clients: certificate, key, and who must show one.
 *
 * No session tickets and no renegotiation: what is not there has no states. */
#include "server/tls.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "base/err.h"

_Static_assert((int)FB_TLS_READABLE == UV_READABLE && (int)FB_TLS_WRITABLE == UV_WRITABLE,
               "events go to libuv as they are");

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
        return fb_tls_fail_file(reterr, "tls_cert", o->cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) != 1)
        return fb_tls_fail_file(reterr, "tls_key", o->key);
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
        return fb_tls_fail_file(reterr, "tls_ca", o->ca);
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
                       (o->clients == FB_TLS_CLIENTS_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return FB_OK;
}

fb_status fb_tls_context_new(const struct fb_server_tls *options, struct fb_tls_context **ret_context,
                             fb_err *reterr) {
    struct fb_tls_context *context;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    fb_status status = fb_tls_context_adopt(ctx, &context, reterr);
    if (status != FB_OK)
        return status;
    SSL_CTX_set_min_proto_version(ctx, options->needs_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                        SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                     SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    status = load_files(ctx, options, reterr);
    if (status != FB_OK) {
        fb_tls_context_unref(context);
        return status;
    }
    *ret_context = context;
    return FB_OK;
}
