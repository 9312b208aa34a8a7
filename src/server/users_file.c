/* The users file: a line for each user, "user NAME rule rule …", every fault told with its line. */
#include "server/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

void fb_user_set_free(struct fb_user_set *set) {
    for (size_t i = 0; i < set->count; i++)
        fb_user_unref(set->items[i]);
    fb_mem_free(set->items);
    *set = (struct fb_user_set){0};
}

struct fb_user *fb_user_set_find(const struct fb_user_set *set, fb_bytes name) {
    for (size_t i = 0; i < set->count; i++)
        if (strlen(set->items[i]->name) == name.len && memcmp(set->items[i]->name, name.data, name.len) == 0)
            return set->items[i];
    return NULL;
}

bool fb_user_set_add(struct fb_user_set *set, struct fb_user *user) {
    struct fb_user **items = user == NULL ? NULL : fb_mem_realloc(set->items, (set->count + 1) * sizeof *items);
    if (items == NULL) {
        fb_user_unref(user);
        return false;
    }
    set->items = items;
    items[set->count++] = user;
    return true;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

struct reading {
    struct fb_user_set *set;
    unsigned line, faults;
    fb_users_complain *complain;
    void *user;
};

__attribute__((format(printf, 2, 3))) static void fault(struct reading *r, const char *format, ...) {
    char text[FB_ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->faults++;
    r->complain(r->user, r->line, text);
}

/* The next word; one that begins with "(" goes on to a word that ends with ")", blanks included, as in Redis. */
static fb_bytes next_word(const char **p, const char *end) {
    while (*p < end && (**p == ' ' || **p == '\t'))
        (*p)++;
    const char *from = *p;
    for (bool is_open = *p < end && **p == '('; *p < end; (*p)++)
        if (**p == ' ' || **p == '\t') {
            if (!is_open || (*p)[-1] == ')')
                break;
        }
    return fb_bytes_of(from, (size_t)(*p - from));
}

static bool is_name(fb_bytes name) {
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.data[i] <= ' ' || name.data[i] == 0x7f)
            return false;
    return name.len > 0 && name.len < FB_NAME_MAX;
}

/* All faults of a line are told, so that one need not be mended to see the next. */
static void read_line(struct reading *r, const char *p, const char *end) {
    fb_bytes word = next_word(&p, end), name;
    if (word.len == 0 || word.data[0] == '#')
        return;
    if (word.len != 4 || memcmp(word.data, "user", 4) != 0) {
        fault(r, "a line begins with the word 'user', then a name and rules");
        return;
    }
    name = next_word(&p, end);
    if (!is_name(name)) {
        fault(r, "the name of a user has 1 to %d printable bytes", FB_NAME_MAX - 1);
        return;
    }
    if (fb_user_set_find(r->set, name) != NULL)
        fault(r, "the user '%.*s' has a line already", (int)name.len, name.data);
    if (r->set->count == FB_USERS_MAX) {
        fault(r, "more than %d users", FB_USERS_MAX);
        return;
    }
    struct fb_user *user = fb_user_new(name);
    unsigned faults = r->faults;
    while (user != NULL && (word = next_word(&p, end)).len > 0) {
        fb_err err = {0};
        fb_status status = fb_user_rule(user, word, &err);
        r->set->is_out_of_memory |= status == FB_NOMEM;
        if (status != FB_OK)
            fault(r, "%s", err.text);
    }
    if (user != NULL && user->is_on && !user->has_nopass && user->nhashes == 0 && r->faults == faults)
        fault(r, "the user '%.*s' is on and has neither #HASH nor nopass: nobody could log in", (int)name.len,
              name.data);
    r->set->is_out_of_memory |= !fb_user_set_add(r->set, user);
}

static char *read_file(struct reading *r, const char *path, size_t *ret_len) {
    struct stat st;
    char *data = NULL;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        fault(r, "cannot open it: %s", strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        fault(r, "it is not a file");
    } else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        fault(r, "others than its owner may write it (mode %04o): chmod go-w", (unsigned)st.st_mode & 07777);
    } else if (st.st_size > FB_USERS_FILE_MAX) {
        fault(r, "it has more than %d bytes", FB_USERS_FILE_MAX);
    } else if ((data = fb_mem_alloc(FB_USERS_FILE_MAX)) == NULL) {
        r->set->is_out_of_memory = true;
    } else {
        ssize_t n = 0;
        while (len < FB_USERS_FILE_MAX && ((n = read(fd, data + len, FB_USERS_FILE_MAX - len)) > 0 || errno == EINTR))
            len += n > 0 ? (size_t)n : 0;
        if (n < 0) {
            fault(r, "cannot read it: %s", strerror(errno));
            fb_mem_free(data);
            data = NULL;
        }
    }
    close(fd);
    *ret_len = len;
    return data;
}

unsigned fb_users_read(const char *path, bool has_password, struct fb_user_set *set, fb_users_complain *complain,
                       void *user) {
    struct reading reading = {.set = set, .complain = complain, .user = user}, *r = &reading;
    size_t len = 0;
    char *data = read_file(r, path, &len);
    const char *end = data + len;
    for (const char *p = data; data != NULL && p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop != NULL ? stop : end;
        r->line++;
        if (memchr(p, '\0', (size_t)(stop - p)) != NULL)
            fault(r, "a NUL byte");
        else
            read_line(r, p, stop > p && stop[-1] == '\r' ? stop - 1 : stop);
        p = stop + 1;
    }
    r->line = 0;
    set->has_default = fb_user_set_find(set, FB_STR("default")) != NULL;
    if (set->has_default && has_password)
        fault(r, "it defines the user 'default', and server.password is set: keep one of them");
    fb_mem_free(data); /* hashes only: nothing in it is a secret worth wiping */
    return r->faults;
}
