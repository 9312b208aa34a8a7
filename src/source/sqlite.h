/* What the files of the SQLite adapter share.
 *
 *     sqlite.c            the adapter's table; opening files; sessions, their statements, deadlines and errors
 *     sqlite_bind.c       binding a keyspace; the types of columns
 *     sqlite_catalogue.c  … a table, against the catalogue
 *     sqlite_depend.c     … what it depends on
 *     sqlite_statements.c … statements of the configuration's own
 *     sqlite_review.c     … everything that is to be said of one; the tables that there are
 *     sqlite_sql.c        the text of statements
 *     sqlite_load.c       reading rows
 *     sqlite_store.c      writing rows
 *     sqlite_flush.c      … many of them, for write-behind
 *
 * SQL injection is impossible by construction: statement text is made from the catalogue's names, quoted, and from the
 * configuration's own SQL; keys and values are only ever bound. */
#ifndef FB_SOURCE_SQLITE_H
#define FB_SOURCE_SQLITE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "rows/mapping.h"
#include "rows/plan.h"
#include "source/group.h"
#include "source/source.h"

enum {
    FB_SQLITE_STATEMENTS_MAX = 64,   /* prepared per session; more shapes of writes than that are prepared again */
    FB_SQLITE_PROGRESS_STEPS = 4000, /* virtual machine steps between two looks at the clock: some 100 µs */
    FB_SQLITE_TABLES_MAX = 16,       /* of one keyspace */
    FB_SQLITE_READ_TIMEOUT_MS = 2000,
    FB_SQLITE_WRITE_TIMEOUT_MS = 3000,
};

struct fb_driver {
    char *path;
    dev_t device; /* of the file, with its inode: what makes two sources one database */
    ino_t inode;
    fb_span read_timeout, write_timeout, added_latency;
    sqlite3 *catalogue; /* for bind alone, which is never called from two threads */
};

/* Statement text whose parameters ?1 … ?n are taken from the key or from a row. */
struct fb_sql {
    char *text; /* NULL: there is no such statement */
    struct fb_sql_arg {
        bool is_key;    /* else a column */
        unsigned index;
    } *args;
    unsigned nargs;
};

struct fb_binding {
    struct fb_mapping mapping;
    bool is_table;
    char *table;      /* quoted */
    char **quoted;    /* the columns' names, quoted */
    char **defaults;  /* their default expressions, "NULL" where there is none */
    int key_columns[FB_PATTERN_PARAMS_MAX]; /* of the parameters, in their order */
    struct fb_sql load, del, store;         /* store: explicit SQL only */
    char *update;                           /* of all columns, to be shown; NULL: nothing can be written */
    const struct fb_driver *driver;
    char *tables[FB_SQLITE_TABLES_MAX];     /* it reads or writes */
    bool is_written[FB_SQLITE_TABLES_MAX];  /* by its own statements, not by their triggers */
    unsigned ntables;
};

struct fb_session {
    struct fb_driver *driver;
    bool is_writer;
    sqlite3 *db;             /* NULL after the file was lost and could not be opened again */
    fb_instant deadline;     /* of the call under way */
    int64_t timeout_ms;      /* for messages */
    int failed;              /* SQLite's extended code of the last failure */
    atomic_bool is_cancelled; /* by another thread: the call under way ends as if its time were over */
    struct fb_sqlite_cached {
        char *text;
        uint64_t hash, used;
        sqlite3_stmt *stmt;
    } cached[FB_SQLITE_STATEMENTS_MAX];
    unsigned ncached;
    uint64_t uses;
    fb_buf text;             /* statement text under construction */
    fb_buf kept;             /* the bytes of a row that must outlive its statement */
    fb_buf rendered;
};

/* ---- sqlite.c: sessions ---- */

/* Begin a call: its deadline, and the right file. A file that was replaced or removed while it was open would take
 * writes that nobody sees again: it is opened anew. FB_OK or FB_DOWN. */
fb_status fb_sqlite_begin_call(struct fb_session *session, fb_err *err);
/* Is the time of the call under way over, or was it cancelled? */
bool fb_sqlite_is_over(const struct fb_session *session);

/* The prepared statement for a text, from the session's store of them. SQLite's result code. */
int fb_sqlite_statement(struct fb_session *session, const char *text, sqlite3_stmt **ret_stmt);
/* Give a statement back: nothing bound stays borrowed. */
void fb_sqlite_release(sqlite3_stmt *stmt);
/* Run a statement without parameters or rows. */
int fb_sqlite_run(struct fb_session *session, const char *text);
int fb_sqlite_bind(sqlite3_stmt *stmt, int index, const struct fb_datum *datum);
/* End a transaction that may be open, taking it back. If even that fails, the next attempt to begin one tries again. */
void fb_sqlite_roll_back(struct fb_session *session);
/* A failed call as a status, with the database's message. */
fb_status fb_sqlite_fail(struct fb_session *session, int rc, fb_err *err);

/* ---- sqlite_bind.c ---- */

fb_status fb_sqlite_bind_keyspace(struct fb_driver *driver, const fb_keyspace_options *options,
                                  struct fb_binding **ret_binding, char **ret_pattern, fb_err *reterr);
void fb_sqlite_unbind(struct fb_binding *binding);
const char *fb_sqlite_statement_text(const struct fb_binding *binding, fb_op_kind kind);
const char *fb_sqlite_shared_table(const struct fb_binding *a, const struct fb_binding *b);
struct fb_mapping *fb_sqlite_mapping(struct fb_binding *binding);
bool fb_sqlite_writes(const struct fb_binding *writer, const struct fb_binding *reader, unsigned depend);

/* ---- sqlite_review.c ---- */

fb_status fb_sqlite_review(struct fb_driver *driver, const fb_keyspace_options *options,
                           const struct fb_binding *const *others, size_t nothers, fb_remark remark, void *user,
                           fb_err *reterr);
fb_status fb_sqlite_tables(struct fb_driver *driver, fb_source_visit visit, void *user, fb_err *reterr);

/* ---- sqlite_sql.c: text is appended to `out`, which ends with NUL when FB_OK is returned ---- */

/* Quote a name of the catalogue. fb_mem_free; NULL when out of memory. */
char *fb_sqlite_quote(const char *name);
fb_status fb_sqlite_load_text(const struct fb_binding *binding, fb_buf *out);
fb_status fb_sqlite_list_text(const struct fb_binding *binding, fb_buf *out);
fb_status fb_sqlite_delete_text(const struct fb_binding *binding, fb_buf *out);
/* Parameters: the assigned values in their order, then the key's. */
fb_status fb_sqlite_update_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out);
/* Parameters: the key's values, then the assigned ones. */
fb_status fb_sqlite_insert_text(const struct fb_binding *binding, const struct fb_plan *plan, fb_buf *out);

/* ---- sqlite_load.c ---- */

/* Find the row of a key. FB_OK: `ret_row` borrows from *ret_stmt, which the caller releases. FB_NOTFOUND and errors
 * leave nothing to release. */
fb_status fb_sqlite_find_row(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                             struct fb_datum ret_row[FB_COLUMNS_MAX], sqlite3_stmt **ret_stmt, fb_err *err);
/* What a key shows, a list or one row, rendered: a new reference. FB_NOTFOUND, or an error. */
fb_status fb_sqlite_find_value(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *key,
                               struct fb_value **ret_value, fb_err *err);
/* Explicit SQL may find several rows, and nobody could say which one is meant: FB_SOURCE. Moves the statement on. */
fb_status fb_sqlite_check_single(struct fb_session *session, const struct fb_binding *binding, sqlite3_stmt *stmt,
                                 fb_err *err);
/* Render into a value. FB_NOTFOUND as fb_render_row. */
fb_status fb_sqlite_render(struct fb_session *session, const struct fb_binding *binding, const struct fb_datum *row,
                           struct fb_value **ret_value, fb_err *err);
void fb_sqlite_load(struct fb_session *session, struct fb_load_item *items, size_t n);
fb_status fb_sqlite_list(struct fb_session *session, const struct fb_binding *binding, size_t limit, fb_buf *ret_keys,
                         fb_err *err);

/* ---- sqlite_store.c ---- */

extern const struct fb_group_ops fb_sqlite_group_ops;
/* A transaction that keeps all other writers out. */
fb_status fb_sqlite_begin(struct fb_session *session, fb_err *err);
enum fb_txn_end fb_sqlite_commit(struct fb_session *session, fb_err *err);
void fb_sqlite_store(struct fb_session *session, struct fb_store_group *const *groups, size_t n);

#endif
