/* The store in Redis or Valkey: batches of calls to one primary or several, in rounds.
 *
 * A round sends every call that is not answered yet to the primary of its key, all primaries at once, and takes the
 * replies as they come. A call is answered; or refused for good; or certainly was not carried out and may go into the
 * next round, elsewhere or a little later; or it is in doubt, when all of its request may have left and no answer came.
 * What is in doubt is never sent again here. Rounds end with the deadline, or after ROUNDS_MAX. */
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "policy/policy.h"
#include "store/moves.h"

enum {
    AT_ONCE = FB_STORE_BATCH_MAX,
    LINES_MAX = FB_PLACE_PRIMARIES_MAX + 16, /* some that only an ASK has named */
    ROUNDS_MAX = 24,
    ROUNDS_AT_ONCE = 4,                      /* then they pause in any case */
    PAUSE_FIRST_MS = 4, PAUSE_MOST_MS = 64,
};

struct redis {
    struct fb_store store;
    struct fb_place *place;
    struct fb_topology *topology;         /* as of the last round */
    struct fb_line *lines[LINES_MAX];
    unsigned lines_count;
    unsigned of_node[FB_PLACE_PRIMARIES_MAX]; /* index into lines + 1; 0: none yet */
    struct fb_rng rng;
    fb_buf names;                         /* companions of a batch's keys */
};

/* What is to become of a call. */
enum fate {
    OPEN,     /* to be sent in this round */
    SENT,
    SETTLED,  /* its outcome stands */
    AGAIN,    /* certainly not carried out: into the next round */
    NOWHERE,  /* the same, if by then there is somewhere else to send it */
};

struct item {
    enum fate fate;
    unsigned line;           /* index into lines */
    size_t end;              /* of its request in the connection's buffer */
    size_t value_before;     /* bytes in the call's value */
    unsigned sent_to;        /* the line whose replies are awaited; a redirect names another one meanwhile */
    bool is_asking;          /* an ASK has named `line`, for one time */
    bool is_asked;           /* it was sent so */
    bool is_awaited;         /* replies of it are still to come */
    bool has_lost_scripts;   /* once; the second time is an error */
};

/* A batch, and what its last round has shown. */
struct batch {
    struct fb_store_call *calls;
    size_t n;
    fb_instant deadline;
    bool wants_look, wants_pause;
    struct item items[AT_ONCE];
};

static void refuse(struct batch *b, size_t i, enum fb_store_outcome outcome, const char *why, enum fate fate) {
    fb_move_say(&b->calls[i], outcome, FB_STR(why));
    b->items[i].fate = fate;
}

/* ---- lines ------------------------------------------------------------------------------------------------------
 * */

static bool is_to(const struct fb_line *line, const struct fb_store_address *address) {
    return line->address.port == address->port && strcmp(line->address.host, address->host) == 0;
}

/* The index of the line to an address; LINES_MAX: there are too many, or no memory. */
static unsigned line_to(struct redis *r, const struct fb_store_address *address) {
    for (unsigned i = 0; i < r->lines_count; i++)
        if (is_to(r->lines[i], address))
            return i;
    struct fb_line *line = r->lines_count < LINES_MAX ? fb_line_new(r->place, address) : NULL;
    if (line == NULL)
        return LINES_MAX;
    r->lines[r->lines_count] = line;
    return r->lines_count++;
}

/* Lines that the map does not name any more go; after a change of epoch all connections do. False: it is the same. */
static bool follow_map(struct redis *r) {
    struct fb_topology *now = fb_place_topology(r->place);
    const struct fb_topology *before = r->topology;
    unsigned kept = 0;
    if (before != NULL && before->generation == now->generation) {
        (void)fb_topology_unref(now);
        return false;
    }
    for (unsigned i = 0; i < r->lines_count; i++) {
        bool is_named = false;
        for (unsigned node = 0; node < now->count && !is_named; node++)
            is_named = is_to(r->lines[i], &now->nodes[node]);
        if (!is_named) {
            (void)fb_line_free(r->lines[i]);
            continue;
        }
        if (before != NULL && before->epoch != now->epoch)
            fb_connection_close(&r->lines[i]->connection);
        r->lines[kept++] = r->lines[i];
    }
    r->lines_count = kept;
    memset(r->of_node, 0, sizeof r->of_node);
    (void)fb_topology_unref(r->topology);
    r->topology = now;
    return true;
}

static unsigned line_of_node(struct redis *r, unsigned node) {
    if (r->of_node[node] == 0) {
        unsigned line = line_to(r, &r->topology->nodes[node]);
        if (line == LINES_MAX)
            return LINES_MAX;
        r->of_node[node] = line + 1;
    }
    return r->of_node[node] - 1;
}

/* ---- sending ----------------------------------------------------------------------------------------------------
 * */

static void route(struct redis *r, struct batch *b, size_t i) {
    struct item *item = &b->items[i];
    item->fate = OPEN;
    if (item->is_asking) {
        r->lines[item->line]->has_work = true;
        return;
    }
    const struct fb_topology *t = r->topology;
    unsigned node = r->place->url.kind == FB_STORE_CLUSTER ? t->slots[fb_slot_of(b->calls[i].key)] : 0;
    if (node >= t->count) {
        b->wants_look = true;
        refuse(b, i, FB_STORE_UNSENT, "nobody is known to serve this key", NOWHERE);
        return;
    }
    item->line = line_of_node(r, node);
    if (item->line == LINES_MAX)
        refuse(b, i, FB_STORE_UNSENT, "out of memory for a connection", SETTLED);
    else
        r->lines[item->line]->has_work = true;
}

/* False: what was to go there has been refused. */
static bool connect_line(struct redis *r, struct batch *b, unsigned number) {
    struct fb_line *line = r->lines[number];
    fb_err err = {.status = FB_OK};
    fb_status status = atomic_load_explicit(&r->place->is_cut_off, memory_order_relaxed)
        ? fb_fail(&err, FB_MISS, "less than half of the Sentinels can be reached")
        : fb_line_connect(line, r->place, &r->rng, b->deadline, &err);
    if (status == FB_OK)
        return true;
    bool may_be_elsewhere = status != FB_MISS && r->place->url.kind != FB_STORE_SINGLE;
    if (status != FB_MISS)
        fb_place_note_error(r->place, err.text);
    b->wants_look = b->wants_look || may_be_elsewhere;
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].fate == OPEN && b->items[i].line == number) {
            b->items[i].is_asking = false;
            refuse(b, i, FB_STORE_UNSENT, err.text, may_be_elsewhere ? NOWHERE : SETTLED);
        }
    return false;
}

static void write_line(struct redis *r, struct batch *b, unsigned number) {
    struct fb_line *line = r->lines[number];
    fb_connection_start(&line->connection);
    line->scripts_awaited = line->needs_scripts ? FB_SCRIPT_COUNT : 0;
    if (line->needs_scripts)
        fb_line_write_scripts(line);
    line->needs_scripts = false;
    line->at = 0;
    line->part = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];
        if (item->fate != OPEN || item->line != number)
            continue;
        item->is_asked = item->is_asking;
        item->is_asking = false;
        item->sent_to = number;
        item->is_awaited = fb_move_write(line, &b->calls[i], item->is_asked, &r->names);
        item->fate = item->is_awaited ? SENT : SETTLED;
        item->end = line->connection.out.buf.len;
    }
}

/* ---- replies ----------------------------------------------------------------------------------------------------
 * */

/* Errors that say that a call was not carried out, and what to do about it. */
enum remedy { NONE, SCRIPTS, MOVED, ASK, LATER, ELSEWHERE };
static const struct { const char *word; bool is_first; enum remedy remedy; } remedies[] = {
    {"NOSCRIPT", true, SCRIPTS},      {"MOVED ", true, MOVED},         {"ASK ", true, ASK},
    {"TRYAGAIN", true, LATER},        {"CLUSTERDOWN", false, ELSEWHERE},
    /* In front, or somewhere in an error of a script: Redis 6 words them so. */
    {"READONLY", false, ELSEWHERE},   {"LOADING", false, ELSEWHERE},
    {"MASTERDOWN", false, ELSEWHERE}, {"NOAUTH", false, ELSEWHERE},
};

static enum remedy remedy_of(fb_bytes text) {
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++)
        if (remedies[i].is_first ? fb_text_begins(text, remedies[i].word)
                                 : memmem(text.data, text.len, remedies[i].word, strlen(remedies[i].word)) != NULL)
            return remedies[i].remedy;
    return NONE;
}

static void follow_redirect(struct redis *r, struct batch *b, size_t i, fb_bytes text, enum remedy remedy) {
    struct item *item = &b->items[i];
    struct fb_redirect to;
    if (r->place->url.kind != FB_STORE_CLUSTER || !fb_redirect_read(text, r->lines[item->line]->address.host, &to)) {
        refuse(b, i, FB_STORE_REFUSED, "it is a node of a Cluster: the store's URL is cluster://HOST:PORT", SETTLED);
        return;
    }
    item->fate = AGAIN;
    if (remedy == MOVED) {
        fb_place_moved(r->place, &to);
        return;
    }
    fb_place_asked(r->place, &to.to);
    item->line = line_to(r, &to.to);
    item->is_asking = item->line != LINES_MAX;
}

/* An error is there instead of an answer. */
static void take_error(struct redis *r, struct batch *b, size_t i) {
    struct item *item = &b->items[i];
    struct fb_line *line = r->lines[item->line];
    fb_bytes text = line->connection.reply.items[0].text;
    enum remedy remedy = remedy_of(text);
    fb_move_say(&b->calls[i], FB_STORE_REFUSED, text);
    item->fate = SETTLED;
    switch (remedy) {
    case NONE: break;
    case SCRIPTS:
        line->needs_scripts = true;
        item->fate = item->has_lost_scripts ? SETTLED : AGAIN;
        item->has_lost_scripts = true;
        break;
    case MOVED:
    case ASK: follow_redirect(r, b, i, text, remedy); break;
    case LATER: /* when time is up a write may well be tried once more: the slot is on its way */
        b->calls[i].outcome = FB_STORE_UNSENT;
        item->fate = AGAIN;
        b->wants_pause = true;
        break;
    case ELSEWHERE:
        line->is_to_be_closed = true;
        if (r->place->url.kind == FB_STORE_SINGLE)
            break;
        item->fate = AGAIN;
        b->wants_look = b->wants_pause = true;
        break;
    }
}

/* A value without the rest of its answer is none. */
static void take_back(struct batch *b, size_t i) {
    if (b->calls[i].move == FB_STORE_GET)
        b->calls[i].value->len = b->items[i].value_before;
}

/* One reply of the call that the line waits for. */
static void take_reply(struct redis *r, struct batch *b, struct fb_line *line) {
    size_t i = line->at;
    struct fb_store_call *call = &b->calls[i];
    struct item *item = &b->items[i];
    unsigned part = line->part++;
    bool is_last = line->part == fb_move_replies(call, item->is_asked);
    if (item->fate == SENT) { /* else an earlier reply of the call has decided */
        if (line->connection.reply.items[0].type == FB_RESP_ERROR)
            take_error(r, b, i);
        else if (!fb_move_take(line, call, part, item->is_asked) || is_last)
            item->fate = SETTLED;
        if (item->fate != SENT && call->outcome != FB_STORE_DONE)
            take_back(b, i);
    }
    if (is_last) {
        item->is_awaited = false;
        line->part = 0;
    }
}

/* The connection is lost, or time is up: what may have left whole is in doubt. */
static void lose_line(struct redis *r, struct batch *b, unsigned number, const fb_err *err) {
    struct fb_line *line = r->lines[number];
    for (size_t i = line->at; i < b->n; i++) {
        struct item *item = &b->items[i];
        if (item->sent_to != number || !item->is_awaited)
            continue;
        item->is_awaited = false;
        if (item->fate != SENT)
            continue;
        bool has_left = item->end <= line->connection.out_sent;
        refuse(b, i, has_left ? FB_STORE_UNKNOWN : FB_STORE_UNSENT, err->text, SETTLED);
        take_back(b, i);
    }
    fb_place_note_error(r->place, err->text);
    fb_connection_close(&line->connection);
    line->has_work = false;
}

/* Take what is there; false: the line has nothing more to wait for. */
static bool drain(struct redis *r, struct batch *b, unsigned number) {
    struct fb_line *line = r->lines[number];
    fb_err err = {.status = FB_OK};
    for (;;) {
        while (line->at < b->n && (b->items[line->at].sent_to != number || !b->items[line->at].is_awaited))
            line->at++;
        if (line->scripts_awaited == 0 && line->at == b->n)
            return false;
        fb_status status = fb_connection_step(&line->connection, &err);
        if (status == FB_MISS)
            return true;
        if (status == FB_OK && line->scripts_awaited > 0)
            status = fb_line_take_script(line, FB_SCRIPT_COUNT - line->scripts_awaited--, &err);
        else if (status == FB_OK)
            take_reply(r, b, line);
        if (status != FB_OK) {
            lose_line(r, b, number, &err);
            return false;
        }
    }
}

static void wait_for_lines(struct redis *r, fb_instant deadline) {
    struct pollfd fds[LINES_MAX];
    nfds_t n = 0;
    for (unsigned i = 0; i < r->lines_count; i++)
        if (r->lines[i]->has_work)
            fds[n++] = (struct pollfd){.fd = r->lines[i]->connection.io.fd,
                                       .events = fb_connection_events(&r->lines[i]->connection)};
    int64_t left = fb_span_ms(fb_since(deadline, fb_clock_now())) + 1;
    (void)poll(fds, n, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
}

static void exchange(struct redis *r, struct batch *b) {
    static const fb_err late = {.status = FB_DOWN, .text = "no answer within the time allowed"};
    for (bool is_late = false;; is_late = fb_reached(fb_clock_now(), b->deadline)) {
        bool is_waiting = false;
        for (unsigned i = 0; i < r->lines_count; i++) {
            struct fb_line *line = r->lines[i];
            line->has_work = line->has_work && drain(r, b, i);
            if (line->has_work && is_late)
                lose_line(r, b, i, &late);
            is_waiting = is_waiting || line->has_work;
        }
        if (!is_waiting)
            return;
        wait_for_lines(r, b->deadline);
    }
}

/* ---- rounds -----------------------------------------------------------------------------------------------------
 * */

static void run_round(struct redis *r, struct batch *b) {
    for (unsigned i = 0; i < r->lines_count; i++)
        r->lines[i]->has_work = false;
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].fate == AGAIN)
            route(r, b, i);
    for (unsigned i = 0; i < r->lines_count; i++)
        r->lines[i]->has_work = r->lines[i]->has_work && connect_line(r, b, i);
    for (unsigned i = 0; i < r->lines_count; i++)
        if (r->lines[i]->has_work)
            write_line(r, b, i);
    exchange(r, b);
    for (unsigned i = 0; i < r->lines_count; i++)
        if (r->lines[i]->is_to_be_closed) {
            r->lines[i]->is_to_be_closed = false;
            fb_connection_close(&r->lines[i]->connection);
        }
}

/* False: there would be too little time left for an answer, and a refusal is better than a doubt. */
static bool pause_before(struct redis *r, const struct batch *b, unsigned round) {
    fb_span span = fb_backoff(round, fb_ms(PAUSE_FIRST_MS), fb_ms(PAUSE_MOST_MS), (uint16_t)fb_rng_next(&r->rng));
    fb_span left = fb_since(b->deadline, fb_clock_now());
    if (left.ns < 2 * span.ns)
        return false;
    fb_clock_sleep(span);
    return true;
}

/* Calls that wait for another round. */
static size_t unanswered(struct batch *b, bool has_news) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].fate == NOWHERE)
            b->items[i].fate = has_news ? AGAIN : SETTLED; /* what it was told stands */
        n += b->items[i].fate == AGAIN;
    }
    return n;
}

/* Lines have other numbers now: an ASK is to be heard again. */
static void forget_asks(struct batch *b) {
    for (size_t i = 0; i < b->n; i++)
        b->items[i].is_asking = false;
}

static void run_batch(struct redis *r, struct fb_store_call *calls, size_t n, fb_instant deadline) {
    struct batch b = {.calls = calls, .n = n, .deadline = deadline};
    for (size_t i = 0; i < n; i++)
        b.items[i] = (struct item){.fate = AGAIN, .value_before = calls[i].move == FB_STORE_GET ? calls[i].value->len : 0};
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        if (follow_map(r))
            forget_asks(&b);
        b.wants_look = b.wants_pause = false;
        run_round(r, &b);
        bool has_news = b.wants_look && fb_place_look(r->place, r->topology->generation, deadline, NULL) == FB_OK;
        if (unanswered(&b, has_news) == 0 || fb_reached(fb_clock_now(), deadline))
            return;
        if (((b.wants_pause && !has_news) || round >= ROUNDS_AT_ONCE) && !pause_before(r, &b, round))
            return;
    }
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
    for (unsigned i = 0; i < r->lines_count; i++)
        (void)fb_line_free(r->lines[i]);
    (void)fb_topology_unref(r->topology);
    fb_buf_free(&r->names);
    fb_mem_free(r);
}

static const struct fb_store_ops redis_ops = {.run = run, .close = close_redis};

struct fb_store_token fb_store_token(struct fb_store *store) {
    return (struct fb_store_token){store->process, atomic_fetch_add(&store->tokens, 1) + 1};
}

fb_status fb_store_open(struct fb_place *place, struct fb_store **ret_store, fb_err *reterr) {
    struct redis *r = fb_mem_calloc(1, sizeof *r);
    if (r == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    r->store.ops = &redis_ops;
    r->place = place;
    fb_rng_system(&r->store.process, sizeof r->store.process);
    fb_rng_system(&r->rng, sizeof r->rng);
    *ret_store = &r->store;
    return FB_OK;
}
