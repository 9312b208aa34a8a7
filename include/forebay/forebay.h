/* libforebay: a cache between an application and its database.
 *
 *     fb_cache *cache;
 *     fb_source *shop;
 *     fb_err err;
 *     fb_buf row = FB_BUF_INIT;
 *
 *     fb_open(NULL, &cache, &err);
 *     fb_source_open(cache, "shop", "sqlite:shop.db", NULL, &shop, &err);
 *     fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
 *     ks.pattern = "user:{id:int}";
 *     ks.source = shop;
 *     ks.table = "users";
 *     ks.write = FB_WRITE_THROUGH;
 *     fb_keyspace_add(cache, &ks, &err);
 *
 *     if (fb_get(cache, FB_STR("user:42"), &row, &err) == FB_OK)
 *         printf("%.*s\n", (int)row.len, row.data);        // {"id":42,"name":…}
 *     fb_buf_free(&row);
 *     fb_close(cache);
 *
 * Caveats first:
 *  - All keyspaces and sources are added before the first operation; adding them is not thread-safe. Everything else
 *    may be called from any thread at any time until fb_close.
 *  - A completion runs on a thread of Forebay's. It must not block and must not call fb_close.
 *  - Data changed behind Forebay's back is seen when the entry expires (at most `ttl` after the query that read it was
 *    sent), or after fb_invalidate.
 *  - Without a shared second level, two processes with caches of their own may differ for up to `ttl`.
 *
 * Guarantee in one process (no second level): read-through with write-through or write-around is linearizable per key;
 * a load never overwrites a later write or invalidation. The protocol follows the leases of Nishtala et al., "Scaling
 * Memcache at Facebook", NSDI 2013, with a write announced before its commit and repaired after it. */
#ifndef FOREBAY_FOREBAY_H
#define FOREBAY_FOREBAY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <forebay/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FOREBAY_VERSION "0.1.0"

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* Borrowed bytes: never freed by the receiver, not terminated. */
typedef struct fb_bytes {
    const char *data;
    size_t len;
} fb_bytes;

static inline fb_bytes fb_bytes_of(const char *data, size_t len) {
    fb_bytes b;
    b.data = data;
    b.len = len;
    return b;
}
#define FB_STR(s) fb_bytes_of((s), strlen(s))

/* A growing buffer owned by the caller; reuse it between calls, free it once. Functions append to it. */
typedef struct fb_buf {
    char *data;
    size_t len;
    size_t cap;
} fb_buf;
#define FB_BUF_INIT {NULL, 0, 0}

/* Make room for `more` bytes after len. FB_NOMEM leaves the buffer as it was. */
fb_status fb_buf_reserve(fb_buf *buf, size_t more);
fb_status fb_buf_append(fb_buf *buf, const void *data, size_t len);
/* Accepts an empty buffer; leaves it empty. */
void fb_buf_free(fb_buf *buf);

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* A value is a string (json, text, one column) or a hash (the row's columns; NULL columns are absent fields). */
typedef enum fb_kind { FB_KIND_NONE = 0, FB_KIND_STRING = 1, FB_KIND_HASH = 2 } fb_kind;

/* One field of a hash. */
typedef struct fb_field {
    fb_bytes name;
    fb_bytes value;
} fb_field;

/* Walk the fields of a hash value in column order. Start with *cursor = 0; returns 1 and moves the cursor while there
 * is a field, 0 at the end (and on bytes that are no hash). The field borrows from `hash`. Pure. */
int fb_hash_next(fb_bytes hash, size_t *cursor, fb_field *ret_field);
/* Find one field: FB_OK or FB_NOTFOUND. Pure. */
fb_status fb_hash_get(fb_bytes hash, fb_bytes name, fb_bytes *ret_value);
/* Number of fields. Pure. */
size_t fb_hash_len(fb_bytes hash);
/* Append one field to a hash value under construction (for callback sources of hash keyspaces). */
fb_status fb_hash_append(fb_buf *hash, fb_bytes name, fb_bytes value);

/* ---- a cache ---------------------------------------------------------------------------------------------------- */

typedef struct fb_cache fb_cache;
typedef struct fb_source fb_source;

typedef enum fb_eviction { FB_EVICT_S3FIFO = 0, FB_EVICT_LRU = 1 } fb_eviction;

/* What a write does while the shared second level cannot be reached. */
typedef enum fb_store_down {
    FB_STORE_STRICT = 0,    /* it is refused (FB_STOREDOWN): other processes would go on to serve what it replaces */
    FB_STORE_AVAILABLE = 1, /* it is carried out; others may serve the old value, for its TTL at most, until the second
                               level is back and is told */
} fb_store_down;

/* A Redis or Valkey as the second level, shared with other processes: values lie there plainly, under their own keys. Zero
 * means the default. Strings are copied. */
typedef struct fb_store_options {
    const char *url;            /* redis://[USER@]HOST[:PORT][/DB], rediss://, unix:///PATH, sentinel://, cluster:// */
    const char *user, *password, *tls_ca; /* NULL: the URL's; the authority of the certificate, NULL: the system's */
    unsigned pool;              /* connections, 1..16; default 2 */
    int64_t timeout_ms;         /* how long a copy is waited for before the source is asked instead; default 250 */
    int64_t connect_timeout_ms; /* default 1000 */
    fb_store_down on_down;
    int no_copies;              /* nothing is kept in this process: every hit is one of the second level's, and
                                   linearizable. With copies a read may be 1 s old, see docs/consistency.md */
    int64_t copy_ttl_ms;        /* life of a copy in this process at most; default 60000 */
    const char *sentinel_password; /* of the Sentinels, not of their primary; NULL: the URL's */
    int sentinel_quorum;        /* of sentinel://: while less than half of them can be reached, it counts as down */
} fb_store_options;

/* Write-behind: writes of keyspaces with FB_WRITE_BEHIND are acknowledged when they are in a journal on this machine's disk,
 * shown to readers at once, and brought to the database in batches. Each source has a partition with a journal of its own,
 * which one process owns at a time. docs/write-behind.md says what is promised. Zero means the default. */
typedef enum fb_on_full { FB_ON_FULL_ERROR = 0, FB_ON_FULL_WRITE_THROUGH = 1 } fb_on_full;
typedef struct fb_behind_options {
    const char *journal_dir;  /* made when it is not there; needed. A journal lies in DIR/SOURCE */
    int every_second;         /* synced once a second instead of before each acknowledgement: a power cut costs the last one */
    const char *address;      /* where others reach this process, for their error texts */
    uint64_t soft_bytes;      /* pending beyond this: acknowledgements are held back in proportion; default 256 MiB */
    uint64_t hard_bytes;      /* and beyond this: FB_DIRTY; default 1 GiB */
    int64_t soft_ms, hard_ms; /* the same for the age of the oldest pending write; default 30 s and 10 min */
    fb_on_full on_full;       /* beyond the hard limits: FB_DIRTY, or write keys through that have nothing pending */
    unsigned dead_max;        /* dead letters of one flush, and of a minute; with more nothing is flushed. Default 100 */
} fb_behind_options;

/* Zero means the default. */
typedef struct fb_options {
    uint64_t memory_max;  /* bytes for entries with their bookkeeping; default 256 MiB, at least 1 MiB */
    unsigned shards;      /* a power of two, 1..256; default 16 */
    fb_eviction eviction; /* S3-FIFO (Yang et al., SOSP 2023); LRU as the reference */
    uint64_t seed;        /* 0: from the system. Fixes jitter and hashing for reproducible tests only */
    const fb_store_options *store; /* the shared second level; NULL: none. It may be down when the cache is opened */
    const fb_behind_options *behind; /* where write-behind keeps its journals; NULL: no keyspace may be written behind */
} fb_options;

/* Open an empty cache. `options` may be NULL. FB_INVALID, FB_NOMEM, FB_SYSTEM. */
fb_status fb_open(const fb_options *options, fb_cache **ret_cache, fb_err *reterr);

/* Wait for what has been sent to a source, answer what has not with FB_CLOSED, stop all threads, free everything. NULL is
 * accepted. No other call may be running or follow. */
void fb_close(fb_cache *cache);

/* ---- sources ---------------------------------------------------------------------------------------------------- */

/* Zero means the default. Times in milliseconds. */
typedef struct fb_source_options {
    unsigned pool;             /* connections for reading, 1..64; default 4 */
    unsigned batch_max;        /* keys in one round trip, 1..1000; default 100 */
    unsigned queue_max;        /* operations waiting in front of the source; default 10000; more are FB_BUSY */
    int64_t read_timeout_ms;   /* one round trip; default 2000 */
    int64_t write_timeout_ms;  /* one transaction; default 3000 */
    int64_t soft_timeout_ms;   /* how long a read waits where a value within its grace would do; default 200 */
    unsigned breaker_failures; /* failed round trips within the window that open the breaker, when they are half of all or
                                  more; default 5 */
    int64_t breaker_window_ms; /* default 10000 */
    int64_t added_latency_ms;  /* slept before every round trip, for demonstrations and tests; default 0 */
} fb_source_options;

/* Open a database: "sqlite:PATH", "sqlite::memory:" is refused (each connection would see a database of its own).
 * The database must exist. The source is owned by the cache and closed with it.
 * FB_INVALID (unknown scheme, bad options), FB_DOWN (cannot be opened). */
fb_status fb_source_open(fb_cache *cache, const char *name, const char *url, const fb_source_options *options,
                         fb_source **ret_source, fb_err *reterr);

/* A source made of functions. `load` is needed, the others may be NULL (writes are then FB_READONLY).
 * A blocking call of this API runs them on the caller's own thread, the asynchronous entry on threads of Forebay's;
 * they may block. They get `user` as it was given.
 *   load:  append the value and return FB_OK, or FB_NOTFOUND, or an error with its text. For keyspaces with
 *          as = "hash" append fields with fb_hash_append.
 *   store: make the value durable and return FB_OK, an error (certainly not applied), or FB_UNKNOWN (may still land).
 *          For hash keyspaces `value` is a hash with the fields that change. May append the value as it is now stored
 *          to *ret_after; when it appends nothing, string keyspaces cache `value` and hash keyspaces load again.
 *   del:   FB_OK, FB_NOTFOUND, or as store. */
typedef struct fb_callbacks {
    fb_status (*load)(void *user, fb_bytes key, fb_buf *ret_value, fb_err *reterr);
    fb_status (*store)(void *user, fb_bytes key, fb_bytes value, fb_buf *ret_after, fb_err *reterr);
    fb_status (*del)(void *user, fb_bytes key, fb_err *reterr);
    void *user;
} fb_callbacks;

fb_status fb_source_callbacks(fb_cache *cache, const char *name, const fb_callbacks *callbacks,
                              const fb_source_options *options, fb_source **ret_source, fb_err *reterr);

/* ---- keyspaces -------------------------------------------------------------------------------------------------- */

typedef enum fb_read_mode { FB_READ_THROUGH = 0, FB_READ_ASIDE = 1 } fb_read_mode;
typedef enum fb_write_mode { FB_WRITE_OFF = 0, FB_WRITE_THROUGH = 1, FB_WRITE_AROUND = 2,
               FB_WRITE_BEHIND = 3 } fb_write_mode;
typedef enum fb_on_set { FB_ON_SET_DEFAULT = 0, FB_ON_SET_WRITE = 1, FB_ON_SET_IGNORE = 2, FB_ON_SET_ERROR = 3 } fb_on_set;
typedef enum fb_on_del { FB_ON_DEL_INVALIDATE = 0, FB_ON_DEL_DELETE_ROW = 1, FB_ON_DEL_ERROR = 2 } fb_on_del;
typedef enum fb_set_mode { FB_SET_MERGE = 0, FB_SET_REPLACE = 1 } fb_set_mode;
typedef enum fb_rows { FB_ROWS_ONE = 0, FB_ROWS_MANY = 1 } fb_rows;

/* Bounds of a list (FB_ROWS_MANY): one that is longer is an error that says so, never a part of it. */
#define FB_MANY_ROWS_MAX 10000
#define FB_MANY_BYTES_MAX (8u << 20)

/* The numbers of a strategy. They are applied when an entry is read, so a change counts at once for every entry. */
typedef struct fb_policy {
    int64_t ttl_ms;          /* life of an entry, counted from when its query was sent; 1 .. 10 years */
    double jitter;           /* 0..0.9: each entry lives ttl × (1 − jitter × random); only ever shorter */
    int64_t negative_ttl_ms; /* life of "known to be absent"; 0 switches negative caching off; no jitter */
    int64_t grace_ms;        /* how long past its life a value may stand in while the source is slow or fails; 0: not */
    int64_t grace_down_ms;   /* the same while its breaker is open, when that is longer */
    double refresh_ahead;    /* share of an entry's life past which the first to read it has it loaded anew, without waiting
                                for that; less than 1; 0: not. FB_READ_THROUGH only, as the next */
    double early_refresh;    /* beta of XFetch (Vattani et al., VLDB 2015): the same at random, the likelier the nearer the
                                end and the longer its last load took; 1 is usual, at most 100; 0: not */
} fb_policy;
#define FB_POLICY_INIT {3600000, 0.1, 60000, 0, 0, 0, 0}

/* How keys of one pattern are served. Strings are copied. */
typedef struct fb_keyspace_options {
    const char *pattern;     /* "user:{id:int}"; types int, uuid, hex, date, rest */
    fb_source *source;
    const char *table;       /* columns, types and primary key come from the catalogue; or: */
    const char *load;        /* SQL with :named parameters of the pattern; at most one row, unless rows = FB_ROWS_MANY */
    const char *store;       /* SQL; parameters are the pattern's and the value's fields */
    const char *del;         /* SQL */
    const char *as;          /* "json" (default), "hash", "text" (explicit SQL, one column), "column:NAME" */
    const char *const *hide; /* columns never shown nor written, NULL-terminated; or NULL */
    fb_policy policy;
    fb_read_mode read;
    fb_write_mode write;
    fb_on_set on_set;        /* default: write where `write` is on, else error */
    fb_on_del on_del;
    fb_set_mode set_mode;    /* SET of JSON changes the named columns, or resets the others to their defaults */
    fb_rows rows;            /* FB_ROWS_MANY makes a list: the value is a JSON array of all rows that are found, [] when
                                there are none. Read-only. `as` is "json", or "column:NAME" for an array of one column's
                                values. Of a table: the rows whose columns equal the pattern's parameters */
    const char *const *order; /* lists of a table: "COLUMN" or "COLUMN desc", NULL-terminated; rows that are alike in
                                these come in the order of the primary key. NULL: of the primary key alone */
    unsigned limit;          /* lists of a table: the first so many rows; 0: all of them */
    const char *const *depends; /* read-only keyspaces: "TABLE(COLUMN, …)", a column for each parameter of the pattern,
                                NULL-terminated. A write that this cache carries to a row of TABLE, through whatever
                                keyspace, forgets the copies of the keys that the row's columns made before it and make
                                after it, as if it had written them. A list of a table depends on that table by itself */
    const char *const *rename; /* keyspaces of a table: "COLUMN=NAME", what clients call a column, NULL-terminated. All
                                other options, and the pattern, name columns as the table does */
    int64_t flush_interval_ms; /* FB_WRITE_BEHIND: how long a write waits before it is brought to the database; 0: 5 s */
    unsigned flush_batch;      /* rows of one statement; 0: 1000 */
    const char *const *adds;   /* columns that FB_OP_ADD of whole numbers changes by adding in the database, where others
                                  may add as well, instead of by storing the sum; NULL-terminated; or NULL */
} fb_keyspace_options;
#define FB_KEYSPACE_OPTIONS_INIT                                                                                      \
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, FB_POLICY_INIT, FB_READ_THROUGH, FB_WRITE_OFF,                   \
     FB_ON_SET_DEFAULT, FB_ON_DEL_INVALIDATE, FB_SET_MERGE, FB_ROWS_ONE, NULL, 0, NULL, NULL, 0, 0, NULL}

/* Add a keyspace and check it against the source's catalogue: FB_CONFIG says what does not fit (a pattern that is
 * ambiguous with another, a missing table or column, a key that is not the primary key, …). */
fb_status fb_keyspace_add(fb_cache *cache, const fb_keyspace_options *options, fb_err *reterr);

/* What is to be said of a keyspace, whether it was added or not. `is_error`: it could not be added as it is; else it is
 * worth a thought. `code` is a word of docs/diagnostics.md; both texts are borrowed during the call. */
typedef void (*fb_remark)(void *user, int is_error, const char *code, const char *text);
/* Everything that is wrong with a keyspace, and not only the first thing, as its source sees it; then what may surprise:
 * a query that scans a table, rows that cannot be inserted, tables of other keyspaces that change with this one's. Call
 * it when all keyspaces were added. FB_OK when the source could be asked, whatever there was to say. */
fb_status fb_keyspace_review(fb_cache *cache, const fb_keyspace_options *options, fb_remark remark, void *user,
                             fb_err *reterr);

/* A table or view of a source, as its catalogue has it. Everything is borrowed during the visit. */
typedef struct fb_source_table {
    const char *name;
    int is_view;
    const char *const *key;     /* the columns of the primary key in its order; nkey = 0: there is none */
    size_t nkey;
    const char *const *columns; /* all of them */
    size_t ncolumns;
    const char *const *references; /* those that are a foreign key by themselves */
    size_t nreferences;
} fb_source_table;
typedef void (*fb_source_visit)(void *user, const fb_source_table *table);
/* Visit the tables and views of a source by name; its own bookkeeping is left out. FB_UNSUPPORTED for functions. */
fb_status fb_source_tables(fb_source *source, fb_source_visit visit, void *user, fb_err *reterr);

/* Who has the partition of a source: the right to write behind there. */
typedef struct fb_partition_info {
    char owner[128], addr[128]; /* as it named itself; empty: nobody */
    uint64_t epoch;             /* how often it has changed hands */
    int is_clean;               /* nothing is pending: whoever starts next gets it */
} fb_partition_info;
/* Blocks. FB_NOTFOUND: nobody has ever written behind there. FB_UNSUPPORTED: nobody can. FB_DOWN, FB_SOURCE. */
fb_status fb_source_partition(fb_source *source, fb_partition_info *ret_info, fb_err *reterr);
/* Take it from an owner that will not come back: whoever starts next gets it. What the owner had acknowledged and not yet
 * brought to the database is lost to everybody else; should it come back, it writes nothing and keeps those as dead
 * letters. *ret_info: as it was. Blocks; fails as fb_source_partition. */
fb_status fb_source_take_over(fb_source *source, fb_partition_info *ret_info, fb_err *reterr);

/* Once, when all keyspaces were added and before the first operation: recover what the journals of write-behind hold, and
 * claim the partitions. FB_OK also where another process owns one (its keys are then read and not kept, writes are
 * FB_NOTOWNER, until it lets go). FB_CONFLICT: a journal is damaged. FB_CONFIG: it holds writes that no keyspace takes.
 * FB_DOWN, FB_SOURCE, FB_SYSTEM, FB_BUSY (another process has the directory). Without write-behind it does nothing. */
fb_status fb_start(fb_cache *cache, fb_err *reterr);
/* Refuse write-behind's writes from now on and flush what is pending, at most so long. FB_OK: the database has everything,
 * and others may own the partitions. FB_TIMEOUT: *ret_left writes stay in the journals, for the next start. */
fb_status fb_drain(fb_cache *cache, int64_t timeout_ms, uint64_t *ret_left);

/* Does another process own what is written behind of one of the sources? FB_NOTOWNER answers writes of such keys, and those
 * reads for which the owner has to be asked; whoever can reach it may ask there. */
int fb_is_elsewhere(const fb_cache *cache);
/* Whose is this key's partition? FB_OK: ours, or nobody's. FB_NOTOWNER: another process', at this address, which is empty
 * where it gave none. */
fb_status fb_owner_get(fb_cache *cache, fb_bytes key, char *ret_address, size_t size);

/* Number of keyspaces; they are numbered 0 .. n−1 in the order they were added. */
unsigned fb_keyspace_count(const fb_cache *cache);
/* The pattern and the options in force, as fb_policy_set has left them (borrowed until fb_close, and never changed: ask
 * again for newer ones); NULL when out of range. */
const fb_keyspace_options *fb_keyspace_at(const fb_cache *cache, unsigned index);
/* The keyspace a key belongs to, or −1. Pure, thread-safe. */
int fb_keyspace_of(const fb_cache *cache, fb_bytes key);
/* For a key of no keyspace: the one whose pattern comes nearest, with one sentence in *ret_why (may be NULL) that says
 * what keeps the key from it; or −1. For error texts; slower than fb_keyspace_of. Pure, thread-safe. */
int fb_keyspace_near(const fb_cache *cache, fb_bytes key, fb_err *ret_why);

/* ---- blocking calls ---------------------------------------------------------------------------------------------- */
/* Each waits at most as long as the source's timeouts and queue allow. A NULL reterr is accepted everywhere. */

/* The value of a key, from the cache or loaded (concurrent callers share one load). Appends to *ret_value.
 * FB_OK, FB_NOTFOUND, or an error. A keyspace with read: cache-aside answers FB_MISS instead of loading. */
fb_status fb_get(fb_cache *cache, fb_bytes key, fb_buf *ret_value, fb_err *reterr);

/* Many keys at once: hits are answered, the misses travel to each source in as few round trips as its batch_max
 * allows. statuses[i] and values[i] belong to keys[i]; one key's failure is its own. Order is kept, duplicates are
 * answered alike. Returns FB_OK, or FB_NOMEM when nothing was begun. */
fb_status fb_get_many(fb_cache *cache, const fb_bytes *keys, size_t n, fb_buf *values, fb_status *statuses);

/* Write a value as the keyspace says: source first, then the cache. FB_OK means that the source has it. */
fb_status fb_set(fb_cache *cache, fb_bytes key, fb_bytes value, fb_err *reterr);

/* Delete the row at the source, then remember its absence. FB_OK or FB_NOTFOUND, or an error. Needs write ≠ off. */
fb_status fb_delete(fb_cache *cache, fb_bytes key, fb_err *reterr);

/* Forget the cached copy and refuse every load under way. For data changed behind Forebay's back, after its commit.
 * FB_OK when a value or a negative entry was there, else FB_MISS. */
fb_status fb_invalidate(fb_cache *cache, fb_bytes key, fb_err *reterr);
/* The same of this process' own copy alone: a shared store keeps its own. For changes that it knows of and that this
 * process has not been told of yet. */
void fb_forget(fb_cache *cache, fb_bytes key);
/* The same as fb_invalidate for all keys. */
void fb_invalidate_all(fb_cache *cache);

/* ---- cache-aside: the application asks its own database ------------------------------------------------------------ */

/* The cached value (FB_OK), "known absent" (FB_NOTFOUND), or FB_LEASE with a token: the caller should now load and call
 * fb_fill. Others who ask meanwhile wait for that fill, at most wait_ms (0: the default of 2000), then FB_TIMEOUT. A
 * lease dies after 3 s, and the next waiter gets a new one. */
fb_status fb_get_or_lease(fb_cache *cache, fb_bytes key, int64_t wait_ms, fb_buf *ret_value, uint64_t *ret_token,
                          fb_err *reterr);

/* Hand in what the lease was for: a value (of the keyspace's kind), or absent = 1. FB_OK: kept. FB_REFUSED: a write,
 * an invalidation or time came between; the caller may use its value, the cache does not. */
fb_status fb_fill(fb_cache *cache, fb_bytes key, uint64_t token, fb_bytes value, int absent, fb_err *reterr);
/* Give a lease back without a value (the load failed). */
void fb_lease_drop(fb_cache *cache, fb_bytes key, uint64_t token);

/* Announce a write to one's own database before it commits, and say afterwards that it has ended (however it ended).
 * Between the two nothing is cached for the key. A write that is announced and never ended stops counting after 5 s, so
 * the transaction must be shorter. fb_write_begin waits for other writes of the same key, at most 5 s (FB_TIMEOUT). */
fb_status fb_write_begin(fb_cache *cache, fb_bytes key, uint64_t *ret_ticket, fb_err *reterr);
void fb_write_end(fb_cache *cache, fb_bytes key, uint64_t ticket);

/* ---- locks by name --------------------------------------------------------------------------------------------------- */

/* For what only one at a time shall do. A lock ends by itself after ttl_ms: who holds it may have stopped, or be slow, and
 * another may hold it then. So a lock saves work and is no proof; where two holders would do harm, store with the fencing
 * number, which grows with every grant, and refuse smaller ones there. Names are no keys. With a
 * shared store a lock is one for all who share it (and waiters are granted in no order); FB_STOREDOWN without it. */
#define FB_LOCK_NAME_MAX 1024
#define FB_LOCK_TTL_MAX_MS 86400000
#define FB_LOCK_WAIT_MAX_MS 60000
/* FB_OK with the holder's token and the number (may be NULL); FB_UNMET when another holds it, still after wait_ms (0: at
 * once; waiters are granted in their order). FB_INVALID, FB_BUSY, FB_NOMEM. */
fb_status fb_lock(fb_cache *cache, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, uint64_t *ret_token,
                  uint64_t *ret_fence, fb_err *reterr);
/* FB_OK; FB_REFUSED when the token is not its holder's: the lock has ended, and may be another's. */
fb_status fb_unlock(fb_cache *cache, fb_bytes name, uint64_t token, fb_err *reterr);

/* ---- the asynchronous entry: every operation there is --------------------------------------------------------------- */

typedef enum fb_op_kind {
    FB_OP_READ,       /* the whole value; loads on a miss */
    FB_OP_SET,        /* value = json, text or column text (string keyspaces); FB_COND_*, FB_WANT_OLD */
    FB_OP_HSET,       /* fields = columns to change; FB_COND_FIELD_ABSENT for HSETNX */
    FB_OP_HDEL,       /* fields (names only) become NULL; number = how many were set before */
    FB_OP_ADD,        /* value = delta as decimal text; fields[0].name = column of a hash keyspace; result: the new number */
    FB_OP_DELETE,     /* delete the row */
    FB_OP_DROP,       /* what DEL means here (on_del): forget the copy, or delete the row, or an error */
    FB_OP_INVALIDATE, /* forget the copy */
    FB_OP_EXPIRE,     /* life_ms from now for the cached copy, never longer than its TTL; FB_EXPIRE_* conditions */
    FB_OP_PERSIST,    /* back to the life its TTL gives it; FB_OK when EXPIRE had shortened it, else FB_UNMET */
    FB_OP_TTL,        /* number = remaining life in ms; FB_MISS when there is no cached copy; never loads */
    FB_OP_REFRESH,    /* load again now, whatever is cached, and answer as READ; the copy serves until the new one comes */
    FB_OP_CHECK,      /* fb_submit_all only: FB_UNMET unless the row is still what `expected` was taken of */
} fb_op_kind;

enum fb_op_flags {
    FB_COND_ABSENT = 1 << 0,       /* NX: only if there is no row */
    FB_COND_PRESENT = 1 << 1,      /* XX: only if there is a row */
    FB_COND_FIELD_ABSENT = 1 << 2, /* HSETNX: only if the column is NULL or the row absent */
    FB_WANT_OLD = 1 << 3,          /* give the value from before the write */
    FB_ADD_FLOAT = 1 << 4,         /* delta is a decimal number with a fraction (INCRBYFLOAT) */
    FB_EXPIRE_NX = 1 << 5,         /* only if EXPIRE has not shortened it */
    FB_EXPIRE_XX = 1 << 6,         /* only if it has */
    FB_EXPIRE_GT = 1 << 7,         /* only if the new life is longer */
    FB_EXPIRE_LT = 1 << 8,         /* only if the new life is shorter */
    FB_KEEP_LIFE = 1 << 9,         /* SET: what EXPIRE left of the copy's life stays */
};

typedef struct fb_op {
    fb_op_kind kind;
    unsigned flags;
    fb_bytes key;
    fb_bytes value;
    const fb_field *fields;
    size_t nfields;
    int64_t life_ms; /* SET: life of the cached copy, 0 = its TTL's; EXPIRE: the new life, ≤ 0 forgets the copy. Longer
                        than 49 days counts as 49 days */
    uint64_t origin; /* who asks, as the caller likes to number them; comes back in fb_event */
    uint64_t expected; /* CHECK: fb_fingerprint of what was read */
    unsigned block;    /* fb_submit_all: 0, or the same number in neighbours whose conditions concern only them */
} fb_op;

/* Everything is borrowed and valid only during the completion (or, for a result returned at once, until the next call
 * on the same thread is made with that result object). */
typedef struct fb_result {
    fb_status status;
    fb_kind kind;    /* of value and old */
    fb_bytes value;  /* READ: the value; ADD: the new number as text; writes: empty */
    fb_bytes old;    /* with FB_WANT_OLD; data == NULL when there was no row */
    int64_t number;  /* HSET: fields that were NULL or in no row before; HDEL: how many were set; TTL: milliseconds */
    /* Where the time went, in microseconds; 0 for what did not happen. */
    int64_t lane_us;   /* waiting for other writers of the key and in the lane, until it was sent to the source */
    int64_t source_us; /* from then until the source had answered */
    unsigned shared;   /* READ: callers answered by the same load, this one included */
    int is_stale;      /* READ: the value is past its life, and stands in for an answer that was late or has failed */
    fb_err err;      /* when status is negative */
    void *private_;
} fb_result;

typedef void (*fb_done)(void *user, const fb_result *result);

/* Begin one operation. The op and what it points to are copied. Returns FB_PENDING when `done` will be called later,
 * exactly once; any other status means that the operation is over, *ret_result is filled in, must be released with
 * fb_result_release, and `done` is never called. */
fb_status fb_submit(fb_cache *cache, const fb_op *op, fb_done done, void *user, fb_result *ret_result);
void fb_result_release(fb_result *result);

/* What this thread submits from here to fb_gather_end goes to the sources together then: the misses of many keys are one
 * batch, and not one that goes at once and a second with the rest. Operations that need no source end as ever. Nothing
 * may wait for what is gathered before the end; begin and end come in pairs, on one thread and for one cache. */
void fb_gather_begin(fb_cache *cache);
void fb_gather_end(fb_cache *cache);

/* The calls for cache-aside and locks without blocking; they begin and end as fb_submit does.
 *   fb_lease_submit   fb_get_or_lease: the value, or FB_LEASE with its token in `number`
 *   fb_fill_submit    found: FB_OK with the value, FB_NOTFOUND for absent, a negative status gives the lease back. life_ms:
 *                     of the copy, never longer than its TTL; 0: its TTL's
 *   fb_lock_submit    the token in `number`, the fencing number as text in `value` */
fb_status fb_lease_submit(fb_cache *cache, fb_bytes key, int64_t wait_ms, fb_done done, void *user, fb_result *ret_result);
fb_status fb_fill_submit(fb_cache *cache, fb_bytes key, uint64_t token, fb_status found, fb_bytes value, int64_t life_ms,
                         fb_done done, void *user, fb_result *ret_result);
fb_status fb_lock_submit(fb_cache *cache, fb_bytes name, int64_t ttl_ms, int64_t wait_ms, fb_done done, void *user,
                         fb_result *ret_result);
fb_status fb_unlock_submit(fb_cache *cache, fb_bytes name, uint64_t token, fb_done done, void *user, fb_result *ret_result);

/* Several operations as one transaction: all keyspaces must belong to one source, else FB_UNSUPPORTED. Kinds SET, HSET,
 * HDEL, ADD, DELETE; READ (what the transaction sees at that point), CHECK. They run in their order, each sees what those
 * before it have done, all or none: the first that fails takes all back, and so does a condition that does not hold
 * (FB_UNMET). Only where that operation has a `block` number, the other operations are done all the same and those of the
 * block are not; the conditions of a block are judged before its first write. (MSETNX is SETs with FB_COND_ABSENT.)
 * Atomic at the source; readers of the cache may see the keys change one after another. A CHECK that does not hold drops
 * the cached copy of its key, so that who reads it again sees what is there. A source made of functions knows no
 * transactions: it gets the operations one after another, and stops at the first that fails. */
typedef struct fb_outcome {
    fb_status status;         /* FB_OK, FB_IGNORED (all were), or what took it all back */
    size_t decided_by;        /* the operation that did; n where it was none in particular */
    fb_err err;               /* when status is negative */
    const fb_result *results; /* one per operation, as fb_submit gives it but for the text of errors; NULL when the
                                 transaction was not begun */
    size_t n;
} fb_outcome;
typedef void (*fb_done_all)(void *user, const fb_outcome *outcome);
#define FB_TRANSACTION_MAX 1024 /* operations */
/* Begins and ends as fb_submit does; a status other than FB_PENDING: nothing has happened, *ret_outcome says why, `done`
 * is not called. */
fb_status fb_submit_all(fb_cache *cache, const fb_op *ops, size_t n, fb_done_all done, void *user,
                        fb_outcome *ret_outcome);

/* The hit path: append the cached value to `out` if there is a fresh one. FB_OK (and its kind), FB_NOTFOUND (known
 * absent), or FB_MISS. Never waits for a source, never allocates but to grow `out`. */
fb_status fb_peek(fb_cache *cache, fb_bytes key, fb_buf *out, fb_kind *ret_kind);
/* Several fb_peek come next, for these keys (more than FB_PREFETCH_MAX are passed over): have their memory fetched
 * together, because a hit spends most of its time waiting for memory. A hint only; borrows the keys during the call. */
#define FB_PREFETCH_MAX 16
void fb_prefetch(fb_cache *cache, const fb_bytes *keys, size_t n);
/* Is there a fresh cached copy? FB_OK, FB_NOTFOUND, FB_MISS. Counts as no hit. */
fb_status fb_cached(fb_cache *cache, fb_bytes key);

/* When all that was acknowledged before is safe: on this machine's disk, whatever `every_second` says, or in the database
 * (which is asked for at once). Begins and ends as fb_submit does; FB_TIMEOUT after timeout_ms (0: for ever). Where nothing
 * is written behind it is done at once. */
typedef enum fb_settled { FB_SETTLED_JOURNAL, FB_SETTLED_SOURCE } fb_settled;
fb_status fb_settle(fb_cache *cache, fb_settled what, int64_t timeout_ms, fb_done done, void *user, fb_result *ret_result);

/* Dead letters of a source (NULL: the only one that is written behind): writes that were acknowledged and that the database
 * refused, with its reason. Begins and ends as fb_submit does. LIST: at most `limit` letters beyond number `id`, and GET
 * one: the result's value is a hash whose fields are named by the letters' numbers; each value is a hash of its own
 * (keyspace, key, seq, at, attempts, code, message, change). RETRY writes the letter's change once more and removes it;
 * an error says why the database refused again. DROP removes it. FB_NOTFOUND: there is no such letter. */
typedef enum fb_dead_verb { FB_DEAD_LIST, FB_DEAD_GET, FB_DEAD_RETRY, FB_DEAD_DROP } fb_dead_verb;
fb_status fb_dead(fb_cache *cache, const char *source, fb_dead_verb verb, uint64_t id, size_t limit, fb_done done,
                  void *user, fb_result *ret_result);

/* ---- looking in ---------------------------------------------------------------------------------------------------- */

/* A fingerprint of a value, for FB_OP_CHECK; differs from cache to cache. Absence has one too (FB_KIND_NONE). Pure. */
uint64_t fb_fingerprint(const fb_cache *cache, fb_kind kind, fb_bytes value);

/* One cached value, as fb_scan finds it. Borrowed during the visit. */
typedef struct fb_entry {
    fb_bytes key;
    fb_kind kind;
    unsigned keyspace;
} fb_entry;
typedef void (*fb_visit)(void *user, const fb_entry *entry);

/* Visit cached values that are fresh (no negative entries), about `count` of them, from a cursor on; 0 begins. Returns
 * the next cursor, 0 at the end of the round. Whoever is cached during the whole round is visited at least once, however
 * the table grows and shrinks meanwhile; others may be, and some twice. `visit` must not call this cache. */
uint64_t fb_scan(fb_cache *cache, uint64_t cursor, size_t count, fb_visit visit, void *user);
/* Append the key of a cached value chosen at random. FB_OK; FB_NOTFOUND when nothing is cached. */
fb_status fb_random_key(fb_cache *cache, fb_buf *ret_key);

/* Everything the cache knows of one key. Counts as no hit and loads nothing. Times in milliseconds. */
typedef struct fb_facts {
    int keyspace;            /* −1: it belongs to none; all else is 0 then */
    fb_status cached;        /* FB_OK, FB_NOTFOUND (a negative entry), FB_MISS */
    fb_kind kind;
    uint64_t value_bytes;    /* of the value */
    uint64_t memory;         /* what the entry is charged, with key and bookkeeping */
    unsigned frequency;      /* how often it was asked for, as far as the eviction counts; 0..3 with S3-FIFO */
    int64_t age_ms;          /* since the query that read it was sent */
    int64_t life_ms;         /* left */
    int64_t ttl_ms;          /* its whole life as the keyspace's TTL and its own jitter make it */
    int64_t cap_ms;          /* its whole life as EXPIRE or SET … EX shortened it; 0: not shortened */
    int64_t load_ms;         /* how long its load took; 0: it was written, not loaded */
    int64_t refresh_ms;      /* > 0: until a read of it begins its refresh (refresh_ahead); < 0: the next does; 0: none will */
    int64_t grace_ms;        /* > 0: there is a copy past its life, and so long it may still stand in (cached is FB_MISS) */
    int is_loading, is_written; /* a load, a write of this key is under way */
    unsigned waiters;        /* callers waiting for that load */
} fb_facts;
void fb_facts_get(fb_cache *cache, fb_bytes key, fb_facts *ret_facts);

/* The SQL a keyspace sends for an operation (READ, SET, DELETE, …), as text borrowed until fb_close; NULL where there is
 * none. Where it depends on the value, the text for all columns. Pure. */
const char *fb_keyspace_sql(const fb_cache *cache, unsigned index, fb_op_kind kind);
/* The last error of the keyspace's source (SOURCE, DOWN, TIMEOUT, UNKNOWN): FB_OK with its text, its status and how long
 * ago; FB_NOTFOUND when there was none. */
fb_status fb_keyspace_last_error(fb_cache *cache, unsigned index, fb_err *ret_text, int64_t *ret_age_ms);
/* Keys of rows that the source has, at most `limit` ≤ FB_LIST_MAX, in the order of the key's columns: to warm a cache.
 * Begins and ends as fb_submit does; the result's value is a hash whose field names are the keys (fb_hash_next). Only
 * for keyspaces of a table; others are FB_UNSUPPORTED. */
#define FB_LIST_MAX 100000
fb_status fb_list_keys(fb_cache *cache, unsigned keyspace, size_t limit, fb_done done, void *user, fb_result *ret_result);

/* ---- what happens, as it happens -------------------------------------------------------------------------------------- */

/* X(name, what happened) */
#define FB_EVENT_MAP(X)                                                                                               \
    X(LOADED, "a load brought a value or its absence, and it is cached")                                             \
    X(REFRESHED, "a load took the place of a copy that was still good")                                              \
    X(WRITTEN, "a write changed the row; `op` says which")                                                           \
    X(DELETED, "the row was deleted")                                                                                \
    X(UNCACHED, "an answer or a copy is backed by no entry: a load not kept, a copy that a refused write hid")       \
    X(DOUBTED, "a write may have changed the row, or its doubt window has just closed")                              \
    X(INVALIDATED, "the copy was dropped by a command, a call, or a write of what it depends on")                                           \
    X(LIFE, "EXPIRE or PERSIST changed the life of the copy; `op` says which")                                       \
    X(EXPIRED, "the copy was dropped at the end of its life")                                                        \
    X(EVICTED, "the copy was dropped to make room")                                                                  \
    X(STALE, "a copy past its life stood in for an answer that was late or has failed (grace)")                      \
    X(ALL, "any key may have changed: everything was forgotten, or events were lost")

typedef enum fb_event_kind {
#define FB_EVENT_(name, text) FB_EVENT_##name,
    FB_EVENT_MAP(FB_EVENT_)
#undef FB_EVENT_
} fb_event_kind;

typedef struct fb_event {
    fb_event_kind kind;
    unsigned keyspace;
    fb_bytes key;      /* borrowed during the call; data == NULL with ALL */
    fb_kind value;     /* LOADED, REFRESHED, UNCACHED, EXPIRED, EVICTED: of the value; FB_KIND_NONE: its absence */
    fb_op_kind op;     /* WRITTEN, DELETED, DOUBTED (READ: its window has closed), LIFE, INVALIDATED */
    unsigned flags;    /* of that operation */
    uint64_t origin;   /* of that operation; 0: nobody's */
} fb_event;

/* The one observer of a cache. Called on any thread, without a lock of the cache held, after the change can be seen by
 * readers and before the operation behind it completes; events of one key come in their order as far as one thread
 * caused them. It must not block. fb_watch may be called again to change `kinds` (a set of 1 << FB_EVENT_…; 0: none),
 * with the same function and `user`; only what is wanted costs anything. With 0 it returns when no call is under way, and
 * another observer may follow; so not from inside a call, nor twice at the same time.
 *
 * Who keeps an answer of fb_submit's, and drops it on any event of its key but LIFE that comes after the question was
 * asked, is never behind a write or an invalidation that this cache carried, and never keeps it longer than the cache
 * itself would have. */
typedef void (*fb_on_event)(void *user, const fb_event *event);
void fb_watch(fb_cache *cache, unsigned kinds, fb_on_event on_event, void *user);

/* ---- changing a running cache ------------------------------------------------------------------------------------------ */

/* Forget what is cached of one keyspace, negative entries too, and refuse its loads under way: after data were changed
 * in bulk behind Forebay's back. From a cursor on (0 begins), about `count` copies or less; returns the next cursor, 0
 * at the end. What is loaded after the call with cursor 0 may be forgotten as well. Any thread. */
uint64_t fb_invalidate_keyspace(fb_cache *cache, unsigned keyspace, uint64_t cursor, size_t count,
                                uint64_t *ret_dropped);
/* The same at the shared store, and so for all who share it: goes through the names that lie there. Say it after the above.
 * Blocks for as long as they are many; never call it from a completion, an event or a load. *ret_dropped: copies that were
 * there. FB_OK, also without a store; FB_STOREDOWN: some may still be there, say it again; FB_CLOSED: the cache closes;
 * FB_INVALID, FB_NOMEM. */
fb_status fb_invalidate_shared(fb_cache *cache, unsigned keyspace, uint64_t *ret_dropped, fb_err *reterr);
/* New numbers for a keyspace; they count at once for every entry. FB_INVALID when out of range. Any thread. */
fb_status fb_policy_set(fb_cache *cache, unsigned keyspace, const fb_policy *policy, fb_err *reterr);
/* A new memory_max. A smaller one takes effect over the next writes and ticks. FB_INVALID below 1 MiB. Any thread. */
fb_status fb_memory_max_set(fb_cache *cache, uint64_t bytes, fb_err *reterr);

/* ---- figures ------------------------------------------------------------------------------------------------------- */

/* Counters of one keyspace since the start. X(name, one line) */
#define FB_KEYSPACE_COUNTERS(X)                                                                                       \
    X(hits, "reads answered from a cached value")                                                                     \
    X(negative_hits, "reads answered by a negative entry")                                                            \
    X(misses, "reads that needed the source")                                                                         \
    X(coalesced, "misses that joined a load already under way")                                                       \
    X(shared_hits, "loads answered by the shared store instead of the source")                                        \
    X(stale_served, "misses answered with a copy past its life, within its grace")                                    \
    X(loads, "keys asked of the source")                                                                              \
    X(load_errors, "loads that failed")                                                                               \
    X(refreshes, "loads begun ahead of the end of a copy's life (refresh_ahead)")                                      \
    X(early_refreshes, "loads begun early at random (early_refresh, XFetch)")                                         \
    X(refreshes_refused, "reads of a copy due for its refresh while the source was down or busy")                     \
    X(fills_refused, "loads not kept because a write or invalidation came between")                                   \
    X(writes, "writes applied at the source")                                                                         \
    X(write_errors, "writes refused or failed")                                                                       \
    X(writes_ignored, "writes accepted and ignored (on_set: ignore)")                                                 \
    X(invalidations, "cached copies dropped by a write, a command or a call")                                         \
    X(expired, "entries whose life has ended")                                                                        \
    X(evicted, "entries dropped to make room")                                                                        \
    X(timeouts, "operations that gave up waiting")

typedef struct fb_keyspace_stats {
#define FB_COUNTER_FIELD_(name, text) uint64_t name;
    FB_KEYSPACE_COUNTERS(FB_COUNTER_FIELD_)
#undef FB_COUNTER_FIELD_
    uint64_t keys;          /* values cached now */
    uint64_t negative_keys; /* negative entries now */
    uint64_t bytes;         /* of both, with bookkeeping */
} fb_keyspace_stats;

/* The shared second level. X(name, meaning) */
#define FB_SHARING_COUNTERS(X)                                                                                        \
    X(trips, "round trips to the shared store")                                                                       \
    X(calls, "calls in them")                                                                                         \
    X(errors, "calls that the shared store refused or did not answer")                                                \
    X(hits, "values found there")                                                                                     \
    X(misses, "values not found there")                                                                               \
    X(negatives, "keys known there to be absent")                                                                     \
    X(leases, "loads that this process did for all")                                                                  \
    X(waits, "times that another process was loading the key already")                                                \
    X(busy, "loads during a write, whose answer nobody kept")                                                         \
    X(fills, "values put there by loads and writes")                                                                  \
    X(fills_refused, "loads that a write or an invalidation came before, somewhere")                                  \
    X(told, "changes that the store has told of")                                                                     \
    X(reasserted, "keys invalidated again after a failover or a silence of the store")

typedef struct fb_sharing_stats {
#define FB_COUNTER_FIELD_(name, text) uint64_t name;
    FB_SHARING_COUNTERS(FB_COUNTER_FIELD_)
#undef FB_COUNTER_FIELD_
    int is_shared;          /* there is one; all the rest is 0 otherwise */
    int is_up;              /* it is asked: it has answered, or nobody has found it silent */
    int is_proved;          /* it tells of every change: copies of this process serve */
    uint64_t primaries;     /* servers that hold the values; 0: none is known yet */
    uint64_t waiting;       /* calls in front of it now */
    char where[160];        /* the address of the first one; "" */
    char last_error[160];   /* "" */
} fb_sharing_stats;

typedef struct fb_source_stats {
    uint64_t read_trips;  /* round trips for loads */
    uint64_t rows_wanted; /* keys in them */
    uint64_t write_trips; /* transactions */
    uint64_t writes;      /* writes in them */
    uint64_t errors;      /* failed round trips */
    uint64_t waiting;     /* operations in the lanes now */
    uint64_t sessions;    /* connections now */
    uint64_t under_way;   /* round trips now */
    uint64_t cancelled;   /* round trips given up because nobody waited any more, or their time was over by far */
    uint64_t stopped;     /* operations not sent because the breaker was open */
    uint64_t breaker;     /* 0 closed, 1 open, 2 half-open: one round trip is finding out */
    uint64_t opens;       /* times it has opened */
    uint64_t retry_ms;    /* open: until one round trip may find out; 0: the next does */
} fb_source_stats;

/* Write-behind at a source. X(name, one line) */
#define FB_BEHIND_COUNTERS(X)                                                                                         \
    X(pending_keys, "keys with writes that the database does not have yet")                                           \
    X(pending_writes, "these writes")                                                                                 \
    X(pending_bytes, "memory they take")                                                                              \
    X(oldest_ms, "age of the oldest of them; 0: nothing waits")                                                       \
    X(acknowledged, "writes acknowledged since the start")                                                            \
    X(joined, "of these, writes that shared the journal's record with another of their key")                          \
    X(flushed_writes, "writes brought to the database since the start")                                               \
    X(flushed_rows, "rows written for them")                                                                          \
    X(flushes, "transactions of flushes")                                                                             \
    X(retries, "flushes that were tried again")                                                                       \
    X(dead, "writes that the database refused: dead letters since the start")                                         \
    X(went_back, "times that the database was found in an older state; what it had lost was flushed again")           \
    X(last_seq, "number of the newest write")                                                                         \
    X(applied_seq, "number up to which the database has them")                                                        \
    X(journal_bytes, "files of the journal")                                                                          \
    X(syncs, "syncs of the journal since the start")                                                                  \
    X(sync_max_us, "the longest of them, in microseconds")
typedef struct fb_behind_stats {
#define FB_COUNTER_FIELD_(name, text) uint64_t name;
    FB_BEHIND_COUNTERS(FB_COUNTER_FIELD_)
#undef FB_COUNTER_FIELD_
    const char *state;       /* "owner", "elsewhere", "fenced", "broken", "closed" */
    int is_late;             /* the oldest pending write is older than soft_ms */
    int is_stopped;          /* flushes are refused by the database as such: a table, column or right is missing */
    int every_second;        /* durability */
    char owner[128];         /* elsewhere: the owner's address */
    fb_err trouble;          /* why the last flush failed; FB_OK: it did not */
} fb_behind_stats;
/* FB_NOTFOUND where nothing is written behind. */
fb_status fb_behind_stats_get(const fb_source *source, fb_behind_stats *ret_stats);

/* How long things took at a source, as a histogram: times[i] of them took at most fb_time_steps_us[i], and not less than
 * the step before; the last count is of those that took longer than all steps. */
typedef enum fb_time_kind {
    FB_TIME_LOAD,  /* round trips for loads */
    FB_TIME_STORE, /* transactions */
    FB_TIME_LANE,  /* keys waiting for such a round trip to begin */
    FB_TIME_KINDS
} fb_time_kind;
#define FB_TIME_STEPS 16
extern const int64_t fb_time_steps_us[FB_TIME_STEPS];
typedef struct fb_times {
    uint64_t n, sum_us;
    uint64_t counts[FB_TIME_STEPS + 1];
} fb_times;
void fb_source_times_get(const fb_source *source, fb_time_kind kind, fb_times *ret_times);

typedef struct fb_stats {
    uint64_t memory_max;
    uint64_t memory_used;
    uint64_t keys;
    uint64_t negative_keys;
} fb_stats;

void fb_stats_get(fb_cache *cache, fb_stats *ret_stats);
fb_status fb_keyspace_stats_get(fb_cache *cache, unsigned index, fb_keyspace_stats *ret_stats);
void fb_sharing_stats_get(fb_cache *cache, fb_sharing_stats *ret_stats);
void fb_source_stats_get(const fb_source *source, fb_source_stats *ret_stats);
const char *fb_source_name(const fb_source *source);

#ifdef __cplusplus
}
#endif
#endif
