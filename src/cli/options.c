/* Taking the command line apart, and printing what it may be. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/nearest.h"

int fb_cli_usage(const struct fb_cli_command *command, const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "forebay %s: ", command->name);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n'forebay help %s' says what it takes\n", command->name);
    return FB_EXIT_USAGE;
}

int fb_cli_refuse(const struct fb_cli_args *args, int opt, const char *value) {
    return opt == FB_CLI_BAD ? FB_EXIT_USAGE : fb_cli_usage(args->command, "unexpected argument '%s'", value);
}

bool fb_cli_number(const struct fb_cli_command *command, const char *option, const char *value, long long min,
                   long long max, long long *ret_number) {
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || n < min || n > max) {
        (void)fb_cli_usage(command, "--%s wants a whole number from %lld to %lld, not '%s'", option, min, max, value);
        return false;
    }
    *ret_number = n;
    return true;
}

static int bad(const struct fb_cli_args *args, const char *dashes, const char *word, const char *nearest) {
    char known[64];
    snprintf(known, sizeof known, "%s", nearest != NULL ? nearest : "");
    for (char *p = known; strchr(known, '.') == NULL && *p != '\0'; p++)
        if (*p == '_') /* settings are flags with dashes */
            *p = '-';
    if (nearest != NULL)
        (void)fb_cli_usage(args->command, "unknown option '%s%s'; did you mean '--%s'?", dashes, word, known);
    else
        (void)fb_cli_usage(args->command, "unknown option '%s%s'", dashes, word);
    return FB_CLI_BAD;
}

/* The value of an option: behind its '=' or letter, else the next word. */
static bool take_value(struct fb_cli_args *args, const char *attached, const char *option, const char **ret_value) {
    if (attached != NULL)
        *ret_value = attached;
    else if (args->at < args->argc)
        *ret_value = args->argv[args->at++];
    else {
        (void)fb_cli_usage(args->command, "option '%s' wants a value", option);
        return false;
    }
    return true;
}

/* Where the name ends. A pattern in a setting's name may hold '=' itself ("keyspaces.a={x}.ttl=5s"), so there the name
 * ends at the first '=' behind a dot and a word. */
static size_t name_length(const char *word) {
    const char *eq = strchr(word, '=');
    if (strncmp(word, "keyspaces.", strlen("keyspaces.")) == 0)
        for (; eq != NULL; eq = strchr(eq + 1, '=')) {
            const char *p = eq;
            while (p > word && (islower((unsigned char)p[-1]) || p[-1] == '_'))
                p--;
            if (p < eq && p > word && p[-1] == '.')
                break;
        }
    return eq != NULL ? (size_t)(eq - word) : strlen(word);
}

static int next_long(struct fb_cli_args *args, const char *word, const char **ret_value) {
    char name[sizeof args->setting];
    size_t len = name_length(word);
    const char *attached = word[len] == '=' ? word + len + 1 : NULL;
    if (len >= sizeof name)
        return bad(args, "--", word, NULL);
    memcpy(name, word, len);
    name[len] = '\0';

    struct fb_nearest near = fb_nearest_begin(name);
    for (const struct fb_cli_option *o = args->command->options; o != NULL && o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            if (o->value == NULL && attached != NULL) {
                (void)fb_cli_usage(args->command, "option '--%s' takes no value", name);
                return FB_CLI_BAD;
            }
            if (o->value != NULL && !take_value(args, attached, args->argv[args->at - 1], ret_value))
                return FB_CLI_BAD;
            return o->id;
        }
        fb_nearest_offer(&near, o->name);
    }
    if (args->command->takes_settings &&
        fb_conf_flag_find(name, args->setting, sizeof args->setting, &near))
        return take_value(args, attached, args->argv[args->at - 1], ret_value) ? FB_CLI_SETTING : FB_CLI_BAD;
    return bad(args, "--", name, near.best);
}

static int next_letter(struct fb_cli_args *args, const char **ret_value) {
    char letter[2] = {*args->cluster++, '\0'};
    const char *rest = *args->cluster != '\0' ? args->cluster : NULL;
    for (const struct fb_cli_option *o = args->command->options; o != NULL && o->name != NULL; o++) {
        if (o->letter != letter[0])
            continue;
        if (o->value == NULL) {
            args->cluster = rest;
            return o->id;
        }
        args->cluster = NULL;
        return take_value(args, rest, args->argv[args->at - 1], ret_value) ? o->id : FB_CLI_BAD;
    }
    return bad(args, "-", letter, NULL);
}

int fb_cli_next(struct fb_cli_args *args, const char **ret_value) {
    *ret_value = NULL;
    if (args->cluster != NULL)
        return next_letter(args, ret_value);
    if (args->at >= args->argc)
        return FB_CLI_END;
    const char *word = args->argv[args->at++];
    if (args->only_words || word[0] != '-' || word[1] == '\0') {
        *ret_value = word;
        return FB_CLI_WORD;
    }
    if (strcmp(word, "--") == 0) {
        args->only_words = true;
        return fb_cli_next(args, ret_value);
    }
    if (word[1] == '-')
        return next_long(args, word + 2, ret_value);
    args->cluster = word + 1;
    return next_letter(args, ret_value);
}

void fb_cli_help(const struct fb_cli_command *command, FILE *out) {
    fprintf(out, "usage: forebay %s %s\n\n%s\n", command->name, command->arguments, command->text);
    if (command->options != NULL)
        fprintf(out, "\nOptions:\n");
    for (const struct fb_cli_option *o = command->options; o != NULL && o->name != NULL; o++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                 o->letter ? "," : " ", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        fprintf(out, "  %-30s %s\n", left, o->text);
    }
    fprintf(out, "  %-30s %s\n", "-h, --help", "print this");
    if (command->takes_settings) {
        fprintf(out, "\nEvery setting is an option too (see 'forebay reference settings'):\n");
        fb_conf_print_flags(out);
    }
}

bool fb_cli_colour(int fd) {
    const char *no = getenv("NO_COLOR");
    return isatty(fd) && (no == NULL || no[0] == '\0');
}
