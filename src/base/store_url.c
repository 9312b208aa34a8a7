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

static fb_status take_login(const char *text, size_t len, struct fb_store_url *url, fb_err *reterr) {
    const char *colon = memchr(text, ':', len);
    size_t user = colon != NULL ? (size_t)(colon - text) : len;
    if (!take(text, user, url->user) || (colon != NULL && !take(colon + 1, len - user - 1, url->password)))
        return fb_fail(reterr, FB_INVALID, "user and password stand before '@', percent-encoded, shorter than %d bytes",
                       FB_STORE_TEXT_MAX);
    return FB_OK;
}

static fb_status take_unix(const char *rest, struct fb_store_url *url, fb_err *reterr) {
    size_t login = strcspn(rest, "@/");
    if (rest[login] == '@') {
        fb_status status = take_login(rest, login, url, reterr);
        if (status != FB_OK)
            return status;
        rest += login + 1;
    }
    size_t len = strcspn(rest, "?");
    if (rest[0] != '/' || len > 100 || !take(rest, len, url->host))
        return fb_fail(reterr, FB_INVALID, "behind unix:// stands the whole path of the socket, of at most 100 bytes");
    if (rest[len] == '?' && (strncmp(rest + len, "?db=", 4) != 0 || !take_db(rest + len + 4, &url->db)))
        return fb_fail(reterr, FB_INVALID, "behind the socket's path may stand ?db=N, with N below %d", FB_STORE_DATABASES);
    return FB_OK;
}

static const struct {
    const char *name;
    enum fb_store_kind kind;
    bool is_tls, is_unix;
} schemes[] = {
    {"redis", FB_STORE_SINGLE, false, false},     {"rediss", FB_STORE_SINGLE, true, false},
    {"unix", FB_STORE_SINGLE, false, true},       {"sentinel", FB_STORE_SENTINEL, false, false},
    {"sentinels", FB_STORE_SENTINEL, true, false}, {"cluster", FB_STORE_CLUSTER, false, false},
    {"clusters", FB_STORE_CLUSTER, true, false},
};

/* What stands behind "://"; NULL: no scheme of ours. */
static const char *take_scheme(const char *text, struct fb_store_url *url) {
    const char *rest = strstr(text, "://");
    size_t len = rest != NULL ? (size_t)(rest - text) : 0;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (len == strlen(schemes[i].name) && memcmp(text, schemes[i].name, len) == 0) {
            url->kind = schemes[i].kind;
            url->is_tls = schemes[i].is_tls;
            url->is_unix = schemes[i].is_unix;
            return rest + 3;
        }
    return NULL;
}

static bool take_address(const char *text, size_t len, unsigned port, struct fb_store_address *ret) {
    char address[FB_STORE_TEXT_MAX + 8];
    if (len == 0 || len >= FB_STORE_TEXT_MAX)
        return false;
    bool has_port = memchr(text, ':', len) != NULL && text[len - 1] != ']';
    if (has_port)
        snprintf(address, sizeof address, "%.*s", (int)len, text);
    else
        snprintf(address, sizeof address, "%.*s:%u", (int)len, text, port);
    return fb_address_split(address, ret->host, &ret->port) && ret->host[0] != '\0' && ret->port != 0;
}

static fb_status take_addresses(const char *text, size_t len, struct fb_store_url *url, fb_err *reterr) {
    unsigned port = url->kind == FB_STORE_SENTINEL ? FB_SENTINEL_PORT : FB_STORE_PORT;
    for (const char *end = text + len, *stop; text <= end; text = stop + 1) {
        stop = memchr(text, ',', (size_t)(end - text));
        stop = stop != NULL ? stop : end;
        if (url->seeds_count == (url->kind == FB_STORE_SINGLE ? 1 : FB_STORE_SEEDS_MAX))
            return fb_fail(reterr, FB_INVALID, url->kind == FB_STORE_SINGLE
                ? "a single store has one address; several are sentinel://HOST,HOST/SERVICE or cluster://HOST,HOST"
                : "the store's URL names more than %d addresses", FB_STORE_SEEDS_MAX);
        if (!take_address(text, (size_t)(stop - text), port, &url->seeds[url->seeds_count]))
            return fb_fail(reterr, FB_INVALID, "the store's URL names no HOST:PORT");
        url->seeds_count++;
    }
    url->port = url->seeds[0].port;
    memcpy(url->host, url->seeds[0].host, sizeof url->host);
    return FB_OK;
}

/* "name=value" into what it is called; false: it is none of them, or not well written. */
static bool take_parameter(const char *text, size_t len, struct fb_store_url *url) {
    char value[FB_STORE_TEXT_MAX];
    const char *sign = memchr(text, '=', len);
    size_t name = sign != NULL ? (size_t)(sign - text) : 0;
    if (sign == NULL || !take(sign + 1, len - name - 1, value))
        return false;
    if (name == 2 && memcmp(text, "db", 2) == 0)
        return take_db(value, &url->db);
    const struct { const char *name; char *value; } texts[] = {
        {"sentinel_user", url->sentinel_user}, {"sentinel_password", url->sentinel_password}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (name == strlen(texts[i].name) && memcmp(text, texts[i].name, name) == 0) {
            memcpy(texts[i].value, value, sizeof value);
            return true;
        }
    return false;
}

/* "/SERVICE", then parameters. */
static fb_status take_service(const char *path, struct fb_store_url *url, fb_err *reterr) {
    size_t len = strcspn(path, "?#");
    if (len < 2 || memchr(path + 1, '/', len - 1) != NULL || !take(path + 1, len - 1, url->service))
        return fb_fail(reterr, FB_INVALID, "behind the Sentinels' addresses stands /SERVICE, the name by which they "
                       "know the primary");
    for (const char *at = path + len; *at != '\0';) {
        size_t size = strcspn(at + 1, "&");
        if (!take_parameter(at + 1, size, url))
            return fb_fail(reterr, FB_INVALID, "behind the service may stand ?db=N (below %d), sentinel_user=… and "
                           "sentinel_password=…, with '&' between them", FB_STORE_DATABASES);
        at += 1 + size;
    }
    return FB_OK;
}

fb_status fb_store_url_parse(const char *text, struct fb_store_url *ret_url, fb_err *reterr) {
    struct fb_store_url *url = ret_url;
    *url = (struct fb_store_url){.port = FB_STORE_PORT};
    const char *rest = take_scheme(text, url);
    if (rest == NULL)
        return fb_fail(reterr, FB_INVALID, "a store is redis://HOST:PORT/DB, rediss:// for TLS, unix:///PATH, "
                       "sentinel://HOST,HOST/SERVICE or cluster://HOST,HOST");
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
    fb_status status = take_addresses(rest, len, url, reterr);
    if (status != FB_OK)
        return status;
    if (url->kind == FB_STORE_SENTINEL)
        return take_service(path, url, reterr);
    if (path[0] != '\0' && strcmp(path, "/") != 0 && (path[0] != '/' || !take_db(path + 1, &url->db)))
        return fb_fail(reterr, FB_INVALID, "behind the store's address may stand /DB, a number below %d", FB_STORE_DATABASES);
    if (url->kind == FB_STORE_CLUSTER && url->db != 0)
        return fb_fail(reterr, FB_INVALID, "a Cluster has database 0 alone");
    return FB_OK;
}

const char *fb_store_url_print(const struct fb_store_url *url, char out[FB_STORE_TEXT_MAX + 16]) {
    size_t room = FB_STORE_TEXT_MAX + 16;
    if (url->is_unix) {
        snprintf(out, room, "%s", url->host);
        return out;
    }
    int n = snprintf(out, room, strchr(url->host, ':') ? "[%s]:%u" : "%s:%u", url->host, url->port);
    if (url->seeds_count > 1 && n > 0 && (size_t)n < room)
        snprintf(out + n, room - (size_t)n, " and %u more", url->seeds_count - 1);
    return out;
}
