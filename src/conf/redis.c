/* Values as CONFIG SET gives them under the names that Redis has for our settings: brought into our own form, typed by
 * the same functions, and refused in Redis' words. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/settings.h"

/* Redis' units of memory: "k" is 1000, "kb" is 1024, none is bytes. */
static bool parse_memory(const char *text, uint64_t *ret_bytes) {
    static const struct { const char *name; uint64_t factor; } units[] = {
        {"", 1},           {"b", 1},        {"k", 1000},       {"kb", 1 << 10},
        {"m", 1000000},    {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30},
    };
    char *end, unit[4] = "";
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno != 0 || strlen(end) >= sizeof unit)
        return false;
    for (size_t i = 0; end[i] != '\0'; i++)
        unit[i] = (char)tolower((unsigned char)end[i]);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(units[i].name, unit) == 0)
            return !__builtin_mul_overflow(n, units[i].factor, ret_bytes) && *ret_bytes <= INT64_MAX;
    return false;
}

static bool parse_integer(const char *text, int64_t *ret_n) {
    char *end;
    errno = 0;
    *ret_n = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && !isspace((unsigned char)text[0]) && text[0] != '+';
}

static bool refuse_range(const struct fb_setting *s, struct fb_complaint *reterr) {
    uint64_t min, max, unit = s->type == FB_TYPE_DURATION ? 1000 : 1;
    if (!fb_setting_limits(s, &min, &max))
        return fb_complain(reterr, "range", "", "argument is out of range");
    int64_t least = s->choices == NULL ? (int64_t)(min / unit) : s->type == FB_TYPE_TIME_US ? -1 : 0;
    return fb_complain(reterr, "range", "", "argument must be between %" PRId64 " and %" PRId64 " inclusive", least,
                       (int64_t)(max / unit));
}

/* A number as `form` says, or the setting's word where Redis has 0 (or something negative). */
static bool set_number(const struct fb_setting *s, struct fb_arena *arena, int64_t n, void *data,
                       struct fb_complaint *reterr) {
    static const struct { enum fb_setting_type type; const char *unit; } units[] = {
        {FB_TYPE_COUNT, ""}, {FB_TYPE_DURATION, "s"}, {FB_TYPE_TIME_MS, "ms"}, {FB_TYPE_TIME_US, "us"},
        {FB_TYPE_SIZE, "b"},
    };
    char text[40] = "";
    bool is_none = s->choices != NULL && (s->type == FB_TYPE_TIME_US ? n < 0 : n == 0);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].type == s->type)
            snprintf(text, sizeof text, "%" PRId64 "%s", n, units[i].unit);
    const char *items[] = {is_none ? s->choices : text};
    return fb_setting_parse(s, arena, items, 1, false, data, reterr) || refuse_range(s, reterr);
}

/* Redis' own words of a choice: "a=b|c|!later" are b and c. */
static bool refuse_choice(const struct fb_setting *s, struct fb_complaint *reterr) {
    char names[200] = "";
    size_t used = 0;
    for (const char *p = s->choices; *p != '\0';) {
        size_t len = strcspn(p, "|");
        const char *eq = memchr(p, '=', len), *word = eq != NULL ? eq + 1 : p;
        if (*p != '!' && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%.*s", used > 0 ? ", " : "",
                                     (int)(p + len - word), word);
        p += len + (p[len] == '|');
    }
    return fb_complain(reterr, "choice", "", "argument(s) must be one of the following: %s", names);
}

static bool set_word(const struct fb_setting *s, struct fb_arena *arena, const char *text, void *data,
                     struct fb_complaint *reterr) {
    char word[32] = "";
    for (size_t i = 0; text[i] != '\0' && i < sizeof word - 1; i++)
        word[i] = (char)tolower((unsigned char)text[i]);
    const char *items[] = {word};
    if (s->type == FB_TYPE_BOOL && strcmp(word, "yes") != 0 && strcmp(word, "no") != 0)
        return fb_complain(reterr, "type", "", "argument must be 'yes' or 'no'");
    return (word[0] != '\0' && fb_setting_parse(s, arena, items, 1, false, data, reterr)) || refuse_choice(s, reterr);
}

bool fb_setting_parse_redis(const struct fb_setting *s, struct fb_arena *arena, const char *text, void *data,
                            struct fb_complaint *reterr) {
    uint64_t bytes;
    int64_t n;
    const char *items[] = {text};
    *reterr = (struct fb_complaint){0};
    switch (s->type) {
    case FB_TYPE_SIZE:
        if (!parse_memory(text, &bytes))
            return fb_complain(reterr, "type", "", "argument must be a memory value");
        return set_number(s, arena, (int64_t)bytes, data, reterr);
    case FB_TYPE_COUNT:
    case FB_TYPE_DURATION:
    case FB_TYPE_TIME_MS:
    case FB_TYPE_TIME_US:
        if (!parse_integer(text, &n))
            return fb_complain(reterr, "type", "", "argument couldn't be parsed into an integer");
        return set_number(s, arena, n, data, reterr);
    case FB_TYPE_BOOL:
    case FB_TYPE_CHOICE: return set_word(s, arena, text, data, reterr);
    case FB_TYPE_EVENTS: return fb_setting_parse(s, arena, items, 1, false, data, reterr);
    default: break;
    }
    if (text[0] == '\0' && !fb_setting_is_list(s)) {
        fb_setting_clear(s, data);
        return true;
    }
    return fb_setting_parse(s, arena, items, 1, s->type == FB_TYPE_SECRET, data, reterr);
}
