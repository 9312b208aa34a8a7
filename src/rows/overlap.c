/* Telling patterns apart: each pattern is a small deterministic automaton that accepts exactly the keys it matches; a
 * breadth-first walk over pairs of their states finds the shortest key that both accept, or shows that there is none.
 * The same walk, asking for a key that a accepts and b does not, decides whether a lies inside b.
 *
 * The state of one automaton:
 *     part   the part being read; nparts is "all read", DEAD is "no key that begins like this matches"
 *     at     literal: bytes matched. uuid, date, hex: bytes read. int: sign and digits. text: how much of the text that
 *            follows has just been seen (its failure function is computed naively; literals are short), +1, 0 = nothing
 *     extra  date: year modulo 400, then month and day; int: comparison with the largest number of 19 digits
 *
 * The walk uses characters, not bytes, so that examples are valid UTF-8: those of both patterns, what the types want,
 * ':', which a plain parameter refuses, and one that occurs nowhere, which stands for all others. */
#include "rows/overlap.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "rows/param.h"
#include "base/utf8.h"

enum {
    DEAD = 255,
    STATES_MAX = 1 << 18, /* pairs; real patterns need some hundreds, this bounds adversarial ones to about 100 ms */
    SYMBOLS_MAX = 2 * FB_PATTERN_LEN_MAX + 24,
};

struct state {
    uint8_t part;
    uint8_t flags; /* date: leap year; int: 1 negative, 2 less, 4 greater */
    uint16_t at;
    uint16_t extra;
};

static const struct state dead = {DEAD, 0, 0, 0};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static struct state at_part(unsigned part) { return (struct state){(uint8_t)part, 0, 0, 0}; }

/* ---- int: -?(0|[1-9][0-9]*) within 64 bits; `at` counts digits ---- */

static const char int_max[] = "9223372036854775807";
enum { NEGATIVE = 1, LESS = 2, GREATER = 4, IS_ZERO = 8, INT_DIGITS = 19 };

static struct state step_int(struct state s, char c) {
    if (c == '-') {
        if (s.at > 0 || (s.flags & NEGATIVE))
            return dead;
        s.flags |= NEGATIVE;
        return s;
    }
    if (s.at == INT_DIGITS || (s.flags & IS_ZERO) || (c == '0' && s.at == 0 && (s.flags & NEGATIVE)))
        return dead;
    if (c == '0' && s.at == 0)
        s.flags |= IS_ZERO;
    char limit = int_max[s.at];
    if (s.at == INT_DIGITS - 1 && (s.flags & NEGATIVE))
        limit++; /* −2^63 */
    if (!(s.flags & (LESS | GREATER)))
        s.flags |= c < limit ? LESS : c > limit ? GREATER : 0;
    s.at++;
    return s.at == INT_DIGITS && (s.flags & GREATER) ? dead : s;
}

/* ---- uuid and date: fixed length ---- */

static struct state step_uuid(struct state s, char c) {
    bool is_dash = s.at == 8 || s.at == 13 || s.at == 18 || s.at == 23;
    if (is_dash ? c != '-' : !fb_param_is_run_byte(FB_PARAM_HEX, c))
        return dead;
    s.at++;
    return s;
}

static struct state step_date(struct state s, char c) {
    unsigned n = s.extra;
    unsigned at = s.at++;
    if (at == 4 || at == 7 ? c != '-' : !is_digit(c))
        return dead;
    unsigned digit = (unsigned)(c - '0');
    if (at < 4) {
        n = (n * 10 + digit) % 400;
        if (at == 3) {
            s.flags = (n % 4 == 0 && n % 100 != 0) || n == 0;
            n = 0;
        }
    } else if (at == 5 || at == 6) {
        n = n * 10 + digit;
        if (n > 12 || (at == 6 && n == 0))
            return dead;
    } else if (at == 8) {
        n = n * 10 + digit; /* month × 10 + tens of the day */
    } else if (at == 9) {
        unsigned month = n / 10, day = n % 10 * 10 + digit;
        if (day == 0 || day > fb_param_days_in(month, s.flags))
            return dead;
        n = 0;
        s.flags = 0;
    }
    s.extra = (uint16_t)n;
    return s;
}

/* ---- text: `at` − 1 bytes of the following text have just been seen ---- */

static struct state step_text(const struct fb_pattern *pattern, struct state s, char c) {
    if (s.at == 0) { /* a value has at least one byte, whatever follows */
        s.at = 1;
        return c == ':' ? dead : s;
    }
    if (s.part + 1u == pattern->nparts)
        return c == ':' ? dead : s;
    const struct fb_pattern_part *next = &pattern->parts[s.part + 1];
    char seen[FB_PATTERN_LEN_MAX + 1];
    size_t n = s.at - 1u;
    memcpy(seen, next->text, n);
    seen[n++] = c;
    size_t keep = n <= next->len ? n : n - 1;
    while (keep > 0 && memcmp(seen + n - keep, next->text, keep) != 0)
        keep--;
    if (memchr(seen, ':', n - keep) != NULL)
        return dead; /* what is not the following text after all belongs to the value */
    bool ends_pattern = s.part + 2u == pattern->nparts;
    if (keep == next->len && !ends_pattern)
        return at_part(s.part + 2u);
    s.at = (uint16_t)(keep + 1);
    return s;
}

static bool accepts_here(const struct fb_pattern *pattern, struct state s) {
    const struct fb_pattern_part *part = &pattern->parts[s.part];
    if (!part->is_param)
        return s.at == part->len;
    switch (part->type) {
    case FB_PARAM_TEXT:
        return s.at > 0 && (s.part + 1u == pattern->nparts ||
                            (s.part + 2u == pattern->nparts && s.at - 1u == pattern->parts[s.part + 1].len));
    case FB_PARAM_UUID:
        return s.at == FB_PARAM_UUID_LEN;
    case FB_PARAM_DATE:
        return s.at == FB_PARAM_DATE_LEN;
    default:
        return s.at > 0;
    }
}

static struct state step(const struct fb_pattern *pattern, struct state s, char c) {
    while (s.part < pattern->nparts) {
        const struct fb_pattern_part *part = &pattern->parts[s.part];
        if (!part->is_param) {
            if (s.at < part->len) {
                s.at++;
                return part->text[s.at - 1] == c ? s : dead;
            }
        } else if (part->type == FB_PARAM_TEXT) {
            return step_text(pattern, s, c);
        } else if (part->type == FB_PARAM_REST) {
            s.at = 1;
            return s;
        } else if (part->type == FB_PARAM_UUID && s.at < FB_PARAM_UUID_LEN) {
            return step_uuid(s, c);
        } else if (part->type == FB_PARAM_DATE && s.at < FB_PARAM_DATE_LEN) {
            return step_date(s, c);
        } else if ((part->type == FB_PARAM_INT || part->type == FB_PARAM_HEX) && fb_param_is_run_byte(part->type, c)) {
            if (part->type == FB_PARAM_INT)
                return step_int(s, c);
            s.at = 1;
            return s;
        } else if (!accepts_here(pattern, s)) {
            return dead;
        }
        s = at_part(s.part + 1u); /* this part is complete; the byte belongs to the next one */
    }
    return dead;
}

static bool accepts(const struct fb_pattern *pattern, struct state s) {
    return s.part < pattern->nparts && s.part + 1u >= pattern->nparts ? accepts_here(pattern, s)
           : s.part + 2u == pattern->nparts && pattern->parts[s.part].is_param &&
                   pattern->parts[s.part].type == FB_PARAM_TEXT
               ? accepts_here(pattern, s)
               : false;
}

/* ---- the walk over pairs ---- */

struct symbol {
    char bytes[4];
    unsigned len;
};

struct pair {
    struct state a, b;
    uint32_t parent;
    uint16_t symbol;
};

struct walk {
    const struct fb_pattern *a, *b;
    struct symbol symbols[SYMBOLS_MAX];
    unsigned nsymbols;
    struct pair *pairs; /* in order of discovery: the queue, and the way back */
    uint32_t npairs, cap;
    uint32_t *slots;    /* open addressing: index + 1 of a pair */
    uint32_t nslots;
};

static void add_symbol(struct walk *w, const char *bytes, unsigned len) {
    for (unsigned i = 0; i < w->nsymbols; i++)
        if (w->symbols[i].len == len && memcmp(w->symbols[i].bytes, bytes, len) == 0)
            return;
    struct symbol *s = &w->symbols[w->nsymbols++];
    memcpy(s->bytes, bytes, len);
    s->len = len;
}

static void add_symbols_of(struct walk *w, const struct fb_pattern *pattern) {
    for (unsigned i = 0; i < pattern->nparts; i++) {
        const struct fb_pattern_part *part = &pattern->parts[i];
        unsigned n;
        for (const char *p = part->text, *end = p + part->len; !part->is_param && p < end; p += n)
            add_symbol(w, p, n = fb_utf8_step(p, end));
    }
}

/* A character that is in neither pattern: there are more of them than a pattern has bytes. */
static void add_other(struct walk *w) {
    unsigned before = w->nsymbols;
    for (uint32_t code = 'x'; w->nsymbols == before; code++) {
        char bytes[4];
        add_symbol(w, bytes, fb_utf8_put(bytes, code));
    }
}

static uint32_t slot_of(const struct walk *w, const struct state *a, const struct state *b) {
    static const struct fb_hash_key key = {0, 0};
    struct state both[2] = {*a, *b};
    uint32_t i = (uint32_t)fb_hash(&key, both, sizeof both) & (w->nslots - 1);
    for (; w->slots[i] != 0; i = (i + 1) & (w->nslots - 1)) {
        const struct pair *p = &w->pairs[w->slots[i] - 1];
        if (memcmp(&p->a, a, sizeof *a) == 0 && memcmp(&p->b, b, sizeof *b) == 0)
            break;
    }
    return i;
}

static fb_status grow(struct walk *w) {
    uint32_t cap = w->cap > 0 ? 2 * w->cap : 256;
    struct pair *pairs = fb_mem_realloc(w->pairs, cap * sizeof *pairs);
    if (pairs == NULL)
        return FB_NOMEM;
    w->pairs = pairs;
    uint32_t *slots = fb_mem_calloc(4 * (size_t)cap, sizeof *slots);
    if (slots == NULL)
        return FB_NOMEM;
    fb_mem_free(w->slots);
    w->slots = slots;
    w->nslots = 4 * cap;
    w->cap = cap;
    for (uint32_t i = 0; i < w->npairs; i++)
        w->slots[slot_of(w, &w->pairs[i].a, &w->pairs[i].b)] = i + 1;
    return FB_OK;
}

static fb_status visit(struct walk *w, struct state a, struct state b, uint32_t parent, unsigned symbol) {
    if (w->npairs == w->cap && grow(w) != FB_OK)
        return FB_NOMEM;
    uint32_t slot = slot_of(w, &a, &b);
    if (w->slots[slot] == 0) {
        w->pairs[w->npairs] = (struct pair){a, b, parent, (uint16_t)symbol};
        w->slots[slot] = ++w->npairs;
    }
    return FB_OK;
}

static fb_status append_way(const struct walk *w, uint32_t i, fb_buf *out) {
    size_t begin = out->len;
    for (; i != 0; i = w->pairs[i].parent) {
        const struct symbol *s = &w->symbols[w->pairs[i].symbol];
        if (fb_buf_reserve(out, s->len) != FB_OK)
            return FB_NOMEM;
        memmove(out->data + begin + s->len, out->data + begin, out->len - begin);
        memcpy(out->data + begin, s->bytes, s->len);
        out->len += s->len;
    }
    return FB_OK;
}

/* Is there a key that a accepts and that b accepts, or does not (want_b)? FB_OK with the key appended, FB_NOTFOUND,
 * FB_UNSUPPORTED beyond the bound, FB_NOMEM. */
static fb_status search(struct walk *w, bool want_b, fb_buf *example) {
    w->npairs = 0;
    if (w->slots != NULL)
        memset(w->slots, 0, w->nslots * sizeof *w->slots);
    if (visit(w, at_part(0), at_part(0), 0, 0) != FB_OK)
        return FB_NOMEM;
    for (uint32_t i = 0; i < w->npairs; i++) {
        if (accepts(w->a, w->pairs[i].a) && accepts(w->b, w->pairs[i].b) == want_b)
            return append_way(w, i, example);
        for (unsigned k = 0; k < w->nsymbols; k++) {
            struct state a = w->pairs[i].a, b = w->pairs[i].b;
            for (unsigned byte = 0; byte < w->symbols[k].len; byte++) {
                a = a.part == DEAD ? dead : step(w->a, a, w->symbols[k].bytes[byte]);
                b = b.part == DEAD ? dead : step(w->b, b, w->symbols[k].bytes[byte]);
            }
            if (a.part == DEAD || (b.part == DEAD && want_b))
                continue;
            if (w->npairs == STATES_MAX)
                return FB_UNSUPPORTED;
            if (visit(w, a, b, i, k) != FB_OK)
                return FB_NOMEM;
        }
    }
    return FB_NOTFOUND;
}

static bool lies_inside(struct walk *w, const struct fb_pattern *inner, const struct fb_pattern *outer,
                        fb_status *status) {
    fb_buf ignored = FB_BUF_INIT;
    w->a = inner;
    w->b = outer;
    *status = search(w, /* want_b */ false, &ignored);
    fb_buf_free(&ignored);
    return *status == FB_NOTFOUND;
}

size_t fb_pattern_literal_len(const struct fb_pattern *pattern) {
    size_t n = 0;
    for (unsigned i = 0; i < pattern->nparts; i++)
        n += pattern->parts[i].is_param ? 0 : pattern->parts[i].len;
    return n;
}

/* Most pairs of a configuration differ in how they begin. */
static bool begin_differently(const struct fb_pattern *a, const struct fb_pattern *b) {
    const struct fb_pattern_part *x = &a->parts[0], *y = &b->parts[0];
    size_t n = x->len < y->len ? x->len : y->len;
    return !x->is_param && !y->is_param && memcmp(x->text, y->text, n) != 0;
}

fb_status fb_overlap_compare(const struct fb_pattern *a, const struct fb_pattern *b, enum fb_overlap *ret_overlap,
                             fb_buf *example) {
    *ret_overlap = FB_OVERLAP_NONE;
    if (begin_differently(a, b))
        return FB_OK;
    struct walk *w = fb_mem_calloc(1, sizeof *w);
    if (w == NULL)
        return FB_NOMEM;
    for (const char *p = "10-2a3456789bcdef:"; *p != 0; p++) /* digits first: they make the likelier examples */
        add_symbol(w, p, 1);
    add_symbols_of(w, a);
    add_symbols_of(w, b);
    add_other(w);
    w->a = a;
    w->b = b;
    size_t begin = example->len;
    fb_status status = search(w, /* want_b */ true, example);
    if (status == FB_OK) {
        size_t na = fb_pattern_literal_len(a), nb = fb_pattern_literal_len(b);
        *ret_overlap = FB_OVERLAP_AMBIGUOUS;
        if (na > nb && lies_inside(w, a, b, &status))
            *ret_overlap = FB_OVERLAP_A_INSIDE;
        else if (nb > na && lies_inside(w, b, a, &status))
            *ret_overlap = FB_OVERLAP_B_INSIDE;
    }
    if (status == FB_UNSUPPORTED)
        *ret_overlap = FB_OVERLAP_UNKNOWN;
    if (*ret_overlap != FB_OVERLAP_AMBIGUOUS)
        example->len = begin;
    fb_mem_free(w->pairs);
    fb_mem_free(w->slots);
    fb_mem_free(w);
    return status == FB_NOMEM ? FB_NOMEM : FB_OK;
}
