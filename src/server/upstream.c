/* One connection to the store: making it, sending, taking replies, losing it. */
#include "server/upstream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/pass.h"
#include "server/pass_cluster.h"
#include "server/relay.h"
#include "base/transport.h"

enum {
    KEPT_BUFFER = 64 * 1024, /* an empty buffer up to this size is kept */
    SENT_MOVED = 64 * 1024,  /* sent bytes are cut off the front from this many on */
    GREETING_MAX = 4096,     /* bytes of the replies to the login */
    PORT_DIGITS = 8,
    KEEPALIVE_SECONDS = 60,
};

/* SEEKING: the Sentinels are being asked where it is. */
enum state { CLOSED, SEEKING, RESOLVING, CONNECTING, GREETING, READY };

/* A socket with its handle, which outlives the connection by a turn of the loop. */
struct line {
    uv_poll_t poll;
    struct fb_upstream *upstream;
    struct fb_transport io;
    int events;
};

struct resolving {
    uv_getaddrinfo_t request;
    struct fb_upstream *upstream; /* NULL: nobody waits for it any more */
};

struct fb_upstream {
    struct fb_loop *loop;
    struct fb_upstreams *set;
    struct fb_link link;       /* in all */
    struct fb_link dirty;
    unsigned version, db, node;
    struct fb_store_address at; /* where it is connected to */
    bool is_own, is_full, is_scout;
    bool is_doubted;           /* is closed when nothing is owed on it */
    bool is_taking, is_dropped; /* replies are being handed on; and it is to be freed behind the last */
    enum state state;
    struct line *line;
    struct resolving *resolving;
    struct addrinfo *addresses, *next;
    fb_instant since;          /* of the state, of the last byte that came, or of the oldest request */
    uint32_t used;             /* tick of the last request */
    fb_buf login;              /* what is said first */
    size_t greeted;            /* bytes of it that have been sent */
    fb_buf hello;              /* the replies to it */
    unsigned epoch;            /* connections it has had */
    unsigned greetings;        /* of them still to come */
    fb_buf out;
    size_t sent;
    struct fb_link asked;      /* waits, by their message.link, oldest first */
    struct fb_resp_follow follow;
    bool is_listener;          /* pushes are handed on to: */
    struct fb_session_ref listener;
    fb_buf push;               /* the one that is coming */
};

static const struct fb_store *store_of(const struct fb_upstream *u) { return u->set->store; }
static struct fb_upstreams *all_of(const struct fb_upstream *u) { return u->set; }
static const struct fb_store_url *url_of(const struct fb_upstream *u) { return &store_of(u)->url; }
static struct fb_place_state *state_of(const struct fb_upstream *u) { return &all_of(u)->places.states[u->node]; }
static bool is_peer(const struct fb_upstream *u) { return u->set->is_peers; }
static size_t unsent(const struct fb_upstream *u) { return u->out.len - u->sent; }
static void on_poll(uv_poll_t *poll, int status, int events);

static void discard(struct fb_upstream *u) {
    fb_list_remove(&u->link);
    fb_mem_free(u);
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

static void come_home(struct fb_upstream *u, struct fb_wait *wait) {
    u->loop->operations -= !u->is_own;
    if (url_of(u)->kind != FB_STORE_SINGLE && fb_pass_redirect(u->loop, u, wait))
        return;
    fb_pass_home(u->loop, wait);
}

static void fail_asked(struct fb_upstream *u, const char *reason, bool was_sent) {
    struct fb_link asked, *link;
    bool was_taking = u->is_taking;
    u->is_taking = true;
    fb_list_init(&asked);
    fb_list_append(&asked, &u->asked); /* an answer may lead to a new request */
    while ((link = fb_list_pop_front(&asked)) != NULL) {
        struct fb_wait *wait = fb_member_of(link, struct fb_wait, message.link);
        fb_count(&all_of(u)->counters.unanswered, 1);
        fb_pass_fail(u->loop, wait, reason, was_sent);
        come_home(u, wait);
    }
    u->is_taking = was_taking;
    if (u->is_dropped && !u->is_taking)
        discard(u);
}

/* ---- losing ------------------------------------------------------------------------------------------------------- */

static void note_full(struct fb_upstream *u) {
    bool is_full = !u->is_own && unsent(u) > FB_UPSTREAM_UNSENT;
    if (is_full && !u->is_full)
        all_of(u)->full++;
    else if (!is_full && u->is_full)
        all_of(u)->full--;
    u->is_full = is_full;
}

static void on_line_closed(uv_handle_t *handle) { fb_mem_free(handle->data); }

static void close_line(struct fb_upstream *u) {
    struct line *line = u->line;
    if (line == NULL)
        return;
    u->line = NULL;
    uv_close((uv_handle_t *)&line->poll, on_line_closed);
    line->io.tls = fb_tls_free(line->io.tls);
    close(line->io.fd);
}

static void forget_addresses(struct fb_upstream *u) {
    if (u->resolving != NULL)
        u->resolving->upstream = NULL;
    u->resolving = NULL;
    if (u->addresses != NULL)
        uv_freeaddrinfo(u->addresses);
    u->addresses = u->next = NULL;
}

static void forget_login(struct fb_upstream *u) {
    if (u->login.data != NULL)
        explicit_bzero(u->login.data, u->login.len);
    fb_buf_free(&u->login);
    u->greeted = 0;
}

static void shut(struct fb_upstream *u) {
    if (u->state == READY)
        fb_count(&all_of(u)->counters.connections, (uint64_t)-1);
    u->state = CLOSED;
    u->is_doubted = false;
    u->epoch++;
    close_line(u);
    forget_addresses(u);
    fb_list_remove(&u->dirty);
    forget_login(u);
    fb_buf_free(&u->hello);
    fb_buf_free(&u->out);
    fb_buf_free(&u->push);
    u->sent = 0;
    u->greetings = 0;
    u->follow = (struct fb_resp_follow)FB_RESP_FOLLOW_INIT;
    note_full(u);
}

/* Where a connection could not be made nothing is tried for a while, a different while in each loop. */
static void back_off(struct fb_place_state *state) {
    int64_t ms = state->backoff_ms > 0 ? 2 * state->backoff_ms : FB_UPSTREAM_BACKOFF_FIRST_MS;
    uint16_t draw;
    fb_rng_system(&draw, sizeof draw);
    state->backoff_ms = ms < FB_UPSTREAM_BACKOFF_MAX_MS ? ms : FB_UPSTREAM_BACKOFF_MAX_MS;
    state->retry_at = fb_after(fb_clock_now(), fb_ms(state->backoff_ms / 2 + draw % (state->backoff_ms / 2)));
}

/* It may be elsewhere by now. */
static void doubt_place(struct fb_upstream *u) {
    if (is_peer(u))
        return; /* the cache is asked anew for every request */
    if (url_of(u)->kind == FB_STORE_SENTINEL)
        all_of(u)->places.is_known = false;
    else
        fb_places_refresh(u->loop);
}

/* It is lost; without a reason, back. */
static void tell(const struct fb_upstream *u, const char *reason) {
    bool is_back = reason == NULL;
    char at[FB_STORE_TEXT_MAX + 16];
    snprintf(at, sizeof at, "%s:%u", u->at.host, u->at.port);
    if (is_peer(u))
        fb_server_log(u->loop->server, is_back ? FB_LOG_PEER_BACK : FB_LOG_PEER_LOST,
                      is_back ? "another Forebay can be reached again" : "another Forebay cannot be reached",
                      FB_LOG_FIELDS({"peer", at}, {"reason", is_back ? "" : reason}));
    else if (is_back)
        fb_server_log(u->loop->server, FB_LOG_STORE_BACK, "the store can be reached again",
                      FB_LOG_FIELDS({"store", store_of(u)->shown}));
    else
        fb_server_log(u->loop->server, FB_LOG_STORE_LOST, "the store cannot be reached",
                      FB_LOG_FIELDS({"store", store_of(u)->shown}, {"reason", reason}));
}

static void lose(struct fb_upstream *u, const char *reason) {
    struct fb_place_state *state = state_of(u);
    char text[FB_UPSTREAM_REASON_MAX];
    bool was_ready = u->state == READY;
    snprintf(text, sizeof text, "%s", reason);
    if (u->is_scout) {
        shut(u);
        fb_places_unheard(u->loop, text);
        return;
    }
    snprintf(state->reason, sizeof state->reason, "%s", text);
    if (!was_ready)
        back_off(state);
    if (state->is_well || was_ready)
        tell(u, text);
    state->is_well = false;
    shut(u);
    doubt_place(u);
    if (u->is_listener)
        fb_relay_lost(u->loop, u->listener, was_ready);
    fail_asked(u, text, was_ready);
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static void watch(struct fb_upstream *u) {
    if (u->line == NULL)
        return;
    bool has_more = u->state == READY ? unsent(u) > 0 : u->greeted < u->login.len;
    int events = u->state == CONNECTING ? UV_WRITABLE : UV_READABLE | (has_more ? UV_WRITABLE : 0);
    if (u->line->io.tls != NULL && u->state != CONNECTING)
        events = fb_tls_events(u->line->io.tls, events);
    if (events == u->line->events)
        return;
    u->line->events = events;
    uv_poll_start(&u->line->poll, events, on_poll);
}

static void send_out(struct fb_upstream *u) {
    while (unsent(u) > 0) {
        ssize_t n = fb_transport_send(&u->line->io, u->out.data + u->sent, unsent(u));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            lose(u, strerror(errno));
            return;
        }
        fb_count(&all_of(u)->counters.bytes_out, (uint64_t)n);
        u->sent += (size_t)n;
    }
    if (unsent(u) == 0) {
        u->out.len = u->sent = 0;
        if (u->out.cap > KEPT_BUFFER)
            fb_buf_free(&u->out);
    } else if (u->sent >= SENT_MOVED && u->sent >= u->out.len / 2) {
        memmove(u->out.data, u->out.data + u->sent, unsent(u));
        u->out.len = unsent(u);
        u->sent = 0;
    }
    note_full(u);
    watch(u);
}

static void end_those_over(struct fb_upstreams *all) {
    struct fb_link *link;
    while ((link = fb_list_pop_front(&all->over)) != NULL)
        fb_pass_end_scatter(all->loop, fb_member_of(link, struct fb_wait, message.link));
}

static void on_flush(uv_prepare_t *handle) {
    struct fb_upstreams *all = handle->data;
    struct fb_link *link;
    uv_prepare_stop(handle);
    while ((link = fb_list_pop_front(&all->dirty)) != NULL)
        send_out(fb_member_of(link, struct fb_upstream, dirty));
    end_those_over(all);
    fb_loop_settle(all->loop);
}

void fb_upstreams_later(struct fb_upstreams *all, struct fb_wait *wait) {
    fb_list_push_back(&all->over, &wait->message.link);
    uv_prepare_start(&all->flush, on_flush);
}

static void mark_dirty(struct fb_upstream *u) {
    struct fb_upstreams *all = all_of(u);
    if (u->state != READY || unsent(u) == 0 || fb_link_is_in_list(&u->dirty))
        return;
    uv_prepare_start(&all->flush, on_flush);
    fb_list_push_back(&all->dirty, &u->dirty);
}

static bool append_words(fb_buf *out, const fb_bytes *argv, size_t argc) {
    struct fb_resp_out words = {.buf = *out, .version = 2};
    size_t before = out->len;
    fb_resp_write_command(&words, argv, argc);
    *out = words.buf;
    if (words.failed)
        out->len = before;
    return !words.failed;
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

/* With TLS this is what carries the handshake on. */
static void send_login(struct fb_upstream *u) {
    while (u->greeted < u->login.len) {
        ssize_t n = fb_transport_send(&u->line->io, u->login.data + u->greeted, u->login.len - u->greeted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            lose(u, u->line->io.tls != NULL ? fb_tls_reason(u->line->io.tls) : strerror(errno));
            return;
        }
        u->greeted += (size_t)n;
    }
    if (u->greeted == u->login.len)
        forget_login(u);
    watch(u);
}

static bool begin_tls(struct fb_upstream *u) {
    const struct fb_store *store = store_of(u);
    if (store->tls == NULL || (is_peer(u) && !state_of(u)->is_tls))
        return true;
    u->line->io.tls = fb_tls_new_client(store->tls, u->line->io.fd, u->at.host);
    return u->line->io.tls != NULL;
}

static bool say(struct fb_upstream *u, const fb_bytes *argv, size_t argc) {
    u->greetings++;
    return append_words(&u->login, argv, argc);
}

static bool say_password(struct fb_upstream *u, const char *user, const char *password) {
    fb_bytes auth[] = {FB_STR("AUTH"), FB_STR(user), FB_STR(password)}, bare[] = {auth[0], auth[2]};
    return password[0] == '\0' || (user[0] != '\0' ? say(u, auth, 3) : say(u, bare, 2));
}

/* The last word of it: of a scout its question, else a name, which may be refused. In front of the name a primary that
 * Sentinels named says that it is one. */
static void greet(struct fb_upstream *u) {
    const struct fb_store_url *url = url_of(u);
    char digits[16];
    bool is_sentinel = u->is_scout && url->kind == FB_STORE_SENTINEL, ok = begin_tls(u);
    snprintf(digits, sizeof digits, "%u", u->db);
    fb_bytes hello[] = {FB_STR("HELLO"), FB_STR("3")}, select[] = {FB_STR("SELECT"), FB_STR(digits)};
    fb_bytes name[] = {FB_STR("CLIENT"), FB_STR("SETNAME"), FB_STR("forebay")}, role = FB_STR("ROLE"), question[3];
    fb_bytes peer = FB_STR("FB.PEER");
    u->state = GREETING;
    u->greetings = 0;
    ok &= is_sentinel ? say_password(u, url->sentinel_user, url->sentinel_password)
                      : say_password(u, url->user, url->password);
    if (u->is_scout) {
        ok &= say(u, question, fb_places_question(u->loop, question));
    } else {
        ok &= u->version != 3 || say(u, hello, 2);
        ok &= u->db == 0 || say(u, select, 2);
        ok &= url->kind != FB_STORE_SENTINEL || say(u, &role, 1);
        ok &= !is_peer(u) || say(u, &peer, 1);
        ok &= say(u, name, 3);
    }
    if (ok)
        send_login(u);
    else
        lose(u, "out of memory");
}

/* False: this address does not do. */
static bool open_line(struct fb_upstream *u, const struct sockaddr *address, socklen_t len) {
    struct line *line = fb_mem_calloc(1, sizeof *line);
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
    u->state = CONNECTING;
    watch(u);
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
    close_line(u);
    while (u->next != NULL) {
        const struct addrinfo *one = u->next;
        u->next = one->ai_next;
        if (open_line(u, one->ai_addr, one->ai_addrlen))
            return;
    }
    lose(u, strerror(errno));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct resolving *resolving = fb_member_of(request, struct resolving, request);
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
        lose(u, uv_strerror(status));
    else
        try_next(u);
    fb_loop_settle(loop);
}

static void resolve(struct fb_upstream *u) {
    char port[PORT_DIGITS];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct resolving *resolving = fb_mem_calloc(1, sizeof *resolving);
    snprintf(port, sizeof port, "%u", u->at.port);
    u->state = RESOLVING;
    if (resolving == NULL) {
        lose(u, "out of memory");
        return;
    }
    resolving->upstream = u;
    int rc = uv_getaddrinfo(&u->loop->uv, &resolving->request, on_resolved, u->at.host, port, &hints);
    if (rc == 0) {
        u->resolving = resolving;
        return;
    }
    fb_mem_free(resolving);
    lose(u, uv_strerror(rc));
}

static void connect_to(struct fb_upstream *u) {
    const struct fb_store_url *url = url_of(u);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)u->at.port)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    errno = 0;
    if (url->is_unix || u->at.host[0] == '/') {
        const char *path = url->is_unix ? url->host : u->at.host;
        memcpy(un.sun_path, path, strnlen(path, sizeof un.sun_path - 1));
        if (!open_line(u, (const struct sockaddr *)&un, sizeof un))
            lose(u, strerror(errno));
    } else if (uv_inet_pton(AF_INET, u->at.host, &in.sin_addr) == 0) {
        if (!open_line(u, (const struct sockaddr *)&in, sizeof in))
            lose(u, strerror(errno));
    } else {
        resolve(u);
    }
}

static void begin(struct fb_upstream *u) {
    struct fb_places *places = &all_of(u)->places;
    u->since = fb_clock_now();
    if (!u->is_scout && !places->is_known) {
        u->state = SEEKING;
        fb_places_refresh(u->loop);
        return;
    }
    u->at = u->is_scout ? fb_places_candidate(u->loop) : places->map->nodes[u->node];
    connect_to(u);
}

static void end_connecting(struct fb_upstream *u) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(u->line->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        errno = error;
        try_next(u);
        return;
    }
    forget_addresses(u);
    greet(u);
}

/* ---- taking replies ----------------------------------------------------------------------------------------------- */

static bool is_role_of_primary(const fb_buf *hello) {
    return hello->len > 4 && hello->data[0] == '*' && memmem(hello->data, hello->len, "$6\r\nmaster\r\n", 12) != NULL;
}

static void end_question(struct fb_upstream *u) {
    fb_buf answer = u->hello;
    u->hello = (fb_buf)FB_BUF_INIT;
    shut(u);
    fb_places_heard(u->loop, fb_bytes_of(answer.data, answer.len));
    fb_buf_free(&answer);
}

/* A reply to the login is complete. Naming the connection, the last word of it, may be refused. */
static void end_greeting(struct fb_upstream *u) {
    struct fb_upstreams *all = all_of(u);
    struct fb_place_state *state = state_of(u);
    bool is_refused = u->hello.data[0] == '-' && u->greetings > 1;
    if (is_refused) {
        char text[FB_UPSTREAM_REASON_MAX];
        int len = (int)(u->hello.len - 1 - (u->hello.len > 2 ? 2 : 0));
        snprintf(text, sizeof text, "the login is refused: %.*s", len < 80 ? len : 80, u->hello.data + 1);
        lose(u, text);
        return;
    }
    if (!u->is_scout && url_of(u)->kind == FB_STORE_SENTINEL && u->greetings == 2 && !is_role_of_primary(&u->hello)) {
        lose(u, "what the Sentinels named is no primary");
        return;
    }
    if (u->is_scout && u->greetings == 1) {
        end_question(u);
        return;
    }
    u->hello.len = 0;
    if (--u->greetings > 0)
        return;
    fb_buf_free(&u->hello);
    u->state = READY;
    u->since = fb_clock_now();
    if (!state->is_well && state->backoff_ms > 0)
        tell(u, NULL);
    state->is_well = true;
    state->backoff_ms = 0;
    fb_count(&all->counters.connects, 1);
    fb_count(&all->counters.connections, 1);
    mark_dirty(u);
}

/* A push, or a part of one. What is confirmed by it may end a wait. */
static size_t take_push(struct fb_upstream *u, const char *data, size_t n, bool is_end) {
    struct fb_wait *wait = NULL;
    if (!u->is_listener) /* nobody asked for it */
        return n;
    if (u->push.len + n > u->loop->inbox->held_max || fb_buf_append(&u->push, data, n) != FB_OK) {
        lose(u, "the store sent a message longer than output_buffer_max");
        return 0;
    }
    if (!is_end)
        return n;
    if (!fb_list_is_empty(&u->asked))
        wait = fb_member_of(u->asked.next, struct fb_wait, message.link);
    bool is_confirmed = fb_relay_take(u->loop, u->listener, wait, fb_bytes_of(u->push.data, u->push.len));
    u->push.len = 0;
    if (u->push.cap > KEPT_BUFFER)
        fb_buf_free(&u->push);
    if (is_confirmed && wait->skips-- == 0) {
        wait->skips = 0;
        fb_list_remove(&wait->message.link);
        come_home(u, wait);
    }
    return n;
}

/* One reply, or a part of one; returns its bytes. 0: the connection is closed. */
static size_t take_one(struct fb_upstream *u, const char *data, size_t len) {
    enum fb_resp_verdict verdict;
    bool is_greeting = u->state == GREETING;
    size_t n = fb_resp_follow(&u->follow, data, len, &verdict);
    if (verdict == FB_RESP_BAD || (fb_list_is_empty(&u->asked) && !is_greeting && u->follow.type != '>') ||
        (is_greeting && u->hello.len + n > (u->is_scout ? FB_SCOUT_REPLY_MAX : GREETING_MAX))) {
        lose(u, "the store sent what is no answer");
        return 0;
    }
    if (u->follow.type == '>')
        return take_push(u, data, n, verdict == FB_RESP_DONE);
    if (is_greeting) {
        if (fb_buf_append(&u->hello, data, n) != FB_OK)
            lose(u, "out of memory");
        else if (verdict == FB_RESP_DONE)
            end_greeting(u);
        return u->state == CLOSED ? 0 : n;
    }
    struct fb_wait *wait = fb_member_of(u->asked.next, struct fb_wait, message.link);
    if (u->is_listener) /* an error, in place of all confirmations */
        wait->skips = 0;
    bool is_last = fb_pass_take(u->loop, wait, data, n, verdict == FB_RESP_DONE);
    if (is_last) {
        fb_list_remove(&wait->message.link);
        come_home(u, wait);
    }
    return n;
}

static void read_some(struct fb_upstream *u) {
    char *buffer = u->loop->read_buffer;
    ssize_t n = fb_transport_receive(&u->line->io, buffer, FB_READ_BUFFER);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        bool is_of_tls = n < 0 && errno == EPROTO && u->line->io.tls != NULL;
        lose(u, n == 0 ? "the store closed the connection" : is_of_tls ? fb_tls_reason(u->line->io.tls) : strerror(errno));
        return;
    }
    fb_count(&all_of(u)->counters.bytes_in, (uint64_t)n);
    u->since = fb_clock_now();
    for (size_t pos = 0, epoch = u->epoch; pos < (size_t)n && u->epoch == epoch;) {
        size_t taken = take_one(u, buffer + pos, (size_t)n - pos);
        if (taken == 0)
            break;
        pos += taken;
    }
}

/* With TLS either event may be what a receive, or a send, has been waiting for. */
static void go_on(struct fb_upstream *u, int events) {
    if (u->state == GREETING && (events & UV_WRITABLE))
        send_login(u);
    if (u->state != CLOSED && (events & UV_READABLE))
        read_some(u);
    if (u->state == READY && (events & UV_WRITABLE))
        send_out(u);
    if (u->state != CLOSED)
        watch(u);
}

/* Nothing frees the connection while its replies lead to whatever they lead to. */
static void on_poll(uv_poll_t *poll, int status, int events) {
    struct line *line = poll->data;
    struct fb_upstream *u = line->upstream;
    struct fb_loop *loop = u->loop;
    u->is_taking = true;
    if (u->state == CONNECTING)
        end_connecting(u);
    else if (status < 0)
        lose(u, uv_strerror(status));
    else
        go_on(u, line->io.tls != NULL ? UV_READABLE | UV_WRITABLE : events);
    u->is_taking = false;
    if (u->is_dropped)
        discard(u);
    fb_loop_feed(loop);
    fb_loop_settle(loop);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static struct fb_upstream *upstream_new(struct fb_upstreams *all, unsigned version, unsigned db, unsigned node,
                                        bool is_own) {
    struct fb_upstream *u = fb_mem_calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    u->loop = all->loop;
    u->set = all;
    u->version = version;
    u->db = db == 0 ? all->store->url.db : db;
    u->node = node;
    u->is_own = is_own;
    fb_list_init(&u->dirty);
    fb_list_init(&u->asked);
    fb_list_push_back(&all->all, &u->link);
    return u;
}

struct fb_upstream *fb_upstream_shared(struct fb_upstreams *all, unsigned version, unsigned db, unsigned node) {
    struct fb_upstream **place = all->of_nodes != NULL && db == 0 ? &all->of_nodes[version == 3][node]
                                                                  : &all->shared[version == 3][db];
    if (*place == NULL)
        *place = upstream_new(all, version, db, node, false);
    return *place;
}

struct fb_upstream *fb_upstream_own(struct fb_upstreams *all, unsigned version, unsigned db, unsigned node) {
    return upstream_new(all, version, db, node, true);
}

struct fb_upstream *fb_upstream_listen(struct fb_loop *loop, struct fb_session_ref session, unsigned node) {
    struct fb_upstream *u = upstream_new(loop->upstreams, 3, 0, node, true);
    if (u != NULL) {
        u->is_listener = true;
        u->listener = session;
    }
    return u;
}

bool fb_upstream_is(const struct fb_upstream *u, const struct fb_upstreams *all, unsigned version, unsigned db,
                    unsigned node) {
    return u->set == all && u->version == version && u->db == (db == 0 ? store_of(u)->url.db : db) && u->node == node;
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

bool fb_upstream_scout(struct fb_loop *loop) {
    struct fb_places *places = &loop->upstreams->places;
    if (places->scout == NULL && (places->scout = upstream_new(loop->upstreams, 2, 0, 0, true)) == NULL)
        return false;
    places->scout->is_scout = true;
    places->scout->db = 0;
    begin(places->scout);
    return true;
}

/* Those that wait for the address; each may lead to whatever it leads to, so one at a time. */
static struct fb_upstream *next_seeking(struct fb_loop *loop) {
    for (struct fb_link *l = loop->upstreams->all.next; l != &loop->upstreams->all; l = l->next) {
        struct fb_upstream *u = fb_member_of(l, struct fb_upstream, link);
        if (u->state == SEEKING)
            return u;
    }
    return NULL;
}

void fb_upstreams_found(struct fb_loop *loop) {
    struct fb_upstream *u;
    while (loop->upstreams->places.is_known && (u = next_seeking(loop)) != NULL)
        begin(u);
}

void fb_upstreams_not_found(struct fb_loop *loop, const char *reason) {
    struct fb_upstream *u;
    while ((u = next_seeking(loop)) != NULL)
        lose(u, reason);
}

void fb_upstream_drop(struct fb_upstream *u) {
    if (u == NULL)
        return;
    bool was_taking = u->is_taking;
    u->is_taking = true;
    shut(u);
    fail_asked(u, "the connection has ended", true);
    u->is_taking = was_taking;
    u->is_dropped = true;
    if (!u->is_taking)
        discard(u);
}

bool fb_upstream_may_ask(struct fb_upstream *u, char *why, size_t size) {
    struct fb_place_state *state = state_of(u);
    fb_instant now = fb_clock_now();
    if (store_of(u)->lacks[0] != '\0') {
        snprintf(why, size, "%s", store_of(u)->lacks);
        return false;
    }
    if (u->is_doubted && fb_list_is_empty(&u->asked))
        shut(u);
    if (u->state == CLOSED && (state->backoff_ms == 0 || fb_reached(now, state->retry_at)))
        begin(u);
    if (u->state != CLOSED)
        return true;
    if (url_of(u)->kind == FB_STORE_CLUSTER)
        fb_places_refresh(u->loop);
    int64_t ms = fb_span_ms(fb_since(state->retry_at, now));
    snprintf(why, size, "%s (next attempt in %lld ms)", state->reason, (long long)(ms > 0 ? ms : 0));
    return false;
}

bool fb_upstream_ask(struct fb_upstream *u, struct fb_wait *wait, const fb_bytes *argv, size_t argc) {
    if (!append_words(&u->out, argv, argc))
        return false;
    if (fb_list_is_empty(&u->asked) && u->state == READY)
        u->since = fb_clock_now();
    u->used = u->loop->tick;
    u->loop->operations += !u->is_own;
    fb_list_push_back(&u->asked, &wait->message.link);
    note_full(u);
    mark_dirty(u);
    return true;
}

bool fb_upstream_say(struct fb_upstream *u, const fb_bytes *argv, size_t argc) {
    return append_words(&u->out, argv, argc);
}

const char *fb_upstream_host(const struct fb_upstream *u) { return u->at.host; }
unsigned fb_upstream_node(const struct fb_upstream *u) { return u->node; }
unsigned fb_upstream_version(const struct fb_upstream *u) { return u->version; }

void fb_upstream_doubt(struct fb_upstream *u) {
    u->is_doubted = true;
    doubt_place(u);
}

unsigned fb_upstream_epoch(const struct fb_upstream *u) { return u->epoch; }

/* ---- of a loop ---------------------------------------------------------------------------------------------------- */

static struct fb_upstreams *set_free(struct fb_upstreams *all) {
    if (all == NULL)
        return NULL;
    fb_places_free(all);
    fb_mem_free(all->of_nodes);
    fb_mem_free(all);
    return NULL;
}

/* NULL: no memory. */
static struct fb_upstreams *set_new(struct fb_loop *loop, const struct fb_store *store, bool is_peers) {
    struct fb_upstreams *all = fb_mem_calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->loop = loop;
    all->store = store;
    all->is_peers = is_peers;
    fb_list_init(&all->all);
    fb_list_init(&all->dirty);
    fb_list_init(&all->over);
    if (is_peers || store->url.kind == FB_STORE_CLUSTER)
        all->of_nodes = fb_mem_calloc(FB_UPSTREAM_VERSIONS, sizeof *all->of_nodes);
    if (((is_peers || store->url.kind == FB_STORE_CLUSTER) && all->of_nodes == NULL) || fb_places_init(all) != FB_OK)
        return set_free(all);
    (void)uv_prepare_init(&loop->uv, &all->flush);
    all->flush.data = all;
    return all;
}

fb_status fb_upstreams_init(struct fb_loop *loop) {
    const struct fb_store *store = loop->server->store, *peers = loop->server->peers;
    if (store != NULL && (loop->upstreams = set_new(loop, store, /* is_peers */ false)) == NULL)
        return FB_NOMEM;
    if (peers != NULL && (loop->peers = set_new(loop, peers, /* is_peers */ true)) == NULL)
        return FB_NOMEM;
    if (store != NULL && store->url.kind == FB_STORE_CLUSTER)
        fb_places_refresh(loop); /* a transaction that goes to the wrong node can only be refused */
    return FB_OK;
}

static void set_close(struct fb_upstreams *all) {
    if (all == NULL)
        return;
    while (!fb_list_is_empty(&all->all))
        fb_upstream_drop(fb_member_of(all->all.next, struct fb_upstream, link));
    end_those_over(all);
    uv_close((uv_handle_t *)&all->flush, NULL);
}

void fb_upstreams_close(struct fb_loop *loop) {
    set_close(loop->upstreams);
    set_close(loop->peers);
}

void fb_upstreams_free(struct fb_loop *loop) {
    loop->upstreams = set_free(loop->upstreams);
    loop->peers = set_free(loop->peers);
}

void fb_upstreams_sum(const struct fb_server *server, bool is_peers, struct fb_upstream_sums *ret_sums) {
    *ret_sums = (struct fb_upstream_sums){0};
    for (unsigned i = 0; i < server->nloops; i++) {
        struct fb_upstreams *all = is_peers ? server->loops[i].peers : server->loops[i].upstreams;
        if (all == NULL)
            continue;
#define ADD(name, what) ret_sums->name += atomic_load_explicit(&all->counters.name, memory_order_relaxed);
        FB_UPSTREAM_COUNTERS(ADD)
#undef ADD
    }
}

bool fb_upstreams_are_full(const struct fb_loop *loop) {
    return (loop->upstreams != NULL && loop->upstreams->full > 0) || (loop->peers != NULL && loop->peers->full > 0);
}

/* A request that blocks says itself how long. */
static bool is_patient(const struct fb_upstream *u) {
    const struct fb_wait *first = fb_list_is_empty(&u->asked) ? NULL : fb_member_of(u->asked.next, struct fb_wait, message.link);
    return first == NULL || (u->is_own && ((first->call.command->flags & FB_CMD_BLOCKS) || first->is_patient));
}

static void look(struct fb_upstream *u) {
    char text[FB_UPSTREAM_REASON_MAX];
    int64_t ms = fb_span_ms(fb_since(fb_clock_now(), u->since)), connect_ms = store_of(u)->connect_timeout_ms,
            silent_ms = store_of(u)->timeout_ms;
    if (u->state != CLOSED && u->state != READY && ms > connect_ms) {
        snprintf(text, sizeof text, "no connection within %lld ms", (long long)connect_ms);
        lose(u, text);
    } else if (u->state == READY && !is_patient(u) && ms > silent_ms) {
        snprintf(text, sizeof text, "no answer within %lld ms", (long long)silent_ms);
        lose(u, text);
    } else if (u->state == READY && !u->is_own && fb_list_is_empty(&u->asked) &&
               u->loop->tick - u->used > FB_UPSTREAM_IDLE_SECONDS) {
        shut(u);
    }
}

static void look_at_all(struct fb_upstreams *all) {
    for (struct fb_link *l = all != NULL ? all->all.next : NULL, *next; all != NULL && l != &all->all; l = next) {
        next = l->next;
        struct fb_upstream *u = fb_member_of(l, struct fb_upstream, link);
        u->is_taking = true;
        look(u);
        u->is_taking = false;
        next = l->next;
        if (u->is_dropped)
            discard(u);
    }
}

void fb_upstreams_tick(struct fb_loop *loop) {
    if (loop->upstreams == NULL && loop->peers == NULL)
        return;
    look_at_all(loop->upstreams);
    look_at_all(loop->peers);
    fb_loop_settle(loop);
}
