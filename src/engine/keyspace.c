/* Adding keyspaces and finding the one a key belongs to. */
#include "engine/keyspace.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "engine/behind.h"
#include "engine/engine.h"
#include "rows/near.h"

enum { NEAR_PATTERNS_MAX = 128 }; /* looked at for a hint: a client that asks for wrong keys must not cost much */

/* The members of fb_keyspace_options that are strings. */
#define STRINGS(X) X(pattern) X(table) X(load) X(store) X(del) X(as)

/* And those that are lists of strings. */
#define LISTS(X) X(hide) X(order) X(depends) X(rename) X(adds)

static bool copy_list(const char *const *list, const char *const **ret_copy) {
    size_t n = 0;
    while (list != NULL && list[n] != NULL)
        n++;
    char **copy = list != NULL ? fb_mem_calloc(n + 1, sizeof *copy) : NULL;
    *ret_copy = (const char *const *)copy;
    for (size_t i = 0; copy != NULL && i < n; i++)
        if ((copy[i] = fb_mem_strdup(list[i])) == NULL)
            return false;
    return list == NULL || copy != NULL;
}

static void free_list(const char *const *list) {
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        fb_mem_free((char *)list[i]);
    fb_mem_free((void *)list);
}

void fb_keyspace_free(struct fb_keyspace *keyspace) {
    if (keyspace == NULL)
        return;
    if (keyspace->binding != NULL)
        keyspace->source->ops->unbind(keyspace->binding);
    fb_pattern_finish(&keyspace->pattern);
#define FREE(member) fb_mem_free((char *)keyspace->options.member);
    STRINGS(FREE)
#undef FREE
#define FREE(member) free_list(keyspace->options.member);
    LISTS(FREE)
#undef FREE
    for (struct fb_shown_options *shown = atomic_load(&keyspace->shown), *older; shown != NULL; shown = older) {
        older = shown->older;
        fb_mem_free(shown);
    }
    fb_mem_free(keyspace);
}

static fb_status copy_options(struct fb_keyspace *keyspace, const fb_keyspace_options *options) {
    bool is_complete = true;
    keyspace->options = *options;
#define CLEAR(member) keyspace->options.member = NULL;
    STRINGS(CLEAR)
    LISTS(CLEAR)
#undef CLEAR
#define COPY(member)                                                                                                  \
    keyspace->options.member = fb_mem_strdup(options->member);                                                        \
    is_complete &= options->member == NULL || keyspace->options.member != NULL;
    STRINGS(COPY)
#undef COPY
#define COPY(member) is_complete &= copy_list(options->member, &keyspace->options.member);
    LISTS(COPY)
#undef COPY
    return is_complete ? FB_OK : FB_NOMEM;
}

/* A list is what a query finds, and there is no row behind it that could be written. */
static fb_status check_list(const fb_keyspace_options *o, fb_err *reterr) {
    bool is_many = o->rows == FB_ROWS_MANY, is_of_table = is_many && o->table != NULL;
    if (o->rows != FB_ROWS_ONE && !is_many)
        return fb_fail(reterr, FB_CONFIG, "unknown number of rows");
    if (is_many && !o->source->ops->has_lists)
        return fb_fail(reterr, FB_CONFIG, "source '%s' has no lists (rows: many)", o->source->name);
    if (is_many && o->write != FB_WRITE_OFF)
        return fb_fail(reterr, FB_CONFIG, "rows: many is read-only; write the rows by keys of their own");
    if (is_many && o->read == FB_READ_ASIDE)
        return fb_fail(reterr, FB_CONFIG, "rows: many is loaded by Forebay: read: read-through");
    if (is_many && o->as != NULL && (strcmp(o->as, "hash") == 0 || strcmp(o->as, "text") == 0))
        return fb_fail(reterr, FB_CONFIG, "rows: many is a JSON array: as: json or column:NAME");
    if (!is_of_table && (o->order != NULL || o->limit > 0))
        return fb_fail(reterr, FB_CONFIG, "order and limit belong to rows: many of a table");
    if (o->rename != NULL && o->table == NULL)
        return fb_fail(reterr, FB_CONFIG, "rename_columns belongs to a table; name the columns of load with AS");
    if (o->depends != NULL && o->write != FB_WRITE_OFF)
        return fb_fail(reterr, FB_CONFIG, "depends belongs to keyspaces that are only read (write: off)");
    if (o->depends != NULL && is_of_table)
        return fb_fail(reterr, FB_CONFIG, "a list of a table depends on that table by itself; leave depends out");
    if (o->depends != NULL && o->source->ops->writes == NULL)
        return fb_fail(reterr, FB_CONFIG, "source '%s' has no tables to depend on", o->source->name);
    if (o->limit > FB_MANY_ROWS_MAX)
        return fb_fail(reterr, FB_CONFIG, "limit: at most %d rows", FB_MANY_ROWS_MAX);
    return FB_OK;
}

static fb_status check_modes(const fb_keyspace_options *o, fb_err *reterr) {
    bool writes = o->write != FB_WRITE_OFF;
    if (o->read != FB_READ_THROUGH && o->read != FB_READ_ASIDE)
        return fb_fail(reterr, FB_CONFIG, "unknown read mode");
    if (o->write != FB_WRITE_OFF && o->write != FB_WRITE_THROUGH && o->write != FB_WRITE_AROUND &&
        o->write != FB_WRITE_BEHIND)
        return fb_fail(reterr, FB_CONFIG, "unknown write mode");
    if (o->write != FB_WRITE_BEHIND && o->adds != NULL)
        return fb_fail(reterr, FB_CONFIG, "add_columns belongs to write: write-behind");
    if (o->write == FB_WRITE_BEHIND && o->read == FB_READ_ASIDE)
        return fb_fail(reterr, FB_CONFIG, "write: write-behind needs read: read-through");
    if (o->flush_interval_ms < 0)
        return fb_fail(reterr, FB_CONFIG, "flush_interval must not be negative");
    if (o->on_set == FB_ON_SET_WRITE && !writes)
        return fb_fail(reterr, FB_CONFIG, "on_set: write needs write: write-through, write-behind or write-around");
    if (o->on_del == FB_ON_DEL_DELETE_ROW && !writes)
        return fb_fail(reterr, FB_CONFIG, "on_del: delete-row needs write: write-through, write-behind or write-around");
    if (o->read == FB_READ_ASIDE && fb_policy_refreshes(&o->policy))
        return fb_fail(reterr, FB_CONFIG, "refresh_ahead and early_refresh need read: read-through");
    return fb_policy_check(&o->policy, reterr);
}

/* A list, or a statement of one's own that only reads: a sum, a join. What it shows is derived. */
static bool is_view(const struct fb_keyspace *keyspace) {
    const fb_keyspace_options *o = &keyspace->options;
    return o->rows == FB_ROWS_MANY || (o->table == NULL && o->write == FB_WRITE_OFF);
}

/* Two keyspaces that can hold the same row need each other's fences: one must depend on the other. */
static bool may_share(const struct fb_keyspace *a, const struct fb_keyspace *b) {
    return is_view(a) || is_view(b) || fb_keyspace_depends(a, b) || fb_keyspace_depends(b, a);
}

static fb_status check_table(const struct fb_cache *cache, const struct fb_keyspace *keyspace, fb_err *reterr) {
    const struct fb_driver_ops *ops = keyspace->source->ops;
    for (unsigned i = 0; i < cache->nkeyspaces; i++) {
        const struct fb_keyspace *other = cache->keyspaces[i];
        if (other->source->ops != ops || ops->shared_table == NULL || may_share(keyspace, other))
            continue;
        const char *table = ops->shared_table(keyspace->binding, other->binding);
        if (table != NULL)
            return fb_fail(reterr, FB_CONFIG, "table '%s' is mapped by '%s' already: a row may have one key only", table,
                           other->options.pattern);
    }
    return FB_OK;
}

bool fb_keyspace_adds(const struct fb_keyspace *keyspace, const char *column) {
    const char *const *adds = keyspace->options.adds;
    for (size_t i = 0; adds != NULL && adds[i] != NULL; i++)
        if (strcmp(adds[i], column) == 0)
            return true;
    return false;
}

static fb_status check_behind(struct fb_keyspace *keyspace, fb_err *reterr) {
    const fb_keyspace_options *o = &keyspace->options;
    if (o->write != FB_WRITE_BEHIND)
        return FB_OK;
    fb_status status = fb_behind_open(keyspace->source, reterr);
    struct fb_mapping *m = status == FB_OK ? keyspace->source->ops->mapping(keyspace->binding) : NULL;
    if (m != NULL)
        m->is_changed |= o->table == NULL; /* its own statements do as they like */
    for (size_t i = 0; status == FB_OK && o->adds != NULL && o->adds[i] != NULL; i++) {
        int column = fb_mapping_column(m, o->adds[i]);
        if (column < 0)
            return fb_fail(reterr, FB_CONFIG, "add_columns: there is no column '%s'", o->adds[i]);
        enum fb_class class = m->columns[column].class;
        if (class != FB_CLASS_INTEGER && class != FB_CLASS_NUMERIC)
            return fb_fail(reterr, FB_CONFIG, "add_columns: column '%s' is no whole number", o->adds[i]);
        if (o->table == NULL)
            return fb_fail(reterr, FB_CONFIG, "add_columns belongs to a table; let the statement of `store` add");
    }
    return status;
}

static fb_status bind_keyspace(struct fb_cache *cache, struct fb_keyspace *keyspace, fb_err *reterr) {
    char *pattern = NULL;
    fb_status status = keyspace->source->ops->bind(keyspace->source->driver, &keyspace->options, &keyspace->binding,
                                                   &pattern, reterr);
    if (status != FB_OK)
        return status;
    if (pattern != NULL) {
        fb_mem_free((char *)keyspace->options.pattern);
        keyspace->options.pattern = pattern;
    }
    status = check_behind(keyspace, reterr);
    if (status == FB_OK)
        status = check_table(cache, keyspace, reterr);
    if (status == FB_OK)
        status = fb_pattern_parse(keyspace->options.pattern, &keyspace->pattern, reterr);
    if (status == FB_OK)
        status = fb_keyspace_link(cache, keyspace, reterr);
    if (status == FB_OK)
        status = fb_router_add(cache->router, &keyspace->pattern, keyspace->id, reterr);
    if (status != FB_OK)
        fb_keyspace_unlink(cache, keyspace);
    return status;
}

fb_status fb_keyspace_add(fb_cache *cache, const fb_keyspace_options *options, fb_err *reterr) {
    struct fb_pattern parsed;
    if (options->pattern == NULL || options->source == NULL)
        return fb_fail(reterr, FB_CONFIG, "a keyspace needs a pattern and a source");
    if (cache->nkeyspaces == FB_ROUTER_KEYSPACES_MAX)
        return fb_fail(reterr, FB_CONFIG, "at most %d keyspaces", FB_ROUTER_KEYSPACES_MAX);
    fb_status status = check_modes(options, reterr);
    if (status == FB_OK)
        status = check_list(options, reterr);
    if (status == FB_OK)
        status = fb_pattern_parse(options->pattern, &parsed, reterr);
    if (status != FB_OK)
        return status;
    fb_pattern_finish(&parsed);

    struct fb_keyspace *keyspace = fb_mem_calloc(1, sizeof *keyspace);
    if (keyspace == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    keyspace->source = options->source;
    keyspace->id = (uint16_t)cache->nkeyspaces;
    keyspace->kind = options->as != NULL && strcmp(options->as, "hash") == 0 ? FB_KIND_HASH : FB_KIND_STRING;
    keyspace->on_set = options->on_set != FB_ON_SET_DEFAULT   ? options->on_set
                       : options->write != FB_WRITE_OFF ? FB_ON_SET_WRITE
                                                        : FB_ON_SET_ERROR;
    status = copy_options(keyspace, options);
    if (status != FB_OK)
        (void)fb_fail(reterr, status, "out of memory");
    if (status == FB_OK)
        status = bind_keyspace(cache, keyspace, reterr);
    if (status != FB_OK) {
        fb_keyspace_free(keyspace);
        return status;
    }
    fb_keyspace_put_policy(cache, keyspace->id, &options->policy);
    cache->keyspaces[cache->nkeyspaces++] = keyspace;
    return FB_OK;
}

unsigned fb_keyspace_count(const fb_cache *cache) { return cache->nkeyspaces; }

const fb_keyspace_options *fb_keyspace_at(const fb_cache *cache, unsigned index) {
    if (index >= cache->nkeyspaces)
        return NULL;
    const struct fb_shown_options *shown = atomic_load(&cache->keyspaces[index]->shown);
    return shown != NULL ? &shown->options : &cache->keyspaces[index]->options;
}

int fb_keyspace_of(const fb_cache *cache, fb_bytes key) {
    return key.len <= FB_KEY_MAX ? fb_router_find(cache->router, key) : -1;
}

int fb_keyspace_near(const fb_cache *cache, fb_bytes key, fb_err *ret_why) {
    char why[FB_NEAR_WHY_MAX];
    unsigned best_cost = 0, n = cache->nkeyspaces < NEAR_PATTERNS_MAX ? cache->nkeyspaces : NEAR_PATTERNS_MAX;
    int best = -1;
    for (unsigned i = 0; i < n && key.len <= FB_KEY_MAX; i++) {
        unsigned cost = fb_pattern_near(&cache->keyspaces[i]->pattern, key, why);
        if (cost == 0 || (best >= 0 && cost >= best_cost))
            continue;
        best = (int)i;
        best_cost = cost;
        (void)fb_fail(ret_why, FB_NOMAP, "%s", why);
    }
    return best;
}

fb_status fb_cache_find(struct fb_cache *cache, fb_bytes key, struct fb_keyspace **ret_keyspace, fb_err *reterr) {
    if (atomic_load_explicit(&cache->pending, memory_order_relaxed) & FB_CLOSING)
        return fb_fail(reterr, FB_CLOSED, "the cache is closing");
    int id = fb_keyspace_of(cache, key);
    if (id < 0)
        return fb_fail(reterr, FB_NOMAP, "key '%.*s' matches no keyspace and no store is configured",
                       (int)(key.len < 100 ? key.len : 100), key.data);
    *ret_keyspace = cache->keyspaces[id];
    return FB_OK;
}
