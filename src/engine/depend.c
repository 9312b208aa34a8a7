/* Keyspaces whose values show rows of another's table: who depends on whom, and what a transaction hides of them.
 *
 * Which keys a write changes besides its own (the lists that a row was in, and those it is in now) is known only inside
 * its transaction, from the row as it was. So the adapter notes them there, and just before COMMIT is sent they are held
 * (core/shard.h): what is cached of them goes, and what is loaded is not kept until the outcome is known. Whoever sees
 * the commit, in the row or in the database, finds no older list. Holding them from the begin of the write would need
 * their names; holding the whole keyspace instead would let one busy table keep every list out of the cache. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/tier.h"
#include "rows/depend.h"

enum { DEPENDENTS_MAX = 64 }; /* keyspaces that depend on one */

/* ---- who depends on whom ---- */

/* The columns of the writer that make the reader's key. */
static fb_status find_columns(const struct fb_mapping *writer, const struct fb_keyspace *reader,
                              const struct fb_depend *depend, struct fb_dependent *out, fb_err *err) {
    for (unsigned i = 0; i < reader->pattern.nparams; i++) {
        int column = fb_mapping_column(writer, depend->columns[i]);
        if (column < 0)
            return fb_fail(err, FB_CONFIG,
                           "keyspace '%s' writes a table that '%s' depends on, and its load does not show the column "
                           "'%s': which keys a write changes could not be known",
                           writer->name, reader->options.pattern, depend->columns[i]);
        out->columns[i] = (unsigned)column;
    }
    return FB_OK;
}

static fb_status add_dependent(struct fb_mapping *writer, const struct fb_dependent *dependent, fb_err *err) {
    if (writer->ndependents == DEPENDENTS_MAX)
        return fb_fail(err, FB_CONFIG, "more than %d keyspaces depend on '%s'", DEPENDENTS_MAX, writer->name);
    struct fb_dependent *all =
        fb_mem_realloc(writer->dependents, (writer->ndependents + 1) * sizeof *writer->dependents);
    if (all == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    writer->dependents = all;
    writer->dependents[writer->ndependents++] = *dependent;
    return FB_OK;
}

static bool can_depend(const struct fb_keyspace *writer, const struct fb_keyspace *reader) {
    const struct fb_driver_ops *ops = writer->source->ops;
    return ops == reader->source->ops && ops->writes != NULL && writer->options.write != FB_WRITE_OFF &&
           reader->options.write == FB_WRITE_OFF;
}

bool fb_keyspace_depends(const struct fb_keyspace *reader, const struct fb_keyspace *writer) {
    if (!can_depend(writer, reader))
        return false;
    unsigned n = reader->source->ops->mapping(reader->binding)->ndepends;
    for (unsigned i = 0; i < n; i++)
        if (writer->source->ops->writes(writer->binding, reader->binding, i))
            return true;
    return false;
}

static fb_status link_two(struct fb_keyspace *writer, struct fb_keyspace *reader, fb_err *err) {
    if (!can_depend(writer, reader))
        return FB_OK;
    const struct fb_driver_ops *ops = writer->source->ops;
    struct fb_mapping *written = ops->mapping(writer->binding);
    const struct fb_mapping *read = ops->mapping(reader->binding);
    fb_status status = FB_OK;
    for (unsigned i = 0; status == FB_OK && i < read->ndepends; i++) {
        struct fb_dependent dependent = {.pattern = &reader->pattern, .keyspace = reader->id};
        if (!ops->writes(writer->binding, reader->binding, i))
            continue;
        status = find_columns(written, reader, &read->depends[i], &dependent, err);
        if (status == FB_OK)
            status = add_dependent(written, &dependent, err);
    }
    return status;
}

fb_status fb_keyspace_link(struct fb_cache *cache, struct fb_keyspace *keyspace, fb_err *reterr) {
    fb_status status = FB_OK;
    for (unsigned i = 0; status == FB_OK && i < cache->nkeyspaces; i++) {
        status = link_two(keyspace, cache->keyspaces[i], reterr);
        if (status == FB_OK)
            status = link_two(cache->keyspaces[i], keyspace, reterr);
    }
    return status;
}

void fb_keyspace_unlink(struct fb_cache *cache, const struct fb_keyspace *keyspace) {
    for (unsigned i = 0; i < cache->nkeyspaces; i++) {
        const struct fb_keyspace *other = cache->keyspaces[i];
        if (other->source->ops->mapping == NULL)
            continue;
        struct fb_mapping *m = other->source->ops->mapping(other->binding);
        unsigned kept = 0;
        for (unsigned k = 0; k < m->ndependents; k++)
            if (m->dependents[k].keyspace != keyspace->id)
                m->dependents[kept++] = m->dependents[k];
        m->ndependents = kept;
    }
}

/* ---- holding ---- */

struct key {
    uint64_t hash;
    fb_bytes bytes;
    uint16_t keyspace;
};

static int by_hash(const void *a, const void *b) {
    const struct key *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->bytes.len != y->bytes.len)
        return x->bytes.len < y->bytes.len ? -1 : 1;
    return memcmp(x->bytes.data, y->bytes.data, x->bytes.len);
}

/* Every key that was touched, once. */
static fb_status list_keys(const struct fb_cache *cache, const struct fb_touched *touched, struct key **ret_keys,
                           size_t *ret_n) {
    struct key one;
    size_t n = 0, kept = 0;
    for (size_t cursor = 0; fb_touched_next(touched, &cursor, &one.keyspace, &one.bytes);)
        n++;
    struct key *keys = fb_mem_calloc(n, sizeof *keys);
    if (keys == NULL)
        return FB_NOMEM;
    for (size_t cursor = 0, i = 0; fb_touched_next(touched, &cursor, &one.keyspace, &one.bytes); i++) {
        one.hash = fb_cache_hash(cache, one.bytes);
        keys[i] = one;
    }
    qsort(keys, n, sizeof *keys, by_hash);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || by_hash(&keys[kept - 1], &keys[i]) != 0)
            keys[kept++] = keys[i];
    *ret_keys = keys;
    *ret_n = kept;
    return FB_OK;
}

/* The same at the store. */
static fb_status mark_held(struct fb_cache *cache, struct fb_holds *holds, const struct key *keys, size_t n) {
    const struct fb_keyspace **keyspaces = fb_mem_calloc(n, sizeof *keyspaces);
    fb_bytes *names = fb_mem_calloc(n, sizeof *names);
    fb_status status = FB_NOMEM;
    for (size_t i = 0; keyspaces != NULL && names != NULL && i < n; i++) {
        keyspaces[i] = cache->keyspaces[keys[i].keyspace];
        names[i] = keys[i].bytes;
    }
    if (keyspaces != NULL && names != NULL)
        status = fb_hold_marks_take(cache->tier, keyspaces, names, n, &holds->marks);
    fb_mem_free(keyspaces);
    fb_mem_free(names);
    return status;
}

fb_status fb_holds_take(struct fb_cache *cache, struct fb_holds *holds, const struct fb_touched *touched,
                        struct fb_effects *fx) {
    struct key *keys = NULL;
    size_t n = 0;
    fb_holds_release(cache, holds, /* is_doubted = */ false); /* those of an attempt that was taken back */
    if (touched->keys.len == 0)
        return FB_OK;
    fb_status status = list_keys(cache, touched, &keys, &n);
    if (status == FB_OK && (holds->items = fb_mem_calloc(n, sizeof *holds->items)) == NULL)
        status = FB_NOMEM;
    for (size_t i = 0; status == FB_OK && i < n; i++) {
        struct fb_held *held = &holds->items[holds->n];
        struct fb_engine_shard *shard = fb_cache_shard(cache, keys[i].hash);
        held->hash = keys[i].hash;
        fb_lock_acquire(&shard->lock);
        status = fb_shard_hold(shard->core, keys[i].hash, keys[i].bytes, keys[i].keyspace, &held->core, fb_clock_now(),
                               fx);
        fb_shard_leave(shard);
        holds->n += status == FB_OK;
    }
    if (status == FB_OK && cache->tier != NULL && n > 0)
        status = mark_held(cache, holds, keys, n);
    fb_mem_free(keys);
    return status;
}

void fb_holds_release(struct fb_cache *cache, struct fb_holds *holds, bool is_doubted) {
    for (size_t i = 0; i < holds->n; i++) {
        struct fb_engine_shard *shard = fb_cache_shard(cache, holds->items[i].hash);
        fb_lock_acquire(&shard->lock);
        shard->cause = (struct fb_event){.op = FB_OP_INVALIDATE};
        fb_shard_release(shard->core, &holds->items[i].core, is_doubted, fb_clock_now());
        fb_shard_leave(shard);
    }
    fb_hold_marks_release(holds->marks, is_doubted);
    fb_mem_free(holds->items);
    *holds = (struct fb_holds){NULL, NULL, 0};
}
