/* CLIENT UNBLOCK. What blocks a client blocks it at the store, on a connection of the session's own: so the store is told
 * to unblock that one, and what it answers is the answer. It alone knows whether the request had its element already. */
#include "server/commands.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/pass.h"
#include "server/upstream.h"

enum { WORDS = 4, DIGITS_MAX = 24 };

/* The connection of this client's own at the store, and the node that is; false: there is none. */
static bool find_own(const struct fb_call *call, uint64_t client, uint64_t *ret_id, unsigned *ret_node) {
    const struct fb_session *session = fb_loops_hold(fb_call_server(call), client);
    struct fb_store_address at;
    if (session == NULL)
        return false;
    bool is_known = session->own != NULL && fb_upstream_is_known(session->own, ret_id, &at);
    fb_lock_release(&session->loop->lock);
    *ret_node = is_known ? fb_places_of_address(fb_call_loop(call), &at) : FB_NODE_NONE;
    return *ret_node != FB_NODE_NONE;
}

static void pass_on(struct fb_call *call, uint64_t id, unsigned node) {
    char digits[DIGITS_MAX];
    snprintf(digits, sizeof digits, "%" PRIu64, id);
    fb_bytes words[WORDS] = {call->argv[0], call->argv[1], FB_STR(digits)};
    if (call->argc == WORDS)
        words[WORDS - 1] = call->argv[WORDS - 1];
    struct fb_upstream *u = fb_pass_upstream(call, node, /* is_own */ false, /* is_begun */ false);
    struct fb_wait *wait = u != NULL ? fb_call_away(call) : NULL;
    if (wait != NULL && !fb_upstream_ask(u, wait, words, call->argc))
        fb_pass_give_up(wait);
}

void fb_cmd_client_unblock(struct fb_call *call) {
    int64_t client;
    uint64_t id;
    unsigned node;
    if (call->argc > WORDS)
        fb_call_error(call, SUBCOMMAND_ARITY, (int)call->argv[1].len, call->argv[1].data, "CLIENT");
    else if (call->argc == WORDS && !fb_is_word(call->argv[3], "timeout") && !fb_is_word(call->argv[3], "error"))
        fb_call_error(call, CLIENT_UNBLOCK);
    else if (!fb_call_integer(call, call->argv[2], &client))
        return;
    else if (find_own(call, (uint64_t)client, &id, &node))
        pass_on(call, id, node);
    else
        fb_resp_write_integer(call->out, 0);
}
