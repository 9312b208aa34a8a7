/* The system's files in one directory. */
#include "journal/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

enum { ZERO_PIECE = 1 << 18, FILE_MODE = 0600, DIR_MODE = 0700, DIR_LEVELS = 2 };

struct system_files {
    struct fb_files files;
    int dir;
};

static int dir_of(struct fb_files *files) { return ((struct system_files *)files)->dir; }
static int result(int r) { return r < 0 ? -errno : r; }

static int sys_open(struct fb_files *files, const char *name, enum fb_files_how how) {
    int flags = how == FB_FILES_READ ? O_RDONLY : O_RDWR | O_CREAT | O_TRUNC;
    int fd;
    do
        fd = openat(dir_of(files), name, flags | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return result(fd);
}

/* Linux lets the descriptor go whatever close says. */
static int sys_close(struct fb_files *files, int fd) {
    (void)files;
    return result(close(fd));
}

static int64_t sys_size(struct fb_files *files, int fd) {
    (void)files;
    struct stat st;
    return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

static ssize_t sys_read(struct fb_files *files, int fd, void *out, size_t len, uint64_t offset) {
    (void)files;
    ssize_t n = pread(fd, out, len, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t sys_write(struct fb_files *files, int fd, const void *data, size_t len, uint64_t offset) {
    (void)files;
    ssize_t n = pwrite(fd, data, len, (off_t)offset);
    return n < 0 ? -errno : n;
}

/* Never asked again after an error, not even EINTR: see format.h. */
static int sys_sync(struct fb_files *files, int fd) {
    (void)files;
    return result(fdatasync(fd));
}

static int sys_sync_dir(struct fb_files *files) { return result(fsync(dir_of(files))); }

static int sys_rename(struct fb_files *files, const char *from, const char *to) {
    return result(renameat(dir_of(files), from, dir_of(files), to));
}

static int sys_unlink(struct fb_files *files, const char *name) { return result(unlinkat(dir_of(files), name, 0)); }

static int sys_list(struct fb_files *files, bool (*each)(void *user, const char *name), void *user) {
    int fd = openat(dir_of(files), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int number = errno;
        if (fd >= 0)
            close(fd);
        return -number;
    }
    struct dirent *entry;
    bool goes_on = true;
    errno = 0;
    while (goes_on && (entry = readdir(dir)) != NULL) {
        goes_on = each(user, entry->d_name);
        errno = 0;
    }
    int number = goes_on ? errno : 0;
    closedir(dir);
    return -number;
}

static int sys_lock(struct fb_files *files, const char *name) {
    int fd = openat(dir_of(files), name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int number = errno;
        close(fd);
        return -number;
    }
    return fd;
}

static void sys_finish(struct fb_files *files) {
    close(dir_of(files));
    fb_mem_free(files);
}

static const struct fb_files_ops system_ops = {
    .open = sys_open, .close = sys_close, .size = sys_size, .read = sys_read, .write = sys_write, .sync = sys_sync,
    .sync_dir = sys_sync_dir, .rename = sys_rename, .unlink = sys_unlink, .list = sys_list, .lock = sys_lock,
    .finish = sys_finish,
};

/* What `path` lies in; the caller frees it. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *parent = fb_mem_strdup(slash == NULL ? "." : slash == path ? "/" : path);
    if (parent != NULL && slash != NULL && slash != path)
        parent[slash - path] = '\0';
    return parent;
}

static int sync_path(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = result(fsync(fd));
    close(fd);
    return r;
}

/* With those above it that are not there. A name must be as safe as what will lie under it, also one that was made just
 * before, by this process or by one that died before it could sync. */
static int make_dir(const char *path, int levels) {
    char *parent = parent_of(path);
    if (parent == NULL)
        return -ENOMEM;
    int r = result(mkdir(path, DIR_MODE));
    if (r == -ENOENT && levels > 0 && strcmp(parent, path) != 0 && (r = make_dir(parent, levels - 1)) == 0)
        r = result(mkdir(path, DIR_MODE));
    if (r == -EEXIST)
        r = 0;
    if (r == 0)
        r = sync_path(parent);
    char *above = parent_of(parent);
    if (r == 0 && above != NULL)
        (void)sync_path(above); /* may be none of ours */
    fb_mem_free(above);
    fb_mem_free(parent);
    return r;
}

fb_status fb_files_open(const char *dir, bool makes_dir, struct fb_files **ret_files, fb_err *reterr) {
    struct system_files *files = fb_mem_calloc(1, sizeof *files);
    if (files == NULL)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    files->files.ops = &system_ops;
    int r = makes_dir ? make_dir(dir, DIR_LEVELS) : 0;
    files->dir = r < 0 ? r : result(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (files->dir < 0) {
        r = -files->dir;
        fb_mem_free(files);
        return fb_fail(reterr, r == ENOMEM ? FB_NOMEM : FB_SYSTEM, "cannot open the directory %s: %s", dir,
                       strerror(r));
    }
    *ret_files = &files->files;
    return FB_OK;
}

int fb_files_write_all(struct fb_files *files, int handle, const void *data, size_t len, uint64_t offset) {
    for (size_t done = 0; done < len;) {
        ssize_t n = files->ops->write(files, handle, (const char *)data + done, len - done, offset + done);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        done += (size_t)n;
    }
    return 0;
}

ssize_t fb_files_read_all(struct fb_files *files, int handle, void *out, size_t len, uint64_t offset) {
    size_t done = 0;
    while (done < len) {
        ssize_t n = files->ops->read(files, handle, (char *)out + done, len - done, offset + done);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fb_files_zero(struct fb_files *files, int handle, uint64_t len) {
    static const char zeros[ZERO_PIECE];
    for (uint64_t at = 0; at < len;) {
        size_t piece = len - at < ZERO_PIECE ? (size_t)(len - at) : ZERO_PIECE;
        int r = fb_files_write_all(files, handle, zeros, piece, at);
        if (r < 0)
            return r;
        at += piece;
    }
    return 0;
}
