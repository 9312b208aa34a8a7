/* Reading the configuration: file, then environment, then flags, then defaults; each later one wins where it says
 * something. Then the check of what must hold together. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "conf/details.h"
#include "conf/tree.h"
#include "policy/policy.h"

/* ---- the file --------------------------------------------------------------------------------------------------- */

/* A key that stood in the same mapping before? */
static bool is_repeated(struct fb_conf_details *d, const struct fb_node *map, const struct fb_node *member) {
    for (const struct fb_node *m = map->first; m != member; m = m->next)
        if (strcmp(m->key->text, member->key->text) == 0) {
            fb_fault(d, &member->key->at, "repeated", "'%.80s' is given twice", member->key->text);
            fb_help(d, "it stands in line %d already; keep one of them", m->key->at.line);
            return true;
        }
    return false;
}

static void wrong_kind(struct fb_conf_details *d, const struct fb_node *node, const char *what, const char *help) {
    fb_fault(d, &node->at, "type", "%s", what);
    fb_help(d, "%s", help);
}

static void read_list(struct fb_conf_details *d, struct fb_object *object, const struct fb_setting *setting,
                      const struct fb_node *list) {
    size_t n = 0;
    for (const struct fb_node *item = list->first; item != NULL; item = item->next)
        n++;
    const char **items = fb_arena_alloc(&d->arena, (n + 1) * sizeof *items);
    struct fb_origin *ats = fb_arena_alloc(&d->arena, (n + 1) * sizeof *ats);
    if (items == NULL || ats == NULL)
        return;
    n = 0;
    for (const struct fb_node *item = list->first; item != NULL; item = item->next, n++) {
        if (item->kind != FB_NODE_SCALAR) {
            wrong_kind(d, item, "a list of names holds names only", "write [a, b], or one '- name' per line");
            return;
        }
        items[n] = item->text;
        ats[n] = item->at;
    }
    fb_object_assign(d, object, setting, items, n, &list->at, ats);
}

static void read_setting(struct fb_conf_details *d, struct fb_object *object, const struct fb_node *member) {
    const struct fb_setting *setting = fb_setting_find(object->scope, member->key->text, NULL);
    if (setting == NULL) {
        fb_unknown_setting(d, object->scope, member->key->text, &member->key->at);
        return;
    }
    if (member->kind == FB_NODE_LIST && fb_setting_is_list(setting)) {
        read_list(d, object, setting, member);
        return;
    }
    if (member->kind != FB_NODE_SCALAR) {
        fb_fault(d, &member->at, "type", "%s takes one value", setting->name);
        fb_help(d, "write '%s: VALUE'; %s", setting->name, fb_setting_type_text(setting->type));
        return;
    }
    if (member->is_bare && member->text[0] == '\0') {
        fb_fault(d, &member->key->at, "type", "%s has no value", setting->name);
        fb_help(d, "give it a value, or remove the line for the default");
        return;
    }
    const char *items[] = {member->text};
    fb_object_assign(d, object, setting, items, 1, &member->at, NULL);
}

static void read_settings(struct fb_conf_details *d, struct fb_object *object, const struct fb_node *map) {
    for (const struct fb_node *member = map->first; member != NULL; member = member->next)
        if (!is_repeated(d, map, member))
            read_setting(d, object, member);
}

static bool is_empty(const struct fb_node *node) {
    return node->kind == FB_NODE_SCALAR && node->is_bare && node->text[0] == '\0';
}

static void read_section(struct fb_conf_details *d, enum fb_scope scope, const struct fb_node *node) {
    const struct fb_section *section = &fb_sections[scope];
    if (is_empty(node))
        return;
    if (node->kind != FB_NODE_MAP) {
        fb_fault(d, &node->at, "type", "%s holds settings, not a value", section->name);
        fb_help(d, "write them below it, each on a line of its own: '%s: …'",
                section->one == NULL ? "name" : section->label);
        return;
    }
    if (section->one == NULL) {
        read_settings(d, fb_object_find(d, scope, NULL), node);
        return;
    }
    for (const struct fb_node *member = node->first; member != NULL; member = member->next) {
        struct fb_object *object = NULL;
        if (!is_repeated(d, node, member))
            object = fb_object_get(d, scope, member->key->text, &member->key->at);
        if (object == NULL || is_empty(member))
            continue;
        if (member->kind != FB_NODE_MAP) {
            fb_fault(d, &member->at, "type", "a %s holds settings, not a value", section->one);
            fb_help(d, "write them below it, each on a line of its own: 'name: value'");
            continue;
        }
        read_settings(d, object, member);
    }
}

static void read_root(struct fb_conf_details *d, const struct fb_node *root) {
    if (root->kind != FB_NODE_MAP) {
        if (!is_empty(root))
            wrong_kind(d, root, "a configuration is sections, not a value",
                       "begin with 'server:', 'sources:', 'classes:' or 'keyspaces:'");
        return;
    }
    for (const struct fb_node *member = root->first; member != NULL; member = member->next) {
        struct fb_nearest near = fb_nearest_begin(member->key->text);
        int scope = 0;
        for (; scope < FB_SCOPE_COUNT_ && strcmp(fb_sections[scope].name, member->key->text) != 0; scope++)
            fb_nearest_offer(&near, fb_sections[scope].name);
        if (is_repeated(d, root, member))
            continue;
        if (scope < FB_SCOPE_COUNT_) {
            read_section(d, (enum fb_scope)scope, member);
        } else if (fb_setting_is_later(FB_SCOPE_FILE, member->key->text)) {
            fb_fault(d, &member->key->at, "later", "'%s' is not in this version", member->key->text);
            fb_help(d, "remove it until a later version has it");
        } else {
            fb_fault(d, &member->key->at, "unknown-section", "there is no section '%.80s'", member->key->text);
            if (near.best != NULL)
                fb_help(d, "did you mean '%s'?", near.best);
            else
                fb_help(d, "sections are: server, store, sources, classes, keyspaces");
        }
    }
}

/* False: it is no YAML, and nothing of it is known. */
static bool read_file(struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    bool ok = false;
    if (!fb_text_read(d, conf->path))
        return false;
    const struct fb_node *root = fb_yaml_parse(d, &ok);
    if (ok && root != NULL)
        read_root(d, root);
    return ok;
}

/* ---- defaults --------------------------------------------------------------------------------------------------- */

static void set_default(struct fb_conf_details *d, struct fb_object *object, const struct fb_setting *setting) {
    struct fb_complaint complaint;
    const char *items[] = {setting->fallback};
    if (setting->fallback == NULL || fb_setting_is_required(setting))
        return;
    if (!fb_setting_parse(setting, &d->arena, items, 1, false, object->data, &complaint))
        d->arena.is_exhausted = true; /* the table's own words fail for want of memory only; a test holds that */
}

/* What a keyspace does not say itself, its class says. */
static void take_class(struct fb_conf_details *d, struct fb_object *object) {
    struct fb_conf_keyspace *k = object->data;
    if (k->class_name == NULL)
        return;
    struct fb_object *class_object = fb_object_find(d, FB_SCOPE_CLASS, k->class_name);
    const struct fb_ttl_class *known = fb_ttl_class_find(k->class_name);
    const struct fb_conf_class *own = class_object != NULL ? class_object->data : NULL;
    struct fb_origin from = {.kind = FB_ORIGIN_CLASS, .name = k->class_name};
    struct fb_origin *ttl = fb_object_origin(object, "ttl"), *jitter = fb_object_origin(object, "jitter");
    if (ttl->kind == FB_ORIGIN_DEFAULT && (own != NULL || known != NULL)) {
        k->options.policy.ttl_ms = own != NULL ? own->ttl_ms : known->ttl_ms;
        *ttl = from;
    }
    if (jitter->kind == FB_ORIGIN_DEFAULT && own != NULL) {
        k->options.policy.jitter = own->jitter;
        *jitter = from;
    }
}

void fb_conf_fill_defaults(struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    for (size_t i = 0; i < d->nobjects; i++) {
        struct fb_object *object = d->objects[i];
        size_t n;
        const struct fb_setting *rows = fb_settings_of(object->scope, &n);
        for (size_t s = 0; s < n; s++)
            if (object->origins[s].kind == FB_ORIGIN_DEFAULT)
                set_default(d, object, &rows[s]);
    }
    for (size_t i = 0; i < d->nobjects; i++)
        if (d->objects[i]->scope == FB_SCOPE_KEYSPACE)
            take_class(d, d->objects[i]);
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static char *find_file(struct fb_conf_details *d, const char *path, bool is_pinned) {
    static const char *const places[] = {"forebay.yaml", "/etc/forebay/forebay.yaml"};
    const char *variable = getenv("FOREBAY_CONFIG");
    if (path == NULL && !is_pinned && variable != NULL && variable[0] != '\0')
        path = variable;
    for (size_t i = 0; path == NULL && !is_pinned && i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], F_OK) == 0)
            path = places[i];
    return path != NULL ? fb_arena_copy(&d->arena, path, strlen(path)) : NULL;
}

void fb_conf_lay_out(struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    conf->sources = fb_arena_alloc(&d->arena, (d->nobjects + 1) * sizeof *conf->sources);
    conf->keyspaces = fb_arena_alloc(&d->arena, (d->nobjects + 1) * sizeof *conf->keyspaces);
    if (conf->sources == NULL || conf->keyspaces == NULL)
        return;
    for (size_t i = 0; i < d->nobjects; i++) {
        struct fb_object *o = d->objects[i];
        if (o->scope == FB_SCOPE_SOURCE) {
            struct fb_conf_source *s = &conf->sources[conf->nsources++];
            *s = *(struct fb_conf_source *)o->data;
            s->line = o->where.line;
            s->col = o->where.col;
            o->data = s;
        } else if (o->scope == FB_SCOPE_KEYSPACE) {
            struct fb_conf_keyspace *k = &conf->keyspaces[conf->nkeyspaces++];
            *k = *(struct fb_conf_keyspace *)o->data;
            k->line = o->where.line;
            k->col = o->where.col;
            o->data = k;
        }
    }
}

fb_status fb_conf_new(struct fb_conf **ret_conf) {
    struct fb_conf *conf = fb_mem_calloc(1, sizeof *conf);
    struct fb_conf_details *d = fb_mem_calloc(1, sizeof *d);
    if (conf == NULL || d == NULL) {
        fb_mem_free(conf);
        fb_mem_free(d);
        return FB_NOMEM;
    }
    conf->details = d;
    d->server = fb_object_get(d, FB_SCOPE_SERVER, NULL, &(struct fb_origin){0});
    struct fb_object *store = fb_object_get(d, FB_SCOPE_STORE, NULL, &(struct fb_origin){0});
    if (d->server == NULL || store == NULL) {
        fb_conf_free(conf);
        return FB_NOMEM;
    }
    d->server->data = store->data = conf;
    *ret_conf = conf;
    return FB_OK;
}

fb_status fb_conf_load(const struct fb_conf_args *args, struct fb_conf **ret_conf, fb_err *reterr) {
    struct fb_conf *conf;
    if (fb_conf_new(&conf) != FB_OK)
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    struct fb_conf_details *d = conf->details;
    conf->path = find_file(d, args->path, args->is_pinned);
    bool is_readable = conf->path == NULL || read_file(conf);
    fb_conf_read_environment(conf);
    fb_conf_read_flags(conf, args);
    fb_conf_fill_defaults(conf);
    fb_conf_lay_out(conf);
    if (is_readable && !d->arena.is_exhausted) /* of a file that is no YAML everything would seem to be missing */
        fb_conf_check(conf);
    if (d->arena.is_exhausted) {
        fb_conf_free(conf);
        return fb_fail(reterr, FB_NOMEM, "out of memory");
    }
    *ret_conf = conf;
    return d->nerrors == 0 ? FB_OK
                           : fb_fail(reterr, FB_CONFIG, "%u error%s in the configuration", d->nerrors,
                                     d->nerrors == 1 ? "" : "s");
}

/* Secrets do not stay in memory that is given back. */
static void wipe(const struct fb_object *object) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(object->scope, &n);
    for (size_t i = 0; i < n; i++) {
        const char *secret = rows[i].type == FB_TYPE_SECRET ? fb_setting_string(&rows[i], object->data) : NULL;
        if (secret != NULL)
            explicit_bzero((char *)(uintptr_t)secret, strlen(secret));
    }
}

void fb_conf_free(struct fb_conf *conf) {
    if (conf == NULL)
        return;
    for (size_t i = 0; i < conf->details->nobjects; i++)
        wipe(conf->details->objects[i]);
    fb_arena_finish(&conf->details->arena);
    fb_mem_free(conf->details);
    fb_mem_free(conf);
}
