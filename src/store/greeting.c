/* Writing the greeting and reading what it was answered. */
#include "store/greeting.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum {
    REDIS_OLDEST = 6, /* tracking and RESP3; scripts replicate their effects since 5 */
    NUMBER_TEXT_MAX = 16,
    ERROR_SHOWN_MAX = 200,
};

bool fb_text_is(fb_bytes text, const char *word) {
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

bool fb_text_begins(fb_bytes text, const char *word) {
    size_t len = strlen(word);
    return text.len >= len && memcmp(text.data, word, len) == 0;
}

fb_status fb_reply_check(const struct fb_connection *c, const char *what, fb_err *reterr) {
    const struct fb_resp_node *first = c->reply.items;
    if (first->type != FB_RESP_ERROR)
        return FB_OK;
    int len = first->text.len < ERROR_SHOWN_MAX ? (int)first->text.len : ERROR_SHOWN_MAX;
    return fb_fail(reterr, FB_DOWN, "%s: %.*s", what, len, first->text.data);
}

static fb_bytes field_of(const struct fb_resp_reply *reply, const char *name) {
    const struct fb_resp_node *items = reply->items;
    for (size_t i = 1; i + 1 < reply->count && items[0].type == FB_RESP_MAP && items[i].children == 0; i += 2)
        if (fb_text_is(items[i].text, name))
            return items[i + 1].text;
    return fb_bytes_of("", 0);
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

unsigned fb_greeting_write(struct fb_connection *c, const struct fb_login *login) {
    char number[NUMBER_TEXT_MAX];
    bool has_password = login->password != NULL && login->password[0] != '\0';
    bool has_user = login->user != NULL && login->user[0] != '\0';
    fb_bytes hello[7] = {FB_STR("HELLO"), FB_STR("3")};
    size_t n = 2;
    if (has_password || has_user) { /* there are users without a password, and they are not "default" */
        hello[n++] = FB_STR("AUTH");
        hello[n++] = FB_STR(has_user ? login->user : "default");
        hello[n++] = FB_STR(has_password ? login->password : "");
    }
    hello[n++] = FB_STR("SETNAME");
    hello[n++] = FB_STR("forebay");
    fb_resp_write_command(&c->out, hello, n);
    if (login->db != 0) {
        int len = snprintf(number, sizeof number, "%u", login->db);
        fb_resp_write_command(&c->out, (fb_bytes[]){FB_STR("SELECT"), fb_bytes_of(number, (size_t)len)}, 2);
    }
    fb_resp_write_command(&c->out, (fb_bytes[]){FB_STR("INFO"), FB_STR("server")}, 2);
    return login->db != 0 ? 3 : 2;
}

static fb_status take_hello(const struct fb_connection *c, struct fb_greeted *greeted, fb_err *reterr) {
    fb_status status = fb_reply_check(c, "HELLO", reterr);
    if (status != FB_OK)
        return status;
    if (c->reply.items[0].type != FB_RESP_MAP)
        return fb_fail(reterr, FB_DOWN, "HELLO 3 is answered without a map: no Redis speaks so");
    fb_bytes role = field_of(&c->reply, "role"), version = field_of(&c->reply, "version");
    fb_bytes mode = field_of(&c->reply, "mode");
    *greeted = (struct fb_greeted){.is_primary = fb_text_is(role, "master"), .is_cluster = fb_text_is(mode, "cluster"),
                                   .is_sentinel = fb_text_is(mode, "sentinel")};
    for (size_t i = 0; i < version.len && version.data[i] >= '0' && version.data[i] <= '9' && i < 4; i++)
        greeted->major = greeted->major * 10 + (unsigned)(version.data[i] - '0');
    return FB_OK;
}

fb_status fb_greeting_take(const struct fb_connection *c, const struct fb_login *login, unsigned part,
                           struct fb_greeted *greeted, fb_err *reterr) {
    if (part == 0)
        return take_hello(c, greeted, reterr);
    if (login->db != 0 && part == 1)
        return fb_reply_check(c, "SELECT", reterr);
    fb_status status = fb_reply_check(c, "INFO", reterr);
    if (status == FB_OK)
        greeted->server = server_of(c->reply.items[0].text);
    return status;
}

fb_status fb_greet(struct fb_connection *c, const struct fb_login *login, fb_instant deadline,
                   struct fb_greeted *ret_greeted, fb_err *reterr) {
    fb_connection_start(c);
    unsigned parts = fb_greeting_write(c, login);
    fb_status status = FB_OK;
    for (unsigned part = 0; part < parts && status == FB_OK; part++)
        if ((status = fb_connection_next(c, deadline, reterr)) == FB_OK)
            status = fb_greeting_take(c, login, part, ret_greeted, reterr);
    return status;
}

fb_status fb_greeted_is_primary(const struct fb_greeted *greeted, fb_err *reterr) {
    if (greeted->is_sentinel)
        return fb_fail(reterr, FB_CONFIG, "it is a Sentinel: the store's URL is sentinel://HOST:PORT/SERVICE");
    if (!greeted->is_primary)
        return fb_fail(reterr, FB_DOWN, "it is a replica, not the primary");
    if (greeted->major < REDIS_OLDEST)
        return fb_fail(reterr, FB_CONFIG, "it is older than Redis %d", REDIS_OLDEST);
    return FB_OK;
}
