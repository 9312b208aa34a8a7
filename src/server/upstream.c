/* One connection to the store: sending, taking replies, losing it. */
#include "server/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/pass.h"
#include "server/pass_cluster.h"
#include "server/relay.h"
#include "server/upstream_parts.h"

enum {
    KEPT_BUFFER = 64 * 1024, /* an empty buffer up to this size is kept */
    SENT_MOVED = 64 * 1024,  /* sent bytes are cut off the front from this many on */
    GREETING_MAX = 4096,     /* bytes of the replies to the login */
};

static void on_poll(uv_poll_t *poll, int status, int events);

void fb_upstream_discard(struct fb_upstream *u) {
    fb_list_remove(&u->link);
    fb_mem_free(u);
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

static void come_home(struct fb_upstream *u, struct fb_wait *wait) {
    u->loop->operations -= !u->is_own;
    if (fb_upstream_url(u)->kind != FB_STORE_SINGLE && fb_pass_redirect(u->loop, u, wait))
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
        fb_count(&fb_upstream_set(u)->counters.unanswered, 1);
        fb_pass_fail(u->loop, wait, reason, was_sent);
        come_home(u, wait);
    }
    u->is_taking = was_taking;
    if (u->is_dropped && !u->is_taking)
        fb_upstream_discard(u);
}

/* ---- losing ------------------------------------------------------------------------------------------------------- */

static void note_full(struct fb_upstream *u) {
    bool is_full = !u->is_own && fb_upstream_unsent(u) > FB_UPSTREAM_UNSENT;
    if (is_full && !u->is_full)
        fb_upstream_set(u)->full++;
    else if (!is_full && u->is_full)
        fb_upstream_set(u)->full--;
    u->is_full = is_full;
}

static void on_line_closed(uv_handle_t *handle) { fb_mem_free(handle->data); }

void fb_upstream_close_line(struct fb_upstream *u) {
    struct fb_upstream_line *line = u->line;
    if (line == NULL)
        return;
    u->line = NULL;
    uv_close((uv_handle_t *)&line->poll, on_line_closed);
    line->io.tls = fb_tls_free(line->io.tls);
    close(line->io.fd);
}

void fb_upstream_forget_addresses(struct fb_upstream *u) {
    if (u->resolving != NULL)
        u->resolving->upstream = NULL;
    u->resolving = NULL;
    if (u->addresses != NULL)
        uv_freeaddrinfo(u->addresses);
    u->addresses = u->next = NULL;
}

void fb_upstream_forget_login(struct fb_upstream *u) {
    if (u->login.data != NULL)
        explicit_bzero(u->login.data, u->login.len);
    fb_buf_free(&u->login);
    u->greeted = 0;
}

void fb_upstream_set_id(struct fb_upstream *u, uint64_t id) {
    if (u->id == id)
        return;
    fb_lock_acquire(&u->loop->lock);
    u->id = id;
    fb_lock_release(&u->loop->lock);
}

void fb_upstream_shut(struct fb_upstream *u) {
    if (u->state == FB_UPSTREAM_READY)
        fb_count(&fb_upstream_set(u)->counters.connections, (uint64_t)-1);
    u->state = FB_UPSTREAM_CLOSED;
    u->is_doubted = false;
    u->epoch++;
    fb_upstream_set_id(u, 0);
    fb_upstream_close_line(u);
    fb_upstream_forget_addresses(u);
    fb_list_remove(&u->dirty);
    fb_upstream_forget_login(u);
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
    if (fb_upstream_is_peer(u))
        return; /* the cache is asked anew for every request */
    if (fb_upstream_url(u)->kind == FB_STORE_SENTINEL)
        fb_upstream_set(u)->places.is_known = false;
    else
        fb_places_refresh(u->loop);
}

/* It is lost; without a reason, back. */
void fb_upstream_tell(const struct fb_upstream *u, const char *reason) {
    bool is_back = reason == NULL;
    char at[FB_STORE_TEXT_MAX + 16];
    snprintf(at, sizeof at, "%s:%u", u->at.host, u->at.port);
    if (fb_upstream_is_peer(u))
        fb_server_log(u->loop->server, is_back ? FB_LOG_PEER_BACK : FB_LOG_PEER_LOST,
                      is_back ? "another Forebay can be reached again" : "another Forebay cannot be reached",
                      FB_LOG_FIELDS({"peer", at}, {"reason", is_back ? "" : reason}));
    else if (is_back)
        fb_server_log(u->loop->server, FB_LOG_STORE_BACK, "the store can be reached again",
                      FB_LOG_FIELDS({"store", fb_upstream_store(u)->shown}));
    else
        fb_server_log(u->loop->server, FB_LOG_STORE_LOST, "the store cannot be reached",
                      FB_LOG_FIELDS({"store", fb_upstream_store(u)->shown}, {"reason", reason}));
}

void fb_upstream_lose(struct fb_upstream *u, const char *reason) {
    struct fb_place_state *state = fb_upstream_place(u);
    char text[FB_UPSTREAM_REASON_MAX];
    bool was_ready = u->state == FB_UPSTREAM_READY;
    snprintf(text, sizeof text, "%s", reason);
    if (u->is_scout) {
        fb_upstream_shut(u);
        fb_places_unheard(u->loop, text);
        return;
    }
    snprintf(state->reason, sizeof state->reason, "%s", text);
    if (!was_ready)
        back_off(state);
    if (state->is_well || was_ready)
        fb_upstream_tell(u, text);
    state->is_well = false;
    fb_upstream_shut(u);
    doubt_place(u);
    if (u->is_listener)
        fb_relay_lost(u->loop, u->listener, was_ready);
    fail_asked(u, text, was_ready);
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

void fb_upstream_watch(struct fb_upstream *u) {
    if (u->line == NULL)
        return;
    bool has_more = u->state == FB_UPSTREAM_READY ? fb_upstream_unsent(u) > 0 : u->greeted < u->login.len;
    int events = u->state == FB_UPSTREAM_CONNECTING ? UV_WRITABLE : UV_READABLE | (has_more ? UV_WRITABLE : 0);
    if (u->line->io.tls != NULL && u->state != FB_UPSTREAM_CONNECTING)
        events = fb_tls_events(u->line->io.tls, events);
    if (events == u->line->events)
        return;
    u->line->events = events;
    uv_poll_start(&u->line->poll, events, on_poll);
}

static void send_out(struct fb_upstream *u) {
    while (fb_upstream_unsent(u) > 0) {
        ssize_t n = fb_transport_send(&u->line->io, u->out.data + u->sent, fb_upstream_unsent(u));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            fb_upstream_lose(u, strerror(errno));
            return;
        }
        fb_count(&fb_upstream_set(u)->counters.bytes_out, (uint64_t)n);
        u->sent += (size_t)n;
    }
    if (fb_upstream_unsent(u) == 0) {
        u->out.len = u->sent = 0;
        if (u->out.cap > KEPT_BUFFER)
            fb_buf_free(&u->out);
    } else if (u->sent >= SENT_MOVED && u->sent >= u->out.len / 2) {
        memmove(u->out.data, u->out.data + u->sent, fb_upstream_unsent(u));
        u->out.len = fb_upstream_unsent(u);
        u->sent = 0;
    }
    note_full(u);
    fb_upstream_watch(u);
}

void fb_upstreams_end_over(struct fb_upstreams *all) {
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
    fb_upstreams_end_over(all);
    fb_loop_settle(all->loop);
}

void fb_upstreams_later(struct fb_upstreams *all, struct fb_wait *wait) {
    fb_list_push_back(&all->over, &wait->message.link);
    uv_prepare_start(&all->flush, on_flush);
}

void fb_upstream_mark(struct fb_upstream *u) {
    struct fb_upstreams *all = fb_upstream_set(u);
    if (u->state != FB_UPSTREAM_READY || fb_upstream_unsent(u) == 0 || fb_link_is_in_list(&u->dirty))
        return;
    uv_prepare_start(&all->flush, on_flush);
    fb_list_push_back(&all->dirty, &u->dirty);
}

bool fb_upstream_append(fb_buf *out, const fb_bytes *argv, size_t argc) {
    struct fb_resp_out words = {.buf = *out, .version = 2};
    size_t before = out->len;
    fb_resp_write_command(&words, argv, argc);
    *out = words.buf;
    if (words.failed)
        out->len = before;
    return !words.failed;
}

/* ---- taking replies ----------------------------------------------------------------------------------------------- */

/* A push, or a part of one. What is confirmed by it may end a wait. */
static size_t take_push(struct fb_upstream *u, const char *data, size_t n, bool is_end) {
    struct fb_wait *wait = NULL;
    if (!u->is_listener) /* nobody asked for it */
        return n;
    if (u->push.len + n > u->loop->inbox->held_max || fb_buf_append(&u->push, data, n) != FB_OK) {
        fb_upstream_lose(u, "the store sent a message longer than output_buffer_max");
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
    bool is_greeting = u->state == FB_UPSTREAM_GREETING;
    size_t n = fb_resp_follow(&u->follow, data, len, &verdict);
    if (verdict == FB_RESP_BAD || (fb_list_is_empty(&u->asked) && !is_greeting && u->follow.type != '>') ||
        (is_greeting && u->hello.len + n > (u->is_scout ? FB_SCOUT_REPLY_MAX : GREETING_MAX))) {
        fb_upstream_lose(u, "the store sent what is no answer");
        return 0;
    }
    if (u->follow.type == '>')
        return take_push(u, data, n, verdict == FB_RESP_DONE);
    if (is_greeting) {
        if (fb_buf_append(&u->hello, data, n) != FB_OK)
            fb_upstream_lose(u, "out of memory");
        else if (verdict == FB_RESP_DONE)
            fb_upstream_greeted(u);
        return u->state == FB_UPSTREAM_CLOSED ? 0 : n;
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
        const char *closed = fb_upstream_is_peer(u) ? "it closed the connection" : "the store closed the connection";
        fb_upstream_lose(u, n == 0 ? closed : is_of_tls ? fb_tls_reason(u->line->io.tls) : strerror(errno));
        return;
    }
    fb_count(&fb_upstream_set(u)->counters.bytes_in, (uint64_t)n);
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
    if (u->state == FB_UPSTREAM_GREETING && (events & UV_WRITABLE))
        fb_upstream_login(u);
    if (u->state != FB_UPSTREAM_CLOSED && (events & UV_READABLE))
        read_some(u);
    if (u->state == FB_UPSTREAM_READY && (events & UV_WRITABLE))
        send_out(u);
    if (u->state != FB_UPSTREAM_CLOSED)
        fb_upstream_watch(u);
}

/* Nothing frees the connection while its replies lead to whatever they lead to. */
static void on_poll(uv_poll_t *poll, int status, int events) {
    struct fb_upstream_line *line = poll->data;
    struct fb_upstream *u = line->upstream;
    struct fb_loop *loop = u->loop;
    u->is_taking = true;
    if (u->state == FB_UPSTREAM_CONNECTING)
        fb_upstream_connected(u);
    else if (status < 0)
        fb_upstream_lose(u, uv_strerror(status));
    else
        go_on(u, line->io.tls != NULL ? UV_READABLE | UV_WRITABLE : events);
    u->is_taking = false;
    if (u->is_dropped)
        fb_upstream_discard(u);
    fb_loop_feed(loop);
    fb_loop_settle(loop);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

struct fb_upstream *fb_upstream_new(struct fb_upstreams *all, unsigned version, unsigned db, unsigned node,
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
        *place = fb_upstream_new(all, version, db, node, false);
    return *place;
}

struct fb_upstream *fb_upstream_own(struct fb_upstreams *all, unsigned version, unsigned db, unsigned node) {
    return fb_upstream_new(all, version, db, node, true);
}

struct fb_upstream *fb_upstream_listen(struct fb_loop *loop, struct fb_session_ref session, unsigned node) {
    struct fb_upstream *u = fb_upstream_new(loop->upstreams, 3, 0, node, true);
    if (u != NULL) {
        u->is_listener = true;
        u->listener = session;
    }
    return u;
}

bool fb_upstream_is(const struct fb_upstream *u, const struct fb_upstreams *all, unsigned version, unsigned db,
                    unsigned node) {
    return u->set == all && u->version == version && u->node == node &&
           u->db == (db == 0 ? fb_upstream_store(u)->url.db : db);
}

void fb_upstream_drop(struct fb_upstream *u) {
    if (u == NULL)
        return;
    bool was_taking = u->is_taking;
    u->is_taking = true;
    fb_upstream_shut(u);
    fail_asked(u, "the connection has ended", true);
    u->is_taking = was_taking;
    u->is_dropped = true;
    if (!u->is_taking)
        fb_upstream_discard(u);
}

bool fb_upstream_may_ask(struct fb_upstream *u, char *why, size_t size) {
    struct fb_place_state *state = fb_upstream_place(u);
    fb_instant now = fb_clock_now();
    if (fb_upstream_store(u)->lacks[0] != '\0') {
        snprintf(why, size, "%s", fb_upstream_store(u)->lacks);
        return false;
    }
    if (u->is_doubted && fb_list_is_empty(&u->asked))
        fb_upstream_shut(u);
    if (u->state == FB_UPSTREAM_CLOSED && (state->backoff_ms == 0 || fb_reached(now, state->retry_at)))
        fb_upstream_begin(u);
    if (u->state != FB_UPSTREAM_CLOSED)
        return true;
    if (fb_upstream_url(u)->kind == FB_STORE_CLUSTER)
        fb_places_refresh(u->loop);
    int64_t ms = fb_span_ms(fb_since(state->retry_at, now));
    snprintf(why, size, "%s (next attempt in %lld ms)", state->reason, (long long)(ms > 0 ? ms : 0));
    return false;
}

bool fb_upstream_ask(struct fb_upstream *u, struct fb_wait *wait, const fb_bytes *argv, size_t argc) {
    if (!fb_upstream_append(&u->out, argv, argc))
        return false;
    if (fb_list_is_empty(&u->asked) && u->state == FB_UPSTREAM_READY)
        u->since = fb_clock_now();
    u->used = u->loop->tick;
    u->loop->operations += !u->is_own;
    fb_list_push_back(&u->asked, &wait->message.link);
    note_full(u);
    fb_upstream_mark(u);
    return true;
}

bool fb_upstream_say(struct fb_upstream *u, const fb_bytes *argv, size_t argc) {
    return fb_upstream_append(&u->out, argv, argc);
}

const char *fb_upstream_host(const struct fb_upstream *u) { return u->at.host; }
unsigned fb_upstream_node(const struct fb_upstream *u) { return u->node; }
unsigned fb_upstream_version(const struct fb_upstream *u) { return u->version; }

void fb_upstream_doubt(struct fb_upstream *u) {
    u->is_doubted = true;
    doubt_place(u);
}

fb_instant fb_upstream_since(const struct fb_upstream *u) { return u->since; }

bool fb_upstream_is_known(const struct fb_upstream *u, uint64_t *ret_id, struct fb_store_address *ret_at) {
    if (u->id == 0)
        return false;
    *ret_id = u->id;
    *ret_at = u->at;
    return true;
}

unsigned fb_upstream_epoch(const struct fb_upstream *u) { return u->epoch; }
