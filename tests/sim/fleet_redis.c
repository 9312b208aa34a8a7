/* Carrying out what store/decide.h decides, with times. */
#include "fleet_redis.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "store/decide.h"

void fleet_redis_begin(struct fleet_redis *r) {
    memset(&r->now, 0, sizeof r->now);
    r->npast = 0;
    r->server = 1;
    r->spares_the_fence = false;
}

static void drop(struct fleet_redis *r, unsigned key) {
    struct fleet_key *k = &r->now.keys[key];
    if (!k->has_value && !k->has_negative)
        return;
    k->has_value = k->has_negative = false;
    r->told(r->user, key);
}

void fleet_redis_expire(struct fleet_redis *r, unsigned key, int64_t now) {
    struct fleet_key *k = &r->now.keys[key];
    if ((k->has_value && now >= k->value_until) || (k->has_negative && now >= k->negative_until)) {
        k->has_value = k->has_value && now < k->value_until;
        k->has_negative = k->has_negative && now < k->negative_until;
        r->told(r->user, key);
    }
    k->has_lease = k->has_lease && now < k->lease_until;
    unsigned n = 0;
    for (unsigned i = 0; i < k->nmarks; i++)
        if (now < k->marks[i].until)
            k->marks[n++] = k->marks[i];
    k->nmarks = n;
    if (k->nmarks == 0 && now >= k->hold_until)
        k->is_contended = false;
}

static unsigned mark_of(const struct fleet_key *k, struct fb_store_token token) {
    unsigned i = 0;
    while (i < k->nmarks && !fb_store_token_is(k->marks[i].token, token))
        i++;
    return i;
}

static struct fb_coord_facts facts(const struct fleet_key *k, struct fb_store_token token, int64_t now) {
    bool has_mark = mark_of(k, token) < k->nmarks;
    return (struct fb_coord_facts){
        .has_value = k->has_value, .has_negative = k->has_negative,
        .has_lease = k->has_lease, .is_lease_mine = k->has_lease && fb_store_token_is(k->lease, token),
        .has_mark = has_mark, .has_other_marks = k->nmarks > has_mark || now < k->hold_until,
        .is_contended = k->is_contended,
    };
}

static enum fb_store_answer put(struct fleet_redis *r, unsigned key, const struct fb_store_call *call, unsigned version,
                                int64_t now) {
    struct fleet_key *k = &r->now.keys[key];
    if (call->put == FB_STORE_PUT_NOTHING)
        return FB_STORE_DROPPED;
    assert(call->ttl_ms > 0);
    int64_t until = now + fb_ms(call->ttl_ms).ns;
    k->has_value = call->put == FB_STORE_PUT_VALUE;
    k->has_negative = !k->has_value;
    k->value = version;
    k->value_until = k->negative_until = until;
    r->told(r->user, key);
    return FB_STORE_PUT;
}

static int64_t span(const struct fb_store_call *call, int64_t usual_ms) {
    return fb_ms(call->span_ms > 0 ? call->span_ms : usual_ms).ns;
}

static enum fb_store_answer miss(struct fleet_key *k, const struct fb_store_call *call, int64_t now) {
    static const enum fb_store_answer answers[] = {
        [FB_COORD_HIT] = FB_STORE_HIT, [FB_COORD_NEG] = FB_STORE_NEG, [FB_COORD_BUSY] = FB_STORE_BUSY,
        [FB_COORD_WAIT] = FB_STORE_WAIT, [FB_COORD_LEASE] = FB_STORE_LEASE};
    struct fb_coord_facts f = facts(k, call->token, now);
    enum fb_coord_answer answer = fb_coord_miss(&f, call->is_refresh);
    if (answer == FB_COORD_LEASE) {
        k->has_lease = true;
        k->lease = call->token;
        k->lease_until = now + span(call, FB_STORE_LEASE_MS);
    }
    return answers[answer];
}

static enum fb_store_answer begin(struct fleet_redis *r, unsigned key, const struct fb_store_call *call, int64_t now) {
    struct fleet_key *k = &r->now.keys[key];
    struct fb_coord_facts f = facts(k, call->token, now);
    k->is_contended = fb_coord_begin(&f);
    k->has_lease = false;
    drop(r, key);
    unsigned i = mark_of(k, call->token);
    if (i == k->nmarks) {
        assert(k->nmarks < FLEET_MARKS_MAX);
        k->nmarks++;
    }
    k->marks[i] = (struct fleet_mark){call->token, now + span(call, FB_STORE_WINDOW_MS)};
    return FB_STORE_BEGUN;
}

static enum fb_store_answer end(struct fleet_redis *r, unsigned key, const struct fb_store_call *call, unsigned version,
                                int64_t now) {
    struct fleet_key *k = &r->now.keys[key];
    struct fb_coord_facts f = facts(k, call->token, now);
    bool may = fb_coord_end(&f) && !call->is_unsure;
    if (f.has_mark)
        k->marks[mark_of(k, call->token)] = k->marks[--k->nmarks];
    k->has_lease = false;
    k->is_contended = fb_coord_contended_after(&f);
    if (may && call->put != FB_STORE_PUT_NOTHING)
        return put(r, key, call, version, now);
    drop(r, key);
    return FB_STORE_DROPPED;
}

static enum fb_store_answer invalidate(struct fleet_redis *r, unsigned key, const struct fb_store_call *call, int64_t now) {
    struct fleet_key *k = &r->now.keys[key];
    drop(r, key);
    k->has_lease = false;
    k->is_contended = k->nmarks > 0 || (k->is_contended && now < k->hold_until);
    if (call->span_ms > 0)
        k->hold_until = now + fb_ms(call->span_ms).ns;
    return FB_STORE_DROPPED;
}

static void remember(struct fleet_redis *r, int64_t now) {
    r->past[r->npast++ % FLEET_PAST_MAX] = (struct fleet_past){now, r->now};
}

void fleet_redis_run(struct fleet_redis *r, struct fb_store_call *call, unsigned key, unsigned version, int64_t now) {
    struct fleet_key *k = &r->now.keys[key];
    struct fb_coord_facts f;
    char text[16];
    fleet_redis_expire(r, key, now);
    call->outcome = FB_STORE_DONE;
    call->server = r->server;
    switch (call->move) {
    case FB_STORE_GET:
        call->answer = k->has_value ? FB_STORE_HIT : FB_STORE_NOTHING;
        call->ttl_ms = k->has_value ? (k->value_until - now) / FB_NS_PER_MS : 0;
        if (k->has_value)
            (void)fb_buf_append(call->value, text, (size_t)snprintf(text, sizeof text, "v%u", k->value));
        return;
    case FB_STORE_MISS: call->answer = miss(k, call, now); break;
    case FB_STORE_FILL:
        f = facts(k, call->token, now);
        call->answer = FB_STORE_NOT_MINE;
        if (!fb_coord_fill(&f) && !r->spares_the_fence)
            return;
        k->has_lease = false;
        call->answer = put(r, key, call, version, now);
        break;
    case FB_STORE_BEGIN: call->answer = begin(r, key, call, now); break;
    case FB_STORE_END: call->answer = end(r, key, call, version, now); break;
    case FB_STORE_INVAL: call->answer = invalidate(r, key, call, now); break;
    default: assert(!"a move the tier does not make"); break;
    }
    remember(r, now);
}

void fleet_redis_evict(struct fleet_redis *r, unsigned key) { drop(r, key); }

void fleet_redis_lose(struct fleet_redis *r, unsigned key) {
    struct fleet_key *k = &r->now.keys[key];
    k->has_lease = k->is_contended = false;
    k->nmarks = 0;
    k->hold_until = 0;
}

void fleet_redis_go_back(struct fleet_redis *r, int64_t to) {
    unsigned oldest = r->npast > FLEET_PAST_MAX ? r->npast - FLEET_PAST_MAX : 0, i = r->npast;
    while (i > oldest && r->past[(i - 1) % FLEET_PAST_MAX].at > to)
        i--;
    if (i > oldest)
        r->now = r->past[(i - 1) % FLEET_PAST_MAX].state;
    else
        memset(&r->now, 0, sizeof r->now);
    r->server++;
}
