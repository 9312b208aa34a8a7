/* COMMAND and HELP, and the reference page: the table of commands, printed. */
#include "server/acl.h"
#include "server/commands.h"
#include "server/pass.h"
#include "server/syntax.h"

#include <stdio.h>
#include <string.h>

#include "proto/glob.h"

/* ---- what Redis says about a command, derived from the flags ---------------------------------------------------- */

static const struct flag_name {
    unsigned flag;
    const char *name;
} flag_names[] = {
    {FB_CMD_READ, "readonly"},
    {FB_CMD_WRITE, "write"},
    {FB_CMD_ADMIN, "admin"},
    {FB_CMD_FAST, "fast"},
    {FB_CMD_BLOCKS, "blocking"},
    {FB_CMD_NO_AUTH, "no_auth"},
};
enum {
    NFLAGS = sizeof flag_names / sizeof flag_names[0],
    NAME_MAX_LEN = 64, /* "parent|child" and its end */
};

static bool is_in_category(const struct fb_command *command, fb_bytes name) {
    enum fb_acl_category category = fb_acl_category(name);
    return category != FB_CAT_COUNT_ && (fb_acl_categories(command) >> category & 1);
}

static void write_flags(struct fb_resp_out *out, const struct fb_command *command) {
    bool is_movable = command->counted > 0 || command->flags & (FB_KEYS_STORE | FB_KEYS_STREAMS);
    size_t n = is_movable;
    for (size_t i = 0; i < NFLAGS; i++)
        n += (command->flags & flag_names[i].flag) != 0;
    fb_resp_write_set(out, n);
    if (is_movable)
        fb_resp_write_simple(out, "movablekeys");
    for (size_t i = 0; i < NFLAGS; i++)
        if (command->flags & flag_names[i].flag)
            fb_resp_write_simple(out, flag_names[i].name);
}

static void write_categories(struct fb_resp_out *out, const struct fb_command *command) {
    uint32_t categories = fb_acl_categories(command);
    fb_resp_write_set(out, (size_t)__builtin_popcount(categories));
    for (unsigned c = 0; c < FB_CAT_COUNT_; c++)
        if (categories >> c & 1) {
            char text[32];
            snprintf(text, sizeof text, "@%s", fb_acl_category_name(c));
            fb_resp_write_simple(out, text);
        }
}

static const char *full_name(const struct fb_command *command, char name[NAME_MAX_LEN]) {
    snprintf(name, NAME_MAX_LEN, "%s%s%s", command->parent != NULL ? command->parent : "",
             command->parent != NULL ? "|" : "", command->name);
    return name;
}

static void write_full_name(struct fb_resp_out *out, const struct fb_command *command) {
    char name[NAME_MAX_LEN];
    fb_resp_write_bulk(out, FB_STR(full_name(command, name)));
}

static bool is_child(const struct fb_command *row, const struct fb_command *parent) {
    return parent->parent == NULL && strcmp(row->parent, parent->name) == 0;
}

static size_t count_children(const struct fb_command *parent) {
    size_t n, count = 0;
    const struct fb_command *rows = fb_subcommands(&n);
    for (size_t i = 0; i < n; i++)
        count += is_child(&rows[i], parent);
    return count;
}

/* Ten elements, as Redis 7. Tips are left empty. */
static void write_info(struct fb_resp_out *out, const struct fb_command *command) {
    size_t n;
    const struct fb_command *rows = fb_subcommands(&n);
    fb_resp_write_array(out, 10);
    write_full_name(out, command);
    fb_resp_write_integer(out, command->arity);
    write_flags(out, command);
    fb_resp_write_integer(out, command->first);
    fb_resp_write_integer(out, command->last);
    fb_resp_write_integer(out, command->step);
    write_categories(out, command);
    fb_resp_write_array(out, 0);
    fb_write_key_specs(out, command);
    if (command->parent != NULL) {
        fb_resp_write_array(out, 0);
        return;
    }
    fb_resp_write_array(out, count_children(command));
    for (size_t i = 0; i < n; i++)
        if (is_child(&rows[i], command))
            write_info(out, &rows[i]); /* one level: subcommands have none */
}

static void write_docs(struct fb_resp_out *out, const struct fb_command *command, const char *group) {
    size_t n, children = command->parent == NULL ? count_children(command) : 0;
    const struct fb_command *rows = fb_subcommands(&n);
    bool has_arguments = children == 0 && command->syntax[0] != '\0';
    write_full_name(out, command);
    fb_resp_write_map(out, 3u + has_arguments + (children > 0));
    fb_resp_write_bulk(out, FB_STR("summary"));
    fb_resp_write_bulk(out, FB_STR(command->summary));
    fb_resp_write_bulk(out, FB_STR("since"));
    fb_resp_write_bulk(out, FB_STR(command->since));
    fb_resp_write_bulk(out, FB_STR("group"));
    fb_resp_write_bulk(out, FB_STR(group));
    if (has_arguments) {
        fb_resp_write_bulk(out, FB_STR("arguments"));
        fb_syntax_write(out, command->syntax);
    }
    if (children == 0)
        return;
    fb_resp_write_bulk(out, FB_STR("subcommands"));
    fb_resp_write_map(out, children);
    for (size_t i = 0; i < n; i++)
        if (is_child(&rows[i], command))
            write_docs(out, &rows[i], group);
}

/* ---- COMMAND ---------------------------------------------------------------------------------------------------- */

/* What the store carries out; n 0 where there is none. */
static const struct fb_command *foreign_of(const struct fb_call *call, size_t *ret_n) {
    const struct fb_command *rows = fb_foreign(ret_n);
    *ret_n = fb_pass_is_on(fb_call_server(call)) ? *ret_n : 0;
    return rows;
}

static void write_all(struct fb_call *call) {
    size_t n, m;
    const struct fb_command *rows = fb_commands(&n), *foreign = foreign_of(call, &m);
    fb_resp_write_array(call->out, n + m);
    for (size_t i = 0; i < n; i++)
        write_info(call->out, &rows[i]);
    for (size_t i = 0; i < m; i++)
        write_info(call->out, &foreign[i]);
}

/* COMMAND alone; with a second word its subcommand has been found instead. */
void fb_cmd_command(struct fb_call *call) { write_all(call); }

void fb_cmd_command_count(struct fb_call *call) {
    size_t n, m;
    (void)fb_commands(&n);
    (void)foreign_of(call, &m);
    fb_resp_write_integer(call->out, (int64_t)(n + m));
}

/* "get", or "client|id". */
static const struct fb_command *find_by_name(const struct fb_call *call, fb_bytes name) {
    const char *bar = memchr(name.data, '|', name.len);
    struct fb_verb verb = fb_verb_find(&name, 1);
    if (bar == NULL)
        return verb.command == NULL && fb_pass_is_on(fb_call_server(call)) ? verb.foreign : verb.command;
    size_t len = (size_t)(bar - name.data);
    const fb_bytes words[] = {fb_bytes_of(name.data, len), fb_bytes_of(bar + 1, name.len - len - 1)};
    const struct fb_command *command = fb_verb_find(words, 2).command;
    return command != NULL && command->parent != NULL ? command : NULL; /* "get|x": GET is no parent */
}

void fb_cmd_command_info(struct fb_call *call) {
    if (call->argc == 2) {
        write_all(call);
        return;
    }
    fb_resp_write_array(call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        const struct fb_command *command = find_by_name(call, call->argv[i]);
        if (command != NULL)
            write_info(call->out, command);
        else
            fb_resp_write_null(call->out);
    }
}

static const char *group_of(const struct fb_command *command) {
    return command->parent != NULL ? fb_command_named(FB_STR(command->parent))->group : command->group;
}

void fb_cmd_command_docs(struct fb_call *call) {
    size_t n, m, found = 0;
    const struct fb_command *rows = fb_commands(&n), *foreign = foreign_of(call, &m);
    if (call->argc == 2) {
        fb_resp_write_map(call->out, n + m);
        for (size_t i = 0; i < n; i++)
            write_docs(call->out, &rows[i], rows[i].group);
        for (size_t i = 0; i < m; i++)
            write_docs(call->out, &foreign[i], foreign[i].group);
        return;
    }
    for (size_t i = 2; i < call->argc; i++)
        found += find_by_name(call, call->argv[i]) != NULL;
    fb_resp_write_map(call->out, found);
    for (size_t i = 2; i < call->argc; i++) {
        const struct fb_command *command = find_by_name(call, call->argv[i]);
        if (command != NULL)
            write_docs(call->out, command, group_of(command));
    }
}

static bool is_listed(const struct fb_call *call, const struct fb_command *command) {
    if (call->argc == 2)
        return true;
    char name[NAME_MAX_LEN];
    if (fb_is_word(call->argv[3], "pattern"))
        return fb_glob_match(call->argv[4], FB_STR(full_name(command, name)), /* ignore_case */ true);
    return fb_is_word(call->argv[3], "aclcat") && is_in_category(command, call->argv[4]);
}

/* Commands and subcommands; COMMAND COUNT and COMMAND INFO without names count the former only, as Redis does. */
void fb_cmd_command_list(struct fb_call *call) {
    size_t n, m, k, count = 0;
    const struct fb_command *rows = fb_commands(&n), *children = fb_subcommands(&m), *foreign = foreign_of(call, &k);
    bool has_filter = call->argc == 5 && fb_is_word(call->argv[2], "filterby") &&
                      (fb_is_word(call->argv[3], "pattern") || fb_is_word(call->argv[3], "aclcat") ||
                       fb_is_word(call->argv[3], "module"));
    if (call->argc != 2 && !has_filter) {
        fb_call_syntax_error(call);
        return;
    }
    for (size_t i = 0; i < n; i++)
        count += is_listed(call, &rows[i]);
    for (size_t i = 0; i < m; i++)
        count += is_listed(call, &children[i]);
    for (size_t i = 0; i < k; i++)
        count += is_listed(call, &foreign[i]);
    fb_resp_write_array(call->out, count);
    for (size_t i = 0; i < n; i++)
        if (is_listed(call, &rows[i]))
            write_full_name(call->out, &rows[i]);
    for (size_t i = 0; i < m; i++)
        if (is_listed(call, &children[i]))
            write_full_name(call->out, &children[i]);
    for (size_t i = 0; i < k; i++)
        if (is_listed(call, &foreign[i]))
            write_full_name(call->out, &foreign[i]);
}

/* ---- HELP of every parent --------------------------------------------------------------------------------------- */

void fb_cmd_help(struct fb_call *call) {
    const struct fb_command *parent = fb_command_named(call->argv[0]);
    size_t n;
    const struct fb_command *rows = fb_subcommands(&n);
    char line[256], upper[32];
    fb_resp_write_array(call->out, 1 + 2 * count_children(parent));
    snprintf(line, sizeof line, "%s <subcommand> [<arg> ...]. Subcommands are:", parent->name);
    fb_resp_write_simple(call->out, line);
    for (size_t i = 0; i < n; i++) {
        if (!is_child(&rows[i], parent))
            continue;
        size_t k = 0;
        for (; rows[i].name[k] != '\0' && k < sizeof upper - 1; k++)
            upper[k] = (char)(rows[i].name[k] >= 'a' ? rows[i].name[k] - ('a' - 'A') : rows[i].name[k]);
        upper[k] = '\0';
        snprintf(line, sizeof line, "%s %s", upper, rows[i].syntax);
        fb_resp_write_simple(call->out, line);
        snprintf(line, sizeof line, "    %s.", rows[i].summary);
        fb_resp_write_simple(call->out, line);
    }
}

/* CLIENT or CONFIG without a second word does not come here (arity −2); the row needs a handler all the same. */
void fb_cmd_parent(struct fb_call *call) { fb_call_syntax_error(call); }

/* ---- the reference page ----------------------------------------------------------------------------------------- */

/* `|` ends a cell of a Markdown table. */
static void print_cell(FILE *out, const char *text) {
    for (; *text != '\0'; text++)
        fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

static void print_name(FILE *out, const struct fb_command *row) {
    fputs("| `", out);
    for (const char *p = row->parent != NULL ? row->parent : ""; *p != '\0'; p++)
        fputc(*p >= 'a' ? *p - ('a' - 'A') : *p, out);
    fputs(row->parent != NULL ? " " : "", out);
    for (const char *p = row->name; *p != '\0'; p++)
        fputc(*p >= 'a' ? *p - ('a' - 'A') : *p, out);
    if (row->syntax[0] != '\0')
        fputc(' ', out);
    print_cell(out, row->syntax);
    fputs("` | ", out);
    print_cell(out, row->summary);
    fputs(" |\n", out);
}

void fb_commands_print_reference(FILE *out) {
    size_t n, m;
    const struct fb_command *rows = fb_commands(&n), *children = fb_subcommands(&m);
    const char *group = "";
    fb_commands_prepare();
    fputs("# Commands\n\n"
          "Printed by `forebay reference commands`; the table in the program is the only place where a command is "
          "declared.\n"
          "Keys belong to keyspaces, and a command does what the keyspace says. DEL, EXPIRE and FLUSHDB concern cached "
          "copies\n"
          "and never delete a row, unless the keyspace says `on_del: delete-row`.\n", out);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(group, rows[i].group) != 0) {
            group = rows[i].group;
            fprintf(out, "\n## %s\n\n| command | what it does |\n|---|---|\n", group);
        }
        if (!(rows[i].flags & FB_CMD_PARENT) || strcmp(rows[i].name, "command") == 0)
            print_name(out, &rows[i]);
        for (size_t k = 0; k < m; k++)
            if (is_child(&children[k], &rows[i]))
                print_name(out, &children[k]);
    }
    fb_print_refused(out);
    fb_pass_print_reference(out);
}
