/* Carrying out what store/decide.h decides, on a handful of keys. */
#include "model_redis.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "store/decide.h"

static void forget_contention(struct model_key *k) {
    if (k->marks_count == 0 && !k->is_held)
        k->is_contended = false;
}

static size_t mark_of(const struct model_key *k, struct fb_store_token token) {
    size_t i = 0;
    while (i < k->marks_count && !fb_store_token_is(k->marks[i], token))
        i++;
    return i;
}

static struct fb_coord_facts facts(const struct model_key *k, struct fb_store_token token) {
    bool has_mark = mark_of(k, token) < k->marks_count;
    return (struct fb_coord_facts){
        .has_value = k->has_value, .has_negative = k->has_negative,
        .has_lease = k->has_lease, .is_lease_mine = k->has_lease && fb_store_token_is(k->lease, token),
        .has_mark = has_mark, .has_other_marks = k->marks_count > has_mark || k->is_held,
        .is_contended = k->is_contended,
    };
}

static void drop(struct model_key *k) { k->has_value = k->has_negative = false; }

static enum fb_store_answer put(struct model_key *k, const struct fb_store_call *call) {
    if (call->put == FB_STORE_PUT_NOTHING)
        return FB_STORE_DROPPED;
    drop(k);
    if (call->put == FB_STORE_PUT_NEGATIVE) {
        k->has_negative = true;
    } else {
        assert(call->bring.len <= sizeof k->value);
        memcpy(k->value, call->bring.data, call->bring.len);
        k->value_len = call->bring.len;
        k->has_value = true;
        k->life_ms = call->ttl_ms;
    }
    return FB_STORE_PUT;
}

static enum fb_store_answer miss(struct model_redis *m, struct model_key *k, struct fb_store_call *call) {
    static const enum fb_store_answer answers[] = {
        [FB_COORD_HIT] = FB_STORE_HIT, [FB_COORD_NEG] = FB_STORE_NEG, [FB_COORD_BUSY] = FB_STORE_BUSY,
        [FB_COORD_WAIT] = FB_STORE_WAIT, [FB_COORD_LEASE] = FB_STORE_LEASE};
    struct fb_coord_facts f = facts(k, call->token);
    enum fb_coord_answer answer = fb_coord_miss(&f, call->is_refresh);
    if (answer == FB_COORD_LEASE) {
        k->has_lease = true;
        k->lease = call->token;
    }
    call->server = m->server;
    return answers[answer];
}

static enum fb_store_answer fill(struct model_redis *m, struct model_key *k, const struct fb_store_call *call) {
    struct fb_coord_facts f = facts(k, call->token);
    if (call->server != m->server || !fb_coord_fill(&f))
        return FB_STORE_NOT_MINE;
    k->has_lease = false;
    return put(k, call);
}

static enum fb_store_answer begin(struct model_redis *m, struct model_key *k, struct fb_store_call *call) {
    struct fb_coord_facts f = facts(k, call->token);
    k->is_contended = fb_coord_begin(&f);
    k->has_lease = false;
    if (!call->keeps_old)
        drop(k);
    else if (k->life_ms < 0 || k->life_ms > call->span_ms)
        k->life_ms = call->span_ms;
    if (!f.has_mark) {
        assert(k->marks_count < MODEL_MARKS_MAX);
        k->marks[k->marks_count++] = call->token;
    }
    call->server = m->server;
    return FB_STORE_BEGUN;
}

static enum fb_store_answer end(struct model_redis *m, struct model_key *k, const struct fb_store_call *call) {
    struct fb_coord_facts f = facts(k, call->token);
    bool may = fb_coord_end(&f) && !call->is_unsure && call->server == m->server;
    if (f.has_mark)
        k->marks[mark_of(k, call->token)] = k->marks[--k->marks_count];
    k->has_lease = false;
    k->is_contended = fb_coord_contended_after(&f);
    if (may && call->put != FB_STORE_PUT_NOTHING)
        return put(k, call);
    drop(k);
    return FB_STORE_DROPPED;
}

static enum fb_store_answer invalidate(struct model_key *k, const struct fb_store_call *call) {
    struct fb_coord_facts f = facts(k, (struct fb_store_token){0, 0});
    bool was_there = fb_coord_inval(&f);
    drop(k);
    k->has_lease = false;
    k->is_contended = k->marks_count > 0 || (k->is_contended && k->is_held);
    k->is_held = k->is_held || call->span_ms > 0;
    return was_there ? FB_STORE_DROPPED : FB_STORE_NOTHING;
}

static enum fb_store_answer live(struct model_key *k, const struct fb_store_call *call) {
    static const enum fb_store_answer answers[] = {
        [FB_COORD_LIFE_NONE] = FB_STORE_NOTHING, [FB_COORD_LIFE_UNMET] = FB_STORE_UNMET,
        [FB_COORD_LIFE_DROP] = FB_STORE_DROPPED, [FB_COORD_LIFE_KEEP] = FB_STORE_LIVES,
        [FB_COORD_LIFE_SET] = FB_STORE_LIVES};
    struct fb_coord_facts f = facts(k, (struct fb_store_token){0, 0});
    int64_t want = call->ttl_ms < call->max_ms ? call->ttl_ms : call->max_ms;
    enum fb_coord_life life = fb_coord_life(&f, (enum fb_coord_when)call->when, k->life_ms, want);
    if (life == FB_COORD_LIFE_SET)
        k->life_ms = want;
    if (life == FB_COORD_LIFE_DROP)
        k->has_value = false;
    return answers[life];
}

static void carry_out(struct model_redis *m, struct fb_store_call *call) {
    struct model_key *k = model_redis_key(m, call->key);
    forget_contention(k);
    switch (call->move) {
    case FB_STORE_GET:
        call->answer = k->has_value ? FB_STORE_HIT : FB_STORE_NOTHING;
        call->ttl_ms = k->has_value ? k->life_ms : 0;
        if (k->has_value)
            (void)fb_buf_append(call->value, k->value, k->value_len);
        break;
    case FB_STORE_MISS: call->answer = miss(m, k, call); break;
    case FB_STORE_FILL: call->answer = fill(m, k, call); break;
    case FB_STORE_BEGIN: call->answer = begin(m, k, call); break;
    case FB_STORE_END: call->answer = end(m, k, call); break;
    case FB_STORE_INVAL: call->answer = invalidate(k, call); break;
    case FB_STORE_LIFE: call->answer = live(k, call); break;
    case FB_STORE_LOOK:
        call->answer = k->has_value ? FB_STORE_HIT : FB_STORE_NOTHING;
        call->ttl_ms = k->has_value ? k->life_ms : -2;
        break;
    case FB_STORE_MOVES: case FB_STORE_UNLOCK: break;
    }
}

static void run(struct fb_store *store, struct fb_store_call *calls, size_t n, fb_instant deadline) {
    struct model_redis *m = (struct model_redis *)(void *)store;
    (void)deadline;
    for (size_t i = 0; i < n; i++) {
        calls[i].outcome = m->next;
        calls[i].why[0] = '\0';
        if (m->next == FB_STORE_DONE || m->next == FB_STORE_UNKNOWN)
            carry_out(m, &calls[i]);
        m->next = FB_STORE_DONE;
    }
}

static void nothing_to_close(struct fb_store *store) { (void)store; }

static const struct fb_store_ops ops = {.run = run, .close = nothing_to_close};

void model_redis_init(struct model_redis *m) {
    memset(m, 0, sizeof *m);
    m->store.ops = &ops;
    m->store.process = 1;
    m->server = 1;
}

struct model_key *model_redis_key(struct model_redis *m, fb_bytes name) {
    for (size_t i = 0; i < m->count; i++)
        if (m->keys[i].name_len == name.len && memcmp(m->keys[i].name, name.data, name.len) == 0)
            return &m->keys[i];
    assert(m->count < MODEL_KEYS_MAX && name.len <= MODEL_TEXT_MAX);
    struct model_key *k = &m->keys[m->count++];
    memcpy(k->name, name.data, name.len);
    k->name_len = name.len;
    return k;
}

void model_redis_expire_lease(struct model_key *key) { key->has_lease = false; }

void model_redis_expire_mark(struct model_key *key, struct fb_store_token token) {
    size_t i = mark_of(key, token);
    if (i < key->marks_count)
        key->marks[i] = key->marks[--key->marks_count];
    forget_contention(key);
}

void model_redis_lose(struct model_key *key) {
    key->has_lease = key->is_contended = key->is_held = false;
    key->marks_count = 0;
}
