/* Rules of users: applying them, and writing them down again. */
#include "server/acl_details.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/commands.h"

enum { SHOWN_RULE_MAX = 80, RULE_MAX = 4096, BOTH = FB_ACL_READ | FB_ACL_WRITE };

/* ---- users ------------------------------------------------------------------------------------------------------ */

struct fb_user *fb_user_new(fb_bytes name) {
    struct fb_user *user = fb_mem_calloc(1, sizeof *user);
    if (user == NULL)
        return NULL;
    atomic_init(&user->refs, 1);
    memcpy(user->name, name.data, name.len);
    user->ngrants = 1;
    return user;
}

static void clear_grant(struct fb_grant *grant) {
    fb_buf_free(&grant->keys);
    fb_buf_free(&grant->channels);
    fb_buf_free(&grant->text);
    fb_buf_free(&grant->rules);
    *grant = (struct fb_grant){0};
}

struct fb_user *fb_user_ref(struct fb_user *user) {
    atomic_fetch_add_explicit(&user->refs, 1, memory_order_relaxed);
    return user;
}

void fb_user_unref(struct fb_user *user) {
    if (user == NULL || atomic_fetch_sub_explicit(&user->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < user->ngrants; i++)
        clear_grant(&user->grants[i]);
    OPENSSL_cleanse(user->hashes, sizeof user->hashes);
    fb_mem_free(user);
}

/* ---- passwords -------------------------------------------------------------------------------------------------- */

void fb_user_set_password(struct fb_user *user, const char *password) {
    user->nhashes = 0;
    user->has_nopass = password == NULL;
    if (password != NULL)
        SHA256((const unsigned char *)password, strlen(password), user->hashes[user->nhashes++]);
}

bool fb_user_accepts(const struct fb_user *user, fb_bytes password) {
    unsigned char hash[FB_HASH_BYTES];
    bool is_right = false;
    SHA256((const unsigned char *)password.data, password.len, hash);
    for (unsigned i = 0; user != NULL && i < user->nhashes; i++)
        is_right |= CRYPTO_memcmp(hash, user->hashes[i], sizeof hash) == 0;
    OPENSSL_cleanse(hash, sizeof hash);
    return user != NULL && user->is_on && (user->has_nopass || is_right);
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static fb_status read_hash(fb_bytes text, unsigned char ret_hash[FB_HASH_BYTES], fb_err *reterr) {
    for (size_t i = 0; text.len == 2 * FB_HASH_BYTES && i < text.len; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0)
            break;
        ret_hash[i / 2] = (unsigned char)(high << 4 | low);
        if (i + 2 == text.len)
            return FB_OK;
    }
    return fb_fail(reterr, FB_INVALID, "The password hash must be exactly 64 characters and contain only lowercase "
                   "hexadecimal characters");
}

static fb_status change_hash(struct fb_user *user, fb_bytes text, bool is_added, fb_err *reterr) {
    unsigned char hash[FB_HASH_BYTES];
    fb_status status = read_hash(text, hash, reterr);
    if (status != FB_OK)
        return status;
    unsigned i = 0;
    while (i < user->nhashes && memcmp(user->hashes[i], hash, sizeof hash) != 0)
        i++;
    if (is_added) {
        user->has_nopass = false;
        if (i == FB_HASHES_MAX)
            return fb_fail(reterr, FB_INVALID, "more than %d passwords", FB_HASHES_MAX);
        memcpy(user->hashes[i], hash, sizeof hash);
        user->nhashes += i == user->nhashes;
        return FB_OK;
    }
    if (i == user->nhashes)
        return fb_fail(reterr, FB_INVALID, "The password you are trying to remove from the user does not exist");
    memmove(user->hashes[i], user->hashes[--user->nhashes], sizeof hash);
    return FB_OK;
}

/* ---- patterns --------------------------------------------------------------------------------------------------- */

static bool is_star(fb_bytes text) { return text.len == 1 && text.data[0] == '*'; }

static void grant_all_keys(struct fb_grant *grant) {
    grant->has_all_keys = true;
    grant->keys.len = 0;
}

static fb_status add_pattern(struct fb_grant *grant, fb_buf *list, fb_bytes text, unsigned modes, fb_err *reterr) {
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == ' ' || text.data[i] == '\0')
            return fb_fail(reterr, FB_INVALID, "Syntax error");
    size_t n;
    struct fb_acl_pattern pattern = {(uint32_t)grant->text.len, (uint32_t)text.len, modes};
    const struct fb_acl_pattern *known = fb_acl_patterns(list, &n);
    for (size_t i = 0; i < n; i++) {
        fb_bytes other = fb_acl_text(grant, &known[i]);
        if (other.len == text.len && memcmp(other.data, text.data, text.len) == 0) {
            ((struct fb_acl_pattern *)(void *)list->data)[i].modes |= modes;
            if (list == &grant->keys && is_star(text) && known[i].modes == BOTH)
                grant_all_keys(grant); /* %R~* %W~* */
            return FB_OK;
        }
    }
    if (fb_buf_append(&grant->text, text.data, text.len) != FB_OK ||
        fb_buf_append(list, &pattern, sizeof pattern) != FB_OK)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    return FB_OK;
}

static fb_status add_key_pattern(struct fb_grant *grant, fb_bytes rule, fb_err *reterr) {
    unsigned modes = BOTH;
    size_t at = 1;
    if (rule.data[0] == '%') {
        for (modes = 0; at < rule.len && rule.data[at] != '~'; at++) {
            unsigned mode = rule.data[at] == 'R' || rule.data[at] == 'r'   ? FB_ACL_READ
                            : rule.data[at] == 'W' || rule.data[at] == 'w' ? FB_ACL_WRITE
                                                                           : 0;
            if (mode == 0 || (modes & mode))
                return fb_fail(reterr, FB_INVALID, "Syntax error");
            modes |= mode;
        }
        if (at == rule.len || modes == 0)
            return fb_fail(reterr, FB_INVALID, "Syntax error");
        at++;
    }
    fb_bytes text = fb_bytes_of(rule.data + at, rule.len - at);
    if (grant->has_all_keys)
        return fb_fail(reterr, FB_INVALID, "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid "
                       "and does not have any effect. Try 'resetkeys' to start with an empty list of patterns");
    if (is_star(text) && modes == BOTH) {
        grant_all_keys(grant);
        return FB_OK;
    }
    return add_pattern(grant, &grant->keys, text, modes, reterr);
}

static fb_status add_channel(struct fb_grant *grant, fb_bytes text, fb_err *reterr) {
    if (grant->has_all_channels)
        return fb_fail(reterr, FB_INVALID, "Adding a pattern after the * pattern (or the 'allchannels' flag) is not "
                       "valid and does not have any effect. Try 'resetchannels' to start with an empty list of "
                       "channels");
    if (is_star(text)) {
        grant->has_all_channels = true;
        grant->channels.len = 0;
        return FB_OK;
    }
    return add_pattern(grant, &grant->channels, text, 0, reterr);
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static void set_bit(struct fb_grant *grant, const struct fb_command *command, bool value) {
    size_t id = fb_command_number(command);
    uint64_t bit = UINT64_C(1) << id % 64;
    grant->commands[id / 64] = value ? grant->commands[id / 64] | bit : grant->commands[id / 64] & ~bit;
    grant->has_all_commands &= value;
}

static void set_category(struct fb_grant *grant, enum fb_acl_category category, bool value) {
    size_t n;
    for (int table = 0; table < 3; table++) {
        const struct fb_command *rows = table == 0 ? fb_commands(&n) : table == 1 ? fb_subcommands(&n) : fb_foreign(&n);
        for (size_t i = 0; i < n; i++)
            if (fb_acl_categories(&rows[i]) >> category & 1)
                set_bit(grant, &rows[i], value);
    }
}

static void set_all(struct fb_grant *grant, bool value) {
    memset(grant->commands, value ? 0xff : 0, sizeof grant->commands);
    grant->has_all_commands = grant->began_with_all = value;
    grant->rules.len = 0;
}

static bool is_forgotten(fb_bytes old, fb_bytes name) {
    return old.len >= name.len && memcmp(old.data, name.data, name.len) == 0 &&
           (old.len == name.len || old.data[name.len] == '|');
}

/* Keep the rules as given, in their order, without those that this one takes the place of. */
static fb_status note_rule(struct fb_grant *grant, fb_bytes rule, fb_err *reterr) {
    fb_buf *rules = &grant->rules;
    char text[FB_COMMAND_NAME_MAX + 2];
    size_t kept = 0;
    text[0] = ' ';
    for (size_t i = 0; i < rule.len; i++)
        text[1 + i] = rule.data[i] >= 'A' && rule.data[i] <= 'Z' ? (char)(rule.data[i] + ('a' - 'A')) : rule.data[i];
    fb_bytes name = fb_bytes_of(text + 2, rule.len - 1);
    for (size_t i = 0; i < rules->len;) {
        size_t end = i + 1; /* each is a blank, a sign, a name */
        while (end < rules->len && rules->data[end] != ' ')
            end++;
        if (!is_forgotten(fb_bytes_of(rules->data + i + 2, end - i - 2), name)) {
            memmove(rules->data + kept, rules->data + i, end - i);
            kept += end - i;
        }
        i = end;
    }
    rules->len = kept;
    return fb_buf_append(rules, text, rule.len + 1) == FB_OK ? FB_OK : fb_fail(reterr, FB_NOMEM, "out of memory");
}

static fb_status unknown(fb_err *reterr) {
    return fb_fail(reterr, FB_INVALID, "Unknown command or category name in ACL");
}

/* "get", "config|get"; a command that Forebay refuses may be named, it is refused to everybody. */
static fb_status set_command(struct fb_grant *grant, fb_bytes name, bool value, fb_err *reterr) {
    const char *bar = memchr(name.data, '|', name.len);
    fb_bytes words[2] = {name, fb_bytes_of(NULL, 0)};
    if (bar != NULL) {
        words[0].len = (size_t)(bar - name.data);
        words[1] = fb_bytes_of(bar + 1, name.len - words[0].len - 1);
    }
    if (words[0].len == 0 || (bar != NULL && words[1].len == 0))
        return unknown(reterr);
    struct fb_verb verb = fb_verb_find(words, bar != NULL ? 2 : 1);
    if (verb.foreign != NULL) /* the store's, or refused to everybody */
        set_bit(grant, verb.foreign, value);
    if (verb.foreign != NULL)
        return FB_OK;
    if (verb.refused != NULL)
        return FB_OK;
    if (verb.command == NULL || (bar != NULL && verb.command->parent == NULL))
        return unknown(reterr);
    set_bit(grant, verb.command, value);
    size_t n;
    const struct fb_command *subs = fb_subcommands(&n);
    for (size_t i = 0; bar == NULL && i < n; i++)
        if (strcmp(subs[i].parent, verb.command->name) == 0)
            set_bit(grant, &subs[i], value);
    return FB_OK;
}

static fb_status change_commands(struct fb_grant *grant, fb_bytes rule, fb_err *reterr) {
    bool value = rule.data[0] == '+';
    fb_bytes name = fb_bytes_of(rule.data + 1, rule.len - 1);
    if (name.len == 0 || name.len >= FB_COMMAND_NAME_MAX)
        return unknown(reterr);
    if (fb_is_word(name, "@all")) {
        set_all(grant, value);
        return FB_OK;
    }
    if (name.data[0] == '@') {
        enum fb_acl_category category = fb_acl_category(fb_bytes_of(name.data + 1, name.len - 1));
        if (category == FB_CAT_COUNT_)
            return unknown(reterr);
        set_category(grant, category, value);
    } else {
        fb_status status = set_command(grant, name, value, reterr);
        if (status != FB_OK)
            return status;
    }
    return note_rule(grant, rule, reterr);
}

/* ---- rules ------------------------------------------------------------------------------------------------------ */

enum word {
    ON, OFF, NOPASS, RESETPASS, RESET, CLEARSELECTORS, IGNORED, ALLKEYS, RESETKEYS, ALLCHANNELS, RESETCHANNELS,
    ALLCOMMANDS, NOCOMMANDS, NO_WORD
};
static const char *const words[] = {
    [ON] = "on", [OFF] = "off", [NOPASS] = "nopass", [RESETPASS] = "resetpass", [RESET] = "reset",
    [CLEARSELECTORS] = "clearselectors", [IGNORED] = "sanitize-payload", [ALLKEYS] = "allkeys",
    [RESETKEYS] = "resetkeys", [ALLCHANNELS] = "allchannels", [RESETCHANNELS] = "resetchannels",
    [ALLCOMMANDS] = "allcommands", [NOCOMMANDS] = "nocommands",
};

static enum word word_of(fb_bytes rule) {
    unsigned i = 0;
    while (i < NO_WORD && !fb_is_word(rule, words[i]))
        i++;
    return fb_is_word(rule, "skip-sanitize-payload") ? IGNORED : (enum word)i; /* of RESTORE, which is refused */
}

/* What may also stand in parentheses. */
static fb_status apply_to_grant(struct fb_grant *grant, fb_bytes rule, fb_err *reterr) {
    switch (word_of(rule)) {
    case ALLKEYS: grant_all_keys(grant); return FB_OK;
    case RESETKEYS: grant->has_all_keys = false; grant->keys.len = 0; return FB_OK;
    case ALLCHANNELS: grant->has_all_channels = true; grant->channels.len = 0; return FB_OK;
    case RESETCHANNELS: grant->has_all_channels = false; grant->channels.len = 0; return FB_OK;
    case ALLCOMMANDS: set_all(grant, true); return FB_OK;
    case NOCOMMANDS: set_all(grant, false); return FB_OK;
    default: break;
    }
    switch (rule.data[0]) {
    case '~':
    case '%': return add_key_pattern(grant, rule, reterr);
    case '&': return add_channel(grant, fb_bytes_of(rule.data + 1, rule.len - 1), reterr);
    case '+':
    case '-': return change_commands(grant, rule, reterr);
    default: return fb_fail(reterr, FB_INVALID, "Syntax error");
    }
}

static fb_status add_selector(struct fb_user *user, fb_bytes rule, fb_err *reterr) {
    if (rule.len < 2 || rule.data[rule.len - 1] != ')')
        return fb_fail(reterr, FB_INVALID, "Unmatched parenthesis in acl selector");
    if (user->ngrants == FB_SELECTORS_MAX)
        return fb_fail(reterr, FB_INVALID, "more than %d selectors", FB_SELECTORS_MAX - 1);
    struct fb_grant *grant = &user->grants[user->ngrants++];
    for (size_t i = 1; i < rule.len - 1;) {
        size_t end = i;
        while (end < rule.len - 1 && rule.data[end] != ' ')
            end++;
        if (end > i && rule.data[end - 1] == ')') /* could not be told from the selector's own end */
            return fb_fail(reterr, FB_INVALID, "Unmatched parenthesis in acl selector");
        if (end > i) {
            fb_status status = apply_to_grant(grant, fb_bytes_of(rule.data + i, end - i), reterr);
            if (status != FB_OK)
                return status;
        }
        i = end + 1;
    }
    return FB_OK;
}

static void clear_selectors(struct fb_user *user) {
    while (user->ngrants > 1)
        clear_grant(&user->grants[--user->ngrants]);
}

static fb_status apply(struct fb_user *user, fb_bytes rule, fb_err *reterr) {
    switch (word_of(rule)) {
    case ON: user->is_on = true; return FB_OK;
    case OFF: user->is_on = false; return FB_OK;
    case NOPASS: user->has_nopass = true; user->nhashes = 0; return FB_OK;
    case RESETPASS: user->has_nopass = false; user->nhashes = 0; return FB_OK;
    case IGNORED: return FB_OK;
    case CLEARSELECTORS: clear_selectors(user); return FB_OK;
    case RESET:
        clear_selectors(user);
        clear_grant(&user->grants[0]);
        user->is_on = user->has_nopass = false;
        user->nhashes = 0;
        return FB_OK;
    default: break;
    }
    switch (rule.data[0]) {
    case '#': return change_hash(user, fb_bytes_of(rule.data + 1, rule.len - 1), true, reterr);
    case '!': return change_hash(user, fb_bytes_of(rule.data + 1, rule.len - 1), false, reterr);
    case '>':
    case '<': /* not said again: it is a password */
        return fb_fail(reterr, FB_INVALID, "a password in plain text does not belong here: write #HASH, which "
                       "printf '%%s' 'PASSWORD' | sha256sum prints");
    case '(': return add_selector(user, rule, reterr);
    default: return apply_to_grant(&user->grants[0], rule, reterr);
    }
}

fb_status fb_user_rule(struct fb_user *user, fb_bytes rule, fb_err *reterr) {
    if (rule.len == 0 || rule.len > RULE_MAX)
        return fb_fail(reterr, FB_INVALID, "a rule has 1 to %d bytes", RULE_MAX);
    fb_status status = apply(user, rule, reterr);
    if (status != FB_OK && rule.data[0] != '>' && rule.data[0] != '<')
        fb_err_prefix(reterr, "'%.*s': ", (int)(rule.len < SHOWN_RULE_MAX ? rule.len : SHOWN_RULE_MAX), rule.data);
    return status;
}

/* ---- writing down ----------------------------------------------------------------------------------------------- */

static void put(fb_buf *out, const char *text) { (void)fb_buf_append(out, text, strlen(text)); }

static void put_patterns(fb_buf *out, const struct fb_grant *grant, const fb_buf *list, const char *sign) {
    static const char *const limited[] = {[FB_ACL_READ] = "%R~", [FB_ACL_WRITE] = "%W~"};
    size_t n;
    const struct fb_acl_pattern *patterns = fb_acl_patterns(list, &n);
    for (size_t i = 0; i < n; i++) {
        fb_bytes text = fb_acl_text(grant, &patterns[i]);
        unsigned modes = patterns[i].modes;
        put(out, out->len > 0 && out->data[out->len - 1] != ' ' ? " " : "");
        put(out, modes == FB_ACL_READ || modes == FB_ACL_WRITE ? limited[modes] : sign);
        (void)fb_buf_append(out, text.data, text.len);
    }
}

void fb_grant_describe(const struct fb_grant *grant, fb_buf *commands, fb_buf *keys, fb_buf *channels) {
    put(commands, grant->began_with_all ? "+@all" : "-@all");
    (void)fb_buf_append(commands, grant->rules.data, grant->rules.len);
    if (grant->has_all_keys)
        put(keys, "~*");
    put_patterns(keys, grant, &grant->keys, "~");
    if (grant->has_all_channels)
        put(channels, "&*");
    put_patterns(channels, grant, &grant->channels, "&");
}

static void put_grant(fb_buf *out, const struct fb_grant *grant) {
    fb_buf commands = FB_BUF_INIT, keys = FB_BUF_INIT, channels = FB_BUF_INIT;
    fb_grant_describe(grant, &commands, &keys, &channels);
    (void)fb_buf_append(out, keys.data, keys.len);
    put(out, keys.len > 0 ? " " : "");
    put(out, grant->has_all_channels ? "" : "resetchannels ");
    (void)fb_buf_append(out, channels.data, channels.len);
    put(out, channels.len > 0 ? " " : "");
    (void)fb_buf_append(out, commands.data, commands.len);
    fb_buf_free(&commands);
    fb_buf_free(&keys);
    fb_buf_free(&channels);
}

void fb_user_print_hash(const struct fb_user *user, unsigned i, char ret_hex[2 * FB_HASH_BYTES + 1]) {
    for (size_t j = 0; j < FB_HASH_BYTES; j++)
        snprintf(ret_hex + 2 * j, 3, "%02x", user->hashes[i][j]);
}

void fb_user_describe(const struct fb_user *user, fb_buf *out) {
    put(out, user->name);
    put(out, user->is_on ? " on " : " off ");
    put(out, user->has_nopass ? "nopass " : "");
    for (unsigned i = 0; i < user->nhashes; i++) {
        char hex[2 * FB_HASH_BYTES + 1];
        fb_user_print_hash(user, i, hex);
        put(out, "#");
        put(out, hex);
        put(out, " ");
    }
    put_grant(out, &user->grants[0]);
    for (unsigned i = 1; i < user->ngrants; i++) {
        put(out, " (");
        put_grant(out, &user->grants[i]);
        put(out, ")");
    }
}

bool fb_user_has_same_channels(const struct fb_user *a, const struct fb_user *b) {
    if (a->ngrants != b->ngrants)
        return false;
    bool is_same = true;
    for (unsigned i = 0; is_same && i < a->ngrants; i++) {
        fb_buf texts[2] = {FB_BUF_INIT, FB_BUF_INIT};
        const struct fb_grant *grants[2] = {&a->grants[i], &b->grants[i]};
        for (int j = 0; j < 2; j++) {
            put(&texts[j], grants[j]->has_all_channels ? "&*" : "");
            put_patterns(&texts[j], grants[j], &grants[j]->channels, "&");
        }
        is_same = texts[0].len == texts[1].len && (texts[0].len == 0 ||
                  memcmp(texts[0].data, texts[1].data, texts[0].len) == 0);
        fb_buf_free(&texts[0]);
        fb_buf_free(&texts[1]);
    }
    return is_same;
}
