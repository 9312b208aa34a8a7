/* Statuses by table, and filling an fb_err. */
#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct row {
    fb_status status;
    int retryable;
    const char *name, *word, *text;
} rows[] = {
#define ROW(name, number, word, retry, text) {name, retry, #name, word, text},
    FB_STATUS_MAP(ROW)
#undef ROW
};

static const struct row *find(fb_status status) {
    static const struct row unknown = {FB_OK, 0, "FB_?", "ERR", "unknown status"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return &rows[i];
    return &unknown;
}

const char *fb_status_name(fb_status status) { return find(status)->name; }
const char *fb_status_word(fb_status status) { return find(status)->word; }
const char *fb_status_text(fb_status status) { return find(status)->text; }
int fb_status_retryable(fb_status status) { return find(status)->retryable; }

fb_status fb_fail(fb_err *err, fb_status status, const char *format, ...) {
    if (err == NULL)
        return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return status;
}

fb_status fb_err_prefix(fb_err *err, const char *format, ...) {
    if (err == NULL)
        return FB_OK;
    char old[FB_ERR_TEXT_MAX];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, "%s", old);
    return err->status;
}
