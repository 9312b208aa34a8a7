/* Adapters to databases: what an engine asks of one, and nothing about how.
 *
 * A source is opened once; each worker thread opens a session (one connection) of its own and uses it alone. A binding
 * is a keyspace checked against the source's catalogue, with its statements prepared as text; it is immutable after
 * bind and shared by all threads. Every item of a batch gets its own answer: one bad key never fails another.
 *
 * Error texts are the bare message: the engine puts "source 'shop': " in front of FB_SOURCE, FB_DOWN and FB_UNKNOWN,
 * and "keyspace 'user:{id:int}': " in front of FB_CONFLICT. Refusals of a plan (FB_BADVALUE) name the keyspace
 * themselves.
 *
 * An answer is FB_OK, FB_NOTFOUND, an error that is certainly not applied (FB_SOURCE, FB_DOWN, FB_TIMEOUT, FB_CONFLICT,
 * FB_BADVALUE, …) or FB_UNKNOWN for a write that may still land. An error never looks like "absent". */
#ifndef FB_SOURCE_SOURCE_H
#define FB_SOURCE_SOURCE_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/time.h"
#include "base/value.h"
#include "rows/touch.h"

struct fb_driver;   /* the adapter's state for one source */
struct fb_session;  /* one connection */
struct fb_binding;  /* one keyspace at this source */
struct fb_flush_ops;
struct fb_plan;     /* one write, checked and typed: nothing in it can still be refused by us */

struct fb_load_item {
    const struct fb_binding *binding;
    fb_bytes key;                /* borrowed until the call returns */
    fb_status status;            /* answer */
    struct fb_value *value;      /* answer: with FB_OK the rendered value; with an error its text; a new reference */
};

struct fb_store_item {
    const struct fb_binding *binding;
    fb_bytes key;
    const struct fb_plan *plan;  /* a write, READ (what is there at this point) or CHECK */
    unsigned block;              /* as in fb_op */
    bool is_superseded;          /* a later item writes the same row: nobody asks for `after` */
    uint64_t expected;           /* CHECK */
    /* Answer. FB_OK; FB_UNMET (a condition did not hold, nothing changed); FB_NOTFOUND (DELETE or READ of no row); an
     * error with its text in `after`. ADD and HSET of no row make one. */
    fb_status status;
    struct fb_value *after;      /* the row as the database has it after the write, rendered; NULL when there is none
                                    now, or when `after_unknown` */
    bool after_unknown;          /* written, but what is there now has to be loaded */
    struct fb_value *before;     /* with FB_WANT_OLD: the row before, NULL when there was none; also with FB_UNMET; READ:
                                    the row as it was at this point */
    struct fb_value *number;     /* ADD: the new number as text */
    int64_t count;               /* HSET: fields that were NULL or in no row; HDEL: fields that were set */
};

/* A set of writes that belong together: all or none. When one fails or is unmet, all have its answer; unless it is unmet
 * and belongs to a block of its own, then only that block is not done. (Functions know no transactions: there the writes
 * before the failing one stay, and its text says so.) */
struct fb_store_group {
    struct fb_link link;         /* the driver's: a lane */
    struct fb_store_item *items;
    size_t nitems, nwrites;      /* items, and those that are neither READ nor CHECK */
    /* Keys of other keyspaces that show its rows, as they were and as they are now: noted by the adapter for keyspaces
     * that others depend on (group.c does). Rows are read so that nobody else may change them before the transaction
     * ends. */
    struct fb_touched touched;
    /* When everything is written, and before COMMIT is sent: hides what was touched. An error: the transaction has to be
     * taken back. Called again when it is tried again. */
    fb_status (*prepare)(struct fb_store_group *group, fb_err *err);
    const struct fb_hash_key *hash_key; /* of the fingerprints; needed for CHECK only */
    /* Answer. */
    fb_status status;            /* FB_OK, or what took it all back */
    size_t decided_by;           /* the item that did; nitems where it was none in particular (the lock, the commit) */
};

struct fb_driver_ops {
    const char *scheme, *alias;  /* "sqlite"; "postgresql", "postgres"; NULL for callbacks, no alias */
    bool on_caller_thread;       /* blocking calls run it on the caller's own thread */
    unsigned writers_max;        /* sessions that may store at once; 0: one */
    bool has_lists;              /* rows: many */
    const struct fb_flush_ops *flush; /* write-behind (flush.h); NULL where there are no transactions */
    fb_status (*open)(const char *url, const fb_source_options *options, struct fb_driver **ret_driver, fb_err *reterr);
    void (*close)(struct fb_driver *driver);

    /* Check the keyspace against the catalogue. *ret_pattern is the pattern with the types filled in that the columns
     * demand (an integer key column makes {id} an {id:int}); allocated with fb_mem_alloc, the caller frees it. */
    fb_status (*bind)(struct fb_driver *driver, const fb_keyspace_options *options, struct fb_binding **ret_binding,
                      char **ret_pattern, fb_err *reterr);
    void (*unbind)(struct fb_binding *binding);
    /* Every fault of a keyspace, worded as bind words the first; and, when there is none, what may surprise. `others` are
     * the bindings of the cache's keyspaces at drivers of this kind, the reviewed one's own perhaps among them. NULL where
     * there is nothing to say. */
    fb_status (*review)(struct fb_driver *driver, const fb_keyspace_options *options,
                        const struct fb_binding *const *others, size_t nothers, fb_remark remark, void *user,
                        fb_err *reterr);
    /* Visit the tables and views of the catalogue. NULL where there is none. */
    fb_status (*tables)(struct fb_driver *driver, fb_source_visit visit, void *user, fb_err *reterr);
    /* The name of a table that both keyspaces read or write, in one database (of whatever source's name); NULL when
     * there is none, or where the driver knows no tables (the function is NULL then). */
    /* The keyspace's shape; the engine may set its dependents while nothing is asked yet. NULL where there are no rows. */
    struct fb_mapping *(*mapping)(struct fb_binding *binding);
    /* Does one keyspace write rows of a table that the other depends on (mapping(reader)->depends[depend])? */
    bool (*writes)(const struct fb_binding *writer, const struct fb_binding *reader, unsigned depend);
    const char *(*shared_table)(const struct fb_binding *a, const struct fb_binding *b);

    /* The text of the statement that a kind of operation sends, for people to read; NULL where there is none. Where it
     * depends on the value, the text for all columns. The function is NULL where the driver knows no statements. */
    const char *(*statement)(const struct fb_binding *binding, fb_op_kind kind);

    /* Check and type one item (SET, HSET, HDEL, ADD, DELETE; READ, CHECK) without asking the database: pure,
     * thread-safe.
     * FB_BADVALUE, FB_UNSUPPORTED, FB_WRONGTYPE, FB_NOTANUMBER; nothing has changed then. */
    fb_status (*plan)(const struct fb_binding *binding, const fb_op *op, struct fb_plan **ret_plan, fb_err *reterr);
    void (*plan_free)(struct fb_plan *plan);

    /* A connection; is_writer for the one that stores. FB_DOWN when it cannot be had: the worker tries again later. */
    fb_status (*session_open)(struct fb_driver *driver, bool is_writer, struct fb_session **ret_session,
                              fb_err *reterr);
    void (*session_close)(struct fb_session *session);

    /* One round trip for all items (grouped by binding inside). Duplicate keys are allowed. */
    void (*load)(struct fb_session *session, struct fb_load_item *items, size_t n);
    /* Keys of rows that there are, at most `limit`, ordered by the columns of the pattern: appended to *ret_keys as the
     * field names of a hash. Rows that no key can name are left out. FB_UNSUPPORTED for statements of the configuration's
     * own; the function is NULL where the driver cannot list. */
    fb_status (*list)(struct fb_session *session, const struct fb_binding *binding, size_t limit, fb_buf *ret_keys,
                      fb_err *reterr);
    /* Each group is a transaction of its own in outcome; the adapter may join several in one and must then try them
     * singly when the joint one fails. */
    void (*store)(struct fb_session *session, struct fb_store_group *const *groups, size_t n);
    /* Have the load, list or store that the session is in come back soon: nobody waits for it, or its time is over by a
     * margin. Called on another thread. The call it is meant for may return before or during this one, but the session is
     * given no other call and is not closed until this one has returned; so whatever may still arrive for it afterwards
     * is the adapter's to settle before the next query (what was meant for one must not hit another). Items that the
     * database has given up are FB_TIMEOUT; writes that may have been applied are FB_UNKNOWN. It may block as long as a
     * connection takes (at most read_timeout). NULL where nothing can be interrupted. */
    void (*cancel)(struct fb_session *session);
};

extern const struct fb_driver_ops fb_driver_sqlite;
extern const struct fb_driver_ops fb_driver_postgresql; /* where it is built */
extern const struct fb_driver_ops fb_driver_mysql;      /* where it is built */
extern const struct fb_driver_ops fb_driver_callbacks;

/* The driver for a URL, or NULL with the known schemes in the error. */
const struct fb_driver_ops *fb_driver_find(const char *url, fb_err *reterr);
/* Make a driver from functions (which fb_driver_callbacks.open cannot, it has no URL). */
fb_status fb_driver_callbacks_new(const fb_callbacks *callbacks, const fb_source_options *options,
                                  struct fb_driver **ret_driver);

#endif
