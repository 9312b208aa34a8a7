/* The model database and its driver: rows, one partition with its watermark, letters.
 *
 * A transaction is carried out at one moment, on the database's own thread: the process that sent it may be dead by then. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "rows/mapping.h"
#include "rows/plan.h"
#include "source/group.h"
#include "world.h"

enum { ID, N, A, B, NCOLUMNS };

struct fb_driver { unsigned process; };
struct fb_session { struct fb_driver *driver; };
struct fb_binding { struct fb_mapping mapping; bool is_hash; };

static int64_t delay(void) {
    return world_happens(8) ? (int64_t)fb_rng_below(&world_rng, 60) * FB_NS_PER_MS
                            : (int64_t)fb_rng_below(&world_rng, 600) * 1000;
}

static bool is_down(fb_err *err) {
    if (w.is_calm || (world_now_ms() >= w.db_down_until && !world_happens(w.options.transient)))
        return false;
    if (world_now_ms() >= w.db_down_until && world_happens(4))
        w.db_down_until = world_now_ms() + 1 + (int64_t)fb_rng_below(&world_rng, 300);
    (void)fb_fail(err, FB_DOWN, "the database is away");
    return true;
}

/* ---- transactions, on the database's thread ---- */

struct change {
    unsigned row;
    fb_op_kind op;
    bool replaces, recreates;
    struct { bool is_given, adds; struct fb_datum value; uint32_t text; } columns[NCOLUMNS];
    uint64_t seq;
    bool is_refused;
};

struct request {
    bool is_done;
    unsigned process, db_life;
    uint64_t epoch, prev_seq, next_seq, applied_seq;
    unsigned dead_max, nrefused;
    struct change changes[ROWS];
    size_t n;
    enum fb_flush_outcome outcome;
};
static struct request requests[REQUESTS_MAX];
static unsigned next_request;

static uint32_t number_of(fb_bytes text) {
    uint32_t n = 0;
    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        n = n * 10 + (uint32_t)(text.data[i] - '0');
    return n;
}

static void remember(void) {
    if (w.npast == PAST_MAX)
        memmove(w.past, w.past + 1, --w.npast * sizeof w.past[0]);
    w.past[w.npast++] = w.db;
}

/* A constraint: it is checked on the row as it would be. */
static bool write_row(const struct change *c, struct row *row) {
    struct row r = *row;
    if (c->op == FB_OP_DELETE) {
        row->exists = false;
        return true;
    }
    if (c->op == FB_OP_HDEL && !r.exists && !c->recreates)
        return true;
    if (!r.exists || c->replaces || c->recreates)
        r = (struct row){.exists = true};
    for (unsigned i = N; i < NCOLUMNS; i++) {
        if (!c->columns[i].is_given)
            continue;
        bool is_null = c->columns[i].value.kind == FB_DATUM_NULL;
        uint32_t text = is_null ? 0 : c->columns[i].text;
        if (i == N) {
            int64_t base = c->columns[i].adds && r.has_n ? r.n : 0;
            r.n = is_null ? 0 : base + c->columns[i].value.i;
            r.has_n = !is_null;
        } else if (i == A) {
            r.a = text;
        } else {
            r.b = text;
        }
    }
    if (r.a >= POISON || r.b >= POISON)
        return false;
    *row = r;
    return true;
}

static void carry_out(struct request *r) {
    struct database after = w.db;
    bool is_checked = !world_lacks(PART_NO_CHECK);
    r->nrefused = 0;
    r->applied_seq = w.db.applied_seq;
    if (is_checked && w.db.epoch != r->epoch) {
        r->outcome = FB_FLUSH_FENCED;
        w.seen[BS_FENCED]++;
    } else if (is_checked && !world_lacks(PART_NO_MARK) && w.db.applied_seq != r->prev_seq) {
        r->outcome = w.db.applied_seq >= r->next_seq ? FB_FLUSH_ALREADY : FB_FLUSH_ASTRAY;
        w.seen[BS_ALREADY] += r->outcome == FB_FLUSH_ALREADY;
    } else if (world_now_ms() < w.schema_until && !w.is_calm && r->n > 0) {
        r->outcome = FB_FLUSH_SCHEMA;
    } else {
        for (size_t i = 0; i < r->n; i++) {
            r->changes[i].is_refused = !write_row(&r->changes[i], &after.rows[r->changes[i].row]);
            r->nrefused += r->changes[i].is_refused;
        }
        r->outcome = r->nrefused > r->dead_max ? FB_FLUSH_DATA : FB_FLUSH_APPLIED;
    }
    if (r->outcome != FB_FLUSH_APPLIED)
        return;
    after.applied_seq = world_lacks(PART_NO_MARK) && r->n > 0 ? after.applied_seq : r->next_seq;
    remember();
    w.db = after;
    w.seen[BS_FLUSHES]++;
    w.seen[BS_ROWS_FLUSHED] += r->n;
    for (size_t i = 0; i < r->n; i++) {
        if (!r->changes[i].is_refused)
            continue;
        w.seen[BS_LETTERS]++;
        if (!w.options.poison || r->changes[i].row != POISONED)
            world_fail("a letter of a row that nobody has poisoned: W4");
    }
    if (w.options.pair && (w.db.rows[0].exists != w.db.rows[1].exists || w.db.rows[0].a != w.db.rows[1].a))
        world_fail("a commit shows half of a transaction: %u and %u: W3", w.db.rows[0].a, w.db.rows[1].a);
    world_say("the database has everything up to %llu", (unsigned long long)w.db.applied_seq);
}

static void *backend(void *arg) {
    struct request *r = arg;
    unsigned life = w.machines[r->process - 1].life;
    thread_rest(delay());
    if (r->db_life == w.db_life)
        carry_out(r);
    else
        r->outcome = FB_FLUSH_UNKNOWN; /* it was another's connection */
    w.seen[BS_LATE_COMMITS] += r->outcome == FB_FLUSH_APPLIED && life != w.machines[r->process - 1].life;
    r->is_done = true;
    return NULL;
}

static void take_plan(struct change *c, const struct fb_flush_item *item) {
    const struct fb_plan *plan = item->plan;
    *c = (struct change){.row = (unsigned)plan->key[0].i, .op = plan->op, .replaces = plan->replaces,
                         .recreates = plan->recreates, .seq = item->seq};
    for (unsigned i = 0; i < plan->nassigns; i++) {
        const struct fb_assign *assign = &plan->assigns[i];
        c->columns[assign->column].is_given = true;
        c->columns[assign->column].adds = assign->adds || plan->op == FB_OP_ADD;
        c->columns[assign->column].value = assign->value;
        if (assign->column != N && assign->value.kind != FB_DATUM_NULL)
            c->columns[assign->column].text = number_of(assign->value.bytes);
    }
}

static enum fb_flush_outcome flush(struct fb_session *session, struct fb_flush *f, fb_err *err) {
    struct request *r = &requests[next_request++ % REQUESTS_MAX];
    if (is_down(err))
        return FB_FLUSH_TRANSIENT;
    *r = (struct request){.process = session->driver->process, .db_life = w.db_life, .epoch = f->epoch, .prev_seq = f->prev_seq,
                          .next_seq = f->next_seq, .dead_max = f->dead_max, .n = f->n};
    if (f->n > ROWS) {
        world_fail("a batch has a row twice");
        return FB_FLUSH_SCHEMA;
    }
    for (size_t i = 0; i < f->n; i++)
        take_plan(&r->changes[i], &f->items[i]);
    if (!w.is_calm && world_happens(w.options.schema))
        w.schema_until = world_now_ms() + 1 + (int64_t)fb_rng_below(&world_rng, 3000);
    bool is_lost = !w.is_calm && world_happens(w.options.lost);
    if (!is_lost || world_happens(2)) {
        thread_start(WORLD, backend, r);
        thread_await(&r->is_done);
    }
    thread_rest(delay());
    f->applied_seq = r->applied_seq;
    f->ndead = r->nrefused;
    for (size_t i = 0; i < f->n && (r->outcome == FB_FLUSH_APPLIED || r->outcome == FB_FLUSH_DATA); i++)
        f->items[i].status = r->changes[i].is_refused && !world_lacks(PART_LETTERS_STAY) ? FB_CONFLICT : FB_OK;
    if (is_lost) {
        w.seen[BS_LOST_ANSWERS]++;
        (void)fb_fail(err, FB_UNKNOWN, "lost in COMMIT");
        return world_lacks(PART_UNSURE_IS_DONE) ? FB_FLUSH_APPLIED : FB_FLUSH_UNKNOWN;
    }
    return r->outcome;
}

/* ---- the partition ---- */

static struct fb_partition partition(void) {
    struct fb_partition row = {.epoch = w.db.epoch, .applied_seq = w.db.applied_seq, .is_clean = w.db.is_clean};
    (void)snprintf(row.owner, sizeof row.owner, "%s", w.db.owner);
    (void)snprintf(row.addr, sizeof row.addr, "%s", w.db.addr);
    (void)snprintf(row.journal, sizeof row.journal, "%s", w.db.journal);
    return row;
}

static fb_status read_partition(struct fb_session *session, const char *part, struct fb_partition *ret, fb_err *err) {
    (void)session;
    thread_rest(delay());
    if (is_down(err))
        return FB_DOWN;
    *ret = partition();
    if (strchr(part, '/') != NULL) {
        unsigned i = 0;
        while (i < w.ntaken && strcmp(w.taken[i].name, part) != 0)
            i++;
        ret->applied_seq = i < w.ntaken ? w.taken[i].applied_seq : 0;
        return i < w.ntaken ? FB_OK : FB_NOTFOUND;
    }
    return w.db.has_partition ? FB_OK : FB_NOTFOUND;
}

static enum fb_claim claim(struct fb_session *session, const struct fb_claimant *c, struct fb_partition *ret, fb_err *err) {
    (void)session;
    thread_rest(delay());
    if (is_down(err))
        return FB_CLAIM_ERROR;
    bool is_ours = w.db.has_partition && strcmp(w.db.journal, c->journal) == 0;
    *ret = partition();
    if (w.db.has_partition && !is_ours && !w.db.is_clean && !world_lacks(PART_DIRTY_CLAIM))
        return FB_CLAIM_HELD;
    if (!is_ours && c->looks_first)
        return FB_CLAIM_FREE;
    w.seen[BS_HANDOVERS] += w.db.has_partition && !is_ours;
    w.db.has_partition = true;
    w.db.applied_seq = is_ours ? w.db.applied_seq : c->start_seq;
    if (is_ours)
        remember();
    else
        w.npast = 0;
    w.db.epoch += c->leap;
    w.db.is_clean = false;
    (void)snprintf(w.db.journal, sizeof w.db.journal, "%s", c->journal);
    (void)snprintf(w.db.addr, sizeof w.db.addr, "%s", c->addr);
    (void)snprintf(w.db.owner, sizeof w.db.owner, "%s", c->owner);
    *ret = partition();
    thread_rest(delay());
    return is_ours ? FB_CLAIM_MINE : FB_CLAIM_NEW;
}

static fb_status clean(struct fb_session *session, const char *part, uint64_t epoch, uint64_t applied_seq, fb_err *err) {
    (void)session;
    (void)part;
    thread_rest(delay());
    if (is_down(err))
        return FB_DOWN;
    if (epoch != w.db.epoch || applied_seq != w.db.applied_seq)
        return fb_fail(err, FB_UNMET, "another's");
    w.db.is_clean = true;
    w.npast = 0;
    return FB_OK;
}

void db_take_over(void) {
    struct taken taken = {.applied_seq = w.db.applied_seq};
    unsigned i = 0;
    if (fb_partition_past("shop", w.db.journal, taken.name)) {
        while (i < w.ntaken && strcmp(w.taken[i].name, taken.name) != 0)
            i++;
        if (i < TAKEN_MAX)
            w.taken[i] = taken, w.ntaken += i == w.ntaken;
    }
    w.db.is_clean = true;
    w.db.journal[0] = '\0';
    w.db.epoch++;
    w.npast = 0;
}

void db_goes_back(void) {
    unsigned to = (unsigned)fb_rng_below(&world_rng, w.npast);
    w.seen[BS_BACK]++;
    w.seen[BS_BACK_FAR] += w.past[to].epoch < w.db.epoch;
    w.db = w.past[to];
    w.db.is_clean = false; /* else the next who comes has it, and what came later is a conflict */
    w.db_life++;
    w.npast = to;
}

static fb_status dead_add(struct fb_session *session, const char *part, const struct fb_flush_item *items, size_t n,
                          fb_err *err) {
    (void)session;
    (void)part;
    (void)items;
    thread_rest(delay());
    if (is_down(err))
        return FB_DOWN;
    w.seen[BS_LETTERS] += n;
    return FB_OK;
}

static const struct fb_flush_ops flush_ops = {.flush = flush, .claim = claim, .read = read_partition, .clean = clean, .dead_add = dead_add};

/* ---- bindings and loads ---- */

static fb_status open_driver(const char *url, const fb_source_options *options, struct fb_driver **ret, fb_err *reterr) {
    (void)options;
    (void)reterr;
    *ret = fb_mem_calloc(1, sizeof **ret);
    (*ret)->process = (unsigned)(url[strlen("model:")] - '0');
    return FB_OK;
}

static void close_driver(struct fb_driver *driver) { fb_mem_free(driver); }

static fb_status bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options, struct fb_binding **ret,
                               char **ret_pattern, fb_err *reterr) {
    static const struct { const char *name; enum fb_class class; } shapes[NCOLUMNS] = {
        [ID] = {"id", FB_CLASS_INTEGER}, [N] = {"n", FB_CLASS_INTEGER}, [A] = {"a", FB_CLASS_TEXT}, [B] = {"b", FB_CLASS_TEXT}};
    struct fb_binding *binding = fb_mem_calloc(1, sizeof *binding);
    struct fb_mapping *m = &binding->mapping;
    (void)driver;
    *ret_pattern = NULL;
    *ret = binding;
    binding->is_hash = strcmp(options->as, "hash") == 0;
    *m = (struct fb_mapping){.name = fb_mem_strdup(options->pattern), .param_is_int = {true},
                             .set_replaces = options->set_mode == FB_SET_REPLACE, .ncolumns = NCOLUMNS};
    m->columns = fb_mem_calloc(NCOLUMNS, sizeof *m->columns);
    for (int i = 0; i < NCOLUMNS; i++)
        m->columns[i] = (struct fb_column){.name = fb_mem_strdup(shapes[i].name), .name_len = strlen(shapes[i].name),
                                           .class = shapes[i].class, .is_nullable = i != ID, .param = i == ID ? 0 : -1};
    fb_status status = fb_pattern_parse(options->pattern, &m->pattern, reterr);
    return status == FB_OK ? fb_mapping_set_as(m, options->as, false, reterr) : status;
}

static void unbind(struct fb_binding *binding) {
    fb_mapping_finish(&binding->mapping);
    fb_mem_free(binding);
}

static struct fb_mapping *mapping_of(struct fb_binding *binding) { return &binding->mapping; }

static fb_status plan(const struct fb_binding *binding, const fb_op *op, struct fb_plan **ret, fb_err *reterr) {
    return fb_plan_make(&binding->mapping, op, ret, reterr);
}

static fb_status session_open(struct fb_driver *driver, bool is_writer, struct fb_session **ret, fb_err *reterr) {
    (void)is_writer;
    if (is_down(reterr))
        return FB_DOWN;
    *ret = fb_mem_calloc(1, sizeof **ret);
    (*ret)->driver = driver;
    return FB_OK;
}

static void session_close(struct fb_session *session) { fb_mem_free(session); }

static struct fb_datum text_datum(uint32_t value, char space[16]) {
    if (value == 0)
        return fb_datum_null();
    return fb_datum_bytes(FB_DATUM_TEXT, fb_bytes_of(space, (size_t)snprintf(space, 16, "%u", value)));
}

static void load_one(struct fb_load_item *item, const struct row *rows) {
    struct fb_datum key[FB_PATTERN_PARAMS_MAX], row[NCOLUMNS];
    char a[16], b[16];
    fb_err err = {0};
    fb_buf out = FB_BUF_INIT;
    const struct fb_mapping *m = &item->binding->mapping;
    item->status = fb_mapping_key(m, item->key, key, &err);
    const struct row *found = &rows[key[0].i];
    w.seen[BS_LOADS]++;
    item->value = NULL;
    item->status = found->exists ? FB_OK : FB_NOTFOUND;
    if (!found->exists)
        return;
    row[ID] = key[0];
    row[N] = found->has_n ? fb_datum_int(found->n) : fb_datum_null();
    row[A] = text_datum(found->a, a);
    row[B] = text_datum(found->b, b);
    item->status = fb_render_row(m, row, &out, &err);
    item->value = fb_value_new(fb_mapping_kind(m), out.data, out.len);
    fb_buf_free(&out);
}

static void load(struct fb_session *session, struct fb_load_item *items, size_t n) {
    struct row rows[ROWS];
    fb_err err = {0};
    (void)session;
    thread_rest(delay());
    bool is_error = is_down(&err);
    memcpy(rows, w.db.rows, sizeof rows);
    thread_rest(delay());
    for (size_t i = 0; i < n; i++) {
        if (is_error) {
            items[i].status = FB_DOWN;
            items[i].value = fb_value_new(FB_KIND_STRING, err.text, strlen(err.text));
        } else {
            load_one(&items[i], rows);
        }
    }
}

static void store(struct fb_session *session, struct fb_store_group *const *groups, size_t n) {
    fb_err err;
    (void)session;
    (void)fb_fail(&err, FB_DOWN, "nothing is written through here");
    for (size_t i = 0; i < n; i++)
        fb_group_refuse(groups[i], FB_DOWN, &err);
}

const struct fb_driver_ops model_driver = {
    .scheme = "model", .writers_max = 1, .flush = &flush_ops, .open = open_driver, .close = close_driver,
    .bind = bind_keyspace, .unbind = unbind, .mapping = mapping_of, .plan = plan, .plan_free = fb_plan_free,
    .session_open = session_open, .session_close = session_close, .load = load, .store = store,
};
