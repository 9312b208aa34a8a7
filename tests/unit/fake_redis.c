/* A thread accepts, and one per connection reads requests and answers them by their first words. */
#include "fake_redis.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "proto/resp.h"

enum { ROOM = 1 << 16, REPLY_MAX = 4096 };

struct line { struct fake_redis *fake; int fd; };

static bool is(fb_bytes word, const char *text) {
    return word.len == strlen(text) && strncasecmp(word.data, text, word.len) == 0;
}

static void hello(struct fake_redis *f, char out[REPLY_MAX]) {
    (void)snprintf(out, REPLY_MAX, "%%3\r\n+role\r\n+%s\r\n+version\r\n+7.0.0\r\n+mode\r\n+%s\r\n",
                   f->role != NULL ? f->role : "master", f->mode != NULL ? f->mode : "standalone");
}

static void info(struct fake_redis *f, bool is_server, char out[REPLY_MAX]) {
    static const char id[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    char text[512];
    const char *run = f->next_run_id != NULL && f->roles_asked >= f->next_run_at ? f->next_run_id
                      : f->run_id != NULL ? f->run_id : id;
    int n = is_server ? snprintf(text, sizeof text, "run_id:%s\r\n", run)
                      : snprintf(text, sizeof text, "role:master\r\nmaster_replid:%s\r\nmaster_replid2:%s\r\n"
                                 "master_repl_offset:5\r\nsecond_repl_offset:-1\r\n", id, id);
    (void)snprintf(out, REPLY_MAX, "$%d\r\n%s\r\n", n, text);
}

static const char *next_of(const char *const *list, size_t count, size_t *at) {
    return count == 0 ? "+OK\r\n" : list[*at + 1 < count ? (*at)++ : count - 1];
}

/* Each "%u" is the next port; other signs of percent are maps of RESP3. */
static void slots(const struct fake_redis *f, char out[REPLY_MAX]) {
    const char *text = f->slots != NULL ? f->slots : "*0\r\n";
    size_t len = 0, port = 0;
    while (*text != '\0' && len + 8 < REPLY_MAX) {
        if (text[0] == '%' && text[1] == 'u' && port < 3) {
            len += (size_t)snprintf(out + len, REPLY_MAX - len, "%u", f->slots_ports[port++]);
            text += 2;
        } else {
            out[len++] = *text++;
        }
    }
    out[len] = '\0';
}

/* False: hang up. */
static bool answer(struct fake_redis *f, const struct fb_resp_args *args, bool *was_asking, char out[REPLY_MAX]) {
    fb_bytes first = args->items[0], second = args->count > 1 ? args->items[1] : first;
    bool is_asking = false;
    const char *text = NULL;
    if (is(first, "HELLO")) {
        hello(f, out);
    } else if (is(first, "INFO")) {
        info(f, is(second, "server"), out);
    } else if (is(first, "SCRIPT")) {
        (void)snprintf(out, REPLY_MAX, "$40\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    } else if (is(first, "CLUSTER") && is(second, "SLOTS")) {
        slots(f, out);
    } else if (is(first, "CLUSTER")) {
        (void)snprintf(out, REPLY_MAX, "$16\r\ncluster_state:ok\r\n");
    } else if (is(first, "SENTINEL")) {
        unsigned n = atomic_fetch_add(&f->sentinels_asked, 1);
        while (n > 0 && (n >= 3 || f->sentinel_ports[n] == 0))
            n--;
        char port[8];
        int len = snprintf(port, sizeof port, "%u", f->sentinel_ports[n]);
        if (f->sentinel != NULL)
            (void)snprintf(out, REPLY_MAX, "%s", f->sentinel);
        else
            (void)snprintf(out, REPLY_MAX, "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", len, port);
    } else if (is(first, "CLIENT")) {
        (void)snprintf(out, REPLY_MAX, "%s", f->tracking != NULL ? f->tracking : "+OK\r\n");
    } else if (is(first, "ROLE")) {
        size_t n = atomic_fetch_add(&f->roles_asked, 1);
        while (n > 0 && (n >= 8 || f->roles[n] == NULL))
            n--;
        (void)snprintf(out, REPLY_MAX, "%s", f->roles[n] != NULL ? f->roles[n] : "*3\r\n+master\r\n:5\r\n*0\r\n");
    } else if (is(first, "ASKING")) {
        atomic_fetch_add(&f->askings, 1);
        is_asking = true;
        (void)snprintf(out, REPLY_MAX, "+OK\r\n");
    } else {
        atomic_fetch_add(&f->scripts, 1);
        atomic_fetch_add(&f->asked_with_asking, *was_asking);
        (void)pthread_mutex_lock(&f->mutex);
        if (args->count > 7)
            (void)snprintf(f->last_what, sizeof f->last_what, "%.*s", (int)args->items[7].len, args->items[7].data);
        text = next_of(f->says, f->says_count, &f->said);
        (void)pthread_mutex_unlock(&f->mutex);
        if (text == NULL)
            return false;
        (void)snprintf(out, REPLY_MAX, "%s", text);
    }
    *was_asking = is_asking;
    return true;
}

static void *serve(void *arg) {
    struct line *line = arg;
    static const struct fb_resp_limits limits = {.args_max = 1024, .bulk_max = ROOM, .inline_max = ROOM,
                                                 .is_authenticated = true};
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    char *bytes = malloc(ROOM), *out = malloc(REPLY_MAX);
    size_t len = 0, size = 0;
    bool was_asking = false, is_open = bytes != NULL && out != NULL;
    while (is_open) {
        ssize_t n = read(line->fd, bytes + len, ROOM - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        for (size_t at = 0; is_open;) {
            args.count = 0;
            if (fb_resp_request(bytes + at, bytes + len, &limits, &args, &size, NULL) != FB_RESP_DONE) {
                memmove(bytes, bytes + at, len - at);
                len -= at;
                break;
            }
            at += size;
            is_open = args.count > 0 && answer(line->fake, &args, &was_asking, out) &&
                      send(line->fd, out, strlen(out), MSG_NOSIGNAL) > 0;
        }
    }
    (void)shutdown(line->fd, SHUT_RDWR);
    fb_resp_args_finish(&args);
    free(bytes);
    free(out);
    free(line);
    return NULL;
}

static void *accept_all(void *arg) {
    struct fake_redis *f = arg;
    for (;;) {
        int fd = accept(f->listener, NULL, NULL);
        struct line *line = malloc(sizeof *line);
        if (fd < 0 || line == NULL || f->lines_count == FAKE_LINES_MAX) {
            free(line);
            return NULL;
        }
        *line = (struct line){f, fd};
        f->lines[f->lines_count] = fd;
        if (pthread_create(&f->threads[f->lines_count], NULL, serve, line) != 0)
            abort();
        f->lines_count++;
    }
}

void fake_redis_start(struct fake_redis *fake) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)pthread_mutex_init(&fake->mutex, NULL);
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fake->listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fake->listener, FAKE_LINES_MAX) != 0)
        abort();
    fake->port = fb_address_port(fake->listener);
    if (pthread_create(&fake->acceptor, NULL, accept_all, fake) != 0)
        abort();
}

void fake_redis_stop(struct fake_redis *fake) {
    (void)shutdown(fake->listener, SHUT_RDWR);
    (void)pthread_join(fake->acceptor, NULL);
    (void)close(fake->listener);
    for (size_t i = 0; i < fake->lines_count; i++) {
        (void)shutdown(fake->lines[i], SHUT_RDWR);
        (void)pthread_join(fake->threads[i], NULL);
        (void)close(fake->lines[i]);
    }
    (void)pthread_mutex_destroy(&fake->mutex);
}
