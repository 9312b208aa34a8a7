/* FB.HELP, KEYSPACES, SOURCES, STATS, INVALIDATE, REFRESH, RELOAD, CHECK: running Forebay from redis-cli. */
#include "server/cmd_fb.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/page.h"
#include "server/walk.h"
#include "server/words.h"

enum { SOURCES_MAX = 64, SHOWN_MAX = 64, DROP_STEP = 256 }; /* the last: copies dropped between two turns of the loop */

/* ---- words for settings ------------------------------------------------------------------------------------------- */

const char *fb_as_word(const fb_keyspace_options *options) { return options->as != NULL ? options->as : "json"; }

static const char *read_word(fb_read_mode mode) { return mode == FB_READ_ASIDE ? "cache-aside" : "read-through"; }

static const char *write_word(fb_write_mode mode) {
    return mode == FB_WRITE_THROUGH ? "write-through" : mode == FB_WRITE_AROUND ? "write-around" : "off";
}

void fb_page_mapping(struct fb_page *page, const fb_keyspace_options *options) {
    fb_page_text(page, "keyspace", "%s", options->pattern);
    fb_page_text(page, "source", "%s", fb_source_name(options->source));
    if (options->table != NULL)
        fb_page_text(page, "table", "%s", options->table);
    else if (options->load != NULL)
        fb_page_text(page, "load", "%s", options->load);
    if (options->rows == FB_ROWS_MANY)
        fb_page_text(page, "rows", "many");
    for (const char *const *depend = options->depends; depend != NULL && *depend != NULL; depend++)
        fb_page_text(page, "depends", "%s", *depend);
    fb_page_text(page, "as", "%s", fb_as_word(options));
    fb_page_text(page, "read", "%s", read_word(options->read));
    fb_page_text(page, "write", "%s", write_word(options->write));
}

int fb_call_keyspace(struct fb_call *call, fb_bytes name) {
    fb_cache *cache = fb_call_cache(call);
    fb_err why;
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++) {
        const char *pattern = fb_keyspace_at(cache, i)->pattern;
        if (strlen(pattern) == name.len && memcmp(pattern, name.data, name.len) == 0)
            return (int)i;
    }
    int nearest = fb_keyspace_of(cache, name), shown = (int)(name.len < SHOWN_MAX ? name.len : SHOWN_MAX);
    nearest = nearest >= 0 ? nearest : fb_keyspace_near(cache, name, &why);
    if (nearest >= 0)
        fb_call_error(call, NEAR_KEYSPACE, shown, name.data, fb_keyspace_at(cache, (unsigned)nearest)->pattern);
    else
        fb_call_error(call, NO_SUCH_KEYSPACE, shown, name.data);
    return -1;
}

/* ---- FB.HELP ------------------------------------------------------------------------------------------------------ */

void fb_cmd_fb_help(struct fb_call *call) {
    size_t n;
    const struct fb_command *rows = fb_commands(&n);
    fb_buf text = FB_BUF_INIT;
    char line[256], upper[32];
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rows[i].group, "forebay") != 0)
            continue;
        size_t k = 0;
        for (; rows[i].name[k] != '\0' && k < sizeof upper - 1; k++)
            upper[k] = (char)(rows[i].name[k] >= 'a' ? rows[i].name[k] - ('a' - 'A') : rows[i].name[k]);
        upper[k] = '\0';
        int len = snprintf(line, sizeof line, "%s%s%s\n    %s.\n", upper, rows[i].syntax[0] != '\0' ? " " : "",
                           rows[i].syntax, rows[i].summary);
        (void)fb_buf_append(&text, line, (size_t)len);
    }
    fb_resp_write_verbatim(call->out, "txt", fb_bytes_of(text.data, text.len > 0 ? text.len - 1 : 0));
    fb_buf_free(&text);
}

/* ---- FB.KEYSPACES, FB.STATS, FB.SOURCES ---------------------------------------------------------------------------- */

static void write_keyspace(struct fb_call *call, unsigned i) {
    const fb_keyspace_options *options = fb_keyspace_at(fb_call_cache(call), i);
    fb_keyspace_stats stats = {0};
    struct fb_page page;
    (void)fb_keyspace_stats_get(fb_call_cache(call), i, &stats);
    uint64_t hits = stats.hits + stats.negative_hits;
    fb_page_begin(&page, call);
    fb_page_mapping(&page, options);
    fb_page_time(&page, "ttl", options->policy.ttl_ms);
    fb_page_text(&page, "jitter", "%.0f %%", 100 * options->policy.jitter);
    if (options->policy.refresh_ahead > 0)
        fb_page_text(&page, "refresh ahead", "%.0f %%", 100 * options->policy.refresh_ahead);
    if (options->policy.early_refresh > 0)
        fb_page_text(&page, "early refresh", "%g", options->policy.early_refresh);
    if (options->policy.negative_ttl_ms > 0)
        fb_page_time(&page, "negative ttl", options->policy.negative_ttl_ms);
    else
        fb_page_text(&page, "negative ttl", "off");
    if (options->policy.grace_ms > 0)
        fb_page_time(&page, "grace", options->policy.grace_ms);
    else
        fb_page_text(&page, "grace", "off");
    fb_page_number(&page, "keys", stats.keys);
    fb_page_number(&page, "negative keys", stats.negative_keys);
    fb_page_size(&page, "memory", stats.bytes);
    fb_page_number(&page, "hits", hits);
    fb_page_number(&page, "misses", stats.misses);
    fb_page_share(&page, "hit ratio", hits, hits + stats.misses);
    fb_page_end(&page, call);
}

void fb_cmd_fb_keyspaces(struct fb_call *call) {
    unsigned n = fb_keyspace_count(fb_call_cache(call));
    fb_resp_write_array(call->out, n);
    for (unsigned i = 0; i < n; i++)
        write_keyspace(call, i);
}

void fb_cmd_fb_stats(struct fb_call *call) {
    fb_cache *cache = fb_call_cache(call);
    fb_keyspace_stats sum = {0}, stats;
    int only = -1;
    struct fb_page page;
    if (call->argc > 2) {
        fb_call_syntax_error(call);
        return;
    }
    if (call->argc == 2 && (only = fb_call_keyspace(call, call->argv[1])) < 0)
        return;
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++) {
        if ((only >= 0 && i != (unsigned)only) || fb_keyspace_stats_get(cache, i, &stats) != FB_OK)
            continue;
#define SUM(name, text) sum.name += stats.name;
        FB_KEYSPACE_COUNTERS(SUM)
#undef SUM
        sum.keys += stats.keys;
        sum.negative_keys += stats.negative_keys;
        sum.bytes += stats.bytes;
    }
    uint64_t hits = sum.hits + sum.negative_hits;
    fb_page_begin(&page, call);
    fb_page_text(&page, "keyspace", "%s", only >= 0 ? fb_keyspace_at(cache, (unsigned)only)->pattern : "all");
    fb_page_number(&page, "keys", sum.keys);
    fb_page_number(&page, "negative_keys", sum.negative_keys);
    fb_page_number(&page, "bytes", sum.bytes);
    fb_page_share(&page, "hit_ratio", hits, hits + sum.misses);
#define LINE(name, text) fb_page_number(&page, #name, sum.name);
    FB_KEYSPACE_COUNTERS(LINE)
#undef LINE
    fb_page_end(&page, call);
}

static void write_source(struct fb_call *call, const fb_source *source) {
    fb_cache *cache = fb_call_cache(call);
    fb_source_stats stats = {0};
    fb_err err;
    int64_t age_ms, youngest_ms = INT64_MAX;
    char patterns[512] = "", last[FB_ERR_TEXT_MAX + FB_WORDS_MAX + 16] = "none", age[FB_WORDS_MAX];
    size_t len = 0;
    struct fb_page page;
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++) {
        const fb_keyspace_options *options = fb_keyspace_at(cache, i);
        if (options->source != source)
            continue;
        len += (size_t)snprintf(patterns + len, sizeof patterns - len, "%s%s", len > 0 ? ", " : "", options->pattern);
        len = len < sizeof patterns ? len : sizeof patterns - 1;
        if (fb_keyspace_last_error(cache, i, &err, &age_ms) == FB_OK && age_ms < youngest_ms) {
            youngest_ms = age_ms;
            snprintf(last, sizeof last, "%s ago: %s", fb_words_time(age_ms, age), err.text);
        }
    }
    fb_source_stats_get(source, &stats);
    fb_page_begin(&page, call);
    fb_page_text(&page, "source", "%s", fb_source_name(source));
    fb_page_text(&page, "keyspaces", "%s", patterns);
    fb_page_number(&page, "read trips", stats.read_trips);
    fb_page_number(&page, "rows wanted", stats.rows_wanted);
    fb_page_text(&page, "rows per trip", "%.1f",
                 stats.read_trips > 0 ? (double)stats.rows_wanted / (double)stats.read_trips : 0.0);
    fb_page_number(&page, "write trips", stats.write_trips);
    fb_page_number(&page, "writes", stats.writes);
    fb_page_number(&page, "errors", stats.errors);
    fb_page_number(&page, "waiting", stats.waiting);
    fb_page_number(&page, "connections", stats.sessions);
    fb_page_number(&page, "cancelled", stats.cancelled);
    fb_page_number(&page, "stopped", stats.stopped);
    if (stats.breaker == 1)
        fb_page_text(&page, "breaker", "open, retry in %s", fb_words_time((int64_t)stats.retry_ms, age));
    else
        fb_page_text(&page, "breaker", "%s", stats.breaker == 0 ? "closed" : "half-open: one round trip is finding out");
    fb_page_number(&page, "breaker opens", stats.opens);
    fb_page_text(&page, "last error", "%s", last);
    fb_page_end(&page, call);
}

/* Those that a keyspace uses. */
void fb_cmd_fb_sources(struct fb_call *call) {
    fb_cache *cache = fb_call_cache(call);
    const fb_source *seen[SOURCES_MAX];
    size_t n = 0;
    for (unsigned i = 0; i < fb_keyspace_count(cache); i++) {
        const fb_source *source = fb_keyspace_at(cache, i)->source;
        size_t k = 0;
        while (k < n && seen[k] != source)
            k++;
        if (k == n && n < SOURCES_MAX)
            seen[n++] = source;
    }
    fb_resp_write_array(call->out, n);
    for (size_t k = 0; k < n; k++)
        write_source(call, seen[k]);
}

/* ---- FB.INVALIDATE, FB.REFRESH: number[0] is the cursor, [1] the count of KEYSPACE -------------------------------- */

static bool all_map(struct fb_call *call) {
    for (size_t i = 1; i < call->argc; i++)
        if (!fb_call_maps(call, call->argv[i]))
            return false;
    return true;
}

static void finish_count(struct fb_call *call, struct fb_part *parts, size_t n) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (fb_call_failed(call, &parts[i]))
            return;
        count += parts[i].status == FB_OK;
    }
    fb_resp_write_integer(call->out, count);
}

static void prepare_invalidate(const struct fb_call *call, size_t i, fb_op *op) {
    op->kind = FB_OP_INVALIDATE;
    op->key = call->argv[1 + i];
}

/* Here they are forgotten; what is left is the shared store, if there is one. number[0] is the keyspace, then the status. */
static void job_invalidate(struct fb_call *call) {
    uint64_t dropped = 0;
    fb_err err = {0};
    fb_cache *cache = (fb_cache *)(uintptr_t)call->context;
    fb_status status = fb_invalidate_shared(cache, (unsigned)call->number[0], &dropped, &err);
    if (status < 0)
        (void)fb_buf_append(&call->notes, err.text, strlen(err.text));
    call->number[0] = status;
    call->number[1] += (int64_t)dropped;
}

static void finish_invalidate(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    if (call->number[0] < 0)
        fb_call_fail(call, (fb_status)call->number[0], fb_bytes_of(call->notes.data, call->notes.len));
    else
        fb_resp_write_integer(call->out, call->number[1]);
}

static void step_invalidate(struct fb_call *call, struct fb_part *parts, size_t n) {
    uint64_t cursor = (uint64_t)call->number[0];
    int keyspace = fb_call_keyspace(call, call->argv[2]);
    (void)parts, (void)n;
    if (keyspace < 0)
        return;
    uint64_t dropped;
    cursor = fb_invalidate_keyspace(fb_call_cache(call), (unsigned)keyspace, cursor, DROP_STEP, &dropped);
    call->number[0] = (int64_t)cursor;
    call->number[1] += (int64_t)dropped;
    if (cursor != 0) {
        fb_call_later(call, step_invalidate);
        return;
    }
    call->number[0] = keyspace;
    call->context = fb_call_cache(call);
    fb_call_work(call, job_invalidate, finish_invalidate);
}

void fb_cmd_fb_invalidate(struct fb_call *call) {
    if (call->argc == 3 && fb_is_word(call->argv[1], "keyspace"))
        fb_call_steps(call, 0, step_invalidate);
    else if (all_map(call))
        fb_call_run(call, call->argc - 1, prepare_invalidate, finish_count);
}

static void prepare_refresh(const struct fb_call *call, size_t i, fb_op *op) {
    op->kind = FB_OP_REFRESH;
    op->key = call->argv[1 + i];
}

void fb_cmd_fb_refresh(struct fb_call *call) {
    if (all_map(call))
        fb_call_run(call, call->argc - 1, prepare_refresh, finish_count);
}

/* ---- FB.RELOAD, FB.CHECK: number[0] is the status; the notes are the text ------------------------------------------ */

static void ask(struct fb_call *call, fb_status (*hook)(void *, fb_buf *, fb_err *)) {
    const struct fb_server_hooks *hooks = call->context;
    fb_err err = {0};
    fb_status status = hook(hooks->user, &call->notes, &err);
    if (status < 0 && call->number[1]) /* the lines are for FB.CHECK; an error has one */
        call->notes.len = 0;
    if (status < 0 && call->notes.len == 0)
        (void)fb_buf_append(&call->notes, err.text, strlen(err.text));
    else
        status = FB_OK;
    call->number[0] = status;
}

static void job_reload(struct fb_call *call) { ask(call, ((const struct fb_server_hooks *)call->context)->reload); }
static void job_check(struct fb_call *call) { ask(call, ((const struct fb_server_hooks *)call->context)->check); }

static void finish_ask(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    fb_bytes text = fb_bytes_of(call->notes.data, call->notes.len);
    if (call->number[0] < 0)
        fb_call_fail(call, (fb_status)call->number[0], text);
    else if (text.len == 0)
        fb_resp_write_simple(call->out, "OK");
    else
        fb_resp_write_verbatim(call->out, "txt", text);
}

static void begin_reload(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    call->number[1] = 1;
    fb_call_work(call, job_reload, finish_ask);
}

static void begin_check(struct fb_call *call, struct fb_part *parts, size_t n) {
    (void)parts, (void)n;
    fb_call_work(call, job_check, finish_ask);
}

static void begin_job(struct fb_call *call, bool is_there, fb_call_finish *begin) {
    call->context = &fb_call_server(call)->options.hooks;
    if (is_there)
        fb_call_steps(call, 0, begin);
    else
        fb_call_error(call, NO_CONFIG);
}

void fb_cmd_fb_reload(struct fb_call *call) {
    begin_job(call, fb_call_server(call)->options.hooks.reload != NULL, begin_reload);
}

void fb_cmd_fb_check(struct fb_call *call) {
    begin_job(call, fb_call_server(call)->options.hooks.check != NULL, begin_check);
}
