/* forebay ping: does a server answer? For health checks of containers, which have no redis-cli. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/config_args.h"
#include "cli/reach.h"

enum { PATIENCE_S = 3, REPLY_MAX = 256 };

static int no(const char *address, const char *why) {
    fprintf(stderr, "forebay ping: %s: %s\n", address, why);
    return FB_EXIT_FAILURE;
}

/* +PONG; or an error that asks for a password: somebody is there and answers. */
static int ask(const char *address) {
    static const char request[] = "PING\r\n";
    static const char *const answers[] = {"+PONG\r\n", "-NOAUTH "};
    char reply[REPLY_MAX + 1] = "";
    int fd = fb_reach(address, PATIENCE_S);
    if (fd < 0)
        return no(address, strerror(errno));
    ssize_t n = send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    n = n == (ssize_t)sizeof request - 1 ? recv(fd, reply, REPLY_MAX, 0) : -1;
    int number = errno;
    close(fd);
    if (n < 0)
        return no(address, number == EAGAIN ? "no answer in time" : strerror(number));
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (strncmp(reply, answers[i], strlen(answers[i])) == 0)
            return FB_EXIT_OK;
    return no(address, n == 0 ? "closed the connection" : "something else answers there");
}

static int run(struct fb_cli_args *args) {
    struct fb_config_args config;
    struct fb_conf *conf = NULL;
    const char *value, *address = NULL;
    int status = fb_config_args_begin(&config, args);
    for (int opt; status == FB_EXIT_OK && (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        if (opt == FB_CLI_WORD && address == NULL)
            address = value;
        else
            status = fb_config_args_take(&config, args, opt, value);
    if (status == FB_EXIT_OK && address == NULL) {
        status = fb_config_args_load(&config, &conf);
        if (status != FB_EXIT_OK && conf != NULL)
            fb_cli_print_diagnostics(conf, stderr);
        else if (status == FB_EXIT_OK)
            address = conf->listen[0];
    }
    if (status == FB_EXIT_OK)
        status = ask(address);
    fb_conf_free(conf);
    fb_config_args_finish(&config);
    return status;
}

static const struct fb_cli_option options[] = {FB_CONFIG_OPTIONS, {0}};

const struct fb_cli_command fb_cli_ping = {
    "ping",
    "[ADDRESS | -c FILE]",
    "say whether a server answers",
    "Sends PING to ADDRESS (HOST:PORT or unix:/PATH), or to the first address of the configuration,\n"
    "and says nothing: the exit status is 0 when it answers within 3 seconds, else 1. A server that\n"
    "asks for a password answers. For the health check of a container:\n\n"
    "  HEALTHCHECK CMD forebay ping 127.0.0.1:6380",
    options,
    true,
    run,
};
