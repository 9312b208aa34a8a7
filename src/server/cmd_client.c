/* CLIENT: names of connections, the list of them, closing them. */
#include "server/commands.h"
#include "server/tracking.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/acl.h"
#include "server/pause.h"
#include "server/users.h"

enum {
    LINE_MAX_ = 2048, /* four names and two addresses at their longest, and the figures */
    FLAGS_MAX = 8,
};

static void refuse_arity(struct fb_call *call) {
    fb_call_error(call, SUBCOMMAND_ARITY, (int)call->argv[1].len, call->argv[1].data, "CLIENT");
}

/* ---- texts about oneself ---------------------------------------------------------------------------------------- */

/* They are printed in one line, so nothing that ends a word or a line may be in them. */
static bool is_printable(fb_bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return true;
}

bool fb_set_client_text(struct fb_call *call, char target[FB_NAME_MAX], fb_bytes text, const char *what) {
    if (text.len >= FB_NAME_MAX || !is_printable(text)) {
        fb_call_error(call, CLIENT_TEXT, what);
        return false;
    }
    struct fb_loop *loop = fb_call_loop(call);
    fb_lock_acquire(&loop->lock);
    if (text.len > 0)
        memcpy(target, text.data, text.len);
    target[text.len] = '\0';
    fb_lock_release(&loop->lock);
    return true;
}

void fb_cmd_client_setname(struct fb_call *call) {
    if (fb_set_client_text(call, call->session->name, call->argv[2], "Client names"))
        fb_resp_write_simple(call->out, "OK");
}

void fb_cmd_client_getname(struct fb_call *call) {
    if (call->session->name[0] != '\0')
        fb_resp_write_bulk(call->out, FB_STR(call->session->name));
    else
        fb_resp_write_null(call->out);
}

void fb_cmd_client_setinfo(struct fb_call *call) {
    bool is_name = fb_is_word(call->argv[2], "lib-name");
    if (!is_name && !fb_is_word(call->argv[2], "lib-ver")) {
        int shown = (int)(call->argv[2].len < 64 ? call->argv[2].len : 64);
        fb_call_error(call, CLIENT_INFO, shown, call->argv[2].data);
        return;
    }
    char *target = is_name ? call->session->lib_name : call->session->lib_version;
    if (fb_set_client_text(call, target, call->argv[3], is_name ? "lib-name" : "lib-ver"))
        fb_resp_write_simple(call->out, "OK");
}

void fb_cmd_client_id(struct fb_call *call) { fb_resp_write_integer(call->out, (int64_t)call->session->id); }

void fb_cmd_client_switch(struct fb_call *call) {
    if (fb_is_word(call->argv[2], "on") || fb_is_word(call->argv[2], "off"))
        fb_resp_write_simple(call->out, "OK");
    else
        fb_call_syntax_error(call);
}

void fb_cmd_client_reply(struct fb_call *call) {
    struct fb_session *session = call->session;
    if (fb_is_word(call->argv[2], "on")) {
        session->reply_mode = FB_REPLY_ON;
        fb_resp_write_simple(fb_session_sink(session), "OK");
    } else if (fb_is_word(call->argv[2], "off")) {
        session->reply_mode = FB_REPLY_OFF;
    } else if (fb_is_word(call->argv[2], "skip")) {
        if (session->reply_mode == FB_REPLY_ON)
            session->reply_mode = FB_REPLY_SKIP;
    } else {
        fb_call_syntax_error(call);
    }
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

static unsigned subscribed(const struct fb_session *s, enum fb_topic_kind kind) {
    return atomic_load_explicit(&s->shown_subscribed[kind], memory_order_relaxed);
}

static bool is_pubsub(const struct fb_session *s) {
    return subscribed(s, FB_TOPIC_CHANNEL) + subscribed(s, FB_TOPIC_PATTERN) + subscribed(s, FB_TOPIC_SHARD) > 0;
}

/* TYPE: which kinds of connections a word means, or the error and false. We have no replicas and are none. */
enum { TYPE_NORMAL = 1 << 0, TYPE_PUBSUB = 1 << 1 };
static bool read_type(struct fb_call *call, fb_bytes word, unsigned *ret_types) {
    static const struct { const char *word; unsigned types; } rows[] = {
        {"normal", TYPE_NORMAL}, {"pubsub", TYPE_PUBSUB}, {"replica", 0}, {"slave", 0}, {"master", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!fb_is_word(word, rows[i].word))
            continue;
        *ret_types = rows[i].types;
        return true;
    }
    fb_call_error(call, CLIENT_TYPE, (int)(word.len < 64 ? word.len : 64), word.data);
    return false;
}

static bool is_of_type(const struct fb_session *s, unsigned types) {
    return (types & (is_pubsub(s) ? TYPE_PUBSUB : TYPE_NORMAL)) != 0;
}

/* As in Redis: O watches, P listens, t tracks, R its redirection is broken, B tracks by prefix, N nothing of this. */
static void print_flags(const struct fb_session *s, char out[FLAGS_MAX]) {
    const struct fb_tracker *tracker = s->tracker;
    const struct { bool is_set; char letter; } flags[] = {
        {subscribed(s, FB_TOPIC_MONITOR) > 0, 'O'},
        {is_pubsub(s), 'P'},
        {tracker != NULL, 't'},
        {tracker != NULL && atomic_load(&tracker->is_broken), 'R'},
        {tracker != NULL && (atomic_load(&tracker->options) & FB_TRACK_BCAST), 'B'},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].is_set)
            out[n++] = flags[i].letter;
    if (n == 0)
        out[n++] = 'N';
    out[n] = '\0';
}

/* Bytes of the request that asks: it has left the buffer already. */
static size_t request_size(const struct fb_call *call) {
    size_t size = 1 + 2 + 1;
    for (size_t i = 0; i < call->argc; i++) {
        size += call->argv[i].len + 1 + 2 + 1 + 2;
        for (size_t n = call->argv[i].len; n >= 10; n /= 10)
            size++;
    }
    for (size_t n = call->argc; n >= 10; n /= 10)
        size++;
    return size;
}

/* The caller holds the lock of the session's loop, unless it is its own. */
static void append_line(fb_buf *out, const struct fb_session *s, const struct fb_call *call, int64_t now_us) {
    const struct fb_loop *asker = fb_call_loop(call);
    bool is_asker = s == call->session;
    size_t shown[FB_SHOWN_COUNT_], multi_bytes = atomic_load_explicit(&s->shown_multi_bytes, memory_order_relaxed);
    for (int i = 0; i < FB_SHOWN_COUNT_; i++)
        shown[i] = atomic_load_explicit(&s->shown[i], memory_order_relaxed);
    size_t qbuf = is_asker ? request_size(call) : shown[FB_SHOWN_QUERY];
    size_t room = !is_asker ? shown[FB_SHOWN_QUERY_FREE] : qbuf < FB_READ_BUFFER ? FB_READ_BUFFER - qbuf : 0;
    const struct fb_command *command = atomic_load_explicit(&s->last_command, memory_order_relaxed);
    const char *parent = command != NULL && command->parent != NULL ? command->parent : NULL;
    /* By the clock of the loop that asks: all loops count seconds, and another's is not ours to read. */
    uint32_t last = atomic_load_explicit(&s->last_tick, memory_order_relaxed);
    uint32_t idle = asker->tick > last ? asker->tick - last : 0;
    char flags[FLAGS_MAX];
    if (fb_buf_reserve(out, LINE_MAX_) != FB_OK)
        return;
    print_flags(s, flags);
    int n = snprintf(out->data + out->len, LINE_MAX_,
                     "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%s age=%" PRId64 " idle=%u flags=%s db=%u sub=%u "
                     "psub=%u ssub=%u multi=%d qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=0 rbp=0 obl=%zu "
                     "oll=%zu omem=%zu tot-mem=%zu events=%s cmd=%s%s%s user=%s redir=%" PRId64 " resp=%u lib-name=%s lib-ver=%s\n",
                     s->id, s->address, s->local_address, s->io.fd, s->name, (now_us - s->since_wall_us) / 1000000,
                     idle, flags, atomic_load_explicit(&s->shown_db, memory_order_relaxed),
                     subscribed(s, FB_TOPIC_CHANNEL), subscribed(s, FB_TOPIC_PATTERN), subscribed(s, FB_TOPIC_SHARD),
                     (int)atomic_load_explicit(&s->shown_multi, memory_order_relaxed) - 1,
                     qbuf, room, multi_bytes, shown[FB_SHOWN_UNSENT], shown[FB_SHOWN_WAITS], shown[FB_SHOWN_OUTPUT],
                     sizeof *s + shown[FB_SHOWN_WEIGHT] + multi_bytes, shown[FB_SHOWN_UNSENT] > 0 ? "rw" : "r",
                     parent != NULL ? parent : "", parent != NULL ? "|" : "", command != NULL ? command->name : "NULL",
                     s->user->name, s->tracker != NULL ? (int64_t)atomic_load(&s->tracker->redirect) : -1,
                     atomic_load_explicit(&s->shown_version, memory_order_relaxed), s->lib_name, s->lib_version);
    out->len += (size_t)n < LINE_MAX_ ? (size_t)n : LINE_MAX_ - 1;
}

void fb_cmd_client_info(struct fb_call *call) {
    fb_buf text = FB_BUF_INIT;
    append_line(&text, call->session, call, fb_clock_wall_us());
    fb_resp_write_verbatim(call->out, "txt", fb_bytes_of(text.data, text.len));
    fb_buf_free(&text);
}

static bool is_wanted(const struct fb_call *call, uint64_t id) {
    if (call->number[0] == 0)
        return true;
    for (size_t i = (size_t)call->number[0]; i < call->argc; i++) {
        int64_t wanted;
        if (fb_parse_integer(call->argv[i], &wanted) && (uint64_t)wanted == id)
            return true;
    }
    return false;
}

/* LIST [TYPE type] [ID id ...]; number[0] is the place of the first id. */
void fb_cmd_client_list(struct fb_call *call) {
    unsigned types = TYPE_NORMAL | TYPE_PUBSUB;
    if (call->argc == 4 && fb_is_word(call->argv[2], "type")) {
        if (!read_type(call, call->argv[3], &types))
            return;
    } else if (call->argc > 3 && fb_is_word(call->argv[2], "id")) {
        call->number[0] = 3;
        for (size_t i = 3; i < call->argc; i++) {
            int64_t id;
            if (!fb_parse_integer(call->argv[i], &id)) {
                fb_call_error(call, CLIENT_ID);
                return;
            }
        }
    } else if (call->argc > 2) {
        fb_call_syntax_error(call);
        return;
    }
    struct fb_server *server = fb_call_server(call);
    fb_buf text = FB_BUF_INIT;
    int64_t now_us = fb_clock_wall_us();
    for (unsigned i = 0; i < server->nloops; i++) {
        struct fb_loop *loop = &server->loops[i];
        fb_lock_acquire(&loop->lock);
        for (struct fb_link *link = loop->sessions.next; link != &loop->sessions; link = link->next) {
            const struct fb_session *session = fb_member_of(link, struct fb_session, link);
            if (is_wanted(call, session->id) && is_of_type(session, types))
                append_line(&text, session, call, now_us);
        }
        fb_lock_release(&loop->lock);
    }
    fb_resp_write_verbatim(call->out, "txt", fb_bytes_of(text.data, text.len));
    fb_buf_free(&text);
}

/* ---- KILL ------------------------------------------------------------------------------------------------------- */

struct filter {
    int64_t id;                     /* 0: any */
    const fb_bytes *address, *local_address, *user;
    unsigned types;
    bool skips_me;
};

static bool is_text(const fb_bytes *wanted, const char *text) {
    return wanted == NULL || (wanted->len == strlen(text) && memcmp(wanted->data, text, wanted->len) == 0);
}

static bool knows_user(struct fb_call *call, fb_bytes name) {
    struct fb_user *user = fb_users_find(fb_call_server(call)->users, name);
    if (user == NULL)
        fb_call_error(call, NO_USER_NAMED, (int)(name.len < 64 ? name.len : 64), name.data);
    fb_user_unref(user);
    return user != NULL;
}

/* The arguments come in pairs; false when the error has been written. */
static bool read_filter(struct fb_call *call, struct filter *filter) {
    if (call->argc % 2 != 0) {
        fb_call_syntax_error(call);
        return false;
    }
    for (size_t i = 2; i < call->argc; i += 2) {
        const fb_bytes *value = &call->argv[i + 1];
        if (fb_is_word(call->argv[i], "id")) {
            if (!fb_parse_integer(*value, &filter->id) || filter->id < 1) {
                fb_call_error(call, CLIENT_ID_ZERO);
                return false;
            }
        } else if (fb_is_word(call->argv[i], "addr")) {
            filter->address = value;
        } else if (fb_is_word(call->argv[i], "laddr")) {
            filter->local_address = value;
        } else if (fb_is_word(call->argv[i], "user")) {
            filter->user = value;
            if (!knows_user(call, *value))
                return false;
        } else if (fb_is_word(call->argv[i], "type")) {
            if (!read_type(call, *value, &filter->types))
                return false;
        } else if (fb_is_word(call->argv[i], "skipme") && (fb_is_word(*value, "yes") || fb_is_word(*value, "no"))) {
            filter->skips_me = fb_is_word(*value, "yes");
        } else {
            fb_call_syntax_error(call);
            return false;
        }
    }
    return true;
}

/* A connection belongs to its loop, so its loop is asked to close it. */
static int64_t kill_in(struct fb_call *call, struct fb_loop *loop, const struct filter *filter) {
    struct fb_link doomed, *link;
    int64_t count = 0;
    fb_list_init(&doomed);
    fb_lock_acquire(&loop->lock);
    for (link = loop->sessions.next; link != &loop->sessions; link = link->next) {
        const struct fb_session *session = fb_member_of(link, struct fb_session, link);
        if ((filter->id != 0 && (uint64_t)filter->id != session->id) || !is_text(filter->address, session->address) ||
            !is_text(filter->local_address, session->local_address) || !is_text(filter->user, session->user->name) ||
            !is_of_type(session, filter->types) || (filter->skips_me && session == call->session))
            continue;
        struct fb_kill_message *kill = fb_mem_alloc(sizeof *kill);
        if (kill == NULL)
            break;
        kill->message.kind = FB_MESSAGE_KILL;
        kill->client_id = session->id;
        fb_list_push_back(&doomed, &kill->message.link);
    }
    fb_lock_release(&loop->lock);
    while ((link = fb_list_pop_front(&doomed)) != NULL) {
        struct fb_kill_message *kill = fb_member_of(link, struct fb_kill_message, message.link);
        count++;
        if (kill->client_id == call->session->id) {
            call->session->is_closing = true; /* after its reply */
            fb_mem_free(kill);
        } else if (!fb_inbox_post(loop->inbox, &kill->message)) {
            fb_mem_free(kill);
        }
    }
    return count;
}

void fb_cmd_client_kill(struct fb_call *call) {
    struct fb_server *server = fb_call_server(call);
    bool is_old_form = call->argc == 3;
    struct filter filter = {.types = TYPE_NORMAL | TYPE_PUBSUB, .skips_me = !is_old_form};
    int64_t count = 0;
    if (is_old_form)
        filter.address = &call->argv[2];
    else if (!read_filter(call, &filter))
        return;
    for (unsigned i = 0; i < server->nloops; i++)
        count += kill_in(call, &server->loops[i], &filter);
    if (!is_old_form)
        fb_resp_write_integer(call->out, count);
    else if (count > 0)
        fb_resp_write_simple(call->out, "OK");
    else
        fb_call_error(call, NO_CLIENT);
}

/* ---- PAUSE ------------------------------------------------------------------------------------------------------ */

void fb_cmd_client_pause(struct fb_call *call) {
    struct fb_server *server = fb_call_server(call);
    int64_t ms;
    bool only_writes = call->argc == 4 && fb_is_word(call->argv[3], "write");
    if (call->argc > 4) {
        refuse_arity(call);
    } else if (call->argc == 4 && !only_writes && !fb_is_word(call->argv[3], "all")) {
        fb_call_error(call, CLIENT_PAUSE);
    } else if (!fb_parse_integer(call->argv[2], &ms)) {
        fb_call_error(call, TIMEOUT_INTEGER);
    } else if (ms < 0) {
        fb_call_error(call, TIMEOUT_NEGATIVE);
    } else {
        fb_pause(server, ms, only_writes);
        fb_resp_write_simple(call->out, "OK");
    }
}

void fb_cmd_client_unpause(struct fb_call *call) {
    fb_unpause(fb_call_server(call));
    fb_resp_write_simple(call->out, "OK");
}
