/* Taking the URL of a Redis apart. */
#include "base/store_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static int digit_of(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decoded; false: it does not fit, or is not well encoded. */
static bool take(const char *from, size_t len, char out[FB_STORE_TEXT_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = from[i];
        if (c == '%') {
            if (i + 2 >= len || digit_of(from[i + 1]) < 0 || digit_of(from[i + 2]) < 0)
                return false;
            c = (char)(digit_of(from[i + 1]) << 4 | digit_of(from[i + 2]));
            i += 2;
        }
        if (n + 1 == FB_STORE_TEXT_MAX || c == '\0')
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool take_db(const char *text, unsigned *ret_db) {
    char *end;
    unsigned long db = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || db >= FB_STORE_DATABASES)
        return false;
    *ret_db = (unsigned)db;
    return true;
}

static fb_status take_unix(const char *rest, struct fb_store_url *url, fb_err *reterr) {
    size_t len = strcspn(rest, "?");
    if (rest[0] != '/' || len > 100 || !take(rest, len, url->host))
        return fb_fail(reterr, FB_INVALID, "behind unix:// stands the whole path of the socket, of at most 100 bytes");
    if (rest[len] == '?' && (strncmp(rest + len, "?db=", 4) != 0 || !take_db(rest + len + 4, &url->db)))
        return fb_fail(reterr, FB_INVALID, "behind the socket's path may stand ?db=N, with N below %d", FB_STORE_DATABASES);
    return FB_OK;
}

static fb_status take_login(const char *text, size_t len, struct fb_store_url *url, fb_err *reterr) {
    const char *colon = memchr(text, ':', len);
    size_t user = colon != NULL ? (size_t)(colon - text) : len;
    if (!take(text, user, url->user) || (colon != NULL && !take(colon + 1, len - user - 1, url->password)))
        return fb_fail(reterr, FB_INVALID, "user and password stand before '@', percent-encoded, shorter than %d bytes",
                       FB_STORE_TEXT_MAX);
    return FB_OK;
}

fb_status fb_store_url_parse(const char *text, struct fb_store_url *ret_url, fb_err *reterr) {
    struct fb_store_url *url = ret_url;
    *url = (struct fb_store_url){.port = FB_STORE_PORT};
    const char *rest = strstr(text, "://");
    size_t scheme = rest != NULL ? (size_t)(rest - text) : 0;
    url->is_unix = scheme == 4 && memcmp(text, "unix", 4) == 0;
    url->is_tls = scheme == 6 && memcmp(text, "rediss", 6) == 0;
    if (!url->is_unix && !url->is_tls && !(scheme == 5 && memcmp(text, "redis", 5) == 0))
        return fb_fail(reterr, FB_INVALID, "a store is redis://HOST:PORT/DB, rediss:// for TLS, or unix:///PATH");
    rest += 3;
    if (url->is_unix)
        return take_unix(rest, url, reterr);
    size_t len = strcspn(rest, "/?#");
    const char *at = memrchr(rest, '@', len), *path = rest + len;
    if (at != NULL) {
        fb_status status = take_login(rest, (size_t)(at - rest), url, reterr);
        if (status != FB_OK)
            return status;
        len -= (size_t)(at + 1 - rest);
        rest = at + 1;
    }
    char address[FB_STORE_TEXT_MAX + 8];
    bool has_port = memchr(rest, ':', len) != NULL && rest[len - 1] != ']';
    snprintf(address, sizeof address, has_port ? "%.*s" : "%.*s:6379", (int)len, rest);
    if (len >= FB_STORE_TEXT_MAX || !fb_address_split(address, url->host, &url->port) || url->host[0] == '\0')
        return fb_fail(reterr, FB_INVALID, "the store's URL names no HOST:PORT");
    if (path[0] != '\0' && strcmp(path, "/") != 0 && (path[0] != '/' || !take_db(path + 1, &url->db)))
        return fb_fail(reterr, FB_INVALID, "behind the store's address may stand /DB, a number below %d", FB_STORE_DATABASES);
    return FB_OK;
}

const char *fb_store_url_print(const struct fb_store_url *url, char out[FB_STORE_TEXT_MAX + 16]) {
    if (url->is_unix)
        snprintf(out, FB_STORE_TEXT_MAX + 16, "%s", url->host);
    else
        snprintf(out, FB_STORE_TEXT_MAX + 16, strchr(url->host, ':') ? "[%s]:%u" : "%s:%u", url->host, url->port);
    return out;
}
