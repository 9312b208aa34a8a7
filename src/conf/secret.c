/* Secrets: never in the file itself, only where they are kept.
 *
 *     env:NAME         a variable of the environment
 *     file:/PATH       a file that only its owner may read; one line break at its end does not count
 *     credential:NAME  systemd's LoadCredential: $CREDENTIALS_DIRECTORY/NAME
 * What is wrong is said without the secret. */
#include "conf/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/rng.h"

enum { SECRET_MAX = 4096 };

static bool finish(struct fb_arena *arena, const char *data, size_t len, const char *where, char **ret_secret,
                   struct fb_complaint *reterr) {
    if (len > 0 && data[len - 1] == '\n')
        len--;
    if (len > 0 && data[len - 1] == '\r')
        len--;
    if (len == 0)
        return fb_complain(reterr, "secret", "put the secret there, or remove this setting",
                           "the secret in %s is empty", where);
    if (len > SECRET_MAX || memchr(data, '\0', len) != NULL || memchr(data, '\n', len) != NULL)
        return fb_complain(reterr, "secret", "a secret is one line of at most 4096 bytes",
                           "what is in %s cannot be a secret", where);
    *ret_secret = fb_arena_copy(arena, data, len);
    return *ret_secret != NULL || fb_complain(reterr, "memory", "", "out of memory");
}

static bool from_file(struct fb_arena *arena, const char *path, bool must_be_private, char **ret_secret,
                      struct fb_complaint *reterr) {
    char data[SECRET_MAX + 3];
    struct stat st;
    bool ok = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fb_complain(reterr, "secret", "the path must name a file that this user can read",
                           "cannot open %.120s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        fb_complain(reterr, "secret", "the path must name a regular file", "%.120s is not a file", path);
        goto out;
    }
    if (must_be_private && (st.st_mode & 077) != 0) {
        fb_complain(reterr, "secret", "", "others than its owner may read or write %.120s (mode %04o)", path,
                    (unsigned)st.st_mode & 07777);
        snprintf(reterr->help, sizeof reterr->help, "chmod 600 %.200s", path);
        goto out;
    }
    size_t len = 0;
    for (ssize_t n; len < sizeof data && (n = read(fd, data + len, sizeof data - len)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fb_complain(reterr, "secret", "the path must name a file that this user can read",
                        "cannot read %.120s: %s", path, strerror(errno));
            goto out;
        }
        len += (size_t)n;
    }
    ok = finish(arena, data, len, path, ret_secret, reterr);
    explicit_bzero(data, sizeof data);
out:
    close(fd);
    return ok;
}

static const char *behind(const char *text, const char *prefix) {
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

bool fb_secret_is_reference(const char *text) {
    return behind(text, "env:") != NULL || behind(text, "file:") != NULL || behind(text, "credential:") != NULL;
}

bool fb_secret_resolve(struct fb_arena *arena, const char *reference, char **ret_secret, struct fb_complaint *reterr) {
    const char *name;
    if ((name = behind(reference, "env:")) != NULL) {
        const char *value = getenv(name);
        if (value == NULL)
            return fb_complain(reterr, "secret", "set the variable where Forebay is started",
                               "the environment has no %.120s", name);
        return finish(arena, value, strlen(value), name, ret_secret, reterr);
    }
    if ((name = behind(reference, "file:")) != NULL)
        return from_file(arena, name, true, ret_secret, reterr);
    if ((name = behind(reference, "credential:")) != NULL) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        if (directory == NULL)
            return fb_complain(reterr, "secret",
                               "start it as a systemd unit with LoadCredential=, or use env: or file:",
                               "there are no credentials: CREDENTIALS_DIRECTORY is not set");
        if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
            return fb_complain(reterr, "secret", "give the name that LoadCredential= has",
                               "'%.80s' is no credential's name", name);
        char *path = fb_arena_format(arena, "%s/%s", directory, name);
        return path != NULL ? from_file(arena, path, false, ret_secret, reterr)
                            : fb_complain(reterr, "memory", "", "out of memory");
    }
    return fb_complain(reterr, "secret", "write env:NAME, file:/PATH or credential:NAME and keep the secret there",
                       "a secret does not belong here");
}

uint64_t fb_secret_print(const char *secret) {
    static _Atomic uint64_t seed; /* the first who asks draws it */
    uint64_t drawn = 0, none = 0;
    if (atomic_load(&seed) == 0) {
        fb_rng_system(&drawn, sizeof drawn);
        (void)atomic_compare_exchange_strong(&seed, &none, drawn | 1);
    }
    struct fb_hash_key key = {atomic_load(&seed), secret != NULL};
    return fb_hash(&key, secret != NULL ? secret : "", secret != NULL ? strlen(secret) : 0);
}
