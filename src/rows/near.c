/* How a key differs from a pattern that it does not match: literal text by edit distance, parameters by their type. */
#include "rows/near.h"

#include <stdio.h>
#include <string.h>

#include "rows/names.h"
#include "rows/param.h"
#include "base/utf8.h"

enum {
    SHOWN_MAX = 40,      /* bytes of a piece of the key in the text */
    SLACK = 4,           /* bytes that a misspelt literal may be longer than the right one */
    COST_PARAM = 1,      /* the parameter is there and of another type */
    COST_LEFT_OVER = 2,
    COST_LETTER = 2,     /* of a literal */
};

struct search {
    fb_bytes rest;
    unsigned cost;
    char *why; /* of the first difference */
};

static int shown(fb_bytes text) { return (int)(text.len < SHOWN_MAX ? text.len : SHOWN_MAX); }

static void skip(struct search *s, size_t n) { s->rest = fb_bytes_of(s->rest.data + n, s->rest.len - n); }

static bool is_first(const struct search *s) { return s->why[0] == '\0'; }

/* The bytes that stand where the literal should: up to as many of its last character as it has itself ("usr:" for
 * "user:"), or as many bytes as it has. */
static size_t counterpart(fb_bytes rest, const struct fb_pattern_part *literal) {
    char last = literal->text[literal->len - 1];
    unsigned wanted = 0;
    for (size_t i = 0; i < literal->len; i++)
        wanted += literal->text[i] == last;
    size_t most = rest.len < literal->len + SLACK ? rest.len : literal->len + SLACK;
    for (size_t i = 0; i < most; i++)
        if (rest.data[i] == last && --wanted == 0)
            return i + 1;
    return rest.len < literal->len ? rest.len : literal->len;
}

static bool take_literal(struct search *s, const struct fb_pattern_part *literal) {
    size_t n = counterpart(s->rest, literal);
    struct fb_nearest nearest = FB_NEAREST_INIT(fb_bytes_of(s->rest.data, n));
    if (n == literal->len && memcmp(s->rest.data, literal->text, n) == 0) {
        skip(s, n);
        return true;
    }
    fb_nearest_offer(&nearest, literal->text);
    if (n == 0 || nearest.best == NULL)
        return false;
    if (is_first(s))
        snprintf(s->why, FB_NEAR_WHY_MAX, "it says '%.*s' and not '%.*s'", shown(nearest.wanted), s->rest.data,
                 shown(fb_bytes_of(literal->text, literal->len)), literal->text);
    s->cost += COST_LETTER * (nearest.distance > 0 ? nearest.distance : 1); /* 0: only the case differs */
    skip(s, n);
    return true;
}

static size_t end_of_param(fb_bytes rest, const struct fb_pattern_part *part, const struct fb_pattern_part *next) {
    const char *end = NULL;
    if (part->type == FB_PARAM_REST || rest.len == 0)
        return rest.len;
    if (next != NULL)
        end = memmem(rest.data, rest.len, next->text, next->len);
    if (end == NULL)
        end = memchr(rest.data, ':', rest.len);
    return end != NULL ? (size_t)(end - rest.data) : rest.len;
}

static void take_param(struct search *s, const struct fb_pattern_part *part, const struct fb_pattern_part *next) {
    static const char *const expected[] = {
        [FB_PARAM_TEXT] = "text without ':'", [FB_PARAM_INT] = "a whole number in its shortest form",
        [FB_PARAM_UUID] = "a UUID in lower case", [FB_PARAM_HEX] = "hexadecimal in lower case",
        [FB_PARAM_DATE] = "a day as YYYY-MM-DD", [FB_PARAM_REST] = "text"};
    fb_bytes value = fb_bytes_of(s->rest.data, end_of_param(s->rest, part, next));
    if (!fb_param_fits(part->type, value)) {
        if (is_first(s) && value.len == 0)
            snprintf(s->why, FB_NEAR_WHY_MAX, "{%s} is empty", part->text);
        else if (is_first(s))
            snprintf(s->why, FB_NEAR_WHY_MAX, "'%.*s' is not %s", shown(value), value.data, expected[part->type]);
        s->cost += COST_PARAM;
    }
    skip(s, value.len);
}

unsigned fb_pattern_near(const struct fb_pattern *pattern, fb_bytes key, char ret_why[FB_NEAR_WHY_MAX]) {
    struct search s = {.rest = key, .why = ret_why};
    bool has_literal = false;
    ret_why[0] = '\0';
    for (unsigned i = 0; i < pattern->nparts; i++) {
        const struct fb_pattern_part *part = &pattern->parts[i];
        if (part->is_param)
            take_param(&s, part, i + 1 < pattern->nparts ? part + 1 : NULL);
        else if (!take_literal(&s, part))
            return 0;
        has_literal |= !part->is_param;
    }
    if (!has_literal && s.rest.len > 0)
        return 0; /* "{id}" comes near to everything and suggests nothing */
    if (s.rest.len > 0) {
        if (is_first(&s))
            snprintf(ret_why, FB_NEAR_WHY_MAX, "'%.*s' is left over", shown(s.rest), s.rest.data);
        s.cost += COST_LEFT_OVER;
    }
    if (s.cost == 0) { /* it looks right: then the bytes are the matter */
        snprintf(ret_why, FB_NEAR_WHY_MAX, "%s", fb_utf8_is_text(key) ? "its parameters cannot be told apart"
                                                                      : "it is not valid UTF-8");
        s.cost = COST_PARAM;
    }
    return s.cost;
}
