/* Uses Forebay through hiredis as a C application would: blocking, then pipelined. Exits with 0 when every reply was
 * the expected one; else says which was not. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void expect(redisReply *reply, int type, const char *text, long long number, const char *what) {
    int is_right = reply != NULL && reply->type == type && (text == NULL || strcmp(reply->str, text) == 0) &&
                   (type != REDIS_REPLY_INTEGER || reply->integer == number);
    if (!is_right) {
        failures++;
        fprintf(stderr, "%s: type %d, %s, %lld\n", what, reply != NULL ? reply->type : -1,
                reply != NULL && reply->str != NULL ? reply->str : "(no text)", reply != NULL ? reply->integer : 0);
    }
    if (reply != NULL)
        freeReplyObject(reply);
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    redisContext *c = redisConnect("127.0.0.1", (int)strtol(argv[1], NULL, 10));
    if (c == NULL || c->err != 0) {
        fprintf(stderr, "connect: %s\n", c != NULL ? c->errstr : "out of memory");
        return 1;
    }
    expect(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG", 0, "PING");
    expect(redisCommand(c, "GET product:%d", 1), REDIS_REPLY_STRING, "{\"id\":1,\"name\":\"tea\",\"stock\":3}", 0,
           "GET");
    expect(redisCommand(c, "GET product:999"), REDIS_REPLY_NIL, NULL, 0, "GET of no row");
    expect(redisCommand(c, "SET product:2 %s", "{\"stock\": 9}"), REDIS_REPLY_STATUS, "OK", 0, "SET");
    expect(redisCommand(c, "GET product:2"), REDIS_REPLY_STRING, "{\"id\":2,\"name\":\"salt\",\"stock\":9}", 0,
           "GET after SET");
    expect(redisCommand(c, "HINCRBY user:1 visits 4"), REDIS_REPLY_INTEGER, NULL, 4, "HINCRBY");

    for (int i = 0; i < 1000; i++)
        redisAppendCommand(c, i % 2 == 0 ? "HGET user:1 visits" : "EXISTS product:%d", 1);
    for (int i = 0; i < 1000; i++) {
        void *reply = NULL;
        if (redisGetReply(c, &reply) != REDIS_OK) {
            fprintf(stderr, "pipeline: %s\n", c->errstr);
            return 1;
        }
        expect(reply, i % 2 == 0 ? REDIS_REPLY_STRING : REDIS_REPLY_INTEGER, i % 2 == 0 ? "4" : NULL, 1, "pipelined");
    }
    redisFree(c);
    return failures > 0 ? 1 : 0;
}
