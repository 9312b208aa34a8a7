/* From a configuration that holds together to an open cache. What the databases have to say against it becomes
 * diagnostics like the others. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/details.h"
#include "rows/pattern.h"

enum { ANNOUNCED_MAX = 512 }; /* bytes of an address */

/* Does the text quote this value? */
static bool quotes(const char *text, const char *value) {
    size_t len = strlen(value);
    for (const char *p = text; len > 0 && (p = strstr(p, value)) != NULL; p++)
        if (p > text && p[-1] == '\'' && p[len] == '\'')
            return true;
    return false;
}

/* Where the text quotes the setting's value, or one of its items; NULL: it does not. */
static const struct fb_origin *quoted_at(const char *text, const struct fb_setting *setting, const void *data,
                                         const struct fb_origin *origin, size_t *ret_len) {
    const struct fb_origin *at = NULL;
    const char *value = fb_setting_string(setting, data);
    const char *const *list = fb_setting_list(setting, data);
    *ret_len = value != NULL ? strlen(value) : 0;
    if (value != NULL && (quotes(text, value) || (strncmp(value, "column:", 7) == 0 && quotes(text, value + 7))))
        at = origin;
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        if (strlen(list[i]) > *ret_len && quotes(text, list[i])) {
            at = origin->items != NULL ? &origin->items[i] : origin;
            *ret_len = strlen(list[i]);
        }
    return at;
}

/* A source says what is wrong in words: "keyspace 'PATTERN': [SETTING: ]what (did you mean 'name'?)". Taken apart. */
struct complaint {
    const char *text;
    int text_len;
    const char *hint;  /* "did you mean 'name'?", or NULL */
    int hint_len;
    const struct fb_origin *at;
};

/* Point at the setting that is named, else at the one whose value is quoted (the longest); what is said about
 * parameters belongs to the pattern, and the rest to the keyspace as a whole. */
static const struct fb_origin *place_of(const struct fb_object *object, const char *text) {
    size_t n, best_len = 0;
    const struct fb_setting *rows = fb_settings_of(object->scope, &n);
    const struct fb_origin *best = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(rows[i].name);
        bool is_named = strncmp(text, rows[i].name, len) == 0 && strncmp(text + len, ": ", 2) == 0 &&
                        object->origins[i].kind >= FB_ORIGIN_FILE;
        const struct fb_origin *item = is_named ? quoted_at(text, &rows[i], object->data, &object->origins[i], &len) : NULL;
        if (is_named)
            return rows[i].type == FB_TYPE_NAMES && item != NULL ? item : &object->origins[i];
    }
    if (strstr(text, "parameter") != NULL)
        return &object->where;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const struct fb_origin *at = quoted_at(text, &rows[i], object->data, &object->origins[i], &len);
        if (object->origins[i].kind >= FB_ORIGIN_FILE && at != NULL && len > best_len) {
            best = at;
            best_len = len;
        }
    }
    return best != NULL ? best : &object->where;
}

static struct complaint take_apart(const struct fb_object *object, const char *text) {
    struct complaint c = {.at = &object->where};
    /* The pattern is there as it was given, or with its types filled in. */
    const char *name = strncmp(text, "keyspace '", strlen("keyspace '")) == 0 ? text + strlen("keyspace '") : NULL;
    const char *end = name != NULL ? strchr(name, '\'') : NULL;
    if (end != NULL && strncmp(end, "': ", 3) == 0)
        text = end + 3;
    const char *hint = strstr(text, " (did you mean '");
    size_t all = strlen(text);
    c.text = text;
    c.text_len = (int)(hint != NULL ? (size_t)(hint - text) : all);
    if (hint != NULL && text[all - 1] == ')') {
        c.hint = hint + 2;
        c.hint_len = (int)(text + all - 1 - c.hint);
    }
    c.at = object->scope == FB_SCOPE_KEYSPACE ? place_of(object, text) : fb_object_origin(object, "url");
    return c;
}

static void fault_of(struct fb_conf_details *d, const struct fb_object *object, const char *code, const fb_err *err,
                     const char *help) {
    struct complaint c = take_apart(object, err->text);
    fb_fault(d, c.at, code, "%.*s", c.text_len, c.text);
    if (c.hint != NULL)
        fb_help(d, "%.*s", c.hint_len, c.hint);
    else
        fb_help(d, "%s", help);
}

/* What a source says of a keyspace, placed. */
struct review {
    struct fb_conf_details *d;
    const struct fb_object *object;
    bool wants_warnings;
    unsigned nfaults;
};

/* A trigger may be told of once for each kind of write. */
static bool is_said(const struct fb_conf_details *d, const struct fb_origin *at, const char *text) {
    for (size_t i = 0; i < d->ndiagnostics; i++)
        if (d->diagnostics[i].at.line == at->line && strcmp(d->diagnostics[i].text, text) == 0)
            return true;
    return false;
}

static void on_remark(void *user, int is_error, const char *code, const char *text) {
    static const struct { const char *code, *help; } helps[] = {
        {"keyspace", "compare the keyspace with the database's tables and columns"},
        {"scan", "add an index over the columns of its WHERE"},
        {"insert", "show the column, give it a default in the database, or let somebody else insert the rows"},
        {"cascade", "give the other keyspace a short ttl, or on_del: invalidate here"},
        {"trigger", "give the other keyspace a short ttl"},
        {"depends", "add 'depends: TABLE(COLUMN)' with a column for each parameter, or a short ttl"},
    };
    struct review *r = user;
    struct complaint c = take_apart(r->object, text);
    const char *help = "";
    if (!is_error && (!r->wants_warnings || is_said(r->d, c.at, c.text)))
        return;
    for (size_t i = 0; i < sizeof helps / sizeof helps[0]; i++)
        if (strcmp(helps[i].code, code) == 0)
            help = helps[i].help;
    (is_error ? fb_fault : fb_warn)(r->d, c.at, code, "%.*s", c.text_len, c.text);
    if (c.hint != NULL)
        fb_help(r->d, "%.*s", c.hint_len, c.hint);
    else
        fb_help(r->d, "%s", help);
    r->nfaults += is_error != 0;
}

/* Not there, or slow today: no fault of the file. */
static bool is_away(fb_status status) { return status == FB_DOWN || status == FB_TIMEOUT; }

static fb_status open_sources(struct fb_conf *conf, fb_cache *cache, fb_source **sources) {
    struct fb_conf_details *d = conf->details;
    fb_status worst = FB_OK;
    for (size_t i = 0; i < conf->nsources; i++) {
        const struct fb_conf_source *s = &conf->sources[i];
        const struct fb_object *object = fb_object_find(d, FB_SCOPE_SOURCE, s->name);
        fb_err err = {0};
        fb_status status = fb_source_open(cache, s->name, s->open_url, &s->options, &sources[i], &err);
        if (status == FB_NOMEM)
            return status;
        if (status == FB_OK)
            continue;
        sources[i] = NULL;
        bool is_down = is_away(status);
        bool is_file = strncmp(s->url, "sqlite:", strlen("sqlite:")) == 0;
        fault_of(d, object, is_down ? "source-down" : "source", &err,
                 is_file   ? "the file must exist; a relative path begins where forebay is started"
                 : is_down ? "start the database, or correct the URL or the password"
                           : "correct the URL");
        worst = is_down && worst != FB_CONFIG ? FB_DOWN : FB_CONFIG;
    }
    return worst;
}

static fb_status add_keyspaces(struct fb_conf *conf, fb_cache *cache, fb_source *const *sources) {
    struct fb_conf_details *d = conf->details;
    fb_status worst = FB_OK;
    for (size_t i = 0; i < conf->nkeyspaces; i++) {
        struct fb_conf_keyspace *k = &conf->keyspaces[i];
        const struct fb_object *object = fb_object_find(d, FB_SCOPE_KEYSPACE, k->options.pattern);
        fb_err err = {0};
        k->options.source = NULL;
        for (size_t s = 0; s < conf->nsources; s++)
            if (strcmp(conf->sources[s].name, k->source_name) == 0)
                k->options.source = sources[s];
        if (k->options.source == NULL) /* not open, which has been said */
            continue;
        fb_status status = fb_keyspace_add(cache, &k->options, &err);
        if (status == FB_NOMEM)
            return status;
        if (status == FB_OK) {
            k->index = fb_keyspace_count(cache) - 1;
            const char *bound = fb_keyspace_at(cache, k->index)->pattern;
            k->bound_pattern = fb_arena_copy(&d->arena, bound, strlen(bound));
            continue;
        }
        bool is_down = is_away(status);
        struct review review = {d, object, false, 0};
        fb_err nothing = {0};
        worst = is_down && worst != FB_CONFIG ? FB_DOWN : FB_CONFIG;
        if (!is_down && fb_keyspace_review(cache, &k->options, on_remark, &review, &nothing) == FB_NOMEM)
            return FB_NOMEM;
        if (review.nfaults > 0) /* the first among them */
            continue;
        fault_of(d, object, is_down ? "source-down" : "keyspace", &err,
                 is_down ? "start the database, or correct the URL of its source"
                         : "compare the keyspace with the database's tables and columns");
    }
    return worst;
}

static fb_status review_all(struct fb_conf *conf, fb_cache *cache) {
    for (size_t i = 0; i < conf->nkeyspaces; i++) {
        const fb_keyspace_options *options = &conf->keyspaces[i].options;
        struct review review = {conf->details, fb_object_find(conf->details, FB_SCOPE_KEYSPACE, options->pattern), true,
                                0};
        fb_err err = {0};
        fb_status status = fb_keyspace_review(cache, options, on_remark, &review, &err);
        if (status == FB_NOMEM)
            return status;
    }
    return conf->details->arena.is_exhausted ? FB_NOMEM : FB_OK;
}

fb_status fb_conf_examine(struct fb_conf *conf) {
    fb_cache *cache = NULL;
    fb_status status = fb_conf_apply(conf, &cache);
    if (status == FB_OK)
        status = review_all(conf, cache);
    fb_close(cache);
    return status;
}

/* NULL: nowhere. */
static const char *journal_dir(struct fb_conf *conf) {
    static const char own[] = "/journal";
    const char *state = fb_conf_state_dir(conf);
    if (conf->journal_dir != NULL || state == NULL)
        return conf->journal_dir;
    size_t len = strlen(state);
    char *dir = fb_arena_alloc(&conf->details->arena, len + sizeof own);
    if (dir == NULL)
        return NULL;
    memcpy(dir, state, len);
    memcpy(dir + len, own, sizeof own);
    return dir;
}

/* Where others reach this process. */
static const char *announced(const struct fb_conf *conf, char out[ANNOUNCED_MAX]) {
    static const char *const everywhere[] = {"0.0.0.0:", "[::]:", "*:"};
    bool is_plain = conf->listen[0] != NULL;
    const char *address = is_plain ? conf->listen[0] : conf->tls_listen != NULL ? conf->tls_listen[0] : NULL;
    char host[HOST_NAME_MAX + 1] = "";
    if (conf->journal_address != NULL || address == NULL)
        return conf->journal_address;
    for (size_t i = 0; i < sizeof everywhere / sizeof everywhere[0]; i++)
        if (strncmp(address, everywhere[i], strlen(everywhere[i])) == 0 && gethostname(host, sizeof host - 1) == 0)
            address += strlen(everywhere[i]) - 1;
    (void)snprintf(out, ANNOUNCED_MAX, "%s%s%s", is_plain ? "" : "rediss://", host, address);
    return out;
}

fb_status fb_conf_apply(struct fb_conf *conf, fb_cache **ret_cache) {
    struct fb_conf_details *d = conf->details;
    fb_options options = {.memory_max = conf->memory_max, .eviction = conf->eviction};
    fb_store_options store = conf->store;
    fb_behind_options behind = conf->behind;
    char address[ANNOUNCED_MAX];
    fb_cache *cache = NULL;
    fb_err err = {0};
    store.url = conf->store_url;
    store.password = conf->store_password;
    store.sentinel_password = conf->store_sentinel_password;
    store.tls_ca = conf->store_tls_ca;
    store.connect_timeout_ms = conf->store_connect_timeout_ms;
    store.no_copies = !conf->store_copies;
    store.sentinel_quorum = conf->store_sentinel_quorum;
    if (conf->store_url != NULL && conf->store_share && !fb_conf_wants_private_store(conf)) /* that one is shared by nobody */
        options.store = &store;
    behind.journal_dir = journal_dir(conf);
    behind.address = announced(conf, address);
    behind.every_second = conf->journal_sync == 1;
    options.behind = &behind;
    fb_source **sources = fb_arena_alloc(&d->arena, (conf->nsources + 1) * sizeof *sources);
    if (sources == NULL)
        return FB_NOMEM;
    fb_status status = fb_open(&options, &cache, &err);
    if (status != FB_OK) {
        fb_fault(d, &d->server->where, "cache", "the cache cannot be opened: %s", err.text);
        fb_help(d, "lower server.memory_max, or free some memory");
        return status;
    }
    status = open_sources(conf, cache, sources);
    if (status != FB_NOMEM) {
        fb_status added = add_keyspaces(conf, cache, sources);
        status = added == FB_NOMEM || added == FB_CONFIG || status == FB_OK ? added : status;
    }
    if (d->arena.is_exhausted)
        status = FB_NOMEM;
    if (status != FB_OK) {
        fb_close(cache);
        return status;
    }
    *ret_cache = cache;
    return FB_OK;
}

bool fb_conf_example_key(const struct fb_conf_keyspace *keyspace, char *ret_key, size_t size) {
    static const char *const examples[] = {
        [FB_PARAM_TEXT] = "42", [FB_PARAM_INT] = "42",
        [FB_PARAM_UUID] = "00000000-0000-4000-8000-000000000042", [FB_PARAM_HEX] = "2a",
        [FB_PARAM_DATE] = "2026-01-31", [FB_PARAM_REST] = "42",
    };
    struct fb_pattern pattern;
    fb_bytes params[FB_PATTERN_PARAMS_MAX];
    fb_buf key = FB_BUF_INIT;
    bool ok = false;
    if (fb_pattern_parse(keyspace->options.pattern, &pattern, NULL) != FB_OK)
        return false;
    for (unsigned i = 0, n = 0; i < pattern.nparts; i++)
        if (pattern.parts[i].is_param)
            params[n++] = FB_STR(examples[pattern.parts[i].type]);
    if (fb_pattern_render(&pattern, params, &key) == FB_OK && key.len < size) {
        memcpy(ret_key, key.data, key.len);
        ret_key[key.len] = '\0';
        ok = true;
    }
    fb_buf_free(&key);
    fb_pattern_finish(&pattern);
    return ok;
}
