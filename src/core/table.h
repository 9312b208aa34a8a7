/* The cached entries of one shard: an index by key, the bytes, their accounting and their eviction.
 *
 * Behind this interface a lock-free, log-structured table can take over: a read copies out and hands back the stamp, so
 * that the verdict on freshness is made on a copy and nothing points into the table afterwards. Not thread-safe: the
 * shard's lock covers it.
 *
 * The first table: an index of tagged pointers in cache lines that grows by one bucket at a time (core/index.h), and
 * one block of memory per entry with its head, key and value, so that a hit costs two places in memory. Overwriting
 * with a value of about the same size happens in place. An entry is charged its block as the C library rounds it, and a
 * fixed share of the index and of the eviction's memory, so that memory_max is roughly what the process takes.
 *
 * Invariants: T1 at most one entry per key. T2 bytes_used never exceeds bytes_max after a call (on the way to a smaller
 * bytes_max: neither values nor absences take more than before it). T3 negative entries
 * have memory of their own (bytes_max / FB_TABLE_NEGATIVE_SHARE), so a scan of absent keys cannot push out values.
 * T4 bytes_used is our own arithmetic and the same under every allocator. */
#ifndef FB_CORE_TABLE_H
#define FB_CORE_TABLE_H

#include <forebay/forebay.h>

#include "policy/evict.h"
#include "policy/policy.h"

enum {
    FB_TABLE_NEGATIVE_SHARE = 20, /* 5 % of the memory for negative entries */
    FB_TABLE_ENTRY_SHARE = 8,     /* a value larger than 1/8 of a table is served but not kept */
};

struct fb_table;

struct fb_table_stats {
    uint64_t keys, negative_keys, bytes;
};

/* Told of every entry the table drops by itself (eviction only), just before it goes. Must not call the table. */
typedef void fb_table_evicted(void *user, fb_bytes key, const struct fb_stamp *stamp);

struct fb_table *fb_table_create(uint64_t bytes_max, const struct fb_evict_ops *evict, fb_table_evicted *evicted,
                                 void *user);
struct fb_table *fb_table_destroy(struct fb_table *table); /* NULL accepted; returns NULL */

/* Copy the value out (appended to `out`, unless NULL) with its stamp. FB_OK; FB_MISS when there is no entry;
 * FB_NOMEM when `out` could not grow. Does not judge freshness and counts as no hit: see fb_table_touch. */
fb_status fb_table_read(struct fb_table *table, uint64_t hash, fb_bytes key, struct fb_stamp *ret_stamp, fb_buf *out);
/* Tell the eviction that the entry just read was wanted. Ignored when it is gone. */
void fb_table_touch(struct fb_table *table, uint64_t hash, fb_bytes key);

/* Have memory fetched for a read that comes soon, in two steps with other keys' in between: PREFETCH_INDEX for all, then
 * PREFETCH_ENTRY for all. Only hints: nothing depends on them. */
enum fb_prefetch_step { FB_PREFETCH_INDEX, FB_PREFETCH_ENTRY };
void fb_table_prefetch(const struct fb_table *table, uint64_t hash, enum fb_prefetch_step step);

/* Insert or overwrite. An entry that cannot be kept (out of memory, too large) is removed instead: false. */
bool fb_table_put(struct fb_table *table, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_bytes value);
/* Another bytes_max. A smaller one is reached by fb_table_shrink and a little with every fb_table_put, so that no call
 * evicts a whole cache under its lock. */
void fb_table_set_max(struct fb_table *table, uint64_t bytes_max);
/* Evict up to `steps` entries that are too many. */
void fb_table_shrink(struct fb_table *table, unsigned steps);
/* Change the cap of an entry; false when there is none. */
bool fb_table_set_cap(struct fb_table *table, uint64_t hash, fb_bytes key, uint32_t cap_ms);
/* fb_stamp_put_off for an entry, where there is one. */
void fb_table_put_off(struct fb_table *table, uint64_t hash, fb_bytes key, const fb_policy *policy, fb_instant now,
                      uint16_t draw);
/* fb_stamp_let_go for an entry, where there is one. */
void fb_table_let_go(struct fb_table *table, uint64_t hash, fb_bytes key, fb_instant until);
/* Remove; true when there was an entry. *ret_stamp may be NULL. */
bool fb_table_remove(struct fb_table *table, uint64_t hash, fb_bytes key, struct fb_stamp *ret_stamp);
void fb_table_clear(struct fb_table *table);

/* Look at up to `steps` index slots, going round, and remove the entries the judge condemns; returns how many. A judge may
 * let a stamp go (fb_stamp_let_go) and changes nothing else. */
typedef bool fb_table_judge(void *user, fb_bytes key, struct fb_stamp *stamp);
unsigned fb_table_sweep(struct fb_table *table, unsigned steps, fb_table_judge *is_over, void *user);

/* Visit the entries of the bucket at `position` (0 begins); returns the next position, FB_TABLE_END when the round is
 * over. An entry that is there during a whole round is visited, however the table grows and shrinks between the steps;
 * some may be visited twice. `visit` must not call the table; *ret_looked is what the step cost, in index slots. */
#define FB_TABLE_END (UINT64_C(1) << 32)
typedef void fb_table_visit(void *user, fb_bytes key, const struct fb_stamp *stamp);
uint64_t fb_table_scan(struct fb_table *table, uint64_t position, fb_table_visit *visit, void *user,
                       unsigned *ret_looked);

/* What the table knows of an entry. FB_OK or FB_MISS; counts as no hit. */
struct fb_table_facts {
    struct fb_stamp stamp;
    uint64_t value_bytes, memory;
    unsigned frequency;       /* as the eviction counts */
};
fb_status fb_table_facts(const struct fb_table *table, uint64_t hash, fb_bytes key, struct fb_table_facts *ret_facts);

/* As fb_table_scan, but removes the entries the judge condemns. */
uint64_t fb_table_purge(struct fb_table *table, uint64_t position, fb_table_judge *is_over, void *user,
                        unsigned *ret_looked);

void fb_table_stats(const struct fb_table *table, struct fb_table_stats *ret_stats);
/* The same of one keyspace. */
void fb_table_keyspace_stats(const struct fb_table *table, uint16_t keyspace, struct fb_table_stats *ret_stats);

#endif
