/* forebay serve: from the command line to a running server, and back down again in order.
 *
 * The main thread starts everything, then waits for signals and does nothing else. All signals it waits for are blocked
 * before the first thread begins, so that no other thread gets them. */
#include "cli/cli.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/address.h"
#include "cli/config_args.h"
#include "cli/log.h"
#include "cli/port_user.h"
#include "server/server.h"

enum { OPT_CHECK = FB_OPT_OWN, OPT_PRINT };

/* ---- the ready line --------------------------------------------------------------------------------------------- */

static bool is_tcp(const char *address) { return strncmp(address, "unix:", 5) != 0; }

/* Addresses as they came out: port 0 has become a number. */
static void list_addresses(const struct fb_conf *conf, unsigned port, char *out, size_t size) {
    bool is_first_tcp = true;
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; conf->listen[i] != NULL && len < size; i++) {
        const char *address = conf->listen[i], *separator = i > 0 ? "," : "";
        if (is_tcp(address) && is_first_tcp) {
            int host = (int)(strrchr(address, ':') - address);
            len += (size_t)snprintf(out + len, size - len, "%s%.*s:%u", separator, host, address, port);
            is_first_tcp = false;
        } else {
            len += (size_t)snprintf(out + len, size - len, "%s%s", separator, address);
        }
    }
}

static void list_keyspaces(const struct fb_conf *conf, char *out, size_t size) {
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < conf->nkeyspaces && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? "," : "", conf->keyspaces[i].options.pattern);
}

/* A first command to type. */
static void suggest(const struct fb_conf *conf, unsigned port, char *out, size_t size) {
    char key[256], where[300];
    const struct fb_conf_keyspace *k = &conf->keyspaces[0];
    const char *shape = k->options.as;
    if (!fb_conf_example_key(k, key, sizeof key))
        snprintf(key, sizeof key, "KEY");
    if (port != 0)
        snprintf(where, sizeof where, "-p %u", port);
    else
        snprintf(where, sizeof where, "-s %s", conf->listen[0] + strlen("unix:"));
    snprintf(out, size, "redis-cli %s%s %s %s", where, conf->password != NULL ? " --askpass" : "",
             shape != NULL && strcmp(shape, "hash") == 0 ? "HGETALL" : "GET", key);
}

static void say_ready(const struct fb_conf *conf, const struct fb_server *server, const struct fb_admin *admin) {
    char http[FB_HOST_MAX + 16] = "off", addresses[512], keyspaces[512], try[600], tls[40] = "", message[1750];
    unsigned port = fb_server_port(server);
    if (admin != NULL)
        snprintf(http, sizeof http, "%.*s:%u", (int)(strrchr(conf->admin, ':') - conf->admin), conf->admin,
                 fb_admin_port(admin));
    list_addresses(conf, port, addresses, sizeof addresses);
    list_keyspaces(conf, keyspaces, sizeof keyspaces);
    suggest(conf, port, try, sizeof try);
    if (fb_server_tls_port(server) != 0)
        snprintf(tls, sizeof tls, "; TLS on port %u", fb_server_tls_port(server));
    snprintf(message, sizeof message, "ready on %s%s; try: %s; keyspaces: %s", addresses, tls, try, keyspaces);
    fb_log(FB_LOG_SERVE_READY, message,
           FB_LOG_FIELDS({"admin", http}, {"listen", addresses}, {"keyspaces", keyspaces},
                         {"config", conf->path != NULL ? conf->path : "-"}));
}

/* ---- starting --------------------------------------------------------------------------------------------------- */

static void config_get(void *user, const char *glob, fb_config_emit *emit, void *emit_user) {
    fb_conf_get(user, glob, emit, emit_user);
}

/* SHUTDOWN: as a signal would, once; a second signal means something else. */
static struct stop_wish {
    _Atomic bool is_asked, is_now;
} stop_wish;

static void stop(void *user, bool is_now) {
    (void)user;
    if (is_now)
        atomic_store(&stop_wish.is_now, true);
    if (!atomic_exchange(&stop_wish.is_asked, true))
        (void)kill(getpid(), SIGTERM);
}

/* 'auto': a quarter of what the cache may have, and something sane where that is little. */
static uint64_t client_memory_of(const struct fb_conf *conf) {
    const uint64_t least = UINT64_C(64) << 20, quarter = conf->memory_max / 4;
    return conf->client_memory_max > 0 ? conf->client_memory_max : quarter > least ? quarter : least;
}

static struct fb_server_live live_of(const struct fb_conf *conf) {
    return (struct fb_server_live){
        .clients_max = conf->clients_max,
        .bulk_max = conf->bulk_max,
        .query_buffer_max = conf->query_buffer_max,
        .output_buffer_max = conf->output_buffer_max,
        .client_memory_max = client_memory_of(conf),
        .idle_timeout_ms = conf->idle_timeout_ms,
        .tracking_table_max_keys = conf->tracking_table_max_keys,
        .notify_events = conf->notify_events,
        .latency_tracking = true,
        .slowlog_slower_than_us = 10000,
        .slowlog_max_len = 128,
    };
}

/* An address in use is the most common fault of a start: say by whom. */
static void explain(const struct fb_conf *conf, const fb_err *err) {
    char user[128];
    fprintf(stderr, "forebay: %s\n", err->text);
    if (strstr(err->text, "in use") == NULL)
        return;
    for (size_t i = 0; conf->listen[i] != NULL; i++) {
        const char *address = conf->listen[i];
        unsigned port = is_tcp(address) ? (unsigned)strtoul(strrchr(address, ':') + 1, NULL, 10) : 0;
        if (port != 0 && strstr(err->text, address) != NULL && fb_port_user(port, user, sizeof user))
            fprintf(stderr, "port %u is taken by %s\n", port, user);
    }
    fprintf(stderr, "help: stop it, or choose another port with --port N (0: any free one)\n");
}

static int start(struct fb_conf *conf, fb_cache *cache, struct fb_server **ret_server) {
    struct fb_server_options options = {
        .listen = (const char *const *)conf->listen,
        .threads = conf->threads,
        .password = conf->password,
        .users_file = conf->users_file,
        .tls = {.listen = (const char *const *)conf->tls_listen, .cert = conf->tls_cert, .key = conf->tls_key,
                .ca = conf->tls_ca, .clients = (enum fb_tls_clients)conf->tls_clients, .needs_1_3 = conf->tls_min == 1},
        .unix_mode = conf->unix_mode != NULL ? (unsigned)strtoul(conf->unix_mode, NULL, 8) : 0,
        .live = live_of(conf),
        .is_protected = conf->is_protected,
        .config_file = conf->path,
        .config_get = config_get,
        .config_user = conf,
        .hooks = {.stop = stop},
        .log = fb_log_write,
    };
    fb_err err = {0};
    fb_status status = fb_server_start(cache, &options, ret_server, &err);
    if (conf->password != NULL) /* the server has its hash; nobody needs it any more */
        explicit_bzero(conf->password, strlen(conf->password));
    if (status == FB_OK)
        return FB_EXIT_OK;
    explain(conf, &err);
    return status == FB_NOMEM ? FB_EXIT_INTERNAL : status == FB_INVALID || status == FB_CONFIG ? FB_EXIT_CONFIG
                                                                                              : FB_EXIT_CANTCREAT;
}

/* Where it was asked for it must work. The default's port may be another Forebay's: then this one goes without. */
static int start_admin(const struct fb_conf *conf, struct fb_server *server, struct fb_admin **ret_admin) {
    struct fb_admin_options options = {.address = conf->admin, .is_protected = conf->is_protected};
    fb_err err = {0};
    if (conf->admin == NULL || fb_admin_start(server, &options, ret_admin, &err) == FB_OK)
        return FB_EXIT_OK;
    if (!fb_conf_is_given(conf, "admin")) {
        fb_log(FB_LOG_ADMIN_ABSENT, "no metrics and health over HTTP: server.admin gives another address, or 'off'",
               FB_LOG_FIELDS({"listen", conf->admin}, {"error", err.text}));
        return FB_EXIT_OK;
    }
    fprintf(stderr, "forebay: %s\nhelp: give another address with --admin HOST:PORT (port 0: any free one), or 'off'\n",
            err.text);
    return FB_EXIT_CANTCREAT;
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static void watched(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

/* Until a signal says stop. */
static void wait_for_stop(const sigset_t *set) {
    for (int signal_number;;) {
        if (sigwait(set, &signal_number) != 0)
            continue;
        if (signal_number != SIGHUP) {
            fb_log(FB_LOG_SERVE_STOPPING, "stopping: requests under way are answered; again to stop at once",
                   FB_LOG_FIELDS({"signal", signal_number == SIGTERM ? "TERM" : "INT"}));
            return;
        }
        fb_log(FB_LOG_CONFIG_RELOAD_REJECTED,
               "SIGHUP: this version reads its configuration at the start only; restart it to apply changes", NULL);
    }
}

/* From now on a second signal ends the process as if nobody had asked for it. */
static void let_signals_kill(const sigset_t *set) {
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigset_t unblocked = *set;
    sigdelset(&unblocked, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &unblocked, NULL);
}

static int serve(struct fb_conf *conf) {
    fb_cache *cache = NULL;
    struct fb_server *server = NULL;
    struct fb_admin *admin = NULL;
    sigset_t set;
    fb_log_change((enum fb_log_format)conf->log_format, (enum fb_log_level)(FB_LEVEL_DEBUG - (int)conf->log_level));
    watched(&set);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    int status = fb_cli_exit_of(fb_conf_apply(conf, &cache));
    fb_cli_print_diagnostics(conf, stderr);
    if (status == FB_EXIT_OK)
        status = start(conf, cache, &server);
    if (status == FB_EXIT_OK)
        status = start_admin(conf, server, &admin);
    if (status == FB_EXIT_OK) {
        say_ready(conf, server, admin);
        wait_for_stop(&set);
        let_signals_kill(&set);
        fb_server_drain(server, atomic_load(&stop_wish.is_now) ? 0 : conf->drain_timeout_ms);
    }
    fb_admin_stop(admin);
    fb_server_stop(server, 0);
    if (status == FB_EXIT_OK)
        fb_log(FB_LOG_SERVE_STOPPED, "stopped", NULL);
    fb_close(cache);
    return status;
}

/* Everything but listening. */
static int check(struct fb_conf *conf) {
    fb_cache *cache = NULL;
    int status = fb_cli_exit_of(fb_conf_apply(conf, &cache));
    fb_close(cache);
    fb_cli_print_diagnostics(conf, stderr);
    return status;
}

static int run(struct fb_cli_args *args) {
    struct fb_config_args config;
    struct fb_conf *conf = NULL;
    const char *value;
    int wish = -1;
    int status = fb_config_args_begin(&config, args);
    for (int opt; status == FB_EXIT_OK && (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        if (opt == OPT_CHECK || opt == OPT_PRINT)
            wish = opt;
        else
            status = fb_config_args_take(&config, args, opt, value);
    if (status != FB_EXIT_OK)
        goto out;
    fb_log_open();
    status = fb_config_args_load(&config, &conf);
    if (status != FB_EXIT_OK && conf != NULL)
        fb_cli_print_diagnostics(conf, stderr);
    else if (status == FB_EXIT_OK && wish == OPT_PRINT)
        fb_conf_print(conf, stdout, false);
    else if (status == FB_EXIT_OK)
        status = wish == OPT_CHECK ? check(conf) : serve(conf);
out:
    fb_conf_free(conf);
    fb_config_args_finish(&config);
    return status;
}

static const struct fb_cli_option options[] = {
    FB_CONFIG_OPTIONS,
    {"check", 0, NULL, "stop after checking, as 'forebay check' does", OPT_CHECK},
    {"print-config", 0, NULL, "print the configuration in force and stop", OPT_PRINT},
    {0},
};

const struct fb_cli_command fb_cli_serve = {
    "serve",
    "[-c FILE] [OPTION…]",
    "serve a database to Redis clients, cached",
    "Reads the configuration, opens the databases, listens, and says so in one line. Flags alone\n"
    "are enough for the first minute:\n\n"
    "  forebay serve --source sqlite:shop.db --map 'user:{id:int}=users'\n\n"
    "SIGTERM and SIGINT stop accepting, answer what is under way (at most drain_timeout) and exit\n"
    "with 0; a second one ends the process at once.",
    options,
    true,
    run,
};
