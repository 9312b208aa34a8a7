/* Fuzzing rules of users: no crash, and no contradiction.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu17 -D_GNU_SOURCE -Iinclude -Isrc -Itests/unit \
 *         tests/fuzz/fuzz_acl.c tests/unit/double_engine*.c src/server/?*.c src/proto/?*.c src/base/?*.c \
 *         -lpthread -lm -luv -lssl -lcrypto -lcmocka -o fuzz_acl
 *     ./fuzz_acl -max_total_time=60 -max_len=2048
 *
 * The first line is rules, the second a request. What must hold: a user that took its rules, written down and read again,
 * is written down the same; both users judge the request alike; who may do everything is refused nothing. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/commands.h"
#include "server/users.h"

static void must(bool holds) {
    if (!holds)
        abort();
}

/* The next word, as the users file is read. */
static fb_bytes next_word(const char **p, const char *end) {
    while (*p < end && **p == ' ')
        (*p)++;
    const char *from = *p;
    while (*p < end && (**p != ' ' || (*from == '(' && (*p)[-1] != ')')))
        (*p)++;
    return fb_bytes_of(from, (size_t)(*p - from));
}

/* A user with these rules, or NULL when one of them is wrong. */
static struct fb_user *user_of(const char *p, const char *end) {
    struct fb_user *user = fb_user_new(FB_STR("u"));
    fb_err err = {0};
    for (fb_bytes word; (word = next_word(&p, end)).len > 0;)
        if (fb_user_rule(user, word, &err) != FB_OK) {
            must(err.text[0] != '\0');
            fb_user_unref(user);
            return NULL;
        }
    return user;
}

static void judge_alike(const struct fb_user *a, const struct fb_user *b, const char *p, const char *end) {
    fb_bytes argv[32];
    size_t argc = 0, which[2];
    while (argc < 32 && (argv[argc] = next_word(&p, end)).len > 0)
        argc++;
    const struct fb_command *command = argc > 0 ? fb_verb_find(argv, argc).command : NULL;
    if (command == NULL || !fb_arity_fits(command, argc))
        return;
    enum fb_acl_verdict verdict = fb_user_judge(a, command, argv, argc, &which[0]);
    must(verdict == fb_user_judge(b, command, argv, argc, &which[1]) && which[0] == which[1] && which[0] < argc);
    must(verdict == FB_ACL_GRANTED || !fb_user_is_unrestricted(a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = text + size;
    const char *stop = size > 0 ? memchr(text, '\n', size) : NULL;
    stop = stop != NULL ? stop : end;
    fb_commands_prepare();
    struct fb_user *user = user_of(text, stop);
    if (user == NULL)
        return 0;
    fb_buf line = FB_BUF_INIT, again = FB_BUF_INIT;
    fb_user_describe(user, &line);
    struct fb_user *copy = user_of(line.data + 2, line.data + line.len); /* behind "u " */
    must(copy != NULL);
    fb_user_describe(copy, &again);
    must(line.len == again.len && memcmp(line.data, again.data, line.len) == 0);
    must(fb_user_has_same_channels(user, copy));
    judge_alike(user, copy, stop < end ? stop + 1 : end, end);
    fb_user_unref(user);
    fb_user_unref(copy);
    fb_buf_free(&line);
    fb_buf_free(&again);
    return 0;
}
