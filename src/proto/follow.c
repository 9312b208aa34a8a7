/* Following a reply to its end, byte by byte. */
#include "proto/follow.h"

#include <string.h>

enum { TYPE, LINE, NUMBER, NUMBER_END, BYTES };

static bool is_aggregate(char type) { return type == '*' || type == '%' || type == '~' || type == '>' || type == '|'; }

/* The number behind a type has been read. False: it cannot be meant. */
static bool end_number(struct fb_resp_follow *f) {
    bool is_string = !is_aggregate(f->value);
    uint64_t n = f->left;
    f->state = TYPE;
    f->left = 0;
    if (f->digits == 0 || (f->is_negative && (n != 1 || f->value == '%' || f->value == '|')))
        return false;
    if (f->is_negative) { /* a null of RESP2 */
        f->to_come--;
        return true;
    }
    if (is_string) {
        f->state = BYTES;
        f->left = n + 2;
        return true;
    }
    if (n > FB_RESP_ELEMENTS_MAX || f->to_come > UINT64_MAX / 4)
        return false;
    f->to_come += f->value == '%' ? 2 * n : n;
    if (f->value == '|') /* attributes stand before a value and are none */
        f->to_come += n;
    else
        f->to_come--;
    return true;
}

static bool begin_value(struct fb_resp_follow *f, char type) {
    if (f->to_come == 0) {
        f->to_come = 1;
        f->type = type;
    }
    f->value = type;
    f->left = 0;
    f->digits = 0;
    f->is_negative = false;
    f->state = strchr("+-:_,#(", type) != NULL && type != '\0' ? LINE : NUMBER;
    return f->state == LINE || is_aggregate(type) || type == '$' || type == '=' || type == '!';
}

static bool take_digit(struct fb_resp_follow *f, char c) {
    if (c == '\r') {
        f->state = NUMBER_END;
        return true;
    }
    if (c == '-' && f->digits == 0 && !f->is_negative)
        return f->is_negative = true;
    if (c < '0' || c > '9' || ++f->digits > 18)
        return false;
    f->left = f->left * 10 + (uint64_t)(c - '0');
    return true;
}

size_t fb_resp_follow(struct fb_resp_follow *f, const char *data, size_t len, enum fb_resp_verdict *ret_verdict) {
    size_t i = 0;
    bool is_good = true;
    while (i < len && is_good) {
        switch (f->state) {
        case TYPE: is_good = begin_value(f, data[i++]); break;
        case LINE: {
            const char *end = memchr(data + i, '\n', len - i);
            i = end != NULL ? (size_t)(end - data) + 1 : len;
            if (end != NULL) {
                f->state = TYPE;
                f->to_come--;
            }
            break;
        }
        case NUMBER: is_good = take_digit(f, data[i++]); break;
        case NUMBER_END: is_good = data[i++] == '\n' && end_number(f); break;
        default: {
            size_t n = f->left < len - i ? (size_t)f->left : len - i;
            if (f->left >= 2 && n >= f->left - 1) /* the line end is in here, or begins */
                is_good = data[i + f->left - 2] == '\r';
            if (n == f->left)
                is_good &= data[i + n - 1] == '\n';
            i += n;
            f->left -= n;
            if (f->left == 0) {
                f->state = TYPE;
                f->to_come--;
            }
            break;
        }
        }
        if (is_good && f->state == TYPE && f->to_come == 0) {
            *ret_verdict = FB_RESP_DONE;
            return i;
        }
    }
    *ret_verdict = is_good ? FB_RESP_MORE : FB_RESP_BAD;
    return i;
}
