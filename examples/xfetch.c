/* XFetch: each reader decides by a draw whether to load a value early, the likelier the nearer its end and the slower its load.
 * (Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015.)
 *
 * The rule: load when delta · beta · (−ln u) ≥ what is left of its life; u is drawn from (0, 1], delta is how long the load
 * takes. By hand delta is often taken for `ttl - remaining`, the age: at half of its life every value then is loaded anew
 * by one reader in three (exp(−1)), whatever the load costs, and one that takes a second is hardly ever early enough. The
 * reader who draws the lot waits for the load, many draw it at once, and the SETEX overwrites a newer write.
 *
 * Here delta is the measured time of the value's own last load. The reader who draws it is answered at once; the load goes
 * on behind the same lease as every load, one per key.
 *
 * Not for values that are quick to load (they end before a draw comes; nobody waits long then) or rarely read; a fixed
 * refresh point (refresh_ahead.c) is easier to foretell. It helps where loads differ much in what they cost. */
#include "example.h"

#include <time.h>

enum { TTL_MS = 1000, SLOW_MS = 50, SECONDS = 4 };

static int quick_loads, slow_loads;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The application's own source: what begins with "slow" takes its time. The value is the moment at which it was made. */
static fb_status load(void *user, fb_bytes key, fb_buf *ret_value, fb_err *reterr) {
    char text[32];
    int is_slow = key.len > 5 && memcmp(key.data, "r:slow", 6) == 0;
    (void)user, (void)reterr;
    __atomic_add_fetch(is_slow ? &slow_loads : &quick_loads, 1, __ATOMIC_RELAXED);
    if (is_slow)
        usleep(SLOW_MS * 1000);
    snprintf(text, sizeof text, "%.0f", now_ms());
    return fb_buf_append(ret_value, text, strlen(text));
}

enum { EARLY_MS = 20 };

struct reading {
    double worst; /* of one read, in ms */
    int waited;   /* reads that found nothing and waited for a load, after the first */
    int replaced; /* values that were replaced while they were good, with more than EARLY_MS of their lives left */
    double left;  /* of these, on average */
};

static int misses(fb_cache *cache) {
    fb_keyspace_stats stats = {0};
    (void)fb_keyspace_stats_get(cache, 0, &stats);
    return (int)stats.misses;
}

static struct reading read_on(fb_cache *cache, const char *key) {
    struct reading r = {0, 0, 0, 0};
    int before = misses(cache);
    char last[32] = "", value[32];
    fb_buf row = FB_BUF_INIT;
    fb_err err;
    double end = now_ms() + SECONDS * 1000, ends = 0;
    do {
        double begun = now_ms();
        row.len = 0;
        if (fb_get(cache, FB_STR(key), &row, &err) != FB_OK)
            example_give_up(key, err.text);
        double took = now_ms() - begun;
        snprintf(value, sizeof value, "%.*s", (int)row.len, row.data);
        if (strcmp(value, last) != 0) {
            int is_early = last[0] != '\0' && begun < ends - EARLY_MS;
            r.replaced += is_early;
            r.left += is_early ? ends - begun : 0;
            ends = begun + TTL_MS;
        }
        if (last[0] != '\0' && took > r.worst)
            r.worst = took;
        snprintf(last, sizeof last, "%s", value);
        usleep(200);
    } while (now_ms() < end);
    fb_buf_free(&row);
    r.left /= r.replaced > 0 ? r.replaced : 1;
    r.waited = misses(cache) - before - 1;
    return r;
}

int main(void) {
    struct example e = {.failed = 0};
    fb_cache *cache;
    fb_source *reports;
    fb_err err;
    fb_callbacks callbacks = {.load = load};
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "r:{name}";
    ks.as = "text";
    ks.policy = (fb_policy){.ttl_ms = TTL_MS, .early_refresh = 1};

    printf("XFetch\n");
    if (fb_open(NULL, &cache, &err) != FB_OK ||
        fb_source_callbacks(cache, "reports", &callbacks, NULL, &reports, &err) != FB_OK)
        example_give_up("cannot open", err.text);
    ks.source = reports;
    if (fb_keyspace_add(cache, &ks, &err) != FB_OK)
        example_give_up(ks.pattern, err.text);

    /* Nobody waits, but for a machine that is busy otherwise and keeps the reader from drawing or the load from its end:
     * what is claimed leaves room for that, and what was measured is shown. */
    struct reading slow = read_on(cache, "r:slow");
    claim(&e, slow.waited <= SECONDS / 2, "a load of %d ms, a life of %d ms: %d reads in %d s waited for it, the slowest took %.1f ms",
          SLOW_MS, TTL_MS, slow.waited, SECONDS, slow.worst);
    claim(&e, slow_loads >= SECONDS / 2 && slow_loads <= SECONDS * 3,
          "it was loaded %d times in %d lives: early, not all the time", slow_loads, SECONDS);
    /* Some 250 draws in each 50 ms: the first comes at about 50 ms · ln 250 before the end. */
    claim(&e, slow.replaced >= SECONDS / 2 && slow.left > SLOW_MS && slow.left < SLOW_MS * 15,
          "on average with %.0f ms of its life left", slow.left);

    struct reading quick = read_on(cache, "r:quick");
    claim(&e, quick_loads <= SECONDS * 2 && quick.replaced <= SECONDS / 2,
          "what is quick to load is loaded at its end: %d times in %d lives", quick_loads, SECONDS);

    fb_close(cache);
    return e.failed;
}
