/* One key pattern: parsing it, cutting a key into parameters, and making a key from them.
 *
 * Where a parameter ends is decided without going back: uuid and date have a fixed length; int and hex are the longest
 * run of their bytes (so the text after them may not begin with such a byte); a plain parameter ends where the text
 * after it first occurs, or, when that text ends the pattern, where the key ends with it. A key is therefore cut in at
 * most one way. The other way round a value that would be cut differently (x-y in "{a}-{b}") has no key: rendering cuts
 * what it made and refuses. Together: match and render are inverse to each other. */
#include "rows/pattern.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/number.h"
#include "rows/param.h"
#include "base/utf8.h"

static const char *const type_names[] = {
    [FB_PARAM_TEXT] = "text", [FB_PARAM_INT] = "int",   [FB_PARAM_UUID] = "uuid",
    [FB_PARAM_HEX] = "hex",   [FB_PARAM_DATE] = "date", [FB_PARAM_REST] = "rest",
};
enum { NTYPES = sizeof type_names / sizeof type_names[0], NAME_MAX_LEN = 63 };

const char *fb_param_type_name(enum fb_param_type type) { return type_names[type]; }

/* ---- types ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

bool fb_param_is_run_byte(enum fb_param_type type, char c) {
    return type == FB_PARAM_INT ? is_digit(c) || c == '-' : is_hex(c);
}

static bool is_uuid(fb_bytes v) {
    for (size_t i = 0; i < v.len; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? v.data[i] != '-' : !is_hex(v.data[i]))
            return false;
    return v.len == FB_PARAM_UUID_LEN;
}

unsigned fb_param_days_in(unsigned month, bool is_leap) {
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap);
}

static bool is_date(fb_bytes v) {
    if (v.len != FB_PARAM_DATE_LEN)
        return false;
    for (size_t i = 0; i < v.len; i++)
        if (i == 4 || i == 7 ? v.data[i] != '-' : !is_digit(v.data[i]))
            return false;
    const char *d = v.data;
    unsigned year = 0;
    for (int i = 0; i < 4; i++)
        year = year * 10 + (unsigned)(d[i] - '0');
    unsigned month = (unsigned)(d[5] - '0') * 10 + (unsigned)(d[6] - '0');
    unsigned day = (unsigned)(d[8] - '0') * 10 + (unsigned)(d[9] - '0');
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= fb_param_days_in(month, is_leap);
}

bool fb_param_fits(enum fb_param_type type, fb_bytes v) {
    int64_t number;
    if (v.len == 0)
        return false;
    switch (type) {
    case FB_PARAM_TEXT:
        return memchr(v.data, ':', v.len) == NULL;
    case FB_PARAM_INT:
        return fb_number_int(v, &number);
    case FB_PARAM_UUID:
        return is_uuid(v);
    case FB_PARAM_HEX:
        for (size_t i = 0; i < v.len; i++)
            if (!is_hex(v.data[i]))
                return false;
        return true;
    case FB_PARAM_DATE:
        return is_date(v);
    case FB_PARAM_REST:
        return true;
    }
    return false;
}

/* ---- parsing ---- */

struct parser {
    const char *text, *at;
    struct fb_pattern *out;
    fb_err *err;
};

#define refuse(p, format, ...) fb_fail((p)->err, FB_CONFIG, "pattern '%s': " format, (p)->text, ##__VA_ARGS__)

static struct fb_pattern_part *last_part(struct fb_pattern *pattern) {
    return pattern->nparts > 0 ? &pattern->parts[pattern->nparts - 1] : NULL;
}

/* Takes ownership of nothing; copies `len` bytes and terminates them. */
static fb_status add_part(struct parser *p, bool is_param, enum fb_param_type type, const char *text, size_t len) {
    char *copy = fb_mem_alloc(len + 1);
    if (copy == NULL)
        return fb_fail(p->err, FB_NOMEM, "out of memory");
    memcpy(copy, text, len);
    copy[len] = 0;
    p->out->parts[p->out->nparts++] = (struct fb_pattern_part){is_param, type, copy, len};
    p->out->nparams += is_param;
    return FB_OK;
}

static fb_status parse_literal(struct parser *p) {
    char text[FB_PATTERN_LEN_MAX];
    size_t len = 0;
    for (; *p->at != 0 && *p->at != '{'; p->at++) {
        if (*p->at == '}')
            return refuse(p, "'}' without '{'; write \\} for a literal brace");
        if (*p->at == '\\' && p->at[1] != 0 && strchr("{}\\", p->at[1]) != NULL)
            p->at++;
        text[len++] = *p->at;
    }
    const struct fb_pattern_part *before = last_part(p->out);
    if (before != NULL && (before->type == FB_PARAM_INT || before->type == FB_PARAM_HEX) &&
        fb_param_is_run_byte(before->type, text[0]))
        return refuse(p, "the text after {%s:%s} may not begin with '%c', which could belong to the parameter",
                      before->text, type_names[before->type], text[0]);
    return add_part(p, /* is_param */ false, FB_PARAM_TEXT, text, len);
}

static bool is_name(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        bool is_letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_';
        if (!is_letter && !(i > 0 && is_digit(s[i])))
            return false;
    }
    return len > 0 && len <= NAME_MAX_LEN;
}

static fb_status parse_param(struct parser *p) {
    const char *name = p->at + 1;
    const char *close = strchr(name, '}');
    if (close == NULL)
        return refuse(p, "'{' without '}'; write \\{ for a literal brace");
    const char *colon = memchr(name, ':', (size_t)(close - name));
    size_t len = (size_t)((colon != NULL ? colon : close) - name);
    if (!is_name(name, len))
        return refuse(p, "a parameter is {name} or {name:type}, its name letters, digits and '_'");
    unsigned type = FB_PARAM_TEXT;
    if (colon != NULL) {
        size_t n = (size_t)(close - colon - 1);
        while (type < NTYPES && (strlen(type_names[type]) != n || memcmp(type_names[type], colon + 1, n) != 0))
            type++;
        if (type == NTYPES || type == FB_PARAM_TEXT)
            return refuse(p, "unknown type '%.*s'; there are int, uuid, hex, date and rest", (int)n, colon + 1);
    }
    for (unsigned i = 0; i < p->out->nparts; i++)
        if (p->out->parts[i].is_param && p->out->parts[i].len == len && memcmp(p->out->parts[i].text, name, len) == 0)
            return refuse(p, "parameter '%.*s' is there twice", (int)len, name);
    if (p->out->nparams == FB_PATTERN_PARAMS_MAX)
        return refuse(p, "more than %d parameters", FB_PATTERN_PARAMS_MAX);
    if (last_part(p->out) != NULL && last_part(p->out)->is_param)
        return refuse(p, "two parameters need text between them");
    if (type == FB_PARAM_REST && close[1] != 0)
        return refuse(p, "{%.*s:rest} must come last", (int)len, name);
    p->at = close + 1;
    return add_part(p, /* is_param */ true, (enum fb_param_type)type, name, len);
}

fb_status fb_pattern_parse(const char *text, struct fb_pattern *ret_pattern, fb_err *reterr) {
    struct fb_pattern pattern = {.nparts = 0};
    struct parser p = {text, text, &pattern, reterr};
    size_t len = text != NULL ? strnlen(text, FB_PATTERN_LEN_MAX + 1) : 0;
    if (len == 0)
        return fb_fail(reterr, FB_CONFIG, "a keyspace needs a pattern, for example 'user:{id:int}'");
    if (len > FB_PATTERN_LEN_MAX)
        return fb_fail(reterr, FB_CONFIG, "pattern '%.40s...' is longer than %d bytes", text, FB_PATTERN_LEN_MAX);
    if (!fb_utf8_is_text(fb_bytes_of(text, len)))
        return fb_fail(reterr, FB_CONFIG, "a pattern is not valid UTF-8");
    fb_status status = FB_OK;
    while (status == FB_OK && *p.at != 0)
        status = *p.at == '{' ? parse_param(&p) : parse_literal(&p);
    if (status != FB_OK) {
        fb_pattern_finish(&pattern);
        return status;
    }
    *ret_pattern = pattern;
    return FB_OK;
}

void fb_pattern_finish(struct fb_pattern *pattern) {
    for (unsigned i = 0; i < pattern->nparts; i++)
        fb_mem_free(pattern->parts[i].text);
    *pattern = (struct fb_pattern){.nparts = 0};
}

char *fb_pattern_format(const struct fb_pattern *pattern) {
    fb_buf out = FB_BUF_INIT;
    fb_status status = FB_OK;
    for (unsigned i = 0; i < pattern->nparts && status == FB_OK; i++) {
        const struct fb_pattern_part *part = &pattern->parts[i];
        if (fb_buf_reserve(&out, 2 * part->len + 16) != FB_OK) /* enough for "{" ":type}" and every byte escaped */
            status = FB_NOMEM;
        else if (part->is_param) {
            (void)fb_buf_append(&out, "{", 1);
            (void)fb_buf_append(&out, part->text, part->len);
            if (part->type != FB_PARAM_TEXT) {
                (void)fb_buf_append(&out, ":", 1);
                (void)fb_buf_append(&out, type_names[part->type], strlen(type_names[part->type]));
            }
            (void)fb_buf_append(&out, "}", 1);
        } else {
            for (size_t b = 0; b < part->len; b++) {
                if (strchr("{}\\", part->text[b]) != NULL)
                    (void)fb_buf_append(&out, "\\", 1);
                (void)fb_buf_append(&out, part->text + b, 1);
            }
        }
    }
    if (status != FB_OK || fb_buf_append(&out, "", 1) != FB_OK) {
        fb_buf_free(&out);
        return NULL;
    }
    return out.data;
}

/* ---- matching and rendering ---- */

size_t fb_param_cut(enum fb_param_type type, fb_bytes rest, fb_bytes next, bool next_is_last) {
    size_t n = 0;
    switch (type) {
    case FB_PARAM_UUID:
        n = FB_PARAM_UUID_LEN;
        break;
    case FB_PARAM_DATE:
        n = FB_PARAM_DATE_LEN;
        break;
    case FB_PARAM_INT:
    case FB_PARAM_HEX:
        while (n < rest.len && fb_param_is_run_byte(type, rest.data[n]))
            n++;
        break;
    case FB_PARAM_REST:
        n = rest.len;
        break;
    case FB_PARAM_TEXT:
        if (rest.len <= next.len)
            return 0;
        if (next.len == 0 || next_is_last) {
            n = rest.len - next.len;
        } else {
            const char *found = memmem(rest.data + 1, rest.len - 1, next.data, next.len);
            n = found != NULL ? (size_t)(found - rest.data) : 0;
        }
        break;
    }
    return n <= rest.len && fb_param_fits(type, fb_bytes_of(rest.data, n)) ? n : 0;
}

static fb_status cut_key(const struct fb_pattern *pattern, fb_bytes key, fb_bytes ret_params[FB_PATTERN_PARAMS_MAX]) {
    fb_bytes rest = key;
    unsigned nparams = 0;
    for (unsigned i = 0; i < pattern->nparts; i++) {
        const struct fb_pattern_part *part = &pattern->parts[i];
        size_t n = part->len;
        if (part->is_param) {
            bool has_next = i + 1 < pattern->nparts;
            fb_bytes next = has_next ? fb_bytes_of(part[1].text, part[1].len) : fb_bytes_of(NULL, 0);
            n = fb_param_cut(part->type, rest, next, /* next_is_last */ i + 2 == pattern->nparts);
            if (n == 0)
                return FB_NOMAP;
            ret_params[nparams++] = fb_bytes_of(rest.data, n);
        } else if (rest.len < n || memcmp(rest.data, part->text, n) != 0) {
            return FB_NOMAP;
        }
        rest = fb_bytes_of(rest.data + n, rest.len - n);
    }
    return rest.len == 0 ? FB_OK : FB_NOMAP;
}

fb_status fb_pattern_match(const struct fb_pattern *pattern, fb_bytes key, fb_bytes ret_params[FB_PATTERN_PARAMS_MAX]) {
    fb_status status = cut_key(pattern, key, ret_params);
    return status == FB_OK && !fb_utf8_is_text(key) ? FB_NOMAP : status;
}

fb_status fb_pattern_render(const struct fb_pattern *pattern, const fb_bytes *params, fb_buf *out) {
    size_t begin = out->len;
    unsigned nparams = 0;
    fb_status status = FB_OK;
    for (unsigned i = 0; i < pattern->nparts && status == FB_OK; i++) {
        const struct fb_pattern_part *part = &pattern->parts[i];
        fb_bytes text = part->is_param ? params[nparams++] : fb_bytes_of(part->text, part->len);
        status = fb_buf_append(out, text.data, text.len);
    }
    if (status == FB_OK) {
        fb_bytes back[FB_PATTERN_PARAMS_MAX];
        bool is_same = fb_pattern_match(pattern, fb_bytes_of(out->data + begin, out->len - begin), back) == FB_OK;
        for (unsigned i = 0; i < nparams && is_same; i++)
            is_same = back[i].len == params[i].len && memcmp(back[i].data, params[i].data, back[i].len) == 0;
        status = is_same ? FB_OK : FB_BADVALUE;
    }
    if (status != FB_OK)
        out->len = begin;
    return status;
}
