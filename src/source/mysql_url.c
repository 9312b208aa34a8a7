/* The URL of a MariaDB or MySQL database: mysql://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE&…
 *
 * Without a host the server is found at the library's own socket, or at ?socket=PATH. Everything may be
 * percent-encoded. Messages never quote the URL, which may hold a password. */
#include "source/mysql.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A part of the URL, decoded; *ret stays NULL when it is empty. FB_INVALID: a malformed escape, or NUL. */
static fb_status decode(const char *text, size_t len, char **ret, fb_err *err) {
    if (len == 0)
        return FB_OK;
    char *out = fb_mem_alloc(len + 1), *to = out;
    if (out == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    for (size_t i = 0; i < len; i++) {
        int byte = (unsigned char)text[i];
        if (byte == '%') {
            int high = i + 2 < len ? hex_digit(text[i + 1]) : -1, low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high * 16 + low == 0) {
                fb_mem_free(out);
                return fb_fail(err, FB_INVALID, "the URL has a '%%' that is not followed by two hexadecimal digits");
            }
            byte = high * 16 + low;
            i += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    fb_mem_free(*ret);
    *ret = out;
    return FB_OK;
}

static fb_status parse_user(struct fb_mysql_address *a, const char *text, size_t len, fb_err *err) {
    const char *colon = memchr(text, ':', len);
    size_t user = colon != NULL ? (size_t)(colon - text) : len;
    fb_status status = decode(text, user, &a->user, err);
    return status == FB_OK && colon != NULL ? decode(colon + 1, len - user - 1, &a->password, err) : status;
}

static fb_status parse_port(struct fb_mysql_address *a, const char *text, size_t len, fb_err *err) {
    unsigned port = 0;
    for (size_t i = 0; i < len && port <= 65535; i++)
        port = text[i] >= '0' && text[i] <= '9' ? port * 10 + (unsigned)(text[i] - '0') : 65536;
    if (port == 0 || port > 65535)
        return fb_fail(err, FB_INVALID, "the URL's port is not a number from 1 to 65535");
    a->port = port;
    return FB_OK;
}

/* HOST, HOST:PORT, [IPV6]:PORT */
static fb_status parse_host(struct fb_mysql_address *a, const char *text, size_t len, fb_err *err) {
    size_t host = 0, behind;
    if (len > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', len);
        if (end == NULL)
            return fb_fail(err, FB_INVALID, "the URL's host begins with '[' but has no ']'");
        text++;
        host = (size_t)(end - text);
        behind = host + 1;
        len--;
    } else {
        const char *colon = memchr(text, ':', len);
        behind = host = colon != NULL ? (size_t)(colon - text) : len;
    }
    fb_status status = decode(text, host, &a->host, err);
    if (status != FB_OK || behind == len)
        return status;
    return text[behind] == ':' ? parse_port(a, text + behind + 1, len - behind - 1, err)
                               : fb_fail(err, FB_INVALID, "the URL has something between ']' and the port");
}

static fb_status set_tls_mode(struct fb_mysql_address *a, const char *mode, fb_err *err) {
    a->uses_tls = strcmp(mode, "required") == 0 || strcmp(mode, "verify-identity") == 0;
    a->verifies = strcmp(mode, "verify-identity") == 0;
    if (!a->uses_tls && strcmp(mode, "disabled") != 0)
        return fb_fail(err, FB_INVALID, "ssl-mode is disabled, required or verify-identity");
    return FB_OK;
}

static fb_status parse_option(struct fb_mysql_address *a, const char *text, size_t len, char **mode, fb_err *err) {
    const struct { const char *name; char **to; bool is_tls; } known[] = {
        {"socket", &a->socket, false},   {"ssl-ca", &a->tls_ca, true},   {"ssl-cert", &a->tls_cert, true},
        {"ssl-key", &a->tls_key, true},  {"ssl-crl", &a->tls_crl, true}, {"ssl-mode", mode, false},
    };
    const char *equals = memchr(text, '=', len);
    size_t name = equals != NULL ? (size_t)(equals - text) : len;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].name) == name && memcmp(known[i].name, text, name) == 0) {
            a->uses_tls |= known[i].is_tls;
            return equals != NULL ? decode(equals + 1, len - name - 1, known[i].to, err) : FB_OK;
        }
    return fb_fail(err, FB_INVALID, "the URL has an unknown option '%.*s'; known: socket, ssl-mode, ssl-ca, ssl-cert, "
                   "ssl-key, ssl-crl", name < 40 ? (int)name : 40, text);
}

/* A certificate authority that is given is also asked: mode verify-identity unless it is said otherwise. */
static fb_status parse_options(struct fb_mysql_address *a, const char *text, fb_err *err) {
    fb_status status = FB_OK;
    char *mode = NULL;
    while (*text != '\0' && status == FB_OK) {
        size_t len = strcspn(text, "&");
        status = len > 0 ? parse_option(a, text, len, &mode, err) : FB_OK;
        text += len + (text[len] == '&');
    }
    a->verifies = a->tls_ca != NULL;
    if (status == FB_OK && mode != NULL)
        status = set_tls_mode(a, mode, err);
    fb_mem_free(mode);
    return status;
}

fb_status fb_mysql_parse_url(const char *url, struct fb_mysql_address *ret_address, fb_err *err) {
    struct fb_mysql_address a = {.host = NULL};
    const char *colon = strchr(url, ':');
    if (colon == NULL || strncmp(colon, "://", 3) != 0)
        return fb_fail(err, FB_INVALID, "the URL is not of the form mysql://USER:PASSWORD@HOST:PORT/DATABASE");
    const char *place = colon + 3, *options = strchr(place, '?');
    size_t len = options != NULL ? (size_t)(options - place) : strlen(place), authority = strcspn(place, "/?");
    const char *at = memrchr(place, '@', authority);
    fb_status status = at != NULL ? parse_user(&a, place, (size_t)(at - place), err) : FB_OK;
    const char *host = at != NULL ? at + 1 : place;
    if (status == FB_OK)
        status = parse_host(&a, host, authority - (size_t)(host - place), err);
    if (status == FB_OK && authority < len)
        status = decode(place + authority + 1, len - authority - 1, &a.database, err);
    if (status == FB_OK && options != NULL)
        status = parse_options(&a, options + 1, err);
    if (status == FB_OK && a.database == NULL)
        status = fb_fail(err, FB_INVALID, "the URL names no database: mysql://USER:PASSWORD@HOST:PORT/DATABASE");
    if (status != FB_OK) {
        fb_mysql_free_address(&a);
        return status;
    }
    *ret_address = a;
    return FB_OK;
}

void fb_mysql_free_address(struct fb_mysql_address *a) {
    char *const texts[] = {a->host,   a->user,     a->password, a->database, a->socket,
                           a->tls_ca, a->tls_cert, a->tls_key,  a->tls_crl};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        fb_mem_free(texts[i]);
    *a = (struct fb_mysql_address){.host = NULL};
}
