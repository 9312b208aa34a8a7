/* The one seam between the journal and the disk: the files of one directory, by name.
 *
 * Everything the journal asks of the disk goes through these calls, so that a test can be a disk that crashes, loses
 * what was not synced, and fails. What the journal relies on, and nothing more:
 *
 * D1  What was written before a sync that returned 0 is there after a crash; what was written since, any subset of its
 *     512-byte sectors, each wholly old or wholly new.
 * D2  A file's size is safe with its sync, a name (made, moved, taken away) with sync_dir; until then either may be
 * there.
 * D3  rename takes the place of what has the name: at no moment is there neither.
 * D4  After a sync that failed nothing is known of what it was to save. */
#ifndef FB_JOURNAL_FILES_H
#define FB_JOURNAL_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <forebay/status.h>

enum fb_files_how {
    FB_FILES_READ,
    FB_FILES_CREATE, /* new, or emptied */
};

enum { FB_FILES_NAME_MAX = 64 };

struct fb_files;

/* All return a negative errno when they fail. */
struct fb_files_ops {
    int (*open)(struct fb_files *files, const char *name, enum fb_files_how how); /* a handle ≥ 0 */
    int (*close)(struct fb_files *files, int handle);
    int64_t (*size)(struct fb_files *files, int handle);
    /* May be short; 0: the end. */
    ssize_t (*read)(struct fb_files *files, int handle, void *out, size_t len, uint64_t offset);
    ssize_t (*write)(struct fb_files *files, int handle, const void *data, size_t len, uint64_t offset);
    int (*sync)(struct fb_files *files, int handle); /* data and size */
    int (*sync_dir)(struct fb_files *files);
    int (*rename)(struct fb_files *files, const char *from, const char *to);
    int (*unlink)(struct fb_files *files, const char *name);
    /* Each name once; ends early when `each` returns false. */
    int (*list)(struct fb_files *files, bool (*each)(void *user, const char *name), void *user);
    /* A handle that keeps everybody else out until it is closed; −EWOULDBLOCK: somebody is in. It can be written. */
    int (*lock)(struct fb_files *files, const char *name);
    void (*finish)(struct fb_files *files);
};

struct fb_files { const struct fb_files_ops *ops; };

/* The system's files in `dir`; with `makes_dir` the directory is made when it is not there, and up to two above it. */
fb_status fb_files_open(const char *dir, bool makes_dir, struct fb_files **ret_files, fb_err *reterr);
static inline void fb_files_finish(struct fb_files *files) {
    if (files != NULL)
        files->ops->finish(files);
}

/* The whole of it, whatever the system makes of one call: interrupted, short. 0 or a negative errno. */
int fb_files_write_all(struct fb_files *files, int handle, const void *data, size_t len, uint64_t offset);
/* How much there is, up to len. */
ssize_t fb_files_read_all(struct fb_files *files, int handle, void *out, size_t len, uint64_t offset);
/* Zeros from the beginning up to `len`, in pieces. */
int fb_files_zero(struct fb_files *files, int handle, uint64_t len);

#endif
