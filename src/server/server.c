/* Starting and stopping the Redis face. */
#include "server/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "server/health.h"
#include "server/measure.h"
#include "server/slowlog.h"
#include "server/commands.h"
#include "server/loop.h"
#include "server/notify.h"
#include "server/push.h"
#include "server/tracking.h"
#include "server/bounds.h"
#include "server/forward.h"
#include "server/gates.h"
#include "server/tls.h"
#include "server/upstream.h"
#include "server/users.h"

enum {
    CLIENTS_DEFAULT = 10000,
    TRACKED_DEFAULT = 1000000,
    CONNECT_TIMEOUT_MS = 1000, STORE_TIMEOUT_MS = 5000,
    DESCRIPTORS_OTHER = 1024, /* loops, listeners, databases, files */
};
static const uint64_t bulk_default = 8 << 20, query_default = 16 << 20, output_default = 64 << 20,
                      client_memory_default = 64 << 20;

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void free_list(const char *const *list) {
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        fb_mem_free((char *)list[i]);
    fb_mem_free((void *)list);
}

static bool copy_list(const char *const **to, const char *const *from) {
    size_t n = 0;
    while (from != NULL && from[n] != NULL)
        n++;
    char **list = fb_mem_calloc(n + 1, sizeof *list);
    *to = (const char *const *)list;
    for (size_t i = 0; list != NULL && i < n; i++)
        if ((list[i] = fb_mem_strdup(from[i])) == NULL)
            return false;
    return list != NULL;
}

static bool copy_text(const char **to, const char *from) {
    *to = fb_mem_strdup(from);
    return (*to != NULL) == (from != NULL);
}

static void free_options(struct fb_server_options *options) {
    free_list(options->listen);
    free_list(options->tls.listen);
    fb_mem_free((char *)options->tls.cert);
    fb_mem_free((char *)options->tls.key);
    fb_mem_free((char *)options->tls.ca);
    fb_mem_free((char *)options->users_file);
    fb_mem_free((char *)options->store.url);
    fb_mem_free((char *)options->config_file);
}

/* Own copies of all strings; what has been copied is freed by free_options in any case. */
static bool copy_options(struct fb_server_options *to, const struct fb_server_options *from) {
    *to = *from;
    to->store.tls_ca = NULL; /* read once */
    to->forward = (struct fb_server_forward){.is_on = from->forward.is_on};
    to->password = to->store.password = NULL; /* its hash is with the users; the other is with the store */
    bool ok = copy_text(&to->users_file, from->users_file);
    ok &= copy_text(&to->store.url, from->store.url);
    ok &= copy_text(&to->config_file, from->config_file);
    ok &= copy_text(&to->tls.cert, from->tls.cert);
    ok &= copy_text(&to->tls.key, from->tls.key);
    ok &= copy_text(&to->tls.ca, from->tls.ca);
    ok &= copy_list(&to->listen, from->listen);
    return copy_list(&to->tls.listen, from->tls.listen) && ok;
}

static bool has_tls(const struct fb_server_options *options) {
    return options->tls.listen != NULL && options->tls.listen[0] != NULL;
}

static fb_status check_options(const struct fb_server_options *options, fb_err *reterr) {
    if ((options->listen == NULL || options->listen[0] == NULL) && !has_tls(options))
        return fb_fail(reterr, FB_INVALID, "no address to listen on");
    if (options->password != NULL && options->password[0] == '\0')
        return fb_fail(reterr, FB_CONFIG, "the password is empty: remove server.password to ask for none");
    if (options->threads > FB_THREADS_MAX)
        return fb_fail(reterr, FB_INVALID, "%u threads: at most %d", options->threads, FB_THREADS_MAX);
    return FB_OK;
}

static void set_defaults(struct fb_server *server) {
    struct fb_server_options *o = &server->options;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    o->threads = o->threads > 0 ? o->threads : cores > 0 && cores <= FB_THREADS_MAX ? (unsigned)cores : 1;
    server->operations_max = FB_OPERATIONS_MAX / o->threads;
    server->limits_of_strangers =
        (struct fb_resp_limits){FB_STRANGER_ARGS_MAX, FB_STRANGER_BULK_MAX, FB_STRANGER_INLINE_MAX, false};
    fb_server_change(server, &o->live);
}

void fb_server_change(struct fb_server *server, const struct fb_server_live *live) {
    struct fb_server_live l = *live;
    l.clients_max = l.clients_max > 0 ? l.clients_max : CLIENTS_DEFAULT;
    l.bulk_max = l.bulk_max > 0 ? l.bulk_max : bulk_default;
    l.query_buffer_max = l.query_buffer_max > 0 ? l.query_buffer_max : query_default;
    l.tracking_table_max_keys = l.tracking_table_max_keys > 0 ? l.tracking_table_max_keys : TRACKED_DEFAULT;
    l.client_memory_max = l.client_memory_max > 0 ? l.client_memory_max : client_memory_default;
    l.output_buffer_max = l.output_buffer_max > 0 ? l.output_buffer_max : output_default;
#define SET(type, name, meaning) atomic_store_explicit(&server->live.name, l.name, memory_order_relaxed);
    FB_SERVER_LIVE(SET)
#undef SET
    fb_measure_adopt(server);
    fb_watch_adopt(server);
}

struct fb_resp_limits fb_server_limits(const struct fb_server *server, bool is_authenticated) {
    if (!is_authenticated)
        return server->limits_of_strangers;
    return (struct fb_resp_limits){FB_ARGS_MAX, (size_t)FB_LIVE(server, bulk_max), FB_INLINE_MAX, true};
}

/* A descriptor per client and some for everything else; as far as the system lets us. What is missing then is felt by
 * the acceptor, which waits for one to become free. */
static void raise_descriptors(const struct fb_server *server) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)FB_LIVE(server, clients_max) + DESCRIPTORS_OTHER;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- totals ----------------------------------------------------------------------------------------------------- */

void fb_server_totals(struct fb_server *server, struct fb_totals *ret_totals) {
    struct fb_totals totals = {.rejected = atomic_load(&server->rejected)};
    fb_keyspace_stats stats;
    for (unsigned i = 0; i < server->nloops; i++) {
#define ADD(name) totals.name += atomic_load_explicit(&server->loops[i].counters.name, memory_order_relaxed);
        FB_LOOP_COUNTERS(ADD)
#undef ADD
    }
    for (unsigned i = 0; i < fb_keyspace_count(server->cache); i++) {
        if (fb_keyspace_stats_get(server->cache, i, &stats) != FB_OK)
            continue;
        totals.hits += stats.hits + stats.negative_hits;
        totals.misses += stats.misses;
        totals.expired += stats.expired;
        totals.evicted += stats.evicted;
    }
    *ret_totals = totals;
}

/* The oldest second kept is the beginning, or the start of the server. */
double fb_server_hit_ratio(const struct fb_server *server) {
    bool is_young = server->seconds < FB_RATIO_SECONDS;
    uint64_t hits = server->last.hits - (is_young ? 0 : server->reads[server->seconds % FB_RATIO_SECONDS].hits);
    uint64_t misses = server->last.misses - (is_young ? 0 : server->reads[server->seconds % FB_RATIO_SECONDS].misses);
    return hits + misses > 0 ? (double)hits / (double)(hits + misses) : 0;
}

void fb_server_note_reload(struct fb_server *server, bool is_good) { atomic_store(&server->has_bad_reload, !is_good); }

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static void make_run_id(char out[FB_RUN_ID_LEN + 1]) {
    unsigned char random[FB_RUN_ID_LEN / 2];
    fb_rng_system(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(out + 2 * i, 3, "%02x", random[i]);
}

static void free_store(struct fb_store *store) {
    if (store == NULL)
        return;
    fb_tls_context_unref(store->tls);
    explicit_bzero(store, sizeof *store); /* there is a password in it */
    fb_mem_free(store);
}

static void free_server(struct fb_server *server) {
    fb_watch_end(server);
    fb_listeners_close(server);
    fb_tracking_free(server->tracking);
    fb_pubsub_free(server->pubsub);
    fb_measure_free(server);
    for (unsigned i = 0; i < server->nloops; i++)
        fb_upstreams_free(&server->loops[i]);
    fb_mem_free(server->loops);
    fb_slowlog_free(server);
    fb_users_close(server->users);
    fb_mem_free(server->users);
    fb_bounds_free(server->bounds);
    fb_tls_context_unref(server->tls);
    fb_health_free(server);
    free_store(server->store);
    free_store(server->peers);
    free_options(&server->options);
    fb_lock_finish(&server->watch_lock);
    fb_lock_finish(&server->lock);
    fb_mem_free(server);
}

/* It need not be there yet. */
static fb_status open_store(struct fb_server *server, const struct fb_server_store *options, fb_err *reterr) {
    if (options->url == NULL && options->lacks == NULL)
        return FB_OK;
    struct fb_store *store = server->store = fb_mem_calloc(1, sizeof *server->store);
    if (store == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for the store");
    if (options->url == NULL) {
        snprintf(store->shown, sizeof store->shown, "auto");
        snprintf(store->lacks, sizeof store->lacks, "%s", options->lacks);
        atomic_fetch_or(&server->gates, FB_GATE_STORE);
        return FB_OK;
    }
    fb_status status = fb_store_url_parse(options->url, &store->url, reterr);
    if (status != FB_OK)
        return status;
    if (options->password != NULL)
        snprintf(store->url.password, sizeof store->url.password, "%s", options->password);
    if (options->sentinel_password != NULL)
        snprintf(store->url.sentinel_password, sizeof store->url.sentinel_password, "%s", options->sentinel_password);
    (void)fb_store_url_print(&store->url, store->shown);
    store->connect_timeout_ms = options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    store->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : STORE_TIMEOUT_MS;
    atomic_fetch_or(&server->gates, FB_GATE_STORE);
    return store->url.is_tls ? fb_tls_context_client(options->tls_ca, &store->tls, reterr) : FB_OK;
}

static fb_status start_loops(struct fb_server *server, fb_err *reterr) {
    unsigned n = server->options.threads;
    server->loops = fb_mem_calloc(n, sizeof *server->loops);
    if (server->loops == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for %u event loops", n);
    /* Before the first starts: its clock reads the counters of all. */
    server->nloops = n;
    for (unsigned i = 0; i < n; i++) {
        fb_status status = fb_loop_start(&server->loops[i], server, i, reterr);
        if (status == FB_OK)
            continue;
        while (i-- > 0) {
            fb_loop_stop(&server->loops[i], 0);
            fb_loop_join(&server->loops[i]);
            fb_loop_finish(&server->loops[i]);
        }
        return status;
    }
    return FB_OK;
}

static void stop_loops(struct fb_server *server, int64_t drain_ms) {
    for (unsigned i = 0; i < server->nloops; i++)
        fb_loop_stop(&server->loops[i], drain_ms);
    for (unsigned i = 0; i < server->nloops; i++)
        fb_loop_join(&server->loops[i]);
    for (unsigned i = 0; i < server->nloops; i++)
        fb_loop_finish(&server->loops[i]);
}

fb_status fb_server_start(fb_cache *cache, const struct fb_server_options *options, struct fb_server **ret_server,
                          fb_err *reterr) {
    fb_status status = check_options(options, reterr);
    if (status != FB_OK)
        return status;
    struct fb_server *server = fb_mem_calloc(1, sizeof *server);
    if (server == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for a server");
    server->cache = cache;
    server->started = fb_clock_now();
    server->started_wall_us = fb_clock_wall_us();
    fb_lock_init(&server->lock, FB_LOCK_LOOP);
    make_run_id(server->run_id);
    fb_commands_prepare();
    fb_lock_init(&server->watch_lock, FB_LOCK_WATCH);
    server->pushed_max = FB_PUSHED_MAX;
    server->pubsub = fb_pubsub_new();
    server->tracking = fb_tracking_new();
    server->users = fb_mem_calloc(1, sizeof *server->users);
    server->bounds = fb_bounds_new();
    if (!copy_options(&server->options, options) || server->users == NULL || server->bounds == NULL || server->pubsub == NULL ||
        server->tracking == NULL || fb_slowlog_init(server) != FB_OK || fb_health_init(server) != FB_OK) {
        free_server(server);
        return fb_fail(reterr, FB_NOMEM, "no memory for the options");
    }
    set_defaults(server);
    raise_descriptors(server);
    if ((status = fb_users_open(server->users, options->users_file, options->password, reterr)) != FB_OK ||
        (has_tls(options) && (status = fb_tls_context_new(&server->options.tls, &server->tls, reterr)) != FB_OK) ||
        (status = open_store(server, &options->store, reterr)) != FB_OK ||
        (status = fb_forward_open(server, &options->forward, reterr)) != FB_OK ||
        (status = fb_listeners_open(server, reterr)) != FB_OK ||
        (status = start_loops(server, reterr)) != FB_OK) {
        free_server(server);
        return status;
    }
    if ((status = fb_acceptor_start(server, reterr)) != FB_OK) {
        stop_loops(server, 0);
        free_server(server);
        return status;
    }
    *ret_server = server;
    return FB_OK;
}

fb_status fb_server_reload_users(struct fb_server *server, fb_err *reterr) {
    /* The messages first, so that nothing can fail once the new set is there. */
    struct fb_message **messages = fb_mem_calloc(server->nloops, sizeof *messages);
    unsigned n = 0;
    while (messages != NULL && n < server->nloops && (messages[n] = fb_mem_calloc(1, sizeof **messages)) != NULL)
        messages[n++]->kind = FB_MESSAGE_USERS;
    fb_status status = n < server->nloops ? fb_fail(reterr, FB_NOMEM, "no memory to tell the event loops")
                                          : fb_users_reload(server->users, reterr);
    for (unsigned i = 0; i < n; i++)
        if (status != FB_OK || !fb_inbox_post(server->loops[i].inbox, messages[i]))
            fb_mem_free(messages[i]);
    fb_mem_free(messages);
    return status;
}

fb_status fb_server_reload_tls(struct fb_server *server, fb_err *reterr) {
    struct fb_tls_context *context;
    if (server->tls == NULL)
        return fb_fail(reterr, FB_INVALID, "this server does not listen with TLS");
    fb_status status = fb_tls_context_new(&server->options.tls, &context, reterr);
    if (status != FB_OK)
        return status;
    fb_lock_acquire(&server->lock);
    struct fb_tls_context *old = server->tls;
    server->tls = context;
    fb_lock_release(&server->lock);
    fb_tls_context_unref(old); /* connections made with it keep it */
    return FB_OK;
}

fb_status fb_server_set_password(struct fb_server *server, const char *password, fb_err *reterr) {
    if (password != NULL && password[0] == '\0')
        password = NULL; /* as CONFIG SET requirepass "" */
    return fb_users_set_password(server->users, password, reterr);
}

static unsigned port_of(const struct fb_server *server, bool is_tls) {
    for (unsigned i = 0; i < server->nlisteners; i++)
        if (server->listeners[i].port != 0 && server->listeners[i].is_tls == is_tls)
            return server->listeners[i].port;
    return 0;
}

unsigned fb_server_port(const struct fb_server *server) { return port_of(server, false); }
unsigned fb_server_tls_port(const struct fb_server *server) { return port_of(server, true); }

void fb_server_drain(struct fb_server *server, int64_t drain_ms) {
    if (atomic_exchange(&server->is_draining, true))
        return;
    fb_acceptor_stop(server);
    stop_loops(server, drain_ms);
}

void fb_server_stop(struct fb_server *server, int64_t drain_ms) {
    if (server == NULL)
        return;
    fb_server_drain(server, drain_ms);
    free_server(server);
}
