/* The configuration of a running server. */
#include "cli/live.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cli/log.h"

void fb_live_begin(struct fb_live *live, struct fb_conf *conf, const struct fb_conf_args *args, fb_cache *cache) {
    *live = (struct fb_live){.conf = conf, .args = args, .cache = cache};
    fb_lock_init(&live->lock, FB_LOCK_CONFIG);
}

void fb_live_finish(struct fb_live *live) {
    fb_conf_free(live->conf);
    fb_lock_finish(&live->lock);
}

static struct fb_server_live settings_of(const struct fb_conf *conf) {
    const uint64_t least = UINT64_C(64) << 20, quarter = conf->memory_max / 4;
    struct fb_server_live live = {
#define CARRY(type, name, meaning) .name = (type)conf->name,
        FB_SERVER_LIVE(CARRY)
#undef CARRY
    };
    if (live.client_memory_max == 0) /* 'auto': a quarter of the cache's, and something sane if that is little */
        live.client_memory_max = quarter > least ? quarter : least;
    return live;
}

struct fb_server_options fb_live_options(const struct fb_conf *conf) {
    return (struct fb_server_options){
        .listen = (const char *const *)conf->listen,
        .threads = conf->threads,
        .password = conf->password,
        .users_file = conf->users_file,
        .tls = {.listen = (const char *const *)conf->tls_listen, .cert = conf->tls_cert, .key = conf->tls_key,
                .ca = conf->tls_ca, .clients = (enum fb_tls_clients)conf->tls_clients, .needs_1_3 = conf->tls_min == 1},
        .store = {.url = conf->unmapped != FB_UNMAPPED_ERROR ? fb_conf_store_url(conf) : NULL,
                  .lacks = conf->unmapped != FB_UNMAPPED_ERROR ? conf->store_lacks : NULL,
                  .password = conf->store_password,
                  .sentinel_password = conf->store_sentinel_password, .tls_ca = conf->store_tls_ca,
                  .connect_timeout_ms = conf->store_connect_timeout_ms,
                  .timeout_ms = conf->store_timeout_ms},
        .forward = {.is_on = conf->forward.is_on, .user = conf->forward.user,
                    .password = conf->forward.password != NULL ? conf->forward.password : conf->password,
                    .tls_ca = conf->forward.tls_ca, .timeout_ms = conf->forward.timeout_ms},
        .unix_mode = conf->unix_mode != NULL ? (unsigned)strtoul(conf->unix_mode, NULL, 8) : 0,
        .live = settings_of(conf),
        .is_protected = conf->is_protected,
        .config_file = conf->path,
    };
}

static void complain(void *user, const char *setting, const char *path, unsigned line, const char *text) {
    fb_conf_complain(user, setting, path, line, text);
}

fb_status fb_live_check_files(struct fb_conf *conf) {
    struct fb_server_options options = fb_live_options(conf);
    return fb_server_check(&options, complain, conf) == 0 ? FB_OK : FB_CONFIG;
}

void fb_live_log(const struct fb_conf *conf) {
    fb_log_change((enum fb_log_format)conf->log_format, (enum fb_log_level)(FB_LEVEL_DEBUG - (int)conf->log_level));
}

int64_t fb_live_drain_ms(struct fb_live *live) {
    fb_lock_acquire(&live->lock);
    int64_t ms = live->conf->drain_timeout_ms;
    fb_lock_release(&live->lock);
    return ms;
}

void fb_live_get(void *user, const char *glob, fb_config_emit *emit, void *emit_user) {
    struct fb_live *live = user;
    fb_lock_acquire(&live->lock);
    fb_conf_get(live->conf, glob, emit, emit_user);
    fb_lock_release(&live->lock);
}

/* ---- changing --------------------------------------------------------------------------------------------------- */

static bool is_same_policy(const fb_policy *a, const fb_policy *b) {
    return a->ttl_ms == b->ttl_ms && a->jitter == b->jitter && a->negative_ttl_ms == b->negative_ttl_ms &&
           a->grace_ms == b->grace_ms && a->grace_down_ms == b->grace_down_ms &&
           a->refresh_ahead == b->refresh_ahead && a->early_refresh == b->early_refresh;
}

/* What can be refused comes first, so that taking it back is rare. */
static fb_status hand_out(struct fb_live *live, const struct fb_conf *from, const struct fb_conf *to, fb_err *reterr) {
    fb_status status = FB_OK;
    if (to->memory_max != from->memory_max)
        status = fb_memory_max_set(live->cache, to->memory_max, reterr);
    for (size_t i = 0; status == FB_OK && i < to->nkeyspaces; i++) {
        const fb_policy *policy = &to->keyspaces[i].options.policy;
        if (!is_same_policy(policy, &from->keyspaces[i].options.policy))
            status = fb_policy_set(live->cache, to->keyspaces[i].index, policy, reterr);
    }
    if (status != FB_OK)
        return status;
    struct fb_server_live settings = settings_of(to);
    fb_server_change(live->server, &settings);
    fb_live_log(to);
    return FB_OK;
}

/* `conf` takes the place of what is in force, or is freed. The password comes last: the old one could not be given back,
 * it has been wiped. */
static fb_status replace(struct fb_live *live, struct fb_conf *conf, fb_err *reterr) {
    fb_status status = hand_out(live, live->conf, conf, reterr);
    if (status == FB_OK && !fb_conf_is_same_secret(live->conf, conf, "password"))
        status = fb_server_set_password(live->server, conf->password, reterr);
    if (status == FB_OK) {
        if (conf->password != NULL)
            explicit_bzero(conf->password, strlen(conf->password));
        fb_conf_free(live->conf);
        live->conf = conf;
        return FB_OK;
    }
    (void)hand_out(live, conf, live->conf, NULL);
    fb_conf_free(conf);
    return status;
}

fb_status fb_live_set(void *user, const fb_field *pairs, size_t n, size_t *ret_which, fb_err *reterr) {
    struct fb_live *live = user;
    struct fb_conf *conf;
    fb_lock_acquire(&live->lock);
    fb_status status = fb_conf_set(live->conf, pairs, n, &conf, ret_which, reterr);
    if (status == FB_OK)
        status = replace(live, conf, reterr);
    fb_lock_release(&live->lock);
    if (status != FB_OK)
        return status;
    char names[512] = "";
    for (size_t i = 0, len = 0; i < n && len < sizeof names; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%.*s", i > 0 ? ", " : "", (int)pairs[i].name.len,
                                pairs[i].name.data);
    fb_log(FB_LOG_CONFIG_SET, "CONFIG SET changed settings; a reload goes back to the file",
           FB_LOG_FIELDS({"changed", names}));
    return FB_OK;
}

/* ---- reading the file again ------------------------------------------------------------------------------------- */

static void say(fb_buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(fb_buf *out, const char *format, ...) {
    char line[1024];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (len > 0)
        (void)fb_buf_append(out, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

struct listing { fb_buf *out; bool is_logged; };

static void list_fault(void *user, const struct fb_conf_fault *fault) {
    const struct listing *listing = user;
    const char *severity = fault->is_error ? "error" : "warning";
    char line[16], column[16], place[400];
    snprintf(line, sizeof line, "%d", fault->line);
    snprintf(column, sizeof column, "%d", fault->col);
    if (fault->line > 0)
        snprintf(place, sizeof place, "%.300s:%s:%s", fault->file, line, column);
    else
        snprintf(place, sizeof place, "%.300s", fault->file);
    say(listing->out, "%s: %s[%s]: %.400s; help: %.200s\n", place, severity, fault->code, fault->text, fault->help);
    if (listing->is_logged)
        fb_log(FB_LOG_CONFIG_DIAGNOSTIC, fault->text,
               FB_LOG_FIELDS({"severity", severity}, {"code", fault->code}, {"file", fault->file}, {"line", line},
                             {"column", column}, {"help", fault->help}));
}

struct first { struct fb_conf_fault fault; bool is_there; };

static void keep_first(void *user, const struct fb_conf_fault *fault) {
    struct first *first = user;
    if (fault->is_error && !first->is_there)
        *first = (struct first){*fault, true};
}

/* The reply names the first error: who asked sees at once where to look. */
static fb_status refuse(const struct fb_conf *conf, const char *what, fb_err *reterr) {
    struct first first = {0};
    fb_conf_each_fault(conf, keep_first, &first);
    if (!first.is_there)
        return fb_fail(reterr, FB_CONFIG, "%s", what);
    if (first.fault.line > 0)
        return fb_fail(reterr, FB_CONFIG, "%s: %.100s:%d:%d: %s", what, first.fault.file, first.fault.line,
                       first.fault.col, first.fault.text);
    return fb_fail(reterr, FB_CONFIG, "%s: %.100s: %s", what, first.fault.file, first.fault.text);
}

/* What the files say that the configuration names; they have been checked. */
static fb_status read_files(struct fb_live *live, fb_err *reterr) {
    fb_status status = FB_OK;
    if (live->conf->users_file != NULL)
        status = fb_server_reload_users(live->server, reterr);
    if (status == FB_OK && live->conf->tls_listen != NULL)
        status = fb_server_reload_tls(live->server, reterr);
    return status;
}

static const char *or_nothing(fb_buf *text) {
    return fb_buf_append(text, "", 1) == FB_OK && text->data[0] != '\0' ? text->data : "nothing";
}

static fb_status merge(struct fb_live *live, const struct fb_conf *wanted, fb_buf *ret_text, fb_err *reterr) {
    fb_buf changed = FB_BUF_INIT, needs_restart = FB_BUF_INIT;
    struct fb_conf *merged;
    char message[600];
    fb_lock_acquire(&live->lock);
    fb_status status = fb_conf_merge(live->conf, wanted, &merged, &changed, &needs_restart);
    if (status == FB_OK)
        status = replace(live, merged, reterr);
    else
        (void)fb_fail(reterr, status, "%s", status == FB_NOMEM ? "out of memory"
                                                               : "the file needs a restart to be applied");
    if (status == FB_OK)
        status = read_files(live, reterr);
    fb_lock_release(&live->lock);
    if (status == FB_OK) {
        const char *done = or_nothing(&changed), *left = or_nothing(&needs_restart);
        snprintf(message, sizeof message, "the configuration was read again; changed: %.200s; needs a restart: %.200s",
                 done, left);
        fb_log(FB_LOG_CONFIG_RELOAD_APPLIED, message, FB_LOG_FIELDS({"changed", done}, {"needs_restart", left}));
        say(ret_text, "changed: %s\nneeds a restart: %s\n", done, left);
    }
    fb_buf_free(&changed);
    fb_buf_free(&needs_restart);
    return status;
}

fb_status fb_live_reload(void *user, fb_buf *ret_text, fb_err *reterr) {
    struct fb_live *live = user;
    struct fb_conf *wanted = NULL;
    struct listing listing = {ret_text, true};
    char errors[160];
    fb_err err = {0};
    fb_status status = fb_conf_load(live->args, &wanted, &err);
    if (status == FB_OK)
        status = fb_live_check_files(wanted);
    if (wanted != NULL)
        fb_conf_each_fault(wanted, list_fault, &listing);
    if (status == FB_OK)
        status = merge(live, wanted, ret_text, &err);
    else if (status == FB_CONFIG)
        status = refuse(wanted, "the configuration is not valid, the old one stays", &err);
    fb_conf_free(wanted);
    fb_server_note_reload(live->server, status == FB_OK);
    if (status == FB_OK)
        return FB_OK;
    snprintf(errors, sizeof errors, "%.150s", err.text);
    fb_log(FB_LOG_CONFIG_RELOAD_REJECTED, "the configuration was read again and refused; the old one stays",
           FB_LOG_FIELDS({"errors", errors}));
    return fb_fail(reterr, status, "%s", err.text);
}

fb_status fb_live_check(void *user, fb_buf *ret_text, fb_err *reterr) {
    struct fb_live *live = user;
    struct fb_conf *wanted = NULL;
    struct listing listing = {ret_text, false};
    fb_status status = fb_conf_load(live->args, &wanted, reterr);
    if (status == FB_OK)
        status = fb_live_check_files(wanted);
    if (status == FB_OK)
        status = fb_conf_examine(wanted);
    if (wanted == NULL)
        return status;
    fb_conf_each_fault(wanted, list_fault, &listing);
    if (status == FB_OK)
        say(ret_text, "all is well%s\n", fb_conf_warnings(wanted) > 0 ? ", with warnings" : "");
    else if (status != FB_NOMEM)
        status = refuse(wanted, "the configuration is not valid", reterr);
    fb_conf_free(wanted);
    return status;
}
