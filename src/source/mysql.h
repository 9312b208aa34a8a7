/* What the files of the MariaDB and MySQL adapter share.
 *
 *     mysql.c             the adapter's table; opening a database; what its errors mean
 *     mysql_url.c         the URL
 *     mysql_session.c     connections: deadlines, and giving a call up
 *     mysql_run.c         prepared statements: parameters, rows, many executions in one round trip
 *     mysql_types.c       columns and their values
 *     mysql_bind.c        binding a keyspace
 *     mysql_catalogue.c   … a table, against the catalogue
 *     mysql_depend.c      … what it depends on
 *     mysql_review.c      … everything that is to be said of one; the tables that there are
 *     mysql_statements.c  … statements of the configuration's own
 *     mysql_sql.c         the text of statements
 *     mysql_load.c        reading rows, many keys in one statement
 *     mysql_row.c         one row inside a transaction: finding, locking, writing; many writes in one round trip
 *     mysql_store.c       transactions: many writes of one row each in one of them
 *     mysql_flush.c       write-behind: rows that are there, and those that are not
 *
 * SQL injection is impossible by construction: statement text is made from names of the catalogue, quoted, and from the
 * configuration's own SQL; keys and values travel as parameters of prepared statements. */
#ifndef FB_SOURCE_MYSQL_H
#define FB_SOURCE_MYSQL_H

#include <mysql.h>

#include "rows/mapping.h"
#include "rows/plan.h"
#include "source/group.h"
#include "source/named.h"
#include "source/source.h"

enum {
    FB_MYSQL_STATEMENTS_MAX = 128, /* prepared per session; the one not used for longest gives way */
    FB_MYSQL_SHAPES = 9,           /* statements for 1, 2, 4 … 256 keys; what is asked for is padded to the next */
    FB_MYSQL_KEYS_MAX = 1 << (FB_MYSQL_SHAPES - 1), /* of one statement */
    FB_MYSQL_READ_TIMEOUT_MS = 2000,
    FB_MYSQL_WRITE_TIMEOUT_MS = 3000,
    FB_MYSQL_GRACE_MS = 250, /* for the server to end a statement by itself before we hang up */
    FB_MYSQL_TABLES_MAX = 16, /* of one keyspace */
};

/* Where and as whom. All texts are the driver's own. */
struct fb_mysql_address {
    char *host, *user, *password, *database, *socket; /* NULL: the library's default */
    unsigned port;
    bool uses_tls, verifies;
    char *tls_ca, *tls_cert, *tls_key, *tls_crl;
};

struct fb_driver {
    struct fb_mysql_address address; /* has the password: never to be printed */
    char *identity;          /* of the server, whatever names lead to it */
    fb_span read_timeout, write_timeout, added_latency;
    struct fb_session *catalogue; /* for bind alone, which is never called from two threads */
    _Atomic size_t packet_max; /* as the last connection has found it; 0: not known */
};

/* How a column's value becomes a datum. */
enum fb_mysql_form {
    FB_MYSQL_INT, FB_MYSQL_UINT, FB_MYSQL_FLOAT, FB_MYSQL_DOUBLE, FB_MYSQL_DECIMAL, FB_MYSQL_BIT, FB_MYSQL_TEXT,
    FB_MYSQL_BLOB, FB_MYSQL_DATE, FB_MYSQL_DATETIME, FB_MYSQL_TIMESTAMP, FB_MYSQL_TIME,
};

struct fb_mysql_type {
    enum fb_mysql_form form;
    unsigned char decimals; /* of the seconds */
    bool is_json;
};

struct fb_binding {
    struct fb_mapping mapping;
    const struct fb_driver *driver;
    bool is_table;
    char *table;                 /* quoted, with its database */
    char **quoted;               /* the columns' names, quoted; NULL for explicit SQL */
    struct fb_mysql_type *types;
    int key_columns[FB_PATTERN_PARAMS_MAX]; /* of the parameters, in their order */
    struct fb_named_sql load, del, store;   /* one key; store: explicit SQL only */
    char *lock;                  /* tables only: as load, with the row locked */
    char *load_many[FB_MYSQL_SHAPES], *try_lock_many[FB_MYSQL_SHAPES]; /* what others have locked is left out */
    char *list;                  /* the keys there are; its parameter is how many */
    char *update;                /* of all columns, to be shown; NULL: nothing can be written */
    bool is_loose;               /* the database finds rows of other keys with a key's (bob, Bob) */
    char *tables[FB_MYSQL_TABLES_MAX]; /* it reads or writes: "database.table" */
    bool is_written[FB_MYSQL_TABLES_MAX]; /* by its own statements, not by their triggers */
    unsigned ntables;
};

/* A prepared statement of a session, with the places its rows arrive in. */
struct fb_mysql_statement {
    char *text;
    uint64_t hash, used;
    MYSQL_STMT *handle; /* NULL: not prepared at this connection */
    MYSQL_BIND *results;
    struct fb_mysql_cell *cells;
    struct fb_mysql_type *types; /* as the last execution has told them */
    unsigned ncells;
};

/* CATALOGUE: reads, and prepares what it never executes. */
enum fb_mysql_role { FB_MYSQL_READER, FB_MYSQL_WRITER, FB_MYSQL_CATALOGUE };

struct fb_session {
    struct fb_driver *driver;
    enum fb_mysql_role role;
    MYSQL *db;               /* NULL: not connected */
    size_t packet_max;       /* bytes that the server takes at once; it hangs up over more */
    bool is_mariadb;         /* as the server says that it is; a proxy may lead to one or the other */
    bool is_fresh;           /* connected by this very call */
    bool is_broken;          /* the connection has failed, and is hung up with the next call */
    unsigned number_failed;  /* the last error's number */
    bool is_late;            /* the deadline of this call has passed while waiting */
    _Atomic bool is_cancelled; /* somebody gave a call up: what still arrives must not hit the next one */
    _Atomic unsigned long number; /* of the connection, for who wants to give a call up; 0: none */
    unsigned long left_behind; /* a connection of ours that may still be at its last statement; 0: none */
    fb_instant deadline;     /* of the call under way */
    int64_t timeout_ms;
    struct fb_mysql_statement cached[FB_MYSQL_STATEMENTS_MAX];
    unsigned ncached;
    uint64_t uses;
    MYSQL_BIND *params;      /* of the next execution: room for params_room of them */
    unsigned long *lengths;
    unsigned nparams, params_room;
    fb_buf text;             /* statement text under construction */
    fb_buf kept;             /* the bytes of a row that must outlive its statement */
    fb_buf rendered;
};

/* ---- mysql.c ---- */

/* What the server or the library said of the last call, as a status with its text. `statement` may be NULL. */
fb_status fb_mysql_fail(struct fb_session *session, MYSQL_STMT *statement, fb_err *err);
/* Is this error a key that the column's character set cannot hold? Then no row has it. */
bool fb_mysql_is_foreign_text(unsigned number);

/* ---- mysql_url.c ---- */

fb_status fb_mysql_parse_url(const char *url, struct fb_mysql_address *ret_address, fb_err *err);
void fb_mysql_free_address(struct fb_mysql_address *address);

/* ---- mysql_session.c ---- */

fb_status fb_mysql_session_new(struct fb_driver *driver, enum fb_mysql_role role, struct fb_session **ret_session,
                               fb_err *reterr);
void fb_mysql_session_free(struct fb_session *session);
/* Begin a call: its deadline, and a connection. FB_OK or FB_DOWN. */
fb_status fb_mysql_begin_call(struct fb_session *session, fb_err *err);
/* One more round trip of it, with a time of its own. */
fb_status fb_mysql_begin_trip(struct fb_session *session, fb_err *err);
/* The time of the call anew, for one more round trip. */
void fb_mysql_more_time(struct fb_session *session);
/* A connection again, within the same time. FB_TIMEOUT when the call was given up. */
fb_status fb_mysql_reconnect(struct fb_session *session, fb_err *err);
/* Give the connection up; the next call makes a new one. */
void fb_mysql_hang_up(struct fb_session *session);
/* Has the connection been lost, or given up? */
bool fb_mysql_is_lost(const struct fb_session *session);
void fb_mysql_cancel(struct fb_session *session);
/* For libmariadb's functions that come as _start and _cont: wait for what one wants, but not beyond the deadline. */
int fb_mysql_wait(struct fb_session *session, MYSQL *db, int wanted);
#define FB_MYSQL_AWAIT(session, db, function, ret, ...)                                                                \
    do {                                                                                                               \
        for (int events_ = function##_start(ret, __VA_ARGS__); events_ != 0;)                                          \
            events_ = function##_cont(ret, FB_MYSQL_FIRST_(__VA_ARGS__, 0), fb_mysql_wait(session, db, events_));      \
    } while (0)
#define FB_MYSQL_FIRST_(first, ...) first

/* ---- mysql_run.c ---- */

/* A statement without parameters or rows, such as COMMIT. */
fb_status fb_mysql_command(struct fb_session *session, const char *text, fb_err *err);
/* Parameters: say how many, then give each; what they point to must live until the statement has run. */
fb_status fb_mysql_params_begin(struct fb_session *session, size_t n, fb_err *err);
void fb_mysql_param(struct fb_session *session, const struct fb_datum *datum);
/* The same, a decimal number staying one. */
void fb_mysql_param_number(struct fb_session *session, const struct fb_datum *datum);
void fb_mysql_finish_statement(struct fb_mysql_statement *statement);
/* The session's prepared statement of this text. */
fb_status fb_mysql_prepare(struct fb_session *session, const char *text, struct fb_mysql_statement **ret_statement,
                           fb_err *err);
/* Run it with the session's parameters. Rows are here afterwards; release when done. `types` are those the columns had
 * when they were bound; ncolumns 0: it has no rows. The mapping tells which columns hold a key; NULL: all. */
fb_status fb_mysql_execute(struct fb_session *session, const char *text, const struct fb_mapping *m,
                           const struct fb_mysql_type *types, unsigned ncolumns,
                           struct fb_mysql_statement **ret_statement, fb_err *err);
/* Its next row, valid until the one after it. FB_NOTFOUND: there are no more. FB_BADVALUE: a value of this row cannot be
 * told (err says FB_SOURCE); the others, such as the key, are there. */
fb_status fb_mysql_next(struct fb_session *session, struct fb_mysql_statement *statement, const struct fb_mapping *m,
                        struct fb_datum *ret_row, fb_err *err);
uint64_t fb_mysql_nrows(const struct fb_mysql_statement *statement);
void fb_mysql_release(struct fb_mysql_statement *statement);
/* Run a statement that has no rows; *ret_found: rows it wrote, or found to be as they should. */
fb_status fb_mysql_run(struct fb_session *session, const char *text, uint64_t *ret_found, fb_err *err);
/* Run it n times in one round trip. The values of one parameter follow one another, and are all of one kind or NULL. */
struct fb_mysql_many {
    size_t n;
    const struct fb_datum *(*value)(const void *user, size_t row, unsigned param);
    bool (*is_number)(const void *user, unsigned param); /* a decimal number stays one */
    const void *user;
};
bool fb_mysql_takes_many(struct fb_session *session);
fb_status fb_mysql_run_many(struct fb_session *session, const char *text, const struct fb_mysql_many *many,
                            uint64_t *ret_found, fb_err *err);

/* ---- mysql_types.c ---- */

enum fb_class fb_mysql_class(const MYSQL_FIELD *field, struct fb_mysql_type *ret_type);

/* Where a value of a row arrives. */
struct fb_mysql_cell {
    union {
        long long i;
        double r;
        float f;
        MYSQL_TIME t;
    };
    unsigned long len;
    my_bool is_null, is_cut;
    fb_buf bytes;
    char space[48]; /* for the longest date that the fields of MYSQL_TIME could make, whatever the server sends */
};
void fb_mysql_cell_bind(struct fb_mysql_cell *cell, const struct fb_mysql_type *type, MYSQL_BIND *bind);
/* The cell as a datum that borrows from it. False: a date that is none (and NULL in its place). */
bool fb_mysql_cell_read(struct fb_mysql_cell *cell, const struct fb_mysql_type *type, struct fb_datum *ret_datum);
static inline bool fb_mysql_is_bytes(enum fb_mysql_form form) {
    return form == FB_MYSQL_DECIMAL || form == FB_MYSQL_BIT || form == FB_MYSQL_TEXT || form == FB_MYSQL_BLOB;
}
/* Bring a date that a client sent, or that we have shown, into the form the server reads (no zone), in the bytes it is in,
 * which must be ours. False: it is no text at all. */
bool fb_mysql_time_value(const struct fb_mysql_type *type, struct fb_datum *datum);

/* ---- mysql_bind.c ---- */

fb_status fb_mysql_bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options,
                                 struct fb_binding **ret_binding, char **ret_pattern, fb_err *reterr);
void fb_mysql_unbind(struct fb_binding *binding);
bool fb_mysql_writes(const struct fb_binding *writer, const struct fb_binding *reader, unsigned depend);
const char *fb_mysql_shared_table(const struct fb_binding *a, const struct fb_binding *b);
const char *fb_mysql_statement_text(const struct fb_binding *binding, fb_op_kind kind);

/* ---- mysql_review.c ---- */

fb_status fb_mysql_review(struct fb_driver *driver, const fb_keyspace_options *options,
                          const struct fb_binding *const *others, size_t nothers, fb_remark remark, void *user,
                          fb_err *reterr);
fb_status fb_mysql_tables(struct fb_driver *driver, fb_source_visit visit, void *user, fb_err *reterr);

/* ---- mysql_sql.c: text is appended to `out`, which ends with NUL when FB_OK is returned ---- */

/* Quote a name of the catalogue. fb_mem_free; NULL when out of memory. */
char *fb_mysql_quote(const char *name);
/* How the row is asked for. */
enum fb_mysql_lock { FB_MYSQL_PLAIN, FB_MYSQL_LOCK, FB_MYSQL_TRY_LOCK };
/* One key (nkeys 0: "k = ?") or a list of them. */
fb_status fb_mysql_load_text(const struct fb_binding *binding, unsigned nkeys, enum fb_mysql_lock lock, fb_buf *out);
/* Which of these keys have rows, with the rows locked. */
fb_status fb_mysql_keys_text(const struct fb_binding *binding, unsigned nkeys, fb_buf *out);
fb_status fb_mysql_delete_text(const struct fb_binding *binding, fb_buf *out);
fb_status fb_mysql_list_text(const struct fb_binding *binding, fb_buf *out);
/* Parameters: the assigned values in their order, then the key's. */
fb_status fb_mysql_update_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out);
/* Parameters: the key's values, then the assigned ones. */
fb_status fb_mysql_insert_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out);

/* ---- mysql_load.c ---- */

/* The number of the shape that holds n keys. */
unsigned fb_mysql_shape(size_t n);
fb_status fb_mysql_render(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
                          struct fb_value **ret_value, fb_err *err);
void fb_mysql_load(struct fb_session *session, struct fb_load_item *items, size_t n);
fb_status fb_mysql_list(struct fb_session *session, const struct fb_binding *binding, size_t limit, fb_buf *ret_keys,
                        fb_err *err);
/* The rows of the statement as a list: those whose columns are the key's, letter by letter. */
fb_status fb_mysql_take_list(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                             struct fb_mysql_statement *statement, struct fb_value **ret_value, fb_err *err);

/* ---- mysql_row.c ---- */

enum fb_mysql_verb { FB_MYSQL_NOTHING, FB_MYSQL_INSERT, FB_MYSQL_UPDATE, FB_MYSQL_DELETE };

/* The write of one row of a table. */
struct fb_mysql_write {
    const struct fb_binding *binding;
    const struct fb_plan *plan;
    enum fb_mysql_verb verb;
};

/* Does the database add by itself? A number in a text is added here. */
bool fb_mysql_adds_itself(const struct fb_binding *binding, const struct fb_plan *plan);
fb_status fb_mysql_write_one(struct fb_session *session, const struct fb_mysql_write *write, fb_err *err);
/* The same statement with other values? */
bool fb_mysql_is_alike(const struct fb_mysql_write *a, const struct fb_mysql_write *b);
/* Writes that are alike, in one round trip where the server can. After an error some may be done and others not. */
fb_status fb_mysql_write_many(struct fb_session *session, const struct fb_mysql_write *const *writes, size_t n,
                              fb_err *err);
/* The number of an ADD, from the row found again. */
fb_status fb_mysql_take_number(struct fb_store_item *item, const struct fb_datum *row, fb_err *err);
extern const struct fb_group_ops fb_mysql_group_ops;

/* ---- mysql_store.c ---- */

/* End the session's transaction. FB_TXN_FAILED or FB_TXN_LOST. */
enum fb_txn_end fb_mysql_roll_back(struct fb_session *session);
enum fb_txn_end fb_mysql_commit(struct fb_session *session, fb_err *err);
void fb_mysql_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n);

#endif
