/* ACL: who may do what, as the users file says. Read and reloaded here, written by its owner. */
#include "server/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "server/pass.h"
#include "server/users.h"

enum { GENPASS_BITS = 256, GENPASS_BITS_MAX = 4096, LOG_SHOWN = 10, SHOWN_NAME_MAX = 64 };

static struct fb_users *users_of(const struct fb_call *call) { return fb_call_server(call)->users; }

static void write_text(struct fb_resp_out *out, const char *text) { fb_resp_write_bulk(out, FB_STR(text)); }

static void write_buf(struct fb_resp_out *out, fb_buf *buf) {
    fb_resp_write_bulk(out, fb_bytes_of(buf->data, buf->len));
    fb_buf_free(buf);
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

void fb_cmd_acl_whoami(struct fb_call *call) { write_text(call->out, call->session->user->name); }

static void list(struct fb_call *call, bool with_rules) {
    struct fb_users *users = users_of(call);
    fb_lock_acquire(&users->lock);
    fb_resp_write_array(call->out, users->set.count);
    for (size_t i = 0; i < users->set.count; i++) {
        fb_buf line = FB_BUF_INIT;
        if (with_rules) {
            (void)fb_buf_append(&line, "user ", 5);
            fb_user_describe(users->set.items[i], &line);
            write_buf(call->out, &line);
        } else {
            write_text(call->out, users->set.items[i]->name);
        }
    }
    fb_lock_release(&users->lock);
}

void fb_cmd_acl_users(struct fb_call *call) { list(call, false); }
void fb_cmd_acl_list(struct fb_call *call) { list(call, true); }

static void write_hashes(struct fb_resp_out *out, const struct fb_user *user) {
    fb_resp_write_array(out, user->nhashes);
    for (unsigned i = 0; i < user->nhashes; i++) {
        char hex[2 * FB_HASH_BYTES + 1];
        fb_user_print_hash(user, i, hex);
        write_text(out, hex);
    }
}

static void write_grant(struct fb_resp_out *out, const struct fb_grant *grant) {
    fb_buf commands = FB_BUF_INIT, keys = FB_BUF_INIT, channels = FB_BUF_INIT;
    fb_grant_describe(grant, &commands, &keys, &channels);
    write_text(out, "commands");
    write_buf(out, &commands);
    write_text(out, "keys");
    write_buf(out, &keys);
    write_text(out, "channels");
    write_buf(out, &channels);
}

void fb_cmd_acl_getuser(struct fb_call *call) {
    struct fb_resp_out *out = call->out;
    struct fb_user *user = fb_users_find(users_of(call), call->argv[2]);
    if (user == NULL) {
        fb_resp_write_null(out);
        return;
    }
    fb_resp_write_map(out, 6);
    write_text(out, "flags");
    fb_resp_write_set(out, 1 + user->has_nopass);
    write_text(out, user->is_on ? "on" : "off");
    if (user->has_nopass)
        write_text(out, "nopass");
    write_text(out, "passwords");
    write_hashes(out, user);
    write_grant(out, &user->grants[0]);
    write_text(out, "selectors");
    fb_resp_write_array(out, user->ngrants - 1);
    for (unsigned i = 1; i < user->ngrants; i++) {
        fb_resp_write_map(out, 3);
        write_grant(out, &user->grants[i]);
    }
    fb_user_unref(user);
}

void fb_cmd_acl_load(struct fb_call *call) {
    fb_err err = {0};
    if (fb_server_reload_users(fb_call_server(call), &err) == FB_OK)
        fb_resp_write_simple(call->out, "OK");
    else
        fb_call_error(call, USERS_FILE, err.text);
}

/* SETUSER, DELUSER, SAVE */
void fb_cmd_acl_refused(struct fb_call *call) {
    fb_call_error(call, ACL_FILE, call->command->name);
}

/* ---- what would be allowed -------------------------------------------------------------------------------------- */

void fb_cmd_acl_dryrun(struct fb_call *call) {
    const fb_bytes *argv = call->argv + 3;
    size_t argc = call->argc - 3, which;
    char name[FB_COMMAND_NAME_MAX], text[FB_ERR_TEXT_MAX];
    fb_bytes shown = call->argv[2];
    struct fb_user *user = fb_users_find(users_of(call), shown);
    struct fb_verb verb = fb_verb_find(argv, argc);
    const struct fb_command *command = verb.command != NULL ? verb.command
                                       : fb_pass_is_on(fb_call_server(call)) ? verb.foreign : NULL;
    if (user == NULL) {
        fb_call_error(call, NO_USER, (int)(shown.len < SHOWN_NAME_MAX ? shown.len : SHOWN_NAME_MAX), shown.data);
        return;
    }
    if (command == NULL) {
        fb_call_error(call, NO_COMMAND, (int)(argv[0].len < SHOWN_NAME_MAX ? argv[0].len : SHOWN_NAME_MAX),
                      argv[0].data);
        goto out;
    }
    fb_command_full_name(command, name);
    if (!fb_arity_fits(command, argc)) {
        fb_call_error(call, ARITY, name);
        goto out;
    }
    enum fb_acl_verdict verdict = fb_user_judge(user, command, argv, argc, &which);
    int len = (int)(argv[which].len < SHOWN_NAME_MAX ? argv[which].len : SHOWN_NAME_MAX);
    switch (verdict) {
    case FB_ACL_GRANTED: fb_resp_write_simple(call->out, "OK"); goto out;
    case FB_ACL_NO_COMMAND:
        snprintf(text, sizeof text, "This user has no permissions to run the '%s' command", name);
        break;
    default:
        snprintf(text, sizeof text, "This user has no permissions to access the '%.*s' %s", len, argv[which].data,
                 verdict == FB_ACL_NO_KEY ? "key" : "channel");
        break;
    }
    write_text(call->out, text);
out:
    fb_user_unref(user);
}

static bool is_in(const struct fb_command *command, enum fb_acl_category category) {
    return fb_acl_categories(command) >> category & 1;
}

void fb_cmd_acl_cat(struct fb_call *call) {
    if (call->argc == 2) {
        fb_resp_write_array(call->out, FB_CAT_COUNT_);
        for (unsigned i = 0; i < FB_CAT_COUNT_; i++)
            write_text(call->out, fb_acl_category_name(i));
        return;
    }
    fb_bytes wanted = call->argv[2];
    enum fb_acl_category category = fb_acl_category(wanted);
    if (call->argc > 3 || category == FB_CAT_COUNT_) {
        if (call->argc > 3)
            fb_call_syntax_error(call);
        else
            fb_call_error(call, NO_CATEGORY, (int)(wanted.len < SHOWN_NAME_MAX ? wanted.len : SHOWN_NAME_MAX),
                          wanted.data);
        return;
    }
    size_t n[2], count = 0;
    const struct fb_command *rows[2] = {fb_commands(&n[0]), fb_subcommands(&n[1])};
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; i < n[table]; i++)
            count += is_in(&rows[table][i], category);
    fb_resp_write_array(call->out, count);
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; i < n[table]; i++)
            if (is_in(&rows[table][i], category)) {
                char name[FB_COMMAND_NAME_MAX];
                fb_command_full_name(&rows[table][i], name);
                write_text(call->out, name);
            }
}

void fb_cmd_acl_genpass(struct fb_call *call) {
    unsigned char random[GENPASS_BITS_MAX / 8];
    char hex[GENPASS_BITS_MAX / 4 + 1];
    int64_t bits = GENPASS_BITS;
    if (call->argc > 3) {
        fb_call_syntax_error(call);
        return;
    }
    if (call->argc == 3 && !fb_call_integer(call, call->argv[2], &bits))
        return;
    if (bits <= 0 || bits > GENPASS_BITS_MAX) {
        fb_call_error(call, GENPASS, GENPASS_BITS_MAX);
        return;
    }
    size_t digits = (size_t)(bits + 3) / 4;
    fb_rng_system(random, (digits + 1) / 2);
    for (size_t i = 0; i < digits; i++)
        hex[i] = "0123456789abcdef"[random[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    fb_resp_write_bulk(call->out, fb_bytes_of(hex, digits));
    explicit_bzero(random, sizeof random);
    explicit_bzero(hex, sizeof hex);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static void write_entry(struct fb_resp_out *out, const struct fb_acl_entry *entry, int64_t now_us) {
    const struct { const char *name; int64_t number; } numbers[] = {
        {"entry-id", (int64_t)entry->id},
        {"timestamp-created", entry->created_us / 1000},
        {"timestamp-last-updated", entry->updated_us / 1000},
    };
    const struct { const char *name, *text; } texts[] = {
        {"reason", entry->reason},
        {"context", entry->in_transaction ? "multi" : "toplevel"},
        {"object", entry->object},
        {"username", entry->username},
    };
    fb_resp_write_map(out, 7 + sizeof numbers / sizeof numbers[0]);
    write_text(out, "count");
    fb_resp_write_integer(out, (int64_t)entry->count);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text(out, texts[i].name);
        write_text(out, texts[i].text);
    }
    write_text(out, "age-seconds");
    fb_resp_write_double(out, (double)((now_us - entry->updated_us) / 1000) / 1000);
    write_text(out, "client-info");
    write_text(out, entry->client_info);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        write_text(out, numbers[i].name);
        fb_resp_write_integer(out, numbers[i].number);
    }
}

void fb_cmd_acl_log(struct fb_call *call) {
    struct fb_users *users = users_of(call);
    int64_t count = LOG_SHOWN, now_us = fb_clock_wall_us();
    if (call->argc > 3) {
        fb_call_syntax_error(call);
        return;
    }
    bool is_reset = call->argc == 3 && fb_is_word(call->argv[2], "reset");
    if (call->argc == 3 && !is_reset && !fb_call_integer(call, call->argv[2], &count))
        return;
    count = count < 0 ? 0 : count;
    fb_lock_acquire(&users->lock);
    if (is_reset) {
        users->nlog = 0;
        fb_resp_write_simple(call->out, "OK");
    } else {
        size_t n = (uint64_t)count < users->nlog ? (size_t)count : users->nlog;
        fb_resp_write_array(call->out, n);
        for (size_t i = 0; i < n; i++)
            write_entry(call->out, &users->log[i], now_us);
    }
    fb_lock_release(&users->lock);
}
