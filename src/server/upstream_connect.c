/* Making a connection to the store: addresses, the socket, the login. */
#include "server/upstream_parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { PORT_DIGITS = 8, KEEPALIVE_SECONDS = 60 };

/* ---- connecting --------------------------------------------------------------------------------------------------- */

/* With TLS this is what carries the handshake on. */
void fb_upstream_login(struct fb_upstream *u) {
    while (u->greeted < u->login.len) {
        ssize_t n = fb_transport_send(&u->line->io, u->login.data + u->greeted, u->login.len - u->greeted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            fb_upstream_lose(u, u->line->io.tls != NULL ? fb_tls_reason(u->line->io.tls) : strerror(errno));
            return;
        }
        u->greeted += (size_t)n;
    }
    if (u->greeted == u->login.len)
        fb_upstream_forget_login(u);
    fb_upstream_watch(u);
}

static bool begin_tls(struct fb_upstream *u) {
    const struct fb_store *store = fb_upstream_store(u);
    if (store->tls == NULL || (fb_upstream_is_peer(u) && !fb_upstream_place(u)->is_tls))
        return true;
    u->line->io.tls = fb_tls_new_client(store->tls, u->line->io.fd, u->at.host);
    return u->line->io.tls != NULL;
}

static bool say(struct fb_upstream *u, const fb_bytes *argv, size_t argc) {
    u->greetings++;
    return fb_upstream_append(&u->login, argv, argc);
}

static bool say_password(struct fb_upstream *u, const char *user, const char *password) {
    fb_bytes auth[] = {FB_STR("AUTH"), FB_STR(user), FB_STR(password)}, bare[] = {auth[0], auth[2]};
    return user[0] != '\0' ? say(u, auth, 3) : password[0] == '\0' || say(u, bare, 2); /* a user may have no password */
}

/* Will somebody want to end what blocks on it? */
static bool wants_id(const struct fb_upstream *u) { return u->is_own && !u->is_listener && !fb_upstream_is_peer(u); }

/* The last word of it: of a scout its question, else a name, and in front of that the question what the store calls it,
 * which may both be refused. In front of them a primary that Sentinels named says that it is one. */
static void greet(struct fb_upstream *u) {
    const struct fb_store_url *url = fb_upstream_url(u);
    char digits[16];
    bool is_sentinel = u->is_scout && url->kind == FB_STORE_SENTINEL, ok = begin_tls(u);
    snprintf(digits, sizeof digits, "%u", u->db);
    fb_bytes hello[] = {FB_STR("HELLO"), FB_STR("3")}, select[] = {FB_STR("SELECT"), FB_STR(digits)};
    fb_bytes name[] = {FB_STR("CLIENT"), FB_STR("SETNAME"), FB_STR("forebay")}, role = FB_STR("ROLE"), question[3];
    fb_bytes peer = FB_STR("FB.PEER"), id[] = {FB_STR("CLIENT"), FB_STR("ID")};
    u->state = FB_UPSTREAM_GREETING;
    u->greetings = 0;
    u->favours = wants_id(u) ? 2 : 1;
    ok &= is_sentinel ? say_password(u, url->sentinel_user, url->sentinel_password)
                      : say_password(u, url->user, url->password);
    if (u->is_scout) {
        ok &= say(u, question, fb_places_question(u->loop, question));
    } else {
        ok &= u->version != 3 || say(u, hello, 2);
        ok &= u->db == 0 || say(u, select, 2);
        ok &= url->kind != FB_STORE_SENTINEL || say(u, &role, 1);
        ok &= !fb_upstream_is_peer(u) || say(u, &peer, 1);
        ok &= !wants_id(u) || say(u, id, 2);
        ok &= say(u, name, 3);
    }
    if (ok)
        fb_upstream_login(u);
    else
        fb_upstream_lose(u, "out of memory");
}

/* False: this address does not do. */
static bool open_line(struct fb_upstream *u, const struct sockaddr *address, socklen_t len) {
    struct fb_upstream_line *line = fb_mem_calloc(1, sizeof *line);
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, idle = KEEPALIVE_SECONDS;
    if (line == NULL || fd < 0)
        goto failed;
    if (address->sa_family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    }
    if (connect(fd, address, len) != 0 && errno != EINPROGRESS)
        goto failed;
    if (uv_poll_init(&u->loop->uv, &line->poll, fd) != 0)
        goto failed;
    line->upstream = u;
    line->io.fd = fd;
    line->poll.data = line;
    u->line = line;
    u->state = FB_UPSTREAM_CONNECTING;
    fb_upstream_watch(u);
    return true;

failed:;
    int error = errno;
    if (fd >= 0)
        close(fd);
    fb_mem_free(line);
    errno = error;
    return false;
}

/* The next of the addresses that the host's name has. */
static void try_next(struct fb_upstream *u) {
    fb_upstream_close_line(u);
    while (u->next != NULL) {
        const struct addrinfo *one = u->next;
        u->next = one->ai_next;
        if (open_line(u, one->ai_addr, one->ai_addrlen))
            return;
    }
    fb_upstream_lose(u, strerror(errno));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct fb_upstream_resolving *resolving = fb_member_of(request, struct fb_upstream_resolving, request);
    struct fb_upstream *u = resolving->upstream;
    fb_mem_free(resolving);
    if (u == NULL) {
        uv_freeaddrinfo(found);
        return;
    }
    struct fb_loop *loop = u->loop;
    u->resolving = NULL;
    u->addresses = u->next = found;
    if (status != 0)
        fb_upstream_lose(u, uv_strerror(status));
    else
        try_next(u);
    fb_loop_settle(loop);
}

static void resolve(struct fb_upstream *u) {
    char port[PORT_DIGITS];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct fb_upstream_resolving *resolving = fb_mem_calloc(1, sizeof *resolving);
    snprintf(port, sizeof port, "%u", u->at.port);
    u->state = FB_UPSTREAM_RESOLVING;
    if (resolving == NULL) {
        fb_upstream_lose(u, "out of memory");
        return;
    }
    resolving->upstream = u;
    int rc = uv_getaddrinfo(&u->loop->uv, &resolving->request, on_resolved, u->at.host, port, &hints);
    if (rc == 0) {
        u->resolving = resolving;
        return;
    }
    fb_mem_free(resolving);
    fb_upstream_lose(u, uv_strerror(rc));
}

static void connect_to(struct fb_upstream *u) {
    const struct fb_store_url *url = fb_upstream_url(u);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)u->at.port)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    errno = 0;
    if (url->is_unix || u->at.host[0] == '/') {
        const char *path = url->is_unix ? url->host : u->at.host;
        memcpy(un.sun_path, path, strnlen(path, sizeof un.sun_path - 1));
        if (!open_line(u, (const struct sockaddr *)&un, sizeof un))
            fb_upstream_lose(u, strerror(errno));
    } else if (uv_inet_pton(AF_INET, u->at.host, &in.sin_addr) == 0) {
        if (!open_line(u, (const struct sockaddr *)&in, sizeof in))
            fb_upstream_lose(u, strerror(errno));
    } else {
        resolve(u);
    }
}

void fb_upstream_begin(struct fb_upstream *u) {
    struct fb_places *places = &fb_upstream_set(u)->places;
    u->since = fb_clock_now();
    if (!u->is_scout && !places->is_known) {
        u->state = FB_UPSTREAM_SEEKING;
        fb_places_refresh(u->loop);
        return;
    }
    u->at = u->is_scout ? fb_places_candidate(u->loop) : places->map->nodes[u->node];
    connect_to(u);
}

void fb_upstream_connected(struct fb_upstream *u) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(u->line->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        errno = error;
        try_next(u);
        return;
    }
    fb_upstream_forget_addresses(u);
    greet(u);
}

/* ---- the answers to the login ---------------------------------------------------------------------------------------- */

static bool is_role_of_primary(const fb_buf *hello) {
    return hello->len > 4 && hello->data[0] == '*' && memmem(hello->data, hello->len, "$6\r\nmaster\r\n", 12) != NULL;
}

static void end_question(struct fb_upstream *u) {
    fb_buf answer = u->hello;
    u->hello = (fb_buf)FB_BUF_INIT;
    fb_upstream_shut(u);
    fb_places_heard(u->loop, fb_bytes_of(answer.data, answer.len));
    fb_buf_free(&answer);
}

static void take_id(struct fb_upstream *u) {
    fb_bytes answer = fb_bytes_of(u->hello.data, u->hello.len);
    int64_t id;
    if (answer.len > 3 && answer.data[0] == ':' && fb_parse_integer(fb_bytes_of(answer.data + 1, answer.len - 3), &id) && id > 0)
        fb_upstream_set_id(u, (uint64_t)id);
}

/* A reply to the login is complete. */
void fb_upstream_greeted(struct fb_upstream *u) {
    struct fb_upstreams *all = fb_upstream_set(u);
    struct fb_place_state *state = fb_upstream_place(u);
    bool is_refused = u->hello.data[0] == '-' && u->greetings > u->favours;
    if (is_refused) {
        char text[FB_UPSTREAM_REASON_MAX];
        int len = (int)(u->hello.len - 1 - (u->hello.len > 2 ? 2 : 0));
        snprintf(text, sizeof text, "the login is refused: %.*s", len < 80 ? len : 80, u->hello.data + 1);
        fb_upstream_lose(u, text);
        return;
    }
    bool is_of_sentinels = !u->is_scout && fb_upstream_url(u)->kind == FB_STORE_SENTINEL;
    if (is_of_sentinels && u->greetings == u->favours + 1 && !is_role_of_primary(&u->hello)) {
        fb_upstream_lose(u, "what the Sentinels named is no primary");
        return;
    }
    if (u->is_scout && u->greetings == 1) {
        end_question(u);
        return;
    }
    if (u->favours == 2 && u->greetings == 2)
        take_id(u);
    u->hello.len = 0;
    if (--u->greetings > 0)
        return;
    fb_buf_free(&u->hello);
    u->state = FB_UPSTREAM_READY;
    u->since = fb_clock_now();
    if (!state->is_well && state->backoff_ms > 0)
        fb_upstream_tell(u, NULL);
    state->is_well = true;
    state->backoff_ms = 0;
    fb_count(&all->counters.connects, 1);
    fb_count(&all->counters.connections, 1);
    fb_upstream_mark(u);
}
