/* Users: what the file may say, what each rule grants, and what a connection hears.
 *
 * Tables throughout: rules and the line they amount to, forty lines that are wrong and what is said of each, requests of
 * users and the verdict on each, derived once from the table and once written down by hand. Over the double of the
 * engine: logging in, refusals, a file that changes under connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "double_engine.h"
#include "served.h"
#include "server/commands.h"
#include "server/users.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* SHA-256 of "secret" and of "other". */
#define SECRET_HASH "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
#define OTHER_HASH "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"

/* ---- rules ------------------------------------------------------------------------------------------------------ */

/* A user with these rules, separated by blanks (not inside parentheses). */
static struct fb_user *user_of(const char *rules, fb_status *ret_status, fb_err *err) {
    struct fb_user *user = fb_user_new(FB_STR("u"));
    *ret_status = FB_OK;
    for (const char *p = rules; *p != '\0' && *ret_status == FB_OK;) {
        size_t len = strcspn(p, " ");
        while (*p == '(' && p[len - 1] != ')' && p[len] != '\0')
            len += 1 + strcspn(p + len + 1, " ");
        *ret_status = fb_user_rule(user, fb_bytes_of(p, len), err);
        p += len;
        p += *p == ' ';
    }
    return user;
}

static void rules_amount_to_a_line(void **state) {
    (void)state;
    static const struct { const char *rules, *line; } rows[] = {
        {"on nopass", "u on nopass resetchannels -@all"},
        {"ON NoPass AllKeys ALLCHANNELS AllCommands", "u on nopass ~* &* +@all"},
        {"on #" SECRET_HASH " ~user:* +get", "u on #" SECRET_HASH " ~user:* resetchannels -@all +get"},
        {"#" SECRET_HASH " #" OTHER_HASH " !" SECRET_HASH, "u off #" OTHER_HASH " resetchannels -@all"},
        {"#" SECRET_HASH " #" SECRET_HASH, "u off #" SECRET_HASH " resetchannels -@all"},
        {"nopass #" SECRET_HASH, "u off #" SECRET_HASH " resetchannels -@all"},
        {"#" SECRET_HASH " nopass", "u off nopass resetchannels -@all"},
        {"#" SECRET_HASH " resetpass", "u off resetchannels -@all"},
        {"%R~a:* %W~b:* %RW~c:* ~d:*", "u off %R~a:* %W~b:* ~c:* ~d:* resetchannels -@all"},
        {"%R~a %W~a", "u off ~a resetchannels -@all"},
        {"~a ~a", "u off ~a resetchannels -@all"},
        {"~a resetkeys ~b", "u off ~b resetchannels -@all"},
        {"~a allkeys", "u off ~* resetchannels -@all"},
        {"%RW~*", "u off ~* resetchannels -@all"},
        {"%R~* ~a %W~*", "u off ~* resetchannels -@all"},
        {"%R~*", "u off %R~* resetchannels -@all"},
        {"&a &b*", "u off resetchannels &a &b* -@all"},
        {"&a resetchannels &c", "u off resetchannels &c -@all"},
        {"&*", "u off &* -@all"},
        {"+GET -get", "u off resetchannels -@all -get"},
        {"+@read -get +get", "u off resetchannels -@all +@read +get"},
        {"+@all -@admin -get", "u off resetchannels +@all -@admin -get"},
        {"+config|get +config", "u off resetchannels -@all +config"},
        {"+config -config|set", "u off resetchannels -@all +config -config|set"},
        {"+get +@all", "u off resetchannels +@all"},
        {"+@all nocommands +set", "u off resetchannels -@all +set"},
        {"(~a +get) (%R~b +@write)", "u off resetchannels -@all (~a resetchannels -@all +get) "
                                     "(%R~b resetchannels -@all +@write)"},
        {"(~a)b +get)", "u off resetchannels -@all (~a)b resetchannels -@all +get)"},
        {"(~a +get) clearselectors", "u off resetchannels -@all"},
        {"on nopass allkeys (~b) +get reset", "u off resetchannels -@all"},
        {"sanitize-payload skip-sanitize-payload", "u off resetchannels -@all"},
        {"+zadd +cluster|slots", "u off resetchannels -@all +zadd +cluster|slots"}, /* refused to all: harmless */
    };
    fb_commands_prepare();
    for (size_t i = 0; i < COUNT(rows); i++) {
        fb_status status;
        fb_err err = {0};
        fb_buf line = FB_BUF_INIT;
        struct fb_user *user = user_of(rows[i].rules, &status, &err);
        if (status != FB_OK)
            fail_msg("'%s': %s", rows[i].rules, err.text);
        fb_user_describe(user, &line);
        if (line.len != strlen(rows[i].line) || memcmp(line.data, rows[i].line, line.len) != 0)
            fail_msg("'%s'\nis       %.*s\nand not  %s", rows[i].rules, (int)line.len, line.data, rows[i].line);
        fb_user_unref(user);
        /* The line is rules again, and amounts to itself. */
        fb_buf again = FB_BUF_INIT;
        fb_buf_append(&line, "", 1);
        user = user_of(line.data + strlen("u "), &status, &err);
        assert_int_equal(status, FB_OK);
        fb_user_describe(user, &again);
        assert_string_equal(line.data, (fb_buf_append(&again, "", 1), again.data));
        fb_user_unref(user);
        fb_buf_free(&line);
        fb_buf_free(&again);
    }
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

struct told { unsigned n, line; char text[FB_ERR_TEXT_MAX]; };

static void note(void *user, unsigned line, const char *text) {
    struct told *told = user;
    told->n++;
    told->line = line;
    snprintf(told->text, sizeof told->text, "%s", text);
}

static char *path_of_file(void) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/forebay-users-%d", (int)getpid());
    return path;
}

static const char *write_file(const char *text, size_t len) {
    const char *path = path_of_file();
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    return path;
}

#define LONG_NAME                                                                                                      \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
    "aaaaaaaaaaaaaaaaaaaa"
#define UNKNOWN "Unknown command or category name in ACL"
#define HASH_TEXT "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"

static void every_wrong_line_is_told(void **state) {
    (void)state;
    static const struct { const char *line, *text; } rows[] = {
        {"alice on nopass", "a line begins with the word 'user', then a name and rules"},
        {"User alice on nopass", "a line begins with"},
        {"users alice on nopass", "a line begins with"},
        {"on", "a line begins with"},
        {"user", "the name of a user has"},
        {"user   ", "the name of a user has"},
        {"user a\x01" "b off", "the name of a user has"},
        {"user " LONG_NAME " off", "the name of a user has"},
        {"user a onn", "'onn': Syntax error"},
        {"user a on", "neither #HASH nor nopass"},
        {"user a on +get", "neither #HASH nor nopass"},
        {"user a >secret", "a password in plain text does not belong here: write #HASH, which printf '%s' 'PASSWORD' | "
                           "sha256sum prints"},
        {"user a <secret", "a password in plain text"},
        {"user a #", HASH_TEXT},
        {"user a #12", HASH_TEXT},
        {"user a #" SECRET_HASH "0", HASH_TEXT},
        {"user a #2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B", HASH_TEXT},
        {"user a #zbb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", HASH_TEXT},
        {"user a !12", HASH_TEXT},
        {"user a !" SECRET_HASH, "The password you are trying to remove from the user does not exist"},
        {"user a +", UNKNOWN},
        {"user a -", UNKNOWN},
        {"user a +nosuch", UNKNOWN},
        {"user a -nosuch", UNKNOWN},
        {"user a +@nosuch", UNKNOWN},
        {"user a +@", UNKNOWN},
        {"user a +get|x", UNKNOWN},
        {"user a +config|nosuch", UNKNOWN},
        {"user a +config|", UNKNOWN},
        {"user a +|get", UNKNOWN},
        {"user a ++get", UNKNOWN},
        {"user a +" LONG_NAME, UNKNOWN},
        {"user a ~* ~b", "Adding a pattern after the * pattern"},
        {"user a allkeys %R~b", "Adding a pattern after the * pattern"},
        {"user a &* &b", "Adding a pattern after the * pattern (or the 'allchannels' flag)"},
        {"user a %~b", "Syntax error"},
        {"user a %X~b", "Syntax error"},
        {"user a %RR~b", "Syntax error"},
        {"user a %R", "Syntax error"},
        {"user a user:*", "Syntax error"},
        {"user a (+get", "Unmatched parenthesis in acl selector"},
        {"user a (on)", "Syntax error"},
        {"user a (+get ~a", "Unmatched parenthesis in acl selector"},
        {"user a (~a))", "Unmatched parenthesis in acl selector"},
        {"user a (+nosuch ~a)", UNKNOWN},
        {"user a +get)", UNKNOWN},
        {"user a ^x", "Syntax error"},
        {"user alice off", "the user 'alice' has a line already"},
    };
    fb_commands_prepare();
    assert_true(COUNT(rows) >= 40);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[1024];
        int len = snprintf(text, sizeof text, "# two good lines\n\nuser alice on nopass +get\r\n%s\nuser z off\n",
                           rows[i].line);
        struct told told = {.n = 0};
        assert_int_equal(fb_users_check(write_file(text, (size_t)len), false, note, &told), 1);
        if (told.n != 1 || told.line != 4 || strstr(told.text, rows[i].text) == NULL)
            fail_msg("'%s': %u faults, line %u: %s", rows[i].line, told.n, told.line, told.text);
        if (strstr(rows[i].line, "secret") != NULL)
            assert_null(strstr(told.text, "secret"));
    }
}

static void files_that_cannot_be_used_are_told(void **state) {
    (void)state;
    struct told told = {.n = 0};
    fb_commands_prepare();
    assert_int_equal(fb_users_check("/nowhere/users", false, note, &told), 1);
    assert_non_null(strstr(told.text, "cannot open it"));
    assert_int_equal(fb_users_check("/tmp", false, note, &told), 1);
    assert_non_null(strstr(told.text, "not a file"));
    assert_int_equal(fb_users_check(write_file("user a off\0\n", 12), false, note, &told), 1);
    assert_non_null(strstr(told.text, "NUL"));
    assert_int_equal(fb_users_check(write_file("user default on nopass\n", 23), true, note, &told), 1);
    assert_non_null(strstr(told.text, "keep one of them"));
    const char *path = write_file("user a off\n", 11);
    assert_int_equal(chmod(path, 0622), 0);
    assert_int_equal(fb_users_check(path, false, note, &told), 1);
    assert_non_null(strstr(told.text, "others than its owner may write it"));
    assert_int_equal(fb_users_check(write_file("", 0), false, note, &told), 0);
    assert_int_equal(fb_users_check(write_file("user a off", 10), false, note, &told), 0);
    /* All faults at once, not the first only. */
    static const char three[] = "nonsense\nuser a +x +y\nuser b off\n";
    told.n = 0;
    assert_int_equal(fb_users_check(write_file(three, sizeof three - 1), false, note, &told), 3);
    assert_int_equal(told.n, 3);
}

/* ---- verdicts --------------------------------------------------------------------------------------------------- */

static enum fb_acl_verdict judge(const char *rules, const char *request, size_t *ret_which) {
    fb_bytes argv[16];
    size_t argc = 0;
    fb_status status;
    fb_err err = {0};
    struct fb_user *user = user_of(rules, &status, &err);
    assert_int_equal(status, FB_OK);
    for (const char *p = request; *p != '\0';) {
        size_t len = strcspn(p, " ");
        argv[argc++] = fb_bytes_of(p, len);
        p += len + (p[len] == ' ');
    }
    const struct fb_command *command = fb_verb_find(argv, argc).command;
    if (command == NULL)
        fail_msg("no command: %s", request);
    enum fb_acl_verdict verdict = fb_user_judge(user, command, argv, argc, ret_which);
    fb_user_unref(user);
    return verdict;
}

static void requests_are_judged(void **state) {
    (void)state;
    enum { YES = FB_ACL_GRANTED, COMMAND = FB_ACL_NO_COMMAND, KEY = FB_ACL_NO_KEY, CHANNEL = FB_ACL_NO_CHANNEL };
    static const struct { const char *rules, *request; int verdict; size_t which; } rows[] = {
        {"", "get a", COMMAND, 0},
        {"", "auth a b", YES, 0}, /* what one may say before AUTH needs no permission */
        {"", "hello", YES, 0},
        {"+get", "get a", KEY, 1},
        {"+get allkeys", "get a", YES, 0},
        {"+get ~a*", "get abc", YES, 0},
        {"+get ~a*", "get bac", KEY, 1},
        {"+get ~a? ~b", "get b", YES, 0},
        {"+mget ~a*", "mget a1 a2 b3 a4", KEY, 3},
        {"+mset ~a*", "mset a1 b1 a2 b2", YES, 0}, /* every second is a value */
        {"+mset ~a*", "mset a1 a1 b2 a2", KEY, 3},
        {"+del ~a*", "del a b", KEY, 2},
        {"+@all %R~a", "get a", YES, 0},
        {"+@all %R~a", "set a 1", KEY, 1},
        {"+@all %W~a", "set a 1", YES, 0},
        {"+@all %W~a", "get a", KEY, 1},
        {"+@all %W~a", "set a 1 get", KEY, 1},
        {"+@all ~a", "set a 1 GET", YES, 0},
        {"+@all %W~a", "incr a", KEY, 1},
        {"+@all %R~a", "incr a", KEY, 1},
        {"+@all ~a", "incr a", YES, 0},
        {"+@all %R~a %W~a", "incr a", YES, 0},
        {"+@all %R~a* %W~*b", "incr ab", KEY, 1}, /* no single pattern gives both, as in Redis */
        {"+@all %W~a", "getset a 1", KEY, 1},
        {"+@all %W~a", "getdel a", KEY, 1},
        {"+@all %W~a", "getex a", KEY, 1},
        {"+@all %W~a", "hset a f 1", YES, 0},
        {"+@all %W~a", "hincrby a f 1", KEY, 1},
        {"+@all %W~a", "hget a f", KEY, 1},
        {"+@all %W~a", "exists a", YES, 0}, /* asks only whether it is there */
        {"+@all %R~a", "exists a", YES, 0},
        {"+@all %R~a", "exists a b", KEY, 2},
        {"+@all %W~a", "type a", YES, 0},
        {"+@all %W~a", "ttl a", KEY, 1},
        {"+@all %R~a", "expire a 1", KEY, 1},
        {"+@all %R~a", "del a", KEY, 1},
        {"+@read allkeys", "get a", YES, 0},
        {"+@read allkeys", "set a 1", COMMAND, 0},
        {"+@all -@dangerous allkeys", "get a", YES, 0},
        {"+@all -@dangerous allkeys", "flushall", COMMAND, 0},
        {"+@all -@dangerous allkeys", "config get x", COMMAND, 0},
        {"+@all -@dangerous allkeys", "client id", YES, 0},
        {"+@all -@dangerous allkeys", "client list", COMMAND, 0},
        {"+config|get", "config get x", YES, 0},
        {"+config|get", "config set x y", COMMAND, 0},
        {"+config -config|set", "config get x", YES, 0},
        {"+config -config|set", "config set x y", COMMAND, 0},
        {"+client", "client list", YES, 0},
        {"+@connection", "client setname x", YES, 0},
        {"+@connection", "ping", YES, 0},
        {"+@connection", "get a", COMMAND, 0},
        {"+subscribe", "subscribe a", CHANNEL, 1},
        {"+subscribe &a*", "subscribe ab ac", YES, 0},
        {"+subscribe &a*", "subscribe ab b", CHANNEL, 2},
        {"+subscribe allchannels", "subscribe a", YES, 0},
        {"+psubscribe &a*", "psubscribe a*", YES, 0},
        {"+psubscribe &a*", "psubscribe ab*", CHANNEL, 1}, /* a pattern must be granted as it is */
        {"+publish &a*", "publish ab b", YES, 0},
        {"+publish &a*", "publish b ab", CHANNEL, 1},
        {"+unsubscribe", "unsubscribe a", YES, 0},
        {"+get ~a (+set ~b)", "get a", YES, 0},
        {"+get ~a (+set ~b)", "set b 1", YES, 0},
        {"+get ~a (+set ~b)", "set a 1", KEY, 1}, /* one selector grants all, or none does */
        {"+get ~a (+set ~b)", "get b", KEY, 1},
        {"+get ~a (+set ~b)", "del a", COMMAND, 0},
        {"+mget ~a (+mget ~b)", "mget a b", KEY, 2},
    };
    fb_commands_prepare();
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t which;
        int verdict = (int)judge(rows[i].rules, rows[i].request, &which);
        if (verdict != rows[i].verdict || (verdict > COMMAND && which != rows[i].which))
            fail_msg("'%s', %s: verdict %d, argument %zu", rows[i].rules, rows[i].request, verdict, which);
    }
}

/* For every command: it is granted by its name, by each of its categories and by +@all, and refused by their
 * opposites; and a command is fast or slow, never both. */
static void categories_and_names_grant_the_same(void **state) {
    (void)state;
    size_t n[2];
    fb_commands_prepare();
    const struct fb_command *rows[2] = {fb_commands(&n[0]), fb_subcommands(&n[1])};
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; i < n[table]; i++) {
            const struct fb_command *command = &rows[table][i];
            char name[FB_COMMAND_NAME_MAX], rules[200];
            fb_bytes argv[1] = {FB_STR("x")};
            uint32_t categories = fb_acl_categories(command);
            assert_int_equal((categories >> FB_CAT_FAST & 1) + (categories >> FB_CAT_SLOW & 1), 1);
            (void)fb_command_full_name(command, name);
            for (unsigned c = 0; c <= FB_CAT_COUNT_; c++) {
                bool is_in = c == FB_CAT_COUNT_ || (categories >> c & 1);
                const char *at = c < FB_CAT_COUNT_ ? "@" : "", *what = c < FB_CAT_COUNT_ ? fb_acl_category_name(c) : name;
                for (int sign = 0; sign < 2; sign++) {
                    fb_status status;
                    fb_err err = {0};
                    size_t which;
                    snprintf(rules, sizeof rules, "allkeys allchannels %s %s%s%s", sign ? "+@all" : "-@all",
                             sign ? "-" : "+", at, what);
                    struct fb_user *user = user_of(rules, &status, &err);
                    assert_int_equal(status, FB_OK);
                    /* No arguments: only the command is asked about. */
                    bool may = fb_user_judge(user, command, argv, 1, &which) == FB_ACL_GRANTED;
                    if (may != (is_in != sign) && !(command->flags & FB_CMD_NO_AUTH))
                        fail_msg("%s and %s", rules, name);
                    fb_user_unref(user);
                }
            }
        }
}

static void passwords_are_compared_by_their_hash(void **state) {
    (void)state;
    fb_status status;
    fb_err err = {0};
    struct fb_user *user = user_of("on #" SECRET_HASH " #" OTHER_HASH, &status, &err);
    assert_int_equal(status, FB_OK);
    assert_true(fb_user_accepts(user, FB_STR("secret")));
    assert_true(fb_user_accepts(user, FB_STR("other")));
    assert_false(fb_user_accepts(user, FB_STR("secre")));
    assert_false(fb_user_accepts(user, FB_STR("")));
    assert_false(fb_user_accepts(user, FB_STR(SECRET_HASH)));
    assert_false(fb_user_accepts(NULL, FB_STR("secret")));
    fb_user_set_password(user, "new");
    assert_true(fb_user_accepts(user, FB_STR("new")));
    assert_false(fb_user_accepts(user, FB_STR("secret")));
    assert_int_equal(fb_user_rule(user, FB_STR("off"), &err), FB_OK);
    assert_false(fb_user_accepts(user, FB_STR("new")));
    fb_user_unref(user);
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void start_with(struct world *w, const char *lines, const char *password) {
    struct fb_server_options options = defaults();
    options.users_file = lines != NULL ? write_file(lines, strlen(lines)) : NULL;
    options.password = password;
    start(w, &options);
}

static void connection_is_who_it_logs_in_as(void **state) {
    (void)state;
    struct world w;
    start_with(&w, "user alice on #" SECRET_HASH " ~s:a* +get +set +acl|whoami\nuser bob off nopass +@all\n", NULL);
    int fd = dial(&w);
    exchange(fd, "ACL WHOAMI\r\n", "$7\r\ndefault\r\n");
    exchange(fd, "AUTH alice wrong\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    exchange(fd, "AUTH bob x\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    exchange(fd, "AUTH nobody x\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    exchange(fd, "ACL WHOAMI\r\n", "$7\r\ndefault\r\n");
    exchange(fd, "AUTH alice secret\r\n", "+OK\r\n");
    exchange(fd, "ACL WHOAMI\r\n", "$5\r\nalice\r\n");
    exchange(fd, "SET s:a1 x\r\n", "+OK\r\n");
    exchange(fd, "GET s:a1\r\n", "$1\r\nx\r\n");
    exchange(fd, "GET s:b1\r\n", "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n");
    exchange(fd, "DEL s:a1\r\n", "-NOPERM this user has no permissions to run the 'del' command\r\n");
    exchange(fd, "CONFIG GET x\r\n", "-NOPERM this user has no permissions to run the 'config|get' command\r\n");
    exchange(fd, "LPUSH s:b1 x\r\n",
             "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n");
    exchange(fd, "ACL SETUSER x\r\n", "-NOPERM this user has no permissions to run the 'acl|setuser' command\r\n");
    exchange(fd, "RESET\r\n", "+RESET\r\n");
    exchange(fd, "ACL WHOAMI\r\n", "$7\r\ndefault\r\n");
    exchange(fd, "ACL SETUSER x\r\n", "-ERR 'acl|setuser' is not supported by Forebay: the users file is yours; edit it, "
                                      "then ACL LOAD\r\n");
    exchange(fd, "ACL USERS\r\n", "*3\r\n$5\r\nalice\r\n$3\r\nbob\r\n$7\r\ndefault\r\n");
    exchange(fd, "ACL DRYRUN alice GET s:a\r\n", "+OK\r\n");
    exchange(fd, "ACL DRYRUN alice GET b\r\n", "$50\r\nThis user has no permissions to access the 'b' key\r\n");
    close(fd);
    stop(&w);
}

static void file_is_taken_whole_or_not_at_all(void **state) {
    (void)state;
    struct world w;
    start_with(&w, "user alice on nopass ~* +@all\nuser bob on nopass ~* +@all\nuser carol on nopass ~* +@all\n", NULL);
    int admin = dial(&w), alice = dial(&w), bob = dial(&w), carol = dial(&w);
    exchange(alice, "AUTH alice x\r\n", "+OK\r\n");
    exchange(bob, "AUTH bob x\r\n", "+OK\r\n");
    exchange(carol, "AUTH carol x\r\n", "+OK\r\n");
    static const char bad[] = "user alice on nopass ~* +get\nuser bob on nopass +nosuch\n";
    write_file(bad, sizeof bad - 1);
    char expected[300];
    snprintf(expected, sizeof expected,
             "-ERR users_file %s:2: '+nosuch': Unknown command or category name in ACL\r\n", path_of_file());
    exchange(admin, "ACL LOAD\r\n", expected);
    exchange(alice, "SET s:1 x\r\n", "+OK\r\n"); /* nothing has changed */
    exchange(bob, "PING\r\n", "+PONG\r\n");
    static const char good[] = "user alice on nopass ~* +get\nuser carol off\n";
    write_file(good, sizeof good - 1);
    exchange(admin, "ACL LOAD\r\n", "+OK\r\n");
    assert_ends(bob);   /* gone */
    assert_ends(carol); /* switched off */
    exchange(alice, "SET s:1 x\r\n", "-NOPERM this user has no permissions to run the 'set' command\r\n");
    exchange(alice, "GET s:1\r\n", "$1\r\nx\r\n");
    exchange(admin, "PING\r\n", "+PONG\r\n");
    close(admin);
    close(alice);
    stop(&w);
}

static void password_may_change_under_connections(void **state) {
    (void)state;
    struct world w;
    fb_err err = {0};
    start_with(&w, NULL, "secret");
    int old = dial(&w);
    exchange(old, "GET s:1\r\n", "-NOAUTH Authentication required.\r\n");
    exchange(old, "AUTH secret\r\n", "+OK\r\n");
    assert_int_equal(fb_server_set_password(w.server, "other", &err), FB_OK);
    exchange(old, "GET s:1\r\n", "$-1\r\n"); /* it stays who it is, as in Redis */
    int fd = dial(&w);
    exchange(fd, "AUTH secret\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    exchange(fd, "AUTH other\r\n", "+OK\r\n");
    assert_int_equal(fb_server_set_password(w.server, "", &err), FB_OK);
    int open = dial(&w);
    exchange(open, "GET s:1\r\n", "$-1\r\n");
    assert_int_equal(fb_server_reload_users(w.server, &err), FB_INVALID);
    close(old);
    close(fd);
    close(open);
    stop(&w);
    start_with(&w, "user default on nopass ~* &* +@all\n", NULL);
    assert_int_equal(fb_server_set_password(w.server, "x", &err), FB_CONFIG); /* the file's user */
    stop(&w);
}

/* ACL LOG counts what repeats, and never grows beyond its limit. */
static void refusals_are_remembered(void **state) {
    (void)state;
    struct world w;
    start_with(&w, "user alice on nopass ~s:a +get\n", NULL);
    int admin = dial(&w), fd = dial(&w);
    exchange(fd, "AUTH alice x\r\n", "+OK\r\n");
    for (int i = 0; i < 302; i++) { /* the last three times the same */
        char request[64];
        snprintf(request, sizeof request, "GET s:%d\r\n", i < 300 ? i : 299);
        exchange(fd, request,
                 "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n");
    }
    say(admin, "ACL LOG 1000\r\n");
    hear(admin, "*128\r\n*20\r\n$5\r\ncount\r\n:3\r\n$6\r\nreason\r\n$3\r\nkey\r\n$7\r\ncontext\r\n$8\r\ntoplevel\r\n"
                "$6\r\nobject\r\n$5\r\ns:299\r\n$8\r\nusername\r\n$5\r\nalice\r\n");
    close(admin);
    admin = dial(&w);
    exchange(admin, "ACL LOG RESET\r\n", "+OK\r\n");
    exchange(admin, "ACL LOG\r\n", "*0\r\n");
    close(admin);
    close(fd);
    stop(&w);
}

static int remove_file(void **state) {
    (void)state;
    (void)unlink(path_of_file());
    return 0;
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_amount_to_a_line),
        cmocka_unit_test(every_wrong_line_is_told),
        cmocka_unit_test(files_that_cannot_be_used_are_told),
        cmocka_unit_test(requests_are_judged),
        cmocka_unit_test(categories_and_names_grant_the_same),
        cmocka_unit_test(passwords_are_compared_by_their_hash),
        cmocka_unit_test(connection_is_who_it_logs_in_as),
        cmocka_unit_test(file_is_taken_whole_or_not_at_all),
        cmocka_unit_test(password_may_change_under_connections),
        cmocka_unit_test(refusals_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, remove_file);
}
