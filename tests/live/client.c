/* Sending words and reading simple answers, with poll and a deadline. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

bool client_open(struct client *c, unsigned port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int on = 1;
    c->len = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && connect(c->fd, (const struct sockaddr *)&to, sizeof to) == 0) {
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return true;
    }
    client_close(c);
    return false;
}

void client_close(struct client *c) {
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

bool client_send(struct client *c, const char *const *words) {
    char out[1024];
    size_t n = 0, len;
    while (words[n] != NULL)
        n++;
    len = (size_t)snprintf(out, sizeof out, "*%zu\r\n", n);
    for (size_t i = 0; i < n && len < sizeof out; i++)
        len += (size_t)snprintf(out + len, sizeof out - len, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    return len < sizeof out && c->fd >= 0 && send(c->fd, out, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* The end of the line that begins at `from`; NULL: not there yet. */
static char *line_end(struct client *c, char *from) {
    char *end = memchr(from, '\r', (size_t)(c->in + c->len - from));
    return end != NULL && end + 1 < c->in + c->len ? end : NULL;
}

/* The answer's texts stay where they are until the next one is asked for: what was taken is all there is. */
bool client_take(struct client *c) {
    char *end = c->len > 0 ? line_end(c, c->in) : NULL;
    if (end == NULL)
        return false;
    c->text = c->in + 1;
    if (c->in[0] == '$' && c->in[1] != '-') {
        size_t size = strtoul(c->in + 1, NULL, 10);
        if ((size_t)(c->in + c->len - (end + 2)) < size + 2)
            return false;
        c->text = end + 2;
        end = end + 2 + size;
    }
    c->kind = c->in[0] == '-'                                             ? CLIENT_ERROR
              : c->in[0] == ':'                                           ? CLIENT_NUMBER
              : c->in[0] == '_' || (c->in[0] == '$' && c->in[1] == '-') ? CLIENT_NIL
                                                                          : CLIENT_TEXT;
    *end = '\0';
    c->number = strtoll(c->text, NULL, 10);
    c->len = 0;
    return true;
}

enum client_kind client_read(struct client *c, fb_instant deadline) {
    while (c->fd >= 0) {
        struct pollfd wait = {.fd = c->fd, .events = POLLIN};
        int64_t left_ms = (deadline.ns - fb_clock_now().ns) / FB_NS_PER_MS + 1;
        int ready = left_ms > 0 ? poll(&wait, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t n = ready > 0 && c->len < sizeof c->in ? recv(c->fd, c->in + c->len, sizeof c->in - c->len, 0) : 0;
        if (n <= 0)
            break;
        c->len += (unsigned)n;
        if (client_take(c))
            return c->kind;
    }
    client_close(c);
    return c->kind = CLIENT_LOST;
}

enum client_kind client_ask(struct client *c, fb_instant deadline, const char *word, ...) {
    const char *words[CLIENT_WORDS_MAX + 1] = {word};
    va_list list;
    va_start(list, word);
    for (size_t n = 1; n <= CLIENT_WORDS_MAX && (words[n] = va_arg(list, const char *)) != NULL;)
        n++;
    va_end(list);
    words[CLIENT_WORDS_MAX] = NULL;
    if (client_send(c, words))
        return client_read(c, deadline);
    client_close(c);
    return c->kind = CLIENT_LOST;
}
