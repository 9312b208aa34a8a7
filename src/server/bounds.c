/* What strangers, and all clients together, may take. */
#include "server/bounds.h"

#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "server/session.h"
#include "server/users.h"

struct fb_bounds *fb_bounds_new(void) {
    struct fb_bounds *bounds = fb_mem_calloc(1, sizeof *bounds);
    if (bounds == NULL)
        return NULL;
    fb_rng_system(&bounds->key, sizeof bounds->key);
    fb_lock_init(&bounds->lock, FB_LOCK_LOOP);
    return bounds;
}

void fb_bounds_free(struct fb_bounds *bounds) {
    if (bounds == NULL)
        return;
    fb_lock_finish(&bounds->lock);
    fb_mem_free(bounds);
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void read_address(const struct fb_bounds *bounds, struct fb_arrival *arrival, const struct sockaddr *address) {
    unsigned char bytes[9] = {0};
    arrival->is_local = arrival->is_unix || address == NULL;
    if (address != NULL && address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        memcpy(bytes + 1, &in->sin_addr, 4);
        bytes[0] = 4;
        arrival->is_local = bytes[1] == 127;
    } else if (address != NULL && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;
        memcpy(bytes + 1, &in->sin6_addr, 8); /* one customer has at least a /64 */
        bytes[0] = 6;
        arrival->is_local = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
    }
    arrival->address = fb_hash(&bounds->key, bytes, sizeof bytes);
}

static _Atomic unsigned *bucket_of(struct fb_bounds *bounds, const struct fb_arrival *arrival) {
    return &bounds->strangers[arrival->address % FB_STRANGER_BUCKETS];
}

static unsigned places(const struct fb_server *server, const struct fb_arrival *arrival) {
    unsigned max = FB_LIVE(server, clients_max);
    unsigned reserve = max / 4 < FB_RESERVE_MAX ? max / 4 : FB_RESERVE_MAX;
    return arrival->is_local ? max : max - reserve;
}

const char *fb_bounds_admit(struct fb_server *server, struct fb_arrival *arrival, const struct sockaddr *address) {
    struct fb_bounds *bounds = server->bounds;
    arrival->counts_handshake = arrival->counts_stranger = false;
    read_address(bounds, arrival, address);
    if (atomic_fetch_add(&server->clients, 1) >= places(server, arrival)) {
        atomic_fetch_sub(&server->clients, 1);
        return "clients_max";
    }
    if (arrival->is_tls) {
        arrival->counts_handshake = true;
        if (atomic_fetch_add(&bounds->handshakes, 1) >= FB_LIVE(server, clients_max) / FB_HANDSHAKES_SHARE + 1) {
            fb_bounds_leave(server, arrival);
            return "handshakes";
        }
    }
    if (!arrival->is_local && fb_users_ask(server->users)) {
        arrival->counts_stranger = true;
        if (atomic_fetch_add(bucket_of(bounds, arrival), 1) >= FB_STRANGERS_MAX) {
            fb_bounds_leave(server, arrival);
            return "strangers of one address";
        }
    }
    return NULL;
}

void fb_bounds_handshaken(struct fb_server *server, struct fb_arrival *arrival) {
    if (arrival->counts_handshake)
        atomic_fetch_sub(&server->bounds->handshakes, 1);
    arrival->counts_handshake = false;
}

void fb_bounds_known(struct fb_server *server, struct fb_arrival *arrival) {
    if (arrival->counts_stranger)
        atomic_fetch_sub(bucket_of(server->bounds, arrival), 1);
    arrival->counts_stranger = false;
}

void fb_bounds_leave(struct fb_server *server, struct fb_arrival *arrival) {
    fb_bounds_handshaken(server, arrival);
    fb_bounds_known(server, arrival);
    atomic_fetch_sub(&server->clients, 1);
}

/* ---- wrong passwords -------------------------------------------------------------------------------------------- */

/* Exact addresses in a table of fixed size: who fills it from many addresses pushes out his own entries first and gains
 * nothing he had not, and nobody else is locked out by sharing a count. */
static size_t set_of(const struct fb_arrival *arrival) { return arrival->address % FB_GUESSER_SETS; }

bool fb_bounds_may_guess(struct fb_bounds *bounds, const struct fb_arrival *arrival, int64_t now_s) {
    bool may = true;
    if (arrival->is_local)
        return true;
    fb_lock_acquire(&bounds->lock);
    for (int i = 0; i < FB_GUESSER_WAYS; i++)
        if (bounds->guessers[set_of(arrival)][i].address == arrival->address)
            may &= bounds->guessers[set_of(arrival)][i].failures < FB_ADDRESS_PASSWORDS_MAX ||
                   now_s - bounds->guessers[set_of(arrival)][i].since_s >= FB_ADDRESS_SECONDS;
    fb_lock_release(&bounds->lock);
    return may;
}

void fb_bounds_guessed(struct fb_bounds *bounds, const struct fb_arrival *arrival, int64_t now_s) {
    if (arrival->is_local)
        return;
    fb_lock_acquire(&bounds->lock);
    size_t set = set_of(arrival);
    int at = 0;
    for (int i = 0; i < FB_GUESSER_WAYS; i++) {
        if (bounds->guessers[set][i].address == arrival->address) {
            at = i;
            break;
        }
        if (bounds->guessers[set][i].since_s < bounds->guessers[set][at].since_s)
            at = i;
    }
    if (bounds->guessers[set][at].address != arrival->address ||
        now_s - bounds->guessers[set][at].since_s >= FB_ADDRESS_SECONDS) {
        bounds->guessers[set][at].address = arrival->address;
        bounds->guessers[set][at].since_s = now_s;
        bounds->guessers[set][at].failures = 0;
    }
    bounds->guessers[set][at].failures++;
    fb_lock_release(&bounds->lock);
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

static const char *const reasons[] = {
#define REASON(name, counter, label, reason) reason,
    FB_EXCESSES(REASON)
#undef REASON
};

void fb_session_blame(struct fb_session *s, enum fb_excess excess) {
    struct fb_loop_counters *counters = &s->loop->counters;
    switch (excess) {
#define COUNT(name, counter, label, reason) case FB_EXCESS_##name: fb_count(&counters->counter, 1); break;
        FB_EXCESSES(COUNT)
#undef COUNT
    }
    enum fb_log_event event = excess == FB_EXCESS_HTTP ? FB_LOG_CLIENT_PROTOCOL : FB_LOG_CLIENT_CLOSED;
    fb_server_log(s->loop->server, event, "a connection was closed by the server",
                  FB_LOG_FIELDS({"address", s->address}, {"reason", reasons[excess]}));
}

void fb_session_exceed(struct fb_session *s, enum fb_excess excess) {
    if (!s->is_dead)
        fb_session_blame(s, excess);
    s->is_dead = true;
}

static struct fb_session *biggest(struct fb_loop *loop) {
    struct fb_session *found = NULL;
    for (uint32_t i = 0; i < loop->nslots; i++) {
        struct fb_session *s = loop->slots[i].session;
        if (s != NULL && (found == NULL || s->weight > found->weight))
            found = s;
    }
    return found;
}

/* Too much in all means that at least one loop has more than its share: that one closes its biggest, at the next byte
 * or at the next second. The others keep theirs. */
void fb_bounds_shed(struct fb_loop *loop) {
    struct fb_server *server = loop->server;
    size_t max = FB_LIVE(server, client_memory_max);
    while (atomic_load_explicit(&server->bounds->buffers, memory_order_relaxed) > max &&
           loop->weight > max / server->nloops) {
        struct fb_session *s = biggest(loop);
        if (s == NULL)
            return;
        fb_session_exceed(s, FB_EXCESS_MEMORY);
        fb_session_close(s); /* weighs nothing then */
    }
}

void fb_session_weigh(struct fb_session *s, size_t bytes) {
    size_t more = bytes - s->weight; /* of less: wraps around, as the sums do */
    bool has_grown = bytes > s->weight;
    s->weight = bytes;
    s->loop->weight += more;
    size_t all = atomic_fetch_add_explicit(&s->loop->server->bounds->buffers, more, memory_order_relaxed) + more;
    if (has_grown && all > FB_LIVE(s->loop->server, client_memory_max))
        fb_bounds_shed(s->loop);
}

/* ---- the page --------------------------------------------------------------------------------------------------- */

void fb_bounds_print_reference(FILE *out) {
    static const struct { const char *name; long long value; const char *meaning; } rows[] = {
#define ROW(name, value, meaning) {#name, value, meaning},
        FB_LIMIT_MAP(ROW)
#undef ROW
    };
    fputs("# Limits of connections\n\n"
          "<!-- Printed by `forebay reference limits`. -->\n\n"
          "What cannot be set. What can (`clients_max`, `bulk_max`, `query_buffer_max`, `output_buffer_max`,\n"
          "`client_memory_max`, `idle_timeout`) stands in settings.md; security.md says what the limits are for.\n\n"
          "| limit | value | meaning |\n|---|---|---|\n", out);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        fprintf(out, "| `%s` | %lld | %s |\n", rows[i].name + strlen("FB_"), rows[i].value, rows[i].meaning);
    fputs("\nConnections closed by the server: the label in `forebay_connections_closed_total`, and the reason in the log.\n\n"
          "| label | reason |\n|---|---|\n", out);
#define ROW(name, counter, label, reason) fputs("| `" label "` | " reason " |\n", out);
    FB_EXCESSES(ROW)
#undef ROW
}
