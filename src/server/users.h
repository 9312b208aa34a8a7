/* Who may come in: the users of the file and the password of the settings, and what was refused to whom.
 *
 * There is always a user `default`; connections are it until they log in, and need not log in while it has no password.
 * It is as the users file says, or else as the setting `password` says and may do everything.
 *
 * The set is replaced as a whole. Whoever found a user holds a reference and keeps what was true then; the loops are
 * told about a new set and look their users up again (fb_server_reload_users). */
#ifndef FB_SERVER_USERS_H
#define FB_SERVER_USERS_H

#include "server/acl.h"

enum {
    FB_USERS_MAX = 1000,
    FB_USERS_FILE_MAX = 1 << 20, /* bytes */
    FB_ACL_LOG_MAX = 128,        /* entries; the oldest goes */
    FB_ACL_LOG_SECONDS = 60,     /* the same refusal within this time counts in its entry */
    FB_ACL_OBJECT_MAX = 128,     /* bytes of a key or channel that the log shows */
    FB_CLIENT_INFO_MAX = 640,
};

/* A fault of the file; line 0: of the file as a whole. */
typedef void fb_users_complain(void *user, unsigned line, const char *text);

struct fb_user_set {
    struct fb_user **items;
    size_t count;
    bool has_default, is_out_of_memory;
};

struct fb_acl_entry {
    uint64_t id, count;
    const char *reason;         /* "command", "key", "channel", "auth" */
    bool in_transaction;
    char object[FB_ACL_OBJECT_MAX], username[FB_NAME_MAX], client_info[FB_CLIENT_INFO_MAX];
    int64_t created_us, updated_us; /* wall time */
};

struct fb_users {
    char *path;                  /* NULL: no file */
    struct fb_lock lock;
    /* `lock` */
    struct fb_user_set set;      /* sorted by name */
    unsigned char password[FB_HASH_BYTES]; /* SHA-256 of the setting `password` */
    bool has_password;
    struct fb_acl_entry log[FB_ACL_LOG_MAX]; /* newest first */
    size_t nlog;
    uint64_t next_entry;
    uint64_t denied[4];          /* auth, command, key, channel: for INFO */
};

enum { FB_DENIED_AUTH, FB_DENIED_COMMAND, FB_DENIED_KEY, FB_DENIED_CHANNEL };

/* Read the file (NULL: none). On failure the text names the first fault with its line, and how many more there are. */
fb_status fb_users_open(struct fb_users *users, const char *path, const char *password, fb_err *reterr);
void fb_users_close(struct fb_users *users);
/* Read the file again: all of it counts, or nothing. FB_INVALID when there is no file. */
fb_status fb_users_reload(struct fb_users *users, fb_err *reterr);
/* Another password for the user default (NULL: none). FB_CONFIG when the users file defines that user. */
fb_status fb_users_set_password(struct fb_users *users, const char *password, fb_err *reterr);
/* Say every fault of a file; returns how many. */
unsigned fb_users_check(const char *path, bool has_password, fb_users_complain *complain, void *user);

/* users_file.c: add the users of a file to the set, telling every fault; returns how many. */
unsigned fb_users_read(const char *path, bool has_password, struct fb_user_set *set, fb_users_complain *complain,
                       void *user);
void fb_user_set_free(struct fb_user_set *set);
struct fb_user *fb_user_set_find(const struct fb_user_set *set, fb_bytes name);
/* Takes over the reference. */
bool fb_user_set_add(struct fb_user_set *set, struct fb_user *user);

/* A reference, or NULL. */
struct fb_user *fb_users_find(struct fb_users *users, fb_bytes name);
/* Name and password are right and the user is on: a reference. Else NULL. */
struct fb_user *fb_users_login(struct fb_users *users, fb_bytes name, fb_bytes password);
/* Does a new connection have to log in? */
bool fb_users_ask(struct fb_users *users);

/* How much has been refused, by FB_DENIED_…; since the start. */
void fb_users_denied(struct fb_users *users, uint64_t ret_denied[4]);
/* Remember a refusal. */
void fb_users_note(struct fb_users *users, unsigned denied, fb_bytes object, fb_bytes username,
                   const struct fb_session *session);

#endif
