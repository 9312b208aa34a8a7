/* SLOWLOG: the latest requests that took long, newest first. */
#include "server/slowlog.h"

#include <string.h>

enum { SHOWN_DEFAULT = 10 };

/* id, when (seconds since 1970), microseconds, arguments, the client's address and name; as Redis. The last argument is
 * a comment: where the time went. */
static void write_entry(struct fb_resp_out *out, const struct fb_slow_entry *entry) {
    fb_resp_write_array(out, 6);
    fb_resp_write_integer(out, (int64_t)entry->id);
    fb_resp_write_integer(out, entry->wall_s);
    fb_resp_write_integer(out, entry->took.ns / 1000);
    fb_resp_write_array(out, entry->shown->n + 1);
    for (size_t i = 0; i < entry->shown->n; i++)
        fb_resp_write_bulk(out, entry->shown->args[i]);
    fb_resp_write_bulk(out, FB_STR(entry->note));
    fb_resp_write_bulk(out, FB_STR(entry->address));
    fb_resp_write_bulk(out, FB_STR(entry->client_name));
}

void fb_cmd_slowlog_get(struct fb_call *call) {
    struct fb_slowlog *log = fb_call_server(call)->slowlog;
    int64_t wanted = SHOWN_DEFAULT;
    if (call->argc > 3) {
        fb_call_error(call, SUBCOMMAND_ARITY, (int)call->argv[1].len, call->argv[1].data, "SLOWLOG");
        return;
    }
    if (call->argc == 3 && (!fb_parse_integer(call->argv[2], &wanted) || wanted < -1)) {
        fb_call_error(call, SLOWLOG_COUNT);
        return;
    }
    fb_lock_acquire(&log->lock);
    size_t n = wanted >= 0 && (uint64_t)wanted < log->n ? (size_t)wanted : log->n;
    fb_resp_write_array(call->out, n);
    for (struct fb_link *link = log->entries.next; n > 0; link = link->next, n--)
        write_entry(call->out, fb_member_of(link, struct fb_slow_entry, link));
    fb_lock_release(&log->lock);
}

void fb_cmd_slowlog_len(struct fb_call *call) {
    struct fb_slowlog *log = fb_call_server(call)->slowlog;
    fb_lock_acquire(&log->lock);
    size_t n = log->n;
    fb_lock_release(&log->lock);
    fb_resp_write_integer(call->out, (int64_t)n);
}

void fb_cmd_slowlog_reset(struct fb_call *call) {
    fb_slowlog_clear(fb_call_server(call));
    fb_resp_write_simple(call->out, "OK");
}
