/* forebay dead: the writes that a database refused, asked of the running server. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/config_args.h"
#include "cli/reach.h"
#include "proto/resp.h"

enum { OPT_ADDRESS = FB_OPT_OWN, OPT_OF, OPT_AFTER, OPT_COUNT, WORDS_MAX = 12, PATIENCE_S = 30, CHUNK = 16384 };

static const struct fb_resp_reply_limits limits = {.nodes_max = 100000, .bulk_max = 64 << 20};

static int no(const char *what, const char *why) {
    fprintf(stderr, "forebay dead: %s: %s\n", what, why);
    return FB_EXIT_FAILURE;
}

/* ---- one request, one reply ---- */

static bool send_words(int fd, const fb_bytes *words, size_t n) {
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    fb_resp_write_command(&out, words, n);
    size_t sent = 0;
    while (sent < out.buf.len) {
        ssize_t some = send(fd, out.buf.data + sent, out.buf.len - sent, MSG_NOSIGNAL);
        if (some <= 0)
            break;
        sent += (size_t)some;
    }
    bool is_sent = sent == out.buf.len && sent > 0;
    fb_buf_free(&out.buf);
    return is_sent;
}

/* `in` keeps the bytes that the reply borrows. */
static bool receive(int fd, fb_buf *in, struct fb_resp_reply *reply) {
    for (;;) {
        size_t size;
        fb_err err;
        enum fb_resp_verdict verdict =
            in->len > 0 ? fb_resp_reply(in->data, in->data + in->len, &limits, reply, &size, &err) : FB_RESP_MORE;
        if (verdict != FB_RESP_MORE)
            return verdict == FB_RESP_DONE;
        if (fb_buf_reserve(in, CHUNK) != FB_OK)
            return false;
        ssize_t n = recv(fd, in->data + in->len, CHUNK, 0);
        if (n <= 0)
            return false;
        in->len += (size_t)n;
    }
}

/* ---- letters for people ---- */

static void print_text(fb_bytes text) {
    for (size_t i = 0; i < text.len; i++)
        putchar((unsigned char)text.data[i] < ' ' ? ' ' : text.data[i]);
}

/* A flat array of names and values. Returns where the next value begins. */
static size_t print_letter(const struct fb_resp_reply *reply, size_t at) {
    size_t end = at + 1 + reply->items[at].children;
    for (size_t i = at + 1; i + 1 < end; i += 2) {
        printf(i == at + 1 ? "%-10.*s" : "  %-10.*s", (int)reply->items[i].text.len, reply->items[i].text.data);
        print_text(reply->items[i + 1].text);
        putchar('\n');
    }
    return end;
}

static int print_reply(const struct fb_resp_reply *reply, bool is_list, bool is_change) {
    const struct fb_resp_node *first = &reply->items[0];
    if (first->type == FB_RESP_ERROR) {
        fprintf(stderr, "forebay dead: %.*s\n", (int)first->text.len, first->text.data);
        return FB_EXIT_FAILURE;
    }
    if (is_change)
        return first->number == 1 ? FB_EXIT_OK : no("letter", "there is none with this number");
    if (!is_list && first->children == 0)
        return no("letter", "there is none with this number");
    for (size_t at = is_list ? 1 : 0; at < reply->count;)
        at = print_letter(reply, at);
    return FB_EXIT_OK;
}

static int ask(const char *address, const char *password, const fb_bytes *words, size_t n) {
    fb_bytes login[] = {FB_STR("AUTH"), FB_STR(password != NULL ? password : "")};
    fb_buf in = FB_BUF_INIT;
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    bool is_list = strcmp(words[1].data, "list") == 0;
    bool is_change = strcmp(words[1].data, "retry") == 0 || strcmp(words[1].data, "drop") == 0;
    int status = FB_EXIT_FAILURE, fd = fb_reach(address, PATIENCE_S);
    if (fd < 0)
        return no(address, strerror(errno));
    bool is_in = password == NULL || (send_words(fd, login, 2) && receive(fd, &in, &reply));
    if (password != NULL && is_in && reply.items[0].type == FB_RESP_ERROR) {
        status = print_reply(&reply, false, false);
    } else if (is_in) {
        fb_resp_reply_finish(&reply);
        in.len = 0;
        status = send_words(fd, words, n) && receive(fd, &in, &reply) ? print_reply(&reply, is_list, is_change)
                                                                       : no(address, "no answer");
    } else {
        status = no(address, "no answer");
    }
    close(fd);
    fb_resp_reply_finish(&reply);
    fb_buf_free(&in);
    return status;
}

/* ---- the command line ---- */

static int run(struct fb_cli_args *args) {
    static const struct { int opt; const char *word; } pairs[] = {
        {OPT_OF, "SOURCE"}, {OPT_AFTER, "AFTER"}, {OPT_COUNT, "COUNT"}};
    struct fb_config_args config;
    struct fb_conf *conf = NULL;
    const char *value, *address = NULL, *verb = NULL, *id = NULL, *given[3] = {NULL};
    fb_bytes words[WORDS_MAX] = {FB_STR("FB.DEAD")};
    size_t n = 2;
    int status = fb_config_args_begin(&config, args);
    for (int opt; status == FB_EXIT_OK && (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        if (opt == FB_CLI_WORD && verb == NULL)
            verb = value;
        else if (opt == FB_CLI_WORD && id == NULL)
            id = value;
        else if (opt == OPT_ADDRESS)
            address = value;
        else if (opt >= OPT_OF && opt <= OPT_COUNT)
            given[opt - OPT_OF] = value;
        else
            status = fb_config_args_take(&config, args, opt, value);
    if (status == FB_EXIT_OK && (verb == NULL || (strcmp(verb, "list") != 0) != (id != NULL)))
        status = fb_cli_usage(&fb_cli_dead, "give list, or get, retry or drop with the number of a letter");
    if (status == FB_EXIT_OK)
        status = fb_config_args_load(&config, &conf);
    if (status != FB_EXIT_OK && conf != NULL && address == NULL)
        fb_cli_print_diagnostics(conf, stderr);
    if (status == FB_EXIT_OK) {
        words[1] = FB_STR(verb);
        if (id != NULL)
            words[n++] = FB_STR(id);
        for (size_t i = 0; i < 3; i++)
            if (given[i] != NULL) {
                words[n++] = FB_STR(pairs[i].word);
                words[n++] = FB_STR(given[i]);
            }
        status = ask(address != NULL ? address : conf->listen[0], conf->password, words, n);
    }
    fb_conf_free(conf);
    fb_config_args_finish(&config);
    return status;
}

static const struct fb_cli_option options[] = {
    FB_CONFIG_OPTIONS,
    {"address", 'a', "ADDRESS", "of the server (else the first of the configuration's)", OPT_ADDRESS},
    {"of", 0, "SOURCE", "the source, where several are written behind", OPT_OF},
    {"after", 0, "ID", "list: beyond this number", OPT_AFTER},
    {"count", 0, "N", "list: at most so many; 10", OPT_COUNT},
    {0},
};

const struct fb_cli_command fb_cli_dead = {
    "dead",
    "list | get ID | retry ID | drop ID [-c FILE]",
    "writes that were acknowledged and that the database refused",
    "Asks the running server, with FB.DEAD. A letter shows the key, the change and the reason that\n"
    "the database gave. 'retry' writes it once more and removes it, or says why it is refused again;\n"
    "'drop' removes it. Ends with 1 when there is no such letter, or it is refused again.",
    options,
    true,
    run,
};
