/* What the environment and the command line say instead of the file.
 *
 * Variables are spelled from the table: FOREBAY_MEMORY_MAX is server.memory_max, FOREBAY_SOURCE_SHOP_URL is
 * sources.shop.url. A variable holds a secret itself; with _FILE behind its name it holds the path of a file with it.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/details.h"

/* ---- the environment -------------------------------------------------------------------------------------------- */

enum { VARIABLE_MAX = 160 };

/* "memory_max" is "MEMORY_MAX"; "my-shop" is "MY_SHOP". */
static void to_variable(const char *name, char out[VARIABLE_MAX]) {
    size_t i = 0;
    for (; name[i] != '\0' && i < VARIABLE_MAX - 1; i++)
        out[i] = (char)(isalnum((unsigned char)name[i]) ? toupper((unsigned char)name[i]) : '_');
    out[i] = '\0';
}

struct variable {
    const char *name, *value;
    bool is_path;               /* …_FILE of a secret */
    const struct fb_setting *setting;
    char member[VARIABLE_MAX];  /* SHOP of FOREBAY_SOURCE_SHOP_URL; empty for the server's */
};

static bool ends_in(const char *text, size_t len, const char *tail) {
    size_t n = strlen(tail);
    return len >= n && memcmp(text + len - n, tail, n) == 0;
}

/* `rest` is the name behind the scope's prefix: [MEMBER_]SETTING[_FILE]. The longest setting wins. */
static bool match_scope(enum fb_scope scope, const char *rest, struct variable *v) {
    size_t n, longest = 0;
    const struct fb_setting *rows = fb_settings_of(scope, &n);
    for (size_t i = 0; i < n; i++) {
        char name[VARIABLE_MAX];
        to_variable(rows[i].name, name);
        for (int is_path = 0; is_path <= (rows[i].type == FB_TYPE_SECRET); is_path++) {
            char tail[VARIABLE_MAX + 8];
            bool is_whole = fb_sections[scope].one == NULL;
            snprintf(tail, sizeof tail, "%s%s%s", is_whole ? "" : "_", name, is_path ? "_FILE" : "");
            size_t len = strlen(rest), tail_len = strlen(tail);
            bool fits = is_whole ? strcmp(rest, tail) == 0 : ends_in(rest, len, tail) && len > tail_len;
            if (!fits || tail_len <= longest)
                continue;
            longest = tail_len;
            v->setting = &rows[i];
            v->is_path = is_path;
            snprintf(v->member, sizeof v->member, "%.*s", (int)(len - tail_len), rest);
        }
    }
    return longest > 0;
}

/* Kubernetes sets FOREBAY_PORT, FOREBAY_SERVICE_HOST, … for a service called forebay: these are not ours. */
static bool is_foreign(const char *name) {
    static const char *const others[] = {"FOREBAY_CONFIG", "FOREBAY_TEST_"};
    static const char *const starts[] = {"FOREBAY_PORT", "FOREBAY_SERVICE_"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return strcmp(name, others[0]) == 0 || strncmp(name, others[1], strlen(others[1])) == 0;
}

static void apply_variable(struct fb_conf_details *d, struct variable *v) {
    bool is_secret = v->setting->type == FB_TYPE_SECRET;
    const char *value = v->is_path ? fb_arena_format(&d->arena, "file:%s", v->value)
                                   : fb_arena_copy(&d->arena, v->value, strlen(v->value));
    struct fb_origin at = {
        .kind = FB_ORIGIN_ENVIRONMENT,
        .col = (int)strlen(v->name) + 2,
        .width = is_secret && !v->is_path ? 3 : (int)strlen(v->value),
        .name = fb_arena_copy(&d->arena, v->name, strlen(v->name)),
        .given = fb_arena_format(&d->arena, "%s=%s", v->name, is_secret && !v->is_path ? "***" : v->value),
        .reference = v->is_path ? value : NULL,
    };
    if (value == NULL || at.name == NULL || at.given == NULL)
        return;
    bool is_done = false;
    for (size_t i = 0; i < d->nobjects; i++) {
        char spelled[VARIABLE_MAX] = "";
        struct fb_object *o = d->objects[i];
        if (o->name != NULL)
            to_variable(o->name, spelled);
        if (o->scope != v->setting->scope || strcmp(spelled, v->member) != 0)
            continue;
        fb_object_assign(d, o, v->setting, &value, 1, &at, NULL);
        is_done = true;
    }
    if (is_done)
        return;
    char name[VARIABLE_MAX];
    snprintf(name, sizeof name, "%s", v->member);
    for (char *p = name; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    struct fb_object *o = fb_object_get(d, v->setting->scope, name, &at);
    if (o != NULL)
        fb_object_assign(d, o, v->setting, &value, 1, &at, NULL);
}

static void warn_unknown(struct fb_conf_details *d, const char *name) {
    struct fb_origin at = {.kind = FB_ORIGIN_ENVIRONMENT, .col = 1, .width = (int)strlen(name)};
    struct fb_nearest near = fb_nearest_begin(name);
    size_t n;
    const struct fb_setting *rows = fb_settings_of(FB_SCOPE_SERVER, &n);
    for (size_t i = 0; i < n; i++) {
        char spelled[VARIABLE_MAX];
        to_variable(rows[i].name, spelled);
        const char *known = fb_arena_format(&d->arena, "%s%s", fb_sections[FB_SCOPE_SERVER].variable, spelled);
        if (known != NULL)
            fb_nearest_offer(&near, known);
    }
    at.given = fb_arena_format(&d->arena, "%s=…", name);
    fb_warn(d, &at, "unknown-variable", "no setting is called %s", name);
    if (near.best != NULL)
        fb_help(d, "did you mean %s?", near.best);
    else
        fb_help(d, "it has no effect; 'forebay reference settings' lists the settings");
}

/* Does a setting keep its secret there (env:NAME)? */
static bool is_named(const struct fb_conf_details *d, const char *variable) {
    for (size_t i = 0; i < d->nobjects; i++) {
        size_t n;
        (void)fb_settings_of(d->objects[i]->scope, &n);
        for (size_t k = 0; k < n; k++) {
            const char *reference = d->objects[i]->origins[k].reference;
            if (reference != NULL && strncmp(reference, "env:", 4) == 0 && strcmp(reference + 4, variable) == 0)
                return true;
        }
    }
    return false;
}

static void read_variable(struct fb_conf_details *d, const char *entry) {
    struct variable v = {0};
    const char *eq = strchr(entry, '=');
    if (eq == NULL || eq - entry >= VARIABLE_MAX)
        return;
    char name[VARIABLE_MAX];
    snprintf(name, sizeof name, "%.*s", (int)(eq - entry), entry);
    v.name = name;
    v.value = eq + 1;
    const char *source = fb_sections[FB_SCOPE_SOURCE].variable, *server = fb_sections[FB_SCOPE_SERVER].variable,
               *store = fb_sections[FB_SCOPE_STORE].variable;
    if (strncmp(name, store, strlen(store)) == 0 && match_scope(FB_SCOPE_STORE, name + strlen(store), &v)) {
        apply_variable(d, &v);
    } else if (strncmp(name, source, strlen(source)) == 0 && match_scope(FB_SCOPE_SOURCE, name + strlen(source), &v)) {
        apply_variable(d, &v);
    } else if (match_scope(FB_SCOPE_SERVER, name + strlen(server), &v)) {
        apply_variable(d, &v);
    } else if (!is_foreign(name) && !is_named(d, name)) {
        warn_unknown(d, name);
    }
}

static int by_name(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

void fb_conf_read_environment(struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    const char *prefix = fb_sections[FB_SCOPE_SERVER].variable;
    size_t n = 0;
    for (char **e = environ; e != NULL && *e != NULL; e++)
        n += strncmp(*e, prefix, strlen(prefix)) == 0;
    char **ours = fb_arena_alloc(&d->arena, (n + 1) * sizeof *ours);
    if (ours == NULL)
        return;
    n = 0;
    for (char **e = environ; e != NULL && *e != NULL; e++)
        if (strncmp(*e, prefix, strlen(prefix)) == 0)
            ours[n++] = *e;
    qsort(ours, n, sizeof *ours, by_name); /* the same file and variables give the same answer, whatever their order */
    for (size_t i = 0; i < n; i++)
        read_variable(d, ours[i]);
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

/* `option` with its value, as it is shown. */
static struct fb_origin from_flag(struct fb_conf_details *d, const char *option, const char *value) {
    return (struct fb_origin){
        .kind = FB_ORIGIN_FLAG,
        .col = (int)strlen(option) + 2,
        .width = (int)strlen(value),
        .name = option,
        .given = fb_arena_format(&d->arena, "%s %s", option, value),
    };
}

static void read_flag(struct fb_conf_details *d, const struct fb_conf_flag *flag) {
    const char *option = fb_arena_format(&d->arena, "--%s", flag->name);
    char *value = fb_arena_copy(&d->arena, flag->value, strlen(flag->value));
    char *member = fb_arena_copy(&d->arena, flag->name, strlen(flag->name));
    if (option == NULL || value == NULL || member == NULL)
        return;
    struct fb_origin at = from_flag(d, option, value);
    char *first = strchr(member, '.'), *last = strrchr(member, '.');
    int scope = 0;
    for (; first != NULL && scope < FB_SCOPE_COUNT_; scope++)
        if (strncmp(member, fb_sections[scope].name, (size_t)(first - member)) == 0)
            break;
    const struct fb_setting *setting =
        first != NULL && scope < FB_SCOPE_COUNT_ ? fb_setting_find((enum fb_scope)scope, last + 1, NULL) : NULL;
    if (setting == NULL || (fb_sections[scope].one != NULL && last <= first + 1)) {
        fb_fault(d, &at, "unknown-setting", "there is no setting '%.80s'", flag->name);
        fb_help(d, "'forebay reference settings' lists them all");
        return;
    }
    *last = '\0';
    struct fb_object *object = fb_sections[scope].one == NULL
                                   ? fb_object_find(d, (enum fb_scope)scope, NULL)
                                   : fb_object_get(d, (enum fb_scope)scope, first + 1, &at);
    if (object == NULL)
        return;
    const char *items[64] = {value};
    size_t n = 1;
    if (fb_setting_is_list(setting)) /* "a,b" */
        for (char *p = value; n < sizeof items / sizeof items[0] && (p = strchr(p, ',')) != NULL; n++) {
            *p++ = '\0';
            items[n] = p;
        }
    fb_object_assign(d, object, setting, items, n, &at, NULL);
}

static void assign_from(struct fb_conf_details *d, struct fb_object *object, const char *name, const char *value,
                        const struct fb_origin *at) {
    if (object != NULL)
        fb_object_assign(d, object, fb_setting_find(object->scope, name, NULL), &value, 1, at, NULL);
}

/* --source [NAME=]URL. A name holds neither ':' nor '/', an URL has its ':' before any '='. */
static void read_source(struct fb_conf_details *d, const char *text) {
    const char *value = fb_arena_copy(&d->arena, text, strlen(text));
    if (value == NULL)
        return;
    struct fb_origin at = from_flag(d, "--source", value);
    const char *eq = strchr(value, '=');
    bool is_named = eq != NULL && strcspn(value, ":/") > (size_t)(eq - value);
    const char *name = is_named ? fb_arena_copy(&d->arena, value, (size_t)(eq - value)) : "main";
    if (name != NULL)
        assign_from(d, fb_object_get(d, FB_SCOPE_SOURCE, name, &at), "url", is_named ? eq + 1 : value, &at);
}

/* --map 'PATTERN=TABLE': a table's name holds no '=', a pattern may. */
static void read_map(struct fb_conf_details *d, const char *text) {
    char *value = fb_arena_copy(&d->arena, text, strlen(text));
    if (value == NULL)
        return;
    struct fb_origin at = from_flag(d, "--map", value);
    char *eq = strrchr(value, '=');
    if (eq == NULL || eq == value || eq[1] == '\0') {
        fb_fault(d, &at, "type", "'%.80s' is not PATTERN=TABLE", text);
        fb_help(d, "write --map 'user:{id:int}=users'");
        return;
    }
    *eq = '\0';
    assign_from(d, fb_object_get(d, FB_SCOPE_KEYSPACE, value, &at), "table", eq + 1, &at);
}

void fb_conf_read_flags(struct fb_conf *conf, const struct fb_conf_args *args) {
    struct fb_conf_details *d = conf->details;
    for (const char *const *source = args->sources; source != NULL && *source != NULL; source++)
        read_source(d, *source);
    for (const char *const *map = args->maps; map != NULL && *map != NULL; map++)
        read_map(d, *map);
    for (size_t i = 0; i < args->nflags; i++)
        read_flag(d, &args->flags[i]);
}
