/* What is wrong with the files that a server's options name, told without starting it. */
#include "server/server.h"

#include "server/commands.h"
#include "server/tls.h"
#include "server/users.h"

struct complaint {
    fb_server_complain *complain;
    void *user;
    const char *path;
};

static void pass_on(void *user, unsigned line, const char *text) {
    const struct complaint *c = user;
    c->complain(c->user, "users_file", c->path, line, text);
}

unsigned fb_server_check(const struct fb_server_options *options, fb_server_complain *complain, void *user) {
    struct complaint c = {complain, user, options->users_file};
    struct fb_tls_context *context = NULL;
    fb_err err = {0};
    unsigned faults = 0;
    fb_commands_prepare(); /* rules name commands */
    if (options->users_file != NULL)
        faults += fb_users_check(options->users_file, options->password != NULL, pass_on, &c);
    if (options->tls.listen != NULL && options->tls.listen[0] != NULL && fb_tls_context_new(&options->tls, &context, &err) != FB_OK) {
        complain(user, "tls_listen", NULL, 0, err.text);
        faults++;
    }
    fb_tls_context_unref(context);
    return faults;
}
