/* What the files of the PostgreSQL adapter share.
 *
 *     pg.c            the adapter's table; opening a database; what its errors mean
 *     pg_session.c    connections: deadlines, prepared statements, sending and receiving in pipelines
 *     pg_bind.c       binding a keyspace to the catalogue
 *     pg_review.c     everything that is to be said of a keyspace; the tables that there are
 *     pg_depend.c     what it depends on
 *     pg_types.c      columns and their values
 *     pg_sql.c        the text of statements
 *     pg_load.c       reading rows, many keys in one round trip
 *     pg_row.c        one row inside a transaction: finding, locking, writing
 *     pg_store.c      transactions: many writes of one row each in one of them
 *     pg_flush.c      write-behind: arrays of rows
 *
 * SQL injection is impossible by construction: statement text is made from names that the catalogue has quoted
 * (quote_ident) and from the configuration's own SQL; keys and values travel as parameters of prepared statements. */
#ifndef FB_SOURCE_PG_H
#define FB_SOURCE_PG_H

#include <libpq-fe.h>

#include "base/lock.h"
#include "rows/mapping.h"
#include "rows/plan.h"
#include "source/group.h"
#include "source/named.h"
#include "source/source.h"

enum {
    FB_PG_STATEMENTS_MAX = 64, /* prepared per session; the one not used for longest gives way */
    FB_PG_PARAMS_MAX = FB_COLUMNS_MAX + FB_PATTERN_PARAMS_MAX,
    FB_PG_READ_TIMEOUT_MS = 2000,
    FB_PG_WRITE_TIMEOUT_MS = 3000,
    FB_PG_GRACE_MS = 250, /* for the server to end a statement by itself before we hang up */
    FB_PG_TABLES_MAX = 16, /* of one keyspace */
};

struct fb_driver {
    char *url;           /* has the password: never to be printed */
    char *identity;      /* of the database, whatever names lead to it */
    fb_span read_timeout, write_timeout, added_latency;
    PGconn *catalogue;   /* for bind alone, which is never called from two threads */
    bool is_silent;      /* it was given up, since no answer came */
};

/* How the text of a column becomes a datum. */
enum fb_pg_form { FB_PG_TEXT, FB_PG_INT, FB_PG_REAL, FB_PG_NUMERIC, FB_PG_BOOL, FB_PG_BYTEA, FB_PG_TIMESTAMP };

struct fb_binding {
    struct fb_mapping mapping;
    const struct fb_driver *driver;
    bool is_table;
    char *table;                 /* quoted, with its schema */
    char **quoted;               /* the columns' names, quoted */
    char **types;                /* and their types, as the catalogue writes them in SQL; NULL for explicit SQL */
    char **defaults;             /* their default expressions, "NULL" where there is none */
    enum fb_pg_form *forms;
    bool *is_composed;           /* arrays and rows: read as JSON */
    bool key_is_int[FB_PATTERN_PARAMS_MAX]; /* of the parameters: goes into int8[], else into text[] */
    int key_columns[FB_PATTERN_PARAMS_MAX]; /* of the parameters, in their order */
    struct fb_named_sql load, del, store; /* one key; store: explicit SQL only */
    char *lock, *try_lock;       /* load, with the row locked; or left out where somebody else has locked it */
    char *load_many;             /* tables only: arrays of keys */
    char *update;                /* of all columns, to be shown */
    char *tables[FB_PG_TABLES_MAX]; /* it reads or writes, by their oid as text */
    bool is_written[FB_PG_TABLES_MAX]; /* by its own statements, not by their triggers */
    unsigned ntables;
};

struct fb_pg_cached {
    char *text;
    uint64_t hash, used;
    char name[24];
    bool is_prepared;
};

struct fb_session {
    struct fb_driver *driver;
    bool is_writer;
    PGconn *db;              /* NULL: not connected */
    bool is_fresh;           /* connected by this very call */
    struct fb_lock lock;     /* covers what another thread may touch: */
    PGcancel *canceller;
    bool is_cancelled;       /* since the last call began */
    bool may_be_struck;      /* a cancellation was sent, and is on its way yet */
    fb_instant deadline;     /* of the call under way */
    int64_t timeout_ms;
    struct fb_pg_cached cached[FB_PG_STATEMENTS_MAX];
    unsigned ncached;
    uint64_t uses, names;
    PGresult *held;          /* what the row found last borrows from */
    fb_buf text;             /* statement text under construction */
    fb_buf keys;             /* arrays of keys under construction */
    fb_buf decoded;          /* the bytes of a row that are not in the result as they are */
    fb_buf params;           /* texts of parameters */
    fb_buf rendered;
};

/* One parameter: text, or bytes in the server's binary form. */
struct fb_pg_params {
    const char *values[FB_PG_PARAMS_MAX];
    int lengths[FB_PG_PARAMS_MAX], formats[FB_PG_PARAMS_MAX];
    int n;
};

/* ---- pg.c ---- */

/* A result (or, if NULL, the connection's state) as a status, with the SQLSTATE and the server's message. */
fb_status fb_pg_fail(const struct fb_session *session, const PGresult *result, fb_err *err);

/* A connection for the catalogue again, if the last one was lost. FB_OK or FB_DOWN. */
fb_status fb_pg_catalogue(struct fb_driver *driver, fb_err *err);

/* What a failure of the catalogue's is: FB_DOWN or FB_TIMEOUT where the server is away, slow or locked, else FB_CONFIG. */
fb_status fb_pg_catalogue_status(const struct fb_driver *driver, const PGresult *result);
const char *fb_pg_catalogue_message(const struct fb_driver *driver);

/* ---- pg_session.c ---- */

fb_status fb_pg_session_open(struct fb_driver *driver, bool is_writer, struct fb_session **ret_session, fb_err *reterr);
void fb_pg_session_close(struct fb_session *session);
/* Connect with a deadline; the connection is in pipeline mode afterwards if asked. */
fb_status fb_pg_connect(const struct fb_driver *driver, fb_instant deadline, PGconn **ret_db, fb_err *err);
/* The last answer to what was sent to the catalogue's connection (a PQsend… says whether it was); and, of a text without
 * parameters, all of that. NULL or a failure when it does not come in time: the connection is lost then. */
PGresult *fb_pg_catalogue_answer(struct fb_driver *driver, int is_sent);
PGresult *fb_pg_catalogue_exec(struct fb_driver *driver, const char *text);
/* Begin a call: its deadline, and a connection. FB_OK or FB_DOWN. */
fb_status fb_pg_begin_call(struct fb_session *session, fb_err *err);
/* The time of the call anew, for one more round trip. */
void fb_pg_more_time(struct fb_session *session);
/* A connection again, within the same call. */
fb_status fb_pg_reconnect(struct fb_session *session, fb_err *err);
/* Give the connection up; the next call makes a new one. */
void fb_pg_hang_up(struct fb_session *session);

/* A statement on its way. */
struct fb_pg_sent {
    uint64_t hash;    /* of its text */
    unsigned nbefore; /* answers that come before its own: to closing another, to preparing it */
};

void fb_pg_cancel(struct fb_session *session);
/* PQcancel, but for a second at most. LEFT: it goes on, may strike at any time, and *canceller is no longer the caller's. */
enum fb_pg_cancelled { FB_PG_STRUCK, FB_PG_MISSED, FB_PG_LEFT };
enum fb_pg_cancelled fb_pg_strike(PGcancel **canceller);

/* Queue a statement (prepared when it is new to this connection); NULL: no parameters. False: out of memory or no
 * connection. */
bool fb_pg_send(struct fb_session *session, const char *text, const struct fb_pg_params *params,
                struct fb_pg_sent *ret_sent);
/* End of what fails together; then hand everything to the kernel. */
bool fb_pg_sync(struct fb_session *session);
/* The next answer in the order of sending. FB_OK: *ret_result is the caller's to clear. After an error every further
 * statement up to the sync has not been run and answers FB_SOURCE; receive them all the same. */
fb_status fb_pg_receive(struct fb_session *session, const struct fb_pg_sent *sent, PGresult **ret_result, fb_err *err);
/* One statement in a round trip of its own. */
fb_status fb_pg_run(struct fb_session *session, const char *text, const struct fb_pg_params *params,
                    PGresult **ret_result, fb_err *err);
/* The answer to the sync. */
fb_status fb_pg_receive_sync(struct fb_session *session, fb_err *err);
/* Has the connection been lost, or given up? */
bool fb_pg_is_lost(const struct fb_session *session);

/* ---- pg_types.c ---- */

enum fb_class fb_pg_class(Oid type, char category, enum fb_pg_form *ret_form, bool *ret_composed);
/* May a column of this type hold (part of) a key? *ret_param is the type of the pattern's parameter that it demands. */
bool fb_pg_is_key_type(Oid type, enum fb_param_type *ret_param);
/* Is a text of this type shown otherwise than it was given? */
bool fb_pg_is_rewritten(Oid type);
/* One value of a column in this form; decoded bytes go to session->decoded, which has room. False: not in this form. */
bool fb_pg_decode(struct fb_session *session, enum fb_pg_form form, fb_bytes text, struct fb_datum *ret_datum);
/* One row of a result. Borrows from the result and the session; FB_NOMEM, FB_SOURCE. */
fb_status fb_pg_row(struct fb_session *session, const struct fb_binding *binding, const PGresult *result, int row,
                    struct fb_datum *ret_row, fb_err *err);
/* A row of the key's columns alone, in the order of the parameters. */
fb_status fb_pg_key_row(struct fb_session *session, const struct fb_binding *binding, const PGresult *result, int row,
                        struct fb_datum *ret_row, fb_err *err);
/* Parameters of one statement: begin with the data they will be made of (for the memory), then append each. What they
 * point to lives until the next begin; libpq has copied it when fb_pg_send returns. FB_BADVALUE: text with NUL. */
fb_status fb_pg_params_begin(struct fb_session *session, struct fb_pg_params *params, size_t bytes, fb_err *err);
fb_status fb_pg_param(struct fb_session *session, struct fb_pg_params *params, const struct fb_datum *datum,
                      fb_err *err);
/* The bytes fb_pg_param needs for a datum. */
size_t fb_pg_param_size(const struct fb_datum *datum);

/* ---- pg_bind.c ---- */

fb_status fb_pg_bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options,
                              struct fb_binding **ret_binding, char **ret_pattern, fb_err *reterr);
void fb_pg_unbind(struct fb_binding *binding);
const char *fb_pg_shared_table(const struct fb_binding *a, const struct fb_binding *b);
bool fb_pg_writes(const struct fb_binding *writer, const struct fb_binding *reader, unsigned depend);
const char *fb_pg_statement_text(const struct fb_binding *binding, fb_op_kind kind);

/* ---- pg_review.c ---- */

fb_status fb_pg_review(struct fb_driver *driver, const fb_keyspace_options *options,
                       const struct fb_binding *const *others, size_t nothers, fb_remark remark, void *user,
                       fb_err *reterr);
fb_status fb_pg_tables(struct fb_driver *driver, fb_source_visit visit, void *user, fb_err *reterr);

/* ---- pg_sql.c: text is appended to `out`, which ends with NUL when FB_OK is returned ---- */

/* `locking` ends the text: "", " FOR UPDATE", … */
fb_status fb_pg_load_text(const struct fb_binding *binding, const char *locking, fb_buf *out);
fb_status fb_pg_load_many_text(const struct fb_binding *binding, fb_buf *out);
/* Parameter: how many. */
fb_status fb_pg_list_text(const struct fb_binding *binding, fb_buf *out);
fb_status fb_pg_delete_text(const struct fb_binding *binding, fb_buf *out);
/* Parameters: the assigned values in their order, then the key's. ADD returns the column. */
fb_status fb_pg_update_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out);
/* Parameters: the key's values, then the assigned ones. */
fb_status fb_pg_insert_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out);
/* Many rows, given as an array for each of the key's columns, then for each assigned one. The first is for items that are
 * alike: update those that there are, make the others (HDEL: do not), and answer how many it was. */
fb_status fb_pg_flush_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out);
fb_status fb_pg_remove_text(const struct fb_binding *binding, fb_buf *out);

/* ---- pg_load.c ---- */

fb_status fb_pg_render(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
                       struct fb_value **ret_value, fb_err *err);
/* The list of a key whose rows these are, rendered: a new reference. */
fb_status fb_pg_make_list(struct fb_session *session, const struct fb_binding *binding, const PGresult *result,
                          const struct fb_datum *key, struct fb_value **ret_value, fb_err *err);
void fb_pg_load(struct fb_session *session, struct fb_load_item *items, size_t n);
fb_status fb_pg_list(struct fb_session *session, const struct fb_binding *binding, size_t limit, fb_buf *ret_keys,
                     fb_err *err);

/* ---- pg_row.c: one row inside a transaction; what is sent can travel with more of its kind ---- */

enum fb_pg_find { FB_PG_READ, FB_PG_LOCK, FB_PG_TRY_LOCK };

fb_status fb_pg_send_find(struct fb_session *session, const struct fb_store_item *item, enum fb_pg_find how,
                          struct fb_pg_sent *ret_sent, fb_err *err);
/* FB_OK: the row is valid until the next one is taken. FB_NOTFOUND. */
fb_status fb_pg_take_find(struct fb_session *session, const struct fb_store_item *item, const struct fb_pg_sent *sent,
                          struct fb_datum *ret_row, fb_err *err);
/* The write of an item whose row is known: what the plan's operation makes of it. */
fb_status fb_pg_send_write(struct fb_session *session, struct fb_store_item *item, bool exists, struct fb_datum *row,
                           struct fb_pg_sent *ret_sent, fb_err *err);
/* FB_OK, and the new number of an ADD in the item. */
fb_status fb_pg_take_write(struct fb_session *session, struct fb_store_item *item, const struct fb_pg_sent *sent,
                           fb_err *err);
extern const struct fb_group_ops fb_pg_group_ops;

/* ---- pg_store.c ---- */

/* End the session's transaction. FB_TXN_FAILED or FB_TXN_LOST. */
enum fb_txn_end fb_pg_roll_back(struct fb_session *session);
enum fb_txn_end fb_pg_commit(struct fb_session *session, fb_err *err);
void fb_pg_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n);

#endif
