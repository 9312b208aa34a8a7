/* FB.EXPLAIN: what would answer a read of this key, and why. */
#include "server/cmd_fb.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/words.h"

static void add_key(struct fb_page *page, fb_bytes key) { fb_page_bytes(page, "key", key); }

static void explain_unmapped(struct fb_call *call, fb_bytes key) {
    fb_cache *cache = fb_call_cache(call);
    struct fb_page page;
    fb_err why;
    int nearest = call->session->db == 0 ? fb_keyspace_near(cache, key, &why) : -1;
    fb_page_begin(&page, call);
    add_key(&page, key);
    fb_page_text(&page, "keyspace", "none");
    fb_page_text(&page, "answer", "the error NOMAP");
    if (nearest >= 0) {
        fb_page_text(&page, "nearest keyspace", "%s", fb_keyspace_at(cache, (unsigned)nearest)->pattern);
        fb_page_text(&page, "why not", "%s", why.text);
    } else if (call->session->db != 0) {
        fb_page_text(&page, "why not", "keyspaces live in database 0, and %u is selected", call->session->db);
    } else {
        fb_page_text(&page, "why not", "no pattern comes near; FB.KEYSPACES lists them");
    }
    fb_page_end(&page, call);
}

static const char *answer_of(fb_cache *cache, const fb_keyspace_options *options, const fb_facts *facts) {
    fb_sharing_stats sharing;
    fb_sharing_stats_get(cache, &sharing);
    return facts->cached == FB_OK         ? "cached"
           : facts->cached == FB_NOTFOUND ? "negative: known to be absent"
           : options->read == FB_READ_ASIDE ? "nothing: the application loads (read: cache-aside)"
           : facts->is_loading              ? "the load under way"
           : sharing.is_shared              ? "the shared store, or the source behind it"
                                            : "the source";
}

static void add_copy(struct fb_page *page, const fb_facts *facts) {
    if (facts->cached == FB_OK) {
        fb_page_text(page, "kind", "%s", facts->kind == FB_KIND_HASH ? "hash" : "string");
        fb_page_size(page, "size", facts->value_bytes);
    }
    fb_page_size(page, "memory", facts->memory);
    fb_page_number(page, "frequency", facts->frequency);
    fb_page_time(page, "age", facts->age_ms);
    if (facts->load_ms > 0)
        fb_page_time(page, "loaded in", facts->load_ms);
    else
        fb_page_text(page, "loaded in", "it was written, or took less than 1 ms");
}

/* How a life came about: its parts, the shortest last. */
static void describe_life(const fb_policy *policy, const fb_facts *facts, char *out, size_t size) {
    char ttl[FB_WORDS_MAX], cap[FB_WORDS_MAX];
    int64_t whole = facts->cached == FB_NOTFOUND ? policy->negative_ttl_ms : policy->ttl_ms;
    int n = snprintf(out, size, "%s %s", facts->cached == FB_NOTFOUND ? "negative_ttl" : "ttl",
                     fb_words_time(whole, ttl));
    if (facts->ttl_ms > 0 && facts->ttl_ms < whole)
        n += snprintf(out + n, size - (size_t)n, " less %.1f %% jitter",
                      100.0 * (double)(whole - facts->ttl_ms) / (double)whole);
    if (facts->cap_ms > 0)
        (void)snprintf(out + n, size - (size_t)n, ", shortened to %s by EXPIRE or SET", fb_words_time(facts->cap_ms, cap));
}

static void add_expiry(struct fb_page *page, const fb_policy *policy, const fb_facts *facts) {
    char left[FB_WORDS_MAX], how[160];
    describe_life(policy, facts, how, sizeof how);
    fb_page_text(page, "soft expiry", "in %s: %s", fb_words_time(facts->life_ms, left), how);
    bool has_grace = policy->grace_ms > 0 && facts->cached == FB_OK && facts->cap_ms == 0;
    if (has_grace)
        fb_page_text(page, "hard expiry", "in %s: grace %s", fb_words_time(facts->life_ms + policy->grace_ms, left),
                     fb_words_time(policy->grace_ms, how));
    else
        fb_page_text(page, "hard expiry", "in %s: no grace", left);
}

static void add_refresh(struct fb_page *page, const fb_policy *policy, const fb_facts *facts) {
    char left[FB_WORDS_MAX];
    if (facts->refresh_ms > 0)
        fb_page_text(page, "refresh", "by a read from %s on: refresh_ahead %.0f %%", fb_words_time(facts->refresh_ms, left),
                     100 * policy->refresh_ahead);
    else if (facts->refresh_ms < 0)
        fb_page_text(page, "refresh", "by the next read: refresh_ahead %.0f %%", 100 * policy->refresh_ahead);
    if (policy->early_refresh > 0 && facts->cached == FB_OK && facts->cap_ms == 0)
        fb_page_text(page, "early refresh", "by chance: early_refresh %g", policy->early_refresh);
}

/* What is past its life and may stand in. */
static void add_stale(struct fb_page *page, const fb_facts *facts) {
    char age[FB_WORDS_MAX], left[FB_WORDS_MAX];
    fb_page_text(page, "stale copy", "%s old, may stand in for %s more while the source is slow, fails or is down",
                 fb_words_time(facts->age_ms, age), fb_words_time(facts->grace_ms, left));
}

void fb_cmd_fb_explain(struct fb_call *call) {
    fb_cache *cache = fb_call_cache(call);
    fb_bytes key = call->argv[1];
    fb_facts facts;
    struct fb_page page;
    fb_err err;
    int64_t age_ms;
    char age[FB_WORDS_MAX];
    int keyspace = call->session->db == 0 ? fb_keyspace_of(cache, key) : -1;
    if (keyspace < 0) {
        explain_unmapped(call, key);
        return;
    }
    const fb_keyspace_options *options = fb_keyspace_at(cache, (unsigned)keyspace);
    fb_facts_get(cache, key, &facts);
    fb_page_begin(&page, call);
    add_key(&page, key);
    fb_page_mapping(&page, options);
    for (fb_op_kind kind = FB_OP_READ; kind <= FB_OP_DELETE; kind++) {
        const char *sql = fb_keyspace_sql(cache, (unsigned)keyspace, kind);
        if (sql != NULL && (kind == FB_OP_READ || kind == FB_OP_SET || kind == FB_OP_DELETE))
            fb_page_text(&page, kind == FB_OP_READ ? "load sql" : kind == FB_OP_SET ? "store sql" : "delete sql", "%s",
                         sql);
    }
    fb_page_text(&page, "answer", "%s", answer_of(fb_call_cache(call), options, &facts));
    if (facts.cached != FB_MISS) {
        add_copy(&page, &facts);
        add_expiry(&page, &options->policy, &facts);
        add_refresh(&page, &options->policy, &facts);
    } else if (facts.grace_ms > 0) {
        add_stale(&page, &facts);
    }
    fb_page_text(&page, "loading", facts.is_loading ? "yes, %u waiting" : "no", facts.waiters);
    fb_page_text(&page, "being written", "%s", facts.is_written ? "yes" : "no");
    if (fb_keyspace_last_error(cache, (unsigned)keyspace, &err, &age_ms) == FB_OK)
        fb_page_text(&page, "last error", "%s ago: %s", fb_words_time(age_ms, age), err.text);
    else
        fb_page_text(&page, "last error", "none");
    fb_page_end(&page, call);
}
