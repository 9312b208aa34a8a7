/* A disk that can crash: it keeps what was synced, and any subset of what was not.
 *
 * Each file has two contents, what a reader sees now and what is safe, and a flag per sector of 512 bytes that was
 * written since. Names are safe with sync_dir. A sync that fails leaves its sectors in limbo, as Linux does: readers
 * see them, a later sync says 0 and does not save them, and a crash may keep or lose them. Thread-safe. */
#ifndef TESTS_JOURNAL_DISK_H
#define TESTS_JOURNAL_DISK_H

#include <pthread.h>

#include "journal/files.h"

enum {
    DISK_SECTOR = 512,
    DISK_INODES = 64,
    DISK_NAMES = 32,
    DISK_OPS = 32,     /* of names, not yet synced */
    DISK_HANDLES = 32,
    DISK_BITS = 4096,  /* of what a crash may keep or lose */
};

enum disk_call {
    DISK_OPEN,
    DISK_SIZE,
    DISK_READ,
    DISK_WRITE,
    DISK_SYNC,
    DISK_SYNC_DIR,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_LIST,
    DISK_LOCK,
    DISK_CALLS_
};

struct disk_inode {
    uint8_t *now, *safe;
    uint8_t *dirty, *limbo; /* a flag per sector */
    size_t size, size_safe, cap;
};

struct disk_name {
    char name[FB_FILES_NAME_MAX];
    int inode;
};

/* `to` becomes the inode (−1: goes), `from` goes where it is not empty. */
struct disk_op {
    char from[FB_FILES_NAME_MAX], to[FB_FILES_NAME_MAX];
    int inode;
};

struct disk {
    struct fb_files files;
    pthread_mutex_t mutex;
    struct disk_inode inodes[DISK_INODES];
    struct disk_name now[DISK_NAMES], safe[DISK_NAMES]; /* an empty name: free */
    struct disk_op ops[DISK_OPS];
    int ops_n;
    int handles[DISK_HANDLES];      /* inode + 1; 0: free */
    bool is_locked;

    uint64_t calls, calls_of[DISK_CALLS_];
    /* Before each call that changes what a crash leaves. */
    void (*before)(struct disk *disk, void *user);
    void *user;
    /* The call of this number (from 0; of any kind) fails once. −EINTR and −ENOSPC as any other; 0 with `is_short`: a
 * write
     * or read moves half. A write that fails with `writes_anyway` has done its work all the same. */
    int64_t fail_call;
    int fail_errno;
    bool is_short, writes_anyway;
    bool halves_at_sectors; /* as file systems do: half a write, and a kill before the rest, leaves whole sectors (J4) */
    bool has_failed;
    enum disk_call failed_in;
};

/* What a crash may keep or lose. */
struct disk_bit {
    enum { DISK_BIT_SECTOR, DISK_BIT_SIZE, DISK_BIT_OP } kind;
    int inode, index;
};

struct disk *disk_new(void);
void disk_free(struct disk *disk);

/* Lists what a crash here may keep or lose, as far as files with a segment's name can show it. */
int disk_bits(const struct disk *disk, struct disk_bit bits[DISK_BITS]);
/* The disk after a crash that keeps the bits with keep[i]. */
struct disk *disk_crash(const struct disk *disk, const struct disk_bit *bits, int n, const bool *keep);
/* After the death of the process: nothing is lost, nothing is safer. */
struct disk *disk_reopen(const struct disk *disk);

/* For damage: the bytes of a file, now and safe (the same then). NULL: there is none. */
uint8_t *disk_bytes(struct disk *disk, const char *name, size_t *ret_size);
void disk_truncate(struct disk *disk, const char *name, size_t size);

#endif
