/* forebay check and forebay print-config: what is wrong with a configuration, and what it amounts to. */
#include "cli/cli.h"
#include "cli/config_args.h"
#include "cli/live.h"

enum { OPT_OFFLINE = FB_OPT_OWN, OPT_EFFECTIVE, OPT_STRICT, OPT_JSON };

/* ---- check ------------------------------------------------------------------------------------------------------ */

struct wishes { bool offline, effective, strict, json; };

static int take(int opt, const char *value, struct fb_config_args *config, const struct fb_cli_args *args,
                struct wishes *wishes) {
    switch (opt) {
    case OPT_OFFLINE: wishes->offline = true; return FB_EXIT_OK;
    case OPT_EFFECTIVE: wishes->effective = true; return FB_EXIT_OK;
    case OPT_STRICT: wishes->strict = true; return FB_EXIT_OK;
    case OPT_JSON: wishes->json = true; return FB_EXIT_OK;
    case FB_CLI_WORD: /* "forebay check FILE" says what it means */
        return fb_config_args_take(config, args, config->conf.path == NULL ? FB_OPT_CONFIG : opt, value);
    default: return fb_config_args_take(config, args, opt, value);
    }
}

/* "2 errors, 1 warning"; a person wants to know that something happened. */
static void summarise(const struct fb_conf *conf, unsigned errors, const struct wishes *wishes, FILE *out) {
    unsigned warnings = fb_conf_warnings(conf);
    if (errors + warnings > 0)
        fprintf(out, "\n%u error%s, %u warning%s\n", errors, errors == 1 ? "" : "s", warnings,
                warnings == 1 ? "" : "s");
    else
        fprintf(out, "%s: %zu source%s, %zu keyspace%s: all is well%s\n",
                conf->path != NULL ? conf->path : "command line", conf->nsources, conf->nsources == 1 ? "" : "s",
                conf->nkeyspaces, conf->nkeyspaces == 1 ? "" : "s", wishes->offline ? " (no database was asked)" : "");
}

static int report(struct fb_conf *conf, int status, const struct wishes *wishes) {
    unsigned errors;
    if (wishes->json) {
        errors = fb_conf_print_diagnostics(conf, stdout, FB_CONF_JSON);
    } else {
        enum fb_conf_format format = fb_cli_colour(fileno(stderr)) ? FB_CONF_TEXT_COLOUR : FB_CONF_TEXT;
        errors = fb_conf_print_diagnostics(conf, stderr, format);
        summarise(conf, errors, wishes, errors + fb_conf_warnings(conf) > 0 || wishes->effective ? stderr : stdout);
    }
    if (status == FB_EXIT_OK && wishes->strict && fb_conf_warnings(conf) > 0)
        return FB_EXIT_CONFIG;
    return status;
}

static int run_check(struct fb_cli_args *args) {
    struct fb_config_args config;
    struct wishes wishes = {0};
    struct fb_conf *conf = NULL;
    const char *value;
    int status = fb_config_args_begin(&config, args);
    for (int opt; status == FB_EXIT_OK && (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        status = take(opt, value, &config, args, &wishes);
    if (status == FB_EXIT_OK && wishes.json && wishes.effective)
        status =
            fb_cli_usage(args->command, "--json lists what is wrong; for values as JSON: forebay print-config --json");
    if (status != FB_EXIT_OK)
        goto out;
    status = fb_config_args_load(&config, &conf);
    if (status == FB_EXIT_OK)
        status = fb_cli_exit_of(fb_live_check_files(conf));
    if (status == FB_EXIT_OK && !wishes.offline)
        status = fb_cli_exit_of(fb_conf_examine(conf));
    if (conf == NULL || status == FB_EXIT_INTERNAL)
        goto out;
    status = report(conf, status, &wishes);
    if (wishes.effective)
        fb_conf_print(conf, stdout, true);
out:
    fb_conf_free(conf);
    fb_config_args_finish(&config);
    return status;
}

static const struct fb_cli_option check_options[] = {
    FB_CONFIG_OPTIONS,
    {"offline", 0, NULL, "ask no database", OPT_OFFLINE},
    {"effective", 0, NULL, "also print every value with its origin", OPT_EFFECTIVE},
    {"strict", 0, NULL, "warnings are errors", OPT_STRICT},
    {"json", 0, NULL, "print what is wrong as JSON on stdout", OPT_JSON},
    {0},
};

const struct fb_cli_command fb_cli_check = {
    "check",
    "[-c] [FILE] [OPTION…]",
    "say everything that is wrong with a configuration",
    "Reads the configuration as 'serve' would, with the same flags and environment, in three\n"
    "stages: syntax; schema (unknown settings, types, ranges, references, patterns, what must\n"
    "hold together); sources (opens each database and compares tables, columns and keys).\n"
    "All errors of a stage are printed, each with its place, the line and what to do.\n"
    "Exit status 0 when there are none, 78 when there are, 69 when a database cannot be reached.",
    check_options,
    true,
    run_check,
};

/* ---- print-config ----------------------------------------------------------------------------------------------- */

static int run_print(struct fb_cli_args *args) {
    struct fb_config_args config;
    struct wishes wishes = {0};
    struct fb_conf *conf = NULL;
    const char *value;
    int status = fb_config_args_begin(&config, args);
    for (int opt; status == FB_EXIT_OK && (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        status = take(opt, value, &config, args, &wishes);
    if (status == FB_EXIT_OK)
        status = fb_config_args_load(&config, &conf);
    if (conf != NULL && status != FB_EXIT_INTERNAL)
        fb_cli_print_diagnostics(conf, stderr);
    if (status == FB_EXIT_OK && wishes.json)
        fb_conf_print_json(conf, stdout);
    else if (status == FB_EXIT_OK)
        fb_conf_print(conf, stdout, wishes.effective);
    fb_conf_free(conf);
    fb_config_args_finish(&config);
    return status;
}

static const struct fb_cli_option print_options[] = {
    FB_CONFIG_OPTIONS,
    {"effective", 0, NULL, "say the origin of each value instead of what it is", OPT_EFFECTIVE},
    {"json", 0, NULL, "as one JSON object with values and origins", OPT_JSON},
    {0},
};

const struct fb_cli_command fb_cli_print_config = {
    "print-config",
    "[-c] [FILE] [OPTION…]",
    "print the configuration in force, with all defaults",
    "Prints a file that means the same as file, flags and environment together, each setting\n"
    "with its one line. Secrets are printed as where they are kept, or as ***. No database is\n"
    "asked.",
    print_options,
    true,
    run_print,
};
