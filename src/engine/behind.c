/* The partition of a source: recovered and claimed at the start, asked by readers, closed at the end. */
#include "engine/behind.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "rows/change.h"

enum { OWNER_MAX = 128 };

static const char *const state_names[] = {
    [FB_BEHIND_CLOSED] = "closed", [FB_BEHIND_OWNER] = "owner", [FB_BEHIND_ELSEWHERE] = "elsewhere",
    [FB_BEHIND_FENCED] = "fenced", [FB_BEHIND_BROKEN] = "broken",
};

/* ---- changes ---- */

static struct fb_value *merge(const struct fb_value *older, const struct fb_value *newer) {
    struct fb_change a, b;
    fb_buf out = FB_BUF_INIT;
    struct fb_value *both = NULL;
    if (fb_change_parse(fb_value_bytes(older), &a) && fb_change_parse(fb_value_bytes(newer), &b) &&
        fb_change_merge(&a, &b, &out) == FB_OK)
        both = fb_value_new(FB_KIND_NONE, out.data, out.len);
    fb_buf_free(&out);
    return both;
}

static fb_status error_as(fb_status status, const fb_err *err, struct fb_value **value) {
    fb_value_unref(*value);
    *value = fb_value_new(FB_KIND_STRING, err->text, strlen(err->text));
    return status;
}

fb_status fb_behind_show(const struct fb_keyspace *keyspace, fb_bytes key, const struct fb_value *encoded,
                         fb_status status, struct fb_value **value) {
    const struct fb_mapping *mapping = keyspace->source->ops->mapping(keyspace->binding);
    struct fb_change change;
    fb_err err = {0};
    fb_buf out = FB_BUF_INIT;
    if (status < 0 || !fb_change_parse(fb_value_bytes(encoded), &change))
        return status;
    fb_bytes base = fb_value_bytes(*value);
    fb_status shown = fb_change_show(mapping, key, &change, status == FB_OK ? &base : NULL, &out, &err);
    struct fb_value *after = shown == FB_OK ? fb_value_new(fb_mapping_kind(mapping), out.data, out.len) : NULL;
    fb_buf_free(&out);
    if (shown == FB_OK && after == NULL)
        shown = fb_fail(&err, FB_NOMEM, "out of memory");
    if (shown < 0)
        return error_as(shown == FB_CONFIG ? FB_SOURCE : shown, &err, value);
    fb_value_unref(*value);
    *value = after;
    return shown;
}

fb_status fb_behind_before(struct fb_behind *behind, uint64_t hash, fb_bytes key, struct fb_value **ret_value,
                           uint64_t *ret_seq) {
    fb_status status = FB_MISS;
    *ret_value = NULL;
    fb_lock_acquire(&behind->lock);
    *ret_seq = behind->put_seq;
    const struct fb_dirty_entry *entry = fb_dirty_find(behind->dirty, hash, key), *past = NULL;
    if (behind->past != NULL)
        past = fb_dirty_find(behind->past, hash, key);
    if (!fb_behind_may_keep(behind))
        entry = past = NULL; /* it is about to become a letter */
    if (entry != NULL && entry->shows == FB_MISS && past != NULL) {
        *ret_value = merge(past->change, entry->change);
        status = *ret_value != NULL ? FB_MISS : FB_NOMEM;
    } else if (entry != NULL || past != NULL) {
        entry = entry != NULL ? entry : past;
        status = entry->shows;
        *ret_value = fb_value_ref(status == FB_MISS ? entry->change : entry->full);
    }
    fb_lock_release(&behind->lock);
    return status;
}

void fb_behind_not_ours(struct fb_behind *behind, const struct fb_flight *flight, fb_status *status,
                        struct fb_value **value) {
    struct fb_cache *cache = behind->cache;
    fb_err err = {0};
    if (*status < 0)
        return;
    if (cache->tier != NULL) {
        fb_lock_acquire(&behind->lock);
        (void)fb_fail(&err, FB_NOTOWNER, "partition '%s' is owned by %s; ask there", behind->source->name,
                      behind->owner.addr[0] != '\0' ? behind->owner.addr : behind->owner.owner);
        fb_lock_release(&behind->lock);
        *status = error_as(FB_NOTOWNER, &err, value);
        return;
    }
    fb_forget(cache, fb_flight_key(flight));
}

bool fb_behind_has_flushed(struct fb_behind *behind, uint64_t seq) {
    fb_lock_acquire(&behind->lock);
    bool has = behind->sent_seq > seq;
    fb_lock_release(&behind->lock);
    return has;
}

bool fb_behind_has(struct fb_behind *behind, uint64_t hash, fb_bytes key) {
    fb_lock_acquire(&behind->lock);
    bool has = fb_dirty_find(behind->dirty, hash, key) != NULL ||
               (behind->past != NULL && fb_dirty_find(behind->past, hash, key) != NULL);
    fb_lock_release(&behind->lock);
    return has;
}

struct fb_dirty *fb_behind_first(const struct fb_behind *behind) {
    return behind->past != NULL ? behind->past : behind->dirty;
}

struct fb_dirty_batch *fb_behind_commit(struct fb_behind *behind) {
    struct fb_dirty_batch *batch = fb_dirty_commit(fb_behind_first(behind));
    if (behind->past != NULL && fb_dirty_figures(behind->past).writes == 0)
        behind->past = fb_dirty_destroy(behind->past);
    return batch;
}

void fb_behind_changed(struct fb_behind *behind) {
    struct fb_dirty_figures figures = fb_dirty_figures(behind->dirty);
    atomic_store_explicit(&behind->pending_bytes, figures.bytes, memory_order_relaxed);
    atomic_store_explicit(&behind->pending_since, figures.since.ns, memory_order_relaxed);
    if (fb_before(fb_dirty_due(behind->dirty), behind->wakes))
        fb_cond_broadcast(&behind->changed); /* who drains waits for it too */
}

/* ---- opening ---- */

static fb_status fit(fb_behind_options *o, fb_err *reterr) {
    struct { uint64_t *value, dflt; } sizes[] = {{&o->soft_bytes, UINT64_C(256) << 20}, {&o->hard_bytes, UINT64_C(1) << 30}};
    struct { int64_t *value, dflt; } times[] = {{&o->soft_ms, 30000}, {&o->hard_ms, 600000}};
    for (size_t i = 0; i < 2; i++) {
        *sizes[i].value = *sizes[i].value > 0 ? *sizes[i].value : sizes[i].dflt;
        *times[i].value = *times[i].value > 0 ? *times[i].value : times[i].dflt;
    }
    o->dead_max = o->dead_max > 0 ? o->dead_max : FB_BEHIND_DEAD_MAX;
    if (o->soft_bytes > o->hard_bytes || o->soft_ms > o->hard_ms)
        return fb_fail(reterr, FB_CONFIG, "write-behind's soft limits must not be beyond its hard limits");
    return FB_OK;
}

static const struct fb_dirty_options map = {FB_BEHIND_ROWS_MAX, FB_BEHIND_BYTES_MAX, merge};

fb_status fb_behind_open(struct fb_source *source, fb_err *reterr) {
    const fb_behind_options *options = source->cache->behind;
    if (source->behind != NULL)
        return FB_OK;
    if (source->ops->flush == NULL)
        return fb_fail(reterr, FB_CONFIG, "source '%s' knows no transactions, and cannot be written behind", source->name);
    if (options == NULL || options->journal_dir == NULL)
        return fb_fail(reterr, FB_CONFIG, "write: write-behind needs a directory for the journal (server.journal_dir, or "
                       "server.state_dir)");
    if (strlen(source->name) > FB_FLUSH_PART_MAX || strchr(source->name, '/') != NULL || source->name[0] == '.')
        return fb_fail(reterr, FB_CONFIG, "source '%s': this name cannot be a partition's", source->name);
    fb_behind_options fitting = *options;
    fb_status status = fit(&fitting, reterr);
    if (status != FB_OK)
        return status;
    struct fb_behind *behind = fb_mem_calloc(1, sizeof *behind);
    if (behind == NULL || (behind->dirty = fb_dirty_create(&map)) == NULL) {
        fb_mem_free(behind);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    behind->source = source;
    behind->cache = source->cache;
    behind->options = fitting;
    fb_lock_init(&behind->lock, FB_LOCK_BEHIND);
    fb_cond_init(&behind->changed);
    fb_list_init(&behind->waits);
    fb_list_init(&behind->delayed);
    fb_list_init(&behind->asks);
    behind->wakes = FB_NEVER;
    behind->minute = FB_NEVER;
    behind->pending_since = INT64_MAX;
    (void)snprintf(behind->address, sizeof behind->address, "%s", options->address != NULL ? options->address : "");
    source->behind = behind; /* whole: the ticker runs already */
    return FB_OK;
}

/* ---- recovering ---- */

/* The partition was another's after this: what came before is in the database. */
static void forget_all(struct fb_behind *behind) {
    fb_lock_acquire(&behind->lock);
    while (fb_dirty_next(fb_behind_first(behind), FB_NEVER, true) != NULL)
        fb_dirty_batch_free(fb_behind_commit(behind));
    fb_lock_release(&behind->lock);
}

/* What was one unit stays together: in one batch. */
struct recovering {
    struct fb_behind *behind;
    struct fb_dirty *dirty;
    struct fb_link unit;
    uint64_t first_seq; /* of the unit */
    bool is_past;       /* it was ours before: nothing new comes of it */
};

static fb_status recover_one(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    struct recovering *recovering = user;
    struct fb_behind *behind = recovering->behind;
    struct fb_cache *cache = behind->cache;
    struct fb_change change;
    if (fb_list_is_empty(&recovering->unit))
        recovering->first_seq = entry->seq;
    if (entry->type == FB_BEHIND_CLEAN && recovering->is_past)
        return FB_OK;
    if (entry->type == FB_BEHIND_CLEAN) {
        if (behind->is_new)
            forget_all(behind);
        behind->put_seq = entry->seq;
        return FB_OK;
    }
    int id = fb_keyspace_of(cache, entry->key);
    struct fb_keyspace *keyspace = id >= 0 ? cache->keyspaces[id] : NULL;
    if (keyspace == NULL || keyspace->source != behind->source || keyspace->options.write != FB_WRITE_BEHIND)
        return fb_fail(reterr, FB_CONFIG, "the journal of source '%s' holds a write of key '%.*s', which no keyspace with "
                       "write: write-behind takes; put the keyspace back until it is drained", behind->source->name,
                       (int)(entry->key.len < 100 ? entry->key.len : 100), entry->key.data);
    if (!fb_change_parse(entry->payload, &change))
        return fb_fail(reterr, FB_CONFLICT, "record %llu of the journal is no change that this version knows",
                       (unsigned long long)entry->seq);
    const struct fb_mapping *mapping = behind->source->ops->mapping(keyspace->binding);
    struct fb_known row = {.shows = FB_MISS};
    fb_buf out = FB_BUF_INIT;
    struct fb_value *payload = fb_value_new(FB_KIND_NONE, entry->payload.data, entry->payload.len);
    fb_status status = payload != NULL ? FB_OK : FB_NOMEM;
    if (status == FB_OK && fb_change_is_whole(mapping, &change)) {
        row.shows = fb_change_show(mapping, entry->key, &change, NULL, &out, reterr);
        if (row.shows == FB_OK && (row.value = fb_value_new(fb_mapping_kind(mapping), out.data, out.len)) == NULL)
            status = FB_NOMEM;
        if (row.shows < 0)
            row.shows = FB_MISS;
    }
    struct fb_dirty_write write = {
        .hash = fb_cache_hash(cache, entry->key), .keyspace = keyspace->id, .key = entry->key, .change = payload,
        .shows = row.shows, .full = row.value};
    fb_lock_acquire(&behind->lock);
    if (status == FB_OK)
        status = fb_dirty_prepare(recovering->dirty, &write, &recovering->unit);
    if (status == FB_OK && !entry->more)
        fb_dirty_put(recovering->dirty, &recovering->unit, recovering->first_seq, fb_clock_now());
    if (!recovering->is_past)
        behind->put_seq = entry->seq;
    fb_lock_release(&behind->lock);
    fb_buf_free(&out);
    fb_value_unref(row.value);
    fb_value_unref(payload);
    return status == FB_OK ? FB_OK : fb_fail(reterr, status, "out of memory");
}

static void name_journal(struct fb_behind *behind) {
    const uint8_t *uuid = fb_journal_uuid(behind->journal);
    for (size_t i = 0; i < FB_JOURNAL_UUID_BYTES; i++)
        (void)snprintf(behind->uuid + 2 * i, 3, "%02x", uuid[i]);
}

static fb_status open_journal(struct fb_behind *behind, fb_err *reterr) {
    char dir[4096];
    struct fb_journal_options options = {
        .dir = dir, .durability = behind->options.every_second ? FB_JOURNAL_EVERYSEC : FB_JOURNAL_ALWAYS};
    int len = snprintf(dir, sizeof dir, "%s/%s", behind->options.journal_dir, behind->source->name);
    if (len < 0 || (size_t)len >= sizeof dir)
        return fb_fail(reterr, FB_CONFIG, "the path of the journal's directory is too long");
    fb_status status = fb_journal_open(&options, &behind->journal, reterr);
    if (status == FB_OK)
        name_journal(behind);
    return status == FB_OK ? FB_OK : fb_err_prefix(reterr, "the journal of source '%s': ", behind->source->name);
}

static void name_owner(char out[OWNER_MAX]) { (void)snprintf(out, OWNER_MAX, "pid %ld", (long)getpid()); }

static enum fb_claim claim(struct fb_behind *behind, bool looks_first, fb_err *err) {
    char owner[OWNER_MAX];
    struct fb_partition ret = {0};
    name_owner(owner);
    uint64_t random;
    fb_rng_system(&random, sizeof random);
    struct fb_claimant claimant = {behind->source->name, owner, behind->address, behind->uuid, behind->put_seq, looks_first,
                                   1 + random % FB_LEAP_MAX};
    enum fb_claim answer = behind->source->ops->flush->claim(behind->session, &claimant, &ret, err);
    fb_lock_acquire(&behind->lock);
    if (answer == FB_CLAIM_HELD) {
        behind->owner = ret;
        behind->state = FB_BEHIND_ELSEWHERE;
    } else if (answer == FB_CLAIM_MINE || answer == FB_CLAIM_NEW) {
        behind->epoch = ret.epoch;
        behind->applied_seq = ret.applied_seq;
        behind->is_ours = true;
    }
    fb_lock_release(&behind->lock);
    return answer;
}

static fb_status recover(struct fb_behind *behind, uint64_t applied_seq, fb_err *err) {
    if (behind->is_recovered)
        return FB_OK;
    struct recovering recovering = {.behind = behind, .dirty = behind->dirty};
    fb_list_init(&recovering.unit);
    fb_status status = fb_journal_recover(behind->journal, applied_seq, recover_one, &recovering, err);
    fb_dirty_give_up(&recovering.unit);
    behind->is_recovered = status == FB_OK;
    if (status != FB_OK)
        forget_all(behind); /* it is asked again, and brings all of it */
    return status;
}

static void note_put(struct fb_behind *behind, uint64_t seq) {
    fb_lock_acquire(&behind->lock);
    behind->put_seq = seq > behind->put_seq ? seq : behind->put_seq;
    fb_lock_release(&behind->lock);
}

/* How far the database had this journal when the partition was taken from it; 0: it never was. */
static fb_status ask_past(struct fb_behind *behind, uint64_t *ret_seq, fb_err *err) {
    char name[FB_FLUSH_PART_MAX + 1];
    struct fb_partition row;
    if (!fb_partition_past(behind->source->name, behind->uuid, name))
        return FB_OK;
    fb_status status = behind->source->ops->flush->read(behind->session, name, &row, err);
    *ret_seq = status == FB_OK ? row.applied_seq : 0;
    return status == FB_NOTFOUND ? FB_OK : status;
}

fb_status fb_behind_go_back(struct fb_behind *behind, uint64_t applied_seq, fb_err *err) {
    uint64_t last_seq = behind->past != NULL ? behind->past_seq : behind->applied_seq;
    struct recovering again = {.behind = behind, .dirty = fb_dirty_create(&map), .is_past = true};
    if (again.dirty == NULL)
        return fb_fail(err, FB_NOMEM, "out of memory");
    fb_list_init(&again.unit);
    fb_status status = fb_journal_again(behind->journal, applied_seq, last_seq, recover_one, &again, err);
    fb_dirty_give_up(&again.unit);
    if (status != FB_OK) {
        fb_dirty_destroy(again.dirty);
        return status;
    }
    fb_lock_acquire(&behind->lock);
    struct fb_dirty *old = behind->past;
    behind->past = again.dirty;
    behind->past_seq = last_seq;
    behind->applied_seq = applied_seq;
    behind->went_back++;
    fb_lock_release(&behind->lock);
    fb_dirty_destroy(old);
    return FB_OK;
}

/* The partition is not this journal's, or not any more: what the journal still has of earlier times is in the database or
 * a conflict. Either way it must never be written again, also after a crash: so the journal says that it is over before
 * the partition is ours, from the end of the journal on. */
static fb_status settle_past(struct fb_behind *behind, fb_err *err) {
    struct fb_journal_stats stats;
    uint64_t known_seq = 0;
    fb_journal_stats(behind->journal, &stats);
    fb_status status = behind->is_recovered ? FB_OK : ask_past(behind, &known_seq, err);
    if (status != FB_OK)
        return status;
    known_seq = stats.first_seq > known_seq ? stats.first_seq - 1 : known_seq;
    behind->is_new = true;
    status = recover(behind, known_seq, err);
    behind->is_new = false;
    if (status != FB_OK)
        return status;
    fb_journal_stats(behind->journal, &stats);
    note_put(behind, stats.written_seq);
    behind->owes_end |= fb_dirty_figures(behind->dirty).writes > 0;
    status = fb_behind_bury(behind, err);
    if (status != FB_OK || !behind->owes_end)
        return status;
    status = fb_behind_note_end(behind, &known_seq, err);
    if (status != FB_OK)
        return status;
    note_put(behind, known_seq);
    behind->owes_end = false;
    return FB_OK;
}

/* A partition that this process does not have, or has lost, can be its journal's only when another one runs with a copy of
 * it; or when the answer to a claim of ours was lost. The watermark counts the records of one journal: with two of the same
 * name, writes of one would pass for those of the other. */
static fb_status check_copy(struct fb_behind *behind, fb_err *err) {
    char owner[OWNER_MAX];
    struct fb_partition row;
    if (!behind->is_recovered)
        return FB_OK;
    fb_status status = behind->source->ops->flush->read(behind->session, behind->source->name, &row, err);
    if (status != FB_OK)
        return status == FB_NOTFOUND ? FB_OK : status;
    name_owner(owner);
    bool is_by_us = strcmp(row.owner, owner) == 0 && strcmp(row.addr, behind->address) == 0 &&
                    row.applied_seq == behind->put_seq;
    if (strcmp(row.journal, behind->uuid) != 0 || is_by_us)
        return FB_OK;
    return fb_fail(err, FB_NOTOWNER, "%s at %s writes to source '%s' with a copy of this journal; stop both, and start one "
                   "without it", row.owner, row.addr, behind->source->name);
}

fb_status fb_behind_look_before(struct fb_behind *behind, bool *ret_is_from_before, fb_err *err) {
    struct fb_partition row = {.epoch = UINT64_MAX};
    fb_status status = behind->source->ops->flush->read(behind->session, behind->source->name, &row, err);
    *ret_is_from_before = status == FB_OK && strcmp(row.journal, behind->uuid) == 0 && row.epoch < behind->epoch;
    return status == FB_NOTFOUND ? FB_OK : status;
}

fb_status fb_behind_claim_back(struct fb_behind *behind, fb_err *err) {
    uint64_t applied_seq = behind->applied_seq; /* changed by this thread alone */
    enum fb_claim answer = claim(behind, /* looks_first */ true, err);
    if (answer != FB_CLAIM_MINE)
        return answer == FB_CLAIM_ERROR && err->status != FB_OK ? err->status : FB_CONFLICT;
    fb_lock_acquire(&behind->lock);
    uint64_t found_seq = behind->applied_seq;
    behind->applied_seq = applied_seq;
    fb_lock_release(&behind->lock);
    return fb_behind_go_back(behind, found_seq, err);
}

fb_status fb_behind_take(struct fb_behind *behind, fb_err *err) {
    fb_status status = behind->state == FB_BEHIND_FENCED ? settle_past(behind, err) : FB_OK;
    if (status == FB_OK)
        status = check_copy(behind, err);
    if (status != FB_OK)
        return status;
    enum fb_claim answer = claim(behind, /* looks_first */ true, err);
    if (answer == FB_CLAIM_FREE) {
        status = settle_past(behind, err);
        if (status == FB_OK)
            answer = claim(behind, /* looks_first */ false, err);
    }
    if (status == FB_OK && answer == FB_CLAIM_ERROR)
        return err->status != FB_OK ? err->status : FB_SOURCE;
    if (status == FB_OK && answer == FB_CLAIM_HELD)
        return FB_OK;
    if (status == FB_OK)
        status = recover(behind, behind->applied_seq, err);
    if (status != FB_OK)
        return status;
    fb_lock_acquire(&behind->lock);
    if (behind->put_seq < behind->applied_seq)
        behind->put_seq = behind->applied_seq;
    fb_behind_changed(behind);
    behind->state = FB_BEHIND_OWNER;
    fb_lock_release(&behind->lock);
    return FB_OK;
}

fb_status fb_behind_start(struct fb_behind *behind, fb_err *reterr) {
    const struct fb_driver_ops *ops = behind->source->ops;
    fb_status status = open_journal(behind, reterr);
    if (status == FB_OK)
        status = ops->session_open(behind->source->driver, /* is_writer = */ true, &behind->session, reterr);
    if (status != FB_OK)
        return status;
    status = fb_behind_take(behind, reterr);
    if (status != FB_OK)
        return status;
    if (pthread_create(&behind->flusher, NULL, fb_behind_flusher, behind) != 0)
        return fb_fail(reterr, FB_SYSTEM, "cannot start a thread");
    behind->has_flusher = true;
    return FB_OK;
}

fb_status fb_start(fb_cache *cache, fb_err *reterr) {
    fb_status status = FB_OK;
    for (unsigned i = 0; i < cache->nsources && status == FB_OK; i++)
        if (cache->sources[i]->behind != NULL && cache->sources[i]->behind->state == FB_BEHIND_CLOSED)
            status = fb_behind_start(cache->sources[i]->behind, reterr);
    return status;
}

/* ---- time, and the end ---- */

/* Those whose time to be held back is over; all of them when is_all. */
static void release(struct fb_behind *behind, fb_instant now, bool is_all) {
    struct fb_link due = FB_LIST_INIT(due);
    fb_lock_acquire(&behind->lock);
    for (struct fb_link *l = behind->delayed.next, *next; l != &behind->delayed; l = next) {
        next = l->next;
        if (!is_all && !fb_reached(now, fb_member_of(l, struct fb_behind_way, link)->due))
            continue;
        fb_list_remove(l);
        fb_list_push_back(&due, l);
    }
    bool is_any = !fb_list_is_empty(&due);
    behind->releasing += is_any; /* nobody overtakes these */
    fb_lock_release(&behind->lock);
    for (struct fb_link *l; (l = fb_list_pop_front(&due)) != NULL;) {
        struct fb_behind_way *way = fb_member_of(l, struct fb_behind_way, link);
        way->done(way);
    }
    if (!is_any)
        return;
    fb_lock_acquire(&behind->lock);
    behind->releasing--;
    fb_lock_release(&behind->lock);
}

void fb_behind_tick(struct fb_behind *behind, fb_instant now) {
    struct fb_link over = FB_LIST_INIT(over);
    release(behind, now, false);
    fb_lock_acquire(&behind->lock);
    fb_behind_settle(behind, now, &over);
    fb_lock_release(&behind->lock);
    fb_behind_tell(behind, &over);
}

void fb_behind_withdraw(struct fb_behind *behind) {
    struct fb_link over = FB_LIST_INIT(over);
    fb_lock_acquire(&behind->lock);
    behind->is_draining = true;
    fb_behind_settle(behind, FB_NEVER, &over);
    fb_lock_release(&behind->lock);
    fb_behind_tell(behind, &over);
    fb_behind_refuse_asks(behind);
    release(behind, fb_clock_now(), true);
}

void fb_behind_stop(struct fb_behind *behind) {
    fb_err err;
    fb_lock_acquire(&behind->lock);
    behind->is_ending = true;
    fb_cond_broadcast(&behind->changed);
    fb_lock_release(&behind->lock);
    if (behind->has_flusher)
        pthread_join(behind->flusher, NULL);
    behind->has_flusher = false;
    (void)fb_journal_close(behind->journal, &err);
    behind->journal = NULL;
}

void fb_behind_close(struct fb_behind *behind) {
    if (behind == NULL)
        return;
    if (behind->session != NULL)
        behind->source->ops->session_close(behind->session);
    fb_dirty_destroy(behind->past);
    fb_dirty_destroy(behind->dirty);
    fb_cond_finish(&behind->changed);
    fb_lock_finish(&behind->lock);
    fb_mem_free(behind);
}

/* ---- those that are another's ---- */

int fb_is_elsewhere(const fb_cache *cache) {
    for (unsigned i = 0; i < cache->nsources; i++)
        if (cache->sources[i]->behind != NULL && cache->sources[i]->behind->state == FB_BEHIND_ELSEWHERE)
            return true;
    return false;
}

fb_status fb_owner_get(fb_cache *cache, fb_bytes key, char *ret_address, size_t size) {
    int id = fb_keyspace_of(cache, key);
    const struct fb_keyspace *keyspace = id >= 0 ? cache->keyspaces[id] : NULL;
    struct fb_behind *behind = keyspace != NULL ? keyspace->source->behind : NULL;
    if (behind == NULL || keyspace->options.write != FB_WRITE_BEHIND || behind->state != FB_BEHIND_ELSEWHERE)
        return FB_OK;
    fb_lock_acquire(&behind->lock);
    (void)snprintf(ret_address, size, "%s", behind->owner.addr);
    fb_lock_release(&behind->lock);
    return FB_NOTOWNER;
}

void fb_forget(fb_cache *cache, fb_bytes key) {
    uint64_t hash = fb_cache_hash(cache, key);
    struct fb_engine_shard *shard = fb_cache_shard(cache, hash);
    struct fb_effects fx;
    fb_effects_init(&fx);
    fb_lock_acquire(&shard->lock);
    (void)fb_shard_invalidate(shard->core, hash, key, fb_clock_now(), &fx);
    fb_shard_leave(shard);
    fb_carry_out(cache, &fx, FB_RUN_LANES);
}

/* ---- figures ---- */

fb_status fb_behind_stats_get(const fb_source *source, fb_behind_stats *ret) {
    struct fb_behind *behind = source->behind;
    struct fb_journal_stats journal = {0};
    *ret = (fb_behind_stats){0};
    if (behind == NULL)
        return FB_NOTFOUND;
    if (behind->journal != NULL)
        fb_journal_stats(behind->journal, &journal);
    fb_instant now = fb_clock_now();
    fb_lock_acquire(&behind->lock);
    struct fb_dirty_figures figures = fb_dirty_figures(behind->dirty);
    bool is_broken = journal.failure.status != FB_OK; /* perhaps before any write has found out */
    *ret = (fb_behind_stats){
        .pending_keys = figures.keys, .pending_writes = figures.writes, .pending_bytes = figures.bytes,
        .oldest_ms = figures.writes > 0 ? (uint64_t)fb_span_ms(fb_since(now, figures.since)) + 1 : 0,
        .acknowledged = journal.records + behind->joined, .joined = behind->joined, .flushed_writes = behind->flushed_writes,
        .flushed_rows = behind->flushed_rows, .flushes = behind->flushes, .retries = behind->retries,
        .dead = behind->dead, .went_back = behind->went_back, .last_seq = behind->put_seq, .applied_seq = behind->applied_seq,
        .journal_bytes = journal.segments_bytes, .syncs = journal.syncs, .sync_max_us = (uint64_t)journal.sync_max_us,
        .state = state_names[is_broken ? FB_BEHIND_BROKEN : behind->state], .is_stopped = behind->is_stopped,
        .every_second = behind->options.every_second, .trouble = is_broken ? journal.failure : behind->trouble};
    ret->is_late = ret->oldest_ms > (uint64_t)behind->options.soft_ms;
    if (behind->state == FB_BEHIND_ELSEWHERE)
        (void)snprintf(ret->owner, sizeof ret->owner, "%s", behind->owner.addr);
    fb_lock_release(&behind->lock);
    return FB_OK;
}
