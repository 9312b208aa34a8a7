/* forebay: the table of subcommands, and the choice among them. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include <forebay/forebay.h>

#include "conf/nearest.h"

/* In the order in which help shows them. */
const struct fb_cli_command *const fb_cli_commands[] = {
    &fb_cli_serve,
    &fb_cli_demo,
    &fb_cli_bench,
    &fb_cli_init,
    &fb_cli_check,
    &fb_cli_print_config,
    &fb_cli_ping,
    &fb_cli_journal,
    &fb_cli_dead,
    &fb_cli_takeover,
    &fb_cli_reference,
    &fb_cli_version,
    &fb_cli_help_command,
    NULL,
};

static const struct fb_cli_command *find(const char *name) {
    for (size_t i = 0; fb_cli_commands[i] != NULL; i++)
        if (strcmp(fb_cli_commands[i]->name, name) == 0)
            return fb_cli_commands[i];
    return NULL;
}

static int unknown(const char *name) {
    struct fb_nearest near = fb_nearest_begin(name);
    for (size_t i = 0; fb_cli_commands[i] != NULL; i++)
        fb_nearest_offer(&near, fb_cli_commands[i]->name);
    fprintf(stderr, "forebay: unknown subcommand '%s'", name);
    if (near.best != NULL)
        fprintf(stderr, "; did you mean '%s'?", near.best);
    fprintf(stderr, "\n'forebay help' lists them\n");
    return FB_EXIT_USAGE;
}

static void print_overview(FILE *out) {
    fprintf(out, "forebay " FOREBAY_VERSION ": a cache in front of your SQL database that speaks the Redis protocol\n\n"
                 "usage: forebay SUBCOMMAND [OPTION…]\n\n");
    for (size_t i = 0; fb_cli_commands[i] != NULL; i++)
        fprintf(out, "  %-14s %s\n", fb_cli_commands[i]->name, fb_cli_commands[i]->summary);
    fprintf(out, "\nThe first minute:\n"
                 "  forebay serve --source sqlite:shop.db --map 'user:{id:int}=users'\n"
                 "  redis-cli -p 6380 GET user:42\n\n"
                 "'forebay help SUBCOMMAND' says more. Exit status:\n");
#define ROW(name, number, text) fprintf(out, "  %-3d %s\n", number, text);
    FB_EXIT_MAP(ROW)
#undef ROW
}

static int run_help(struct fb_cli_args *args) {
    const char *value;
    const struct fb_cli_command *about = NULL;
    for (int opt; (opt = fb_cli_next(args, &value)) != FB_CLI_END;) {
        if (opt != FB_CLI_WORD || about != NULL)
            return fb_cli_refuse(args, opt, value);
        if ((about = find(value)) == NULL)
            return unknown(value);
    }
    if (about != NULL)
        fb_cli_help(about, stdout);
    else
        print_overview(stdout);
    return FB_EXIT_OK;
}

const struct fb_cli_command fb_cli_help_command = {
    "help", "[SUBCOMMAND]", "say what a subcommand does", "Without a subcommand: list them.", NULL, false, run_help,
};

static int run_version(struct fb_cli_args *args) {
    const char *value;
    int opt = fb_cli_next(args, &value);
    if (opt != FB_CLI_END)
        return fb_cli_refuse(args, opt, value);
    printf("forebay " FOREBAY_VERSION "\n");
    return FB_EXIT_OK;
}

const struct fb_cli_command fb_cli_version = {
    "version", "", "print the version", "Prints one line: \"forebay\" and the version.", NULL, false, run_version,
};

static bool asks_for_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        print_overview(stderr);
        return FB_EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    else if (strcmp(name, "--print-config") == 0)
        name = "print-config";

    const struct fb_cli_command *command = find(name);
    if (command == NULL)
        return unknown(name);
    if (asks_for_help(argc - 2, argv + 2)) {
        fb_cli_help(command, stdout);
        return FB_EXIT_OK;
    }
    struct fb_cli_args args = {.command = command, .argc = argc - 2, .argv = argv + 2};
    int status = command->run(&args);
    if (fflush(stdout) != 0 && status == FB_EXIT_OK) {
        perror("forebay: stdout");
        return FB_EXIT_FAILURE;
    }
    return status;
}
