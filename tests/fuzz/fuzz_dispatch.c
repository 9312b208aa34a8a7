/* Fuzzing the server from a connection's bytes to its replies, over the double of the engine.
 *
 * The first byte: is a password asked (bit 0), and are the bytes sent in small pieces (bit 1); the rest is what a client
 * sends before it closes its half. What must hold for any bytes: the connection ends; all that was answered is replies;
 * another client is answered as before; nobody is left behind.
 *
 * Mutations know requests: commands are drawn from the server's own table, words from the syntax of its rows. Inputs with
 * PAUSE are passed over, since what they promise is that nothing is answered. tools/fuzz runs this under libFuzzer,
 * fuzz_main.c without it. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <forebay/forebay.h>

#include "base/rng.h"
#include "double_engine.h"
#include "fuzz.h"
#include "proto/resp.h"
#include "server/commands.h"
#include "server/server.h"

enum {
    GUARDED = 1, PIECES = 2, /* bits of the first byte */
    PIECE = 5,               /* bytes */
    PATIENCE_MS = 20000,     /* in which a connection must end */
    REQUESTS_MAX = 256,      /* of one input, as mutations see them */
    WORDS_MAX = 512,
};
static const char password[] = "secret";

#define MUST(holds) must(holds, #holds)
static void must(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* ---- two servers ------------------------------------------------------------------------------------------------ */

static struct side {
    fb_cache *cache;
    struct fb_server *server;
    char address[64];
} sides[2];

static void config_get(void *user, const char *glob, fb_config_emit *emit, void *emit_user) {
    (void)user;
    emit(emit_user, "maxmemory", glob);
}

static void stop_all(void) {
    for (int i = 0; i < 2; i++) {
        fb_server_stop(sides[i].server, 0);
        fb_close(sides[i].cache);
        unlink(sides[i].address + strlen("unix:"));
    }
}

static void start_all(void) {
    fb_err err = {0};
    for (int i = 0; i < 2; i++) {
        struct side *side = &sides[i];
        snprintf(side->address, sizeof side->address, "unix:/tmp/forebay-fuzz-%d-%d", (int)getpid(), i);
        const char *const listen[] = {side->address, NULL};
        struct fb_server_options options = {.listen = listen, .threads = 1, .is_protected = true,
                                            .config_get = config_get, .password = i == GUARDED ? password : NULL};
        MUST(fb_open(NULL, &side->cache, &err) == FB_OK);
        MUST(fb_server_start(side->cache, &options, &side->server, &err) == FB_OK);
    }
    atexit(stop_all);
}

/* What every input finds. */
static void put_rows(fb_cache *cache) {
    fb_buf row = FB_BUF_INIT;
    double_wait_idle(cache);
    double_clear(cache);
    double_put(cache, "s:1", FB_KIND_STRING, FB_STR("hello"));
    double_put(cache, "s:n", FB_KIND_STRING, FB_STR("10"));
    MUST(fb_hash_append(&row, FB_STR("a"), FB_STR("x")) == FB_OK);
    MUST(fb_hash_append(&row, FB_STR("n"), FB_STR("5")) == FB_OK);
    double_put(cache, "h:1", FB_KIND_HASH, fb_bytes_of(row.data, row.len));
    fb_buf_free(&row);
}

/* ---- one input -------------------------------------------------------------------------------------------------- */

static int dial(const struct side *side) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", side->address + strlen("unix:"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* Send it all and hear it all; false: the server cut it short with a reset. */
static bool talk(int fd, const char *data, size_t size, size_t piece, fb_buf *replies) {
    if (size == 0)
        shutdown(fd, SHUT_WR);
    for (size_t sent = 0;;) {
        struct pollfd wish = {fd, (short)(sent < size ? POLLIN | POLLOUT : POLLIN), 0};
        must(poll(&wish, 1, PATIENCE_MS) > 0, "the connection ends");
        if (wish.revents & POLLOUT) {
            ssize_t n = send(fd, data + sent, size - sent < piece ? size - sent : piece, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n > 0)
                sent += (size_t)n;
            else if (errno != EAGAIN)
                sent = size;
            if (sent == size)
                shutdown(fd, SHUT_WR);
        }
        if (wish.revents & (POLLIN | POLLHUP | POLLERR)) {
            MUST(fb_buf_reserve(replies, 65536) == FB_OK);
            ssize_t n = recv(fd, replies->data + replies->len, 65536, MSG_DONTWAIT);
            if (n == 0)
                return true;
            if (n < 0 && errno != EAGAIN)
                return false;
            replies->len += n > 0 ? (size_t)n : 0;
        }
    }
}

static void check_replies(const fb_buf *replies) {
    static const struct fb_resp_reply_limits limits = {1 << 20, SIZE_MAX / 2};
    fb_err err;
    size_t size;
    for (const char *p = replies->data, *end = p + replies->len; p < end; p += size) {
        enum fb_resp_verdict verdict = fb_resp_reply(p, end, &limits, NULL, &size, &err);
        if (verdict != FB_RESP_DONE)
            fprintf(stderr, "at %zu of %zu, %s: %.200s\n", (size_t)(p - replies->data), replies->len,
                    verdict == FB_RESP_BAD ? err.text : "cut short", p);
        MUST(verdict == FB_RESP_DONE);
    }
}

static void check_bystander(const struct side *side, bool is_guarded) {
    static const char asked[] = "AUTH secret\r\nPING\r\n";
    fb_buf replies = FB_BUF_INIT;
    int fd = dial(side);
    size_t skip = is_guarded ? 0 : strlen("AUTH secret\r\n");
    MUST(talk(fd, asked + skip, strlen(asked) - skip, SIZE_MAX, &replies));
    const char *expected = is_guarded ? "+OK\r\n+PONG\r\n" : "+PONG\r\n";
    MUST(replies.len == strlen(expected) && memcmp(replies.data, expected, replies.len) == 0);
    close(fd);
    fb_buf_free(&replies);
}

static bool holds_word(const char *data, size_t size, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= size; i++)
        if (strncasecmp(data + i, word, n) == 0)
            return true;
    return false;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    fb_commands_prepare();
    start_all();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || holds_word((const char *)data, size, "pause"))
        return -1;
    bool is_guarded = data[0] & GUARDED;
    const struct side *side = &sides[is_guarded ? GUARDED : 0];
    fb_buf replies = FB_BUF_INIT;
    put_rows(side->cache);
    int fd = dial(side);
    if (talk(fd, (const char *)data + 1, size - 1, data[0] & PIECES ? PIECE : SIZE_MAX, &replies) && replies.len > 0)
        check_replies(&replies);
    close(fd);
    fb_buf_free(&replies);
    check_bystander(side, is_guarded);
    return 0;
}

/* ---- mutations -------------------------------------------------------------------------------------------------- */

static const char *const usual[] = {
    "s:1", "s:2", "s:n", "h:1", "h:2", "ro:1", "ig:1", "bad:1", "nowhere", "a", "b", "n", "nope", "news", "n*", "*", "",
    "0", "1", "-1", "2", "10", "x", "1.5", "65536", "65537", "2147483648", "-2147483649", "9223372036854775807",
    "-9223372036854775808", "9223372036854775808", "99999999999999", "secret", "default", "two\r\nlines", "[a-", "\\",
    "s:{id}", "a\xff\x80", "3", "4", "__redis__:invalidate",
};
static struct fb_rng rng;

static uint64_t below(uint64_t n) { return fb_rng_below(&rng, n); }

/* A word of those above, or an option out of a row's syntax: what stands there in capitals. */
static fb_bytes draw_word(const struct fb_command *command) {
    const char *from = command->syntax;
    fb_bytes options[WORDS_MAX];
    size_t n = 0;
    while (*from != '\0' && n < WORDS_MAX) {
        size_t len = strspn(from, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        if (len > 1)
            options[n++] = fb_bytes_of(from, len);
        from += len > 0 ? len : 1;
    }
    if (n > 0 && below(2) == 0)
        return options[below(n)];
    const char *word = usual[below(sizeof usual / sizeof usual[0])]; /* FB_STR looks at its argument twice */
    return FB_STR(word);
}

static const struct fb_command *draw_command(void) {
    size_t n, m;
    const struct fb_command *rows = fb_commands(&n), *subrows = fb_subcommands(&m);
    size_t i = below(n + m);
    return i < n ? &rows[i] : &subrows[i - n];
}

/* A request of any row, with about as many arguments as it takes. */
static void write_request(struct fb_resp_out *out) {
    const struct fb_command *command = draw_command();
    char name[FB_COMMAND_NAME_MAX], *bar;
    fb_bytes words[32] = {{0}};
    (void)fb_command_full_name(command, name);
    words[0] = FB_STR(name);
    size_t n = 1, wanted = (size_t)abs(command->arity);
    if ((bar = strchr(name, '|')) != NULL) {
        words[0] = fb_bytes_of(name, (size_t)(bar - name));
        words[n++] = FB_STR(bar + 1);
    }
    if (command->arity < 0)
        wanted += below(6);
    if (below(16) == 0)
        wanted += below(3);
    while (n < wanted && n < 32)
        words[n++] = draw_word(command);
    fb_resp_write_command(out, words, n);
}

/* Where the requests begin in it; the last entry is the end. What cannot be read belongs to the last of them. */
static size_t find_requests(char *data, size_t size, size_t at[REQUESTS_MAX + 1]) {
    static const struct fb_resp_limits wide = {1 << 16, SIZE_MAX / 2, SIZE_MAX, true};
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    size_t n = 0, done = 0, length;
    fb_err err;
    while (n < REQUESTS_MAX && done < size) {
        args.count = 0;
        at[n++] = done;
        if (fb_resp_request(data + done, data + size, &wide, &args, &length, &err) != FB_RESP_DONE)
            break;
        done += length;
    }
    fb_resp_args_finish(&args);
    at[n] = size;
    return n;
}

static void append(struct fb_resp_out *out, const char *data, size_t from, size_t to) {
    if (to > from)
        MUST(fb_buf_append(&out->buf, data + from, to - from) == FB_OK);
}

/* One argument becomes another. */
static void change_word(struct fb_resp_out *out, const char *data, size_t from, size_t to) {
    static const struct fb_resp_limits wide = {1 << 16, SIZE_MAX / 2, SIZE_MAX, true};
    struct fb_resp_args args = FB_RESP_ARGS_INIT;
    size_t length;
    fb_err err;
    if (fb_resp_request(data + from, data + to, &wide, &args, &length, &err) == FB_RESP_DONE && args.count > 0) {
        args.items[below(args.count)] = draw_word(draw_command());
        fb_resp_write_command(out, args.items, args.count);
    } else {
        write_request(out);
    }
    fb_resp_args_finish(&args);
}

/* A length or a count becomes another. */
static void change_number(struct fb_resp_out *out, const char *data, size_t from, size_t to) {
    size_t at = from + below(to - from + 1);
    while (at < to && (data[at] < '0' || data[at] > '9'))
        at++;
    size_t end = at;
    while (end < to && data[end] >= '0' && data[end] <= '9')
        end++;
    append(out, data, from, at);
    const char *number = usual[17 + below(15)];
    append(out, number, 0, strlen(number));
    append(out, data, end, to);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    rng.state = seed;
    if (size == 0 || below(3) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (below(16) == 0)
        data[0] = (uint8_t)below(4);
    size_t at[REQUESTS_MAX + 1], n, len = size - 1;
    char *text = malloc(len + 1), *read = malloc(len + 1);
    memcpy(text, data + 1, len);
    memcpy(read, data + 1, len); /* reading a line may write on it */
    n = find_requests(read, len, at);
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    size_t i = n > 0 ? below(n) : 0, from = n > 0 ? at[i] : 0, to = n > 0 ? at[i + 1] : 0;
    append(&out, text, 0, from);
    switch (below(5)) {
    case 0: write_request(&out); append(&out, text, from, to); break;
    case 1: break;
    case 2: append(&out, text, from, to); append(&out, text, from, to); break;
    case 3: change_word(&out, text, from, to); break;
    default: change_number(&out, text, from, to);
    }
    append(&out, text, to, len);
    if (out.buf.len < max_size) {
        size = out.buf.len + 1;
        if (size > 1)
            memcpy(data + 1, out.buf.data, out.buf.len);
    }
    fb_buf_free(&out.buf);
    free(text);
    free(read);
    return size;
}
