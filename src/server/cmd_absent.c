/* What clients ask of a Redis and Forebay has none of: replicas, persistence, modules, scripts. Where the answer "none"
 * is true it is given; SHUTDOWN stops the process as SIGTERM does. */
#include "server/commands.h"

/* ---- no replicas, nothing saved ------------------------------------------------------------------------------------ */

void fb_cmd_role(struct fb_call *call) {
    fb_resp_write_array(call->out, 3);
    fb_resp_write_bulk(call->out, FB_STR("master"));
    fb_resp_write_integer(call->out, 0);
    fb_resp_write_array(call->out, 0);
}

/* The start: since then nothing had to be saved. */
void fb_cmd_lastsave(struct fb_call *call) {
    fb_resp_write_integer(call->out, fb_call_server(call)->started_wall_us / 1000000);
}

/* ---- no modules, no scripts ----------------------------------------------------------------------------------------- */

void fb_cmd_empty_list(struct fb_call *call) { fb_resp_write_array(call->out, 0); }

static bool is_flush_mode(const struct fb_call *call) {
    return call->argc == 2 ||
           (call->argc == 3 && (fb_is_word(call->argv[2], "sync") || fb_is_word(call->argv[2], "async")));
}

/* Clients that clean up after themselves expect it to work. */
void fb_cmd_function_flush(struct fb_call *call) {
    if (is_flush_mode(call))
        fb_resp_write_simple(call->out, "OK");
    else
        fb_call_error(call, FUNCTION_FLUSH);
}

void fb_cmd_script_flush(struct fb_call *call) {
    if (is_flush_mode(call))
        fb_resp_write_simple(call->out, "OK");
    else
        fb_call_error(call, SCRIPT_FLUSH);
}

void fb_cmd_script_exists(struct fb_call *call) {
    fb_resp_write_array(call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++)
        fb_resp_write_integer(call->out, 0);
}

/* Test suites say what they do next; nobody reads it. */
void fb_cmd_debug_log(struct fb_call *call) { fb_resp_write_simple(call->out, "OK"); }

/* ---- SHUTDOWN ------------------------------------------------------------------------------------------------------ */

/* Without a reply: the end of the connection is the answer, as with Redis. */
void fb_cmd_shutdown(struct fb_call *call) {
    const struct fb_server_hooks *hooks = &fb_call_server(call)->options.hooks;
    enum { SAVE = 1, NOSAVE = 2, NOW = 4, FORCE = 8, ABORT = 16 };
    static const struct { const char *word; unsigned flag, excludes; } words[] = {
        {"save", SAVE, NOSAVE | ABORT}, {"nosave", NOSAVE, SAVE | ABORT}, {"now", NOW, ABORT},
        {"force", FORCE, ABORT}, {"abort", ABORT, ~0u}};
    unsigned flags = 0;
    for (size_t i = 1; i < call->argc; i++) {
        size_t k = 0;
        while (k < sizeof words / sizeof words[0] && !fb_is_word(call->argv[i], words[k].word))
            k++;
        if (k == sizeof words / sizeof words[0] || (flags & words[k].excludes)) {
            fb_call_syntax_error(call);
            return;
        }
        flags |= words[k].flag;
    }
    if (flags & ABORT)
        fb_call_error(call, NO_SHUTDOWN);
    else if (hooks->stop == NULL)
        fb_call_error(call, EMBEDDED);
    else
        hooks->stop(hooks->user, (flags & NOW) != 0);
}
