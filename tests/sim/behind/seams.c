/* What stands between the engine and its world: a disk that takes its time, a small journal, and the parts that are left out.
 *
 * The linker puts these in the place of calls between the engine's files (--wrap). */
#include <string.h>

#include "core/dirty.h"
#include "engine/behind.h"
#include "rows/change.h"
#include "world.h"

enum { SEGMENT_BYTES = 8192, KEEP_BYTES = 8 * SEGMENT_BYTES };

/* ---- the disk ---- */

struct slow { struct fb_files files; unsigned machine; };

static struct fb_files *disk_of(struct fb_files *files) {
    return &w.machines[((struct slow *)files)->machine].disk->files;
}
static void take_time(void) {
    thread_rest(world_happens(10) ? (int64_t)fb_rng_below(&world_rng, 20) * FB_NS_PER_MS
                                  : (int64_t)fb_rng_below(&world_rng, 1000) * 1000);
}

static int slow_open(struct fb_files *f, const char *name, enum fb_files_how how) {
    return disk_of(f)->ops->open(disk_of(f), name, how);
}
static int slow_close(struct fb_files *f, int handle) { return disk_of(f)->ops->close(disk_of(f), handle); }
static int64_t slow_size(struct fb_files *f, int handle) { return disk_of(f)->ops->size(disk_of(f), handle); }
static ssize_t slow_read(struct fb_files *f, int handle, void *out, size_t len, uint64_t offset) {
    return disk_of(f)->ops->read(disk_of(f), handle, out, len, offset);
}
static ssize_t slow_write(struct fb_files *f, int handle, const void *data, size_t len, uint64_t offset) {
    if (world_happens(8))
        take_time();
    return disk_of(f)->ops->write(disk_of(f), handle, data, len, offset);
}
static int slow_sync(struct fb_files *f, int handle) {
    take_time();
    if (world_lacks(PART_NO_SYNC))
        return 0;
    int r = disk_of(f)->ops->sync(disk_of(f), handle);
    if (r < 0 && world_lacks(PART_SYNC_AGAIN))
        r = disk_of(f)->ops->sync(disk_of(f), handle);
    take_time();
    return r;
}
static int slow_sync_dir(struct fb_files *f) {
    take_time();
    return disk_of(f)->ops->sync_dir(disk_of(f));
}
static int slow_rename(struct fb_files *f, const char *from, const char *to) {
    return disk_of(f)->ops->rename(disk_of(f), from, to);
}
static int slow_unlink(struct fb_files *f, const char *name) { return disk_of(f)->ops->unlink(disk_of(f), name); }
static int slow_list(struct fb_files *f, bool (*each)(void *user, const char *name), void *user) {
    return disk_of(f)->ops->list(disk_of(f), each, user);
}
static int slow_lock(struct fb_files *f, const char *name) { return disk_of(f)->ops->lock(disk_of(f), name); }
static void slow_finish(struct fb_files *f) { (void)f; }

static const struct fb_files_ops slow_ops = {slow_open,   slow_close,  slow_size, slow_read, slow_write,  slow_sync, slow_sync_dir,
                                             slow_rename, slow_unlink, slow_list, slow_lock, slow_finish};

struct fb_files *slow_files(unsigned machine) {
    static struct slow disks[MACHINES];
    disks[machine] = (struct slow){{&slow_ops}, machine};
    return &disks[machine].files;
}

/* ---- the journal ---- */

fb_status __real_fb_journal_open(const struct fb_journal_options *options, struct fb_journal **ret, fb_err *reterr);
fb_status __wrap_fb_journal_open(const struct fb_journal_options *options, struct fb_journal **ret, fb_err *reterr);
fb_status __wrap_fb_journal_open(const struct fb_journal_options *options, struct fb_journal **ret, fb_err *reterr) {
    struct fb_journal_options o = *options;
    o.files = slow_files((unsigned)(options->dir[strlen("disk")] - '0'));
    o.segment_bytes = SEGMENT_BYTES;
    o.keep_bytes = KEEP_BYTES;
    if (world_lacks(PART_ACK_EARLY))
        o.durability = FB_JOURNAL_EVERYSEC;
    return __real_fb_journal_open(&o, ret, reterr);
}

static fb_status take_nothing(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    (void)user;
    (void)entry;
    (void)reterr;
    return FB_OK;
}

struct apart {
    fb_journal_each *each;
    void *user;
};

static fb_status take_one(void *user, const struct fb_journal_entry *entry, fb_err *reterr) {
    const struct apart *apart = user;
    struct fb_journal_entry one = *entry;
    one.more = false;
    return apart->each(apart->user, &one, reterr);
}

fb_status __real_fb_journal_recover(struct fb_journal *j, uint64_t applied_seq, fb_journal_each *each, void *user, fb_err *reterr);
fb_status __wrap_fb_journal_recover(struct fb_journal *j, uint64_t applied_seq, fb_journal_each *each, void *user, fb_err *reterr);
fb_status __wrap_fb_journal_recover(struct fb_journal *j, uint64_t applied_seq, fb_journal_each *each, void *user, fb_err *reterr) {
    if (world_lacks(PART_NO_RECOVERY))
        each = take_nothing;
    if (world_lacks(PART_RECOVERS_ALL))
        applied_seq = 0;
    struct apart apart = {each, user};
    if (world_lacks(PART_UNITS_COME_APART))
        return __real_fb_journal_recover(j, applied_seq, take_one, &apart, reterr);
    return __real_fb_journal_recover(j, applied_seq, each, user, reterr);
}

/* ---- readers, changes, rows, units ---- */

fb_status __real_fb_behind_show(const struct fb_keyspace *keyspace, fb_bytes key, const struct fb_value *change,
                                fb_status status, struct fb_value **value);
fb_status __wrap_fb_behind_show(const struct fb_keyspace *keyspace, fb_bytes key, const struct fb_value *change,
                                fb_status status, struct fb_value **value);
fb_status __wrap_fb_behind_show(const struct fb_keyspace *keyspace, fb_bytes key, const struct fb_value *change,
                                fb_status status, struct fb_value **value) {
    if (world_lacks(PART_NO_OVERLAY))
        return status;
    if (!world_lacks(PART_OVERLAY_LATE))
        return __real_fb_behind_show(keyspace, key, change, status, value);
    struct fb_behind *behind = keyspace->source->behind;
    const struct fb_dirty_entry *entry = fb_dirty_find(behind->dirty, fb_cache_hash(behind->cache, key), key);
    return entry != NULL ? __real_fb_behind_show(keyspace, key, entry->change, status, value) : status;
}

bool __real_fb_behind_has_flushed(struct fb_behind *behind, uint64_t seq);
bool __wrap_fb_behind_has_flushed(struct fb_behind *behind, uint64_t seq);
bool __wrap_fb_behind_has_flushed(struct fb_behind *behind, uint64_t seq) {
    return !world_lacks(PART_OVERTAKEN) && __real_fb_behind_has_flushed(behind, seq);
}

fb_status __real_fb_change_merge(const struct fb_change *older, const struct fb_change *newer, fb_buf *out);
fb_status __wrap_fb_change_merge(const struct fb_change *older, const struct fb_change *newer, fb_buf *out);
fb_status __wrap_fb_change_merge(const struct fb_change *older, const struct fb_change *newer, fb_buf *out) {
    if (world_lacks(PART_MERGE_TURNED))
        return __real_fb_change_merge(newer, older, out);
    return __real_fb_change_merge(world_lacks(PART_NO_MERGE) ? newer : older, newer, out);
}

bool __real_fb_decide_needs(const struct fb_store_group *group, struct fb_known *const *of, const struct fb_known *row);
bool __wrap_fb_decide_needs(const struct fb_store_group *group, struct fb_known *const *of, const struct fb_known *row);
bool __wrap_fb_decide_needs(const struct fb_store_group *group, struct fb_known *const *of, const struct fb_known *row) {
    return !world_lacks(PART_NO_ROW) && __real_fb_decide_needs(group, of, row);
}

void __real_fb_decide(struct fb_store_group *group, struct fb_known *const *of);
void __wrap_fb_decide(struct fb_store_group *group, struct fb_known *const *of);
void __wrap_fb_decide(struct fb_store_group *group, struct fb_known *const *of) {
    if (world_lacks(PART_JOINED_FORGET) && of[0]->change != NULL) {
        fb_value_unref(of[0]->change);
        of[0]->change = NULL;
    }
    __real_fb_decide(group, of);
}

struct fb_dirty *__real_fb_dirty_create(const struct fb_dirty_options *options);
struct fb_dirty *__wrap_fb_dirty_create(const struct fb_dirty_options *options);
struct fb_dirty *__wrap_fb_dirty_create(const struct fb_dirty_options *options) {
    struct fb_dirty_options o = *options;
    o.rows_max = world_lacks(PART_UNITS_PART) ? 1 : 2 + w.seed % 4;
    return __real_fb_dirty_create(&o);
}

void __real_fb_dirty_put(struct fb_dirty *dirty, struct fb_link *unit, uint64_t first_seq, fb_instant now);
void __wrap_fb_dirty_put(struct fb_dirty *dirty, struct fb_link *unit, uint64_t first_seq, fb_instant now);
void __wrap_fb_dirty_put(struct fb_dirty *dirty, struct fb_link *unit, uint64_t first_seq, fb_instant now) {
    while (world_lacks(PART_UNITS_PART) && !fb_list_is_empty(unit)) {
        struct fb_link one = FB_LIST_INIT(one);
        fb_list_push_back(&one, fb_list_pop_front(unit));
        __real_fb_dirty_put(dirty, &one, first_seq++, now);
    }
    __real_fb_dirty_put(dirty, unit, first_seq, now);
}
