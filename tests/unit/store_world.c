/* Starting, asking and stopping that server. Readiness is read from its log, not waited for. */
#include "store_world.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"

enum { ARGUMENTS_MAX = 32, SOON_MS = 20000, LOG_MAX = 16384 };

fb_instant store_world_soon(void) { return fb_after(fb_clock_now(), fb_ms(SOON_MS)); }

bool store_world_is_before(fb_instant deadline) { return fb_before(fb_clock_now(), deadline); }

unsigned store_world_free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    unsigned port = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? fb_address_port(fd) : 0;
    (void)close(fd);
    return port;
}

static void become_server(struct store_world *w, const char *const *extra, int out) {
    const char *argv[ARGUMENTS_MAX] = {"redis-server", "--port", "0", "--unixsocket", w->path, "--save", "",
                                       "--dir", w->folder, "--logfile", ""};
    size_t n = 11;
    for (; extra != NULL && *extra != NULL && n + 1 < ARGUMENTS_MAX; extra++)
        argv[n++] = *extra;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    (void)execvp(argv[0], (char *const *)(const void *)argv);
    /* Of redis-tools, the same program: it goes by the name it is called by. */
    (void)execvp("redis-check-rdb", (char *const *)(const void *)argv);
    _exit(127);
}

static bool is_ready(int out) {
    char log[LOG_MAX];
    size_t len = 0;
    for (;;) {
        ssize_t n = read(out, log + len, sizeof log - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        log[len] = '\0';
        if (strstr(log, "eady to accept connections") != NULL)
            return true;
        if (len == sizeof log - 1)
            return false;
    }
}

static bool launch(struct store_world *w, const char *const *extra) {
    int out[2];
    fb_err err;
    struct fb_endpoint to = {.path = w->path};
    if (pipe(out) != 0)
        abort();
    w->pid = fork();
    if (w->pid == 0)
        become_server(w, extra, out[1]);
    (void)close(out[1]);
    w->out = out[0];
    if (!is_ready(w->out))
        return false;
    if (fb_connection_open(&w->raw, &to, store_world_soon(), &err) != FB_OK)
        abort();
    return true;
}

bool store_world_start(struct store_world *w, const char *const *extra) {
    char url[128];
    fb_err err;
    memset(w, 0, sizeof *w);
    (void)snprintf(w->folder, sizeof w->folder, "%s/fb-store-XXXXXX", "/tmp");
    if (mkdtemp(w->folder) == NULL)
        abort();
    (void)snprintf(w->path, sizeof w->path, "%s/s", w->folder);
    (void)snprintf(url, sizeof url, "unix://%s", w->path);
    fb_connection_init(&w->raw, 0);
    if (launch(w, extra)) {
        struct fb_place_options options = {.url = url, .connect_timeout = fb_ms(SOON_MS)};
        if (fb_place_open(&options, &w->place, &err) != FB_OK)
            abort();
        return true;
    }
    store_world_stop(w);
    return false;
}

static void end(struct store_world *w) {
    if (w->pid > 0) {
        (void)kill(w->pid, SIGKILL);
        (void)waitpid(w->pid, NULL, 0);
    }
    (void)close(w->out);
    w->pid = 0;
}

void store_world_restart(struct store_world *w, const char *const *extra) {
    end(w);
    if (!launch(w, extra))
        abort();
}

void store_world_stop(struct store_world *w) {
    fb_connection_finish(&w->raw);
    fb_place_close(w->place);
    w->place = NULL;
    end(w);
    (void)unlink(w->path);
    char dump[128];
    (void)snprintf(dump, sizeof dump, "%s/dump.rdb", w->folder);
    (void)unlink(dump);
    (void)rmdir(w->folder);
}

struct fb_store *store_world_open(const struct store_world *w) {
    struct fb_store *store = NULL;
    fb_err err;
    if (fb_store_open(w->place, &store, &err) != FB_OK)
        abort();
    return store;
}

struct fb_store *store_world_open_at(const char *url, const char *user, const char *password,
                                     struct fb_place **ret_place) {
    struct fb_place_options options = {.url = url, .user = user, .password = password, .connect_timeout = fb_ms(SOON_MS)};
    struct fb_store *store = NULL;
    fb_err err;
    if (fb_place_open(&options, ret_place, &err) != FB_OK || fb_store_open(*ret_place, &store, &err) != FB_OK)
        abort();
    return store;
}

void store_world_close_at(struct fb_store *store, struct fb_place *place) {
    fb_store_close(store);
    fb_place_close(place);
}

static void show(struct store_world *w) {
    size_t len = 0;
    w->text[0] = '\0';
    for (size_t i = 0; i < w->raw.reply.count; i++) {
        const struct fb_resp_node *node = &w->raw.reply.items[i];
        if (node->type >= FB_RESP_ARRAY)
            continue;
        int n = snprintf(w->text + len, sizeof w->text - len, "%s%s%.*s", len > 0 ? " " : "",
                         node->type == FB_RESP_ERROR ? "-" : node->type == FB_RESP_NULL ? "(nil)" : "",
                         (int)node->text.len, node->text.data);
        len += n > 0 && (size_t)n < sizeof w->text - len ? (size_t)n : 0;
    }
}

const char *store_world_ask(struct store_world *w, const char *word, ...) {
    fb_bytes words[64];
    size_t n = 0;
    va_list list;
    va_start(list, word);
    for (; word != NULL && n < 64; word = va_arg(list, const char *))
        words[n++] = FB_STR(word);
    va_end(list);
    fb_err err = {.text = ""};
    fb_connection_start(&w->raw);
    fb_resp_write_command(&w->raw.out, words, n);
    if (fb_connection_next(&w->raw, store_world_soon(), &err) != FB_OK)
        (void)snprintf(w->text, sizeof w->text, "!%s", err.text);
    else
        show(w);
    return w->text;
}
