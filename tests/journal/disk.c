/* The disk that crashes. */
#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct disk *of(struct fb_files *files) { return (struct disk *)files; }
static size_t sectors(size_t size) { return (size + DISK_SECTOR - 1) / DISK_SECTOR; }

static void set_name(char to[FB_FILES_NAME_MAX], const char *name) {
    assert(strlen(name) < FB_FILES_NAME_MAX);
    memset(to, 0, FB_FILES_NAME_MAX);
    memcpy(to, name, strlen(name));
}

static struct disk_name *find(struct disk_name *names, const char *name) {
    for (int i = 0; i < DISK_NAMES; i++)
        if (names[i].name[0] != '\0' && strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

static void assign(struct disk_name *names, const char *name, int inode) {
    struct disk_name *found = find(names, name);
    if (inode < 0) {
        if (found != NULL)
            found->name[0] = '\0';
        return;
    }
    for (int i = 0; found == NULL && i < DISK_NAMES; i++)
        if (names[i].name[0] == '\0')
            found = &names[i];
    assert(found != NULL);
    set_name(found->name, name);
    found->inode = inode;
}

static void apply(struct disk_name *names, const struct disk_op *op) {
    if (op->from[0] != '\0')
        assign(names, op->from, -1);
    assign(names, op->to, op->inode);
}

static void note_op(struct disk *disk, const char *from, const char *to, int inode) {
    assert(disk->ops_n < DISK_OPS);
    struct disk_op *op = &disk->ops[disk->ops_n++];
    set_name(op->from, from);
    set_name(op->to, to);
    op->inode = inode;
    apply(disk->now, op);
}

/* Counts the call, lets the test look, and says whether it fails (a negative errno), or is short (1). */
static int enter(struct disk *disk, enum disk_call call) {
    bool changes = call == DISK_WRITE || call == DISK_SYNC || call == DISK_SYNC_DIR || call == DISK_RENAME ||
                   call == DISK_UNLINK || call == DISK_OPEN;
    if (changes && disk->before != NULL)
        disk->before(disk, disk->user);
    disk->calls_of[call]++;
    if (disk->fail_call < 0 || (int64_t)disk->calls++ != disk->fail_call) {
        disk->calls += disk->fail_call < 0;
        return 0;
    }
    disk->has_failed = true;
    disk->failed_in = call;
    if (disk->is_short)
        return call == DISK_WRITE || call == DISK_READ ? 1 : 0;
    return -disk->fail_errno;
}

static void grow(struct disk_inode *inode, size_t size) {
    if (size <= inode->cap)
        return;
    size_t cap = inode->cap == 0 ? 8192 : inode->cap;
    while (cap < size)
        cap *= 2;
    inode->now = realloc(inode->now, cap);
    inode->safe = realloc(inode->safe, cap);
    inode->dirty = realloc(inode->dirty, sectors(cap));
    inode->limbo = realloc(inode->limbo, sectors(cap));
    memset(inode->now + inode->cap, 0, cap - inode->cap);
    memset(inode->safe + inode->cap, 0, cap - inode->cap);
    memset(inode->dirty + sectors(inode->cap), 0, sectors(cap) - sectors(inode->cap));
    memset(inode->limbo + sectors(inode->cap), 0, sectors(cap) - sectors(inode->cap));
    inode->cap = cap;
}

static void clear(struct disk_inode *inode) {
    free(inode->now);
    free(inode->safe);
    free(inode->dirty);
    free(inode->limbo);
    *inode = (struct disk_inode){0};
}

static bool is_used(const struct disk *disk, int inode) {
    for (int i = 0; i < DISK_NAMES; i++)
        if ((disk->now[i].name[0] != '\0' && disk->now[i].inode == inode) ||
            (disk->safe[i].name[0] != '\0' && disk->safe[i].inode == inode))
            return true;
    for (int i = 0; i < disk->ops_n; i++)
        if (disk->ops[i].inode == inode)
            return true;
    for (int i = 0; i < DISK_HANDLES; i++)
        if (disk->handles[i] == inode + 1)
            return true;
    return false;
}

static int new_inode(struct disk *disk) {
    for (int i = 0; i < DISK_INODES; i++)
        if (!is_used(disk, i)) {
            clear(&disk->inodes[i]);
            return i;
        }
    abort();
}

static int new_handle(struct disk *disk, int inode) {
    for (int i = 0; i < DISK_HANDLES; i++)
        if (disk->handles[i] == 0) {
            disk->handles[i] = inode + 1;
            return i;
        }
    abort();
}

static int do_open(struct disk *disk, const char *name, enum fb_files_how how) {
    int r = enter(disk, DISK_OPEN);
    if (r < 0)
        return r;
    struct disk_name *found = find(disk->now, name);
    if (how == FB_FILES_READ)
        return found != NULL ? new_handle(disk, found->inode) : -ENOENT;
    int inode = new_inode(disk); /* truncation: the old contents are another inode's until the name is safe */
    int handle = new_handle(disk, inode);
    note_op(disk, "", name, inode);
    return handle;
}

static struct disk_inode *inode_of(struct disk *disk, int handle) {
    assert(handle >= 0 && handle < DISK_HANDLES && disk->handles[handle] > 0);
    return &disk->inodes[disk->handles[handle] - 1];
}

static ssize_t do_read(struct disk *disk, int handle, void *out, size_t len, uint64_t offset) {
    int r = enter(disk, DISK_READ);
    if (r < 0)
        return r;
    const struct disk_inode *inode = inode_of(disk, handle);
    if (offset >= inode->size)
        return 0;
    size_t n = inode->size - offset < len ? inode->size - offset : len;
    if (r > 0 && n > 1)
        n /= 2;
    memcpy(out, inode->now + offset, n);
    return (ssize_t)n;
}

/* Half of it, or what is there of whole sectors. */
static size_t half(const struct disk *disk, size_t len, uint64_t offset) {
    uint64_t end = (offset + len / 2) / DISK_SECTOR * DISK_SECTOR;
    return !disk->halves_at_sectors ? len / 2 : end > offset ? (size_t)(end - offset) : len;
}

static ssize_t do_write(struct disk *disk, int handle, const void *data, size_t len, uint64_t offset) {
    if (disk->handles[handle] == DISK_INODES + 1)
        return (ssize_t)len; /* of the lock nobody asks what is in it */
    int r = enter(disk, DISK_WRITE);
    if (r < 0 && !disk->writes_anyway)
        return r;
    struct disk_inode *inode = inode_of(disk, handle);
    if (r > 0 && len > 1)
        len = half(disk, len, offset);
    grow(inode, offset + len);
    memcpy(inode->now + offset, data, len);
    if (offset + len > inode->size)
        inode->size = offset + len;
    for (size_t s = offset / DISK_SECTOR; s < sectors(offset + len); s++)
        inode->dirty[s] = 1;
    return r < 0 ? r : (ssize_t)len;
}

static int do_sync(struct disk *disk, int handle) {
    int r = enter(disk, DISK_SYNC);
    struct disk_inode *inode = inode_of(disk, handle);
    for (size_t s = 0; s < sectors(inode->size); s++) {
        if (inode->dirty[s] && r < 0)
            inode->limbo[s] = 1;
        if (inode->dirty[s] && r >= 0) {
            memcpy(inode->safe + s * DISK_SECTOR, inode->now + s * DISK_SECTOR, DISK_SECTOR);
            inode->limbo[s] = 0;
        }
        inode->dirty[s] = 0;
    }
    if (r >= 0)
        inode->size_safe = inode->size;
    return r < 0 ? r : 0;
}

static int do_sync_dir(struct disk *disk) {
    int r = enter(disk, DISK_SYNC_DIR);
    if (r < 0)
        return r;
    for (int i = 0; i < disk->ops_n; i++)
        apply(disk->safe, &disk->ops[i]);
    disk->ops_n = 0;
    return 0;
}

static int do_rename(struct disk *disk, const char *from, const char *to) {
    int r = enter(disk, DISK_RENAME);
    if (r < 0)
        return r;
    struct disk_name *found = find(disk->now, from);
    if (found == NULL)
        return -ENOENT;
    note_op(disk, from, to, found->inode);
    return 0;
}

static int do_unlink(struct disk *disk, const char *name) {
    int r = enter(disk, DISK_UNLINK);
    if (r < 0)
        return r;
    if (find(disk->now, name) == NULL)
        return -ENOENT;
    note_op(disk, "", name, -1);
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

#define LOCKED(type, files, call)                                                                                      \
    pthread_mutex_lock(&of(files)->mutex);                                                                             \
    type r = call;                                                                                                     \
    pthread_mutex_unlock(&of(files)->mutex);                                                                           \
    return r

static int disk_open(struct fb_files *files, const char *name, enum fb_files_how how) {
    LOCKED(int, files, do_open(of(files), name, how));
}
static ssize_t disk_read(struct fb_files *files, int handle, void *out, size_t len, uint64_t offset) {
    LOCKED(ssize_t, files, do_read(of(files), handle, out, len, offset));
}
static ssize_t disk_write(struct fb_files *files, int handle, const void *data, size_t len, uint64_t offset) {
    LOCKED(ssize_t, files, do_write(of(files), handle, data, len, offset));
}
static int disk_sync(struct fb_files *files, int handle) { LOCKED(int, files, do_sync(of(files), handle)); }
static int disk_sync_dir(struct fb_files *files) { LOCKED(int, files, do_sync_dir(of(files))); }
static int disk_rename(struct fb_files *files, const char *from, const char *to) {
    LOCKED(int, files, do_rename(of(files), from, to));
}
static int disk_unlink(struct fb_files *files, const char *name) { LOCKED(int, files, do_unlink(of(files), name)); }

static int disk_close(struct fb_files *files, int handle) {
    struct disk *disk = of(files);
    pthread_mutex_lock(&disk->mutex);
    assert(disk->handles[handle] > 0);
    disk->is_locked &= disk->handles[handle] != DISK_INODES + 1;
    disk->handles[handle] = 0;
    pthread_mutex_unlock(&disk->mutex);
    return 0;
}

static int64_t disk_size(struct fb_files *files, int handle) {
    struct disk *disk = of(files);
    pthread_mutex_lock(&disk->mutex);
    int64_t r = enter(disk, DISK_SIZE);
    r = r < 0 ? r : (int64_t)inode_of(disk, handle)->size;
    pthread_mutex_unlock(&disk->mutex);
    return r;
}

static int disk_list(struct fb_files *files, bool (*each)(void *user, const char *name), void *user) {
    struct disk *disk = of(files);
    pthread_mutex_lock(&disk->mutex);
    int r = enter(disk, DISK_LIST);
    for (int i = 0; r == 0 && i < DISK_NAMES; i++)
        if (disk->now[i].name[0] != '\0' && !each(user, disk->now[i].name))
            break;
    pthread_mutex_unlock(&disk->mutex);
    return r < 0 ? r : 0;
}

static int disk_lock(struct fb_files *files, const char *name) {
    (void)name;
    struct disk *disk = of(files);
    pthread_mutex_lock(&disk->mutex);
    int r = enter(disk, DISK_LOCK);
    if (r == 0 && disk->is_locked)
        r = -EWOULDBLOCK;
    if (r == 0) {
        disk->is_locked = true;
        r = new_handle(disk, DISK_INODES);
    }
    pthread_mutex_unlock(&disk->mutex);
    return r;
}

static void disk_finish(struct fb_files *files) { (void)files; }

static const struct fb_files_ops ops = {
    .open = disk_open,
    .close = disk_close,
    .size = disk_size,
    .read = disk_read,
    .write = disk_write,
    .sync = disk_sync,
    .sync_dir = disk_sync_dir,
    .rename = disk_rename,
    .unlink = disk_unlink,
    .list = disk_list,
    .lock = disk_lock,
    .finish = disk_finish,
};

struct disk *disk_new(void) {
    struct disk *disk = calloc(1, sizeof *disk);
    assert(disk != NULL);
    disk->files.ops = &ops;
    disk->fail_call = -1;
    pthread_mutex_init(&disk->mutex, NULL);
    return disk;
}

void disk_free(struct disk *disk) {
    for (int i = 0; i < DISK_INODES; i++)
        clear(&disk->inodes[i]);
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

/* ---- crashes --------------------------------------------------------------------------------------------------- */

static bool is_segment(const char *name) { return strstr(name, ".seg") != NULL; }

/* Can a segment's name lead to it after a crash? What lies under other names is thrown away unread. */
static bool matters(const struct disk *disk, int inode) {
    for (int i = 0; i < DISK_NAMES; i++)
        if (disk->safe[i].name[0] != '\0' && disk->safe[i].inode == inode && is_segment(disk->safe[i].name))
            return true;
    for (int i = 0; i < disk->ops_n; i++)
        if (disk->ops[i].inode == inode && is_segment(disk->ops[i].to))
            return true;
    return false;
}

static bool op_matters(const struct disk_op *op) { return is_segment(op->to) || is_segment(op->from); }

static bool differs(const struct disk_inode *inode, size_t s) {
    return (inode->dirty[s] || inode->limbo[s]) &&
           memcmp(inode->now + s * DISK_SECTOR, inode->safe + s * DISK_SECTOR, DISK_SECTOR) != 0;
}

int disk_bits(const struct disk *disk, struct disk_bit bits[DISK_BITS]) {
    int n = 0;
    for (int i = 0; i < DISK_INODES; i++) {
        const struct disk_inode *inode = &disk->inodes[i];
        if (inode->cap == 0 || !matters(disk, i))
            continue;
        for (size_t s = 0; s < sectors(inode->size); s++)
            if (differs(inode, s) && n < DISK_BITS)
                bits[n++] = (struct disk_bit){DISK_BIT_SECTOR, i, (int)s};
        if (inode->size != inode->size_safe && n < DISK_BITS)
            bits[n++] = (struct disk_bit){DISK_BIT_SIZE, i, 0};
    }
    for (int i = 0; i < disk->ops_n; i++)
        if (op_matters(&disk->ops[i]) && n < DISK_BITS)
            bits[n++] = (struct disk_bit){DISK_BIT_OP, 0, i};
    return n;
}

static void copy_inode(struct disk_inode *to, const struct disk_inode *from) {
    if (from->cap == 0)
        return;
    grow(to, from->cap);
    memcpy(to->now, from->now, from->cap);
    memcpy(to->safe, from->safe, from->cap);
    memcpy(to->dirty, from->dirty, sectors(from->cap));
    memcpy(to->limbo, from->limbo, sectors(from->cap));
    to->size = from->size;
    to->size_safe = from->size_safe;
}

struct disk *disk_crash(const struct disk *disk, const struct disk_bit *bits, int n, const bool *keep) {
    struct disk *after = disk_new();
    memcpy(after->safe, disk->safe, sizeof disk->safe);
    for (int i = 0; i < n; i++)
        if (keep[i] && bits[i].kind == DISK_BIT_OP)
            apply(after->safe, &disk->ops[bits[i].index]);
    memcpy(after->now, after->safe, sizeof after->now);
    for (int i = 0; i < DISK_NAMES; i++) {
        if (after->safe[i].name[0] == '\0')
            continue;
        int number = after->safe[i].inode;
        const struct disk_inode *from = &disk->inodes[number];
        struct disk_inode *to = &after->inodes[number];
        grow(to, from->cap > 0 ? from->cap : DISK_SECTOR);
        if (from->cap > 0)
            memcpy(to->safe, from->safe, from->cap);
        to->size_safe = from->size_safe;
        for (int b = 0; b < n; b++) {
            if (!keep[b] || bits[b].kind == DISK_BIT_OP || bits[b].inode != number)
                continue;
            size_t at = (size_t)bits[b].index * DISK_SECTOR;
            if (bits[b].kind == DISK_BIT_SIZE)
                to->size_safe = from->size;
            else
                memcpy(to->safe + at, from->now + at, DISK_SECTOR);
        }
        memset(to->safe + to->size_safe, 0, to->cap - to->size_safe);
        memcpy(to->now, to->safe, to->cap);
        to->size = to->size_safe;
    }
    return after;
}

struct disk *disk_reopen(const struct disk *disk) {
    struct disk *after = disk_new();
    for (int i = 0; i < DISK_INODES; i++)
        if (is_used(disk, i))
            copy_inode(&after->inodes[i], &disk->inodes[i]);
    memcpy(after->now, disk->now, sizeof disk->now);
    memcpy(after->safe, disk->safe, sizeof disk->safe);
    memcpy(after->ops, disk->ops, sizeof disk->ops);
    after->ops_n = disk->ops_n;
    return after;
}

uint8_t *disk_bytes(struct disk *disk, const char *name, size_t *ret_size) {
    struct disk_name *found = find(disk->now, name);
    if (found == NULL)
        return NULL;
    *ret_size = disk->inodes[found->inode].size;
    return disk->inodes[found->inode].now;
}

void disk_truncate(struct disk *disk, const char *name, size_t size) {
    struct disk_name *found = find(disk->now, name);
    assert(found != NULL && size <= disk->inodes[found->inode].size);
    disk->inodes[found->inode].size = size;
}
