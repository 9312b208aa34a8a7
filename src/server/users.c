/* The set of users: from the file and the settings, looked up, replaced, and what was refused to them. */
#include "server/users.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "server/multi.h"
#include "server/gates.h"

unsigned fb_users_check(const char *path, bool has_password, fb_users_complain *complain, void *user) {
    struct fb_user_set set = {0};
    unsigned faults = fb_users_read(path, has_password, &set, complain, user);
    fb_user_set_free(&set);
    return faults;
}

struct first { char text[FB_ERR_TEXT_MAX]; unsigned line; };

static void keep_first(void *user, unsigned line, const char *text) {
    struct first *first = user;
    if (first->text[0] != '\0')
        return;
    first->line = line;
    snprintf(first->text, sizeof first->text, "%s", text);
}

/* ---- the set ---------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    return strcmp((*(struct fb_user *const *)a)->name, (*(struct fb_user *const *)b)->name);
}

/* The user default where the file does not define it. */
static bool add_default(struct fb_user_set *set, const unsigned char *password) {
    static const char *const rules[] = {"on", "nopass", "allkeys", "allchannels", "allcommands"};
    struct fb_user *user = fb_user_new(FB_STR("default"));
    for (size_t i = 0; user != NULL && i < sizeof rules / sizeof rules[0]; i++)
        (void)fb_user_rule(user, FB_STR(rules[i]), NULL);
    if (user != NULL && password != NULL) {
        user->has_nopass = false;
        memcpy(user->hashes[user->nhashes++], password, FB_HASH_BYTES);
    }
    return fb_user_set_add(set, user);
}

static fb_status make_set(const char *path, const unsigned char *password, struct fb_user_set *ret_set, fb_err *reterr) {
    struct fb_user_set set = {0};
    struct first first = {.line = 0};
    unsigned faults = path != NULL ? fb_users_read(path, password != NULL, &set, keep_first, &first) : 0;
    if (set.is_out_of_memory || (!set.has_default && !add_default(&set, password))) {
        fb_user_set_free(&set);
        return fb_fail(reterr, FB_NOMEM, "no memory for the users");
    }
    if (faults > 0) {
        char more[80] = "", where[24] = "";
        if (faults > 1)
            snprintf(more, sizeof more, " (and %u more: 'forebay check' names them)", faults - 1);
        if (first.line > 0)
            snprintf(where, sizeof where, ":%u", first.line);
        fb_user_set_free(&set);
        return fb_fail(reterr, FB_CONFIG, "users_file %s%s: %s%s", path, where, first.text, more);
    }
    qsort(set.items, set.count, sizeof set.items[0], compare); /* ACL LIST shows them so */
    *ret_set = set;
    return FB_OK;
}

static void exchange(struct fb_users *users, struct fb_user_set *set) {
    fb_lock_acquire(&users->lock);
    struct fb_user_set old = users->set;
    users->set = *set;
    fb_lock_release(&users->lock);
    fb_user_set_free(&old);
}

fb_status fb_users_open(struct fb_users *users, const char *path, const char *password, fb_err *reterr) {
    struct fb_user_set set;
    *users = (struct fb_users){.path = fb_mem_strdup(path), .has_password = password != NULL};
    if (path != NULL && users->path == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for the users");
    if (password != NULL)
        SHA256((const unsigned char *)password, strlen(password), users->password);
    fb_status status = make_set(path, password != NULL ? users->password : NULL, &set, reterr);
    if (status != FB_OK) {
        fb_mem_free(users->path);
        users->path = NULL;
        return status;
    }
    fb_lock_init(&users->lock, FB_LOCK_LOOP);
    users->set = set;
    return FB_OK;
}

void fb_users_close(struct fb_users *users) {
    if (users == NULL || users->set.items == NULL)
        return;
    fb_user_set_free(&users->set);
    fb_mem_free(users->path);
    fb_lock_finish(&users->lock);
    explicit_bzero(users, sizeof *users);
}

fb_status fb_users_reload(struct fb_users *users, fb_err *reterr) {
    unsigned char password[FB_HASH_BYTES];
    struct fb_user_set set;
    if (users->path == NULL)
        return fb_fail(reterr, FB_INVALID, "This Forebay instance is not configured to use an ACL file. Set "
                       "server.users_file and restart it");
    fb_lock_acquire(&users->lock);
    bool has_password = users->has_password;
    memcpy(password, users->password, sizeof password);
    fb_lock_release(&users->lock);
    fb_status status = make_set(users->path, has_password ? password : NULL, &set, reterr);
    if (status == FB_OK)
        exchange(users, &set);
    return status;
}

fb_status fb_users_set_password(struct fb_users *users, const char *password, fb_err *reterr) {
    unsigned char hash[FB_HASH_BYTES];
    struct fb_user_set set = {0};
    if (password != NULL)
        SHA256((const unsigned char *)password, strlen(password), hash);
    fb_lock_acquire(&users->lock);
    fb_status status = FB_OK;
    if (users->set.has_default)
        status = fb_fail(reterr, FB_CONFIG, "the users file defines the user 'default', and its password with it");
    for (size_t i = 0; status == FB_OK && i < users->set.count; i++)
        if (strcmp(users->set.items[i]->name, "default") != 0 && !fb_user_set_add(&set, fb_user_ref(users->set.items[i])))
            status = fb_fail(reterr, FB_NOMEM, "no memory for the users");
    if (status == FB_OK && !add_default(&set, password != NULL ? hash : NULL))
        status = fb_fail(reterr, FB_NOMEM, "no memory for the users");
    if (status == FB_OK) {
        qsort(set.items, set.count, sizeof set.items[0], compare);
        struct fb_user_set old = users->set;
        users->set = set;
        users->has_password = password != NULL;
        if (password != NULL)
            memcpy(users->password, hash, sizeof hash);
        set = old;
    }
    fb_lock_release(&users->lock);
    fb_user_set_free(&set);
    explicit_bzero(hash, sizeof hash);
    return status;
}

/* ---- looking up ------------------------------------------------------------------------------------------------- */

struct fb_user *fb_users_find(struct fb_users *users, fb_bytes name) {
    fb_lock_acquire(&users->lock);
    struct fb_user *user = fb_user_set_find(&users->set, name);
    user = user != NULL ? fb_user_ref(user) : NULL;
    fb_lock_release(&users->lock);
    return user;
}

struct fb_user *fb_users_login(struct fb_users *users, fb_bytes name, fb_bytes password) {
    struct fb_user *user = fb_users_find(users, name);
    if (fb_user_accepts(user, password))
        return user;
    fb_user_unref(user);
    return NULL;
}

bool fb_users_ask(struct fb_users *users) {
    struct fb_user *user = fb_users_find(users, FB_STR("default"));
    bool asks = user == NULL || !user->is_on || !user->has_nopass;
    fb_user_unref(user);
    return asks;
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static void copy_shown(char *out, size_t size, fb_bytes text) {
    size_t len = text.len < size - 1 ? text.len : size - 1;
    memcpy(out, text.data, len);
    out[len] = '\0';
}

void fb_users_note(struct fb_users *users, unsigned denied, fb_bytes object, fb_bytes username,
                   const struct fb_session *s) {
    static const char *const reasons[] = {"auth", "command", "key", "channel"};
    struct fb_acl_entry entry = {.count = 1, .reason = reasons[denied]};
    entry.in_transaction = fb_multi_is_open(s) || fb_exec_is_under_way(s);
    entry.created_us = entry.updated_us = fb_clock_wall_us();
    copy_shown(entry.object, sizeof entry.object, object);
    copy_shown(entry.username, sizeof entry.username, username);
    snprintf(entry.client_info, sizeof entry.client_info, "id=%" PRIu64 " addr=%s laddr=%s name=%s db=%u user=%s", s->id,
             s->address, s->local_address, s->name, s->db, s->user->name);
    fb_lock_acquire(&users->lock);
    users->denied[denied]++;
    size_t at = 0;
    while (at < users->nlog) {
        const struct fb_acl_entry *old = &users->log[at];
        if (old->reason == entry.reason && old->in_transaction == entry.in_transaction &&
            strcmp(old->object, entry.object) == 0 && strcmp(old->username, entry.username) == 0 &&
            entry.updated_us - old->updated_us < FB_ACL_LOG_SECONDS * INT64_C(1000000))
            break;
        at++;
    }
    if (at < users->nlog) {
        entry.id = users->log[at].id;
        entry.count = users->log[at].count + 1;
        entry.created_us = users->log[at].created_us;
    } else {
        entry.id = users->next_entry++;
        users->nlog += users->nlog < FB_ACL_LOG_MAX;
        at = users->nlog - 1;
    }
    memmove(&users->log[1], &users->log[0], at * sizeof users->log[0]);
    users->log[0] = entry;
    fb_lock_release(&users->lock);
}

void fb_users_denied(struct fb_users *users, uint64_t ret_denied[4]) {
    fb_lock_acquire(&users->lock);
    memcpy(ret_denied, users->denied, sizeof users->denied);
    fb_lock_release(&users->lock);
}
