/* forebay serve: from the command line to a running server, and back down again in order.
 *
 * The main thread starts everything, then waits for signals and does nothing else. All signals it waits for are blocked
 * before the first thread begins, so that no other thread gets them. */
#include "cli/cli.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/config_args.h"
#include "cli/live.h"
#include "cli/log.h"
#include "cli/notify.h"
#include "cli/port_user.h"
#include "cli/private_store.h"
#include "server/server.h"

enum { OPT_CHECK = FB_OPT_OWN, OPT_PRINT };

/* ---- the ready line --------------------------------------------------------------------------------------------- */

enum { KEYSPACES_SHOWN = 3 };

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

/* The first of them: the line has to fit a terminal. */
static void list_keyspaces(const struct fb_conf *conf, char *out, size_t size) {
    size_t len = 0, n = conf->nkeyspaces, shown = n > KEYSPACES_SHOWN ? KEYSPACES_SHOWN - 1 : n;
    out[0] = '\0';
    for (size_t i = 0; i < shown && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? "," : "", conf->keyspaces[i].options.pattern);
    if (shown < n && len < size)
        snprintf(out + len, size - len, " and %zu more", n - shown);
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

/* SHUTDOWN: as a signal would, once; a second signal means something else. */
static struct stop_wish {
    _Atomic bool is_asked, is_now;
    bool stays; /* where a journal has failed; constant once the server runs */
} stop_wish;

static void stop(void *user, bool is_now) {
    (void)user;
    if (is_now)
        atomic_store(&stop_wish.is_now, true);
    if (!atomic_exchange(&stop_wish.is_asked, true))
        (void)kill(getpid(), SIGTERM);
}

static void journal_failed(void *user) {
    if (!stop_wish.stays)
        stop(user, /* is_now = */ false);
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

/* Under the lock: a client may ask for a change before the server is known here. */
static int start(struct fb_live *live) {
    const struct fb_conf *conf = live->conf;
    struct fb_server_options options = fb_live_options(conf);
    options.config_get = fb_live_get;
    options.config_set = fb_live_set;
    options.config_user = live;
    options.hooks = (struct fb_server_hooks){
        .reload = fb_live_reload, .check = fb_live_check, .stop = stop, .journal_failed = journal_failed, .user = live,
    };
    stop_wish.stays = conf->on_fsync_error != 0;
    options.log = fb_log_write;
    fb_err err = {0};
    fb_status status = fb_server_start(live->cache, &options, &live->server, &err);
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

enum { STATE_LINES_MAX = 1000 }; /* keyspaces shown by SIGUSR2 */

static void watched(sigset_t *set) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(set, numbers[i]);
}

struct number { char text[24]; };

static struct number number(uint64_t n) {
    struct number out;
    snprintf(out.text, sizeof out.text, "%" PRIu64, n);
    return out;
}

#define TEXT(n) (number(n).text)

static void log_source(const fb_source *source) {
    fb_source_stats s;
    fb_source_stats_get(source, &s);
    fb_log(FB_LOG_SERVE_STATE_SOURCE, fb_source_name(source),
           FB_LOG_FIELDS({"source", fb_source_name(source)}, {"read_trips", TEXT(s.read_trips)},
                         {"write_trips", TEXT(s.write_trips)}, {"errors", TEXT(s.errors)},
                         {"waiting", TEXT(s.waiting)}));
}

/* SIGUSR2: what INFO would say, for when nobody can connect any more. */
static void log_state(fb_cache *cache) {
    fb_stats all;
    fb_stats_get(cache, &all);
    fb_log(FB_LOG_SERVE_STATE, "state, as asked for by SIGUSR2",
           FB_LOG_FIELDS({"memory_used", TEXT(all.memory_used)}, {"memory_max", TEXT(all.memory_max)},
                         {"keys", TEXT(all.keys)}, {"negative_keys", TEXT(all.negative_keys)}));
    const fb_source *last = NULL;
    for (unsigned i = 0; i < fb_keyspace_count(cache) && i < STATE_LINES_MAX; i++) {
        const fb_keyspace_options *options = fb_keyspace_at(cache, i);
        fb_keyspace_stats s;
        if (fb_keyspace_stats_get(cache, i, &s) != FB_OK)
            continue;
        fb_log(FB_LOG_SERVE_STATE_KEYSPACE, options->pattern,
               FB_LOG_FIELDS({"keyspace", options->pattern}, {"keys", TEXT(s.keys)}, {"hits", TEXT(s.hits)},
                             {"misses", TEXT(s.misses)}, {"loads", TEXT(s.loads)},
                             {"load_errors", TEXT(s.load_errors)}));
        if (options->source != last)
            log_source(options->source);
        last = options->source;
    }
}

/* The STATUS line of `systemctl status`, and with it the watchdog's sign of life. */
static void notify_status(fb_cache *cache) {
    fb_stats all;
    uint64_t hits = 0, reads = 0;
    fb_keyspace_stats s;
    fb_stats_get(cache, &all);
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++)
        if (fb_keyspace_stats_get(cache, i, &s) == FB_OK) {
            hits += s.hits + s.negative_hits;
            reads += s.hits + s.negative_hits + s.misses;
        }
    fb_notify("WATCHDOG=1\nSTATUS=%" PRIu64 " keys, %.1f%% of reads answered from the cache", all.keys,
              reads > 0 ? (double)hits * 100.0 / (double)reads : 0.0);
}

static void reload(struct fb_live *live) {
    fb_buf text = FB_BUF_INIT;
    fb_err err = {0};
    fb_notify_reloading();
    fb_status status = fb_live_reload(live, &text, &err); /* which logs what comes of it */
    fb_notify("READY=1\nSTATUS=%s%s", status == FB_OK ? "the configuration was read again" : "reload refused: ",
              status == FB_OK ? "" : err.text);
    fb_buf_free(&text);
}

/* The next signal; 0: time for a sign of life. */
static int next_signal(const sigset_t *set) {
    int64_t ms = fb_notify_interval_ms();
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    int number = ms > 0 ? sigtimedwait(set, NULL, &wait) : sigwaitinfo(set, NULL);
    return number > 0 ? number : 0;
}

/* Until a signal says stop. */
static void wait_for_stop(const sigset_t *set, struct fb_live *live) {
    for (;;) {
        int number = next_signal(set);
        switch (number) {
        case 0: notify_status(live->cache); break;
        case SIGHUP: reload(live); break;
        case SIGUSR1: break; /* log files are reopened; ours is stderr, which has nothing to reopen */
        case SIGUSR2: log_state(live->cache); break;
        default:
            fb_notify("STOPPING=1\nSTATUS=stopping");
            fb_log(FB_LOG_SERVE_STOPPING, "stopping: requests under way are answered; again to stop at once",
                   FB_LOG_FIELDS({"signal", number == SIGTERM ? "TERM" : "INT"}));
            return;
        }
    }
}

/* From now on a second signal ends the process as if nobody had asked for it. */
static void let_signals_kill(void) {
    sigset_t enders;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigemptyset(&enders);
    sigaddset(&enders, SIGTERM);
    sigaddset(&enders, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &enders, NULL);
}

/* `conf` is the live object's from now on. */
/* No core files and no debuggers of others: passwords, keys and rows are in this memory. Not where a sanitizer looks
 * for leaks, which it does as a debugger. */
static void hide_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* Before the cache opens, which may use it. Where no program is installed rows are served all the same. */
static int start_private_store(struct fb_conf *conf, struct fb_private_store **ret_store, fb_err *ret_lacks) {
    fb_err err = {0};
    if (!fb_conf_wants_private_store(conf))
        return FB_EXIT_OK;
    fb_status status = fb_private_store_start(fb_conf_state_dir(conf), conf->store_memory_max, ret_store, &err);
    if (status == FB_OK) {
        conf->store_at = fb_private_store_url(*ret_store);
    } else if (status == FB_NOTFOUND) {
        *ret_lacks = err;
        conf->store_lacks = ret_lacks->text;
        fb_log(FB_LOG_STORE_ABSENT, err.text, FB_LOG_FIELDS({"reason", err.text}));
    } else {
        fprintf(stderr, "forebay: store.url 'auto': %s\n", err.text);
        return status == FB_NOMEM ? FB_EXIT_INTERNAL : FB_EXIT_CANTCREAT;
    }
    return FB_EXIT_OK;
}

/* What the journals of write-behind hold comes first: nobody may read past it. */
static int recover(fb_cache *cache) {
    fb_err err = {0};
    fb_status status = fb_start(cache, &err);
    if (status == FB_OK)
        return FB_EXIT_OK;
    fprintf(stderr, "forebay: %s\n", err.text[0] != '\0' ? err.text : fb_status_text(status));
    return status == FB_SYSTEM || status == FB_BUSY ? FB_EXIT_CANTCREAT : fb_cli_exit_of(status);
}

/* ": " and what the last flush has failed of; or nothing. */
static fb_err why_left(fb_cache *cache) {
    fb_behind_stats stats;
    fb_err why = {0};
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++)
        if (fb_behind_stats_get(fb_keyspace_at(cache, i)->source, &stats) == FB_OK && stats.trouble.text[0] != '\0')
            snprintf(why.text, sizeof why.text, ": %.*s", (int)sizeof why.text - 3, stats.trouble.text);
    return why;
}

/* The last thing that is said where a journal has failed: what to do. */
static bool has_broken_journal(fb_cache *cache) {
    char message[2 * FB_ERR_TEXT_MAX];
    const fb_source *told = NULL;
    fb_behind_stats stats;
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++) {
        const fb_source *source = fb_keyspace_at(cache, i)->source;
        if (source == told || fb_behind_stats_get(source, &stats) != FB_OK || strcmp(stats.state, "broken") != 0)
            continue;
        told = source;
        char left[80] = "everything that was acknowledged is in the database";
        if (stats.pending_writes > 0)
            snprintf(left, sizeof left, "%" PRIu64 " acknowledged writes are in the journal only", stats.pending_writes);
        snprintf(message, sizeof message, "source '%s': %s; %s. Writes answered UNKNOWN may be in it or not. Look at the disk "
                 "(the system's log says what it refused), move server.journal_dir with all its files if it is not well, "
                 "then start Forebay again: a start writes the journal anew before it takes more", fb_source_name(source),
                 stats.trouble.text, left);
        fb_log(FB_LOG_BEHIND_BROKEN, message, FB_LOG_FIELDS({"source", fb_source_name(source)}, {"error", stats.trouble.text}));
    }
    return told != NULL;
}

/* Requests under way are answered, and what is written behind goes to the database. */
static int drain(struct fb_live *live, int64_t ms) {
    char message[160 + FB_ERR_TEXT_MAX];
    uint64_t left = 0;
    fb_instant due = fb_after(fb_clock_now(), fb_ms(ms));
    (void)fb_drain(live->cache, 0, NULL); /* no more from here on */
    fb_server_drain(live->server, ms);
    int64_t rest = fb_span_ms(fb_since(due, fb_clock_now()));
    fb_status status = fb_drain(live->cache, rest > 0 ? rest : 0, &left);
    if (has_broken_journal(live->cache))
        return FB_EXIT_INTERNAL;
    if (status == FB_OK)
        return FB_EXIT_OK;
    snprintf(message, sizeof message, "%" PRIu64 " acknowledged writes are not in the database yet; they are in the journal, "
             "and the next start brings them there%s", left, why_left(live->cache).text);
    fb_log(FB_LOG_BEHIND_LEFT, message, FB_LOG_FIELDS({"writes", TEXT(left)}));
    return FB_EXIT_TEMPFAIL;
}

static int serve(struct fb_conf *conf, const struct fb_conf_args *args) {
    struct fb_live live;
    fb_cache *cache = NULL;
    struct fb_admin *admin = NULL;
    struct fb_private_store *store = NULL;
    fb_err lacks;
    sigset_t set;
    hide_memory();
    fb_live_log(conf);
    watched(&set);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    int status = start_private_store(conf, &store, &lacks);
    if (status == FB_EXIT_OK)
        status = fb_cli_exit_of(fb_conf_apply(conf, &cache));
    fb_cli_print_diagnostics(conf, stderr);
    if (status == FB_EXIT_OK)
        status = recover(cache);
    fb_live_begin(&live, conf, args, cache);
    fb_lock_acquire(&live.lock); /* a client can connect before we are ready, and reload what is read here */
    if (status == FB_EXIT_OK)
        status = start(&live);
    if (status == FB_EXIT_OK)
        status = start_admin(live.conf, live.server, &admin);
    if (status == FB_EXIT_OK)
        say_ready(live.conf, live.server, admin);
    fb_lock_release(&live.lock);
    if (status == FB_EXIT_OK) {
        fb_notify("READY=1\nSTATUS=ready");
        wait_for_stop(&set, &live);
        let_signals_kill();
        status = drain(&live, atomic_load(&stop_wish.is_now) ? 0 : fb_live_drain_ms(&live));
    }
    fb_admin_stop(admin);
    fb_server_stop(live.server, 0);
    if (status == FB_EXIT_OK || status == FB_EXIT_TEMPFAIL)
        fb_log(FB_LOG_SERVE_STOPPED, "stopped", NULL);
    fb_close(cache);
    fb_live_finish(&live);
    fb_private_store_stop(store);
    return status;
}

/* Everything but listening. */
static int check(struct fb_conf *conf) {
    int status = fb_cli_exit_of(fb_live_check_files(conf));
    if (status == FB_EXIT_OK)
        status = fb_cli_exit_of(fb_conf_examine(conf));
    fb_cli_print_diagnostics(conf, stderr);
    return status;
}

/* A reload reads the file that was found at the start, and none where none was. */
static int pin_path(struct fb_conf_args *args, const struct fb_conf *conf, char **ret_path) {
    *ret_path = fb_mem_strdup(conf->path);
    args->path = *ret_path;
    args->is_pinned = true;
    return conf->path != NULL && *ret_path == NULL ? FB_EXIT_INTERNAL : FB_EXIT_OK;
}

static int run(struct fb_cli_args *args) {
    struct fb_config_args config;
    char *path = NULL;
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
    else if (status == FB_EXIT_OK && wish == OPT_CHECK)
        status = check(conf);
    else if (status == FB_EXIT_OK && (status = pin_path(&config.conf, conf, &path)) == FB_EXIT_OK) {
        status = serve(conf, &config.conf);
        conf = NULL;
    }
out:
    fb_conf_free(conf);
    fb_config_args_finish(&config);
    fb_mem_free(path);
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
    "with 0; a second one ends the process at once. SIGHUP reads the configuration again and applies\n"
    "what may change while running, or says what is wrong and changes nothing. SIGUSR2 writes the\n"
    "state of the cache into the log.",
    options,
    true,
    run,
};
