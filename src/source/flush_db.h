/* What a database gives so that write-behind works there: transactions, statements of ours, and many rows written at
 * once. What a flush, a partition and a dead letter are is the same everywhere: flush.c and partition.c.
 *
 * Texts of ours have ? for their parameters. */
#ifndef FB_SOURCE_FLUSH_DB_H
#define FB_SOURCE_FLUSH_DB_H

#include "source/flush.h"
#include "source/group.h"

enum { FB_FLUSH_CODE_MAX = 16, FB_FLUSH_CELLS_MAX = 10 };

/* One row of an answer as texts (bytes of a binary column as they are; NULL has no data); borrowed for the call. */
typedef void fb_flush_take(void *user, const fb_bytes *cells);

/* A statement of ours. */
struct fb_flush_sql {
    const char *text;
    const char *columns; /* of its answer: i integer, t text, b bytes; NULL: it has none */
};

struct fb_flush_db {
    const char *const *schema;
    const char *shown_at;           /* fb_dead.died_at as text, in UTC */
    const struct fb_group_ops *rows; /* one row at a time, for keyspaces with statements of their own */
    bool (*is_table)(const struct fb_binding *binding);

    /* Begin a call: its time, and a connection. */
    fb_status (*begin_call)(struct fb_session *session, fb_err *err);
    /* A connection again within it. FB_TIMEOUT when the call was given up. */
    fb_status (*reconnect)(struct fb_session *session, fb_err *err);
    /* The time of a round trip anew. */
    void (*more_time)(struct fb_session *session);
    /* Is the connection older than this call? Then it may have died while nobody used it. */
    bool (*may_be_stale)(const struct fb_session *session);

    fb_status (*begin)(struct fb_session *session, fb_err *err);
    enum fb_txn_end (*commit)(struct fb_session *session, fb_err *err);
    enum fb_txn_end (*roll_back)(struct fb_session *session); /* FAILED, or LOST */
    /* Find out now what would only be found at COMMIT (deferred constraints). NULL where nothing is. */
    fb_status (*settle)(struct fb_session *session, fb_err *err);

    fb_status (*run)(struct fb_session *session, const struct fb_flush_sql *sql, const struct fb_datum *params,
                     unsigned nparams, fb_flush_take *take, void *user, uint64_t *ret_changed, fb_err *err);
    /* Rows of one table: delete those of the items' keys; or write the items, which are alike (fb_flush_is_alike). An
     * error that concerns the rows is said of all of them: some may be written. */
    fb_status (*remove)(struct fb_session *session, const struct fb_flush_item *const *items, size_t n, fb_err *err);
    fb_status (*write)(struct fb_session *session, const struct fb_flush_item *const *items, size_t n, fb_err *err);

    /* The class of what has just failed (TRANSIENT, DATA, SCHEMA or PERMISSION), and the database's own code for it. */
    enum fb_flush_outcome (*classify)(const struct fb_session *session, const fb_err *err,
                                      char code[FB_FLUSH_CODE_MAX]);
    /* Has it failed for something that is over with the failure, such as a statement prepared before the table was
     * altered? */
    bool (*is_outdated)(const struct fb_session *session, const fb_err *err);
};

/* ---- flush.c ---- */

enum fb_flush_outcome fb_flush_run(const struct fb_flush_db *db, struct fb_session *session, struct fb_flush *flush,
                                   fb_err *err);
/* Write one item, as a flush does, inside a transaction that has begun. */
fb_status fb_flush_one(const struct fb_flush_db *db, struct fb_session *session, const struct fb_flush_item *item,
                       fb_err *err);
/* The message of a refusal as a text that every database takes. */
void fb_flush_message(const struct fb_value *error, char ret_text[FB_ERR_TEXT_MAX]);
/* A letter, inside a transaction that has begun. */
fb_status fb_flush_bury(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                        const struct fb_flush_item *item, const char *code, fb_err *err);

static inline bool fb_flush_adds(const struct fb_plan *plan, unsigned assign) {
    return plan->op == FB_OP_ADD || plan->assigns[assign].adds;
}
bool fb_flush_has_addend(const struct fb_plan *plan);
/* Does it make a row where there is none? */
static inline bool fb_flush_makes_row(const struct fb_plan *plan) { return plan->op != FB_OP_HDEL; }
/* The same columns of the same table, in the same way? */
bool fb_flush_is_alike(const struct fb_flush_item *a, const struct fb_flush_item *b);
/* What a status means where the database has said nothing more exact. */
enum fb_flush_outcome fb_flush_class_of(fb_status status);

/* ---- partition.c ---- */

/* Begin a transaction, with another connection when the one we have died while nobody used it. */
fb_status fb_flush_start(const struct fb_flush_db *db, struct fb_session *session, fb_err *err);
/* A transaction of a call of its own: what begins it, and what ends it, with COMMIT if all went well. */
fb_status fb_flush_begin(const struct fb_flush_db *db, struct fb_session *session, fb_err *err);
fb_status fb_flush_end(const struct fb_flush_db *db, struct fb_session *session, fb_status status, fb_err *err);
/* A cell of an integer column. */
uint64_t fb_flush_number(fb_bytes cell);

enum fb_claim fb_partition_claim(const struct fb_flush_db *db, struct fb_session *session,
                                 const struct fb_claimant *claimant, struct fb_partition *ret, fb_err *err);
/* The row inside a transaction that has begun; FB_NOTFOUND. */
fb_status fb_partition_find(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                            struct fb_partition *ret, fb_err *err);
fb_status fb_partition_read(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                            struct fb_partition *ret, fb_err *err);
fb_status fb_partition_clean(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                             uint64_t epoch, uint64_t applied_seq, fb_err *err);
fb_status fb_partition_take_over(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                                 struct fb_partition *ret, fb_err *err);

/* ---- dead.c ---- */

fb_status fb_dead_list(const struct fb_flush_db *db, struct fb_session *session, const char *part, uint64_t after,
                       size_t limit, fb_dead_visit visit, void *user, fb_err *err);
fb_status fb_dead_get(const struct fb_flush_db *db, struct fb_session *session, uint64_t id, fb_dead_visit visit,
                      void *user, fb_err *err);
fb_status fb_dead_drop(const struct fb_flush_db *db, struct fb_session *session, uint64_t id, fb_err *err);
fb_status fb_dead_retry(const struct fb_flush_db *db, struct fb_session *session, const char *part, uint64_t epoch,
                        uint64_t id, struct fb_flush_item *item, fb_err *err);
fb_status fb_dead_add(const struct fb_flush_db *db, struct fb_session *session, const char *part,
                      const struct fb_flush_item *items, size_t n, fb_err *err);

/* An adapter's table of functions, all of them the common ones at its database. */
#define FB_FLUSH_OPS(name, db, statements)                                                                             \
    static enum fb_flush_outcome flush_(struct fb_session *s, struct fb_flush *f, fb_err *e) {                         \
        return fb_flush_run(&(db), s, f, e);                                                                           \
    }                                                                                                                  \
    static enum fb_claim claim_(struct fb_session *s, const struct fb_claimant *c, struct fb_partition *r, fb_err *e) {\
        return fb_partition_claim(&(db), s, c, r, e);                                                                  \
    }                                                                                                                  \
    static fb_status read_(struct fb_session *s, const char *p, struct fb_partition *r, fb_err *e) {                   \
        return fb_partition_read(&(db), s, p, r, e);                                                                   \
    }                                                                                                                  \
    static fb_status clean_(struct fb_session *s, const char *p, uint64_t epoch, uint64_t seq, fb_err *e) {            \
        return fb_partition_clean(&(db), s, p, epoch, seq, e);                                                         \
    }                                                                                                                  \
    static fb_status take_over_(struct fb_session *s, const char *p, struct fb_partition *r, fb_err *e) {              \
        return fb_partition_take_over(&(db), s, p, r, e);                                                              \
    }                                                                                                                  \
    static fb_status list_(struct fb_session *s, const char *p, uint64_t after, size_t limit, fb_dead_visit v,         \
                           void *u, fb_err *e) {                                                                       \
        return fb_dead_list(&(db), s, p, after, limit, v, u, e);                                                       \
    }                                                                                                                  \
    static fb_status get_(struct fb_session *s, uint64_t id, fb_dead_visit v, void *u, fb_err *e) {                    \
        return fb_dead_get(&(db), s, id, v, u, e);                                                                     \
    }                                                                                                                  \
    static fb_status drop_(struct fb_session *s, uint64_t id, fb_err *e) { return fb_dead_drop(&(db), s, id, e); }     \
    static fb_status retry_(struct fb_session *s, const char *p, uint64_t epoch, uint64_t id,                          \
                            struct fb_flush_item *i, fb_err *e) {                                                      \
        return fb_dead_retry(&(db), s, p, epoch, id, i, e);                                                            \
    }                                                                                                                  \
    static fb_status add_(struct fb_session *s, const char *p, const struct fb_flush_item *i, size_t n, fb_err *e) {   \
        return fb_dead_add(&(db), s, p, i, n, e);                                                                      \
    }                                                                                                                  \
    const struct fb_flush_ops name = {                                                                                 \
        .schema = statements, .flush = flush_, .claim = claim_, .read = read_, .clean = clean_,                        \
        .take_over = take_over_,                                                                                       \
        .dead_list = list_, .dead_get = get_, .dead_drop = drop_, .dead_retry = retry_, .dead_add = add_,              \
    }

#endif
