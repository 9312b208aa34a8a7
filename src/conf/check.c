/* What must hold together, beyond each setting being right by itself. Nothing here asks a database. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/store_url.h"
#include "conf/details.h"
#include "policy/policy.h"
#include "rows/pattern.h"

/* Where to point: at the setting when it was given, else at the object it belongs to. */
static const struct fb_origin *place_of(const struct fb_object *object, const char *setting) {
    const struct fb_origin *origin = fb_object_origin(object, setting);
    return origin->kind >= FB_ORIGIN_FILE ? origin : &object->where;
}

/* ---- server ----------------------------------------------------------------------------------------------------- */

static bool is_loopback(const char *address) {
    return strncmp(address, "unix:", 5) == 0 || strncmp(address, "127.", 4) == 0 ||
           strncmp(address, "[::1]:", 6) == 0 || strncmp(address, "localhost:", 10) == 0;
}

static bool has_tls(const struct fb_conf *conf) { return conf->tls_listen != NULL && conf->tls_listen[0] != NULL; }

static void check_server(const struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    if (conf->admin != NULL && strncmp(conf->admin, "unix:", 5) == 0) {
        fb_fault(d, place_of(d->server, "admin"), "address", "HTTP is not served on a unix socket");
        fb_help(d, "write HOST:PORT, as in 127.0.0.1:9380, or 'off'");
    } else if (conf->admin != NULL && conf->is_protected && !is_loopback(conf->admin)) {
        fb_fault(d, place_of(d->server, "admin"), "unprotected", "%s can be reached from other machines", conf->admin);
        fb_help(d, "use 127.0.0.1, or 'protected: false' where a firewall keeps strangers away");
    }
    if (conf->bulk_max > conf->query_buffer_max) {
        const char *setting = fb_object_has(d->server, "bulk_max") ? "bulk_max" : "query_buffer_max";
        fb_fault(d, place_of(d->server, setting), "conflict",
                 "the longest argument (bulk_max) does not fit into query_buffer_max");
        fb_help(d, "make query_buffer_max at least bulk_max");
    }
    if (conf->listen != NULL && conf->listen[0] == NULL && !has_tls(conf)) {
        fb_fault(d, place_of(d->server, "listen"), "type", "there is no address to listen on");
        fb_help(d, "give one, as in 127.0.0.1:6380");
    }
    for (size_t i = 0; conf->listen != NULL && conf->listen[i] != NULL; i++) {
        if (is_loopback(conf->listen[i]) || !conf->is_protected || fb_object_has(d->server, "password") ||
            conf->users_file != NULL) /* the server looks whether the file lets everybody in */
            continue;
        fb_fault(d, place_of(d->server, "listen"), "unprotected",
                 "%s can be reached from other machines and no password is asked", conf->listen[i]);
        fb_help(d,
                "set server.password (FOREBAY_PASSWORD), or 'protected: false' where a firewall keeps strangers away");
    }
}

/* "0770": three octal digits, perhaps with a nought in front. */
static bool is_mode(const char *text) {
    size_t len = strspn(text, "01234567");
    return text[len] == '\0' && (len == 3 || (len == 4 && text[0] == '0'));
}

static void check_transport(const struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    const struct { bool is_broken; const char *setting, *text, *help; } rules[] = {
        {conf->unix_mode != NULL && !is_mode(conf->unix_mode), "unix_mode", "this is no mode of a file",
         "write octal digits: 0700 for this user, 0770 for its group, 0777 for everybody"},
        {has_tls(conf) && conf->tls_cert == NULL, "tls_listen", "TLS needs a certificate",
         "set server.tls_cert and server.tls_key"},
        {has_tls(conf) && conf->tls_cert != NULL && conf->tls_key == NULL, "tls_cert",
         "the certificate's key is missing", "set server.tls_key"},
        {has_tls(conf) && conf->tls_clients != 0 && conf->tls_ca == NULL, "tls_clients",
         "nobody is named who signs clients' certificates", "set server.tls_ca"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].is_broken) {
            fb_fault(d, place_of(d->server, rules[i].setting), i == 0 ? "type" : "conflict", "%s", rules[i].text);
            fb_help(d, "%s", rules[i].help);
        }
}

/* ---- sources and classes ---------------------------------------------------------------------------------------- */

static void check_required(struct fb_conf_details *d, const struct fb_object *object) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(object->scope, &n);
    for (size_t i = 0; i < n; i++) {
        if (!fb_setting_is_required(&rows[i]) || object->origins[i].kind != FB_ORIGIN_DEFAULT)
            continue;
        const char *one = fb_sections[object->scope].one;
        fb_fault(d, &object->where, "missing", "%s '%.80s' has no %s", one, object->name, rows[i].name);
        fb_help(d, "add '%s: …'; %s", rows[i].name, fb_setting_type_text(rows[i].type));
    }
}

static char as_in_variable(char c) { return (char)(c == '-' ? '_' : toupper((unsigned char)c)); }

static bool is_alike(const char *a, const char *b) {
    while (*a != '\0' && as_in_variable(*a) == as_in_variable(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

/* Names that are spelled alike in the environment (my-shop, my_shop) could not be told apart there. */
static void check_names(struct fb_conf_details *d, const struct fb_object *source) {
    for (size_t i = 0; d->objects[i] != source; i++) {
        const struct fb_object *other = d->objects[i];
        if (other->scope != FB_SCOPE_SOURCE || !is_alike(other->name, source->name))
            continue;
        fb_fault(d, &source->where, "name", "the names '%s' and '%s' are too much alike", other->name, source->name);
        fb_help(d, "variables like FOREBAY_SOURCE_NAME_URL could not tell them apart; rename one");
    }
}

/* Put the password behind the user: scheme://USER:PASSWORD@… , percent-encoded. */
static void join_password(struct fb_conf_details *d, const struct fb_object *object) {
    struct fb_conf_source *source = object->data;
    source->open_url = source->url;
    if (source->password == NULL || source->url == NULL)
        return;
    const char *authority = strstr(source->url, "://");
    const char *user = authority != NULL ? authority + 3 : NULL;
    size_t len = user != NULL ? strcspn(user, "/?#") : 0;
    const char *at = len > 0 ? memrchr(user, '@', len) : NULL;
    if (at == NULL) {
        fb_fault(d, place_of(object, "password"), "conflict",
                 "the URL of source '%s' names no user, so it needs no password", object->name);
        fb_help(d, "remove password, or write the user into the URL: scheme://USER@HOST/DATABASE");
        return;
    }
    const char *end = memchr(user, ':', (size_t)(at - user));
    char *encoded = fb_arena_alloc(&d->arena, strlen(source->password) * 3 + 1);
    if (encoded == NULL)
        return;
    char *out = encoded;
    for (const char *p = source->password; *p != '\0'; p++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *p) != NULL)
            *out++ = *p;
        else
            out += snprintf(out, 4, "%%%02X", (unsigned)(unsigned char)*p);
    int user_len = (int)((end != NULL ? end : at) - source->url);
    char *url = fb_arena_format(&d->arena, "%.*s:%s%s", user_len, source->url, encoded, at);
    if (url != NULL)
        source->open_url = url;
}

/* ---- keyspaces -------------------------------------------------------------------------------------------------- */

static void check_source_reference(struct fb_conf *conf, const struct fb_object *object) {
    struct fb_conf_details *d = conf->details;
    struct fb_conf_keyspace *k = object->data;
    if (k->source_name == NULL) {
        if (conf->nsources == 1) {
            k->source_name = conf->sources[0].name;
            fb_object_find(d, FB_SCOPE_SOURCE, k->source_name)->is_used = true;
        } else if (conf->nsources > 1) {
            fb_fault(d, &object->where, "missing", "the keyspace does not say which source it belongs to");
            fb_help(d, "add 'source: NAME'; there are %zu of them", conf->nsources);
        } else {
            fb_fault(d, &object->where, "missing", "there is no source for the keyspace");
            fb_help(d, "add a section 'sources:', or give --source sqlite:PATH");
        }
        return;
    }
    struct fb_object *source = fb_object_find(d, FB_SCOPE_SOURCE, k->source_name);
    if (source != NULL) {
        source->is_used = true;
        return;
    }
    struct fb_nearest near = fb_nearest_begin(k->source_name);
    for (size_t i = 0; i < conf->nsources; i++)
        fb_nearest_offer(&near, conf->sources[i].name);
    fb_fault(d, place_of(object, "source"), "unknown-source", "there is no source '%.80s'", k->source_name);
    if (near.best != NULL)
        fb_help(d, "did you mean '%s'?", near.best);
    else
        fb_help(d, "describe it in the section 'sources'");
}

static void check_class_reference(struct fb_conf_details *d, const struct fb_object *object) {
    const struct fb_conf_keyspace *k = object->data;
    if (k->class_name == NULL)
        return;
    struct fb_object *own = fb_object_find(d, FB_SCOPE_CLASS, k->class_name);
    if (own != NULL)
        own->is_used = true;
    if (own != NULL || fb_ttl_class_find(k->class_name) != NULL)
        return;
    struct fb_nearest near = fb_nearest_begin(k->class_name);
    for (size_t i = 0; i < d->nobjects; i++)
        if (d->objects[i]->scope == FB_SCOPE_CLASS)
            fb_nearest_offer(&near, d->objects[i]->name);
    for (const struct fb_ttl_class *c = fb_ttl_classes(); c->name != NULL; c++)
        fb_nearest_offer(&near, c->name);
    fb_fault(d, place_of(object, "class"), "unknown-class", "there is no TTL class '%.80s'", k->class_name);
    if (near.best != NULL)
        fb_help(d, "did you mean '%s'?", near.best);
    else
        fb_help(d, "describe it in the section 'classes', or give the keyspace a ttl of its own");
}

static bool is_shape(const char *as, const char *one, const char *other) {
    return as != NULL && (strcmp(as, one) == 0 || strcmp(as, other) == 0);
}

/* Settings of a keyspace that need or exclude each other. */
static void check_combinations(struct fb_conf_details *d, const struct fb_object *object) {
    const fb_keyspace_options *o = &((const struct fb_conf_keyspace *)object->data)->options;
    bool writes = o->write != FB_WRITE_OFF;
    bool table = fb_object_has(object, "table"), load = fb_object_has(object, "load");
    bool many = o->rows == FB_ROWS_MANY;
    bool store = fb_object_has(object, "store"), del = fb_object_has(object, "delete");
    bool aside = o->read == FB_READ_ASIDE;
    const struct rule { bool is_broken; const char *setting, *other, *code, *text, *help; } rules[] = {
        {!table && !load, "table", "load", "missing", "the keyspace has neither table nor load",
         "add 'table: NAME' for rows of a table, or 'load: SELECT …' for a query"},
        {table && load, "load", "table", "conflict", "a keyspace has a table or a load query, not both",
         "remove one of them"},
        {store && table && !load, "store", "table", "conflict", "store belongs to a load query",
         "remove it: the statements for a table are made from its columns"},
        {del && table && !load, "delete", "table", "conflict", "delete belongs to a load query",
         "remove it: the statements for a table are made from its key"},
        {store && !writes, "store", "write", "conflict", "the keyspace has a store statement and writes nothing",
         "add 'write: write-through'"},
        {del && !writes, "delete", "write", "conflict", "the keyspace has a delete statement and writes nothing",
         "add 'write: write-through'"},
        {writes && load && !table && !store, "write", "store", "missing",
         "a load query needs a store statement beside it to write", "add 'store: …', or 'write: off'"},
        {o->on_set == FB_ON_SET_WRITE && !writes, "on_set", "write", "conflict", "on_set: write, but write is off",
         "add 'write: write-through'"},
        {o->on_del == FB_ON_DEL_DELETE_ROW && !writes, "on_del", "write", "conflict",
         "on_del: delete-row, but write is off", "add 'write: write-through'"},
        {o->on_del == FB_ON_DEL_DELETE_ROW && writes && load && !del, "on_del", "delete", "missing",
         "delete-row beside a load query needs a delete statement", "add 'delete: DELETE FROM …'"},
        {many && writes, "write", "rows", "conflict", "a list is read-only",
         "remove it: rows are written by keys of their own, of a keyspace with rows: one"},
        {many && o->read == FB_READ_ASIDE, "read", "rows", "conflict", "a list is loaded by Forebay",
         "remove it, or load the list in the application under a keyspace with rows: one"},
        {aside && o->policy.refresh_ahead > 0, "refresh_ahead", "read", "conflict",
         "what the application loads, Forebay cannot refresh", "remove it, or 'read: cache-aside'"},
        {aside && o->policy.early_refresh > 0, "early_refresh", "read", "conflict",
         "what the application loads, Forebay cannot refresh", "remove it, or 'read: cache-aside'"},
        {many && is_shape(o->as, "hash", "text"), "as", "rows", "conflict", "a list is a JSON array",
         "write json for an array of rows, or column:NAME for an array of one column's values"},
        {!many && fb_object_has(object, "order"), "order", "rows", "conflict", "order belongs to a list",
         "add 'rows: many', or remove it"},
        {!many && o->limit > 0, "limit", "rows", "conflict", "limit belongs to a list",
         "add 'rows: many', or remove it"},
        {many && load && !table && fb_object_has(object, "order"), "order", "load", "conflict",
         "order belongs to a list of a table", "write ORDER BY into the load query"},
        {many && load && !table && o->limit > 0, "limit", "load", "conflict", "limit belongs to a list of a table",
         "write LIMIT into the load query"},
        {o->depends != NULL && writes, "depends", "write", "conflict", "depends belongs to a keyspace that is only read",
         "remove it, or 'write'; writes of the keyspace's own rows need no depends"},
        {o->depends != NULL && many && table && !load, "depends", "table", "conflict",
         "a list of a table depends on that table by itself", "remove it; for other tables write a load query"},
        {o->rename != NULL && load && !table, "rename_columns", "load", "conflict", "rename_columns belongs to a table",
         "name the columns of the load query with AS"},
        {!many && table && !load && o->as != NULL && strcmp(o->as, "text") == 0, "as", "table", "conflict",
         "text is the only column of a load query; a table has several", "write column:NAME"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *r = &rules[i];
        /* What follows from a value that is wrong itself is not worth saying. */
        if (r->is_broken && !fb_object_origin(object, r->setting)->is_wrong &&
            !fb_object_origin(object, r->other)->is_wrong) {
            fb_fault(d, place_of(object, r->setting), r->code, "%s", r->text);
            fb_help(d, "%s", r->help);
        }
    }
}

/* Lists are no rows, and what depends on a table is told of its writes. Which table that is, its source says. */
static bool may_share(const fb_keyspace_options *o) {
    return o->rows == FB_ROWS_MANY || (o->depends != NULL && o->write == FB_WRITE_OFF);
}

/* Two keyspaces that hold the same row would each miss the other's writes. */
static void check_table(struct fb_conf *conf, const struct fb_object *object) {
    const struct fb_conf_keyspace *k = object->data;
    for (const struct fb_conf_keyspace *other = conf->keyspaces; other != k; other++) {
        if (may_share(&k->options) || may_share(&other->options) || k->options.table == NULL || other->options.table == NULL || k->source_name == NULL ||
            other->source_name == NULL || strcmp(k->source_name, other->source_name) != 0 ||
            strcasecmp(k->options.table, other->options.table) != 0)
            continue;
        fb_fault(conf->details, place_of(object, "table"), "shared-table", "table '%s' is mapped by '%s' already",
                 k->options.table, other->options.pattern);
        fb_help(conf->details, "a row may have one key only, or a write through one would leave the other stale");
        return;
    }
}

static void check_pattern(struct fb_conf_details *d, struct fb_router *router, const struct fb_object *object, int id) {
    struct fb_pattern pattern;
    fb_err err = {0};
    fb_status status = fb_pattern_parse(object->name, &pattern, &err);
    const char *code = "pattern",
               *help = "a pattern is text with {name}, {name:int|uuid|hex|date} or, last, {name:rest}";
    if (status == FB_OK) {
        code = "ambiguous";
        help = "make one of them more literal, or give their parameters types that exclude each other";
        status = fb_router_add(router, &pattern, id, &err);
        fb_pattern_finish(&pattern);
    }
    if (status == FB_NOMEM) {
        d->arena.is_exhausted = true;
    } else if (status != FB_OK) {
        fb_fault(d, &object->where, code, "%s", err.text);
        fb_help(d, "%s", help);
    }
}

static void warn_unused(struct fb_conf_details *d, const struct fb_object *object) {
    if (object->is_used || object->where.kind != FB_ORIGIN_FILE)
        return;
    fb_warn(d, &object->where, "unused", "no keyspace uses the %s '%s'", fb_sections[object->scope].one, object->name);
    fb_help(d, "remove it, or write '%s: %s' in a keyspace", fb_sections[object->scope].one, object->name);
}

bool fb_conf_wants_private_store(const struct fb_conf *conf) {
    return conf->store_url != NULL && strcmp(conf->store_url, "auto") == 0;
}

const char *fb_conf_store_url(const struct fb_conf *conf) {
    return fb_conf_wants_private_store(conf) ? conf->store_at : conf->store_url;
}

const char *fb_conf_state_dir(const struct fb_conf *conf) {
    const char *given = getenv("STATE_DIRECTORY");
    return conf->state_dir != NULL ? conf->state_dir : given != NULL && given[0] == '/' && strchr(given, ':') == NULL ? given : NULL;
}

static void check_store(const struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    const struct fb_object *store = fb_object_find(d, FB_SCOPE_STORE, NULL);
    struct fb_store_url url;
    fb_err err;
    bool is_private = fb_conf_wants_private_store(conf);
    if (is_private && fb_conf_state_dir(conf) == NULL) {
        fb_fault(d, place_of(store, "url"), "missing", "a private store has no directory for its data");
        fb_help(d, "give server.state_dir, as in /var/lib/forebay");
    }
    if (conf->store_url != NULL && !is_private && fb_store_url_parse(conf->store_url, &url, &err) != FB_OK) {
        fb_fault(d, place_of(store, "url"), "url", "%s", err.text);
        fb_help(d, "as in redis://127.0.0.1:6379/0");
    }
    if (conf->store_url == NULL && conf->unmapped == FB_UNMAPPED_PASS) {
        fb_fault(d, place_of(d->server, "unmapped"), "conflict", "unmapped keys have no store to go to");
        fb_help(d, "give store.url, or 'unmapped: error'");
    }
}

void fb_conf_check(struct fb_conf *conf) {
    struct fb_conf_details *d = conf->details;
    struct fb_router *router = fb_router_create();
    if (router == NULL) {
        d->arena.is_exhausted = true;
        return;
    }
    check_server(conf);
    check_transport(conf);
    check_store(conf);
    for (size_t i = 0, id = 0; i < d->nobjects && !d->arena.is_exhausted; i++) {
        const struct fb_object *object = d->objects[i];
        check_required(d, object);
        if (object->scope == FB_SCOPE_SOURCE) {
            check_names(d, object);
            join_password(d, object);
        } else if (object->scope == FB_SCOPE_KEYSPACE) {
            check_source_reference(conf, object);
            check_class_reference(d, object);
            check_combinations(d, object);
            check_table(conf, object);
            check_pattern(d, router, object, (int)id++);
        }
    }
    /* Of what is wrong anyway these would be consequences. */
    for (size_t i = 0; d->nerrors == 0 && i < d->nobjects; i++)
        if (d->objects[i]->scope == FB_SCOPE_SOURCE || d->objects[i]->scope == FB_SCOPE_CLASS)
            warn_unused(d, d->objects[i]);
    if (d->nerrors == 0 && conf->nkeyspaces == 0) {
        fb_fault(d, &(struct fb_origin){0}, "no-keyspaces", "there is nothing to serve: no keyspace maps keys to rows");
        fb_help(d, "forebay serve --source sqlite:shop.db --map 'user:{id:int}=users', or a file: -c forebay.yaml");
    }
    (void)fb_router_destroy(router);
}
