/* A connection and its user. */
#include "server/login.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/multi.h"
#include "server/users.h"

static struct fb_users *users_of(const struct fb_session *s) { return s->loop->server->users; }

/* Takes over the reference. Under the loop's lock, as CLIENT LIST reads the name on other threads. */
static void become(struct fb_session *s, struct fb_user *user) {
    struct fb_user *old = s->user;
    fb_lock_acquire(&s->loop->lock);
    s->user = user;
    fb_lock_release(&s->loop->lock);
    fb_user_unref(old);
    s->gates = fb_user_is_unrestricted(user) ? s->gates & ~(unsigned)FB_GATE_USER : s->gates | FB_GATE_USER;
}

bool fb_session_begin_user(struct fb_session *s) {
    struct fb_user *user = fb_users_find(users_of(s), FB_STR("default"));
    if (user == NULL)
        return false;
    s->is_authenticated = user->is_on && user->has_nopass;
    become(s, user);
    return true;
}

void fb_session_end_user(struct fb_session *s) {
    fb_user_unref(s->user);
    s->user = NULL;
}

bool fb_login(struct fb_call *call, fb_bytes name, fb_bytes password) {
    struct fb_session *s = call->session;
    struct fb_bounds *bounds = s->loop->server->bounds;
    int64_t now_s = fb_clock_now().ns / (1000 * FB_NS_PER_MS);
    if (!fb_bounds_may_guess(bounds, &s->arrival, now_s)) {
        fb_call_error(call, GUESSING, FB_ADDRESS_SECONDS);
        s->is_closing = true;
        return false;
    }
    struct fb_user *user = fb_users_login(users_of(s), name, password);
    if (user == NULL) {
        char shown[FB_NAME_MAX];
        snprintf(shown, sizeof shown, "%.*s", (int)(name.len < sizeof shown ? name.len : sizeof shown - 1), name.data);
        fb_server_log(s->loop->server, FB_LOG_AUTH_FAILED, "a wrong user name or password was given",
                      FB_LOG_FIELDS({"address", s->address}, {"user", shown}));
        fb_bounds_guessed(bounds, &s->arrival, now_s);
        fb_users_note(users_of(s), FB_DENIED_AUTH, call->argv[0], name, s);
        fb_call_error(call, WRONG_PASSWORD);
        s->is_closing |= ++s->wrong_passwords >= FB_WRONG_PASSWORDS_MAX;
        return false;
    }
    become(s, user);
    s->is_authenticated = true;
    s->wrong_passwords = 0;
    fb_bounds_known(s->loop->server, &s->arrival);
    return true;
}

void fb_session_renew_user(struct fb_session *s) {
    struct fb_user *user = fb_users_find(users_of(s), FB_STR(s->user->name));
    bool is_subscriber = (s->gates & FB_GATE_SUBSCRIBED) != 0;
    if (user == NULL || (s->is_authenticated && !user->is_on) ||
        (is_subscriber && !fb_user_has_same_channels(s->user, user))) {
        fb_user_unref(user);
        s->is_dead = true;
        fb_session_settle(s);
        return;
    }
    become(s, user);
}

/* ---- the gate --------------------------------------------------------------------------------------------------- */

static void refuse_command(struct fb_call *call) {
    struct fb_session *s = call->session;
    char name[FB_COMMAND_NAME_MAX], text[32 + sizeof FB_TEXT_NO_PERMISSION + sizeof name];
    fb_command_full_name(call->command, name);
    fb_users_note(users_of(s), FB_DENIED_COMMAND, FB_STR(name), FB_STR(s->user->name), s);
    if (call->is_inner) {
        fb_call_error(call, NO_LONGER, "no permission to execute the command or subcommand");
    } else if (call->command->handler == fb_cmd_exec) { /* Redis gives a transaction up whatever is wrong with EXEC */
        fb_multi_reset(s);
        int n = snprintf(text, sizeof text, "NOPERM ");
        snprintf(text + n, sizeof text - (size_t)n, FB_TEXT_NO_PERMISSION, name);
        fb_call_error(call, DISCARDED_EXEC, text);
    } else {
        fb_call_error(call, NO_PERMISSION, name);
    }
}

static void refuse_key(struct fb_call *call, fb_bytes key) {
    struct fb_session *s = call->session;
    fb_users_note(users_of(s), FB_DENIED_KEY, key, FB_STR(s->user->name), s);
    if (call->is_inner)
        fb_call_error(call, NO_LONGER, "no permission to touch the specified keys");
    else
        fb_call_error(call, NO_PERMISSION_KEY);
}

static void refuse_channel(struct fb_call *call, fb_bytes channel) {
    struct fb_session *s = call->session;
    fb_users_note(users_of(s), FB_DENIED_CHANNEL, channel, FB_STR(s->user->name), s);
    if (call->is_inner)
        fb_call_error(call, NO_LONGER, "no permission to access one of the channels used as arguments");
    else
        fb_call_error(call, NO_PERMISSION_CHANNEL);
}

/* Asked again for each request that EXEC carries out: the rules may have changed since it was kept. */
enum fb_passage fb_gate_user(struct fb_call *call) {
    size_t which;
    switch (fb_user_judge(call->session->user, call->command, call->argv, call->argc, &which)) {
    case FB_ACL_GRANTED: return FB_PASS;
    case FB_ACL_NO_COMMAND: refuse_command(call); break;
    case FB_ACL_NO_KEY: refuse_key(call, call->argv[which]); break;
    case FB_ACL_NO_CHANNEL: refuse_channel(call, call->argv[which]); break;
    }
    return FB_STOP;
}

bool fb_login_may_see(struct fb_call *call, fb_bytes key) {
    const struct fb_session *s = call->session;
    if (!(s->gates & FB_GATE_USER) || fb_user_may_use(s->user, key, 0))
        return true;
    refuse_key(call, key);
    return false;
}
