/* A life: machines that start, serve and die, their clients, and what goes wrong. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "world.h"

enum {
    STEPS_LIMIT = 3000000,   /* of threads: a life that takes more does not come to rest */
    REST_LIMIT_MS = 120000,  /* nor one that takes so long when nothing goes wrong any more */
    DRAIN_MS = 60000,
    SETTLE_MS = 4000,
};

struct world w;

void world_say(const char *format, ...) {
    va_list args;
    if (w.options.trace == NULL)
        return;
    fprintf(w.options.trace, "%7lld ms  ", (long long)world_now_ms());
    va_start(args, format);
    vfprintf(w.options.trace, format, args);
    va_end(args);
    fputc('\n', w.options.trace);
}

void world_fail(const char *format, ...) {
    va_list args;
    if (w.violation[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(w.violation, sizeof w.violation, format, args);
    va_end(args);
    world_say("VIOLATION: %s", w.violation);
}

/* ---- rows as texts ---- */

const char *row_key(unsigned row, char space[16]) {
    (void)snprintf(space, 16, "%c:%u", row < HASHES ? 'h' : 'j', row);
    return space;
}

const char *row_text(const struct row *row, char space[80]) {
    char n[24] = "-";
    if (row->has_n)
        (void)snprintf(n, sizeof n, "%lld", (long long)row->n);
    (void)snprintf(space, 80, row->exists ? "{n %s, a %u, b %u}" : "no row", n, row->a, row->b);
    return space;
}

static uint32_t digits(fb_bytes text) {
    uint32_t n = 0;
    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        n = n * 10 + (uint32_t)(text.data[i] - '0');
    return n;
}

static bool field_of(fb_kind kind, fb_bytes value, const char *name, fb_bytes *ret) {
    if (kind == FB_KIND_HASH)
        return fb_hash_get(value, FB_STR(name), ret) == FB_OK;
    char wanted[8];
    size_t n = (size_t)snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = memmem(value.data, value.len, wanted, n);
    if (at == NULL)
        return false;
    at += n;
    at += *at == '"';
    *ret = fb_bytes_of(at, (size_t)(value.data + value.len - at));
    return *at != 'n';
}

static struct row row_of(fb_kind kind, fb_bytes value) {
    struct row row = {.exists = true};
    fb_bytes text;
    row.has_n = field_of(kind, value, "n", &text);
    row.n = row.has_n ? digits(text) : 0;
    row.a = field_of(kind, value, "a", &text) ? digits(text) : 0;
    row.b = field_of(kind, value, "b", &text) ? digits(text) : 0;
    return row;
}

/* ---- operations ---- */

static struct answer answer_of(const struct step *step, const fb_result *result) {
    struct answer answer = {.status = result->status};
    if (step->kind == STEP_READ) {
        answer.has_row = true;
        if (result->status == FB_OK)
            answer.row = row_of(result->kind, result->value);
    } else if (step->flags & FB_WANT_OLD) {
        answer.has_row = true;
        if (result->old.data != NULL)
            answer.row = row_of(result->kind, result->old);
    }
    if (step->kind == STEP_ADD && result->status == FB_OK)
        answer.number = digits(result->value);
    if (step->kind == STEP_HDEL)
        answer.number = result->number;
    return answer;
}

static void tell(const struct op *op, const char *what) {
    char space[16], text[80];
    static const char *const names[] = {"reads", "HSET", "HDEL", "ADD", "DELETE", "SET"};
    if (w.options.trace == NULL)
        return;
    for (unsigned i = 0; i < op->nsteps; i++) {
        const struct step *s = &op->steps[i];
        bool shows = op->is_done && op->answers[i].has_row;
        world_say("%u: operation %u %s %s %s a=%u b=%u flags=%u%s%s%s%s", op->machine, op->number, what, names[s->kind],
                  row_key(s->row, space), s->a, s->b, s->flags, op->is_done ? ": " : "",
                  op->is_done ? fb_status_name(op->status) : "", shows ? " " : "", shows ? row_text(&op->answers[i].row, text) : "");
    }
}

static void over(struct op *op, fb_status status) {
    op->status = status;
    w.seen[BS_REFUSED] += status < 0 && status != FB_UNKNOWN;
    w.seen[BS_UNKNOWN] += status == FB_UNKNOWN;
    w.seen[BS_UNMET] += status == FB_UNMET;
    if (status == FB_UNKNOWN && world_lacks(PART_NO_DOUBT))
        op->status = FB_DIRTY;
    op->is_done = true;
    tell(op, "ends:");
    if (op->is_judged)
        check_answered(op);
}

static void one_done(void *user, const fb_result *result) {
    struct op *op = user;
    op->answers[0] = answer_of(&op->steps[0], result);
    over(op, result->status);
}

static void all_done(void *user, const fb_outcome *outcome) {
    struct op *op = user;
    for (unsigned i = 0; i < op->nsteps && outcome->results != NULL; i++)
        op->answers[i] = answer_of(&op->steps[i], &outcome->results[i]);
    over(op, outcome->status);
}

struct words { char key[STEPS_MAX][16], a[STEPS_MAX][16], value[STEPS_MAX][64]; fb_field fields[STEPS_MAX][2]; };

static fb_op word(const struct step *s, unsigned i, struct words *t) {
    static const fb_op_kind kinds[] = {FB_OP_READ, FB_OP_HSET, FB_OP_HDEL, FB_OP_ADD, FB_OP_DELETE, FB_OP_SET};
    fb_op op = {.kind = kinds[s->kind], .flags = s->flags, .key = FB_STR(row_key(s->row, t->key[i])), .fields = t->fields[i]};
    fb_bytes number = fb_bytes_of(t->a[i], (size_t)snprintf(t->a[i], sizeof t->a[i], "%u", s->a > 0 ? s->a : s->b));
    if (s->kind == STEP_HSET || s->kind == STEP_HDEL) {
        if (s->a > 0)
            t->fields[i][op.nfields++] = (fb_field){FB_STR("a"), number};
        if (s->b > 0)
            t->fields[i][op.nfields++] = (fb_field){FB_STR("b"), number};
    } else if (s->kind == STEP_ADD) {
        t->fields[i][op.nfields++] = (fb_field){FB_STR("n"), {NULL, 0}};
        op.value = FB_STR("1");
    } else if (s->kind == STEP_SET) {
        int n = s->a > 0 && s->b > 0 ? snprintf(t->value[i], sizeof t->value[i], "{\"a\":\"%u\",\"b\":\"%u\"}", s->a, s->b)
                                     : snprintf(t->value[i], sizeof t->value[i], "{\"%s\":\"%u\"}", s->a > 0 ? "a" : "b", s->a + s->b);
        op.value = fb_bytes_of(t->value[i], (size_t)n);
    }
    return op;
}

static void count_joined(const struct machine *m) {
    fb_behind_stats stats;
    if (fb_behind_stats_get(m->source, &stats) == FB_OK)
        w.seen[BS_JOINED] += stats.joined;
}

static bool owns(const struct machine *m) {
    fb_behind_stats stats;
    return fb_behind_stats_get(m->source, &stats) == FB_OK &&
           (strcmp(stats.state, "owner") == 0 || strcmp(stats.state, "broken") == 0);
}

static void submit(struct machine *m, struct op *op) {
    struct words words;
    fb_op ops[STEPS_MAX];
    bool is_read = true;
    while (w.is_paused && !op->is_nudge)
        thread_rest(fb_ms(5).ns);
    op->is_begun = true;
    w.under_way++;
    for (unsigned i = 0; i < op->nsteps; i++)
        is_read &= op->steps[i].kind == STEP_READ;
    op->is_judged = !is_read || owns(m);
    if (op->is_judged)
        check_asked(op);
    tell(op, "begins:");
    w.seen[is_read ? BS_READS : BS_WRITES]++;
    w.seen[BS_GROUPS] += op->nsteps > 1;
    for (unsigned i = 0; i < op->nsteps; i++)
        ops[i] = word(&op->steps[i], i, &words);
    if (op->nsteps == 1) {
        fb_result result;
        if (fb_submit(m->cache, &ops[0], one_done, op, &result) != FB_PENDING) {
            one_done(op, &result);
            fb_result_release(&result);
        }
    } else {
        fb_outcome outcome;
        if (fb_submit_all(m->cache, ops, op->nsteps, all_done, op, &outcome) != FB_PENDING)
            all_done(op, &outcome);
    }
    thread_await(&op->is_done);
    op->is_over = true;
    w.under_way--;
}

/* ---- clients ---- */

static void draw_step(struct step *s, unsigned row, uint32_t value, bool is_alone) {
    unsigned which = (unsigned)fb_rng_below(&world_rng, 3) + 1;
    if (w.options.poison && row == POISONED && world_happens(4))
        value += POISON;
    *s = (struct step){.row = row, .a = which & 1 ? value : 0, .b = which & 2 ? value : 0};
    switch (fb_rng_below(&world_rng, 10)) {
    case 0:
    case 1:
        s->kind = STEP_DELETE;
        s->flags = is_alone ? (world_happens(2) ? FB_WANT_OLD : 0) | (world_happens(2) ? FB_COND_PRESENT : 0) : 0;
        break;
    case 2:
        s->kind = STEP_READ;
        break;
    case 3:
        s->kind = row < HASHES ? STEP_HDEL : STEP_SET;
        break;
    case 4:
    case 5:
    case 6:
        s->kind = row < HASHES ? STEP_ADD : STEP_SET;
        break;
    default:
        s->kind = row < HASHES ? STEP_HSET : STEP_SET;
        if (is_alone && s->kind == STEP_HSET && s->b == 0 && world_happens(3))
            s->flags = FB_COND_FIELD_ABSENT;
    }
    if (s->kind == STEP_READ || s->kind == STEP_DELETE || s->kind == STEP_ADD)
        s->a = s->b = 0;
    if (s->kind == STEP_SET && is_alone)
        s->flags = (world_happens(4) ? FB_COND_ABSENT : world_happens(4) ? FB_COND_PRESENT : 0) |
                   (world_happens(4) ? FB_WANT_OLD : 0);
}

static void draw_pair(struct op *op) {
    bool deletes = world_happens(4), is_turned = world_happens(2);
    op->nsteps = PAIR;
    for (unsigned i = 0; i < PAIR; i++)
        op->steps[i] = (struct step){.kind = deletes ? STEP_DELETE : STEP_HSET, .row = is_turned ? 1 - i : i,
                                     .a = deletes ? 0 : op->number};
}

static void draw(struct op *op) {
    unsigned row = (unsigned)fb_rng_below(&world_rng, w.options.rows);
    op->nsteps = 1;
    if (world_happens(3)) {
        op->steps[0] = (struct step){.kind = STEP_READ, .row = row};
    } else if (w.options.pair && row < PAIR) {
        draw_pair(op);
    } else if (world_happens(6)) {
        unsigned least = w.options.pair ? PAIR : 0, choice = w.options.rows - least;
        op->nsteps = 2 + world_happens(2);
        for (unsigned i = 0; i < op->nsteps; i++)
            draw_step(&op->steps[i], least + (unsigned)fb_rng_below(&world_rng, choice), op->number, false);
    } else {
        draw_step(&op->steps[0], row, op->number, true);
    }
}

static void nothing(void *user, const fb_result *result) {
    (void)user;
    (void)result;
}

static void forget(struct machine *m, unsigned row) {
    char space[16];
    fb_op op = {.kind = FB_OP_INVALIDATE, .key = FB_STR(row_key(row, space))};
    fb_result result;
    if (fb_submit(m->cache, &op, nothing, NULL, &result) != FB_PENDING)
        fb_result_release(&result);
}

static struct op *new_op(struct machine *m) {
    if (w.nops == OPS_MAX)
        return NULL;
    struct op *op = &w.ops[w.nops++];
    *op = (struct op){.number = w.nops, .machine = m->index};
    return op;
}

/* A write that needs to know no row. */
static void nudge(struct machine *m) {
    struct op *op = new_op(m);
    if (op == NULL)
        return;
    op->is_nudge = true;
    op->nsteps = w.options.pair ? PAIR : 1;
    for (unsigned i = 0; i < op->nsteps; i++)
        op->steps[i] = (struct step){.kind = STEP_HSET, .row = i, .a = op->number};
    submit(m, op);
}

/* The database goes back while a Forebay runs. What is read meanwhile is what it has, so nobody reads; the next flush finds
 * out, and makes good what was lost. */
static void go_back_alive(struct machine *m) {
    uint64_t before = w.db.applied_seq;
    int64_t due = world_now_ms() + REST_LIMIT_MS;
    if (w.is_paused)
        return;
    w.is_paused = true;
    w.paused_by = m->index;
    while (w.under_way > 0)
        thread_rest(fb_ms(2).ns);
    if (w.npast == 0 || !owns(m) || w.is_calm) {
        w.is_paused = false;
        return;
    }
    before = w.db.applied_seq;
    db_goes_back();
    w.seen[BS_BACK_ALIVE]++;
    world_say("%u: the database goes back from %llu to %llu", m->index, (unsigned long long)before,
              (unsigned long long)w.db.applied_seq);
    while (w.db.applied_seq <= before && owns(m)) {
        nudge(m);
        thread_rest(fb_ms(50).ns);
        if (world_now_ms() > due)
            world_fail("what the database has lost does not come back: W5");
    }
    w.is_paused = false;
}

static void *client(void *arg) {
    struct machine *m = arg;
    for (unsigned i = 0; i < w.options.ops; i++) {
        if (world_happens(w.options.back) && w.npast > 0 && owns(m))
            go_back_alive(m);
        struct op *op = new_op(m);
        if (op == NULL)
            break;
        draw(op);
        submit(m, op);
        if (world_happens(w.options.invalidates))
            forget(m, (unsigned)fb_rng_below(&world_rng, w.options.rows));
        if (world_happens(3))
            thread_rest((int64_t)fb_rng_below(&world_rng, world_happens(6) ? 400 : 10) * FB_NS_PER_MS);
    }
    m->clients--;
    return NULL;
}

/* ---- a process ---- */

static void settled(void *user, const fb_result *result) {
    struct machine *m = user;
    m->settled = result->status;
    m->is_settled = true;
}

/* Nobody writes any more: when the database has everything, everybody reads what it has. */
static void look_at_all(struct machine *m) {
    char text[80], other[80], space[16];
    fb_result result;
    m->is_settled = false;
    if (fb_settle(m->cache, FB_SETTLED_SOURCE, w.is_calm ? 0 : SETTLE_MS, settled, m, &result) == FB_PENDING)
        thread_await(&m->is_settled);
    else
        m->settled = FB_TIMEOUT;
    thread_rest(fb_ms(100).ns); /* what was refused is forgotten a moment after */
    for (unsigned row = 0; row < w.options.rows && owns(m) && m->settled == FB_OK; row++) {
        struct op *op = new_op(m);
        if (op == NULL)
            return;
        op->nsteps = 1;
        op->steps[0] = (struct step){.kind = STEP_READ, .row = row};
        submit(m, op);
        if (op->status >= 0 && !row_is_equal(&op->answers[0].row, &w.db.rows[row]))
            world_fail("at rest %s reads %s, the database has %s: W4", row_key(row, space), row_text(&op->answers[0].row, text),
                       row_text(&w.db.rows[row], other));
    }
}

static fb_status open_cache(struct machine *m, fb_err *err) {
    static const char *const adds[] = {"n", NULL};
    char dir[8], url[16], address[8];
    (void)snprintf(dir, sizeof dir, "disk%u", m->index);
    (void)snprintf(url, sizeof url, "model:%u", m->index + 1);
    (void)snprintf(address, sizeof address, "at%u", m->index);
    fb_behind_options behind = {.journal_dir = dir, .every_second = w.options.everysec, .address = address};
    if (w.options.is_tight) {
        behind.soft_bytes = 1500;
        behind.hard_bytes = 4000;
    }
    fb_options options = {.memory_max = 1 << 20, .shards = 1u << w.seed % 2, .seed = w.seed + 1, .behind = &behind};
    fb_source_options source = {.pool = 2};
    fb_status status = fb_open(&options, &m->cache, err);
    if (status != FB_OK)
        return status;
    status = fb_source_open(m->cache, "shop", url, &source, &m->source, err);
    for (unsigned i = 0; i < 2 && status == FB_OK; i++) {
        fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
        ks.pattern = i == 0 ? "h:{id:int}" : "j:{id:int}";
        ks.source = m->source;
        ks.table = i == 0 ? "h" : "j";
        ks.as = i == 0 ? "hash" : "json";
        ks.write = FB_WRITE_BEHIND;
        ks.on_del = FB_ON_DEL_DELETE_ROW;
        ks.set_mode = w.options.is_replace ? FB_SET_REPLACE : FB_SET_MERGE;
        ks.policy.ttl_ms = w.options.ttl_ms;
        ks.flush_interval_ms = w.options.interval_ms;
        ks.adds = w.options.adds ? adds : NULL;
        status = fb_keyspace_add(m->cache, &ks, err);
    }
    return status == FB_OK ? fb_start(m->cache, err) : status;
}

static void *process(void *arg) {
    struct machine *m = arg;
    fb_err err = {0};
    uint64_t left;
    fb_status status = open_cache(m, &err);
    if (status != FB_OK) {
        world_say("%u: cannot start: %s", m->index, err.text);
        if (status == FB_CONFLICT || status == FB_CONFIG)
            world_fail("a start fails: %s", err.text);
        w.seen[BS_FAILED_STARTS]++;
        fb_close(m->cache);
        m->cache = NULL;
        m->has_failed = m->is_over = true;
        return NULL;
    }
    w.seen[BS_RECOVERIES]++;
    m->is_up = true;
    world_say("%u: is up, %s", m->index, owns(m) ? "owner" : "not the owner");
    if (owns(m))
        check_settled(m->index);
    m->clients = w.is_calm ? 0 : w.options.clients;
    for (unsigned i = 0; i < m->clients; i++)
        thread_start(m->index + 1, client, m);
    while (m->clients > 0)
        thread_rest(fb_ms(20).ns);
    if (w.is_calm || world_happens(2))
        look_at_all(m);
    status = w.is_calm || world_happens(w.options.drains) ? fb_drain(m->cache, w.is_calm ? DRAIN_MS : 300, &left) : FB_OK;
    w.seen[BS_DRAINS]++;
    count_joined(m);
    if (w.is_calm && status != FB_OK)
        world_fail("%llu writes are left after a drain: W5", (unsigned long long)left);
    fb_close(m->cache);
    m->cache = NULL;
    m->is_up = false;
    m->is_over = true;
    return NULL;
}

/* ---- the world ---- */

static void start(struct machine *m) {
    m->is_starting = true;
    m->is_up = m->is_over = m->has_failed = false;
    m->life++;
    world_say("%u: starts", m->index);
    thread_start(m->index + 1, process, m);
}

static void stop(struct machine *m, bool cuts_power) {
    struct disk_bit bits[DISK_BITS];
    bool keep[DISK_BITS];
    world_say("%u: %s", m->index, cuts_power ? "the power goes" : "dies");
    process_kill(m->index + 1);
    int n = cuts_power ? disk_bits(m->disk, bits) : 0;
    unsigned bias = 1 + (unsigned)fb_rng_below(&world_rng, 4);
    for (int i = 0; i < n; i++)
        keep[i] = world_happens(bias);
    struct disk *after = cuts_power ? disk_crash(m->disk, bits, n, keep) : disk_reopen(m->disk);
    disk_free(m->disk);
    m->disk = after;
    for (unsigned i = 0; i < w.nops; i++)
        if (w.ops[i].machine == m->index && w.ops[i].is_begun && !w.ops[i].is_over) {
            w.ops[i].is_over = true;
            w.under_way--;
        }
    w.is_paused &= w.paused_by != m->index;
    m->cache = NULL;
    m->clients = 0;
    m->is_up = m->is_starting = m->is_over = false;
    m->down_until = world_now_ms() + (world_happens(3) ? 3000 : 50);
}

/* The process has ended by itself. */
static void ended(struct machine *m) {
    if (process_allocations(m->index + 1) > 0 || process_threads(m->index + 1) > 0)
        world_fail("%zu blocks and %u threads are left after the end: W5", process_allocations(m->index + 1),
                   process_threads(m->index + 1));
    stop(m, false);
}

static void harm(struct machine *m, unsigned others) {
    const struct options *o = &w.options;
    if (m->is_starting && world_happens(1500)) {
        bool cuts = o->cuts_power && world_happens(2);
        w.seen[cuts ? BS_CUTS : BS_KILLS]++;
        stop(m, cuts);
    } else if (m->is_starting && world_happens(o->fails_disk) && m->disk->fail_call < 0) {
        m->disk->calls = 0;
        m->disk->fail_call = (int64_t)fb_rng_below(&world_rng, 30);
        m->disk->fail_errno = world_happens(3) ? 28 : 5;
        m->disk->is_short = world_happens(4);
        m->disk->writes_anyway = world_happens(2);
        w.seen[BS_FAILED_CALLS]++;
    } else if (!m->is_starting && others == 0 && w.npast > 0 && world_happens(o->back)) {
        db_goes_back();
        world_say("the database goes back to %llu", (unsigned long long)w.db.applied_seq);
    } else if (!m->is_starting && o->machines > 1 && w.db.has_partition && !w.db.is_clean && m->life > 0 &&
               world_happens(o->takeover)) {
        char mine[8];
        (void)snprintf(mine, sizeof mine, "at%u", m->index);
        if (strcmp(w.db.addr, mine) != 0 || w.db.journal[0] == '\0')
            return;
        db_take_over();
        check_lost();
        w.seen[BS_TAKEOVERS]++;
        world_say("%u: its partition is taken over by force", m->index);
    }
}

static unsigned busy(void) {
    unsigned n = 0;
    for (unsigned i = 0; i < w.options.machines; i++)
        n += w.machines[i].is_starting;
    return n;
}

/* One step of everything; false when the life is over. */
static bool step(void) {
    bool is_over = true;
    unsigned at_work = busy();
    for (unsigned i = 0; i < w.options.machines; i++) {
        struct machine *m = &w.machines[i];
        if (m->is_over)
            ended(m);
        if (!w.is_calm)
            harm(m, at_work - m->is_starting);
        if (!m->is_starting && m->life < w.options.lives && world_now_ms() >= m->down_until)
            start(m);
        is_over &= m->life >= w.options.lives && !m->is_starting;
    }
    if (is_over)
        return false;
    if (busy() == 0)
        world_pass(fb_ms(10).ns);
    if (!threads_step() && busy() > 0)
        world_fail("nothing can move any more: W5");
    if (threads_fault() != NULL)
        world_fail("%s", threads_fault());
    return w.violation[0] == '\0';
}

/* Whoever has the partition starts once more, and everything comes to rest. */
static void come_to_rest(void) {
    int64_t began = world_now_ms();
    w.is_calm = true;
    for (unsigned round = 0; round < 3 && w.violation[0] == '\0'; round++) {
        for (unsigned i = 0; i < w.options.machines && w.violation[0] == '\0'; i++) {
            struct machine *m = &w.machines[i];
            m->disk->fail_call = -1;
            w.options.lives = m->life;
            start(m);
            while (!m->is_over && w.violation[0] == '\0') {
                if (!threads_step())
                    world_fail("nothing can move any more: W5");
                if (world_now_ms() - began > REST_LIMIT_MS)
                    world_fail("it does not come to rest: W5");
                if (threads_fault() != NULL)
                    world_fail("%s", threads_fault());
            }
            if (m->is_over && m->has_failed)
                world_fail("it cannot start although nothing is wrong: W5");
            if (m->is_over)
                ended(m);
        }
    }
    if (w.violation[0] == '\0')
        check_rest();
}

void world_live(const struct options *options, uint64_t seed) {
    memset(&w.db, 0, sizeof w.db);
    memset(w.machines, 0, sizeof w.machines);
    memset(w.seen, 0, sizeof w.seen);
    w.options = *options;
    w.seed = seed;
    w.npast = w.nops = w.ntaken = 0;
    w.is_calm = w.is_paused = false;
    w.under_way = 0;
    w.db_down_until = w.schema_until = 0;
    w.violation[0] = '\0';
    threads_init(seed, options->switches);
    check_init();
    for (unsigned i = 0; i < options->machines; i++) {
        w.machines[i].disk = disk_new();
        w.machines[i].disk->halves_at_sectors = true;
        w.machines[i].index = i;
    }
    unsigned steps = 0;
    while (step())
        if (++steps > STEPS_LIMIT)
            world_fail("it does not end: W5");
    if (w.violation[0] == '\0')
        come_to_rest();
    threads_finish();
    for (unsigned i = 0; i < options->machines; i++)
        disk_free(w.machines[i].disk);
}
