/* Commands that concern the server: settings, counters, clock, and forgetting everything. */
#include "server/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "proto/glob.h"

void fb_cmd_time(struct fb_call *call) {
    char text[24];
    int64_t now_us = fb_clock_wall_us();
    fb_resp_write_array(call->out, 2);
    snprintf(text, sizeof text, "%" PRId64, now_us / 1000000);
    fb_resp_write_bulk(call->out, FB_STR(text));
    snprintf(text, sizeof text, "%" PRId64, now_us % 1000000);
    fb_resp_write_bulk(call->out, FB_STR(text));
}

/* Copies only: systems in which "clear the cache" reached the table have lost data. */
void fb_cmd_flush(struct fb_call *call) {
    bool is_known = call->argc == 1 || (call->argc == 2 && (fb_is_word(call->argv[1], "async") ||
                                                            fb_is_word(call->argv[1], "sync")));
    if (!is_known) {
        fb_call_syntax_error(call);
        return;
    }
    if (call->session->db == 0 || fb_is_word(FB_STR(call->command->name), "flushall"))
        fb_invalidate_all(fb_call_cache(call));
    fb_resp_write_simple(call->out, "OK");
}

void fb_cmd_info(struct fb_call *call) {
    fb_buf text = FB_BUF_INIT;
    fb_info_append(fb_call_server(call), call->argv + 1, call->argc - 1, &text);
    fb_resp_write_verbatim(call->out, "txt", fb_bytes_of(text.data, text.len));
    fb_buf_free(&text);
}

/* ---- CONFIG ----------------------------------------------------------------------------------------------------- */

/* Settings of Redis that clients ask for at connect and that Forebay does not have: fixed answers. */
static const struct fixed { const char *name, *value; } fixed[] = {
    {"appendonly", "no"}, {"databases", "16"}, {"replica-read-only", "yes"}, {"save", ""},
    {"slave-read-only", "yes"},
};

struct found {
    struct fb_resp_out pairs;
    size_t n;
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
    if (is_there(found, name))
        return;
    fb_resp_write_bulk(&found->pairs, FB_STR(name));
    fb_resp_write_bulk(&found->pairs, FB_STR(value));
    found->n++;
}

void fb_cmd_config_get(struct fb_call *call) {
    const struct fb_server_options *options = &fb_call_server(call)->options;
    struct found found = {FB_RESP_OUT_INIT, 0};
    char glob[FB_GLOB_LEN_MAX + 1];
    for (size_t i = 2; i < call->argc; i++) {
        fb_bytes pattern = call->argv[i];
        if (pattern.len > FB_GLOB_LEN_MAX || memchr(pattern.data, '\0', pattern.len) != NULL)
            continue;
        memcpy(glob, pattern.data, pattern.len);
        glob[pattern.len] = '\0';
        if (options->config_get != NULL)
            options->config_get(options->config_user, glob, emit, &found);
        for (size_t k = 0; k < sizeof fixed / sizeof fixed[0]; k++)
            if (fb_glob_match(pattern, FB_STR(fixed[k].name), /* ignore_case */ true))
                emit(&found, fixed[k].name, fixed[k].value);
    }
    fb_resp_write_map(call->out, found.n);
    if (found.pairs.failed || fb_buf_append(&call->out->buf, found.pairs.buf.data, found.pairs.buf.len) != FB_OK)
        call->out->failed = true;
    fb_buf_free(&found.pairs.buf);
}

void fb_cmd_config_set(struct fb_call *call) {
    int shown = (int)(call->argv[2].len < 64 ? call->argv[2].len : 64);
    if (call->argc % 2 != 0)
        fb_call_error(call, "ERR", "wrong number of arguments for 'config|set' command");
    else
        fb_call_error(call, "ERR",
                      "CONFIG SET failed (possibly related to argument '%.*s') - can't set immutable config", shown,
                      call->argv[2].data);
}

void fb_cmd_config_rewrite(struct fb_call *call) {
    fb_call_error(call, "ERR", "the configuration file is yours: Forebay does not rewrite it");
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
