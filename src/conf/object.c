/* Objects: the settings of one section, each with its origin. */
#include <string.h>

#include "conf/details.h"

struct fb_object *fb_object_find(const struct fb_conf_details *d, enum fb_scope scope, const char *name) {
    for (size_t i = 0; i < d->nobjects; i++) {
        struct fb_object *o = d->objects[i];
        if (o->scope == scope && (name == NULL || strcmp(o->name, name) == 0))
            return o;
    }
    return NULL;
}

static unsigned count_of(const struct fb_conf_details *d, enum fb_scope scope) {
    unsigned n = 0;
    for (size_t i = 0; i < d->nobjects; i++)
        n += d->objects[i]->scope == scope;
    return n;
}

/* Names are part of messages, metrics and variables of the environment; patterns have a grammar of their own. */
static bool is_good_name(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t len = strlen(name);
    return len > 0 && len <= 63 && strchr(letters, name[0]) != NULL &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

static void *data_new(struct fb_conf_details *d, enum fb_scope scope, const char *name) {
    void *data = fb_arena_alloc(&d->arena, fb_sections[scope].struct_size);
    if (data == NULL)
        return NULL;
    if (scope == FB_SCOPE_SOURCE)
        ((struct fb_conf_source *)data)->name = (char *)(uintptr_t)name;
    if (scope == FB_SCOPE_CLASS)
        ((struct fb_conf_class *)data)->name = (char *)(uintptr_t)name;
    if (scope == FB_SCOPE_KEYSPACE)
        ((struct fb_conf_keyspace *)data)->options = (fb_keyspace_options){.pattern = name};
    return data;
}

static struct fb_object *object_new(struct fb_conf_details *d, enum fb_scope scope, const char *name) {
    size_t nsettings;
    fb_settings_of(scope, &nsettings);
    struct fb_object *o = fb_arena_alloc(&d->arena, sizeof *o);
    struct fb_object **all = fb_arena_grow(&d->arena, d->objects, d->nobjects, &d->objects_cap, sizeof *all);
    if (o == NULL || all == NULL)
        return NULL;
    d->objects = all;
    o->scope = scope;
    if (name != NULL && (o->name = fb_arena_copy(&d->arena, name, strlen(name))) == NULL)
        return NULL;
    o->data = data_new(d, scope, o->name);
    o->origins = fb_arena_alloc(&d->arena, nsettings * sizeof *o->origins);
    if (o->data == NULL || o->origins == NULL)
        return NULL;
    d->objects[d->nobjects++] = o;
    return o;
}

struct fb_object *fb_object_get(struct fb_conf_details *d, enum fb_scope scope, const char *name,
                                const struct fb_origin *where) {
    struct fb_object *o = fb_object_find(d, scope, name);
    if (o != NULL)
        return o;
    const struct fb_section *section = &fb_sections[scope];
    if (count_of(d, scope) == section->members_max) {
        fb_fault(d, where, "too-many", "more than %u %s", section->members_max, section->name);
        fb_help(d, "one instance serves at most %u; start a second one for the rest", section->members_max);
        return NULL;
    }
    if (name != NULL && scope != FB_SCOPE_KEYSPACE && !is_good_name(name)) {
        fb_fault(d, where, "name", "'%.80s' is no name for a %s", name, section->one);
        fb_help(d, "a name begins with a letter and has letters, digits, '_' and '-', at most 63");
        return NULL;
    }
    if ((o = object_new(d, scope, name)) != NULL)
        o->where = *where;
    return o;
}

struct fb_origin *fb_object_origin(const struct fb_object *object, const char *name) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(object->scope, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &object->origins[i];
    return NULL;
}

void fb_object_assign(struct fb_conf_details *d, struct fb_object *object, const struct fb_setting *setting,
                      const char *const *items, size_t n, const struct fb_origin *at, const struct fb_origin *ats) {
    struct fb_complaint complaint;
    bool is_secret = setting->type == FB_TYPE_SECRET;
    struct fb_origin *origin = fb_object_origin(object, setting->name);
    bool is_literal = at->kind == FB_ORIGIN_ENVIRONMENT && at->reference == NULL;
    *origin = *at;
    origin->items = ats;
    if (!fb_setting_parse(setting, &d->arena, items, n, is_literal, object->data, &complaint)) {
        fb_fault(d, ats != NULL && n > 0 ? &ats[complaint.item] : at, complaint.code, "%s", complaint.text);
        fb_help(d, "%s", complaint.help);
        origin->is_wrong = true; /* not missing: so its origin is remembered all the same */
    }
    if (is_secret && !is_literal && fb_secret_is_reference(items[0]))
        origin->reference = items[0];
    if (is_secret)
        origin->print = fb_secret_print(fb_setting_string(setting, object->data));
}

void fb_unknown_setting(struct fb_conf_details *d, enum fb_scope scope, const char *name, const struct fb_origin *at) {
    const struct fb_section *section = &fb_sections[scope];
    struct fb_nearest near = fb_nearest_begin(name);
    if (fb_setting_is_later(scope, name)) {
        fb_fault(d, at, "later", "'%s' is not in this version", name);
        fb_help(d, "remove it until a later version has it");
        return;
    }
    (void)fb_setting_find(scope, name, &near);
    size_t n;
    const struct fb_setting *rows = fb_settings_of(scope, &n);
    const char *renamed = NULL;
    for (size_t i = 0; i < n; i++)
        if (rows[i].alias != NULL && strcmp(rows[i].alias, name) == 0)
            renamed = rows[i].name;
    fb_fault(d, at, "unknown-setting", "there is no setting '%.80s' in %s", name, section->name);
    if (renamed != NULL)
        fb_help(d, "it is called '%s' here", renamed);
    else if (near.best != NULL)
        fb_help(d, "did you mean '%s'?", near.best);
    else
        fb_help(d, "'forebay reference settings' lists them all");
}

bool fb_conf_is_given(const struct fb_conf *conf, const char *setting) {
    return fb_object_has(conf->details->server, setting);
}

bool fb_conf_is_same_secret(const struct fb_conf *a, const struct fb_conf *b, const char *setting) {
    const struct fb_origin *x = fb_object_origin(a->details->server, setting),
                           *y = fb_object_origin(b->details->server, setting);
    return x->print == y->print;
}

void fb_conf_complain(struct fb_conf *conf, const char *setting, const char *path, unsigned line, const char *text) {
    struct fb_conf_details *d = conf->details;
    const struct fb_origin *origin = fb_object_origin(d->server, setting);
    const struct fb_origin *at = origin->kind >= FB_ORIGIN_FILE ? origin : &d->server->where;
    if (path != NULL && line > 0)
        fb_fault(d, at, "named-file", "%.200s:%u: %s", path, line, text);
    else
        fb_fault(d, at, "named-file", "%s", text);
    fb_help(d, "correct the file that server.%s names, or name another", setting);
}
