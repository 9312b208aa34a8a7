/* Writing replies in RESP2 and RESP3, and requests. */
#include "proto/resp.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_MAX = 20,      /* characters of the longest 64-bit number */
    LINE_MAX_ = 512,      /* an error: word, text of an fb_err, a little more */
    DOUBLE_DIGITS = 17,   /* always enough to read the same double back */
};

/* Room for `more` bytes, or NULL (and `failed`). */
static char *reserve(struct fb_resp_out *out, size_t more) {
    if (out->failed || fb_buf_reserve(&out->buf, more) != FB_OK) {
        out->failed = true;
        return NULL;
    }
    return out->buf.data + out->buf.len;
}

static unsigned digits_of(uint64_t n) {
    unsigned d = 1;
    for (; n >= 10; n /= 10)
        d++;
    return d;
}

static char *put_digits(char *p, uint64_t n, unsigned digits) {
    for (unsigned i = digits; i-- > 0; n /= 10)
        p[i] = (char)('0' + n % 10);
    return p + digits;
}

static char *put_crlf(char *p) {
    p[0] = '\r';
    p[1] = '\n';
    return p + 2;
}

static char *put_header(char *p, char type, uint64_t n) {
    *p++ = type;
    return put_crlf(put_digits(p, n, digits_of(n)));
}

static void write_header(struct fb_resp_out *out, char type, uint64_t n) {
    char *p = reserve(out, NUMBER_MAX + 3);
    if (p != NULL)
        out->buf.len = (size_t)(put_header(p, type, n) - out->buf.data);
}

static void write_raw(struct fb_resp_out *out, const char *text) {
    size_t len = strlen(text);
    char *p = reserve(out, len);
    if (p == NULL)
        return;
    memcpy(p, text, len);
    out->buf.len += len;
}

/* Everything that goes on the wire as a line comes through here, so that no text can end a line early and pass off what
 * follows as a reply of its own. */
static void write_line(struct fb_resp_out *out, char type, const char *text, size_t len) {
    char *p = reserve(out, len + 3);
    if (p == NULL)
        return;
    *p++ = type;
    for (size_t i = 0; i < len; i++)
        *p++ = text[i] == '\r' || text[i] == '\n' || text[i] == '\0' ? ' ' : text[i];
    out->buf.len = (size_t)(put_crlf(p) - out->buf.data);
}

void fb_resp_write_simple(struct fb_resp_out *out, const char *text) { write_line(out, '+', text, strlen(text)); }

void fb_resp_write_errorf(struct fb_resp_out *out, const char *word, const char *format, ...) {
    char line[LINE_MAX_];
    int n = snprintf(line, sizeof line, "%s ", word);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    write_line(out, '-', line, strlen(line));
}

void fb_resp_write_error(struct fb_resp_out *out, const char *word, const char *text) {
    fb_resp_write_errorf(out, word, "%s", text);
}

void fb_resp_write_integer(struct fb_resp_out *out, int64_t number) {
    char *p = reserve(out, NUMBER_MAX + 4);
    if (p == NULL)
        return;
    *p++ = ':';
    uint64_t n = (uint64_t)number;
    if (number < 0) {
        *p++ = '-';
        n = 0 - n;
    }
    out->buf.len = (size_t)(put_crlf(put_digits(p, n, digits_of(n))) - out->buf.data);
}

void fb_resp_write_bulk(struct fb_resp_out *out, fb_bytes bytes) {
    char *p = reserve(out, bytes.len + NUMBER_MAX + 5);
    if (p == NULL)
        return;
    p = put_header(p, '$', bytes.len);
    if (bytes.len > 0)
        memcpy(p, bytes.data, bytes.len);
    out->buf.len = (size_t)(put_crlf(p + bytes.len) - out->buf.data);
}

void fb_resp_write_null(struct fb_resp_out *out) { write_raw(out, out->version == 3 ? "_\r\n" : "$-1\r\n"); }
void fb_resp_write_null_array(struct fb_resp_out *out) { write_raw(out, out->version == 3 ? "_\r\n" : "*-1\r\n"); }

void fb_resp_write_array(struct fb_resp_out *out, size_t n) { write_header(out, '*', n); }
void fb_resp_write_set(struct fb_resp_out *out, size_t n) { write_header(out, out->version == 3 ? '~' : '*', n); }
void fb_resp_write_push(struct fb_resp_out *out, size_t n) { write_header(out, out->version == 3 ? '>' : '*', n); }
void fb_resp_write_map(struct fb_resp_out *out, size_t n) {
    write_header(out, out->version == 3 ? '%' : '*', out->version == 3 ? n : 2 * n);
}

void fb_resp_write_boolean(struct fb_resp_out *out, bool value) {
    if (out->version == 3)
        write_raw(out, value ? "#t\r\n" : "#f\r\n");
    else
        fb_resp_write_integer(out, value);
}

void fb_resp_write_double(struct fb_resp_out *out, double value) {
    char text[40];
    if (isnan(value))
        snprintf(text, sizeof text, "nan");
    else if (isinf(value))
        snprintf(text, sizeof text, value > 0 ? "inf" : "-inf");
    else
        for (int digits = 1; digits <= DOUBLE_DIGITS; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
    if (out->version == 3)
        write_line(out, ',', text, strlen(text));
    else
        fb_resp_write_bulk(out, FB_STR(text));
}

void fb_resp_write_bignum(struct fb_resp_out *out, fb_bytes digits) {
    if (out->version == 3)
        write_line(out, '(', digits.data, digits.len);
    else
        fb_resp_write_bulk(out, digits);
}

void fb_resp_write_verbatim(struct fb_resp_out *out, const char *format, fb_bytes bytes) {
    if (out->version != 3) {
        fb_resp_write_bulk(out, bytes);
        return;
    }
    char *p = reserve(out, bytes.len + NUMBER_MAX + 9);
    if (p == NULL)
        return;
    p = put_header(p, '=', bytes.len + 4);
    memcpy(p, format, 3);
    p[3] = ':';
    if (bytes.len > 0)
        memcpy(p + 4, bytes.data, bytes.len);
    out->buf.len = (size_t)(put_crlf(p + 4 + bytes.len) - out->buf.data);
}

size_t fb_resp_bulk_begin(struct fb_resp_out *out) {
    size_t mark = out->buf.len, header = out->bulk_digits + 3;
    if (reserve(out, header) != NULL)
        out->buf.len += header;
    return mark;
}

void fb_resp_bulk_end(struct fb_resp_out *out, size_t mark) {
    if (out->failed)
        return;
    size_t header = out->bulk_digits + 3, len = out->buf.len - mark - header;
    unsigned digits = digits_of(len);
    if (reserve(out, NUMBER_MAX + 2) == NULL)
        return;
    char *start = out->buf.data + mark;
    if (digits != out->bulk_digits) {
        memmove(start + digits + 3, start + header, len);
        out->bulk_digits = digits;
    }
    put_header(start, '$', len);
    out->buf.len = (size_t)(put_crlf(start + digits + 3 + len) - out->buf.data);
}

void fb_resp_write_command(struct fb_resp_out *out, const fb_bytes *args, size_t n) {
    write_header(out, '*', n);
    for (size_t i = 0; i < n; i++)
        fb_resp_write_bulk(out, args[i]);
}
