/* The table of settings in memory, and finding its rows. */
#include "conf/settings.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "rows/pattern.h"

enum { SOURCES_MAX = 64, CLASSES_MAX = 256 };

const struct fb_section fb_sections[FB_SCOPE_COUNT_] = {
    [FB_SCOPE_SERVER] = {"server", NULL, "FOREBAY_", NULL, 1, sizeof(struct fb_conf)},
    [FB_SCOPE_STORE] = {"store", NULL, "FOREBAY_STORE_", NULL, 1, sizeof(struct fb_conf)},
    [FB_SCOPE_SOURCE] = {"sources", "source", "FOREBAY_SOURCE_", "NAME", SOURCES_MAX, sizeof(struct fb_conf_source)},
    [FB_SCOPE_CLASS] = {"classes", "class", NULL, "NAME", CLASSES_MAX, sizeof(struct fb_conf_class)},
    [FB_SCOPE_KEYSPACE] = {"keyspaces", "keyspace", NULL, "PATTERN", FB_ROUTER_KEYSPACES_MAX,
                           sizeof(struct fb_conf_keyspace)},
};

#define STRUCT_SERVER struct fb_conf
#define STRUCT_STORE struct fb_conf
#define STRUCT_SOURCE struct fb_conf_source
#define STRUCT_CLASS struct fb_conf_class
#define STRUCT_KEYSPACE struct fb_conf_keyspace
enum { RESTART = 0, LIVE = 1 };

static const struct fb_setting settings[] = {
#define ROW(scope_, name_, type_, default_, choices_, min_, max_, member_, effect_, alias_, line_, text_)              \
    {                                                                                                                  \
        .scope = FB_SCOPE_##scope_, .name = #name_, .type = FB_TYPE_##type_, .fallback = default_,                     \
        .choices = choices_, .min = min_, .max = max_, .offset = offsetof(STRUCT_##scope_, member_),                   \
        .size = sizeof(((STRUCT_##scope_ *)0)->member_), .is_live = effect_, .alias = alias_, .line = line_,           \
        .text = text_,                                                                                                 \
    },
    FB_SETTINGS(ROW)
#undef ROW
};

enum { SETTINGS = sizeof settings / sizeof settings[0] };

static const struct later { enum fb_scope scope; const char *name; } later[] = {
#define ROW(scope_, name_) {FB_SCOPE_##scope_, #name_},
    FB_SETTINGS_LATER(ROW)
#undef ROW
};

const struct fb_setting *fb_settings_of(enum fb_scope scope, size_t *ret_n) {
    size_t first = 0, n = 0;
    while (first < SETTINGS && settings[first].scope != scope)
        first++;
    while (first + n < SETTINGS && settings[first + n].scope == scope)
        n++;
    *ret_n = n;
    return settings + first;
}

const char *fb_setting_type_text(enum fb_setting_type type) {
    static const char *const texts[] = {
#define ROW(type_, text_) text_,
        FB_SETTING_TYPES(ROW)
#undef ROW
    };
    return texts[type];
}

bool fb_setting_is_list(const struct fb_setting *setting) {
    return setting->type == FB_TYPE_NAMES || setting->type == FB_TYPE_ADDRESSES;
}

bool fb_setting_is_required(const struct fb_setting *setting) {
    return setting->fallback != NULL && strcmp(setting->fallback, FB_SETTING_REQUIRED) == 0;
}

const struct fb_setting *fb_setting_find(enum fb_scope scope, const char *name, struct fb_nearest *nearest) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(scope, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
        if (nearest != NULL)
            fb_nearest_offer(nearest, rows[i].name);
    }
    return NULL;
}

bool fb_setting_is_later(enum fb_scope scope, const char *name) {
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        if (later[i].scope == scope && strcmp(later[i].name, name) == 0)
            return true;
    return false;
}

/* ---- flags ------------------------------------------------------------------------------------------------------ */

static bool is_same_word(const char *flag, const char *name) {
    for (; *flag != '\0' && *name != '\0'; flag++, name++)
        if ((*flag == '-' ? '_' : *flag) != (*name == '-' ? '_' : *name))
            return false;
    return *flag == *name;
}

static const struct fb_setting *find_loosely(enum fb_scope scope, const char *word, struct fb_nearest *nearest) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(scope, &n);
    for (size_t i = 0; i < n; i++) {
        if (is_same_word(word, rows[i].name) || (rows[i].alias != NULL && is_same_word(word, rows[i].alias)))
            return &rows[i];
        if (nearest != NULL)
            fb_nearest_offer(nearest, rows[i].name);
    }
    return NULL;
}

bool fb_conf_flag_find(const char *flag, char *ret_setting, size_t size, struct fb_nearest *nearest) {
    const char *first = strchr(flag, '.'), *last = strrchr(flag, '.');
    const struct fb_setting *setting = NULL;
    int len = 0;
    if (first == NULL) {
        setting = find_loosely(FB_SCOPE_SERVER, flag, nearest);
        if (setting != NULL)
            len = snprintf(ret_setting, size, "server.%s", setting->name);
        return setting != NULL && (size_t)len < size;
    }
    size_t section = (size_t)(first - flag);
    for (int scope = 0; scope < FB_SCOPE_COUNT_; scope++) {
        const char *name = fb_sections[scope].name;
        bool has_member = fb_sections[scope].one != NULL;
        if (strlen(name) != section || memcmp(name, flag, section) != 0 || has_member != (last > first + 1))
            continue;
        setting = find_loosely((enum fb_scope)scope, last + 1, NULL);
        if (setting == NULL)
            return false;
        len = snprintf(ret_setting, size, "%.*s.%s", (int)(last - flag), flag, setting->name);
        return (size_t)len < size;
    }
    return false;
}

void fb_conf_print_flags(FILE *out) {
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct fb_setting *s = &settings[i];
        const struct fb_section *section = &fb_sections[s->scope];
        char left[96];
        int at = s->scope == FB_SCOPE_SERVER ? snprintf(left, sizeof left, "--%s", s->name)
                 : section->one == NULL ? snprintf(left, sizeof left, "--%s.%s", section->name, s->name)
                                        : snprintf(left, sizeof left, "--%s.%s.%s", section->name, section->label,
                                                   s->name);
        for (int c = 0; s->scope == FB_SCOPE_SERVER && c < at; c++)
            if (left[c] == '_')
                left[c] = '-';
        fprintf(out, "  %-34s %s\n", left, s->line);
    }
}

bool fb_complain(struct fb_complaint *complaint, const char *code, const char *help, const char *format, ...) {
    complaint->code = code;
    snprintf(complaint->help, sizeof complaint->help, "%s", help);
    va_list list;
    va_start(list, format);
    vsnprintf(complaint->text, sizeof complaint->text, format, list);
    va_end(list);
    return false;
}
