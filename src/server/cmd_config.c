/* CONFIG: settings by name, as the program around the server has them. */
#include "server/measure.h"

#include <stdio.h>
#include <string.h>

#include "proto/glob.h"

/* Settings of Redis that clients ask for and that Forebay does not have: fixed answers. Setting one to what it is, is
 * no error: tools do it to be sure. */
static const struct fixed { const char *name, *value; } fixed[] = {
    {"appendonly", "no"}, {"databases", "16"}, {"replica-read-only", "yes"}, {"save", ""},
    {"slave-read-only", "yes"},
};

/* Settings of Redis that cannot be set: the first ones since their meaning here is part of another that needs a restart
 * (port is listen's), the rest as in Redis. */
static const char *const immutable[] = {
    "port", "bind", "tls-port",
    "always-show-logo", "aof_rewrite_cpulist", "appenddirname", "appendfilename", "bgsave_cpulist", "bio_cpulist",
    "cluster-config-file", "cluster-enabled", "cluster-port", "daemonize", "disable-thp", "enable-debug-command",
    "enable-module-command", "enable-protected-configs", "io-threads-do-reads", "logfile", "pidfile", "rdbchecksum",
    "replicaof", "server_cpulist", "set-proc-title", "slaveof", "socket-mark-id", "supervised", "syslog-enabled",
    "syslog-facility", "syslog-ident", "tcp-backlog", "unixsocket",
};

struct found {
    struct fb_resp_out pairs;
    size_t n;
    bool may_repeat; /* several patterns */
};

/* A setting that two patterns match comes once. */
static bool is_there(const struct found *found, const char *name) {
    struct fb_resp_out wanted = FB_RESP_OUT_INIT;
    fb_resp_write_bulk(&wanted, FB_STR(name));
    bool is = !wanted.failed && found->pairs.buf.len > 0 &&
              memmem(found->pairs.buf.data, found->pairs.buf.len, wanted.buf.data, wanted.buf.len) != NULL;
    fb_buf_free(&wanted.buf);
    return is;
}

static void emit(void *user, const char *name, const char *value) {
    struct found *found = user;
    if (found->may_repeat && is_there(found, name))
        return;
    fb_resp_write_bulk(&found->pairs, FB_STR(name));
    fb_resp_write_bulk(&found->pairs, FB_STR(value));
    found->n++;
}

static void find(struct fb_call *call, fb_bytes pattern, struct found *found) {
    const struct fb_server_options *options = &fb_call_server(call)->options;
    char glob[FB_GLOB_LEN_MAX + 1], port[16];
    if (pattern.len > FB_GLOB_LEN_MAX || memchr(pattern.data, '\0', pattern.len) != NULL)
        return;
    memcpy(glob, pattern.data, pattern.len);
    glob[pattern.len] = '\0';
    if (options->config_get != NULL)
        options->config_get(options->config_user, glob, emit, found);
    for (size_t k = 0; k < sizeof fixed / sizeof fixed[0]; k++)
        if (fb_glob_match(pattern, FB_STR(fixed[k].name), /* ignore_case */ true))
            emit(found, fixed[k].name, fixed[k].value);
    snprintf(port, sizeof port, "%u", fb_server_port(fb_call_server(call)));
    if (fb_glob_match(pattern, FB_STR("port"), /* ignore_case */ true))
        emit(found, "port", port);
}

void fb_cmd_config_get(struct fb_call *call) {
    struct found found = {FB_RESP_OUT_INIT, 0, call->argc > 3};
    for (size_t i = 2; i < call->argc; i++)
        find(call, call->argv[i], &found);
    fb_resp_write_map(call->out, found.n);
    if (found.pairs.failed || fb_buf_append(&call->out->buf, found.pairs.buf.data, found.pairs.buf.len) != FB_OK)
        call->out->failed = true;
    fb_buf_free(&found.pairs.buf);
}

enum { SHOWN_MAX = 128, PAIRS_MAX = 64 };

static void refuse(struct fb_call *call, fb_bytes name, const char *why) {
    int shown = (int)(name.len < SHOWN_MAX ? name.len : SHOWN_MAX);
    fb_call_error(call, CONFIG_SET, shown, name.data, why);
}

static void refuse_unknown(struct fb_call *call, fb_bytes name) {
    fb_call_error(call, CONFIG_UNKNOWN, (int)(name.len < SHOWN_MAX ? name.len : SHOWN_MAX), name.data);
}

/* One of Redis' settings that is not ours: answered here. */
static bool is_answered(struct fb_call *call, const fb_field *pair, bool *ret_ok) {
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (fb_is_word(pair->name, fixed[i].name)) {
            *ret_ok = fb_is_word(pair->value, fixed[i].value);
            if (!*ret_ok)
                refuse(call, pair->name, "can't set immutable config");
            return true;
        }
    for (size_t i = 0; i < sizeof immutable / sizeof immutable[0]; i++)
        if (fb_is_word(pair->name, immutable[i])) {
            refuse(call, pair->name, "can't set immutable config");
            *ret_ok = false;
            return true;
        }
    return false;
}

void fb_cmd_config_set(struct fb_call *call) {
    const struct fb_server_options *options = &fb_call_server(call)->options;
    fb_field pairs[PAIRS_MAX];
    size_t n = 0, which = 0;
    fb_err err = {0};
    if (call->argc % 2 != 0) {
        fb_call_syntax_error(call);
        return;
    }
    for (size_t i = 2; i + 1 < call->argc; i += 2) {
        fb_field pair = {call->argv[i], call->argv[i + 1]};
        bool is_ok;
        if (is_answered(call, &pair, &is_ok)) {
            if (!is_ok)
                return;
        } else if (n == PAIRS_MAX) {
            refuse(call, pair.name, "too many settings at a time");
            return;
        } else {
            pairs[n++] = pair;
        }
    }
    fb_status status = n == 0 ? FB_OK : FB_NOTFOUND;
    if (n > 0 && options->config_set != NULL)
        status = options->config_set(options->config_user, pairs, n, &which, &err);
    if (status == FB_OK)
        fb_resp_write_simple(call->out, "OK");
    else if (status == FB_NOMEM)
        fb_call_out_of_memory(call);
    else if (status == FB_NOTFOUND)
        refuse_unknown(call, pairs[which].name);
    else
        refuse(call, pairs[which].name, err.text);
}

void fb_cmd_config_rewrite(struct fb_call *call) {
    fb_call_error(call, CONFIG_FILE);
}

void fb_cmd_config_resetstat(struct fb_call *call) {
    struct fb_server *server = fb_call_server(call);
    struct fb_totals now;
    fb_server_totals(server, &now);
    fb_lock_acquire(&server->lock);
    server->baseline = now;
    memset(server->errors, 0, sizeof server->errors);
    fb_lock_release(&server->lock);
    fb_measure_reset(server);
    fb_resp_write_simple(call->out, "OK");
}
