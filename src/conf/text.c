/* The configuration file as text. */
#include "conf/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/details.h"
#include "base/utf8.h"

/* Length of the line end at p, 0 when there is none. */
static size_t line_end(const char *p, const char *end) {
    size_t left = (size_t)(end - p);
    if (p[0] == '\n')
        return 1;
    if (p[0] == '\r')
        return left > 1 && p[1] == '\n' ? 2 : 1;
    if (left > 1 && memcmp(p, "\xc2\x85", 2) == 0)
        return 2;
    if (left > 2 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0))
        return 3;
    return 0;
}

static bool index_lines(struct fb_conf_details *d) {
    struct fb_text *text = &d->text;
    const char *end = text->data + text->len;
    for (const char *p = text->data, *start = p;;) {
        size_t len = p < end ? line_end(p, end) : 0;
        if (p < end && len == 0) {
            p++;
            continue;
        }
        size_t *starts = fb_arena_grow(&d->arena, text->starts, text->nlines, &text->lines_cap, sizeof *starts);
        if (starts == NULL)
            return false;
        text->starts = starts;
        text->starts[text->nlines++] = (size_t)(start - text->data);
        if (p >= end)
            return true;
        start = p += len;
    }
}

fb_bytes fb_text_line(const struct fb_text *text, int line) {
    if (line < 1 || (size_t)line > text->nlines)
        return fb_bytes_of("", 0);
    const char *start = text->data + text->starts[line - 1], *end = text->data + text->len, *p = start;
    while (p < end && line_end(p, end) == 0)
        p++;
    return fb_bytes_of(start, (size_t)(p - start));
}

void fb_text_position(const struct fb_text *text, size_t at, int *ret_line, int *ret_col) {
    size_t low = 0, high = text->nlines;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(text->starts[middle] <= at ? &low : &high) = middle;
    }
    *ret_line = (int)low + 1;
    *ret_col = 1;
    for (size_t i = text->starts[low]; i < at; i++)
        *ret_col += ((unsigned char)text->data[i] & 0xc0) != 0x80;
}

static struct fb_origin place(const struct fb_text *text, const char *p) {
    struct fb_origin at = {.kind = FB_ORIGIN_FILE, .width = 1};
    fb_text_position(text, (size_t)(p - text->data), &at.line, &at.col);
    return at;
}

/* One complaint per line is enough. */
static bool check_line(struct fb_conf_details *d, fb_bytes line) {
    bool is_indentation = true;
    for (const char *p = line.data, *end = p + line.len; p < end;) {
        unsigned char c = (unsigned char)*p;
        unsigned step = fb_utf8_step(p, end);
        if (step == 0) {
            struct fb_origin at = place(&d->text, p);
            fb_fault(d, &at, "encoding", "this is not UTF-8 (byte 0x%02x)", c);
            fb_help(d, "save the file as UTF-8");
            return false;
        }
        if (c == '\t' && is_indentation) {
            struct fb_origin at = place(&d->text, p);
            fb_fault(d, &at, "tab", "a tab in the indentation");
            fb_help(d, "YAML is indented with spaces; a tab has no fixed width");
            return false;
        }
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            struct fb_origin at = place(&d->text, p);
            fb_fault(d, &at, "control", "a control character (0x%02x)", c);
            fb_help(d, "remove it; in double quotes it can be written as \"\\x%02x\"", c);
            return false;
        }
        is_indentation = is_indentation && c == ' ';
        p += step;
    }
    return true;
}

static bool read_all(struct fb_conf_details *d, int fd) {
    struct fb_origin at = {.kind = FB_ORIGIN_FILE};
    char *data = fb_arena_alloc(&d->arena, FB_CONF_FILE_MAX + 1);
    size_t len = 0;
    if (data == NULL)
        return false;
    for (ssize_t n; len <= FB_CONF_FILE_MAX && (n = read(fd, data + len, FB_CONF_FILE_MAX + 1 - len)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fb_fault(d, &at, "file", "cannot be read: %s", strerror(errno));
            fb_help(d, "give a file with -c FILE");
            return false;
        }
        len += (size_t)n;
    }
    if (len > FB_CONF_FILE_MAX) {
        fb_fault(d, &at, "file", "is longer than %d bytes", FB_CONF_FILE_MAX);
        fb_help(d, "a configuration is a text of at most 1 MiB; is this the right file?");
        return false;
    }
    d->text.data = data;
    d->text.len = len;
    return true;
}

bool fb_text_read(struct fb_conf_details *d, const char *path) {
    struct fb_origin at = {.kind = FB_ORIGIN_FILE};
    d->text.path = path;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        fb_fault(d, &at, "file", "cannot be opened: %s", strerror(errno));
        fb_help(d, "give a file with -c FILE; examples/forebay.yaml is one to start from");
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool ok = true;
    if (S_ISDIR(st.st_mode)) {
        fb_fault(d, &at, "file", "is a directory");
        fb_help(d, "give the file itself with -c FILE");
        ok = false;
    }
    ok = ok && read_all(d, fd) && index_lines(d);
    close(fd);
    if (!ok)
        return false;
    for (size_t i = 1; i <= d->text.nlines; i++)
        ok &= check_line(d, fb_text_line(&d->text, (int)i));
    return ok;
}
