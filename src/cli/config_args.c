/* From options to a configuration. */
#include "cli/config_args.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int fb_config_args_begin(struct fb_config_args *config, const struct fb_cli_args *args) {
    size_t n = (size_t)args->argc + 1;
    *config = (struct fb_config_args){0};
    config->flags = fb_mem_calloc(n, sizeof *config->flags);
    config->sources = fb_mem_calloc(n, sizeof *config->sources);
    config->maps = fb_mem_calloc(n, sizeof *config->maps);
    if (config->flags == NULL || config->sources == NULL || config->maps == NULL) {
        fprintf(stderr, "forebay: out of memory\n");
        return FB_EXIT_INTERNAL;
    }
    config->conf.flags = config->flags;
    config->conf.sources = config->sources;
    config->conf.maps = config->maps;
    return FB_EXIT_OK;
}

static int take_flag(struct fb_config_args *config, const char *setting, const char *value) {
    char *name = fb_mem_strdup(setting);
    if (name == NULL)
        return FB_EXIT_INTERNAL;
    config->flags[config->conf.nflags++] = (struct fb_conf_flag){name, value};
    return FB_EXIT_OK;
}

int fb_config_args_take(struct fb_config_args *config, const struct fb_cli_args *args, int opt, const char *value) {
    static const char twice[] = "--port and --listen both say where to listen; put the port into --listen";
    long long port;
    switch (opt) {
    case FB_OPT_CONFIG: config->conf.path = value; return FB_EXIT_OK;
    case FB_OPT_SOURCE: config->sources[config->nsources++] = value; return FB_EXIT_OK;
    case FB_OPT_MAP: config->maps[config->nmaps++] = value; return FB_EXIT_OK;
    case FB_OPT_PORT:
        if (!fb_cli_number(args->command, "port", value, 0, 65535, &port))
            return FB_EXIT_USAGE;
        if (config->has_listen)
            return fb_cli_usage(args->command, "%s", twice);
        config->has_port = true;
        snprintf(config->port_address, sizeof config->port_address, "localhost:%lld", port);
        return take_flag(config, "server.listen", config->port_address);
    case FB_CLI_SETTING:
        if (strcmp(args->setting, "server.listen") == 0) {
            if (config->has_port)
                return fb_cli_usage(args->command, "%s", twice);
            config->has_listen = true;
        }
        return take_flag(config, args->setting, value);
    default: return fb_cli_refuse(args, opt, value);
    }
}

int fb_config_args_load(struct fb_config_args *config, struct fb_conf **ret_conf) {
    fb_err err = {0};
    fb_status status = fb_conf_load(&config->conf, ret_conf, &err);
    if (status == FB_NOMEM)
        fprintf(stderr, "forebay: %s\n", err.text);
    return fb_cli_exit_of(status);
}

void fb_config_args_finish(struct fb_config_args *config) {
    for (size_t i = 0; config->flags != NULL && i < config->conf.nflags; i++)
        fb_mem_free((char *)(uintptr_t)config->flags[i].name);
    fb_mem_free(config->flags);
    fb_mem_free(config->sources);
    fb_mem_free(config->maps);
}

void fb_cli_print_diagnostics(const struct fb_conf *conf, FILE *out) {
    fb_conf_print_diagnostics(conf, out, fb_cli_colour(fileno(out)) ? FB_CONF_TEXT_COLOUR : FB_CONF_TEXT);
}

int fb_cli_exit_of(fb_status status) {
    switch (status) {
    case FB_OK: return FB_EXIT_OK;
    case FB_CONFIG: return FB_EXIT_CONFIG;
    case FB_DOWN: return FB_EXIT_UNAVAILABLE;
    case FB_NOMEM: return FB_EXIT_INTERNAL;
    default: return FB_EXIT_FAILURE;
    }
}
