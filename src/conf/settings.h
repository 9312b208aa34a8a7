/* The table of settings in memory: finding rows, and turning text into values and back. */
#ifndef FB_CONF_SETTINGS_H
#define FB_CONF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include <forebay/forebay.h>

#include "conf/arena.h"
#include "conf/nearest.h"
#include "tbl/settings.h"

enum fb_scope {
    FB_SCOPE_SERVER, FB_SCOPE_STORE, FB_SCOPE_SOURCE, FB_SCOPE_CLASS, FB_SCOPE_KEYSPACE, FB_SCOPE_COUNT_, FB_SCOPE_FILE,
};

enum fb_setting_type {
#define FB_TYPE_ENUM_(type, text) FB_TYPE_##type,
    FB_SETTING_TYPES(FB_TYPE_ENUM_)
#undef FB_TYPE_ENUM_
};

struct fb_setting {
    enum fb_scope scope;
    const char *name;
    enum fb_setting_type type;
    const char *fallback, *choices, *min, *max;
    size_t offset, size;  /* in the scope's struct */
    bool is_live;
    const char *alias, *line, *text;
};

/* One scope's section of the file and how its settings are spelled elsewhere. */
struct fb_section {
    const char *name;      /* "keyspaces" */
    const char *one;       /* "keyspace": one of its members; NULL where the section itself holds the settings */
    const char *variable;  /* "FOREBAY_SOURCE_"; NULL: not in the environment */
    const char *label;     /* "PATTERN" */
    unsigned members_max;
    size_t struct_size;
};

extern const struct fb_section fb_sections[FB_SCOPE_COUNT_];

/* The rows of one scope. */
const struct fb_setting *fb_settings_of(enum fb_scope scope, size_t *ret_n);
const char *fb_setting_type_text(enum fb_setting_type type);
bool fb_setting_is_list(const struct fb_setting *setting);
bool fb_setting_is_required(const struct fb_setting *setting);
/* Exactly this name in the file's spelling, or NULL (names that come near are offered to `nearest`, NULL accepted). */
const struct fb_setting *fb_setting_find(enum fb_scope scope, const char *name, struct fb_nearest *nearest);
/* Is it a setting, or (FB_SCOPE_FILE) a section, that later versions have? */
bool fb_setting_is_later(enum fb_scope scope, const char *name);

/* Why a text is no value of its setting. */
struct fb_complaint {
    const char *code;  /* "type", "unit", "range", "choice", "secret", "later" */
    size_t item;       /* which item of a list */
    char text[256];
    char help[256];
};

/* Type the items (one, or several for lists) and store the value into `data`, the scope's struct. False: nothing is
 * stored and *reterr says why. A secret is looked up where it is kept; with `is_literal` the text is the secret itself
 * (from the environment). */
bool fb_setting_parse(const struct fb_setting *setting, struct fb_arena *arena, const char *const *items, size_t n,
                      bool is_literal, void *data, struct fb_complaint *reterr);
/* The same from a value as CONFIG SET gives it under Redis' name of the setting: bytes, seconds or microseconds as Redis
 * counts them, yes and no, the secret itself. The complaint's text is Redis'. */
bool fb_setting_parse_redis(const struct fb_setting *setting, struct fb_arena *arena, const char *text, void *data,
                            struct fb_complaint *reterr);
/* The limits of a number as they are stored; false when it has none. */
bool fb_setting_limits(const struct fb_setting *setting, uint64_t *ret_min, uint64_t *ret_max);
/* Of a text or list: none. */
void fb_setting_clear(const struct fb_setting *setting, void *data);
/* Copy a value from one of the scope's structs to another; texts into the arena. False: out of memory. */
bool fb_setting_copy(const struct fb_setting *setting, struct fb_arena *arena, const void *from, void *to);
bool fb_setting_is_same(const struct fb_setting *setting, const void *a, const void *b);
/* The value as one would write it ("256mb"), without quotes; nothing for none. Lists are joined with a blank.
 * `for_redis`: as Redis writes it (bytes and seconds as numbers, yes and no). Secrets give nothing. */
fb_status fb_setting_format(const struct fb_setting *setting, const void *data, bool for_redis, fb_buf *out);

/* A stored text, or list ended by NULL; NULL: none, or another type. */
const char *fb_setting_string(const struct fb_setting *setting, const void *data);
const char *const *fb_setting_list(const struct fb_setting *setting, const void *data);

/* Look up env:NAME, file:/PATH, credential:NAME. */
bool fb_secret_resolve(struct fb_arena *arena, const char *reference, char **ret_secret, struct fb_complaint *reterr);
bool fb_secret_is_reference(const char *text);
/* A number that is the same for the same secret in this process, and says nothing about it. NULL has one too. */
uint64_t fb_secret_print(const char *secret);

bool fb_complain(struct fb_complaint *complaint, const char *code, const char *help, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
