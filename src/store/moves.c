/* Writing calls and reading what became of them. */
#include "store/moves.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_TEXT_MAX = 40, NUMBER_TEXT_MAX = 24 };

/* ---- requests ---------------------------------------------------------------------------------------------------
 * */

static fb_bytes number_text(char text[NUMBER_TEXT_MAX], int64_t number) {
    int n = snprintf(text, NUMBER_TEXT_MAX, "%" PRId64, number);
    return fb_bytes_of(text, (size_t)n);
}

static fb_bytes token_text(char text[TOKEN_TEXT_MAX], struct fb_store_token token) {
    int n = snprintf(text, TOKEN_TEXT_MAX, "%016" PRIx64 "-%" PRIx64, token.process, token.number);
    return fb_bytes_of(text, (size_t)n);
}

static void write_bulk(struct fb_connection *c, fb_bytes bytes) { fb_resp_write_bulk(&c->out, bytes); }

/* EVALSHA hash 3 key coordination negative, with so many arguments to follow. */
static void write_script(struct fb_line *line, enum fb_script script, fb_bytes key, size_t arguments, fb_buf *names) {
    struct fb_connection *c = &line->connection;
    names->len = 0;
    if (fb_companion_append(names, 'c', key) != FB_OK || fb_companion_append(names, 'n', key) != FB_OK) {
        c->out.failed = true;
        return;
    }
    size_t len = names->len / 2;
    fb_resp_write_array(&c->out, 6 + arguments);
    write_bulk(c, FB_STR("EVALSHA"));
    write_bulk(c, fb_bytes_of(line->hashes[script], FB_SCRIPT_HASH));
    write_bulk(c, FB_STR("3"));
    write_bulk(c, key);
    write_bulk(c, fb_bytes_of(names->data, len));
    write_bulk(c, fb_bytes_of(names->data + len, len));
}

/* FILL's and END's: token, what, ttl, and the value or its fields. */
static void write_putting(struct fb_line *line, enum fb_script script, const struct fb_store_call *call, bool puts,
                          fb_buf *names) {
    struct fb_connection *c = &line->connection;
    char number[NUMBER_TEXT_MAX], token[TOKEN_TEXT_MAX];
    bool has_value = puts && call->put == FB_STORE_PUT_VALUE;
    bool is_hash = has_value && call->kind == FB_KIND_HASH;
    size_t fields = is_hash ? fb_hash_len(call->bring) : 0;
    const char *what = is_hash && fields > 0 ? "hash" : has_value && !is_hash ? "set" :
                       puts && call->put == FB_STORE_PUT_NEGATIVE ? "neg" : "none"; /* Redis has no empty hashes */
    write_script(line, script, call->key, 3 + (is_hash ? 2 * fields : has_value ? 1 : 0), names);
    write_bulk(c, token_text(token, call->token));
    write_bulk(c, FB_STR(what));
    write_bulk(c, number_text(number, call->ttl_ms > 0 ? call->ttl_ms : 1));
    if (is_hash) {
        size_t cursor = 0;
        fb_field field;
        while (fb_hash_next(call->bring, &cursor, &field)) {
            write_bulk(c, field.name);
            write_bulk(c, field.value);
        }
    } else if (has_value) {
        write_bulk(c, call->bring);
    }
}

static const char *const whens[] = {
    [FB_STORE_ALWAYS] = "ANY", [FB_STORE_NX] = "NX", [FB_STORE_XX] = "XX", [FB_STORE_GT] = "GT", [FB_STORE_LT] = "LT"};

static void ask_first(struct fb_connection *c, bool is_asking) {
    if (is_asking)
        fb_resp_write_command(&c->out, (fb_bytes[]){FB_STR("ASKING")}, 1);
}

static void write_get(struct fb_connection *c, const struct fb_store_call *call, bool is_asking) {
    const char *get = call->kind == FB_KIND_HASH ? "HGETALL" : "GET";
    if (call->move == FB_STORE_GET) {
        ask_first(c, is_asking);
        fb_resp_write_command(&c->out, (fb_bytes[]){FB_STR(get), call->key}, 2);
    }
    ask_first(c, is_asking);
    fb_resp_write_command(&c->out, (fb_bytes[]){FB_STR("PTTL"), call->key}, 2);
}

bool fb_move_write(struct fb_line *line, struct fb_store_call *call, bool is_asking, fb_buf *names) {
    struct fb_connection *c = &line->connection;
    char number[NUMBER_TEXT_MAX], token[TOKEN_TEXT_MAX];
    if (call->move == FB_STORE_GET || call->move == FB_STORE_LOOK) {
        write_get(c, call, is_asking);
        return true;
    }
    if (call->move == FB_STORE_FILL && call->server != line->server) { /* R2 */
        call->outcome = FB_STORE_DONE;
        call->answer = FB_STORE_NOT_MINE;
        return false;
    }
    ask_first(c, is_asking);
    switch (call->move) {
    case FB_STORE_MISS:
        write_script(line, FB_SCRIPT_MISS, call->key, 3, names);
        write_bulk(c, token_text(token, call->token));
        write_bulk(c, number_text(number, call->span_ms > 0 ? call->span_ms : FB_STORE_LEASE_MS));
        write_bulk(c, FB_STR(call->is_refresh ? "1" : "0"));
        break;
    case FB_STORE_FILL: write_putting(line, FB_SCRIPT_FILL, call, /* puts */ true, names); break;
    case FB_STORE_BEGIN:
        write_script(line, FB_SCRIPT_BEGIN, call->key, 3, names);
        write_bulk(c, token_text(token, call->token));
        write_bulk(c, number_text(number, call->span_ms > 0 ? call->span_ms : FB_STORE_WINDOW_MS));
        write_bulk(c, FB_STR(call->keeps_old ? "old" : "hide"));
        break;
    case FB_STORE_END:
        write_putting(line, FB_SCRIPT_END, call, !call->is_unsure && call->server == line->server, names);
        break;
    case FB_STORE_INVAL:
        write_script(line, FB_SCRIPT_INVAL, call->key, 2, names);
        write_bulk(c, FB_STR(""));
        write_bulk(c, number_text(number, call->span_ms));
        break;
    case FB_STORE_LIFE:
        write_script(line, FB_SCRIPT_LIFE, call->key, 3, names);
        write_bulk(c, FB_STR(""));
        write_bulk(c, number_text(number, call->ttl_ms < call->max_ms ? call->ttl_ms : call->max_ms));
        write_bulk(c, FB_STR(whens[call->when]));
        break;
    case FB_STORE_LOCK:
        write_script(line, FB_SCRIPT_LOCK, call->key, 2, names);
        write_bulk(c, token_text(token, call->token));
        write_bulk(c, number_text(number, call->ttl_ms));
        break;
    case FB_STORE_UNLOCK:
        write_script(line, FB_SCRIPT_UNLOCK, call->key, 1, names);
        write_bulk(c, token_text(token, call->token));
        break;
    case FB_STORE_GET: case FB_STORE_LOOK: break;
    }
    return true;
}

unsigned fb_move_replies(const struct fb_store_call *call, bool is_asking) {
    return (call->move == FB_STORE_GET ? 2 : 1) * (is_asking ? 2 : 1);
}

/* ---- replies ----------------------------------------------------------------------------------------------------
 * */

void fb_move_say(struct fb_store_call *call, enum fb_store_outcome outcome, fb_bytes why) {
    call->outcome = outcome;
    int len = why.len < sizeof call->why ? (int)why.len : (int)sizeof call->why - 1;
    (void)snprintf(call->why, sizeof call->why, "%.*s", len, why.data);
}

static const struct { const char *text; enum fb_store_answer answer; } answers[] = {
    {"HIT", FB_STORE_HIT}, {"NEG", FB_STORE_NEG}, {"BUSY", FB_STORE_BUSY}, {"WAIT", FB_STORE_WAIT},
    {"LEASE", FB_STORE_LEASE}, {"PUT", FB_STORE_PUT}, {"DROPPED", FB_STORE_DROPPED}, {"REFUSED", FB_STORE_NOT_MINE},
    {"BEGUN", FB_STORE_BEGUN}, {"LIVES", FB_STORE_LIVES}, {"UNMET", FB_STORE_UNMET}, {"NOTHING", FB_STORE_NOTHING},
};

static bool take_script_reply(const struct fb_line *line, struct fb_store_call *call) {
    fb_bytes text = line->connection.reply.items[0].text;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (fb_text_is(text, answers[i].text)) {
            call->answer = answers[i].answer;
            if (call->move == FB_STORE_MISS || call->move == FB_STORE_BEGIN)
                call->server = line->server;
            return true;
        }
    static const char locked[] = "LOCKED:";
    if (call->move == FB_STORE_LOCK && text.len > sizeof locked - 1 && memcmp(text.data, locked, sizeof locked - 1) == 0) {
        call->answer = FB_STORE_LEASE;
        call->fence = 0;
        for (size_t i = sizeof locked - 1; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            call->fence = call->fence * 10 + (uint64_t)(text.data[i] - '0');
        return true;
    }
    fb_move_say(call, FB_STORE_REFUSED, FB_STR("an answer that no script of ours gives"));
    return false;
}

/* A key of another kind is an error, which is not ours to judge here. */
static bool take_value(const struct fb_line *line, struct fb_store_call *call) {
    const struct fb_resp_node *node = line->connection.reply.items;
    size_t before = call->value->len;
    fb_status status = FB_OK;
    call->answer = FB_STORE_NOTHING;
    if (node->type == FB_RESP_BULK) {
        call->answer = FB_STORE_HIT;
        status = fb_buf_append(call->value, node->text.data, node->text.len);
    } else if (node->type == FB_RESP_MAP && node->children > 0) {
        call->answer = FB_STORE_HIT;
        for (size_t i = 1; i + 1 <= node->children && status == FB_OK; i += 2)
            status = fb_hash_append(call->value, node[i].text, node[i + 1].text);
    }
    if (status == FB_OK)
        return true;
    call->value->len = before;
    fb_move_say(call, FB_STORE_REFUSED, FB_STR("out of memory for the value"));
    return false;
}

/* −2: it went between the two commands. */
static void take_life(const struct fb_line *line, struct fb_store_call *call) {
    const struct fb_resp_node *node = line->connection.reply.items;
    call->ttl_ms = node->type == FB_RESP_INTEGER ? node->number : 0;
    if (call->move == FB_STORE_LOOK)
        call->answer = call->ttl_ms == -2 ? FB_STORE_NOTHING : FB_STORE_HIT;
    if (call->ttl_ms == -2)
        call->ttl_ms = 0;
}

bool fb_move_take(struct fb_line *line, struct fb_store_call *call, unsigned part, bool is_asking) {
    if (is_asking && part % 2 == 0)
        return true;
    unsigned reply = is_asking ? part / 2 : part;
    if (reply == 0) {
        call->outcome = FB_STORE_DONE;
        call->why[0] = '\0';
    }
    if (call->move == FB_STORE_LOOK || reply == 1)
        take_life(line, call);
    else if (call->move == FB_STORE_GET)
        return take_value(line, call);
    else
        return take_script_reply(line, call);
    return true;
}
