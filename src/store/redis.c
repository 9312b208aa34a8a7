/* The store in a Redis or Valkey: the moves as scripts, in pipelines.
 *
 * A connection begins with HELLO 3, AUTH, SELECT and the scripts, and is used only when it is to a primary. Whatever
 * is not answered when it is lost was not carried out if it had not left whole (UNSENT), and is in doubt if it had
 * (UNKNOWN). NOSCRIPT means "not carried out": the scripts are sent again and those calls repeated, once. */
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "policy/policy.h"
#include "store/connection.h"
#include "store/scripts.h"
#include "store/slot.h"

enum {
    BACKOFF_FIRST_MS = 20, BACKOFF_MOST_MS = 1000,
    HASH_OF_SCRIPT = 40,   /* hex digits of a SHA-1 */
    TOKEN_TEXT_MAX = 40,
    NUMBER_TEXT_MAX = 24,
    REDIS_OLDEST = 6,      /* tracking and RESP3; scripts replicate their effects since 5 */
};

struct redis {
    struct fb_store store;
    struct fb_connection connection;
    struct fb_store_redis_options options;
    char *texts[4];                       /* of the options */
    char hashes[FB_SCRIPT_COUNT][HASH_OF_SCRIPT];
    uint64_t server;                      /* of its run id: changes with every start and every failover */
    unsigned failures;                    /* in a row, to connect */
    fb_instant not_before;
    struct fb_rng rng;
    fb_buf names;                         /* companions of a batch's keys */
};

/* ---- requests ---------------------------------------------------------------------------------------------------
 * */

static void command(struct fb_connection *c, const fb_bytes *args, size_t n) {
    fb_resp_write_command(&c->out, args, n);
}

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
static void write_script(struct redis *r, enum fb_script script, fb_bytes key, size_t arguments) {
    struct fb_connection *c = &r->connection;
    r->names.len = 0;
    if (fb_companion_append(&r->names, 'c', key) != FB_OK || fb_companion_append(&r->names, 'n', key) != FB_OK) {
        c->out.failed = true;
        return;
    }
    size_t len = r->names.len / 2;
    fb_resp_write_array(&c->out, 6 + arguments);
    write_bulk(c, FB_STR("EVALSHA"));
    write_bulk(c, fb_bytes_of(r->hashes[script], HASH_OF_SCRIPT));
    write_bulk(c, FB_STR("3"));
    write_bulk(c, key);
    write_bulk(c, fb_bytes_of(r->names.data, len));
    write_bulk(c, fb_bytes_of(r->names.data + len, len));
}

/* FILL's and END's: token, what, ttl, and the value or its fields. */
static void write_putting(struct redis *r, enum fb_script script, const struct fb_store_call *call, bool puts) {
    struct fb_connection *c = &r->connection;
    char number[NUMBER_TEXT_MAX], token[TOKEN_TEXT_MAX];
    bool has_value = puts && call->put == FB_STORE_PUT_VALUE;
    bool is_hash = has_value && call->kind == FB_KIND_HASH;
    size_t fields = is_hash ? fb_hash_len(call->bring) : 0;
    const char *what = is_hash && fields > 0 ? "hash" : has_value && !is_hash ? "set" :
                       puts && call->put == FB_STORE_PUT_NEGATIVE ? "neg" : "none"; /* Redis has no empty hashes */
    write_script(r, script, call->key, 3 + (is_hash ? 2 * fields : has_value ? 1 : 0));
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

/* False: it is answered already. */
static bool write_call(struct redis *r, struct fb_store_call *call) {
    struct fb_connection *c = &r->connection;
    char number[NUMBER_TEXT_MAX], token[TOKEN_TEXT_MAX];
    switch (call->move) {
    case FB_STORE_GET:
        command(c, (fb_bytes[]){FB_STR(call->kind == FB_KIND_HASH ? "HGETALL" : "GET"), call->key}, 2);
        command(c, (fb_bytes[]){FB_STR("PTTL"), call->key}, 2);
        break;
    case FB_STORE_MISS:
        write_script(r, FB_SCRIPT_MISS, call->key, 3);
        write_bulk(c, token_text(token, call->token));
        write_bulk(c, number_text(number, call->span_ms > 0 ? call->span_ms : FB_STORE_LEASE_MS));
        write_bulk(c, FB_STR(call->is_refresh ? "1" : "0"));
        break;
    case FB_STORE_FILL:
        if (call->server != r->server) { /* R2 */
            call->outcome = FB_STORE_DONE;
            call->answer = FB_STORE_NOT_MINE;
            return false;
        }
        write_putting(r, FB_SCRIPT_FILL, call, /* puts */ true);
        break;
    case FB_STORE_BEGIN:
        write_script(r, FB_SCRIPT_BEGIN, call->key, 3);
        write_bulk(c, token_text(token, call->token));
        write_bulk(c, number_text(number, call->span_ms > 0 ? call->span_ms : FB_STORE_WINDOW_MS));
        write_bulk(c, FB_STR(call->keeps_old ? "old" : "hide"));
        break;
    case FB_STORE_END: write_putting(r, FB_SCRIPT_END, call, !call->is_unsure && call->server == r->server); break;
    case FB_STORE_INVAL:
        write_script(r, FB_SCRIPT_INVAL, call->key, 2);
        write_bulk(c, FB_STR(""));
        write_bulk(c, number_text(number, call->span_ms));
        break;
    case FB_STORE_LIFE:
        write_script(r, FB_SCRIPT_LIFE, call->key, 3);
        write_bulk(c, FB_STR(""));
        write_bulk(c, number_text(number, call->ttl_ms < call->max_ms ? call->ttl_ms : call->max_ms));
        write_bulk(c, FB_STR(whens[call->when]));
        break;
    case FB_STORE_LOOK: command(c, (fb_bytes[]){FB_STR("PTTL"), call->key}, 2); break;
    case FB_STORE_MOVES: break;
    }
    return true;
}

/* ---- replies ----------------------------------------------------------------------------------------------------
 * */

static void say(struct fb_store_call *call, enum fb_store_outcome outcome, fb_bytes why) {
    call->outcome = outcome;
    int len = why.len < sizeof call->why ? (int)why.len : (int)sizeof call->why - 1;
    (void)snprintf(call->why, sizeof call->why, "%.*s", len, why.data);
}

static bool text_has(fb_bytes text, const char *word) {
    return memmem(text.data, text.len, word, strlen(word)) != NULL;
}

static const struct { const char *text; enum fb_store_answer answer; } answers[] = {
    {"HIT", FB_STORE_HIT}, {"NEG", FB_STORE_NEG}, {"BUSY", FB_STORE_BUSY}, {"WAIT", FB_STORE_WAIT},
    {"LEASE", FB_STORE_LEASE}, {"PUT", FB_STORE_PUT}, {"DROPPED", FB_STORE_DROPPED}, {"REFUSED", FB_STORE_NOT_MINE},
    {"BEGUN", FB_STORE_BEGUN}, {"LIVES", FB_STORE_LIVES}, {"UNMET", FB_STORE_UNMET}, {"NOTHING", FB_STORE_NOTHING},
};

/* Errors that say the server is not the one to ask: hang up, and look again. */
static const char *const elsewhere[] = {"READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "NOAUTH"};

static void take_script_reply(struct redis *r, struct fb_store_call *call) {
    fb_bytes text = r->connection.reply.items[0].text;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (text.len == strlen(answers[i].text) && memcmp(text.data, answers[i].text, text.len) == 0) {
            call->outcome = FB_STORE_DONE;
            call->answer = answers[i].answer;
            if (call->move == FB_STORE_MISS || call->move == FB_STORE_BEGIN)
                call->server = r->server;
            return;
        }
    say(call, FB_STORE_REFUSED, FB_STR("an answer that no script of ours gives"));
}

static fb_status take_value(struct redis *r, struct fb_store_call *call) {
    const struct fb_resp_node *node = r->connection.reply.items;
    call->answer = FB_STORE_NOTHING;
    if (node->type == FB_RESP_BULK) {
        call->answer = FB_STORE_HIT;
        return fb_buf_append(call->value, node->text.data, node->text.len);
    }
    if (node->type == FB_RESP_MAP && node->children > 0) {
        call->answer = FB_STORE_HIT;
        for (size_t i = 1; i + 1 <= node->children; i += 2)
            if (fb_hash_append(call->value, node[i].text, node[i + 1].text) != FB_OK)
                return FB_NOMEM;
    }
    return FB_OK;
}

static bool is_error(const struct redis *r) { return r->connection.reply.items[0].type == FB_RESP_ERROR; }

/* The replies of one call. */
static fb_status take_call(struct redis *r, struct fb_store_call *call, fb_instant deadline, bool *ret_noscript,
                           bool *ret_elsewhere, fb_err *err) {
    fb_status status = fb_connection_next(&r->connection, deadline, err);
    if (status != FB_OK)
        return status;
    size_t before = call->value != NULL ? call->value->len : 0;
    call->outcome = FB_STORE_DONE;
    call->why[0] = '\0';
    bool is_nomem = false;
    if (is_error(r)) {
        fb_bytes text = r->connection.reply.items[0].text;
        say(call, FB_STORE_REFUSED, text);
        *ret_noscript = text_has(text, "NOSCRIPT");
        for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
            *ret_elsewhere = *ret_elsewhere || text_has(text, elsewhere[i]);
    } else if (call->move == FB_STORE_LOOK) {
        call->ttl_ms = r->connection.reply.items[0].number;
        call->answer = call->ttl_ms == -2 ? FB_STORE_NOTHING : FB_STORE_HIT;
    } else if (call->move != FB_STORE_GET) {
        take_script_reply(r, call);
    } else {
        is_nomem = take_value(r, call) != FB_OK;
    }
    if (call->move != FB_STORE_GET)
        return FB_OK;
    if ((status = fb_connection_next(&r->connection, deadline, err)) != FB_OK) {
        call->value->len = before;
        return status;
    }
    call->ttl_ms = is_error(r) ? 0 : r->connection.reply.items[0].number;
    if (call->ttl_ms == -2) /* it went between the two commands */
        call->ttl_ms = 0;
    if (is_nomem) {
        call->value->len = before;
        say(call, FB_STORE_REFUSED, FB_STR("out of memory for the value"));
    }
    return FB_OK;
}

/* ---- connecting -------------------------------------------------------------------------------------------------
 * */

static fb_status one_reply(struct redis *r, fb_instant deadline, const char *what, fb_err *reterr) {
    fb_status status = fb_connection_next(&r->connection, deadline, reterr);
    if (status == FB_OK && is_error(r)) {
        fb_bytes text = r->connection.reply.items[0].text;
        return fb_fail(reterr, FB_DOWN, "%s: %.*s", what, (int)(text.len < 200 ? text.len : 200), text.data);
    }
    return status;
}

static fb_bytes field_of(const struct fb_resp_reply *reply, const char *name) {
    const struct fb_resp_node *items = reply->items;
    for (size_t i = 1; i + 1 < reply->count && items[0].type == FB_RESP_MAP && items[i].children == 0; i += 2)
        if (items[i].text.len == strlen(name) && memcmp(items[i].text.data, name, items[i].text.len) == 0)
            return items[i + 1].text;
    return fb_bytes_of("", 0);
}

static bool is_text(fb_bytes bytes, const char *text) {
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

/* The first 16 hex digits of the run id, which Redis draws anew at each start. */
static uint64_t server_of(fb_bytes info) {
    static const char name[] = "run_id:";
    const char *at = memmem(info.data, info.len, name, sizeof name - 1);
    uint64_t id = 0;
    for (int i = 0; at != NULL && i < 16 && at + sizeof name - 1 + i < info.data + info.len; i++) {
        char c = at[sizeof name - 1 + (size_t)i];
        id = id << 4 | (uint64_t)(c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= '0' && c <= '9' ? c - '0' : 0);
    }
    return id != 0 ? id : 1;
}

static void ask_for_scripts(struct redis *r) {
    for (int i = 0; i < FB_SCRIPT_COUNT; i++)
        command(&r->connection, (fb_bytes[]){FB_STR("SCRIPT"), FB_STR("LOAD"), FB_STR(fb_script_text(i))}, 3);
}

static fb_status take_scripts(struct redis *r, fb_instant deadline, fb_err *reterr) {
    for (int i = 0; i < FB_SCRIPT_COUNT; i++) {
        fb_status status = one_reply(r, deadline, "SCRIPT LOAD", reterr);
        if (status != FB_OK)
            return status;
        fb_bytes text = r->connection.reply.items[0].text;
        if (text.len != HASH_OF_SCRIPT)
            return fb_fail(reterr, FB_DOWN, "SCRIPT LOAD answers no hash");
        memcpy(r->hashes[i], text.data, HASH_OF_SCRIPT);
    }
    return FB_OK;
}

static fb_status greet(struct redis *r, fb_instant deadline, fb_err *reterr) {
    struct fb_connection *c = &r->connection;
    const struct fb_store_redis_options *o = &r->options;
    char number[NUMBER_TEXT_MAX];
    fb_connection_start(c);
    fb_bytes hello[5] = {FB_STR("HELLO"), FB_STR("3"), FB_STR("AUTH")};
    hello[3] = FB_STR(o->user != NULL ? o->user : "default");
    hello[4] = FB_STR(o->password != NULL ? o->password : "");
    command(c, hello, o->password != NULL ? 5 : 2);
    if (o->db != 0)
        command(c, (fb_bytes[]){FB_STR("SELECT"), number_text(number, o->db)}, 2);
    command(c, (fb_bytes[]){FB_STR("INFO"), FB_STR("server")}, 2);
    fb_status status = one_reply(r, deadline, "HELLO", reterr);
    if (status != FB_OK)
        return status;
    fb_bytes role = field_of(&c->reply, "role"), version = field_of(&c->reply, "version");
    if (!is_text(role, "master"))
        return fb_fail(reterr, FB_DOWN, "it is a replica, not the primary");
    unsigned major = 0;
    for (size_t i = 0; i < version.len && version.data[i] >= '0' && version.data[i] <= '9'; i++)
        major = major * 10 + (unsigned)(version.data[i] - '0');
    if (major < REDIS_OLDEST)
        return fb_fail(reterr, FB_CONFIG, "it is older than Redis %d", REDIS_OLDEST);
    if (o->db != 0 && (status = one_reply(r, deadline, "SELECT", reterr)) != FB_OK)
        return status;
    if ((status = one_reply(r, deadline, "INFO", reterr)) != FB_OK)
        return status;
    r->server = server_of(c->reply.items[0].text);
    fb_connection_start(c);
    ask_for_scripts(r);
    return take_scripts(r, deadline, reterr);
}

static fb_status ensure_connected(struct redis *r, fb_instant deadline, fb_err *reterr) {
    fb_instant now = fb_clock_now();
    if (fb_connection_is_quiet(&r->connection))
        return FB_OK;
    fb_connection_close(&r->connection);
    if (!fb_reached(now, r->not_before))
        return fb_fail(reterr, FB_DOWN, "not connected; the next try is in a moment");
    fb_status status = fb_connection_open(&r->connection, &r->options, deadline, reterr);
    if (status == FB_OK)
        status = greet(r, deadline, reterr);
    if (status == FB_OK) {
        r->failures = 0;
        return FB_OK;
    }
    fb_connection_close(&r->connection);
    uint16_t draw = (uint16_t)fb_rng_next(&r->rng);
    fb_span wait = fb_backoff(r->failures, fb_ms(BACKOFF_FIRST_MS), fb_ms(BACKOFF_MOST_MS), draw);
    r->failures += r->failures < 16;
    r->not_before = fb_after(fb_clock_now(), wait);
    return status;
}

/* ---- a batch ----------------------------------------------------------------------------------------------------
 * */

enum { AT_ONCE = FB_STORE_BATCH_MAX };

/* What was sent of a batch: where each call's request ends in the connection's buffer; 0: it was not needed. */
struct batch {
    struct fb_store_call *calls;
    size_t n;
    size_t ends[AT_ONCE];
    bool noscript[AT_ONCE];
};

static void fail_from(struct redis *r, struct batch *b, size_t first, const fb_err *err) {
    for (size_t i = first; i < b->n; i++) {
        bool has_left = b->ends[i] <= r->connection.out_sent;
        if (b->ends[i] != 0)
            say(&b->calls[i], has_left ? FB_STORE_UNKNOWN : FB_STORE_UNSENT, FB_STR(err->text));
    }
}

/* One round trip for those that `again` chooses (all, or those that found no script). */
static bool trip(struct redis *r, struct batch *b, bool is_second, fb_instant deadline) {
    fb_err err = {.status = FB_OK};
    bool has_noscript = false, is_elsewhere = false;
    fb_connection_start(&r->connection);
    if (is_second)
        ask_for_scripts(r);
    for (size_t i = 0; i < b->n; i++) {
        bool is_sent = (!is_second || b->noscript[i]) && write_call(r, &b->calls[i]);
        b->ends[i] = is_sent ? r->connection.out.buf.len : 0;
        b->noscript[i] = false;
    }
    size_t i = 0;
    fb_status status = is_second ? take_scripts(r, deadline, &err) : FB_OK;
    for (; i < b->n && status == FB_OK; i++) {
        if (b->ends[i] == 0)
            continue;
        status = take_call(r, &b->calls[i], deadline, &b->noscript[i], &is_elsewhere, &err);
        if (status != FB_OK)
            break;
        has_noscript = has_noscript || b->noscript[i];
    }
    if (status != FB_OK)
        fail_from(r, b, i, &err);
    if (status != FB_OK || is_elsewhere)
        fb_connection_close(&r->connection);
    return has_noscript && r->connection.fd >= 0;
}

static void run_batch(struct redis *r, struct fb_store_call *calls, size_t n, fb_instant deadline) {
    struct batch b = {.calls = calls, .n = n};
    fb_err err = {.status = FB_OK};
    if (ensure_connected(r, deadline, &err) != FB_OK) {
        for (size_t i = 0; i < n; i++)
            say(&calls[i], FB_STORE_UNSENT, FB_STR(err.text));
        return;
    }
    if (trip(r, &b, /* is_second */ false, deadline))
        (void)trip(r, &b, /* is_second */ true, deadline);
}

static void run(struct fb_store *store, struct fb_store_call *calls, size_t n, fb_instant deadline) {
    struct redis *r = (struct redis *)(void *)store;
    for (size_t i = 0; i < n; i += AT_ONCE)
        run_batch(r, calls + i, n - i < AT_ONCE ? n - i : AT_ONCE, deadline);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------
 * */

static void close_redis(struct fb_store *store) {
    struct redis *r = (struct redis *)(void *)store;
    fb_connection_finish(&r->connection);
    fb_buf_free(&r->names);
    for (size_t i = 0; i < sizeof r->texts / sizeof r->texts[0]; i++)
        fb_mem_free(r->texts[i]);
    fb_mem_free(r);
}

static const struct fb_store_ops redis_ops = {.run = run, .close = close_redis};

struct fb_store_token fb_store_token(struct fb_store *store) {
    return (struct fb_store_token){store->process, atomic_fetch_add(&store->tokens, 1) + 1};
}

fb_status fb_store_redis_open(const struct fb_store_redis_options *options, struct fb_store **ret_store,
                              fb_err *reterr) {
    struct redis *r = fb_mem_calloc(1, sizeof *r);
    if (r == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    r->store.ops = &redis_ops;
    fb_rng_system(&r->store.process, sizeof r->store.process);
    fb_rng_system(&r->rng, sizeof r->rng);
    fb_connection_init(&r->connection, options->value_max);
    r->options = *options;
    r->not_before = (fb_instant){INT64_MIN};
    const char **texts[] = {&r->options.path, &r->options.host, &r->options.user, &r->options.password};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        r->texts[i] = fb_mem_strdup(*texts[i]);
        if (*texts[i] != NULL && r->texts[i] == NULL) {
            close_redis(&r->store);
            return fb_fail(reterr, FB_NOMEM, "out of memory");
        }
        *texts[i] = r->texts[i];
    }
    if (r->options.path == NULL && r->options.host == NULL) {
        close_redis(&r->store);
        return fb_fail(reterr, FB_CONFIG, "a store needs a socket or a host");
    }
    *ret_store = &r->store;
    return FB_OK;
}
