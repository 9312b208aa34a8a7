/* Finding commands, checking them, and the handlers of all rows of tbl/commands.h. */
#ifndef FB_SERVER_COMMANDS_H
#define FB_SERVER_COMMANDS_H

#include "server/call.h"
#include "tbl/commands.h"
#include "tbl/foreign.h"

#include <stdio.h>

/* Build the index of names; called before the first loop starts, any number of times. */
void fb_commands_prepare(void);
/* What the first words of a command line name, in any case: a row (of the subcommand, when there is one), a parent
 * without that subcommand, a command that is refused, or nothing. */
struct fb_refused;
struct fb_verb {
    const struct fb_command *command, *parent;
    const struct fb_refused *refused;
    const struct fb_command *foreign; /* the same as a row of tbl/foreign.h, for the store */
};
struct fb_verb fb_verb_find(const fb_bytes *argv, size_t argc);
/* Does it need its connection for itself (S2)? */
static inline bool fb_verb_is_alone(const struct fb_verb *verb) {
    return verb->command != NULL && (verb->command->flags & (FB_CMD_WRITE | FB_CMD_ALONE));
}
/* The row of a first word, or NULL. */
const struct fb_command *fb_command_named(fb_bytes name);
/* All rows, in the order of the table; and those of FB_SUBCOMMAND_MAP, which follow them in memory. */
const struct fb_command *fb_commands(size_t *ret_count);
const struct fb_command *fb_subcommands(size_t *ret_count);
/* Those of FB_FOREIGN_MAP, behind both; and the row that stands for what no table knows. */
const struct fb_command *fb_foreign(size_t *ret_count);
const struct fb_command *fb_command_unknown(void);
/* All rows together, and where one stands among them. */
size_t fb_command_count(void);
size_t fb_command_number(const struct fb_command *command);
/* "get", "config|get". */
enum { FB_COMMAND_NAME_MAX = 64 };
const char *fb_command_full_name(const struct fb_command *command, char out[FB_COMMAND_NAME_MAX]);
/* SCAN's, as decimal digits; false: it is none. */
bool fb_cursor_read(fb_bytes text, uint64_t *ret_cursor);
bool fb_arity_fits(const struct fb_command *command, size_t argc);

enum fb_dispatch { FB_DISPATCH_DONE, FB_DISPATCH_HOLD, FB_DISPATCH_STARVE, FB_DISPATCH_HANG_UP };
/* Carry out one request. Not begun: HOLD, because it must wait for what came before (S2); STARVE, because too many
 * operations are under way. */
enum fb_dispatch fb_dispatch(struct fb_session *session, const struct fb_verb *verb, const fb_bytes *argv, size_t argc);

/* The same for the next of the requests that a running EXEC answers. */
enum fb_dispatch fb_dispatch_queued(struct fb_session *session);

fb_handler fb_cmd_foreign;
#define FB_DECLARE_COMMAND_(name, handler, ...) fb_handler fb_cmd_##handler;
#define FB_DECLARE_SUBCOMMAND_(parent, name, handler, ...) fb_handler fb_cmd_##handler;
FB_COMMAND_MAP(FB_DECLARE_COMMAND_)
FB_SUBCOMMAND_MAP(FB_DECLARE_SUBCOMMAND_)
#undef FB_DECLARE_COMMAND_
#undef FB_DECLARE_SUBCOMMAND_

/* The version of Redis whose forms of commands clients may use; they decide by it. */
#define FB_REDIS_VERSION "7.4.0"
/* Copy a text a client says about itself (`what`, for the error) under the loop's lock; false: the error is written. */
bool fb_set_client_text(struct fb_call *call, char target[FB_NAME_MAX], fb_bytes text, const char *what);
/* Where the keys of a command stand and what it does with them, as the ninth element of COMMAND INFO. */
void fb_write_key_specs(struct fb_resp_out *out, const struct fb_command *command);
/* The part of the reference page about commands that are refused. */
void fb_print_refused(FILE *out);
/* Names of those that a store does not change. */
void fb_refused_print_reference(FILE *out);

/* Append the text of INFO for the sections named (none: the default ones). */
void fb_info_append(struct fb_server *server, const fb_bytes *sections, size_t n, fb_buf *out);

#endif
