/* The command line: one row per subcommand, one table of options per row; help, parsing and spelling hints come from
 * them.
 *
 *     enum { OPT_ROWS };
 *     static const struct fb_cli_option options[] = {
 *         {"rows", 'n', "N", "rows in the shop", OPT_ROWS},
 *         {0},
 *     };
 *     static int run(struct fb_cli_args *args) {
 *         const char *value;
 *         for (int opt; (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
 *             switch (opt) {
 *             case OPT_ROWS: …; break;
 *             default: return fb_cli_refuse(args, opt, value);
 *             }
 *         …
 *     }
 *     const struct fb_cli_command fb_cli_demo = {"demo", "[DIRECTORY]", "…one line…", "…paragraph…", options, false,
 * run};
 *
 * and one row in main.c. `--help` and `-h` never reach run. */
#ifndef FB_CLI_CLI_H
#define FB_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

/* Exit statuses, those of sysexits.h where it has one. X(name, number, meaning) */
#define FB_EXIT_MAP(X)                                                                                                \
    X(OK, 0, "done")                                                                                                  \
    X(FAILURE, 1, "failed while running")                                                                             \
    X(USAGE, 2, "the command line is not valid")                                                                      \
    X(DATAERR, 65, "a journal is damaged")                                                                            \
    X(UNAVAILABLE, 69, "a source cannot be reached")                                                                  \
    X(INTERNAL, 70, "out of memory, a fault of Forebay's own, or a journal that its disk does not save")              \
    X(CANTCREAT, 73, "a socket or file cannot be created (an address is in use)")                                     \
    X(TEMPFAIL, 75, "stopped before all acknowledged writes reached their source")                                    \
    X(CONFIG, 78, "the configuration is not valid")

enum fb_exit {
#define FB_EXIT_ENUM_(name, number, text) FB_EXIT_##name = number,
    FB_EXIT_MAP(FB_EXIT_ENUM_)
#undef FB_EXIT_ENUM_
};

struct fb_cli_option {
    const char *name;     /* without the dashes */
    char letter;          /* 0: none */
    const char *value;    /* what help calls its value; NULL: a switch */
    const char *text;     /* one line */
    int id;               /* what fb_cli_next returns; 0 or more */
};

struct fb_cli_args;

struct fb_cli_command {
    const char *name;
    const char *arguments;               /* as help prints them: "[-c FILE] …"; may be empty */
    const char *summary;                 /* one line, lower case, no full stop */
    const char *text;                    /* a paragraph or more, lines broken as they should print */
    const struct fb_cli_option *options; /* ended by a row without a name; NULL: none */
    bool takes_settings;                 /* every setting is a flag too */
    int (*run)(struct fb_cli_args *args);
};

/* The words after the subcommand, taken one by one. */
struct fb_cli_args {
    const struct fb_cli_command *command;
    int argc;
    char **argv;
    int at;
    const char *cluster;                 /* the rest of "-xyz" */
    bool only_words;                     /* after "--" */
    char setting[320];                   /* the setting's full name after FB_CLI_SETTING */
};

enum {
    FB_CLI_END = -1,      /* no more */
    FB_CLI_WORD = -2,     /* *ret_value is a word that is no option */
    FB_CLI_SETTING = -3,  /* args->setting is the setting, *ret_value its value */
    FB_CLI_BAD = -4,      /* said on stderr what is wrong */
};

/* The next option's id (0 or more) or one of the above. */
int fb_cli_next(struct fb_cli_args *args, const char **ret_value);

/* For the default branch: complains about a word that is not wanted (FB_CLI_BAD has complained already) and returns
 * FB_EXIT_USAGE. */
int fb_cli_refuse(const struct fb_cli_args *args, int opt, const char *value);
/* Complain on stderr: "forebay serve: …" and where help is; returns FB_EXIT_USAGE. */
int fb_cli_usage(const struct fb_cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A whole number of an option within limits; complains and returns false when it is none. */
bool fb_cli_number(const struct fb_cli_command *command, const char *option, const char *value, long long min,
                   long long max, long long *ret_number);

void fb_cli_help(const struct fb_cli_command *command, FILE *out);
/* Is `fd` a terminal that wants colour (NO_COLOR is respected)? */
bool fb_cli_colour(int fd);

/* All subcommands, ended by NULL. */
extern const struct fb_cli_command *const fb_cli_commands[];

extern const struct fb_cli_command fb_cli_init, fb_cli_serve, fb_cli_check, fb_cli_print_config, fb_cli_reference;
extern const struct fb_cli_command fb_cli_demo, fb_cli_bench, fb_cli_ping, fb_cli_journal, fb_cli_dead, fb_cli_takeover;
extern const struct fb_cli_command fb_cli_version, fb_cli_help_command;

#endif
