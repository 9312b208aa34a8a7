/* Fuzzing the protocol's parsers: no crash, and no contradiction.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu17 -D_GNU_SOURCE -Iinclude -Isrc \
 *         tests/fuzz/fuzz_resp.c src/proto/*.c src/base/*.c -lpthread -lm -o fuzz_resp
 *     ./fuzz_resp -max_total_time=60 -max_len=4096
 *
 * The first byte chooses the parser. What must hold for any bytes: a verdict does not change when the same bytes are cut
 * shorter or come with more behind them; MORE names a size that is not there yet and is never beyond the size at which
 * the request is complete; what was parsed, written again and parsed again is the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/glob.h"
#include "proto/resp.h"

static void must(bool holds) {
    if (!holds)
        abort();
}

static void check_requests(const char *data, size_t len, const struct fb_resp_limits *limits) {
    struct fb_resp_args args = FB_RESP_ARGS_INIT, again = FB_RESP_ARGS_INIT;
    struct fb_resp_out out = FB_RESP_OUT_INIT;
    const struct fb_resp_limits wide = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX, true};
    size_t size, least = 0;
    fb_err err;
    for (const char *p = data, *end = data + len; p <= end;) {
        args.count = 0;
        enum fb_resp_verdict verdict = fb_resp_request(p, end, limits, &args, &size, &err);
        must(verdict != FB_RESP_DONE || (size > 0 && size <= (size_t)(end - p)));
        must(verdict != FB_RESP_MORE || size > (size_t)(end - p));
        if (verdict != FB_RESP_DONE)
            break;
        /* Cut short it is incomplete, and the size asked for never exceeds the real one. */
        for (size_t cut = 0; cut < size; cut += 1 + size / 16) {
            size_t before = args.count;
            must(fb_resp_request(p, p + cut, limits, &args, &least, &err) == FB_RESP_MORE);
            must(args.count == before && least > cut && least <= size);
        }
        /* An inline request's arguments were overwritten by the cuts; read it once more. */
        args.count = 0;
        must(fb_resp_request(p, p + size, limits, &args, &least, &err) == FB_RESP_DONE && least == size);
        if (args.count > 0) {
            out.buf.len = 0;
            fb_resp_write_command(&out, args.items, args.count);
            again.count = 0;
            const char *out_end = out.buf.data + out.buf.len;
            must(fb_resp_request(out.buf.data, out_end, &wide, &again, &least, &err) == FB_RESP_DONE);
            must(least == out.buf.len && again.count == args.count);
            for (size_t i = 0; i < args.count; i++)
                must(again.items[i].len == args.items[i].len &&
                     (again.items[i].len == 0 ||
                      memcmp(again.items[i].data, args.items[i].data, again.items[i].len) == 0));
        }
        p += size;
    }
    fb_resp_args_finish(&args);
    fb_resp_args_finish(&again);
    fb_buf_free(&out.buf);
}

/* The values that belong to one value, itself included; 0 when they are not all there. */
static size_t subtree(const struct fb_resp_reply *reply, size_t at) {
    size_t left = 1, n = 0;
    for (; left > 0; n++, left--) {
        if (at + n >= reply->count)
            return 0;
        if (reply->items[at + n].type >= FB_RESP_ARRAY)
            left += reply->items[at + n].children;
    }
    return n;
}

static void check_replies(const char *data, size_t len) {
    static const struct fb_resp_reply_limits limits = {1000, 4096};
    struct fb_resp_reply reply = FB_RESP_REPLY_INIT;
    size_t size, measured, least = 0;
    fb_err err;
    for (const char *p = data, *end = data + len; p <= end;) {
        enum fb_resp_verdict verdict = fb_resp_reply(p, end, &limits, &reply, &size, &err);
        must(fb_resp_reply(p, end, &limits, NULL, &measured, &err) == verdict);
        must(verdict == FB_RESP_BAD || measured == size);
        must(verdict != FB_RESP_MORE || size > (size_t)(end - p));
        if (verdict != FB_RESP_DONE)
            break;
        must(size > 0 && size <= (size_t)(end - p) && subtree(&reply, 0) == reply.count);
        for (size_t cut = 0; cut < size; cut += 1 + size / 16) {
            must(fb_resp_reply(p, p + cut, &limits, NULL, &least, &err) == FB_RESP_MORE);
            must(least > cut && least <= size);
        }
        p += size;
    }
    fb_resp_reply_finish(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const struct fb_resp_limits known = {1000, 4096, 4096, true}, stranger = {10, 64, 64, false};
    if (len == 0)
        return 0;
    /* A copy that ends where the input ends, so that a byte too far is seen. */
    char *bytes = malloc(len > 1 ? len - 1 : 1);
    memcpy(bytes, data + 1, len - 1);
    switch (data[0] % 4) {
    case 0: check_requests(bytes, len - 1, &known); break;
    case 1: check_requests(bytes, len - 1, &stranger); break;
    case 2: check_replies(bytes, len - 1); break;
    default: {
        const char *middle = memchr(bytes, '\n', len - 1);
        size_t n = middle != NULL ? (size_t)(middle - bytes) : 0;
        if (middle != NULL)
            (void)fb_glob_match(fb_bytes_of(bytes, n), fb_bytes_of(middle + 1, len - 2 - n), data[0] & 4);
    }
    }
    free(bytes);
    return 0;
}
