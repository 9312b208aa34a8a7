/* forebay takeover: who owns the pending writes of a source, and taking them from an owner that will not come back. */
#include "cli/cli.h"
#include "cli/config_args.h"

#include <string.h>

#include <forebay/forebay.h>

enum { OPT_ACCEPT_LOSS = FB_OPT_OWN };

struct wishes {
    const char *source;
    bool accepts_loss;
};

static int take(int opt, const char *value, struct fb_config_args *config, const struct fb_cli_args *args,
                struct wishes *wishes) {
    switch (opt) {
    case OPT_ACCEPT_LOSS: wishes->accepts_loss = true; return FB_EXIT_OK;
    case FB_CLI_WORD:
        if (wishes->source != NULL)
            return fb_cli_refuse(args, opt, value);
        wishes->source = value;
        return FB_EXIT_OK;
    default: return fb_config_args_take(config, args, opt, value);
    }
}

/* The source of that name; without a name, the only one that is written behind. */
static fb_source *find(const struct fb_conf *conf, const char *name) {
    fb_source *found = NULL;
    for (size_t i = 0; i < conf->nkeyspaces; i++) {
        const fb_keyspace_options *options = &conf->keyspaces[i].options;
        bool is_wanted = options->write == FB_WRITE_BEHIND &&
                         (name == NULL || strcmp(fb_source_name(options->source), name) == 0);
        if (is_wanted && found != NULL && found != options->source)
            return NULL;
        found = is_wanted ? options->source : found;
    }
    return found;
}

static int explain(const fb_partition_info *info, const char *name, const struct fb_cli_args *args) {
    if (info->is_clean) {
        printf("source '%s': nothing is pending; whoever starts next gets it\n", name);
        return FB_EXIT_OK;
    }
    printf("source '%s' belongs to %s at %s, which may have acknowledged writes that are not in the database yet.\n"
           "Start it again, on its own machine and with its own journal, and nothing is lost.\n"
           "If it will not come back: forebay %s --accept-loss %s\n",
           name, info->owner, info->addr, args->command->name, name);
    return FB_EXIT_FAILURE;
}

static int take_over(fb_source *source, const struct wishes *wishes, const struct fb_cli_args *args) {
    fb_partition_info info;
    fb_err err = {0};
    fb_status status = fb_source_partition(source, &info, &err);
    if (status == FB_OK && (info.is_clean || !wishes->accepts_loss))
        return explain(&info, fb_source_name(source), args);
    if (status == FB_OK)
        status = fb_source_take_over(source, &info, &err);
    if (status != FB_OK) {
        fprintf(stderr, "forebay %s: %s\n", args->command->name, err.text);
        return status == FB_DOWN || status == FB_TIMEOUT ? FB_EXIT_UNAVAILABLE : FB_EXIT_FAILURE;
    }
    printf("source '%s' has been taken from %s at %s; whoever starts next gets it\n", fb_source_name(source), info.owner,
           info.addr);
    return FB_EXIT_OK;
}

static int run(struct fb_cli_args *args) {
    struct fb_config_args config;
    struct wishes wishes = {0};
    struct fb_conf *conf = NULL;
    fb_cache *cache = NULL;
    const char *value;
    int status = fb_config_args_begin(&config, args);
    for (int opt; status == FB_EXIT_OK && (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        status = take(opt, value, &config, args, &wishes);
    if (status != FB_EXIT_OK)
        goto out;
    status = fb_config_args_load(&config, &conf);
    if (status == FB_EXIT_OK)
        status = fb_cli_exit_of(fb_conf_apply(conf, &cache));
    if (conf != NULL && status != FB_EXIT_INTERNAL)
        fb_cli_print_diagnostics(conf, stderr);
    if (status != FB_EXIT_OK)
        goto out;
    fb_source *source = find(conf, wishes.source);
    if (source != NULL)
        status = take_over(source, &wishes, args);
    else if (wishes.source != NULL)
        status = fb_cli_usage(args->command, "no keyspace is written behind at a source '%s'", wishes.source);
    else
        status = fb_cli_usage(args->command, "say which source; none, or several, are written behind");
out:
    fb_close(cache);
    fb_conf_free(conf);
    fb_config_args_finish(&config);
    return status;
}

static const struct fb_cli_option options[] = {
    FB_CONFIG_OPTIONS,
    {"accept-loss", 0, NULL, "take it, with the writes that are pending elsewhere", OPT_ACCEPT_LOSS},
    {0},
};

const struct fb_cli_command fb_cli_takeover = {
    "takeover",
    "[-c FILE] [--accept-loss] [SOURCE]",
    "take a source from an owner that will not come back",
    "One process at a time writes behind at a source: its owner. An owner that has stopped with\n"
    "everything in the database leaves the source to the next one. Another may have acknowledged\n"
    "writes in its journal alone; then the source waits for it. This says which of the two it is,\n"
    "and --accept-loss takes the source all the same: whoever starts next gets it. Should the old\n"
    "owner come back, it writes nothing over what came since.\n"
    "Exit status 0 when the source is free afterwards, 1 when it is not.",
    options,
    true,
    run,
};
