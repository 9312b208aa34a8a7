/* SUBSCRIBE and its kin, PUBLISH, PUBSUB. */
#include "server/commands.h"

#include <string.h>

#include "server/gates.h"
#include "server/pass.h"
#include "server/pubsub.h"
#include "server/relay.h"

/* ---- subscribing ------------------------------------------------------------------------------------------------ */

/* Channels and patterns are counted together, sharded channels apart. */
static int64_t count_of(const struct fb_session *s, enum fb_topic_kind kind) {
    return kind == FB_TOPIC_SHARD ? s->nsubscribed[FB_TOPIC_SHARD]
                                  : s->nsubscribed[FB_TOPIC_CHANNEL] + s->nsubscribed[FB_TOPIC_PATTERN];
}

/* Confirmations are pushes: they come even when replies are switched off. */
static struct fb_resp_out *out_of(struct fb_call *call) {
    if (!call->is_silent)
        return call->out;
    unsigned version = call->out->version;
    call->out = fb_session_sink(call->session);
    call->out->version = version;
    call->is_silent = false;
    return call->out;
}

static void confirm(struct fb_call *call, const char *word, enum fb_topic_kind kind, const fb_bytes *name) {
    struct fb_resp_out *out = out_of(call);
    fb_resp_write_push(out, 3);
    fb_resp_write_bulk(out, FB_STR(word));
    if (name != NULL)
        fb_resp_write_bulk(out, *name);
    else
        fb_resp_write_null(out);
    fb_resp_write_integer(out, count_of(call->session, kind));
}

static void join(struct fb_call *call, const char *word, enum fb_topic_kind kind) {
    if (fb_pass_is_on(fb_call_server(call))) {
        fb_relay_join(call, kind);
        return;
    }
    for (size_t i = 1; i < call->argc; i++) {
        fb_status status = fb_pubsub_join(call->session, kind, call->argv[i]);
        if (status == FB_BUSY) {
            fb_call_error(call, SUBSCRIPTIONS, FB_SUBSCRIPTIONS_MAX, FB_TOPIC_NAME_MAX);
            return;
        }
        if (status != FB_OK) {
            fb_call_out_of_memory(call);
            return;
        }
        confirm(call, word, kind, &call->argv[i]);
    }
}

static void leave_one(struct fb_call *call, const char *word, enum fb_topic_kind kind, fb_bytes name) {
    (void)fb_pubsub_leave(call->session, kind, name);
    confirm(call, word, kind, &name);
}

static void leave(struct fb_call *call, const char *word, enum fb_topic_kind kind) {
    fb_buf *scratch = &fb_call_loop(call)->scratch; /* the name goes with the topic */
    fb_bytes name;
    if (fb_relay_leave(call, kind))
        return;
    for (size_t i = 1; i < call->argc; i++)
        leave_one(call, word, kind, call->argv[i]);
    if (call->argc > 1)
        return;
    if (!fb_pubsub_oldest(call->session, kind, &name))
        confirm(call, word, kind, NULL);
    while (fb_pubsub_oldest(call->session, kind, &name)) {
        scratch->len = 0;
        if (fb_buf_append(scratch, name.data, name.len) != FB_OK) {
            fb_call_out_of_memory(call);
            return;
        }
        leave_one(call, word, kind, fb_bytes_of(scratch->data, name.len));
    }
}

void fb_cmd_subscribe(struct fb_call *call) { join(call, "subscribe", FB_TOPIC_CHANNEL); }
void fb_cmd_psubscribe(struct fb_call *call) { join(call, "psubscribe", FB_TOPIC_PATTERN); }
void fb_cmd_ssubscribe(struct fb_call *call) { join(call, "ssubscribe", FB_TOPIC_SHARD); }
void fb_cmd_unsubscribe(struct fb_call *call) { leave(call, "unsubscribe", FB_TOPIC_CHANNEL); }
void fb_cmd_punsubscribe(struct fb_call *call) { leave(call, "punsubscribe", FB_TOPIC_PATTERN); }
void fb_cmd_sunsubscribe(struct fb_call *call) { leave(call, "sunsubscribe", FB_TOPIC_SHARD); }

/* ---- the gate --------------------------------------------------------------------------------------------------- */

/* In RESP2 a message looks like a reply, so nothing may be asked that has one. */
enum fb_passage fb_gate_subscribed(struct fb_call *call) {
    static fb_handler *const allowed[] = {fb_cmd_subscribe, fb_cmd_psubscribe, fb_cmd_ssubscribe, fb_cmd_unsubscribe,
                                          fb_cmd_punsubscribe, fb_cmd_sunsubscribe, fb_cmd_ping, fb_cmd_quit,
                                          fb_cmd_reset};
    const struct fb_command *command = call->command;
    if (call->out->version == 3)
        return FB_PASS;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (command->handler == allowed[i])
            return FB_PASS;
    bool has_parent = command->parent != NULL;
    fb_call_error(call, SUBSCRIBED, has_parent ? command->parent : "", has_parent ? "|" : "", command->name);
    return FB_STOP;
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

static void publish(struct fb_call *call, enum fb_topic_kind kind) {
    size_t n = fb_publish(fb_call_server(call), kind, call->argv[1], call->argv[2]);
    fb_resp_write_integer(call->out, (int64_t)n);
}
void fb_cmd_publish(struct fb_call *call) { publish(call, FB_TOPIC_CHANNEL); }
void fb_cmd_spublish(struct fb_call *call) { publish(call, FB_TOPIC_SHARD); }

/* ---- PUBSUB ----------------------------------------------------------------------------------------------------- */

static void list(struct fb_call *call, enum fb_topic_kind kind) {
    struct fb_resp_out names = FB_RESP_OUT_INIT;
    fb_bytes pattern = call->argc > 2 ? call->argv[2] : fb_bytes_of(NULL, 0);
    if (call->argc > 3) {
        fb_call_error(call, SUBCOMMAND_ARITY, (int)call->argv[1].len, call->argv[1].data, "PUBSUB");
        return;
    }
    size_t n = fb_pubsub_list(fb_call_server(call), kind, pattern, &names);
    fb_resp_write_array(call->out, n);
    call->out->failed |= names.failed || fb_buf_append(&call->out->buf, names.buf.data, names.buf.len) != FB_OK;
    fb_buf_free(&names.buf);
}
void fb_cmd_pubsub_channels(struct fb_call *call) { list(call, FB_TOPIC_CHANNEL); }
void fb_cmd_pubsub_shardchannels(struct fb_call *call) { list(call, FB_TOPIC_SHARD); }

/* A flat array in RESP3 too, as in Redis. */
static void count(struct fb_call *call, enum fb_topic_kind kind) {
    fb_resp_write_array(call->out, 2 * (call->argc - 2));
    for (size_t i = 2; i < call->argc; i++) {
        fb_resp_write_bulk(call->out, call->argv[i]);
        fb_resp_write_integer(call->out, (int64_t)fb_pubsub_count(fb_call_server(call), kind, call->argv[i]));
    }
}
void fb_cmd_pubsub_numsub(struct fb_call *call) { count(call, FB_TOPIC_CHANNEL); }
void fb_cmd_pubsub_shardnumsub(struct fb_call *call) { count(call, FB_TOPIC_SHARD); }

void fb_cmd_pubsub_numpat(struct fb_call *call) {
    fb_resp_write_integer(call->out, (int64_t)fb_pubsub_topics(fb_call_server(call), FB_TOPIC_PATTERN));
}
