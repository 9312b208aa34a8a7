/* Where a Redis is, as people write it:
 *
 *     redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]                       one server; rediss:// for TLS
 *     unix://[USER[:PASSWORD]@]/PATH[?db=N]
 *     sentinel://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT]…/SERVICE    the primary that Sentinels name; sentinels://
 *         [?db=N&sentinel_user=…&sentinel_password=…]                  user and password before '@' are of the primary
 *     cluster://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT]…             some nodes of a Cluster; clusters:// for TLS
 *
 * Names, passwords and the service may be percent-encoded. */
#ifndef FB_BASE_STORE_URL_H
#define FB_BASE_STORE_URL_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "base/address.h"

/* A server at one address; the primary of a service that Sentinels watch; the primaries of a Cluster. */
enum fb_store_kind { FB_STORE_SINGLE, FB_STORE_SENTINEL, FB_STORE_CLUSTER };

enum {
    FB_STORE_PORT = 6379,
    FB_SENTINEL_PORT = 26379,
    FB_STORE_TEXT_MAX = 256,
    FB_STORE_DATABASES = 16,
    FB_STORE_SEEDS_MAX = 16, /* addresses in one URL */
};

struct fb_store_address { char host[FB_STORE_TEXT_MAX]; unsigned port; };

struct fb_store_url {
    enum fb_store_kind kind;
    bool is_tls, is_unix;
    char host[FB_STORE_TEXT_MAX]; /* the first address, or the path of the socket */
    unsigned port, db;
    char user[FB_STORE_TEXT_MAX], password[FB_STORE_TEXT_MAX]; /* empty: none */
    struct fb_store_address seeds[FB_STORE_SEEDS_MAX];         /* all addresses; none of a socket */
    unsigned seeds_count;
    char service[FB_STORE_TEXT_MAX];                           /* of Sentinels */
    char sentinel_user[FB_STORE_TEXT_MAX], sentinel_password[FB_STORE_TEXT_MAX];
};

/* FB_INVALID: why. The text never shows what stands before '@'. */
fb_status fb_store_url_parse(const char *url, struct fb_store_url *ret_url, fb_err *reterr);
/* "127.0.0.1:6379", or the path; of several addresses the first, and how many more: for people, without secrets. */
const char *fb_store_url_print(const struct fb_store_url *url, char out[FB_STORE_TEXT_MAX + 16]);

#endif
