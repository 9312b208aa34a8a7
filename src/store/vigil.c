/* A vigil's requests and replies. The greeting goes out as one pipeline: HELLO and the database, CLIENT TRACKING,
 * INFO; a beat is ROLE, in a Cluster with CLUSTER INFO behind it: a primary that is cut off from most of the others
 * calls itself `master` still, but not its cluster `ok`. */
#include "store/vigil.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "policy/policy.h"

enum { FAILURES_COUNTED = 16 };

struct fb_vigil *fb_vigil_new(const struct fb_place *place, const struct fb_store_address *address) {
    struct fb_vigil *s = fb_mem_calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    fb_connection_init(&s->connection, place->value_max);
    s->connection.wants_pushes = true;
    s->address = *address;
    s->not_before = s->proved = (fb_instant){INT64_MIN};
    return s;
}

void fb_vigil_close(struct fb_vigil *vigil) {
    fb_connection_close(&vigil->connection);
    vigil->state = FB_VIGIL_CLOSED;
    vigil->proved = (fb_instant){INT64_MIN};
    vigil->beat_awaited = 0;
    vigil->member = NULL;
}

struct fb_vigil *fb_vigil_free(struct fb_vigil *vigil) {
    if (vigil == NULL)
        return NULL;
    fb_connection_finish(&vigil->connection);
    fb_buf_free(&vigil->info);
    fb_mem_free(vigil);
    return NULL;
}

static enum fb_vigil_news end(struct fb_vigil *s, fb_instant now, struct fb_rng *rng, enum fb_vigil_news news) {
    fb_vigil_close(s);
    fb_span wait = fb_backoff(s->failures, fb_ms(FB_VIGIL_BACKOFF_FIRST_MS), fb_ms(FB_VIGIL_BACKOFF_MOST_MS),
                              (uint16_t)fb_rng_next(rng));
    s->failures += s->failures < FAILURES_COUNTED;
    s->not_before = fb_after(now, wait);
    return news;
}

/* ---- greeting ---------------------------------------------------------------------------------------------------
 * */

static void write_tracking(struct fb_resp_out *out, const struct fb_prefixes *prefixes) {
    bool is_all = prefixes->count == 1 && prefixes->items[0].len == 0;
    fb_resp_write_array(out, 4 + (is_all ? 0 : 2 * prefixes->count));
    static const char *const words[] = {"CLIENT", "TRACKING", "ON", "BCAST"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        fb_resp_write_bulk(out, FB_STR(words[i]));
    for (size_t i = 0; i < prefixes->count && !is_all; i++) {
        fb_resp_write_bulk(out, FB_STR("PREFIX"));
        fb_resp_write_bulk(out, prefixes->items[i]);
    }
}

static fb_status begin(struct fb_vigil *s, const struct fb_place *place, const struct fb_prefixes *prefixes,
                       fb_instant now, fb_err *reterr) {
    struct fb_endpoint to = fb_place_endpoint(place, &s->address);
    fb_status status = fb_connection_begin(&s->connection, &to, s->attempts++, reterr);
    if (status != FB_OK)
        return status;
    s->greeting_parts = fb_greeting_write(&s->connection, &place->login);
    write_tracking(&s->connection.out, prefixes);
    fb_resp_write_command(&s->connection.out, (fb_bytes[]){FB_STR("INFO"), FB_STR("replication")}, 2);
    s->state = FB_VIGIL_GREETING;
    s->since = now;
    s->part = 0;
    s->info.len = 0;
    return FB_OK;
}

/* INFO, part after part, is one text in the end. */
static fb_status keep_info(struct fb_vigil *s, fb_err *reterr) {
    fb_bytes text = s->connection.reply.items[0].text;
    fb_status status = fb_reply_check(&s->connection, "INFO", reterr);
    if (status == FB_OK && fb_buf_append(&s->info, text.data, text.len) != FB_OK)
        status = fb_fail(reterr, FB_DOWN, "out of memory");
    return status;
}

static fb_status take_tracking(struct fb_vigil *s) {
    fb_err err = {.status = FB_OK};
    s->is_tracking = fb_reply_check(&s->connection, "CLIENT TRACKING", &err) == FB_OK;
    (void)snprintf(s->refusal, sizeof s->refusal, "%.*s", (int)sizeof s->refusal - 1, err.text);
    return FB_OK;
}

static fb_status finish_greeting(struct fb_vigil *s, fb_err *reterr) {
    if (!fb_store_identity_parse(fb_bytes_of(s->info.data, s->info.len), &s->identity))
        return fb_fail(reterr, FB_DOWN, "INFO does not tell the server's history");
    fb_status status = fb_greeted_is_primary(&s->greeted, reterr);
    if (status == FB_OK && !s->identity.is_primary)
        status = fb_fail(reterr, FB_DOWN, "it is a replica, not the primary");
    return status;
}

static fb_status take_greeting(struct fb_vigil *s, const struct fb_place *place, fb_err *reterr) {
    unsigned part = s->part++;
    if (part < s->greeting_parts) {
        fb_status status = fb_greeting_take(&s->connection, &place->login, part, &s->greeted, reterr);
        return status == FB_OK && part + 1 == s->greeting_parts ? keep_info(s, reterr) : status;
    }
    if (part == s->greeting_parts)
        return take_tracking(s);
    fb_status status = keep_info(s, reterr);
    return status == FB_OK ? finish_greeting(s, reterr) : status;
}

static bool is_greeted(const struct fb_vigil *s) { return s->part == s->greeting_parts + 2; }

/* ---- beats ------------------------------------------------------------------------------------------------------
 * */

static void beat(struct fb_vigil *s, const struct fb_place *place, fb_instant now) {
    fb_connection_start(&s->connection);
    fb_resp_write_command(&s->connection.out, (fb_bytes[]){FB_STR("ROLE")}, 1);
    s->beat_awaited = 1;
    if (place->url.kind == FB_STORE_CLUSTER) {
        fb_resp_write_command(&s->connection.out, (fb_bytes[]){FB_STR("CLUSTER"), FB_STR("INFO")}, 2);
        s->beat_awaited = 2;
    }
    s->is_beat_good = true;
    s->beat_sent = now;
    s->beat_due = fb_after(now, fb_ms(FB_WATCH_BEAT_MS));
}

/* ROLE: ["master", offset, [replicas]]. False: it is no primary. */
static bool take_role(struct fb_vigil *s) {
    const struct fb_resp_reply *reply = &s->connection.reply;
    const struct fb_resp_node *items = reply->items;
    if (items[0].type == FB_RESP_ERROR) { /* BUSY, LOADING: no proof, and no reason to leave */
        s->is_beat_good = false;
        return true;
    }
    bool is_primary = reply->count >= 3 && items[0].type == FB_RESP_ARRAY && fb_text_is(items[1].text, "master");
    if (is_primary && items[2].type == FB_RESP_INTEGER && s->member != NULL)
        fb_heartbeat(&s->member->beats, s->beat_sent, items[2].number);
    return is_primary;
}

static void take_cluster_info(struct fb_vigil *s) {
    static const char well[] = "cluster_state:ok";
    fb_bytes text = s->connection.reply.items[0].text;
    s->is_beat_good = s->is_beat_good && memmem(text.data, text.len, well, sizeof well - 1) != NULL;
}

static enum fb_vigil_news take_beat(struct fb_vigil *s, const struct fb_place *place, fb_instant now,
                                      struct fb_rng *rng, fb_err *reterr) {
    bool is_role = s->beat_awaited == (place->url.kind == FB_STORE_CLUSTER ? 2 : 1);
    if (s->beat_awaited == 0) {
        (void)fb_fail(reterr, FB_DOWN, "an answer to no question: no Redis speaks so");
        return end(s, now, rng, FB_VIGIL_ENDED);
    }
    s->beat_awaited--;
    if (!is_role) {
        take_cluster_info(s);
    } else if (!take_role(s)) {
        (void)fb_fail(reterr, FB_DOWN, "it is no primary any more");
        return end(s, now, rng, FB_VIGIL_DEMOTED);
    }
    if (s->beat_awaited == 0 && s->is_beat_good)
        s->proved = s->beat_sent;
    return FB_VIGIL_BEAT;
}

/* ---- news -------------------------------------------------------------------------------------------------------
 * */

enum fb_vigil_news fb_vigil_step(struct fb_vigil *s, const struct fb_place *place, fb_instant now,
                                     struct fb_rng *rng, fb_err *reterr) {
    while (s->state != FB_VIGIL_CLOSED) {
        fb_status status = fb_connection_step(&s->connection, reterr);
        if (status == FB_MISS)
            return FB_VIGIL_NOTHING;
        if (status != FB_OK)
            return end(s, now, rng, FB_VIGIL_ENDED);
        if (s->connection.reply.items[0].type == FB_RESP_PUSH)
            return FB_VIGIL_PUSH;
        if (s->state == FB_VIGIL_BEGUN)
            return take_beat(s, place, now, rng, reterr);
        if (take_greeting(s, place, reterr) != FB_OK)
            return end(s, now, rng, FB_VIGIL_ENDED);
        if (is_greeted(s)) {
            s->state = FB_VIGIL_BEGUN;
            s->failures = 0;
            s->beat_due = now;
            return FB_VIGIL_HAS_BEGUN;
        }
    }
    return FB_VIGIL_NOTHING;
}

enum fb_vigil_news fb_vigil_tick(struct fb_vigil *s, const struct fb_place *place,
                                     const struct fb_prefixes *prefixes, fb_instant now, struct fb_rng *rng,
                                     fb_err *reterr) {
    switch (s->state) {
    case FB_VIGIL_CLOSED:
        if (!fb_reached(now, s->not_before))
            break;
        if (begin(s, place, prefixes, now, reterr) != FB_OK)
            return end(s, now, rng, FB_VIGIL_ENDED);
        break;
    case FB_VIGIL_GREETING:
        if (fb_reached(now, fb_after(s->since, place->timeout))) {
            (void)fb_fail(reterr, FB_DOWN, "no answer within the time allowed");
            return end(s, now, rng, FB_VIGIL_ENDED);
        }
        break;
    case FB_VIGIL_BEGUN:
        if (s->beat_awaited == 0 && s->member != NULL && fb_reached(now, s->beat_due))
            beat(s, place, now);
        if (s->beat_awaited > 0 && fb_reached(now, fb_after(s->beat_sent, fb_ms(FB_VIGIL_SILENCE_MS)))) {
            (void)fb_fail(reterr, FB_DOWN, "it has been silent for %d ms", FB_VIGIL_SILENCE_MS);
            return end(s, now, rng, FB_VIGIL_ENDED);
        }
        break;
    }
    return FB_VIGIL_NOTHING;
}

fb_instant fb_vigil_due(const struct fb_vigil *s, const struct fb_place *place) {
    switch (s->state) {
    case FB_VIGIL_CLOSED: return s->not_before;
    case FB_VIGIL_GREETING: return fb_after(s->since, place->timeout);
    case FB_VIGIL_BEGUN: break;
    }
    if (s->beat_awaited > 0)
        return fb_after(s->beat_sent, fb_ms(FB_VIGIL_SILENCE_MS));
    return s->member != NULL ? s->beat_due : FB_NEVER;
}
