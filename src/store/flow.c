/* The two state machines: see flow.h. */
#include "store/flow.h"

#include <string.h>

enum { BEGIN_TRIES = 2 };

/* ---- loads ---- */

static void ask(struct fb_load_flow *flow, enum fb_store_move move) {
    fb_bytes key = flow->call.key;
    flow->call = (struct fb_store_call){.move = move, .kind = flow->terms.kind, .key = key, .value = flow->buf,
                                        .token = flow->token, .server = flow->server};
    flow->call.is_refresh = flow->has_stale || flow->terms.why != FB_FLOW_MISSED;
    if (move == FB_STORE_MISS)
        flow->call.span_ms = flow->terms.lease_ms;
    flow->step = FB_FLOW_ASK;
    flow->tries++;
}

static void over(struct fb_load_flow *flow, fb_status status, enum fb_keep keep) {
    flow->step = FB_FLOW_OVER;
    flow->status = status;
    flow->keep = keep;
}

static void over_copy(struct fb_load_flow *flow, fb_status status, int64_t life_ms) {
    over(flow, status, FB_KEEP_HERE);
    flow->is_copy = true;
    flow->life_ms = life_ms;
}

/* A value past its life stands in; nobody keeps it. */
static void over_stale(struct fb_load_flow *flow) {
    over(flow, FB_OK, FB_KEEP_NOT);
    flow->is_stale = true;
}

static void load(struct fb_load_flow *flow) { flow->step = FB_FLOW_LOAD; }

/* The store is of no help. */
static void go_alone(struct fb_load_flow *flow) {
    flow->is_lame = true;
    load(flow);
}

static void look(struct fb_load_flow *flow) {
    if (flow->tries >= FB_FLOW_TRIES) {
        load(flow);
        return;
    }
    flow->buf->len = 0;
    flow->has_stale = flow->has_copy = flow->was_woken = false;
    ask(flow, FB_STORE_GET);
}

void fb_load_flow_start(struct fb_load_flow *flow, const struct fb_flow_terms *terms, fb_bytes key, fb_buf *buf,
                        struct fb_store_token token) {
    *flow = (struct fb_load_flow){.terms = *terms, .buf = buf, .token = token, .due = FB_NEVER};
    flow->call.key = key;
    if (!terms->has_store)
        go_alone(flow);
    else if (terms->why == FB_FLOW_ANEW)
        ask(flow, FB_STORE_MISS);
    else
        look(flow);
}

/* The oldest that a copy can be: jitter and caps only make it seem older. */
static bool is_distrusted(const struct fb_load_flow *flow, int64_t left_ms, fb_instant now) {
    const struct fb_flow_terms *t = &flow->terms;
    if (t->distrust.ns == 0)
        return false;
    int64_t age_ms = t->ttl_ms + t->grace_ms - left_ms;
    return left_ms < 0 || fb_span_ms(fb_since(now, t->distrust)) <= age_ms;
}

/* How old a known absence is nobody can tell: none is believed until the oldest has gone. */
static bool may_absence_be_old(const struct fb_flow_terms *t, fb_instant now) {
    return t->distrust.ns != 0 && fb_span_ms(fb_since(now, t->distrust)) <= t->negative_ttl_ms;
}

static void found(struct fb_load_flow *flow, fb_instant now) {
    const struct fb_flow_terms *t = &flow->terms;
    int64_t left = flow->call.ttl_ms, life = left < 0 || left - t->grace_ms > t->ttl_ms ? t->ttl_ms : left - t->grace_ms;
    if (is_distrusted(flow, left, now)) {
        flow->buf->len = 0;
        ask(flow, FB_STORE_MISS);
        flow->call.is_refresh = true;
        return;
    }
    flow->has_stale = life <= 0 && t->grace_ms > 0;
    flow->has_copy = life > 0;
    flow->life_ms = life;
    if (life > 0 && (t->why != FB_FLOW_AHEAD || life >= t->enough_ms)) {
        over_copy(flow, FB_OK, life);
        return;
    }
    ask(flow, FB_STORE_MISS);
    flow->call.is_refresh = true; /* it is there, and will not do */
}

/* Another loads. Whoever has something to show for it does not wait. */
static void wait_for_another(struct fb_load_flow *flow, fb_instant now) {
    const struct fb_flow_terms *t = &flow->terms;
    int64_t loads = FB_FLOW_WAIT_LOADS * t->load_ms;
    if (flow->has_copy) { /* it is good, and being refreshed */
        over_copy(flow, FB_OK, flow->life_ms);
        flow->is_put_off = true;
        return;
    }
    if (flow->has_stale) {
        over_stale(flow);
        return;
    }
    if (t->why == FB_FLOW_ANEW) { /* its question may be older than ours: take the lease from it */
        ask(flow, FB_STORE_INVAL);
        return;
    }
    if (!flow->has_waited)
        flow->due = fb_after(now, fb_ms(t->wait_ms > 0 ? t->wait_ms : loads > FB_STORE_LEASE_MS ? FB_STORE_LEASE_MS
                                        : loads > FB_FLOW_WAIT_MS ? loads : FB_FLOW_WAIT_MS));
    flow->has_waited = true;
    if (fb_reached(now, flow->due))
        load(flow);
    else if (flow->was_woken)
        look(flow);
    else
        flow->step = FB_FLOW_WAIT;
}

static void missed(struct fb_load_flow *flow, fb_instant now) {
    switch (flow->call.answer) {
    case FB_STORE_HIT:
        look(flow);
        break;
    case FB_STORE_NEG:
        over_copy(flow, FB_NOTFOUND, flow->terms.negative_ttl_ms);
        break;
    case FB_STORE_WAIT:
        wait_for_another(flow, now);
        break;
    case FB_STORE_LEASE:
        flow->has_lease = true;
        flow->server = flow->call.server;
        load(flow);
        break;
    default: /* BUSY */
        load(flow);
        break;
    }
}

void fb_load_flow_answered(struct fb_load_flow *flow, struct fb_store_token fresh, fb_instant now) {
    const struct fb_store_call *call = &flow->call;
    enum fb_store_move move = call->move;
    if (move == FB_STORE_FILL) {
        bool is_put = call->outcome == FB_STORE_DONE && call->answer != FB_STORE_NOT_MINE;
        over(flow, flow->status, is_put && !flow->is_stale ? FB_KEEP_SHARED : FB_KEEP_NOT);
        return;
    }
    if (call->outcome != FB_STORE_DONE) {
        if (move == FB_STORE_GET)
            flow->buf->len = 0; /* half a copy is none */
        go_alone(flow);
        return;
    }
    if (move == FB_STORE_MISS) {
        missed(flow, now);
    } else if (move == FB_STORE_INVAL) { /* whose lease it was is asked under a token of its own */
        flow->token = fresh;
        if (flow->tries < FB_FLOW_TRIES)
            ask(flow, FB_STORE_MISS);
        else
            load(flow);
    } else if (call->answer == FB_STORE_HIT) {
        found(flow, now);
    } else {
        flow->token = fresh;
        ask(flow, FB_STORE_MISS);
        flow->call.is_refresh |= may_absence_be_old(&flow->terms, now);
    }
}

void fb_load_flow_loaded(struct fb_load_flow *flow, fb_status status, fb_bytes value, bool is_outage) {
    if (is_outage && flow->has_stale) {
        flow->is_stale = true; /* stands in, once the lease is given back */
        status = FB_OK;
    } else if (!is_outage) {
        flow->buf->len = 0;
    }
    flow->status = status;
    if (!flow->has_lease) {
        over(flow, status, FB_KEEP_NOT);
        return;
    }
    bool puts = !is_outage && (status == FB_OK || (status == FB_NOTFOUND && flow->terms.negative_ttl_ms > 0));
    ask(flow, FB_STORE_FILL);
    flow->call.bring = value;
    flow->call.put = !puts ? FB_STORE_PUT_NOTHING : status == FB_OK ? FB_STORE_PUT_VALUE : FB_STORE_PUT_NEGATIVE;
    flow->call.ttl_ms = status == FB_OK ? flow->terms.lasting_ms + flow->terms.grace_ms : flow->terms.negative_ttl_ms;
}

void fb_load_flow_told(struct fb_load_flow *flow) {
    flow->was_woken = true;
    if (flow->step == FB_FLOW_WAIT)
        look(flow);
}

void fb_load_flow_late(struct fb_load_flow *flow) {
    if (flow->step == FB_FLOW_WAIT)
        load(flow);
}

/* ---- writes ---- */

static void begin(struct fb_write_flow *flow) {
    flow->call = (struct fb_store_call){.move = FB_STORE_BEGIN, .kind = flow->call.kind, .key = flow->call.key,
                                        .token = flow->token};
    flow->tries++;
}

void fb_write_flow_begin(struct fb_write_flow *flow, fb_kind kind, fb_bytes key, struct fb_store_token token,
                         fb_instant now) {
    *flow = (struct fb_write_flow){.token = token, .asked = now};
    flow->call.kind = kind;
    flow->call.key = key;
    begin(flow);
}

bool fb_write_flow_begun(struct fb_write_flow *flow) {
    if (flow->call.outcome == FB_STORE_DONE) {
        flow->is_begun = true;
        flow->server = flow->call.server;
        return true;
    }
    flow->is_unsure |= flow->call.outcome == FB_STORE_UNKNOWN;
    if (flow->tries < BEGIN_TRIES && flow->call.outcome != FB_STORE_REFUSED) {
        begin(flow);
        return false;
    }
    flow->is_owed = true;
    return true;
}

bool fb_write_flow_may_store(const struct fb_write_flow *flow, fb_instant now) {
    return !flow->is_begun || fb_span_ms(fb_since(now, flow->asked)) < FB_WRITE_PATIENCE_MS;
}

void fb_write_flow_end(struct fb_write_flow *flow, enum fb_flow_end how, fb_bytes value, int64_t ttl_ms) {
    flow->has_end = true;
    if (how == FB_FLOW_END_DOUBT) { /* the mark anew, and left to die: nothing is filled while it may still land */
        flow->is_unsure = true;
        begin(flow);
        return;
    }
    bool puts = ttl_ms > 0 && (how == FB_FLOW_END_PUT || how == FB_FLOW_END_ABSENT);
    flow->call = (struct fb_store_call){.move = FB_STORE_END, .kind = flow->call.kind, .key = flow->call.key,
                                        .token = flow->token, .server = flow->server, .bring = value,
                                        .ttl_ms = ttl_ms, .is_unsure = flow->is_unsure};
    flow->call.put = !puts ? FB_STORE_PUT_NOTHING : how == FB_FLOW_END_PUT ? FB_STORE_PUT_VALUE
                                                                           : FB_STORE_PUT_NEGATIVE;
}

bool fb_write_flow_ended(struct fb_write_flow *flow) {
    if (flow->call.outcome == FB_STORE_DONE)
        return true;
    if (!flow->is_end_repeated && flow->call.outcome != FB_STORE_REFUSED) {
        flow->is_end_repeated = true;
        flow->call.is_unsure = true; /* R1; of a BEGIN, which the doubt sends, it says nothing */
        return false;
    }
    flow->is_owed = true;
    return true;
}
