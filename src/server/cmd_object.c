/* OBJECT and MEMORY: what is known of one cached copy, and of the memory of all. They load nothing. */
#include "server/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How Redis would keep a value of this form; it is what clients expect to be told. */
enum {
    INT_LEN_MAX = 20,
    EMBSTR_LEN_MAX = 44,
    LISTPACK_FIELDS_MAX = 512, /* hash-max-listpack-entries */
    LISTPACK_VALUE_MAX = 64,   /* hash-max-listpack-value */
};

/* False when there is no copy, or the key belongs nowhere; that has been answered. */
static bool find_copy(struct fb_call *call, fb_bytes key, fb_facts *facts) {
    if (!fb_call_maps(call, key))
        return false;
    fb_facts_get(fb_call_cache(call), key, facts);
    if (facts->cached == FB_OK)
        return true;
    fb_resp_write_null(call->out);
    return false;
}

/* ---- OBJECT ----------------------------------------------------------------------------------------------------- */

static const char *encoding_of_string(fb_bytes value) {
    int64_t number;
    return value.len <= INT_LEN_MAX && fb_parse_integer(value, &number) ? "int"
           : value.len <= EMBSTR_LEN_MAX                                ? "embstr"
                                                                        : "raw";
}

static const char *encoding_of_hash(fb_bytes value) {
    fb_field field;
    bool is_small = fb_hash_len(value) <= LISTPACK_FIELDS_MAX;
    for (size_t at = 0; is_small && fb_hash_next(value, &at, &field);)
        is_small = field.name.len <= LISTPACK_VALUE_MAX && field.value.len <= LISTPACK_VALUE_MAX;
    return is_small ? "listpack" : "hashtable";
}

/* The form can only be told from the bytes, so this counts as a hit where length does not decide. */
void fb_cmd_object_encoding(struct fb_call *call) {
    fb_facts facts;
    fb_kind kind = FB_KIND_NONE;
    fb_buf *scratch = &fb_call_loop(call)->scratch;
    const char *name = "raw";
    if (!find_copy(call, call->argv[2], &facts))
        return;
    if (facts.kind == FB_KIND_HASH || facts.value_bytes <= EMBSTR_LEN_MAX) {
        scratch->len = 0;
        if (fb_peek(fb_call_cache(call), call->argv[2], scratch, &kind) != FB_OK) { /* gone since */
            fb_resp_write_null(call->out);
            return;
        }
        fb_bytes value = fb_bytes_of(scratch->data, scratch->len);
        name = kind == FB_KIND_HASH ? encoding_of_hash(value) : encoding_of_string(value);
    }
    fb_resp_write_bulk(call->out, FB_STR(name));
}

static void take_policy(void *user, const char *name, const char *value) {
    (void)name;
    *(bool *)user = strstr(value, "lfu") != NULL;
}

static bool counts_frequency(const struct fb_call *call) {
    const struct fb_server_options *options = &fb_call_server(call)->options;
    bool is_lfu = true; /* S3-FIFO, the default */
    if (options->config_get != NULL)
        options->config_get(options->config_user, "maxmemory-policy", take_policy, &is_lfu);
    return is_lfu;
}

void fb_cmd_object_freq(struct fb_call *call) {
    fb_facts facts;
    if (!find_copy(call, call->argv[2], &facts))
        return;
    if (counts_frequency(call))
        fb_resp_write_integer(call->out, facts.frequency);
    else
        fb_call_error(call, NO_LFU);
}

/* The cache keeps an order of use and no times of it: the age of the copy is what its idle time can be at most. */
void fb_cmd_object_idletime(struct fb_call *call) {
    fb_facts facts;
    if (!find_copy(call, call->argv[2], &facts))
        return;
    if (counts_frequency(call))
        fb_call_error(call, LFU);
    else
        fb_resp_write_integer(call->out, facts.age_ms / 1000);
}

void fb_cmd_object_refcount(struct fb_call *call) {
    fb_facts facts;
    if (find_copy(call, call->argv[2], &facts))
        fb_resp_write_integer(call->out, 1);
}

/* ---- MEMORY ----------------------------------------------------------------------------------------------------- */

void fb_cmd_memory_usage(struct fb_call *call) {
    fb_facts facts;
    int64_t samples;
    if (call->argc > 3 && (call->argc != 5 || !fb_is_word(call->argv[3], "samples"))) {
        fb_call_syntax_error(call);
        return;
    }
    if (call->argc == 5 && !fb_call_integer(call, call->argv[4], &samples))
        return;
    if (call->argc == 5 && samples < 0)
        fb_call_syntax_error(call);
    else if (find_copy(call, call->argv[2], &facts))
        fb_resp_write_integer(call->out, (int64_t)facts.memory);
}

struct memory {
    fb_stats stats;
    size_t resident;
    uint64_t peak;
};

static struct memory measure(const struct fb_call *call) {
    struct memory m = {0};
    uv_rusage_t usage = {0};
    fb_stats_get(fb_call_cache(call), &m.stats);
    (void)uv_resident_set_memory(&m.resident);
    if (uv_getrusage(&usage) == 0)
        m.peak = usage.ru_maxrss * 1024;
    return m;
}

/* Redis' names, those of them that mean something here. */
void fb_cmd_memory_stats(struct fb_call *call) {
    struct memory m = measure(call);
    uint64_t used = m.stats.memory_used, entries = m.stats.keys + m.stats.negative_keys;
    const struct { const char *name; uint64_t value; } rows[] = {
        {"peak.allocated", m.peak},
        {"total.allocated", m.resident},
        {"overhead.total", m.resident > used ? m.resident - used : 0},
        {"keys.count", m.stats.keys},
        {"negative-keys.count", m.stats.negative_keys},
        {"keys.bytes-per-key", entries > 0 ? used / entries : 0},
        {"dataset.bytes", used},
        {"maxmemory", m.stats.memory_max},
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    fb_resp_write_map(call->out, ROWS + 2);
    for (size_t i = 0; i < ROWS; i++) {
        fb_resp_write_bulk(call->out, FB_STR(rows[i].name));
        fb_resp_write_integer(call->out, (int64_t)rows[i].value);
    }
    fb_resp_write_bulk(call->out, FB_STR("dataset.percentage"));
    fb_resp_write_double(call->out, m.resident > 0 ? 100.0 * (double)used / (double)m.resident : 0);
    fb_resp_write_bulk(call->out, FB_STR("fragmentation"));
    fb_resp_write_double(call->out, used > 0 ? (double)m.resident / (double)used : 0);
}

void fb_cmd_memory_doctor(struct fb_call *call) {
    struct memory m = measure(call);
    struct fb_totals totals;
    char text[512];
    fb_server_totals(fb_call_server(call), &totals);
    double fill = m.stats.memory_max > 0 ? 100.0 * (double)m.stats.memory_used / (double)m.stats.memory_max : 0;
    int n = snprintf(text, sizeof text, "%.1f %% of memory_max is in use by %" PRIu64 " values and %" PRIu64
                     " negative entries.", fill, m.stats.keys, m.stats.negative_keys);
    if (totals.evicted > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, " %" PRIu64 " entries left to make room since the start: if "
                      "many reads miss (INFO stats: keyspace_misses), give more memory_max.", totals.evicted);
    else
        n += snprintf(text + n, sizeof text - (size_t)n, " Nothing has had to leave to make room.");
    fb_resp_write_verbatim(call->out, "txt", fb_bytes_of(text, (size_t)n));
}
