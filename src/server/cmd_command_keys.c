/* COMMAND GETKEYS, GETKEYSANDFLAGS, and what COMMAND INFO says about the keys of a command. */
#include "server/acl.h"
#include "server/commands.h"
#include "server/pass.h"

enum { WORDS_MAX = 4 };

/* What a command does with its keys, in Redis' words and their order; returns how many. `argv` NULL: in general. */
static size_t find_words(const struct fb_command *command, const fb_bytes *argv, size_t argc,
                         const char *words[WORDS_MAX]) {
    unsigned flags = command->flags;
    bool is_variable = (flags & FB_KEY_SET) != 0, hands_out = (flags & FB_KEY_ACCESS) != 0;
    size_t n = 0;
    if (is_variable)
        hands_out = argv == NULL || fb_command_has_get(argv, argc);
    bool is_over = flags & FB_KEY_OVER || (is_variable && !hands_out), deletes = (flags & FB_KEY_DELETE) != 0;
    if (!(flags & FB_CMD_WRITE)) {
        words[n++] = "RO";
        if (!(flags & FB_KEY_META))
            words[n++] = "access";
        return n;
    }
    words[n++] = !is_over ? "RW" : deletes ? "RM" : "OW";
    if (hands_out)
        words[n++] = "access";
    words[n++] = deletes ? "delete" : flags & FB_KEY_INSERT ? "insert" : "update";
    if (is_variable && argv == NULL)
        words[n++] = "variable_flags";
    return n;
}

static void write_words(struct fb_resp_out *out, const struct fb_command *command, const fb_bytes *argv, size_t argc) {
    const char *words[WORDS_MAX];
    size_t n = find_words(command, argv, argc, words);
    fb_resp_write_set(out, n);
    for (size_t i = 0; i < n; i++)
        fb_resp_write_simple(out, words[i]);
}

/* ---- in general: a map of flags, where the first key stands, and how to find the others --------------------------- */

static void write_pair(struct fb_resp_out *out, const char *name, int64_t number) {
    fb_resp_write_bulk(out, FB_STR(name));
    fb_resp_write_integer(out, number);
}

static void write_type(struct fb_resp_out *out, const char *step, const char *type, size_t n) {
    fb_resp_write_bulk(out, FB_STR(step));
    fb_resp_write_map(out, 2);
    fb_resp_write_bulk(out, FB_STR("type"));
    fb_resp_write_bulk(out, FB_STR(type));
    fb_resp_write_bulk(out, FB_STR("spec"));
    fb_resp_write_map(out, n);
}

void fb_write_key_specs(struct fb_resp_out *out, const struct fb_command *command) {
    fb_resp_write_array(out, command->first > 0);
    if (command->first == 0)
        return;
    fb_resp_write_map(out, 3);
    fb_resp_write_bulk(out, FB_STR("flags"));
    write_words(out, command, NULL, 0);
    write_type(out, "begin_search", "index", 1);
    write_pair(out, "index", command->first);
    write_type(out, "find_keys", "range", 3);
    write_pair(out, "lastkey", command->last < 0 ? command->last : command->last - command->first);
    write_pair(out, "keystep", command->step);
    write_pair(out, "limit", 0);
}

/* ---- of one request ----------------------------------------------------------------------------------------------- */

static void write_keys(struct fb_call *call, bool with_flags) {
    const fb_bytes *argv = call->argv + 2;
    size_t argc = call->argc - 2;
    struct fb_verb verb = fb_verb_find(argv, argc);
    bool has_store = fb_pass_is_on(fb_call_server(call));
    const struct fb_command *command = verb.command == NULL && has_store ? verb.foreign : verb.command;
    size_t n = 0;
    if (command != NULL)
        for (size_t i = fb_key_next(command, argv, argc, 0); i < argc; i = fb_key_next(command, argv, argc, i))
            n++;
    if (command == NULL) {
        fb_call_error(call, GETKEYS_COMMAND);
    } else if (command->first == 0 && !(command->flags & FB_CMD_FOREIGN)) {
        fb_call_error(call, GETKEYS_NONE);
    } else if (!fb_arity_fits(command, argc)) {
        fb_call_error(call, GETKEYS_ARITY);
    } else if (n == 0) {
        fb_call_refuse(call, command->counted > 0 ? FB_ERROR_GETKEYS_NONE : FB_ERROR_GETKEYS_ARITY);
    } else {
        fb_resp_write_array(call->out, n);
        for (size_t i = fb_key_next(command, argv, argc, 0); i < argc; i = fb_key_next(command, argv, argc, i)) {
            if (with_flags)
                fb_resp_write_array(call->out, 2);
            fb_resp_write_bulk(call->out, argv[i]);
            if (with_flags)
                write_words(call->out, command, argv, argc);
        }
    }
}

void fb_cmd_command_getkeys(struct fb_call *call) { write_keys(call, false); }
void fb_cmd_command_getkeysandflags(struct fb_call *call) { write_keys(call, true); }
