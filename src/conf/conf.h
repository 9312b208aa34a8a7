/* The configuration: one YAML file, one table of settings.
 *
 * Every setting is a row of tbl/settings.h (scope, name, type, default, range, unit, live or restart, Redis alias, one
 * line, one paragraph). The parser, the defaults, `forebay check`, `--print-config`, CONFIG GET and the reference page
 * come from it. Scalars are taken as text and typed by the table; YAML's own guesses play no part.
 *
 * All errors are collected, each as
 *     file:line:col: error[code]: what is wrong
 *         | the source line
 *         |     ^
 *     help: what to do
 * Order of precedence: flag > environment (FOREBAY_…) > file > default; each value remembers its origin. */
#ifndef FB_CONF_CONF_H
#define FB_CONF_CONF_H

#include <stdbool.h>
#include <stdio.h>

#include <forebay/forebay.h>

#include "conf/nearest.h"

struct fb_conf_source {
    char *name, *url;            /* the URL as it was given */
    char *password;
    char *open_url;              /* the URL with the password put in; never print it */
    fb_source_options options;
    int line, col;
};

struct fb_conf_class {
    char *name;
    int64_t ttl_ms;
    double jitter;
};

struct fb_conf_keyspace {
    fb_keyspace_options options; /* strings owned by the conf; options.source is set by fb_conf_apply */
    char *source_name, *class_name;
    unsigned db;
    int line, col;
    unsigned index;              /* in the cache that fb_conf_apply opened */
    char *bound_pattern;         /* as that cache has it, types filled in; NULL before */
};

/* As the words of server.log_level stand in the table. */
enum fb_conf_log_level { FB_CONF_DEBUG, FB_CONF_INFO, FB_CONF_NOTICE, FB_CONF_WARNING, FB_CONF_ERROR };

enum fb_conf_unmapped { FB_UNMAPPED_AUTO, FB_UNMAPPED_ERROR, FB_UNMAPPED_PASS };

struct fb_conf {
    char *path;                  /* NULL: no file */
    char **listen;               /* NULL-terminated */
    char *admin, *state_dir, *password; /* NULL: off, auto, none */
    char *journal_dir, *journal_address; /* NULL: auto */
    struct {
        bool is_on;
        char *user, *password, *tls_ca; /* NULL: none; server.password; the system's */
        int64_t timeout_ms;
    } forward;
    unsigned journal_sync;       /* 0: always, 1: everysec */
    unsigned on_fsync_error;     /* 0: exit, 1: refuse */
    fb_behind_options behind;    /* the limits; the rest is set where the cache is opened */
    char *users_file;            /* NULL: off */
    char **tls_listen, *tls_cert, *tls_key, *tls_ca; /* NULL: off, none */
    unsigned tls_clients, tls_min; /* positions in their choices */
    char *unix_mode;
    int64_t idle_timeout_ms;     /* 0: off */
    uint64_t client_memory_max;  /* 0: auto */
    unsigned threads, clients_max;      /* threads 0: one per processor */
    uint64_t memory_max, bulk_max, query_buffer_max, output_buffer_max, tracking_table_max_keys;
    unsigned notify_events;             /* enum fb_notify_class */
    int64_t drain_timeout_ms, slowlog_slower_than_us, latency_monitor_ms;
    unsigned slowlog_max_len;
    bool latency_tracking, monitor_values;
    enum fb_conf_unmapped unmapped;
    bool is_protected;
    unsigned log_format;         /* enum fb_log_format */
    enum fb_conf_log_level log_level;
    fb_eviction eviction;
    char *store_url, *store_password, *store_sentinel_password, *store_tls_ca; /* NULL: no store; none beside the URL; the system's */
    int64_t store_connect_timeout_ms, store_timeout_ms;
    uint64_t store_memory_max;
    const char *store_at, *store_lacks; /* of 'auto', while running: the URL of the private one, or why there is none; borrowed */
    bool store_share, store_copies, store_sentinel_quorum;
    fb_store_options store;      /* pool, timeout, on_down, copy_ttl; the rest is set where the cache is opened */
    struct fb_conf_source *sources;
    size_t nsources;
    struct fb_conf_keyspace *keyspaces;
    size_t nkeyspaces;
    struct fb_conf_details *details; /* origins, positions, diagnostics: conf's own */
};

struct fb_conf_flag { const char *name, *value; };  /* "server.listen", "127.0.0.1:0" */

struct fb_conf_args {
    const char *path;                               /* NULL: search $FOREBAY_CONFIG, ./forebay.yaml, /etc/forebay/ */
    bool is_pinned;                                 /* path as it is: NULL is no file */
    const struct fb_conf_flag *flags;
    size_t nflags;
    const char *const *sources;                     /* --source [NAME=]URL, NULL-terminated or NULL */
    const char *const *maps;                        /* --map 'PATTERN=TABLE', NULL-terminated or NULL */
};

/* Read and check syntax and schema (offline). FB_OK, or FB_CONFIG with the diagnostics in *ret_conf (returned in both
 * cases; free it). FB_NOMEM: nothing returned. */
fb_status fb_conf_load(const struct fb_conf_args *args, struct fb_conf **ret_conf, fb_err *reterr);
/* NULL accepted. */
void fb_conf_free(struct fb_conf *conf);

/* Is a private store wanted? */
bool fb_conf_wants_private_store(const struct fb_conf *conf);
/* Where the store is; NULL: nowhere. */
const char *fb_conf_store_url(const struct fb_conf *conf);
/* Where state is kept, with 'auto' resolved; NULL: nowhere. */
const char *fb_conf_state_dir(const struct fb_conf *conf);

/* Open the cache, its sources and its keyspaces as configured; faults become diagnostics with their positions, all of
 * them. FB_OK; FB_DOWN when the only fault is that sources cannot be reached; else FB_CONFIG, FB_NOMEM or FB_SYSTEM.
 * *ret_cache is set with FB_OK only. Only for a conf that loaded with FB_OK; `conf` must outlive the cache's opening,
 * not the cache. */
fb_status fb_conf_apply(struct fb_conf *conf, fb_cache **ret_cache);
/* The same for the sake of what the databases say: warnings become diagnostics too, and the cache is closed again. */
fb_status fb_conf_examine(struct fb_conf *conf);

enum fb_conf_format { FB_CONF_TEXT, FB_CONF_TEXT_COLOUR, FB_CONF_JSON };

/* Print the diagnostics in the order of their positions (JSON: an array of objects); returns the number of errors
 * (warnings are not counted). */
unsigned fb_conf_print_diagnostics(const struct fb_conf *conf, FILE *out, enum fb_conf_format format);
unsigned fb_conf_warnings(const struct fb_conf *conf);

/* The whole configuration as a file with comments; with the origin of each value when asked. Secrets print as where
 * they come from, or as ***. */
void fb_conf_print(const struct fb_conf *conf, FILE *out, bool with_origins);
/* The same as one JSON object: {"server.listen": {"value": …, "origin": …}, …}. */
void fb_conf_print_json(const struct fb_conf *conf, FILE *out);
/* CONFIG GET: every setting of scope server, by name and by Redis alias, whose name matches the glob. Secrets come out
 * empty. `conf` is a struct fb_conf; it is only read. Thread-safe. */
void fb_conf_get(void *conf, const char *glob, void (*emit)(void *user, const char *name, const char *value),
                 void *user);

/* Is a secret of scope server the same in both? The secrets themselves may have been wiped. */
bool fb_conf_is_same_secret(const struct fb_conf *a, const struct fb_conf *b, const char *setting);
/* An error about a file that a setting of scope server names, from whoever reads that file. `path` may be NULL, line 0. */
void fb_conf_complain(struct fb_conf *conf, const char *setting, const char *path, unsigned line, const char *text);
/* Has this setting of scope server been given, anywhere, or is it the default? */
bool fb_conf_is_given(const struct fb_conf *conf, const char *setting);
enum { FB_CONFIG_PAIRS_MAX = 64 };
/* CONFIG SET: a copy of `conf` with these settings changed: named as in the file ("memory_max",
 * "keyspaces.PATTERN.ttl"; values with their units) or as Redis names them (values as Redis writes them). FB_OK;
 * FB_NOTFOUND: there is no setting pairs[*ret_which].name; FB_INVALID: *reterr says what is wrong with it, in Redis'
 * words where Redis has them. */
fb_status fb_conf_set(const struct fb_conf *conf, const fb_field *pairs, size_t n, struct fb_conf **ret_conf,
                      size_t *ret_which, fb_err *reterr);
/* A copy of `running` with everything from `wanted` that may change while running. Names of settings that changed, and
 * of what differs and needs a restart, are appended to the buffers, with ", " between. FB_CONFIG: together they do not
 * hold. */
fb_status fb_conf_merge(const struct fb_conf *running, const struct fb_conf *wanted, struct fb_conf **ret_conf,
                        fb_buf *ret_changed, fb_buf *ret_needs_restart);
/* Visit the diagnostics in the order of their positions. */
struct fb_conf_fault { bool is_error; const char *code, *file, *text, *help; int line, col; };
void fb_conf_each_fault(const struct fb_conf *conf, void (*visit)(void *user, const struct fb_conf_fault *fault),
                        void *user);
/* The text of the first error; "" when there is none. */
const char *fb_conf_first_error(const struct fb_conf *conf);

/* The reference pages (Markdown): of all settings, and of the codes of diagnostics. */
void fb_conf_print_reference(FILE *out);
void fb_conf_print_codes(FILE *out);
/* A text as it may stand in a YAML file: bare where it can, else in double quotes. */
void fb_conf_print_text(FILE *out, const char *text);

/* The setting that a flag means: "memory-max", "memory_max" and "maxmemory" all mean "server.memory_max"; the other
 * scopes are written in full ("sources.shop.pool", "keyspaces.user:{id:int}.ttl"). False when there is none; names that
 * come near have then been offered to `nearest` (NULL accepted). */
bool fb_conf_flag_find(const char *flag, char *ret_setting, size_t size, struct fb_nearest *nearest);
/* One line per setting, as help shows flags. */
void fb_conf_print_flags(FILE *out);

/* A key that the keyspace's pattern matches ("user:42"), to be shown as an example; false when it has none. */
bool fb_conf_example_key(const struct fb_conf_keyspace *keyspace, char *ret_key, size_t size);

#endif
