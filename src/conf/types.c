/* From text to typed values and back, one pair of functions per type of setting.
 *
 * Numbers with a unit need one, so that nobody has to know whether 30 are seconds or milliseconds. */
#include "conf/settings.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tbl/notifications.h"

struct unit { const char *name; uint64_t factor; };

/* Largest first: formatting takes the first that divides evenly. */
static const struct unit times[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit micros[] = {{"m", 60000000}, {"s", 1000000}, {"ms", 1000}, {"us", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"tb", UINT64_C(1) << 40}, {"gb", 1 << 30}, {"mb", 1 << 20},
                                    {"kb", 1 << 10},           {"b", 1},        {NULL, 0}};

#define SHOWN "%.60s"

enum { MEBIBYTE = 1 << 20 };

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* Decimal digits; returns the rest, or NULL when there are none or too many. */
static const char *digits(const char *p, uint64_t *ret_n) {
    uint64_t n = 0;
    if (!isdigit((unsigned char)*p))
        return NULL;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
            return NULL;
    *ret_n = n;
    return p;
}

static bool parse_count(const char *text, uint64_t *ret_n) {
    const char *end = digits(text, ret_n);
    return end != NULL && *end == '\0';
}

static size_t unit_length(const char *p) {
    size_t len = 0;
    while (isalpha((unsigned char)p[len]))
        len++;
    return len;
}

/* "1h30m": numbers with units, each unit smaller than the one before. For sizes "kib" is accepted for "kb". */
static bool parse_united(const char *text, const struct unit *units, uint64_t *ret_n) {
    uint64_t sum = 0, n;
    const struct unit *from = units;
    for (const char *p = text; p == text || *p != '\0';) {
        if ((p = digits(p, &n)) == NULL)
            return false;
        char name[4] = "";
        size_t len = unit_length(p);
        if (len == 0 || len >= sizeof name)
            return false;
        for (size_t i = 0, at = 0; i < len; i++)
            if (!(len == 3 && i == 1 && tolower((unsigned char)p[i]) == 'i'))
                name[at++] = (char)tolower((unsigned char)p[i]);
        while (from->name != NULL && strcmp(from->name, name) != 0)
            from++;
        if (from->name == NULL || __builtin_mul_overflow(n, from->factor, &n) || __builtin_add_overflow(sum, n, &sum))
            return false;
        from++;
        p += len;
    }
    *ret_n = sum;
    return sum <= INT64_MAX;
}

/* A number with up to two decimals, in hundredths: exact, unlike strtod and its locale. */
static bool parse_decimal(const char *text, const char *sign, uint64_t *ret_n) {
    uint64_t whole, part = 0;
    const char *p = digits(text, &whole);
    if (p == NULL || whole > 1000000)
        return false;
    if (*p == '.') {
        const char *end = digits(p + 1, &part);
        if (end == NULL || end - p > 3)
            return false;
        if (end - p == 2)
            part *= 10;
        p = end;
    }
    *ret_n = whole * 100 + part;
    return strcmp(p, sign) == 0;
}

/* Members that are pointers differ in what they point to and in const; memcpy asks for neither. */
static void store_pointer(const struct fb_setting *s, void *data, const void *pointer) {
    memcpy((char *)data + s->offset, &pointer, sizeof pointer);
}

static const void *fetch_pointer(const struct fb_setting *s, const void *data) {
    const void *pointer;
    memcpy(&pointer, (const char *)data + s->offset, sizeof pointer);
    return pointer;
}

static bool is_number(enum fb_setting_type type) {
    return type == FB_TYPE_EVENTS || type == FB_TYPE_COUNT || type == FB_TYPE_DURATION || type == FB_TYPE_TIME_MS ||
           type == FB_TYPE_TIME_US || type == FB_TYPE_SIZE || type == FB_TYPE_PERCENT ||
           type == FB_TYPE_FACTOR;
}

/* Hundredths in one: of a percent, or of a number; 0: it is no fraction. */
static double fraction_of(enum fb_setting_type type) {
    return type == FB_TYPE_PERCENT ? 10000 : type == FB_TYPE_FACTOR ? 100 : 0;
}

const char *const *fb_setting_list(const struct fb_setting *s, const void *data) {
    return fb_setting_is_list(s) ? fetch_pointer(s, data) : NULL;
}

const char *fb_setting_string(const struct fb_setting *s, const void *data) {
    bool is_other = is_number(s->type) || fb_setting_is_list(s) || s->type == FB_TYPE_CHOICE || s->type == FB_TYPE_BOOL;
    return is_other ? NULL : fetch_pointer(s, data);
}

static bool parse_number(enum fb_setting_type type, const char *text, uint64_t *ret_n) {
    switch (type) {
    case FB_TYPE_COUNT: return parse_count(text, ret_n);
    case FB_TYPE_DURATION:
    case FB_TYPE_TIME_MS: return parse_united(text, times, ret_n);
    case FB_TYPE_TIME_US: return parse_united(text, micros, ret_n);
    case FB_TYPE_SIZE: return parse_united(text, sizes, ret_n);
    case FB_TYPE_PERCENT: return parse_decimal(text, "%", ret_n);
    case FB_TYPE_FACTOR: return parse_decimal(text, "", ret_n);
    default: return false;
    }
}

static void store_uint(const struct fb_setting *s, void *data, uint64_t n) {
    char *slot = (char *)data + s->offset;
    if (fraction_of(s->type) > 0)
        *(double *)(void *)slot = (double)n / fraction_of(s->type);
    else if (s->size == sizeof(uint64_t))
        *(uint64_t *)(void *)slot = n;
    else
        *(unsigned *)(void *)slot = (unsigned)n;
}

static uint64_t fetch_uint(const struct fb_setting *s, const void *data) {
    const char *slot = (const char *)data + s->offset;
    if (fraction_of(s->type) > 0)
        return (uint64_t)(*(const double *)(const void *)slot * fraction_of(s->type) + 0.5);
    return s->size == sizeof(uint64_t) ? *(const uint64_t *)(const void *)slot : *(const unsigned *)(const void *)slot;
}

/* What the setting's word for zero or none is stored as. */
static uint64_t word_value(const struct fb_setting *s) { return s->type == FB_TYPE_TIME_US ? UINT64_MAX : 0; }

bool fb_setting_limits(const struct fb_setting *s, uint64_t *ret_min, uint64_t *ret_max) {
    return s->min != NULL && s->max != NULL && parse_number(s->type, s->min, ret_min) &&
           parse_number(s->type, s->max, ret_max);
}

static bool complain_number(const struct fb_setting *s, const char *text, struct fb_complaint *reterr) {
    uint64_t n;
    if (s->type != FB_TYPE_COUNT && s->type != FB_TYPE_FACTOR && parse_count(text, &n)) {
        const char *unit = s->type == FB_TYPE_PERCENT ? "%" : s->type != FB_TYPE_SIZE ? "s" : n < MEBIBYTE ? "mb" : "b";
        fb_complain(reterr, "unit", "", "'" SHOWN "' has no unit", text);
        snprintf(reterr->help, sizeof reterr->help, "write " SHOWN "%s if that is what you mean; %s", text, unit,
                 fb_setting_type_text(s->type));
        return false;
    }
    fb_complain(reterr, "type", "", "'" SHOWN "' is not what %s takes", text, s->name);
    snprintf(reterr->help, sizeof reterr->help, "%s%s%s%s", fb_setting_type_text(s->type),
             s->choices != NULL ? ", or '" : "", s->choices != NULL ? s->choices : "", s->choices != NULL ? "'" : "");
    return false;
}

static bool set_number(const struct fb_setting *s, const char *text, void *data, struct fb_complaint *reterr) {
    uint64_t n, min, max;
    if (s->choices != NULL && strcmp(text, s->choices) == 0) {
        store_uint(s, data, word_value(s));
        return true;
    }
    if (!parse_number(s->type, text, &n))
        return complain_number(s, text, reterr);
    bool is_below = s->min != NULL && parse_number(s->type, s->min, &min) && n < min;
    bool is_above = s->max != NULL && parse_number(s->type, s->max, &max) && n > max;
    if (is_below || is_above) {
        fb_complain(reterr, "range", "", "'" SHOWN "' is %s than %s", text, is_below ? "less" : "more",
                    is_below ? s->min : s->max);
        if (s->min != NULL && s->max != NULL && strcmp(s->min, s->max) == 0)
            snprintf(reterr->help, sizeof reterr->help, "this version takes only %s", s->min);
        else
            snprintf(reterr->help, sizeof reterr->help, "%s may be %s to %s%s%s%s", s->name, s->min, s->max,
                     s->choices != NULL ? ", or '" : "", s->choices != NULL ? s->choices : "",
                     s->choices != NULL ? "'" : "");
        return false;
    }
    store_uint(s, data, n);
    return true;
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

/* Limits of the table's own words: CHOICES_MAX × (CHOICE_LEN_MAX + 2) fit into what lists them. */
enum { CHOICES_MAX = 7, CHOICE_LEN_MAX = 31 };

/* One word of "a=redis|b|!later". */
struct choice {
    const char *name, *redis;
    size_t len, redis_len;
    bool is_later;
};

static bool next_choice(const char **cursor, struct choice *ret) {
    const char *p = *cursor;
    if (*p == '\0')
        return false;
    size_t len = strcspn(p, "|");
    *cursor = p + len + (p[len] == '|');
    ret->is_later = *p == '!';
    ret->name = p + ret->is_later;
    len -= ret->is_later;
    const char *eq = memchr(ret->name, '=', len);
    ret->redis = eq != NULL ? eq + 1 : ret->name;
    ret->len = eq != NULL ? (size_t)(eq - ret->name) : len;
    ret->redis_len = len - (size_t)(ret->redis - ret->name);
    return true;
}

static bool is_word(const char *text, const char *word, size_t len) {
    return strlen(text) == len && memcmp(text, word, len) == 0;
}

static bool set_choice(const struct fb_setting *s, const char *text, void *data, struct fb_complaint *reterr) {
    struct choice choice;
    char words[CHOICES_MAX][CHOICE_LEN_MAX + 1], names[256] = "";
    struct fb_nearest near = fb_nearest_begin(text);
    const char *cursor = s->choices;
    for (unsigned position = 0, used = 0; position < CHOICES_MAX && next_choice(&cursor, &choice); position++) {
        if (is_word(text, choice.name, choice.len) || is_word(text, choice.redis, choice.redis_len)) {
            if (choice.is_later)
                return fb_complain(reterr, "later", "choose another value until a later version has it",
                                   "%s '%s' is not in this version", s->name, text);
            *(unsigned *)(void *)((char *)data + s->offset) = position;
            return true;
        }
        if (choice.is_later)
            continue;
        snprintf(words[position], sizeof words[position], "%.*s", (int)choice.len, choice.name);
        fb_nearest_offer(&near, words[position]);
        used += (unsigned)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", words[position]);
    }
    fb_complain(reterr, "choice", "", "'" SHOWN "' is not what %s takes", text, s->name);
    snprintf(reterr->help, sizeof reterr->help, "%s%s%sone of: %.150s", near.best != NULL ? "did you mean '" : "",
             near.best != NULL ? near.best : "", near.best != NULL ? "'? " : "", names);
    return false;
}

static bool set_bool(const struct fb_setting *s, const char *text, void *data, struct fb_complaint *reterr) {
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *((bool *)data + s->offset) = strcmp(text, yes[i]) == 0;
            return true;
        }
    return fb_complain(reterr, "type", "write true or false", "'" SHOWN "' is neither true nor false", text);
}

/* ---- classes of events ------------------------------------------------------------------------------------------ */

static const struct { char letter; bool in_all; } letters[] = {
#define ROW(letter, name, in_a, text) {letter, in_a},
    FB_NOTIFY_MAP(ROW)
#undef ROW
};
enum { LETTERS = sizeof letters / sizeof letters[0] };

static unsigned class_of(char letter) {
    for (unsigned i = 0; i < LETTERS; i++)
        if (letters[i].letter == letter)
            return 1u << i;
    return letter == 'A' ? (unsigned)FB_NOTIFY_ALL : 0;
}

static bool set_events(const struct fb_setting *s, const char *text, void *data, struct fb_complaint *reterr) {
    bool is_none = strcmp(text, s->choices) == 0;
    unsigned classes = 0;
    for (const char *p = text; *p != '\0' && !is_none; p++) {
        if (class_of(*p) == 0)
            return fb_complain(reterr, "type", "A stands for g$lshzxetd; K or E says where they are sent",
                               "Invalid event class character. Use 'Ag$lshzxeKEtmdnf'.");
        classes |= class_of(*p);
    }
    store_uint(s, data, classes);
    return true;
}

/* As Redis shows them: A for all it stands for, else in the order of the table. */
static fb_status append_events(const struct fb_setting *s, const void *data, bool for_redis, fb_buf *out) {
    unsigned classes = (unsigned)fetch_uint(s, data);
    bool has_all = (classes & FB_NOTIFY_ALL) == FB_NOTIFY_ALL;
    char text[LETTERS + 2];
    size_t n = 0;
    if (classes == 0)
        return for_redis ? FB_OK : fb_buf_append(out, s->choices, strlen(s->choices));
    if (has_all)
        text[n++] = 'A';
    for (unsigned i = 0; i < LETTERS; i++)
        if ((classes >> i & 1) && !(has_all && letters[i].in_all))
            text[n++] = letters[i].letter;
    return fb_buf_append(out, text, n);
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

static bool set_text(const struct fb_setting *s, struct fb_arena *arena, const char *text, void *data,
                     struct fb_complaint *reterr) {
    bool is_none = s->choices != NULL && strcmp(text, s->choices) == 0;
    char *copy = is_none ? NULL : fb_arena_copy(arena, text, strlen(text));
    if (!is_none && copy == NULL)
        return fb_complain(reterr, "memory", "", "out of memory");
    store_pointer(s, data, copy);
    return true;
}

static bool set_secret(const struct fb_setting *s, struct fb_arena *arena, const char *text, void *data,
                       struct fb_complaint *reterr) {
    char *secret;
    if (!fb_secret_resolve(arena, text, &secret, reterr))
        return false;
    store_pointer(s, data, secret);
    return true;
}

static bool check_address(const char *text, struct fb_complaint *reterr) {
    static const char help[] = "write HOST:PORT, [IPV6]:PORT or unix:/PATH, as in 127.0.0.1:6380";
    uint64_t port;
    if (strncmp(text, "unix:", 5) == 0)
        return text[5] == '/' ||
               fb_complain(reterr, "address", "write unix:/PATH", "the path of '" SHOWN "' is not absolute", text);
    const char *colon = strrchr(text, ':');
    bool is_v6 = text[0] == '[';
    const char *host_end = is_v6 ? strchr(text, ']') : colon;
    if (colon == NULL || host_end == NULL || (is_v6 && host_end + 1 != colon))
        return fb_complain(reterr, "address", help, "'" SHOWN "' is no address with a port", text);
    if (host_end == text + is_v6 || strcspn(text, " /@*") < (size_t)(colon - text) ||
        (!is_v6 && memchr(text, ':', (size_t)(colon - text)) != NULL))
        return fb_complain(reterr, "address",
                           text[0] == '*' || text[0] == ':' ? "for every interface write 0.0.0.0:PORT or [::]:PORT"
                                                            : help,
                           "'" SHOWN "' has no proper host before its port", text);
    if (!parse_count(colon + 1, &port) || port > 65535)
        return fb_complain(reterr, "address", "a port is a number from 0 to 65535", "'" SHOWN "' is no port",
                           colon + 1);
    return true;
}

static bool check_shape(const char *text, struct fb_complaint *reterr) {
    static const char *const words[] = {"json", "hash", "text"};
    struct fb_nearest near = fb_nearest_begin(text);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0)
            return true;
        fb_nearest_offer(&near, words[i]);
    }
    if (strncmp(text, "column:", 7) == 0 && text[7] != '\0')
        return true;
    if (strncmp(text, "column", 6) == 0)
        return fb_complain(reterr, "choice", "write column:NAME, as in column:hits", "'" SHOWN "' names no column",
                           text);
    fb_complain(reterr, "choice", "write json, hash, text or column:NAME", "'" SHOWN "' is not what 'as' takes", text);
    if (strchr(text, ':') != NULL)
        snprintf(reterr->help, sizeof reterr->help, "did you mean 'column%.80s'?", strchr(text, ':'));
    else if (near.best != NULL)
        snprintf(reterr->help, sizeof reterr->help, "did you mean '%s'? json, hash, text or column:NAME", near.best);
    return false;
}

/* "scheme:…" without a password, which would be read by whoever reads the file or the process list. */
static bool check_url(const char *text, bool is_literal, struct fb_complaint *reterr) {
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+");
    if (scheme == 0 || text[scheme] != ':' || text[scheme + 1] == '\0')
        return fb_complain(reterr, "url", "write sqlite:PATH, as in sqlite:shop.db",
                           "this is no URL: it has no scheme");
    if (strncmp(text + scheme, "://", 3) != 0)
        return true;
    const char *rest = text + scheme + 3;
    size_t authority = strcspn(rest, "/?#");
    const char *at = memrchr(rest, '@', authority);
    bool has_password = at != NULL && memchr(rest, ':', (size_t)(at - rest)) != NULL;
    for (const char *option = strchr(rest, '?'); option != NULL; option = strchr(option, '&'))
        has_password |= strncmp(++option, "password=", strlen("password=")) == 0 ||
                        strncmp(option, "sentinel_password=", strlen("sentinel_password=")) == 0;
    if (!is_literal && has_password)
        return fb_complain(reterr, "secret",
                           "take it out and set 'password: env:NAME' (or file:/PATH, credential:NAME) beside url",
                           "a password does not belong into a URL");
    return true;
}

static bool set_list(const struct fb_setting *s, struct fb_arena *arena, const char *const *items, size_t n, void *data,
                     struct fb_complaint *reterr) {
    if (n == 1 && s->choices != NULL && strcmp(items[0], s->choices) == 0) {
        store_pointer(s, data, NULL);
        return true;
    }
    char **list = fb_arena_alloc(arena, (n + 1) * sizeof *list);
    if (list == NULL)
        return fb_complain(reterr, "memory", "", "out of memory");
    for (size_t i = 0; i < n; i++) {
        reterr->item = i;
        if (items[i][0] == '\0')
            return fb_complain(reterr, "type", "remove it, or give it a value", "an item of %s is empty", s->name);
        if (s->type == FB_TYPE_ADDRESSES && !check_address(items[i], reterr))
            return false;
        if ((list[i] = fb_arena_copy(arena, items[i], strlen(items[i]))) == NULL)
            return fb_complain(reterr, "memory", "", "out of memory");
    }
    store_pointer(s, data, list);
    return true;
}

bool fb_setting_parse(const struct fb_setting *s, struct fb_arena *arena, const char *const *items, size_t n,
                      bool is_literal, void *data, struct fb_complaint *reterr) {
    *reterr = (struct fb_complaint){0};
    if (fb_setting_is_list(s))
        return set_list(s, arena, items, n, data, reterr);
    const char *text = items[0];
    if (text[0] == '\0' && s->type != FB_TYPE_EVENTS)
        return fb_complain(reterr, "type", "give it a value, or remove the line for the default", "%s has no value",
                           s->name);
    bool is_word_for_none = s->choices != NULL && strcmp(text, s->choices) == 0;
    switch (s->type) {
    case FB_TYPE_COUNT:
    case FB_TYPE_DURATION:
    case FB_TYPE_TIME_MS:
    case FB_TYPE_TIME_US:
    case FB_TYPE_SIZE:
    case FB_TYPE_PERCENT:
    case FB_TYPE_FACTOR: return set_number(s, text, data, reterr);
    case FB_TYPE_CHOICE: return set_choice(s, text, data, reterr);
    case FB_TYPE_BOOL: return set_bool(s, text, data, reterr);
    case FB_TYPE_EVENTS: return set_events(s, text, data, reterr);
    case FB_TYPE_SECRET:
        return is_literal ? set_text(s, arena, text, data, reterr) : set_secret(s, arena, text, data, reterr);
    case FB_TYPE_ADDRESS:
        return (is_word_for_none || check_address(text, reterr)) && set_text(s, arena, text, data, reterr);
    case FB_TYPE_SHAPE: return check_shape(text, reterr) && set_text(s, arena, text, data, reterr);
    case FB_TYPE_URL:
        if (s->scope == FB_SCOPE_STORE && strcmp(text, "auto") == 0) /* conf.h: a private one */
            return set_text(s, arena, text, data, reterr);
        return check_url(text, is_literal, reterr) && set_text(s, arena, text, data, reterr);
    case FB_TYPE_TEXT:
    case FB_TYPE_SQL:
    case FB_TYPE_REFERENCE: return set_text(s, arena, text, data, reterr);
    case FB_TYPE_NAMES:
    case FB_TYPE_ADDRESSES: break;
    }
    return false;
}

void fb_setting_clear(const struct fb_setting *s, void *data) { store_pointer(s, data, NULL); }

bool fb_setting_copy(const struct fb_setting *s, struct fb_arena *arena, const void *from, void *to) {
    const char *const *list = fb_setting_list(s, from);
    if (list != NULL) {
        size_t n = 0;
        struct fb_complaint complaint;
        while (list[n] != NULL)
            n++;
        return set_list(s, arena, list, n, to, &complaint);
    }
    if (is_number(s->type) || s->type == FB_TYPE_CHOICE || s->type == FB_TYPE_BOOL) {
        memcpy((char *)to + s->offset, (const char *)from + s->offset, s->size);
        return true;
    }
    const char *text = fetch_pointer(s, from);
    char *copy = text != NULL ? fb_arena_copy(arena, text, strlen(text)) : NULL;
    store_pointer(s, to, copy);
    return copy != NULL || text == NULL;
}

bool fb_setting_is_same(const struct fb_setting *s, const void *a, const void *b) {
    const char *const *x = fb_setting_list(s, a), *const *y = fb_setting_list(s, b);
    if (fb_setting_is_list(s)) {
        for (; x != NULL && y != NULL && *x != NULL && *y != NULL && strcmp(*x, *y) == 0; x++, y++) {
        }
        return (x == NULL || *x == NULL) && (y == NULL || *y == NULL);
    }
    if (is_number(s->type) || s->type == FB_TYPE_CHOICE || s->type == FB_TYPE_BOOL)
        return memcmp((const char *)a + s->offset, (const char *)b + s->offset, s->size) == 0;
    const char *left = fetch_pointer(s, a), *right = fetch_pointer(s, b);
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

/* ---- back to text ----------------------------------------------------------------------------------------------- */

static fb_status append(fb_buf *out, const char *text) { return fb_buf_append(out, text, strlen(text)); }

static fb_status append_united(fb_buf *out, uint64_t n, const struct unit *units) {
    char text[32];
    const struct unit *u = units;
    while (n == 0 ? u[1].name != NULL : n % u->factor != 0)
        u++;
    snprintf(text, sizeof text, "%llu%s", (unsigned long long)(n / u->factor), u->name);
    return append(out, text);
}

static fb_status append_number(const struct fb_setting *s, const void *data, bool for_redis, fb_buf *out) {
    char text[32];
    uint64_t n = fetch_uint(s, data);
    if (n == word_value(s) && s->choices != NULL && !for_redis)
        return append(out, s->choices);
    if (fraction_of(s->type) > 0) {
        const char *sign = s->type == FB_TYPE_PERCENT ? "%" : "";
        unsigned whole = (unsigned)(n / 100), part = (unsigned)(n % 100);
        if (part % 10 != 0)
            snprintf(text, sizeof text, "%u.%02u%s", whole, part, sign);
        else if (part != 0)
            snprintf(text, sizeof text, "%u.%u%s", whole, part / 10, sign);
        else
            snprintf(text, sizeof text, "%u%s", whole, sign);
        return append(out, text);
    }
    if ((s->type == FB_TYPE_DURATION || s->type == FB_TYPE_TIME_MS) && !for_redis)
        return append_united(out, n, times);
    if (s->type == FB_TYPE_TIME_US && !for_redis)
        return append_united(out, n, micros);
    if (s->type == FB_TYPE_SIZE && !for_redis)
        return append_united(out, n, sizes);
    snprintf(text, sizeof text, "%" PRId64, (int64_t)(s->type == FB_TYPE_DURATION ? n / 1000 : n));
    return append(out, text);
}

static fb_status append_choice(const struct fb_setting *s, const void *data, bool for_redis, fb_buf *out) {
    struct choice choice;
    const char *cursor = s->choices;
    unsigned left = *(const unsigned *)(const void *)((const char *)data + s->offset);
    while (next_choice(&cursor, &choice))
        if (left-- == 0)
            return for_redis ? fb_buf_append(out, choice.redis, choice.redis_len)
                             : fb_buf_append(out, choice.name, choice.len);
    return FB_OK;
}

fb_status fb_setting_format(const struct fb_setting *s, const void *data, bool for_redis, fb_buf *out) {
    switch (s->type) {
    case FB_TYPE_COUNT:
    case FB_TYPE_DURATION:
    case FB_TYPE_TIME_MS:
    case FB_TYPE_TIME_US:
    case FB_TYPE_SIZE:
    case FB_TYPE_PERCENT:
    case FB_TYPE_FACTOR: return append_number(s, data, for_redis, out);
    case FB_TYPE_CHOICE: return append_choice(s, data, for_redis, out);
    case FB_TYPE_EVENTS: return append_events(s, data, for_redis, out);
    case FB_TYPE_BOOL: {
        bool is_true = *((const bool *)data + s->offset);
        return append(out, for_redis ? (is_true ? "yes" : "no") : (is_true ? "true" : "false"));
    }
    case FB_TYPE_SECRET: return FB_OK;
    case FB_TYPE_NAMES:
    case FB_TYPE_ADDRESSES: {
        const char *const *list = fb_setting_list(s, data);
        if (list == NULL && s->choices != NULL)
            return append(out, s->choices);
        for (size_t i = 0; list != NULL && list[i] != NULL; i++)
            if ((i > 0 && append(out, " ") != FB_OK) || append(out, list[i]) != FB_OK)
                return FB_NOMEM;
        return FB_OK;
    }
    case FB_TYPE_TEXT:
    case FB_TYPE_ADDRESS:
    case FB_TYPE_URL:
    case FB_TYPE_SQL:
    case FB_TYPE_SHAPE:
    case FB_TYPE_REFERENCE: {
        const char *text = fb_setting_string(s, data);
        if (text == NULL)
            text = s->choices != NULL ? s->choices : "";
        return append(out, text);
    }
    }
    return FB_OK;
}
