/* Cached entries: one block of memory each (head, key, value), found through the index, counted in bytes, evicted.
 *
 * A hit reads one line of the index and then the block from its beginning: what decides (hash, stamp, lengths), then
 * the key, then the value. */
#include "core/table.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "core/index.h"

enum {
    ALLOC_HEAD = 8, ALLOC_UNIT = 16, /* what a block costs beside its bytes under the C library's allocator */
    SHRINK_PER_PUT = 8,              /* entries too many that a put evicts beside those it needs room for */
    INDEX_COST = 32,                 /* an entry's share of the index (16 and overflow) and of the ghost (8 and room) */
};

enum owner { VALUES, NEGATIVES };

struct entry {
    uint64_t hash; /* first: the index looks for it here */
    struct fb_stamp stamp;
    uint32_t value_len;
    uint16_t key_len;
    struct fb_evict_node node; /* of negative entries: in the table's own FIFO */
    char data[];               /* key, value */
};

struct budget {
    uint64_t bytes_max; /* of this moment: the goal, or what is left on the way to it */
    uint64_t goal, bytes, keys;
};

struct fb_table {
    struct fb_index index;
    struct budget budgets[2]; /* by owner */
    uint32_t entry_max;
    const struct fb_evict_ops *ops;
    struct fb_evict *evict;
    struct fb_link negatives; /* fb_evict_node.link, oldest first */
    struct fb_table_stats *by_keyspace; /* keyspaces of them; grown with the first entry of a keyspace */
    unsigned keyspaces;
    struct entry *recent;     /* the last one read, so that touching it looks for nothing; may be NULL */
    uint32_t size_read;       /* of the last one read: the next is probably alike */
    size_t swept;             /* the bucket a sweep goes on from */
    fb_table_evicted *evicted;
    void *user;
};

struct wanted {
    uint64_t hash;
    fb_bytes key;
};

static enum owner owner_of(const struct fb_stamp *stamp) { return stamp->kind == FB_KIND_NONE ? NEGATIVES : VALUES; }

static struct entry *entry_of(struct fb_evict_node *node) { return fb_member_of(node, struct entry, node); }

static fb_bytes key_of(const struct entry *entry) { return fb_bytes_of(entry->data, entry->key_len); }

static uint64_t cost_of(size_t key_len, size_t value_len) {
    uint64_t block = sizeof(struct entry) + key_len + value_len + ALLOC_HEAD;
    return ((block + ALLOC_UNIT - 1) & ~(uint64_t)(ALLOC_UNIT - 1)) + INDEX_COST;
}

static bool is_wanted(const void *item, const void *user) {
    const struct entry *entry = item;
    const struct wanted *w = user;
    return entry->hash == w->hash && entry->key_len == w->key.len && memcmp(entry->data, w->key.data, w->key.len) == 0;
}

static struct entry *find(const struct fb_table *table, uint64_t hash, fb_bytes key) {
    return fb_index_find(&table->index, hash, is_wanted, &(struct wanted){hash, key});
}

static void follow_goal(struct budget *budget) {
    budget->bytes_max = budget->bytes > budget->goal ? budget->bytes : budget->goal;
}

static void set_goals(struct fb_table *table, uint64_t bytes_max) {
    uint64_t negatives = bytes_max / FB_TABLE_NEGATIVE_SHARE, entry_max = bytes_max / FB_TABLE_ENTRY_SHARE;
    table->budgets[NEGATIVES].goal = negatives;
    table->budgets[VALUES].goal = bytes_max - negatives;
    table->entry_max = entry_max < UINT32_MAX ? (uint32_t)entry_max : UINT32_MAX;
    follow_goal(&table->budgets[NEGATIVES]);
    follow_goal(&table->budgets[VALUES]);
}

struct fb_table *fb_table_create(uint64_t bytes_max, const struct fb_evict_ops *ops, fb_table_evicted *evicted,
                                 void *user) {
    struct fb_table *table = fb_mem_calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    set_goals(table, bytes_max);
    table->ops = ops;
    table->evicted = evicted;
    table->user = user;
    fb_list_init(&table->negatives);
    if (!fb_index_init(&table->index))
        goto no_index;
    table->evict = ops->create(table->budgets[VALUES].bytes_max);
    if (table->evict != NULL)
        return table;
    fb_index_finish(&table->index);
no_index:
    fb_mem_free(table);
    return NULL;
}

struct fb_table *fb_table_destroy(struct fb_table *table) {
    if (table == NULL)
        return NULL;
    fb_table_clear(table);
    table->ops->destroy(table->evict);
    fb_index_finish(&table->index);
    fb_mem_free(table->by_keyspace);
    fb_mem_free(table);
    return NULL;
}

/* ---- accounting ---- */

/* Room for a keyspace's figures; false when out of memory. */
static bool know_keyspace(struct fb_table *table, uint16_t keyspace) {
    if (keyspace < table->keyspaces)
        return true;
    unsigned n = 2u * keyspace + 1;
    struct fb_table_stats *figures = fb_mem_realloc(table->by_keyspace, n * sizeof *figures);
    if (figures == NULL)
        return false;
    memset(figures + table->keyspaces, 0, (n - table->keyspaces) * sizeof *figures);
    table->by_keyspace = figures;
    table->keyspaces = n;
    return true;
}

static void account(struct fb_table *table, const struct entry *entry, int sign) {
    enum owner owner = owner_of(&entry->stamp);
    struct fb_table_stats *figures = &table->by_keyspace[entry->stamp.keyspace];
    uint64_t one = (uint64_t)(int64_t)sign, size = entry->node.size * one;
    table->budgets[owner].bytes += size;
    table->budgets[owner].keys += one;
    figures->bytes += size;
    *(owner == VALUES ? &figures->keys : &figures->negative_keys) += one;
}

/* The end of an entry that its queue has let go. */
static void forget(struct fb_table *table, struct entry *entry) {
    account(table, entry, -1);
    if (table->recent == entry)
        table->recent = NULL;
    fb_index_remove(&table->index, entry);
    fb_mem_free(entry);
}

static void drop(struct fb_table *table, struct entry *entry) {
    if (owner_of(&entry->stamp) == NEGATIVES)
        fb_list_remove(&entry->node.link);
    else
        table->ops->remove(table->evict, &entry->node);
    forget(table, entry);
}

static bool evict_one(struct fb_table *table, enum owner owner) {
    struct fb_evict_node *node;
    if (owner == VALUES)
        node = table->ops->victim(table->evict);
    else {
        struct fb_link *oldest = fb_list_pop_front(&table->negatives);
        node = oldest != NULL ? fb_member_of(oldest, struct fb_evict_node, link) : NULL;
    }
    if (node == NULL)
        return false;
    if (table->evicted != NULL)
        table->evicted(table->user, key_of(entry_of(node)), &entry_of(node)->stamp);
    forget(table, entry_of(node));
    return true;
}

void fb_table_set_max(struct fb_table *table, uint64_t bytes_max) {
    set_goals(table, bytes_max);
    table->ops->resize(table->evict, table->budgets[VALUES].goal);
}

void fb_table_shrink(struct fb_table *table, unsigned steps) {
    for (enum owner owner = VALUES; owner <= NEGATIVES; owner++) {
        struct budget *budget = &table->budgets[owner];
        for (; steps > 0 && budget->bytes > budget->goal && evict_one(table, owner); steps--)
            fb_index_settle(&table->index);
        follow_goal(budget);
    }
}

/* ---- reading ---- */

fb_status fb_table_read(struct fb_table *table, uint64_t hash, fb_bytes key, struct fb_stamp *ret_stamp, fb_buf *out) {
    struct entry *entry = find(table, hash, key);
    if (entry == NULL)
        return FB_MISS;
    if (out != NULL && fb_buf_append(out, entry->data + entry->key_len, entry->value_len) != FB_OK)
        return FB_NOMEM;
    *ret_stamp = entry->stamp;
    table->recent = entry;
    table->size_read = entry->node.size;
    return FB_OK;
}

void fb_table_prefetch(const struct fb_table *table, uint64_t hash, enum fb_prefetch_step step) {
    enum { LINE = 64, LINES_MAX = 8 }; /* longer values stream by themselves */
    if (step == FB_PREFETCH_INDEX) {
        fb_index_prefetch_bucket(&table->index, hash);
        return;
    }
    unsigned lines = table->size_read / LINE + 1;
    fb_index_prefetch_item(&table->index, hash, lines < LINES_MAX ? lines : LINES_MAX);
}

void fb_table_touch(struct fb_table *table, uint64_t hash, fb_bytes key) {
    struct entry *entry = table->recent;
    if (entry == NULL || !is_wanted(entry, &(struct wanted){hash, key}))
        entry = find(table, hash, key);
    if (entry != NULL && owner_of(&entry->stamp) == VALUES)
        table->ops->hit(table->evict, &entry->node);
}

/* ---- changing ---- */

static bool insert(struct fb_table *table, const struct wanted *w, const struct fb_stamp *stamp, fb_bytes value,
                   uint32_t cost) {
    struct budget *budget = &table->budgets[owner_of(stamp)];
    if (budget->bytes_max > budget->goal)
        fb_table_shrink(table, SHRINK_PER_PUT);
    while (budget->bytes + cost > budget->bytes_max)
        if (!evict_one(table, owner_of(stamp)))
            return false;
    if (!know_keyspace(table, stamp->keyspace))
        return false;
    /* All that it is charged for, so that whatever costs the same fits in its place. */
    struct entry *entry = fb_mem_alloc(cost - INDEX_COST - ALLOC_HEAD);
    if (entry == NULL)
        return false;
    *entry = (struct entry){.hash = w->hash,
                            .stamp = *stamp,
                            .value_len = (uint32_t)value.len,
                            .key_len = (uint16_t)w->key.len,
                            .node = {.size = cost, .tag = (uint32_t)(w->hash >> 16)}};
    memcpy(entry->data, w->key.data, w->key.len);
    if (value.len > 0)
        memcpy(entry->data + w->key.len, value.data, value.len);
    if (!fb_index_insert(&table->index, entry)) {
        fb_mem_free(entry);
        return false;
    }
    account(table, entry, +1);
    if (owner_of(stamp) == NEGATIVES)
        fb_list_push_back(&table->negatives, &entry->node.link);
    else
        table->ops->insert(table->evict, &entry->node);
    return true;
}

bool fb_table_put(struct fb_table *table, uint64_t hash, fb_bytes key, const struct fb_stamp *stamp, fb_bytes value) {
    assert(key.len <= UINT16_MAX);
    struct wanted w = {hash, key};
    struct entry *entry = find(table, hash, key);
    bool is_small_enough = value.len <= table->entry_max && cost_of(key.len, value.len) <= table->entry_max;
    uint32_t cost = is_small_enough ? (uint32_t)cost_of(key.len, value.len) : 0;
    if (entry != NULL && entry->node.size == cost && owner_of(&entry->stamp) == owner_of(stamp) &&
        entry->stamp.keyspace == stamp->keyspace) {
        entry->stamp = *stamp;
        entry->value_len = (uint32_t)value.len;
        if (value.len > 0)
            memcpy(entry->data + key.len, value.data, value.len);
        return true;
    }
    if (entry != NULL)
        drop(table, entry);
    bool is_kept = is_small_enough && insert(table, &w, stamp, value, cost);
    fb_index_settle(&table->index);
    return is_kept;
}

bool fb_table_set_cap(struct fb_table *table, uint64_t hash, fb_bytes key, uint32_t cap_ms) {
    struct entry *entry = find(table, hash, key);
    if (entry != NULL)
        entry->stamp.cap_ms = cap_ms;
    return entry != NULL;
}

void fb_table_put_off(struct fb_table *table, uint64_t hash, fb_bytes key, const fb_policy *policy, fb_instant now,
                      uint16_t draw) {
    struct entry *entry = find(table, hash, key);
    if (entry != NULL)
        fb_stamp_put_off(&entry->stamp, policy, now, draw);
}

void fb_table_let_go(struct fb_table *table, uint64_t hash, fb_bytes key, fb_instant until) {
    struct entry *entry = find(table, hash, key);
    if (entry != NULL)
        fb_stamp_let_go(&entry->stamp, until);
}

bool fb_table_remove(struct fb_table *table, uint64_t hash, fb_bytes key, struct fb_stamp *ret_stamp) {
    struct entry *entry = find(table, hash, key);
    if (entry == NULL)
        return false;
    if (ret_stamp != NULL)
        *ret_stamp = entry->stamp;
    drop(table, entry);
    fb_index_settle(&table->index);
    return true;
}

/* ---- all entries ---- */

static void drop_any(void *user, void *item) { drop(user, item); }

void fb_table_clear(struct fb_table *table) {
    for (size_t n = 0; n < table->index.buckets; n++)
        fb_index_walk(&table->index, n, drop_any, table);
    while (table->index.buckets > FB_PAGE_BUCKETS) {
        size_t before = table->index.buckets;
        fb_index_settle(&table->index);
        if (table->index.buckets == before) /* no memory to give memory back: another time */
            break;
    }
}

struct sweep {
    struct fb_table *table;
    fb_table_judge *is_over;
    void *user;
    unsigned removed;
};

static void drop_if_over(void *user, void *item) {
    struct sweep *sweep = user;
    struct entry *entry = item;
    if (!sweep->is_over(sweep->user, key_of(entry), &entry->stamp))
        return;
    drop(sweep->table, entry);
    sweep->removed++;
}

unsigned fb_table_sweep(struct fb_table *table, unsigned steps, fb_table_judge *is_over, void *user) {
    struct sweep sweep = {table, is_over, user, 0};
    for (unsigned seen = 0; seen < steps; table->swept++) {
        if (table->swept >= table->index.buckets)
            table->swept = 0;
        seen += fb_index_walk(&table->index, table->swept, drop_if_over, &sweep);
    }
    for (unsigned i = 0; i < sweep.removed; i++)
        fb_index_settle(&table->index);
    return sweep.removed;
}

struct scan {
    fb_table_visit *visit;
    void *user;
};

static void show(void *user, void *item) {
    const struct scan *scan = user;
    const struct entry *entry = item;
    scan->visit(scan->user, key_of(entry), &entry->stamp);
}

uint64_t fb_table_purge(struct fb_table *table, uint64_t position, fb_table_judge *is_over, void *user,
                        unsigned *ret_looked) {
    struct sweep sweep = {table, is_over, user, 0};
    uint64_t end;
    size_t bucket = fb_index_interval(&table->index, (uint32_t)position, &end);
    *ret_looked = fb_index_walk(&table->index, bucket, drop_if_over, &sweep);
    for (unsigned i = 0; i < sweep.removed; i++)
        fb_index_settle(&table->index);
    return end;
}

_Static_assert(FB_TABLE_END == FB_INDEX_END, "a position of the table is one of its index");

uint64_t fb_table_scan(struct fb_table *table, uint64_t position, fb_table_visit *visit, void *user,
                       unsigned *ret_looked) {
    uint64_t end;
    size_t bucket = fb_index_interval(&table->index, (uint32_t)position, &end);
    *ret_looked = fb_index_walk(&table->index, bucket, show, &(struct scan){visit, user});
    return end;
}

/* ---- figures ---- */

fb_status fb_table_facts(const struct fb_table *table, uint64_t hash, fb_bytes key, struct fb_table_facts *ret_facts) {
    const struct entry *entry = find(table, hash, key);
    if (entry == NULL)
        return FB_MISS;
    *ret_facts = (struct fb_table_facts){
        .stamp = entry->stamp,
        .value_bytes = entry->value_len,
        .memory = entry->node.size,
        .frequency = owner_of(&entry->stamp) == VALUES ? table->ops->frequency(&entry->node) : 0,
    };
    return FB_OK;
}

void fb_table_stats(const struct fb_table *table, struct fb_table_stats *ret_stats) {
    *ret_stats = (struct fb_table_stats){
        .keys = table->budgets[VALUES].keys,
        .negative_keys = table->budgets[NEGATIVES].keys,
        .bytes = table->budgets[VALUES].bytes + table->budgets[NEGATIVES].bytes,
    };
}

void fb_table_keyspace_stats(const struct fb_table *table, uint16_t keyspace, struct fb_table_stats *ret_stats) {
    *ret_stats = keyspace < table->keyspaces ? table->by_keyspace[keyspace] : (struct fb_table_stats){0};
}
