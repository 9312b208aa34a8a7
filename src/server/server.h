/* The Redis face: listeners, event loops, sessions. Uses the public API of the cache and nothing below it.
 *
 * One acceptor hands connections to the loops in turn (no SO_REUSEPORT: a second daemon would bind silently). A hit is
 * answered inside the loop; everything else comes back to that loop; replies keep the connection's order. Reads of one
 * connection may be under way together; a write waits for everything before it and holds up what follows. */
#ifndef FB_SERVER_SERVER_H
#define FB_SERVER_SERVER_H

#include <stdbool.h>
#include <stdio.h>

#include <forebay/forebay.h>

#include "base/log.h"

struct fb_server;

/* Called by CONFIG GET for every setting whose name or Redis alias matches the glob. */
typedef void fb_config_emit(void *user, const char *name, const char *value);

/* Settings that may change while the server runs. X(type, name, meaning); 0 is the default where a number cannot be 0. */
#define FB_SERVER_LIVE(X)                                                                                              \
    X(unsigned, clients_max, "connections at a time; 10000")                                                          \
    X(uint64_t, bulk_max, "longest bulk string; 8 MiB")                                                               \
    X(uint64_t, query_buffer_max, "bytes read ahead per connection; 16 MiB")                                          \
    X(uint64_t, output_buffer_max, "bytes unsent per connection before it is closed; 64 MiB")                          \
    X(uint64_t, client_memory_max, "bytes of all connections' buffers together; 64 MiB")                               \
    X(int64_t, idle_timeout_ms, "silence after which a connection is closed; 0: never")                                \
    X(bool, latency_tracking, "spread the times of commands in histograms")                                            \
    X(int64_t, slowlog_slower_than_us, "what takes at least so long enters the slow log; negative: nothing does")      \
    X(unsigned, slowlog_max_len, "entries kept there")                                                                 \
    X(int64_t, latency_monitor_ms, "what takes at least so long is sampled by the latency monitor; 0: nothing")        \
    X(bool, monitor_values, "show values in the slow log and to MONITOR, not only keys")                       \
    X(uint64_t, tracking_table_max_keys, "keys remembered for tracking clients; 1000000")                              \
    X(unsigned, notify_events, "classes of keyspace notifications (tbl/notifications.h); 0: none")

struct fb_server_live {
#define FB_LIVE_(type, name, meaning) type name;
    FB_SERVER_LIVE(FB_LIVE_)
#undef FB_LIVE_
};

/* What a client may ask of the program around the server: SHUTDOWN, FB.RELOAD, FB.CHECK. Each may be NULL: the command
 * then says that this server has no such thing. `reload` and `check` run on a thread of their own, one request at a time
 * per connection, and may take their time; they append lines for people to *ret_text (what changed, what is wrong) and
 * say in the status whether it is well: FB_OK, or an error whose sentence is the reply. `stop` is called on a loop's
 * thread and must not block: it asks for what SIGTERM does (is_now: without waiting for requests under way). */
struct fb_server_hooks {
    fb_status (*reload)(void *user, fb_buf *ret_text, fb_err *reterr);
    fb_status (*check)(void *user, fb_buf *ret_text, fb_err *reterr);
    void (*stop)(void *user, bool is_now);
    void (*journal_failed)(void *user); /* once for each source; on a thread that must not block */
    void *user;
};

/* TLS for clients. */
enum fb_tls_clients { FB_TLS_CLIENTS_OFF, FB_TLS_CLIENTS_OPTIONAL, FB_TLS_CLIENTS_REQUIRED };
struct fb_server_tls {
    const char *const *listen;   /* as below; NULL: none */
    const char *cert, *key;      /* PEM files: the chain, and its key, which only its owner may read */
    const char *ca;              /* who signs clients' certificates; NULL: none */
    enum fb_tls_clients clients; /* must clients show a certificate? */
    bool needs_1_3;              /* else 1.2 */
};

/* Where what is not mapped goes (docs/pass-through.md). */
struct fb_server_store {
    const char *url;             /* redis://… or unix://…; NULL: nowhere */
    const char *lacks;           /* there should be one, and why there is none; NULL: it is as `url` says */
    const char *password;        /* goes before one in the URL; NULL: none */
    const char *sentinel_password; /* the same, of the Sentinels */
    const char *tls_ca;          /* of rediss://; NULL: those of the system */
    int64_t connect_timeout_ms, timeout_ms; /* 0: 1 s, 5 s */
};

/* How requests of keys that another Forebay owns (write-behind) reach it: at the address it gave (docs/write-behind.md). */
struct fb_server_forward {
    bool is_on;                  /* else they are refused with its address */
    const char *user, *password; /* there; NULL: none */
    const char *tls_ca;          /* of an owner that is reached with TLS; NULL: the authorities of the system */
    int64_t timeout_ms;          /* 0: 5 s */
};

struct fb_server_options {
    const char *const *listen;   /* "localhost:6380", "[::1]:6380", "unix:/path"; NULL ends. Port 0: any free one */
    unsigned threads;            /* event loops; 0 = number of cores */
    const char *password;        /* NULL: none asked */
    struct fb_server_live live;  /* as it is at the start */
    const char *users_file;      /* in the words of Redis' ACL files; NULL: none */
    struct fb_server_tls tls;
    struct fb_server_store store;
    struct fb_server_forward forward;
    unsigned unix_mode;          /* of unix sockets; 0: 0700 */
    bool is_protected;           /* refuse a non-loopback listener without a password */
    const char *config_file;     /* for INFO; NULL: none */
    void (*config_get)(void *user, const char *glob, fb_config_emit *emit, void *emit_user); /* may be NULL */
    /* CONFIG SET: all of it or nothing; may be NULL. FB_NOTFOUND: no setting is called pairs[*ret_which].name.
     * FB_INVALID: why it cannot be set. Any thread. */
    fb_status (*config_set)(void *user, const fb_field *pairs, size_t n, size_t *ret_which, fb_err *reterr);
    void *config_user;
    struct fb_server_hooks hooks;
    fb_log_sink *log;            /* what is worth a line (tbl/events.h); may be NULL */
    void *log_user;
};

/* Listen and serve on threads of its own. FB_SYSTEM (address in use, …) says which address and what to do. */
fb_status fb_server_start(fb_cache *cache, const struct fb_server_options *options, struct fb_server **ret_server,
                          fb_err *reterr);
/* New values for all live settings; they count for every connection from its next request on. Any thread. */
void fb_server_change(struct fb_server *server, const struct fb_server_live *live);
/* Read the users file again: all of it counts, or nothing. Connections of users that are no longer there, or switched
 * off, are closed; others go on under the new rules. Any thread. FB_INVALID: there is no file. */
fb_status fb_server_reload_users(struct fb_server *server, fb_err *reterr);
/* Another password for the user default (NULL: none), asked of those who connect from now on. Any thread. */
fb_status fb_server_set_password(struct fb_server *server, const char *password, fb_err *reterr);
/* The port of the first listener with TLS; 0 when there is none. */
unsigned fb_server_tls_port(const struct fb_server *server);
/* Read certificate, key and authority again, for connections from now on. Any thread. FB_INVALID: there is no TLS. */
fb_status fb_server_reload_tls(struct fb_server *server, fb_err *reterr);
/* Everything that can be wrong with the files that the options name, without starting: each fault with its file and
 * line (0: of the file as a whole). Returns how many. */
typedef void fb_server_complain(void *user, const char *setting, const char *path, unsigned line, const char *text);
unsigned fb_server_check(const struct fb_server_options *options, fb_server_complain *complain, void *user);
/* The port of the first TCP listener; 0 when there is none. */
unsigned fb_server_port(const struct fb_server *server);
/* What the admin listener shows; any thread, until fb_server_stop. All figures, as Prometheus' text or as OpenMetrics: */
fb_status fb_server_print_metrics(struct fb_server *server, bool is_openmetrics, fb_buf *out);
/* whether new requests should be sent here: not while draining, nor while a source cannot be reached (which is asked, at
 * most once a second). Appends a line per check to *ret_text: "[+]source/shop ok". */
bool fb_server_is_ready(struct fb_server *server, fb_buf *ret_text);
/* How the last reload of the configuration went. */
void fb_server_note_reload(struct fb_server *server, bool is_good);

/* The first part of stopping, so that figures can be read while requests under way are finished: from now on the server
 * is not ready; it stops accepting, waits for requests under way up to drain_ms, and closes all connections. */
void fb_server_drain(struct fb_server *server, int64_t drain_ms);
/* Stop accepting, let requests under way finish for up to drain_ms, close all connections, join all threads, free.
 * NULL accepted. The cache is the caller's. */
void fb_server_stop(struct fb_server *server, int64_t drain_ms);

/* The reference pages of all commands, of all figures, and of the limits (Markdown). */
void fb_bounds_print_reference(FILE *out);
void fb_errors_print_reference(FILE *out);
void fb_commands_print_reference(FILE *out);
void fb_metrics_print_reference(FILE *out);

#endif
