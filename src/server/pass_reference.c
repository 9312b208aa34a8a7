/* The page of what is answered here, passed to the store, split or refused; from the tables of commands. */
#include "server/pass.h"

#include <string.h>

static void print_name(FILE *out, const struct fb_command *row) {
    char name[FB_COMMAND_NAME_MAX];
    fb_command_full_name(row, name);
    fputs("| `", out);
    for (const char *p = name; *p != '\0'; p++)
        fputc(*p == '|' ? ' ' : *p >= 'a' && *p <= 'z' ? *p - ('a' - 'A') : *p, out);
    fputs("` | ", out);
}

static bool has_more_keys(const struct fb_command *row) {
    return row->last != row->first || row->counted > 0 || row->flags & (FB_KEYS_STORE | FB_KEYS_STREAMS);
}

static void print_row(FILE *out, const struct fb_command *row) {
    bool is_foreign = (row->flags & FB_CMD_FOREIGN) != 0;
    print_name(out, row);
    fputs(is_foreign ? "refused | passed | " : "answered | passed | ", out);
    fputs(!has_more_keys(row) ? "" : row->flags & FB_CMD_SPLITS ? "split" : "refused", out);
    fputs(row->flags & FB_CMD_BLOCKS ? " | its own |\n" : row->handler == fb_cmd_watch ? " | its own |\n" : " | |\n", out);
}

static bool is_of_forebay(const struct fb_command *row) {
    return row->group != NULL && strcmp(row->group, "forebay") == 0;
}

static void print_list(FILE *out, const struct fb_command *rows, size_t n, unsigned wanted) {
    for (size_t i = 0; i < n; i++) {
        char name[FB_COMMAND_NAME_MAX];
        bool is_parent = (rows[i].flags & FB_CMD_PARENT) != 0 && wanted == 0;
        bool is_theirs = (rows[i].flags & (FB_CMD_STORES | FB_CMD_LISTENS)) != 0;
        if (rows[i].first != 0 || is_theirs != (wanted != 0) || is_parent || is_of_forebay(&rows[i]))
            continue;
        fb_command_full_name(&rows[i], name);
        for (char *p = name; *p != '\0'; p++)
            *p = *p == '|' ? ' ' : *p;
        fprintf(out, " `%s`", name);
    }
}

void fb_pass_print_reference(FILE *out) {
    size_t n, m, nforeign;
    const struct fb_command *rows = fb_commands(&n), *subs = fb_subcommands(&m), *foreign = fb_foreign(&nforeign);
    fputs("\n## With a store\n\n"
          "Where `store.url` names a Redis, the keys of a command say who carries it out ([pass-through](pass-through.md)).\n"
          "*Answered*: by Forebay. *Passed*: to the store, unchanged. *Split*: each side gets its keys, and the answers\n"
          "become one. *Refused*: with an error that names the keys. The last column: it has a connection to the store for\n"
          "itself.\n\n"
          "| command | mapped keys | other keys | keys of both kinds | connection |\n|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < n; i++)
        if (rows[i].first > 0 && !is_of_forebay(&rows[i]))
            print_row(out, &rows[i]);
    for (size_t i = 0; i < m; i++)
        if (subs[i].first > 0)
            print_row(out, &subs[i]);
    for (size_t i = 0; i < nforeign; i++)
        print_row(out, &foreign[i]);
    fputs("\nA command that Forebay does not know is passed when none of its arguments is a mapped key and its user may do\n"
          "everything.\n\nWithout keys, passed:", out);
    print_list(out, rows, n, FB_CMD_STORES);
    print_list(out, subs, m, FB_CMD_STORES);
    fputs(".\n\nWithout keys, answered here:", out);
    print_list(out, rows, n, 0);
    print_list(out, subs, m, 0);
    fputs(".\n\nRefused, store or not:", out);
    fb_refused_print_reference(out);
    fputs(".\n", out);
}
