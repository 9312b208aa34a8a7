/* forebay reference: the pages that are printed from tables. */
#include "cli/cli.h"

#include <string.h>

#include <forebay/status.h>

#include "base/log.h"
#include "conf/conf.h"
#include "conf/nearest.h"
#include "server/server.h"

static void print_statuses(FILE *out) {
    fputs("# Statuses\n\n"
          "<!-- Printed by `forebay reference statuses`. -->\n\n"
          "Outcomes are zero or positive, errors negative. Clients see the first word of the error. \"Retry\" means\n"
          "that the same request may succeed later without any change.\n\n"
          "| status | number | first word | retry | meaning |\n|---|---|---|---|---|\n",
          out);
#define ROW(name, number, word, retry, text)                                                                           \
    fprintf(out, "| `%s` | %d | %s%s%s | %s | %s |\n", #name, number, number < 0 ? "`" : "", number < 0 ? word : "",   \
            number < 0 ? "`" : "", retry ? "yes" : "", text);
    FB_STATUS_MAP(ROW)
#undef ROW
    fputs("\n## Exit statuses of `forebay`\n\n| number | meaning |\n|---|---|\n", out);
#define ROW(name, number, text) fprintf(out, "| %d | %s |\n", number, text);
    FB_EXIT_MAP(ROW)
#undef ROW
}

static void print_events(FILE *out) {
    fprintf(out,
            "# Events of the log\n\n"
            "<!-- Printed by `forebay reference events`. -->\n\n"
            "One line each on stderr, in the form that `server.log_format` says and from the level that\n"
            "`server.log_level` says. Every line has `ts`, `level`, `event` and `msg`; names of events and fields are\n"
            "stable, messages are not. An event marked \"limited\" is written at most %d times in %d seconds; the next\n"
            "line then says in `left_out` how many were not. No line names a key or a value, except that keys may\n"
            "appear at level debug.\n\n"
            "| event | level | limited | fields | when |\n|---|---|---|---|---|\n",
            FB_LOG_BURST, FB_LOG_WINDOW_MS / 1000);
    for (int i = 0; i < FB_LOG_COUNT_; i++) {
        const struct fb_log_row *row = fb_log_row((enum fb_log_event)i);
        fprintf(out, "| `%s` | %s | %s | %s%s%s | %s |\n", row->name, fb_log_level_name(row->level),
                row->is_limited ? "yes" : "", row->fields[0] != '\0' ? "`" : "", row->fields,
                row->fields[0] != '\0' ? "`" : "", row->text);
    }
}

static const struct page {
    const char *name;
    void (*print)(FILE *out);
} pages[] = {
    {"settings", fb_conf_print_reference},
    {"commands", fb_commands_print_reference},
    {"statuses", print_statuses},
    {"errors", fb_errors_print_reference},
    {"events", print_events},
    {"limits", fb_bounds_print_reference},
    {"diagnostics", fb_conf_print_codes},
    {"watching", fb_metrics_print_reference},
};

static int run(struct fb_cli_args *args) {
    const char *name, *more;
    int opt = fb_cli_next(args, &name);
    if (opt == FB_CLI_END)
        return fb_cli_usage(args->command,
                            "say which page: settings, commands, statuses, errors, events, diagnostics, watching or "
                            "limits");
    if (opt != FB_CLI_WORD)
        return fb_cli_refuse(args, opt, name);
    if ((opt = fb_cli_next(args, &more)) != FB_CLI_END)
        return fb_cli_refuse(args, opt, more);
    struct fb_nearest near = fb_nearest_begin(name);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(pages[i].name, name) == 0) {
            pages[i].print(stdout);
            return FB_EXIT_OK;
        }
        fb_nearest_offer(&near, pages[i].name);
    }
    return fb_cli_usage(args->command, "there is no page '%s'; did you mean '%s'?", name,
                        near.best != NULL ? near.best : "settings");
}

const struct fb_cli_command fb_cli_reference = {
    "reference",
    "settings|commands|statuses|errors|events|diagnostics|watching|limits",
    "print a reference page (Markdown)",
    "settings: the configuration file. commands: the Redis commands. statuses: what calls return,\n"
    "what clients see, and exit statuses. errors: what the server itself says. events: the lines\n"
    "of the log. diagnostics: what can be wrong with a configuration. watching: the figures.\n"
    "limits: what connections may take. The pages in docs/ are printed by this.",
    NULL,
    false,
    run,
};
