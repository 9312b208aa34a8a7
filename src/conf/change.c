/* A configuration that is in force changes by being replaced: by a copy with some settings changed (CONFIG SET), or by a
 * copy with what may change while running taken from a file that was read again. Who holds the old one sees no half. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "conf/details.h"

/* ---- copies ----------------------------------------------------------------------------------------------------- */

static const char *copy_text(struct fb_arena *arena, const char *text) {
    return text != NULL ? fb_arena_copy(arena, text, strlen(text)) : NULL;
}

/* Where items of a list stand in the file is not kept: nobody will point at them again. */
static void copy_origin(struct fb_arena *arena, const struct fb_origin *from, struct fb_origin *to) {
    *to = *from;
    to->name = copy_text(arena, from->name);
    to->given = copy_text(arena, from->given);
    to->reference = copy_text(arena, from->reference);
    to->items = NULL;
}

static void take_value(struct fb_conf_details *d, struct fb_object *to, const struct fb_object *from, size_t i) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(to->scope, &n);
    (void)fb_setting_copy(&rows[i], &d->arena, from->data, to->data);
    copy_origin(&d->arena, &from->origins[i], &to->origins[i]);
}

static void copy_object(struct fb_conf_details *d, const struct fb_object *from) {
    struct fb_origin where;
    copy_origin(&d->arena, &from->where, &where);
    const char *name = copy_text(&d->arena, from->name);
    struct fb_object *to = fb_object_get(d, from->scope, name, &where);
    size_t n;
    fb_settings_of(from->scope, &n);
    for (size_t i = 0; to != NULL && i < n; i++)
        take_value(d, to, from, i);
    if (to != NULL && to->scope == FB_SCOPE_KEYSPACE) {
        const struct fb_conf_keyspace *k = from->data;
        ((struct fb_conf_keyspace *)to->data)->bound_pattern = (char *)(uintptr_t)copy_text(&d->arena, k->bound_pattern);
        ((struct fb_conf_keyspace *)to->data)->index = k->index;
    }
}

static fb_status copy(const struct fb_conf *from, struct fb_conf **ret_copy) {
    struct fb_conf *conf;
    struct fb_conf_details *d;
    if (fb_conf_new(&conf) != FB_OK)
        return FB_NOMEM;
    d = conf->details;
    conf->path = (char *)(uintptr_t)copy_text(&d->arena, from->path);
    d->text.path = copy_text(&d->arena, from->details->text.path);
    for (size_t i = 0; i < from->details->nobjects; i++)
        copy_object(d, from->details->objects[i]);
    if (d->arena.is_exhausted) {
        fb_conf_free(conf);
        return FB_NOMEM;
    }
    *ret_copy = conf;
    return FB_OK;
}

/* Lay out and check a copy that was changed. */
static fb_status finish(struct fb_conf *conf) {
    fb_conf_lay_out(conf);
    if (!conf->details->arena.is_exhausted)
        fb_conf_check(conf);
    return conf->details->arena.is_exhausted ? FB_NOMEM : conf->details->nerrors > 0 ? FB_CONFIG : FB_OK;
}

/* ---- CONFIG SET ------------------------------------------------------------------------------------------------- */

struct target {
    struct fb_object *object;
    const struct fb_setting *setting;
    bool is_alias;
};

static bool find_in_server(struct fb_conf_details *d, const char *name, struct target *ret) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(FB_SCOPE_SERVER, &n);
    if (strncmp(name, "server.", strlen("server.")) == 0)
        name += strlen("server.");
    for (size_t i = 0; i < n; i++) {
        bool is_alias = rows[i].alias != NULL && strcasecmp(rows[i].alias, name) == 0;
        if (is_alias || strcasecmp(rows[i].name, name) == 0) {
            *ret = (struct target){d->server, &rows[i], is_alias};
            return true;
        }
    }
    return false;
}

/* "keyspaces.PATTERN.ttl", the pattern as the file has it or as INFO shows it; "sources.NAME.pool". */
static bool find_member(struct fb_conf_details *d, const char *name, struct target *ret) {
    const char *first = strchr(name, '.'), *last = strrchr(name, '.');
    if (first == NULL || last == first)
        return false;
    size_t len = (size_t)(last - first - 1);
    for (size_t i = 0; i < d->nobjects; i++) {
        struct fb_object *o = d->objects[i];
        const char *section = fb_sections[o->scope].name;
        if (o->name == NULL || strlen(section) != (size_t)(first - name) || memcmp(section, name, strlen(section)) != 0)
            continue;
        const char *bound =
            o->scope == FB_SCOPE_KEYSPACE ? ((const struct fb_conf_keyspace *)o->data)->bound_pattern : NULL;
        bool is_it = strlen(o->name) == len && memcmp(o->name, first + 1, len) == 0;
        is_it |= bound != NULL && strlen(bound) == len && memcmp(bound, first + 1, len) == 0;
        const struct fb_setting *setting = is_it ? fb_setting_find(o->scope, last + 1, NULL) : NULL;
        if (setting != NULL) {
            *ret = (struct target){o, setting, false};
            return true;
        }
    }
    return false;
}

static bool assign(struct fb_conf_details *d, const struct target *t, const char *value,
                   struct fb_complaint *reterr) {
    const char *items[] = {value};
    if (t->is_alias)
        return fb_setting_parse_redis(t->setting, &d->arena, value, t->object->data, reterr);
    return fb_setting_parse(t->setting, &d->arena, items, 1, t->setting->type == FB_TYPE_SECRET, t->object->data,
                            reterr);
}

static fb_status set_one(struct fb_conf_details *d, fb_bytes value, const struct target *t, fb_err *reterr) {
    struct fb_complaint complaint;
    const char *text = fb_arena_copy(&d->arena, value.data, value.len);
    if (text == NULL)
        return FB_NOMEM;
    if (strlen(text) != value.len)
        return fb_fail(reterr, FB_INVALID, "a value has no NUL byte");
    if (!assign(d, t, text, &complaint)) {
        bool has_help = complaint.help[0] != '\0' && !t->is_alias; /* Redis says no more */
        return fb_fail(reterr, FB_INVALID, "%s%s%s", complaint.text, has_help ? "; " : "",
                       has_help ? complaint.help : "");
    }
    struct fb_origin *origin = fb_object_origin(t->object, t->setting->name);
    bool is_secret = t->setting->type == FB_TYPE_SECRET;
    *origin = (struct fb_origin){.kind = FB_ORIGIN_COMMAND, .name = "CONFIG SET"};
    if (is_secret && fb_setting_string(t->setting, t->object->data) == NULL)
        origin->kind = FB_ORIGIN_DEFAULT; /* taken away */
    else if (is_secret)
        origin->print = fb_secret_print(fb_setting_string(t->setting, t->object->data));
    return FB_OK;
}

static fb_status set_all(struct fb_conf_details *d, const fb_field *pairs, size_t n, size_t *ret_which, fb_err *reterr) {
    struct target t[FB_CONFIG_PAIRS_MAX];
    for (size_t i = 0; i < n; i++) {
        *ret_which = i;
        const char *name = fb_arena_copy(&d->arena, pairs[i].name.data, pairs[i].name.len);
        if (name == NULL)
            return FB_NOMEM;
        if (strlen(name) != pairs[i].name.len || (!find_in_server(d, name, &t[i]) && !find_member(d, name, &t[i])))
            return FB_NOTFOUND;
        for (size_t k = 0; k < i; k++)
            if (t[k].object == t[i].object && t[k].setting == t[i].setting)
                return fb_fail(reterr, FB_INVALID, "duplicate parameter");
        if (!t[i].setting->is_live)
            return fb_fail(reterr, FB_INVALID, "can't set immutable config");
    }
    for (size_t i = 0; i < n; i++) {
        *ret_which = i;
        fb_status status = set_one(d, pairs[i].value, &t[i], reterr);
        if (status != FB_OK)
            return status;
    }
    return FB_OK;
}

fb_status fb_conf_set(const struct fb_conf *conf, const fb_field *pairs, size_t n, struct fb_conf **ret_conf,
                      size_t *ret_which, fb_err *reterr) {
    struct fb_conf *changed;
    *ret_which = 0;
    if (n > FB_CONFIG_PAIRS_MAX)
        return fb_fail(reterr, FB_INVALID, "more than %d settings at a time", FB_CONFIG_PAIRS_MAX);
    if (copy(conf, &changed) != FB_OK)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    fb_status status = set_all(changed->details, pairs, n, ret_which, reterr);
    if (status == FB_OK) {
        *ret_which = 0;
        status = finish(changed);
        if (status == FB_CONFIG)
            status = fb_fail(reterr, FB_INVALID, "%s", fb_conf_first_error(changed));
    }
    if (status == FB_OK)
        *ret_conf = changed;
    else
        fb_conf_free(changed);
    return status;
}

/* ---- a file that was read again --------------------------------------------------------------------------------- */

/* "server.listen, keyspaces.user:{id:int}.ttl" */
static void list(fb_buf *out, const struct fb_object *object, const char *tail, const char *between) {
    const char *parts[] = {out->len > 0 ? ", " : "", fb_sections[object->scope].name, object->name != NULL ? "." : "",
                           object->name != NULL ? object->name : "", between, tail};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        (void)fb_buf_append(out, parts[i], strlen(parts[i]));
}

/* A class is not looked at: what it gives is looked at where it is used. */
static void merge_object(struct fb_conf_details *d, struct fb_object *to, const struct fb_conf_details *wanted,
                         fb_buf *changed, fb_buf *needs_restart) {
    const struct fb_object *from = fb_object_find(wanted, to->scope, to->name);
    size_t n;
    const struct fb_setting *rows = fb_settings_of(to->scope, &n);
    if (from == NULL) {
        if (to->scope != FB_SCOPE_CLASS)
            list(needs_restart, to, "(gone)", " ");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool is_same = rows[i].type == FB_TYPE_SECRET ? from->origins[i].print == to->origins[i].print
                                                      : fb_setting_is_same(&rows[i], from->data, to->data);
        if (!is_same && to->scope != FB_SCOPE_CLASS)
            list(rows[i].is_live ? changed : needs_restart, to, rows[i].name, ".");
        if (is_same || rows[i].is_live)
            take_value(d, to, from, i);
    }
}

fb_status fb_conf_merge(const struct fb_conf *running, const struct fb_conf *wanted, struct fb_conf **ret_conf,
                        fb_buf *ret_changed, fb_buf *ret_needs_restart) {
    struct fb_conf *merged;
    if (copy(running, &merged) != FB_OK)
        return FB_NOMEM;
    struct fb_conf_details *d = merged->details;
    for (size_t i = 0; i < d->nobjects; i++)
        merge_object(d, d->objects[i], wanted->details, ret_changed, ret_needs_restart);
    for (size_t i = 0; i < wanted->details->nobjects; i++) {
        const struct fb_object *o = wanted->details->objects[i];
        if (o->scope == FB_SCOPE_CLASS && fb_object_find(d, o->scope, o->name) == NULL)
            copy_object(d, o);
        else if (fb_object_find(d, o->scope, o->name) == NULL)
            list(ret_needs_restart, o, "(new)", " ");
    }
    fb_status status = finish(merged);
    if (status != FB_OK) {
        fb_conf_free(merged);
        return status;
    }
    *ret_conf = merged;
    return FB_OK;
}
