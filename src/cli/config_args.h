/* The options that say where the configuration comes from: the same for serve, check and print-config. */
#ifndef FB_CLI_CONFIG_ARGS_H
#define FB_CLI_CONFIG_ARGS_H

#include "cli/cli.h"
#include "conf/conf.h"

/* Ids of the options below; a subcommand's own begin at FB_OPT_OWN. */
enum { FB_OPT_CONFIG, FB_OPT_PORT, FB_OPT_SOURCE, FB_OPT_MAP, FB_OPT_OWN };

#define FB_CONFIG_OPTIONS                                                                                              \
    {"config", 'c', "FILE", "the configuration (else $FOREBAY_CONFIG, ./forebay.yaml, /etc/forebay/)", FB_OPT_CONFIG}, \
        {"port", 'p', "N", "listen on this port of localhost; 0: any free one", FB_OPT_PORT},                          \
        {"source", 's', "[NAME=]URL", "a source, as sqlite:shop.db", FB_OPT_SOURCE},                                   \
        {"map", 'm', "PATTERN=TABLE", "a keyspace, as 'user:{id:int}=users'", FB_OPT_MAP}

struct fb_config_args {
    struct fb_conf_args conf;  /* borrows from below and from argv */
    struct fb_conf_flag *flags;
    const char **sources, **maps;
    size_t nsources, nmaps;
    char port_address[32];
    bool has_port, has_listen;
};

/* FB_EXIT_OK, or complains. */
int fb_config_args_begin(struct fb_config_args *config, const struct fb_cli_args *args);
/* Take one option of the above or FB_CLI_SETTING; whatever else is refused. FB_EXIT_OK, or complains. */
int fb_config_args_take(struct fb_config_args *config, const struct fb_cli_args *args, int opt, const char *value);
/* Load, and print what is wrong on stderr (or, as JSON, on stdout). FB_EXIT_OK, FB_EXIT_CONFIG or FB_EXIT_INTERNAL;
 * *ret_conf may be set in each case. */
int fb_config_args_load(struct fb_config_args *config, struct fb_conf **ret_conf);
void fb_config_args_finish(struct fb_config_args *config);

/* Print diagnostics as a person at a terminal wants them. */
void fb_cli_print_diagnostics(const struct fb_conf *conf, FILE *out);
/* The exit status for what fb_conf_load and fb_conf_apply return. */
int fb_cli_exit_of(fb_status status);

#endif
