/* One flush at any database: the watermark first, then the rows in statements of many, then COMMIT.
 *
 * The order of a quick attempt: deletes before writes, because what they free (a unique value, a referenced row) may
 * be taken again by a write of the same flush; tables by their first appearance in the journal, which is how parents
 * come before children, and the other way round for deletes; within a table by columns and key.
 *
 * When the database refuses a row, the transaction is taken back and done again carefully: the whole with its tables in
 * other orders (children that were deleted before their parents, and made again), then parts under savepoints,
 * halved in journal order until what is refused stands alone. At the end those get more chances, as a row may have
 * waited for a later one (values of a unique column that move, a parent whose newest change is younger than its
 * child). What is refused then is a dead letter, and the rest is committed with it. */
#include "source/flush.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "source/flush_db.h"
#include "source/wanted.h"

enum { REMOVES_TURNED = 1, WRITES_TURNED = 2, ORDERS = 4 }; /* … these */

enum {
    TRIES_MAX = 4,           /* quick, carefully, and once with statements prepared anew */
    MEND_ROUNDS_MAX = 8,     /* over the refused rows, as long as each round helps some */
    ROWS_PER_STATEMENT = 1000,
    SHRINKS_BY = 4,
};

/* An item and the place of its table among those of the flush. */
struct place {
    struct fb_flush_item *item;
    const struct fb_mapping *mapping;
    size_t rank;
};

struct run {
    const struct fb_flush_db *db;
    struct fb_session *session;
    struct fb_flush *flush;
    struct place *places;               /* in journal order */
    struct place *sorted;               /* of the part being written */
    unsigned order;                     /* of tables in it: bits of … */
    const struct fb_flush_item **batch; /* of one statement */
    size_t *refused, nrefused;          /* places */
    char (*codes)[FB_FLUSH_CODE_MAX];   /* of the refused, in their order */
    enum fb_flush_outcome class;        /* of the last failure */
    char code[FB_FLUSH_CODE_MAX];
    fb_err *err;
};

const char *fb_flush_outcome_name(enum fb_flush_outcome outcome) {
    static const char *const names[] = {
        [FB_FLUSH_APPLIED] = "applied",     [FB_FLUSH_ALREADY] = "already applied", [FB_FLUSH_ASTRAY] = "astray",
        [FB_FLUSH_FENCED] = "fenced",       [FB_FLUSH_TRANSIENT] = "transient",     [FB_FLUSH_DATA] = "data",
        [FB_FLUSH_SCHEMA] = "schema",       [FB_FLUSH_PERMISSION] = "permission",   [FB_FLUSH_UNKNOWN] = "unknown",
    };
    return (size_t)outcome < sizeof names / sizeof names[0] ? names[outcome] : "?";
}

enum fb_flush_outcome fb_flush_class_of(fb_status status) {
    switch (status) {
    case FB_NOMEM:
    case FB_DOWN:
    case FB_TIMEOUT:
    case FB_BUSY:
        return FB_FLUSH_TRANSIENT;
    case FB_BADVALUE:
    case FB_CONFLICT:
    case FB_NOTANUMBER:
    case FB_WRONGTYPE:
        return FB_FLUSH_DATA;
    default:
        return FB_FLUSH_SCHEMA;
    }
}

static bool fail(struct run *r) {
    r->class = r->db->classify(r->session, r->err, r->code);
    return false;
}

/* ---- what is alike ---- */

bool fb_flush_has_addend(const struct fb_plan *plan) {
    for (unsigned i = 0; i < plan->nassigns; i++)
        if (fb_flush_adds(plan, i))
            return true;
    return false;
}

/* By the columns that are written, and how. */
static int compare_shapes(const struct fb_plan *a, const struct fb_plan *b) {
    if (fb_flush_makes_row(a) != fb_flush_makes_row(b))
        return fb_flush_makes_row(a) ? -1 : 1;
    if (a->replaces != b->replaces)
        return a->replaces ? -1 : 1;
    if (a->nassigns != b->nassigns)
        return a->nassigns < b->nassigns ? -1 : 1;
    for (unsigned i = 0; i < a->nassigns; i++) {
        if (a->assigns[i].column != b->assigns[i].column)
            return a->assigns[i].column < b->assigns[i].column ? -1 : 1;
        if (fb_flush_adds(a, i) != fb_flush_adds(b, i))
            return fb_flush_adds(a, i) ? 1 : -1;
    }
    return 0;
}

bool fb_flush_is_alike(const struct fb_flush_item *a, const struct fb_flush_item *b) {
    return a->binding == b->binding && compare_shapes(a->plan, b->plan) == 0;
}

static int compare_keys(const struct place *x, const struct place *y) {
    return fb_wanted_compare(x->mapping, x->item->plan->key, y->item->plan->key);
}

/* For deletes: children before their parents. */
static int by_table_last_first(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    return compare_keys(x, y);
}

static int by_table_and_shape(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    int order = compare_shapes(x->item->plan, y->item->plan);
    return order != 0 ? order : compare_keys(x, y);
}

/* ---- one row by itself, as the keyspace's own statements do it ---- */

static fb_status write_row(const struct fb_flush_db *db, struct fb_session *session, const struct fb_flush_item *item,
                           bool exists, struct fb_datum *row, fb_err *err) {
    const struct fb_mapping *m = db->rows->mapping(item->binding);
    struct fb_assign assigns[FB_COLUMNS_MAX];
    struct fb_plan plan = *item->plan;
    for (unsigned i = 0; i < plan.nassigns; i++) {
        assigns[i] = item->plan->assigns[i];
        if (!fb_flush_adds(item->plan, i))
            continue;
        struct fb_assign delta = assigns[i];
        struct fb_plan sum = {.op = FB_OP_ADD, .assigns = &delta, .nassigns = 1};
        char space[FB_DATUM_TEXT_MAX];
        if (delta.value.kind == FB_DATUM_REAL) /* fb_plan_add wants the digits */
            delta.value = fb_datum_bytes(FB_DATUM_NUMBER, fb_datum_text(&assigns[i].value, space));
        const struct fb_datum none = fb_datum_null();
        const struct fb_datum *now = exists ? &row[assigns[i].column] : &none;
        fb_status status = fb_plan_add(m, &sum, now, &assigns[i].value, err);
        if (status != FB_OK)
            return status;
        assigns[i].adds = false;
    }
    plan.op = plan.op == FB_OP_ADD ? FB_OP_HSET : plan.op;
    plan.assigns = assigns;
    const struct fb_store_item one = {.binding = item->binding, .key = item->key, .plan = &plan};
    return fb_group_is_idle(m, &plan, exists) ? FB_OK : db->rows->write(session, &one, exists, row, err);
}

fb_status fb_flush_one(const struct fb_flush_db *db, struct fb_session *session, const struct fb_flush_item *item,
                       fb_err *err) {
    struct fb_datum row[FB_COLUMNS_MAX];
    const struct fb_store_item one = {.binding = item->binding, .key = item->key, .plan = item->plan};
    fb_status status = db->rows->find(session, &one, row, err);
    bool exists = status == FB_OK;
    if (status < 0)
        return status;
    if (exists && (item->plan->op == FB_OP_DELETE || item->plan->recreates)) {
        struct fb_plan gone = *item->plan;
        gone.op = FB_OP_DELETE;
        const struct fb_store_item removal = {.binding = item->binding, .key = item->key, .plan = &gone};
        status = db->rows->remove(session, &removal, err);
        exists = false;
    }
    if (status < 0 || item->plan->op == FB_OP_DELETE || (!exists && !fb_flush_makes_row(item->plan)))
        return status < 0 ? status : FB_OK;
    for (unsigned i = 0; i < db->rows->mapping(item->binding)->ncolumns && !exists; i++)
        row[i] = fb_datum_null();
    return write_row(db, session, item, exists, row, err);
}

/* ---- a part of the flush ---- */

static bool write_batch(struct run *r, size_t n, bool removes) {
    const struct fb_flush_db *db = r->db;
    fb_status status;
    db->more_time(r->session);
    if (!db->is_table(r->batch[0]->binding))
        status = fb_flush_one(db, r->session, r->batch[0], r->err);
    else
        status = (removes ? db->remove : db->write)(r->session, r->batch, n, r->err);
    r->flush->nstatements++;
    if (status == FB_TIMEOUT && n >= SHRINKS_BY) /* it may have been too much for the time it has */
        r->flush->rows_per_statement = (unsigned)(n / SHRINKS_BY);
    return status == FB_OK || fail(r);
}

/* Write sorted[0 … n), in as few statements as may be. */
static bool write_sorted(struct run *r, size_t n, bool removes) {
    size_t most = r->flush->rows_per_statement;
    for (size_t first = 0, end; first < n; first = end) {
        const struct fb_flush_item *item = r->sorted[first].item;
        size_t room = r->db->is_table(item->binding) ? most : 1, count = 0;
        for (end = first; end < n && count < room; end++) {
            const struct fb_flush_item *next = r->sorted[end].item;
            if (removes ? next->binding != item->binding : !fb_flush_is_alike(item, next))
                break;
            r->batch[count++] = next;
        }
        if (!write_batch(r, count, removes))
            return false;
    }
    return true;
}

/* A keyspace with statements of its own removes and writes a row in one go. */
static bool is_removed(const struct run *r, const struct place *place) {
    const struct fb_plan *plan = place->item->plan;
    return plan->op == FB_OP_DELETE || (plan->recreates && r->db->is_table(place->item->binding));
}

static void take_place(struct run *r, size_t n, size_t place, bool is_turned) {
    r->sorted[n] = r->places[place];
    if (is_turned)
        r->sorted[n].rank = SIZE_MAX - r->sorted[n].rank;
}

/* Everything of places[first … end). */
static bool apply(struct run *r, size_t first, size_t end) {
    size_t n = 0;
    for (size_t i = first; i < end; i++)
        if (is_removed(r, &r->places[i]))
            take_place(r, n++, i, (r->order & REMOVES_TURNED) != 0);
    if (n > 1)
        qsort(r->sorted, n, sizeof *r->sorted, by_table_last_first);
    if (!write_sorted(r, n, /* removes */ true))
        return false;
    n = 0;
    for (size_t i = first; i < end; i++)
        if (r->places[i].item->plan->op != FB_OP_DELETE)
            take_place(r, n++, i, (r->order & WRITES_TURNED) != 0);
    if (n > 1)
        qsort(r->sorted, n, sizeof *r->sorted, by_table_and_shape);
    return write_sorted(r, n, /* removes */ false);
}

/* ---- carefully ---- */

static bool command(struct run *r, const char *text) {
    const struct fb_flush_sql sql = {.text = text};
    uint64_t changed;
    r->db->more_time(r->session);
    return r->db->run(r->session, &sql, NULL, 0, NULL, NULL, &changed, r->err) == FB_OK || fail(r);
}

static bool settle(struct run *r) {
    return r->db->settle == NULL || r->db->settle(r->session, r->err) == FB_OK || fail(r);
}

static void forget(struct fb_flush_item *item) {
    fb_value_unref(item->error);
    item->error = NULL;
    item->status = FB_OK;
}

static void refuse(struct run *r, size_t place) {
    struct fb_flush_item *item = r->places[place].item;
    forget(item);
    item->status = r->err->status;
    item->error = fb_value_new(FB_KIND_STRING, r->err->text, strlen(r->err->text));
    memcpy(r->codes[r->nrefused], r->code, sizeof r->code);
    r->refused[r->nrefused++] = place;
}

static bool has_tables(const struct run *r) {
    size_t i = 0;
    while (i < r->flush->n && r->places[i].rank == r->places[0].rank)
        i++;
    return i < r->flush->n;
}

/* All of it again with the tables in other orders: where children were deleted and made again before their parents, the
 * first order is wrong, and row by row none is right. *ret_done: it is written. False: the whole has failed. */
static bool try_orders(struct run *r, bool *ret_done) {
    *ret_done = false;
    for (unsigned order = 1; order < ORDERS && !*ret_done && has_tables(r); order++) {
        r->order = order;
        bool is_begun = command(r, "SAVEPOINT fb");
        *ret_done = is_begun && apply(r, 0, r->flush->n) && settle(r);
        r->order = 0;
        if (!is_begun || (!*ret_done && (r->class != FB_FLUSH_DATA || !command(r, "ROLLBACK TO SAVEPOINT fb"))) ||
            !command(r, "RELEASE SAVEPOINT fb"))
            return false;
    }
    return true;
}

/* places[first … end) under a savepoint; what the database refuses of them is noted. False: the whole has failed. */
static bool try_part(struct run *r, size_t first, size_t end) {
    if (!command(r, "SAVEPOINT fb"))
        return false;
    if (apply(r, first, end) && settle(r))
        return command(r, "RELEASE SAVEPOINT fb");
    if (r->class != FB_FLUSH_DATA)
        return false;
    const fb_err why = *r->err;
    char code[FB_FLUSH_CODE_MAX];
    memcpy(code, r->code, sizeof code);
    if (!command(r, "ROLLBACK TO SAVEPOINT fb") || !command(r, "RELEASE SAVEPOINT fb"))
        return false;
    if (end - first > 1) {
        size_t middle = first + (end - first) / 2;
        return try_part(r, first, middle) && try_part(r, middle, end);
    }
    *r->err = why;
    memcpy(r->code, code, sizeof code);
    refuse(r, first);
    return true;
}

static bool apply_carefully(struct run *r) {
    bool helps = true, is_done;
    if (!try_orders(r, &is_done) || (!is_done && !try_part(r, 0, r->flush->n)))
        return false;
    for (unsigned round = 0; round < MEND_ROUNDS_MAX && helps && r->nrefused > 0; round++) {
        size_t n = r->nrefused;
        r->nrefused = 0;
        for (size_t i = 0; i < n; i++) { /* what is refused again takes a place that has been read */
            size_t place = r->refused[i];
            forget(r->places[place].item);
            if (!try_part(r, place, place + 1))
                return false;
        }
        helps = r->nrefused < n;
    }
    return true;
}

/* ---- the transaction ---- */

/* What the watermark says when it is not where we thought. */
static enum fb_flush_outcome why_not(struct run *r) {
    struct fb_partition row;
    fb_status status = fb_partition_find(r->db, r->session, r->flush->part, &row, r->err);
    if (status < 0) {
        (void)fail(r);
        return r->class;
    }
    if (status == FB_NOTFOUND || row.epoch != r->flush->epoch) {
        (void)fb_fail(r->err, FB_UNMET, "partition '%s' has %s", r->flush->part,
                      status == FB_NOTFOUND ? "no row in fb_partition" : "another owner by now");
        return FB_FLUSH_FENCED;
    }
    r->flush->applied_seq = row.applied_seq;
    return row.applied_seq >= r->flush->next_seq ? FB_FLUSH_ALREADY : FB_FLUSH_ASTRAY;
}

/* APPLIED: it is moved. */
static enum fb_flush_outcome move_watermark(struct run *r) {
    static const struct fb_flush_sql sql = {
        .text = "UPDATE fb_partition SET applied_seq = ? WHERE part = ? AND epoch = ? AND applied_seq = ?"};
    const struct fb_flush *f = r->flush;
    const struct fb_datum params[] = {fb_datum_int((int64_t)f->next_seq),
                                      fb_datum_bytes(FB_DATUM_TEXT, FB_STR(f->part)), fb_datum_int((int64_t)f->epoch),
                                      fb_datum_int((int64_t)f->prev_seq)};
    uint64_t changed = 0;
    if (r->db->run(r->session, &sql, params, 4, NULL, NULL, &changed, r->err) != FB_OK) {
        (void)fail(r);
        return r->class;
    }
    return changed > 0 ? FB_FLUSH_APPLIED : why_not(r);
}

/* A text of the database's may have been cut in the middle of a character. */
void fb_flush_message(const struct fb_value *error, char ret_text[FB_ERR_TEXT_MAX]) {
    fb_bytes text = fb_value_bytes(error);
    size_t n = text.len < FB_ERR_TEXT_MAX ? text.len : FB_ERR_TEXT_MAX - 1;
    bool is_text = fb_utf8_is_text(fb_bytes_of(text.data, n));
    for (size_t i = 0; i < n; i++)
        ret_text[i] = is_text || (text.data[i] & 0x80) == 0 ? text.data[i] : '?';
    ret_text[n] = '\0';
}

fb_status fb_flush_bury(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                        const struct fb_flush_item *item, const char *code, fb_err *err) {
    static const struct fb_flush_sql sql = {
        .text = "INSERT INTO fb_dead (part, seq, keyspace, key_name, record, code, message) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)"};
    char message[FB_ERR_TEXT_MAX];
    const char *keyspace = db->rows->mapping(item->binding)->name;
    fb_flush_message(item->error, message);
    const struct fb_datum params[] = {
        fb_datum_bytes(FB_DATUM_TEXT, FB_STR(part)),          fb_datum_int((int64_t)item->seq),
        fb_datum_bytes(FB_DATUM_TEXT, FB_STR(keyspace)),      fb_datum_bytes(FB_DATUM_BLOB, item->key),
        fb_datum_bytes(FB_DATUM_BLOB, item->record),          fb_datum_bytes(FB_DATUM_TEXT, FB_STR(code)),
        fb_datum_bytes(FB_DATUM_TEXT, FB_STR(message)),
    };
    uint64_t changed;
    db->more_time(session);
    return db->run(session, &sql, params, sizeof params / sizeof params[0], NULL, NULL, &changed, err);
}

static bool bury_refused(struct run *r) {
    for (size_t i = 0; i < r->nrefused; i++) {
        const struct fb_flush_item *item = r->places[r->refused[i]].item;
        if (fb_flush_bury(r->db, r->session, r->flush->part, item, r->codes[i], r->err) == FB_OK)
            continue;
        (void)fail(r);
        if (r->class == FB_FLUSH_DATA) /* no row of the application's: fb_dead is not as we made it */
            r->class = FB_FLUSH_SCHEMA;
        return false;
    }
    return true;
}

static enum fb_flush_outcome take_back(struct run *r, enum fb_flush_outcome outcome) {
    (void)r->db->roll_back(r->session);
    return outcome;
}

static enum fb_flush_outcome finish(struct run *r) {
    r->db->more_time(r->session);
    switch (r->db->commit(r->session, r->err)) {
    case FB_TXN_DONE:
        return FB_FLUSH_APPLIED;
    case FB_TXN_UNKNOWN:
        return FB_FLUSH_UNKNOWN;
    default:
        (void)fail(r);
        return r->class;
    }
}

static enum fb_flush_outcome attempt(struct run *r, bool is_careful) {
    r->nrefused = r->flush->ndead = r->flush->nstatements = 0;
    r->db->more_time(r->session);
    if (fb_flush_start(r->db, r->session, r->err) != FB_OK) {
        (void)fail(r);
        return take_back(r, r->class);
    }
    enum fb_flush_outcome outcome = move_watermark(r);
    if (outcome != FB_FLUSH_APPLIED)
        return take_back(r, outcome);
    for (size_t i = 0; i < r->flush->n; i++)
        forget(&r->flush->items[i]);
    if (!(is_careful ? apply_carefully(r) : apply(r, 0, r->flush->n)))
        return take_back(r, r->class);
    r->flush->ndead = r->nrefused;
    if (r->nrefused > r->flush->dead_max) {
        char why[FB_ERR_TEXT_MAX];
        fb_flush_message(r->places[r->refused[0]].item->error, why);
        (void)fb_fail(r->err, FB_CONFLICT, "%zu of %zu rows were refused, more than flush_dead_max lets become letters; the "
                      "first: %s", r->nrefused, r->flush->n, why);
        return take_back(r, FB_FLUSH_DATA);
    }
    return bury_refused(r) ? finish(r) : take_back(r, r->class);
}

/* ---- a call ---- */

static bool make_room(struct run *r, size_t n) {
    n = n > 0 ? n : 1;
    r->places = fb_mem_calloc(n, sizeof *r->places);
    r->sorted = fb_mem_calloc(n, sizeof *r->sorted);
    r->batch = fb_mem_calloc(n, sizeof *r->batch);
    r->refused = fb_mem_calloc(n, sizeof *r->refused);
    r->codes = fb_mem_calloc(n, sizeof *r->codes);
    return r->places != NULL && r->sorted != NULL && r->batch != NULL && r->refused != NULL && r->codes != NULL;
}

static void free_room(struct run *r) {
    fb_mem_free(r->places);
    fb_mem_free(r->sorted);
    fb_mem_free(r->batch);
    fb_mem_free(r->refused);
    fb_mem_free(r->codes);
}

/* A table's rank is the first place of one of its items. There are few tables, and they come in runs. */
static void rank(struct run *r) {
    for (size_t i = 0; i < r->flush->n; i++) {
        struct fb_flush_item *item = &r->flush->items[i];
        r->places[i] = (struct place){item, r->db->rows->mapping(item->binding), i};
        for (size_t k = i; k-- > 0;)
            if (r->places[k].item->binding == item->binding) {
                r->places[i].rank = r->places[k].rank;
                break;
            }
    }
}

static enum fb_flush_outcome try_all(struct run *r) {
    bool is_careful = false, has_renewed = false;
    enum fb_flush_outcome outcome = FB_FLUSH_TRANSIENT;
    if (r->db->begin_call(r->session, r->err) != FB_OK) {
        (void)fail(r);
        return r->class;
    }
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        outcome = attempt(r, is_careful);
        if (outcome == FB_FLUSH_DATA && !is_careful)
            is_careful = true;
        else if (outcome != FB_FLUSH_APPLIED && outcome != FB_FLUSH_UNKNOWN && !has_renewed &&
                 r->db->is_outdated(r->session, r->err))
            has_renewed = true;
        else
            break;
        if (r->db->reconnect(r->session, r->err) != FB_OK)
            return FB_FLUSH_TRANSIENT;
        *r->err = (fb_err){FB_OK, ""};
    }
    return outcome;
}

enum fb_flush_outcome fb_flush_run(const struct fb_flush_db *db, struct fb_session *session, struct fb_flush *flush,
                                   fb_err *err) {
    struct run r = {.db = db, .session = session, .flush = flush, .err = err};
    enum fb_flush_outcome outcome = FB_FLUSH_TRANSIENT;
    if (flush->rows_per_statement == 0)
        flush->rows_per_statement = ROWS_PER_STATEMENT;
    if (flush->rows_per_statement > FB_FLUSH_ROWS_MAX)
        flush->rows_per_statement = FB_FLUSH_ROWS_MAX;
    *err = (fb_err){FB_OK, ""};
    if (make_room(&r, flush->n)) {
        rank(&r);
        outcome = try_all(&r);
    } else {
        (void)fb_fail(err, FB_NOMEM, "out of memory");
    }
    free_room(&r);
    return outcome;
}
