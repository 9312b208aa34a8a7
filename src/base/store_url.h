/* Where a Redis is, as people write it: redis://[USER[:PASSWORD]@]HOST[:PORT][/DB], rediss:// for TLS, unix:///PATH with
 * ?db=N. What a password holds may be percent-encoded. */
#ifndef FB_BASE_STORE_URL_H
#define FB_BASE_STORE_URL_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "base/address.h"

/* A server at one address; the primary of a service that Sentinels watch; the primaries of a Cluster. */
enum fb_store_kind { FB_STORE_SINGLE, FB_STORE_SENTINEL, FB_STORE_CLUSTER };

enum { FB_STORE_PORT = 6379, FB_STORE_TEXT_MAX = 256, FB_STORE_DATABASES = 16 };

struct fb_store_url {
    bool is_tls, is_unix;
    char host[FB_STORE_TEXT_MAX]; /* or the path of the socket */
    unsigned port, db;
    char user[FB_STORE_TEXT_MAX], password[FB_STORE_TEXT_MAX]; /* empty: none */
};

/* FB_INVALID: why. The text never shows what stands before '@'. */
fb_status fb_store_url_parse(const char *url, struct fb_store_url *ret_url, fb_err *reterr);
/* "127.0.0.1:6379", or the path: for people, without secrets. */
const char *fb_store_url_print(const struct fb_store_url *url, char out[FB_STORE_TEXT_MAX + 16]);

#endif
