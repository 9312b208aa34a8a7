/* Commands that concern the server: settings, counters, clock, and forgetting everything. */
#include "server/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

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
