/* Keys of the store as a whole: listing them without what coordinates shared rows, and flushing them. */
#include "server/pass.h"

#include <string.h>

#include "proto/follow.h"

/* How the names begin of what lies beside shared rows (src/store/README.md). */
static const char *const companions[] = {"fb:c:", "fb:n:"};
enum { COMPANION_LEN = 5 };

bool fb_pass_is_listing(const struct fb_command *command) {
    return command->handler == fb_cmd_scan || command->handler == fb_cmd_keys;
}

static bool has_companions(fb_bytes reply) {
    for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++)
        if (memmem(reply.data, reply.len, companions[i], COMPANION_LEN) != NULL)
            return true;
    return false;
}

/* "$LEN\r\nNAME\r\n" */
static bool is_companion(fb_bytes element) {
    const char *line = memchr(element.data, '\n', element.len);
    size_t head = line != NULL ? (size_t)(line - element.data) + 1 : element.len;
    for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++)
        if (element.len - head >= COMPANION_LEN && memcmp(element.data + head, companions[i], COMPANION_LEN) == 0)
            return true;
    return false;
}

/* The element that begins at *pos; false: there is none. */
static bool next_element(fb_bytes reply, size_t *pos, fb_bytes *ret_element) {
    struct fb_resp_follow follow = FB_RESP_FOLLOW_INIT;
    enum fb_resp_verdict verdict;
    if (*pos >= reply.len)
        return false;
    size_t n = fb_resp_follow(&follow, reply.data + *pos, reply.len - *pos, &verdict);
    *ret_element = fb_bytes_of(reply.data + *pos, n);
    *pos += n;
    return verdict == FB_RESP_DONE;
}

static size_t behind_line(fb_bytes reply, size_t from) {
    const char *line = from < reply.len ? memchr(reply.data + from, '\n', reply.len - from) : NULL;
    return line != NULL ? (size_t)(line - reply.data) + 1 : reply.len;
}

static void append(struct fb_call *call, fb_bytes bytes) {
    call->out->failed |= fb_buf_append(&call->out->buf, bytes.data, bytes.len) != FB_OK;
}

/* An array of names from `pos` on, without those. */
static void write_names(struct fb_call *call, fb_bytes reply, size_t pos) {
    fb_bytes element;
    size_t begin = behind_line(reply, pos), n = 0;
    for (size_t at = begin; next_element(reply, &at, &element);)
        n += !is_companion(element);
    fb_resp_write_array(call->out, n);
    for (size_t at = begin; next_element(reply, &at, &element);)
        if (!is_companion(element))
            append(call, element);
}

void fb_pass_finish_listing(struct fb_call *call, struct fb_part *parts, size_t n) {
    fb_bytes reply = fb_bytes_of(call->wait->passed.data, call->wait->passed.len), cursor;
    size_t pos;
    (void)parts;
    (void)n;
    call->has_failed = reply.data[0] == '-';
    if (reply.data[0] != '*' || !has_companions(reply)) {
        append(call, reply);
    } else if (call->command->handler == fb_cmd_keys) {
        write_names(call, reply, 0);
    } else {
        pos = behind_line(reply, 0);
        append(call, fb_bytes_of(reply.data, pos));
        if (next_element(reply, &pos, &cursor)) {
            append(call, cursor);
            write_names(call, reply, pos);
        }
    }
}

void fb_pass_note_flush(const struct fb_call *call, const struct fb_command *command) {
    if (command->handler == fb_cmd_flush && (call->session->db == 0 || strcmp(command->name, "flushall") == 0))
        fb_invalidate_all(fb_call_cache(call));
}
