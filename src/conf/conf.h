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

struct fb_conf_source {
    char *name, *url;            /* url with secrets resolved; print with fb_conf_url_redact only */
    fb_source_options options;
    int line, col;
};

struct fb_conf_keyspace {
    fb_keyspace_options options; /* strings owned by the conf; options.source is set by fb_conf_apply */
    char *source_name;
    int line, col;
};

struct fb_conf {
    char *path;                  /* NULL: no file */
    char **listen;               /* NULL-terminated */
    char *admin;
    unsigned threads, clients_max;
    uint64_t memory_max, bulk_max, query_buffer_max, output_buffer_max;
    int64_t drain_timeout_ms;
    char *state_dir, *password, *unmapped;
    bool is_protected;
    fb_eviction eviction;
    struct fb_conf_source *sources;
    size_t nsources;
    struct fb_conf_keyspace *keyspaces;
    size_t nkeyspaces;
    struct fb_conf_details *details; /* origins, positions, diagnostics: conf's own */
};

struct fb_conf_flag { const char *name, *value; };  /* "server.listen", "127.0.0.1:0" */

struct fb_conf_args {
    const char *path;                               /* NULL: search $FOREBAY_CONFIG, ./forebay.yaml, /etc/forebay/ */
    const struct fb_conf_flag *flags;
    size_t nflags;
    const char *const *sources;                     /* --source [NAME=]URL, NULL-terminated or NULL */
    const char *const *maps;                        /* --map 'PATTERN=TABLE', NULL-terminated or NULL */
};

/* Read and check syntax and schema (offline). FB_OK, or FB_CONFIG with the diagnostics in *ret_conf (returned in both
 * cases; free it). */
fb_status fb_conf_load(const struct fb_conf_args *args, struct fb_conf **ret_conf, fb_err *reterr);
void fb_conf_free(struct fb_conf *conf);

/* Open the cache, its sources and its keyspaces as configured; faults become diagnostics with their positions
 * (FB_CONFIG), all of them. */
fb_status fb_conf_apply(struct fb_conf *conf, fb_cache **ret_cache);

/* Print the diagnostics; returns the number of errors (warnings are not counted). */
unsigned fb_conf_print_diagnostics(const struct fb_conf *conf, FILE *out);
/* The whole configuration as a file with comments; with origins when asked. Secrets print as ***. */
void fb_conf_print(const struct fb_conf *conf, FILE *out, bool with_origins);
/* CONFIG GET: every setting of scope server, by name and by Redis alias. Secrets come out empty. */
void fb_conf_get(void *conf, const char *glob, void (*emit)(void *user, const char *name, const char *value), void *user);
/* The reference page of all settings (Markdown). */
void fb_conf_print_reference(FILE *out);

#endif
