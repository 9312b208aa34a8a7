/* Commands that concern the connection itself: greeting, password, database, end. */
#include "server/multi.h"
#include "server/login.h"
#include "server/relay.h"
#include "server/users.h"
#include "server/tracking.h"

#include <stdio.h>
#include <string.h>

static struct fb_session *session_of(const struct fb_call *call) { return call->session; }

void fb_cmd_auth(struct fb_call *call) {
    if (call->argc > 3) {
        fb_call_syntax_error(call);
    } else if (call->argc == 2 && !fb_users_ask(fb_call_server(call)->users)) {
        fb_call_error(call, NO_PASSWORD);
    } else if (fb_login(call, call->argc == 3 ? call->argv[1] : FB_STR("default"), call->argv[call->argc - 1])) {
        fb_resp_write_simple(call->out, "OK");
    }
}

static bool set_version(struct fb_call *call, int64_t version) {
    if (version != 2 && version != 3) {
        fb_call_error(call, PROTOCOL);
        return false;
    }
    call->out->version = (unsigned)version;
    atomic_store_explicit(&session_of(call)->shown_version, (unsigned)version, memory_order_relaxed);
    return true;
}

static void write_pair(struct fb_resp_out *out, const char *name, const char *value) {
    fb_resp_write_bulk(out, FB_STR(name));
    fb_resp_write_bulk(out, FB_STR(value));
}

static void write_greeting(struct fb_call *call) {
    struct fb_resp_out *out = call->out;
    fb_resp_write_map(out, 7);
    write_pair(out, "server", "redis"); /* what client libraries look for */
    write_pair(out, "version", FB_REDIS_VERSION);
    fb_resp_write_bulk(out, FB_STR("proto"));
    fb_resp_write_integer(out, out->version);
    fb_resp_write_bulk(out, FB_STR("id"));
    fb_resp_write_integer(out, (int64_t)session_of(call)->id);
    write_pair(out, "mode", "standalone");
    write_pair(out, "role", "master");
    fb_resp_write_bulk(out, FB_STR("modules"));
    fb_resp_write_array(out, 0);
}

/* HELLO [version [AUTH user password] [SETNAME name]]: all or nothing. */
void fb_cmd_hello(struct fb_call *call) {
    int64_t version = call->out->version;
    const fb_bytes *name = NULL, *user = NULL;
    if (call->argc > 1 && !fb_parse_integer(call->argv[1], &version)) {
        fb_call_error(call, PROTOCOL_INTEGER);
        return;
    }
    if (version != 2 && version != 3) {
        (void)set_version(call, version);
        return;
    }
    for (size_t i = 2; i < call->argc; i++) {
        size_t left = call->argc - i - 1;
        if (fb_is_word(call->argv[i], "auth") && left >= 2) {
            user = &call->argv[i + 1];
            i += 2;
        } else if (fb_is_word(call->argv[i], "setname") && left >= 1) {
            name = &call->argv[++i];
        } else {
            int shown = (int)(call->argv[i].len < 64 ? call->argv[i].len : 64);
            fb_call_error(call, HELLO_OPTION, shown, call->argv[i].data);
            return;
        }
    }
    if (user != NULL && !fb_login(call, user[0], user[1]))
        return;
    if (!session_of(call)->is_authenticated) {
        fb_call_error(call, HELLO_NO_AUTH);
        return;
    }
    if ((name == NULL || fb_set_client_text(call, session_of(call)->name, *name, "Client names")) &&
        set_version(call, version))
        write_greeting(call);
}

/* Among messages, the answer to a ping has the form of one. */
static void write_pong(struct fb_resp_out *out, fb_bytes text) {
    fb_resp_write_array(out, 2);
    fb_resp_write_bulk(out, FB_STR("pong"));
    fb_resp_write_bulk(out, text);
}

void fb_cmd_ping(struct fb_call *call) {
    if (call->argc > 2)
        fb_call_error(call, ARITY, "ping");
    else if (call->out->version == 2 && fb_session_is_subscriber(call->session))
        write_pong(call->out, call->argc == 2 ? call->argv[1] : FB_STR(""));
    else if (call->argc == 2)
        fb_resp_write_bulk(call->out, call->argv[1]);
    else
        fb_resp_write_simple(call->out, "PONG");
}

void fb_cmd_echo(struct fb_call *call) { fb_resp_write_bulk(call->out, call->argv[1]); }

void fb_cmd_select(struct fb_call *call) {
    int64_t db;
    if (!fb_call_integer(call, call->argv[1], &db))
        return;
    if (db < INT32_MIN || db > INT32_MAX) {
        fb_call_error(call, RANGE_BETWEEN, (long long)INT32_MIN, (long long)INT32_MAX);
        return;
    }
    if (db < 0 || db >= FB_DATABASES) {
        fb_call_error(call, DATABASE);
        return;
    }
    session_of(call)->db = (unsigned)db;
    atomic_store_explicit(&session_of(call)->shown_db, (unsigned)db, memory_order_relaxed);
    fb_resp_write_simple(call->out, "OK");
}

void fb_cmd_quit(struct fb_call *call) {
    fb_resp_write_simple(call->out, "OK");
    session_of(call)->is_closing = true;
}

void fb_cmd_reset(struct fb_call *call) {
    struct fb_session *session = session_of(call);
    fb_multi_reset(session);
    session->is_peer = false;
    session->db = 0;
    atomic_store_explicit(&session->shown_db, 0, memory_order_relaxed);
    (void)fb_session_begin_user(session); /* never without a user default */
    session->reply_mode = FB_REPLY_ON;
    fb_pubsub_leave_all(session);
    fb_relay_drop(session);
    fb_tracking_end(session);
    (void)fb_set_client_text(call, session->name, FB_STR(""), "");
    if (call->is_silent) { /* the answer to RESET is sent in any case */
        call->out = fb_session_sink(session);
        call->is_silent = false;
    }
    (void)set_version(call, 2);
    fb_resp_write_simple(call->out, "RESET");
}

/* Nothing is gained by saying so that was not there before, so anybody may. */
void fb_cmd_fb_peer(struct fb_call *call) {
    session_of(call)->is_peer = true;
    fb_resp_write_simple(call->out, "OK");
}
