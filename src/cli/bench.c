/* forebay bench: options, and what was measured as a table or as JSON. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/bench_load.h"

enum {
    OPT_HOST, OPT_PORT, OPT_UNIX, OPT_CONNECTIONS, OPT_PIPELINE, OPT_KEYS, OPT_ZIPF, OPT_WRITES, OPT_SIZE, OPT_VALUE,
    OPT_READ, OPT_FILL, OPT_WARM_UP, OPT_SECONDS, OPT_REQUESTS, OPT_PID, OPT_SEED, OPT_JSON,
};

static const struct fb_cli_option options[] = {
    {"host", 0, "NAME", "where the server is (127.0.0.1)", OPT_HOST},
    {"port", 'p', "N", "its port (6380)", OPT_PORT},
    {"unix", 0, "PATH", "or its unix socket", OPT_UNIX},
    {"connections", 'c', "N", "connections (50)", OPT_CONNECTIONS},
    {"pipeline", 'P', "N", "requests sent together on each (1)", OPT_PIPELINE},
    {"keys", 'k', "KEYS", "which keys: 'user:{1..100000}' (quote the braces)", OPT_KEYS},
    {"zipf", 'z', "S", "draw keys by Zipf's law with exponent S, as 0.99 (uniform)", OPT_ZIPF},
    {"writes", 'w', "PERCENT", "share of SET among the requests (0)", OPT_WRITES},
    {"size", 0, "BYTES", "length of the values SET writes (256)", OPT_SIZE},
    {"value", 0, "TEXT", "or the value itself, as '{\"quantity\":9}'", OPT_VALUE},
    {"read", 0, "COMMAND", "the reading command, of one key (GET)", OPT_READ},
    {"fill", 0, "HOW", "first take every key once: read, write or none (none)", OPT_FILL},
    {"warm-up", 0, "SECONDS", "load before the measurement (0.5)", OPT_WARM_UP},
    {"seconds", 's', "SECONDS", "length of the measurement (5)", OPT_SECONDS},
    {"requests", 'n', "N", "or its number of requests", OPT_REQUESTS},
    {"pid", 0, "PID", "measure the processor time of this server too", OPT_PID},
    {"seed", 0, "N", "of the key sequences (1)", OPT_SEED},
    {"json", 0, NULL, "print one JSON object", OPT_JSON},
    {0},
};

/* The options of one run, and what they borrow from. */
struct bench {
    struct fb_load_options load;
    char *filler;
    const char *keys, *value;
    long long size;
    bool is_json;
};

static bool take_seconds(const struct fb_cli_command *command, const char *option, const char *value, double max,
                         fb_span *ret_span) {
    char *end;
    errno = 0;
    double s = strtod(value, &end);
    if (errno != 0 || end == value || *end != '\0' || !(s >= 0 && s <= max)) {
        (void)fb_cli_usage(command, "--%s wants seconds from 0 to %.0f, not '%s'", option, max, value);
        return false;
    }
    *ret_span = (fb_span){(int64_t)(s * 1e9)};
    return true;
}

static bool take_exponent(const struct fb_cli_command *command, const char *value, double *ret_exponent) {
    char *end;
    double s = strtod(value, &end);
    if (end == value || *end != '\0' || !(s > 0 && s <= 4)) {
        (void)fb_cli_usage(command, "--zipf wants an exponent above 0 up to 4, not '%s'", value);
        return false;
    }
    *ret_exponent = s;
    return true;
}

static bool take_fill(const struct fb_cli_command *command, const char *value, enum fb_load_fill *ret_fill) {
    static const char *const names[] = {"none", "read", "write"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], value) == 0) {
            *ret_fill = (enum fb_load_fill)i;
            return true;
        }
    (void)fb_cli_usage(command, "--fill wants read, write or none, not '%s'", value);
    return false;
}

/* Whole numbers: option, range, and where they go. */
static bool take_number(const struct fb_cli_command *command, int opt, const char *value, struct bench *b) {
    static const struct range { int opt; long long min, max; } ranges[] = {
        {OPT_PORT, 1, 65535},           {OPT_SIZE, 0, FB_LOAD_VALUE_MAX},
        {OPT_WRITES, 0, 100},           {OPT_CONNECTIONS, 1, FB_LOAD_CONNECTIONS_MAX},
        {OPT_REQUESTS, 1, INT64_MAX},   {OPT_PIPELINE, 1, FB_LOAD_PIPELINE_MAX},
        {OPT_SEED, 0, INT64_MAX},       {OPT_PID, 1, INT32_MAX},
    };
    const struct range *r = ranges;
    while (r->opt != opt)
        r++;
    long long n;
    if (!fb_cli_number(command, options[opt].name, value, r->min, r->max, &n))
        return false;
    switch (opt) {
    case OPT_PORT: b->load.port = value; break;
    case OPT_SIZE: b->size = n; break;
    case OPT_WRITES: b->load.writes_percent = (unsigned)n; break;
    case OPT_CONNECTIONS: b->load.connections = (unsigned)n; break;
    case OPT_REQUESTS: b->load.count = (uint64_t)n; break;
    case OPT_PIPELINE: b->load.pipeline = (unsigned)n; break;
    case OPT_SEED: b->load.seed = (uint64_t)n; break;
    default: b->load.server = (pid_t)n; break;
    }
    return true;
}

/* One option; false when its value is refused (said already). */
static bool take(const struct fb_cli_command *command, int opt, const char *value, struct bench *b) {
    struct fb_load_options *o = &b->load;
    switch (opt) {
    case OPT_HOST: o->host = value; return true;
    case OPT_UNIX: o->unix_path = value; return true;
    case OPT_KEYS: b->keys = value; return true;
    case OPT_VALUE: b->value = value; return true;
    case OPT_READ: o->read = value; return true;
    case OPT_JSON: b->is_json = true; return true;
    case OPT_ZIPF: return take_exponent(command, value, &o->exponent);
    case OPT_FILL: return take_fill(command, value, &o->fill);
    case OPT_WARM_UP: return take_seconds(command, options[opt].name, value, 3600, &o->warm_up);
    case OPT_SECONDS: return take_seconds(command, options[opt].name, value, 86400, &o->length);
    default: return take_number(command, opt, value, b);
    }
}

static double us(fb_span span) { return (double)span.ns / 1000; }

static double us_per_request(fb_span cpu, uint64_t requests) {
    return requests > 0 ? us(cpu) / (double)requests : 0;
}

static double per_second(const struct fb_load_result *r) {
    return r->length.ns > 0 ? (double)r->requests * 1e9 / (double)r->length.ns : 0;
}

static void put_json_text(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text >= 0x20)
            fputc(*text, out);
    fputc('"', out);
}

static const struct quantile { const char *name, *json; double q; } quantiles[] = {
    {"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p99.9", "p99_9", 0.999},
};
enum { QUANTILES = sizeof quantiles / sizeof quantiles[0] };

static void print_json(const struct bench *b, const struct fb_load_result *r, FILE *out) {
    fputs("{\"keys\":", out);
    put_json_text(out, b->keys);
    fprintf(out, ",\"connections\":%u,\"pipeline\":%u,\"zipf\":%g,\"seconds\":%.3f,\"requests\":%llu,\"writes\":%llu,"
                 "\"errors\":%llu,\"fill_errors\":%llu,\"nils\":%llu,\"requests_per_second\":%.1f",
            b->load.connections, b->load.pipeline, b->load.exponent, (double)r->length.ns / 1e9,
            (unsigned long long)r->requests, (unsigned long long)r->writes, (unsigned long long)r->errors,
            (unsigned long long)r->fill_errors, (unsigned long long)r->nils, per_second(r));
    fputs(",\"latency_us\":{", out);
    for (size_t i = 0; i < QUANTILES; i++)
        fprintf(out, "\"%s\":%.1f,", quantiles[i].json, us(fb_hist_quantile(&r->latency, quantiles[i].q)));
    fprintf(out, "\"max\":%.1f,\"mean\":%.1f}", (double)r->latency.max_ns / 1000, us(fb_hist_mean(&r->latency)));
    if (r->server_cpu.ns >= 0)
        fprintf(out, ",\"server_cpu_us_per_request\":%.4f", us_per_request(r->server_cpu, r->requests));
    if (r->own_cpu.ns >= 0)
        fprintf(out, ",\"client_cpu_us_per_request\":%.4f", us_per_request(r->own_cpu, r->requests));
    if (r->first_error[0] != '\0') {
        fputs(",\"first_error\":", out);
        put_json_text(out, r->first_error);
    }
    fputs("}\n", out);
}

static void print_text(const struct bench *b, const struct fb_load_result *r, FILE *out) {
    fprintf(out, "%s, %u connections, pipeline %u, ", b->keys, b->load.connections, b->load.pipeline);
    if (b->load.exponent > 0)
        fprintf(out, "Zipf %g, ", b->load.exponent);
    else
        fputs("uniform, ", out);
    fprintf(out, "%u %% SET\n", b->load.writes_percent);
    fprintf(out, "  %-22s %llu in %.2f s\n", "requests", (unsigned long long)r->requests, (double)r->length.ns / 1e9);
    fprintf(out, "  %-22s %.0f\n", "requests per second", per_second(r));
    fprintf(out, "  %-22s", "latency, us");
    for (size_t i = 0; i < QUANTILES; i++)
        fprintf(out, " %s %.0f ", quantiles[i].name, us(fb_hist_quantile(&r->latency, quantiles[i].q)));
    fprintf(out, " max %.0f\n", (double)r->latency.max_ns / 1000);
    if (r->server_cpu.ns >= 0)
        fprintf(out, "  %-22s %.3f us per request\n", "processor, server", us_per_request(r->server_cpu, r->requests));
    if (r->own_cpu.ns >= 0)
        fprintf(out, "  %-22s %.3f us per request\n", "processor, this side", us_per_request(r->own_cpu, r->requests));
    fprintf(out, "  %-22s %llu nil, %llu errors\n", "replies", (unsigned long long)r->nils,
            (unsigned long long)r->errors);
    if (r->fill_errors > 0)
        fprintf(out, "  %-22s %llu errors\n", "while filling", (unsigned long long)r->fill_errors);
    if (r->first_error[0] != '\0')
        fprintf(out, "  %-22s %s\n", "the first error", r->first_error);
}

/* The value SET writes: given, or printable filler of the wanted length. */
static bool prepare_value(struct bench *b) {
    if (b->value != NULL) {
        b->load.value = FB_STR(b->value);
        return true;
    }
    if ((b->filler = fb_mem_alloc((size_t)b->size + 1)) == NULL)
        return false;
    for (long long i = 0; i < b->size; i++)
        b->filler[i] = (char)('a' + i % 26);
    b->load.value = fb_bytes_of(b->filler, (size_t)b->size);
    return true;
}

static int run(struct fb_cli_args *args) {
    static struct fb_load_result result; /* large because of its histogram */
    struct bench b = {
        .load = {.host = "127.0.0.1", .port = "6380", .read = "GET", .connections = 50, .pipeline = 1, .seed = 1,
                 .warm_up = fb_ms(500), .length = fb_ms(5000), .password = getenv("FOREBAY_PASSWORD")},
        .keys = "user:{1..100000}", .size = 256,
    };
    fb_err err = {FB_OK, ""};
    const char *value;
    for (int opt; (opt = fb_cli_next(args, &value)) != FB_CLI_END;) {
        if (opt < 0)
            return fb_cli_refuse(args, opt, value);
        if (!take(args->command, opt, value, &b))
            return FB_EXIT_USAGE;
    }
    if (fb_load_keys_parse(b.keys, &b.load.keys, &err) != FB_OK)
        return fb_cli_usage(args->command, "--keys: %s", err.text);
    if (b.load.count == 0 && b.load.length.ns == 0)
        return fb_cli_usage(args->command, "--seconds 0 measures nothing");
    if (!prepare_value(&b)) {
        fprintf(stderr, "forebay bench: no memory\n");
        return FB_EXIT_INTERNAL;
    }
    fb_status s = fb_load_run(&b.load, &result, &err);
    fb_mem_free(b.filler);
    if (s != FB_OK) {
        fprintf(stderr, "forebay bench: %s\n", err.text);
        return s == FB_DOWN ? FB_EXIT_UNAVAILABLE : s == FB_NOMEM ? FB_EXIT_INTERNAL : FB_EXIT_FAILURE;
    }
    (b.is_json ? print_json : print_text)(&b, &result, stdout);
    return result.errors + result.fill_errors > 0 ? FB_EXIT_FAILURE : FB_EXIT_OK;
}

const struct fb_cli_command fb_cli_bench = {
    "bench", "[-p PORT] [-k KEYS] [-c N] [-P N] …", "put load on a Redis-speaking server and measure it",
    "One thread, closed loop: every connection sends as many requests as --pipeline says, waits for\n"
    "their replies and sends the next. Latency runs from the moment a batch was sent. Each connection\n"
    "draws keys of its own. Works with any Redis server too, so figures can be compared: pin server\n"
    "and load to different cores (taskset), take turns, and compare processor time per request (--pid).\n"
    "A password is taken from the environment (FOREBAY_PASSWORD). Ends with 1 when there were errors.",
    options, false, run,
};
