/* What a user may do: rules in the words of Redis' ACL, and requests held against them.
 *
 *     struct fb_user *user = fb_user_new(FB_STR("alice"));
 *     fb_user_rule(user, FB_STR("~user:*"), &err) && fb_user_rule(user, FB_STR("+@read"), &err) …
 *     switch (fb_user_judge(user, command, argv, argc, &which)) { case FB_ACL_GRANTED: … }
 *
 * A user is built by one thread and constant from the moment others can find it; it is counted, because a connection
 * keeps the one it has logged in as. The categories of a command follow from its flags and its group in
 * tbl/commands.h; where Redis sorts a command otherwise, a row of the exceptions in acl.c says so. */
#ifndef FB_SERVER_ACL_H
#define FB_SERVER_ACL_H

#include "server/call.h"

enum {
    FB_HASH_BYTES = 32,         /* SHA-256 */
    FB_HASHES_MAX = 16,         /* passwords of one user: some while they are being changed */
    FB_SELECTORS_MAX = 16,      /* of one user, with the rules outside of parentheses */
    FB_COMMAND_IDS_MAX = 512,   /* rows of both tables of commands */
};

/* X(enum, name): what commands are sorted into; Redis' names, then ours */
#define FB_ACL_CATEGORIES(X)                                                                                           \
    X(KEYSPACE, "keyspace") X(READ, "read") X(WRITE, "write") X(SET, "set") X(SORTEDSET, "sortedset")                  \
    X(LIST, "list") X(HASH, "hash") X(STRING, "string") X(BITMAP, "bitmap") X(HYPERLOGLOG, "hyperloglog")              \
    X(GEO, "geo") X(STREAM, "stream") X(PUBSUB, "pubsub") X(ADMIN, "admin") X(FAST, "fast") X(SLOW, "slow")            \
    X(BLOCKING, "blocking") X(DANGEROUS, "dangerous") X(CONNECTION, "connection") X(TRANSACTION, "transaction")        \
    X(SCRIPTING, "scripting") X(FOREBAY, "forebay")

enum fb_acl_category {
#define FB_CATEGORY_(name, text) FB_CAT_##name,
    FB_ACL_CATEGORIES(FB_CATEGORY_)
#undef FB_CATEGORY_
    FB_CAT_COUNT_
};

/* What is needed of a key, and what a pattern gives. Neither: it is only asked whether it is there. */
enum { FB_ACL_READ = 1 << 0, FB_ACL_WRITE = 1 << 1 };

/* Build what is derived from the table of commands; called by fb_commands_prepare. */
void fb_acl_prepare(void);
/* The categories of a command, as bits 1 << FB_CAT_…. */
uint32_t fb_acl_categories(const struct fb_command *command);
/* NULL when there are no more. */
const char *fb_acl_category_name(unsigned category);
/* FB_CAT_COUNT_: no such category. */
enum fb_acl_category fb_acl_category(fb_bytes name);
/* The keys of a request; false: it has none. */
struct fb_key_range { size_t first, last, step; };
bool fb_command_keys(const struct fb_command *command, size_t argc, struct fb_key_range *ret_range);
/* The place of the next key behind `after` (0: of the first), wherever the command has its keys; argc: there is none. */
size_t fb_key_next(const struct fb_command *command, const fb_bytes *argv, size_t argc, size_t after);
/* Does this SET hand out the old value? */
bool fb_command_has_get(const fb_bytes *argv, size_t argc);

struct fb_grant {
    uint64_t commands[FB_COMMAND_IDS_MAX / 64]; /* by fb_command_number */
    bool began_with_all;        /* what the rules start from: +@all or -@all */
    bool has_all_commands, has_all_keys, has_all_channels;
    fb_buf keys, channels;      /* struct pattern, of acl.c */
    fb_buf text;                /* what the patterns say */
    fb_buf rules;               /* the rules about commands as they were given: " +get -@write" */
};

struct fb_user {
    _Atomic uint32_t refs;
    char name[FB_NAME_MAX];
    bool is_on, has_nopass;
    unsigned char hashes[FB_HASHES_MAX][FB_HASH_BYTES];
    unsigned nhashes;
    struct fb_grant grants[FB_SELECTORS_MAX]; /* the first: outside of parentheses */
    unsigned ngrants;
};

/* As Redis makes them: switched off, without a password, allowed nothing. NULL: no memory; the name is shorter than
 * FB_NAME_MAX. */
struct fb_user *fb_user_new(fb_bytes name);
struct fb_user *fb_user_ref(struct fb_user *user);
void fb_user_unref(struct fb_user *user);
/* Apply one rule; "(…)" is one. On failure the text says why, and the user is not to be used. */
fb_status fb_user_rule(struct fb_user *user, fb_bytes rule, fb_err *reterr);
/* Only this password from now on; NULL: none is asked. */
void fb_user_set_password(struct fb_user *user, const char *password);
/* Takes as long for a wrong password as for the right one. NULL: there is no such user, and the answer is no. */
bool fb_user_accepts(const struct fb_user *user, fb_bytes password);
/* May it do everything? Then nothing needs to be judged. */
bool fb_user_is_unrestricted(const struct fb_user *user);
/* Do both name the same channels? */
bool fb_user_has_same_channels(const struct fb_user *a, const struct fb_user *b);
/* As 64 digits. */
void fb_user_print_hash(const struct fb_user *user, unsigned i, char ret_hex[2 * FB_HASH_BYTES + 1]);
/* "alice on #5e88… ~user:* resetchannels -@all +get"; appended. */
void fb_user_describe(const struct fb_user *user, fb_buf *out);
/* Its rules about commands, keys and channels, each for itself. */
void fb_grant_describe(const struct fb_grant *grant, fb_buf *commands, fb_buf *keys, fb_buf *channels);

enum fb_acl_verdict { FB_ACL_GRANTED, FB_ACL_NO_COMMAND, FB_ACL_NO_KEY, FB_ACL_NO_CHANNEL };
/* May the user run this? *ret_which: the argument that it may not use. */
enum fb_acl_verdict fb_user_judge(const struct fb_user *user, const struct fb_command *command, const fb_bytes *argv,
                                  size_t argc, size_t *ret_which);
/* May it use this key for this (FB_ACL_READ, FB_ACL_WRITE)? */
bool fb_user_may_use(const struct fb_user *user, fb_bytes key, unsigned modes);

#endif
