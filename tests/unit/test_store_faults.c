/* A store whose server misbehaves: one that is scripted here, byte by byte, and memory that fails. What was not
 * answered is told apart from what never left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "store_world.h"

enum { SERVER = 255, LARGE = 200000, MANY = 200, ALLOCATIONS = 60 };

#define RUN_ID "00000000000000ff000000000000000000000000"
#define HELLO(version) "%2\r\n+role\r\n+master\r\n+version\r\n+" version "\r\n$47\r\nrun_id:" RUN_ID "\r\n"
#define HASH "$40\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
#define HASHES HASH HASH HASH HASH HASH HASH HASH HASH

/* What the server sends: having read the beginning of a greeting, of the last script, of the batch. Then it hangs up.
 * */
struct server {
    char folder[64], path[96];
    int listener;
    const char *const *says;
    struct fb_place *place;
    pthread_t thread;
};

static void *serve(void *arg) {
    struct server *s = arg;
    int fd = accept(s->listener, NULL, NULL);
    static const char *const awaited[] = {"HELLO", "redis.call('DEL', KEYS[1])\nreturn 'DROPPED'", "\r\nk\r\n"};
    static char bytes[65536];
    size_t len = 0;
    for (size_t i = 0; s->says[i] != NULL; i++) {
        while (len == 0 || memmem(bytes, len, awaited[i], strlen(awaited[i])) == NULL) {
            ssize_t n = read(fd, bytes + len, sizeof bytes - len);
            if (n <= 0)
                goto out;
            len += (size_t)n;
        }
        len = 0;
        if (send(fd, s->says[i], strlen(s->says[i]), MSG_NOSIGNAL) < 0)
            break;
    }
out:
    (void)close(fd);
    return NULL;
}

static struct fb_store *start(struct server *s, const char *const *says) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[128];
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/fb-store-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->path, sizeof s->path, "%s/s", s->folder);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", s->path);
    s->says = says;
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    (void)snprintf(url, sizeof url, "unix://%s", s->path);
    return store_world_open_at(url, NULL, NULL, &s->place);
}

static void stop(struct server *s, struct fb_store *store) {
    store_world_close_at(store, s->place);
    (void)pthread_join(s->thread, NULL);
    (void)close(s->listener);
    (void)unlink(s->path);
    (void)rmdir(s->folder);
}

static void a_server_that_cannot_serve_is_sent_nothing(void **state) {
    (void)state;
    static const struct { const char *says, *why; } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis speaks so"},
        {"-NOAUTH HELLO must be called with the client already authenticated\r\n", "NOAUTH"},
        {HELLO("5.0.14"), "older than Redis 6"},
        {"%1\r\n+role\r\n+replica\r\n$0\r\n\r\n", "replica"},
        {"*0\r\n", "no Redis speaks so"},
        {"", "hung up"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct server s;
        struct fb_store *store = start(&s, (const char *const[]){cases[i].says, NULL});
        struct fb_store_call call = {.move = FB_STORE_INVAL, .key = FB_STR("k")};
        fb_store_run(store, &call, 1, store_world_soon());
        assert_int_equal(call.outcome, FB_STORE_UNSENT);
        if (strstr(call.why, cases[i].why) == NULL)
            fail_msg("case %zu: %s", i, call.why);
        stop(&s, store);
    }
}

static void answers_before_a_hang_up_count_and_the_rest_is_unknown(void **state) {
    (void)state;
    struct server s;
    struct fb_store *store = start(&s, (const char *const[]){
        HELLO("7.0.0"), HASHES, ">2\r\n+invalidate\r\n*0\r\n+DROPPED\r\n-OOM no memory\r\n$7\r\nDROP", NULL});
    struct fb_store_call calls[4];
    for (size_t i = 0; i < 4; i++)
        calls[i] = (struct fb_store_call){.move = FB_STORE_INVAL, .key = FB_STR("k")};
    fb_store_run(store, calls, 4, store_world_soon());
    assert_int_equal(calls[0].outcome, FB_STORE_DONE);
    assert_int_equal(calls[0].answer, FB_STORE_DROPPED);
    assert_int_equal(calls[1].outcome, FB_STORE_REFUSED);
    assert_string_equal(calls[1].why, "OOM no memory");
    assert_int_equal(calls[2].outcome, FB_STORE_UNKNOWN);
    assert_int_equal(calls[3].outcome, FB_STORE_UNKNOWN);
    stop(&s, store);
}

static void what_had_not_left_whole_is_not_in_doubt(void **state) {
    (void)state;
    struct server s;
    static char value[LARGE];
    struct fb_store *store = start(&s, (const char *const[]){HELLO("7.0.0"), HASHES, "+PUT\r\n", NULL});
    struct fb_store_call calls[MANY];
    for (size_t i = 0; i < MANY; i++)
        calls[i] = (struct fb_store_call){.move = FB_STORE_FILL, .kind = FB_KIND_STRING, .key = FB_STR("k"),
                                          .token = {1, i}, .server = SERVER, .put = FB_STORE_PUT_VALUE,
                                          .bring = fb_bytes_of(value, sizeof value), .ttl_ms = 1000};
    fb_store_run(store, calls, MANY, store_world_soon());
    assert_int_equal(calls[0].answer, FB_STORE_PUT);
    enum fb_store_outcome last = FB_STORE_UNKNOWN;
    for (size_t i = 1; i < MANY; i++) { /* in doubt, up to one that is not */
        assert_true(calls[i].outcome == FB_STORE_UNSENT ||
                    (calls[i].outcome == FB_STORE_UNKNOWN && last == FB_STORE_UNKNOWN));
        last = calls[i].outcome;
    }
    assert_int_equal(calls[MANY - 1].outcome, FB_STORE_UNSENT);
    stop(&s, store);
}

static void a_value_that_does_not_arrive_whole_is_not_there(void **state) {
    (void)state;
    struct server s;
    struct fb_store *store = start(&s, (const char *const[]){HELLO("7.0.0"), HASHES, "$5\r\nvalue\r\n", NULL});
    fb_buf value = FB_BUF_INIT;
    struct fb_store_call call = {.move = FB_STORE_GET, .kind = FB_KIND_STRING, .key = FB_STR("k"), .value = &value};
    fb_store_run(store, &call, 1, store_world_soon());
    assert_int_equal(call.outcome, FB_STORE_UNKNOWN);
    assert_int_equal(value.len, 0);
    fb_buf_free(&value);
    stop(&s, store);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct store_world world;
    if (!store_world_start(&world, NULL)) {
        printf("# SKIPPED: no redis-server here\n");
        skip();
    }
    char url[128];
    fb_buf row = FB_BUF_INIT;
    (void)snprintf(url, sizeof url, "unix://%s", world.path);
    assert_int_equal(fb_hash_append(&row, FB_STR("name"), FB_STR("value")), FB_OK);
    unsigned whole = 0;
    for (int64_t n = 0; n < ALLOCATIONS; n++) {
        struct fb_store *store = NULL;
        struct fb_place *place = NULL;
        fb_buf value = FB_BUF_INIT;
        fb_err err;
        (void)store_world_ask(&world, "FLUSHALL", NULL);
        fb_mem_fail_after(n);
        if (fb_place_open(&(struct fb_place_options){.url = url}, &place, &err) == FB_OK &&
            fb_store_open(place, &store, &err) == FB_OK) {
            struct fb_store_call call = {.kind = FB_KIND_HASH, .key = FB_STR("k"), .token = fb_store_token(store),
                                         .put = FB_STORE_PUT_VALUE, .bring = fb_bytes_of(row.data, row.len),
                                         .ttl_ms = 10000, .value = &value};
            static const enum fb_store_move moves[] = {FB_STORE_MISS, FB_STORE_FILL, FB_STORE_GET, FB_STORE_BEGIN,
                                                       FB_STORE_END};
            unsigned done = 0;
            for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
                fb_store_many(store, moves[i], &call, 1, store_world_soon());
                done += call.outcome == FB_STORE_DONE;
                assert_true(moves[i] != FB_STORE_GET || call.outcome != FB_STORE_DONE ||
                            (value.len > 0) == (call.answer == FB_STORE_HIT));
            }
            whole += done == sizeof moves / sizeof moves[0];
            fb_store_close(store);
        }
        fb_place_close(place);
        fb_mem_fail_after(-1);
        fb_buf_free(&value);
    }
    assert_in_range(whole, 1, ALLOCATIONS - 5); /* some n are past the last allocation, and some are not */
    fb_buf_free(&row);
    store_world_stop(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_cannot_serve_is_sent_nothing),
        cmocka_unit_test(answers_before_a_hang_up_count_and_the_rest_is_unknown),
        cmocka_unit_test(what_had_not_left_whole_is_not_in_doubt),
        cmocka_unit_test(a_value_that_does_not_arrive_whole_is_not_there),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
