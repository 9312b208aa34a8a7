/* Requests held against what a user may do, and what that needs to know of the commands. */
#include "server/acl.h"

#include <assert.h>
#include <string.h>

#include "proto/glob.h"
#include "server/acl_details.h"
#include "server/commands.h"

/* ---- categories ------------------------------------------------------------------------------------------------- */

static const char *const category_names[] = {
#define NAME(name, text) text,
    FB_ACL_CATEGORIES(NAME)
#undef NAME
};

const char *fb_acl_category_name(unsigned category) {
    return category < FB_CAT_COUNT_ ? category_names[category] : NULL;
}

enum fb_acl_category fb_acl_category(fb_bytes name) {
    unsigned i = 0;
    while (i < FB_CAT_COUNT_ && !fb_is_word(name, category_names[i]))
        i++;
    return (enum fb_acl_category)i;
}

#define CAT(name) (UINT32_C(1) << FB_CAT_##name)

static const struct { const char *group; uint32_t categories; } groups[] = {
    {"generic", CAT(KEYSPACE)}, {"string", CAT(STRING)}, {"hash", CAT(HASH)}, {"connection", CAT(CONNECTION)},
    {"pubsub", CAT(PUBSUB)}, {"scripting", CAT(SCRIPTING)}, {"transactions", CAT(TRANSACTION)}, {"forebay", CAT(FOREBAY)},
    {"list", CAT(LIST)}, {"set", CAT(SET)}, {"sorted-set", CAT(SORTEDSET)}, {"stream", CAT(STREAM)},
    {"bitmap", CAT(BITMAP)}, {"hyperloglog", CAT(HYPERLOGLOG)}, {"geo", CAT(GEO)},
};

/* Where Redis sorts a command otherwise than its group and flags say. */
static const struct { const char *name; uint32_t adds, takes; } exceptions[] = {
    {"client|no-evict", CAT(ADMIN) | CAT(DANGEROUS), 0},
    {"command", CAT(CONNECTION), 0},
    {"dbsize", CAT(KEYSPACE), 0},
    {"debug", CAT(ADMIN) | CAT(DANGEROUS), 0},
    {"flushall", CAT(KEYSPACE) | CAT(DANGEROUS), 0},
    {"flushdb", CAT(KEYSPACE) | CAT(DANGEROUS), 0},
    {"function|flush", CAT(WRITE), 0},
    {"info", CAT(DANGEROUS), 0},
    {"keys", CAT(DANGEROUS), 0},
    {"lastsave", CAT(ADMIN) | CAT(DANGEROUS), 0},
    {"pubsub|help", 0, CAT(PUBSUB)},
    {"role", CAT(ADMIN) | CAT(DANGEROUS), 0},
    {"wait", CAT(CONNECTION), CAT(KEYSPACE)},
    {"watch", CAT(FAST), CAT(READ) | CAT(SLOW)},
};

/* Commands whose arguments are channels. Who may subscribe to a pattern must have been given that very pattern. */
static const struct channel_args { const char *name; bool to_the_end, are_patterns; } channel_args[] = {
    {"subscribe", true, false}, {"ssubscribe", true, false}, {"psubscribe", true, true},
    {"publish", false, false}, {"spublish", false, false},
};

/* Derived from the tables, by fb_command_number. */
static struct fact {
    uint32_t categories;
    unsigned char modes;
    bool may_read_too; /* SET, with GET */
    const struct channel_args *channels;
} facts[FB_COMMAND_IDS_MAX];

static uint32_t derive_categories(const struct fb_command *command, const char *group) {
    uint32_t c = command->flags & FB_CMD_FAST ? CAT(FAST) : CAT(SLOW);
    if (command->flags & FB_CMD_PARENT && command->first == 0 && command->group != NULL &&
        strcmp(command->name, "command") != 0)
        return c; /* what it does its subcommands say */
    c |= command->flags & FB_CMD_READ ? CAT(READ) : 0;
    c |= command->flags & FB_CMD_WRITE ? CAT(WRITE) : 0;
    c |= command->flags & FB_CMD_BLOCKS ? CAT(BLOCKING) : 0;
    c |= command->flags & FB_CMD_ADMIN ? CAT(ADMIN) | CAT(DANGEROUS) : 0;
    for (size_t i = 0; group != NULL && i < sizeof groups / sizeof groups[0]; i++)
        c |= strcmp(groups[i].group, group) == 0 ? groups[i].categories : 0;
    char name[FB_COMMAND_NAME_MAX];
    (void)fb_command_full_name(command, name);
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
        if (strcmp(exceptions[i].name, name) == 0 ||
            (command->parent != NULL && strcmp(exceptions[i].name, command->parent) == 0))
            c = (c | exceptions[i].adds) & ~exceptions[i].takes;
    return c;
}

static void derive(const struct fb_command *command, const char *group) {
    struct fact *fact = &facts[fb_command_number(command)];
    const char *name = command->parent != NULL ? command->parent : command->name;
    fact->categories = derive_categories(command, group);
    if (!(command->flags & FB_KEY_META))
        fact->modes = command->flags & FB_CMD_WRITE ? FB_ACL_WRITE : FB_ACL_READ;
    if (command->flags & FB_KEY_ACCESS)
        fact->modes |= FB_ACL_READ;
    fact->may_read_too = (command->flags & FB_KEY_SET) != 0;
    for (size_t i = 0; i < sizeof channel_args / sizeof channel_args[0]; i++)
        if (strcmp(channel_args[i].name, name) == 0)
            fact->channels = &channel_args[i];
}

void fb_acl_prepare(void) {
    size_t n, nsub, nforeign;
    const struct fb_command *rows = fb_commands(&n), *subs = fb_subcommands(&nsub), *foreign = fb_foreign(&nforeign);
    assert(n + nsub + nforeign < FB_COMMAND_IDS_MAX);
    for (size_t i = 0; i < n; i++)
        derive(&rows[i], rows[i].group);
    for (size_t i = 0; i < nsub; i++)
        derive(&subs[i], fb_command_named(FB_STR(subs[i].parent))->group);
    for (size_t i = 0; i < nforeign; i++)
        derive(&foreign[i], foreign[i].group);
}

uint32_t fb_acl_categories(const struct fb_command *command) { return facts[fb_command_number(command)].categories; }

/* ---- keys ------------------------------------------------------------------------------------------------------- */

bool fb_command_keys(const struct fb_command *command, size_t argc, struct fb_key_range *ret_range) {
    if (command->first == 0)
        return false;
    size_t last = command->last >= 0 ? (size_t)command->last
                  : argc >= (size_t)-command->last ? argc - (size_t)-command->last : 0;
    *ret_range = (struct fb_key_range){(size_t)command->first, last < argc ? last : argc - 1,
                                       command->step > 0 ? (size_t)command->step : 1};
    return ret_range->first <= ret_range->last;
}

/* Behind a number of keys that is none, everything may be one. */
static size_t counted_end(const struct fb_command *command, const fb_bytes *argv, size_t argc) {
    size_t at = (size_t)command->counted;
    int64_t n;
    if (at >= argc)
        return argc;
    if (!fb_parse_integer(argv[at], &n) || n < 0 || (uint64_t)n > argc - at - 1)
        return argc;
    return at + 1 + (size_t)n;
}

/* The first half of what follows the word STREAMS. */
static size_t streams_next(const fb_bytes *argv, size_t argc, size_t after) {
    size_t word = 1;
    while (word < argc && !fb_is_word(argv[word], "streams"))
        word++;
    if (word >= argc)
        return argc;
    size_t end = word + 1 + (argc - word) / 2, next = after > word ? after + 1 : word + 1;
    return next < end && next < argc ? next : argc;
}

/* What stands behind the word as another option's value is taken for a key rather than passed over. */
static size_t stored_next(const fb_bytes *argv, size_t argc, size_t after) {
    for (size_t i = after > 2 ? after + 1 : 3; i < argc; i++)
        if (fb_is_word(argv[i - 1], "store") || fb_is_word(argv[i - 1], "storedist"))
            return i;
    return argc;
}

size_t fb_key_next(const struct fb_command *command, const fb_bytes *argv, size_t argc, size_t after) {
    struct fb_key_range keys;
    if (command->flags & FB_KEYS_STREAMS)
        return streams_next(argv, argc, after);
    if (fb_command_keys(command, argc, &keys)) {
        size_t next = after < keys.first ? keys.first : after + keys.step;
        if (next <= keys.last)
            return next;
    }
    if (command->counted > 0) {
        size_t first = (size_t)command->counted + 1, next = after < first ? first : after + 1;
        return next < counted_end(command, argv, argc) ? next : argc;
    }
    return command->flags & FB_KEYS_STORE ? stored_next(argv, argc, after) : argc;
}

bool fb_command_has_get(const fb_bytes *argv, size_t argc) {
    for (size_t i = 3; i < argc; i++)
        if (fb_is_word(argv[i], "get"))
            return true;
    return false;
}

/* ---- judging ---------------------------------------------------------------------------------------------------- */

static bool may_use_key(const struct fb_grant *grant, fb_bytes key, unsigned modes) {
    if (grant->has_all_keys)
        return true;
    size_t n;
    const struct fb_acl_pattern *patterns = fb_acl_patterns(&grant->keys, &n);
    for (size_t i = 0; i < n; i++)
        if ((patterns[i].modes & modes) == modes && fb_glob_match(fb_acl_text(grant, &patterns[i]), key, false))
            return true;
    return false;
}

static bool may_use_channel(const struct fb_grant *grant, fb_bytes channel, bool is_pattern) {
    if (grant->has_all_channels)
        return true;
    size_t n;
    const struct fb_acl_pattern *patterns = fb_acl_patterns(&grant->channels, &n);
    for (size_t i = 0; i < n; i++) {
        fb_bytes text = fb_acl_text(grant, &patterns[i]);
        if (is_pattern ? text.len == channel.len && memcmp(text.data, channel.data, text.len) == 0
                       : fb_glob_match(text, channel, false))
            return true;
    }
    return false;
}

static enum fb_acl_verdict judge(const struct fb_grant *grant, const struct fb_command *command, const fb_bytes *argv,
                                 size_t argc, size_t *ret_which) {
    size_t id = fb_command_number(command);
    const struct fact *fact = &facts[id];
    *ret_which = 0;
    if (!(grant->commands[id / 64] >> id % 64 & 1) && !(command->flags & FB_CMD_NO_AUTH))
        return FB_ACL_NO_COMMAND;
    if (!grant->has_all_keys) {
        unsigned modes = fact->modes | (fact->may_read_too && fb_command_has_get(argv, argc) ? FB_ACL_READ : 0u);
        for (size_t i = fb_key_next(command, argv, argc, 0); i < argc; i = fb_key_next(command, argv, argc, i))
            if (*ret_which = i, !may_use_key(grant, argv[i], modes))
                return FB_ACL_NO_KEY;
    }
    if (!grant->has_all_channels && fact->channels != NULL) {
        size_t last = fact->channels->to_the_end ? argc - 1 : 1;
        for (size_t i = 1; i <= last; i++)
            if (*ret_which = i, !may_use_channel(grant, argv[i], fact->channels->are_patterns))
                return FB_ACL_NO_CHANNEL;
    }
    return FB_ACL_GRANTED;
}

/* One selector must grant all of it. What is said otherwise is what the one found missing that came furthest. */
enum fb_acl_verdict fb_user_judge(const struct fb_user *user, const struct fb_command *command, const fb_bytes *argv,
                                  size_t argc, size_t *ret_which) {
    enum fb_acl_verdict worst = FB_ACL_NO_COMMAND;
    size_t which;
    *ret_which = 0;
    for (unsigned i = 0; i < user->ngrants; i++) {
        enum fb_acl_verdict verdict = judge(&user->grants[i], command, argv, argc, &which);
        if (verdict == FB_ACL_GRANTED)
            return verdict;
        if (verdict > worst || (verdict == worst && which > *ret_which)) {
            worst = verdict;
            *ret_which = which;
        }
    }
    return worst;
}

bool fb_user_may_use(const struct fb_user *user, fb_bytes key, unsigned modes) {
    for (unsigned i = 0; i < user->ngrants; i++)
        if (may_use_key(&user->grants[i], key, modes))
            return true;
    return false;
}

bool fb_user_is_unrestricted(const struct fb_user *user) {
    const struct fb_grant *root = &user->grants[0];
    return root->has_all_commands && root->has_all_keys && root->has_all_channels;
}
