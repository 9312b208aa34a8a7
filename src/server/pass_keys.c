/* Keys of the store as a whole: listing them without what coordinates shared rows, and flushing them. */
#include "server/pass.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/follow.h"
#include "server/places.h"
#include "server/upstream.h"

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

/* ---- SCAN over the primaries of a Cluster ------------------------------------------------------------------------------ *
 * One after the other. Of our cursors the last bits are a slot, the first that the node serves, the others the node's own
 * cursor, of which Redis uses as many bits as it has keys for. Any loop can go on with it, and a node whose slots went to
 * another is not missed altogether. */

enum { SLOT_BITS = 14 };

static bool reads_nodes(const struct fb_call *call) {
    return call->command->handler == fb_cmd_scan && fb_call_server(call)->store->url.kind == FB_STORE_CLUSTER;
}

/* The first slot behind this one whose node serves none before it; FB_SLOTS: all have been asked. */
static unsigned next_node(const struct fb_loop *loop, unsigned slot) {
    bool is_done[FB_TOPOLOGY_NODES_MAX] = {false};
    for (unsigned i = 0; i < FB_SLOTS; i++) {
        unsigned node = fb_places_node(loop, i);
        if (node >= FB_TOPOLOGY_NODES_MAX || is_done[node])
            continue;
        if (i > slot)
            return i;
        is_done[node] = true;
    }
    return FB_SLOTS;
}

static bool reads_cursor(const struct fb_call *call, uint64_t *ret_cursor) {
    return reads_nodes(call) && call->argc > 1 && fb_cursor_read(call->argv[1], ret_cursor); /* a node finds words for others */
}

void fb_pass_scan_node(struct fb_call *call, unsigned *ret_node) {
    uint64_t cursor;
    if (reads_cursor(call, &cursor))
        *ret_node = fb_places_node(fb_call_loop(call), (unsigned)(cursor % FB_SLOTS));
}

bool fb_pass_scan_cursor(struct fb_wait *wait) {
    uint64_t cursor;
    char text[24];
    if (!reads_cursor(&wait->call, &cursor))
        return true;
    (void)snprintf(text, sizeof text, "%" PRIu64, cursor >> SLOT_BITS);
    if (fb_buf_append(&wait->call.notes, text, strlen(text)) != FB_OK)
        return false;
    wait->call.number[0] = (int64_t)(cursor % FB_SLOTS);
    wait->args[1] = fb_bytes_of(wait->call.notes.data, wait->call.notes.len);
    return true;
}

/* "$LEN\r\nCURSOR\r\n" */
static void write_cursor(struct fb_call *call, fb_bytes element) {
    size_t head = behind_line(element, 0);
    uint64_t cursor = 0, slot = (uint64_t)call->number[0];
    char text[24];
    if (!reads_nodes(call) || element.len < head + 2 ||
        !fb_cursor_read(fb_bytes_of(element.data + head, element.len - head - 2), &cursor)) {
        append(call, element);
        return;
    }
    if (cursor == 0)
        slot = next_node(fb_call_loop(call), (unsigned)slot);
    cursor = slot == FB_SLOTS ? 0 : cursor << SLOT_BITS | slot;
    fb_resp_write_bulk(call->out, fb_bytes_of(text, (size_t)snprintf(text, sizeof text, "%" PRIu64, cursor)));
}

void fb_pass_finish_listing(struct fb_call *call, struct fb_part *parts, size_t n) {
    fb_bytes reply = fb_bytes_of(call->wait->passed.data, call->wait->passed.len), cursor;
    size_t pos;
    (void)parts;
    (void)n;
    call->has_failed = reply.data[0] == '-';
    if (reply.data[0] != '*' || (!has_companions(reply) && !reads_nodes(call))) {
        append(call, reply);
    } else if (call->command->handler == fb_cmd_keys) {
        write_names(call, reply, 0);
    } else {
        pos = behind_line(reply, 0);
        append(call, fb_bytes_of(reply.data, pos));
        if (next_element(reply, &pos, &cursor)) {
            write_cursor(call, cursor);
            write_names(call, reply, pos);
        }
    }
}

void fb_pass_note_flush(const struct fb_call *call, const struct fb_command *command) {
    if (command->handler == fb_cmd_flush && (call->session->db == 0 || strcmp(command->name, "flushall") == 0))
        fb_invalidate_all(fb_call_cache(call));
}
