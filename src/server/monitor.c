/* MONITOR: the line of a request, and its gate.
 *
 * Those who watch are subscribers of a topic of their own, so lines reach them like messages do. What stands for a
 * value is shown as (…) unless monitor_values says otherwise; what may carry a password, and what administers the
 * server, is not shown at all. */
#include "server/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/commands.h"
#include "server/gates.h"
#include "server/multi.h"
#include "server/slowlog.h"

enum { HEAD_MAX = FB_ADDRESS_MAX + 64, ESCAPED = 4 }; /* bytes of "\x00" */

/* Room has been made for the worst case. */
static void append_byte(fb_buf *out, unsigned char c) {
    static const char plain[] = "\\\"\n\r\t\a\b", letters[] = "\\\"nrtab";
    const char *special = c != '\0' ? strchr(plain, c) : NULL;
    char *p = out->data + out->len;
    if (special != NULL) {
        p[0] = '\\';
        p[1] = letters[special - plain];
        out->len += 2;
    } else if (c >= ' ' && c <= '~') {
        p[0] = (char)c;
        out->len++;
    } else {
        static const char digits[] = "0123456789abcdef";
        p[0] = '\\';
        p[1] = 'x';
        p[2] = digits[c >> 4];
        p[3] = digits[c & 15];
        out->len += ESCAPED;
    }
}

static bool append_quoted(fb_buf *out, fb_bytes text) {
    if (fb_buf_reserve(out, text.len * ESCAPED + 3) != FB_OK)
        return false;
    out->data[out->len++] = ' ';
    out->data[out->len++] = '"';
    for (size_t i = 0; i < text.len; i++)
        append_byte(out, (unsigned char)text.data[i]);
    out->data[out->len++] = '"';
    return true;
}

/* Clients of a unix socket have its path for an address, and ":0" behind it. */
static int print_head(char head[HEAD_MAX], const struct fb_session *session, int64_t wall_us) {
    bool is_unix = session->address[0] == '/';
    int len = (int)strlen(session->address) - (is_unix ? 2 : 0);
    return snprintf(head, HEAD_MAX, "%" PRId64 ".%06" PRId64 " [%u %s%.*s]", wall_us / 1000000, wall_us % 1000000,
                    session->db, is_unix ? "unix:" : "", len, session->address);
}

void fb_monitor_line(const struct fb_call *call, int64_t wall_us, fb_buf *out) {
    char head[HEAD_MAX];
    int n = print_head(head, call->session, wall_us);
    bool fits = fb_buf_append(out, head, (size_t)n) == FB_OK;
    for (size_t i = 0; i < call->argc && fits; i++)
        fits = fb_argument_is_hidden(call, i) ? fb_buf_append(out, " \"(…)\"", strlen(" \"(…)\"")) == FB_OK
                                              : append_quoted(out, call->argv[i]);
}

enum fb_passage fb_gate_monitor(struct fb_call *call) {
    struct fb_server *server = fb_call_server(call);
    /* EXEC comes behind what it carries out, as in Redis. */
    bool is_later = call->command->handler == fb_cmd_exec && fb_multi_is_open(call->session);
    if (is_later || call->is_again || (call->command->flags & (FB_CMD_SECRET | FB_CMD_ADMIN)))
        return FB_PASS;
    fb_buf line = FB_BUF_INIT;
    if (fb_buf_append(&line, "+", 1) == FB_OK) {
        fb_monitor_line(call, fb_clock_wall_us(), &line);
        if (fb_buf_append(&line, "\r\n", 2) == FB_OK)
            (void)fb_publish(server, FB_TOPIC_MONITOR, fb_bytes_of(NULL, 0), fb_bytes_of(line.data, line.len));
    }
    fb_buf_free(&line);
    return FB_PASS;
}

void fb_cmd_monitor(struct fb_call *call) {
    if (call->is_inner) { /* its lines would stand inside EXEC's array */
        fb_call_error(call, MONITOR_IN_MULTI);
        return;
    }
    fb_status status = fb_pubsub_join(call->session, FB_TOPIC_MONITOR, fb_bytes_of(NULL, 0));
    if (status == FB_OK)
        fb_resp_write_simple(call->out, "OK");
    else
        fb_call_fail(call, status, fb_bytes_of(NULL, 0));
}
